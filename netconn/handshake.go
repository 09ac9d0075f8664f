package netconn

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/baretls/baretls"
)

// Handshake does the handshake, or waits for the end of one that goes on. Read
// and Write call it. It returns nil once the peer is authenticated.
//
// A failure of TLS is a *baretls.Error, by errors.As. If the peer does not
// speak TLS it is a tls.RecordHeaderError as well, with Conn set; and if what
// it speaks is HTTP, nothing has been sent, so that one can answer there.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext is Handshake with a context. If that ends before the
// handshake does, the socket is closed, and the error is that of the context.
// It has no effect afterwards.
func (c *Conn) HandshakeContext(ctx context.Context) (err error) {
	if c.complete.Load() {
		return nil
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { c.socket.Close() })
		defer func() {
			if !stop() {
				err = ctx.Err()
			}
		}()
	}
	err = c.handshake(c.complete.Load)
	if err != nil { // it is the caller who answers a peer that speaks no TLS
		c.writeMu.Lock()
		c.plainHTTP = c.plainHTTP && c.failure == nil
		c.unlockWrite()
	}
	return err
}

// handshake takes the handshake on until it is done, or complete. One goroutine
// does so, and the others wait for it.
func (c *Conn) handshake(done func() bool) error {
	if c.complete.Load() {
		return nil
	}
	defer c.tidyInput()
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	return c.drive(done)
}

// await is handshake for those who were not asked for one.
func (c *Conn) await(done func() bool) error {
	err := c.handshake(done)
	if err != nil {
		c.answerHTTP()
	}
	return err
}

// drive receives, and takes turns. The caller holds handshakeMu.
func (c *Conn) drive(done func() bool) error {
	for !c.complete.Load() { // asked first, for a Write may have the lock for long
		need, err := c.turns(done)
		if need == 0 || err != nil {
			return err
		}
		if err := c.in.receive(need); errors.Is(err, io.EOF) {
			c.writeMu.Lock()
			c.tls.CloseInput() // the next turn tells what that means
			c.unlockWrite()
		} else if err != nil {
			c.writeMu.Lock()
			err = c.fail(err)
			c.unlockWrite()
			return err
		}
	}
	return nil
}

// turns takes turns until the handshake is done, or needs so many bytes more.
func (c *Conn) turns(done func() bool) (need int, err error) {
	c.writeMu.Lock()
	defer c.unlockWrite()
	for !c.complete.Load() && !done() {
		state, err := c.turn(c.in.bytes())
		if err != nil {
			return 0, err
		}
		switch state := state.(type) {
		case baretls.BlockedHandshake:
			need = state.Need()
		case baretls.WriteTraffic: // before the end, and so for 0.5-RTT data
			need = state.Need()
		default:
			continue
		}
		if !c.complete.Load() && !done() {
			return max(need, 1), nil
		}
	}
	return 0, nil
}

// turn takes a turn and does what its state asks for. Once the handshake is
// complete and has been sent, it divides the connection. The caller holds
// writeMu, and handshakeMu as well unless it hands in nothing.
func (c *Conn) turn(incoming []byte) (baretls.State, error) {
	if err := c.mayHandshake(); err != nil {
		return nil, err
	}
	if c.isServer() && !c.greeted && len(incoming) >= 5 {
		c.greeted, c.plainHTTP = true, looksLikeHTTP(incoming)
	}
	status, err := c.tls.ProcessTLSRecords(incoming)
	if len(incoming) > 0 { // or it is the reader's
		c.in.discard(status.Discard)
	}
	if err != nil {
		return nil, c.fail(c.withConn(err))
	}
	switch state := status.State.(type) {
	case baretls.EncodeTLSData:
		c.lendOutput(state.Len())
		if c.out, err = state.AppendTo(c.out); err != nil {
			return nil, c.fail(err)
		}
		return state, nil // there is more
	case baretls.TransmitTLSData:
		if err := c.transmit(state); err != nil {
			return nil, err
		}
	case baretls.ReadEarlyData:
		for record := range state.Records() {
			c.early.in = append(c.early.in, record.Payload...)
			c.in.discard(record.Discard)
		}
	case baretls.WriteTraffic:
		c.halfway.Store(c.tls.IsHandshaking())
	case baretls.PeerClosed:
		c.readErr = io.EOF
	}
	if c.tls.IsHandshaking() {
		return status.State, nil
	}
	return status.State, c.divide()
}

// mayHandshake sends what an earlier turn was kept from sending.
func (c *Conn) mayHandshake() error {
	switch {
	case c.closed.Load() && !c.halfway.Load():
		return net.ErrClosed
	case c.failure != nil:
		return c.failure
	case c.unsent:
		if err := c.flush(); err != nil {
			return c.fail(err)
		}
		c.unsent = false
	}
	return nil
}

// transmit sends the flight that has been encoded.
func (c *Conn) transmit(state baretls.TransmitTLSData) error {
	if err := c.addEarlyData(state); err != nil {
		return c.fail(err)
	}
	if err := state.Done(); err != nil {
		return c.fail(err)
	}
	if c.plainHTTP { // an alert, of which it would make nothing
		c.dropOutput()
		return nil
	}
	if err := c.flush(); err != nil {
		c.unsent = true
		if _, cause := c.tls.ProcessTLSRecords(nil); cause != nil { // what it was to tell
			err = c.withConn(cause)
		}
		return c.fail(err)
	}
	return nil
}

// divide is the end of the handshake: reading and writing part here.
func (c *Conn) divide() error {
	reader, writer, err := c.tls.Split()
	switch {
	case err == nil:
		c.reader, c.writer = reader, writer
		c.halfway.Store(false)
		c.complete.Store(true)
	case !errors.Is(err, baretls.ErrOutputPending):
		return c.fail(err)
	}
	return nil
}

// fail makes an error final, unless it is that of a deadline. The caller holds
// writeMu.
func (c *Conn) fail(err error) error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case isTimeout(err) && !errors.As(err, new(*baretls.Error)):
		return err
	}
	if c.failure == nil {
		c.failure = err
		c.dropOutput()
	}
	return c.failure
}

// notTLS is the error of a peer that speaks something else.
type notTLS struct {
	error
	known tls.RecordHeaderError
}

func (e *notTLS) Unwrap() []error { return []error{e.known, e.error} }

// withConn adds to such an error the connection that one might answer on.
func (c *Conn) withConn(err error) error {
	known, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok {
		return err
	}
	known.Conn = c.socket
	return &notTLS{err, known}
}

// looksLikeHTTP knows the requests that net/http knows.
func looksLikeHTTP(incoming []byte) bool {
	switch string(incoming[:5]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// plainAnswer is what net/http answers to HTTP where TLS is spoken.
const plainAnswer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

// answerHTTP tells a client that speaks HTTP what is wrong, if the handshake
// was done by Read or Write: who calls Handshake can do so better.
func (c *Conn) answerHTTP() {
	c.writeMu.Lock()
	defer c.unlockWrite()
	if c.plainHTTP && c.failure != nil {
		c.plainHTTP = false
		c.socket.SetWriteDeadline(time.Now().Add(closePatience))
		io.WriteString(c.socket, plainAnswer)
	}
}
