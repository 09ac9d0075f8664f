package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/baretls/baretls"
)

// turns is a net.Conn for one goroutine that shows the states it goes through.
// What a program should use is package netconn; here one can see what that does.
type turns struct {
	net.Conn // the socket; deadlines and addresses are its
	tls      *baretls.Conn
	trace    func(line string) // told about each state, if it is set

	// incoming is what was received; what is before start is to be discarded,
	// but stays as long as payload, a part of it, has not been read.
	incoming []byte
	start    int
	payload  []byte
	ended    bool   // the peer has closed
	outgoing []byte // encoded and not sent
	early    []byte // what a client wants to send as 0-RTT data, until it is sent

	count             int // of turns
	bytesIn, bytesOut int64
}

func newTurns(socket net.Conn, conn *baretls.Conn, trace func(string)) *turns {
	return &turns{Conn: socket, tls: conn, trace: trace}
}

// TLS returns the connection of which it takes the turns.
func (c *turns) TLS() *baretls.Conn { return c.tls }

// HandshakeEarly is that of netconn. A client's own Finished goes out with what
// comes next. The context is the caller's affair.
func (c *turns) HandshakeEarly(_ context.Context, data []byte) (baretls.EarlyDataStatus, error) {
	c.early = data
	if err := c.handshake(); err != nil || c.early != nil {
		return baretls.EarlyDataNotOffered, err
	}
	return c.tls.EarlyData(), nil
}

func (c *turns) handshake() error {
	return c.until(func() bool { return !c.tls.IsHandshaking() })
}

// Read returns io.EOF after the peer's close_notify, and only then. A server's
// returns 0-RTT data before the handshake is complete.
func (c *turns) Read(p []byte) (int, error) {
	if err := c.until(func() bool { return len(c.payload) > 0 || c.ended }); err != nil {
		return 0, err
	}
	n := copy(p, c.payload)
	if c.payload = c.payload[n:]; n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Write encrypts all of p and sends it.
func (c *turns) Write(p []byte) (int, error) {
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

// CloseWrite sends a close_notify, once. What a server's tickets are due for,
// the end of the handshake, is awaited.
func (c *turns) CloseWrite() error {
	if err := c.handshake(); err != nil {
		return err
	}
	writer, err := c.writer()
	if err == baretls.ErrWriteClosed {
		return nil
	}
	if err != nil {
		return err
	}
	if c.outgoing, err = writer.AppendCloseNotify(c.outgoing); err != nil {
		return err
	}
	if len(c.outgoing) > 0 {
		c.tell(writer, "close_notify")
	}
	return c.send()
}

// closePatience is how long Close waits for the peer.
const closePatience = 2 * time.Second

// Close sends a close_notify if the handshake is complete, and closes the socket
// when the peer has closed it, too: systems reset a connection that is closed
// with something unread, and what was written would be lost.
func (c *turns) Close() error {
	defer c.Conn.Close()
	if c.tls.IsHandshaking() || c.CloseWrite() != nil {
		return nil // there is nothing to lose, or nothing to be done
	}
	if half, ok := c.Conn.(*net.TCPConn); ok && half.CloseWrite() == nil {
		c.SetReadDeadline(time.Now().Add(closePatience))
		_, _ = io.Copy(io.Discard, c.Conn)
	}
	return nil
}

// until takes turns, and receives when they lead no further, until done.
func (c *turns) until(done func() bool) error {
	for !done() {
		state, err := c.turn(c.incoming[c.start:])
		if err != nil {
			return err
		}
		need := 0
		switch state := state.(type) {
		case baretls.BlockedHandshake:
			need = state.Need()
		case baretls.WriteTraffic:
			need = state.Need()
		default:
			continue
		}
		// A quiet turn may have been the one that did it.
		if done() {
			break
		}
		if err := c.receive(state, need); err != nil {
			return err
		}
	}
	return nil
}

// writer takes turns until it is time to write. They are turns without input:
// what has been received is for Read.
func (c *turns) writer() (baretls.WriteTraffic, error) {
	for {
		state, err := c.turn(nil)
		if err != nil {
			return baretls.WriteTraffic{}, err
		}
		switch state := state.(type) {
		case baretls.WriteTraffic:
			return state, nil
		case baretls.BlockedHandshake:
			if err := c.handshake(); err != nil {
				return baretls.WriteTraffic{}, err
			}
		case baretls.Closed:
			return baretls.WriteTraffic{}, baretls.ErrWriteClosed
		}
	}
}

// turn takes a turn and does what its state asks for, but for the quiet states.
func (c *turns) turn(incoming []byte) (baretls.State, error) {
	status, err := c.tls.ProcessTLSRecords(incoming)
	c.count++
	c.start += status.Discard
	if err != nil {
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
		err = errors.Join(c.send(), state.Done())
	case baretls.ReadEarlyData:
		// A copy, for the handshake may have to go on before it is read.
		record, _ := state.NextRecord()
		c.tell(state, "%d bytes of early data", len(record.Payload))
		c.payload = append(slices.Clip(c.payload), record.Payload...)
		c.start += record.Discard
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

// addEarly puts 0-RTT data behind the hello, if the session allows all of it.
func (c *turns) addEarly(hello baretls.TransmitTLSData) (err error) {
	writer, ok := hello.MayEncryptEarlyData()
	if !ok || len(c.early) == 0 || len(c.early) > writer.BytesLeft() {
		return nil
	}
	if c.outgoing, err = writer.AppendEncrypted(c.outgoing, c.early); err != nil {
		return err
	}
	c.tell(writer, "%d bytes of early data", len(c.early))
	c.early = nil
	return nil
}

// receive waits for more from the socket, need bytes at least in the long run.
func (c *turns) receive(state baretls.State, need int) error {
	c.tell(state, "receive")
	c.incoming = append(c.incoming[:0], c.incoming[c.start:]...)
	c.start = 0
	have := len(c.incoming)
	c.incoming = slices.Grow(c.incoming, max(need, 4096))
	n, err := c.Conn.Read(c.incoming[have:cap(c.incoming)])
	c.incoming = c.incoming[:have+n]
	c.bytesIn += int64(n)
	if err == io.EOF {
		c.tls.CloseInput() // the next turn tells what that means
		return nil
	}
	return err
}

// send sends what is encoded.
func (c *turns) send() error {
	n, err := c.Conn.Write(c.outgoing)
	c.bytesOut += int64(n)
	c.outgoing = c.outgoing[:0]
	return err
}

// tell traces a state, or a right that came with it, and what was done about it.
func (c *turns) tell(state any, format string, args ...any) {
	if c.trace == nil {
		return
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", state), "baretls.")
	if format != "" {
		name += ": " + fmt.Sprintf(format, args...)
	}
	c.trace(name)
}
