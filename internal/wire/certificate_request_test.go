package wire

import (
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const fullCertificateRequest = `1[ 'context' ] 2[
	0005 2[ ]
	000d 2[ 2[ 0403 0804 ] ]
	0012 2[ ]
	002f 2[ 2[ 2[ 3003 ] 2[ 3004 ] ] ]
	0030 2[ 2[ 1[ 551d0f ] 2[ 03020780 ] 1[ 551d25 ] 2[ ] ] ]
	0032 2[ 2[ 0401 ] ]
]`

func TestACertificateRequestIsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullCertificateRequest)
	var m CertificateRequest
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	want := Extensions(ExtStatusRequest, ExtSignatureAlgorithms, ExtSCT, ExtCertificateAuthorities, ExtOIDFilters, ExtSignatureAlgorithmsCert)
	if m.Has != want || string(m.Context) != "context" || m.SignatureAlgorithms.Len() != 2 || !m.SignatureAlgorithmsCert.Contains(0x0401) ||
		!slices.Equal(list(m.CertificateAuthorities.All()), []string{"\x30\x03", "\x30\x04"}) || len(m.OIDFilters) != 4+6+4+2 {
		t.Errorf("the request is not what was sent: %+v", m)
	}
}

func TestBodiesOfCertificateRequestExtensions(t *testing.T) {
	const accepted = fault.Internal
	for _, row := range []struct {
		story, block string
		want         fault.Reason
	}{
		{"status_request with a body", `0005 2[ 01 2[ ] 2[ ] ]`, fault.Undecodable},
		{"signed_certificate_timestamp with a body", `0012 2[ 00 ]`, fault.Undecodable},
		{"signature_algorithms_cert, odd", `0032 2[ 2[ 04 ] ]`, fault.Undecodable},
		{"no authorities", `002f 2[ 2[ ] ]`, fault.Undecodable},
		{"an empty authority", `002f 2[ 2[ 2[ ] ] ]`, fault.Undecodable},
		{"no filters", `0030 2[ 2[ ] ]`, accepted},
		{"a filter without an OID", `0030 2[ 2[ 1[ ] 2[ 'v' ] ] ]`, fault.Undecodable},
		{"a filter without values", `0030 2[ 2[ 1[ 55 ] ] ]`, fault.Undecodable},
		{"a byte behind the filters", `0030 2[ 2[ ] 00 ]`, fault.Undecodable},
		{"server_name, which is not ours here", `0000 2[ 'any' ]`, accepted},
		{"compress_certificate, which is not ours", `001b 2[ 'any' ]`, accepted},
		{"an unknown extension", `0a0a 2[ 'any' ]`, accepted},
		{"an unknown extension twice", `0a0a 2[ ] 0a0a 2[ ]`, fault.DuplicateExtension},
		{"signature_algorithms twice", `000d 2[ 2[ 0403 ] ]`, fault.DuplicateExtension},
		{"supported_groups", `000a 2[ 2[ 001d ] ]`, fault.MisplacedExtension},
		{"half an extension", `0a0a 00`, fault.Undecodable},
	} {
		body, _ := assemble(t, `1[ ] 2[ 000d 2[ 2[ 0403 ] ] `+row.block+` ]`)
		var m CertificateRequest
		err := m.Parse(body)
		if row.want != accepted {
			expect(t, err, row.want, "a CertificateRequest with %s", row.story)
		} else if err != nil {
			t.Errorf("a CertificateRequest with %s is refused: %v", row.story, err)
		}
	}
	for _, text := range []string{`1[ ] 2[ ]`, `1[ ] 2[ 0032 2[ 2[ 0403 ] ] ]`} {
		body, _ := assemble(t, text)
		var m CertificateRequest
		expect(t, m.Parse(body), fault.MissingExtension, "a CertificateRequest without signature_algorithms")
	}
	for _, list := range []string{`2[ ]`, `2[ 04 ]`, `2[ 0403 ] 00`} {
		body, _ := assemble(t, `1[ ] 2[ 000d 2[ `+list+` ] ]`)
		var m CertificateRequest
		expect(t, m.Parse(body), fault.Undecodable, "a CertificateRequest with signature_algorithms %s", list)
	}
}

func TestARequestWithTooManyAuthoritiesIsNotWritten(t *testing.T) {
	m := CertificateRequest{Has: Extensions(ExtSignatureAlgorithms, ExtCertificateAuthorities), SignatureAlgorithms: Uint16s{4, 3}}
	for range 700 { // a large pool of roots
		m.CertificateAuthorities = AppendAuthority(m.CertificateAuthorities, make([]byte, 100))
	}
	if m.Append(nil) != nil {
		t.Error("authorities that make the block too long must give nil")
	}
}
