package main

import (
	"crypto/sha256"
	"crypto/tls"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestShares: a function belongs to the innermost thing that a share is named after.
func TestShares(t *testing.T) {
	const (
		handshake = "github.com/baretls/baretls/internal/handshake.(*Core).serverHello"
		turn      = "github.com/baretls/baretls.(*Conn).ProcessTLSRecords"
	)
	for _, c := range []struct{ stack, want string }{
		{"crypto/ecdsa.VerifyASN1 crypto/x509.checkSignature crypto/x509.(*Certificate).Verify " + handshake, "certificates: their signatures"},
		{"crypto/x509.parseCertificate " + handshake, "certificates: all else"},
		{"runtime.mallocgc crypto/ecdsa.(*PrivateKey).Sign " + handshake, "signature: made"},
		{"crypto/internal/fips140/ecdsa.Verify crypto/ecdsa.VerifyASN1 " + handshake, "signature: verified"},
		{"crypto/internal/fips140/mlkem.(*DecapsulationKey768).Decapsulate " + handshake, "key exchange: ML-KEM"},
		{"crypto/ecdh.(*x25519Curve).NewPrivateKey github.com/baretls/baretls/internal/algo.(*curve).generate " + handshake, "key exchange: key pairs"},
		{"crypto/ecdh.(*PrivateKey).ECDH github.com/baretls/baretls/internal/algo.(*curve).agree " + handshake, "key exchange: shared secrets"},
		{"runtime.mallocgc crypto/aes.NewCipher " + handshake, "AEAD: keys"},
		{"crypto/internal/fips140/aes/gcm.gcmAesEnc github.com/baretls/baretls/internal/record.(*Writer).Seal " + turn, "AEAD: records"},
		{"runtime.mallocgc " + handshake, "allocation and collection"},
		{"runtime.gcBgMarkWorker", "allocation and collection"},
		{"crypto/internal/fips140/sha256.block github.com/baretls/baretls/internal/keyschedule.(*KDF).Expand " + handshake, "hashes and key schedule"},
		{"crypto/rand.Read " + handshake, "random numbers"},
		{"github.com/baretls/baretls/internal/wire.(*ClientHello).Parse " + handshake, "messages: encoded and parsed"},
		{"runtime.memmove github.com/baretls/baretls/internal/record.(*Writer).Seal " + turn, "copies"},
		{"github.com/baretls/baretls/internal/record.(*Writer).Seal " + turn, "records: framing"},
		{handshake + " " + turn, "state machine"},
		{turn + " main.(*end).run", "turns, sessions, configuration"},
		{"main.(*end).run", "the caller"},
		{"runtime.mcall", "the rest of the runtime"},
	} {
		if got := shares[shareOf(strings.Fields(c.stack))].name; got != c.want {
			t.Errorf("%s belongs to %q, want %q", c.stack, got, c.want)
		}
	}
}

// TestProfileOfTime: samples are of what runs while the clock does.
func TestProfileOfTime(t *testing.T) {
	data := make([]byte, 1<<16)
	hash := func(n int) {
		for range n {
			sha256.Sum256(data)
		}
	}
	p := profiled{shares: make([]portion, len(shares))}
	if err := p.sampleTime(contender{run: func(n int, c *clock) error {
		for range 4 * n {
			slices.Sort(data[:1024]) // is not to be seen
		}
		c.start(client)
		hash(n)
		c.stop()
		return nil
	}}, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	got := p.shares[shareOf([]string{"crypto/sha256.Sum256"})].time
	if got < 0.9 || got > 1.0001 {
		t.Errorf("what only hashes spends %.2f of its time on that: %+v", got, p.shares)
	}
	if p.time <= 0 {
		t.Errorf("a hash takes %v ns", p.time)
	}
}

// TestProfileOfAllocations: the shares of a handshake's allocations come to what
// the runtime has counted, but for those that are too small to be recorded.
func TestProfileOfAllocations(t *testing.T) {
	h := handshakes{pki: newTestPKI(t)}
	c, err := h.baretls(handshake{tls.VersionTLS13, known, tls.X25519, ecdsaKey})
	if err != nil {
		t.Fatal(err)
	}
	const pieces = 20
	counted := clock{counts: true}
	if err := c.run(pieces, &counted); err != nil {
		t.Fatal(err)
	}
	p := profiled{shares: make([]portion, len(shares))}
	if err := p.countAllocations(c); err != nil {
		t.Fatal(err)
	}
	var all portion
	for _, x := range p.shares {
		all.add(x)
	}
	if want := float64(counted.bytes) / pieces; math.Abs(all.bytes-want) > 0.05*want {
		t.Errorf("the shares come to %.0f bytes, want about %.0f", all.bytes, want)
	}
	if want := float64(counted.allocs) / pieces; all.allocs < 0.9*want || all.allocs > want {
		t.Errorf("the shares come to %.1f allocations, want about %.1f", all.allocs, want)
	}
}

// TestShareRows: there is a row for each share that is worth one, and sums.
func TestShareRows(t *testing.T) {
	p := profiled{name: "work", unit: time.Microsecond, time: 200_000, shares: make([]portion, len(shares))}
	p.shares[shareOf([]string{"crypto/ecdh.x"})] = portion{time: 0.75, allocs: 3, bytes: 1500}
	p.shares[shareOf([]string{"main.x"})] = portion{time: 0.25}
	wantTime := [][]string{
		{"", "work"}, {"all", "200.0 (100)"}, {"of that, primitives", "150.0 (75)"},
		{"*key exchange: shared secrets*", "150.0 (75)"}, {"the caller", "50.0 (25)"},
	}
	if got := timeRows([]profiled{p}); !slices.EqualFunc(got, wantTime, slices.Equal[[]string]) {
		t.Errorf("the rows are %q, want %q", got, wantTime)
	}
	wantAllocs := [][]string{
		{"", "work"}, {"all", "3, 1,500"}, {"of that, primitives", "3, 1,500"}, {"*key exchange: shared secrets*", "3, 1,500"},
	}
	if got := allocationRows([]profiled{p}); !slices.EqualFunc(got, wantAllocs, slices.Equal[[]string]) {
		t.Errorf("the rows are %q, want %q", got, wantAllocs)
	}
}
