package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// keyType is the type of a server's key.
type keyType string

const (
	ecdsaKey   keyType = "ECDSA-P256"
	rsaKey     keyType = "RSA-2048"
	ed25519Key keyType = "Ed25519"
)

var keyTypes = []keyType{ecdsaKey, rsaKey, ed25519Key}

const serverName = "example.com"

// pki issues the certificates that all contenders use: leafs of any key type
// below intermediates below one root, all of these with ECDSA P-256.
type pki struct {
	root    *x509.Certificate
	roots   *x509.CertPool
	rootKey *ecdsa.PrivateKey
	caKey   *ecdsa.PrivateKey // of the intermediates
	keys    map[keyType]crypto.Signer
	known   map[keyType]tls.Certificate
	serial  int64
}

func newPKI() (*pki, error) {
	p := &pki{roots: x509.NewCertPool(), keys: make(map[keyType]crypto.Signer), known: make(map[keyType]tls.Certificate)}
	var err error
	if p.rootKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if p.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if p.keys[ecdsaKey], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if p.keys[rsaKey], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if _, p.keys[ed25519Key], err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	template := p.template("bench root", true)
	if p.root, err = p.sign(template, template, p.rootKey.Public(), p.rootKey); err != nil {
		return nil, err
	}
	p.roots.AddCert(p.root)
	for _, key := range keyTypes {
		if p.known[key], err = p.issue(key); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// issue makes a chain that nobody has seen before: a leaf and its intermediate.
func (p *pki) issue(key keyType) (tls.Certificate, error) {
	intermediate, err := p.sign(p.template("bench intermediate", true), p.root, p.caKey.Public(), p.rootKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := p.template("bench leaf", false)
	template.DNSNames = []string{serverName}
	leaf, err := p.sign(template, intermediate, p.keys[key].Public(), p.caKey)
	return tls.Certificate{
		Certificate: [][]byte{leaf.Raw, intermediate.Raw},
		PrivateKey:  p.keys[key],
		Leaf:        leaf,
	}, err
}

func (p *pki) template(name string, ca bool) *x509.Certificate {
	p.serial++
	t := &x509.Certificate{
		SerialNumber:          big.NewInt(p.serial),
		Subject:               pkix.Name{CommonName: fmt.Sprint(name, " ", p.serial)},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  ca,
	}
	if ca {
		t.KeyUsage = x509.KeyUsageCertSign
	} else {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	return t
}

func (p *pki) sign(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// write puts root, known chains and keys into a directory, each in a file of
// its own in DER: for programs in other languages.
func (p *pki) write(dir string) error {
	files := map[string][]byte{"root": p.root.Raw}
	for _, key := range keyTypes {
		der, err := x509.MarshalPKCS8PrivateKey(p.keys[key])
		if err != nil {
			return err
		}
		chain := p.known[key].Certificate
		files[string(key)+".key"], files[string(key)+".leaf"], files[string(key)+".intermediate"] = der, chain[0], chain[1]
	}
	for name, der := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".der"), der, 0o600); err != nil {
			return err
		}
	}
	return nil
}
