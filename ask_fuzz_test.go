package baretls_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// What an answer of FuzzAsks is like.
const (
	right = iota
	wrong
	refusing
	abandoning
	answerKinds
)

// FuzzAsks gives a side what it got in a handshake that went well, with one
// change, while it is asked about some things, and answers come after any number
// of turns and are of any kind. Whatever happens, turns come to rest and end in
// an error that tells the right side of it, or in none.
func FuzzAsks(f *testing.F) {
	var stories [2][2]*askStory
	for i, v := range []version{tls13, tls12} {
		stories[i] = [2]*askStory(askStories(f, v, false, 0))
		for from := range 2 {
			f.Add(from == 1, i == 1, byte(0xff), byte(unchanged), uint16(0), uint16(0), byte(0), []byte{100}, []byte{0, right, 3, right, 200, right})
			f.Add(from == 1, i == 1, byte(0xff), byte(unchanged), uint16(0), uint16(0), byte(0), bytes.Repeat([]byte{30}, 100), []byte{1, right, 1, wrong})
			f.Add(from == 1, i == 1, byte(0xff), byte(unchanged), uint16(0), uint16(0), byte(0), []byte{}, []byte{2, abandoning})
			for pos := 0; pos < len(stories[i][from].input); pos += 97 {
				for way := flip; way < ways; way++ {
					f.Add(from == 1, i == 1, byte(pos), byte(way), uint16(pos), uint16(pos%40+1), byte(pos), []byte{7, 100}, []byte{byte(pos % 5), byte(pos / 3), 0, right, 2, refusing})
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, server, old bool, ask, way byte, pos, length uint16, xor byte, cuts, answers []byte) {
		st := *stories[index(old)][index(server)]
		st.ask &= baretls.Ask(ask)
		s := st.newSide(t)
		s.hostile = true
		r := &randomAnswers{side: s, answers: answers}
		s.ask = r.ask
		input := mutated(st.input, way, pos, length, xor)
		s.turns()
		for len(input) > 0 {
			n := len(input)
			if len(cuts) > 0 {
				n, cuts = min(int(cuts[0]), n), cuts[1:]
			}
			s.give(input[:n])
			s.turns()
			input = input[n:]
		}
		s.conn.CloseInput()
		s.turns()
		var failure *baretls.Error
		if !errors.As(s.err, &failure) {
			t.Fatalf("%s: the end of the input leads to %v; course %v", s.role, s.err, course(s.transcript))
		}
		switch alert, ok := failure.Alert(); {
		case r.abandoned != errors.Is(s.err, baretls.ErrAbandoned):
			t.Errorf("%s: abandoned: %v, and the error is %v", s.role, r.abandoned, s.err)
		case ok && !failure.Received() && alert == internalError && !r.misled:
			t.Errorf("%s: bytes of the peer are called our own fault: %v", s.role, s.err)
		}
		for _, q := range r.asked {
			if q.Context().Err() == nil {
				t.Errorf("%s: at the end, %s still waits", s.role, stateName(q))
			}
			lookAt(q)
		}
	})
}

// randomAnswers answers questions: after so many turns, of such a kind, by two
// bytes each.
type randomAnswers struct {
	*side
	answers   []byte
	asked     []question
	turns     int
	misled    bool // by an answer of ours
	abandoned bool
}

func (r *randomAnswers) next() (b byte) {
	if len(r.answers) > 0 {
		b, r.answers = r.answers[0], r.answers[1:]
	}
	return b
}

func (r *randomAnswers) ask(q question) bool {
	if len(r.asked) == 0 || r.asked[len(r.asked)-1] != q {
		r.asked = append(r.asked, q)
		r.turns = int(r.next())
	}
	if r.turns > 0 {
		r.turns--
		return true
	}
	kind := r.next() % answerKinds
	r.misled = r.misled || kind != right
	var err error
	switch kind {
	case right:
		cert := tlstest.ClientLeaf(tlstest.Ed25519, "client.example.com")
		err = answerer{cert: &cert}.answer(q)
	case wrong:
		err = wrongly(q)
	case refusing:
		err = refused(q)
	case abandoning:
		r.abandoned = true
		r.conn.Abandon()
	}
	if err != nil {
		r.t.Errorf("%s: answering %s: %v", r.role, stateName(q), err)
	}
	return true
}

func wrongly(q question) error {
	switch q := q.(type) {
	case baretls.ClientHelloReceived:
		other := serverConfig()
		other.Ask = serverAsks &^ baretls.AskSession
		return q.Use(other)
	case baretls.SignatureWanted:
		return q.Answer([]byte("garbage"), nil)
	case baretls.ClientCertificateRequested:
		return q.Answer(nil, nil)
	}
	return refused(q)
}

func refused(q question) error {
	switch q := q.(type) {
	case refuser:
		return q.Refuse(accessDenied, errNotToday)
	case baretls.SignatureWanted:
		return q.Answer(nil, errNotToday)
	case baretls.ClientCertificateRequested:
		return q.Answer(nil, errNotToday)
	}
	return errors.New("no answer refuses")
}
