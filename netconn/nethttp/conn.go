package nethttp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
)

// Conn is a *netconn.Conn as net/http gets to see it: without a
// ConnectionState, for which it would expect a *tls.Conn. It is what a server's
// ConnContext and ConnState, Hijack and a client's httptrace.GotConnInfo have.
type Conn struct {
	net.Conn
	tls    *netconn.Conn
	server *http.Server // nil for a client

	// A client's.
	failure   atomic.Pointer[baretls.Error] // that a Read has met
	readEnded chan struct{}                 // closed when one has met any error
	endRead   sync.Once

	// A server's.
	early   bool // may read 0-RTT data as such
	begun   sync.Once
	greeted int   // how much there was of a greeting of HTTP/2
	settled bool  // and it is known whether it is one
	err     error // why nothing is read any more
	logged  atomic.Bool
	known   atomic.Pointer[tls.ConnectionState] // when it will not change
}

func newConn(conn *netconn.Conn, server *http.Server) *Conn {
	return &Conn{Conn: conn, tls: conn, server: server, readEnded: make(chan struct{})}
}

// NetConn returns the *netconn.Conn.
func (c *Conn) NetConn() net.Conn { return c.tls }

// CloseWrite sends a close_notify.
func (c *Conn) CloseWrite() error { return c.tls.CloseWrite() }

// ReadFrom writes all that is read from r: see netconn.Conn.ReadFrom.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) { return c.tls.ReadFrom(r) }

// AllowEarlyRequests has a server handle requests that come as 0-RTT data
// before the handshake is complete: RFC 8470. They may be replays, and are those
// whose Request.TLS has a HandshakeComplete that is false. A handler that must
// not handle such a request twice answers http.StatusTooEarly. Without it, they
// wait for the end of the handshake.
//
// It is to be called by http.Server's ConnContext. The config needs a
// MaxEarlyData, and SendHalfRTTData or the answers will wait.
func (c *Conn) AllowEarlyRequests() {
	c.early = true
	c.tls.AllowEarlyReads()
}

// Read does a server's handshake first.
func (c *Conn) Read(p []byte) (int, error) {
	if c.server == nil {
		n, err := c.tls.Read(p)
		if failure := (*baretls.Error)(nil); errors.As(err, &failure) {
			c.failure.Store(failure)
		}
		if err != nil {
			c.endRead.Do(func() { close(c.readEnded) })
		}
		return n, err
	}
	c.begun.Do(c.begin)
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.tls.Read(p)
	if err != nil && c.tls.TLS() == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.logFailure(err)
	}
	if !c.settled {
		if c.err = c.checkGreeting(p[:n]); c.err != nil {
			return 0, c.err
		}
	}
	return n, err
}

// alertPatience is how long a Write waits for what Read may know.
const alertPatience = 500 * time.Millisecond

// Write is netconn's. A server that refuses a client's certificate sends an
// alert and goes, so that a Write may fail before the alert is read, by
// whoever reads; its error is then that one.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.tls.Write(p)
	if err != nil && c.server == nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		select {
		case <-c.readEnded:
		case <-time.After(alertPatience):
		}
		if failure := c.failure.Load(); failure != nil {
			err = failure
		}
	}
	return n, err
}

// begin does the handshake, or makes sure that it comes to an end.
func (c *Conn) begin() {
	var late atomic.Bool
	if patience := handshakePatience(c.server); patience > 0 {
		timer := time.AfterFunc(patience, func() {
			if c.tls.TLS() == nil {
				late.Store(true)
				c.tls.NetConn().Close()
			}
		})
		if !c.early {
			defer timer.Stop()
		}
	}
	if c.early {
		return
	}
	// Unlike Handshake, a Read of nothing answers a client that speaks HTTP.
	if _, c.err = c.tls.Read(nil); c.err != nil {
		if late.Load() {
			c.err = context.DeadlineExceeded
		}
		c.logFailure(c.err)
	}
}

// handshakePatience is what net/http gives handshakes of its own.
func handshakePatience(s *http.Server) (least time.Duration) {
	for _, d := range []time.Duration{s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout} {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

// logFailure tells of a handshake that has failed.
func (c *Conn) logFailure(err error) {
	if c.logged.Swap(true) {
		return
	}
	reason := err.Error()
	if plain := (tls.RecordHeaderError{}); errors.As(err, &plain) && plain.Conn != nil {
		reason = "the client does not speak TLS"
	}
	logf := log.Printf
	if c.server.ErrorLog != nil {
		logf = c.server.ErrorLog.Printf
	}
	logf("http: TLS handshake error from %s: %s", c.RemoteAddr(), reason)
}

// How a client of HTTP/2 begins, RFC 9113, Section 3.4, and as much of it as
// cannot be a request of HTTP/1.1 yet.
const (
	http2Greeting = http2Line + "\r\n\r\nSM\r\n\r\n"
	http2Line     = "PRI * HTTP/2.0"
)

var errOtherProtocol = errors.New("nethttp: the client speaks another protocol than was agreed on")

// checkGreeting holds a client to the protocol that was agreed on. net/http
// takes the one that it sees, and a server may have none but HTTP/1.1.
func (c *Conn) checkGreeting(p []byte) error {
	http2, greeting := speaksHTTP2(c.tls), http2Line
	if http2 {
		greeting = http2Greeting
	}
	n := min(len(p), len(greeting)-c.greeted)
	same := string(p[:n]) == greeting[c.greeted:c.greeted+n]
	c.greeted += n
	c.settled = !same || c.greeted == len(greeting)
	if c.settled && same != http2 {
		return errOtherProtocol
	}
	return nil
}

func speaksHTTP2(conn *netconn.Conn) bool {
	return conn.ConnectionState().NegotiatedProtocol == protoHTTP2
}

// state is what a request is told about its connection.
func (c *Conn) state() *tls.ConnectionState {
	if known := c.known.Load(); known != nil {
		return known
	}
	state := c.tls.ConnectionState()
	state.HandshakeComplete = state.HandshakeComplete && !c.tls.ReadEarly()
	if state.HandshakeComplete {
		c.known.Store(&state)
	}
	return &state
}
