package wire

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// CertificateRequest12 is that of TLS 1.2: RFC 5246, Section 7.4.4.
type CertificateRequest12 struct {
	Types                  []byte // ClientCertificateTypes
	SignatureAlgorithms    Uint16s
	CertificateAuthorities Authorities // may be empty
}

// The ClientCertificateTypes in use: RFC 5246 and RFC 8422, Section 5.5.
const (
	CertificateTypeRSASign   = 1
	CertificateTypeECDSASign = 64
)

// HasType reports whether the certificate may be of that type.
func (m *CertificateRequest12) HasType(t byte) bool { return bytes.IndexByte(m.Types, t) >= 0 }

// Parse reads the body of a CertificateRequest.
func (m *CertificateRequest12) Parse(body []byte) error {
	*m = CertificateRequest12{}
	s := cryptobyte.String(body)
	var authorities cryptobyte.String
	if !readVector8(&s, &m.Types) || !readUint16s(&s, &m.SignatureAlgorithms) ||
		!s.ReadUint16LengthPrefixed(&authorities) || !s.Empty() ||
		!isVectorOf16(authorities) {
		return fault.Undecodable.With("CertificateRequest")
	}
	m.CertificateAuthorities = Authorities(authorities)
	return nil
}

// Append appends the message.
func (m *CertificateRequest12) Append(b []byte) []byte {
	start := len(b)
	b = append8(Begin(b, TypeCertificateRequest), m.Types)
	b = append16(b, m.SignatureAlgorithms)
	return End(append16(b, m.CertificateAuthorities), start)
}
