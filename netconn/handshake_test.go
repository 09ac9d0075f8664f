package netconn_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
)

// Whoever reads or writes first does the handshake, on either side, and nobody
// waits for a Read that goes on to wait for data.
func TestReadAndWriteDoTheHandshake(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := pair(t, version)
		var all sync.WaitGroup
		for _, conn := range []net.Conn{c, s} {
			for range 3 {
				all.Go(func() {
					if err := read(conn); err != nil {
						t.Errorf("a Read before the handshake should wait for data, but: %v", err)
					}
				})
				all.Go(func() {
					if err := write(conn); err != nil {
						t.Errorf("a Write before the handshake should do it, but: %v", err)
					}
				})
			}
		}
		all.Wait()
	})
}

// A client that speaks HTTP is told so in its own words, if there is nobody
// else to do it.
func TestPlainHTTPIsAnswered(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		for name, call := range map[string]func(*netconn.Conn) error{
			"Read":    func(s *netconn.Conn) error { return read(s) },
			"WriteTo": func(s *netconn.Conn) error { return second(s.WriteTo(io.Discard)) },
			"Write":   func(s *netconn.Conn) error { return write(s) },
		} {
			t.Run(name, func(t *testing.T) {
				socket, s := httpClient(t)
				err := call(s)
				notTLS, ok := errors.AsType[tls.RecordHeaderError](err)
				if !ok || notTLS.Conn != s.NetConn() || string(notTLS.RecordHeader[:]) != "GET /" {
					t.Errorf("the error should be a tls.RecordHeaderError with its Conn, but is %v", err)
				}
				if again := call(s); again != err {
					t.Errorf("the error should stay, but is %v", again)
				}
				s.Close()
				const want = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
				if got, err := io.ReadAll(socket); string(got) != want || err != nil {
					t.Errorf("the client should be answered %q, but got %q, %v", want, got, err)
				}
			})
		}
	})
}

// Who calls Handshake has the connection to answer on, and nothing on it yet.
func TestPlainHTTPIsLeftToTheCaller(t *testing.T) {
	leavesNothing(t)
	socket, s := httpClient(t)
	notTLS, ok := errors.AsType[tls.RecordHeaderError](s.Handshake())
	if !ok {
		t.Fatal("the error should be a tls.RecordHeaderError, but is not")
	}
	io.WriteString(notTLS.Conn, "use https")
	s.Close()
	if got, err := io.ReadAll(socket); string(got) != "use https" || err != nil {
		t.Errorf("the client should get what the caller answers, but got %q, %v", got, err)
	}
}

func httpClient(t *testing.T) (net.Conn, *netconn.Conn) {
	a, b := sockets(t, "tcp")
	s, err := netconn.Server(b, serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); s.Close() })
	io.WriteString(a, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"+strings.Repeat("and more\r\n", 10_000))
	return a, s
}

// Whoever speaks something else is told by an alert.
func TestOtherProtocolsGetAnAlert(t *testing.T) {
	leavesNothing(t)
	a, b := sockets(t, "tcp")
	s, err := netconn.Server(b, serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(a, "EHLO example.com\r\n")
	if _, ok := errors.AsType[tls.RecordHeaderError](read(s)); !ok {
		t.Error("the error should be a tls.RecordHeaderError, but is not")
	}
	s.Close()
	if got, err := io.ReadAll(a); len(got) != 7 || got[0] != 21 || err != nil {
		t.Errorf("an alert should be sent, but %x, %v was", got, err)
	}
	a.Close()
}

func TestDialAndListen(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		listener, err := netconn.Listen("tcp", "127.0.0.1:0", serverConfig())
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			for {
				conn, err := listener.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				all.Go(func() { io.Copy(conn, conn); conn.Close() })
			}
		})
		address := listener.Addr().String()
		config := clientConfig(version)
		echo := func(conn net.Conn, err error) *netconn.Conn {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			send(t, conn, conn, "there and back")
			conn.Close()
			return conn.(*netconn.Conn)
		}
		conn, err := netconn.Dial("tcp", address, config)
		echo(conn, err)
		for range 2 {
			d := netconn.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config, ServerName: "localhost"}
			second := echo(d.Dial("tcp", address))
			if name := second.ConnectionState().ServerName; name != "localhost" {
				t.Errorf("the Dialer's server name should be used, but %q was", name)
			}
		}

		d := netconn.Dialer{Config: config, ServerName: "elsewhere.example.org"}
		if conn, err := d.Dial("tcp", address); conn != nil || !isFailure(err) {
			t.Errorf("a server with a certificate for another name should be refused, but Dial returned %v, %v", conn, err)
		}
		if conn, err := netconn.Dial("tcp", address, nil); conn != nil || !isFailure(err) {
			t.Errorf("a server that the system does not trust should be refused, but Dial returned %v, %v", conn, err)
		}
		listener.Close()
		all.Wait()
		if conn, err := d.Dial("tcp", address); conn != nil || err == nil {
			t.Errorf("Dial to nobody returned %v, %v", conn, err)
		}
		if _, err := netconn.Dial("tcp", "no port", config); err == nil {
			t.Error("Dial to an address without a port has no error")
		}
	})
}

// A second connection resumes the first one's session, with what the server has
// put into it.
func TestResumption(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		client, server := clientConfig(version), serverConfig()
		for _, want := range []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed} {
			a, b := sockets(t, "tcp")
			c, s := over(t, a, b, client, server)
			if err := s.SetResumptionData([]byte("remember")); err != nil {
				t.Error(err)
			}
			handshake(t, c, s)
			send(t, s, c, "tickets come before this")
			if got := c.TLS().HandshakeKind(); got != want {
				t.Errorf("the handshake should be %v, but is %v", want, got)
			}
			if got := string(s.ResumptionData()); (got == "remember") != (want == baretls.HandshakeResumed) {
				t.Errorf("after a handshake that is %v the data of the session is %q", want, got)
			}
			if err := s.SetResumptionData(nil); !errors.Is(err, baretls.ErrStaleState) {
				t.Errorf("SetResumptionData after the handshake should be ErrStaleState, but is %v", err)
			}
			if err := c.SetResumptionData(nil); !errors.Is(err, errors.ErrUnsupported) || c.ResumptionData() != nil {
				t.Errorf("a client has no resumption data, but: %v", err)
			}
		}
	})
}

// earlyPair is a client with a session that allows 0-RTT data, and a server.
func earlyPair(t *testing.T, halfRTT bool) (c, s *netconn.Conn) {
	client, server := clientConfig(tls.VersionTLS13), serverConfig()
	client.EnableEarlyData = true
	server.MaxEarlyData = 1000
	server.ReplayGuard = fresh{}
	server.SendHalfRTTData = halfRTT
	a, b := sockets(t, "tcp")
	c, s = over(t, a, b, client, server)
	handshake(t, c, s)
	send(t, s, c, "a ticket comes before this")
	a, b = sockets(t, "tcp")
	return over(t, a, b, client, server)
}

// fresh has never seen anything.
type fresh struct{}

func (fresh) Fresh([32]byte, time.Time) (bool, error) { return true, nil }
func (fresh) Since() time.Time                        { return time.Time{} }

// Without AllowEarlyReads nothing is read before the client is known to be there.
func TestEarlyDataIsKeptBack(t *testing.T) {
	leavesNothing(t)
	c, s := earlyPair(t, false)
	var all sync.WaitGroup
	all.Go(func() {
		status, err := c.HandshakeEarly(context.Background(), []byte("early bird"))
		if status != baretls.EarlyDataAccepted || err != nil {
			t.Errorf("early data should be accepted, but is %v, %v", status, err)
		}
		io.WriteString(c, " and more")
		c.CloseWrite()
	})
	got := make([]byte, 5)
	if _, err := io.ReadFull(s, got); string(got) != "early" || err != nil || s.ReadEarly() || s.TLS() == nil {
		t.Errorf("early data should be read when the handshake is complete, but %q was, %v, early is %v", got, err, s.ReadEarly())
	}
	if rest, err := io.ReadAll(reader{s}); string(rest) != " bird and more" || err != nil {
		t.Errorf("the rest should be read, but %q was, %v", rest, err)
	}
	all.Wait()
	if s.TLS().EarlyData() != baretls.EarlyDataAccepted {
		t.Errorf("the server should know of early data, but says %v", s.TLS().EarlyData())
	}
}

// With it, a request is read and answered before the client's Finished; and
// the end of the answer is one.
func TestEarlyDataIsAnsweredEarly(t *testing.T) {
	leavesNothing(t)
	c, s := earlyPair(t, true)
	s.AllowEarlyReads()
	var all sync.WaitGroup
	all.Go(func() {
		got := make([]byte, 100)
		n, err := s.Read(got)
		if string(got[:n]) != "ping" || err != nil || !s.ReadEarly() {
			t.Errorf("early data should be read early, but %q was, %v, early is %v", got[:n], err, s.ReadEarly())
		}
		if n, err := io.WriteString(s, "pong"); n != 4 || err != nil {
			t.Errorf("it should be answered, but Write returned %d, %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close should wait for the client's Finished, but: %v", err)
		}
	})
	if status, err := c.HandshakeEarly(context.Background(), []byte("ping")); status != baretls.EarlyDataAccepted || err != nil {
		t.Errorf("early data should be accepted, but is %v, %v", status, err)
	}
	if got, err := io.ReadAll(c); string(got) != "pong" || err != nil {
		t.Errorf("the answer and its end should be read, but %q was, %v", got, err)
	}
	all.Wait()
}

// A server that answers before the handshake is complete, and reads already.
func TestEarlyAnswersBesideARead(t *testing.T) {
	leavesNothing(t)
	client, server := clientConfig(tls.VersionTLS13), serverConfig()
	client.EnableEarlyData = true
	server.MaxEarlyData, server.SendHalfRTTData = 1000, true
	server.ReplayGuard = fresh{}
	a, b := sockets(t, "tcp")
	c, s := over(t, a, b, client, server)
	handshake(t, c, s)
	send(t, s, c, "a ticket comes before this")

	a, b = sockets(t, "tcp")
	held := &heldConn{Conn: a, release: make(chan struct{})}
	c, s = over(t, held, b, client, server)
	s.AllowEarlyReads()
	const answers = 50
	var all sync.WaitGroup
	all.Go(func() {
		if status, err := c.HandshakeEarly(context.Background(), []byte("ping")); status != baretls.EarlyDataAccepted || err != nil {
			t.Errorf("early data should be accepted, but is %v, %v", status, err)
		}
		io.WriteString(c, "and more")
		if got, err := io.ReadAll(c); string(got) != strings.Repeat("pong", answers) || err != nil {
			t.Errorf("%d answers should be read, but %q was, %v", answers, got, err)
		}
	})
	if _, err := io.ReadFull(s, make([]byte, 4)); err != nil || !s.ReadEarly() {
		t.Errorf("early data should be read early, but: %v, early is %v", err, s.ReadEarly())
	}
	all.Go(func() {
		got := make([]byte, 8)
		if _, err := io.ReadFull(s, got); string(got) != "and more" || err != nil {
			t.Errorf("the rest should be read, but %q was, %v", got, err)
		}
		s.Close()
	})
	for range answers {
		if _, err := io.WriteString(s, "pong"); err != nil {
			t.Errorf("early data should be answered, but: %v", err)
		}
	}
	if s.TLS() != nil {
		t.Error("all this should come before the client's Finished, which is held up")
	}
	close(held.release)
	all.Wait()
}

// heldConn sends nothing but the first flight before it is released.
type heldConn struct {
	net.Conn
	release chan struct{}
	flights int
}

func (c *heldConn) Write(p []byte) (int, error) {
	if c.flights++; c.flights > 1 {
		<-c.release
	}
	return c.Conn.Write(p)
}

func TestEarlyDataThatIsNotTaken(t *testing.T) {
	t.Run("without a session", func(t *testing.T) {
		leavesNothing(t)
		c, s := pair(t, tls.VersionTLS13)
		earlyThenLate(t, c, s, "too early", baretls.EarlyDataNotOffered)
	})
	t.Run("in TLS 1.2", func(t *testing.T) {
		leavesNothing(t)
		c, s := pair(t, tls.VersionTLS12)
		earlyThenLate(t, c, s, "too early", baretls.EarlyDataNotOffered)
	})
	t.Run("more than the session allows", func(t *testing.T) {
		leavesNothing(t)
		c, s := earlyPair(t, false)
		earlyThenLate(t, c, s, strings.Repeat("long", 251), baretls.EarlyDataNotOffered)
	})
	t.Run("after the handshake", func(t *testing.T) {
		leavesNothing(t)
		c, s := earlyPair(t, false)
		handshake(t, c, s)
		earlyThenLate(t, c, s, "late", baretls.EarlyDataNotOffered)
	})
}

func earlyThenLate(t *testing.T, c, s *netconn.Conn, text string, want baretls.EarlyDataStatus) {
	t.Helper()
	var all sync.WaitGroup
	all.Go(func() { s.Handshake() })
	if status, err := c.HandshakeEarly(context.Background(), []byte(text)); status != want || err != nil {
		t.Errorf("early data should be %v, but is %v, %v", want, status, err)
	}
	all.Wait()
	send(t, c, s, text)
}

func TestEarlyDataThatIsRejected(t *testing.T) {
	leavesNothing(t)
	client, server := clientConfig(tls.VersionTLS13), serverConfig()
	client.EnableEarlyData = true
	server.MaxEarlyData = 1000 // but the guard has just begun, and knows no past
	for range 2 {
		a, b := sockets(t, "tcp")
		c, s := over(t, a, b, client, server)
		status, err := baretls.EarlyDataNotOffered, error(nil)
		var all sync.WaitGroup
		all.Go(func() { status, err = c.HandshakeEarly(context.Background(), []byte("rejected")) })
		if err := s.Handshake(); err != nil {
			t.Error(err)
		}
		all.Wait()
		resumed := c.TLS().HandshakeKind() == baretls.HandshakeResumed
		if err != nil || (status == baretls.EarlyDataRejected) != resumed {
			t.Errorf("in a handshake that is %v early data is %v, %v", c.TLS().HandshakeKind(), status, err)
		}
		send(t, c, s, "rejected, and so sent again")
		send(t, s, c, "a ticket comes before this")
	}
}

func TestConfigsAreCheckedAtOnce(t *testing.T) {
	leavesNothing(t)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	asking := serverConfig()
	asking.Ask = baretls.AskClientHello
	for field, config := range map[string]*baretls.ServerConfig{
		"ServerConfig": nil,
		"Certificates": {},
		"Ask":          asking,
	} {
		for call, err := range map[string]error{
			"Server":      second(netconn.Server(b, config)),
			"Listen":      second(netconn.Listen("tcp", "127.0.0.1:0", config)),
			"NewListener": second(netconn.NewListener(nil, config)),
		} {
			if wrong, ok := errors.AsType[*baretls.ConfigError](err); !ok || wrong.Field != field {
				t.Errorf("%s should be a ConfigError about %s, but is %v", call, field, err)
			}
		}
	}
	for field, config := range map[string]*baretls.ClientConfig{
		"ClientConfig": nil,
		"MinVersion":   {MinVersion: tls.VersionTLS10},
		"Ask":          {Ask: baretls.AskPeerCertificate},
	} {
		if wrong, ok := errors.AsType[*baretls.ConfigError](second(netconn.Client(a, config, "example.com"))); !ok || wrong.Field != field {
			t.Errorf("Client should be a ConfigError about %s, but is about %v", field, wrong)
		}
	}
	if _, err := netconn.Client(a, clientConfig(0), ""); err == nil {
		t.Error("a client without the server's name has no error")
	}
}

// A Dialer's patience is for all of it, also for a server that says nothing.
func TestDialersLosePatience(t *testing.T) {
	leavesNothing(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, dialer := range map[string]*net.Dialer{
		"Timeout":  {Timeout: 20 * time.Millisecond},
		"Deadline": {Deadline: time.Now().Add(20 * time.Millisecond)},
	} {
		d := netconn.Dialer{NetDialer: dialer, Config: clientConfig(0)}
		if _, err := d.Dial("tcp", listener.Addr().String()); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s should end the handshake, but the error is %v", name, err)
		}
	}
}

// A client that has only written leaves the server's tickets unread; still all
// of it arrives, for Close waits for the server's end.
func TestWhoHasOnlyWrittenLosesNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := pair(t, version)
		data := pattern(1 << 20)
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := c.Write(data); err != nil {
				t.Error(err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		got, err := io.ReadAll(s)
		if len(got) != len(data) || err != nil {
			t.Errorf("all %d bytes should arrive and an end, but %d did, %v", len(data), len(got), err)
		}
		s.Close()
		all.Wait()
	})
}
