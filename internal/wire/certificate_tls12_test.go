package wire

import (
	"bytes"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const fullCertificate12 = `3[ 3[ aa*700 ] 3[ bb*600 ] ]`

func TestACertificateOfTLS12IsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullCertificate12)
	var m Certificate12
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	var entries []CertificateEntry
	for e := range m.Entries() {
		entries = append(entries, e)
	}
	if len(entries) != 2 || !bytes.Equal(entries[0].Data, bytes.Repeat([]byte{0xaa}, 700)) ||
		!bytes.Equal(entries[1].Data, bytes.Repeat([]byte{0xbb}, 600)) {
		t.Errorf("the chain is not what was sent: %x", entries)
	}
	for _, e := range entries {
		if e.OCSPResponse != nil || e.SCTs != nil {
			t.Errorf("an entry of TLS 1.2 has nothing stapled to it: %+v", e)
		}
	}
	for e := range m.Entries() {
		if e.Data[0] != 0xaa {
			t.Error("a loop that stops does not begin with the first entry")
		}
		break
	}
	if again := AppendCertificate12(nil, [][]byte{entries[0].Data, entries[1].Data}); !bytes.Equal(again[HeaderLen:], body) {
		t.Error("the chain is not written as it was read")
	}
}

func TestChainsOfTLS12ThatCannotBeRead(t *testing.T) {
	for story, text := range map[string]string{
		"an empty certificate":            `3[ 3[ ] ]`,
		"an empty certificate at its end": `3[ 3[ aa ] 3[ ] ]`,
		"half a certificate":              `3[ 3[ aa ] 000010 bbbb ]`,
		"half a length":                   `3[ 3[ aa ] 0000 ]`,
		"the form of TLS 1.3":             `1[ ] 3[ 3[ aa ] 2[ ] ]`,
		"the extensions of TLS 1.3":       `3[ 3[ aa ] 2[ ] ]`,
		"no list":                         ``,
		"a list with a 16-bit length":     `2[ 3[ aa ] ]`,
	} {
		body, _ := assemble(t, text)
		var m Certificate12
		expect(t, m.Parse(body), fault.Undecodable, "a Certificate of TLS 1.2 with %s", story)
		for e := range m.Entries() {
			t.Errorf("with %s, a chain that was refused still has the entry %x", story, e.Data)
		}
	}
}

// A client without a certificate answers with an empty chain: RFC 5246, Section 7.4.6.
func TestAnEmptyChainOfTLS12(t *testing.T) {
	if got, want := AppendCertificate12([]byte("before"), nil), []byte("before\x0b\x00\x00\x03\x00\x00\x00"); !bytes.Equal(got, want) {
		t.Errorf("an empty chain is written as %x, want %x", got, want)
	}
	var m Certificate12
	if err := m.Parse([]byte{0, 0, 0}); err != nil {
		t.Errorf("an empty chain is refused: %v", err)
	}
	for range m.Entries() {
		t.Error("an empty chain has an entry")
	}
}
