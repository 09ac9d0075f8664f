package interop

import (
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/baretls/baretls"
)

// A combination is one point of the matrix.
type combination struct {
	version uint16
	suite   uint16
	group   tls.CurveID
	cert    string
}

func (c combination) String() string {
	return fmt.Sprintf("%s/%s/%v/%s", tls.VersionName(c.version)[4:], tls.CipherSuiteName(c.suite), c.group, c.cert)
}

// combinations are all those that the peer has; or, if few, every pair of
// values of two dimensions once at least.
func (p *peer) combinations(few bool) (cs []combination) {
	for g, group := range p.groups {
		for c, cert := range p.certs {
			for s, suite := range suites {
				if !few || s == (g+c)%len(suites) {
					cs = append(cs, combination{tls.VersionTLS13, suite, group, cert})
				}
			}
		}
	}
	return cs
}

const mebibyte = 1 << 20

// Every combination of suite, group and certificate in both roles: handshake,
// a mebibyte there and back, and an end that both sides take for a clean one.
// A program as a peer sees all pairs, crypto/tls sees everything.
func TestMatrix(t *testing.T) {
	for _, p := range peers {
		for i, c := range p.combinations(p.name != "crypto-tls") {
			s := scene{version: c.version, suite: c.suite, group: c.group, cert: makeWorld().identity(c.cert), size: mebibyte}
			s.peerFirst = i%2 == 1
			t.Run(fmt.Sprintf("%s/client/%v", p.name, c), func(t *testing.T) {
				t.Parallel()
				meetServer(t, p, s)
			})
			t.Run(fmt.Sprintf("%s/server/%v", p.name, c), func(t *testing.T) {
				t.Parallel()
				meetClient(t, p, s)
			})
		}
	}
}

// With nothing configured on either side there is no HelloRetryRequest, and a
// peer that can gets the post-quantum group.
func TestDefaults(t *testing.T) {
	check := func(t *testing.T, p *peer, e *endpoint) {
		t.Helper()
		want := tls.X25519
		if p.name == "crypto-tls" {
			want = tls.X25519MLKEM768
		}
		if got := e.conn.NegotiatedKeyExchangeGroup(); got != want {
			t.Errorf("group is %v, want %v", got, want)
		}
		if kind := e.conn.HandshakeKind(); kind != baretls.HandshakeFull {
			t.Errorf("handshake is %v, want %v", kind, baretls.HandshakeFull)
		}
	}
	for _, p := range peers {
		bothRoles(t, p, plain(), func(t *testing.T, e *endpoint) { check(t, p, e) })
	}
}
