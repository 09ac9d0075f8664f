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

// webServer is a program that serves pages: what it knows about a connection at
// /, and a page of a mebibyte at /page if it has files.
type webServer struct {
	program string
	files   bool
	// configure writes the files into dir that the program is started with.
	configure func(dir, addr string, site site) (args []string)
	started   string // what it says when it listens, or, in the same group, when it cannot
}

// A site is what a test wants of a webServer.
type site struct {
	certs      []*identity
	byID       bool // no tickets: it keeps its sessions
	clientAuth bool // it requires a certificate
	http2      bool // it has HTTP/2
}

var webServers = []webServer{
	{
		program:   "nginx",
		files:     true,
		configure: configureNginx,
		started:   `\] \d+#\d+: (OS|bind\(\) to .* failed)`,
	},
	{
		program:   "haproxy",
		configure: configureHAProxy,
		started:   `(Loading success|annot bind)`,
	},
}

func configureNginx(dir, addr string, site site) []string {
	var more strings.Builder
	for _, id := range site.certs {
		fmt.Fprintf(&more, "ssl_certificate %q; ssl_certificate_key %q;\n", id.certFile, id.keyFile)
	}
	if site.byID {
		more.WriteString("ssl_session_tickets off; ssl_session_cache shared:sessions:1m;\n")
	}
	if site.clientAuth {
		fmt.Fprintf(&more, "ssl_verify_client on; ssl_client_certificate %q;\n", makeWorld().ca.file)
	}
	protocol := "ssl"
	if site.http2 {
		protocol = "ssl http2"
	}
	must(0, os.WriteFile(filepath.Join(dir, "page"), payload(mebibyte), 0o644))
	return []string{"-p", dir, "-e", "stderr", "-c", writeConfig(dir, `
daemon off; master_process off; pid nginx.pid; error_log stderr notice;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	server {
		listen `+addr+` `+protocol+`;
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_ecdh_curve X25519:P-256:P-384:P-521;
		`+more.String()+`
		root .;
		location = /page { }
		location = / { return 200 "$ssl_protocol,$ssl_cipher,$ssl_session_reused,$ssl_client_s_dn\n"; }
	}
}
`)}
}

func configureHAProxy(dir, addr string, site site) []string {
	// It takes all the certificates of a directory, each with its key.
	certs := filepath.Join(dir, "certs")
	must(0, os.Mkdir(certs, 0o700))
	for _, id := range site.certs {
		both := append(must(os.ReadFile(id.certFile)), must(os.ReadFile(id.keyFile))...)
		must(0, os.WriteFile(filepath.Join(certs, id.name+".pem"), both, 0o600))
	}
	more := ""
	if site.http2 {
		more += " alpn h2,http/1.1"
	}
	if site.byID {
		more += " no-tls-tickets"
	}
	if site.clientAuth {
		more += ` verify required ca-file "` + makeWorld().ca.file + `"`
	}
	return []string{"-W", "-f", writeConfig(dir, `
global
	tune.ssl.cachesize 100
defaults
	mode http
	timeout client 30s
frontend site
	bind `+addr+` ssl crt "`+certs+`" ssl-min-ver TLSv1.2 curves X25519:P-256:P-384:P-521`+more+`
	http-request return status 200 content-type text/plain lf-string "%[ssl_fc_protocol],%[ssl_fc_cipher],%[ssl_fc_is_resumed],%{+Q}[ssl_c_s_dn]\n"
`)}
}

func writeConfig(dir, text string) (file string) {
	file = filepath.Join(dir, "config")
	must(0, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// serve starts the server on a port that was free just now, and on another if
// it is not any more.
func (w webServer) serve(t *testing.T, site site) (addr string) {
	t.Helper()
	for range 5 {
		l := listen(t)
		addr = l.Addr().String()
		l.Close()
		p := start(t, w.program, w.configure(t.TempDir(), addr, site)...)
		if m := p.stderr.expect(t, w.started); !strings.Contains(m[1], "bind") {
			return addr
		}
		p.stop()
	}
	t.Fatalf("%s finds no port", w.program)
	return ""
}

// get lets our client get a page, behind which the server closes first.
func get(t *testing.T, config *baretls.ClientConfig, addr, path string) (e *endpoint, body string) {
	t.Helper()
	e = newClient(t, config, serverName, addr)
	if err := e.handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	if err := e.write([]byte("GET " + path + " HTTP/1.1\r\nHost: " + net.JoinHostPort(serverName, "443") + "\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	rest, err := e.takeRest()
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(rest), err)
	}
	head, body, _ := strings.Cut(string(rest), "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") {
		t.Fatalf("the answer is %.200q", rest)
	}
	e.wire.Close()
	return e, body
}

// getFacts gets the page that says what the server knows: version, suite,
// whether the session was resumed, and the name in the client's certificate.
func getFacts(t *testing.T, config *baretls.ClientConfig, addr string) (e *endpoint, facts []string) {
	t.Helper()
	e, body := get(t, config, addr, "/")
	facts = strings.SplitN(strings.TrimSuffix(body, "\n"), ",", 4)
	if len(facts) != 4 {
		t.Fatalf("the page is %q", body)
	}
	return e, facts
}

// opensslName is how the programs name what was negotiated.
func opensslName(version uint16) string { return "TLSv" + tls.VersionName(version)[4:] }

// Our client gets pages from web servers in both versions and, in TLS 1.2, with
// every suite and group, from one that has certificates of two types.
func TestTLS12WebServers(t *testing.T) {
	w := makeWorld()
	for _, server := range webServers {
		t.Run(server.program, func(t *testing.T) {
			t.Parallel()
			addr := server.serve(t, site{certs: []*identity{w.identity("ECDSA-P256"), w.identity("RSA")}})
			for name, want := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13, "default": tls.VersionTLS13} {
				limits := versionRanges[name]
				s := plain().within(limits[0], limits[1])
				e, facts := getFacts(t, s.client(), addr)
				if got := e.conn.ProtocolVersion(); got != want || facts[0] != opensslName(want) {
					t.Errorf("versions %s lead to %s, and the server says %s; want %s", name, tls.VersionName(got), facts[0], tls.VersionName(want))
				}
				if server.files {
					_, page := get(t, s.client(), addr, "/page")
					expectBytes(t, "the page", []byte(page), payload(mebibyte))
				}
			}
			for i, a := range aeads {
				for _, id := range []*identity{w.identity("ECDSA-P256"), w.identity("RSA")} {
					for g, group := range classical {
						if id.name != "RSA" && g != i%2 { // haproxy prefers its own order
							continue
						}
						s := plain12()
						s.cert = id
						s = s.withGroup(group).also(func(c *baretls.ClientConfig) { c.CipherSuites = []uint16{a.suite(id)} }, nil, nil)
						e, facts := getFacts(t, s.client(), addr)
						expectSuite(t, e, a.suite(id))
						if got := e.conn.NegotiatedKeyExchangeGroup(); got != group {
							t.Errorf("group is %v, want %v", got, group)
						}
						if facts[1] != a.cipher(id) {
							t.Errorf("the server says %s, want %s", facts[1], a.cipher(id))
						}
					}
				}
			}
		})
	}
}

// Our client resumes with web servers in both versions, by tickets and by
// sessions that they keep, and they know its certificate again.
func TestTLS12ResumptionWithWebServers(t *testing.T) {
	w := makeWorld()
	id := w.clients[0]
	for _, server := range webServers {
		for _, byID := range []bool{false, true} {
			for _, clientAuth := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/by ID %v/certificate %v", server.program, byID, clientAuth), func(t *testing.T) {
					t.Parallel()
					addr := server.serve(t, site{certs: []*identity{w.byKey[0]}, byID: byID, clientAuth: clientAuth})
					for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
						s := plain().within(tls.VersionTLS12, version)
						if clientAuth {
							s = s.also(func(c *baretls.ClientConfig) { c.Certificates = []tls.Certificate{id.cert} }, nil, nil)
						}
						config := s.client()
						for i := range 3 {
							e, facts := getFacts(t, config, addr)
							firstFull(t)(i, e)
							resumed := map[string]bool{"r": true, "1": true, ".": false, "0": false}
							if said, known := resumed[facts[2]]; !known || said != (i > 0) {
								t.Errorf("%s, connection %d: the server says %q about resumption", facts[0], i, facts[2])
							}
							if facts[0] != opensslName(version) {
								t.Errorf("the server says %s, want %s", facts[0], opensslName(version))
							}
							if clientAuth && !strings.Contains(facts[3], clientPrefix+id.name) {
								t.Errorf("%s, connection %d: the server says that the client is %q, want %s", facts[0], i, facts[3], id.name)
							}
						}
					}
				})
			}
		}
	}
}
