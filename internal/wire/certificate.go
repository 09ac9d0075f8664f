package wire

import (
	"iter"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// Certificate is RFC 9846, Section 4.5.1.
type Certificate struct {
	Context []byte
	list    []byte // certificate_list, validated, without its length
}

// CertificateEntry is one certificate of the chain and what came with it.
type CertificateEntry struct {
	Data         []byte // cert_data, never empty
	OCSPResponse []byte // nil if there is none
	SCTs         []byte // for SplitSCTs; nil if there are none
}

// Parse reads the body of a Certificate. offered are the extensions of the
// ClientHello, or of the CertificateRequest if the client sends the message.
func (m *Certificate) Parse(body []byte, offered ExtensionSet) error {
	*m = Certificate{}
	s := cryptobyte.String(body)
	var list cryptobyte.String
	if !s.ReadUint8LengthPrefixed((*cryptobyte.String)(&m.Context)) ||
		!s.ReadUint24LengthPrefixed(&list) || !s.Empty() {
		return fault.Undecodable.With("Certificate")
	}
	m.list = list
	for !list.Empty() {
		var e CertificateEntry
		if err := e.read(&list, offered); err != nil {
			m.list = nil // nothing half validated is handed out
			return err
		}
	}
	return nil
}

// Entries iterates over the chain, the sender's own certificate first.
func (m *Certificate) Entries() iter.Seq[CertificateEntry] {
	return func(yield func(CertificateEntry) bool) { m.each(yield) }
}

func (m *Certificate) each(yield func(CertificateEntry) bool) {
	for s := cryptobyte.String(m.list); !s.Empty(); {
		var e CertificateEntry
		if e.read(&s, ^ExtensionSet(0)) != nil || !yield(e) {
			return
		}
	}
}

// Len returns how many certificates the chain has.
func (m *Certificate) Len() (n int) {
	for range m.Entries() {
		n++
	}
	return n
}

// read reads a CertificateEntry.
func (e *CertificateEntry) read(s *cryptobyte.String, offered ExtensionSet) error {
	var block cryptobyte.String
	if !readVector24(s, &e.Data) || !s.ReadUint16LengthPrefixed(&block) {
		return fault.Undecodable.With("entry of Certificate")
	}
	c := walk(block, ct, offered)
	for c.next() {
		var ok bool
		switch c.ext {
		case ExtStatusRequest: // a CertificateStatus of RFC 6066, Section 8
			var statusType uint8
			ok = c.body.ReadUint8(&statusType) && statusType == statusOCSP &&
				readVector24(&c.body, &e.OCSPResponse)
		case ExtSCT: // a SignedCertificateTimestampList of RFC 6962, Section 3.3
			ok = readSCTs(&c.body, &e.SCTs)
		default:
			ok = c.skip()
		}
		if !ok || !c.body.Empty() {
			return c.undecodable()
		}
	}
	return c.err
}

// readSCTs reads a SignedCertificateTimestampList.
func readSCTs(s *cryptobyte.String, out *[]byte) bool {
	return readVector16(s, out) && isVectorOf16(*out)
}

// JoinSCTs is the vector that SplitSCTs splits.
func JoinSCTs(scts [][]byte) (list []byte) {
	for _, sct := range scts {
		list = append16(list, sct)
	}
	return list
}

// MaxSCTs is how many SCTs may come with a certificate: a few are usual, and each
// takes more memory than its bytes.
const MaxSCTs = 32

// SplitSCTs splits the SCTs of an entry. If there are more than MaxSCTs, one more
// is returned.
func SplitSCTs(list []byte) [][]byte {
	var scts [][]byte
	s := cryptobyte.String(list)
	for sct := []byte(nil); len(scts) <= MaxSCTs && readVector16(&s, &sct); {
		scts = append(scts, slices.Clip(sct))
	}
	return slices.Clip(scts)
}

// AppendCertificate appends a Certificate message with the DER of a chain, and
// with the OCSP response and the SCTs, if any, at its first entry. An empty
// chain is how a client declines.
func AppendCertificate(b, context []byte, chain [][]byte, ocsp []byte, scts [][]byte) []byte {
	start := len(b)
	b = Begin(b, TypeCertificate)
	b = append8(b, context)
	b, list := open24(b)
	for i, cert := range chain {
		b = append24(b, cert)
		var block int
		b, block = open16(b)
		if i == 0 {
			b = appendStapled(b, ocsp, scts)
		}
		if b = closeBlock(b, block); b == nil {
			return nil
		}
	}
	return End(close24(b, list), start)
}

// appendStapled appends the extensions of an entry.
func appendStapled(b, ocsp []byte, scts [][]byte) []byte {
	if len(ocsp) > 0 {
		var at int
		b, at = openExtension(b, ExtStatusRequest)
		b = close16(append24(append(b, statusOCSP), ocsp), at)
	}
	if len(scts) > 0 {
		var at, list int
		b, at = openExtension(b, ExtSCT)
		b, list = open16(b)
		for _, sct := range scts {
			b = append16(b, sct)
		}
		b = close16(close16(b, list), at)
	}
	return b
}

// readVector24 reads a non-empty vector of bytes with a 24-bit length.
func readVector24(s *cryptobyte.String, out *[]byte) bool {
	return s.ReadUint24LengthPrefixed((*cryptobyte.String)(out)) && len(*out) > 0
}

// append24 appends v with a 24-bit length.
func append24(b, v []byte) []byte {
	b, at := open24(b)
	return close24(append(b, v...), at)
}
