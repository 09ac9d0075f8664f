package baretls_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"weak"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// A spot is a place in a handshake where a side is asked.
type spot struct {
	state   string
	role    string
	resumed bool
	only13  bool
}

var spots = []spot{
	{state: helloReceived, role: "server"},
	{state: sessionWanted, role: "server", resumed: true},
	{state: earlyOffered, role: "server", resumed: true, only13: true},
	{state: signatureWanted, role: "server"},
	{state: signatureWanted, role: "client"},
	{state: serverReceived, role: "client"},
	{state: serverReceived, role: "client", resumed: true},
	{state: clientReceived, role: "server"},
	{state: clientReceived, role: "server", resumed: true},
	{state: certRequested, role: "client"},
}

func (sp spot) String() string {
	if sp.resumed {
		return sp.state + " of the " + sp.role + ", resumed"
	}
	return sp.state + " of the " + sp.role
}

// An askedMeeting is one where a side waits for the answer to a question, its
// only one.
type askedMeeting struct {
	*meeting
	st    *askStage
	asked *side
	q     question
}

// eachSpot calls f for each spot and version with a side that has got there.
func eachSpot(t *testing.T, f func(t *testing.T, sp spot, m *askedMeeting)) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, sp := range spots {
			if v == tls13 || !sp.only13 {
				t.Run(sp.String(), func(t *testing.T) { f(t, sp, sp.reach(t, v)) })
			}
		}
	})
}

// reach makes a connection that gets to the spot. The client has a certificate
// that the server requires, and sends early data where it can.
func (sp spot) reach(t *testing.T, v version) *askedMeeting {
	t.Helper()
	edit := withClientAuth
	if v == tls12 {
		edit = editing(want12, withClientAuth)
	}
	st := newAskStage(t, askScenario{edit: edit, stored: true, resumed: sp.resumed, early: sp.only13})
	asks := map[string]baretls.Ask{sp.role: askOf[sp.state]}
	return st.stopped(sp, st.again(asks["client"], asks["server"]))
}

// stopped runs the connection until the side is asked and no one else has
// anything to do.
func (st *askStage) stopped(sp spot, m *meeting) *askedMeeting {
	st.t.Helper()
	a := &askedMeeting{meeting: m, st: st, asked: m.side(sp.role)}
	a.asked.ask = func(q question) bool {
		if a.q != nil && a.q != q {
			st.t.Errorf("%v: behind one question there is another: %T", sp, q)
		}
		a.q = q
		return false
	}
	m.runEarly()
	if a.q == nil || stateName(a.q) != sp.state || a.asked.transcript[len(a.asked.transcript)-1] != sp.state {
		st.t.Fatalf("the %s is not asked %s: error %v, course %v", sp.role, sp.state, a.asked.err, course(a.asked.transcript))
	}
	return a
}

// goOn goes on after the answer, which may lead to questions like the first.
func (m *askedMeeting) goOn() {
	m.st.t.Helper()
	m.asked.answers(manners[0], m.answerer().answer)
	m.asked.woken = true
	m.runEarly()
}

func (m *askedMeeting) answerer() answerer { return answerer{&m.st.cert, m.st.store} }

// wantConnected goes on, and both sides must come through.
func (m *askedMeeting) wantConnected() {
	m.st.t.Helper()
	m.goOn()
	m.handshake()
	m.works()
}

// wantWaiting checks that the question still waits, and that a right answer is
// still one.
func (m *askedMeeting) wantWaiting() {
	t := m.st.t
	t.Helper()
	if err := m.q.Context().Err(); err != nil {
		t.Errorf("the Context of a question that waits is done: %v", err)
	}
	if status, err := m.asked.conn.ProcessTLSRecords(nil); err != nil || status.State != baretls.State(m.q) {
		t.Fatalf("the question is not offered again: %T, %v", status.State, err)
	}
	if err := m.answerer().answer(m.q); err != nil {
		t.Fatalf("a right answer is refused: %v", err)
	}
	m.wantConnected()
}

// No answer: the connection stays where it is, asks the same each time, sends
// nothing and takes nothing.
func TestAskIsQuiet(t *testing.T) {
	eachSpot(t, func(t *testing.T, sp spot, m *askedMeeting) {
		input := []byte("not a record, but nobody has looked at it")
		untouched := bytes.Clone(input)
		for range 100 {
			for _, in := range [][]byte{nil, input} {
				status, err := m.asked.conn.ProcessTLSRecords(in)
				if err != nil || status.Discard != 0 || status.State != baretls.State(m.q) {
					t.Fatalf("a turn leads to %T with %d to discard, error %v, want the question and nothing", status.State, status.Discard, err)
				}
			}
		}
		if !bytes.Equal(input, untouched) {
			t.Error("input that waits was changed")
		}
		m.wantWaiting()
	})
}

// What comes while a question waits is looked at after the answer: the peer's
// end, for example.
func TestAskInputWaits(t *testing.T) {
	for _, test := range []struct {
		name  string
		input []byte
		check func(s *side)
		sends bool
	}{
		{"a fatal alert", plain(alert, []byte{2, 40}), func(s *side) { s.wantAlerted(handshakeFailure) }, false},
		{"junk", []byte("HTTP/1.1 400 Bad Request\r\n"), func(s *side) { s.wantFailed(unexpectedMessage) }, true},
		{"a message in the clear", plain(handshake, []byte{20, 0, 0, 0}), func(s *side) { s.wantFailed(unexpectedMessage) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := spot{state: helloReceived, role: "server"}.reach(t, tls13)
			s := m.asked
			s.give(test.input)
			s.turns()
			if s.wantAlive(); len(s.in) != len(test.input) {
				t.Fatalf("%d of %d bytes were discarded before the answer", len(test.input)-len(s.in), len(test.input))
			}
			if err := m.q.(baretls.ClientHelloReceived).Accept(); err != nil {
				t.Fatal(err)
			}
			s.turns()
			test.check(s)
			if sends := len(s.take()) > 0; sends != test.sends {
				t.Errorf("behind the answer something is sent: %v, want %v", sends, test.sends)
			}
		})
	}
}

// The end of the input is no reason to take the question back: the answer's
// output is sent, and then comes the truncation.
func TestAskAfterCloseInput(t *testing.T) {
	eachSpot(t, func(t *testing.T, sp spot, m *askedMeeting) {
		s := m.asked
		s.conn.CloseInput()
		for range 3 {
			s.turns()
		}
		if s.wantAlive(); len(s.take()) != 0 {
			t.Error("something is sent before the answer")
		}
		if err := m.answerer().answer(m.q); err != nil {
			t.Fatalf("the answer is refused: %v", err)
		}
		s.answers(manners[0], m.answerer().answer)
		m.serverOrClientTurns()
		if !errors.Is(s.err, io.ErrUnexpectedEOF) {
			t.Errorf("behind the answer the error is %v, want the truncation; course %v", s.err, course(s.transcript))
		}
		if want := sp.role == "server" && sp.state != clientReceived || sp.state == signatureWanted; want && len(s.take()) == 0 {
			t.Error("what the answer led to was not sent")
		}
	})
}

// serverOrClientTurns takes turns on the side that was asked.
func (m *askedMeeting) serverOrClientTurns() {
	m.st.t.Helper()
	if m.asked == m.server {
		m.serverTurns()
		return
	}
	m.asked.turns()
}

// Abandon ends the wait, silently and for good.
func TestAskAbandoned(t *testing.T) {
	eachSpot(t, func(t *testing.T, sp spot, m *askedMeeting) {
		s := m.asked
		before, waited := m.q.Context(), make(chan struct{})
		go func() {
			<-before.Done()
			close(waited)
		}()
		for range 2 {
			s.conn.Abandon()
			s.turns()
			if !errors.Is(s.err, baretls.ErrAbandoned) {
				t.Fatalf("the error is %v, want ErrAbandoned", s.err)
			}
		}
		<-waited
		if m.q.Context().Err() == nil {
			t.Error("the Context is not done")
		}
		wantOver(t, m.q, baretls.ErrStaleState)
		s.turns()
		if b := s.take(); len(b) != 0 {
			t.Errorf("an abandoned connection sends %d bytes", len(b))
		}
		var failure *baretls.Error
		if !errors.As(s.err, &failure) {
			t.Fatalf("the error is a %T", s.err)
		}
		if alert, ok := failure.Alert(); ok {
			t.Errorf("the error has the alert %v", alert)
		}
		lookAt(m.q) // what it shows is still there
	})
}

// A Context that nobody has asked for while there was time is done as well.
func TestAskContextAfterTheEnd(t *testing.T) {
	m := spot{state: signatureWanted, role: "server"}.reach(t, tls13)
	m.asked.conn.Abandon()
	<-m.q.Context().Done()
	m = spot{state: signatureWanted, role: "server"}.reach(t, tls13)
	q := m.q.(baretls.SignatureWanted)
	if err := q.Answer(q.Sign()); err != nil {
		t.Fatal(err)
	}
	<-q.Context().Done()
	m.wantConnected()
}

// An answer that was given and not yet looked at goes with the connection.
func TestAskAbandonedBehindTheAnswer(t *testing.T) {
	eachSpot(t, func(t *testing.T, sp spot, m *askedMeeting) {
		if err := m.answerer().answer(m.q); err != nil {
			t.Fatal(err)
		}
		m.asked.conn.Abandon()
		m.asked.turns()
		if !errors.Is(m.asked.err, baretls.ErrAbandoned) || len(m.asked.take()) != 0 {
			t.Errorf("an abandoned connection goes on: %v", m.asked.err)
		}
		wantOver(t, m.q, baretls.ErrAlreadyAnswered)
	})
}

// A connection may be dropped without a word: nothing runs for it, and nothing
// holds it.
func TestAskDropped(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	var dropped []weak.Pointer[baretls.Conn]
	eachSpot(t, func(t *testing.T, sp spot, m *askedMeeting) {
		m.q.Context() // somebody has looked at it
		dropped = append(dropped, weak.Make(m.asked.conn))
	})
	runtime.GC()
	for i, conn := range dropped {
		if conn.Value() != nil {
			t.Errorf("connection %d can still be reached", i)
		}
	}
	// Those of eachSpot itself are gone by now.
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("there are %d goroutines, and were %d", now, goroutines)
	}
}

// Of many who answer at once one is heard, while turns go on.
func TestAskAnsweredByManyAtOnce(t *testing.T) {
	const many = 8
	eachSpot(t, func(t *testing.T, sp spot, m *askedMeeting) {
		answer := m.answerer().answer
		if q, ok := m.q.(baretls.SessionRemovalWanted); ok { // from the store it is removed once
			removed := m.st.store.Remove(q.Name())
			answer = func(question) error { return q.Answer(removed) }
		}
		errs := make([]error, many)
		var answering sync.WaitGroup
		for i := range errs {
			answering.Go(func() {
				lookAt(m.q)
				errs[i] = answer(m.q)
			})
		}
		for m.q.Context().Err() == nil {
			status, err := m.asked.conn.ProcessTLSRecords(nil)
			if err != nil {
				t.Error(err)
				break
			}
			if status.State != baretls.State(m.q) {
				break // answered between the two
			}
			runtime.Gosched()
		}
		answering.Wait()
		heard := 0
		for _, err := range errs {
			switch err {
			case nil:
				heard++
			case baretls.ErrAlreadyAnswered:
			default:
				t.Errorf("an answer among others returns %v", err)
			}
		}
		if heard != 1 {
			t.Errorf("%d of %d answers are heard, want one", heard, many)
		}
		m.wantConnected()
	})
}

// lookedAt is what a question shows now.
func lookedAt(q question) string { return fmt.Sprintf("%x", lookAt(q)) }

// lookAt calls all that a question has to show.
func lookAt(q question) (shown []any) {
	switch q := q.(type) {
	case baretls.ClientHelloReceived:
		return []any{pointee(q.ClientHello()), q.Raw()}
	case baretls.SessionWanted:
		return []any{q.Name(), q.ProtocolVersion()}
	case baretls.SessionRemovalWanted:
		return []any{q.Name()}
	case baretls.EarlyDataOffered:
		return []any{q.Flight(), q.Expires()}
	case baretls.SignatureWanted:
		return append(rawOf(q.Certificate()), q.Scheme(), q.Content())
	case baretls.ServerCertificateReceived:
		return append(shownOf(q.Verification()), q.Resumed())
	case baretls.ClientCertificateReceived:
		return append(shownOf(q.Verification()), q.Resumed())
	case baretls.ClientCertificateRequested:
		return []any{pointee(q.Request())}
	}
	return nil
}

// pointee is what p points to, or nil: the zero states point nowhere.
func pointee[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

func rawOf(certs ...*x509.Certificate) (raw []any) {
	for _, cert := range certs {
		if cert != nil {
			raw = append(raw, cert.Raw)
		}
	}
	return raw
}

func shownOf(v baretls.PeerVerification) []any {
	return append(rawOf(v.Certificates...), v.ServerName, v.OCSPResponse, v.SignedCertificateTimestamps, v.Time)
}

// What is shown is what is true.
func TestAskShowsWhatItIsAbout(t *testing.T) {
	eachSpot(t, func(t *testing.T, sp spot, m *askedMeeting) {
		want := uint16(m.st.client.MaxVersion)
		if want == 0 {
			want = tls.VersionTLS13
		}
		roots, _ := tlstest.CA()
		verified := func(v baretls.PeerVerification, cert tls.Certificate, resumed bool) {
			t.Helper()
			var der [][]byte
			for _, c := range v.Certificates {
				der = append(der, c.Raw)
			}
			if !slices.EqualFunc(der, cert.Certificate, bytes.Equal) || v.ServerName != "example.com" || !v.Time.Equal(m.st.clock.now()) {
				t.Errorf("%d certificates of a peer of %q at %v are shown", len(der), v.ServerName, v.Time)
			}
			if resumed != sp.resumed {
				t.Errorf("Resumed is %v", resumed)
			}
		}
		switch q := m.q.(type) {
		case baretls.ClientHelloReceived:
			if raw := q.Raw(); raw[0] != 1 || len(raw) != 4+int(raw[2])<<8+int(raw[3]) || q.ClientHello().ServerName != "example.com" {
				t.Errorf("a hello of %d bytes to %q", len(raw), q.ClientHello().ServerName)
			}
		case baretls.SessionWanted:
			if _, known := m.st.kept[q.Name()]; !known || len(q.Name()) != 32 || q.ProtocolVersion() != want {
				t.Errorf("the session %x of version %#x is wanted", q.Name(), q.ProtocolVersion())
			}
		case baretls.SessionRemovalWanted:
			if _, known := m.st.kept[q.Name()]; !known || want != tls.VersionTLS13 {
				t.Errorf("the session %x is to be removed", q.Name())
			}
		case baretls.EarlyDataOffered:
			if q.Flight() == ([32]byte{}) || !q.Expires().Equal(m.st.clock.now().Add(baretls.ReplayWindow)) {
				t.Errorf("the flight %x expires in %v", q.Flight(), q.Expires().Sub(m.st.clock.now()))
			}
		case baretls.SignatureWanted:
			own := map[string]tls.Certificate{"client": m.st.cert, "server": m.st.server.Certificates[0]}[sp.role]
			if q.Scheme() != tls.Ed25519 || !bytes.Equal(q.Certificate().Raw, own.Certificate[0]) || len(q.Content()) < 64 {
				t.Errorf("a signature %v of %d bytes is wanted by %v", q.Scheme(), len(q.Content()), q.Certificate().DNSNames)
			}
			if text := "TLS 1.3, " + sp.role + " CertificateVerify"; want == tls.VersionTLS13 && !strings.Contains(string(q.Content()), text) {
				t.Errorf("what is to be signed does not say %q", text)
			}
			if c := q.Content(); cap(c) != len(c) {
				t.Errorf("behind what is to be signed there are %d bytes that an append would overwrite", cap(c)-len(c))
			}
		case baretls.ServerCertificateReceived:
			verified(q.Verification(), m.st.server.Certificates[0], q.Resumed())
			if err := q.Verify(); err != nil || len(q.Verification().VerifiedChains) == 0 {
				t.Errorf("Verify finds %d chains, %v", len(q.Verification().VerifiedChains), err)
			}
		case baretls.ClientCertificateReceived:
			verified(q.Verification(), m.st.cert, q.Resumed())
			if err := q.Verify(); err != nil || len(q.Verification().VerifiedChains) == 0 {
				t.Errorf("Verify finds %d chains, %v", len(q.Verification().VerifiedChains), err)
			}
		case baretls.ClientCertificateRequested:
			//lint:ignore SA1019 a pool of our own has all the names
			if r := q.Request(); len(r.AcceptableCAs) != 1 || !bytes.Equal(r.AcceptableCAs[0], roots.Subjects()[0]) || !slices.Contains(r.SignatureSchemes, tls.Ed25519) {
				t.Errorf("%d authorities and %d schemes are requested", len(r.AcceptableCAs), len(r.SignatureSchemes))
			}
		}
		m.wantWaiting()
	})
}

// What a verification found is known of the connection, and what was not looked
// for is not.
func TestAskVerifiedChains(t *testing.T) {
	for _, verify := range []bool{false, true} {
		eachSpot(t, func(t *testing.T, sp spot, m *askedMeeting) {
			q, ok := m.q.(interface {
				question
				Verify() error
				Answer(error) error
			})
			if !ok {
				return
			}
			if verify {
				if err := q.Verify(); err != nil {
					t.Fatal(err)
				}
			}
			if err := q.Answer(nil); err != nil {
				t.Fatal(err)
			}
			m.wantConnected()
			if state := m.asked.conn.ConnectionState(); (len(state.VerifiedChains) > 0) != verify || len(state.PeerCertificates) == 0 {
				t.Errorf("verified: %v; %d chains and %d certificates are known", verify, len(state.VerifiedChains), len(state.PeerCertificates))
			}
		})
	}
}
