package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const fullClientHello = `0303 random 1[ cc*32 ] 2[ 1301 c02f ] 1[ 00 ] 2[
	0000 2[ 2[ 00 2[ 'example.net' ] ] ]
	0005 2[ 01 2[ ] 2[ ] ]
	0012 2[ ]
	002a 2[ ]
	0017 2[ ]
	ff01 2[ 1[ 'verify_data.' ] ]
	000b 2[ 1[ 00 ] ]
	0023 2[ 'session' ]
	000a 2[ 2[ 11ec 001d ] ]
	000d 2[ 2[ 0403 0804 ] ]
	0032 2[ 2[ 0401 ] ]
	0010 2[ 2[ 1[ 'h2' ] 1[ 'http/1.1' ] ] ]
	001c 2[ 4001 ]
	003a 2[ 02 01 ]
	002f 2[ 2[ 2[ 3003 ] 2[ 3004 ] ] ]
	002c 2[ 2[ 'cookie' ] ]
	002d 2[ 1[ 01 00 ] ]
	0033 2[ 2[ 11ec 2[ aa*1216 ] 001d 2[ bb*32 ] ] ]
	002b 2[ 1[ 0304 0303 ] ]
	0029 2[ 2[ 2[ 'ticket' ] 01020304 2[ 'other' ] 00000000 ] 2[ 1[ d1*32 ] 1[ d2*48 ] ] ]
]`

func TestAClientHelloIsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullClientHello)
	var m ClientHello
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	for field, got := range map[string]bool{
		"legacy_version":            m.LegacyVersion == 0x0303,
		"random":                    bytes.Equal(m.Random, body[2:34]),
		"legacy_session_id":         bytes.Equal(m.SessionID, bytes.Repeat([]byte{0xcc}, 32)),
		"cipher_suites":             slices.Equal(m.CipherSuites, Uint16s{0x13, 1, 0xc0, 0x2f}),
		"compression_methods":       slices.Equal(m.CompressionMethods, []byte{0}),
		"server_name":               string(m.ServerName) == "example.net",
		"supported_versions":        slices.Equal(m.SupportedVersions, Uint16s{3, 4, 3, 3}),
		"supported_groups":          slices.Equal(m.SupportedGroups, Uint16s{0x11, 0xec, 0, 0x1d}),
		"signature_algorithms":      slices.Equal(m.SignatureAlgorithms, Uint16s{4, 3, 8, 4}),
		"signature_algorithms_cert": slices.Equal(m.SignatureAlgorithmsCert, Uint16s{4, 1}),
		"cookie":                    string(m.Cookie) == "cookie",
		"psk_key_exchange_modes":    slices.Equal(m.PSKKeyExchangeModes, []byte{1, 0}),
		"record_size_limit":         m.RecordSizeLimit == 0x4001,
		"ticket_request":            m.TicketRequest == [2]uint8{2, 1},
		"session_ticket":            string(m.SessionTicket) == "session",
		"renegotiated_connection":   string(m.RenegotiationInfo) == "verify_data.",
		"application protocols":     slices.Equal(list(m.ALPN.All()), []string{"h2", "http/1.1"}),
		"certificate_authorities":   slices.Equal(list(m.CertificateAuthorities.All()), []string{"\x30\x03", "\x30\x04"}),
		"binders":                   slices.Equal(list(m.PreSharedKey.Binders.All()), []string{strings.Repeat("\xd1", 32), strings.Repeat("\xd2", 48)}),
		"the number of binders":     m.PreSharedKey.Binders.Len() == 2,
		"the number of identities":  m.PreSharedKey.Identities.Len() == 2,
		"the length of the binders": m.BindersLen == 2+33+49,
		"the block as it came":      bytes.HasSuffix(body, m.Extensions) && m.Extensions[0] == 0 && len(m.Extensions) == len(body)-2-32-33-6-2-2,
		"the extensions present": m.Has == Extensions(ExtServerName, ExtStatusRequest, ExtSCT, ExtEarlyData,
			ExtExtendedMainSecret, ExtRenegotiationInfo, ExtECPointFormats, ExtSessionTicket, ExtSupportedGroups,
			ExtSignatureAlgorithms, ExtSignatureAlgorithmsCert, ExtALPN, ExtRecordSizeLimit, ExtTicketRequest,
			ExtCertificateAuthorities, ExtCookie, ExtPSKKeyExchangeModes, ExtKeyShare, ExtSupportedVersions, ExtPreSharedKey),
	} {
		if !got {
			t.Errorf("%s is not what was sent: %+v", field, m)
		}
	}

	truncated := body[:len(body)-m.BindersLen]
	if !bytes.HasSuffix(truncated, []byte("other\x00\x00\x00\x00")) {
		t.Error("without its last BindersLen bytes the hello must end in its identities")
	}
	var identities []string
	for identity, age := range m.PreSharedKey.Identities.All() {
		identities = append(identities, fmt.Sprintf("%s %#x", identity, age))
	}
	if want := []string{"ticket 0x1020304", "other 0x0"}; !slices.Equal(identities, want) {
		t.Errorf("the identities are %q, want %q", identities, want)
	}
	var shares []string
	for group, key := range m.KeyShares.All() {
		shares = append(shares, fmt.Sprintf("%#x %d", group, len(key)))
	}
	if want := []string{"0x11ec 1216", "0x1d 32"}; !slices.Equal(shares, want) {
		t.Errorf("the key shares are %q, want %q", shares, want)
	}
	if key, ok := m.KeyShares.Find(0x1d); !ok || !bytes.Equal(key, bytes.Repeat([]byte{0xbb}, 32)) {
		t.Errorf("the share for x25519 is not found: %x", key)
	}
	if _, ok := m.KeyShares.Find(0x17); ok {
		t.Error("a share is found for a group that has none")
	}
}

// The ClientHello of RFC 8448, Section 3.
const rfc8448ClientHello = `010000c0 0303 cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7
	00 0006 1301 1303 1302 0100 0091
	0000000b 0009 00 0006 736572766572
	ff010001 00
	000a0014 0012 001d 0017 0018 0019 0100 0101 0102 0103 0104
	00230000
	00330026 0024 001d 0020 99381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c
	002b0003 02 0304
	000d0020 001e 0403 0503 0603 0203 0804 0805 0806 0401 0501 0601 0201 0402 0502 0602 0202
	002d0002 01 01
	001c0002 4001`

func TestTheClientHelloOfRFC8448(t *testing.T) {
	message := unhex(t, rfc8448ClientHello)
	var m ClientHello
	if err := m.Parse(message[HeaderLen:]); err != nil {
		t.Fatal(err)
	}
	if string(m.ServerName) != "server" || m.CipherSuites.Len() != 3 || m.SupportedGroups.Len() != 9 ||
		m.SignatureAlgorithms.Len() != 15 || !m.SupportedVersions.Contains(0x0304) || m.RecordSizeLimit != 0x4001 {
		t.Errorf("the hello is not read as the RFC explains it: %+v", m)
	}
	want := Extensions(ExtServerName, ExtRenegotiationInfo, ExtSupportedGroups, ExtSessionTicket, ExtKeyShare,
		ExtSupportedVersions, ExtSignatureAlgorithms, ExtPSKKeyExchangeModes, ExtRecordSizeLimit)
	if m.Has != want {
		t.Errorf("the extensions are %b, want %b", m.Has, want)
	}

	if len(m.SessionTicket) != 0 || len(m.RenegotiationInfo) != 0 {
		t.Errorf("what the hello says for TLS 1.2 is empty, and read as %x and %x", m.SessionTicket, m.RenegotiationInfo)
	}

	// Written again it has other places for its extensions, and the same size.
	var again ClientHello
	written := m.Append(nil)
	if err := again.Parse(written[HeaderLen:]); err != nil {
		t.Fatal(err)
	}
	if again.Has != want {
		t.Errorf("the hello written again has the extensions %b, want %b", again.Has, want)
	}
	if len(written) != len(message) {
		t.Errorf("the hello written again has %d bytes, want %d", len(written), len(message))
	}
}

func TestBodiesOfClientHelloExtensions(t *testing.T) {
	const accepted = fault.Internal // stands for no error in this table
	for _, row := range []struct {
		story string
		block string
		want  fault.Reason
	}{
		{"server_name without a list", `0000 2[ ]`, fault.Undecodable},
		{"server_name with an empty list", `0000 2[ 2[ ] ]`, fault.Undecodable},
		{"server_name with an empty name", `0000 2[ 2[ 00 2[ ] ] ]`, fault.Undecodable},
		{"server_name of another type", `0000 2[ 2[ 01 2[ 'a' ] ] ]`, fault.Undecodable},
		{"server_name with two names", `0000 2[ 2[ 00 2[ 'a' ] 00 2[ 'b' ] ] ]`, fault.Undecodable},
		{"server_name with a second type of name", `0000 2[ 2[ 00 2[ 'a' ] 01 2[ 'b' ] ] ]`, fault.Undecodable},
		{"server_name with a byte behind it", `0000 2[ 2[ 00 2[ 'a' ] ] 00 ]`, fault.Undecodable},

		{"status_request with a responder", `0005 2[ 01 2[ 2[ 'id' ] ] 2[ 'ext' ] ]`, accepted},
		{"status_request with an empty responder", `0005 2[ 01 2[ 2[ ] ] 2[ ] ]`, fault.Undecodable},
		{"status_request without request_extensions", `0005 2[ 01 2[ ] ]`, fault.Undecodable},
		{"status_request without a type", `0005 2[ ]`, fault.Undecodable},
		{"status_request with a byte behind it", `0005 2[ 01 2[ ] 2[ ] 00 ]`, fault.Undecodable},
		{"status_request of an unknown type", `0005 2[ 02 'whatever' ]`, accepted},

		{"supported_groups, empty", `000a 2[ 2[ ] ]`, fault.Undecodable},
		{"supported_groups, odd", `000a 2[ 2[ 001d00 ] ]`, fault.Undecodable},
		{"supported_groups with a byte behind them", `000a 2[ 2[ 001d ] 00 ]`, fault.Undecodable},
		{"supported_groups with a group twice", `000a 2[ 2[ 001d 001d ] ]`, accepted},
		{"signature_algorithms, empty", `000d 2[ 2[ ] ]`, fault.Undecodable},
		{"signature_algorithms, odd", `000d 2[ 2[ 04 ] ]`, fault.Undecodable},
		{"signature_algorithms_cert, empty", `0032 2[ 2[ ] ]`, fault.Undecodable},
		{"signature_algorithms_cert, odd", `0032 2[ 2[ 040304 ] ]`, fault.Undecodable},

		{"ALPN, empty", `0010 2[ 2[ ] ]`, fault.Undecodable},
		{"ALPN with an empty name", `0010 2[ 2[ 1[ 'h2' ] 1[ ] ] ]`, fault.Undecodable},
		{"ALPN with a byte behind it", `0010 2[ 2[ 1[ 'h2' ] ] 00 ]`, fault.Undecodable},
		{"ALPN with half a name", `0010 2[ 2[ 1[ 'h2' ] 05 'h' ] ]`, fault.Undecodable},

		{"signed_certificate_timestamp with a body", `0012 2[ 00 ]`, fault.Undecodable},
		{"early_data with a body", `002a 2[ 00000000 ]`, fault.Undecodable},

		{"record_size_limit of 64", `001c 2[ 0040 ]`, accepted},
		{"record_size_limit of 63", `001c 2[ 003f ]`, fault.IllegalParameter},
		{"record_size_limit of one byte", `001c 2[ 40 ]`, fault.Undecodable},
		{"record_size_limit of three bytes", `001c 2[ 004000 ]`, fault.Undecodable},
		{"record_size_limit too small and too long", `001c 2[ 000000 ]`, fault.Undecodable},

		{"supported_versions, empty", `002b 2[ 1[ ] ]`, fault.Undecodable},
		{"supported_versions, odd", `002b 2[ 1[ 0304 03 ] ]`, fault.Undecodable},
		{"supported_versions with a byte behind them", `002b 2[ 1[ 0304 ] 03 ]`, fault.Undecodable},
		{"supported_versions with the longest list", `002b 2[ 1[ 0a0a*127 ] ]`, accepted},

		{"cookie, empty", `002c 2[ 2[ ] ]`, fault.Undecodable},
		{"cookie with a byte behind it", `002c 2[ 2[ 'c' ] 00 ]`, fault.Undecodable},
		{"psk_key_exchange_modes, empty", `002d 2[ 1[ ] ]`, fault.Undecodable},
		{"psk_key_exchange_modes with a byte behind them", `002d 2[ 1[ 01 ] 00 ]`, fault.Undecodable},

		{"certificate_authorities, empty", `002f 2[ 2[ ] ]`, fault.Undecodable},
		{"certificate_authorities with an empty name", `002f 2[ 2[ 2[ ] ] ]`, fault.Undecodable},
		{"certificate_authorities with half a name", `002f 2[ 2[ 2[ 30 ] 0005 30 ] ]`, fault.Undecodable},

		{"ticket_request of one byte", `003a 2[ 01 ]`, fault.Undecodable},
		{"ticket_request of three bytes", `003a 2[ 010203 ]`, fault.Undecodable},

		{"key_share without shares", `0033 2[ 2[ ] ]`, accepted},
		{"key_share without a list", `0033 2[ ]`, fault.Undecodable},
		{"key_share with an empty key_exchange", `0033 2[ 2[ 001d 2[ ] ] ]`, fault.Undecodable},
		{"key_share with half a share", `0033 2[ 2[ 001d 0020 aaaa ] ]`, fault.Undecodable},
		{"key_share with a byte behind the list", `0033 2[ 2[ 001d 2[ aa ] ] 00 ]`, fault.Undecodable},
		{"key_share with a group twice", `0033 2[ 2[ 001d 2[ aa ] 0017 2[ aa ] 001d 2[ bb ] ] ]`, fault.IllegalParameter},
		{"key_share with 32 groups", `0033 2[ 2[ ` + shares(32) + ` ] ]`, accepted},
		{"key_share with 33 groups", `0033 2[ 2[ ` + shares(33) + ` ] ]`, fault.IllegalParameter},

		{"pre_shared_key without identities", `0029 2[ 2[ ] 2[ 1[ aa*32 ] ] ]`, fault.Undecodable},
		{"pre_shared_key without binders", `0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ ] ]`, fault.Undecodable},
		{"pre_shared_key without the list of binders", `0029 2[ 2[ 2[ 'a' ] 00000000 ] ]`, fault.Undecodable},
		{"pre_shared_key with an empty identity", `0029 2[ 2[ 2[ ] 00000000 ] 2[ 1[ aa*32 ] ] ]`, fault.Undecodable},
		{"pre_shared_key with half an age", `0029 2[ 2[ 2[ 'a' ] 0000 ] 2[ 1[ aa*32 ] ] ]`, fault.Undecodable},
		{"pre_shared_key with a binder of 31 bytes", `0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ 1[ aa*31 ] ] ]`, fault.Undecodable},
		{"pre_shared_key with a binder of 255 bytes", `0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ 1[ aa*255 ] ] ]`, accepted},
		{"pre_shared_key with half a binder", `0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ 20 aaaa ] ]`, fault.Undecodable},
		{"pre_shared_key with a byte behind it", `0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ 1[ aa*32 ] ] 00 ]`, fault.Undecodable},
		{"pre_shared_key with a binder too many", `0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ 1[ aa*32 ] 1[ aa*32 ] ] ]`, fault.IllegalParameter},
		{"pre_shared_key with a binder too few", `0029 2[ 2[ 2[ 'a' ] 00000000 2[ 'b' ] 00000000 ] 2[ 1[ aa*32 ] ] ]`, fault.IllegalParameter},
		{"pre_shared_key before another extension", `0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ 1[ aa*32 ] ] ] 002a 2[ ]`, fault.IllegalParameter},
		{"pre_shared_key before an unknown extension", `0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ 1[ aa*32 ] ] ] 0a0a 2[ ]`, fault.IllegalParameter},
		{"pre_shared_key twice", `0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ 1[ aa*32 ] ] ] 0029 2[ 2[ 2[ 'a' ] 00000000 ] 2[ 1[ aa*32 ] ] ]`, fault.IllegalParameter},

		{"extended_main_secret", `0017 2[ ]`, accepted},
		{"extended_main_secret with a body", `0017 2[ 00 ]`, fault.Undecodable},
		{"renegotiation_info of a first handshake", `ff01 2[ 1[ ] ]`, accepted},
		{"renegotiation_info that is not empty, the caller's to refuse", `ff01 2[ 1[ aa*12 ] ]`, accepted},
		{"renegotiation_info without a length", `ff01 2[ ]`, fault.Undecodable},
		{"renegotiation_info with half of it", `ff01 2[ 0c aaaa ]`, fault.Undecodable},
		{"renegotiation_info with a byte behind it", `ff01 2[ 1[ ] 00 ]`, fault.Undecodable},
		{"session_ticket, empty", `0023 2[ ]`, accepted},
		{"session_ticket with any ticket", `0023 2[ ff*1000 ]`, accepted},
		{"session_ticket twice", `0023 2[ ] 0023 2[ 'any' ]`, fault.DuplicateExtension},
		{"ec_point_formats", `000b 2[ 1[ 00 ] ]`, accepted},
		{"ec_point_formats with more than that", `000b 2[ 1[ 01 02 00 ] ]`, accepted},
		{"ec_point_formats without a list", `000b 2[ ]`, fault.Undecodable},
		{"ec_point_formats, empty", `000b 2[ 1[ ] ]`, fault.Undecodable},
		{"ec_point_formats with a byte behind them", `000b 2[ 1[ 00 ] 00 ]`, fault.Undecodable},

		{"heartbeat, which is not ours, with any body", `000f 2[ 'any' ]`, accepted},
		{"encrypted_client_hello, which is not ours yet", `fe0d 2[ 'any' ]`, accepted},
		{"padding that is not zeros", `0015 2[ ff ]`, accepted},
		{"an unknown extension", `0a0a 2[ 'any' ]`, accepted},
		{"an unknown extension twice", `0a0a 2[ ] 0a0a 2[ ]`, fault.DuplicateExtension},
		{"early_data twice", `002a 2[ ] 002a 2[ ]`, fault.DuplicateExtension},
		{"heartbeat twice", `000f 2[ ] 000f 2[ ]`, fault.DuplicateExtension},
		{"oid_filters, which is for requests", `0030 2[ 2[ ] ]`, fault.MisplacedExtension},
		{"half an extension", `002a 00`, fault.Undecodable},
		{"an extension longer than the block", `000f 0002 00`, fault.Undecodable},
		{"a block without extensions", ``, accepted},
	} {
		body, _ := assemble(t, `0303 random 1[ ] 2[ 1301 ] 1[ 00 ] 2[ `+row.block+` ]`)
		var m ClientHello
		err := m.Parse(body)
		if row.want != accepted {
			expect(t, err, row.want, "%s", row.story)
		} else if err != nil {
			t.Errorf("%s is refused: %v", row.story, err)
		}
	}
}

// If uncompressed is missing, "the server MUST abort the handshake and return an
// illegal_parameter alert": RFC 8422, Section 5.1.2. The list has its form.
func TestAClientHasToReadUncompressedPoints(t *testing.T) {
	for _, formats := range []string{`01`, `02`, `01 02`, `ff`} {
		body, _ := assemble(t, `0303 random 1[ ] 2[ c02f ] 1[ 00 ] 2[ 000a 2[ 2[ 0017 ] ] 000b 2[ 1[ `+formats+` ] ] ]`)
		var m ClientHello
		expect(t, m.Parse(body), fault.IllegalParameter, "a ClientHello with the ec_point_formats %s", formats)
	}
}

// What TLS 1.2 adds is read and written whether or not 1.3 is offered too.
func TestAClientHelloOfTLS12(t *testing.T) {
	m := ClientHello{
		LegacyVersion: 0x0303, Random: make([]byte, 32), CipherSuites: Uint16s{0xc0, 0x2f}, CompressionMethods: []byte{0},
		Has:           Extensions(ExtExtendedMainSecret, ExtRenegotiationInfo, ExtECPointFormats, ExtSessionTicket),
		SessionTicket: []byte("ticket"),
	}
	want, _ := assemble(t, `01 3[ 0303 00*32 1[ ] 2[ c02f ] 1[ 00 ] 2[ 0017 2[ ] ff01 2[ 1[ ] ] 000b 2[ 1[ 00 ] ] 0023 2[ 'ticket' ] ] ]`)
	if got := m.Append(nil); !bytes.Equal(got, want) {
		t.Errorf("the hello is written as\n%x, want\n%x", got, want)
	}
	var again ClientHello
	if err := again.Parse(want[HeaderLen:]); err != nil || again.Has != m.Has || string(again.SessionTicket) != "ticket" || len(again.RenegotiationInfo) != 0 {
		t.Errorf("the hello is read as %+v, %v", again, err)
	}

	// The other three take 4, 5 and 6 bytes, and the ticket 4 more than it has.
	m.SessionTicket = make([]byte, 0xffff-4-5-6-4)
	if b := m.Append(nil); b == nil || again.Parse(b[HeaderLen:]) != nil || len(again.SessionTicket) != len(m.SessionTicket) {
		t.Error("the longest ticket is not written")
	}
	m.SessionTicket = append(m.SessionTicket, 0)
	if m.Append(nil) != nil {
		t.Error("a ticket that makes the block too long must give nil")
	}
}

// shares is n key shares for different groups.
func shares(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%04x 2[ aa ] ", 0x100+i)
	}
	return b.String()
}

func TestFixedFieldsOfAClientHello(t *testing.T) {
	for story, text := range map[string]string{
		"a session ID of 33 bytes":      `0303 random 1[ cc*33 ] 2[ 1301 ] 1[ 00 ]`,
		"an empty list of suites":       `0303 random 1[ ] 2[ ] 1[ 00 ]`,
		"an odd list of suites":         `0303 random 1[ ] 2[ 130100 ] 1[ 00 ]`,
		"no compression method":         `0303 random 1[ ] 2[ 1301 ] 1[ ]`,
		"one byte behind the block":     `0303 random 1[ ] 2[ 1301 ] 1[ 00 ] 2[ ] 00`,
		"one byte instead of the block": `0303 random 1[ ] 2[ 1301 ] 1[ 00 ] 00`,
		"a block longer than the hello": `0303 random 1[ ] 2[ 1301 ] 1[ 00 ] 0004 0a0a00`,
	} {
		body, _ := assemble(t, text)
		var m ClientHello
		expect(t, m.Parse(body), fault.Undecodable, "a ClientHello with %s", story)
	}
	body, _ := assemble(t, `0301 random 1[ ] 2[ 0004 00ff ] 1[ 01 00 ]`)
	var m ClientHello
	if err := m.Parse(body); err != nil || m.Has != 0 || m.Extensions != nil || m.LegacyVersion != 0x0301 {
		t.Errorf("an old hello without extensions is not read as such: %+v, %v", m, err)
	}
}

func TestAStatusRequestForSomethingElseIsAsIfAbsent(t *testing.T) {
	body, _ := assemble(t, `0303 random 1[ ] 2[ 1301 ] 1[ 00 ] 2[ 0005 2[ 02 'x' ] 0012 2[ ] ]`)
	var m ClientHello
	if err := m.Parse(body); err != nil || m.Has != Extensions(ExtSCT) {
		t.Errorf("the hello has the extensions %b (error: %v), want the SCTs only", m.Has, err)
	}
	body, _ = assemble(t, `0303 random 1[ ] 2[ 1301 ] 1[ 00 ] 2[ 0005 2[ 02 'x' ] 0005 2[ 01 2[ ] 2[ ] ] ]`)
	expect(t, m.Parse(body), fault.DuplicateExtension, "a second status_request of another type")
}

func TestAClientHelloThatIsTooLongIsNotWritten(t *testing.T) {
	hello := func() *ClientHello {
		return &ClientHello{
			LegacyVersion: 0x0303, Random: make([]byte, 32), CipherSuites: Uint16s{0x13, 1}, CompressionMethods: []byte{0},
			Has: Extensions(ExtCookie),
		}
	}
	m := hello()
	m.Cookie = make([]byte, 0xffff-6) // the block is full to the last byte
	b := m.Append(nil)
	var again ClientHello
	if err := again.Parse(b[HeaderLen:]); err != nil || len(again.Cookie) != len(m.Cookie) {
		t.Errorf("the longest cookie is not written: %v", err)
	}
	m.Cookie = make([]byte, 0xffff-5)
	if m.Append(make([]byte, 8)) != nil {
		t.Error("a cookie that makes the block too long must give nil")
	}
	m = hello()
	m.Has = Extensions(ExtPreSharedKey)
	m.PreSharedKey.Identities = AppendPSKIdentity(nil, make([]byte, 0xffff), 0) // a ticket may be that long
	m.PreSharedKey.Binders = AppendPSKBinder(nil, make([]byte, 32))
	if m.Append(nil) != nil {
		t.Error("a ticket that makes the list of identities too long must give nil")
	}
}

func TestListsAreBuiltAsTheyAreRead(t *testing.T) {
	alpn := AppendProtocol(AppendProtocol(nil, "h2"), "http/1.1")
	if got := list(alpn.All()); !slices.Equal(got, []string{"h2", "http/1.1"}) || alpn.Len() != 2 {
		t.Errorf("the protocols are %q", got)
	}
	if !alpn.Contains("h2") || alpn.Contains("h") || alpn.Contains("") || Protocols(nil).Contains("h2") {
		t.Error("Contains must compare whole names")
	}
	if got := list(AppendAuthority(AppendAuthority(nil, []byte("one")), []byte("two")).All()); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("the authorities are %q", got)
	}
	keys := AppendKeyShare(AppendKeyShare(nil, 0x1d, []byte("x")), 0x17, []byte("p"))
	if key, ok := keys.Find(0x17); !ok || string(key) != "p" {
		t.Errorf("the share for group 0x17 is %q", key)
	}
	identities := AppendPSKIdentity(AppendPSKIdentity(nil, []byte("one"), 1), []byte("two"), 0xffffffff)
	for identity, age := range identities.All() {
		if want := map[string]uint32{"one": 1, "two": 0xffffffff}[string(identity)]; age != want {
			t.Errorf("identity %s has age %d, want %d", identity, age, want)
		}
	}
	binders := AppendPSKBinder(AppendPSKBinder(nil, bytes.Repeat([]byte{1}, 32)), bytes.Repeat([]byte{2}, 48))
	if identities.Len() != 2 || binders.Len() != 2 {
		t.Errorf("there are %d identities and %d binders, want 2 of each", identities.Len(), binders.Len())
	}
}

func TestAnIterationMayStopEarly(t *testing.T) {
	body, _ := assemble(t, fullClientHello)
	var m ClientHello
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range m.ALPN.All() {
		n++
		break
	}
	for range m.CertificateAuthorities.All() {
		n++
		break
	}
	for range m.KeyShares.All() {
		n++
		break
	}
	for range m.PreSharedKey.Identities.All() {
		n++
		break
	}
	for range m.PreSharedKey.Binders.All() {
		n++
		break
	}
	if n != 5 {
		t.Errorf("five loops that stop at once took %d steps", n)
	}
}

func TestMalformedListsEndTheirIteration(t *testing.T) {
	for range (Protocols{5, 'h'}).All() {
		t.Error("half a protocol is handed out")
	}
	for range (KeyShares{0, 0x1d, 0, 5, 1}).All() {
		t.Error("half a key share is handed out")
	}
	for range (PSKIdentities{0, 1, 'a', 0}).All() {
		t.Error("half an identity is handed out")
	}
	if got := SplitSCTs(binary.BigEndian.AppendUint16(nil, 4)); len(got) != 0 {
		t.Errorf("half an SCT is handed out: %x", got)
	}
}
