package record

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

// expect checks that a failure has the reason it should have.
func expect(t *testing.T, err error, want fault.Reason, story string, args ...any) {
	t.Helper()
	if err == nil {
		t.Errorf(story+": it is accepted, and should be refused: %v", append(args, want)...)
	} else if got := fault.Of(err); got != want {
		t.Errorf(story+": the reason is %q, want %q", append(args, err, want)...)
	}
}

func aesGCM(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

// testKeys are keys that differ by their seed.
func testKeys(t testing.TB, seed byte) *Keys {
	t.Helper()
	k := &Keys{AEAD: aesGCM(t, bytes.Repeat([]byte{seed}, 16)), Limit: 1 << 24}
	for i := range k.IV {
		k.IV[i] = seed ^ byte(17*i)
	}
	return k
}

// newWriter is a Writer that fragments and pads as it is told.
func newWriter(fragment, padBlock int) *Writer {
	w := new(Writer)
	w.Init(fragment, padBlock)
	return w
}

// sealed is one record in memory of its own.
func sealed(w *Writer, t ContentType, content []byte) []byte {
	rec := make([]byte, w.RecordLen(len(content)))
	return rec[:w.Seal(rec, t, content)]
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestHeadersAreJudgedBeforeTheRecordIsThere(t *testing.T) {
	const fine = fault.Internal
	for _, row := range []struct {
		story     string
		header    [5]byte
		clear     fault.Reason // as long as records are in the clear
		protected fault.Reason // and once keys are installed
	}{
		{"a handshake record", [5]byte{22, 3, 3, 0, 9}, fine, fine},
		{"an alert", [5]byte{21, 3, 3, 0, 2}, fine, fine},
		{"a change_cipher_spec", [5]byte{20, 3, 3, 0, 1}, fine, fine},
		{"application data", [5]byte{23, 3, 3, 0, 30}, fine, fine},
		{"an empty record", [5]byte{22, 3, 3, 0, 0}, fine, fine},
		{"version 3.1, as a first ClientHello has it", [5]byte{22, 3, 1, 0, 9}, fine, fine},
		{"version 3.0, which is to be ignored", [5]byte{22, 3, 0, 0, 9}, fine, fine},
		{"version 3.4, which is to be ignored", [5]byte{22, 3, 4, 0, 9}, fine, fine},
		{"version 3.255, which is to be ignored", [5]byte{22, 3, 255, 0, 9}, fine, fine},
		{"version 2.0", [5]byte{22, 2, 0, 0, 9}, fault.RecordVersion, fault.RecordVersion},
		{"version 0.0", [5]byte{22, 0, 0, 0, 9}, fault.RecordVersion, fault.RecordVersion},
		{"version 4.3, which is ignored", [5]byte{22, 4, 3, 0, 9}, fine, fine},
		{"type 19", [5]byte{19, 3, 3, 0, 9}, fault.UnexpectedRecord, fault.UnexpectedRecord},
		{"type 24, heartbeat", [5]byte{24, 3, 3, 0, 9}, fault.UnexpectedRecord, fault.UnexpectedRecord},
		{"type 0", [5]byte{0, 3, 3, 0, 9}, fault.UnexpectedRecord, fault.UnexpectedRecord},
		{"type 255", [5]byte{255, 3, 3, 0, 9}, fault.UnexpectedRecord, fault.UnexpectedRecord},
		{"the beginning of GET / HTTP/1.1", [5]byte([]byte("GET /")), fault.UnexpectedRecord, fault.UnexpectedRecord},
		{"2^14 bytes", [5]byte{22, 3, 3, 0x40, 0}, fine, fine},
		{"2^14+1 bytes", [5]byte{22, 3, 3, 0x40, 1}, fault.RecordOverflow, fine},
		{"2^14+256 bytes", [5]byte{23, 3, 3, 0x41, 0}, fault.RecordOverflow, fine},
		{"2^14+257 bytes", [5]byte{23, 3, 3, 0x41, 1}, fault.RecordOverflow, fault.RecordOverflow},
		{"65535 bytes", [5]byte{23, 3, 3, 255, 255}, fault.RecordOverflow, fault.RecordOverflow},
	} {
		for _, protected := range []bool{false, true} {
			want := row.clear
			if protected {
				want = row.protected
			}
			h, ok := ParseHeader(append(row.header[:], 0xff), protected)
			if want != fine {
				if ok {
					t.Errorf("%s, protected %v: it is accepted, and should be refused", row.story, protected)
				}
				expect(t, h.Fault(), want, "%s, protected %v", row.story, protected)
				continue
			}
			b := row.header
			if !ok || h.Type != ContentType(b[0]) || h.Version != uint16(b[1])<<8|uint16(b[2]) || h.Length != int(b[3])<<8|int(b[4]) {
				t.Errorf("%s, protected %v: read as %+v, %t", row.story, protected, h, ok)
			}
		}
	}
}

func TestContentTypesHaveTheNamesOfTheRFC(t *testing.T) {
	for typ, want := range map[ContentType]string{
		ChangeCipherSpec: "change_cipher_spec", Alert: "alert", Handshake: "handshake",
		ApplicationData: "application_data", 24: "unknown record type",
	} {
		if got := typ.String(); got != want {
			t.Errorf("content type %d is called %q, want %q", typ, got, want)
		}
	}
}
