package baretls_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	machine "github.com/baretls/baretls/internal/handshake"
)

func newTicketKeys(t testing.TB, lifetime time.Duration) *baretls.TicketKeys {
	t.Helper()
	k, err := baretls.NewTicketKeys(lifetime)
	if err != nil {
		t.Fatalf("NewTicketKeys(%v): %v", lifetime, err)
	}
	return k
}

// handOver gives a ring to another process.
func handOver(t testing.TB, from, to *baretls.TicketKeys) {
	t.Helper()
	b, err := from.MarshalBinary()
	if err != nil {
		t.Fatalf("MarshalBinary: %v", err)
	}
	if err := to.UnmarshalBinary(b); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	if again, err := to.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
		t.Errorf("a ring that was handed over encodes to something else, error %v", err)
	}
}

// use makes the next servers of the stage use the ring.
func (st *stage) use(keys *baretls.TicketKeys) {
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.TicketKeys, s.MaxEarlyData = keys, 0 })
}

func TestTicketKeysHandedOver(t *testing.T) {
	st := newStage(t)
	one, two := newTicketKeys(t, 0), new(baretls.TicketKeys)
	handOver(t, one, two)
	st.use(one)
	st.connects("at the first server", baretls.HandshakeFull)
	st.use(two)
	st.connects("at the second, with a ticket of the first", baretls.HandshakeResumed)
	st.sessions.empty()
	st.connects("at the second", baretls.HandshakeFull)
	st.use(one)
	st.connects("at the first, with a ticket of the second", baretls.HandshakeResumed)
	st.use(newTicketKeys(t, 0))
	st.connects("at a server that has not got the ring", baretls.HandshakeFull)
}

// The next key is in the ring before it is used, so that a server that rotates
// first does not issue tickets that the others cannot open yet.
func TestNextTicketKeyIsPublishedAhead(t *testing.T) {
	st := newStage(t)
	one, two := newTicketKeys(t, 0), new(baretls.TicketKeys)
	handOver(t, one, two)
	one.Rotate()
	st.use(one)
	st.connect()
	st.use(two)
	st.connects("at the server that has not rotated", baretls.HandshakeResumed)
	one.Rotate()
	st.sessions.empty()
	st.use(one)
	st.connect()
	st.use(two)
	st.connects("at the server that has missed a ring", baretls.HandshakeFull)
	handOver(t, one, two)
	st.sessions.empty()
	st.use(one)
	st.connect()
	st.use(two)
	st.connects("at the server that has got the new ring", baretls.HandshakeResumed)
}

// ring is what a ring's encoding shows: the names of the keys.
func ringNames(t testing.TB, k *baretls.TicketKeys) (names []string) {
	t.Helper()
	b, err := k.MarshalBinary()
	if err != nil {
		t.Fatalf("MarshalBinary: %v", err)
	}
	const size = 16 + 32 + 8
	if len(b)%size != 1 {
		t.Fatalf("a ring takes %d bytes, which is no number of keys", len(b))
	}
	for b = b[1:]; len(b) > 0; b = b[size:] {
		names = append(names, string(b[:16]))
	}
	return names
}

func TestTicketKeysRotate(t *testing.T) {
	k := newTicketKeys(t, 0)
	before := ringNames(t, k)
	if len(before) != 2 {
		t.Fatalf("a new ring has %d keys, want the next and the current one", len(before))
	}
	for i := range 5 {
		k.Rotate()
		after := ringNames(t, k)
		if len(after) != len(before)+1 {
			t.Fatalf("after rotation %d there are %d keys, want %d", i+1, len(after), len(before)+1)
		}
		for j, name := range before {
			if after[j+1] != name {
				t.Errorf("after rotation %d key %d is not the one that was at %d", i+1, j+1, j)
			}
		}
		before = after
	}
	for range 200 {
		k.Rotate()
	}
	if n := len(ringNames(t, k)); n != 64 {
		t.Errorf("after many rotations there are %d keys, want 64", n)
	}
	handOver(t, k, new(baretls.TicketKeys))
}

// The keys before the current one open tickets until these have expired.
func TestOldTicketKeysOpen(t *testing.T) {
	st := newStage(t)
	k := newTicketKeys(t, 0)
	st.use(k)
	st.connect()
	session := st.sessions.takeAll(t)
	for i := range 62 {
		k.Rotate()
		if i%20 == 0 {
			st.sessions.empty()
			st.sessions.put(t, session)
			st.connects(fmt.Sprintf("after %d rotations", i+1), baretls.HandshakeResumed)
		}
	}
	st.sessions.empty()
	st.sessions.put(t, session)
	st.connects("with the oldest key of the ring", baretls.HandshakeResumed)
	k.Rotate()
	st.sessions.empty()
	st.sessions.put(t, session)
	st.connects("with a key that was dropped", baretls.HandshakeFull)
}

func TestTicketKeysRotateByAge(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {})
	k := newTicketKeys(t, time.Hour)
	st.clock.at = time.Now().Truncate(time.Millisecond)
	st.use(k)
	fresh := ringNames(t, k)
	st.connect()
	if names := ringNames(t, k); len(names) != 2 || names[0] != fresh[0] {
		t.Errorf("a ring that is not an hour old has rotated: %d keys", len(names))
	}
	st.clock.move(time.Hour + time.Minute)
	m := st.connects("an hour later, with a ticket of the old key", baretls.HandshakeResumed)
	names := ringNames(t, k)
	if len(names) != 3 || names[1] != fresh[0] || names[2] != fresh[1] {
		t.Fatalf("after an hour there are %d keys, want a new one, and the old ones one place on", len(names))
	}
	if got := m.client.conn.TicketsReceived(); got != 1 {
		t.Errorf("%d tickets come while the key changes, want 1", got)
	}
	if ticket := seen(t, st.sessions.takeAll(t)).Ticket; string(ticket[:16]) != fresh[0] {
		t.Error("the new ticket is not of the key that was the next one")
	}
	st.connects("again", baretls.HandshakeFull)
	if n := len(ringNames(t, k)); n != 3 {
		t.Errorf("the ring has rotated again at once: %d keys", n)
	}
	// Keys are dropped when no ticket of theirs can be good any more.
	for range 9 {
		st.clock.move(24 * time.Hour)
		st.connect()
	}
	if n := len(ringNames(t, k)); n > 11 {
		t.Errorf("after nine days of a rotation a day there are %d keys, want those of seven days and the next", n)
	}
	if names := ringNames(t, k); bytes.Contains([]byte(fmt.Sprint(names)), []byte(fresh[1])) {
		t.Error("a key is still there nine days after it was replaced")
	}
}

// A lifetime of 0 leaves rotation to another process.
func TestTicketKeysThatDoNotRotate(t *testing.T) {
	st := newStage(t)
	k := newTicketKeys(t, time.Hour)
	if err := k.SetLifetime(0); err != nil {
		t.Fatalf("SetLifetime(0): %v", err)
	}
	st.use(k)
	before := ringNames(t, k)
	st.clock.move(1000 * time.Hour)
	st.connect()
	if after := ringNames(t, k); len(after) != len(before) || after[0] != before[0] {
		t.Error("a ring with a lifetime of 0 has rotated")
	}
	if err := k.SetLifetime(-1); err == nil {
		t.Error("a negative lifetime is accepted")
	}
	if _, err := baretls.NewTicketKeys(-1); err == nil {
		t.Error("NewTicketKeys takes a negative lifetime")
	}
}

// TicketKeys without keys are a server's that has not got the ring yet: it
// issues no tickets, and works.
func TestTicketKeysWithoutKeys(t *testing.T) {
	st := newStage(t)
	k := new(baretls.TicketKeys)
	if _, err := k.MarshalBinary(); err == nil {
		t.Error("MarshalBinary of no keys returns no error")
	}
	wantNoPanic(t, "Rotate without keys", k.Rotate)
	st.connect()
	st.use(k)
	m := st.connects("at a server without keys", baretls.HandshakeFull)
	if got := m.client.conn.TicketsReceived(); got != 0 {
		t.Errorf("a server without keys has sent %d tickets", got)
	}
	handOver(t, newTicketKeys(t, 0), k)
	st.connect()
	st.connects("after it has got them", baretls.HandshakeResumed)
}

func TestMalformedTicketKeys(t *testing.T) {
	k := newTicketKeys(t, 0)
	k.Rotate()
	ring, err := k.MarshalBinary()
	if err != nil {
		t.Fatalf("MarshalBinary: %v", err)
	}
	const size = 16 + 32 + 8
	kept := newTicketKeys(t, 0)
	before, err := kept.MarshalBinary()
	if err != nil {
		t.Fatalf("MarshalBinary: %v", err)
	}
	refuse := func(what string, b []byte) {
		t.Helper()
		if err := kept.UnmarshalBinary(b); err == nil {
			t.Errorf("%s is accepted", what)
			handOverBytes(t, kept, before)
		} else if after, _ := kept.MarshalBinary(); !bytes.Equal(after, before) {
			t.Errorf("%s is refused and has changed the ring", what)
		}
	}
	for n := range ring {
		if whole := n == 1+2*size; whole {
			continue // the next and the current key are a ring
		}
		refuse(fmt.Sprintf("a ring of %d keys cut to %d of %d bytes", 3, n, len(ring)), ring[:n])
	}
	refuse("a byte too many", append(bytes.Clone(ring), 0))
	other := bytes.Clone(ring)
	other[0]++
	refuse("another format", other)
	refuse("65 keys", append(ring[:1:1], bytes.Repeat(ring[1:1+size], 65)...))
	late := bytes.Clone(ring)
	late[1+48] = 0xff
	refuse("a key of the far future", late)
}

func handOverBytes(t testing.TB, to *baretls.TicketKeys, ring []byte) {
	t.Helper()
	if err := to.UnmarshalBinary(ring); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
}

// Keys change while connections use them, and nobody notices but by a full
// handshake now and then. The race detector looks on.
func TestTicketKeysUnderLoad(t *testing.T) {
	k, other := newTicketKeys(t, time.Hour), newTicketKeys(t, time.Hour)
	handOver(t, k, other)
	server := serverConfig()
	server.TicketKeys, server.SessionTicketsDisabled = k, false
	client := clientConfig()
	client.SessionTicketsDisabled = false
	var handshakes, changes sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		changes.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				other.Rotate()
				ring, err := other.MarshalBinary()
				if err == nil {
					err = k.UnmarshalBinary(ring)
				}
				if err != nil {
					t.Errorf("a ring is handed over under load: %v", err)
					return
				}
				k.Rotate()
			}
		})
	}
	for range 8 {
		handshakes.Go(func() {
			for i := range 15 {
				c, err := baretls.NewClient(client, "example.com")
				if err != nil {
					t.Errorf("NewClient: %v", err)
					return
				}
				s, err := baretls.NewServer(server)
				if err != nil {
					t.Errorf("NewServer: %v", err)
					return
				}
				if err := plainHandshake(&c.Conn, &s.Conn); err != nil {
					t.Errorf("handshake %d fails while keys change: %v", i, err)
					return
				}
			}
		})
	}
	handshakes.Wait()
	close(stop)
	changes.Wait()
}

// plainHandshake runs two sides until both are quiet, without a test's checks,
// which would have to stop the goroutine that they run in.
func plainHandshake(client, server *baretls.Conn) error {
	var toServer, toClient []byte
	for range 100 {
		var err error
		var out []byte
		if toClient, out, err = plainTurns(client, toClient); err != nil {
			return err
		}
		toServer = append(toServer, out...)
		if toServer, out, err = plainTurns(server, toServer); err != nil {
			return err
		}
		toClient = append(toClient, out...)
		if len(out) == 0 && !client.IsHandshaking() && !server.IsHandshaking() {
			return nil
		}
	}
	return fmt.Errorf("the handshake does not end")
}

func plainTurns(c *baretls.Conn, in []byte) (rest, out []byte, err error) {
	for {
		status, err := c.ProcessTLSRecords(in)
		if err != nil {
			return nil, nil, err
		}
		discard, quiet := status.Discard, false
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			if out, err = state.AppendTo(out); err != nil {
				return nil, nil, err
			}
		case baretls.TransmitTLSData:
			if err := state.Done(); err != nil {
				return nil, nil, err
			}
		case baretls.ReadTraffic:
			for rec := range state.Records() {
				discard += rec.Discard
			}
		default:
			quiet = true
		}
		in = in[discard:]
		if quiet {
			return in, out, nil
		}
	}
}

// A ticket that opens and holds something else than a session is refused.
func TestSessionStoreThatReturnsJunk(t *testing.T) {
	for _, junk := range [][]byte{{}, {1}, bytes.Repeat([]byte{1}, 200)} {
		st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionStore = junkStore{junk} })
		st.connect()
		st.connects(fmt.Sprintf("with a store that returns %d bytes of junk", len(junk)), baretls.HandshakeFull)
	}
	// A client's session is no server's: nothing in it was judged by the server.
	st := newStage(t)
	st.connect()
	encoded := edited(t, st.sessions.takeAll(t), func(s *machine.Session) { s.Policy = [32]byte{} })
	st.sessions.put(t, encoded)
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.SessionStore = junkStore{encoded} })
	st.connects("with a store that returns a client's session", baretls.HandshakeFull)
}

type junkStore struct{ b []byte }

func (s junkStore) Put(string, []byte, time.Time) error { return nil }
func (s junkStore) Get(string) []byte                   { return bytes.Clone(s.b) }
func (s junkStore) Remove(string) bool                  { return true }
