package baretls_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"

	"github.com/baretls/baretls"
)

// A question is a state that asks.
type question interface {
	baretls.State
	Context() context.Context
}

// Names of states that ask.
const (
	helloReceived   = "ClientHelloReceived"
	sessionWanted   = "SessionWanted"
	removalWanted   = "SessionRemovalWanted"
	earlyOffered    = "EarlyDataOffered"
	signatureWanted = "SignatureWanted"
	serverReceived  = "ServerCertificateReceived"
	clientReceived  = "ClientCertificateReceived"
	certRequested   = "ClientCertificateRequested"
)

// All that a side can be asked about.
const (
	clientAsks = baretls.AskPeerCertificate | baretls.AskCertificate | baretls.AskSignature
	serverAsks = baretls.AskClientHello | baretls.AskSession | baretls.AskEarlyData | baretls.AskSignature | baretls.AskPeerCertificate
)

// askOf is what a state has to be asked for with.
var askOf = map[string]baretls.Ask{
	helloReceived:   baretls.AskClientHello,
	sessionWanted:   baretls.AskSession,
	removalWanted:   baretls.AskSession,
	earlyOffered:    baretls.AskEarlyData,
	signatureWanted: baretls.AskSignature,
	serverReceived:  baretls.AskPeerCertificate,
	clientReceived:  baretls.AskPeerCertificate,
	certRequested:   baretls.AskCertificate,
}

// An answerer answers questions as they would have been decided inline.
type answerer struct {
	cert  *tls.Certificate     // for ClientCertificateRequested
	store baretls.SessionStore // for SessionWanted and SessionRemovalWanted
}

func (a answerer) answer(q question) error {
	switch q := q.(type) {
	case baretls.ClientHelloReceived:
		return q.Accept()
	case baretls.SessionWanted:
		return q.Answer(a.store.Get(q.Name()))
	case baretls.SessionRemovalWanted:
		return q.Answer(a.store.Remove(q.Name()))
	case baretls.EarlyDataOffered:
		return q.Accept()
	case baretls.SignatureWanted:
		return q.Answer(q.Sign())
	case baretls.ServerCertificateReceived:
		return q.Answer(q.Verify())
	case baretls.ClientCertificateReceived:
		return q.Answer(q.Verify())
	case baretls.ClientCertificateRequested:
		return q.Answer(a.cert, nil)
	}
	return fmt.Errorf("%T is no question", q)
}

// A manner is when an answer comes, and from where.
type manner struct {
	name      string
	after     int  // turns that look away before
	elsewhere bool // it comes from another goroutine
}

var manners = []manner{
	{"at once", 0, false},
	{"a turn later", 1, false},
	{"a hundred turns later", 100, false},
	{"from another goroutine", 0, true},
	{"a hundred turns later from another goroutine", 100, true},
}

// answers makes the side's questions be answered in that manner. What must hold
// of every question is checked.
func (s *side) answers(how manner, answer func(question) error) {
	var at question
	turns := 0
	s.ask = func(q question) bool {
		s.t.Helper()
		if q != at {
			at, turns = q, 0
		}
		if turns++; turns <= how.after {
			return true // it comes again
		}
		done := q.Context()
		if err := done.Err(); err != nil {
			s.t.Errorf("%s: the Context of %s is done before the answer: %v", s.role, stateName(q), err)
		}
		if how.elsewhere {
			go func() {
				if err := answer(q); err != nil {
					s.t.Errorf("%s: answering %s %s: %v", s.role, stateName(q), how.name, err)
				}
			}()
			<-done.Done()
		} else if err := answer(q); err != nil {
			s.t.Errorf("%s: answering %s %s: %v", s.role, stateName(q), how.name, err)
		}
		if done.Err() != context.Canceled || q.Context().Err() != context.Canceled {
			s.t.Errorf("%s: the Context of %s is not done after the answer", s.role, stateName(q))
		}
		wantOver(s.t, q, baretls.ErrAlreadyAnswered)
		return true
	}
}

// wantOver gives a question all answers that it can get, and each must be that
// error and change nothing.
func wantOver(t testing.TB, q question, want error) {
	t.Helper()
	for name, err := range everyAnswer(q) {
		if err != want {
			t.Errorf("%s: %s returns %v, want %v", stateName(q), name, err, want)
		}
	}
}

// everyAnswer gives a question all answers that there are.
func everyAnswer(q question) map[string]error {
	switch q := q.(type) {
	case baretls.ClientHelloReceived:
		return map[string]error{"Accept": q.Accept(), "Use": q.Use(serverConfig()), "Refuse": q.Refuse(handshakeFailure, nil)}
	case baretls.SessionWanted:
		return map[string]error{"Answer": q.Answer(nil)}
	case baretls.SessionRemovalWanted:
		return map[string]error{"Answer": q.Answer(true)}
	case baretls.EarlyDataOffered:
		return map[string]error{"Accept": q.Accept(), "Reject": q.Reject()}
	case baretls.SignatureWanted:
		return map[string]error{"Answer": q.Answer([]byte("a signature"), nil), "Answer with an error": q.Answer(nil, errNotToday)}
	case baretls.ServerCertificateReceived:
		return map[string]error{"Answer": q.Answer(nil), "Answer with an error": q.Answer(errNotToday), "Refuse": q.Refuse(handshakeFailure, nil)}
	case baretls.ClientCertificateReceived:
		return map[string]error{"Answer": q.Answer(nil), "Answer with an error": q.Answer(errNotToday), "Refuse": q.Refuse(handshakeFailure, nil)}
	case baretls.ClientCertificateRequested:
		return map[string]error{"Answer": q.Answer(nil, nil), "Answer with an error": q.Answer(nil, errNotToday)}
	}
	return map[string]error{"nothing": fmt.Errorf("%T is no question", q)}
}

var errNotToday = fmt.Errorf("not today")

// questions are the states of a transcript that ask, each once.
func questions(transcript []string) (asked []string) {
	for _, state := range slices.Compact(slices.Clone(transcript)) {
		if _, ok := askOf[state]; ok {
			asked = append(asked, state)
		}
	}
	return asked
}

// course is what a transcript comes to whether there are questions in it or not.
// A flight is sent in parts where a question stands in its way, and the other
// side waits once for each part: what counts is the order of flights, waits and
// data.
func course(transcript []string) (course []string) {
	for _, state := range transcript {
		switch _, asks := askOf[state]; {
		case asks:
		case state == encode, state == transmit:
			course = append(course, "a flight")
		default:
			course = append(course, state)
		}
	}
	return slices.Compact(course)
}
