package baretls_test

import (
	"crypto/tls"
	"fmt"
	"runtime"
	"testing"
	"weak"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// Rule 8 of the contract: zero allocations per record, sealing and opening, and
// no buffer kept by an idle connection.

// TestNoAllocations counts the allocations of everything that happens again and
// again on an open connection.
func TestNoAllocations(t *testing.T) {
	for _, suite := range append(benchSuites, benchSuites12...) {
		for _, padding := range []int{0, 1024} { // TLS 1.2 takes no notice
			t.Run(fmt.Sprintf("suite=%s/padding=%d", suite.name, padding), func(t *testing.T) {
				testNoAllocations(t, suite.id, padding)
			})
		}
	}
}

func testNoAllocations(t *testing.T, suite uint16, padding int) {
	client, server := paddedPair(t, suite, padding)

	const runs = 100
	data := make([]byte, 1000)
	write := client.quiet(t)
	size := write.EncryptedLen(len(data))
	out := make([]byte, 0, 2*size)

	noAllocs(t, "Encrypt of a record", runs, func() {
		if n, err := write.Encrypt(data, out[:size]); n != size || err != nil {
			t.Fatalf("Encrypt is %d, %v, want %d", n, err, size)
		}
	})
	noAllocs(t, "AppendEncrypted of a record to a slice with room", runs, func() {
		if b, err := write.AppendEncrypted(out, data); len(b) != size || err != nil {
			t.Fatalf("AppendEncrypted yields %d bytes, %v, want %d", len(b), err, size)
		}
	})
	place := write.PayloadOffset()
	for _, at := range []int{place, place + 1} {
		noAllocs(t, fmt.Sprintf("Encrypt of data %d bytes behind the front of the output", at), runs, func() {
			if n, err := write.Encrypt(out[at:at+len(data)], out[:size]); n != size || err != nil {
				t.Fatalf("Encrypt is %d, %v, want %d", n, err, size)
			}
		})
	}
	large, room := make([]byte, 100_000), make([]byte, write.EncryptedLen(100_000))
	noAllocs(t, "Encrypt of many records", runs, func() {
		if n, err := write.Encrypt(large, room); n != len(room) || err != nil {
			t.Fatalf("Encrypt is %d, %v, want %d", n, err, len(room))
		}
	})
	noAllocs(t, "EncryptedLen, CloseNotifyLen and Need", runs, func() {
		if write.EncryptedLen(len(data)) != size || write.CloseNotifyLen() == 0 || write.Need() == 0 {
			t.Fatal("a size of an open connection is 0")
		}
	})
	noAllocs(t, "a quiet turn without input", runs, func() {
		if status, err := client.conn.ProcessTLSRecords(nil); status.Discard != 0 || err != nil {
			t.Fatalf("a turn without input is %v, %v", status, err)
		}
	})

	// Opening: what AllocsPerRun opens has been sealed before it counts. It
	// runs a function once more than it counts.
	from := server.quiet(t)
	sealed := func() (records [][]byte) {
		for range runs + 1 {
			rec, err := from.AppendEncrypted(nil, data)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, rec)
		}
		return records
	}
	records := sealed()
	noAllocs(t, "a turn with a part of a record", runs, func() {
		for _, n := range []int{1, 4, 5, 6, size - 1} {
			status, err := client.conn.ProcessTLSRecords(records[0][:n])
			write, ok := status.State.(baretls.WriteTraffic)
			if !ok || err != nil || write.Need() == 0 {
				t.Fatalf("a turn with %d bytes of a record is %T, %v, want WriteTraffic", n, status.State, err)
			}
		}
	})
	noAllocs(t, "a turn with a record that is not read, and PeekLen", runs, func() {
		if n, ok := readTraffic(t, client.conn, records[0]).PeekLen(); !ok || n < len(data) {
			t.Fatalf("PeekLen is %d, %t, want %d at least", n, ok, len(data))
		}
	})
	next := 0
	noAllocs(t, "a ReadTraffic turn and NextRecord", runs, func() {
		rec, ok := readTraffic(t, client.conn, records[next]).NextRecord()
		if next++; !ok || len(rec.Payload) != len(data) {
			t.Fatalf("NextRecord is %d bytes, %t, want %d", len(rec.Payload), ok, len(data))
		}
	})
	records, next = sealed(), 0
	noAllocs(t, "a ReadTraffic turn and a loop over Records", runs, func() {
		got := 0
		for rec := range readTraffic(t, client.conn, records[next]).Records() {
			got += len(rec.Payload)
		}
		if next++; got != len(data) {
			t.Fatalf("Records yield %d bytes, want %d", got, len(data))
		}
	})
}

// paddedPair is a pair after its handshake, with that suite and padding.
func paddedPair(t *testing.T, suite uint16, padding int) (client, server *loopEnd) {
	t.Helper()
	roots, _ := tlstest.CA()
	client, server = new(loopEnd), new(loopEnd)
	connect(t, client, server,
		&baretls.ClientConfig{RootCAs: roots, CipherSuites: []uint16{suite}, RecordPadding: padding},
		&baretls.ServerConfig{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}, RecordPadding: padding})
	if got := client.conn.NegotiatedCipherSuite(); got != suite {
		t.Fatalf("suite is %s, want %s", tls.CipherSuiteName(got), tls.CipherSuiteName(suite))
	}
	return client, server
}

// TestNoAllocationsInHalves is the same for a connection that has been split.
func TestNoAllocationsInHalves(t *testing.T) {
	for _, suite := range append(benchSuites, benchSuites12...) {
		t.Run(suite.name, func(t *testing.T) {
			client, server := establishedPair(t, suite.id)
			r, _, err := client.conn.Split()
			if err != nil {
				t.Fatal(err)
			}
			_, w, err := server.conn.Split()
			if err != nil {
				t.Fatal(err)
			}
			const runs = 100
			data := make([]byte, 1000)
			size := w.EncryptedLen(len(data))
			out, next := make([]byte, 0, (runs+1)*(size+100)), 0
			noAllocs(t, "AppendEncrypted of a half", runs, func() {
				if out, err = w.AppendEncrypted(out, data); err != nil {
					t.Fatal(err)
				}
			})
			noAllocs(t, "the lengths of a half, and what is pending", runs, func() {
				if w.EncryptedLen(1) == 0 || w.CloseNotifyLen() == 0 || w.Pending() || w.PendingLen() != 0 {
					t.Fatal("a size of an open connection is 0, or something is pending")
				}
			})
			noAllocs(t, "a ReadTraffic turn of a half, and NextRecord", runs, func() {
				status, err := r.ProcessTLSRecords(out[next : next+size])
				read, ok := status.State.(baretls.ReadTraffic)
				if !ok {
					t.Fatalf("a turn with a whole record is %T, %v, want ReadTraffic", status.State, err)
				}
				if rec, ok := read.NextRecord(); !ok || len(rec.Payload) != len(data) {
					t.Fatalf("NextRecord is %d bytes, %t, want %d", len(rec.Payload), ok, len(data))
				}
				next += size
			})
			noAllocs(t, "a quiet turn of a half", runs, func() {
				status, err := r.ProcessTLSRecords(out[:1])
				if read, ok := status.State.(baretls.BlockedRead); !ok || read.Need() == 0 {
					t.Fatalf("a turn with a part of a record is %T, %v, want BlockedRead", status.State, err)
				}
			})
		})
	}
}

func readTraffic(t *testing.T, conn *baretls.Conn, incoming []byte) baretls.ReadTraffic {
	t.Helper()
	status, err := conn.ProcessTLSRecords(incoming)
	read, ok := status.State.(baretls.ReadTraffic)
	if !ok {
		t.Fatalf("a turn with a whole record is %T, %v, want ReadTraffic", status.State, err)
	}
	return read
}

// noAllocs checks that f does not allocate.
func noAllocs(t *testing.T, what string, runs int, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(runs, f); got != 0 {
		t.Errorf("%s allocates %v times, want never", what, got)
	}
}

// maxIdle is the memory that an idle connection may hold, both directions' keys
// included, in bytes: see docs/decisions/0022. Certificates are shared by the
// connections that have them.
var maxIdle = map[string]int{
	"AES128GCM":        1984,
	"AES256GCM":        2048, // secrets of SHA-384
	"ChaCha20Poly1305": 512,

	"TLS12-AES128GCM":        1984,
	"TLS12-AES256GCM":        1984,
	"TLS12-ChaCha20Poly1305": 512,
}

const grain = 16 // size classes are multiples of it: less is the runtime's

// TestIdleMemory weighs connections that have nothing to do.
func TestIdleMemory(t *testing.T) {
	const pairs = 1000
	for _, suite := range append(benchSuites, benchSuites12...) {
		limit := maxIdle[suite.name]
		for _, c := range []struct {
			story string
			scenario
		}{
			{"full", scenario{kind: baretls.HandshakeFull}},
			{"resumed", scenario{kind: baretls.HandshakeResumed}},
			{"full, 1 MB each way", scenario{kind: baretls.HandshakeFull, data: 1e6}},
		} {
			t.Run(suite.name+"/"+c.story, func(t *testing.T) {
				n := pairs
				if c.data > 0 {
					n = pairs / 5
				}
				c.suite, c.cert = suite.id, tlstest.Leaf(tlstest.ECDSAP256)
				w := weigh(t, n, c.scenario)
				t.Logf("bytes per idle connection: client %d, server %d", w.client, w.server)
				if w.client >= limit+grain {
					t.Errorf("an idle client holds %d bytes besides certificates, want %d at most", w.client, limit)
				}
				if w.server >= limit+grain {
					t.Errorf("an idle server holds %d bytes, want %d at most", w.server, limit)
				}
			})
		}
	}
}

// TestIdleKeepsNoBuffer compares connections that needed buffers once with one
// that hardly did: when they are idle, they weigh the same.
func TestIdleKeepsNoBuffer(t *testing.T) {
	eachVersion(t, testIdleKeepsNoBuffer)
}

func testIdleKeepsNoBuffer(t *testing.T, v version) {
	const (
		pairs = 100
		noise = 64 // bytes per connection: what the runtime does meanwhile
	)
	small := tlstest.Leaf(tlstest.ECDSAP256)
	suite := v.suite()
	base := weigh(t, pairs, scenario{suite: suite, cert: small})
	for _, c := range []struct {
		name string
		scenario
	}{
		{"a chain of 60 KB, cut into records", scenario{suite: suite,
			cert: tlstest.New(tlstest.Options{Kind: tlstest.ECDSAP256, Bulk: 60_000})}},
		{"a chain cut into records of 64 bytes", scenario{suite: suite, cert: small, fragment: 64}},
		{"1 MiB sealed and opened each way", scenario{suite: suite, cert: small, data: 1 << 20}},
		{"a key update each way", scenario{suite: suite, cert: small, refresh: true}},
	} {
		if c.refresh && v == tls12 {
			continue // it has no key updates
		}
		t.Run(c.name, func(t *testing.T) {
			w := weigh(t, pairs, c.scenario)
			if d := w.client - base.client; d > noise || d < -noise {
				t.Errorf("an idle client holds %d bytes besides certificates, and %d without that", w.client, base.client)
			}
			if d := w.server - base.server; d > noise || d < -noise {
				t.Errorf("an idle server holds %d bytes, and %d without that", w.server, base.server)
			}
		})
	}
}

// TestNothingOfTheCallersIsKept: a connection that is idle refers to none of the
// memory that it was handed.
func TestNothingOfTheCallersIsKept(t *testing.T) { eachVersion(t, testNothingOfTheCallersIsKept) }

func testNothingOfTheCallersIsKept(t *testing.T, v version) {
	client, server := establishedPair(t, v.suite())
	pass := func() (handed []weak.Pointer[byte]) {
		hand := func(b []byte) []byte {
			handed = append(handed, weak.Make(&b[0]))
			return b
		}
		data, out, in := hand(make([]byte, 10_000)), hand(make([]byte, 20_000)), hand(make([]byte, 20_000))
		n, err := server.quiet(t).Encrypt(data, out)
		if err != nil {
			t.Fatal(err)
		}
		for range readTraffic(t, client.conn, in[:copy(in, out[:n])]).Records() {
		}
		// The last turn has a part of a record, so that it is quiet.
		part := hand(make([]byte, 20_000))
		if _, err := client.conn.ProcessTLSRecords(part[:copy(part, out[:n-1])]); err != nil {
			t.Fatal(err)
		}
		return handed
	}
	handed := pass()
	runtime.GC()
	for i, what := range []string{"plaintext to encrypt", "output", "incoming bytes", "part of a record"} {
		if handed[i].Value() != nil {
			t.Errorf("the %s can still be reached", what)
		}
	}
	runtime.KeepAlive([]any{client, server})
}

// scenario is what connections go through before they are weighed.
type scenario struct {
	suite    uint16
	cert     tls.Certificate
	kind     baretls.HandshakeKind // any, if it is unknown
	fragment int                   // MaxFragmentSize
	data     int                   // bytes each way
	refresh  bool                  // keys
}

// weight is in bytes per connection.
type weight struct {
	client int // without certificates, which connections to one server share
	server int
}

// weigh measures the heap of idle connections: of both ends, then without the
// clients, and at last without the servers.
func weigh(t *testing.T, pairs int, sc scenario) weight {
	t.Helper()
	roots, _ := tlstest.CA()
	clientConfig := &baretls.ClientConfig{
		RootCAs:         roots,
		CipherSuites:    []uint16{sc.suite},
		MaxFragmentSize: sc.fragment,
	}
	serverConfig := &baretls.ServerConfig{
		Certificates:    []tls.Certificate{sc.cert},
		MaxFragmentSize: sc.fragment,

		SessionTicketsDisabled: sc.kind == baretls.HandshakeFull,
	}
	var client, server loopEnd // the buffers of all of them
	data := make([]byte, sc.data)
	clients, servers := make([]*baretls.Conn, pairs), make([]*baretls.Conn, pairs)
	for i := -1; i < pairs; i++ { // one before, for what is made only once
		connect(t, &client, &server, clientConfig, serverConfig)
		sc.exercise(t, &client, &server, data)
		sc.exercise(t, &server, &client, data)
		if i >= 0 {
			if got := client.conn.HandshakeKind(); sc.kind != baretls.HandshakeUnknown && got != sc.kind {
				t.Fatalf("handshake %d is %v, want %v", i, got, sc.kind)
			}
			clients[i], servers[i] = client.conn, server.conn
		}
	}
	client.conn, server.conn = nil, nil
	defer func() { // what all connections share weighs nothing if it stays
		runtime.KeepAlive([]any{&client, &server, data, clients, servers, clientConfig, serverConfig, roots})
	}()

	both := liveHeap()
	clear(clients)
	onlyServers := liveHeap()
	clear(servers)
	nothing := liveHeap()

	return weight{client: (both - onlyServers) / pairs, server: (onlyServers - nothing) / pairs}
}

// exercise makes one end send data, and new keys.
func (sc scenario) exercise(t *testing.T, from, to *loopEnd, data []byte) {
	t.Helper()
	write := from.quiet(t)
	if len(data) > 0 {
		before := to.received
		var err error
		if to.in, err = write.AppendEncrypted(to.in, data); err != nil {
			t.Fatal(err)
		}
		if err := to.run(from); err != nil {
			t.Fatal(err)
		}
		if got := to.received - before; got != len(data) {
			t.Fatalf("%d bytes have arrived, want %d", got, len(data))
		}
	}
	if sc.refresh {
		if err := write.RefreshTrafficKeys(); err != nil {
			t.Fatal(err)
		}
		for _, end := range [][2]*loopEnd{{from, to}, {to, from}, {from, to}} {
			if err := end[0].run(end[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// liveHeap is what is alive, in bytes.
func liveHeap() int {
	// What one collection finalizes, and what pools keep, the next ones free.
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestNoGoroutines: nothing inside ever waits, and so nothing runs.
func TestNoGoroutines(t *testing.T) {
	const conns = 100
	before := runtime.NumGoroutine()
	roots, _ := tlstest.CA()
	pairs := make([][2]loopEnd, conns)
	for i := range pairs {
		connect(t, &pairs[i][0], &pairs[i][1],
			&baretls.ClientConfig{RootCAs: roots},
			&baretls.ServerConfig{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}})
		// There may be fewer: those of tests before that come to their end.
		if got := runtime.NumGoroutine(); got > before {
			t.Fatalf("%d goroutines with %d connections, %d without", got, i+1, before)
		}
	}
	clear(pairs)
	if got := runtime.NumGoroutine(); got > before {
		t.Errorf("%d goroutines after the connections, %d before", got, before)
	}
}
