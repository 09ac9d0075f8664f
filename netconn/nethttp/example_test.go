package nethttp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/netconn/nethttp"
)

// TestExamples: every exported type is shown at work.
func TestExamples(t *testing.T) {
	tlstest.CheckExamples(t, "github.com/baretls/baretls/netconn/nethttp", 2)
}

// get fetches an URL and prints what came, and how.
func get(client *http.Client, url string) {
	response, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s over %s: %s\n", response.Proto, tls.VersionName(response.TLS.Version), body)
}

// A server and a client of net/http, which speak HTTP/2.
func Example() {
	roots, _ := tlstest.CA() // for tests; nil stands for the system's roots
	certificate := tlstest.Leaf(tlstest.ECDSAP256)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello by %s", r.TLS.NegotiatedProtocol)
	})}
	go nethttp.Serve(server, listener, &baretls.ServerConfig{
		Certificates: []tls.Certificate{certificate},
		NextProtos:   nethttp.Protocols(),
	})
	defer server.Close()

	client := &http.Client{Transport: &nethttp.Transport{
		Config: &baretls.ClientConfig{RootCAs: roots, NextProtos: nethttp.Protocols()},
	}}
	defer client.CloseIdleConnections()
	get(client, "https://"+listener.Addr().String())
	// Output: HTTP/2.0 over TLS 1.3: hello by h2
}

// Without "h2" in NextProtos a server and its clients speak HTTP/1.1.
func ExampleServe() {
	roots, _ := tlstest.CA()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello by %s", r.TLS.NegotiatedProtocol)
	})}
	go nethttp.Serve(server, listener, &baretls.ServerConfig{
		Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
		NextProtos:   []string{"http/1.1"},
	})
	defer server.Close()

	client := &http.Client{Transport: &nethttp.Transport{
		Config: &baretls.ClientConfig{RootCAs: roots, NextProtos: nethttp.Protocols()},
	}}
	defer client.CloseIdleConnections()
	get(client, "https://"+listener.Addr().String())
	// Output: HTTP/1.1 over TLS 1.3: hello by http/1.1
}

// A client that has no more than two connections to each server.
func ExampleTransport() {
	address, stop := exampleServer(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	defer stop()
	roots, _ := tlstest.CA()
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxConnsPerHost = 2
	client := &http.Client{Transport: &nethttp.Transport{
		Config: &baretls.ClientConfig{RootCAs: roots, NextProtos: nethttp.Protocols()},
		Base:   base,
	}}
	defer client.CloseIdleConnections()
	for range 2 {
		get(client, "https://"+address)
	}
	// Output:
	// HTTP/2.0 over TLS 1.3: hello
	// HTTP/2.0 over TLS 1.3: hello
}

// A handler asks the connection for what Request.TLS has no room for: the
// channel binding of RFC 9266.
func ExampleRequestConn() {
	address, stop := exampleServer(func(w http.ResponseWriter, r *http.Request) {
		binding, err := nethttp.RequestConn(r).TLS().TLSExporter()
		fmt.Fprint(w, len(binding), " bytes, ", err)
	})
	defer stop()
	roots, _ := tlstest.CA()
	client := &http.Client{Transport: &nethttp.Transport{
		Config: &baretls.ClientConfig{RootCAs: roots, NextProtos: nethttp.Protocols()},
	}}
	defer client.CloseIdleConnections()
	get(client, "https://"+address)
	// Output: HTTP/2.0 over TLS 1.3: 32 bytes, <nil>
}

// A server that handles requests before it knows that they are no replays. What
// must not happen twice it refuses until then: RFC 8470.
func ExampleConn() {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !r.TLS.HandshakeComplete && r.Method != http.MethodGet {
				http.Error(w, "too early", http.StatusTooEarly)
				return
			}
			fmt.Fprint(w, "hello")
		}),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			conn.(*nethttp.Conn).AllowEarlyRequests()
			return ctx
		},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go nethttp.Serve(server, listener, &baretls.ServerConfig{
		Certificates:    []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
		NextProtos:      nethttp.Protocols(),
		MaxEarlyData:    16 << 10,
		SendHalfRTTData: true,
	})
	defer server.Close()

	roots, _ := tlstest.CA()
	client := &http.Client{Transport: &nethttp.Transport{
		Config: &baretls.ClientConfig{RootCAs: roots, NextProtos: nethttp.Protocols()},
	}}
	defer client.CloseIdleConnections()
	get(client, "https://"+listener.Addr().String())
	// Output: HTTP/2.0 over TLS 1.3: hello
}

// exampleServer serves until it is stopped.
func exampleServer(handler http.HandlerFunc) (address string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go nethttp.Serve(server, listener, &baretls.ServerConfig{
		Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
		NextProtos:   nethttp.Protocols(),
	})
	return listener.Addr().String(), func() { server.Close() }
}
