package record

import "sync"

// queue is what waits to be sealed: contents back to back in one buffer, cut
// by type and by key changes. Handshake messages under one key share records.
type queue struct{ *backlog }

// backlog is the memory of a queue: on loan from backlogs, from the first that is
// queued until Release or Drop.
type backlog struct {
	buf  []byte
	segs []segment
	off  int32 // of buf, already sealed
	at   int32 // of segs, the first that is not used up

	room  [flightLen]byte // what buf begins as, and segs
	slots [flightSegments]segment
}

type segment struct {
	t    ContentType
	n    int  // bytes of buf left
	keys Keys // to change to, if t is 0
}

// Room for the flights of an ordinary handshake.
const (
	flightLen      = 2048
	flightSegments = 6
)

// backlogs holds memory that is all zeros.
var backlogs = sync.Pool{New: func() any { return new(backlog) }}

// take sees to it that there is memory.
func (q *queue) take() {
	if q.backlog == nil {
		q.backlog = backlogs.Get().(*backlog)
		q.buf, q.segs = q.room[:0], q.slots[:0]
	}
}

// give gives the memory back, without a trace of what was queued.
func (q *queue) give() {
	if b := q.backlog; b != nil {
		q.backlog = nil
		*b = backlog{}
		backlogs.Put(b)
	}
}

// Buffer returns the queue's memory. Append to it and hand it to Enqueue.
func (w *Writer) Buffer() []byte {
	w.take()
	return w.buf
}

// Enqueue takes back the Buffer; what was appended to it is queued as t. "A
// record with an Alert type MUST contain exactly one message" (Section 5.1).
func (w *Writer) Enqueue(t ContentType, buf []byte) {
	n := len(buf) - len(w.buf)
	w.buf = buf
	if last := len(w.segs) - 1; t == Handshake && last >= int(w.at) && w.segs[last].t == t {
		w.segs[last].n += n
		return
	}
	w.segs = append(w.segs, segment{t: t, n: n})
}

// EnqueueKeys changes the keys once all that was queued before is sealed. What
// is queued later starts a new record: messages that precede a key change go out
// "in alignment with a record boundary" (RFC 9846, Section 5.1).
func (w *Writer) EnqueueKeys(k *Keys) {
	if !w.Pending() {
		w.SetKeys(k)
		return
	}
	w.segs = append(w.segs, segment{keys: *k})
}

// Pending reports whether a record waits to be sealed.
func (w *Writer) Pending() bool { return w.backlog != nil && len(w.segs) > int(w.at) }

// NextLen is the size on the wire of the record that SealNext would write.
func (w *Writer) NextLen() int { return w.RecordLen(w.nextContent()) }

func (w *Writer) nextContent() int { return min(w.segs[w.at].n, w.Fragment()) }

// SealNext writes the first record of the queue to the front of dst, which has
// room for NextLen bytes, and returns that length.
func (w *Writer) SealNext(dst []byte) int {
	seg := &w.segs[w.at]
	k := w.nextContent()
	n := w.Seal(dst, seg.t, w.buf[w.off:int(w.off)+k])
	w.off += int32(k)
	seg.n -= k
	w.settle()
	return n
}

// settle drops segments that are used up and carries out the key changes that
// have come to the front.
func (w *Writer) settle() {
	for w.Pending() && w.segs[w.at].n == 0 {
		if seg := &w.segs[w.at]; seg.t == 0 {
			w.SetKeys(&seg.keys)
		}
		w.segs[w.at] = segment{}
		w.at++
	}
	if !w.Pending() {
		w.buf, w.off = w.buf[:0], 0
		w.segs, w.at = w.segs[:0], 0
	}
}

// Drop forgets what waits to be sealed.
func (w *Writer) Drop() { w.give() }

// Release gives the memory of the queue back. Nothing may be pending.
func (w *Writer) Release() {
	if w.backlog != nil { // as in Joiner.Release
		w.release()
	}
}

func (w *Writer) release() {
	if !w.Pending() {
		w.give()
	}
}
