package algo

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"math"
	"slices"
	"strings"
	"testing"
)

// RFC 9846, Appendix B.4, RFC 5289, Section 3.2, and RFC 7905, Section 2, in
// the default order.
var wantSuites = []struct {
	id       uint16
	version  uint16
	auth     Authentication
	hash     crypto.Hash
	keyLen   int
	fixedIV  int
	explicit bool
}{
	{tls.TLS_AES_128_GCM_SHA256, tls.VersionTLS13, AnyAuthentication, crypto.SHA256, 16, 12, false},
	{tls.TLS_AES_256_GCM_SHA384, tls.VersionTLS13, AnyAuthentication, crypto.SHA384, 32, 12, false},
	{tls.TLS_CHACHA20_POLY1305_SHA256, tls.VersionTLS13, AnyAuthentication, crypto.SHA256, 32, 12, false},
	{0xc02b, tls.VersionTLS12, AuthenticatedByECDSA, crypto.SHA256, 16, 4, true},
	{0xc02f, tls.VersionTLS12, AuthenticatedByRSA, crypto.SHA256, 16, 4, true},
	{0xc02c, tls.VersionTLS12, AuthenticatedByECDSA, crypto.SHA384, 32, 4, true},
	{0xc030, tls.VersionTLS12, AuthenticatedByRSA, crypto.SHA384, 32, 4, true},
	{0xcca9, tls.VersionTLS12, AuthenticatedByECDSA, crypto.SHA256, 32, 12, false},
	{0xcca8, tls.VersionTLS12, AuthenticatedByRSA, crypto.SHA256, 32, 12, false},
}

func TestTheColumnsOfTheSuites(t *testing.T) {
	var ids []uint16
	for _, want := range wantSuites {
		ids = append(ids, want.id)
		s := SuiteByID(want.id)
		if s == nil {
			t.Errorf("SuiteByID does not find %#x", want.id)
			continue
		}
		if s.Version != want.version || s.Auth != want.auth {
			t.Errorf("%s is of version %#x and authentication %d, want %#x and %d", s.Name, s.Version, s.Auth, want.version, want.auth)
		}
		if s.Hash != want.hash || s.KeyLen != want.keyLen {
			t.Errorf("%s has %v and keys of %d bytes, want %v and %d", s.Name, s.Hash, s.KeyLen, want.hash, want.keyLen)
		}
		if s.Explicit != want.explicit || s.FixedIVLen() != want.fixedIV {
			t.Errorf("%s has an explicit nonce: %v, and %d bytes of fixed IV; want %v and %d", s.Name, s.Explicit, s.FixedIVLen(), want.explicit, want.fixedIV)
		}
	}
	if got := DefaultSuites(); !slices.Equal(got, ids) {
		t.Errorf("the default order is %x, want %x", got, ids)
	}
}

// What crypto/tls says of the same suites.
func TestTheSuitesAreThoseOfOthers(t *testing.T) {
	for _, id := range DefaultSuites() {
		s := SuiteByID(id)
		i := slices.IndexFunc(tls.CipherSuites(), func(other *tls.CipherSuite) bool { return other.ID == id })
		if i < 0 {
			t.Errorf("%s is not a suite that crypto/tls recommends", s.Name)
			continue
		}
		if other := tls.CipherSuites()[i]; other.Insecure || !slices.Equal(other.SupportedVersions, []uint16{s.Version}) {
			t.Errorf("%s is of version %#x, and crypto/tls has it in %#x", s.Name, s.Version, other.SupportedVersions)
		}
	}
}

func TestSuites(t *testing.T) {
	for _, id := range DefaultSuites() {
		s := SuiteByID(id)
		if s == nil || s.ID != id {
			t.Fatalf("SuiteByID does not find %#x", id)
		}
		if s.Name != tls.CipherSuiteName(id) {
			t.Errorf("%#x is called %s, want %s", id, s.Name, tls.CipherSuiteName(id))
		}
		if s.NewHash().Size() != s.Hash.Size() {
			t.Errorf("%s: NewHash and Hash are different hashes", s.Name)
		}

		aead, err := s.NewAEAD(make([]byte, s.KeyLen))
		if err != nil {
			t.Fatalf("%s: a key of KeyLen is refused: %v", s.Name, err)
		}
		if aead.NonceSize() != 12 || aead.Overhead() != 16 {
			t.Errorf("%s: nonce of %d and tag of %d bytes, want 12 and 16", s.Name, aead.NonceSize(), aead.Overhead())
		}
		for _, n := range []int{0, s.KeyLen - 1, s.KeyLen + 1} {
			if _, err := s.NewAEAD(make([]byte, n)); err == nil {
				t.Errorf("%s: a key of %d bytes is taken", s.Name, n)
			}
		}

		nonce, data := make([]byte, 12), []byte("additional data")
		sealed := aead.Seal(nil, nonce, []byte("hello"), data)
		opened, err := aead.Open(nil, nonce, sealed, data)
		if err != nil || !bytes.Equal(opened, []byte("hello")) {
			t.Errorf("%s does not open what it sealed: %v", s.Name, err)
		}
		sealed[0] ^= 1
		if _, err := aead.Open(nil, nonce, sealed, data); err == nil {
			t.Errorf("%s opens what was tampered with", s.Name)
		}
	}
	for _, id := range []uint16{
		0, 0x1304, 0x0a0a,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256,       // no forward secrecy
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,    // no AEAD
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, // no AEAD
		0x009e, 0xccaa, // DHE
		0x00ff, 0x5600, // signals that look like suites
	} {
		if SuiteByID(id) != nil {
			t.Errorf("SuiteByID finds %#x, which is not supported", id)
		}
	}
}

// RFC 9846, Section 5.5. The same AEADs have the same limits in TLS 1.2.
func TestRecordLimitsAreSafe(t *testing.T) {
	for _, id := range DefaultSuites() {
		s, bound := SuiteByID(id), math.Exp2(24.5)
		if strings.Contains(s.Name, "CHACHA20") {
			bound = math.Exp2(64)
		}
		if s.Limit == 0 || float64(s.Limit) > bound {
			t.Errorf("%s seals %d records under one key, and may seal %.0f", s.Name, s.Limit, bound)
		}
	}
}

func TestDefaultsAreCopies(t *testing.T) {
	clear(DefaultSuites())
	clear(DefaultGroups())
	clear(DefaultSchemes())
	if DefaultSuites()[0] == 0 || DefaultGroups()[0] == 0 || DefaultSchemes()[0] == 0 {
		t.Error("who writes to a list of defaults changes it for all others")
	}
}
