package handshake

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// Credential is a certificate chain with its key, ready to be sent.
type Credential struct {
	Chain   [][]byte // DER, leaf first
	Leaf    *x509.Certificate
	Key     crypto.Signer
	Schemes []*algo.Scheme // that the key can sign with, in order of preference
	OCSP    []byte
	SCTs    [][]byte

	pub       algo.PublicKey
	schemes12 []*algo.Scheme          // likewise in TLS 1.2
	signed    [][]tls.SignatureScheme // for each of the chain, what verifies its signature
}

// NewCredential checks a certificate: the chain parses, the key is the leaf's
// and can sign with one scheme at least. A key that signs elsewhere may be nil.
func NewCredential(cert *tls.Certificate, elsewhere bool) (*Credential, error) {
	if len(cert.Certificate) == 0 {
		return nil, errors.New("no certificate in the chain")
	}
	leaf := cert.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, err
		}
	}
	pub, err := algo.CertificateKey(leaf)
	if err != nil {
		return nil, err
	}
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok && !(elsewhere && cert.PrivateKey == nil) {
		return nil, fmt.Errorf("private key of type %T cannot sign: it is no crypto.Signer", cert.PrivateKey)
	}
	if own, isKey := pub.Key.(interface{ Equal(crypto.PublicKey) bool }); ok && (!isKey || !own.Equal(key.Public())) {
		return nil, errors.New("private key does not belong to the certificate")
	}
	if !maySign(leaf) {
		return nil, errors.New("the certificate's key usage is not for signatures")
	}
	schemes, schemes12 := algo.SchemesFor(pub), algo.SchemesFor12(pub)
	if only := cert.SupportedSignatureAlgorithms; only != nil {
		excluded := func(s *algo.Scheme) bool { return !slices.Contains(only, s.ID) }
		schemes, schemes12 = slices.DeleteFunc(schemes, excluded), slices.DeleteFunc(schemes12, excluded)
	}
	if len(schemes)+len(schemes12) == 0 {
		return nil, fmt.Errorf("no signature scheme fits the %v key", leaf.PublicKeyAlgorithm)
	}
	if wire.AppendCertificate(nil, nil, cert.Certificate, cert.OCSPStaple, cert.SignedCertificateTimestamps) == nil {
		return nil, errors.New("OCSP staple and SCTs do not fit into a Certificate message")
	}
	return &Credential{
		Chain:   cert.Certificate,
		Leaf:    leaf,
		Key:     key,
		Schemes: schemes,
		OCSP:    cert.OCSPStaple,
		SCTs:    cert.SignedCertificateTimestamps,

		pub:       pub,
		schemes12: schemes12,
	}, nil
}

// ReadSignatures finds how the chain is signed, without certificates that are
// self-signed. It is for a credential that is one of many to choose from.
func (c *Credential) ReadSignatures() {
	for _, der := range c.Chain {
		cert, err := x509.ParseCertificate(der)
		switch {
		case err != nil:
			c.signed = append(c.signed, nil)
		case !bytes.Equal(cert.RawIssuer, cert.RawSubject):
			c.signed = append(c.signed, algo.CertificateSchemes[cert.SignatureAlgorithm])
		}
	}
}

// verifiable reports whether the whole chain is signed by schemes of the peer.
func (c *Credential) verifiable(offered wire.Uint16s) bool {
	for _, schemes := range c.signed {
		if !slices.ContainsFunc(schemes, func(id tls.SignatureScheme) bool { return offered.Contains(uint16(id)) }) {
			return false
		}
	}
	return true
}

// scheme is the credential's first preference among those offered.
func (c *Credential) scheme(offered wire.Uint16s) *algo.Scheme {
	for _, s := range c.Schemes {
		if offered.Contains(uint16(s.ID)) {
			return s
		}
	}
	return nil
}

// Credentials are a server's, to choose from by name.
type Credentials struct {
	all    []*Credential
	byName map[string][]*Credential // lower case; "*.example.com" for a wildcard
}

// Add adds a credential under all the names of its leaf. Those added earlier
// are preferred.
func (cs *Credentials) Add(c *Credential) {
	if cs.byName == nil {
		cs.byName = make(map[string][]*Credential)
	}
	cs.all = append(cs.all, c)
	for _, name := range c.Leaf.DNSNames {
		name = strings.ToLower(name)
		cs.byName[name] = append(cs.byName[name], c)
	}
}

// Len is the number of credentials.
func (cs *Credentials) Len() int { return len(cs.all) }

// pick chooses by exact name, by wildcard, and then, for a client that names
// nobody we know, any: the client decides whether to go on with it. Of those,
// one whose chain is signed by schemes that are offered comes first (RFC 9846,
// Section 4.5.1.2).
func (cs *Credentials) pick(name string, offered wire.Uint16s, fits func(*Credential) *algo.Scheme) (*Credential, *algo.Scheme, error) {
	if len(cs.all) == 0 {
		return nil, nil, fault.NoCertificate
	}
	var lists [3][]*Credential
	if name != "" {
		lists[0] = cs.byName[name]
		if _, parent, ok := strings.Cut(name, "."); ok {
			lists[1] = cs.byName["*."+parent]
		}
	}
	lists[2] = cs.all
	for _, list := range lists {
		var first *Credential
		for _, c := range list {
			switch scheme := fits(c); {
			case scheme == nil:
			case c.verifiable(offered):
				return c, scheme, nil
			case first == nil:
				first = c
			}
		}
		if first != nil {
			return first, fits(first), nil
		}
	}
	return nil, nil, fault.NoCommonScheme
}

// ValidHostname reports whether name could be a DNS host name: labels of
// letters, digits, hyphens and underscores, with dots between them.
func ValidHostname(name string) bool {
	if len(name) == 0 || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return true
}

// IsIPLiteral reports whether name is an IP address.
func IsIPLiteral(name string) bool {
	if name == "" || !strings.Contains(name, ":") && (name[len(name)-1] < '0' || name[len(name)-1] > '9') {
		return false // without the error that ParseAddr would make
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}
