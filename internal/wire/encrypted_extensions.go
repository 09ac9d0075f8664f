package wire

import (
	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// EncryptedExtensions is RFC 9846, Section 4.4.1. A field means something only
// if Has holds its extension; server_name and early_data have none.
type EncryptedExtensions struct {
	Has             ExtensionSet
	ALPN            []byte // the one protocol selected
	SupportedGroups Uint16s
	RecordSizeLimit uint16
	TicketRequest   uint8 // expected_count: RFC 9149
}

// Parse reads the body of an EncryptedExtensions. offered are the extensions
// of the ClientHello.
func (m *EncryptedExtensions) Parse(body []byte, offered ExtensionSet) error {
	*m = EncryptedExtensions{}
	s := cryptobyte.String(body)
	var block cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&block) || !s.Empty() {
		return fault.Undecodable.With("EncryptedExtensions")
	}
	c := walk(block, ee, offered)
	for c.next() {
		var ok bool
		switch c.ext {
		case ExtServerName, ExtEarlyData:
			ok = true // empty
		case ExtALPN:
			ok = readProtocol(&c.body, &m.ALPN)
		case ExtSupportedGroups:
			ok = readUint16s(&c.body, &m.SupportedGroups)
		case ExtRecordSizeLimit:
			ok = c.body.ReadUint16(&m.RecordSizeLimit)
		case ExtTicketRequest:
			ok = c.body.ReadUint8(&m.TicketRequest)
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
	if m.Has.Has(ExtRecordSizeLimit) {
		return checkRecordSizeLimit(m.RecordSizeLimit)
	}
	return nil
}

// Append appends the message.
func (m *EncryptedExtensions) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, TypeEncryptedExtensions)
	b, block := open16(b)
	if m.Has.Has(ExtServerName) {
		b = appendExtension(b, ExtServerName)
	}
	if m.Has.Has(ExtSupportedGroups) {
		b = appendExtension16(b, ExtSupportedGroups, m.SupportedGroups)
	}
	if m.Has.Has(ExtALPN) {
		var at, list int
		b, at = openExtension(b, ExtALPN)
		b, list = open16(b)
		b = append8(b, m.ALPN)
		b = close16(close16(b, list), at)
	}
	if m.Has.Has(ExtRecordSizeLimit) {
		b = appendExtension(b, ExtRecordSizeLimit, byte(m.RecordSizeLimit>>8), byte(m.RecordSizeLimit))
	}
	if m.Has.Has(ExtEarlyData) {
		b = appendExtension(b, ExtEarlyData)
	}
	if m.Has.Has(ExtTicketRequest) {
		b = appendExtension(b, ExtTicketRequest, m.TicketRequest)
	}
	if b = closeBlock(b, block); b == nil {
		return nil
	}
	return End(b, start)
}

// readProtocol reads a ProtocolNameList of exactly one name, which is what the
// server's answer is (RFC 7301, Section 3.1).
func readProtocol(s *cryptobyte.String, name *[]byte) bool {
	var list cryptobyte.String
	return s.ReadUint16LengthPrefixed(&list) && readVector8(&list, name) && list.Empty()
}
