package handshake

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// Tickets: RFC 9846, Section 4.7.1. How they are encrypted is not here but in
// the root package, ticket_keys.go.

// newSessionTicket keeps a ticket for the next connection. "Clients which
// receive a NewSessionTicket message but do not support resumption MUST
// silently ignore this message"; it must be well-formed all the same.
func (c *Client) newSessionTicket(m message) (state, error) {
	var t wire.NewSessionTicket
	if err := t.Parse(m.body()); err != nil {
		return 0, err
	}
	if c.idle++; c.idle > maxIdleMessages {
		return 0, fault.TooManyKeyUpdates
	}
	return clientConnected, c.KeepTicket(&t)
}

// KeepTicket stores the session of a ticket.
func (c *Client) KeepTicket(t *wire.NewSessionTicket) error {
	lifetime := time.Duration(t.Lifetime) * time.Second
	if lifetime > MaxLifetime {
		return fault.IllegalParameter.With("ticket_lifetime of %d seconds", t.Lifetime)
	}
	c.countTicket()
	if c.policy.Sessions == nil || lifetime == 0 || len(t.Ticket) > maxTicket {
		return nil
	}
	s := c.newSession(c.policy.Now())
	s.Lifetime = lifetime
	s.AgeAdd = t.AgeAdd
	s.Ticket = bytes.Clone(t.Ticket)
	s.OCSP, s.SCTs = c.Facts.OCSPResponse, c.Facts.SCTs
	if t.Has.Has(wire.ExtEarlyData) {
		s.MaxEarlyData = t.MaxEarlyDataSize
	}
	kdf := c.policy.takeKDF(c.suite())
	var resumption keyschedule.ResumptionSecret
	resumption.Load(c.keptSecret(resumptionSecret))
	resumption.PSK(kdf, t.Nonce, s.PSK)
	resumption.Clear()
	c.policy.giveKDF(kdf)
	c.policy.Sessions.Put(c.Facts.ServerName, s)
	return nil
}

// sendTickets sends as many tickets as the policy says, or fewer if the client
// asked for fewer (RFC 9149, Section 3). The transcript reaches up to the client's
// Finished.
func (s *Server) sendTickets() error {
	n := s.ticketCount
	if n == 0 || s.WriteClosed {
		return nil
	}
	resumption := s.main.Resumption(s.kdf, s.transcript.Sum())
	defer resumption.Clear()
	now := s.policy.Now()
	for i := range n {
		session := s.newSession(now)
		session.Lifetime = s.policy.TicketLifetime
		session.Policy = s.policy.Digest
		session.MaxEarlyData = s.policy.MaxEarlyData
		session.AppData = s.appData
		var ageAdd [4]byte
		if err := s.policy.random(ageAdd[:]); err != nil {
			return err
		}
		session.AgeAdd = binary.BigEndian.Uint32(ageAdd[:])
		nonce := []byte{byte(i)}
		resumption.PSK(s.kdf, nonce, session.PSK)
		encoded := session.Append(nil)
		ticket, err := s.policy.Tickets.Issue(encoded, now.Add(session.Lifetime))
		clear(encoded)
		session.Clear()
		if err != nil || len(ticket) > maxTicket {
			return nil // resumption is an offer, not a promise
		}
		t := wire.NewSessionTicket{
			Lifetime: uint32(session.Lifetime / time.Second),
			AgeAdd:   session.AgeAdd,
			Nonce:    nonce,
			Ticket:   ticket,
		}
		if session.MaxEarlyData > 0 {
			t.Has = t.Has.With(wire.ExtEarlyData)
			t.MaxEarlyDataSize = session.MaxEarlyData
		}
		s.Out.Enqueue(record.Handshake, t.Append(s.Out.Buffer()))
	}
	return nil
}

// maxTicket leaves room for the rest of the ClientHello that has to carry it.
const maxTicket = 1 << 15

// countTickets decides how many tickets there will be.
func (s *Server) countTickets(h *wire.ClientHello) {
	if s.policy.Tickets == nil || !bytes.Contains(h.PSKKeyExchangeModes, []byte{pskDHE}) {
		return
	}
	wanted, kind := s.policy.TicketCount, 0
	if s.session != nil {
		wanted, kind = 1, 1 // for the one that was used
	}
	if h.Has.Has(wire.ExtTicketRequest) {
		wanted = int(h.TicketRequest[kind])
	}
	s.ticketCount = min(wanted, s.policy.TicketCount)
}
