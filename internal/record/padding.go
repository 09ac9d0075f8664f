package record

// unpad finds the content type, the last byte of inner that is not zero
// (RFC 9846, Section 5.4), and returns its place.
func unpad(inner []byte) (int, bool) {
	for i := len(inner) - 1; i >= 0; i-- {
		if inner[i] != 0 {
			return i, true
		}
	}
	return 0, false
}

// padded is the size that n bytes of content are padded to: a multiple of the
// padding block, without asking whether there is one.
func (w *Writer) padded(n int) int { return (n + int(w.padMask)) &^ int(w.padMask) }
