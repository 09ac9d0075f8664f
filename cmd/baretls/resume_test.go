package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
	"github.com/baretls/baretls/netconn/nethttp"
)

// Resumption, 0-RTT data and client certificates from the command line.

func TestGetResumes(t *testing.T) {
	dir := hello(t)
	ours := startServe(t, "-dir", dir)
	mux := http.NewServeMux()
	mux.HandleFunc("/hello.txt", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello\n") })
	std := startTLS(t, mux, func(*tls.Config) {})
	stubborn := startTLS(t, mux, func(c *tls.Config) { c.SessionTicketsDisabled = true })
	for _, test := range []struct {
		whose  string
		server *running
		says   string
	}{
		{"serve", ours, "baretls: second connection: resumed\n"},
		{"crypto/tls", std, "baretls: second connection: resumed\n"},
		{"crypto/tls without tickets", stubborn, "baretls: second connection: full\n"},
	} {
		stdout, stderr := getSays(t, "-resume", "-ca", test.server.ca, test.server.url+"/hello.txt")
		if stdout != "hello\n" || stderr != test.says {
			t.Errorf("get -resume from %s should print one body and say %q, but printed %q and said %q",
				test.whose, test.says, stdout, stderr)
		}
	}
}

func TestGetSendsEarlyData(t *testing.T) {
	dir := hello(t)
	const resumed = "baretls: second connection: resumed\n"
	for _, test := range []struct {
		server string
		start  *running
		says   string
	}{
		{"serve -early-data, with a register that is old enough", startKnowing(t, "-dir", dir, "-early-data", "16384"),
			resumed + "baretls: early data accepted\n"},
		{"serve -early-data, just started", startServe(t, "-dir", dir, "-early-data", "16384"),
			resumed + "baretls: early data rejected\n"},
		{"serve -early-data for less than a request", startKnowing(t, "-dir", dir, "-early-data", "16"),
			resumed + "baretls: early data not sent: the session does not allow so much\n"},
		{"serve without -early-data", startKnowing(t, "-dir", dir),
			resumed + "baretls: early data not offered\n"},
		{"serve -early-data 0", startKnowing(t, "-dir", dir, "-early-data", "0"),
			resumed + "baretls: early data not offered\n"},
	} {
		stdout, stderr := getSays(t, "-early-data", "-ca", test.start.ca, test.start.url+"/hello.txt")
		if stdout != "hello\n" || stderr != test.says {
			t.Errorf("get -early-data from %s should print the body and say %q, but printed %q and said %q",
				test.server, test.says, stdout, stderr)
		}
	}
}

// The answer to early data is on its way before the handshake is complete, and
// has to arrive whole all the same.
func TestEarlyAnswersAreWhole(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 200_000)
	writeFile(t, filepath.Join(dir, "big.bin"), []byte(big))
	server := startKnowing(t, "-dir", dir, "-early-data", "16384")
	for range 5 {
		stdout, stderr := getSays(t, "-early-data", "-ca", server.ca, server.url+"/big.bin")
		if stdout != big || !strings.Contains(stderr, "early data accepted") {
			t.Errorf("an answer of %d bytes to early data should arrive, but %d did: %s", len(big), len(stdout), stderr)
		}
	}
}

func TestGetAsksAgainAfter425(t *testing.T) {
	asked := make(chan string, 10)
	server := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		early := !r.TLS.HandshakeComplete
		asked <- map[bool]string{true: "early", false: "late"}[early]
		if early {
			http.Error(w, "not yet", http.StatusTooEarly)
			return
		}
		io.WriteString(w, "now")
	})
	stdout, stderr := getSays(t, "-early-data", "-ca", server.ca, server.url)
	if stdout != "now" || !strings.HasSuffix(stderr, "too early for the server: asking again\n") {
		t.Errorf("after 425 to early data get should ask again, but printed %q and said %q", stdout, stderr)
	}
	close(asked)
	var got []string
	for when := range asked {
		got = append(got, when)
	}
	if !slices.Equal(got, []string{"late", "early", "late"}) {
		t.Errorf("only the second of three requests should be early data, but they came %q", got)
	}
}

// A server that answers before it has read the end of the handshake has its
// tickets come after the answer.
func TestGetWaitsForATicket(t *testing.T) {
	server := listenEarly(t, func(listener net.Listener, config *baretls.ServerConfig) {
		for {
			socket, err := listener.Accept()
			if err != nil {
				return
			}
			late := &lateConn{Conn: socket}
			conn, err := netconn.Server(late, config)
			if err != nil {
				t.Error(err)
				return
			}
			send(t, conn, "") // reads the hello
			// The client's Finished and its request: the first are 64 bytes.
			late.unread = make([]byte, 1<<10)
			n, err := io.ReadAtLeast(socket, late.unread, 65)
			if err != nil {
				t.Errorf("a request should come, but: %v", err)
			}
			late.unread = late.unread[:n]
			send(t, conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhasty")
			conn.Close()
		}
	})
	const resumed = "baretls: second connection: resumed\n"
	for _, flags := range [][]string{nil, {"-trace"}} {
		stdout, stderr := getSays(t, append(flags, "-resume", "-ca", server.ca, server.url)...)
		if stdout != "hasty" || !strings.Contains(stderr, resumed) {
			t.Errorf("get %q -resume should wait for a ticket after the answer, but printed %q and said %q", flags, stdout, stderr)
		}
	}
}

// lateConn has been read from before its reader gets to it.
type lateConn struct {
	net.Conn
	unread []byte
}

func (c *lateConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func TestTracesShowEarlyData(t *testing.T) {
	server := startKnowing(t, "-dir", hello(t), "-early-data", "16384")
	_, stderr := getSays(t, "-trace", "-early-data", "-ca", server.ca, server.url+"/hello.txt")
	if strings.Count(stderr, "MayEncryptEarlyData: ") != 1 || strings.Count(stderr, "WriteTraffic: close_notify") != 2 {
		t.Errorf("the trace should show two connections, one with early data, but is\n%s", stderr)
	}
}

// RFC 8470: what changes something must not be early, on whatever leg.
func TestServeAnswersEarlyRequests(t *testing.T) {
	server := startKnowing(t, "-dir", hello(t), "-early-data", "16384")
	config := earlyClient(t, server)
	for _, test := range []struct {
		early           bool
		method, header  string
		status          int
		body, afterward string
	}{
		{true, "GET", "", 200, "hello\n", "200 OK"},
		{true, "HEAD", "", 200, "", "200 OK"},
		{true, "POST", "Content-Length: 4\r\n\r\ndata", 425, "too early\n", "405 Method Not Allowed"},
		{true, "POST", "Content-Length: 0\r\n\r\n", 425, "too early\n", "405 Method Not Allowed"},
		{true, "PUT", "", 425, "too early\n", "405 Method Not Allowed"},
		{true, "DELETE", "", 425, "too early\n", "405 Method Not Allowed"},
		{true, "PURGE", "", 425, "too early\n", "405 Method Not Allowed"},
		{false, "GET", "Early-Data: 1\r\n\r\n", 200, "hello\n", "200 OK"},
		{false, "POST", "Early-Data: 1\r\n\r\n", 425, "too early\n", "405 Method Not Allowed"},
		// "Multiple or invalid instances of the header field MUST be treated
		// as equivalent to a single instance with a field value of 1".
		{false, "POST", "Early-Data: 0\r\nEarly-Data: no\r\n\r\n", 425, "too early\n", "405 Method Not Allowed"},
		{false, "POST", "", 405, "only GET and HEAD\n", "405 Method Not Allowed"},
	} {
		name := fmt.Sprintf("%s %q, early: %v,", test.method, test.header, test.early)
		conn := dialServe(t, server, config)
		first := test.method + " /hello.txt HTTP/1.1\r\nHost: localhost\r\n"
		if test.header != "" {
			first += test.header
		} else {
			first += "\r\n"
		}
		if test.early {
			if status, err := conn.HandshakeEarly(t.Context(), []byte(first)); status != baretls.EarlyDataAccepted || err != nil {
				t.Errorf("%s should be accepted as early data, but is %v: %v", name, status, err)
				continue
			}
		} else {
			send(t, conn, first)
		}
		from := bufio.NewReader(conn)
		response, body := readResponse(t, from, test.method)
		if response.StatusCode != test.status || body != test.body {
			t.Errorf("%s should be answered by %d and %q, but was by %s and %q", name, test.status, test.body, response.Status, body)
		}

		// What comes later on the same connection is no replay.
		send(t, conn, test.method+" /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if response, _ := readResponse(t, from, test.method); response.Status != test.afterward {
			t.Errorf("after %s the same as ordinary data should be answered by %s, but was by %s", name, test.afterward, response.Status)
		}
		// And the tickets for the next are behind it.
		if _, err := io.Copy(io.Discard, from); err != nil {
			t.Errorf("after %s the server should close in order, but: %v", name, err)
		}
		conn.Close()
	}
}

// Someone records a first flight and gets ahead of the client with it.
func TestServeRefusesReplays(t *testing.T) {
	const fileSize = 10_000
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "file"), bytes.Repeat([]byte("x"), fileSize))
	server := startKnowing(t, "-dir", dir, "-early-data", "16384")
	config := earlyClient(t, server)
	client, err := baretls.NewClient(config, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	flight := earlyFlight(t, client, "GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n")
	address := strings.TrimPrefix(server.url, "https://")

	replay := func() (socket net.Conn) {
		t.Helper()
		socket, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { socket.Close() })
		socket.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := socket.Write(flight); err != nil {
			t.Fatal(err)
		}
		return socket
	}
	first := replay()
	if n, err := io.CopyN(io.Discard, first, fileSize); err != nil {
		t.Fatalf("the first to come with a flight should be sent the file, but was sent %d bytes: %v", n, err)
	}
	for range 3 {
		again := replay()
		again.(*net.TCPConn).CloseWrite() // or the server would wait for a Finished
		answer, err := io.ReadAll(again)
		if err != nil || len(answer) == 0 || len(answer) >= fileSize {
			t.Errorf("a replay should be answered by a handshake and no file, but was by %d bytes: %v", len(answer), err)
		}
	}

	// The client itself comes too late, too, but can go on: it has the key.
	conn := newTurns(replay(), &client.Conn, nil)
	if err := conn.handshake(); err != nil {
		t.Fatalf("a client whose early data was replayed should be served all the same, but: %v", err)
	}
	if kind, early := client.HandshakeKind(), client.EarlyData(); kind != baretls.HandshakeResumed || early != baretls.EarlyDataRejected {
		t.Errorf("its handshake should be resumed and its early data rejected, but they are %v and %v", kind, early)
	}
	send(t, conn, "HEAD /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if response, _ := readResponse(t, bufio.NewReader(conn), "HEAD"); response.ContentLength != fileSize {
		t.Errorf("the request that it sends again should be answered, but the answer is %s", response.Status)
	}
}

func TestClientCertificates(t *testing.T) {
	dir := hello(t)
	known, unknown := credentials(t, "client.example"), credentials(t, "stranger.example")
	server := startServe(t, "-dir", dir, "-client-ca", known[1])
	url := server.url + "/hello.txt"
	if body := expect(t, 0, append(append([]string{"get", "-ca", server.ca}, known...), url)...); body != "hello\n" {
		t.Errorf("a client with a certificate of -client-ca should be served, but got %q", body)
	}
	expectError(t, "certificate required", "get", "-ca", server.ca, url)
	server.says(t, handshakeError+`.*certificate.*`)
	// The server names its authorities, so that other certificates stay at home.
	expectError(t, "certificate required", append(append([]string{"get", "-ca", server.ca}, unknown...), url)...)

	stubborn := &tls.Config{RootCAs: server.roots(t), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := loadCertificate(unknown[1], unknown[3])
		return &cert, err
	}}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(server.url, "https://"), stubborn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a client with a certificate of another CA should be told so, but read %d bytes: %v", n, err)
	}

	std := startTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.VerifiedChains[0][0].DNSNames)
	}), func(c *tls.Config) {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		roots, err := loadRoots(known[1])
		if err != nil {
			t.Fatal(err)
		}
		c.ClientCAs = roots
	})
	if body := expect(t, 0, append(append([]string{"get", "-ca", std.ca}, known...), std.url)...); body != "[client.example]" {
		t.Errorf("crypto/tls should see the client's certificate, but saw %q", body)
	}
	expectError(t, "certificate required", "get", "-ca", std.ca, std.url)
}

func TestClientCertificatesAndEarlyData(t *testing.T) {
	client := credentials(t, "client.example")
	server := startKnowing(t, "-dir", hello(t), "-client-ca", client[1], "-early-data", "16384")
	args := append([]string{"-early-data", "-ca", server.ca}, client...)
	stdout, stderr := getSays(t, append(args, server.url+"/hello.txt")...)
	if stdout != "hello\n" || !strings.HasSuffix(stderr, "resumed\nbaretls: early data accepted\n") {
		t.Errorf("a session with a client's certificate should allow early data, but get printed %q and said %q", stdout, stderr)
	}
}

func TestTicketKeysChangeInTime(t *testing.T) {
	for _, test := range []struct {
		lifetime string
		changes  bool
	}{{"1h", false}, {"1ns", true}} {
		server := startServe(t, "-dir", hello(t), "-ticket-key-lifetime", test.lifetime)
		var names [2][]byte
		for i := range names {
			cache := make(ticketCache, 16)
			config := &tls.Config{RootCAs: server.roots(t), ClientSessionCache: cache}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
			response, err := client.Get(server.url)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			names[i] = (<-cache)[:16] // of the key, in front of the ticket
		}
		if changed := !bytes.Equal(names[0], names[1]); changed != test.changes {
			t.Errorf("with -ticket-key-lifetime %s the key of the next connection's tickets should be another: %v, but is: %v",
				test.lifetime, test.changes, changed)
		}
		if _, said := getSays(t, "-resume", "-ca", server.ca, server.url); !strings.Contains(said, "resumed") {
			t.Errorf("with -ticket-key-lifetime %s a session should still be resumed, but get said %q", test.lifetime, said)
		}
	}
}

// ticketCache is a cache of crypto/tls that hands out the tickets.
type ticketCache chan []byte

func (c ticketCache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (c ticketCache) Put(_ string, session *tls.ClientSessionState) {
	if session == nil {
		return
	}
	if ticket, _, err := session.ResumptionState(); err == nil {
		c <- ticket
	}
}

// hello makes a directory with one file.
func hello(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, "hello.txt"), []byte("hello\n"))
	return dir
}

// getSays runs get, which should succeed, and returns its output.
func getSays(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if code := run(t.Context(), append([]string{"get"}, args...), &out, &err); code != 0 {
		t.Errorf("get %q should exit with 0, but did with %d after %q", args, code, &err)
	}
	return out.String(), err.String()
}

// startKnowing runs serve with a register of replays that need not wait.
func startKnowing(t *testing.T, args ...string) *running {
	t.Helper()
	return startCommand(t, args, func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		c := newCall(command{name: "serve"}, args, stdout, stderr)
		return exitCode(stderr, serveWith(ctx, c, knowing{baretls.NewReplayGuard(0)}))
	})
}

// startHandler serves what serve would not, and takes early data.
func startHandler(t *testing.T, handler http.HandlerFunc) *running {
	t.Helper()
	server := &http.Server{
		Handler: handler,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			conn.(*nethttp.Conn).AllowEarlyRequests()
			return ctx
		},
	}
	t.Cleanup(func() { server.Close() })
	return listenEarly(t, func(listener net.Listener, config *baretls.ServerConfig) { nethttp.Serve(server, listener, config) })
}

// listenEarly lets a server have a listener, and a config that takes early data.
func listenEarly(t *testing.T, serve func(net.Listener, *baretls.ServerConfig)) *running {
	t.Helper()
	cert, ca, err := throwaway()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, file, "CERTIFICATE", ca.Raw)
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &baretls.ServerConfig{
		Certificates:    []tls.Certificate{cert},
		NextProtos:      []string{"http/1.1"},
		MaxEarlyData:    16384,
		ReplayGuard:     knowing{baretls.NewReplayGuard(0)},
		SendHalfRTTData: true,
	}
	var all sync.WaitGroup
	t.Cleanup(func() { listener.Close(); all.Wait() })
	all.Go(func() { serve(listener, config) })
	return &running{url: "https://" + listener.Addr().String(), ca: file}
}

// earlyClient returns a config that has tickets for early data.
func earlyClient(t *testing.T, server *running) *baretls.ClientConfig {
	t.Helper()
	config := &baretls.ClientConfig{
		RootCAs:         server.roots(t),
		NextProtos:      []string{"http/1.1"},
		EnableEarlyData: true,
	}
	conn := dialServe(t, server, config)
	defer conn.Close()
	send(t, conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	return config
}

// dialServe returns a client connection to the server before its handshake.
func dialServe(t *testing.T, server *running, config *baretls.ClientConfig) *netconn.Conn {
	t.Helper()
	socket, err := net.Dial("tcp", strings.TrimPrefix(server.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	socket.SetDeadline(time.Now().Add(20 * time.Second))
	conn, err := netconn.Client(socket, config, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t *testing.T, conn io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(conn, text); n != len(text) || err != nil {
		t.Fatalf("Write should take %d bytes, but took %d: %v", len(text), n, err)
	}
}

// earlyFlight takes a client's turns up to the first bytes that it sends.
func earlyFlight(t *testing.T, client *baretls.ClientConn, request string) (flight []byte) {
	t.Helper()
	for {
		status, err := client.ProcessTLSRecords(nil)
		if err != nil {
			t.Fatal(err)
		}
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			flight, err = state.AppendTo(flight)
		case baretls.TransmitTLSData:
			early, ok := state.MayEncryptEarlyData()
			if !ok {
				t.Fatal("a session of serve -early-data should allow early data, but does not")
			}
			if flight, err = early.AppendEncrypted(flight, []byte(request)); err != nil {
				t.Fatal(err)
			}
			err = state.Done()
		default:
			return flight
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func readResponse(t *testing.T, from *bufio.Reader, method string) (response *http.Response, body string) {
	t.Helper()
	response, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s should be answered, but: %v", method, err)
	}
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("the answer to %s should be whole, but: %v", method, err)
	}
	return response, string(got)
}
