//go:build !tls13only

package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

func addSuite(id uint16) func([]byte) []byte {
	return editClientHello(func(h *wire.ClientHello) { h.CipherSuites = wire.AppendUint16s(slices.Clone(h.CipherSuites), id) })
}

func TestClientHellosOfTLS12ThatAreRefused(t *testing.T) {
	edit := editClientHello
	// serverBoth speaks TLS 1.3 as well, to a client that does not.
	serverBoth := func(p *pair) { p.serverPolicy.speak(tls.VersionTLS12, tls.VersionTLS13) }
	for _, row := range []struct {
		story   string
		prepare func(p *pair)
		edit    func([]byte) []byte
		want    fault.Alert
	}{
		{"no signature_algorithms", nil, without(wire.ExtSignatureAlgorithms), fault.HandshakeFailureAlert},
		{"no extensions", nil, edit(func(h *wire.ClientHello) { h.Has = 0 }), fault.HandshakeFailureAlert},
		{"no groups, to a server that lacks P-256", func(p *pair) { p.serverPolicy.Groups = groups(tls.X25519, tls.CurveP384) }, without(wire.ExtSupportedGroups), fault.HandshakeFailureAlert},
		{"no group of ours", nil, edit(func(h *wire.ClientHello) { h.SupportedGroups = wire.AppendUint16s(nil, uint16(0x0a0a)) }), fault.HandshakeFailureAlert},
		{"hybrid groups only, which are of TLS 1.3", serverBoth, edit(func(h *wire.ClientHello) { h.SupportedGroups = wire.AppendUint16s(nil, uint16(tls.X25519MLKEM768)) }), fault.HandshakeFailureAlert},
		{"no group of the certificate's key", func(p *pair) { p.only(tlstest.Leaf(tlstest.ECDSAP384)) }, edit(func(h *wire.ClientHello) {
			h.SupportedGroups = wire.AppendUint16s(nil, uint16(tls.X25519), uint16(tls.CurveP256))
		}), fault.HandshakeFailureAlert},
		{"no suite of ours", nil, edit(func(h *wire.ClientHello) {
			h.CipherSuites = wire.AppendUint16s(nil, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_AES_128_GCM_SHA256)
		}), fault.HandshakeFailureAlert},
		{"no suite of the certificate's", nil, edit(func(h *wire.ClientHello) {
			h.CipherSuites = wire.AppendUint16s(nil, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
		}), fault.HandshakeFailureAlert},
		{"no scheme of the certificate's", nil, edit(func(h *wire.ClientHello) {
			h.SignatureAlgorithms = wire.AppendUint16s(nil, tls.PSSWithSHA256, tls.PKCS1WithSHA256)
		}), fault.HandshakeFailureAlert},
		{"SHA-1 as its only scheme", nil, edit(func(h *wire.ClientHello) {
			h.SignatureAlgorithms = wire.AppendUint16s(nil, tls.ECDSAWithSHA1, tls.PKCS1WithSHA1)
		}), fault.HandshakeFailureAlert},
		{"a fallback from what this server has", serverBoth, addSuite(fallbackSCSV), fault.InappropriateFallbackAlert},
		{"renegotiation_info that is not empty", nil, edit(func(h *wire.ClientHello) { h.RenegotiationInfo = make([]byte, 12) }), fault.HandshakeFailureAlert},
		{"no null compression", nil, edit(func(h *wire.ClientHello) { h.CompressionMethods = []byte{1} }), fault.IllegalParameterAlert},
		{"no compression method", nil, edit(func(h *wire.ClientHello) { h.CompressionMethods = nil }), fault.DecodeErrorAlert},
		{"no extended_main_secret", nil, without(wire.ExtExtendedMainSecret), fault.HandshakeFailureAlert},
		{"extended_main_secret with a body", nil, func(m []byte) []byte {
			m = without(wire.ExtExtendedMainSecret)(m)
			return addToHello(23, 0)(m)
		}, fault.DecodeErrorAlert},
		{"ec_point_formats without the uncompressed one", nil, func(m []byte) []byte {
			m = without(wire.ExtECPointFormats)(m)
			return addToHello(11, 2, 1, 2)(m)
		}, fault.IllegalParameterAlert},
		{"version TLS 1.1", nil, edit(func(h *wire.ClientHello) { h.LegacyVersion = tls.VersionTLS11 }), fault.ProtocolVersionAlert},
		{"version SSL 3.0", nil, edit(func(h *wire.ClientHello) { h.LegacyVersion = 0x0300 }), fault.ProtocolVersionAlert},
		{"supported_versions without ours", nil, edit(func(h *wire.ClientHello) {
			h.Has, h.SupportedVersions = h.Has.With(wire.ExtSupportedVersions), wire.AppendUint16s(nil, uint16(tls.VersionTLS13))
		}), fault.ProtocolVersionAlert},
		{"only protocols that we do not have", func(p *pair) { p.serverPolicy.Protocols = []string{"h2"} }, edit(func(h *wire.ClientHello) {
			h.Has, h.ALPN = h.Has.With(wire.ExtALPN), wire.AppendProtocol(nil, "h3")
		}), fault.NoApplicationProtocolAlert},
		{"a server_name that is none", nil, edit(func(h *wire.ClientHello) { h.ServerName = []byte("not a name") }), fault.IllegalParameterAlert},
		{"a record_size_limit of 63", nil, edit(func(h *wire.ClientHello) { h.RecordSizeLimit = 63 }), fault.IllegalParameterAlert},
	} {
		p := newPair12(t)
		if row.prepare != nil {
			row.prepare(p)
		}
		p.start()
		p.serverAnswers(row.edit)
		expectAlert(t, p.s.err, row.want, "a ClientHello of TLS 1.2 with %s", row.story)
		if p.s.core.Out.Pending() || p.server.State() != "START" {
			t.Errorf("a ClientHello of TLS 1.2 with %s: there is an answer, or the server is in %s", row.story, p.server.State())
		}
	}
}

func TestClientHellosOfTLS12ThatAreFine(t *testing.T) {
	edit := editClientHello
	for _, row := range []struct {
		story   string
		prepare func(p *pair)
		edit    func([]byte) []byte
		check   func(p *pair, h *wire.ServerHello) bool // or nil
	}{
		{"no groups, which stands for P-256", nil, without(wire.ExtSupportedGroups), func(p *pair, _ *wire.ServerHello) bool {
			return p.server.Facts.Group == tls.CurveP256
		}},
		{"thousands of signature schemes in front of ours", nil, edit(func(h *wire.ClientHello) {
			h.SignatureAlgorithms = append(bytes.Repeat([]byte{0xfe, 0xfe}, 20000), h.SignatureAlgorithms...)
		}), nil},
		{"a fallback to the best of this server", nil, addSuite(fallbackSCSV), nil},
		{"null compression among others", nil, edit(func(h *wire.ClientHello) { h.CompressionMethods = []byte{64, 1, 0} }), func(_ *pair, h *wire.ServerHello) bool {
			return h.CompressionMethod == 0
		}},
		{"renegotiation_info", nil, nil, func(_ *pair, h *wire.ServerHello) bool {
			return h.Has.Has(wire.ExtRenegotiationInfo) && len(h.RenegotiationInfo) == 0
		}},
		{"the suite that stands for it", nil, func(m []byte) []byte {
			return addSuite(renegotiationSCSV)(without(wire.ExtRenegotiationInfo)(m))
		}, func(_ *pair, h *wire.ServerHello) bool { return h.Has.Has(wire.ExtRenegotiationInfo) }},
		{"neither", nil, without(wire.ExtRenegotiationInfo), func(_ *pair, h *wire.ServerHello) bool {
			return !h.Has.Has(wire.ExtRenegotiationInfo)
		}},
		{"no ec_point_formats", nil, without(wire.ExtECPointFormats), func(_ *pair, h *wire.ServerHello) bool {
			return !h.Has.Has(wire.ExtECPointFormats)
		}},
		{"no session ID", nil, edit(func(h *wire.ClientHello) { h.SessionID = nil }), nil},
		{"a session ID that nobody knows", func(p *pair) { p.keepSessions(); p.box.stateful = true }, nil, func(p *pair, h *wire.ServerHello) bool {
			return len(h.SessionID) == 32 && !bytes.Equal(h.SessionID, p.client.sessionID[:])
		}},
		{"a session ID at a server that resumes nothing", nil, nil, func(_ *pair, h *wire.ServerHello) bool { return len(h.SessionID) == 0 }},
		{"a ticket that nobody knows", (*pair).keepSessions, edit(func(h *wire.ClientHello) { h.SessionTicket = []byte("whatever") }), func(p *pair, h *wire.ServerHello) bool {
			return p.server.Facts.Kind == KindFull && h.Has.Has(wire.ExtSessionTicket)
		}},
		{"session_ticket at a server that gives none", nil, addToHello(35), func(_ *pair, h *wire.ServerHello) bool {
			return !h.Has.Has(wire.ExtSessionTicket)
		}},
		{"a hybrid group in front", func(p *pair) { p.serverPolicy.speak(tls.VersionTLS12, tls.VersionTLS13) }, edit(func(h *wire.ClientHello) {
			h.SupportedGroups = wire.AppendUint16s(nil, uint16(tls.X25519MLKEM768), uint16(tls.CurveP256))
		}), func(p *pair, _ *wire.ServerHello) bool { return p.server.Facts.Group == tls.CurveP256 }},
		{"GREASE in all lists", nil, edit(func(h *wire.ClientHello) {
			grease := func(l wire.Uint16s) wire.Uint16s { return append(wire.Uint16s{0x1a, 0x1a}, l...) }
			h.CipherSuites, h.SupportedGroups, h.SignatureAlgorithms = grease(h.CipherSuites), grease(h.SupportedGroups), grease(h.SignatureAlgorithms)
		}), nil},
		{"legacy_version TLS 1.3 and no supported_versions", nil, func(m []byte) []byte {
			return edit(func(h *wire.ClientHello) { h.LegacyVersion = tls.VersionTLS13 })(without(wire.ExtSupportedVersions)(m))
		}, func(_ *pair, h *wire.ServerHello) bool { return h.LegacyVersion == tls.VersionTLS12 }},
		{"extensions of TLS 1.3", nil, addToHello(45, 1, 1), nil},
	} {
		p := newPair12(t)
		if row.prepare != nil {
			row.prepare(p)
		}
		p.start()
		if err := p.serverAnswers(row.edit); err != nil {
			t.Errorf("a ClientHello of TLS 1.2 with %s is refused: %v", row.story, err)
			continue
		}
		var h wire.ServerHello
		must(h.Parse(p.answer(wire.TypeServerHello)[wire.HeaderLen:], ^wire.ExtensionSet(0)))
		if h.TLS13 || row.check != nil && !row.check(p, &h) {
			t.Errorf("a ClientHello of TLS 1.2 with %s is answered by %+v", row.story, h)
		}
	}
}

// The suite and the certificate are chosen together.
func TestTheServersChoiceInTLS12(t *testing.T) {
	const (
		ecdsa128 = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
		ecdsa256 = tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
		rsa128   = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
		rsa256   = tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
		ecdsaCC  = tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
		rsaCC    = tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
	)
	both := []tlstest.Kind{tlstest.RSA2048, tlstest.ECDSAP256}
	for _, row := range []struct {
		story          string
		keys           []tlstest.Kind
		server, client []uint16 // nil: all
		follow         bool     // a client that prefers ChaCha20
		want           uint16
	}{
		{"the server's first suite", both, []uint16{rsa256, ecdsa128}, []uint16{ecdsa128, rsa256}, false, rsa256},
		{"the server's first suite that there is a certificate for", []tlstest.Kind{tlstest.ECDSAP256}, []uint16{rsa256, ecdsa128}, []uint16{rsa256, ecdsa128}, false, ecdsa128},
		{"the server's first suite that the client has", both, []uint16{ecdsa256, rsa128}, []uint16{rsa128}, false, rsa128},
		{"an Ed25519 certificate", []tlstest.Kind{tlstest.Ed25519}, []uint16{rsa128, ecdsa256}, nil, false, ecdsa256},
		{"an id-RSASSA-PSS certificate", []tlstest.Kind{tlstest.RSAPSS}, []uint16{ecdsa256, rsa128}, nil, false, rsa128},
		{"a client that prefers ChaCha20", both, []uint16{rsa128, ecdsa128, rsaCC, ecdsaCC}, []uint16{ecdsaCC, rsaCC, rsa128}, true, rsaCC},
		{"a client that prefers a ChaCha20 without a certificate", []tlstest.Kind{tlstest.ECDSAP256}, nil, []uint16{rsaCC, ecdsaCC, ecdsa128}, true, ecdsaCC},
		{"a client that prefers ChaCha20, which is not followed", both, []uint16{rsa128, rsaCC}, []uint16{rsaCC, rsa128}, false, rsa128},
		{"a client that prefers AES", both, []uint16{rsa128, rsaCC}, []uint16{rsa128, rsaCC}, true, rsa128},
	} {
		p := newPair12(t)
		p.serverPolicy.Credentials, p.serverPolicy.PreferClientChaCha = Credentials{}, row.follow
		for _, kind := range row.keys {
			p.serverPolicy.Credentials.Add(credential(t, tlstest.Leaf(kind)))
		}
		if row.server != nil {
			p.serverPolicy.Suites = suites(row.server...)
		}
		if row.client != nil {
			p.clientPolicy.Suites = suites(row.client...)
		}
		p.complete()
		p.works()
		if got := p.client.Facts.Suite; got != row.want {
			t.Errorf("%s: the suite is %s, want %s", row.story, algo.SuiteByID(got).Name, algo.SuiteByID(row.want).Name)
		}
	}
}

func TestTheApplicationPicksACredentialFirstInTLS12(t *testing.T) {
	rsa, ed := credential(t, tlstest.Leaf(tlstest.RSA2048)), credential(t, tlstest.Leaf(tlstest.Ed25519))
	refusal := errors.New("no such tenant")
	for _, row := range []struct {
		story   string
		pick    *Credential
		err     error
		schemes []tls.SignatureScheme // of the client
		want    *Credential           // nil: that of the pair
		reason  fault.Reason
	}{
		{story: "it picks, and the suite follows", pick: rsa, want: rsa},
		{story: "it leaves the choice", want: nil},
		{story: "it refuses", err: refusal, reason: fault.NoCertificate},
		{story: "it picks what the client cannot verify", pick: ed, schemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, reason: fault.NoCommonScheme},
	} {
		p := newPair12(t)
		if row.schemes != nil {
			p.clientPolicy.Schemes = schemes(row.schemes...)
		}
		p.serverPolicy.Pick = func(h *wire.ClientHello) (*Credential, error) { return row.pick, row.err }
		p.run()
		if row.reason != 0 {
			expectReason(t, p.s.err, row.reason, "%s", row.story)
			expectAlert(t, p.s.err, fault.HandshakeFailureAlert, "%s", row.story)
			if row.err != nil && !errors.Is(p.s.err, row.err) {
				t.Errorf("%s: its error is lost in %v", row.story, p.s.err)
			}
			continue
		}
		want := row.want
		if want == nil {
			want = p.serverPolicy.Credentials.all[0]
		}
		if p.c.err != nil || !bytes.Equal(p.client.Facts.PeerCertificates[0].Raw, want.Chain[0]) {
			t.Errorf("%s: the client does not see that certificate: %v", row.story, p.c.err)
		}
	}
}

// serverRefuses12 runs a handshake with a client that has a message replaced.
func serverRefuses12(t *testing.T, prepare func(p *pair), k kind, door func([]byte) []byte, want fault.Alert, story string) {
	t.Helper()
	p := newPair12(t)
	if prepare != nil {
		prepare(p)
	}
	p.clientDoors[k] = door
	p.run()
	expectAlert(t, p.s.err, want, "%s", story)
	if p.s.core.Complete {
		t.Errorf("%s: the server is through", story)
	}
}

func TestClientKeyExchangesThatAreRefused(t *testing.T) {
	share, err := algo.GroupByID(tls.CurveP256).Generate(rand.Reader)
	must(err)
	p256 := share.AppendPublic(nil)
	offCurve := bytes.Clone(p256)
	offCurve[len(offCurve)-1] ^= 1
	key := func(public ...byte) []byte { return (&wire.ClientKeyExchange{Public: public}).Append(nil) }
	for _, row := range []struct {
		story   string
		group   tls.CurveID
		message []byte
		want    fault.Alert
	}{
		{"a point off the curve", tls.CurveP256, key(offCurve...), fault.IllegalParameterAlert},
		{"a compressed point", tls.CurveP256, key(append([]byte{2 + p256[64]&1}, p256[1:33]...)...), fault.IllegalParameterAlert},
		{"the point at infinity", tls.CurveP256, key(0), fault.IllegalParameterAlert},
		{"a point of 65 zeros", tls.CurveP256, key(make([]byte, 65)...), fault.IllegalParameterAlert},
		{"a point that is a byte short", tls.CurveP256, key(p256[:64]...), fault.IllegalParameterAlert},
		{"a point that is a byte long", tls.CurveP256, key(append(bytes.Clone(p256), 0)...), fault.IllegalParameterAlert},
		{"a point of another curve", tls.CurveP384, key(p256...), fault.IllegalParameterAlert},
		{"an X25519 key of small order", tls.X25519, key(make([]byte, 32)...), fault.IllegalParameterAlert},
		{"an X25519 key that is a byte short", tls.X25519, key(make([]byte, 31)...), fault.IllegalParameterAlert},
		{"a point for X25519", tls.X25519, key(p256...), fault.IllegalParameterAlert},
		{"an empty key", tls.X25519, key(), fault.DecodeErrorAlert},
		{"a key that is cut", tls.CurveP256, withBody(wire.TypeClientKeyExchange, append([]byte{65}, p256[:64]...)...), fault.DecodeErrorAlert},
		{"a byte behind its end", tls.CurveP256, wire.End(append(key(p256...), 0), 0), fault.DecodeErrorAlert},
		{"nothing in it", tls.CurveP256, withBody(wire.TypeClientKeyExchange), fault.DecodeErrorAlert},
	} {
		serverRefuses12(t, func(p *pair) { p.serverPolicy.Groups = groups(row.group) }, kind(wire.TypeClientKeyExchange),
			instead(row.message), row.want, "a ClientKeyExchange with "+row.story)
	}
	// A key that is not the client's own leads to other secrets.
	p := newPair12(t)
	p.serverPolicy.Groups = groups(tls.CurveP256)
	p.clientDoors[kind(wire.TypeClientKeyExchange)] = instead(key(p256...))
	p.run()
	expectAlert(t, p.s.err, fault.BadRecordMACAlert, "a ClientKeyExchange with somebody else's key")
}

func TestClientCertificatesOfTLS12ThatAreRefused(t *testing.T) {
	for _, row := range []struct {
		story   string
		message []byte
		auth    tls.ClientAuthType
		want    fault.Alert
	}{
		// "a fatal handshake_failure alert": RFC 5246, Section 7.4.6.
		{"no certificates where one is required", chainOf12(), tls.RequireAndVerifyClientCert, fault.HandshakeFailureAlert},
		{"no certificates where any is required", chainOf12(), tls.RequireAnyClientCert, fault.HandshakeFailureAlert},
		{"an empty certificate", chainOf12(nil), tls.RequestClientCert, fault.DecodeErrorAlert},
		{"bytes that are no certificate", chainOf12([]byte("certificate")), tls.RequestClientCert, fault.BadCertificateAlert},
		{"a server's certificate", chainOf12(tlstest.Leaf(tlstest.ECDSAP256).Certificate...), tls.RequireAndVerifyClientCert, fault.UnsupportedCertificateAlert},
		{"an authority that nobody knows", chainOf12(tlstest.New(tlstest.Options{Client: true, UnknownCA: true}).Certificate...), tls.VerifyClientCertIfGiven, fault.UnknownCAAlert},
		{"an RSA key of 8193 bits", chainOf12(rsaLeaf(t, 8193)), tls.RequestClientCert, fault.BadCertificateAlert},
		{"the form of TLS 1.3", chainOf(tlstest.ClientLeaf(tlstest.ECDSAP256).Certificate...), tls.RequestClientCert, fault.DecodeErrorAlert},
		{"nothing in it", withBody(wire.TypeCertificate), tls.RequestClientCert, fault.DecodeErrorAlert},
	} {
		serverRefuses12(t, func(p *pair) {
			p.requestClient(tlstest.ECDSAP256)
			p.serverPolicy.ClientAuth = row.auth
		}, kind(wire.TypeCertificate), instead(row.message), row.want, "a client's Certificate with "+row.story)
	}
	asked := func(p *pair) { p.requestClient(tlstest.ECDSAP256) }
	serverRefuses12(t, asked, kind(wire.TypeCertificate), instead(), fault.UnexpectedMessageAlert, "no Certificate, though it was asked for")
	serverRefuses12(t, asked, kind(wire.TypeCertificateVerify), instead(), fault.UnexpectedMessageAlert, "a Certificate and no CertificateVerify")
	serverRefuses12(t, nil, kind(wire.TypeClientKeyExchange), func(m []byte) []byte {
		return append(chainOf12(tlstest.ClientLeaf(tlstest.ECDSAP256).Certificate...), m...)
	}, fault.UnexpectedMessageAlert, "a Certificate that was not asked for")
	serverRefuses12(t, func(p *pair) { p.serverPolicy.ClientAuth = tls.RequestClientCert }, kind(wire.TypeClientKeyExchange), func(m []byte) []byte {
		cv := wire.CertificateVerify{Algorithm: uint16(tls.ECDSAWithP256AndSHA256), Signature: []byte{1}}
		return cv.Append(m)
	}, fault.UnexpectedMessageAlert, "a CertificateVerify of a client without a certificate")
}

func TestCertificateVerifysOfTLS12ThatAreRefused(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	edit := editCertificateVerify
	algorithm := func(id tls.SignatureScheme) func([]byte) []byte {
		return edit(func(cv *wire.CertificateVerify) { cv.Algorithm = uint16(id) })
	}
	for _, row := range []struct {
		story string
		key   tlstest.Kind
		door  func([]byte) []byte
		want  fault.Alert
	}{
		{"a scheme that was not asked for", tlstest.ECDSAP256, algorithm(tls.ECDSAWithSHA1), fault.IllegalParameterAlert},
		{"a scheme that nobody knows", tlstest.ECDSAP256, algorithm(0x0a0a), fault.IllegalParameterAlert},
		{"an RSA scheme for an ECDSA key", tlstest.ECDSAP256, algorithm(tls.PSSWithSHA256), fault.IllegalParameterAlert},
		{"an ECDSA scheme for an Ed25519 key", tlstest.Ed25519, algorithm(tls.ECDSAWithP256AndSHA256), fault.IllegalParameterAlert},
		{"rsa_pss_pss for a key of rsaEncryption", tlstest.RSA2048, algorithm(0x0809), fault.IllegalParameterAlert},
		{"another hash than was signed", tlstest.ECDSAP256, algorithm(tls.ECDSAWithP521AndSHA512), fault.DecryptErrorAlert},
		{"a bit of the signature flipped", tlstest.ECDSAP256, edit(func(cv *wire.CertificateVerify) { cv.Signature[len(cv.Signature)-1] ^= 1 }), fault.DecryptErrorAlert},
		{"a bit of an RSA signature flipped", tlstest.RSA2048, edit(func(cv *wire.CertificateVerify) { cv.Signature[0] ^= 1 }), fault.DecryptErrorAlert},
		{"no signature", tlstest.ECDSAP256, edit(func(cv *wire.CertificateVerify) { cv.Signature = nil }), fault.DecryptErrorAlert},
		{"a byte behind its end", tlstest.ECDSAP256, func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
		{"nothing in it", tlstest.ECDSAP256, instead(withBody(wire.TypeCertificateVerify)), fault.DecodeErrorAlert},
	} {
		serverRefuses12(t, func(p *pair) { p.requestClient(row.key) }, kind(wire.TypeCertificateVerify), row.door, row.want,
			"a CertificateVerify of TLS 1.2 with "+row.story)
	}

	// What is signed are the messages so far, all and only those, by the key
	// of the certificate. c.messages are the client's as it signs.
	for _, row := range []struct {
		story string
		sign  func(messages []byte) []byte
		want  fault.Alert // None: fine
	}{
		{"all messages", func(m []byte) []byte { return signBy(tlstest.Key(tlstest.ECDSAP256), m) }, fault.None},
		{"all but the last byte", func(m []byte) []byte { return signBy(tlstest.Key(tlstest.ECDSAP256), m[:len(m)-1]) }, fault.DecryptErrorAlert},
		{"all but the ClientHello's type", func(m []byte) []byte { return signBy(tlstest.Key(tlstest.ECDSAP256), m[1:]) }, fault.DecryptErrorAlert},
		{"nothing", func([]byte) []byte { return signBy(tlstest.Key(tlstest.ECDSAP256), nil) }, fault.DecryptErrorAlert},
		{"all messages, by another key", func(m []byte) []byte { return signBy(stranger, m) }, fault.DecryptErrorAlert},
	} {
		p := newPair12(t)
		p.requestClient(tlstest.ECDSAP256)
		p.clientDoors[kind(wire.TypeCertificateVerify)] = edit(func(cv *wire.CertificateVerify) {
			cv.Algorithm = uint16(tls.ECDSAWithP256AndSHA256)
			cv.Signature = row.sign(p.client.messages)
		})
		p.run()
		if row.want == fault.None {
			if p.s.err != nil || len(p.server.Facts.PeerCertificates) == 0 {
				t.Errorf("a CertificateVerify over %s is refused: %v", row.story, p.s.err)
			}
			continue
		}
		expectAlert(t, p.s.err, row.want, "a CertificateVerify over %s", row.story)
		if len(p.server.Facts.PeerCertificates) != 0 {
			t.Errorf("after a CertificateVerify over %s the server has a client with certificates", row.story)
		}
	}
}

func signBy(key crypto.Signer, content []byte) []byte {
	signature, err := algo.SchemeByID(tls.ECDSAWithP256AndSHA256).Sign(key, rand.Reader, content)
	must(err)
	return signature
}
