package netconn

import (
	"errors"
	"io"
	"net"

	"github.com/baretls/baretls"
)

// Read reads up to len(p) bytes, of several records if they are here. It
// returns io.EOF after the peer's close_notify, and a *baretls.Error when the
// connection has failed: io.ErrUnexpectedEOF by errors.Is if the socket has
// ended before. It does the handshake if that has not been done; a client that
// speaks HTTP to a server is then answered like net/http does.
func (c *Conn) Read(p []byte) (n int, err error) {
	if len(p) > 0 && !c.hasRead.Load() {
		c.hasRead.Store(true)
	}
	if c.closed.Load() { // Close may have the lock for long
		return 0, net.ErrClosed
	}
	if !c.complete.Load() {
		if n, err := c.readHandshaking(p); n > 0 || err != nil {
			return n, err
		}
	}
	c.readMu.Lock()
	defer c.rest()
	switch {
	case c.closed.Load():
		return 0, net.ErrClosed
	case len(p) == 0:
		return 0, nil
	case len(c.early.in) > 0:
		return c.readEarlyData(p), nil
	}
	for n < len(p) {
		if len(c.payload) == 0 {
			if err := c.next(n == 0); n > 0 && (err != nil || len(c.payload) == 0) {
				break // the error comes again
			} else if err != nil {
				return 0, err
			}
		}
		m := copy(p[n:], c.payload)
		n += m
		c.payload = c.payload[m:]
	}
	if c.readEarly.Load() {
		c.readEarly.Store(false)
	}
	return n, nil
}

// readHandshaking does the handshake, or the part of it before 0-RTT data,
// which it reads.
func (c *Conn) readHandshaking(p []byte) (n int, err error) {
	defer c.tidyInput()
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	if err := c.drive(c.hasEarlyData); err != nil {
		c.answerHTTP()
		return 0, err
	}
	if !c.complete.Load() {
		n = c.readEarlyData(p)
	}
	return n, nil
}

// WriteTo writes all that is read to w, straight from where it was decrypted,
// until the peer's close_notify. What w does not take is left to be read.
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	c.hasRead.Store(true)
	if err := c.await(c.complete.Load); err != nil {
		return 0, err
	}
	c.readMu.Lock()
	defer c.rest()
	for {
		if c.closed.Load() {
			return n, net.ErrClosed
		}
		from := &c.payload
		if len(c.early.in) > 0 {
			from = &c.early.in
		} else if len(c.payload) == 0 {
			if err := c.next(true); err == io.EOF {
				return n, nil
			} else if err != nil {
				return n, err
			}
		}
		c.readEarly.Store(false)
		m, err := w.Write(*from)
		n += int64(m)
		*from = (*from)[m:]
		if err == nil && len(*from) > 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return n, err
		}
	}
}

// next opens the next record with a payload, or fails. It waits for one if it
// may, and returns without one otherwise.
func (c *Conn) next(wait bool) error {
	for len(c.payload) == 0 {
		if c.readErr != nil {
			return c.readErr
		}
		status, err := c.reader.ProcessTLSRecords(c.in.bytes())
		c.in.discard(status.Discard)
		if c.writer.Pending() {
			c.answer(err != nil)
		}
		switch {
		case err != nil && c.closed.Load():
			return net.ErrClosed
		case err != nil:
			c.readErr = err
			return err
		}
		switch state := status.State.(type) {
		case baretls.ReadTraffic:
			record, _ := state.NextRecord()
			c.in.discard(record.Discard)
			c.payload = record.Payload
		case baretls.PeerClosed, baretls.Closed:
			c.readErr = io.EOF
			c.in.drop() // whatever follows
		case baretls.BlockedRead:
			if !wait {
				return nil
			}
			switch err := c.in.receive(state.Need()); {
			case errors.Is(err, io.EOF): // a wrapped one is none of ours
				c.reader.CloseInput() // the next turn tells what that means
			case c.closed.Load():
				return net.ErrClosed
			case err != nil:
				return err
			}
		}
	}
	return nil
}

// rest ends a call that reads: it gives back what the connection does not need
// until the next.
func (c *Conn) rest() {
	if len(c.payload) == 0 {
		c.payload = nil
		c.in.tidy()
	}
	c.readMu.Unlock()
	if c.closed.Load() {
		c.tidyInput()
	}
}

// tidyInput gives the buffer back if nothing is in it, and the one of a closed
// connection in any case. If somebody reads, that is left to him.
func (c *Conn) tidyInput() {
	if !c.readMu.TryLock() {
		return
	}
	defer c.readMu.Unlock()
	if !c.handshakeMu.TryLock() {
		return
	}
	defer c.handshakeMu.Unlock()
	if c.closed.Load() {
		c.payload = nil
		c.in.drop()
		if c.reader != nil {
			c.reader.ProcessTLSRecords(nil) // it has been abandoned, and notices
		}
	}
	if len(c.payload) == 0 { // which is a part of it
		c.in.tidy()
	}
}
