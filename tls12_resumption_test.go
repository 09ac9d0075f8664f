package baretls_test

import (
	"bytes"
	"crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// Resumption in TLS 1.2: by ticket (RFC 5077) and by session ID (RFC 5246,
// Section 7.3).

// sessions12 is a server that keeps sessions: in tickets, or in a store.
func sessions12(stateful bool) *baretls.ServerConfig {
	server := tls12.server()
	server.SessionTicketsDisabled = false
	if stateful {
		server.SessionStore = baretls.NewSessionCache(0)
	}
	return server
}

// wantKind checks how both sides say that the handshake went.
func (p *pair) wantKind(what string, want baretls.HandshakeKind) {
	p.t.Helper()
	for _, s := range p.sides() {
		if got := s.conn.HandshakeKind(); got != want {
			p.t.Errorf("%s: for the %s the handshake was %v, want %v", what, s.role, got, want)
		}
		if resumed := s.conn.ConnectionState().DidResume; resumed != (want == baretls.HandshakeResumed) {
			p.t.Errorf("%s: for the %s DidResume is %v", what, s.role, resumed)
		}
	}
}

// connected shakes hands, and the handshake must be of that kind.
func (p *pair) connected(what string, want baretls.HandshakeKind) {
	p.t.Helper()
	if p.run(); p.client.err != nil || p.server.err != nil {
		p.t.Fatalf("%s: the handshake fails: client %v, server %v", what, p.client.err, p.server.err)
	}
	p.wantKind(what, want)
	p.works()
}

// Again and again: what is known of the peer is known of a resumed connection.
func TestTLS12Resumption(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		client, server := tls12.client(), sessions12(stateful)
		client.NextProtos, server.NextProtos = []string{"h2", "h3"}, []string{"h3"}
		client.KeyLogWriter = new(keyLog)
		stapled := tlstest.Leaf(tlstest.ECDSAP256)
		stapled.OCSPStaple, stapled.SignedCertificateTimestamps = []byte("an OCSP response"), [][]byte{[]byte("an SCT")}
		server.Certificates = []tls.Certificate{stapled}
		want := baretls.HandshakeFull
		var first *baretls.Conn
		seen := make(map[string]bool)
		for i := range 5 {
			p := newPair(t, client, server)
			p.keys = client.KeyLogWriter.(*keyLog)
			p.connected("connection", want)
			c, s := p.client.conn, p.server.conn
			if i == 0 {
				first, want = c, baretls.HandshakeResumed
			}
			if got := c.PeerCertificates(); len(got) != 2 || !got[0].Equal(first.PeerCertificates()[0]) {
				t.Errorf("connection %d has %d certificates of the server, or others", i, len(got))
			}
			if string(c.OCSPResponse()) != "an OCSP response" || len(c.SignedCertificateTimestamps()) != 1 || len(c.ConnectionState().VerifiedChains) == 0 {
				t.Errorf("connection %d has lost what came with the certificate", i)
			}
			if c.ALPNProtocol() != "h3" || s.ALPNProtocol() != "h3" {
				t.Errorf("connection %d has the protocols %q and %q", i, c.ALPNProtocol(), s.ALPNProtocol())
			}
			if s.ServerName() != "example.com" || c.NegotiatedCipherSuite() != first.NegotiatedCipherSuite() {
				t.Errorf("connection %d is to %q, with %s", i, s.ServerName(), tls.CipherSuiteName(c.NegotiatedCipherSuite()))
			}
			// The main secret is the same, and nothing that comes of it.
			key := string(p.forger(p.client).seal(applicationData, []byte("data"), 0))
			if seen[key] {
				t.Errorf("connection %d has the keys of another one", i)
			}
			seen[key] = true
		}
	}
}

// One session may be resumed many times at once: unlike in TLS 1.3, nobody can
// tell more from a ticket's second use than from its first.
func TestTLS12TicketsAreGoodForManyConnections(t *testing.T) {
	client, server := tls12.client(), sessions12(false)
	server.TicketLifetime = time.Hour
	store := &keepingStore{}
	client.Sessions = store
	newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
	for range 3 {
		newPair(t, client, server).connected("connection with the same ticket", baretls.HandshakeResumed)
	}
	if got := time.Until(store.session.Expires()); got > time.Hour || got < time.Hour-time.Minute {
		t.Errorf("the session expires in %v, want the hour that the server says", got)
	}
}

// A keepingStore returns the first session each time.
type keepingStore struct{ session *baretls.ClientSession }

func (k *keepingStore) Put(_ string, s *baretls.ClientSession) {
	if k.session == nil {
		k.session = s
	}
}
func (k *keepingStore) Take(string) *baretls.ClientSession { return k.session }

// Sessions survive a store outside of the process, by ticket or by ID.
func TestTLS12SessionsAreMarshalled(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		client, server := tls12.client(), sessions12(stateful)
		store := &keepingStore{}
		client.Sessions = store
		newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
		b, err := store.session.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		store.session = new(baretls.ClientSession)
		if err := store.session.UnmarshalBinary(b); err != nil {
			t.Errorf("stateful %v: what MarshalBinary wrote is refused: %v", stateful, err)
			continue
		}
		newPair(t, client, server).connected("connection by a marshalled session", baretls.HandshakeResumed)
	}
}

// What is wrong with a ticket leads to a full handshake, and no bit of it can
// be wrong without that.
func TestTLS12FlippedTickets(t *testing.T) {
	client, server := tls12.client(), sessions12(false)
	store := &keepingStore{}
	client.Sessions = store
	newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
	offered := 0
	for i := 0; ; i += 19 {
		over := false
		x := newMeddler(t, client, server, func(m []byte) []byte {
			ticket, ok := extension(m, extSessionTicket)
			if !ok || len(ticket) == 0 {
				t.Fatal("no ticket is offered")
			}
			if over = i >= len(ticket); over {
				return m
			}
			ticket = bytes.Clone(ticket)
			ticket[i] ^= 1 << (i % 8)
			return with(extSessionTicket, ticket...)(m)
		})
		if over {
			x.connected("ticket as it was", baretls.HandshakeResumed)
			break
		}
		offered++
		x.connected("ticket with a bit flipped", baretls.HandshakeFull)
	}
	if offered < 10 {
		t.Errorf("a ticket has not even %d bytes", 19*offered)
	}
	for name, ticket := range map[string][]byte{"short": {1}, "long": make([]byte, 10_000), "of zeros": make([]byte, 200)} {
		newMeddler(t, client, server, with(extSessionTicket, ticket...)).connected("ticket "+name, baretls.HandshakeFull)
	}
}

// A session is of use only under a policy like the one it was made under, and
// to the server that it was made with.
func TestTLS12SessionsAreBoundToThePolicy(t *testing.T) {
	keys, err := baretls.NewTicketKeys(0)
	if err != nil {
		t.Fatal(err)
	}
	others, err := baretls.NewTicketKeys(0)
	if err != nil {
		t.Fatal(err)
	}
	roots, _ := tlstest.CA()
	now := time.Now()
	for _, tt := range []struct {
		what   string
		change func(c *baretls.ClientConfig, s *baretls.ServerConfig)
		want   baretls.HandshakeKind
	}{
		{"nothing", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {}, baretls.HandshakeResumed},
		{"the ring of keys", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.TicketKeys = others }, baretls.HandshakeFull},
		{"ClientAuth", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.ClientAuth = tls.RequestClientCert }, baretls.HandshakeFull},
		{"ClientCAs", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			s.ClientAuth, s.ClientCAs = tls.VerifyClientCertIfGiven, roots
		}, baretls.HandshakeFull},
		{"NextProtos", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.NextProtos = []string{"h2"} }, baretls.HandshakeFull},
		{"SessionContext", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionContext = "other" }, baretls.HandshakeFull},
		{"tickets, which are turned off", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionTicketsDisabled = true }, baretls.HandshakeFull},
		{"the suites", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			s.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		}, baretls.HandshakeFull},
		{"the order of the suites", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			s.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		}, baretls.HandshakeResumed},
		{"the client's suites", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		}, baretls.HandshakeFull},
		{"the client's protocols", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.NextProtos = []string{"h2"} }, baretls.HandshakeFull},
		{"the version of the server", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.MaxVersion, s.MaxVersion = 0, 0 }, baretls.HandshakeFull},
		{"the version of the client, to a server of TLS 1.2", func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.MaxVersion = 0 }, baretls.HandshakeResumed},
		{"the server's clock, by a day", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			s.Time = func() time.Time { return now.Add(25 * time.Hour) }
		}, baretls.HandshakeFull},
		{"the client's clock, by a day", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.Time = func() time.Time { return now.Add(25 * time.Hour) }
		}, baretls.HandshakeFull},
	} {
		store := baretls.NewClientSessionCache(0)
		configs := func() (*baretls.ClientConfig, *baretls.ServerConfig) {
			client, server := tls12.client(), sessions12(false)
			client.Sessions, client.SessionScope = store, "scope"
			server.TicketKeys = keys
			return client, server
		}
		client, server := configs()
		newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
		client, server = configs()
		tt.change(client, server)
		newPair(t, client, server).connected("changed: "+tt.what, tt.want)
	}
}

// A name is a server of its own, whatever the client says to get in.
func TestTLS12SessionsAreBoundToTheServerName(t *testing.T) {
	for _, name := range []string{"other.example.com", "localhost"} {
		client, server := tls12.client(), sessions12(false)
		newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
		x := newMeddler(t, client, server, with(extServerName, slices.Concat([]byte{0, byte(len(name) + 3), 0, 0, byte(len(name))}, []byte(name))...))
		x.connected("ticket for another name", baretls.HandshakeFull)
		if got := x.server.conn.ServerName(); got != name {
			t.Errorf("the name is %q, want %q", got, name)
		}
	}
}

// A session ID that was not ours to give names no session, in a store either.
func TestTLS12SessionIDsThatNameNothing(t *testing.T) {
	server := sessions12(true)
	for _, id := range [][]byte{nil, {0}, make([]byte, 32)} {
		newMeddler(t, nil, server, withSessionID(id)).connected("session ID of nobody", baretls.HandshakeFull)
	}
	// Nor does a ticket, to a server with a store.
	newMeddler(t, nil, server, with(extSessionTicket, make([]byte, 32)...)).connected("ticket of nobody", baretls.HandshakeFull)
}

// What a server must not do with a session that it resumes.
func TestTLS12ResumptionThatIsWrong(t *testing.T) {
	suite := func(id uint16) func(m []byte) []byte {
		return inServerHello(func(b []byte) { b[0], b[1] = byte(id>>8), byte(id) })
	}
	for _, tt := range []struct {
		what string
		door func(m []byte) []byte
		want tls.AlertError
	}{
		{"with another suite", suite(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), illegalParameter},
		{"with another suite of the same hash", suite(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), illegalParameter},
		{"with a suite for RSA", suite(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), illegalParameter},
		{"without extended_main_secret", without(extExtendedMainSecret), handshakeFailure},
		{"by another session ID", withSessionID(make([]byte, 32)), unexpectedMessage},
		{"by no session ID", withSessionID(nil), unexpectedMessage},
	} {
		for _, stateful := range []bool{false, true} {
			client, server := tls12.client(), sessions12(stateful)
			client.AllowNoExtendedMainSecret = true
			newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
			x := newMeddler(t, client, server, nil)
			x.fromServer[msgServerHello] = tt.door
			if x.run(); x.client.err == nil {
				t.Errorf("a session resumed %s is taken", tt.what)
				continue
			}
			x.client.wantFailed(tt.want)
		}
	}
}

// RFC 7627, Section 5.3: what becomes of a session with or without
// extended_main_secret when the hellos differ from it.
func TestTLS12ExtendedMainSecretOnResumption(t *testing.T) {
	for _, tt := range []struct {
		what             string
		session, hello   bool // extended_main_secret
		server           func(m []byte) []byte
		victim           string
		want             tls.AlertError
		kind             baretls.HandshakeKind
		exportIsPossible bool
	}{
		{what: "with it, and a hello with it", session: true, hello: true, kind: baretls.HandshakeResumed, exportIsPossible: true},
		{what: "with it, and a hello without", session: true, hello: false, victim: "server", want: handshakeFailure},
		{what: "without, and a hello with it", session: false, hello: true, kind: baretls.HandshakeFull, exportIsPossible: true},
		{what: "without, and a hello without", session: false, hello: false, kind: baretls.HandshakeResumed},
		{what: "with it, and a server that drops it", session: true, hello: true, server: without(extExtendedMainSecret), victim: "client", want: handshakeFailure},
		{what: "without, and a server that resumes it with it", session: false, hello: false, server: with(extExtendedMainSecret), victim: "client", want: unsupportedExtension},
	} {
		client, server := tls12.client(), sessions12(false)
		client.AllowNoExtendedMainSecret, server.AllowNoExtendedMainSecret = true, true
		hello := func(ems bool) func(m []byte) []byte {
			if ems {
				return nil
			}
			return without(extExtendedMainSecret)
		}
		newMeddler(t, client, server, hello(tt.session)).connected("first connection", baretls.HandshakeFull)
		x := newMeddler(t, client, server, hello(tt.hello))
		x.fromServer[msgServerHello] = tt.server
		if tt.victim != "" {
			x.refused("session "+tt.what, x.side(tt.victim), tt.want)
			continue
		}
		x.connected("session "+tt.what, tt.kind)
		for _, s := range x.sides() {
			if _, err := s.conn.ExportKeyingMaterial("EXPORTER-label", nil, 32); (err == nil) != tt.exportIsPossible {
				t.Errorf("session %s: exporting at the %s yields %v", tt.what, s.role, err)
			}
		}
	}

	// A session without it is not offered by a client that demands it.
	store := baretls.NewClientSessionCache(0)
	client, server := tls12.client(), sessions12(false)
	client.AllowNoExtendedMainSecret, server.AllowNoExtendedMainSecret = true, true
	client.Sessions, client.SessionScope = store, "scope"
	newMeddler(t, client, server, without(extExtendedMainSecret)).connected("first connection", baretls.HandshakeFull)
	strict := tls12.client()
	strict.Sessions, strict.SessionScope = store, "scope"
	newMeddler(t, strict, server, func(m []byte) []byte {
		if ticket, ok := extension(m, extSessionTicket); !ok || len(ticket) != 0 {
			t.Error("a client that demands extended_main_secret offers a session without it")
		}
		return m
	}).connected("connection of a strict client", baretls.HandshakeFull)
}

// extended_main_secret is demanded by default, by both sides.
func TestTLS12ExtendedMainSecretIsDemanded(t *testing.T) {
	for _, tt := range []struct {
		client, server bool // AllowNoExtendedMainSecret
		victim         string
	}{
		{false, false, "server"},
		{true, false, "server"},
		{false, true, "client"},
		{true, true, ""},
	} {
		client, server := tls12.client(), tls12.server()
		client.AllowNoExtendedMainSecret, server.AllowNoExtendedMainSecret = tt.client, tt.server
		x := newMeddler(t, client, server, without(extExtendedMainSecret))
		if tt.victim != "" {
			x.refused("no extended_main_secret", x.side(tt.victim), handshakeFailure)
			continue
		}
		x.handshake()
		x.works()
	}
}

// The server keeps its promise of a ticket, though what it sends may be empty:
// RFC 5077, Section 3.3.
func TestTLS12NewSessionTicket(t *testing.T) {
	reach := func() (p *pair, flight [][]byte) { // the server's last: NewSessionTicket, change_cipher_spec, Finished
		p = newPair(t, tls12.client(), sessions12(false))
		p.client.turns()
		p.server.give(p.client.take())
		p.server.turns()
		p.client.give(p.server.take())
		p.client.turns()
		p.server.give(p.client.take())
		p.server.turns()
		if flight = records(t, p.server.take()); len(flight) != 3 {
			t.Fatalf("the server's last flight is %d records, want three", len(flight))
		}
		return p, flight
	}
	p, flight := reach()
	p.client.give(flight[1:]...) // promised and missing
	p.client.turns()
	p.client.wantFailed(unexpectedMessage)

	p, flight = reach()
	p.client.give(flight[0], flight[0], flight[1], flight[2]) // two of them
	p.client.turns()
	p.client.wantFailed(unexpectedMessage)

	for name, body := range map[string][]byte{
		"empty":                {},
		"cut in the lifetime":  {0, 0, 0},
		"without its length":   {0, 0, 0, 1},
		"shorter than it says": {0, 0, 0, 1, 0, 2, 7},
		"longer than it says":  {0, 0, 0, 1, 0, 1, 7, 7},
	} {
		x := newMeddler(t, nil, sessions12(false), nil)
		x.fromServer[msgNewSessionTicket] = func([]byte) []byte { return message12(msgNewSessionTicket, body) }
		x.refused("NewSessionTicket "+name, x.client, decodeError)
	}

	p = tls12.pair(t, nil, nil) // none was promised
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	p.client.give(p.server.take(), plain(handshake, message12(msgNewSessionTicket, []byte{0, 0, 0, 0, 0, 1, 7})))
	p.client.turns()
	p.client.wantFailed(unexpectedMessage)

	// The bodies that are fine: no ticket after all, and lifetimes that say
	// nothing or too much.
	for name, tt := range map[string]struct {
		body    []byte
		tickets int
	}{
		"no ticket":          {[]byte{0, 0, 0, 0, 0, 0}, 0},
		"no lifetime":        {[]byte{0, 0, 0, 0, 0, 1, 7}, 1},
		"an endless one":     {[]byte{0xff, 0xff, 0xff, 0xff, 0, 1, 7}, 1},
		"one of a few hours": {[]byte{0, 0, 0x40, 0, 0, 1, 7}, 1},
	} {
		client, server := tls12.client(), sessions12(false)
		store := &keepingStore{}
		client.Sessions = store
		x := newMeddler(t, client, server, nil)
		x.fromServer[msgNewSessionTicket] = func([]byte) []byte { return message12(msgNewSessionTicket, tt.body) }
		x.connected(name, baretls.HandshakeFull)
		if stored := store.session != nil; stored != (tt.tickets > 0) {
			t.Errorf("%s: a session is kept: %v", name, stored)
			continue
		}
		if store.session != nil && time.Until(store.session.Expires()) > 7*24*time.Hour {
			t.Errorf("%s: the session expires %v", name, store.session.Expires())
		}
	}
}

// The places of change_cipher_spec in a resumption: behind the NewSessionTicket
// that was promised, and once; and before the Finished, for both sides.
func TestTLS12ChangeCipherSpecOnResumption(t *testing.T) {
	for _, tt := range []struct {
		what   string
		victim string
		change func(flight [][]byte) [][]byte // of the peer's: hello and ticket, change_cipher_spec, Finished
	}{
		{"before the NewSessionTicket", "client", func(f [][]byte) [][]byte {
			list := messages(t, f[0][5:])
			return [][]byte{plain(handshake, list[0]), f[1], plain(handshake, list[1]), f[2]}
		}},
		{"before the ServerHello", "client", func(f [][]byte) [][]byte { return [][]byte{f[1], f[0], f[2]} }},
		{"twice", "client", func(f [][]byte) [][]byte { return [][]byte{f[0], f[1], f[1], f[2]} }},
		{"left out", "client", func(f [][]byte) [][]byte { return [][]byte{f[0], f[2]} }},
		{"twice", "server", func(f [][]byte) [][]byte { return [][]byte{f[0], f[0], f[1]} }},
		{"left out", "server", func(f [][]byte) [][]byte { return f[1:] }},
	} {
		client, server := tls12.client(), sessions12(false)
		newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
		p := newPair(t, client, server)
		p.client.turns()
		p.server.give(p.client.take())
		p.server.turns()
		flight := records(t, p.server.take())
		if tt.victim == "server" {
			p.client.give(flight...)
			p.client.turns()
			flight = records(t, p.client.take())
		}
		s := p.side(tt.victim)
		s.give(tt.change(flight)...)
		s.turns()
		if s.err == nil {
			t.Errorf("on resumption, change_cipher_spec %s is taken by the %s", tt.what, tt.victim)
			continue
		}
		s.wantFailed(unexpectedMessage)
	}
}

// The server's Finished vouches for the ticket: without it, nothing is kept.
func TestTLS12NothingIsKeptOfAHandshakeThatFails(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		client, server := tls12.client(), sessions12(stateful)
		store := &keepingStore{}
		client.Sessions = store
		x := newMeddler(t, client, server, nil)
		x.fromServer[msgFinished] = func(m []byte) []byte { m[4] ^= 1; return m }
		x.refused("wrong Finished", x.client, decryptError)
		if store.session != nil {
			t.Error("a session is kept of a handshake that failed")
		}
	}
}

// What a server puts into a session comes back to it.
func TestTLS12ResumptionData(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		client, server := tls12.client(), sessions12(stateful)
		for i, want := range []string{"", "of connection 0", "of connection 1"} {
			c, err := baretls.NewClient(client, "example.com")
			if err != nil {
				t.Fatal(err)
			}
			s, err := baretls.NewServer(server)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SetResumptionData([]byte("of connection " + string(rune('0'+i)))); err != nil {
				t.Fatal(err)
			}
			p := &pair{t: t, client: newSide(t, "client", &c.Conn), server: newSide(t, "server", &s.Conn)}
			p.handshake()
			if got := string(s.ResumptionData()); got != want {
				t.Errorf("connection %d has the data %q, want %q", i, got, want)
			}
		}
	}
}

// A verifier of the application is asked about resumed connections too.
func TestTLS12ResumedPeersAreJudged(t *testing.T) {
	calls := 0
	client, server := tls12.client(), sessions12(false)
	refuse := false
	client.VerifyPeer = func(*baretls.PeerVerification) error {
		if calls++; refuse {
			return errRefused
		}
		return nil
	}
	newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
	newPair(t, client, server).connected("second connection", baretls.HandshakeResumed)
	if calls < 2 {
		t.Errorf("for two connections, VerifyPeer was asked %d times", calls)
	}
	refuse = true
	p := newPair(t, client, server)
	p.refused("server that is no longer liked", p.client, badCertificate)
	if !strings.Contains(p.client.err.Error(), errRefused.Error()) {
		t.Errorf("the error is %v", p.client.err)
	}
}

type refusal string

func (r refusal) Error() string { return string(r) }

const errRefused = refusal("not any more")
