package handshake

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/tlstest/rfc8448"
	"github.com/baretls/baretls/internal/wire"
)

// The full handshakes of RFC 8448, Sections 3, 5 and 7: recomputed from
// the private keys, and then played with our machines in either role.
var traces = []string{rfc8448.Simple1RTT, rfc8448.HelloRetryRequest, rfc8448.CompatibilityMode}

// traced is a trace with what is needed to hold it against a connection.
type traced struct {
	*testing.T
	rfc8448.Trace
	retried bool
}

func forEachTrace(t *testing.T, f func(tr *traced)) {
	for _, name := range traces {
		t.Run(name, func(t *testing.T) {
			trace, err := rfc8448.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			f(&traced{t, trace, name == rfc8448.HelloRetryRequest})
		})
	}
}

func (tr *traced) check(key string, got []byte) {
	tr.Helper()
	if want := tr.Bytes(key); !bytes.Equal(got, want) {
		tr.Errorf("%s is\n%x, want\n%x", key, got, want)
	}
}

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
		c.transcript.Add(tr.Bytes("server_hello"))
		tr.check("transcript_hash_server_hello", c.transcript.Sum())
		if err := c.deriveHandshake(shared); err != nil {
			t.Fatal(err)
		}
		tr.check("client_handshake_traffic_secret", c.clientHS.Bytes())
		tr.check("server_handshake_traffic_secret", c.serverHS.Bytes())

		for _, key := range []string{"encrypted_extensions", "certificate", "certificate_verify"} {
			c.transcript.Add(tr.Bytes(key))
		}
		tr.check("server_finished_verify_data", c.serverHS.Finished(c.kdf, nil, c.transcript.Sum()))
		c.transcript.Add(tr.Bytes("server_finished"))
		tr.check("transcript_hash_server_finished", c.transcript.Sum())
		var client, server keyschedule.TrafficSecret
		if err := c.deriveApplication(&client, &server); err != nil {
			t.Fatal(err)
		}
		tr.check("client_application_traffic_secret_0", client.Bytes())
		tr.check("server_application_traffic_secret_0", server.Bytes())
		tr.check("exporter_secret", c.exporter.Bytes())
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
			{&c.serverHS, "server_handshake", []string{"server_flight"}},
			{&c.clientHS, "client_handshake", []string{"client_finished"}},
			{&server, "server_application", []string{"new_session_ticket", "server_data", "server_alert"}},
			{&client, "client_application", []string{"client_data", "client_alert"}},
		} {
			key := make([]byte, c.suite.KeyLen)
			direction.secret.Key(c.kdf, key)
			tr.check(direction.keys+"_key", key)
			keys, err := c.keys(c.suite, c.kdf, direction.secret)
			if err != nil {
				t.Fatal(err)
			}
			tr.check(direction.keys+"_iv", keys.IV[:])
			c.Out.SetKeys(keys)
			for _, name := range direction.records {
				if _, ok := tr.Trace[name+"_record"]; ok {
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
	case "client_data", "server_data":
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
// refuses the certificate, for an RSA key of 1024 bits is none of ours, and
// there is no way around that but in this test: it takes the two messages that
// depend on it past the handlers by hand, and checks them itself.
func TestRFC8448AsClient(t *testing.T) {
	forEachTrace(t, func(tr *traced) {
		hellos := []string{"client_hello"}
		keys := [][]byte{make([]byte, 64), tr.Bytes("client_x25519_private")} // random and session ID are the door's
		if tr.retried {
			hellos = []string{"client_hello_1", "client_hello_2"}
			keys = append(keys, tr.Bytes("client_p256_private"))
		}
		p := newPair(t)
		p.clientPolicy.Groups = groups(tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521)
		p.clientPolicy.Rand = scripted(keys...)
		next := 0
		p.clientDoors[kind(wire.TypeClientHello)] = func([]byte) []byte {
			next++
			return tr.Bytes(hellos[next-1])
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
		c.In.Add(flight)
		for {
			raw, ok, err := c.In.NextMessage()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			switch m := classify(raw); m.kind {
			case kind(wire.TypeCertificate):
				err := c.Handle(raw)
				expectReason(t, err, fault.BadCertificate, "a certificate with an RSA key of 1024 bits")
				c.walkPast(m, clientWaitCV)
			case kind(wire.TypeCertificateVerify):
				tr.verify(c.signedContent(serverContext), m)
				c.walkPast(m, clientWaitFinished)
			default:
				if err := c.Handle(raw); err != nil {
					t.Fatalf("%v is refused: %v", m.kind, err)
				}
			}
		}
		if c.State() != "CONNECTED" {
			t.Fatalf("after the server's flight the client is in %s", c.State())
		}
		tr.check("client_finished_record", tr.nextRecord(&c.Core))
		tr.connected(p, p.c, "client", "server")
	})
}

// walkPast does with a message what its handler would do in the end.
func (c *Client) walkPast(m message, next state) {
	c.transcript.Add(m.raw)
	c.state = next
}

// verify checks the CertificateVerify of a trace.
func (tr *traced) verify(signed []byte, m message) {
	tr.Helper()
	var certificate wire.Certificate
	must(certificate.Parse(tr.Bytes("certificate")[wire.HeaderLen:], 0))
	for entry := range certificate.Entries() {
		cert, err := x509.ParseCertificate(entry.Data)
		must(err)
		var cv wire.CertificateVerify
		must(cv.Parse(m.body()))
		digest := sha256.Sum256(signed)
		err = rsa.VerifyPSS(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], cv.Signature, nil)
		if err != nil || tls.SignatureScheme(cv.Algorithm) != tls.PSSWithSHA256 {
			tr.Errorf("what we think is signed is not what the trace's server has signed: %v", err)
		}
	}
}

// nextRecord seals the next record of c. The change_cipher_spec that our client
// sends in any case is only in the trace that asks for it.
func (tr *traced) nextRecord(c *Core) []byte {
	tr.Helper()
	rec := nextRecord(c)
	if len(rec) > 0 && rec[0] == byte(record.ChangeCipherSpec) {
		if _, ok := tr.Trace["client_change_cipher_spec_record"]; ok {
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
			kind(wire.TypeCertificate):         "certificate",
			kind(wire.TypeCertificateVerify):   "certificate_verify",
		} {
			p.serverDoors[k] = func([]byte) []byte { return tr.Bytes(key) }
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
			var h wire.ClientHello
			must(s.parseHello(&h, classify(raw)))
			ch, err := s.choose(&h)
			must(err)
			if s.state, err = s.afterRetry(&h, &ch, classify(raw)); err != nil {
				t.Fatal(err)
			}
		} else {
			feed("client_hello")
		}
		tr.check("client_handshake_traffic_secret", s.clientHS.Bytes())
		tr.check("server_handshake_traffic_secret", s.serverHS.Bytes())

		records := []string{"server_hello", "server_flight"}
		if _, ok := tr.Trace["server_change_cipher_spec_record"]; ok {
			records = []string{"server_hello", "server_change_cipher_spec", "server_flight"}
		}
		for _, name := range records {
			tr.check(name+"_record", nextRecord(&s.Core))
		}
		if s.Core.Out.Pending() {
			t.Error("our server's flight is longer than that of the trace")
		}
		feed("client_finished")
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
	if f := c.Facts; f.Version != tls.VersionTLS13 || f.Suite != tls.TLS_AES_128_GCM_SHA256 || f.Group != group || (f.Kind == KindFullWithRetry) != tr.retried {
		tr.Errorf("the %s thinks it has %#04x, %#04x, %v, and the handshake was of kind %d", role, f.Version, f.Suite, f.Group, f.Kind)
	}
	tr.check(role+"_application_traffic_secret_0", c.writeSecret.Bytes())
	tr.check(peer+"_application_traffic_secret_0", c.readSecret.Bytes())
	tr.check("exporter_secret", c.exporter.Bytes())

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
