package baretls_test

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	goversion "go/version"
	"maps"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// The guard: what handshakes and transfers allocate is what the baseline says.
// Instructions would tell more, but a virtual machine has no counter of them.

// guardBaseline has a line for each of guardScenarios.
const guardBaseline = "testdata/allocations.txt"

const guardUpdate = "go test -run TestGuard -update ."

// TestGuard fails if a scenario allocates more than it did, and also if it
// allocates less, so that nobody loses again unnoticed what was gained.
func TestGuard(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates too, and makes pools lose things by chance")
	}
	now := allocations{runtime.Version(), runtime.GOARCH, measureAllocations(t)}
	if *update {
		if err := os.WriteFile(guardBaseline, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base, err := parseAllocations(readFile(t, guardBaseline))
	if err != nil {
		t.Fatalf("%s: %v; to write it anew: %s", guardBaseline, err, guardUpdate)
	}
	if base.arch != now.arch {
		t.Skipf("%s is of %s, and the standard library allocates otherwise on %s", guardBaseline, base.arch, now.arch)
	}
	for _, complaint := range now.compare(base) {
		t.Error(complaint)
	}
	if t.Failed() {
		t.Logf("if all of that is as it should be, write the baseline anew: %s", guardUpdate)
	}
}

// TestGuardNotices: the guard lets noise pass, and nothing else.
func TestGuardNotices(t *testing.T) {
	base := allocations{"go1.26.8", "amd64", map[string]allocated{"full": {150, 30_000}, "transfer": {0, 0}}}
	for _, test := range []struct {
		what     string
		release  string
		full     allocated
		transfer allocated
		want     []string
	}{
		{"the same", "go1.26.8", allocated{150, 30_000}, allocated{}, nil},
		{"noise", "go1.26.8", allocated{152, 30_500}, allocated{}, nil},
		{"noise the other way", "go1.26.8", allocated{149, 29_500}, allocated{}, nil},
		{"more allocations", "go1.26.8", allocated{153, 30_000}, allocated{}, []string{"full: 153 allocations, 150 in the baseline"}},
		{"fewer allocations", "go1.26.8", allocated{147, 30_000}, allocated{}, []string{"the baseline is stale"}},
		{"more bytes", "go1.26.8", allocated{150, 31_000}, allocated{}, []string{"full: 31000 bytes, 30000 in the baseline"}},
		{"fewer bytes", "go1.26.8", allocated{150, 29_000}, allocated{}, []string{"the baseline is stale"}},
		{"both", "go1.26.8", allocated{160, 33_000}, allocated{}, []string{"160 allocations", "33000 bytes"}},
		{"where there was nothing", "go1.26.8", allocated{150, 30_000}, allocated{1, 16}, []string{"transfer: 1 allocations", "transfer: 16 bytes"}},
		{"another release's library", "go1.27.1", allocated{165, 33_000}, allocated{}, nil},
		{"too much for another release", "go1.27.1", allocated{200, 30_000}, allocated{}, []string{"written with go1.26.8, and this is go1.27.1"}},
		{"nothing stays nothing in another release", "go1.27.1", allocated{150, 30_000}, allocated{1, 16}, []string{"transfer: 1", "transfer: 16"}},
	} {
		now := allocations{test.release, "amd64", map[string]allocated{"full": test.full, "transfer": test.transfer}}
		wantComplaints(t, test.what, now.compare(base), test.want)
	}
	renamed := allocations{"go1.26.8", "amd64", map[string]allocated{"transfer": {}, "whole": {150, 30_000}}}
	wantComplaints(t, "a scenario with another name", renamed.compare(base), []string{"full: there is no such scenario", "whole: not in the baseline"})
}

func wantComplaints(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: the complaints are %q, want %d", what, got, len(want))
		return
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("%s: complaint %d is %q, want %q in it", what, i, got[i], want[i])
		}
	}
}

// TestGuardBaselineIsRead: what is written is what is read, and a file that is
// something else is refused.
func TestGuardBaselineIsRead(t *testing.T) {
	want := allocations{"go1.26.8", "amd64", map[string]allocated{"TLS 1.3, full": {150, 30_000}, "TLS 1.2, 1 MiB": {0, 0}}}
	got, err := parseAllocations(want.String())
	if err != nil || got.String() != want.String() || len(got.of) != 2 {
		t.Errorf("what was written is read as\n%s%v, want\n%s", got, err, want)
	}
	for what, text := range map[string]string{
		"an empty file":            "",
		"a file without scenarios": "go1.26.8 amd64\n",
		"a line without numbers":   "go1.26.8 amd64\n1 2 full\nlittle much full\n",
		"a scenario twice":         "go1.26.8 amd64\n1 2 full\n1 2 full\n",
	} {
		if got, err := parseAllocations(text); err == nil {
			t.Errorf("%s is read as %v, want an error", what, got.of)
		}
	}
}

// allocations are what scenarios allocate, and where that was counted.
type allocations struct {
	release, arch string
	of            map[string]allocated
}

// allocated is what a piece of work allocates, on average.
type allocated struct{ count, bytes float64 }

func (a allocations) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Allocations and bytes of a piece of work, both sides together: guard_test.go.\n# To write it anew: %s\n%s %s\n", guardUpdate, a.release, a.arch)
	for _, name := range slices.Sorted(maps.Keys(a.of)) {
		fmt.Fprintf(&b, "%5.0f %7.0f  %s\n", a.of[name].count, a.of[name].bytes, name)
	}
	return b.String()
}

var errBaseline = errors.New("not a baseline")

func parseAllocations(text string) (allocations, error) {
	a := allocations{of: make(map[string]allocated)}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if a.release == "" {
			if _, err := fmt.Sscan(line, &a.release, &a.arch); err != nil {
				return a, err
			}
			continue
		}
		var x allocated
		if _, err := fmt.Sscan(line, &x.count, &x.bytes); err != nil {
			return a, fmt.Errorf("%q: %w", line, err)
		}
		name := strings.Join(strings.Fields(line)[2:], " ")
		if _, ok := a.of[name]; ok {
			return a, fmt.Errorf("%w: %q is there twice", errBaseline, name)
		}
		a.of[name] = x
	}
	if len(a.of) == 0 {
		return a, fmt.Errorf("%w: it has no scenarios", errBaseline)
	}
	return a, nil
}

// compare tells what is not as in the baseline.
func (a allocations) compare(base allocations) (complaints []string) {
	names := maps.Clone(a.of)
	maps.Copy(names, base.of)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		now, ok := a.of[name]
		if !ok {
			complaints = append(complaints, fmt.Sprintf("%s: there is no such scenario: the baseline is stale", name))
			continue
		}
		was, ok := base.of[name]
		if !ok {
			complaints = append(complaints, fmt.Sprintf("%s: not in the baseline", name))
			continue
		}
		if room := a.room(base, was.count, 2); math.Abs(now.count-was.count) > room {
			complaints = append(complaints, a.complaint(base, name, "allocations", now.count, was.count))
		}
		// Lengths of certificates and signatures are random.
		if room := a.room(base, was.bytes, 0.03*was.bytes); math.Abs(now.bytes-was.bytes) > room {
			complaints = append(complaints, a.complaint(base, name, "bytes", now.bytes, was.bytes))
		}
	}
	return complaints
}

// room is how much a number may differ: more if the standard library is that of
// another release, but nothing has to stay nothing.
func (a allocations) room(base allocations, was, sameRelease float64) float64 {
	if goversion.Lang(a.release) != goversion.Lang(base.release) {
		return 0.2 * was
	}
	return min(sameRelease, was)
}

func (a allocations) complaint(base allocations, name, unit string, now, was float64) string {
	s := fmt.Sprintf("%s: %.0f %s, %.0f in the baseline", name, now, unit, was)
	if now < was {
		s += ": the baseline is stale"
	}
	if a.release != base.release {
		s += fmt.Sprintf("; it was written with %s, and this is %s, whose library may allocate otherwise", base.release, a.release)
	}
	return s
}

// measureAllocations counts what all scenarios allocate, on one processor and
// without collections, which empty pools.
func measureAllocations(t *testing.T) map[string]allocated {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	all := make(map[string]allocated)
	for _, s := range guardScenarios() {
		if _, ok := all[s.name]; ok {
			t.Errorf("two scenarios are called %q", s.name)
		}
		all[s.name] = s.measure(t)
	}
	return all
}

// measure takes the least of several rounds: whatever else the process does
// meanwhile can only add to it.
func (s guardScenario) measure(t *testing.T) allocated {
	const rounds, works = 4, 8
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	work := s.begin(t)
	for range works { // fills pools, and lets buffers grow
		work()
	}
	least := allocated{math.Inf(1), math.Inf(1)}
	for range rounds {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range works {
			work()
		}
		runtime.ReadMemStats(&after)
		least.count = min(least.count, float64(after.Mallocs-before.Mallocs)/works)
		least.bytes = min(least.bytes, float64(after.TotalAlloc-before.TotalAlloc)/works)
	}
	return least
}

// guardScenario is a piece of work of both sides that can be done again.
type guardScenario struct {
	name  string
	begin func(t *testing.T) (work func())
}

// guardScenarios are handshakes by version, kind, group and type of key, and
// transfers by suite. Resumed handshakes have no certificates, and so no types
// of keys.
func guardScenarios() (list []guardScenario) {
	for _, h := range guardedHandshakes() {
		list = append(list, guardScenario{h.name(), h.begin})
	}
	for _, suite := range append(benchSuites, benchSuites12...) {
		v := "TLS 1.3"
		if isOf12(suite.id) {
			v = "TLS 1.2"
		}
		aead := strings.TrimPrefix(suite.name, "TLS12-")
		list = append(list, guardScenario{fmt.Sprintf("%s, 1 MiB each way, %s", v, aead), func(t *testing.T) func() { return transfer(t, suite.id) }})
	}
	return list
}

// transfer seals and opens 1 MiB each way.
func transfer(t *testing.T, suite uint16) func() {
	client, server := establishedPair(t, suite)
	data := make([]byte, 1<<20)
	return func() {
		for _, way := range [][2]*loopEnd{{client, server}, {server, client}} {
			from, to := way[0], way[1]
			to.received = 0
			var err error
			if to.in, err = from.quiet(t).AppendEncrypted(to.in, data); err != nil {
				t.Fatal(err)
			}
			if err := to.run(from); err != nil || to.received != len(data) {
				t.Fatalf("%d bytes and error %v have come, want %d and none", to.received, err, len(data))
			}
		}
	}
}

// guardedHandshake is a handshake that is made again and again.
type guardedHandshake struct {
	version version
	kind    string
	group   tls.CurveID
	key     tlstest.Kind
	resumed bool // with the ticket of the one before; without, there are no tickets
	first   bool // with a new ClientConfig each time, which knows no chains
	edit    func(c *baretls.ClientConfig, s *baretls.ServerConfig)
	want    baretls.HandshakeKind
	early   int // bytes of 0-RTT data
}

func (h guardedHandshake) name() string {
	name := fmt.Sprintf("%s, %s, %v", tls.VersionName(uint16(h.version)), h.kind, h.group)
	if !h.resumed {
		name += ", " + h.key.String()
	}
	return name
}

func guardedHandshakes() (list []guardedHandshake) {
	type (
		client = *baretls.ClientConfig
		server = *baretls.ServerConfig
	)
	roots, _ := tlstest.CA()
	authenticate := func(c client, s server) {
		c.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.ECDSAP256)}
		s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, roots
	}
	store := func(_ client, s server) { s.SessionStore = baretls.NewSessionCache(0) }
	early := func(c client, s server) {
		c.EnableEarlyData, s.MaxEarlyData = true, 1<<14
		s.ReplayGuard = alwaysFresh{}
	}
	both := func(edits ...func(client, server)) func(client, server) {
		return func(c client, s server) {
			for _, edit := range edits {
				edit(c, s)
			}
		}
	}
	for _, v := range []version{tls13, tls12} {
		groups := []tls.CurveID{tls.X25519, tls.CurveP256}
		if v == tls13 {
			groups = append(groups, tls.X25519MLKEM768)
		}
		for _, group := range groups {
			for _, key := range []tlstest.Kind{tlstest.ECDSAP256, tlstest.RSA2048, tlstest.Ed25519} {
				list = append(list, guardedHandshake{version: v, kind: "full", group: group, key: key})
			}
		}
		list = append(list,
			guardedHandshake{version: v, kind: "first contact", group: tls.X25519, first: true},
			guardedHandshake{version: v, kind: "client certificate", group: tls.X25519, edit: authenticate},
			guardedHandshake{version: v, kind: "resumed with client certificate", group: tls.X25519, resumed: true, edit: authenticate},
		)
	}
	for _, group := range []tls.CurveID{tls.X25519, tls.CurveP256, tls.X25519MLKEM768} {
		list = append(list,
			guardedHandshake{version: tls13, kind: "resumed by ticket", group: group, resumed: true},
			guardedHandshake{version: tls13, kind: "0-RTT by ticket", group: group, resumed: true, edit: early, early: 1000},
		)
	}
	return append(list,
		guardedHandshake{version: tls13, kind: "resumed from a store", group: tls.X25519, resumed: true, edit: store},
		guardedHandshake{version: tls13, kind: "0-RTT from a store", group: tls.X25519, resumed: true, edit: both(store, early), early: 1000},
		guardedHandshake{version: tls13, kind: "retry", group: tls.CurveP256, want: baretls.HandshakeFullWithHelloRetryRequest,
			edit: func(c client, _ server) { c.Groups = []tls.CurveID{tls.X25519, tls.CurveP256} }},
		guardedHandshake{version: tls13, kind: "stateless retry", group: tls.X25519, want: baretls.HandshakeFullWithHelloRetryRequest,
			edit: func(_ client, s server) { s.RetryCookieKey = make([]byte, 32) }},
		guardedHandshake{version: tls12, kind: "resumed by ticket", group: tls.X25519, resumed: true},
		guardedHandshake{version: tls12, kind: "resumed by ID", group: tls.X25519, resumed: true, edit: store},
	)
}

// alwaysFresh is a ReplayGuard that needs no memory.
type alwaysFresh struct{}

func (alwaysFresh) Since() time.Time                        { return time.Time{} }
func (alwaysFresh) Fresh([32]byte, time.Time) (bool, error) { return true, nil }

func (h guardedHandshake) configs() (*baretls.ClientConfig, *baretls.ServerConfig) {
	roots, _ := tlstest.CA()
	version := uint16(h.version)
	c := &baretls.ClientConfig{RootCAs: roots, Groups: []tls.CurveID{h.group}, MinVersion: version, MaxVersion: version}
	s := &baretls.ServerConfig{Certificates: []tls.Certificate{tlstest.Leaf(h.key)}, Groups: []tls.CurveID{h.group}}
	if h.version == tls12 {
		c.Groups = []tls.CurveID{tls.X25519, tls.CurveP256} // a certificate's curve has to be among them (RFC 8422, Section 5.1)
	}
	c.SessionTicketsDisabled, s.SessionTicketsDisabled = !h.resumed, !h.resumed
	if h.edit != nil {
		h.edit(c, s)
	}
	return c, s
}

func (h guardedHandshake) begin(t *testing.T) func() {
	clientConfig, serverConfig := h.configs()
	var client, server loopEnd
	connect(t, &client, &server, clientConfig, serverConfig)
	want := cmp.Or(h.want, baretls.HandshakeFull)
	if h.resumed {
		want = baretls.HandshakeResumed
	}
	data := make([]byte, h.early)
	return func() {
		if h.first {
			clientConfig, _ = h.configs()
		}
		client.early, server.received = data, 0
		connect(t, &client, &server, clientConfig, serverConfig)
		if got := client.conn; got.HandshakeKind() != want || got.ProtocolVersion() != uint16(h.version) ||
			got.NegotiatedKeyExchangeGroup() != h.group && !(h.resumed && h.version == tls12) {
			t.Fatalf("%s: the handshake is %v in %s with %v", h.name(), got.HandshakeKind(), tls.VersionName(got.ProtocolVersion()), got.NegotiatedKeyExchangeGroup())
		}
		if server.received != h.early {
			t.Fatalf("%s: %d bytes of early data have come, want %d", h.name(), server.received, h.early)
		}
	}
}
