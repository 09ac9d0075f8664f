package record

// queue is what waits to be sealed: contents back to back in one buffer, cut
// by type and by key changes. Messages of one type under one key share
// records.
type queue struct {
	buf  []byte
	off  int // of buf, already sealed
	segs []segment
}

type segment struct {
	keys *Keys // to install before this segment; nil: none
	t    ContentType
	n    int // bytes of buf left
}

// Buffer returns the queue's memory. Append to it and hand it to Enqueue.
func (w *Writer) Buffer() []byte { return w.buf }

// Enqueue takes back the Buffer; what was appended to it is queued as t.
func (w *Writer) Enqueue(t ContentType, buf []byte) {
	n := len(buf) - len(w.buf)
	w.buf = buf
	if last := len(w.segs) - 1; last >= 0 && w.segs[last].t == t {
		w.segs[last].n += n
		return
	}
	w.segs = append(w.segs, segment{t: t, n: n})
}

// EnqueueKeys changes the keys once all that was queued before is sealed. What
// is queued later starts a new record: messages that precede a key change "end
// at a record boundary" (RFC 9846, Section 5.1).
func (w *Writer) EnqueueKeys(k *Keys) {
	w.segs = append(w.segs, segment{keys: k})
	w.settle()
}

// Pending reports whether a record waits to be sealed.
func (w *Writer) Pending() bool { return len(w.segs) > 0 }

// NextLen is the size on the wire of the record that SealNext would write.
func (w *Writer) NextLen() int { return w.RecordLen(w.nextContent()) }

func (w *Writer) nextContent() int { return min(w.segs[0].n, w.fragment) }

// SealNext writes the first record of the queue to the front of dst, which has
// room for NextLen bytes, and returns that length.
func (w *Writer) SealNext(dst []byte) int {
	seg := &w.segs[0]
	k := w.nextContent()
	n := w.Seal(dst, seg.t, w.buf[w.off:w.off+k])
	w.off += k
	seg.n -= k
	w.settle()
	return n
}

// settle drops segments that are used up and carries out the key changes that
// have come to the front.
func (w *Writer) settle() {
	for len(w.segs) > 0 && w.segs[0].n == 0 {
		if k := w.segs[0].keys; k != nil {
			w.SetKeys(k)
		}
		w.segs = w.segs[1:]
	}
	if len(w.segs) == 0 {
		w.buf, w.off = w.buf[:0], 0
	}
}

// Drop forgets what waits to be sealed.
func (w *Writer) Drop() { w.queue = queue{} }

// Release gives the memory of the queue back. Nothing may be pending.
func (w *Writer) Release() {
	if !w.Pending() {
		w.buf, w.segs = nil, nil
	}
}
