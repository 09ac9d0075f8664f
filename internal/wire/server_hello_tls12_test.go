package wire

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const fullServerHello12 = `0303 random 1[ cc*32 ] c02f 00 2[
	ff01 2[ 1[ 'verify_data.verify_data.' ] ]
	0000 2[ ]
	0005 2[ ]
	0017 2[ ]
	0023 2[ ]
	000b 2[ 1[ 00 ] ]
	0010 2[ 2[ 1[ 'h2' ] ] ]
	0012 2[ 2[ 2[ 'sct1' ] 2[ 'another' ] ] ]
	001c 2[ 4000 ]
]`

// answers12 are the extensions of a ServerHello of TLS 1.2.
var answers12 = []Extension{
	ExtRenegotiationInfo, ExtServerName, ExtStatusRequest, ExtExtendedMainSecret, ExtSessionTicket,
	ExtECPointFormats, ExtALPN, ExtSCT, ExtRecordSizeLimit,
}

func TestAServerHelloOfTLS12IsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullServerHello12)
	var m ServerHello
	if err := m.Parse(body, Extensions(answers12...)); err != nil {
		t.Fatal(err)
	}
	for field, got := range map[string]bool{
		"server_version":          m.LegacyVersion == 0x0303 && !m.TLS13,
		"random":                  bytes.Equal(m.Random, body[2:34]),
		"session_id":              bytes.Equal(m.SessionID, bytes.Repeat([]byte{0xcc}, 32)),
		"cipher_suite":            m.CipherSuite == 0xc02f,
		"compression_method":      m.CompressionMethod == 0,
		"renegotiated_connection": string(m.RenegotiationInfo) == "verify_data.verify_data.",
		"the protocol":            string(m.ALPN) == "h2",
		"the SCTs":                slices.EqualFunc(SplitSCTs(m.SCTs), []string{"sct1", "another"}, func(b []byte, s string) bool { return string(b) == s }),
		"record_size_limit":       m.RecordSizeLimit == 0x4000,
		"the extensions present":  m.Has == Extensions(answers12...),
		"what is of TLS 1.3":      m.SupportedVersion == 0 && m.KeyShareGroup == 0 && m.KeyShare == nil && m.SelectedIdentity == 0 && m.Cookie == nil,
	} {
		if !got {
			t.Errorf("%s is not what was sent: %+v", field, m)
		}
	}
	if !bytes.Equal(JoinSCTs(SplitSCTs(m.SCTs)), m.SCTs) {
		t.Errorf("the SCTs are not joined as they were split: %x", m.SCTs)
	}
}

// What a client did not ask for ends the handshake: RFC 5246, Section 7.4.1.4.
func TestAServerOfTLS12MayAnswerOnlyWhatWasOffered(t *testing.T) {
	for _, e := range answers12 {
		body, _ := assemble(t, fullServerHello12)
		var m ServerHello
		expect(t, m.Parse(body, everything.Without(e)), fault.UnsolicitedExtension, "%s that was not offered", e)
	}
}

func TestBodiesOfServerHello12Extensions(t *testing.T) {
	const accepted = fault.Internal
	for _, row := range []struct {
		story, block string
		want         fault.Reason
	}{
		{"server_name with a body", `0000 2[ 2[ 00 2[ 'a' ] ] ]`, fault.Undecodable},
		{"status_request with a body", `0005 2[ 01 3[ 'r' ] ]`, fault.Undecodable},
		{"extended_main_secret with a body", `0017 2[ 00 ]`, fault.Undecodable},
		{"session_ticket with a body", `0023 2[ 'ticket' ]`, fault.Undecodable},

		{"renegotiation_info of a first handshake", `ff01 2[ 1[ ] ]`, accepted},
		{"renegotiation_info that is not empty, the caller's to refuse", `ff01 2[ 1[ aa*24 ] ]`, accepted},
		{"renegotiation_info without a length", `ff01 2[ ]`, fault.Undecodable},
		{"renegotiation_info with half of it", `ff01 2[ 0c aaaa ]`, fault.Undecodable},
		{"renegotiation_info with a byte behind it", `ff01 2[ 1[ ] 00 ]`, fault.Undecodable},
		{"renegotiation_info twice", `ff01 2[ 1[ ] ] ff01 2[ 1[ ] ]`, fault.DuplicateExtension},

		{"ec_point_formats", `000b 2[ 1[ 00 ] ]`, accepted},
		{"ec_point_formats with more than that", `000b 2[ 1[ 02 01 00 ] ]`, accepted},
		{"ec_point_formats without a list", `000b 2[ ]`, fault.Undecodable},
		{"ec_point_formats, empty", `000b 2[ 1[ ] ]`, fault.Undecodable},
		{"ec_point_formats with a byte behind them", `000b 2[ 1[ 00 ] 00 ]`, fault.Undecodable},

		{"ALPN with one protocol", `0010 2[ 2[ 1[ 'h2' ] ] ]`, accepted},
		{"ALPN with two protocols", `0010 2[ 2[ 1[ 'h2' ] 1[ 'h3' ] ] ]`, fault.Undecodable},
		{"ALPN with none", `0010 2[ 2[ ] ]`, fault.Undecodable},
		{"ALPN with an empty protocol", `0010 2[ 2[ 1[ ] ] ]`, fault.Undecodable},
		{"ALPN without a list", `0010 2[ ]`, fault.Undecodable},
		{"ALPN with a byte behind the list", `0010 2[ 2[ 1[ 'h2' ] ] 00 ]`, fault.Undecodable},

		{"one SCT", `0012 2[ 2[ 2[ 's' ] ] ]`, accepted},
		{"no SCTs", `0012 2[ 2[ ] ]`, fault.Undecodable},
		{"SCTs as the client asks for them", `0012 2[ ]`, fault.Undecodable},
		{"an empty SCT", `0012 2[ 2[ 2[ 's' ] 2[ ] ] ]`, fault.Undecodable},
		{"half an SCT", `0012 2[ 2[ 0005 aa ] ]`, fault.Undecodable},
		{"a byte behind the SCTs", `0012 2[ 2[ 2[ 's' ] ] 00 ]`, fault.Undecodable},

		{"record_size_limit of 64", `001c 2[ 0040 ]`, accepted},
		{"record_size_limit of 65535", `001c 2[ ffff ]`, accepted},
		{"record_size_limit of one byte", `001c 2[ 40 ]`, fault.Undecodable},
		{"record_size_limit of three bytes", `001c 2[ 004000 ]`, fault.Undecodable},

		{"key_share", `0033 2[ 001d 2[ aa ] ]`, fault.MisplacedExtension},
		{"pre_shared_key", `0029 2[ 0000 ]`, fault.MisplacedExtension},
		{"a cookie", `002c 2[ 2[ 'c' ] ]`, fault.MisplacedExtension},
		{"early_data", `002a 2[ ]`, fault.MisplacedExtension},
		{"signature_algorithms", `000d 2[ 2[ 0403 ] ]`, fault.MisplacedExtension},
		{"an unknown extension", `0a0a 2[ ]`, fault.UnsolicitedExtension},
		{"max_fragment_length, which is not ours", `0001 2[ 01 ]`, fault.UnsolicitedExtension},
		{"encrypt_then_mac, which is not ours", `0016 2[ ]`, fault.UnsolicitedExtension},
		{"half an extension", `0023 00`, fault.Undecodable},
		{"an extension longer than the block", `0023 0002 00`, fault.Undecodable},
		{"a block without extensions", ``, accepted},
	} {
		// The random of a retry makes no difference: without supported_versions
		// the hello is none.
		for _, random := range []string{"random", "retry"} {
			body, _ := assemble(t, `0303 `+random+` 1[ ] c02f 00 2[ `+row.block+` ]`)
			var m ServerHello
			err := m.Parse(body, everything)
			if row.want != accepted {
				expect(t, err, row.want, "a hello of TLS 1.2 (%s) with %s", random, row.story)
			} else if err != nil || m.TLS13 {
				t.Errorf("a hello of TLS 1.2 (%s) with %s is refused, or taken for one of TLS 1.3: %v", random, row.story, err)
			}
		}
	}
	for story, text := range map[string]string{
		"a session ID of 33 bytes":  `0303 random 1[ cc*33 ] c02f 00`,
		"no compression method":     `0303 random 1[ ] c02f`,
		"a byte behind the block":   `0303 random 1[ ] c02f 00 2[ ] 00`,
		"half a length":             `0303 random 1[ ] c02f 00 00`,
		"a block that is too short": `0303 random 1[ ] c02f 00 0005 aaaa`,
	} {
		body, _ := assemble(t, text)
		var m ServerHello
		expect(t, m.Parse(body, everything), fault.Undecodable, "a hello of TLS 1.2 with %s", story)
	}
}

// A value smaller than 64 is an illegal_parameter in all versions: RFC 8449,
// Section 4.
func TestAServerOfTLS12MayNotAskForTinyRecords(t *testing.T) {
	for _, limit := range []uint16{0, 1, 2, 63} {
		body, _ := assemble(t, fmt.Sprintf(`0303 random 1[ ] c02f 00 2[ 001c 2[ %04x ] ]`, limit))
		var m ServerHello
		expect(t, m.Parse(body, everything), fault.IllegalParameter, "a ServerHello of TLS 1.2 with record_size_limit %d", limit)
	}
}

// A list that lacks uncompressed has its form; it is the value that is wrong:
// RFC 8422, Sections 5.1.2 and 5.2.
func TestAServerHasToReadUncompressedPoints(t *testing.T) {
	for _, formats := range []string{`01`, `02`, `01 02`, `ff`} {
		body, _ := assemble(t, `0303 random 1[ ] c02f 00 2[ 000b 2[ 1[ `+formats+` ] ] ]`)
		var m ServerHello
		expect(t, m.Parse(body, everything), fault.IllegalParameter, "a ServerHello with the ec_point_formats %s", formats)
	}
}

// supported_versions alone decides by whose rules the hello is read, wherever
// in the block it stands.
func TestSupportedVersionsIsTheForkBetweenVersions(t *testing.T) {
	const version = `002b 2[ 0304 ]`
	for _, row := range []struct {
		story, block string
		tls13        bool
		want         fault.Reason // Internal: accepted
	}{
		{"nothing", ``, false, fault.Internal},
		{"supported_versions", version, true, fault.Internal},
		{"supported_versions behind a key share", `0033 2[ 001d 2[ aa ] ] ` + version, true, fault.Internal},
		{"supported_versions behind an extension of TLS 1.2", `0017 2[ ] ` + version, true, fault.MisplacedExtension},
		{"supported_versions before an extension of TLS 1.2", version + ` 0017 2[ ]`, true, fault.MisplacedExtension},
		{"supported_versions inside another extension", `0010 2[ 002b 2[ 0304 ] ]`, false, fault.Undecodable},
		{"supported_versions behind half an extension", `0017 0009 ` + version, false, fault.Undecodable},
		{"the extension of its neighbour's code", `002a 2[ 0304 ]`, false, fault.MisplacedExtension},
		// What it says is the caller's to judge.
		{"a supported_versions of TLS 1.2", `002b 2[ 0303 ]`, true, fault.Internal},
	} {
		body, _ := assemble(t, `0303 random 1[ ] c02f 00 2[ `+row.block+` ]`)
		var m ServerHello
		err := m.Parse(body, everything)
		if row.want != fault.Internal {
			expect(t, err, row.want, "a hello with %s", row.story)
		} else if err != nil {
			t.Errorf("a hello with %s is refused: %v", row.story, err)
		}
		if m.TLS13 != row.tls13 {
			t.Errorf("a hello with %s is taken for one of TLS 1.3: %v, want %v", row.story, m.TLS13, row.tls13)
		}
	}
	body, _ := assemble(t, `0303 random 1[ ] c02f 00`)
	m := ServerHello{TLS13: true}
	if err := m.Parse(body, 0); err != nil || m.TLS13 || m.Has != 0 {
		t.Errorf("a hello without a block is read as %+v, %v", m, err)
	}
}

func TestAServerHelloOfTLS12ThatIsTooLongIsNotWritten(t *testing.T) {
	m := ServerHello{LegacyVersion: 0x0303, Random: make([]byte, 32), CipherSuite: 0xc02f, Has: Extensions(ExtSCT)}
	// Two lengths of SCTs, that of their list, and the header of the extension.
	m.SCTs = JoinSCTs([][]byte{make([]byte, 0x7ff0), make([]byte, 0xffff-0x7ff0-2*2-2-4)})
	b := m.Append(nil)
	var again ServerHello
	if b == nil || again.Parse(b[HeaderLen:], everything) != nil || len(again.SCTs) != len(m.SCTs) {
		t.Errorf("the longest list of SCTs, %d bytes, is not written", len(m.SCTs))
	}
	m.SCTs = append(m.SCTs, 0)
	if m.Append(nil) != nil {
		t.Error("SCTs that make the block too long must give nil")
	}
}
