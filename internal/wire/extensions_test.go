package wire

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/fault"
)

// rfcTable is the table of RFC 9846, Section 4.3, with the codes of the enum
// above it there, and below a line the rows that we add.
const rfcTable = `
server_name 0 CH EE CR
status_request 5 CH CR CT
supported_groups 10 CH EE
signature_algorithms 13 CH CR
use_srtp 14 CH EE
heartbeat 15 CH EE
application_layer_protocol_negotiation 16 CH EE
client_certificate_type 19 CH EE
server_certificate_type 20 CH EE
padding 21 CH
compress_certificate 27 CH CR
record_size_limit 28 CH EE
delegated_credential 34 CH CR CT
supported_ekt_ciphers 39 CH EE
pre_shared_key 41 CH SH
early_data 42 CH EE NST
supported_versions 43 CH SH HRR
cookie 44 CH HRR
psk_key_exchange_modes 45 CH
certificate_authorities 47 CH CR
oid_filters 48 CR
post_handshake_auth 49 CH
signature_algorithms_cert 50 CH CR
key_share 51 CH SH HRR
transparency_info 52 CH CR CT
external_id_hash 55 CH EE
external_session_id 56 CH EE
quic_transport_parameters 57 CH EE
ticket_request 58 CH EE
ech_outer_extensions 64768 CH
encrypted_client_hello 65037 CH HRR EE
ec_point_formats 11 CH
signed_certificate_timestamp 18 CH CR CT
extended_main_secret 23 CH
session_ticket 35 CH
renegotiation_info 65281 CH`

// inServerHello12 is what a server of TLS 1.2 answers in its hello, where TLS
// 1.3 has other places or none, by the documents that say so.
var inServerHello12 = map[string]string{
	"server_name":                            "RFC 6066, Section 3",
	"status_request":                         "RFC 6066, Section 8",
	"supported_groups":                       "no document, but there are servers that send it",
	"ec_point_formats":                       "RFC 8422, Section 5.2",
	"application_layer_protocol_negotiation": "RFC 7301, Section 3.1",
	"signed_certificate_timestamp":           "RFC 6962, Section 3.3.1",
	"extended_main_secret":                   "RFC 7627, Section 5.1",
	"record_size_limit":                      "RFC 8449, Section 4",
	"session_ticket":                         "RFC 5077, Section 3.2",
	"renegotiation_info":                     "RFC 5746, Section 3.2",
}

var messagesOfTable = map[string]where{"CH": ch, "SH": sh, "HRR": hrr, "EE": ee, "CR": cr, "CT": ct, "NST": nst, "SH12": sh12}

func TestTheTableIsTheRFCs(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(rfcTable), "\n")
	if len(rows) != int(extensionCount) {
		t.Errorf("there are %d rows, want %d", extensionCount, len(rows))
	}
	if extensionCount > 64 {
		t.Error("an ExtensionSet has no room for all rows")
	}
	for _, row := range rows {
		words := strings.Fields(row)
		var code uint16
		for _, digit := range words[1] {
			code = code*10 + uint16(digit-'0')
		}
		e, ok := extensionOf(code)
		if !ok {
			t.Errorf("%s (%d) is not known", words[0], code)
			continue
		}
		if e.String() != words[0] || e.Code() != code {
			t.Errorf("code %d is %s (%d), want %s", code, e, e.Code(), words[0])
		}
		var in where
		for _, m := range words[2:] {
			in |= messagesOfTable[m]
		}
		rfc, ok := inServerHello12[words[0]]
		if ok {
			in |= sh12
		}
		if got := extensions[e].in; got != in {
			t.Errorf("%s may stand in %08b, want %08b (%s)", e, got, in, rfc)
		}
	}
}

func TestTheRowsAreSortedByCode(t *testing.T) {
	for e := range extensionCount - 1 {
		if e.Code() >= (e + 1).Code() {
			t.Errorf("%s (%d) stands before %s (%d), and the search for codes wants order", e, e.Code(), e+1, (e + 1).Code())
		}
	}
	known := 0
	for code := range 1 << 16 {
		if e, ok := extensionOf(uint16(code)); ok {
			known++
			if e.Code() != uint16(code) {
				t.Errorf("code %d finds %s, which is %d", code, e, e.Code())
			}
		}
	}
	if known != int(extensionCount) {
		t.Errorf("%d codes are known, want %d", known, extensionCount)
	}
}

// walkAll walks a block to its end without looking at the bodies.
func walkAll(block []byte, in where, offered ExtensionSet) (ExtensionSet, error) {
	c := walk(block, in, offered)
	for c.next() {
		c.skip()
	}
	return c.seen, c.err
}

func TestEveryExtensionInEveryMessage(t *testing.T) {
	for e := range extensionCount {
		block := appendExtension(nil, e, 1, 2, 3)
		for _, in := range messagesOfTable {
			placed := extensions[e].in&in != 0
			asked := in&(ch|cr|nst) != 0 || e == ExtCookie && in == hrr

			seen, err := walkAll(block, in, Extensions(e))
			if !placed {
				expect(t, err, fault.MisplacedExtension, "%s in %s", e, in)
			} else if err != nil || seen != Extensions(e) {
				t.Errorf("%s in %s is refused: %v", e, in, err)
			}

			_, err = walkAll(block, in, everything.Without(e))
			if !placed && in == sh12 {
				// RFC 9846, Section 4.3, has it misplaced, and RFC 5246, Section
				// 7.4.1.4, unsolicited: either will do.
				if r := fault.Of(err); err == nil || r != fault.MisplacedExtension && r != fault.UnsolicitedExtension {
					t.Errorf("%s in %s, not asked for: %v, want a refusal", e, in, err)
				}
			} else if !placed {
				expect(t, err, fault.MisplacedExtension, "%s in %s, not asked for", e, in)
			} else if !asked {
				expect(t, err, fault.UnsolicitedExtension, "%s in %s, not asked for", e, in)
			} else if err != nil {
				t.Errorf("%s in %s is refused, though it needs no request: %v", e, in, err)
			}

			if placed {
				_, err = walkAll(append(block, block...), in, everything)
				expect(t, err, fault.DuplicateExtension, "%s twice in %s", e, in)
			}
		}
	}
}

func TestUnknownExtensions(t *testing.T) {
	const unknown, other = 0x0a0a, 0x1a1a
	one := []byte{unknown >> 8, unknown & 0xff, 0, 1, 7}
	two := append(one[:len(one):len(one)], other>>8, other&0xff, 0, 0)
	for _, in := range []where{ch, cr, nst} {
		if _, err := walkAll(two, in, 0); err != nil {
			t.Errorf("extensions nobody knows in %s must be skipped: %v", in, err)
		}
		_, err := walkAll(append(two, one...), in, 0)
		expect(t, err, fault.DuplicateExtension, "an unknown extension twice in %s", in)
	}
	for _, in := range []where{sh, hrr, ee, ct, sh12} {
		_, err := walkAll(one, in, everything)
		expect(t, err, fault.UnsolicitedExtension, "an unknown extension in %s", in)
	}
}

func TestUnknownDoublesAreFoundAmongMany(t *testing.T) {
	var block []byte
	var codes []uint16
	for code := range uint16(0xffff) {
		if _, known := extensionOf(code); !known && len(codes) < 0xffff/4-1 {
			codes = append(codes, code)
			block = append(binary.BigEndian.AppendUint16(block, code), 0, 0)
		}
	}
	begin := time.Now()
	if _, err := walkAll(block, ch, 0); err != nil {
		t.Fatalf("a block full of different unknown extensions is refused: %v", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a block full of unknown extensions takes %v: the search is not bounded", took)
	}
	for _, i := range []int{0, 15, 16, 17, len(codes) - 1} {
		again := append(binary.BigEndian.AppendUint16(block[:len(block):len(block)], codes[i]), 0, 0)
		_, err := walkAll(again, ch, 0)
		expect(t, err, fault.DuplicateExtension, "unknown extension %d of %d, twice", i, len(codes))
	}
}

func TestBlocksThatCannotBeRead(t *testing.T) {
	// Two extensions that each of the messages may carry, the first of 7 bytes.
	for in, block := range map[where][]byte{
		ch:   appendExtension(appendExtension(nil, ExtPadding, 1, 2, 3), ExtHeartbeat, 1),
		cr:   appendExtension(appendExtension(nil, ExtOIDFilters, 1, 2, 3), ExtSCT, 1),
		ee:   appendExtension(appendExtension(nil, ExtALPN, 1, 2, 3), ExtHeartbeat, 1),
		ct:   appendExtension(appendExtension(nil, ExtSCT, 1, 2, 3), ExtStatusRequest, 1),
		sh12: appendExtension(appendExtension(nil, ExtALPN, 1, 2, 3), ExtRenegotiationInfo, 1),
	} {
		for n := range block {
			_, err := walkAll(block[:n], in, everything)
			if n != 0 && n != 7 { // whole extensions
				expect(t, err, fault.Undecodable, "a block of %s cut to %d bytes", in, n)
			} else if err != nil {
				t.Errorf("a block of %s cut to %d bytes, which are whole extensions, is refused: %v", in, n, err)
			}
		}
	}
}

func TestAWalkThatFailedStaysAtItsEnd(t *testing.T) {
	block := appendExtension(appendExtension(nil, ExtOIDFilters), ExtPadding)
	c := walk(block, ch, 0)
	//lint:ignore SA4000 the second step is another one
	if c.next() || c.next() {
		t.Error("the walk goes on behind an error")
	}
	expect(t, c.err, fault.MisplacedExtension, "oid_filters in ClientHello")
}

func TestWalkingAllocatesNothing(t *testing.T) {
	block := appendExtension(appendExtension(nil, ExtPadding, 1, 2, 3), ExtHeartbeat, 1)
	for code := range uint16(16) { // as many as the small set holds
		block = append(binary.BigEndian.AppendUint16(block, 0x0a0a+code<<8), 0, 0)
	}
	var err error
	if n := testing.AllocsPerRun(10, func() { _, err = walkAll(block, ch, 0) }); n != 0 || err != nil {
		t.Errorf("a walk makes %v allocations, want none (error: %v)", n, err)
	}
}

func TestRawExtensionsAreWhole(t *testing.T) {
	block, _ := assemble(t, `002b 2[ 0304 ] 0a0a 2[ ] 0029 2[ 'psk' ]`)
	var codes []uint16
	var whole []byte
	for code, raw := range RawExtensions(block) {
		codes = append(codes, code)
		whole = append(whole, raw...)
	}
	if !slices.Equal(codes, []uint16{0x2b, 0x0a0a, 0x29}) || !bytes.Equal(whole, block) {
		t.Errorf("the extensions are %x, together %x; want the block %x", codes, whole, block)
	}
	for code, raw := range RawExtensions(block) {
		if code != 0x2b || len(raw) != 6 {
			t.Errorf("the first extension is %x: %x", code, raw)
		}
		break
	}
	for code := range RawExtensions(block[:5]) {
		t.Errorf("half an extension (%x) is handed out", code)
	}
}

func TestExtensionSets(t *testing.T) {
	s := Extensions(ExtServerName, ExtRenegotiationInfo)
	if !s.Has(ExtServerName) || !s.Has(ExtRenegotiationInfo) || s.Has(ExtCookie) {
		t.Errorf("the set %b does not hold what it was made of", s)
	}
	if s = s.With(ExtCookie).Without(ExtServerName); s != Extensions(ExtCookie, ExtRenegotiationInfo) {
		t.Errorf("With and Without leave %b", s)
	}
}

func TestPlacesHaveNames(t *testing.T) {
	for in, want := range map[where]string{
		ch: "ClientHello", sh: "ServerHello", hrr: "HelloRetryRequest", ee: "EncryptedExtensions",
		cr: "CertificateRequest", ct: "Certificate", nst: "NewSessionTicket",
		sh12: "ServerHello of TLS 1.2", 0: "messages 0", ch | sh: "messages 3",
	} {
		if in.String() != want {
			t.Errorf("place %d is called %q, want %q", in, in, want)
		}
	}
}
