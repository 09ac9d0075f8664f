package wire

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// NewSessionTicket is RFC 9846, Section 4.7.1.
type NewSessionTicket struct {
	Lifetime         uint32 // in seconds
	AgeAdd           uint32
	Nonce            []byte
	Ticket           []byte // never empty
	Has              ExtensionSet
	MaxEarlyDataSize uint32 // early_data
}

// Parse reads the body of a NewSessionTicket.
func (m *NewSessionTicket) Parse(body []byte) error {
	*m = NewSessionTicket{}
	s := cryptobyte.String(body)
	var block cryptobyte.String
	if !s.ReadUint32(&m.Lifetime) || !s.ReadUint32(&m.AgeAdd) ||
		!s.ReadUint8LengthPrefixed((*cryptobyte.String)(&m.Nonce)) ||
		!readVector16(&s, &m.Ticket) ||
		!s.ReadUint16LengthPrefixed(&block) || !s.Empty() {
		return fault.Undecodable.With("NewSessionTicket")
	}
	c := walk(block, nst, 0)
	for c.next() {
		var ok bool
		switch c.ext {
		case ExtEarlyData:
			ok = c.body.ReadUint32(&m.MaxEarlyDataSize)
		default:
			ok = c.skip()
		}
		if !ok || !c.body.Empty() {
			return c.undecodable()
		}
	}
	m.Has = c.seen
	return c.err
}

// Append appends the message.
func (m *NewSessionTicket) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, TypeNewSessionTicket)
	b = binary.BigEndian.AppendUint32(b, m.Lifetime)
	b = binary.BigEndian.AppendUint32(b, m.AgeAdd)
	b = append8(b, m.Nonce)
	b = append16(b, m.Ticket)
	b, block := open16(b)
	if m.Has.Has(ExtEarlyData) {
		var at int
		b, at = openExtension(b, ExtEarlyData)
		b = close16(binary.BigEndian.AppendUint32(b, m.MaxEarlyDataSize), at)
	}
	return End(close16(b, block), start)
}
