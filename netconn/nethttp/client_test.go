package nethttp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
	"github.com/baretls/baretls/netconn/nethttp"
)

// eachProtocol runs a test over HTTP/1.1 and over HTTP/2, with a server that
// has this handler and a client.
func eachProtocol(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, s *site, client *http.Client)) {
	for _, protocols := range [][]string{{"http/1.1"}, nethttp.Protocols()} {
		t.Run(protocols[0], func(t *testing.T) {
			s := serve(t, &http.Server{Handler: handler}, serverConfig(protocols...))
			f(t, s, &http.Client{Transport: s.transport(t, protocols...)})
		})
	}
}

// stream is a body that can be read once, and counts how often it is closed.
type stream struct {
	io.Reader
	closed atomic.Int32
}

func (s *stream) Close() error { s.closed.Add(1); return nil }

// alternating leads each connection to the next of some servers.
func alternating(sites ...*site) *http.Transport {
	var dials atomic.Int32
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			to := sites[int(dials.Add(1)-1)%len(sites)]
			return new(net.Dialer).DialContext(ctx, network, to.address)
		},
	}
}

// Behind one name there may be servers that have HTTP/2 and servers that do not.
// No request fails for that, not even one whose body cannot be had again.
func TestServersThatDiffer(t *testing.T) {
	h2 := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, serverConfig(nethttp.Protocols()...))
	h1 := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, serverConfig("http/1.1"))
	transport := &nethttp.Transport{
		Config: &baretls.ClientConfig{RootCAs: h2.roots, NextProtos: nethttp.Protocols()},
		Base:   alternating(h2, h1),
	}
	defer transport.CloseIdleConnections()
	for i := range 6 {
		body := &stream{Reader: strings.NewReader("four")}
		response, text := fetch(t, transport, "https://example.com/", body)
		want := []string{"HTTP/2.0", "HTTP/1.1"}[i%2]
		if response.Proto != want || !strings.Contains(text, "POST 4 bytes") {
			t.Errorf("request %d is answered by %s %q, want %s to a POST of 4 bytes", i, response.Proto, text, want)
		}
		if body.closed.Load() == 0 {
			t.Errorf("the body of request %d was not closed", i)
		}
	}
}

// A RoundTripper closes the body whatever happens.
func TestBodiesAreClosed(t *testing.T) {
	s := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, serverConfig(nethttp.Protocols()...))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name      string
		ctx       context.Context
		url       string
		transport *nethttp.Transport
	}{
		{"nobody listens", t.Context(), "https://" + listener.Addr().String(), s.transport(t)},
		{"cancelled", cancelled, s.url, s.transport(t)},
		{"unknown authority", t.Context(), s.url, new(nethttp.Transport)},
		{"no host", t.Context(), "https:///path", s.transport(t)},
		{"a proxy", t.Context(), s.url, &nethttp.Transport{Base: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example"})}}},
		{"a proxy that is not known", t.Context(), s.url, &nethttp.Transport{Base: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("which?") }}}},
	} {
		body := &stream{Reader: strings.NewReader("four")}
		r, err := http.NewRequestWithContext(test.ctx, http.MethodPost, test.url, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := test.transport.RoundTrip(r); err == nil {
			t.Errorf("%s: the request should fail", test.name)
		}
		if body.closed.Load() == 0 {
			t.Errorf("%s: the body was not closed", test.name)
		}
	}
	if _, err := new(nethttp.Transport).RoundTrip(new(http.Request)); err == nil {
		t.Error("a request without URL should fail")
	}
}

// A proxy is not gone past, and http URLs go through it.
func TestProxies(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "by proxy to ", r.URL) }))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &nethttp.Transport{Base: &http.Transport{Proxy: http.ProxyURL(at)}}
	defer transport.CloseIdleConnections()
	if _, text := fetch(t, transport, "http://example.com/page", nil); text != "by proxy to http://example.com/page" {
		t.Errorf("the answer to a request for http is %q, want that of the proxy", text)
	}
	r, _ := http.NewRequest(http.MethodGet, "https://example.com/page", nil)
	if _, err := transport.RoundTrip(r); err == nil || !strings.Contains(err.Error(), "through a proxy") {
		t.Errorf("the error of a request for https is %v, want that there is a proxy", err)
	}
}

// Who waits for another's question to the same server can leave, and goes on if
// that fails.
func TestWaitingForTheFirst(t *testing.T) {
	s := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, serverConfig(nethttp.Protocols()...))
	dialing, hold := make(chan bool), make(chan error)
	var dials atomic.Int32
	transport := &nethttp.Transport{
		Config: &baretls.ClientConfig{RootCAs: s.roots, NextProtos: nethttp.Protocols()},
		Base: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				dialing <- true
				return nil, <-hold
			}
			return new(net.Dialer).DialContext(ctx, network, s.address)
		}},
	}
	defer transport.CloseIdleConnections()
	get := func(ctx context.Context) error {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
		response, err := transport.RoundTrip(r)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	errs := make(chan error)
	go func() { errs <- get(t.Context()) }()
	<-dialing
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	others.Go(func() {
		if err := get(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the error of a request that is cancelled while it waits is %v, want context.Canceled", err)
		}
	})
	cancel()
	others.Wait() // the first still waits
	for range 5 {
		others.Go(func() {
			if err := get(t.Context()); err != nil {
				t.Errorf("after the first has failed the others fail, too: %v", err)
			}
		})
	}
	hold <- errors.New("no way")
	if err := <-errs; err == nil || !strings.Contains(err.Error(), "no way") {
		t.Errorf("the error of the first is %v, want that of the dialer", err)
	}
	others.Wait()
}

// Whatever net/http makes of a connection that fails, the error says why it did.
func TestErrorsSayWhy(t *testing.T) {
	for _, protocol := range []string{"http/1.1", "h2"} {
		config := serverConfig(protocol)
		config.ClientAuth = tls.RequireAnyClientCert
		s := serve(t, &http.Server{Handler: http.HandlerFunc(facts)}, config)
		response, err := (&http.Client{Transport: s.transport(t, protocol)}).Get(s.url)
		if err == nil {
			response.Body.Close()
		}
		var failure *baretls.Error
		if !errors.As(err, &failure) || !failure.Received() || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("over %s the error is %v, want the server's alert", protocol, err)
		}
	}
}

// The names that are dialled are those of the DNS, as with net/http.
func TestInternationalNames(t *testing.T) {
	dialled := ""
	transport := &nethttp.Transport{Base: &http.Transport{DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = address
		return nil, errors.New("far enough")
	}}}
	r, _ := http.NewRequest(http.MethodGet, "https://bücher.example/", nil)
	transport.RoundTrip(r)
	if dialled != "xn--bcher-kva.example:443" {
		t.Errorf("the address is %q, want the name as it is in the DNS", dialled)
	}
}

func TestMaxConnsPerHost(t *testing.T) {
	var mutex sync.Mutex
	for _, protocol := range []string{"http/1.1", "h2"} {
		remotes := map[string]int{}
		s := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mutex.Lock()
			defer mutex.Unlock()
			remotes[r.RemoteAddr]++
		})}, serverConfig(protocol))
		transport := &nethttp.Transport{
			Config: &baretls.ClientConfig{RootCAs: s.roots, NextProtos: nethttp.Protocols()},
			Base:   &http.Transport{MaxConnsPerHost: 1},
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { fetch(t, transport, s.url, nil) })
		}
		all.Wait()
		transport.CloseIdleConnections()
		if len(remotes) != 1 {
			t.Errorf("20 requests over %s come on %d connections, and only one is allowed", protocol, len(remotes))
		}
	}
}

// The hooks of httptrace see the handshake, and the connection.
func TestTrace(t *testing.T) {
	eachProtocol(t, facts, func(t *testing.T, s *site, client *http.Client) {
		var started, done atomic.Int32
		var got []*nethttp.Conn
		for range 2 {
			r, _ := http.NewRequest(http.MethodGet, s.url, nil)
			response, err := client.Do(r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				TLSHandshakeStart: func() { started.Add(1) },
				TLSHandshakeDone: func(state tls.ConnectionState, err error) {
					if done.Add(1); !state.HandshakeComplete || err != nil {
						t.Errorf("the handshake is told to have ended with %v, complete: %v", err, state.HandshakeComplete)
					}
				},
				GotConn: func(info httptrace.GotConnInfo) { got = append(got, info.Conn.(*nethttp.Conn)) },
			})))
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		if started.Load() != 1 || done.Load() != 1 {
			t.Errorf("%d handshakes are told to begin and %d to end, want one", started.Load(), done.Load())
		}
		if len(got) != 2 || got[0] != got[1] || got[0].NetConn().(*netconn.Conn).TLS().ProtocolVersion() != tls.VersionTLS13 {
			t.Errorf("two requests got the connections %v, want one of TLS 1.3 for both", got)
		}
	})
}

// What is large goes both ways at once, with trailers behind it.
func TestLargeBodiesAndTrailers(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Said")
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
		w.Header().Set("Said", r.Trailer.Get("Asked"))
	}
	eachProtocol(t, echo, func(t *testing.T, s *site, client *http.Client) {
		r, _ := http.NewRequest(http.MethodPost, s.url, struct{ io.Reader }{bytes.NewReader(big)})
		r.Trailer = http.Header{"Asked": {"by a trailer"}}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if err != nil || !bytes.Equal(got, big) {
			t.Errorf("%d bytes come back as %d: %v", len(big), len(got), err)
		}
		if said := response.Trailer.Get("Said"); said != "by a trailer" {
			t.Errorf("the trailer is %q", said)
		}
	})
}

// A client that expects 100 (Continue) keeps a body that is not wanted.
func TestExpectContinue(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wanted" {
			facts(w, r)
			return
		}
		http.Error(w, "not wanted", http.StatusForbidden)
	}
	eachProtocol(t, refuse, func(t *testing.T, s *site, client *http.Client) {
		transport := client.Transport.(*nethttp.Transport)
		transport.Base = &http.Transport{ExpectContinueTimeout: patience}
		for _, test := range []struct {
			path   string
			status int
			read   bool
		}{{"/wanted", 200, true}, {"/", 403, false}} {
			read := make(chan bool, 10)
			r, _ := http.NewRequest(http.MethodPost, s.url+test.path, readerFunc(func(p []byte) (int, error) {
				read <- true
				return 0, io.EOF
			}))
			r.ContentLength = -1
			r.Header.Set("Expect", "100-continue")
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != test.status || len(read) > 0 != test.read {
				t.Errorf("%s: status %d, body read: %v; want %d and %v", test.path, response.StatusCode, len(read) > 0, test.status, test.read)
			}
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A request that ends early ends on both sides: by a timeout, by its context, or
// because the body is closed.
func TestRequestsThatEndEarly(t *testing.T) {
	ended := make(chan error, 1)
	endless := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			for {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<10)); err != nil {
					break
				}
			}
		}
		<-r.Context().Done()
		ended <- r.Context().Err()
	}
	eachProtocol(t, endless, func(t *testing.T, s *site, client *http.Client) {
		hasty := &http.Client{Transport: client.Transport, Timeout: 100 * time.Millisecond}
		_, err := hasty.Get(s.url)
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the error is %v, want a timeout", err)
		}
		<-ended

		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/body", nil)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.Copy(io.Discard, response.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("the error of the body is %v, want context.Canceled", err)
		}
		response.Body.Close()
		<-ended

		if response, err = client.Get(s.url + "/body"); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		<-ended
	})
}
