package record

import (
	"encoding/binary"

	"github.com/baretls/baretls/internal/fault"
)

// A Reader opens the peer's records and joins its handshake messages.
// The zero Reader takes records in the clear.
type Reader struct {
	half
	Joiner
}

// LimitInner sets how many bytes a TLSInnerPlaintext may have, content type
// and padding included, where the peer has agreed to fewer than MaxPlaintext+1
// (RFC 8449).
func (r *Reader) LimitInner(n int) { r.reduced = uint16(MaxPlaintext + 1 - n) }

// SetKeys changes the keys that records are opened with from the next record
// on. It is the only door for that, and it is shut in the middle of a message:
// "Handshake messages MUST NOT span key changes" (RFC 9846, Section 5.1).
func (r *Reader) SetKeys(k *Keys) error {
	if !r.Joiner.Empty() {
		return fault.MessageSpansKeyChange
	}
	r.half.set(k)
	return nil
}

// Open removes the protection of rec, one whole record, in place. The content
// is a part of rec. A record that does not open leaves the sequence number as
// it was; what rec then holds is undefined.
func (r *Reader) Open(rec []byte) (ContentType, []byte, error) {
	if r.aead == nil {
		return ContentType(rec[0]), rec[HeaderLen:], nil
	}
	if r.Seq() == 1<<64-1 { // it would wrap: Section 5.3
		return 0, nil, fault.KeyLimitReached
	}
	if r.tls12 {
		return r.open12(rec)
	}
	body := rec[HeaderLen:]
	inner, err := r.aead.Open(body[:0], r.nonce[:], body, rec[:HeaderLen])
	if err != nil {
		return 0, nil, fault.BadRecordMAC
	}
	r.half.next()
	// TLSInnerPlaintext is limited with its padding, Section 5.4.
	if len(inner) > MaxPlaintext+1-int(r.reduced) {
		return 0, nil, fault.RecordOverflow
	}
	n, ok := unpad(inner)
	if !ok {
		return 0, nil, fault.NoContentType
	}
	return ContentType(inner[n]), inner[:n], nil
}

// PayloadLen is the most that the content of a record with a body of n bytes
// can be: exactly its size unless the peer padded it.
func (r *Reader) PayloadLen(n int) int {
	switch {
	case r.aead == nil:
		return n
	case r.tls12:
		return max(n-int(r.explicit)-TagLen, 0)
	}
	return max(n-TagLen-1, 0)
}

func be64(b []byte) uint64       { return binary.BigEndian.Uint64(b) }
func putBE64(b []byte, v uint64) { binary.BigEndian.PutUint64(b, v) }
