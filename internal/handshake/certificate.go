package handshake

import (
	"bytes"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/wire"
)

// chain is what the peer's Certificate message says.
type chain struct {
	certs []*x509.Certificate
	key   algo.PublicKey
	ocsp  []byte
	scts  [][]byte

	known *Peer // who showed certs before, with a chain that was verified
	shown *Peer // what the verdict was about
}

// maxChain is how many certificates a peer may send. Real chains have a few, and
// each costs far more memory parsed than its bytes.
const maxChain = 100

// parse keeps the certificates of a message, which may be none.
func (ch *chain) parse(entries iter.Seq[wire.CertificateEntry]) error {
	n := 0
	for range entries {
		if n++; n > maxChain {
			return fault.CertificateUnknown.With("a chain of more than %d certificates", maxChain)
		}
	}
	for entry := range entries {
		// x509 refers to the bytes it parses, and these are the caller's.
		cert, err := x509.ParseCertificate(bytes.Clone(entry.Data))
		if err != nil {
			return fault.BadCertificate.Because(err)
		}
		if err := algo.CheckSize(cert.PublicKey); err != nil {
			return err
		}
		if len(ch.certs) == 0 {
			if !maySign(cert) {
				return fault.UnsupportedCertificate.With("the certificate's key usage is not for signatures")
			}
			if ch.key, err = algo.CertificateKey(cert); err != nil {
				return err
			}
			if err := ch.staple(entry); err != nil {
				return err
			}
		}
		ch.certs = append(ch.certs, cert)
	}
	ch.certs = slices.Clip(ch.certs)
	return nil
}

// maySign reports whether the key of an end-entity certificate is for
// signatures: RFC 9846, Section 4.5.1.2, and RFC 5246, Section 7.4.2.
func maySign(cert *x509.Certificate) bool {
	return cert.KeyUsage == 0 || cert.KeyUsage&x509.KeyUsageDigitalSignature != 0
}

// staple keeps what came with the peer's own certificate.
func (ch *chain) staple(entry wire.CertificateEntry) error {
	ch.ocsp = slices.Clip(bytes.Clone(entry.OCSPResponse))
	return ch.keepSCTs(entry.SCTs)
}

func (ch *chain) keepSCTs(list []byte) error {
	if ch.scts = wire.SplitSCTs(bytes.Clone(list)); len(ch.scts) > wire.MaxSCTs {
		return fault.IllegalParameter.With("more than %d SCTs", wire.MaxSCTs)
	}
	return nil
}

// verification is what the peer can be judged by.
func (ch *chain) verification(serverName string, now time.Time) Verification {
	return Verification{
		Certificates: ch.certs,
		ServerName:   serverName,
		OCSPResponse: ch.ocsp,
		SCTs:         ch.scts,
		Time:         now,
	}
}

// decide is the verdict about a peer: by the default verification, with opts,
// or by what stands in its place, and then by what comes after it.
func (j *Judge) decide(v *Verification, opts *x509.VerifyOptions) error {
	switch {
	case j.Instead != nil:
		if err := j.Instead(v); err != nil {
			return fault.CertificateRefused.By(err)
		}
	case opts != nil:
		if err := v.verify(*opts); err != nil {
			return err
		}
	}
	if j.After != nil {
		seen := *v // to look at, not to change
		if err := j.After(&seen); err != nil {
			return fault.CertificateRefused.By(err)
		}
	}
	return nil
}

// judge goes on with the verdict, made here or by who is asked.
func (c *Core) judge(j *Judge, v *Verification, opts *x509.VerifyOptions, resumed bool, then func(error) (state, error)) (state, error) {
	if c.asks(AskPeerCertificate) {
		return c.ask(&CertificateQuestion{
			Client: j.Client, Resumed: resumed,
			verification: v, judge: j, options: opts, then: then,
		})
	}
	return then(j.decide(v, opts))
}

// peer is what the verification has found out. It will be shared, so there is no
// room behind the chains, which crypto/x509 or an application has made.
func (v *Verification) peer() Peer {
	return Peer{PeerCertificates: v.Certificates, VerifiedChains: slices.Clip(v.VerifiedChains), OCSPResponse: v.OCSPResponse, SCTs: v.SCTs}
}

// parseServer keeps the server's certificates, parsed, or found in the cache.
func (c *Client) parseServer(entries iter.Seq[wire.CertificateEntry]) error {
	if !c.caches() {
		return c.peer.parse(entries)
	}
	c.peerKey = chainKey{serverName: c.Facts.ServerName}
	for entry := range entries {
		c.peerKey.add(entry.Data)
	}
	v := c.policy.verified.get(c.peerKey)
	if v == nil {
		return c.peer.parse(entries)
	}
	c.peer.certs, c.peer.key, c.peer.known = v.PeerCertificates, v.key, v.Peer
	for entry := range entries {
		return c.peer.staple(entry)
	}
	return nil
}

// caches reports whether verdicts may be remembered: the default ones, by
// roots that cannot change.
func (c *Client) caches() bool {
	return c.policy.Judge.Instead == nil && c.policy.Roots != nil && !c.asks(AskPeerCertificate)
}

// judgeServer applies the client's policy to the server's certificates.
func (c *Client) judgeServer(then func() (state, error)) (state, error) {
	now := c.policy.Now()
	v := &c.verdict
	if c.asks(AskPeerCertificate) { // who may look at it for longer
		v = new(Verification)
	}
	*v = c.peer.verification(c.Facts.ServerName, now)
	if known := c.peer.known; known != nil {
		v.VerifiedChains = stillValid(known.VerifiedChains, now)
	}
	var opts *x509.VerifyOptions
	if v.VerifiedChains == nil {
		opts = c.serverOptions(now)
	}
	return c.judge(&c.policy.Judge, v, opts, false, func(err error) (state, error) {
		if err != nil {
			return 0, err
		}
		c.peer.shown = v.peer().like(c.peer.known)
		if c.peer.shown != c.peer.known && c.caches() {
			c.policy.verified.put(c.peerKey, &verified{c.peer.shown, c.peer.key})
		}
		return then()
	})
}

func (c *Client) serverOptions(now time.Time) *x509.VerifyOptions {
	return &x509.VerifyOptions{Roots: c.policy.Roots, DNSName: c.Facts.ServerName, CurrentTime: now}
}

// judgeAgain decides whether a server that a session is with would be accepted
// today. The chain that was verified then need only be valid still, for the
// session is of a configuration that verifies alike. Who is to be asked is
// asked later, if the server takes the session; until then there is no early
// data.
func (c *Client) judgeAgain(s *Session) error {
	if _, err := s.certificates(); err != nil || c.asks(AskPeerCertificate) {
		return err
	}
	v, opts := c.verificationOf(s)
	err := c.policy.Judge.decide(v, opts)
	s.peer = v.peer().like(s.peer)
	return err
}

// verificationOf is what the server of a session can be judged by.
func (c *Client) verificationOf(s *Session) (*Verification, *x509.VerifyOptions) {
	now := c.policy.Now()
	v := (&chain{certs: s.peer.PeerCertificates, ocsp: s.peer.OCSPResponse, scts: s.peer.SCTs}).verification(c.Facts.ServerName, now)
	if c.policy.Judge.Instead == nil {
		if v.VerifiedChains = stillValid(s.peer.VerifiedChains, now); v.VerifiedChains != nil {
			return &v, nil
		}
	}
	return &v, c.serverOptions(now)
}

// askAgain puts the certificates of the session that is resumed to who wants
// to be asked.
func (c *Client) askAgain(then func() (state, error)) (state, error) {
	if !c.asks(AskPeerCertificate) {
		return then()
	}
	v, opts := c.verificationOf(c.session)
	return c.judge(&c.policy.Judge, v, opts, true, func(err error) (state, error) {
		if err != nil {
			return 0, err
		}
		c.session.peer = v.peer().like(c.session.peer)
		return then()
	})
}

// stillValid are the chains of which no certificate has expired: chains itself,
// if none has.
func stillValid(chains [][]*x509.Certificate, now time.Time) [][]*x509.Certificate {
	expired := func(chain []*x509.Certificate) bool {
		return slices.ContainsFunc(chain, func(cert *x509.Certificate) bool {
			return now.Before(cert.NotBefore) || now.After(cert.NotAfter)
		})
	}
	if !slices.ContainsFunc(chains, expired) {
		return chains
	}
	var valid [][]*x509.Certificate
	for _, chain := range chains {
		if !expired(chain) {
			valid = append(valid, chain)
		}
	}
	return valid
}

// verify is the default verification, crypto/x509's.
func (v *Verification) verify(opts x509.VerifyOptions) error {
	if len(v.Certificates) > 1 {
		opts.Intermediates = x509.NewCertPool()
		for _, cert := range v.Certificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
	}
	chains, err := v.Certificates[0].Verify(opts)
	if err != nil {
		reason := verdict(err)
		if reason == fault.UnknownCA && slices.ContainsFunc(v.Certificates, weaklySigned) {
			reason = fault.BadCertificate
		}
		return reason.Because(&tls.CertificateVerificationError{
			UnverifiedCertificates: v.Certificates,
			Err:                    err,
		})
	}
	v.VerifiedChains = chains
	return nil
}

// weaklySigned reports whether verification has passed over a signature because
// of its hash, MD5 or SHA-1, which is not to look like an unknown authority:
// RFC 9846, Section 4.5.1.3. Self-signed certificates are not verified by it.
func weaklySigned(cert *x509.Certificate) bool {
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return !bytes.Equal(cert.RawIssuer, cert.RawSubject)
	}
	return false
}

// verdict finds the reason, and so the alert, for an error of crypto/x509:
// RFC 9846, Sections 4.5.1.2 and 6.2.
func verdict(err error) fault.Reason {
	var (
		invalid  x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		roots    x509.SystemRootsError
	)
	switch {
	case errors.As(err, &unknown):
		return fault.UnknownCA
	case errors.As(err, &hostname):
		return fault.CertificateUnknown
	case errors.As(err, &roots):
		return fault.Internal
	case errors.As(err, &invalid):
		switch invalid.Reason {
		case x509.Expired:
			return fault.CertificateExpired
		case x509.IncompatibleUsage:
			return fault.UnsupportedCertificate
		}
	}
	return fault.BadCertificate
}

// The context strings of Section 4.5.2.
const (
	serverContext = "TLS 1.3, server CertificateVerify"
	clientContext = "TLS 1.3, client CertificateVerify"
)

// spaces, 64 of them, are what signed contents begin with.
const spaces = "                                                                "

// signedContent is what a CertificateVerify signs: the transcript reaches up
// to the Certificate. It is in memory that the next signature takes.
func (c *Core) signedContent(context string) []byte {
	b := append(c.room[:0], spaces...)
	b = append(b, context...)
	b = append(b, 0)
	return append(b, c.transcript.Sum()...)
}

// sendCertificateVerify signs the transcript up to the Certificate that was
// sent: Section 4.5.2.
func (c *Core) sendCertificateVerify(credential *Credential, scheme *algo.Scheme, context string, then func() (state, error)) (state, error) {
	return c.sign(credential, scheme, c.signedContent(context), func(signature []byte) (state, error) {
		cv := wire.CertificateVerify{Algorithm: uint16(scheme.ID), Signature: signature}
		b := c.Out.Buffer()
		c.send(cv.Append(b), len(b))
		return then()
	})
}

// checkSignature checks the peer's CertificateVerify against its certificate
// and the schemes that it was offered.
func (c *Core) checkSignature(peer *chain, offered wire.Uint16s, context string, m message) error {
	var cv wire.CertificateVerify
	if err := cv.Parse(m.body()); err != nil {
		return err
	}
	scheme := algo.SchemeByID(tls.SignatureScheme(cv.Algorithm))
	switch {
	case scheme == nil || !offered.Contains(cv.Algorithm):
		return fault.IllegalParameter.With("signature scheme %#04x was not offered", cv.Algorithm)
	case !scheme.InHandshake13():
		return fault.IllegalParameter.With("signature scheme %s in a CertificateVerify", scheme.Name)
	case !scheme.Fits(peer.key):
		return fault.IllegalParameter.With("signature scheme %s does not fit the certificate's key", scheme.Name)
	}
	c.Facts.PeerScheme = scheme.ID
	return scheme.Verify(peer.key, c.signedContent(context), cv.Signature)
}

// checkFinished checks the peer's Finished, made under its handshake traffic
// secret: Section 4.5.3.
func (c *Core) checkFinished(secret *keyschedule.TrafficSecret, m message) error {
	var f wire.Finished
	if err := f.Parse(m.body()); err != nil {
		return err
	}
	var want [64]byte
	mac := secret.Finished(c.kdf, want[:0], c.transcript.Sum())
	if len(f.VerifyData) != len(mac) {
		return fault.Undecodable.With("Finished of %d bytes", len(f.VerifyData))
	}
	if subtle.ConstantTimeCompare(f.VerifyData, mac) != 1 {
		return fault.BadFinished
	}
	return nil
}

func (c *Core) sendFinished(secret *keyschedule.TrafficSecret) {
	b := c.Out.Buffer()
	start := len(b)
	b = wire.Begin(b, wire.TypeFinished)
	b = secret.Finished(c.kdf, b, c.transcript.Sum())
	c.send(wire.End(b, start), start)
}
