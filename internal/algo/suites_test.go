package algo

import (
	"bytes"
	"crypto/tls"
	"math"
	"slices"
	"testing"
)

func TestSuites(t *testing.T) {
	want := []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	if got := DefaultSuites(); !slices.Equal(got, want) {
		t.Fatalf("the default order is %x, want %x", got, want)
	}
	for _, id := range want {
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
	for _, id := range []uint16{0, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 0x1304, 0x0a0a} {
		if SuiteByID(id) != nil {
			t.Errorf("SuiteByID finds %#x, which is not supported", id)
		}
	}
}

// RFC 9846, Section 5.5.
func TestRecordLimitsAreSafe(t *testing.T) {
	for id, bound := range map[uint16]float64{
		tls.TLS_AES_128_GCM_SHA256:       math.Exp2(24.5),
		tls.TLS_AES_256_GCM_SHA384:       math.Exp2(24.5),
		tls.TLS_CHACHA20_POLY1305_SHA256: math.Exp2(64),
	} {
		s := SuiteByID(id)
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
