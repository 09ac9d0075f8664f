package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baretls/baretls"
)

// tlsConn is a net.Conn on top of a socket: as much of one as this command
// needs. Deadlines and addresses are the socket's. Read and Write share a lock
// for the turns, but do not hold it while they wait for the socket.
type tlsConn struct {
	net.Conn
	trace func(line string) // told about each state, if it is set

	handshaking sync.Mutex // one goroutine waits for the handshake
	reading     sync.Mutex // and later one for data
	mu          sync.Mutex // for all below; taken last
	tls         *baretls.Conn
	// incoming is what was received; what is before start is to be discarded,
	// but stays as long as payload, a part of it, has not been read.
	incoming []byte
	start    int
	payload  []byte
	ended    bool  // the peer has closed
	failed   error // why TLS has failed, if it has
	// outgoing is what is encoded and not sent. One goroutine at a time sends,
	// from a buffer of its own. Once that has failed there is a hole in the
	// stream, so that broken is final.
	outgoing, spare []byte
	sending         bool
	sent            sync.Cond // sending has become false
	broken          error

	turns             int
	bytesIn, bytesOut int64
}

func newConn(socket net.Conn, conn *baretls.Conn, trace func(string)) *tlsConn {
	c := &tlsConn{Conn: socket, tls: conn, trace: trace}
	c.sent.L = &c.mu
	return c
}

// Handshake waits until the peer is authenticated. Read and Write call it. A
// client's own Finished goes out with what comes next.
func (c *tlsConn) Handshake() error {
	c.handshaking.Lock()
	defer c.handshaking.Unlock()
	return c.until(func() bool { return !c.tls.IsHandshaking() })
}

// Read returns io.EOF after the peer's close_notify, and only then: the end of
// the socket without it is io.ErrUnexpectedEOF.
func (c *tlsConn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	err = c.until(func() bool {
		n = copy(p, c.payload)
		c.payload = c.payload[n:]
		return n > 0 || c.ended
	})
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write encrypts all of p and sends it.
func (c *tlsConn) Write(p []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	writer, err := c.writer()
	if err != nil {
		return 0, err
	}
	if c.outgoing, err = writer.AppendEncrypted(c.outgoing, p); err != nil {
		return 0, err
	}
	c.tell(writer, "%d bytes of data", len(p))
	if err := c.send(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite sends a close_notify: this side has said all, and still reads.
// Before the end of the handshake there is nothing to close.
func (c *tlsConn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tls.IsHandshaking() {
		return nil
	}
	writer, err := c.writer()
	if err == baretls.ErrWriteClosed {
		return nil
	}
	if err != nil {
		return err
	}
	before := len(c.outgoing)
	if c.outgoing, err = writer.AppendCloseNotify(c.outgoing); err != nil {
		return err
	}
	if len(c.outgoing) > before {
		c.tell(writer, "close_notify")
	}
	return c.send()
}

// closePatience is how long Close waits for a Write that goes on, and for room
// for the close_notify.
const closePatience = 5 * time.Second

// Close sends a close_notify, if it can still be sent, and closes the socket.
func (c *tlsConn) Close() error {
	if c.SetWriteDeadline(time.Now().Add(closePatience)) == nil {
		_ = c.CloseWrite() // the socket's error says more
	}
	return c.Conn.Close()
}

// failure is why TLS has failed on the connection, or nil: what has happened
// to the socket is none.
func (c *tlsConn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// until takes turns, and receives when they lead no further, until done.
func (c *tlsConn) until(done func() bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !done() {
		state, err := c.turn(c.incoming[c.start:])
		if err != nil {
			return err
		}
		// A quiet turn may have been the one that did it.
		need, quiet := 0, true
		switch state := state.(type) {
		case baretls.BlockedHandshake:
			need = state.Need()
		case baretls.WriteTraffic:
			need = state.Need()
		default:
			quiet = false
		}
		if quiet && !done() {
			if err := c.receive(state, need); err != nil {
				return err
			}
		}
	}
	return nil
}

// writer takes turns until it is time to write, and nobody else does. They are
// turns without input: what has been received is the reader's.
func (c *tlsConn) writer() (baretls.WriteTraffic, error) {
	for {
		for c.sending {
			c.sent.Wait()
		}
		state, err := c.turn(nil)
		if err != nil {
			return baretls.WriteTraffic{}, err
		}
		switch state := state.(type) {
		case baretls.WriteTraffic:
			return state, nil
		case baretls.Closed:
			return baretls.WriteTraffic{}, baretls.ErrWriteClosed
		}
	}
}

// turn takes a turn and does what its state asks for, but for the quiet states.
func (c *tlsConn) turn(incoming []byte) (baretls.State, error) {
	status, err := c.tls.ProcessTLSRecords(incoming)
	c.turns++
	c.start += status.Discard
	if err != nil {
		c.failed = err
		return nil, err
	}
	switch state := status.State.(type) {
	case baretls.EncodeTLSData:
		c.tell(state, "%d bytes", state.Len())
		c.outgoing, err = state.AppendTo(c.outgoing)
	case baretls.TransmitTLSData:
		c.tell(state, "%d bytes", len(c.outgoing))
		// Done comes first, for others may take turns while we send.
		if err = state.Done(); err == nil {
			err = c.send()
		}
	case baretls.ReadTraffic:
		// One record only: what it holds has to be read before the next.
		record, _ := state.NextRecord()
		c.tell(state, "%d bytes of data", len(record.Payload))
		c.payload = record.Payload
		c.start += record.Discard
	case baretls.PeerClosed:
		c.tell(state, "")
		c.ended = true
	case baretls.Closed:
		c.tell(state, "")
	}
	return status.State, err
}

// receive waits for more from the socket, need bytes at least in the long run.
func (c *tlsConn) receive(state baretls.State, need int) error {
	c.tell(state, "receive")
	c.incoming = append(c.incoming[:0], c.incoming[c.start:]...)
	c.start = 0
	have := len(c.incoming)
	c.incoming = slices.Grow(c.incoming, max(need, 4096))
	room := c.incoming[have:cap(c.incoming)]

	c.mu.Unlock()
	n, err := c.Conn.Read(room)
	c.mu.Lock()

	c.incoming = c.incoming[:have+n]
	c.bytesIn += int64(n)
	if err == io.EOF {
		c.tls.CloseInput() // the next turn tells what that means
		return nil
	}
	return err
}

// send sends what is encoded. If another goroutine is at it, that one sends
// this as well.
func (c *tlsConn) send() error {
	for !c.sending && c.broken == nil && len(c.outgoing) > 0 {
		batch := c.outgoing
		c.outgoing = c.spare[:0]
		c.sending = true

		c.mu.Unlock()
		n, err := c.Conn.Write(batch)
		c.mu.Lock()

		c.bytesOut += int64(n)
		c.broken = err
		c.spare = batch
		c.sending = false
		c.sent.Broadcast()
	}
	return c.broken
}

// tell traces a state and what was done about it.
func (c *tlsConn) tell(state baretls.State, format string, args ...any) {
	if c.trace == nil {
		return
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", state), "baretls.")
	if format != "" {
		name += ": " + fmt.Sprintf(format, args...)
	}
	c.trace(name)
}

// tlsListener accepts sockets as TLS servers. The handshake is left to the
// connection's first Read, so that no client can hold up another.
type tlsListener struct {
	net.Listener
	config *baretls.ServerConfig
}

func (l tlsListener) Accept() (net.Conn, error) {
	socket, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn, err := baretls.NewServer(l.config)
	if err != nil {
		socket.Close()
		return nil, err
	}
	return newConn(socket, &conn.Conn, nil), nil
}
