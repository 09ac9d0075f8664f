package baretls_test

import (
	"bytes"
	"crypto/tls"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// A story is a whole connection, with a HelloRetryRequest, data, a key update
// and an end; in TLS 1.2, without the retry and the key update. It is the same to the last byte each time: randomness is seeded,
// and the groups and the Ed25519 certificate take no other. So one side of it
// can be told again, with its input cut in any way, and has to say the same.
type story struct {
	version version
	role    string
	input   []byte // all that the side receives
	output  []byte // all that it sends
	data    string // all the data that it receives
	encoded int    // records among the output that were EncodeTLSData
}

// A teller is a side with a script: what to do in quiet states, one thing after
// the other, as soon as its time has come. What the peer says after that may
// be here already.
type teller struct {
	*side
	script []func() bool
}

// tell takes turns until the side is quiet and has nothing to do.
func (s *teller) tell() {
	s.t.Helper()
	s.turns()
	for len(s.script) > 0 && s.script[0]() {
		s.script = s.script[1:]
		s.turns()
	}
}

func newTeller(t testing.TB, v version, role string) *teller {
	t.Helper()
	seed := [32]byte([]byte("one seed for the randomness of " + role[:1]))
	if role == "client" {
		config := v.client()
		config.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
		config.Rand = rand.NewChaCha8(seed)
		c, err := baretls.NewClient(config, "example.com")
		if err != nil {
			t.Fatal(err)
		}
		s := newSide(t, role, &c.Conn)
		return &teller{s, []func() bool{
			func() bool {
				if s.conn.IsHandshaking() {
					return false
				}
				if v == tls13 {
					s.refresh()
					s.turns()
				}
				s.write([]byte("a question under new keys"))
				return true
			},
			func() bool {
				if !strings.HasPrefix(string(s.data), longAnswer) {
					return false
				}
				s.write([]byte("the last words"))
				s.close()
				return true
			},
		}}
	}
	config := v.server()
	config.Certificates = []tls.Certificate{tlstest.Leaf(tlstest.Ed25519)}
	config.Groups = []tls.CurveID{tls.CurveP256}
	config.Rand = rand.NewChaCha8(seed)
	config.MaxFragmentSize = 300
	s := newServer(t, config)
	return &teller{s, []func() bool{
		func() bool {
			if !strings.HasPrefix(string(s.data), "a question under new keys") {
				return false
			}
			s.write([]byte(longAnswer))
			return true
		},
		func() bool {
			if !s.peerClosed {
				return false
			}
			s.write([]byte("a farewell"))
			s.close()
			return true
		},
	}}
}

var longAnswer = "an answer of two records" + string(make([]byte, 300))

// stories runs the connection once and returns both sides of it.
func stories(t testing.TB, v version) (client, server story) {
	t.Helper()
	sides := []*teller{newTeller(t, v, "client"), newTeller(t, v, "server")}
	told := []*story{{version: v, role: "client"}, {version: v, role: "server"}}
	for moved := true; moved; {
		moved = false
		for i, s := range sides {
			s.tell()
			b := s.take()
			told[i].output = append(told[i].output, b...)
			told[1-i].input = append(told[1-i].input, b...)
			sides[1-i].give(b)
			moved = moved || len(b) > 0
		}
	}
	for i, s := range sides {
		if s.err != nil || s.transcript[len(s.transcript)-1] != closed {
			t.Fatalf("the %s of the story does not come to its end: error %v, states %v", s.role, s.err, s.transcript)
		}
		told[i].data = string(s.data)
		told[i].encoded = encoded(s.transcript)
	}
	return *told[0], *told[1]
}

// encoded is how many records the connection itself had to say.
func encoded(transcript []string) (n int) {
	for _, state := range transcript {
		if state == encode {
			n++
		}
	}
	return n
}

// wantSame tells one side of the story again, with the input in these pieces.
func (st *story) wantSame(t *testing.T, how string, n int, hostile bool, pieces ...[]byte) {
	t.Helper()
	s := newTeller(t, st.version, st.role)
	s.hostile = hostile
	s.tell()
	for _, piece := range pieces {
		s.give(bytes.Clone(piece))
		s.tell()
	}
	switch out := s.take(); {
	case s.err != nil:
		t.Fatalf("%s, %s %d: the connection fails: %v", st.role, how, n, s.err)
	case !bytes.Equal(out, st.output):
		t.Fatalf("%s, %s %d: the output has %d bytes, want %d, or other ones", st.role, how, n, len(out), len(st.output))
	case string(s.data) != st.data:
		t.Fatalf("%s, %s %d: the data is %q", st.role, how, n, s.data)
	case encoded(s.transcript) != st.encoded || !s.peerClosed:
		t.Fatalf("%s, %s %d: the states are %v", st.role, how, n, s.transcript)
	case s.transcript[len(s.transcript)-1] != closed || len(s.in) != 0:
		t.Fatalf("%s, %s %d: at the end, there are %d bytes left in %v", st.role, how, n, len(s.in), s.transcript)
	}
}

func TestStoryIsTheSameEachTime(t *testing.T) { eachVersion(t, testStoryIsTheSameEachTime) }

func testStoryIsTheSameEachTime(t *testing.T, v version) {
	client, server := stories(t, v)
	again, _ := stories(t, v)
	if !bytes.Equal(client.output, again.output) || !bytes.Equal(client.input, again.input) {
		t.Error("the same seeds make another connection")
	}
	client.wantSame(t, "in pieces of", len(client.input), false, client.input)
	server.wantSame(t, "in pieces of", len(server.input), false, server.input)
}

// Every place where the input can be cut in two, for both sides, with a caller
// that moves all bytes and scribbles over what it was told to discard.
func TestEverySplitInTwo(t *testing.T) { eachVersion(t, testEverySplitInTwo) }

func testEverySplitInTwo(t *testing.T, v version) {
	client, server := stories(t, v)
	for _, st := range []story{client, server} {
		for k := range len(st.input) + 1 {
			st.wantSame(t, "cut at", k, true, st.input[:k], st.input[k:])
		}
	}
}

func TestPieces(t *testing.T) { eachVersion(t, testPieces) }

func testPieces(t *testing.T, v version) {
	client, server := stories(t, v)
	for _, st := range []story{client, server} {
		for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 21, 22, 23, 64, 299, 300, 301} {
			pieces := slices.Collect(slices.Chunk(st.input, n))
			st.wantSame(t, "in pieces of", n, false, pieces...)
			st.wantSame(t, "with a hostile caller, in pieces of", n, true, pieces...)
		}
	}
}

// The same without seeds, so that all sizes of flights are met, with callers of
// every kind on both sides.
func TestPiecesOfLiveConnections(t *testing.T) { eachVersion(t, testPiecesOfLiveConnections) }

func testPiecesOfLiveConnections(t *testing.T, v version) {
	for _, split := range []int{1, 5, 22, 100, 1000} {
		for _, hostile := range []bool{false, true} {
			client, server := v.client(), retryServer()
			if v == tls13 {
				server.Groups = []tls.CurveID{tls.SecP384r1MLKEM1024}
				server.RetryCookieKey = make([]byte, 32)
				server.RecordPadding = 128
			}
			p := v.pair(t, client, server)
			for _, s := range p.sides() {
				s.split, s.hostile, s.appends = split, hostile, hostile
			}
			p.handshake()
			p.works()
			if v == tls13 {
				p.server.refresh()
				p.run()
			}
			p.send(p.client, strings.Repeat("a long question ", 2000))
			p.send(p.server, strings.Repeat("and a longer answer ", 3000))
			p.client.close()
			p.server.close()
			p.run()
			for _, s := range p.sides() {
				if s.wantAlive(); s.transcript[len(s.transcript)-1] != closed {
					t.Errorf("in pieces of %d, with a hostile caller: %v, the %s ends in %s", split, hostile, s.role, s.transcript[len(s.transcript)-1])
				}
			}
		}
	}
}

// Need never asks for more than is missing: a transport that delivers no byte
// more than that gets all the way.
func TestNeed(t *testing.T) { eachVersion(t, testNeed) }

func testNeed(t *testing.T, v version) {
	client, server := stories(t, v)
	for _, st := range []story{client, server} {
		s := newTeller(t, v, st.role)
		need := 0
		s.on = func(state baretls.State) bool {
			switch state := state.(type) {
			case baretls.BlockedHandshake:
				need = state.Need()
			case baretls.WriteTraffic:
				need = state.Need()
			}
			return false
		}
		input, deliveries := st.input, 0
		for s.tell(); len(input) > 0; s.tell() {
			if need <= 0 || need > len(input) {
				t.Fatalf("%s: %d bytes are needed, and %d are left; states %v", st.role, need, len(input), s.transcript)
			}
			s.give(bytes.Clone(input[:need]))
			input = input[need:]
			deliveries++
		}
		if want := 2 * len(records(t, st.input)); deliveries != want {
			t.Errorf("%s: %d deliveries, want %d: a header and a body for each record", st.role, deliveries, want)
		}
		if s.wantAlive(); !bytes.Equal(s.take(), st.output) {
			t.Errorf("%s: the output is another one", st.role)
		}
	}
}
