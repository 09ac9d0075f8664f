package interop

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baretls/baretls"
)

// curl starts a GET for our server's page.
func curl(t *testing.T, s scene, addr, name string) *process {
	t.Helper()
	host := curlHost(addr, name)
	args := []string{"-q", "-sS", "-v", "--http1.1", "--noproxy", "*", "--cacert", makeWorld().ca.file,
		"--resolve", host + ":127.0.0.1"}
	switch s.version {
	case tls.VersionTLS12:
		args = append(args, "--tlsv1.2", "--tls-max", "1.2")
	case tls.VersionTLS13:
		args = append(args, "--tlsv1.3")
	}
	if s.suite != 0 {
		args = append(args, "--tls13-ciphers", tls.CipherSuiteName(s.suite))
	}
	if list := opensslGroups(groups(s.theirs, s.group)); list != "" {
		args = append(args, "--curves", list)
	}
	args = append(args, s.args...)
	return start(t, "curl", append(args, "https://"+host+"/page")...)
}

// curlHost is the host of an URL that leads to addr by that name.
func curlHost(addr, name string) string {
	_, port, _ := net.SplitHostPort(addr)
	return net.JoinHostPort(name, port)
}

// serveOnce answers one GET with body and closes first, as HTTP/1.0 does.
func serveOnce(e *endpoint, body []byte) error {
	if err := e.handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	request, err := e.takeUntil("\r\n\r\n")
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if !strings.HasPrefix(request, "GET /page HTTP/1.1\r\n") {
		return fmt.Errorf("the request is %q", request)
	}
	if err := e.write([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")); err != nil {
		return err
	}
	if err := e.write(body); err != nil {
		return err
	}
	return closeFirst(e, true)
}

// Our server gives curl a page whose end is our close_notify: for every suite,
// group and type of certificate, and across HelloRetryRequests.
func TestCurl(t *testing.T) {
	type row struct {
		name      string
		change    func(*scene)
		retried   bool
		stateless bool
	}
	cookie := func(c *baretls.ServerConfig) { c.RetryCookieKey = cookieKey }
	rows := []row{
		{"RetryP256", func(s *scene) { s.theirs, s.group = []tls.CurveID{tls.X25519, tls.CurveP256}, tls.CurveP256 }, true, false},
		{"RetryP521", func(s *scene) { s.theirs, s.group = []tls.CurveID{tls.X25519, tls.CurveP521}, tls.CurveP521 }, true, false},
		{"RetryCookie", func(s *scene) { s.ourServer = cookie }, true, false},
		{"RetryCookieStateless", func(s *scene) { s.ourServer = cookie }, true, true},
	}
	for i := range classical {
		rows = append(rows, row{fmt.Sprintf("%s-%v", tls.CipherSuiteName(suites[i%3]), classical[i]), func(s *scene) {
			s.suite, s.group = suites[i%3], classical[i]
		}, false, false})
	}
	for _, id := range makeWorld().byKey {
		rows = append(rows, row{id.name, func(s *scene) { s.cert = id }, false, false})
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := plain()
			row.change(&s)
			l := listen(t)
			p := curl(t, s, l.Addr().String(), serverName)
			config := s.server()
			e := newServer(t, config, l)
			if row.stateless {
				if err := forgetAfterRetry(e, config); err != nil {
					t.Fatalf("up to the HelloRetryRequest: %v", err)
				}
			}
			body := payload(mebibyte)
			if err := serveOnce(e, body); err != nil {
				t.Fatal(err)
			}
			p.expectSuccess()
			if got := p.stdout.all(); string(got) != string(body) {
				t.Errorf("curl got %d bytes, or others than the %d that were sent", len(got), len(body))
			}
			if retried := e.conn.HandshakeKind() == baretls.HandshakeFullWithHelloRetryRequest; retried != row.retried {
				t.Errorf("handshake is %v", e.conn.HandshakeKind())
			}
			if s.suite != 0 {
				p.said(`SSL connection using TLSv1.3 / ` + tls.CipherSuiteName(s.suite))
			}
		})
	}
}

// Our client gets a page from the servers that speak HTTP. They close first.
func TestGet(t *testing.T) {
	dir := t.TempDir()
	body := payload(mebibyte)
	must(0, os.WriteFile(filepath.Join(dir, "page"), body, 0o600))

	for _, server := range []struct {
		name   string
		start  func(*testing.T, scene) (*process, string)
		args   []string
		answer string // the end of what it answers
	}{
		{"openssl -WWW", opensslServerIn(dir), []string{"-WWW"}, string(body)},
		{"openssl -www", opensslServer, []string{"-www"}, "</pre></BODY></HTML>\r\n\r\n"},
		{"gnutls --httpdata", gnutlsServer, []string{"--http", "--httpdata=" + filepath.Join(dir, "page")}, string(body)},
		{"gnutls --http", gnutlsServer, []string{"--http"}, "</BODY></HTML>\n\n"},
	} {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := plain().with(server.args...)
			_, addr := server.start(t, s)
			e := newClient(t, s.client(), serverName, addr)
			if err := e.handshake(); err != nil {
				t.Fatalf("handshake: %v", err)
			}
			if err := e.write([]byte("GET /page HTTP/1.0\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			rest, err := e.takeRest()
			if err != nil {
				t.Fatalf("after %d bytes: %v", len(rest), err)
			}
			answer := string(rest)
			if !strings.HasPrefix(strings.ToLower(answer), "http/1.0 200 ok\r\n") || !strings.HasSuffix(answer, server.answer) {
				t.Errorf("the answer is %d bytes and not what it should be: %.200q … %q", len(answer), answer, answer[max(0, len(answer)-100):])
			}
			// The server may be gone already, so our close_notify stays here.
			w, err := e.writable()
			if err != nil {
				t.Fatalf("writing after PeerClosed: %v", err)
			}
			if _, err := w.AppendCloseNotify(nil); err != nil {
				t.Errorf("close_notify: %v", err)
			}
			if err := isClosed(e); err != nil {
				t.Error(err)
			}
		})
	}
}
