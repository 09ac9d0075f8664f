package wire

import (
	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// CertificateStatus is how TLS 1.2 staples: RFC 6066, Section 8.
type CertificateStatus struct {
	OCSPResponse []byte // never empty
}

// Parse reads the body of a CertificateStatus.
func (m *CertificateStatus) Parse(body []byte) error {
	*m = CertificateStatus{}
	s := cryptobyte.String(body)
	var statusType uint8
	if !s.ReadUint8(&statusType) || statusType != statusOCSP ||
		!readVector24(&s, &m.OCSPResponse) || !s.Empty() {
		return fault.Undecodable.With("CertificateStatus")
	}
	return nil
}

// Append appends the message.
func (m *CertificateStatus) Append(b []byte) []byte {
	start := len(b)
	b = append(Begin(b, TypeCertificateStatus), statusOCSP)
	return End(append24(b, m.OCSPResponse), start)
}
