package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

func TestStandardClientsAtOnce(t *testing.T) {
	server := start(t)
	var all sync.WaitGroup
	for _, address := range []string{server.address, "localhost:" + server.port} {
		for range 10 {
			all.Go(func() {
				client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.roots}}}
				response, err := client.Get("https://" + address + "/any/path")
				if err != nil {
					t.Errorf("a standard client should get a response, but: %v", err)
					return
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != 200 || string(body) != page {
					t.Errorf("a standard client should get the page, but got %s, %q: %v", response.Status, body, err)
				}
			})
		}
	}
	all.Wait()
}

func TestVersions(t *testing.T) {
	for _, test := range []struct {
		args     []string
		min, max uint16 // of the client; 0 is its own bound
		agreed   uint16 // or 0
	}{
		{nil, 0, 0, tls.VersionTLS13},
		{nil, 0, tls.VersionTLS12, tls.VersionTLS12},
		{[]string{"-max-version", "1.3"}, 0, 0, tls.VersionTLS13},
		{[]string{"-min-version", "1.2", "-max-version", "1.2"}, 0, 0, tls.VersionTLS12},
		{[]string{"-max-version", "1.2"}, tls.VersionTLS13, 0, 0},
		{[]string{"-min-version", "1.3"}, 0, 0, tls.VersionTLS13},
		{[]string{"-min-version", "1.3"}, 0, tls.VersionTLS12, 0},
	} {
		server := start(t, test.args...)
		cache := tls.NewLRUClientSessionCache(1)
		for _, resumed := range []bool{false, true} {
			conn, err := tls.Dial("tcp", server.address, &tls.Config{
				RootCAs: server.roots, ClientSessionCache: cache, MinVersion: test.min, MaxVersion: test.max,
			})
			if test.agreed == 0 {
				if err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
					t.Errorf("with %q a client with the bounds %#x and %#x should be refused, but: %v", test.args, test.min, test.max, err)
				}
				break
			}
			if err != nil {
				t.Errorf("with %q a client with the bounds %#x and %#x should be welcome, but: %v", test.args, test.min, test.max, err)
				break
			}
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			got, err := io.ReadAll(conn)
			if err != nil || string(got) != response {
				t.Errorf("with %q the page should come, but %q does: %v", test.args, got, err)
			}
			state := conn.ConnectionState()
			if state.Version != test.agreed || state.DidResume != resumed {
				t.Errorf("with %q the client should have %s, resumed: %v, but has %s, resumed: %v",
					test.args, tls.VersionName(test.agreed), resumed, tls.VersionName(state.Version), state.DidResume)
			}
			conn.Close()
		}
	}
}

func TestCertificateOfOnesOwn(t *testing.T) {
	cert, roots := makeCertificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(t, certFile, "CERTIFICATE", cert.Certificate[0])
	writePEM(t, keyFile, "PRIVATE KEY", key)
	server := start(t, "-cert", certFile, "-key", keyFile)
	if server.ca != "" {
		t.Errorf("a server with a certificate should make none, but made %s", server.ca)
	}
	conn, err := tls.Dial("tcp", server.address, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatalf("the certificate should be the one that was given, but: %v", err)
	}
	conn.Close()
}

// The requests come in odd ways, but they are requests.
func TestEveryWholeRequestIsAnswered(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for name, ask := range map[string]func(*tls.Conn) error{
		"in one record": func(c *tls.Conn) error {
			_, err := io.WriteString(c, request)
			return err
		},
		"in a record for each byte": func(c *tls.Conn) error {
			for _, b := range []byte(request) {
				if _, err := c.Write([]byte{b}); err != nil {
					return err
				}
			}
			return nil
		},
		"and the last words": func(c *tls.Conn) error {
			_, err := io.WriteString(c, request)
			return errors.Join(err, c.CloseWrite())
		},
	} {
		served := dial(t, func(client *tls.Conn) {
			if err := ask(client); err != nil {
				t.Fatalf("%s: the request should be sent, but: %v", name, err)
			}
			got, err := io.ReadAll(client)
			if err != nil || string(got) != response {
				t.Errorf("a request %s should be answered up to a close_notify, but is by %q: %v", name, got, err)
			}
		})
		if served != nil {
			t.Errorf("a request %s should be served in order, but: %v", name, served)
		}
	}
}

func TestNoRequestIsNoError(t *testing.T) {
	served := dial(t, func(client *tls.Conn) {
		client.CloseWrite()
		if got, err := io.ReadAll(client); len(got) != 0 || err != nil {
			t.Errorf("a client that only closes should be closed to, but read %q: %v", got, err)
		}
	})
	if served != nil {
		t.Errorf("a client that only closes is no error, but: %v", served)
	}
}

func TestTruncationIsAnError(t *testing.T) {
	served := dial(t, func(client *tls.Conn) {
		io.WriteString(client, "GET / HTTP/1.1\r\n")
		client.NetConn().Close()
	})
	if !errors.Is(served, io.ErrUnexpectedEOF) {
		t.Errorf("half a request and no close_notify should be io.ErrUnexpectedEOF, but is %v", served)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	served := dial(t, func(client *tls.Conn) {
		client.Write(make([]byte, maxRequest+1))
		io.Copy(io.Discard, client)
	})
	if served == nil || !strings.Contains(served.Error(), "too long") {
		t.Errorf("a request without end should be an error, but is %v", served)
	}
}

func TestPlainTextIsAnsweredByAnAlert(t *testing.T) {
	cert, _ := makeCertificate(t)
	near, far := sockets(t)
	defer near.Close()
	done := make(chan error, 1)
	go func() {
		defer far.Close()
		done <- serve(far, &baretls.ServerConfig{Certificates: []tls.Certificate{cert}})
	}()
	io.WriteString(near, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	got, err := io.ReadAll(near)
	unexpectedMessage := []byte{21, 3, 3, 0, 2, 2, 10} // RFC 9846, Section 6
	if err != nil || !bytes.Equal(got, unexpectedMessage) {
		t.Errorf("HTTP without TLS should be answered by the alert % x, but was by % x: %v", unexpectedMessage, got, err)
	}
	served := <-done
	if header := (tls.RecordHeaderError{}); !errors.As(served, &header) {
		t.Errorf("HTTP without TLS should be a tls.RecordHeaderError, but is %v", served)
	}
}

func TestWrongArguments(t *testing.T) {
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("not PEM"), 0o644); err != nil {
		t.Fatal(err)
	}
	temporary(t)
	for _, test := range []struct {
		says string
		args []string
	}{
		{"usage", []string{"localhost:8443"}},
		{"usage", []string{"-cert", text}},
		{"usage", []string{"-key", text}},
		{"usage", []string{"-max-early-data", "4294967296"}},
		{"invalid value", []string{"-max-early-data", "-1"}},
		{"-min-version 1.1: 1.2 and 1.3 are supported", []string{"-min-version", "1.1"}},
		{"-max-version 1.4: 1.2 and 1.3 are supported", []string{"-max-version", "1.4"}},
		{"MinVersion: is above MaxVersion", []string{"-min-version", "1.3", "-max-version", "1.2"}},
		{"not defined", []string{"-unknown"}},
		{"PEM", []string{"-cert", text, "-key", text}},
		{"missing.pem", []string{"-cert", "missing.pem", "-key", text}},
		{"invalid port", []string{"-addr", "localhost:99999"}},
		{"bind:", []string{"-addr", taken.Addr().String()}},
	} {
		var stdout bytes.Buffer
		if err := run(test.args, &stdout, io.Discard); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("arguments %q should be an error about %q, but are %v", test.args, test.says, err)
		}
		if stdout.Len() > 0 {
			t.Errorf("arguments %q should not lead to listening, but printed %q", test.args, &stdout)
		}
	}
}

func TestAgainstUnbufferedClient(t *testing.T) {
	program := filepath.Join(t.TempDir(), "unbuffered-client")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	if said, err := exec.Command("go", "build", "-o", program, "../unbuffered-client").CombinedOutput(); err != nil {
		t.Fatalf("unbuffered-client should build, but: %v\n%s", err, said)
	}
	server := start(t)
	client := exec.Command(program, "-ca", server.ca, "-server-name", "localhost", server.address)
	client.Stderr = new(bytes.Buffer)
	if got, err := client.Output(); err != nil || string(got) != response {
		t.Errorf("the client should print the response, but printed %q: %v\n%s", got, err, client.Stderr)
	}

	// Early data is rejected by a server that has just started, and sent again.
	for want, args := range map[string][]string{
		"early data: rejected":    {"-max-early-data", "16384"},
		"early data: not offered": {"-max-early-data", "0"},
	} {
		server := start(t, args...)
		client := exec.Command(program, "-early-data", "-ca", server.ca, "-server-name", "localhost", server.address)
		said := new(bytes.Buffer)
		client.Stderr = said
		if got, err := client.Output(); err != nil || string(got) != response+response {
			t.Errorf("with %q the client should print two responses, but printed %q: %v\n%s", args, got, err, said)
		}
		if !strings.HasSuffix(said.String(), "handshake: resumed, "+want+"\n") {
			t.Errorf("with %q the client should say %q, but said\n%s", args, want, said)
		}
	}
}

// The answer to early data is sent at once, and the end after the handshake.
func TestEarlyDataIsAnswered(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
	clientConfig, serverConfig := earlyConfigs(t, maxRequest)
	for _, early := range []string{request, request[:10], ""} {
		client := dialEarly(t, clientConfig, serverConfig)
		client.run(early) // up to its Finished, which is not sent yet
		if status := client.conn.EarlyData(); status != baretls.EarlyDataAccepted {
			t.Fatalf("early data should be accepted, but is %v", status)
		}
		client.write(request[len(early):])
		client.run("")
		if client.got != response {
			t.Errorf("a request with %d early bytes should be answered, but is by %q", len(early), client.got)
		}
		if tickets := client.conn.TicketsReceived(); tickets == 0 {
			t.Errorf("a request with %d early bytes should leave a ticket for the next, but leaves none", len(early))
		}
		if err := <-client.served; err != nil {
			t.Errorf("a request with %d early bytes should be served in order, but: %v", len(early), err)
		}
	}
}

func TestEarlyRequestsAreBounded(t *testing.T) {
	clientConfig, serverConfig := earlyConfigs(t, 2*maxRequest)
	client := dialEarly(t, clientConfig, serverConfig)
	client.send(strings.Repeat("x", maxRequest+1))
	io.Copy(io.Discard, client.socket)
	if err := <-client.served; err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("early data without end should be an error, but is %v", err)
	}
}

// earlyConfigs are a client that has a session for early data, and its server,
// with a register of replays that need not wait.
func earlyConfigs(t *testing.T, allowed uint32) (*baretls.ClientConfig, *baretls.ServerConfig) {
	t.Helper()
	cert, roots := makeCertificate(t)
	clientConfig := &baretls.ClientConfig{RootCAs: roots, EnableEarlyData: true}
	serverConfig := &baretls.ServerConfig{
		Certificates:    []tls.Certificate{cert},
		MaxEarlyData:    allowed,
		ReplayGuard:     knowing{baretls.NewReplayGuard(0)},
		SendHalfRTTData: true,
	}
	client := dialEarly(t, clientConfig, serverConfig)
	client.run("")
	client.write("GET / HTTP/1.1\r\n\r\n")
	client.run("")
	if err := <-client.served; err != nil || client.conn.TicketsReceived() == 0 {
		t.Fatalf("a first connection should leave tickets, but leaves %d: %v", client.conn.TicketsReceived(), err)
	}
	return clientConfig, serverConfig
}

// knowing is a register of replays that is as old as the keys of the tickets, so
// that it knows all there can be.
type knowing struct{ baretls.ReplayGuard }

func (knowing) Since() time.Time { return time.Time{} }

// earlyClient is a client that talks to serve turn by turn.
type earlyClient struct {
	t        *testing.T
	conn     *baretls.ClientConn
	socket   net.Conn
	incoming []byte
	outgoing []byte
	got      string // of the answer
	closed   bool   // by the server, in order
	served   chan error
}

func dialEarly(t *testing.T, clientConfig *baretls.ClientConfig, serverConfig *baretls.ServerConfig) *earlyClient {
	t.Helper()
	conn, err := baretls.NewClient(clientConfig, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	near, far := sockets(t)
	t.Cleanup(func() { near.Close() })
	near.SetDeadline(time.Now().Add(20 * time.Second))
	c := &earlyClient{t: t, conn: conn, socket: near, served: make(chan error, 1)}
	go func() {
		defer far.Close()
		c.served <- serve(far, serverConfig)
	}()
	return c
}

// run takes turns up to the end of the handshake, or of the connection if it is
// there already. What is early goes out behind the hello. If that is a whole
// request, the answer is read first: our Finished stays here until write.
func (c *earlyClient) run(early string) {
	c.t.Helper()
	handshaking := c.conn.IsHandshaking()
	if handshaking {
		c.send(early)
	}
	for !c.closed {
		switch state := c.turn().(type) {
		case baretls.TransmitTLSData:
			if err := state.Done(); err != nil {
				c.t.Fatal(err)
			}
		case baretls.WriteTraffic:
			if handshaking && (c.got == response || !strings.HasSuffix(early, "\r\n\r\n")) {
				return
			}
			c.receive()
		case baretls.BlockedHandshake:
			c.receive()
		}
	}
}

// send sends the hello, and early data behind it.
func (c *earlyClient) send(early string) {
	c.t.Helper()
	for {
		state, ok := c.turn().(baretls.TransmitTLSData)
		if !ok {
			continue
		}
		if early != "" {
			writer, ok := state.MayEncryptEarlyData()
			if !ok {
				c.t.Fatal("the session should allow early data, but does not")
			}
			var err error
			if c.outgoing, err = writer.AppendEncrypted(c.outgoing, []byte(early)); err != nil {
				c.t.Fatal(err)
			}
		}
		if err := state.Done(); err != nil {
			c.t.Fatal(err)
		}
		c.flush()
		return
	}
}

// write sends all that is left to send, data, and our close_notify.
func (c *earlyClient) write(data string) {
	c.t.Helper()
	state, ok := c.turn().(baretls.WriteTraffic)
	if !ok {
		c.t.Fatal("an open connection should be ready to write, but is not")
	}
	var err error
	if c.outgoing, err = state.AppendEncrypted(c.outgoing, []byte(data)); err == nil {
		c.outgoing, err = state.AppendCloseNotify(c.outgoing)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.flush()
}

// turn takes a turn and does what needs no decision.
func (c *earlyClient) turn() baretls.State {
	c.t.Helper()
	status, err := c.conn.ProcessTLSRecords(c.incoming)
	if err != nil {
		c.t.Fatal(err)
	}
	discard := status.Discard
	switch state := status.State.(type) {
	case baretls.EncodeTLSData:
		if c.outgoing, err = state.AppendTo(c.outgoing); err != nil {
			c.t.Fatal(err)
		}
	case baretls.ReadTraffic:
		for record := range state.Records() {
			discard += record.Discard
			c.got += string(record.Payload)
		}
	case baretls.PeerClosed, baretls.Closed:
		c.closed = true
	}
	c.incoming = c.incoming[discard:]
	return status.State
}

func (c *earlyClient) receive() {
	c.t.Helper()
	piece := make([]byte, 4096)
	n, err := c.socket.Read(piece)
	c.incoming = append(c.incoming, piece[:n]...)
	if err == io.EOF {
		c.conn.CloseInput()
	} else if err != nil {
		c.t.Fatal(err)
	}
}

func (c *earlyClient) flush() {
	c.t.Helper()
	if _, err := c.socket.Write(c.outgoing); err != nil {
		c.t.Fatal(err)
	}
	c.outgoing = c.outgoing[:0]
}

// dial lets a standard client talk to serve and returns what serve returned.
func dial(t *testing.T, talk func(client *tls.Conn)) (served error) {
	t.Helper()
	cert, roots := makeCertificate(t)
	near, far := sockets(t)
	done := make(chan error, 1)
	go func() {
		defer far.Close()
		done <- serve(far, &baretls.ServerConfig{Certificates: []tls.Certificate{cert}})
	}()
	client := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err := client.Handshake(); err != nil {
		t.Fatalf("a standard client should be welcome, but: %v", err)
	}
	talk(client)
	client.Close()
	return <-done
}

func sockets(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// makeCertificate makes a throwaway certificate and a pool with its CA.
func makeCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	temporary(t)
	var said bytes.Buffer
	cert, err := throwaway(&said)
	if err != nil {
		t.Fatal(err)
	}
	return cert, loadRoots(t, strings.TrimSpace(strings.TrimPrefix(said.String(), "throwaway CA: ")))
}

// temporary lets temporary files go with the test.
func temporary(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
}

func loadRoots(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		t.Fatalf("%s should hold the CA's certificate, but holds %q", file, data)
	}
	return roots
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

type running struct {
	address, port string
	ca            string // file, or empty
	roots         *x509.CertPool
}

// start runs the server; it serves as long as the test's process lives.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	temporary(t)
	stdout, stderr := make(lineChan, 100), make(lineChan, 1000)
	failed := make(chan error, 1)
	go func() { failed <- run(append([]string{"-addr", "localhost:0"}, args...), stdout, stderr) }()
	s := new(running)
	for s.address == "" {
		select {
		case line := <-stdout:
			address, ok := strings.CutPrefix(line, "listening on ")
			if !ok {
				t.Fatalf("the server should say where it listens, but said %q", line)
			}
			s.address = strings.TrimSpace(address)
		case err := <-failed:
			t.Fatalf("the server should listen, but: %v", err)
		}
	}
	select {
	case line := <-stderr: // comes before the address
		s.ca = strings.TrimSpace(strings.TrimPrefix(line, "throwaway CA: "))
		s.roots = loadRoots(t, s.ca)
	default:
	}
	var err error
	if _, s.port, err = net.SplitHostPort(s.address); err != nil {
		t.Fatal(err)
	}
	return s
}

// lineChan is a writer whose writes can be waited for.
type lineChan chan string

func (c lineChan) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}
