package wire

import (
	"iter"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// Certificate12 is the Certificate of TLS 1.2: RFC 5246, Section 7.4.2.
type Certificate12 struct {
	list []byte // certificate_list, validated, without its length
}

// Parse reads the body of a Certificate.
func (m *Certificate12) Parse(body []byte) error {
	*m = Certificate12{}
	s := cryptobyte.String(body)
	var list cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&list) || !s.Empty() {
		return fault.Undecodable.With("Certificate")
	}
	for rest := list; !rest.Empty(); {
		var cert []byte
		if !readVector24(&rest, &cert) {
			return fault.Undecodable.With("Certificate")
		}
	}
	m.list = list
	return nil
}

// Entries iterates over the chain, the sender's own certificate first. The
// entries have nothing but Data.
func (m *Certificate12) Entries() iter.Seq[CertificateEntry] {
	return func(yield func(CertificateEntry) bool) {
		s := cryptobyte.String(m.list)
		for e := (CertificateEntry{}); readVector24(&s, &e.Data) && yield(e); {
		}
	}
}

// AppendCertificate12 appends a Certificate of TLS 1.2 with the DER of a chain.
func AppendCertificate12(b []byte, chain [][]byte) []byte {
	start := len(b)
	b, list := open24(Begin(b, TypeCertificate))
	for _, cert := range chain {
		b = append24(b, cert)
	}
	return End(close24(b, list), start)
}
