package main

import (
	"errors"
	"os"
	"testing"
)

// TestMarks: what is put into a document takes the place of what stood there.
func TestMarks(t *testing.T) {
	m := sharesMarks
	document := "# Title\n" + m.begin + "old\n" + m.end + "rest\n"
	want := "# Title\n" + m.begin + "\nnew\n\n" + m.end + "rest\n"
	for range 2 { // and again
		var err error
		if document, err = m.put(document, "new\n"); err != nil || document != want {
			t.Errorf("the document is %q, %v, want %q", document, err, want)
		}
	}
	for _, without := range []string{"", m.begin, m.end, m.end + m.begin} {
		if got, err := m.put(without, "new\n"); !errors.Is(err, errNoMarks) {
			t.Errorf("put into %q: %q, %v, want %v", without, got, err, errNoMarks)
		}
	}
}

// TestDocuments have a place for what is put into them.
func TestDocuments(t *testing.T) {
	for name, m := range map[string]marks{"../docs/performance.md": sharesMarks, "../BENCHMARKS.md": reportMarks} {
		document, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.put(string(document), ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
