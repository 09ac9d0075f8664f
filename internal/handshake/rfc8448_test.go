package handshake

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/tlstest/rfc8448"
	"github.com/baretls/baretls/internal/wire"
)

// The handshakes of RFC 8448, Sections 3 to 7: recomputed from the private
// keys, and then played with our machines in either role.
var traces = []string{
	rfc8448.Simple1RTT, rfc8448.Resumed0RTT, rfc8448.HelloRetryRequest,
	rfc8448.ClientAuth, rfc8448.CompatibilityMode,
}

// traced is a trace with what is needed to hold it against a connection.
type traced struct {
	*testing.T
	rfc8448.Trace
	retried bool
	resumed bool // with early data
	kind    Kind
}

func forEachTrace(t *testing.T, f func(tr *traced)) {
	for _, name := range traces {
		t.Run(name, func(t *testing.T) {
			trace, err := rfc8448.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			tr := &traced{t, trace, name == rfc8448.HelloRetryRequest, name == rfc8448.Resumed0RTT, KindFull}
			switch {
			case tr.retried:
				tr.kind = KindFullWithRetry
			case tr.resumed:
				tr.kind = KindResumed
			}
			f(tr)
		})
	}
}

func (tr *traced) check(key string, got []byte) {
	tr.Helper()
	if want := tr.Bytes(key); !bytes.Equal(got, want) {
		tr.Errorf("%s is\n%x, want\n%x", key, got, want)
	}
}

// has reports whether the trace has a value of that name.
func (tr *traced) has(key string) bool {
	_, ok := tr.Trace[key]
	return ok
}

// those are the names among the given ones that the trace has.
func (tr *traced) those(names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !tr.has(name) })
}

// session is what the ticket of Section 3 leaves to Section 4, 6 ms later.
func (tr *traced) session(serverName string, now time.Time) *Session {
	tr.Helper()
	simple, err := rfc8448.Load(rfc8448.Simple1RTT)
	must(err)
	var ticket wire.NewSessionTicket
	must(ticket.Parse(simple.Bytes("new_session_ticket")[wire.HeaderLen:]))
	created := now.Add(-6 * time.Millisecond)
	return &Session{
		Version: tls.VersionTLS13, Suite: tls.TLS_AES_128_GCM_SHA256, Group: tls.X25519, Scheme: tls.PSSWithSHA256,
		Created: created, Origin: created, Lifetime: time.Duration(ticket.Lifetime) * time.Second,
		AgeAdd: ticket.AgeAdd, PSK: simple.Bytes("ticket_psk"), Ticket: ticket.Ticket,
		ServerName: serverName, MaxEarlyData: ticket.MaxEarlyDataSize,
		// Our client judges a server again that it resumes with: one it likes.
		PeerChain: tlstest.Leaf(tlstest.ECDSAP256).Certificate,
	}
}

// redeemer is a Tickets with one ticket, and that can be redeemed once.
type redeemer struct{ session *Session }

func (r redeemer) Issue([]byte, time.Time) ([]byte, error) { return nil, errors.New("no more tickets") }

func (r redeemer) Redeem(ticket []byte) []byte {
	if !bytes.Equal(ticket, r.session.Ticket) {
		return nil
	}
	issued := *r.session
	issued.PeerChain, issued.Ticket = nil, nil // as a server has it
	return issued.Append(nil)
}

func (r redeemer) Stateful() bool { return true }

func (r redeemer) Remove([]byte) bool { return true }

func (r redeemer) Keep(_, _ []byte, _ time.Time) {}

// curve is the name of the group that was agreed on, as the keys have it.
func (tr *traced) curve() (id tls.CurveID, name string) {
	if tr.retried {
		return tls.CurveP256, "p256"
	}
	return tls.X25519, "x25519"
}

// From the private keys and the messages follow all shares, secrets, MACs and
// records of the trace. (Secrets that no one is handed are in keyschedule.)
func TestRFC8448Recomputed(t *testing.T) {
	forEachTrace(t, func(tr *traced) {
		var c Core
		policy := testPolicy()
		c.init(&policy)
		id, name := tr.curve()
		group := algo.GroupByID(id)
		share, err := group.Generate(bytes.NewReader(tr.Bytes("client_" + name + "_private")))
		if err != nil {
			t.Fatal(err)
		}
		tr.check("client_"+name+"_public", share.AppendPublic(nil))
		shared, err := share.Finish(tr.Bytes("server_" + name + "_public"))
		if err != nil {
			t.Fatal(err)
		}
		tr.check("ecdhe_shared_secret", shared)
		public, shared, err := group.Respond(bytes.NewReader(tr.Bytes("server_"+name+"_private")), tr.Bytes("client_"+name+"_public"))
		if err != nil {
			t.Fatal(err)
		}
		tr.check("server_"+name+"_public", public)
		tr.check("ecdhe_shared_secret", shared)

		c.start(algo.SuiteByID(tls.TLS_AES_128_GCM_SHA256))
		if tr.retried {
			c.transcript.Add(tr.Bytes("client_hello_1"))
			c.transcript.Restart()
			c.transcript.Add(tr.Bytes("hello_retry_request"))
			c.transcript.Add(tr.Bytes("client_hello_2"))
		} else {
			c.transcript.Add(tr.Bytes("client_hello"))
		}
		var early keyschedule.TrafficSecret
		if tr.resumed {
			c.early = c.kdf.EarlySecret(tr.Bytes("psk"))
			early = c.early.ClientTraffic(c.kdf, c.transcript.Sum())
			c.earlyExporter = c.early.Exporter(c.kdf, c.transcript.Sum())
			tr.check("transcript_hash_client_hello", c.transcript.Sum())
			tr.check("client_early_traffic_secret", early.Bytes())
			tr.check("early_exporter_secret", c.earlyExporter.Bytes())
			var empty keyschedule.Transcript
			empty.Start(keyschedule.NewKDF(c.suite().NewHash))
			binder := c.early.Binder(c.kdf, false)
			tr.check("binder_hash", empty.SumWith(tr.Bytes("client_hello_prefix")))
			tr.check("binder", binder.MAC(c.kdf, nil, empty.SumWith(tr.Bytes("client_hello_prefix"))))
		}
		c.transcript.Add(tr.Bytes("server_hello"))
		tr.check("transcript_hash_server_hello", c.transcript.Sum())
		if err := c.deriveHandshake(shared); err != nil {
			t.Fatal(err)
		}
		tr.check("client_handshake_traffic_secret", c.clientHS.Bytes())
		tr.check("server_handshake_traffic_secret", c.serverHS.Bytes())

		for _, key := range tr.those("encrypted_extensions", "certificate_request", "certificate", "certificate_verify") {
			c.transcript.Add(tr.Bytes(key))
		}
		tr.check("server_finished_verify_data", c.serverHS.Finished(c.kdf, nil, c.transcript.Sum()))
		c.transcript.Add(tr.Bytes("server_finished"))
		tr.check("transcript_hash_server_finished", c.transcript.Sum())
		var client, server keyschedule.TrafficSecret
		c.keepUpTo(exporterSecret)
		if err := c.deriveApplication(&client, &server); err != nil {
			t.Fatal(err)
		}
		tr.check("client_application_traffic_secret_0", client.Bytes())
		tr.check("server_application_traffic_secret_0", server.Bytes())
		tr.check("exporter_secret", c.keptSecret(exporterSecret))
		for _, key := range tr.those("end_of_early_data", "client_certificate", "client_certificate_verify") {
			c.transcript.Add(tr.Bytes(key))
		}
		tr.check("client_finished_verify_data", c.clientHS.Finished(c.kdf, nil, c.transcript.Sum()))
		c.transcript.Add(tr.Bytes("client_finished"))
		tr.check("transcript_hash_client_finished", c.transcript.Sum())
		resumption := c.main.Resumption(c.kdf, c.transcript.Sum())
		if nonce, ok := tr.Trace["ticket_nonce"]; ok {
			psk := make([]byte, c.kdf.Size())
			resumption.PSK(c.kdf, nonce, psk)
			tr.check("ticket_psk", psk)
		}

		for _, direction := range []struct {
			secret  *keyschedule.TrafficSecret
			keys    string
			records []string // in order; those that the trace lacks do not count
		}{
			{&early, "client_early", []string{"client_early_data", "end_of_early_data"}},
			{&c.serverHS, "server_handshake", []string{"server_flight"}},
			{&c.clientHS, "client_handshake", []string{"client_finished", "client_flight"}},
			{&server, "server_application", []string{"new_session_ticket", "server_data", "server_alert"}},
			{&client, "client_application", []string{"client_data", "client_alert"}},
		} {
			if !direction.secret.Set() {
				continue // no early data
			}
			key := make([]byte, c.suite().KeyLen)
			direction.secret.Key(c.kdf, key)
			tr.check(direction.keys+"_key", key)
			keys, err := c.keys(c.suite(), c.kdf, direction.secret)
			if err != nil {
				t.Fatal(err)
			}
			tr.check(direction.keys+"_iv", keys.IV[:])
			c.Out.SetKeys(&keys)
			for _, name := range direction.records {
				if tr.has(name + "_record") {
					content, payload := contentOf(tr.Trace, name)
					tr.check(name+"_record", seal(&c.Out, content, payload))
				}
			}
		}
	})
}

func seal(w *record.Writer, t record.ContentType, content []byte) []byte {
	rec := make([]byte, w.RecordLen(len(content)))
	return rec[:w.Seal(rec, t, content)]
}

// contentOf is what a record of the trace carries.
func contentOf(trace rfc8448.Trace, name string) (record.ContentType, []byte) {
	payload, ok := trace[name+"_payload"]
	switch name {
	case "client_data", "server_data", "client_early_data":
		return record.ApplicationData, payload
	case "client_alert", "server_alert":
		return record.Alert, payload
	}
	if !ok {
		payload = trace.Bytes(name)
	}
	return record.Handshake, payload
}

// scripted reads as the parts given, and as anything afterwards.
func scripted(parts ...[]byte) io.Reader {
	return io.MultiReader(bytes.NewReader(slices.Concat(parts...)), rand.NewChaCha8([32]byte{}))
}

// The client of the trace is ours with the trace's hello and private keys. It
// refuses a certificate with an RSA key of 1024 bits, for that is none of ours,
// and there is no way around that but in this test: it takes the two messages
// that depend on it past the handlers by hand, and checks them itself.
func TestRFC8448AsClient(t *testing.T) {
	forEachTrace(t, func(tr *traced) {
		hellos := []string{"client_hello"}
		keys := [][]byte{make([]byte, 64), tr.Bytes("client_x25519_private")} // random and session ID are the door's
		if tr.retried {
			hellos = []string{"client_hello_1", "client_hello_2"}
			keys = append(keys, tr.Bytes("client_p256_private"))
		}
		now := time.Now()
		p := newPair(t)
		p.keepSessions()
		p.clientPolicy.Now = func() time.Time { return now }
		p.clientPolicy.Groups = groups(tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521)
		p.clientPolicy.Rand = scripted(keys...)
		next := 0
		p.clientDoors[kind(wire.TypeClientHello)] = func([]byte) []byte {
			next++
			return tr.Bytes(hellos[next-1])
		}
		if tr.resumed {
			p.clientPolicy.EarlyData = true
			p.shelf["example.com"] = []*Session{tr.session("example.com", now)}
		}
		if tr.has("certificate_request") {
			p.clientHas(tlstest.ClientLeaf(tlstest.RSA2048))
			p.clientPolicy.Judge.Instead = func(*Verification) error { return nil } // nobody knows the issuer
			p.clientDoors[kind(wire.TypeCertificate)] = func([]byte) []byte { return tr.Bytes("client_certificate") }
			p.clientDoors[kind(wire.TypeCertificateVerify)] = func([]byte) []byte { return tr.Bytes("client_certificate_verify") }
		}
		p.start()
		c := &p.client
		feed := func(name string) {
			t.Helper()
			p.receive(p.c, bytes.Clone(tr.Bytes(name+"_record")))
			if p.c.err != nil {
				t.Fatalf("%s is refused: %v", name, p.c.err)
			}
		}

		tr.check(hellos[0]+"_record", nextRecord(&c.Core))
		if tr.resumed {
			tr.offers(c)
		}
		if tr.retried {
			feed("hello_retry_request")
			tr.check(hellos[1]+"_record", tr.nextRecord(&c.Core))
		}
		feed("server_hello")
		tr.check("client_handshake_traffic_secret", c.clientHS.Bytes())
		tr.check("server_handshake_traffic_secret", c.serverHS.Bytes())

		_, flight, err := c.In.Open(bytes.Clone(tr.Bytes("server_flight_record")))
		if err != nil {
			t.Fatalf("server_flight does not open: %v", err)
		}
		tr.check("server_flight_payload", flight)
		tr.handle(p.c, flight, func(m message) {
			c.transcript.Add(m.raw)
			c.state = clientWaitCV
		}, func(m message) {
			tr.verify(c.signedContent(serverContext), m, "certificate")
			c.transcript.Add(m.raw)
			c.peer.shown, c.state = &nobody, clientWaitFinished
		})
		if c.State() != "CONNECTED" {
			t.Fatalf("after the server's flight the client is in %s", c.State())
		}
		for _, name := range tr.those("end_of_early_data_record", "client_flight_record", "client_finished_record") {
			tr.check(name, tr.nextRecord(&c.Core))
		}
		tr.connected(p, p.c, "client", "server")

		if tr.has("new_session_ticket") {
			want := tr.session("example.com", now)
			s := p.held()[0]
			tr.check("ticket_psk", s.PSK)
			if !bytes.Equal(s.PSK, want.PSK) || !bytes.Equal(s.Ticket, want.Ticket) || s.AgeAdd != want.AgeAdd || s.Lifetime != want.Lifetime || s.MaxEarlyData != want.MaxEarlyData {
				t.Errorf("the ticket leaves %+v, want %+v", s, want)
			}
		}
	})
}

// offers checks what a client adds to its hello, and sends after it, to resume
// with early data.
func (tr *traced) offers(c *Client) {
	tr.Helper()
	// Our own pre_shared_key would be the same, to the millisecond.
	var want wire.ClientHello
	must(want.Parse(tr.Bytes("client_hello")[wire.HeaderLen:]))
	c.setPSK()
	if got := c.hello.PreSharedKey.Identities; !bytes.Equal(got, want.PreSharedKey.Identities) {
		tr.Errorf("the identities are %x, want %x", got, want.PreSharedKey.Identities)
	}
	sealed := append(bytes.Clone(tr.Bytes("client_hello_prefix")), 0, 33, 32)
	sealed = append(sealed, make([]byte, 32)...)
	c.sealBinder(sealed)
	tr.check("client_hello", sealed)

	tr.check("early_exporter_secret", c.earlyExporter.Bytes())
	if rec := tr.nextRecord(&c.Core); rec != nil {
		tr.Errorf("behind the hello there is the record %x", rec)
	}
	payload := tr.Bytes("client_early_data_payload")
	if !c.EarlyWrite() || c.EarlyLeft() != 1024 {
		tr.Errorf("the client may send %d bytes of early data: %v", c.EarlyLeft(), c.EarlyWrite())
	}
	size, _ := c.SealedEarlyLen(len(payload))
	rec := make([]byte, size)
	c.SealEarlyData(rec, payload)
	tr.check("client_early_data_record", rec)
}

// handle gives a side a flight, except for the two messages that it cannot
// take if they are about a key of 1024 bits.
func (tr *traced) handle(s *side, flight []byte, certificate, verify func(message)) {
	tr.Helper()
	s.core.In.Add(flight)
	weak := false
	for {
		raw, ok, err := s.core.NextMessage()
		if err != nil {
			tr.Fatal(err)
		}
		if !ok {
			return
		}
		m := classify(raw)
		if weak && m.kind == kind(wire.TypeCertificateVerify) {
			verify(m)
			continue
		}
		err = s.machine.Handle(raw)
		if weak = m.kind == kind(wire.TypeCertificate) && tr.isWeak(m); weak {
			expectReason(tr, err, fault.BadCertificate, "a certificate with an RSA key of 1024 bits")
			certificate(m)
		} else if err != nil {
			tr.Fatalf("%v is refused: %v", m.kind, err)
		}
	}
}

func (tr *traced) isWeak(m message) bool {
	key, ok := keyOf(m.raw).(*rsa.PublicKey)
	return ok && key.Size() == 128
}

// keyOf is the key of the first certificate of a Certificate message.
func keyOf(m []byte) any {
	var certificate wire.Certificate
	must(certificate.Parse(m[wire.HeaderLen:], 0))
	for entry := range certificate.Entries() {
		cert, err := x509.ParseCertificate(entry.Data)
		must(err)
		return cert.PublicKey
	}
	return nil
}

// verify checks a CertificateVerify of a trace, by the key in a Certificate.
func (tr *traced) verify(signed []byte, m message, certificate string) {
	tr.Helper()
	var cv wire.CertificateVerify
	must(cv.Parse(m.body()))
	digest := sha256.Sum256(signed)
	err := rsa.VerifyPSS(keyOf(tr.Bytes(certificate)).(*rsa.PublicKey), crypto.SHA256, digest[:], cv.Signature, nil)
	if err != nil || tls.SignatureScheme(cv.Algorithm) != tls.PSSWithSHA256 {
		tr.Errorf("what we think is signed is not what the trace has signed: %v", err)
	}
}

// nextRecord seals the next record of c. The change_cipher_spec that our client
// sends in any case is only in the trace that asks for it.
func (tr *traced) nextRecord(c *Core) []byte {
	tr.Helper()
	rec := nextRecord(c)
	if len(rec) > 0 && rec[0] == byte(record.ChangeCipherSpec) {
		if tr.has("client_change_cipher_spec_record") {
			tr.check("client_change_cipher_spec_record", rec)
		}
		rec = nextRecord(c)
	}
	return rec
}

func nextRecord(c *Core) []byte {
	if !c.Out.Pending() {
		return nil
	}
	return sealNext(c)
}

// The server of the trace is ours with the trace's messages up to the
// CertificateVerify and its private key. Finished and all keys are its own.
func TestRFC8448AsServer(t *testing.T) {
	forEachTrace(t, func(tr *traced) {
		id, name := tr.curve()
		p := newPair(t)
		p.only(tlstest.Leaf(tlstest.RSA2048))
		p.serverPolicy.Groups = groups(id)
		p.serverPolicy.Rand = scripted(tr.Bytes("server_" + name + "_private"))
		for k, key := range map[kind]string{
			helloRetryRequest:                  "hello_retry_request",
			kind(wire.TypeServerHello):         "server_hello",
			kind(wire.TypeEncryptedExtensions): "encrypted_extensions",
			kind(wire.TypeCertificateRequest):  "certificate_request",
			kind(wire.TypeCertificate):         "certificate",
			kind(wire.TypeCertificateVerify):   "certificate_verify",
		} {
			p.serverDoors[k] = func([]byte) []byte { return tr.Bytes(key) }
		}
		now := time.Now()
		if tr.resumed {
			p.serverPolicy.Now = func() time.Time { return now }
			p.serverPolicy.Tickets, p.serverPolicy.MaxEarlyData = redeemer{tr.session("server", now)}, 1024
		}
		if tr.has("certificate_request") {
			p.only(tlstest.Leaf(tlstest.ECDSAP256))
			p.serverPolicy.ClientAuth = tls.RequireAnyClientCert
		}
		p.start()
		s := &p.server
		feed := func(name string) {
			t.Helper()
			p.receive(p.s, bytes.Clone(tr.Bytes(name+"_record")))
			if p.s.err != nil {
				t.Fatalf("%s is refused: %v", name, p.s.err)
			}
		}
		if tr.retried {
			feed("client_hello_1")
			tr.check("hello_retry_request_record", nextRecord(&s.Core))
			// The cookie is not of our making, and that is seen. Past it, the
			// second hello goes the way of any other.
			raw := tr.Bytes("client_hello_2")
			expectReason(t, s.Handle(raw), fault.HelloChanged, "a cookie that nobody sent")
			h, err := s.parseHello(classify(raw))
			must(err)
			ch, err := s.choose(h)
			must(err)
			if s.state, err = s.afterRetry(h, &ch, classify(raw)); err != nil {
				t.Fatal(err)
			}
		} else {
			feed("client_hello")
		}
		tr.check("client_handshake_traffic_secret", s.clientHS.Bytes())
		tr.check("server_handshake_traffic_secret", s.serverHS.Bytes())

		for _, name := range tr.those("server_hello_record", "server_change_cipher_spec_record", "server_flight_record") {
			tr.check(name, nextRecord(&s.Core))
		}
		if s.Core.Out.Pending() {
			t.Error("our server's flight is longer than that of the trace")
		}
		if tr.resumed {
			tr.check("early_exporter_secret", s.earlyExporter.Bytes())
			tr.check("binder", s.binder[:])
			feed("client_early_data")
			tr.check("client_early_data_payload", p.s.early)
			feed("end_of_early_data")
		}
		if !tr.has("client_flight_record") {
			feed("client_finished")
			tr.connected(p, p.s, "server", "client")
			return
		}
		_, flight, err := s.In.Open(bytes.Clone(tr.Bytes("client_flight_record")))
		if err != nil {
			t.Fatalf("client_flight does not open: %v", err)
		}
		tr.check("client_flight_payload", flight)
		tr.handle(p.s, flight, func(m message) {
			s.transcript.Add(m.raw)
			s.state = serverWaitCV
		}, func(m message) {
			tr.verify(s.signedContent(clientContext), m, "client_certificate")
			s.transcript.Add(m.raw)
			s.state = serverWaitFinished
		})
		tr.connected(p, p.s, "server", "client")
	})
}

// connected checks what a side has, sends and receives after the handshake.
func (tr *traced) connected(p *pair, s *side, role, peer string) {
	tr.Helper()
	c := s.core
	if !c.Complete || c.Out.Pending() {
		tr.Fatalf("the %s is not through: %s", role, s.machine.State())
	}
	group, _ := tr.curve()
	if f := c.Facts; f.Version != tls.VersionTLS13 || f.Suite != tls.TLS_AES_128_GCM_SHA256 || f.Group != group || f.Kind != tr.kind || (f.EarlyData == EarlyDataAccepted) != tr.resumed {
		tr.Errorf("the %s thinks it has %#04x, %#04x, %v, and the handshake was of kind %d", role, f.Version, f.Suite, f.Group, f.Kind)
	}
	tr.check(role+"_application_traffic_secret_0", c.keptSecret(writeSecret))
	tr.check(peer+"_application_traffic_secret_0", c.keptSecret(readSecret))
	tr.check("exporter_secret", c.keptSecret(exporterSecret))

	for _, name := range []string{"new_session_ticket", "server_data", "server_alert", "client_data", "client_alert"} {
		rec, ok := tr.Trace[name+"_record"]
		if !ok {
			continue
		}
		t, content := contentOf(tr.Trace, name)
		if (name[:6] == "client") == (role == "client") {
			tr.check(name+"_record", seal(&c.Out, t, content))
			continue
		}
		gotType, got, err := c.In.Open(bytes.Clone(rec))
		if err != nil || gotType != t || !bytes.Equal(got, content) {
			tr.Fatalf("%s opens to %v %x, %v", name, gotType, got, err)
		}
		if t == record.Handshake {
			if err := p.messages(s, got); err != nil {
				tr.Errorf("%s is refused: %v", name, err)
			}
		}
	}
}
