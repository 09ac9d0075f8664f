//go:build !tls13only

package handshake

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// newPair12 is newPair in TLS 1.2.
func newPair12(t testing.TB) *pair {
	t.Helper()
	p := newPair(t)
	p.speak12()
	return p
}

func (p *pair) speak12() {
	p.clientPolicy.speak(tls.VersionTLS12)
	p.serverPolicy.speak(tls.VersionTLS12)
}

func (p *pair) speakBoth() {
	p.clientPolicy.speak(tls.VersionTLS12, tls.VersionTLS13)
	p.serverPolicy.speak(tls.VersionTLS12, tls.VersionTLS13)
}

// requestClient makes the server ask for a certificate, and gives the client one.
func (p *pair) requestClient(kind tlstest.Kind) {
	p.serverPolicy.ClientAuth, p.serverPolicy.ClientCAs = tls.RequireAndVerifyClientCert, p.clientPolicy.Roots
	p.clientPolicy.Credentials = []*Credential{credential(p.t, tlstest.ClientLeaf(kind))}
}

// staple gives the server a certificate with a staple and an SCT.
func (p *pair) staple() {
	cert := tlstest.Leaf(tlstest.ECDSAP256)
	cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("response"), [][]byte{[]byte("sct")}
	p.only(cert)
}

// acknowledge makes the server's hello promise what does not come.
func (p *pair) acknowledge(e wire.Extension) {
	p.serverDoors[kind(wire.TypeServerHello)] = editServerHello(func(h *wire.ServerHello) { h.Has = h.Has.With(e) })
}

var scripts12 = []script{
	{story: "a full handshake of TLS 1.2", before: (*pair).speak12},
	{story: "a client of both versions meets TLS 1.2", before: func(p *pair) {
		p.speakBoth()
		p.serverPolicy.speak(tls.VersionTLS12)
	}},
	{story: "the client has a certificate in TLS 1.2", before: func(p *pair) {
		p.speak12()
		p.requestClient(tlstest.ECDSAP256)
	}},
	{story: "the client has a certificate in TLS 1.2, and gets a ticket", before: func(p *pair) {
		p.speak12()
		p.keepSessions()
		p.requestClient(tlstest.Ed25519)
	}},
	{story: "a ticket is given", before: func(p *pair) {
		p.speak12()
		p.keepSessions()
	}},
	{story: "the client has no certificate in TLS 1.2", before: func(p *pair) {
		p.speak12()
		p.serverPolicy.ClientAuth = tls.RequestClientCert
	}},
	{story: "a CertificateStatus is sent", before: func(p *pair) {
		p.speak12()
		p.staple()
	}},
	{story: "a CertificateStatus is promised, and not sent", before: func(p *pair) {
		p.speak12()
		p.acknowledge(wire.ExtStatusRequest)
	}},
	{story: "a connection of TLS 1.2 is resumed by a ticket", before: func(p *pair) {
		p.speak12()
		p.keepSessions()
		p.complete()
	}},
	{story: "a connection of TLS 1.2 is resumed by its ID", before: func(p *pair) {
		p.speak12()
		p.keepSessions()
		p.box.stateful = true
		p.complete()
	}},
	{story: "the server asks for a hello all the time", before: func(p *pair) {
		p.speak12()
		p.keepSessions()
		p.staple()
		p.requestClient(tlstest.ECDSAP256)
		p.pesterClient(1, "WAIT_SH", "TLS 1.2 WAIT_CERT", "TLS 1.2 WAIT_STATUS_SKE", "TLS 1.2 WAIT_SKE")
	}},
	{story: "the server goes on asking for a hello", before: func(p *pair) {
		p.speak12()
		p.keepSessions()
		p.requestClient(tlstest.ECDSAP256)
		p.pesterClient(1, "TLS 1.2 WAIT_CR_DONE", "TLS 1.2 WAIT_DONE", "TLS 1.2 WAIT_NST", "TLS 1.2 WAIT_CCS")
	}},
	{story: "the server asks for a hello with its last message", before: func(p *pair) {
		p.speak12()
		p.pesterClient(1, "TLS 1.2 WAIT_FINISHED")
	}},
	{story: "the server asks for a renegotiation", before: (*pair).speak12, after: func(p *pair) {
		p.post(p.s, withBody(wire.TypeHelloRequest))
		p.works()
	}},
	{story: "the client asks for a renegotiation", before: (*pair).speak12, after: func(p *pair) {
		p.post(p.c, withBody(wire.TypeClientHello))
		p.works()
	}},
}

// The most that is hashed in TLS 1.2.
var hashing12 = []hashing{
	{"a large hello and a large certificate in TLS 1.2", "server", func(t *testing.T) *pair {
		p := newMutualPair(t)
		p.speak12()
		return p.largeHello().largeClientCertificate()
	}},
	{"all that is large in TLS 1.2", "client", func(t *testing.T) *pair {
		p := newMutualPair(t)
		p.speak12()
		p.keepSessions()
		return p.largeServerFlight12()
	}},
}

func (p *pair) largeServerFlight12() *pair {
	cert := tlstest.New(tlstest.Options{Bulk: large})
	cert.OCSPStaple = make([]byte, large)
	p.only(cert)
	p.serverDoors[kind(wire.TypeCertificateRequest)] = func(m []byte) []byte {
		body := m[wire.HeaderLen:]
		schemes := 1 + int(body[0]) // where they are listed
		length := 2 + int(binary.BigEndian.Uint16(body[schemes:]))
		more := bytes.Repeat([]byte{0x77, 0x77}, large/2)
		list := binary.BigEndian.AppendUint16(nil, uint16(length-2+len(more)))
		list = append(append(list, body[schemes+2:schemes+length]...), more...)
		return withBody(wire.TypeCertificateRequest, slices.Concat(body[:schemes], list, body[schemes+length:])...)
	}
	p.serverDoors[kind(wire.TypeNewSessionTicket)] = instead(withBody(wire.TypeNewSessionTicket,
		slices.Concat([]byte{0, 0, 1, 0}, binary.BigEndian.AppendUint16(nil, large), make([]byte, large))...))
	return p
}

// pesterClient hands the client so many HelloRequests in each of these states.
func (p *pair) pesterClient(n int, states ...string) {
	then := p.step
	p.step = func(to *side) {
		if at := to.machine.State(); to == p.c && slices.Contains(states, at) {
			for range n {
				if err := to.machine.Handle(withBody(wire.TypeHelloRequest)); err != nil {
					p.t.Fatalf("a HelloRequest in state %s: %v", at, err)
				}
				to.moves = append(to.moves, arrow(at, kind(wire.TypeHelloRequest), to.machine.State()))
			}
		}
		if then != nil {
			then(to)
		}
	}
}

func TestAPairAgreesOnTLS12(t *testing.T) {
	curves := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	for _, kind := range tlstest.Kinds {
		cert := credential(t, tlstest.Leaf(kind))
		for _, suite := range suites(suitesOf(tls.VersionTLS12)...) {
			if !slices.ContainsFunc(cert.schemes12, func(s *algo.Scheme) bool { return s.Auth() == suite.Auth }) {
				continue
			}
			for _, group := range curves {
				p := newPair12(t)
				p.only(tlstest.Leaf(kind))
				p.serverPolicy.Suites, p.serverPolicy.Groups = suites(suite.ID), groups(group)
				p.complete()
				p.works()
				for _, s := range []*side{p.c, p.s} {
					f := s.core.Facts
					if f.Version != tls.VersionTLS12 || f.Suite != suite.ID || f.Group != group || f.Kind != KindFull || s.ccs != 1 {
						t.Errorf("%v, %s, %v: the %s thinks it has %+v after %d change_cipher_specs", kind, suite.Name, group, s.name, f, s.ccs)
					}
				}
				f := p.client.Facts
				if len(f.PeerCertificates) != 2 || len(f.VerifiedChains) != 1 || algo.SchemeByID(f.PeerScheme).Auth() != suite.Auth {
					t.Errorf("%v, %s, %v: of the server the client knows %+v", kind, suite.Name, group, f)
				}
			}
		}
	}
}

func TestVersionsAreNegotiated(t *testing.T) {
	const tls12, tls13 = tls.VersionTLS12, tls.VersionTLS13
	type versions = []uint16
	for _, row := range []struct {
		client, server versions
		want           uint16 // 0: none
	}{
		{versions{tls12}, versions{tls12}, tls12},
		{versions{tls12}, versions{tls13}, 0},
		{versions{tls12}, versions{tls12, tls13}, tls12},
		{versions{tls13}, versions{tls12}, 0},
		{versions{tls13}, versions{tls13}, tls13},
		{versions{tls13}, versions{tls12, tls13}, tls13},
		{versions{tls12, tls13}, versions{tls12}, tls12},
		{versions{tls12, tls13}, versions{tls13}, tls13},
		{versions{tls12, tls13}, versions{tls12, tls13}, tls13},
	} {
		p := newPair(t)
		p.clientPolicy.speak(row.client...)
		p.serverPolicy.speak(row.server...)
		p.run()
		if row.want == 0 {
			expectAlert(t, p.s.err, fault.ProtocolVersionAlert, "a client of %#04x at a server of %#04x", row.client, row.server)
			continue
		}
		if p.c.err != nil || p.s.err != nil || p.client.Facts.Version != row.want || p.server.Facts.Version != row.want {
			t.Errorf("a client of %#04x at a server of %#04x: they have %#04x and %#04x (%v, %v), want %#04x",
				row.client, row.server, p.client.Facts.Version, p.server.Facts.Version, p.c.err, p.s.err, row.want)
			continue
		}
		p.works()
	}
}

func TestTheServerChoosesTheVersion(t *testing.T) {
	const tls12, tls13 = tls.VersionTLS12, tls.VersionTLS13
	type versions = []uint16
	both := versions{tls12, tls13}
	for _, row := range []struct {
		story  string
		server versions
		legacy uint16
		client versions // nil: no supported_versions
		want   uint16
	}{
		{"both everywhere", both, 0x0303, both, tls13},
		{"in the client's own order", both, 0x0303, versions{tls13, tls12}, tls13},
		{"among GREASE and drafts", both, 0x0303, versions{0x1a1a, 0x7f1c, tls12}, tls12},
		{"a list of TLS 1.2 only", both, 0x0303, versions{tls12}, tls12},
		{"a list of TLS 1.2 only, at a server of TLS 1.3", versions{tls13}, 0x0303, versions{tls12}, 0},
		{"a list of TLS 1.3 only, at a server of TLS 1.2", versions{tls12}, 0x0303, versions{tls13}, 0},
		{"a list of both, at a server of TLS 1.2", versions{tls12}, 0x0303, both, tls12},
		{"a list of older versions", both, 0x0303, versions{0x0302, 0x0301}, 0},
		{"no list", both, 0x0303, nil, tls12},
		{"no list, at a server of TLS 1.3", versions{tls13}, 0x0303, nil, 0},
		{"no list, and TLS 1.1", both, 0x0302, nil, 0},
		{"no list, and SSL 3.0", both, 0x0300, nil, 0},
		// "… MUST negotiate TLS 1.2 or prior …, even if
		// ClientHello.legacy_version is 0x0304 or later": RFC 9846, Section 4.3.1.
		{"no list, and legacy_version TLS 1.3", both, 0x0304, nil, tls12},
		{"no list, and a legacy_version from the far future", both, 0xffff, nil, tls12},
		// "servers MUST NOT use the ClientHello.legacy_version value" if there
		// is a list.
		{"a list of TLS 1.2, and legacy_version TLS 1.0", both, 0x0301, versions{tls12}, tls12},
		{"a list of TLS 1.1, and legacy_version TLS 1.2", both, 0x0303, versions{0x0302}, 0},
	} {
		var s Server
		s.policy = new(ServerPolicy)
		s.policy.speak(row.server...)
		h := wire.ClientHello{LegacyVersion: row.legacy}
		if row.client != nil {
			h.Has, h.SupportedVersions = wire.Extensions(wire.ExtSupportedVersions), wire.AppendUint16s(nil, row.client...)
		}
		if got := s.chooseVersion(&h); got != row.want {
			t.Errorf("%s: %#04x is chosen, want %#04x", row.story, got, row.want)
		}
	}
}

// A server that knows TLS 1.3 says so in the random of TLS 1.2, and a client
// that knows it too does not go on: RFC 9846, Section 4.2.3.
func TestDowngradesAreToldAndSeen(t *testing.T) {
	random := func(p *pair) (tail string) {
		p.tap = func(to *side, m []byte) []byte {
			if classify(m).kind == kind(wire.TypeServerHello) {
				tail = string(m[wire.HeaderLen+2+24:][:8])
			}
			return m
		}
		p.complete()
		return tail
	}
	p := newPair12(t)
	p.serverPolicy.speak(tls.VersionTLS12, tls.VersionTLS13)
	if got := random(p); got != downgradeTLS12 {
		t.Errorf("the random of a server of both versions ends with %q in TLS 1.2", got)
	}
	if got := random(newPair12(t)); got == downgradeTLS12 || got == downgradeTLS11 {
		t.Errorf("the random of a server of TLS 1.2 ends with %q", got)
	}

	for _, row := range []struct {
		tail   string
		both   bool // the client's versions
		reason fault.Reason
	}{
		{downgradeTLS12, true, fault.Downgrade},
		{downgradeTLS11, true, fault.Downgrade},
		{"DOWNGRD\x02", true, 0},
		{downgradeTLS12, false, 0},
	} {
		p := newPair12(t)
		if row.both {
			p.clientPolicy.speak(tls.VersionTLS12, tls.VersionTLS13)
		}
		p.serverDoors[kind(wire.TypeServerHello)] = func(m []byte) []byte {
			copy(m[wire.HeaderLen+2+24:], row.tail)
			return m
		}
		p.start()
		p.serverAnswers(nil)
		p.c.err = p.client.Handle(p.answer(wire.TypeServerHello))
		if row.reason == 0 {
			if p.c.err != nil {
				t.Errorf("a random that ends with %q, to a client of both %v: %v", row.tail, row.both, p.c.err)
			}
			continue
		}
		expectReason(t, p.c.err, row.reason, "a random that ends with %q", row.tail)
		expectAlert(t, p.c.err, fault.IllegalParameterAlert, "a random that ends with %q", row.tail)
	}
}

// serverAnswers gives the server the hello that the client has queued, edited.
func (p *pair) serverAnswers(edit func([]byte) []byte) error {
	p.t.Helper()
	hello := p.inTheClear(p.c)[0]
	if edit != nil {
		hello = edit(hello)
	}
	p.s.err = p.server.Handle(hello)
	return p.s.err
}

// inTheClear takes the messages in the clear that a side has for the other.
func (p *pair) inTheClear(from *side) (messages [][]byte) {
	p.t.Helper()
	var all []byte
	for from.core.Out.Pending() {
		rec := sealNext(from.core)
		if record.ContentType(rec[0]) == record.ChangeCipherSpec {
			break // what follows is protected
		}
		all = append(all, rec[record.HeaderLen:]...)
	}
	for len(all) > 0 {
		n := wire.HeaderLen + int(all[1])<<16 + int(all[2])<<8 + int(all[3])
		messages = append(messages, all[:n:n])
		all = all[n:]
	}
	return messages
}

// answer is the server's message of a type, of those that it has queued.
func (p *pair) answer(want wire.MessageType) []byte {
	p.t.Helper()
	for _, m := range p.inTheClear(p.s) {
		if wire.MessageType(m[0]) == want {
			return m
		}
	}
	p.t.Fatalf("there is no %v", want)
	return nil
}

// Without extended_main_secret there is no TLS 1.2 unless it is allowed, and
// then no exporter: RFC 7627, Section 5.
func TestExtendedMainSecretIsRequiredUnlessAllowed(t *testing.T) {
	for _, row := range []struct {
		story          string
		client, server bool // require it
		offered        bool
		refuses        string
	}{
		{"both have it and require it", true, true, true, ""},
		{"both have it and do not insist", false, false, true, ""},
		{"a client without it", false, true, false, "server"},
		{"a client without it, which the server allows", false, false, false, ""},
		{"a server without it", true, false, false, "client"},
	} {
		p := newPair12(t)
		p.clientPolicy.RequireEMS, p.serverPolicy.RequireEMS = row.client, row.server
		if !row.offered {
			p.clientDoors[kind(wire.TypeClientHello)] = without(wire.ExtExtendedMainSecret)
		}
		p.run()
		if row.refuses != "" {
			side := map[string]*side{"client": p.c, "server": p.s}[row.refuses]
			expectReason(t, side.err, fault.NoExtendedMainSecret, "%s", row.story)
			expectAlert(t, side.err, fault.HandshakeFailureAlert, "%s", row.story)
			continue
		}
		if p.c.err != nil || p.s.err != nil {
			t.Errorf("%s: %v, %v", row.story, p.c.err, p.s.err)
			continue
		}
		p.works()
		var out [2][32]byte
		for i, s := range []*side{p.c, p.s} {
			err := s.core.Export("EXPORTER-test", nil, out[i][:])
			if row.offered && err != nil || !row.offered && err != ErrExportWithoutEMS {
				t.Errorf("%s: the %s exports with %v", row.story, s.name, err)
			}
		}
		if out[0] != out[1] || row.offered == (out[0] == [32]byte{}) {
			t.Errorf("%s: the client exports %x, the server %x", row.story, out[0], out[1])
		}
	}
}

func TestBothSidesLogTheMainSecret(t *testing.T) {
	p := newPair12(t)
	p.keepSessions()
	for _, story := range []string{"a full handshake", "a resumption"} {
		var lines [2][]string
		var random, secret []byte
		for i, policy := range []*Policy{&p.clientPolicy.Policy, &p.serverPolicy.Policy} {
			policy.KeyLog = func(label string, clientRandom, s []byte) error {
				lines[i] = append(lines[i], fmt.Sprintf("%s %x %x", label, clientRandom, s))
				return nil
			}
		}
		p.clientDoors[kind(wire.TypeClientHello)] = func(m []byte) []byte {
			random = m[wire.HeaderLen+2:][:32]
			return m
		}
		p.complete()
		secret = p.client.secrets12().main.Bytes()
		want := []string{fmt.Sprintf("CLIENT_RANDOM %x %x", random, secret)}
		if !slices.Equal(lines[0], want) || !slices.Equal(lines[1], want) {
			t.Errorf("%s: the client logs %q, the server %q, want %q", story, lines[0], lines[1], want)
		}
	}
	if p.kinds() != both(KindResumed) {
		t.Errorf("the second handshake is of kinds %v", p.kinds())
	}

	full := errors.New("disk full")
	for _, server := range []bool{false, true} {
		for _, resume := range []bool{false, true} {
			p := newPair12(t)
			if resume {
				p.keepSessions()
				p.complete()
			}
			policy, s := &p.clientPolicy.Policy, func() *side { return p.c }
			if server {
				policy, s = &p.serverPolicy.Policy, func() *side { return p.s }
			}
			policy.KeyLog = func(string, []byte, []byte) error { return full }
			p.run()
			expectAlert(t, s().err, fault.InternalError, "the log of a %s fails, resuming %v", s().name, resume)
			if !errors.Is(s().err, full) {
				t.Errorf("the log's error is lost in %v", s().err)
			}
		}
	}
}

func TestSecretsOfTLS12AreForgotten(t *testing.T) {
	for _, fails := range []kind{0, kind(wire.TypeFinished)} {
		p := newPair12(t)
		if fails != 0 {
			p.clientDoors[fails] = instead(withBody(wire.TypeFinished, make([]byte, 12)...))
			p.run()
		} else {
			p.complete()
			if p.client.clientHandshake != nil || p.server.serverHandshake != nil || p.client.exchange != nil || p.server.exchange != nil {
				t.Error("a connection that is through keeps what only the handshake needs")
			}
		}
		for _, s := range []*side{p.c, p.s} {
			if bytes.Equal(s.core.secrets12().main.Bytes(), make([]byte, 48)) {
				t.Fatalf("the %s has no main secret to forget", s.name)
			}
			s.machine.Forget()
			s.machine.Forget() // another time changes nothing
			if !bytes.Equal(s.core.secrets12().main.Bytes(), make([]byte, 48)) {
				t.Errorf("the %s keeps its main secret", s.name)
			}
			if s.core.exchange != nil {
				t.Errorf("the %s keeps its transcript", s.name)
			}
		}
	}
}

// TestKeySharesAreForgotten: no key of an exchange outlives it, nor the end of
// a handshake that stops anywhere before.
func TestKeySharesAreForgotten(t *testing.T) {
	for name, prepare := range map[string]func(*pair){
		"TLS 1.3":              func(p *pair) {},
		"TLS 1.3 with a retry": func(p *pair) { p.serverPolicy.Groups = groups(tls.CurveP384) },
		"TLS 1.2":              (*pair).speak12,
		"TLS 1.2, though both offered": func(p *pair) {
			p.clientPolicy.speak(tls.VersionTLS12, tls.VersionTLS13)
			p.serverPolicy.speak(tls.VersionTLS12)
		},
	} {
		for records, complete := 0, false; !complete; records++ {
			p := newPair(t)
			prepare(p)
			p.start()
			seen := map[*algo.KeyShare]bool{}
			look := func() {
				if h := p.client.clientHandshake; h != nil {
					seen[h.shares[0]], seen[h.shares[1]] = true, true
				}
				if h := p.server.serverHandshake; h != nil && h.server12 != nil {
					seen[h.share] = true
				}
				delete(seen, nil)
			}
			look()
			for range records {
				from := p.c
				if !from.core.Out.Pending() {
					from = p.s
				}
				p.receive(p.other(from), sealNext(from.core))
				look()
			}
			if complete = p.client.Complete && p.server.Complete; !complete {
				p.client.Forget()
				p.server.Forget()
			}
			for s := range seen {
				if s.Group() != nil {
					t.Errorf("%s: after %d records, a key of %s is kept", name, records, s.Group().Name)
				}
			}
			if complete && len(seen) == 0 {
				t.Errorf("%s: no key has been seen", name)
			}
		}
	}
}

// Without randomness there is no handshake in TLS 1.2 either.
func TestRandomnessThatEndsInTLS12IsOurOwnFault(t *testing.T) {
	for n := range 64 {
		p := newPair12(t)
		p.serverPolicy.Groups = groups(tls.X25519)
		p.serverPolicy.Rand = bytes.NewReader(make([]byte, n))
		p.run()
		expectAlert(t, p.s.err, fault.InternalError, "a server with %d random bytes", n)

		p = newPair12(t)
		p.serverPolicy.Groups = groups(tls.X25519)
		p.clientPolicy.Rand = bytes.NewReader(make([]byte, 64+n%32))
		p.run()
		expectAlert(t, p.c.err, fault.InternalError, "a client with %d random bytes", 64+n%32)
	}
}

// A renegotiation is refused by a warning, once, and the connection goes on;
// asked for again it is the end. RFC 5246, Section 7.2.2.
func TestRenegotiationsAreRefused(t *testing.T) {
	for _, server := range []bool{false, true} {
		p := newPair12(t)
		p.complete()
		from, to, m := p.s, p.c, withBody(wire.TypeHelloRequest)
		if server {
			from, to, m = p.c, p.s, withBody(wire.TypeClientHello, 3, 3)
		}
		p.post(from, m)
		p.works()
		if !slices.Equal(from.warns, []fault.Alert{fault.NoRenegotiationAlert}) || to.err != nil {
			t.Errorf("the %s answers with the warnings %v, %v", to.name, from.warns, to.err)
		}
		p.post(from, m)
		p.pump()
		expectReason(t, to.err, fault.Renegotiation, "the second time at the %s", to.name)

		// After our close_notify there is nothing more to say.
		p = newPair12(t)
		p.complete()
		from, to = p.s, p.c
		if server {
			from, to = p.c, p.s
		}
		to.core.WriteClosed = true
		p.post(from, m)
		p.pump()
		if to.err != nil || len(from.warns) > 0 {
			t.Errorf("a %s that has closed answers %v, %v", to.name, from.warns, to.err)
		}
	}
	p := newPair12(t)
	p.complete()
	p.post(p.s, withBody(wire.TypeHelloRequest, 0))
	p.pump()
	expectAlert(t, p.c.err, fault.DecodeErrorAlert, "a HelloRequest with a body")
}

// During a handshake a HelloRequest is ignored: RFC 5246, Section 7.4.1.1. It
// is not in the transcript, or Finished and CertificateVerify would not verify;
// and there is an end to it.
func TestHelloRequestsDuringAHandshakeAreIgnored(t *testing.T) {
	request := withBody(wire.TypeHelloRequest)
	for _, both := range []bool{false, true} { // offers of the client: TLS 1.3 too
		for _, at := range []string{"WAIT_SH", "TLS 1.2 WAIT_CERT", "TLS 1.2 WAIT_CR_DONE", "TLS 1.2 WAIT_NST", "TLS 1.2 WAIT_CCS", "TLS 1.2 WAIT_FINISHED"} {
			p := newPair12(t)
			if both {
				p.clientPolicy.speak(tls.VersionTLS12, tls.VersionTLS13)
			}
			p.keepSessions()
			p.requestClient(tlstest.ECDSAP256)
			p.pesterClient(maxHelloRequests, at)
			p.complete()
			if n := len(p.c.warns) + len(p.s.warns); n != 0 || p.client.refused {
				t.Errorf("in state %s the client does not ignore a HelloRequest: %d warnings", at, n)
			}
			p.works()

			p.step = func(to *side) {
				if to == p.c && to.machine.State() == at {
					for range maxHelloRequests {
						must(to.machine.Handle(request))
					}
					expectReason(t, to.machine.Handle(request), fault.UnexpectedMessage, "a HelloRequest too many in state %s", at)
				}
			}
			clear(p.shelf)
			p.run()
		}
	}

	// A Finished that is protected without a change_cipher_spec begins with a
	// nonce of zeros, which look like HelloRequests.
	for _, at := range []string{"TLS 1.2 WAIT_NST", "TLS 1.2 WAIT_CCS"} {
		p := newPair12(t)
		p.keepSessions()
		p.step = func(to *side) {
			if to == p.c && to.machine.State() == at {
				p.step = nil
				to.err = p.messages(to, append(make([]byte, 8), bytes.Repeat([]byte{77}, 32)...))
				expectReason(t, to.err, fault.UnexpectedMessage, "HelloRequests and more in state %s", at)
			}
		}
		p.run()
		if p.step != nil {
			t.Errorf("the client was never in state %s", at)
		}
	}

	// They are counted for the whole handshake, and those after it are another matter.
	p := newPair12(t)
	p.pesterClient(2, "WAIT_SH", "TLS 1.2 WAIT_CERT")
	p.step = func(before func(*side)) func(*side) {
		return func(to *side) {
			if before(to); to == p.c && to.machine.State() == "TLS 1.2 WAIT_CCS" {
				expectReason(t, to.machine.Handle(request), fault.UnexpectedMessage, "a fifth HelloRequest in a handshake")
			}
		}
	}(p.step)
	p.complete()
	p.post(p.s, request)
	p.works()
	if !slices.Equal(p.s.warns, []fault.Alert{fault.NoRenegotiationAlert}) {
		t.Errorf("behind the handshake a HelloRequest is answered by %v, want no_renegotiation", p.s.warns)
	}
}

// TLS 1.3 has no HelloRequest. A client that offers both versions finds out by
// the ServerHello that it has taken what it should not have.
func TestNoHelloRequestLeadsToTLS13(t *testing.T) {
	request := withBody(wire.TypeHelloRequest)
	for _, retry := range []bool{false, true} {
		p := newPair(t)
		if retry {
			p.serverPolicy.Groups = groups(tls.CurveP384)
		}
		p.step = func(to *side) {
			if to == p.c {
				p.step = nil
				expectReason(t, to.machine.Handle(request), fault.UnexpectedMessage, "a HelloRequest for a client of TLS 1.3")
			}
		}
		p.run()

		p.clientPolicy.speak(tls.VersionTLS12, tls.VersionTLS13)
		p.step = func(to *side) {
			if to == p.c {
				p.step = nil
				must(to.machine.Handle(request))
			}
		}
		p.run()
		expectReason(t, p.c.err, fault.UnexpectedMessage, "a HelloRequest before the ServerHello of TLS 1.3")
	}
}

// Flights may be cut by records, and limited ones.
func TestFlightsOfTLS12InSmallRecords(t *testing.T) {
	for _, fragment := range []int{64, 65, 100, 1000} {
		p := newPair12(t)
		p.keepSessions()
		p.requestClient(tlstest.ECDSAP256)
		p.clientPolicy.Fragment, p.serverPolicy.Fragment = fragment, fragment
		for range 2 {
			p.complete()
			p.works()
		}
	}
}

// record_size_limit counts the content alone in TLS 1.2, and holds from the
// first protected record on: RFC 8449, Section 4.
func TestRecordSizeLimitsInTLS12(t *testing.T) {
	for _, limit := range []uint16{64, 100, 1 << 14, 1<<14 + 1} {
		p := newPair12(t)
		p.clientPolicy.RecordSizeLimit = limit
		p.complete()
		want := min(int(limit), record.MaxPlaintext)
		if got := p.server.Core.Out.Fragment(); got != want {
			t.Errorf("to a client with the limit %d a server sends records of %d", limit, got)
		}
		data := bytes.Repeat([]byte("data"), 100)
		p.write(p.s, data)
		if p.c.err != nil || !bytes.Equal(p.c.data, data) {
			t.Errorf("a client with the limit %d receives %d bytes, %v", limit, len(p.c.data), p.c.err)
		}
		if limit > 100 {
			continue
		}
		for n, want := range map[int]fault.Reason{want: 0, want + 1: fault.RecordOverflow} {
			p := newPair12(t)
			p.clientPolicy.RecordSizeLimit = limit
			p.complete()
			rec := make([]byte, p.server.Core.Out.RecordLen(n))
			p.server.Core.Out.Seal(rec, record.ApplicationData, make([]byte, n))
			p.receive(p.c, rec)
			if want == 0 && p.c.err != nil || want != 0 && fault.Of(p.c.err) != want {
				t.Errorf("a client with the limit %d is sent a record of %d bytes: %v", limit, n, p.c.err)
			}
		}
	}
}

func TestFinishedsOfTLS12ThatAreRefused(t *testing.T) {
	for _, resume := range []bool{false, true} {
		for _, row := range []struct {
			story string
			door  func(m []byte) []byte
			want  fault.Alert
		}{
			{"its first bit flipped", func(m []byte) []byte { m[wire.HeaderLen] ^= 0x80; return m }, fault.DecryptErrorAlert},
			{"its last bit flipped", func(m []byte) []byte { m[len(m)-1] ^= 1; return m }, fault.DecryptErrorAlert},
			{"zeros", instead(withBody(wire.TypeFinished, make([]byte, 12)...)), fault.DecryptErrorAlert},
			{"11 bytes", func(m []byte) []byte { return wire.End(m[:len(m)-1], 0) }, fault.DecodeErrorAlert},
			{"13 bytes", func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
			{"32 bytes, as in TLS 1.3", instead(withBody(wire.TypeFinished, make([]byte, 32)...)), fault.DecodeErrorAlert},
			{"nothing in it", instead(withBody(wire.TypeFinished)), fault.DecodeErrorAlert},
		} {
			for _, server := range []bool{false, true} {
				p := newPair12(t)
				if resume {
					p.keepSessions()
					p.complete()
				}
				doors, to := p.serverDoors, func() *side { return p.c }
				if server {
					doors, to = p.clientDoors, func() *side { return p.s }
				}
				doors[kind(wire.TypeFinished)] = row.door
				p.run()
				expectAlert(t, to().err, row.want, "a Finished with %s at the %s, resuming %v", row.story, to().name, resume)
				if to().core.Complete || to().core.MayRead || to().core.MayWrite {
					t.Errorf("a Finished with %s and the %s is through, resuming %v", row.story, to().name, resume)
				}
			}
		}

		// What one side has sent is not what it expects.
		p := newPair12(t)
		if resume {
			p.keepSessions()
			p.complete()
		}
		var first []byte
		p.tap = func(to *side, m []byte) []byte {
			if classify(m).kind != kind(wire.TypeFinished) {
				return m
			}
			if first == nil {
				first = bytes.Clone(m)
				return m
			}
			return first
		}
		p.run()
		to := p.c
		if resume {
			to = p.s
		}
		expectAlert(t, to.err, fault.DecryptErrorAlert, "its own Finished comes back to the %s, resuming %v", to.name, resume)
	}
}

// The change_cipher_spec has one place: early, as in CVE-2014-0224, late, or
// twice, it is the end. Every state but one is seen to refuse it in
// TestMessagesWithoutAnArrowAreUnexpected; here it comes on the wire.
func TestChangeCipherSpecHasItsPlace(t *testing.T) {
	ccs := []byte{byte(record.ChangeCipherSpec), 3, 3, 0, 1, 1}
	for at := clientWait12Cert; at < clientConnected12; at++ {
		putCCS(t, false, clientTable[at].name, ccs)
	}
	for at := serverWait12Cert; at < serverConnected12; at++ {
		putCCS(t, true, serverTable[at].name, ccs)
	}

	for _, server := range []bool{false, true} {
		p := newPair12(t)
		p.complete()
		to := p.c
		if server {
			to = p.s
		}
		p.receive(to, bytes.Clone(ccs))
		expectAlert(t, to.err, fault.UnexpectedMessageAlert, "the %s gets a change_cipher_spec when all is over", to.name)

		// A Finished in the clear is none, whatever is in it.
		p = newPair12(t)
		p.step = func(to *side) {
			if at := to.machine.State(); at == "TLS 1.2 WAIT_CCS" && (to == p.s) == server {
				err := to.machine.Handle(withBody(wire.TypeFinished, make([]byte, 12)...))
				expectAlert(t, err, fault.UnexpectedMessageAlert, "the %s gets a Finished before the change_cipher_spec", to.name)
			}
		}
		p.complete()

		// Nor may a message lie across it.
		p = newPair12(t)
		tried := false
		p.step = func(to *side) {
			if at := to.machine.State(); at == "TLS 1.2 WAIT_CCS" && (to == p.s) == server {
				tried = true
				to.core.In.Add([]byte{byte(wire.TypeFinished), 0})
				to.core.NextMessage()
			}
		}
		p.run()
		to = p.c
		if server {
			to = p.s
		}
		expectReason(t, to.err, fault.MessageSpansKeyChange, "half a message in front of the change_cipher_spec to the %s", to.name)
		if !tried {
			t.Errorf("the %s never waits for a change_cipher_spec", to.name)
		}
	}
}

// putCCS puts a change_cipher_spec in front of what a side gets in a state: the
// first one there moves it on if it waits for one, and then the second does not.
func putCCS(t *testing.T, server bool, at string, ccs []byte) {
	t.Helper()
	put := false
	for _, staple := range []bool{false, true} {
		for _, ticket := range []bool{false, true} {
			p := newPair12(t)
			p.requestClient(tlstest.ECDSAP256)
			if staple {
				p.staple()
			}
			if ticket {
				p.keepSessions()
			}
			p.step = func(to *side) {
				if (to == p.s) != server || to.machine.State() != at {
					return
				}
				p.step, put = nil, true
				err := p.open(to, bytes.Clone(ccs))
				if err == nil && at == "TLS 1.2 WAIT_CCS" {
					err = p.open(to, bytes.Clone(ccs))
				}
				expectAlert(t, err, fault.UnexpectedMessageAlert, "a change_cipher_spec in %s", at)
			}
			p.run()
		}
	}
	if !put {
		t.Errorf("no handshake passes through %s", at)
	}
}
