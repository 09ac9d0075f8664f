package baretls_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // for schemes of larger curves
	"crypto/tls"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// What a ClientHello is seen to offer is what crypto/tls sees in it.
func TestAskedHelloIsThatOfCryptoTLS(t *testing.T) {
	for name, config := range map[string]*tls.Config{
		"default":      {ServerName: "example.com"},
		"TLS 1.2":      {ServerName: "example.com", MaxVersion: tls.VersionTLS12},
		"TLS 1.3":      {ServerName: "example.com", MinVersion: tls.VersionTLS13},
		"ALPN":         {ServerName: "example.com", NextProtos: []string{"h2", "http/1.1"}},
		"an address":   {ServerName: "192.0.2.1"},
		"one group":    {ServerName: "example.com", CurvePreferences: []tls.CurveID{tls.CurveP256}},
		"one suite":    {ServerName: "example.com", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}},
		"no tickets":   {ServerName: "example.com", SessionTicketsDisabled: true},
		"capital name": {ServerName: "Example.COM"},
	} {
		t.Run(name, func(t *testing.T) {
			hello := stdHello(t, config)
			server := serverConfig()
			server.Ask = baretls.AskClientHello
			s := newServer(t, server)
			seen := 0
			s.ask = func(q question) bool {
				seen++
				received := q.(baretls.ClientHelloReceived)
				if !bytes.Equal(received.Raw(), hello[5:]) {
					t.Errorf("Raw has %d bytes, want the %d that were sent", len(received.Raw()), len(hello)-5)
				}
				wantSameHello(t, received.ClientHello(), stdHelloInfo(t, hello))
				return false
			}
			s.give(bytes.Clone(hello))
			if s.turns(); seen != 1 {
				t.Errorf("the hello is asked about %d times; %v", seen, s.err)
			}
		})
	}
}

// stdHello is the first record of a client of crypto/tls.
func stdHello(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	ours.SetDeadline(time.Now().Add(deadline))
	done := make(chan error)
	go func() { done <- tls.Client(theirs, config).Handshake() }()
	header := make([]byte, 5)
	if _, err := readFull(ours, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(header[3])<<8|int(header[4]))
	if _, err := readFull(ours, body); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	<-done
	return append(header, body...)
}

func readFull(c net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = c.Read(b[n:])
		n += k
	}
	return n, err
}

// stdHelloInfo is what a server of crypto/tls sees in the record.
func stdHelloInfo(t *testing.T, record []byte) *tls.ClientHelloInfo {
	t.Helper()
	ours, theirs := net.Pipe()
	ours.SetDeadline(time.Now().Add(deadline))
	var info *tls.ClientHelloInfo
	done := make(chan error)
	go func() {
		defer theirs.Close()
		done <- tls.Server(theirs, &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
			info = i
			return nil, errNotToday
		}}).HandshakeContext(context.Background())
	}()
	if _, err := ours.Write(record); err != nil {
		t.Fatal(err)
	}
	go func() { // the alert
		b := make([]byte, 100)
		for _, err := ours.Read(b); err == nil; _, err = ours.Read(b) {
		}
	}()
	if err := <-done; !errors.Is(err, errNotToday) {
		t.Fatalf("crypto/tls does not take the hello: %v", err)
	}
	ours.Close()
	return info
}

func wantSameHello(t *testing.T, h *baretls.ClientHello, want *tls.ClientHelloInfo) {
	t.Helper()
	if h.ServerName != want.ServerName || !slices.Equal(h.ALPNProtocols, want.SupportedProtos) {
		t.Errorf("the name is %q and the protocols %q, want %q and %q", h.ServerName, h.ALPNProtocols, want.ServerName, want.SupportedProtos)
	}
	if !slices.Equal(h.Versions, want.SupportedVersions) || !slices.Equal(h.CipherSuites, want.CipherSuites) {
		t.Errorf("the versions are %#x and the suites %#x, want %#x and %#x", h.Versions, h.CipherSuites, want.SupportedVersions, want.CipherSuites)
	}
	if !slices.Equal(h.Groups, want.SupportedCurves) || !slices.Equal(h.SignatureSchemes, want.SignatureSchemes) {
		t.Errorf("the groups are %v and the schemes %v, want %v and %v", h.Groups, h.SignatureSchemes, want.SupportedCurves, want.SignatureSchemes)
	}
	if !slices.Equal(h.Extensions, want.Extensions) {
		t.Errorf("the extensions are %v, want %v", h.Extensions, want.Extensions)
	}
}

// Use goes on as if the connection had been made with that config: to the last
// bit of its secrets.
func TestAskUse(t *testing.T) {
	roots, _ := tlstest.CA()
	const any = baretls.HandshakeUnknown
	for _, test := range []struct {
		name  string
		edit  func(c *baretls.ClientConfig, s *baretls.ServerConfig)
		kind  baretls.HandshakeKind
		check func(t *testing.T, p *pair)
	}{
		{"the same again", editing(), baretls.HandshakeFull, nil},
		{"another certificate", func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
			s.Certificates = []tls.Certificate{tlstest.Leaf(tlstest.Ed25519, "example.com", "example.org")}
		}, baretls.HandshakeFull, func(t *testing.T, p *pair) {
			if got := p.client.conn.PeerCertificates()[0].DNSNames; len(got) != 2 {
				t.Errorf("the certificate is one for %v", got)
			}
		}},
		{"a certificate by function", func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
			s.Certificates = nil
			s.GetCertificate = func(h *baretls.ClientHello) (*tls.Certificate, error) {
				cert := tlstest.Leaf(tlstest.Ed25519, h.ServerName)
				return &cert, nil
			}
		}, baretls.HandshakeFull, nil},
		{"application protocols", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.NextProtos, s.NextProtos = []string{"h2", "http/1.1"}, []string{"http/1.1"}
		}, baretls.HandshakeFull, func(t *testing.T, p *pair) {
			if got := p.client.conn.ALPNProtocol(); got != "http/1.1" {
				t.Errorf("the protocol is %q", got)
			}
		}},
		{"TLS 1.2 only", func(_ *baretls.ClientConfig, s *baretls.ServerConfig) { s.MaxVersion = tls.VersionTLS12 },
			baretls.HandshakeFull, func(t *testing.T, p *pair) {
				if got := p.client.conn.ProtocolVersion(); got != tls.VersionTLS12 {
					t.Errorf("the version is %#x", got)
				}
			}},
		{"another cipher suite", func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
			s.CipherSuites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256}
		}, baretls.HandshakeFull, func(t *testing.T, p *pair) {
			if got := p.client.conn.NegotiatedCipherSuite(); got != tls.TLS_CHACHA20_POLY1305_SHA256 {
				t.Errorf("the suite is %#x", got)
			}
		}},
		{"a group that takes a retry", withRetry, baretls.HandshakeFullWithHelloRetryRequest, nil},
		{"a cookie", withCookie, baretls.HandshakeFullWithHelloRetryRequest, nil},
		{"client certificates", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.Ed25519, "client.example.com")}
			s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, roots
		}, baretls.HandshakeFull, func(t *testing.T, p *pair) {
			if len(p.server.conn.PeerCertificates()) == 0 {
				t.Error("the server knows no certificate of the client")
			}
		}},
		{"small messages only", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.Certificates = []tls.Certificate{tlstest.New(tlstest.Options{Kind: tlstest.Ed25519, Client: true, Bulk: 5000})}
			s.ClientAuth, s.MaxHandshakeMessageSize = tls.RequireAnyClientCert, 4096
		}, any, func(t *testing.T, p *pair) { p.server.wantFailed(illegalParameter) }},
		{"small records", func(_ *baretls.ClientConfig, s *baretls.ServerConfig) { s.MaxFragmentSize = 100 },
			baretls.HandshakeFull, nil},
		{"padding", func(_ *baretls.ClientConfig, s *baretls.ServerConfig) { s.RecordPadding = 512 },
			baretls.HandshakeFull, nil},
		{"a limit on records", func(_ *baretls.ClientConfig, s *baretls.ServerConfig) { s.RecordSizeLimit = 200 },
			baretls.HandshakeFull, nil},
		{"a name that it does not have", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			s.Certificates = []tls.Certificate{tlstest.Leaf(tlstest.Ed25519, "example.org")}
		}, any, func(t *testing.T, p *pair) { p.server.wantAlerted(certificateUnknown) }},
		{"nothing in common", func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.NextProtos, s.NextProtos = []string{"h2"}, []string{"http/1.1"}
		}, any, func(t *testing.T, p *pair) { p.server.wantFailed(noApplicationProtocol) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := func(use bool) (*pair, string) {
				client, server := clientConfig(), serverConfig()
				client.Rand, server.Rand = mathrand.NewChaCha8([32]byte{1}), mathrand.NewChaCha8([32]byte{2})
				client.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
				server.Certificates = []tls.Certificate{tlstest.Leaf(tlstest.Ed25519)}
				server.Time, client.Time = noon, noon
				test.edit(client, server)
				secrets := new(keyLog)
				server.KeyLogWriter = secrets
				if !use {
					p := newPair(t, client, server)
					p.run()
					return p, secrets.String()
				}
				// A config that does nothing as the other does.
				p := newPair(t, client, &baretls.ServerConfig{
					Ask: serverAsks &^ baretls.AskSession, ClientAuth: tls.RequireAnyClientCert, CipherSuites: []uint16{tls.TLS_AES_256_GCM_SHA384},
					Groups: []tls.CurveID{tls.CurveP384}, NextProtos: []string{"other"}, MaxFragmentSize: 77,
					Rand: mathrand.NewChaCha8([32]byte{3}), RecordSizeLimit: 99, MinVersion: tls.VersionTLS13,
				})
				p.server.answers(manners[1], func(q question) error { return q.(baretls.ClientHelloReceived).Use(server) })
				p.run()
				wantAsked(t, test.name, p.server, []string{helloReceived})
				return p, secrets.String()
			}
			direct, want := run(false)
			used, got := run(true)
			if got != want || (want == "") != (test.name == "nothing in common") {
				t.Errorf("the secrets are\n%s\nand with the config from the start\n%s", got, want)
			}
			for i, s := range used.sides() {
				if got, want := course(s.transcript), course(direct.sides()[i].transcript); !slices.Equal(got, want) {
					t.Errorf("the %s goes %v, and with the config from the start %v", s.role, got, want)
				}
			}
			for _, p := range []*pair{direct, used} {
				if test.kind != any {
					p.handshake()
					if got := p.server.conn.HandshakeKind(); got != test.kind {
						t.Errorf("the handshake is %v, want %v", got, test.kind)
					}
					p.works()
				}
				if test.check != nil {
					test.check(t, p)
				}
			}
		})
	}
}

// The config that is used decides what is asked from then on.
func TestAskUseDecidesWhatIsAsked(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, outer := range []bool{false, true} {
			front, used := v.server(), v.server()
			front.Ask = baretls.AskClientHello
			want := []string{helloReceived}
			if outer {
				front.Ask |= baretls.AskSignature
			} else {
				used.Ask = baretls.AskSignature | baretls.AskClientHello
				want = append(want, signatureWanted)
			}
			p := v.pair(t, nil, front)
			used.MaxVersion = uint16(v)
			p.server.answers(manners[0], func(q question) error {
				if q, ok := q.(baretls.ClientHelloReceived); ok {
					return q.Use(used)
				}
				return answerer{}.answer(q)
			})
			p.handshake()
			wantAsked(t, "after Use", p.server, want)
			p.works()
		}
	})
}

// Sessions are those of the config that is used: of its keys, and of what it
// demands.
func TestAskUseAndSessions(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		edit := editing()
		if v == tls12 {
			edit = want12
		}
		st := newStage(t, edit)
		used, hosts := st.server, 0
		front := &baretls.ServerConfig{Ask: baretls.AskClientHello}
		meet := func(server *baretls.ServerConfig, use *baretls.ServerConfig) *meeting {
			st.server = server
			m := st.meet()
			m.server.answers(manners[0], func(q question) error {
				hosts++
				return q.(baretls.ClientHelloReceived).Use(use)
			})
			m.complete()
			m.works()
			return m
		}
		meet(front, used).wantKind("the first connection", baretls.HandshakeFull)
		meet(front, used).wantKind("the second", baretls.HandshakeResumed)
		meet(used, nil).wantKind("one without questions", baretls.HandshakeResumed)
		other := st.newServerConfig(func(s *baretls.ServerConfig) {
			s.MaxVersion, s.SessionContext = used.MaxVersion, "another kind of session"
		})
		meet(front, other).wantKind("one with another config", baretls.HandshakeFull)
		if hosts != 3 {
			t.Errorf("%d hellos were asked about, want 3", hosts)
		}
	})
}

// A stateless retry is gone on with by any connection, also where the config
// with the key comes by Use: each hello is asked about by the connection that
// sees it.
func TestAskUseAfterAStatelessRetry(t *testing.T) {
	used := serverConfig()
	used.RetryCookieKey = []byte("thirty-two bytes that nobody knows")
	front := &baretls.ServerConfig{Ask: baretls.AskClientHello}
	use := func(q question) error { return q.(baretls.ClientHelloReceived).Use(used) }
	p := newPair(t, nil, front)
	p.server.answers(manners[1], use)
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	p.client.give(p.server.take())
	p.client.turns()
	p.server = newServer(t, front) // the first one is forgotten
	p.server.answers(manners[1], use)
	p.handshake()
	p.works()
	if kind := p.client.conn.HandshakeKind(); kind != baretls.HandshakeFullWithHelloRetryRequest {
		t.Errorf("the handshake is %v", kind)
	}
}

// Keys that are elsewhere: a certificate is enough to be asked for a signature,
// in both roles and versions and with every kind of key.
func TestAskSignaturesOfKeysElsewhere(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, kind := range tlstest.Kinds {
			for _, chosen := range []bool{false, true} { // by a function, and not from a list
				t.Run(fmt.Sprintf("%v, chosen %v", kind, chosen), func(t *testing.T) {
					serverCert, clientCert := tlstest.Leaf(kind), tlstest.ClientLeaf(kind)
					serverCert.PrivateKey, clientCert.PrivateKey = nil, nil
					client, server := v.client(), v.server()
					client.Ask, server.Ask = baretls.AskSignature, baretls.AskSignature
					server.ClientAuth = tls.RequireAndVerifyClientCert
					server.ClientCAs, _ = tlstest.CA()
					if server.Certificates = []tls.Certificate{serverCert}; chosen {
						server.Certificates = nil
						server.GetCertificate = func(*baretls.ClientHello) (*tls.Certificate, error) { return &serverCert, nil }
					}
					if client.Certificates = []tls.Certificate{clientCert}; chosen {
						client.Certificates, client.Ask = nil, baretls.AskSignature|baretls.AskCertificate
					}
					p := v.pair(t, client, server)
					for _, s := range p.sides() {
						s.answers(manners[3], func(q question) error {
							switch q := q.(type) {
							case baretls.ClientCertificateRequested:
								return q.Answer(&clientCert, nil)
							case baretls.SignatureWanted:
								if _, err := q.Sign(); err == nil {
									t.Error("Sign makes a signature without a key")
								}
								return q.Answer(signElsewhere(tlstest.Key(kind), q.Scheme(), q.Content()))
							}
							return errNotToday
						})
					}
					p.handshake()
					p.works()
					if len(p.server.conn.PeerCertificates()) == 0 {
						t.Error("the server knows no certificate of the client")
					}
				})
			}
		}
	})
}

// signElsewhere is what a key service would do.
func signElsewhere(key crypto.Signer, scheme tls.SignatureScheme, content []byte) ([]byte, error) {
	hash := map[tls.SignatureScheme]crypto.Hash{
		tls.ECDSAWithP256AndSHA256: crypto.SHA256, tls.ECDSAWithP384AndSHA384: crypto.SHA384, tls.ECDSAWithP521AndSHA512: crypto.SHA512,
		tls.PSSWithSHA256: crypto.SHA256, tls.PSSWithSHA384: crypto.SHA384, tls.PSSWithSHA512: crypto.SHA512,
		0x0809: crypto.SHA256, 0x080a: crypto.SHA384, 0x080b: crypto.SHA512, // rsa_pss_pss_*
		tls.PKCS1WithSHA256: crypto.SHA256, tls.PKCS1WithSHA384: crypto.SHA384, tls.PKCS1WithSHA512: crypto.SHA512,
	}[scheme]
	if scheme == tls.Ed25519 {
		return key.Sign(rand.Reader, content, hash)
	}
	var opts crypto.SignerOpts = hash
	if scheme>>8 == 8 {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	digest := hash.New()
	digest.Write(content)
	return key.Sign(rand.Reader, digest.Sum(nil), opts)
}

// Who does not ask for signatures has to have the keys.
func TestAskKeylessWithoutAsking(t *testing.T) {
	keyless := tlstest.Leaf(tlstest.Ed25519)
	keyless.PrivateKey = nil
	server, client := serverConfig(), clientConfig()
	server.Certificates, client.Certificates = []tls.Certificate{keyless}, []tls.Certificate{keyless}
	var bad *baretls.ConfigError
	if _, err := baretls.NewServer(server); !errors.As(err, &bad) {
		t.Errorf("a server without a key: %v", err)
	}
	if _, err := baretls.NewClient(client, "example.com"); !errors.As(err, &bad) {
		t.Errorf("a client without a key: %v", err)
	}
	m := spot{state: helloReceived, role: "server"}.reach(t, tls13)
	if err := m.q.(baretls.ClientHelloReceived).Use(server); !errors.As(err, &bad) {
		t.Errorf("Use of a config without a key: %v", err)
	}
	m.wantWaiting()
}
