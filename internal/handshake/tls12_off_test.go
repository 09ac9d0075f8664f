//go:build tls13only

package handshake

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

var (
	scripts12 []script
	hashing12 []hashing
)

// Without TLS 1.2 its rows are still in the tables, but nothing leads to them:
// not the hellos, and not the rows themselves.
func TestNothingLeadsToTLS12(t *testing.T) {
	if TLS12 {
		t.Error("TLS 1.2 says that it is compiled in")
	}
	nothingLeads(t, clientTable, new(Client))
	nothingLeads(t, serverTable, new(Server))

	for _, versions := range [][]uint16{{tls.VersionTLS12}, {tls.VersionTLS12, tls.VersionTLS13}} {
		p := newPair(t)
		p.clientPolicy.speak(versions...)
		p.serverPolicy.speak(tls.VersionTLS12)
		p.run()
		expectAlert(t, p.s.err, fault.ProtocolVersionAlert, "a client of %#04x at a server of TLS 1.2", versions)
		if p.server.State() != "START" || p.s.core.Out.Pending() {
			t.Errorf("a client of %#04x at a server of TLS 1.2: the server is in %s", versions, p.server.State())
		}

		p = newPair(t)
		p.clientPolicy.speak(versions...)
		p.start()
		hello := wire.ServerHello{
			LegacyVersion: tls.VersionTLS12, Random: make([]byte, 32), CipherSuite: tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			Has: wire.Extensions(wire.ExtExtendedMainSecret),
		}
		err := p.client.Handle(hello.Append(nil))
		expectAlert(t, err, fault.ProtocolVersionAlert, "a client of %#04x gets a ServerHello of TLS 1.2", versions)
		if p.client.State() != "WAIT_SH" {
			t.Errorf("a ServerHello of TLS 1.2 leads a client of %#04x to %s", versions, p.client.State())
		}
	}
}

func nothingLeads[R any](t *testing.T, tab table[R], r *R) {
	t.Helper()
	for at, row := range tab {
		if !strings.HasPrefix(row.name, "TLS 1.2 ") {
			continue
		}
		for _, arm := range row.accept {
			if arm.on == kind(wire.TypeHelloRequest) { // it leads nowhere in any version
				continue
			}
			m := message{kind: arm.on, raw: malformed(arm.on)}
			if _, err := tab.handle(r, state(at), m); fault.Of(err) != fault.UnsupportedVersion {
				t.Errorf("%s takes a %v: %v", row.name, arm.on, err)
			}
		}
	}
}
