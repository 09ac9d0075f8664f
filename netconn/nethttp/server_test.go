package nethttp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
	"github.com/baretls/baretls/netconn/nethttp"
)

// dial is a client of crypto/tls that has agreed on a protocol.
func (s *site) dial(t *testing.T, protocol string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: s.roots, ServerName: "localhost", NextProtos: []string{protocol}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A client is held to the protocol that was agreed on: where HTTP/2 is not
// allowed, nobody gets it by asking without ALPN.
func TestGreetings(t *testing.T) {
	const http1, http2 = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	const settings, ping = "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong"
	for _, test := range []struct {
		name   string
		agreed string
		says   []string // in so many writes
		want   string   // in the answer
	}{
		{"HTTP/1.1", "http/1.1", []string{http1}, "HTTP/1.1 200 OK"},
		{"HTTP/1.1 in pieces", "http/1.1", []string{"G", http1[1:]}, "HTTP/1.1 200 OK"},
		{"a request that begins like HTTP/2's", "http/1.1", []string{"PRI", " / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"}, "HTTP/1.1 200 OK"},
		{"HTTP/2 where HTTP/1.1 is agreed on", "http/1.1", []string{http2 + settings + ping}, "400 Bad Request"},
		{"HTTP/2 where HTTP/1.1 is agreed on, in pieces", "http/1.1", []string{http2[:1], http2[1:20], http2[20:], settings + ping}, "400 Bad Request"},
		{"HTTP/1.1 where HTTP/2 is agreed on", "h2", []string{http1}, "400 Bad Request"},
		{"HTTP/1.1 where HTTP/2 is agreed on, in pieces", "h2", []string{"G", http1[1:]}, "400 Bad Request"},
		{"HTTP/2", "h2", []string{http2 + settings + ping}, "pingpong"},
		{"HTTP/2 in pieces", "h2", []string{http2[:5], http2[5:], settings + ping}, "pingpong"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, &http.Server{Handler: http.HandlerFunc(facts), IdleTimeout: patience}, serverConfig(nethttp.Protocols()...))
			conn := s.dial(t, test.agreed)
			for _, text := range test.says {
				if _, err := io.WriteString(conn, text); err != nil {
					break // the server has seen enough
				}
			}
			answer, buf := "", make([]byte, 1<<10)
			for n, err := 0, error(nil); err == nil && !strings.Contains(answer, test.want); answer += string(buf[:n]) {
				n, err = conn.Read(buf)
			}
			if !strings.Contains(answer, test.want) {
				t.Errorf("the answer is %q, want one with %q", answer, test.want)
			}
		})
	}
}

// A handler can take the connection, and the client gets it too.
func TestHijack(t *testing.T) {
	s := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		defer conn.Close()
		if _, ours := conn.(*nethttp.Conn); !ours {
			t.Errorf("the connection is a %T, want a *nethttp.Conn", conn)
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, err := buffered.ReadString('\n')
		if err != nil {
			t.Errorf("the client's first line: %v", err)
		}
		io.WriteString(conn, strings.ToUpper(line))
		conn.(*nethttp.Conn).CloseWrite()
	})}, serverConfig("http/1.1"))
	r, _ := http.NewRequest(http.MethodGet, s.url, nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	response, err := s.transport(t, "http/1.1").RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	conn, ok := response.Body.(io.ReadWriter)
	if response.StatusCode != http.StatusSwitchingProtocols || !ok {
		t.Fatalf("the response is %s and its body a %T, want 101 and a connection", response.Status, response.Body)
	}
	io.WriteString(conn, "hello\n")
	if answer, err := io.ReadAll(conn); string(answer) != "HELLO\n" || err != nil {
		t.Errorf("the answer is %q, %v", answer, err)
	}
}

// Files are served as a whole, in ranges, and to several clients at once.
func TestFiles(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	eachProtocol(t, http.FileServer(http.Dir(dir)).ServeHTTP, func(t *testing.T, s *site, client *http.Client) {
		if _, text := fetch(t, client.Transport, s.url+"/big", nil); text != string(big) {
			t.Errorf("the file has %d bytes, and comes with %d", len(big), len(text))
		}
		r, _ := http.NewRequest(http.MethodGet, s.url+"/big", nil)
		r.Header.Set("Range", "bytes=100000-300000")
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if part, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(part, big[100000:300001]) {
			t.Errorf("a range of 200001 bytes comes as %s with %d: %v", response.Status, len(part), err)
		}
	})
}

// Close ends what is being answered, and the client knows that something is missing.
func TestCloseCutsAnswersOff(t *testing.T) {
	half := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	eachProtocol(t, half, func(t *testing.T, s *site, client *http.Client) {
		response, err := client.Get(s.url)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if _, err := io.ReadFull(response.Body, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		s.server.Close()
		if rest, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("an answer that was cut off ends well, with %q", rest)
		}
	})
}

// What is wrong with the config or the address is said at once, and the
// listener is closed.
func TestErrorsOfServe(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wrong *baretls.ConfigError
	if err := nethttp.Serve(new(http.Server), listener, new(baretls.ServerConfig)); !errors.As(err, &wrong) {
		t.Errorf("without certificates the error is %v, want a *baretls.ConfigError", err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener's next error is %v, want net.ErrClosed", err)
	}
	var op *net.OpError
	if err := nethttp.ListenAndServe(&http.Server{Addr: "127.0.0.1:-1"}, serverConfig()); !errors.As(err, &op) {
		t.Errorf("for a port that cannot be the error is %v, want a *net.OpError", err)
	}
}

// knowing is a register of replays that need not wait.
type knowing struct{ baretls.ReplayGuard }

func (knowing) Since() time.Time { return time.Time{} }

// A request that comes as 0-RTT data is handled before the end of the handshake
// if the server wants that, and known as one that may be a replay. Otherwise it
// waits.
func TestEarlyRequests(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprintf("allowed %v", early), func(t *testing.T) {
			config := serverConfig("http/1.1")
			config.MaxEarlyData, config.SendHalfRTTData = 16384, true
			config.ReplayGuard = knowing{baretls.NewReplayGuard(0)}
			server := &http.Server{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprintf(w, "%s, complete: %v", r.Method, r.TLS.HandshakeComplete)
				}),
				ReadHeaderTimeout: patience,
			}
			if early {
				server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
					conn.(*nethttp.Conn).AllowEarlyRequests()
					return ctx
				}
			}
			s := serve(t, server, config)
			client := &baretls.ClientConfig{RootCAs: s.roots, NextProtos: []string{"http/1.1"}, EnableEarlyData: true}
			const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
			for i, want := range []baretls.EarlyDataStatus{baretls.EarlyDataNotOffered, baretls.EarlyDataAccepted} {
				socket, err := net.Dial("tcp", s.address)
				if err != nil {
					t.Fatal(err)
				}
				conn, err := netconn.Client(socket, client, "localhost")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				status, err := conn.HandshakeEarly(t.Context(), []byte(request))
				if status != want || err != nil {
					t.Fatalf("early data is %v, %v; want %v", status, err, want)
				}
				from := bufio.NewReader(conn)
				answers := []string{fmt.Sprintf("GET, complete: %v", !early), "GET, complete: true"}
				if i == 0 {
					answers[0] = answers[1]
					io.WriteString(conn, request)
				}
				for j, want := range answers {
					if j > 0 {
						io.WriteString(conn, request)
					}
					response, err := http.ReadResponse(from, nil)
					if err != nil {
						t.Fatal(err)
					}
					if text, err := io.ReadAll(response.Body); string(text) != want || err != nil {
						t.Errorf("request %d of connection %d is answered by %q, %v; want %q", j, i, text, err, want)
					}
				}
			}
			if s.log.String() != "" {
				t.Errorf("the server complains: %s", s.log)
			}
		})
	}
}

// Requests over HTTP/2 can be early, too: here one that was written by hand.
func TestEarlyRequestsOverHTTP2(t *testing.T) {
	config := serverConfig("h2")
	config.MaxEarlyData, config.SendHalfRTTData = 16384, true
	config.ReplayGuard = knowing{baretls.NewReplayGuard(0)}
	seen := make(chan bool)
	s := serve(t, &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen <- r.TLS.HandshakeComplete }),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			conn.(*nethttp.Conn).AllowEarlyRequests()
			return ctx
		},
	}, config)
	client := &baretls.ClientConfig{RootCAs: s.roots, NextProtos: []string{"h2"}, EnableEarlyData: true}
	greeting := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	// Headers that end the stream: GET, https, / and :authority (RFC 7541, Appendix A).
	request := func(stream byte) string {
		return "\x00\x00\x0e\x01\x05\x00\x00\x00" + string(rune(stream)) + "\x82\x87\x84\x41\x09localhost"
	}
	for i, want := range []baretls.EarlyDataStatus{baretls.EarlyDataNotOffered, baretls.EarlyDataAccepted} {
		socket, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		held := &heldConn{Conn: socket, release: make(chan struct{})}
		conn, err := netconn.Client(held, client, "localhost")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		done := make(chan struct{})
		if i == 0 {
			close(held.release)
		}
		go func() {
			defer close(done)
			if status, err := conn.HandshakeEarly(t.Context(), []byte(greeting+request(1))); status != want || err != nil {
				t.Errorf("early data is %v, %v; want %v", status, err, want)
			}
			if i == 0 {
				io.WriteString(conn, greeting+request(1))
			}
		}()
		if complete := <-seen; complete != (i == 0) {
			t.Errorf("on connection %d the handshake is complete for the first request: %v", i, complete)
		}
		if i == 1 {
			close(held.release)
		}
		<-done
		io.WriteString(conn, request(3))
		if complete := <-seen; !complete {
			t.Errorf("on connection %d the handshake is not complete for the second request", i)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // there are tickets in front
			t.Error(err)
		}
	}
}

// heldConn sends nothing but the first flight before it is released.
type heldConn struct {
	net.Conn
	release chan struct{}
	writes  int
}

func (c *heldConn) Write(p []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		<-c.release
	}
	return c.Conn.Write(p)
}

// A server that allows early requests has the same deadline for handshakes, logs
// their failures, and answers plain HTTP.
func TestHandshakesThatMayBeEarly(t *testing.T) {
	for _, test := range []struct {
		name     string
		patience time.Duration
		says     string
		answer   string
		log      string
	}{
		{"plain HTTP", patience, "GET / HTTP/1.1\r\n\r\n", "Client sent an HTTP request to an HTTPS server.", "does not speak TLS"},
		{"something else", patience, "HELO example.com\r\n", "", "does not speak TLS"},
		{"nothing", 50 * time.Millisecond, "", "", "closed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, &http.Server{
				Handler:      http.HandlerFunc(facts),
				WriteTimeout: test.patience,
				ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
					conn.(*nethttp.Conn).AllowEarlyRequests()
					return ctx
				},
			}, serverConfig(nethttp.Protocols()...))
			conn, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, test.says)
			if answer, err := io.ReadAll(conn); !strings.Contains(string(answer), test.answer) || err != nil {
				t.Errorf("%q is answered by %q, %v; want %q", test.says, answer, err, test.answer)
			}
			s.server.Shutdown(t.Context())
			if !strings.Contains(s.log.String(), test.log) {
				t.Errorf("the log is %q, and says nothing of %q", s.log, test.log)
			}
		})
	}
}
