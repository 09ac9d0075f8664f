package baretls_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/netconn"
	"github.com/baretls/baretls/netconn/nethttp"
)

// TestNothingExportedPrintsSecrets: whatever a program has in its hands, in any
// state of a connection, can go into a log by any verb of fmt without a secret
// in it. Every exported type has to be met on the way.
func TestNothingExportedPrintsSecrets(t *testing.T) {
	if raceEnabled {
		t.Skip("fmt looks into values of net/http whose goroutines are about to end")
	}
	e := &eavesdropper{t: t, types: make(map[reflect.Type]bool), said: make(map[string]string)}
	var secrets [][]byte
	for _, v := range []version{tls13, tls12} {
		for _, asks := range [][2]baretls.Ask{{0, 0}, {0, serverAsks}, {clientAsks, serverAsks}} {
			secrets = append(secrets, e.overhear(v, asks[0], asks[1])...)
		}
		secrets = append(secrets, e.overhearHalves(v)...)
		e.overhearFailures(v)
	}
	secrets = append(secrets, e.overhearNetConn()...)
	secrets = append(secrets, e.overhearHTTP()...)
	e.overhearTrifles()

	for _, dir := range []string{".", "netconn", "netconn/nethttp"} {
		for _, name := range exportedTypes(t, dir) {
			if !e.knows(dir, name) {
				t.Errorf("no %s of %s has been printed: who knows what it tells", name, dir)
			}
		}
	}
	if len(secrets) < 100 {
		t.Errorf("only %d secrets are looked for: the key logs have more", len(secrets))
	}
	for _, secret := range secrets {
		for _, form := range spellings(secret[:8]) {
			for text, what := range e.said {
				if strings.Contains(text, form) {
					t.Errorf("%s tells the secret %x: %.100q", what, secret[:8], text)
				}
			}
		}
	}
}

// The search itself must find what is there to be found.
func TestSpellingsAreFound(t *testing.T) {
	secret := []byte{0, 1, 9, 10, 99, 100, 200, 255}
	around := append(append([]byte("before"), secret...), "behind"...)
	for _, text := range []string{
		fmt.Sprint(around), fmt.Sprintf("%+v", around), fmt.Sprintf("%#v", around), string(around),
		fmt.Sprintf("%x", around), fmt.Sprintf("%X", around), fmt.Sprintf("% x", around), fmt.Sprintf("%q", around),
		fmt.Sprint([8]byte(secret)), fmt.Sprintf("%#v", [8]byte(secret)),
		base64.StdEncoding.EncodeToString(secret), base64.StdEncoding.EncodeToString(append([]byte("x"), around...)),
	} {
		if !slices.ContainsFunc(spellings(secret), func(form string) bool { return strings.Contains(text, form) }) {
			t.Errorf("the secret is not found in %q", text)
		}
	}
}

// spellings are what a secret looks like in what is printed.
func spellings(secret []byte) (forms []string) {
	list := func(verb, separator string) string {
		words := make([]string, len(secret))
		for i, b := range secret {
			words[i] = fmt.Sprintf(verb, b)
		}
		return strings.Join(words, separator)
	}
	quotation := fmt.Sprintf("%q", secret)
	forms = []string{
		string(secret), quotation[1 : len(quotation)-1],
		hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		list("%02x", " "), list("%02X", " "), list("%d", " "), list("%d", ", "), list("%#x", ", "), list("%x", " "),
	}
	// What stands in front of it moves what base64 makes of it.
	for lead := range 3 {
		for _, of := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := of.EncodeToString(append(make([]byte, lead), secret...))
			forms = append(forms, text[(lead*8+5)/6:len(text)-1])
		}
	}
	return forms
}

// An eavesdropper prints all that it meets.
type eavesdropper struct {
	t     *testing.T
	types map[reflect.Type]bool
	said  map[string]string // what was printed, and by what
}

// meet prints values, what they point to, and what their exported fields hold,
// as far as that is of this module.
func (e *eavesdropper) meet(values ...any) {
	for _, v := range values {
		e.print(v)
		e.walk(reflect.ValueOf(v))
	}
}

func (e *eavesdropper) walk(v reflect.Value) {
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if !v.IsNil() {
			e.walk(v.Elem())
		}
		return
	}
	if of := v.Type().PkgPath(); of != modulePath && !strings.HasPrefix(of, modulePath+"/") {
		for i := 0; v.Kind() == reflect.Slice && i < v.Len(); i++ {
			e.walk(v.Index(i))
		}
		return
	}
	e.types[v.Type()] = true
	// Where only the pointer has a Format, go vet keeps people from copying.
	byPointer := reflect.PointerTo(v.Type()).Implements(formatter) && !v.Type().Implements(formatter)
	if v.CanInterface() && !byPointer {
		e.print(v.Interface())
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				e.walk(v.Field(i))
			}
		}
	}
}

var formatter = reflect.TypeFor[fmt.Formatter]()

func (e *eavesdropper) print(v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d"} {
		e.said[fmt.Sprintf(verb, v)] = fmt.Sprintf("%s of a %T", verb, v)
		e.said[fmt.Sprintf(verb, struct{ V any }{v})] = fmt.Sprintf("%s of a struct with a %T", verb, v)
	}
}

func (e *eavesdropper) knows(dir, name string) bool {
	of := modulePath
	if dir != "." {
		of += "/" + dir
	}
	for known := range e.types {
		if known.PkgPath() == of && known.Name() == name {
			return true
		}
	}
	return false
}

// exportedTypes are those that have values: interfaces have others' values.
func exportedTypes(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		ast.Inspect(parse(t, file, parser.SkipObjectResolution), func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				if _, ok := spec.Type.(*ast.InterfaceType); !ok {
					names = append(names, spec.Name.Name)
				}
			}
			return true
		})
	}
	if len(names) == 0 {
		t.Fatalf("%s exports no type", dir)
	}
	return names
}

// A recordingRand remembers what it yields: keys, for the most part.
type recordingRand struct {
	mutex  sync.Mutex
	yields [][]byte
}

func (r *recordingRand) Read(b []byte) (int, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	n, err := rand.Read(b)
	r.yields = append(r.yields, bytes.Clone(b))
	return n, err
}

// secret are the yields that were not sent in the clear, as randoms are.
func (r *recordingRand) secret(sent []byte) (secrets [][]byte) {
	for _, b := range r.yields {
		if len(b) >= 8 && !bytes.Contains(sent, b) {
			secrets = append(secrets, b)
		}
	}
	return secrets
}

// secretsOf are all that a key log has, and the keys that come of it.
func secretsOf(t *testing.T, log *keyLog, serverRandom []byte) (secrets [][]byte) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		random, err := hex.DecodeString(f[1])
		if err != nil {
			t.Fatal(err)
		}
		secret, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret)
		if f[0] != "CLIENT_RANDOM" {
			secrets = append(secrets, expandLabel(secret, "key", 16), expandLabel(secret, "iv", 12))
			continue
		}
		s := suiteOf(tls12.suite())
		block := prf12(s.newHash, secret, "key expansion", slices.Concat(serverRandom, random), 2*s.keyLen)
		secrets = append(secrets, block[:s.keyLen], block[s.keyLen:])
	}
	return secrets
}

// overhear goes through a full handshake and a resumption with client
// certificates, with early data unless the client asks, and returns what was
// secret in them.
func (e *eavesdropper) overhear(v version, clientAsks, serverAsks baretls.Ask) (secrets [][]byte) {
	t := e.t
	yields, store := new(recordingRand), make(sessionMap)
	clientCert, serverCert := tlstest.ClientLeaf(tlstest.Ed25519), tlstest.Leaf(tlstest.Ed25519)
	cookieKey := make([]byte, 32)
	rand.Read(cookieKey)
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.MaxVersion, s.MaxVersion = uint16(v), uint16(v)
		c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		c.Rand, s.Rand = yields, yields
		c.Certificates, s.Certificates = []tls.Certificate{clientCert}, []tls.Certificate{serverCert}
		s.ClientAuth = tls.VerifyClientCertIfGiven
		s.ClientCAs, _ = tlstest.CA()
		c.EnableSecretExtraction, s.EnableSecretExtraction = true, true
		c.CustomVerify = func(p *baretls.PeerVerification) error { e.meet(p); return nil }
		s.GetCertificate = func(h *baretls.ClientHello) (*tls.Certificate, error) { e.meet(h); return nil, nil }
		c.GetClientCertificate = func(r *baretls.CertificateRequest) (*tls.Certificate, error) {
			e.meet(r)
			return &clientCert, nil
		}
		c.Ask, s.Ask = clientAsks, serverAsks
		if serverAsks != 0 {
			s.SessionStore = store
		}
	})
	e.meet(st.client, st.server, st.tickets, baretls.NewReplayGuard(0))
	// With a cookie there would be a retry, and no early data.
	e.meet(st.newServerConfig(func(s *baretls.ServerConfig) { s.RetryCookieKey = cookieKey }))
	secrets = append(secrets, cookieKey)
	for _, cert := range []tls.Certificate{clientCert, serverCert} {
		secrets = append(secrets, cert.PrivateKey.(ed25519.PrivateKey).Seed())
	}

	var sent []byte
	for range 2 {
		m := st.meet()
		for _, s := range m.sides() {
			s.on = func(state baretls.State) bool {
				e.meet(state, baretls.Status{State: state}, s.conn)
				switch state := state.(type) {
				case baretls.TransmitTLSData:
					sent = append(sent, s.out...)
					if early, ok := state.MayEncryptEarlyData(); ok {
						e.meet(early)
						s.encryptEarly(early, []byte("early data"))
					}
				case question:
					if c, ok := state.(baretls.ServerCertificateReceived); ok {
						e.meet(c.Verification())
					}
					if c, ok := state.(baretls.ClientCertificateReceived); ok {
						e.meet(c.Verification())
					}
				}
				return false
			}
			s.answers(manners[0], answerer{cert: &clientCert, store: store}.answer)
		}
		m.complete()
		m.works()
		e.meet(m.clientConn, m.serverConn, m.client.conn.HandshakeKind(), m.client.conn.EarlyData(), m.client.conn)
		secrets = append(secrets, secretsOf(t, st.keys, m.server.random())...)
		st.keys.Reset()
		session := st.sessions.Take(st.sessions.key)
		if session == nil {
			t.Fatalf("%v: the client has no session", v)
		}
		e.meet(session, st.sessions)
		cache, names := baretls.NewClientSessionCache(0), baretls.NewSessionCache(0)
		cache.Put("key", session)
		encoded, err := session.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := names.Put("name", encoded, session.Expires()); err != nil {
			t.Fatal(err)
		}
		e.meet(cache, names)
		secrets = append(secrets, bytes.Clone(seen(t, encoded).PSK))
		st.sessions.Put(st.sessions.key, session)
		if m.server.conn.ConnectionState().DidResume {
			m.client.close()
			m.server.close()
			m.run()
		}
	}
	ring, err := st.tickets.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, ring[17:49], ring[73:105])
	return append(secrets, yields.secret(sent)...)
}

// overhearHalves splits a connection, and takes the keys out of its other end.
func (e *eavesdropper) overhearHalves(v version) (secrets [][]byte) {
	t := e.t
	client, server := v.client(), v.server()
	client.CipherSuites = []uint16{v.suite()}
	client.EnableSecretExtraction = true
	p := v.pair(t, client, server)
	p.handshake()
	r, w, err := p.server.conn.Split()
	if err != nil {
		t.Fatalf("Split: %v", err)
	}
	blocked, err := r.ProcessTLSRecords(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.meet(r, w, blocked)
	secrets = secretsOf(t, p.keys, p.server.random())
	extracted, kernel, err := p.client.conn.DangerousIntoKernelConn()
	if err != nil {
		t.Fatalf("DangerousIntoKernelConn: %v", err)
	}
	e.meet(extracted, kernel, p.client.conn, baretls.KernelUpdate{Rx: &extracted.Rx, Tx: &extracted.Tx})
	for _, keys := range []baretls.TrafficKeys{extracted.Tx, extracted.Rx} {
		secrets = append(secrets, keys.Key, keys.IV)
	}
	return slices.DeleteFunc(secrets, func(s []byte) bool { return len(s) < 8 })
}

// overhearFailures collects the errors of connections that have failed with
// secrets in hand: by a flipped bit in each record of each flight.
func (e *eavesdropper) overhearFailures(v version) {
	failed := 0
	for record := range 12 {
		p := v.pair(e.t, nil, nil)
		n := 0
		for range 6 {
			for _, s := range p.sides() {
				s.turns()
				for _, rec := range records(e.t, s.take()) {
					if n++; n == record+1 {
						rec = bytes.Clone(rec)
						rec[len(rec)-1] ^= 1
					}
					p.other(s).give(rec)
				}
			}
		}
		for _, s := range p.sides() {
			if s.err != nil {
				failed++
				e.meet(s.err, s.conn)
				for _, cause := range s.err.(*baretls.Error).Unwrap() {
					e.meet(cause)
				}
			}
		}
	}
	if failed < 4 {
		e.t.Errorf("only %d connections have failed", failed)
	}
}

// overhearNetConn has data in the clear that was received and not yet read.
func (e *eavesdropper) overhearNetConn() [][]byte {
	t := e.t
	keys := new(keyLog)
	clientSocket, serverSocket := net.Pipe()
	defer clientSocket.Close()
	defer serverSocket.Close()
	config := clientConfig()
	config.KeyLogWriter, config.CipherSuites = keys, []uint16{tls13.suite()}
	client, err := netconn.Client(clientSocket, config, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	server, err := netconn.Server(serverSocket, serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	const letter = "what an application wants to say in private"
	var sent sync.WaitGroup
	sent.Go(func() {
		if _, err := client.Write([]byte(letter)); err != nil {
			t.Errorf("Write: %v", err)
		}
	})
	first := make([]byte, 1)
	if _, err := io.ReadFull(server, first); err != nil {
		t.Fatal(err)
	}
	sent.Wait()
	e.meet(client, server, netconn.Dialer{Config: config}, &netconn.Dialer{Config: config})
	return append(secretsOf(t, keys, nil), []byte(letter)[1:])
}

// overhearHTTP has both ends of a request that was answered: a Transport, and
// what a server is shown of the connection.
func (e *eavesdropper) overhearHTTP() [][]byte {
	t := e.t
	keys := new(keyLog)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 1)
	server := &http.Server{
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.meet(nethttp.RequestConn(r)) }),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context { conns <- conn; return ctx },
	}
	ended := make(chan error, 1)
	go func() { ended <- nethttp.Serve(server, listener, serverConfig()) }()
	config := clientConfig()
	config.KeyLogWriter, config.CipherSuites = keys, []uint16{tls13.suite()}
	transport := &nethttp.Transport{Config: config, Base: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
		},
	}}
	response, err := (&http.Client{Transport: transport}).Get("https://example.com/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	transport.CloseIdleConnections()
	server.Close()
	if err := <-ended; err != http.ErrServerClosed {
		t.Errorf("Serve returns %v", err)
	}
	e.meet(transport, <-conns, response.TLS)
	return secretsOf(t, keys, nil)
}

// overhearTrifles meets what can hardly hold a secret.
func (e *eavesdropper) overhearTrifles() {
	_, wrong := baretls.NewServer(new(baretls.ServerConfig))
	if !errors.As(wrong, new(*baretls.ConfigError)) {
		e.t.Errorf("a config without certificates makes the error %v", wrong)
	}
	e.meet(wrong, &baretls.InsufficientSizeError{RequiredSize: 1}, baretls.AppDataRecord{})
}
