package baretls_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// However the input is cut, and whatever becomes of it afterwards, the questions
// are the same, what they show stays as it was, and the output is the same to the
// last byte.

// An askStory is one side of a handshake with all questions there are without
// resumption. Nothing in it is random: see story.
type askStory struct {
	version  version
	role     string
	ask      baretls.Ask
	fragment int // MaxFragmentSize
	input    []byte
	output   []byte
	shown    []string
}

// newSide makes the side.
func (st *askStory) newSide(t testing.TB) *side {
	t.Helper()
	seed := [32]byte([]byte("one seed for the randomness of " + st.role[:1]))
	if st.role == "client" {
		config := st.version.client()
		config.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
		config.Rand, config.Time, config.MaxFragmentSize = rand.NewChaCha8(seed), noon, st.fragment
		config.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.Ed25519, "client.example.com")}
		config.Ask = st.ask
		c, err := baretls.NewClient(config, "example.com")
		if err != nil {
			t.Fatal(err)
		}
		return newSide(t, st.role, &c.Conn)
	}
	config := st.version.server()
	config.Certificates = []tls.Certificate{tlstest.Leaf(tlstest.Ed25519)}
	config.Groups = []tls.CurveID{tls.CurveP256} // for a HelloRetryRequest
	config.Rand, config.Time, config.MaxFragmentSize = rand.NewChaCha8(seed), noon, st.fragment
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs, _ = tlstest.CA()
	config.Ask = st.ask
	return newServer(t, config)
}

// newAnswered makes the side. Its questions are entered in shown, and answered
// when some turns have moved the input around.
func (st *askStory) newAnswered(t testing.TB, shown *[]exhibit) *side {
	t.Helper()
	cert := tlstest.ClientLeaf(tlstest.Ed25519, "client.example.com")
	s := st.newSide(t)
	s.answers(manner{"some turns later", 3, false}, func(q question) error {
		*shown = append(*shown, exhibit{q, lookedAt(q)})
		switch q := q.(type) { // the chain need not be verified each time
		case baretls.ServerCertificateReceived:
			return q.Answer(nil)
		case baretls.ClientCertificateReceived:
			return q.Answer(nil)
		}
		return answerer{cert: &cert}.answer(q)
	})
	return s
}

// noon is the time of all stories.
func noon() time.Time { return tlstest.NotBefore.Add(12 * time.Hour) }

// An exhibit is a question, and what it showed when it was put.
type exhibit struct {
	q     question
	shown string
}

// askStories runs the handshake once and returns both sides of it. If together,
// the client's flight is one record, that is not cut at its questions, and the
// server is asked about the front of it.
func askStories(t testing.TB, v version, together bool, fragment int) []*askStory {
	t.Helper()
	client, server := clientAsks, serverAsks&^baretls.AskSession
	if together {
		client, server = 0, baretls.AskPeerCertificate
	}
	told := []*askStory{
		{version: v, role: "client", ask: client, fragment: fragment},
		{version: v, role: "server", ask: server, fragment: fragment},
	}
	var shown [2][]exhibit
	var sides []*side
	for i, st := range told {
		sides = append(sides, st.newAnswered(t, &shown[i]))
	}
	for moved := true; moved; {
		moved = false
		for i, s := range sides {
			s.turns()
			b := s.take()
			told[i].output = append(told[i].output, b...)
			told[1-i].input = append(told[1-i].input, b...)
			sides[1-i].give(b)
			moved = moved || len(b) > 0
		}
	}
	for i, s := range sides {
		if s.err != nil || s.conn.IsHandshaking() {
			t.Fatalf("the %s of the story does not come to its end: error %v, course %v", s.role, s.err, course(s.transcript))
		}
		for _, q := range shown[i] {
			told[i].shown = append(told[i].shown, q.shown)
		}
	}
	return told
}

// wantSame tells one side of the story again, with the input in these pieces.
func (st *askStory) wantSame(t *testing.T, how string, pieces ...[]byte) {
	t.Helper()
	var shown []exhibit
	s := st.newAnswered(t, &shown)
	s.hostile = true
	s.turns()
	for _, piece := range pieces {
		s.give(bytes.Clone(piece))
		s.turns()
	}
	switch out := s.take(); {
	case s.err != nil || s.conn.IsHandshaking() || len(s.in) != 0:
		t.Fatalf("%s, %s: the handshake does not come to its end: error %v, %d bytes are left", st.role, how, s.err, len(s.in))
	case !bytes.Equal(out, st.output):
		t.Fatalf("%s, %s: the output has %d bytes, want %d, or other ones", st.role, how, len(out), len(st.output))
	case len(shown) != len(st.shown):
		t.Fatalf("%s, %s: there are %d questions, want %d", st.role, how, len(shown), len(st.shown))
	}
	for i, q := range shown {
		if q.shown != st.shown[i] {
			t.Fatalf("%s, %s: %s shows\n%s\nwant\n%s", st.role, how, stateName(q.q), q.shown, st.shown[i])
		}
		if now := lookedAt(q.q); now != q.shown {
			t.Fatalf("%s, %s: %s shows at the end\n%s\nand showed\n%s", st.role, how, stateName(q.q), now, q.shown)
		}
	}
}

func TestAskAtEverySplit(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, st := range askStories(t, v, false, 0) {
			if len(st.shown) < 3 {
				t.Fatalf("the %s is asked %d times in the story", st.role, len(st.shown))
			}
			for k := range len(st.input) + 1 {
				st.wantSame(t, fmt.Sprintf("cut at %d", k), st.input[:k], st.input[k:])
			}
		}
	})
}

func TestAskInPieces(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, together := range []bool{false, true} {
			for _, fragment := range []int{0, 64} {
				for _, st := range askStories(t, v, together, fragment) {
					for _, n := range []int{1, 4, 5, 6, 23, 64, 300, len(st.input)} {
						st.wantSame(t, fmt.Sprintf("flights together %v, fragments of %d, in pieces of %d", together, fragment, n),
							slices.Collect(slices.Chunk(st.input, n))...)
					}
				}
			}
		}
	})
}

// What follows in the record of the message that is asked about waits with it:
// here a client's whole flight, Certificate to Finished.
func TestAskHoldsTheRestOfARecord(t *testing.T) {
	st := askStories(t, tls13, true, 0)[1]
	flight := records(t, st.input)
	last := flight[len(flight)-1]
	if len(last) < 900 || len(st.shown) != 1 {
		t.Fatalf("the client's last record has %d bytes, and there are %d questions: the story is another one", len(last), len(st.shown))
	}
	var shown []exhibit
	s := st.newAnswered(t, &shown)
	s.hostile = true
	s.give(st.input)
	var left []int
	answer := s.ask
	s.ask = func(q question) bool {
		left = append(left, len(s.in))
		return answer(q)
	}
	s.turns()
	if s.wantAlive(); s.conn.IsHandshaking() || !bytes.Equal(s.take(), st.output) {
		t.Errorf("the handshake does not come to its end; course %v", course(s.transcript))
	}
	if want := []int{0, 0, 0, 0}; !slices.Equal(left, want) {
		t.Errorf("in the turns that ask the caller has %v bytes of input, want none: they have been discarded", left)
	}
}
