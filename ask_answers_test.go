package baretls_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// A refuser is a question that can be refused with any alert.
type refuser interface {
	question
	Refuse(alert tls.AlertError, reason error) error
}

// An errReason is found by its type.
type errReason struct{}

func (errReason) Error() string { return "a reason of the application's" }

const (
	accessDenied       tls.AlertError = 49
	certificateRevoked tls.AlertError = 44
)

// A refusal ends the connection: the peer gets the alert, and this side keeps
// the reason.
func TestAskRefused(t *testing.T) {
	refusals := map[string]func(q question) (tls.AlertError, error){
		"Refuse": func(q question) (tls.AlertError, error) {
			if q, ok := q.(refuser); ok {
				return certificateRevoked, q.Refuse(certificateRevoked, errReason{})
			}
			return 0, nil
		},
		"Refuse without a reason": func(q question) (tls.AlertError, error) {
			if q, ok := q.(refuser); ok {
				return accessDenied, q.Refuse(accessDenied, nil)
			}
			return 0, nil
		},
		"an error": func(q question) (tls.AlertError, error) {
			switch q := q.(type) {
			case baretls.SignatureWanted:
				return internalError, q.Answer(nil, errReason{})
			case baretls.ServerCertificateReceived:
				return badCertificate, q.Answer(errReason{})
			case baretls.ClientCertificateReceived:
				return badCertificate, q.Answer(errReason{})
			case baretls.ClientCertificateRequested:
				return internalError, q.Answer(nil, errReason{})
			}
			return 0, nil
		},
		"an error with an alert": func(q question) (tls.AlertError, error) {
			err := errors.Join(errReason{}, certificateRevoked)
			switch q := q.(type) {
			case baretls.SignatureWanted:
				return certificateRevoked, q.Answer(nil, err)
			case baretls.ServerCertificateReceived:
				return certificateRevoked, q.Answer(err)
			case baretls.ClientCertificateReceived:
				return certificateRevoked, q.Answer(err)
			case baretls.ClientCertificateRequested:
				return certificateRevoked, q.Answer(nil, err)
			}
			return 0, nil
		},
	}
	eachSpot(t, func(t *testing.T, sp spot, first *askedMeeting) {
		for name, refuse := range refusals {
			m := first.repeated(sp)
			if strings.HasPrefix(name, "an error") && sp.state == clientReceived && sp.resumed {
				continue // that leads to a full handshake
			}
			alert, err := refuse(m.q)
			if err != nil {
				t.Fatalf("%s returns %v", name, err)
			}
			if alert == 0 {
				continue
			}
			m.asked.woken = true
			m.runEarly()
			m.asked.wantFailed(alert)
			m.other(m.asked).wantAlerted(alert)
			var ours tls.AlertError
			if !errors.As(m.asked.err, &ours) || ours != alert {
				t.Errorf("%s: the alert in the error is %v, want %v", name, ours, alert)
			}
			if reason := (errReason{}); name != "Refuse without a reason" && !errors.As(m.asked.err, &reason) {
				t.Errorf("%s: the reason is not in the error: %v", name, m.asked.err)
			}
			wantOver(t, m.q, baretls.ErrAlreadyAnswered)
		}
	})
}

// repeated is the same question in another connection.
func (m *askedMeeting) repeated(sp spot) *askedMeeting {
	m.st.t.Helper()
	asks := map[string]baretls.Ask{sp.role: askOf[sp.state]}
	return m.st.stopped(sp, m.st.again(asks["client"], asks["server"]))
}

// An alert that is not an error refuses nothing, and the question waits.
func TestAskRefusedWithAWarning(t *testing.T) {
	eachSpot(t, func(t *testing.T, sp spot, m *askedMeeting) {
		q, ok := m.q.(refuser)
		if !ok {
			return
		}
		for _, alert := range []tls.AlertError{closeNotify, userCanceled, 100} {
			if err := q.Refuse(alert, errReason{}); err == nil || err == baretls.ErrAlreadyAnswered {
				t.Errorf("Refuse with alert %d returns %v", alert, err)
			}
		}
		m.wantWaiting()
	})
}

// An error of another connection, to a key service or a responder, is a reason
// like any other: its alert is that of the other connection.
func TestAskErrorOfAnotherConnection(t *testing.T) {
	elsewhere := map[string]error{}
	p := newPair(t, nil, nil)
	p.server.conn.CloseInput()
	p.server.turns()
	elsewhere["a truncation"] = p.server.err
	client := clientConfig()
	client.RootCAs = nil
	p = newPair(t, client, nil)
	p.run()
	elsewhere["a refusal"], elsewhere["an alert"] = p.client.err, p.server.err
	chosen := spot{state: helloReceived, role: "server"}.reach(t, tls13)
	if err := chosen.q.(refuser).Refuse(certificateRevoked, errReason{}); err != nil {
		t.Fatal(err)
	}
	chosen.goOn()
	elsewhere["a refusal by choice"] = chosen.asked.err

	eachSpot(t, func(t *testing.T, sp spot, first *askedMeeting) {
		if sp.state == clientReceived && sp.resumed {
			return
		}
		for name, err := range elsewhere {
			for _, err := range []error{err, errors.Join(io.ErrClosedPipe, err)} {
				m := first.repeated(sp)
				var want tls.AlertError
				switch q := m.q.(type) {
				case baretls.SignatureWanted:
					want = internalError
					q.Answer(nil, err)
				case baretls.ClientCertificateRequested:
					want = internalError
					q.Answer(nil, err)
				case baretls.ServerCertificateReceived:
					want = badCertificate
					q.Answer(err)
				case baretls.ClientCertificateReceived:
					want = badCertificate
					q.Answer(err)
				case refuser:
					want = accessDenied
					q.Refuse(accessDenied, err)
				default:
					return
				}
				m.asked.woken = true
				m.runEarly()
				if m.asked.wantFailed(want); !errors.Is(m.asked.err, err) {
					t.Errorf("%s: the reason is not in the error: %v", name, m.asked.err)
				}
				m.other(m.asked).wantAlerted(want)
			}
		}
	})
}

// The same holds for what a callback returns.
func TestCallbackErrorOfAnotherConnection(t *testing.T) {
	chosen := spot{state: helloReceived, role: "server"}.reach(t, tls13)
	if err := chosen.q.(refuser).Refuse(certificateRevoked, errReason{}); err != nil {
		t.Fatal(err)
	}
	chosen.goOn()
	client := clientConfig()
	client.VerifyPeer = func(*baretls.PeerVerification) error { return chosen.asked.err }
	p := newPair(t, client, nil)
	p.run()
	p.client.wantFailed(badCertificate)
	p.server.wantAlerted(badCertificate)
}

// The alert for a peer that does not verify is the one that it gets inline. If
// the error has been wrapped, it is one of the application's.
func TestAskVerdicts(t *testing.T) {
	for _, test := range []struct {
		name  string
		cert  tls.Certificate
		alert tls.AlertError
	}{
		{"of another CA", tlstest.New(tlstest.Options{Kind: tlstest.Ed25519, UnknownCA: true}), unknownCA},
		{"expired", tlstest.New(tlstest.Options{Kind: tlstest.Ed25519, NotAfter: tlstest.NotBefore.AddDate(0, 1, 0)}), certificateExpired},
		{"of another name", tlstest.New(tlstest.Options{Kind: tlstest.Ed25519, Names: []string{"example.org"}}), certificateUnknown},
		{"a client's", tlstest.New(tlstest.Options{Kind: tlstest.Ed25519, Client: true}), unsupportedCertificate},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, wrapped := range []bool{false, true} {
				eachVersion(t, func(t *testing.T, v version) {
					client, server := v.client(), v.server()
					client.Ask = baretls.AskPeerCertificate
					server.Certificates = []tls.Certificate{test.cert}
					p := v.pair(t, client, server)
					p.client.answers(manners[0], func(q question) error {
						received := q.(baretls.ServerCertificateReceived)
						err := received.Verify()
						if wrapped {
							err = errors.Join(errReason{}, err)
						}
						return received.Answer(err)
					})
					alert := test.alert
					if wrapped {
						alert = badCertificate
					}
					p.run()
					p.client.wantFailed(alert)
					p.server.wantAlerted(alert)
					var failure *tls.CertificateVerificationError
					if !errors.As(p.client.err, &failure) {
						t.Errorf("the error has no CertificateVerificationError: %v", p.client.err)
					}
				})
			}
		})
	}
}

// A peer that would not verify can be accepted all the same: who is asked
// decides.
func TestAskAcceptsAStranger(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		client, server := v.client(), v.server()
		client.Ask = baretls.AskPeerCertificate
		server.Certificates = []tls.Certificate{tlstest.New(tlstest.Options{UnknownCA: true})}
		p := v.pair(t, client, server)
		p.client.answers(manners[1], func(q question) error { return q.(baretls.ServerCertificateReceived).Answer(nil) })
		p.handshake()
		p.works()
	})
}

// Signatures that are none, or of something else.
func TestAskWrongSignature(t *testing.T) {
	for _, test := range []struct {
		name      string
		signature func(q baretls.SignatureWanted) []byte
		sent      bool
	}{
		{"none", func(baretls.SignatureWanted) []byte { return nil }, false},
		{"one that no message can hold", func(baretls.SignatureWanted) []byte { return make([]byte, 1<<16) }, false},
		{"the longest", func(baretls.SignatureWanted) []byte { return make([]byte, 1<<16-1-100) }, true},
		{"garbage", func(baretls.SignatureWanted) []byte { return []byte("garbage") }, true},
		{"a flipped bit", func(q baretls.SignatureWanted) []byte {
			b, _ := q.Sign()
			b[10] ^= 1
			return b
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, v version) {
				for _, role := range []string{"client", "server"} {
					m := spot{state: signatureWanted, role: role}.reach(t, v)
					q := m.q.(baretls.SignatureWanted)
					if err := q.Answer(test.signature(q), nil); err != nil {
						t.Fatalf("%s: Answer: %v", role, err)
					}
					m.asked.woken = true
					m.runEarly()
					if test.sent {
						m.other(m.asked).wantFailed(decryptErrorAlert)
						m.asked.wantAlerted(decryptErrorAlert)
					} else {
						m.asked.wantFailed(internalError)
						m.other(m.asked).wantAlerted(internalError)
					}
				}
			})
		})
	}
}

// The answer is copied: what becomes of the slice afterwards is the caller's
// business.
func TestAskAnswerIsCopied(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, sp := range []spot{
			{state: signatureWanted, role: "server"},
			{state: signatureWanted, role: "client"},
			{state: sessionWanted, role: "server", resumed: true},
		} {
			m := sp.reach(t, v)
			var answer []byte
			switch q := m.q.(type) {
			case baretls.SignatureWanted:
				answer, _ = q.Sign()
				if err := q.Answer(answer, nil); err != nil {
					t.Fatal(err)
				}
			case baretls.SessionWanted:
				answer = m.st.store.Get(q.Name())
				if err := q.Answer(answer); err != nil {
					t.Fatal(err)
				}
			}
			scribble(answer)
			if m.wantConnected(); sp.resumed {
				m.wantKind("after the answer", baretls.HandshakeResumed)
			}
		}
	})
}

// A certificate that cannot be used at all is an error, and the question waits.
func TestAskUnusableCertificate(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		m := spot{state: certRequested, role: "client"}.reach(t, v)
		q := m.q.(baretls.ClientCertificateRequested)
		keyless := m.st.cert
		keyless.PrivateKey = nil
		stolen := m.st.cert
		_, stolen.PrivateKey, _ = ed25519.GenerateKey(nil)
		for name, cert := range map[string]tls.Certificate{
			"empty": {}, "junk": {Certificate: [][]byte{[]byte("junk")}}, "without a key": keyless, "with the key of another": stolen,
		} {
			if err := q.Answer(&cert, nil); err == nil || err == baretls.ErrAlreadyAnswered {
				t.Errorf("a certificate that is %s leads to %v", name, err)
			}
		}
		m.wantWaiting()
		if got := m.server.conn.PeerCertificates(); len(got) == 0 {
			t.Error("the server knows no certificate")
		}
	})
}

// A certificate that does not fit the request is none: the server says what
// becomes of that.
func TestAskNoCertificate(t *testing.T) {
	other := tlstest.ClientLeaf(tlstest.Ed25519)
	eachVersion(t, func(t *testing.T, v version) {
		for name, cert := range map[string]*tls.Certificate{"none": nil, "one that does not fit": &other} {
			for _, required := range []bool{false, true} {
				client, server := v.client(), v.server()
				client.Ask = baretls.AskCertificate
				server.SignatureSchemes = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
				server.ClientAuth = tls.RequestClientCert
				if required {
					server.ClientAuth = tls.RequireAnyClientCert
				}
				p := v.pair(t, client, server)
				p.client.answers(manners[1], answerer{cert: cert}.answer)
				if p.run(); required {
					alert := map[version]tls.AlertError{tls13: certificateRequiredAlert, tls12: handshakeFailure}[v]
					p.server.wantFailed(alert)
					p.client.wantAlerted(alert)
					continue
				}
				if p.handshake(); len(p.server.conn.PeerCertificates()) != 0 {
					t.Errorf("%s: the server knows a certificate", name)
				}
				p.works()
			}
		}
	})
}

// A configuration that is none is an error, and the question waits.
func TestAskUnusableConfig(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		m := spot{state: helloReceived, role: "server"}.reach(t, v)
		q := m.q.(baretls.ClientHelloReceived)
		for name, config := range map[string]*baretls.ServerConfig{
			"nil":                   nil,
			"without a certificate": {},
			"of bad groups":         {Certificates: serverConfig().Certificates, Groups: []tls.CurveID{1}},
		} {
			var bad *baretls.ConfigError
			if err := q.Use(config); !errors.As(err, &bad) {
				t.Errorf("a config that is %s leads to %v, want a *ConfigError", name, err)
			}
		}
		m.wantWaiting()
	})
}

// Sessions that cannot be used lead to a full handshake.
func TestAskUnusableSession(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		other := map[version]version{tls12: tls13, tls13: tls12}[v]
		otherSession := func() []byte {
			m := spot{state: sessionWanted, role: "server", resumed: true}.reach(t, other)
			return m.st.store.Get(m.q.(baretls.SessionWanted).Name())
		}()
		for name, session := range map[string]func(good []byte) []byte{
			"none":               func([]byte) []byte { return nil },
			"empty":              func([]byte) []byte { return []byte{} },
			"garbage":            func([]byte) []byte { return []byte("garbage") },
			"half of one":        func(good []byte) []byte { return good[:len(good)/2] },
			"of another version": func([]byte) []byte { return otherSession },
		} {
			m := spot{state: sessionWanted, role: "server", resumed: true}.reach(t, v)
			q := m.q.(baretls.SessionWanted)
			if err := q.Answer(session(m.st.store.Get(q.Name()))); err != nil {
				t.Fatal(err)
			}
			m.wantConnected()
			m.wantKind("with a session that is "+name, baretls.HandshakeFull)
		}
	})
}

// What can be asked for is said with the config.
func TestAskOfTheWrongSide(t *testing.T) {
	for bit := range 8 {
		ask := baretls.Ask(1 << bit)
		client, server := clientConfig(), serverConfig()
		client.Ask, server.Ask = ask, ask
		server.SessionStore = baretls.NewSessionCache(0)
		_, clientErr := baretls.NewClient(client, "example.com")
		_, serverErr := baretls.NewServer(server)
		for _, side := range []struct {
			role string
			err  error
			mask baretls.Ask
		}{{"client", clientErr, clientAsks}, {"server", serverErr, serverAsks}} {
			var bad *baretls.ConfigError
			wrong := errors.As(side.err, &bad) && bad.Field == "Ask"
			if wrong == (side.mask&ask != 0) || !wrong && side.err != nil {
				t.Errorf("a %s that asks %#x: %v", side.role, uint8(ask), side.err)
			}
		}
	}
	server := serverConfig()
	server.Ask = baretls.AskSession
	var bad *baretls.ConfigError
	if _, err := baretls.NewServer(server); !errors.As(err, &bad) || bad.Field != "Ask" {
		t.Errorf("AskSession without a SessionStore: %v", err)
	}
}

// A state that no turn returned is a misuse, and no panic.
func TestAskZeroStates(t *testing.T) {
	for _, q := range []question{
		baretls.ClientHelloReceived{}, baretls.SessionWanted{}, baretls.SessionRemovalWanted{}, baretls.EarlyDataOffered{}, baretls.SignatureWanted{},
		baretls.ServerCertificateReceived{}, baretls.ClientCertificateReceived{}, baretls.ClientCertificateRequested{},
	} {
		wantNoPanic(t, stateName(q), func() {
			wantOver(t, q, baretls.ErrStaleState)
			lookAt(q)
			<-q.Context().Done()
			if v, ok := q.(interface{ Verify() error }); ok && v.Verify() != baretls.ErrStaleState {
				t.Errorf("Verify of the zero %s returns %v, want ErrStaleState", stateName(q), v.Verify())
			}
			if s, ok := q.(baretls.SignatureWanted); ok {
				if b, err := s.Sign(); b != nil || err != baretls.ErrStaleState {
					t.Errorf("Sign of the zero SignatureWanted returns %d bytes, %v, want ErrStaleState", len(b), err)
				}
			}
		})
	}
}
