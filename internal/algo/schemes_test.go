package algo

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

// RFC 9846, Section 4.3.3, by the numbers.
func TestSchemes(t *testing.T) {
	want := []struct {
		id   tls.SignatureScheme
		name string
		hash crypto.Hash
	}{
		{0x0403, "ecdsa_secp256r1_sha256", crypto.SHA256},
		{0x0804, "rsa_pss_rsae_sha256", crypto.SHA256},
		{0x0807, "ed25519", 0},
		{0x0503, "ecdsa_secp384r1_sha384", crypto.SHA384},
		{0x0603, "ecdsa_secp521r1_sha512", crypto.SHA512},
		{0x0805, "rsa_pss_rsae_sha384", crypto.SHA384},
		{0x0806, "rsa_pss_rsae_sha512", crypto.SHA512},
		{0x0809, "rsa_pss_pss_sha256", crypto.SHA256},
		{0x080a, "rsa_pss_pss_sha384", crypto.SHA384},
		{0x080b, "rsa_pss_pss_sha512", crypto.SHA512},
		{0x0401, "rsa_pkcs1_sha256", crypto.SHA256},
		{0x0501, "rsa_pkcs1_sha384", crypto.SHA384},
		{0x0601, "rsa_pkcs1_sha512", crypto.SHA512},
	}
	ids := DefaultSchemes()
	if len(ids) != len(want) {
		t.Fatalf("there are %d schemes, want %d", len(ids), len(want))
	}
	for i, w := range want {
		if ids[i] != w.id {
			t.Errorf("place %d in the default order is %v, want %s", i, ids[i], w.name)
		}
		s := SchemeByID(w.id)
		if s == nil || s.ID != w.id || s.Name != w.name || s.Hash != w.hash || s.opts.HashFunc() != w.hash {
			t.Errorf("SchemeByID(%#x) is %+v, want %s", uint16(w.id), s, w.name)
			continue
		}
		if s.InHandshake13() == strings.HasPrefix(w.name, "rsa_pkcs1") {
			t.Errorf("%s: InHandshake13 is %v", w.name, s.InHandshake13())
		}
	}
	// Nothing else: no MD5 (0x01xx), SHA-1 (0x02xx) or SHA-224 (0x03xx), no DSA (0xxx02).
	for id := range 1 << 16 {
		id := tls.SignatureScheme(id)
		if SchemeByID(id) != nil && !slices.Contains(ids, id) {
			t.Errorf("SchemeByID finds %v, which is not supported", id)
		}
	}
}

// testKeys are one of each type; making the RSA key takes the time.
var testKeys = sync.OnceValue(func() (keys struct {
	rsa              *rsa.PrivateKey
	p224, p256, p384 *ecdsa.PrivateKey
	p521             *ecdsa.PrivateKey
	ed25519          ed25519.PrivateKey
}) {
	var err [6]error
	keys.rsa, err[0] = rsa.GenerateKey(rand.Reader, 2048)
	keys.p224, err[1] = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	keys.p256, err[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys.p384, err[3] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	keys.p521, err[4] = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, keys.ed25519, err[5] = ed25519.GenerateKey(rand.Reader)
	if e := errors.Join(err[:]...); e != nil {
		panic(e)
	}
	return keys
})

// anyECDSA are the schemes of an ECDSA key in TLS 1.2: they "did not constrain
// the signing curve" (RFC 9846, Section 4.3.3).
const (
	anyECDSA = "ecdsa_secp256r1_sha256 ecdsa_secp384r1_sha384 ecdsa_secp521r1_sha512"
	anyRSA   = "rsa_pss_rsae_sha256 rsa_pss_rsae_sha384 rsa_pss_rsae_sha512 rsa_pkcs1_sha256 rsa_pkcs1_sha384 rsa_pkcs1_sha512"
	anyPSS   = "rsa_pss_pss_sha256 rsa_pss_pss_sha384 rsa_pss_pss_sha512"
)

// signers says which schemes fit which key, in the order of SchemesFor, in TLS
// 1.3 and in TLS 1.2.
func signers() []signer {
	keys := testKeys()
	pss := func(hash crypto.Hash) PublicKey { return PublicKey{keys.rsa.Public(), true, hash} }
	return []signer{
		{"RSA", keys.rsa, PublicKey{Key: keys.rsa.Public()},
			anyRSA, anyRSA},
		{"RSASSA-PSS", keys.rsa, pss(0), anyPSS, anyPSS},
		{"RSASSA-PSS with SHA-256", keys.rsa, pss(crypto.SHA256), "rsa_pss_pss_sha256", "rsa_pss_pss_sha256"},
		{"RSASSA-PSS with SHA-384", keys.rsa, pss(crypto.SHA384), "rsa_pss_pss_sha384", "rsa_pss_pss_sha384"},
		{"RSASSA-PSS with SHA-512", keys.rsa, pss(crypto.SHA512), "rsa_pss_pss_sha512", "rsa_pss_pss_sha512"},
		{"P-224", keys.p224, PublicKey{Key: keys.p224.Public()}, "", ""},
		{"P-256", keys.p256, PublicKey{Key: keys.p256.Public()}, "ecdsa_secp256r1_sha256", anyECDSA},
		{"P-384", keys.p384, PublicKey{Key: keys.p384.Public()}, "ecdsa_secp384r1_sha384", anyECDSA},
		{"P-521", keys.p521, PublicKey{Key: keys.p521.Public()}, "ecdsa_secp521r1_sha512", anyECDSA},
		{"Ed25519", keys.ed25519, PublicKey{Key: keys.ed25519.Public()}, "ed25519", "ed25519"},
	}
}

type signer struct {
	name      string
	private   crypto.Signer
	public    PublicKey
	schemes   string
	schemes12 string
}

func (k *signer) has(s *Scheme) bool   { return slices.Contains(strings.Fields(k.schemes), s.Name) }
func (k *signer) has12(s *Scheme) bool { return slices.Contains(strings.Fields(k.schemes12), s.Name) }

func TestSchemesFitTheirKeys(t *testing.T) {
	for _, k := range signers() {
		for i := range schemes {
			s := &schemes[i]
			if s.Fits(k.public) != k.has(s) {
				t.Errorf("%s fits a key of %s: %v, want %v", s.Name, k.name, s.Fits(k.public), k.has(s))
			}
			if s.Fits12(k.public) != k.has12(s) {
				t.Errorf("%s fits a key of %s in TLS 1.2: %v, want %v", s.Name, k.name, s.Fits12(k.public), k.has12(s))
			}
		}
		var got, want []string
		for _, s := range SchemesFor(k.public) {
			got = append(got, s.Name)
		}
		for _, name := range strings.Fields(k.schemes) {
			if !strings.HasPrefix(name, "rsa_pkcs1") {
				want = append(want, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("SchemesFor %s is %v, want %v", k.name, got, want)
		}
		got = nil
		for _, s := range SchemesFor12(k.public) {
			got = append(got, s.Name)
		}
		if want := strings.Fields(k.schemes12); !slices.Equal(got, want) {
			t.Errorf("SchemesFor12 %s is %v, want %v", k.name, got, want)
		}
	}
	for name, key := range map[string]crypto.PublicKey{
		"nothing":                          nil,
		"a private key":                    testKeys().p256,
		"a key by value":                   testKeys().p256.PublicKey,
		"an Ed25519 key that is too short": ed25519.PublicKey(make([]byte, 31)),
		"an ECDSA key without a curve":     &ecdsa.PublicKey{},
		"an X25519 key":                    &ecdh.PublicKey{},
	} {
		for _, s := range [][]*Scheme{SchemesFor(PublicKey{Key: key}), SchemesFor12(PublicKey{Key: key})} {
			if s != nil {
				t.Errorf("%s fits %s", s[0].Name, name)
			}
		}
	}
}

func TestSignaturesVerify(t *testing.T) {
	message := []byte("what the peer signed")
	for _, k := range signers() {
		for i := range schemes {
			s := &schemes[i]
			if !k.has(s) {
				continue
			}
			signature, err := s.Sign(k.private, rand.Reader, message)
			if err != nil {
				t.Errorf("%s with %s does not sign: %v", s.Name, k.name, err)
				continue
			}
			if err := s.Verify(k.public, message, signature); err != nil {
				t.Errorf("%s with %s does not verify: %v", s.Name, k.name, err)
			}

			bad := func(what string, message, signature []byte) {
				t.Helper()
				if err := s.Verify(k.public, message, signature); fault.Of(err) != fault.BadSignature || err == nil {
					t.Errorf("%s with %s: %s: the error is %v, want a bad signature", s.Name, k.name, what, err)
				}
			}
			bad("another message", message[1:], signature)
			bad("no message", nil, signature)
			for n := range signature {
				bad("a truncated signature", message, signature[:n])
			}
			bad("a byte behind the signature", message, append(bytes.Clone(signature), 0))
			bad("a byte before the signature", message, append([]byte{0}, signature...))
			for bit := 0; bit < 8*len(signature); bit += 41 {
				flipped := bytes.Clone(signature)
				flipped[bit/8] ^= 1 << (bit % 8)
				bad("a flipped bit", message, flipped)
			}

			for j := range schemes {
				other := &schemes[j]
				if other == s {
					continue
				}
				err := other.Verify(k.public, message, signature)
				want := fault.BadSignature // another hash, or another padding
				if !k.has(other) {
					want = fault.IllegalParameter // another key
				}
				if err == nil || fault.Of(err) != want {
					t.Errorf("%s verifies what %s signed with %s: %v, want %v", other.Name, s.Name, k.name, err, want)
				}
			}
		}
	}
}

// In TLS 1.2 any ECDSA scheme goes with any curve; in TLS 1.3 each has its own.
// For all other keys the versions agree.
func TestVerify12TakesMoreThanVerify(t *testing.T) {
	message := []byte("what the peer signed")
	for _, k := range signers() {
		for i := range schemes {
			s := &schemes[i]
			if !k.has12(s) {
				// A signature that would verify, if the key was asked.
				signature, err := crypto.SignMessage(k.private, rand.Reader, message, s.opts)
				if err != nil {
					signature = []byte("none")
				}
				if err := s.Verify12(k.public, message, signature); fault.Of(err) != fault.IllegalParameter || err == nil {
					t.Errorf("%s with %s, which does not fit in TLS 1.2: the error is %v, want: %v", s.Name, k.name, err, fault.IllegalParameter)
				}
				continue
			}
			signature, err := s.Sign(k.private, rand.Reader, message)
			if err != nil {
				t.Errorf("%s with %s does not sign: %v", s.Name, k.name, err)
				continue
			}
			if err := s.Verify12(k.public, message, signature); err != nil {
				t.Errorf("%s with %s does not verify in TLS 1.2: %v", s.Name, k.name, err)
			}
			err = s.Verify(k.public, message, signature)
			if k.has(s) && err != nil || !k.has(s) && (err == nil || fault.Of(err) != fault.IllegalParameter) {
				t.Errorf("%s with %s, signed for TLS 1.2, in TLS 1.3: %v", s.Name, k.name, err)
			}
			for story, bad := range map[string][2][]byte{
				"another message":            {message[1:], signature},
				"a truncated signature":      {message, signature[:len(signature)-1]},
				"a byte behind it":           {message, append(bytes.Clone(signature), 0)},
				"no signature":               {message, nil},
				"a signature that is zeros":  {message, make([]byte, len(signature))},
				"a signature of another key": {message, signedByAnother(t, s, message)},
			} {
				if err := s.Verify12(k.public, bad[0], bad[1]); err == nil || fault.Of(err) != fault.BadSignature {
					t.Errorf("%s with %s, %s: the error is %v, want a bad signature", s.Name, k.name, story, err)
				}
			}
			for j := range schemes {
				other := &schemes[j]
				if other == s {
					continue
				}
				want := fault.BadSignature // another hash, or another padding
				if !k.has12(other) {
					want = fault.IllegalParameter // another key
				}
				if err := other.Verify12(k.public, message, signature); err == nil || fault.Of(err) != want {
					t.Errorf("%s verifies what %s signed with %s: %v, want %v", other.Name, s.Name, k.name, err, want)
				}
			}
		}
	}
}

// signedByAnother is a signature of the right form: with a key of the type
// that is not one of the test's, or, for RSA, over something else.
func signedByAnother(t *testing.T, s *Scheme, message []byte) []byte {
	t.Helper()
	var key crypto.Signer
	var err error
	switch s.kind {
	case ecdsaKind:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ed25519Kind:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, message = testKeys().rsa, append([]byte("not "), message...)
	}
	if err != nil {
		t.Fatal(err)
	}
	signature, err := s.Sign(key, rand.Reader, message)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// A suite of TLS 1.2 names the kind of key: Ed25519 goes with ECDSA's (RFC
// 8422, Section 2) and RSASSA-PSS with RSA's (RFC 9846, Section 4.3.3).
func TestSchemesGoWithSuites(t *testing.T) {
	for i := range schemes {
		s, want := &schemes[i], AuthenticatedByRSA
		if strings.HasPrefix(s.Name, "ecdsa") || s.Name == "ed25519" {
			want = AuthenticatedByECDSA
		}
		if s.Auth() != want {
			t.Errorf("%s goes with authentication %d, want %d", s.Name, s.Auth(), want)
		}
	}
	for _, k := range signers() {
		kinds := map[Authentication]bool{}
		for _, s := range SchemesFor12(k.public) {
			kinds[s.Auth()] = true
		}
		for _, id := range DefaultSuites() {
			suite := SuiteByID(id)
			if suite.Version != tls.VersionTLS12 {
				continue
			}
			want := strings.HasPrefix(suite.Name, "TLS_ECDHE_ECDSA_")
			if strings.HasPrefix(k.name, "RSA") {
				want = !want
			} else if k.name == "P-224" {
				want = false // with nothing
			}
			if kinds[suite.Auth] != want {
				t.Errorf("a key of %s goes with %s: %v, want %v", k.name, suite.Name, kinds[suite.Auth], want)
			}
		}
	}
}

// The length of the salt MUST be equal to that of the hash (Section 4.3.3).
func TestPSSSaltIsAsLongAsTheHash(t *testing.T) {
	key := testKeys().rsa
	message := []byte("what the peer signed")
	digest := crypto.SHA256.New()
	digest.Write(message)
	for salt, want := range map[int]bool{
		32: true, 31: false, 33: false, 20: false, 48: false, 2048/8 - 32 - 2: false,
	} {
		signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest.Sum(nil), &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		err = SchemeByID(tls.PSSWithSHA256).Verify(PublicKey{Key: key.Public()}, message, signature)
		if (err == nil) != want {
			t.Errorf("a salt of %d bytes: the error is %v", salt, err)
		}
	}
}

// Sign does not know the version: what fits in TLS 1.2 is signed.
func TestSignRefusesKeysThatDoNotFit(t *testing.T) {
	for _, k := range signers() {
		if k.public.PSS {
			continue // Sign cannot tell
		}
		for i := range schemes {
			s := &schemes[i]
			if k.has12(s) || k.name == "RSA" && s.kind == pssPSSKind {
				continue
			}
			if signature, err := s.Sign(k.private, rand.Reader, nil); err == nil || fault.Of(err) != fault.Internal || signature != nil {
				t.Errorf("%s signs with a key of %s: %v", s.Name, k.name, err)
			}
		}
	}
}

func TestSignerThatFails(t *testing.T) {
	cause := errors.New("the token was removed")
	s := SchemeByID(tls.ECDSAWithP256AndSHA256)
	signature, err := s.Sign(&remoteSigner{Signer: testKeys().p256, err: cause}, rand.Reader, nil)
	if !errors.Is(err, cause) || fault.Of(err) != fault.Internal || signature != nil {
		t.Errorf("the error is %v, want an internal error because of the signer's", err)
	}
}

func TestSignerIsAskedWithHashAndOptions(t *testing.T) {
	message := []byte("what is signed")
	for _, k := range signers() {
		for i := range schemes {
			s := &schemes[i]
			if !k.has(s) {
				continue
			}
			remote := &remoteSigner{Signer: k.private}
			signature, err := s.Sign(remote, rand.Reader, message)
			if err != nil {
				t.Fatal(err)
			}
			want := message
			if s.Hash != 0 {
				h := s.Hash.New()
				h.Write(message)
				want = h.Sum(nil)
			}
			if remote.calls != 1 || !bytes.Equal(remote.digest, want) || remote.opts.HashFunc() != s.Hash {
				t.Errorf("%s asks a crypto.Signer %d times, for %x with %v", s.Name, remote.calls, remote.digest, remote.opts)
			}
			if err := s.Verify(k.public, message, signature); err != nil {
				t.Errorf("%s: the signature of a crypto.Signer does not verify: %v", s.Name, err)
			}
		}
	}
}

// remoteSigner is a crypto.Signer and nothing else, and remembers the call.
type remoteSigner struct {
	crypto.Signer
	err    error
	calls  int
	digest []byte
	opts   crypto.SignerOpts
}

func (r *remoteSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	r.calls++
	r.digest, r.opts = bytes.Clone(digest), opts
	if r.err != nil {
		return nil, r.err
	}
	return r.Signer.Sign(random, digest, opts)
}

func TestRSAKeySizes(t *testing.T) {
	if MinRSABits/8 < 2*crypto.SHA512.Size()+2 {
		t.Error("the smallest RSA key has no room for PSS with SHA-512 (RFC 8017, Section 9.1.1)")
	}
	for bits, want := range map[int]bool{
		512: false, 1024: false, MinRSABits - 1: false, MinRSABits: true, 3072: true,
		4096: true, MaxRSABits: true, MaxRSABits + 1: false, 16384: false, 1 << 20: false,
	} {
		key := rsaKeyOf(bits)
		if err := CheckSize(key); (err == nil) != want || err != nil && fault.Of(err) != fault.BadCertificate {
			t.Errorf("CheckSize of %d bits: %v", bits, err)
		}
		for _, pub := range []PublicKey{{Key: key}, {Key: key, PSS: true}} {
			if (SchemesFor(pub) != nil) != want || (SchemesFor12(pub) != nil) != want {
				t.Errorf("an RSA key of %d bits fits a scheme: %v, want %v", bits, !want, want)
			}
		}
		err := SchemeByID(tls.PSSWithSHA256).Verify(PublicKey{Key: key}, nil, make([]byte, bits/8))
		if !want && fault.Of(err) != fault.IllegalParameter || err == nil {
			t.Errorf("a signature under an RSA key of %d bits: the error is %v", bits, err)
		}
	}
	if err := CheckSize(testKeys().ed25519.Public()); err != nil {
		t.Errorf("CheckSize refuses an Ed25519 key: %v", err)
	}
}

// rsaKeyOf returns a public key that has the size and nothing else.
func rsaKeyOf(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

func FuzzVerify(f *testing.F) {
	keys := signers()
	message := []byte("what the peer signed")
	for i := range schemes {
		for _, k := range keys {
			if k.has(&schemes[i]) {
				signature, err := schemes[i].Sign(k.private, rand.Reader, []byte("something else"))
				if err != nil {
					f.Fatal(err)
				}
				f.Add(byte(i), signature)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which byte, signature []byte) {
		s := &schemes[int(which)%len(schemes)]
		for _, k := range keys {
			for version, err := range map[string]error{
				"TLS 1.3": s.Verify(k.public, message, signature),
				"TLS 1.2": s.Verify12(k.public, message, signature),
			} {
				if r := fault.Of(err); err == nil || r != fault.BadSignature && r != fault.IllegalParameter {
					t.Errorf("%s, %s with %s: a signature out of nothing: %v", version, s.Name, k.name, err)
				}
			}
		}
	})
}
