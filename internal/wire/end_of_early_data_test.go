package wire

import (
	"bytes"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

func TestEndOfEarlyDataIsEmpty(t *testing.T) {
	var m EndOfEarlyData
	expect(t, m.Parse([]byte{0}), fault.Undecodable, "an EndOfEarlyData with a byte")
	if got := m.Append(nil); !bytes.Equal(got, []byte{5, 0, 0, 0}) {
		t.Errorf("EndOfEarlyData is written as %x", got)
	}
}
