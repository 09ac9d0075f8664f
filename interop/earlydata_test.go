package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

// allowance is how much 0-RTT data the servers allow.
const allowance = 16384

// longGuard is a guard that has been remembering for ever, so that the first
// flights are accepted; the one in memory has to wait for a ReplayWindow.
type longGuard struct{ baretls.ReplayGuard }

func (longGuard) Since() time.Time { return time.Time{} }

// forgetful is a guard that can vouch for nothing.
type forgetful struct{ baretls.ReplayGuard }

func (forgetful) Fresh([32]byte, time.Time) (bool, error) { return false, nil }

func acceptEarly(c *baretls.ServerConfig) {
	c.MaxEarlyData = allowance
	c.ReplayGuard = longGuard{baretls.NewReplayGuard(0)}
}

func expectEarly(t *testing.T, e *endpoint, want baretls.EarlyDataStatus) {
	t.Helper()
	if got := e.conn.EarlyData(); got != want {
		t.Errorf("early data is %v, want %v", got, want)
	}
}

// sayAndPart is a word there and one back, and the end from our side.
func sayAndPart(t *testing.T, e *endpoint, p *process) {
	t.Helper()
	say(t, e, p, "hello")
	if err := closeFirst(e, true); err != nil {
		t.Fatalf("close: %v", err)
	}
	e.wire.Close()
}

// opensslEarlyServer is an s_server that has given our client a session.
func opensslEarlyServer(t *testing.T, s scene) (p *process, connect func(early []byte) *endpoint) {
	t.Helper()
	s = s.with("-early_data", "-max_early_data", fmt.Sprint(allowance))
	p, addr := opensslServer(t, s)
	config := s.client()
	connect = func(early []byte) *endpoint {
		t.Helper()
		e := newClient(t, config, serverName, addr)
		e.earlyOut = early
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		return e
	}
	e := connect([]byte("nobody allows this"))
	expectEarly(t, e, baretls.EarlyDataNotOffered)
	sayAndPart(t, e, p)
	return p, connect
}

// Our client sends 0-RTT data to s_server, which prints it; all that a session
// allows, with every suite. Both sides log the same secrets for it.
func TestEarlyDataToOpenSSL(t *testing.T) {
	for _, suite := range suites {
		for _, size := range []int{1, 1000, allowance} {
			t.Run(fmt.Sprintf("%#04x/%d", suite, size), func(t *testing.T) {
				t.Parallel()
				var ours bytes.Buffer
				file := filepath.Join(t.TempDir(), "keys")
				s := twice().with("-keylogfile", file)
				s.suite = suite
				s.ourClient = func(c *baretls.ClientConfig) { c.EnableEarlyData, c.KeyLogWriter = true, &ours }
				p, connect := opensslEarlyServer(t, s)
				early := payload(size)
				e := connect(early)
				expectKind(t, e, baretls.HandshakeResumed)
				expectEarly(t, e, baretls.EarlyDataAccepted)
				sayAndPart(t, e, p)
				p.expectSuccess()
				p.said(`Early data received:`)
				if !bytes.Contains(p.stdout.all(), early) {
					t.Errorf("s_server did not print the %d bytes of early data", size)
				}
				log := string(must(os.ReadFile(file)))
				compareKeyLogs(t, ours.String(), log, 5+7)
				for _, label := range []string{"CLIENT_EARLY_TRAFFIC_SECRET", "EARLY_EXPORTER_SECRET"} {
					if strings.Count(log, "\n"+label+" ") != 1 {
						t.Errorf("s_server logged no %s, so this tests nothing", label)
					}
				}
			})
		}
	}
}

// s_server rejects 0-RTT data: of a ticket that it has seen, and across a
// HelloRetryRequest. What follows is an ordinary connection.
func TestEarlyDataRejectedByOpenSSL(t *testing.T) {
	again := func(c *baretls.ClientConfig) { c.EnableEarlyData, c.Sessions = true, &encodedSessions{again: true} }
	early := payload(allowance)
	three := plain()
	three.times, three.ourClient = 3, again
	t.Run("replayed ticket", func(t *testing.T) {
		t.Parallel()
		p, connect := opensslEarlyServer(t, three)
		for _, want := range []struct {
			kind  baretls.HandshakeKind
			early baretls.EarlyDataStatus
		}{{baretls.HandshakeResumed, baretls.EarlyDataAccepted}, {baretls.HandshakeFull, baretls.EarlyDataRejected}} {
			e := connect(early)
			expectKind(t, e, want.kind)
			expectEarly(t, e, want.early)
			sayAndPart(t, e, p)
		}
		p.expectSuccess()
		if n := bytes.Count(p.stdout.all(), early); n != 1 {
			t.Errorf("s_server has taken the early data %d times, want once", n)
		}
	})
	t.Run("replayed ticket, nobody minds", func(t *testing.T) {
		t.Parallel()
		p, connect := opensslEarlyServer(t, three.with("-no_anti_replay"))
		for range 2 {
			e := connect(early)
			expectKind(t, e, baretls.HandshakeResumed)
			expectEarly(t, e, baretls.EarlyDataAccepted)
			sayAndPart(t, e, p)
		}
		p.expectSuccess()
		if n := bytes.Count(p.stdout.all(), early); n != 2 {
			t.Errorf("s_server has taken the early data %d times, want twice", n)
		}
	})
	// The first hello uses the ticket up, unless replays are allowed.
	for _, c := range []struct {
		name string
		args []string
		kind baretls.HandshakeKind
	}{
		{"HelloRetryRequest", nil, baretls.HandshakeFullWithHelloRetryRequest},
		{"HelloRetryRequest, nobody minds", []string{"-no_anti_replay"}, baretls.HandshakeResumedWithHelloRetryRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := twice().with(c.args...)
			s.ourClient = func(c *baretls.ClientConfig) { c.EnableEarlyData = true }
			s.ours, s.theirs = []tls.CurveID{tls.X25519, tls.CurveP256}, []tls.CurveID{tls.CurveP256}
			p, connect := opensslEarlyServer(t, s)
			// OpenSSL reads what it skips as if it were in the clear, and
			// refuses the longest records then.
			early := early[:allowance-overhead]
			e := connect(early)
			expectKind(t, e, c.kind)
			expectEarly(t, e, baretls.EarlyDataRejected)
			sayAndPart(t, e, p)
			p.expectSuccess()
			if bytes.Contains(p.stdout.all(), early) {
				t.Error("s_server has taken early data that it rejected")
			}
		})
	}
}

// comeBack lets s_client get a session from our server, and then connect again
// and again with it, with early data.
func comeBack(t *testing.T, s scene, early []byte, times int, each func(i int, e *endpoint, p *process)) {
	t.Helper()
	dir := t.TempDir()
	session, file := filepath.Join(dir, "session"), filepath.Join(dir, "early")
	must(0, os.WriteFile(file, early, 0o600))
	l := listen(t)
	addr := l.Addr().String()
	config := s.server()

	p := opensslClient(t, s.with("-sess_out", session), addr)
	e := newServer(t, config, l)
	if err := e.handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	expectEarly(t, e, baretls.EarlyDataNotOffered)
	say(t, e, p, "hello")
	leave(t, e, p)
	for i := range times {
		p := opensslClient(t, s.with("-sess_in", session, "-early_data", file), addr)
		each(i, newServer(t, config, l), p)
	}
}

// leave is the end from s_client's side.
func leave(t *testing.T, e *endpoint, p *process) {
	t.Helper()
	p.enter("Q\n")
	if err := closeSecond(e); err != nil {
		t.Errorf("close: %v", err)
	}
	e.wire.Close()
	p.expectSuccess()
}

// Our server reads the 0-RTT data of s_client.
func TestEarlyDataOfOpenSSL(t *testing.T) {
	for _, suite := range suites {
		for _, size := range []int{1, 1000, allowance} {
			t.Run(fmt.Sprintf("%#04x/%d", suite, size), func(t *testing.T) {
				t.Parallel()
				var ours bytes.Buffer
				log := filepath.Join(t.TempDir(), "keys")
				s := plain().with("-keylogfile", log)
				s.suite = suite
				s.ourServer = func(c *baretls.ServerConfig) {
					acceptEarly(c)
					c.KeyLogWriter = &ours
				}
				early := payload(size)
				comeBack(t, s, early, 1, func(i int, e *endpoint, p *process) {
					if err := e.handshake(); err != nil {
						t.Fatalf("handshake: %v", err)
					}
					expectKind(t, e, baretls.HandshakeResumed)
					expectEarly(t, e, baretls.EarlyDataAccepted)
					if !bytes.Equal(e.early, early) {
						t.Errorf("%d bytes of early data came, and are not the %d that were sent", len(e.early), len(early))
					}
					say(t, e, p, "and then")
					leave(t, e, p)
					p.said(`Early data was accepted`)
				})
				compareKeyLogs(t, ours.String(), string(must(os.ReadFile(log))), 5+7)
			})
		}
	}
}

// Our server skips the 0-RTT data of s_client when it must: because it cannot
// rule out a replay, after a HelloRetryRequest, and without the session.
func TestEarlyDataRejectedByOurServer(t *testing.T) {
	type outcome struct {
		kind  baretls.HandshakeKind
		early baretls.EarlyDataStatus
	}
	const full, resumed = baretls.HandshakeFull, baretls.HandshakeResumed
	for _, c := range []struct {
		name   string
		change func(*baretls.ServerConfig)
		want   []outcome
	}{
		{"default guard, just begun", func(c *baretls.ServerConfig) { c.ReplayGuard = nil },
			[]outcome{{resumed, baretls.EarlyDataRejected}}},
		{"replay", func(c *baretls.ServerConfig) { c.ReplayGuard = longGuard{forgetful{}} },
			[]outcome{{resumed, baretls.EarlyDataRejected}}},
		{"ticket, twice", func(c *baretls.ServerConfig) {},
			[]outcome{{resumed, baretls.EarlyDataAccepted}, {resumed, baretls.EarlyDataAccepted}}},
		{"session in store, twice", func(c *baretls.ServerConfig) { c.SessionStore = baretls.NewSessionCache(0) },
			[]outcome{{resumed, baretls.EarlyDataAccepted}, {full, baretls.EarlyDataRejected}}},
		{"cookie", func(c *baretls.ServerConfig) { c.RetryCookieKey = cookieKey },
			[]outcome{{baretls.HandshakeResumedWithHelloRetryRequest, baretls.EarlyDataRejected}}},
		{"other group", func(c *baretls.ServerConfig) { c.Groups = []tls.CurveID{tls.CurveP384} },
			[]outcome{{baretls.HandshakeResumedWithHelloRetryRequest, baretls.EarlyDataRejected}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := plain()
			s.ourServer = func(config *baretls.ServerConfig) {
				acceptEarly(config)
				c.change(config)
			}
			early := payload(allowance)
			comeBack(t, s, early, len(c.want), func(i int, e *endpoint, p *process) {
				if err := e.handshake(); err != nil {
					t.Fatalf("handshake %d: %v", i, err)
				}
				expectKind(t, e, c.want[i].kind)
				expectEarly(t, e, c.want[i].early)
				accepted, answer := c.want[i].early == baretls.EarlyDataAccepted, `Early data was rejected`
				if accepted {
					answer = `Early data was accepted`
				}
				if taken := bytes.Equal(e.early, early); taken != accepted || !taken && len(e.early) > 0 {
					t.Errorf("%d bytes of early data came (accepted: %v)", len(e.early), accepted)
				}
				say(t, e, p, "and then")
				leave(t, e, p)
				p.said(answer)
			})
		})
	}
}

// gnutls-cli comes back with 0-RTT data.
func TestEarlyDataOfGnuTLS(t *testing.T) {
	for _, suite := range suites {
		t.Run(fmt.Sprintf("%#04x", suite), func(t *testing.T) {
			t.Parallel()
			early := payload(1000)
			file := filepath.Join(t.TempDir(), "early")
			must(0, os.WriteFile(file, early, 0o600))
			s := twice().with("--earlydata=" + file)
			s.suite = suite
			s.ourServer = acceptEarly
			meetClientAgain(t, peers[2], s, func(i int, e *endpoint) {
				if i == 0 {
					expectEarly(t, e, baretls.EarlyDataNotOffered)
					return
				}
				expectKind(t, e, baretls.HandshakeResumed)
				expectEarly(t, e, baretls.EarlyDataAccepted)
				if !bytes.Equal(e.early, early) {
					t.Errorf("%d bytes of early data came, and are not the %d that were sent", len(e.early), len(early))
				}
			})
		})
	}
}

// gnutls-serv takes our 0-RTT data. It does not say what it is, so its debugging
// output has to do: the length, content type included.
func TestEarlyDataToGnuTLS(t *testing.T) {
	for _, suite := range suites {
		for _, size := range []int{1, 1000, allowance} {
			t.Run(fmt.Sprintf("%#04x/%d", suite, size), func(t *testing.T) {
				t.Parallel()
				s := twice().with("--earlydata", fmt.Sprintf("--maxearlydata=%d", allowance), "--debug=5")
				s.suite = suite
				s.ourClient = func(c *baretls.ClientConfig) { c.EnableEarlyData = true }
				r := gnutlsServe(t, s)
				config := s.client()
				for i := range s.times {
					e := newClient(t, config, serverName, r.addr)
					e.earlyOut = payload(size)
					meet(t, e, r, s, true)
					expectEarly(t, e, []baretls.EarlyDataStatus{baretls.EarlyDataNotOffered, baretls.EarlyDataAccepted}[i])
				}
				r.said(fmt.Sprintf(`decrypted early data with length: %d, in epoch 1`, size))
				r.said(`END OF EARLY DATA`)
			})
		}
	}
}

// Our server skips the early data of gnutls-cli because of a possible replay.
func TestEarlyDataOfGnuTLSRejected(t *testing.T) {
	file := filepath.Join(t.TempDir(), "early")
	must(0, os.WriteFile(file, payload(1000), 0o600))
	s := twice().with("--earlydata=" + file)
	s.ourServer = func(c *baretls.ServerConfig) {
		acceptEarly(c)
		c.ReplayGuard = longGuard{forgetful{}}
	}
	meetClientAgain(t, peers[2], s, func(i int, e *endpoint) {
		expectKind(t, e, []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed}[i])
		expectEarly(t, e, []baretls.EarlyDataStatus{baretls.EarlyDataNotOffered, baretls.EarlyDataRejected}[i])
		if len(e.early) > 0 {
			t.Errorf("%d bytes of early data came, and were rejected", len(e.early))
		}
	})
}

// gnutls-serv cannot do a HelloRetryRequest when there is early data: not with
// its own client nor with that of OpenSSL. Our client hears of it.
func TestEarlyDataRetriedByGnuTLS(t *testing.T) {
	s := twice().with("--earlydata", fmt.Sprintf("--maxearlydata=%d", allowance))
	s.ours, s.theirs = []tls.CurveID{tls.X25519, tls.CurveP256}, []tls.CurveID{tls.CurveP256}
	s.ourClient = func(c *baretls.ClientConfig) { c.EnableEarlyData = true }
	r := gnutlsServe(t, s)
	config := s.client()
	meet(t, newClient(t, config, serverName, r.addr), r, s, true)
	e := newClient(t, config, serverName, r.addr)
	e.earlyOut = payload(1000)
	expectAlert(t, e.handshake(), badRecordMAC, true)
	expectEarly(t, e, baretls.EarlyDataRejected)
	r.failed(`Decryption has failed`)
}

// Our server writes before the client has finished the handshake: a greeting,
// and the answer to 0-RTT data.
func TestHalfRTTData(t *testing.T) {
	greet := func(t *testing.T, e *endpoint, greeting string) {
		t.Helper()
		if err := e.until(func() bool { _, err := e.writable(); return err == nil }); err != nil {
			t.Fatalf("up to the Finished of the server: %v", err)
		}
		if !e.conn.IsHandshaking() {
			t.Fatal("the handshake is complete, so this tests nothing")
		}
		if err := e.write([]byte(greeting)); err != nil {
			t.Fatalf("half-RTT data: %v", err)
		}
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
	}
	s := plain()
	s.ourServer = func(c *baretls.ServerConfig) {
		acceptEarly(c)
		c.SendHalfRTTData = true
	}
	t.Run("crypto-tls", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		got := make(chan string, 1)
		go func() {
			c, err := tls.Dial("tcp", l.Addr().String(), s.std())
			if err != nil {
				got <- err.Error()
				return
			}
			defer c.Close()
			line := make([]byte, len("welcome\n"))
			n, _ := c.Read(line)
			got <- string(line[:n])
		}()
		e := newServer(t, s.server(), l)
		greet(t, e, "welcome\n")
		if line := <-got; line != "welcome\n" {
			t.Errorf("crypto/tls got %q", line)
		}
		if err := closeSecond(e); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Run("openssl", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		p := opensslClient(t, s, l.Addr().String())
		e := newServer(t, s.server(), l)
		greet(t, e, "welcome\n")
		p.stdout.expect(t, "welcome\n")
		say(t, e, p, "thank you")
		leave(t, e, p)
	})
	t.Run("gnutls", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		p, _ := gnutlsClient(t, s, l.Addr().String())
		e := newServer(t, s.server(), l)
		greet(t, e, "welcome\n")
		p.stdout.expect(t, "welcome\n")
		say(t, e, p, "thank you")
		p.stdin.Close()
		if err := closeSecond(e); err != nil {
			t.Errorf("close: %v", err)
		}
		e.wire.Close()
		p.expectSuccess()
	})
	t.Run("openssl/answer to early data", func(t *testing.T) {
		t.Parallel()
		early := payload(1000)
		comeBack(t, s, early, 1, func(i int, e *endpoint, p *process) {
			e.sparing = true // what finishes the handshake is not to come along
			err := e.until(func() bool { return len(e.early) == len(early) })
			if err != nil {
				t.Fatalf("early data: %v", err)
			}
			greet(t, e, "got it\n")
			p.stdout.expect(t, "got it\n")
			expectEarly(t, e, baretls.EarlyDataAccepted)
			say(t, e, p, "thank you")
			leave(t, e, p)
		})
	})
}
