package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn/nethttp"
)

// web is what the servers here answer: a page, or how much was posted.
func web(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v %s", n, err, tls.VersionName(r.TLS.Version))
		return
	}
	w.Write(payload(mebibyte))
}

// curl speaks HTTP/1.1 and HTTP/2 with a server of net/http over ours, in both
// versions of TLS.
func TestNetHTTPAndCurl(t *testing.T) {
	w := makeWorld()
	listener := listen(t)
	server := &http.Server{Handler: http.HandlerFunc(web)}
	ended := make(chan error, 1)
	go func() {
		ended <- nethttp.Serve(server, listener, &baretls.ServerConfig{
			Certificates: []tls.Certificate{w.byKey[0].cert},
			NextProtos:   nethttp.Protocols(),
		})
	}()
	defer func() {
		server.Close()
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	}()
	upload := filepath.Join(t.TempDir(), "upload")
	must(0, os.WriteFile(upload, payload(mebibyte), 0o600))

	for flag, proto := range map[string]string{"--http1.1": "1.1", "--http2": "2"} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(flag[2:]+" "+tls.VersionName(version), func(t *testing.T) {
				s := scene{version: version}
				// The later of the two flags for a protocol counts.
				p := curl(t, s.with(flag, "-w", "%{http_version}"), listener.Addr().String(), serverName)
				p.expectSuccess()
				expectBytes(t, "the page and its protocol", p.stdout.all(), append(payload(mebibyte), proto...))

				p = curl(t, s.with(flag, "--data-binary", "@"+upload), listener.Addr().String(), serverName)
				p.expectSuccess()
				if got, want := string(p.stdout.all()), fmt.Sprintf("%d <nil> %s", mebibyte, tls.VersionName(version)); got != want {
					t.Errorf("the server says %q about an upload, want %q", got, want)
				}
			})
		}
	}
}

// transportTo is a transport that connects to addr, whatever the name is.
func transportTo(config *baretls.ClientConfig, addr string) *nethttp.Transport {
	return &nethttp.Transport{Config: config, Base: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
}

// getWith gets a page from a server of that name.
func getWith(t *testing.T, transport http.RoundTripper, path string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "https://"+serverName+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s and %d bytes, %v", path, response.Status, len(body), err)
	}
	return response, string(body)
}

// Our transport gets pages from web servers over both protocols and in both
// versions of TLS, many at once, and resumes.
func TestNetHTTPAndWebServers(t *testing.T) {
	w := makeWorld()
	for _, server := range webServers {
		t.Run(server.program, func(t *testing.T) {
			t.Parallel()
			addr := server.serve(t, site{certs: []*identity{w.byKey[0]}, http2: true})
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				for _, protocols := range [][]string{{"http/1.1"}, nethttp.Protocols()} {
					config := plain().within(tls.VersionTLS12, version).client()
					config.NextProtos = protocols
					for i := range 2 {
						transport := transportTo(config, addr)
						get := func(path string) (*http.Response, string) { return getWith(t, transport, path) }
						response, facts := get("/")
						if response.TLS.NegotiatedProtocol != protocols[0] || response.ProtoMajor != len(protocols) {
							t.Errorf("%s is spoken, and %q agreed on; want %s", response.Proto, response.TLS.NegotiatedProtocol, protocols[0])
						}
						if !strings.HasPrefix(facts, opensslName(version)+",") {
							t.Errorf("the server says %q, want %s", facts, opensslName(version))
						}
						if resumed := response.TLS.DidResume; resumed != (i > 0) {
							t.Errorf("connection %d with %s: resumed is %v", i, protocols[0], resumed)
						}
						if server.files {
							for range 3 {
								_, page := get("/page")
								expectBytes(t, "the page", []byte(page), payload(mebibyte))
							}
						}
						transport.CloseIdleConnections()
					}
				}
			}
		})
	}
}

// Our transport and a server of crypto/tls, over both protocols.
func TestNetHTTPAndCryptoTLS(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	w := makeWorld()
	server := httptest.NewUnstartedServer(http.HandlerFunc(web))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{w.byKey[0].cert}}
	server.StartTLS()
	defer server.Close()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocols := range [][]string{{"http/1.1"}, nethttp.Protocols()} {
			config := plain().within(tls.VersionTLS12, version).client()
			config.NextProtos = protocols
			transport := transportTo(config, server.Listener.Addr().String())
			response, page := getWith(t, transport, "/")
			expectBytes(t, "the page", []byte(page), payload(mebibyte))
			if response.ProtoMajor != len(protocols) || response.TLS.Version != version {
				t.Errorf("%s over %s is spoken, want %s over %s", response.Proto, tls.VersionName(response.TLS.Version), protocols[0], tls.VersionName(version))
			}
			r, err := http.NewRequest(http.MethodPost, "https://"+serverName+"/", strings.NewReader(string(payload(mebibyte))))
			must(r, err)
			answer := must(transport.RoundTrip(r))
			text := must(io.ReadAll(answer.Body))
			answer.Body.Close()
			if !strings.HasPrefix(string(text), strconv.Itoa(mebibyte)+" <nil>") {
				t.Errorf("the server says %q about an upload of %d bytes", text, mebibyte)
			}
			transport.CloseIdleConnections()
		}
	}
}
