package baretls_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/baretls/baretls"
)

// A kernel is a record layer of its own: it knows the keys that were extracted
// and RFC 9846, Sections 5.2 and 5.3, and nothing of this library.
type kernel struct {
	t      *testing.T
	suite  uint16
	tx, rx kernelKeys
	conn   *baretls.KernelConn
	data   []byte // that came
}

type kernelKeys struct {
	aead cipher.AEAD
	iv   []byte
	seq  uint64
}

func (k *kernel) keys(from baretls.TrafficKeys) kernelKeys {
	k.t.Helper()
	var aead cipher.AEAD
	var err error
	if k.suite == tls.TLS_CHACHA20_POLY1305_SHA256 {
		aead, err = chacha20poly1305.New(from.Key)
	} else {
		var block cipher.Block
		if block, err = aes.NewCipher(from.Key); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	}
	if err != nil {
		k.t.Fatalf("the extracted key of %d bytes is none for suite %#x: %v", len(from.Key), k.suite, err)
	}
	return kernelKeys{aead, from.IV, from.Sequence}
}

func (h *kernelKeys) nonce() []byte {
	nonce := make([]byte, 12)
	binary.BigEndian.PutUint64(nonce[4:], h.seq)
	for i := range nonce {
		nonce[i] ^= h.iv[i]
	}
	h.seq++
	return nonce
}

func (k *kernel) seal(typ byte, content []byte) []byte {
	header := []byte{23, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(header[3:], uint16(len(content)+1+16))
	return k.tx.aead.Seal(header, k.tx.nonce(), append(bytes.Clone(content), typ), header)
}

// open takes records, follows the peer's messages and returns what has to be
// sent because of them.
func (k *kernel) open(flight []byte) (out []byte) {
	k.t.Helper()
	for _, rec := range records(k.t, flight) {
		seq := k.rx.seq
		inner, err := k.rx.aead.Open(nil, k.rx.nonce(), rec[5:], rec[:5])
		if err != nil {
			k.t.Fatalf("the record with number %d does not open with the extracted keys", seq)
		}
		inner = bytes.TrimRight(inner, "\x00")
		switch typ, content := inner[len(inner)-1], inner[:len(inner)-1]; typ {
		case applicationData:
			k.data = append(k.data, content...)
			k.conn.SawData()
		case handshake:
			update, err := k.conn.HandleHandshake(content)
			if err != nil {
				k.t.Fatalf("HandleHandshake: %v", err)
			}
			clear(content)
			out = append(out, k.apply(update)...)
		default:
			k.t.Fatalf("the peer sends a record of type %d", typ)
		}
	}
	return out
}

// apply does what an update says, in its order.
func (k *kernel) apply(u baretls.KernelUpdate) (out []byte) {
	if u.Rx != nil {
		k.rx = k.keys(*u.Rx)
	}
	if u.Send != nil {
		out = k.seal(handshake, u.Send)
	}
	if u.Tx != nil {
		k.tx = k.keys(*u.Tx)
	}
	return out
}

// extraction makes a stage where both sides may extract.
func extraction(t *testing.T, suite uint16) *stage {
	return newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.EnableSecretExtraction, s.EnableSecretExtraction = true, true
		if suite != 0 {
			s.CipherSuites = []uint16{suite}
		}
	})
}

// intoKernel takes the side's record layer out.
func intoKernel(t *testing.T, s *side) *kernel {
	t.Helper()
	secrets, conn, err := s.conn.DangerousIntoKernelConn()
	if err != nil {
		t.Fatalf("DangerousIntoKernelConn of the %s: %v", s.role, err)
	}
	k := &kernel{t: t, suite: secrets.CipherSuite, conn: conn}
	k.tx, k.rx = k.keys(secrets.Tx), k.keys(secrets.Rx)
	return k
}

var allSuites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}

func TestExtractedSecretsMatch(t *testing.T) {
	for _, suite := range allSuites {
		for _, updates := range []int{0, 1, 3} {
			t.Run(fmt.Sprintf("%s, %d key updates", tls.CipherSuiteName(suite), updates), func(t *testing.T) {
				m := extraction(t, suite).connect()
				for range updates {
					m.client.refresh()
					m.run()
				}
				for i := range 5 {
					m.send(m.client, fmt.Sprint("from the client ", i))
					if i > 2 {
						m.send(m.server, fmt.Sprint("from the server ", i))
					}
				}
				c, err := m.client.conn.DangerousExtractSecrets()
				if err != nil {
					t.Fatalf("the client: %v", err)
				}
				s, err := m.server.conn.DangerousExtractSecrets()
				if err != nil {
					t.Fatalf("the server: %v", err)
				}
				if c.Version != tls.VersionTLS13 || s.Version != tls.VersionTLS13 || c.CipherSuite != suite || s.CipherSuite != suite {
					t.Errorf("the secrets are for versions %#x and %#x, suites %#x and %#x", c.Version, s.Version, c.CipherSuite, s.CipherSuite)
				}
				wantSameKeys(t, "what the client sends and the server receives", c.Tx, s.Rx)
				wantSameKeys(t, "what the server sends and the client receives", s.Tx, c.Rx)
				sent, got := uint64(5), uint64(2)
				if updates == 0 {
					sent, got = sent+1, got+2 // works(), and the tickets
				}
				if c.Tx.Sequence != sent || c.Rx.Sequence != got {
					t.Errorf("the client's sequence numbers are %d and %d, want %d and %d", c.Tx.Sequence, c.Rx.Sequence, sent, got)
				}
				if bytes.Equal(c.Tx.Key, c.Rx.Key) || bytes.Equal(c.Tx.IV, c.Rx.IV) || len(c.Tx.IV) != 12 {
					t.Error("the two directions have the same keys, or the IV is not 12 bytes")
				}
			})
		}
	}
}

func wantSameKeys(t *testing.T, what string, a, b baretls.TrafficKeys) {
	t.Helper()
	if a.Sequence != b.Sequence || !bytes.Equal(a.Key, b.Key) || !bytes.Equal(a.IV, b.IV) {
		t.Errorf("%s is not protected by the same keys: numbers %d and %d, keys alike: %t, IVs alike: %t", what, a.Sequence, b.Sequence, bytes.Equal(a.Key, b.Key), bytes.Equal(a.IV, b.IV))
	}
}

func TestKernelConn(t *testing.T) {
	for _, suite := range allSuites {
		for _, role := range []string{"client", "server"} {
			t.Run(tls.CipherSuiteName(suite)+", "+role, func(t *testing.T) {
				m := extraction(t, suite).connect()
				s, peer := m.client, m.server
				if role == "server" {
					s, peer = peer, s
				}
				k := intoKernel(t, s)
				exchange := func(flight []byte) {
					t.Helper()
					for len(flight) > 0 {
						peer.give(flight)
						peer.turns()
						peer.wantAlive()
						flight = k.open(peer.take())
					}
				}
				talk := func(what string) {
					t.Helper()
					before := len(peer.data)
					exchange(k.seal(applicationData, []byte(what)))
					if got := string(peer.data[before:]); got != what {
						t.Errorf("%s: the peer gets %q", what, got)
					}
					before = len(k.data)
					peer.write([]byte(what))
					exchange(k.open(peer.take()))
					if got := string(k.data[before:]); got != what {
						t.Errorf("%s: the kernel gets %q", what, got)
					}
				}
				talk("with the keys that were extracted")
				for round := range 3 {
					peer.refresh()
					peer.turns()
					exchange(k.open(peer.take()))
					talk(fmt.Sprintf("after the peer's key update, round %d", round))

					update, err := k.conn.RefreshTrafficKeys()
					if err != nil {
						t.Fatalf("RefreshTrafficKeys: %v", err)
					}
					if update.Rx != nil || update.Tx == nil || update.Tx.Sequence != 0 || !bytes.Equal(update.Send, keyUpdate(1)) {
						t.Errorf("RefreshTrafficKeys: Rx %v, Tx %v, Send %x, want new keys for Tx, from 0, and a request to send", update.Rx, update.Tx, update.Send)
					}
					exchange(k.apply(update))
					talk(fmt.Sprintf("after our key update, round %d", round))

					// Both at once.
					peer.refresh()
					peer.turns()
					crossing := peer.take()
					if update, err = k.conn.RefreshTrafficKeys(); err != nil {
						t.Fatalf("RefreshTrafficKeys: %v", err)
					}
					first := k.apply(update)
					exchange(append(first, k.open(crossing)...))
					talk(fmt.Sprintf("after key updates that crossed, round %d", round))
				}
			})
		}
	}
}

// A KernelConn says what to do, in words of the record layer.
func TestKernelUpdates(t *testing.T) {
	m := extraction(t, 0).connect()
	k := intoKernel(t, m.client)
	for _, test := range []struct {
		request  byte
		answered bool
	}{{0, false}, {1, true}, {1, true}, {0, false}} {
		u, err := k.conn.HandleHandshake(keyUpdate(test.request))
		if err != nil {
			t.Fatalf("HandleHandshake: %v", err)
		}
		if u.Rx == nil || u.Rx.Sequence != 0 {
			t.Errorf("a KeyUpdate leads to the Rx %v, want new keys from number 0", u.Rx)
		}
		if (u.Send != nil) != test.answered || (u.Tx != nil) != test.answered {
			t.Errorf("request_update %d: Send %x, Tx %v, want an answer: %t", test.request, u.Send, u.Tx, test.answered)
		}
		if test.answered && (!bytes.Equal(u.Send, keyUpdate(0)) || u.Tx.Sequence != 0) {
			t.Errorf("the answer is %x, and the next number %d, want a KeyUpdate without a request, and 0", u.Send, u.Tx.Sequence)
		}
	}
}

// Tickets that come when the record layer is elsewhere are of use all the same.
func TestTicketsThroughKernelConn(t *testing.T) {
	for _, suite := range allSuites {
		t.Run(tls.CipherSuiteName(suite), func(t *testing.T) {
			st := extraction(t, suite)
			m := st.meet()
			m.clientFlight()
			m.answer(m.hello)
			m.client.give(m.server.take())
			m.client.turns()
			k := intoKernel(t, m.client)
			m.answer(m.client.take())
			if out := k.open(m.server.take()); len(out) > 0 {
				t.Errorf("tickets are answered by %d bytes", len(out))
			}
			if st.sessions.len() != 2 {
				t.Fatalf("%d sessions are kept, want 2", st.sessions.len())
			}
			for i := range 2 {
				st.sessions.sessions[st.sessions.key] = st.sessions.sessions[st.sessions.key][:2-i]
				m := st.meet()
				m.sendEarly("early")
				m.complete()
				m.wantKind(fmt.Sprintf("with ticket %d of the kernel's", 2-i), baretls.HandshakeResumed)
				m.wantEarly("with a ticket of the kernel's", accepted, accepted, "early")
			}
		})
	}
}

// A message that comes in parts is no less a message.
func TestKernelConnAndParts(t *testing.T) {
	st := extraction(t, 0)
	m := st.connect()
	before := st.sessions.len()
	k := intoKernel(t, m.client)
	ticket := ticketMessage(3600, bytes.Repeat([]byte("ticket"), 10))
	for i := range ticket {
		part := []byte{ticket[i]}
		u, err := k.conn.HandleHandshake(part)
		clear(part)
		if err != nil || u.Rx != nil || u.Send != nil || u.Tx != nil {
			t.Fatalf("byte %d of a ticket leads to %v, %v", i, u, err)
		}
	}
	if got := st.sessions.len(); got != before+1 {
		t.Errorf("%d sessions are kept, want one more than the %d before", got, before)
	}
	if got := seen(t, st.sessions.takeAll(t)).Ticket; !bytes.Equal(got, bytes.Repeat([]byte("ticket"), 10)) {
		t.Errorf("the ticket that came in parts is %q", got)
	}
}

func TestKernelConnFails(t *testing.T) {
	ticket := ticketMessage(3600, []byte("ticket"))
	for _, test := range []struct {
		name    string
		role    string
		content []byte
		times   int
		alert   tls.AlertError
	}{
		{"two KeyUpdates in a record", "client", append(keyUpdate(0), keyUpdate(0)...), 1, unexpectedMessage},
		{"33 KeyUpdates", "client", keyUpdate(0), 33, unexpectedMessage},
		{"33 tickets", "client", ticket, 33, unexpectedMessage},
		{"a ticket for a server", "server", ticket, 1, unexpectedMessage},
		{"a ServerHello", "client", []byte{2, 0, 0, 0}, 1, unexpectedMessage},
		{"a ClientHello", "server", []byte{1, 0, 0, 0}, 1, unexpectedMessage},
		{"an empty record", "client", nil, 1, unexpectedMessage},
		{"a KeyUpdate of 2", "server", keyUpdate(2), 1, illegalParameter},
		{"a message of a megabyte", "server", []byte{24, 16, 0, 0}, 1, illegalParameter},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := extraction(t, 0).connect()
			s := m.client
			if test.role == "server" {
				s = m.server
			}
			k := intoKernel(t, s).conn
			var err error
			for i := range test.times {
				if err != nil {
					t.Fatalf("%s: it fails after %d: %v", test.name, i, err)
				}
				_, err = k.HandleHandshake(bytes.Clone(test.content))
			}
			var failure *baretls.Error
			if !errors.As(err, &failure) {
				t.Fatalf("%s: the error is %v, want a *baretls.Error", test.name, err)
			}
			if alert, ok := failure.Alert(); !ok || alert != test.alert || failure.Received() {
				t.Errorf("%s: the alert is %v, %t, want %v", test.name, alert, ok, test.alert)
			}
			// The alert is the caller's to seal: the connection would do it with a
			// nonce that has been used.
			if status, gone := s.conn.ProcessTLSRecords(nil); status.State != nil || !errors.Is(gone, baretls.ErrSecretsExtracted) {
				t.Errorf("%s: a turn of what is left leads to %T, %v", test.name, status.State, gone)
			}
			if _, again := k.HandleHandshake(keyUpdate(0)); again != err {
				t.Errorf("%s: later the error is %v, and was %v", test.name, again, err)
			}
			if u, again := k.RefreshTrafficKeys(); again != err || u.Tx != nil || u.Send != nil {
				t.Errorf("%s: RefreshTrafficKeys returns %v, %v afterwards", test.name, u, again)
			}
		})
	}
	t.Run("data between them", func(t *testing.T) {
		k := intoKernel(t, extraction(t, 0).connect().client).conn
		for i := range 100 {
			if _, err := k.HandleHandshake(keyUpdate(1)); err != nil {
				t.Fatalf("KeyUpdate %d, with data between them: %v", i+1, err)
			}
			if i%32 == 31 {
				k.SawData()
			}
		}
	})
}

func TestRecordsLeft(t *testing.T) {
	for suite, limit := range map[uint16]uint64{
		tls.TLS_AES_128_GCM_SHA256:       1 << 24, // Section 5.5: at most 2^24.5
		tls.TLS_AES_256_GCM_SHA384:       1 << 24,
		tls.TLS_CHACHA20_POLY1305_SHA256: 1 << 32, // no limit is needed; at least that
	} {
		k := intoKernel(t, extraction(t, suite).connect().client).conn
		whole := k.RecordsLeft(0)
		if suite == tls.TLS_CHACHA20_POLY1305_SHA256 && whole < limit || suite != tls.TLS_CHACHA20_POLY1305_SHA256 && (whole < limit || whole > 23_726_566) {
			t.Errorf("%s: one key is good for %d records", tls.CipherSuiteName(suite), whole)
		}
		for _, n := range []uint64{1, 2, 1000, whole - 1, whole} {
			if got := k.RecordsLeft(n); got != whole-n {
				t.Errorf("%s: after %d of %d records, %d are left", tls.CipherSuiteName(suite), n, whole, got)
			}
		}
		for _, n := range []uint64{whole + 1, 1<<64 - 1} {
			if got := k.RecordsLeft(n); got != 0 {
				t.Errorf("%s: after %d of %d records, %d are left, want none", tls.CipherSuiteName(suite), n, whole, got)
			}
		}
	}
}

// Secrets leave a connection that is complete and has nothing to say, and no
// other.
func TestExtractionIsRefused(t *testing.T) {
	m := func(t *testing.T) *meeting { return extraction(t, 0).meet() }
	for _, test := range []struct {
		name  string
		reach func(t *testing.T) *side
		want  error
	}{
		{"a client at its beginning", func(t *testing.T) *side { return m(t).client }, baretls.ErrHandshakeNotComplete},
		{"a server at its beginning", func(t *testing.T) *side { return m(t).server }, baretls.ErrHandshakeNotComplete},
		{"a client in the handshake", func(t *testing.T) *side {
			m := m(t)
			m.clientFlight()
			return m.client
		}, baretls.ErrHandshakeNotComplete},
		{"a server in the handshake", func(t *testing.T) *side {
			m := m(t)
			m.answer(m.clientFlight())
			return m.server
		}, baretls.ErrHandshakeNotComplete},
		{"a config that does not allow it", func(t *testing.T) *side { return newStage(t).connect().client }, baretls.ErrExtractionDisabled},
		{"a server whose config does not allow it", func(t *testing.T) *side { return newStage(t).connect().server }, baretls.ErrExtractionDisabled},
		{"a config that does not allow it, at its beginning", func(t *testing.T) *side { return newStage(t).meet().client }, baretls.ErrExtractionDisabled},
		{"a client whose Finished is to be encoded", func(t *testing.T) *side {
			m := m(t)
			m.answer(m.clientFlight())
			m.client.give(m.server.take())
			for m.client.conn.IsHandshaking() {
				m.client.turn()
			}
			return m.client
		}, baretls.ErrOutputPending},
		{"a server whose tickets are to be transmitted", func(t *testing.T) *side {
			m := m(t)
			m.answer(m.clientFlight())
			m.client.give(m.server.take())
			m.client.turns()
			m.server.give(m.client.take())
			m.server.turn() // the tickets: encoded
			if m.server.conn.IsHandshaking() {
				t.Fatal("the client's Finished has not been seen")
			}
			return m.server
		}, baretls.ErrOutputPending},
		{"a KeyUpdate to be encoded", func(t *testing.T) *side {
			m := extraction(t, 0).connect()
			m.client.refresh()
			return m.client
		}, baretls.ErrOutputPending},
		{"an answer to be encoded", func(t *testing.T) *side {
			m := extraction(t, 0).connect()
			m.client.refresh()
			m.client.turns()
			m.server.give(m.client.take())
			m.server.turn()
			return m.server
		}, baretls.ErrOutputPending},
		{"after its close_notify", func(t *testing.T) *side {
			m := extraction(t, 0).connect()
			m.client.close()
			return m.client
		}, baretls.ErrWriteClosed},
		{"after it was extracted", func(t *testing.T) *side {
			m := extraction(t, 0).connect()
			intoKernel(t, m.client)
			return m.client
		}, baretls.ErrSecretsExtracted},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := test.reach(t)
			if secrets, err := s.conn.DangerousExtractSecrets(); secrets != nil || !errors.Is(err, test.want) {
				t.Errorf("%s: DangerousExtractSecrets returns %v, %v, want %v", test.name, secrets, err, test.want)
			}
			if secrets, kernel, err := s.conn.DangerousIntoKernelConn(); secrets != nil || kernel != nil || !errors.Is(err, test.want) {
				t.Errorf("%s: DangerousIntoKernelConn returns %v, %v, want %v", test.name, secrets, err, test.want)
			}
		})
	}
	t.Run("after it has failed", func(t *testing.T) {
		m := extraction(t, 0).connect()
		m.client.give([]byte("junk and more of it"))
		m.client.turns()
		if _, err := m.client.conn.DangerousExtractSecrets(); err == nil || err != m.client.err {
			t.Errorf("the error is %v, want the connection's, %v", err, m.client.err)
		}
	})
	t.Run("in the middle of a ticket", func(t *testing.T) {
		st := extraction(t, 0)
		m := st.connect()
		f := st.keys.forger(t, "SERVER_TRAFFIC_SECRET_0")
		f.seq = 2 // the tickets, and data
		ticket := ticketMessage(3600, []byte("ticket"))
		m.client.give(f.seal(handshake, ticket[:9], 0))
		m.client.turns()
		if _, err := m.client.conn.DangerousExtractSecrets(); err == nil {
			t.Error("secrets leave a connection that holds half a message")
		}
		m.client.give(f.seal(handshake, ticket[9:], 0))
		m.client.turns()
		if _, err := m.client.conn.DangerousExtractSecrets(); err != nil {
			t.Errorf("when the message is whole: %v", err)
		}
	})
	t.Run("a refusal changes nothing", func(t *testing.T) {
		m := extraction(t, 0).connect()
		m.client.refresh()
		if _, err := m.client.conn.DangerousExtractSecrets(); err != baretls.ErrOutputPending {
			t.Fatalf("with a KeyUpdate pending the error is %v", err)
		}
		m.run()
		m.works()
		intoKernel(t, m.client)
	})
}

// When its secrets have left it, a connection does nothing any more.
func TestConnAfterExtraction(t *testing.T) {
	m := extraction(t, 0).connect()
	for _, s := range m.sides() {
		w := s.writer()
		if _, err := s.conn.DangerousExtractSecrets(); err != nil {
			t.Fatalf("the %s: %v", s.role, err)
		}
		status, err := s.conn.ProcessTLSRecords([]byte("bytes"))
		if status.State != nil || !errors.Is(err, baretls.ErrSecretsExtracted) {
			t.Errorf("the %s: a turn leads to %T, %v, want ErrSecretsExtracted", s.role, status.State, err)
		}
		var failure *baretls.Error
		if !errors.As(err, &failure) {
			t.Errorf("the %s: the error is a %T, want a *baretls.Error", s.role, err)
		} else if _, ok := failure.Alert(); ok || failure.Received() {
			t.Errorf("the %s: the error has an alert: %v", s.role, err)
		}
		if n := strings.Count(err.Error(), "baretls:"); n != 1 {
			t.Errorf("the error says its package %d times: %q", n, err)
		}
		for name, err := range map[string]error{
			"Encrypt":              errOnly(w.Encrypt([]byte("data"), make([]byte, 100))),
			"QueueCloseNotify":     errOnly(w.QueueCloseNotify(make([]byte, 100))),
			"RefreshTrafficKeys":   w.RefreshTrafficKeys(),
			"ExportKeyingMaterial": errOnly(s.conn.ExportKeyingMaterial("EXPORTER-test", nil, 32)),
		} {
			if !errors.Is(err, baretls.ErrSecretsExtracted) {
				t.Errorf("the %s: %s returns %v, want ErrSecretsExtracted", s.role, name, err)
			}
		}
		s.conn.CloseInput()
		if _, err := s.conn.ProcessTLSRecords(nil); !errors.Is(err, baretls.ErrSecretsExtracted) {
			t.Errorf("the %s: after CloseInput a turn returns %v, want ErrSecretsExtracted", s.role, err)
		}
		if s.conn.NegotiatedCipherSuite() == 0 || s.conn.ProtocolVersion() == 0 {
			t.Errorf("the %s has forgotten what was negotiated", s.role)
		}
	}
}

func errOnly[T any](_ T, err error) error { return err }

// What has been received and not opened is for whoever has the keys.
func TestExtractionWithInputWaiting(t *testing.T) {
	m := extraction(t, 0).connect()
	m.server.write([]byte("one "))
	m.server.write([]byte("two "))
	m.server.write([]byte("three"))
	in := m.server.take()
	status, err := m.client.conn.ProcessTLSRecords(in)
	if err != nil {
		t.Fatal(err)
	}
	read, ok := status.State.(baretls.ReadTraffic)
	if !ok || status.Discard != 0 {
		t.Fatalf("the state is %T, Discard %d", status.State, status.Discard)
	}
	rec, ok := read.NextRecord()
	if !ok || string(rec.Payload) != "one " {
		t.Fatalf("the first record is %q, %t", rec.Payload, ok)
	}
	k := intoKernel(t, m.client)
	k.open(slices.Clone(in[rec.Discard:]))
	if string(k.data) != "two three" {
		t.Errorf("with the extracted keys the rest reads %q", k.data)
	}
	if _, ok := read.NextRecord(); ok {
		t.Error("the connection goes on reading after its secrets have left it")
	}
}
