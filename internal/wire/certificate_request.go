package wire

import (
	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// CertificateRequest is RFC 9846, Section 4.4.2. A field means something only
// if Has holds its extension; status_request and SCTs have none.
type CertificateRequest struct {
	Context                 []byte
	Has                     ExtensionSet
	SignatureAlgorithms     Uint16s
	SignatureAlgorithmsCert Uint16s
	CertificateAuthorities  Authorities
	// OIDFilters is the list of OIDFilter as it stands on the wire, without its
	// length (Section 4.3.5). It may be empty, and an OID may stand in it twice.
	OIDFilters []byte
}

// Parse reads the body of a CertificateRequest.
func (m *CertificateRequest) Parse(body []byte) error {
	*m = CertificateRequest{}
	s := cryptobyte.String(body)
	var block cryptobyte.String
	if !s.ReadUint8LengthPrefixed((*cryptobyte.String)(&m.Context)) ||
		!s.ReadUint16LengthPrefixed(&block) || !s.Empty() {
		return fault.Undecodable.With("CertificateRequest")
	}
	c := walk(block, cr, 0)
	for c.next() {
		var ok bool
		switch c.ext {
		case ExtSignatureAlgorithms:
			ok = readUint16s(&c.body, &m.SignatureAlgorithms)
		case ExtSignatureAlgorithmsCert:
			ok = readUint16s(&c.body, &m.SignatureAlgorithmsCert)
		case ExtCertificateAuthorities:
			ok = readAuthorities(&c.body, &m.CertificateAuthorities)
		case ExtOIDFilters:
			ok = readOIDFilters(&c.body, &m.OIDFilters)
		case ExtStatusRequest, ExtSCT:
			ok = true // empty: Section 4.5.1.1
		default:
			ok = c.skip()
		}
		if !ok || !c.body.Empty() {
			return c.undecodable()
		}
	}
	if c.err != nil {
		return c.err
	}
	m.Has = c.seen
	if !m.Has.Has(ExtSignatureAlgorithms) {
		return fault.MissingExtension.With("signature_algorithms in CertificateRequest")
	}
	return nil
}

// Append appends the message.
func (m *CertificateRequest) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, TypeCertificateRequest)
	b = append8(b, m.Context)
	b, block := open16(b)
	if m.Has.Has(ExtStatusRequest) {
		b = appendExtension(b, ExtStatusRequest)
	}
	if m.Has.Has(ExtSignatureAlgorithms) {
		b = appendExtension16(b, ExtSignatureAlgorithms, m.SignatureAlgorithms)
	}
	if m.Has.Has(ExtSCT) {
		b = appendExtension(b, ExtSCT)
	}
	if m.Has.Has(ExtCertificateAuthorities) {
		b = appendExtension16(b, ExtCertificateAuthorities, m.CertificateAuthorities)
	}
	if m.Has.Has(ExtOIDFilters) {
		b = appendExtension16(b, ExtOIDFilters, m.OIDFilters)
	}
	if m.Has.Has(ExtSignatureAlgorithmsCert) {
		b = appendExtension16(b, ExtSignatureAlgorithmsCert, m.SignatureAlgorithmsCert)
	}
	if b = closeBlock(b, block); b == nil {
		return nil
	}
	return End(b, start)
}

// readOIDFilters reads an OIDFilterExtension.
func readOIDFilters(s *cryptobyte.String, out *[]byte) bool {
	if !s.ReadUint16LengthPrefixed((*cryptobyte.String)(out)) {
		return false
	}
	for list := cryptobyte.String(*out); !list.Empty(); {
		var oid []byte
		var values cryptobyte.String
		if !readVector8(&list, &oid) || !list.ReadUint16LengthPrefixed(&values) {
			return false
		}
	}
	return true
}
