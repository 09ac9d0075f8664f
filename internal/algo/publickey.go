package algo

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	encodingasn1 "encoding/asn1"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/baretls/baretls/internal/fault"
)

// PublicKey is the key of a certificate with what its identifier says about
// the schemes that it may be used with (RFC 9846, Section 4.3.3).
type PublicKey struct {
	Key     crypto.PublicKey // *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey
	PSS     bool             // the identifier is id-RSASSA-PSS, not rsaEncryption
	PSSHash crypto.Hash      // with PSS: the only hash, or 0 for any
}

// The sizes of RSA keys that are used at all. The smallest one has room for
// PSS with any hash, and the largest one bounds the work that a peer's
// certificate can cause (as in CVE-2023-29409).
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

// CertificateKey returns the certificate's key. A key of a size that is not
// used is fault.BadCertificate, and one of a type that no scheme fits
// fault.UnsupportedCertificate.
func CertificateKey(cert *x509.Certificate) (PublicKey, error) {
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return PublicKey{Key: key}, nil
	case *rsa.PublicKey:
		if err := CheckSize(key); err != nil {
			return PublicKey{}, err
		}
		return PublicKey{Key: key}, nil
	}
	// crypto/x509 leaves the keys of algorithms that it does not know alone,
	// and id-RSASSA-PSS is one of these.
	return parsePSSKey(cert.RawSubjectPublicKeyInfo)
}

// CheckSize returns fault.BadCertificate if pub is an RSA key of a size that is
// not used: too small (RFC 9846, Appendix C.2), or too much work. It is cheap,
// and meant to stand before any use of a key that a peer sent, those of its
// other certificates included.
func CheckSize(pub crypto.PublicKey) error {
	key, ok := pub.(*rsa.PublicKey)
	if !ok {
		return nil
	}
	if bits := key.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
		return fault.BadCertificate.With("RSA key of %d bits", bits)
	}
	return nil
}

var (
	oidPSS  = encodingasn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1 = encodingasn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}

	oidSHA256 = encodingasn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = encodingasn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = encodingasn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
)

// parsePSSKey reads a SubjectPublicKeyInfo of id-RSASSA-PSS (RFC 4055,
// Sections 1.2 and 3.1).
func parsePSSKey(spki []byte) (PublicKey, error) {
	var outer, algorithm cryptobyte.String
	var oid encodingasn1.ObjectIdentifier
	var bits []byte
	s := cryptobyte.String(spki)
	if !s.ReadASN1(&outer, asn1.SEQUENCE) || !s.Empty() ||
		!outer.ReadASN1(&algorithm, asn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) {
		return PublicKey{}, fault.BadCertificate.With("malformed public key")
	}
	if !oid.Equal(oidPSS) {
		return PublicKey{}, fault.UnsupportedCertificate.With("unknown public key algorithm")
	}
	pub := PublicKey{PSS: true}
	if !algorithm.Empty() {
		var err error
		if pub.PSSHash, err = parsePSSParameters(algorithm); err != nil {
			return PublicKey{}, err
		}
	}

	// RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }
	var sequence cryptobyte.String
	key := &rsa.PublicKey{N: new(big.Int)}
	if !outer.ReadASN1BitStringAsBytes(&bits) || !outer.Empty() {
		return PublicKey{}, fault.BadCertificate.With("malformed public key")
	}
	s = cryptobyte.String(bits)
	if !s.ReadASN1(&sequence, asn1.SEQUENCE) || !s.Empty() ||
		!sequence.ReadASN1Integer(key.N) ||
		!sequence.ReadASN1Integer(&key.E) || !sequence.Empty() ||
		key.N.Sign() <= 0 || key.E <= 0 {
		return PublicKey{}, fault.BadCertificate.With("malformed RSA public key")
	}
	if err := CheckSize(key); err != nil {
		return PublicKey{}, err
	}
	pub.Key = key
	return pub, nil
}

// parsePSSParameters reads the RSASSA-PSS-params (RFC 4055, Section 3.1) of a
// key and returns the hash that they restrict it to. Parameters that none of
// the rsa_pss_pss schemes satisfies are fault.UnsupportedCertificate: another
// hash for MGF1, say, or SHA-1, which is what absent fields stand for.
func parsePSSParameters(s cryptobyte.String) (crypto.Hash, error) {
	var params, hashField, mgfField, mgf cryptobyte.String
	var hasHash, hasMGF bool
	var mgfOID encodingasn1.ObjectIdentifier
	var hash, mgfHash crypto.Hash
	saltLen, trailer := 20, 1
	explicit := func(n asn1.Tag) asn1.Tag { return n.Constructed().ContextSpecific() }
	if !s.ReadASN1(&params, asn1.SEQUENCE) || !s.Empty() ||
		!params.ReadOptionalASN1(&hashField, &hasHash, explicit(0)) ||
		!params.ReadOptionalASN1(&mgfField, &hasMGF, explicit(1)) ||
		!params.ReadOptionalASN1Integer(&saltLen, explicit(2), 20) ||
		!params.ReadOptionalASN1Integer(&trailer, explicit(3), 1) ||
		!params.Empty() {
		return 0, fault.BadCertificate.With("malformed RSASSA-PSS parameters")
	}
	if hasHash && (!readHash(&hashField, &hash) || !hashField.Empty()) ||
		hasMGF && (!mgfField.ReadASN1(&mgf, asn1.SEQUENCE) || !mgfField.Empty() ||
			!mgf.ReadASN1ObjectIdentifier(&mgfOID)) {
		return 0, fault.BadCertificate.With("malformed RSASSA-PSS parameters")
	}
	if hasMGF && mgfOID.Equal(oidMGF1) && (!readHash(&mgf, &mgfHash) || !mgf.Empty()) {
		return 0, fault.BadCertificate.With("malformed RSASSA-PSS parameters")
	}
	// The saltLength of a key is the least that a signature may have.
	if hash == 0 || mgfHash != hash || saltLen < 0 || saltLen > hash.Size() || trailer != 1 {
		return 0, fault.UnsupportedCertificate.With("RSASSA-PSS parameters that no signature scheme has")
	}
	return hash, nil
}

// readHash reads the AlgorithmIdentifier of a hash, with its parameters NULL
// or absent (RFC 4055, Section 2.1). An unknown hash is 0.
func readHash(s *cryptobyte.String, hash *crypto.Hash) bool {
	var algorithm, null cryptobyte.String
	var oid encodingasn1.ObjectIdentifier
	var hasNull bool
	if !s.ReadASN1(&algorithm, asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) {
		return false
	}
	switch {
	case oid.Equal(oidSHA256):
		*hash = crypto.SHA256
	case oid.Equal(oidSHA384):
		*hash = crypto.SHA384
	case oid.Equal(oidSHA512):
		*hash = crypto.SHA512
	default:
		*hash = 0
		return true
	}
	return algorithm.ReadOptionalASN1(&null, &hasNull, asn1.NULL) && null.Empty() && algorithm.Empty()
}
