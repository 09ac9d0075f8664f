package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/baretls/baretls"
)

// asks are the questions that the connection is to be asked, and not to answer
// by itself: all of them in a test of asynchronous callbacks, and otherwise
// those that the test wants to have refused with an alert of its choice.
func (x *exchange) asks(certificates int) (ask baretls.Ask) {
	o := x.opts
	if o.async {
		ask |= baretls.AskSignature
	}
	// A client that is asked about the server's certificate offers no early data.
	if (o.async || o.verifyFail || o.failOCSP) && (o.server || !o.enableEarlyData) {
		ask |= baretls.AskPeerCertificate
	}
	switch {
	case !o.server:
		if o.failCert || o.async && certificates <= 1 {
			ask |= baretls.AskCertificate
		}
	case o.async:
		ask |= baretls.AskClientHello | baretls.AskEarlyData
	case o.failEarly || o.failDDoS || o.failCert || o.failOCSP:
		ask |= baretls.AskClientHello
	}
	return ask
}

// asked answers a question: at once, or, in a test of asynchronous callbacks,
// two turns later and from another goroutine.
func (x *exchange) asked(state baretls.State) error {
	if !x.opts.async {
		return x.answer(state)
	}
	if x.askedFor++; x.askedFor <= 2 {
		return nil // the state comes again
	}
	x.askedFor = 0
	answered := make(chan error)
	go func() { answered <- x.answer(state) }()
	return <-answered
}

// errRefused is the verdict that the runner asks for.
var errRefused = errors.New("refused as the test wants it")

// The alerts that the runner knows from BoringSSL.
const (
	alertHandshakeFailure             tls.AlertError = 40
	alertCertificateUnknown           tls.AlertError = 46
	alertInternalError                tls.AlertError = 80
	alertBadCertificateStatusResponse tls.AlertError = 113
)

func (x *exchange) answer(state baretls.State) error {
	switch state := state.(type) {
	case baretls.ClientHelloReceived:
		return x.answerHello(state)
	case baretls.SessionWanted:
		return state.Answer(x.memory.store.Get(state.Name()))
	case baretls.SessionRemovalWanted:
		return state.Answer(x.memory.store.Remove(state.Name()))
	case baretls.EarlyDataOffered:
		if fresh, err := x.memory.Fresh(state.Flight(), state.Expires()); err != nil || !fresh {
			return errors.Join(err, state.Reject())
		}
		return state.Accept()
	case baretls.SignatureWanted:
		return state.Answer(state.Sign())
	case baretls.ServerCertificateReceived:
		if alert := x.verdict(state.Verification(), state.Resumed()); alert != 0 {
			return state.Refuse(alert, errRefused)
		}
		return state.Answer(state.Verify())
	case baretls.ClientCertificateReceived:
		if alert := x.verdict(state.Verification(), state.Resumed()); alert != 0 {
			return state.Refuse(alert, errRefused)
		}
		return state.Answer(state.Verify())
	case baretls.ClientCertificateRequested:
		return x.answerRequest(state)
	}
	return fmt.Errorf("a state that nobody has asked for: %T", state)
}

// answerHello is what BoringSSL has four callbacks for.
func (x *exchange) answerHello(state baretls.ClientHelloReceived) error {
	o := x.opts
	switch {
	case o.failEarly:
		return state.Refuse(alertHandshakeFailure, errRefused)
	case o.failDDoS, o.failCert, o.failOCSP:
		return state.Refuse(alertInternalError, errRefused)
	}
	return state.Accept()
}

// verdict is the alert to refuse the peer with, or 0. As long as a verification
// is not demanded, its result is only remembered.
func (x *exchange) verdict(p baretls.PeerVerification, resumed bool) tls.AlertError {
	o := x.opts
	if !resumed && x.conn.EarlyData() != baretls.EarlyDataNotOffered && !o.server {
		o = x.retry // a full handshake rejects early data
	}
	if resumed && !o.reverifyOnResume {
		return 0
	}
	x.memory.verifyFailed = o.verifyFail
	switch {
	case o.failOCSP && !o.server:
		return alertBadCertificateStatusResponse
	case !o.verifyFail || !o.verifyPeer && !o.requireAny:
		return 0
	case o.customVerifyCallback:
		return alertCertificateUnknown
	}
	return alertHandshakeFailure
}

// judge is the verification that is configured: the verdict, if it is not asked
// for, and a look whether what the runner expects is there in time.
func (x *exchange) judge(p *baretls.PeerVerification) error {
	offering := x.conn == nil // a session, whose server is judged before there is a connection
	if x.asks(0)&baretls.AskPeerCertificate == 0 && x.verdict(*p, offering) != 0 {
		return errRefused
	}
	want := x.opts.expect.ocspResponse
	if len(want) > 0 && !x.opts.server && !bytes.Equal(p.OCSPResponse, want) {
		return errors.New("the OCSP response is not there when the certificate is verified")
	}
	return nil
}

// answerRequest answers a server's request with the one certificate that there
// is, if it goes with it.
func (x *exchange) answerRequest(state baretls.ClientCertificateRequested) error {
	if x.opts.failCert {
		return state.Answer(nil, errRefused)
	}
	certificates, err := x.certificates()
	if err != nil {
		return err
	}
	cert, err := x.lookAtRequest(state.Request(), certificates)
	return state.Answer(cert, err)
}
