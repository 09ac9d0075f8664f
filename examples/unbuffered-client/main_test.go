package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

func TestFetchFromStandardServer(t *testing.T) {
	server := startTLS(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s for %s over %s", r.Method, r.URL, r.Host, r.TLS.NegotiatedProtocol)
	}, func(c *tls.Config) {
		c.SessionTicketsDisabled = true // they would come sooner or later, which changes the states
	})
	stdout, stderr, err := runClient("-ca", server.ca, server.address)
	if err != nil {
		t.Fatalf("the page should be fetched, but: %v\n%s", err, stderr)
	}
	if want := "GET / for " + server.address + " over http/1.1"; !strings.HasPrefix(stdout, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(stdout, want) {
		t.Errorf("the response should be printed up to %q, but is %q", want, stdout)
	}
	const story = "EncodeTLSData TransmitTLSData BlockedHandshake EncodeTLSData TransmitTLSData " +
		"WriteTraffic ReadTraffic PeerClosed WriteTraffic Closed"
	if states := inShort(stderr); states != story {
		t.Errorf("the states should be\n%s\nbut are\n%s", story, states)
	}
}

// In TLS 1.2 the server has the last word of a full handshake, and the request
// has to wait for it; after a resumption it is as in TLS 1.3.
func TestFetchOverTLS12(t *testing.T) {
	server := startTLS(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s, resumed: %v\n", tls.VersionName(r.TLS.Version), r.TLS.DidResume)
	})
	stdout, stderr, err := runClient("-ca", server.ca, "-max-version", "1.2", "-early-data", server.address)
	if err != nil {
		t.Fatalf("the page should be fetched over TLS 1.2, but: %v\n%s", err, stderr)
	}
	if !strings.Contains(stdout, "TLS 1.2, resumed: false\n") || !strings.HasSuffix(stdout, "TLS 1.2, resumed: true\n") {
		t.Errorf("the page should be fetched over TLS 1.2 twice, the second time resumed, but the responses are %q", stdout)
	}
	const verdict = "handshake: resumed, early data: not offered\n"
	if !strings.HasSuffix(stderr, verdict) {
		t.Errorf("the client should say %q, for there is no 0-RTT data in TLS 1.2, but said\n%s", verdict, stderr)
	}
	const (
		full = "EncodeTLSData TransmitTLSData BlockedHandshake EncodeTLSData TransmitTLSData " +
			"BlockedHandshake WriteTraffic ReadTraffic PeerClosed WriteTraffic Closed"
		resumed = "EncodeTLSData TransmitTLSData BlockedHandshake EncodeTLSData TransmitTLSData " +
			"WriteTraffic ReadTraffic PeerClosed WriteTraffic Closed"
	)
	first, second, _ := strings.Cut(strings.TrimSuffix(stderr, verdict), "handshake: full, early data: not offered\n")
	for _, connection := range []struct{ kind, said, story string }{{"full", first, full}, {"resumed", second, resumed}} {
		if states := inShort(connection.said); states != connection.story {
			t.Errorf("the states of a %s handshake should be\n%s\nbut are\n%s", connection.kind, connection.story, states)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, test := range []struct {
		args     []string
		min, max uint16 // of the server; 0 is its own bound
		says     string
	}{
		{nil, 0, 0, "TLS 1.3"},
		{nil, 0, tls.VersionTLS12, "TLS 1.2"},
		{[]string{"-max-version", "1.3"}, 0, 0, "TLS 1.3"},
		{[]string{"-min-version", "1.2", "-max-version", "1.2"}, 0, 0, "TLS 1.2"},
		{[]string{"-max-version", "1.2"}, tls.VersionTLS13, 0, "protocol version not supported"},
		{[]string{"-min-version", "1.3"}, 0, 0, "TLS 1.3"},
		{[]string{"-min-version", "1.3"}, 0, tls.VersionTLS12, "protocol version not supported"},
		{[]string{"-min-version", "1.3", "-max-version", "1.2"}, 0, 0, "MinVersion: is above MaxVersion"},
	} {
		server := startTLS(t, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, tls.VersionName(r.TLS.Version))
		}, func(c *tls.Config) { c.MinVersion, c.MaxVersion = test.min, test.max })
		stdout, _, err := runClient(append(append([]string{"-ca", server.ca}, test.args...), server.address)...)
		if said := stdout + fmt.Sprint(err); !strings.Contains(said, test.says) {
			t.Errorf("with %q and a server with the bounds %#x and %#x there should be %q, but there is %q",
				test.args, test.min, test.max, test.says, said)
		}
	}
}

func TestBuffersGrow(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 100_000)
	server := startTLS(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		io.WriteString(w, big)
	})
	stdout, stderr, err := runClient("-ca", server.ca, server.address)
	if err != nil || !strings.HasSuffix(stdout, "\r\n\r\n"+big) {
		t.Errorf("a large response should be printed whole, but %d bytes were: %v\n%s", len(stdout), err, inShort(stderr))
	}
}

func TestAByteAtATime(t *testing.T) {
	server := startTLS(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "slowly") })
	socket, err := net.Dial("tcp", server.address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	config := &baretls.ClientConfig{RootCAs: server.roots}
	request := []byte("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	var stdout bytes.Buffer
	err = fetch(oneByteConn{socket}, config, "127.0.0.1", request, &stdout, io.Discard)
	if err != nil || !strings.HasSuffix(stdout.String(), "slowly") {
		t.Errorf("bytes that come one by one should make the same response, but make %q: %v", &stdout, err)
	}
}

func TestServerNameIsWhatIsVerified(t *testing.T) {
	server := startTLS(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.TLS.ServerName) })
	stdout, _, err := runClient("-ca", server.ca, "-server-name", "example.com", server.address)
	if err != nil || !strings.HasSuffix(stdout, "\r\n\r\nexample.com") {
		t.Errorf("example.com is a name of the server's and should be sent to it, but the response is %q: %v", stdout, err)
	}
	_, _, err = runClient("-ca", server.ca, "-server-name", "other.example", server.address)
	if host := (x509.HostnameError{}); !errors.As(err, &host) {
		t.Errorf("other.example is no name of the server's, but the error is %v", err)
	}
}

func TestUnknownCAIsToldToTheServer(t *testing.T) {
	server := startTLS(t, nil)
	_, stderr, err := runClient(server.address)
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		t.Errorf("a server of an unknown CA should be refused, but the error is %v", err)
	}
	if states := inShort(stderr); !strings.HasSuffix(states, "BlockedHandshake EncodeTLSData TransmitTLSData") {
		t.Errorf("the alert should be sent before the error, but the states are %s", states)
	}
	if said := <-server.errors; !strings.Contains(said, "unknown certificate authority") {
		t.Errorf("the server should be sent the alert unknown_ca, but says %q", said)
	}
}

func TestTruncationIsAnError(t *testing.T) {
	server := startTLS(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe first half")
		conn.(*tls.Conn).NetConn().Close()
	})
	stdout, _, err := runClient("-ca", server.ca, server.address)
	if !strings.HasSuffix(stdout, "the first half") || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a response without a close_notify should end with io.ErrUnexpectedEOF, but was printed as %q with %v", stdout, err)
	}
}

func TestWrongArguments(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("not PEM"), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	for _, test := range []struct {
		says string
		args []string
	}{
		{"usage", nil},
		{"usage", []string{closed, closed}},
		{"not defined", []string{"-unknown", closed}},
		{"invalid boolean", []string{"-early-data=much", closed}},
		{"missing port", []string{"localhost"}},
		{"invalid port", []string{"localhost:99999"}},
		{"refused", []string{closed}},
		{"-min-version 1.1: 1.2 and 1.3 are supported", []string{"-min-version", "1.1", closed}},
		{"-max-version 1.4: 1.2 and 1.3 are supported", []string{"-max-version", "1.4", closed}},
		{text, []string{"-ca", text, closed}},
		{"missing.pem", []string{"-ca", "missing.pem", closed}},
	} {
		if _, _, err := runClient(test.args...); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("arguments %q should be an error about %q, but are %v", test.args, test.says, err)
		}
	}
}

// The two examples, as processes of their own.
func TestAgainstUnbufferedServer(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir) // for the CA
	t.Setenv("TMP", dir)
	server := exec.Command(build(t, "unbuffered-server"), "-addr", "localhost:0")
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	ca := after(t, "throwaway CA: ", stderr)
	address := after(t, "listening on ", stdout)

	client := exec.Command(build(t, "unbuffered-client"), "-ca", ca, address)
	client.Stderr = new(bytes.Buffer)
	got, err := client.Output()
	if err != nil || !strings.Contains(string(got), "Hello from a server") {
		t.Errorf("the client should print the server's page, but printed %q: %v\n%s", got, err, client.Stderr)
	}

	stranger := exec.Command(client.Path, address)
	said, err := stranger.CombinedOutput()
	if stranger.ProcessState.ExitCode() != 1 || !strings.Contains(string(said), "unknown authority") {
		t.Errorf("without the CA the client should exit with 1 and say why, but: %v\n%s", err, said)
	}
}

// A server of the standard library resumes, but knows no 0-RTT.
func TestSecondConnectionResumes(t *testing.T) {
	server := startTLS(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "resumed: %v\n", r.TLS.DidResume)
	})
	stdout, stderr, err := runClient("-ca", server.ca, "-early-data", server.address)
	if err != nil || !strings.Contains(stdout, "resumed: false\n") || !strings.HasSuffix(stdout, "resumed: true\n") {
		t.Errorf("the page should be fetched twice, over a full and a resumed connection, but the responses are %q: %v", stdout, err)
	}
	if !strings.HasSuffix(stderr, "handshake: resumed, early data: not offered\n") {
		t.Errorf("the client should say that there was no early data, but said\n%s", stderr)
	}
}

// What becomes of the request that is early data, by a server that takes it, one
// that rejects it, and one whose sessions allow too little.
func TestEarlyData(t *testing.T) {
	for _, test := range []struct {
		name     string
		guard    baretls.ReplayGuard
		allowed  uint32
		early    string // what the server reads as early data
		ordinary string // and afterwards
		verdict  string
	}{
		{"accepted", knowing{baretls.NewReplayGuard(0)}, 1024, "request", "", "accepted"},
		{"rejected", baretls.NewReplayGuard(0), 1024, "", "request", "rejected"},
		{"not sent", knowing{baretls.NewReplayGuard(0)}, 3, "", "request", "accepted"},
	} {
		cert, roots := makeCertificate(t)
		client := &baretls.ClientConfig{RootCAs: roots, EnableEarlyData: true}
		server := &baretls.ServerConfig{
			Certificates: []tls.Certificate{cert},
			MaxEarlyData: test.allowed,
			ReplayGuard:  test.guard,
		}
		var early, ordinary, stdout, states string
		for range 2 { // the first for the tickets
			var err error
			early, ordinary, stdout, states, err = converse(t, client, server)
			if err != nil {
				t.Fatalf("%s: the client should fetch the page, but: %v\n%s", test.name, err, states)
			}
		}
		if early != test.early || ordinary != test.ordinary || stdout != "response" {
			t.Errorf("%s: the server should read %q early and %q later, and the client its response, but they read %q, %q and %q",
				test.name, test.early, test.ordinary, early, ordinary, stdout)
		}
		if want := "handshake: resumed, early data: " + test.verdict + "\n"; !strings.HasSuffix(states, want) {
			t.Errorf("%s: the client should say %q, but said\n%s", test.name, want, states)
		}
	}
}

// knowing is a register of replays that is as old as the keys of the tickets, so
// that it knows all there can be and need not wait.
type knowing struct{ baretls.ReplayGuard }

func (knowing) Since() time.Time { return time.Time{} }

// converse lets fetch talk to a server with baretls that answers one request.
func converse(t *testing.T, client *baretls.ClientConfig, server *baretls.ServerConfig) (early, ordinary, stdout, states string, err error) {
	t.Helper()
	near, far := net.Pipe()
	deadline := time.Now().Add(20 * time.Second)
	near.SetDeadline(deadline)
	far.SetDeadline(deadline)
	served := make(chan error, 1)
	go func() {
		defer far.Close()
		var err error
		early, ordinary, err = answer(far, server)
		served <- err
	}()
	var out, said bytes.Buffer
	err = fetch(near, client, "localhost", []byte("request"), &out, &said)
	near.Close()
	if err := <-served; err != nil {
		t.Errorf("the server should be done in order, but: %v", err)
	}
	return early, ordinary, out.String(), said.String(), err
}

// answer reads one request, which may be early data, and answers it once the
// handshake is complete.
func answer(socket net.Conn, config *baretls.ServerConfig) (early, ordinary string, err error) {
	conn, err := baretls.NewServer(config)
	if err != nil {
		return "", "", err
	}
	incoming := make([]byte, 0, 1<<16)
	var outgoing []byte
	answered := false
	for {
		status, err := conn.ProcessTLSRecords(incoming)
		if err != nil {
			return early, ordinary, err
		}
		discard, quiet := status.Discard, false
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			outgoing, err = state.AppendTo(outgoing)
		case baretls.TransmitTLSData:
			err = state.Done()
		case baretls.ReadEarlyData:
			for record := range state.Records() {
				discard += record.Discard
				early += string(record.Payload)
			}
		case baretls.ReadTraffic:
			for record := range state.Records() {
				discard += record.Discard
				ordinary += string(record.Payload)
			}
		case baretls.WriteTraffic:
			if quiet = answered || early+ordinary == ""; !quiet {
				answered = true
				outgoing, _ = state.AppendEncrypted(outgoing, []byte("response"))
				outgoing, err = state.AppendCloseNotify(outgoing)
			}
		case baretls.BlockedHandshake:
			quiet = true
		case baretls.Closed:
			return early, ordinary, nil
		}
		if err != nil {
			return early, ordinary, err
		}
		incoming = append(incoming[:0], incoming[discard:]...)
		if !quiet {
			continue
		}
		if len(outgoing) > 0 {
			if _, err := socket.Write(outgoing); err != nil {
				return early, ordinary, err
			}
			outgoing = outgoing[:0]
		}
		n, err := socket.Read(incoming[len(incoming):cap(incoming)])
		incoming = incoming[:len(incoming)+n]
		if err == io.EOF {
			conn.CloseInput()
		} else if err != nil {
			return early, ordinary, err
		}
	}
}

// makeCertificate makes a certificate for localhost that is its own CA.
func makeCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		DNSNames:  []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func runClient(args ...string) (stdout, stderr string, err error) {
	var out, states bytes.Buffer
	err = run(args, &out, &states)
	return out.String(), states.String(), err
}

// inShort makes one line of the states, without repetitions: how often there
// was something to read depends on how it came.
func inShort(stderr string) string {
	var states []string
	for line := range strings.Lines(stderr) {
		name := strings.TrimPrefix(strings.TrimSpace(line), "baretls.")
		if len(states) == 0 || states[len(states)-1] != name {
			states = append(states, name)
		}
	}
	short := strings.Join(states, " ")
	for again := "ReadTraffic WriteTraffic ReadTraffic"; strings.Contains(short, again); {
		short = strings.ReplaceAll(short, again, "ReadTraffic")
	}
	return strings.ReplaceAll(short, "ReadTraffic WriteTraffic PeerClosed", "ReadTraffic PeerClosed")
}

// standardServer is one with crypto/tls.
type standardServer struct {
	address, ca string
	roots       *x509.CertPool
	errors      lineChan
}

func startTLS(t *testing.T, handler http.HandlerFunc, changes ...func(*tls.Config)) *standardServer {
	t.Helper()
	s := &standardServer{errors: make(lineChan, 100), roots: x509.NewCertPool()}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	for _, change := range changes {
		change(server.TLS)
	}
	server.Config.ErrorLog = log.New(s.errors, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	s.address = server.Listener.Addr().String()
	s.roots.AddCert(server.Certificate())
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&block), 0o644); err != nil {
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

type oneByteConn struct{ net.Conn }

func (c oneByteConn) Read(p []byte) (int, error) { return c.Conn.Read(p[:1]) }

// build builds an example and returns the program.
func build(t *testing.T, example string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), example)
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	if said, err := exec.Command("go", "build", "-o", program, "../"+example).CombinedOutput(); err != nil {
		t.Fatalf("%s should build, but: %v\n%s", example, err, said)
	}
	return program
}

// after reads a line and returns what follows its beginning.
func after(t *testing.T, beginning string, r io.Reader) string {
	t.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	rest, ok := strings.CutPrefix(line, beginning)
	if err != nil || !ok {
		t.Fatalf("the program should print a line that begins with %q, but printed %q: %v", beginning, line, err)
	}
	return strings.TrimSpace(rest)
}
