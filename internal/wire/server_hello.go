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
// Without supported_versions it is the hello of TLS 1.2 (RFC 5246, Section
// 7.4.1.3), or of an older version that the caller refuses.
type ServerHello struct {
	LegacyVersion     uint16
	Random            []byte // 32 bytes
	SessionID         []byte // at most 32 bytes
	CipherSuite       uint16
	CompressionMethod uint8

	TLS13            bool // there is a supported_versions
	Has              ExtensionSet
	SupportedVersion uint16
	KeyShareGroup    uint16
	KeyShare         []byte // the key_exchange; none in a retry
	SelectedIdentity uint16 // pre_shared_key
	Cookie           []byte // in a retry only

	// Of TLS 1.2, where these do not have messages of their own.
	ALPN              []byte // the one protocol selected
	SCTs              []byte // for SplitSCTs
	RenegotiationInfo []byte // renegotiated_connection
	RecordSizeLimit   uint16
	ECPointFormats    []byte // Append writes uncompressed
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
	if m.TLS13 = carries(block, ExtSupportedVersions); !m.TLS13 {
		in = sh12
	}
	c := walk(block, in, offered)
	for c.next() {
		var ok bool
		switch {
		case in == sh12:
			ok = m.read12(&c)
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
	if c.err != nil {
		return c.err
	}
	m.Has = c.seen
	if in == sh12 && m.Has.Has(ExtRecordSizeLimit) {
		if err := checkRecordSizeLimit(m.RecordSizeLimit); err != nil {
			return err
		}
	}
	if in == sh12 && m.Has.Has(ExtECPointFormats) {
		return checkPointFormats(m.ECPointFormats)
	}
	return nil
}

// read12 reads an extension of TLS 1.2: RFC 5246, Section 7.4.1.4. Which may
// stand there is the cursor's business.
func (m *ServerHello) read12(c *cursor) bool {
	switch c.ext {
	case ExtServerName, ExtStatusRequest, ExtExtendedMainSecret, ExtSessionTicket:
		return true // empty
	case ExtALPN:
		return readProtocol(&c.body, &m.ALPN)
	case ExtSCT:
		return readSCTs(&c.body, &m.SCTs)
	case ExtRenegotiationInfo:
		return c.body.ReadUint8LengthPrefixed((*cryptobyte.String)(&m.RenegotiationInfo))
	case ExtRecordSizeLimit:
		return c.body.ReadUint16(&m.RecordSizeLimit)
	case ExtECPointFormats:
		return readVector8(&c.body, &m.ECPointFormats)
	}
	return c.skip()
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
	b = m.append12(b)
	if len(b) == block+2 {
		return End(b[:block], start)
	}
	if b = closeBlock(b, block); b == nil {
		return nil
	}
	return End(b, start)
}

// append12 appends the extensions that only TLS 1.2 has here.
func (m *ServerHello) append12(b []byte) []byte {
	if m.Has.Has(ExtRenegotiationInfo) {
		var at int
		b, at = openExtension(b, ExtRenegotiationInfo)
		b = close16(append8(b, m.RenegotiationInfo), at)
	}
	for _, e := range [...]Extension{ExtServerName, ExtStatusRequest, ExtExtendedMainSecret, ExtSessionTicket} {
		if m.Has.Has(e) {
			b = appendExtension(b, e)
		}
	}
	if m.Has.Has(ExtECPointFormats) {
		b = appendExtension(b, ExtECPointFormats, 1, uncompressed)
	}
	if m.Has.Has(ExtALPN) {
		var list, at int
		b, at = openExtension(b, ExtALPN)
		b, list = open16(b)
		b = close16(close16(append8(b, m.ALPN), list), at)
	}
	if m.Has.Has(ExtSCT) {
		b = appendExtension16(b, ExtSCT, m.SCTs)
	}
	if m.Has.Has(ExtRecordSizeLimit) {
		b = appendExtension(b, ExtRecordSizeLimit, byte(m.RecordSizeLimit>>8), byte(m.RecordSizeLimit))
	}
	return b
}

// uncompressed is the one ECPointFormat in use: RFC 8422, Section 5.1.2.
const uncompressed = 0

func checkPointFormats(list []byte) error {
	if bytes.IndexByte(list, uncompressed) < 0 {
		return fault.IllegalParameter.With("ec_point_formats without uncompressed")
	}
	return nil
}
