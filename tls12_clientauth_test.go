package baretls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// asking is a server of TLS 1.2 that wants a certificate of clients.
func asking(auth tls.ClientAuthType) *baretls.ServerConfig {
	server := tls12.server()
	server.ClientAuth = auth
	server.ClientCAs, _ = tlstest.CA()
	return server
}

// presenting is a client of TLS 1.2 with certificates.
func presenting(certs ...tls.Certificate) *baretls.ClientConfig {
	client := tls12.client()
	client.Certificates = certs
	return client
}

// What becomes of clients with a good certificate, a stranger's, and none. "If
// the client does not send any certificates, the server MAY at its discretion
// either continue the handshake without client authentication, or respond with
// a fatal handshake_failure alert" (RFC 5246, Section 7.4.6).
func TestTLS12ClientAuthModes(t *testing.T) {
	type outcome struct {
		known bool           // the server knows the certificate
		alert tls.AlertError // if there is no connection
	}
	taken, ignored := outcome{known: true}, outcome{}
	good := tlstest.ClientLeaf(tlstest.ECDSAP256)
	stranger := tlstest.New(tlstest.Options{Client: true, UnknownCA: true})
	for _, tt := range []struct {
		auth                 tls.ClientAuthType
		good, stranger, none outcome
	}{
		{tls.NoClientCert, ignored, ignored, ignored},
		{tls.RequestClientCert, taken, taken, ignored},
		{tls.RequireAnyClientCert, taken, taken, outcome{alert: handshakeFailure}},
		{tls.VerifyClientCertIfGiven, taken, outcome{alert: unknownCA}, ignored},
		{tls.RequireAndVerifyClientCert, taken, outcome{alert: unknownCA}, outcome{alert: handshakeFailure}},
	} {
		for _, c := range []struct {
			name string
			cert *tls.Certificate
			want outcome
		}{
			{"a good certificate", &good, tt.good},
			{"a stranger's", &stranger, tt.stranger},
			{"none", nil, tt.none},
		} {
			what := tt.auth.String() + " with " + c.name
			client := presenting()
			// Whatever authorities the server names.
			client.GetClientCertificate = func(*baretls.CertificateRequest) (*tls.Certificate, error) { return c.cert, nil }
			p := newPair(t, client, asking(tt.auth))
			if c.want.alert != 0 {
				p.refused(what, p.server, c.want.alert)
				continue
			}
			if p.run(); p.server.err != nil || p.client.err != nil {
				t.Errorf("%s: %v, %v", what, p.server.err, p.client.err)
				continue
			}
			if got := len(p.server.conn.PeerCertificates()) > 0; got != c.want.known {
				t.Errorf("%s: the server knows the certificate: %v, want %v", what, got, c.want.known)
			}
			verified := tt.auth >= tls.VerifyClientCertIfGiven && c.want.known
			if got := p.server.conn.ConnectionState().VerifiedChains; (len(got) > 0) != verified {
				t.Errorf("%s: the server has verified %d chains", what, len(got))
			}
			p.works()
		}
	}
}

// Every kind of key signs a CertificateVerify, by every scheme that it can.
func TestTLS12ClientSignatures(t *testing.T) {
	for _, kind := range tlstest.Kinds {
		for _, scheme := range []tls.SignatureScheme{
			tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512, tls.Ed25519,
			tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512, tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
			0x0809, 0x080a, 0x080b,
		} {
			server := asking(tls.RequestClientCert)
			server.SignatureSchemes = []tls.SignatureScheme{scheme}
			p := newPair(t, presenting(tlstest.ClientLeaf(kind)), server)
			if p.run(); p.server.err != nil || p.client.err != nil {
				t.Errorf("%v and %v: %v, %v", kind, scheme, p.server.err, p.client.err)
				continue
			}
			fits := schemesOf12[kind](scheme)
			if got := p.server.conn.PeerSignatureScheme(); (got == scheme) != fits || !fits && got != 0 {
				t.Errorf("a client with a key of %v, asked for %v, signs with %v", kind, scheme, got)
			}
			if got := len(p.server.conn.PeerCertificates()) > 0; got != fits {
				t.Errorf("a client with a key of %v, asked for %v, has a certificate: %v, want %v", kind, scheme, got, fits)
			}
			p.works()
		}
	}
}

// schemesOf12 says which schemes a key can sign with in TLS 1.2, where ECDSA's
// name no curve.
var schemesOf12 = map[tlstest.Kind]func(s tls.SignatureScheme) bool{
	tlstest.ECDSAP256: isECDSA,
	tlstest.ECDSAP384: isECDSA,
	tlstest.ECDSAP521: isECDSA,
	tlstest.Ed25519:   func(s tls.SignatureScheme) bool { return s == tls.Ed25519 },
	tlstest.RSA2048: func(s tls.SignatureScheme) bool {
		return s >= tls.PSSWithSHA256 && s <= tls.PSSWithSHA512 || s == tls.PKCS1WithSHA256 || s == tls.PKCS1WithSHA384 || s == tls.PKCS1WithSHA512
	},
	tlstest.RSAPSS: func(s tls.SignatureScheme) bool { return s >= 0x0809 && s <= 0x080b },
}

func isECDSA(s tls.SignatureScheme) bool {
	return s == tls.ECDSAWithP256AndSHA256 || s == tls.ECDSAWithP384AndSHA384 || s == tls.ECDSAWithP521AndSHA512
}

// certificateRequest12 is RFC 5246, Section 7.4.4.
func certificateRequest12(types []byte, schemes []tls.SignatureScheme, authorities ...[]byte) []byte {
	var list, names []byte
	for _, s := range schemes {
		list = binary.BigEndian.AppendUint16(list, uint16(s))
	}
	for _, name := range authorities {
		names = append(names, vector16(name)...)
	}
	return message12(msgCertificateRequest, vector8(types), vector16(list), vector16(names))
}

// The client takes the first certificate that fits the types, the schemes and
// the authorities of the request, or says that it has none.
func TestTLS12CertificateRequest(t *testing.T) {
	ca := newAuthority12(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := tls.Certificate{Certificate: [][]byte{ca.issue(t, x509.ExtKeyUsageClientAuth, key.Public())}, PrivateKey: key}
	ec, rsa, ed := tlstest.ClientLeaf(tlstest.ECDSAP256), tlstest.ClientLeaf(tlstest.RSA2048), tlstest.ClientLeaf(tlstest.Ed25519)
	own, err := x509.ParseCertificate(ec.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	const rsaSign, dssSign, ecdsaSign = 1, 2, 64
	all := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256, tls.Ed25519}
	for _, tt := range []struct {
		what    string
		request []byte
		want    *tls.Certificate
	}{
		{"both types", certificateRequest12([]byte{ecdsaSign, rsaSign}, all), &ec},
		{"the type for RSA", certificateRequest12([]byte{rsaSign}, all), &rsa},
		{"the type for ECDSA", certificateRequest12([]byte{ecdsaSign}, all), &ec},
		{"a type for nobody", certificateRequest12([]byte{dssSign}, all), nil},
		{"types that nobody knows, and one for RSA", certificateRequest12([]byte{77, dssSign, rsaSign}, all), &rsa},
		{"a scheme for RSA", certificateRequest12([]byte{ecdsaSign, rsaSign}, []tls.SignatureScheme{tls.PKCS1WithSHA256}), &rsa},
		{"a scheme for RSA, and the type for ECDSA", certificateRequest12([]byte{ecdsaSign}, []tls.SignatureScheme{tls.PKCS1WithSHA256}), nil},
		{"a scheme for Ed25519", certificateRequest12([]byte{ecdsaSign}, []tls.SignatureScheme{tls.Ed25519}), &ed},
		{"a scheme for Ed25519, and the type for RSA", certificateRequest12([]byte{rsaSign}, []tls.SignatureScheme{tls.Ed25519}), nil},
		{"schemes of SHA-1", certificateRequest12([]byte{ecdsaSign, rsaSign}, []tls.SignatureScheme{tls.ECDSAWithSHA1, tls.PKCS1WithSHA1}), nil},
		{"the issuer of most", certificateRequest12([]byte{ecdsaSign, rsaSign}, all, own.RawSubject), &ec},
		{"the root of most", certificateRequest12([]byte{ecdsaSign, rsaSign}, all, own.RawIssuer), &ec},
		{"the issuer of the last one", certificateRequest12([]byte{ecdsaSign, rsaSign}, all, ca.cert.RawSubject), &other},
		{"the issuer of the last one among others", certificateRequest12([]byte{ecdsaSign}, all, []byte{0x30, 0}, ca.cert.RawSubject), &other},
		{"an authority that nobody knows", certificateRequest12([]byte{ecdsaSign, rsaSign}, all, []byte{0x30, 0}), nil},
	} {
		x := newMeddler(t, presenting(ec, rsa, ed, other), asking(tls.RequestClientCert), nil)
		x.fromServer[msgCertificateRequest] = func([]byte) []byte { return tt.request }
		var sent []byte
		x.fromClient[msgCertificate] = func(m []byte) []byte { sent = bytes.Clone(m); return m }
		// What the client chooses is what counts: the server's own request was
		// another one, and may refuse it.
		x.run()
		want := certificate12()
		if tt.want != nil {
			want = certificate12(tt.want.Certificate...)
		}
		if !bytes.Equal(sent, want) {
			t.Errorf("asked for %s, the client sends a Certificate of %d bytes, want %d", tt.what, len(sent), len(want))
		}
		x.client.wantAlive()
	}
	for what, body := range map[string][]byte{
		"empty":                       {},
		"without types":               {0, 0, 2, 4, 3, 0, 0},
		"without schemes":             {1, 64, 0, 0, 0, 0},
		"without authorities":         {1, 64, 0, 2, 4, 3},
		"with an odd scheme":          {1, 64, 0, 3, 4, 3, 4, 0, 0},
		"with a byte behind it":       {1, 64, 0, 2, 4, 3, 0, 0, 0},
		"with an authority cut short": {1, 64, 0, 2, 4, 3, 0, 3, 0, 2, 0x30},
	} {
		x := newMeddler(t, nil, asking(tls.RequestClientCert), nil)
		x.fromServer[msgCertificateRequest] = func([]byte) []byte { return message12(msgCertificateRequest, body) }
		x.refused("CertificateRequest "+what, x.client, decodeError)
	}
}

// What a server asks for: both types, its schemes, and the names of its
// authorities; and the application sees it.
func TestTLS12CertificateRequestThatIsSent(t *testing.T) {
	roots, _ := tlstest.CA()
	server := asking(tls.RequireAndVerifyClientCert)
	server.SignatureSchemes = []tls.SignatureScheme{tls.PSSWithSHA384, tls.ECDSAWithP256AndSHA256}
	var request *baretls.CertificateRequest
	client := presenting()
	leaf := tlstest.ClientLeaf(tlstest.ECDSAP256)
	client.GetClientCertificate = func(r *baretls.CertificateRequest) (*tls.Certificate, error) {
		request = r
		return &leaf, nil
	}
	x := newMeddler(t, client, server, nil)
	var sent []byte
	x.fromServer[msgCertificateRequest] = func(m []byte) []byte { sent = bytes.Clone(m); return m }
	x.handshake()
	//lint:ignore SA1019 the pool is not the system's
	want := certificateRequest12([]byte{64, 1}, server.SignatureSchemes, roots.Subjects()...)
	if !bytes.Equal(sent, want) {
		t.Errorf("the CertificateRequest is\n\t%x\nwant\n\t%x", sent, want)
	}
	//lint:ignore SA1019 likewise
	if request == nil || len(request.SignatureSchemes) != 2 || len(request.AcceptableCAs) != 1 || !bytes.Equal(request.AcceptableCAs[0], roots.Subjects()[0]) {
		t.Errorf("the application sees the request %+v", request)
	}
}

// The client's proof: missing, by or over something else, or of nothing.
func TestTLS12CertificateVerify(t *testing.T) {
	leaf := tlstest.ClientLeaf(tlstest.ECDSAP256)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(scheme tls.SignatureScheme, signature []byte) []byte {
		return message12(msgCertificateVerify, binary.BigEndian.AppendUint16(nil, uint16(scheme)), vector16(signature))
	}
	signed := func(key *ecdsa.PrivateKey, scheme tls.SignatureScheme, content []byte) func([]byte) []byte {
		return func([]byte) []byte { return verify(scheme, sign12(t, key, scheme, content)) }
	}
	scheme := tls.ECDSAWithP256AndSHA256
	for _, tt := range []struct {
		what string
		door func(m []byte) []byte
		want tls.AlertError
	}{
		{"left out", func([]byte) []byte { return nil }, unexpectedMessage},
		{"sent twice", func(m []byte) []byte { return append(m, m...) }, unexpectedMessage},
		{"by another key", signed(stranger, scheme, nil), decryptError},
		{"over nothing", signed(leaf.PrivateKey.(*ecdsa.PrivateKey), scheme, nil), decryptError},
		{"with a bit flipped", func(m []byte) []byte { m[len(m)-1] ^= 1; return m }, decryptError},
		{"without a signature", func([]byte) []byte { return verify(scheme, nil) }, decryptError},
		{"by a scheme that was not offered", func(m []byte) []byte { m[4], m[5] = 5, 3; return m }, illegalParameter},
		{"by SHA-1", func(m []byte) []byte { m[4], m[5] = 2, 3; return m }, illegalParameter},
		{"by a scheme for RSA", func(m []byte) []byte { m[4], m[5] = 8, 4; return m }, illegalParameter},
		{"by a scheme that nobody knows", func(m []byte) []byte { m[4], m[5] = 0x77, 0x77; return m }, illegalParameter},
		{"empty", func([]byte) []byte { return message12(msgCertificateVerify) }, decodeError},
		{"with a byte behind it", func(m []byte) []byte { return message12(msgCertificateVerify, m[4:], []byte{0}) }, decodeError},
	} {
		server := asking(tls.RequireAnyClientCert)
		server.SignatureSchemes = []tls.SignatureScheme{scheme, tls.PSSWithSHA256}
		x := newMeddler(t, presenting(leaf), server, nil)
		x.fromClient[msgCertificateVerify] = tt.door
		x.refused("CertificateVerify "+tt.what, x.server, tt.want)
		if got := x.server.conn.PeerCertificates(); got != nil && tt.what != "sent twice" {
			t.Errorf("CertificateVerify %s: the server knows %d certificates", tt.what, len(got))
		}
	}
}

// The messages of client authentication where they were not asked for, or in
// another order.
func TestTLS12ClientAuthOutOfPlace(t *testing.T) {
	leaf := tlstest.ClientLeaf(tlstest.ECDSAP256)
	before := func(first []byte) func(m []byte) []byte {
		return func(m []byte) []byte { return append(bytes.Clone(first), m...) }
	}
	for _, tt := range []struct {
		what  string
		auth  tls.ClientAuthType
		doors doors
	}{
		{"Certificate that was not asked for", tls.NoClientCert, doors{msgClientKeyExchange: before(certificate12(leaf.Certificate...))}},
		{"empty Certificate that was not asked for", tls.NoClientCert, doors{msgClientKeyExchange: before(certificate12())}},
		{"no Certificate at all", tls.RequestClientCert, doors{msgCertificate: func([]byte) []byte { return nil }}},
		{"two Certificates", tls.RequestClientCert, doors{msgCertificate: func(m []byte) []byte { return append(m, m...) }}},
		{"CertificateVerify without a certificate", tls.RequestClientCert, doors{
			msgCertificate:       func([]byte) []byte { return certificate12() },
			msgClientKeyExchange: func(m []byte) []byte { return append(m, message12(msgCertificateVerify, []byte{4, 3, 0, 1, 0})...) },
		}},
		{"CertificateVerify before the ClientKeyExchange", tls.RequestClientCert, doors{
			msgClientKeyExchange: before(message12(msgCertificateVerify, []byte{4, 3, 0, 1, 0})),
		}},
		{"two ClientKeyExchanges", tls.NoClientCert, doors{msgClientKeyExchange: func(m []byte) []byte { return append(m, m...) }}},
		{"ClientHello instead of the ClientKeyExchange", tls.NoClientCert, doors{msgClientKeyExchange: func([]byte) []byte { return message12(msgClientHello) }}},
	} {
		client := presenting()
		if tt.auth != tls.NoClientCert {
			client.GetClientCertificate = func(*baretls.CertificateRequest) (*tls.Certificate, error) { return &leaf, nil }
		}
		x := newMeddler(t, client, asking(tt.auth), nil)
		for typ, do := range tt.doors {
			x.fromClient[typ] = do
		}
		x.refused(tt.what, x.server, unexpectedMessage)
	}

	// And what a server sends out of place.
	for what, doors := range map[string]doors{
		"two CertificateRequests":                         {msgCertificateRequest: func(m []byte) []byte { return append(m, m...) }},
		"CertificateRequest before the ServerKeyExchange": {msgServerKeyExchange: before(certificateRequest12([]byte{64}, []tls.SignatureScheme{tls.Ed25519}))},
		"CertificateRequest behind the ServerHelloDone": {msgServerHelloDone: func(m []byte) []byte {
			return append(m, certificateRequest12([]byte{64}, []tls.SignatureScheme{tls.Ed25519})...)
		}},
		"two ServerHelloDones":                         {msgServerHelloDone: func(m []byte) []byte { return append(m, m...) }},
		"two ServerHellos":                             {msgServerHello: func(m []byte) []byte { return append(m, m...) }},
		"ServerHelloDone before the ServerKeyExchange": {msgServerKeyExchange: before(message12(msgServerHelloDone))},
		"EncryptedExtensions of TLS 1.3":               {msgCertificate: func([]byte) []byte { return message12(8, []byte{0, 0}) }},
	} {
		x := newMeddler(t, nil, asking(tls.RequestClientCert), nil)
		for typ, do := range doors {
			x.fromServer[typ] = do
		}
		if x.run(); x.client.err == nil {
			t.Errorf("%s: the client does not mind: %v", what, x.client.transcript)
			continue
		}
		x.client.wantFailed(unexpectedMessage) // whether the server can read that or not
	}
	x := newMeddler(t, nil, nil, nil)
	x.fromServer[msgServerHelloDone] = func(m []byte) []byte { return message12(msgServerHelloDone, []byte{0}) }
	x.refused("ServerHelloDone with a body", x.client, decodeError)
}

// A resumed client is known by the certificate that it once proved to have, as
// long as the server would still take it (CVE-2025-68121).
func TestTLS12ResumptionWithClientCertificates(t *testing.T) {
	keys, err := baretls.NewTicketKeys(0)
	if err != nil {
		t.Fatal(err)
	}
	leaf := tlstest.ClientLeaf(tlstest.ECDSAP256)
	client := presenting(leaf)
	server := func() *baretls.ServerConfig {
		s := asking(tls.RequireAndVerifyClientCert)
		s.SessionTicketsDisabled, s.TicketKeys = false, keys
		return s
	}
	newPair(t, client, server()).connected("first connection", baretls.HandshakeFull)
	p := newPair(t, client, server())
	p.connected("second connection", baretls.HandshakeResumed)
	if got := p.server.conn.PeerCertificates(); len(got) != 2 || !bytes.Equal(got[0].Raw, leaf.Certificate[0]) {
		t.Errorf("on resumption, the server knows %d certificates", len(got))
	}
	if len(p.server.conn.ConnectionState().VerifiedChains) == 0 || p.server.conn.PeerSignatureScheme() != tls.ECDSAWithP256AndSHA256 {
		t.Error("on resumption, the server has forgotten what it verified, or how")
	}

	changed := server()
	changed.VerifyPeer = func(*baretls.PeerVerification) error { return errRefused }
	p = newPair(t, client, changed)
	p.refused("client that is no longer liked", p.server, badCertificate)
	p = newPair(t, client, server())
	p.connected("connection after it", baretls.HandshakeFull) // the ticket was spent on the failure

	changed = server()
	changed.ClientCAs = newAuthority12(t).pool
	p = newPair(t, client, changed)
	p.refused("client of an authority that is no longer trusted", p.server, handshakeFailure)
}
