package wire

import (
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const fullNewSessionTicket = `00093a80 01020304 1[ 0005 ] 2[ 'ticket' ] 2[ 002a 2[ 00004000 ] ]`

func TestANewSessionTicketIsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullNewSessionTicket)
	var m NewSessionTicket
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	if m.Lifetime != 604800 || m.AgeAdd != 0x01020304 || string(m.Nonce) != "\x00\x05" || string(m.Ticket) != "ticket" ||
		m.Has != Extensions(ExtEarlyData) || m.MaxEarlyDataSize != 0x4000 {
		t.Errorf("the ticket is not what was sent: %+v", m)
	}
}

func TestPartsOfANewSessionTicket(t *testing.T) {
	const accepted = fault.Internal
	for _, row := range []struct {
		story, rest string
		want        fault.Reason
	}{
		{"an empty ticket", `2[ ] 2[ ]`, fault.Undecodable},
		{"no extensions block", `2[ 't' ]`, fault.Undecodable},
		{"early_data without a size", `2[ 't' ] 2[ 002a 2[ ] ]`, fault.Undecodable},
		{"early_data with a size of five bytes", `2[ 't' ] 2[ 002a 2[ 0000400000 ] ]`, fault.Undecodable},
		{"early_data twice", `2[ 't' ] 2[ 002a 2[ 00000000 ] 002a 2[ 00000000 ] ]`, fault.DuplicateExtension},
		{"an unknown extension", `2[ 't' ] 2[ 0a0a 2[ 'any' ] ]`, accepted},
		{"an unknown extension twice", `2[ 't' ] 2[ 0a0a 2[ ] 0a0a 2[ ] ]`, fault.DuplicateExtension},
		{"a key_share", `2[ 't' ] 2[ 0033 2[ 001d ] ]`, fault.MisplacedExtension},
		{"half an extension", `2[ 't' ] 2[ 0a0a ]`, fault.Undecodable},
	} {
		body, _ := assemble(t, `00000001 00000002 1[ ] `+row.rest)
		var m NewSessionTicket
		err := m.Parse(body)
		if row.want != accepted {
			expect(t, err, row.want, "a ticket with %s", row.story)
		} else if err != nil {
			t.Errorf("a ticket with %s is refused: %v", row.story, err)
		}
	}
}
