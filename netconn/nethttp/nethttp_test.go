package nethttp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/netconn/nethttp"
)

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mutex sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.Buffer.String()
}

// site is a server for the tests.
type site struct {
	address string
	url     string
	roots   *x509.CertPool
	log     *syncBuffer
	server  *http.Server
}

func serverConfig(protocols ...string) *baretls.ServerConfig {
	return &baretls.ServerConfig{
		Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
		NextProtos:   protocols,
	}
}

// leavesNothing makes sure that no goroutine goes on at the end of a test.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for begin := time.Now(); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Since(begin) > patience {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				t.Errorf("there were %d goroutines before the test, and are %d after it:\n%s", before, runtime.NumGoroutine(), stacks)
				return
			}
		}
	})
}

// patience is for what should happen at once, and a sign of a failure if not.
const patience = 30 * time.Second

// serve starts a server that is closed at the end of the test, and awaited;
// nothing must be left then.
func serve(t *testing.T, server *http.Server, config *baretls.ServerConfig) *site {
	t.Helper()
	leavesNothing(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	roots, _ := tlstest.CA()
	s := &site{address: listener.Addr().String(), roots: roots, log: new(syncBuffer), server: server}
	_, port, _ := net.SplitHostPort(s.address)
	s.url = "https://localhost:" + port
	server.ErrorLog = log.New(s.log, "", 0)
	ended := make(chan error, 1)
	go func() { ended <- nethttp.Serve(server, listener, config) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("Serve returns %v, want http.ErrServerClosed", err)
		}
	})
	return s
}

// transport is a client of ours that speaks these protocols.
func (s *site) transport(t *testing.T, protocols ...string) *nethttp.Transport {
	tr := &nethttp.Transport{Config: &baretls.ClientConfig{RootCAs: s.roots, NextProtos: protocols}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// std is a client of net/http itself, with crypto/tls.
func (s *site) std(t *testing.T, http2 bool) *http.Transport {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, ForceAttemptHTTP2: http2}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// facts answers with what the server knows about the request.
func facts(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	conn := nethttp.RequestConn(r)
	fmt.Fprintf(w, "%s %s %d bytes, TLS %x %q, known %t, scheme-less %t", r.Proto, r.Method, len(body),
		r.TLS.Version, r.TLS.NegotiatedProtocol, conn != nil && conn.ConnectionState().HandshakeComplete, r.URL.Scheme == "")
}

func fetch(t *testing.T, transport http.RoundTripper, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("body of %s: %v", url, err)
	}
	return response, string(text)
}

// Who speaks which protocol with whom, over which version of TLS.
func TestProtocols(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, row := range []struct {
			name           string
			server, client []string
			want           string
		}{
			{"both have HTTP/2", nethttp.Protocols(), nethttp.Protocols(), "HTTP/2.0"},
			{"the server has HTTP/1.1 alone", []string{"http/1.1"}, nethttp.Protocols(), "HTTP/1.1"},
			{"the client has HTTP/1.1 alone", nethttp.Protocols(), []string{"http/1.1"}, "HTTP/1.1"},
			{"the client has no ALPN", nethttp.Protocols(), nil, "HTTP/1.1"},
			{"the server has no ALPN", nil, nethttp.Protocols(), "HTTP/1.1"},
		} {
			t.Run(fmt.Sprintf("%s, %s", tls.VersionName(version), row.name), func(t *testing.T) {
				config := serverConfig(row.server...)
				config.MaxVersion = version
				s := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, config)
				negotiated := map[string]string{"HTTP/2.0": "h2", "HTTP/1.1": "http/1.1"}[row.want]
				if row.client == nil || row.server == nil {
					negotiated = ""
				}
				check := func(who string, response *http.Response, text, want string) {
					t.Helper()
					if response.Proto != row.want || text != want {
						t.Errorf("%s gets %s and %q, want %s and %q", who, response.Proto, text, row.want, want)
					}
					if response.TLS == nil || response.TLS.Version != version || response.TLS.NegotiatedProtocol != negotiated || !response.TLS.HandshakeComplete {
						t.Errorf("%s: Response.TLS is %+v, want version %x and protocol %q", who, response.TLS, version, negotiated)
					}
				}
				said := func(method string, n int) string {
					return fmt.Sprintf("%s %s %d bytes, TLS %x %q, known true, scheme-less true", row.want, method, n, version, negotiated)
				}
				ours := s.transport(t, row.client...)
				for range 3 { // the second and third are on the same connection
					response, text := fetch(t, ours, s.url, nil)
					check("our client", response, text, said("GET", 0))
				}
				big := strings.Repeat("0123456789abcdef", 1<<16)
				response, text := fetch(t, ours, s.url, strings.NewReader(big))
				check("our client that posts", response, text, said("POST", len(big)))
				if row.client != nil && row.server != nil {
					response, text := fetch(t, s.std(t, len(row.client) == 2), s.url, nil)
					if len(row.client) == 1 {
						negotiated = "" // crypto/tls does not offer HTTP/1.1 alone
					}
					check("the client of crypto/tls", response, text, said("GET", 0))
				}
				if s.log.String() != "" {
					t.Errorf("the server complains: %s", s.log)
				}
			})
		}
	}
}

// Many requests at once, and the server is asked for its protocol once.
func TestRequestsAtOnce(t *testing.T) {
	var mutex sync.Mutex
	remotes := map[string]int{}
	s := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		remotes[r.RemoteAddr]++
		mutex.Unlock()
		facts(w, r)
	})}, serverConfig(nethttp.Protocols()...))
	transport := s.transport(t, nethttp.Protocols()...)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { fetch(t, transport, s.url, nil) })
	}
	all.Wait()
	if len(remotes) > 3 {
		t.Errorf("50 requests over HTTP/2 came on %d connections", len(remotes))
	}
}

// A server that has spoken HTTP/2 and now has HTTP/1.1 alone, and back.
func TestServerChangesItsProtocol(t *testing.T) {
	h2 := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, serverConfig(nethttp.Protocols()...))
	h1 := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, serverConfig("http/1.1"))
	to := h2.address
	transport := &nethttp.Transport{
		Config: &baretls.ClientConfig{RootCAs: h2.roots, NextProtos: nethttp.Protocols()},
		Base: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, to)
		}},
	}
	defer transport.CloseIdleConnections()
	for _, step := range []struct {
		to   *site
		want string
	}{{h2, "HTTP/2.0"}, {h1, "HTTP/1.1"}, {h2, "HTTP/2.0"}} {
		to = step.to.address
		for range 2 {
			response, text := fetch(t, transport, "https://example.com/", strings.NewReader("four"))
			if response.Proto != step.want || !strings.Contains(text, "POST 4 bytes") {
				t.Errorf("the response is %s %q, want %s to a POST of 4 bytes", response.Proto, text, step.want)
			}
		}
		transport.CloseIdleConnections()
	}
}

func TestErrorsOfRoundTrip(t *testing.T) {
	s := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, serverConfig(nethttp.Protocols()...))
	get := func(transport http.RoundTripper, url string) error {
		response, err := (&http.Client{Transport: transport}).Get(url)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	t.Run("unknown authority", func(t *testing.T) {
		transport := &nethttp.Transport{Config: &baretls.ClientConfig{RootCAs: x509.NewCertPool()}}
		var unknown x509.UnknownAuthorityError
		if err := get(transport, s.url); !errors.As(err, &unknown) {
			t.Errorf("the error is %v, want an x509.UnknownAuthorityError", err)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		var op *net.OpError
		if err := get(s.transport(t), "https://"+listener.Addr().String()); !errors.As(err, &op) {
			t.Errorf("the error is %v, want a *net.OpError", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
		if _, err := s.transport(t).RoundTrip(r); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v, want context.Canceled", err)
		}
	})
	t.Run("bad config", func(t *testing.T) {
		var wrong *baretls.ConfigError
		if err := get(&nethttp.Transport{Config: &baretls.ClientConfig{MaxFragmentSize: 1}}, s.url); !errors.As(err, &wrong) {
			t.Errorf("the error is %v, want a *baretls.ConfigError", err)
		}
	})
}

// http URLs stay what they are.
func TestPlainURL(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS == nil) })}
	go server.Serve(listener)
	defer server.Close()
	transport := new(nethttp.Transport)
	defer transport.CloseIdleConnections()
	if response, text := fetch(t, transport, "http://"+listener.Addr().String(), nil); text != "true" || response.TLS != nil {
		t.Errorf("the response is %q with TLS %v, want one without", text, response.TLS)
	}
}

// Who speaks no TLS is told so, as net/http does, and a handshake that fails is
// logged.
func TestFailuresAreLogged(t *testing.T) {
	s := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, serverConfig(nethttp.Protocols()...))
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + s.address)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest || string(text) != "Client sent an HTTP request to an HTTPS server.\n" {
		t.Errorf("plain HTTP is answered by %d %q", response.StatusCode, text)
	}
	conn, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"})
	if err == nil {
		conn.Close()
		t.Fatal("a client without roots trusts the server")
	}
	s.server.Shutdown(context.Background()) // waits for both connections
	for _, want := range []string{"does not speak TLS", "bad certificate"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log is %q, and says nothing of %q", s.log, want)
		}
	}
}

// A client that does not go on with the handshake is not waited for.
func TestHandshakeHasADeadline(t *testing.T) {
	server := &http.Server{Handler: http.HandlerFunc(facts), ReadHeaderTimeout: 50 * time.Millisecond, WriteTimeout: time.Hour}
	s := serve(t, server, serverConfig(nethttp.Protocols()...))
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the server ends a connection without a handshake by %v, want its end", err)
	}
}

// Shutdown waits for what is being answered, over both protocols.
func TestShutdown(t *testing.T) {
	for _, protocols := range [][]string{{"http/1.1"}, nethttp.Protocols()} {
		t.Run(protocols[0], func(t *testing.T) {
			entered, leave := make(chan bool), make(chan bool)
			s := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				entered <- true
				<-leave
				facts(w, r)
			})}, serverConfig(protocols...))
			transport := s.transport(t, protocols...)
			answered := make(chan string)
			go func() {
				_, text := fetch(t, transport, s.url, nil)
				answered <- text
			}()
			<-entered
			done := make(chan error)
			go func() { done <- s.server.Shutdown(context.Background()) }()
			close(leave)
			if text := <-answered; !strings.Contains(text, "GET 0 bytes") {
				t.Errorf("the request in hand is answered by %q", text)
			}
			transport.CloseIdleConnections()
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

// Serve leaves the user's handler and context as they were.
func TestServeWrapsOnce(t *testing.T) {
	type key struct{}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, ours := r.Context().Value(key{}).(*nethttp.Conn)
			fmt.Fprint(w, ours, r.TLS.HandshakeComplete)
		}),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, key{}, conn)
		},
	}
	first := serve(t, server, serverConfig(nethttp.Protocols()...))
	second := serve(t, server, serverConfig("http/1.1"))
	for _, s := range []*site{first, second} {
		if _, text := fetch(t, s.transport(t, nethttp.Protocols()...), s.url, nil); text != "true true" {
			t.Errorf("the handler sees %q, want its own context and TLS", text)
		}
	}
}
