package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

func TestCredentialsArePickedByNameAndScheme(t *testing.T) {
	const ecdsaScheme, rsaScheme, edScheme = tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256, tls.Ed25519
	certs := map[string]tls.Certificate{
		"first":     tlstest.Leaf(tlstest.ECDSAP256, "first.example.com", "both.example.com"),
		"first RSA": tlstest.Leaf(tlstest.RSA2048, "first.example.com"),
		"wildcard":  tlstest.Leaf(tlstest.ECDSAP256, "*.example.com", "example.com"),
		"deep":      tlstest.Leaf(tlstest.ECDSAP256, "*.deep.example.com"),
		"second":    tlstest.Leaf(tlstest.Ed25519, "both.example.com", "Upper.Example.net"),
	}
	order := []string{"first", "first RSA", "wildcard", "deep", "second"}
	var cs Credentials
	names := map[*Credential]string{}
	for _, name := range order {
		c := credential(t, certs[name])
		names[c] = name
		cs.Add(c)
	}
	if cs.Len() != len(order) {
		t.Errorf("%d credentials, want %d", cs.Len(), len(order))
	}
	for _, row := range []struct {
		story   string
		name    string
		schemes []tls.SignatureScheme
		want    string
	}{
		{"its exact name", "first.example.com", []tls.SignatureScheme{ecdsaScheme, rsaScheme}, "first"},
		{"its exact name, with the other key", "first.example.com", []tls.SignatureScheme{rsaScheme}, "first RSA"},
		{"a name that is upper-case in the certificate", "upper.example.net", []tls.SignatureScheme{ecdsaScheme, edScheme}, "second"},
		{"a name of two, the earlier", "both.example.com", []tls.SignatureScheme{edScheme, ecdsaScheme}, "first"},
		{"a name of two, the one it can verify", "both.example.com", []tls.SignatureScheme{edScheme}, "second"},
		{"a name that only a wildcard has", "other.example.com", []tls.SignatureScheme{ecdsaScheme}, "wildcard"},
		{"the name next to the wildcard", "example.com", []tls.SignatureScheme{ecdsaScheme}, "wildcard"},
		{"a name two labels below, which the wildcard does not have", "a.b.example.com", []tls.SignatureScheme{ecdsaScheme}, "first"},
		{"a name of the deeper wildcard", "a.deep.example.com", []tls.SignatureScheme{ecdsaScheme}, "deep"},
		{"its exact name with no scheme for it but the wildcard's", "both.example.com", []tls.SignatureScheme{rsaScheme}, "first RSA"},
		{"a name that nobody has", "example.net", []tls.SignatureScheme{ecdsaScheme}, "first"},
		{"a name that nobody has, and only one scheme", "example.net", []tls.SignatureScheme{edScheme}, "second"},
		{"a single label", "localhost", []tls.SignatureScheme{rsaScheme}, "first RSA"},
		{"the wildcard itself as a name", "*.example.com", []tls.SignatureScheme{ecdsaScheme}, "wildcard"},
		{"no name", "", []tls.SignatureScheme{rsaScheme, edScheme}, "first RSA"},
	} {
		c, scheme, err := cs.pick(row.name, nil, offering(row.schemes...))
		if err != nil || names[c] != row.want {
			t.Errorf("%s (%s): the certificate is %q, %v, want %q", row.story, row.name, names[c], err, row.want)
			continue
		}
		if !slices.Contains(row.schemes, scheme.ID) || !slices.Contains(c.Schemes, scheme) {
			t.Errorf("%s: the scheme is %s", row.story, scheme.Name)
		}
	}
	_, _, err := cs.pick("example.com", nil, offering(tls.ECDSAWithP521AndSHA512, tls.PKCS1WithSHA256))
	expectReason(t, err, fault.NoCommonScheme, "a client that can verify none")
	_, _, err = new(Credentials).pick("example.com", nil, offering(ecdsaScheme))
	expectReason(t, err, fault.NoCertificate, "a server without certificates")
}

// "All certificates provided by the sender MUST be signed by a signature algorithm
// advertised by the peer, if it is able to provide such a chain": RFC 9846,
// Section 4.5.1.2, for servers and for clients.
func TestChainsThatThePeerCanVerifyComeFirst(t *testing.T) {
	const ecdsaScheme, rsaScheme, edScheme = tls.ECDSAWithP256AndSHA256, tls.PKCS1WithSHA256, tls.Ed25519
	type list = []tls.SignatureScheme
	signedByRSA, signedByECDSA := leafOfRSA(t), tlstest.Leaf(tlstest.ECDSAP256, "example.com")
	for _, row := range []struct {
		story     string
		offered   list
		forChains list // nil: no signature_algorithms_cert
		want      string
	}{
		{"both can be verified", list{ecdsaScheme, rsaScheme}, nil, "first"},
		{"the second can", list{ecdsaScheme}, nil, "second"},
		{"the first can, by signature_algorithms_cert", list{ecdsaScheme}, list{rsaScheme}, "first"},
		{"the second can, by signature_algorithms_cert", list{ecdsaScheme, rsaScheme}, list{edScheme, ecdsaScheme}, "second"},
		{"neither can", list{ecdsaScheme}, list{edScheme}, "first"},
		{"the list is long", list{ecdsaScheme}, append(slices.Repeat(list{0x0a0a}, 100), ecdsaScheme), "second"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			if version == tls.VersionTLS12 && !TLS12 {
				continue
			}
			p := newMutualPair(t)
			p.clientPolicy.speak(version)
			p.serverPolicy.speak(version)
			p.clientPolicy.Roots, p.serverPolicy.ClientAuth = x509.NewCertPool(), tls.RequestClientCert
			p.clientPolicy.Judge.Instead = func(*Verification) error { return nil }
			p.serverPolicy.Credentials = Credentials{}
			p.clientPolicy.Credentials = nil
			for _, cert := range []tls.Certificate{signedByRSA, signedByECDSA} {
				p.serverPolicy.Credentials.Add(credential(t, cert))
				p.clientPolicy.Credentials = append(p.clientPolicy.Credentials, credential(t, cert))
			}
			p.clientDoors[kind(wire.TypeClientHello)] = editClientHello(func(h *wire.ClientHello) {
				h.SignatureAlgorithms = wire.AppendUint16s(nil, row.offered...)
				if row.forChains != nil {
					h.Has, h.SignatureAlgorithmsCert = h.Has.With(wire.ExtSignatureAlgorithmsCert), wire.AppendUint16s(nil, row.forChains...)
				}
			})
			asks := version == tls.VersionTLS13 || row.forChains == nil
			if version == tls.VersionTLS13 {
				p.serverDoors[kind(wire.TypeCertificateRequest)] = func(m []byte) []byte {
					cr := wire.CertificateRequest{Has: 1 << wire.ExtSignatureAlgorithms, SignatureAlgorithms: wire.AppendUint16s(nil, row.offered...)}
					if row.forChains != nil {
						cr.Has, cr.SignatureAlgorithmsCert = cr.Has.With(wire.ExtSignatureAlgorithmsCert), wire.AppendUint16s(nil, row.forChains...)
					}
					return cr.Append(nil)
				}
			} else {
				p.serverPolicy.Schemes = schemes(row.offered...)
			}
			p.complete()
			wants := map[string][]byte{"first": signedByRSA.Certificate[0], "second": signedByECDSA.Certificate[0]}
			if got := p.client.Facts.PeerCertificates; len(got) == 0 || !bytes.Equal(got[0].Raw, wants[row.want]) {
				t.Errorf("%#x, of two chains %s: the server does not send its %s", version, row.story, row.want)
			}
			if got := p.server.Facts.PeerCertificates; asks && (len(got) == 0 || !bytes.Equal(got[0].Raw, wants[row.want])) {
				t.Errorf("%#x, of two chains %s: the client does not send its %s", version, row.story, row.want)
			}
		}
	}
}

// leafOfRSA is a chain for an ECDSA key that RSA has signed, its root included.
func leafOfRSA(t *testing.T) tls.Certificate {
	t.Helper()
	issuer, key := tlstest.Key(tlstest.RSA2048), tlstest.Key(tlstest.ECDSAP256)
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"example.com"},
			NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter,
		}
	}
	root := template("a root")
	cert := tls.Certificate{PrivateKey: key}
	for _, c := range []struct {
		template *x509.Certificate
		public   crypto.PublicKey
	}{{template("a leaf"), key.Public()}, {root, issuer.Public()}} {
		der, err := x509.CreateCertificate(rand.Reader, c.template, root, c.public, issuer)
		if err != nil {
			t.Fatal(err)
		}
		cert.Certificate = append(cert.Certificate, der)
	}
	return cert
}

// offering is how a client of TLS 1.3 with these schemes picks.
func offering(schemes ...tls.SignatureScheme) func(*Credential) *algo.Scheme {
	offered := wire.AppendUint16s(nil, schemes...)
	return func(c *Credential) *algo.Scheme { return c.scheme(offered) }
}

func TestTheSchemeIsTheCredentialsFirstPreference(t *testing.T) {
	c := credential(t, tlstest.Leaf(tlstest.RSA2048))
	offered := wire.AppendUint16s(nil, tls.PSSWithSHA512, tls.PSSWithSHA384, tls.PKCS1WithSHA256)
	if got := c.scheme(offered); got == nil || got.ID != tls.PSSWithSHA384 {
		t.Errorf("the scheme is %v, want rsa_pss_rsae_sha384, which comes before sha512 here", got)
	}
	if got := c.scheme(wire.AppendUint16s(nil, tls.PKCS1WithSHA256)); got != nil {
		t.Errorf("the scheme is %s, which TLS 1.3 does not have", got.Name)
	}

	limited := tlstest.Leaf(tlstest.RSA2048)
	limited.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PSSWithSHA512, tls.PKCS1WithSHA256}
	c = credential(t, limited)
	if got := c.scheme(offered); len(c.Schemes) != 1 || got == nil || got.ID != tls.PSSWithSHA512 {
		t.Errorf("with SupportedSignatureAlgorithms the scheme is %v of %d", got, len(c.Schemes))
	}
}

func TestCertificatesThatCannotBeUsedAreFoundAtOnce(t *testing.T) {
	good := tlstest.Leaf(tlstest.ECDSAP256)
	change := func(f func(c *tls.Certificate)) tls.Certificate {
		c := good
		f(&c)
		return c
	}
	for _, row := range []struct {
		story string
		cert  tls.Certificate
		want  string
	}{
		{"nothing", tls.Certificate{}, "no certificate"},
		{"no key", change(func(c *tls.Certificate) { c.PrivateKey = nil }), "cannot sign"},
		{"a public key", change(func(c *tls.Certificate) { c.PrivateKey = c.Leaf.PublicKey }), "cannot sign"},
		{"the key of another type", change(func(c *tls.Certificate) { c.PrivateKey = tlstest.Key(tlstest.Ed25519) }), "does not belong"},
		{"the key of another curve", change(func(c *tls.Certificate) { c.PrivateKey = tlstest.Key(tlstest.ECDSAP384) }), "does not belong"},
		{"a leaf that is no certificate", change(func(c *tls.Certificate) { c.Leaf, c.Certificate = nil, [][]byte{{1, 2, 3}} }), "x509"},
		{"no scheme left", change(func(c *tls.Certificate) { c.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.Ed25519} }), "no signature scheme"},
		{"a staple that is too large", change(func(c *tls.Certificate) { c.OCSPStaple = make([]byte, 0x10000) }), "do not fit"},
	} {
		_, err := NewCredential(&row.cert, false)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("a certificate with %s: the error is %v, want one that says %q", row.story, err, row.want)
		}
	}

	parsed := good
	parsed.Leaf = nil
	if c, err := NewCredential(&parsed, false); err != nil || c.Leaf == nil {
		t.Errorf("a certificate without its parsed leaf is refused: %v", err)
	}
	foreign := good
	foreign.PrivateKey = opaque{good.PrivateKey.(*ecdsa.PrivateKey)}
	if _, err := NewCredential(&foreign, false); err != nil {
		t.Errorf("a key that is only a crypto.Signer is refused: %v", err)
	}
	for _, kind := range tlstest.Kinds {
		p := newPair(t)
		cert := tlstest.Leaf(kind)
		cert.PrivateKey = opaque{cert.PrivateKey.(crypto.Signer)}
		p.only(cert)
		p.complete()
	}
}

// opaque is a key that can do nothing but sign.
type opaque struct{ crypto.Signer }

func TestStaplesAndSCTsGoToClientsThatAsk(t *testing.T) {
	cert := tlstest.Leaf(tlstest.ECDSAP256)
	cert.OCSPStaple = []byte("response")
	cert.SignedCertificateTimestamps = [][]byte{[]byte("one"), []byte("two")}
	p := newPair(t)
	p.only(cert)
	var seen Verification
	p.clientPolicy.Judge.After = func(v *Verification) error { seen = *v; return nil }
	p.complete()
	for _, got := range []struct {
		who  string
		ocsp []byte
		scts [][]byte
	}{
		{"the client's facts", p.client.Facts.OCSPResponse, p.client.Facts.SCTs},
		{"the judge", seen.OCSPResponse, seen.SCTs},
	} {
		if string(got.ocsp) != "response" || len(got.scts) != 2 || string(got.scts[0]) != "one" || string(got.scts[1]) != "two" {
			t.Errorf("%s: staple %q, SCTs %q", got.who, got.ocsp, got.scts)
		}
	}

	p = newPair(t)
	p.only(cert)
	p.clientDoors[kind(wire.TypeClientHello)] = without(wire.ExtStatusRequest, wire.ExtSCT)
	p.complete()
	if p.client.Facts.OCSPResponse != nil || p.client.Facts.SCTs != nil {
		t.Error("a client that does not ask is sent a staple or SCTs")
	}
}

func TestHostNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for name, want := range map[string]bool{
		"example.com": true, "localhost": true, "EXAMPLE.com": true, "a-b.c_d.example": true, "xn--bcher-kva.example": true,
		"1.2.3.4": true, long + ".example": true, strings.Repeat(long+".", 3) + strings.Repeat("b", 61): true,
		"": false, ".": false, "example.com.": false, ".example.com": false, "a..b": false, "a b": false, "bücher.example": false,
		"*.example.com": false, "example.com:443": false, "::1": false, "a\x00b": false, "a/b": false,
		long + "a.example": false, strings.Repeat(long+".", 3) + strings.Repeat("b", 62): false,
	} {
		if got := ValidHostname(name); got != want {
			t.Errorf("%q is a host name: %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]bool{
		"1.2.3.4": true, "::1": true, "fe80::1%eth0": true, "2001:db8::1": true,
		"example.com": false, "": false, "1.2.3": false, "1.2.3.4.example": false, "[::1]": false,
	} {
		if got := IsIPLiteral(name); got != want {
			t.Errorf("%q is an address: %v, want %v", name, got, want)
		}
	}
}

// The names that picking goes by are those that verification would accept.
func TestPickedByWildcardIsAcceptedByTheClient(t *testing.T) {
	for _, name := range []string{"a.example.com", "b-1.example.com"} {
		var cs Credentials
		cs.Add(credential(t, tlstest.Leaf(tlstest.Ed25519, "other.example.net")))
		cs.Add(credential(t, tlstest.Leaf(tlstest.ECDSAP256, "*.example.com")))
		c, _, err := cs.pick(name, nil, offering(tls.Ed25519, tls.ECDSAWithP256AndSHA256))
		if err != nil {
			t.Fatal(err)
		}
		roots, _ := tlstest.CA()
		intermediates := x509.NewCertPool()
		for _, der := range c.Chain[1:] {
			cert, err := x509.ParseCertificate(der)
			must(err)
			intermediates.AddCert(cert)
		}
		if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: intermediates}); err != nil {
			t.Errorf("the certificate picked for %s is not valid for it: %v", name, err)
		}
	}
}
