package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

func TestDemoShowsBothSidesAndWhatTheyAgreedOn(t *testing.T) {
	out := expect(t, 0, "demo")
	for _, line := range []string{
		`CLIENT +SERVER`,
		`EncodeTLSData: \d+ bytes`,
		` {20,}EncodeTLSData: \d+ bytes`,
		`TransmitTLSData: \d+ bytes`,
		`BlockedHandshake: receive`,
		`WriteTraffic: \d+ bytes of data`,
		` {20,}ReadTraffic: \d+ bytes of data`,
		`WriteTraffic: close_notify`,
		`PeerClosed`,
		`Closed`,
		` {20,}Closed`,
		`version +TLS 1\.3`,
		`suite +TLS_.+`,
		`group +X25519MLKEM768`,
		`signature +ECDSAWithP256AndSHA256`,
		`ALPN +http/1\.1`,
		`A full handshake`,
		`handshake +full`,
		`early data +not offered`,
		`A resumption with a ticket of that connection`,
		`handshake +resumed`,
		`A request as 0-RTT data, .+`,
		`\(The ReplayGuard .+\)`,
		`MayEncryptEarlyData: \d+ bytes of early data`,
		` {20,}ReadEarlyData: \d+ bytes of early data`,
		`early data +accepted`,
		`certificate +CN=localhost, by CN=baretls throwaway CA, for localhost, 127\.0\.0\.1, ::1`,
		`client +\d+ turns, \d+ bytes sent, \d+ bytes received`,
		`server +\d+ turns, \d+ bytes sent, \d+ bytes received`,
		`HTTP/1\.1 200 OK`,
		strings.ReplaceAll(strings.TrimSpace(demoPage), ".", `\.`),
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(out) {
			t.Errorf("the demo should print a line like %q, but printed\n%s", line, out)
		}
	}
	count := regexp.MustCompile(`(\d+) bytes sent, (\d+) bytes received`).FindAllStringSubmatch(out, -1)
	if len(count) != 6 {
		t.Fatalf("the demo should count the bytes of both sides of three connections, but prints %q", count)
	}
	for both := range slices.Chunk(count, 2) {
		if both[0][1] != both[1][2] || both[0][2] != both[1][1] {
			t.Errorf("what one side of the demo sends, the other should receive; the counts are %q", both)
		}
	}
	full, _ := strconv.Atoi(count[1][1])
	resumed, _ := strconv.Atoi(count[3][1])
	if resumed == 0 || resumed >= full {
		t.Errorf("a server should send less in a resumption, without certificates, but sends %d bytes instead of %d", resumed, full)
	}
	_, zeroRTT, _ := strings.Cut(out, "A request as 0-RTT data")
	var server []string
	for line := range strings.Lines(zeroRTT) {
		if strings.HasPrefix(line, "   ") {
			server = append(server, strings.TrimSpace(line))
		}
	}
	story := strings.Join(server, "\n")
	answered := regexp.MustCompile(`ReadEarlyData: [1-9]\d* bytes of early data\nWriteTraffic: \d+ bytes of data\n(.+\n)*ReadEarlyData: 0 bytes`)
	if !answered.MatchString(story) {
		t.Errorf("the server should answer early data before it reads the end of it, but its states are\n%s", story)
	}
}

func TestGetFromServe(t *testing.T) {
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	for name, content := range map[string][]byte{
		"hello.txt":       []byte("hello\n"),
		"empty.txt":       nil,
		"big.bin":         big,
		"site/a page":     []byte("a page\n"),
		"home/index.html": []byte("<p>index\n"),
	} {
		writeFile(t, filepath.Join(dir, filepath.FromSlash(name)), content)
	}
	server := startServe(t, "-dir", dir)

	for _, test := range []struct{ path, body string }{
		{"/hello.txt", "hello\n"},
		{"/empty.txt", ""},
		{"/big.bin", string(big)},
		{"/site/a%20page", "a page\n"},
		{"/home/", "<p>index\n"},
		{"/hello.txt?query#fragment", "hello\n"},
		{"/missing.txt", "404 page not found\n"}, // the exit code is 0, as curl's
	} {
		if body := expect(t, 0, "get", "-ca", server.ca, server.url+test.path); body != test.body {
			t.Errorf("get %s should print %d bytes, %.40q, but printed %d, %.40q",
				test.path, len(test.body), test.body, len(body), body)
		}
	}
	if listing := expect(t, 0, "get", "-ca", server.ca, server.url+"/site/"); !strings.Contains(listing, `<a href="a%20page">a page</a>`) {
		t.Errorf("a directory without index.html should be listed, but get printed %q", listing)
	}
	if body := expect(t, 0, "get", "-insecure", server.url+"/hello.txt"); body != "hello\n" {
		t.Errorf("get -insecure should need no CA, but printed %q", body)
	}
	if body := expect(t, 0, "get", "-alpn", "", "-ca", server.ca, server.url+"/hello.txt"); body != "hello\n" {
		t.Errorf("get should work without ALPN, but printed %q", body)
	}
	server.stop()
}

func TestGetTracesStates(t *testing.T) {
	server := startServe(t, "-dir", t.TempDir())
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"get", "-trace", "-ca", server.ca, server.url + "/"}, &stdout, &stderr); code != 0 {
		t.Fatalf("get -trace should exit with 0, but did with %d: %s", code, &stderr)
	}
	var states []string
	for line := range strings.Lines(stderr.String()) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		if len(states) == 0 || states[len(states)-1] != name {
			states = append(states, name)
		}
	}
	trace := strings.Join(states, " ")
	const want = "EncodeTLSData TransmitTLSData BlockedHandshake EncodeTLSData TransmitTLSData WriteTraffic ReadTraffic"
	if !strings.HasPrefix(trace, want) {
		t.Errorf("the trace should begin with\n%s\nbut is\n%s", want, trace)
	}
	if !strings.HasSuffix(stderr.String(), "WriteTraffic: close_notify\n") {
		t.Errorf("the trace should end with our close_notify, but is\n%s", &stderr)
	}
}

func TestGetSaysWhatWasAgreedOn(t *testing.T) {
	server := startServe(t, "-dir", t.TempDir())
	for _, test := range []struct {
		flags []string
		says  []string
	}{
		{nil, []string{"version +TLS 1.3", "group +X25519MLKEM768", "ALPN +h2", "handshake +full", "response +HTTP/2.0 200 OK"}},
		{[]string{"-max-version", "1.2"}, []string{"version +TLS 1.2", "ALPN +h2", "response +HTTP/2.0 200 OK"}},
		{[]string{"-alpn", "http/1.1"}, []string{"ALPN +http/1.1", "response +HTTP/1.1 200 OK"}},
		{[]string{"-trace"}, []string{"ALPN +http/1.1", "response +HTTP/1.1 200 OK"}},
		{[]string{"-resume"}, []string{"handshake +full", "ALPN +h2", "handshake +resumed", "response +HTTP/2.0 200 OK"}},
	} {
		_, said := getSays(t, append(test.flags, "-v", "-ca", server.ca, server.url)...)
		for _, line := range test.says {
			if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(said) {
				t.Errorf("get %q -v should print a line like %q, but printed\n%s", test.flags, line, said)
			}
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	writeFile(t, text, []byte("not PEM\n"))
	server := startServe(t, "-dir", dir)
	stranger := startServe(t, "-dir", dir)
	missing := filepath.Join(dir, "missing")
	other := startServe(t, append(credentials(t, "example.com"), "-dir", dir)...)

	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	closed, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()

	for _, test := range []struct {
		code int
		says string
		args []string
	}{
		{1, "certificate signed by unknown authority", []string{"get", server.url}},
		{1, "certificate signed by unknown authority", []string{"get", "-ca", stranger.ca, server.url}},
		{1, "doesn't contain any IP SANs", []string{"get", "-ca", other.ca, other.url}},
		{1, "no application protocol", []string{"get", "-ca", server.ca, "-alpn", "h3", server.url}},
		{1, "NextProtos[1]", []string{"get", "-alpn", "h2,,http/1.1", server.url}},
		{1, "does not look like a TLS handshake", []string{"get", strings.Replace(plain.URL, "http:", "https:", 1)}},
		{1, "refused", []string{"get", "https://" + closed.Addr().String()}},
		{1, "invalid port", []string{"get", "https://localhost:99999/"}},
		{1, "invalid port", []string{"get", "https://localhost:port/"}},
		{1, "is not an https URL", []string{"get", "http://localhost/"}},
		{1, "is not an https URL", []string{"get", "localhost"}},
		{1, "has no host", []string{"get", "https:///file"}},
		{1, "control character", []string{"get", "https://localhost/\x00"}},
		{1, "neither a host name nor an IP address", []string{"get", "https://a..example/"}},
		{1, missing, []string{"get", "-ca", missing, server.url}},
		{1, "no certificate in it", []string{"get", "-ca", text, server.url}},
		{1, missing, []string{"serve", "-addr", "localhost:0", "-dir", missing}},
		{1, text, []string{"serve", "-addr", "localhost:0", "-dir", text}},
		{1, missing, []string{"serve", "-addr", "localhost:0", "-cert", missing, "-key", missing}},
		{1, missing, []string{"serve", "-addr", "localhost:0", "-cert", text, "-key", missing}},
		{1, text, []string{"serve", "-addr", "localhost:0", "-cert", text, "-key", text}},
		{1, "bind:", []string{"serve", "-addr", strings.TrimPrefix(server.url, "https://")}},
		{1, "invalid port", []string{"serve", "-addr", "localhost:99999"}},
		{1, "missing port", []string{"serve", "-addr", "localhost"}},
		{2, "unknown command fetch", []string{"fetch"}},
		{2, "usage: baretls get", []string{"get"}},
		{2, "usage: baretls get", []string{"get", "https://localhost/", "https://localhost/"}},
		{2, "usage: baretls serve", []string{"serve", dir}},
		{2, "usage: baretls demo", []string{"demo", "loud"}},
		{2, "-secure", []string{"get", "-secure", server.url}},
		{2, "-ca", []string{"get", "-ca"}},
		{2, "go together", []string{"serve", "-cert", text}},
		{2, "go together", []string{"serve", "-key", text}},
		{2, "go together", []string{"get", "-cert", text, server.url}},
		{2, "go together", []string{"get", "-key", text, server.url}},
		{1, missing, []string{"get", "-cert", missing, "-key", text, server.url}},
		{1, text, []string{"get", "-cert", text, "-key", text, server.url}},
		{1, "certificate signed by unknown authority", []string{"get", "-early-data", server.url}},
		{1, missing, []string{"serve", "-addr", "localhost:0", "-client-ca", missing}},
		{1, "no certificate in it", []string{"serve", "-addr", "localhost:0", "-client-ca", text}},
		{2, "-early-data", []string{"serve", "-early-data", "-1"}},
		{2, "-early-data", []string{"serve", "-early-data", "some"}},
		{2, "4294967295", []string{"serve", "-early-data", "4294967296"}},
		{2, "more than 0", []string{"serve", "-ticket-key-lifetime", "0"}},
		{2, "more than 0", []string{"serve", "-ticket-key-lifetime", "-1h"}},
		{2, "-ticket-key-lifetime", []string{"serve", "-ticket-key-lifetime", "12"}},
		{2, "1.2 and 1.3", []string{"get", "-min-version", "1.1", server.url}},
		{2, "1.2 and 1.3", []string{"get", "-max-version", "1.4", server.url}},
		{2, "1.2 and 1.3", []string{"get", "-max-version", "", server.url}},
		{2, "1.2 and 1.3", []string{"serve", "-min-version", "TLS1.2"}},
		{2, "1.2 and 1.3", []string{"serve", "-max-version", "0x0304"}},
		{2, "is above -max-version", []string{"get", "-min-version", "1.3", "-max-version", "1.2", server.url}},
		{2, "is above -max-version", []string{"serve", "-min-version", "1.3", "-max-version", "1.2"}},
		{2, "-tls12", []string{"demo", "-tls12=perhaps"}},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), test.args, &stdout, &stderr)
		if code != test.code {
			t.Errorf("baretls %q should exit with %d, but did with %d", test.args, test.code, code)
		}
		said := stderr.String()
		if !strings.HasPrefix(said, "baretls: ") || strings.Count(said, "baretls: ") != 1 || strings.Index(said, "\n") != len(said)-1 {
			t.Errorf("baretls %q should print one line with its name on stderr, but printed %q", test.args, said)
		}
		if !strings.Contains(said, test.says) {
			t.Errorf("baretls %q should speak of %q, but said %q", test.args, test.says, said)
		}
		if stdout.Len() > 0 {
			t.Errorf("baretls %q should print nothing on stdout, but printed %q", test.args, &stdout)
		}
	}
}

func TestHelpIsNoError(t *testing.T) {
	all := expect(t, 0, "help")
	for _, cmd := range commands() {
		if !strings.Contains(all, "\nbaretls "+cmd.name) || !strings.Contains(expect(t, 0, cmd.name, "-h"), "usage: baretls "+cmd.name) {
			t.Errorf("both helps should tell how to use %s", cmd.name)
		}
	}
	if flags := expect(t, 0, "get", "-h"); !strings.Contains(flags, "-insecure") {
		t.Errorf("get -h should tell of the flags, but printed %q", flags)
	}
	if says := fmt.Sprintf("rejected in the first %.0f seconds", baretls.ReplayWindow.Seconds()); !strings.Contains(expect(t, 0, "serve", "-h"), says) {
		t.Errorf("serve -h should tell that 0-RTT data is %s", says)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), nil, &stdout, &stderr); code != 2 || stderr.String() != all {
		t.Errorf("without arguments baretls should print its usage on stderr and exit with 2, but exited with %d after %q", code, &stderr)
	}
}

func TestFiftyGetsAtOnce(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("many at once\n", 10_000)
	writeFile(t, filepath.Join(dir, "file"), []byte(content))
	server := startServe(t, "-dir", dir)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), []string{"get", "-ca", server.ca, server.url + "/file"}, &stdout, &stderr)
			if code != 0 || stdout.String() != content {
				t.Errorf("each of many should get the file, but one exited with %d after %d bytes: %s", code, stdout.Len(), &stderr)
			}
		})
	}
	all.Wait()
}

func TestStandardClientsAgainstServe(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "public")
	big := strings.Repeat("0123456789abcdef", 200_000)
	writeFile(t, filepath.Join(parent, "secret"), []byte("secret"))
	writeFile(t, filepath.Join(dir, "hello.txt"), []byte("hello\n"))
	writeFile(t, filepath.Join(dir, "big.bin"), []byte(big))
	if err := os.Symlink(filepath.Join("..", "secret"), filepath.Join(dir, "link")); err != nil {
		t.Logf("/link will be missing, for this system makes no symbolic link: %v", err)
	}
	server := startServe(t, "-dir", dir)
	config := &tls.Config{RootCAs: server.roots(t), NextProtos: []string{"http/1.1"}}
	do := func(client *http.Client, method, path, body string) (*http.Response, string, bool) {
		t.Helper()
		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		})
		req, err := http.NewRequestWithContext(ctx, method, server.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %s should get a response, but failed: %v", method, path, err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("%s %s should get a whole body, but it failed after %d bytes: %v", method, path, len(got), err)
		}
		return response, string(got), reused
	}

	tests := []struct {
		method, path, send string
		status             int
		body               string
	}{
		{"GET", "/hello.txt", "", 200, "hello\n"},
		{"GET", "/big.bin", "", 200, big},
		{"HEAD", "/hello.txt", "", 200, ""},
		{"GET", "/missing", "", 404, "404 page not found\n"},
		{"POST", "/hello.txt", "data", 405, "only GET and HEAD\n"},
		{"DELETE", "/hello.txt", "", 405, "only GET and HEAD\n"},
		{"GET", "/hello.txt", "", 200, "hello\n"},
	}
	for proto, transport := range map[string]*http.Transport{
		"HTTP/1.1": {TLSClientConfig: config},
		"HTTP/2.0": {TLSClientConfig: &tls.Config{RootCAs: server.roots(t)}, ForceAttemptHTTP2: true},
	} {
		client := &http.Client{Transport: transport}
		defer client.CloseIdleConnections()
		for i, test := range tests {
			response, body, reused := do(client, test.method, test.path, test.send)
			if response.StatusCode != test.status || body != test.body {
				t.Errorf("%s %s should be answered by %d and %.40q, but was by %d and %.40q",
					test.method, test.path, test.status, test.body, response.StatusCode, body)
			}
			if i > 0 && !reused {
				t.Errorf("%s %s should have come over the same connection as the one before", test.method, test.path)
			}
			if response.Proto != proto {
				t.Errorf("%s %s should be answered over %s, but was over %s", test.method, test.path, proto, response.Proto)
			}
			if test.method == "HEAD" && response.ContentLength != 6 {
				t.Errorf("HEAD should tell the length of the file, 6, but told %d", response.ContentLength)
			}
		}
	}

	for _, path := range []string{"/../secret", "/link", "/%2e%2e/secret", "/..%2fsecret", "/./../secret", "//../secret", `/..\secret`} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(server.url, "https://"), config)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path)
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Errorf("GET %s should be answered and closed in order, but: %v", path, err)
		}
		if strings.Contains(string(answer), "secret\r\n") || strings.HasSuffix(string(answer), "secret") || strings.Contains(string(answer), " 200 ") {
			t.Errorf("GET %s leads out of the directory, but was answered by %q", path, answer)
		}
		conn.Close()
	}
}

func TestServeTakesACertificate(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "hello.txt"), []byte("hello\n"))
	server := startServe(t, append(credentials(t, "localhost", "127.0.0.1"), "-dir", dir)...)
	if said := server.stderr.text(); said != "" {
		t.Errorf("serve -cert needs no throwaway CA and has nothing to say, but said %q", said)
	}
	if body := expect(t, 0, "get", "-ca", server.ca, server.url+"/hello.txt"); body != "hello\n" {
		t.Errorf("get should trust the certificate given to serve, but printed %q", body)
	}
}

func TestServeSaysWhoFailed(t *testing.T) {
	server := startServe(t, "-dir", t.TempDir())
	expectError(t, "unknown authority", "get", server.url)
	server.says(t, handshakeError+`the peer sent an alert: .*unknown certificate authority`)
}

func TestServeStopsInOrder(t *testing.T) {
	server := startServe(t, "-dir", t.TempDir())
	expect(t, 0, "get", "-ca", server.ca, server.url)
	if code := server.stop(); code != 0 {
		t.Errorf("an interrupted serve should exit with 0, but did with %d", code)
	}
	if _, err := os.Stat(server.ca); !os.IsNotExist(err) {
		t.Errorf("serve should remove its throwaway CA, but %s is still there (%v)", server.ca, err)
	}
}

func TestGetFromStandardServers(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 100_000)
	mux := http.NewServeMux()
	mux.HandleFunc("/length", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		io.WriteString(w, big)
	})
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		for part := range strings.SplitAfterSeq(big, "f0") {
			io.WriteString(w, part)
		}
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "after hints")
	})
	mux.HandleFunc("/error", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "sorry", http.StatusInternalServerError)
	})
	mux.HandleFunc("/request", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL, r.UserAgent(), r.TLS.NegotiatedProtocol)
	})
	// What follows ends without a length, by a close_notify or without one.
	hijack := func(w http.ResponseWriter, clean bool) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nup to the end")
		if clean {
			conn.Close()
		} else {
			conn.(*tls.Conn).NetConn().Close()
		}
	}
	mux.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) { hijack(w, true) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) { hijack(w, false) })
	mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "short")
	})
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})
	server := startTLS(t, mux, func(*tls.Config) {})

	for _, test := range []struct{ path, body string }{
		{"/length", big},
		{"/chunks", big},
		{"/hints", "after hints"},
		{"/error", "sorry\n"},
		{"/request?q=1", "GET /request?q=1 baretls http/1.1"},
		{"/end", "up to the end"},
	} {
		if body := expect(t, 0, "get", "-ca", server.ca, server.url+test.path); body != test.body {
			t.Errorf("get %s should print %d bytes, %.40q, but printed %d, %.40q",
				test.path, len(test.body), test.body, len(body), body)
		}
	}
	for _, test := range []struct{ path, says string }{
		{"/cut", "without a close_notify"},
		{"/short", "unexpected EOF"},
		{"/nothing", "closed without a response"},
	} {
		expectError(t, test.says, "get", "-ca", server.ca, server.url+test.path)
	}

	h2 := startTLS(t, mux, func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} })
	for _, test := range []struct{ path, body string }{
		{"/length", big},
		{"/chunks", big},
		{"/hints", "after hints"},
		{"/error", "sorry\n"},
		{"/request?q=1", "GET /request?q=1 baretls h2"},
	} {
		if body := expect(t, 0, "get", "-ca", h2.ca, h2.url+test.path); body != test.body {
			t.Errorf("get %s over HTTP/2 should print %d bytes, %.40q, but printed %d, %.40q",
				test.path, len(test.body), test.body, len(body), body)
		}
	}
	for _, test := range []struct{ alpn, body string }{
		{"http/1.1,h2", "GET /request baretls h2"}, // the server prefers it
		{"http/1.1", "GET /request baretls http/1.1"},
		{"", "GET /request baretls "},
	} {
		if body := expect(t, 0, "get", "-alpn", test.alpn, "-ca", h2.ca, h2.url+"/request"); body != test.body {
			t.Errorf("get -alpn %q should print %q, but printed %q", test.alpn, test.body, body)
		}
	}
}

func TestGetIsInterrupted(t *testing.T) {
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		socket, err := listener.Accept()
		if err != nil {
			return
		}
		defer socket.Close()
		bufio.NewReader(socket).Peek(1) // the ClientHello, and no answer
		interrupt()
		io.Copy(io.Discard, socket)
	}()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"get", "https://" + listener.Addr().String()}, &stdout, &stderr)
	if code != 1 || stderr.String() != "baretls: interrupted\n" {
		t.Errorf("an interrupted get should say so and exit with 1, but exited with %d after %q", code, &stderr)
	}
}

// expect runs baretls and returns its stdout.
func expect(t *testing.T, code int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if got := run(t.Context(), args, &stdout, &stderr); got != code || stderr.Len() > 0 {
		t.Errorf("baretls %q should exit with %d in silence, but did with %d after %q", args, code, got, &stderr)
	}
	return stdout.String()
}

// expectError runs baretls, which should fail and say why.
func expectError(t *testing.T, says string, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, &stdout, &stderr)
	if code != 1 || strings.Count(stderr.String(), "\n") != 1 || !strings.Contains(stderr.String(), says) {
		t.Errorf("baretls %q should exit with 1 and one line about %q, but did with %d after %q", args, says, code, &stderr)
	}
}

// handshakeError is how a line of serve begins whose handshake with a client
// has failed.
const handshakeError = `baretls: http: TLS handshake error from \S+: baretls: `

// running is a server: baretls serve, or one with crypto/tls.
type running struct {
	url, ca string
	stop    func() (code int) // once or more
	stderr  *lines
}

// startServe runs baretls serve until the test ends.
func startServe(t *testing.T, args ...string) *running {
	t.Helper()
	return startCommand(t, args, func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		return run(ctx, append([]string{"serve"}, args...), stdout, stderr)
	})
}

func startCommand(t *testing.T, args []string, serve func(ctx context.Context, args []string, stdout, stderr io.Writer) int) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stdout, stderr := newLines(), newLines()
	exited := make(chan int, 1)
	go func() {
		code := serve(ctx, append([]string{"-addr", "localhost:0"}, args...), stdout, stderr)
		stdout.end()
		stderr.end()
		exited <- code
	}()
	s := &running{stderr: stderr}
	s.stop = sync.OnceValue(func() int { cancel(); return <-exited })
	t.Cleanup(func() { s.stop() })

	address, ok := stdout.find(regexp.MustCompile(`(?m)^listening on (\S+)$`))
	if !ok {
		t.Fatalf("serve should say where it listens, but exited with %d after %q", s.stop(), stderr.text())
	}
	s.url = "https://" + address
	if made, ok := stderr.seen(regexp.MustCompile(`(?m)^baretls: throwaway CA: (.+)$`)); ok {
		s.ca = made
	} else if i := slices.Index(args, "-cert"); i >= 0 {
		s.ca = args[i+1]
	}
	return s
}

func (s *running) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	roots, err := loadRoots(s.ca)
	if err != nil {
		t.Fatal(err)
	}
	return roots
}

// says waits for a line on stderr.
func (s *running) says(t *testing.T, line string) {
	t.Helper()
	if _, ok := s.stderr.find(regexp.MustCompile("(?m)^(" + line + ")$")); !ok {
		t.Errorf("the server should say %q on stderr, but said %q", line, s.stderr.text())
	}
}

// startTLS runs a server of the standard library until the test ends.
func startTLS(t *testing.T, handler http.Handler, change func(*tls.Config)) *running {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failures are what we test
	server.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	change(server.TLS)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, ca, "CERTIFICATE", server.Certificate().Raw)
	return &running{url: server.URL, ca: ca}
}

// credentials makes a certificate that is its own CA, and the flags for it.
func credentials(t *testing.T, names ...string) (flags []string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, err := sign(template, nil, key, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(t, certFile, "CERTIFICATE", cert.Raw)
	writePEM(t, keyFile, "PRIVATE KEY", keyDER)
	return []string{"-cert", certFile, "-key", keyFile}
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	writeFile(t, name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// lines is an output that a test can wait for.
type lines struct {
	mu      sync.Mutex
	written bytes.Buffer
	ended   bool
	changed chan struct{} // closed by the next change
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.change()
	return l.written.Write(p)
}

func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.change()
}

func (l *lines) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written.String()
}

// seen returns the first group of what matches so far.
func (l *lines) seen(pattern *regexp.Regexp) (string, bool) {
	if match := pattern.FindStringSubmatch(l.text()); match != nil {
		return match[1], true
	}
	return "", false
}

// find waits until something matches. It gives up at the output's end, or when
// nothing has come for long.
func (l *lines) find(pattern *regexp.Regexp) (string, bool) {
	for {
		l.mu.Lock()
		changed, ended := l.changed, l.ended
		l.mu.Unlock()
		if found, ok := l.seen(pattern); ok || ended {
			return found, ok
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			return "", false
		}
	}
}
