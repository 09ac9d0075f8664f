//go:build !tls13only

package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"weak"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// lent is memory of handshakes that both sides had in a run.
type lent struct {
	exchanges []*exchange
	clients   []*clientHandshake
	servers   []*serverHandshake
	hellos    []*wire.ClientHello
	servers12 []*server12
	kdfs      map[*keyschedule.KDF]*algo.Suite
}

func note[T any](list *[]*T, x *T) {
	if x != nil && !slices.Contains(*list, x) {
		*list = append(*list, x)
	}
}

// noteLent notes what a pair has whenever one of its sides is about to move.
func (p *pair) noteLent() *lent {
	l := &lent{kdfs: map[*keyschedule.KDF]*algo.Suite{}}
	p.step = func(*side) {
		note(&l.clients, p.client.clientHandshake)
		if s := p.server.serverHandshake; s != nil {
			note(&l.servers, s)
			note(&l.servers12, s.server12)
		}
		for _, side := range []*side{p.c, p.s} {
			if x := side.core.exchange; x != nil {
				note(&l.exchanges, x)
				if x.kdf != nil {
					l.kdfs[x.kdf] = side.core.suite()
				}
			}
		}
	}
	p.serverPolicy.Pick = func(h *wire.ClientHello) (*Credential, error) {
		note(&l.hellos, h)
		return nil, nil
	}
	return l
}

// handshakesToWeigh are all that give memory back, those that fail as well.
var handshakesToWeigh = []struct {
	story string
	pair  func(t *testing.T) *pair
	fails bool
}{
	{"a full handshake", func(t *testing.T) *pair { return newPair(t) }, false},
	{"SHA-384", func(t *testing.T) *pair {
		p := newPair(t)
		p.clientPolicy.Suites = suites(tls.TLS_AES_256_GCM_SHA384)
		return p
	}, false},
	{"a retry", func(t *testing.T) *pair { return newRetryPair(t) }, false},
	{"a retry with a cookie", func(t *testing.T) *pair { return newCookiePair(t) }, false},
	{"protocols, staples and certificates of both sides", func(t *testing.T) *pair {
		p := newMutualPair(t)
		p.staple()
		p.clientPolicy.Protocols, p.serverPolicy.Protocols = []string{"h2"}, []string{"h2"}
		return p
	}, false},
	{"a resumption", func(t *testing.T) *pair { return newResumingPair(t) }, false},
	{"early data", func(t *testing.T) *pair { return newEarlyPair(t) }, false},
	{"TLS 1.2", func(t *testing.T) *pair { return newPair12(t) }, false},
	{"TLS 1.2 with staples and certificates of both sides", func(t *testing.T) *pair {
		p := newPair12(t)
		p.staple()
		p.requestClient(tlstest.ECDSAP256)
		p.keepSessions()
		return p
	}, false},
	{"TLS 1.2, resumed by ticket", func(t *testing.T) *pair { return newResumingPair12(t, false) }, false},
	{"TLS 1.2, resumed by ID", func(t *testing.T) *pair { return newResumingPair12(t, true) }, false},
	{"a server that the client refuses", func(t *testing.T) *pair {
		p := newPair(t)
		p.clientPolicy.Judge.After = func(*Verification) error { return errors.New("not this one") }
		return p
	}, true},
	{"a hello that the server refuses", func(t *testing.T) *pair {
		p := newPair(t)
		p.clientPolicy.Protocols, p.serverPolicy.Protocols = []string{"h2"}, []string{"http/1.1"}
		return p
	}, true},
	{"a server of TLS 1.2 that the client refuses", func(t *testing.T) *pair {
		p := newPair12(t)
		p.name = "example.org"
		return p
	}, true},
	{"a Finished that is wrong", func(t *testing.T) *pair {
		p := newPair(t)
		p.clientDoors[kind(wire.TypeFinished)] = instead(withBody(wire.TypeFinished, make([]byte, 32)...))
		return p
	}, true},
}

// weigh runs the handshake of a row, and more: with memory that is not pooled, so
// that nobody else has it afterwards.
func (l *lent) weigh(t *testing.T, p *pair, fails bool) {
	t.Helper()
	p.clientPolicy.TestingNoPools, p.serverPolicy.TestingNoPools = true, true
	if fails {
		p.run()
		if p.c.err == nil && p.s.err == nil {
			t.Fatal("the handshake goes through, and ought to fail")
		}
		p.client.Forget()
		p.server.Forget()
		return
	}
	p.complete()
	p.works()
}

// What is given back holds no secret, and nothing else.
func TestHandshakesGiveBackZeros(t *testing.T) {
	for _, row := range handshakesToWeigh {
		t.Run(row.story, func(t *testing.T) {
			p := row.pair(t)
			l := p.noteLent()
			l.weigh(t, p, row.fails)
			for _, x := range l.exchanges {
				if !reflect.DeepEqual(x, new(exchange)) {
					t.Errorf("an exchange is not zeros: %+v", x)
				}
			}
			for _, x := range l.clients {
				if !reflect.DeepEqual(x, new(clientHandshake)) {
					t.Errorf("what a client has is not zeros: %+v", x)
				}
			}
			for _, x := range l.servers {
				if !reflect.DeepEqual(x, new(serverHandshake)) {
					t.Errorf("what a server has is not zeros: %+v", x)
				}
			}
			for _, x := range l.servers12 {
				if !reflect.DeepEqual(x, new(server12)) {
					t.Errorf("what a server of TLS 1.2 has is not zeros: %+v", x)
				}
			}
			for k, suite := range l.kdfs {
				if !reflect.DeepEqual(k, keyschedule.NewKDF(suite.NewHash)) {
					t.Errorf("a KDF over %v is not as good as new", suite.Hash)
				}
			}
			if len(l.exchanges) != 2 || len(l.clients) != 1 || len(l.servers) != 1 || len(l.kdfs) == 0 && !row.fails {
				t.Errorf("%d exchanges, %d clients, %d servers and %d KDFs were looked at, want 2, 1, 1 and some",
					len(l.exchanges), len(l.clients), len(l.servers), len(l.kdfs))
			}
		})
	}
}

// Nothing refers to what is given back: not a connection that is through, nor
// what is known of its peer, its sessions, its error. The collector would tell.
func TestNothingRefersToWhatIsGivenBack(t *testing.T) {
	for _, row := range handshakesToWeigh {
		t.Run(row.story, func(t *testing.T) {
			p := row.pair(t)
			watched := watch(t, p, row.fails)
			runtime.GC()
			for what, alive := range watched {
				if alive() {
					t.Errorf("%s can still be reached", what)
				}
			}
			runtime.KeepAlive(p)
		})
	}
}

// watch tells of each piece of memory whether it is still there.
func watch(t *testing.T, p *pair, fails bool) map[string]func() bool {
	l := p.noteLent()
	l.weigh(t, p, fails)
	watched := map[string]func() bool{}
	watchAll(watched, "an exchange", l.exchanges)
	watchAll(watched, "what a client has", l.clients)
	watchAll(watched, "what a server has", l.servers)
	watchAll(watched, "what a server of TLS 1.2 has", l.servers12)
	watchAll(watched, "a ClientHello", l.hellos)
	for k := range l.kdfs {
		watchAll(watched, "a KDF", []*keyschedule.KDF{k})
	}
	p.step, p.serverPolicy.Pick = nil, nil // they know l
	return watched
}

func watchAll[T any](watched map[string]func() bool, what string, list []*T) {
	for _, x := range list {
		pointer := weak.Make(x)
		watched[fmt.Sprintf("%s (%d)", what, len(watched))] = func() bool { return pointer.Value() != nil }
	}
}

// What somebody may still look at is not given back: who was asked, and a handler
// in the middle of which the caller abandons the connection.
func TestWhatMayBeSeenIsNotGivenBack(t *testing.T) {
	for _, row := range []struct {
		story string
		asks  Asks
		end   func(p *pair)
	}{
		{"a question that was answered", AskSignature, func(p *pair) {
			q := p.server.Question().(*SignatureQuestion)
			signature, err := q.Sign()
			must(err)
			content := string(q.Content)
			must(q.Answer(signature))
			must(p.server.Resume())
			p.pump()
			p.works()
			if string(q.Content) != content {
				t.Error("what was to be signed is something else when the connection is through")
			}
		}},
		{"a question that was withdrawn", AskClientHello, func(p *pair) {
			q := p.server.Question().(*HelloQuestion)
			random := string(q.Hello.Random)
			p.server.Forget()
			if string(q.Hello.Random) != random {
				t.Error("the hello that was asked about is gone with the connection")
			}
		}},
		{"a handler that is at work", AskClientHello, func(p *pair) {
			p.server.shown = false
			p.server.begins(kind(wire.TypeClientHello))
			p.server.Forget()
		}},
	} {
		p := newPair(t)
		p.serverPolicy.Asks = row.asks
		p.run()
		seen := p.server.exchange
		if seen == nil {
			t.Fatalf("%s: there is no handshake to be seen", row.story)
		}
		row.end(p)
		if p.server.exchange != nil {
			t.Errorf("%s: the connection keeps what only the handshake needed", row.story)
		}
		for range 100 { // none of these is given back, so that the pool runs empty
			if exchanges.take() == seen {
				t.Errorf("%s: the memory is lent to somebody else", row.story)
			}
		}
	}
}

// A hello is given back when it is answered, and it is zeros: its slices are the
// caller's memory.
func TestHellosAreGivenBack(t *testing.T) {
	p := newPair(t)
	var hello *wire.ClientHello
	p.serverPolicy.Pick = func(h *wire.ClientHello) (*Credential, error) {
		hello = h
		return nil, nil
	}
	p.complete()
	if hello == nil || p.server.serverHandshake != nil {
		t.Fatal("there was no hello, or its handshake is not over")
	}
	if !reflect.DeepEqual(hello, new(wire.ClientHello)) {
		t.Errorf("a hello that is answered is not zeros: %+v", hello)
	}
}

// A KDF is for one hash, and for one connection at a time.
func TestKDFsOfBothHashesAreKeptApart(t *testing.T) {
	p := testPolicy()
	for _, id := range suitesOf(tls.VersionTLS13) {
		suite := algo.SuiteByID(id)
		for range 10 {
			first, second := p.takeKDF(suite), p.takeKDF(suite)
			if first == second {
				t.Fatal("one KDF is lent twice")
			}
			if first.Size() != suite.Hash.Size() || second.Size() != suite.Hash.Size() {
				t.Fatalf("KDFs of %d and %d bytes for %s", first.Size(), second.Size(), suite.Name)
			}
			p.giveKDF(first)
			p.giveKDF(second)
		}
	}
}
