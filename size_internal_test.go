package baretls

import (
	"testing"
	"unsafe"
)

// A connection is one object of a size class of Go's, and so is what is left of
// its key schedule: one field too many costs each connection the next class.
func TestAConnectionFitsItsSizeClass(t *testing.T) {
	const class = 320 // the next are 288 below, and 352 above
	for name, size := range map[string]uintptr{
		"ClientConn": unsafe.Sizeof(ClientConn{}),
		"ServerConn": unsafe.Sizeof(ServerConn{}),
	} {
		if unsafe.Sizeof(uintptr(0)) == 8 && size > class {
			t.Errorf("a %s has %d bytes, more than the size class of %d: what only the handshake needs belongs into the exchange or the role's handshake, "+
				"what can be looked up need not be kept, and small fields go where padding is; see docs/decisions/0022", name, size, class)
		}
	}
}
