// Package tlstest is a public key infrastructure for tests, made up when it is
// first asked for: a root, an intermediate, and leafs with keys of all types.
package tlstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"
)

// Kind is the type of a leaf's key.
type Kind uint8

const (
	ECDSAP256 Kind = iota
	ECDSAP384
	ECDSAP521
	RSA2048
	RSAPSS // RSA with 2048 bits, under the identifier id-RSASSA-PSS
	Ed25519
)

// Kinds are all of them.
var Kinds = []Kind{ECDSAP256, ECDSAP384, ECDSAP521, RSA2048, RSAPSS, Ed25519}

func (k Kind) String() string {
	switch k {
	case ECDSAP256:
		return "ECDSAP256"
	case ECDSAP384:
		return "ECDSAP384"
	case ECDSAP521:
		return "ECDSAP521"
	case RSA2048:
		return "RSA2048"
	case RSAPSS:
		return "RSAPSS"
	case Ed25519:
		return "Ed25519"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Certificates are valid from NotBefore to NotAfter if nothing else is asked
// for; both leave room on their far side, within what x509 can express.
var (
	NotBefore = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	NotAfter  = time.Date(2099, 12, 31, 0, 0, 0, 0, time.UTC)
)

// CA returns the pool to verify leafs with, and its one root in PEM. The
// intermediate between the root and the leafs comes with the leafs.
func CA() (pool *x509.CertPool, rootPEM []byte) {
	root := pki().root.cert
	pool = x509.NewCertPool()
	pool.AddCert(root)
	return pool, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
}

// Leaf returns a server's chain, leaf and intermediate, with the key. Without
// names it is valid for example.com, *.example.com, localhost, 127.0.0.1 and
// ::1. It is the same one each time.
func Leaf(kind Kind, names ...string) tls.Certificate {
	return cached("server", Options{Kind: kind, Names: names})
}

// ClientLeaf is Leaf for a client: its extended key usage is clientAuth.
func ClientLeaf(kind Kind, names ...string) tls.Certificate {
	return cached("client", Options{Kind: kind, Names: names, Client: true})
}

// Options are for certificates that are not like the others, for one reason or
// another that the peer should not like.
type Options struct {
	Kind  Kind
	Names []string // DNS names and IP addresses; nil stands for those of Leaf

	Client    bool      // the extended key usage is clientAuth, not serverAuth
	NotAfter  time.Time // the zero Time stands for NotAfter
	NotBefore time.Time // the zero Time stands for NotBefore
	UnknownCA bool      // the chain leads to a root that is not CA's

	Usage x509.KeyUsage // 0 stands for digitalSignature

	Bulk  int // so many bytes more, in an extension that nobody knows
	Depth int // the intermediates in the chain; 0 stands for 1
}

// New makes a chain as the options say: leaf first, then the intermediates
// that lead to the root, which is not in the chain.
func New(o Options) tls.Certificate {
	p := pki()
	issuer := p.intermediate
	if o.UnknownCA {
		issuer = p.strange
	}
	chain := [][]byte{issuer.cert.Raw}
	for i := 1; i < o.Depth; i++ {
		issuer = issuer.newCA(fmt.Sprintf("baretls test intermediate %d", i+1))
		chain = append([][]byte{issuer.cert.Raw}, chain...)
	}
	key := Key(o.Kind)
	leaf := issuer.newLeaf(o, key)
	return tls.Certificate{
		Certificate: append([][]byte{leaf.Raw}, chain...),
		PrivateKey:  key,
		Leaf:        leaf,
	}
}

// Key returns the key that all leafs of a kind have in common.
func Key(kind Kind) crypto.Signer {
	keys.Lock()
	defer keys.Unlock()
	if keys.m == nil {
		keys.m = make(map[Kind]crypto.Signer)
	}
	key := keys.m[kind]
	if key == nil {
		key = newKey(kind)
		keys.m[kind] = key
	}
	return key
}

var keys struct {
	sync.Mutex
	m map[Kind]crypto.Signer
}

func newKey(kind Kind) crypto.Signer {
	switch kind {
	case ECDSAP256:
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	case ECDSAP384:
		return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	case ECDSAP521:
		return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	case RSA2048, RSAPSS:
		return must(rsa.GenerateKey(rand.Reader, 2048))
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return must(key, err)
	}
	panic(kind.String())
}

var leafs struct {
	sync.Mutex
	m map[string]tls.Certificate
}

func cached(role string, o Options) tls.Certificate {
	id := role + " " + o.Kind.String() + " " + strings.Join(o.Names, " ")
	leafs.Lock()
	defer leafs.Unlock()
	if leafs.m == nil {
		leafs.m = make(map[string]tls.Certificate)
	}
	cert, ok := leafs.m[id]
	if !ok {
		cert = New(o)
		leafs.m[id] = cert
	}
	return cert
}

// authority is a CA's certificate and key. The keys are ECDSA, so that chains
// are short and quick to verify.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

type authorities struct{ root, intermediate, strange *authority }

var pki = sync.OnceValue(func() authorities {
	var nobody *authority
	root := nobody.newCA("baretls test root")
	other := nobody.newCA("another root")
	return authorities{
		root:         root,
		intermediate: root.newCA("baretls test intermediate"),
		strange:      other.newCA("another intermediate"),
	}
})

// newCA makes a CA below a, or a root if a is nil.
func (a *authority) newCA(name string) *authority {
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             NotBefore.AddDate(-1, 0, 0),
		NotAfter:              NotAfter.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	return &authority{must(x509.ParseCertificate(der)), key}
}

func (a *authority) newLeaf(o Options, key crypto.Signer) *x509.Certificate {
	names := o.Names
	if len(names) == 0 {
		names = []string{"example.com", "*.example.com", "localhost", "127.0.0.1", "::1"}
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "baretls test " + o.Kind.String()},
		NotBefore:    o.NotBefore,
		NotAfter:     o.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if o.Client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if o.Usage != 0 {
		template.KeyUsage = o.Usage
	}
	if o.NotBefore.IsZero() {
		template.NotBefore = NotBefore
	}
	if o.NotAfter.IsZero() {
		template.NotAfter = NotAfter
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if o.Bulk > 0 {
		template.ExtraExtensions = []pkix.Extension{{
			Id:    asn1.ObjectIdentifier{2, 25, 1, 2, 3}, // below UUID-based OIDs: nobody's
			Value: must(asn1.Marshal(make([]byte, o.Bulk))),
		}}
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key))
	if o.Kind == RSAPSS {
		der = a.withPSSKey(der)
	}
	return must(x509.ParseCertificate(der))
}

// withPSSKey changes the identifier of a certificate's RSA key to id-RSASSA-PSS
// (RFC 4055, Section 1.2), which crypto/x509 cannot write, and signs it again.
func (a *authority) withPSSKey(der []byte) []byte {
	// The fields of RFC 5280, Section 4.1, as far as they are not opaque here.
	var cert struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	mustRest(asn1.Unmarshal(der, &cert))
	var tbs []asn1.RawValue
	mustRest(asn1.Unmarshal(cert.TBS.FullBytes, &tbs))
	const keyField = 6 // behind version, serial, algorithm, issuer, validity and subject
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	mustRest(asn1.Unmarshal(tbs[keyField].FullBytes, &spki))
	spki.Algorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}}
	tbs[keyField] = asn1.RawValue{FullBytes: must(asn1.Marshal(spki))}

	cert.TBS = asn1.RawValue{FullBytes: must(asn1.Marshal(tbs))}
	digest := sha256.Sum256(cert.TBS.FullBytes)
	signature := must(ecdsa.SignASN1(rand.Reader, a.key, digest[:]))
	cert.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	return must(asn1.Marshal(cert))
}

var (
	serialMutex sync.Mutex
	lastSerial  int64
)

func serial() *big.Int {
	serialMutex.Lock()
	defer serialMutex.Unlock()
	lastSerial++
	return big.NewInt(lastSerial)
}

// must panics because a test that has no certificate cannot go on.
func must[T any](v T, err error) T {
	if err != nil {
		panic("tlstest: " + err.Error())
	}
	return v
}

func mustRest(rest []byte, err error) {
	if must(rest, err); len(rest) != 0 {
		panic("tlstest: trailing bytes in a certificate of our own")
	}
}
