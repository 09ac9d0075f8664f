package netconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baretls/baretls"
)

// Conn is a connection with TLS on top of a net.Conn, which it owns. See the
// package documentation for what its methods have in common.
type Conn struct {
	socket net.Conn
	tls    *baretls.Conn
	server serverSide // nil for a client

	complete atomic.Bool  // the handshake is, and reader and writer are set
	closed   atomic.Bool  // by Close
	over     atomic.Bool  // which has sent what it had to
	writing  atomic.Int32 // calls that write, or wait to

	// Who does the handshake has this lock, and what is the reader's later.
	handshakeMu sync.Mutex

	// What the reader owns.
	readMu    sync.Mutex
	reader    *baretls.ReadHalf
	in        input
	payload   []byte      // a part of in that was opened and not yet read
	readErr   error       // why there will be no more
	hasRead   atomic.Bool // Read was called
	readEarly atomic.Bool

	// What the writer owns; and the turns, as long as the handshake goes on.
	// This lock is taken last.
	writeMu   sync.Mutex
	writer    *baretls.WriteHalf
	outBuf    *buffer
	out       []byte // encoded and not yet sent, in outBuf
	writeErr  error  // why nothing can be sent
	written   bool   // application data was
	torn      bool   // and not all of the last Write
	answering atomic.Bool
	deadline  deadline

	// The handshake.
	failure   error // why it has failed
	unsent    bool  // a flight has not been sent as a whole
	greeted   bool  // a server has seen who speaks
	plainHTTP bool  // and that is no TLS
	early     earlyData
	halfway   atomic.Bool // a server may write, but the handshake is not complete
}

// Client returns the client's end of a TLS connection on top of conn. The name
// is that of the server, as for baretls.NewClient, and so are the errors. The
// Conn owns conn from then on.
func Client(conn net.Conn, config *baretls.ClientConfig, serverName string) (*Conn, error) {
	client, err := newClient(config, serverName)
	if err != nil {
		return nil, err
	}
	return newConn(conn, &client.Conn, nil), nil
}

func newClient(config *baretls.ClientConfig, serverName string) (*baretls.ClientConn, error) {
	if config != nil && config.Ask != 0 {
		return nil, errAsk
	}
	return baretls.NewClient(config, serverName)
}

// Server returns the server's end of a TLS connection on top of conn, which it
// owns from then on. A *baretls.ConfigError says what is wrong with the config.
func Server(conn net.Conn, config *baretls.ServerConfig) (*Conn, error) {
	server, err := newServer(config)
	if err != nil {
		return nil, err
	}
	return newConn(conn, &server.Conn, server), nil
}

func newServer(config *baretls.ServerConfig) (*baretls.ServerConn, error) {
	if config != nil && config.Ask != 0 {
		return nil, errAsk
	}
	return baretls.NewServer(config)
}

// errAsk: a Conn is waited for by goroutines of its own, and has nobody to
// answer such states. The functions of a config may take their time instead.
var errAsk = &baretls.ConfigError{Field: "Ask", Err: errors.New("a net.Conn has nobody to ask")}

// serverSide is what only a baretls.ServerConn has: an interface, so that a
// program with clients only does not contain one.
type serverSide interface {
	SetResumptionData(data []byte) error
	ResumptionData() []byte
}

func newConn(socket net.Conn, conn *baretls.Conn, server serverSide) *Conn {
	c := &Conn{socket: socket, tls: conn, server: server}
	c.in.socket = socket
	c.in.ready = newReadiness(socket, &c.in)
	return c
}

// Format keeps what was received and not yet read out of what %v and its kin
// print.
func (c *Conn) Format(s fmt.State, verb rune) { fmt.Fprint(s, "Conn(secret)") }

// NetConn returns the connection that this one is on top of. What is read from
// it or written to it is missing in, or breaks, the TLS connection.
func (c *Conn) NetConn() net.Conn { return c.socket }

// LocalAddr returns the address of this side.
func (c *Conn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.socket.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.deadline.set(t)
	return c.socket.SetDeadline(t)
}

// SetReadDeadline sets the time after which Read, and a handshake that waits
// for the peer, fail with an error that is os.ErrDeadlineExceeded. The zero
// time is none. Nothing is lost by it.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.socket.SetReadDeadline(t) }

// SetWriteDeadline sets the time after which Write, and whatever else sends,
// fail with an error that is os.ErrDeadlineExceeded. The zero time is none.
// Nothing is lost by it: see Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.deadline.set(t)
	return c.socket.SetWriteDeadline(t)
}

// deadline is the one for writing, kept to be asked before anything is sealed:
// what is sealed has to be sent.
type deadline struct{ at atomic.Int64 } // since begin; 0 is none

var begin = time.Now()

// farOff is as good as never, and leaves room for the time since begin.
const farOff = 100 * 365 * 24 * time.Hour

func (d *deadline) set(t time.Time) {
	if t.IsZero() {
		d.at.Store(0)
		return
	}
	d.at.Store(max(1, int64(time.Since(begin)+min(time.Until(t), farOff)))) // by a clock that is not set
}

func (d *deadline) passed() bool {
	at := d.at.Load()
	return at != 0 && int64(time.Since(begin)) >= at
}

// closePatience is how long Close waits for all that it waits for.
const closePatience = 5 * time.Second

// Close sends a close_notify and closes the socket. It may be called while
// other methods wait: they return net.ErrClosed, as all later calls do, the
// second Close included.
//
// Close waits 5 seconds at most: for room for the close_notify, and for the
// peer's end in one case. That is a TLS 1.3 client that has written and never
// read. The server's tickets may be on their way to it; if they came to a
// closed socket, systems would reset the connection and lose what was written.
// A Write that waits for room is cut off, and then, as after one that a deadline
// has stopped halfway, the peer is told nothing: to it, the connection is
// truncated.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	watchdog := time.AfterFunc(closePatience, func() { c.socket.Close() })
	defer watchdog.Stop()
	c.drain(c.sayGoodbye())
	if c.complete.Load() {
		c.tls.Abandon() // each half clears its secrets when it notices
	}
	err := c.socket.Close()
	c.over.Store(true)
	c.tidyInput()
	c.tidyOutput()
	return err
}

// unlockWrite ends what a writer does.
func (c *Conn) unlockWrite() {
	c.writeMu.Unlock()
	if c.over.Load() {
		c.tidyOutput()
	}
}

// tidyOutput gives the buffer of a closed connection back. If somebody writes,
// that is left to him.
func (c *Conn) tidyOutput() {
	if !c.writeMu.TryLock() {
		return
	}
	defer c.writeMu.Unlock()
	c.dropOutput()
	if c.writer != nil {
		c.writer.PendingLen() // it has been abandoned, and notices
	}
}

// sayGoodbye sends a close_notify, if it can still be sent, and reports whether
// all that was written has gone before it.
func (c *Conn) sayGoodbye() bool {
	now := time.Now()
	if c.writing.Load() > 0 {
		c.socket.SetWriteDeadline(now.Add(-time.Second)) // sends those away who wait for room
	}
	if !c.complete.Load() && !c.finishHalfway() {
		return false
	}
	c.writeMu.Lock()
	defer c.unlockWrite()
	if c.torn { // by us or by a deadline: what the peer has got is not all
		return false
	}
	c.socket.SetWriteDeadline(now.Add(closePatience))
	if c.flush() != nil {
		return false
	}
	c.appendPending()
	c.lendOutput(smallBuffer)
	c.out, _ = c.writer.AppendCloseNotify(c.out) // a connection that has failed ends with its alert
	return c.flush() == nil
}

// finishHalfway waits for the client's Finished if data was written before it:
// tickets are then due before the end. It reports whether there is one to say.
func (c *Conn) finishHalfway() bool {
	if !c.halfway.Load() {
		return false
	}
	c.socket.SetDeadline(time.Now().Add(closePatience))
	return c.handshake(c.complete.Load) == nil
}

// drain reads what is here, so that systems do not reset the connection for
// being closed with something unread, and waits for the peer's end if tickets
// may be under way. If somebody reads, nothing is unread.
func (c *Conn) drain(goodbye bool) {
	if !c.readMu.TryLock() {
		return
	}
	defer c.readMu.Unlock()
	if !c.handshakeMu.TryLock() {
		return
	}
	defer c.handshakeMu.Unlock()
	if half, ok := c.socket.(interface{ CloseWrite() error }); ok && goodbye && c.awaitsTickets() && half.CloseWrite() == nil {
		c.socket.SetReadDeadline(time.Now().Add(closePatience))
		for {
			c.in.drop()
			if c.in.receive(len(c.in.header)) != nil {
				return
			}
		}
	}
	if c.in.ready == nil {
		return
	}
	c.socket.SetReadDeadline(time.Time{})
	for range 16 { // or the peer could go on for ever
		c.in.drop()
		if n, err := c.in.ready.poll(); n == 0 || err != nil {
			return
		}
	}
}

func (c *Conn) awaitsTickets() bool {
	c.writeMu.Lock()
	defer c.unlockWrite()
	return !c.isServer() && c.complete.Load() && c.written && !c.hasRead.Load() && c.readErr == nil &&
		c.tls.ProtocolVersion() == tls.VersionTLS13
}

// ErrTorn is CloseWrite after a Write that was cut off, by a deadline for
// example, and whose rest has not been written: the peer would take what it got
// for all.
var ErrTorn = errors.New("netconn: the last Write was cut off")

// CloseWrite sends a close_notify: this side writes nothing more, and goes on
// to read until the peer closes too. The socket stays open. Before the
// handshake is complete it is baretls.ErrHandshakeNotComplete, and after a Write
// that was cut off it is ErrTorn. The second call does nothing.
func (c *Conn) CloseWrite() error {
	if !c.complete.Load() {
		return baretls.ErrHandshakeNotComplete
	}
	c.writing.Add(1)
	defer c.writing.Add(-1)
	c.writeMu.Lock()
	defer c.unlockWrite()
	if err := c.mayWrite(); err != nil {
		return err
	}
	if c.torn {
		return ErrTorn
	}
	c.lendOutput(smallBuffer)
	var err error
	if c.out, err = c.writer.AppendCloseNotify(c.out); err != nil {
		c.dropOutput()
		return err
	}
	return c.flush()
}

// isTimeout reports whether a deadline has passed, and nothing worse.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
