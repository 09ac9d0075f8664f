package baretls_test

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// The states that a caller meets in TLS 1.2, in order.

func TestTranscriptOfTLS12Handshake(t *testing.T) {
	for _, tickets := range []bool{false, true} {
		server := tls12.server()
		server.SessionTicketsDisabled = !tickets
		p := tls12.pair(t, nil, server)
		p.handshake()
		p.client.wantStates("full handshake",
			encode, transmit, blocked, // ClientHello
			encode, encode, encode, transmit, blocked, // ClientKeyExchange, change_cipher_spec, Finished
			write)
		want := []string{
			blocked,
			encode, transmit, blocked, // ServerHello to ServerHelloDone
			encode, encode, transmit, write, // change_cipher_spec, Finished
		}
		if tickets { // NewSessionTicket
			want = slices.Insert(want, 4, encode)
		}
		p.server.wantStates("full handshake", want...)
		p.works()
	}
}

func TestTranscriptOfTLS12Resumption(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		client, server := tls12.client(), sessions12(stateful)
		newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
		p := newPair(t, client, server)
		p.connected("second connection", baretls.HandshakeResumed)
		p.client.transcript = p.client.transcript[:7]
		p.client.wantStates("resumption",
			encode, transmit, blocked, // ClientHello
			encode, encode, transmit, write) // change_cipher_spec, Finished
		p.server.transcript = p.server.transcript[:6]
		p.server.wantStates("resumption",
			blocked,
			encode, encode, encode, transmit, blocked) // ServerHello and NewSessionTicket, change_cipher_spec, Finished
	}
}

// Data can go with the last flight, which is the server's in a full handshake
// and the client's in a resumption; and with no earlier one.
func TestTranscriptOfTLS12DataWithTheFlight(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		client, server := tls12.client(), sessions12(false)
		if resumed {
			newPair(t, client, server).connected("first connection", baretls.HandshakeFull)
		}
		p := newPair(t, client, server)
		for _, s := range p.sides() {
			s.on = func(state baretls.State) bool {
				if state, ok := state.(baretls.TransmitTLSData); ok {
					w, ok := state.MayEncryptAppData()
					if handshaking := s.conn.IsHandshaking(); ok == handshaking {
						t.Errorf("%s: MayEncryptAppData is %v, and IsHandshaking is %v", s.role, ok, handshaking)
					}
					if ok {
						s.encrypt(w, []byte("with the Finished"))
					}
				}
				return false
			}
		}
		p.handshake()
		to := p.client
		if resumed {
			to = p.server
		}
		if got := string(to.data); got != "with the Finished" || len(p.other(to).data) != 0 {
			t.Errorf("resumed %v: the %s got %q, and the %s %q", resumed, to.role, got, p.other(to).role, p.other(to).data)
		}
		to.wantStates("handshake with data behind it", append(to.transcript[:len(to.transcript)-2:len(to.transcript)-2], read, write)...)
	}
}

func TestTranscriptOfTLS12Closure(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		p := tls12.pair(t, nil, nil)
		p.handshake()
		first := p.side(role)
		second := p.other(first)
		second.transcript, first.transcript = nil, nil

		first.close()
		p.run()
		first.wantStates("closing", write)
		second.wantStates("closing", peerDone, write) // not by a ReadTraffic: a record's type is in the clear

		second.write([]byte("an answer"))
		second.close()
		p.run()
		first.wantStates("closing of the other side as well", read, peerDone, closed)
		second.wantStates("closing of the other side as well", closed)
		if got := string(first.data); got != "an answer" {
			t.Errorf("behind its close_notify, the %s got %q", role, got)
		}
	}
}

// The types of records, and their versions, in a whole handshake.
func TestTLS12RecordsThatAreSent(t *testing.T) {
	p := tls12.pair(t, nil, sessions12(false))
	var sent [][]byte
	for range 2 {
		p.client.turns()
		flight := p.client.take()
		p.server.give(flight)
		p.server.turns()
		answer := p.server.take()
		p.client.give(answer)
		sent = append(sent, records(t, slices.Concat(flight, answer))...)
	}
	want := []byte{handshake, handshake, handshake, changeCipherSpec, handshake, handshake, changeCipherSpec, handshake}
	if len(sent) != len(want) {
		t.Fatalf("the handshake has %d records, want %d", len(sent), len(want))
	}
	for i, record := range sent {
		version := []byte{3, 3}
		if i == 0 {
			version = []byte{3, 1}
		}
		if record[0] != want[i] || !bytes.Equal(record[1:3], version) {
			t.Errorf("record %d is of type %d and version %x, want %d and %x", i, record[0], record[1:3], want[i], version)
		}
	}
}

// An alert is protected as soon as its sender's change_cipher_spec is out, and
// not before.
func TestTLS12AlertsAreProtected(t *testing.T) {
	protected := map[string]bool{
		"the client of TLS 1.2 waits for change_cipher_spec": true,
		"the client of TLS 1.2 waits for Finished":           true,
	}
	phases(t, func(t *testing.T, ph phase) {
		if !ph.tls12 {
			return
		}
		ph.victim.take()
		ph.victim.give(ph.forger.seal(handshake, []byte{99, 0, 0, 0}, 0))
		ph.victim.turns()
		ph.victim.wantFailed(unexpectedMessage)
		list := records(t, ph.victim.take())
		last := list[len(list)-1]
		want := 5 + 2
		if protected[ph.name] || ph.connected {
			want = tls12.overhead() + 2
		}
		if last[0] != alert || len(last) != want {
			t.Errorf("where %s, its alert is a record of type %d with %d bytes, want %d", ph.name, last[0], len(last), want)
		}
	})
}

// Records in the clear are nothing to a side that has keys: not alerts either.
func TestTLS12AlertsInTheClear(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		if ph.tls12 && !ph.clear {
			ph.hand(plain(alert, []byte{2, byte(handshakeFailure)}))
			wantEnd(t, ph, badRecordMAC)
		}
	})
}

// Warnings are counted all through the connection, whatever they warn of.
func TestTLS12WarningFlood(t *testing.T) {
	for _, description := range []tls.AlertError{noRenegotiation, 112, handshakeFailure, userCanceled} {
		phases(t, func(t *testing.T, ph phase) {
			if !ph.tls12 || ph.first {
				return
			}
			for range 4 {
				ph.victim.give(ph.forger.seal(alert, []byte{1, byte(description)}, 0))
			}
			ph.victim.turns()
			ph.victim.wantAlive()
			ph.hand(ph.forger.seal(alert, []byte{1, byte(description)}, 0))
			if ph.victim.err == nil {
				t.Fatalf("the fifth warning of %v is taken", description)
			}
			wantEnd(t, ph, unexpectedMessage)
		})
	}
}

// A renegotiation is refused by a warning (RFC 5246, Section 7.2.2), which
// costs the connection nothing. Who insists is at the end of it.
func TestTLS12Renegotiation(t *testing.T) {
	p := tls12.pair(t, nil, nil)
	p.client.turns()
	hello := bytes.Clone(p.client.sent[5:])
	for _, tt := range []struct {
		role    string
		message []byte
	}{
		{"client", message12(msgHelloRequest)},
		{"server", hello},
		{"server", message12(msgClientHello)}, // it is not read
	} {
		p := tls12.pair(t, nil, nil)
		p.handshake()
		s := p.side(tt.role)
		peer := p.other(s)
		f, opener := p.forger(peer), p.forger(s)
		s.transcript = nil
		s.give(f.seal(handshake, tt.message, 0))
		s.turns()
		s.wantStates("refused renegotiation", encode, transmit, write)
		s.wantAlive()
		warning := s.take()
		if typ, content := opener.open(t, warning); typ != alert || !bytes.Equal(content, []byte{1, byte(noRenegotiation)}) {
			t.Errorf("the %s answers a renegotiation by %x of type %d, want no_renegotiation as a warning", tt.role, content, typ)
		}
		peer.give(warning)
		peer.turns()
		peer.wantAlive()

		s.give(f.seal(applicationData, []byte("goes on"), 0)) // in the old session
		s.turns()
		if string(s.data) != "goes on" {
			t.Errorf("behind the refused renegotiation, the %s gets %q", tt.role, s.data)
		}
		p.send(s, "both ways")

		s.give(f.seal(handshake, tt.message, 0))
		s.turns()
		s.wantFailed(unexpectedMessage)
		peer.give(s.take())
		peer.turns()
		peer.wantAlerted(unexpectedMessage)
	}
}

func TestTLS12RenegotiationThatIsNone(t *testing.T) {
	for _, tt := range []struct {
		role    string
		message []byte
		want    tls.AlertError
	}{
		{"client", message12(msgHelloRequest, []byte{0}), decodeError},
		{"server", message12(msgHelloRequest), unexpectedMessage},
		{"client", message12(msgClientHello), unexpectedMessage},
		{"client", message12(msgServerHello), unexpectedMessage},
		{"client", message12(msgNewSessionTicket, make([]byte, 6)), unexpectedMessage},
		{"server", message12(msgFinished, make([]byte, 12)), unexpectedMessage},
		{"client", message12(msgFinished, make([]byte, 12)), unexpectedMessage},
		{"client", keyUpdate(0), unexpectedMessage},
		{"server", keyUpdate(1), unexpectedMessage},
	} {
		p := tls12.pair(t, nil, nil)
		p.handshake()
		s := p.side(tt.role)
		s.give(p.forger(p.other(s)).seal(handshake, tt.message, 0))
		p.refused("message of type behind the handshake", s, tt.want)
	}
}

// Behind our own close_notify a renegotiation is refused in silence.
func TestTLS12RenegotiationBehindCloseNotify(t *testing.T) {
	p := tls12.pair(t, nil, nil)
	p.handshake()
	p.client.close()
	p.run()
	p.client.transcript = nil
	f := p.forger(p.server)
	p.client.give(f.seal(handshake, message12(msgHelloRequest), 0), f.seal(applicationData, []byte("data"), 0))
	p.client.turns()
	p.client.wantStates("renegotiation behind our own close_notify", read, write)
	if n := len(p.client.take()); n != 0 || string(p.client.data) != "data" {
		t.Errorf("behind its close_notify the client sends %d bytes, and gets %q", n, p.client.data)
	}
	p.client.give(f.seal(handshake, message12(msgHelloRequest), 0))
	p.client.turns()
	p.client.wantFailed(unexpectedMessage)
	wantSilence(t, p.client)
}

// There is no key update: asking for one is an error that changes nothing.
func TestTLS12NoKeyUpdate(t *testing.T) {
	p := tls12.pair(t, nil, nil)
	p.handshake()
	for _, s := range p.sides() {
		w := s.writer()
		for range 2 {
			if err := w.RefreshTrafficKeys(); err != baretls.ErrNoKeyUpdate {
				t.Errorf("%s: RefreshTrafficKeys is %v, want ErrNoKeyUpdate", s.role, err)
			}
		}
		if n := w.EncryptedLen(1); n != 1+tls12.overhead() { // the state is still good
			t.Errorf("%s: behind it, a byte makes %d", s.role, n)
		}
	}
	p.works()
	p.client.close()
	if err := p.client.writer().RefreshTrafficKeys(); err != baretls.ErrWriteClosed {
		t.Errorf("RefreshTrafficKeys after the close_notify is %v, want ErrWriteClosed", err)
	}
}

// What the connection says about itself, and when.
func TestTLS12Accessors(t *testing.T) {
	client, server := tls12.client(), asking(tls.RequireAndVerifyClientCert)
	client.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.RSA2048)}
	client.NextProtos, server.NextProtos = []string{"h2"}, []string{"h2"}
	p := newPair(t, client, server)
	for _, s := range p.sides() {
		if s.conn.ProtocolVersion() != 0 || s.conn.NegotiatedCipherSuite() != 0 || !s.conn.IsHandshaking() || s.conn.PeerCertificates() != nil {
			t.Errorf("%s: before the handshake there is %+v", s.role, s.conn.ConnectionState())
		}
		if _, err := s.conn.ExportKeyingMaterial("label", nil, 32); err != baretls.ErrHandshakeNotComplete {
			t.Errorf("%s: before the handshake, exporting yields %v", s.role, err)
		}
	}
	p.handshake()
	for _, s := range p.sides() {
		c := s.conn
		wantScheme := tls.ECDSAWithP256AndSHA256 // of the server
		if s == p.server {
			wantScheme = tls.PSSWithSHA256
		}
		state := c.ConnectionState()
		switch {
		case c.ProtocolVersion() != tls.VersionTLS12 || state.Version != tls.VersionTLS12,
			c.NegotiatedCipherSuite() != tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 || state.CipherSuite != c.NegotiatedCipherSuite(),
			c.NegotiatedKeyExchangeGroup() != tls.X25519 || state.CurveID != tls.X25519,
			c.PeerSignatureScheme() != wantScheme,
			c.HandshakeKind() != baretls.HandshakeFull,
			c.ALPNProtocol() != "h2" || c.ServerName() != "example.com",
			len(c.PeerCertificates()) != 2 || len(state.VerifiedChains) == 0,
			c.IsHandshaking() || !state.HandshakeComplete || state.DidResume || state.HelloRetryRequest,
			c.TicketsReceived() != 0:
			t.Errorf("%s: the state is %+v, signed by %v", s.role, state, c.PeerSignatureScheme())
		}
	}
	if _, err := p.client.conn.ExportEarlyKeyingMaterial("label", nil, 32); err == nil {
		t.Error("TLS 1.2 exports early keying material")
	}
	p = newPair(t, tls12.client(), sessions12(false))
	p.handshake()
	if got := p.client.conn.TicketsReceived(); got != 1 {
		t.Errorf("the client has received %d tickets, want 1", got)
	}
}
