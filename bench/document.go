package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// marks are the lines of a document between which something of ours stands.
type marks struct{ begin, end string }

var (
	reportMarks = marks{"<!-- go run . -->\n", "<!-- end of the report -->\n"}
	sharesMarks = marks{"<!-- go run . -profile -->\n", "<!-- end of -profile -->\n"}
)

var errNoMarks = errors.New("there is no place for it")

// put puts text there.
func (m marks) put(document, text string) (string, error) {
	before, rest, begins := strings.Cut(document, m.begin)
	_, after, ends := strings.Cut(rest, m.end)
	if !begins || !ends {
		return "", fmt.Errorf("%w: no lines %s and %s", errNoMarks, strings.TrimSpace(m.begin), strings.TrimSpace(m.end))
	}
	return before + m.begin + "\n" + text + "\n" + m.end + after, nil
}

// write puts text into a file.
func (m marks) write(name, text string) error {
	document, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	changed, err := m.put(string(document), text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, []byte(changed), 0o644)
}
