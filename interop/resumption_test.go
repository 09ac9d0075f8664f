package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"

	"github.com/baretls/baretls"
)

func expectKind(t *testing.T, e *endpoint, want baretls.HandshakeKind) {
	t.Helper()
	if kind := e.conn.HandshakeKind(); kind != want {
		t.Errorf("the handshake was %v, want %v", kind, want)
	}
}

// meetServerAgain lets our client meet the peer's server several times with one
// config, and checks each connection.
func meetServerAgain(t *testing.T, p *peer, s scene, check func(i int, e *endpoint)) {
	t.Helper()
	r := p.serve(t, s)
	config := s.client()
	for i := range s.times {
		e := newClient(t, config, serverName, r.addr)
		meet(t, e, r, s, true)
		check(i, e)
	}
}

// meetClientAgain is the same for our server and the peer's client.
func meetClientAgain(t *testing.T, p *peer, s scene, check func(i int, e *endpoint)) {
	t.Helper()
	l := listen(t)
	if p.clientResumesAtOnce {
		s.times = 2
	}
	config := s.server()
	r := p.dial(t, s, l.Addr().String())
	for i := range s.times {
		e := newServer(t, config, l)
		if p.clientResumesAtOnce && i == 0 {
			if err := e.handshake(); err != nil {
				t.Fatalf("handshake: %v", err)
			}
			// It does not wait for an answer.
			if rest, err := e.takeRest(); err != nil || len(rest) > 0 {
				t.Fatalf("close: %v, after %d bytes", err, len(rest))
			}
			e.wire.Close()
			r.ended(t)
		} else {
			meet(t, e, r, s, p.clientAnswersClose)
		}
		check(i, e)
	}
}

// A connection can be resumed, and so can the resumed one, again and again,
// with every suite.
func TestResumption(t *testing.T) {
	for _, p := range peers {
		for _, suite := range suites {
			s := plain()
			s.suite, s.times = suite, 4
			check := func(t *testing.T, name string) func(int, *endpoint) {
				return func(i int, e *endpoint) {
					t.Helper()
					want := baretls.HandshakeResumed
					if i == 0 {
						want = baretls.HandshakeFull
					}
					expectKind(t, e, want)
					certs := e.conn.PeerCertificates()
					if name == "" && len(certs) != 0 || name != "" && (len(certs) == 0 || certs[0].Subject.CommonName != name) {
						t.Errorf("connection %d is with %v, want the one named %q", i, certs, name)
					}
				}
			}
			t.Run(fmt.Sprintf("%s/client/%#04x", p.name, suite), func(t *testing.T) {
				t.Parallel()
				meetServerAgain(t, p, s, check(t, "interop ECDSA-P256"))
			})
			t.Run(fmt.Sprintf("%s/server/%#04x", p.name, suite), func(t *testing.T) {
				t.Parallel()
				meetClientAgain(t, p, s, check(t, ""))
			})
		}
	}
}

// A resumption may take a HelloRetryRequest: the binder is made anew for the
// second hello (RFC 9846, Section 4.3.11.2).
func TestResumptionWithRetry(t *testing.T) {
	check := func(t *testing.T) func(int, *endpoint) {
		return func(i int, e *endpoint) {
			t.Helper()
			want := baretls.HandshakeResumedWithHelloRetryRequest
			if i == 0 {
				want = baretls.HandshakeFullWithHelloRetryRequest
			}
			expectKind(t, e, want)
		}
	}
	for _, p := range peers {
		s := plain()
		s.group, s.times = tls.CurveP256, 3
		t.Run(p.name+"/client", func(t *testing.T) {
			t.Parallel()
			s := s
			s.ours = []tls.CurveID{tls.X25519, tls.CurveP256}
			meetServerAgain(t, p, s, check(t))
		})
	}
	for _, p := range peers {
		s := plain()
		s.group, s.times = tls.CurveP256, 3
		s.theirs = []tls.CurveID{tls.X25519, tls.CurveP256}
		if p.name == "gnutls" {
			s = s.with("--single-key-share")
		}
		t.Run(p.name+"/server", func(t *testing.T) {
			t.Parallel()
			meetClientAgain(t, p, s, check(t))
		})
		t.Run(p.name+"/server/cookie", func(t *testing.T) {
			t.Parallel()
			s := s
			s.ourServer = func(c *baretls.ServerConfig) { c.RetryCookieKey = cookieKey }
			meetClientAgain(t, p, s, check(t))
		})
	}
}

// A server that keeps its sessions knows them again, once each, and a server
// of another process that was given the keys opens its tickets.
func TestResumptionElsewhere(t *testing.T) {
	kinds := []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed}
	for _, p := range peers {
		t.Run(p.name+"/SessionStore", func(t *testing.T) {
			t.Parallel()
			s := twice()
			s.ourServer = func(c *baretls.ServerConfig) { c.SessionStore = baretls.NewSessionCache(0) }
			meetClientAgain(t, p, s, func(i int, e *endpoint) { expectKind(t, e, kinds[i]) })
		})
	}
	t.Run("crypto-tls/SessionTicketsDisabled", func(t *testing.T) {
		t.Parallel()
		s := twice()
		s.ourServer = func(c *baretls.ServerConfig) { c.SessionTicketsDisabled = true }
		meetClientAgain(t, peers[0], s, func(i int, e *endpoint) { expectKind(t, e, baretls.HandshakeFull) })
	})
	t.Run("crypto-tls/keys handed over", func(t *testing.T) {
		t.Parallel()
		keys, err := baretls.NewTicketKeys(0)
		if err != nil {
			t.Fatal(err)
		}
		l := listen(t)
		r := stdDial(t, twice(), l.Addr().String())
		for i, kind := range kinds {
			s := twice()
			s.ourServer = func(c *baretls.ServerConfig) { c.TicketKeys = new(baretls.TicketKeys) }
			config := s.server()
			if err := config.TicketKeys.UnmarshalBinary(must(keys.MarshalBinary())); err != nil {
				t.Fatalf("server %d does not take the keys: %v", i, err)
			}
			e := newServer(t, config, l)
			meet(t, e, r, s, true)
			expectKind(t, e, kind)
		}
	})
}

// twice is a plain scene of two connections.
func twice() scene {
	s := plain()
	s.times = 2
	return s
}

// Our client resumes with a session that was encoded and decoded, and by a
// config that shares scope and store with the one that got it.
func TestStoredSession(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := twice()
			store := new(encodedSessions)
			s.ourClient = func(c *baretls.ClientConfig) { c.Sessions, c.SessionScope = store, "interop" }
			r := p.serve(t, s)
			for _, kind := range []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed} {
				e := newClient(t, s.client(), serverName, r.addr)
				meet(t, e, r, s, true)
				expectKind(t, e, kind)
				if e.conn.TicketsReceived() == 0 {
					t.Error("no ticket has come")
				}
			}
		})
	}
}

// encodedSessions is a store of one session, the latest, in its encoding. It
// gives it out as often as it is asked, if again is set, against the rules.
type encodedSessions struct {
	encoded []byte
	again   bool
}

func (s *encodedSessions) Put(key string, session *baretls.ClientSession) {
	if s.again && s.encoded != nil {
		return
	}
	s.encoded = must(session.MarshalBinary())
}

func (s *encodedSessions) Take(key string) *baretls.ClientSession {
	if s.encoded == nil {
		return nil
	}
	session := new(baretls.ClientSession)
	must(session, session.UnmarshalBinary(s.encoded))
	if !s.again {
		s.encoded = nil
	}
	return session
}

// curl comes back for a second page with the ticket it got with the first.
func TestResumptionOfCurl(t *testing.T) {
	s := plain()
	l := listen(t)
	addr := l.Addr().String()
	p := curl(t, s.with("https://"+curlHost(addr, serverName)+"/page"), addr, serverName)
	config := s.server()
	for _, kind := range []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed} {
		e := newServer(t, config, l)
		if err := serveOnce(e, []byte("a page\n")); err != nil {
			t.Fatal(err)
		}
		expectKind(t, e, kind)
		e.wire.Close()
	}
	p.expectSuccess()
	p.said(`SSL re-using session ID`)
	if got := p.stdout.all(); string(got) != "a page\na page\n" {
		t.Errorf("curl got %q", got)
	}
}

// The key log of a resumed connection, and what it exports, are the same on
// both sides.
func TestSecretsOfResumption(t *testing.T) {
	for _, suite := range suites {
		for _, ourClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%#04x", roleName(ourClient), suite), func(t *testing.T) {
				t.Parallel()
				var ours, theirs bytes.Buffer
				keys, err := baretls.NewTicketKeys(0)
				if err != nil {
					t.Fatal(err)
				}
				store, cache := baretls.NewClientSessionCache(0), tls.NewLRUClientSessionCache(0)
				s := plain()
				s.suite = suite
				s.ourClient = func(c *baretls.ClientConfig) {
					c.KeyLogWriter, c.Sessions, c.SessionScope = &ours, store, "interop"
				}
				s.ourServer = func(c *baretls.ServerConfig) { c.KeyLogWriter, c.TicketKeys = &ours, keys }
				s.tune = func(c *tls.Config) {
					c.KeyLogWriter, c.ClientSessionCache = &theirs, cache
					c.SetSessionTicketKeys([][32]byte{{1}})
				}
				for _, kind := range []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed, baretls.HandshakeResumed} {
					ours.Reset()
					theirs.Reset()
					e, peer := stdPair(t, s, ourClient)
					expectKind(t, e, kind)
					if resumed := kind == baretls.HandshakeResumed; peer.ConnectionState().DidResume != resumed || e.conn.ConnectionState().DidResume != resumed {
						t.Errorf("crypto/tls has DidResume %v and we %v, want %v", peer.ConnectionState().DidResume, e.conn.ConnectionState().DidResume, resumed)
					}
					compareKeyLogs(t, ours.String(), theirs.String(), 4)
					state := peer.ConnectionState()
					want := must(state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32))
					if got, err := e.conn.TLSExporter(); err != nil || !bytes.Equal(got, want) {
						t.Errorf("the channel binding is %x (%v), crypto/tls has %x", got, err, want)
					}
					// The tickets have come when data has.
					if err := e.write([]byte("?")); err != nil {
						t.Fatal(err)
					}
					if _, err := peer.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
					if _, err := peer.Write([]byte("!")); err != nil {
						t.Fatal(err)
					}
					if _, err := e.take(1); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// A server knows its client by certificate after a resumption too, and asks
// for none.
func TestResumptionOfAuthenticatedClient(t *testing.T) {
	w := makeWorld()
	for _, p := range peers {
		for _, id := range w.clientsFor(p) {
			t.Run(p.name+"/"+id.name, func(t *testing.T) {
				t.Parallel()
				s := withClientCertificate(p, twice(), id)
				s.ourServer = requireClient
				meetClientAgain(t, p, s, func(i int, e *endpoint) {
					expectKind(t, e, []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed}[i])
					expectClient(t, e, id)
				})
			})
		}
		t.Run(p.name+"/our client", func(t *testing.T) {
			t.Parallel()
			id := w.clients[0]
			s := requireOfUs(p, twice())
			s.ourClient = func(c *baretls.ClientConfig) { c.Certificates = []tls.Certificate{id.cert} }
			meetServerAgain(t, p, s, func(i int, e *endpoint) {
				expectKind(t, e, []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed}[i])
			})
		})
	}
}

// clientsFor are the clients whose certificates the peer can handle.
func (w *world) clientsFor(p *peer) []*identity {
	return slices.DeleteFunc(slices.Clone(w.clients), func(id *identity) bool { return !slices.Contains(p.certs, id.name) })
}
