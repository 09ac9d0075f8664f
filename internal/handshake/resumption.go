package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/tls"
	"slices"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/wire"
)

// pskDHE is psk_dhe_ke, the one PskKeyExchangeMode that is used: resumption
// always comes with a fresh key exchange (RFC 9846, Section 4.3.9).
const pskDHE = 1

// ClientSessions is where a client keeps its sessions: Appendix C.4.
type ClientSessions interface {
	Put(serverName string, s *Session)
	Take(serverName string) *Session // removes it: a ticket is used once
}

// offerSession adds the PSK of a stored session to the first hello: Section
// 4.3.11.
func (c *Client) offerSession() {
	if c.policy.TLS13 {
		c.hello.Has = c.hello.Has.With(wire.ExtPSKKeyExchangeModes)
		c.hello.PSKKeyExchangeModes = []byte{pskDHE}
		if n := c.policy.TicketRequest; n != [2]uint8{} {
			c.hello.Has = c.hello.Has.With(wire.ExtTicketRequest)
			c.hello.TicketRequest = n
		}
	}
	if c.policy.TLS12 {
		c.hello.Has = c.hello.Has.With(wire.ExtSessionTicket)
	}
	s := c.policy.Sessions.Take(c.Facts.ServerName)
	if s == nil {
		return
	}
	if !c.sessionFits(s) {
		s.Clear()
		return
	}
	c.session = s
	if s.Version == tls.VersionTLS12 {
		// By ticket, or by ID. A ticket is known to have been taken by the
		// random session ID, which then comes back (RFC 5077, Section 3.4).
		c.hello.SessionTicket, c.hello.SessionID = s.Ticket, c.sessionID[:]
		if len(s.Ticket) == 0 {
			c.hello.SessionID = s.SessionID
		}
		return
	}
	c.hello.Has = c.hello.Has.With(wire.ExtPreSharedKey)
	c.offerEarlyData()
}

// sessionFits decides what the store cannot: whether the session is still good
// and the hello can lead back to it.
func (c *Client) sessionFits(s *Session) bool {
	suite := algo.SuiteByID(s.Suite)
	if !s.Usable(c.policy.Now()) || s.Lifetime == 0 || len(s.PSK) != secretLen(suite) ||
		s.ServerName != c.Facts.ServerName || len(s.PeerChain) == 0 {
		return false
	}
	switch {
	case s.Version == tls.VersionTLS12:
		if !c.policy.TLS12 || c.policy.suite(s.Suite) == nil || c.policy.RequireEMS && !s.EMS {
			return false
		}
	case !c.policy.TLS13 || !slices.ContainsFunc(c.policy.Suites, func(o *algo.Suite) bool {
		return o.Version == tls.VersionTLS13 && o.Hash == suite.Hash
	}):
		return false
	}
	return c.judgeAgain(s) == nil
}

// setPSK fills pre_shared_key with the session's ticket and a binder of zeros,
// which binders then replaces.
func (c *Client) setPSK() {
	// "the age in milliseconds and adding the ticket_age_add value": Section 4.3.11.1.
	age := uint32(c.policy.Now().Sub(c.session.Created).Milliseconds()) + c.session.AgeAdd
	var zeros [48]byte
	c.hello.PreSharedKey.Identities = wire.AppendPSKIdentity(nil, c.session.Ticket, age)
	c.hello.PreSharedKey.Binders = wire.AppendPSKBinder(nil, zeros[:len(c.session.PSK)])
}

// sealBinder replaces the zeros at the end of the hello by the binder: Section
// 4.3.11.2. The transcript holds what came before the hello.
func (c *Client) sealBinder(hello []byte) {
	suite := algo.SuiteByID(c.session.Suite)
	kdf := c.policy.takeKDF(suite)
	defer c.policy.giveKDF(kdf)
	truncated := hello[:len(hello)-2-1-len(c.session.PSK)]
	var first keyschedule.Transcript
	transcript := &c.transcript
	if !transcript.Started() {
		first.Start(kdf)
		transcript = &first
	}
	c.early = kdf.EarlySecret(c.session.PSK)
	binderKey := c.early.Binder(kdf, false)
	binderKey.MAC(kdf, hello[:len(hello)-len(c.session.PSK)], transcript.SumWith(truncated))
	binderKey.Clear()
}

// dropSession withdraws the PSK, and the early data that would go with it.
func (c *Client) dropSession() {
	c.hello.Has = c.hello.Has.Without(wire.ExtPreSharedKey).Without(wire.ExtEarlyData)
	if c.Facts.EarlyData == EarlyDataOffered {
		c.Facts.EarlyData, c.earlyLeft = EarlyDataNone, 0
	}
	c.hello.SessionTicket = nil
	c.session.Clear()
	c.session = nil
	c.early.Clear()
}

// resume takes the server's choice of the PSK.
func (c *Client) resume(h *wire.ServerHello) error {
	if h.SelectedIdentity != 0 {
		return fault.IllegalParameter.With("the server selected PSK %d of one", h.SelectedIdentity)
	}
	s := c.session
	if c.suite().Hash != algo.SuiteByID(s.Suite).Hash {
		return fault.IllegalParameter.With("cipher suite %s does not go with the PSK", c.suite().Name)
	}
	c.resumed = true
	c.Facts.Kind = c.Facts.Kind.resumed()
	return nil
}

// recognize takes what the session knows of the server, which has proved to know
// its secret.
func (c *Client) recognize() {
	c.Facts.Peer, c.Facts.PeerScheme = c.session.peer, c.session.Scheme
}

// Tickets is how a server turns a session into a ticket and back.
type Tickets interface {
	// Issue returns the ticket of an encoded session, or an error if there can
	// be none now: then the client gets none. The caller clears the session
	// afterwards, as it does after Keep.
	Issue(session []byte, expires time.Time) ([]byte, error)
	// Redeem returns the session of a ticket, or nil if there is none. It does
	// not use the ticket up: whoever sees it can offer it.
	Redeem(ticket []byte) []byte
	// Stateful reports whether tickets are names in a store. Then a ticket can
	// be Removed but once, and the store can Keep a session under the session ID
	// of TLS 1.2.
	Stateful() bool
	Remove(ticket []byte) bool
	Keep(id, session []byte, expires time.Time)
}

// maxIdentities is how many of the client's PSKs a server looks at.
const maxIdentities = 4

// mayResume reports whether there is a PSK to look at.
func (s *Server) mayResume(h *wire.ClientHello) bool {
	return s.policy.Tickets != nil && h.Has.Has(wire.ExtPreSharedKey) && slices.Contains(h.PSKKeyExchangeModes, pskDHE)
}

// chooseSession looks for a PSK that can be resumed. "Any unknown PSKs …
// SHOULD simply be ignored"; the binder of the chosen one must be right.
func (s *Server) chooseSession(h *wire.ClientHello, ch *choice, m message, then func() (state, error)) (state, error) {
	var offers []psk
	for ticket, age := range h.PreSharedKey.Identities.All() {
		if offers = append(offers, psk{ticket, age}); len(offers) == maxIdentities {
			break
		}
	}
	return s.tryPSK(offers, 0, ch.suite, func() (state, error) {
		if s.session == nil {
			return then()
		}
		// Who has not proved to be its owner does not use a session up.
		if err := s.checkBinder(h, m); err != nil {
			return 0, err
		}
		return s.remove(offers[s.sessionIndex].ticket, func(removed bool) (state, error) {
			if !removed { // by another connection, meanwhile
				s.session.Clear()
				s.early.Clear()
				s.session = nil
			}
			return then()
		})
	})
}

// psk is an identity that a client offers.
type psk struct {
	ticket []byte
	age    uint32 // obfuscated
}

// tryPSK takes the i-th PSK if it can be resumed, or goes on with the next.
func (s *Server) tryPSK(offers []psk, i int, suite *algo.Suite, then func() (state, error)) (state, error) {
	if i == len(offers) {
		return then()
	}
	return s.redeem(offers[i].ticket, tls.VersionTLS13, func(encoded []byte) (state, error) {
		session := s.sessionOf(encoded, tls.VersionTLS13, func(of *algo.Suite) bool { return of.Hash == suite.Hash })
		if session == nil {
			return s.tryPSK(offers, i+1, suite, then)
		}
		return s.judgeAgain(session, func(ok bool) (state, error) {
			if !ok {
				return s.tryPSK(offers, i+1, suite, then)
			}
			s.session, s.sessionIndex = session, i
			s.sessionAge = time.Duration(offers[i].age-session.AgeAdd) * time.Millisecond
			return then()
		})
	})
}

// sessionOf decodes a session if it was made under a policy like the present
// one, and is good for this connection. There may be none.
func (s *Server) sessionOf(encoded []byte, version uint16, fits func(*algo.Suite) bool) *Session {
	if encoded == nil {
		return nil
	}
	session, err := ParseSession(encoded)
	if err != nil {
		return nil
	}
	if !session.Usable(s.policy.Now()) || session.ServerName != s.Facts.ServerName || session.Policy != s.policy.Digest ||
		session.Version != version || !fits(algo.SuiteByID(session.Suite)) {
		session.Clear()
		return nil
	}
	return session
}

// checkBinder computes the binder of the chosen PSK: Section 4.3.11.2.
func (s *Server) checkBinder(h *wire.ClientHello, m message) error {
	i := 0
	for binder := range h.PreSharedKey.Binders.All() {
		if i < s.sessionIndex {
			i++
			continue
		}
		truncated := m.raw[:len(m.raw)-h.BindersLen]
		var want [64]byte
		s.early = s.kdf.EarlySecret(s.session.PSK)
		binderKey := s.early.Binder(s.kdf, false)
		mac := binderKey.MAC(s.kdf, want[:0], s.transcript.SumWith(truncated))
		binderKey.Clear()
		if !hmac.Equal(binder, mac) {
			return fault.BadBinder
		}
		s.binder = [32]byte(mac)
		return nil
	}
	return fault.BadBinder
}

// resume takes over what the session knows of the client.
func (s *Server) resume() {
	s.Facts.Kind = s.Facts.Kind.resumed()
	if s.session.peer != nil {
		s.Facts.Peer = s.session.peer
	}
	s.Facts.PeerScheme = s.session.Scheme
	if len(s.session.AppData) > 0 {
		peer := *s.Facts.Peer
		peer.appData = bytes.Clone(s.session.AppData)
		s.Facts.Peer = &peer
	}
}

// newSession is the common part of a session that the connection can leave
// behind; its PSK comes with the ticket.
func (c *Core) newSession(now time.Time) *Session {
	s := &Session{
		Version:    c.Facts.Version,
		Suite:      c.suite().ID,
		Group:      c.Facts.Group,
		Scheme:     c.Facts.PeerScheme,
		Created:    now.Round(0), // the wall clock: a suspended machine's tickets grow old
		Origin:     time.UnixMilli(c.origin),
		ServerName: c.Facts.ServerName,
		ALPN:       c.ALPN(),
		PSK:        make([]byte, secretLen(c.suite())),
		peer:       c.Facts.Peer,
	}
	for _, cert := range c.Facts.PeerCertificates {
		s.PeerChain = append(s.PeerChain, cert.Raw)
	}
	return s
}
