package main

import (
	"bufio"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// deadline only keeps a test that goes wrong from waiting for ever.
const deadline = 30 * time.Second

// slowKey signs when it is told to.
type slowKey struct {
	crypto.Signer
	signing chan struct{} // receives from each signature that begins
	release chan struct{} // closed: signatures may end
}

func (k *slowKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.signing <- struct{}{}
	<-k.release
	return k.Signer.Sign(rand, digest, opts)
}

// server is a loop that listens, for fast.example, whose key is at hand, and
// for slow.example, whose key is slow.
type server struct {
	address string
	slow    *slowKey
}

func startServer(t *testing.T, workers int, edit func(*baretls.ServerConfig)) *server {
	t.Helper()
	slow := tlstest.Leaf(tlstest.ECDSAP256, "slow.example")
	s := &server{slow: &slowKey{slow.PrivateKey.(crypto.Signer), make(chan struct{}), make(chan struct{})}}
	slow.PrivateKey = s.slow
	config := &baretls.ServerConfig{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256, "fast.example"), slow}}
	if edit != nil {
		edit(config)
	}
	l, err := newLoop(config, workers, log.New(io.Discard, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	go l.run()
	go l.accept(listener)
	t.Cleanup(func() {
		listener.Close()
		l.stop()
	})
	return s
}

// dial makes a connection of crypto/tls. It needs a certificate if the server asks
// for one.
func (s *server) dial(name string, certificates ...tls.Certificate) (*tls.Conn, error) {
	roots, _ := tlstest.CA()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: deadline}, "tcp", s.address, &tls.Config{
		RootCAs: roots, ServerName: name,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &certificates[0], nil // whatever the server thinks of it
		},
	})
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(deadline))
	return conn, nil
}

// echoes sends data on the connection and waits for it to come back.
func echoes(conn *tls.Conn, data string) error {
	go io.WriteString(conn, data)
	got := make([]byte, len(data))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != data {
		return fmt.Errorf("%.40q comes back as %.40q", data, got)
	}
	return nil
}

// dials makes a connection in the background, and uses it.
func (s *server) dials(name string) chan error {
	done := make(chan error, 1)
	go func() {
		conn, err := s.dial(name)
		if err == nil {
			defer conn.Close()
			err = echoes(conn, "hello")
		}
		done <- err
	}()
	return done
}

// While one connection waits for its signature, others are made and used.
func TestOthersGoOnWhileOneWaits(t *testing.T) {
	s := startServer(t, 2, nil)
	before, err := s.dial("fast.example")
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	waiting := s.dials("slow.example")
	<-s.slow.signing
	for range 10 {
		if err := <-s.dials("fast.example"); err != nil {
			t.Fatalf("a connection does not go on while another one waits: %v", err)
		}
		if err := echoes(before, "still there"); err != nil {
			t.Fatalf("a connection from before does not go on while another one waits: %v", err)
		}
	}
	select {
	case err := <-waiting:
		t.Fatalf("the connection without a signature came to an end: %v", err)
	default:
	}
	close(s.slow.release)
	if err := <-waiting; err != nil {
		t.Errorf("the connection that has waited fails: %v", err)
	}
}

// When all workers are busy, signatures queue up, and the loop goes on.
func TestAllWorkersAreBusy(t *testing.T) {
	const workers, many = 2, 6
	s := startServer(t, workers, nil)
	before, err := s.dial("fast.example")
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	var waiting []chan error
	for range many {
		waiting = append(waiting, s.dials("slow.example"))
	}
	for range workers {
		<-s.slow.signing
	}
	for range 10 {
		if err := echoes(before, strings.Repeat("still there ", 5000)); err != nil {
			t.Fatalf("no connection goes on when all workers are busy: %v", err)
		}
	}
	close(s.slow.release)
	for range many - workers {
		<-s.slow.signing
	}
	for _, done := range waiting {
		if err := <-done; err != nil {
			t.Errorf("a connection that has waited fails: %v", err)
		}
	}
}

// A client that goes away while it waits costs a signature, and nothing else.
func TestClientThatGoesAway(t *testing.T) {
	s := startServer(t, 1, nil)
	socket, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() {
		gone <- tls.Client(socket, &tls.Config{ServerName: "slow.example", InsecureSkipVerify: true}).Handshake()
	}()
	<-s.slow.signing
	socket.Close()
	if err := <-gone; err == nil {
		t.Error("a handshake ends well without a signature")
	}
	close(s.slow.release)
	if err := <-s.dials("fast.example"); err != nil {
		t.Errorf("the next client fails: %v", err)
	}
}

// Clients are verified by the workers as well.
func TestClientCertificates(t *testing.T) {
	s := startServer(t, 2, func(config *baretls.ServerConfig) {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs, _ = tlstest.CA()
	})
	for _, test := range []struct {
		name    string
		options tlstest.Options
		alert   string
	}{
		{"the right one", tlstest.Options{Client: true}, ""},
		{"one of another CA", tlstest.Options{Client: true, UnknownCA: true}, "unknown certificate authority"},
		{"a server's", tlstest.Options{}, "unsupported certificate"},
	} {
		conn, err := s.dial("fast.example", tlstest.New(test.options))
		if err == nil { // with TLS 1.3 a client learns later
			err = echoes(conn, "hello")
			conn.Close()
		}
		if test.alert == "" && err != nil || test.alert != "" && (err == nil || !strings.Contains(err.Error(), test.alert)) {
			t.Errorf("a client with the certificate %q: %v, want %q", test.name, err, test.alert)
		}
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := func(name, kind string, der ...[]byte) string {
		var text []byte
		for _, b := range der {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})...)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	leaf := tlstest.Leaf(tlstest.ECDSAP256)
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile := file("cert.pem", "CERTIFICATE", leaf.Certificate...), file("key.pem", "PRIVATE KEY", key)
	for _, args := range [][]string{
		nil, {"-cert", cert}, {"-cert", cert, "-key", keyFile, "-workers", "0"}, {"-cert", cert, "-key", keyFile, "more"},
		{"-cert", cert, "-key", cert}, {"-cert", cert, "-key", keyFile, "-client-ca", keyFile},
		{"-cert", cert, "-key", keyFile, "-client-ca", dir}, {"-cert", cert, "-key", keyFile, "-addr", "nowhere"},
	} {
		if err := run(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q are no arguments, but there is no error", args)
		}
	}

	stdout, out := io.Pipe()
	go func() {
		out.CloseWithError(run([]string{"-cert", cert, "-key", keyFile, "-addr", "127.0.0.1:0"}, out, io.Discard))
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: strings.TrimSpace(strings.TrimPrefix(line, "listening on "))}
	if err := <-s.dials("example.com"); err != nil {
		t.Errorf("the server does not echo: %v", err)
	}
}
