package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baretls/baretls"
)

// twice12 is a plain scene of two connections in TLS 1.2.
func twice12() scene {
	s := plain12()
	s.times = 2
	return s
}

// A connection of TLS 1.2 can be resumed by a ticket (RFC 5077), and so can the
// resumed one, with every suite. The certificates are remembered.
func TestTLS12Resumption(t *testing.T) {
	for _, p := range peers {
		for _, a := range aeads {
			for _, ourClient := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/%s", p.name, roleName(ourClient), a.gnutls), func(t *testing.T) {
					t.Parallel()
					s := plain12().withSuite(p, a)
					s.times = 3
					meetPeerAgain(t, p, s, ourClient, func(i int, e *endpoint) {
						t.Helper()
						firstFull(t)(i, e)
						expectSuite(t, e, a.ecdsa)
						if !ourClient {
							return
						}
						if i == 0 && e.conn.TicketsReceived() != 1 {
							t.Errorf("%d tickets have come, want 1", e.conn.TicketsReceived())
						}
						if certs := e.conn.PeerCertificates(); len(certs) == 0 || certs[0].Subject.CommonName != "interop ECDSA-P256" {
							t.Errorf("connection %d is with %v, want the one named interop ECDSA-P256", i, certs)
						}
					})
				})
			}
		}
	}
}

// withoutTickets makes the peer use session IDs. crypto/tls cannot resume by
// them.
var withoutTickets = map[string]string{"openssl": "-no_ticket", "gnutls": ":%NO_TICKETS"}

// Without tickets a connection is resumed by the ID that the server gave it (RFC
// 5246, Section 7.3): ours keeps the session in its SessionStore.
func TestTLS12ResumptionByID(t *testing.T) {
	store := func(c *baretls.ServerConfig) { c.SessionStore = baretls.NewSessionCache(0) }
	eachPeer(t, func(t *testing.T, p *peer, ourClient bool) {
		if p.name == "crypto-tls" {
			s := twice12().also(nil, store, func(c *tls.Config) { c.SessionTicketsDisabled = ourClient })
			meetPeerAgain(t, p, s, ourClient, func(i int, e *endpoint) {
				expectKind(t, e, baretls.HandshakeFull)
			})
			return
		}
		for _, a := range aeads {
			s := plain12().withSuite(p, a).also(nil, store, nil).with(withoutTickets[p.name])
			s.times = 3
			meetPeerAgain(t, p, s, ourClient, func(i int, e *endpoint) {
				t.Helper()
				firstFull(t)(i, e)
				if n := e.conn.TicketsReceived(); n != 0 {
					t.Errorf("%d tickets have come, and there should be none", n)
				}
			})
		}
	})
	for _, p := range peers[1:] {
		t.Run(p.name+"/server, and the client has tickets", func(t *testing.T) {
			t.Parallel()
			meetClientAgain(t, p, twice12().also(nil, store, nil), firstFull(t))
		})
	}
}

// The peer says that it was resumed as well, and what was asked for once more
// is as it was.
func TestTLS12ResumptionAsThePeerSeesIt(t *testing.T) {
	t.Run("gnutls", func(t *testing.T) {
		t.Parallel()
		p := peers[2]
		l := listen(t)
		s := twice12()
		config := s.server()
		r := p.dial(t, s, l.Addr().String())
		e := newServer(t, config, l)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		if err := closeSecond(e); err != nil {
			t.Fatalf("close: %v", err)
		}
		e.wire.Close()
		r.ended(t)
		e = newServer(t, config, l)
		meet(t, e, r, s, p.clientAnswersClose)
		expectKind(t, e, baretls.HandshakeResumed)
		r.said(`This is a resumed session`)
	})
	for _, ticket := range []bool{true, false} {
		t.Run(fmt.Sprintf("openssl -reconnect/%v", ticket), func(t *testing.T) {
			t.Parallel()
			s := plain12().with("-reconnect")
			if !ticket {
				s = s.with("-no_ticket").also(nil, func(c *baretls.ServerConfig) { c.SessionStore = baretls.NewSessionCache(0) }, nil)
			}
			l := listen(t)
			p := opensslClient(t, s, l.Addr().String())
			p.stdin.Close()
			config := s.server()
			for i := range 6 {
				e := newServer(t, config, l)
				if err := e.handshake(); err != nil {
					t.Fatalf("handshake %d: %v", i, err)
				}
				firstFull(t)(i, e)
				// It may be gone when our close_notify comes.
				if rest, err := e.takeRest(); err != nil || len(rest) > 0 {
					t.Fatalf("close %d: %v, after %d bytes", i, err, len(rest))
				}
				e.wire.Close()
			}
			p.expectSuccess()
			p.said(`(?s)New, TLSv1\.2(.*Reused, TLSv1\.2){5}`)
		})
	}
}

// curl comes back for a second page with the ID. It turns tickets off in TLS
// 1.2.
func TestTLS12ResumptionOfCurl(t *testing.T) {
	for _, byID := range []bool{true, false} {
		t.Run(fmt.Sprintf("SessionStore %v", byID), func(t *testing.T) {
			t.Parallel()
			s, kinds := plain12(), []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeFull}
			if byID {
				s = s.also(nil, func(c *baretls.ServerConfig) { c.SessionStore = baretls.NewSessionCache(0) }, nil)
				kinds = fullThenResumed
			}
			l := listen(t)
			addr := l.Addr().String()
			p := curl(t, s.with("https://"+curlHost(addr, serverName)+"/page"), addr, serverName)
			config := s.server()
			for _, kind := range kinds {
				e := newServer(t, config, l)
				if err := serveOnce(e, []byte("a page\n")); err != nil {
					t.Fatal(err)
				}
				expectKind(t, e, kind)
				e.wire.Close()
			}
			p.expectSuccess()
			if byID {
				p.said(`SSL re-using session ID`)
			}
			if got := p.stdout.all(); string(got) != "a page\na page\n" {
				t.Errorf("curl got %q", got)
			}
		})
	}
}

// Our client resumes with a session that was encoded and decoded, by ticket and
// by ID. Where resumption is turned off, nobody resumes.
func TestTLS12StoredSession(t *testing.T) {
	for _, p := range peers {
		for _, flag := range []string{"", withoutTickets[p.name]} {
			t.Run(p.name+"/"+flag, func(t *testing.T) {
				t.Parallel()
				store := new(encodedSessions)
				s := twice12().also(func(c *baretls.ClientConfig) { c.Sessions, c.SessionScope = store, "interop" }, nil, nil)
				if flag != "" {
					s = s.with(flag)
				}
				r := p.serve(t, s)
				for _, kind := range fullThenResumed {
					e := newClient(t, s.client(), serverName, r.addr)
					meet(t, e, r, s, true)
					expectKind(t, e, kind)
				}
			})
			if flag == "" && p.name == "crypto-tls" {
				break // it has no such flag
			}
		}
	}
	eachPeer(t, func(t *testing.T, p *peer, ourClient bool) {
		s := twice12().also(
			func(c *baretls.ClientConfig) { c.SessionTicketsDisabled = true },
			func(c *baretls.ServerConfig) { c.SessionTicketsDisabled = true }, nil)
		if p.name == "openssl" && !ourClient {
			s.times = 1 // s_client has no session to come back with
		}
		meetPeerAgain(t, p, s, ourClient, func(i int, e *endpoint) { expectKind(t, e, baretls.HandshakeFull) })
	})
}

// The key log of a connection of TLS 1.2 and what it exports, full or resumed,
// are the same on both sides: with a context, with an empty one, which is not
// the same as none (RFC 5705, Section 4), and with none.
func TestTLS12Secrets(t *testing.T) {
	for _, a := range aeads {
		for _, ourClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%s", roleName(ourClient), a.gnutls), func(t *testing.T) {
				t.Parallel()
				var ours, theirs bytes.Buffer
				keys, err := baretls.NewTicketKeys(0)
				if err != nil {
					t.Fatal(err)
				}
				store, cache := baretls.NewClientSessionCache(0), tls.NewLRUClientSessionCache(0)
				s := plain12().withSuite(peers[0], a).logging(&ours).also(
					func(c *baretls.ClientConfig) { c.Sessions, c.SessionScope = store, "interop" },
					func(c *baretls.ServerConfig) { c.TicketKeys = keys },
					func(c *tls.Config) {
						c.KeyLogWriter, c.ClientSessionCache = &theirs, cache
						c.SetSessionTicketKeys([][32]byte{{1}})
					})
				var secret string
				for _, kind := range []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed, baretls.HandshakeResumed} {
					ours.Reset()
					theirs.Reset()
					e, peer := stdPair(t, s, ourClient)
					expectKind(t, e, kind)
					state := peer.ConnectionState()
					if resumed := kind == baretls.HandshakeResumed; state.DidResume != resumed || e.conn.ConnectionState().DidResume != resumed {
						t.Errorf("crypto/tls has DidResume %v and we %v, want %v", state.DidResume, e.conn.ConnectionState().DidResume, resumed)
					}
					// crypto/tls does not log the main secret again.
					if kind == baretls.HandshakeFull {
						compareKeyLogs(t, ours.String(), theirs.String(), 1)
					}
					logged := strings.Fields(ours.String())
					if len(logged) != 3 || logged[0] != "CLIENT_RANDOM" || secret != "" && logged[2] != secret {
						t.Errorf("we logged %q, want one CLIENT_RANDOM, with the secret %q if there is one already", ours.String(), secret)
					} else {
						secret = logged[2]
					}
					compareExports(t, e, state)
				}
			})
		}
	}
}

func compareExports(t *testing.T, e *endpoint, state tls.ConnectionState) {
	t.Helper()
	for _, c := range []struct {
		label   string
		context []byte
		length  int
	}{
		{"EXPORTER-Channel-Binding", nil, 32},
		{"EXPORTER-Channel-Binding", []byte{}, 32},
		{"EXPERIMENTAL interop", []byte("a context"), 1},
		{"EXPERIMENTAL interop", bytes.Repeat([]byte{7}, 1000), 500},
	} {
		want, err := state.ExportKeyingMaterial(c.label, c.context, c.length)
		if err != nil {
			t.Fatalf("crypto/tls: %v", err)
		}
		got, err := e.conn.ExportKeyingMaterial(c.label, c.context, c.length)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes for %q with the context %.20q (nil: %v) are\n%x (%v), crypto/tls has\n%x", c.length, c.label, c.context, c.context == nil, got, err, want)
		}
	}
}

// The key log of openssl is ours, too, also where it resumes, and so is what it
// and GnuTLS export. The context of the channel binding tls-exporter is empty,
// and not absent: RFC 9266, Section 2.
func TestTLS12SecretsOfPrograms(t *testing.T) {
	const label = "EXPERIMENTAL interop"
	openssl := plain12().with("-keymatexport", label, "-keymatexportlen", "48")
	export := func(t *testing.T, e *endpoint) string {
		t.Helper()
		b, err := e.conn.ExportKeyingMaterial(label, nil, 48)
		if err != nil {
			t.Fatalf("export: %v", err)
		}
		return fmt.Sprintf("%x", b)
	}
	for _, ourClient := range []bool{true, false} {
		t.Run("key log/openssl/"+roleName(ourClient), func(t *testing.T) {
			t.Parallel()
			var ours bytes.Buffer
			file := filepath.Join(t.TempDir(), "keys")
			s := twice12().with("-keylogfile", file).logging(&ours)
			meetPeerAgain(t, peers[1], s, ourClient, firstFull(t))
			have, want := keyLogLines(ours.String()), keyLogLines(string(must(os.ReadFile(file))))
			if len(want) == 0 || !maps.Equal(have, want) {
				t.Errorf("our key log is\n%v\nthat of openssl\n%v", have, want)
			}
		})
	}
	t.Run("exporter/openssl/server", func(t *testing.T) {
		t.Parallel()
		e, p := visitOpenSSL(t, openssl)
		p.said(`Keying material: ` + strings.ToUpper(export(t, e)))
	})
	t.Run("exporter/openssl/client", func(t *testing.T) {
		t.Parallel()
		p, addr := opensslServer(t, openssl)
		e := newClient(t, openssl.client(), serverName, addr)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		if err := closeFirst(e, true); err != nil {
			t.Errorf("close: %v", err)
		}
		e.wire.Close()
		p.said(`Keying material: ` + strings.ToUpper(export(t, e)))
	})
	gnutls := plain12().with("--keymatexport="+label, "--keymatexportsize=48")
	t.Run("exporter/gnutls/client", func(t *testing.T) {
		t.Parallel()
		e, r := meetServer(t, peers[2], gnutls)
		r.said(`Key material: ` + export(t, e))
		r.said(fmt.Sprintf("'tls-exporter': %x\\n", must(e.conn.TLSExporter())))
	})
	t.Run("exporter/gnutls/server", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		r := gnutlsDial(t, gnutls.with("--verbose"), l.Addr().String())
		e := newServer(t, gnutls.server(), l)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		// gnutls-cli will just go, and the secrets with it.
		material, binding := export(t, e), must(e.conn.TLSExporter())
		meet(t, e, r, gnutls, peers[2].clientAnswersClose)
		r.said(`Key material: ` + material)
		r.said(fmt.Sprintf("'tls-exporter': %x\\n", binding))
	})
}
