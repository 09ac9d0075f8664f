package tlstest

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/algo"
)

func verify(t *testing.T, chain [][]byte, opts x509.VerifyOptions) error {
	t.Helper()
	opts.Roots, _ = CA()
	opts.Intermediates = x509.NewCertPool()
	for _, der := range chain[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		opts.Intermediates.AddCert(cert)
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	_, err = leaf.Verify(opts)
	return err
}

func TestLeafs(t *testing.T) {
	for _, kind := range Kinds {
		cert := Leaf(kind)
		if len(cert.Certificate) != 2 {
			t.Errorf("%v: the chain has %d certificates, want 2", kind, len(cert.Certificate))
		}
		for _, name := range []string{"example.com", "www.example.com", "localhost", "127.0.0.1", "::1"} {
			if err := verify(t, cert.Certificate, x509.VerifyOptions{DNSName: name}); err != nil {
				t.Errorf("%v: not valid for %s: %v", kind, name, err)
			}
		}
		pub, err := algo.CertificateKey(cert.Leaf)
		if err != nil || pub.PSS != (kind == RSAPSS) {
			t.Errorf("%v: the key is %+v, %v", kind, pub, err)
		}
		if !bytes.Equal(Leaf(kind).Certificate[0], cert.Certificate[0]) {
			t.Errorf("%v: the second leaf is another one", kind)
		}
		client := ClientLeaf(kind)
		usage := x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if err := verify(t, client.Certificate, usage); err != nil {
			t.Errorf("%v: the client's leaf is not one: %v", kind, err)
		}
	}
	named := Leaf(ECDSAP256, "other.example", "192.0.2.1")
	if len(named.Leaf.DNSNames) != 1 || !named.Leaf.IPAddresses[0].Equal(net.IPv4(192, 0, 2, 1)) {
		t.Errorf("a leaf with names is for %v and %v", named.Leaf.DNSNames, named.Leaf.IPAddresses)
	}
}

func TestOptions(t *testing.T) {
	reason := func(want x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			var invalid x509.CertificateInvalidError
			return errors.As(err, &invalid) && invalid.Reason == want
		}
	}
	for name, tt := range map[string]struct {
		options Options
		want    func(error) bool
	}{
		"expired":       {Options{NotAfter: NotBefore.Add(time.Hour)}, reason(x509.Expired)},
		"not yet valid": {Options{NotBefore: NotAfter.Add(-time.Hour)}, reason(x509.Expired)},
		"for clients":   {Options{Client: true}, reason(x509.IncompatibleUsage)},
		"unknown CA":    {Options{UnknownCA: true}, func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }},
		"deep":          {Options{Depth: 5}, func(err error) bool { return err == nil }},
		"large":         {Options{Bulk: 50000}, func(err error) bool { return err == nil }},
	} {
		cert := New(tt.options)
		if err := verify(t, cert.Certificate, x509.VerifyOptions{DNSName: "example.com"}); !tt.want(err) {
			t.Errorf("%s: verification says %v", name, err)
		}
		if want := max(tt.options.Depth, 1) + 1; len(cert.Certificate) != want {
			t.Errorf("%s: the chain has %d certificates, want %d", name, len(cert.Certificate), want)
		}
		if len(cert.Certificate[0]) < tt.options.Bulk {
			t.Errorf("%s: the leaf has %d bytes, want more than %d", name, len(cert.Certificate[0]), tt.options.Bulk)
		}
	}
}
