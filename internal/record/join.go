package record

import (
	"sync"

	"github.com/baretls/baretls/internal/fault"
)

const messageHeaderLen = 4

// A Joiner cuts handshake records into messages. A message that lies within
// one record is returned as a part of it; only a message that a record
// boundary cuts is copied, and no sooner than its bytes arrive.
type Joiner struct{ *joint }

// joint is the memory of a Joiner: on loan from joints, from the first record
// that is added until Release.
type joint struct {
	rest    []byte // of the record in hand, not yet cut
	partial []byte // of a message that began in an earlier record
	taken   bool   // partial was complete and has been handed out
}

// joints holds memory that is all zeros.
var joints = sync.Pool{New: func() any { return new(joint) }}

// Add takes the content of a handshake record. The Joiner refers to it until
// NextMessage has returned false.
func (j *Joiner) Add(content []byte) {
	if j.joint == nil {
		j.joint = joints.Get().(*joint)
	}
	j.rest = content
}

// NextMessage returns the next whole message with its header. A header with more
// than limit bytes to follow is an error. The message is valid until the call
// after it.
func (j *Joiner) NextMessage(limit int) (message []byte, ok bool, err error) {
	if j.joint == nil {
		return nil, false, nil
	}
	if j.taken {
		j.partial, j.taken = j.partial[:0], false
	}
	if len(j.partial) == 0 {
		n, err := messageLen(j.rest, limit)
		if err != nil {
			return nil, false, err
		}
		if n > 0 && n <= len(j.rest) {
			message, j.rest = j.rest[:n], j.rest[n:]
			return message, true, nil
		}
	}
	if len(j.partial) < messageHeaderLen {
		j.take(messageHeaderLen)
	}
	n, err := messageLen(j.partial, limit)
	if err != nil {
		return nil, false, err
	}
	if n > 0 {
		j.take(n)
	}
	if n == 0 || len(j.partial) < n {
		j.rest = nil
		return nil, false, nil
	}
	j.taken = true
	return j.partial, true, nil
}

// take moves bytes from the record in hand until the partial message has n.
func (j *Joiner) take(n int) {
	k := min(n-len(j.partial), len(j.rest))
	j.partial = append(j.partial, j.rest[:k]...)
	j.rest = j.rest[k:]
}

// messageLen is the whole size of the message that b begins with, or 0 if b
// does not show it yet.
func messageLen(b []byte, limit int) (int, error) {
	if len(b) < messageHeaderLen {
		return 0, nil
	}
	n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if n > limit {
		return 0, fault.MessageTooLarge.With("%d bytes, limit %d", n, limit)
	}
	return messageHeaderLen + n, nil
}

// Hold keeps what is left of the record in hand when its memory goes back to
// the caller.
func (j *Joiner) Hold() {
	if j.joint != nil {
		j.rest = append([]byte(nil), j.rest...)
	}
}

// Partial reports whether a message has begun and is not complete.
func (j *Joiner) Partial() bool { return j.joint != nil && len(j.partial) > 0 && !j.taken }

// Empty reports whether nothing follows the message that was handed out last.
func (j *Joiner) Empty() bool { return j.joint == nil || len(j.rest) == 0 && !j.Partial() }

// Release gives the memory back, unless some message has begun.
func (j *Joiner) Release() {
	if j.joint != nil { // not so in most turns: this much is inlined
		j.release()
	}
}

func (j *Joiner) release() {
	if j.Empty() {
		j.Drop()
	}
}

// Drop forgets what has not been handed out.
func (j *Joiner) Drop() {
	if b := j.joint; b != nil {
		j.joint = nil
		*b = joint{}
		joints.Put(b)
	}
}
