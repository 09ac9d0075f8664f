package wire

import "github.com/baretls/baretls/internal/fault"

// KeyUpdate is RFC 9846, Section 4.7.3.
type KeyUpdate struct {
	UpdateRequested bool
}

// Parse reads the body of a KeyUpdate.
func (m *KeyUpdate) Parse(body []byte) error {
	*m = KeyUpdate{}
	if len(body) != 1 {
		return fault.Undecodable.With("KeyUpdate")
	}
	switch body[0] {
	case 0: // update_not_requested
	case 1:
		m.UpdateRequested = true
	default:
		return fault.IllegalParameter.With("request_update %d in KeyUpdate", body[0])
	}
	return nil
}

// Append appends the message.
func (m *KeyUpdate) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, TypeKeyUpdate)
	if m.UpdateRequested {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return End(b, start)
}
