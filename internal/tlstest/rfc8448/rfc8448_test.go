package rfc8448

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
	"testing"
)

var names = []string{Simple1RTT, Resumed0RTT, HelloRetryRequest, ClientAuth, CompatibilityMode}

func load(t *testing.T, name string) Trace {
	t.Helper()
	tr, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// forEach runs f as a subtest on every trace.
func forEach(t *testing.T, f func(t *testing.T, name string, tr Trace)) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) { f(t, name, load(t, name)) })
	}
}

// check compares a computed value with the one of the trace.
func check(t *testing.T, tr Trace, key string, got []byte) {
	t.Helper()
	if want := tr.Bytes(key); !bytes.Equal(got, want) {
		t.Errorf("%s: computed %x, trace has %x", key, got, want)
	}
}

func sum(parts ...[]byte) []byte {
	h := sha256.Sum256(slices.Concat(parts...))
	return h[:]
}

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

func extract(t *testing.T, salt, ikm []byte) []byte {
	t.Helper()
	prk, err := hkdf.Extract(sha256.New, ikm, salt)
	if err != nil {
		t.Fatal(err)
	}
	return prk
}

// expandLabel is HKDF-Expand-Label of RFC 9846, Section 7.1.
func expandLabel(t *testing.T, secret []byte, label string, context []byte, n int) []byte {
	t.Helper()
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len(label)))
	info = append(info, label...)
	info = append(info, byte(len(context)))
	info = append(info, context...)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// transcript holds the concatenated messages of a trace in the three parts its
// Finished messages divide it into.
type transcript struct {
	hellos []byte // up to ServerHello
	server []byte // after it, up to and without the server Finished
	client []byte // after that one, up to and without the client Finished
}

func newTranscript(name string, tr Trace) transcript {
	join := func(keys ...string) []byte {
		var b []byte
		for _, k := range keys {
			b = append(b, tr.Bytes(k)...)
		}
		return b
	}
	switch name {
	case Resumed0RTT:
		return transcript{
			hellos: join("client_hello", "server_hello"),
			server: join("encrypted_extensions"),
			client: join("end_of_early_data"),
		}
	case HelloRetryRequest:
		// The synthetic message_hash message of RFC 9846, Section 4.1.
		hash := append([]byte{254, 0, 0, 32}, sum(tr.Bytes("client_hello_1"))...)
		return transcript{
			hellos: append(hash, join("hello_retry_request", "client_hello_2", "server_hello")...),
			server: join("encrypted_extensions", "certificate", "certificate_verify"),
		}
	case ClientAuth:
		return transcript{
			hellos: join("client_hello", "server_hello"),
			server: join("encrypted_extensions", "certificate_request", "certificate", "certificate_verify"),
			client: join("client_certificate", "client_certificate_verify"),
		}
	default:
		return transcript{
			hellos: join("client_hello", "server_hello"),
			server: join("encrypted_extensions", "certificate", "certificate_verify"),
		}
	}
}

func TestLoad(t *testing.T) {
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, strings.TrimSuffix(e.Name(), ".txt"))
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(names))
	if !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	forEach(t, func(t *testing.T, name string, tr Trace) {
		if len(tr) < 40 {
			t.Errorf("only %d keys", len(tr))
		}
		for k, v := range tr {
			if len(v) == 0 {
				t.Errorf("%s is empty", k)
			}
		}
	})
	if _, err := Load("none"); err == nil {
		t.Error("no error for an unknown trace")
	}
}

func TestBytesPanics(t *testing.T) {
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, `"no_such_key"`) {
			t.Errorf("panic value %q", s)
		}
	}()
	Trace{}.Bytes("no_such_key")
}

func TestKeyExchange(t *testing.T) {
	forEach(t, func(t *testing.T, name string, tr Trace) {
		clientHello := "client_hello"
		group, curve := "x25519", ecdh.X25519()
		if name == HelloRetryRequest {
			priv, err := ecdh.X25519().NewPrivateKey(tr.Bytes("client_x25519_private"))
			if err != nil {
				t.Fatal(err)
			}
			check(t, tr, "client_x25519_public", priv.PublicKey().Bytes())
			if !bytes.Contains(tr.Bytes("client_hello_1"), priv.PublicKey().Bytes()) {
				t.Error("client_hello_1 does not contain the X25519 key share")
			}
			clientHello = "client_hello_2"
			group, curve = "p256", ecdh.P256()
		}
		client, err := curve.NewPrivateKey(tr.Bytes("client_" + group + "_private"))
		if err != nil {
			t.Fatal(err)
		}
		server, err := curve.NewPrivateKey(tr.Bytes("server_" + group + "_private"))
		if err != nil {
			t.Fatal(err)
		}
		check(t, tr, "client_"+group+"_public", client.PublicKey().Bytes())
		check(t, tr, "server_"+group+"_public", server.PublicKey().Bytes())
		for _, p := range []struct {
			priv *ecdh.PrivateKey
			pub  string
		}{{client, "server_"}, {server, "client_"}} {
			pub, err := curve.NewPublicKey(tr.Bytes(p.pub + group + "_public"))
			if err != nil {
				t.Fatal(err)
			}
			shared, err := p.priv.ECDH(pub)
			if err != nil {
				t.Fatal(err)
			}
			check(t, tr, "ecdhe_shared_secret", shared)
		}
		if !bytes.Contains(tr.Bytes(clientHello), client.PublicKey().Bytes()) {
			t.Error("the ClientHello does not contain the client key share")
		}
		if !bytes.Contains(tr.Bytes("server_hello"), server.PublicKey().Bytes()) {
			t.Error("the ServerHello does not contain the server key share")
		}
	})
}

func TestKeySchedule(t *testing.T) {
	forEach(t, func(t *testing.T, name string, tr Trace) {
		zero := make([]byte, sha256.Size)
		ts := newTranscript(name, tr)
		keys := func(prefix string, secret []byte) {
			t.Helper()
			check(t, tr, prefix+"_key", expandLabel(t, secret, "key", nil, 16))
			check(t, tr, prefix+"_iv", expandLabel(t, secret, "iv", nil, 12))
		}
		derive := func(key string, secret []byte, label string, hash []byte) []byte {
			t.Helper()
			out := expandLabel(t, secret, label, hash, sha256.Size)
			check(t, tr, key, out)
			return out
		}

		psk := zero
		if name == Resumed0RTT {
			psk = tr.Bytes("psk")
		}
		early := extract(t, zero, psk)
		check(t, tr, "early_secret", early)
		if name == Resumed0RTT {
			hash := sum(tr.Bytes("client_hello"))
			check(t, tr, "transcript_hash_client_hello", hash)
			derive("early_exporter_secret", early, "e exp master", hash)
			keys("client_early", derive("client_early_traffic_secret", early, "c e traffic", hash))

			binderKey := derive("binder_key", early, "res binder", sum())
			hash = sum(tr.Bytes("client_hello_prefix"))
			check(t, tr, "binder_hash", hash)
			check(t, tr, "binder", mac(derive("binder_finished_key", binderKey, "finished", nil), hash))
		}

		derived := derive("derived_for_handshake", early, "derived", sum())
		handshake := extract(t, derived, tr.Bytes("ecdhe_shared_secret"))
		check(t, tr, "handshake_secret", handshake)
		hash := sum(ts.hellos)
		check(t, tr, "transcript_hash_server_hello", hash)
		clientHandshake := derive("client_handshake_traffic_secret", handshake, "c hs traffic", hash)
		serverHandshake := derive("server_handshake_traffic_secret", handshake, "s hs traffic", hash)
		keys("client_handshake", clientHandshake)
		keys("server_handshake", serverHandshake)

		hash = sum(ts.hellos, ts.server)
		verify := mac(derive("server_finished_key", serverHandshake, "finished", nil), hash)
		check(t, tr, "server_finished_verify_data", verify)
		check(t, tr, "server_finished", append([]byte{20, 0, 0, 32}, verify...))

		derived = derive("derived_for_main", handshake, "derived", sum())
		main := extract(t, derived, zero)
		check(t, tr, "main_secret", main)
		hash = sum(ts.hellos, ts.server, tr.Bytes("server_finished"))
		check(t, tr, "transcript_hash_server_finished", hash)
		keys("client_application", derive("client_application_traffic_secret_0", main, "c ap traffic", hash))
		keys("server_application", derive("server_application_traffic_secret_0", main, "s ap traffic", hash))
		derive("exporter_secret", main, "exp master", hash)

		hash = sum(ts.hellos, ts.server, tr.Bytes("server_finished"), ts.client)
		verify = mac(derive("client_finished_key", clientHandshake, "finished", nil), hash)
		check(t, tr, "client_finished_verify_data", verify)
		check(t, tr, "client_finished", append([]byte{20, 0, 0, 32}, verify...))

		hash = sum(ts.hellos, ts.server, tr.Bytes("server_finished"), ts.client, tr.Bytes("client_finished"))
		check(t, tr, "transcript_hash_client_finished", hash)
		resumption := derive("resumption_secret", main, "res master", hash)
		if name == Simple1RTT {
			derive("ticket_psk", resumption, "resumption", tr.Bytes("ticket_nonce"))
		}
	})
}

// TestRecords opens every protected record and compares it with its payload,
// and frames every payload of an unprotected record.
func TestRecords(t *testing.T) {
	// Record content types.
	const ccs, alert, handshake, data = 20, 21, 22, 23
	type record struct {
		key  string // of the record, without "_record"
		keys string // prefix of the keys; empty for an unprotected record
		seq  uint64
		typ  byte
	}
	simple := []record{
		{"client_hello", "", 0, handshake},
		{"server_hello", "", 0, handshake},
		{"server_flight", "server_handshake", 0, handshake},
		{"client_finished", "client_handshake", 0, handshake},
	}
	alerts := []record{
		{"client_alert", "client_application", 0, alert},
		{"server_alert", "server_application", 0, alert},
	}
	records := map[string][]record{
		Simple1RTT: append(simple[:4:4], []record{
			{"new_session_ticket", "server_application", 0, handshake},
			{"client_data", "client_application", 0, data},
			{"server_data", "server_application", 1, data},
			{"client_alert", "client_application", 1, alert},
			{"server_alert", "server_application", 2, alert},
		}...),
		Resumed0RTT: append(simple[:4:4], []record{
			{"client_early_data", "client_early", 0, data},
			{"end_of_early_data", "client_early", 1, handshake},
			{"client_data", "client_application", 0, data},
			{"server_data", "server_application", 0, data},
			{"client_alert", "client_application", 1, alert},
			{"server_alert", "server_application", 1, alert},
		}...),
		HelloRetryRequest: append([]record{
			{"client_hello_1", "", 0, handshake},
			{"hello_retry_request", "", 0, handshake},
			{"client_hello_2", "", 0, handshake},
		}, append(simple[1:4:4], alerts...)...),
		ClientAuth: append(append(simple[:3:3],
			record{"client_flight", "client_handshake", 0, handshake}), alerts...),
		CompatibilityMode: append(append(simple[:4:4],
			record{"client_change_cipher_spec", "", 0, ccs},
			record{"server_change_cipher_spec", "", 0, ccs}), alerts...),
	}
	forEach(t, func(t *testing.T, name string, tr Trace) {
		seen := 0
		for _, r := range records[name] {
			seen++
			payload, ok := tr[r.key+"_payload"]
			if !ok {
				payload = tr.Bytes(r.key)
			}
			rec := tr.Bytes(r.key + "_record")
			if n := int(binary.BigEndian.Uint16(rec[3:5])); n != len(rec)-5 {
				t.Errorf("%s_record: length field %d, %d octets", r.key, n, len(rec)-5)
				continue
			}
			if r.keys == "" {
				if rec[0] != r.typ || !bytes.Equal(rec[5:], payload) {
					t.Errorf("%s_record does not hold its payload", r.key)
				}
				continue
			}
			if !bytes.Equal(rec[:3], []byte{data, 3, 3}) {
				t.Errorf("%s_record: header %x", r.key, rec[:3])
			}
			block, err := aes.NewCipher(tr.Bytes(r.keys + "_key"))
			if err != nil {
				t.Fatal(err)
			}
			aead, err := cipher.NewGCM(block)
			if err != nil {
				t.Fatal(err)
			}
			nonce := bytes.Clone(tr.Bytes(r.keys + "_iv"))
			tail := nonce[len(nonce)-8:]
			binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^r.seq)
			inner, err := aead.Open(nil, nonce, rec[5:], rec[:5])
			if err != nil {
				t.Errorf("%s_record: %v", r.key, err)
				continue
			}
			if want := append(bytes.Clone(payload), r.typ); !bytes.Equal(inner, want) {
				t.Errorf("%s_record: opened to %x, want %x", r.key, inner, want)
			}
		}
		for k := range tr {
			if strings.HasSuffix(k, "_record") {
				seen--
			}
		}
		if seen != 0 {
			t.Errorf("%d records more checked than the trace has", seen)
		}
	})
}

// TestMessages checks the framing of the messages and that the flights consist
// of them.
func TestMessages(t *testing.T) {
	forEach(t, func(t *testing.T, name string, tr Trace) {
		types := map[string]byte{
			"client_hello": 1, "client_hello_1": 1, "client_hello_2": 1,
			"server_hello": 2, "hello_retry_request": 2, "new_session_ticket": 4,
			"end_of_early_data": 5, "encrypted_extensions": 8,
			"certificate": 11, "client_certificate": 11, "certificate_request": 13,
			"certificate_verify": 15, "client_certificate_verify": 15,
			"server_finished": 20, "client_finished": 20,
		}
		for k, typ := range types {
			m, ok := tr[k]
			if !ok {
				continue
			}
			if got := binary.BigEndian.Uint32(m); got != uint32(typ)<<24|uint32(len(m)-4) {
				t.Errorf("%s: header %08x for %d octets", k, got, len(m))
			}
		}
		ts := newTranscript(name, tr)
		check(t, tr, "server_flight_payload", slices.Concat(ts.server, tr.Bytes("server_finished")))
		switch name {
		case Resumed0RTT:
			prefix, ch := tr.Bytes("client_hello_prefix"), tr.Bytes("client_hello")
			// The binders list holds one binder of 32 octets.
			check(t, tr, "client_hello", slices.Concat(prefix, []byte{0, 33, 32}, tr.Bytes("binder")))

			// What is resumed is the ticket of the simple handshake.
			simple := load(t, Simple1RTT)
			check(t, tr, "psk", simple.Bytes("ticket_psk"))
			m := simple.Bytes("new_session_ticket")[4+8:] // without lifetime and age_add
			nonce := m[1 : 1+m[0]]
			check(t, simple, "ticket_nonce", nonce)
			m = m[1+len(nonce):]
			ticket := m[2 : 2+binary.BigEndian.Uint16(m)]
			if !bytes.Contains(ch, ticket) {
				t.Error("client_hello does not contain the ticket")
			}
		case HelloRetryRequest:
			cookie := tr.Bytes("cookie")
			ext := binary.BigEndian.AppendUint16([]byte{0, 44}, uint16(len(cookie)+2))
			ext = binary.BigEndian.AppendUint16(ext, uint16(len(cookie)))
			ext = append(ext, cookie...)
			for _, k := range []string{"hello_retry_request", "client_hello_2"} {
				if !bytes.Contains(tr.Bytes(k), ext) {
					t.Errorf("%s does not contain the cookie", k)
				}
			}
			random := sum([]byte("HelloRetryRequest"))
			if !bytes.Equal(tr.Bytes("hello_retry_request")[6:38], random) {
				t.Error("hello_retry_request lacks its random")
			}
		case ClientAuth:
			check(t, tr, "client_flight_payload", slices.Concat(ts.client, tr.Bytes("client_finished")))
		}
	})
}

// leaf returns the public key of the first certificate of a Certificate message
// with an empty request context.
func leaf(t *testing.T, m []byte) crypto.PublicKey {
	t.Helper()
	der := m[4+1+3:]
	n := int(binary.BigEndian.Uint32(append([]byte{0}, der[:3]...)))
	cert, err := x509.ParseCertificate(der[3 : 3+n])
	if err != nil {
		t.Fatal(err)
	}
	return cert.PublicKey
}

// verify checks the signature of a CertificateVerify message.
func verify(t *testing.T, pub crypto.PublicKey, context string, hash, m []byte) {
	t.Helper()
	digest := sum(bytes.Repeat([]byte{32}, 64), []byte(context), []byte{0}, hash)
	scheme, sig := binary.BigEndian.Uint16(m[4:]), m[8:]
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		if err := rsa.VerifyPSS(pub, crypto.SHA256, digest, sig, opts); scheme != 0x0804 || err != nil {
			t.Errorf("scheme %04x: %v", scheme, err)
		}
	case *ecdsa.PublicKey:
		if scheme != 0x0403 || !ecdsa.VerifyASN1(pub, digest, sig) {
			t.Errorf("scheme %04x: invalid signature", scheme)
		}
	default:
		t.Errorf("unexpected public key %T", pub)
	}
}

func TestSignatures(t *testing.T) {
	const (
		serverContext = "TLS 1.3, server CertificateVerify"
		clientContext = "TLS 1.3, client CertificateVerify"
	)
	forEach(t, func(t *testing.T, name string, tr Trace) {
		if name == Resumed0RTT {
			t.Skip("no certificates")
		}
		ts := newTranscript(name, tr)
		pub := leaf(t, tr.Bytes("certificate"))
		cv := tr.Bytes("certificate_verify")
		verify(t, pub, serverContext, sum(ts.hellos, bytes.TrimSuffix(ts.server, cv)), cv)
		if name == ClientAuth {
			cv := tr.Bytes("client_certificate_verify")
			verify(t, leaf(t, tr.Bytes("client_certificate")), clientContext,
				sum(ts.hellos, ts.server, tr.Bytes("server_finished"), bytes.TrimSuffix(ts.client, cv)), cv)
			return
		}

		num := func(key string) *big.Int { return new(big.Int).SetBytes(tr.Bytes("server_rsa_" + key)) }
		priv := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: num("modulus"), E: int(num("public_exponent").Int64())},
			D:         num("private_exponent"),
			Primes:    []*big.Int{num("prime1"), num("prime2")},
		}
		if err := priv.Validate(); err != nil {
			t.Error(err)
		}
		if !priv.PublicKey.Equal(pub) {
			t.Error("the RSA key is not that of the certificate")
		}
		priv.Precompute()
		for key, v := range map[string]*big.Int{
			"exponent1": priv.Precomputed.Dp, "exponent2": priv.Precomputed.Dq, "coefficient": priv.Precomputed.Qinv,
		} {
			if v.Cmp(num(key)) != 0 {
				t.Errorf("server_rsa_%s does not match", key)
			}
		}
	})
}
