package record

import (
	"bytes"
	"testing"
)

func TestOverlap(t *testing.T) {
	b := make([]byte, 10)
	for _, row := range []struct {
		story string
		x, y  []byte
		want  bool
	}{
		{"the same", b, b, true},
		{"one within the other", b, b[3:5], true},
		{"one byte in common", b[:5], b[4:], true},
		{"neighbours", b[:5], b[5:], false},
		{"neighbours of one array whose capacities overlap", b[:2], b[7:], false},
		{"of two arrays", b, make([]byte, 10), false},
		{"an empty one in front", b[:0], b, false},
		{"an empty one behind", b[10:], b, false},
		{"nil", nil, b, false},
		{"nil twice", nil, nil, false},
	} {
		if overlap(row.x, row.y) != row.want || overlap(row.y, row.x) != row.want {
			t.Errorf("%s: overlap is %t, want %t either way", row.story, !row.want, row.want)
		}
	}
}

// Wherever content lies, in its record, across its ends or outside, what is
// sealed is what would be sealed from memory of its own.
func TestContentThatLiesInItsRecord(t *testing.T) {
	kinds := map[string]func() *Writer{
		"TLS 1.3":         func() *Writer { return writingWith(t, 1, testKeys(t, 3)) },
		"TLS 1.3, padded": func() *Writer { return writingWith(t, 64, testKeys(t, 3)) },
	}
	for _, aead := range aeads12 {
		kinds["TLS 1.2, "+aead.name] = func() *Writer { return writingWith(t, 1, aead.new(t, 3)) }
	}
	for name, writer := range kinds {
		for _, n := range []int{0, 1, 2, 16, 17, 100} {
			content := pattern(n)
			want := sealed(writer(), Handshake, content)
			const margin = 200
			for at := range margin + len(want) + 1 {
				memory := bytes.Repeat([]byte{0xee}, margin+len(want)+margin)
				dst := memory[margin : margin+len(want)]
				copy(memory[at:], content)
				before := bytes.Clone(memory)
				w := writer()
				if size := w.Seal(dst, Handshake, memory[at:at+n]); size != len(want) || !bytes.Equal(dst, want) {
					t.Fatalf("%s: %d bytes, %d behind the front of their record: it is not what it is from other memory", name, n, at-margin)
				}
				if end := margin + len(want); !bytes.Equal(memory[:margin], before[:margin]) || !bytes.Equal(memory[end:], before[end:]) {
					t.Fatalf("%s: %d bytes, %d behind the front of their record: Seal writes outside of it", name, n, at-margin)
				}
			}
		}
	}
}

func writingWith(t *testing.T, padBlock int, k *Keys) *Writer {
	w := newWriter(MaxPlaintext, padBlock)
	w.SetKeys(k)
	return w
}

func TestAside(t *testing.T) {
	memory := pattern(100)
	dst := memory[10:60]
	if data := memory[60:80]; &Aside(dst, data)[0] != &data[0] {
		t.Error("data that shares nothing with the output is moved")
	}
	for at := range 60 {
		memory := pattern(100)
		data := Aside(memory[10:60], memory[at:at+20])
		if !bytes.Equal(data, pattern(100)[at:at+20]) {
			t.Errorf("data at %d is no longer what it was", at)
		}
		if shared := at+20 > 10; shared && &data[0] != &memory[40] {
			t.Errorf("data at %d, which shares memory with the output, is not moved to its end", at)
		}
	}
}
