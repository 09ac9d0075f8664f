// Package rfc8448 holds the values of the example handshake traces of RFC 8448
// ("Example Handshake Traces for TLS 1.3") as known-answer data for tests.
//
// Each trace is a text file of "key hex" lines in the order of the RFC; lines
// starting with '#' are comments. Handshake messages include their 4-octet
// header and records their 5-octet header.
package rfc8448

import (
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
)

// The names of the traces, as taken by [Load].
const (
	Simple1RTT        = "simple_1rtt"         // Section 3
	Resumed0RTT       = "resumed_0rtt"        // Section 4
	HelloRetryRequest = "hello_retry_request" // Section 5
	ClientAuth        = "client_auth"         // Section 6
	CompatibilityMode = "compatibility_mode"  // Section 7
)

//go:embed *.txt
var files embed.FS

// Trace maps the keys of one trace to their values.
type Trace map[string][]byte

// Load returns the trace of the given name, such as [Simple1RTT]. Every call
// returns a fresh copy.
func Load(name string) (Trace, error) {
	data, err := files.ReadFile(name + ".txt")
	if err != nil {
		return nil, fmt.Errorf("rfc8448: no trace %q: %w", name, err)
	}
	t := make(Trace)
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, " ")
		if !ok {
			return nil, fmt.Errorf("rfc8448: %s.txt:%d: no value", name, n)
		}
		if _, dup := t[key]; dup {
			return nil, fmt.Errorf("rfc8448: %s.txt:%d: duplicate key %q", name, n, key)
		}
		b, err := hex.DecodeString(value)
		if err != nil {
			return nil, fmt.Errorf("rfc8448: %s.txt:%d: key %q: %w", name, n, key, err)
		}
		t[key] = b
	}
	return t, nil
}

// Bytes returns the value of key. It panics if the trace has no such key.
func (t Trace) Bytes(key string) []byte {
	b, ok := t[key]
	if !ok {
		panic(fmt.Sprintf("rfc8448: the trace has no key %q", key))
	}
	return b
}
