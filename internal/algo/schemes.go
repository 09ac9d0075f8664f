package algo

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"io"

	"github.com/baretls/baretls/internal/fault"
)

// A Scheme is a signature scheme (RFC 9846, Section 4.3.3).
type Scheme struct {
	ID    tls.SignatureScheme
	Name  string
	Hash  crypto.Hash    // 0 if the scheme takes the message as it is
	Curve elliptic.Curve // of an ECDSA key in TLS 1.3

	kind kind
	opts crypto.SignerOpts
}

type kind uint8

const (
	ecdsaKind kind = iota
	ed25519Kind
	pssRSAEKind // RSASSA-PSS with a key of rsaEncryption
	pssPSSKind  // RSASSA-PSS with a key of id-RSASSA-PSS
	pkcs1Kind
)

// schemes are in the default order of preference. Those of PKCS #1 v1.5 are
// for certificates only.
var schemes = [...]Scheme{
	{tls.ECDSAWithP256AndSHA256, "ecdsa_secp256r1_sha256", crypto.SHA256, elliptic.P256(), ecdsaKind, crypto.SHA256},
	{tls.PSSWithSHA256, "rsa_pss_rsae_sha256", crypto.SHA256, nil, pssRSAEKind, pss256},
	{tls.Ed25519, "ed25519", 0, nil, ed25519Kind, crypto.Hash(0)},
	{tls.ECDSAWithP384AndSHA384, "ecdsa_secp384r1_sha384", crypto.SHA384, elliptic.P384(), ecdsaKind, crypto.SHA384},
	{tls.ECDSAWithP521AndSHA512, "ecdsa_secp521r1_sha512", crypto.SHA512, elliptic.P521(), ecdsaKind, crypto.SHA512},
	{tls.PSSWithSHA384, "rsa_pss_rsae_sha384", crypto.SHA384, nil, pssRSAEKind, pss384},
	{tls.PSSWithSHA512, "rsa_pss_rsae_sha512", crypto.SHA512, nil, pssRSAEKind, pss512},
	{PSSPSSWithSHA256, "rsa_pss_pss_sha256", crypto.SHA256, nil, pssPSSKind, pss256},
	{PSSPSSWithSHA384, "rsa_pss_pss_sha384", crypto.SHA384, nil, pssPSSKind, pss384},
	{PSSPSSWithSHA512, "rsa_pss_pss_sha512", crypto.SHA512, nil, pssPSSKind, pss512},
	{tls.PKCS1WithSHA256, "rsa_pkcs1_sha256", crypto.SHA256, nil, pkcs1Kind, crypto.SHA256},
	{tls.PKCS1WithSHA384, "rsa_pkcs1_sha384", crypto.SHA384, nil, pkcs1Kind, crypto.SHA384},
	{tls.PKCS1WithSHA512, "rsa_pkcs1_sha512", crypto.SHA512, nil, pkcs1Kind, crypto.SHA512},
}

// The schemes that crypto/tls has no names for.
const (
	PSSPSSWithSHA256 tls.SignatureScheme = 0x0809
	PSSPSSWithSHA384 tls.SignatureScheme = 0x080a
	PSSPSSWithSHA512 tls.SignatureScheme = 0x080b
)

// The length of the salt MUST be that of the hash (Section 4.3.3).
var (
	pss256 = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	pss384 = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384}
	pss512 = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA512}
)

// SchemeByID returns the signature scheme, or nil if it is not supported.
func SchemeByID(id tls.SignatureScheme) *Scheme {
	for i := range schemes {
		if schemes[i].ID == id {
			return &schemes[i]
		}
	}
	return nil
}

// DefaultSchemes returns all signature schemes in order of preference.
func DefaultSchemes() []tls.SignatureScheme {
	ids := make([]tls.SignatureScheme, len(schemes))
	for i := range schemes {
		ids[i] = schemes[i].ID
	}
	return ids
}

// CertificateSchemes are, by the algorithm of a certificate's signature, the
// schemes with which a peer says that it can verify it; one will do (RFC 9846,
// Section 4.3.3). The curve of an ECDSA key is the issuer's, and not known here.
var CertificateSchemes = map[x509.SignatureAlgorithm][]tls.SignatureScheme{
	x509.ECDSAWithSHA256:  {tls.ECDSAWithP256AndSHA256},
	x509.ECDSAWithSHA384:  {tls.ECDSAWithP384AndSHA384},
	x509.ECDSAWithSHA512:  {tls.ECDSAWithP521AndSHA512},
	x509.PureEd25519:      {tls.Ed25519},
	x509.SHA256WithRSA:    {tls.PKCS1WithSHA256},
	x509.SHA384WithRSA:    {tls.PKCS1WithSHA384},
	x509.SHA512WithRSA:    {tls.PKCS1WithSHA512},
	x509.SHA256WithRSAPSS: {tls.PSSWithSHA256, PSSPSSWithSHA256},
	x509.SHA384WithRSAPSS: {tls.PSSWithSHA384, PSSPSSWithSHA384},
	x509.SHA512WithRSAPSS: {tls.PSSWithSHA512, PSSPSSWithSHA512},
}

// SchemesFor returns the schemes that a TLS 1.3 handshake can be signed with
// by the key, in order of preference.
func SchemesFor(pub PublicKey) []*Scheme {
	return schemesFor(func(s *Scheme) bool { return s.InHandshake13() && s.Fits(pub) })
}

// SchemesFor12 returns those that a TLS 1.2 handshake can be signed with.
func SchemesFor12(pub PublicKey) []*Scheme {
	return schemesFor(func(s *Scheme) bool { return s.Fits12(pub) })
}

func schemesFor(fits func(*Scheme) bool) []*Scheme {
	var fitting []*Scheme
	for i := range schemes {
		if s := &schemes[i]; fits(s) {
			fitting = append(fitting, s)
		}
	}
	return fitting
}

// InHandshake13 reports whether TLS 1.3 defines the scheme for CertificateVerify;
// PKCS #1 v1.5 is for certificates only.
func (s *Scheme) InHandshake13() bool { return s.kind != pkcs1Kind }

// Fits reports whether the scheme may be used with the key in TLS 1.3: its
// type and identifier, its curve, and its size.
func (s *Scheme) Fits(pub PublicKey) bool {
	switch key := pub.Key.(type) {
	case *ecdsa.PublicKey:
		return s.kind == ecdsaKind && key.Curve == s.Curve
	case ed25519.PublicKey:
		return s.kind == ed25519Kind && len(key) == ed25519.PublicKeySize
	case *rsa.PublicKey:
		if CheckSize(key) != nil {
			return false
		}
		if pub.PSS {
			return s.kind == pssPSSKind && (pub.PSSHash == 0 || pub.PSSHash == s.Hash)
		}
		return s.kind == pssRSAEKind || s.kind == pkcs1Kind
	}
	return false
}

// Fits12 is Fits for TLS 1.2, whose ECDSA schemes do not name the curve (RFC
// 9846, Section 4.3.3), and which signs with PKCS #1 v1.5 too.
func (s *Scheme) Fits12(pub PublicKey) bool {
	if key, ok := pub.Key.(*ecdsa.PublicKey); ok {
		known := key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521()
		return s.kind == ecdsaKind && known
	}
	return s.Fits(pub)
}

// Auth is the kind of suites of TLS 1.2 that the scheme goes with.
func (s *Scheme) Auth() Authentication {
	if s.kind == ecdsaKind || s.kind == ed25519Kind {
		return AuthenticatedByECDSA
	}
	return AuthenticatedByRSA
}

// Sign signs the message with the key, which is asked once. A failure is this
// side's own.
func (s *Scheme) Sign(key crypto.Signer, rand io.Reader, message []byte) ([]byte, error) {
	// A signer does not say whether its key is restricted to PSS.
	if !s.Fits12(PublicKey{Key: key.Public(), PSS: s.kind == pssPSSKind}) {
		return nil, fault.Internal.With("%s does not fit the key to sign with", s.Name)
	}
	signature, err := s.sign(key, rand, message)
	if err != nil {
		return nil, fault.Internal.Because(err)
	}
	return signature, nil
}

// sign is crypto.SignMessage with less memory for the hash. What the key is
// given it may keep.
func (s *Scheme) sign(key crypto.Signer, rand io.Reader, message []byte) ([]byte, error) {
	if _, ok := key.(crypto.MessageSigner); ok || s.Hash == 0 {
		return crypto.SignMessage(key, rand, bytes.Clone(message), s.opts)
	}
	return key.Sign(rand, s.digest(message), s.opts)
}

// digest is what is signed: the message's hash, or all of it.
func (s *Scheme) digest(message []byte) []byte {
	switch s.Hash {
	case crypto.SHA256:
		sum := sha256.Sum256(message)
		return sum[:]
	case crypto.SHA384:
		sum := sha512.Sum384(message)
		return sum[:]
	case crypto.SHA512:
		sum := sha512.Sum512(message)
		return sum[:]
	}
	return message
}

// Verify checks the peer's signature of the message in TLS 1.3. A scheme that
// does not fit the key is fault.IllegalParameter, and a signature that does not
// verify fault.BadSignature.
func (s *Scheme) Verify(pub PublicKey, message, signature []byte) error {
	return s.verify(s.Fits(pub), pub, message, signature)
}

// Verify12 is Verify for TLS 1.2.
func (s *Scheme) Verify12(pub PublicKey, message, signature []byte) error {
	return s.verify(s.Fits12(pub), pub, message, signature)
}

func (s *Scheme) verify(fits bool, pub PublicKey, message, signature []byte) error {
	if !fits {
		return fault.IllegalParameter.With("%s does not fit the certificate's key", s.Name)
	}
	digest := s.digest(message)
	valid := false
	switch key := pub.Key.(type) {
	case *ecdsa.PublicKey:
		valid = ecdsa.VerifyASN1(key, digest, signature)
	case ed25519.PublicKey:
		valid = ed25519.Verify(key, digest, signature)
	case *rsa.PublicKey:
		if s.kind == pkcs1Kind {
			valid = rsa.VerifyPKCS1v15(key, s.Hash, digest, signature) == nil
		} else {
			valid = rsa.VerifyPSS(key, s.Hash, digest, signature, s.opts.(*rsa.PSSOptions)) == nil
		}
	}
	if !valid {
		return fault.BadSignature
	}
	return nil
}
