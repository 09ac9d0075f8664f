package main

import (
	"slices"
	"strconv"
)

// aim is a number that is to be reached, and what was reached.
type aim struct {
	What    string  `json:"what"`
	Bound   float64 `json:"bound"`
	AtLeast bool    `json:"at_least"` // or at most
	Got     float64 `json:"got"`
	Met     bool    `json:"met"`
}

// want is an aim and where its number comes from.
type want struct {
	what    string
	bound   float64
	atLeast bool
	table   string
	labels  []string
	number  func(row) (float64, bool)
}

var wants = []want{
	{"seal 16,384 bytes in place: speed beside the AEAD", 0.97, true, "seal", []string{"AES-128-GCM", "16384"}, inPlaceTo(nameAEAD)},
	{"seal 16,384 bytes from other memory: speed beside the AEAD", 0.97, true, "seal", []string{"AES-128-GCM", "16384"}, ratioTo(nameAEAD)},
	{"seal 64 bytes in place: speed beside the AEAD", 0.8, true, "seal", []string{"AES-128-GCM", "64"}, inPlaceTo(nameAEAD)},
	{"seal 64 bytes from other memory: speed beside the AEAD", 0.8, true, "seal", []string{"AES-128-GCM", "64"}, ratioTo(nameAEAD)},
	{"open 16,384 bytes: speed beside the AEAD", 0.97, true, "open", []string{"AES-128-GCM", "16384"}, ratioTo(nameAEAD)},
	{"open 64 bytes: speed beside the AEAD", 0.8, true, "open", []string{"AES-128-GCM", "64"}, ratioTo(nameAEAD)},
	{"full handshake: time over that of its operations", 1.15, false, "full", x25519Row, timesOperations},
	{"full handshake: rate beside crypto/tls", 1.3, true, "full", x25519Row, ratioTo(nameStd)},
	{"full handshake, X25519MLKEM768: time over that of its operations", 1.15, false, "full", hybridRow, timesOperations},
	{"full handshake, X25519MLKEM768: rate beside crypto/tls", 1.3, true, "full", hybridRow, ratioTo(nameStd)},
	{"first contact (not asked for): time over that of its operations", 1.15, false, "first", x25519Row, timesOperations},
	{"first contact (not asked for): rate beside crypto/tls", 1.3, true, "first", x25519Row, ratioTo(nameStd)},
	{"resumed handshake: rate beside crypto/tls", 1.7, true, "resumed", x25519Row[:1], ratioTo(nameStd)},
	{"full handshake: allocations", 150, false, "full", x25519Row, allocations},
	{"full handshake: bytes allocated", 20_000, false, "full", x25519Row, bytesAllocated},
	{"first contact (not asked for): allocations", 150, false, "first", x25519Row, allocations},
	{"resumed handshake: allocations", 120, false, "resumed", x25519Row[:1], allocations},
	{"idle client: bytes of heap", 2048, false, "idle", []string{"AES-128-GCM", "client"}, value},
	{"idle server: bytes of heap", 2048, false, "idle", []string{"AES-128-GCM", "server"}, value},
	{"idle client, AES-256-GCM: bytes of heap", 2048, false, "idle", []string{"AES-256-GCM", "client"}, value},
	{"idle server, AES-256-GCM: bytes of heap", 2048, false, "idle", []string{"AES-256-GCM", "server"}, value},
	{"records with all connections over records with one, cache misses aside", 1.1, false, "crowd-growth", []string{"from one to all"}, burstValue},
}

// aimsText says what the aims are of, so that nobody takes them for more.
const aimsText = "A full handshake is one of a client that has verified this chain before, with this configuration, as a client that\ncomes back has: it verifies one signature, not three. X25519 and a key of ECDSA P-256, if nothing else is said. At the *first\ncontact* it verifies all of them; that was not asked for and is judged by the same numbers. The sum of the operations\nis that of *operations*, as baretls does them, which is less than by the standard library."

var (
	x25519Row = []string{"X25519", string(ecdsaKey)}
	hybridRow = []string{"X25519MLKEM768", string(ecdsaKey)}
)

func ratioTo(name string) func(row) (float64, bool) {
	return func(r row) (float64, bool) {
		x, ok := r.get(name)
		return x.Ratio.Median, ok
	}
}

// inPlaceTo compares medians: a row has the ratios to its first contender only.
func inPlaceTo(name string) func(row) (float64, bool) {
	return func(r row) (float64, bool) {
		x, ok := r.get(name)
		ours, sealed := r.get(nameInPlace)
		return x.Value.Median / ours.Value.Median, ok && sealed
	}
}

func timesOperations(r row) (float64, bool) {
	ratio, ok := ratioTo(nameOperations)(r)
	return 1 / ratio, ok
}

func allocations(r row) (float64, bool)    { return r.Results[0].Allocs, true }
func bytesAllocated(r row) (float64, bool) { return r.Results[0].Bytes, true }
func value(r row) (float64, bool)          { return r.Results[0].Value.Median, true }

func burstValue(r row) (float64, bool) {
	x, ok := r.get(nameBurst)
	return x.Value.Median, ok
}

// judge compares the aims with what was measured. Those whose rows were not
// measured are left out.
func judge(tables []table) []aim {
	var aims []aim
	for _, w := range wants {
		if got, ok := w.find(tables); ok {
			met := got <= w.bound
			if w.atLeast {
				met = got >= w.bound
			}
			aims = append(aims, aim{w.what, w.bound, w.atLeast, got, met})
		}
	}
	return aims
}

func (w want) find(tables []table) (float64, bool) {
	for _, t := range tables {
		if t.ID != w.table {
			continue
		}
		for _, r := range t.Rows {
			if slices.Equal(r.Labels, w.labels) {
				return w.number(r)
			}
		}
	}
	return 0, false
}

func (a aim) bound() string {
	if a.AtLeast {
		return "least " + number(a.Bound)
	}
	return "most " + number(a.Bound)
}

func (a aim) result() string { return number(a.Got) }

func (a aim) verdict() string {
	if a.Met {
		return "met"
	}
	return "**missed**"
}

// number has decimals where they say something.
func number(v float64) string {
	if v >= 100 {
		return thousands(v)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
