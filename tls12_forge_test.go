package baretls_test

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/baretls/baretls"
)

// A version is one that a test is run with.
type version uint16

const (
	tls12 version = tls.VersionTLS12
	tls13 version = tls.VersionTLS13
)

// eachVersion runs a test for both versions.
func eachVersion(t *testing.T, f func(t *testing.T, v version)) {
	for _, v := range []version{tls13, tls12} {
		t.Run(tls.VersionName(uint16(v)), func(t *testing.T) { f(t, v) })
	}
}

func (v version) client() *baretls.ClientConfig {
	config := clientConfig()
	config.MaxVersion = uint16(v)
	return config
}

func (v version) server() *baretls.ServerConfig {
	config := serverConfig()
	config.MaxVersion = uint16(v)
	return config
}

// pair is newPair for the version.
func (v version) pair(t testing.TB, client *baretls.ClientConfig, server *baretls.ServerConfig) *pair {
	t.Helper()
	if client == nil {
		client = v.client()
	}
	if server == nil {
		server = v.server()
	}
	client.MaxVersion, server.MaxVersion = uint16(v), uint16(v)
	return newPair(t, client, server)
}

// suite is one of the version's, for a certificate of ECDSA.
func (v version) suite() uint16 {
	if v == tls12 {
		return tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	}
	return tls.TLS_AES_128_GCM_SHA256
}

// overhead is what a record has on top of its content, without padding. For
// TLS 1.2 it is that of AES-GCM.
func (v version) overhead() int {
	if v == tls12 {
		return 5 + 8 + 16
	}
	return 5 + 1 + 16
}

// forger has the keys that the side writes under, and the number of the first
// record after the handshake.
func (p *pair) forger(from *side) *forger {
	p.t.Helper()
	if p.client.conn.ConnectionState().Version == tls.VersionTLS12 {
		f := p.forger12(from)
		f.seq = 1 // 0 was the Finished
		return f
	}
	if from == p.client {
		return p.keys.forger(p.t, "CLIENT_TRAFFIC_SECRET_0")
	}
	return p.keys.forger(p.t, "SERVER_TRAFFIC_SECRET_0")
}

// forger12 has the keys that the side writes under from its
// change_cipher_spec on.
func (p *pair) forger12(from *side) *forger {
	p.t.Helper()
	main := p.keys.secret(p.t, "CLIENT_RANDOM")
	random := p.keys.clientRandom(p.t)
	client, server := keys12(p.t, p.client.conn.NegotiatedCipherSuite(), main, random, p.server.random())
	if from == p.client {
		return client
	}
	return server
}

// random is what the side's hello says.
func (s *side) random() []byte { return s.hello[5+4+2:][:32] }

// clientRandom is the one of the last line.
func (k *keyLog) clientRandom(t testing.TB) []byte {
	t.Helper()
	var random []byte
	for line := range strings.Lines(k.String()) {
		if f := strings.Fields(line); len(f) == 3 {
			random, _ = hex.DecodeString(f[1])
		}
	}
	return random
}

// suite12 is what the tests know of a cipher suite of TLS 1.2.
type suite12 struct {
	newHash  func() hash.Hash
	keyLen   int
	newAEAD  func(key []byte) (cipher.AEAD, error)
	explicit int // bytes of the nonce in each record
}

func suiteOf(id uint16) suite12 {
	switch id {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:
		return suite12{sha256.New, 16, newGCM, 8}
	case tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
		return suite12{sha512.New384, 32, newGCM, 8}
	case tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return suite12{sha256.New, 32, chacha20poly1305.New, 0}
	}
	panic("not a suite of TLS 1.2: " + tls.CipherSuiteName(id))
}

// keys12 is RFC 5246, Section 6.3: the key block, without MAC keys.
func keys12(t testing.TB, id uint16, main, clientRandom, serverRandom []byte) (client, server *forger) {
	t.Helper()
	s := suiteOf(id)
	ivLen := 12 - s.explicit
	block := prf12(s.newHash, main, "key expansion", append(bytes.Clone(serverRandom), clientRandom...), 2*s.keyLen+2*ivLen)
	cut := func(n int) []byte {
		part := block[:n]
		block = block[n:]
		return part
	}
	client, server = new(forger), new(forger)
	for _, f := range []*forger{client, server} {
		aead, err := s.newAEAD(cut(s.keyLen))
		if err != nil {
			t.Fatal(err)
		}
		f.aead, f.tls12 = aead, true
	}
	for _, f := range []*forger{client, server} {
		f.iv = cut(ivLen)
		f.explicit = 0xab00_0000_0000_0000 // whatever: it is the sender's affair
	}
	return client, server
}

// prf12 is the PRF of RFC 5246, Section 5.
func prf12(newHash func() hash.Hash, secret []byte, label string, seed []byte, n int) (out []byte) {
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(newHash, secret)
		for _, part := range parts {
			h.Write(part)
		}
		return h.Sum(nil)
	}
	seed = append([]byte(label), seed...)
	for a := mac(seed); len(out) < n; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:n]
}

// nonce12 returns the next nonce and the part of it that the record carries:
// RFC 5288, Section 3, and RFC 7905, Section 2.
func (f *forger) nonce12(explicit []byte) (nonce []byte) {
	if len(f.iv) == 4 {
		return append(bytes.Clone(f.iv), explicit...)
	}
	nonce = bytes.Clone(f.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, f.seq) {
		nonce[4+i] ^= b
	}
	return nonce
}

// ad12 is the additional data of RFC 5246, Section 6.2.3.3.
func (f *forger) ad12(header []byte, n int) []byte {
	ad := binary.BigEndian.AppendUint64(nil, f.seq)
	return append(append(ad, header[:3]...), byte(n>>8), byte(n))
}

func (f *forger) seal12(t byte, content []byte) []byte {
	var explicit []byte
	if len(f.iv) == 4 {
		explicit = binary.BigEndian.AppendUint64(nil, f.explicit+f.seq)
	}
	record := append(header(t, len(explicit)+len(content)+16), explicit...)
	record = f.aead.Seal(record, f.nonce12(explicit), content, f.ad12(record, len(content)))
	f.seq++
	return record
}

func (f *forger) open12(t testing.TB, record []byte) []byte {
	t.Helper()
	body := record[5:]
	explicit := body[:12-len(f.iv)]
	body = body[len(explicit):]
	content, err := f.aead.Open(nil, f.nonce12(explicit), body, f.ad12(record, len(body)-16))
	if err != nil {
		t.Fatalf("a record of TLS 1.2 with %d bytes does not open with number %d", len(record), f.seq)
	}
	f.seq++
	return content
}

// phases12 are the phases of TLS 1.2.
func phases12() []func(t *testing.T) phase {
	list := []func(t *testing.T) phase{
		func(t *testing.T) phase {
			p := tls12.pair(t, nil, nil)
			p.client.turns()
			return phase{name: "the client of TLS 1.2 waits for ServerHello", victim: p.client, forger: inTheClear(), first: true, p: p}
		},
		func(t *testing.T) phase { return clientPhase12(t, "Certificate", 1) },
		func(t *testing.T) phase { return clientPhase12(t, "ServerKeyExchange", 2) },
		func(t *testing.T) phase { return clientPhase12(t, "ServerHelloDone", 3) },
		func(t *testing.T) phase { return clientPhase12(t, "change_cipher_spec", 4) },
		func(t *testing.T) phase {
			ph := clientPhase12(t, "Finished", 4)
			p := ph.p
			p.server.give(p.client.take())
			p.server.turns()
			p.client.give(records(t, p.server.take())[0])
			ph.forger = p.forger12(p.server)
			return ph
		},
		func(t *testing.T) phase {
			p := tls12.pair(t, nil, nil)
			p.handshake()
			return phase{name: "the client of TLS 1.2 is connected", victim: p.client, forger: p.forger(p.server), connected: true, p: p}
		},
		func(t *testing.T) phase {
			p := tls12.pair(t, nil, nil)
			return phase{name: "the server of TLS 1.2 waits for ClientHello", victim: p.server, forger: inTheClear(), first: true, p: p}
		},
		func(t *testing.T) phase { return serverPhase12(t, "ClientKeyExchange", 0) },
		func(t *testing.T) phase { return serverPhase12(t, "change_cipher_spec", 1) },
		func(t *testing.T) phase {
			ph := serverPhase12(t, "Finished", 2)
			ph.forger = ph.p.forger12(ph.p.client)
			return ph
		},
		func(t *testing.T) phase {
			p := tls12.pair(t, nil, nil)
			p.handshake()
			return phase{name: "the server of TLS 1.2 is connected", victim: p.server, forger: p.forger(p.client), connected: true, p: p}
		},
	}
	for i, reach := range list {
		list[i] = func(t *testing.T) phase {
			ph := reach(t)
			ph.tls12 = true
			return ph
		}
	}
	return list
}

// clientPhase12 gives the client the first n messages of the server's flight,
// each in a record of its own.
func clientPhase12(t *testing.T, next string, n int) phase {
	t.Helper()
	p := tls12.pair(t, nil, nil)
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	flight := records(t, p.server.take())
	if len(flight) != 1 {
		t.Fatalf("the server's first flight is %d records, want one for all its messages", len(flight))
	}
	for _, m := range messages(t, flight[0][5:])[:n] {
		p.client.give(plain(handshake, m))
	}
	p.client.turns()
	return phase{name: "the client of TLS 1.2 waits for " + next, victim: p.client, forger: inTheClear(), p: p}
}

// serverPhase12 gives the server the first n records of the client's second
// flight: ClientKeyExchange, change_cipher_spec, Finished.
func serverPhase12(t *testing.T, next string, n int) phase {
	t.Helper()
	p := tls12.pair(t, nil, nil)
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	if n > 0 {
		p.client.give(p.server.take())
		p.client.turns()
		flight := records(t, p.client.take())
		if len(flight) != 3 {
			t.Fatalf("the client's second flight is %d records, want three", len(flight))
		}
		p.server.give(flight[:n]...)
		p.server.turns()
	}
	return phase{name: "the server of TLS 1.2 waits for " + next, victim: p.server, forger: inTheClear(), p: p}
}
