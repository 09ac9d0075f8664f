package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

// A scene is what a test wants of a connection. What is zero is left to the
// defaults.
type scene struct {
	version uint16
	suite   uint16
	group   tls.CurveID
	cert    *identity // the server's
	size    int       // bytes that go there and back

	ours   []tls.CurveID     // our groups, if they are not just group
	theirs []tls.CurveID     // the peer's
	args   []string          // more for the peer's command line
	tune   func(*tls.Config) // the same for crypto/tls

	ourClient func(*baretls.ClientConfig) // changes our configuration
	ourServer func(*baretls.ServerConfig)

	peerFirst bool // the peer closes first
	times     int  // connections, one after the other; 0: one
}

// plain is a scene without anything special.
func plain() scene {
	return scene{version: tls.VersionTLS13, cert: makeWorld().byKey[0], size: 100_000}
}

// with is s with more arguments for the peer's command line.
func (s scene) with(args ...string) scene {
	s.args = append(slices.Clone(s.args), args...)
	return s
}

func (s scene) client() *baretls.ClientConfig {
	c := &baretls.ClientConfig{RootCAs: makeWorld().ca.pool, Groups: groups(s.ours, s.group)}
	if s.suite != 0 {
		c.CipherSuites = []uint16{s.suite}
	}
	if s.ourClient != nil {
		s.ourClient(c)
	}
	return c
}

func (s scene) server() *baretls.ServerConfig {
	c := &baretls.ServerConfig{Certificates: []tls.Certificate{s.cert.cert}, Groups: groups(s.ours, s.group)}
	if s.suite != 0 {
		c.CipherSuites = []uint16{s.suite}
	}
	if s.ourServer != nil {
		s.ourServer(c)
	}
	return c
}

func groups(list []tls.CurveID, only tls.CurveID) []tls.CurveID {
	if list == nil && only != 0 {
		return []tls.CurveID{only}
	}
	return list
}

// remote is the other side: a peer that sends back whatever it gets.
type remote struct {
	addr   string               // of a server
	close  func()               // makes it close first
	ended  func(*testing.T)     // waits for its end, which has to be an orderly one; after each connection
	said   func(pattern string) // checks what it said, after that; nil in process
	failed func(pattern string) // waits for its end, and checks why it failed
}

// peer is an implementation to test against.
type peer struct {
	name   string
	serve  func(*testing.T, scene) *remote
	dial   func(t *testing.T, s scene, addr string) *remote
	groups []tls.CurveID
	certs  []string

	// How the programs are known to end.
	clientClosesFirst, serverClosesFirst bool // can do that
	clientAnswersClose                   bool // a close_notify with its own
	clientResumesAtOnce                  bool // its first connection carries no data
}

var (
	suites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}

	classical   = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	postQuantum = []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}
)

var peers = []*peer{
	{
		name:   "crypto-tls",
		serve:  stdServe,
		dial:   stdDial,
		groups: slices.Concat(classical, postQuantum),
		// It knows no keys that are for PSS only.
		certs:             []string{"ECDSA-P256", "ECDSA-P384", "ECDSA-P521", "RSA", "Ed25519"},
		clientClosesFirst: true, serverClosesFirst: true, clientAnswersClose: true,
	},
	{
		name:   "openssl",
		serve:  opensslServe,
		dial:   opensslDial,
		groups: classical,
		certs:  []string{"ECDSA-P256", "ECDSA-P384", "ECDSA-P521", "RSA", "RSA-PSS", "Ed25519"},
		// s_server closes first only after it has answered a GET.
		clientClosesFirst: true, clientAnswersClose: true,
	},
	{
		name:   "gnutls",
		serve:  gnutlsServe,
		dial:   gnutlsDial,
		groups: classical,
		certs:  []string{"ECDSA-P256", "ECDSA-P384", "ECDSA-P521", "RSA", "RSA-PSS", "Ed25519"},
		// gnutls-serv closes first like s_server, and gnutls-cli does not
		// answer a close_notify: it just goes.
		clientClosesFirst: true, clientResumesAtOnce: true,
	},
}

// crypto/tls

func (s scene) std() *tls.Config {
	c := &tls.Config{
		MinVersion:       s.version,
		MaxVersion:       s.version,
		RootCAs:          makeWorld().ca.pool,
		ServerName:       serverName,
		CurvePreferences: groups(s.theirs, s.group),
	}
	if s.cert != nil {
		c.Certificates = []tls.Certificate{s.cert.cert}
	}
	if s.tune != nil {
		s.tune(c)
	}
	return c
}

func stdServe(t *testing.T, s scene) *remote {
	l := listen(t)
	config := s.std()
	r := runStd(t, s, func() (*tls.Conn, error) {
		raw, err := l.Accept()
		if err != nil {
			return nil, err
		}
		return tls.Server(raw, config), nil
	})
	r.addr = l.Addr().String()
	return r
}

func stdDial(t *testing.T, s scene, addr string) *remote {
	config := s.std()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	return runStd(t, s, func() (*tls.Conn, error) {
		raw, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return nil, err
		}
		return tls.Client(raw, config), nil
	})
}

func runStd(t *testing.T, s scene, connect func() (*tls.Conn, error)) *remote {
	times := max(1, s.times)
	result := make(chan error, times)
	go func() {
		for range times {
			result <- echoStd(s, connect)
		}
	}()
	return &remote{
		close: func() {}, // it counts
		ended: func(t *testing.T) {
			t.Helper()
			if err := <-result; err != nil {
				t.Errorf("crypto/tls: %v", err)
			}
		},
		failed: func(pattern string) {
			t.Helper()
			expectMatch(t, "crypto/tls", fmt.Sprint(<-result), pattern)
		},
	}
}

func echoStd(s scene, connect func() (*tls.Conn, error)) error {
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if err := c.Handshake(); err != nil {
		return err
	}
	if s.peerFirst {
		if _, err := io.CopyN(c, c, int64(s.size)); err != nil {
			return err
		}
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	// Copy takes no end but a close_notify for a good one.
	_, err = io.Copy(c, c)
	return err
}

// openssl

func (s scene) opensslFlags() (flags []string) {
	flags = []string{map[uint16]string{tls.VersionTLS12: "-tls1_2", tls.VersionTLS13: "-tls1_3"}[s.version]}
	if s.suite != 0 {
		flags = append(flags, "-ciphersuites", tls.CipherSuiteName(s.suite))
	}
	if list := opensslGroups(groups(s.theirs, s.group)); list != "" {
		flags = append(flags, "-groups", list)
	}
	return append(flags, s.args...)
}

// opensslGroups is the list as openssl and curl spell it.
func opensslGroups(list []tls.CurveID) string {
	var names []string
	for _, g := range list {
		names = append(names, map[tls.CurveID]string{
			tls.X25519:    "X25519",
			tls.CurveP256: "P-256",
			tls.CurveP384: "P-384",
			tls.CurveP521: "P-521",
		}[g])
	}
	return strings.Join(names, ":")
}

// opensslServer starts s_server and waits until it listens.
func opensslServer(t *testing.T, s scene) (*process, string) { return opensslServerIn("")(t, s) }

func opensslServerIn(dir string) func(*testing.T, scene) (*process, string) {
	return func(t *testing.T, s scene) (*process, string) {
		t.Helper()
		args := []string{"s_server", "-accept", "127.0.0.1:0", "-naccept", fmt.Sprint(max(1, s.times)), "-cert", s.cert.certFile, "-key", s.cert.keyFile}
		p := startIn(t, dir, "openssl", append(args, s.opensslFlags()...)...)
		return p, p.stdout.expect(t, `ACCEPT (127\.0\.0\.1:\d+)\n`)[1]
	}
}

// opensslConnected is the last line that s_server prints before data.
const opensslConnected = `Secure Renegotiation IS[ NOT]* supported\n`

func opensslServe(t *testing.T, s scene) *remote {
	p, addr := opensslServer(t, s)
	go echoOpenSSL(p)
	times := max(1, s.times)
	return &remote{
		addr: addr,
		ended: func(t *testing.T) {
			t.Helper()
			if times--; times > 0 {
				return
			}
			p.expectSuccess()
			p.said(`\nDONE\n`)
			p.neverSaid(`unexpected eof`)
		},
		said:   p.said,
		failed: p.said,
	}
}

// echoOpenSSL gives s_server its data back, and nothing else of what it prints:
// not what it says when it reads a record without data, a KeyUpdate for
// example, and not what it says between two connections.
func echoOpenSSL(p *process) {
	for {
		if _, err := p.stdout.find(opensslConnected); err != nil {
			return
		}
		for {
			m, err := p.stdout.find(`^(?:([0-9abdefh\n]+)|Read BLOCK\n|(DONE\n))`)
			if err != nil {
				return
			}
			if m[2] != "" {
				break
			}
			if _, err := io.WriteString(p.stdin, m[1]); err != nil {
				return
			}
		}
	}
}

// opensslClient starts s_client, which verifies us.
func opensslClient(t *testing.T, s scene, addr string) *process {
	args := []string{"s_client", "-connect", addr, "-CAfile", makeWorld().ca.file, "-verify_return_error", "-verify_hostname", serverName}
	if !slices.Contains(s.args, "-noservername") {
		args = append(args, "-servername", serverName)
	}
	return start(t, "openssl", append(args, s.opensslFlags()...)...)
}

func opensslDial(t *testing.T, s scene, addr string) *remote {
	s.args = append([]string{"-brief", "-nocommands"}, s.args...)
	var p *process
	connect := func(s scene) {
		p = opensslClient(t, s, addr)
		go io.Copy(p.stdin, p.stdout)
	}
	times := max(1, s.times)
	file := filepath.Join(t.TempDir(), "session")
	if times > 1 {
		s = s.with("-sess_out", file)
	}
	connect(s)
	return &remote{
		close: func() { p.stdin.Close() },
		ended: func(t *testing.T) {
			t.Helper()
			p.expectSuccess()
			p.neverSaid(`unexpected eof|error:`)
			p.said(`Verification: OK`)
			if times--; times > 0 {
				connect(s.with("-sess_in", file))
			}
		},
		said:   func(pattern string) { t.Helper(); p.said(pattern) },
		failed: func(pattern string) { t.Helper(); p.expectFailure(pattern) },
	}
}

// gnutls

func (s scene) gnutlsFlags() []string {
	priority := "NORMAL:-VERS-ALL:" + map[uint16]string{tls.VersionTLS12: "+VERS-TLS1.2", tls.VersionTLS13: "+VERS-TLS1.3"}[s.version]
	if s.suite != 0 {
		priority += ":-CIPHER-ALL:" + map[uint16]string{
			tls.TLS_AES_128_GCM_SHA256:       "+AES-128-GCM",
			tls.TLS_AES_256_GCM_SHA384:       "+AES-256-GCM",
			tls.TLS_CHACHA20_POLY1305_SHA256: "+CHACHA20-POLY1305",
		}[s.suite]
	}
	if list := groups(s.theirs, s.group); list != nil {
		priority += ":-GROUP-ALL"
		for _, g := range list {
			priority += ":" + map[tls.CurveID]string{
				tls.X25519:    "+GROUP-X25519",
				tls.CurveP256: "+GROUP-SECP256R1",
				tls.CurveP384: "+GROUP-SECP384R1",
				tls.CurveP521: "+GROUP-SECP521R1",
			}[g]
		}
	}
	// An argument that begins with a colon adds to the priorities.
	var args []string
	for _, arg := range s.args {
		if strings.HasPrefix(arg, ":") {
			priority += arg
		} else {
			args = append(args, arg)
		}
	}
	return append([]string{"--priority=" + priority}, args...)
}

// gnutlsServer starts gnutls-serv and waits until it listens. It cannot be
// given port 0, so it gets one that was free just now, and another if it is not
// any more.
func gnutlsServer(t *testing.T, s scene) (*process, string) {
	t.Helper()
	args := []string{"--x509certfile=" + s.cert.certFile, "--x509keyfile=" + s.cert.keyFile}
	args = append(args, s.gnutlsFlags()...)
	for range 5 {
		l := listen(t)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		p := start(t, "gnutls-serv", append([]string{"--port=" + port}, args...)...)
		if m := p.stderr.expect(t, `IPv4 0\.0\.0\.0 port \d+\.\.\.(done|bind\(\) failed)`); m[1] == "done" {
			return p, net.JoinHostPort("127.0.0.1", port)
		}
	}
	t.Fatal("gnutls-serv finds no port")
	return nil, ""
}

func gnutlsServe(t *testing.T, s scene) *remote {
	s.args = append([]string{"--echo"}, s.args...)
	p, addr := gnutlsServer(t, s)
	times := max(1, s.times)
	return &remote{
		addr: addr,
		ended: func(t *testing.T) {
			t.Helper()
			if times--; times > 0 {
				return
			}
			p.stop() // it serves for ever
			p.neverSaid(`Error`)
		},
		said: p.said,
		failed: func(pattern string) {
			t.Helper()
			p.stderr.expect(t, `Error in handshake`)
			p.stop()
			p.said(pattern)
		},
	}
}

// gnutlsClient starts gnutls-cli, which verifies us. Its log is apart from the
// data.
func gnutlsClient(t *testing.T, s scene, addr string) (p *process, log func() string) {
	host, port, _ := net.SplitHostPort(addr)
	file := filepath.Join(t.TempDir(), "log")
	args := []string{"--port=" + port, "--sni-hostname=" + serverName, "--verify-hostname=" + serverName,
		"--x509cafile=" + makeWorld().ca.file, "--logfile=" + file}
	args = append(args, s.gnutlsFlags()...)
	p = start(t, "gnutls-cli", append(args, host)...)
	return p, func() string {
		<-p.done
		b, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("gnutls-cli wrote no log: %v", err)
		}
		return string(b)
	}
}

// gnutlsDial makes no more than two connections, the first of which it closes
// as soon as it has a ticket.
func gnutlsDial(t *testing.T, s scene, addr string) *remote {
	times := max(1, s.times)
	if times > 1 {
		s = s.with("--resume", "--waitresumption")
	}
	p, log := gnutlsClient(t, s, addr)
	go io.Copy(p.stdin, p.stdout)
	said := func(pattern string) {
		t.Helper()
		expectMatch(t, "gnutls-cli", log(), pattern)
	}
	return &remote{
		close: func() { p.stdin.Close() },
		ended: func(t *testing.T) {
			t.Helper()
			if times--; times > 0 {
				return
			}
			p.expectSuccess()
			said(`The certificate is trusted`)
			said(`Peer has closed the GnuTLS connection`)
		},
		said: said,
		failed: func(pattern string) {
			t.Helper()
			p.expectFailure(`Fatal error`)
			said(pattern)
		},
	}
}

// withALPN makes the peer offer or take application protocols.
func withALPN(p *peer, s scene, protocols ...string) scene {
	switch p.name {
	case "openssl":
		return s.with("-alpn", strings.Join(protocols, ","))
	case "gnutls":
		for _, name := range protocols {
			s = s.with("--alpn=" + name)
		}
		return s
	}
	tune := s.tune
	s.tune = func(c *tls.Config) {
		c.NextProtos = protocols
		if tune != nil {
			tune(c)
		}
	}
	return s
}
