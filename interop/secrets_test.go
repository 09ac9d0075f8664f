package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

// stdPair is a connection between us and crypto/tls after the handshake.
func stdPair(t *testing.T, s scene, ourClient bool) (*endpoint, *tls.Conn) {
	t.Helper()
	l := listen(t)
	var e *endpoint
	var theirs *tls.Conn
	done := make(chan error, 1)
	if ourClient {
		e = newClient(t, s.client(), serverName, l.Addr().String())
		theirs = tls.Server(must(l.Accept()), s.std())
	} else {
		theirs = tls.Client(must(net.DialTimeout("tcp", l.Addr().String(), patience)), s.std())
		e = newServer(t, s.server(), l)
	}
	t.Cleanup(func() { theirs.Close() })
	theirs.SetDeadline(time.Now().Add(patience))
	go func() { done <- theirs.Handshake() }()
	if err := e.handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatalf("handshake of crypto/tls: %v", err)
	}
	return e, theirs
}

func roleName(ourClient bool) string {
	if ourClient {
		return "client"
	}
	return "server"
}

// The secrets in our key log are those in the peer's, for every suite.
func TestKeyLog(t *testing.T) {
	for _, suite := range suites {
		for _, ourClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("crypto-tls/%s/%#04x", roleName(ourClient), suite), func(t *testing.T) {
				t.Parallel()
				var ours, theirs bytes.Buffer
				s := plain()
				s.suite = suite
				s.ourClient = func(c *baretls.ClientConfig) { c.KeyLogWriter = &ours }
				s.ourServer = func(c *baretls.ServerConfig) { c.KeyLogWriter = &ours }
				s.tune = func(c *tls.Config) { c.KeyLogWriter = &theirs }
				stdPair(t, s, ourClient)
				compareKeyLogs(t, ours.String(), theirs.String(), 4)
			})
		}
	}
	t.Run("openssl/server", func(t *testing.T) {
		t.Parallel()
		var ours bytes.Buffer
		file := filepath.Join(t.TempDir(), "keys")
		s := plain().with("-keylogfile", file)
		s.ourServer = func(c *baretls.ServerConfig) { c.KeyLogWriter = &ours }
		visitOpenSSL(t, s)
		compareKeyLogs(t, ours.String(), string(must(os.ReadFile(file))), 5)
	})
	t.Run("openssl/client", func(t *testing.T) {
		t.Parallel()
		var ours bytes.Buffer
		file := filepath.Join(t.TempDir(), "keys")
		s := plain().with("-keylogfile", file)
		s.ourClient = func(c *baretls.ClientConfig) { c.KeyLogWriter = &ours }
		meetServer(t, peers[1], s)
		compareKeyLogs(t, ours.String(), string(must(os.ReadFile(file))), 5)
	})
}

// compareKeyLogs wants all that the peer logged, so many secrets, in ours too.
func compareKeyLogs(t *testing.T, ours, theirs string, secrets int) {
	t.Helper()
	want := keyLogLines(theirs)
	if len(want) != secrets {
		t.Errorf("the peer logged %d secrets, want %d:\n%s", len(want), secrets, theirs)
	}
	have := keyLogLines(ours)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if have[key] != want[key] {
			t.Errorf("%s is\n%q, the peer has\n%q", key, have[key], want[key])
		}
	}
}

// keyLogLines are the secrets by label and client random.
func keyLogLines(log string) map[string]string {
	lines := make(map[string]string)
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); len(f) == 3 && !strings.HasPrefix(line, "#") {
			lines[f[0]+" "+f[1]] = f[2]
		}
	}
	return lines
}

// Exported keying material (RFC 9846, Section 7.5) is the same on both sides:
// with and without context, shorter and longer than the hash.
func TestExporter(t *testing.T) {
	for _, suite := range suites {
		for _, ourClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("crypto-tls/%s/%#04x", roleName(ourClient), suite), func(t *testing.T) {
				t.Parallel()
				s := plain()
				s.suite = suite
				e, peer := stdPair(t, s, ourClient)
				state := peer.ConnectionState()
				for _, c := range []struct {
					label   string
					context []byte
					length  int
				}{
					{"EXPORTER-Channel-Binding", nil, 32},
					{"EXPORTER-Channel-Binding", []byte{}, 32},
					{"EXPERIMENTAL interop", []byte("a context"), 1},
					{"EXPERIMENTAL interop", bytes.Repeat([]byte{7}, 1000), 500},
				} {
					want, err := state.ExportKeyingMaterial(c.label, c.context, c.length)
					if err != nil {
						t.Fatalf("crypto/tls: %v", err)
					}
					got, err := e.conn.ExportKeyingMaterial(c.label, c.context, c.length)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d bytes for %q with a context of %d bytes are\n%x (%v), crypto/tls has\n%x", c.length, c.label, len(c.context), got, err, want)
					}
				}
			})
		}
	}
	const label = "EXPERIMENTAL interop"
	export := func(t *testing.T, e *endpoint) string {
		t.Helper()
		b, err := e.conn.ExportKeyingMaterial(label, nil, 48)
		if err != nil {
			t.Fatalf("export: %v", err)
		}
		return fmt.Sprintf("%x", b)
	}
	openssl := plain().with("-keymatexport", label, "-keymatexportlen", "48")
	gnutls := plain().with("--keymatexport="+label, "--keymatexportsize=48")
	t.Run("openssl/server", func(t *testing.T) {
		t.Parallel()
		e, p := visitOpenSSL(t, openssl)
		p.said(`Keying material: ` + strings.ToUpper(export(t, e)))
	})
	t.Run("openssl/client", func(t *testing.T) {
		t.Parallel()
		p, addr := opensslServer(t, openssl)
		e := newClient(t, openssl.client(), serverName, addr)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		if err := closeFirst(e, true); err != nil {
			t.Errorf("close: %v", err)
		}
		e.wire.Close()
		p.said(`Keying material: ` + strings.ToUpper(export(t, e)))
	})
	t.Run("gnutls/server", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		r := gnutlsDial(t, gnutls, l.Addr().String())
		e := newServer(t, gnutls.server(), l)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		material := export(t, e)
		meet(t, e, r, gnutls, peers[2].clientAnswersClose)
		r.said(`Key material: ` + material)
	})
	t.Run("gnutls/client", func(t *testing.T) {
		t.Parallel()
		e, r := meetServer(t, peers[2], gnutls)
		r.said(`Key material: ` + export(t, e))
	})
}

// The channel binding tls-exporter (RFC 9266) is what the peers' users see.
func TestTLSExporter(t *testing.T) {
	binding := func(t *testing.T, e *endpoint) string {
		t.Helper()
		b, err := e.conn.TLSExporter()
		if err != nil {
			t.Fatalf("TLSExporter: %v", err)
		}
		return fmt.Sprintf("%x", b)
	}
	openssl := plain().with("-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32")
	t.Run("openssl/server", func(t *testing.T) {
		t.Parallel()
		e, p := visitOpenSSL(t, openssl)
		p.said(`Keying material: ` + strings.ToUpper(binding(t, e)) + `\n`)
	})
	t.Run("openssl/client", func(t *testing.T) {
		t.Parallel()
		p, addr := opensslServer(t, openssl)
		e := newClient(t, openssl.client(), serverName, addr)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		if err := closeFirst(e, true); err != nil {
			t.Errorf("close: %v", err)
		}
		e.wire.Close()
		p.said(`Keying material: ` + strings.ToUpper(binding(t, e)) + `\n`)
	})
	t.Run("gnutls/client, resumed", func(t *testing.T) {
		t.Parallel()
		s := twice()
		r := gnutlsServe(t, s)
		config := s.client()
		var bindings []string
		for range s.times {
			e := newClient(t, config, serverName, r.addr)
			meet(t, e, r, s, true)
			bindings = append(bindings, binding(t, e))
		}
		r.said(`(?s)'tls-exporter': ` + bindings[0] + `\n.*This is a resumed session.*'tls-exporter': ` + bindings[1] + `\n`)
	})
	t.Run("gnutls/server", func(t *testing.T) {
		t.Parallel()
		s := plain().with("--verbose")
		l := listen(t)
		r := gnutlsDial(t, s, l.Addr().String())
		e := newServer(t, s.server(), l)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		want := binding(t, e)
		meet(t, e, r, s, peers[2].clientAnswersClose)
		r.said(`'tls-exporter': ` + want + `\n`)
	})
}
