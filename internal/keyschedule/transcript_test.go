package keyschedule

import (
	"bytes"
	"testing"
)

func TestTranscriptIsTheHashOfItsMessages(t *testing.T) {
	for _, h := range hashes {
		var transcript Transcript
		if transcript.Started() {
			t.Errorf("%s: the zero Transcript has started", h.name)
		}
		transcript.Start(NewKDF(h.new))
		if !transcript.Started() {
			t.Errorf("%s: the Transcript has not started after Start", h.name)
		}
		want := h.new()
		for i := range 10 {
			if got := transcript.Sum(); !bytes.Equal(got, want.Sum(nil)) {
				t.Fatalf("%s: after %d messages the hash is %x, want %x", h.name, i, got, want.Sum(nil))
			}
			if !bytes.Equal(transcript.Sum(), want.Sum(nil)) {
				t.Fatalf("%s: a second Sum differs from the first", h.name)
			}
			message := fill(i*50, byte(i))
			transcript.Add(message)
			want.Write(message)
		}
	}
}

func TestSumWithLooksAheadOnly(t *testing.T) {
	for _, h := range hashes {
		for before := 0; before < 300; before += 13 {
			for partial := 0; partial < 300; partial += 37 {
				var transcript Transcript
				transcript.Start(NewKDF(h.new))
				transcript.Add(fill(before, 1))

				want := h.new()
				want.Write(fill(before, 1))
				unchanged := want.Sum(nil)
				want.Write(fill(partial, 2))
				for range 2 { // as for two PSKs
					if got := transcript.SumWith(fill(partial, 2)); !bytes.Equal(got, want.Sum(nil)) {
						t.Fatalf("%s: SumWith of %d bytes behind %d is not their hash", h.name, partial, before)
					}
					if !bytes.Equal(transcript.Sum(), unchanged) {
						t.Fatalf("%s: SumWith of %d bytes behind %d changes the transcript", h.name, partial, before)
					}
				}
				transcript.Add(fill(partial, 2))
				if !bytes.Equal(transcript.Sum(), want.Sum(nil)) {
					t.Fatalf("%s: the transcript cannot go on after SumWith", h.name)
				}
			}
		}
	}
}

// RFC 9846, Section 4.1, with the synthetic message written out.
func TestRestartPutsMessageHashInFront(t *testing.T) {
	for _, h := range hashes {
		hello, retry := fill(200, 1), fill(90, 2)
		first := h.new()
		first.Write(hello)
		want := h.new()
		want.Write([]byte{254, 0, 0, byte(h.new().Size())})
		want.Write(first.Sum(nil))
		want.Write(retry)

		var stateful Transcript
		stateful.Start(NewKDF(h.new))
		stateful.Add(hello)
		stateful.Restart()
		stateful.Add(retry)
		if got := stateful.Sum(); !bytes.Equal(got, want.Sum(nil)) {
			t.Errorf("%s: after Restart the hash is %x, want %x", h.name, got, want.Sum(nil))
		}

		var stateless Transcript
		stateless.Start(NewKDF(h.new))
		stateless.Add([]byte("what was added before is replaced"))
		stateless.RestartFrom(first.Sum(nil))
		stateless.Add(retry)
		if got := stateless.Sum(); !bytes.Equal(got, want.Sum(nil)) {
			t.Errorf("%s: after RestartFrom the hash is %x, want %x", h.name, got, want.Sum(nil))
		}
	}
}

func TestClearedTranscriptStartsAgain(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		var transcript Transcript
		transcript.Start(k)
		transcript.Add(fill(100, 1))
		transcript.SumWith(fill(10, 1))
		transcript.Clear()
		if transcript.Started() || !zero(transcript.sum[:]) {
			t.Errorf("%s: Clear leaves something behind", h.name)
		}
		transcript.Start(k)
		if !bytes.Equal(transcript.Sum(), h.new().Sum(nil)) {
			t.Errorf("%s: a transcript that starts again is not empty", h.name)
		}
	}
}
