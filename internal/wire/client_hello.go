package wire

import (
	"encoding/binary"
	"iter"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/fault"
)

// ClientHello is RFC 9846, Section 4.2.2, and that of TLS 1.2, which looks the
// same. A field of an extension means something only if Has holds the extension.
type ClientHello struct {
	LegacyVersion      uint16
	Random             []byte // 32 bytes
	SessionID          []byte // at most 32 bytes
	CipherSuites       Uint16s
	CompressionMethods []byte

	// Extensions is the whole block as it came. Append does not look at it.
	Extensions []byte
	// Has holds the known extensions; none if there is no block. Append writes
	// those that have a field or need none, and passes over the others.
	Has ExtensionSet

	ServerName              []byte // the host_name
	SupportedVersions       Uint16s
	SupportedGroups         Uint16s
	SignatureAlgorithms     Uint16s
	SignatureAlgorithmsCert Uint16s
	KeyShares               KeyShares
	ALPN                    Protocols
	Cookie                  []byte
	PSKKeyExchangeModes     []byte
	CertificateAuthorities  Authorities
	RecordSizeLimit         uint16
	TicketRequest           [2]uint8 // new_session_count, resumption_count: RFC 9149
	PreSharedKey            OfferedPSKs

	// Of TLS 1.2: RFC 5077 and RFC 5746. extended_main_secret has no field.
	SessionTicket     []byte
	RenegotiationInfo []byte
	ECPointFormats    []byte // Append writes uncompressed

	// BindersLen is how many bytes the binders take at the end of the message,
	// with the length of their vector: what Section 4.3.11.2 truncates.
	BindersLen int
}

// Parse reads the body of a ClientHello. A status_request for something else
// than OCSP is as if it were absent.
func (m *ClientHello) Parse(body []byte) error {
	*m = ClientHello{}
	s := cryptobyte.String(body)
	if !s.ReadUint16(&m.LegacyVersion) ||
		!s.ReadBytes(&m.Random, 32) ||
		!s.ReadUint8LengthPrefixed((*cryptobyte.String)(&m.SessionID)) || len(m.SessionID) > 32 ||
		!readUint16s(&s, &m.CipherSuites) ||
		!readVector8(&s, &m.CompressionMethods) {
		return fault.Undecodable.With("ClientHello")
	}
	if s.Empty() {
		return nil // a hello from before extensions
	}
	if !s.ReadUint16LengthPrefixed((*cryptobyte.String)(&m.Extensions)) || !s.Empty() {
		return fault.Undecodable.With("extensions of ClientHello")
	}

	otherStatus := false
	c := walk(m.Extensions, ch, 0)
	for c.next() {
		var ok bool
		switch c.ext {
		case ExtServerName:
			ok = readServerName(&c.body, &m.ServerName)
		case ExtStatusRequest:
			ok = readStatusRequest(&c.body, &otherStatus)
		case ExtSupportedGroups:
			ok = readUint16s(&c.body, &m.SupportedGroups)
		case ExtSignatureAlgorithms:
			ok = readUint16s(&c.body, &m.SignatureAlgorithms)
		case ExtSignatureAlgorithmsCert:
			ok = readUint16s(&c.body, &m.SignatureAlgorithmsCert)
		case ExtALPN:
			ok = readProtocols(&c.body, &m.ALPN)
		case ExtSCT, ExtEarlyData, ExtExtendedMainSecret:
			ok = true // empty
		case ExtECPointFormats:
			ok = readVector8(&c.body, &m.ECPointFormats)
		case ExtSessionTicket:
			m.SessionTicket, c.body = c.body, nil
			ok = true
		case ExtRenegotiationInfo:
			ok = c.body.ReadUint8LengthPrefixed((*cryptobyte.String)(&m.RenegotiationInfo))
		case ExtRecordSizeLimit:
			ok = c.body.ReadUint16(&m.RecordSizeLimit)
		case ExtSupportedVersions:
			ok = readVector8(&c.body, (*[]byte)(&m.SupportedVersions)) && len(m.SupportedVersions)%2 == 0
		case ExtCookie:
			ok = readVector16(&c.body, &m.Cookie)
		case ExtPSKKeyExchangeModes:
			ok = readVector8(&c.body, &m.PSKKeyExchangeModes)
		case ExtCertificateAuthorities:
			ok = readAuthorities(&c.body, &m.CertificateAuthorities)
		case ExtKeyShare:
			ok = readKeyShares(&c.body, &m.KeyShares)
		case ExtTicketRequest:
			ok = c.body.CopyBytes(m.TicketRequest[:])
		case ExtPreSharedKey:
			// "Servers MUST check that it is the last extension": Section 4.3.11.
			if !c.rest.Empty() {
				return fault.IllegalParameter.With("pre_shared_key is not the last extension")
			}
			ok = m.PreSharedKey.read(&c.body)
			m.BindersLen = 2 + len(m.PreSharedKey.Binders)
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
	if otherStatus {
		m.Has = m.Has.Without(ExtStatusRequest)
	}
	return m.check()
}

// check holds the rules on values, behind those on shape.
func (m *ClientHello) check() error {
	if m.Has.Has(ExtKeyShare) {
		if err := m.KeyShares.check(); err != nil {
			return err
		}
	}
	if m.Has.Has(ExtRecordSizeLimit) {
		if err := checkRecordSizeLimit(m.RecordSizeLimit); err != nil {
			return err
		}
	}
	if m.Has.Has(ExtECPointFormats) {
		if err := checkPointFormats(m.ECPointFormats); err != nil {
			return err
		}
	}
	if i, b := m.PreSharedKey.Identities.Len(), m.PreSharedKey.Binders.Len(); i != b {
		return fault.IllegalParameter.With("%d binders for %d identities", b, i)
	}
	return nil
}

// checkRecordSizeLimit holds RFC 8449, Section 4: nobody sends less than 64, and
// "An endpoint MUST treat receipt of a smaller value as a fatal error".
func checkRecordSizeLimit(limit uint16) error {
	if limit < 64 {
		return fault.IllegalParameter.With("record_size_limit %d", limit)
	}
	return nil
}

// Append appends the message. An extensions block that would be empty is left out.
func (m *ClientHello) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, TypeClientHello)
	b = binary.BigEndian.AppendUint16(b, m.LegacyVersion)
	b = append(b, m.Random...)
	b = append8(b, m.SessionID)
	b = append16(b, m.CipherSuites)
	b = append8(b, m.CompressionMethods)

	b, block := open16(b)
	b = m.appendExtensions(b)
	if len(b) == block+2 {
		return End(b[:block], start)
	}
	if b = closeBlock(b, block); b == nil {
		return nil
	}
	return End(b, start)
}

// appendExtensions writes what Has holds. The empty ones stand early: some
// servers choke on a hello that ends in an empty extension.
func (m *ClientHello) appendExtensions(b []byte) []byte {
	if m.Has.Has(ExtServerName) {
		var list, at int
		b, at = openExtension(b, ExtServerName)
		b, list = open16(b)
		b = append16(append(b, hostName), m.ServerName)
		b = close16(close16(b, list), at)
	}
	if m.Has.Has(ExtStatusRequest) { // any responder, no request_extensions
		b = appendExtension(b, ExtStatusRequest, statusOCSP, 0, 0, 0, 0)
	}
	if m.Has.Has(ExtSCT) {
		b = appendExtension(b, ExtSCT)
	}
	if m.Has.Has(ExtEarlyData) {
		b = appendExtension(b, ExtEarlyData)
	}
	if m.Has.Has(ExtExtendedMainSecret) {
		b = appendExtension(b, ExtExtendedMainSecret)
	}
	if m.Has.Has(ExtRenegotiationInfo) {
		var at int
		b, at = openExtension(b, ExtRenegotiationInfo)
		b = close16(append8(b, m.RenegotiationInfo), at)
	}
	if m.Has.Has(ExtECPointFormats) {
		b = appendExtension(b, ExtECPointFormats, 1, uncompressed)
	}
	if m.Has.Has(ExtSessionTicket) {
		b = appendExtension(b, ExtSessionTicket, m.SessionTicket...)
	}
	if m.Has.Has(ExtSupportedGroups) {
		b = appendExtension16(b, ExtSupportedGroups, m.SupportedGroups)
	}
	if m.Has.Has(ExtSignatureAlgorithms) {
		b = appendExtension16(b, ExtSignatureAlgorithms, m.SignatureAlgorithms)
	}
	if m.Has.Has(ExtSignatureAlgorithmsCert) {
		b = appendExtension16(b, ExtSignatureAlgorithmsCert, m.SignatureAlgorithmsCert)
	}
	if m.Has.Has(ExtALPN) {
		b = appendExtension16(b, ExtALPN, m.ALPN)
	}
	if m.Has.Has(ExtRecordSizeLimit) {
		b = appendExtension(b, ExtRecordSizeLimit, byte(m.RecordSizeLimit>>8), byte(m.RecordSizeLimit))
	}
	if m.Has.Has(ExtTicketRequest) {
		b = appendExtension(b, ExtTicketRequest, m.TicketRequest[:]...)
	}
	if m.Has.Has(ExtCertificateAuthorities) {
		b = appendExtension16(b, ExtCertificateAuthorities, m.CertificateAuthorities)
	}
	if m.Has.Has(ExtCookie) {
		b = appendExtension16(b, ExtCookie, m.Cookie)
	}
	if m.Has.Has(ExtPSKKeyExchangeModes) {
		var at int
		b, at = openExtension(b, ExtPSKKeyExchangeModes)
		b = close16(append8(b, m.PSKKeyExchangeModes), at)
	}
	if m.Has.Has(ExtKeyShare) {
		b = appendExtension16(b, ExtKeyShare, m.KeyShares)
	}
	if m.Has.Has(ExtSupportedVersions) {
		var at int
		b, at = openExtension(b, ExtSupportedVersions)
		b = close16(append8(b, m.SupportedVersions), at)
	}
	if m.Has.Has(ExtPreSharedKey) { // last: Section 4.3.11
		var at int
		b, at = openExtension(b, ExtPreSharedKey)
		b = append16(b, m.PreSharedKey.Identities)
		b = close16(append16(b, m.PreSharedKey.Binders), at)
	}
	return b
}

// hostName is the one NameType of RFC 6066, Section 3.
const hostName = 0

// readServerName reads a ServerNameList. No second name or type of name was
// ever defined and none can be any more, so that the list is one host_name.
func readServerName(s *cryptobyte.String, name *[]byte) bool {
	var list cryptobyte.String
	var nameType uint8
	return s.ReadUint16LengthPrefixed(&list) &&
		list.ReadUint8(&nameType) && nameType == hostName &&
		readVector16(&list, name) &&
		list.Empty()
}

// statusOCSP is the one CertificateStatusType in use (RFC 6066, Section 8).
const statusOCSP = 1

// readStatusRequest reads a CertificateStatusRequest. Nothing is kept of it:
// responders and extensions do not matter for a response that is stapled.
func readStatusRequest(s *cryptobyte.String, other *bool) bool {
	var statusType uint8
	if !s.ReadUint8(&statusType) {
		return false
	}
	if statusType != statusOCSP {
		*other = true
		*s = nil
		return true
	}
	var responders, requestExtensions cryptobyte.String
	return s.ReadUint16LengthPrefixed(&responders) && isVectorOf16(responders) &&
		s.ReadUint16LengthPrefixed(&requestExtensions)
}

// isVectorOf16 reports whether list is made of non-empty vectors with 16-bit
// lengths.
func isVectorOf16(list cryptobyte.String) bool {
	for !list.Empty() {
		var v []byte
		if !readVector16(&list, &v) {
			return false
		}
	}
	return true
}

// Protocols is a ProtocolNameList as it stands on the wire, without its length
// (RFC 7301, Section 3.1).
type Protocols []byte

// All iterates over the names.
func (p Protocols) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { p.each(yield) }
}

func (p Protocols) each(yield func([]byte) bool) {
	s := cryptobyte.String(p)
	for name := []byte(nil); readVector8(&s, &name) && yield(name); {
	}
}

// Len returns how many names p holds.
func (p Protocols) Len() (n int) {
	for range p.All() {
		n++
	}
	return n
}

// Contains reports whether name is in p.
func (p Protocols) Contains(name string) bool {
	for v := range p.All() {
		if string(v) == name {
			return true
		}
	}
	return false
}

// AppendProtocol appends a name of 1 to 255 bytes to the list b.
func AppendProtocol(b []byte, name string) Protocols {
	return append(append(b, byte(len(name))), name...)
}

// readProtocols reads a ProtocolNameList.
func readProtocols(s *cryptobyte.String, out *Protocols) bool {
	if !readVector16(s, (*[]byte)(out)) {
		return false
	}
	for list := cryptobyte.String(*out); !list.Empty(); {
		var name []byte
		if !readVector8(&list, &name) {
			return false
		}
	}
	return true
}

// Authorities is a list of DistinguishedName as it stands on the wire, without
// its length (RFC 9846, Section 4.3.4).
type Authorities []byte

// All iterates over the names, each in DER.
func (a Authorities) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { a.each(yield) }
}

func (a Authorities) each(yield func([]byte) bool) {
	s := cryptobyte.String(a)
	for name := []byte(nil); readVector16(&s, &name) && yield(name); {
	}
}

// AppendAuthority appends a name, not empty, to the list b.
func AppendAuthority(b, name []byte) Authorities { return append16(b, name) }

// readAuthorities reads a CertificateAuthoritiesExtension.
func readAuthorities(s *cryptobyte.String, out *Authorities) bool {
	return readVector16(s, (*[]byte)(out)) && isVectorOf16(cryptobyte.String(*out))
}

// KeyShares is a list of KeyShareEntry as it stands on the wire, without its
// length (RFC 9846, Section 4.3.8).
type KeyShares []byte

// All iterates over the groups and their key_exchange.
func (k KeyShares) All() iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) { k.each(yield) }
}

func (k KeyShares) each(yield func(uint16, []byte) bool) {
	s := cryptobyte.String(k)
	var group uint16
	for key := []byte(nil); readKeyShare(&s, &group, &key) && yield(group, key); {
	}
}

// Find returns the key_exchange of group.
func (k KeyShares) Find(group uint16) ([]byte, bool) {
	for g, key := range k.All() {
		if g == group {
			return key, true
		}
	}
	return nil, false
}

// AppendKeyShare appends an entry to the list b.
func AppendKeyShare(b []byte, group uint16, key []byte) KeyShares {
	return append16(binary.BigEndian.AppendUint16(b, group), key)
}

// readKeyShare reads a KeyShareEntry.
func readKeyShare(s *cryptobyte.String, group *uint16, key *[]byte) bool {
	return s.ReadUint16(group) && readVector16(s, key)
}

// readKeyShares reads a KeyShareClientHello. The list may be empty.
func readKeyShares(s *cryptobyte.String, out *KeyShares) bool {
	if !s.ReadUint16LengthPrefixed((*cryptobyte.String)(out)) {
		return false
	}
	for list := cryptobyte.String(*out); !list.Empty(); {
		var group uint16
		var key []byte
		if !readKeyShare(&list, &group, &key) {
			return false
		}
	}
	return true
}

// maxKeyShares bounds the search for doubles; no client comes near it.
const maxKeyShares = 32

// check holds "Clients MUST NOT offer multiple KeyShareEntry values for the
// same group" (Section 4.3.8).
func (k KeyShares) check() error {
	var seen [maxKeyShares]uint16
	n := 0
	for group := range k.All() {
		for _, g := range seen[:n] {
			if g == group {
				return fault.IllegalParameter.With("two key shares for group %d", group)
			}
		}
		if n == maxKeyShares {
			return fault.IllegalParameter.With("more than %d key shares", maxKeyShares)
		}
		seen[n] = group
		n++
	}
	return nil
}

// OfferedPSKs is RFC 9846, Section 4.3.11: as many binders as identities, in
// the same order.
type OfferedPSKs struct {
	Identities PSKIdentities
	Binders    PSKBinders
}

// read reads the two lists. That they are of one length is checked later.
func (p *OfferedPSKs) read(s *cryptobyte.String) bool {
	if !readVector16(s, (*[]byte)(&p.Identities)) || !readVector16(s, (*[]byte)(&p.Binders)) {
		return false
	}
	for list := cryptobyte.String(p.Identities); !list.Empty(); {
		var identity []byte
		var age uint32
		if !readPSKIdentity(&list, &identity, &age) {
			return false
		}
	}
	for list := cryptobyte.String(p.Binders); !list.Empty(); {
		var binder []byte
		if !readVector8(&list, &binder) || len(binder) < 32 {
			return false
		}
	}
	return true
}

// PSKIdentities is a list of PskIdentity as it stands on the wire, without its
// length.
type PSKIdentities []byte

// All iterates over the identities and their obfuscated_ticket_age.
func (p PSKIdentities) All() iter.Seq2[[]byte, uint32] {
	return func(yield func([]byte, uint32) bool) { p.each(yield) }
}

func (p PSKIdentities) each(yield func([]byte, uint32) bool) {
	s := cryptobyte.String(p)
	var age uint32
	for identity := []byte(nil); readPSKIdentity(&s, &identity, &age) && yield(identity, age); {
	}
}

// Len returns how many identities p holds.
func (p PSKIdentities) Len() (n int) {
	for range p.All() {
		n++
	}
	return n
}

// AppendPSKIdentity appends an identity, not empty, to the list b.
func AppendPSKIdentity(b, identity []byte, obfuscatedAge uint32) PSKIdentities {
	return binary.BigEndian.AppendUint32(append16(b, identity), obfuscatedAge)
}

// readPSKIdentity reads a PskIdentity.
func readPSKIdentity(s *cryptobyte.String, identity *[]byte, age *uint32) bool {
	return readVector16(s, identity) && s.ReadUint32(age)
}

// PSKBinders is a list of PskBinderEntry as it stands on the wire, without its
// length.
type PSKBinders []byte

// All iterates over the binders.
func (p PSKBinders) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { p.each(yield) }
}

func (p PSKBinders) each(yield func([]byte) bool) {
	s := cryptobyte.String(p)
	for binder := []byte(nil); readVector8(&s, &binder) && yield(binder); {
	}
}

// Len returns how many binders p holds.
func (p PSKBinders) Len() (n int) {
	for range p.All() {
		n++
	}
	return n
}

// AppendPSKBinder appends a binder of 32 to 255 bytes to the list b.
func AppendPSKBinder(b, binder []byte) PSKBinders { return append8(b, binder) }
