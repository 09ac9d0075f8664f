package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// share is a part of the work of baretls, known by the functions on the stack.
// Of several that fit, the first one counts.
type share struct {
	name      string
	primitive bool // the standard library's, or another's: nothing that baretls does about it
	function  *regexp.Regexp
	within    *regexp.Regexp // another function on the stack, if it is set
}

var shares = []share{
	{"certificates: their signatures", true, regexp.MustCompile(`^crypto/(ecdsa|rsa|ed25519)\.`), regexp.MustCompile(`^crypto/x509\.`)},
	{"certificates: all else", true, regexp.MustCompile(`^crypto/x509\.`), nil},
	{"signature: made", true, regexp.MustCompile(`^crypto/(ecdsa|rsa|ed25519)\..*[sS]ign`), nil},
	{"signature: verified", true, regexp.MustCompile(`^crypto/(ecdsa|rsa|ed25519)\.`), nil},
	{"key exchange: ML-KEM", true, regexp.MustCompile(`^crypto/(internal/fips140/)?mlkem`), nil},
	{"key exchange: key pairs", true, regexp.MustCompile(`/internal/algo\..*[gG]enerate`), nil},
	{"key exchange: shared secrets", true, regexp.MustCompile(`^crypto/ecdh\.|/internal/algo\..*agree`), nil},
	{"AEAD: keys", true, regexp.MustCompile(`^crypto/aes\.NewCipher|^crypto/cipher\.[nN]ewGCM|/chacha20poly1305\.New`), nil},
	{"AEAD: records", true, regexp.MustCompile(`^crypto/cipher\.|^crypto/internal/fips140/aes|/chacha20poly1305\.`), nil},
	{"allocation and collection", false, regexp.MustCompile(`^runtime\.(mallocgc|gcBgMarkWorker|bgsweep|bgscavenge|gcStart)`), nil},
	{"hashes and key schedule", false, regexp.MustCompile(`/internal/keyschedule\.|^crypto/(internal/fips140/)?(sha|hmac)`), nil},
	{"random numbers", false, regexp.MustCompile(`^crypto/(rand|internal/rand|internal/sysrand|internal/fips140/drbg)\.`), nil},
	{"messages: encoded and parsed", false, regexp.MustCompile(`/internal/wire\.`), nil},
	{"copies", false, regexp.MustCompile(`^runtime\.mem(move|clr)`), nil},
	{"records: framing", false, regexp.MustCompile(`/internal/record\.`), nil},
	{"state machine", false, regexp.MustCompile(`baretls/internal/`), nil},
	{"turns, sessions, configuration", false, regexp.MustCompile(`^github\.com/baretls/baretls\.`), nil},
	{"the caller", false, regexp.MustCompile(`^(main|github\.com/baretls/baretls/bench)\.`), nil},
	{"the rest of the runtime", false, regexp.MustCompile(``), nil},
}

// shareOf is the index of the share that a stack belongs to.
func shareOf(stack []string) int {
	has := func(r *regexp.Regexp) bool {
		for _, function := range stack {
			if r.MatchString(function) {
				return true
			}
		}
		return false
	}
	for i, s := range shares {
		if has(s.function) && (s.within == nil || has(s.within)) {
			return i
		}
	}
	return len(shares) - 1
}

// profiled is what a piece of work of baretls takes, by share.
type profiled struct {
	name   string
	unit   time.Duration // that its time is shown in
	time   float64       // nanoseconds
	shares []portion
}

// portion is a share of the time, of all that is 1, and of the allocations.
type portion struct{ time, allocs, bytes float64 }

// profileWork finds out where the time of a contender goes, by samples while
// its clock runs, of which there are 100 a second, and who allocates.
func profileWork(c contender, name string, unit, effort time.Duration) (profiled, error) {
	p := profiled{name: name, unit: unit, shares: make([]portion, len(shares))}
	if err := p.sampleTime(c, effort); err != nil {
		return p, err
	}
	return p, p.countAllocations(c)
}

// timed is the label of what runs while the clock does.
const timed = "timed"

func (p *profiled) sampleTime(c contender, effort time.Duration) error {
	labelled := pprof.WithLabels(context.Background(), pprof.Labels(timed, "yes"))
	k := clock{watch: func(on bool) {
		ctx := context.Background()
		if on {
			ctx = labelled
		}
		pprof.SetGoroutineLabels(ctx)
	}}
	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		return err
	}
	pieces := 0
	for n := 1; k.spent < effort; n = min(2*n, maxWork/64) {
		if err := c.run(n, &k); err != nil {
			pprof.StopCPUProfile()
			return err
		}
		pieces += n
	}
	pprof.StopCPUProfile()
	p.time = float64(k.spent) / float64(pieces)

	samples, err := profile.Parse(&out)
	if err != nil {
		return err
	}
	all := 0.0
	for _, sample := range samples.Sample {
		functions := stack(sample)
		// The collector has no label, and only work that is timed leaves much to it.
		if len(sample.Label[timed]) == 0 && !collects(functions) {
			continue
		}
		p.shares[shareOf(functions)].time += float64(sample.Value[0])
		all += float64(sample.Value[0])
	}
	for i := range p.shares {
		p.shares[i].time /= max(all, 1)
	}
	return nil
}

// countAllocations works some more, and has each allocation recorded.
func (p *profiled) countAllocations(c contender) error {
	const pieces = 64
	defer func(rate int) { runtime.MemProfileRate = rate }(runtime.MemProfileRate)
	runtime.MemProfileRate = 0
	before, err := recorded()
	if err != nil {
		return err
	}
	k := clock{watch: func(on bool) {
		runtime.MemProfileRate = 0
		if on {
			runtime.MemProfileRate = 1
		}
	}}
	if err := c.run(pieces, &k); err != nil {
		return err
	}
	after, err := recorded()
	if err != nil {
		return err
	}
	for i := range p.shares {
		p.shares[i].allocs = (after[i].allocs - before[i].allocs) / pieces
		p.shares[i].bytes = (after[i].bytes - before[i].bytes) / pieces
	}
	return nil
}

// recorded is all allocations that have been recorded.
func recorded() ([]portion, error) {
	liveHeap() // what was recorded shows after a collection or two
	var out bytes.Buffer
	runtime.MemProfileRate = 1 // or numbers are scaled, as those of samples are
	err := pprof.Lookup("allocs").WriteTo(&out, 0)
	runtime.MemProfileRate = 0
	if err != nil {
		return nil, err
	}
	ours := func(function string) bool { return strings.HasSuffix(function, ".recorded") }
	records, err := profile.Parse(&out)
	if err != nil {
		return nil, err
	}
	sums := make([]portion, len(shares))
	for _, sample := range records.Sample {
		functions := stack(sample)
		if slices.ContainsFunc(functions, ours) {
			continue
		}
		sum := &sums[shareOf(functions)]
		sum.allocs += float64(sample.Value[0])
		sum.bytes += float64(sample.Value[1])
	}
	return sums, nil
}

// stack is the functions of a sample.
func stack(sample *profile.Sample) (functions []string) {
	for _, location := range sample.Location {
		for _, line := range location.Line {
			functions = append(functions, line.Function.Name)
		}
	}
	return functions
}

// collects reports whether a stack is the garbage collector's.
func collects(stack []string) bool {
	return slices.Contains(stack, "runtime.gcBgMarkWorker") || slices.Contains(stack, "runtime.bgsweep")
}

// profileAll makes tables of the shares of handshakes, and of records of TLS 1.3
// with AES-128-GCM.
func profileAll(effort time.Duration) (string, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	m := thisMachine()
	p, err := newPKI()
	if err != nil {
		return "", err
	}
	handshakeShares, err := profileHandshakes(p, effort)
	if err != nil {
		return "", err
	}
	recordShares, err := profileRecords(p, effort)
	if err != nil {
		return "", err
	}
	m.After = load()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v of samples for each column, 100 a second.\n", m, effort)
	fmt.Fprintf(&b, "\n### Handshakes: µs, and %% of all\n\n")
	markdownTable(&b, 1, timeRows(handshakeShares))
	fmt.Fprintf(&b, "\n### Handshakes: allocations, and bytes\n\n")
	markdownTable(&b, 1, allocationRows(handshakeShares))
	fmt.Fprintf(&b, "\n### Records: ns, and %% of all\n\n")
	markdownTable(&b, 1, timeRows(recordShares))
	return b.String(), nil
}

func profileHandshakes(p *pki, effort time.Duration) (all []profiled, err error) {
	hs := handshakes{pki: p}
	for _, x := range []struct {
		name string
		handshake
	}{
		{"full", handshake{tls.VersionTLS13, known, tls.X25519, ecdsaKey}},
		{"X25519MLKEM768", handshake{tls.VersionTLS13, known, tls.X25519MLKEM768, ecdsaKey}},
		{"first contact", handshake{tls.VersionTLS13, first, tls.X25519, ecdsaKey}},
		{"resumed", handshake{tls.VersionTLS13, resumed, tls.X25519, ecdsaKey}},
		{"0-RTT", handshake{tls.VersionTLS13, early, tls.X25519, ecdsaKey}},
		{"1.2, full", handshake{tls.VersionTLS12, known, tls.X25519, ecdsaKey}},
		{"1.2, resumed", handshake{tls.VersionTLS12, resumed, tls.X25519, ecdsaKey}},
	} {
		c, err := hs.baretls(x.handshake)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.name, err)
		}
		work, err := profileWork(c, x.name, time.Microsecond, effort)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.name, err)
		}
		all = append(all, work)
	}
	return all, nil
}

func profileRecords(p *pki, effort time.Duration) (all []profiled, err error) {
	r := records{pki: p}
	for _, x := range []struct {
		name string
		work func(version uint16, s suite, size int) contender
		size int
	}{
		{"seal 16,384 bytes", r.seal, 16384},
		{"in place", r.sealInPlace, 16384},
		{"open 16,384", r.open, 16384},
		{"seal 64", r.seal, 64},
		{"in place", r.sealInPlace, 64},
		{"open 64", r.open, 64},
	} {
		work, err := profileWork(x.work(tls.VersionTLS13, suites[0], x.size), x.name, time.Nanosecond, effort)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.name, err)
		}
		all = append(all, work)
	}
	return all, nil
}

// timeRows has a row for each share that takes a hundredth of something, and what
// they come to.
func timeRows(columns []profiled) [][]string {
	return shareRows(columns, func(p profiled, x portion) (cell string, worth bool) {
		return fmt.Sprintf("%s (%.0f)", p.duration(x.time*p.time), 100*x.time), x.time >= 0.01
	})
}

// allocationRows has a row for each share that allocates.
func allocationRows(columns []profiled) [][]string {
	return shareRows(columns, func(_ profiled, x portion) (cell string, worth bool) {
		return fmt.Sprintf("%.0f, %s", x.allocs, thousands(x.bytes)), x.allocs >= 0.5
	})
}

func shareRows(columns []profiled, show func(profiled, portion) (cell string, worth bool)) [][]string {
	rows := [][]string{{""}, {"all"}, {"of that, primitives"}}
	for _, p := range columns {
		var all, primitive portion
		for i, x := range p.shares {
			all.add(x)
			if shares[i].primitive {
				primitive.add(x)
			}
		}
		rows[0] = append(rows[0], p.name)
		for i, sum := range []portion{all, primitive} {
			cell, _ := show(p, sum)
			rows[i+1] = append(rows[i+1], cell)
		}
	}
	for i, s := range shares {
		row, any := []string{s.name}, false
		if s.primitive {
			row[0] = "*" + s.name + "*"
		}
		for _, p := range columns {
			cell, worth := show(p, p.shares[i])
			if !worth {
				cell = ""
			}
			row, any = append(row, cell), any || worth
		}
		if any {
			rows = append(rows, row)
		}
	}
	return rows
}

func (x *portion) add(other portion) {
	x.time += other.time
	x.allocs += other.allocs
	x.bytes += other.bytes
}

func (p profiled) duration(ns float64) string {
	return strconv.FormatFloat(ns/float64(p.unit), 'f', 1, 64)
}
