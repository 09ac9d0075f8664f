package interop

import (
	"bytes"
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

// Our side changes the keys every few writes of a transfer of a mebibyte there
// and back, once or several times in a row, while data is under way.
func TestRefreshAmidTransfer(t *testing.T) {
	for _, p := range peers {
		s := plain()
		s.size = mebibyte
		transfer := func(t *testing.T, e *endpoint, r *remote, answersClose bool) {
			if err := e.handshake(); err != nil {
				t.Fatalf("handshake: %v", err)
			}
			if err := converse(e, payload(64)); err != nil { // and so all tickets have come
				t.Fatal(err)
			}
			tickets := e.silent
			data, refreshed, most := payload(mebibyte), 0, mebibyte
			if p.name == "gnutls" {
				most = gnutlsUpdates
			}
			const window, piece = 64 << 10, 16 << 10
			for sent, taken := 0, 0; taken < len(data); {
				if sent < len(data) {
					if err := e.write(data[sent : sent+piece]); err != nil {
						t.Fatalf("write after %d bytes: %v", sent, err)
					}
					sent += piece
				}
				for range min(sent/piece%4, most-refreshed) {
					if err := e.refresh(); err != nil {
						t.Fatalf("RefreshTrafficKeys after %d bytes: %v", sent, err)
					}
					refreshed++
				}
				n := max(0, sent-taken-window)
				if sent == len(data) {
					n = sent - taken
				}
				got, err := e.take(n)
				if err != nil {
					t.Fatalf("read after %d bytes: %v", taken, err)
				}
				if !bytes.Equal(got, data[taken:taken+n]) {
					t.Fatalf("bytes %d to %d came back changed", taken, taken+n)
				}
				taken += n
			}
			if answers := e.silent - tickets; refreshed < min(64, most) || answers == 0 {
				t.Errorf("%d refreshes and %d answers are too few to test anything", refreshed, answers)
			}
			if err := part(e, r, false, answersClose); err != nil {
				t.Errorf("close: %v", err)
			}
			r.ended(t)
		}
		t.Run(p.name+"/client", func(t *testing.T) {
			t.Parallel()
			r := p.serve(t, s)
			transfer(t, newClient(t, s.client(), serverName, r.addr), r, true)
		})
		t.Run(p.name+"/server", func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			r := p.dial(t, s, l.Addr().String())
			transfer(t, newServer(t, s.server(), l), r, p.clientAnswersClose)
		})
	}
}

// The peer's user changes the keys again and again, several times in a row,
// while a mebibyte comes from there, and while one goes there.
func TestPeerUpdatesAmidTransfer(t *testing.T) {
	type user struct {
		*process
		both, own string // the commands: for the keys of both directions, and of its own
		most      int    // times that both is used, for the peer has to take our answers
	}
	transfer := func(t *testing.T, e *endpoint, u user) {
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		say(t, e, u.process, "before") // and so all tickets have come
		data := payload(mebibyte)
		used, updates := 0, 0
		update := func(times int) {
			t.Helper()
			for range times {
				command := u.own
				if updates%2 == 0 && used < u.most {
					command = u.both
					used++
				}
				updates++
				// It has to be alone in what the program reads: so all before
				// it has come, and what follows waits for it.
				u.enter(command + "\n")
				before := e.silent
				if err := e.until(func() bool { return e.silent > before }); err != nil {
					t.Fatalf("%s, update %d: %v", command, updates, err)
				}
			}
		}
		const piece = 32 << 10
		for at := 0; at < len(data); at += piece {
			update(1 + at/piece%3)
			u.enter(string(data[at : at+piece]))
			got, err := e.take(piece)
			if err != nil || !bytes.Equal(got, data[at:at+piece]) {
				t.Fatalf("after %d bytes, other bytes came than were sent (%v)", at, err)
			}
		}
		for at := 0; at < len(data); at += piece {
			if err := e.write(data[at : at+piece]); err != nil {
				t.Fatalf("write after %d bytes: %v", at, err)
			}
			if at/piece%4 == 0 {
				update(2)
			}
		}
		say(t, e, u.process, "all")
		if got := serverChatter.ReplaceAll(u.stdout.all(), nil); !bytes.Contains(got, data) {
			t.Errorf("the mebibyte that %s printed is another than was sent", u.name)
		}
	}
	t.Run("openssl/client", func(t *testing.T) {
		t.Parallel()
		s := plain()
		l := listen(t)
		p := opensslClient(t, s, l.Addr().String())
		e := newServer(t, s.server(), l)
		transfer(t, e, user{p, "K", "k", mebibyte})
		leave(t, e, p)
	})
	t.Run("openssl/server", func(t *testing.T) {
		t.Parallel()
		s := plain()
		p, addr := opensslServer(t, s)
		e := newClient(t, s.client(), serverName, addr)
		transfer(t, e, user{p, "K", "k", mebibyte})
		if err := closeFirst(e, true); err != nil {
			t.Errorf("close: %v", err)
		}
		e.wire.Close()
		p.expectSuccess()
	})
	t.Run("gnutls/client", func(t *testing.T) {
		t.Parallel()
		s := plain().with("--inline-commands")
		l := listen(t)
		p, _ := gnutlsClient(t, s, l.Addr().String())
		e := newServer(t, s.server(), l)
		transfer(t, e, user{p, "^rekey^", "^rekey1^", gnutlsUpdates})
		p.stdin.Close()
		if err := closeSecond(e); err != nil {
			t.Errorf("close: %v", err)
		}
		e.wire.Close()
		p.expectSuccess()
	})
}

// serverChatter is what s_server prints when it sends a KeyUpdate or gets one.
var serverChatter = regexp.MustCompile(`Read BLOCK\n|SSL_do_handshake -> 1\n`)

// gnutlsUpdates is how many KeyUpdates GnuTLS takes in a second.
const gnutlsUpdates = 8
