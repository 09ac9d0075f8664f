package netconn_test

//lint:file-ignore SA1019 deprecated fields of tls.Config mean something all the same

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/netconn"
)

// What becomes of a field that is set.
type stdFate struct {
	refused bool
	// taken, if it is set, sees in the converted config that it has been heeded.
	// Without it, and not refused, the field must change nothing.
	taken func(any) bool
}

var (
	stdRefused = stdFate{refused: true}
	stdIgnored = stdFate{}
)

func inClient(f func(*baretls.ClientConfig) bool) stdFate {
	return stdFate{taken: func(c any) bool { return f(c.(*baretls.ClientConfig)) }}
}

func inServer(f func(*baretls.ServerConfig) bool) stdFate {
	return stdFate{taken: func(c any) bool { return f(c.(*baretls.ServerConfig)) }}
}

// stdFields is the decision about every exported field of tls.Config.
var stdFields = []struct {
	name           string
	set            func(*tls.Config)
	client, server stdFate
}{
	{"Rand", func(c *tls.Config) { c.Rand = zeroReader{} },
		inClient(func(c *baretls.ClientConfig) bool { return c.Rand == zeroReader{} }),
		inServer(func(c *baretls.ServerConfig) bool { return c.Rand == zeroReader{} })},
	{"Time", func(c *tls.Config) { c.Time = func() time.Time { return tlstest.NotAfter } },
		inClient(func(c *baretls.ClientConfig) bool { return c.Time().Equal(tlstest.NotAfter) }),
		inServer(func(c *baretls.ServerConfig) bool { return c.Time().Equal(tlstest.NotAfter) })},
	{"Certificates", func(c *tls.Config) { c.Certificates = make([]tls.Certificate, 3) },
		inClient(func(c *baretls.ClientConfig) bool { return len(c.Certificates) == 3 }),
		inServer(func(c *baretls.ServerConfig) bool { return len(c.Certificates) == 3 })},
	{"NameToCertificate", func(c *tls.Config) {
		c.Certificates = make([]tls.Certificate, 2)
		c.NameToCertificate = map[string]*tls.Certificate{"a.example": &c.Certificates[1]}
	},
		inClient(func(c *baretls.ClientConfig) bool { return c.GetClientCertificate == nil }),
		inServer(func(c *baretls.ServerConfig) bool { return c.GetCertificate != nil })},
	{"GetCertificate", func(c *tls.Config) {
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errRefused }
	},
		stdIgnored,
		inServer(func(c *baretls.ServerConfig) bool {
			_, err := c.GetCertificate(new(baretls.ClientHello))
			return err == errRefused
		})},
	{"GetClientCertificate", func(c *tls.Config) {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, errRefused }
	},
		inClient(func(c *baretls.ClientConfig) bool {
			_, err := c.GetClientCertificate(new(baretls.CertificateRequest))
			return err == errRefused
		}),
		stdIgnored},
	{"GetConfigForClient", func(c *tls.Config) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	}, stdIgnored, stdRefused},
	{"VerifyPeerCertificate", func(c *tls.Config) {
		c.ClientAuth = tls.RequireAnyClientCert
		c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errRefused }
	},
		inClient(func(c *baretls.ClientConfig) bool {
			return c.VerifyPeer(new(baretls.PeerVerification)) == errRefused
		}),
		inServer(func(c *baretls.ServerConfig) bool {
			return c.VerifyPeer(new(baretls.PeerVerification)) == errRefused
		})},
	{"VerifyConnection", func(c *tls.Config) {
		c.VerifyConnection = func(tls.ConnectionState) error { return nil }
	}, stdRefused, stdRefused},
	{"RootCAs", func(c *tls.Config) { c.RootCAs = anyPool },
		inClient(func(c *baretls.ClientConfig) bool { return c.RootCAs == anyPool }), stdIgnored},
	{"NextProtos", func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} },
		inClient(func(c *baretls.ClientConfig) bool { return slices.Equal(c.NextProtos, []string{"h2", "http/1.1"}) }),
		inServer(func(c *baretls.ServerConfig) bool { return slices.Equal(c.NextProtos, []string{"h2", "http/1.1"}) })},
	{"ServerName", func(c *tls.Config) { c.ServerName = "example.com" }, stdIgnored, stdIgnored}, // returned: TestStdServerName
	{"ClientAuth", func(c *tls.Config) { c.ClientAuth = tls.VerifyClientCertIfGiven }, stdIgnored,
		inServer(func(c *baretls.ServerConfig) bool { return c.ClientAuth == tls.VerifyClientCertIfGiven })},
	{"ClientCAs", func(c *tls.Config) { c.ClientCAs = anyPool }, stdIgnored,
		inServer(func(c *baretls.ServerConfig) bool { return c.ClientCAs == anyPool })},
	{"InsecureSkipVerify", func(c *tls.Config) { c.InsecureSkipVerify = true },
		inClient(func(c *baretls.ClientConfig) bool { return c.CustomVerify(new(baretls.PeerVerification)) == nil }), stdIgnored},
	{"CipherSuites", func(c *tls.Config) { c.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384} },
		inClient(func(c *baretls.ClientConfig) bool { return len(c.CipherSuites) == 3+1 }),
		inServer(func(c *baretls.ServerConfig) bool { return len(c.CipherSuites) == 3+1 })},
	{"PreferServerCipherSuites", func(c *tls.Config) {
		c.PreferServerCipherSuites = true
	}, stdIgnored, stdIgnored},
	{"SessionTicketsDisabled", func(c *tls.Config) { c.SessionTicketsDisabled = true },
		inClient(func(c *baretls.ClientConfig) bool { return c.SessionTicketsDisabled }),
		inServer(func(c *baretls.ServerConfig) bool { return c.SessionTicketsDisabled })},
	{"SessionTicketKey", func(c *tls.Config) {
		c.SessionTicketKey = [32]byte{31: 1}
	}, stdIgnored, stdRefused},
	{"ClientSessionCache", func(c *tls.Config) { c.ClientSessionCache = tls.NewLRUClientSessionCache(1) },
		inClient(func(c *baretls.ClientConfig) bool { return c.Sessions != nil && !c.SessionTicketsDisabled }), stdIgnored},
	{"UnwrapSession", func(c *tls.Config) {
		c.UnwrapSession = func([]byte, tls.ConnectionState) (*tls.SessionState, error) { return nil, nil }
	}, stdIgnored, stdRefused},
	{"WrapSession", func(c *tls.Config) {
		c.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return nil, nil }
	}, stdIgnored, stdRefused},
	{"MinVersion", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 },
		inClient(func(c *baretls.ClientConfig) bool { return c.MinVersion == tls.VersionTLS13 }),
		inServer(func(c *baretls.ServerConfig) bool { return c.MinVersion == tls.VersionTLS13 })},
	{"MaxVersion", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		inClient(func(c *baretls.ClientConfig) bool { return c.MaxVersion == tls.VersionTLS12 }),
		inServer(func(c *baretls.ServerConfig) bool { return c.MaxVersion == tls.VersionTLS12 })},
	{"CurvePreferences", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} },
		inClient(func(c *baretls.ClientConfig) bool { return slices.Equal(c.Groups, []tls.CurveID{tls.CurveP384}) }),
		inServer(func(c *baretls.ServerConfig) bool { return slices.Equal(c.Groups, []tls.CurveID{tls.CurveP384}) })},
	{"DynamicRecordSizingDisabled", func(c *tls.Config) { c.DynamicRecordSizingDisabled = true }, stdIgnored, stdIgnored},
	{"Renegotiation", func(c *tls.Config) { c.Renegotiation = tls.RenegotiateOnceAsClient }, stdRefused, stdIgnored},
	{"KeyLogWriter", func(c *tls.Config) { c.KeyLogWriter = io.Discard },
		inClient(func(c *baretls.ClientConfig) bool { return c.KeyLogWriter == io.Discard }),
		inServer(func(c *baretls.ServerConfig) bool { return c.KeyLogWriter == io.Discard })},
	{"EncryptedClientHelloConfigList", func(c *tls.Config) { c.EncryptedClientHelloConfigList = []byte{} }, stdRefused, stdIgnored},
	{"EncryptedClientHelloRejectionVerify", func(c *tls.Config) {
		c.EncryptedClientHelloRejectionVerify = func(tls.ConnectionState) error { return nil }
	}, stdRefused, stdIgnored},
	{"GetEncryptedClientHelloKeys", func(c *tls.Config) {
		c.GetEncryptedClientHelloKeys = func(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) { return nil, nil }
	}, stdIgnored, stdRefused},
	{"EncryptedClientHelloKeys", func(c *tls.Config) {
		c.EncryptedClientHelloKeys = []tls.EncryptedClientHelloKey{{}}
	}, stdIgnored, stdRefused},
}

var (
	errRefused = errors.New("a callback of the config refuses")
	anyPool    = x509.NewCertPool()
)

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// A field that a new version of Go brings fails this test until somebody has
// decided about it, in the code and in stdFields.
func TestStdFieldsAreDecided(t *testing.T) {
	var decided, exported []string
	for _, field := range stdFields {
		decided = append(decided, field.name)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[tls.Config]()) {
		if field.IsExported() {
			exported = append(exported, field.Name)
		}
	}
	slices.Sort(decided)
	slices.Sort(exported)
	if !slices.Equal(decided, exported) {
		t.Errorf("decided is about the fields\n\t%v\nand tls.Config has\n\t%v", decided, exported)
	}
	if _, ok := reflect.TypeFor[tls.Config]().FieldByName("sessionTicketKeys"); !ok {
		t.Error("keys of SetSessionTicketKeys cannot be noticed any more")
	}
}

func TestStdFields(t *testing.T) {
	for _, field := range stdFields {
		std := new(tls.Config)
		field.set(std)
		client, _, err := netconn.ClientConfigFromStd(std)
		if unset, _, _ := netconn.ClientConfigFromStd(new(tls.Config)); checkFate(t, field.client, "client", field.name, err) {
			checkTaken(t, field.client, "client", field.name, client, unset)
		}
		server, err := netconn.ServerConfigFromStd(std)
		if unset, _ := netconn.ServerConfigFromStd(new(tls.Config)); checkFate(t, field.server, "server", field.name, err) {
			checkTaken(t, field.server, "server", field.name, server, unset)
		}
	}
}

// checkFate returns true if there is a config to look at.
func checkFate(t *testing.T, f stdFate, role, field string, err error) bool {
	t.Helper()
	var wrong *baretls.ConfigError
	switch {
	case !f.refused && err != nil:
		t.Errorf("%s: %s is refused: %v", role, field, err)
	case f.refused && (!errors.As(err, &wrong) || wrong.Field != field):
		t.Errorf("%s: %s is set, and the error is %v; want a ConfigError with its name", role, field, err)
	}
	return err == nil && !f.refused
}

func checkTaken(t *testing.T, f stdFate, role, field string, got, unset any) {
	t.Helper()
	switch {
	case f.taken != nil && !f.taken(got):
		t.Errorf("%s: %s is not heeded", role, field)
	case f.taken == nil && !reflect.DeepEqual(got, unset):
		t.Errorf("%s: %s is to be ignored, and changes the config", role, field)
	}
}

// No config at all is the zero one, as in crypto/tls.
func TestStdNilConfig(t *testing.T) {
	client, name, err := netconn.ClientConfigFromStd(nil)
	if want, _, _ := netconn.ClientConfigFromStd(new(tls.Config)); err != nil || name != "" || !reflect.DeepEqual(client, want) {
		t.Errorf("nil becomes a client's config for %q that is not the one of the zero Config, or an error: %v", name, err)
	}
	server, err := netconn.ServerConfigFromStd(nil)
	if want, _ := netconn.ServerConfigFromStd(new(tls.Config)); err != nil || !reflect.DeepEqual(server, want) {
		t.Errorf("nil becomes a server's config that is not the one of the zero Config, or an error: %v", err)
	}
}

func TestStdServerName(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "example.com": "example.com", "192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::1", "[2001:db8::1]": "2001:db8::1", "[": "[",
	} {
		if _, got, err := netconn.ClientConfigFromStd(&tls.Config{ServerName: name}); got != want || err != nil {
			t.Errorf("for the ServerName %q, the name is %q, %v; want %q", name, got, err, want)
		}
	}
}

// Bounds of versions hold as far as there are versions to bound.
func TestStdVersions(t *testing.T) {
	for _, tt := range []struct {
		min, max         uint16
		wantMin, wantMax uint16
		refused          string
	}{
		{min: tls.VersionTLS10},
		{min: tls.VersionTLS11, max: tls.VersionTLS13},
		{min: tls.VersionTLS12, max: 0x0305},
		{min: tls.VersionTLS12, max: tls.VersionTLS12, wantMax: tls.VersionTLS12},
		{min: tls.VersionTLS13, max: tls.VersionTLS13, wantMin: tls.VersionTLS13},
		{max: tls.VersionTLS11, refused: "MaxVersion"},
		{min: tls.VersionTLS10, max: tls.VersionTLS10, refused: "MaxVersion"},
		{min: 0x0305, refused: "MinVersion"},
	} {
		std := &tls.Config{MinVersion: tt.min, MaxVersion: tt.max}
		client, _, err := netconn.ClientConfigFromStd(std)
		server, err2 := netconn.ServerConfigFromStd(std)
		if tt.refused != "" {
			wantRefused(t, err, tt.refused)
			wantRefused(t, err2, tt.refused)
			continue
		}
		if err != nil || err2 != nil {
			t.Errorf("from %#04x to %#04x: %v, %v", tt.min, tt.max, err, err2)
			continue
		}
		for _, got := range [][2]uint16{{client.MinVersion, client.MaxVersion}, {server.MinVersion, server.MaxVersion}} {
			if got != [2]uint16{tt.wantMin, tt.wantMax} {
				t.Errorf("from %#04x to %#04x becomes %#04x, want %#04x to %#04x", tt.min, tt.max, got, tt.wantMin, tt.wantMax)
			}
		}
	}
}

func wantRefused(t *testing.T, err error, field string) {
	t.Helper()
	var wrong *baretls.ConfigError
	if !errors.As(err, &wrong) || wrong.Field != field {
		t.Errorf("the error is %v, want a ConfigError about %s", err, field)
	}
}

// A list of cipher suites is a set of those of TLS 1.2; the rest of what it
// says is left to the library, here as in crypto/tls.
func TestStdCipherSuites(t *testing.T) {
	const (
		aes128  = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
		chacha  = tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
		cbc     = tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
		rsaOnly = tls.TLS_RSA_WITH_AES_128_GCM_SHA256
	)
	all13 := []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	var everything []uint16
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		everything = append(everything, suite.ID)
	}
	for _, tt := range []struct {
		what    string
		suites  []uint16
		min     uint16
		want    []uint16
		refused bool
	}{
		{what: "no list", suites: nil, want: nil},
		{what: "all that crypto/tls has", suites: everything, want: nil},
		{what: "two in the wrong order", suites: []uint16{chacha, aes128}, want: append(slices.Clone(all13), aes128, chacha)},
		{what: "one that there is and one that there is not", suites: []uint16{cbc, aes128}, want: append(slices.Clone(all13), aes128)},
		{what: "one with CBC", suites: []uint16{cbc}, refused: true},
		{what: "one with key exchange by RSA, and one of TLS 1.3", suites: []uint16{rsaOnly, tls.TLS_AES_128_GCM_SHA256}, refused: true},
		{what: "one with CBC, which TLS 1.3 makes irrelevant", suites: []uint16{cbc}, min: tls.VersionTLS13, want: nil},
		{what: "an empty list", suites: []uint16{}, want: all13},
		{what: "one of TLS 1.3", suites: []uint16{tls.TLS_AES_256_GCM_SHA384}, want: all13},
	} {
		std := &tls.Config{CipherSuites: tt.suites, MinVersion: tt.min}
		client, _, err := netconn.ClientConfigFromStd(std)
		server, err2 := netconn.ServerConfigFromStd(std)
		if tt.refused {
			wantRefused(t, err, "CipherSuites")
			wantRefused(t, err2, "CipherSuites")
			continue
		}
		if err != nil || err2 != nil {
			t.Errorf("%s: %v, %v", tt.what, err, err2)
		} else if !slices.Equal(client.CipherSuites, tt.want) || !slices.Equal(server.CipherSuites, tt.want) {
			t.Errorf("%s becomes %#04x and %#04x, want %#04x", tt.what, client.CipherSuites, server.CipherSuites, tt.want)
		}
	}
}

// Every suite of TLS 1.2 and every group of crypto/tls is refused alone if, and
// only if, baretls does not have it.
func TestStdAlgorithmsAreThoseOfBaretls(t *testing.T) {
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS13) {
			continue
		}
		_, _, err := netconn.ClientConfigFromStd(&tls.Config{CipherSuites: []uint16{suite.ID}})
		_, has := baretls.NewClient(&baretls.ClientConfig{CipherSuites: []uint16{suite.ID}}, "example.com")
		if (err == nil) != (has == nil) {
			t.Errorf("%s: the conversion says %v, and baretls %v", suite.Name, err, has)
		}
	}
	for id := range tls.CurveID(0x1200) {
		_, _, err := netconn.ClientConfigFromStd(&tls.Config{CurvePreferences: []tls.CurveID{tls.X25519, id}})
		_, has := baretls.NewClient(&baretls.ClientConfig{Groups: []tls.CurveID{id}}, "example.com")
		if (err == nil) != (has == nil) {
			t.Errorf("%v: the conversion says %v, and baretls %v", id, err, has)
		}
		if err != nil {
			wantRefused(t, err, "CurvePreferences[1]")
		}
	}
}

// The order of the groups is ours, and doubles are harmless.
func TestStdCurvePreferences(t *testing.T) {
	config, _, err := netconn.ClientConfigFromStd(&tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384, tls.X25519, tls.CurveP384, tls.X25519MLKEM768}})
	if want := []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP384}; err != nil || !slices.Equal(config.Groups, want) {
		t.Errorf("the groups are %v, %v, want %v", config.Groups, err, want)
	}
	config, _, err = netconn.ClientConfigFromStd(&tls.Config{CurvePreferences: []tls.CurveID{}})
	if err != nil || config.Groups != nil {
		t.Errorf("no preference becomes %v, %v", config.Groups, err)
	}
}

// A server cannot ask VerifyPeerCertificate about clients that present nothing,
// and must not let them in unasked.
func TestStdVerifyPeerCertificateNeedsCertificates(t *testing.T) {
	for auth, want := range map[tls.ClientAuthType]string{
		tls.NoClientCert:               "is not called", // nor is it in crypto/tls
		tls.RequestClientCert:          "refused",
		tls.RequireAnyClientCert:       "called",
		tls.VerifyClientCertIfGiven:    "refused",
		tls.RequireAndVerifyClientCert: "called",
	} {
		config, err := netconn.ServerConfigFromStd(&tls.Config{
			ClientAuth:            auth,
			VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return nil },
		})
		switch want {
		case "refused":
			wantRefused(t, err, "VerifyPeerCertificate")
		default:
			if err != nil || (config.VerifyPeer != nil) != (want == "called") {
				t.Errorf("with %v, VerifyPeer is set: %v, error %v; want that it %s", auth, config.VerifyPeer != nil, err, want)
			}
		}
	}
}

// Keys of tickets that the program has given are noticed, and those that
// crypto/tls makes up are not mistaken for them.
func TestStdTicketKeys(t *testing.T) {
	std := &tls.Config{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}}
	roots, _ := tlstest.CA()
	client := &tls.Config{RootCAs: roots, ServerName: "example.com"}
	if a, b := stdMeet(t, stdClient(client), stdServer(std)); a.err != nil || b.err != nil {
		t.Fatalf("crypto/tls with itself: %v, %v", a.err, b.err)
	}
	if std.SessionTicketKey == [32]byte{} {
		t.Fatal("crypto/tls has left SessionTicketKey alone, so that this test has no point")
	}
	if _, err := netconn.ServerConfigFromStd(std); err != nil {
		t.Errorf("a config that crypto/tls has used: %v", err)
	}
	std.SetSessionTicketKeys([][32]byte{{1}})
	_, err := netconn.ServerConfigFromStd(std)
	wantRefused(t, err, "SetSessionTicketKeys")
	if _, _, err := netconn.ClientConfigFromStd(std); err != nil {
		t.Errorf("to a client, keys for tickets mean nothing, but: %v", err)
	}
	std.SessionTicketsDisabled = true
	std.SessionTicketKey = [32]byte{1}
	std.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return nil, nil }
	if _, err := netconn.ServerConfigFromStd(std); err != nil {
		t.Errorf("without tickets, keys for them mean nothing, but: %v", err)
	}
}

// What is changed in a config after the conversion is not seen.
func TestStdConfigIsCopied(t *testing.T) {
	leaf := tlstest.Leaf(tlstest.ECDSAP256)
	std := &tls.Config{
		Certificates:      []tls.Certificate{leaf, leaf},
		NextProtos:        []string{"h2"},
		NameToCertificate: map[string]*tls.Certificate{"example.com": &leaf},
	}
	client, _, _ := netconn.ClientConfigFromStd(std)
	server, err := netconn.ServerConfigFromStd(std)
	if err != nil {
		t.Fatal(err)
	}
	std.Certificates[0] = tls.Certificate{}
	std.NextProtos[0] = "http/1.1"
	delete(std.NameToCertificate, "example.com")
	if client.NextProtos[0] != "h2" || server.NextProtos[0] != "h2" ||
		client.Certificates[0].Leaf != leaf.Leaf || server.Certificates[0].Leaf != leaf.Leaf {
		t.Error("a change of a list is seen in the converted config")
	}
	if cert, err := server.GetCertificate(&baretls.ClientHello{ServerName: "example.com"}); cert != &leaf || err != nil {
		t.Error("a change of the map is seen in the converted config")
	}
}

// GetCertificate and NameToCertificate are asked when crypto/tls would ask.
func TestStdGetCertificate(t *testing.T) {
	picked, exact, wildcard := new(tls.Certificate), new(tls.Certificate), new(tls.Certificate)
	named := map[string]*tls.Certificate{"exact.example": exact, "*.wild.example": wildcard}
	get := func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
		switch info.ServerName {
		case "picked.example", "":
			return picked, nil
		case "forbidden.example":
			return nil, errRefused
		}
		return nil, nil
	}
	for _, tt := range []struct {
		what  string
		own   int // Certificates
		get   func(*tls.ClientHelloInfo) (*tls.Certificate, error)
		named map[string]*tls.Certificate
		name  string
		want  *tls.Certificate
		err   error
	}{
		{"the function", 1, get, nil, "picked.example", picked, nil},
		{"its error", 2, get, named, "forbidden.example", nil, errRefused},
		{"without a name, Certificates come first", 1, get, nil, "", nil, nil},
		{"unless there are none", 0, get, nil, "", picked, nil},
		{"a function that knows no answer", 2, get, named, "exact.example", exact, nil},
		{"the map", 2, nil, named, "EXACT.example", exact, nil},
		{"a wildcard", 2, nil, named, "a.wild.example", wildcard, nil},
		{"a wildcard is for one label", 2, nil, named, "a.b.wild.example", nil, nil},
		{"a name without dots", 2, nil, named, "localhost", nil, nil},
		{"no name", 2, nil, named, "", nil, nil},
		{"the map, where there is no choice", 1, get, named, "exact.example", nil, nil},
	} {
		config, err := netconn.ServerConfigFromStd(&tls.Config{
			Certificates:      make([]tls.Certificate, tt.own),
			GetCertificate:    tt.get,
			NameToCertificate: tt.named,
		})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := config.GetCertificate(&baretls.ClientHello{ServerName: tt.name})
		if cert != tt.want || err != tt.err {
			t.Errorf("%s: for %q the answer is %p, %v, want %p, %v", tt.what, tt.name, cert, err, tt.want, tt.err)
		}
	}
	config, _ := netconn.ServerConfigFromStd(&tls.Config{Certificates: make([]tls.Certificate, 1), NameToCertificate: named})
	if config.GetCertificate != nil {
		t.Error("with a single certificate, crypto/tls does not look at NameToCertificate, but we do")
	}
}

// Whatever a cache of sessions returns, there is a session or none.
func TestStdSessionCacheOfOthers(t *testing.T) {
	foreign := func(extra ...[]byte) *tls.ClientSessionState {
		state, err := tls.NewResumptionState(nil, &tls.SessionState{Extra: extra})
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	for what, state := range map[string]*tls.ClientSessionState{
		"nil":                        nil,
		"an empty state":             new(tls.ClientSessionState),
		"a state without our part":   foreign(),
		"a state with others' parts": foreign([]byte("a"), []byte("b")),
		"a state with a bad part":    foreign([]byte("not a session")),
	} {
		config, _, err := netconn.ClientConfigFromStd(&tls.Config{ClientSessionCache: &oneSession{state: state}})
		if err != nil {
			t.Fatal(err)
		}
		if session := config.Sessions.Take("key"); session != nil {
			t.Errorf("%s: there is a session %v", what, session)
		}
	}
	cache := new(oneSession)
	config, _, err := netconn.ClientConfigFromStd(&tls.Config{ClientSessionCache: cache})
	if err != nil {
		t.Fatal(err)
	}
	if config.Sessions.Put("key", new(baretls.ClientSession)); cache.state != nil {
		t.Error("an empty session is kept")
	}
}

// oneSession is a cache that knows no keys.
type oneSession struct{ state *tls.ClientSessionState }

func (c *oneSession) Get(string) (*tls.ClientSessionState, bool)  { return c.state, true }
func (c *oneSession) Put(_ string, state *tls.ClientSessionState) { c.state = state }

// A stdEnd runs one side of a connection: the handshake, a word in each
// direction, and the end.
type stdEnd func(transport net.Conn) stdResult

type stdResult struct {
	state tls.ConnectionState
	err   error
}

// stdLibrary is who runs an end, given a config of crypto/tls.
type stdLibrary struct {
	name   string
	client func(*tls.Config) stdEnd
	server func(*tls.Config) stdEnd
}

// pairings calls f for both versions and all four pairs of libraries.
// crypto/tls with itself comes first and shows what is right.
func pairings(t *testing.T, f func(t *testing.T, version uint16, client, server stdLibrary)) {
	libraries := []stdLibrary{
		{"crypto-tls", stdClient, stdServer},
		{"baretls", func(c *tls.Config) stdEnd { return ourClient(t, c) }, func(c *tls.Config) stdEnd { return ourServer(t, c) }},
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, client := range libraries {
			for _, server := range libraries {
				name := fmt.Sprintf("%s/%s-to-%s", tls.VersionName(version), client.name, server.name)
				t.Run(name, func(t *testing.T) { f(t, version, client, server) })
			}
		}
	}
}

// stdMeet connects two ends in memory.
func stdMeet(t *testing.T, client, server stdEnd) (c, s stdResult) {
	t.Helper()
	left, right := net.Pipe()
	// Only so that a test that goes wrong does not wait for ever.
	left.SetDeadline(time.Now().Add(time.Minute))
	right.SetDeadline(time.Now().Add(time.Minute))
	var both sync.WaitGroup
	both.Go(func() {
		transport := newEagerConn(left)
		defer transport.Close()
		c = client(transport)
	})
	both.Go(func() {
		transport := newEagerConn(right)
		defer transport.Close()
		s = server(transport)
	})
	both.Wait()
	return c, s
}

// eagerConn writes without waiting for the reader, as a socket does.
type eagerConn struct {
	net.Conn
	queue chan []byte
	done  chan struct{}
}

func newEagerConn(c net.Conn) *eagerConn {
	e := &eagerConn{c, make(chan []byte, 1000), make(chan struct{})}
	go func() {
		defer close(e.done)
		for b := range e.queue {
			if _, err := c.Write(b); err != nil {
				break
			}
		}
	}()
	return e
}

func (e *eagerConn) Write(b []byte) (int, error) {
	e.queue <- bytes.Clone(b)
	return len(b), nil
}

// SetWriteDeadline is for a Write that waits, which this one does not:
// crypto/tls sets one in the past after its close_notify.
func (e *eagerConn) SetWriteDeadline(time.Time) error { return nil }

// Close is called once, by stdMeet; the others' Close is for their own side only.
func (e *eagerConn) Close() error {
	close(e.queue)
	go io.Copy(io.Discard, e.Conn) // what is not wanted any more, so that the peer need not wait
	<-e.done
	return e.Conn.Close()
}

const stdPing, stdPong = "ping", "pong"

func stdClient(config *tls.Config) stdEnd {
	return func(transport net.Conn) (r stdResult) {
		conn := tls.Client(transport, config)
		if r.err = conn.Handshake(); r.err != nil {
			return r
		}
		if _, r.err = io.WriteString(conn, stdPing); r.err != nil {
			return r
		}
		if r.err = hear(conn, stdPong); r.err != nil {
			return r
		}
		r.state, r.err = conn.ConnectionState(), conn.CloseWrite()
		return r
	}
}

func stdServer(config *tls.Config) stdEnd {
	return func(transport net.Conn) (r stdResult) {
		conn := tls.Server(transport, config)
		if r.err = hear(conn, stdPing); r.err != nil {
			return r
		}
		if _, r.err = io.WriteString(conn, stdPong); r.err != nil {
			return r
		}
		r.state, r.err = conn.ConnectionState(), conn.CloseWrite()
		return r
	}
}

func hear(conn io.Reader, word string) error {
	got := make([]byte, len(word))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != word {
		return fmt.Errorf("got %q, want %q", got, word)
	}
	return nil
}

// ourClient converts the config once, so that its ends can resume.
func ourClient(t *testing.T, std *tls.Config) stdEnd {
	t.Helper()
	config, name, err := netconn.ClientConfigFromStd(std)
	if err != nil {
		t.Fatal(err)
	}
	return func(transport net.Conn) (r stdResult) {
		conn, err := baretls.NewClient(config, name)
		if err != nil {
			return stdResult{err: err}
		}
		s := &stdScript{conn: &conn.Conn, transport: transport}
		if r.err = s.until(func() bool { return !s.conn.IsHandshaking() }); r.err != nil {
			return r
		}
		if r.err = s.say(stdPing); r.err != nil {
			return r
		}
		r.err = s.until(func() bool { return string(s.heard) == stdPong })
		r.state = s.conn.ConnectionState()
		return r
	}
}

func ourServer(t *testing.T, std *tls.Config) stdEnd {
	t.Helper()
	config, err := netconn.ServerConfigFromStd(std)
	if err != nil {
		t.Fatal(err)
	}
	return func(transport net.Conn) (r stdResult) {
		conn, err := baretls.NewServer(config)
		if err != nil {
			return stdResult{err: err}
		}
		s := &stdScript{conn: &conn.Conn, transport: transport}
		if r.err = s.until(func() bool { return string(s.heard) == stdPing }); r.err != nil {
			return r
		}
		r.err = s.say(stdPong)
		r.state = s.conn.ConnectionState()
		return r
	}
}

// stdScript drives a connection of ours over a blocking transport.
type stdScript struct {
	conn      *baretls.Conn
	transport net.Conn
	in, out   []byte
	heard     []byte
	writer    baretls.WriteTraffic
}

// until takes turns, and receives, until there is nothing left to do and done
// says so.
func (s *stdScript) until(done func() bool) error {
	buf := make([]byte, 1<<14)
	for {
		quiet, err := s.turn()
		if err != nil || quiet && done() {
			return err
		}
		if !quiet {
			continue
		}
		n, err := s.transport.Read(buf)
		s.in = append(s.in, buf[:n]...)
		switch {
		case err == io.EOF:
			s.conn.CloseInput()
		case err != nil:
			return err
		}
	}
}

func (s *stdScript) turn() (quiet bool, err error) {
	status, err := s.conn.ProcessTLSRecords(s.in)
	discard := status.Discard
	switch state := status.State.(type) {
	case baretls.EncodeTLSData:
		s.out, err = state.AppendTo(s.out)
	case baretls.TransmitTLSData:
		if _, err = s.transport.Write(s.out); err == nil {
			s.out, err = nil, state.Done()
		}
	case baretls.ReadTraffic:
		for record := range state.Records() {
			s.heard = append(s.heard, record.Payload...)
			discard += record.Discard
		}
	case baretls.WriteTraffic:
		s.writer, quiet = state, true
	case baretls.BlockedHandshake:
		quiet = true
	case baretls.PeerClosed:
	case nil:
	default:
		err = fmt.Errorf("state %T in the middle of a conversation", state)
	}
	s.in = s.in[discard:]
	return quiet, err
}

// say writes in the WriteTraffic that until has led to.
func (s *stdScript) say(word string) error {
	out, err := s.writer.AppendEncrypted(nil, []byte(word))
	if err == nil {
		_, err = s.transport.Write(out)
	}
	return err
}

func pinned(std *tls.Config, v uint16) *tls.Config {
	std.MinVersion, std.MaxVersion = v, v
	return std
}

// stdPair are configs for example.com.
func stdPair(v uint16) (client, server *tls.Config) {
	roots, _ := tlstest.CA()
	return pinned(&tls.Config{RootCAs: roots, ServerName: "example.com"}, v),
		pinned(&tls.Config{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}}, v)
}

func wantBoth(t *testing.T, c, s stdResult) {
	t.Helper()
	if c.err != nil || s.err != nil {
		t.Fatalf("the client has the error %v, the server %v", c.err, s.err)
	}
}

// What is negotiated under the same configs is the same, whoever negotiates.
func TestStdNegotiation(t *testing.T) {
	pairings(t, func(t *testing.T, v uint16, client, server stdLibrary) {
		a, b := stdPair(v)
		a.NextProtos, b.NextProtos = []string{"http/1.1", "h2"}, []string{"h2", "http/1.1"}
		b.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
		a.CurvePreferences = []tls.CurveID{tls.CurveP384, tls.CurveP256} // which the certificate needs in TLS 1.2
		b.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
		log := new(bytes.Buffer)
		a.KeyLogWriter = log
		c, s := stdMeet(t, client.client(a), server.server(b))
		wantBoth(t, c, s)
		suite := uint16(tls.TLS_AES_128_GCM_SHA256)
		if v == tls.VersionTLS12 {
			suite = tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
		}
		for role, state := range map[string]tls.ConnectionState{"client": c.state, "server": s.state} {
			if state.Version != v || state.NegotiatedProtocol != "h2" || state.CurveID != tls.CurveP384 ||
				state.CipherSuite != suite || state.ServerName != "example.com" || state.DidResume {
				t.Errorf("the %s has %s, %q, %v, %s, %q, resumed: %v", role, tls.VersionName(state.Version),
					state.NegotiatedProtocol, state.CurveID, tls.CipherSuiteName(state.CipherSuite), state.ServerName, state.DidResume)
			}
		}
		if !strings.Contains(log.String(), "CLIENT_") {
			t.Errorf("the key log is %q", log)
		}
	})
}

// A list without a suite of TLS 1.2 means TLS 1.3 to both libraries.
func TestStdSuitesOfOneVersion(t *testing.T) {
	pairings(t, func(t *testing.T, v uint16, client, server stdLibrary) {
		a, b := stdPair(0)
		a.MaxVersion = v
		b.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
		c, s := stdMeet(t, client.client(a), server.server(b))
		if v == tls.VersionTLS12 {
			if c.err == nil || s.err == nil {
				t.Errorf("the client has the error %v, the server %v; want that they do not agree on a suite", c.err, s.err)
			}
			return
		}
		wantBoth(t, c, s)
	})
}

func TestStdVerification(t *testing.T) {
	pairings(t, func(t *testing.T, v uint16, client, server stdLibrary) {
		for _, tt := range []struct {
			what   string
			change func(client, server *tls.Config)
			fails  bool
		}{
			{"another name", func(c, s *tls.Config) { c.ServerName = "elsewhere.example.org" }, true},
			{"unknown roots", func(c, s *tls.Config) { c.RootCAs = x509.NewCertPool() }, true},
			{"an expired certificate", func(c, s *tls.Config) {
				c.Time = func() time.Time { return tlstest.NotAfter.AddDate(0, 0, 1) }
			}, true},
			{"another name, skipped", func(c, s *tls.Config) { c.ServerName, c.InsecureSkipVerify = "elsewhere.example.org", true }, false},
			{"no name and unknown roots, skipped", func(c, s *tls.Config) {
				c.ServerName, c.RootCAs, c.InsecureSkipVerify = "", x509.NewCertPool(), true
			}, false},
			{"a server does not skip anything", func(c, s *tls.Config) {
				s.InsecureSkipVerify, s.ClientAuth, s.ClientCAs = true, tls.RequireAndVerifyClientCert, x509.NewCertPool()
				c.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.ECDSAP256)}
			}, true},
		} {
			a, b := stdPair(v)
			tt.change(a, b)
			c, s := stdMeet(t, client.client(a), server.server(b))
			if failed := c.err != nil && s.err != nil; failed != tt.fails {
				t.Errorf("%s: the client has the error %v, the server %v; want that they fail: %v", tt.what, c.err, s.err, tt.fails)
			}
			var verdict *tls.CertificateVerificationError
			if tt.fails && !errors.As(c.err, &verdict) && !errors.As(s.err, &verdict) {
				t.Errorf("%s: neither %v nor %v is a CertificateVerificationError", tt.what, c.err, s.err)
			}
		}
	})
}

// asked is what VerifyPeerCertificate was called with.
type asked struct {
	raw    [][]byte
	chains [][]*x509.Certificate
}

// recorder is a VerifyPeerCertificate that keeps what it gets.
type recorder struct{ calls []asked }

func (r *recorder) verify(raw [][]byte, chains [][]*x509.Certificate) error {
	r.calls = append(r.calls, asked{raw, chains})
	return nil
}

// VerifyPeerCertificate gets the same from both libraries, in both roles, with
// verification and without.
func TestStdVerifyPeerCertificate(t *testing.T) {
	serverLeaf, clientLeaf := tlstest.Leaf(tlstest.ECDSAP256), tlstest.ClientLeaf(tlstest.RSA2048)
	roots, _ := tlstest.CA()
	pairings(t, func(t *testing.T, v uint16, client, server stdLibrary) {
		for _, verified := range []bool{true, false} {
			var ofServer, ofClient recorder
			a, b := stdPair(v)
			a.VerifyPeerCertificate, b.VerifyPeerCertificate = ofServer.verify, ofClient.verify
			a.Certificates = []tls.Certificate{clientLeaf}
			a.InsecureSkipVerify = !verified
			b.ClientAuth = tls.RequireAnyClientCert
			if verified {
				b.ClientAuth, b.ClientCAs = tls.RequireAndVerifyClientCert, roots
			}
			c, s := stdMeet(t, client.client(a), server.server(b))
			wantBoth(t, c, s)
			wantAsked(t, "the client", ofServer.calls, serverLeaf, verified)
			wantAsked(t, "the server", ofClient.calls, clientLeaf, verified)
		}
	})
}

// wantAsked checks that there was one call, about the peer's chain as it was
// sent, and with the one chain to the root if it was verified.
func wantAsked(t *testing.T, who string, calls []asked, leaf tls.Certificate, verified bool) {
	t.Helper()
	if len(calls) != 1 || !reflect.DeepEqual(calls[0].raw, leaf.Certificate) {
		t.Errorf("%s has called VerifyPeerCertificate %d times, or with another chain", who, len(calls))
		return
	}
	chains := calls[0].chains
	switch {
	case !verified && chains != nil:
		t.Errorf("%s has verified nothing, and passes on %d chains", who, len(chains))
	case verified && (len(chains) != 1 || len(chains[0]) != 3 || !bytes.Equal(chains[0][0].Raw, leaf.Certificate[0])):
		t.Errorf("%s passes on %d chains; want one from the leaf to the root", who, len(chains))
	}
}

// VerifyConnection is refused. What crypto/tls would call it with is what there
// is to call it with after the handshake.
func TestStdVerifyConnectionAfterwards(t *testing.T) {
	roots, _ := tlstest.CA()
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		configs := func() (client, server *tls.Config) {
			client, server = stdPair(v)
			client.NextProtos, server.NextProtos = []string{"h2"}, []string{"h2"}
			client.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.ECDSAP256)}
			server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, roots
			server.Certificates[0].OCSPStaple = []byte("a staple")
			server.Certificates[0].SignedCertificateTimestamps = [][]byte{[]byte("an SCT")}
			return client, server
		}
		var byClient, byServer tls.ConnectionState
		a, b := configs()
		a.VerifyConnection = func(state tls.ConnectionState) error { byClient = state; return nil }
		b.VerifyConnection = func(state tls.ConnectionState) error { byServer = state; return nil }
		c, s := stdMeet(t, stdClient(a), stdServer(b))
		wantBoth(t, c, s)
		a, b = configs()
		c, s = stdMeet(t, ourClient(t, a), ourServer(t, b))
		wantBoth(t, c, s)
		wantSameFacts(t, "the client's", c.state, byClient)
		wantSameFacts(t, "the server's", s.state, byServer)
	}
}

// wantSameFacts compares what somebody can decide by.
func wantSameFacts(t *testing.T, whose string, got, want tls.ConnectionState) {
	t.Helper()
	facts := func(s tls.ConnectionState) []any {
		var chain [][]byte
		for _, cert := range s.PeerCertificates {
			chain = append(chain, cert.Raw)
		}
		return []any{
			s.Version, s.CipherSuite, s.NegotiatedProtocol, s.ServerName, s.DidResume, s.HelloRetryRequest,
			chain, len(s.VerifiedChains), s.OCSPResponse, s.SignedCertificateTimestamps,
		}
	}
	if got, want := facts(got), facts(want); !reflect.DeepEqual(got, want) {
		t.Errorf("%s state is\n\t%v\nand in crypto/tls it is\n\t%v", whose, got, want)
	}
}

// An error of VerifyPeerCertificate ends the handshake: this side has it, and
// the peer an alert.
func TestStdVerifyPeerCertificateRefuses(t *testing.T) {
	const badCertificate = tls.AlertError(42)
	pairings(t, func(t *testing.T, v uint16, client, server stdLibrary) {
		no := func([][]byte, [][]*x509.Certificate) error { return errRefused }
		a, b := stdPair(v)
		a.VerifyPeerCertificate = no
		c, s := stdMeet(t, client.client(a), server.server(b))
		wantRefusal(t, "client", c.err, s.err, badCertificate)

		a, b = stdPair(v)
		a.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.ECDSAP256)}
		b.ClientAuth, b.VerifyPeerCertificate = tls.RequireAnyClientCert, no
		c, s = stdMeet(t, client.client(a), server.server(b))
		wantRefusal(t, "server", s.err, c.err, badCertificate)
	})
}

func wantRefusal(t *testing.T, who string, own, peers error, alert tls.AlertError) {
	t.Helper()
	if !errors.Is(own, errRefused) {
		t.Errorf("the callback of the %s refuses, and its error is %v", who, own)
	}
	if got, ok := errors.AsType[tls.AlertError](peers); !ok || got != alert {
		// crypto/tls wraps a received alert in a net.OpError that hides its type.
		if peers == nil || !strings.Contains(peers.Error(), strings.TrimPrefix(alert.Error(), "tls: ")) {
			t.Errorf("the callback of the %s refuses, and its peer has the error %v, want the alert %q", who, peers, alert)
		}
	}
}

// Client certificates from a list and from a function.
func TestStdClientCertificates(t *testing.T) {
	roots, _ := tlstest.CA()
	leaf := tlstest.ClientLeaf(tlstest.ECDSAP384)
	pairings(t, func(t *testing.T, v uint16, client, server stdLibrary) {
		for _, tt := range []struct {
			what string
			auth tls.ClientAuthType
			list []tls.Certificate
			get  *tls.Certificate
			err  error
			want bool // that the server has it
			fail bool
		}{
			{what: "from the list", auth: tls.RequireAndVerifyClientCert, list: []tls.Certificate{leaf}, want: true},
			{what: "from the function, not the list", auth: tls.RequireAndVerifyClientCert,
				list: []tls.Certificate{tlstest.ClientLeaf(tlstest.RSA2048)}, get: &leaf, want: true},
			{what: "an empty one, for none", auth: tls.VerifyClientCertIfGiven, get: new(tls.Certificate)},
			{what: "an empty one, where there must be one", auth: tls.RequireAnyClientCert, get: new(tls.Certificate), fail: true},
			{what: "an error", auth: tls.VerifyClientCertIfGiven, err: errRefused, fail: true},
			{what: "none", auth: tls.RequestClientCert},
		} {
			var info *tls.CertificateRequestInfo
			a, b := stdPair(v)
			a.Certificates = tt.list
			if tt.get != nil || tt.err != nil {
				a.GetClientCertificate = func(i *tls.CertificateRequestInfo) (*tls.Certificate, error) {
					info = i
					return tt.get, tt.err
				}
			}
			b.ClientAuth, b.ClientCAs = tt.auth, roots
			c, s := stdMeet(t, client.client(a), server.server(b))
			if failed := c.err != nil || s.err != nil; failed != tt.fail {
				t.Errorf("%s: the client has the error %v, the server %v; want that it fails: %v", tt.what, c.err, s.err, tt.fail)
			}
			if tt.err != nil && !errors.Is(c.err, tt.err) {
				t.Errorf("%s: the client's error is %v", tt.what, c.err)
			}
			if got := s.state.PeerCertificates; tt.want != (len(got) > 0 && bytes.Equal(got[0].Raw, leaf.Certificate[0])) {
				t.Errorf("%s: the server has %d certificates, or others", tt.what, len(got))
			}
			if info != nil && (info.Version != v || info.SupportsCertificate(&leaf) != nil ||
				!slices.ContainsFunc(info.AcceptableCAs, func(name []byte) bool { return isRoot(name) })) {
				t.Errorf("%s: the function was told %s, %v and %d authorities", tt.what, tls.VersionName(info.Version), info.SignatureSchemes, len(info.AcceptableCAs))
			}
		}
	})
}

func isRoot(name []byte) bool {
	leaf := tlstest.Leaf(tlstest.ECDSAP256)
	intermediate, err := x509.ParseCertificate(leaf.Certificate[1])
	return err == nil && bytes.Equal(name, intermediate.RawIssuer)
}

// Where both versions are possible, which one it is cannot be told.
func TestStdGetClientCertificateWithoutVersion(t *testing.T) {
	info := new(tls.CertificateRequestInfo)
	config, _, err := netconn.ClientConfigFromStd(&tls.Config{
		GetClientCertificate: func(i *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			info = i
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := config.GetClientCertificate(&baretls.CertificateRequest{SignatureSchemes: []tls.SignatureScheme{tls.Ed25519}})
	if cert != nil || err != nil || info.Version != 0 || !slices.Equal(info.SignatureSchemes, []tls.SignatureScheme{tls.Ed25519}) {
		t.Errorf("the function gets %+v, and returns %v, %v", info, cert, err)
	}
}

// What a GetCertificate learns of the client is what it learns in crypto/tls,
// as far as it is promised.
func TestStdClientHelloInfo(t *testing.T) {
	leaf := tlstest.Leaf(tlstest.ECDSAP256)
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var infos []tls.ClientHelloInfo
		a, b := stdPair(v)
		a.NextProtos = []string{"h2", "http/1.1"}
		b.Certificates = nil
		b.GetCertificate = func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if err := info.SupportsCertificate(&leaf); err != nil {
				t.Errorf("%s: %v", tls.VersionName(v), err)
			}
			infos = append(infos, tls.ClientHelloInfo{
				CipherSuites:      info.CipherSuites,
				ServerName:        info.ServerName,
				SupportedCurves:   info.SupportedCurves,
				SignatureSchemes:  info.SignatureSchemes,
				SupportedProtos:   info.SupportedProtos,
				SupportedVersions: info.SupportedVersions,
				Extensions:        info.Extensions,
			})
			return &leaf, nil
		}
		for _, server := range []stdEnd{stdServer(b), ourServer(t, b)} {
			c, s := stdMeet(t, stdClient(a), server)
			wantBoth(t, c, s)
		}
		if len(infos) != 2 || !reflect.DeepEqual(infos[0], infos[1]) {
			t.Errorf("%s: crypto/tls and we have told of the same client\n%+v", tls.VersionName(v), infos)
		}
	}
}

// A client of TLS 1.2 that knows no supported_versions is one of TLS 1.2 all the
// same, and SupportsCertificate says so.
func TestStdClientHelloInfoWithoutVersions(t *testing.T) {
	leaf := tlstest.Leaf(tlstest.ECDSAP256)
	var supports error = errRefused
	config, err := netconn.ServerConfigFromStd(&tls.Config{
		GetCertificate: func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
			supports = info.SupportsCertificate(&leaf)
			return &leaf, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := config.GetCertificate(&baretls.ClientHello{
		ServerName:       "example.com",
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		Groups:           []tls.CurveID{tls.CurveP256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	})
	if cert != &leaf || err != nil || supports != nil {
		t.Errorf("the certificate is %p, %v, and whether it is supported %v", cert, err, supports)
	}
}

// Sessions are resumed, or not, as crypto/tls does by the same configs.
func TestStdResumption(t *testing.T) {
	pairings(t, func(t *testing.T, v uint16, client, server stdLibrary) {
		for _, tt := range []struct {
			what   string
			change func(client, server *tls.Config)
			want   bool
		}{
			{"a cache", func(c, s *tls.Config) { c.ClientSessionCache = tls.NewLRUClientSessionCache(0) }, true},
			{"a cache of one's own", func(c, s *tls.Config) { c.ClientSessionCache = new(ownCache) }, true},
			{"no cache", func(c, s *tls.Config) {}, false},
			{"a client without tickets", func(c, s *tls.Config) {
				c.ClientSessionCache, c.SessionTicketsDisabled = tls.NewLRUClientSessionCache(0), true
			}, false},
			{"a server without tickets", func(c, s *tls.Config) {
				c.ClientSessionCache, s.SessionTicketsDisabled = tls.NewLRUClientSessionCache(0), true
			}, false},
			{"a client that skips verification", func(c, s *tls.Config) {
				c.ClientSessionCache, c.InsecureSkipVerify = new(ownCache), true
			}, true},
		} {
			a, b := stdPair(v)
			tt.change(a, b)
			first, second := client.client(a), server.server(b)
			for _, resumed := range []bool{false, tt.want, tt.want} {
				c, s := stdMeet(t, first, second)
				wantBoth(t, c, s)
				if c.state.DidResume != resumed || s.state.DidResume != resumed {
					t.Errorf("%s: the client has resumed: %v, and the server: %v; want %v", tt.what, c.state.DidResume, s.state.DidResume, resumed)
				}
				if len(c.state.PeerCertificates) != 2 || (len(c.state.VerifiedChains) == 0) != a.InsecureSkipVerify {
					t.Errorf("%s: the client knows %d certificates and %d verified chains", tt.what, len(c.state.PeerCertificates), len(c.state.VerifiedChains))
				}
			}
		}
	})
}

// ownCache is a cache that somebody else has written.
type ownCache struct {
	mutex  sync.Mutex
	states map[string]*tls.ClientSessionState
}

func (c *ownCache) Get(key string) (*tls.ClientSessionState, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	state, ok := c.states[key]
	return state, ok
}

func (c *ownCache) Put(key string, state *tls.ClientSessionState) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.states == nil {
		c.states = make(map[string]*tls.ClientSessionState)
	}
	if c.states[key] = state; state == nil {
		delete(c.states, key)
	}
}

// One cache serves both libraries at once, and neither sees the other's
// sessions; nor does another config of ours.
func TestStdSessionCacheIsShared(t *testing.T) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		a, b := stdPair(v)
		a.ClientSessionCache = new(ownCache)
		ends := []stdEnd{ourClient(t, a), stdClient(a), ourClient(t, a)}
		server := stdServer(b)
		for _, resumed := range []bool{false, true} {
			for i, client := range ends {
				c, s := stdMeet(t, client, server)
				wantBoth(t, c, s)
				if c.state.DidResume != resumed {
					t.Errorf("%s: client %d has resumed: %v, want %v", tls.VersionName(v), i, c.state.DidResume, resumed)
				}
			}
		}
	}
}

// A session is of use once, however many want it at the same time.
func TestStdSessionIsTakenOnce(t *testing.T) {
	a, b := stdPair(tls.VersionTLS13)
	a.ClientSessionCache = new(slowCache)
	config, name, err := netconn.ClientConfigFromStd(a)
	if err != nil {
		t.Fatal(err)
	}
	keys := &keyed{ClientSessionStore: config.Sessions}
	config.Sessions = keys
	c, s := stdMeet(t, func(transport net.Conn) (r stdResult) {
		conn, err := baretls.NewClient(config, name)
		if err != nil {
			return stdResult{err: err}
		}
		s := &stdScript{conn: &conn.Conn, transport: transport}
		r.err = s.until(func() bool { return conn.TicketsReceived() > 0 })
		if r.err == nil {
			r.err = s.say(stdPing)
		}
		return r
	}, stdServer(b))
	wantBoth(t, c, s)
	var taken [8]*baretls.ClientSession
	var all sync.WaitGroup
	for i := range taken {
		all.Go(func() { taken[i] = config.Sessions.Take(keys.last) })
	}
	all.Wait()
	some := slices.DeleteFunc(taken[:], func(s *baretls.ClientSession) bool { return s == nil })
	if len(some) != 1 || !some[0].Expires().After(time.Now()) {
		t.Errorf("of 8 that took a session at once, %d have it", len(some))
	}
}

// slowCache lets others go first between what it finds and who gets it.
type slowCache struct{ ownCache }

func (c *slowCache) Get(key string) (*tls.ClientSessionState, bool) {
	state, ok := c.ownCache.Get(key)
	for range 1000 {
		runtime.Gosched()
	}
	return state, ok
}

// keyed remembers the key of the last session.
type keyed struct {
	baretls.ClientSessionStore
	last string
}

func (k *keyed) Put(key string, s *baretls.ClientSession) {
	k.last = key
	k.ClientSessionStore.Put(key, s)
}

// VerifyPeerCertificate has a say about resumptions too: refusing one leads to
// a full handshake, in which it refuses or not.
func TestStdVerifyPeerCertificateOfResumptions(t *testing.T) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		a, b := stdPair(v)
		a.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		var asked int
		refuse := map[int]bool{3: true} // the first call of the third connection
		a.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			if asked++; len(raw) != 2 || len(chains) != 1 {
				t.Errorf("call %d is about %d certificates and %d chains", asked, len(raw), len(chains))
			}
			if refuse[asked] {
				return errRefused
			}
			return nil
		}
		client, server := ourClient(t, a), stdServer(b)
		for i, resumed := range []bool{false, true, false, true} {
			c, s := stdMeet(t, client, server)
			wantBoth(t, c, s)
			if c.state.DidResume != resumed {
				t.Errorf("%s: connection %d was resumed: %v, want %v", tls.VersionName(v), i, c.state.DidResume, resumed)
			}
		}
		if asked != 5 {
			t.Errorf("%s: there were %d calls for two full handshakes, two resumptions and one that was refused", tls.VersionName(v), asked)
		}
	}
}

// crypto/tls may go on using a config that is being converted.
func TestStdConfigInUse(t *testing.T) {
	a, b := stdPair(tls.VersionTLS13)
	var all sync.WaitGroup
	all.Go(func() {
		c, s := stdMeet(t, stdClient(a), stdServer(b))
		if c.err != nil || s.err != nil {
			t.Errorf("the client has the error %v, the server %v", c.err, s.err)
		}
	})
	for range 4 {
		all.Go(func() {
			if _, err := netconn.ServerConfigFromStd(b); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// The methods of what callbacks get say nothing wrong where they know nothing.
func TestStdContexts(t *testing.T) {
	var contexts []context.Context
	std := &tls.Config{
		GetCertificate: func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
			contexts = append(contexts, info.Context())
			return nil, nil
		},
		GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			contexts = append(contexts, info.Context())
			return nil, nil
		},
	}
	client, _, err := netconn.ClientConfigFromStd(std)
	if err != nil {
		t.Fatal(err)
	}
	server, err := netconn.ServerConfigFromStd(std)
	if err != nil {
		t.Fatal(err)
	}
	server.GetCertificate(new(baretls.ClientHello))
	client.GetClientCertificate(new(baretls.CertificateRequest))
	if len(contexts) != 2 || contexts[0] != nil || contexts[1] != nil {
		t.Errorf("the contexts are %v; the documentation says nil", contexts)
	}
}
