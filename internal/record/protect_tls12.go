package record

import "github.com/baretls/baretls/internal/fault"

// The protection of TLS 1.2 with an AEAD: RFC 5246, Section 6.2.3.3. The type
// of a record is in the clear, there is no padding, and the additional data
// holds the sequence number and the length of the plaintext.

// explicitNonceLen is the part of GCM's nonce that a record carries: RFC 5288,
// Section 3. ChaCha20-Poly1305 has none: RFC 7905, Section 2.
const explicitNonceLen = 8

// additionalData is that of a record with n bytes of plaintext.
func (h *half) additionalData(header []byte, n int) []byte {
	h.ad[8], h.ad[9], h.ad[10] = header[0], header[1], header[2]
	h.ad[11], h.ad[12] = byte(n>>8), byte(n)
	return h.ad[:]
}

func (r *Reader) open12(rec []byte) (ContentType, []byte, error) {
	body := rec[HeaderLen:]
	n := len(body) - int(r.explicit) - TagLen
	if n < 0 {
		return 0, nil, fault.BadRecordMAC
	}
	ad := r.additionalData(rec, n)
	if r.explicit != 0 {
		copy(r.nonce[4:], body)
		body = body[explicitNonceLen:]
	}
	plain, err := r.aead.Open(body[:0], r.nonce[:], body, ad)
	if r.explicit != 0 { // this half of the IV is zeros: back to our own number
		copy(r.nonce[4:], ad)
	}
	if err != nil {
		return 0, nil, fault.BadRecordMAC
	}
	r.half.next()
	if n > MaxPlaintext-r.reduced12() { // Section 6.2.1
		return 0, nil, fault.RecordOverflow
	}
	return ContentType(rec[0]), plain, nil
}

// reduced12 is reduced as TLS 1.2 counts: without a content type.
func (r *Reader) reduced12() int { return max(int(r.reduced)-1, 0) }

func (w *Writer) seal12(dst []byte, t ContentType, content []byte) int {
	n := len(content)
	size := HeaderLen + int(w.explicit) + n + TagLen
	dst = dst[:size:size]
	inner := dst[w.ContentOffset():]
	// Nothing stands behind the content, so it can be sealed from where it is.
	if overlap(dst, content) {
		place(inner, content)
		content = inner[:n]
	}
	putHeader(dst, t, 0x0303, size-HeaderLen)
	ad := w.additionalData(dst, n)
	// The sequence number is a nonce that never comes twice.
	copy(dst[HeaderLen:HeaderLen+int(w.explicit)], w.nonce[4:])
	w.aead.Seal(inner[:0], w.nonce[:], content, ad)
	w.half.next()
	return size
}
