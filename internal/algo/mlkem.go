package algo

import (
	"crypto"
	"crypto/mlkem"
	"io"

	"github.com/baretls/baretls/internal/fault"
)

// kem is a parameter set of ML-KEM (FIPS 203).
type kem struct {
	newPrivate func(seed []byte) (crypto.Decapsulator, error)
	newPublic  func(key []byte) (crypto.Encapsulator, error)
}

var mlkem768 = kem{
	func(seed []byte) (crypto.Decapsulator, error) { return mlkem.NewDecapsulationKey768(seed) },
	func(key []byte) (crypto.Encapsulator, error) { return mlkem.NewEncapsulationKey768(key) },
}

var mlkem1024 = kem{
	func(seed []byte) (crypto.Decapsulator, error) { return mlkem.NewDecapsulationKey1024(seed) },
	func(key []byte) (crypto.Encapsulator, error) { return mlkem.NewEncapsulationKey1024(key) },
}

// generate makes a decapsulation key from what rand yields.
func (k *kem) generate(rand io.Reader) (crypto.Decapsulator, error) {
	seed := make([]byte, mlkem.SeedSize)
	defer clear(seed)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, fault.Internal.Because(err)
	}
	private, err := k.newPrivate(seed)
	if err != nil {
		return nil, fault.Internal.Because(err)
	}
	return private, nil
}
