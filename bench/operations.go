package main

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// operations are the public-key operations of a handshake alone, by the same
// calls of the standard library: what is left if TLS costs nothing.
func (hs handshakes) operations(h handshake) (contender, error) {
	cert := hs.pki.known[h.key]
	intermediate, err := x509.ParseCertificate(cert.Certificate[1])
	if err != nil {
		return contender{}, err
	}
	signs := h.kind == known || h.kind == first
	run := func(c *clock) error {
		if err := exchangeKeys(h.group, c); err != nil {
			return err
		}
		if !signs {
			return nil
		}
		c.to(server)
		signature, err := sign(cert.PrivateKey.(crypto.Signer), transcript)
		if err != nil {
			return err
		}
		c.to(client)
		if h.kind == first {
			if err := errors.Join(cert.Leaf.CheckSignatureFrom(intermediate), intermediate.CheckSignatureFrom(hs.pki.root)); err != nil {
				return err
			}
		}
		return verify(cert.Leaf.PublicKey, transcript, signature)
	}
	return contender{name: nameOperations, run: func(n int, c *clock) error {
		c.start(client)
		for range n {
			if err := run(c); err != nil {
				return err
			}
		}
		c.stop()
		return nil
	}}, nil
}

// transcript is as much as a CertificateVerify signs (RFC 9846, Section 4.5.2).
var transcript = make([]byte, 64+33+1+sha256.Size)

// exchangeKeys does what both sides do for a shared secret: the client begins
// and ends.
func exchangeKeys(group tls.CurveID, c *clock) error {
	curve := ecdh.X25519()
	if group == tls.CurveP256 {
		curve = ecdh.P256()
	}
	var decapsulation *mlkem.DecapsulationKey768
	if group == tls.X25519MLKEM768 {
		var err error
		if decapsulation, err = mlkem.GenerateKey768(); err != nil {
			return err
		}
	}
	clientKey, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}

	c.to(server)
	serverKey, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if _, err := agree(curve, serverKey, clientKey); err != nil {
		return err
	}
	var ciphertext []byte
	if decapsulation != nil {
		encapsulation, err := mlkem.NewEncapsulationKey768(decapsulation.EncapsulationKey().Bytes())
		if err != nil {
			return err
		}
		_, ciphertext = encapsulation.Encapsulate()
	}

	c.to(client)
	if _, err := agree(curve, clientKey, serverKey); err != nil {
		return err
	}
	if decapsulation != nil {
		_, err = decapsulation.Decapsulate(ciphertext)
	}
	return err
}

// agree parses the peer's public key, as it has to, and computes the secret.
func agree(curve ecdh.Curve, own, peer *ecdh.PrivateKey) ([]byte, error) {
	public, err := curve.NewPublicKey(peer.PublicKey().Bytes())
	if err != nil {
		return nil, err
	}
	return own.ECDH(public)
}

var pss = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}

func sign(key crypto.Signer, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	switch key.(type) {
	case *rsa.PrivateKey:
		return key.Sign(rand.Reader, digest[:], pss)
	case *ecdsa.PrivateKey:
		return key.Sign(rand.Reader, digest[:], crypto.SHA256)
	default:
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	}
}

var errSignature = errors.New("a signature does not verify")

func verify(key crypto.PublicKey, message, signature []byte) error {
	digest := sha256.Sum256(message)
	ok := false
	switch key := key.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, pss) == nil
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, digest[:], signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, message, signature)
	}
	if !ok {
		return errSignature
	}
	return nil
}
