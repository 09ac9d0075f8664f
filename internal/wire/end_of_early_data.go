package wire

import "github.com/baretls/baretls/internal/fault"

// EndOfEarlyData is RFC 9846, Section 4.6: a message without content.
type EndOfEarlyData struct{}

// Parse reads the body of an EndOfEarlyData.
func (m *EndOfEarlyData) Parse(body []byte) error {
	if len(body) != 0 {
		return fault.Undecodable.With("EndOfEarlyData")
	}
	return nil
}

// Append appends the message.
func (m *EndOfEarlyData) Append(b []byte) []byte {
	return Begin(b, TypeEndOfEarlyData) // its length is zero already
}
