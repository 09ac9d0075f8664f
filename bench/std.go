package main

import (
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"time"

	"github.com/baretls/baretls"
)

// transport is the net.Conn under a connection of crypto/tls, in memory. It
// has nobody to wait for: when there is nothing to read, it lets the peer run.
type transport struct {
	in   []byte // sent by the peer and not read
	off  int
	peer *[]byte // where what is written goes to; nil discards it
	more func() error
}

var errNothingToRead = errors.New("there is nothing to read, and the peer has nothing to say")

func (t *transport) Read(b []byte) (int, error) {
	if t.off == len(t.in) {
		t.in, t.off = t.in[:0], 0
		if err := t.more(); err != nil {
			return 0, err
		}
		if len(t.in) == 0 {
			return 0, errNothingToRead
		}
	}
	n := copy(b, t.in[t.off:])
	t.off += n
	return n, nil
}

func (t *transport) Write(b []byte) (int, error) {
	if t.peer != nil {
		*t.peer = append(*t.peer, b...)
	}
	return len(b), nil
}

func (t *transport) Close() error                     { return nil }
func (t *transport) LocalAddr() net.Addr              { return nil }
func (t *transport) RemoteAddr() net.Addr             { return nil }
func (t *transport) SetDeadline(time.Time) error      { return nil }
func (t *transport) SetReadDeadline(time.Time) error  { return nil }
func (t *transport) SetWriteDeadline(time.Time) error { return nil }

// stdPair is both sides of a connection of crypto/tls. Each needs a stack to
// block on, so the server is a coroutine: a switch is neither a goroutine's wake-up
// nor a lock, and never two of them run at once.
type stdPair struct {
	clientConfig, serverConfig *tls.Config
	client, server             *tls.Conn
	clientSide, serverSide     transport

	clock  *clock
	work   func(*tls.Conn) error // of the server; nil when it is done
	failed error
	resume func() (struct{}, bool)
	stop   func()
}

func newStdPair(client, server *tls.Config) *stdPair {
	p := &stdPair{clientConfig: client, serverConfig: server}
	p.clientSide.peer, p.serverSide.peer = &p.serverSide.in, &p.clientSide.in
	p.resume, p.stop = iter.Pull(p.serve)
	p.clientSide.more = p.runServer
	return p
}

// serve is the coroutine: it yields to the client whenever it would block.
func (p *stdPair) serve(yield func(struct{}) bool) {
	p.serverSide.more = func() error {
		if !yield(struct{}{}) {
			return io.ErrClosedPipe
		}
		return nil
	}
	for {
		if p.work != nil {
			p.server = tls.Server(&p.serverSide, p.serverConfig)
			p.failed = p.work(p.server)
			p.work = nil
		}
		if !yield(struct{}{}) {
			return
		}
	}
}

func (p *stdPair) runServer() error {
	if p.work == nil {
		return errNothingToRead
	}
	p.clock.to(server)
	p.resume()
	p.clock.to(client)
	return p.failed
}

// connect makes a connection, over which each side does its work. The clock is
// the client's before and after.
func (p *stdPair) connect(c *clock, clientWork, serverWork func(*tls.Conn) error) error {
	for _, t := range []*transport{&p.clientSide, &p.serverSide} {
		t.in, t.off = t.in[:0], 0
	}
	p.clock, p.work, p.failed = c, serverWork, nil
	p.client = tls.Client(&p.clientSide, p.clientConfig)
	if err := clientWork(p.client); err != nil {
		return errors.Join(err, p.failed)
	}
	if p.work != nil {
		return p.runServer()
	}
	return nil
}

// mixedPair is a connection of crypto/tls whose peer is one of baretls.
type mixedPair struct {
	std       *tls.Conn
	transport transport
	peer      end
}

func newMixedPair() *mixedPair {
	m := new(mixedPair)
	m.peer.peer, m.transport.peer = &m.transport.in, &m.peer.in
	m.transport.more = m.peer.run
	return m
}

// accept makes crypto/tls the server.
func (m *mixedPair) accept(conn net.Conn, clientConfig *baretls.ClientConfig, serverConfig *tls.Config) error {
	client, err := baretls.NewClient(clientConfig, serverName)
	if err != nil {
		return err
	}
	m.peer.reset(&client.Conn)
	if err := m.peer.run(); err != nil {
		return err
	}
	m.std = tls.Server(conn, serverConfig)
	if err := m.std.Handshake(); err != nil {
		return err
	}
	return m.peer.run() // what the server said last
}

// dial makes crypto/tls the client.
func (m *mixedPair) dial(conn net.Conn, clientConfig *tls.Config, serverConfig *baretls.ServerConfig) error {
	server, err := baretls.NewServer(serverConfig)
	if err != nil {
		return err
	}
	m.peer.reset(&server.Conn)
	m.std = tls.Client(conn, clientConfig)
	if err := m.std.Handshake(); err != nil {
		return err
	}
	return m.peer.run()
}
