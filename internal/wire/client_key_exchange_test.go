package wire

import (
	"bytes"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

func TestAClientKeyExchangeIsAPoint(t *testing.T) {
	for _, n := range []int{1, 32, 65, 133, 255} {
		want := append([]byte{16, 0, 0, byte(n + 1), byte(n)}, bytes.Repeat([]byte{4}, n)...)
		if n == 255 {
			want[2], want[3] = 1, 0
		}
		var m ClientKeyExchange
		if err := m.Parse(want[HeaderLen:]); err != nil || !bytes.Equal(m.Public, want[HeaderLen+1:]) {
			t.Errorf("a point of %d bytes is read as %x, %v", n, m.Public, err)
		}
		if got := m.Append(nil); !bytes.Equal(got, want) {
			t.Errorf("a point of %d bytes is written as %x, want %x", n, got, want)
		}
	}
	for story, text := range map[string]string{
		"nothing":                       ``,
		"an empty point":                `1[ ]`,
		"half a point":                  `20 bbbb`,
		"a point and a byte":            `1[ bb*32 ] 00`,
		"the secret of RSA, a long one": `2[ aa*256 ]`,
	} {
		body, _ := assemble(t, text)
		var m ClientKeyExchange
		expect(t, m.Parse(body), fault.Undecodable, "a ClientKeyExchange with %s", story)
	}
}
