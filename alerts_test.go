package baretls_test

import (
	"crypto/tls"
	"errors"
	"slices"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// "All alerts defined below in this section, as well as all unknown alerts,
// are universally considered fatal as of TLS 1.3" (Section 6.2): each of them,
// in every phase, whatever its level. There is no answer to them. In TLS 1.2
// those with the level of a warning are no end (RFC 5246, Section 7.2), and
// neither are they to a client that does not know its version yet.
func TestAlertsOfThePeerEndTheConnection(t *testing.T) {
	descriptions := []tls.AlertError{
		unexpectedMessage, badRecordMAC, recordOverflow, handshakeFailure, badCertificate, 44, certificateExpired,
		illegalParameter, unknownCA, decodeError, 51, protocolVersion, 71, internalError, 86, 100, 109, 110, 112, 113,
		115, 116, 117, noApplicationProtocol, 1, 200, 255,
	}
	for _, description := range descriptions {
		for _, level := range []byte{1, 2, 0, 255} {
			phases(t, func(t *testing.T, ph phase) {
				ph.victim.take()
				if level == 1 && (ph.tls12 && !ph.first || ph.first && ph.victim.role == "client") {
					ph.victim.give(ph.forger.seal(alert, []byte{level, byte(description)}, 0))
					ph.victim.turns()
					ph.victim.wantAlive()
					if len(ph.victim.sent) != 0 {
						t.Errorf("the %s answers a warning", ph.victim.role)
					}
					return
				}
				ph.victim.give(ph.forger.seal(alert, []byte{level, byte(description)}, 0), []byte("behind"))
				ph.victim.turns()
				ph.victim.wantAlerted(description)
				wantSilence(t, ph.victim)
			})
			if t.Failed() {
				t.Fatalf("the alert was %d with level %d", description, level)
			}
		}
	}
}

// A function of the configuration says which alert its error is, if it wants to.
func TestCallbacksChooseTheAlert(t *testing.T) {
	type configs struct {
		client *baretls.ClientConfig
		server *baretls.ServerConfig
	}
	for _, callback := range []struct {
		name, victim string
		usual        tls.AlertError
		set          func(c configs, err error)
	}{
		{"CustomVerify of a client", "client", badCertificate, func(c configs, err error) {
			c.client.CustomVerify = func(*baretls.PeerVerification) error { return err }
		}},
		{"VerifyPeer of a client", "client", badCertificate, func(c configs, err error) {
			c.client.VerifyPeer = func(*baretls.PeerVerification) error { return err }
		}},
		{"CustomVerify of a server", "server", badCertificate, func(c configs, err error) {
			c.server.CustomVerify = func(*baretls.PeerVerification) error { return err }
		}},
		{"VerifyPeer of a server", "server", badCertificate, func(c configs, err error) {
			c.server.VerifyPeer = func(*baretls.PeerVerification) error { return err }
		}},
		{"GetCertificate", "server", handshakeFailure, func(c configs, err error) {
			c.server.GetCertificate = func(*baretls.ClientHello) (*tls.Certificate, error) { return nil, err }
		}},
		{"GetClientCertificate", "client", internalError, func(c configs, err error) {
			c.client.GetClientCertificate = func(*baretls.CertificateRequest) (*tls.Certificate, error) { return nil, err }
		}},
	} {
		eachVersion(t, func(t *testing.T, v version) {
			for _, test := range []struct {
				err  error
				want tls.AlertError
			}{
				{errReason{}, callback.usual},
				{errors.Join(errReason{}, certificateRevoked), certificateRevoked},
				{errors.Join(errReason{}, closeNotify), callback.usual},
				{errors.Join(errReason{}, userCanceled), callback.usual},
			} {
				c := configs{v.client(), v.server()}
				c.client.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.ECDSAP256)}
				c.server.ClientAuth = tls.RequireAnyClientCert
				callback.set(c, test.err)
				p := v.pair(t, c.client, c.server)
				p.run()
				victim := p.side(callback.victim)
				victim.wantFailed(test.want)
				p.other(victim).wantAlerted(test.want)
				if !errors.Is(victim.err, test.err) {
					t.Errorf("%s returned %v, which is not in %v", callback.name, test.err, victim.err)
				}
			}
		})
	}
}

// Whatever alert a server has for the client of a session: it does not resume,
// and the full handshake decides.
func TestAnAlertForASessionIsNotSent(t *testing.T) {
	refuse := false
	st := newStage(t, withClientAuth, withNoEarlyData, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.ECDSAP256)}
		s.VerifyPeer = func(*baretls.PeerVerification) error {
			if refuse {
				refuse = false
				return certificateRevoked
			}
			return nil
		}
	})
	st.connect()
	refuse = true
	st.connects("with a session whose client is refused", baretls.HandshakeFull)
	if refuse {
		t.Error("the client of the session was not judged")
	}
}

// wantSilence checks that a side that was told of the end says nothing more.
func wantSilence(t *testing.T, s *side) {
	t.Helper()
	if slices.Contains(s.transcript, encode) || slices.Contains(s.transcript, transmit) || len(s.sent) != 0 {
		t.Errorf("the %s answers an alert: %v", s.role, s.transcript)
	}
	wantSameErrorForEver(t, s)
}

// What the error says can be had from errors.As.
func TestAlertsAreErrors(t *testing.T) {
	p := newPair(t, nil, nil)
	p.client.turns()
	p.client.give(inTheClear().alert(handshakeFailure))
	p.client.turns()
	var known tls.AlertError
	if !errors.As(p.client.err, &known) || known != handshakeFailure {
		t.Errorf("the error %v has the tls.AlertError %v, want handshake_failure", p.client.err, known)
	}
	if want := "baretls: the peer sent an alert: handshake failure"; p.client.err.Error() != want {
		t.Errorf("the error reads %q, want %q", p.client.err, want)
	}

	p = newPair(t, nil, nil)
	p.server.give(plain(handshake, []byte{20, 0, 0, 0}))
	p.server.turns()
	var failure *baretls.Error
	if !errors.As(p.server.err, &failure) || !errors.As(failure, &known) || known != unexpectedMessage || failure.Received() {
		t.Errorf("the error %v has the tls.AlertError %v, want an unexpected_message of our own", p.server.err, known)
	}

	// Both sides of one failure can log the same alert, and who sent it.
	client := clientConfig()
	client.RootCAs = nil
	p = newPair(t, client, nil)
	p.run()
	for _, s := range p.sides() {
		if !errors.As(s.err, &failure) {
			t.Fatalf("the %s ends with %v, want an *Error", s.role, s.err)
		}
		if got, ok := failure.Alert(); !ok || got != unknownCA || failure.Received() != (s == p.server) {
			t.Errorf("the error of the %s has the alert %v, received %v", s.role, got, failure.Received())
		}
	}
}

// A close_notify before the end of the handshake is an end without a
// connection; after it, it is the end of the peer's data.
func TestCloseNotifyInEveryPhase(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		ph.victim.take()
		ph.victim.give(ph.forger.seal(alert, []byte{1, byte(closeNotify)}, 0))
		ph.victim.turns()
		if ph.connected {
			if ph.tls12 { // an alert can be told from data there
				ph.victim.wantStates("close_notify", peerDone, write)
			} else {
				ph.victim.wantStates("close_notify", read, peerDone, write)
			}
			ph.victim.wantAlive()
			return
		}
		ph.victim.wantAlerted(closeNotify)
		wantSilence(t, ph.victim)
	})
}

// "Receiving implementations SHOULD continue to read data from the peer until
// a close_notify is received" (Section 6.1). In TLS 1.2 it is an alert like any
// other: "alert messages with a level of fatal result in the immediate
// termination of the connection" (RFC 5246, Section 7.2).
func TestUserCanceledIsNoEnd(t *testing.T) {
	for _, level := range []byte{1, 2} {
		phases(t, func(t *testing.T, ph phase) {
			if ph.tls12 && !ph.first && level == 2 {
				ph.victim.take()
				ph.victim.give(ph.forger.alert(userCanceled))
				ph.victim.turns()
				ph.victim.wantAlerted(userCanceled)
				wantSilence(t, ph.victim)
				return
			}
			for range 4 {
				ph.victim.give(ph.forger.seal(alert, []byte{level, byte(userCanceled)}, 0))
			}
			ph.victim.turns()
			ph.victim.wantAlive()
			if !ph.connected {
				ph.victim.take()
				ph.victim.transcript = nil
				ph.victim.give(ph.forger.seal(alert, []byte{1, byte(closeNotify)}, 0))
				ph.victim.turns()
				ph.victim.wantAlerted(closeNotify)
				wantSilence(t, ph.victim)
				return
			}
			ph.victim.give(ph.forger.seal(applicationData, []byte("data"), 0), ph.forger.seal(alert, []byte{1, byte(closeNotify)}, 0))
			ph.victim.turns()
			if string(ph.victim.data) != "data" || !ph.victim.peerClosed {
				t.Errorf("behind user_canceled came the data %q, and PeerClosed: %v", ph.victim.data, ph.victim.peerClosed)
			}
		})
	}
}

func TestWarningFlood(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		for range 5 {
			ph.victim.give(ph.forger.seal(alert, []byte{1, byte(userCanceled)}, 0))
		}
		ph.hand()
		wantEnd(t, ph, unexpectedMessage)
	})
}

// A connection goes through with warnings in all its phases, if they are few.
func TestUserCanceledBetweenFlights(t *testing.T) { eachVersion(t, testUserCanceledBetweenFlights) }

func testUserCanceledBetweenFlights(t *testing.T, v version) {
	p := v.pair(t, nil, nil)
	p.client.turns()
	p.server.give(plain(alert, []byte{1, byte(userCanceled)}), p.client.take())
	p.server.turns()
	p.client.give(plain(alert, []byte{1, byte(userCanceled)}), p.server.take())
	p.handshake()
	p.works()
}

// "A record with an Alert type MUST contain exactly one message" (Section
// 5.1), and that has two bytes.
func TestMalformedAlerts(t *testing.T) {
	for name, tt := range map[string]struct {
		content []byte
		want    tls.AlertError
	}{
		"no byte":           {nil, unexpectedMessage},
		"one byte":          {[]byte{2}, decodeError},
		"three bytes":       {[]byte{2, 40, 0}, decodeError},
		"two alerts":        {[]byte{1, 90, 1, 0}, decodeError},
		"many close_notify": {make([]byte, 200), decodeError},
	} {
		phases(t, func(t *testing.T, ph phase) {
			ph.hand(ph.forger.seal(alert, tt.content, 0))
			if ph.victim.err == nil {
				t.Fatalf("an alert of %s does not end the connection", name)
			}
			wantEnd(t, ph, tt.want)
		})
	}
}

// A client may fail before it has keys, so a server takes an alert in the
// clear where it waits for the client's first protected record (Appendix A.1),
// and no later. TLS 1.2 has no such doubt: change_cipher_spec tells.
func TestAlertInTheClearToTheServerAfterItsFlight(t *testing.T) {
	reach := func(t *testing.T) *pair {
		p := newPair(t, nil, nil)
		p.client.turns()
		p.server.give(p.client.take())
		p.server.turns()
		return p
	}
	p := reach(t)
	p.server.take()
	p.server.transcript = nil
	p.server.give(ccs(), plain(alert, []byte{2, byte(illegalParameter)}))
	p.server.turns()
	p.server.wantAlerted(illegalParameter)
	wantSilence(t, p.server)

	p = reach(t) // any record that opens shows that the client has keys
	p.client.give(p.server.take())
	p.client.turns()
	f := p.keys.forger(t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
	p.server.give(f.seal(alert, []byte{1, byte(userCanceled)}, 0), plain(alert, []byte{2, byte(illegalParameter)}))
	p.server.turns()
	p.server.wantFailed(unexpectedMessage)

	for _, role := range []string{"client", "server"} {
		p = newPair(t, nil, nil)
		p.handshake()
		p.side(role).give(plain(alert, []byte{2, byte(illegalParameter)}))
		p.run()
		p.side(role).wantFailed(unexpectedMessage)
		p.other(p.side(role)).wantAlerted(unexpectedMessage)
	}
}

// An alert is protected as soon as its sender has keys, and so is the client's
// before it has sent anything else under them (Appendix A.1). Of TLS 1.2, see
// TestTLS12AlertsAreProtected.
func TestAlertsAreProtected(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		if ph.tls12 {
			return
		}
		ph.victim.take()
		ph.victim.give(plain(handshake, []byte{99, 0, 0, 0}))
		ph.victim.turns()
		ph.victim.wantFailed(unexpectedMessage)
		list := records(t, ph.victim.take())
		want := byte(applicationData)
		if ph.clear {
			want = alert
		}
		if got := list[len(list)-1][0]; got != want {
			t.Errorf("where %s, its alert is a record of type %d, want %d", ph.name, got, want)
		}
	})
}

// What was encoded for a peer that has ended the connection is not to be sent.
func TestAlertBeforeTheFlightIsSent(t *testing.T) { eachVersion(t, testAlertBeforeTheFlightIsSent) }

func testAlertBeforeTheFlightIsSent(t *testing.T, v version) {
	p := v.pair(t, nil, nil)
	if _, err := turnTo[baretls.EncodeTLSData](t, p.client.conn, nil, 0).AppendTo(nil); err != nil {
		t.Fatal(err)
	}
	turnTo[baretls.TransmitTLSData](t, p.client.conn, nil, 0)
	p.client.give(inTheClear().alert(handshakeFailure))
	p.client.turns()
	p.client.wantStates("alert before the ClientHello is sent")
	p.client.wantAlerted(handshakeFailure)
}

// A failure behind our own close_notify has no alert: that was the last word.
func TestNoAlertBehindCloseNotify(t *testing.T) { eachVersion(t, testNoAlertBehindCloseNotify) }

func testNoAlertBehindCloseNotify(t *testing.T, v version) {
	for _, role := range []string{"client", "server"} {
		p := v.pair(t, nil, nil)
		p.handshake()
		s := p.side(role)
		s.close()
		p.run()
		s.transcript = nil
		if v == tls12 {
			s.give(p.forger(p.other(s)).seal(handshake, []byte{99, 0, 0, 0}, 0))
		} else {
			s.give(plain(handshake, []byte{0, 0, 0, 0}))
		}
		s.turns()
		s.wantStates("failure behind the close_notify")
		s.wantFailed(unexpectedMessage)
		wantSilence(t, s)
	}
}
