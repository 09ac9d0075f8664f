package netconn

import (
	"io"
	"net"
	"os"
	"time"

	"github.com/baretls/baretls"
)

// Write encrypts p and sends it. It does the handshake if that has not been
// done.
//
// If the write deadline passes, n is how many bytes of p are committed: they
// have been sent or will be, and are not to be written again. A Write of the
// rest goes on where this one was stopped. After any other error of the socket
// the connection cannot be written to any more.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.writing.Add(1)
	defer c.writing.Add(-1)
	if err := c.beforeWrite(); err != nil {
		return 0, err
	}
	c.writeMu.Lock()
	defer c.unlockWrite()
	return c.write(p)
}

// write returns when all of p is sent. The caller holds writeMu.
func (c *Conn) write(p []byte) (n int, err error) {
	for {
		if err := c.mayWrite(); err != nil {
			c.torn = c.torn || len(p) > 0 && !c.closed.Load()
			return n, err
		}
		sealed, err := c.seal(p)
		if sealed > 0 {
			c.torn = true
			err = c.flush()
		}
		if err == nil || isTimeout(err) {
			n += sealed
			p = p[sealed:]
		}
		if len(p) == 0 && n > 0 {
			c.torn = false
		}
		if err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// ReadFrom writes all that is read from r, which it reads straight into the
// memory that is encrypted from, until r ends. If the write deadline passes, what
// has been read from r and is not counted by n is lost.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	if err := c.beforeWrite(); err != nil {
		return 0, err
	}
	plain := take(bulkBuffer)
	defer plain.giveBack()
	for {
		m, readErr := r.Read(plain.data[:bulkData])
		if m > 0 {
			written, err := c.Write(plain.data[:m])
			n += int64(written)
			if err != nil {
				return n, err
			}
		}
		switch {
		case readErr == io.EOF:
			return n, nil
		case readErr != nil:
			return n, readErr
		}
	}
}

// beforeWrite does the handshake, or the part of it before 0.5-RTT data.
func (c *Conn) beforeWrite() error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	if c.halfway.Load() {
		return nil
	}
	return c.await(c.halfway.Load)
}

// mayWrite sends what is left of what was sealed before, and fails if nothing
// more can be sent.
func (c *Conn) mayWrite() error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case c.deadline.passed():
		return os.ErrDeadlineExceeded
	}
	return c.flush()
}

// sealer is what encrypts: a WriteTraffic before the end of the handshake, and
// the write half after it.
type sealer interface {
	EncryptedLen(n int) int
	AppendEncrypted(out, appData []byte) ([]byte, error)
}

func (c *Conn) sealer() (sealer, error) {
	for !c.complete.Load() {
		state, err := c.turn(nil) // without input: that is the reader's
		if err != nil {
			return nil, err
		}
		if state, ok := state.(baretls.WriteTraffic); ok && !c.complete.Load() {
			return state, nil
		}
	}
	return c.writer, nil
}

// bulkData is as much data as fills a bulkBuffer when it is sealed: 2 records,
// and a key update that falls due.
const bulkData = bulkBuffer - 3*32

// seal encrypts the front of p, as much as a buffer holds, behind what is to be
// sent, and returns how much that is.
func (c *Conn) seal(p []byte) (int, error) {
	s, err := c.sealer()
	if err != nil {
		return 0, err
	}
	p = p[:min(len(p), bulkData)]
	size := s.EncryptedLen(len(p))
	for size > bulkBuffer && len(p) > 1 { // small records
		p = p[:len(p)/2]
		size = s.EncryptedLen(len(p))
	}
	c.lendOutput(size)
	if c.out, err = s.AppendEncrypted(c.out, p); err != nil {
		c.sendPending() // a key that is used up ends with a close_notify
		return 0, err
	}
	c.written = true
	return len(p), nil
}

// lendOutput gives out a buffer of that size if it has none.
func (c *Conn) lendOutput(size int) {
	if c.outBuf == nil {
		c.outBuf = take(size)
		c.out = c.outBuf.data[:0]
	}
}

// dropOutput gives the buffer back with all that is in it.
func (c *Conn) dropOutput() {
	c.outBuf.giveBack()
	c.outBuf, c.out = nil, nil
}

// flush sends what is encoded. What the socket does not take before the
// deadline is kept; another error is final.
func (c *Conn) flush() error {
	var err error
	if len(c.out) > 0 && c.writeErr == nil {
		var n int
		if n, err = c.socket.Write(c.out); err == nil || !isTimeout(err) {
			c.writeErr = err
		} else {
			c.out = c.out[n:]
		}
	}
	if err == nil || c.writeErr != nil {
		c.dropOutput()
		err = c.writeErr
	}
	if err != nil && c.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// answer sends what the write half owes because of what was read. The reader
// does not wait for it, unless it has failed and there is an alert to send.
func (c *Conn) answer(failed bool) {
	if failed && c.writeMu.TryLock() {
		defer c.unlockWrite()
		c.socket.SetWriteDeadline(time.Now().Add(closePatience))
		c.sendPending()
	} else if !c.answering.Swap(true) {
		go func() {
			c.writeMu.Lock()
			defer c.unlockWrite()
			c.answering.Store(false)
			c.sendPending()
		}()
	}
}

func (c *Conn) sendPending() {
	if c.flush() != nil { // what is kept goes first, and does not grow
		return
	}
	c.appendPending()
	c.flush() // an error is the next Write's
}

func (c *Conn) appendPending() {
	if c.complete.Load() && c.writer.Pending() {
		c.lendOutput(smallBuffer)
		c.out, _ = c.writer.AppendPending(c.out) // its error is the reader's
	}
}
