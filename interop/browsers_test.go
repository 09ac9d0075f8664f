//go:build unix

package interop

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
	"github.com/baretls/baretls/netconn/nethttp"
)

// browser is a program that loads pages, without a window.
type browser struct {
	program string
	// database is where it has its certificates, below its home.
	database string
	// arguments are those to load url, after it has written what it needs.
	arguments func(home, url string) []string
}

var browsers = []browser{
	{"chromium", ".pki/nssdb", chromiumArguments},
	{"firefox-esr", "profile", firefoxArguments},
}

// nowhere is the proxy for all but localhost: browsers like to call home, and
// these tests stay on the machine.
const nowhere = "127.0.0.1:9"

func chromiumArguments(home, url string) []string {
	args := []string{"--headless", "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--proxy-server=" + nowhere, "--user-data-dir=" + filepath.Join(home, "data")}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // root has none
	}
	return append(args, url)
}

func firefoxArguments(home, url string) []string {
	profile := filepath.Join(home, "profile")
	host, port, _ := net.SplitHostPort(nowhere)
	must(0, os.WriteFile(filepath.Join(profile, "user.js"), fmt.Appendf(nil, `
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", %[1]q);
user_pref("network.proxy.http_port", %[2]s);
user_pref("network.proxy.ssl", %[1]q);
user_pref("network.proxy.ssl_port", %[2]s);
user_pref("network.proxy.failover_direct", false);
user_pref("network.trr.mode", 5);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.server", "");
`, host, port), 0o600))
	return []string{"--headless", "--no-remote", "--profile", profile, url}
}

// start lets the browser load url. It has a home of its own, where the
// authority is the only one that a user has added, unless it is nil.
func (b browser) start(t *testing.T, trusted *authority, url string) {
	t.Helper()
	home := t.TempDir()
	database := filepath.Join(home, b.database)
	must(0, os.MkdirAll(database, 0o700))
	look(t, b.program) // or be skipped before there is any work
	start(t, "certutil", "-N", "-d", "sql:"+database, "--empty-password").expectSuccess()
	if trusted != nil {
		start(t, "certutil", "-A", "-d", "sql:"+database, "-n", "interop", "-t", "C,,", "-i", trusted.file).expectSuccess()
	}
	startWith(t, browserPatience, func(cmd *exec.Cmd) {
		cmd.Dir = home
		cmd.Env = append(cmd.Env, "HOME="+home, "MOZ_CRASHREPORTER_DISABLE=1")
		// A browser is many processes, and has nothing to save.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	}, b.program, b.arguments(home, url)...)
}

// browserPatience is for a browser's start and all that it loads.
const browserPatience = 2 * patience

// Browsers that trust our authority load a page with scripts and images over
// HTTP/2, send everything back, and come again with a session of the first visit.
func TestBrowsers(t *testing.T) {
	w := makeWorld()
	for _, row := range []struct {
		name    string
		cert    *identity
		change  func(*baretls.ServerConfig)
		version uint16
		group   tls.CurveID
		retried bool
	}{
		{"TLS 1.3", w.byKey[0], func(*baretls.ServerConfig) {}, tls.VersionTLS13, tls.X25519MLKEM768, false},
		{"HelloRetryRequest", w.byKey[0], func(c *baretls.ServerConfig) { c.Groups = []tls.CurveID{tls.CurveP384} }, tls.VersionTLS13, tls.CurveP384, true},
		{"TLS 1.2", w.identity("RSA"), func(c *baretls.ServerConfig) { c.MaxVersion = tls.VersionTLS12 }, tls.VersionTLS12, tls.X25519, false},
	} {
		for _, b := range browsers {
			t.Run(b.program+"/"+row.name, func(t *testing.T) {
				config := &baretls.ServerConfig{Certificates: []tls.Certificate{row.cert.cert}, NextProtos: nethttp.Protocols()}
				row.change(config)
				g := openGallery(t, config)
				b.start(t, w.ca, g.url)
				for i, name := range visitNames {
					state := g.await(t, name)
					group := row.group
					if i > 0 && row.version == tls.VersionTLS12 {
						group = 0 // there is no key exchange then
					}
					if state.Version != row.version || state.CurveID != group || state.HelloRetryRequest != row.retried {
						t.Errorf("the %s visit is over %s with %v and %t for a HelloRetryRequest; want %s, %v and %t", name,
							tls.VersionName(state.Version), state.CurveID, state.HelloRetryRequest,
							tls.VersionName(row.version), group, row.retried)
					}
					if state.NegotiatedProtocol != "h2" || state.ServerName != serverName || !state.HandshakeComplete {
						t.Errorf("the %s visit is %q to %q, handshake complete: %t", name,
							state.NegotiatedProtocol, state.ServerName, state.HandshakeComplete)
					}
					if state.DidResume != (i > 0) {
						t.Errorf("the %s visit has resumed a session: %t", name, state.DidResume)
					}
				}
			})
		}
	}
}

// A browser that does not know our authority tells us so, and sends nothing
// else: what the other test sees was verified.
func TestBrowsersRefuse(t *testing.T) {
	for _, b := range browsers {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(b.program+"/"+tls.VersionName(version), func(t *testing.T) {
				url, ends := serveNothing(t, plain().within(version, version).server())
				b.start(t, nil, url)
				alert := awaitAlert(t, ends)
				if alert != alertUnknownCA && alert != alertCertificateUnknown {
					t.Errorf("the browser refuses with the alert %q", alert)
				}
			})
		}
	}
}

const (
	alertCertificateUnknown = tls.AlertError(46)
	alertUnknownCA          = tls.AlertError(48)
)

// serveNothing starts a server that tells how the first Read of its connections
// ends: with nil if something was sent.
func serveNothing(t *testing.T, config *baretls.ServerConfig) (url string, ends <-chan error) {
	l := must(netconn.NewListener(listen(t), config))
	results := make(chan error, 100)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(browserPatience))
				_, err := conn.Read(make([]byte, 1))
				results <- err
			})
		}
	})
	t.Cleanup(func() { // the browser is gone by then, and its connections with it
		l.Close()
		serving.Wait()
	})
	return urlOf(l), results
}

// awaitAlert waits for a connection that the browser ends with an alert. Those
// that it leaves without a word, as Chromium does while it starts, do not count.
// In TLS 1.2, Firefox finishes the handshake before it judges the certificate.
func awaitAlert(t *testing.T, ends <-chan error) tls.AlertError {
	t.Helper()
	late := time.After(browserPatience)
	for {
		select {
		case err := <-ends:
			var failure *baretls.Error
			switch {
			case err == nil:
				t.Fatal("the browser sent data")
			case errors.As(err, &failure) && failure.Received():
				alert, _ := failure.Alert()
				return alert
			}
			t.Logf("a connection has ended: %v", err)
		case <-late:
			t.Fatal("the browser sends no alert")
		}
	}
}

func urlOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "https://" + net.JoinHostPort(serverName, port) + "/"
}

// gallery is a server of ours with a page, and its notes on who loads it.
type gallery struct {
	url    string
	visits map[string]*visit
}

// visitNames are of the two that a browser pays, each by a connection of its own.
var visitNames = []string{"first", "second"}

// visit is all the requests for a page and its parts.
type visit struct {
	reports chan []byte // what the page's script says at the end

	mutex sync.Mutex
	conns map[*netconn.Conn]tls.ConnectionState
	odd   []string          // what should not have been asked for, or not like that
	asked map[string]int    // how often, by name of the part
	back  map[string][]byte // what the browser says it was sent, likewise
}

// report is what the script of the page has seen.
type report struct {
	Scripts []string          // that have run
	Images  map[string]string // and how large they are
	Errors  []string
}

// openGallery starts the server. It ends with the test.
func openGallery(t *testing.T, config *baretls.ServerConfig) *gallery {
	l := listen(t)
	g := &gallery{urlOf(l) + visitNames[0] + "/", make(map[string]*visit)}
	for _, name := range visitNames {
		g.visits[name] = &visit{
			reports: make(chan []byte, 2),
			conns:   make(map[*netconn.Conn]tls.ConnectionState),
			asked:   make(map[string]int),
			back:    make(map[string][]byte),
		}
	}
	server := &http.Server{Handler: g, ErrorLog: log.New(t.Output(), "", 0)}
	ended := make(chan error)
	go func() { ended <- nethttp.Serve(server, l, config) }()
	t.Cleanup(func() { // the browser is gone by then, and its connections with it
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("the server has not shut down: %v", err)
		}
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("the server has ended with %v", err)
		}
	})
	return g
}

func (g *gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dir, name := path.Split(r.URL.Path)
	if v := g.visits[strings.Trim(dir, "/")]; v != nil {
		v.answer(w, r, name)
	} else {
		http.NotFound(w, r)
	}
}

// answer gives out the page and its parts, and takes back what a POST brings.
func (v *visit) answer(w http.ResponseWriter, r *http.Request, name string) {
	part, known := parts()[name]
	asked := r.Method == http.MethodGet && known
	told := r.Method == http.MethodPost && name == "report"
	body, err := io.ReadAll(r.Body)
	switch {
	case asked:
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", mime.TypeByExtension(cmp.Or(path.Ext(name), ".html")))
		_, err = w.Write(part)
	case told:
		// The connection ends with this answer: in HTTP/2, by a GOAWAY.
		w.Header().Set("Connection", "close")
	}

	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.conns[nethttp.RequestConn(r)] = *r.TLS
	switch {
	case err != nil || r.ProtoMajor != 2:
		v.odd = append(v.odd, fmt.Sprintf("%s %s by %s, which has ended with %v", r.Method, r.URL, r.Proto, err))
	case asked:
		v.asked[name]++
	case told:
		v.reports <- body
	case r.Method == http.MethodPost && known:
		v.back[name] = body
	default:
		v.odd = append(v.odd, r.Method+" "+r.URL.String())
	}
}

// await waits for the end of a visit, and checks that the browser got every
// part, ran and showed it, and could send it back as it was. It returns the
// state of the connection, of which there has to be one.
func (g *gallery) await(t *testing.T, name string) (state tls.ConnectionState) {
	t.Helper()
	v := g.visits[name]
	var told report
	select {
	case said := <-v.reports:
		if err := json.Unmarshal(said, &told); err != nil {
			t.Errorf("%s visit: the report is %q", name, said)
		}
	case <-time.After(browserPatience):
		t.Errorf("%s visit: it does not end", name)
	}
	v.mutex.Lock()
	defer v.mutex.Unlock()
	for _, failure := range told.Errors {
		t.Errorf("%s visit: the page has failed: %s", name, failure)
	}
	for _, odd := range v.odd {
		t.Errorf("%s visit: there was %s", name, odd)
	}
	for part, content := range parts() {
		v.checkPart(t, told, name+" visit: "+part, part, content)
	}
	if len(v.conns) != 1 {
		t.Errorf("%s visit: it took %d connections, want 1", name, len(v.conns))
	}
	if t.Failed() {
		t.FailNow()
	}
	for _, state = range v.conns {
	}
	return state
}

func (v *visit) checkPart(t *testing.T, told report, what, name string, content []byte) {
	t.Helper()
	loads := 2 // by its tag, and by the page's script
	if name == "" {
		loads = 1
	}
	if v.asked[name] < loads { // a browser may ask for a picture again
		t.Errorf("%s was loaded %d times, want %d", what, v.asked[name], loads)
	}
	if name == "" {
		return
	}
	if back := v.back[name]; !bytes.Equal(back, content) {
		t.Errorf("%s came back as %d bytes, or others than the %d that it has", what, len(back), len(content))
	}
	switch size, picture := pictures[name]; {
	case picture && told.Images[name] != fmt.Sprintf("%d x %d", size, size):
		t.Errorf("%s was shown with a size of %q, and it is %d", what, told.Images[name], size)
	case !picture && !slices.Contains(told.Scripts, name):
		t.Errorf("%s has not run", what)
	}
}

// The parts of the page: scripts with so many bytes to skip, and square pictures
// of noise, of so many pixels. None is over 768 KiB: Firefox breaks off a larger
// answer that comes in full before it gets to write again, whoever sends it.
var (
	scripts  = map[string]int{"a.js": 0, "b.js": 1000, "c.js": 16 << 10, "d.js": 100_000, "e.js": 600_000}
	pictures = map[string]int{"a.png": 1, "b.png": 10, "c.png": 50, "d.png": 100, "e.png": 300, "f.png": 400, "g.png": 450}
)

// parts are the parts by name; the page itself has none.
var parts = sync.OnceValue(func() map[string][]byte {
	parts := make(map[string][]byte)
	var page strings.Builder
	page.WriteString("<!doctype html>\n<title>gallery</title>\n<link rel=icon href='data:,'>\n<script>const ran = []</script>\n")
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		parts[name] = fmt.Appendf(nil, "/*\n%s*/\nran.push(%q)\n", payload(scripts[name]), name)
		fmt.Fprintf(&page, "<script src=%q></script>\n", name)
	}
	for _, name := range slices.Sorted(maps.Keys(pictures)) {
		parts[name] = noise(pictures[name])
		fmt.Fprintf(&page, "<img src=%q>\n", name)
	}
	page.WriteString(pageScript)
	parts[""] = []byte(page.String())
	return parts
})

// pageScript sends all parts back, reports, and leads from the first visit on
// to the second.
var pageScript = `<script>
const report = {Scripts: ran, Images: {}, Errors: []}
const sendBack = async name => {
	try {
		const part = await (await fetch(name)).arrayBuffer()
		await fetch(name, {method: "POST", body: part})
	} catch (error) {
		report.Errors.push(name + ": " + error)
	}
}
onload = async () => {
	for (const image of document.images)
		report.Images[image.getAttribute("src")] = image.naturalWidth + " x " + image.naturalHeight
	const tags = [...document.images, ...document.querySelectorAll("script[src]")]
	await Promise.all(tags.map(tag => sendBack(tag.getAttribute("src"))))
	await fetch("report", {method: "POST", body: JSON.stringify(report)})
	if (location.pathname == "/` + visitNames[0] + `/")
		location = "/` + visitNames[1] + `/"
}
</script>
`

// noise is a picture that does not get smaller by compression.
func noise(size int) []byte {
	picture := image.NewNRGBA(image.Rect(0, 0, size, size))
	random := rand.NewChaCha8([32]byte{byte(size)})
	random.Read(picture.Pix)
	for i := 3; i < len(picture.Pix); i += 4 {
		picture.Pix[i] = 0xff // opaque
	}
	var b bytes.Buffer
	must(0, png.Encode(&b, picture))
	return b.Bytes()
}
