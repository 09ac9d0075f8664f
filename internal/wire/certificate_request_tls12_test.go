package wire

import (
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const fullCertificateRequest12 = `1[ 01 40 ] 2[ 0403 0804 ] 2[ 2[ 3003 ] 2[ 3004 ] ]`

func TestACertificateRequestOfTLS12IsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullCertificateRequest12)
	var m CertificateRequest12
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Types, []byte{1, 64}) || m.SignatureAlgorithms.Len() != 2 || !m.SignatureAlgorithms.Contains(0x0804) ||
		!slices.Equal(list(m.CertificateAuthorities.All()), []string{"\x30\x03", "\x30\x04"}) {
		t.Errorf("the request is not what was sent: %+v", m)
	}
	for typ, want := range map[byte]bool{CertificateTypeRSASign: true, CertificateTypeECDSASign: true, 0: false, 2: false, 65: false} {
		if m.HasType(typ) != want {
			t.Errorf("HasType(%d) is %v, want %v", typ, !want, want)
		}
	}
	if (&CertificateRequest12{}).HasType(0) {
		t.Error("a request without types has one")
	}
}

func TestPartsOfACertificateRequestOfTLS12(t *testing.T) {
	const accepted = fault.Internal
	for _, row := range []struct {
		story, text string
		want        fault.Reason
	}{
		{"no types", `1[ ] 2[ 0403 ] 2[ ]`, fault.Undecodable},
		{"types that nobody knows", `1[ 05 ff ] 2[ 0403 ] 2[ ]`, accepted},
		{"no signature algorithms", `1[ 01 ] 2[ ] 2[ ]`, fault.Undecodable},
		{"an odd list of signature algorithms", `1[ 01 ] 2[ 040305 ] 2[ ]`, fault.Undecodable},
		{"any authorities", `1[ 01 ] 2[ 0403 ] 2[ ]`, accepted},
		{"no list of authorities", `1[ 01 ] 2[ 0403 ]`, fault.Undecodable},
		{"an empty authority", `1[ 01 ] 2[ 0403 ] 2[ 2[ 30 ] 2[ ] ]`, fault.Undecodable},
		{"half an authority", `1[ 01 ] 2[ 0403 ] 2[ 2[ 30 ] 0005 30 ]`, fault.Undecodable},
		{"one byte of an authority's length", `1[ 01 ] 2[ 0403 ] 2[ 00 ]`, fault.Undecodable},
		{"the form of TLS 1.1", `1[ 01 ] 2[ 2[ 3003 ] ]`, fault.Undecodable},
		{"the form of TLS 1.3", `1[ ] 2[ 000d 2[ 2[ 0403 ] ] ]`, fault.Undecodable},
	} {
		body, _ := assemble(t, row.text)
		var m CertificateRequest12
		err := m.Parse(body)
		if row.want != accepted {
			expect(t, err, row.want, "a CertificateRequest of TLS 1.2 with %s", row.story)
		} else if err != nil {
			t.Errorf("a CertificateRequest of TLS 1.2 with %s is refused: %v", row.story, err)
		}
	}
}
