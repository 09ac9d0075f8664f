package record

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

// handshakeMessage is a message of a type and a body of n bytes.
func handshakeMessage(typ byte, n int) []byte {
	m := []byte{typ, byte(n >> 16), byte(n >> 8), byte(n)}
	return append(m, pattern(n)...)
}

// maxMessage is a limit that no message of these tests comes near.
const maxMessage = 1 << 16

// drain takes all whole messages and copies them: each is valid only until the
// next call.
func drain(t testing.TB, j *Joiner, limit int) (messages [][]byte) {
	t.Helper()
	for {
		m, ok, err := j.NextMessage(limit)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return messages
		}
		messages = append(messages, bytes.Clone(m))
	}
}

func same(a, b [][]byte) bool {
	return bytes.Equal(bytes.Join(a, nil), bytes.Join(b, nil)) && len(a) == len(b)
}

var sequences = []struct {
	story string
	sizes []int
}{
	{"one empty message", []int{0}},
	{"three empty messages", []int{0, 0, 0}},
	{"a flight of mixed sizes", []int{40, 0, 1, 3, 70, 0, 32}},
	{"a long message between short ones", []int{1, 150, 2}},
}

func flight(sizes []int) (messages [][]byte) {
	for i, n := range sizes {
		messages = append(messages, handshakeMessage(byte(i+1), n))
	}
	return messages
}

func TestMessagesAreTheSameHoweverRecordsCutThem(t *testing.T) {
	for _, s := range sequences {
		want := flight(s.sizes)
		all := bytes.Join(want, nil)
		ends := map[int]bool{0: true} // where a message ends
		at := 0
		for _, m := range want {
			at += len(m)
			ends[at] = true
		}
		for a := range len(all) + 1 {
			for b := a; b <= len(all); b++ {
				var j Joiner
				var got [][]byte
				for k, part := range [][]byte{all[:a], all[a:b], all[b:]} {
					j.Add(bytes.Clone(part)) // the record's memory is another one each time
					got = append(got, drain(t, &j, maxMessage)...)
					fed := []int{a, b, len(all)}[k]
					if j.Partial() == ends[fed] || j.Empty() != ends[fed] {
						t.Fatalf("%s, cut at %d and %d: after %d bytes Partial is %v and Empty is %v", s.story, a, b, fed, j.Partial(), j.Empty())
					}
				}
				if !same(got, want) {
					t.Fatalf("%s, cut at %d and %d, comes out as %x", s.story, a, b, got)
				}
			}
		}
		for size := 1; size <= len(all); size++ {
			var j Joiner
			var got [][]byte
			for rest := all; len(rest) > 0; {
				n := min(size, len(rest))
				j.Add(bytes.Clone(rest[:n]))
				got = append(got, drain(t, &j, maxMessage)...)
				rest = rest[n:]
			}
			if !same(got, want) {
				t.Fatalf("%s in records of %d bytes comes out as %x", s.story, size, got)
			}
		}
	}
}

func TestAMessageWithinOneRecordIsNotCopied(t *testing.T) {
	content := append(handshakeMessage(1, 10), handshakeMessage(2, 0)...)
	var j Joiner
	j.Add(content)
	at := 0
	for range 2 {
		m, ok, err := j.NextMessage(maxMessage)
		if err != nil || !ok {
			t.Fatalf("a whole message is not found: %v", err)
		}
		if &m[0] != &content[at] {
			t.Error("a message that lies within a record is copied")
		}
		at += len(m)
	}
	if n := testing.AllocsPerRun(100, func() {
		j.Add(content)
		for {
			if _, ok, _ := j.NextMessage(maxMessage); !ok {
				return
			}
		}
	}); n != 0 {
		t.Errorf("cutting whole messages makes %v allocations", n)
	}
}

func TestMessagesBeyondTheLimitAreRefusedByTheirHeader(t *testing.T) {
	const limit = 1000
	for cut := range messageHeaderLen + 2 {
		fine, large := handshakeMessage(1, limit), handshakeMessage(1, limit+1)

		var j Joiner
		j.Add(fine[:cut])
		drain(t, &j, limit)
		j.Add(fine[cut:])
		if got := drain(t, &j, limit); !same(got, [][]byte{fine}) {
			t.Errorf("a message of exactly the limit, cut at %d, is not taken", cut)
		}

		j = Joiner{}
		j.Add(large[:cut])
		_, ok, err := j.NextMessage(limit)
		if cut >= messageHeaderLen {
			expect(t, err, fault.MessageTooLarge, "a header that announces a byte too many")
			continue
		}
		if ok || err != nil {
			t.Fatalf("%d bytes of a header are a message or an error: %v, %v", cut, ok, err)
		}
		j.Add(large[cut:messageHeaderLen])
		_, _, err = j.NextMessage(limit)
		expect(t, err, fault.MessageTooLarge, "a header cut at %d that announces a byte too many", cut)
		if cap(j.partial) > 64 {
			t.Errorf("a header cut at %d makes the Joiner take %d bytes of memory", cut, cap(j.partial))
		}
	}
}

func TestAnAnnouncementTakesNoMemory(t *testing.T) {
	var j Joiner
	j.Add([]byte{11, 0xff, 0xff, 0xff, 0})
	if _, ok, err := j.NextMessage(1<<24 - 1); ok || err != nil {
		t.Fatalf("a message of 2^24-1 bytes of which one is here: %v, %v", ok, err)
	}
	if cap(j.partial) > 64 {
		t.Errorf("one byte of a large message makes the Joiner take %d bytes of memory", cap(j.partial))
	}
}

func TestReleaseGivesMemoryBackButNotAPartialMessage(t *testing.T) {
	m := handshakeMessage(1, 500)
	var j Joiner
	j.Add(m[:100])
	drain(t, &j, maxMessage)
	j.Release()
	if !j.Partial() {
		t.Fatal("Release forgot a message that has begun")
	}
	j.Add(m[100:])
	if got := drain(t, &j, maxMessage); !same(got, [][]byte{m}) {
		t.Fatal("a message does not survive a Release in its middle")
	}
	j.Release()
	if j.joint != nil {
		t.Errorf("an idle Joiner keeps %d bytes after Release", cap(j.partial)+cap(j.rest))
	}
}

// "Handshake messages MUST NOT span key changes": RFC 9846, Section 5.1.
func TestKeysDoNotChangeInTheMiddleOfAMessage(t *testing.T) {
	first, second := handshakeMessage(2, 20), handshakeMessage(8, 20)
	all := append(bytes.Clone(first), second...)
	for cut := range len(all) + 1 {
		// A record boundary at cut; the keys change once the first message is
		// handed out, from whichever record that takes.
		var r Reader
		r.Add(bytes.Clone(all[:cut]))
		m, ok, err := r.NextMessage(maxMessage)
		if !ok && err == nil {
			if partial := r.Partial(); partial {
				expect(t, r.SetKeys(testKeys(t, 1)), fault.MessageSpansKeyChange, "%d bytes of a message are pending", cut)
			} else if err := r.SetKeys(testKeys(t, 1)); cut != 0 || err != nil {
				t.Errorf("before the first message, %d bytes in, keys cannot change: %v", cut, err)
			}
			r.Add(bytes.Clone(all[cut:]))
			m, ok, err = r.NextMessage(maxMessage)
		}
		if err != nil || !ok || !bytes.Equal(m, first) {
			t.Fatalf("cut at %d, the first message is %x, %v", cut, m, err)
		}
		err = r.SetKeys(testKeys(t, 2))
		if cut == len(first) {
			if err != nil {
				t.Errorf("keys cannot change although the record ends with the message: %v", err)
			}
			continue
		}
		expect(t, err, fault.MessageSpansKeyChange, "cut at %d, bytes follow the message", cut)
		if r.Protected() && cut != 0 {
			t.Errorf("cut at %d, the refused keys are installed", cut)
		}
	}
}

func TestKeysMayChangeBehindAMessageThatWasJoined(t *testing.T) {
	m := handshakeMessage(2, 20)
	for cut := 1; cut < len(m); cut++ {
		var r Reader
		r.Add(bytes.Clone(m[:cut]))
		drain(t, &r.Joiner, maxMessage)
		r.Add(bytes.Clone(m[cut:]))
		if _, ok, err := r.NextMessage(maxMessage); !ok || err != nil {
			t.Fatalf("cut at %d the message does not come: %v", cut, err)
		}
		// It is in the handler's hands now.
		if r.Partial() || !r.Empty() {
			t.Errorf("cut at %d a message that was handed out counts as pending", cut)
		}
		if err := r.SetKeys(testKeys(t, 1)); err != nil {
			t.Errorf("cut at %d the keys cannot change behind the message: %v", cut, err)
		}
	}
}

func FuzzJoiner(f *testing.F) {
	for _, s := range sequences {
		f.Add(bytes.Join(flight(s.sizes), nil), []byte{3, 1, 200}, uint16(1000))
	}
	f.Add([]byte{1, 0xff, 0xff, 0xff}, []byte{1}, uint16(20))
	f.Fuzz(func(t *testing.T, stream, cuts []byte, limit uint16) {
		// Whatever the cuts are, the messages are those of an uncut stream.
		whole, wholeErr := joinAll(stream, nil, int(limit))
		cut, cutErr := joinAll(stream, cuts, int(limit))
		if fmt.Sprint(wholeErr) != fmt.Sprint(cutErr) {
			t.Fatalf("uncut it ends with %v, cut with %v", wholeErr, cutErr)
		}
		if !same(whole, cut) {
			t.Fatalf("uncut it is %x, cut %x", whole, cut)
		}
		if wholeErr != nil {
			if fault.Of(wholeErr) != fault.MessageTooLarge {
				t.Fatalf("a Joiner fails with %v", wholeErr)
			}
			return
		}
		joined := bytes.Join(whole, nil)
		if !bytes.HasPrefix(stream, joined) {
			t.Fatal("the messages are not the front of the stream")
		}
	})
}

// joinAll feeds a stream in pieces of the sizes given, and the rest in one.
func joinAll(stream, cuts []byte, limit int) (messages [][]byte, err error) {
	var j Joiner
	for len(stream) > 0 {
		n := len(stream)
		if len(cuts) > 0 {
			n, cuts = min(int(cuts[0]), n), cuts[1:]
		}
		record := bytes.Clone(stream[:n])
		j.Add(record)
		for {
			m, ok, err := j.NextMessage(limit)
			if err != nil {
				return messages, err
			}
			if !ok {
				break
			}
			messages = append(messages, bytes.Clone(m))
		}
		clear(record) // it is the caller's
		stream = stream[n:]
	}
	return messages, nil
}
