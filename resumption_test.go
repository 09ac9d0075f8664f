package baretls_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
	machine "github.com/baretls/baretls/internal/handshake"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// stores are the two ways in which a server keeps sessions.
var stores = []struct {
	name string
	use  func(*baretls.ServerConfig)
}{
	{"tickets", func(*baretls.ServerConfig) {}},
	{"SessionStore", func(s *baretls.ServerConfig) { s.SessionStore = baretls.NewSessionCache(0) }},
}

func TestResumption(t *testing.T) {
	for _, store := range stores {
		for _, retry := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, retry %t", store.name, retry), func(t *testing.T) {
				st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
					store.use(s)
					s.Certificates[0].OCSPStaple = []byte("a staple")
					s.Certificates[0].SignedCertificateTimestamps = [][]byte{[]byte("a timestamp")}
					c.NextProtos, s.NextProtos = []string{"b", "a"}, []string{"a"}
					if retry {
						s.Groups = []tls.CurveID{tls.CurveP384}
					}
				})
				full, resumed := baretls.HandshakeFull, baretls.HandshakeResumed
				if retry {
					full, resumed = baretls.HandshakeFullWithHelloRetryRequest, baretls.HandshakeResumedWithHelloRetryRequest
				}
				first := st.connects("the first connection", full)
				for i := range 3 {
					again := st.connects(fmt.Sprintf("resumption %d", i+1), resumed)
					wantSamePeer(t, first.client.conn, again.client.conn)
					if n := len(again.server.conn.PeerCertificates()); n != 0 {
						t.Errorf("the server knows %d certificates of a client that has none", n)
					}
					if got, want := again.client.conn.NegotiatedKeyExchangeGroup(), first.client.conn.NegotiatedKeyExchangeGroup(); got != want || again.server.conn.NegotiatedKeyExchangeGroup() != want {
						t.Errorf("the resumption's group is %v, want %v: it comes with a key exchange of its own", got, want)
					}
				}
			})
		}
	}
}

// wantSamePeer checks that a resumed connection knows of its peer what the
// first one learnt.
func wantSamePeer(t *testing.T, first, again *baretls.Conn) {
	t.Helper()
	if !slices.EqualFunc(again.PeerCertificates(), first.PeerCertificates(), (*x509.Certificate).Equal) || len(again.PeerCertificates()) == 0 {
		t.Errorf("after resumption there are %d certificates of the peer, and were %d", len(again.PeerCertificates()), len(first.PeerCertificates()))
	}
	if a, f := again.ConnectionState().VerifiedChains, first.ConnectionState().VerifiedChains; len(a) != len(f) || len(f) == 0 {
		t.Errorf("after resumption there are %d verified chains, and were %d", len(a), len(f))
	}
	if got, want := again.PeerSignatureScheme(), first.PeerSignatureScheme(); got != want || want == 0 {
		t.Errorf("after resumption the peer's signature scheme is %v, and was %v", got, want)
	}
	if got, want := again.OCSPResponse(), first.OCSPResponse(); !bytes.Equal(got, want) {
		t.Errorf("after resumption the OCSP response is %q, and was %q", got, want)
	}
	if got, want := again.SignedCertificateTimestamps(), first.SignedCertificateTimestamps(); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("after resumption the timestamps are %q, and were %q", got, want)
	}
	if got, want := again.ALPNProtocol(), first.ALPNProtocol(); got != want {
		t.Errorf("after resumption the application protocol is %q, and was %q", got, want)
	}
}

// Who the server is, by a session, a client says when the server has proved to
// know the session's secret. A ServerHello proves nothing.
func TestResumedServerIsKnownByItsFinished(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			if v == tls12 {
				want12(c, s)
			}
		})
		st.connect()
		for _, whole := range []bool{true, false} {
			m := st.meet()
			m.answer(m.clientFlight())
			flight := m.server.take()
			if !whole {
				flight = records(t, flight)[0]
			}
			m.client.give(flight)
			m.client.turns()
			if kind := m.client.conn.HandshakeKind(); kind != baretls.HandshakeResumed {
				t.Fatalf("the handshake is %q", kind)
			}
			certificates := len(m.client.conn.PeerCertificates())
			if known := certificates > 0 && m.client.conn.PeerSignatureScheme() != 0; known != whole || m.client.conn.IsHandshaking() == whole {
				t.Errorf("with the whole flight %t, the client shows %d certificates of the server", whole, certificates)
			}
		}
	})
}

func TestTicketIsUsedOnce(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				store.use(s)
				c.TicketRequest = baretls.TicketRequest{Full: 2}
			})
			st.connects("the first connection, with two tickets", baretls.HandshakeFull)
			var tickets [2][]byte
			for i := range tickets {
				m := st.meet()
				h := firstHello(t, m.clientFlight())
				for ticket := range h.PreSharedKey.Identities.All() {
					tickets[i] = bytes.Clone(ticket)
				}
				m.answer(m.hello)
				m.complete()
				m.wantKind(fmt.Sprintf("with ticket %d of two", i+1), baretls.HandshakeResumed)
			}
			if bytes.Equal(tickets[0], tickets[1]) {
				t.Error("two connections have sent the same ticket: anybody can tell that they are of one client")
			}
			st.connects("the third, with the tickets used up", baretls.HandshakeFull)
		})
	}
}

// A server that keeps sessions itself gives each of them away once, whoever
// has the ticket.
func TestStoredSessionIsTakenOnce(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		s.SessionStore = baretls.NewSessionCache(0)
	})
	st.connect()
	session := st.sessions.takeAll(t)
	st.sessions.put(t, session)
	st.connects("the session's first use", baretls.HandshakeResumed)
	st.sessions.takeAll(t)
	st.sessions.put(t, session)
	st.connects("the session's second use", baretls.HandshakeFull)
}

// A session's name can be read by everybody on the way. Who does not have its
// secret, too, does not use it up, whether the store is asked or the caller.
func TestStrangersDoNotUseUpASession(t *testing.T) {
	for _, ask := range []baretls.Ask{0, baretls.AskSession} {
		store := make(sessionMap)
		st := newStage(t, func(_ *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionStore, s.Ask = store, ask })
		st.connect()
		session := st.sessions.takeAll(t)
		st.sessions.put(t, session)
		kept := len(store)

		stranger := st.meet()
		stranger.server.answers(manners[0], answerer{store: store}.answer)
		hello := records(t, stranger.clientFlight())[0]
		hello[len(hello)-1] ^= 1 // of the binder
		stranger.answer(hello)
		stranger.server.wantFailed(decryptErrorAlert)
		if len(store) != kept {
			t.Errorf("ask %#x: a hello with a wrong binder leaves %d sessions in the store, want %d", uint8(ask), len(store), kept)
		}

		st.sessions.empty()
		st.sessions.put(t, session)
		for _, want := range []baretls.HandshakeKind{baretls.HandshakeResumed, baretls.HandshakeFull} {
			m := st.meet()
			m.sendEarly("early data")
			m.server.answers(manners[0], answerer{store: store}.answer)
			m.complete()
			m.works()
			m.wantKind("the owner's connection", want)
			st.sessions.empty()
			st.sessions.put(t, session)
		}
	}
}

// Of two connections with one session, at the same time, one resumes it and
// gets the early data.
func TestOneOfTwoConnectionsGetsTheSession(t *testing.T) {
	store := make(sessionMap)
	st := newStage(t, func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
		s.SessionStore, s.Ask = store, baretls.AskSession
	})
	st.connect()
	flight := st.meet().clientFlight("pay 1")
	var waiting []baretls.SessionRemovalWanted
	var meetings []*meeting
	for range 2 {
		m := &meeting{pair: &pair{t: t, keys: st.keys}, serverConn: st.newServer()}
		m.server = newSide(t, "server", &m.serverConn.Conn)
		m.server.ask = func(q question) bool {
			if removal, ok := q.(baretls.SessionRemovalWanted); ok {
				waiting = append(waiting, removal)
				return false
			}
			if err := (answerer{store: store}).answer(q); err != nil {
				t.Fatal(err)
			}
			return true
		}
		m.answer(bytes.Clone(flight))
		meetings = append(meetings, m)
	}
	if len(waiting) != 2 {
		t.Fatalf("%d connections want to remove the session, want both", len(waiting))
	}
	for i, q := range waiting {
		if err := q.Answer(store.Remove(q.Name())); err != nil {
			t.Fatal(err)
		}
		m := meetings[i]
		m.serverTurns()
		status, data := []baretls.EarlyDataStatus{accepted, rejected}[i], []string{"pay 1", ""}[i]
		if got := m.server.conn.EarlyData(); got != status || string(m.early) != data || m.server.err != nil {
			t.Errorf("connection %d: early data is %q, %q, want %q, %q, error %v", i, got, m.early, status, data, m.server.err)
		}
	}
}

func TestResumptionAndCipherSuites(t *testing.T) {
	const (
		aes128 = tls.TLS_AES_128_GCM_SHA256
		aes256 = tls.TLS_AES_256_GCM_SHA384
		chacha = tls.TLS_CHACHA20_POLY1305_SHA256
	)
	for _, test := range []struct {
		name                 string
		first, later, client []uint16 // the suites of the server, and of the later client
		retry                bool
		offered, second      bool // the first hello has the PSK; the second does
		kind                 baretls.HandshakeKind
	}{
		{name: "the same suite", first: []uint16{aes128}, later: []uint16{aes128}, offered: true, kind: baretls.HandshakeResumed},
		{name: "another suite with the same hash", first: []uint16{aes128}, later: []uint16{chacha}, offered: true, kind: baretls.HandshakeResumed},
		{name: "a suite with a longer hash", first: []uint16{aes128}, later: []uint16{aes256}, offered: true, kind: baretls.HandshakeFull},
		{name: "a suite with a shorter hash", first: []uint16{aes256}, later: []uint16{aes128, chacha}, offered: true, kind: baretls.HandshakeFull},
		{name: "SHA-384 again", first: []uint16{aes256}, later: []uint16{aes256}, offered: true, kind: baretls.HandshakeResumed},
		{name: "a client without a suite of the hash", first: []uint16{aes128}, later: []uint16{aes256}, client: []uint16{aes256}, kind: baretls.HandshakeFull},
		{name: "a retry with the same hash", first: []uint16{aes128}, later: []uint16{chacha}, retry: true, offered: true, second: true, kind: baretls.HandshakeResumedWithHelloRetryRequest},
		{name: "a retry with another hash", first: []uint16{aes128}, later: []uint16{aes256}, retry: true, offered: true, kind: baretls.HandshakeFullWithHelloRetryRequest},
		{name: "a retry with a shorter hash", first: []uint16{aes256}, later: []uint16{aes128}, retry: true, offered: true, kind: baretls.HandshakeFullWithHelloRetryRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.CipherSuites = test.first })
			st.connect()
			st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
				s.CipherSuites = test.later
				if test.retry {
					s.Groups = []tls.CurveID{tls.CurveP384}
				}
			})
			if test.client != nil {
				st.client = st.newClientConfig(func(c *baretls.ClientConfig) { c.CipherSuites = test.client })
			}
			m := st.meet()
			if got := firstHello(t, m.clientFlight()).Has.Has(wire.ExtPreSharedKey); got != test.offered {
				t.Errorf("the first hello offers the session: %t, want %t", got, test.offered)
			}
			m.answer(m.hello)
			if test.retry {
				m.client.give(m.server.take())
				m.client.turns()
				second := m.client.take()
				if got := firstHello(t, second).Has.Has(wire.ExtPreSharedKey); got != test.second {
					t.Errorf("the second hello offers the session: %t, want %t: a PSK goes with one hash only", got, test.second)
				}
				m.answer(second)
			}
			m.complete()
			m.works()
			m.wantKind(test.name, test.kind)
		})
	}
}

// withIdentities adds identities in front of those of a hello and seals the
// binders of all: the session's at its place, and junk at the others.
func withIdentities(t *testing.T, hello []byte, session *machine.Session, before, after [][]byte) []byte {
	t.Helper()
	var h wire.ClientHello
	if err := h.Parse(hello[4:]); err != nil {
		t.Fatalf("the client's hello: %v", err)
	}
	own := h.PreSharedKey.Identities
	var identities, binders []byte
	for _, ticket := range before {
		identities = wire.AppendPSKIdentity(identities, ticket, 7)
	}
	identities = append(identities, own...)
	for _, ticket := range after {
		identities = wire.AppendPSKIdentity(identities, ticket, 7)
	}
	for range len(before) + 1 + len(after) {
		binders = wire.AppendPSKBinder(binders, make([]byte, 32))
	}
	h.PreSharedKey.Identities, h.PreSharedKey.Binders = identities, binders
	forged := h.Append(nil)
	start := len(forged) - len(binders)
	truncated := forged[:start-2]
	copy(forged[start+33*len(before)+1:], binderOf(session.PSK, truncated))
	return forged
}

// binderOf is RFC 9846, Section 4.3.11.2, for SHA-256 and a first hello.
func binderOf(psk, truncated []byte) []byte {
	extract := func(salt, ikm []byte) []byte {
		mac := hmac.New(sha256.New, salt)
		mac.Write(ikm)
		return mac.Sum(nil)
	}
	early := extract(make([]byte, 32), psk)
	empty := sha256.Sum256(nil)
	binderKey := expandLabelWith(early, "res binder", empty[:], 32)
	hash := sha256.Sum256(truncated)
	return extract(expandLabel(binderKey, "finished", 32), hash[:])
}

func TestSeveralIdentities(t *testing.T) {
	unknown := func(n int) (list [][]byte) {
		for i := range n {
			list = append(list, bytes.Repeat([]byte{byte(i + 1)}, 100))
		}
		return list
	}
	for _, test := range []struct {
		name          string
		before, after [][]byte
		kind          baretls.HandshakeKind
	}{
		{"the ticket alone", nil, nil, baretls.HandshakeResumed},
		{"one unknown ticket in front", unknown(1), nil, baretls.HandshakeResumed},
		{"three unknown tickets in front", unknown(3), nil, baretls.HandshakeResumed},
		{"two unknown tickets around", unknown(1), unknown(1), baretls.HandshakeResumed},
		{"more unknown tickets behind than are looked at", nil, unknown(20), baretls.HandshakeResumed},
		{"more unknown tickets in front than are looked at", unknown(4), nil, baretls.HandshakeFull},
		{"a ticket of one byte in front", [][]byte{{1}}, nil, baretls.HandshakeResumed},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t)
			st.connect()
			encoded := st.sessions.takeAll(t)
			st.sessions.put(t, encoded)
			m := st.meet()
			flight := records(t, m.clientFlight())
			forged := withIdentities(t, flight[0][5:], seen(t, encoded), test.before, test.after)
			m.answer(plain(handshake, forged))
			if m.server.err != nil {
				t.Fatalf("the server refuses the hello: %v", m.server.err)
			}
			if got := m.server.conn.HandshakeKind(); got != test.kind {
				t.Errorf("the handshake is %q, want %q", got, test.kind)
			}
			// Early data goes with the first identity alone.
			early := baretls.EarlyDataRejected
			if len(test.before) == 0 {
				early = baretls.EarlyDataAccepted
			}
			if got := m.server.conn.EarlyData(); got != early {
				t.Errorf("early data is %q, want %q", got, early)
			}
			var sh wire.ServerHello
			answer := records(t, m.server.take())
			if err := sh.Parse(messages(t, answer[0][5:])[0][4:], ^wire.ExtensionSet(0)); err != nil {
				t.Fatalf("ServerHello: %v", err)
			}
			if test.kind == baretls.HandshakeResumed && int(sh.SelectedIdentity) != len(test.before) {
				t.Errorf("the server selects identity %d, want %d", sh.SelectedIdentity, len(test.before))
			}
			// A client that knows of one ticket takes no other.
			m.client.give(answer...)
			m.client.turns()
			if len(test.before) > 0 && test.kind == baretls.HandshakeResumed {
				m.client.wantFailed(illegalParameter)
			}
		})
	}
}

func TestSessionLifetime(t *testing.T) {
	const hour = time.Hour
	for _, test := range []struct {
		name     string
		lifetime time.Duration // of tickets
		wait     time.Duration // until the next connection
		client   time.Duration // the client's clock is so much ahead of the server's
		offered  bool
		kind     baretls.HandshakeKind
	}{
		{name: "at once", lifetime: hour, offered: true, kind: baretls.HandshakeResumed},
		{name: "a millisecond before it expires", lifetime: hour, wait: hour - time.Millisecond, offered: true, kind: baretls.HandshakeResumed},
		{name: "when it expires", lifetime: hour, wait: hour, kind: baretls.HandshakeFull},
		{name: "long after", lifetime: hour, wait: 100 * hour, kind: baretls.HandshakeFull},
		{name: "after a day by default", wait: 24 * hour, kind: baretls.HandshakeFull},
		{name: "almost a day by default", wait: 24*hour - time.Second, offered: true, kind: baretls.HandshakeResumed},
		{name: "seven days", lifetime: 7 * 24 * hour, wait: 7 * 24 * hour, kind: baretls.HandshakeFull},
		{name: "almost seven days", lifetime: 7 * 24 * hour, wait: 7*24*hour - time.Second, offered: true, kind: baretls.HandshakeResumed},
		{name: "expired for the server alone", lifetime: hour, wait: hour, client: -time.Second, offered: true, kind: baretls.HandshakeFull},
		{name: "from the future, as clocks go", lifetime: hour, wait: -9 * time.Second, offered: true, kind: baretls.HandshakeResumed},
		{name: "from the future", lifetime: hour, wait: -11 * time.Second, kind: baretls.HandshakeFull},
		{name: "from the future for the server alone", lifetime: hour, wait: -11 * time.Second, client: 12 * time.Second, offered: true, kind: baretls.HandshakeFull},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.TicketLifetime = test.lifetime })
			st.connect()
			st.clock.move(test.wait)
			if test.client != 0 {
				st.client = st.newClientConfig(func(c *baretls.ClientConfig) { c.Time = st.clock.ahead(test.client) })
			}
			m := st.meet()
			if got := firstHello(t, m.clientFlight()).Has.Has(wire.ExtPreSharedKey); got != test.offered {
				t.Errorf("the client offers the session: %t, want %t", got, test.offered)
			}
			m.answer(m.hello)
			m.complete()
			m.works()
			m.wantKind(test.name, test.kind)
		})
	}
}

// However often a session is renewed, after seven days the peers prove anew
// who they are: RFC 9846, Section 4.7.1.
func TestSessionsAreNotRenewedForEver(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.TicketLifetime = 7 * 24 * time.Hour })
	st.connects("day 0", baretls.HandshakeFull)
	for day := 2; day < 7; day += 2 {
		st.clock.move(48 * time.Hour)
		st.connects(fmt.Sprintf("day %d", day), baretls.HandshakeResumed)
	}
	st.clock.move(24*time.Hour - time.Second)
	st.connects("almost day 7", baretls.HandshakeResumed)
	last := new(baretls.ClientSession)
	if err := last.UnmarshalBinary(st.sessions.takeAll(t)); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	if got, want := last.Expires(), st.clock.now().Add(time.Second); !got.Equal(want) {
		t.Errorf("a session whose seven days end in a second says that it expires in %v", got.Sub(st.clock.now()))
	}
	st.sessions.Put(st.sessions.key, last)
	st.clock.move(time.Second)
	st.connects("day 7, with a ticket a second old", baretls.HandshakeFull)
	st.clock.move(48 * time.Hour)
	st.connects("day 9", baretls.HandshakeResumed)
}

// The clocks of the servers that share sessions may differ a little.
func TestSessionsOfServersWhoseClocksDiffer(t *testing.T) {
	st := newStage(t)
	st.connect()
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.Time = st.clock.ahead(-5 * time.Second) })
	st.connects("at a server that is 5 seconds behind", baretls.HandshakeResumed)
	st.connects("there again", baretls.HandshakeResumed)
}

func TestSessionIsNotOffered(t *testing.T) {
	certificate := tlstest.ClientLeaf(tlstest.ECDSAP256)
	for _, test := range []struct {
		name   string
		client func(*baretls.ClientConfig)
		server string
		want   bool
	}{
		{name: "to the same server", want: true},
		{name: "by a config with the same scope", client: func(c *baretls.ClientConfig) {}, want: true},
		{name: "to another name", server: "www.example.com"},
		{name: "to an address", server: "127.0.0.1"},
		{name: "by a config with another scope", client: func(c *baretls.ClientConfig) { c.SessionScope = "another" }},
		{name: "by a config without a scope", client: func(c *baretls.ClientConfig) { c.SessionScope = "" }},
		{name: "with other application protocols", client: func(c *baretls.ClientConfig) { c.NextProtos = []string{"a"} }},
		{name: "with a client certificate", client: func(c *baretls.ClientConfig) { c.Certificates = []tls.Certificate{certificate} }},
		{name: "with resumption turned off", client: func(c *baretls.ClientConfig) { c.SessionTicketsDisabled = true }},
		{name: "by a config that trusts other roots", client: func(c *baretls.ClientConfig) { c.RootCAs = x509.NewCertPool(); c.SessionScope = "" }},
		{name: "where VerifyPeer has changed its mind", client: func(c *baretls.ClientConfig) {
			c.VerifyPeer = func(*baretls.PeerVerification) error { return errors.New("no more") }
		}},
		{name: "where CustomVerify has", client: func(c *baretls.ClientConfig) {
			c.CustomVerify = func(*baretls.PeerVerification) error { return errors.New("no more") }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t)
			st.connect()
			if test.client != nil {
				st.client = st.newClientConfig(test.client)
			}
			name := "example.com"
			if test.server != "" {
				name = test.server
			}
			if got := st.offers(name); got != test.want {
				t.Errorf("the session is offered %s: %t, want %t", test.name, got, test.want)
			}
		})
	}
}

func TestSessionWithAnotherClientCertificate(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.Certificates = withLeaf(tlstest.Options{Client: true})
		s.ClientAuth = tls.RequireAnyClientCert
	})
	st.connect()
	if !st.offers("example.com") {
		t.Error("the session is not offered with the certificate it was made with")
	}
	st.connects("to have a session again", baretls.HandshakeResumed)
	st.client = st.newClientConfig(func(c *baretls.ClientConfig) { c.Certificates = withLeaf(tlstest.Options{Client: true}) })
	if st.offers("example.com") {
		t.Error("the session is offered by a client with another certificate: the server would take it for the first")
	}
}

// A config without a scope has sessions of its own, even in a shared store.
func TestSessionsWithoutScope(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.SessionScope = "" })
	st.connects("the first connection", baretls.HandshakeFull)
	st.connects("the same config", baretls.HandshakeResumed)
	st.client = st.newClientConfig(func(c *baretls.ClientConfig) { c.SessionScope = "" })
	st.connects("another config like it", baretls.HandshakeFull)
}

// The store of a config that has none is its own.
func TestSessionsOfConfigWithoutStore(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.Sessions, c.SessionScope = nil, ""
		s.TicketKeys, s.SessionStore = nil, nil
	})
	st.connects("the first connection", baretls.HandshakeFull)
	st.connects("the second", baretls.HandshakeResumed)
}

// A ticket is refused, and a full handshake takes its place, at each server
// that demands something else than the one that issued it. The client here
// offers it all the same.
func TestTicketIsRefused(t *testing.T) {
	roots, _ := tlstest.CA()
	for _, store := range stores {
		cache := baretls.NewSessionCache(0)
		for _, test := range []struct {
			name  string
			first func(*baretls.ServerConfig) // nil: nothing
			later func(*baretls.ServerConfig)
			at    string
			kind  baretls.HandshakeKind
		}{
			{name: "nothing has changed", later: func(s *baretls.ServerConfig) {}, kind: baretls.HandshakeResumed},
			{name: "other server name", later: func(s *baretls.ServerConfig) {}, at: "www.example.com", kind: baretls.HandshakeFull},
			{name: "no server name", later: func(s *baretls.ServerConfig) {}, at: "127.0.0.1", kind: baretls.HandshakeFull},
			{name: "other ClientAuth", later: func(s *baretls.ServerConfig) { s.ClientAuth = tls.RequestClientCert }, kind: baretls.HandshakeFull},
			{name: "no ClientAuth", first: func(s *baretls.ServerConfig) { s.ClientAuth = tls.RequestClientCert }, later: func(s *baretls.ServerConfig) {}, kind: baretls.HandshakeFull},
			{name: "the same ClientAuth", first: func(s *baretls.ServerConfig) { s.ClientAuth = tls.VerifyClientCertIfGiven; s.ClientCAs = roots }, later: func(s *baretls.ServerConfig) { s.ClientAuth = tls.VerifyClientCertIfGiven; s.ClientCAs = roots }, kind: baretls.HandshakeResumed},
			{name: "other ClientCAs", first: func(s *baretls.ServerConfig) { s.ClientAuth = tls.VerifyClientCertIfGiven; s.ClientCAs = roots }, later: func(s *baretls.ServerConfig) {
				s.ClientAuth = tls.VerifyClientCertIfGiven
				s.ClientCAs = x509.NewCertPool()
			}, kind: baretls.HandshakeFull},
			{name: "other application protocols", later: func(s *baretls.ServerConfig) { s.NextProtos = []string{"a"} }, kind: baretls.HandshakeFull},
			{name: "application protocols in another order", first: func(s *baretls.ServerConfig) { s.NextProtos = []string{"a", "b"} }, later: func(s *baretls.ServerConfig) { s.NextProtos = []string{"b", "a"} }, kind: baretls.HandshakeFull},
			{name: "other SessionContext", later: func(s *baretls.ServerConfig) { s.SessionContext = "another" }, kind: baretls.HandshakeFull},
			{name: "the same SessionContext", first: func(s *baretls.ServerConfig) { s.SessionContext = "one" }, later: func(s *baretls.ServerConfig) { s.SessionContext = "one" }, kind: baretls.HandshakeResumed},
			{name: "no resumption", later: func(s *baretls.ServerConfig) { s.SessionTicketsDisabled = true }, kind: baretls.HandshakeFull},
			{name: "other keys and other store", later: func(s *baretls.ServerConfig) {
				s.TicketKeys = nil
				if s.SessionStore != nil {
					s.SessionStore = baretls.NewSessionCache(0)
				}
			}, kind: baretls.HandshakeFull},
		} {
			t.Run(store.name+", "+test.name, func(t *testing.T) {
				st := newStage(t)
				first := test.first
				if first == nil {
					first = func(*baretls.ServerConfig) {}
				}
				st.server = st.newServerConfig(func(s *baretls.ServerConfig) { useCache(store.name, cache, s); first(s) })
				st.connects("the first connection", baretls.HandshakeFull)
				st.server = st.newServerConfig(func(s *baretls.ServerConfig) { useCache(store.name, cache, s); test.later(s) })
				st.sessions.mixed = true
				at := "example.com"
				if test.at != "" {
					at = test.at
					// The client would see to it by itself: this one is mistaken.
					st.sessions.put(t, edited(t, st.sessions.takeAll(t), func(s *machine.Session) { s.ServerName = at }))
				}
				m := st.meetAt(at)
				if !firstHello(t, m.clientFlight()).Has.Has(wire.ExtPreSharedKey) {
					t.Fatal("the client does not offer the session: the test is for nothing")
				}
				m.answer(m.hello)
				m.complete()
				m.works()
				m.wantKind(test.name, test.kind)
			})
		}
	}
}

// useCache makes a server that shares a store, if it uses one at all.
func useCache(kind string, cache baretls.SessionStore, s *baretls.ServerConfig) {
	if kind == "SessionStore" {
		s.SessionStore = cache
	}
}

// A session is offered only as long as the server's chain is good.
func TestServerCertificateExpiresMeanwhile(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.TicketLifetime = 48 * time.Hour })
	soon := st.clock.now().Add(2 * time.Hour)
	st.server.Certificates = withLeaf(tlstest.Options{NotAfter: soon})
	st.connect()
	for _, how := range []string{"in memory", "decoded"} {
		if how == "decoded" {
			st.sessions.put(t, st.sessions.takeAll(t))
		}
		st.clock.move(time.Hour)
		if !st.offers("example.com") {
			t.Errorf("a session %s is not offered though the server's certificate has not expired", how)
		}
		st.clock.move(-time.Hour)
		st.connect()
	}
	st.clock.move(3 * time.Hour)
	if st.offers("example.com") {
		t.Error("a session is offered after the server's certificate has expired")
	}
	st.server = st.newServerConfig(nil)
	st.connects("after the server's certificate has been renewed", baretls.HandshakeFull)
	session := st.sessions.takeAll(t)
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.Certificates = withLeaf(tlstest.Options{NotAfter: soon}) })
	st.sessions.put(t, session)
	st.connects("the ticket alone proves who the server is, not the certificate it would send", baretls.HandshakeResumed)
}

// What a session was stored as is verified by the roots of the config that
// takes it out.
func TestStoredSessionIsVerifiedAnew(t *testing.T) {
	st := newStage(t)
	st.connect()
	st.sessions.put(t, st.sessions.takeAll(t))
	st.client = st.newClientConfig(func(c *baretls.ClientConfig) { c.RootCAs = x509.NewCertPool() })
	if st.offers("example.com") {
		t.Error("a session is offered whose chain leads to none of the roots")
	}
	st.client = st.newClientConfig(nil)
	st.connect()
	encoded := edited(t, st.sessions.takeAll(t), func(s *machine.Session) { s.PeerChain[0][len(s.PeerChain[0])-1] ^= 1 })
	st.sessions.put(t, encoded)
	if st.offers("example.com") {
		t.Error("a session is offered whose certificate has a bad signature")
	}
	st.connect()
	encoded = edited(t, st.sessions.takeAll(t), func(s *machine.Session) { s.PeerChain = nil })
	if err := new(baretls.ClientSession).UnmarshalBinary(encoded); err == nil {
		t.Error("a session is taken that knows no certificate of the server")
	}
}

func TestTicketCounts(t *testing.T) {
	request := func(full, resumed uint8) baretls.TicketRequest {
		return baretls.TicketRequest{Full: full, Resumed: resumed}
	}
	for _, test := range []struct {
		name          string
		count         int
		request       baretls.TicketRequest
		full, resumed int
	}{
		{"by default", 0, request(0, 0), 2, 1},
		{"one", 1, request(0, 0), 1, 1},
		{"sixteen", 16, request(0, 0), 16, 1},
		{"fewer asked for", 8, request(3, 2), 3, 2},
		{"more asked for", 4, request(200, 255), 4, 4},
		{"as many as the default", 0, request(2, 2), 2, 2},
		{"none after resumption", 0, request(2, 0), 2, 0},
		{"one, none after resumption", 4, request(1, 0), 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				s.TicketCount, c.TicketRequest = test.count, test.request
			})
			full := st.connects("the first connection", baretls.HandshakeFull)
			if got := full.client.conn.TicketsReceived(); got != test.full || st.sessions.len() != test.full {
				t.Errorf("after a full handshake %d tickets come and %d sessions are kept, want %d", got, st.sessions.len(), test.full)
			}
			resumed := st.connects("the second", baretls.HandshakeResumed)
			if got := resumed.client.conn.TicketsReceived(); got != test.resumed || st.sessions.len() != test.full-1+test.resumed {
				t.Errorf("after a resumption %d tickets come and %d sessions are kept, want %d and %d", got, st.sessions.len(), test.resumed, test.full-1+test.resumed)
			}
			if n := resumed.server.conn.TicketsReceived(); n != 0 {
				t.Errorf("the server says that it has received %d tickets", n)
			}
		})
	}
	t.Run("none before resumption", func(t *testing.T) {
		st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.TicketRequest = request(0, 3) })
		if got := st.connect().client.conn.TicketsReceived(); got != 0 {
			t.Errorf("a client that asks for none is sent %d tickets", got)
		}
	})
}

// The server says in EncryptedExtensions how many tickets there will be: RFC
// 9149, Section 3.
func TestExpectedTickets(t *testing.T) {
	for _, test := range []struct {
		name    string
		request baretls.TicketRequest
		server  func(*baretls.ServerConfig)
		has     bool
		want    uint8
	}{
		{"as many as asked for", baretls.TicketRequest{Full: 1}, nil, true, 1},
		{"as many as there may be", baretls.TicketRequest{Full: 100}, func(s *baretls.ServerConfig) { s.TicketCount = 5 }, true, 5},
		{"nobody asked", baretls.TicketRequest{}, nil, false, 0},
		{"there are none", baretls.TicketRequest{Full: 1}, func(s *baretls.ServerConfig) { s.SessionTicketsDisabled = true }, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				c.TicketRequest = test.request
				if test.server != nil {
					test.server(s)
				}
			})
			m := st.meet()
			h := firstHello(t, m.clientFlight())
			if asked := test.request != (baretls.TicketRequest{}); h.Has.Has(wire.ExtTicketRequest) != asked {
				t.Errorf("the hello has a ticket_request: %t, want %t", !asked, asked)
			}
			m.answer(m.hello)
			flight := records(t, m.server.take())
			m.client.give(flight...)
			m.client.turns()
			_, content := m.keys.forger(t, "SERVER_HANDSHAKE_TRAFFIC_SECRET").open(t, flight[2])
			var ee wire.EncryptedExtensions
			if err := ee.Parse(messages(t, content)[0][4:], ^wire.ExtensionSet(0)); err != nil {
				t.Fatalf("EncryptedExtensions: %v", err)
			}
			if ee.Has.Has(wire.ExtTicketRequest) != test.has || ee.TicketRequest != test.want {
				t.Errorf("EncryptedExtensions have a ticket_request %t of %d, want %t of %d", ee.Has.Has(wire.ExtTicketRequest), ee.TicketRequest, test.has, test.want)
			}
		})
	}
}

func TestSessionTicketsDisabled(t *testing.T) {
	for _, test := range []struct {
		name     string
		edit     func(*baretls.ClientConfig, *baretls.ServerConfig)
		modes    bool // the hello says how PSKs are used, without which there are no tickets
		received int
	}{
		{"by the client", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.SessionTicketsDisabled = true }, false, 0},
		{"by the server", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionTicketsDisabled = true }, true, 0},
		{"by both", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.SessionTicketsDisabled, s.SessionTicketsDisabled = true, true
		}, false, 0},
		{"by neither", func(*baretls.ClientConfig, *baretls.ServerConfig) {}, true, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, test.edit)
			m := st.meet()
			if got := firstHello(t, m.clientFlight()).Has.Has(wire.ExtPSKKeyExchangeModes); got != test.modes {
				t.Errorf("disabled %s: the hello has psk_key_exchange_modes: %t, want %t", test.name, got, test.modes)
			}
			m.answer(m.hello)
			m.complete()
			if got := m.client.conn.TicketsReceived(); got != test.received || st.sessions.len() != test.received {
				t.Errorf("disabled %s: %d tickets come and %d sessions are kept, want %d", test.name, got, st.sessions.len(), test.received)
			}
			if test.received == 0 {
				st.connects("the second connection", baretls.HandshakeFull)
			}
		})
	}
}

// A client that has resumption turned off ignores tickets that come all the
// same: RFC 9846, Section 4.7.1.
func TestUnwantedTicket(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.SessionTicketsDisabled = true })
	m := st.connect()
	f := m.keys.forger(t, "SERVER_TRAFFIC_SECRET_0")
	f.seq = 1 // the server has written once
	m.client.give(f.seal(handshake, ticketMessage(3600, []byte("ticket")), 0))
	m.client.turns()
	m.client.wantAlive()
	if st.sessions.len() != 0 {
		t.Error("a client with resumption turned off has kept a session")
	}
	m.client.give(f.seal(handshake, ticketMessage(3600, nil), 0))
	m.client.turns()
	m.client.wantFailed(decodeError)
}

// ticketMessage is a NewSessionTicket.
func ticketMessage(lifetime uint32, ticket []byte) []byte {
	nst := wire.NewSessionTicket{Lifetime: lifetime, AgeAdd: 5, Nonce: []byte{9}, Ticket: ticket}
	return nst.Append(nil)
}

// What servers may send by way of tickets, from one that sends none itself.
func TestForgedTickets(t *testing.T) {
	for _, test := range []struct {
		name    string
		message []byte
		alert   tls.AlertError // closeNotify: none
		kept    int
	}{
		{"a ticket", ticketMessage(3600, []byte("ticket")), closeNotify, 1},
		{"for seven days", ticketMessage(604800, []byte("ticket")), closeNotify, 1},
		{"for more than seven days", ticketMessage(604801, []byte("ticket")), illegalParameter, 0},
		{"for no time", ticketMessage(0, []byte("ticket")), closeNotify, 0},
		{"an empty ticket", ticketMessage(3600, nil), decodeError, 0},
		{"a byte too many", append(withLen(ticketMessage(3600, []byte("ticket")), 1), 0), decodeError, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionTicketsDisabled = true })
			m := st.connect()
			f := m.keys.forger(t, "SERVER_TRAFFIC_SECRET_0")
			f.seq = 1
			m.client.give(f.seal(handshake, test.message, 0))
			m.client.turns()
			if test.alert == closeNotify {
				m.client.wantAlive()
			} else {
				m.client.wantFailed(test.alert)
			}
			if got := st.sessions.len(); got != test.kept {
				t.Errorf("%d sessions are kept, want %d", got, test.kept)
			}
		})
	}
}

// withLen adds n to the length of a message.
func withLen(m []byte, n int) []byte {
	m = bytes.Clone(m)
	n += int(m[2])<<8 + int(m[3])
	m[2], m[3] = byte(n>>8), byte(n)
	return m
}

// A ticket that fills a hello must not keep the client from saying hello.
func TestTicketThatIsTooLargeForTheHello(t *testing.T) {
	for _, size := range []int{1000, 16000, 32768, 60000, 65000, 65300, 65450, 65535} {
		st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionTicketsDisabled = true })
		m := st.connect()
		f := m.keys.forger(t, "SERVER_TRAFFIC_SECRET_0")
		f.seq = 1
		for content := ticketMessage(3600, make([]byte, size)); len(content) > 0; {
			n := min(len(content), 16384)
			m.client.give(f.seal(handshake, content[:n], 0))
			content = content[n:]
		}
		m.client.turns()
		if m.client.err != nil {
			continue // refused: that will do
		}
		for i := range 2 {
			c, err := baretls.NewClient(st.client, "example.com")
			if err != nil {
				t.Errorf("after a ticket of %d bytes NewClient number %d fails: %v", size, i+1, err)
				continue
			}
			next := &meeting{pair: &pair{t: t, keys: st.keys}, clientConn: c, serverConn: st.newServer()}
			next.client, next.server = newSide(t, "client", &c.Conn), newSide(t, "server", &next.serverConn.Conn)
			next.complete()
			next.wantKind(fmt.Sprintf("after a ticket of %d bytes", size), baretls.HandshakeFull)
		}
	}
}

func TestResumptionData(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { store.use(s) })
			m := st.meet()
			data := []byte("what the application knows")
			if err := m.serverConn.SetResumptionData(data); err != nil {
				t.Fatalf("SetResumptionData: %v", err)
			}
			clear(data)
			m.complete()
			if got := m.serverConn.ResumptionData(); got != nil {
				t.Errorf("a full handshake has resumption data %q", got)
			}
			if err := m.serverConn.SetResumptionData(nil); err != baretls.ErrStaleState {
				t.Errorf("SetResumptionData after the handshake returns %v, want ErrStaleState", err)
			}
			m = st.meet()
			m.complete()
			if got := string(m.serverConn.ResumptionData()); got != "what the application knows" {
				t.Errorf("the resumption data is %q", got)
			}
			// It is of the session, not of its heirs.
			m = st.meet()
			if err := m.serverConn.SetResumptionData(make([]byte, 16385)); err == nil {
				t.Error("SetResumptionData takes 16,385 bytes")
			}
			if err := m.serverConn.SetResumptionData(bytes.Repeat([]byte{1}, 16384)); err != nil {
				t.Errorf("SetResumptionData of 16,384 bytes: %v", err)
			}
			m.complete()
			m = st.meet()
			m.complete()
			if got := m.serverConn.ResumptionData(); !bytes.Equal(got, bytes.Repeat([]byte{1}, 16384)) {
				t.Errorf("resumption data of 16,384 bytes comes back as %d", len(got))
			}
			m.wantKind("with resumption data of 16,384 bytes", baretls.HandshakeResumed)
		})
	}
}

// Resumption data is the server's alone: what can be read of a ticket does not
// show it.
func TestResumptionDataIsSecret(t *testing.T) {
	st := newStage(t)
	m := st.meet()
	if err := m.serverConn.SetResumptionData([]byte("what the application knows")); err != nil {
		t.Fatalf("SetResumptionData: %v", err)
	}
	m.complete()
	session := st.sessions.takeAll(t)
	if bytes.Contains(session, []byte("what the application knows")) {
		t.Error("the client can read the server's resumption data")
	}
}

func TestClientSessionEncoding(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.TicketLifetime = time.Hour })
	st.connect()
	encoded := st.sessions.takeAll(t)
	session := new(baretls.ClientSession)
	input := bytes.Clone(encoded)
	if err := session.UnmarshalBinary(input); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	clear(input) // is the caller's again
	if again, err := session.MarshalBinary(); err != nil || !bytes.Equal(again, encoded) {
		t.Errorf("a decoded session encodes to something else, error %v", err)
	}
	if got, want := session.Expires(), st.clock.now().Add(time.Hour); !got.Equal(want) {
		t.Errorf("Expires is %v, want %v", got, want)
	}
	if got := session.MaxEarlyData(); got != 10000 {
		t.Errorf("MaxEarlyData is %d, want 10000", got)
	}
	st.sessions.Put(st.sessions.key, session)
	first := st.connects("with a session that was stored", baretls.HandshakeResumed)
	if len(first.client.conn.PeerCertificates()) == 0 || len(first.client.conn.ConnectionState().VerifiedChains) == 0 {
		t.Error("a stored session does not know the server's certificates and their chain")
	}
	for n := range encoded {
		if err := new(baretls.ClientSession).UnmarshalBinary(encoded[:n]); err == nil {
			t.Errorf("the first %d of %d bytes decode", n, len(encoded))
		}
	}
	if err := new(baretls.ClientSession).UnmarshalBinary(append(bytes.Clone(encoded), 0)); err == nil {
		t.Error("a byte too many is accepted")
	}
	if err := new(baretls.ClientSession).UnmarshalBinary(edited(t, encoded, func(s *machine.Session) { s.Ticket = nil })); err == nil {
		t.Error("a session without a ticket is accepted")
	}
	// A failure leaves what was there.
	kept := new(baretls.ClientSession)
	if err := kept.UnmarshalBinary(encoded); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	if err := kept.UnmarshalBinary(encoded[1:]); err == nil {
		t.Error("a session without its first byte is accepted")
	}
	if again, err := kept.MarshalBinary(); err != nil || !bytes.Equal(again, encoded) {
		t.Errorf("an UnmarshalBinary that fails has changed the session, error %v", err)
	}
}

// Misuse is an error, not a panic.
func TestZeroClientSession(t *testing.T) {
	var session baretls.ClientSession
	if _, err := session.MarshalBinary(); err == nil {
		t.Error("MarshalBinary of no session returns no error")
	}
	wantNoPanic(t, "Expires of no session", func() { session.Expires() })
	wantNoPanic(t, "MaxEarlyData of no session", func() { session.MaxEarlyData() })
	st := newStage(t)
	st.sessions.mixed = true
	st.sessions.Put("", &session)
	st.connects("with a store that holds the zero ClientSession", baretls.HandshakeFull)
}

// changedTicket is the kind of handshake that the server makes of a session
// whose ticket has changed.
func (st *stage) changedTicket(encoded []byte, change func(ticket []byte) []byte) *meeting {
	st.t.Helper()
	st.sessions.empty()
	st.sessions.put(st.t, edited(st.t, encoded, func(s *machine.Session) { s.Ticket = change(s.Ticket) }))
	m := st.meet()
	if !firstHello(st.t, m.clientFlight()).Has.Has(wire.ExtPreSharedKey) {
		st.t.Fatal("the client does not offer the session: the test is for nothing")
	}
	m.answer(m.hello)
	return m
}

func TestTicketThatWasChanged(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { store.use(s) })
			st.connect()
			encoded := st.sessions.takeAll(t)
			ticket := seen(t, encoded).Ticket
			for i := range ticket {
				m := st.changedTicket(encoded, func(b []byte) []byte { b[i] ^= 1 << (i % 8); return b })
				if kind := m.server.conn.HandshakeKind(); kind != baretls.HandshakeFull || m.server.err != nil {
					t.Errorf("with a flipped bit in byte %d of the ticket the handshake is %q, error %v, want a full one", i, kind, m.server.err)
				}
			}
			for n := 1; n < len(ticket); n++ {
				m := st.changedTicket(encoded, func(b []byte) []byte { return b[:n] })
				if kind := m.server.conn.HandshakeKind(); kind != baretls.HandshakeFull || m.server.err != nil {
					t.Errorf("with %d of %d bytes of the ticket the handshake is %q, error %v, want a full one", n, len(ticket), kind, m.server.err)
				}
			}
			m := st.changedTicket(encoded, func(b []byte) []byte { return append(b, 0) })
			m.complete()
			m.works()
			m.wantKind("with a byte behind the ticket", baretls.HandshakeFull)
			m = st.changedTicket(encoded, func(b []byte) []byte { return b })
			m.complete()
			m.works()
			m.wantKind("with the ticket as it was", baretls.HandshakeResumed)
		})
	}
}

func TestBinderThatWasChanged(t *testing.T) {
	for _, suite := range []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384} {
		st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.CipherSuites = []uint16{suite} })
		st.connect()
		encoded := st.sessions.takeAll(t)
		size := len(seen(t, encoded).PSK)
		for i := range size {
			st.sessions.empty()
			st.sessions.put(t, encoded)
			m := st.meet()
			hello := records(t, m.clientFlight())[0]
			hello[len(hello)-1-i] ^= 1 << (i % 8)
			m.answer(hello)
			m.server.wantFailed(decryptErrorAlert)
		}
		// A client that has the ticket and not its secret.
		st.sessions.empty()
		st.sessions.put(t, edited(t, encoded, func(s *machine.Session) { s.PSK[0] ^= 1 }))
		m := st.meet()
		m.runEarly()
		m.server.wantFailed(decryptErrorAlert)
		m.client.wantAlerted(decryptErrorAlert)
	}
}

// A hello that has another length of binder than the hash is refused too.
func TestBinderOfAnotherLength(t *testing.T) {
	st := newStage(t)
	st.connect()
	encoded := st.sessions.takeAll(t)
	st.sessions.put(t, encoded)
	m := st.meet()
	hello := records(t, m.clientFlight())[0][5:]
	var h wire.ClientHello
	if err := h.Parse(hello[4:]); err != nil {
		t.Fatalf("the client's hello: %v", err)
	}
	h.PreSharedKey.Binders = wire.AppendPSKBinder(nil, make([]byte, 48))
	m.answer(plain(handshake, h.Append(nil)))
	m.server.wantFailed(decryptErrorAlert)
}
