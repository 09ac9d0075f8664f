package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"testing"

	"github.com/baretls/baretls"
)

// requireClient is our server that takes nobody without a certificate.
func requireClient(c *baretls.ServerConfig) {
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, makeWorld().ca.pool
}

// requireOfUs makes the peer's server take nobody without a certificate.
func requireOfUs(p *peer, s scene) scene {
	ca := makeWorld().ca
	switch p.name {
	case "openssl":
		return s.with("-Verify", "1", "-CAfile", ca.file, "-verify_return_error")
	case "gnutls":
		return s.with("--require-client-cert", "--verify-client-cert", "--x509cafile="+ca.file)
	}
	s.tune = func(c *tls.Config) {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool
	}
	return s
}

// withClientCertificate gives the peer's client a certificate.
func withClientCertificate(p *peer, s scene, id *identity) scene {
	switch p.name {
	case "openssl", "curl":
		dash := map[string]string{"openssl": "-", "curl": "--"}[p.name]
		return s.with(dash+"cert", id.certFile, dash+"key", id.keyFile)
	case "gnutls":
		return s.with("--x509certfile="+id.certFile, "--x509keyfile="+id.keyFile)
	}
	s.tune = func(c *tls.Config) {
		// Not by the authorities that the server names, as the others.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &id.cert, nil }
	}
	return s
}

func expectClient(t *testing.T, e *endpoint, id *identity) {
	t.Helper()
	certs := e.conn.PeerCertificates()
	switch {
	case id == nil:
		if len(certs) != 0 {
			t.Errorf("the client has a certificate for %v, and should have none", certs[0].Subject)
		}
	case len(certs) == 0:
		t.Errorf("the client has no certificate, want %s", id.name)
	case certs[0].Subject.CommonName != clientPrefix+id.name:
		t.Errorf("the client is %v, want %s", certs[0].Subject, id.name)
	}
}

// Our client proves who it is, with every type of key.
func TestOurClientCertificate(t *testing.T) {
	for _, p := range peers {
		for _, id := range makeWorld().clientsFor(p) {
			t.Run(p.name+"/"+id.name, func(t *testing.T) {
				t.Parallel()
				s := requireOfUs(p, plain())
				s.ourClient = func(c *baretls.ClientConfig) { c.Certificates = []tls.Certificate{id.cert} }
				var seen string
				if tune := s.tune; tune != nil {
					s.tune = func(c *tls.Config) {
						tune(c)
						c.VerifyConnection = func(state tls.ConnectionState) error {
							seen = state.PeerCertificates[0].Subject.CommonName
							return nil
						}
					}
				}
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

// Our client has a certificate, and none of the authorities that the server
// names has issued it. So it is kept back, unless the application insists: then
// the server says what it thinks of it.
func TestOurClientOfAnotherAuthority(t *testing.T) {
	foreigner := makeWorld().foreigner
	for _, p := range peers {
		refused := func(t *testing.T, change func(*baretls.ClientConfig), alert tls.AlertError) {
			t.Parallel()
			s := requireOfUs(p, plain())
			s.ourClient = change
			r := p.serve(t, s)
			e := newClient(t, s.client(), serverName, r.addr)
			if err := e.handshake(); err != nil {
				t.Fatalf("a client is done before the server objects, and failed: %v", err)
			}
			_, err := e.takeRest()
			expectAlert(t, err, alert, true)
		}
		t.Run(p.name+"/kept back", func(t *testing.T) {
			refused(t, func(c *baretls.ClientConfig) { c.Certificates = []tls.Certificate{foreigner.cert} }, certificateRequired)
		})
		t.Run(p.name+"/sent", func(t *testing.T) {
			var request *baretls.CertificateRequest
			refused(t, func(c *baretls.ClientConfig) {
				c.GetClientCertificate = func(r *baretls.CertificateRequest) (*tls.Certificate, error) {
					request = r
					return &foreigner.cert, nil
				}
			}, map[string]tls.AlertError{"crypto-tls": unknownCA, "openssl": unknownCA, "gnutls": accessDenied}[p.name])
			if request == nil || len(request.AcceptableCAs) != 1 || string(request.AcceptableCAs[0]) != string(makeWorld().ca.cert.RawSubject) {
				t.Errorf("the server's request is %v, and should have named one authority", request)
			}
		})
	}
}

// The peers' clients prove to our server who they are, or do not.
func TestPeerClientCertificate(t *testing.T) {
	w := makeWorld()
	for _, p := range peers {
		for _, auth := range []tls.ClientAuthType{tls.RequestClientCert, tls.RequireAnyClientCert, tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert} {
			verifies := auth >= tls.VerifyClientCertIfGiven
			ask := func(c *baretls.ServerConfig) {
				if c.ClientAuth = auth; verifies {
					c.ClientCAs = w.ca.pool
				}
			}
			for _, id := range w.clientsFor(p) {
				t.Run(fmt.Sprintf("%s/%v/%s", p.name, auth, id.name), func(t *testing.T) {
					t.Parallel()
					s := withClientCertificate(p, plain(), id)
					s.ourServer = ask
					e, _ := meetClient(t, p, s)
					expectClient(t, e, id)
				})
			}
			t.Run(fmt.Sprintf("%s/%v/none", p.name, auth), func(t *testing.T) {
				t.Parallel()
				s := plain()
				s.ourServer = ask
				s.tune = func(c *tls.Config) { c.Certificates = nil }
				if auth == tls.RequestClientCert || auth == tls.VerifyClientCertIfGiven {
					e, _ := meetClient(t, p, s)
					expectClient(t, e, nil)
					return
				}
				seen, err := refusedClient(t, p, s)
				expectAlert(t, err, certificateRequired, false)
				seen(p.sees(certificateRequired))
			})
			t.Run(fmt.Sprintf("%s/%v/another authority", p.name, auth), func(t *testing.T) {
				t.Parallel()
				s := withClientCertificate(p, plain(), w.foreigner)
				s.ourServer = ask
				if !verifies {
					e, _ := meetClient(t, p, s)
					expectClient(t, e, w.foreigner)
					return
				}
				seen, err := refusedClient(t, p, s)
				expectAlert(t, err, unknownCA, false)
				var verification *tls.CertificateVerificationError
				if !errors.As(err, &verification) {
					t.Errorf("no *tls.CertificateVerificationError in %v", err)
				}
				seen(p.sees(unknownCA))
			})
		}
	}
	for _, id := range w.clients {
		t.Run("curl/"+id.name, func(t *testing.T) {
			t.Parallel()
			s := withClientCertificate(&peer{name: "curl"}, plain(), id)
			s.ourServer = requireClient
			e, _ := visitCurl(t, s, serverName)
			expectClient(t, e, id)
		})
	}
	t.Run("curl/none", func(t *testing.T) {
		t.Parallel()
		s := plain()
		s.ourServer = requireClient
		l := listen(t)
		c := curl(t, s, l.Addr().String(), serverName)
		e := newServer(t, s.server(), l)
		expectAlert(t, e.handshake(), certificateRequired, false)
		e.wire.Close()
		c.expectFailure(`certificate required`)
	})
}
