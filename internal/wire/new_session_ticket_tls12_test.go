package wire

import (
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

func TestANewSessionTicketOfTLS12IsReadWhole(t *testing.T) {
	for _, row := range []struct {
		text     string
		lifetime uint32
		ticket   int
	}{
		{`00001c20 2[ aa*192 ]`, 7200, 192},
		{`ffffffff 2[ aa*65535 ]`, 1<<32 - 1, 65535},
		{`00000000 2[ ]`, 0, 0}, // "it sends a zero-length ticket": RFC 5077, Section 3.3
	} {
		body, _ := assemble(t, row.text)
		var m NewSessionTicket12
		if err := m.Parse(body); err != nil || m.LifetimeHint != row.lifetime || len(m.Ticket) != row.ticket {
			t.Errorf("the ticket is not what was sent: %d seconds, %d bytes, %v; want %d and %d", m.LifetimeHint, len(m.Ticket), err, row.lifetime, row.ticket)
		}
	}
	for story, text := range map[string]string{
		"nothing":             ``,
		"a lifetime only":     `00001c20`,
		"half a ticket":       `00001c20 0010 aaaa`,
		"the form of TLS 1.3": fullNewSessionTicket,
	} {
		body, _ := assemble(t, text)
		var m NewSessionTicket12
		expect(t, m.Parse(body), fault.Undecodable, "a NewSessionTicket of TLS 1.2 with %s", story)
	}
}
