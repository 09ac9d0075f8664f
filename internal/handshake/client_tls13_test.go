package handshake

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/tlstest/rfc8448"
	"github.com/baretls/baretls/internal/wire"
)

// clientRefuses runs a handshake with a server that has a message replaced.
func clientRefuses(t *testing.T, k kind, door func([]byte) []byte, want fault.Alert, story string) {
	t.Helper()
	p := newPair(t)
	p.serverDoors[k] = door
	p.run()
	expectAlert(t, p.c.err, want, "%s", story)
}

func TestServerHellosThatAreRefused(t *testing.T) {
	edit := editServerHello
	for _, row := range []struct {
		story string
		door  func([]byte) []byte
		want  fault.Alert
	}{
		{"legacy_version 3.4", edit(func(h *wire.ServerHello) { h.LegacyVersion = 0x0304 }), fault.ProtocolVersionAlert},
		{"legacy_version 3.1", edit(func(h *wire.ServerHello) { h.LegacyVersion = 0x0301 }), fault.ProtocolVersionAlert},
		{"selected_version TLS 1.2", edit(func(h *wire.ServerHello) { h.SupportedVersion = tls.VersionTLS12 }), fault.IllegalParameterAlert},
		{"selected_version of a draft", edit(func(h *wire.ServerHello) { h.SupportedVersion = 0x7f1c }), fault.IllegalParameterAlert},
		{"a session ID with a bit flipped", edit(func(h *wire.ServerHello) { h.SessionID = append([]byte{h.SessionID[0] ^ 1}, h.SessionID[1:]...) }), fault.IllegalParameterAlert},
		{"a session ID that is cut", edit(func(h *wire.ServerHello) { h.SessionID = h.SessionID[:31] }), fault.IllegalParameterAlert},
		{"no session ID", edit(func(h *wire.ServerHello) { h.SessionID = nil }), fault.IllegalParameterAlert},
		{"a cipher suite of TLS 1.2", edit(func(h *wire.ServerHello) { h.CipherSuite = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }), fault.IllegalParameterAlert},
		{"a cipher suite that we do not have", edit(func(h *wire.ServerHello) { h.CipherSuite = 0x1304 }), fault.IllegalParameterAlert},
		{"compression", edit(func(h *wire.ServerHello) { h.CompressionMethod = 1 }), fault.IllegalParameterAlert},
		{"no key_share", edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtKeyShare) }), fault.MissingExtensionAlert},
		{"a share of a group that has none in the hello", edit(func(h *wire.ServerHello) { h.KeyShareGroup = uint16(tls.CurveP384) }), fault.IllegalParameterAlert},
		{"a share of a group that nobody knows", edit(func(h *wire.ServerHello) { h.KeyShareGroup = 0x0a0a }), fault.IllegalParameterAlert},
		{"a share that is a byte short", edit(func(h *wire.ServerHello) { h.KeyShare = h.KeyShare[1:] }), fault.IllegalParameterAlert},
		{"a share that is a byte long", edit(func(h *wire.ServerHello) { h.KeyShare = append(h.KeyShare[:len(h.KeyShare):len(h.KeyShare)], 0) }), fault.IllegalParameterAlert},
		{"an X25519 share of small order", edit(func(h *wire.ServerHello) { h.KeyShareGroup, h.KeyShare = uint16(tls.X25519), make([]byte, 32) }), fault.IllegalParameterAlert},
		{"pre_shared_key that was not offered", edit(func(h *wire.ServerHello) { h.Has = h.Has.With(wire.ExtPreSharedKey) }), fault.UnsupportedExtensionAlert},
		{"an unknown extension", func(m []byte) []byte { return addExtension(m, blockOf(m), 0x0a0a) }, fault.UnsupportedExtensionAlert},
		{"server_name, which belongs elsewhere", func(m []byte) []byte { return addExtension(m, blockOf(m), 0) }, fault.IllegalParameterAlert},
		{"a cookie, which belongs elsewhere", func(m []byte) []byte { return addExtension(m, blockOf(m), 44, 0, 1, 1) }, fault.IllegalParameterAlert},
		{"supported_versions twice", func(m []byte) []byte { return addExtension(m, blockOf(m), 43, 3, 4) }, fault.IllegalParameterAlert},
		{"a byte behind its end", func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
		{"its last byte cut off", func(m []byte) []byte { return wire.End(m[:len(m)-1], 0) }, fault.DecodeErrorAlert},
		{"nothing in it", instead(withBody(wire.TypeServerHello)), fault.DecodeErrorAlert},
	} {
		clientRefuses(t, kind(wire.TypeServerHello), row.door, row.want, "a ServerHello with "+row.story)
	}
}

// A ServerHello without supported_versions is one of TLS 1.2 or older, and an
// honest server that knows TLS 1.3 says so in its random: RFC 9846, Section
// 4.2.3.
func TestOlderVersionsAndDowngradesAreToldApart(t *testing.T) {
	for _, row := range []struct {
		story, tail string
		version     uint16
		want        fault.Reason
		alert       fault.Alert
	}{
		{"TLS 1.2", "whatever", tls.VersionTLS12, fault.UnsupportedVersion, fault.ProtocolVersionAlert},
		{"TLS 1.1", "whatever", tls.VersionTLS11, fault.UnsupportedVersion, fault.ProtocolVersionAlert},
		{"SSL 3.0", "whatever", 0x0300, fault.UnsupportedVersion, fault.ProtocolVersionAlert},
		{"TLS 1.2 with the sentinel", "DOWNGRD\x01", tls.VersionTLS12, fault.Downgrade, fault.IllegalParameterAlert},
		{"TLS 1.1 with the sentinel", "DOWNGRD\x00", tls.VersionTLS11, fault.Downgrade, fault.IllegalParameterAlert},
		{"TLS 1.2 with what is not a sentinel", "DOWNGRD\x02", tls.VersionTLS12, fault.UnsupportedVersion, fault.ProtocolVersionAlert},
	} {
		for _, extensions := range []wire.ExtensionSet{0, 1 << wire.ExtKeyShare} {
			p := newPair(t)
			p.serverDoors[kind(wire.TypeServerHello)] = editServerHello(func(h *wire.ServerHello) {
				h.Has = extensions
				h.LegacyVersion = row.version
				h.Random = append(bytes.Clone(h.Random[:24]), row.tail...)
			})
			p.run()
			expectReason(t, p.c.err, row.want, "%s", row.story)
			expectAlert(t, p.c.err, row.alert, "%s", row.story)
		}
	}
	// With supported_versions the random is just that.
	p := newPair(t)
	p.serverDoors[kind(wire.TypeServerHello)] = editServerHello(func(h *wire.ServerHello) {
		h.Random = append(bytes.Clone(h.Random[:24]), "DOWNGRD\x01"...)
	})
	p.complete()
}

func TestEncryptedExtensionsThatAreRefused(t *testing.T) {
	const block = wire.HeaderLen
	add := func(code uint16, body ...byte) func([]byte) []byte {
		return func(m []byte) []byte { return addExtension(m, block, code, body...) }
	}
	alpn := func(name string) func([]byte) []byte {
		return add(16, append([]byte{0, byte(1 + len(name)), byte(len(name))}, name...)...)
	}
	limit := func(n uint16) func([]byte) []byte {
		return editEncryptedExtensions(func(ee *wire.EncryptedExtensions) { ee.RecordSizeLimit = n })
	}
	for _, row := range []struct {
		story string
		door  func([]byte) []byte
		want  fault.Alert
	}{
		{"an unknown extension", add(0x0a0a), fault.UnsupportedExtensionAlert},
		{"ticket_request, which was not offered", add(58, 1), fault.UnsupportedExtensionAlert},
		{"early_data, which was not offered", add(42), fault.UnsupportedExtensionAlert},
		{"key_share, which belongs elsewhere", add(51, 0, 29), fault.IllegalParameterAlert},
		{"supported_versions, which belongs elsewhere", add(43, 3, 4), fault.IllegalParameterAlert},
		{"signature_algorithms, which belongs elsewhere", add(13, 0, 2, 4, 3), fault.IllegalParameterAlert},
		{"renegotiation_info, which belongs to TLS 1.2", add(0xff01, 0), fault.IllegalParameterAlert},
		{"server_name twice", add(0), fault.IllegalParameterAlert},
		{"record_size_limit twice", add(28, 0x40, 1), fault.IllegalParameterAlert},
		{"a record_size_limit of 63", limit(63), fault.IllegalParameterAlert},
		{"a record_size_limit of 0", limit(0), fault.IllegalParameterAlert},
		{"a record_size_limit of one byte", instead(withBody(wire.TypeEncryptedExtensions, 0, 5, 0, 28, 0, 1, 64)), fault.DecodeErrorAlert},
		{"a record_size_limit of three bytes", instead(withBody(wire.TypeEncryptedExtensions, 0, 7, 0, 28, 0, 3, 64, 0, 0)), fault.DecodeErrorAlert},
		{"a protocol that was not offered", alpn("h3"), fault.IllegalParameterAlert},
		{"two protocols", add(16, 0, 6, 2, 'h', '2', 2, 'h', '1'), fault.DecodeErrorAlert},
		{"no protocol in the list", add(16, 0, 0), fault.DecodeErrorAlert},
		{"an empty protocol", add(16, 0, 1, 0), fault.DecodeErrorAlert},
		{"a byte behind its end", func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
		{"nothing in it", instead(withBody(wire.TypeEncryptedExtensions)), fault.DecodeErrorAlert},
	} {
		p := newPair(t)
		p.clientPolicy.Protocols = []string{"h2", "h1"}
		p.serverDoors[kind(wire.TypeEncryptedExtensions)] = row.door
		p.run()
		expectAlert(t, p.c.err, row.want, "an EncryptedExtensions with %s", row.story)
	}

	clientRefuses(t, kind(wire.TypeEncryptedExtensions), alpn("h2"), fault.UnsupportedExtensionAlert,
		"an EncryptedExtensions with a protocol for a client that offers none")

	p := newPair(t)
	p.clientPolicy.Protocols = []string{"h2", "h1"}
	p.serverDoors[kind(wire.TypeEncryptedExtensions)] = alpn("h1")
	p.complete()
	if got := p.client.ALPN(); got != "h1" {
		t.Errorf("the client thinks that the protocol is %q, want h1", got)
	}
}

func TestCertificateRequestsThatAreRefused(t *testing.T) {
	request := func(edit func(m *wire.CertificateRequest)) []byte {
		var m wire.CertificateRequest
		must(m.Parse(certificateRequest()[wire.HeaderLen:]))
		edit(&m)
		return m.Append(nil)
	}
	for _, row := range []struct {
		story   string
		request []byte
		want    fault.Alert
	}{
		{"a context", request(func(m *wire.CertificateRequest) { m.Context = []byte("x") }), fault.IllegalParameterAlert},
		{"no signature_algorithms", request(func(m *wire.CertificateRequest) { m.Has = 0 }), fault.MissingExtensionAlert},
		{"key_share", addExtension(certificateRequest(), wire.HeaderLen+1, 51, 0, 29), fault.IllegalParameterAlert},
		{"nothing in it", withBody(wire.TypeCertificateRequest), fault.DecodeErrorAlert},
	} {
		clientRefuses(t, kind(wire.TypeEncryptedExtensions), func(m []byte) []byte { return append(m, row.request...) },
			row.want, "a CertificateRequest with "+row.story)
	}
}

// chainOf is a Certificate message.
func chainOf(certs ...[]byte) []byte { return wire.AppendCertificate(nil, nil, certs, nil, nil) }

func TestCertificatesThatAreRefused(t *testing.T) {
	leaf := tlstest.Leaf(tlstest.ECDSAP256).Certificate
	trace, err := rfc8448.Load(rfc8448.Simple1RTT)
	if err != nil {
		t.Fatal(err)
	}
	// Ed448, which nobody here knows, is a bit away from Ed25519.
	unknownKey := bytes.Replace(tlstest.Leaf(tlstest.Ed25519).Certificate[0], []byte{6, 3, 0x2b, 101, 112}, []byte{6, 3, 0x2b, 101, 113}, 1)
	for _, row := range []struct {
		story   string
		message []byte
		want    fault.Alert
	}{
		{"no certificates", chainOf(), fault.DecodeErrorAlert},
		{"an empty certificate", chainOf(nil), fault.DecodeErrorAlert},
		{"a context", wire.AppendCertificate(nil, []byte("x"), leaf, nil, nil), fault.IllegalParameterAlert},
		{"bytes that are no certificate", chainOf([]byte("certificate")), fault.BadCertificateAlert},
		{"a certificate that is cut", chainOf(leaf[0][:len(leaf[0])-1]), fault.BadCertificateAlert},
		{"a byte behind the certificate", chainOf(append(bytes.Clone(leaf[0]), 0)), fault.BadCertificateAlert},
		{"an intermediate that is no certificate", chainOf(leaf[0], []byte("certificate")), fault.BadCertificateAlert},
		{"an RSA key of 1024 bits", trace.Bytes("certificate"), fault.BadCertificateAlert},
		{"an RSA key of 2047 bits", chainOf(rsaLeaf(t, 2047), leaf[1]), fault.BadCertificateAlert},
		{"an RSA key of 8193 bits", chainOf(rsaLeaf(t, 8193), leaf[1]), fault.BadCertificateAlert},
		{"an RSA key of 16384 bits", chainOf(rsaLeaf(t, 16384), leaf[1]), fault.BadCertificateAlert},
		{"an intermediate with an RSA key of 16384 bits", chainOf(leaf[0], rsaLeaf(t, 16384)), fault.BadCertificateAlert},
		{"a key of a type that nobody knows", chainOf(unknownKey, leaf[1]), fault.UnsupportedCertificateAlert},
		{"an extension that was not asked for", func() []byte {
			m := chainOf(leaf[0])
			m[len(m)-1] = 4 // the entry's block, which is empty
			m = append(m, 0x0a, 0x0a, 0, 0)
			binary.BigEndian.PutUint16(m[6:], binary.BigEndian.Uint16(m[6:])+4) // the list
			return wire.End(m, 0)
		}(), fault.UnsupportedExtensionAlert},
		{"a byte behind its end", wire.End(append(chainOf(leaf...), 0), 0), fault.DecodeErrorAlert},
		{"nothing in it", withBody(wire.TypeCertificate), fault.DecodeErrorAlert},
	} {
		clientRefuses(t, kind(wire.TypeCertificate), instead(row.message), row.want, "a Certificate with "+row.story)
	}
}

// rsaLeaf is a certificate with an RSA key of a size that nobody has to
// generate: its modulus is any odd number.
func rsaLeaf(t *testing.T, bits int) []byte {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	n.SetBit(n, 0, 1)
	signer := tlstest.Leaf(tlstest.ECDSAP256)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "large"}, DNSNames: []string{"example.com"},
		NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Leaf, &rsa.PublicKey{N: n, E: 65537}, signer.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// The work that a peer's keys can cause is bounded: as in CVE-2023-29409, a
// chain of giant keys costs no more than reading it.
func TestGiantKeysAreRefusedBeforeTheyAreUsed(t *testing.T) {
	giant := rsaLeaf(t, 16384)
	chain := [][]byte{tlstest.Leaf(tlstest.ECDSAP256).Certificate[0]}
	for len(chain) < 20 {
		chain = append(chain, giant)
	}
	p := newPair(t)
	p.clientPolicy.Judge.Instead = func(*Verification) error {
		t.Error("a chain of giant keys is judged")
		return nil
	}
	p.serverDoors[kind(wire.TypeCertificate)] = instead(chainOf(chain...))
	begin := time.Now()
	p.run()
	expectAlert(t, p.c.err, fault.BadCertificateAlert, "a chain of giant keys")
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("refusing a chain of giant keys takes %v", took)
	}
}

func TestCertificateVerifysThatAreRefused(t *testing.T) {
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
		{"a scheme that was not offered", tlstest.ECDSAP256, algorithm(tls.ECDSAWithSHA1), fault.IllegalParameterAlert},
		{"a scheme that nobody knows", tlstest.ECDSAP256, algorithm(0x0a0a), fault.IllegalParameterAlert},
		{"PKCS #1 v1.5, which was offered for certificates", tlstest.RSA2048, algorithm(tls.PKCS1WithSHA256), fault.IllegalParameterAlert},
		{"an RSA scheme for an ECDSA key", tlstest.ECDSAP256, algorithm(tls.PSSWithSHA256), fault.IllegalParameterAlert},
		{"an ECDSA scheme for an RSA key", tlstest.RSA2048, algorithm(tls.ECDSAWithP256AndSHA256), fault.IllegalParameterAlert},
		{"an ECDSA scheme for an Ed25519 key", tlstest.Ed25519, algorithm(tls.ECDSAWithP256AndSHA256), fault.IllegalParameterAlert},
		{"another curve's scheme", tlstest.ECDSAP256, algorithm(tls.ECDSAWithP384AndSHA384), fault.IllegalParameterAlert},
		{"rsa_pss_pss for a key of rsaEncryption", tlstest.RSA2048, algorithm(0x0809), fault.IllegalParameterAlert},
		{"rsa_pss_rsae for a key of id-RSASSA-PSS", tlstest.RSAPSS, algorithm(tls.PSSWithSHA256), fault.IllegalParameterAlert},
		{"another hash than was signed", tlstest.RSA2048, algorithm(tls.PSSWithSHA512), fault.DecryptErrorAlert},
		{"a bit of the signature flipped", tlstest.ECDSAP256, edit(func(cv *wire.CertificateVerify) { cv.Signature[len(cv.Signature)-1] ^= 1 }), fault.DecryptErrorAlert},
		{"a bit of an RSA signature flipped", tlstest.RSA2048, edit(func(cv *wire.CertificateVerify) { cv.Signature[0] ^= 1 }), fault.DecryptErrorAlert},
		{"a bit of an Ed25519 signature flipped", tlstest.Ed25519, edit(func(cv *wire.CertificateVerify) { cv.Signature[0] ^= 1 }), fault.DecryptErrorAlert},
		{"no signature", tlstest.ECDSAP256, edit(func(cv *wire.CertificateVerify) { cv.Signature = nil }), fault.DecryptErrorAlert},
		{"a byte behind its end", tlstest.ECDSAP256, func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
		{"nothing in it", tlstest.ECDSAP256, instead(withBody(wire.TypeCertificateVerify)), fault.DecodeErrorAlert},
	} {
		p := newPair(t)
		p.only(tlstest.Leaf(row.key))
		p.serverDoors[kind(wire.TypeCertificateVerify)] = row.door
		p.run()
		expectAlert(t, p.c.err, row.want, "a CertificateVerify with %s", row.story)
	}
}

func TestASchemeThatThisClientDidNotOfferIsRefused(t *testing.T) {
	p := newPair(t)
	p.only(tlstest.Leaf(tlstest.RSA2048))
	p.clientPolicy.Schemes = schemes(tls.PSSWithSHA256)
	p.serverDoors[kind(wire.TypeCertificateVerify)] = editCertificateVerify(func(cv *wire.CertificateVerify) {
		cv.Algorithm = uint16(tls.PSSWithSHA384)
	})
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "rsa_pss_rsae_sha384 for a client that has only sha256")
}

// The signature is over this handshake: that of another one is none.
func TestASignatureOfAnotherHandshakeIsRefused(t *testing.T) {
	var recorded []byte
	p := newPair(t)
	p.tap = func(to *side, m []byte) []byte {
		if classify(m).kind == kind(wire.TypeCertificateVerify) {
			recorded = bytes.Clone(m)
		}
		return m
	}
	p.complete()
	clientRefuses(t, kind(wire.TypeCertificateVerify), instead(recorded), fault.DecryptErrorAlert,
		"a CertificateVerify of another handshake")
}

// Nor can what was signed be changed on the way.
func TestAnyChangeOfTheTranscriptIsSeen(t *testing.T) {
	for _, row := range []struct {
		story string
		on    kind
		edit  func(m []byte) []byte
	}{
		{"the hello", kind(wire.TypeClientHello), editClientHello(func(h *wire.ClientHello) { h.Has = h.Has.Without(wire.ExtSCT) })},
		{"EncryptedExtensions", kind(wire.TypeEncryptedExtensions), instead(withBody(wire.TypeEncryptedExtensions, 0, 0))},
	} {
		p := newPair(t)
		p.tap = func(to *side, m []byte) []byte {
			if classify(m).kind == row.on {
				return row.edit(bytes.Clone(m))
			}
			return m
		}
		p.run()
		if p.c.err == nil || p.s.core.Complete {
			t.Errorf("%s is changed on the way and nobody sees it", row.story)
		}
	}
}

func TestFinishedMessagesThatAreRefused(t *testing.T) {
	for _, row := range []struct {
		story string
		door  func([]byte) []byte
		want  fault.Alert
	}{
		{"its first bit flipped", func(m []byte) []byte { m[wire.HeaderLen] ^= 0x80; return m }, fault.DecryptErrorAlert},
		{"its last bit flipped", func(m []byte) []byte { m[len(m)-1] ^= 1; return m }, fault.DecryptErrorAlert},
		{"zeros", instead(withBody(wire.TypeFinished, make([]byte, 32)...)), fault.DecryptErrorAlert},
		{"a byte less", func(m []byte) []byte { return wire.End(m[:len(m)-1], 0) }, fault.DecodeErrorAlert},
		{"a byte more", func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
		{"12 bytes, as in TLS 1.2", instead(withBody(wire.TypeFinished, make([]byte, 12)...)), fault.DecodeErrorAlert},
		{"nothing in it", instead(withBody(wire.TypeFinished)), fault.DecodeErrorAlert},
	} {
		clientRefuses(t, kind(wire.TypeFinished), row.door, row.want, "the server's Finished with "+row.story)

		p := newPair(t)
		p.clientDoors[kind(wire.TypeFinished)] = row.door
		p.run()
		expectAlert(t, p.s.err, row.want, "the client's Finished with %s", row.story)
		if p.s.core.Complete {
			t.Errorf("the client's Finished has %s and the server is through", row.story)
		}
	}
}

// "Handshake messages MUST NOT span key changes": RFC 9846, Section 5.1. What
// stands behind a message after which the keys change is under the old keys.
func TestMessagesThatSpanKeyChangesAreRefused(t *testing.T) {
	extra := withBody(wire.TypeEncryptedExtensions, 0, 0)
	for _, row := range []struct {
		story  string
		server bool // sends it
		on     kind
		behind []byte
	}{
		{"a message behind ServerHello", true, kind(wire.TypeServerHello), extra},
		{"a byte behind ServerHello", true, kind(wire.TypeServerHello), extra[:1]},
		{"a message behind the server's Finished", true, kind(wire.TypeFinished), extra},
		{"a byte behind the server's Finished", true, kind(wire.TypeFinished), extra[:1]},
		{"a message behind ClientHello", false, kind(wire.TypeClientHello), extra},
		{"a byte behind ClientHello", false, kind(wire.TypeClientHello), extra[:1]},
		{"a message behind the client's Finished", false, kind(wire.TypeFinished), extra},
		{"a byte behind the client's Finished", false, kind(wire.TypeFinished), extra[:1]},
	} {
		p := newPair(t)
		p.start()
		from, to := p.c, p.s
		if row.server {
			from, to = p.s, p.c
		}
		// The sender's records go one by one, so that what is behind a
		// message is put into the same one.
		for to.err == nil && (p.c.core.Out.Pending() || p.s.core.Out.Pending()) {
			for _, s := range []*side{p.c, p.s} {
				for s.core.Out.Pending() {
					rec := sealNext(s.core)
					if s != from {
						p.receive(p.other(s), rec)
						continue
					}
					p.behind(to, rec, row.on, row.behind)
				}
			}
		}
		expectReason(t, to.err, fault.MessageSpansKeyChange, "%s", row.story)
		expectAlert(t, to.err, fault.UnexpectedMessageAlert, "%s", row.story)
	}

	for _, name := range []string{"client", "server"} {
		for _, behind := range [][]byte{withBody(wire.TypeKeyUpdate, 0), {24}, {24, 0, 0, 1}} {
			p := newPair(t)
			p.complete()
			from := p.c
			if name == "server" {
				from = p.s
			}
			p.post(from, withBody(wire.TypeKeyUpdate, 0), behind)
			p.pump()
			expectReason(t, p.other(from).err, fault.MessageSpansKeyChange, "%d bytes behind a KeyUpdate of the %s", len(behind), name)
		}
	}
}

// behind gives a record to a side, with more behind the last message if that
// is of the kind given.
func (p *pair) behind(to *side, rec []byte, on kind, more []byte) {
	if to.err != nil || record.ContentType(rec[0]) == record.ChangeCipherSpec {
		return
	}
	_, content, err := to.core.In.Open(rec)
	if err != nil {
		to.err = err
		return
	}
	for rest := content; len(rest) >= wire.HeaderLen; {
		n := wire.HeaderLen + int(rest[1])<<16 + int(rest[2])<<8 + int(rest[3])
		if n == len(rest) && classify(rest).kind == on {
			content = append(bytes.Clone(content), more...)
		}
		rest = rest[n:]
	}
	to.err = p.messages(to, content)
}

// Messages of one flight may share records and be cut by them, as long as the
// keys stay: the smallest records, and all padding, are fine.
func TestFlightsInSmallRecords(t *testing.T) {
	for _, fragment := range []int{64, 65, 100, 1000} {
		p := newPair(t)
		p.clientPolicy.Fragment, p.serverPolicy.Fragment = fragment, fragment
		p.complete()
		p.works()
	}
	p := newPair(t)
	p.clientPolicy.PadBlock, p.serverPolicy.PadBlock = 1024, 64
	p.complete()
	p.works()
}
