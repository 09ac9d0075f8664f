package baretls_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// What has to do with keys in TLS 1.2: sizes, limits, exporters, extraction.

// suites12 are those of TLS 1.2, each with a kind of certificate that goes
// with it and what a record has on top of its content.
var suites12 = []struct {
	id       uint16
	cert     tlstest.Kind
	overhead int
}{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tlstest.ECDSAP256, 29},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tlstest.ECDSAP256, 29},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tlstest.ECDSAP256, 21},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tlstest.RSA2048, 29},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tlstest.RSA2048, 29},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tlstest.RSA2048, 21},
}

// suitePair12 is a pair after its handshake, with that suite.
func suitePair12(t *testing.T, suite uint16, cert tlstest.Kind, change func(c *baretls.ClientConfig, s *baretls.ServerConfig)) *pair {
	t.Helper()
	client, server := tls12.client(), tls12.server()
	client.CipherSuites = []uint16{suite}
	server.Certificates = []tls.Certificate{tlstest.Leaf(cert)}
	if change != nil {
		change(client, server)
	}
	p := newPair(t, client, server)
	p.handshake()
	if got := p.server.conn.NegotiatedCipherSuite(); got != suite {
		t.Fatalf("the suite is %s, want %s", tls.CipherSuiteName(got), tls.CipherSuiteName(suite))
	}
	return p
}

// Records are what code of its own makes of the key log, to the byte, but for
// the part of the nonce that is the sender's affair.
func TestTLS12RecordsOfEverySuite(t *testing.T) {
	for _, suite := range suites12 {
		p := suitePair12(t, suite.id, suite.cert, nil)
		name := tls.CipherSuiteName(suite.id)
		for _, from := range p.sides() {
			to := p.other(from)
			opener, sealer := p.forger(from), p.forger(from)
			seen := make(map[string]bool)
			for i, data := range []string{"one", "two", strings.Repeat("three", 1000)} {
				from.write([]byte(data))
				record := from.take()
				if len(record) != len(data)+suite.overhead {
					t.Errorf("%s: %d bytes make a record of %d, want %d more", name, len(data), len(record), suite.overhead)
				}
				if suite.overhead == 29 {
					if nonce := string(record[5:13]); seen[nonce] {
						t.Errorf("%s: the explicit nonce %x comes twice", name, nonce)
					} else {
						seen[nonce] = true
					}
				}
				if typ, content := opener.open(t, record); typ != applicationData || string(content) != data {
					t.Errorf("%s: record %d of the %s is %d bytes of type %d", name, i, from.role, len(content), typ)
				}
				to.give(sealer.seal(applicationData, []byte(data), 0)) // in its place
				to.turns()
			}
			if want := "onetwo" + strings.Repeat("three", 1000); string(to.data) != want {
				t.Errorf("%s: of a peer with other nonces, the %s gets %d bytes, error %v", name, to.role, len(to.data), to.err)
			}
		}
		if got := strings.Count(p.keys.String(), "\n"); got != 1 || !strings.HasPrefix(p.keys.String(), "CLIENT_RANDOM ") {
			t.Errorf("%s: the key log is\n%swant one line with the main secret", name, p.keys)
		}
	}
}

// Sizes are exact with every suite, at all the boundaries.
func TestTLS12SizesAreExact(t *testing.T) {
	for _, suite := range suites12[1:4] {
		for _, fragment := range []int{64, 1000, 16384} {
			p := suitePair12(t, suite.id, suite.cert, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				c.MaxFragmentSize, s.MaxFragmentSize = fragment, fragment
			})
			for _, n := range dataSizes {
				wantExactData(t, p, fmt.Sprintf("%s, fragments of %d", tls.CipherSuiteName(suite.id), fragment), suite.overhead, fragment, 1, n)
			}
			if n := p.client.writer().CloseNotifyLen(); n != 2+suite.overhead {
				t.Errorf("a close_notify has %d bytes, want %d more than 2", n, suite.overhead)
			}
			if n := p.client.writer().EncryptedLen(0); n != 0 {
				t.Errorf("no data has %d bytes", n)
			}
		}
	}
}

// Padding is 1.3's only: a configuration that asks for it gets none here.
func TestTLS12HasNoPadding(t *testing.T) {
	p := suitePair12(t, suites12[0].id, suites12[0].cert, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.RecordPadding, s.RecordPadding = 1024, 1024
	})
	p.client.write([]byte("data"))
	if n := len(p.client.sent); n != 4+29 {
		t.Errorf("4 bytes make a record of %d, want 33", n)
	}
	p.run()
	p.works()
}

// limited12 is a pair whose keys are used up soon.
func limited12(t *testing.T) *pair {
	t.Helper()
	client, server := tls12.client(), tls12.server()
	client.MaxFragmentSize, server.MaxFragmentSize = 64, 64
	client.KeyLogWriter = new(keyLog)
	if err := baretls.LimitClientKeys(client, keyLimit); err != nil {
		t.Fatal(err)
	}
	if err := baretls.LimitServerKeys(server, keyLimit); err != nil {
		t.Fatal(err)
	}
	p := newPair(t, client, server)
	p.keys = client.KeyLogWriter.(*keyLog)
	p.handshake()
	return p
}

// A key that cannot be changed is used up one day. Then nothing is written, and
// the peer is told in time that there will be no more.
func TestTLS12ExhaustedKeys(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		p := limited12(t)
		s := p.side(role)
		opener := p.forger(s)
		opener.seq = 0
		opener.seq++ // the Finished
		var flight []byte
		written := 0
		w := s.writer()
		for range 2 * keyLimit {
			out, err := w.AppendEncrypted(nil, []byte("data"))
			if err != nil {
				if err != baretls.ErrEncryptExhausted || len(out) != 0 {
					t.Errorf("the write beyond the limit returns %d bytes, %v, want ErrEncryptExhausted", len(out), err)
				}
				break
			}
			flight = append(flight, out...)
			written++
		}
		if written == 0 || written >= keyLimit {
			t.Errorf("under a key for %d records, %d are written behind the Finished", keyLimit, written)
		}
		wantExhausted(t, w)
		s.transcript = nil
		s.turns()
		s.wantStates("exhausted key", encode, transmit, write)
		flight = append(flight, s.take()...)
		wantExhausted(t, s.writer())

		list := records(t, flight)
		for i, record := range list {
			typ, content := opener.open(t, record)
			if opener.seq > keyLimit {
				t.Errorf("record %d is number %d under its key, want %d at most, the close_notify included", i, opener.seq, keyLimit)
			}
			if i < written && (typ != applicationData || string(content) != "data") || i == written && (typ != alert || !bytes.Equal(content, []byte{1, 0})) {
				t.Errorf("record %d is %x of type %d", i, content, typ)
			}
		}
		if len(list) != written+1 {
			t.Errorf("%d records are sent, want %d with data and the close_notify", len(list), written)
		}
		peer := p.other(s)
		peer.give(flight)
		peer.turns()
		if peer.wantAlive(); !peer.peerClosed || string(peer.data) != strings.Repeat("data", written) {
			t.Errorf("the peer gets %q, and PeerClosed: %v", peer.data, peer.peerClosed)
		}
		p.send(peer, "the other direction")
		peer.close()
		p.run()
		if last := s.transcript[len(s.transcript)-1]; last != closed {
			t.Errorf("when both have closed, the %s is in %s", s.role, last)
		}
	}
}

// wantExhausted checks that the write side is shut for ever.
func wantExhausted(t *testing.T, w baretls.WriteTraffic) {
	t.Helper()
	room := make([]byte, 1000)
	for range 3 {
		if n, err := w.Encrypt([]byte("x"), room); n != 0 || err != baretls.ErrEncryptExhausted {
			t.Errorf("Encrypt behind the end of the key returns %d, %v, want ErrEncryptExhausted", n, err)
		}
		if out, err := w.AppendEncrypted(nil, []byte("x")); len(out) != 0 || err != baretls.ErrEncryptExhausted {
			t.Errorf("AppendEncrypted behind the end of the key returns %d bytes, %v, want ErrEncryptExhausted", len(out), err)
		}
		if n, err := w.QueueCloseNotify(room); n != 0 || err != nil {
			t.Errorf("QueueCloseNotify behind the end of the key returns %d, %v: it is queued already", n, err)
		}
		if w.EncryptedLen(1) != 0 || w.CloseNotifyLen() != 0 {
			t.Error("behind the end of the key there are still lengths")
		}
	}
	if !bytes.Equal(room, make([]byte, len(room))) {
		t.Error("behind the end of the key something is written all the same")
	}
}

// One write of more records than are left writes nothing at all, though some
// of them would have had their place; and it is the end of smaller ones too.
func TestTLS12ExhaustedInOneLargeWrite(t *testing.T) {
	for before := range keyLimit - 2 {
		p := limited12(t)
		for range before {
			p.client.write([]byte("x"))
		}
		w := p.client.writer()
		room := make([]byte, 10_000)
		if n, err := w.Encrypt(make([]byte, 64*(keyLimit-before)), room); n != 0 || err != baretls.ErrEncryptExhausted {
			t.Errorf("%d records and then %d: Encrypt returns %d, %v, want ErrEncryptExhausted", before, keyLimit-before, n, err)
		}
		wantExhausted(t, w)
		if !bytes.Equal(room, make([]byte, len(room))) {
			t.Errorf("%d records and then %d: some are written", before, keyLimit-before)
		}
		p.client.woken = true
		p.run()
		if string(p.server.data) != strings.Repeat("x", before) || !p.server.peerClosed {
			t.Errorf("%d records and then too many: the server gets %q, and PeerClosed: %v", before, p.server.data, p.server.peerClosed)
		}
		p.server.close()
		p.run()
		if last := p.client.transcript[len(p.client.transcript)-1]; last != closed {
			t.Errorf("when both have closed, the client is in %s", last)
		}
	}
}

// Who closes in time is not exhausted.
func TestTLS12CloseNotifyBeforeTheLimit(t *testing.T) {
	for written := range keyLimit - 1 {
		p := limited12(t)
		for range written {
			if _, err := p.client.writer().Encrypt([]byte("x"), make([]byte, 100)); err != nil {
				break
			}
		}
		w := p.client.writer()
		if n, err := w.QueueCloseNotify(make([]byte, 100)); n != 2+29 || err != nil {
			t.Errorf("after %d records, QueueCloseNotify returns %d, %v", written, n, err)
		}
		if _, err := w.Encrypt([]byte("x"), make([]byte, 100)); err != baretls.ErrWriteClosed {
			t.Errorf("after %d records and the close_notify, Encrypt returns %v, want ErrWriteClosed", written, err)
		}
	}
}

// Exporters are RFC 5705's, over the main secret of the key log.
func TestTLS12Exporter(t *testing.T) {
	for _, suite := range suites12 {
		p := suitePair12(t, suite.id, suite.cert, nil)
		newHash := suiteOf(suite.id).newHash
		main := p.keys.secret(t, "CLIENT_RANDOM")
		randoms := slices.Concat(p.client.random(), p.server.random())
		seen := make(map[string]bool)
		for _, context := range [][]byte{nil, {}, []byte("context"), make([]byte, 1000)} {
			for _, n := range []int{1, 20, 32, 33, 100, 1000} {
				seed := randoms
				if context != nil { // an empty one has a length
					seed = slices.Concat(randoms, vector16(context))
				}
				want := prf12(newHash, main, "EXPERIMENTAL label", seed, n)
				for _, s := range p.sides() {
					got, err := s.conn.ExportKeyingMaterial("EXPERIMENTAL label", context, n)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: %d bytes for a context of %d are %x, %v, want %x", s.role, n, len(context), got, err, want)
					}
				}
				if n == 32 {
					if seen[string(want)] {
						t.Errorf("a context of %d bytes makes no difference", len(context))
					}
					seen[string(want)] = true
				}
			}
		}
		want := prf12(newHash, main, "EXPORTER-Channel-Binding", slices.Concat(randoms, []byte{0, 0}), 32)
		if got, err := p.client.conn.TLSExporter(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("tls-exporter is %x, %v, want %x", got, err, want)
		}
		for _, n := range []int{0, -1} {
			if _, err := p.client.conn.ExportKeyingMaterial("label", nil, n); err == nil {
				t.Errorf("%d bytes are exported", n)
			}
		}
		if _, err := p.client.conn.ExportKeyingMaterial("label", make([]byte, 1<<16), 32); err == nil {
			t.Error("a context that has no length is taken")
		}
		p.client.close()
		if _, err := p.client.conn.ExportKeyingMaterial("label", nil, 32); err != nil {
			t.Errorf("after the close_notify, exporting yields %v", err)
		}
	}
}

// Without extended_main_secret the main secret is that of both randoms, and
// there is nothing to export: RFC 7627, Section 5.4.
func TestTLS12NoExporterWithoutExtendedMainSecret(t *testing.T) {
	client, server := tls12.client(), tls12.server()
	client.AllowNoExtendedMainSecret, server.AllowNoExtendedMainSecret = true, true
	x := newMeddler(t, client, server, without(extExtendedMainSecret))
	x.handshake()
	x.works()
	for _, s := range x.sides() {
		for _, export := range []func() ([]byte, error){
			s.conn.TLSExporter,
			func() ([]byte, error) { return s.conn.ExportKeyingMaterial("label", nil, 32) },
		} {
			if out, err := export(); err == nil || out != nil {
				t.Errorf("%s: without extended_main_secret, %d bytes are exported, error %v", s.role, len(out), err)
			}
		}
	}
}

// extracted makes a forger of keys that have left their connection.
func extracted(t *testing.T, suite uint16, k baretls.TrafficKeys) *forger {
	t.Helper()
	s := suiteOf(suite)
	aead, err := s.newAEAD(k.Key)
	if err != nil {
		t.Fatal(err)
	}
	if len(k.IV) != 12 {
		t.Fatalf("the IV has %d bytes", len(k.IV))
	}
	f := &forger{aead: aead, tls12: true, seq: k.Sequence, iv: k.IV[:12-s.explicit]}
	if s.explicit > 0 { // "the explicit nonce of the next record, which goes up by one each"
		f.explicit = binary.BigEndian.Uint64(k.IV[4:]) - k.Sequence
	}
	return f
}

// The keys that leave a connection go on where it was, with records of code of
// its own.
func TestTLS12Extraction(t *testing.T) {
	for _, suite := range suites12[:3] {
		for _, role := range []string{"client", "server"} {
			p := suitePair12(t, suite.id, suite.cert, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
				c.EnableSecretExtraction, s.EnableSecretExtraction = true, true
			})
			p.works()
			p.send(p.client, "one record more")
			s := p.side(role)
			peer := p.other(s)
			next := p.forger(s)
			secrets, err := s.conn.DangerousExtractSecrets()
			if err != nil {
				t.Fatal(err)
			}
			if secrets.Version != tls.VersionTLS12 || secrets.CipherSuite != suite.id {
				t.Errorf("the secrets are of %s, %s", tls.VersionName(secrets.Version), tls.CipherSuiteName(secrets.CipherSuite))
			}
			if !bytes.Equal(secrets.Tx.IV[:len(next.iv)], next.iv) {
				t.Errorf("the IV is %x, want %x in front", secrets.Tx.IV, next.iv)
			}
			tx, rx := extracted(t, suite.id, secrets.Tx), extracted(t, suite.id, secrets.Rx)
			sent := uint64(2) // Finished, and what works sends
			if role == "client" {
				sent = 3
			}
			if tx.seq != sent || rx.seq != 5-sent {
				t.Errorf("the %s has written %d records and read %d, want %d and %d", role, tx.seq, rx.seq, sent, 5-sent)
			}
			before := len(peer.data)
			for _, data := range []string{"beyond", " the connection"} {
				peer.give(tx.seal(applicationData, []byte(data), 0))
			}
			peer.turns()
			if got := string(peer.data[before:]); got != "beyond the connection" {
				t.Errorf("%s: the peer gets %q, error %v", tls.CipherSuiteName(suite.id), got, peer.err)
			}
			for _, data := range []string{"and", " back"} {
				peer.write([]byte(data))
				if typ, content := rx.open(t, peer.take()); typ != applicationData || string(content) != data {
					t.Errorf("%s: the peer's record is %q of type %d", tls.CipherSuiteName(suite.id), content, typ)
				}
			}
			if _, err := s.conn.ProcessTLSRecords(nil); !errors.Is(err, baretls.ErrSecretsExtracted) {
				t.Errorf("a connection without its secrets says %v", err)
			}
			if _, err := s.conn.DangerousExtractSecrets(); !errors.Is(err, baretls.ErrSecretsExtracted) {
				t.Errorf("the secrets are extracted twice: %v", err)
			}
		}
	}
}

// What can keep the secrets in.
func TestTLS12ExtractionThatIsRefused(t *testing.T) {
	enabled := func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.EnableSecretExtraction, s.EnableSecretExtraction = true, true
	}
	p := suitePair12(t, suites12[0].id, suites12[0].cert, nil)
	if _, err := p.client.conn.DangerousExtractSecrets(); err != baretls.ErrExtractionDisabled {
		t.Errorf("without EnableSecretExtraction: %v", err)
	}
	client := tls12.client()
	client.EnableSecretExtraction = true
	p = tls12.pair(t, client, nil)
	p.client.turns()
	if _, err := p.client.conn.DangerousExtractSecrets(); err != baretls.ErrHandshakeNotComplete {
		t.Errorf("in the handshake: %v", err)
	}
	p = suitePair12(t, suites12[0].id, suites12[0].cert, enabled)
	p.client.close()
	if _, err := p.client.conn.DangerousExtractSecrets(); err != baretls.ErrWriteClosed {
		t.Errorf("after the close_notify: %v", err)
	}
	p = suitePair12(t, suites12[0].id, suites12[0].cert, enabled)
	record := p.forger(p.server).seal(handshake, message12(msgHelloRequest), 0)
	turnTo[baretls.EncodeTLSData](t, p.client.conn, record, len(record)) // no_renegotiation
	if _, err := p.client.conn.DangerousExtractSecrets(); err != baretls.ErrOutputPending {
		t.Errorf("with an alert pending: %v", err)
	}
}

// What is left of the connection refuses renegotiations, and has no new keys.
func TestTLS12KernelConn(t *testing.T) {
	for _, tt := range []struct {
		role    string
		message []byte
	}{{"client", message12(msgHelloRequest)}, {"server", message12(msgClientHello)}} {
		p := suitePair12(t, suites12[0].id, suites12[0].cert, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
			c.EnableSecretExtraction, s.EnableSecretExtraction = true, true
		})
		secrets, k, err := p.side(tt.role).conn.DangerousIntoKernelConn()
		if err != nil {
			t.Fatal(err)
		}
		if secrets.Tx.Sequence != 1 || k.RecordsLeft(1) == 0 || k.RecordsLeft(1<<62) != 0 {
			t.Errorf("%s: the next record is number %d, and %d are left", tt.role, secrets.Tx.Sequence, k.RecordsLeft(1))
		}
		if u, err := k.RefreshTrafficKeys(); err != baretls.ErrNoKeyUpdate || u.Send != nil || u.Tx != nil || u.Rx != nil {
			t.Errorf("%s: RefreshTrafficKeys is %+v, %v, want ErrNoKeyUpdate", tt.role, u, err)
		}
		if u, err := k.HandleHandshake(tt.message); err != nil || u.Send != nil || u.Tx != nil || u.Rx != nil {
			t.Errorf("%s: a renegotiation leads to %+v, %v, want nothing", tt.role, u, err)
		}
		var failure *baretls.Error
		_, err = k.HandleHandshake(tt.message)
		if !errors.As(err, &failure) {
			t.Fatalf("%s: the second renegotiation leads to %v", tt.role, err)
		}
		if got, ok := failure.Alert(); !ok || got != unexpectedMessage {
			t.Errorf("%s: the second renegotiation leads to %v", tt.role, err)
		}
	}
}
