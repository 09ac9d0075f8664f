//go:build !tls13only

package handshake

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"slices"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/wire"
)

// server12 is what a server of TLS 1.2 needs in addition.
type server12 struct {
	handshake12
	share       *algo.KeyShare
	issueTicket bool
	sessionID   []byte // under which the session will be kept, if it will
}

// forget clears the key of the exchange.
func (s *server12) forget() {
	if s != nil && s.share != nil {
		s.share.Clear()
		s.share = nil
	}
}

// Cipher suite values that say something else.
const (
	fallbackSCSV      = 0x5600 // RFC 7507, Section 3
	renegotiationSCSV = 0x00ff // RFC 5746, Section 3.3
)

// clientHello12 answers the hello of a client that gets TLS 1.2.
func (s *Server) clientHello12(h *wire.ClientHello, m message) (state, error) {
	if err := s.checkHello12(h); err != nil {
		return 0, err
	}
	if err := s.readServerName(h); err != nil {
		return 0, err
	}
	if err := s.chooseProtocol(h); err != nil {
		return 0, err
	}
	s.server12 = servers12.take()
	s.Facts.Version = tls.VersionTLS12
	if h.Has.Has(wire.ExtRecordSizeLimit) {
		s.limitRecords(h.RecordSizeLimit)
		s.holdRecords()
	}
	return s.chooseSession12(h, func() (state, error) {
		if s.session != nil {
			return s.resume12(h, m)
		}
		return s.flight12(h, m)
	})
}

// checkHello12: RFC 5246, Section 7.4.1.2, and RFC 7627, Section 5.2.
func (s *Server) checkHello12(h *wire.ClientHello) error {
	switch {
	case s.policy.TLS13 && h.CipherSuites.Contains(fallbackSCSV):
		return fault.InappropriateFallback
	case !slices.Contains(h.CompressionMethods, 0):
		return fault.IllegalParameter.With("no null compression method")
	case len(h.RenegotiationInfo) != 0:
		return fault.BadRenegotiationInfo // RFC 5746, Section 3.6
	case s.policy.RequireEMS && !h.Has.Has(wire.ExtExtendedMainSecret):
		return fault.NoExtendedMainSecret
	}
	return nil
}

// begin starts the connection with a ServerHello.
func (s *Server) begin(h *wire.ClientHello, m message, suite *algo.Suite, hello *wire.ServerHello) error {
	var random [32]byte
	if err := s.policy.random(random[:]); err != nil {
		return err
	}
	if s.policy.TLS13 {
		// RFC 9846, Section 4.2.3: we could have done better.
		copy(random[24:], downgradeTLS12)
	}
	s.begin12(suite, random[:], false)
	s.add12(&s.handshake12, m.raw)
	s.ems = h.Has.Has(wire.ExtExtendedMainSecret)

	hello.LegacyVersion, hello.Random, hello.CipherSuite = tls.VersionTLS12, random[:], suite.ID
	if h.Has.Has(wire.ExtRenegotiationInfo) || h.CipherSuites.Contains(renegotiationSCSV) {
		hello.Has = hello.Has.With(wire.ExtRenegotiationInfo)
	}
	if s.ems {
		hello.Has = hello.Has.With(wire.ExtExtendedMainSecret)
	}
	if s.Facts.ServerName != "" && s.session == nil {
		hello.Has = hello.Has.With(wire.ExtServerName)
	}
	if s.ALPN() != "" {
		hello.Has, hello.ALPN = hello.Has.With(wire.ExtALPN), []byte(s.ALPN())
	}
	if h.Has.Has(wire.ExtECPointFormats) && s.session == nil {
		hello.Has = hello.Has.With(wire.ExtECPointFormats)
	}
	if h.Has.Has(wire.ExtRecordSizeLimit) {
		hello.Has, hello.RecordSizeLimit = hello.Has.With(wire.ExtRecordSizeLimit), min(s.policy.RecordSizeLimit, 1<<14)
	}
	if s.issueTicket {
		hello.Has = hello.Has.With(wire.ExtSessionTicket)
	}
	b := s.Out.Buffer()
	s.send12(&s.handshake12, hello.Append(b), len(b))
	return nil
}

// flight12 sends ServerHello to ServerHelloDone.
func (s *Server) flight12(h *wire.ClientHello, m message) (state, error) {
	group := s.chooseGroup12(h)
	if group == nil {
		return 0, fault.NoCommonGroup
	}
	suite, credential, scheme, err := s.chooseSuite12(h)
	if err != nil {
		return 0, err
	}
	s.Facts.Kind = KindFull
	s.Facts.Group = group.ID
	s.keepMessages = s.policy.ClientAuth != tls.NoClientCert

	var hello wire.ServerHello
	if tickets := s.policy.Tickets; tickets != nil {
		if tickets.Stateful() {
			s.sessionID = make([]byte, 32)
			rand.Read(s.sessionID)
			hello.SessionID = s.sessionID
		} else {
			s.issueTicket = h.Has.Has(wire.ExtSessionTicket)
		}
	}
	staple := h.Has.Has(wire.ExtStatusRequest) && len(credential.OCSP) > 0
	if staple {
		hello.Has = hello.Has.With(wire.ExtStatusRequest)
	}
	if h.Has.Has(wire.ExtSCT) && len(credential.SCTs) > 0 {
		hello.Has, hello.SCTs = hello.Has.With(wire.ExtSCT), wire.JoinSCTs(credential.SCTs)
	}
	if err := s.begin(h, m, suite, &hello); err != nil {
		return 0, err
	}
	b := s.Out.Buffer()
	s.send12(&s.handshake12, wire.AppendCertificate12(b, credential.Chain), len(b))
	if staple {
		status := wire.CertificateStatus{OCSPResponse: credential.OCSP}
		b := s.Out.Buffer()
		s.send12(&s.handshake12, status.Append(b), len(b))
	}
	return s.sendServerKeyExchange12(group, credential, scheme)
}

// finishFlight12 ends the server's first flight.
func (s *Server) finishFlight12() (state, error) {
	next := serverWait12CKE
	if s.policy.ClientAuth != tls.NoClientCert {
		s.requestCertificate12()
		next = serverWait12Cert
	}
	b := s.Out.Buffer()
	s.send12(&s.handshake12, wire.AppendEmpty(b, wire.TypeServerHelloDone), len(b))
	return next, nil
}

// sendServerKeyExchange12: RFC 8422, Section 5.4.
func (s *Server) sendServerKeyExchange12(group *algo.Group, credential *Credential, scheme *algo.Scheme) (state, error) {
	share, err := group.Generate(s.policy.Rand)
	if err != nil {
		return 0, err
	}
	s.share = share
	ske := wire.ServerKeyExchange{
		Group:     uint16(group.ID),
		Public:    share.AppendPublic(nil),
		Algorithm: uint16(scheme.ID),
	}
	params := s.signedParams12(ske.AppendParams(nil))
	return s.sign(credential, scheme, params, func(signature []byte) (state, error) {
		ske.Signature = signature
		b := s.Out.Buffer()
		s.send12(&s.handshake12, ske.Append(b), len(b))
		return s.finishFlight12()
	})
}

// requestCertificate12: RFC 5246, Section 7.4.4.
func (s *Server) requestCertificate12() {
	s.certRequested = true
	cr := wire.CertificateRequest12{
		Types:                  []byte{wire.CertificateTypeECDSASign, wire.CertificateTypeRSASign},
		SignatureAlgorithms:    s.policy.schemes,
		CertificateAuthorities: s.policy.Authorities,
	}
	b := s.Out.Buffer()
	s.send12(&s.handshake12, cr.Append(b), len(b))
}

func (s *Server) chooseGroup12(h *wire.ClientHello) *algo.Group {
	for _, g := range s.policy.Groups {
		if !g.PostQuantum && (h.SupportedGroups.Contains(uint16(g.ID)) ||
			!h.Has.Has(wire.ExtSupportedGroups) && g.ID == tls.CurveP256) {
			return g
		}
	}
	return nil
}

// chooseSuite12 takes the server's first preference for which there is a
// certificate that the client can verify.
func (s *Server) chooseSuite12(h *wire.ClientHello) (*algo.Suite, *Credential, *algo.Scheme, error) {
	if !h.Has.Has(wire.ExtSignatureAlgorithms) { // RFC 9155, Section 2
		return nil, nil, nil, fault.NoCommonScheme.With("a client without signature_algorithms wants SHA-1")
	}
	var picked *Credential
	if s.policy.Pick != nil {
		var err error
		if picked, err = s.policy.Pick(h); err != nil {
			return nil, nil, nil, fault.NoCertificate.By(err)
		}
	}
	var failure error = fault.NoCommonSuite
	suites := s.suitesFor(h, tls.VersionTLS12)
	if s.prefersChaCha(h, tls.VersionTLS12) {
		slices.SortStableFunc(suites, func(a, b *algo.Suite) int { return cmp.Compare(rank(a), rank(b)) })
	}
	h = searchable(h)
	for _, suite := range suites {
		fits := func(c *Credential) *algo.Scheme { return c.scheme12(h, suite.Auth) }
		if picked != nil {
			if scheme := fits(picked); scheme != nil {
				return suite, picked, scheme, nil
			}
			failure = fault.NoCommonScheme
			continue
		}
		credential, scheme, err := s.policy.Credentials.pick(s.Facts.ServerName, chainSchemes(h), fits)
		if err == nil {
			return suite, credential, scheme, nil
		}
		failure = err
	}
	return nil, nil, nil, failure
}

// rank puts ChaCha20 first.
func rank(s *algo.Suite) int {
	if s.ChaCha {
		return 0
	}
	return 1
}

// scheme12 is the credential's first preference among those offered that goes
// with the kind of suite. The curve of its key must be among the groups: RFC
// 8422, Section 5.1.1.
func (c *Credential) scheme12(h *wire.ClientHello, auth algo.Authentication) *algo.Scheme {
	if key, ok := c.pub.Key.(*ecdsa.PublicKey); ok && h.Has.Has(wire.ExtSupportedGroups) &&
		!h.SupportedGroups.Contains(uint16(curveID(key.Curve))) {
		return nil
	}
	for _, scheme := range c.schemes12 {
		if scheme.Auth() == auth && h.SignatureAlgorithms.Contains(uint16(scheme.ID)) {
			return scheme
		}
	}
	return nil
}

func curveID(curve elliptic.Curve) tls.CurveID {
	switch curve {
	case elliptic.P256():
		return tls.CurveP256
	case elliptic.P384():
		return tls.CurveP384
	}
	return tls.CurveP521
}

// clientKeyExchange12: RFC 5246, Section 7.4.7, and RFC 8422, Section 5.7.
func (s *Server) clientKeyExchange12(m message) (state, error) {
	var cke wire.ClientKeyExchange
	if err := cke.Parse(m.body()); err != nil {
		return 0, err
	}
	shared, err := s.share.Finish(cke.Public)
	s.server12.forget()
	if err != nil {
		return 0, err
	}
	s.add12(&s.handshake12, m.raw)
	if err := s.deriveMain12(shared); err != nil {
		return 0, err
	}
	if err := s.deriveKeys12(&s.handshake12); err != nil {
		return 0, err
	}
	if len(s.peer.certs) > 0 {
		return serverWait12CV, nil
	}
	return serverWait12CCS, nil
}

// certificate12: RFC 5246, Section 7.4.6. It may be empty.
func (s *Server) certificate12(m message) (state, error) {
	var cert wire.Certificate12
	if err := cert.Parse(m.body()); err != nil {
		return 0, err
	}
	if err := s.peer.parse(cert.Entries()); err != nil {
		return 0, err
	}
	s.add12(&s.handshake12, m.raw)
	return s.judgeClient(fault.CertificateRequired12, serverWait12CKE, serverWait12CKE)
}

// certificateVerify12: RFC 5246, Section 7.4.8.
func (s *Server) certificateVerify12(m message) (state, error) {
	var cv wire.CertificateVerify
	if err := cv.Parse(m.body()); err != nil {
		return 0, err
	}
	scheme, err := checkSignature12(&s.peer, s.policy.schemes, cv.Algorithm, s.messages, cv.Signature)
	if err != nil {
		return 0, err
	}
	s.add12(&s.handshake12, m.raw)
	s.Facts.PeerScheme = scheme.ID
	s.Facts.Peer = s.peer.shown
	return serverWait12CCS, nil
}

func (s *Server) changeCipherSpec12(message) (state, error) {
	return serverWait12Finished, s.takeCCS12(&s.handshake12)
}

func (s *Server) finished12(m message) (state, error) {
	if err := s.checkFinished12(&s.handshake12, m); err != nil {
		return 0, err
	}
	if s.session == nil {
		s.origin = s.policy.Now().UnixMilli()
		if err := s.sendTicket12(); err != nil {
			return 0, err
		}
		s.sendFinished12(&s.handshake12)
	}
	s.keepSession12()
	s.connected12()
	s.drop()
	return serverConnected12, nil
}

// chooseSession12 looks for a session to resume: by ticket, or by ID.
func (s *Server) chooseSession12(h *wire.ClientHello, then func() (state, error)) (state, error) {
	tickets := s.policy.Tickets
	if tickets == nil {
		return then()
	}
	ticket := h.SessionTicket
	if tickets.Stateful() {
		if len(ticket) > 0 { // then the ID names no session: RFC 5077, Section 3.4
			return then()
		}
		ticket = h.SessionID
	}
	if len(ticket) == 0 {
		return then()
	}
	return s.redeem(ticket, tls.VersionTLS12, func(encoded []byte) (state, error) {
		session := s.sessionOf(encoded, tls.VersionTLS12, func(of *algo.Suite) bool {
			return s.policy.suite(of.ID) != nil && h.CipherSuites.Contains(of.ID)
		})
		if session == nil {
			return then()
		}
		return s.judgeAgain(session, func(ok bool) (state, error) {
			// RFC 7627, Section 5.3.
			ems := h.Has.Has(wire.ExtExtendedMainSecret)
			if ok && session.EMS && !ems {
				return 0, fault.NoExtendedMainSecret.With("the session to be resumed has it")
			}
			if ok && session.EMS == ems {
				s.session = session
			} else {
				session.Clear()
			}
			return then()
		})
	})
}

// resume12 is the abbreviated handshake: the server finishes first.
func (s *Server) resume12(h *wire.ClientHello, m message) (state, error) {
	session := s.session
	var hello wire.ServerHello
	if s.policy.Tickets.Stateful() {
		hello.SessionID, s.sessionID = h.SessionID, slices.Clone(h.SessionID)
	} else {
		// "it MUST respond with the same Session ID" (RFC 5077, Section 3.4).
		hello.SessionID = h.SessionID
		s.issueTicket = h.Has.Has(wire.ExtSessionTicket)
	}
	if err := s.begin(h, m, s.policy.suite(session.Suite), &hello); err != nil {
		return 0, err
	}
	s.resume()
	s.origin = session.Origin.UnixMilli()
	s.secrets12().main = keyschedule.MainSecret12From(session.PSK)
	session.Clear()
	if err := s.Core.policy.logKeys(s.clientRandom[:], logged{"CLIENT_RANDOM", s.secrets12().main.Bytes()}); err != nil {
		return 0, err
	}
	if err := s.deriveKeys12(&s.handshake12); err != nil {
		return 0, err
	}
	if err := s.sendTicket12(); err != nil {
		return 0, err
	}
	s.sendFinished12(&s.handshake12)
	return serverWait12CCS, nil
}

// sendTicket12 sends the ticket that the ServerHello has promised, which may
// turn out to be empty: RFC 5077, Section 3.3.
func (s *Server) sendTicket12() error {
	if !s.issueTicket {
		return nil
	}
	session := s.sessionOf12()
	encoded := session.Append(nil)
	ticket, err := s.policy.Tickets.Issue(encoded, session.Created.Add(session.Lifetime))
	clear(encoded)
	session.Clear()
	if err != nil || len(ticket) > maxTicket {
		ticket = nil
	}
	t := wire.NewSessionTicket12{LifetimeHint: uint32(session.Lifetime.Seconds()), Ticket: ticket}
	b := s.Out.Buffer()
	s.send12(&s.handshake12, t.Append(b), len(b))
	return nil
}

// keepSession12 keeps the session under its ID.
func (s *Server) keepSession12() {
	if len(s.sessionID) > 0 {
		session := s.sessionOf12()
		encoded := session.Append(nil)
		s.policy.Tickets.Keep(s.sessionID, encoded, session.Created.Add(session.Lifetime))
		clear(encoded)
		session.Clear()
	}
}

func (s *Server) sessionOf12() *Session {
	session := s.newSession12()
	session.Lifetime = s.policy.TicketLifetime
	session.Policy = s.policy.Digest
	session.AppData = s.appData
	return session
}

func (s *Server) renegotiation12(message) (state, error) {
	return serverConnected12, s.refuseRenegotiation()
}
