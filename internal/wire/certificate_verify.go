package wire

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// CertificateVerify is RFC 9846, Section 4.5.2.
type CertificateVerify struct {
	Algorithm uint16
	Signature []byte
}

// Parse reads the body of a CertificateVerify.
func (m *CertificateVerify) Parse(body []byte) error {
	*m = CertificateVerify{}
	s := cryptobyte.String(body)
	if !s.ReadUint16(&m.Algorithm) ||
		!s.ReadUint16LengthPrefixed((*cryptobyte.String)(&m.Signature)) || !s.Empty() {
		return fault.Undecodable.With("CertificateVerify")
	}
	return nil
}

// Append appends the message.
func (m *CertificateVerify) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, TypeCertificateVerify)
	b = binary.BigEndian.AppendUint16(b, m.Algorithm)
	return End(append16(b, m.Signature), start)
}
