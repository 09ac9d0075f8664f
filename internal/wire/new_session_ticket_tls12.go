package wire

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// NewSessionTicket12 is that of TLS 1.2: RFC 5077, Section 3.3.
type NewSessionTicket12 struct {
	LifetimeHint uint32 // in seconds; 0: unspecified
	Ticket       []byte // may be empty: the server has changed its mind
}

// Parse reads the body of a NewSessionTicket.
func (m *NewSessionTicket12) Parse(body []byte) error {
	*m = NewSessionTicket12{}
	s := cryptobyte.String(body)
	if !s.ReadUint32(&m.LifetimeHint) ||
		!s.ReadUint16LengthPrefixed((*cryptobyte.String)(&m.Ticket)) || !s.Empty() {
		return fault.Undecodable.With("NewSessionTicket")
	}
	return nil
}

// Append appends the message.
func (m *NewSessionTicket12) Append(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(Begin(b, TypeNewSessionTicket), m.LifetimeHint)
	return End(append16(b, m.Ticket), start)
}
