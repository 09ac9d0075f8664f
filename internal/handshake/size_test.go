package handshake

import (
	"testing"
	"unsafe"
)

// What TLS 1.3 keeps of its secrets is allocated once per connection.
func TestSecretsFitTheirSizeClass(t *testing.T) {
	const class = 208 // the next is 224
	if size := unsafe.Sizeof(secrets13{}); size > class {
		t.Errorf("the secrets of TLS 1.3 have %d bytes, more than the size class of %d: what is no secret belongs elsewhere", size, class)
	}
}
