package interop

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
)

// TestNetConn: all that golang.org/x/net asks of a net.Conn holds for ours, on
// top of sockets and of pipes, which have no buffers at all, and nothing is
// left running. Of crypto/tls's it does not, where a deadline is too hard.
func TestNetConn(t *testing.T) {
	w := makeWorld()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &baretls.ClientConfig{RootCAs: w.ca.pool, MaxVersion: version}
		server := &baretls.ServerConfig{
			Certificates: []tls.Certificate{w.byKey[0].cert},
			// In a pipe they would hold up the handshake until somebody reads.
			SessionTicketsDisabled: true,
		}
		for _, transport := range []struct {
			name string
			make func() (net.Conn, net.Conn, error)
		}{
			{"sockets", socketPair},
			{"pipe", func() (net.Conn, net.Conn, error) { a, b := net.Pipe(); return a, b, nil }},
		} {
			t.Run(tls.VersionName(version)+" over "+transport.name, func(t *testing.T) {
				defer goleak.VerifyNone(t)
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					a, b, err := transport.make()
					if err != nil {
						return nil, nil, nil, err
					}
					c, err := netconn.Client(a, client, serverName)
					if err != nil {
						return nil, nil, nil, err
					}
					s, err := netconn.Server(b, server)
					if err != nil {
						return nil, nil, nil, err
					}
					done := make(chan error, 1)
					go func() { done <- s.Handshake() }()
					err = errors.Join(c.Handshake(), <-done)
					return c, s, func() {
						if transport.name == "pipe" { // or a close_notify that nobody reads would take its time
							b.Close()
						}
						s.Close() // which a Close of the client may wait for
						c.Close()
					}, err
				})
			})
		}
	}
}

// socketPair returns both ends of a TCP connection.
func socketPair() (dialed, accepted net.Conn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	if dialed, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	accepted, err = listener.Accept()
	return dialed, accepted, err
}
