package algo

import (
	"crypto/ecdh"
	"io"

	"github.com/baretls/baretls/internal/fault"
)

// curve is Diffie-Hellman on an elliptic curve (RFC 9846, Section 7.4.2).
type curve struct {
	ecdh      ecdh.Curve
	scalarLen int
	topMask   byte // the bits of a scalar's first byte that may be set
	pointLen  int
}

var (
	x25519 = curve{ecdh.X25519(), 32, 0xff, 32}
	p256   = curve{ecdh.P256(), 32, 0xff, 65}
	p384   = curve{ecdh.P384(), 48, 0xff, 97}
	p521   = curve{ecdh.P521(), 66, 0x01, 133}
)

// maxTries bounds the search for a scalar below the order of the curve. One
// try in 2^32 fails at most, so that only a broken rand runs into the bound.
const maxTries = 8

// generate makes a private key from what rand yields: crypto/ecdh's own
// GenerateKey ignores its reader, and simulations need to repeat themselves.
func (c *curve) generate(rand io.Reader) (*ecdh.PrivateKey, error) {
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
			return private, nil
		}
		refused = err
	}
	return nil, fault.Internal.Because(refused)
}

// agree returns the shared secret. crypto/ecdh refuses points that are not on
// the curve or not uncompressed (Section 4.3.8.2), and an X25519 secret of all
// zeros (Section 7.4.2); so do RFC 8422, Sections 5.10 and 5.11, for TLS 1.2.
func (c *curve) agree(private *ecdh.PrivateKey, point []byte) ([]byte, error) {
	public, err := c.ecdh.NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	return private.ECDH(public)
}
