package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// A shelf is where a client keeps sessions. The latest is taken first.
type shelf map[string][]*Session

func (s shelf) Put(key string, session *Session) { s[key] = append(s[key], session) }

func (s shelf) Take(key string) *Session {
	last := len(s[key]) - 1
	if last < 0 {
		return nil
	}
	session := s[key][last]
	s[key] = s[key][:last]
	return session
}

// A ticketBox keeps the sessions of a server; a ticket is the place of one.
type ticketBox struct {
	sessions [][]byte
	stateful bool              // it keeps sessions of TLS 1.2 under their IDs
	kept     map[string][]byte // these
	removed  map[string]bool   // tickets that were used up, if it is stateful
	slow     bool              // another connection is always there first
	redeemed int               // how often that was tried
	handed   [][]byte          // the sessions that were handed out
	full     error
}

func (b *ticketBox) Issue(session []byte, _ time.Time) ([]byte, error) {
	if b.full != nil {
		return nil, b.full
	}
	b.sessions = append(b.sessions, bytes.Clone(session))
	return fmt.Appendf(nil, "ticket %d", len(b.sessions)), nil
}

func (b *ticketBox) Redeem(ticket []byte) []byte {
	b.redeemed++
	if b.removed[string(ticket)] {
		return nil
	}
	if session := bytes.Clone(b.kept[string(ticket)]); b.stateful && session != nil {
		b.handed = append(b.handed, session)
		return session
	}
	var n int
	if _, err := fmt.Sscanf(string(ticket), "ticket %d", &n); err != nil || n < 1 || n > len(b.sessions) || string(ticket) != fmt.Sprint("ticket ", n) {
		return nil
	}
	session := bytes.Clone(b.sessions[n-1])
	b.handed = append(b.handed, session)
	return session
}

func (b *ticketBox) Stateful() bool { return b.stateful }

func (b *ticketBox) Remove(ticket []byte) bool {
	if b.slow || b.removed[string(ticket)] {
		return false
	}
	if b.removed == nil {
		b.removed = map[string]bool{}
	}
	b.removed[string(ticket)] = true
	return true
}

func (b *ticketBox) Keep(id, session []byte, _ time.Time) {
	if b.kept == nil {
		b.kept = map[string][]byte{}
	}
	b.kept[string(id)] = bytes.Clone(session)
}

// wantForgotten checks that no secret is left in a session that was handed out,
// whether it was used or passed over.
func (b *ticketBox) wantForgotten(t testing.TB, story string) {
	t.Helper()
	for _, encoded := range b.handed {
		if s, err := ParseSession(encoded); err == nil && !bytes.Equal(s.PSK, make([]byte, len(s.PSK))) {
			t.Errorf("%s: the server leaves the secret of the session in memory", story)
		}
	}
}

// edit changes the latest session, as if it had been issued that way.
func (b *ticketBox) edit(edit func(s *Session)) {
	last := len(b.sessions) - 1
	s, err := ParseSession(b.sessions[last])
	must(err)
	edit(s)
	b.sessions[last] = s.Append(nil)
}

// keepSessions lets both sides resume.
func (p *pair) keepSessions() {
	p.shelf, p.box = shelf{}, new(ticketBox)
	p.clientPolicy.Sessions, p.serverPolicy.Tickets = p.shelf, p.box
	p.serverPolicy.TicketCount, p.serverPolicy.TicketLifetime = 1, time.Hour
}

// newResumingPair is a pair that has been connected. If nothing changes, the
// next connection resumes.
func newResumingPair(t testing.TB) *pair {
	t.Helper()
	p := newPair(t)
	p.keepSessions()
	p.complete()
	return p
}

// held are the sessions that the client has of the server, the latest last.
func (p *pair) held() []*Session { return p.shelf["example.com"] }

// clone keeps a session that a connection would use up.
func (s *Session) clone() *Session {
	c := *s
	c.PSK = bytes.Clone(s.PSK)
	return &c
}

// kinds tells how a handshake went in a failing test.
func (p *pair) kinds() [2]Kind { return [2]Kind{p.client.Facts.Kind, p.server.Facts.Kind} }

func both(k Kind) [2]Kind { return [2]Kind{k, k} }

func TestConnectionsAreResumed(t *testing.T) {
	for _, suite := range suitesOf(tls.VersionTLS13) {
		for _, retry := range []bool{false, true} {
			for _, cookie := range []bool{false, true} {
				p := newPair(t)
				p.keepSessions()
				p.clientPolicy.Suites = suites(suite)
				p.clientPolicy.Protocols, p.serverPolicy.Protocols = []string{"h2"}, []string{"h2"}
				cert := tlstest.Leaf(tlstest.ECDSAP256)
				cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("response"), [][]byte{[]byte("sct")}
				p.only(cert)
				p.complete()
				first := p.client.Facts
				want := both(KindResumed)
				if retry {
					p.serverPolicy.Groups = groups(tls.CurveP384)
				}
				if cookie {
					p.serverPolicy.CookieKey = cookieKey
				}
				if retry || cookie {
					want = both(KindResumedWithRetry)
				}
				for n := range 3 { // each resumption leads to the next
					p.complete()
					p.works()
					if got := p.kinds(); got != want {
						t.Fatalf("%#04x, retry %v, cookie %v, resumption %d: of kinds %v, want %v", suite, retry, cookie, n+1, got, want)
					}
				}
				f := p.client.Facts
				if !slices.EqualFunc(f.PeerCertificates, first.PeerCertificates, (*x509.Certificate).Equal) || len(f.PeerCertificates) != 2 ||
					len(f.VerifiedChains) != 1 || f.PeerScheme != first.PeerScheme || string(f.OCSPResponse) != "response" || len(f.SCTs) != 1 {
					t.Errorf("%#04x: a client that resumes knows of the server %+v", suite, f)
				}
				if p.client.ALPN() != "h2" || f.Suite != suite || f.Tickets != 1 || f.EarlyData != EarlyDataNone {
					t.Errorf("%#04x: a client that resumes has the facts %+v", suite, f)
				}
			}
		}
	}
}

// With a PSK of one hash only suites of that hash can be agreed on; the suite
// itself may be another.
func TestTheSuiteOfAResumptionMayBeAnotherOfTheHash(t *testing.T) {
	const aes128, aes256, chacha = tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256
	for _, row := range []struct {
		first, second uint16
		retry         bool
		want          Kind
	}{
		{aes128, chacha, false, KindResumed},
		{chacha, aes128, false, KindResumed},
		{aes128, aes256, false, KindFull},
		{aes256, aes128, false, KindFull},
		{aes128, chacha, true, KindResumedWithRetry},
		{aes128, aes256, true, KindFullWithRetry},
		{aes256, chacha, true, KindFullWithRetry},
	} {
		p := newPair(t)
		p.keepSessions()
		p.serverPolicy.Suites = suites(row.first)
		p.complete()
		p.serverPolicy.Suites = suites(row.second)
		if row.retry {
			p.serverPolicy.Groups = groups(tls.CurveP384)
		}
		var hellos []wire.ClientHello
		p.tap = func(to *side, m []byte) []byte {
			if classify(m).kind == kind(wire.TypeClientHello) {
				var h wire.ClientHello
				must(h.Parse(bytes.Clone(m)[wire.HeaderLen:]))
				hellos = append(hellos, h)
			}
			return m
		}
		p.complete()
		p.works()
		if got := p.kinds(); got != both(row.want) || p.client.Facts.Suite != row.second {
			t.Errorf("from %#04x to %#04x, retry %v: of kinds %v with %#04x, want %v", row.first, row.second, row.retry, got, p.client.Facts.Suite, row.want)
		}
		// "The client … SHOULD NOT offer any pre-shared keys associated with a
		// hash other than that of the selected cipher suite" after a retry.
		if row.retry && hellos[1].Has.Has(wire.ExtPreSharedKey) != (row.want == KindResumedWithRetry) {
			t.Errorf("from %#04x to %#04x: the second hello offers the PSK: %v", row.first, row.second, hellos[1].Has.Has(wire.ExtPreSharedKey))
		}
	}
}

// What a server does not want to resume it passes over: the handshake is full.
func TestSessionsThatAServerPassesOver(t *testing.T) {
	none := func(*pair) {}
	edit := func(edit func(s *Session)) func(p *pair) {
		return func(p *pair) { p.box.edit(edit) }
	}
	for _, row := range []struct {
		story  string
		change func(p *pair)
		want   Kind
	}{
		{"nothing has changed", none, KindResumed},
		{"the ticket is unknown", func(p *pair) { p.box.sessions = nil }, KindFull},
		{"the ticket's session is no session", func(p *pair) { p.box.sessions[0] = []byte("session") }, KindFull},
		{"the ticket's session is cut", func(p *pair) { p.box.sessions[0] = p.box.sessions[0][1:] }, KindFull},
		{"the server does not resume any more", func(p *pair) { p.serverPolicy.Tickets = nil }, KindFull},
		{"the session is of another name", edit(func(s *Session) { s.ServerName = "example.net" }), KindFull},
		{"the session is of no name", edit(func(s *Session) { s.ServerName = "" }), KindFull},
		{"the session is of another policy", func(p *pair) { p.serverPolicy.Digest[31] ^= 1 }, KindFull},
		{"the session is of another hash", edit(func(s *Session) {
			s.Suite, s.PSK = tls.TLS_AES_256_GCM_SHA384, make([]byte, 48)
		}), KindFull},
		{"the session has expired", edit(func(s *Session) {
			s.Lifetime = time.Second
			s.Created = s.Created.Add(-time.Minute)
			s.Origin = s.Created
		}), KindFull},
		{"the session is from the future", edit(func(s *Session) { s.Created = s.Created.Add(time.Minute) }), KindFull},
		{"the session is from the future by what clocks differ", edit(func(s *Session) { s.Created = s.Created.Add(5 * time.Second) }), KindResumed},
		{"its certificates were seen more than seven days ago", edit(func(s *Session) { s.Origin = s.Origin.Add(-MaxLifetime - time.Second) }), KindFull},
		{"its certificates were seen less than seven days ago", edit(func(s *Session) { s.Origin = s.Origin.Add(-MaxLifetime + time.Minute) }), KindResumed},
		{"a client certificate is required by now", func(p *pair) {
			p.serverPolicy.ClientAuth = tls.RequireAnyClientCert
			p.clientPolicy.Credentials = []*Credential{credential(p.t, tlstest.ClientLeaf(tlstest.ECDSAP256))}
		}, KindFull},
		{"a client certificate is asked for by now", func(p *pair) { p.serverPolicy.ClientAuth = tls.VerifyClientCertIfGiven }, KindResumed},
		{"the client has psk_ke only", func(p *pair) {
			p.clientDoors[kind(wire.TypeClientHello)] = editClientHello(func(h *wire.ClientHello) { h.PSKKeyExchangeModes = []byte{0} })
		}, KindFull},
	} {
		p := newResumingPair(t)
		p.box.edit(func(s *Session) { s.AppData = []byte("data") })
		row.change(p)
		p.complete()
		p.works()
		if got := p.kinds(); got != both(row.want) {
			t.Errorf("%s: of kinds %v, want %v", row.story, got, row.want)
		}
		if got := string(p.server.ResumptionData()); (got == "data") != (row.want == KindResumed) {
			t.Errorf("%s: of the session comes back %q", row.story, got)
		}
		p.box.wantForgotten(t, row.story)
	}
}

// And what a client does not want it does not offer.
func TestSessionsThatAClientPassesOver(t *testing.T) {
	last := func(p *pair) *Session { return p.held()[0] }
	for _, row := range []struct {
		story   string
		change  func(p *pair)
		offered bool
	}{
		{"nothing has changed", func(*pair) {}, true},
		{"it is of another name", func(p *pair) { last(p).ServerName = "example.net" }, false},
		{"its PSK was used up", func(p *pair) { last(p).Clear() }, false},
		{"it has expired", func(p *pair) { last(p).Created = last(p).Created.Add(-time.Hour) }, false},
		{"it has not expired yet", func(p *pair) { last(p).Created = last(p).Created.Add(-time.Hour + time.Minute) }, true},
		{"the server's certificates were seen more than seven days ago", func(p *pair) { last(p).Origin = last(p).Origin.Add(-MaxLifetime) }, false},
		{"no suite is of its hash", func(p *pair) { p.clientPolicy.Suites = suites(tls.TLS_AES_256_GCM_SHA384) }, false},
		{"another suite is of its hash", func(p *pair) { p.clientPolicy.Suites = suites(tls.TLS_CHACHA20_POLY1305_SHA256) }, true},
		{"the server's chain has expired", func(p *pair) {
			p.clientPolicy.Now = func() time.Time { return tlstest.NotAfter.AddDate(2, 0, 0) }
			last(p).Created, last(p).Origin = p.clientPolicy.Now(), p.clientPolicy.Now()
		}, false},
		{"it came from a store and its chain verifies", func(p *pair) { last(p).peer = nil }, true},
		{"it came from a store and its chain does not verify", func(p *pair) {
			last(p).peer = nil
			p.clientPolicy.Roots = x509.NewCertPool()
		}, false},
		{"it came from a store and its chain is of another name", func(p *pair) {
			last(p).peer = nil
			last(p).PeerChain = tlstest.Leaf(tlstest.ECDSAP256, "example.net").Certificate
		}, false},
		{"it came from a store and its chain does not parse", func(p *pair) {
			last(p).peer = nil
			last(p).PeerChain = [][]byte{[]byte("certificate")}
		}, false},
		{"the application refuses the server by now", func(p *pair) {
			p.clientPolicy.Judge.After = func(*Verification) error { return errors.New("not any more") }
		}, false},
		{"the application judges instead, and refuses", func(p *pair) {
			p.clientPolicy.Judge.Instead = func(*Verification) error { return errors.New("not any more") }
		}, false},
		{"the application judges instead, and accepts", func(p *pair) {
			p.clientPolicy.Judge.Instead = func(v *Verification) error {
				if len(v.Certificates) != 2 || v.VerifiedChains != nil || v.ServerName != "example.com" {
					p.t.Errorf("the judge of a session is shown %+v", v)
				}
				return nil
			}
		}, true},
	} {
		p := newResumingPair(t)
		row.change(p)
		p.start()
		if got := p.client.hello.Has.Has(wire.ExtPreSharedKey); got != row.offered {
			t.Errorf("%s: the session is offered: %v, want %v", row.story, got, row.offered)
		}
		if f := p.client.Facts; f.VerifiedChains != nil || f.PeerCertificates != nil || f.OCSPResponse != nil {
			t.Errorf("%s: what is known of another connection is a fact before this one is resumed", row.story)
		}
		if p.pump(); row.offered && p.client.Facts.Kind != KindResumed {
			t.Errorf("%s: the handshake is of kind %v: %v", row.story, p.client.Facts.Kind, p.c.err)
		}
	}
}

// A store may hand out anything that parses: a session without a server's
// certificate is one that nobody can be judged by.
func TestASessionWithoutCertificatesIsNotOffered(t *testing.T) {
	p := newResumingPair(t)
	s := p.held()[0]
	s.PeerChain = nil
	if parsed, err := ParseSession(s.Append(nil)); err == nil {
		p.shelf["example.com"] = []*Session{parsed}
	}
	p.start()
	if p.client.hello.Has.Has(wire.ExtPreSharedKey) {
		t.Error("a session without certificates is offered")
	}
}

func TestSessionsAreUsedOnce(t *testing.T) {
	p := newResumingPair(t)
	s := p.held()[0]
	psk := s.PSK
	p.serverPolicy.TicketCount = 0
	p.complete()
	if len(p.held()) != 0 {
		t.Error("the session is still on the shelf")
	}
	if s.PSK != nil || !bytes.Equal(psk, make([]byte, 32)) {
		t.Error("the PSK of a session that was used up is still in memory")
	}
	if p.complete(); p.kinds() != both(KindFull) {
		t.Errorf("a third connection is of kinds %v", p.kinds())
	}
}

// The hellos that a client with a session should not send.
func TestResumingHellosThatAreRefused(t *testing.T) {
	edit := editClientHello
	for _, row := range []struct {
		story string
		edit  func([]byte) []byte
		want  fault.Alert
	}{
		{"pre_shared_key that is not last", addToHello(0x0a0a), fault.IllegalParameterAlert},
		{"pre_shared_key in front of padding", addToHello(wire.ExtPadding.Code(), 0, 0), fault.IllegalParameterAlert},
		{"a binder more than identities", edit(func(h *wire.ClientHello) {
			h.PreSharedKey.Binders = slices.Concat(h.PreSharedKey.Binders, h.PreSharedKey.Binders)
		}), fault.IllegalParameterAlert},
		{"an identity more than binders", edit(func(h *wire.ClientHello) {
			h.PreSharedKey.Identities = slices.Concat(h.PreSharedKey.Identities, h.PreSharedKey.Identities)
		}), fault.IllegalParameterAlert},
		{"a binder with its last bit flipped", func(m []byte) []byte { m[len(m)-1] ^= 1; return m }, fault.DecryptErrorAlert},
		{"a binder with its first bit flipped", func(m []byte) []byte { m[len(m)-32] ^= 0x80; return m }, fault.DecryptErrorAlert},
		{"a binder of zeros", edit(func(h *wire.ClientHello) { h.PreSharedKey.Binders = wire.AppendPSKBinder(nil, make([]byte, 32)) }), fault.DecryptErrorAlert},
		{"a binder that is a byte long", edit(func(h *wire.ClientHello) {
			h.PreSharedKey.Binders = wire.AppendPSKBinder(nil, append(h.PreSharedKey.Binders[1:33:33], 0))
		}), fault.DecryptErrorAlert},
		{"a binder that is a byte short", edit(func(h *wire.ClientHello) {
			h.PreSharedKey.Binders = wire.AppendPSKBinder(nil, h.PreSharedKey.Binders[1:32])
		}), fault.DecodeErrorAlert},
		{"no binders", edit(func(h *wire.ClientHello) { h.PreSharedKey.Binders = nil }), fault.DecodeErrorAlert},
		{"no identities", edit(func(h *wire.ClientHello) { h.PreSharedKey.Identities = nil }), fault.DecodeErrorAlert},
		{"an empty identity", edit(func(h *wire.ClientHello) { h.PreSharedKey.Identities = wire.AppendPSKIdentity(nil, nil, 0) }), fault.DecodeErrorAlert},
		{"no psk_key_exchange_modes", without(wire.ExtPSKKeyExchangeModes), fault.MissingExtensionAlert},
		// A client of psk_ke has no need of them; we do: Section 4.2.1.
		{"neither supported_groups nor key_share", without(wire.ExtSupportedGroups, wire.ExtKeyShare), fault.HandshakeFailureAlert},
		{"supported_groups without key_share", without(wire.ExtKeyShare), fault.MissingExtensionAlert},
		{"psk_key_exchange_modes without a mode", edit(func(h *wire.ClientHello) { h.PSKKeyExchangeModes = nil }), fault.DecodeErrorAlert},
		{"another random", edit(func(h *wire.ClientHello) { h.Random = make([]byte, 32) }), fault.DecryptErrorAlert},
		{"another age of the ticket", edit(func(h *wire.ClientHello) {
			for ticket, age := range h.PreSharedKey.Identities.All() {
				h.PreSharedKey.Identities = wire.AppendPSKIdentity(nil, ticket, age+1)
				break
			}
		}), fault.DecryptErrorAlert},
		{"early_data put in", addEarlyData, fault.DecryptErrorAlert},
	} {
		p := newResumingPair(t)
		p.serverGets(1, row.edit)
		expectAlert(t, p.s.err, row.want, "a resuming hello with %s", row.story)
		if p.s.core.Out.Pending() || p.server.earlyExporter.Set() {
			t.Errorf("a resuming hello with %s: there is an answer", row.story)
		}
	}
}

// addEarlyData adds early_data where it stands in a hello of ours.
func addEarlyData(m []byte) []byte {
	return editClientHello(func(h *wire.ClientHello) { h.Has = h.Has.With(wire.ExtEarlyData) })(m)
}

// A binder "forms a binding between a PSK and the current handshake" (Section
// 4.3.11.2): no byte of a resuming hello can be changed so that it still resumes.
func TestEveryByteOfAResumingHelloIsBound(t *testing.T) {
	p := newPair(t)
	p.keepSessions()
	p.clientPolicy.Groups = groups(tls.X25519)
	p.complete()
	p.start()
	hello := bytes.Clone(p.client.Out.Buffer())
	resumes := func(m []byte) bool {
		var s Server
		s.Init(&p.serverPolicy)
		return s.Handle(m) == nil && s.Facts.Kind == KindResumed
	}
	if !resumes(bytes.Clone(hello)) {
		t.Fatal("the hello as it is does not resume")
	}
	for i := wire.HeaderLen; i < len(hello); i++ {
		for _, flip := range []byte{0x01, 0x80} {
			m := bytes.Clone(hello)
			if m[i] ^= flip; resumes(m) {
				t.Errorf("with byte %d of the hello changed by %#02x the connection resumes", i, flip)
			}
		}
	}
}

// What a server that resumes should not send.
func TestResumptionsThatAClientRefuses(t *testing.T) {
	sh, ee := kind(wire.TypeServerHello), kind(wire.TypeEncryptedExtensions)
	leaf := tlstest.Leaf(tlstest.ECDSAP256).Certificate
	behind := func(m []byte) func([]byte) []byte { return func(e []byte) []byte { return append(e, m...) } }
	for _, row := range []struct {
		story string
		on    kind
		door  func([]byte) []byte
		want  fault.Alert
	}{
		{"selected_identity 1 of one", sh, editServerHello(func(h *wire.ServerHello) { h.SelectedIdentity = 1 }), fault.IllegalParameterAlert},
		{"selected_identity 65535", sh, editServerHello(func(h *wire.ServerHello) { h.SelectedIdentity = 65535 }), fault.IllegalParameterAlert},
		{"a suite of another hash than the PSK's", sh, editServerHello(func(h *wire.ServerHello) { h.CipherSuite = tls.TLS_AES_256_GCM_SHA384 }), fault.IllegalParameterAlert},
		{"the PSK without a key exchange", sh, editServerHello(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtKeyShare) }), fault.IllegalParameterAlert},
		{"pre_shared_key twice", sh, func(m []byte) []byte { return addExtension(m, blockOf(m), 41, 0, 0) }, fault.IllegalParameterAlert},
		{"pre_shared_key of one byte", sh, func(m []byte) []byte {
			m = editServerHello(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtPreSharedKey) })(m)
			return addExtension(m, blockOf(m), 41, 0)
		}, fault.DecodeErrorAlert},
		{"early_data, which was not offered", ee, editEncryptedExtensions(func(m *wire.EncryptedExtensions) { m.Has = m.Has.With(wire.ExtEarlyData) }), fault.UnsupportedExtensionAlert},
		{"a Certificate", ee, behind(chainOf(leaf...)), fault.UnexpectedMessageAlert},
		{"a CertificateRequest", ee, behind(certificateRequest()), fault.UnexpectedMessageAlert},
		{"a CertificateVerify", ee, behind(withBody(wire.TypeCertificateVerify, 4, 3, 0, 0)), fault.UnexpectedMessageAlert},
		{"an EndOfEarlyData", ee, behind(withBody(wire.TypeEndOfEarlyData)), fault.UnexpectedMessageAlert},
		{"a wrong Finished", kind(wire.TypeFinished), func(m []byte) []byte { m[len(m)-1] ^= 1; return m }, fault.DecryptErrorAlert},
	} {
		p := newResumingPair(t)
		p.serverDoors[row.on] = row.door
		p.run()
		expectAlert(t, p.c.err, row.want, "a resumption with %s", row.story)
		if p.client.Complete {
			t.Errorf("a resumption with %s: the client is through", row.story)
		}
	}

	p := newResumingPair(t)
	p.serverDoors[sh] = editServerHello(func(h *wire.ServerHello) { h.CipherSuite = tls.TLS_AES_256_GCM_SHA384 })
	if p.run(); p.client.clientHandshake != nil && p.client.resumed {
		t.Error("a PSK with a suite of another hash counts as resumed")
	}
}

// A client that has dropped its PSK for the retry's suite does not take it.
func TestAPSKThatWasWithdrawnIsUnsolicited(t *testing.T) {
	p := newResumingPair(t)
	p.serverPolicy.Suites, p.serverPolicy.Groups = suites(tls.TLS_AES_256_GCM_SHA384), groups(tls.CurveP384)
	p.serverDoors[kind(wire.TypeServerHello)] = editServerHello(func(h *wire.ServerHello) { h.Has = h.Has.With(wire.ExtPreSharedKey) })
	psk := p.held()[0].PSK
	p.run()
	expectAlert(t, p.c.err, fault.UnsupportedExtensionAlert, "pre_shared_key after the PSK was withdrawn")
	if !bytes.Equal(psk, make([]byte, len(psk))) {
		t.Error("a PSK that was withdrawn is still in memory")
	}
}

// A PSK proves that the server is the one of the session: one that only has
// the ticket comes to other keys.
func TestAServerWithoutThePSKDoesNotGetThrough(t *testing.T) {
	p := newResumingPair(t)
	s := p.held()[0]
	s.PSK[0] ^= 1 // so that the client is the one with another
	p.run()
	expectReason(t, p.s.err, fault.BadBinder, "a client with another PSK")

	p = newResumingPair(t)
	p.clientDoors[kind(wire.TypeClientHello)] = p.offering(p.held()[0].clone())
	p.held()[0].PSK[0] ^= 1 // and now the binder is right all the same
	p.run()
	expectReason(t, p.c.err, fault.BadRecordMAC, "a server with another PSK")
}

// offering replaces the PSKs of hellos by those of the sessions given, with
// binders that are right; of no session, by no extension.
func (p *pair) offering(sessions ...*Session) func([]byte) []byte {
	return func(m []byte) []byte {
		m = editClientHello(func(h *wire.ClientHello) {
			h.Has, h.PreSharedKey = h.Has.With(wire.ExtPreSharedKey), wire.OfferedPSKs{}
			for _, s := range sessions {
				age := uint32(time.Since(s.Created).Milliseconds()) + s.AgeAdd
				h.PreSharedKey.Identities = append(h.PreSharedKey.Identities, wire.AppendPSKIdentity(nil, s.Ticket, age)...)
				h.PreSharedKey.Binders = append(h.PreSharedKey.Binders, wire.AppendPSKBinder(nil, make([]byte, len(s.PSK)))...)
			}
			if len(sessions) == 0 {
				h.Has = h.Has.Without(wire.ExtPreSharedKey)
			}
		})(m)
		var h wire.ClientHello
		must(h.Parse(m[wire.HeaderLen:]))
		truncated := bytes.Clone(m[:len(m)-h.BindersLen])
		at := len(truncated) + 2
		for _, s := range sessions {
			suite := algo.SuiteByID(s.Suite)
			kdf := keyschedule.NewKDF(suite.NewHash)
			var first keyschedule.Transcript
			transcript := &p.client.transcript
			if !transcript.Started() {
				first.Start(kdf)
				transcript = &first
			}
			early := kdf.EarlySecret(s.PSK)
			key := early.Binder(kdf, false)
			at += 1 + copy(m[at+1:], key.MAC(kdf, nil, transcript.SumWith(truncated)))
		}
		return m
	}
}

// A server takes the first PSK that it knows, and says which one it is.
func TestTheFirstKnownPSKIsSelected(t *testing.T) {
	unknown := func(s *Session, n int) *Session {
		u := s.clone()
		u.Ticket = fmt.Appendf(nil, "unknown %d", n)
		return u
	}
	for _, row := range []struct {
		before int // as many unknown ones
		want   Kind
	}{{0, KindResumed}, {1, KindResumed}, {maxIdentities - 1, KindResumed}, {maxIdentities, KindFull}} {
		p := newResumingPair(t)
		own := p.held()[0].clone()
		var offered []*Session
		for n := range row.before {
			offered = append(offered, unknown(own, n))
		}
		p.clientDoors[kind(wire.TypeClientHello)] = p.offering(append(offered, own)...)
		selected := -1
		p.serverDoors[kind(wire.TypeServerHello)] = func(m []byte) []byte {
			var h wire.ServerHello
			must(h.Parse(m[wire.HeaderLen:], ^wire.ExtensionSet(0)))
			if h.Has.Has(wire.ExtPreSharedKey) {
				selected = int(h.SelectedIdentity)
			}
			return m
		}
		p.run()
		if p.server.Facts.Kind != row.want || row.want == KindResumed && selected != row.before || row.want == KindFull && selected != -1 {
			t.Errorf("behind %d unknown PSKs: the handshake is of kind %v, selected is %d: %v", row.before, p.server.Facts.Kind, selected, p.s.err)
		}
		// Our client has offered but one, by its own account.
		if row.want == KindResumed && row.before > 0 {
			expectAlert(t, p.c.err, fault.IllegalParameterAlert, "selected_identity %d", selected)
		}
		if p.box.redeemed > maxIdentities {
			t.Errorf("%d tickets are opened", p.box.redeemed)
		}
	}
	// The binder of the selected one counts, and no other.
	for _, wrong := range []int{0, 1} {
		p := newResumingPair(t)
		own := p.held()[0].clone()
		offered := []*Session{unknown(own, 0), own.clone()}
		offered[wrong].PSK[0] ^= 1
		p.clientDoors[kind(wire.TypeClientHello)] = p.offering(offered...)
		if p.run(); wrong == 1 {
			expectReason(t, p.s.err, fault.BadBinder, "the binder of the selected PSK is wrong")
		} else if p.s.err != nil {
			t.Errorf("the binder of an unknown PSK is wrong, and that matters: %v", p.s.err)
		}
	}
}

// A retry lets a client withdraw PSKs of another hash than the suite's, and
// nothing else: Section 4.2.2.
func TestPSKsThatChangeAfterARetry(t *testing.T) {
	for _, row := range []struct {
		story string
		// o: the client's own, p: another, u: an unknown one, x and y: of another hash
		first, second string
		want          Kind // KindUnknown: it is refused
	}{
		{"nothing changes", "o", "o", KindResumedWithRetry},
		{"nothing changes in a list of two", "op", "op", KindResumedWithRetry},
		{"nothing changes in an offer of nothing known", "u", "u", KindFullWithRetry},
		{"nothing changes in an offer of nothing that fits", "xy", "xy", KindFullWithRetry},
		{"one that does not fit stays", "xo", "xo", KindResumedWithRetry},
		{"one that does not fit is withdrawn from the front", "xo", "o", KindResumedWithRetry},
		{"one that does not fit is withdrawn from the end", "ox", "o", KindResumedWithRetry},
		{"both that do not fit are withdrawn", "xoyp", "op", KindResumedWithRetry},
		{"one of two that do not fit is withdrawn", "xoy", "oy", KindResumedWithRetry},
		{"all are withdrawn, and none fits", "xy", "", KindFullWithRetry},
		{"one of those that do not fit is withdrawn, and no other was there", "xy", "x", KindFullWithRetry},

		{"the one that fits is withdrawn", "o", "", KindUnknown},
		{"an unknown one that fits is withdrawn", "u", "", KindUnknown},
		{"one of two is withdrawn", "op", "o", KindUnknown},
		{"the one that fits is withdrawn, and another is left", "xo", "x", KindUnknown},
		{"all are withdrawn, and one fits", "xo", "", KindUnknown},
		{"one is added behind", "o", "op", KindUnknown},
		{"one is added in front", "o", "po", KindUnknown},
		{"one that does not fit is added", "o", "ox", KindUnknown},
		{"one that does not fit is exchanged for another", "ox", "oy", KindUnknown},
		{"one that does not fit is exchanged for one that does", "x", "o", KindUnknown},
		{"one is exchanged for another", "o", "p", KindUnknown},
		{"an unknown one is exchanged for a known one", "u", "o", KindUnknown},
		{"two change places", "po", "op", KindUnknown},
		{"two change places, and only one fits", "xo", "ox", KindUnknown},
		{"one is doubled", "o", "oo", KindUnknown},
		{"there is one where there was none", "", "o", KindUnknown},
		{"there is an unknown one where there was none", "", "u", KindUnknown},
		{"there is one that does not fit where there was none", "", "x", KindUnknown},
	} {
		for _, server := range []string{"that asks for a share", "with cookies", "with cookies, another one", "that does not resume"} {
			p := newPair(t)
			p.keepSessions()
			p.serverPolicy.TicketCount = 2
			p.complete()
			known := map[rune]*Session{'p': p.held()[0].clone(), 'o': p.held()[1].clone()}
			for name, ticket := range map[rune]string{'u': "unknown", 'x': "of SHA-384", 'y': "another of SHA-384"} {
				known[name] = known['o'].clone()
				known[name].Ticket = []byte(ticket)
				if name != 'u' {
					known[name].Suite, known[name].PSK = tls.TLS_AES_256_GCM_SHA384, make([]byte, 48)
				}
			}
			list := func(names string) (s []*Session) {
				for _, name := range names {
					s = append(s, known[name])
				}
				return s
			}
			if row.first == "" {
				clear(p.shelf)
			}
			p.clientDoors[kind(wire.TypeClientHello)] = func(m []byte) []byte {
				if p.client.transcript.Started() {
					return p.offering(list(row.second)...)(m)
				}
				return p.offering(list(row.first)...)(m)
			}
			want := row.want
			p.box.redeemed = 0
			switch server {
			case "that asks for a share":
				p.serverPolicy.Groups = groups(tls.CurveP384)
				p.run()
			case "with cookies":
				p.serverPolicy.CookieKey = cookieKey
				p.run()
			case "with cookies, another one":
				p.serverPolicy.CookieKey = cookieKey
				p.anew(unchanged)
			default:
				p.serverPolicy.Groups, p.serverPolicy.Tickets = groups(tls.CurveP384), nil
				if want == KindResumedWithRetry {
					want = KindFullWithRetry
				}
				p.run()
			}
			if want == KindUnknown {
				expectReason(t, p.s.err, fault.HelloChanged, "a server %s: %s", server, row.story)
				expectAlert(t, p.s.err, fault.IllegalParameterAlert, "a server %s: %s", server, row.story)
				if p.box.redeemed != 0 {
					t.Errorf("a server %s: %s: %d tickets are opened that do not count", server, row.story, p.box.redeemed)
				}
				continue
			}
			if p.s.err != nil || p.server.Facts.Kind != want {
				t.Errorf("a server %s: %s: of kinds %v, want %v: %v, %v", server, row.story, p.kinds(), want, p.c.err, p.s.err)
				continue
			}
			// A client of ours offered one, and knows no second place.
			if !strings.HasPrefix(row.second, "x") || want == KindFullWithRetry {
				if p.c.err != nil || !p.server.Complete || p.client.Facts.Kind != want {
					t.Errorf("a server %s: %s: the client ends with %v", server, row.story, p.c.err)
					continue
				}
				p.works()
			}
		}
	}
}

// The age of a ticket may have grown when it is offered again.
func TestAgesMayGrowBetweenHellos(t *testing.T) {
	p := newResumingPair(t)
	p.serverPolicy.Groups = groups(tls.CurveP384)
	now := time.Now()
	p.clientPolicy.Now = func() time.Time { now = now.Add(time.Second); return now }
	var ages []uint32
	p.tap = func(to *side, m []byte) []byte {
		if classify(m).kind == kind(wire.TypeClientHello) {
			var h wire.ClientHello
			must(h.Parse(m[wire.HeaderLen:]))
			for _, age := range h.PreSharedKey.Identities.All() {
				ages = append(ages, age)
			}
		}
		return m
	}
	p.complete()
	if len(ages) != 2 || ages[0] == ages[1] || p.kinds() != both(KindResumedWithRetry) {
		t.Errorf("with the ages %v the handshake is of kinds %v", ages, p.kinds())
	}
}

// Who sees a ClientHello can name its ticket, but not use it up: it is removed
// when the binder has been checked, and by one connection.
func TestATicketIsRemovedByItsOwner(t *testing.T) {
	stateful := func() *pair {
		p := newPair(t)
		p.allowEarlyData()
		p.box.stateful, p.early = true, []byte("early data")
		p.complete()
		return p
	}
	for _, row := range []struct {
		story string
		door  func(p *pair, own *Session) func([]byte) []byte
		want  fault.Reason // Internal: it is not refused
	}{
		{"with a binder that is wrong", func(p *pair, own *Session) func([]byte) []byte {
			own.PSK[0] ^= 1
			return p.offering(own)
		}, fault.BadBinder},
		{"behind one that is known, too, and is taken", func(p *pair, own *Session) func([]byte) []byte {
			return p.offering(own, own)
		}, fault.Internal},
		{"without the mode that it needs", func(p *pair, own *Session) func([]byte) []byte {
			return editClientHello(func(h *wire.ClientHello) { h.PSKKeyExchangeModes = []byte{0} })
		}, fault.Internal},
	} {
		p := stateful()
		own := p.held()[0].clone()
		p.clientDoors[kind(wire.TypeClientHello)] = row.door(p, own.clone())
		p.run()
		if row.want != fault.Internal {
			expectReason(t, p.s.err, row.want, "a ticket %s", row.story)
		}
		used := row.story == "behind one that is known, too, and is taken"
		if got := len(p.box.removed); got > 1 || (got == 1) != used {
			t.Errorf("a ticket %s: %d are used up", row.story, got)
		}
		if used {
			continue
		}
		delete(p.clientDoors, kind(wire.TypeClientHello))
		p.shelf["example.com"] = []*Session{own}
		if p.complete(); p.kinds() != both(KindResumed) || string(p.s.early) != "early data" {
			t.Errorf("after a ticket %s its owner comes to %v, early data %q", row.story, p.kinds(), p.s.early)
		}
	}

	// Another connection was faster: the handshake is full, and early data skipped.
	p := stateful()
	p.box.slow = true
	p.complete()
	if p.kinds() != both(KindFull) || p.server.Facts.EarlyData != EarlyDataRejected || len(p.s.early) != 0 {
		t.Errorf("a ticket that another connection has used up leads to %v, early data %v, %q", p.kinds(), p.server.Facts.EarlyData, p.s.early)
	}
	p.box.wantForgotten(t, "a ticket that another connection has used up")
	p.works()
}

// A ticket_request is heard: RFC 9149.
func TestTicketsAreCounted(t *testing.T) {
	for _, row := range []struct {
		story         string
		policy        int
		request       [2]uint8
		full, resumed int
	}{
		{"no request", 2, [2]uint8{}, 2, 1},
		{"no tickets", 0, [2]uint8{3, 3}, 0, 0},
		{"fewer than the policy", 4, [2]uint8{2, 1}, 2, 1},
		{"none when resumed", 4, [2]uint8{1, 0}, 1, 0},
		{"more when resumed", 4, [2]uint8{1, 3}, 1, 3},
		{"more than the policy", 2, [2]uint8{255, 255}, 2, 2},
	} {
		p := newPair(t)
		p.keepSessions()
		p.serverPolicy.TicketCount, p.clientPolicy.TicketRequest = row.policy, row.request
		expected := -1
		p.serverDoors[kind(wire.TypeEncryptedExtensions)] = func(m []byte) []byte {
			var ee wire.EncryptedExtensions
			must(ee.Parse(m[wire.HeaderLen:], ^wire.ExtensionSet(0)))
			expected = -1
			if ee.Has.Has(wire.ExtTicketRequest) {
				expected = int(ee.TicketRequest)
			}
			return m
		}
		check := func(what string, want int) {
			t.Helper()
			p.complete()
			if got := int(p.client.Facts.Tickets); got != want {
				t.Errorf("%s: in a %s handshake there are %d tickets, want %d", row.story, what, got, want)
			}
			if row.request == [2]uint8{} {
				want = -1
			}
			if expected != want {
				t.Errorf("%s: in a %s handshake %d tickets are announced, want %d", row.story, what, expected, want)
			}
		}
		if check("full", row.full); row.full > 0 {
			check("resumed", row.resumed)
		}
	}

	// A client that cannot use tickets gets none, and one that asks a server
	// without any is not answered.
	p := newPair(t)
	p.keepSessions()
	p.clientPolicy.Sessions = nil
	if p.complete(); p.client.Facts.Tickets != 0 || len(p.box.sessions) != 0 {
		t.Error("a client without psk_key_exchange_modes gets a ticket")
	}
	p = newPair(t)
	p.keepSessions()
	p.serverPolicy.Tickets, p.clientPolicy.TicketRequest = nil, [2]uint8{1, 1}
	if p.complete(); p.client.Facts.Tickets != 0 {
		t.Error("a server without tickets sends one")
	}
	p = newPair(t)
	p.keepSessions()
	p.box.full = errors.New("store is full")
	if p.complete(); p.client.Facts.Tickets != 0 {
		t.Error("a server whose store is full sends a ticket")
	}
	p.works()
}

// Each ticket is a secret of its own, and what a server is told of one comes
// back when it is used.
func TestTicketsHaveTheirOwnPSKs(t *testing.T) {
	p := newPair(t)
	p.keepSessions()
	p.serverPolicy.TicketCount = 3
	p.start()
	if !p.server.SetResumptionData([]byte("of the application")) {
		t.Error("the application's data comes too late before the handshake")
	}
	p.pump()
	if p.server.SetResumptionData([]byte("too late")) {
		t.Error("the application's data is taken when the tickets are out")
	}
	seen, ages := map[string]bool{}, map[uint32]bool{}
	for i, s := range p.held() {
		server, err := ParseSession(p.box.sessions[i])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.PSK, server.PSK) || s.AgeAdd != server.AgeAdd || s.Lifetime != time.Hour || server.Lifetime != time.Hour {
			t.Errorf("of ticket %d the sides have different sessions", i+1)
		}
		if seen[string(s.PSK)] || bytes.Equal(s.PSK, make([]byte, 32)) {
			t.Errorf("the PSK of ticket %d is that of another, or zeros", i+1)
		}
		seen[string(s.PSK)] = true
		// "The server MUST generate a fresh value for each ticket": Section 4.7.1.
		if ages[s.AgeAdd] {
			t.Errorf("the ticket_age_add of ticket %d is that of another", i+1)
		}
		ages[s.AgeAdd] = true
	}
	if len(seen) != 3 {
		t.Fatalf("there are %d sessions, want 3", len(seen))
	}
	p.complete()
	if got := string(p.server.ResumptionData()); got != "of the application" {
		t.Errorf("the application's data comes back as %q", got)
	}
}

// The life of what certificates have proved does not grow by resumption.
func TestTheOriginOfASessionStays(t *testing.T) {
	p := newPair(t)
	now := time.Now()
	clock := func() time.Time { return now }
	p.clientPolicy.Now, p.serverPolicy.Now = clock, clock
	p.keepSessions()
	p.serverPolicy.TicketLifetime = MaxLifetime
	p.complete()
	origin := p.held()[0].Origin
	for day := range 6 {
		now = now.Add(24 * time.Hour)
		if p.complete(); p.kinds() != both(KindResumed) {
			t.Fatalf("after %d days the handshake is of kinds %v", day+1, p.kinds())
		}
		if s := p.held()[0]; !s.Origin.Equal(origin) || !s.Created.Equal(now) {
			t.Errorf("after %d days the session is of %v and its origin is %v, want %v", day+1, s.Created, s.Origin, origin)
		}
		s, err := ParseSession(p.box.sessions[len(p.box.sessions)-1])
		if err != nil || !s.Origin.Equal(origin) {
			t.Errorf("after %d days the origin of the server's session is %v, want %v: %v", day+1, s.Origin, origin, err)
		}
	}
	now = now.Add(24 * time.Hour)
	if p.complete(); p.kinds() != both(KindFull) {
		t.Errorf("after seven days the handshake is of kinds %v", p.kinds())
	}
}

// Nothing that a resumption knows outlives its failure.
func TestSecretsOfResumptionsAreForgotten(t *testing.T) {
	for _, fails := range []string{"client", "server"} {
		p := newEarlyPair(t)
		bad := func(m []byte) []byte { m[len(m)-1] ^= 1; return m }
		door := p.serverDoors
		if fails == "server" {
			door = p.clientDoors
		}
		door[kind(wire.TypeFinished)] = bad
		p.run()
		s := p.c
		if fails == "server" {
			s = p.s
		}
		expectReason(t, s.err, fault.BadFinished, "the %s gets a wrong Finished", fails)
		x := s.core.exchange
		session, clientApp := (*Session)(nil), &keyschedule.TrafficSecret{}
		if fails == "client" {
			session = p.client.session
		} else {
			session, clientApp = p.server.session, &p.server.clientApp
		}
		psk := session.PSK
		if !x.earlyExporter.Set() || len(psk) == 0 || fails == "server" && !clientApp.Set() {
			t.Errorf("the %s has nothing to forget", fails)
		}
		s.machine.Forget()
		if x.early.Set() || x.earlyExporter.Set() || fails == "client" && !bytes.Equal(p.client.secrets13(), make([]byte, len(p.client.secrets13()))) {
			t.Errorf("the %s that failed keeps secrets of its PSK", fails)
		}
		if session.PSK != nil || !bytes.Equal(psk, make([]byte, 32)) {
			t.Errorf("the %s that failed keeps the PSK", fails)
		}
		if clientApp.Set() {
			t.Errorf("the %s that failed keeps the client_application_traffic_secret_0", fails)
		}
		s.machine.Forget() // another time changes nothing
	}

	// A client that is through keeps what tickets are made from, until it fails.
	p := newResumingPair(t)
	resumption := p.client.keptSecret(resumptionSecret)
	if len(resumption) == 0 || bytes.Equal(resumption, make([]byte, len(resumption))) {
		t.Error("a client that is connected has no resumption_secret")
	}
	if p.c.machine.Forget(); !bytes.Equal(resumption, make([]byte, len(resumption))) {
		t.Error("a client that failed keeps the resumption_secret")
	}
}

// signature_algorithms can be left out where no certificate will be needed, and
// nowhere else: RFC 9846, Section 9.2.
func TestAPSKMayStandInForSignatureAlgorithms(t *testing.T) {
	for _, known := range []bool{true, false} {
		p := newResumingPair(t)
		own := p.held()[0].clone()
		if !known {
			p.box.sessions = nil
		}
		offer := p.offering(own)
		p.clientDoors[kind(wire.TypeClientHello)] = func(m []byte) []byte {
			return offer(without(wire.ExtSignatureAlgorithms)(m))
		}
		p.run()
		if known && (p.c.err != nil || p.kinds() != both(KindResumed)) {
			t.Errorf("a resuming hello without signature_algorithms leads to kinds %v: %v", p.kinds(), p.s.err)
		}
		if !known {
			expectAlert(t, p.s.err, fault.MissingExtensionAlert, "no signature_algorithms and an unknown PSK")
		}
	}
}

// A ticket that leaves no room in the hello is worth less than a connection.
func TestTicketsThatAreTooLarge(t *testing.T) {
	p := newEarlyPair(t)
	p.held()[0].Ticket = make([]byte, 65_000)
	p.complete()
	if got := p.kinds(); got != both(KindFull) || p.earlyData() != [2]EarlyData{} {
		t.Errorf("with a ticket that does not fit the handshake is of kinds %v, and early data is %v", got, p.earlyData())
	}
	p.works()

	// Nor is one kept that would leave little.
	for _, row := range []struct {
		size int
		kept int
	}{{maxTicket, 1}, {maxTicket + 1, 0}} {
		p := newPair(t)
		p.keepSessions()
		p.serverPolicy.TicketCount = 0
		p.complete()
		ticket := wire.NewSessionTicket{Lifetime: 1, Ticket: make([]byte, row.size)}
		p.post(p.s, ticket.Append(nil))
		if p.pump(); p.c.err != nil || p.client.Facts.Tickets != 1 || len(p.held()) != row.kept {
			t.Errorf("of a ticket of %d bytes are kept %d: %v", row.size, len(p.held()), p.c.err)
		}
	}
}

// Tickets count as KeyUpdates do: there may not be too many without data.
func TestTicketsWithoutDataAreBounded(t *testing.T) {
	ticket := wire.NewSessionTicket{Lifetime: 1, Ticket: []byte("ticket")}
	p := newPair(t)
	p.complete()
	for range 3 {
		for n := range maxIdleMessages {
			p.post(p.s, ticket.Append(nil))
			if p.pump(); p.c.err != nil {
				t.Fatalf("ticket %d in a row is refused: %v", n+1, p.c.err)
			}
		}
		p.works()
	}
	for range maxIdleMessages + 1 {
		p.post(p.s, ticket.Append(nil))
		p.pump()
	}
	expectReason(t, p.c.err, fault.TooManyKeyUpdates, "a ticket too many")
}

// "When resuming a session, the server MUST NOT include a server_name
// extension": RFC 6066, Section 3.
func TestTheServerNameIsAcknowledgedInFullHandshakesOnly(t *testing.T) {
	p := newPair(t)
	p.keepSessions()
	acknowledged := map[Kind]bool{}
	p.serverDoors[kind(wire.TypeEncryptedExtensions)] = editEncryptedExtensions(func(ee *wire.EncryptedExtensions) {
		acknowledged[p.server.Facts.Kind] = ee.Has.Has(wire.ExtServerName)
	})
	p.complete()
	p.complete()
	if want := map[Kind]bool{KindFull: true, KindResumed: false}; !maps.Equal(acknowledged, want) {
		t.Errorf("the server name is acknowledged by kind of handshake: %v, want %v", acknowledged, want)
	}
}
