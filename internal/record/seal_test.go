package record

import (
	"bytes"
	"testing"
)

func TestWhatIsSealedOpensAtAllSizes(t *testing.T) {
	sizes := []int{255, 256, 257, 1023, 1024, 1025, 8192, MaxPlaintext - 1, MaxPlaintext}
	for n := range 200 {
		sizes = append(sizes, n)
	}
	for _, padBlock := range []int{1, 2, 64, 1024, MaxPlaintext} {
		k := testKeys(t, 3)
		w := newWriter(MaxPlaintext, padBlock)
		w.SetKeys(k)
		r := openingWith(t, k)
		for i, n := range sizes {
			if padBlock == MaxPlaintext && i%20 != 0 { // each record has 16 KiB
				continue
			}
			typ := ContentType(20 + i%4)
			content := pattern(n)
			size := w.RecordLen(n)
			buf := bytes.Repeat([]byte{0xee}, size+10)
			if got := w.Seal(buf, typ, content); got != size {
				t.Fatalf("%d bytes padded to %d are sealed to %d bytes, announced were %d", n, padBlock, got, size)
			}
			if !bytes.Equal(buf[size:], bytes.Repeat([]byte{0xee}, 10)) {
				t.Fatalf("%d bytes padded to %d: Seal writes beyond the record", n, padBlock)
			}
			if !bytes.Equal(content, pattern(n)) {
				t.Fatalf("%d bytes padded to %d: Seal changes the content", n, padBlock)
			}
			if padding := size - Overhead - n; padding < 0 || padding >= padBlock || (n+padding)%padBlock != 0 {
				t.Fatalf("%d bytes padded to a multiple of %d get %d of padding", n, padBlock, padding)
			}
			h, ok := ParseHeader(buf, true)
			if !ok || h != (Header{ApplicationData, 0x0303, size - HeaderLen}) {
				t.Fatalf("%d bytes padded to %d have the header %+v, %t", n, padBlock, h, ok)
			}
			gotType, got, err := r.Open(buf[:size])
			if err != nil || gotType != typ || !bytes.Equal(got, content) {
				t.Fatalf("%d bytes padded to %d open to %v and %d bytes, %v", n, padBlock, gotType, len(got), err)
			}
		}
	}
}

func TestRecordsInTheClearHaveTheVersionTheyAreTold(t *testing.T) {
	w := newWriter(MaxPlaintext, 64)
	for initial, minor := range map[bool]byte{false: 3, true: 1} {
		w.Initial = initial
		got := sealed(w, Handshake, []byte("hello"))
		want := append([]byte{22, 3, minor, 0, 5}, "hello"...)
		if !bytes.Equal(got, want) || w.RecordLen(5) != len(want) {
			t.Errorf("in the clear the record is %x, want %x", got, want)
		}
	}
	w.Initial = true
	w.SetKeys(testKeys(t, 1))
	if got := sealed(w, Handshake, []byte("hello")); !bytes.Equal(got[:3], []byte{23, 3, 3}) {
		t.Errorf("a protected record begins with %x whatever Initial says, want 170303", got[:3])
	}
}

func TestLeftCountsDownToTheLimit(t *testing.T) {
	w := newWriter(MaxPlaintext, 1)
	k := testKeys(t, 1)
	k.Limit = 3
	w.SetKeys(k)
	for _, want := range []uint64{3, 2, 1, 0, 0} {
		if w.Left() != want || w.Limit() != 3 {
			t.Errorf("%d records of %d are left, want %d of 3", w.Left(), w.Limit(), want)
		}
		sealed(w, ApplicationData, nil)
	}
	w.SetKeys(testKeys(t, 2))
	if w.Left() != 1<<24 {
		t.Errorf("new keys have %d records left, want all 2^24", w.Left())
	}
}

// "legacy_record_version … MUST be set to 0x0303 for all records … other than
// an initial ClientHello" (RFC 9846, Section 5.1): OpenSSL looks at that of a
// change_cipher_spec between the hello and early data.
func TestOnlyHandshakeRecordsHaveAnotherVersion(t *testing.T) {
	w := newWriter(MaxPlaintext, 1)
	w.Initial = true
	var rec [64]byte
	for kind, want := range map[ContentType]byte{Handshake: 1, ChangeCipherSpec: 3, Alert: 3} {
		if w.Seal(rec[:], kind, []byte{1}); rec[1] != 3 || rec[2] != want {
			t.Errorf("a record of %v in the clear has version %d.%d, want 3.%d", kind, rec[1], rec[2], want)
		}
	}
}
