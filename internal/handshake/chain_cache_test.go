package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// cached is how many verdicts the client remembers.
func (p *pair) cached() int { return len(p.clientPolicy.verified.entries) }

func TestAChainIsVerifiedOnce(t *testing.T) {
	p := newPair(t)
	cert := tlstest.Leaf(tlstest.ECDSAP256)
	cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("response"), [][]byte{[]byte("sct")}
	p.only(cert)
	p.complete()
	first := p.client.Facts
	if p.cached() != 1 {
		t.Fatalf("after a handshake %d chains are remembered, want 1", p.cached())
	}
	// What came with the chain is not part of it.
	cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("another response"), nil
	p.only(cert)
	judged := 0
	p.clientPolicy.Judge.After = func(v *Verification) error {
		judged++
		if len(v.VerifiedChains) != 1 || string(v.OCSPResponse) != "another response" || v.SCTs != nil || len(v.Certificates) != 2 {
			t.Errorf("the judge of a chain that is remembered is shown %+v", v)
		}
		return nil
	}
	p.complete()
	p.works()
	f := p.client.Facts
	if !slices.Equal(f.PeerCertificates, first.PeerCertificates) || len(f.VerifiedChains) != 1 || !slices.Equal(f.VerifiedChains[0], first.VerifiedChains[0]) {
		t.Error("the same chain is parsed or verified again")
	}
	if string(f.OCSPResponse) != "another response" || f.SCTs != nil || string(first.OCSPResponse) != "response" || len(first.SCTs) != 1 {
		t.Errorf("the staples are %q, %q and then %q, %q", first.OCSPResponse, first.SCTs, f.OCSPResponse, f.SCTs)
	}
	if p.cached() != 1 || judged != 1 {
		t.Errorf("%d chains are remembered and %d were judged, want 1 and 1", p.cached(), judged)
	}

	// The application may change its mind, whatever is remembered.
	p.clientPolicy.Judge.After = func(*Verification) error { return errors.New("not any more") }
	p.run()
	expectReason(t, p.c.err, fault.CertificateRefused, "a chain that is remembered and refused")

	// And whatever is remembered, the server has to prove its key.
	p.clientPolicy.Judge.After = nil
	p.serverDoors[kind(wire.TypeCertificateVerify)] = editCertificateVerify(func(cv *wire.CertificateVerify) { cv.Signature[len(cv.Signature)-1] ^= 1 })
	p.run()
	expectReason(t, p.c.err, fault.BadSignature, "a chain that is remembered and no proof")
	p.serverDoors[kind(wire.TypeCertificateVerify)] = editCertificateVerify(func(cv *wire.CertificateVerify) { cv.Algorithm = uint16(tls.PSSWithSHA256) })
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "a chain that is remembered and a scheme that does not fit its key")
}

// Connections to one server hold what is known of it once, resumed or not, as
// long as the server staples the same.
func TestConnectionsShareTheirPeer(t *testing.T) {
	p := newPair(t)
	p.keepSessions()
	cert := tlstest.Leaf(tlstest.ECDSAP256)
	cert.OCSPStaple = []byte("response")
	p.only(cert)
	p.complete()
	first := p.client.Facts.Peer
	for _, want := range []Kind{KindResumed, KindFull} {
		if want == KindFull {
			p.clientPolicy.Sessions = nil
		}
		p.complete()
		if p.kinds() != both(want) || p.client.Facts.Peer != first {
			t.Errorf("a connection of kind %v to the same server does not share what is known of it", want)
		}
	}
	if first == &nobody || len(first.PeerCertificates) == 0 {
		t.Error("nothing is known of the server")
	}
	cert.OCSPStaple = []byte("another response")
	p.only(cert)
	if p.complete(); p.client.Facts.Peer == first || string(first.OCSPResponse) != "response" {
		t.Error("what is known of a server changes for connections that are there")
	}
}

// A verdict is about a name.
func TestAChainIsVerifiedForEachName(t *testing.T) {
	p := newPair(t)
	p.only(tlstest.Leaf(tlstest.ECDSAP256, "example.com", "www.example.com"))
	p.complete()
	p.name = "example.net"
	p.run()
	expectAlert(t, p.c.err, fault.CertificateUnknownAlert, "a chain that is remembered for another name")
	if p.cached() != 1 {
		t.Errorf("%d chains are remembered, want 1", p.cached())
	}
	p.name = "www.example.com"
	if p.complete(); p.cached() != 2 {
		t.Errorf("%d chains are remembered, want 2", p.cached())
	}
}

// And about a chain: not about its leaf alone.
func TestAChainIsAllOfItsCertificates(t *testing.T) {
	p := newPair(t)
	cert := tlstest.New(tlstest.Options{Depth: 2})
	p.only(cert)
	p.complete()
	for _, chain := range [][][]byte{cert.Certificate[:1], cert.Certificate[:2], {cert.Certificate[0], cert.Certificate[2]}} {
		short := cert
		short.Certificate = chain
		p.only(short)
		p.run()
		expectAlert(t, p.c.err, fault.UnknownCAAlert, "a chain that is remembered, of which %d certificates are left", len(chain))
	}
	swapped := cert
	swapped.Certificate = [][]byte{cert.Certificate[0], cert.Certificate[2], cert.Certificate[1]}
	p.only(swapped)
	if p.complete(); p.cached() != 2 { // x509 finds its way, by itself
		t.Errorf("%d chains are remembered, want 2", p.cached())
	}
	other := tlstest.Leaf(tlstest.ECDSAP256)
	p.only(other)
	if p.complete(); p.cached() != 3 || !p.client.Facts.PeerCertificates[0].Equal(other.Leaf) {
		t.Errorf("%d chains are remembered, want 3", p.cached())
	}
}

func TestAChainThatIsRememberedExpires(t *testing.T) {
	now := time.Now()
	p := newPair(t)
	p.clientPolicy.Now = func() time.Time { return now }
	p.only(tlstest.New(tlstest.Options{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}))
	p.complete()
	first := p.client.Facts.PeerCertificates[0]
	for _, row := range []struct {
		story string
		at    time.Duration
		want  fault.Alert
	}{
		{"a minute before it expires", 59 * time.Minute, fault.None},
		{"a minute after it has expired", 61 * time.Minute, fault.CertificateExpiredAlert},
		{"a minute before it is valid, on a clock that was set back", -61 * time.Minute, fault.CertificateExpiredAlert},
		{"now", 0, fault.None},
	} {
		now = first.NotAfter.Add(row.at - time.Hour)
		p.run()
		if row.want != fault.None {
			expectAlert(t, p.c.err, row.want, "a chain that is remembered, %s", row.story)
			if p.client.Facts.VerifiedChains != nil {
				t.Errorf("%s: the chain is verified all the same", row.story)
			}
		} else if p.c.err != nil || p.client.Facts.PeerCertificates[0] != first {
			t.Errorf("%s: the chain is not the one that is remembered: %v", row.story, p.c.err)
		}
	}
	// A certificate further up may expire as well.
	chain := p.client.Facts.VerifiedChains[0]
	root := chain[len(chain)-1]
	if stillValid([][]*x509.Certificate{chain}, root.NotAfter.Add(time.Second)) != nil {
		t.Error("a chain is still valid when its root has expired")
	}
	// One chain of several may be enough, and only that counts.
	short := []*x509.Certificate{root}
	if got := stillValid([][]*x509.Certificate{chain, short}, chain[0].NotAfter.Add(time.Second)); len(got) != 1 || got[0][0] != root {
		t.Errorf("of two chains, one of them expired, %d are valid", len(got))
	}
}

// Chains are remembered only where nothing but the clock can change the
// verdict: by given roots, and by the default verification.
func TestChainsThatAreNotRemembered(t *testing.T) {
	refusal := errors.New("not this one")
	for _, row := range []struct {
		story  string
		cert   tls.Certificate
		change func(p *pair)
		fails  bool
	}{
		{"the roots are the system's", tlstest.Leaf(tlstest.ECDSAP256), func(p *pair) { p.clientPolicy.Roots = nil }, true},
		{"the application judges instead", tlstest.Leaf(tlstest.ECDSAP256), func(p *pair) {
			p.clientPolicy.Judge.Instead = func(*Verification) error { return nil }
		}, false},
		{"the application judges instead, and refuses", tlstest.Leaf(tlstest.ECDSAP256), func(p *pair) {
			p.clientPolicy.Judge.Instead = func(*Verification) error { return refusal }
		}, true},
		{"the application refuses afterwards", tlstest.Leaf(tlstest.ECDSAP256), func(p *pair) {
			p.clientPolicy.Judge.After = func(*Verification) error { return refusal }
		}, true},
		{"the CA is unknown", tlstest.New(tlstest.Options{UnknownCA: true}), nil, true},
		{"the chain has expired", tlstest.New(tlstest.Options{NotAfter: tlstest.NotBefore.AddDate(1, 0, 0)}), nil, true},
		{"the name is another", tlstest.Leaf(tlstest.ECDSAP256, "example.net"), nil, true},
		{"the certificate is a client's", tlstest.ClientLeaf(tlstest.ECDSAP256), nil, true},
		{"the chain does not parse", tlstest.Leaf(tlstest.ECDSAP256), func(p *pair) {
			p.serverDoors[kind(wire.TypeCertificate)] = instead(chainOf([]byte("certificate")))
		}, true},
	} {
		p := newPair(t)
		p.only(row.cert)
		if row.change != nil {
			row.change(p)
		}
		for range 2 { // the second time it is not remembered either
			if p.run(); (p.c.err != nil) != row.fails {
				t.Errorf("if %s: the handshake fails: %v, want that %v", row.story, p.c.err, row.fails)
			}
			if p.cached() != 0 {
				t.Errorf("if %s: the chain is remembered", row.story)
			}
		}
	}
}

// Nor is what is remembered used where it may not be remembered.
func TestWhatIsRememberedIsNotUsedElsewhere(t *testing.T) {
	p := newPair(t)
	p.complete()
	first := p.client.Facts.PeerCertificates[0]
	asked := 0
	p.clientPolicy.Judge.Instead = func(v *Verification) error {
		if asked++; v.VerifiedChains != nil || v.Certificates[0] == first {
			t.Error("who judges instead is shown what the default has found")
		}
		return nil
	}
	if p.complete(); asked != 1 || p.client.Facts.VerifiedChains != nil {
		t.Errorf("who judges instead is asked %d times, and the chains are %v", asked, p.client.Facts.VerifiedChains)
	}
	p.clientPolicy.Judge.Instead, p.clientPolicy.Roots = nil, nil
	if p.run(); p.c.err == nil {
		t.Error("a chain that leads to a root of the policy is accepted by the system's")
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	var c chainCache
	key := func(n int) chainKey { return chainKey{certs: [32]byte{byte(n), byte(n >> 8)}} }
	for n := range 3 * maxVerified {
		c.put(key(n), &verified{})
		if want := min(n+1, maxVerified); len(c.entries) != want || len(c.order) != want {
			t.Fatalf("after %d chains %d are remembered, in an order of %d, want %d", n+1, len(c.entries), len(c.order), want)
		}
	}
	for n := range 3 * maxVerified {
		if got := c.get(key(n)) != nil; got != (n >= 2*maxVerified) {
			t.Errorf("of %d chains number %d is remembered: %v", 3*maxVerified, n, got)
		}
	}
	// One that is there takes its own place.
	again := new(verified)
	c.put(key(3*maxVerified-1), again)
	if len(c.entries) != maxVerified || c.get(key(2*maxVerified)) == nil || c.get(key(3*maxVerified-1)) != again {
		t.Error("a chain that is verified anew drives out another, or is not remembered")
	}
}

// Names and certificates are kept apart in the key.
func TestKeysOfTheCacheKnowWhereFieldsEnd(t *testing.T) {
	keyOf := func(name string, certs ...string) chainKey {
		key := chainKey{serverName: name}
		for _, cert := range certs {
			key.add([]byte(cert))
		}
		return key
	}
	seen := map[chainKey]int{}
	for i, key := range []chainKey{
		keyOf("a", "b", "c"), keyOf("a", "c", "b"), keyOf("a", "bc"), keyOf("ab", "c"), keyOf("", "abc"), keyOf("a", "b"), keyOf("a"), keyOf("b"),
		keyOf("a", "b\x00\x00\x00\x01c"),
	} {
		if before, ok := seen[key]; ok {
			t.Errorf("chains %d and %d have one key", before, i)
		}
		seen[key] = i
	}
	if first, again := keyOf("a", "b", "c"), keyOf("a", "b", "c"); first != again {
		t.Error("one chain has two keys")
	}
}

// A policy is shared by connections of many goroutines.
func TestTheCacheIsShared(t *testing.T) {
	var c chainCache
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 200 {
				key := chainKey{certs: [32]byte{byte(n), byte(g % 2)}}
				c.put(key, &verified{})
				c.get(key)
			}
		})
	}
	wg.Wait()
	if len(c.entries) != maxVerified || len(c.order) != maxVerified {
		t.Errorf("%d chains are remembered, in an order of %d, want %d", len(c.entries), len(c.order), maxVerified)
	}
}
