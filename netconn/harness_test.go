package netconn_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/netconn"
)

// patience is for what should happen at once, and a sign of a failure if not.
const patience = 30 * time.Second

// eachVersion runs a test for both versions, and checks what it leaves behind.
func eachVersion(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			leavesNothing(t)
			f(t, version)
		})
	}
}

// leavesNothing makes sure that at the end of a test no goroutine goes on and
// no buffer is out of its pool.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		if !eventually(func() bool { return runtime.NumGoroutine() <= before }) {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Errorf("there were %d goroutines before the test, and are %d after it:\n%s", before, runtime.NumGoroutine(), stacks)
		}
		if !eventually(func() bool { return netconn.OnLoan.Load() == 0 }) {
			t.Errorf("%d buffers are out of their pools after the test", netconn.OnLoan.Load())
		}
	})
}

// eventually waits for something that nothing tells of.
func eventually(done func() bool) bool {
	for begin := time.Now(); !done(); runtime.Gosched() {
		if time.Since(begin) > patience {
			return false
		}
	}
	return true
}

func clientConfig(version uint16) *baretls.ClientConfig {
	roots, _ := tlstest.CA()
	return &baretls.ClientConfig{RootCAs: roots, MinVersion: version, MaxVersion: version}
}

func serverConfig() *baretls.ServerConfig {
	return &baretls.ServerConfig{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}}
}

// sockets returns both ends of a connection, of TCP or of another network.
func sockets(t testing.TB, network string) (dialed, accepted net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	switch network {
	case "pipe":
		return net.Pipe()
	case "unix":
		address = t.TempDir() + "/socket"
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if dialed, err = net.Dial(network, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

// over makes a client and a server of the two ends of a connection. They are
// closed at the end of the test.
func over(t testing.TB, a, b net.Conn, client *baretls.ClientConfig, server *baretls.ServerConfig) (c, s *netconn.Conn) {
	t.Helper()
	c, err := netconn.Client(a, client, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	s, err = netconn.Server(b, server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close() // so that nobody waits for the other
		c.Close()
		s.Close()
	})
	return c, s
}

// pair is a client and a server over TCP, before the handshake.
func pair(t testing.TB, version uint16) (c, s *netconn.Conn) {
	t.Helper()
	a, b := sockets(t, "tcp")
	return over(t, a, b, clientConfig(version), serverConfig())
}

// connect is a pair after the handshake. No ticket is on its way.
func connect(t testing.TB, version uint16) (c, s *netconn.Conn) {
	t.Helper()
	a, b := sockets(t, "tcp")
	config := serverConfig()
	config.SessionTicketsDisabled = true
	c, s = over(t, a, b, clientConfig(version), config)
	handshake(t, c, s)
	return c, s
}

func handshake(t testing.TB, c, s *netconn.Conn) {
	t.Helper()
	errs := make(chan error, 1)
	go func() { errs <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-errs); err != nil {
		t.Fatal(err)
	}
}

// send writes a few bytes and makes sure that they arrive.
func send(t testing.TB, from, to net.Conn, text string) {
	t.Helper()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		if n, err := io.WriteString(from, text); n != len(text) || err != nil {
			t.Errorf("%q should be written, but Write returned %d, %v", text, n, err)
		}
	})
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Errorf("%q should arrive, but %q did, with the error %v", text, got, err)
	}
}

// pattern is n bytes in which no part is like the others.
func pattern(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		b.Write([]byte{byte(i), byte(i >> 8), byte(i >> 16), '.'})
	}
	return b.Bytes()[:n]
}

// wrapped hides that a connection is a socket.
type wrapped struct{ net.Conn }
