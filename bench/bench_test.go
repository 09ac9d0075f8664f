package main

import (
	"crypto/tls"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestEverything measures everything in Go as shortly as can be: each contender
// checks that it does what it is there for, and that data arrives.
func TestEverything(t *testing.T) {
	r, err := run(options{
		effort: effort{runs: 1, slice: time.Microsecond},
		crowd:  100,
		only:   regexp.MustCompile(`^(seal|open|full|first|resumed|early|idle|crowd)(12)?$`),
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{
		"seal": 9, "open": 9, "seal12": 9, "open12": 9,
		"full": 9, "first": 9, "resumed": 3, "early": 3, "full12": 6, "first12": 6, "resumed12": 1,
		"idle": 6, "crowd": 2, "crowd-growth": 1, "crowd-heap": 1,
	}
	for _, table := range r.Tables {
		if len(table.Rows) != rows[table.ID] {
			t.Errorf("table %q has %d rows, want %d", table.ID, len(table.Rows), rows[table.ID])
		}
		delete(rows, table.ID)
		for _, row := range table.Rows {
			for _, name := range []string{nameBaretls, nameStd} {
				if x, ok := row.get(name); !ok || x.Value.Median <= 0 || x.Ratio.Median <= 0 {
					t.Errorf("table %q, row %v: %s has %+v, want a value and a ratio", table.ID, row.Labels, name, x)
				}
			}
		}
	}
	for id := range rows {
		t.Errorf("there is no table %q", id)
	}
	if len(r.Aims) != len(wants) {
		t.Errorf("%d aims were judged, want all %d: the rows of the others are not there", len(r.Aims), len(wants))
	}
	if text := r.markdown(); !strings.Contains(text, "## Aims") {
		t.Errorf("there are no aims in the report:\n%s", text)
	}
}

// TestQuickPlan: what -quick leaves out is nothing that an aim needs.
func TestQuickPlan(t *testing.T) {
	for _, table := range handshakeTables(true) {
		if len(table.handshakes) == 0 {
			t.Errorf("table %q has no rows", table.ID)
		}
	}
	o := options{effort: effort{100, time.Second}, crowd: 1e6}
	o.hurry()
	if o.runs != 5 || o.slice > 50*time.Millisecond || o.crowd > 10_000 {
		t.Errorf("in a hurry there are %+v, want 5 runs of short slices", o)
	}
}

func TestRustls(t *testing.T) {
	p := newTestPKI(t)
	rs, err := startRustls(p)
	if errors.Is(err, errNotBuilt) {
		t.Skipf("rustls is %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range handshakeTables(false) {
		for _, h := range table.handshakes {
			checkContender(t, rs.contender(work(h.kind), h.version, h.key, h.group, suites[0].name, 0), table.ID)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, s := range suites {
			for _, w := range []string{"seal", "open"} {
				checkContender(t, rs.contender(w, version, ecdsaKey, tls.X25519, s.name, 100), w+" "+s.name)
			}
		}
	}
	if _, err := rs.ask("juggle", tls.VersionTLS13, ecdsaKey, tls.X25519, "AES-128-GCM", 0, 1); err == nil {
		t.Error("rustls was asked for what it cannot do, and says nothing")
	}
	if err := rs.stop(); err != nil {
		t.Errorf("rustls ends with %v", err)
	}
}

func checkContender(t *testing.T, x contender, what string) {
	t.Helper()
	var c clock
	if err := x.run(3, &c); err != nil {
		t.Errorf("%s of %s: %v", what, x.name, err)
	} else if c.spent <= 0 {
		t.Errorf("%s of %s took no time", what, x.name)
	}
}

// TestOpenSSLOutput reads lines that "openssl speed -mr" has printed.
func TestOpenSSLOutput(t *testing.T) {
	out := []byte("+DTP:256:sign:ecdsa:1\n+R5:15048:256:0.38\n+F4:3:256:40000.000000:12500.000000\n+F:25:AES-128-GCM:1024000000.00\n")
	for _, c := range []struct {
		line string
		at   int
		work float64
		want time.Duration
	}{
		{"+F4:", 3, 1000, 25 * time.Millisecond},
		{"+F4:", 4, 1000, 80 * time.Millisecond},
		{"+F:", 3, 1000 * 1024, time.Millisecond},
	} {
		fields, err := lineOf(out, c.line)
		if err != nil {
			t.Fatal(err)
		}
		var got clock
		if err := perSecond(fields, c.at, c.work, &got); err != nil || got.spent != c.want {
			t.Errorf("%s at %d: %v, %v, want %v", c.line, c.at, got.spent, err, c.want)
		}
	}
	if _, err := lineOf(out, "+F9:"); !errors.Is(err, errSpeed) {
		t.Errorf("a line that is not there is %v, want %v", err, errSpeed)
	}
	for _, at := range []int{2, 3, 9} {
		fields := []string{"+F", "1", "none", "0.0"}
		if err := perSecond(fields, at, 1, new(clock)); !errors.Is(err, errSpeed) {
			t.Errorf("the rate %d of %q is %v, want %v", at, fields, err, errSpeed)
		}
	}
}

func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip(errNoOpenSSL)
	}
	o := openssl{newTestPKI(t)}
	operations, err := o.operations()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []scenario{o.records(suites[0], 1024), operations[0].scenario()} {
		contenders, err := s.begin()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range contenders {
			checkContender(t, x, s.labels[0])
		}
	}
	for _, op := range operations {
		if err := op.run(); err != nil {
			t.Errorf("%s: %v", op.name, err)
		}
	}
}

// TestNobodyWaitsForEver: an end of crypto/tls whose peer has nothing to say
// gets an error.
func TestNobodyWaitsForEver(t *testing.T) {
	p := newTestPKI(t)
	h := handshake{version: tls.VersionTLS13, kind: known, group: tls.X25519, key: ecdsaKey}
	clientConfig, serverConfig := stdConfigs(p, h)
	pair := newStdPair(clientConfig, serverConfig)
	defer pair.stop()
	if err := pair.connect(new(clock), receive(reply), both(receive(nil), send(nil))); !errors.Is(err, errNothingToRead) {
		t.Errorf("a client reads what nobody writes, and gets %v, want %v", err, errNothingToRead)
	}
}

// TestCheck: another handshake than the one that was asked for is noticed.
func TestCheck(t *testing.T) {
	p := newTestPKI(t)
	asked := handshake{version: tls.VersionTLS13, kind: known, group: tls.X25519, key: ecdsaKey}
	clientConfig, serverConfig := configs(p, asked)
	pair := newPair(clientConfig, serverConfig)
	if err := pair.exchange(asked, new(clock)); err != nil {
		t.Errorf("what was asked for is %v", err)
	}
	for _, other := range []handshake{
		{version: tls.VersionTLS12, kind: known, group: tls.X25519},
		{version: tls.VersionTLS13, kind: resumed, group: tls.X25519},
		{version: tls.VersionTLS13, kind: known, group: tls.CurveP256},
	} {
		if err := check(other, pair.client.conn.ConnectionState()); !errors.Is(err, errOther) {
			t.Errorf("%+v passes for %+v: %v, want %v", asked, other, err, errOther)
		}
	}
}

func newTestPKI(t *testing.T) *pki {
	t.Helper()
	p, err := newPKI()
	if err != nil {
		t.Fatal(err)
	}
	return p
}
