package keyschedule

// TLS 1.2: RFC 5246, Sections 5, 6.3, 7.4.9 and 8.1, with RFC 7627 and RFC 5705.

// MainSecret12 is the master_secret of TLS 1.2, which RFC 9846 calls main. It
// has one length for all hashes.
type MainSecret12 struct{ b [48]byte }

// MainSecret12 derives the secret from the pre-master secret: over the hash of
// the transcript up to the ClientKeyExchange (RFC 7627, Section 4), or over both
// randoms if transcript is nil, as it was before.
func (k *KDF) MainSecret12(shared, transcript, clientRandom, serverRandom []byte) (s MainSecret12) {
	if transcript != nil {
		k.prf(s.b[:], shared, "extended master secret", transcript)
	} else {
		k.prf(s.b[:], shared, "master secret", clientRandom, serverRandom)
	}
	return s
}

// MainSecret12From is the secret of a session.
func MainSecret12From(b []byte) (s MainSecret12) {
	copy(s.b[:], b)
	return s
}

// Bytes returns the secret for the key log and for sessions. It is the memory
// of s, not a copy.
func (s *MainSecret12) Bytes() []byte { return s.b[:] }

// Clear erases the secret.
func (s *MainSecret12) Clear() { clear(s.b[:]) }

// KeyBlock fills out with the key_block (Section 6.3).
func (s *MainSecret12) KeyBlock(k *KDF, out, serverRandom, clientRandom []byte) {
	k.prf(out, s.b[:], "key expansion", serverRandom, clientRandom)
}

// FinishedLen12 is the length of verify_data.
const FinishedLen12 = 12

// Finished appends the verify_data over the hash of the transcript to out
// (Section 7.4.9).
func (s *MainSecret12) Finished(k *KDF, out []byte, client bool, transcript []byte) []byte {
	label := "server finished"
	if client {
		label = "client finished"
	}
	var data [FinishedLen12]byte
	k.prf(data[:], s.b[:], label, transcript)
	return append(out, data[:]...)
}

// Export fills out with keying material (RFC 5705, Section 4). Unlike in TLS
// 1.3, no context is not the same as an empty one.
func (s *MainSecret12) Export(k *KDF, label string, context, out, clientRandom, serverRandom []byte) error {
	if len(label) == 0 || len(label) > maxLabel12 {
		return ErrExporterLabel
	}
	switch label {
	case "client finished", "server finished", "master secret", "key expansion":
		return ErrExporterReserved // RFC 5705, Section 6
	}
	if len(out) > 255*k.size {
		return ErrExporterLength
	}
	if context == nil {
		k.prf(out, s.b[:], label, clientRandom, serverRandom)
		return nil
	}
	if len(context) > 1<<16-1 {
		return ErrExporterContext
	}
	n := [2]byte{byte(len(context) >> 8), byte(len(context))}
	k.prf(out, s.b[:], label, clientRandom, serverRandom, n[:], context)
	return nil
}

// maxLabel12 is the bound that TLS 1.3 has, so that labels work in both.
const maxLabel12 = 255 - len(labelPrefix)

// prf is the PRF with P_hash (Section 5): HMAC over A(i), the label and the
// two halves of the seed, as often as it takes to fill out.
func (k *KDF) prf(out, key []byte, label string, seed ...[]byte) {
	var a secret // A(i)
	a.n = uint8(k.size)
	k.begin(key)
	k.writeSeed(label, seed)
	copy(a.bytes(), k.end())
	for len(out) > 0 {
		k.begin(key)
		k.write(a.bytes())
		k.writeSeed(label, seed)
		out = out[copy(out, k.end()):]
		k.begin(key)
		k.write(a.bytes())
		copy(a.bytes(), k.end())
	}
	a.Clear()
}

func (k *KDF) writeSeed(label string, seed [][]byte) {
	for len(label) > 0 {
		n := copy(k.chunk[:], label)
		k.hash.Write(k.chunk[:n])
		label = label[n:]
	}
	for _, part := range seed {
		k.write(part)
	}
}
