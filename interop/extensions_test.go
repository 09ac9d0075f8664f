package interop

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

// Both sides agree on an application protocol: the server's preference.
func TestALPN(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name+"/client", func(t *testing.T) {
			t.Parallel()
			// openssl and gnutls-serv have no more to say than one protocol.
			s := withALPN(p, plain(), "http/1.1")
			s.ourClient = func(c *baretls.ClientConfig) { c.NextProtos = []string{"h2", "http/1.1"} }
			e, r := meetServer(t, p, s)
			expectALPN(t, e, "http/1.1")
			if p.name == "openssl" {
				r.said(`ALPN protocols advertised by the client: h2, http/1\.1\nALPN protocols selected: http/1\.1`)
			}
		})
		t.Run(p.name+"/client offers, server has none", func(t *testing.T) {
			t.Parallel()
			s := plain()
			s.ourClient = func(c *baretls.ClientConfig) { c.NextProtos = []string{"h2"} }
			e, _ := meetServer(t, p, s)
			expectALPN(t, e, "")
		})
		t.Run(p.name+"/server", func(t *testing.T) {
			t.Parallel()
			s := withALPN(p, plain(), "http/1.1", "h2")
			s.ourServer = func(c *baretls.ServerConfig) { c.NextProtos = []string{"h2", "http/1.1"} }
			e, r := meetClient(t, p, s)
			expectALPN(t, e, "h2")
			if p.name == "gnutls" {
				r.said(`Application protocol: h2`)
			}
		})
		t.Run(p.name+"/server has some, client offers none", func(t *testing.T) {
			t.Parallel()
			s := plain()
			s.ourServer = func(c *baretls.ServerConfig) { c.NextProtos = []string{"h2"} }
			e, _ := meetClient(t, p, s)
			expectALPN(t, e, "")
		})
	}
	t.Run("openssl/server, as the client sees it", func(t *testing.T) {
		t.Parallel()
		s := plain().with("-alpn", "http/1.1,h2")
		s.ourServer = func(c *baretls.ServerConfig) { c.NextProtos = []string{"h2"} }
		_, p := visitOpenSSL(t, s)
		p.said(`\nALPN protocol: h2\n`)
	})
	t.Run("curl/server", func(t *testing.T) {
		t.Parallel()
		s := plain()
		s.ourServer = func(c *baretls.ServerConfig) { c.NextProtos = []string{"h2", "http/1.1"} }
		e, p := visitCurl(t, s, serverName)
		expectALPN(t, e, "http/1.1")
		p.said(`ALPN: server accepted http/1\.1`)
	})
}

func expectALPN(t *testing.T, e *endpoint, want string) {
	t.Helper()
	if got := e.conn.ALPNProtocol(); got != want {
		t.Errorf("application protocol is %q, want %q", got, want)
	}
}

// visitOpenSSL lets s_client connect to our server, print all it knows about
// the connection, and go.
func visitOpenSSL(t *testing.T, s scene) (*endpoint, *process) {
	t.Helper()
	l := listen(t)
	p := opensslClient(t, s, l.Addr().String())
	p.stdin.Close()
	e := newServer(t, s.server(), l)
	if err := e.handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	if err := closeSecond(e); err != nil {
		t.Errorf("close: %v", err)
	}
	e.wire.Close()
	p.expectSuccess()
	return e, p
}

// visitCurl lets curl get a page from our server of that name.
func visitCurl(t *testing.T, s scene, name string) (*endpoint, *process) {
	t.Helper()
	l := listen(t)
	p := curl(t, s, l.Addr().String(), name)
	e := newServer(t, s.server(), l)
	if err := serveOnce(e, []byte("a page\n")); err != nil {
		t.Fatal(err)
	}
	p.expectSuccess()
	return e, p
}

// Our client asks for a server by name and gets its certificate.
func TestServerNameOfOurClient(t *testing.T) {
	w := makeWorld()
	two := map[string][]string{
		"openssl": {"-servername", "example.com", "-cert2", w.example.certFile, "-key2", w.example.keyFile},
		"gnutls":  {"--x509certfile=" + w.example.certFile, "--x509keyfile=" + w.example.keyFile},
	}
	for _, p := range peers {
		for _, name := range []string{serverName, "example.com"} {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := plain().with(two[p.name]...)
				s.tune = func(c *tls.Config) { c.Certificates = append(c.Certificates, w.example.cert) }
				r := p.serve(t, s)
				e := newClient(t, s.client(), name, r.addr)
				meet(t, e, r, s, true)
				if got := e.conn.PeerCertificates()[0].DNSNames[0]; got != name {
					t.Errorf("the certificate is for %s, want %s", got, name)
				}
			})
		}
	}
	t.Run("gnutls/unknown", func(t *testing.T) {
		t.Parallel()
		s := plain().with("--sni-hostname=example.com", "--sni-hostname-fatal")
		_, err := refusedServer(t, peers[2], s, serverName)
		expectAlert(t, err, unrecognizedName, true)
	})
	t.Run("crypto-tls/address", func(t *testing.T) {
		t.Parallel()
		s := plain()
		name := "never asked"
		s.tune = func(c *tls.Config) {
			c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				name = h.ServerName
				return nil, nil
			}
		}
		s.ourClient = func(c *baretls.ClientConfig) {
			c.CustomVerify = func(*baretls.PeerVerification) error { return nil }
		}
		r := stdServe(t, s)
		e := newClient(t, s.client(), "127.0.0.1", r.addr)
		meet(t, e, r, s, true)
		if name != "" {
			t.Errorf("the server name is %q, and an address is none", name)
		}
	})
}

// Our server picks the certificate by the name that the peer asks for.
func TestServerNameOfPeer(t *testing.T) {
	w := makeWorld()
	for _, c := range []struct {
		name    string
		connect func(*testing.T, scene) *endpoint
	}{
		{"openssl", func(t *testing.T, s scene) *endpoint {
			e, p := visitOpenSSL(t, s.with("-servername", "Example.com", "-verify_hostname", "example.com"))
			p.said(`subject=CN = interop example\n`)
			return e
		}},
		{"gnutls", func(t *testing.T, s scene) *endpoint {
			e, r := meetClient(t, peers[2], s.with("--sni-hostname=example.com", "--verify-hostname=example.com"))
			r.said(`subject .CN=interop example`)
			return e
		}},
		{"curl", func(t *testing.T, s scene) *endpoint {
			e, p := visitCurl(t, s, "example.com")
			p.said(`subject: CN=interop example`)
			return e
		}},
		{"crypto-tls", func(t *testing.T, s scene) *endpoint {
			s.tune = func(c *tls.Config) { c.ServerName = "example.com" }
			e, _ := meetClient(t, peers[0], s)
			return e
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := plain()
			s.ourServer = func(c *baretls.ServerConfig) { c.Certificates = append(c.Certificates, w.example.cert) }
			if got := c.connect(t, s).conn.ServerName(); got != "example.com" {
				t.Errorf("server name is %q, want example.com", got)
			}
		})
	}
	t.Run("openssl/no name", func(t *testing.T) {
		t.Parallel()
		e, _ := visitOpenSSL(t, plain().with("-noservername"))
		if got := e.conn.ServerName(); got != "" {
			t.Errorf("server name is %q, and none was sent", got)
		}
	})
	t.Run("gnutls/no name", func(t *testing.T) {
		t.Parallel()
		e, _ := meetClient(t, peers[2], plain().with("--disable-sni"))
		if got := e.conn.ServerName(); got != "" {
			t.Errorf("server name is %q, and none was sent", got)
		}
	})
}

// Our client sees the OCSP response that the server staples.
func TestStapleOfPeer(t *testing.T) {
	id := makeWorld().byKey[0]
	file, der := makeWorld().ca.ocspResponse(t, id)
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := plain()
			switch p.name {
			case "openssl":
				s = s.with("-status_file", file)
			case "gnutls":
				s = s.with("--ocsp-response=" + file)
			}
			s.tune = func(c *tls.Config) { c.Certificates[0].OCSPStaple = der }
			var judged []byte
			s.ourClient = func(c *baretls.ClientConfig) {
				c.VerifyPeer = func(v *baretls.PeerVerification) error {
					judged = bytes.Clone(v.OCSPResponse)
					return nil
				}
			}
			e, _ := meetServer(t, p, s)
			if !bytes.Equal(e.conn.OCSPResponse(), der) || !bytes.Equal(judged, der) {
				t.Errorf("%d bytes of OCSP response were stapled; the client has %d, and VerifyPeer saw %d", len(der), len(e.conn.OCSPResponse()), len(judged))
			}
		})
	}
}

// The peers see the OCSP response that our server staples, and find it good.
func TestStapleOfOurServer(t *testing.T) {
	w := makeWorld()
	_, der := w.ca.ocspResponse(t, w.byKey[0])
	stapled := plain()
	stapled.ourServer = func(c *baretls.ServerConfig) { c.Certificates[0].OCSPStaple = der }
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
	t.Run("gnutls", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "staple")
		meetClient(t, peers[2], stapled.with("--save-ocsp="+file))
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, der) {
			t.Errorf("gnutls-cli saved %d bytes (%v), and %d were stapled", len(got), err, len(der))
		}
	})
	t.Run("curl", func(t *testing.T) {
		t.Parallel()
		s := stapled.with("--cert-status")
		s.ourServer = func(c *baretls.ServerConfig) {
			// curl looks for the issuer in what the server sends only.
			stapled.ourServer(c)
			c.Certificates[0].Certificate = append(slices.Clone(c.Certificates[0].Certificate), w.ca.cert.Raw)
		}
		_, p := visitCurl(t, s, serverName)
		p.said(`SSL certificate status: good`)
	})
	t.Run("crypto-tls", func(t *testing.T) {
		t.Parallel()
		state := visitStd(t, stapled)
		if !bytes.Equal(state.OCSPResponse, der) {
			t.Errorf("crypto/tls has %d bytes, and %d were stapled", len(state.OCSPResponse), len(der))
		}
	})
}

// visitStd connects a client of crypto/tls to our server, and returns what that
// knows.
func visitStd(t *testing.T, s scene) tls.ConnectionState {
	t.Helper()
	l := listen(t)
	type result struct {
		state tls.ConnectionState
		err   error
	}
	done := make(chan result, 1)
	go func() {
		raw, err := net.DialTimeout("tcp", l.Addr().String(), patience)
		if err != nil {
			done <- result{err: err}
			return
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(patience))
		c := tls.Client(raw, s.std())
		err = c.Handshake()
		c.CloseWrite()
		done <- result{c.ConnectionState(), err}
	}()
	e := newServer(t, s.server(), l)
	if err := e.handshake(); err != nil {
		t.Errorf("our handshake: %v", err)
	}
	r := <-done
	if r.err != nil {
		t.Fatalf("handshake of crypto/tls: %v", r.err)
	}
	return r.state
}

// Signed certificate timestamps pass both ways. Nobody here looks into them.
func TestSignedCertificateTimestamps(t *testing.T) {
	scts := [][]byte{[]byte("first log"), bytes.Repeat([]byte("second log "), 20)}
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		s := plain()
		s.tune = func(c *tls.Config) { c.Certificates[0].SignedCertificateTimestamps = scts }
		e, _ := meetServer(t, peers[0], s)
		if got := e.conn.SignedCertificateTimestamps(); !slices.EqualFunc(got, scts, bytes.Equal) {
			t.Errorf("the client has the timestamps %q, want %q", got, scts)
		}
	})
	t.Run("client/openssl", func(t *testing.T) {
		t.Parallel()
		e, _ := meetServer(t, peers[1], plain().with("-serverinfo", serverInfo(t, scts)))
		if got := e.conn.SignedCertificateTimestamps(); !slices.EqualFunc(got, scts, bytes.Equal) {
			t.Errorf("the client has the timestamps %q, want %q", got, scts)
		}
	})
	t.Run("server/openssl", func(t *testing.T) {
		t.Parallel()
		logs := filepath.Join(t.TempDir(), "logs")
		must(0, os.WriteFile(logs, []byte("enabled_logs =\n"), 0o600))
		s := plain().with("-ct", "-ctlogfile", logs)
		s.ourServer = func(c *baretls.ServerConfig) { c.Certificates[0].SignedCertificateTimestamps = [][]byte{sctV1} }
		_, p := visitOpenSSL(t, s)
		p.said(`SCTs present \(1\)`)
		p.said(`Log ID +: 4C:4F:47`)
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		s := plain()
		s.ourServer = func(c *baretls.ServerConfig) { c.Certificates[0].SignedCertificateTimestamps = scts }
		if got := visitStd(t, s).SignedCertificateTimestamps; !slices.EqualFunc(got, scts, bytes.Equal) {
			t.Errorf("crypto/tls has the timestamps %q, want %q", got, scts)
		}
	})
}

// sctV1 is a timestamp that can be read, and that no log has signed: version,
// log, time, no extensions, and a signature by ECDSA with SHA-256.
var sctV1 = slices.Concat([]byte{0}, []byte("LOG"), make([]byte, 29), make([]byte, 8), []byte{0, 0}, []byte{4, 3, 0, 8}, []byte("\x30\x06\x02\x01\x01\x02\x01\x01"))

// serverInfo is the timestamps as an extension that s_server puts behind its
// certificate: context, type and length come before the list of RFC 6962,
// Section 3.3.
func serverInfo(t *testing.T, scts [][]byte) (file string) {
	var list []byte
	for _, sct := range scts {
		list = append(binary.BigEndian.AppendUint16(list, uint16(len(sct))), sct...)
	}
	list = append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
	const (
		inClientHello     = 0x0080
		inCertificate13   = 0x1000
		certificateStamps = 18
	)
	info := binary.BigEndian.AppendUint32(nil, inClientHello|inCertificate13)
	info = binary.BigEndian.AppendUint16(info, certificateStamps)
	info = append(binary.BigEndian.AppendUint16(info, uint16(len(list))), list...)
	file = filepath.Join(t.TempDir(), "serverinfo.pem")
	must(0, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "SERVERINFOV2 FOR interop", Bytes: info}), 0o600))
	return file
}
