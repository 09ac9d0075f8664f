package baretls_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// innerSizes are the sizes of the TLSInnerPlaintexts of a flight, content,
// type and padding together: what RFC 8449, Section 4, counts.
func innerSizes(t testing.TB, flight []byte) (sizes []int) {
	t.Helper()
	for _, rec := range records(t, flight) {
		if rec[0] == applicationData {
			sizes = append(sizes, int(binary.BigEndian.Uint16(rec[3:]))-16)
		}
	}
	return sizes
}

// metered sees all that both sides send.
func (m *meeting) metered(after func(s *side, flight []byte)) {
	m.t.Helper()
	for range 1000 {
		moved := false
		for _, s := range m.sides() {
			if flight := s.take(); len(flight) > 0 {
				after(s, flight)
				m.other(s).give(flight)
				moved = true
			}
		}
		if !moved {
			return
		}
		m.client.turns()
		m.serverTurns()
	}
	m.t.Fatal("the connection does not come to rest")
}

func TestRecordSizeLimit(t *testing.T) {
	const whole = 16385
	for _, test := range []struct {
		client, server      int // RecordSizeLimit
		fragment, padding   int // of both
		toClient, toServer  int // the largest inner plaintext there may be
		dataAtOnce, records int // so much data takes so many records to the client
	}{
		{toClient: whole, toServer: whole, dataAtOnce: 16384, records: 1},
		{client: 64, toClient: 64, toServer: whole, dataAtOnce: 63 * 3, records: 3},
		{client: 64, toClient: 64, toServer: whole, dataAtOnce: 63*3 + 1, records: 4},
		{server: 64, toClient: whole, toServer: 64, dataAtOnce: 1000, records: 1},
		{client: 64, server: 64, toClient: 64, toServer: 64, dataAtOnce: 64, records: 2},
		{client: 1000, server: 300, toClient: 1000, toServer: 300, dataAtOnce: 1998, records: 2},
		{client: 16385, server: 16384, toClient: whole, toServer: 16384, dataAtOnce: 16384, records: 1},
		{client: 16384, toClient: 16384, toServer: whole, dataAtOnce: 16384, records: 2},
		{client: 1000, fragment: 512, toClient: 513, toServer: 513, dataAtOnce: 1024, records: 2},
		{client: 300, fragment: 512, toClient: 300, toServer: 513, dataAtOnce: 299, records: 1},
		{client: 1000, padding: 256, toClient: 1000, toServer: whole, dataAtOnce: 768, records: 1},
		{client: 1000, padding: 256, toClient: 1000, toServer: whole, dataAtOnce: 769, records: 2},
		{client: 257, padding: 256, toClient: 257, toServer: whole, dataAtOnce: 256, records: 1},
		{client: 256, padding: 256, toClient: 256, toServer: whole, dataAtOnce: 255, records: 1},
		{client: 64, padding: 64, toClient: 64, toServer: whole, dataAtOnce: 63, records: 1},
		{client: 65, server: 64, padding: 64, toClient: 65, toServer: 64, dataAtOnce: 128, records: 2},
		{client: 100, server: 100, fragment: 64, padding: 64, toClient: 65, toServer: 65, dataAtOnce: 65, records: 2},
	} {
		name := fmt.Sprintf("client %d, server %d, fragment %d, padding %d, %d bytes", test.client, test.server, test.fragment, test.padding, test.dataAtOnce)
		t.Run(name, func(t *testing.T) {
			roots, _ := tlstest.CA()
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				c.EnableEarlyData = false // whose keys are older than the limit
				c.RecordSizeLimit, s.RecordSizeLimit = test.client, test.server
				c.MaxFragmentSize, s.MaxFragmentSize = test.fragment, test.fragment
				c.RecordPadding, s.RecordPadding = test.padding, test.padding
				c.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.RSA2048)}
				s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, roots
			})
			for i, kind := range []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed} {
				m := st.meet()
				largest := map[*side]int{}
				check := func(s *side, flight []byte) {
					limit := map[*side]int{m.client: test.toServer, m.server: test.toClient}[s]
					for _, n := range innerSizes(t, flight) {
						largest[s] = max(largest[s], n)
						if n > limit {
							t.Errorf("the %s sends %d bytes of content, type and padding in a record, and the limit is %d", s.role, n, limit)
						}
					}
				}
				m.client.turns()
				m.metered(check)
				m.complete()
				m.wantKind(name, kind)
				for _, s := range m.sides() {
					for _, n := range []int{1, 62, 63, 64, 65, 300, 20000} {
						data := bytes.Repeat([]byte{byte(n)}, n)
						before := len(m.other(s).data)
						s.write(data)
						m.metered(check)
						if got := m.other(s).data[before:]; !bytes.Equal(got, data) {
							t.Errorf("of %d bytes that the %s sends, %d arrive, error %v", n, s.role, len(got), m.other(s).err)
						}
					}
					s.refresh()
					s.turns()
					m.metered(check)
				}
				m.server.write(make([]byte, test.dataAtOnce))
				if got := len(innerSizes(t, m.server.sent)); got != test.records {
					t.Errorf("%d bytes to the client take %d records, want %d", test.dataAtOnce, got, test.records)
				}
				m.metered(check)
				if i == 0 && test.padding == 0 && (largest[m.server] != test.toClient || largest[m.client] != test.toServer) {
					t.Errorf("the largest records have %d to the client and %d to the server, and the limits are %d and %d: they are not used", largest[m.server], largest[m.client], test.toClient, test.toServer)
				}
				m.works()
			}
		})
	}
}

// A peer that has agreed to a limit and does not keep it is refused.
func TestRecordSizeLimitIsEnforced(t *testing.T) {
	for _, limit := range []int{64, 100, 16384} {
		for _, role := range []string{"client", "server"} {
			for _, test := range []struct {
				name             string
				content, padding int
				alive            bool
			}{
				{"content up to the limit", limit - 1, 0, true},
				{"padding up to the limit", 1, limit - 2, true},
				{"a byte of content too much", limit, 0, false},
				{"a byte of padding too much", limit - 1, 1, false},
				{"far too much", 16384, 0, false},
			} {
				t.Run(fmt.Sprintf("%s, limit %d, %s", role, limit, test.name), func(t *testing.T) {
					st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
						c.SessionTicketsDisabled = true
						c.RecordSizeLimit, s.RecordSizeLimit = limit, limit
					})
					m := st.meet()
					m.complete()
					victim, f := m.client, st.keys.forger(t, "SERVER_TRAFFIC_SECRET_0")
					if role == "server" {
						victim, f = m.server, st.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0")
					}
					victim.give(f.seal(applicationData, make([]byte, test.content), test.padding))
					victim.turns()
					if test.alive {
						victim.wantAlive()
						if len(victim.data) != test.content {
							t.Errorf("%d bytes are read, want %d", len(victim.data), test.content)
						}
						return
					}
					victim.wantFailed(recordOverflow)
					if len(victim.data) != 0 {
						t.Errorf("of a record beyond the limit %d bytes are read", len(victim.data))
					}
				})
			}
		}
	}
}

// The limit holds for the handshake's protected records, too.
func TestRecordSizeLimitInTheHandshake(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.RecordSizeLimit = 100 })
	m := st.meet()
	m.answer(m.clientFlight())
	m.client.give(m.server.take())
	m.client.turns()
	f := st.keys.forger(t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
	m.answer(f.seal(handshake, []byte{20, 0, 0, 32}, 96))
	m.server.wantFailed(recordOverflow)
}

// forgedHello is a hello with other extensions, for a server alone.
func (st *stage) forgedHello(edit func(h *wire.ClientHello)) *meeting {
	st.t.Helper()
	m := st.meet()
	hello := records(st.t, m.clientFlight())[0][5:]
	var h wire.ClientHello
	if err := h.Parse(hello[4:]); err != nil {
		st.t.Fatalf("the client's hello: %v", err)
	}
	edit(&h)
	m.answer(plain(handshake, h.Append(nil)))
	return m
}

func TestRecordSizeLimitOfThePeer(t *testing.T) {
	for _, test := range []struct {
		limit uint16
		alert tls.AlertError // closeNotify: none
	}{
		{0, illegalParameter}, {1, illegalParameter}, {63, illegalParameter},
		{64, closeNotify}, {16385, closeNotify}, {16386, closeNotify}, {65535, closeNotify},
	} {
		t.Run(fmt.Sprint(test.limit), func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.SessionTicketsDisabled = true })
			m := st.forgedHello(func(h *wire.ClientHello) { h.RecordSizeLimit = test.limit })
			if test.alert != closeNotify {
				m.server.wantFailed(test.alert)
			} else {
				m.server.wantAlive()
				limit := min(int(test.limit), 16385)
				for _, n := range innerSizes(t, m.server.take()) {
					if n > limit {
						t.Errorf("a client with the limit %d is sent %d", test.limit, n)
					}
				}
			}

			m = st.meet()
			m.answer(m.clientFlight())
			flight := records(t, m.server.take())
			m.client.give(flight[0], flight[1])
			m.client.turns()
			ee := wire.EncryptedExtensions{Has: 1 << wire.ExtRecordSizeLimit, RecordSizeLimit: test.limit}
			m.client.give(st.keys.forger(t, "SERVER_HANDSHAKE_TRAFFIC_SECRET").seal(handshake, ee.Append(nil), 0))
			m.client.turns()
			if test.alert != closeNotify {
				m.client.wantFailed(test.alert)
			} else {
				m.client.wantAlive()
			}
		})
	}
}

// A peer that does not know the extension is neither told of a limit nor held
// to it.
func TestPeerWithoutRecordSizeLimit(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.SessionTicketsDisabled, c.KeyLogWriter = true, nil
		s.RecordSizeLimit = 64
	})
	st.server.KeyLogWriter = st.keys
	m := st.forgedHello(func(h *wire.ClientHello) { h.Has = h.Has.Without(wire.ExtRecordSizeLimit) })
	m.server.wantAlive()
	flight := records(t, m.server.take())
	_, content := st.keys.forger(t, "SERVER_HANDSHAKE_TRAFFIC_SECRET").open(t, flight[2])
	var ee wire.EncryptedExtensions
	if err := ee.Parse(messages(t, content)[0][4:], ^wire.ExtensionSet(0)); err != nil {
		t.Fatalf("EncryptedExtensions: %v", err)
	}
	if ee.Has.Has(wire.ExtRecordSizeLimit) {
		t.Error("a client that has not sent the extension is answered by it")
	}
	f := st.keys.forger(t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
	m.answer(f.seal(handshake, []byte{20, 0}, 1000))
	m.server.wantAlive()

	// The client's limit is nothing to a server that does not answer.
	st = newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.RecordSizeLimit = 64 })
	m = st.meet()
	m.answer(m.clientFlight())
	flight = records(t, m.server.take())
	m.client.give(flight[0], flight[1])
	m.client.turns()
	server := st.keys.forger(t, "SERVER_HANDSHAKE_TRAFFIC_SECRET")
	m.client.give(server.seal(handshake, (&wire.EncryptedExtensions{}).Append(nil), 0))
	m.client.give(server.seal(handshake, []byte{11, 0}, 1000))
	m.client.turns()
	m.client.wantAlive()
}

// Early data was sent before its limit was known, and is not subject to it.
func TestRecordSizeLimitAndEarlyData(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.RecordSizeLimit = 64 })
	st.connect()
	m := st.meet()
	data := string(bytes.Repeat([]byte("early"), 400))
	sizes := innerSizes(t, m.clientFlight(data))
	if len(sizes) != 1 || sizes[0] != 2001 {
		t.Errorf("early data of 2000 bytes is cut into %v, want one record", sizes)
	}
	m.answer(m.hello)
	m.complete()
	m.wantEarly("with a limit of 64", accepted, accepted, data)
	m.works()
	m.client.write(make([]byte, 100))
	if sizes := innerSizes(t, m.client.sent); len(sizes) != 2 {
		t.Errorf("100 bytes to a server with the limit 64 are sent as %v", sizes)
	}
	m.run()
	// Behind the early data the limit holds.
	st.connect()
	m = st.meet()
	hello, f := m.earlyForger("early")
	m.answer(hello)
	m.client.give(m.server.take())
	m.client.turns()
	hs := st.keys.forger(t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
	m.answer(f.seal(applicationData, make([]byte, 500), 0), f.seal(handshake, endOfEarlyData, 0))
	m.server.wantAlive()
	m.answer(hs.seal(handshake, []byte{20, 0}, 62))
	m.server.wantFailed(recordOverflow)
}

func TestRecordSizeLimitConfig(t *testing.T) {
	for limit, ok := range map[int]bool{0: true, 64: true, 16384: true, 16385: true, -1: false, 1: false, 63: false, 16386: false, 1 << 20: false} {
		client, server := clientConfig(), serverConfig()
		client.RecordSizeLimit, server.RecordSizeLimit = limit, limit
		if _, err := baretls.NewClient(client, "example.com"); (err == nil) != ok {
			t.Errorf("a client with RecordSizeLimit %d: %v", limit, err)
		}
		if _, err := baretls.NewServer(server); (err == nil) != ok {
			t.Errorf("a server with RecordSizeLimit %d: %v", limit, err)
		}
	}
}
