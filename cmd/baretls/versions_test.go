package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TLS 1.2 and the bounds of the version from the command line.

// versionCases are the flags of one side, the bounds of the other, and what
// both agree on; 0 is nothing.
var versionCases = []struct {
	flags    []string
	min, max uint16 // of crypto/tls; 0 is its own bound
	agreed   uint16
}{
	{nil, 0, 0, tls.VersionTLS13},
	{nil, 0, tls.VersionTLS12, tls.VersionTLS12},
	{nil, tls.VersionTLS13, 0, tls.VersionTLS13},
	{[]string{"-min-version", "1.2"}, 0, 0, tls.VersionTLS13},
	{[]string{"-max-version", "1.3"}, 0, tls.VersionTLS12, tls.VersionTLS12},
	{[]string{"-max-version", "1.2"}, 0, 0, tls.VersionTLS12},
	{[]string{"-min-version", "1.2", "-max-version", "1.2"}, 0, 0, tls.VersionTLS12},
	{[]string{"-max-version", "1.2"}, tls.VersionTLS13, 0, 0},
	{[]string{"-min-version", "1.3"}, 0, 0, tls.VersionTLS13},
	{[]string{"-min-version", "1.3", "-max-version", "1.3"}, 0, 0, tls.VersionTLS13},
	{[]string{"-min-version", "1.3"}, 0, tls.VersionTLS12, 0},
}

func TestGetAgreesOnAVersion(t *testing.T) {
	for _, test := range versionCases {
		server := startTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, tls.VersionName(r.TLS.Version))
		}), func(c *tls.Config) { c.MinVersion, c.MaxVersion = test.min, test.max })
		args := append(append([]string{"get", "-ca", server.ca}, test.flags...), server.url)
		if test.agreed == 0 {
			expectError(t, "protocol version not supported", args...)
		} else if got := expect(t, 0, args...); got != tls.VersionName(test.agreed) {
			t.Errorf("get %q and a server with the bounds %#x and %#x should agree on %s, but do on %q",
				test.flags, test.min, test.max, tls.VersionName(test.agreed), got)
		}
	}
}

func TestServeAgreesOnAVersion(t *testing.T) {
	for _, test := range versionCases {
		server := startServe(t, append([]string{"-dir", hello(t)}, test.flags...)...)
		config := &tls.Config{RootCAs: server.roots(t), MinVersion: test.min, MaxVersion: test.max}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		name := fmt.Sprintf("serve %q and a client with the bounds %#x and %#x", test.flags, test.min, test.max)
		response, err := client.Get(server.url + "/hello.txt")
		if test.agreed == 0 {
			if err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
				t.Errorf("%s should have no version in common and the client be told so, but: %v", name, err)
			}
			server.says(t, handshakeError+`no protocol version in common.*`)
			continue
		}
		if err != nil {
			t.Errorf("%s should agree on %s, but: %v", name, tls.VersionName(test.agreed), err)
			continue
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if got := response.TLS.Version; got != test.agreed || string(body) != "hello\n" || err != nil {
			t.Errorf("%s should agree on %s, but do on %s, for %q: %v",
				name, tls.VersionName(test.agreed), tls.VersionName(got), body, err)
		}
	}
}

func TestGetFromServeOverTLS12(t *testing.T) {
	dir := hello(t)
	big := strings.Repeat("0123456789abcdef", 200_000)
	writeFile(t, filepath.Join(dir, "big.bin"), []byte(big))
	client := credentials(t, "client.example")
	for _, test := range []struct {
		whose              string
		ofServer, ofClient []string
	}{
		{"the server's", []string{"-max-version", "1.2"}, nil},
		{"the client's", nil, []string{"-max-version", "1.2"}},
		{"the client's, with a certificate,", []string{"-client-ca", client[1]}, append([]string{"-max-version", "1.2"}, client...)},
	} {
		server := startServe(t, append([]string{"-dir", dir}, test.ofServer...)...)
		get := func(args ...string) (stdout, stderr string) {
			return getSays(t, append(append([]string{"-ca", server.ca}, test.ofClient...), args...)...)
		}
		if body, _ := get(server.url + "/big.bin"); body != big {
			t.Errorf("by %s wish for TLS 1.2 a body of %d bytes should come, but %d did", test.whose, len(big), len(body))
		}
		const resumed = "baretls: second connection: resumed\n"
		if body, said := get("-resume", server.url+"/hello.txt"); body != "hello\n" || said != resumed {
			t.Errorf("by %s wish for TLS 1.2 get -resume should print the body and say %q, but printed %q and said %q",
				test.whose, resumed, body, said)
		}
		const notEarly = resumed + "baretls: early data not offered\n"
		if body, said := get("-early-data", server.url+"/hello.txt"); body != "hello\n" || said != notEarly {
			t.Errorf("by %s wish for TLS 1.2 get -early-data should print the body and say %q, but printed %q and said %q",
				test.whose, notEarly, body, said)
		}
	}
	strict := startServe(t, "-dir", dir, "-client-ca", client[1])
	expectError(t, "handshake failure", "get", "-max-version", "1.2", "-ca", strict.ca, strict.url)
}

// In TLS 1.2 a client has a whole flight to wait for before it may ask.
func TestTracesShowTLS12(t *testing.T) {
	server := startServe(t, "-dir", hello(t))
	_, trace := getSays(t, "-trace", "-max-version", "1.2", "-ca", server.ca, server.url+"/hello.txt")
	var states []string
	for line := range strings.Lines(trace) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		if len(states) == 0 || states[len(states)-1] != name {
			states = append(states, name)
		}
	}
	const want = "EncodeTLSData TransmitTLSData BlockedHandshake EncodeTLSData TransmitTLSData BlockedHandshake WriteTraffic ReadTraffic"
	if got := strings.Join(states, " "); !strings.HasPrefix(got, want) {
		t.Errorf("the trace should begin with\n%s\nbut is\n%s", want, got)
	}
}

func TestDemoShowsTLS12(t *testing.T) {
	out := expect(t, 0, "demo", "-tls12")
	for _, line := range []string{
		`CLIENT +SERVER`,
		`A full handshake`,
		`group +X25519`,
		`handshake +full`,
		`A resumption with a ticket of that connection`,
		`group +none: TLS 1\.2 resumes without a key exchange`,
		`handshake +resumed`,
		regexp.QuoteMeta(demoNoEarlyData),
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(out) {
			t.Errorf("demo -tls12 should print a line like %q, but printed\n%s", line, out)
		}
	}
	for _, line := range []string{
		`version +TLS 1\.2`,
		`suite +TLS_ECDHE_ECDSA_WITH_.+`,
		`signature +ECDSAWithP256AndSHA256`,
		`HTTP/1\.1 200 OK`,
		regexp.QuoteMeta(strings.TrimSpace(demoPage)),
	} {
		if n := len(regexp.MustCompile(`(?m)^`+line+`$`).FindAllString(out, -1)); n != 2 {
			t.Errorf("demo -tls12 should print a line like %q for each of two connections, but printed %d:\n%s", line, n, out)
		}
	}
	if strings.Contains(out, "version      TLS 1.3") || strings.Contains(out, "EarlyData:") {
		t.Errorf("demo -tls12 should show neither TLS 1.3 nor its 0-RTT data, but printed\n%s", out)
	}
	sent := regexp.MustCompile(`(?m)^server .* (\d+) bytes sent`).FindAllStringSubmatch(out, -1)
	if len(sent) != 2 {
		t.Fatalf("demo -tls12 should count the bytes of two servers, but counts %q", sent)
	}
	full, _ := strconv.Atoi(sent[0][1])
	resumed, _ := strconv.Atoi(sent[1][1])
	if resumed == 0 || resumed >= full {
		t.Errorf("a server should send less in a resumption, without certificates, but sends %d bytes instead of %d", resumed, full)
	}
}
