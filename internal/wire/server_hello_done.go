package wire

import "github.com/baretls/baretls/internal/fault"

// ParseEmpty reads the body of a ServerHelloDone or a HelloRequest, which have
// none: RFC 5246, Sections 7.4.5 and 7.4.1.1.
func ParseEmpty(t MessageType, body []byte) error {
	if len(body) != 0 {
		return fault.Undecodable.With("%v", t)
	}
	return nil
}

// AppendEmpty appends such a message.
func AppendEmpty(b []byte, t MessageType) []byte { return Begin(b, t) }
