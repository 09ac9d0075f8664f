package wire

import (
	"bytes"
	"testing"
)

func TestAFinishedIsAllVerifyData(t *testing.T) {
	for _, n := range []int{0, 32, 48} {
		body := bytes.Repeat([]byte{7}, n)
		var m Finished
		if err := m.Parse(body); err != nil || !bytes.Equal(m.VerifyData, body) {
			t.Errorf("a Finished of %d bytes gives %x, %v", n, m.VerifyData, err)
		}
	}
}
