package baretls_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

// both calls f for a client that is attacked and for a server; the forger has
// the keys of its peer, which nobody else uses.
func both(t *testing.T, f func(t *testing.T, m *meeting, victim *side, peer *forger)) {
	t.Helper()
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionTicketsDisabled = true })
			m := st.meet()
			m.complete()
			if role == "client" {
				f(t, m, m.client, st.keys.forger(t, "SERVER_TRAFFIC_SECRET_0"))
			} else {
				f(t, m, m.server, st.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0"))
			}
		})
	}
}

// own is a forger that opens what the victim sends.
func own(t *testing.T, m *meeting, victim *side) *forger {
	t.Helper()
	label := "CLIENT_TRAFFIC_SECRET_0"
	if victim == m.server {
		label = "SERVER_TRAFFIC_SECRET_0"
	}
	return m.keys.forger(t, label)
}

// updates are the KeyUpdates in what the victim has sent: the request_update
// of each.
func updates(t *testing.T, f *forger, flight []byte) (requests []byte) {
	t.Helper()
	for _, rec := range records(t, flight) {
		typ, content := f.open(t, rec)
		if typ != handshake {
			continue
		}
		if len(content) != 5 || content[0] != 24 {
			t.Fatalf("a handshake record holds %x, want a KeyUpdate alone", content)
		}
		requests = append(requests, content[4])
		f.update()
	}
	return requests
}

func TestKeyUpdateBothWays(t *testing.T) {
	st := newStage(t)
	m := st.connect()
	for round := range 5 {
		for _, s := range m.sides() {
			s.refresh()
			m.run()
			m.works()
			s.refresh()
			s.write([]byte("at once, under the new keys"))
			m.run()
			m.works()
		}
		if m.client.err != nil || m.server.err != nil {
			t.Fatalf("round %d: client %v, server %v", round+1, m.client.err, m.server.err)
		}
	}
}

func TestKeyUpdateIsAnswered(t *testing.T) {
	for _, test := range []struct {
		name     string
		requests []byte // each in a record of its own
		answers  []byte
	}{
		{"a request", []byte{1}, []byte{0}},
		{"no request", []byte{0}, nil},
		{"three requests", []byte{1, 1, 1}, []byte{0}},
		{"a request between others", []byte{0, 1, 0}, []byte{0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T, m *meeting, victim *side, peer *forger) {
				opener := own(t, m, victim)
				var flight [][]byte
				for _, request := range test.requests {
					flight = append(flight, peer.seal(handshake, keyUpdate(request), 0))
					peer.update()
				}
				flight = append(flight, peer.seal(applicationData, []byte("under the last keys"), 0))
				victim.give(flight...)
				victim.turns() // nobody writes: it is idle
				if string(victim.data) != "under the last keys" || victim.err != nil {
					t.Errorf("after %s the victim reads %q, error %v", test.name, victim.data, victim.err)
				}
				if got := updates(t, opener, victim.take()); !slices.Equal(got, test.answers) {
					t.Errorf("%s: the answers are KeyUpdates with request_update %v, want %v", test.name, got, test.answers)
				}
				victim.write([]byte("data"))
				if _, content := opener.open(t, victim.take()); string(content) != "data" {
					t.Errorf("after the answer the victim's data opens to %q", content)
				}
			})
		})
	}
}

// Both ask at once: each answers the other, and none the answer.
func TestKeyUpdatesThatCross(t *testing.T) {
	m := newStage(t).connect()
	openers := map[*side]*forger{}
	for _, s := range m.sides() {
		openers[s] = own(t, m, s)
	}
	openers[m.client].seq, openers[m.server].seq = 1, 2 // data, and tickets
	for _, s := range m.sides() {
		s.refresh()
		s.turns()
	}
	flights := map[*side][]byte{}
	for _, s := range m.sides() {
		flights[s] = s.take()
		if got := updates(t, openers[s], flights[s]); !slices.Equal(got, []byte{1}) {
			t.Errorf("the %s asks by %v, want one KeyUpdate with update_requested", s.role, got)
		}
	}
	for _, s := range m.sides() {
		s.give(flights[m.other(s)])
		s.turns()
	}
	for _, s := range m.sides() {
		answer := s.take()
		if got := updates(t, openers[s], answer); !slices.Equal(got, []byte{0}) {
			t.Errorf("the %s answers by %v, want one KeyUpdate without a request", s.role, got)
		}
		m.other(s).give(answer)
	}
	m.run()
	m.works()
}

// CVE-2026-32283: a second KeyUpdate in the record of the first is under keys
// that are no longer.
func TestKeyUpdatesInOneRecord(t *testing.T) {
	for _, test := range []struct {
		name    string
		content []byte
	}{
		{"two KeyUpdates", append(keyUpdate(0), keyUpdate(0)...)},
		{"two KeyUpdates that ask", append(keyUpdate(1), keyUpdate(1)...)},
		{"a KeyUpdate and the beginning of one", append(keyUpdate(0), keyUpdate(0)[:1]...)},
		{"many KeyUpdates", bytes.Repeat(keyUpdate(1), 1000)},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T, m *meeting, victim *side, peer *forger) {
				victim.give(peer.seal(handshake, test.content, 0))
				victim.turns()
				victim.wantFailed(unexpectedMessage)
			})
		})
	}
}

// CVE-2026-56862: messages that cost the victim work and bring nothing.
func TestFloods(t *testing.T) {
	ticket := ticketMessage(3600, []byte("ticket"))
	for _, test := range []struct {
		name    string
		message func(i int) []byte
		client  bool // for a client alone
		data    int  // data after so many; 0: never
		alive   bool
		many    int
	}{
		{name: "32 key updates", message: func(int) []byte { return keyUpdate(0) }, many: 32, alive: true},
		{name: "33 key updates", message: func(int) []byte { return keyUpdate(0) }, many: 33},
		{name: "33 key updates that ask", message: func(int) []byte { return keyUpdate(1) }, many: 33},
		{name: "320 key updates and data", message: func(int) []byte { return keyUpdate(1) }, many: 320, data: 32, alive: true},
		{name: "32 tickets", message: func(int) []byte { return ticket }, client: true, many: 32, alive: true},
		{name: "33 tickets", message: func(int) []byte { return ticket }, client: true, many: 33},
		{name: "33 tickets and key updates", message: func(i int) []byte {
			if i%2 == 0 {
				return ticket
			}
			return keyUpdate(0)
		}, client: true, many: 33},
		{name: "320 tickets and data", message: func(int) []byte { return ticket }, client: true, many: 320, data: 32, alive: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T, m *meeting, victim *side, peer *forger) {
				if test.client && victim != m.client {
					victim.give(peer.seal(handshake, ticket, 0))
					victim.turns()
					victim.wantFailed(unexpectedMessage) // no server takes tickets
					return
				}
				for i := range test.many {
					message := test.message(i)
					victim.give(peer.seal(handshake, message, 0))
					if message[0] == 24 {
						peer.update()
					}
					if test.data > 0 && i%test.data == test.data-1 {
						victim.give(peer.seal(applicationData, []byte("x"), 0))
					}
					if i < test.many-1 {
						if victim.turns(); victim.err != nil {
							t.Fatalf("the victim fails after %d messages: %v", i+1, victim.err)
						}
					}
				}
				victim.turns()
				if test.alive {
					victim.wantAlive()
				} else {
					victim.wantFailed(unexpectedMessage)
				}
			})
		})
	}
	t.Run("33 tickets in one record", func(t *testing.T) {
		both(t, func(t *testing.T, m *meeting, victim *side, peer *forger) {
			victim.give(peer.seal(handshake, bytes.Repeat(ticket, 33), 0))
			victim.turns()
			victim.wantFailed(unexpectedMessage)
		})
	})
}

// The answers to one's own requests are no flood, even if the peer has nothing
// else to say: it reads a long upload.
func TestAnswersAreNoFlood(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			m := newStage(t).connect()
			from := m.client
			if role == "server" {
				from = m.server
			}
			for i := range 100 {
				m.send(from, fmt.Sprintf("part %d", i))
				from.refresh()
				m.run()
				if from.err != nil || m.other(from).err != nil {
					t.Fatalf("after %d refreshes with data between them, and none from the peer, the %s fails: %v; its peer: %v", i+1, role, from.err, m.other(from).err)
				}
			}
			m.works()
		})
	}
}

// Nothing follows a close_notify, no answer either.
func TestKeyUpdateAfterCloseNotify(t *testing.T) {
	both(t, func(t *testing.T, m *meeting, victim *side, peer *forger) {
		victim.close()
		victim.take()
		victim.give(peer.seal(handshake, keyUpdate(1), 0))
		peer.update()
		victim.give(peer.seal(applicationData, []byte("data"), 0))
		victim.turns()
		if got := victim.take(); len(got) > 0 {
			t.Errorf("a request after our close_notify is answered by %d bytes", len(got))
		}
		if string(victim.data) != "data" || victim.err != nil {
			t.Errorf("after the KeyUpdate the victim reads %q, error %v", victim.data, victim.err)
		}
	})
}

func TestMalformedKeyUpdates(t *testing.T) {
	for _, test := range []struct {
		name    string
		content []byte
		want    func(s *side)
	}{
		{"request_update 2", keyUpdate(2), func(s *side) { s.wantFailed(illegalParameter) }},
		{"no body", []byte{24, 0, 0, 0}, func(s *side) { s.wantFailed(decodeError) }},
		{"two bytes", []byte{24, 0, 0, 2, 0, 0}, func(s *side) { s.wantFailed(decodeError) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T, m *meeting, victim *side, peer *forger) {
				victim.give(peer.seal(handshake, test.content, 0))
				victim.turns()
				test.want(victim)
			})
		})
	}
}

// A server may change its keys once it has sent its Finished, and before it
// has seen the client's.
func TestKeyUpdateWithHalfRTTData(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SendHalfRTTData = true })
	m := st.meet()
	m.clientFlight()
	m.answer(m.hello)
	m.server.write([]byte("one "))
	m.server.refresh()
	m.server.write([]byte("two"))
	m.complete()
	if string(m.client.data) != "one two" {
		t.Errorf("the client reads %q", m.client.data)
	}
	m.works()
}

// The contract holds over all that a connection can do: early data, tickets,
// key updates of both sides, closing; however bytes come and go.
func TestContractOfAWholeConnection(t *testing.T) {
	type options struct {
		split            int
		appends, hostile bool
	}
	list := []options{{}, {appends: true}, {hostile: true}, {appends: true, hostile: true}}
	for _, n := range []int{1, 2, 3, 5, 6, 21, 22, 23, 64, 255, 1000} {
		list = append(list, options{split: n}, options{split: n, hostile: true})
	}
	var encoded [2]int
	for i, o := range list {
		st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.TicketRequest, s.TicketCount = baretls.TicketRequest{Full: 1, Resumed: 3}, 3
			c.MaxFragmentSize, s.MaxFragmentSize = 1000, 1000
		})
		st.connect()
		m := st.meet()
		for _, s := range m.sides() {
			s.split, s.appends, s.hostile = o.split, o.appends, o.hostile
		}
		early := string(bytes.Repeat([]byte("early"), 500))
		m.sendEarly(early[:1], early[1:])
		m.complete()
		m.client.on = nil
		for range 2 {
			m.works()
			m.client.refresh()
			m.server.refresh()
			m.server.write(bytes.Repeat([]byte("s"), 3000))
			m.client.write(bytes.Repeat([]byte("c"), 3000))
			m.run()
		}
		m.works()
		m.client.close()
		m.run()
		m.server.write([]byte("the last word"))
		m.run()
		m.server.close()
		m.run()
		what := fmt.Sprintf("with %+v", o)
		m.wantEarly(what, accepted, accepted, early)
		m.wantKind(what, baretls.HandshakeResumed)
		for j, s := range m.sides() {
			want := 2*(len("from the client")+3000) + len("from the client")
			if s == m.client {
				want += len("the last word")
			}
			if len(s.data) != want || !s.peerClosed || s.err != nil {
				t.Errorf("%s: the %s has read %d bytes, want %d; PeerClosed: %t, error %v", what, s.role, len(s.data), want, s.peerClosed, s.err)
			}
			if last := s.transcript[len(s.transcript)-1]; last != "Closed" {
				t.Errorf("%s: the %s ends in %s, want Closed", what, s.role, last)
			}
			n := 0
			for _, state := range s.transcript {
				if state == "EncodeTLSData" {
					n++
				}
			}
			if i == 0 {
				encoded[j] = n
			} else if n != encoded[j] {
				t.Errorf("%s: the %s has encoded %d records, want %d, as without", what, s.role, n, encoded[j])
			}
		}
		if got := m.client.conn.TicketsReceived(); got != 3 {
			t.Errorf("%s: %d tickets have come, want 3", what, got)
		}
	}
}

// quick keeps the many connections of a test cheap.
func quick(c *baretls.ClientConfig, s *baretls.ServerConfig) { c.Groups = []tls.CurveID{tls.X25519} }

// A first flight with early data, cut in two at every byte.
func TestEverySplitOfAFirstFlight(t *testing.T) {
	st := newStage(t, quick)
	st.connect()
	flight := st.meet().clientFlight("early ", "data")
	for n := range flight {
		st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
			s.ReplayGuard = sinceGuard{baretls.NewReplayGuard(0), time.Time{}}
		})
		m := st.replayed(flight[:n])
		m.answer(flight[n:])
		if string(m.early) != "early data" || m.server.conn.EarlyData() != accepted || m.server.err != nil {
			t.Errorf("cut at byte %d of %d: the server reads %q, early data is %q, error %v", n, len(flight), m.early, m.server.conn.EarlyData(), m.server.err)
		}
	}
}

// A stream of data, key updates and tickets, cut in two at every byte.
func TestEverySplitOfAStream(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		for n, total := 0, 1; n < total; n++ {
			st := newStage(t, quick, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionTicketsDisabled = true })
			m := st.meet()
			m.complete()
			victim, f, ticket := m.client, st.keys.forger(t, "SERVER_TRAFFIC_SECRET_0"), ticketMessage(3600, []byte("ticket"))
			if role == "server" {
				victim, f, ticket = m.server, st.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0"), nil
			}
			var stream []byte
			add := func(rec []byte) { stream = append(stream, rec...) }
			add(f.seal(applicationData, []byte("one "), 0))
			add(f.seal(handshake, keyUpdate(1), 0))
			f.update()
			if ticket != nil {
				add(f.seal(handshake, ticket[:10], 3))
				add(f.seal(handshake, ticket[10:], 0))
			}
			add(f.seal(applicationData, []byte("two "), 5))
			add(f.seal(handshake, keyUpdate(0), 0))
			f.update()
			add(f.seal(applicationData, nil, 0))
			add(f.seal(applicationData, []byte("three"), 0))
			add(f.seal(alert, []byte{1, 0}, 0))
			total = len(stream)
			opener := own(t, m, victim)
			victim.give(stream[:n])
			victim.turns()
			victim.give(stream[n:])
			victim.turns()
			if string(victim.data) != "one two three" || !victim.peerClosed || victim.err != nil {
				t.Errorf("%s, cut at byte %d of %d: it reads %q, PeerClosed: %t, error %v", role, n, total, victim.data, victim.peerClosed, victim.err)
			}
			if ticket != nil && victim.conn.TicketsReceived() != 1 {
				t.Errorf("%s, cut at byte %d of %d: %d tickets, want 1", role, n, total, victim.conn.TicketsReceived())
			}
			if got := updates(t, opener, victim.take()); !slices.Equal(got, []byte{0}) {
				t.Errorf("%s, cut at byte %d of %d: the answers are KeyUpdates with request_update %v, want one", role, n, total, got)
			}
		}
	}
}
