package record

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

// seal13 seals inner, content type and padding included, as a peer might that
// does not go by our rules.
func seal13(k *Keys, seq uint64, inner []byte) []byte {
	rec := make([]byte, HeaderLen, HeaderLen+len(inner)+TagLen)
	putHeader(rec, ApplicationData, 0x0303, len(inner)+TagLen)
	nonce := k.IV
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^seq)
	return k.AEAD.Seal(rec, nonce[:], inner, rec)
}

func openingWith(t testing.TB, k *Keys) *Reader {
	t.Helper()
	r := new(Reader)
	if err := r.SetKeys(k); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOpeningIsInPlace(t *testing.T) {
	k := testKeys(t, 1)
	r := openingWith(t, k)
	rec := seal13(k, 0, append(pattern(100), byte(Handshake), 0, 0))
	typ, content, err := r.Open(rec)
	if err != nil || typ != Handshake || !bytes.Equal(content, pattern(100)) {
		t.Fatalf("opened to %v %x, %v", typ, content, err)
	}
	if &content[0] != &rec[HeaderLen] {
		t.Error("the content is not a part of the record")
	}

	var clear Reader
	rec = append([]byte{22, 3, 3, 0, 3}, "abc"...)
	typ, content, err = clear.Open(rec)
	if err != nil || typ != Handshake || string(content) != "abc" || &content[0] != &rec[HeaderLen] {
		t.Errorf("a record in the clear opens to %v %q, %v", typ, content, err)
	}
	if clear.Protected() || !r.Protected() {
		t.Error("Protected does not tell whether there are keys")
	}
}

func TestTheTypeIsTheLastByteThatIsNotZero(t *testing.T) {
	type row struct {
		story   string
		inner   []byte
		typ     ContentType
		content []byte
	}
	for _, row := range []row{
		{"a type and nothing else", []byte{23}, ApplicationData, nil},
		{"a type and padding", []byte{21, 0, 0, 0}, Alert, nil},
		{"zeros that are content", []byte{0, 0, 0, 22}, Handshake, []byte{0, 0, 0}},
		{"zeros on both sides", []byte{0, 7, 0, 23, 0, 0}, ApplicationData, []byte{0, 7, 0}},
		{"a type that does not exist", []byte{1, 99, 0}, 99, []byte{1}},
		{"full size with padding", append(pattern(16000), append([]byte{22}, make([]byte, 384)...)...), Handshake, pattern(16000)},
		{"full size without padding", append(pattern(MaxPlaintext), 23), ApplicationData, pattern(MaxPlaintext)},
	} {
		k := testKeys(t, 1)
		typ, content, err := openingWith(t, k).Open(seal13(k, 0, row.inner))
		if err != nil || typ != row.typ || !bytes.Equal(content, row.content) {
			t.Errorf("%s: opened to type %d, %d bytes, %v", row.story, typ, len(content), err)
		}
	}
	for _, n := range []int{0, 1, 2, 255, MaxPlaintext + 1} {
		k := testKeys(t, 1)
		_, _, err := openingWith(t, k).Open(seal13(k, 0, make([]byte, n)))
		expect(t, err, fault.NoContentType, "%d zeros and nothing else", n)
	}
}

func TestTheLimitCountsThePadding(t *testing.T) {
	for _, row := range []struct {
		content, padding int
		want             fault.Reason
	}{
		{MaxPlaintext, 0, fault.Internal},
		{MaxPlaintext - 1, 1, fault.Internal},
		{0, MaxPlaintext, fault.Internal},
		{MaxPlaintext + 1, 0, fault.RecordOverflow},
		{MaxPlaintext, 1, fault.RecordOverflow},
		{0, MaxPlaintext + 1, fault.RecordOverflow},
		{MaxPlaintext, 239, fault.RecordOverflow}, // the most that a header allows
	} {
		k := testKeys(t, 1)
		inner := append(pattern(row.content), byte(ApplicationData))
		inner = append(inner, make([]byte, row.padding)...)
		_, content, err := openingWith(t, k).Open(seal13(k, 0, inner))
		if row.want != fault.Internal {
			expect(t, err, row.want, "%d bytes with %d of padding", row.content, row.padding)
		} else if err != nil || len(content) != row.content {
			t.Errorf("%d bytes with %d of padding open to %d, %v", row.content, row.padding, len(content), err)
		}
	}
}

func TestEveryBitOfARecordIsAuthentic(t *testing.T) {
	k := testKeys(t, 1)
	good := seal13(k, 0, append(pattern(9), byte(ApplicationData)))
	r := openingWith(t, k)
	for bit := range 8 * len(good) {
		rec := bytes.Clone(good)
		rec[bit/8] ^= 1 << (bit % 8)
		_, _, err := r.Open(rec)
		expect(t, err, fault.BadRecordMAC, "bit %d is flipped", bit)
	}
	for n := HeaderLen; n < len(good); n++ {
		_, _, err := r.Open(bytes.Clone(good[:n]))
		expect(t, err, fault.BadRecordMAC, "cut to %d bytes", n)
	}
	if r.Seq() != 0 {
		t.Fatalf("records that did not open moved the sequence number to %d", r.Seq())
	}
	if _, _, err := r.Open(good); err != nil {
		t.Errorf("after all that did not open, the good record does not either: %v", err)
	}
}

func TestRecordsOpenOnceAndInOrder(t *testing.T) {
	k := testKeys(t, 1)
	var recs [3][]byte
	for i := range recs {
		recs[i] = seal13(k, uint64(i), []byte{byte(i), byte(ApplicationData)})
	}
	for _, row := range []struct {
		story string
		order []int
	}{
		{"replayed", []int{0, 0}},
		{"dropped", []int{0, 2}},
		{"swapped", []int{1}},
	} {
		r := openingWith(t, k)
		for n, i := range row.order {
			_, _, err := r.Open(bytes.Clone(recs[i]))
			if n == len(row.order)-1 {
				expect(t, err, fault.BadRecordMAC, "a record is %s", row.story)
			} else if err != nil {
				t.Fatalf("record %d does not open: %v", i, err)
			}
		}
	}
}

func TestTheSequenceNumberMakesTheNonce(t *testing.T) {
	k := testKeys(t, 1)
	w := newWriter(MaxPlaintext, 1)
	w.SetKeys(k)
	r := openingWith(t, k)
	for _, seq := range []uint64{0, 1, 255, 256, 1 << 32, 1<<48 + 3, 1<<64 - 2} {
		w.setSeq(seq)
		r.setSeq(seq)
		rec := sealed(w, Alert, []byte{1, 0})
		if want := seal13(k, seq, []byte{1, 0, byte(Alert)}); !bytes.Equal(rec, want) {
			t.Errorf("record %d is %x, want %x", seq, rec, want)
		}
		if _, _, err := r.Open(rec); err != nil {
			t.Errorf("record %d does not open: %v", seq, err)
		}
		if w.Seq() != seq+1 || r.Seq() != seq+1 {
			t.Errorf("after record %d the next ones are %d and %d", seq, w.Seq(), r.Seq())
		}
	}
}

func TestNewKeysBeginAtZero(t *testing.T) {
	w := newWriter(MaxPlaintext, 1)
	r := new(Reader)
	for seed := range byte(3) {
		k := testKeys(t, seed)
		w.SetKeys(k)
		if err := r.SetKeys(k); err != nil {
			t.Fatal(err)
		}
		for seq := range uint64(5) {
			if w.Seq() != seq || r.Seq() != seq {
				t.Fatalf("epoch %d is at records %d and %d, want %d", seed, w.Seq(), r.Seq(), seq)
			}
			rec := sealed(w, ApplicationData, pattern(10))
			if want := seal13(k, seq, append(pattern(10), 23)); !bytes.Equal(rec, want) {
				t.Errorf("epoch %d, record %d is %x, want %x", seed, seq, rec, want)
			}
			if _, _, err := r.Open(rec); err != nil {
				t.Errorf("epoch %d, record %d: %v", seed, seq, err)
			}
		}
	}
}

func TestPayloadLenIsExactWithoutPadding(t *testing.T) {
	var r Reader
	if got := r.PayloadLen(100); got != 100 {
		t.Errorf("in the clear, 100 bytes carry %d", got)
	}
	k := testKeys(t, 1)
	r.half.set(k)
	for _, n := range []int{0, 1, 100, MaxPlaintext} {
		rec := seal13(k, 0, append(pattern(n), byte(ApplicationData)))
		if got := r.PayloadLen(len(rec) - HeaderLen); got != n {
			t.Errorf("a record with %d bytes announces %d", n, got)
		}
		padded := seal13(k, 0, append(pattern(n), byte(ApplicationData), 0, 0, 0))
		if got := r.PayloadLen(len(padded) - HeaderLen); got < n {
			t.Errorf("a padded record with %d bytes announces only %d", n, got)
		}
	}
	for n := range TagLen + 2 {
		if got := r.PayloadLen(n); got != 0 {
			t.Errorf("a body of %d bytes, too short for a type, announces %d", n, got)
		}
	}
}

func TestOpeningAndSealingDoNotAllocate(t *testing.T) {
	for _, padBlock := range []int{1, 1024} {
		k := testKeys(t, 1)
		w := newWriter(MaxPlaintext, padBlock)
		w.SetKeys(k)
		r := openingWith(t, k)
		content := pattern(4000)
		rec := make([]byte, w.RecordLen(len(content)))
		if n := testing.AllocsPerRun(100, func() {
			w.Seal(rec, ApplicationData, content)
			if _, _, err := r.Open(rec); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("with padding to %d, sealing and opening a record makes %v allocations", padBlock, n)
		}
	}
}

func FuzzOpen(f *testing.F) {
	good := func(inner []byte) []byte { return seal13(testKeys(f, 1), 0, inner)[HeaderLen:] }
	f.Add(good([]byte("hello\x17")), []byte("hello\x17"))
	f.Add(good(make([]byte, 40)), make([]byte, 40))
	f.Add([]byte{}, []byte{0, 22, 0})
	f.Add(good(nil), []byte{23})
	f.Fuzz(func(t *testing.T, body, inner []byte) {
		// Bytes of anybody: a record opens only if we would have sealed it so.
		if len(body) > MaxCiphertext {
			return
		}
		k := testKeys(t, 1)
		r := openingWith(t, k)
		rec := make([]byte, HeaderLen, HeaderLen+len(body))
		putHeader(rec, ApplicationData, 0x0303, len(body))
		rec = append(rec, body...)
		typ, content, err := r.Open(bytes.Clone(rec))
		if err == nil {
			again := append(append(bytes.Clone(content), byte(typ)), make([]byte, len(body)-TagLen-1-len(content))...)
			if !bytes.Equal(seal13(k, 0, again), rec) {
				t.Fatalf("%x opens to %v %x and is not that record", rec, typ, content)
			}
		} else if reason := fault.Of(err); reason == fault.Internal {
			t.Fatalf("bytes of the peer are called our own fault: %v", err)
		}

		// Contents of the peer, which has the keys.
		if len(inner) > MaxCiphertext-TagLen {
			return
		}
		r = openingWith(t, k)
		typ, content, err = r.Open(seal13(k, 0, inner))
		stripped := bytes.TrimRight(inner, "\x00")
		switch {
		case len(inner) > MaxPlaintext+1:
			expect(t, err, fault.RecordOverflow, "%d bytes with type and padding", len(inner))
		case len(stripped) == 0:
			expect(t, err, fault.NoContentType, "nothing but padding")
		case err != nil:
			t.Fatalf("%x does not open: %v", inner, err)
		case byte(typ) != stripped[len(stripped)-1] || !bytes.Equal(content, stripped[:len(stripped)-1]):
			t.Fatalf("%x opens to %v %x", inner, typ, content)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{22, 3, 1, 0, 5}, false)
	f.Add([]byte{23, 3, 3, 0x41, 0}, true)
	f.Add([]byte("GET / HTTP/1.1"), false)
	f.Fuzz(func(t *testing.T, b []byte, protected bool) {
		if len(b) < HeaderLen {
			return
		}
		h, ok := ParseHeader(b, protected)
		if err := h.Fault(); !ok {
			if fault.Of(err).Alert() == fault.InternalError {
				t.Fatalf("bytes of the peer are called our own fault: %v", err)
			}
			return
		}
		var again [HeaderLen]byte
		putHeader(again[:], h.Type, h.Version, h.Length)
		if !bytes.Equal(again[:], b[:HeaderLen]) {
			t.Fatalf("%x is read as %+v", b[:HeaderLen], h)
		}
		if h.Length > MaxCiphertext || !protected && h.Length > MaxPlaintext {
			t.Fatalf("%d bytes are accepted, protected %v", h.Length, protected)
		}
	})
}

// A sequence number does not wrap (Section 5.3): in front of the last one the
// reader ends the connection.
func TestTheReadersSequenceNumberDoesNotWrap(t *testing.T) {
	newKeys := map[string]func(testing.TB, byte) *Keys{"TLS 1.3": testKeys}
	for _, a := range aeads12 {
		newKeys["TLS 1.2, "+a.name] = a.new
	}
	for name, keys := range newKeys {
		var r Reader
		w := newWriter(MaxPlaintext, 1)
		if err := r.SetKeys(keys(t, 1)); err != nil {
			t.Fatal(err)
		}
		w.SetKeys(keys(t, 1))
		w.setSeq(1<<64 - 3)
		r.setSeq(1<<64 - 3)
		for range 2 {
			if _, content, err := r.Open(sealed(w, ApplicationData, []byte{1})); err != nil || len(content) != 1 {
				t.Fatalf("%s: record %d does not open: %v", name, r.Seq(), err)
			}
		}
		if _, _, err := r.Open(sealed(w, ApplicationData, []byte{1})); err != fault.KeyLimitReached {
			t.Errorf("%s: the last number is used: %v", name, err)
		}
		if r.Seq() != 1<<64-1 {
			t.Errorf("%s: the number becomes %d", name, r.Seq())
		}
	}
}
