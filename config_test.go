package baretls_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// Every field that is wrong is named by a ConfigError.
func TestClientConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		field  string
		change func(*baretls.ClientConfig)
	}{
		{"NextProtos[0]", func(c *baretls.ClientConfig) { c.NextProtos = []string{""} }},
		{"NextProtos[1]", func(c *baretls.ClientConfig) { c.NextProtos = []string{"h2", strings.Repeat("x", 256)} }},
		{"NextProtos", func(c *baretls.ClientConfig) { c.NextProtos = slices.Repeat([]string{strings.Repeat("x", 255)}, 65) }},
		{"CipherSuites", func(c *baretls.ClientConfig) { c.CipherSuites = []uint16{} }},
		{"CipherSuites[0]", func(c *baretls.ClientConfig) { c.CipherSuites = []uint16{0} }},
		{"CipherSuites[1]", func(c *baretls.ClientConfig) { c.CipherSuites = slices.Repeat([]uint16{tls.TLS_AES_128_GCM_SHA256}, 2) }},
		{"Groups", func(c *baretls.ClientConfig) { c.Groups = []tls.CurveID{} }},
		{"Groups[1]", func(c *baretls.ClientConfig) { c.Groups = []tls.CurveID{tls.X25519, 0x0a0a} }},
		{"Groups[2]", func(c *baretls.ClientConfig) { c.Groups = []tls.CurveID{tls.X25519, tls.CurveP256, tls.X25519} }},
		{"SignatureSchemes", func(c *baretls.ClientConfig) { c.SignatureSchemes = []tls.SignatureScheme{} }},
		{"SignatureSchemes[0]", func(c *baretls.ClientConfig) { c.SignatureSchemes = []tls.SignatureScheme{tls.PKCS1WithSHA1} }},
		{"SignatureSchemes", func(c *baretls.ClientConfig) { c.SignatureSchemes = []tls.SignatureScheme{tls.PKCS1WithSHA256} }},
		{"MaxFragmentSize", func(c *baretls.ClientConfig) { c.MaxFragmentSize = 63 }},
		{"MaxFragmentSize", func(c *baretls.ClientConfig) { c.MaxFragmentSize = 16385 }},
		{"MaxFragmentSize", func(c *baretls.ClientConfig) { c.MaxFragmentSize = -1 }},
		{"RecordPadding", func(c *baretls.ClientConfig) { c.RecordPadding = -1 }},
		{"RecordPadding", func(c *baretls.ClientConfig) { c.RecordPadding = 3 }},
		{"RecordPadding", func(c *baretls.ClientConfig) { c.RecordPadding = 32768 }},
		{"RecordPadding", func(c *baretls.ClientConfig) { c.MaxFragmentSize, c.RecordPadding = 1000, 16 }},
		{"RecordPadding", func(c *baretls.ClientConfig) { c.MaxFragmentSize, c.RecordPadding = 64, 128 }},
		{"MaxHandshakeMessageSize", func(c *baretls.ClientConfig) { c.MaxHandshakeMessageSize = 4095 }},
		{"MaxHandshakeMessageSize", func(c *baretls.ClientConfig) { c.MaxHandshakeMessageSize = 1 << 24 }},
		{"MaxHandshakeMessageSize", func(c *baretls.ClientConfig) { c.MaxHandshakeMessageSize = -5 }},
	} {
		config := clientConfig()
		tt.change(config)
		for range 2 { // the verdict stays
			client, err := baretls.NewClient(config, "example.com")
			wantConfigError(t, client != nil, err, tt.field)
		}
	}
	client, err := baretls.NewClient(nil, "example.com")
	wantConfigError(t, client != nil, err, "ClientConfig")
}

func TestServerConfigErrors(t *testing.T) {
	leaf := tlstest.Leaf(tlstest.ECDSAP256)
	with := func(change func(*tls.Certificate)) tls.Certificate {
		changed := leaf
		change(&changed)
		return changed
	}
	for _, tt := range []struct {
		field  string
		change func(*baretls.ServerConfig)
	}{
		{"Certificates", func(c *baretls.ServerConfig) { c.Certificates = nil }},
		{"Certificates[0]", func(c *baretls.ServerConfig) { c.Certificates = []tls.Certificate{{}} }},
		{"Certificates[1]", func(c *baretls.ServerConfig) {
			c.Certificates = []tls.Certificate{leaf, with(func(c *tls.Certificate) { c.PrivateKey = nil })}
		}},
		{"Certificates[0]", func(c *baretls.ServerConfig) { // another one's key
			c.Certificates[0] = with(func(c *tls.Certificate) { c.PrivateKey = tlstest.Key(tlstest.ECDSAP384) })
		}},
		{"Certificates[0]", func(c *baretls.ServerConfig) { // a key that cannot sign
			c.Certificates[0] = with(func(c *tls.Certificate) { c.PrivateKey = struct{ crypto.PrivateKey }{} })
		}},
		{"Certificates[0]", func(c *baretls.ServerConfig) { // no certificate
			c.Certificates[0] = with(func(c *tls.Certificate) { c.Leaf, c.Certificate = nil, [][]byte{{1, 2, 3}} })
		}},
		{"Certificates[0]", func(c *baretls.ServerConfig) { // schemes that are not the key's
			c.Certificates[0] = with(func(c *tls.Certificate) {
				c.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.Ed25519}
			})
		}},
		{"RetryCookieKey", func(c *baretls.ServerConfig) { c.RetryCookieKey = make([]byte, 31) }},
		{"RetryCookieKey", func(c *baretls.ServerConfig) { c.RetryCookieKey = []byte{} }},
		{"NextProtos[0]", func(c *baretls.ServerConfig) { c.NextProtos = []string{""} }},
		{"CipherSuites", func(c *baretls.ServerConfig) { c.CipherSuites = []uint16{} }},
		{"CipherSuites[0]", func(c *baretls.ServerConfig) { c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} }},
		{"Groups", func(c *baretls.ServerConfig) { c.Groups = []tls.CurveID{} }},
		{"Groups[0]", func(c *baretls.ServerConfig) { c.Groups = []tls.CurveID{0} }},
		{"MaxFragmentSize", func(c *baretls.ServerConfig) { c.MaxFragmentSize = 1 }},
		{"RecordPadding", func(c *baretls.ServerConfig) { c.RecordPadding = 100 }},
		{"MaxHandshakeMessageSize", func(c *baretls.ServerConfig) { c.MaxHandshakeMessageSize = 100 }},
	} {
		config := serverConfig()
		tt.change(config)
		for range 2 {
			server, err := baretls.NewServer(config)
			wantConfigError(t, server != nil, err, tt.field)
		}
	}
	server, err := baretls.NewServer(nil)
	wantConfigError(t, server != nil, err, "ServerConfig")
}

func wantConfigError(t *testing.T, made bool, err error, field string) {
	t.Helper()
	var wrong *baretls.ConfigError
	if made || !errors.As(err, &wrong) || wrong.Field != field || errors.Unwrap(wrong) == nil {
		t.Errorf("with %s wrong, a connection is made: %v, and the error is %v", field, made, err)
		return
	}
	if want := "baretls: config: " + field + ": "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the error reads %q, want %q and the reason", err, want)
	}
}

func TestNamesOfServers(t *testing.T) {
	const long = "a23456789012345678901234567890123456789012345678901234567890123" // 63
	for _, tt := range []struct {
		name, as, sent string
		wrong          bool
	}{
		{name: "example.com", as: "example.com", sent: "example.com"},
		{name: "example.com.", as: "example.com", sent: "example.com"},
		{name: "WWW.Example.com", as: "WWW.Example.com", sent: "www.example.com"},
		{name: "localhost", as: "localhost", sent: "localhost"},
		{name: "under_score.example.com", as: "under_score.example.com", sent: "under_score.example.com"},
		{name: "xn--bcher-kva.example.com", as: "xn--bcher-kva.example.com", sent: "xn--bcher-kva.example.com"},
		{name: long + ".example.com", as: long + ".example.com", sent: long + ".example.com"},
		{name: "127.0.0.1", as: "127.0.0.1"},
		{name: "::1", as: "::1"},
		{name: "2001:db8::1", as: "2001:db8::1"},
		{name: "", wrong: true},
		{name: ".", wrong: true},
		{name: "..", wrong: true},
		{name: ".example.com", wrong: true},
		{name: "example..com", wrong: true},
		{name: "example.com..", wrong: true},
		{name: "example.com:443", wrong: true},
		{name: "[::1]", wrong: true},
		{name: "bücher.example.com", wrong: true},
		{name: "ex ample.com", wrong: true},
		{name: "example.com\x00", wrong: true},
		{name: "*.example.com", wrong: true},
		{name: long + "4.example.com", wrong: true},
		{name: strings.Repeat(long+".", 4) + "com", wrong: true},
	} {
		client, err := baretls.NewClient(clientConfig(), tt.name)
		if (err != nil) != tt.wrong || (client == nil) != tt.wrong {
			t.Errorf("NewClient for %q returns %v, %v", tt.name, client, err)
		}
		if err != nil || tt.wrong {
			continue
		}
		if got := client.ServerName(); got != tt.as {
			t.Errorf("the client of %q wants %q", tt.name, got)
		}
		c := newSide(t, "client", &client.Conn)
		c.turns()
		s := newServer(t, serverConfig())
		s.give(c.take())
		s.turns()
		if got := s.conn.ServerName(); got != tt.sent || s.err != nil {
			t.Errorf("the client of %q asks the server for %q, want %q; error %v", tt.name, got, tt.sent, s.err)
		}
	}
	custom := &baretls.ClientConfig{CustomVerify: func(*baretls.PeerVerification) error { return nil }}
	if client, err := baretls.NewClient(custom, ""); err != nil || client.ServerName() != "" {
		t.Errorf("with CustomVerify, no name is the error %v", err)
	}
	if _, err := baretls.NewClient(custom, "not a name"); err == nil {
		t.Error("with CustomVerify, a bad name is none")
	}
}

// One config makes connections from any goroutine. Run it with -race.
func TestSharedConfigs(t *testing.T) {
	var log bytes.Buffer // writes are serialized
	client, server := clientConfig(), serverConfig()
	client.NextProtos, server.NextProtos = []string{"one", "two"}, []string{"two"}
	client.KeyLogWriter = &log
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5 {
				p := newPair(t, client, server)
				p.run()
				if p.client.err != nil || p.server.err != nil || p.client.conn.ALPNProtocol() != "two" {
					t.Errorf("with a shared config: %v, %v", p.client.err, p.server.err)
				}
				p.works()
			}
		})
	}
	group.Wait()
	if got, want := strings.Count(log.String(), "\n"), 8*5*5; got != want {
		t.Errorf("the key log has %d lines, want %d", got, want)
	}
}

// The secrets of a connection in the format of SSLKEYLOGFILE, the same on
// both sides.
func TestKeyLog(t *testing.T) {
	logs := [2]bytes.Buffer{}
	client, server := clientConfig(), serverConfig()
	client.KeyLogWriter, server.KeyLogWriter = &logs[0], &logs[1]
	p := newPair(t, client, server)
	p.client.turns()
	random := p.client.sent[5+4+2:][:32] // of the ClientHello
	hex := fmt.Sprintf("%x", random)
	p.handshake()
	if logs[0].String() != logs[1].String() {
		t.Errorf("the client logs\n%s\nand the server\n%s", &logs[0], &logs[1])
	}
	var labels []string
	secrets := make(map[string]bool)
	for line := range strings.Lines(logs[0].String()) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(f) != 3 || f[1] != hex || len(f[2]) != 64 {
			t.Errorf("the line %q is not a label, the random %s and a secret", line, hex)
			continue
		}
		labels = append(labels, f[0])
		secrets[f[2]] = true
	}
	want := []string{
		"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
		"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET",
	}
	if !slices.Equal(labels, want) || len(secrets) != len(want) {
		t.Errorf("the log has %d secrets for the labels %v", len(secrets), labels)
	}

	failing := clientConfig()
	failing.KeyLogWriter = failingWriter{}
	p = newPair(t, failing, nil)
	p.run()
	p.client.wantFailed(internalError)
	if !errors.Is(p.client.err, errDisk) {
		t.Errorf("a key log that fails is the error %v", p.client.err)
	}
}

type failingWriter struct{}

var errDisk = errors.New("disk full")

func (failingWriter) Write([]byte) (int, error) { return 0, errDisk }

func TestRandThatFails(t *testing.T) {
	broken := errors.New("no entropy")
	config := clientConfig()
	config.Rand = iotest.ErrReader(broken)
	client, err := baretls.NewClient(config, "example.com")
	var failure *baretls.Error
	if client != nil || !errors.Is(err, broken) || !errors.As(err, &failure) {
		t.Errorf("without randomness, NewClient returns %v, %v", client, err)
	}
	if failure != nil {
		if alert, ok := failure.Alert(); ok || failure.Received() {
			t.Errorf("before any byte, there is the alert %v", alert)
		}
	}

	server := serverConfig()
	server.Rand = iotest.ErrReader(broken)
	p := newPair(t, nil, server)
	p.run()
	p.server.wantFailed(internalError)
	if !errors.Is(p.server.err, broken) {
		t.Errorf("without randomness, the server's error is %v", p.server.err)
	}
	p.client.wantAlerted(internalError)

	config = clientConfig()
	config.Rand = io.LimitReader(constant(7), 10)
	if _, err := baretls.NewClient(config, "example.com"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("with too little randomness, the error is %v", err)
	}
}

type constant byte

func (c constant) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(c)
	}
	return len(b), nil
}

// Time is what certificates are judged by.
func TestTimeIsTheClock(t *testing.T) {
	for _, tt := range []struct {
		when time.Time
		good bool
	}{
		{tlstest.NotBefore.Add(-time.Second), false},
		{tlstest.NotBefore, true},
		{tlstest.NotAfter, true},
		{tlstest.NotAfter.Add(time.Second), false},
	} {
		config := clientConfig()
		config.Time = func() time.Time { return tt.when }
		p := newPair(t, config, nil)
		p.run()
		if (p.client.err == nil) != tt.good {
			t.Errorf("at %v, the error is %v", tt.when, p.client.err)
		}
		if !tt.good {
			p.client.wantFailed(certificateExpired)
		}
	}
}

// A server that is not the one it should be is told so, and the caller gets
// what crypto/x509 found.
func TestServersThatAreRefused(t *testing.T) {
	invalid := func(reason x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			var found x509.CertificateInvalidError
			return errors.As(err, &found) && found.Reason == reason
		}
	}
	for name, tt := range map[string]struct {
		cert  tls.Certificate
		alert tls.AlertError
		found func(error) bool
	}{
		"a wrong name":          {tlstest.Leaf(tlstest.ECDSAP256, "other.example"), certificateUnknown, func(err error) bool { return errors.As(err, new(x509.HostnameError)) }},
		"an expired one":        {tlstest.New(tlstest.Options{NotAfter: tlstest.NotBefore.Add(time.Hour)}), certificateExpired, invalid(x509.Expired)},
		"one that is too young": {tlstest.New(tlstest.Options{NotBefore: tlstest.NotAfter.Add(-time.Hour)}), certificateExpired, invalid(x509.Expired)},
		"an unknown CA":         {tlstest.New(tlstest.Options{UnknownCA: true}), unknownCA, func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }},
		"a client's":            {tlstest.ClientLeaf(tlstest.ECDSAP256), unsupportedCertificate, invalid(x509.IncompatibleUsage)},
		"one without its chain": {leafAlone(), unknownCA, func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }},
	} {
		server := serverConfig()
		server.Certificates = []tls.Certificate{tt.cert}
		p := newPair(t, nil, server)
		p.run()
		p.client.wantFailed(tt.alert)
		p.server.wantAlerted(tt.alert)
		var verification *tls.CertificateVerificationError
		if !errors.As(p.client.err, &verification) || !tt.found(p.client.err) {
			t.Errorf("%s: the error is %v, want a tls.CertificateVerificationError with crypto/x509's reason", name, p.client.err)
			continue
		}
		if n := len(verification.UnverifiedCertificates); n != len(tt.cert.Certificate) {
			t.Errorf("%s: the error shows %d certificates, want the %d that were sent", name, n, len(tt.cert.Certificate))
		}
		if p.client.conn.PeerCertificates() != nil || p.client.conn.ConnectionState().VerifiedChains != nil {
			t.Errorf("%s: the refused server has certificates", name)
		}
	}
}

func leafAlone() tls.Certificate {
	cert := tlstest.Leaf(tlstest.ECDSAP256)
	cert.Certificate = cert.Certificate[:1]
	return cert
}

// Names of servers that are addresses are verified as such.
func TestServersByAddress(t *testing.T) {
	for name, good := range map[string]bool{"127.0.0.1": true, "::1": true, "0:0::1": true, "127.0.0.2": false, "www.example.com": true, "a.b.example.com": false} {
		config := clientConfig()
		client, err := baretls.NewClient(config, name)
		if err != nil {
			t.Fatal(err)
		}
		p := newPair(t, nil, nil)
		p.client = newSide(t, "client", &client.Conn)
		if p.run(); (p.client.err == nil) != good {
			t.Errorf("a server for example.com and loopback, asked for %s: %v", name, p.client.err)
		}
	}
}

// All types of keys, and chains of all sizes.
func TestServersOfAllKinds(t *testing.T) {
	for kind, scheme := range map[tlstest.Kind]tls.SignatureScheme{
		tlstest.ECDSAP256: tls.ECDSAWithP256AndSHA256,
		tlstest.ECDSAP384: tls.ECDSAWithP384AndSHA384,
		tlstest.ECDSAP521: tls.ECDSAWithP521AndSHA512,
		tlstest.RSA2048:   tls.PSSWithSHA256,
		tlstest.RSAPSS:    0x0809, // rsa_pss_pss_sha256
		tlstest.Ed25519:   tls.Ed25519,
	} {
		server := serverConfig()
		server.Certificates = []tls.Certificate{tlstest.Leaf(kind)}
		p := newPair(t, nil, server)
		p.handshake()
		p.works()
		if got := p.client.conn.PeerSignatureScheme(); got != scheme {
			t.Errorf("%v: the server signs with %v, want %v", kind, got, scheme)
		}
	}
	for _, options := range []tlstest.Options{{Depth: 5}, {Bulk: 20000}, {Bulk: 64000}} {
		server := serverConfig()
		server.Certificates = []tls.Certificate{tlstest.New(options)}
		p := newPair(t, nil, server)
		p.handshake()
		p.works()
		if got := len(p.client.conn.PeerCertificates()); got != max(options.Depth, 1)+1 {
			t.Errorf("%+v: the client has %d certificates of the server", options, got)
		}
	}
	server := serverConfig()
	server.Certificates = []tls.Certificate{tlstest.New(tlstest.Options{Bulk: 70000})}
	p := newPair(t, nil, server)
	p.run()
	p.client.wantFailed(illegalParameter)
	client := clientConfig()
	client.MaxHandshakeMessageSize = 1 << 17
	p = newPair(t, client, server)
	p.handshake()
	p.works()
}

func TestCustomVerify(t *testing.T) {
	now := tlstest.NotAfter.AddDate(50, 0, 0) // nobody looks
	cert := tlstest.New(tlstest.Options{UnknownCA: true})
	cert.OCSPStaple = []byte("a staple")
	cert.SignedCertificateTimestamps = [][]byte{[]byte("one"), []byte("two")}
	server := serverConfig()
	server.Certificates = []tls.Certificate{cert}
	var order []string
	chains := [][]*x509.Certificate{{cert.Leaf}}
	client := &baretls.ClientConfig{
		Time: func() time.Time { return now },
		CustomVerify: func(v *baretls.PeerVerification) error {
			order = append(order, "CustomVerify")
			if len(v.Certificates) != 2 || !v.Certificates[0].Equal(cert.Leaf) || v.ServerName != "example.com" || !v.Time.Equal(now) || v.VerifiedChains != nil {
				t.Errorf("CustomVerify is to judge %d certificates for %q at %v, with chains %v", len(v.Certificates), v.ServerName, v.Time, v.VerifiedChains)
			}
			if string(v.OCSPResponse) != "a staple" || len(v.SignedCertificateTimestamps) != 2 || string(v.SignedCertificateTimestamps[1]) != "two" {
				t.Errorf("CustomVerify is shown the staple %q and the SCTs %q", v.OCSPResponse, v.SignedCertificateTimestamps)
			}
			v.VerifiedChains = chains
			return nil
		},
		VerifyPeer: func(v *baretls.PeerVerification) error {
			order = append(order, "VerifyPeer")
			if len(v.VerifiedChains) != 1 || len(v.Certificates) != 2 {
				t.Errorf("VerifyPeer is shown the chains %v", v.VerifiedChains)
			}
			return nil
		},
	}
	p := newPair(t, client, server)
	p.handshake()
	p.works()
	if !slices.Equal(order, []string{"CustomVerify", "VerifyPeer"}) {
		t.Errorf("the order is %v", order)
	}
	c := p.client.conn
	if string(c.OCSPResponse()) != "a staple" || len(c.SignedCertificateTimestamps()) != 2 || len(c.ConnectionState().VerifiedChains) != 1 {
		t.Errorf("the connection has the staple %q, the SCTs %q and %d chains", c.OCSPResponse(), c.SignedCertificateTimestamps(), len(c.ConnectionState().VerifiedChains))
	}
}

func TestVerificationThatRefuses(t *testing.T) {
	refusal := errors.New("I do not like it")
	refuse := func(*baretls.PeerVerification) error { return refusal }
	accept := func(*baretls.PeerVerification) error { return nil }
	never := func(*baretls.PeerVerification) error {
		t.Error("VerifyPeer runs though the server was refused before")
		return nil
	}
	for name, set := range map[string]func(*baretls.ClientConfig){
		"CustomVerify":                func(c *baretls.ClientConfig) { c.CustomVerify, c.VerifyPeer = refuse, never },
		"VerifyPeer":                  func(c *baretls.ClientConfig) { c.VerifyPeer = refuse },
		"VerifyPeer and CustomVerify": func(c *baretls.ClientConfig) { c.CustomVerify, c.VerifyPeer = accept, refuse },
	} {
		client := clientConfig()
		set(client)
		p := newPair(t, client, nil)
		p.run()
		p.client.wantFailed(badCertificate)
		p.server.wantAlerted(badCertificate)
		if !errors.Is(p.client.err, refusal) {
			t.Errorf("%s: the error is %v, want the callback's own underneath", name, p.client.err)
		}
	}
	client := clientConfig()
	client.VerifyPeer = never
	server := serverConfig()
	server.Certificates = []tls.Certificate{tlstest.New(tlstest.Options{UnknownCA: true})}
	p := newPair(t, client, server)
	p.run()
	p.client.wantFailed(unknownCA)
}

func TestGetCertificate(t *testing.T) {
	var asked *baretls.ClientHello
	other := tlstest.Leaf(tlstest.Ed25519)
	server := serverConfig()
	server.GetCertificate = func(h *baretls.ClientHello) (*tls.Certificate, error) {
		asked = h
		return &other, nil
	}
	client := clientConfig()
	client.NextProtos = []string{"h2", "http/1.1"}
	client.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
	client.CipherSuites = []uint16{tls.TLS_AES_256_GCM_SHA384, tls.TLS_AES_128_GCM_SHA256}
	client.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519, tls.ECDSAWithP256AndSHA256}
	p := newPair(t, client, server)
	p.handshake()
	if got := p.client.conn.PeerCertificates()[0]; !got.Equal(other.Leaf) {
		t.Errorf("the certificate is %v, want that of GetCertificate", got.Subject)
	}
	want := &baretls.ClientHello{
		ServerName:       "example.com",
		ALPNProtocols:    client.NextProtos,
		Versions:         []uint16{tls.VersionTLS13},
		CipherSuites:     client.CipherSuites,
		Groups:           client.Groups,
		SignatureSchemes: client.SignatureSchemes,
		// server_name, status_request, SCTs, groups, signatures, ALPN,
		// record_size_limit, PSK modes, key_share, versions
		Extensions: []uint16{0, 5, 18, 10, 13, 16, 28, 45, 51, 43},
	}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("GetCertificate is asked for %+v, want %+v", asked, want)
	}

	refusal := errors.New("not for you")
	for name, tt := range map[string]struct {
		cert  *tls.Certificate
		err   error
		alert tls.AlertError
	}{
		"an error":              {nil, refusal, handshakeFailure},
		"a key that is no one":  {&tls.Certificate{}, nil, handshakeFailure},
		"a scheme of no client": {ptr(tlstest.Leaf(tlstest.ECDSAP384)), nil, handshakeFailure},
	} {
		server := serverConfig()
		server.GetCertificate = func(*baretls.ClientHello) (*tls.Certificate, error) { return tt.cert, tt.err }
		client := clientConfig()
		client.SignatureSchemes = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
		p := newPair(t, client, server)
		p.run()
		p.server.wantFailed(tt.alert)
		p.client.wantAlerted(tt.alert)
		if tt.err != nil && !errors.Is(p.server.err, tt.err) {
			t.Errorf("%s: the error is %v", name, p.server.err)
		}
	}

	server = serverConfig()
	server.GetCertificate = func(*baretls.ClientHello) (*tls.Certificate, error) { return nil, nil }
	p = newPair(t, nil, server) // nil falls back to Certificates
	p.handshake()
	server = &baretls.ServerConfig{GetCertificate: server.GetCertificate}
	p = newPair(t, nil, server) // and without any, there is none
	p.run()
	p.server.wantFailed(handshakeFailure)
}

func ptr[T any](v T) *T { return &v }

// The certificate is the one for the name, by itself or by a wildcard, that the
// client can verify; and the first one otherwise.
func TestCertificateByName(t *testing.T) {
	server := &baretls.ServerConfig{Certificates: []tls.Certificate{
		tlstest.Leaf(tlstest.ECDSAP256, "first.example"),
		tlstest.Leaf(tlstest.ECDSAP256, "exact.example.com"),
		tlstest.Leaf(tlstest.ECDSAP256, "*.example.com"),
		tlstest.Leaf(tlstest.Ed25519, "*.example.com", "exact.example.com"),
		tlstest.Leaf(tlstest.ECDSAP384, "UPPER.example.org"),
	}}
	both := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.Ed25519, tls.ECDSAWithP384AndSHA384}
	edwards := []tls.SignatureScheme{tls.Ed25519}
	for _, tt := range []struct {
		name    string
		schemes []tls.SignatureScheme
		want    int // in Certificates; -1: refused
	}{
		{"first.example", both, 0},
		{"exact.example.com", both, 1},
		{"EXACT.Example.COM", both, 1},
		{"www.example.com", both, 2},
		{"a.b.example.com", both, 0},
		{"example.com", both, 0},
		{"nobody.example", both, 0},
		{"192.0.2.1", both, 0},
		{"upper.example.org", both, 4},
		{"exact.example.com", edwards, 3},
		{"www.example.com", edwards, 3},
		{"first.example", edwards, 3},
		{"www.example.com", []tls.SignatureScheme{tls.PSSWithSHA256}, -1},
	} {
		accept := func(*baretls.PeerVerification) error { return nil }
		config := &baretls.ClientConfig{CustomVerify: accept, SignatureSchemes: tt.schemes}
		client, err := baretls.NewClient(config, tt.name)
		if err != nil {
			t.Fatal(err)
		}
		p := newPair(t, nil, server)
		p.client = newSide(t, "client", &client.Conn)
		p.run()
		if tt.want < 0 {
			p.server.wantFailed(handshakeFailure)
			continue
		}
		if p.client.err != nil {
			t.Errorf("%s with %v: %v", tt.name, tt.schemes, p.client.err)
			continue
		}
		if got := p.client.conn.PeerCertificates()[0]; !got.Equal(server.Certificates[tt.want].Leaf) {
			t.Errorf("%s with %v: the certificate is for %v, want number %d", tt.name, tt.schemes, got.DNSNames, tt.want)
		}
	}
}

func TestALPN(t *testing.T) {
	for _, tt := range []struct {
		client, server []string
		want           string
		refused        bool
	}{
		{client: nil, server: nil},
		{client: []string{"h2"}, server: nil},
		{client: nil, server: []string{"h2"}},
		{client: []string{"h2"}, server: []string{"h2"}, want: "h2"},
		{client: []string{"h2", "http/1.1"}, server: []string{"http/1.1", "h2"}, want: "http/1.1"},
		{client: []string{"h2", "http/1.1"}, server: []string{"spdy", "h2"}, want: "h2"},
		{client: []string{"h2"}, server: []string{"H2"}, refused: true},
		{client: []string{"h2"}, server: []string{"http/1.1"}, refused: true},
		{client: []string{strings.Repeat("x", 255)}, server: []string{strings.Repeat("x", 255)}, want: strings.Repeat("x", 255)},
	} {
		client, server := clientConfig(), serverConfig()
		client.NextProtos, server.NextProtos = tt.client, tt.server
		p := newPair(t, client, server)
		p.run()
		if tt.refused {
			p.server.wantFailed(noApplicationProtocol)
			p.client.wantAlerted(noApplicationProtocol)
			continue
		}
		for _, s := range p.sides() {
			if got := s.conn.ALPNProtocol(); got != tt.want || s.err != nil {
				t.Errorf("%q meet %q: the %s speaks %q, want %q; error %v", tt.client, tt.server, s.role, got, tt.want, s.err)
			}
			if got := s.conn.ConnectionState().NegotiatedProtocol; got != tt.want {
				t.Errorf("%q meet %q: the ConnectionState has %q", tt.client, tt.server, got)
			}
		}
	}
}

// What cannot be agreed on is a handshake_failure.
func TestNothingInCommon(t *testing.T) {
	for name, change := range map[string]func(*baretls.ClientConfig, *baretls.ServerConfig){
		"cipher suite": func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.CipherSuites, s.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}, []uint16{tls.TLS_AES_256_GCM_SHA384}
		},
		"group": func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.Groups, s.Groups = []tls.CurveID{tls.X25519}, []tls.CurveID{tls.CurveP256}
		},
		"signature scheme": func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519}
		},
	} {
		client, server := clientConfig(), serverConfig()
		change(client, server)
		p := newPair(t, client, server)
		if p.run(); p.server.err == nil {
			t.Errorf("without a common %s, the handshake is complete", name)
		}
		p.server.wantFailed(handshakeFailure)
		p.client.wantAlerted(handshakeFailure)
	}
}

// All suites with all groups, and what both sides say about it.
func TestWhatIsNegotiated(t *testing.T) {
	suites := []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	groups := []tls.CurveID{
		tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384,
		tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024, tls.CurveP521,
	}
	for _, suite := range suites {
		for _, group := range groups {
			client, server := clientConfig(), serverConfig()
			client.CipherSuites, server.Groups = []uint16{suite}, []tls.CurveID{group}
			p := newPair(t, client, server)
			for _, s := range p.sides() {
				state := s.conn.ConnectionState()
				if !s.conn.IsHandshaking() || state.HandshakeComplete || s.conn.NegotiatedCipherSuite() != 0 || s.conn.ProtocolVersion() != 0 || s.conn.HandshakeKind() != baretls.HandshakeUnknown {
					t.Errorf("%s: before its first byte, the connection has %+v", s.role, state)
				}
				if _, err := s.conn.ExportKeyingMaterial("EXPERIMENTAL test", nil, 32); err != baretls.ErrHandshakeNotComplete {
					t.Errorf("%s: before the handshake, ExportKeyingMaterial returns %v", s.role, err)
				}
			}
			p.handshake()
			p.works()
			kind := baretls.HandshakeFull
			if group != tls.X25519MLKEM768 && group != tls.X25519 { // of which there is a share
				kind = baretls.HandshakeFullWithHelloRetryRequest
			}
			var exported [][]byte
			for _, s := range p.sides() {
				c, state := s.conn, s.conn.ConnectionState()
				if c.ProtocolVersion() != tls.VersionTLS13 || c.NegotiatedCipherSuite() != suite || c.NegotiatedKeyExchangeGroup() != group || c.HandshakeKind() != kind || c.ServerName() != "example.com" {
					t.Errorf("%v, %v: the %s says %#x, %v, %v, %v, %q", tls.CipherSuiteName(suite), group, s.role, c.ProtocolVersion(), tls.CipherSuiteName(c.NegotiatedCipherSuite()), c.NegotiatedKeyExchangeGroup(), c.HandshakeKind(), c.ServerName())
				}
				if !state.HandshakeComplete || state.Version != tls.VersionTLS13 || state.CipherSuite != suite || state.CurveID != group || state.ServerName != "example.com" || state.HelloRetryRequest != (kind == baretls.HandshakeFullWithHelloRetryRequest) {
					t.Errorf("%v, %v: the %s has the ConnectionState %+v", tls.CipherSuiteName(suite), group, s.role, state)
				}
				for _, context := range [][]byte{nil, []byte("context")} {
					key, err := c.ExportKeyingMaterial("EXPERIMENTAL test", context, 40)
					if err != nil || len(key) != 40 {
						t.Errorf("%s: ExportKeyingMaterial returns %d bytes, %v", s.role, len(key), err)
					}
					exported = append(exported, key)
				}
			}
			if !bytes.Equal(exported[0], exported[2]) || !bytes.Equal(exported[1], exported[3]) || bytes.Equal(exported[0], exported[1]) {
				t.Errorf("%v, %v: the exported keys are %x", tls.CipherSuiteName(suite), group, exported)
			}
		}
	}
}

func TestExporterMisuse(t *testing.T) {
	p := newPair(t, nil, nil)
	p.handshake()
	for _, tt := range []struct {
		label  string
		length int
		good   bool
	}{
		{"label", 1, true},
		{"label", 255 * 32, true},
		{"x", 32, true},
		{"", 32, false},
		{strings.Repeat("x", 249), 32, true},
		{"label", 0, false},
		{"label", -1, false},
		{"label", 255*32 + 1, false},
		{"label", 1 << 20, false},
		{strings.Repeat("x", 250), 32, false},
		{strings.Repeat("x", 70000), 32, false},
	} {
		key, err := p.client.conn.ExportKeyingMaterial(tt.label, nil, tt.length)
		if (err == nil) != tt.good || tt.good && len(key) != tt.length || !tt.good && key != nil {
			t.Errorf("%d bytes for a label of %d: %d bytes, %v", tt.length, len(tt.label), len(key), err)
		}
	}
}
