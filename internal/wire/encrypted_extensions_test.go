package wire

import (
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const fullEncryptedExtensions = `2[
	0000 2[ ]
	000a 2[ 2[ 11ec 001d ] ]
	0010 2[ 2[ 1[ 'h2' ] ] ]
	001c 2[ 4001 ]
	002a 2[ ]
	003a 2[ 02 ]
]`

func TestEncryptedExtensionsAreReadWhole(t *testing.T) {
	body, _ := assemble(t, fullEncryptedExtensions)
	offered := Extensions(ExtServerName, ExtSupportedGroups, ExtALPN, ExtRecordSizeLimit, ExtEarlyData, ExtTicketRequest)
	var m EncryptedExtensions
	if err := m.Parse(body, offered); err != nil {
		t.Fatal(err)
	}
	if m.Has != offered || string(m.ALPN) != "h2" || m.SupportedGroups.Len() != 2 || m.SupportedGroups.At(0) != 0x11ec ||
		m.RecordSizeLimit != 0x4001 || m.TicketRequest != 2 {
		t.Errorf("the message is not what was sent: %+v", m)
	}
	for e := range extensionCount {
		if offered.Has(e) {
			expect(t, m.Parse(body, offered.Without(e)), fault.UnsolicitedExtension, "%s that was not offered", e)
		}
	}
}

func TestTheEncryptedExtensionsOfRFC8448(t *testing.T) {
	message := unhex(t, `08000024 0022 000a0014 0012 001d 0017 0018 0019 0100 0101 0102 0103 0104 001c0002 4001 00000000`)
	var m EncryptedExtensions
	if err := m.Parse(message[HeaderLen:], everything); err != nil {
		t.Fatal(err)
	}
	if m.Has != Extensions(ExtSupportedGroups, ExtRecordSizeLimit, ExtServerName) || m.SupportedGroups.Len() != 9 {
		t.Errorf("the message is not read as the RFC explains it: %+v", m)
	}
}

func TestBodiesOfEncryptedExtensions(t *testing.T) {
	const accepted = fault.Internal
	for _, row := range []struct {
		story, block string
		want         fault.Reason
	}{
		{"server_name with a name", `0000 2[ 2[ 00 2[ 'a' ] ] ]`, fault.Undecodable},
		{"early_data with a size", `002a 2[ 00000000 ]`, fault.Undecodable},
		{"no protocol", `0010 2[ 2[ ] ]`, fault.Undecodable},
		{"an empty protocol", `0010 2[ 2[ 1[ ] ] ]`, fault.Undecodable},
		{"two protocols", `0010 2[ 2[ 1[ 'h2' ] 1[ 'h3' ] ] ]`, fault.Undecodable},
		{"a byte behind the protocol", `0010 2[ 2[ 1[ 'h2' ] ] 00 ]`, fault.Undecodable},
		{"no groups", `000a 2[ 2[ ] ]`, fault.Undecodable},
		{"half a group", `000a 2[ 2[ 00 ] ]`, fault.Undecodable},
		{"record_size_limit of 64", `001c 2[ 0040 ]`, accepted},
		{"record_size_limit of 63", `001c 2[ 003f ]`, fault.IllegalParameter},
		{"record_size_limit of three bytes", `001c 2[ 400100 ]`, fault.Undecodable},
		{"ticket_request of a client", `003a 2[ 0101 ]`, fault.Undecodable},
		{"ticket_request without a count", `003a 2[ ]`, fault.Undecodable},
		{"use_srtp, which is not ours", `000e 2[ 'any' ]`, accepted},
		{"a key_share", `0033 2[ 001d 2[ aa ] ]`, fault.MisplacedExtension},
		{"signature_algorithms", `000d 2[ 2[ 0403 ] ]`, fault.MisplacedExtension},
		{"ec_point_formats", `000b 2[ 1[ 00 ] ]`, fault.MisplacedExtension},
		{"an unknown extension", `0a0a 2[ ]`, fault.UnsolicitedExtension},
		{"early_data twice", `002a 2[ ] 002a 2[ ]`, fault.DuplicateExtension},
		{"half an extension", `002a 00`, fault.Undecodable},
	} {
		body, _ := assemble(t, `2[ `+row.block+` ]`)
		var m EncryptedExtensions
		err := m.Parse(body, everything)
		if row.want != accepted {
			expect(t, err, row.want, "EncryptedExtensions with %s", row.story)
		} else if err != nil {
			t.Errorf("EncryptedExtensions with %s are refused: %v", row.story, err)
		}
	}
}

func TestEncryptedExtensionsThatAreTooLongAreNotWritten(t *testing.T) {
	m := EncryptedExtensions{Has: Extensions(ExtSupportedGroups), SupportedGroups: make(Uint16s, 0xfffe)}
	if m.Append(nil) != nil {
		t.Error("a list of groups that makes the block too long must give nil")
	}
}
