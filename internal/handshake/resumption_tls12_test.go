//go:build !tls13only

package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// newResumingPair12 is a pair that has been connected in TLS 1.2. If nothing
// changes, the next connection resumes: by a ticket, or by the session's ID.
func newResumingPair12(t testing.TB, byID bool, prepare ...func(p *pair)) *pair {
	t.Helper()
	p := newPair12(t)
	p.keepSessions()
	p.box.stateful = byID
	for _, f := range prepare {
		f(p)
	}
	p.complete()
	return p
}

// editKept changes what the server keeps of the session.
func (p *pair) editKept(edit func(s *Session)) {
	p.t.Helper()
	if !p.box.stateful {
		p.box.edit(edit)
		return
	}
	for id, encoded := range p.box.kept {
		s, err := ParseSession(encoded)
		must(err)
		edit(s)
		p.box.kept[id] = s.Append(nil)
	}
}

func TestConnectionsOfTLS12AreResumed(t *testing.T) {
	for _, byID := range []bool{false, true} {
		for _, suite := range suitesOf(tls.VersionTLS12) {
			for _, serverBoth := range []bool{false, true} {
				p := newResumingPair12(t, byID, func(p *pair) {
					if serverBoth {
						p.serverPolicy.speak(tls.VersionTLS12, tls.VersionTLS13)
					}
					p.clientPolicy.Suites = suites(suite)
					p.clientPolicy.Protocols, p.serverPolicy.Protocols = []string{"h2"}, []string{"h2"}
					for _, kind := range []tlstest.Kind{tlstest.ECDSAP256, tlstest.RSA2048} {
						cert := tlstest.Leaf(kind)
						cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("response"), [][]byte{[]byte("sct")}
						p.serverPolicy.Credentials.Add(credential(p.t, cert))
					}
					p.serverPolicy.Credentials.all = p.serverPolicy.Credentials.all[1:]
					p.serverPolicy.Credentials.byName = nil
				})
				first, main := p.client.Facts, bytes.Clone(p.client.secrets12().main.Bytes())
				for n := range 3 { // each resumption leads to the next
					p.complete()
					p.works()
					if p.kinds() != both(KindResumed) {
						t.Fatalf("%#04x, by ID %v, resumption %d: of kinds %v", suite, byID, n+1, p.kinds())
					}
					if !bytes.Equal(p.client.secrets12().main.Bytes(), main) {
						t.Errorf("%#04x: a resumption has another main secret", suite)
					}
				}
				f := p.client.Facts
				if !slices.EqualFunc(f.PeerCertificates, first.PeerCertificates, (*x509.Certificate).Equal) || len(f.PeerCertificates) != 2 ||
					len(f.VerifiedChains) != 1 || f.PeerScheme != first.PeerScheme || string(f.OCSPResponse) != "response" || len(f.SCTs) != 1 {
					t.Errorf("%#04x, by ID %v: a client that resumes knows of the server %+v", suite, byID, f)
				}
				if p.client.ALPN() != "h2" || f.Suite != suite || f.Version != tls.VersionTLS12 || byID != (f.Tickets == 0) {
					t.Errorf("%#04x, by ID %v: a client that resumes has the facts %+v", suite, byID, f)
				}
				var out [2][32]byte
				for i, s := range []*side{p.c, p.s} {
					must(s.core.Export("EXPORTER-test", []byte("context"), out[i][:]))
				}
				if out[0] != out[1] {
					t.Errorf("%#04x, by ID %v: the two sides export different material", suite, byID)
				}
			}
		}
	}
}

// "the server MUST NOT include a server_name extension in the server hello"
// that resumes (RFC 6066, Section 3), nor does what was settled come again.
func TestWhatAServerSaysWhenItResumesTLS12(t *testing.T) {
	p := newPair12(t)
	p.keepSessions()
	p.staple()
	for _, kind := range []Kind{KindFull, KindResumed} {
		p.start()
		if err := p.serverAnswers(nil); err != nil || p.server.Facts.Kind != kind {
			t.Fatalf("the handshake is of kind %v, %v, want %v", p.server.Facts.Kind, err, kind)
		}
		var h wire.ServerHello
		must(h.Parse(p.answer(wire.TypeServerHello)[wire.HeaderLen:], ^wire.ExtensionSet(0)))
		for _, e := range []wire.Extension{wire.ExtServerName, wire.ExtECPointFormats, wire.ExtStatusRequest, wire.ExtSCT} {
			if h.Has.Has(e) != (kind == KindFull) {
				t.Errorf("%v is in the ServerHello of kind %v: %v", e, kind, h.Has.Has(e))
			}
		}
		for _, e := range []wire.Extension{wire.ExtExtendedMainSecret, wire.ExtRenegotiationInfo, wire.ExtSessionTicket, wire.ExtRecordSizeLimit} {
			if !h.Has.Has(e) {
				t.Errorf("%v is missing in the ServerHello of kind %v", e, kind)
			}
		}
		p.complete()
	}
}

// A client that has a session keeps it if the server does not replace it.
func TestASessionOfTLS12IsNotUsedUp(t *testing.T) {
	p := newResumingPair12(t, false)
	p.serverDoors[kind(wire.TypeNewSessionTicket)] = instead((&wire.NewSessionTicket12{}).Append(nil))
	for n := range 3 {
		p.complete()
		p.works()
		if p.kinds() != both(KindResumed) || len(p.held()) != 1 || len(p.held()[0].PSK) != 48 {
			t.Fatalf("resumption %d: of kinds %v, and %d sessions are held", n+1, p.kinds(), len(p.held()))
		}
	}

	// The first handshake with certificates limits all that follow from it.
	p = newResumingPair12(t, false)
	origin := p.held()[0].Origin
	now := time.Now()
	p.clientPolicy.Now = func() time.Time { return now.Add(30 * time.Minute) }
	p.serverPolicy.Now = p.clientPolicy.Now
	p.complete()
	if s := p.held()[0]; !s.Origin.Equal(origin) || !s.Created.After(origin.Add(29*time.Minute)) {
		t.Errorf("a session of %v, from one of %v, was made at %v", s.Origin, origin, s.Created)
	}
}

// What a server does not want to resume it passes over: the handshake is full.
func TestSessionsOfTLS12ThatAServerPassesOver(t *testing.T) {
	edit := func(edit func(s *Session)) func(p *pair) {
		return func(p *pair) { p.editKept(edit) }
	}
	for _, row := range []struct {
		story  string
		change func(p *pair)
		want   Kind
	}{
		{"nothing has changed", func(*pair) {}, KindResumed},
		{"the session is unknown", func(p *pair) { p.box.sessions, p.box.kept = nil, nil }, KindFull},
		{"the server does not resume any more", func(p *pair) { p.serverPolicy.Tickets = nil }, KindFull},
		{"the session is of another name", edit(func(s *Session) { s.ServerName = "example.net" }), KindFull},
		{"the session is of another policy", func(p *pair) { p.serverPolicy.Digest[31] ^= 1 }, KindFull},
		{"the session is of TLS 1.3", edit(func(s *Session) {
			s.Version, s.Suite, s.PSK = tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256, make([]byte, 32)
		}), KindFull},
		{"the session is of a suite that the client does not have any more", func(p *pair) {
			p.clientDoors[kind(wire.TypeClientHello)] = editClientHello(func(h *wire.ClientHello) {
				h.CipherSuites = wire.AppendUint16s(nil, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)
			})
		}, KindFull},
		{"the session is of a suite that the server does not have any more", func(p *pair) {
			p.serverPolicy.Suites = suites(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)
		}, KindFull},
		{"the session has expired", edit(func(s *Session) {
			s.Lifetime = time.Second
			s.Created = s.Created.Add(-time.Minute)
			s.Origin = s.Created
		}), KindFull},
		{"the session is from the future", edit(func(s *Session) { s.Created = s.Created.Add(time.Minute) }), KindFull},
		{"its certificates were seen more than seven days ago", edit(func(s *Session) { s.Origin = s.Origin.Add(-MaxLifetime - time.Second) }), KindFull},
		{"a client certificate is required by now", func(p *pair) { p.requestClient(tlstest.ECDSAP256) }, KindFull},
		{"a client certificate is asked for by now", func(p *pair) { p.serverPolicy.ClientAuth = tls.VerifyClientCertIfGiven }, KindResumed},
		// "If the original session did not use the "extended_master_secret"
		// extension but the new ClientHello contains [it], … the server MUST NOT
		// perform the abbreviated handshake": RFC 7627, Section 5.3.
		{"the session is without extended_main_secret", edit(func(s *Session) { s.EMS = false }), KindFull},
	} {
		for _, byID := range []bool{false, true} {
			p := newResumingPair12(t, byID)
			p.editKept(func(s *Session) { s.AppData = []byte("data") })
			row.change(p)
			offered := p.held()[0]
			psk := offered.PSK
			p.complete()
			p.works()
			if p.kinds() != both(row.want) {
				t.Errorf("%s, by ID %v: of kinds %v, want %v", row.story, byID, p.kinds(), row.want)
			}
			if got := string(p.server.ResumptionData()); (got == "data") != (row.want == KindResumed) {
				t.Errorf("%s, by ID %v: of the session comes back %q", row.story, byID, got)
			}
			p.box.wantForgotten(t, row.story)
			if kept := slices.Contains(p.held(), offered); kept == bytes.Equal(psk, make([]byte, len(psk))) {
				t.Errorf("%s, by ID %v: the client keeps the session that it has offered: %v; and its secret: %v", row.story, byID, kept, !kept)
			}
		}
	}
}

// "If a ticket is presented by the client, the server MUST NOT attempt to use
// the Session ID": RFC 5077, Section 3.4.
func TestASessionIDBesideATicketNamesNothing(t *testing.T) {
	p := newResumingPair12(t, true)
	p.clientDoors[kind(wire.TypeClientHello)] = editClientHello(func(h *wire.ClientHello) { h.SessionTicket = []byte("of another server") })
	p.complete()
	p.works()
	if p.kinds() != both(KindFull) {
		t.Errorf("a session ID beside a ticket leads to handshakes of kinds %v, want full ones", p.kinds())
	}
}

// The certificate of a client is judged anew.
func TestClientsThatResumeTLS12AreJudgedAgain(t *testing.T) {
	for _, byID := range []bool{false, true} {
		for _, row := range []struct {
			story  string
			change func(p *pair)
			want   Kind
		}{
			{"nothing has changed", func(*pair) {}, KindResumed},
			{"other authorities are trusted", func(p *pair) { p.serverPolicy.ClientCAs = x509.NewCertPool() }, KindFull},
			{"no certificates are wanted any more", func(p *pair) { p.serverPolicy.ClientAuth = tls.NoClientCert }, KindFull},
			{"the application refuses it", func(p *pair) {
				asked := 0
				p.serverPolicy.Judge.After = func(*Verification) error {
					if asked++; asked == 1 {
						return errors.New("not any more")
					}
					return nil
				}
			}, KindFull},
		} {
			p := newResumingPair12(t, byID, func(p *pair) { p.requestClient(tlstest.ECDSAP256) })
			row.change(p)
			p.run()
			if p.server.Facts.Kind != row.want {
				t.Errorf("%s, by ID %v: of kind %v, want %v", row.story, byID, p.server.Facts.Kind, row.want)
			}
			if row.want == KindResumed && len(p.server.Facts.PeerCertificates) == 0 {
				t.Errorf("%s, by ID %v: a client that resumes has no certificates", row.story, byID)
			}
		}
	}
}

// And what a client does not want it does not offer.
func TestSessionsOfTLS12ThatAClientPassesOver(t *testing.T) {
	last := func(p *pair) *Session { return p.held()[0] }
	for _, row := range []struct {
		story   string
		change  func(p *pair)
		offered bool
	}{
		{"nothing has changed", func(*pair) {}, true},
		{"the client speaks TLS 1.3 as well by now", func(p *pair) { p.clientPolicy.speak(tls.VersionTLS12, tls.VersionTLS13) }, true},
		{"the client does not speak TLS 1.2 any more", func(p *pair) { p.clientPolicy.speak(tls.VersionTLS13) }, false},
		{"the client does not have the suite any more", func(p *pair) {
			p.clientPolicy.Suites = suites(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)
		}, false},
		{"it is without extended_main_secret", func(p *pair) { last(p).EMS = false }, false},
		{"it is without extended_main_secret, which is allowed", func(p *pair) {
			last(p).EMS, p.clientPolicy.RequireEMS = false, false
		}, true},
		{"it is of another name", func(p *pair) { last(p).ServerName = "example.net" }, false},
		{"its secret was used up", func(p *pair) { last(p).Clear() }, false},
		{"it has expired", func(p *pair) { last(p).Created = last(p).Created.Add(-8 * 24 * time.Hour) }, false},
		{"the server is not trusted any more", func(p *pair) {
			p.clientPolicy.Roots = x509.NewCertPool()
			last(p).peer = nil
		}, false},
		{"the application refuses the server", func(p *pair) {
			p.clientPolicy.Judge.After = func(*Verification) error { return errors.New("not any more") }
		}, false},
	} {
		for _, byID := range []bool{false, true} {
			p := newResumingPair12(t, byID)
			session := last(p)
			row.change(p)
			p.start()
			offered := bytes.Equal(p.client.hello.SessionTicket, []byte("ticket 1"))
			if byID {
				offered = bytes.Equal(p.client.hello.SessionID, session.SessionID) && len(session.SessionID) == 32
			}
			if offered != row.offered {
				t.Errorf("%s, by ID %v: the session is offered: %v, want %v", row.story, byID, offered, row.offered)
			}
			if p.client.hello.Has.Has(wire.ExtPreSharedKey) {
				t.Errorf("%s, by ID %v: a session of TLS 1.2 is offered as a PSK", row.story, byID)
			}
		}
	}
}

// RFC 7627, Section 5.3, and RFC 5246, Section 7.4.1.3: a session comes back as
// it was.
func TestResumptionsOfTLS12ThatAreRefused(t *testing.T) {
	edit := editServerHello
	lax := func(p *pair) { p.clientPolicy.RequireEMS, p.serverPolicy.RequireEMS = false, false }
	old := func(p *pair) { // without extended_main_secret
		lax(p)
		p.clientDoors[kind(wire.TypeClientHello)] = without(wire.ExtExtendedMainSecret)
	}
	for _, row := range []struct {
		story   string
		prepare func(p *pair)
		change  func(p *pair)
		door    func([]byte) []byte
		want    fault.Alert
	}{
		{"another suite", lax, nil, edit(func(h *wire.ServerHello) { h.CipherSuite = tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 }), fault.IllegalParameterAlert},
		{"another suite of the hash", lax, nil, edit(func(h *wire.ServerHello) {
			h.CipherSuite = tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
		}), fault.IllegalParameterAlert},
		{"extended_main_secret dropped", lax, nil, edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtExtendedMainSecret) }), fault.HandshakeFailureAlert},
		{"extended_main_secret added", old, func(p *pair) {
			// The hello offers it, and the server takes a session that is not.
			delete(p.clientDoors, kind(wire.TypeClientHello))
			p.editKept(func(s *Session) { s.EMS = true })
		}, nil, fault.HandshakeFailureAlert},
	} {
		for _, byID := range []bool{false, true} {
			p := newResumingPair12(t, byID, row.prepare)
			if row.change != nil {
				row.change(p)
			}
			if row.door != nil {
				p.serverDoors[kind(wire.TypeServerHello)] = row.door
			}
			p.run()
			expectAlert(t, p.c.err, row.want, "a resumption with %s, by ID %v", row.story, byID)
		}
	}

	for _, byID := range []bool{false, true} {
		// "If the original session used [it] but the new ClientHello does not
		// contain it, the server MUST abort the abbreviated handshake."
		p := newResumingPair12(t, byID, lax)
		p.clientDoors[kind(wire.TypeClientHello)] = without(wire.ExtExtendedMainSecret)
		p.run()
		expectReason(t, p.s.err, fault.NoExtendedMainSecret, "a hello without extended_main_secret for a session with it, by ID %v", byID)
		expectAlert(t, p.s.err, fault.HandshakeFailureAlert, "a hello without extended_main_secret for a session with it, by ID %v", byID)

		// A session without it may go on without it, where that is allowed.
		p = newResumingPair12(t, byID, old)
		p.complete()
		p.works()
		if p.kinds() != both(KindResumed) {
			t.Errorf("without extended_main_secret and by ID %v: of kinds %v", byID, p.kinds())
		}
		// But not where it is required by now.
		p.serverPolicy.RequireEMS = true
		p.run()
		expectReason(t, p.s.err, fault.NoExtendedMainSecret, "a session without what is required by now, by ID %v", byID)

		// A secret that one side alone has opens nothing.
		p = newResumingPair12(t, byID)
		p.held()[0].PSK[0] ^= 1
		p.run()
		expectAlert(t, p.c.err, fault.BadRecordMACAlert, "a session of another secret, by ID %v", byID)
	}

	// The ID of a PSK's hello names no session of TLS 1.2.
	p := newPair(t)
	p.speakBoth()
	p.keepSessions()
	p.complete()
	p.serverPolicy.speak(tls.VersionTLS12)
	p.serverDoors[kind(wire.TypeServerHello)] = edit(func(h *wire.ServerHello) { h.SessionID = p.client.sessionID[:] })
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "a session of TLS 1.3 that is resumed in TLS 1.2")
}

// A client with a session of one version gets along with a server of the other.
func TestSessionsOfOneVersionDoNotStandInTheWayOfTheOther(t *testing.T) {
	const tls12, tls13 = tls.VersionTLS12, tls.VersionTLS13
	for _, row := range []struct {
		first, second []uint16 // of the server
		want          Kind
		version       uint16
	}{
		{[]uint16{tls12}, []uint16{tls12, tls13}, KindFull, tls13},
		{[]uint16{tls12, tls13}, []uint16{tls12}, KindFull, tls12},
		{[]uint16{tls12}, []uint16{tls12}, KindResumed, tls12},
		{[]uint16{tls12, tls13}, []uint16{tls12, tls13}, KindResumed, tls13},
	} {
		for _, byID := range []bool{false, true} {
			p := newPair(t)
			p.keepSessions()
			p.box.stateful = byID
			p.speakBoth()
			p.serverPolicy.speak(row.first...)
			p.complete()
			p.serverPolicy.speak(row.second...)
			p.complete()
			p.works()
			if p.kinds() != both(row.want) || p.client.Facts.Version != row.version {
				t.Errorf("from %#04x to %#04x, by ID %v: of kinds %v in %#04x", row.first, row.second, byID, p.kinds(), p.client.Facts.Version)
			}
		}
	}
}

// A server that cannot issue a ticket, though its hello has promised one, sends
// an empty one: RFC 5077, Section 3.3.
func TestTicketsOfTLS12ThatCannotBeIssued(t *testing.T) {
	p := newPair12(t)
	p.keepSessions()
	p.box.full = errors.New("no more room")
	p.complete()
	p.works()
	if len(p.held()) != 0 {
		t.Errorf("the client holds %d sessions", len(p.held()))
	}
	if p.complete(); p.kinds() != both(KindFull) {
		t.Errorf("the next connection is of kinds %v", p.kinds())
	}
}

// What the server keeps of a session is what it will go by.
func TestWhatIsInASessionOfTLS12(t *testing.T) {
	for _, byID := range []bool{false, true} {
		p := newPair12(t)
		p.keepSessions()
		p.box.stateful = byID
		p.requestClient(tlstest.ECDSAP256)
		p.serverPolicy.Digest = [32]byte{1, 2, 3}
		p.clientPolicy.Protocols, p.serverPolicy.Protocols = []string{"h2"}, []string{"h2"}
		p.start()
		p.server.SetResumptionData([]byte("data"))
		p.pump()
		if p.c.err != nil || p.s.err != nil {
			t.Fatal(p.c.err, p.s.err)
		}
		seen := 0
		p.editKept(func(s *Session) {
			seen++
			if s.Version != tls.VersionTLS12 || s.Suite != p.server.Facts.Suite || s.Group != p.server.Facts.Group || s.Scheme != p.server.Facts.PeerScheme ||
				!bytes.Equal(s.PSK, p.server.secrets12().main.Bytes()) || !s.EMS || s.ServerName != "example.com" || s.ALPN != "h2" ||
				s.Policy != [32]byte{1, 2, 3} || string(s.AppData) != "data" || len(s.PeerChain) != 2 || s.Lifetime != time.Hour ||
				time.Since(s.Created) > time.Minute || time.Since(s.Origin) > time.Minute {
				t.Errorf("by ID %v: the server keeps %+v", byID, s)
			}
		})
		if seen != 1 {
			t.Errorf("by ID %v: the server keeps %d sessions", byID, seen)
		}
		held := p.held()[0]
		if !bytes.Equal(held.PSK, p.client.secrets12().main.Bytes()) || !held.EMS || byID != (len(held.SessionID) == 32) || byID != (len(held.Ticket) == 0) {
			t.Errorf("by ID %v: the client keeps %+v", byID, held)
		}
	}
}

// A session ID says nothing about who knows the secret, and uses nothing up: a
// session stays until it expires.
func TestSessionsOfTLS12AreNotRemoved(t *testing.T) {
	p := newPair12(t)
	p.keepSessions()
	p.box.stateful = true
	for _, want := range []Kind{KindFull, KindResumed, KindResumed} {
		if p.complete(); p.kinds() != both(want) || len(p.box.removed) != 0 {
			t.Errorf("a session leads to %v, want %v, and %d are used up", p.kinds(), want, len(p.box.removed))
		}
	}
	own := p.held()[0].clone()
	p.start()
	p.receive(p.s, sealNext(p.c.core)) // and nothing more
	p.shelf["example.com"] = []*Session{own}
	if p.complete(); p.kinds() != both(KindResumed) {
		t.Errorf("when somebody else has named it, a session leads to %v", p.kinds())
	}
}
