package baretls_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// A burden is what one peer, that nobody has authenticated, can make us hold or
// do before its handshake ends.
type burden struct {
	what    string
	bound   int // bytes, or how often
	measure func(t *testing.T) int
}

// The tables of docs/security.md, by their headings. Memory is that of the
// configs' defaults, with a certificate of 1 KB; input that was not discarded is
// the caller's.
var burdens = map[string][]burden{
	"## What a peer can make us hold": {
		{"a server that has received nothing", 3_000, func(t *testing.T) int {
			return holdHalfOpen(t, halfOpen, tls13, func([]byte) []byte { return nil })
		}},
		{"a server with 1 byte of a ClientHello", 3_000, func(t *testing.T) int {
			return holdHalfOpen(t, halfOpen, tls13, func(hello []byte) []byte { return plain(handshake, hello[:1]) })
		}},
		{"a server with 65,539 bytes of a ClientHello of 65,540", 100_000, func(t *testing.T) int {
			return holdHalfOpen(t, halfOpen, tls13, func(hello []byte) []byte {
				large := padHello(hello, 1<<16)
				return inRecords(large[:len(large)-1])
			})
		}},
		{"a server whose flight in TLS 1.3 was sent", 7_000, func(t *testing.T) int {
			return holdHalfOpen(t, halfOpen, tls13, func(hello []byte) []byte { return plain(handshake, hello) })
		}},
		{"a server whose flight in TLS 1.2 was sent", 7_000, func(t *testing.T) int {
			return holdHalfOpen(t, 1000, tls12, func(hello []byte) []byte { return plain(handshake, hello) })
		}},
		{"a server that has answered the largest ClientHello", 7_000, func(t *testing.T) int {
			return holdHalfOpen(t, 1000, tls13, func(hello []byte) []byte { return inRecords(padHello(hello, 1<<16)) })
		}},
		{"a server whose flight is still to be sent", 12_000, holdUnsentFlight},
		{"a server that asks about the largest ClientHello", 200_000, holdQuestion},
		{"a server that waits for the rest of a client's Certificate", 100_000, func(t *testing.T) int {
			return holdFlood(t, "server", tls13, true)
		}},
		{"a server with client certificates of all kinds of extensions", 1_300_000, func(t *testing.T) int {
			return holdFlood(t, "server", tls13, false)
		}},
		{"the same in TLS 1.2", 1_300_000, func(t *testing.T) int { return holdFlood(t, "server", tls12, false) }},
		{"a client that waits for ServerHello", 18_000, holdClients},
		{"a client that was sent a cookie of 60,000 bytes", 90_000, holdCookie},
		{"a client that waits for the rest of a server's Certificate", 100_000, func(t *testing.T) int {
			return holdFlood(t, "client", tls13, true)
		}},
		{"a client with server certificates of all kinds of extensions", 1_300_000, func(t *testing.T) int {
			return holdFlood(t, "client", tls13, false)
		}},
		{"the same in TLS 1.2, as a client", 1_300_000, func(t *testing.T) int { return holdFlood(t, "client", tls12, false) }},
	},
	"## What a peer can make us do": {
		{"signatures of a server", 1, func(t *testing.T) int { return theMost(t, func(w work) int { return w.server.signatures }) }},
		{"calls of GetCertificate", 1, func(t *testing.T) int { return theMost(t, func(w work) int { return w.certificates }) }},
		{"key pairs of a server, by the randoms that they and the ServerHello take", 2, func(t *testing.T) int {
			return theMost(t, func(w work) int { return w.server.randoms })
		}},
		{"looks into a server's store, or tickets decrypted", 4, func(t *testing.T) int { return theMost(t, func(w work) int { return w.looks }) }},
		{"verifications of clients, of a chain and of the sessions offered", 5, func(t *testing.T) int {
			return theMost(t, func(w work) int { return w.server.verifications })
		}},
		{"signatures of a client", 1, func(t *testing.T) int { return theMost(t, func(w work) int { return w.client.signatures }) }},
		{"key pairs of a client, by the randoms that they and the ClientHello take", 5, func(t *testing.T) int {
			return theMost(t, func(w work) int { return w.client.randoms })
		}},
		{"verifications of a server", 1, func(t *testing.T) int { return theMost(t, func(w work) int { return w.client.verifications }) }},
		{"records in a row that bring nothing", 32, countUseless},
		{"records of rejected early data that a server tries to open", 16_384, countSkipped},
		{"bytes that a server answers to a ClientHello with a cookie's HelloRetryRequest", 300, func(t *testing.T) int {
			return len(answerTo(t, func(s *baretls.ServerConfig) { s.RetryCookieKey = make([]byte, 32) }))
		}},
	},
}

// TestLimitsUnderAttack: docs/security.md has these tables, and what is measured
// stays below their bounds, and not so far that they say nothing.
func TestLimitsUnderAttack(t *testing.T) {
	for heading, list := range burdens {
		rows := table(t, "docs/security.md", heading)
		var documented, want []string
		for _, row := range rows {
			documented = append(documented, row[0]+": "+strings.ReplaceAll(row[1], ",", ""))
		}
		for _, b := range list {
			want = append(want, fmt.Sprintf("%s: %d", b.what, b.bound))
		}
		if !slices.Equal(documented, append(want, documented[min(len(want), len(documented)):]...)) {
			t.Errorf("docs/security.md does not have the bounds of limits_test.go below %q; it wants\n%s", heading, strings.Join(want, "\n"))
		}
		for _, b := range list {
			t.Run(b.what, func(t *testing.T) {
				got := b.measure(t)
				t.Logf("%d, at most %d", got, b.bound)
				if got > b.bound {
					t.Errorf("it is %d, want %d at most", got, b.bound)
				}
				if got < b.bound/3 {
					t.Errorf("it is %d, of which a bound of %d says little", got, b.bound)
				}
			})
		}
	}
}

// halfOpen is how many connections are held at once where little is measured.
const halfOpen = 10_000

// hold makes so many connections and returns the bytes of heap that one holds.
func hold(t *testing.T, n int, make1 func() any) int {
	t.Helper()
	kept := make([]any, n)
	make1() // what is made once for all
	before := liveHeap()
	for i := range kept {
		kept[i] = make1()
	}
	held := liveHeap() - before
	runtime.KeepAlive(kept)
	return held / n
}

// holdHalfOpen holds servers that have taken what input makes of a ClientHello,
// and have sent what there was to send.
func holdHalfOpen(t *testing.T, n int, v version, input func(hello []byte) []byte) int {
	hello := aHello(t, v)
	in, config := input(hello), v.server()
	out := make([]byte, 1<<15)
	return hold(t, n, func() any {
		server, err := baretls.NewServer(config)
		if err != nil {
			t.Fatal(err)
		}
		converse(t, &server.Conn, in, out)
		return server
	})
}

// aHello is a client's, with a share that is cheap to answer.
func aHello(t *testing.T, v version) []byte {
	t.Helper()
	client := v.client()
	client.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
	p := newPair(t, client, nil)
	p.client.turns()
	return p.client.take()[5:]
}

// converse takes turns with the input, until it is quiet, and throws away what
// there is to send.
func converse(t *testing.T, conn *baretls.Conn, in, out []byte) {
	for {
		status, err := conn.ProcessTLSRecords(in)
		if err != nil {
			t.Fatal(err)
		}
		in = in[status.Discard:]
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			if _, err := state.Encode(out); err != nil {
				t.Fatal(err)
			}
		case baretls.TransmitTLSData:
			if err := state.Done(); err != nil {
				t.Fatal(err)
			}
		default:
			if len(in) > 0 {
				t.Fatalf("in %T, %d bytes are left", state, len(in))
			}
			return
		}
	}
}

// padHello makes a ClientHello of n bytes, without its header.
func padHello(hello []byte, n int) []byte {
	const extPadding = 21
	return withExtensions(hello, func(list []extension12) []extension12 {
		return append(list, extension12{extPadding, make([]byte, n-(len(hello)-4)-4)})
	})
}

// inRecords cuts a message into records in the clear.
func inRecords(message []byte) (b []byte) {
	for part := range slices.Chunk(message, 1<<14) {
		b = append(b, plain(handshake, part)...)
	}
	return b
}

func holdUnsentFlight(t *testing.T) int {
	hello, config := plain(handshake, aHello(t, tls13)), serverConfig()
	return hold(t, 1000, func() any {
		server, err := baretls.NewServer(config)
		if err != nil {
			t.Fatal(err)
		}
		if status, err := server.ProcessTLSRecords(hello); err != nil || status.State == nil {
			t.Fatalf("state %T, error %v", status.State, err)
		}
		return server
	})
}

func holdQuestion(t *testing.T) int {
	hello, config := inRecords(padHello(aHello(t, tls13), 1<<16)), serverConfig()
	config.Ask = baretls.AskClientHello
	return hold(t, 100, func() any {
		server, err := baretls.NewServer(config)
		if err != nil {
			t.Fatal(err)
		}
		status, err := server.ProcessTLSRecords(hello)
		if _, ok := status.State.(baretls.ClientHelloReceived); !ok {
			t.Fatalf("state %T, error %v", status.State, err)
		}
		return []any{server, status.State}
	})
}

func holdClients(t *testing.T) int {
	config, out := clientConfig(), make([]byte, 1<<15)
	config.SessionTicketsDisabled = true
	return hold(t, 1000, func() any {
		client, err := baretls.NewClient(config, "example.com")
		if err != nil {
			t.Fatal(err)
		}
		converse(t, &client.Conn, nil, out)
		return client
	})
}

// holdCookie holds clients that have answered a HelloRetryRequest with a cookie.
func holdCookie(t *testing.T) int {
	const extCookie = 44
	client, server := clientConfig(), retryServer()
	client.SessionTicketsDisabled = true
	return hold(t, 100, func() any {
		x := newMeddler(t, client, server, nil)
		x.fromServer[msgServerHello] = with(extCookie, vector16(make([]byte, 60_000))...)
		x.client.turns()
		x.server.give(x.client.take())
		x.server.turns()
		x.client.give(x.server.take())
		x.client.turns()
		if answer := x.client.take(); len(answer) < 60_000 {
			t.Fatalf("the client's answer has %d bytes, error %v", len(answer), x.client.err)
		}
		return x.client.conn
	})
}

// holdFlood holds the side that has received a Certificate of as many and as
// large certificates as it takes, or all but its last byte, and nothing behind.
func holdFlood(t *testing.T, victim string, v version, partial bool) int {
	cert := crowdedCertificate(t, 150)
	entry := vector24(cert.Certificate[0])
	if v == tls13 {
		entry = append(entry, 0, 0) // no extensions
	}
	list := vector24(bytes.Repeat(entry, (1<<16-16)/len(entry)))
	if v == tls13 {
		list = append([]byte{0}, list...) // no certificate_request_context
	}
	client, server := v.client(), v.server()
	client.CustomVerify = func(*baretls.PeerVerification) error { return nil }
	client.Certificates = []tls.Certificate{cert}
	client.SessionTicketsDisabled = true
	server.ClientAuth = tls.RequireAnyClientCert
	return hold(t, 16, func() any {
		x := newMeddler(t, client, server, nil)
		from := x.fromServer
		if victim == "server" {
			from = x.fromClient
		}
		from[msgCertificate] = func([]byte) []byte {
			b := message12(msgCertificate, list)
			if partial {
				b = b[:len(b)-1]
			}
			return b
		}
		for _, behind := range []byte{msgCertificateVerify, msgServerKeyExchange, msgCertificateRequest, msgServerHelloDone, msgClientKeyExchange, msgFinished} {
			if v == tls12 || behind != msgCertificateRequest {
				from[behind] = func([]byte) []byte { return nil }
			}
		}
		for range 4 {
			for _, s := range x.sides() {
				s.turns()
				for _, rec := range records(t, s.take()) {
					if rec[0] != changeCipherSpec {
						x.other(s).give(rec)
					}
				}
			}
		}
		s := x.side(victim)
		if s.err != nil || !s.conn.IsHandshaking() {
			t.Fatalf("the %s: error %v, states %v", victim, s.err, s.transcript)
		}
		return s.conn
	})
}

// crowdedCertificate has so many extensions, of which nobody knows one: parsed,
// they take the most memory for their bytes that we have found.
func crowdedCertificate(t *testing.T, n int) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter}
	for i := range n {
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, i}, Value: []byte{}})
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// work is what both sides have done in a handshake.
type work struct {
	client, server sideWork
	certificates   int // calls of GetCertificate
	looks          int // into the store
}

type sideWork struct{ signatures, randoms, verifications int }

// theMost is the largest count in handshakes of all kinds.
func theMost(t *testing.T, count func(work) int) (most int) {
	for _, v := range []version{tls13, tls12} {
		for _, edit := range []func(s *baretls.ServerConfig){
			func(s *baretls.ServerConfig) {},
			func(s *baretls.ServerConfig) { s.Groups = []tls.CurveID{tls.CurveP384} },
			func(s *baretls.ServerConfig) { s.RetryCookieKey = make([]byte, 32) },
			func(s *baretls.ServerConfig) { s.SessionStore = baretls.NewSessionCache(0) },
		} {
			for _, w := range workOf(t, v, edit) {
				most = max(most, count(w))
			}
		}
	}
	return most
}

// workOf is that of a full handshake with client certificates, and of another
// whose hello offers many sessions, which the server judges and does not take.
func workOf(t *testing.T, v version, edit func(s *baretls.ServerConfig)) (list []work) {
	var w *work
	many := false // sessions are offered
	st := newStage(t, withNoEarlyData, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.MaxVersion, s.MaxVersion = uint16(v), uint16(v)
		c.CipherSuites = nil
		c.Certificates = countingSigner(tlstest.ClientLeaf(tlstest.Ed25519), func() { w.client.signatures++ })
		s.Certificates = countingSigner(tlstest.Leaf(tlstest.Ed25519), func() { w.server.signatures++ })
		s.GetCertificate = func(*baretls.ClientHello) (*tls.Certificate, error) { w.certificates++; return nil, nil }
		s.Rand = countingReader(func() { w.server.randoms++ })
		c.Rand = countingReader(func() { w.client.randoms++ })
		s.ClientAuth, s.TicketCount = tls.RequireAndVerifyClientCert, 8
		s.ClientCAs, _ = tlstest.CA()
		c.VerifyPeer = func(*baretls.PeerVerification) error { w.client.verifications++; return nil }
		edit(s)
		// A client that was made to offer what it does not have cannot do so twice.
		many = v == tls13 && s.Groups == nil && s.RetryCookieKey == nil
		if s.SessionStore != nil {
			s.SessionStore = countingStore{s.SessionStore, func() { w.looks++ }}
		}
		s.VerifyPeer = func(*baretls.PeerVerification) error {
			// All but the last, that of a full handshake, are of sessions.
			if w.server.verifications++; len(list) > 0 && w.server.verifications <= 4 && many {
				return errors.New("not this one")
			}
			return nil
		}
	})
	w = new(work)
	st.connect()
	list = append(list, *w)
	var tickets [][]byte
	for st.sessions.len() > 0 {
		encoded, err := st.sessions.Take(st.sessions.key).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, seen(t, encoded).Ticket)
	}
	if v == tls13 && len(tickets) != 8 {
		t.Fatalf("the client has %d tickets, want 8", len(tickets))
	}
	err := baretls.RewriteClient(st.client, func(kind byte, m []byte) []byte {
		if kind == msgClientHello && many {
			m = with(41, offering(tickets)...)(m)
		}
		return m
	})
	if err != nil {
		t.Fatal(err)
	}
	w = new(work)
	st.connect()
	return append(list, *w)
}

// offering is the body of a pre_shared_key with those tickets, and binders that
// are none.
func offering(tickets [][]byte) []byte {
	var psk wire.OfferedPSKs
	for _, ticket := range tickets {
		psk.Identities = wire.AppendPSKIdentity(psk.Identities, ticket, 0)
		psk.Binders = wire.AppendPSKBinder(psk.Binders, make([]byte, 32))
	}
	return append(vector16(psk.Identities), vector16(psk.Binders)...)
}

type signer struct {
	crypto.Signer
	signs func()
}

func (s signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.signs()
	return s.Signer.Sign(rand, digest, opts)
}

func countingSigner(cert tls.Certificate, signs func()) []tls.Certificate {
	cert.PrivateKey = signer{cert.PrivateKey.(crypto.Signer), signs}
	return []tls.Certificate{cert}
}

// countingReader counts what is large enough for a key, or for a random.
type countingReader func()

func (count countingReader) Read(b []byte) (int, error) {
	if len(b) >= 32 {
		count()
	}
	return rand.Read(b)
}

type countingStore struct {
	baretls.SessionStore
	looks func()
}

func (s countingStore) Get(id string) []byte {
	s.looks()
	return s.SessionStore.Get(id)
}

// countUseless counts the change_cipher_specs that a server of TLS 1.3 takes.
func countUseless(t *testing.T) (n int) {
	p := newPair(t, nil, nil)
	p.client.turns()
	p.server.give(p.client.take())
	for ; p.server.err == nil; n++ {
		p.server.give(ccs())
		p.server.turns()
	}
	return n - 1
}

// countSkipped counts the smallest records that a server takes for early data
// which it has rejected.
func countSkipped(t *testing.T) (n int) {
	st := newStage(t)
	st.connect()
	st.server = st.newServerConfig(func(s *baretls.ServerConfig) { s.MaxEarlyData = 0 })
	m := st.meet()
	m.answer(m.clientFlight())
	junk := append(header(applicationData, 17), make([]byte, 17)...)
	for ; m.server.err == nil; n++ {
		m.answer(junk)
	}
	return n - 1
}

// answerTo is what a server sends to a ClientHello.
func answerTo(t *testing.T, edit func(*baretls.ServerConfig)) []byte {
	config := serverConfig()
	edit(config)
	p := newPair(t, nil, config)
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	return p.server.take()
}
