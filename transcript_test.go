package baretls_test

import (
	"crypto/tls"
	"slices"
	"testing"

	"github.com/baretls/baretls"
)

// The states that a caller meets, in order. rustls' unbuffered API, which we
// render, goes through almost the same ones; what differs is on purpose:
//
//   - A flight is nudged out before data that arrived with it is handed out:
//     TransmitTLSData comes before ReadTraffic, not after it.
//   - The client's change_cipher_spec stands in one flight with its Finished.
//     With rustls it goes out as soon as the ServerHello is here, in a
//     TransmitTLSData of its own.
//   - A key update that the peer asked for is answered at once. With rustls it
//     waits for the next write.

const (
	encode   = "EncodeTLSData"
	transmit = "TransmitTLSData"
	blocked  = "BlockedHandshake"
	read     = "ReadTraffic"
	write    = "WriteTraffic"
	peerDone = "PeerClosed"
	closed   = "Closed"
)

func TestTranscriptOfFullHandshake(t *testing.T) {
	p := newPair(t, nil, nil)
	p.handshake()
	p.client.wantStates("full handshake",
		encode, transmit, blocked, // ClientHello
		encode, encode, transmit, write) // change_cipher_spec, Finished
	p.server.wantStates("full handshake",
		blocked,
		encode, encode, encode, transmit, blocked, // ServerHello, change_cipher_spec, EncryptedExtensions to Finished
		write)
	p.works()
}

func TestTranscriptOfHelloRetryRequest(t *testing.T) {
	p := newPair(t, nil, retryServer())
	p.handshake()
	p.client.wantStates("handshake with HelloRetryRequest",
		encode, transmit, blocked, // ClientHello
		encode, encode, transmit, blocked, // change_cipher_spec, ClientHello
		encode, transmit, write) // Finished
	p.server.wantStates("handshake with HelloRetryRequest",
		blocked,
		encode, encode, transmit, blocked, // HelloRetryRequest, change_cipher_spec
		encode, encode, transmit, blocked, // ServerHello, EncryptedExtensions to Finished
		write)
	for _, s := range p.sides() {
		if kind := s.conn.HandshakeKind(); kind != baretls.HandshakeFullWithHelloRetryRequest {
			t.Errorf("%s: the handshake was %v", s.role, kind)
		}
		if group := s.conn.NegotiatedKeyExchangeGroup(); group != tls.CurveP384 {
			t.Errorf("%s: the group is %v, want the one that was asked for", s.role, group)
		}
	}
	p.works()
}

// A server with a cookie key is stateless up to the second ClientHello, so any
// server with the key can go on from there.
func TestTranscriptOfStatelessRetry(t *testing.T) {
	config := serverConfig()
	config.RetryCookieKey = []byte("thirty-two bytes that nobody knows")
	p := newPair(t, nil, config)
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	p.client.give(p.server.take())
	p.server.wantStates("stateless retry", encode, encode, transmit, blocked)

	second := serverConfig()
	second.RetryCookieKey = config.RetryCookieKey
	p.server = newServer(t, second) // the first one is forgotten
	p.client.turns()
	p.handshake()
	p.client.wantStates("stateless retry",
		encode, transmit, blocked, // ClientHello
		encode, encode, transmit, blocked, // change_cipher_spec, ClientHello
		encode, transmit, write) // Finished
	p.server.wantStates("stateless retry of another server",
		encode, encode, transmit, blocked, // ServerHello, EncryptedExtensions to Finished
		write)
	for _, s := range p.sides() {
		if kind := s.conn.HandshakeKind(); kind != baretls.HandshakeFullWithHelloRetryRequest {
			t.Errorf("%s: the handshake was %v", s.role, kind)
		}
	}
	p.works()
}

// Smaller fragments change how many records there are, and nothing else.
func TestTranscriptOfFragments(t *testing.T) {
	client, server := clientConfig(), serverConfig()
	client.MaxFragmentSize, server.MaxFragmentSize = 512, 512
	p := newPair(t, client, server)
	p.client.turns()
	hello := records(t, p.client.sent)
	if n := len(hello); n < 3 || n > 5 {
		t.Errorf("a ClientHello with a share of ML-KEM is %d records of 512 bytes, want 3 to 5", n)
	}
	states := slices.Repeat([]string{encode}, len(hello))
	p.client.wantStates("fragmented handshake", append(states, transmit, blocked)...)

	p.server.give(p.client.take())
	p.server.turns()
	flight := records(t, p.server.sent)
	if n := len(flight); n < 6 || n > 9 {
		t.Errorf("a server's flight is %d records of 512 bytes, want 6 to 9", n)
	}
	states = slices.Repeat([]string{encode}, len(flight))
	p.server.wantStates("fragmented handshake", append(states, transmit, blocked)...)
	for i, record := range slices.Concat(hello, flight) {
		if n := len(record) - 5; n > 512+1+16 {
			t.Errorf("record %d has %d bytes", i, n)
		}
	}

	p.client.give(p.server.take())
	p.handshake()
	p.client.wantStates("fragmented handshake", encode, encode, transmit, write)
	p.server.wantStates("fragmented handshake", write)
	p.works()
}

func TestTranscriptOfDataWithTheFlight(t *testing.T) {
	p := newPair(t, nil, nil)
	p.client.on = func(state baretls.State) bool {
		if state, ok := state.(baretls.TransmitTLSData); ok {
			w, ok := state.MayEncryptAppData()
			if handshaking := p.client.conn.IsHandshaking(); ok == handshaking {
				t.Errorf("MayEncryptAppData is %v, and IsHandshaking is %v", ok, handshaking)
			}
			if ok {
				p.client.encrypt(w, []byte("with the Finished"))
			}
		}
		return false
	}
	p.handshake()
	p.client.wantStates("handshake", encode, transmit, blocked, encode, encode, transmit, write)
	p.server.wantStates("handshake with data behind it",
		blocked, encode, encode, encode, transmit, blocked, read, write)
	if got := string(p.server.data); got != "with the Finished" {
		t.Errorf("the server got %q", got)
	}
}

func TestTranscriptOfData(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		p := newPair(t, nil, nil)
		p.handshake()
		from := p.side(role)
		to := p.other(from)
		to.transcript, from.transcript = nil, nil
		p.send(from, "data")
		from.wantStates("writing")
		to.wantStates("reading", read, write)
		if to.payloads != 1 {
			t.Errorf("the data came in %d records", to.payloads)
		}
	}
}

func TestTranscriptOfClosure(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		p := newPair(t, nil, nil)
		p.handshake()
		first := p.side(role)
		second := p.other(first)
		second.transcript, first.transcript = nil, nil

		first.write([]byte("last words"))
		first.close()
		p.run()
		first.wantStates("closing", write)
		second.wantStates("closing", read, peerDone, write)

		second.write([]byte("an answer"))
		second.close()
		p.run()
		first.wantStates("closing of the other side as well", read, peerDone, closed)
		second.wantStates("closing of the other side as well", closed)
		if got := string(first.data); got != "an answer" {
			t.Errorf("behind its close_notify, the %s got %q", role, got)
		}
		for _, s := range p.sides() {
			s.turns()
			s.wantStates("time after the end", closed)
		}
	}
}

func TestTranscriptOfKeyUpdate(t *testing.T) {
	p := newPair(t, nil, nil)
	p.handshake()
	p.client.transcript, p.server.transcript = nil, nil
	p.client.refresh()
	p.run()
	p.client.wantStates("key update", encode, transmit, write, read, write)
	p.server.wantStates("key update", read, encode, transmit, write)
	p.works()
}

func TestTranscriptOfFailure(t *testing.T) {
	p := newPair(t, nil, nil)
	p.server.give(plain(handshake, []byte{20, 0, 0, 1, 0}))
	p.server.turns()
	p.server.wantStates("refusal of a Finished in the place of a ClientHello", encode, transmit)
	p.server.wantFailed(unexpectedMessage)
}

func (p *pair) side(role string) *side {
	if role == p.client.role {
		return p.client
	}
	return p.server
}
