package handshake

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// newMutualPair is a pair that authenticates both sides.
func newMutualPair(t testing.TB) *pair {
	t.Helper()
	p := newPair(t)
	p.serverPolicy.ClientAuth, p.serverPolicy.ClientCAs = tls.RequireAndVerifyClientCert, p.clientPolicy.Roots
	p.clientHas(tlstest.ClientLeaf(tlstest.ECDSAP256))
	return p
}

// clientHas makes certs the client's certificates.
func (p *pair) clientHas(certs ...tls.Certificate) {
	p.clientPolicy.Credentials = nil
	for _, cert := range certs {
		p.clientPolicy.Credentials = append(p.clientPolicy.Credentials, credential(p.t, cert))
	}
}

func TestClientsAuthenticateWithKeysOfAllTypes(t *testing.T) {
	for _, keys := range tlstest.Kinds {
		for _, retry := range []bool{false, true} {
			p := newMutualPair(t)
			if retry {
				p.serverPolicy.Groups = groups(tls.CurveP384)
			}
			cert := tlstest.ClientLeaf(keys)
			p.clientHas(cert)
			p.complete()
			p.works()
			f := p.server.Facts
			if len(f.PeerCertificates) != 2 || !bytes.Equal(f.PeerCertificates[0].Raw, cert.Certificate[0]) || len(f.VerifiedChains) != 1 ||
				!slices.Contains(p.clientPolicy.Credentials[0].Schemes, schemes(f.PeerScheme)[0]) {
				t.Errorf("%v, retry %v: of the client the server knows %+v", keys, retry, f)
			}
		}
	}
}

// What a server asks for and what a client has decide: crypto/tls's five.
func TestClientAuthTypes(t *testing.T) {
	const none, good, unknown, serverUsage = "none", "good", "of an unknown CA", "of a server"
	certs := map[string]tls.Certificate{
		good: tlstest.ClientLeaf(tlstest.ECDSAP256), unknown: tlstest.New(tlstest.Options{Client: true, UnknownCA: true}), serverUsage: tlstest.Leaf(tlstest.ECDSAP256),
	}
	for _, row := range []struct {
		auth                             tls.ClientAuthType
		none, good, unknown, serverUsage fault.Alert // fault.None: it is accepted
	}{
		{tls.NoClientCert, fault.None, fault.None, fault.None, fault.None},
		{tls.RequestClientCert, fault.None, fault.None, fault.None, fault.None},
		{tls.RequireAnyClientCert, fault.CertificateRequiredAlert, fault.None, fault.None, fault.None},
		{tls.VerifyClientCertIfGiven, fault.None, fault.None, fault.UnknownCAAlert, fault.UnsupportedCertificateAlert},
		{tls.RequireAndVerifyClientCert, fault.CertificateRequiredAlert, fault.None, fault.UnknownCAAlert, fault.UnsupportedCertificateAlert},
	} {
		for has, want := range map[string]fault.Alert{none: row.none, good: row.good, unknown: row.unknown, serverUsage: row.serverUsage} {
			p := newMutualPair(t)
			p.serverPolicy.ClientAuth = row.auth
			if p.clientHas(); has != none {
				p.clientHas(certs[has])
			}
			p.run()
			if p.c.err != nil || !p.client.Complete {
				t.Errorf("%v, certificate %s: the client does not get as far as its flight: %v", row.auth, has, p.c.err)
			}
			if want != fault.None {
				expectAlert(t, p.s.err, want, "%v, certificate %s", row.auth, has)
				if p.server.Complete || p.server.MayWrite || p.server.Facts.PeerCertificates != nil {
					t.Errorf("%v, certificate %s: the server has failed and goes on", row.auth, has)
				}
				continue
			}
			if p.s.err != nil || !p.server.Complete {
				t.Errorf("%v, certificate %s: it is refused: %v", row.auth, has, p.s.err)
				continue
			}
			f := p.server.Facts
			if asked := row.auth != tls.NoClientCert && has != none; (len(f.PeerCertificates) > 0) != asked {
				t.Errorf("%v, certificate %s: the server knows %d certificates", row.auth, has, len(f.PeerCertificates))
			}
			if verified := row.auth >= tls.VerifyClientCertIfGiven && has == good; (len(f.VerifiedChains) > 0) != verified {
				t.Errorf("%v, certificate %s: the server knows %d verified chains", row.auth, has, len(f.VerifiedChains))
			}
			p.works()
		}
	}
}

// A server that asks does not write before it knows who has answered, but for
// one that has been known since an earlier connection.
func TestAServerThatAsksWaits(t *testing.T) {
	p := newMutualPair(t)
	p.serverPolicy.HalfRTT = true
	p.keepSessions()
	for _, row := range []struct {
		at       string
		mayWrite bool
	}{{"WAIT_CERT", false}, {"WAIT_FINISHED", true}} {
		p.start()
		for p.c.core.Out.Pending() {
			p.receive(p.s, sealNext(p.c.core))
		}
		if p.server.State() != row.at || p.server.MayWrite != row.mayWrite {
			t.Errorf("in %s the server may write: %v, want %v in %s", p.server.State(), p.server.MayWrite, row.mayWrite, row.at)
		}
		p.pump()
	}
}

func TestTheJudgeOfClients(t *testing.T) {
	refusal := errors.New("not this client")
	for _, row := range []struct {
		story          string
		instead, after error
		refused        bool
	}{
		{"both accept", nil, nil, false},
		{"the first refuses", refusal, nil, true},
		{"the second refuses", nil, refusal, true},
	} {
		asked := 0
		judge := func(verdict error) func(*Verification) error {
			return func(v *Verification) error {
				asked++
				if len(v.Certificates) != 2 || v.ServerName != "example.com" || v.VerifiedChains != nil {
					t.Errorf("%s: the judge is shown %+v", row.story, v)
				}
				return verdict
			}
		}
		p := newMutualPair(t)
		p.clientHas(tlstest.New(tlstest.Options{Client: true, UnknownCA: true}))
		p.serverPolicy.Judge = Judge{Instead: judge(row.instead), After: judge(row.after)}
		p.run()
		if row.refused {
			expectReason(t, p.s.err, fault.CertificateRefused, "%s", row.story)
			if !errors.Is(p.s.err, refusal) {
				t.Errorf("%s: what the judge said is lost in %v", row.story, p.s.err)
			}
		} else if p.s.err != nil || asked != 2 {
			t.Errorf("%s: %d are asked, and the client is refused: %v", row.story, asked, p.s.err)
		}
	}
}

// A client answers with its first certificate that the request leaves a choice
// of: RFC 9846, Section 4.5.1.2.
func TestClientsChooseByTheRequest(t *testing.T) {
	own, ed, strange := tlstest.ClientLeaf(tlstest.ECDSAP256), tlstest.ClientLeaf(tlstest.Ed25519), tlstest.New(tlstest.Options{Client: true, UnknownCA: true})
	intermediate, err := x509.ParseCertificate(own.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	names := func(names ...[]byte) (a wire.Authorities) {
		for _, name := range names {
			a = wire.AppendAuthority(a, name)
		}
		return a
	}
	other := names(strange.Leaf.RawSubject)
	for _, row := range []struct {
		story       string
		has         []tls.Certificate
		authorities wire.Authorities
		schemes     []tls.SignatureScheme
		want        int // of has; -1: none
	}{
		{"nothing in particular is asked for", []tls.Certificate{own, ed}, nil, nil, 0},
		{"the client has none", nil, nil, nil, -1},
		{"the issuer of the leaf is named", []tls.Certificate{strange, own}, names(own.Leaf.RawIssuer), nil, 1},
		{"the issuer of the intermediate is named", []tls.Certificate{strange, own}, names(intermediate.RawIssuer), nil, 1},
		{"the issuer is the last one named", []tls.Certificate{strange, own}, names(ed.Leaf.RawSubject, own.Leaf.RawIssuer), nil, 1},
		{"nobody who is named has issued any", []tls.Certificate{own, ed}, other, nil, -1},
		{"the first one's key does not fit", []tls.Certificate{own, ed}, nil, []tls.SignatureScheme{tls.Ed25519}, 1},
		{"no key fits", []tls.Certificate{own}, nil, []tls.SignatureScheme{tls.Ed25519}, -1},
		{"one's key and another one's issuer fit", []tls.Certificate{strange, ed}, names(own.Leaf.RawIssuer), []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, -1},
	} {
		p := newMutualPair(t)
		p.serverPolicy.ClientAuth = tls.RequestClientCert
		p.serverPolicy.Authorities = row.authorities
		if row.schemes != nil {
			p.serverPolicy.Schemes = schemes(row.schemes...)
		}
		p.clientHas(row.has...)
		p.complete()
		got := p.server.Facts.PeerCertificates
		if row.want < 0 {
			if len(got) != 0 {
				t.Errorf("%s: the client answers with %v", row.story, got[0].Subject)
			}
		} else if len(got) == 0 || !bytes.Equal(got[0].Raw, row.has[row.want].Certificate[0]) {
			t.Errorf("%s: the client does not answer with certificate %d", row.story, row.want)
		}
	}
}

func TestTheApplicationPicksTheClientsCredential(t *testing.T) {
	refusal := errors.New("no identity")
	own := tlstest.ClientLeaf(tlstest.RSA2048)
	for _, row := range []struct {
		story string
		pick  *tls.Certificate
		err   error
	}{
		{"it picks one", &own, nil},
		{"it picks none", nil, nil},
		{"it refuses", nil, refusal},
	} {
		p := newMutualPair(t)
		p.serverPolicy.ClientAuth = tls.RequestClientCert
		p.serverPolicy.Authorities = wire.AppendAuthority(nil, []byte{0x30, 0})
		p.clientPolicy.Pick = func(cr *wire.CertificateRequest) (*Credential, error) {
			if !cr.SignatureAlgorithms.Contains(uint16(tls.PSSWithSHA256)) || !bytes.Equal(cr.CertificateAuthorities, p.serverPolicy.Authorities) {
				t.Errorf("%s: it is shown %+v", row.story, cr)
			}
			if row.pick == nil {
				return nil, row.err
			}
			return credential(t, *row.pick), row.err
		}
		p.run()
		if row.err != nil {
			expectAlert(t, p.c.err, fault.InternalError, "%s", row.story)
			if !errors.Is(p.c.err, refusal) {
				t.Errorf("%s: its error is lost in %v", row.story, p.c.err)
			}
			continue
		}
		// What it picks is sent, whoever issued it; the client's own list is not asked.
		if got := p.server.Facts.PeerCertificates; p.s.err != nil || (len(got) > 0) != (row.pick != nil) {
			t.Errorf("%s: the server knows %d certificates: %v", row.story, len(got), p.s.err)
		}
	}
}

// A Certificate of a client that a server does not take, and what it says.
func TestClientCertificatesThatAreRefused(t *testing.T) {
	leaf := tlstest.ClientLeaf(tlstest.ECDSAP256).Certificate
	expired := tlstest.New(tlstest.Options{Client: true, NotAfter: tlstest.NotBefore.AddDate(1, 0, 0)})
	unknown := chainOf(leaf[0])
	unknown[len(unknown)-1] = 4 // the entry's block, which is empty
	unknown = append(unknown, 0x0a, 0x0a, 0, 0)
	binary.BigEndian.PutUint16(unknown[6:], binary.BigEndian.Uint16(unknown[6:])+4) // the list
	unknown = wire.End(unknown, 0)
	for _, row := range []struct {
		story   string
		message []byte
		want    fault.Alert
	}{
		{"a context", wire.AppendCertificate(nil, []byte("x"), leaf, nil, nil), fault.IllegalParameterAlert},
		{"a context and no certificates", wire.AppendCertificate(nil, []byte("x"), nil, nil, nil), fault.IllegalParameterAlert},
		{"no certificates", chainOf(), fault.CertificateRequiredAlert},
		{"a stapled response, which was not asked for", wire.AppendCertificate(nil, nil, leaf, []byte("response"), nil), fault.UnsupportedExtensionAlert},
		{"SCTs, which were not asked for", wire.AppendCertificate(nil, nil, leaf, nil, [][]byte{[]byte("sct")}), fault.UnsupportedExtensionAlert},
		{"an unknown extension", unknown, fault.UnsupportedExtensionAlert},
		{"an empty certificate", chainOf(nil), fault.DecodeErrorAlert},
		{"bytes that are no certificate", chainOf([]byte("certificate")), fault.BadCertificateAlert},
		{"an intermediate that is no certificate", chainOf(leaf[0], []byte("certificate")), fault.BadCertificateAlert},
		{"a certificate that is cut", chainOf(leaf[0][:len(leaf[0])-1]), fault.BadCertificateAlert},
		{"an RSA key of 1024 bits", chainOf(rsaLeaf(t, 1024)), fault.BadCertificateAlert},
		{"an RSA key of 16384 bits", chainOf(rsaLeaf(t, 16384)), fault.BadCertificateAlert},
		{"an expired certificate", chainOf(expired.Certificate...), fault.CertificateExpiredAlert},
		{"no intermediate", chainOf(leaf[0]), fault.UnknownCAAlert},
		{"a byte behind its end", wire.End(append(chainOf(leaf...), 0), 0), fault.DecodeErrorAlert},
		{"nothing in it", withBody(wire.TypeCertificate), fault.DecodeErrorAlert},
	} {
		p := newMutualPair(t)
		p.clientDoors[kind(wire.TypeCertificate)] = instead(row.message)
		p.run()
		expectAlert(t, p.s.err, row.want, "a client's Certificate with %s", row.story)
		if p.server.State() != "WAIT_CERT" || p.server.Facts.PeerCertificates != nil || p.server.Facts.VerifiedChains != nil {
			t.Errorf("a client's Certificate with %s: the server goes on to %s", row.story, p.server.State())
		}
	}
}

// The proof has to be of the certificate's key, over this handshake, by a
// client, with a scheme of the request: RFC 9846, Section 4.5.2.
func TestClientCertificateVerifysThatAreRefused(t *testing.T) {
	sign := func(c *Credential, context string) func(p *pair) func([]byte) []byte {
		return func(p *pair) func([]byte) []byte {
			return func([]byte) []byte {
				signature, err := c.Schemes[0].Sign(c.Key, p.clientPolicy.Rand, p.client.signedContent(context))
				must(err)
				cv := wire.CertificateVerify{Algorithm: uint16(c.Schemes[0].ID), Signature: signature}
				return cv.Append(nil)
			}
		}
	}
	edit := func(edit func(cv *wire.CertificateVerify)) func(p *pair) func([]byte) []byte {
		return func(*pair) func([]byte) []byte { return editCertificateVerify(edit) }
	}
	own := tlstest.ClientLeaf(tlstest.ECDSAP256)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong := *credential(t, own)
	wrong.Key = other
	for _, row := range []struct {
		story string
		door  func(p *pair) func([]byte) []byte
		want  fault.Alert
	}{
		{"a signature by another key of the type", sign(&wrong, clientContext), fault.DecryptErrorAlert},
		{"a signature by a key of another type", sign(credential(t, tlstest.ClientLeaf(tlstest.Ed25519)), clientContext), fault.IllegalParameterAlert},
		{"a signature by a key of another curve", sign(credential(t, tlstest.ClientLeaf(tlstest.ECDSAP384)), clientContext), fault.IllegalParameterAlert},
		{"a server's context", sign(credential(t, own), serverContext), fault.DecryptErrorAlert},
		{"a bit of the signature flipped", edit(func(cv *wire.CertificateVerify) { cv.Signature[len(cv.Signature)-1] ^= 1 }), fault.DecryptErrorAlert},
		{"no signature", edit(func(cv *wire.CertificateVerify) { cv.Signature = nil }), fault.DecryptErrorAlert},
		{"a scheme that was not in the request", edit(func(cv *wire.CertificateVerify) { cv.Algorithm = uint16(tls.ECDSAWithSHA1) }), fault.IllegalParameterAlert},
		{"PKCS #1 v1.5", edit(func(cv *wire.CertificateVerify) { cv.Algorithm = uint16(tls.PKCS1WithSHA256) }), fault.IllegalParameterAlert},
		{"a byte behind its end", func(*pair) func([]byte) []byte {
			return func(m []byte) []byte { return wire.End(append(m, 0), 0) }
		}, fault.DecodeErrorAlert},
		{"nothing in it", func(*pair) func([]byte) []byte { return instead(withBody(wire.TypeCertificateVerify)) }, fault.DecodeErrorAlert},
		{"nothing instead of it", func(*pair) func([]byte) []byte { return instead() }, fault.UnexpectedMessageAlert},
		{"another Certificate instead of it", func(*pair) func([]byte) []byte { return instead(chainOf(own.Certificate...)) }, fault.UnexpectedMessageAlert},
	} {
		p := newMutualPair(t)
		p.clientDoors[kind(wire.TypeCertificateVerify)] = row.door(p)
		p.run()
		expectAlert(t, p.s.err, row.want, "a client's CertificateVerify with %s", row.story)
		if p.server.Complete || p.server.Facts.PeerCertificates != nil {
			t.Errorf("a client's CertificateVerify with %s: the certificate is a fact", row.story)
		}
	}
}

// Messages of a client that are well-formed where they do not belong.
func TestClientAuthenticationOutOfPlace(t *testing.T) {
	certificate := chainOf(tlstest.ClientLeaf(tlstest.ECDSAP256).Certificate...)
	for _, row := range []struct {
		story string
		start func(t testing.TB) *pair
		on    kind
		door  func([]byte) []byte
	}{
		{"a Certificate that was not asked for", newPair, kind(wire.TypeFinished), func(m []byte) []byte { return append(bytes.Clone(certificate), m...) }},
		{"an empty Certificate that was not asked for", newPair, kind(wire.TypeFinished), func(m []byte) []byte { return append(chainOf(), m...) }},
		{"no Certificate", newMutualPair, kind(wire.TypeCertificate), instead()},
		{"a CertificateVerify behind an empty Certificate", func(t testing.TB) *pair {
			p := newMutualPair(t)
			p.serverPolicy.ClientAuth = tls.VerifyClientCertIfGiven
			return p
		}, kind(wire.TypeCertificate), instead(chainOf())},
		{"a Certificate in a resumed handshake", newResumingPair, kind(wire.TypeFinished), func(m []byte) []byte { return append(bytes.Clone(certificate), m...) }},
	} {
		p := row.start(t)
		p.clientDoors[row.on] = row.door
		p.run()
		expectReason(t, p.s.err, fault.UnexpectedMessage, "%s", row.story)
		if p.server.Complete {
			t.Errorf("%s: the server is through", row.story)
		}
	}
}

// A session stands for a client's certificates, as long as they would still be
// accepted: by the policy of today (CVE-2025-68121).
func TestResumptionOfClientsIsJudgedAgain(t *testing.T) {
	strangers := x509.NewCertPool()
	for _, row := range []struct {
		story  string
		change func(p *pair)
		want   Kind
	}{
		{"nothing has changed", func(*pair) {}, KindResumed},
		{"certificates are only asked for by now", func(p *pair) { p.serverPolicy.ClientAuth = tls.RequestClientCert }, KindResumed},
		{"nobody is asked any more", func(p *pair) { p.serverPolicy.ClientAuth = tls.NoClientCert }, KindFull},
		{"the authorities have changed", func(p *pair) {
			p.serverPolicy.ClientCAs = strangers
			p.serverPolicy.ClientAuth = tls.RequireAndVerifyClientCert
		}, KindUnknown},
		{"the authorities have changed, and nobody verifies", func(p *pair) {
			p.serverPolicy.ClientCAs = strangers
			p.serverPolicy.ClientAuth = tls.RequireAnyClientCert
		}, KindResumed},
		{"the certificate has expired", func(p *pair) {
			p.clientHas() // it would not be accepted in a full handshake either
			p.serverPolicy.ClientAuth = tls.VerifyClientCertIfGiven
			p.box.edit(func(s *Session) {
				s.PeerChain = tlstest.New(tlstest.Options{Client: true, NotAfter: tlstest.NotBefore.AddDate(1, 0, 0)}).Certificate
			})
		}, KindFull},
		{"the application refuses the client by now", func(p *pair) {
			n := 0
			p.serverPolicy.Judge.After = func(v *Verification) error {
				if n++; n == 1 {
					return errors.New("not any more")
				}
				return nil
			}
		}, KindFull},
		{"the session's certificates do not parse", func(p *pair) {
			p.box.edit(func(s *Session) { s.PeerChain = [][]byte{[]byte("certificate")} })
		}, KindFull},
		{"the session is without certificates", func(p *pair) {
			p.box.edit(func(s *Session) { s.PeerChain = nil })
		}, KindFull},
	} {
		p := newMutualPair(t)
		p.keepSessions()
		p.complete()
		first := p.server.Facts
		row.change(p)
		if row.want == KindUnknown {
			p.run()
			expectAlert(t, p.s.err, fault.UnknownCAAlert, "%s", row.story)
			if p.server.Facts.Kind != KindFull {
				t.Errorf("%s: the handshake is of kind %v", row.story, p.server.Facts.Kind)
			}
			continue
		}
		p.complete()
		p.works()
		if p.kinds() != both(row.want) {
			t.Errorf("%s: the handshake is of kinds %v, want %v", row.story, p.kinds(), row.want)
		}
		f := p.server.Facts
		if row.want == KindResumed {
			if len(f.PeerCertificates) != 2 || !f.PeerCertificates[0].Equal(first.PeerCertificates[0]) || f.PeerScheme != first.PeerScheme {
				t.Errorf("%s: of the client the server knows %+v", row.story, f)
			}
			if verifies := p.serverPolicy.ClientAuth >= tls.VerifyClientCertIfGiven; (len(f.VerifiedChains) > 0) != verifies {
				t.Errorf("%s: the server knows %d verified chains", row.story, len(f.VerifiedChains))
			}
		}
	}
}

// A session that is passed over leaves nothing behind that the handshake which
// follows has not proved.
func TestASessionPassedOverIsNoFact(t *testing.T) {
	p := newMutualPair(t)
	p.keepSessions()
	p.complete()
	p.serverPolicy.ClientAuth = tls.VerifyClientCertIfGiven
	p.clientHas()
	p.box.edit(func(s *Session) { s.Policy[0] ^= 1 })
	p.complete()
	if f := p.server.Facts; f.Kind != KindFull || f.PeerCertificates != nil || f.VerifiedChains != nil || f.PeerScheme != 0 {
		t.Errorf("of a client without a certificate the server knows %+v", f)
	}

	// A judge of today that accepts, and a ticket whose binder is wrong.
	p = newMutualPair(t)
	p.keepSessions()
	p.complete()
	p.clientDoors[kind(wire.TypeClientHello)] = func(m []byte) []byte { m[len(m)-1] ^= 1; return m }
	p.run()
	expectReason(t, p.s.err, fault.BadBinder, "a session with a wrong binder")
	if f := p.server.Facts; f.PeerCertificates != nil || f.VerifiedChains != nil {
		t.Errorf("of a client with a wrong binder the server knows %+v", f)
	}
}

// 0-RTT data of a client that was authenticated is that client's, and the
// facts say so when it is read.
func TestEarlyDataOfAnAuthenticatedClient(t *testing.T) {
	p := newMutualPair(t)
	p.allowEarlyData()
	p.complete()
	p.start()
	p.writeEarly(p.early)
	if f := p.server.Facts; p.server.State() != "WAIT_EOED" || len(f.PeerCertificates) != 2 || len(f.VerifiedChains) != 1 {
		t.Errorf("in %s the server knows %+v", p.server.State(), f)
	}
	p.pump()
	p.works()
	if got := p.kinds(); got != both(KindResumed) || string(p.s.early) != string(p.early) {
		t.Errorf("the handshake is of kinds %v, and there came %q", got, p.s.early)
	}
}

// Verification is by the policy's clock, on every connection.
func TestClientsAreVerifiedByTheClock(t *testing.T) {
	p := newMutualPair(t)
	p.serverPolicy.Now = func() time.Time { return tlstest.NotAfter.AddDate(1, 0, 0) }
	p.run()
	expectAlert(t, p.s.err, fault.CertificateExpiredAlert, "a client's certificate, years later")
}
