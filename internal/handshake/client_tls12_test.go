//go:build !tls13only

package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// clientRefuses12 is clientRefuses in TLS 1.2. The pair can be prepared.
func clientRefuses12(t *testing.T, prepare func(p *pair), k kind, door func([]byte) []byte, want fault.Alert, story string) {
	t.Helper()
	p := newPair12(t)
	if prepare != nil {
		prepare(p)
	}
	p.serverDoors[k] = door
	p.run()
	expectAlert(t, p.c.err, want, "%s", story)
	// It is refused at once, and not for what would follow from it.
	if want, got := waitsFor12[k], p.client.State(); want != "" && got != want {
		t.Errorf("%s: it is refused in %s, want %s", story, got, want)
	}
	if p.c.core.Complete {
		t.Errorf("%s: the client is through", story)
	}
}

// waitsFor12 is where a client waits for a message that is replaced by one.
var waitsFor12 = map[kind]string{
	kind(wire.TypeServerHello): "WAIT_SH",
}

func TestServerHellosOfTLS12ThatAreRefused(t *testing.T) {
	edit := editServerHello
	suite := func(id uint16) func([]byte) []byte {
		return edit(func(h *wire.ServerHello) { h.CipherSuite = id })
	}
	add := func(code uint16, body ...byte) func([]byte) []byte {
		return func(m []byte) []byte { return addExtension(m, blockOf(m), code, body...) }
	}
	// clientBoth speaks TLS 1.3 as well, to a server that does not.
	clientBoth := func(p *pair) { p.clientPolicy.speak(tls.VersionTLS12, tls.VersionTLS13) }
	protocols := func(p *pair) { p.clientPolicy.Protocols = []string{"h2", "h1"} }
	for _, row := range []struct {
		story   string
		prepare func(p *pair)
		door    func([]byte) []byte
		want    fault.Alert
	}{
		{"a suite of TLS 1.3", nil, suite(tls.TLS_AES_128_GCM_SHA256), fault.IllegalParameterAlert},
		{"a suite of TLS 1.3, which was offered for that", clientBoth, suite(tls.TLS_AES_128_GCM_SHA256), fault.IllegalParameterAlert},
		{"a suite of CBC", nil, suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA), fault.IllegalParameterAlert},
		{"the signalling suite", nil, suite(renegotiationSCSV), fault.IllegalParameterAlert},
		{"a suite that this client does not have", func(p *pair) {
			p.clientPolicy.Suites = suites(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
		}, suite(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), fault.IllegalParameterAlert},
		{"version TLS 1.1", nil, edit(func(h *wire.ServerHello) { h.LegacyVersion = tls.VersionTLS11 }), fault.ProtocolVersionAlert},
		{"version SSL 3.0", nil, edit(func(h *wire.ServerHello) { h.LegacyVersion = 0x0300 }), fault.ProtocolVersionAlert},
		{"version TLS 1.3", nil, edit(func(h *wire.ServerHello) { h.LegacyVersion = tls.VersionTLS13 }), fault.ProtocolVersionAlert},
		{"version TLS 1.3, to a client of both", clientBoth, edit(func(h *wire.ServerHello) { h.LegacyVersion = tls.VersionTLS13 }), fault.ProtocolVersionAlert},
		{"compression", nil, edit(func(h *wire.ServerHello) { h.CompressionMethod = 1 }), fault.IllegalParameterAlert},
		// "MUST abort the handshake (by sending a fatal handshake_failure
		// alert)": RFC 5746, Section 3.4.
		{"renegotiation_info that is not empty", nil, edit(func(h *wire.ServerHello) { h.RenegotiationInfo = make([]byte, 12) }), fault.HandshakeFailureAlert},
		{"renegotiation_info of no bytes", nil, func(m []byte) []byte {
			m = edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtRenegotiationInfo) })(m)
			return add(0xff01)(m)
		}, fault.DecodeErrorAlert},
		{"no extended_main_secret", nil, edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtExtendedMainSecret) }), fault.HandshakeFailureAlert},
		{"no extensions", nil, edit(func(h *wire.ServerHello) { h.Has = 0 }), fault.HandshakeFailureAlert},
		{"session_ticket, which was not offered", nil, edit(func(h *wire.ServerHello) { h.Has = h.Has.With(wire.ExtSessionTicket) }), fault.UnsupportedExtensionAlert},
		{"ALPN, which was not offered", nil, add(16, 0, 3, 2, 'h', '2'), fault.UnsupportedExtensionAlert},
		{"a protocol that was not offered", protocols, add(16, 0, 3, 2, 'h', '3'), fault.IllegalParameterAlert},
		{"two protocols", protocols, add(16, 0, 6, 2, 'h', '2', 2, 'h', '1'), fault.DecodeErrorAlert},
		{"no protocol in the list", protocols, add(16, 0, 0), fault.DecodeErrorAlert},
		{"an empty protocol", protocols, add(16, 0, 1, 0), fault.DecodeErrorAlert},
		{"an unknown extension", nil, add(0x0a0a), fault.UnsupportedExtensionAlert},
		{"key_share, which belongs to TLS 1.3", clientBoth, add(51, 0, 29, 0, 1, 1), fault.IllegalParameterAlert},
		{"pre_shared_key, which belongs to TLS 1.3", clientBoth, add(41, 0, 0), fault.IllegalParameterAlert},
		{"a cookie, which belongs to TLS 1.3", clientBoth, add(44, 0, 1, 1), fault.IllegalParameterAlert},
		{"extended_main_secret twice", nil, add(23), fault.IllegalParameterAlert},
		{"extended_main_secret with a body", nil, func(m []byte) []byte {
			m = edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtExtendedMainSecret) })(m)
			return add(23, 0)(m)
		}, fault.DecodeErrorAlert},
		// "the client MUST abort the handshake … illegal_parameter" where the
		// uncompressed format is missing: RFC 8422, Section 5.2.
		{"ec_point_formats without the uncompressed one", nil, func(m []byte) []byte {
			m = edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtECPointFormats) })(m)
			return add(11, 1, 1)(m)
		}, fault.IllegalParameterAlert},
		{"a record_size_limit of 63", nil, edit(func(h *wire.ServerHello) { h.RecordSizeLimit = 63 }), fault.IllegalParameterAlert},
		{"a record_size_limit of 0", nil, edit(func(h *wire.ServerHello) { h.RecordSizeLimit = 0 }), fault.IllegalParameterAlert},
		{"a session ID of 33 bytes", nil, edit(func(h *wire.ServerHello) { h.SessionID = make([]byte, 33) }), fault.DecodeErrorAlert},
		{"a byte behind its end", nil, func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
		{"its last byte cut off", nil, func(m []byte) []byte { return wire.End(m[:len(m)-1], 0) }, fault.DecodeErrorAlert},
		{"nothing in it", nil, instead(withBody(wire.TypeServerHello)), fault.DecodeErrorAlert},
	} {
		clientRefuses12(t, row.prepare, kind(wire.TypeServerHello), row.door, row.want, "a ServerHello of TLS 1.2 with "+row.story)
	}

	// The session ID that a client makes up for the sake of TLS 1.3 is no session.
	p := newPair12(t)
	clientBoth(p)
	p.serverDoors[kind(wire.TypeServerHello)] = edit(func(h *wire.ServerHello) { h.SessionID = p.client.sessionID[:] })
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "a ServerHello that resumes a session that was not offered")
}

// "This field is empty if no session_id is available": RFC 5246, Section
// 7.4.1.2. A ticket and TLS 1.3 need one that is made up.
func TestSessionIDsThatAClientMakesUp(t *testing.T) {
	for _, row := range []struct {
		story string
		pair  *pair
		want  int
	}{
		{"of TLS 1.2, without a session", newPair12(t), 0},
		{"of TLS 1.2, with a ticket", newResumingPair12(t, false), 32},
		{"of TLS 1.3", newPair(t), 32},
	} {
		var h wire.ClientHello
		row.pair.serverGets(1, editClientHello(func(got *wire.ClientHello) { h = *got }))
		if row.pair.s.err != nil || len(h.SessionID) != row.want {
			t.Errorf("a client %s sends a session ID of %d bytes, want %d: %v", row.story, len(h.SessionID), row.want, row.pair.s.err)
		}
	}
}

// Some load balancers answer supported_groups in their hello, which nobody has
// told them. Whatever it says is not acted upon.
func TestGroupsInAServerHelloOfTLS12(t *testing.T) {
	for _, body := range [][]byte{{0, 2, 0, 23}, {0, 2, 0x77, 0x77}, {}, {1}} {
		p := newPair12(t)
		p.serverDoors[kind(wire.TypeServerHello)] = func(m []byte) []byte { return addExtension(m, blockOf(m), 10, body...) }
		p.complete()
		if want := p.client.policy.Groups[0].ID; p.client.Facts.Group != want {
			t.Errorf("supported_groups %x in a ServerHello: the group is %v, want %v", body, p.client.Facts.Group, want)
		}
		p.works()
	}
}

// The way to TLS 1.2 is the first ServerHello; a hello of TLS 1.3 does not lead
// there, nor does one of TLS 1.2 come after a retry or early data.
func TestVersionsAreNotMixed(t *testing.T) {
	p := newPair(t)
	p.speakBoth()
	p.serverDoors[kind(wire.TypeServerHello)] = editServerHello(func(h *wire.ServerHello) {
		h.CipherSuite = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	})
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "a ServerHello of TLS 1.3 with a suite of TLS 1.2")

	p = newPair(t)
	p.speakBoth()
	// "or contains a version prior to TLS 1.3": RFC 9846, Section 4.3.1.
	p.serverDoors[kind(wire.TypeServerHello)] = editServerHello(func(h *wire.ServerHello) { h.SupportedVersion = tls.VersionTLS12 })
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "a ServerHello with TLS 1.2 in supported_versions")

	p = newPair(t)
	p.speakBoth()
	p.serverPolicy.Groups = groups(tls.CurveP384)
	p.serverDoors[helloRetryRequest] = editServerHello(func(h *wire.ServerHello) { h.SupportedVersion = tls.VersionTLS12 })
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "a HelloRetryRequest with TLS 1.2 in supported_versions")

	p = newPair(t)
	p.speakBoth()
	p.serverPolicy.Groups = groups(tls.CurveP384)
	p.serverDoors[kind(wire.TypeServerHello)] = editServerHello(func(h *wire.ServerHello) {
		h.Has, h.CipherSuite = wire.Extensions(wire.ExtExtendedMainSecret), tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	})
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "a ServerHello of TLS 1.2 after a HelloRetryRequest")

	p = newPair(t)
	p.speakBoth()
	p.serverPolicy.Groups = groups(tls.CurveP384)
	p.serverDoors[helloRetryRequest] = editServerHello(func(h *wire.ServerHello) { h.Has = 0 })
	p.run()
	expectAlert(t, p.c.err, fault.MissingExtensionAlert, "a HelloRetryRequest without supported_versions")

	p = newPair(t)
	p.speakBoth()
	p.allowEarlyData()
	p.complete()
	p.serverPolicy.speak(tls.VersionTLS12)
	p.run()
	expectAlert(t, p.c.err, fault.ProtocolVersionAlert, "a ServerHello of TLS 1.2 after early data")
}

// chainOf12 is a Certificate message of TLS 1.2.
func chainOf12(certs ...[]byte) []byte { return wire.AppendCertificate12(nil, certs) }

func TestCertificatesOfTLS12ThatAreRefused(t *testing.T) {
	leaf := tlstest.Leaf(tlstest.ECDSAP256).Certificate
	strange := tlstest.New(tlstest.Options{Kind: tlstest.ECDSAP256, UnknownCA: true}).Certificate
	expired := tlstest.New(tlstest.Options{Kind: tlstest.ECDSAP256, NotAfter: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)}).Certificate
	other := tlstest.Leaf(tlstest.ECDSAP256, "other.example.net").Certificate
	unknownKey := bytes.Replace(tlstest.Leaf(tlstest.Ed25519).Certificate[0], []byte{6, 3, 0x2b, 101, 112}, []byte{6, 3, 0x2b, 101, 113}, 1)
	rsaSuites := func(p *pair) { p.only(tlstest.Leaf(tlstest.RSA2048)) }
	for _, row := range []struct {
		story   string
		prepare func(p *pair)
		message []byte
		want    fault.Alert
	}{
		{"no certificates", nil, chainOf12(), fault.DecodeErrorAlert},
		{"an empty certificate", nil, chainOf12(nil), fault.DecodeErrorAlert},
		{"the form of TLS 1.3", nil, chainOf(leaf...), fault.DecodeErrorAlert},
		{"bytes that are no certificate", nil, chainOf12([]byte("certificate")), fault.BadCertificateAlert},
		{"an intermediate that is no certificate", nil, chainOf12(leaf[0], []byte("certificate")), fault.BadCertificateAlert},
		{"an RSA key for a suite of ECDSA", nil, chainOf12(tlstest.Leaf(tlstest.RSA2048).Certificate...), fault.IllegalParameterAlert},
		{"an id-RSASSA-PSS key for a suite of ECDSA", nil, chainOf12(tlstest.Leaf(tlstest.RSAPSS).Certificate...), fault.IllegalParameterAlert},
		{"an ECDSA key for a suite of RSA", rsaSuites, chainOf12(leaf...), fault.IllegalParameterAlert},
		{"an Ed25519 key for a suite of RSA", rsaSuites, chainOf12(tlstest.Leaf(tlstest.Ed25519).Certificate...), fault.IllegalParameterAlert},
		{"an RSA key of 8193 bits", rsaSuites, chainOf12(rsaLeaf(t, 8193), leaf[1]), fault.BadCertificateAlert},
		{"an RSA key of 2047 bits", rsaSuites, chainOf12(rsaLeaf(t, 2047), leaf[1]), fault.BadCertificateAlert},
		{"an intermediate with an RSA key of 16384 bits", nil, chainOf12(leaf[0], rsaLeaf(t, 16384)), fault.BadCertificateAlert},
		{"a key of a type that nobody knows", nil, chainOf12(unknownKey, leaf[1]), fault.UnsupportedCertificateAlert},
		{"an authority that nobody knows", nil, chainOf12(strange...), fault.UnknownCAAlert},
		{"another name", nil, chainOf12(other...), fault.CertificateUnknownAlert},
		{"a certificate that has expired", nil, chainOf12(expired...), fault.CertificateExpiredAlert},
		{"a byte behind its end", nil, wire.End(append(chainOf12(leaf...), 0), 0), fault.DecodeErrorAlert},
		{"nothing in it", nil, withBody(wire.TypeCertificate), fault.DecodeErrorAlert},
	} {
		story := "a Certificate of TLS 1.2 with " + row.story
		clientRefuses12(t, func(p *pair) {
			if row.prepare != nil {
				row.prepare(p)
			}
			p.step = func(to *side) {
				if to.machine.State() == "TLS 1.2 WAIT_SKE" {
					t.Errorf("%s: it is taken at first", story)
				}
			}
		}, kind(wire.TypeCertificate), instead(row.message), row.want, story)
	}

	// A server that has promised a staple is judged no later than its key is
	// used, whether the staple comes or not.
	for _, staple := range []bool{false, true} {
		p := newPair12(t)
		p.acknowledge(wire.ExtStatusRequest)
		if staple {
			p.serverDoors[kind(wire.TypeServerHello)] = nil
			p.staple()
		}
		p.serverDoors[kind(wire.TypeCertificate)] = instead(chainOf12(strange...))
		p.run()
		expectAlert(t, p.c.err, fault.UnknownCAAlert, "an authority that nobody knows, with a staple %v", staple)
		if got := p.client.State(); got != "TLS 1.2 WAIT_STATUS_SKE" {
			t.Errorf("an authority that nobody knows, with a staple %v, is refused in %s", staple, got)
		}
	}
}

func TestCertificateStatus(t *testing.T) {
	for _, row := range []struct {
		story string
		body  []byte
		want  fault.Alert
	}{
		{"another type", []byte{2, 0, 0, 1, 1}, fault.DecodeErrorAlert},
		{"an empty response", []byte{1, 0, 0, 0}, fault.DecodeErrorAlert},
		{"a response that is cut", []byte{1, 0, 0, 2, 1}, fault.DecodeErrorAlert},
		{"a byte behind its end", []byte{1, 0, 0, 1, 1, 0}, fault.DecodeErrorAlert},
		{"nothing in it", nil, fault.DecodeErrorAlert},
	} {
		clientRefuses12(t, (*pair).staple, kind(wire.TypeCertificateStatus),
			instead(withBody(wire.TypeCertificateStatus, row.body...)), row.want, "a CertificateStatus with "+row.story)
	}
	status := wire.CertificateStatus{OCSPResponse: []byte("response")}
	clientRefuses12(t, nil, kind(wire.TypeCertificate), func(m []byte) []byte { return status.Append(m) },
		fault.UnexpectedMessageAlert, "a CertificateStatus that was not promised")
	clientRefuses12(t, (*pair).staple, kind(wire.TypeCertificateStatus), func(m []byte) []byte { return append(m, m...) },
		fault.UnexpectedMessageAlert, "a second CertificateStatus")

	p := newPair12(t)
	p.staple()
	var seen Verification
	p.clientPolicy.Judge.After = func(v *Verification) error { seen = *v; return nil }
	for _, cached := range []bool{false, true} { // the chain, from the second time on
		p.complete()
		for _, got := range []struct {
			who  string
			ocsp []byte
			scts [][]byte
		}{
			{"the client's facts", p.client.Facts.OCSPResponse, p.client.Facts.SCTs},
			{"the judge", seen.OCSPResponse, seen.SCTs},
		} {
			if string(got.ocsp) != "response" || len(got.scts) != 1 || string(got.scts[0]) != "sct" {
				t.Errorf("%s, of a cached chain %v: staple %q, SCTs %q", got.who, cached, got.ocsp, got.scts)
			}
		}
	}
}

// editKeyExchange edits a ServerKeyExchange as it is.
func editKeyExchange(edit func(m *wire.ServerKeyExchange)) func([]byte) []byte {
	return func(raw []byte) []byte {
		var m wire.ServerKeyExchange
		must(m.Parse(raw[wire.HeaderLen:]))
		m.Public, m.Signature = bytes.Clone(m.Public), bytes.Clone(m.Signature)
		edit(&m)
		return m.Append(nil)
	}
}

// signKeyExchange edits one and signs it as a server should.
func (p *pair) signKeyExchange(edit func(m *wire.ServerKeyExchange)) func([]byte) []byte {
	return editKeyExchange(func(m *wire.ServerKeyExchange) {
		edit(m)
		m.Signature = p.sign(m, p.serverPolicy.Credentials.all[0].Key, p.signed(m))
	})
}

// signed is what is to be signed: RFC 8422, Section 5.4.
func (p *pair) signed(m *wire.ServerKeyExchange) []byte {
	x := p.server.secrets12()
	return slices.Concat(x.clientRandom[:], x.serverRandom[:], m.AppendParams(nil))
}

func (p *pair) sign(m *wire.ServerKeyExchange, key crypto.Signer, content []byte) []byte {
	signature, err := algo.SchemeByID(tls.SignatureScheme(m.Algorithm)).Sign(key, rand.Reader, content)
	must(err)
	return signature
}

func TestServerKeyExchangesThatAreRefused(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	// params makes them for this group with this public key, well signed.
	params := func(id tls.CurveID, public []byte) func(p *pair) func([]byte) []byte {
		return func(p *pair) func([]byte) []byte {
			return p.signKeyExchange(func(m *wire.ServerKeyExchange) { m.Group, m.Public = uint16(id), public })
		}
	}
	just := func(door func([]byte) []byte) func(p *pair) func([]byte) []byte {
		return func(*pair) func([]byte) []byte { return door }
	}
	algorithm := func(id tls.SignatureScheme) func(p *pair) func([]byte) []byte {
		return just(editKeyExchange(func(m *wire.ServerKeyExchange) { m.Algorithm = uint16(id) }))
	}
	signedBy := func(key crypto.Signer, content func(p *pair, m *wire.ServerKeyExchange) []byte) func(p *pair) func([]byte) []byte {
		return func(p *pair) func([]byte) []byte {
			return editKeyExchange(func(m *wire.ServerKeyExchange) { m.Signature = p.sign(m, key, content(p, m)) })
		}
	}
	own := tlstest.Key(tlstest.ECDSAP256)
	right := func(p *pair, m *wire.ServerKeyExchange) []byte { return p.signed(m) }
	share := func(id tls.CurveID) []byte {
		s, err := algo.GroupByID(id).Generate(rand.Reader)
		must(err)
		return s.AppendPublic(nil)
	}
	p256 := share(tls.CurveP256)
	offCurve := bytes.Clone(p256)
	offCurve[len(offCurve)-1] ^= 1
	for _, row := range []struct {
		story string
		key   tlstest.Kind
		door  func(p *pair) func([]byte) []byte
		want  fault.Alert
	}{
		{"a group that was not offered", tlstest.ECDSAP256, params(tls.CurveP521, share(tls.CurveP521)), fault.IllegalParameterAlert},
		{"a group that nobody knows", tlstest.ECDSAP256, params(0x0a0a, p256), fault.IllegalParameterAlert},
		{"a hybrid group, which is of TLS 1.3", tlstest.ECDSAP256, params(tls.X25519MLKEM768, share(tls.X25519)), fault.IllegalParameterAlert},
		{"an explicit curve", tlstest.ECDSAP256, just(func(m []byte) []byte { m[wire.HeaderLen] = 1; return m }), fault.IllegalParameterAlert},
		{"a point off the curve", tlstest.ECDSAP256, params(tls.CurveP256, offCurve), fault.IllegalParameterAlert},
		{"a compressed point", tlstest.ECDSAP256, params(tls.CurveP256, append([]byte{2 + p256[64]&1}, p256[1:33]...)), fault.IllegalParameterAlert},
		{"the point at infinity", tlstest.ECDSAP256, params(tls.CurveP256, []byte{0}), fault.IllegalParameterAlert},
		{"a point that is a byte short", tlstest.ECDSAP256, params(tls.CurveP256, p256[:64]), fault.IllegalParameterAlert},
		{"a point of another curve", tlstest.ECDSAP256, params(tls.CurveP384, p256), fault.IllegalParameterAlert},
		{"an X25519 key of small order", tlstest.ECDSAP256, params(tls.X25519, make([]byte, 32)), fault.IllegalParameterAlert},
		{"an X25519 key that is a byte long", tlstest.ECDSAP256, params(tls.X25519, make([]byte, 33)), fault.IllegalParameterAlert},
		{"an empty key", tlstest.ECDSAP256, just(editKeyExchange(func(m *wire.ServerKeyExchange) { m.Public = nil })), fault.DecodeErrorAlert},

		{"a scheme that was not offered", tlstest.ECDSAP256, algorithm(tls.ECDSAWithSHA1), fault.IllegalParameterAlert},
		{"a scheme that nobody knows", tlstest.ECDSAP256, algorithm(0x0a0a), fault.IllegalParameterAlert},
		{"an RSA scheme for an ECDSA key", tlstest.ECDSAP256, algorithm(tls.PSSWithSHA256), fault.IllegalParameterAlert},
		{"an Ed25519 scheme for an ECDSA key", tlstest.ECDSAP256, algorithm(tls.Ed25519), fault.IllegalParameterAlert},
		{"an ECDSA scheme for an RSA key", tlstest.RSA2048, algorithm(tls.ECDSAWithP256AndSHA256), fault.IllegalParameterAlert},
		{"rsa_pss_pss for a key of rsaEncryption", tlstest.RSA2048, algorithm(0x0809), fault.IllegalParameterAlert},
		{"PKCS #1 v1.5 for a key of id-RSASSA-PSS", tlstest.RSAPSS, algorithm(tls.PKCS1WithSHA256), fault.IllegalParameterAlert},
		{"another hash than was signed", tlstest.ECDSAP256, algorithm(tls.ECDSAWithP384AndSHA384), fault.DecryptErrorAlert},
		{"another padding than was signed", tlstest.RSA2048, algorithm(tls.PKCS1WithSHA512), fault.DecryptErrorAlert},

		{"a signature by another key", tlstest.ECDSAP256, signedBy(stranger, right), fault.DecryptErrorAlert},
		{"a signature over another client's random", tlstest.ECDSAP256, signedBy(own, func(p *pair, m *wire.ServerKeyExchange) []byte {
			b := right(p, m)
			b[0] ^= 1
			return b
		}), fault.DecryptErrorAlert},
		{"a signature over another server random", tlstest.ECDSAP256, signedBy(own, func(p *pair, m *wire.ServerKeyExchange) []byte {
			b := right(p, m)
			b[32] ^= 1
			return b
		}), fault.DecryptErrorAlert},
		{"a signature over both randoms the wrong way round", tlstest.ECDSAP256, signedBy(own, func(p *pair, m *wire.ServerKeyExchange) []byte {
			b := right(p, m)
			return slices.Concat(b[32:64], b[:32], b[64:])
		}), fault.DecryptErrorAlert},
		{"a signature over the parameters alone", tlstest.ECDSAP256, signedBy(own, func(p *pair, m *wire.ServerKeyExchange) []byte {
			return m.Params
		}), fault.DecryptErrorAlert},
		{"another key than was signed", tlstest.ECDSAP256, just(editKeyExchange(func(m *wire.ServerKeyExchange) { m.Public[0] ^= 1 })), fault.DecryptErrorAlert},
		{"another group than was signed", tlstest.ECDSAP256, just(editKeyExchange(func(m *wire.ServerKeyExchange) { m.Group = uint16(tls.CurveP256) })), fault.DecryptErrorAlert},
		{"a bit of the signature flipped", tlstest.ECDSAP256, just(editKeyExchange(func(m *wire.ServerKeyExchange) { m.Signature[len(m.Signature)-1] ^= 1 })), fault.DecryptErrorAlert},
		{"no signature", tlstest.ECDSAP256, just(editKeyExchange(func(m *wire.ServerKeyExchange) { m.Signature = nil })), fault.DecryptErrorAlert},
		{"a byte behind its end", tlstest.ECDSAP256, just(func(m []byte) []byte { return wire.End(append(m, 0), 0) }), fault.DecodeErrorAlert},
		{"nothing in it", tlstest.ECDSAP256, just(instead(withBody(wire.TypeServerKeyExchange))), fault.DecodeErrorAlert},
	} {
		p := newPair12(t)
		p.only(tlstest.Leaf(row.key))
		// Of both versions, so that hybrids are among what was offered.
		p.clientPolicy.speak(tls.VersionTLS12, tls.VersionTLS13)
		p.clientPolicy.Groups = groups(tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384)
		p.serverDoors[kind(wire.TypeServerKeyExchange)] = row.door(p)
		p.run()
		expectAlert(t, p.c.err, row.want, "a ServerKeyExchange with %s", row.story)
	}

	// Signed anew it is fine: the doors above do what they say.
	p := newPair12(t)
	p.serverDoors[kind(wire.TypeServerKeyExchange)] = p.signKeyExchange(func(*wire.ServerKeyExchange) {})
	p.complete()
	p.works()

	p = newPair12(t)
	p.clientPolicy.Schemes = schemes(tls.ECDSAWithP256AndSHA256)
	p.serverDoors[kind(wire.TypeServerKeyExchange)] = p.signKeyExchange(func(m *wire.ServerKeyExchange) {
		m.Algorithm = uint16(tls.ECDSAWithP384AndSHA384)
	})
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "a ServerKeyExchange with SHA-384 for a client that has only SHA-256")
}

// In TLS 1.2 an ECDSA scheme is a hash, not a curve: RFC 5246, Section 7.4.1.4.1.
func TestECDSASchemesOfTLS12GoWithAnyCurve(t *testing.T) {
	for _, key := range []tlstest.Kind{tlstest.ECDSAP256, tlstest.ECDSAP384, tlstest.ECDSAP521} {
		for _, scheme := range []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512} {
			p := newPair12(t)
			p.only(tlstest.Leaf(key))
			p.clientPolicy.Schemes = schemes(scheme)
			p.complete()
			if got := p.client.Facts.PeerScheme; got != scheme {
				t.Errorf("a server with %v signs by %v, want %v", key, got, scheme)
			}
		}
	}
}

func request12() wire.CertificateRequest12 {
	return wire.CertificateRequest12{
		Types:               []byte{wire.CertificateTypeECDSASign, wire.CertificateTypeRSASign},
		SignatureAlgorithms: wire.AppendUint16s(nil, tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256, tls.Ed25519),
	}
}

func TestCertificateRequestsOfTLS12ThatAreRefused(t *testing.T) {
	request := func(edit func(m *wire.CertificateRequest12)) []byte {
		m := request12()
		edit(&m)
		return m.Append(nil)
	}
	asked := func(p *pair) { p.serverPolicy.ClientAuth = tls.RequestClientCert }
	for _, row := range []struct {
		story   string
		request []byte
		want    fault.Alert
	}{
		{"no types", request(func(m *wire.CertificateRequest12) { m.Types = nil }), fault.DecodeErrorAlert},
		{"no signature algorithms", request(func(m *wire.CertificateRequest12) { m.SignatureAlgorithms = nil }), fault.DecodeErrorAlert},
		{"half a signature algorithm", request(func(m *wire.CertificateRequest12) { m.SignatureAlgorithms = []byte{4, 3, 4} }), fault.DecodeErrorAlert},
		{"an authority that is cut", request(func(m *wire.CertificateRequest12) { m.CertificateAuthorities = []byte{0, 2, 1} }), fault.DecodeErrorAlert},
		{"an empty authority", request(func(m *wire.CertificateRequest12) { m.CertificateAuthorities = []byte{0, 0} }), fault.DecodeErrorAlert},
		{"the form of TLS 1.3", certificateRequest(), fault.DecodeErrorAlert},
		{"a byte behind its end", wire.End(append(request(func(*wire.CertificateRequest12) {}), 0), 0), fault.DecodeErrorAlert},
		{"nothing in it", withBody(wire.TypeCertificateRequest), fault.DecodeErrorAlert},
	} {
		clientRefuses12(t, asked, kind(wire.TypeCertificateRequest), instead(row.request), row.want, "a CertificateRequest of TLS 1.2 with "+row.story)
	}
	clientRefuses12(t, asked, kind(wire.TypeCertificateRequest), func(m []byte) []byte { return append(m, m...) },
		fault.UnexpectedMessageAlert, "a second CertificateRequest")
}

// A client's certificate is of a type and for a scheme that was asked for, and
// by an authority that was named; else the client has none.
func TestTheClientsCertificateFitsTheRequestOfTLS12(t *testing.T) {
	issuer := func(kind tlstest.Kind) wire.Authorities {
		return wire.AppendAuthority(nil, tlstest.ClientLeaf(kind).Leaf.RawIssuer)
	}
	ecdsaOnly, rsaOnly := []byte{wire.CertificateTypeECDSASign}, []byte{wire.CertificateTypeRSASign}
	for _, row := range []struct {
		story string
		edit  func(m *wire.CertificateRequest12)
		has   []tlstest.Kind
		want  tlstest.Kind
		none  bool
	}{
		{story: "anything goes", has: []tlstest.Kind{tlstest.ECDSAP256, tlstest.RSA2048}, want: tlstest.ECDSAP256},
		{story: "only RSA goes", edit: func(m *wire.CertificateRequest12) { m.Types = rsaOnly }, has: []tlstest.Kind{tlstest.ECDSAP256, tlstest.RSA2048}, want: tlstest.RSA2048},
		{story: "only ECDSA goes", edit: func(m *wire.CertificateRequest12) { m.Types = ecdsaOnly }, has: []tlstest.Kind{tlstest.RSA2048, tlstest.ECDSAP256}, want: tlstest.ECDSAP256},
		{story: "Ed25519 goes as ECDSA", edit: func(m *wire.CertificateRequest12) { m.Types = ecdsaOnly }, has: []tlstest.Kind{tlstest.Ed25519}, want: tlstest.Ed25519},
		{story: "Ed25519 does not go as RSA", edit: func(m *wire.CertificateRequest12) { m.Types = rsaOnly }, has: []tlstest.Kind{tlstest.Ed25519}, none: true},
		{story: "only a type that nobody knows goes", edit: func(m *wire.CertificateRequest12) { m.Types = []byte{99} }, has: []tlstest.Kind{tlstest.ECDSAP256}, none: true},
		{story: "no scheme fits", edit: func(m *wire.CertificateRequest12) {
			m.SignatureAlgorithms = wire.AppendUint16s(nil, tls.PSSWithSHA256)
		}, has: []tlstest.Kind{tlstest.ECDSAP256}, none: true},
		{story: "the scheme of another curve fits", edit: func(m *wire.CertificateRequest12) {
			m.SignatureAlgorithms = wire.AppendUint16s(nil, tls.ECDSAWithP384AndSHA384)
		}, has: []tlstest.Kind{tlstest.ECDSAP256}, want: tlstest.ECDSAP256},
		{story: "PKCS #1 v1.5 fits", edit: func(m *wire.CertificateRequest12) {
			m.SignatureAlgorithms = wire.AppendUint16s(nil, tls.PKCS1WithSHA256)
		}, has: []tlstest.Kind{tlstest.RSA2048}, want: tlstest.RSA2048},
		{story: "its authority is named", edit: func(m *wire.CertificateRequest12) { m.CertificateAuthorities = issuer(tlstest.ECDSAP256) }, has: []tlstest.Kind{tlstest.ECDSAP256}, want: tlstest.ECDSAP256},
		{story: "another authority is named", edit: func(m *wire.CertificateRequest12) {
			m.CertificateAuthorities = wire.AppendAuthority(nil, []byte("nobody"))
		}, has: []tlstest.Kind{tlstest.ECDSAP256}, none: true},
		{story: "it has none", none: true},
	} {
		p := newPair12(t)
		p.serverPolicy.ClientAuth = tls.RequestClientCert
		for _, kind := range row.has {
			p.clientPolicy.Credentials = append(p.clientPolicy.Credentials, credential(t, tlstest.ClientLeaf(kind)))
		}
		p.serverDoors[kind(wire.TypeCertificateRequest)] = func([]byte) []byte {
			m := request12()
			if row.edit != nil {
				row.edit(&m)
			}
			return m.Append(nil)
		}
		p.complete()
		p.works()
		var want []*x509.Certificate
		if !row.none {
			want = []*x509.Certificate{tlstest.ClientLeaf(row.want).Leaf}
		}
		got := p.server.Facts.PeerCertificates
		if len(want) == 0 && len(got) != 0 || len(want) > 0 && (len(got) == 0 || !got[0].Equal(want[0])) {
			t.Errorf("%s: the server sees %d certificates", row.story, len(got))
		}
	}
}

func TestServerHelloDonesThatAreRefused(t *testing.T) {
	clientRefuses12(t, nil, kind(wire.TypeServerHelloDone), instead(withBody(wire.TypeServerHelloDone, 0)), fault.DecodeErrorAlert, "a ServerHelloDone with a body")
	clientRefuses12(t, nil, kind(wire.TypeServerHelloDone), func(m []byte) []byte { return append(m, m...) }, fault.UnexpectedMessageAlert, "a second ServerHelloDone")
	clientRefuses12(t, nil, kind(wire.TypeServerKeyExchange), instead(), fault.UnexpectedMessageAlert, "no ServerKeyExchange")
	clientRefuses12(t, nil, kind(wire.TypeCertificate), instead(), fault.UnexpectedMessageAlert, "no Certificate")
}

func TestTicketsOfTLS12(t *testing.T) {
	for _, resume := range []bool{false, true} {
		keep := func(p *pair) {
			p.keepSessions()
			if resume {
				p.complete()
			}
		}
		for _, row := range []struct {
			story string
			door  func([]byte) []byte
			want  fault.Alert
		}{
			{"that was promised is missing", instead(), fault.UnexpectedMessageAlert},
			{"comes twice", func(m []byte) []byte { return append(m, m...) }, fault.UnexpectedMessageAlert},
			{"is cut", func(m []byte) []byte { return wire.End(m[:len(m)-1], 0) }, fault.DecodeErrorAlert},
			{"has a byte behind its end", func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
			{"has nothing in it", instead(withBody(wire.TypeNewSessionTicket)), fault.DecodeErrorAlert},
			{"has the form of TLS 1.3", instead((&wire.NewSessionTicket{Lifetime: 3600, Nonce: []byte{1}, Ticket: []byte("ticket")}).Append(nil)), fault.DecodeErrorAlert},
		} {
			clientRefuses12(t, keep, kind(wire.TypeNewSessionTicket), row.door, row.want, "a ticket that "+row.story)
		}
	}
	p := newPair12(t) // which has promised none
	ticket := wire.NewSessionTicket12{LifetimeHint: 3600, Ticket: []byte("ticket")}
	p.start()
	p.step = func(to *side) {
		if to == p.c && to.machine.State() == "TLS 1.2 WAIT_CCS" {
			expectAlert(t, to.machine.Handle(ticket.Append(nil)), fault.UnexpectedMessageAlert, "a ticket that was not promised")
		}
	}
	p.pump()

	// What a server could not issue it sends as an empty ticket; a lifetime
	// of 0 is unspecified (RFC 5077, Section 3.3).
	for _, row := range []struct {
		story  string
		ticket wire.NewSessionTicket12
		want   time.Duration // of the session that is kept; 0: none is
	}{
		{"an empty ticket", wire.NewSessionTicket12{LifetimeHint: 3600}, 0},
		{"a ticket for an hour", wire.NewSessionTicket12{LifetimeHint: 3600, Ticket: []byte("ticket")}, time.Hour},
		{"a ticket for an unspecified time", wire.NewSessionTicket12{Ticket: []byte("ticket")}, MaxLifetime},
		{"a ticket for a year", wire.NewSessionTicket12{LifetimeHint: 365 * 24 * 3600, Ticket: []byte("ticket")}, MaxLifetime},
		{"a ticket for ever", wire.NewSessionTicket12{LifetimeHint: 1<<32 - 1, Ticket: []byte("ticket")}, MaxLifetime},
	} {
		p := newPair12(t)
		p.keepSessions()
		p.serverDoors[kind(wire.TypeNewSessionTicket)] = instead(row.ticket.Append(nil))
		p.complete()
		p.works()
		held := p.held()
		if row.want == 0 {
			if len(held) != 0 || p.client.Facts.Tickets != 0 {
				t.Errorf("after %s the client holds %d sessions, and counts %d tickets", row.story, len(held), p.client.Facts.Tickets)
			}
			continue
		}
		if len(held) != 1 || held[0].Lifetime != row.want || string(held[0].Ticket) != "ticket" || !held[0].EMS || p.client.Facts.Tickets != 1 {
			t.Errorf("after %s the client holds %d sessions, and counts %d tickets", row.story, len(held), p.client.Facts.Tickets)
		}
	}

	// No session of a handshake that fails is kept.
	p = newPair12(t)
	p.keepSessions()
	p.serverDoors[kind(wire.TypeFinished)] = instead(withBody(wire.TypeFinished, make([]byte, 12)...))
	p.run()
	expectAlert(t, p.c.err, fault.DecryptErrorAlert, "a wrong Finished behind a ticket")
	if len(p.held()) != 0 {
		t.Error("the ticket of a handshake that failed is kept")
	}
}

// "the digitalSignature bit MUST be set if the Key Usage extension is present":
// RFC 9846, Section 4.5.1.2, and RFC 5246, Section 7.4.2.
func TestKeysThatAreNotForSignatures(t *testing.T) {
	encipherment := tlstest.New(tlstest.Options{Usage: x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement}).Certificate
	both := tlstest.New(tlstest.Options{Usage: x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature}).Certificate
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		message := chainOf
		if version == tls.VersionTLS12 {
			message = chainOf12
		}
		for _, ofServer := range []bool{true, false} {
			send := func(chain [][]byte) error {
				p := newMutualPair(t)
				p.clientPolicy.speak(version)
				p.serverPolicy.speak(version)
				p.serverPolicy.ClientAuth = tls.RequireAnyClientCert
				doors, peer := p.serverDoors, &p.c
				if !ofServer {
					doors, peer = p.clientDoors, &p.s
				}
				doors[kind(wire.TypeCertificate)] = instead(message(chain...))
				p.run()
				return (*peer).err
			}
			expectReason(t, send(encipherment), fault.UnsupportedCertificate, "%#x, a certificate for encipherment, of the server %v", version, ofServer)
			if err := send(both); err != nil {
				t.Errorf("%#x, a certificate for both, of the server %v: it is refused: %v", version, ofServer, err)
			}
		}
	}
}
