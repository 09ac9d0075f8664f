package interop

import (
	"crypto/tls"
	"testing"

	"github.com/baretls/baretls"
)

// Our client proves in TLS 1.2 who it is, with every type of key.
func TestTLS12OurClientCertificate(t *testing.T) {
	for _, p := range peers {
		for _, id := range makeWorld().clientsFor(p) {
			t.Run(p.name+"/"+id.name, func(t *testing.T) {
				t.Parallel()
				var seen string
				s := requireOfUs(p, plain12()).also(
					func(c *baretls.ClientConfig) { c.Certificates = []tls.Certificate{id.cert} }, nil,
					func(c *tls.Config) {
						c.VerifyConnection = func(state tls.ConnectionState) error {
							seen = state.PeerCertificates[0].Subject.CommonName
							return nil
						}
					})
				_, r := meetServer(t, p, s)
				if r.said != nil {
					r.said(`CN ?= ?` + clientPrefix + id.name + `\b`)
				} else if seen != clientPrefix+id.name {
					t.Errorf("crypto/tls has seen the certificate of %q", seen)
				}
			})
		}
	}
}

// Our client has no certificate that the server would take. One that asks for
// it goes on without; one that requires it ends the handshake, which in TLS 1.2
// the client sees as such. Which alert says so is the server's choice.
func TestTLS12OurClientWithoutCertificate(t *testing.T) {
	w := makeWorld()
	// gnutls-serv sends decode_error to gnutls-cli as well.
	missing := map[string]tls.AlertError{"crypto-tls": handshakeFailure, "openssl": handshakeFailure, "gnutls": decodeError}
	for _, p := range peers {
		t.Run(p.name+"/requested", func(t *testing.T) {
			t.Parallel()
			s := plain12()
			if p.name == "openssl" {
				s = s.with("-verify", "1")
			}
			meetServer(t, p, s.also(nil, nil, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }))
		})
		for _, c := range []struct {
			name   string
			change func(*baretls.ClientConfig)
			alerts map[string]tls.AlertError
		}{
			{"none", nil, missing},
			{"another authority, kept back", func(c *baretls.ClientConfig) { c.Certificates = []tls.Certificate{w.foreigner.cert} }, missing},
			{"another authority, sent", func(c *baretls.ClientConfig) {
				c.GetClientCertificate = func(*baretls.CertificateRequest) (*tls.Certificate, error) { return &w.foreigner.cert, nil }
			}, map[string]tls.AlertError{"crypto-tls": unknownCA, "openssl": unknownCA, "gnutls": accessDenied}},
		} {
			t.Run(p.name+"/required/"+c.name, func(t *testing.T) {
				t.Parallel()
				_, err := refusedServer(t, p, requireOfUs(p, plain12()).also(c.change, nil, nil), serverName)
				expectAlert(t, err, c.alerts[p.name], true)
			})
		}
	}
}

// The peers' clients prove to our server in TLS 1.2 who they are, or do not:
// then there is no certificate_required yet, but a handshake_failure (RFC 5246,
// Section 7.4.6).
func TestTLS12PeerClientCertificate(t *testing.T) {
	for _, p := range peers {
		for _, id := range makeWorld().clientsFor(p) {
			t.Run(p.name+"/"+id.name, func(t *testing.T) {
				t.Parallel()
				s := withClientCertificate(p, plain12(), id).also(nil, requireClient, nil)
				e, _ := meetClient(t, p, s)
				expectClient(t, e, id)
			})
		}
		none := plain12().also(nil, nil, func(c *tls.Config) { c.Certificates = nil })
		t.Run(p.name+"/none/requested", func(t *testing.T) {
			t.Parallel()
			e, _ := meetClient(t, p, none.also(nil, func(c *baretls.ServerConfig) { c.ClientAuth = tls.RequestClientCert }, nil))
			expectClient(t, e, nil)
		})
		t.Run(p.name+"/none/required", func(t *testing.T) {
			t.Parallel()
			seen, err := refusedClient(t, p, none.also(nil, requireClient, nil))
			expectAlert(t, err, handshakeFailure, false)
			seen(p.sees(handshakeFailure))
		})
		t.Run(p.name+"/another authority", func(t *testing.T) {
			t.Parallel()
			seen, err := refusedClient(t, p, withClientCertificate(p, plain12(), makeWorld().foreigner).also(nil, requireClient, nil))
			expectAlert(t, err, unknownCA, false)
			seen(p.sees(unknownCA))
		})
	}
	for _, id := range makeWorld().clients {
		t.Run("curl/"+id.name, func(t *testing.T) {
			t.Parallel()
			s := withClientCertificate(&peer{name: "curl"}, plain12(), id).also(nil, requireClient, nil)
			e, _ := visitCurl(t, s, serverName)
			expectClient(t, e, id)
		})
	}
}

// A server knows its client by certificate after a resumption too, by ticket
// and by ID, and asks for none.
func TestTLS12ResumptionOfAuthenticatedClient(t *testing.T) {
	id := makeWorld().clients[0]
	for _, p := range peers {
		for _, flag := range []string{"", withoutTickets[p.name]} {
			for _, ourClient := range []bool{true, false} {
				t.Run(p.name+"/"+roleName(ourClient)+"/"+flag, func(t *testing.T) {
					t.Parallel()
					s := twice12()
					if ourClient {
						s = requireOfUs(p, s).also(func(c *baretls.ClientConfig) { c.Certificates = []tls.Certificate{id.cert} }, nil, nil)
					} else {
						s = withClientCertificate(p, s, id).also(nil, requireClient, nil)
					}
					if flag != "" {
						s = s.with(flag).also(nil, func(c *baretls.ServerConfig) { c.SessionStore = baretls.NewSessionCache(0) }, nil)
					}
					meetPeerAgain(t, p, s, ourClient, func(i int, e *endpoint) {
						t.Helper()
						firstFull(t)(i, e)
						if !ourClient {
							expectClient(t, e, id)
						}
					})
				})
			}
			if p.name == "crypto-tls" {
				break // it has no such flag
			}
		}
	}
}
