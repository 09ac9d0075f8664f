package baretls_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// A keyLog takes what KeyLogWriter gives away. With it a test can seal and
// open records in the peer's stead, by code of its own.
type keyLog struct{ bytes.Buffer }

// secret returns the last one under the label.
func (k *keyLog) secret(t testing.TB, label string) []byte {
	t.Helper()
	var secret []byte
	for line := range strings.Lines(k.String()) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == label {
			secret, _ = hex.DecodeString(f[2])
		}
	}
	if secret == nil {
		t.Fatalf("the key log has no %s:\n%s", label, k)
	}
	return secret
}

// A forger has the keys of one direction, or none: it makes records as the
// peer could, and others that no peer should. Of TLS 1.3 it knows
// TLS_AES_128_GCM_SHA256, and of TLS 1.2 what tls12_forge_test.go adds.
type forger struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64

	tls12    bool
	explicit uint64 // added to the number of a record, for the nonce that it carries
}

// inTheClear makes records without protection.
func inTheClear() *forger { return new(forger) }

func (k *keyLog) forger(t testing.TB, label string) *forger {
	t.Helper()
	f := &forger{secret: k.secret(t, label)}
	f.setKeys()
	return f
}

// setKeys is RFC 9846, Section 7.3.
func (f *forger) setKeys() {
	block, err := aes.NewCipher(expandLabel(f.secret, "key", 16))
	if err != nil {
		panic(err)
	}
	if f.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	f.iv = expandLabel(f.secret, "iv", 12)
	f.seq = 0
}

// update goes on to the next keys: Section 7.2.
func (f *forger) update() {
	f.secret = expandLabel(f.secret, "traffic upd", 32)
	f.setKeys()
}

func expandLabel(secret []byte, label string, n int) []byte {
	info := []byte{byte(n >> 8), byte(n), byte(len("tls13 ") + len(label))}
	info = append(append(info, "tls13 "+label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return out
}

func (f *forger) nonce() []byte {
	nonce := bytes.Clone(f.iv)
	seq := binary.BigEndian.AppendUint64(nil, f.seq)
	for i, b := range seq {
		nonce[4+i] ^= b
	}
	f.seq++
	return nonce
}

// seal makes a record of that inner type, with so many bytes of padding, which
// TLS 1.2 has not.
func (f *forger) seal(t byte, content []byte, padding int) []byte {
	switch {
	case f.aead == nil:
		return plain(t, content)
	case f.tls12:
		return f.seal12(t, content)
	}
	inner := append(bytes.Clone(content), t)
	return f.sealInner(append(inner, make([]byte, padding)...))
}

// sealInner makes a record of a whole TLSInnerPlaintext.
func (f *forger) sealInner(inner []byte) []byte {
	n := len(inner) + f.aead.Overhead()
	header := []byte{applicationData, 3, 3, byte(n >> 8), byte(n)}
	return f.aead.Seal(header, f.nonce(), inner, header)
}

func (f *forger) alert(description tls.AlertError) []byte {
	return f.seal(alert, []byte{2, byte(description)}, 0)
}

// open returns the inner type and the content of a record.
func (f *forger) open(t testing.TB, record []byte) (byte, []byte) {
	t.Helper()
	switch {
	case f.aead == nil:
		return record[0], record[5:]
	case f.tls12:
		return record[0], f.open12(t, record)
	}
	inner, err := f.aead.Open(nil, f.nonce(), record[5:], record[:5])
	if err != nil {
		t.Fatalf("a record of %d bytes does not open with number %d", len(record), f.seq-1)
	}
	inner = bytes.TrimRight(inner, "\x00")
	return inner[len(inner)-1], inner[:len(inner)-1]
}

// The content types of RFC 9846, Section 5.1.
const (
	changeCipherSpec = 20
	alert            = 21
	handshake        = 22
	applicationData  = 23
)

// plain makes a record in the clear.
func plain(t byte, content []byte) []byte {
	return append([]byte{t, 3, 3, byte(len(content) >> 8), byte(len(content))}, content...)
}

func ccs() []byte { return plain(changeCipherSpec, []byte{1}) }

// records cuts a flight into its records.
func records(t testing.TB, flight []byte) [][]byte {
	t.Helper()
	var list [][]byte
	for len(flight) > 0 {
		if len(flight) < 5 || len(flight) < 5+int(binary.BigEndian.Uint16(flight[3:])) {
			t.Fatalf("%d bytes at the end are not a record", len(flight))
		}
		n := 5 + int(binary.BigEndian.Uint16(flight[3:]))
		list = append(list, flight[:n:n])
		flight = flight[n:]
	}
	return list
}

// messages cuts the content of handshake records into messages.
func messages(t testing.TB, content []byte) [][]byte {
	t.Helper()
	var list [][]byte
	for len(content) > 0 {
		n := 4 + int(content[1])<<16 + int(content[2])<<8 + int(content[3])
		if n > len(content) {
			t.Fatalf("%d bytes at the end are not a message", len(content))
		}
		list = append(list, content[:n:n])
		content = content[n:]
	}
	return list
}

func keyUpdate(requested byte) []byte { return []byte{24, 0, 0, 1, requested} }

// A phase is a point in a connection's life at which one side, the victim,
// waits for a record of the peer, which the forger can make.
type phase struct {
	name      string
	victim    *side
	peer      *side // whom the victim answers
	forger    *forger
	connected bool // the victim is: application data may come
	clear     bool // the peer's records are in the clear
	first     bool // the victim has received nothing
	tls12     bool // it is a phase of TLS 1.2
	ccs       int  // change_cipher_spec records that have just come
	p         *pair
}

// phases calls f for a connection in each phase, of both versions.
func phases(t *testing.T, f func(t *testing.T, ph phase)) {
	t.Helper()
	for _, reach := range append(phases12(),
		func(t *testing.T) phase {
			p := newPair(t, nil, nil)
			p.client.turns()
			return phase{name: "the client waits for ServerHello", victim: p.client, forger: inTheClear(), first: true, p: p}
		},
		func(t *testing.T) phase {
			p := newPair(t, nil, retryServer())
			p.client.turns()
			p.server.give(p.client.take())
			p.server.turns()
			p.client.give(p.server.take())
			p.client.turns()
			return phase{name: "the client waits for ServerHello after HelloRetryRequest", victim: p.client, forger: inTheClear(), ccs: 1, p: p}
		},
		func(t *testing.T) phase { return clientPhase(t, "EncryptedExtensions", 0) },
		func(t *testing.T) phase { return clientPhase(t, "Certificate", 1) },
		func(t *testing.T) phase { return clientPhase(t, "CertificateVerify", 2) },
		func(t *testing.T) phase { return clientPhase(t, "Finished", 3) },
		func(t *testing.T) phase {
			p := newPair(t, nil, nil)
			p.handshake()
			return phase{name: "the client is connected", victim: p.client, forger: p.keys.forger(t, "SERVER_TRAFFIC_SECRET_0"), connected: true, p: p}
		},
		func(t *testing.T) phase {
			p := newPair(t, nil, nil)
			return phase{name: "the server waits for ClientHello", victim: p.server, forger: inTheClear(), first: true, p: p}
		},
		func(t *testing.T) phase {
			p := newPair(t, nil, retryServer())
			p.client.turns()
			p.server.give(p.client.take())
			p.server.turns()
			p.server.take()
			return phase{name: "the server waits for the second ClientHello", victim: p.server, forger: inTheClear(), p: p}
		},
		func(t *testing.T) phase {
			p := newPair(t, nil, nil)
			p.client.turns()
			p.server.give(p.client.take())
			p.server.turns()
			p.client.give(p.server.take())
			p.client.turns()
			p.client.take()
			return phase{name: "the server waits for Finished", victim: p.server, forger: p.keys.forger(t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET"), p: p}
		},
		func(t *testing.T) phase {
			p := newPair(t, nil, nil)
			p.handshake()
			return phase{name: "the server is connected", victim: p.server, forger: p.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0"), connected: true, p: p}
		},
	) {
		ph := reach(t)
		ph.peer = ph.p.other(ph.victim)
		ph.clear = ph.forger.aead == nil
		t.Run(strings.ReplaceAll(ph.name, " ", "_"), func(t *testing.T) {
			for _, s := range ph.p.sides() {
				s.t = t
				s.transcript = nil
			}
			ph.p.t = t
			if ph.victim.turns(); ph.victim.err != nil {
				t.Fatalf("%s: it has failed before: %v", ph.name, ph.victim.err)
			}
			ph.victim.transcript = nil
			f(t, ph)
		})
	}
}

// clientPhase gives the client the first n messages that are protected, each
// in a record of its own.
func clientPhase(t *testing.T, next string, n int) phase {
	t.Helper()
	p := newPair(t, nil, nil)
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	flight := records(t, p.server.take())
	if len(flight) != 3 {
		t.Fatalf("the server's flight is %d records, want ServerHello, change_cipher_spec and one more", len(flight))
	}
	p.client.give(flight[0], flight[1])
	p.client.turns()
	opener := p.keys.forger(t, "SERVER_HANDSHAKE_TRAFFIC_SECRET")
	_, content := opener.open(t, flight[2])
	f := p.keys.forger(t, "SERVER_HANDSHAKE_TRAFFIC_SECRET")
	for _, m := range messages(t, content)[:n] {
		p.client.give(f.seal(handshake, m, 0))
	}
	p.client.turns()
	ph := phase{name: "the client waits for " + next, victim: p.client, forger: f, p: p}
	if n == 0 {
		ph.ccs = 1
	}
	return ph
}

// hand gives the victim records, lets it take its turns, and lets the peer
// take what comes of it.
func (ph phase) hand(records ...[]byte) {
	ph.victim.t.Helper()
	ph.victim.give(records...)
	ph.victim.turns()
	ph.peer.give(ph.victim.take())
	ph.peer.turns()
}
