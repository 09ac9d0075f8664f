package record

import "unsafe"

// overlap reports whether a and b share memory. Nothing is read or written
// through the pointers, which Go compares for order in no other way.
func overlap(a, b []byte) bool {
	atA, atB := uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return atA < atB+uintptr(len(b)) && atB < atA+uintptr(len(a))
}

// Aside returns data where records can be sealed from it to the front of dst,
// one after the other, without overwriting what is not sealed yet: at the end
// of dst, which has room for all of them, if they share memory.
func Aside(dst, data []byte) []byte {
	if !overlap(dst, data) {
		return data
	}
	end := dst[len(dst)-len(data):]
	copy(end, data)
	return end
}

// place copies content to the front of dst unless that is where it is.
func place(dst, content []byte) {
	if len(content) > 0 && &dst[0] != &content[0] {
		copy(dst, content)
	}
}
