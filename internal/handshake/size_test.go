package handshake

import (
	"crypto/tls"
	"testing"
)

// What TLS 1.3 keeps of its secrets is allocated once per connection, and there
// is room for those that have a use, and no more: their sizes are size classes.
func TestNoSecretIsKeptWithoutAUse(t *testing.T) {
	for _, row := range []struct {
		story          string
		suite          uint16
		sessions       bool
		client, server int
	}{
		{"SHA-256, with sessions", tls.TLS_AES_128_GCM_SHA256, true, 4 * 32, 3 * 32},
		{"SHA-256, without", tls.TLS_AES_128_GCM_SHA256, false, 3 * 32, 3 * 32},
		{"SHA-384, with sessions", tls.TLS_AES_256_GCM_SHA384, true, 4 * 48, 3 * 48},
		{"SHA-384, without", tls.TLS_AES_256_GCM_SHA384, false, 3 * 48, 3 * 48},
	} {
		p := newPair(t)
		if row.sessions {
			p.keepSessions()
		}
		p.clientPolicy.Suites = suites(row.suite)
		p.complete()
		for _, side := range []struct {
			*side
			want int
		}{{p.c, row.client}, {p.s, row.server}} {
			if got := len(side.core.secrets13()); got != side.want {
				t.Errorf("%s: the %s keeps secrets of %d bytes, want %d", row.story, side.name, got, side.want)
			}
		}
	}
}
