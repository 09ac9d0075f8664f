package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/baretls/baretls"
)

// The alerts of RFC 9846, Section 6.2, that the tests meet.
const (
	badRecordMAC          tls.AlertError = 20
	handshakeFailure      tls.AlertError = 40
	badCertificate        tls.AlertError = 42
	certificateExpired    tls.AlertError = 45
	certificateUnknown    tls.AlertError = 46
	illegalParameter      tls.AlertError = 47
	unknownCA             tls.AlertError = 48
	accessDenied          tls.AlertError = 49
	protocolVersion       tls.AlertError = 70
	unrecognizedName      tls.AlertError = 112
	certificateRequired   tls.AlertError = 116
	noApplicationProtocol tls.AlertError = 120
)

// expectAlert checks why a connection failed: by which alert, and whose.
func expectAlert(t *testing.T, err error, want tls.AlertError, received bool) {
	t.Helper()
	var failed *baretls.Error
	if !errors.As(err, &failed) {
		t.Fatalf("want a *baretls.Error with the alert %v, got %v", want, err)
	}
	if alert, ok := failed.Alert(); !ok || alert != want || failed.Received() != received {
		t.Errorf("failed with alert %d (received: %v), want %d (received: %v): %v", alert, failed.Received(), want, received, err)
	}
}

// sees is how a peer says that it was sent an alert.
func (p *peer) sees(alert tls.AlertError) string {
	switch p.name {
	case "openssl":
		return fmt.Sprintf(`SSL alert number %d\b`, alert)
	case "gnutls":
		// gnutls-serv says it only in its debugging output.
		return fmt.Sprintf(`Received alert \[%d\]|Alert\[2\|%[1]d\] - .* was received`, alert)
	default:
		return `remote error: ` + alert.Error()
	}
}

// refusedServer lets our client refuse the peer's server, or the other way
// around, and returns why the handshake failed. seen checks what the peer said.
func refusedServer(t *testing.T, p *peer, s scene, name string) (seen func(pattern string), failure error) {
	t.Helper()
	if p.name == "gnutls" {
		s = s.with("--debug=5")
	}
	r := p.serve(t, s)
	e := newClient(t, s.client(), name, r.addr)
	failure = e.handshake()
	e.wire.Close()
	return r.failed, failure
}

// refusedClient is the same for our server and the peer's client.
func refusedClient(t *testing.T, p *peer, s scene) (seen func(pattern string), failure error) {
	t.Helper()
	l := listen(t)
	r := p.dial(t, s, l.Addr().String())
	e := newServer(t, s.server(), l)
	failure = e.handshake()
	e.wire.Close()
	return r.failed, failure
}

// Our client refuses certificates, and the server hears why.
func TestOurClientRefusesCertificate(t *testing.T) {
	w := makeWorld()
	for _, p := range peers {
		for _, c := range []struct {
			name   string
			change func(*scene)
			host   string
			alert  tls.AlertError
		}{
			{"unknown authority", func(s *scene) {
				s.ourClient = func(config *baretls.ClientConfig) { config.RootCAs = w.stranger.pool }
			}, serverName, unknownCA},
			{"wrong name", func(s *scene) {}, "example.com", certificateUnknown},
			{"expired", func(s *scene) { s.cert = w.expired }, serverName, certificateExpired},
			{"VerifyPeer", func(s *scene) {
				s.ourClient = func(config *baretls.ClientConfig) {
					config.VerifyPeer = func(*baretls.PeerVerification) error { return errors.New("not today") }
				}
			}, serverName, badCertificate},
		} {
			t.Run(p.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				s := plain()
				c.change(&s)
				seen, err := refusedServer(t, p, s, c.host)
				expectAlert(t, err, c.alert, false)
				var verification *tls.CertificateVerificationError
				if c.name != "VerifyPeer" && !errors.As(err, &verification) {
					t.Errorf("no *tls.CertificateVerificationError in %v", err)
				}
				seen(p.sees(c.alert))
			})
		}
	}
}

// The peers' clients refuse our server's certificates, and we hear why. Which
// alert says so is theirs to choose.
func TestPeerRefusesCertificate(t *testing.T) {
	w := makeWorld()
	for _, p := range peers {
		for _, c := range []struct {
			name   string
			cert   *identity
			alerts map[string]tls.AlertError
		}{
			{"unknown authority", w.stranger.issue("unknown to "+p.name, serverName, w.byKey[0].key(), validity),
				map[string]tls.AlertError{"crypto-tls": badCertificate, "openssl": unknownCA, "gnutls": badCertificate}},
			{"wrong name", w.example,
				map[string]tls.AlertError{"crypto-tls": badCertificate, "openssl": badCertificate, "gnutls": badCertificate}},
			{"expired", w.expired,
				map[string]tls.AlertError{"crypto-tls": badCertificate, "openssl": certificateExpired, "gnutls": badCertificate}},
		} {
			t.Run(p.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				s := plain()
				s.cert = c.cert
				_, err := refusedClient(t, p, s)
				expectAlert(t, err, c.alerts[p.name], true)
			})
		}
	}
}

// A peer that has only TLS 1.2 is told protocol_version by those of us who have
// only TLS 1.3, or tells us so.
func TestVersionsApart(t *testing.T) {
	apart := func() scene {
		s := plain()
		s.version = tls.VersionTLS12
		s.ourClient = func(c *baretls.ClientConfig) { c.MinVersion = tls.VersionTLS13 }
		s.ourServer = func(c *baretls.ServerConfig) { c.MinVersion = tls.VersionTLS13 }
		return s
	}
	for _, p := range peers {
		s := apart()
		t.Run(p.name+"/server", func(t *testing.T) {
			t.Parallel()
			seen, err := refusedClient(t, p, s)
			expectAlert(t, err, protocolVersion, false)
			seen(p.sees(protocolVersion))
		})
		t.Run(p.name+"/client", func(t *testing.T) {
			t.Parallel()
			_, err := refusedServer(t, p, s, serverName)
			want := protocolVersion
			if p.name == "gnutls" {
				// "No supported cipher suites", of TLS 1.2 that is.
				want = handshakeFailure
			}
			expectAlert(t, err, want, true)
		})
	}
	t.Run("curl/server", func(t *testing.T) {
		t.Parallel()
		s := apart()
		l := listen(t)
		c := curl(t, s, l.Addr().String(), serverName)
		e := newServer(t, s.server(), l)
		expectAlert(t, e.handshake(), protocolVersion, false)
		c.expectFailure(`alert protocol version`)
	})
}

// Nothing in common is a handshake_failure, or no_application_protocol.
func TestNothingInCommon(t *testing.T) {
	for _, p := range peers {
		if p.name != "crypto-tls" { // which always offers all suites of TLS 1.3
			t.Run(p.name+"/server/suites", func(t *testing.T) {
				t.Parallel()
				s := plain()
				s.suite = tls.TLS_AES_128_GCM_SHA256
				s.ourServer = func(c *baretls.ServerConfig) { c.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} }
				seen, err := refusedClient(t, p, s)
				expectAlert(t, err, handshakeFailure, false)
				seen(p.sees(handshakeFailure))
			})
		}
		t.Run(p.name+"/server/groups", func(t *testing.T) {
			t.Parallel()
			s := plain()
			s.group, s.ours = tls.X25519, []tls.CurveID{tls.CurveP384}
			seen, err := refusedClient(t, p, s)
			expectAlert(t, err, handshakeFailure, false)
			seen(p.sees(handshakeFailure))
		})
		t.Run(p.name+"/client/groups", func(t *testing.T) {
			t.Parallel()
			s := plain()
			s.group, s.ours = tls.X25519, []tls.CurveID{tls.CurveP384}
			_, err := refusedServer(t, p, s, serverName)
			expectAlert(t, err, handshakeFailure, true)
		})
		t.Run(p.name+"/server/protocols", func(t *testing.T) {
			t.Parallel()
			s := withALPN(p, plain(), "ftp")
			s.ourServer = func(c *baretls.ServerConfig) { c.NextProtos = []string{"h2"} }
			seen, err := refusedClient(t, p, s)
			expectAlert(t, err, noApplicationProtocol, false)
			seen(p.sees(noApplicationProtocol))
		})
		t.Run(p.name+"/client/protocols", func(t *testing.T) {
			t.Parallel()
			s := withALPN(p, plain(), "ftp")
			if p.name == "gnutls" {
				s = s.with("--alpn-fatal")
			}
			s.ourClient = func(c *baretls.ClientConfig) { c.NextProtos = []string{"h2"} }
			_, err := refusedServer(t, p, s, serverName)
			expectAlert(t, err, noApplicationProtocol, true)
		})
	}
}

// A server may ask a client for a certificate. One that has none says so, and
// it is up to the server to go on.
func TestClientWithoutCertificate(t *testing.T) {
	type ask struct {
		name     string
		required bool
		change   func(*scene)
	}
	for peerName, asks := range map[string][]ask{
		"crypto-tls": {
			{"request", false, func(s *scene) { s.tune = func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert } }},
			{"require", true, func(s *scene) { s.tune = func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert } }},
		},
		"openssl": {
			{"request", false, func(s *scene) { s.args = []string{"-verify", "1"} }},
			{"require", true, func(s *scene) { s.args = []string{"-Verify", "1"} }},
		},
		"gnutls": {
			{"request", false, func(s *scene) {}},
			{"require", true, func(s *scene) { s.args = []string{"--require-client-cert"} }},
		},
	} {
		p := peers[slices.IndexFunc(peers, func(p *peer) bool { return p.name == peerName })]
		for _, ask := range asks {
			t.Run(p.name+"/"+ask.name, func(t *testing.T) {
				t.Parallel()
				s := plain()
				ask.change(&s)
				if !ask.required {
					meetServer(t, p, s)
					return
				}
				r := p.serve(t, s)
				e := newClient(t, s.client(), serverName, r.addr)
				if err := e.handshake(); err != nil {
					t.Fatalf("a client is done before the server objects, and failed: %v", err)
				}
				_, err := e.takeRest()
				expectAlert(t, err, certificateRequired, true)
			})
		}
	}
}
