package handshake

import (
	"bytes"
	"crypto/tls"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/wire"
)

// parseServerHello checks what a ServerHello and a HelloRetryRequest have in
// common, in the order of RFC 9846, Section 4.2.3, and starts the transcript.
func (c *Client) parseServerHello(h *wire.ServerHello, m message) error {
	err := h.Parse(m.body(), c.hello.Has)
	if !h.TLS13 && fault.Of(err) != fault.Undecodable {
		// Extensions of an older version are not worth an opinion before it is
		// certain that there will be one.
		if err := c.checkOldVersion(h); err != nil {
			return err
		}
	}
	if err != nil || !h.TLS13 {
		return err
	}
	if c.helloRequests > 0 { // there is none in TLS 1.3
		return fault.UnexpectedMessage.With("HelloRequest before a hello of TLS 1.3")
	}
	// "a version not offered by the client or … prior to TLS 1.3"
	if h.SupportedVersion != tls.VersionTLS13 || !c.policy.TLS13 {
		return fault.IllegalParameter.With("the server chose version %#04x by supported_versions", h.SupportedVersion)
	}
	if h.LegacyVersion != tls.VersionTLS12 {
		return fault.UnsupportedVersion.With("legacy_version %#04x", h.LegacyVersion)
	}
	if !bytes.Equal(h.SessionID, c.hello.SessionID) {
		return fault.IllegalParameter.With("legacy_session_id_echo differs from legacy_session_id")
	}
	if h.CompressionMethod != 0 {
		return fault.IllegalParameter.With("compression method %d", h.CompressionMethod)
	}
	suite := c.policy.suiteOf(tls.VersionTLS13, h.CipherSuite)
	if suite == nil || !c.hello.CipherSuites.Contains(h.CipherSuite) {
		return fault.IllegalParameter.With("the server chose cipher suite %#04x, which was not offered", h.CipherSuite)
	}
	if c.retried != nil && suite.ID != c.retried.ID {
		return fault.IllegalParameter.With("the server changed the cipher suite after HelloRetryRequest")
	}
	c.Facts.Version, c.TakesWarnings = h.SupportedVersion, false
	c.Out.Initial = false
	if !c.transcript.Started() {
		c.start(suite)
		c.transcript.Add(c.firstHello)
		c.firstHello = nil
	}
	return nil
}

// The last eight bytes of ServerHello.random that tell of a downgrade.
const (
	downgradeTLS12 = "DOWNGRD\x01"
	downgradeTLS11 = "DOWNGRD\x00"
)

// checkOldVersion decides about a hello without supported_versions: whether it
// is a downgrade, and whether TLS 1.2 is on offer (RFC 9846, Appendix E.1).
func (c *Client) checkOldVersion(h *wire.ServerHello) error {
	tail := string(h.Random[24:])
	switch {
	case c.policy.TLS13 && h.LegacyVersion <= tls.VersionTLS12 && (tail == downgradeTLS12 || tail == downgradeTLS11):
		return fault.Downgrade
	case c.retried != nil: // Section 4.2.4: the version of the retry MUST be retained
		return fault.IllegalParameter.With("the server changed the version to %#04x after HelloRetryRequest", h.LegacyVersion)
	case !c.policy.TLS12 || h.LegacyVersion != tls.VersionTLS12:
		return fault.UnsupportedVersion.With("the server chose %#04x", h.LegacyVersion)
	}
	return nil
}

func (c *Client) serverHello(m message) (state, error) {
	var h wire.ServerHello
	if err := c.parseServerHello(&h, m); err != nil {
		return 0, err
	}
	if !h.TLS13 {
		return c.serverHello12(&h, m)
	}
	if !h.Has.Has(wire.ExtKeyShare) {
		if h.Has.Has(wire.ExtPreSharedKey) { // Section 4.3.11: psk_ke was not offered
			return 0, fault.IllegalParameter.With("pre_shared_key without key_share")
		}
		return 0, fault.MissingExtension.With("ServerHello without key_share")
	}
	id := tls.CurveID(h.KeyShareGroup)
	share := c.share(id)
	if share == nil {
		return 0, fault.IllegalParameter.With("the server's share is of group %v, which the hello had none of", id)
	}
	shared, err := share.Finish(h.KeyShare)
	if err != nil {
		return 0, err
	}
	c.dropShares()
	c.Facts.Group = id
	if c.Facts.Kind == KindUnknown {
		c.Facts.Kind = KindFull
	}
	if h.Has.Has(wire.ExtPreSharedKey) {
		if err := c.resume(&h); err != nil {
			return 0, err
		}
	} else {
		c.early.Clear()
	}
	c.transcript.Add(m.raw)
	if err := c.deriveHandshake(shared); err != nil {
		return 0, err
	}
	return clientWaitEE, c.setReadKeys(&c.serverHS)
}

// encryptedExtensions: Section 4.4.1.
func (c *Client) encryptedExtensions(m message) (state, error) {
	var ee wire.EncryptedExtensions
	if err := ee.Parse(m.body(), c.hello.Has); err != nil {
		return 0, err
	}
	if ee.Has.Has(wire.ExtALPN) {
		protocol := c.policy.protocol(ee.ALPN)
		if protocol == 0 {
			return 0, fault.IllegalParameter.With("the server chose application protocol %q, which was not offered", ee.ALPN)
		}
		c.Facts.protocol = protocol
	}
	if ee.Has.Has(wire.ExtRecordSizeLimit) {
		c.limitRecords(ee.RecordSizeLimit)
		c.holdRecords()
	}
	if ee.Has.Has(wire.ExtEarlyData) {
		if err := c.acceptedEarlyData(); err != nil {
			return 0, err
		}
	} else {
		c.refuseEarlyData()
	}
	c.transcript.Add(m.raw)
	if c.resumed {
		c.origin = c.session.Origin.UnixMilli()
		return c.askAgain(func() (state, error) { return clientWaitFinished, nil })
	}
	return clientWaitCertCR, nil
}

// certificateRequest: Section 4.4.2.
func (c *Client) certificateRequest(m message) (state, error) {
	var cr wire.CertificateRequest
	m = c.keep(m)
	if err := cr.Parse(m.body()); err != nil {
		return 0, err
	}
	if len(cr.Context) != 0 {
		return 0, fault.IllegalParameter.With("certificate_request_context in the handshake is not empty")
	}
	c.certRequested = true
	c.transcript.Add(m.raw)
	fits := func(credential *Credential) *algo.Scheme { return credential.scheme(cr.SignatureAlgorithms) }
	return c.chooseCredential(&cr, fits, func() (state, error) { return clientWaitCert, nil })
}

// certificate: Section 4.5.1.
func (c *Client) certificate(m message) (state, error) {
	var cert wire.Certificate
	if err := cert.Parse(m.body(), c.hello.Has); err != nil {
		return 0, err
	}
	if len(cert.Context) != 0 {
		return 0, fault.IllegalParameter.With("certificate_request_context of a server is not empty")
	}
	if err := c.parseServer(cert.Entries()); err != nil {
		return 0, err
	}
	if len(c.peer.certs) == 0 { // Section 4.5.1.3
		return 0, fault.Undecodable.With("empty server Certificate")
	}
	c.transcript.Add(m.raw)
	return c.judgeServer(func() (state, error) { return clientWaitCV, nil })
}

// certificateVerify: Section 4.5.2.
func (c *Client) certificateVerify(m message) (state, error) {
	if err := c.checkSignature(&c.peer, c.hello.SignatureAlgorithms, serverContext, m); err != nil {
		return 0, err
	}
	c.transcript.Add(m.raw)
	return clientWaitFinished, nil
}

// finished takes the server's Finished and sends the client's second flight.
func (c *Client) finished(m message) (state, error) {
	if err := c.checkFinished(&c.serverHS, m); err != nil {
		return 0, err
	}
	c.transcript.Add(m.raw)
	last := exporterSecret
	if c.policy.Sessions != nil {
		last = resumptionSecret
	}
	c.keepUpTo(last)
	var clientApp, serverApp keyschedule.TrafficSecret
	defer clientApp.Clear()
	defer serverApp.Clear()
	if err := c.deriveApplication(&clientApp, &serverApp); err != nil {
		return 0, err
	}
	c.keepSecret(writeSecret, clientApp.Bytes())
	c.keepSecret(readSecret, serverApp.Bytes())
	if err := c.setReadKeys(&serverApp); err != nil {
		return 0, err
	}
	c.endEarlyData()
	if err := c.openFlight(); err != nil {
		return 0, err
	}
	return c.sendClientCertificate(c.finish)
}

// finish ends the client's flight, and the handshake.
func (c *Client) finish() (state, error) {
	c.sendFinished(&c.clientHS)
	if c.policy.Sessions != nil {
		resumption := c.main.Resumption(c.kdf, c.transcript.Sum())
		c.keepSecret(resumptionSecret, resumption.Bytes())
		resumption.Clear()
	}
	clientApp := c.trafficSecret(writeSecret)
	defer clientApp.Clear()
	if err := c.enqueueWriteKeys(&clientApp); err != nil {
		return 0, err
	}
	if !c.resumed {
		c.Facts.Peer = c.peer.shown
		c.origin = c.policy.Now().UnixMilli()
	} else {
		c.recognize()
		c.session.Clear()
	}
	c.MayRead, c.MayWrite, c.Complete = true, true, true
	c.ends()
	c.drop()
	return clientConnected, nil
}
