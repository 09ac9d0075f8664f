package interop

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/baretls/baretls"
)

// The versions that a side may have.
var versionRanges = map[string][2]uint16{
	"1.2":  {tls.VersionTLS12, tls.VersionTLS12},
	"1.3":  {tls.VersionTLS13, tls.VersionTLS13},
	"both": {tls.VersionTLS12, tls.VersionTLS13},
}

// withVersions gives the peer these versions.
func withVersions(p *peer, s scene, theirs string) (*peer, scene) {
	s.version = versionRanges[theirs][1]
	if theirs != "both" {
		return p, s
	}
	switch p.name {
	case "openssl":
		return opensslAs(), s
	case "gnutls":
		return p, s.with(":+VERS-TLS1.2")
	}
	return p, s.also(nil, nil, func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 })
}

// With nothing configured we meet peers of either version and of both, at the
// best that they have; and what we are configured for wins over what could be.
// Where there is nothing in common, the server says protocol_version.
func TestTLS12VersionNegotiation(t *testing.T) {
	for _, c := range []struct {
		ours, theirs string
		want         uint16 // 0: none in common
	}{
		{"default", "1.2", tls.VersionTLS12},
		{"default", "1.3", tls.VersionTLS13},
		{"default", "both", tls.VersionTLS13},
		{"1.2", "both", tls.VersionTLS12},
		{"1.3", "both", tls.VersionTLS13},
		{"1.2", "1.3", 0},
		{"1.3", "1.2", 0},
	} {
		t.Run("ours "+c.ours+", theirs "+c.theirs, func(t *testing.T) {
			eachPeer(t, func(t *testing.T, p *peer, ourClient bool) {
				limits := versionRanges[c.ours]
				p, s := withVersions(p, plain().within(limits[0], limits[1]), c.theirs)
				if c.want != 0 {
					s.version = c.want
					if p.name == "gnutls" && c.theirs == "both" && c.want == tls.VersionTLS12 {
						s = s.with(":+VERS-TLS1.3")
					}
					if p.name == "crypto-tls" && c.theirs == "both" {
						s = s.also(nil, nil, func(config *tls.Config) { config.MaxVersion = tls.VersionTLS13 })
					}
					meetPeer(t, p, s, ourClient)
					return
				}
				seen, err := refusedPeer(t, p, s, ourClient)
				if ourClient {
					want := protocolVersion
					if p.name == "gnutls" {
						// "No supported cipher suites", of its version that is.
						want = handshakeFailure
					}
					expectAlert(t, err, want, true)
					return
				}
				expectAlert(t, err, protocolVersion, false)
				seen(p.sees(protocolVersion))
			})
		})
	}
}

// curl takes the best that we have, and we what it has.
func TestTLS12VersionsOfCurl(t *testing.T) {
	for _, c := range []struct {
		ours string
		max  string // curl's
		want uint16
	}{
		{"default", "1.2", tls.VersionTLS12},
		{"default", "1.3", tls.VersionTLS13},
		{"1.2", "1.3", tls.VersionTLS12},
	} {
		t.Run("ours "+c.ours+", up to "+c.max, func(t *testing.T) {
			t.Parallel()
			limits := versionRanges[c.ours]
			s := plain().within(limits[0], limits[1]).with("--tlsv1.2", "--tls-max", c.max)
			e, _ := visitCurl(t, s, serverName)
			if got := e.conn.ProtocolVersion(); got != c.want {
				t.Errorf("version is %s, want %s", tls.VersionName(got), tls.VersionName(c.want))
			}
		})
	}
}

// A client that has fallen back to TLS 1.2 says so, and is refused by a server
// that could do better (RFC 7507).
func TestTLS12Fallback(t *testing.T) {
	openssl, gnutls := peers[1], peers[2]
	for _, c := range []struct {
		p *peer
		s scene
	}{
		{openssl, plain12().with("-fallback_scsv")},
		{gnutls, plain12().with(":%FALLBACK_SCSV")},
	} {
		t.Run(c.p.name+"/refused", func(t *testing.T) {
			t.Parallel()
			seen, err := refusedClient(t, c.p, c.s)
			expectAlert(t, err, inappropriateFallback, false)
			seen(c.p.sees(inappropriateFallback))
		})
		t.Run(c.p.name+"/nothing better here", func(t *testing.T) {
			t.Parallel()
			meetClient(t, c.p, c.s.within(tls.VersionTLS12, tls.VersionTLS12))
		})
	}
}

// No suite or group in common is a handshake_failure in TLS 1.2 too, and so is a
// client that does not have the curve of the server's key.
func TestTLS12NothingInCommon(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, ourClient bool) {
		suites := plain12().withSuite(p, aeads[0]).also(
			func(c *baretls.ClientConfig) { c.CipherSuites = []uint16{aeads[2].ecdsa} },
			func(c *baretls.ServerConfig) { c.CipherSuites = []uint16{aeads[2].ecdsa} }, nil)
		groups := plain12()
		groups.cert = makeWorld().identity("RSA")
		groups.ours, groups.theirs = []tls.CurveID{tls.CurveP384}, []tls.CurveID{tls.CurveP256}
		curve := plain12()
		curve.ours, curve.theirs = []tls.CurveID{tls.X25519}, []tls.CurveID{tls.X25519}
		for name, s := range map[string]scene{"suites": suites, "groups": groups, "curve of the key": curve} {
			if name == "groups" && ourClient {
				// The peers know suites without groups, but ours are not those.
				s = s.withSuite(p, aeads[0])
			}
			if name == "curve of the key" && ourClient {
				continue // the peers differ in what they make of that
			}
			seen, err := refusedPeer(t, p, s, ourClient)
			expectAlert(t, err, handshakeFailure, ourClient)
			if !ourClient {
				seen(p.sees(handshakeFailure))
			}
		}
	})
}

// A peer that does not know extended_main_secret (RFC 7627) is refused, unless
// it is allowed to be so old: then everything works but the exporter.
func TestTLS12NoExtendedMainSecret(t *testing.T) {
	allow := func(s scene) scene {
		return s.also(
			func(c *baretls.ClientConfig) { c.AllowNoExtendedMainSecret = true },
			func(c *baretls.ServerConfig) { c.AllowNoExtendedMainSecret = true }, nil)
	}
	for _, p := range peers[1:] {
		for _, ourClient := range []bool{true, false} {
			without := func(t *testing.T, s scene) (*peer, scene) {
				if p.name == "gnutls" {
					return p, s.with(":%NO_SESSION_HASH")
				}
				return opensslAs(noEMS(t)), s.with("-tls1_2")
			}
			name := p.name + "/" + roleName(ourClient)
			t.Run(name+"/refused", func(t *testing.T) {
				t.Parallel()
				p, s := without(t, plain12())
				seen, err := refusedPeer(t, p, s, ourClient)
				expectAlert(t, err, handshakeFailure, false)
				if !strings.Contains(err.Error(), "extended_main_secret") {
					t.Errorf("the error is %q, and does not say that extended_main_secret is missing", err)
				}
				seen(p.sees(handshakeFailure))
			})
			t.Run(name+"/allowed", func(t *testing.T) {
				t.Parallel()
				p, s := without(t, allow(plain12()))
				s.times = 2
				meetPeerAgain(t, p, s, ourClient, func(i int, e *endpoint) {
					t.Helper()
					firstFull(t)(i, e)
					if _, err := e.conn.TLSExporter(); err == nil {
						t.Error("a channel binding was made without extended_main_secret (RFC 7627, Section 5.4)")
					}
				})
			})
			t.Run(name+"/allowed and not needed", func(t *testing.T) {
				t.Parallel()
				e, _ := meetPeer(t, p, allow(plain12()), ourClient)
				if ourClient || p.clientAnswersClose { // else the secrets have gone with the connection
					if _, err := e.conn.TLSExporter(); err != nil {
						t.Errorf("the peer knows extended_main_secret, and there is no channel binding: %v", err)
					}
				}
			})
		}
	}
}

// Renegotiation is refused by a warning. OpenSSL then gives up, in either role.
func TestTLS12RenegotiationOfOpenSSL(t *testing.T) {
	expect := func(t *testing.T, e *endpoint, p *process, command string) {
		t.Helper()
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		say(t, e, p, "before")
		p.enter(command + "\n")
		_, err := e.takeRest()
		expectAlert(t, err, handshakeFailure, true)
		expectAlertsSent(t, e, 1)
		e.wire.Close()
		p.stderr.expect(t, `no renegotiation`)
		p.stop()
	}
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		s := plain12()
		p := opensslClient(t, s, l.Addr().String())
		e := newServer(t, s.server(), l)
		expect(t, e, p, "R")
	})
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		s := plain12()
		p, addr := opensslServer(t, s)
		e := newClient(t, s.client(), serverName, addr)
		expect(t, e, p, "r")
	})
}

// gnutls-cli asks again when it is refused, and then that is the end. gnutls-serv
// asks when its client says so, and goes when it is refused.
func TestTLS12RenegotiationOfGnuTLS(t *testing.T) {
	s := plain12()
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		p, _ := gnutlsClient(t, s.with("--inline-commands"), l.Addr().String())
		e := newServer(t, s.server(), l)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		say(t, e, p, "before")
		p.enter("^renegotiate^\n")
		_, err := e.takeRest()
		expectAlert(t, err, unexpectedMessage, false)
		expectAlertsSent(t, e, 2)
		e.wire.Close()
		p.stderr.expect(t, `A TLS warning alert has been received`)
		p.stop()
	})
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		r := gnutlsServe(t, s)
		e := newClient(t, s.client(), serverName, r.addr)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		if err := e.write([]byte("**REHANDSHAKE**\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := e.takeRest(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the server goes without close_notify, and the error is %v", err)
		}
		expectAlertsSent(t, e, 1)
	})
}

// expectAlertsSent counts our alerts: the first is the no_renegotiation.
func expectAlertsSent(t *testing.T, e *endpoint, want int) {
	t.Helper()
	const alert = 21
	if n := len(e.wire.sent.lengths(alert)); n != want {
		t.Errorf("we sent %d alerts, want %d", n, want)
	}
}

// ALPN in the ServerHello: agreed, one side without, and nothing in common.
func TestTLS12ALPN(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, ourClient bool) {
		ours := func(s scene, names ...string) scene {
			return s.also(
				func(c *baretls.ClientConfig) { c.NextProtos = names },
				func(c *baretls.ServerConfig) { c.NextProtos = names }, nil)
		}
		e, r := meetPeer(t, p, ours(withALPN(p, plain12(), "http/1.1"), "h2", "http/1.1"), ourClient)
		expectALPN(t, e, "http/1.1")
		switch {
		case p.name == "gnutls" && !ourClient:
			r.said(`Application protocol: http/1\.1`)
		case p.name == "openssl" && ourClient:
			r.said(`ALPN protocols selected: http/1\.1`)
		}
		e, _ = meetPeer(t, p, ours(plain12(), "h2"), ourClient)
		expectALPN(t, e, "")

		s := ours(withALPN(p, plain12(), "ftp"), "h2")
		if p.name == "gnutls" && ourClient {
			s = s.with("--alpn-fatal")
		}
		_, err := refusedPeer(t, p, s, ourClient)
		expectAlert(t, err, noApplicationProtocol, ourClient)
	})
}
