package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/baretls/baretls"
)

// check compares what the handshake has led to with what the runner expects.
func (x *exchange) check() error {
	c, o, want := x.conn, x.opts, &x.opts.expect
	resumed := c.HandshakeKind() == baretls.HandshakeResumed || c.HandshakeKind() == baretls.HandshakeResumedWithHelloRetryRequest
	retried := c.HandshakeKind() == baretls.HandshakeFullWithHelloRetryRequest || c.HandshakeKind() == baretls.HandshakeResumedWithHelloRetryRequest
	alpn := want.alpn
	if o.server {
		alpn = o.selectALPN
	}
	for _, e := range []struct {
		asked     bool
		got, want any
		what      string
	}{
		{want.cipher != 0, int(c.NegotiatedCipherSuite()), want.cipher, "cipher suite"},
		{want.cipherAES != 0, int(c.NegotiatedCipherSuite()), want.cipherAES, "cipher suite"},
		{want.curve != 0, int(c.NegotiatedKeyExchangeGroup()), want.curve, "group"},
		{want.peerScheme != 0, int(c.PeerSignatureScheme()), want.peerScheme, "signature scheme of the peer"},
		{want.serverName != "", c.ServerName(), want.serverName, "server name"},
		{true, c.ALPNProtocol(), alpn, "application protocol"},
		{true, resumed, x.resumption && !want.sessionMiss, "resumption"},
		{want.hrr || want.noHRR, retried, want.hrr, "HelloRetryRequest"},
		{want.extendedMainSecret, extendedMainSecret(c), true, "extended_main_secret"},
		{want.verifyResult, x.memory.verifyFailed, o.verifyFail, "failure to verify the peer"},
		{want.selectedCredential != nil, x.selected, value(want.selectedCredential), "credential"},
		{want.ocspResponse != nil && !o.server, string(c.OCSPResponse()), string(want.ocspResponse), "OCSP response"},
		{want.acceptEarlyData, c.EarlyData(), baretls.EarlyDataAccepted, "early data"},
		{want.noOfferEarlyData, c.EarlyData(), baretls.EarlyDataNotOffered, "early data"},
		{want.earlyDataReason == "accept", c.EarlyData(), baretls.EarlyDataAccepted, "early data"},
		{want.earlyDataReason != "" && want.earlyDataReason != "accept", c.EarlyData() == baretls.EarlyDataAccepted, false, "acceptance of early data"},
	} {
		if e.asked && e.got != e.want {
			return fmt.Errorf("%s: got %v, want %v", e.what, e.got, e.want)
		}
	}
	if err := x.checkPeer(); err != nil {
		return err
	}
	return x.checkSessions(resumed)
}

func value(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// extendedMainSecret is what an exporter needs in TLS 1.2.
func extendedMainSecret(c *baretls.Conn) bool {
	_, err := c.ExportKeyingMaterial("EXPORTER-bogo", nil, 1)
	return !errors.Is(err, baretls.ErrExportWithoutEMS)
}

// checkPeer checks what came with the peer's certificate.
func (x *exchange) checkPeer() error {
	c, o, want := x.conn, x.opts, &x.opts.expect
	got := c.PeerCertificates()
	if want.peerCertFile != "" {
		chain, err := readChain(want.peerCertFile)
		if err != nil {
			return err
		}
		if len(got) != len(chain) {
			return fmt.Errorf("the peer's chain has %d certificates, and not %d", len(got), len(chain))
		}
		for i := range got {
			if !bytes.Equal(got[i].Raw, chain[i]) {
				return fmt.Errorf("certificate %d of the peer is another one", i)
			}
		}
	}
	if (!o.server || o.requireAny) && len(got) == 0 {
		return errors.New("the peer has no certificate")
	}
	if want.scts != nil && !slices.EqualFunc(c.SignedCertificateTimestamps(), splitSCTs(want.scts), bytes.Equal) {
		return fmt.Errorf("the SCTs are %x", c.SignedCertificateTimestamps())
	}
	return nil
}

// checkSessions checks what has become of sessions in the handshake itself,
// which is where TLS 1.2 has them.
func (x *exchange) checkSessions(resumed bool) error {
	c, o, want := x.conn, x.opts, &x.opts.expect
	if o.server || c.ProtocolVersion() != tls.VersionTLS12 {
		return nil
	}
	if resumed {
		if renewed := c.TicketsReceived() > 0; renewed != want.ticketRenewal {
			return fmt.Errorf("renewal of the ticket: got %v, want %v", renewed, want.ticketRenewal)
		}
	} else if kept := x.memory.put > 0; kept == want.noSession {
		return fmt.Errorf("a session that is kept: got %v, want %v", kept, !want.noSession)
	}
	return nil
}

// finish checks what can be said at the end of a connection only.
func (x *exchange) finish() error {
	c, o, want := x.conn, x.opts, &x.opts.expect
	if !x.checked {
		return errors.New("the handshake is not complete")
	}
	if o.server || c.ProtocolVersion() != tls.VersionTLS13 {
		return nil
	}
	if o.shimShutsDown {
		return nil // tickets may have come in time or not
	}
	if kept := x.memory.put > 0; kept == want.noSession {
		return fmt.Errorf("a session that is kept: got %v, want %v", kept, !want.noSession)
	}
	if !want.noSession {
		if early := x.memory.session.MaxEarlyData() > 0; early != want.ticketSupportsEarlyData {
			return fmt.Errorf("early data by the new session: got %v, want %v", early, want.ticketSupportsEarlyData)
		}
	}
	return nil
}
