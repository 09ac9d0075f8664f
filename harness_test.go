package baretls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// A side is one end of a connection with the caller that drives it: the caller
// owns all bytes, and is as careful or as nasty as its options say.
type side struct {
	t    testing.TB
	role string
	conn *baretls.Conn

	in     []byte // received and not yet discarded
	coming []byte // sent by the peer and not yet received
	out    []byte // encoded and not yet sent
	sent   []byte // sent and not yet taken to the peer
	hello  []byte // the front of the first that was sent

	transcript []string // the states, by name
	data       []byte   // application data received
	payloads   int      // records that brought some
	peerClosed bool
	err        error // that ended the connection
	woken      bool  // a turn may lead somewhere without new input

	// How the caller behaves.
	split   int  // bytes per delivery; 0: as they come
	appends bool // AppendTo and its like, not Encode into an exact buffer
	hostile bool // copies, moves and scribbles over all that is not its duty to keep
	// on, if it is set, sees each state first, and returns true if that was
	// all there was to do.
	on func(baretls.State) bool
	// ask, if it is set, sees each state that asks, and returns false if that is
	// not answered and has to wait.
	ask func(question) bool
}

// A pair is a client and a server that are connected.
type pair struct {
	t              testing.TB
	client, server *side
	keys           *keyLog
}

// clientConfig is a client that trusts the test CA.
func clientConfig() *baretls.ClientConfig {
	roots, _ := tlstest.CA()
	return &baretls.ClientConfig{RootCAs: roots}
}

// serverConfig is a server for example.com. It sends no tickets, so that what
// follows the handshake is what a test makes of it.
func serverConfig() *baretls.ServerConfig {
	return &baretls.ServerConfig{
		Certificates:           []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
		SessionTicketsDisabled: true,
	}
}

// retryServer is a server that needs a HelloRetryRequest, because it has only
// a group that clients offer no share of.
func retryServer() *baretls.ServerConfig {
	config := serverConfig()
	config.Groups = []tls.CurveID{tls.CurveP384}
	return config
}

// newPair makes a client of example.com and a server; nil stands for
// clientConfig and serverConfig. The secrets are in keys, unless the client's
// config has a log of its own.
func newPair(t testing.TB, client *baretls.ClientConfig, server *baretls.ServerConfig) *pair {
	t.Helper()
	if client == nil {
		client = clientConfig()
	}
	if server == nil {
		server = serverConfig()
	}
	p := &pair{t: t, keys: new(keyLog)}
	if client.KeyLogWriter == nil {
		client.KeyLogWriter = p.keys
	}
	c, err := baretls.NewClient(client, "example.com")
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	p.client = newSide(t, "client", &c.Conn)
	p.server = newServer(t, server)
	return p
}

func newServer(t testing.TB, config *baretls.ServerConfig) *side {
	t.Helper()
	s, err := baretls.NewServer(config)
	if err != nil {
		t.Fatalf("NewServer: %v", err)
	}
	return newSide(t, "server", &s.Conn)
}

func newSide(t testing.TB, role string, conn *baretls.Conn) *side {
	return &side{t: t, role: role, conn: conn, woken: true}
}

func (p *pair) sides() []*side { return []*side{p.client, p.server} }

func (p *pair) other(s *side) *side {
	if s == p.client {
		return p.server
	}
	return p.client
}

// run goes on until both sides are quiet and nothing is on the way.
func (p *pair) run() {
	p.t.Helper()
	for round := 0; ; round++ {
		if round > 1<<20 {
			p.t.Fatalf("the connection does not come to rest:\nclient %v\nserver %v", p.client.transcript, p.server.transcript)
		}
		for _, s := range p.sides() {
			p.other(s).coming = append(p.other(s).coming, s.take()...)
		}
		moved := false
		for _, s := range p.sides() {
			moved = s.step() || moved
		}
		if !moved {
			return
		}
	}
}

// step receives what has come, as much as the options let through at once, and
// takes turns until it is quiet. It is false if there was nothing to do.
func (s *side) step() bool {
	s.t.Helper()
	if len(s.coming) == 0 && !s.woken {
		return false
	}
	n := len(s.coming)
	if s.split > 0 {
		n = min(n, s.split)
	}
	s.in = append(s.in, s.coming[:n]...)
	s.coming = s.coming[n:]
	s.turns()
	return true
}

// give receives bytes.
func (s *side) give(b ...[]byte) {
	for _, b := range b {
		s.in = append(s.in, b...)
	}
	s.woken = true
}

// take returns what was sent since the last time.
func (s *side) take() []byte {
	b := s.sent
	s.sent = nil
	return b
}

// turns goes on until a quiet state or an error.
func (s *side) turns() {
	s.t.Helper()
	s.woken = false
	for range 1 << 16 {
		if s.turn() {
			return
		}
	}
	s.t.Fatalf("%s: no quiet state after many turns: … %v", s.role, s.transcript[len(s.transcript)-10:])
}

// turn takes one turn and does what the state says. It returns true in a quiet
// state and after an error.
func (s *side) turn() (quiet bool) {
	s.t.Helper()
	incoming := s.in
	if s.hostile {
		incoming = slices.Concat(s.in, []byte("what is behind the input is not the connection's"))[:len(s.in)]
	}
	status, err := s.conn.ProcessTLSRecords(incoming)
	if (err == nil) != (status.State != nil) {
		s.t.Fatalf("%s: ProcessTLSRecords returns the state %T and the error %v: one of them, and only one, must be nil", s.role, status.State, err)
	}
	discard := status.Discard
	if err != nil {
		if s.err != nil && s.err != err {
			s.t.Errorf("%s: the error is %v, and was %v before: it must stay the same", s.role, err, s.err)
		}
		if discard != len(incoming) {
			s.t.Errorf("%s: Discard is %d with an error, want all of the %d bytes", s.role, discard, len(incoming))
		}
		s.err = err
		quiet = true
	} else {
		var more int
		s.transcript = append(s.transcript, stateName(status.State))
		more, quiet = s.handle(status.State)
		discard += more
	}
	if discard < 0 || discard > len(incoming) {
		s.t.Fatalf("%s: %T wants %d of %d bytes discarded", s.role, status.State, discard, len(incoming))
	}
	if s.hostile {
		s.in = bytes.Clone(incoming[discard:])
		scribble(incoming[:cap(incoming)])
	} else {
		s.in = incoming[discard:]
	}
	return quiet
}

func scribble(b []byte) {
	for i := range b {
		b[i] = 0xaa
	}
}

func stateName(s baretls.State) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", s), "baretls.")
}

// handle does what the state says; more is what to discard on top.
func (s *side) handle(state baretls.State) (more int, quiet bool) {
	s.t.Helper()
	if s.on != nil && s.on(state) {
		return 0, false
	}
	switch state := state.(type) {
	case baretls.EncodeTLSData:
		s.encode(state)
	case baretls.TransmitTLSData:
		if err := state.Done(); err != nil {
			s.t.Errorf("%s: Done: %v", s.role, err)
		}
		s.flush()
	case baretls.ReadTraffic:
		more = s.read(state)
	case baretls.PeerClosed:
		if s.peerClosed {
			s.t.Errorf("%s: PeerClosed came twice", s.role)
		}
		s.peerClosed = true
	case baretls.BlockedHandshake:
		if state.Need() <= 0 {
			s.t.Errorf("%s: BlockedHandshake needs %d bytes", s.role, state.Need())
		}
		quiet = true
	case baretls.WriteTraffic, baretls.Closed:
		quiet = true
	case question:
		quiet = s.ask == nil || !s.ask(state)
	default:
		s.t.Fatalf("%s: unknown state %T", s.role, state)
	}
	return more, quiet
}

// flush sends what was encoded.
func (s *side) flush() {
	if s.hello == nil && len(s.out) > 0 {
		s.hello = bytes.Clone(s.out[:min(len(s.out), 80)])
	}
	s.sent = append(s.sent, s.out...)
	s.out = s.out[:0]
}

// encode encodes one record, and tries a buffer that is a byte short before.
func (s *side) encode(state baretls.EncodeTLSData) {
	s.t.Helper()
	n := state.Len()
	s.output("Encode", n, state.Encode, state.AppendTo)
	if _, err := state.Encode(make([]byte, n)); err != baretls.ErrAlreadyEncoded {
		s.t.Errorf("%s: the second Encode returns %v, want ErrAlreadyEncoded", s.role, err)
	}
}

// output lets write fill a buffer of exactly n bytes, or lets add append them,
// after it has tried to with a byte less.
func (s *side) output(what string, n int, write func([]byte) (int, error), add func([]byte) ([]byte, error)) {
	s.t.Helper()
	if n > 0 {
		short := bytes.Repeat([]byte{0x55}, n)
		var size *baretls.InsufficientSizeError
		if k, err := write(short[: n-1 : n]); k != 0 || !errors.As(err, &size) || size.RequiredSize != n {
			s.t.Errorf("%s: %s into %d bytes returns %d, %v, want an InsufficientSizeError that requires %d", s.role, what, n-1, k, err, n)
		}
		if bytes.Count(short, []byte{0x55}) != n {
			s.t.Errorf("%s: %s has written to a buffer that is a byte short", s.role, what)
		}
	}
	if s.appends {
		before := len(s.out)
		out, err := add(s.out)
		if err != nil || len(out) != before+n {
			s.t.Errorf("%s: %s appends %d bytes, %v, want %d", s.role, what, len(out)-before, err, n)
		}
		s.out = out
		return
	}
	exact := bytes.Repeat([]byte{0x55}, n+1)
	k, err := write(exact[:n])
	if k != n || err != nil {
		s.t.Errorf("%s: %s into %d bytes returns %d, %v", s.role, what, n, k, err)
	}
	if exact[n] != 0x55 {
		s.t.Errorf("%s: %s has written behind its buffer", s.role, what)
	}
	s.out = append(s.out, exact[:n]...)
}

// read takes all records of a ReadTraffic.
func (s *side) read(state baretls.ReadTraffic) (discard int) {
	s.t.Helper()
	for {
		most, peeked := state.PeekLen()
		rec, ok := state.NextRecord()
		if ok && !peeked {
			s.t.Errorf("%s: NextRecord returns a record that PeekLen did not see", s.role)
		}
		if !ok {
			return discard
		}
		if len(rec.Payload) > most || rec.Discard <= len(rec.Payload) {
			s.t.Errorf("%s: a record of %d bytes has a payload of %d, and PeekLen said %d", s.role, rec.Discard, len(rec.Payload), most)
		}
		if len(rec.Payload) > 0 {
			s.payloads++
		}
		s.data = append(s.data, rec.Payload...)
		discard += rec.Discard
	}
}

// writer takes turns without new input until it can write.
func (s *side) writer() baretls.WriteTraffic {
	s.t.Helper()
	for range 100 {
		status, err := s.conn.ProcessTLSRecords(nil)
		if err != nil {
			s.t.Fatalf("%s: cannot write: %v", s.role, err)
		}
		if w, ok := status.State.(baretls.WriteTraffic); ok {
			return w
		}
		s.handle(status.State)
	}
	s.t.Fatalf("%s: no WriteTraffic without input", s.role)
	panic("unreachable")
}

// write encrypts data from WriteTraffic and sends it.
func (s *side) write(data []byte) {
	s.t.Helper()
	s.encrypt(s.writer(), data)
	s.flush()
}

func (s *side) encrypt(w baretls.WriteTraffic, data []byte) {
	s.t.Helper()
	s.output("Encrypt", w.EncryptedLen(len(data)),
		func(out []byte) (int, error) { return w.Encrypt(data, out) },
		func(out []byte) ([]byte, error) { return w.AppendEncrypted(out, data) })
}

// close sends a close_notify.
func (s *side) close() {
	s.t.Helper()
	w := s.writer()
	s.output("QueueCloseNotify", w.CloseNotifyLen(), w.QueueCloseNotify, w.AppendCloseNotify)
	s.flush()
	s.woken = true
}

// refresh asks for new keys; the next turn is EncodeTLSData.
func (s *side) refresh() {
	s.t.Helper()
	if err := s.writer().RefreshTrafficKeys(); err != nil {
		s.t.Fatalf("%s: RefreshTrafficKeys: %v", s.role, err)
	}
	s.woken = true
}

// handshake runs, and both sides must have come through it.
func (p *pair) handshake() {
	p.t.Helper()
	p.run()
	for _, s := range p.sides() {
		if s.err != nil || s.conn.IsHandshaking() {
			p.t.Fatalf("%s: the handshake is not complete, error %v, states %v", s.role, s.err, s.transcript)
		}
	}
}

// send writes data on one side, and the other must get it.
func (p *pair) send(from *side, data string) {
	p.t.Helper()
	to := p.other(from)
	before := len(to.data)
	from.write([]byte(data))
	p.run()
	if got := string(to.data[before:]); got != data {
		p.t.Errorf("the %s sent %.40q, and the other side got %.40q, error %v", from.role, data, got, to.err)
	}
}

// works sends data both ways.
func (p *pair) works() {
	p.t.Helper()
	p.send(p.client, "from the client")
	p.send(p.server, "from the server")
}

// wantStates compares the transcript since the last time and forgets it.
func (s *side) wantStates(what string, want ...string) {
	s.t.Helper()
	if !slices.Equal(s.transcript, want) {
		s.t.Errorf("%s: the %s went through\n\t%v\nwant\n\t%v", what, s.role, s.transcript, want)
	}
	s.transcript = nil
}

// wantFailed checks that the side has failed by itself, with that alert.
func (s *side) wantFailed(alert tls.AlertError) {
	s.t.Helper()
	s.wantError(alert, false)
}

// wantAlerted checks that the side has failed because of the peer's alert.
func (s *side) wantAlerted(alert tls.AlertError) {
	s.t.Helper()
	s.wantError(alert, true)
}

func (s *side) wantError(alert tls.AlertError, received bool) {
	s.t.Helper()
	var failure *baretls.Error
	if !errors.As(s.err, &failure) {
		s.t.Errorf("%s: the error is %v, want the alert %q; states %v", s.role, s.err, alert, s.transcript)
		return
	}
	if got, ok := failure.Alert(); !ok || got != alert || failure.Received() != received {
		s.t.Errorf("%s: the error is %v (alert %v, received: %v), want the alert %q, received: %v", s.role, failure, got, failure.Received(), alert, received)
	}
}

// wantAlive checks that the side has not failed.
func (s *side) wantAlive() {
	s.t.Helper()
	if s.err != nil {
		s.t.Errorf("%s: failed: %v", s.role, s.err)
	}
}

// The alerts of RFC 9846, Section 6.
const (
	closeNotify            tls.AlertError = 0
	unexpectedMessage      tls.AlertError = 10
	badRecordMAC           tls.AlertError = 20
	recordOverflow         tls.AlertError = 22
	handshakeFailure       tls.AlertError = 40
	badCertificate         tls.AlertError = 42
	unsupportedCertificate tls.AlertError = 43
	certificateExpired     tls.AlertError = 45
	certificateUnknown     tls.AlertError = 46
	illegalParameter       tls.AlertError = 47
	unknownCA              tls.AlertError = 48
	decodeError            tls.AlertError = 50
	protocolVersion        tls.AlertError = 70
	internalError          tls.AlertError = 80
	userCanceled           tls.AlertError = 90
	noApplicationProtocol  tls.AlertError = 120
)
