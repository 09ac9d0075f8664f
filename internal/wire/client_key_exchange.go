package wire

import (
	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// ClientKeyExchange is that of ECDHE: RFC 8422, Section 5.7.
type ClientKeyExchange struct {
	Public []byte
}

// Parse reads the body of a ClientKeyExchange.
func (m *ClientKeyExchange) Parse(body []byte) error {
	*m = ClientKeyExchange{}
	s := cryptobyte.String(body)
	if !readVector8(&s, &m.Public) || !s.Empty() {
		return fault.Undecodable.With("ClientKeyExchange")
	}
	return nil
}

// Append appends the message.
func (m *ClientKeyExchange) Append(b []byte) []byte {
	start := len(b)
	return End(append8(Begin(b, TypeClientKeyExchange), m.Public), start)
}
