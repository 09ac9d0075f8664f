package interop

import (
	"fmt"
	"regexp"
	"testing"
)

// say sends a line from the peer's user through the connection to our side,
// and one back. Both have to arrive, whatever happened to the keys before.
func say(t *testing.T, e *endpoint, p *process, line string) {
	t.Helper()
	p.enter(line + "\n")
	got, err := e.take(len(line) + 1)
	if err != nil || string(got) != line+"\n" {
		t.Fatalf("%s sent %q, and %q came (%v)", p.name, line, got, err)
	}
	if err := e.write([]byte("re: " + line + "\n")); err != nil {
		t.Fatalf("answering %q: %v", line, err)
	}
	p.stdout.expect(t, "re: "+line+"\n")
}

// The user of openssl changes the keys: by K and asks us to do the same, by k
// and does not (RFC 9846, Section 4.7.3).
func TestKeyUpdateOfOpenSSL(t *testing.T) {
	const received = `<<< TLS 1\.3, Handshake \[length 0005\], KeyUpdate`
	commands := func(t *testing.T, e *endpoint, p *process, done *output, signal string) {
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		say(t, e, p, "before")
		answers := 0
		for i, command := range []string{"K", "k", "K", "K", "k", "k"} {
			p.enter(command + "\n")
			done.expect(t, signal)
			say(t, e, p, fmt.Sprintf("after %d", i))
			if command == "K" {
				answers++
			}
			if got := count(p.stdout, received); got != answers {
				t.Fatalf("after %s, command %d, openssl has had %d KeyUpdates of ours, want %d", command, i, got, answers)
			}
		}
	}
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		s := plain().with("-msg")
		l := listen(t)
		p := opensslClient(t, s, l.Addr().String())
		e := newServer(t, s.server(), l)
		commands(t, e, p, p.stderr, `KEYUPDATE\n`)
		p.enter("Q\n")
		if err := closeSecond(e); err != nil {
			t.Errorf("close: %v", err)
		}
		e.wire.Close()
		p.expectSuccess()
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		s := plain().with("-msg")
		p, addr := opensslServer(t, s)
		e := newClient(t, s.client(), serverName, addr)
		commands(t, e, p, p.stdout, `>>> TLS 1\.3, Handshake \[length 0005\], KeyUpdate`)
		if err := closeFirst(e, true); err != nil {
			t.Errorf("close: %v", err)
		}
		e.wire.Close()
		p.expectSuccess()
	})
}

// The user of gnutls-cli changes the keys: ^rekey^ is for both directions and
// ^rekey1^ for its own.
func TestKeyUpdateOfGnuTLS(t *testing.T) {
	const received = `received TLS 1\.3 key update`
	s := plain().with("--inline-commands", "--debug=5")
	l := listen(t)
	p, _ := gnutlsClient(t, s, l.Addr().String())
	e := newServer(t, s.server(), l)
	if err := e.handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	say(t, e, p, "before")
	answers := 0
	for i, command := range []string{"^rekey^", "^rekey1^", "^rekey^"} {
		before := e.silent
		p.enter(command + "\n")
		say(t, e, p, fmt.Sprintf("after %d", i))
		if got := e.silent - before; got != 1 {
			t.Errorf("%s brought %d records without data, want 1, the KeyUpdate", command, got)
		}
		if command == "^rekey^" {
			p.stderr.expect(t, received)
			answers++
		}
	}
	p.stdin.Close()
	if err := closeSecond(e); err != nil {
		t.Errorf("close: %v", err)
	}
	e.wire.Close()
	p.expectSuccess()
	if got := count(p.stderr, received); got != answers {
		t.Errorf("gnutls-cli has had %d KeyUpdates of ours, want %d", got, answers)
	}
}

// count is how often the program has said something so far.
func count(o *output, pattern string) int {
	return len(regexp.MustCompile(pattern).FindAll(o.all(), -1))
}

// Our side changes the keys of both directions, with data before, between and
// behind. The peer answers once, also when it is asked twice.
func TestRefreshTrafficKeys(t *testing.T) {
	for _, p := range peers {
		for _, suite := range suites {
			s := plain()
			s.suite = suite
			refresh := func(t *testing.T, e *endpoint, r *remote, answersClose bool) {
				if err := e.handshake(); err != nil {
					t.Fatalf("handshake: %v", err)
				}
				exchange := func() {
					t.Helper()
					if err := converse(e, payload(s.size)); err != nil {
						t.Fatal(err)
					}
				}
				exchange()
				for _, times := range []int{1, 2, 3} {
					before := e.silent
					for range times {
						if err := e.refresh(); err != nil {
							t.Fatalf("RefreshTrafficKeys: %v", err)
						}
					}
					exchange()
					if got := e.silent - before; got != 1 {
						t.Errorf("the peer answered %d refreshes by %d KeyUpdates, want 1", times, got)
					}
				}
				if err := part(e, r, false, answersClose); err != nil {
					t.Errorf("close: %v", err)
				}
				r.ended(t)
			}
			t.Run(fmt.Sprintf("%s/client/%#04x", p.name, suite), func(t *testing.T) {
				t.Parallel()
				r := p.serve(t, s)
				refresh(t, newClient(t, s.client(), serverName, r.addr), r, true)
			})
			t.Run(fmt.Sprintf("%s/server/%#04x", p.name, suite), func(t *testing.T) {
				t.Parallel()
				l := listen(t)
				r := p.dial(t, s, l.Addr().String())
				refresh(t, newServer(t, s.server(), l), r, p.clientAnswersClose)
			})
		}
	}
}
