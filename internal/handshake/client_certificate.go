package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// requestCertificate asks the client for a certificate, if the policy wants
// one: RFC 9846, Section 4.4.2.
func (s *Server) requestCertificate() {
	if s.policy.ClientAuth == tls.NoClientCert {
		return
	}
	s.certRequested = true
	cr := wire.CertificateRequest{
		Has:                 1 << wire.ExtSignatureAlgorithms,
		SignatureAlgorithms: s.policy.schemes,
	}
	if len(s.policy.Authorities) > 0 {
		cr.Has = cr.Has.With(wire.ExtCertificateAuthorities)
		cr.CertificateAuthorities = s.policy.Authorities
	}
	b := s.Out.Buffer()
	s.send(cr.Append(b), len(b))
}

// chooseCredential picks what to answer a CertificateRequest with: Section
// 4.5.1.2. That may be nothing.
func (c *Client) chooseCredential(cr *wire.CertificateRequest, fits func(*Credential) *algo.Scheme, then func() (state, error)) (state, error) {
	use := func(credential *Credential) (state, error) {
		if credential != nil {
			if scheme := fits(credential); scheme != nil {
				c.credential, c.scheme = credential, scheme
			}
		}
		return then()
	}
	switch {
	case c.asks(AskCertificate):
		return c.ask(&RequestQuestion{Request: cr, Asks: c.policy.Asks, then: use})
	case c.policy.Pick != nil:
		credential, err := c.policy.Pick(cr)
		if err != nil {
			return 0, fault.Internal.By(err)
		}
		return use(credential)
	}
	offered := cr.SignatureAlgorithms // Section 4.3.3
	if cr.Has.Has(wire.ExtSignatureAlgorithmsCert) {
		offered = cr.SignatureAlgorithmsCert
	}
	var first *Credential
	for _, credential := range c.policy.Credentials {
		switch {
		case !credential.issuedBy(cr.CertificateAuthorities) || fits(credential) == nil:
		case credential.verifiable(offered):
			return use(credential)
		case first == nil:
			first = credential
		}
	}
	return use(first)
}

// issuedBy reports whether one of the chain's certificates was issued by an
// authority on the list, which may be empty.
func (c *Credential) issuedBy(authorities wire.Authorities) bool {
	if len(authorities) == 0 {
		return true
	}
	for i, der := range c.Chain {
		cert := c.Leaf
		if i > 0 {
			var err error
			if cert, err = x509.ParseCertificate(der); err != nil {
				return false
			}
		}
		for name := range authorities.All() {
			if bytes.Equal(name, cert.RawIssuer) {
				return true
			}
		}
	}
	return false
}

// sendClientCertificate answers the request: with a certificate and the proof
// of its key, or with "a Certificate message containing no certificates".
func (c *Client) sendClientCertificate(then func() (state, error)) (state, error) {
	if !c.certRequested {
		return then()
	}
	b := c.Out.Buffer()
	if c.credential == nil {
		c.send(wire.AppendCertificate(b, nil, nil, nil, nil), len(b))
		return then()
	}
	c.send(wire.AppendCertificate(b, nil, c.credential.Chain, nil, nil), len(b))
	return c.sendCertificateVerify(c.credential, c.scheme, clientContext, then)
}

// certificate takes the client's certificates, or the news that it has none.
func (s *Server) certificate(m message) (state, error) {
	var cert wire.Certificate
	if err := cert.Parse(m.body(), 0); err != nil {
		return 0, err
	}
	if len(cert.Context) != 0 {
		return 0, fault.IllegalParameter.With("certificate_request_context is not the one of the request")
	}
	if err := s.peer.parse(cert.Entries()); err != nil {
		return 0, err
	}
	s.transcript.Add(m.raw)
	return s.judgeClient(fault.CertificateRequired, serverWaitCV, serverWaitFinished)
}

// judgeClient applies the server's policy to the client's certificates, and
// goes on to one state if there are some and to another if there are none.
func (s *Server) judgeClient(required fault.Reason, some, none state) (state, error) {
	if len(s.peer.certs) == 0 {
		if s.requiresCertificate() {
			return 0, required
		}
		return none, nil
	}
	v := s.peer.verification(s.Facts.ServerName, s.policy.Now())
	return s.judge(&s.policy.Judge, &v, s.clientOptions(&v), false, func(err error) (state, error) {
		if err != nil {
			return 0, err
		}
		s.peer.shown = v.peer().like(nil)
		return some, nil
	})
}

func (s *Server) requiresCertificate() bool {
	return s.policy.ClientAuth == tls.RequireAnyClientCert || s.policy.ClientAuth == tls.RequireAndVerifyClientCert
}

// clientOptions are those of the default verification, or nil if the policy
// has none.
func (s *Server) clientOptions(v *Verification) *x509.VerifyOptions {
	if s.policy.ClientAuth < tls.VerifyClientCertIfGiven {
		return nil
	}
	return &x509.VerifyOptions{
		Roots:       s.policy.ClientCAs,
		CurrentTime: v.Time,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// certificateVerify is the client's proof: Section 4.5.2.
func (s *Server) certificateVerify(m message) (state, error) {
	if err := s.checkSignature(&s.peer, s.policy.schemes, clientContext, m); err != nil {
		return 0, err
	}
	s.transcript.Add(m.raw)
	s.Facts.Peer = s.peer.shown
	return serverWaitFinished, nil
}

// judgeAgain decides whether the client that a session is with would be
// accepted today: by this policy and its authorities, not by those that the
// session was made under (CVE-2025-68121). A client that would not be, or has to
// prove itself first, gets a full handshake; one that is refused with an alert
// gets that.
func (s *Server) judgeAgain(session *Session, then func(ok bool) (state, error)) (state, error) {
	decided := func(ok bool) (state, error) {
		if !ok {
			session.Clear()
		}
		s.candidate = nil
		return then(ok)
	}
	if len(session.PeerChain) == 0 {
		return decided(!s.requiresCertificate())
	}
	certs, err := session.certificates()
	if err != nil || s.policy.ClientAuth == tls.NoClientCert {
		return decided(false)
	}
	s.candidate = session
	v := (&chain{certs: certs}).verification(s.Facts.ServerName, s.policy.Now())
	return s.judge(&s.policy.Judge, &v, s.clientOptions(&v), true, func(err error) (state, error) {
		if _, ok := err.(*fault.Chosen); ok {
			return 0, err
		}
		session.peer = v.peer().like(session.peer)
		return decided(err == nil)
	})
}
