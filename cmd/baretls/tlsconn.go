package main

import (
	"errors"
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
	closed   bool  // by Close
	failed   error // why TLS has failed, if it has
	// early is what a client wants to send as 0-RTT data, until it is sent. A
	// server notes whether payload is such data, and what was read last.
	early                   []byte
	earlySent               bool
	earlyPayload, earlyRead bool
	halfway                 bool // data was written before the handshake's end
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

// WriteEarly does a client's handshake and sends p with its first bytes, as
// 0-RTT data, if there is a session that allows so much. It reports whether the
// server has taken p; if not, p is still to be written.
func (c *tlsConn) WriteEarly(p []byte) (taken bool, err error) {
	c.mu.Lock()
	c.early = p
	c.mu.Unlock()
	if err := c.Handshake(); err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.earlySent && c.tls.EarlyData() == baretls.EarlyDataAccepted, nil
}

// ReadEarly reports whether what was read last is 0-RTT data, which may be a
// replay.
func (c *tlsConn) ReadEarly() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.earlyRead
}

// Read returns io.EOF after the peer's close_notify, and only then: the end of
// the socket without it is io.ErrUnexpectedEOF. A server's Read returns 0-RTT
// data before the handshake is complete.
func (c *tlsConn) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil && len(p) > 0 {
		if err := c.awaitData(); err != nil {
			return 0, err
		}
		n, err = c.read(p)
	}
	return n, err
}

// awaitData waits for the end of the handshake, or for data before it.
func (c *tlsConn) awaitData() error {
	c.handshaking.Lock()
	defer c.handshaking.Unlock()
	return c.until(func() bool { return !c.tls.IsHandshaking() || len(c.payload) > 0 })
}

// read returns nothing if the handshake goes on and another has read the data.
func (c *tlsConn) read(p []byte) (n int, err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	ended := false
	err = c.until(func() bool {
		if n = copy(p, c.payload); n > 0 {
			c.payload = c.payload[n:]
			c.earlyRead = c.earlyPayload
		}
		ended = c.ended
		return n > 0 || ended || c.tls.IsHandshaking()
	})
	if n == 0 && err == nil && ended {
		err = io.EOF
	}
	return n, err
}

// Write encrypts all of p and sends it.
func (c *tlsConn) Write(p []byte) (int, error) {
	for {
		n, err := c.write(p)
		if err != errHandshaking {
			return n, err
		}
		if err := c.Handshake(); err != nil {
			return 0, err
		}
	}
}

func (c *tlsConn) write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	writer, err := c.writer()
	if err != nil {
		return 0, err
	}
	c.halfway = c.tls.IsHandshaking()
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
// Before the end of the handshake there is nothing to close, unless something
// has been written; then the client's Finished is awaited, for the tickets that
// are its due come before the end.
func (c *tlsConn) CloseWrite() error {
	if c.isHalfway() {
		if err := c.Handshake(); err != nil {
			return err
		}
	}
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

func (c *tlsConn) isHalfway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halfway && c.tls.IsHandshaking()
}

// closePatience is how long Close waits for a Write that goes on, and for room
// for the close_notify, and how long the socket waits for the peer to close.
const closePatience = 5 * time.Second

// Close sends a close_notify, if it can still be sent, and closes the socket:
// in the background, once the peer has closed too. A system resets a connection
// that is closed with something unread, tickets for example, and what was
// written would be lost. A second Close does not wait.
func (c *tlsConn) Close() error {
	if c.SetDeadline(time.Now().Add(closePatience)) == nil {
		_ = c.CloseWrite() // the socket's error says more
	}
	c.mu.Lock()
	wait := !c.closed && !c.ended && c.broken == nil
	c.closed = true
	c.mu.Unlock()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); wait && ok && half.CloseWrite() == nil {
		go c.linger()
		return nil
	}
	return c.Conn.Close()
}

// linger closes the socket after the peer.
func (c *tlsConn) linger() {
	defer c.Conn.Close()
	c.SetReadDeadline(time.Now()) // sends those away who still read
	for _, readers := range []*sync.Mutex{&c.handshaking, &c.reading} {
		readers.Lock()
		//lint:ignore SA2001 to wait for those who have it is all
		readers.Unlock()
	}
	c.SetReadDeadline(time.Now().Add(closePatience))
	io.Copy(io.Discard, c.Conn)
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
	for !c.closed && !done() {
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
			if err := c.receive(state, need); err != nil && !c.closed {
				return err
			}
		}
	}
	if c.closed {
		return net.ErrClosed
	}
	return nil
}

// errHandshaking is that the handshake has to go on before anything is written.
var errHandshaking = errors.New("handshake is not complete")

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
		case baretls.BlockedHandshake:
			return baretls.WriteTraffic{}, errHandshaking
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
		if err = c.addEarly(state); err != nil {
			break
		}
		c.tell(state, "%d bytes", len(c.outgoing))
		// Done comes first, for others may take turns while we send.
		if err = state.Done(); err == nil {
			err = c.send()
		}
	case baretls.ReadEarlyData:
		// A copy, for the handshake may have to go on before it is read.
		record, _ := state.NextRecord()
		c.tell(state, "%d bytes of early data", len(record.Payload))
		c.payload = append(slices.Clip(c.payload), record.Payload...)
		c.earlyPayload = true
		c.start += record.Discard
	case baretls.ReadTraffic:
		// One record only: what it holds has to be read before the next.
		record, _ := state.NextRecord()
		c.tell(state, "%d bytes of data", len(record.Payload))
		c.payload, c.earlyPayload = record.Payload, false
		c.start += record.Discard
	case baretls.PeerClosed:
		c.tell(state, "")
		c.ended = true
	case baretls.Closed:
		c.tell(state, "")
	}
	return status.State, err
}

// addEarly puts 0-RTT data behind the hello, if the session allows all of it.
func (c *tlsConn) addEarly(hello baretls.TransmitTLSData) (err error) {
	writer, ok := hello.MayEncryptEarlyData()
	if !ok || len(c.early) == 0 || len(c.early) > writer.BytesLeft() {
		return nil
	}
	if c.outgoing, err = writer.AppendEncrypted(c.outgoing, c.early); err != nil {
		return err
	}
	c.tell(writer, "%d bytes of early data", len(c.early))
	c.early, c.earlySent = nil, true
	return nil
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

// tell traces a state, or a right that came with it, and what was done about it.
func (c *tlsConn) tell(state any, format string, args ...any) {
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
