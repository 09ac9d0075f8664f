package interop

import (
	"bytes"
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/baretls/baretls"
)

// Our client asks for a server by name and gets its certificate.
func TestTLS12ServerNameOfOurClient(t *testing.T) {
	w := makeWorld()
	two := map[string][]string{
		"openssl": {"-servername", "example.com", "-cert2", w.example.certFile, "-key2", w.example.keyFile},
		"gnutls":  {"--x509certfile=" + w.example.certFile, "--x509keyfile=" + w.example.keyFile},
	}
	for _, p := range peers {
		for _, name := range []string{serverName, "example.com"} {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := plain12().with(two[p.name]...).also(nil, nil, func(c *tls.Config) { c.Certificates = append(c.Certificates, w.example.cert) })
				r := p.serve(t, s)
				e := newClient(t, s.client(), name, r.addr)
				meet(t, e, r, s, true)
				if got := e.conn.PeerCertificates()[0].DNSNames[0]; got != name {
					t.Errorf("the certificate is for %s, want %s", got, name)
				}
			})
		}
	}
}

// Our server picks the certificate by the name that the peer asks for.
func TestTLS12ServerNameOfPeer(t *testing.T) {
	w := makeWorld()
	s := plain12().also(nil, func(c *baretls.ServerConfig) { c.Certificates = append(c.Certificates, w.example.cert) }, nil)
	for name, connect := range map[string]func(*testing.T) *endpoint{
		"openssl": func(t *testing.T) *endpoint {
			e, p := visitOpenSSL(t, s.with("-servername", "Example.com", "-verify_hostname", "example.com"))
			p.said(`subject=CN = interop example\n`)
			return e
		},
		"gnutls": func(t *testing.T) *endpoint {
			e, r := meetClient(t, peers[2], s.with("--sni-hostname=example.com", "--verify-hostname=example.com"))
			r.said(`subject .CN=interop example`)
			return e
		},
		"curl": func(t *testing.T) *endpoint {
			e, p := visitCurl(t, s, "example.com")
			p.said(`subject: CN=interop example`)
			return e
		},
		"crypto-tls": func(t *testing.T) *endpoint {
			e, _ := meetClient(t, peers[0], s.also(nil, nil, func(c *tls.Config) { c.ServerName = "example.com" }))
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := connect(t).conn.ServerName(); got != "example.com" {
				t.Errorf("server name is %q, want example.com", got)
			}
		})
	}
	t.Run("openssl/no name", func(t *testing.T) {
		t.Parallel()
		e, _ := visitOpenSSL(t, s.with("-noservername"))
		if got := e.conn.ServerName(); got != "" {
			t.Errorf("server name is %q, and none was sent", got)
		}
	})
}

// Our client sees the OCSP response that the server staples, which is a message
// of its own in TLS 1.2: RFC 6066, Section 8. A resumed connection remembers.
func TestTLS12StapleOfPeer(t *testing.T) {
	file, der := makeWorld().ca.ocspResponse(t, makeWorld().byKey[0])
	flags := map[string][]string{"openssl": {"-status_file", file}, "gnutls": {"--ocsp-response=" + file}}
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			var judged [][]byte
			s := twice12().with(flags[p.name]...).also(
				func(c *baretls.ClientConfig) {
					c.VerifyPeer = func(v *baretls.PeerVerification) error {
						judged = append(judged, bytes.Clone(v.OCSPResponse))
						return nil
					}
				}, nil, func(c *tls.Config) { c.Certificates[0].OCSPStaple = der })
			meetServerAgain(t, p, s, func(i int, e *endpoint) {
				firstFull(t)(i, e)
				expectBytes(t, "the response", e.conn.OCSPResponse(), der)
			})
			if len(judged) == 0 {
				t.Error("VerifyPeer was not asked")
			}
			for _, response := range judged {
				expectBytes(t, "the response that VerifyPeer saw", response, der)
			}
		})
	}
}

// The peers see the OCSP response that our server staples, and find it good.
func TestTLS12StapleOfOurServer(t *testing.T) {
	w := makeWorld()
	_, der := w.ca.ocspResponse(t, w.byKey[0])
	stapled := plain12().also(nil, func(c *baretls.ServerConfig) { c.Certificates[0].OCSPStaple = der }, nil)
	t.Run("openssl", func(t *testing.T) {
		t.Parallel()
		_, p := visitOpenSSL(t, stapled.with("-status"))
		p.said(`OCSP Response Status: successful`)
		p.said(`Cert Status: good`)
	})
	t.Run("openssl/not asked for", func(t *testing.T) {
		t.Parallel()
		_, p := visitOpenSSL(t, stapled)
		p.neverSaid(`OCSP`)
	})
	t.Run("openssl/asked for, not there", func(t *testing.T) {
		t.Parallel()
		_, p := visitOpenSSL(t, plain12().with("-status"))
		p.said(`OCSP response: no response sent`)
	})
	t.Run("gnutls", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "staple")
		meetClient(t, peers[2], stapled.with("--save-ocsp="+file))
		got, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		expectBytes(t, "what gnutls-cli saved", got, der)
	})
	t.Run("curl", func(t *testing.T) {
		t.Parallel()
		// It looks for the issuer in what the server sends only.
		s := stapled.with("--cert-status").also(nil, func(c *baretls.ServerConfig) {
			c.Certificates[0].Certificate = append(slices.Clone(c.Certificates[0].Certificate), w.ca.cert.Raw)
		}, nil)
		_, p := visitCurl(t, s, serverName)
		p.said(`SSL certificate status: good`)
	})
	t.Run("crypto-tls", func(t *testing.T) {
		t.Parallel()
		expectBytes(t, "what crypto/tls has", visitStd(t, stapled).OCSPResponse, der)
	})
}

// Signed certificate timestamps are in the ServerHello of TLS 1.2: RFC 6962,
// Section 3.3.1.
func TestTLS12SignedCertificateTimestamps(t *testing.T) {
	scts := [][]byte{[]byte("first log"), bytes.Repeat([]byte("second log "), 20)}
	expect := func(t *testing.T, got [][]byte) {
		t.Helper()
		if !slices.EqualFunc(got, scts, bytes.Equal) {
			t.Errorf("the timestamps are %q, want %q", got, scts)
		}
	}
	t.Run("crypto-tls/client", func(t *testing.T) {
		t.Parallel()
		e, _ := meetServer(t, peers[0], plain12().also(nil, nil, func(c *tls.Config) { c.Certificates[0].SignedCertificateTimestamps = scts }))
		expect(t, e.conn.SignedCertificateTimestamps())
	})
	t.Run("crypto-tls/server", func(t *testing.T) {
		t.Parallel()
		expect(t, visitStd(t, plain12().also(nil, func(c *baretls.ServerConfig) { c.Certificates[0].SignedCertificateTimestamps = scts }, nil)).SignedCertificateTimestamps)
	})
	t.Run("openssl/server", func(t *testing.T) {
		t.Parallel()
		logs := filepath.Join(t.TempDir(), "logs")
		must(0, os.WriteFile(logs, []byte("enabled_logs =\n"), 0o600))
		s := plain12().with("-ct", "-ctlogfile", logs).also(nil, func(c *baretls.ServerConfig) {
			c.Certificates[0].SignedCertificateTimestamps = [][]byte{sctV1}
		}, nil)
		_, p := visitOpenSSL(t, s)
		p.said(`SCTs present \(1\)`)
		p.said(`Log ID +: 4C:4F:47`)
	})
}
