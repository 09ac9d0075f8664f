package baretls_test

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
	machine "github.com/baretls/baretls/internal/handshake"
	"github.com/baretls/baretls/internal/tlstest"
)

// elsewhere is where the sessions of many servers are: what is put there comes
// back by the answers to SessionWanted alone.
type elsewhere struct {
	t testing.TB
	sessionMap
}

func (e elsewhere) Get(string) []byte {
	e.t.Error("the store is asked, though the caller wants to be")
	return nil
}

func (e elsewhere) Remove(string) bool {
	e.t.Error("the store is asked to remove, though the caller wants to be")
	return false
}

// answer is that of a server that asks for the session.
func (e elsewhere) answer(q question) error {
	return answerer{store: e.sessionMap}.answer(q)
}

// Two servers know each other's sessions by a store that neither is part of, and
// each session is good for once.
func TestAskSessionsOfTwoServers(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		edit := withNoEarlyData
		if v == tls12 {
			edit = want12
		}
		store := elsewhere{t, make(sessionMap)}
		st := newStage(t, edit)
		var servers []*baretls.ServerConfig
		for range 2 {
			servers = append(servers, st.newServerConfig(func(s *baretls.ServerConfig) {
				s.MaxVersion, s.SessionStore, s.Ask = st.server.MaxVersion, store, baretls.AskSession
			}))
		}
		meet := func(server int) *meeting {
			st.server = servers[server]
			m := st.meet()
			m.server.answers(manners[4], store.answer)
			m.complete()
			m.works()
			return m
		}
		meet(0).wantKind("the first connection", baretls.HandshakeFull)
		meet(1).wantKind("one to the other server", baretls.HandshakeResumed)
		// In TLS 1.2 a session is kept again by the connection that it was for.
		again := map[version]baretls.HandshakeKind{tls13: baretls.HandshakeFull, tls12: baretls.HandshakeResumed}[v]
		session := st.sessions.takeAll(t)
		for _, want := range []baretls.HandshakeKind{baretls.HandshakeResumed, again} {
			st.sessions.empty()
			st.sessions.put(t, session)
			meet(0).wantKind("use of one session", want)
		}
	})
}

// A ticket that is not a name is nobody's business: there is no question.
func TestAskSessionOfATicketOfAnotherKind(t *testing.T) {
	st := newStage(t, withNoEarlyData)
	st.connect() // with a server that seals tickets
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
		s.SessionStore, s.Ask = elsewhere{t, make(sessionMap)}, baretls.AskSession
	})
	if !st.offers("example.com") {
		t.Fatal("the client has no ticket")
	}
	m := st.connects("with a sealed ticket", baretls.HandshakeFull)
	wantAsked(t, "with a sealed ticket", m.server, nil)
}

// Each identity is a question, until one is answered with a session, and there is
// a limit.
func TestAskSessionOfSeveralIdentities(t *testing.T) {
	names := func(n int) (list [][]byte) {
		for i := range n {
			list = append(list, bytes.Repeat([]byte{byte(i + 1)}, machine.SessionNameLen))
		}
		return list
	}
	for _, test := range []struct {
		before, after, questions int
		kind                     baretls.HandshakeKind
	}{
		{0, 0, 1, baretls.HandshakeResumed},
		{0, 3, 1, baretls.HandshakeResumed},
		{2, 1, 3, baretls.HandshakeResumed},
		{3, 0, 4, baretls.HandshakeResumed},
		{4, 0, 4, baretls.HandshakeFull},
		{40, 0, 4, baretls.HandshakeFull},
	} {
		store := elsewhere{t, make(sessionMap)}
		st := newStage(t, func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
			s.SessionStore, s.Ask = store, baretls.AskSession
		})
		st.connect()
		encoded := st.sessions.takeAll(t)
		st.sessions.put(t, encoded)
		m := st.meet()
		flight := records(t, m.clientFlight())
		forged := withIdentities(t, flight[0][5:], seen(t, encoded), names(test.before), names(test.after))
		asked := 0
		m.server.answers(manners[1], func(q question) error {
			if _, ok := q.(baretls.SessionWanted); ok {
				asked++
			}
			return store.answer(q)
		})
		m.answer(plain(handshake, forged))
		if kind := m.server.conn.HandshakeKind(); kind != test.kind || asked != test.questions || m.server.err != nil {
			t.Errorf("with %d names in front and %d behind there are %d questions, want %d, and the handshake is %q, want %q; error %v",
				test.before, test.after, asked, test.questions, kind, test.kind, m.server.err)
		}
	}
}

// refusingGuard is one that is not asked.
type refusingGuard struct{ t testing.TB }

func (g refusingGuard) Since() time.Time { return time.Time{} }
func (g refusingGuard) Fresh([32]byte, time.Time) (bool, error) {
	g.t.Error("the ReplayGuard is asked, though the caller wants to be")
	return true, nil
}

// A replayed flight is the same Flight, at any server, and another is another.
func TestAskReplay(t *testing.T) {
	st := newStage(t)
	st.connect()
	flight := st.meet().clientFlight("pay 1")
	other := st.meet().clientFlight("pay 1")
	register := make(map[[32]byte]bool)
	for i, test := range []struct {
		flight []byte
		status baretls.EarlyDataStatus
		data   string
	}{
		{flight, accepted, "pay 1"}, {flight, rejected, ""}, {other, accepted, "pay 1"}, {flight, rejected, ""}, {other, rejected, ""},
	} {
		st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
			s.Ask, s.ReplayGuard = baretls.AskEarlyData, refusingGuard{t}
		})
		m := &meeting{pair: &pair{t: t, keys: st.keys}, serverConn: st.newServer()}
		m.server = newSide(t, "server", &m.serverConn.Conn)
		m.server.answers(manners[2], func(q question) error {
			early := q.(baretls.EarlyDataOffered)
			if register[early.Flight()] {
				return early.Reject()
			}
			register[early.Flight()] = true
			return early.Accept()
		})
		m.answer(bytes.Clone(test.flight))
		if got := m.server.conn.EarlyData(); got != test.status || string(m.early) != test.data || m.server.err != nil {
			t.Errorf("flight %d: early data is %q and reads %q, want %q and %q, error %v", i, got, m.early, test.status, test.data, m.server.err)
		}
		if got := m.server.conn.HandshakeKind(); got != baretls.HandshakeResumed {
			t.Errorf("flight %d: the handshake is %q", i, got)
		}
	}
	if len(register) != 2 {
		t.Errorf("there are %d flights, want 2", len(register))
	}
}

// The answer decides, and both sides know.
func TestAskEarlyData(t *testing.T) {
	for _, how := range manners {
		for _, accept := range []bool{true, false} {
			st := newStage(t, func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
				s.Ask, s.ReplayGuard = baretls.AskEarlyData, refusingGuard{t}
			})
			st.connect()
			m := st.meet()
			m.sendEarly("early", "data")
			m.server.answers(how, func(q question) error {
				if accept {
					return q.(baretls.EarlyDataOffered).Accept()
				}
				return q.(baretls.EarlyDataOffered).Reject()
			})
			m.complete()
			if accept {
				m.wantEarly("accepted "+how.name, accepted, accepted, "earlydata")
			} else {
				m.wantEarly("rejected "+how.name, rejected, rejected, "")
			}
			m.wantKind("with early data", baretls.HandshakeResumed)
			m.works()
		}
	}
}

// Nobody is asked about early data that cannot be accepted.
func TestAskEarlyDataComesAfterTheChecks(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(st *stage, s *baretls.ServerConfig)
		ask  bool
	}{
		{"as it should be", func(*stage, *baretls.ServerConfig) {}, true},
		{"a ticket that is older than the client says", func(st *stage, s *baretls.ServerConfig) { s.Time = st.clock.ahead(11 * time.Second) }, false},
		{"a ticket that is younger", func(st *stage, s *baretls.ServerConfig) { s.Time = st.clock.ahead(-11 * time.Second) }, false},
		{"less early data than the ticket allows", func(_ *stage, s *baretls.ServerConfig) { s.MaxEarlyData = 9999 }, false},
		{"no early data", func(_ *stage, s *baretls.ServerConfig) { s.MaxEarlyData = 0 }, false},
		{"another suite", func(_ *stage, s *baretls.ServerConfig) { s.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} }, false},
		{"a HelloRetryRequest", func(_ *stage, s *baretls.ServerConfig) { s.Groups = []tls.CurveID{tls.CurveP384} }, false},
		{"another kind of session", func(_ *stage, s *baretls.ServerConfig) { s.SessionContext = "another" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t)
			st.connect()
			st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
				s.Ask, s.ReplayGuard = baretls.AskEarlyData, refusingGuard{t}
				test.edit(st, s)
			})
			m := st.meet()
			m.sendEarly("early data")
			m.server.answers(manners[0], answerer{}.answer)
			m.complete()
			m.works()
			want, status := []string{earlyOffered}, accepted
			if !test.ask {
				want, status = nil, rejected
			}
			wantAsked(t, test.name, m.server, want)
			if got := m.server.conn.EarlyData(); got != status {
				t.Errorf("early data is %q, want %q", got, status)
			}
		})
	}

	t.Run("a binder that is wrong", func(t *testing.T) {
		st := newStage(t, func(_ *baretls.ClientConfig, s *baretls.ServerConfig) { s.Ask = baretls.AskEarlyData })
		st.connect()
		m := st.meet()
		hello := records(t, m.clientFlight("early data"))[0]
		hello[len(hello)-1] ^= 1
		m.answer(hello)
		m.server.wantFailed(decryptErrorAlert)
		wantAsked(t, "a binder that is wrong", m.server, nil)
	})
}

// A register may have forgotten the flight when it expires: an answer that comes
// later accepts nothing.
func TestAskEarlyDataAnsweredTooLate(t *testing.T) {
	for _, test := range []struct {
		wait   time.Duration
		status baretls.EarlyDataStatus
	}{{10 * time.Second, accepted}, {11 * time.Second, rejected}, {time.Hour, rejected}} {
		st := newStage(t, func(_ *baretls.ClientConfig, s *baretls.ServerConfig) { s.Ask = baretls.AskEarlyData })
		st.connect()
		m := st.meet()
		m.sendEarly("early data")
		m.server.answers(manners[0], func(q question) error {
			st.clock.move(test.wait)
			return q.(baretls.EarlyDataOffered).Accept()
		})
		m.complete()
		m.works()
		if got := m.server.conn.EarlyData(); got != test.status {
			t.Errorf("early data that is accepted after %v is %q, want %q", test.wait, got, test.status)
		}
	}
}

// A client that asks about its server trusts it with nothing before.
func TestAskingClientSendsNoEarlyData(t *testing.T) {
	for _, ask := range []baretls.Ask{0, baretls.AskPeerCertificate, baretls.AskSignature | baretls.AskCertificate} {
		st := newStage(t, func(c *baretls.ClientConfig, _ *baretls.ServerConfig) { c.Ask = ask })
		answers := func(m *meeting) *meeting {
			m.client.answers(manners[0], answerer{}.answer)
			m.complete()
			m.works()
			return m
		}
		answers(st.meet())
		m := answers(st.meet())
		m.wantKind("the second connection", baretls.HandshakeResumed)
		if got, want := m.client.conn.EarlyData() != baretls.EarlyDataNotOffered, ask&baretls.AskPeerCertificate == 0; got != want {
			t.Errorf("a client that asks %#x offers early data: %v, want %v", uint8(ask), got, want)
		}
	}
}

// A client that is not accepted any more gets a full handshake, and has another
// chance.
func TestAskClientOfASession(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, second := range []bool{true, false} { // whether it is accepted then
			m := spot{state: clientReceived, role: "server", resumed: true}.reach(t, v)
			var resumed []bool
			answer := func(q question) error {
				received := q.(baretls.ClientCertificateReceived)
				resumed = append(resumed, received.Resumed())
				if received.Resumed() || !second {
					return received.Answer(errNotToday)
				}
				return received.Answer(received.Verify())
			}
			if err := answer(m.q); err != nil {
				t.Fatal(err)
			}
			m.server.answers(manners[1], answer)
			m.server.woken = true
			if m.runEarly(); !second {
				m.server.wantFailed(badCertificate)
				m.client.wantAlerted(badCertificate)
			} else {
				m.handshake()
				m.works()
				m.wantKind("after a refusal", baretls.HandshakeFull)
			}
			if want := []bool{true, false}; !slices.Equal(resumed, want) {
				t.Errorf("the client is asked about, resumed %v, want %v", resumed, want)
			}
		}
	})
}

// What a client's callbacks would say does not count unless it is asked for by
// Verify.
func TestAskAndCallbacks(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, verify := range []bool{false, true} {
			called := 0
			count := func(*baretls.PeerVerification) error { called++; return nil }
			client, server := v.client(), v.server()
			client.CustomVerify, client.VerifyPeer, client.Ask = count, count, baretls.AskPeerCertificate
			p := v.pair(t, client, server)
			p.client.answers(manners[0], func(q question) error {
				if verify {
					return answerer{}.answer(q)
				}
				return q.(baretls.ServerCertificateReceived).Answer(nil)
			})
			p.handshake()
			if want := map[bool]int{true: 2}[verify]; called != want {
				t.Errorf("callbacks were called %d times, want %d", called, want)
			}
		}
	})
}

// Chains that were accepted because somebody said so are not remembered as
// verified ones.
func TestAskedChainsAreNotRemembered(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		client, server := v.client(), v.server()
		client.Ask = baretls.AskPeerCertificate
		server.Certificates = []tls.Certificate{tlstest.New(tlstest.Options{UnknownCA: true})}
		for i := range 2 {
			p := v.pair(t, client, server)
			p.client.answers(manners[0], func(q question) error {
				received := q.(baretls.ServerCertificateReceived)
				if err := received.Verify(); err == nil {
					t.Errorf("connection %d: a stranger verifies", i)
				}
				return received.Answer(nil)
			})
			p.handshake()
		}
	})
}

// Data for the sessions to come can still be set while a question waits.
func TestAskAndResumptionData(t *testing.T) {
	m := spot{state: helloReceived, role: "server"}.reach(t, tls13)
	if err := m.serverConn.SetResumptionData([]byte("user 17")); err != nil {
		t.Errorf("SetResumptionData while a question waits: %v", err)
	}
	m.wantWaiting()
	again := m.st.meet()
	again.server.answers(manners[0], m.answerer().answer)
	again.client.answers(manners[0], m.answerer().answer)
	again.complete()
	if got := string(again.serverConn.ResumptionData()); got != "user 17" {
		t.Errorf("the resumed connection has the data %q", got)
	}
}
