//go:build !tls13only

package handshake

import (
	"bytes"
	"crypto/tls"
	"slices"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/wire"
)

// client12 is what a client of TLS 1.2 needs in addition.
type client12 struct {
	handshake12
	expectStatus bool // status_request was acknowledged
	expectTicket bool // session_ticket was

	sessionID12 []byte   // under which the server keeps the session
	ticket12    *Session // a new ticket and its lifetime, nothing more

	public []byte // our ECDHE key
	secret []byte // what it leads to with the server's
}

// forget clears the shared secret of a handshake that has failed.
func (c *client12) forget() {
	clear(c.secret)
}

// serverHello12 takes a ServerHello without supported_versions: the fork to
// TLS 1.2, after which there is no way back.
func (c *Client) serverHello12(h *wire.ServerHello, m message) (state, error) {
	if err := c.checkServerHello12(h); err != nil {
		return 0, err
	}
	c.dropShares()
	c.keepMessages = len(c.policy.Credentials) > 0 || c.policy.Pick != nil || c.asks(AskCertificate)
	c.begin12(c.policy.suite(h.CipherSuite), h.Random, true)
	c.takesCCS, c.Out.Initial = true, false
	c.add12(&c.handshake12, c.firstHello)
	c.add12(&c.handshake12, m.raw)
	c.firstHello = nil
	c.ems = h.Has.Has(wire.ExtExtendedMainSecret)
	c.expectStatus = h.Has.Has(wire.ExtStatusRequest)
	c.expectTicket = h.Has.Has(wire.ExtSessionTicket)
	if h.Has.Has(wire.ExtALPN) {
		protocol := c.policy.protocol(h.ALPN)
		if protocol == 0 {
			return 0, fault.IllegalParameter.With("the server chose application protocol %q, which was not offered", h.ALPN)
		}
		c.Facts.protocol = protocol
	}
	if h.Has.Has(wire.ExtRecordSizeLimit) {
		c.limitRecords(h.RecordSizeLimit)
		c.holdRecords()
	}
	if err := c.peer.keepSCTs(h.SCTs); err != nil {
		return 0, err
	}
	if len(h.SessionID) > 0 && bytes.Equal(h.SessionID, c.hello.SessionID) {
		return c.resume12()
	}
	c.Facts.Kind = KindFull
	c.sessionID12 = bytes.Clone(h.SessionID)
	return clientWait12Cert, nil
}

// checkServerHello12: RFC 5246, Section 7.4.1.3, and RFC 7627, Section 5.2.
func (c *Client) checkServerHello12(h *wire.ServerHello) error {
	switch {
	case c.Facts.EarlyData != EarlyDataNone:
		// "A client that attempts to send 0-RTT data MUST fail": RFC 9846, Appendix E.3.
		return fault.UnsupportedVersion.With("the server chose TLS 1.2, and early data was sent")
	case h.CompressionMethod != 0:
		return fault.IllegalParameter.With("compression method %d", h.CompressionMethod)
	case c.policy.suiteOf(tls.VersionTLS12, h.CipherSuite) == nil:
		return fault.IllegalParameter.With("the server chose cipher suite %#04x, which was not offered", h.CipherSuite)
	case len(h.RenegotiationInfo) != 0:
		return fault.BadRenegotiationInfo // RFC 5746, Section 3.4
	case c.policy.RequireEMS && !h.Has.Has(wire.ExtExtendedMainSecret):
		return fault.NoExtendedMainSecret
	}
	return nil
}

// resume12 goes on with a session: RFC 5246, Section 7.3, and RFC 5077.
func (c *Client) resume12() (state, error) {
	s := c.session
	switch {
	case s == nil || s.Version != tls.VersionTLS12:
		return 0, fault.IllegalParameter.With("the server resumes a session that was not offered")
	case s.Suite != c.suite().ID:
		return 0, fault.IllegalParameter.With("the server resumes with another cipher suite")
	case s.EMS != c.ems:
		return 0, fault.NoExtendedMainSecret.With("changed by resumption")
	}
	c.resumed = true
	c.Facts.Kind = c.Facts.Kind.resumed()
	c.origin = s.Origin.UnixMilli()
	c.secrets12().main = keyschedule.MainSecret12From(s.PSK)
	if err := c.Core.policy.logKeys(c.clientRandom[:], logged{"CLIENT_RANDOM", c.secrets12().main.Bytes()}); err != nil {
		return 0, err
	}
	if err := c.deriveKeys12(&c.handshake12); err != nil {
		return 0, err
	}
	return c.askAgain(func() (state, error) { return c.awaitFinished12(), nil })
}

// awaitFinished12 is where the server's last flight is awaited.
func (c *Client) awaitFinished12() state {
	if c.expectTicket {
		return clientWait12NST
	}
	return clientWait12CCS
}

// certificate12: RFC 5246, Section 7.4.2. The suite says what kind of key it has
// to be: RFC 8422, Section 5.3.
func (c *Client) certificate12(m message) (state, error) {
	var cert wire.Certificate12
	if err := cert.Parse(m.body()); err != nil {
		return 0, err
	}
	scts := c.peer.scts
	if err := c.parseServer(cert.Entries()); err != nil {
		return 0, err
	}
	c.peer.scts = scts
	if len(c.peer.certs) == 0 {
		return 0, fault.Undecodable.With("empty server Certificate")
	}
	if !slices.ContainsFunc(algo.SchemesFor12(c.peer.key), func(s *algo.Scheme) bool { return s.Auth() == c.suite().Auth }) {
		return 0, fault.IllegalParameter.With("the certificate's key does not go with %s", c.suite().Name)
	}
	c.add12(&c.handshake12, m.raw)
	if c.expectStatus {
		return clientWait12StatusSKE, nil
	}
	return c.judgeServer(func() (state, error) { return clientWait12SKE, nil })
}

// certificateStatus12 is the stapled response: RFC 6066, Section 8. A server
// may leave it out though it said that it would send one.
func (c *Client) certificateStatus12(m message) (state, error) {
	var status wire.CertificateStatus
	if err := status.Parse(m.body()); err != nil {
		return 0, err
	}
	c.peer.ocsp = slices.Clip(bytes.Clone(status.OCSPResponse))
	c.add12(&c.handshake12, m.raw)
	c.expectStatus = false
	return c.judgeServer(func() (state, error) { return clientWait12SKE, nil })
}

// serverKeyExchange12: RFC 8422, Section 5.4.
func (c *Client) serverKeyExchange12(m message) (state, error) {
	if c.expectStatus {
		m = c.keep(m)
		return c.judgeServer(func() (state, error) { return c.takeKeyExchange12(m) })
	}
	return c.takeKeyExchange12(m)
}

func (c *Client) takeKeyExchange12(m message) (state, error) {
	var ske wire.ServerKeyExchange
	if err := ske.Parse(m.body()); err != nil {
		return 0, err
	}
	group := algo.GroupByID(tls.CurveID(ske.Group))
	if group == nil || group.PostQuantum || !c.hello.SupportedGroups.Contains(ske.Group) {
		return 0, fault.IllegalParameter.With("the server chose group %v, which was not offered", tls.CurveID(ske.Group))
	}
	scheme, err := checkSignature12(&c.peer, c.hello.SignatureAlgorithms, ske.Algorithm, c.signedParams12(ske.Params), ske.Signature)
	if err != nil {
		return 0, err
	}
	c.Facts.PeerScheme = scheme.ID
	c.Facts.Group = group.ID
	share, err := group.Generate(c.policy.Rand)
	if err != nil {
		return 0, err
	}
	defer share.Clear()
	if c.secret, err = share.Finish(ske.Public); err != nil {
		return 0, err
	}
	c.public = share.AppendPublic(nil)
	c.add12(&c.handshake12, m.raw)
	return clientWait12CRDone, nil
}

func (c *Client) certificateRequest12(m message) (state, error) {
	var cr wire.CertificateRequest12
	m = c.keep(m)
	if err := cr.Parse(m.body()); err != nil {
		return 0, err
	}
	c.certRequested = true
	c.add12(&c.handshake12, m.raw)
	return c.chooseCredential12(&cr, func() (state, error) { return clientWait12Done, nil })
}

// chooseCredential12 is chooseCredential for TLS 1.2, which names types too.
func (c *Client) chooseCredential12(cr *wire.CertificateRequest12, then func() (state, error)) (state, error) {
	fits := func(credential *Credential) *algo.Scheme {
		for _, scheme := range credential.schemes12 {
			t := byte(wire.CertificateTypeRSASign)
			if scheme.Auth() == algo.AuthenticatedByECDSA {
				t = wire.CertificateTypeECDSASign
			}
			if cr.HasType(t) && cr.SignatureAlgorithms.Contains(uint16(scheme.ID)) {
				return scheme
			}
		}
		return nil
	}
	return c.chooseCredential(&wire.CertificateRequest{
		SignatureAlgorithms:    cr.SignatureAlgorithms,
		CertificateAuthorities: cr.CertificateAuthorities,
	}, fits, then)
}

// serverHelloDone12 sends the client's flight: RFC 5246, Section 7.3.
func (c *Client) serverHelloDone12(m message) (state, error) {
	if err := wire.ParseEmpty(wire.TypeServerHelloDone, m.body()); err != nil {
		return 0, err
	}
	c.add12(&c.handshake12, m.raw)
	if c.certRequested {
		var chain [][]byte
		if c.credential != nil {
			chain = c.credential.Chain
		}
		b := c.Out.Buffer()
		c.send12(&c.handshake12, wire.AppendCertificate12(b, chain), len(b))
	}
	cke := wire.ClientKeyExchange{Public: c.public}
	b := c.Out.Buffer()
	c.send12(&c.handshake12, cke.Append(b), len(b))
	if err := c.deriveMain12(c.secret); err != nil {
		return 0, err
	}
	if c.credential == nil {
		return c.finish12()
	}
	return c.sign(c.credential, c.scheme, c.messages, func(signature []byte) (state, error) {
		cv := wire.CertificateVerify{Algorithm: uint16(c.scheme.ID), Signature: signature}
		b := c.Out.Buffer()
		c.send12(&c.handshake12, cv.Append(b), len(b))
		return c.finish12()
	})
}

// finish12 ends the client's flight.
func (c *Client) finish12() (state, error) {
	if err := c.deriveKeys12(&c.handshake12); err != nil {
		return 0, err
	}
	c.sendFinished12(&c.handshake12)
	return c.awaitFinished12(), nil
}

// newSessionTicket12: RFC 5077, Section 3.3. It is kept once the server's
// Finished has vouched for it.
func (c *Client) newSessionTicket12(m message) (state, error) {
	var t wire.NewSessionTicket12
	if err := t.Parse(m.body()); err != nil {
		return 0, err
	}
	if len(t.Ticket) > 0 && c.policy.Sessions != nil {
		c.Facts.Tickets++
		c.ticket12 = &Session{
			Ticket:   bytes.Clone(t.Ticket),
			Lifetime: lifetime12(t.LifetimeHint),
		}
	}
	c.add12(&c.handshake12, m.raw)
	return clientWait12CCS, nil
}

// lifetime12 is how long a session is kept: "a value of zero is reserved to
// indicate that the lifetime of the ticket is unspecified".
func lifetime12(hint uint32) time.Duration {
	if hint == 0 || time.Duration(hint)*time.Second > MaxLifetime {
		return MaxLifetime
	}
	return time.Duration(hint) * time.Second
}

func (c *Client) changeCipherSpec12(message) (state, error) {
	return clientWait12Finished, c.takeCCS12(&c.handshake12)
}

func (c *Client) finished12(m message) (state, error) {
	if err := c.checkFinished12(&c.handshake12, m); err != nil {
		return 0, err
	}
	if c.resumed {
		c.recognize()
		c.sendFinished12(&c.handshake12)
	} else {
		c.Facts.Peer = c.peer.shown
		c.origin = c.policy.Now().UnixMilli()
	}
	c.keepSession12()
	c.connected12()
	c.drop()
	return clientConnected12, nil
}

// keepSession12 keeps what the connection can be resumed by: a new ticket, or
// the ID that the server gave it, or what it has itself been resumed by, which
// in TLS 1.2 is not used up.
func (c *Client) keepSession12() {
	s := c.sessionToKeep12()
	if s != nil {
		c.policy.Sessions.Put(c.Facts.ServerName, s)
	}
	if c.session != nil && c.session != s {
		c.session.Clear()
	}
}

func (c *Client) sessionToKeep12() *Session {
	var s *Session
	switch {
	case c.policy.Sessions == nil:
		return nil
	case c.ticket12 != nil:
		s = c.newSession12()
		s.Ticket, s.Lifetime = c.ticket12.Ticket, c.ticket12.Lifetime
	case c.resumed:
		return c.session
	case len(c.sessionID12) > 0:
		s = c.newSession12()
		s.SessionID, s.Lifetime = c.sessionID12, MaxLifetime
	default:
		return nil
	}
	s.OCSP, s.SCTs = c.Facts.OCSPResponse, c.Facts.SCTs
	return s
}

func (c *Client) helloRequest12(m message) (state, error) {
	if err := wire.ParseEmpty(wire.TypeHelloRequest, m.body()); err != nil {
		return 0, err
	}
	return clientConnected12, c.refuseRenegotiation()
}
