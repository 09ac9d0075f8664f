package baretls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// always makes a client present that certificate, whatever the server's hints.
func always(cert *tls.Certificate) func(*baretls.CertificateRequest) (*tls.Certificate, error) {
	return func(*baretls.CertificateRequest) (*tls.Certificate, error) { return cert, nil }
}

func TestClientAuth(t *testing.T) {
	roots, _ := tlstest.CA()
	leaf := func(o tlstest.Options) *tls.Certificate {
		cert := tlstest.New(o)
		return &cert
	}
	certificates := []struct {
		name string
		cert *tls.Certificate
	}{
		{"no certificate", nil},
		{"the right one", leaf(tlstest.Options{Client: true})},
		{"one of another CA", leaf(tlstest.Options{Client: true, UnknownCA: true})},
		{"one that has expired", leaf(tlstest.Options{Client: true, NotAfter: tlstest.NotBefore.AddDate(0, 1, 0)})},
		{"one that is not valid yet", leaf(tlstest.Options{Client: true, NotBefore: tlstest.NotAfter.AddDate(0, -1, 0)})},
		{"a server's", leaf(tlstest.Options{})},
	}
	const none = closeNotify // no alert
	for _, test := range []struct {
		mode   tls.ClientAuthType
		asked  bool
		alerts [6]tls.AlertError
	}{
		{tls.NoClientCert, false, [6]tls.AlertError{none, none, none, none, none, none}},
		{tls.RequestClientCert, true, [6]tls.AlertError{none, none, none, none, none, none}},
		{tls.RequireAnyClientCert, true, [6]tls.AlertError{certificateRequiredAlert, none, none, none, none, none}},
		{tls.VerifyClientCertIfGiven, true, [6]tls.AlertError{none, none, unknownCA, certificateExpired, certificateExpired, unsupportedCertificate}},
		{tls.RequireAndVerifyClientCert, true, [6]tls.AlertError{certificateRequiredAlert, none, unknownCA, certificateExpired, certificateExpired, unsupportedCertificate}},
	} {
		for i, c := range certificates {
			t.Run(fmt.Sprintf("%v, %s", test.mode, c.name), func(t *testing.T) {
				asked := false
				st := newStage(t, func(client *baretls.ClientConfig, server *baretls.ServerConfig) {
					client.GetClientCertificate = func(*baretls.CertificateRequest) (*tls.Certificate, error) {
						asked = true
						return c.cert, nil
					}
					server.ClientAuth, server.ClientCAs = test.mode, roots
				})
				m := st.meet()
				m.runEarly()
				if asked != test.asked {
					t.Errorf("the client is asked for a certificate: %t, want %t", asked, test.asked)
				}
				if alert := test.alerts[i]; alert != none {
					m.server.wantFailed(alert)
					m.client.wantAlerted(alert)
					if m.server.conn.PeerCertificates() != nil || !m.server.conn.IsHandshaking() {
						t.Errorf("a client that is refused has %d certificates, and the handshake is complete: %t", len(m.server.conn.PeerCertificates()), !m.server.conn.IsHandshaking())
					}
					return
				}
				m.handshake()
				m.works()
				wantClient(t, m, test.asked && c.cert != nil, c.cert)
				again := st.connects("the second connection", baretls.HandshakeResumed)
				wantClient(t, again, test.asked && c.cert != nil, c.cert)
				if got, want := again.server.conn.PeerSignatureScheme(), m.server.conn.PeerSignatureScheme(); got != want {
					t.Errorf("after resumption the client's signature scheme is %v, and was %v", got, want)
				}
				if got, want := len(again.server.conn.ConnectionState().VerifiedChains), len(m.server.conn.ConnectionState().VerifiedChains); got != want {
					t.Errorf("after resumption the server has %d verified chains of the client, and had %d", got, want)
				}
				verified := test.mode >= tls.VerifyClientCertIfGiven && c.cert != nil
				if got := len(m.server.conn.ConnectionState().VerifiedChains) > 0; got != verified {
					t.Errorf("the server has verified chains of the client: %t, want %t", got, verified)
				}
			})
		}
	}
}

// wantClient checks what the server knows of the client.
func wantClient(t *testing.T, m *meeting, known bool, cert *tls.Certificate) {
	t.Helper()
	got := m.server.conn.PeerCertificates()
	if !known {
		if len(got) != 0 || m.server.conn.PeerSignatureScheme() != 0 {
			t.Errorf("the server knows %d certificates of a client that has shown none", len(got))
		}
		return
	}
	var der [][]byte
	for _, c := range got {
		der = append(der, c.Raw)
	}
	if !slices.EqualFunc(der, cert.Certificate, bytes.Equal) {
		t.Errorf("the server knows %d certificates of the client, not the %d that it has", len(der), len(cert.Certificate))
	}
	if m.server.conn.PeerSignatureScheme() == 0 {
		t.Error("the server does not know the client's signature scheme")
	}
	if m.client.conn.HandshakeKind() == baretls.HandshakeUnknown {
		t.Error("the client does not know how the handshake went")
	}
}

// Connections share what they know of a peer. Who appends to it, or sorts the
// chains that he is to judge, changes nothing for the others.
func TestWhatConnectionsShareStaysAsItIs(t *testing.T) {
	var other x509.Certificate
	eachVersion(t, func(t *testing.T, v version) {
		st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			if v == tls12 {
				want12(c, s)
			}
			s.Certificates = withLeaf(tlstest.Options{Kind: tlstest.ECDSAP256, Depth: 2}) // three certificates
			s.Certificates[0].OCSPStaple = bytes.Repeat([]byte{7}, 33)
			s.Certificates[0].SignedCertificateTimestamps = [][]byte{bytes.Repeat([]byte{1}, 20), bytes.Repeat([]byte{2}, 20), bytes.Repeat([]byte{3}, 20)}
			c.VerifyPeer = func(v *baretls.PeerVerification) error {
				clear(v.Certificates)
				clear(v.VerifiedChains)
				clear(v.SignedCertificateTimestamps)
				return nil
			}
		})
		for round := range 3 { // a full handshake, then by sessions, the last one from bytes
			if round == 2 {
				encoded := st.sessions.takeAll(t)
				st.sessions.put(t, encoded)
			}
			one, another := st.connect().client.conn, st.connect().client.conn
			for _, conn := range []*baretls.Conn{one, another} {
				state := conn.ConnectionState()
				if len(state.PeerCertificates) != 3 || len(state.VerifiedChains) != 1 || state.VerifiedChains[0] == nil || len(state.SignedCertificateTimestamps) != 3 {
					t.Fatalf("the connection knows %d certificates, %d chains and %d SCTs", len(state.PeerCertificates), len(state.VerifiedChains), len(state.SignedCertificateTimestamps))
				}
				_ = append(state.PeerCertificates, &other)
				_ = append(state.VerifiedChains, nil)
				_ = append(state.OCSPResponse, "more"...)
				for _, sct := range state.SignedCertificateTimestamps {
					_ = append(sct, "more"...)
				}
				for what, spare := range map[string]int{
					"certificates": cap(state.PeerCertificates) - len(state.PeerCertificates),
					"chains":       cap(state.VerifiedChains) - len(state.VerifiedChains),
					"staple":       cap(state.OCSPResponse) - len(state.OCSPResponse),
					"SCTs":         cap(state.SignedCertificateTimestamps) - len(state.SignedCertificateTimestamps),
				} {
					if spare != 0 {
						t.Errorf("behind the %s there is room for %d", what, spare)
					}
				}
			}
			if second := another.SignedCertificateTimestamps()[1]; !bytes.Equal(second, bytes.Repeat([]byte{2}, 20)) {
				t.Errorf("the second SCT is %x", second)
			}
		}
	})
}

func TestClientKeyTypes(t *testing.T) {
	roots, _ := tlstest.CA()
	for _, kind := range tlstest.Kinds {
		for _, schemes := range []struct {
			name string
			list []tls.SignatureScheme
		}{
			{"all schemes", nil},
			{"none that fits", []tls.SignatureScheme{map[bool]tls.SignatureScheme{true: tls.ECDSAWithP256AndSHA256, false: tls.Ed25519}[kind == tlstest.Ed25519]}},
		} {
			t.Run(fmt.Sprintf("%v, %s", kind, schemes.name), func(t *testing.T) {
				cert := tlstest.ClientLeaf(kind)
				st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
					c.Certificates = []tls.Certificate{cert}
					s.ClientAuth, s.ClientCAs = tls.RequireAnyClientCert, roots
					s.SignatureSchemes = schemes.list
				})
				m := st.meet()
				m.runEarly()
				if schemes.list != nil {
					m.server.wantFailed(certificateRequiredAlert)
					return
				}
				m.handshake()
				m.works()
				wantClient(t, m, true, &cert)
				if m.client.conn.PeerSignatureScheme() == 0 {
					t.Error("the client does not know the server's signature scheme")
				}
			})
		}
	}
}

func TestClientCertificateByAuthority(t *testing.T) {
	roots, _ := tlstest.CA()
	strange, right := tlstest.New(tlstest.Options{Client: true, UnknownCA: true}), tlstest.New(tlstest.Options{Client: true})
	for _, test := range []struct {
		name string
		cas  *x509.CertPool
		have []tls.Certificate
		want *tls.Certificate
	}{
		{"the server names its CA, which the second is of", roots, []tls.Certificate{strange, right}, &right},
		{"the server names its CA, which none is of", roots, []tls.Certificate{strange}, nil},
		{"the server names nobody", x509.NewCertPool(), []tls.Certificate{strange, right}, &strange},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				c.Certificates = test.have
				s.ClientAuth, s.ClientCAs = tls.RequestClientCert, test.cas
			})
			wantClient(t, st.connect(), test.want != nil, test.want)
		})
	}
}

func TestGetClientCertificate(t *testing.T) {
	roots, _ := tlstest.CA()
	right := tlstest.New(tlstest.Options{Client: true})
	var request *baretls.CertificateRequest
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.Certificates = []tls.Certificate{tlstest.New(tlstest.Options{Client: true})}
		c.GetClientCertificate = func(r *baretls.CertificateRequest) (*tls.Certificate, error) {
			request = r
			return &right, nil
		}
		s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, roots
		s.SignatureSchemes = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256}
	})
	wantClient(t, st.connect(), true, &right)
	intermediate, err := x509.ParseCertificate(right.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	if len(request.AcceptableCAs) != 1 || !bytes.Equal(request.AcceptableCAs[0], intermediate.RawIssuer) {
		t.Errorf("the request names %d authorities, want the one of ClientCAs", len(request.AcceptableCAs))
	}
	if want := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256}; !slices.Equal(request.SignatureSchemes, want) {
		t.Errorf("the request has the schemes %v, want %v", request.SignatureSchemes, want)
	}

	oops := errors.New("the token is not there")
	for _, test := range []struct {
		name string
		get  func(*baretls.CertificateRequest) (*tls.Certificate, error)
	}{
		{"an error", func(*baretls.CertificateRequest) (*tls.Certificate, error) { return nil, oops }},
		{"an error and a certificate", func(*baretls.CertificateRequest) (*tls.Certificate, error) { return &right, oops }},
	} {
		st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.GetClientCertificate = test.get
			s.ClientAuth = tls.RequestClientCert
		})
		m := st.meet()
		m.runEarly()
		m.client.wantFailed(internalError)
		if !errors.Is(m.client.err, oops) {
			t.Errorf("%s: the error is %v, which is not the callback's", test.name, m.client.err)
		}
		m.server.wantAlerted(internalError)
	}
}

func TestServerJudgesClients(t *testing.T) {
	roots, _ := tlstest.CA()
	no := errors.New("not this one")
	right, strange := tlstest.New(tlstest.Options{Client: true}), tlstest.New(tlstest.Options{Client: true, UnknownCA: true})
	var calls int
	for _, test := range []struct {
		name           string
		cert           *tls.Certificate
		custom, verify func(*baretls.PeerVerification) error
		calls          int
		alert          tls.AlertError
	}{
		{name: "CustomVerify takes any", cert: &strange, custom: func(v *baretls.PeerVerification) error { calls++; return nil }, calls: 1},
		{name: "CustomVerify takes none", cert: &right, custom: func(v *baretls.PeerVerification) error { calls++; return no }, calls: 1, alert: badCertificate},
		{name: "VerifyPeer has the chains", cert: &right, verify: func(v *baretls.PeerVerification) error {
			calls++
			if len(v.VerifiedChains) != 1 || len(v.Certificates) != 2 || v.Time.IsZero() || v.ServerName != "example.com" {
				return fmt.Errorf("%d chains, %d certificates, time %v, name %q", len(v.VerifiedChains), len(v.Certificates), v.Time, v.ServerName)
			}
			return nil
		}, calls: 1},
		{name: "VerifyPeer takes none", cert: &right, verify: func(v *baretls.PeerVerification) error { calls++; return no }, calls: 1, alert: badCertificate},
		{name: "VerifyPeer is not asked about a bad one", cert: &strange, verify: func(v *baretls.PeerVerification) error { calls++; return nil }, alert: unknownCA},
		{name: "nobody is asked about none", verify: func(v *baretls.PeerVerification) error { calls++; return no }},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls = 0
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				c.GetClientCertificate = always(test.cert)
				s.ClientAuth, s.ClientCAs = tls.VerifyClientCertIfGiven, roots
				s.CustomVerify, s.VerifyPeer = test.custom, test.verify
			})
			m := st.meet()
			m.runEarly()
			if calls != test.calls {
				t.Errorf("the callback is called %d times, want %d", calls, test.calls)
			}
			if test.alert == 0 {
				m.handshake()
				m.works()
				return
			}
			m.server.wantFailed(test.alert)
			if test.calls > 0 && !errors.Is(m.server.err, no) {
				t.Errorf("the error is %v, which is not the callback's", m.server.err)
			}
		})
	}
}

// A testCA issues certificates for clients.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newTestCA(t *testing.T, subject string) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject},
		NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca := &testCA{key: key, pool: x509.NewCertPool()}
	ca.cert = parsed(t, template, template, key, key)
	ca.pool.AddCert(ca.cert)
	return ca
}

func parsed(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (ca *testCA) issue(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := parsed(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca.cert, key, ca.key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// CVE-2025-68121 and its kin: a ticket must not carry an identity from one
// server's authorities to another's, even where their names are the same.
func TestTicketDoesNotOutliveItsAuthority(t *testing.T) {
	one, other := newTestCA(t, "one and the same name"), newTestCA(t, "one and the same name")
	for _, store := range stores {
		for _, mode := range []tls.ClientAuthType{tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert} {
			t.Run(fmt.Sprintf("%s, %v", store.name, mode), func(t *testing.T) {
				cache := baretls.NewSessionCache(0)
				cert := one.issue(t, "a client")
				st := newStage(t)
				use := func(cas *x509.CertPool) {
					st.server = st.newServerConfig(func(s *baretls.ServerConfig) {
						useCache(store.name, cache, s)
						s.ClientAuth, s.ClientCAs = mode, cas
					})
				}
				st.client = st.newClientConfig(func(c *baretls.ClientConfig) { c.GetClientCertificate = always(cert) })
				use(one.pool)
				st.connect()
				wantClient(t, st.connects("at another connection to the first server", baretls.HandshakeResumed), true, cert)
				use(other.pool)
				m := st.meet()
				if !firstHello(t, m.clientFlight()).Has.Has(wire.ExtPreSharedKey) {
					t.Fatal("the client does not offer the session: the test is for nothing")
				}
				m.answer(m.hello)
				if got := m.server.conn.HandshakeKind(); got != baretls.HandshakeFull {
					t.Fatalf("at a server with another CA of that name the handshake is %q, want a full one", got)
				}
				m.runEarly()
				m.server.wantFailed(unknownCA)
				if n := len(m.server.conn.PeerCertificates()); n != 0 {
					t.Errorf("the server takes the client for somebody with %d certificates", n)
				}
			})
		}
	}
}

// Who a client is, is judged at each resumption anew.
func TestClientIsJudgedAnew(t *testing.T) {
	roots, _ := tlstest.CA()
	for _, test := range []struct {
		name  string
		mode  tls.ClientAuthType
		wait  time.Duration
		no    int // VerifyPeer says no to its calls from this one on, until the next but one; 0: never
		many  int // of them
		kind  baretls.HandshakeKind
		alert tls.AlertError
	}{
		{name: "nothing has changed", mode: tls.RequireAndVerifyClientCert, kind: baretls.HandshakeResumed},
		{name: "the certificate has expired", mode: tls.RequireAndVerifyClientCert, wait: 2 * time.Hour, kind: baretls.HandshakeFull, alert: certificateExpired},
		{name: "the certificate has expired, which is not verified", mode: tls.RequireAnyClientCert, wait: 2 * time.Hour, kind: baretls.HandshakeResumed},
		{name: "VerifyPeer says no to the resumption", mode: tls.RequireAndVerifyClientCert, no: 2, many: 1, kind: baretls.HandshakeFull},
		{name: "VerifyPeer says no from now on", mode: tls.RequireAndVerifyClientCert, no: 2, many: 100, kind: baretls.HandshakeFull, alert: badCertificate},
		{name: "VerifyPeer says no where nothing is verified", mode: tls.RequestClientCert, no: 2, many: 100, kind: baretls.HandshakeFull, alert: badCertificate},
	} {
		for _, store := range stores {
			t.Run(store.name+", "+test.name, func(t *testing.T) {
				calls := 0
				st := newStage(t)
				st.client.Certificates = withLeaf(tlstest.Options{Client: true, NotAfter: st.clock.now().Add(time.Hour)})
				store.use(st.server)
				st.server.ClientAuth, st.server.ClientCAs = test.mode, roots
				st.server.VerifyPeer = func(*baretls.PeerVerification) error {
					calls++
					if test.no > 0 && calls >= test.no && calls < test.no+test.many {
						return errors.New("no more")
					}
					return nil
				}
				st.connect()
				st.clock.move(test.wait)
				m := st.meet()
				if !firstHello(t, m.clientFlight()).Has.Has(wire.ExtPreSharedKey) {
					t.Fatal("the client does not offer the session: the test is for nothing")
				}
				m.answer(m.hello)
				m.runEarly()
				if got := m.server.conn.HandshakeKind(); got != test.kind {
					t.Errorf("%s: the handshake is %q, want %q", test.name, got, test.kind)
				}
				if test.alert != 0 {
					m.server.wantFailed(test.alert)
					return
				}
				m.handshake()
				m.works()
				if len(m.server.conn.PeerCertificates()) == 0 {
					t.Errorf("%s: the server does not know the client", test.name)
				}
			})
		}
	}
}

// A client that resumes is not asked again, and has no need of its key.
func TestResumptionNeedsNoKey(t *testing.T) {
	roots, _ := tlstest.CA()
	asked := 0
	cert := tlstest.New(tlstest.Options{Client: true})
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.GetClientCertificate = func(*baretls.CertificateRequest) (*tls.Certificate, error) { asked++; return &cert, nil }
		s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, roots
	})
	st.connect()
	wantClient(t, st.connects("the second connection", baretls.HandshakeResumed), true, &cert)
	if asked != 1 {
		t.Errorf("the client was asked for its certificate %d times, want once", asked)
	}
}

// What a client may answer a request with, and what not.
func TestForgedClientFlight(t *testing.T) {
	roots, _ := tlstest.CA()
	cert := tlstest.New(tlstest.Options{Client: true})
	certificate := wire.AppendCertificate(nil, nil, cert.Certificate, nil, nil)
	empty := wire.AppendCertificate(nil, nil, nil, nil, nil)
	finished := append([]byte{20, 0, 0, 32}, make([]byte, 32)...)
	verify := func(scheme tls.SignatureScheme) []byte {
		cv := wire.CertificateVerify{Algorithm: uint16(scheme), Signature: make([]byte, 70)}
		return cv.Append(nil)
	}
	for _, test := range []struct {
		name   string
		flight [][]byte
		alert  tls.AlertError
	}{
		{"Finished and no Certificate", [][]byte{finished}, unexpectedMessage},
		{"CertificateVerify and no Certificate", [][]byte{verify(tls.ECDSAWithP256AndSHA256)}, unexpectedMessage},
		{"Certificate and no CertificateVerify", [][]byte{certificate, finished}, unexpectedMessage},
		{"no certificate", [][]byte{empty}, certificateRequiredAlert},
		{"a signature of zeros", [][]byte{certificate, verify(tls.ECDSAWithP256AndSHA256)}, decryptErrorAlert},
		{"a scheme that does not fit the key", [][]byte{certificate, verify(tls.Ed25519)}, illegalParameter},
		{"a scheme of TLS 1.2", [][]byte{certificate, verify(tls.PKCS1WithSHA256)}, illegalParameter},
		{"a scheme that nobody knows", [][]byte{certificate, verify(0x4242)}, illegalParameter},
		{"a context", [][]byte{wire.AppendCertificate(nil, []byte{1}, cert.Certificate, nil, nil)}, illegalParameter},
		{"Certificate twice", [][]byte{certificate, certificate}, unexpectedMessage},
		{"a certificate that is none", [][]byte{wire.AppendCertificate(nil, nil, [][]byte{{1, 2, 3}}, nil, nil)}, badCertificate},
		{"application data", nil, unexpectedMessage},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, roots
			})
			m := st.meet()
			m.clientFlight()
			m.answer(m.hello)
			m.client.give(m.server.take())
			m.client.turns()
			f := m.keys.forger(t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
			for _, message := range test.flight {
				m.answer(f.seal(handshake, message, 0))
			}
			if test.flight == nil {
				m.answer(f.seal(applicationData, []byte("data"), 0))
			}
			m.server.wantFailed(test.alert)
			if m.server.conn.PeerCertificates() != nil {
				t.Errorf("%s: the server takes the client for somebody", test.name)
			}
		})
	}
}

// A client that was not asked has nothing to say about itself.
func TestUnaskedCertificate(t *testing.T) {
	st := newStage(t)
	m := st.meet()
	m.clientFlight()
	m.answer(m.hello)
	m.client.give(m.server.take())
	m.client.turns()
	cert := tlstest.New(tlstest.Options{Client: true})
	f := m.keys.forger(t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
	m.answer(f.seal(handshake, wire.AppendCertificate(nil, nil, cert.Certificate, nil, nil), 0))
	m.server.wantFailed(unexpectedMessage)
}
