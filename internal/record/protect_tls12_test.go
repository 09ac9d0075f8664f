package record

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/baretls/baretls/internal/fault"
)

// aead12 is a kind of protection of TLS 1.2.
type aead12 struct {
	name     string
	overhead int // of a record, header included
	explicit int // bytes of the nonce in the record
	new      func(t testing.TB, seed byte) *Keys
}

var aeads12 = []aead12{
	{"AES-GCM", 29, 8, func(t testing.TB, seed byte) *Keys {
		k := testKeys(t, seed)
		clear(k.IV[4:]) // only four bytes come from the key block
		k.TLS12, k.Explicit = true, true
		return k
	}},
	{"ChaCha20-Poly1305", 21, 0, func(t testing.TB, seed byte) *Keys {
		k := testKeys(t, seed)
		k.AEAD = chacha20(t, bytes.Repeat([]byte{seed}, 32))
		k.TLS12 = true
		return k
	}},
}

func chacha20(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

// peer12 is the other side, written down from RFC 5246, Section 6.2.3.3, RFC
// 5288, Section 3, and RFC 7905, Section 2, with nothing of this package in it.
type peer12 struct {
	aead     cipher.AEAD
	iv       [12]byte
	explicit bool
}

func (a aead12) peer(t testing.TB, seed byte) *peer12 {
	p := &peer12{iv: a.new(t, seed).IV, explicit: a.explicit != 0}
	if p.explicit {
		p.aead = aesGCM(t, bytes.Repeat([]byte{seed}, 16))
	} else {
		p.aead = chacha20(t, bytes.Repeat([]byte{seed}, 32))
	}
	return p
}

// nonce of a record. With AES-GCM the sender chooses what half of it is.
func (p *peer12) nonce(seq, chosen uint64) []byte {
	if p.explicit {
		return binary.BigEndian.AppendUint64(p.iv[:4:4], chosen)
	}
	nonce := bytes.Clone(p.iv[:])
	for i := range 8 {
		nonce[4+i] ^= byte(seq >> (56 - 8*i))
	}
	return nonce
}

func (p *peer12) additionalData(seq uint64, t byte, version uint16, n int) []byte {
	ad := binary.BigEndian.AppendUint64(nil, seq)
	ad = append(ad, t, byte(version>>8), byte(version))
	return binary.BigEndian.AppendUint16(ad, uint16(n))
}

// seal makes a record whose nonce has the part chosen, if it has such a part.
func (p *peer12) seal(seq, chosen uint64, t ContentType, version uint16, content []byte) []byte {
	var body []byte
	if p.explicit {
		body = binary.BigEndian.AppendUint64(body, chosen)
	}
	body = p.aead.Seal(body, p.nonce(seq, chosen), content, p.additionalData(seq, byte(t), version, len(content)))
	rec := []byte{byte(t), byte(version >> 8), byte(version), byte(len(body) >> 8), byte(len(body))}
	return append(rec, body...)
}

// open opens a record.
func (p *peer12) open(seq uint64, rec []byte) ([]byte, error) {
	body, chosen := rec[5:], uint64(0)
	if p.explicit {
		chosen, body = binary.BigEndian.Uint64(body), body[8:]
	}
	ad := p.additionalData(seq, rec[0], binary.BigEndian.Uint16(rec[1:]), len(body)-16)
	return p.aead.Open(nil, p.nonce(seq, chosen), body, ad)
}

func writing12(a aead12, t testing.TB, seed byte) *Writer {
	w := newWriter(MaxPlaintext, 1)
	w.SetKeys(a.new(t, seed))
	return w
}

func TestWhatIsSealed12OpensAtAllSizes(t *testing.T) {
	sizes := []int{255, 256, 257, 1023, 1024, 1025, 8192, MaxPlaintext - 1, MaxPlaintext}
	for n := range 200 {
		sizes = append(sizes, n)
	}
	for _, a := range aeads12 {
		w, r, peer := writing12(a, t, 3), openingWith(t, a.new(t, 3)), a.peer(t, 3)
		if !w.TLS12() || !r.TLS12() || !w.Protected() || !r.Protected() {
			t.Errorf("%s: with keys of TLS 1.2, TLS12 is %v and %v", a.name, w.TLS12(), r.TLS12())
		}
		for i, n := range sizes {
			seq := uint64(i)
			typ := ContentType(20 + i%4)
			content := pattern(n)
			size := w.RecordLen(n)
			if size != n+a.overhead {
				t.Fatalf("%s: a record with %d bytes of content is to have %d, want %d more", a.name, n, size, a.overhead)
			}
			buf := bytes.Repeat([]byte{0xee}, size+10)
			if got := w.Seal(buf, typ, content); got != size {
				t.Fatalf("%s: %d bytes are sealed to %d, announced were %d", a.name, n, got, size)
			}
			if !bytes.Equal(buf[size:], bytes.Repeat([]byte{0xee}, 10)) {
				t.Fatalf("%s: Seal writes beyond the record with %d bytes", a.name, n)
			}
			if !bytes.Equal(content, pattern(n)) {
				t.Fatalf("%s: Seal changes the content of %d bytes", a.name, n)
			}
			rec := buf[:size]
			if want := peer.seal(seq, seq, typ, 0x0303, content); !bytes.Equal(rec, want) {
				t.Fatalf("%s: %d bytes are sealed to\n%x, want\n%x", a.name, n, rec, want)
			}
			if got, err := peer.open(seq, rec); err != nil || !bytes.Equal(got, content) {
				t.Fatalf("%s: a peer that knows nothing of us does not open %d bytes: %v", a.name, n, err)
			}
			h, ok := ParseHeader(rec, true)
			if !ok || h != (Header{typ, 0x0303, size - HeaderLen}) {
				t.Fatalf("%s: %d bytes have the header %+v, %t", a.name, n, h, ok)
			}
			if got := r.PayloadLen(h.Length); got != n {
				t.Fatalf("%s: a record with %d bytes announces %d", a.name, n, got)
			}
			gotType, got, err := r.Open(rec)
			if err != nil || gotType != typ || !bytes.Equal(got, content) {
				t.Fatalf("%s: %d bytes open to %v and %d bytes, %v", a.name, n, gotType, len(got), err)
			}
			if n > 0 && &got[0] != &rec[HeaderLen+a.explicit] {
				t.Fatalf("%s: %d bytes are not opened in place", a.name, n)
			}
		}
	}
}

// TLS 1.2 has no room for padding in a record with an AEAD.
func TestTLS12DoesNotPad(t *testing.T) {
	for _, a := range aeads12 {
		w := newWriter(MaxPlaintext, 1024)
		w.SetKeys(a.new(t, 1))
		for _, n := range []int{0, 1, 1023, 1024} {
			rec := sealed(w, ApplicationData, pattern(n))
			if len(rec) != n+a.overhead {
				t.Errorf("%s: with padding to 1024, %d bytes make a record of %d, want %d", a.name, n, len(rec), n+a.overhead)
			}
			if _, err := a.peer(t, 1).open(w.Seq()-1, rec); err != nil {
				t.Errorf("%s: with padding to 1024, %d bytes are sealed to what a peer does not open: %v", a.name, n, err)
			}
		}
	}
}

func TestTheSequenceNumberMakesTheNonce12(t *testing.T) {
	for _, a := range aeads12 {
		w, r, peer := writing12(a, t, 1), openingWith(t, a.new(t, 1)), a.peer(t, 1)
		for _, seq := range []uint64{0, 1, 255, 256, 1 << 32, 1<<48 + 3, 1<<64 - 2} {
			w.setSeq(seq)
			r.setSeq(seq)
			rec := sealed(w, Alert, []byte{1, 0})
			if want := peer.seal(seq, seq, Alert, 0x0303, []byte{1, 0}); !bytes.Equal(rec, want) {
				t.Errorf("%s: record %d is %x, want %x", a.name, seq, rec, want)
			}
			if a.explicit != 0 && binary.BigEndian.Uint64(rec[HeaderLen:]) != seq {
				t.Errorf("%s: the explicit nonce of record %d is %x, want the number", a.name, seq, rec[HeaderLen:HeaderLen+8])
			}
			if _, _, err := r.Open(rec); err != nil {
				t.Errorf("%s: record %d does not open: %v", a.name, seq, err)
			}
			if w.Seq() != seq+1 || r.Seq() != seq+1 {
				t.Errorf("%s: after record %d the next ones are %d and %d", a.name, seq, w.Seq(), r.Seq())
			}
		}
	}
}

// A peer may choose the explicit part of its nonces as it likes: RFC 5288,
// Section 3. The sequence number is still what the additional data holds.
func TestThePeerChoosesItsExplicitNonces(t *testing.T) {
	a := aeads12[0]
	r, peer := openingWith(t, a.new(t, 1)), a.peer(t, 1)
	for seq, chosen := range []uint64{1<<64 - 1, 0, 0x0123456789abcdef, 7, 3} {
		typ, content, err := r.Open(peer.seal(uint64(seq), chosen, Handshake, 0x0303, pattern(20)))
		if err != nil || typ != Handshake || !bytes.Equal(content, pattern(20)) {
			t.Fatalf("record %d with the nonce %#x opens to %v %x, %v", seq, chosen, typ, content, err)
		}
	}
	_, _, err := r.Open(peer.seal(4, 5, Handshake, 0x0303, pattern(20)))
	expect(t, err, fault.BadRecordMAC, "a record with a fresh nonce and an old sequence number")
	if _, _, err := r.Open(peer.seal(5, 5, Handshake, 0x0303, pattern(20))); err != nil {
		t.Errorf("what a peer's nonces left behind spoils the next record: %v", err)
	}
}

// All but the length in the header, which is the caller's to cut by: what it
// cuts is authenticated by the length of what is left.
func TestEveryBitOfARecord12IsAuthentic(t *testing.T) {
	for _, a := range aeads12 {
		good := a.peer(t, 1).seal(0, 0, ApplicationData, 0x0303, pattern(9))
		r := openingWith(t, a.new(t, 1))
		for bit := range 8 * len(good) {
			if bit/8 == 3 || bit/8 == 4 {
				continue
			}
			rec := bytes.Clone(good)
			rec[bit/8] ^= 1 << (bit % 8)
			_, _, err := r.Open(rec)
			expect(t, err, fault.BadRecordMAC, "%s: bit %d is flipped", a.name, bit)
		}
		for n := HeaderLen; n < len(good); n++ {
			_, _, err := r.Open(bytes.Clone(good[:n]))
			expect(t, err, fault.BadRecordMAC, "%s: cut to %d bytes", a.name, n)
		}
		_, _, err := r.Open(append(bytes.Clone(good), 0))
		expect(t, err, fault.BadRecordMAC, "%s: a byte is added", a.name)
		if r.Seq() != 0 {
			t.Fatalf("%s: records that did not open moved the sequence number to %d", a.name, r.Seq())
		}
		if _, _, err := r.Open(good); err != nil {
			t.Errorf("%s: after all that did not open, the good record does not either: %v", a.name, err)
		}
	}
}

func TestTypeVersionAndLengthAreAuthentic(t *testing.T) {
	for _, a := range aeads12 {
		peer, body := a.peer(t, 1), pattern(30)
		for typ := range 256 {
			// Sealed as one type and sent as another.
			rec := peer.seal(0, 0, ContentType(typ), 0x0303, body)
			rec[0] = byte(ApplicationData)
			_, _, err := openingWith(t, a.new(t, 1)).Open(rec)
			if ContentType(typ) != ApplicationData {
				expect(t, err, fault.BadRecordMAC, "%s: a record of type %d is passed off as application data", a.name, typ)
			} else if err != nil {
				t.Errorf("%s: application data does not open: %v", a.name, err)
			}
		}
		for _, version := range []uint16{0x0300, 0x0301, 0x0302, 0x0304, 0x0003, 0x0203} {
			rec := peer.seal(0, 0, ApplicationData, version, body)
			rec[1], rec[2] = 3, 3
			_, _, err := openingWith(t, a.new(t, 1)).Open(rec)
			expect(t, err, fault.BadRecordMAC, "%s: a record of version %#04x is passed off as one of 0x0303", a.name, version)
		}
		// The additional data names another length than the record has.
		for _, n := range []int{0, len(body) - 1, len(body) + 1, len(body) + TagLen} {
			rec := peer.seal(0, 0, ApplicationData, 0x0303, body)
			ad := peer.additionalData(0, byte(ApplicationData), 0x0303, n)
			peer.aead.Seal(rec[:HeaderLen+a.explicit], peer.nonce(0, 0), body, ad)
			_, _, err := openingWith(t, a.new(t, 1)).Open(rec)
			expect(t, err, fault.BadRecordMAC, "%s: %d bytes authenticated as %d", a.name, len(body), n)
		}
	}
}

func TestBodiesTooShortForTLS12(t *testing.T) {
	for _, a := range aeads12 {
		r := openingWith(t, a.new(t, 1))
		smallest := a.explicit + TagLen
		for n := range smallest {
			rec := make([]byte, HeaderLen+n)
			putHeader(rec, Handshake, 0x0303, n)
			_, _, err := r.Open(rec)
			expect(t, err, fault.BadRecordMAC, "%s: a body of %d bytes", a.name, n)
			if got := r.PayloadLen(n); got != 0 || r.Seq() != 0 {
				t.Errorf("%s: a body of %d bytes announces %d and leaves record %d", a.name, n, got, r.Seq())
			}
		}
		typ, content, err := r.Open(a.peer(t, 1).seal(0, 0, ApplicationData, 0x0303, nil))
		if err != nil || typ != ApplicationData || len(content) != 0 {
			t.Errorf("%s: a record without content opens to %v %x, %v", a.name, typ, content, err)
		}
		if got := r.PayloadLen(smallest); got != 0 {
			t.Errorf("%s: a record without content announces %d bytes", a.name, got)
		}
	}
}

func TestRecords12OpenOnceAndInOrder(t *testing.T) {
	for _, a := range aeads12 {
		peer := a.peer(t, 1)
		var recs [3][]byte
		for i := range recs {
			recs[i] = peer.seal(uint64(i), uint64(i), ApplicationData, 0x0303, []byte{byte(i)})
		}
		for _, row := range []struct {
			story string
			order []int
		}{
			{"replayed", []int{0, 0}},
			{"dropped", []int{0, 2}},
			{"swapped", []int{1}},
		} {
			r := openingWith(t, a.new(t, 1))
			for n, i := range row.order {
				_, _, err := r.Open(bytes.Clone(recs[i]))
				if n == len(row.order)-1 {
					expect(t, err, fault.BadRecordMAC, "%s: a record is %s", a.name, row.story)
				} else if err != nil {
					t.Fatalf("%s: record %d does not open: %v", a.name, i, err)
				}
			}
			if r.Seq() != uint64(len(row.order)-1) {
				t.Errorf("%s: the record that was %s moved the sequence number to %d", a.name, row.story, r.Seq())
			}
		}
	}
}

// RFC 5246, Section 6.2.1: "The length MUST NOT exceed 2^14."
func TestPlaintextsTooLargeForTLS12(t *testing.T) {
	for _, a := range aeads12 {
		for _, n := range []int{MaxPlaintext, MaxPlaintext + 1, MaxPlaintext + 2, MaxCiphertext - a.explicit - TagLen} {
			_, content, err := openingWith(t, a.new(t, 1)).Open(a.peer(t, 1).seal(0, 0, ApplicationData, 0x0303, pattern(n)))
			if n > MaxPlaintext {
				expect(t, err, fault.RecordOverflow, "%s: %d bytes", a.name, n)
			} else if err != nil || len(content) != n {
				t.Errorf("%s: %d bytes open to %d, %v", a.name, n, len(content), err)
			}
		}
	}
}

// RFC 8449, Section 4: in TLS 1.2 the limit counts the plaintext and nothing
// else; in TLS 1.3 the content type is one of the bytes.
func TestTheAgreedLimitCountsOnlyThePlaintextInTLS12(t *testing.T) {
	for _, a := range aeads12 {
		for _, limit := range []int{64, 65, 1000, MaxPlaintext - 1, MaxPlaintext, MaxPlaintext + 1} {
			most := min(limit, MaxPlaintext)
			for _, n := range []int{0, most - 1, most, most + 1} {
				r := openingWith(t, a.new(t, 1))
				r.LimitInner(limit)
				_, _, err := r.Open(a.peer(t, 1).seal(0, 0, ApplicationData, 0x0303, pattern(n)))
				if n > most {
					expect(t, err, fault.RecordOverflow, "%s: %d bytes with a limit of %d", a.name, n, limit)
				} else if err != nil {
					t.Errorf("%s: %d bytes with a limit of %d are refused: %v", a.name, n, limit, err)
				}
			}
		}
	}
	k := testKeys(t, 1)
	for n, fine := range map[int]bool{99: true, 100: false} {
		r := openingWith(t, k)
		r.LimitInner(100)
		if _, _, err := r.Open(seal13(k, 0, append(pattern(n), 23))); (err == nil) != fine {
			t.Errorf("TLS 1.3: %d bytes with a limit of 100: %v", n, err)
		}
	}
}

func TestTheLimitOutlivesTheKeyChangeOfTLS12(t *testing.T) {
	for _, a := range aeads12 {
		r := new(Reader)
		r.LimitInner(100) // agreed in the hellos, in the clear
		if err := r.SetKeys(a.new(t, 1)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Open(a.peer(t, 1).seal(0, 0, ApplicationData, 0x0303, pattern(100))); err != nil {
			t.Errorf("%s: 100 bytes with a limit of 100 are refused: %v", a.name, err)
		}
		_, _, err := r.Open(a.peer(t, 1).seal(1, 1, ApplicationData, 0x0303, pattern(101)))
		expect(t, err, fault.RecordOverflow, "%s: 101 bytes with a limit of 100", a.name)
	}
}

// The change_cipher_spec is the last record in the clear, and the Finished the
// first that is protected: RFC 5246, Section 7.1.
func TestTheKeyChangeOfTLS12(t *testing.T) {
	for _, a := range aeads12 {
		w, r, peer := newWriter(64, 1), new(Reader), a.peer(t, 1)
		put(w, Handshake, "\x10\x00\x00\x03cke")
		put(w, ChangeCipherSpec, "\x01")
		w.EnqueueKeys(a.new(t, 1))
		put(w, Handshake, "\x14\x00\x00\x0cverify_data.")
		put(w, ApplicationData, "hello")

		next := func() []byte {
			t.Helper()
			n := w.NextLen()
			rec := make([]byte, n)
			if got := w.SealNext(rec); got != n {
				t.Fatalf("%s: SealNext writes %d bytes, NextLen said %d", a.name, got, n)
			}
			return rec
		}
		for _, want := range []string{"\x16\x03\x03\x00\x07\x10\x00\x00\x03cke", "\x14\x03\x03\x00\x01\x01"} {
			rec := next()
			if string(rec) != want {
				t.Errorf("%s: before the key change the record is %q, want %q", a.name, rec, want)
			}
			if _, content, err := r.Open(rec); err != nil || string(content) != want[HeaderLen:] {
				t.Errorf("%s: before the key change %q opens to %q, %v", a.name, want, content, err)
			}
		}
		if err := r.SetKeys(a.new(t, 1)); err != nil {
			t.Fatal(err)
		}
		for seq, want := range []struct {
			typ     ContentType
			content string
		}{{Handshake, "\x14\x00\x00\x0cverify_data."}, {ApplicationData, "hello"}} {
			rec := next()
			if content, err := peer.open(uint64(seq), rec); err != nil || string(content) != want.content || rec[0] != byte(want.typ) {
				t.Errorf("%s: record %d behind the key change is %x, which a peer opens to %q, %v", a.name, seq, rec, content, err)
			}
			if typ, content, err := r.Open(rec); err != nil || typ != want.typ || string(content) != want.content {
				t.Errorf("%s: record %d behind the key change opens to %v %q, %v", a.name, seq, typ, content, err)
			}
		}
		if w.Pending() {
			t.Errorf("%s: there is more to be sealed", a.name)
		}
	}
}

func TestAMessageMayNotSpanTheKeyChangeOfTLS12(t *testing.T) {
	for _, a := range aeads12 {
		r := new(Reader)
		r.Add([]byte{20, 0, 0, 12, 1, 2, 3})
		if _, ok, err := r.NextMessage(maxMessage); ok || err != nil {
			t.Fatalf("half a message is one: %v, %v", ok, err)
		}
		expect(t, r.SetKeys(a.new(t, 1)), fault.MessageSpansKeyChange, "%s: keys change within a Finished", a.name)
		if r.Protected() || r.TLS12() {
			t.Errorf("%s: the keys are installed though they were refused", a.name)
		}
	}
}

// What a Writer or Reader had before must not show under the keys after it.
func TestNewKeysForgetTheProtectionBefore(t *testing.T) {
	w, r := newWriter(MaxPlaintext, 1), new(Reader)
	for round := range byte(2) {
		for i, a := range aeads12 {
			seed := 10*round + byte(i) + 1
			w.SetKeys(a.new(t, seed))
			if err := r.SetKeys(a.new(t, seed)); err != nil {
				t.Fatal(err)
			}
			for seq := range uint64(3) {
				rec := sealed(w, Handshake, pattern(10))
				if want := a.peer(t, seed).seal(seq, seq, Handshake, 0x0303, pattern(10)); !bytes.Equal(rec, want) {
					t.Errorf("%s: record %d is %x, want %x", a.name, seq, rec, want)
				}
				if _, _, err := r.Open(rec); err != nil {
					t.Errorf("%s: record %d does not open: %v", a.name, seq, err)
				}
			}
		}
		k := testKeys(t, round)
		w.SetKeys(k)
		if err := r.SetKeys(k); err != nil {
			t.Fatal(err)
		}
		if w.TLS12() || r.TLS12() {
			t.Error("keys of TLS 1.3 leave the protection of TLS 1.2 in place")
		}
		rec := sealed(w, Handshake, pattern(10))
		if want := seal13(k, 0, append(pattern(10), byte(Handshake))); !bytes.Equal(rec, want) {
			t.Errorf("behind TLS 1.2 a record of TLS 1.3 is %x, want %x", rec, want)
		}
		if _, _, err := r.Open(rec); err != nil {
			t.Errorf("behind TLS 1.2 a record of TLS 1.3 does not open: %v", err)
		}
	}
}

// The peer's limit, in TLS 1.2, is a number of content bytes.
func TestTheFragmentOfTLS12Keys(t *testing.T) {
	for _, a := range aeads12 {
		k := a.new(t, 1)
		k.Fragment, k.Limit = 64, 5
		w := newWriter(MaxPlaintext, 1)
		w.SetKeys(k)
		w.Enqueue(ApplicationData, append(w.Buffer(), pattern(150)...))
		for i, want := range []int{64, 64, 22} {
			if got := w.NextLen(); got != want+a.overhead {
				t.Fatalf("%s: record %d is to have %d bytes, want %d of content", a.name, i, got, want)
			}
			if w.Left() != 5-uint64(i) {
				t.Errorf("%s: %d records are left before record %d of 5", a.name, w.Left(), i)
			}
			w.SealNext(make([]byte, w.NextLen()))
		}
		if w.Pending() {
			t.Errorf("%s: 150 bytes are not sealed after three records", a.name)
		}
	}
}

func TestOpeningAndSealing12DoNotAllocate(t *testing.T) {
	for _, a := range aeads12 {
		w, r := writing12(a, t, 1), openingWith(t, a.new(t, 1))
		content := pattern(4000)
		rec := make([]byte, w.RecordLen(len(content)))
		var err error
		if n := testing.AllocsPerRun(100, func() {
			w.Seal(rec, ApplicationData, content)
			if _, _, e := r.Open(rec); e != nil {
				err = e
			}
		}); n != 0 || err != nil {
			t.Errorf("%s: sealing and opening a record makes %v allocations (error: %v)", a.name, n, err)
		}
	}
}

func FuzzOpen12(f *testing.F) {
	for i, a := range aeads12 {
		good := a.peer(f, 1).seal(0, 0, Handshake, 0x0303, []byte("hello"))
		f.Add(uint8(i), good[HeaderLen:], []byte("hello"), uint64(0))
		f.Add(uint8(i), make([]byte, 40), []byte{}, uint64(1<<63))
		f.Add(uint8(i), []byte{}, pattern(300), uint64(7))
	}
	f.Fuzz(func(t *testing.T, which uint8, body, content []byte, chosen uint64) {
		a := aeads12[int(which)%len(aeads12)]
		peer := a.peer(t, 1)
		// Bytes of anybody: a record opens only if the peer would have sealed it so.
		if len(body) > MaxCiphertext || len(content) > MaxCiphertext-a.explicit-TagLen {
			return
		}
		rec := make([]byte, HeaderLen, HeaderLen+len(body))
		putHeader(rec, Handshake, 0x0303, len(body))
		rec = append(rec, body...)
		r := openingWith(t, a.new(t, 1))
		typ, got, err := r.Open(bytes.Clone(rec))
		if err == nil {
			var nonce uint64
			if a.explicit != 0 {
				nonce = binary.BigEndian.Uint64(body)
			}
			if again := peer.seal(0, nonce, typ, 0x0303, got); !bytes.Equal(again, rec) {
				t.Fatalf("%s: %x opens to %v %x and is not that record", a.name, rec, typ, got)
			}
		} else if fault.Of(err) != fault.BadRecordMAC && fault.Of(err) != fault.RecordOverflow {
			t.Fatalf("%s: bytes that nobody sealed are refused with: %v", a.name, err)
		} else if fault.Of(err) == fault.BadRecordMAC && r.Seq() != 0 {
			t.Fatalf("%s: a record that did not open moved the sequence number", a.name)
		}

		// Contents of the peer, which has the keys.
		r = openingWith(t, a.new(t, 1))
		typ, got, err = r.Open(peer.seal(0, chosen, ApplicationData, 0x0303, content))
		switch {
		case len(content) > MaxPlaintext:
			expect(t, err, fault.RecordOverflow, "%s: %d bytes", a.name, len(content))
		case err != nil || typ != ApplicationData || !bytes.Equal(got, content):
			t.Fatalf("%s: %x opens to %v %x, %v", a.name, content, typ, got, err)
		}
	})
}
