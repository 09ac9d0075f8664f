package keyschedule

import "errors"

// EarlySecret is the Early Secret of RFC 9846, Section 7.1: the first stage.
type EarlySecret struct{ secret }

// EarlySecret starts the key schedule with a PSK, or without one if psk is nil.
func (k *KDF) EarlySecret(psk []byte) (s EarlySecret) {
	k.extract(&s.secret, nil, k.orZeros(psk))
	return s
}

// Binder returns the binder_key of the PSK. The label keeps external PSKs and
// those of resumption apart.
func (s *EarlySecret) Binder(k *KDF, external bool) BinderKey {
	label := "res binder"
	if external {
		label = "ext binder"
	}
	return BinderKey{k.derive(&s.secret, label, k.empty[:k.size])}
}

// ClientTraffic returns the client_early_traffic_secret (ClientHello).
func (s *EarlySecret) ClientTraffic(k *KDF, transcript []byte) TrafficSecret {
	return TrafficSecret{k.derive(&s.secret, "c e traffic", transcript)}
}

// Exporter returns the early_exporter_secret (ClientHello).
func (s *EarlySecret) Exporter(k *KDF, transcript []byte) ExporterSecret {
	return ExporterSecret{k.derive(&s.secret, "e exp master", transcript)}
}

// Handshake goes on to the next stage with the shared secret of the key
// exchange, or without one if shared is nil (psk_ke), and clears s. The zero s is
// that of no PSK.
func (s *EarlySecret) Handshake(k *KDF, shared []byte) (next HandshakeSecret) {
	if !s.Set() {
		k.extract(&next.secret, k.noPSK.bytes(), k.orZeros(shared))
		return next
	}
	return HandshakeSecret{k.next(&s.secret, shared)}
}

// HandshakeSecret is the Handshake Secret: the second stage.
type HandshakeSecret struct{ secret }

// ClientTraffic returns the client_handshake_traffic_secret
// (ClientHello...ServerHello).
func (s *HandshakeSecret) ClientTraffic(k *KDF, transcript []byte) TrafficSecret {
	return TrafficSecret{k.derive(&s.secret, "c hs traffic", transcript)}
}

// ServerTraffic returns the server_handshake_traffic_secret
// (ClientHello...ServerHello).
func (s *HandshakeSecret) ServerTraffic(k *KDF, transcript []byte) TrafficSecret {
	return TrafficSecret{k.derive(&s.secret, "s hs traffic", transcript)}
}

// Main goes on to the last stage and clears s.
func (s *HandshakeSecret) Main(k *KDF) MainSecret {
	return MainSecret{k.next(&s.secret, nil)}
}

// MainSecret is the Main Secret: the last stage. The caller clears it after
// the resumption_secret.
type MainSecret struct{ secret }

// ClientTraffic returns the client_application_traffic_secret_0
// (ClientHello...server Finished).
func (s *MainSecret) ClientTraffic(k *KDF, transcript []byte) TrafficSecret {
	return TrafficSecret{k.derive(&s.secret, "c ap traffic", transcript)}
}

// ServerTraffic returns the server_application_traffic_secret_0
// (ClientHello...server Finished).
func (s *MainSecret) ServerTraffic(k *KDF, transcript []byte) TrafficSecret {
	return TrafficSecret{k.derive(&s.secret, "s ap traffic", transcript)}
}

// Exporter returns the exporter_secret (ClientHello...server Finished).
func (s *MainSecret) Exporter(k *KDF, transcript []byte) ExporterSecret {
	return ExporterSecret{k.derive(&s.secret, "exp master", transcript)}
}

// Resumption returns the resumption_secret (ClientHello...client Finished).
func (s *MainSecret) Resumption(k *KDF, transcript []byte) ResumptionSecret {
	return ResumptionSecret{k.derive(&s.secret, "res master", transcript)}
}

// BinderKey proves the possession of a PSK.
type BinderKey struct{ secret }

// MAC appends the PskBinderEntry over the hash of the transcript up to the
// truncated ClientHello (Section 4.3.11) to out.
func (s *BinderKey) MAC(k *KDF, out, transcript []byte) []byte {
	return k.finished(&s.secret, out, transcript)
}

// TrafficSecret is the secret that protects one direction for one epoch.
type TrafficSecret struct{ secret }

// Key fills key with the [sender]_write_key (Section 7.3).
func (s *TrafficSecret) Key(k *KDF, key []byte) {
	k.expandLabel(key, s.bytes(), "key", nil)
}

// LendKey returns the [sender]_write_key of n bytes in memory of the KDF, which
// the caller clears.
func (s *TrafficSecret) LendKey(k *KDF, n int) []byte {
	s.Key(k, k.key[:n])
	return k.key[:n]
}

// IV fills iv with the [sender]_write_iv (Section 7.3).
func (s *TrafficSecret) IV(k *KDF, iv []byte) {
	k.expandLabel(iv, s.bytes(), "iv", nil)
}

// Next returns application_traffic_secret_N+1 (Section 7.2). The caller clears
// s when it is no longer needed.
func (s *TrafficSecret) Next(k *KDF) TrafficSecret {
	return TrafficSecret{k.derive(&s.secret, "traffic upd", nil)}
}

// Finished appends the verify_data of the sender's Finished (Section 4.5.3) to out.
func (s *TrafficSecret) Finished(k *KDF, out, transcript []byte) []byte {
	return k.finished(&s.secret, out, transcript)
}

// Bytes returns the secret for the key log and for extraction. It is the
// memory of s, not a copy.
func (s *TrafficSecret) Bytes() []byte { return s.bytes() }

// ExporterSecret is the exporter_secret or the early_exporter_secret.
type ExporterSecret struct{ secret }

// Export fills out with TLS-Exporter(label, context, len(out)) (Section 7.5).
// No context is the same as an empty one. Arguments that cannot be encoded are
// refused: ErrExporterLabel, ErrExporterLength.
func (s *ExporterSecret) Export(k *KDF, label string, context, out []byte) error {
	if len(label) == 0 || len(labelPrefix)+len(label) > 255 {
		return ErrExporterLabel
	}
	if len(out) > 255*k.size {
		return ErrExporterLength
	}
	derived := k.derive(&s.secret, label, k.empty[:k.size])

	var contextHash secret
	contextHash.n = uint8(k.size)
	k.hash.Reset()
	k.write(context)
	copy(contextHash.b[:], k.hash.Sum(k.sum[:0]))

	k.expandLabel(out, derived.bytes(), "exporter", contextHash.bytes())
	derived.Clear()
	return nil
}

var (
	// ErrExporterLabel is a label that is empty or longer than 249 bytes.
	ErrExporterLabel = errors.New("exporter label is empty or longer than 249 bytes")
	// ErrExporterReserved is a label under which TLS 1.2 derives secrets of its own.
	ErrExporterReserved = errors.New("exporter label is reserved for TLS 1.2 itself")
	// ErrExporterLength is a request for more than 255 hashes of output.
	ErrExporterLength = errors.New("exporter output is longer than 255 hashes")
	// ErrExporterContext is a context of more than 65535 bytes in TLS 1.2.
	ErrExporterContext = errors.New("exporter context is longer than 65535 bytes")
)

// Bytes returns the secret for the key log. It is the memory of s, not a copy.
func (s *ExporterSecret) Bytes() []byte { return s.bytes() }

// ResumptionSecret is the resumption_secret.
type ResumptionSecret struct{ secret }

// Bytes returns the secret, to be kept. It is the memory of s, not a copy.
func (s *ResumptionSecret) Bytes() []byte { return s.bytes() }

// PSK fills out, which is Size long, with the PSK of the ticket that has the
// ticket_nonce (Section 4.7.1).
func (s *ResumptionSecret) PSK(k *KDF, nonce, out []byte) {
	k.expandLabel(out, s.bytes(), "resumption", nonce)
}

// secret is a value of the key schedule: as long as the hash.
type secret struct {
	b [maxHash]byte
	n uint8
}

func (s *secret) bytes() []byte { return s.b[:s.n] }

// Set reports whether the secret was derived and not yet cleared.
func (s *secret) Set() bool { return s.n != 0 }

// Load makes s the secret that b has, a copy of what Bytes returned.
func (s *secret) Load(b []byte) { s.n = uint8(copy(s.b[:], b)) }

// Clear erases the secret.
func (s *secret) Clear() { *s = secret{} }

// next extracts the secret of the next stage from s and new input, which is
// zeros if nil, and clears s.
func (k *KDF) next(s *secret, input []byte) (out secret) {
	salt := k.derive(s, "derived", k.empty[:k.size])
	k.extract(&out, salt.bytes(), k.orZeros(input))
	salt.Clear()
	s.Clear()
	return out
}

// finished appends HMAC(finished_key, transcript) to out (Section 4.5.3).
func (k *KDF) finished(base *secret, out, transcript []byte) []byte {
	key := k.derive(base, "finished", nil)
	k.begin(key.bytes())
	key.Clear()
	k.write(transcript)
	return append(out, k.end()...)
}

// orZeros replaces a secret that is not available by Hash.length zeros.
func (k *KDF) orZeros(input []byte) []byte {
	if input == nil {
		return zeros[:k.size]
	}
	return input
}

var zeros [maxHash]byte
