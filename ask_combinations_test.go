package baretls_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// Whatever is asked for, and whenever the answers come, the handshake is the
// same: the same messages, which the same secrets prove, in the same course.

// An askScenario is a handshake, with all that can be asked in it, in order.
type askScenario struct {
	name               string
	edit               func(c *baretls.ClientConfig, s *baretls.ServerConfig)
	stored             bool // sessions are in a store
	resumed            bool // it is a second connection
	early              bool // that begins with 0-RTT data
	ofClient, ofServer []string
}

// want12 makes the scenario one of TLS 1.2.
func want12(c *baretls.ClientConfig, s *baretls.ServerConfig) {
	c.MaxVersion, s.MaxVersion, c.CipherSuites, c.EnableEarlyData = tls.VersionTLS12, tls.VersionTLS12, nil, false
}

// want12OfServer does so for the server alone.
func want12OfServer(c *baretls.ClientConfig, s *baretls.ServerConfig) {
	s.MaxVersion, c.CipherSuites, c.EnableEarlyData = tls.VersionTLS12, nil, false
}

func withClientAuth(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
	s.ClientAuth = tls.RequireAndVerifyClientCert
	s.ClientCAs, _ = tlstest.CA()
}

func withRetry(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
	s.Groups = []tls.CurveID{tls.CurveP256}
}

func withCookie(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
	s.RetryCookieKey = []byte("thirty-two bytes that nobody knows")
}

func withNoEarlyData(c *baretls.ClientConfig, _ *baretls.ServerConfig) { c.EnableEarlyData = false }

func editing(edits ...func(*baretls.ClientConfig, *baretls.ServerConfig)) func(*baretls.ClientConfig, *baretls.ServerConfig) {
	return func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		for _, edit := range edits {
			edit(c, s)
		}
	}
}

var askScenarios = []askScenario{
	{name: "full", edit: editing(),
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, signatureWanted}},
	{name: "full, with a client certificate", edit: withClientAuth,
		ofClient: []string{certRequested, serverReceived, signatureWanted},
		ofServer: []string{helloReceived, signatureWanted, clientReceived}},
	{name: "full, with a HelloRetryRequest", edit: editing(withRetry, withClientAuth),
		ofClient: []string{certRequested, serverReceived, signatureWanted},
		ofServer: []string{helloReceived, signatureWanted, clientReceived}},
	{name: "full, with a cookie", edit: withCookie,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, signatureWanted}},
	{name: "full, with another group and a cookie", edit: editing(withRetry, withCookie),
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, signatureWanted}},
	{name: "resumed", edit: withNoEarlyData, resumed: true,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived}},
	{name: "resumed, with a HelloRetryRequest", edit: editing(withNoEarlyData, withRetry), resumed: true,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived}},
	{name: "resumed from a store, with a cookie", edit: editing(withNoEarlyData, withCookie), resumed: true, stored: true,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, sessionWanted, removalWanted}},
	{name: "resumed, with a client certificate", edit: editing(withNoEarlyData, withClientAuth), resumed: true,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, clientReceived}},
	{name: "resumed from a store, with a client certificate", edit: editing(withNoEarlyData, withClientAuth), resumed: true, stored: true,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, sessionWanted, clientReceived, removalWanted}},
	// A client that asks about its server sends no 0-RTT data.
	{name: "resumed, with 0-RTT data", edit: editing(), resumed: true, early: true,
		ofServer: []string{helloReceived, earlyOffered}},
	{name: "resumed from a store, with 0-RTT data and a client certificate", edit: withClientAuth, resumed: true, stored: true, early: true,
		ofServer: []string{helloReceived, sessionWanted, clientReceived, removalWanted, earlyOffered}},

	{name: "TLS 1.2, full", edit: want12,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, signatureWanted}},
	{name: "TLS 1.2, full, with a client certificate", edit: editing(want12, withClientAuth),
		ofClient: []string{serverReceived, certRequested, signatureWanted},
		ofServer: []string{helloReceived, signatureWanted, clientReceived}},
	// The random ID of a client that has TLS 1.3 could be one of a session.
	{name: "TLS 1.2, full, with a client of both versions", edit: want12OfServer,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, sessionWanted, signatureWanted}},
	{name: "TLS 1.2, resumed", edit: want12, resumed: true,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived}},
	{name: "TLS 1.2, resumed from a store", edit: want12, resumed: true, stored: true,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, sessionWanted}},
	{name: "TLS 1.2, resumed from a store, with a client certificate", edit: editing(want12, withClientAuth), resumed: true, stored: true,
		ofClient: []string{serverReceived},
		ofServer: []string{helloReceived, sessionWanted, clientReceived}},
}

// An askStage repeats a scenario: what the first connection left behind is
// there each time.
type askStage struct {
	askScenario
	*stage
	store   sessionMap
	session []byte // the client's
	kept    sessionMap
	cert    tls.Certificate // the client's
}

// sessionMap is a SessionStore.
type sessionMap map[string][]byte

func (m sessionMap) Put(name string, session []byte, _ time.Time) error {
	m[name] = bytes.Clone(session)
	return nil
}

func (m sessionMap) Get(name string) []byte { return bytes.Clone(m[name]) }

func (m sessionMap) Remove(name string) bool {
	_, ok := m[name]
	delete(m, name)
	return ok
}

func newAskStage(t *testing.T, sc askScenario) *askStage {
	t.Helper()
	st := &askStage{askScenario: sc, stage: newStage(t), store: make(sessionMap), cert: tlstest.ClientLeaf(tlstest.Ed25519, "client.example.com")}
	if sc.resumed {
		st.configure(0, 0)
		m := st.connect()
		m.client.close()
		st.session = st.sessions.takeAll(t)
		st.kept = maps.Clone(st.store)
	}
	return st
}

// configure makes configs with nothing in them that is random.
func (st *askStage) configure(clientAsk, serverAsk baretls.Ask) {
	st.keys = new(keyLog)
	st.client = st.newClientConfig(func(c *baretls.ClientConfig) {
		c.Rand = rand.NewChaCha8([32]byte{1})
		c.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
		c.Certificates = []tls.Certificate{st.cert}
		c.Ask = clientAsk
	})
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
		s.Rand = rand.NewChaCha8([32]byte{2})
		s.Certificates = []tls.Certificate{tlstest.Leaf(tlstest.Ed25519)}
		s.Ask = serverAsk
		if st.stored || serverAsk&baretls.AskSession != 0 {
			s.SessionStore = st.store
		}
	})
	st.edit(st.client, st.server)
}

// again makes a client and a server for the handshake, as often as it takes.
func (st *askStage) again(clientAsk, serverAsk baretls.Ask) *meeting {
	st.t.Helper()
	st.sessions.empty()
	clear(st.store)
	if st.resumed {
		st.sessions.put(st.t, st.session)
		maps.Copy(st.store, st.kept)
	}
	st.configure(clientAsk, serverAsk)
	m := st.meet()
	if st.early {
		m.sendEarly("early data")
	}
	return m
}

// An outcome is what there is to know of a handshake.
type outcome struct {
	client, server []string // course
	secrets        string   // as the key log has them: of the transcript, hence
	kind           baretls.HandshakeKind
	early          string
}

// outcome repeats the handshake. Data goes both ways afterwards.
func (st *askStage) outcome(what string, clientAsk, serverAsk baretls.Ask, how manner) outcome {
	st.t.Helper()
	m := st.again(clientAsk, serverAsk)
	for _, s := range m.sides() {
		s.answers(how, answerer{&st.cert, st.store}.answer)
	}
	m.runEarly()
	for _, s := range m.sides() {
		if s.err != nil || s.conn.IsHandshaking() {
			st.t.Fatalf("%s: the %s does not come through the handshake: %v, course %v", what, s.role, s.err, course(s.transcript))
		}
	}
	o := outcome{course(m.client.transcript), course(m.server.transcript), st.keys.String(), m.client.conn.HandshakeKind(), string(m.early)}
	wantAsked(st.t, what, m.client, filter(st.ofClient, clientAsk))
	wantAsked(st.t, what, m.server, filter(st.ofServer, serverAsk))
	m.works()
	return o
}

func filter(names []string, ask baretls.Ask) (asked []string) {
	for _, name := range names {
		if askOf[name]&ask != 0 {
			asked = append(asked, name)
		}
	}
	return asked
}

func wantAsked(t testing.TB, what string, s *side, want []string) {
	t.Helper()
	if got := questions(s.transcript); !slices.Equal(got, want) {
		t.Errorf("%s: the %s is asked %v, want %v", what, s.role, got, want)
	}
}

func TestAskCombinations(t *testing.T) {
	for _, sc := range askScenarios {
		t.Run(sc.name, func(t *testing.T) {
			st := newAskStage(t, sc)
			inline := st.outcome("inline", 0, 0, manners[0])
			if resumed := inline.kind == baretls.HandshakeResumed || inline.kind == baretls.HandshakeResumedWithHelloRetryRequest; resumed != sc.resumed {
				t.Fatalf("inline, the handshake is %v", inline.kind)
			}
			if inline.secrets == "" {
				t.Fatal("inline, the key log is empty")
			}
			if want := map[bool]string{true: "early data"}[sc.early]; inline.early != want {
				t.Fatalf("inline, the server has read the early data %q, want %q", inline.early, want)
			}
			n := 0
			wantSame := func(clientAsk, serverAsk baretls.Ask) {
				t.Helper()
				how := manners[n%len(manners)]
				n++
				what := fmt.Sprintf("client asked %#x, server %#x, answers %s", uint8(clientAsk), uint8(serverAsk), how.name)
				got := st.outcome(what, clientAsk, serverAsk, how)
				if !slices.Equal(got.client, inline.client) || !slices.Equal(got.server, inline.server) {
					t.Errorf("%s: the course is\n\t%v\n\t%v\nand inline\n\t%v\n\t%v", what, got.client, got.server, inline.client, inline.server)
				}
				// A session of a store begins with a random ID in TLS 1.2.
				random := serverAsk&baretls.AskSession != 0 && !sc.stored
				if got.secrets != inline.secrets && !random {
					t.Errorf("%s: the secrets are\n%s\nand inline\n%s", what, got.secrets, inline.secrets)
				}
				if got.kind != inline.kind || got.early != inline.early {
					t.Errorf("%s: the handshake is %v with early data %q, and inline %v with %q", what, got.kind, got.early, inline.kind, inline.early)
				}
			}
			for ask := range serverAsks + 1 {
				// Tickets of other kinds are none of a store's.
				if ask&^serverAsks == 0 && (ask&baretls.AskSession == 0 || sc.stored || !sc.resumed) {
					wantSame(0, ask)
				}
			}
			ofClient := clientAsks
			if sc.early {
				ofClient &^= baretls.AskPeerCertificate
			}
			for ask := range ofClient + 1 {
				if ask&^ofClient == 0 {
					wantSame(ask, 0)
				}
			}
			all := serverAsks
			if sc.resumed && !sc.stored {
				all &^= baretls.AskSession
			}
			for range manners {
				wantSame(ofClient, all)
			}
		})
	}
}
