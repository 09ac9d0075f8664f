package baretls_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	machine "github.com/baretls/baretls/internal/handshake"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// A stage has what outlives a connection: the configs of both sides, a clock
// that they go by, the client's sessions and the server's ticket keys. The
// connections that are made on it follow one another.
type stage struct {
	t        testing.TB
	clock    *testClock
	sessions *drawer
	tickets  *baretls.TicketKeys
	keys     *keyLog

	client *baretls.ClientConfig
	server *baretls.ServerConfig
}

// newStage makes a stage whose two sides agree on everything, and 0-RTT data.
// The edits change the configs before anybody has used them.
func newStage(t testing.TB, edits ...func(c *baretls.ClientConfig, s *baretls.ServerConfig)) *stage {
	t.Helper()
	tickets, err := baretls.NewTicketKeys(0)
	if err != nil {
		t.Fatalf("NewTicketKeys: %v", err)
	}
	st := &stage{t: t, clock: newTestClock(), sessions: newDrawer(), tickets: tickets, keys: new(keyLog)}
	st.client, st.server = st.newClientConfig(nil), st.newServerConfig(nil)
	for _, edit := range edits {
		edit(st.client, st.server)
	}
	return st
}

// newClientConfig is a client of the stage that resumes what the others left.
func (st *stage) newClientConfig(edit func(*baretls.ClientConfig)) *baretls.ClientConfig {
	c := clientConfig()
	c.SessionTicketsDisabled = false // whatever other tests prefer
	c.Time, c.KeyLogWriter = st.clock.now, st.keys
	c.Sessions, c.SessionScope = st.sessions, "stage"
	c.EnableEarlyData = true
	// The forger's one suite, whatever else there is behind it.
	c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	if edit != nil {
		edit(c)
	}
	return c
}

// newServerConfig is a server of the stage that opens the others' tickets.
func (st *stage) newServerConfig(edit func(*baretls.ServerConfig)) *baretls.ServerConfig {
	s := serverConfig()
	s.SessionTicketsDisabled = false
	s.Time, s.TicketKeys = st.clock.now, st.tickets
	s.MaxEarlyData = 10000
	// A guard that is older than the stage, or it would refuse for a while.
	s.ReplayGuard = sinceGuard{baretls.NewReplayGuard(0), time.Time{}}
	if edit != nil {
		edit(s)
	}
	return s
}

// A meeting is a pair on a stage.
type meeting struct {
	*pair
	clientConn *baretls.ClientConn
	serverConn *baretls.ServerConn
	early      []byte // that the server has read
	hello      []byte // the client's first flight, if it was taken apart
}

// meet makes a client of example.com and a server.
func (st *stage) meet() *meeting {
	st.t.Helper()
	return st.meetAt("example.com")
}

func (st *stage) meetAt(name string) *meeting {
	st.t.Helper()
	m := &meeting{pair: &pair{t: st.t, keys: st.keys}}
	var err error
	if m.clientConn, err = baretls.NewClient(st.client, name); err != nil {
		st.t.Fatalf("NewClient: %v", err)
	}
	m.client = newSide(st.t, "client", &m.clientConn.Conn)
	m.serverConn = st.newServer()
	m.server = newSide(st.t, "server", &m.serverConn.Conn)
	return m
}

func (st *stage) newServer() *baretls.ServerConn {
	st.t.Helper()
	s, err := baretls.NewServer(st.server)
	if err != nil {
		st.t.Fatalf("NewServer: %v", err)
	}
	return s
}

// connect makes a connection, uses it, and with it the tickets have come.
func (st *stage) connect() *meeting {
	st.t.Helper()
	m := st.meet()
	m.complete()
	m.works()
	return m
}

// connects makes a connection that has to be of that kind.
func (st *stage) connects(what string, kind baretls.HandshakeKind) *meeting {
	st.t.Helper()
	m := st.connect()
	m.wantKind(what, kind)
	return m
}

// complete is pair.handshake for a server that may get early data.
func (m *meeting) complete() {
	m.t.Helper()
	m.runEarly()
	m.handshake()
}

// runEarly is pair.run for a server that may get early data.
func (m *meeting) runEarly() {
	m.t.Helper()
	for round := 0; ; round++ {
		if round > 1<<20 {
			m.t.Fatalf("the connection does not come to rest:\nclient %v\nserver %v", m.client.transcript, m.server.transcript)
		}
		for _, s := range m.sides() {
			m.other(s).coming = append(m.other(s).coming, s.take()...)
		}
		moved := m.client.step()
		if s := m.server; len(s.coming) > 0 || s.woken {
			n := len(s.coming)
			if s.split > 0 {
				n = min(n, s.split)
			}
			s.in = append(s.in, s.coming[:n]...)
			s.coming = s.coming[n:]
			m.serverTurns()
			moved = true
		}
		if !moved {
			return
		}
	}
}

// serverTurns is side.turns of the server, and reads early data.
func (m *meeting) serverTurns() {
	m.t.Helper()
	s := m.server
	before := s.on
	defer func() { s.on = before }()
	s.woken = false
	for range 1 << 16 {
		opened := 0
		s.on = func(state baretls.State) bool {
			if before != nil && before(state) {
				return true
			}
			early, ok := state.(baretls.ReadEarlyData)
			if ok {
				opened = m.readEarly(early)
			}
			return ok
		}
		quiet := s.turn()
		s.in = s.in[opened:]
		if quiet {
			return
		}
	}
	m.t.Fatalf("the server finds no quiet state after many turns: %v", s.transcript[len(s.transcript)-10:])
}

// readEarly takes all records of a ReadEarlyData.
func (m *meeting) readEarly(state baretls.ReadEarlyData) (opened int) {
	m.t.Helper()
	for {
		most, peeked := state.PeekLen()
		rec, ok := state.NextRecord()
		if !ok {
			return opened
		}
		if !peeked || len(rec.Payload) > most || rec.Discard <= len(rec.Payload) {
			m.t.Errorf("an early record of %d bytes has a payload of %d, and PeekLen said %d, %t", rec.Discard, len(rec.Payload), most, peeked)
		}
		m.early = append(m.early, rec.Payload...)
		opened += rec.Discard
	}
}

// clientFlight lets the client say its first word, with early data behind it
// if there is any.
func (m *meeting) clientFlight(early ...string) []byte {
	m.t.Helper()
	m.sendEarly(early...)
	m.client.turns()
	m.client.on = nil
	m.hello = m.client.take()
	return m.hello
}

// sendEarly makes the client send early data with its hello, a record or more
// for each string.
func (m *meeting) sendEarly(early ...string) {
	if len(early) == 0 {
		return
	}
	m.client.on = func(state baretls.State) bool {
		transmit, ok := state.(baretls.TransmitTLSData)
		if !ok || early == nil {
			return false
		}
		w, ok := transmit.MayEncryptEarlyData()
		if !ok {
			m.t.Errorf("the client may not send early data with its hello")
		} else {
			for _, data := range early {
				m.client.encryptEarly(w, []byte(data))
			}
		}
		early = nil
		return false
	}
}

// encryptEarly encrypts early data into a buffer of the exact size, after it
// has tried one that is a byte short.
func (s *side) encryptEarly(w baretls.MayEncryptEarlyData, data []byte) {
	s.t.Helper()
	left := w.BytesLeft()
	s.output("Encrypt of early data", w.EncryptedLen(len(data)),
		func(out []byte) (int, error) {
			n, err := w.Encrypt(data, out)
			if err != nil && w.BytesLeft() != left {
				s.t.Errorf("%s: a buffer that is too short takes %d bytes from the allowance", s.role, left-w.BytesLeft())
			}
			return n, err
		},
		func(out []byte) ([]byte, error) { return w.AppendEncrypted(out, data) })
	if got := left - w.BytesLeft(); got != len(data) {
		s.t.Errorf("%s: %d bytes of early data take %d from the allowance", s.role, len(data), got)
	}
}

// answer gives the server a flight of the client.
func (m *meeting) answer(flight ...[]byte) {
	m.t.Helper()
	m.server.give(flight...)
	m.serverTurns()
}

// wantKind checks what both sides say of how the handshake went.
func (m *meeting) wantKind(what string, kind baretls.HandshakeKind) {
	m.t.Helper()
	resumed := kind == baretls.HandshakeResumed || kind == baretls.HandshakeResumedWithHelloRetryRequest
	for _, s := range m.sides() {
		if got := s.conn.HandshakeKind(); got != kind {
			m.t.Errorf("%s: the %s says that the handshake is %q, want %q", what, s.role, got, kind)
		}
		if got := s.conn.ConnectionState().DidResume; got != resumed {
			m.t.Errorf("%s: the %s's DidResume is %t, want %t", what, s.role, got, resumed)
		}
	}
}

// wantEarly checks what both sides say of the early data, and what came of it.
func (m *meeting) wantEarly(what string, client, server baretls.EarlyDataStatus, data string) {
	m.t.Helper()
	if got := m.client.conn.EarlyData(); got != client {
		m.t.Errorf("%s: the client says that early data is %q, want %q", what, got, client)
	}
	if got := m.server.conn.EarlyData(); got != server {
		m.t.Errorf("%s: the server says that early data is %q, want %q", what, got, server)
	}
	if string(m.early) != data {
		m.t.Errorf("%s: the server has read the early data %.60q, want %.60q", what, m.early, data)
	}
}

// firstHello is the ClientHello in the client's first flight.
func firstHello(t testing.TB, flight []byte) *wire.ClientHello {
	t.Helper()
	first := records(t, flight)[0]
	if first[0] != handshake {
		t.Fatalf("the first flight begins with a record of type %d", first[0])
	}
	var h wire.ClientHello
	if err := h.Parse(messages(t, first[5:])[0][4:]); err != nil {
		t.Fatalf("the client's hello: %v", err)
	}
	return &h
}

// offers reports whether the hello of a new client of that name has a PSK. The
// connection goes no further.
func (st *stage) offers(name string) bool {
	st.t.Helper()
	return firstHello(st.t, st.meetAt(name).clientFlight()).Has.Has(wire.ExtPreSharedKey)
}

// A testClock stands still until it is moved.
type testClock struct {
	mutex sync.Mutex
	at    time.Time
}

// newTestClock is an hour ahead of time.Now, so that nothing works by chance that
// goes by the wrong clock.
func newTestClock() *testClock {
	return &testClock{at: time.Now().Add(time.Hour).Truncate(time.Millisecond)}
}

func (c *testClock) now() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.at
}

func (c *testClock) move(d time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.at = c.at.Add(d)
}

// ahead is the same clock, so much ahead.
func (c *testClock) ahead(d time.Duration) func() time.Time {
	return func() time.Time { return c.now().Add(d) }
}

// A drawer is a ClientSessionStore that can be looked into.
type drawer struct {
	mutex    sync.Mutex
	sessions map[string][]*baretls.ClientSession
	key      string // of the latest Put
	mixed    bool   // keys make no difference: a store that is out of order
}

func newDrawer() *drawer {
	return &drawer{sessions: make(map[string][]*baretls.ClientSession)}
}

func (d *drawer) Put(key string, session *baretls.ClientSession) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.key = key
	d.sessions[key] = append(d.sessions[key], session)
}

func (d *drawer) Take(key string) *baretls.ClientSession {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.mixed {
		key = d.key
	}
	list := d.sessions[key]
	if len(list) == 0 {
		return nil
	}
	session := list[len(list)-1]
	d.sessions[key] = list[:len(list)-1]
	return session
}

// len is how many sessions there are under all keys.
func (d *drawer) len() (n int) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, list := range d.sessions {
		n += len(list)
	}
	return n
}

// takeAll empties the drawer and returns the latest session, encoded.
func (d *drawer) takeAll(t testing.TB) []byte {
	t.Helper()
	session := d.Take(d.key)
	if session == nil {
		t.Fatal("the client has no session")
	}
	b, err := session.MarshalBinary()
	if err != nil {
		t.Fatalf("MarshalBinary: %v", err)
	}
	d.empty()
	return b
}

// empty throws all sessions away.
func (d *drawer) empty() { d.sessions = make(map[string][]*baretls.ClientSession) }

// put puts an encoded session where the latest was.
func (d *drawer) put(t testing.TB, encoded []byte) {
	t.Helper()
	session := new(baretls.ClientSession)
	if err := session.UnmarshalBinary(encoded); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	d.Put(d.key, session)
}

// edited is an encoded session with other contents.
func edited(t testing.TB, encoded []byte, edit func(*machine.Session)) []byte {
	t.Helper()
	s, err := machine.ParseSession(bytes.Clone(encoded))
	if err != nil {
		t.Fatalf("the client's session: %v", err)
	}
	edit(s)
	return s.Append(nil)
}

// seen is what a session holds.
func seen(t testing.TB, encoded []byte) *machine.Session {
	t.Helper()
	s, err := machine.ParseSession(bytes.Clone(encoded))
	if err != nil {
		t.Fatalf("the client's session: %v", err)
	}
	return s
}

// withLeaf is a config's Certificates with one of its own.
func withLeaf(o tlstest.Options) []tls.Certificate {
	return []tls.Certificate{tlstest.New(o)}
}

// Alerts that only resumption and client certificates know.
const (
	decryptErrorAlert        tls.AlertError = 51
	certificateRequiredAlert tls.AlertError = 116
)

// expandLabelWith is expandLabel with a context.
func expandLabelWith(secret []byte, label string, context []byte, n int) []byte {
	info := []byte{byte(n >> 8), byte(n), byte(len("tls13 ") + len(label))}
	info = append(append(info, "tls13 "+label...), byte(len(context)))
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, context...)), n)
	if err != nil {
		panic(err)
	}
	return out
}

// wantNoPanic runs f; misuse and bad input are no reason to panic.
func wantNoPanic(t testing.TB, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := recover(); r != nil {
			t.Errorf("%s: panic: %v", what, r)
		}
	}()
	f()
}
