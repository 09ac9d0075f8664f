package wire

import (
	"bytes"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const fullServerKeyExchange = `03 001d 1[ bb*32 ] 0804 2[ aa*256 ]`

func TestAServerKeyExchangeIsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullServerKeyExchange)
	var m ServerKeyExchange
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	if m.Group != 0x1d || !bytes.Equal(m.Public, bytes.Repeat([]byte{0xbb}, 32)) || m.Algorithm != 0x0804 ||
		!bytes.Equal(m.Signature, bytes.Repeat([]byte{0xaa}, 256)) {
		t.Errorf("the message is not what was sent: %+v", m)
	}
	if params, _ := assemble(t, `03 001d 1[ bb*32 ]`); !bytes.Equal(m.Params, params) {
		t.Errorf("the signature is to cover the ServerECDHParams %x, not %x", params, m.Params)
	}
}

// What the server signs is what it sends, and what the client checks.
func TestParamsAreSignedAsTheyAreSent(t *testing.T) {
	m := ServerKeyExchange{Group: 0x17, Public: []byte("point"), Algorithm: 0x0403, Signature: []byte("signature")}
	params := m.AppendParams([]byte("randoms"))
	if string(params) != "randoms\x03\x00\x17\x05point" {
		t.Errorf("the parameters are %q", params)
	}
	var again ServerKeyExchange
	if err := again.Parse(m.Append(nil)[HeaderLen:]); err != nil || "randoms"+string(again.Params) != string(params) {
		t.Errorf("the client checks the signature over %q, want %q (error: %v)", again.Params, params, err)
	}
}

func TestPartsOfAServerKeyExchange(t *testing.T) {
	const accepted = fault.Internal
	for _, row := range []struct {
		story, text string
		want        fault.Reason
	}{
		{"explicit_prime", `01 001d 1[ bb ] 0403 2[ aa ]`, fault.IllegalParameter}, // deprecated: RFC 8422, Section 5.4
		{"explicit_char2", `02 001d 1[ bb ] 0403 2[ aa ]`, fault.IllegalParameter},
		{"an unknown ECCurveType", `04 001d 1[ bb ] 0403 2[ aa ]`, fault.IllegalParameter},
		{"an ECCurveType and nothing else", `00`, fault.IllegalParameter},
		{"half a curve", `03 00`, fault.Undecodable},
		{"an empty point", `03 001d 1[ ] 0403 2[ aa ]`, fault.Undecodable},
		{"half a point", `03 001d 20 bbbb`, fault.Undecodable},
		{"no signature", `03 001d 1[ bb ]`, fault.Undecodable},
		{"a scheme and no signature", `03 001d 1[ bb ] 0403`, fault.Undecodable},
		{"half a signature", `03 001d 1[ bb ] 0403 0010 aaaa`, fault.Undecodable},
		{"an empty signature, which only fails to verify", `03 001d 1[ bb ] 0403 2[ ]`, accepted},
		{"the longest point", `03 001d 1[ bb*255 ] 0403 2[ aa ]`, accepted},
		{"a group that nobody knows, the caller's to refuse", `03 0a0a 1[ bb ] 0403 2[ aa ]`, accepted},
		{"the signature of TLS 1.1", `03 001d 1[ bb ] 2[ aa*256 ]`, fault.Undecodable},
	} {
		body, _ := assemble(t, row.text)
		var m ServerKeyExchange
		err := m.Parse(body)
		if row.want != accepted {
			expect(t, err, row.want, "a ServerKeyExchange with %s", row.story)
		} else if err != nil {
			t.Errorf("a ServerKeyExchange with %s is refused: %v", row.story, err)
		}
	}
}
