package wire

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// ServerKeyExchange is that of ECDHE over a named curve: RFC 8422, Section 5.4.
type ServerKeyExchange struct {
	Group     uint16
	Public    []byte
	Algorithm uint16
	Signature []byte

	// Params are the ServerECDHParams, which the signature covers.
	Params []byte
}

// namedCurve is the one ECCurveType in use.
const namedCurve = 3

// Parse reads the body of a ServerKeyExchange.
func (m *ServerKeyExchange) Parse(body []byte) error {
	*m = ServerKeyExchange{}
	s := cryptobyte.String(body)
	var curveType uint8
	if !s.ReadUint8(&curveType) {
		return fault.Undecodable.With("ServerKeyExchange")
	}
	if curveType != namedCurve {
		return fault.IllegalParameter.With("ECCurveType %d", curveType)
	}
	if !s.ReadUint16(&m.Group) || !readVector8(&s, &m.Public) {
		return fault.Undecodable.With("ServerKeyExchange")
	}
	m.Params = body[:len(body)-len(s)]
	if !s.ReadUint16(&m.Algorithm) ||
		!s.ReadUint16LengthPrefixed((*cryptobyte.String)(&m.Signature)) || !s.Empty() {
		return fault.Undecodable.With("ServerKeyExchange")
	}
	return nil
}

// AppendParams appends the ServerECDHParams, to be signed.
func (m *ServerKeyExchange) AppendParams(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, namedCurve), m.Group)
	return append8(b, m.Public)
}

// Append appends the message.
func (m *ServerKeyExchange) Append(b []byte) []byte {
	start := len(b)
	b = m.AppendParams(Begin(b, TypeServerKeyExchange))
	b = binary.BigEndian.AppendUint16(b, m.Algorithm)
	return End(append16(b, m.Signature), start)
}
