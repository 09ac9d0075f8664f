package handshake

import (
	"bytes"
	"crypto/tls"
	"encoding"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// maxHashBlocks is what the hash of a connection works on, by role, in blocks of
// 64 bytes, until the handshake is over, with what a CertificateVerify of TLS 1.2
// signs: all messages before it, a second time.
var maxHashBlocks = map[string]int{"server": 4_500, "client": 9_000}

// countedHash is a hash that counts its blocks.
type countedHash struct {
	hash.Hash
	blocks *int
}

func (h countedHash) Write(b []byte) (int, error) {
	*h.blocks += (len(b) + h.BlockSize() - 1) / h.BlockSize()
	return h.Hash.Write(b)
}

func (h countedHash) Sum(b []byte) []byte {
	*h.blocks++
	return h.Hash.Sum(b)
}

func (h countedHash) AppendBinary(b []byte) ([]byte, error) {
	return h.Hash.(encoding.BinaryAppender).AppendBinary(b)
}

func (h countedHash) UnmarshalBinary(b []byte) error {
	return h.Hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
}

// A hashing is a handshake in which that role hashes much.
type hashing struct {
	story, role string
	prepare     func(t *testing.T) *pair
}

// What a side hashes is bounded by what it is sent, and docs/security.md says
// how.
func TestHashBlocks(t *testing.T) {
	most := make(map[string]int)
	for _, row := range append(hashing12, []hashing{
		{"a large hello", "server", func(t *testing.T) *pair { return newPair(t).largeHello() }},
		{"a large hello, twice", "server", func(t *testing.T) *pair { return newPair(t).retries().largeHello() }},
		{"many sessions", "server", func(t *testing.T) *pair { return newResumingPair(t).offersMany() }},
		{"many sessions, twice", "server", func(t *testing.T) *pair { return newResumingPair(t).retries().offersMany() }},
		{"a large hello, twice, and a large certificate", "server", func(t *testing.T) *pair {
			return newMutualPair(t).retries().largeHello().largeClientCertificate()
		}},
		// These two together, which no server of ours can play, are less than the last.
		{"a large cookie", "client", func(t *testing.T) *pair { return newResumingPair(t).retries().largeCookie() }},
		{"all that is large behind it", "client", func(t *testing.T) *pair { return newResumingPair(t).retries().largeServerFlight() }},
	}...) {
		p := row.prepare(t)
		blocks := 0
		policy := &p.serverPolicy.Policy
		if row.role == "client" {
			policy = &p.clientPolicy.Policy
		}
		policy.TestingNoPools = true // or hashes would not be counted
		policy.Suites = slices.Clone(policy.Suites)
		for i, of := range policy.Suites {
			counted := *of
			counted.NewHash = func() hash.Hash { return countedHash{of.NewHash(), &blocks} }
			policy.Suites[i] = &counted
		}
		messages, signed := 0, 0
		tap := p.tap
		p.tap = func(to *side, m []byte) []byte {
			if policy.TLS12 && m[0] == byte(wire.TypeCertificateVerify) {
				signed = messages
			}
			messages += len(m)
			if tap != nil {
				m = tap(to, m)
			}
			return m
		}
		p.run()
		if policy.TLS12 && signed == 0 {
			t.Errorf("%s: there is no CertificateVerify", row.story)
		}
		if tap != nil { // the server has not seen the cookie, and has other keys
			expectAlert(t, p.c.err, fault.BadRecordMACAlert, row.story)
		} else if p.c.err != nil || p.s.err != nil || !p.c.core.Complete || !p.s.core.Complete {
			t.Errorf("%s: the handshake is not complete: %v, %v", row.story, p.c.err, p.s.err)
		}
		blocks += (signed + 63) / 64
		t.Logf("%s: a %s hashes %d blocks", row.story, row.role, blocks)
		most[row.role] = max(most[row.role], blocks)
	}
	document, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	for role, bound := range maxHashBlocks {
		if most[role] > bound || TLS12 && most[role] < bound/2 {
			t.Errorf("a %s hashes %d blocks at most, and the bound is %d", role, most[role], bound)
		}
		if want := fmt.Sprintf("%d blocks in a %s", bound, role); !strings.Contains(string(document), want) {
			t.Errorf("docs/security.md does not say that it is at most %s", want)
		}
	}
}

// large is nearly as much as a message may hold.
const large = 63_000

func (p *pair) largeHello() *pair {
	p.clientDoors[kind(wire.TypeClientHello)] = addToHello(21, make([]byte, large)...)
	return p
}

// retries makes the server ask for a share that the client does not send at once.
func (p *pair) retries() *pair {
	p.clientPolicy.Groups, p.serverPolicy.Groups = groups(0x001d, 0x0018), groups(0x0018)
	return p
}

// offersMany makes a hello large by sessions, of which the first is resumed.
func (p *pair) offersMany() *pair {
	sessions := []*Session{p.held()[0].clone()}
	for range 850 {
		unknown := sessions[0].clone()
		unknown.Ticket = bytes.Repeat([]byte("?"), 32)
		sessions = append(sessions, unknown)
	}
	p.clientDoors[kind(wire.TypeClientHello)] = p.offering(sessions...)
	return p
}

func (p *pair) largeClientCertificate() *pair {
	p.clientHas(tlstest.New(tlstest.Options{Client: true, Bulk: large}))
	return p
}

// largeCookie is one that comes back in a hello with a binder. The server, which
// has not sent it, does not see it.
func (p *pair) largeCookie() *pair {
	p.serverPolicy.Tickets = nil
	p.serverDoors[helloRetryRequest] = editServerHello(func(h *wire.ServerHello) {
		h.Has, h.Cookie = h.Has.With(wire.ExtCookie), make([]byte, 60_000)
	})
	p.tap = func(to *side, m []byte) []byte {
		if to == p.s && m[0] == byte(wire.TypeClientHello) && len(m) > 60_000 {
			return without(wire.ExtCookie)(m)
		}
		return m
	}
	return p
}

// largeServerFlight declines the session and asks for a certificate.
func (p *pair) largeServerFlight() *pair {
	p.serverPolicy.Tickets = nil
	p.serverPolicy.ClientAuth = tls.RequestClientCert
	p.only(tlstest.New(tlstest.Options{Bulk: large}))
	p.serverDoors[kind(wire.TypeEncryptedExtensions)] = editEncryptedExtensions(func(ee *wire.EncryptedExtensions) {
		ee.Has, ee.SupportedGroups = ee.Has.With(wire.ExtSupportedGroups), bytes.Repeat([]byte{0x77, 0x77}, large/2)
	})
	p.serverDoors[kind(wire.TypeCertificateRequest)] = func(m []byte) []byte {
		return addExtension(m, wire.HeaderLen+1, 0x7777, make([]byte, large)...)
	}
	return p
}
