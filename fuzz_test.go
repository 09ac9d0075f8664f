package baretls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// What the targets promise: whatever bytes come and however they are cut, a
// connection does not panic, takes a bounded number of turns, never has its
// caller keep more than one record, sends a bounded amount, and ends in a quiet
// state or with an alert and an error. The harness checks the rest.

func FuzzClient(f *testing.F) {
	addStreams(f)
	f.Fuzz(func(t *testing.T, stream, cuts []byte) { newReplay(t, true, false).feed(stream, cuts) })
}

func FuzzServer(f *testing.F) {
	addStreams(f)
	f.Fuzz(func(t *testing.T, stream, cuts []byte) { newReplay(t, false, false).feed(stream, cuts) })
}

func addStreams(f *testing.F) {
	f.Helper()
	flights := recordFlights(f, false)
	for _, stream := range [][]byte{
		nil,
		flights[0], flights[1],
		flights[0][:100], flights[1][:100],
		[]byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
		{21, 3, 3, 0, 2, 1, 0},
		{21, 3, 3, 0, 2, 2, 40},
		bytes.Repeat([]byte{20, 3, 3, 0, 1, 1}, 40),
		bytes.Repeat([]byte{22, 3, 3, 0, 0}, 40),
		bytes.Repeat([]byte{21, 3, 3, 0, 2, 1, 90}, 40),
		{22, 3, 3, 0, 4, 1, 0xff, 0xff, 0xff},
		slices.Concat([]byte{22, 3, 3, 0, 200, 1, 0, 0x3f, 0xf0}, make([]byte, 196)),
	} {
		f.Add(stream, []byte{})
		f.Add(stream, []byte{1, 2, 5, 0, 200})
	}
}

// Ways to change a flight, from a position on and for a length.
const (
	unchanged = iota
	flip
	truncate
	duplicate
	remove
	ways
)

// FuzzMutatedFlight gives a side what it got in a connection that went well,
// with one change. All that is random is the same again, so that it gets as far
// as the change allows.
func FuzzMutatedFlight(f *testing.F) {
	var flights [2][2][]byte
	for i, retry := range []bool{false, true} {
		flights[i] = recordFlights(f, retry)
		for from := range 2 {
			f.Add(from == 1, retry, false, byte(unchanged), uint16(0), uint16(0), byte(0), []byte{})
			f.Add(from == 1, retry, true, byte(unchanged), uint16(0), uint16(0), byte(0), bytes.Repeat([]byte{50}, 100))
			for pos := 0; pos < len(flights[i][from]); pos += 61 {
				for way := flip; way < ways; way++ {
					f.Add(from == 1, retry, pos%2 == 0, byte(way), uint16(pos), uint16(pos%40+1), byte(pos), []byte{7, 100})
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, toClient, retry, closing bool, way byte, pos, length uint16, xor byte, cuts []byte) {
		r := newReplay(t, toClient, retry)
		r.closing = closing
		r.feed(mutated(flights[index(retry)][index(toClient)], way, pos, length, xor), cuts)
	})
}

// mutated is a flight with one change.
func mutated(flight []byte, way byte, pos, length uint16, xor byte) []byte {
	begin := int(pos) % (len(flight) + 1)
	end := min(begin+int(length), len(flight))
	head, middle, tail := flight[:begin], flight[begin:end], flight[end:]
	switch way % ways {
	case flip:
		middle = bytes.Clone(middle)
		for i := range middle {
			middle[i] ^= xor
		}
	case truncate:
		middle, tail = nil, nil
	case duplicate:
		middle = slices.Concat(middle, middle)
	case remove:
		middle = nil
	}
	return slices.Concat(head, middle, tail)
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// The flights that are mutated lead to the end if they are not.
func TestRecordedFlightsLeadToTheEnd(t *testing.T) {
	for _, retry := range []bool{false, true} {
		flights := recordFlights(t, retry)
		for _, toClient := range []bool{false, true} {
			for _, closing := range []bool{false, true} {
				r := newReplay(t, toClient, retry)
				r.closing = closing
				r.feed(flights[index(toClient)], bytes.Repeat([]byte{50}, 100))
				if r.err != nil || r.conn.IsHandshaking() || !r.peerClosed || len(r.data) == 0 {
					t.Errorf("the %s, retry %v, closing early %v, does not get to the end of what it got before: %q, %v", r.role, retry, closing, r.data, r.err)
				}
			}
		}
	}
}

// newReplayConfigs makes configs that have nothing random in them: the group
// is X25519 and the signature Ed25519.
func newReplayConfigs(retry bool) (*baretls.ClientConfig, *baretls.ServerConfig) {
	now := func() time.Time { return tlstest.NotBefore.AddDate(5, 0, 0) }
	client := clientConfig()
	client.Rand, client.Time = rand.NewChaCha8([32]byte{1}), now
	client.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
	client.MaxHandshakeMessageSize = 1 << 14
	server := &baretls.ServerConfig{
		Certificates: []tls.Certificate{tlstest.Leaf(tlstest.Ed25519)},
		Groups:       []tls.CurveID{tls.X25519},
		Rand:         rand.NewChaCha8([32]byte{2}), Time: now,
		MaxHandshakeMessageSize: 1 << 14,
	}
	if retry {
		server.Groups = []tls.CurveID{tls.CurveP256}
	}
	return client, server
}

// recordFlights returns what the client and what the server sent in a
// connection with some of everything.
func recordFlights(t testing.TB, retry bool) (flights [2][]byte) {
	t.Helper()
	client, server := newReplayConfigs(retry)
	p := newPair(t, client, server)
	exchange := func() {
		t.Helper()
		for moved := true; moved; {
			moved = false
			for i, s := range p.sides() {
				s.turns()
				b := s.take()
				flights[i] = append(flights[i], b...)
				p.other(s).give(b)
				moved = moved || len(b) > 0
			}
		}
		for _, s := range p.sides() {
			s.wantAlive()
		}
	}
	exchange()
	for _, s := range p.sides() {
		s.write([]byte("first data"))
		exchange()
		s.refresh()
		exchange()
		s.write(bytes.Repeat([]byte("more data"), 50))
		exchange()
	}
	for _, s := range p.sides() {
		s.close()
		exchange()
	}
	return flights
}

// A replay is a side that is on its own.
type replay struct {
	*side
	closing bool // send a close_notify as soon as that is possible
	closed  bool // that has happened
	fed     int
	encoded int // records since the last delivery
	last    baretls.State
}

func newReplay(t testing.TB, client, retry bool) *replay {
	t.Helper()
	clientConfig, serverConfig := newReplayConfigs(retry)
	r := new(replay)
	if client {
		c, err := baretls.NewClient(clientConfig, "example.com")
		if err != nil {
			t.Fatal(err)
		}
		r.side = newSide(t, "client", &c.Conn)
	} else {
		r.side = newServer(t, serverConfig)
	}
	r.on = r.see
	r.turns()
	return r
}

// see looks at each state before the harness handles it.
func (r *replay) see(state baretls.State) bool {
	r.last = state
	switch state := state.(type) {
	case baretls.EncodeTLSData:
		r.encoded++
		if r.closed {
			r.t.Errorf("%s: sends a record of %d bytes behind its close_notify", r.role, state.Len())
		}
	case baretls.WriteTraffic:
		if r.closing && !r.closed {
			r.closed = true
			r.output("QueueCloseNotify", state.CloseNotifyLen(), state.QueueCloseNotify, state.AppendCloseNotify)
			r.flush()
		}
	}
	return false
}

// maxRecord is the most that a caller has to keep: header and body of a
// protected record (RFC 9846, Section 5.2).
const maxRecord = 5 + 1<<14 + 256

// feed receives a stream cut into pieces, the rest as one, and then its end.
func (r *replay) feed(stream, cuts []byte) {
	r.t.Helper()
	for len(stream) > 0 {
		n := len(stream)
		if len(cuts) > 0 {
			n, cuts = min(int(cuts[0]), n), cuts[1:]
		}
		r.deliver(stream[:n])
		stream = stream[n:]
	}
	r.conn.CloseInput()
	r.deliver(nil)
	if r.err == nil && !r.peerClosed {
		r.t.Errorf("%s: the end of the input is neither a close nor an error: %T", r.role, r.last)
	}
	r.deliver([]byte("what comes behind the end is nobody's"))
}

func (r *replay) deliver(b []byte) {
	r.t.Helper()
	r.fed += len(b)
	r.encoded = 0
	failed := r.err != nil
	r.give(bytes.Clone(b))
	r.transcript = r.transcript[:0]
	buffered := len(r.in)
	r.turns()
	if turns := len(r.transcript); turns > 16+buffered {
		r.t.Fatalf("%s: %d bytes take %d turns", r.role, buffered, turns)
	}
	if len(r.sent) > 1<<14+4*r.fed {
		r.t.Fatalf("%s: %d bytes bring forth %d", r.role, r.fed, len(r.sent))
	}
	if r.err != nil {
		r.checkFailure(failed)
		return
	}
	if len(r.in) >= maxRecord {
		r.t.Errorf("%s: %d bytes are left in a quiet state", r.role, len(r.in))
	}
	need, least := 0, 0
	switch state := r.last.(type) {
	case baretls.BlockedHandshake:
		need, least = state.Need(), 1
	case baretls.WriteTraffic:
		need = state.Need()
		if !r.peerClosed {
			least = 1
		}
	case baretls.Closed:
	default:
		r.t.Errorf("%s: %T is not a quiet state", r.role, r.last)
	}
	if need < least || need+len(r.in) > maxRecord {
		r.t.Errorf("%s: %T needs %d bytes more behind %d, after the peer has closed: %v", r.role, r.last, need, len(r.in), r.peerClosed)
	}
}

// checkFailure checks that an alert was sent before the error, if it has one,
// and nothing after it.
func (r *replay) checkFailure(before bool) {
	r.t.Helper()
	var failure *baretls.Error
	if !errors.As(r.err, &failure) {
		r.t.Fatalf("%s: the error is a %T: %v", r.role, r.err, r.err)
	}
	alert, ok := failure.Alert()
	switch {
	case before && r.encoded > 0:
		r.t.Errorf("%s: something is sent after the error %v", r.role, r.err)
	case !before && ok && !failure.Received() && !r.closed && r.encoded == 0:
		r.t.Errorf("%s: fails with %v and does not send the alert", r.role, r.err)
	case ok && !failure.Received() && alert == 80:
		r.t.Errorf("%s: bytes of the peer are called our own fault: %v", r.role, r.err)
	}
}
