package handshake

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

func TestVerdicts(t *testing.T) {
	for _, row := range []struct {
		err  error
		want fault.Alert
	}{
		{x509.UnknownAuthorityError{}, fault.UnknownCAAlert},
		{x509.HostnameError{Certificate: new(x509.Certificate)}, fault.CertificateUnknownAlert},
		{x509.SystemRootsError{}, fault.InternalError},
		{x509.CertificateInvalidError{Reason: x509.Expired}, fault.CertificateExpiredAlert},
		{x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, fault.UnsupportedCertificateAlert},
		{x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}, fault.BadCertificateAlert},
		{x509.CertificateInvalidError{Reason: x509.CANotAuthorizedForThisName}, fault.BadCertificateAlert},
		{x509.CertificateInvalidError{Reason: x509.TooManyIntermediates}, fault.BadCertificateAlert},
		{x509.CertificateInvalidError{Reason: x509.NameConstraintsWithoutSANs}, fault.BadCertificateAlert},
		{x509.UnhandledCriticalExtension{}, fault.BadCertificateAlert},
		{x509.ConstraintViolationError{}, fault.BadCertificateAlert},
		{errors.New("anything else"), fault.BadCertificateAlert},
	} {
		for _, err := range []error{row.err, fmt.Errorf("wrapped: %w", row.err)} {
			if got := verdict(err).Alert(); got != row.want {
				t.Errorf("%T %v: the alert is %v, want %v", row.err, err, tls.AlertError(got), tls.AlertError(row.want))
			}
		}
	}
}

func TestCertificatesThatDoNotVerify(t *testing.T) {
	for _, row := range []struct {
		story  string
		cert   tls.Certificate
		change func(p *pair)
		want   fault.Alert
		as     func(err error) bool
	}{
		{"an unknown CA", tlstest.New(tlstest.Options{UnknownCA: true}), nil, fault.UnknownCAAlert, is[x509.UnknownAuthorityError]},
		{"no roots", tlstest.Leaf(tlstest.ECDSAP256), func(p *pair) { p.clientPolicy.Roots = x509.NewCertPool() }, fault.UnknownCAAlert, is[x509.UnknownAuthorityError]},
		{"an expired leaf", tlstest.New(tlstest.Options{NotAfter: tlstest.NotBefore.AddDate(1, 0, 0)}), nil, fault.CertificateExpiredAlert, is[x509.CertificateInvalidError]},
		{"a leaf that is not yet valid", tlstest.New(tlstest.Options{NotBefore: time.Now().AddDate(1, 0, 0)}), nil, fault.CertificateExpiredAlert, is[x509.CertificateInvalidError]},
		{"a clock that is off", tlstest.Leaf(tlstest.ECDSAP256), func(p *pair) {
			p.clientPolicy.Now = func() time.Time { return tlstest.NotAfter.AddDate(1, 0, 0) }
		}, fault.CertificateExpiredAlert, is[x509.CertificateInvalidError]},
		{"another name", tlstest.Leaf(tlstest.ECDSAP256, "example.net"), nil, fault.CertificateUnknownAlert, is[x509.HostnameError]},
		{"the usage of a client", tlstest.ClientLeaf(tlstest.ECDSAP256), nil, fault.UnsupportedCertificateAlert, is[x509.CertificateInvalidError]},
	} {
		p := newPair(t)
		p.only(row.cert)
		if row.change != nil {
			row.change(p)
		}
		p.run()
		expectAlert(t, p.c.err, row.want, "a certificate with %s", row.story)
		if !is[*tls.CertificateVerificationError](p.c.err) || !row.as(p.c.err) {
			t.Errorf("a certificate with %s: the error %v does not lead to what x509 said", row.story, p.c.err)
		}
		if p.client.Facts.PeerCertificates != nil || p.client.Facts.VerifiedChains != nil {
			t.Errorf("a certificate with %s is a fact all the same", row.story)
		}
	}
}

// Who would have to trust MD5 or SHA-1 says so: RFC 9846, Section 4.5.1.3. Where
// nothing hangs on the hash it is an unknown authority like any other.
func TestCertificatesSignedWithWeakHashes(t *testing.T) {
	key := tlstest.Key(tlstest.RSA2048)
	issue := func(name string, issuer *x509.Certificate) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"example.com"},
			NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter,
			SignatureAlgorithm: x509.SHA256WithRSA, IsCA: issuer == nil, BasicConstraintsValid: true,
		}
		if issuer == nil {
			issuer = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return parsed(t, der)
	}
	root := issue("root", nil)
	leaf := issue("leaf", root)
	// hashed is the certificate with another hash in its signature algorithm:
	// the last byte of an OID that it has twice.
	hashed := func(cert *x509.Certificate, oid byte) *x509.Certificate {
		pkcs1 := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1}
		return parsed(t, bytes.ReplaceAll(cert.Raw, append(pkcs1[:8:8], 11), append(pkcs1[:8:8], oid)))
	}
	const md5, sha1, sha256 = 4, 5, 11
	for _, row := range []struct {
		story string
		roots []*x509.Certificate
		chain []*x509.Certificate
		want  fault.Alert // 0: accepted
	}{
		{"SHA-256", []*x509.Certificate{root}, []*x509.Certificate{hashed(leaf, sha256)}, 0},
		{"MD5", []*x509.Certificate{root}, []*x509.Certificate{hashed(leaf, md5)}, fault.BadCertificateAlert},
		{"SHA-1", []*x509.Certificate{root}, []*x509.Certificate{hashed(leaf, sha1)}, fault.BadCertificateAlert},
		{"MD5, which is trusted itself", []*x509.Certificate{hashed(leaf, md5)}, []*x509.Certificate{hashed(leaf, md5)}, 0},
		{"MD5 by itself", nil, []*x509.Certificate{hashed(root, md5)}, fault.UnknownCAAlert},
		{"SHA-256, and a root with SHA-1", nil, []*x509.Certificate{leaf, hashed(root, sha1)}, fault.UnknownCAAlert},
	} {
		p := newPair(t)
		p.clientPolicy.Roots = x509.NewCertPool()
		for _, cert := range row.roots {
			p.clientPolicy.Roots.AddCert(cert)
		}
		cert := tls.Certificate{PrivateKey: key}
		for _, c := range row.chain {
			cert.Certificate = append(cert.Certificate, c.Raw)
		}
		p.only(cert)
		if row.want == 0 {
			p.complete()
			continue
		}
		p.run()
		expectAlert(t, p.c.err, row.want, "a certificate signed with %s", row.story)
	}
}

func parsed(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestIntermediatesAreFoundInTheChain(t *testing.T) {
	for _, depth := range []int{1, 2, 4} {
		p := newPair(t)
		p.only(tlstest.New(tlstest.Options{Depth: depth}))
		p.complete()
		f := p.client.Facts
		if len(f.PeerCertificates) != depth+1 || len(f.VerifiedChains) != 1 || len(f.VerifiedChains[0]) != depth+2 {
			t.Errorf("with %d intermediates the client has %d certificates and %d chains", depth, len(f.PeerCertificates), len(f.VerifiedChains))
		}
	}
	p := newPair(t)
	chain := tlstest.New(tlstest.Options{Depth: 2})
	chain.Certificate = chain.Certificate[:1]
	p.only(chain)
	p.run()
	expectAlert(t, p.c.err, fault.UnknownCAAlert, "a chain without its intermediates")
}

func TestTheJudgeIsAskedAndObeyed(t *testing.T) {
	refusal := errors.New("not this one")
	for _, row := range []struct {
		story   string
		instead bool // of the default verification, which would refuse
		after   bool
		refuses string // who does
		asked   string // who is asked, in order
	}{
		{"instead of the default", true, false, "", "instead,"},
		{"both", true, true, "", "instead,after,"},
		{"instead of the default, it refuses", true, true, "instead", "instead,"},
		{"after it, it refuses", true, true, "after", "instead,after,"},
		{"after the default has refused", false, true, "default", ""},
	} {
		asked := ""
		judge := func(name string) func(*Verification) error {
			return func(v *Verification) error {
				asked += name + ","
				if len(v.Certificates) != 2 || v.ServerName != "example.com" || v.Time.IsZero() || v.VerifiedChains != nil {
					t.Errorf("%s: the judge is shown %+v", row.story, v)
				}
				if row.refuses == name {
					return refusal
				}
				return nil
			}
		}
		p := newPair(t)
		p.only(tlstest.New(tlstest.Options{UnknownCA: true}))
		if row.instead {
			p.clientPolicy.Judge.Instead = judge("instead")
		}
		if row.after {
			p.clientPolicy.Judge.After = judge("after")
		}
		p.run()
		if asked != row.asked {
			t.Errorf("%s: asked were %q, want %q", row.story, asked, row.asked)
		}
		switch row.refuses {
		case "":
			if p.c.err != nil {
				t.Errorf("%s: the handshake fails: %v", row.story, p.c.err)
			}
		case "default":
			expectAlert(t, p.c.err, fault.UnknownCAAlert, "%s", row.story)
		default:
			expectReason(t, p.c.err, fault.CertificateRefused, "%s", row.story)
			expectAlert(t, p.c.err, fault.BadCertificateAlert, "%s", row.story)
			if !errors.Is(p.c.err, refusal) {
				t.Errorf("%s: what the judge said is lost in %v", row.story, p.c.err)
			}
		}
	}
}

// The records are the caller's: what is kept of a Certificate is a copy.
func TestCertificatesOutliveTheirRecord(t *testing.T) {
	cert := tlstest.Leaf(tlstest.ECDSAP256)
	cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("response"), [][]byte{[]byte("sct")}
	p := newPair(t)
	p.only(cert)
	var last []byte
	p.tap = func(to *side, m []byte) []byte {
		clear(last) // it has been handled
		last = bytes.Clone(m)
		return last
	}
	p.complete()
	clear(last)
	f := p.client.Facts
	for i, want := range cert.Certificate {
		if !bytes.Equal(f.PeerCertificates[i].Raw, want) {
			t.Errorf("certificate %d is overwritten with its record", i)
		}
	}
	if string(f.OCSPResponse) != "response" || string(f.SCTs[0]) != "sct" {
		t.Error("the staple or the SCTs are overwritten with their record")
	}
}

func TestEveryCertificatesSignatureIsOverItsOwnContext(t *testing.T) {
	// A client's context string in a server's signature: Section 4.5.2.
	p := newPair(t)
	p.serverDoors[kind(wire.TypeCertificateVerify)] = func([]byte) []byte {
		credential := p.serverPolicy.Credentials.all[0]
		scheme := credential.Schemes[0]
		signature, err := scheme.Sign(credential.Key, p.serverPolicy.Rand, p.server.signedContent(clientContext))
		must(err)
		cv := wire.CertificateVerify{Algorithm: uint16(scheme.ID), Signature: signature}
		return cv.Append(nil)
	}
	p.run()
	expectAlert(t, p.c.err, fault.DecryptErrorAlert, "a server's signature with the context of a client's")
}

// Chains are counted before they are parsed, and so are SCTs.
func TestChainsAndSCTsAreCounted(t *testing.T) {
	leaf := tlstest.Leaf(tlstest.ECDSAP256).Certificate[0]
	junk := []byte("this is not parsed")
	for _, row := range []struct {
		story       string
		chain, scts int
		last        []byte
		want        fault.Reason // Internal: none
	}{
		{"as many certificates as may come", maxChain, 1, leaf, fault.Internal},
		{"one more", maxChain + 1, 1, leaf, fault.CertificateUnknown},
		{"one more, which is none", maxChain + 1, 1, junk, fault.CertificateUnknown},
		{"one that is none among those that may come", maxChain, 1, junk, fault.BadCertificate},
		{"as many SCTs as may come", 1, wire.MaxSCTs, leaf, fault.Internal},
		{"one SCT more", 1, wire.MaxSCTs + 1, leaf, fault.IllegalParameter},
		{"SCTs without end", 1, 10_000, leaf, fault.IllegalParameter},
	} {
		var m wire.Certificate
		ders := append(slices.Repeat([][]byte{leaf}, row.chain-1), row.last)
		scts := slices.Repeat([][]byte{{1}}, row.scts)
		must(m.Parse(wire.AppendCertificate(nil, nil, ders, nil, scts)[wire.HeaderLen:], ^wire.ExtensionSet(0)))
		var got chain
		err := got.parse(m.Entries())
		if row.want != fault.Internal {
			expectReason(t, err, row.want, "%s", row.story)
			continue
		}
		if err != nil || len(got.certs) != row.chain || len(got.scts) != row.scts {
			t.Errorf("%s: %d certificates and %d SCTs are kept, %v", row.story, len(got.certs), len(got.scts), err)
		}
	}
}
