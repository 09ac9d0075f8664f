package algo

import (
	"crypto/ecdh"
	"io"

	"github.com/baretls/baretls/internal/fault"
)

// curve is Diffie-Hellman on an elliptic curve (RFC 9846, Section 7.4.2).
type curve struct {
	pointLen int
	// generate makes a private key from what rand yields, and is a function of
	// it: simulations need to repeat themselves.
	generate func(rand io.Reader) (privateKey, error)
}

// privateKey is a key for one exchange.
type privateKey interface {
	appendPublic(b []byte) []byte
	// agree returns the shared secret, or what is wrong with the peer's point.
	agree(point []byte) ([]byte, error)
	clear()
}

var (
	p256 = curve{65, nist{ecdh.P256(), 32, 0xff}.generate}
	p384 = curve{97, nist{ecdh.P384(), 48, 0xff}.generate}
	p521 = curve{133, nist{ecdh.P521(), 66, 0x01}.generate}
)

type nist struct {
	ecdh      ecdh.Curve
	scalarLen int
	topMask   byte // the bits of a scalar's first byte that may be set
}

// maxTries bounds the search for a scalar below the order of the curve. One
// try in 2^32 fails at most, so that only a broken rand runs into the bound.
const maxTries = 8

// generate does not leave it to crypto/ecdh, whose GenerateKey ignores its reader.
func (c nist) generate(rand io.Reader) (privateKey, error) {
	scalar := make([]byte, c.scalarLen)
	defer clear(scalar)
	var refused error
	for range maxTries {
		if _, err := io.ReadFull(rand, scalar); err != nil {
			return nil, fault.Internal.Because(err)
		}
		scalar[0] &= c.topMask
		private, err := c.ecdh.NewPrivateKey(scalar)
		if err == nil {
			return nistKey{private}, nil
		}
		refused = err
	}
	return nil, fault.Internal.Because(refused)
}

type nistKey struct{ private *ecdh.PrivateKey }

func (k nistKey) appendPublic(b []byte) []byte {
	return append(b, k.private.PublicKey().Bytes()...)
}

// agree: crypto/ecdh refuses points that are not on the curve or not
// uncompressed (Section 4.3.8.2), and keeps leading zeros of the secret; so do
// RFC 8422, Sections 5.10 and 5.11, for TLS 1.2.
func (k nistKey) agree(point []byte) ([]byte, error) {
	public, err := k.private.Curve().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	return k.private.ECDH(public)
}

func (k nistKey) clear() {} // out of reach in crypto/ecdh
