package baretls

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/handshake"
)

// ErrSplit is using a connection whose halves have left it.
var ErrSplit = errors.New("baretls: the connection has been split")

// Split divides the connection into halves for two goroutines: one reads while
// the other writes, and neither waits for the other. What the peer sends may
// call for an answer, the KeyUpdate that it asks for or an alert: the ReadHalf
// notices and the WriteHalf has it, see Pending.
//
// From then on turns and states of the Conn are ErrSplit, and what it knows,
// ConnectionState or ExportKeyingMaterial for example, may be asked for from
// any goroutine; so may Abandon. Bytes that were received and not discarded,
// and CloseInput, are the ReadHalf's.
//
// It is ErrHandshakeNotComplete before the handshake is, ErrOutputPending as
// long as something waits to be encoded or transmitted, ErrSplit the second
// time, and the connection's *Error after it has failed. Either side may have
// closed already.
func (c *Conn) Split() (*ReadHalf, *WriteHalf, error) {
	if err := c.usable(); err != nil {
		return nil, nil, err
	}
	switch {
	case !c.core.Complete:
		return nil, nil, ErrHandshakeNotComplete
	case c.core.Out.Pending() || c.unsent:
		return nil, nil, ErrOutputPending
	}
	c.core.Out.Release()
	c.core.Split()
	c.in, c.machine = nil, &link{Machine: c.machine}
	r, w := &ReadHalf{conn: *c}, &WriteHalf{conn: *c}
	r.conn.half, w.conn.half = readHalf, writeHalf
	c.err, c.at = localError(ErrSplit), atFailed
	return r, w, nil
}

// half is which part of a connection a Conn is.
type half uint8

const (
	whole half = iota // or what is left of it, which has failed by ErrSplit
	readHalf
	writeHalf
	gone // elsewhere: what is left has failed by ErrSecretsExtracted, and seals nothing
)

// cacheLine keeps apart what different processors write.
type cacheLine [64]byte

// link is what the halves share; what one has for the other to send is in the
// core. It takes the place of the machine, which it still is.
type link struct {
	handshake.Machine

	failure   atomic.Pointer[Error]
	exporters sync.Mutex // around the use of their secrets, and clearing them
}

// link is that of the halves, or nil.
func (c *Conn) link() *link {
	l, _ := c.machine.(*link)
	return l
}

// failBoth makes both halves fail, and the writer send alert.
func (c *Conn) failBoth(err *Error, alert fault.Alert) {
	c.postFailure(err, alert)
	c.failed()
}

// postFailure is for both halves to find. The first failure is that of the
// connection.
func (c *Conn) postFailure(err *Error, alert fault.Alert) {
	if c.link().failure.CompareAndSwap(nil, err) {
		c.core.Fail(alert)
	}
}

// follow notices that the other half has failed.
func (c *Conn) follow() {
	if c.err == nil && c.core.Failed() {
		c.failed()
	}
}

// failed forgets the secrets that are the half's.
func (c *Conn) failed() {
	c.err = c.link().failure.Load()
	if c.half == writeHalf {
		c.core.ForgetWriteTraffic()
		return
	}
	l := c.link()
	l.exporters.Lock()
	defer l.exporters.Unlock()
	c.machine.Forget()
}

// failure is why the connection has failed, or nil.
func (c *Conn) failure() error {
	err := c.err
	if l := c.link(); l != nil {
		err = l.failure.Load()
	}
	if err == nil {
		return nil
	}
	return err
}

// ReadHalf is the half of a connection that reads: see Split. It is for one
// goroutine at a time.
type ReadHalf struct {
	conn Conn
	_    cacheLine
}

// ProcessTLSRecords is a turn, as that of Conn: what it takes, what of it is to
// be discarded, and that records are opened in place and only by NextRecord.
// It leads to ReadTraffic, PeerClosed, and to one of the quiet states
// BlockedRead and Closed, which comes when the peer has closed: then this half
// is done.
//
// When the connection fails, in either half, the call returns the *Error at
// once, and the same from then on. The alert for the peer is what the
// WriteHalf has pending.
func (r *ReadHalf) ProcessTLSRecords(incoming []byte) (Status, error) {
	return r.conn.ProcessTLSRecords(incoming)
}

// CloseInput tells that the transport has ended: see Conn.
func (r *ReadHalf) CloseInput() { r.conn.CloseInput() }

// Format keeps secrets out of what %v and its kin print.
func (r ReadHalf) Format(s fmt.State, verb rune) { fmt.Fprint(s, "ReadHalf(secret)") }

// BlockedRead is the quiet state of a ReadHalf: it takes more of the peer's
// bytes to get further. Receive, append to what was not discarded, and take
// the next turn. Look before whether the WriteHalf has something pending.
type BlockedRead struct{ c *Conn }

// Need is how many bytes more it takes at least before a turn can find
// something to read.
func (s BlockedRead) Need() int { return s.c.missing() }

// WriteHalf is the half of a connection that writes: see Split. But for
// Pending, it is for one goroutine at a time. What it encodes is to be sent in
// that order.
//
// After the connection has failed, in either half, its methods return the
// *Error; those that encode what is pending still have the alert.
type WriteHalf struct {
	conn Conn
	_    cacheLine
}

// traffic is WriteTraffic for one call. What the reader wants to be sent is
// looked at here and nowhere else, so that a size holds until the call ends.
func (w *WriteHalf) traffic() WriteTraffic {
	c := &w.conn
	if c.core == nil {
		return WriteTraffic{}
	}
	c.follow()
	c.core.Look()
	c.at = atWrite
	return WriteTraffic{c}
}

// EncryptedLen is the exact size in bytes of n bytes of application data if
// they were encrypted now: see WriteTraffic. What the peer sends meanwhile may
// add a KeyUpdate to that, one record more.
func (w *WriteHalf) EncryptedLen(n int) int { return w.traffic().EncryptedLen(n) }

// PayloadOffset is where in out Encrypt puts the data of a record: see
// WriteTraffic.
func (w *WriteHalf) PayloadOffset() int { return w.traffic().PayloadOffset() }

// Encrypt encrypts all of appData, in as many records as it takes, to the
// front of out and returns how many bytes that are. The slices may share
// memory, as those of WriteTraffic. A KeyUpdate that is pending goes first (RFC
// 9846, Section 4.7.3). Errors are those of WriteTraffic's Encrypt: an out that is
// too small is an *InsufficientSizeError and changes nothing.
func (w *WriteHalf) Encrypt(appData, out []byte) (int, error) {
	return w.traffic().Encrypt(appData, out)
}

// AppendEncrypted encrypts appData like Encrypt, but appends to out, which
// grows if it has to, and returns the extended slice.
func (w *WriteHalf) AppendEncrypted(out, appData []byte) ([]byte, error) {
	return w.traffic().AppendEncrypted(out, appData)
}

// CloseNotifyLen is the exact size in bytes of what QueueCloseNotify writes.
func (w *WriteHalf) CloseNotifyLen() int { return w.traffic().CloseNotifyLen() }

// QueueCloseNotify writes a close_notify alert to the front of out and returns
// its size: see WriteTraffic. Nothing is pending any more then. The second
// call writes nothing and returns 0.
func (w *WriteHalf) QueueCloseNotify(out []byte) (int, error) {
	return w.traffic().QueueCloseNotify(out)
}

// AppendCloseNotify does what QueueCloseNotify does, but appends to out.
func (w *WriteHalf) AppendCloseNotify(out []byte) ([]byte, error) {
	return w.traffic().AppendCloseNotify(out)
}

// RefreshTrafficKeys arranges for a KeyUpdate that changes the keys of both
// directions: it is pending then. As long as the peer has not answered an
// earlier one, only our own keys change. TLS 1.2 has no such thing:
// ErrNoKeyUpdate.
func (w *WriteHalf) RefreshTrafficKeys() error { return w.traffic().RefreshTrafficKeys() }

// Pending reports whether there is something to encode and to send that is no
// data: a KeyUpdate, an alert. It may be called from any goroutine. Most of it
// is there because of what was read, so ask after the reader's turns.
func (w *WriteHalf) Pending() bool { return w.conn.core != nil && w.conn.core.Owes() }

// PendingLen is the size in bytes of what is pending now, a few records at
// most.
func (w *WriteHalf) PendingLen() int {
	if w.traffic().c == nil {
		return 0
	}
	return w.conn.core.OwedLen()
}

// EncodePending writes what is pending to the front of out and returns its
// size, 0 if nothing is. An out that is too small is an *InsufficientSizeError
// and changes nothing. An alert that ends the connection is encoded too; the
// *Error comes from the other calls.
func (w *WriteHalf) EncodePending(out []byte) (int, error) {
	return w.traffic().encodePending(out)
}

// AppendPending does what EncodePending does, but appends to out, which grows
// if it has to, and returns the extended slice.
func (w *WriteHalf) AppendPending(out []byte) ([]byte, error) {
	out, room := grow(out, w.PendingLen())
	n, err := WriteTraffic{&w.conn}.encodePending(room)
	return out[:len(out)+n], err
}

func (s WriteTraffic) encodePending(out []byte) (int, error) {
	if s.c == nil || s.c.core == nil {
		return 0, ErrStaleState
	}
	if n := s.c.core.OwedLen(); len(out) < n {
		return 0, &InsufficientSizeError{n}
	}
	n, err := s.c.core.SealOwed(out)
	if err != nil {
		s.c.fail(err)
		return 0, s.c.err
	}
	return n, nil
}

// Format keeps secrets out of what %v and its kin print.
func (w WriteHalf) Format(s fmt.State, verb rune) { fmt.Fprint(s, "WriteHalf(secret)") }
