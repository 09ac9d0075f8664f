package baretls

import (
	"crypto/tls"
	"errors"
	"io"
	"math"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
)

// Status is what a turn led to.
type Status struct {
	// Discard is how many bytes to drop from the front of the incoming TLS
	// bytes, after the state was handled and before the next turn. Records
	// that the state itself opens come on top: AppDataRecord.Discard.
	Discard int
	// State is what to do now. It is nil if, and only if, there is an error.
	State State
}

// ProcessTLSRecords is a turn: it takes the TLS bytes that have been received
// and not yet discarded, and says what to do next. Call it again, with what is
// left of the bytes and what has come in addition, until the state is a quiet
// one: BlockedHandshake, WriteTraffic or Closed, when it is time to receive
// more, or one that was asked for, when it is time to wait for the answer; see
// the package documentation for the loop.
//
// Records are opened in place, so the bytes of incoming change. Nothing of
// them is claimed between turns: what Discard does not count may be moved,
// copied, or handed in again later. An empty incoming is always right, and
// yields the quiet state as soon as there is nothing to send.
//
// When the connection fails, the alert for the peer is handed out first, by an
// EncodeTLSData and a TransmitTLSData; then, and from then on, the call returns
// the same *Error. Discard counts on error too: all bytes are to be dropped.
//
// Functions of the configuration, and what it holds, are called during a turn.
// They may ask the connection what it knows, and Abandon it; states are stale
// there, and a turn is an error that changes nothing. If one of them panics, the
// connection has failed, without an alert.
func (c *Conn) ProcessTLSRecords(incoming []byte) (Status, error) {
	switch {
	case c.core == nil:
		return Status{}, errZeroConn
	case c.calling():
		return Status{}, errCalling
	}
	c.in = incoming
	state := c.turn()
	c.leave()
	status := Status{len(incoming) - len(c.in), state}
	switch c.at {
	case atQuiet, atWrite, atAsk, atClosed:
		c.in = nil
	case atFailed:
		c.in = nil
		return status, c.err
	}
	return status, nil
}

// turn finds the next state. Output goes first, so that no one waits for an
// answer that we have ready; then the records of the handshake, as far as they
// go; then the nudge to send what was encoded; then data.
func (c *Conn) turn() State {
	waiting := false // a record of application data is whole
	if c.half != whole {
		c.follow()
	}
	for {
		if c.outputPending() {
			return c.enter(atEncode, EncodeTLSData{c})
		}
		if c.core.Question() != nil {
			if !c.core.Answered() {
				break
			}
			c.resume()
			continue
		}
		rec, ok := c.nextRecord()
		if !ok {
			if c.outputPending() { // an alert
				continue
			}
			break
		}
		if waiting = c.readsData() && isData(rec); waiting {
			break
		}
		c.open(rec)
	}
	switch {
	case c.unsent:
		return c.enter(atTransmit, TransmitTLSData{c})
	case c.err != nil:
		c.at, c.in = atFailed, nil
		return nil
	case waiting && c.core.EarlyRead:
		return c.enter(atReadEarly, ReadEarlyData{c})
	case c.core.Question() != nil:
		return c.enter(atAsk, askState(c.core.Question()))
	case waiting:
		return c.enter(atRead, ReadTraffic{c})
	case c.peerClosed && !c.peerTold:
		c.peerTold = true
		return c.enter(atPeerClosed, PeerClosed{})
	case c.peerClosed && (c.half == readHalf || c.core.WriteClosed):
		c.core.ForgetTraffic()
		return c.enter(atClosed, Closed{})
	}
	c.core.In.Release()
	if c.half == readHalf {
		return c.enter(atQuiet, BlockedRead{c})
	}
	c.core.Out.Release()
	if c.core.MayWrite {
		return c.enter(atWrite, WriteTraffic{c})
	}
	return c.enter(atQuiet, BlockedHandshake{c})
}

// outputPending reports whether a turn has to hand out a record: a reader's
// writer does that.
func (c *Conn) outputPending() bool { return c.half == whole && c.core.Out.Pending() }

// place is where a turn has led: it decides which handles are alive.
type place uint8

const (
	atMoved place = iota // the handle of the turn was used up
	atEncode
	atTransmit
	atRead
	atReadEarly
	atWrite
	atAsk
	atQuiet
	atPeerClosed
	atClosed
	atFailed
	atCall    // inside a turn, where functions of the configuration are called
	atGivenUp // and one of them has abandoned the connection
)

func (c *Conn) enter(p place, s State) State {
	c.at = p
	return s
}

// is reports whether the turn has led to p. A zero state has no connection.
func (c *Conn) is(p place) bool { return c != nil && c.at == p }

// nextRecord returns the next record of the input if it is there as a whole.
// A header that cannot be one of TLS is a failure as soon as it is seen; what
// follows the end, clean or not, is discarded.
func (c *Conn) nextRecord() (rec []byte, ok bool) {
	if c.err != nil || c.peerClosed {
		c.in, c.need = nil, 0
		return nil, false
	}
	b := c.in
	need := record.HeaderLen - len(b)
	if need <= 0 {
		// Rejected early data is protected, by keys that we do not have.
		protected := c.core.In.Protected() || c.core.Skipping() && isData(b)
		h, ok := record.ParseHeader(b, protected)
		if !ok {
			c.fail(c.firstRecord(h.Fault(), b))
			return nil, false
		}
		need = record.HeaderLen + h.Length - len(b)
	}
	c.need = uint16(max(need, 0))
	if need > 0 {
		// A turn that was not given all that is left does not say how it ends.
		if c.inputClosed && len(b) >= int(c.unread) {
			c.fail(fault.Truncated.Because(io.ErrUnexpectedEOF))
		}
		return nil, false
	}
	n := len(b) + need
	return b[:n:n], true
}

// take counts a record as opened.
func (c *Conn) take(rec []byte) {
	c.in = c.in[len(rec):]
	c.unread = max(c.unread-int32(len(rec)), 0)
}

// leave notes how much the caller is left with. 2 GB count as any more would.
func (c *Conn) leave() { c.unread = int32(min(len(c.in), math.MaxInt32)) }

// firstRecord makes of a bad header in the very first bytes the error that
// people know from crypto/tls: the peer does not speak TLS.
func (c *Conn) firstRecord(err error, header []byte) error {
	if c.anything || fault.Of(err) == fault.RecordOverflow {
		return err
	}
	known := tls.RecordHeaderError{Msg: err.Error()}
	copy(known.RecordHeader[:], header)
	return fault.NotTLS.Because(known)
}

// readsData reports whether protected records carry data, which the caller
// opens, and not the handshake.
func (c *Conn) readsData() bool { return c.core.MayRead || c.core.EarlyRead }

// isData reports whether a record looks like application data from outside,
// as all protected records do.
func isData(rec []byte) bool {
	return record.ContentType(rec[0]) == record.ApplicationData
}

// open takes a record that is not application data: all of them until the
// handshake is over, and afterwards what should not be there.
func (c *Conn) open(rec []byte) {
	c.take(rec)
	c.anything = true
	if err := c.openHandshake(rec); err != nil {
		c.fail(err)
	}
}

func (c *Conn) openHandshake(rec []byte) error {
	body := rec[record.HeaderLen:]
	switch outer := record.ContentType(rec[0]); {
	case outer == record.ChangeCipherSpec:
		return c.changeCipherSpec(body)
	case c.core.In.TLS12():
		// Types are in the clear there.
	case !c.core.In.Protected():
		if outer == record.ApplicationData {
			if !c.core.In.Partial() && c.core.SkipEarlyData(len(body)) {
				return nil
			}
			return fault.UnexpectedRecord.With("%v in the clear", outer)
		}
	case outer == record.Alert && c.core.TakesClearAlerts() && c.core.In.Seq() == 0:
		return c.content(outer, body)
	case outer != record.ApplicationData:
		return fault.UnexpectedRecord.With("%v in the clear", outer)
	}
	t, content, err := c.core.In.Open(rec)
	if err != nil {
		if err == fault.BadRecordMAC && c.core.SkipEarlyData(len(body)) {
			return nil
		}
		return err
	}
	c.core.EndSkipping()
	if t == record.ApplicationData {
		return fault.UnexpectedMessage.With("application data during the handshake")
	}
	return c.content(t, content)
}

// content handles what a record that is not application data carries.
func (c *Conn) content(t record.ContentType, content []byte) error {
	if t != record.Handshake && c.core.In.Partial() {
		return fault.InterleavedRecord.With("%v", t)
	}
	if len(content) == 0 && (t == record.Handshake || t == record.Alert) {
		return fault.EmptyFragment
	}
	switch t {
	case record.Handshake:
		return c.messages(content)
	case record.Alert:
		return c.alert(content)
	}
	return fault.UnexpectedRecord.With("%v inside a protected record", t)
}

// messages gives the machine every handshake message that is whole.
func (c *Conn) messages(content []byte) error {
	c.core.In.Add(content)
	return c.nextMessages()
}

// nextMessages goes on until a question has to be answered first.
func (c *Conn) nextMessages() error {
	for c.core.Question() == nil {
		raw, ok, err := c.core.NextMessage()
		if err != nil || !ok {
			return err
		}
		if err := c.step(func() error { return c.machine.Handle(raw) }); err != nil {
			return err
		}
		c.useless = 0
	}
	c.core.In.Hold()
	return nil
}

// step is a step of the machine, which may call functions of the configuration.
func (c *Conn) step(do func() error) error {
	was := c.at
	c.at = atCall
	defer c.stepped(was)
	err := do()
	if c.at == atGivenUp {
		return errGivenUp
	}
	c.at = was
	return err
}

// stepped makes up for a step that has not come to its end.
func (c *Conn) stepped(was place) {
	switch c.at {
	case atCall: // a panic
		c.end(localError(errPanicked))
		c.at, c.in = atFailed, nil
	case atGivenUp:
		c.at, c.in = was, nil
		c.Abandon()
	}
}

// calling reports whether the connection waits for a function of the
// configuration to return, which must not use it.
func (c *Conn) calling() bool { return c.at >= atCall }

// usable returns why the connection is not, or nil.
func (c *Conn) usable() error {
	switch {
	case c.core == nil:
		return errZeroConn
	case c.calling():
		return errCalling
	case c.err != nil:
		return c.err
	}
	return nil
}

var (
	errCalling  = errors.New("baretls: used by a function that the connection itself has called")
	errPanicked = errors.New("baretls: a function of the configuration has panicked")
	errGivenUp  = errors.New("baretls: abandoned in a step") // never seen: the connection has failed by then
)

// resume goes on with the answer to a question.
func (c *Conn) resume() {
	err := c.step(c.machine.Resume)
	if err == nil {
		err = c.nextMessages()
	}
	if err != nil {
		c.fail(err)
	}
}

// changeCipherSpec drops the record that middlebox compatibility knows, where
// it may stand: RFC 9846, Section 5.
// In TLS 1.2 it is a step of the handshake.
func (c *Conn) changeCipherSpec(body []byte) error {
	if !c.core.TakesCCS() || len(body) != 1 || body[0] != 1 {
		return fault.BadChangeCipherSpec
	}
	if c.core.In.Partial() {
		return fault.InterleavedRecord.With("%v", record.ChangeCipherSpec)
	}
	if c.core.Facts.Version == tls.VersionTLS12 {
		return c.step(c.machine.ChangeCipherSpec)
	}
	return c.brought(false)
}

// maxUseless is how many records in a row may bring nothing: without data,
// say, or a change_cipher_spec.
const maxUseless = 32

// brought counts the records that bring nothing.
func (c *Conn) brought(something bool) error {
	if something {
		c.useless = 0
		return nil
	}
	if c.useless++; c.useless > maxUseless {
		return fault.TooManyEmptyRecords
	}
	return nil
}

// maxWarnings is how many alerts that are neither an end nor an error may come.
const maxWarnings = 4

// alert takes the peer's alert: RFC 9846, Section 6. All but the two closure
// alerts are errors, whatever their level says; but in TLS 1.2 there are
// warnings, which are counted and ignored (RFC 5246, Section 7.2).
func (c *Conn) alert(content []byte) error {
	if len(content) != 2 {
		return fault.MalformedAlert
	}
	switch description := fault.Alert(content[1]); {
	case description == fault.CloseNotifyAlert && c.core.MayRead:
		c.peerClosed = true
		return nil
	case content[0] == 1 && description != fault.CloseNotifyAlert && c.core.TakesWarnings,
		c.core.Facts.Version != tls.VersionTLS12 && description == fault.UserCanceledAlert:
		if c.warnings++; c.warnings > maxWarnings {
			return fault.TooManyWarnings
		}
		return nil
	default:
		c.end(&Error{alert: description, received: true, cause: fault.AlertReceived})
		return nil
	}
}

// fail ends the connection because of err and queues the alert that says so.
func (c *Conn) fail(err error) {
	if c.err != nil {
		return
	}
	alert := fault.AlertOf(err)
	failure := &Error{alert: alert, cause: err}
	if c.half != whole {
		c.failBoth(failure, alert)
		return
	}
	if alert != fault.None && !c.core.WriteClosed {
		c.machine.PrepareAlert()
		c.core.Out.Enqueue(record.Alert, append(c.core.Out.Buffer(), alert.Level(), byte(alert)))
	}
	c.err = failure
	c.machine.Forget()
}

// end ends the connection without a word to the peer, who knows.
func (c *Conn) end(err *Error) {
	if c.half != whole {
		c.failBoth(err, fault.None)
		return
	}
	c.err = err
	c.unsent = false
	c.core.Out.Drop()
	c.machine.Forget()
}

// ErrAbandoned is using a connection after Abandon.
var ErrAbandoned = errors.New("baretls: the connection has been abandoned")

// Abandon ends the connection at once, without a word to the peer: what waits
// to be sent is dropped, a question that waits is withdrawn, and secrets are
// cleared as far as Go lets us. A connection that is merely dropped leaks
// nothing either; its secrets then stay in memory until they are overwritten.
// After Split it may be called from any goroutine, and each half clears its
// secrets when it is used next. In a function that the connection calls, it is
// abandoned when that has returned.
func (c *Conn) Abandon() {
	switch failure := localError(ErrAbandoned); {
	case c.core == nil:
		return
	case c.calling():
		c.at = atGivenUp
		return
	case c.half == gone: // the rest is the KernelConn's
		return
	case c.link() != nil:
		c.postFailure(failure, fault.None)
		return
	case c.err == nil:
		c.end(failure)
	default: // there may be an alert
		c.unsent = false
		c.core.Out.Drop()
	}
	c.at = atFailed
}

// CloseInput tells that the transport has ended and no more bytes will come.
// Turns go on until what was received is used up. If the peer has not closed
// the connection by then, it has been truncated: ProcessTLSRecords returns an
// error that is io.ErrUnexpectedEOF by errors.Is (RFC 9846, Section 6.1).
func (c *Conn) CloseInput() { c.inputClosed = true }
