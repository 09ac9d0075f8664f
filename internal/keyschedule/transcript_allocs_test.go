//go:build !race

package keyschedule

import "testing"

// With the race detector, saving the state of a hash allocates.
func TestTranscriptDoesNotAllocate(t *testing.T) {
	for _, h := range hashes {
		transcript := new(Transcript)
		transcript.Start(NewKDF(h.new))
		message := fill(300, 1)
		if allocs := testing.AllocsPerRun(20, func() {
			transcript.Add(message)
			transcript.Sum()
			transcript.SumWith(message)
			transcript.Restart()
		}); allocs != 0 {
			t.Errorf("%s: a running transcript makes %v allocations, want none", h.name, allocs)
		}
	}
}
