//go:build !race

package baretls_test

// With the race detector, pools lose things on purpose.

import (
	"crypto/tls"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// TestHandshakeAllocations holds what a handshake allocates, both ends together:
// objects and bytes, with certificates of P-256 and a key exchange by X25519.
// Most of both are the standard library's: decision 0023 has the list.
func TestHandshakeAllocations(t *testing.T) {
	for _, row := range []struct {
		name           string
		v              version
		resumed        bool
		objects, bytes int
	}{
		{"full", tls13, false, 120, 20_000},
		{"resumed", tls13, true, 75, 17_000},
		{"full in TLS 1.2", tls12, false, 125, 16_000},
		{"resumed in TLS 1.2", tls12, true, 60, 12_000},
	} {
		t.Run(row.name, func(t *testing.T) {
			roots, _ := tlstest.CA()
			clientConfig := &baretls.ClientConfig{RootCAs: roots, Groups: []tls.CurveID{tls.X25519, tls.CurveP256}}
			serverConfig := &baretls.ServerConfig{
				Certificates:           []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
				Groups:                 []tls.CurveID{tls.X25519},
				MaxVersion:             uint16(row.v),
				SessionTicketsDisabled: !row.resumed,
			}
			want := baretls.HandshakeFull
			if row.resumed {
				want = baretls.HandshakeResumed
			}
			var client, server loopEnd
			for range 20 { // what is made once, and what pools then have
				connect(t, &client, &server, clientConfig, serverConfig)
			}
			const runs = 200
			before := allocatedByNow(t)
			for range runs {
				connect(t, &client, &server, clientConfig, serverConfig)
			}
			after := allocatedByNow(t)
			if got := client.conn.HandshakeKind(); got != want || client.conn.ProtocolVersion() != uint16(row.v) {
				t.Fatalf("the handshake is %v in version %#04x, want %v", got, client.conn.ProtocolVersion(), want)
			}
			objects, bytes := int(after.Mallocs-before.Mallocs)/runs, int(after.TotalAlloc-before.TotalAlloc)/runs
			t.Logf("%d objects and %d bytes", objects, bytes)
			if objects > row.objects || bytes > row.bytes {
				t.Errorf("a handshake allocates %d objects and %d bytes, want %d and %d at most", objects, bytes, row.objects, row.bytes)
			}
		})
	}
}

// allocatedByNow is what has been allocated so far. Until the test is over nothing is
// collected and there is one processor, so that pools lose nothing.
func allocatedByNow(t *testing.T) (m runtime.MemStats) {
	t.Helper()
	collect, processors := debug.SetGCPercent(-1), runtime.GOMAXPROCS(1)
	t.Cleanup(func() {
		debug.SetGCPercent(collect)
		runtime.GOMAXPROCS(processors)
	})
	runtime.ReadMemStats(&m)
	return m
}
