package wire

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// ServerHello is RFC 9846, Section 4.2.3, and HelloRetryRequest, Section 4.2.4,
// which is a ServerHello by its looks and is told by its Random.
//
// Without supported_versions it is the hello of an older version, of which only
// the fixed fields and Has are read: the caller refuses it.
type ServerHello struct {
	LegacyVersion     uint16
	Random            []byte // 32 bytes
	SessionID         []byte // at most 32 bytes
	CipherSuite       uint16
	CompressionMethod uint8

	Has              ExtensionSet
	SupportedVersion uint16
	KeyShareGroup    uint16
	KeyShare         []byte // the key_exchange; none in a retry
	SelectedIdentity uint16 // pre_shared_key
	Cookie           []byte // in a retry only
}

// RetryRandom is the SHA-256 of "HelloRetryRequest": Section 4.2.3.
var RetryRandom = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// IsHelloRetryRequest reports whether the body of a ServerHello is a retry.
func IsHelloRetryRequest(body []byte) bool {
	return len(body) >= 34 && bytes.Equal(body[2:34], RetryRandom[:])
}

// Parse reads the body of a ServerHello or a HelloRetryRequest. offered are
// the extensions of the ClientHello.
func (m *ServerHello) Parse(body []byte, offered ExtensionSet) error {
	*m = ServerHello{}
	s := cryptobyte.String(body)
	in := sh
	if IsHelloRetryRequest(body) {
		in = hrr
	}
	if !s.ReadUint16(&m.LegacyVersion) ||
		!s.ReadBytes(&m.Random, 32) ||
		!s.ReadUint8LengthPrefixed((*cryptobyte.String)(&m.SessionID)) || len(m.SessionID) > 32 ||
		!s.ReadUint16(&m.CipherSuite) ||
		!s.ReadUint8(&m.CompressionMethod) {
		return fault.Undecodable.With("%s", in)
	}
	if s.Empty() {
		return nil // TLS 1.2 or older
	}
	var block cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&block) || !s.Empty() {
		return fault.Undecodable.With("extensions of %s", in)
	}

	// "clients MUST check for this extension prior to processing the rest of
	// the ServerHello": Section 4.3.1.
	if !carries(block, ExtSupportedVersions) {
		in = 0
	}
	c := walk(block, in, offered)
	for c.next() {
		var ok bool
		switch {
		case in == 0:
			ok = c.skip()
		case c.ext == ExtSupportedVersions:
			ok = c.body.ReadUint16(&m.SupportedVersion)
		case c.ext == ExtKeyShare && in == hrr:
			ok = c.body.ReadUint16(&m.KeyShareGroup)
		case c.ext == ExtKeyShare:
			ok = readKeyShare(&c.body, &m.KeyShareGroup, &m.KeyShare)
		case c.ext == ExtPreSharedKey:
			ok = c.body.ReadUint16(&m.SelectedIdentity)
		case c.ext == ExtCookie:
			ok = readVector16(&c.body, &m.Cookie)
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

// Append appends the message, as a HelloRetryRequest if Random says so. An
// extensions block that would be empty is left out.
func (m *ServerHello) Append(b []byte) []byte {
	retry := bytes.Equal(m.Random, RetryRandom[:])
	start := len(b)
	b = Begin(b, TypeServerHello)
	b = binary.BigEndian.AppendUint16(b, m.LegacyVersion)
	b = append(b, m.Random...)
	b = append8(b, m.SessionID)
	b = binary.BigEndian.AppendUint16(b, m.CipherSuite)
	b = append(b, m.CompressionMethod)

	b, block := open16(b)
	if m.Has.Has(ExtSupportedVersions) {
		b = appendExtension(b, ExtSupportedVersions, byte(m.SupportedVersion>>8), byte(m.SupportedVersion))
	}
	if m.Has.Has(ExtKeyShare) {
		var at int
		b, at = openExtension(b, ExtKeyShare)
		b = binary.BigEndian.AppendUint16(b, m.KeyShareGroup)
		if !retry {
			b = append16(b, m.KeyShare)
		}
		b = close16(b, at)
	}
	if m.Has.Has(ExtPreSharedKey) && !retry {
		b = appendExtension(b, ExtPreSharedKey, byte(m.SelectedIdentity>>8), byte(m.SelectedIdentity))
	}
	if m.Has.Has(ExtCookie) && retry {
		b = appendExtension16(b, ExtCookie, m.Cookie)
	}
	if len(b) == block+2 {
		return End(b[:block], start)
	}
	if b = closeBlock(b, block); b == nil {
		return nil
	}
	return End(b, start)
}
