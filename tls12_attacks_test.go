package baretls_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// What went wrong with TLS 1.2 elsewhere, as tests.

const (
	decryptError         tls.AlertError = 51
	inappropriateFall    tls.AlertError = 86
	noRenegotiation      tls.AlertError = 100
	unsupportedExtension tls.AlertError = 110
	certificateRequired  tls.AlertError = 116
)

// A change_cipher_spec stands in one place of each role. Whoever takes one
// before there are keys may take keys that everybody knows (CVE-2014-0224).
func TestTLS12EarlyChangeCipherSpec(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		if !ph.tls12 {
			return
		}
		if ph.name != "the client of TLS 1.2 waits for change_cipher_spec" && ph.name != "the server of TLS 1.2 waits for change_cipher_spec" {
			ph.hand(ccs())
			wantEnd(t, ph, unexpectedMessage)
			return
		}
		ph.victim.give(ccs())
		ph.victim.turns()
		ph.victim.wantAlive()
		ph.hand(ccs()) // once
		wantEnd(t, ph, unexpectedMessage)
	})
}

// A client that offers both versions drops change_cipher_spec before the
// ServerHello, as TLS 1.3 wants it. It does not count later.
func TestTLS12ChangeCipherSpecBeforeTheServerHello(t *testing.T) {
	p := newPair(t, nil, tls12.server())
	p.client.turns()
	p.client.give(ccs())
	p.handshake()
	p.works()

	p = newPair(t, nil, tls12.server())
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	p.client.give(ccs(), p.server.take())
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	p.client.give(records(t, p.server.take())[1]) // the Finished alone
	p.client.turns()
	p.client.wantFailed(unexpectedMessage)
}

// The Finished does not stand without a change_cipher_spec before it: neither
// as it was sealed nor in the clear, however right it is.
func TestTLS12FinishedBeforeChangeCipherSpec(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		for _, opened := range []bool{false, true} {
			p := tls12.pair(t, nil, nil)
			p.client.turns()
			p.server.give(p.client.take())
			p.server.turns()
			p.client.give(p.server.take())
			p.client.turns()
			flight := records(t, p.client.take()) // ClientKeyExchange, change_cipher_spec, Finished
			victim := p.server
			if role == "server" {
				p.server.give(flight[0])
			} else {
				p.server.give(flight...)
				p.server.turns()
				flight = append(flight[:1], records(t, p.server.take())...)
				victim = p.client
			}
			finished := flight[2]
			if opened {
				_, content := p.forger12(p.other(victim)).open(t, finished)
				if content[0] != msgFinished || len(content) != 4+12 {
					t.Fatalf("the Finished is %x", content)
				}
				finished = plain(handshake, content)
			}
			victim.give(finished)
			victim.turns()
			victim.wantFailed(unexpectedMessage)
		}
	}
}

// A Finished that is not right, or not whole.
func TestTLS12FinishedThatIsWrong(t *testing.T) {
	for _, from := range []string{"client", "server"} {
		for name, tt := range map[string]struct {
			door func(m []byte) []byte
			want tls.AlertError
		}{
			"flipped at the front": {func(m []byte) []byte { m[4] ^= 1; return m }, decryptError},
			"flipped at the end":   {func(m []byte) []byte { m[15] ^= 0x80; return m }, decryptError},
			"too short":            {func(m []byte) []byte { return message12(msgFinished, m[4:15]) }, decodeError},
			"too long":             {func(m []byte) []byte { return message12(msgFinished, m[4:], []byte{0}) }, decodeError},
			"empty":                {func(m []byte) []byte { return message12(msgFinished) }, decodeError},
		} {
			x := newMeddler(t, nil, nil, nil)
			if from == "client" {
				x.fromClient[msgFinished] = tt.door
			} else {
				x.fromServer[msgFinished] = tt.door
			}
			x.refused("Finished of the "+from+" "+name, x.other(x.side(from)), tt.want)
		}
	}
}

// The ServerKeyExchange: missing, twice, of another curve, or signed by or over
// something else.
func TestTLS12ServerKeyExchange(t *testing.T) {
	own := tlstest.Key(tlstest.ECDSAP256)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(*serverKeyExchange) {}
	over := func(x *meddler, content func(k *serverKeyExchange) []byte) func(m []byte) []byte {
		return x.changes(func(k *serverKeyExchange) { k.signature = sign12(t, own, k.scheme, content(k)) })
	}
	few := func(c *baretls.ClientConfig) {
		c.SignatureSchemes = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
		c.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
	}
	for _, tt := range []struct {
		what   string
		config func(c *baretls.ClientConfig)
		door   func(x *meddler) func(m []byte) []byte
		want   tls.AlertError // 0: none
	}{
		{"signed again", nil, func(x *meddler) func([]byte) []byte { return x.signs(own, nothing) }, 0},
		{"left out", nil, func(x *meddler) func([]byte) []byte { return func([]byte) []byte { return nil } }, unexpectedMessage},
		{"sent twice", nil, func(x *meddler) func([]byte) []byte {
			return func(m []byte) []byte { return append(m, m...) }
		}, unexpectedMessage},
		{"behind a second Certificate", nil, func(x *meddler) func([]byte) []byte {
			return func(m []byte) []byte { return append(message12(msgCertificate, vector24(nil)), m...) }
		}, unexpectedMessage},

		{"signed by SHA-384 with a key of P-256, which TLS 1.2 allows", nil, func(x *meddler) func([]byte) []byte {
			return x.signs(own, func(k *serverKeyExchange) { k.scheme = tls.ECDSAWithP384AndSHA384 })
		}, 0},
		{"signed by a scheme that was not offered", few, func(x *meddler) func([]byte) []byte {
			return x.signs(own, func(k *serverKeyExchange) { k.scheme = tls.ECDSAWithP384AndSHA384 })
		}, illegalParameter},
		{"signed by SHA-1", nil, func(x *meddler) func([]byte) []byte {
			return x.signs(own, func(k *serverKeyExchange) { k.scheme = tls.ECDSAWithSHA1 })
		}, illegalParameter},
		{"signed by a scheme for RSA", nil, func(x *meddler) func([]byte) []byte {
			return x.changes(func(k *serverKeyExchange) { k.scheme = tls.PSSWithSHA256 })
		}, illegalParameter},
		{"signed by a scheme that nobody knows", nil, func(x *meddler) func([]byte) []byte {
			return x.changes(func(k *serverKeyExchange) { k.scheme = 0x7777 })
		}, illegalParameter},
		{"signed by another scheme than it says", nil, func(x *meddler) func([]byte) []byte {
			return x.changes(func(k *serverKeyExchange) { k.scheme = tls.ECDSAWithP384AndSHA384 })
		}, decryptError},
		{"signed by another key", nil, func(x *meddler) func([]byte) []byte { return x.signs(stranger, nothing) }, decryptError},
		{"without a signature", nil, func(x *meddler) func([]byte) []byte {
			return x.changes(func(k *serverKeyExchange) { k.signature = nil })
		}, decryptError},
		{"with a bit of the signature flipped", nil, func(x *meddler) func([]byte) []byte {
			return x.changes(func(k *serverKeyExchange) { k.signature[len(k.signature)-1] ^= 1 })
		}, decryptError},
		{"signed over no randoms", nil, func(x *meddler) func([]byte) []byte {
			return over(x, func(k *serverKeyExchange) []byte { return k.params() })
		}, decryptError},
		{"signed over the randoms in the wrong order", nil, func(x *meddler) func([]byte) []byte {
			return over(x, func(k *serverKeyExchange) []byte {
				return slices.Concat(x.serverRandom, x.client.random(), k.params())
			})
		}, decryptError},
		{"signed over another client's random", nil, func(x *meddler) func([]byte) []byte {
			return over(x, func(k *serverKeyExchange) []byte {
				return slices.Concat(make([]byte, 32), x.serverRandom, k.params())
			})
		}, decryptError},
		{"signed over another server's random", nil, func(x *meddler) func([]byte) []byte {
			return over(x, func(k *serverKeyExchange) []byte {
				return slices.Concat(x.client.random(), make([]byte, 32), k.params())
			})
		}, decryptError},
		{"signed over another key share", nil, func(x *meddler) func([]byte) []byte {
			return x.changes(func(k *serverKeyExchange) { k.public[0] ^= 1 })
		}, decryptError},

		{"of a group that was not offered", few, func(x *meddler) func([]byte) []byte {
			return x.signs(own, func(k *serverKeyExchange) { k.group, k.public = tls.CurveP384, p384.PublicKey().Bytes() })
		}, illegalParameter},
		{"of a hybrid group", nil, func(x *meddler) func([]byte) []byte {
			return x.signs(own, func(k *serverKeyExchange) { k.group = tls.X25519MLKEM768 })
		}, illegalParameter},
		{"of a group that nobody knows", nil, func(x *meddler) func([]byte) []byte {
			return x.signs(own, func(k *serverKeyExchange) { k.group = 0x7777 })
		}, illegalParameter},
		{"with an explicit prime", nil, func(x *meddler) func([]byte) []byte {
			return x.signs(own, func(k *serverKeyExchange) { k.curveType = 1 })
		}, illegalParameter},
		{"with an explicit characteristic-2 curve", nil, func(x *meddler) func([]byte) []byte {
			return x.signs(own, func(k *serverKeyExchange) { k.curveType = 2 })
		}, illegalParameter},
		{"without a key share", nil, func(x *meddler) func([]byte) []byte {
			return func(m []byte) []byte { return message12(msgServerKeyExchange, []byte{3, 0, 29, 0}, m[4+36:]) }
		}, decodeError},
		{"with a byte behind it", nil, func(x *meddler) func([]byte) []byte {
			return func(m []byte) []byte { return message12(msgServerKeyExchange, m[4:], []byte{0}) }
		}, decodeError},
		{"cut in the signature", nil, func(x *meddler) func([]byte) []byte {
			return func(m []byte) []byte { return message12(msgServerKeyExchange, m[4:len(m)-1]) }
		}, decodeError},
		{"without a body", nil, func(x *meddler) func([]byte) []byte {
			return func([]byte) []byte { return message12(msgServerKeyExchange) }
		}, decodeError},
	} {
		client := tls12.client()
		if tt.config != nil {
			tt.config(client)
		}
		x := newMeddler(t, client, nil, nil)
		x.fromServer[msgServerKeyExchange] = tt.door(x)
		if tt.want == 0 {
			x.handshake()
			x.works()
			continue
		}
		x.refused("ServerKeyExchange "+tt.what, x.client, tt.want)
	}
}

// badPoints are shares that no key agreement may be made with.
var badPoints = []struct {
	what  string
	group tls.CurveID
	bytes func() []byte
}{
	{"not on the curve", tls.CurveP256, func() []byte { return append([]byte{4}, bytes.Repeat([]byte{1}, 64)...) }},
	{"the point at infinity", tls.CurveP256, func() []byte { return []byte{0} }},
	{"all zeros", tls.CurveP256, func() []byte { return append([]byte{4}, make([]byte, 64)...) }},
	{"compressed", tls.CurveP256, func() []byte {
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return elliptic.MarshalCompressed(elliptic.P256(), key.X, key.Y)
	}},
	{"of another curve", tls.CurveP256, func() []byte {
		key, _ := ecdh.P384().GenerateKey(rand.Reader)
		return key.PublicKey().Bytes()
	}},
	{"a byte too long", tls.CurveP256, func() []byte {
		key, _ := ecdh.P256().GenerateKey(rand.Reader)
		return append(key.PublicKey().Bytes(), 0)
	}},
	{"not on the curve", tls.CurveP384, func() []byte { return append([]byte{4}, bytes.Repeat([]byte{1}, 96)...) }},
	{"not on the curve", tls.CurveP521, func() []byte { return append([]byte{4}, bytes.Repeat([]byte{0, 1}, 66)...) }},
	{"of order 1", tls.X25519, func() []byte { return make([]byte, 32) }},
	{"of order 4", tls.X25519, func() []byte { return append([]byte{1}, make([]byte, 31)...) }},
	{"a byte too short", tls.X25519, func() []byte { return bytes.Repeat([]byte{9}, 31) }},
	{"a byte too long", tls.X25519, func() []byte { return bytes.Repeat([]byte{9}, 33) }},
}

// Points are checked by both roles: RFC 8422, Section 5.11.
func TestTLS12BadPoints(t *testing.T) {
	for _, tt := range badPoints {
		what := tt.group.String() + " share " + tt.what
		server := tls12.server()
		server.Groups = []tls.CurveID{tt.group}
		x := newMeddler(t, nil, server, nil)
		x.fromServer[msgServerKeyExchange] = x.signs(tlstest.Key(tlstest.ECDSAP256), func(k *serverKeyExchange) { k.public = tt.bytes() })
		x.refused("server's "+what, x.client, illegalParameter)

		server = tls12.server()
		server.Groups = []tls.CurveID{tt.group}
		x = newMeddler(t, nil, server, nil)
		x.fromClient[msgClientKeyExchange] = func([]byte) []byte { return message12(msgClientKeyExchange, vector8(tt.bytes())) }
		x.refused("client's "+what, x.server, illegalParameter)
	}
	for what, body := range map[string][]byte{"empty": nil, "with an empty share": {0}, "with a byte behind it": {1, 4, 0}, "cut": {2, 4}} {
		x := newMeddler(t, nil, nil, nil)
		x.fromClient[msgClientKeyExchange] = func([]byte) []byte { return message12(msgClientKeyExchange, body) }
		x.refused("ClientKeyExchange "+what, x.server, decodeError)
	}
}

// The certificate's key has to be of the kind that the suite names.
func TestTLS12CertificateThatDoesNotGoWithTheSuite(t *testing.T) {
	for _, tt := range []struct{ suite, cert tlstest.Kind }{
		{tlstest.ECDSAP256, tlstest.RSA2048},
		{tlstest.ECDSAP256, tlstest.RSAPSS},
		{tlstest.RSA2048, tlstest.ECDSAP256},
		{tlstest.RSA2048, tlstest.Ed25519},
	} {
		server := tls12.server()
		server.Certificates = []tls.Certificate{tlstest.Leaf(tt.suite)}
		x := newMeddler(t, nil, server, nil)
		x.fromServer[msgCertificate] = func([]byte) []byte { return certificate12(tlstest.Leaf(tt.cert).Certificate...) }
		x.refused("certificate of "+tt.cert.String()+" with a suite for "+tt.suite.String(), x.client, illegalParameter)
	}
}

func certificate12(chain ...[]byte) []byte {
	var list []byte
	for _, der := range chain {
		list = append(list, vector24(der)...)
	}
	return message12(msgCertificate, vector24(list))
}

func TestTLS12ServerCertificateThatIsNone(t *testing.T) {
	leaf := tlstest.Leaf(tlstest.ECDSAP256)
	for _, tt := range []struct {
		what    string
		message []byte
		want    tls.AlertError
	}{
		{"an empty list", certificate12(), decodeError},
		{"a list without its length", message12(msgCertificate), decodeError},
		{"an empty certificate", certificate12(nil), decodeError},
		{"the format of TLS 1.3", message12(msgCertificate, []byte{0}, vector24(append(vector24(leaf.Certificate[0]), 0, 0))), decodeError},
		{"no DER", certificate12([]byte("certificate")), badCertificate},
		{"a stranger's", certificate12(tlstest.New(tlstest.Options{UnknownCA: true}).Certificate...), unknownCA},
		{"one of another name", certificate12(tlstest.Leaf(tlstest.ECDSAP256, "example.org").Certificate...), certificateUnknown},
		{"a client's", certificate12(tlstest.ClientLeaf(tlstest.ECDSAP256).Certificate...), unsupportedCertificate},
		{"one that has expired", certificate12(tlstest.New(tlstest.Options{NotAfter: tlstest.NotBefore.AddDate(1, 0, 0)}).Certificate...), certificateExpired},
	} {
		x := newMeddler(t, nil, nil, nil)
		x.fromServer[msgCertificate] = func([]byte) []byte { return tt.message }
		x.refused("Certificate that is "+tt.what, x.client, tt.want)
	}
	x := newMeddler(t, nil, nil, nil)
	x.fromServer[msgCertificate] = func([]byte) []byte { return nil }
	x.refused("no Certificate", x.client, unexpectedMessage)
}

// Keys of RSA are used up to 8192 bits and no further, wherever in a chain
// they stand: what they cost grows with the cube (CVE-2023-29409).
func TestTLS12OversizedRSAKeys(t *testing.T) {
	ca := newAuthority12(t)
	for _, tt := range []struct {
		bits int
		want tls.AlertError
	}{
		{8193, badCertificate},
		{16384, badCertificate},
		{2047, badCertificate},
		{8192, decryptError}, // the key is taken, and the signature is not its own
	} {
		der := ca.issue(t, 0, oddKey(tt.bits))
		client, server := tls12.client(), tls12.server()
		client.RootCAs = ca.pool
		server.Certificates = []tls.Certificate{tlstest.Leaf(tlstest.RSA2048)}
		x := newMeddler(t, client, server, nil)
		x.fromServer[msgCertificate] = func([]byte) []byte { return certificate12(der) }
		x.refused("server's key of so many bits", x.client, tt.want)

		server = tls12.server()
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool
		x = newMeddler(t, nil, server, nil)
		x.fromClient[msgCertificate] = func([]byte) []byte { return certificate12(der) }
		if tt.bits == 8192 {
			continue // the client has no key at all, and goes on without a CertificateVerify
		}
		x.refused("client's key of so many bits", x.server, tt.want)

		x = newMeddler(t, nil, nil, nil)
		leaf := tlstest.Leaf(tlstest.ECDSAP256).Certificate
		x.fromServer[msgCertificate] = func([]byte) []byte { return certificate12(leaf[0], leaf[1], der) }
		x.refused("key of so many bits behind the chain", x.client, tt.want)
	}
}

// oddKey is not the key of anybody, but has the size of one.
func oddKey(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
}

// An authority12 issues certificates for keys that need not be anybody's.
type authority12 struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority12(t *testing.T) *authority12 {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority12{key: key, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "baretls test authority for TLS 1.2"},
		NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a leaf for example.com; usage 0 stands for both roles.
func (a *authority12) issue(t *testing.T, usage x509.ExtKeyUsage, key crypto.PublicKey) []byte {
	t.Helper()
	usages := []x509.ExtKeyUsage{usage}
	if usage == 0 {
		usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"example.com"},
		NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usages,
	}, a.cert, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// What a ServerHello of TLS 1.2 must not say: RFC 5246, Section 7.4.1.3.
func TestTLS12ServerHelloThatIsWrong(t *testing.T) {
	version := func(v uint16) func(m []byte) []byte {
		return func(m []byte) []byte {
			m[4], m[5] = byte(v>>8), byte(v)
			return m
		}
	}
	suite := func(id uint16) func(m []byte) []byte {
		return inServerHello(func(b []byte) { b[0], b[1] = byte(id>>8), byte(id) })
	}
	gcm := func(c *baretls.ClientConfig) {
		c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_AES_128_GCM_SHA256}
	}
	h2 := func(c *baretls.ClientConfig) { c.NextProtos = []string{"h2"} }
	// The session ID of a client of both versions is there for the sake of TLS 1.3.
	lax := func(c *baretls.ClientConfig) { c.AllowNoExtendedMainSecret, c.MaxVersion = true, tls.VersionTLS13 }
	for _, tt := range []struct {
		what   string
		config func(c *baretls.ClientConfig)
		door   func(m []byte) []byte
		want   tls.AlertError
	}{
		{"of SSL 3.0", nil, version(0x0300), protocolVersion},
		{"of TLS 1.0", nil, version(0x0301), protocolVersion},
		{"of TLS 1.1", nil, version(0x0302), protocolVersion},
		{"of TLS 1.3 without supported_versions", nil, version(0x0304), protocolVersion},
		{"with a suite that was not offered", gcm, suite(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), illegalParameter},
		{"with a suite of TLS 1.3", nil, suite(tls.TLS_AES_128_GCM_SHA256), illegalParameter},
		{"with a suite of CBC", nil, suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA), illegalParameter},
		{"with a suite of static RSA", nil, suite(tls.TLS_RSA_WITH_AES_128_GCM_SHA256), illegalParameter},
		{"with the suite of nothing", nil, suite(0), illegalParameter},
		{"with compression", nil, inServerHello(func(b []byte) { b[2] = 1 }), illegalParameter},
		{"without extended_main_secret", nil, without(extExtendedMainSecret), handshakeFailure},
		{"without any extension", nil, without(extExtendedMainSecret, extRenegotiationInfo, extPointFormats, extServerName, extRecordSizeLimit), handshakeFailure},
		{"with extended_main_secret that is not empty", nil, with(extExtendedMainSecret, 0), decodeError},
		{"with extended_main_secret twice", nil, func(m []byte) []byte {
			return withExtensions(m, func(l []extension12) []extension12 {
				return append(l, extension12{extExtendedMainSecret, nil})
			})
		}, illegalParameter},
		// "MUST abort the handshake (by sending a fatal handshake_failure
		// alert)": RFC 5746, Section 3.4.
		{"with renegotiation_info that is not empty", nil, with(extRenegotiationInfo, append([]byte{12}, make([]byte, 12)...)...), handshakeFailure},
		{"with renegotiation_info that is malformed", nil, with(extRenegotiationInfo), decodeError},
		{"with an application protocol that was not asked for", nil, with(extALPN, 0, 3, 2, 'h', '2'), unsupportedExtension},
		{"with an application protocol that was not offered", h2, with(extALPN, 0, 3, 2, 'h', '3'), illegalParameter},
		{"with two application protocols", h2, with(extALPN, 0, 6, 2, 'h', '2', 2, 'h', '2'), decodeError},
		{"with an extension that nobody asked for", nil, with(0x7777), unsupportedExtension},
		{"with a limit of 63 bytes", nil, with(extRecordSizeLimit, 0, 63), illegalParameter},
		{"with a limit of no bytes", nil, with(extRecordSizeLimit, 0, 0), illegalParameter},
		// RFC 8422, Section 5.2: "it MUST contain the value 0".
		{"without the uncompressed point format", nil, with(extPointFormats, 1, 1), illegalParameter},
		{"that resumes a session that was not offered", lax, nil, illegalParameter},
		{"with a session ID of 33 bytes", nil, withSessionID(make([]byte, 33)), decodeError},
		{"that is a prefix of one", nil, func(m []byte) []byte { return message12(msgServerHello, m[4:40]) }, decodeError},
	} {
		client := tls12.client()
		if tt.config != nil {
			tt.config(client)
		}
		var offered []byte
		x := newMeddler(t, client, nil, func(m []byte) []byte {
			offered = bytes.Clone(sessionID(m))
			return m
		})
		if tt.door == nil {
			tt.door = func(m []byte) []byte { return withSessionID(offered)(m) }
		}
		x.fromServer[msgServerHello] = tt.door
		x.refused("ServerHello "+tt.what, x.client, tt.want)
	}
}

// A server that could do better says so in its random, and a client that could
// too does not go on: RFC 9846, Section 4.2.3.
func TestTLS12DowngradeSentinels(t *testing.T) {
	for _, tt := range []struct {
		what   string
		client version // MaxVersion
		server version
		tail   string // of the server's random
		put    string // in its place, or nothing
		want   tls.AlertError
	}{
		{what: "both versions", client: tls12, server: tls13, tail: "DOWNGRD\x01"},
		{what: "TLS 1.2 only", client: tls12, server: tls12},
		{what: "TLS 1.2 only, to a client of both", client: tls13, server: tls12},
		{what: "TLS 1.2 and the sentinel for it, to a client of both", client: tls13, server: tls12, put: "DOWNGRD\x01", want: illegalParameter},
		{what: "TLS 1.2 and the sentinel for TLS 1.1, to a client of both", client: tls13, server: tls12, put: "DOWNGRD\x00", want: illegalParameter},
	} {
		client, server := tt.client.client(), tt.server.server()
		x := newMeddler(t, client, server, nil)
		var tail string
		x.fromServer[msgServerHello] = func(m []byte) []byte {
			tail = string(m[4+2+24 : 4+2+32])
			copy(m[4+2+24:], tt.put)
			return m
		}
		if tt.want != 0 {
			x.refused("downgrade by "+tt.what, x.client, tt.want)
			continue
		}
		x.handshake()
		x.works()
		isSentinel := tail == "DOWNGRD\x01" || tail == "DOWNGRD\x00"
		if tt.tail != "" && tail != tt.tail || tt.tail == "" && isSentinel {
			t.Errorf("a server of %s ends its random with %q, want %q", tt.what, tail, tt.tail)
		}
	}

	// The attack itself: who takes supported_versions out of the hello on the
	// way is found out by the sentinel, before there is a Finished to tell.
	p := newPair(t, nil, nil)
	p.client.turns()
	flight := p.client.take()
	hello := without(extSupportedVersions)(flight[5:])
	p.server.give(plain(handshake, hello))
	p.server.turns()
	p.client.give(p.server.take())
	p.client.turns()
	p.client.wantFailed(illegalParameter)
}

// TLS_FALLBACK_SCSV tells of a client that has tried better and failed: RFC
// 7507.
func TestTLS12FallbackSCSV(t *testing.T) {
	scsv := withSuites(func(suites []byte) []byte { return append(suites, 0x56, 0x00) })
	for _, tt := range []struct {
		client, server version
		refused        bool
	}{
		{tls12, tls13, true},
		{tls12, tls12, false},
		{tls13, tls13, false},
		{tls13, tls12, false},
	} {
		x := newMeddler(t, tt.client.client(), tt.server.server(), scsv)
		if tt.refused {
			x.refused("fallback from what the server has", x.server, inappropriateFall)
			continue
		}
		x.handshake()
		x.works()
	}
}

// What a ClientHello of TLS 1.2 must not say, and what it may.
func TestTLS12ClientHello(t *testing.T) {
	compression := func(methods ...byte) func(m []byte) []byte {
		return func(m []byte) []byte {
			end := extensionsOf(m)
			return message12(m[0], m[4:end-2], vector8(methods), m[end:])
		}
	}
	for _, tt := range []struct {
		what string
		door func(m []byte) []byte
		want tls.AlertError
	}{
		{"without the null compression method", compression(1), illegalParameter},
		{"without compression methods", compression(), decodeError},
		{"without extended_main_secret", without(extExtendedMainSecret), handshakeFailure},
		{"with renegotiation_info that is not empty", with(extRenegotiationInfo, append([]byte{12}, make([]byte, 12)...)...), handshakeFailure},
		{"without signature_algorithms, which stands for SHA-1", without(extSignatureAlgs), handshakeFailure},
		{"with signature_algorithms of SHA-1", with(extSignatureAlgs, 0, 4, 2, 3, 2, 1), handshakeFailure},
		{"with groups that nobody has", with(extSupportedGroups, 0, 2, 0x77, 0x77), handshakeFailure},
		{"with suites that nobody has", withSuites(func([]byte) []byte { return []byte{0xc0, 0x09, 0x00, 0x2f} }), handshakeFailure},
		{"with suites for RSA, to a server with ECDSA", withSuites(func([]byte) []byte { return []byte{0xc0, 0x2f, 0xcc, 0xa8} }), handshakeFailure},
		{"with suites of TLS 1.3", withSuites(func([]byte) []byte { return []byte{0x13, 0x01} }), handshakeFailure},
		{"without suites", withSuites(func([]byte) []byte { return nil }), decodeError},
		{"without extensions", func(m []byte) []byte { return message12(m[0], m[4:extensionsOf(m)]) }, handshakeFailure},
		// "then the server MUST abort the handshake and return an
		// illegal_parameter alert": RFC 8422, Section 5.1.2.
		{"without the uncompressed point format", with(extPointFormats, 1, 1), illegalParameter},
		{"with a limit of 63 bytes", with(extRecordSizeLimit, 0, 63), illegalParameter},
		{"with a name that is none", with(extServerName, 0, 7, 0, 0, 4, 'a', '.', '.', 'b'), illegalParameter},
		{"of TLS 1.1", func(m []byte) []byte { m[5] = 2; return m }, protocolVersion},
		{"of SSL 3.0", func(m []byte) []byte { m[5] = 0; return m }, protocolVersion},
		{"of SSL 2.0", func(m []byte) []byte { m[4], m[5] = 0, 2; return m }, protocolVersion},

		{"with compression methods that are not taken", compression(1, 0, 64), 0},
		{"without renegotiation_info", without(extRenegotiationInfo), 0},
		{"without point formats", without(extPointFormats), 0},
		{"without a session ticket", without(extSessionTicket), 0},
		{"without a name", without(extServerName), 0},
		{"of a version to come", func(m []byte) []byte { m[4], m[5] = 3, 9; return m }, 0},
		{"with suites and extensions of grease", func(m []byte) []byte {
			return withSuites(func(suites []byte) []byte { return append([]byte{0x3a, 0x3a}, suites...) })(with(0x4a4a, 0)(m))
		}, 0},
		{"with a session ID that names no session", withSessionID(bytes.Repeat([]byte{7}, 32)), 0},
		{"without a session ID", withSessionID(nil), 0},
	} {
		if tt.want != 0 { // changed on the way, for no client of ours would send it
			p := tls12.pair(t, nil, nil)
			p.client.turns()
			p.server.give(plain(handshake, tt.door(p.client.take()[5:])))
			p.refused("ClientHello "+tt.what, p.server, tt.want)
			continue
		}
		x := newMeddler(t, nil, nil, tt.door)
		if x.run(); x.client.err != nil || x.server.err != nil {
			t.Errorf("a ClientHello %s is refused: %v, %v", tt.what, x.client.err, x.server.err)
			continue
		}
		x.works()
	}
}

// Without supported_groups a client takes any group, and P-256 is one that
// everybody has: RFC 8422, Section 4.
func TestTLS12HelloWithoutGroups(t *testing.T) {
	x := newMeddler(t, nil, nil, without(extSupportedGroups))
	x.client.turns()
	x.server.give(x.client.take())
	x.server.turns()
	x.server.wantAlive()
	for _, m := range messages(t, records(t, x.server.take())[0][5:]) {
		if m[0] == msgServerKeyExchange {
			if k := parseSKE(m); k.group != tls.CurveP256 {
				t.Errorf("the group is %v, want P-256", k.group)
			}
			return
		}
	}
	t.Error("there is no ServerKeyExchange")
}

// renegotiation_info is answered in the words of RFC 5746, Section 3.6, by
// which the client knows that the server does not renegotiate in the dark.
func TestTLS12RenegotiationInfoIsAnswered(t *testing.T) {
	for what, tt := range map[string]struct {
		hello func(m []byte) []byte
		want  bool
	}{
		"with renegotiation_info":             {nil, true},
		"without":                             {without(extRenegotiationInfo), false},
		"with TLS_EMPTY_RENEGOTIATION_INFO…":  {func(m []byte) []byte { return withSuites(addSCSV)(without(extRenegotiationInfo)(m)) }, true},
		"with both, which is not recommended": {withSuites(addSCSV), true},
	} {
		x := newMeddler(t, nil, nil, tt.hello)
		x.client.turns()
		x.server.give(x.client.take())
		x.server.turns()
		hello := messages(t, records(t, x.server.take())[0][5:])[0]
		if body, ok := extension(hello, extRenegotiationInfo); ok != tt.want || ok && !bytes.Equal(body, []byte{0}) {
			t.Errorf("a hello %s is answered by renegotiation_info %x, %v, want %v", what, body, ok, tt.want)
		}
	}
}

func addSCSV(suites []byte) []byte { return append(suites, 0, 0xff) }

// CertificateStatus comes if, and only if, it was promised; but a promise may
// be broken (RFC 6066, Section 8).
func TestTLS12CertificateStatus(t *testing.T) {
	stapled := tlstest.Leaf(tlstest.ECDSAP256)
	stapled.OCSPStaple = []byte("an OCSP response")
	status := message12(msgCertificateStatus, []byte{1}, vector24([]byte("another response")))
	before := func(first []byte) func(m []byte) []byte {
		return func(m []byte) []byte { return append(bytes.Clone(first), m...) }
	}
	promised := doors{msgServerHello: with(extStatusRequest)}
	for _, tt := range []struct {
		what     string
		stapled  bool
		server   doors
		response string
		want     tls.AlertError
	}{
		{what: "as promised", stapled: true, response: "an OCSP response"},
		{what: "none"},
		{what: "promised and left out", server: promised},
		{what: "promised by a server that staples, and left out", stapled: true, server: doors{
			msgCertificateStatus: func([]byte) []byte { return nil },
		}},
		{what: "another one", stapled: true, server: doors{
			msgCertificateStatus: func([]byte) []byte { return status },
		}, response: "another response"},
		{what: "one without a promise", server: doors{msgServerKeyExchange: before(status)}, want: unexpectedMessage},
		{what: "one that was sent too early", stapled: true, server: doors{
			msgCertificate: before(status),
		}, want: unexpectedMessage},
		{what: "two of them", stapled: true, server: doors{
			msgCertificateStatus: before(status),
		}, want: unexpectedMessage},
		{what: "one behind the ServerKeyExchange", stapled: true, server: doors{
			msgCertificateStatus: func([]byte) []byte { return nil },
			msgServerHelloDone:   before(status),
		}, want: unexpectedMessage},
		{what: "an empty one", stapled: true, server: doors{
			msgCertificateStatus: func([]byte) []byte { return message12(msgCertificateStatus, []byte{1, 0, 0, 0}) },
		}, want: decodeError},
		{what: "one of another type", stapled: true, server: doors{
			msgCertificateStatus: func(m []byte) []byte { m[4] = 2; return m },
		}, want: decodeError},
	} {
		server := tls12.server()
		if tt.stapled {
			server.Certificates = []tls.Certificate{stapled}
		}
		x := newMeddler(t, nil, server, nil)
		for typ, do := range tt.server {
			x.fromServer[typ] = do
		}
		if tt.want != 0 {
			x.refused("CertificateStatus, "+tt.what, x.client, tt.want)
			continue
		}
		if x.run(); x.client.err != nil {
			t.Errorf("CertificateStatus, %s: %v", tt.what, x.client.err)
			continue
		}
		if got := string(x.client.conn.OCSPResponse()); got != tt.response {
			t.Errorf("CertificateStatus, %s: the response is %q, want %q", tt.what, got, tt.response)
		}
		x.works()
	}
}

// SCTs come in an extension of the ServerHello.
func TestTLS12SignedCertificateTimestamps(t *testing.T) {
	server := tls12.server()
	cert := tlstest.Leaf(tlstest.ECDSAP256)
	cert.SignedCertificateTimestamps = [][]byte{[]byte("one"), []byte("another")}
	server.Certificates = []tls.Certificate{cert}
	seen := 0
	client := tls12.client()
	client.VerifyPeer = func(v *baretls.PeerVerification) error {
		seen = len(v.SignedCertificateTimestamps)
		return nil
	}
	p := newPair(t, client, server)
	p.handshake()
	if got := p.client.conn.SignedCertificateTimestamps(); len(got) != 2 || string(got[1]) != "another" || seen != 2 {
		t.Errorf("the SCTs are %q, and VerifyPeer saw %d, want both", got, seen)
	}
}

// A certificate is judged before the client sends anything of its own, whether
// or not a CertificateStatus was promised.
func TestTLS12TheServerIsJudgedInEveryCase(t *testing.T) {
	for _, promised := range []bool{false, true} {
		for _, sent := range []bool{false, true} {
			server := tls12.server()
			stranger := tlstest.New(tlstest.Options{UnknownCA: true})
			stranger.OCSPStaple = []byte("an OCSP response")
			server.Certificates = []tls.Certificate{stranger}
			x := newMeddler(t, nil, server, nil)
			if !promised {
				x.fromServer[msgServerHello] = without(extStatusRequest)
			}
			if !sent || !promised {
				x.fromServer[msgCertificateStatus] = func([]byte) []byte { return nil }
			}
			x.refused("stranger's certificate", x.client, unknownCA)
			if len(x.client.data) > 0 || x.client.conn.PeerCertificates() != nil {
				t.Error("a stranger counts as the peer")
			}
		}
	}
}
