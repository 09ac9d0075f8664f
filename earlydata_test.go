package baretls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls"
	machine "github.com/baretls/baretls/internal/handshake"
	"github.com/baretls/baretls/internal/wire"
)

const (
	notOffered = baretls.EarlyDataNotOffered
	offered    = baretls.EarlyDataUndecided
	accepted   = baretls.EarlyDataAccepted
	rejected   = baretls.EarlyDataRejected
)

func TestEarlyData(t *testing.T) {
	for _, store := range stores {
		for _, options := range []string{"", "appends", "hostile", "split 1", "split 7"} {
			t.Run(store.name+", "+options, func(t *testing.T) {
				st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
					store.use(s)
					c.NextProtos, s.NextProtos = []string{"a"}, []string{"a"}
				})
				first := st.connect()
				first.wantEarly("the first connection", notOffered, notOffered, "")
				m := st.meet()
				for _, s := range m.sides() {
					s.appends, s.hostile = options == "appends", options == "hostile"
					if n := 0; strings.HasPrefix(options, "split") {
						fmt.Sscanf(options, "split %d", &n)
						s.split = n
					}
				}
				m.sendEarly("early ", "data")
				m.complete()
				m.client.on = nil
				m.wantEarly("the second connection", accepted, accepted, "early data")
				m.wantKind("the second connection", baretls.HandshakeResumed)
				m.works()
			})
		}
	}
}

// What the two sides say of early data, step by step.
func TestEarlyDataStatus(t *testing.T) {
	st := newStage(t)
	st.connect()
	m := st.meet()
	m.wantEarly("before anything is sent", offered, notOffered, "")
	m.clientFlight("early")
	m.wantEarly("when the client has sent", offered, notOffered, "")
	m.answer(m.hello)
	m.wantEarly("when the server has answered", offered, accepted, "early")
	if m.server.conn.IsHandshaking() != true {
		t.Error("the server says that the handshake is complete before the client's Finished")
	}
	m.complete()
	m.wantEarly("at the end", accepted, accepted, "early")

	plainly := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.EnableEarlyData = false })
	plainly.connect()
	m = plainly.connects("without EnableEarlyData", baretls.HandshakeResumed)
	m.wantEarly("without EnableEarlyData", notOffered, notOffered, "")

	for status, want := range map[baretls.EarlyDataStatus]string{notOffered: "not offered", offered: "undecided", accepted: "accepted", rejected: "rejected", 77: "EarlyDataStatus(77)"} {
		if got := status.String(); got != want {
			t.Errorf("the status %d is called %q, want %q", uint8(status), got, want)
		}
	}
}

// earlyWriter is the right to send early data behind the hello.
func (m *meeting) earlyWriter() (w baretls.MayEncryptEarlyData) {
	m.t.Helper()
	found := false
	m.client.on = func(state baretls.State) bool {
		if transmit, ok := state.(baretls.TransmitTLSData); ok && !found {
			w, found = transmit.MayEncryptEarlyData()
		}
		return false
	}
	m.client.turns()
	m.client.on = nil
	if !found {
		m.t.Fatal("there is no right to send early data with the hello")
	}
	return w
}

func TestEarlyDataAllowance(t *testing.T) {
	for _, allowance := range []int{1, 100, 16384, 16385, 40000} {
		t.Run(fmt.Sprint(allowance), func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.MaxEarlyData = uint32(allowance) })
			st.connect()
			m := st.meet()
			w := m.earlyWriter()
			if got := w.BytesLeft(); got != allowance {
				t.Fatalf("BytesLeft is %d, want %d", got, allowance)
			}
			data := bytes.Repeat([]byte{'x'}, allowance+1)
			out := make([]byte, len(data)+200)
			if n, err := w.Encrypt(data, out); n != 0 || err != baretls.ErrExceededEarlyData {
				t.Errorf("a byte more than the allowance returns %d, %v, want ErrExceededEarlyData", n, err)
			}
			if before, err := w.AppendEncrypted([]byte("before"), data); string(before) != "before" || err != baretls.ErrExceededEarlyData {
				t.Errorf("AppendEncrypted of a byte more than the allowance returns %d bytes, %v", len(before), err)
			}
			if bytes.Count(out, []byte{0}) != len(out) || w.BytesLeft() != allowance {
				t.Errorf("ErrExceededEarlyData has written something, or taken from the allowance: %d of %d are left", w.BytesLeft(), allowance)
			}
			if n, err := w.Encrypt(nil, nil); n != 0 || err != nil || w.BytesLeft() != allowance {
				t.Errorf("no early data returns %d, %v", n, err)
			}
			half := allowance / 2
			m.client.encryptEarly(w, data[:half])
			m.client.encryptEarly(w, data[:allowance-half])
			if got := w.BytesLeft(); got != 0 {
				t.Errorf("when all is used, %d bytes are left", got)
			}
			if _, err := w.Encrypt(data[:1], out); err != baretls.ErrExceededEarlyData {
				t.Errorf("a byte when nothing is left returns %v, want ErrExceededEarlyData", err)
			}
			m.client.flush()
			m.complete()
			m.wantEarly("with the whole allowance", accepted, accepted, string(data[:allowance]))
			m.works()
		})
	}
}

// Early data can come later, as long as the server has not answered, and the
// right to send it ends with the handshake.
func TestEarlyDataWhileTheAnswerIsAwaited(t *testing.T) {
	st := newStage(t)
	st.connect()
	m := st.meet()
	fromHello := m.earlyWriter()
	m.client.encryptEarly(fromHello, []byte("one "))
	m.client.flush()
	var blocked baretls.BlockedHandshake
	for _, data := range []string{"two ", "three "} {
		status, err := m.client.conn.ProcessTLSRecords(nil)
		if err != nil {
			t.Fatalf("the client: %v", err)
		}
		var ok bool
		if blocked, ok = status.State.(baretls.BlockedHandshake); !ok {
			t.Fatalf("while the answer is awaited the state is %T", status.State)
		}
		w, ok := blocked.MayEncryptEarlyData()
		if !ok {
			t.Fatal("while the answer is awaited there is no right to early data")
		}
		m.client.encryptEarly(w, []byte(data))
		m.client.flush()
		if fromHello.BytesLeft() != w.BytesLeft() {
			t.Errorf("two rights to the same early data have %d and %d bytes left", fromHello.BytesLeft(), w.BytesLeft())
		}
	}
	m.answer(m.client.take())
	if string(m.early) != "one two three " {
		t.Errorf("the server has read %q", m.early)
	}
	// The server has answered, which the client does not know.
	w, ok := blocked.MayEncryptEarlyData()
	if !ok {
		t.Fatal("the right to early data is lost before the answer has come")
	}
	m.client.encryptEarly(w, []byte("four"))
	m.client.flush()
	late := m.client.take()
	m.client.give(m.server.take())
	m.client.turns()
	if _, err := w.Encrypt([]byte("late"), make([]byte, 100)); err != baretls.ErrStaleState {
		t.Errorf("early data after the server's Finished returns %v, want ErrStaleState", err)
	}
	if _, err := w.AppendEncrypted(nil, []byte("late")); err != baretls.ErrStaleState {
		t.Errorf("early data appended after the server's Finished returns %v, want ErrStaleState", err)
	}
	if w.BytesLeft() != 0 || w.EncryptedLen(1) != 0 {
		t.Errorf("after the server's Finished BytesLeft is %d, EncryptedLen %d, want 0", w.BytesLeft(), w.EncryptedLen(1))
	}
	if _, ok := blocked.MayEncryptEarlyData(); ok {
		t.Error("there is a right to early data after the server's Finished")
	}
	m.answer(late)
	m.complete()
	m.wantEarly("all of it", accepted, accepted, "one two three four")
	m.works()
}

// Nobody but a client with a session may send early data.
func TestNoRightToEarlyData(t *testing.T) {
	st := newStage(t)
	check := func(what string, m *meeting) {
		for _, s := range m.sides() {
			s.on = func(state baretls.State) bool {
				var ok bool
				switch state := state.(type) {
				case baretls.TransmitTLSData:
					_, ok = state.MayEncryptEarlyData()
				case baretls.BlockedHandshake:
					_, ok = state.MayEncryptEarlyData()
				}
				if ok {
					t.Errorf("%s: the %s may send early data during %T", what, s.role, state)
				}
				return false
			}
		}
		m.complete()
	}
	check("a first connection", st.meet())
	st.client = st.newClientConfig(func(c *baretls.ClientConfig) { c.EnableEarlyData = false })
	check("without EnableEarlyData", st.meet())
}

// A session is not used for early data if the server could only refuse it.
func TestEarlyDataIsNotOffered(t *testing.T) {
	for _, test := range []struct {
		name   string
		client func(*baretls.ClientConfig)
		edit   func(*machine.Session)
	}{
		{"the session allows none", nil, func(s *machine.Session) { s.MaxEarlyData = 0 }},
		{"another protocol than any that is offered", nil, func(s *machine.Session) { s.ALPN = "z" }},
		{"a suite that is not offered", func(c *baretls.ClientConfig) { c.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} }, func(s *machine.Session) {}},
		{"without EnableEarlyData", func(c *baretls.ClientConfig) { c.EnableEarlyData = false }, func(s *machine.Session) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t)
			st.connect()
			st.sessions.put(t, edited(t, st.sessions.takeAll(t), test.edit))
			if test.client != nil {
				st.client = st.newClientConfig(test.client)
			}
			m := st.meet()
			h := firstHello(t, m.clientFlight())
			if h.Has.Has(wire.ExtEarlyData) || !h.Has.Has(wire.ExtPreSharedKey) {
				t.Errorf("%s: the hello offers early data: %t, and the session: %t, want the session alone", test.name, h.Has.Has(wire.ExtEarlyData), h.Has.Has(wire.ExtPreSharedKey))
			}
			m.answer(m.hello)
			m.complete()
			m.wantEarly(test.name, notOffered, notOffered, "")
			m.works()
		})
	}
}

type brokenGuard struct{ since time.Time }

func (g brokenGuard) Since() time.Time { return g.since }
func (g brokenGuard) Fresh([32]byte, time.Time) (bool, error) {
	return true, errors.New("the register is away")
}

// sinceGuard began when it says.
type sinceGuard struct {
	baretls.ReplayGuard
	since time.Time
}

func (g sinceGuard) Since() time.Time { return g.since }

// A server accepts early data or rejects it; in either case the connection
// goes on, and a client that was rejected sends its data again.
func TestEarlyDataAcceptedOrRejected(t *testing.T) {
	type server = *baretls.ServerConfig
	for _, test := range []struct {
		name   string
		first  func(server)
		later  func(*stage, server) // nil: the same server
		client time.Duration        // the client's clock has run ahead in between
		kind   baretls.HandshakeKind
		status baretls.EarlyDataStatus
	}{
		{name: "nothing has changed", kind: baretls.HandshakeResumed, status: accepted},
		{name: "another server like it", later: func(*stage, server) {}, kind: baretls.HandshakeResumed, status: accepted},
		{name: "the client's clock is 9 seconds ahead", client: 9 * time.Second, kind: baretls.HandshakeResumed, status: accepted},
		{name: "the client's clock is 9 seconds behind", client: -9 * time.Second, kind: baretls.HandshakeResumed, status: accepted},
		{name: "the client's clock is 11 seconds ahead", client: 11 * time.Second, kind: baretls.HandshakeResumed, status: rejected},
		{name: "the client's clock is 11 seconds behind", client: -11 * time.Second, kind: baretls.HandshakeResumed, status: rejected},
		{name: "HelloRetryRequest", later: func(_ *stage, s server) { s.Groups = []tls.CurveID{tls.CurveP384} }, kind: baretls.HandshakeResumedWithHelloRetryRequest, status: rejected},
		{name: "HelloRetryRequest with a cookie", later: func(_ *stage, s server) { s.RetryCookieKey = make([]byte, 32) }, kind: baretls.HandshakeResumedWithHelloRetryRequest, status: rejected},
		{name: "HelloRetryRequest and another hash", later: func(_ *stage, s server) {
			s.Groups = []tls.CurveID{tls.CurveP384}
			s.CipherSuites = []uint16{tls.TLS_AES_256_GCM_SHA384}
		}, kind: baretls.HandshakeFullWithHelloRetryRequest, status: rejected},
		{name: "another suite of the same hash", later: func(_ *stage, s server) { s.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} }, kind: baretls.HandshakeResumed, status: rejected},
		{name: "another hash", later: func(_ *stage, s server) { s.CipherSuites = []uint16{tls.TLS_AES_256_GCM_SHA384} }, kind: baretls.HandshakeFull, status: rejected},
		{name: "another application protocol", later: func(_ *stage, s server) { s.NextProtos = []string{"b"} }, kind: baretls.HandshakeFull, status: rejected},
		{name: "no early data any more", later: func(_ *stage, s server) { s.MaxEarlyData = 0 }, kind: baretls.HandshakeResumed, status: rejected},
		{name: "no resumption any more", later: func(_ *stage, s server) { s.SessionTicketsDisabled = true }, kind: baretls.HandshakeFull, status: rejected},
		{name: "other ticket keys", later: func(_ *stage, s server) { s.TicketKeys = nil }, kind: baretls.HandshakeFull, status: rejected},
		{name: "a guard that is new", later: func(st *stage, s server) {
			s.ReplayGuard = sinceGuard{baretls.NewReplayGuard(0), st.clock.now()}
		}, kind: baretls.HandshakeResumed, status: rejected},
		{name: "a guard that is almost a window old", later: func(st *stage, s server) {
			s.ReplayGuard = sinceGuard{baretls.NewReplayGuard(0), st.clock.now().Add(time.Millisecond - baretls.ReplayWindow)}
		}, kind: baretls.HandshakeResumed, status: rejected},
		{name: "a guard that is a window old", later: func(st *stage, s server) {
			s.ReplayGuard = sinceGuard{baretls.NewReplayGuard(0), st.clock.now().Add(-baretls.ReplayWindow)}
		}, kind: baretls.HandshakeResumed, status: accepted},
		{name: "a guard that was always there", later: func(st *stage, s server) {
			s.ReplayGuard = sinceGuard{baretls.NewReplayGuard(0), time.Time{}}
		}, kind: baretls.HandshakeResumed, status: accepted},
		{name: "a guard that is broken", later: func(st *stage, s server) { s.ReplayGuard = brokenGuard{} }, kind: baretls.HandshakeResumed, status: rejected},
		{name: "a guard that is full", later: func(st *stage, s server) {
			guard := baretls.NewReplayGuard(1)
			guard.Fresh([32]byte{1}, st.clock.now())
			s.ReplayGuard = sinceGuard{guard, time.Time{}}
		}, kind: baretls.HandshakeResumed, status: rejected},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				c.NextProtos, s.NextProtos = []string{"a", "b"}, []string{"a"}
				if test.first != nil {
					test.first(s)
				}
			})
			st.connect()
			if test.later != nil {
				st.server = st.newServerConfig(func(s server) {
					s.NextProtos = []string{"a"}
					if test.first != nil {
						test.first(s)
					}
					test.later(st, s)
				})
			}
			if test.client != 0 {
				st.client = st.newClientConfig(func(c *baretls.ClientConfig) {
					c.NextProtos, c.Time = []string{"a", "b"}, st.clock.ahead(test.client)
				})
			}
			st.clock.move(time.Minute)
			if strings.HasPrefix(test.name, "a guard that is a") || strings.HasPrefix(test.name, "a guard that is new") {
				st.clock.move(-time.Minute) // its age is what the test is about
			}
			m := st.meet()
			w := m.earlyWriter()
			m.client.encryptEarly(w, []byte("early data"))
			m.client.flush()
			m.complete()
			m.wantKind(test.name, test.kind)
			if test.status == accepted {
				m.wantEarly(test.name, accepted, accepted, "early data")
			} else {
				m.wantEarly(test.name, rejected, rejected, "")
				m.send(m.client, "early data")
			}
			m.works()
			if _, err := w.Encrypt([]byte("late"), make([]byte, 100)); err != baretls.ErrStaleState {
				t.Errorf("%s: early data at the end returns %v, want ErrStaleState", test.name, err)
			}
		})
	}
}

// A session of one application protocol is no good for the early data of
// another that the server now prefers: RFC 9846, Section 4.3.10.
func TestEarlyDataAndTheProtocolThatIsChosenNow(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.NextProtos, s.NextProtos = []string{"b"}, []string{"a", "b"}
	})
	st.connect()
	st.sessions.mixed = true
	st.client = st.newClientConfig(func(c *baretls.ClientConfig) { c.NextProtos = []string{"b", "a"} })
	m := st.meet()
	m.clientFlight("for b")
	m.answer(m.hello)
	m.complete()
	m.wantKind("with another protocol", baretls.HandshakeResumed)
	m.wantEarly("with another protocol", rejected, rejected, "")
	if got := m.client.conn.ALPNProtocol(); got != "a" {
		t.Errorf("the protocol is %q, want a", got)
	}
	m.works()
}

// A server that has come to allow less does not punish clients for what their
// tickets say.
func TestEarlyDataAllowanceIsLowered(t *testing.T) {
	st := newStage(t)
	st.connect()
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.MaxEarlyData = 100 })
	m := st.meet()
	data := string(make([]byte, 5000))
	m.sendEarly(data)
	m.runEarly()
	m.client.on = nil
	for _, s := range m.sides() {
		if s.err != nil || s.conn.IsHandshaking() {
			t.Fatalf("the %s fails when a client sends the 5,000 bytes that its ticket allows, 10,000 at most, to a server that has come to allow 100: %v", s.role, s.err)
		}
	}
	if got := m.server.conn.EarlyData(); got == accepted && string(m.early) != data {
		t.Errorf("of accepted early data the server has read %d bytes, want 5000", len(m.early))
	}
	m.works()
}

// The right is lost as soon as the client knows of the rejection: with the
// HelloRetryRequest, before the handshake is complete.
func TestRightToEarlyDataIsLostWithARetry(t *testing.T) {
	st := newStage(t)
	st.connect()
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.Groups = []tls.CurveID{tls.CurveP384} })
	m := st.meet()
	w := m.earlyWriter()
	m.answer(m.client.take())
	m.client.give(m.server.take())
	m.client.on = func(state baretls.State) bool {
		if transmit, ok := state.(baretls.TransmitTLSData); ok {
			if _, ok := transmit.MayEncryptEarlyData(); ok {
				t.Error("early data may be sent with the second hello: RFC 9846, Section 4.2.2, forbids it")
			}
		}
		return false
	}
	m.client.turns()
	m.client.on = nil
	if got := m.client.conn.EarlyData(); got != rejected {
		t.Errorf("after the HelloRetryRequest early data is %q, want rejected", got)
	}
	if _, err := w.Encrypt([]byte("late"), make([]byte, 100)); err != baretls.ErrStaleState {
		t.Errorf("early data after the HelloRetryRequest returns %v, want ErrStaleState", err)
	}
	second := m.client.take()
	if firstHello(t, second).Has.Has(wire.ExtEarlyData) {
		t.Error("the second hello offers early data")
	}
	m.answer(second)
	m.complete()
	m.works()
}

// What a client may send by its session must be skipped if it is rejected,
// however it is cut into records: RFC 9846, Section 4.3.10.
func TestWholeAllowanceIsSkipped(t *testing.T) {
	for _, test := range []struct {
		name  string
		later func(*baretls.ServerConfig)
	}{
		{"with the hello", func(s *baretls.ServerConfig) { s.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} }},
		{"by HelloRetryRequest", func(s *baretls.ServerConfig) { s.Groups = []tls.CurveID{tls.CurveP384} }},
	} {
		for _, allowance := range []int{100, 1000, 16000, 16383, 16384, 20000, 100000} {
			for _, piece := range []int{allowance, 1000, 64, 16} {
				if allowance/piece > 2000 {
					continue
				}
				st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.MaxEarlyData = uint32(allowance) })
				st.connect()
				st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
					s.MaxEarlyData = uint32(allowance)
					test.later(s)
				})
				m := st.meet()
				w := m.earlyWriter()
				for left := allowance; left > 0; left -= min(left, piece) {
					out, err := w.AppendEncrypted(nil, make([]byte, min(left, piece)))
					if err != nil {
						t.Fatalf("early data: %v", err)
					}
					m.client.sent = append(m.client.sent, out...)
				}
				m.runEarly()
				if m.server.err != nil || m.client.err != nil {
					t.Errorf("an allowance of %d bytes, sent in pieces of %d and rejected %s, ends the connection: %v", allowance, piece, test.name, m.server.err)
					break
				}
				m.wantEarly("the whole allowance", rejected, rejected, "")
				m.works()
			}
		}
	}
}

// A server that has no early data of its own skips some all the same, but not
// without end.
func TestSkippingEnds(t *testing.T) {
	for _, retry := range []bool{false, true} {
		for _, test := range []struct {
			bytes int
			alive bool
		}{{16000, true}, {64000, false}} {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.MaxEarlyData = 1 << 20 })
			st.connect()
			st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
				s.MaxEarlyData = 0
				s.TicketKeys = nil // what the ticket allows is not known here
				if retry {
					s.Groups = []tls.CurveID{tls.CurveP384}
				}
			})
			m := st.meet()
			w := m.earlyWriter()
			for range test.bytes / 1000 {
				m.client.encryptEarly(w, make([]byte, 1000))
			}
			m.client.flush()
			m.runEarly()
			switch {
			case test.alive:
				if m.server.err != nil {
					t.Errorf("retry %t: %d bytes of early data that nobody allowed end the connection: %v", retry, test.bytes, m.server.err)
				}
			case retry:
				m.server.wantFailed(unexpectedMessage)
			default:
				m.server.wantFailed(badRecordMAC)
			}
		}
	}
}

// Nor do records that bring nothing at all come without end.
func TestSkippingOfEmptyRecordsEnds(t *testing.T) {
	for _, retry := range []bool{false, true} {
		st := newStage(t)
		st.connect()
		st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
			s.MaxEarlyData = 0
			if retry {
				s.Groups = []tls.CurveID{tls.CurveP384}
			}
		})
		m := st.meet()
		m.answer(m.clientFlight("early"))
		empty := plain(applicationData, nil)
		for range 40 {
			m.answer(bytes.Repeat(empty, 1000))
		}
		if m.server.err == nil {
			t.Errorf("retry %t: a server skips 40,000 empty records and waits for more", retry)
		}
	}
}

// Skipping ends with the first record that opens.
func TestNoSkippingAfterTheSecondFlight(t *testing.T) {
	st := newStage(t)
	st.connect()
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.MaxEarlyData = 0 })
	m := st.meet()
	w := m.earlyWriter()
	early, err := w.AppendEncrypted(nil, []byte("early data"))
	if err != nil {
		t.Fatalf("early data: %v", err)
	}
	m.answer(m.client.take(), early)
	m.client.give(m.server.take())
	m.client.turns()
	m.client.take()
	// The Finished in two records, and early data between them.
	f := m.keys.forger(t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
	m.answer(f.seal(handshake, []byte{20, 0}, 0))
	m.server.wantAlive()
	m.answer(early)
	m.server.wantFailed(badRecordMAC)
}

// replayed is what a server makes of a first flight.
func (st *stage) replayed(flight []byte) *meeting {
	st.t.Helper()
	m := &meeting{pair: &pair{t: st.t, keys: st.keys}, serverConn: st.newServer()}
	m.server = newSide(st.t, "server", &m.serverConn.Conn)
	m.answer(bytes.Clone(flight))
	return m
}

// A first flight that comes again is a resumption, but not early data again.
func TestReplay(t *testing.T) {
	guard := sinceGuard{baretls.NewReplayGuard(0), time.Time{}}
	st := newStage(t)
	first := st.newServerConfig(func(s *baretls.ServerConfig) { s.ReplayGuard = guard })
	second := st.newServerConfig(func(s *baretls.ServerConfig) { s.ReplayGuard = guard })
	alone := st.newServerConfig(nil)
	st.server = first
	st.connect()
	flight := st.meet().clientFlight("pay 1")
	other := st.meet()
	if other.clientFlight(); firstHello(t, other.hello).Has.Has(wire.ExtEarlyData) == false {
		t.Fatal("there is no second session")
	}
	for _, test := range []struct {
		name   string
		server *baretls.ServerConfig
		flight []byte
		status baretls.EarlyDataStatus
		data   string
	}{
		{"the flight", first, flight, accepted, "pay 1"},
		{"the flight again", first, flight, rejected, ""},
		{"the flight at a server with the same guard", second, flight, rejected, ""},
		{"another flight there", second, other.hello, accepted, ""},
		{"that one at the first server", first, other.hello, rejected, ""},
		{"the flight at a server with a guard of its own", alone, flight, accepted, "pay 1"},
		{"and there again", alone, flight, rejected, ""},
	} {
		st.server = test.server
		m := st.replayed(test.flight)
		if m.server.err != nil {
			t.Errorf("%s: the server fails: %v", test.name, m.server.err)
			continue
		}
		if got := m.server.conn.EarlyData(); got != test.status || string(m.early) != test.data {
			t.Errorf("%s: early data is %q and reads %q, want %q and %q", test.name, got, m.early, test.status, test.data)
		}
		if got := m.server.conn.HandshakeKind(); got != baretls.HandshakeResumed {
			t.Errorf("%s: the handshake is %q, want resumed", test.name, got)
		}
	}
	// Later than the guard remembers, the ticket's age gives it away.
	st.clock.move(baretls.ReplayWindow)
	st.server = first
	if m := st.replayed(flight); m.server.conn.EarlyData() != rejected {
		t.Errorf("a flight that is a window old is %q, want rejected", m.server.conn.EarlyData())
	}
}

// With a SessionStore the session itself is gone after its first use.
func TestReplayWithSessionStore(t *testing.T) {
	cache := baretls.NewSessionCache(0)
	st := newStage(t)
	servers := []*baretls.ServerConfig{}
	for range 2 {
		// The guard is not asked.
		servers = append(servers, st.newServerConfig(func(s *baretls.ServerConfig) { s.SessionStore, s.ReplayGuard = cache, brokenGuard{} }))
	}
	st.server = servers[0]
	st.connect()
	flight := st.meet().clientFlight("pay 1")
	for i, want := range []baretls.EarlyDataStatus{accepted, rejected, rejected} {
		st.server = servers[i%2]
		m := st.replayed(flight)
		kind := baretls.HandshakeFull
		if i == 0 {
			kind = baretls.HandshakeResumed
		}
		if m.server.conn.EarlyData() != want || m.server.conn.HandshakeKind() != kind || m.server.err != nil {
			t.Errorf("use %d of the session: early data is %q and the handshake %q, error %v, want %q and %q", i+1, m.server.conn.EarlyData(), m.server.conn.HandshakeKind(), m.server.err, want, kind)
		}
	}
}

// Replay protection is by the whole hello, so that its random is no way around.
func TestReplayWithAnotherRandom(t *testing.T) {
	st := newStage(t)
	st.connect()
	flight := st.meet().clientFlight("pay 1")
	hello := bytes.Clone(flight)
	hello[5+4+2]++
	m := st.replayed(hello)
	m.server.wantFailed(decryptErrorAlert)
}

// early keys for a forger, in the middle of a client's first flight.
func (m *meeting) earlyForger(early string) (hello []byte, f *forger) {
	m.t.Helper()
	flight := records(m.t, m.clientFlight(early))
	if len(flight) != 3 {
		m.t.Fatalf("the first flight is %d records, want ClientHello, change_cipher_spec and early data", len(flight))
	}
	f = m.keys.forger(m.t, "CLIENT_EARLY_TRAFFIC_SECRET")
	if _, content := f.open(m.t, flight[2]); string(content) != early {
		m.t.Fatalf("the early data opens to %q", content)
	}
	f.seq = 0
	return flight[0], f
}

var endOfEarlyData = []byte{5, 0, 0, 0}

func TestEarlyDataOfAForger(t *testing.T) {
	for _, test := range []struct {
		name  string
		f     func(m *meeting, f *forger) [][]byte
		alert tls.AlertError
		read  string
	}{
		{"as much as is allowed", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(applicationData, make([]byte, 9000), 0), f.seal(applicationData, make([]byte, 1000), 500)}
		}, closeNotify, string(make([]byte, 10000))},
		{"a byte more than is allowed", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(applicationData, make([]byte, 10000), 0), f.seal(applicationData, []byte{1}, 0)}
		}, unexpectedMessage, string(make([]byte, 10000))},
		{"more in one record than is allowed", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(applicationData, make([]byte, 10001), 0)}
		}, unexpectedMessage, ""},
		{"a flipped bit", func(m *meeting, f *forger) [][]byte {
			good, bad := f.seal(applicationData, []byte("good"), 0), f.seal(applicationData, []byte("bad"), 0)
			bad[len(bad)-1] ^= 1
			return [][]byte{good, bad}
		}, badRecordMAC, "good"},
		{"a record left out", func(m *meeting, f *forger) [][]byte {
			f.seal(applicationData, []byte("one"), 0)
			return [][]byte{f.seal(applicationData, []byte("two"), 0)}
		}, badRecordMAC, ""},
		{"EndOfEarlyData is missing", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(applicationData, []byte("data"), 0), f.seal(handshake, append([]byte{20, 0, 0, 32}, make([]byte, 32)...), 0)}
		}, unexpectedMessage, "data"},
		{"EndOfEarlyData is not empty", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(handshake, []byte{5, 0, 0, 1, 0}, 0)}
		}, decodeError, ""},
		{"EndOfEarlyData twice in a record", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(handshake, append(bytes.Clone(endOfEarlyData), endOfEarlyData...), 0)}
		}, unexpectedMessage, ""},
		{"EndOfEarlyData twice under the early keys", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(handshake, endOfEarlyData, 0), f.seal(handshake, endOfEarlyData, 0)}
		}, badRecordMAC, ""},
		{"EndOfEarlyData twice", func(m *meeting, f *forger) [][]byte {
			hs := m.keys.forger(m.t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
			return [][]byte{f.seal(handshake, endOfEarlyData, 0), hs.seal(handshake, endOfEarlyData, 0)}
		}, unexpectedMessage, ""},
		{"data behind EndOfEarlyData", func(m *meeting, f *forger) [][]byte {
			hs := m.keys.forger(m.t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
			return [][]byte{f.seal(handshake, endOfEarlyData, 0), hs.seal(applicationData, []byte("data"), 0)}
		}, unexpectedMessage, ""},
		{"Finished in the record of EndOfEarlyData", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(handshake, append(bytes.Clone(endOfEarlyData), append([]byte{20, 0, 0, 32}, make([]byte, 32)...)...), 0)}
		}, unexpectedMessage, ""},
		{"early data inside EndOfEarlyData", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(handshake, endOfEarlyData[:2], 0), f.seal(applicationData, []byte("data"), 0)}
		}, unexpectedMessage, ""},
		{"EndOfEarlyData in two records", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(applicationData, []byte("data"), 0), f.seal(handshake, endOfEarlyData[:2], 0), f.seal(handshake, endOfEarlyData[2:], 7)}
		}, closeNotify, "data"},
		{"a KeyUpdate", func(m *meeting, f *forger) [][]byte { return [][]byte{f.seal(handshake, keyUpdate(0), 0)} }, unexpectedMessage, ""},
		{"a record without a type", func(m *meeting, f *forger) [][]byte { return [][]byte{f.sealInner(make([]byte, 10))} }, unexpectedMessage, ""},
		{"a record that is too long", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(applicationData, make([]byte, 16384), 1)}
		}, recordOverflow, ""},
		{"handshake in the clear", func(m *meeting, f *forger) [][]byte { return [][]byte{plain(handshake, endOfEarlyData)} }, unexpectedMessage, ""},
		{"33 records without data", func(m *meeting, f *forger) (list [][]byte) {
			for range 33 {
				list = append(list, f.seal(applicationData, nil, 0))
			}
			return list
		}, unexpectedMessage, ""},
		{"60 records without data, and data between them", func(m *meeting, f *forger) (list [][]byte) {
			for range 60 {
				list = append(list, f.seal(applicationData, nil, 0), f.seal(applicationData, []byte("x"), 0))
			}
			return list
		}, closeNotify, strings.Repeat("x", 60)},
		{"change_cipher_spec between early data", func(m *meeting, f *forger) [][]byte {
			return [][]byte{f.seal(applicationData, []byte("one "), 0), ccs(), f.seal(applicationData, []byte("two"), 0)}
		}, closeNotify, "one two"},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t)
			st.connect()
			m := st.meet()
			hello, f := m.earlyForger("early")
			m.answer(hello)
			if got := m.server.conn.EarlyData(); got != accepted {
				t.Fatalf("early data is %q, want accepted", got)
			}
			m.client.give(m.server.take()) // its handshake keys are logged
			m.client.turns()
			m.answer(test.f(m, f)...)
			if test.alert == closeNotify {
				m.server.wantAlive()
			} else {
				m.server.wantFailed(test.alert)
			}
			if string(m.early) != test.read {
				t.Errorf("%s: the server has read %d bytes, %.20q, want %d", test.name, len(m.early), m.early, len(test.read))
			}
		})
	}
}

// A peer's alert under the early keys ends the connection.
func TestAlertAmongEarlyData(t *testing.T) {
	st := newStage(t)
	st.connect()
	m := st.meet()
	hello, f := m.earlyForger("early")
	m.answer(hello, f.seal(applicationData, []byte("data"), 0), f.alert(handshakeFailure))
	m.server.wantAlerted(handshakeFailure)
	if string(m.early) != "data" {
		t.Errorf("before the alert the server has read %q, want data", m.early)
	}
}

// A flipped bit in early data that is rejected makes no difference.
func TestFlippedBitInRejectedEarlyData(t *testing.T) {
	st := newStage(t)
	st.connect()
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.MaxEarlyData = 0 })
	m := st.meet()
	flight := records(t, m.clientFlight("early data"))
	flight[2][20] ^= 4
	m.answer(flight...)
	m.complete()
	m.wantEarly("with a flipped bit", rejected, rejected, "")
	m.works()
}

// The server does not lose what it has not read yet.
func TestEarlyDataThatWaits(t *testing.T) {
	st := newStage(t)
	st.connect()
	m := st.meet()
	m.clientFlight("one", "two", "three")
	conn := m.server.conn
	in := m.hello
	var out []byte
	var state baretls.ReadEarlyData
	for {
		status, err := conn.ProcessTLSRecords(in)
		if err != nil {
			t.Fatalf("the server: %v", err)
		}
		in = in[status.Discard:]
		switch s := status.State.(type) {
		case baretls.EncodeTLSData:
			out, _ = s.AppendTo(out)
			continue
		case baretls.TransmitTLSData:
			s.Done()
			continue
		case baretls.ReadEarlyData:
			state = s
		default:
			t.Fatalf("the state is %T, want ReadEarlyData", status.State)
		}
		break
	}
	for range 3 {
		n, ok := state.PeekLen()
		if n != 3 || !ok {
			t.Errorf("PeekLen says %d, %t, want 3", n, ok)
		}
		// Nobody reads; the quiet state is there, and so is the data later.
		status, err := conn.ProcessTLSRecords(nil)
		if _, ok := status.State.(baretls.BlockedHandshake); !ok || err != nil {
			t.Fatalf("without input the state is %T, %v, want BlockedHandshake", status.State, err)
		}
		if _, ok := state.NextRecord(); ok {
			t.Error("a ReadEarlyData of an earlier turn returns a record")
		}
		in = bytes.Clone(in)
		if status, err = conn.ProcessTLSRecords(in); err != nil || status.Discard != 0 {
			t.Fatalf("with the same input: Discard %d, %v", status.Discard, err)
		}
		var is bool
		if state, is = status.State.(baretls.ReadEarlyData); !is {
			t.Fatalf("with the same input the state is %T, want ReadEarlyData", status.State)
		}
	}
	rec, ok := state.NextRecord()
	if !ok || string(rec.Payload) != "one" || &rec.Payload[0] != &in[5] {
		t.Errorf("the first record is %q, want one, in place", rec.Payload)
	}
	m.server.in, m.server.sent = in[rec.Discard:], out
	m.serverTurns()
	if string(m.early) != "twothree" {
		t.Errorf("the rest is %q, want two and three", m.early)
	}
	m.complete()
	m.works()
}

func TestEarlyExporter(t *testing.T) {
	st := newStage(t)
	full := st.meet()
	export := func(c *baretls.Conn) ([]byte, error) {
		return c.ExportEarlyKeyingMaterial("EXPORTER-test", []byte("context"), 40)
	}
	refused := func(what string, s *side) {
		t.Helper()
		if out, err := export(s.conn); out != nil || !errors.Is(err, baretls.ErrNoEarlyData) {
			t.Errorf("%s: the %s's early exporter returns %d bytes, %v, want ErrNoEarlyData", what, s.role, len(out), err)
		}
	}
	for _, s := range full.sides() {
		refused("before the first connection", s)
	}
	full.complete()
	for _, s := range full.sides() {
		refused("after a full handshake", s)
	}
	m := st.meet()
	m.clientFlight("early")
	fromClient, err := export(m.client.conn)
	if err != nil || len(fromClient) != 40 {
		t.Fatalf("the client's early exporter returns %d bytes, %v", len(fromClient), err)
	}
	refused("before the hello", m.server)
	m.answer(m.hello)
	fromServer, err := export(m.server.conn)
	if err != nil || !bytes.Equal(fromClient, fromServer) {
		t.Errorf("the early exporters differ: %x and %x, %v", fromClient, fromServer, err)
	}
	for _, other := range []struct {
		label, context string
	}{{"EXPORTER-other", "context"}, {"EXPORTER-test", "other"}, {"EXPORTER-test", ""}} {
		if out, err := m.server.conn.ExportEarlyKeyingMaterial(other.label, []byte(other.context), 40); err != nil || bytes.Equal(out, fromServer) {
			t.Errorf("label %q and context %q make the same keying material, or %v", other.label, other.context, err)
		}
	}
	if _, err := m.client.conn.ExportEarlyKeyingMaterial("EXPORTER-test", nil, 0); err == nil {
		t.Error("0 bytes of keying material are no error")
	}
	m.complete()
	for _, s := range m.sides() {
		refused("after the handshake", s)
	}

	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.MaxEarlyData = 0 })
	m = st.meet()
	m.clientFlight("early")
	m.answer(m.hello)
	refused("when early data was rejected", m.server)
	m.complete()
	refused("when early data was rejected", m.client)
}

// The server cannot claim to have accepted early data that it had to refuse.
func TestServerThatAcceptsEarlyDataItMayNot(t *testing.T) {
	st := newStage(t)
	m := st.meet()
	m.clientFlight()
	m.answer(m.hello)
	flight := records(t, m.server.take())
	m.client.give(flight[0], flight[1])
	m.client.turns()
	f := m.keys.forger(t, "SERVER_HANDSHAKE_TRAFFIC_SECRET")
	ee := wire.EncryptedExtensions{Has: 1 << wire.ExtEarlyData}
	m.client.give(f.seal(handshake, ee.Append(nil), 0))
	m.client.turns()
	m.client.wantFailed(110) // unsupported_extension

	chacha := func(s *baretls.ServerConfig) { s.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256} }
	nothing := func(s *baretls.ServerConfig) {}
	for _, test := range []struct {
		name         string
		first, later func(*baretls.ServerConfig)
		alpn         string // that EncryptedExtensions choose
	}{
		{"with a full handshake", nothing, func(s *baretls.ServerConfig) { s.TicketKeys = nil }, "a"},
		{"with another application protocol", nothing, nothing, "b"},
		{"with another cipher suite", chacha, nothing, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				c.NextProtos, s.NextProtos = []string{"a", "b"}, []string{"a"}
				test.first(s)
			})
			st.connect()
			st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.NextProtos = []string{"a"}; test.later(s) })
			m := st.meet()
			m.clientFlight("early")
			m.answer(m.hello)
			flight := records(t, m.server.take())
			m.client.give(flight[0], flight[1])
			m.client.turns()
			f := m.keys.forger(t, "SERVER_HANDSHAKE_TRAFFIC_SECRET")
			ee := wire.EncryptedExtensions{Has: 1<<wire.ExtEarlyData | 1<<wire.ExtALPN, ALPN: []byte(test.alpn)}
			m.client.give(f.seal(handshake, ee.Append(nil), 0))
			m.client.turns()
			m.client.wantFailed(illegalParameter)
		})
	}
}

// Half-RTT data: what a server sends before the client has finished.
func TestHalfRTTData(t *testing.T) {
	writes := func(st *stage, resumed bool) bool {
		m := st.meet()
		m.clientFlight()
		wrote := false
		m.server.on = func(state baretls.State) bool {
			if w, ok := state.(baretls.WriteTraffic); ok && m.server.conn.IsHandshaking() && !wrote {
				wrote = true
				m.server.encrypt(w, []byte("half-RTT data"))
				m.server.flush()
			}
			return false
		}
		m.answer(m.hello)
		m.server.on = nil
		if wrote {
			m.client.give(m.server.take())
			m.client.turns()
			if string(m.client.data) != "half-RTT data" || m.client.conn.IsHandshaking() {
				st.t.Errorf("the client gets %q before its Finished has been seen", m.client.data)
			}
		}
		m.client.data = nil
		m.complete()
		m.works()
		return wrote
	}
	for _, test := range []struct {
		name          string
		server        func(*baretls.ServerConfig)
		full, resumed bool // it may be sent
	}{
		{"by default", func(*baretls.ServerConfig) {}, false, false},
		{"turned on", func(s *baretls.ServerConfig) { s.SendHalfRTTData = true }, true, true},
		{"turned on, and early data accepted", func(s *baretls.ServerConfig) { s.SendHalfRTTData = true }, true, true},
		{"turned on, with a certificate requested", func(s *baretls.ServerConfig) { s.SendHalfRTTData, s.ClientAuth = true, tls.RequestClientCert }, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { test.server(s) })
			if got := writes(st, false); got != test.full {
				t.Errorf("half-RTT data %s, full handshake: may be sent: %t, want %t", test.name, got, test.full)
			}
			if got := writes(st, true); got != test.resumed {
				t.Errorf("half-RTT data %s, resumption: may be sent: %t, want %t", test.name, got, test.resumed)
			}
		})
	}
}

// A server that has said all before the client's Finished sends nothing behind
// its close_notify, no tickets either.
func TestNoTicketsBehindCloseNotify(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SendHalfRTTData = true })
	m := st.meet()
	m.clientFlight()
	m.answer(m.hello)
	m.server.write([]byte("half-RTT data"))
	m.server.close()
	m.client.give(m.server.take())
	m.client.turns()
	if !m.client.peerClosed || string(m.client.data) != "half-RTT data" {
		t.Errorf("the client reads %q, and PeerClosed: %t", m.client.data, m.client.peerClosed)
	}
	m.server.transcript = nil
	m.answer(m.client.take())
	m.server.wantAlive()
	if m.server.conn.IsHandshaking() {
		t.Error("the client's Finished does not complete the handshake of a server that has closed")
	}
	if extra := m.server.take(); len(extra) > 0 {
		t.Errorf("behind its close_notify the server sends %d bytes, by %v", len(extra), m.server.transcript)
	}
	m.client.write([]byte("more"))
	m.answer(m.client.take())
	if string(m.server.data) != "more" {
		t.Errorf("a server that has closed reads %q, want more", m.server.data)
	}
}
