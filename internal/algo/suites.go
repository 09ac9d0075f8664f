// Package algo holds the algorithms that can be negotiated, as tables.
//
// Cipher suites, key exchange groups and signature schemes stand in the order
// in which they are preferred. What is not in a table is not supported: the
// look-ups return nil. Nothing here knows a message or a state.
package algo

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Suite is a cipher suite: an AEAD and the hash of the key schedule, and in
// TLS 1.2 the kind of key that signs as well.
type Suite struct {
	ID      uint16
	Name    string
	Hash    crypto.Hash
	NewHash func() hash.Hash
	KeyLen  int
	NewAEAD func(key []byte) (cipher.AEAD, error)
	Limit   uint64 // records that may be sealed under one key

	Version  uint16         // of TLS
	Auth     Authentication // of the server, in TLS 1.2
	Explicit bool           // half of the nonce is sent with each record: GCM in TLS 1.2
	ChaCha   bool           // the AEAD is ChaCha20-Poly1305, for those without AES instructions
}

// Authentication is the kind of key that a suite of TLS 1.2 wants.
type Authentication uint8

const (
	AnyAuthentication    Authentication = iota // TLS 1.3: negotiated apart
	AuthenticatedByECDSA                       // or by EdDSA: RFC 8422, Section 2
	AuthenticatedByRSA
)

// FixedIVLen is how much of the nonce comes from the key schedule.
func (s *Suite) FixedIVLen() int {
	if s.Explicit {
		return 4
	}
	return 12
}

// suites are in the default order of preference: RFC 9846, Section 9.1 and
// Appendix B.4, and below them TLS 1.2's with ECDHE and an AEAD, by RFC 5289,
// Section 3.2, and RFC 7905, Section 2. What Appendix E.5 bans is not there.
var suites = [...]Suite{
	{tls.TLS_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", crypto.SHA256, sha256.New, 16, newAESGCM, limitAESGCM, tls.VersionTLS13, AnyAuthentication, false, false},
	{tls.TLS_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", crypto.SHA384, sha512.New384, 32, newAESGCM, limitAESGCM, tls.VersionTLS13, AnyAuthentication, false, false},
	{tls.TLS_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256", crypto.SHA256, sha256.New, 32, chacha20poly1305.New, limitChaCha20, tls.VersionTLS13, AnyAuthentication, false, true},

	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", crypto.SHA256, sha256.New, 16, newAESGCM, limitAESGCM, tls.VersionTLS12, AuthenticatedByECDSA, true, false},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", crypto.SHA256, sha256.New, 16, newAESGCM, limitAESGCM, tls.VersionTLS12, AuthenticatedByRSA, true, false},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", crypto.SHA384, sha512.New384, 32, newAESGCM, limitAESGCM, tls.VersionTLS12, AuthenticatedByECDSA, true, false},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", crypto.SHA384, sha512.New384, 32, newAESGCM, limitAESGCM, tls.VersionTLS12, AuthenticatedByRSA, true, false},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", crypto.SHA256, sha256.New, 32, chacha20poly1305.New, limitChaCha20, tls.VersionTLS12, AuthenticatedByECDSA, false, true},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", crypto.SHA256, sha256.New, 32, chacha20poly1305.New, limitChaCha20, tls.VersionTLS12, AuthenticatedByRSA, false, true},
}

const (
	// limitAESGCM is the power of two below the 2^24.5 records of RFC 9846,
	// Section 5.5.
	limitAESGCM = 1 << 24
	// limitChaCha20 is out of reach, and far from the wrap of the sequence
	// number that would come before the safety limit.
	limitChaCha20 = 1 << 62
)

// SuiteByID returns the cipher suite, or nil if it is not supported.
func SuiteByID(id uint16) *Suite {
	for i := range suites {
		if suites[i].ID == id {
			return &suites[i]
		}
	}
	return nil
}

// DefaultSuites returns all cipher suites in order of preference.
func DefaultSuites() []uint16 {
	ids := make([]uint16, len(suites))
	for i := range suites {
		ids[i] = suites[i].ID
	}
	return ids
}

func newAESGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
