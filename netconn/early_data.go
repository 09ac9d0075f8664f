package netconn

import (
	"context"

	"github.com/baretls/baretls"
)

// earlyData is what is known of 0-RTT data.
type earlyData struct {
	out   *firstData // a client's, to be sent
	in    []byte     // a server's, received and not yet read
	reads bool       // Read may return it before the end of the handshake
}

// firstData is what one call wants to be sent.
type firstData struct {
	data []byte
	sent bool
}

// HandshakeEarly does a client's handshake, and sends data with its first
// bytes, as 0-RTT data, if there is a session that allows all of it: see
// EnableEarlyData. It says what became of the data: EarlyDataNotOffered if it
// was not sent, which it is not either when the handshake has begun before,
// and EarlyDataRejected if the server has skipped it. In both cases it is
// still to be written. After an error, EarlyDataUndecided tells that it was
// sent, and a later Handshake goes on; TLS then knows what became of it.
//
// 0-RTT data can be replayed: it has to be something that may happen twice.
func (c *Conn) HandshakeEarly(ctx context.Context, data []byte) (baretls.EarlyDataStatus, error) {
	first := &firstData{data: data}
	c.writeMu.Lock()
	if c.early.out == nil {
		c.early.out = first
	}
	c.unlockWrite()
	err := c.HandshakeContext(ctx)
	c.writeMu.Lock()
	defer c.unlockWrite()
	switch {
	case !first.sent:
		if c.early.out == first {
			c.early.out = nil
		}
		return baretls.EarlyDataNotOffered, err
	case err != nil:
		return baretls.EarlyDataUndecided, err
	}
	return c.tls.EarlyData(), nil
}

// addEarlyData puts 0-RTT data behind the hello, if the session allows all of it.
func (c *Conn) addEarlyData(hello baretls.TransmitTLSData) (err error) {
	first := c.early.out
	writer, ok := hello.MayEncryptEarlyData()
	if !ok || first == nil || first.sent || len(first.data) == 0 || len(first.data) > writer.BytesLeft() {
		return nil
	}
	c.out, err = writer.AppendEncrypted(c.out, first.data)
	first.data, first.sent = nil, err == nil
	return err
}

// AllowEarlyReads lets a server's Read return 0-RTT data before the handshake
// is complete, when it may still be a replay: see ReadEarly. Without it, such
// data is kept, as much as MaxEarlyData allows, until the client has proved to
// be there. It is to be called before anything is read.
func (c *Conn) AllowEarlyReads() {
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	c.early.reads = true
}

// ReadEarly reports whether what Read has returned last is 0-RTT data that may
// be a replay, because the handshake was not complete. It is false without
// AllowEarlyReads.
func (c *Conn) ReadEarly() bool { return c.readEarly.Load() }

// hasEarlyData reports whether there is something to read before the end of
// the handshake.
func (c *Conn) hasEarlyData() bool { return c.early.reads && len(c.early.in) > 0 }

// readEarlyData reads it. The caller holds the lock of the input.
func (c *Conn) readEarlyData(p []byte) int {
	n := copy(p, c.early.in)
	if c.early.in = c.early.in[n:]; len(c.early.in) == 0 {
		c.early.in = nil
	}
	c.readEarly.Store(!c.complete.Load())
	return n
}
