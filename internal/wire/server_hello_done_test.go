package wire

import (
	"bytes"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

func TestMessagesWithoutABody(t *testing.T) {
	for typ, want := range map[MessageType][]byte{TypeServerHelloDone: {14, 0, 0, 0}, TypeHelloRequest: {0, 0, 0, 0}} {
		if got := AppendEmpty([]byte("before"), typ); !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Errorf("%v is written as %x, want %x", typ, got, want)
		}
		if err := ParseEmpty(typ, nil); err != nil {
			t.Errorf("%v is refused: %v", typ, err)
		}
		for _, n := range []int{1, 2, 4, 1000} {
			expect(t, ParseEmpty(typ, make([]byte, n)), fault.Undecodable, "%v with a body of %d bytes", typ, n)
		}
	}
}
