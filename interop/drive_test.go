package interop

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

// patience is how long anything may take before it counts as hanging.
const patience = 30 * time.Second

// endpoint is our side of a connection: a Conn and the blocking loop that
// drives it over a net.Conn. It reads and writes in pieces of odd sizes, and
// writes over every byte that it was told to discard.
type endpoint struct {
	conn *baretls.Conn
	wire *tap

	in   []byte // received and not yet discarded
	out  []byte // encoded and not yet sent
	data []byte // opened and not yet taken

	earlyOut []byte // goes out as 0-RTT data, if the hello offers any
	early    []byte // the peer's 0-RTT data

	withoutCCS bool // takes change_cipher_spec out of what is sent
	sparing    bool // receives no more than the state needs: no record too many

	need       int // bytes that the state asked for
	silent     int // records that brought no data: tickets, key updates, padding
	peerClosed bool
	received   int // counts reads
	sent       int // counts writes
}

// The sizes of the pieces that bytes come and go in, again and again.
var (
	readSizes  = []int{1, 7, 1000, 16<<10 + 33, 5, 64 << 10}
	writeSizes = []int{3, 40000, 1, 600, 16<<10 + 1}
)

func newClient(t *testing.T, config *baretls.ClientConfig, name, addr string) *endpoint {
	t.Helper()
	raw, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatalf("the peer does not listen: %v", err)
	}
	c, err := baretls.NewClient(config, name)
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	return newEndpoint(t, &c.Conn, raw)
}

// listen returns a listener on a port that the system has chosen.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newServer(t *testing.T, config *baretls.ServerConfig, l net.Listener) *endpoint {
	t.Helper()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	raw, err := l.Accept()
	if err != nil {
		t.Fatalf("the peer does not connect: %v", err)
	}
	s, err := baretls.NewServer(config)
	if err != nil {
		t.Fatalf("NewServer: %v", err)
	}
	return newEndpoint(t, &s.Conn, raw)
}

func newEndpoint(t *testing.T, c *baretls.Conn, raw net.Conn) *endpoint {
	raw.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { raw.Close() })
	return &endpoint{conn: c, wire: &tap{Conn: raw}}
}

// settle takes turns until a quiet state.
func (e *endpoint) settle() (baretls.State, error) {
	for {
		status, err := e.conn.ProcessTLSRecords(e.in)
		if err != nil {
			e.discard(status.Discard)
			return nil, err
		}
		discard := status.Discard
		switch s := status.State.(type) {
		case baretls.EncodeTLSData:
			size, before := s.Len(), len(e.out)
			if e.out, err = s.AppendTo(e.out); err != nil {
				return nil, fmt.Errorf("AppendTo: %w", err)
			}
			if n := len(e.out) - before; n != size {
				return nil, fmt.Errorf("EncodeTLSData has %d bytes and Len said %d", n, size)
			}
		case baretls.TransmitTLSData:
			if w, ok := s.MayEncryptEarlyData(); ok && len(e.earlyOut) > 0 {
				if e.out, err = w.AppendEncrypted(e.out, e.earlyOut); err != nil {
					return nil, fmt.Errorf("early data: %w", err)
				}
				e.earlyOut = nil
			}
			if err := e.flush(); err != nil {
				return nil, err
			}
			if err := s.Done(); err != nil {
				return nil, fmt.Errorf("Done: %w", err)
			}
		case baretls.ReadEarlyData:
			for rec := range s.Records() {
				discard += rec.Discard
				e.early = append(e.early, rec.Payload...)
			}
		case baretls.ReadTraffic:
			for rec := range s.Records() {
				discard += rec.Discard
				e.data = append(e.data, rec.Payload...)
				if len(rec.Payload) == 0 {
					e.silent++
				}
			}
		case baretls.PeerClosed:
			if e.peerClosed {
				return nil, fmt.Errorf("PeerClosed came twice")
			}
			e.peerClosed = true
		case baretls.BlockedHandshake, baretls.WriteTraffic, baretls.Closed:
			e.discard(discard)
			return s, nil
		default:
			return nil, fmt.Errorf("the test does not know the state %T", s)
		}
		e.discard(discard)
	}
}

func (e *endpoint) discard(n int) {
	rest := copy(e.in, e.in[n:])
	for i := rest; i < len(e.in); i++ {
		e.in[i] = 0xa5
	}
	e.in = e.in[:rest]
}

// flush sends what was encoded.
func (e *endpoint) flush() error {
	if e.withoutCCS {
		e.out = dropCCS(e.out)
	}
	for b := e.out; len(b) > 0; {
		n := min(len(b), writeSizes[e.sent%len(writeSizes)])
		e.sent++
		if _, err := e.wire.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	e.out = e.out[:0]
	return nil
}

// dropCCS is what a middlebox does that removes the change_cipher_spec records.
func dropCCS(records []byte) (kept []byte) {
	for len(records) > 0 {
		n := 5 + int(records[3])<<8 + int(records[4])
		if records[0] != changeCipherSpec {
			kept = append(kept, records[:n]...)
		}
		records = records[n:]
	}
	return kept
}

// receive waits for the next bytes, and tells the connection of the end.
func (e *endpoint) receive() error {
	n := readSizes[e.received%len(readSizes)]
	if e.sparing {
		n = max(1, e.need)
	}
	e.received++
	e.in = slices.Grow(e.in, n)
	n, err := e.wire.Read(e.in[len(e.in) : len(e.in)+n])
	e.in = e.in[:len(e.in)+n]
	if err == io.EOF {
		e.conn.CloseInput()
		return nil
	}
	return err
}

// until receives and takes turns until done says so in a quiet state.
func (e *endpoint) until(done func() bool) error {
	for {
		state, err := e.settle()
		if err != nil {
			return err
		}
		if s, ok := state.(interface{ Need() int }); ok {
			e.need = s.Need()
		}
		if done() {
			return nil
		}
		if err := e.receive(); err != nil {
			return err
		}
	}
}

func (e *endpoint) handshake() error {
	return e.until(func() bool { return !e.conn.IsHandshaking() })
}

// writable settles in WriteTraffic.
func (e *endpoint) writable() (baretls.WriteTraffic, error) {
	state, err := e.settle()
	if err != nil {
		return baretls.WriteTraffic{}, err
	}
	w, ok := state.(baretls.WriteTraffic)
	if !ok {
		return w, fmt.Errorf("state is %T, which does not write", state)
	}
	return w, nil
}

func (e *endpoint) write(p []byte) error {
	w, err := e.writable()
	if err != nil {
		return err
	}
	if e.out, err = w.AppendEncrypted(e.out, p); err != nil {
		return err
	}
	return e.flush()
}

// take returns the next n bytes of data.
func (e *endpoint) take(n int) ([]byte, error) {
	err := e.until(func() bool { return len(e.data) >= n || e.peerClosed })
	if err == nil && len(e.data) < n {
		err = fmt.Errorf("the peer closed after %d of %d bytes", len(e.data), n)
	}
	if err != nil {
		return nil, err
	}
	p := e.data[:n:n]
	e.data = e.data[n:]
	return p, nil
}

// takeUntil returns the data up to and including mark.
func (e *endpoint) takeUntil(mark string) (string, error) {
	at := -1
	err := e.until(func() bool {
		at = bytes.Index(e.data, []byte(mark))
		return at >= 0 || e.peerClosed
	})
	if err != nil {
		return "", err
	}
	if at < 0 {
		return "", fmt.Errorf("the peer closed after %q, before %q", e.data, mark)
	}
	p, err := e.take(at + len(mark))
	return string(p), err
}

// takeRest returns all data up to the peer's close_notify.
func (e *endpoint) takeRest() ([]byte, error) {
	err := e.until(func() bool { return e.peerClosed })
	p := e.data
	e.data = nil
	return p, err
}

// closeWrite sends our close_notify.
func (e *endpoint) closeWrite() error {
	w, err := e.writable()
	if err != nil {
		return err
	}
	if e.out, err = w.AppendCloseNotify(e.out); err != nil {
		return err
	}
	return e.flush()
}

// refresh changes the keys of both directions.
func (e *endpoint) refresh() error {
	w, err := e.writable()
	if err != nil {
		return err
	}
	if err := w.RefreshTrafficKeys(); err != nil {
		return err
	}
	_, err = e.settle()
	return err
}

// tap notes the headers of the records that pass.
type tap struct {
	net.Conn
	sent, received recordLog
}

func (w *tap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.received.add(p[:n])
	return n, err
}

func (w *tap) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.sent.add(p[:n])
	return n, err
}

// The content types that a record shows on the outside.
const (
	changeCipherSpec = 20
	applicationData  = 23
)

type header struct {
	contentType byte
	length      int
}

type recordLog struct {
	headers []header
	partial []byte
	skip    int
}

func (l *recordLog) add(b []byte) {
	for len(b) > 0 {
		if l.skip > 0 {
			n := min(l.skip, len(b))
			l.skip -= n
			b = b[n:]
			continue
		}
		n := min(5-len(l.partial), len(b))
		l.partial = append(l.partial, b[:n]...)
		b = b[n:]
		if h := l.partial; len(h) == 5 {
			l.skip = int(h[3])<<8 | int(h[4])
			l.headers = append(l.headers, header{h[0], l.skip})
			l.partial = h[:0]
		}
	}
}

// lengths are those of all records of a content type.
func (l *recordLog) lengths(contentType byte) (lengths []int) {
	for _, h := range l.headers {
		if h.contentType == contentType {
			lengths = append(lengths, h.length)
		}
	}
	return lengths
}
