package algo

import (
	"bytes"
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 a type of key that x509 parses and no scheme fits
	"crypto/ecdh"
	"crypto/rsa"
	"crypto/x509"
	encodingasn1 "encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

func TestCertificateKey(t *testing.T) {
	keys := testKeys()
	for name, key := range map[string]crypto.PublicKey{
		"RSA": keys.rsa.Public(), "P-256": keys.p256.Public(), "Ed25519": keys.ed25519.Public(),
	} {
		pub, err := CertificateKey(certificateOf(t, key))
		if err != nil || pub.PSS || pub.PSSHash != 0 || !pub.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(key) {
			t.Errorf("%s: CertificateKey returns %+v, %v", name, pub, err)
		}
	}

	x25519Key, err := ecdh.X25519().NewPublicKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cert *x509.Certificate
		want fault.Reason
	}{
		"an RSA key that is too large": {&x509.Certificate{PublicKey: rsaKeyOf(MaxRSABits + 1)}, fault.BadCertificate},
		"an RSA key that is too small": {&x509.Certificate{PublicKey: rsaKeyOf(MinRSABits - 1)}, fault.BadCertificate},
		"an X25519 key":                {certificateOf(t, x25519Key), fault.UnsupportedCertificate},
		"a DSA key": {&x509.Certificate{
			PublicKey:               &dsa.PublicKey{},
			RawSubjectPublicKeyInfo: spki(encodingasn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}, nil, nil),
		}, fault.UnsupportedCertificate},
		"no key": {&x509.Certificate{}, fault.BadCertificate},
	} {
		if pub, err := CertificateKey(tt.cert); err == nil || fault.Of(err) != tt.want || pub.Key != nil {
			t.Errorf("%s: CertificateKey returns %+v, %v, want %v", name, pub, err, tt.want)
		}
	}
}

// The certificates and signatures in testdata were made by OpenSSL:
// "openssl genpkey -algorithm RSA-PSS", with -pkeyopt rsa_pss_keygen_md and
// its like where the key is restricted, "openssl req -x509" and
// "openssl dgst -sign -sigopt rsa_padding_mode:pss".
func TestCertificatesOfRSASSAPSS(t *testing.T) {
	message := []byte("what the peer signed")
	for _, tt := range []struct {
		file    string
		hash    crypto.Hash
		schemes []string
		signed  string
	}{
		{"pss_plain", 0, []string{"rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512"}, "rsa_pss_pss_sha256"},
		{"pss_sha256", crypto.SHA256, []string{"rsa_pss_pss_sha256"}, "rsa_pss_pss_sha256"},
		{"pss_sha384", crypto.SHA384, []string{"rsa_pss_pss_sha384"}, "rsa_pss_pss_sha384"},
	} {
		cert, signature := load(t, tt.file)
		if cert.PublicKey != nil {
			t.Errorf("%s: crypto/x509 reads the key by itself now, and CertificateKey takes it for one of rsaEncryption", tt.file)
		}
		pub, err := CertificateKey(cert)
		if err != nil || !pub.PSS || pub.PSSHash != tt.hash {
			t.Errorf("%s: CertificateKey returns %+v, %v", tt.file, pub, err)
			continue
		}
		var fitting []string
		for _, s := range SchemesFor(pub) {
			fitting = append(fitting, s.Name)
			err := s.Verify(pub, message, signature)
			if s.Name == tt.signed && err != nil || s.Name != tt.signed && fault.Of(err) != fault.BadSignature {
				t.Errorf("%s: %s, of a signature by %s: %v", tt.file, s.Name, tt.signed, err)
			}
		}
		if !slices.Equal(fitting, tt.schemes) {
			t.Errorf("%s: the schemes that fit are %v, want %v", tt.file, fitting, tt.schemes)
		}
	}

	cert, _ := load(t, "pss_mixed") // SHA-256 with MGF1 over SHA-512
	if _, err := CertificateKey(cert); fault.Of(err) != fault.UnsupportedCertificate {
		t.Errorf("a key for two different hashes: the error is %v, want an unsupported certificate", err)
	}
}

func TestPSSKeyCutAnywhere(t *testing.T) {
	cert, _ := load(t, "pss_sha384")
	whole := cert.RawSubjectPublicKeyInfo
	if _, err := parsePSSKey(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := parsePSSKey(whole[:n]); fault.Of(err) != fault.BadCertificate {
			t.Errorf("the first %d of %d bytes: the error is %v, want a bad certificate", n, len(whole), err)
		}
	}
	if _, err := parsePSSKey(append(bytes.Clone(whole), 0)); fault.Of(err) != fault.BadCertificate {
		t.Errorf("a byte behind the key: the error is %v, want a bad certificate", err)
	}

	// All lengths: of the outer SEQUENCE, the AlgorithmIdentifier with its OID,
	// the parameters with their fields, the BIT STRING and the RSAPublicKey.
	for _, at := range []int{3, 5, 7, 18, 20, 22, 24, 35, 37, 39, 41, 52, 54, 65, 67, 69, 74, 79} {
		for _, delta := range []byte{1, 0xff} {
			wrong := bytes.Clone(whole)
			wrong[at] += delta
			if _, err := parsePSSKey(wrong); err == nil {
				t.Errorf("the length at byte %d is changed from %d to %d, and the key is still read", at, whole[at], wrong[at])
			}
		}
	}
}

func TestPSSParameters(t *testing.T) {
	null := der(5)
	sha := func(n int, params ...[]byte) []byte { // SHA-256, -384, -512 are 1, 2, 3
		return der(0x30, append([][]byte{oid(encodingasn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, n})}, params...)...)
	}
	mgf1 := func(hash []byte) []byte { return der(0x30, oid(oidMGF1), hash) }
	hashField := func(hash []byte) []byte { return der(0xa0, hash) }
	mgfField := func(mgf []byte) []byte { return der(0xa1, mgf) }
	salt := func(n byte) []byte { return der(0xa2, der(2, []byte{n})) }
	trailer := func(n byte) []byte { return der(0xa3, der(2, []byte{n})) }
	params := func(fields ...[]byte) []byte { return der(0x30, fields...) }
	hash256, mgf256 := hashField(sha(1, null)), mgfField(mgf1(sha(1, null)))

	const bad, unsupported = fault.BadCertificate, fault.UnsupportedCertificate
	for _, tt := range []struct {
		name   string
		params []byte
		hash   crypto.Hash
		fails  fault.Reason
	}{
		{"absent: any hash", nil, 0, 0},
		{"SHA-256", params(hash256, mgf256, salt(32)), crypto.SHA256, 0},
		{"SHA-384", params(hashField(sha(2, null)), mgfField(mgf1(sha(2, null))), salt(48)), crypto.SHA384, 0},
		{"SHA-512", params(hashField(sha(3, null)), mgfField(mgf1(sha(3, null))), salt(64)), crypto.SHA512, 0},
		{"hashes without NULL", params(hashField(sha(1)), mgfField(mgf1(sha(1))), salt(32)), crypto.SHA256, 0},
		{"the default salt, which is shorter", params(hash256, mgf256), crypto.SHA256, 0},
		{"no salt at least", params(hash256, mgf256, salt(0)), crypto.SHA256, 0},
		{"the default trailer, written out", params(hash256, mgf256, salt(32), trailer(1)), crypto.SHA256, 0},

		{"all defaults: SHA-1", params(), 0, unsupported},
		{"the default hash", params(mgf256, salt(32)), 0, unsupported},
		{"the default MGF", params(hash256, salt(32)), 0, unsupported},
		{"two hashes", params(hash256, mgfField(mgf1(sha(2, null))), salt(32)), 0, unsupported},
		{"SHA-224", params(hashField(sha(4, null)), mgfField(mgf1(sha(4, null))), salt(28)), 0, unsupported},
		{"another MGF", params(hash256, mgfField(der(0x30, oid(oidPSS))), salt(32)), 0, unsupported},
		{"a salt that is too long", params(hash256, mgf256, salt(33)), 0, unsupported},
		{"a negative salt", params(hash256, mgf256, salt(0xff)), 0, unsupported},
		{"another trailer", params(hash256, mgf256, salt(32), trailer(2)), 0, unsupported},

		{"NULL", null, 0, bad},
		{"something behind them", append(params(hash256, mgf256), null...), 0, bad},
		{"something else in them", params(hash256, mgf256, null), 0, bad},
		{"fields in another order", params(mgf256, hash256), 0, bad},
		{"a field twice", params(hash256, hash256, mgf256), 0, bad},
		{"an empty hash", params(der(0xa0), mgf256), 0, bad},
		{"two hashes in one field", params(der(0xa0, sha(1, null), sha(1, null)), mgf256), 0, bad},
		{"a hash with a parameter", params(hashField(sha(1, der(2, []byte{1}))), mgf256), 0, bad},
		{"a NULL that is not empty", params(hashField(sha(1, der(5, []byte{0}))), mgf256), 0, bad},
		{"something behind NULL", params(hashField(sha(1, null, null)), mgf256), 0, bad},
		{"an empty MGF", params(hash256, der(0xa1)), 0, bad},
		{"MGF1 without a hash", params(hash256, mgfField(der(0x30, oid(oidMGF1)))), 0, bad},
		{"MGF1 with something behind", params(hash256, mgfField(der(0x30, oid(oidMGF1), sha(1, null), null))), 0, bad},
		{"an MGF with something behind", params(hash256, der(0xa1, mgf1(sha(1, null)), null)), 0, bad},
		{"an empty salt", params(hash256, mgf256, der(0xa2)), 0, bad},
		{"a salt of many digits", params(hash256, mgf256, der(0xa2, der(2, []byte{1, 0, 0, 0, 0, 0, 0, 0, 0}))), 0, bad},
	} {
		pub, err := parsePSSKey(spki(oidPSS, tt.params, rsaDER(big.NewInt(65537), rsaKeyOf(2048).N)))
		if tt.fails != 0 {
			if err == nil || fault.Of(err) != tt.fails || pub.Key != nil {
				t.Errorf("%s: the key is %+v, %v, want %v", tt.name, pub, err, tt.fails)
			}
		} else if err != nil || !pub.PSS || pub.PSSHash != tt.hash {
			t.Errorf("%s: the key is %+v, %v, want one for %v", tt.name, pub, err, tt.hash)
		}
	}
}

func TestPSSModulusAndExponent(t *testing.T) {
	n, e := rsaKeyOf(2048).N, big.NewInt(65537)
	for name, key := range map[string][]byte{
		"nothing":                   {},
		"no exponent":               der(0x30, integer(n)),
		"three integers":            der(0x30, integer(n), integer(e), integer(e)),
		"something behind":          append(rsaDER(e, n), 0),
		"a modulus of zero":         rsaDER(e, big.NewInt(0)),
		"a negative modulus":        rsaDER(e, new(big.Int).Neg(n)),
		"an exponent of zero":       rsaDER(big.NewInt(0), n),
		"a negative exponent":       rsaDER(big.NewInt(-3), n),
		"an enormous exponent":      rsaDER(n, n),
		"a modulus of 2047 bits":    rsaDER(e, rsaKeyOf(2047).N),
		"a modulus of 8193 bits":    rsaDER(e, rsaKeyOf(8193).N),
		"a modulus that is padded":  der(0x30, der(2, append([]byte{0, 0}, n.Bytes()...)), integer(e)),
		"a modulus without a sign":  der(0x30, der(2, n.Bytes()), integer(e)),
		"an indefinite length":      append([]byte{0x30, 0x80}, rsaDER(e, n)[4:]...),
		"an OCTET STRING, and more": der(4, rsaDER(e, n)),
	} {
		if pub, err := parsePSSKey(spki(oidPSS, nil, key)); fault.Of(err) != fault.BadCertificate || pub.Key != nil {
			t.Errorf("%s: the key is %+v, %v, want a bad certificate", name, pub, err)
		}
	}
	unused := der(0x30, der(0x30, oid(oidPSS)), der(3, []byte{1}, rsaDER(e, n)))
	if _, err := parsePSSKey(unused); fault.Of(err) != fault.BadCertificate {
		t.Errorf("a BIT STRING with unused bits: the error is %v, want a bad certificate", err)
	}
	for _, bits := range []int{MinRSABits, MaxRSABits} {
		pub, err := parsePSSKey(spki(oidPSS, nil, rsaDER(e, rsaKeyOf(bits).N)))
		if err != nil || !pub.Key.(*rsa.PublicKey).Equal(rsaKeyOf(bits)) {
			t.Errorf("a modulus of %d bits: the key is %+v, %v", bits, pub, err)
		}
	}
}

func FuzzPSSKey(f *testing.F) {
	for _, file := range []string{"pss_plain", "pss_sha256", "pss_sha384", "pss_mixed"} {
		cert, _ := load(f, file)
		f.Add(cert.RawSubjectPublicKeyInfo)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, spki []byte) {
		pub, err := parsePSSKey(spki)
		if err != nil {
			if r := fault.Of(err); r != fault.BadCertificate && r != fault.UnsupportedCertificate {
				t.Errorf("the error is %v, which is not about a certificate", err)
			}
			return
		}
		if !pub.PSS || CheckSize(pub.Key) != nil || SchemesFor(pub) == nil {
			t.Errorf("a key that no scheme fits is returned: %+v", pub)
		}
		for _, s := range SchemesFor(pub) {
			_ = s.Verify(pub, []byte("message"), make([]byte, pub.Key.(*rsa.PublicKey).Size()))
		}
	})
}

// load returns what is in a file of testdata.
func load(t testing.TB, name string) (cert *x509.Certificate, signature []byte) {
	t.Helper()
	rest, err := os.ReadFile("testdata/" + name + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil:
			return cert, signature
		case block.Type == "SIGNATURE":
			signature = block.Bytes
		default:
			if cert, err = x509.ParseCertificate(block.Bytes); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// certificateOf returns as much of a certificate as CertificateKey looks at.
func certificateOf(t *testing.T, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	raw, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKIXPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{PublicKey: parsed, RawSubjectPublicKeyInfo: raw}
}

// spki is a SubjectPublicKeyInfo.
func spki(algorithm encodingasn1.ObjectIdentifier, params, key []byte) []byte {
	return der(0x30, der(0x30, oid(algorithm), params), der(3, []byte{0}, key))
}

// rsaDER is an RSAPublicKey.
func rsaDER(e, n *big.Int) []byte { return der(0x30, integer(n), integer(e)) }

func integer(n *big.Int) []byte { return must(encodingasn1.Marshal(n)) }

func oid(id encodingasn1.ObjectIdentifier) []byte { return must(encodingasn1.Marshal(id)) }

func der(tag byte, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	out := []byte{tag}
	switch n := len(content); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, content...)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
