package handshake

import (
	"sync/atomic"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
)

// A connection that is split has a reader and a writer, which may run at the
// same time. The reader has In, readSecret and what counts messages; the
// writer has Out, writeSecret and WriteClosed. What a reader would queue for
// sending it posts in the box instead, and the writer seals it.

// The bits of the box.
const (
	requested   uint32 = 1 << iota // our update_requested has not been answered
	updateDue                      // a KeyUpdate is to be sent
	requestDue                     // and it is to ask for the peer's
	refusalDue                     // a no_renegotiation is to be sent
	closeDue                       // a close_notify, because the key is used up
	alertDue                       // the alert in the bits from alertShift on
	failed                         // the connection
	writeClosed                    // nothing may be sent any more

	alertShift = 16
	alertMask  = 0xffff << alertShift
)

// box holds bits that both halves change. It can be copied before there are two.
type box struct{ bits uint32 }

func (b *box) load() uint32            { return atomic.LoadUint32(&b.bits) }
func (b *box) post(bits uint32) uint32 { return atomic.OrUint32(&b.bits, bits) }
func (b *box) take(bits uint32) uint32 { return atomic.AndUint32(&b.bits, ^bits) }

// due is what w asks to be sent: a connection that has failed has only an
// alert to send, and one that is closed nothing.
func due(w uint32) uint32 {
	switch {
	case w&writeClosed != 0:
		return 0
	case w&failed != 0:
		return w & (alertDue | alertMask)
	}
	return w & (updateDue | refusalDue | closeDue)
}

// Split makes both halves ready. Nothing may be queued.
func (c *Core) Split() { c.split = true }

// Owes reports whether there is something to seal that is not data. Anyone may
// ask.
func (c *Core) Owes() bool { return due(c.box.load()) != 0 }

// Failed reports whether one of the halves has failed.
func (c *Core) Failed() bool { return c.box.load()&failed != 0 }

// Fail makes the connection fail. It is called once, by either half.
func (c *Core) Fail(alert fault.Alert) {
	bits := failed
	if alert != fault.None {
		bits |= alertDue | uint32(alert)<<alertShift
	}
	c.box.post(bits)
}

// Look is the writer's look into the box. What it sees is what is due until it
// looks again, so that sizes hold.
func (c *Core) Look() {
	if now := due(c.box.load()); now != c.owed {
		c.owed = now
	}
	if c.owed&updateDue != 0 && c.writeEpoch == maxWriteEpoch {
		c.takeUpdate() // it goes unanswered
	}
}

// postRequest is UpdateKeys of the writer.
func (c *Core) postRequest() error {
	if c.writeEpoch == maxWriteEpoch {
		return fault.KeyLimitReached
	}
	c.box.post(updateDue | requestDue)
	return nil
}

// ExhaustWrite asks for a close_notify, because there are no more keys.
func (c *Core) ExhaustWrite() { c.box.post(closeDue) }

// CloseWrite tells that our last record is sealed, a close_notify or an alert.
func (c *Core) CloseWrite() {
	c.WriteClosed = true
	c.ForgetWriteTraffic()
	c.box.post(writeClosed)
}

// ForgetWriteTraffic is the writer's part of ForgetTraffic.
func (c *Core) ForgetWriteTraffic() { clear(c.keptSecret(writeSecret)) }

// OwedLen is the exact size of what SealOwed writes.
func (c *Core) OwedLen() (n int) {
	if c.owed&updateDue != 0 {
		n += c.Out.RecordLen(keyUpdateLen)
	}
	for _, bit := range [...]uint32{refusalDue, closeDue, alertDue} {
		if c.owed&bit != 0 {
			n += c.Out.RecordLen(alertLen)
		}
	}
	return n
}

// SealOwed seals what was due at the last look into dst, which has room for
// OwedLen bytes, and returns that length.
func (c *Core) SealOwed(dst []byte) (n int, err error) {
	if c.owed&updateDue != 0 {
		if n, err = c.sealKeyUpdate(dst); err != nil {
			return 0, err
		}
	}
	if c.owed&refusalDue != 0 {
		c.box.take(refusalDue)
		n += c.sealAlert(dst[n:], fault.NoRenegotiationAlert)
	}
	if c.owed&closeDue != 0 {
		n += c.sealAlert(dst[n:], fault.CloseNotifyAlert)
		c.CloseWrite()
	}
	if c.owed&alertDue != 0 {
		n += c.sealAlert(dst[n:], fault.Alert(c.owed>>alertShift))
		c.CloseWrite()
	}
	c.owed = 0
	return n, nil
}

// alertLen is the content of a record that has an alert.
const alertLen = 2

func (c *Core) sealAlert(dst []byte, alert fault.Alert) int {
	return c.Out.Seal(dst, record.Alert, []byte{alert.Level(), byte(alert)})
}

// takeUpdate takes the KeyUpdate that is due out of the box, because it is
// sealed now. It returns whether that is to ask for the peer's.
func (c *Core) takeUpdate() (request bool) {
	c.owed &^= updateDue
	return c.box.take(updateDue|requestDue)&requestDue != 0 && c.mayRequest()
}

// mayRequest is true once until the peer has answered: before that, "the sender
// MUST NOT send another KeyUpdate with request_update set to update_requested".
func (c *Core) mayRequest() bool { return c.box.post(requested)&requested == 0 }

// updateAnswered reports whether the peer's KeyUpdate may be the answer to ours.
func (c *Core) updateAnswered() bool { return c.box.take(requested)&requested != 0 }

// countTicket is not for the reader alone, because anyone may ask.
func (c *Core) countTicket() { atomic.AddUint32(&c.Facts.Tickets, 1) }

// TicketsReceived is Facts.Tickets for any goroutine.
func (c *Core) TicketsReceived() uint32 { return atomic.LoadUint32(&c.Facts.Tickets) }
