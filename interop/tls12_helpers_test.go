package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls"
)

// Alerts of TLS 1.2 that the tests of 1.3 do not meet.
const (
	unexpectedMessage     tls.AlertError = 10
	decodeError           tls.AlertError = 50
	inappropriateFallback tls.AlertError = 86
)

// plain12 is a scene with a peer that speaks TLS 1.2 and nothing else. We offer
// both versions, unless the scene changes that.
func plain12() scene {
	s := plain()
	s.version = tls.VersionTLS12
	return s
}

// An aead is what the cipher suites of TLS 1.2 share that differ by the kind of
// certificate only.
type aead struct {
	ecdsa, rsa      uint16
	openssl, gnutls string
}

var aeads = []aead{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256", "AES-128-GCM"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384", "AES-256-GCM"},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "CHACHA20-POLY1305", "CHACHA20-POLY1305"},
}

// suite is the one for a certificate: those for ECDSA are for EdDSA too (RFC
// 8422, Section 2).
func (a aead) suite(id *identity) uint16 {
	if strings.HasPrefix(id.name, "RSA") {
		return a.rsa
	}
	return a.ecdsa
}

// cipher is how OpenSSL spells the suite.
func (a aead) cipher(id *identity) string {
	if strings.HasPrefix(id.name, "RSA") {
		return "ECDHE-RSA-" + a.openssl
	}
	return "ECDHE-ECDSA-" + a.openssl
}

// withSuite lets both sides have that one suite of TLS 1.2. Ours keeps one of
// TLS 1.3 as well, so that it goes on offering both versions.
func (s scene) withSuite(p *peer, a aead) scene {
	suite := a.suite(s.cert)
	ours := []uint16{tls.TLS_AES_128_GCM_SHA256, suite}
	switch p.name {
	case "openssl":
		s = s.with("-cipher", a.cipher(s.cert))
	case "curl":
		s = s.with("--ciphers", a.cipher(s.cert))
	case "gnutls":
		s = s.with(":-CIPHER-ALL:+" + a.gnutls)
	}
	return s.also(
		func(c *baretls.ClientConfig) { c.CipherSuites = ours },
		func(c *baretls.ServerConfig) { c.CipherSuites = ours },
		func(c *tls.Config) { c.CipherSuites = []uint16{suite} },
	)
}

// withGroup lets the group be the first choice of both sides. The curve of an
// ECDSA certificate has to be among the client's groups too: RFC 8422, Section
// 5.1.1.
func (s scene) withGroup(group tls.CurveID) scene {
	s.group, s.ours = group, []tls.CurveID{group}
	curve := map[string]tls.CurveID{"ECDSA-P256": tls.CurveP256, "ECDSA-P384": tls.CurveP384, "ECDSA-P521": tls.CurveP521}[s.cert.name]
	if curve != 0 && curve != group {
		s.ours = append(s.ours, curve)
	}
	s.theirs = s.ours
	return s
}

// also is s with more changes to our configurations and to the one of
// crypto/tls; each may be nil.
func (s scene) also(client func(*baretls.ClientConfig), server func(*baretls.ServerConfig), std func(*tls.Config)) scene {
	s.ourClient = inTurn(s.ourClient, client)
	s.ourServer = inTurn(s.ourServer, server)
	s.tune = inTurn(s.tune, std)
	return s
}

func inTurn[C any](first, then func(*C)) func(*C) {
	switch {
	case first == nil:
		return then
	case then == nil:
		return first
	}
	return func(c *C) {
		first(c)
		then(c)
	}
}

// within limits our versions.
func (s scene) within(low, high uint16) scene {
	return s.also(
		func(c *baretls.ClientConfig) { c.MinVersion, c.MaxVersion = low, high },
		func(c *baretls.ServerConfig) { c.MinVersion, c.MaxVersion = low, high }, nil)
}

// logging lets both of our roles write to that key log.
func (s scene) logging(w io.Writer) scene {
	return s.also(
		func(c *baretls.ClientConfig) { c.KeyLogWriter = w },
		func(c *baretls.ServerConfig) { c.KeyLogWriter = w }, nil)
}

// firstFull checks that the first connection has a full handshake and each
// other one is resumed.
func firstFull(t *testing.T) func(i int, e *endpoint) {
	return func(i int, e *endpoint) {
		t.Helper()
		expectKind(t, e, fullThenResumed[min(i, 1)])
	}
}

var fullThenResumed = []baretls.HandshakeKind{baretls.HandshakeFull, baretls.HandshakeResumed}

// eachPeer runs a test against every peer, in each of our roles.
func eachPeer(t *testing.T, test func(t *testing.T, p *peer, ourClient bool)) {
	for _, p := range peers {
		for _, ourClient := range []bool{true, false} {
			t.Run(p.name+"/"+roleName(ourClient), func(t *testing.T) {
				t.Parallel()
				test(t, p, ourClient)
			})
		}
	}
}

// meetPeer is meetServer or meetClient.
func meetPeer(t *testing.T, p *peer, s scene, ourClient bool) (*endpoint, *remote) {
	t.Helper()
	if ourClient {
		return meetServer(t, p, s)
	}
	return meetClient(t, p, s)
}

// meetPeerAgain is meetServerAgain or meetClientAgain.
func meetPeerAgain(t *testing.T, p *peer, s scene, ourClient bool, check func(i int, e *endpoint)) {
	t.Helper()
	if ourClient {
		meetServerAgain(t, p, s, check)
	} else {
		meetClientAgain(t, p, s, check)
	}
}

// refusedPeer is refusedServer or refusedClient.
func refusedPeer(t *testing.T, p *peer, s scene, ourClient bool) (seen func(pattern string), failure error) {
	t.Helper()
	if ourClient {
		return refusedServer(t, p, s, serverName)
	}
	return refusedClient(t, p, s)
}

// opensslAs is the peer openssl with an environment of its own, and without
// the flag for a version: it speaks all those that the scene's arguments and
// the environment allow.
func opensslAs(environment ...string) *peer {
	command := func(t *testing.T, args ...string) *process {
		t.Helper()
		look(t, "openssl")
		return start(t, "env", slices.Concat(environment, []string{"openssl"}, args)...)
	}
	p := *peers[1]
	p.serve = func(t *testing.T, s scene) *remote {
		t.Helper()
		args := []string{"s_server", "-accept", "127.0.0.1:0", "-naccept", fmt.Sprint(max(1, s.times)), "-cert", s.cert.certFile, "-key", s.cert.keyFile}
		server := command(t, append(args, s.args...)...)
		addr := server.stdout.expect(t, `ACCEPT (127\.0\.0\.1:\d+)\n`)[1]
		go echoOpenSSL(server)
		times := max(1, s.times)
		return &remote{
			addr: addr,
			ended: func(t *testing.T) {
				t.Helper()
				if times--; times == 0 {
					server.expectSuccess()
					server.neverSaid(`unexpected eof`)
				}
			},
			said:   server.said,
			failed: server.said,
		}
	}
	p.dial = func(t *testing.T, s scene, addr string) *remote {
		t.Helper()
		file := filepath.Join(t.TempDir(), "session")
		args := slices.Concat([]string{"s_client", "-brief", "-nocommands", "-connect", addr, "-servername", serverName,
			"-CAfile", makeWorld().ca.file, "-verify_return_error", "-sess_out", file}, s.args)
		var client *process
		connect := func(more ...string) {
			client = command(t, slices.Concat(args, more)...)
			go io.Copy(client.stdin, client.stdout)
		}
		connect()
		times := max(1, s.times)
		return &remote{
			close: func() { client.stdin.Close() },
			ended: func(t *testing.T) {
				t.Helper()
				client.expectSuccess()
				client.neverSaid(`unexpected eof|error:`)
				if times--; times > 0 {
					connect("-sess_in", file)
				}
			},
			said:   func(pattern string) { t.Helper(); client.said(pattern) },
			failed: func(pattern string) { t.Helper(); client.expectFailure(pattern) },
		}
	}
	return &p
}

// noEMS is the configuration of an openssl that does not know
// extended_main_secret: version 3.0 has no option for that.
func noEMS(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "openssl.cnf")
	must(0, os.WriteFile(file, []byte(`openssl_conf = top
[top]
ssl_conf = programs
[programs]
system_default = without
[without]
Options = -ExtendedMasterSecret
`), 0o600))
	return "OPENSSL_CONF=" + file
}

// expectBytes compares what is too long to print as a whole.
func expectBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes that begin with %.20x, want %d that begin with %.20x", what, len(got), got, len(want), want)
	}
}
