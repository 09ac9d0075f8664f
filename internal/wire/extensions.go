package wire

import (
	"encoding/binary"
	"iter"
	"strconv"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// where is a set of the messages that carry extensions, by the abbreviations
// of RFC 9846, Section 4.3.
type where uint16

const (
	ch   where = 1 << iota // ClientHello
	sh                     // ServerHello
	hrr                    // HelloRetryRequest
	ee                     // EncryptedExtensions
	cr                     // CertificateRequest
	ct                     // Certificate
	nst                    // NewSessionTicket
	sh12                   // ServerHello of TLS 1.2

	// responses carry only what the other side asked for.
	responses = sh | hrr | ee | ct | sh12
)

// extensions says which message may carry which extension: the table of
// RFC 9846, Section 4.3, in the order of the codes. Rows that it lacks say why.
var extensions = [extensionCount]struct {
	code uint16
	name string
	in   where
}{
	ExtServerName:              {0, "server_name", ch | ee | cr | sh12},
	ExtStatusRequest:           {5, "status_request", ch | cr | ct | sh12},
	ExtSupportedGroups:         {10, "supported_groups", ch | ee | sh12}, // from old load balancers, by no document
	ExtECPointFormats:          {11, "ec_point_formats", ch | sh12},
	ExtSignatureAlgorithms:     {13, "signature_algorithms", ch | cr},
	ExtUseSRTP:                 {14, "use_srtp", ch | ee},
	ExtHeartbeat:               {15, "heartbeat", ch | ee},
	ExtALPN:                    {16, "application_layer_protocol_negotiation", ch | ee | sh12},
	ExtSCT:                     {18, "signed_certificate_timestamp", ch | cr | ct | sh12}, // RFC 6962; registered, not recommended
	ExtClientCertificateType:   {19, "client_certificate_type", ch | ee},
	ExtServerCertificateType:   {20, "server_certificate_type", ch | ee},
	ExtPadding:                 {21, "padding", ch},
	ExtExtendedMainSecret:      {23, "extended_main_secret", ch | sh12},
	ExtCompressCertificate:     {27, "compress_certificate", ch | cr},
	ExtRecordSizeLimit:         {28, "record_size_limit", ch | ee | sh12},
	ExtDelegatedCredential:     {34, "delegated_credential", ch | cr | ct},
	ExtSessionTicket:           {35, "session_ticket", ch | sh12},
	ExtSupportedEKTCiphers:     {39, "supported_ekt_ciphers", ch | ee},
	ExtPreSharedKey:            {41, "pre_shared_key", ch | sh},
	ExtEarlyData:               {42, "early_data", ch | ee | nst},
	ExtSupportedVersions:       {43, "supported_versions", ch | sh | hrr},
	ExtCookie:                  {44, "cookie", ch | hrr},
	ExtPSKKeyExchangeModes:     {45, "psk_key_exchange_modes", ch},
	ExtCertificateAuthorities:  {47, "certificate_authorities", ch | cr},
	ExtOIDFilters:              {48, "oid_filters", cr},
	ExtPostHandshakeAuth:       {49, "post_handshake_auth", ch},
	ExtSignatureAlgorithmsCert: {50, "signature_algorithms_cert", ch | cr},
	ExtKeyShare:                {51, "key_share", ch | sh | hrr},
	ExtTransparencyInfo:        {52, "transparency_info", ch | cr | ct},
	ExtExternalIDHash:          {55, "external_id_hash", ch | ee},
	ExtExternalSessionID:       {56, "external_session_id", ch | ee},
	ExtQUICTransportParameters: {57, "quic_transport_parameters", ch | ee},
	ExtTicketRequest:           {58, "ticket_request", ch | ee},
	ExtECHOuterExtensions:      {0xfd00, "ech_outer_extensions", ch},
	ExtEncryptedClientHello:    {0xfe0d, "encrypted_client_hello", ch | hrr | ee},
	ExtRenegotiationInfo:       {0xff01, "renegotiation_info", ch | sh12},
}

// Extension is a row of the table.
type Extension uint8

// The rows. An extension whose body no message here reads or writes is known
// for its placement only.
const (
	ExtServerName Extension = iota
	ExtStatusRequest
	ExtSupportedGroups
	ExtECPointFormats
	ExtSignatureAlgorithms
	ExtUseSRTP
	ExtHeartbeat
	ExtALPN
	ExtSCT
	ExtClientCertificateType
	ExtServerCertificateType
	ExtPadding
	ExtExtendedMainSecret
	ExtCompressCertificate
	ExtRecordSizeLimit
	ExtDelegatedCredential
	ExtSessionTicket
	ExtSupportedEKTCiphers
	ExtPreSharedKey
	ExtEarlyData
	ExtSupportedVersions
	ExtCookie
	ExtPSKKeyExchangeModes
	ExtCertificateAuthorities
	ExtOIDFilters
	ExtPostHandshakeAuth
	ExtSignatureAlgorithmsCert
	ExtKeyShare
	ExtTransparencyInfo
	ExtExternalIDHash
	ExtExternalSessionID
	ExtQUICTransportParameters
	ExtTicketRequest
	ExtECHOuterExtensions
	ExtEncryptedClientHello
	ExtRenegotiationInfo

	extensionCount
)

// Code returns the ExtensionType that e has on the wire.
func (e Extension) Code() uint16 { return extensions[e].code }

// String returns the registered name.
func (e Extension) String() string { return extensions[e].name }

// extensionOf finds the row of a code. The rows are sorted by code.
func extensionOf(code uint16) (Extension, bool) {
	low, high := Extension(0), extensionCount
	for low < high {
		mid := (low + high) / 2
		if extensions[mid].code < code {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < extensionCount && extensions[low].code == code
}

// ExtensionSet is a set of known extensions.
type ExtensionSet uint64

// Extensions returns the set of e.
func Extensions(e ...Extension) (s ExtensionSet) {
	for _, e := range e {
		s = s.With(e)
	}
	return s
}

// Has reports whether e is in s.
func (s ExtensionSet) Has(e Extension) bool { return s&(1<<e) != 0 }

// With returns s and e.
func (s ExtensionSet) With(e Extension) ExtensionSet { return s | 1<<e }

// Without returns s but not e.
func (s ExtensionSet) Without(e Extension) ExtensionSet { return s &^ (1 << e) }

// cursor walks the extensions of a block. It enforces syntax, uniqueness,
// placement and, in responses, that they were asked for; it stops by itself
// only at known extensions. The body of each is the caller's to read:
//
//	c := walk(block, ee, offered)
//	for c.next() {
//		var ok bool
//		switch c.ext {
//		case ExtServerName:
//			ok = read(&c.body)
//		default:
//			ok = c.skip()
//		}
//		if !ok || !c.body.Empty() {
//			return c.undecodable()
//		}
//	}
//	return c.err
type cursor struct {
	ext  Extension         // where next stopped
	body cryptobyte.String // its extension_data
	seen ExtensionSet      // known extensions up to here
	err  error             // why next stopped for good

	rest    cryptobyte.String
	in      where
	offered ExtensionSet
	unknown codes
}

// walk begins a walk over a block in the message in. Which extensions were
// offered matters in responses only.
func walk(block []byte, in where, offered ExtensionSet) cursor {
	return cursor{rest: block, in: in, offered: offered}
}

// next moves to the next known extension.
func (c *cursor) next() bool {
	for c.err == nil && !c.rest.Empty() {
		var code uint16
		if !c.rest.ReadUint16(&code) || !c.rest.ReadUint16LengthPrefixed(&c.body) {
			c.err = fault.Undecodable.With("extensions of %s", c.in)
			return false
		}
		ext, known := extensionOf(code)
		if !known {
			c.err = c.passUnknown(code)
			continue
		}
		c.ext = ext
		if c.seen.Has(ext) {
			c.err = fault.DuplicateExtension.With("%s in %s", ext, c.in)
			return false
		}
		c.seen = c.seen.With(ext)
		// Placement before asked-for: the first is wrong whatever was offered.
		if extensions[ext].in&c.in == 0 {
			c.err = fault.MisplacedExtension.With("%s in %s", ext, c.in)
			return false
		}
		// A retry's cookie is the one response without a request: RFC 9846, Section 4.3.
		if c.in&responses != 0 && !c.offered.Has(ext) && ext != ExtCookie {
			c.err = fault.UnsolicitedExtension.With("%s in %s", ext, c.in)
			return false
		}
		return true
	}
	return false
}

// passUnknown judges an extension that has no row: nobody here asks for such,
// and requests that carry it are to be read past it (RFC 9846, Section 9.3).
func (c *cursor) passUnknown(code uint16) error {
	if c.in&responses != 0 {
		return fault.UnsolicitedExtension.With("type %d in %s", code, c.in)
	}
	if !c.unknown.add(code) {
		return fault.DuplicateExtension.With("type %d in %s", code, c.in)
	}
	return nil
}

// skip takes the body as read: RFC 9846, Section 4.3 has it checked only by
// those who implement the extension.
func (c *cursor) skip() bool {
	c.body = nil
	return true
}

// undecodable says that the body is malformed, or longer than what it holds.
func (c *cursor) undecodable() error {
	return fault.Undecodable.With("%s in %s", c.ext, c.in)
}

// codes is a set of extension types without a row. Honest peers send a few of
// them (GREASE), for which the array is enough; the map keeps a block that is
// full of them from taking quadratic time.
type codes struct {
	few  [16]uint16
	n    int
	many map[uint16]struct{}
}

// add reports whether code is new.
func (s *codes) add(code uint16) bool {
	for _, c := range s.few[:s.n] {
		if c == code {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = code
		s.n++
		return true
	}
	if s.many == nil {
		s.many = make(map[uint16]struct{})
	}
	before := len(s.many)
	s.many[code] = struct{}{}
	return len(s.many) > before
}

// carries reports whether a block holds e, as far as it can be read.
func carries(block cryptobyte.String, e Extension) bool {
	for {
		var code uint16
		var body cryptobyte.String
		if !block.ReadUint16(&code) || !block.ReadUint16LengthPrefixed(&body) {
			return false
		}
		if code == e.Code() {
			return true
		}
	}
}

// RawExtensions iterates over a block that has been parsed: the codes, and each
// extension with its code and length.
func RawExtensions(block []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for s := cryptobyte.String(block); !s.Empty(); {
			var code uint16
			var body cryptobyte.String
			raw := []byte(s)
			if !s.ReadUint16(&code) || !s.ReadUint16LengthPrefixed(&body) ||
				!yield(code, raw[:len(raw)-len(s)]) {
				return
			}
		}
	}
}

// String names the message for the details of errors.
func (w where) String() string {
	switch w {
	case sh12:
		return "ServerHello of TLS 1.2"
	case ch:
		return "ClientHello"
	case sh:
		return "ServerHello"
	case hrr:
		return "HelloRetryRequest"
	case ee:
		return "EncryptedExtensions"
	case cr:
		return "CertificateRequest"
	case ct:
		return "Certificate"
	case nst:
		return "NewSessionTicket"
	}
	return "messages " + strconv.Itoa(int(w))
}

// openExtension begins an extension; close16 ends it.
func openExtension(b []byte, e Extension) (_ []byte, at int) {
	return open16(binary.BigEndian.AppendUint16(b, e.Code()))
}

// appendExtension appends an extension with the body given.
func appendExtension(b []byte, e Extension, body ...byte) []byte {
	return append16(binary.BigEndian.AppendUint16(b, e.Code()), body)
}

// appendExtension16 appends an extension whose body is one vector with a
// 16-bit length, as the bodies of most are.
func appendExtension16(b []byte, e Extension, v []byte) []byte {
	b, at := openExtension(b, e)
	return close16(append16(b, v), at)
}

// closeBlock patches the length of the extensions block that began at b[at],
// and returns nil if the block is too long for it. Whatever 16-bit length
// inside the block overflowed, the block's did too: this check is enough.
func closeBlock(b []byte, at int) []byte {
	if len(b)-at-2 > 0xffff {
		return nil
	}
	return close16(b, at)
}
