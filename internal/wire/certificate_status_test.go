package wire

import (
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

func TestACertificateStatusIsReadWhole(t *testing.T) {
	body, _ := assemble(t, `01 3[ aa*70000 ]`)
	var m CertificateStatus
	if err := m.Parse(body); err != nil || len(m.OCSPResponse) != 70000 {
		t.Errorf("the response is not what was sent: %d bytes, %v", len(m.OCSPResponse), err)
	}
}

func TestPartsOfACertificateStatus(t *testing.T) {
	for story, text := range map[string]string{
		"an empty response":              `01 3[ ]`,
		"no response":                    `01`,
		"a status of another type":       `02 3[ 'response' ]`,
		"a status of type 0":             `00 3[ 'response' ]`,
		"a response with a short length": `01 2[ 'response' ]`,
		"half a response":                `01 000010 aaaa`,
	} {
		body, _ := assemble(t, text)
		var m CertificateStatus
		expect(t, m.Parse(body), fault.Undecodable, "a CertificateStatus with %s", story)
	}
}
