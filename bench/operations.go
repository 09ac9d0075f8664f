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

	"filippo.io/edwards25519"
)

// operations are the public-key operations of a handshake alone, as baretls does
// them: what is left if TLS costs nothing.
func (hs handshakes) operations(h handshake) (contender, error) {
	generate := stdGenerate(h.group)
	if h.group != tls.CurveP256 {
		var err error
		if generate, err = edwardsGenerate(); err != nil {
			return contender{}, err
		}
	}
	return hs.operationsWith(nameOperations, h, generate)
}

const nameStdOperations = "operations, crypto/ecdh"

// stdOperations are the same if X25519 is crypto/ecdh's.
func (hs handshakes) stdOperations(h handshake) (contender, error) {
	return hs.operationsWith(nameStdOperations, h, stdGenerate(h.group))
}

func (hs handshakes) operationsWith(name string, h handshake, generate func() (keyPair, error)) (contender, error) {
	cert := hs.pki.known[h.key]
	intermediate, err := x509.ParseCertificate(cert.Certificate[1])
	if err != nil {
		return contender{}, err
	}
	signs := h.kind == known || h.kind == first
	run := func(c *clock) error {
		if err := exchangeKeys(generate, h.group == tls.X25519MLKEM768, c); err != nil {
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
	return contender{name: name, run: func(n int, c *clock) error {
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

// keyPair is what one side has of a key exchange on a curve.
type keyPair struct {
	public  []byte
	private *ecdh.PrivateKey
}

// agree parses the peer's public key, as it has to, and computes the secret.
func (k keyPair) agree(peer []byte) ([]byte, error) {
	public, err := k.private.Curve().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return k.private.ECDH(public)
}

func stdGenerate(group tls.CurveID) func() (keyPair, error) {
	curve := ecdh.X25519()
	if group == tls.CurveP256 {
		curve = ecdh.P256()
	}
	return func() (keyPair, error) {
		key, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			return keyPair{}, err
		}
		return keyPair{key.PublicKey().Bytes(), key}, nil
	}
}

// edwardsGenerate makes public keys as baretls does, over the Edwards base point.
// The private key is always the same: crypto/ecdh takes none without doing the
// work of a second one, and its secret costs what any other does.
func edwardsGenerate() (func() (keyPair, error), error) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	return func() (keyPair, error) {
		var seed [32]byte
		rand.Read(seed[:])
		scalar, err := new(edwards25519.Scalar).SetBytesWithClamping(seed[:])
		if err != nil {
			return keyPair{}, err
		}
		return keyPair{new(edwards25519.Point).ScalarBaseMult(scalar).BytesMontgomery(), private}, nil
	}, err
}

// exchangeKeys does what both sides do for a shared secret: the client begins
// and ends.
func exchangeKeys(generate func() (keyPair, error), hybrid bool, c *clock) error {
	var decapsulation *mlkem.DecapsulationKey768
	if hybrid {
		var err error
		if decapsulation, err = mlkem.GenerateKey768(); err != nil {
			return err
		}
	}
	clientKey, err := generate()
	if err != nil {
		return err
	}

	c.to(server)
	serverKey, err := generate()
	if err != nil {
		return err
	}
	if _, err := serverKey.agree(clientKey.public); err != nil {
		return err
	}
	var ciphertext []byte
	if hybrid {
		encapsulation, err := mlkem.NewEncapsulationKey768(decapsulation.EncapsulationKey().Bytes())
		if err != nil {
			return err
		}
		_, ciphertext = encapsulation.Encapsulate()
	}

	c.to(client)
	if _, err := clientKey.agree(serverKey.public); err != nil {
		return err
	}
	if hybrid {
		_, err = decapsulation.Decapsulate(ciphertext)
	}
	return err
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
