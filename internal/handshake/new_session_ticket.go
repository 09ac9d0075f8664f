package handshake

import (
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// newSessionTicket reads a ticket. "Clients which receive a NewSessionTicket
// message but do not support resumption MUST silently ignore this message"
// (RFC 9846, Section 4.7.1); it must be well-formed all the same.
func (c *Client) newSessionTicket(m message) (state, error) {
	var t wire.NewSessionTicket
	if err := t.Parse(m.body()); err != nil {
		return 0, err
	}
	if t.Lifetime > maxTicketLifetime {
		return 0, fault.IllegalParameter.With("ticket_lifetime of %d seconds", t.Lifetime)
	}
	return clientConnected, nil
}

// maxTicketLifetime is seven days, in seconds.
const maxTicketLifetime = 604800
