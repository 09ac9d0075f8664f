package algo

import (
	"crypto/fips140"
	"crypto/subtle"
	"errors"
	"io"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"

	"github.com/baretls/baretls/internal/fault"
)

// x25519 is the function of RFC 7748, Section 5, over the field and the base
// point of filippo.io/edwards25519: docs/decisions/0020 says why.
var x25519 = curve{32, generateX25519}

type x25519Key struct {
	k      [32]byte // decoded
	public [32]byte
}

var (
	errX25519FIPS = errors.New("X25519 is not allowed in FIPS 140-only mode")
	errX25519Zero = errors.New("the X25519 shared secret is zero: a point of low order")
)

func generateX25519(rand io.Reader) (privateKey, error) {
	if fips140.Enforced() { // as in crypto/ecdh
		return nil, fault.Internal.Because(errX25519FIPS)
	}
	key := new(x25519Key)
	if _, err := io.ReadFull(rand, key.k[:]); err != nil {
		key.clear()
		return nil, fault.Internal.Because(err)
	}
	decodeScalar25519(&key.k)
	if err := x25519Base(&key.public, &key.k); err != nil {
		return nil, fault.Internal.Because(err)
	}
	return key, nil
}

func (key *x25519Key) appendPublic(b []byte) []byte { return append(b, key.public[:]...) }

// agree refuses a secret of zeros, in constant time: RFC 7748, Section 6.1;
// RFC 9846, Section 7.4.2, and RFC 8422, Section 5.10, demand it.
func (key *x25519Key) agree(point []byte) ([]byte, error) {
	secret, err := x25519Mult(&key.k, point)
	if err != nil {
		return nil, err
	}
	var zero [32]byte
	if subtle.ConstantTimeCompare(secret, zero[:]) == 1 {
		return nil, errX25519Zero
	}
	return secret, nil
}

func (key *x25519Key) clear() { clear(key.k[:]) }

// decodeScalar25519 is the function of that name in RFC 7748, Section 5, on
// bytes that stay in little-endian order.
func decodeScalar25519(k *[32]byte) {
	k[0] &= 248
	k[31] &= 127
	k[31] |= 64
}

// x25519Base sets public to X25519(k, 9). The base point is that of
// edwards25519 by the map of RFC 7748, Section 4.1, and of prime order, so
// that a multiple by k modulo the order is the multiple by k.
func x25519Base(public, k *[32]byte) error {
	var s edwards25519.Scalar
	var p edwards25519.Point
	if _, err := s.SetBytesWithClamping(k[:]); err != nil {
		return err
	}
	copy(public[:], p.ScalarBaseMult(&s).BytesMontgomery())
	s = edwards25519.Scalar{}
	p = edwards25519.Point{}
	return nil
}

// x25519Mult returns X25519(k, u) for a k that is decoded: the Montgomery
// ladder of RFC 7748, Section 5, by its names. What it does does not depend on
// k or u, only on t.
func x25519Mult(k *[32]byte, u []byte) ([]byte, error) {
	const a24 = 121665
	var x_1, x_2, z_2, x_3, z_3 field.Element
	var A, AA, B, BB, E, C, D, DA, CB field.Element

	// decodeUCoordinate: without the unused bit, and modulo p.
	if _, err := x_1.SetBytes(u); err != nil {
		return nil, err
	}
	x_2.One()
	x_3.Set(&x_1)
	z_3.One()
	swap := 0
	for t := 255 - 1; t >= 0; t-- {
		k_t := int(k[t/8]>>(t%8)) & 1
		swap ^= k_t
		x_2.Swap(&x_3, swap)
		z_2.Swap(&z_3, swap)
		swap = k_t

		A.Add(&x_2, &z_2)
		AA.Square(&A)
		B.Subtract(&x_2, &z_2)
		BB.Square(&B)
		E.Subtract(&AA, &BB)
		C.Add(&x_3, &z_3)
		D.Subtract(&x_3, &z_3)
		DA.Multiply(&D, &A)
		CB.Multiply(&C, &B)
		x_3.Square(x_3.Add(&DA, &CB))
		z_3.Multiply(&x_1, z_3.Square(z_3.Subtract(&DA, &CB)))
		x_2.Multiply(&AA, &BB)
		z_2.Multiply(&E, z_2.Add(&AA, z_2.Mult32(&E, a24)))
	}
	x_2.Swap(&x_3, swap)
	z_2.Swap(&z_3, swap)
	x_2.Multiply(&x_2, z_2.Invert(&z_2))
	secret := x_2.Bytes()

	for _, e := range []*field.Element{&x_1, &x_2, &z_2, &x_3, &z_3, &A, &AA, &B, &BB, &E, &C, &D, &DA, &CB} {
		e.Zero()
	}
	return secret, nil
}
