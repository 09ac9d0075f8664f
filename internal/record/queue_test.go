package record

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// put queues content of a type, as a caller does.
func put(w *Writer, t ContentType, content string) {
	w.Enqueue(t, append(w.Buffer(), content...))
}

// flush seals all that waits and tells the records as "type content", with the
// seed of the keys that they are protected with in front. Each is checked to
// be as long as announced.
func flush(t *testing.T, w *Writer, keys map[byte]*Keys) (records []string) {
	t.Helper()
	readers := map[byte]*Reader{}
	for seed, k := range keys {
		readers[seed] = openingWith(t, k)
	}
	for w.Pending() {
		n := w.NextLen()
		rec := make([]byte, n)
		if got := w.SealNext(rec); got != n {
			t.Fatalf("SealNext writes %d bytes, NextLen said %d", got, n)
		}
		story := "nobody can open it"
		if rec[0] != byte(ApplicationData) {
			story = fmt.Sprintf("clear %v %s", ContentType(rec[0]), rec[HeaderLen:])
		}
		for seed, r := range readers {
			if typ, content, err := r.Open(bytes.Clone(rec)); err == nil && rec[0] == byte(ApplicationData) {
				story = fmt.Sprintf("key%d %v %s", seed, typ, content)
			}
		}
		records = append(records, story)
	}
	return records
}

func TestTheQueueKeepsTheOrder(t *testing.T) {
	k1, k2 := testKeys(t, 1), testKeys(t, 2)
	keys := map[byte]*Keys{1: k1, 2: k2}
	for _, row := range []struct {
		story    string
		fragment int
		fill     func(w *Writer)
		want     []string
	}{
		{"messages of one type share a record", 64, func(w *Writer) {
			put(w, Handshake, "one,")
			put(w, Handshake, "two,")
			put(w, Handshake, "three")
		}, []string{"clear handshake one,two,three"}},
		{"types do not", 64, func(w *Writer) {
			put(w, Handshake, "one")
			put(w, ChangeCipherSpec, "x")
			put(w, Handshake, "two")
			put(w, Alert, "!!")
		}, []string{"clear handshake one", "clear change_cipher_spec x", "clear handshake two", "clear alert !!"}},
		{"alerts have records of their own", 64, func(w *Writer) {
			put(w, Alert, "no_renegotiation")
			put(w, Alert, "unexpected_message")
		}, []string{"clear alert no_renegotiation", "clear alert unexpected_message"}},
		{"a server's flight", 64, func(w *Writer) {
			put(w, Handshake, "SH")
			put(w, ChangeCipherSpec, "x")
			w.EnqueueKeys(k1)
			put(w, Handshake, "EE,")
			put(w, Handshake, "FIN")
			w.EnqueueKeys(k2)
			put(w, Handshake, "NST")
		}, []string{"clear handshake SH", "clear change_cipher_spec x", "key1 handshake EE,FIN", "key2 handshake NST"}},
		{"keys with nothing before them change at once", 64, func(w *Writer) {
			w.EnqueueKeys(k1)
			put(w, Handshake, "FIN")
			w.EnqueueKeys(k2)
		}, []string{"key1 handshake FIN"}},
		{"two key changes without a record between them", 64, func(w *Writer) {
			put(w, Handshake, "SH")
			w.EnqueueKeys(k1)
			w.EnqueueKeys(k2)
			put(w, Alert, "!!")
		}, []string{"clear handshake SH", "key2 alert !!"}},
		{"a long message is cut at the fragment size", 64, func(w *Writer) {
			put(w, Handshake, string(bytes.Repeat([]byte("a"), 64))+string(bytes.Repeat([]byte("b"), 64)))
			put(w, Handshake, "c")
			w.EnqueueKeys(k1)
			put(w, Handshake, "d")
		}, []string{
			"clear handshake " + string(bytes.Repeat([]byte("a"), 64)),
			"clear handshake " + string(bytes.Repeat([]byte("b"), 64)),
			"clear handshake c", "key1 handshake d"}},
		{"a fragment that is filled exactly is not followed by an empty one", 64, func(w *Writer) {
			put(w, Handshake, string(bytes.Repeat([]byte("a"), 64)))
		}, []string{"clear handshake " + string(bytes.Repeat([]byte("a"), 64))}},
	} {
		w := newWriter(row.fragment, 1)
		if w.Pending() {
			t.Fatal("something waits in a new queue")
		}
		row.fill(w)
		if got := flush(t, w, keys); !slices.Equal(got, row.want) {
			t.Errorf("%s: the records are\n%q, want\n%q", row.story, got, row.want)
		}
	}
}

func TestSealingAsOneGoesIsTheSame(t *testing.T) {
	k := testKeys(t, 1)
	w := newWriter(64, 1)
	put(w, Handshake, "first")
	got := flush(t, w, nil)
	w.EnqueueKeys(k)
	if w.Pending() || !w.Protected() {
		t.Error("a key change with nothing before it waits")
	}
	put(w, Handshake, "second")
	put(w, Handshake, "third")
	got = append(got, flush(t, w, map[byte]*Keys{1: k})...)
	if want := []string{"clear handshake first", "key1 handshake secondthird"}; !slices.Equal(got, want) {
		t.Errorf("the records are %q, want %q", got, want)
	}
}

func TestMoreCanBeQueuedBehindARecordThatIsPartlySealed(t *testing.T) {
	w := newWriter(64, 1)
	put(w, Handshake, string(pattern(100)))
	next := func() []byte {
		rec := make([]byte, w.NextLen())
		w.SealNext(rec)
		return rec[HeaderLen:]
	}
	all := next()
	put(w, Handshake, "more")
	put(w, Alert, "!!")
	all = append(all, next()...)
	if want := append(pattern(100), "more"...); !bytes.Equal(all, want) {
		t.Errorf("the handshake records hold %x, want %x", all, want)
	}
	if got := flush(t, w, nil); !slices.Equal(got, []string{"clear alert !!"}) {
		t.Errorf("what follows is %q, want the alert", got)
	}
}

func TestPaddedRecordsAreAnnouncedWithTheirPadding(t *testing.T) {
	k := testKeys(t, 1)
	w := newWriter(128, 32)
	put(w, Handshake, "clear")
	w.EnqueueKeys(k)
	put(w, Handshake, string(pattern(128+1)))
	var sizes []int
	for w.Pending() {
		rec := make([]byte, w.NextLen())
		w.SealNext(rec)
		sizes = append(sizes, len(rec))
	}
	if want := []int{HeaderLen + 5, 128 + Overhead, 32 + Overhead}; !slices.Equal(sizes, want) {
		t.Errorf("the records have %v bytes, want %v", sizes, want)
	}
}

func TestDropAndReleaseGiveTheMemoryBack(t *testing.T) {
	w := newWriter(64, 1)
	put(w, Handshake, "unsent")
	w.Release()
	if !w.Pending() {
		t.Fatal("Release drops what waits to be sealed")
	}
	w.Drop()
	if w.Pending() || w.backlog != nil {
		t.Error("Drop leaves something behind")
	}
	put(w, Handshake, "sent")
	flush(t, w, nil)
	w.Release()
	if w.backlog != nil {
		t.Error("an idle queue keeps its memory after Release")
	}
	put(w, Alert, "!!")
	if got := flush(t, w, nil); !slices.Equal(got, []string{"clear alert !!"}) {
		t.Errorf("after Release the queue yields %q", got)
	}
}

// What goes back to the pool is zeros, whatever was queued, and how much of it.
func TestMemoryIsGivenBackWithoutATrace(t *testing.T) {
	secret := func(n int) string { return strings.Repeat("secret", n/6) }
	for _, row := range []struct {
		story string
		use   func(w *Writer)
	}{
		{"a flight that was sealed", func(w *Writer) {
			put(w, Handshake, secret(1000))
			w.EnqueueKeys(testKeys(t, 1))
			put(w, Handshake, secret(1000))
			for w.Pending() {
				w.SealNext(make([]byte, w.NextLen()))
			}
			w.Release()
		}},
		{"a flight that was dropped", func(w *Writer) {
			put(w, Handshake, secret(1000))
			w.EnqueueKeys(testKeys(t, 1))
			w.Drop()
		}},
		{"a flight that outgrew the memory", func(w *Writer) {
			put(w, Handshake, secret(flightLen/2))
			put(w, Handshake, secret(2*flightLen))
			for range flightSegments {
				w.EnqueueKeys(testKeys(t, 1))
			}
			w.Drop()
		}},
		{"a message that was not queued after all", func(w *Writer) {
			_ = append(w.Buffer(), secret(100)...)
			w.Release()
		}},
	} {
		w := newWriter(64, 1)
		w.take()
		memory := w.backlog
		row.use(w)
		if w.backlog != nil {
			t.Errorf("%s: its memory is not given back", row.story)
		}
		if !reflect.DeepEqual(memory, new(backlog)) {
			t.Errorf("%s leaves a trace in the memory that is given back", row.story)
		}
		w.Release() // another time gives nothing: nobody gets the memory twice
		w.Drop()
	}
}

// A flight of an ordinary handshake takes no new memory.
func TestAFlightDoesNotAllocate(t *testing.T) {
	w := newWriter(MaxPlaintext, 1)
	keys, room := testKeys(t, 1), make([]byte, 4096)
	message := pattern(500)
	if got := testing.AllocsPerRun(100, func() {
		for range flightSegments / 2 {
			w.Enqueue(Handshake, append(w.Buffer(), message...))
			w.EnqueueKeys(keys)
		}
		for w.Pending() {
			w.SealNext(room[:w.NextLen()])
		}
		w.Release()
	}); got != 0 {
		t.Errorf("a flight makes %v allocations, want none", got)
	}
}
