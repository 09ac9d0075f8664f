package record

// A Writer keeps what waits to be sent and seals it, a record at a time, into
// the caller's memory. The zero Writer fills records and does not pad: see Init.
type Writer struct {
	half
	limit uint64
	queue
}

// Init sets the most content bytes that a record may have, MinFragment to
// MaxPlaintext, and the block that protected records are padded to, a power of
// two that divides it (1 pads nothing).
func (w *Writer) Init(fragment, padBlock int) {
	w.reduced, w.padMask = uint16(MaxPlaintext-fragment), uint16(padBlock-1)
}

// Fragment is the most content bytes that a record may have.
func (w *Writer) Fragment() int { return MaxPlaintext - int(w.reduced) }

// Left is how many more records may be sealed under the present keys.
func (w *Writer) Left() uint64 {
	if w.Seq() >= w.limit {
		return 0
	}
	return w.limit - w.Seq()
}

// Limit is how many records may be sealed under one set of keys.
func (w *Writer) Limit() uint64 { return w.limit }

// RecordLen is the size on the wire of a record with n bytes of content.
func (w *Writer) RecordLen(n int) int {
	switch {
	case w.aead == nil:
		return HeaderLen + n
	case w.tls12:
		return HeaderLen + int(w.explicit) + n + TagLen
	}
	return HeaderLen + w.padded(n) + 1 + TagLen
}

// ContentOffset is where the content of a record begins.
func (w *Writer) ContentOffset() int { return HeaderLen + int(w.explicit) }

// Seal writes content as one record to the front of dst, which must have room
// for RecordLen bytes, and returns that length. Protected content may lie in
// that room; at ContentOffset it is encrypted where it is.
func (w *Writer) Seal(dst []byte, t ContentType, content []byte) int {
	if w.aead == nil {
		version := uint16(0x0303)
		if t == Handshake && w.Initial {
			version = 0x0301
		}
		putHeader(dst, t, version, len(content))
		return HeaderLen + copy(dst[HeaderLen:], content)
	}
	if w.tls12 {
		return w.seal12(dst, t, content)
	}
	n, padded := len(content), w.padded(len(content))
	size := HeaderLen + padded + 1 + TagLen
	dst = dst[:size:size]
	inner := dst[HeaderLen : HeaderLen+padded+1]
	place(inner, content) // first: it may lie where the header goes
	// "The outer opaque_type field … is always set to the value 23", and the
	// header is the additional data (RFC 9846, Section 5.2).
	putHeader(dst, ApplicationData, 0x0303, padded+1+TagLen)
	inner[n] = byte(t)
	if padded > n {
		clear(inner[n+1:])
	}
	w.aead.Seal(inner[:0], w.nonce[:], inner, dst[:HeaderLen])
	w.half.next()
	return size
}

func putHeader(b []byte, t ContentType, version uint16, n int) {
	_ = b[HeaderLen-1]
	b[0] = byte(t)
	b[1], b[2] = byte(version>>8), byte(version)
	b[3], b[4] = byte(n>>8), byte(n)
}

// SetKeys changes the keys at once. Nothing may be queued.
func (w *Writer) SetKeys(k *Keys) {
	w.half.set(k)
	w.limit = k.Limit
	if k.Fragment != 0 {
		w.limitFragment(k.Fragment)
	}
}

// limitFragment lowers the most content bytes of a record to n, or to what
// keeps the padding within n.
func (w *Writer) limitFragment(n int) {
	if n >= w.Fragment() {
		return
	}
	if n <= int(w.padMask) {
		w.padMask = 0
	}
	w.reduced = MaxPlaintext - uint16(n)&^w.padMask
}
