package baretls_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/baretls/baretls"
)

// halves is a side that has been split. Its reader goes on with what the side
// was given and has not used.
type halves struct {
	*side
	r *baretls.ReadHalf
	w *baretls.WriteHalf
}

func split(t testing.TB, s *side) *halves {
	t.Helper()
	r, w, err := s.conn.Split()
	if err != nil {
		t.Fatalf("%s: Split: %v", s.role, err)
	}
	s.transcript = nil
	return &halves{s, r, w}
}

// reads gives the reader bytes, and turns until it is quiet or has failed.
func (h *halves) reads(records ...[]byte) {
	h.t.Helper()
	h.give(records...)
	for range 1 << 16 {
		incoming := h.in
		if h.hostile {
			incoming = slices.Concat(h.in, []byte("what is behind the input is not the connection's"))[:len(h.in)]
		}
		status, err := h.r.ProcessTLSRecords(incoming)
		discard, quiet := status.Discard, false
		switch state := status.State.(type) {
		case nil:
			if err == nil || discard != len(incoming) || h.err != nil && err != h.err {
				h.t.Fatalf("%s: a turn without a state discards %d of %d bytes, with the error %v, and before %v", h.role, discard, len(incoming), err, h.err)
			}
			h.err, quiet = err, true
		case baretls.ReadTraffic:
			discard += h.read(state)
		case baretls.PeerClosed:
			if h.peerClosed {
				h.t.Errorf("%s: PeerClosed came twice", h.role)
			}
			h.peerClosed = true
		case baretls.BlockedRead:
			if quiet = true; state.Need() <= 0 {
				h.t.Errorf("%s: BlockedRead needs %d bytes", h.role, state.Need())
			}
		case baretls.Closed:
			quiet = true
		default:
			h.t.Fatalf("%s: a reader is in %T", h.role, state)
		}
		if status.State != nil {
			h.transcript = append(h.transcript, stateName(status.State))
		}
		if h.hostile {
			h.in = bytes.Clone(incoming[discard:])
			scribble(incoming[:cap(incoming)])
		} else {
			h.in = incoming[discard:]
		}
		if quiet {
			return
		}
	}
	h.t.Fatalf("%s: the reader finds no quiet state", h.role)
}

// writes encrypts data, and returns what is to be sent.
func (h *halves) writes(data []byte) []byte {
	h.t.Helper()
	h.output("Encrypt", h.w.EncryptedLen(len(data)),
		func(out []byte) (int, error) { return h.w.Encrypt(data, out) },
		func(out []byte) ([]byte, error) { return h.w.AppendEncrypted(out, data) })
	return h.flushed()
}

// answers encodes what is pending, and returns it.
func (h *halves) answers() []byte {
	h.t.Helper()
	if n := h.w.PendingLen(); (n > 0) != h.w.Pending() {
		h.t.Errorf("%s: Pending is %t, and PendingLen %d", h.role, h.w.Pending(), n)
	}
	h.output("EncodePending", h.w.PendingLen(), h.w.EncodePending, h.w.AppendPending)
	if h.w.Pending() || h.w.PendingLen() != 0 {
		h.t.Errorf("%s: what was encoded is still pending", h.role)
	}
	return h.flushed()
}

// closes sends a close_notify.
func (h *halves) closes() []byte {
	h.t.Helper()
	h.output("QueueCloseNotify", h.w.CloseNotifyLen(), h.w.QueueCloseNotify, h.w.AppendCloseNotify)
	return h.flushed()
}

func (h *halves) refreshes() {
	h.t.Helper()
	if err := h.w.RefreshTrafficKeys(); err != nil {
		h.t.Fatalf("%s: RefreshTrafficKeys: %v", h.role, err)
	}
}

func (h *halves) flushed() []byte {
	h.flush()
	return h.take()
}

// wantWriterFailed checks that all a writer can do is that error, but for the
// alert.
func (h *halves) wantWriterFailed(want error) {
	h.t.Helper()
	room := make([]byte, 1000)
	for call, f := range map[string]func() error{
		"Encrypt":            func() error { _, err := h.w.Encrypt([]byte("x"), room); return err },
		"AppendEncrypted":    func() error { _, err := h.w.AppendEncrypted(nil, []byte("x")); return err },
		"QueueCloseNotify":   func() error { _, err := h.w.QueueCloseNotify(room); return err },
		"AppendCloseNotify":  func() error { _, err := h.w.AppendCloseNotify(nil); return err },
		"RefreshTrafficKeys": h.w.RefreshTrafficKeys,
	} {
		if err := f(); err != want {
			h.t.Errorf("%s: %s returns %v, want %v", h.role, call, err, want)
		}
	}
	if h.w.EncryptedLen(1) != 0 || h.w.CloseNotifyLen() != 0 {
		h.t.Errorf("%s: a writer that has failed has lengths", h.role)
	}
	if !bytes.Equal(room, make([]byte, len(room))) {
		h.t.Errorf("%s: a writer that has failed has written something", h.role)
	}
}

// A splitPair has one side split, the victim, and has the keys of both
// directions: what comes from the forger is the peer's, and the opener reads
// what the victim sends.
type splitPair struct {
	*pair
	*halves
	version version
	peer    *side
	forger  *forger
	opener  *forger
}

// eachHalf calls f for a client and for a server that have been split, in both
// versions.
func eachHalf(t *testing.T, f func(t *testing.T, p *splitPair)) {
	t.Helper()
	eachVersion(t, func(t *testing.T, v version) { eachRole(t, v, f) })
}

func eachRole(t *testing.T, v version, f func(t *testing.T, p *splitPair)) {
	t.Helper()
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) { f(t, splitSide(t, v, role)) })
	}
}

func splitSide(t *testing.T, v version, role string) *splitPair {
	p := v.pair(t, nil, nil)
	p.handshake()
	s := p.side(role)
	peer := p.other(s)
	return &splitPair{pair: p, halves: split(t, s), version: v, peer: peer, forger: p.forger(peer), opener: p.forger(s)}
}

// opens returns what a flight of the victim's holds, a word for each record.
// It goes on to the next keys with every KeyUpdate.
func (p *splitPair) opens(flight []byte) (list []string) {
	p.halves.t.Helper()
	for _, record := range records(p.halves.t, flight) {
		switch typ, content := p.opener.open(p.halves.t, record); typ {
		case applicationData:
			list = append(list, string(content))
		case alert:
			list = append(list, tls.AlertError(content[1]).Error())
		case handshake:
			if !bytes.Equal(content, keyUpdate(0)) && !bytes.Equal(content, keyUpdate(1)) {
				p.halves.t.Fatalf("a handshake record holds %x, want a KeyUpdate alone", content)
			}
			list = append(list, fmt.Sprint("KeyUpdate ", content[4]))
			p.opener.update()
		default:
			p.halves.t.Fatalf("a record of type %d is sent", typ)
		}
	}
	return list
}

// updates returns KeyUpdates of the peer.
func (p *splitPair) updates(requests ...byte) (flight []byte) {
	for _, request := range requests {
		flight = append(flight, p.forger.seal(handshake, keyUpdate(request), 0)...)
		p.forger.update()
	}
	return flight
}

func wantWords(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: there is %q, want %q", what, got, want)
	}
}

const blockedRead = "BlockedRead"

// Both halves of both sides work at the same time: each writer sends data and
// new keys as it likes, and each reader finds them in order.
func TestSplitBothWaysAtOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		const total = 1 << 20
		client, server := v.client(), v.server()
		client.MaxFragmentSize, server.MaxFragmentSize = 1000, 2000
		for _, limit := range []uint64{0, 40} { // records under one key
			if v == tls12 && limit != 0 {
				continue // its keys cannot be changed
			}
			if err := errors.Join(baretls.LimitClientKeys(client, limit), baretls.LimitServerKeys(server, limit)); err != nil {
				t.Fatal(err)
			}
			p := v.pair(t, client, server)
			p.handshake()
			want, err := p.client.conn.ExportKeyingMaterial("label", nil, 32)
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			transports := map[*side]chan []byte{p.client: make(chan []byte, 8), p.server: make(chan []byte, 8)}
			for i, s := range p.sides() {
				h := split(t, s)
				pending, done := make(chan struct{}, 1), make(chan struct{})
				data := make([]byte, total)
				rand.Read(data)
				all.Go(func() { writeAtRandom(h, data, mrand.New(mrand.NewPCG(1, uint64(i))), transports[p.other(s)], pending) })
				all.Go(func() {
					defer close(done)
					readToTheEnd(h, transports[s], pending)
				})
				all.Go(func() { // what the Conn knows may be asked for meanwhile
					for {
						got, err := s.conn.ExportKeyingMaterial("label", nil, 32)
						state := s.conn.ConnectionState()
						if err != nil || !bytes.Equal(got, want) || !state.HandshakeComplete || s.conn.TicketsReceived() != 0 || s.conn.IsHandshaking() {
							t.Errorf("the %s exports %x, %v, want %x, and its state is %+v", s.role, got, err, want, state)
						}
						select {
						case <-done:
							return
						default:
						}
					}
				})
				s.sent = data // for the comparison
			}
			all.Wait()
			for _, s := range p.sides() {
				if !bytes.Equal(s.data, p.other(s).sent) || !s.peerClosed || s.err != nil {
					t.Errorf("the %s has read %d bytes of %d, as sent: %t, PeerClosed: %t, error %v", s.role, len(s.data), total, bytes.Equal(s.data, p.other(s).sent), s.peerClosed, s.err)
				}
			}
		}
	})
}

// writeAtRandom sends the data, in parts, with key updates between them, and
// answers what the reader has found.
func writeAtRandom(h *halves, data []byte, random *mrand.Rand, transport chan<- []byte, pending <-chan struct{}) {
	defer close(transport)
	for len(data) > 0 {
		var out []byte
		var err error
		select {
		case <-pending:
			out, err = h.w.AppendPending(nil)
		default:
			n := min(random.IntN(5000), len(data))
			out, err = h.w.AppendEncrypted(nil, data[:n])
			data = data[n:]
		}
		if err == nil && random.IntN(10) == 0 && h.conn.ProtocolVersion() == tls.VersionTLS13 {
			err = h.w.RefreshTrafficKeys()
		}
		if err != nil {
			h.t.Errorf("the %s cannot write: %v", h.role, err)
			return
		}
		transport <- out
	}
	out, err := h.w.AppendCloseNotify(nil)
	if err != nil {
		h.t.Errorf("the %s cannot close: %v", h.role, err)
	}
	transport <- out
}

// readToTheEnd reads what the transport brings.
func readToTheEnd(h *halves, transport <-chan []byte, pending chan<- struct{}) {
	for records := range transport {
		h.reads(records)
		if h.w.Pending() {
			select {
			case pending <- struct{}{}:
			default:
			}
		}
	}
	if h.transcript[len(h.transcript)-1] != closed {
		h.t.Errorf("the %s's reader ends in %v, error %v", h.role, h.transcript[len(h.transcript)-1:], h.err)
	}
}

// A KeyUpdate that is asked for goes out by itself or before the next data,
// one for many requests.
func TestSplitAnswersKeyUpdates(t *testing.T) {
	for _, test := range []struct {
		requests []byte
		answers  []string
	}{
		{[]byte{1}, []string{"KeyUpdate 0"}},
		{[]byte{0}, nil},
		{[]byte{1, 1, 1}, []string{"KeyUpdate 0"}},
		{[]byte{0, 1, 0}, []string{"KeyUpdate 0"}},
	} {
		eachRole(t, tls13, func(t *testing.T, p *splitPair) {
			what := fmt.Sprint("requests ", test.requests)
			for range 2 {
				p.reads(p.updates(test.requests...), p.forger.seal(applicationData, []byte("new keys"), 0))
				p.halves.wantStates(what, read, blockedRead)
				wantWords(t, what+", answered at once", p.opens(p.answers()), test.answers...)
				wantWords(t, what+", nothing more to answer", p.opens(p.answers()))
				wantWords(t, what+", data", p.opens(p.writes([]byte("data"))), "data")

				p.reads(p.updates(test.requests...), p.forger.seal(applicationData, []byte("new keys"), 0))
				p.transcript = nil
				if n := p.w.EncryptedLen(0); n != 0 {
					t.Errorf("%s: no data is %d bytes", what, n)
				}
				wantWords(t, what+", answered with data", p.opens(p.writes([]byte("data"))), append(slices.Clone(test.answers), "data")...)
				if p.w.Pending() {
					t.Errorf("%s: the answer is pending, and went before the data", what)
				}
				wantWords(t, what+", more data", p.opens(p.writes([]byte("more"))), "more")
			}
			p.wantAlive()
		})
	}
}

// We ask for new keys, and not again before the peer has answered.
func TestSplitRefreshTrafficKeys(t *testing.T) {
	eachRole(t, tls13, func(t *testing.T, p *splitPair) {
		p.refreshes()
		wantWords(t, "the first request", p.opens(p.answers()), "KeyUpdate 1")
		p.refreshes()
		wantWords(t, "the second before the answer", p.opens(p.answers()), "KeyUpdate 0")
		p.refreshes()
		p.refreshes()
		wantWords(t, "two in one, before data", p.opens(p.writes([]byte("data"))), "KeyUpdate 0", "data")
		p.reads(p.updates(0))
		p.refreshes()
		p.reads(p.updates(1)) // it crosses, and ours will do for an answer
		wantWords(t, "a request after the answer, and one of the peer's", p.opens(p.answers()), "KeyUpdate 1")
		p.reads(p.updates(0), p.forger.seal(applicationData, []byte("under the last keys"), 0))
		if string(p.data) != "under the last keys" {
			t.Errorf("after all that, the %s reads %q", p.role, p.data)
		}
	})
	eachRole(t, tls12, func(t *testing.T, p *splitPair) {
		if err := p.w.RefreshTrafficKeys(); err != baretls.ErrNoKeyUpdate || p.w.Pending() {
			t.Errorf("in TLS 1.2, RefreshTrafficKeys is %v, and Pending: %t", err, p.w.Pending())
		}
	})
}

// What was asked for before the split is not asked for again.
func TestSplitWithARequestUnanswered(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		p := tls13.pair(t, nil, nil)
		p.handshake()
		s := p.side(role)
		sp := &splitPair{pair: p, halves: &halves{side: s}, forger: p.forger(p.other(s)), opener: p.forger(s)}
		s.refresh()
		s.turns()
		wantWords(t, "before the split", sp.opens(s.take()), "KeyUpdate 1")
		sp.halves = split(t, s)
		sp.refreshes()
		wantWords(t, "before the answer", sp.opens(sp.answers()), "KeyUpdate 0")
		sp.reads(sp.updates(0))
		sp.refreshes()
		wantWords(t, "after the answer", sp.opens(sp.answers()), "KeyUpdate 1")
	}
}

// A size holds as long as nothing is read. Then the call says the new one.
func TestSplitSizesChange(t *testing.T) {
	eachRole(t, tls13, func(t *testing.T, p *splitPair) {
		data := []byte("data")
		old := p.w.EncryptedLen(len(data))
		p.reads(p.updates(1))
		out := make([]byte, 100)
		var size *baretls.InsufficientSizeError
		if n, err := p.w.Encrypt(data, out[:old]); n != 0 || !errors.As(err, &size) || size.RequiredSize != old+5+5+1+16 {
			t.Fatalf("Encrypt into what was enough before the request is %d, %v", n, err)
		}
		if n, err := p.w.EncodePending(out[:old]); n != 0 || !errors.As(err, &size) || size.RequiredSize != 5+5+1+16 {
			t.Fatalf("EncodePending into %d bytes is %d, %v", old, n, err)
		}
		if !bytes.Equal(out, make([]byte, len(out))) {
			t.Error("a buffer that is too small was written to")
		}
		wantWords(t, "after that", p.opens(p.writes(data)), "KeyUpdate 0", "data")
	})
}

// The limit on records under a key is kept with a KeyUpdate that is due in
// addition, and every size is exact.
func TestSplitKeyLimit(t *testing.T) {
	for before := range keyLimit + 1 {
		for n := range 3 * keyLimit {
			for _, asked := range []bool{false, true} {
				p := limitedPair(t, 64)
				h := split(t, p.client)
				opener := p.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0")
				var flight []byte
				for range before {
					flight = append(flight, h.writes([]byte("x"))...)
				}
				if asked {
					f := p.keys.forger(t, "SERVER_TRAFFIC_SECRET_0")
					h.reads(f.seal(handshake, keyUpdate(1), 0))
				}
				flight = append(flight, h.writes(bytes.Repeat([]byte("y"), n*64))...)
				flight = append(flight, h.answers()...)
				data, updates := wantKeysKept(t, opener, flight)
				least, most := max(before+n-1, 0)/(keyLimit-1), max(before+n-1, 0)/(keyLimit-1)
				if asked {
					least, most = max(least, 1), most+1
				}
				if len(data) != before+64*n || updates < least || updates > most {
					t.Errorf("%d records and then %d, a KeyUpdate was asked for: %t: %d bytes and %d KeyUpdates, want %d and %d to %d",
						before, n, asked, len(data), updates, before+64*n, least, most)
				}
				p.server.give(flight)
				p.server.turns()
				if p.server.wantAlive(); !bytes.Equal(p.server.data, data) {
					t.Errorf("%d records and then %d: the server gets %d bytes", before, n, len(p.server.data))
				}
			}
		}
	}
}

// There is a last epoch. Then a request of the peer's goes unanswered, and our
// own is the end of both halves.
func TestSplitLastEpoch(t *testing.T) {
	eachRole(t, tls13, func(t *testing.T, p *splitPair) {
		baretls.SetLastEpoch(p.w)
		p.reads(p.updates(1))
		wantWords(t, "data in the last epoch", p.opens(p.writes([]byte("data"))), "data")
		if n, err := p.w.EncodePending(nil); n != 0 || err != nil || p.w.Pending() {
			t.Errorf("in the last epoch, the answer is %d bytes, %v, and Pending: %t", n, err, p.w.Pending())
		}
		err := p.w.RefreshTrafficKeys()
		var failure *baretls.Error
		if !errors.As(err, &failure) || !strings.Contains(err.Error(), "limit on records") {
			t.Fatalf("in the last epoch, RefreshTrafficKeys is %v", err)
		}
		p.wantWriterFailed(err)
		if p.w.Pending() || len(p.answers()) != 0 {
			t.Error("after the last epoch, something is pending")
		}
		p.reads()
		if p.halves.err != err {
			t.Errorf("after the writer has failed by %v, the reader goes on with %v", err, p.halves.err)
		}
		if _, got := p.conn.ExportKeyingMaterial("label", nil, 32); got != err {
			t.Errorf("after the writer has failed by %v, an exporter returns %v", err, got)
		}
		if kept := baretls.SecretsKept(p.r); kept != nil {
			t.Errorf("after the failure there are still %v", kept)
		}
	})
}

// The floods that a Conn refuses, its ReadHalf does too; answers are none.
func TestSplitFloods(t *testing.T) {
	eachRole(t, tls13, func(t *testing.T, p *splitPair) {
		for i := range 100 {
			p.refreshes()
			wantWords(t, "a request", p.opens(p.answers()), "KeyUpdate 1")
			if p.reads(p.updates(0)); p.halves.err != nil {
				t.Fatalf("after %d answers to our own requests: %v", i+1, p.halves.err)
			}
		}
		p.reads(p.updates(bytes.Repeat([]byte{1}, 32)...))
		p.wantAlive()
		p.reads(p.forger.seal(applicationData, []byte("x"), 0), p.updates(bytes.Repeat([]byte{1}, 32)...))
		p.wantAlive()
		p.reads(p.updates(1))
		p.wantFailed(unexpectedMessage)
		wantWords(t, "after 33 key updates", p.opens(p.answers()), unexpectedMessage.Error())
	})
}

// What ends a connection ends both halves, and the peer is told what there is
// to tell.
func TestSplitFailure(t *testing.T) {
	tests := []struct {
		name   string
		attack func(p *splitPair)
		check  func(p *splitPair)
		told   tls.AlertError // what the peer gets; closeNotify: nothing
	}{
		{"garbage",
			func(p *splitPair) { p.reads(header(applicationData, 100), make([]byte, 100)) },
			func(p *splitPair) { p.wantFailed(badRecordMAC) }, badRecordMAC},
		{"a header that is none",
			func(p *splitPair) { p.reads([]byte{99, 3, 3, 0, 0}) },
			func(p *splitPair) { p.wantFailed(unexpectedMessage) }, unexpectedMessage},
		{"a record that is too long",
			func(p *splitPair) { p.reads(header(applicationData, 1<<14+257)) },
			func(p *splitPair) { p.wantFailed(recordOverflow) }, recordOverflow},
		{"a message that may not come",
			func(p *splitPair) { p.reads(p.forger.seal(handshake, []byte{20, 0, 0, 1, 0}, 0)) },
			func(p *splitPair) { p.wantFailed(unexpectedMessage) }, unexpectedMessage},
		{"the peer's alert",
			func(p *splitPair) { p.reads(p.forger.alert(internalError)) },
			func(p *splitPair) { p.wantAlerted(internalError) }, closeNotify},
		{"truncation",
			func(p *splitPair) {
				p.reads(p.forger.seal(applicationData, []byte("data"), 0), []byte{23})
				p.wantAlive()
				p.r.CloseInput()
				p.reads()
			},
			func(p *splitPair) {
				if !errors.Is(p.halves.err, io.ErrUnexpectedEOF) || string(p.data) != "data" {
					p.halves.t.Errorf("truncation is %v, behind %q", p.halves.err, p.data)
				}
			}, closeNotify},
	}
	for _, test := range tests {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, we have closed: %t", test.name, closed), func(t *testing.T) {
				eachHalf(t, func(t *testing.T, p *splitPair) {
					if closed {
						wantWords(t, "closing", p.opens(p.closes()), closeNotify.Error())
					}
					test.attack(p)
					test.check(p)
					failure := p.halves.err
					p.wantWriterFailed(failure)
					p.reads([]byte("more"))

					var want []string
					if test.told != closeNotify && !closed {
						want = append(want, test.told.Error())
					}
					flight := p.answers()
					wantWords(t, test.name+": what the peer is told", p.opens(flight), want...)
					if p.wantWriterFailed(failure); len(p.answers()) != 0 {
						t.Error("the alert comes twice")
					}
					if p.peer.give(flight); want != nil {
						p.peer.turns()
						p.peer.wantAlerted(test.told)
					}
					if out, err := p.conn.ExportKeyingMaterial("label", nil, 32); out != nil || err != failure {
						t.Errorf("after the failure, an exporter returns %x, %v, want %v", out, err, failure)
					}
					if out, err := p.conn.TLSExporter(); out != nil || err != failure {
						t.Errorf("after the failure, the channel binding is %x, %v, want %v", out, err, failure)
					}
					if kept := baretls.SecretsKept(p.r); kept != nil {
						t.Errorf("after the failure there are still %v", kept)
					}
				})
			})
		}
	}
}

// Of what was due, a connection that has failed sends the alert alone.
func TestSplitFailureReplacesWhatIsDue(t *testing.T) {
	eachRole(t, tls13, func(t *testing.T, p *splitPair) {
		p.refreshes()
		p.reads(p.updates(1), header(applicationData, 100), make([]byte, 100))
		p.wantFailed(badRecordMAC)
		wantWords(t, "a KeyUpdate and an alert", p.opens(p.answers()), badRecordMAC.Error())
	})
	eachRole(t, tls12, func(t *testing.T, p *splitPair) {
		p.reads(p.forger.seal(handshake, renegotiation(p), 0), p.forger.seal(handshake, renegotiation(p), 0))
		p.wantFailed(unexpectedMessage)
		wantWords(t, "a warning and an alert", p.opens(p.answers()), unexpectedMessage.Error())
	})
}

// renegotiation is what asks the side for one: it need not be well-formed.
func renegotiation(p *splitPair) []byte {
	if p.role == "client" {
		return message12(msgHelloRequest)
	}
	return message12(msgClientHello)
}

// Either side may close first, before the split or after it, and the other
// direction goes on.
func TestSplitClosure(t *testing.T) {
	eachHalf(t, func(t *testing.T, p *splitPair) {
		wantWords(t, "we close first", p.opens(p.closes()), closeNotify.Error())
		wantWriteClosed(t, p)
		p.reads(p.forger.seal(applicationData, []byte("the last word"), 0))
		p.halves.wantStates("reading behind our close_notify", read, blockedRead)
		if p.version == tls13 {
			p.reads(p.updates(1))
			p.halves.wantStates("a request behind our close_notify", read, blockedRead)
		}
		wantWords(t, "behind our close_notify", p.opens(p.answers()))
		p.reads(p.forger.seal(alert, []byte{1, 0}, 0), []byte("ignored"))
		p.wantClosed()
		if string(p.data) != "the last word" {
			t.Errorf("behind its close_notify, the %s reads %q", p.role, p.data)
		}
	})
	eachHalf(t, func(t *testing.T, p *splitPair) {
		p.reads(p.forger.seal(applicationData, []byte("bye"), 0), p.forger.seal(alert, []byte{1, 0}, 0))
		if string(p.data) != "bye" {
			t.Errorf("before the close_notify, the %s reads %q", p.role, p.data)
		}
		p.wantClosed()
		wantWords(t, "writing behind the peer's close_notify", p.opens(p.writes([]byte("the last word"))), "the last word")
		if p.version == tls13 {
			p.refreshes()
			wantWords(t, "new keys behind the peer's close_notify", p.opens(p.answers()), "KeyUpdate 1")
		}
		p.r.CloseInput()
		p.reads()
		p.halves.wantStates("the end of the transport behind the peer's close_notify", closed)
		wantWords(t, "closing at last", p.opens(p.closes()), closeNotify.Error())
		wantWriteClosed(t, p)
		if out, err := p.conn.TLSExporter(); len(out) != 32 || err != nil {
			t.Errorf("when both have closed, the channel binding is %x, %v", out, err)
		}
	})
	t.Run("before the split", func(t *testing.T) {
		eachVersion(t, func(t *testing.T, v version) {
			p := v.pair(t, nil, nil)
			p.handshake()
			p.client.close()
			p.run()
			server := split(t, p.server)
			server.reads()
			server.wantStates("a reader whose Conn has told of the end", closed)
			client := split(t, p.client)
			if n, err := client.w.QueueCloseNotify(nil); n != 0 || err != nil {
				t.Errorf("the second close_notify is %d bytes, %v", n, err)
			}
			if _, err := client.w.Encrypt([]byte("x"), nil); err != baretls.ErrWriteClosed {
				t.Errorf("behind the close_notify, Encrypt is %v", err)
			}
			client.reads(server.writes([]byte("data")), server.closes())
			if string(client.data) != "data" {
				t.Errorf("the client reads %q", client.data)
			}
			client.wantStates("a reader whose Conn has closed", read, "PeerClosed", closed)
		})
	})
}

// wantClosed: the reader has come to its end, and keeps no secret.
func (p *splitPair) wantClosed() {
	p.halves.t.Helper()
	want := []string{read, "PeerClosed", closed}
	if p.version == tls12 && !slices.Contains(p.transcript, read) {
		want = want[1:] // the type of a record is in the clear
	}
	p.halves.wantStates("the peer's close_notify", want...)
	p.reads([]byte("ignored"))
	p.halves.wantStates("bytes behind the peer's close_notify", closed)
	if len(p.in) != 0 {
		p.halves.t.Errorf("%d bytes behind the peer's close_notify are not discarded", len(p.in))
	}
	if kept := baretls.SecretsKept(p.r); slices.Contains(kept, "readSecret") {
		p.halves.t.Errorf("behind the peer's close_notify, the reader keeps %v", kept)
	}
}

func wantWriteClosed(t *testing.T, p *splitPair) {
	t.Helper()
	if n, err := p.w.QueueCloseNotify(nil); n != 0 || err != nil {
		t.Errorf("the second close_notify is %d bytes, %v", n, err)
	}
	if out, err := p.w.AppendEncrypted(nil, []byte("x")); len(out) != 0 || err != baretls.ErrWriteClosed {
		t.Errorf("AppendEncrypted behind the close_notify returns %d bytes, %v", len(out), err)
	}
	if err := p.w.RefreshTrafficKeys(); err != baretls.ErrWriteClosed {
		t.Errorf("RefreshTrafficKeys behind the close_notify returns %v", err)
	}
	if p.w.Pending() || p.w.CloseNotifyLen() != 0 || p.w.EncryptedLen(1) != 0 {
		t.Error("behind the close_notify something is left to send")
	}
	if kept := baretls.SecretsKept(p.r); slices.Contains(kept, "writeSecret") {
		t.Errorf("behind its close_notify, the writer keeps %v", kept)
	}
}

// What was due goes with the close_notify, which is the last of all.
func TestSplitCloseWithAnAnswerDue(t *testing.T) {
	eachRole(t, tls13, func(t *testing.T, p *splitPair) {
		p.reads(p.updates(1))
		wantWords(t, "closing when an answer is due", p.opens(p.closes()), closeNotify.Error())
		if p.w.Pending() || len(p.answers()) != 0 {
			t.Error("the answer is due behind the close_notify")
		}
	})
}

func TestSplitRefusesRenegotiation(t *testing.T) {
	eachRole(t, tls12, func(t *testing.T, p *splitPair) {
		p.reads(p.forger.seal(handshake, renegotiation(p), 0), p.forger.seal(applicationData, []byte("goes on"), 0))
		p.wantAlive()
		warning := p.answers()
		wantWords(t, "the answer", p.opens(warning), noRenegotiation.Error())
		p.peer.give(warning)
		p.peer.turns()
		p.peer.wantAlive()
		wantWords(t, "data", p.opens(p.writes([]byte("both ways"))), "both ways")
		if string(p.data) != "goes on" {
			t.Errorf("behind the refused renegotiation, the %s reads %q", p.role, p.data)
		}
		p.reads(p.forger.seal(handshake, renegotiation(p), 0))
		p.wantFailed(unexpectedMessage)
		wantWords(t, "the second time", p.opens(p.answers()), unexpectedMessage.Error())
	})
}

// A key of TLS 1.2 that is used up: the close_notify is pending, and the
// reader goes on.
func TestSplitExhausted(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		p := limited12(t)
		h := split(t, p.side(role))
		peer := p.other(h.side)
		var flight []byte
		var err error
		written := 0
		for err == nil {
			var out []byte
			if out, err = h.w.AppendEncrypted(nil, []byte("data")); err == nil {
				written++
			}
			flight = append(flight, out...)
		}
		wantExhaustedHalf := func() {
			t.Helper()
			if _, err := h.w.Encrypt([]byte("x"), make([]byte, 100)); err != baretls.ErrEncryptExhausted {
				t.Errorf("Encrypt behind the end of the key is %v", err)
			}
			if n, err := h.w.QueueCloseNotify(make([]byte, 100)); n != 0 || err != nil {
				t.Errorf("QueueCloseNotify behind the end of the key is %d, %v: it is pending already", n, err)
			}
			if h.w.EncryptedLen(1) != 0 || h.w.CloseNotifyLen() != 0 {
				t.Error("behind the end of the key there are still lengths")
			}
		}
		wantExhaustedHalf()
		if !h.w.Pending() {
			t.Fatal("behind the end of the key, the close_notify is not pending")
		}
		flight = append(flight, h.answers()...)
		wantExhaustedHalf()
		if opener := p.forger(h.side); len(records(t, flight)) != written+1 || opener.seq+uint64(written)+1 > keyLimit {
			t.Errorf("%d records with data are %d with the close_notify", written, len(records(t, flight)))
		}
		peer.give(flight)
		peer.turns()
		if peer.wantAlive(); !peer.peerClosed || string(peer.data) != strings.Repeat("data", written) || written == 0 {
			t.Errorf("the peer gets %q, and PeerClosed: %t", peer.data, peer.peerClosed)
		}
		peer.write([]byte("x"))
		peer.close()
		h.reads(peer.take())
		if string(h.data) != "x" || h.transcript[len(h.transcript)-1] != closed {
			t.Errorf("behind the end of its key, the %s reads %q, and is in %v", h.role, h.data, h.transcript)
		}

		// An alert takes the place of a close_notify that is pending.
		p = limited12(t)
		h = split(t, p.side(role))
		if _, err := h.w.Encrypt(make([]byte, 1000), make([]byte, 2000)); err != baretls.ErrEncryptExhausted {
			t.Fatalf("a write beyond the limit is %v", err)
		}
		h.reads(header(applicationData, 100), make([]byte, 100))
		sp := &splitPair{halves: h, opener: p.forger(h.side)}
		wantWords(t, "an alert instead of a close_notify", sp.opens(h.answers()), badRecordMAC.Error())
	}
}

// Tickets that come after the split are kept, and good.
func TestSplitTickets(t *testing.T) {
	st := newStage(t)
	m := st.meet()
	m.client.turns()
	m.server.give(m.client.take())
	m.server.turns()
	m.client.give(m.server.take())
	m.client.turns()
	m.server.give(m.client.take())
	m.server.turns()
	h := split(t, m.client)
	if st.sessions.len() != 0 {
		t.Fatal("tickets are here before they have come")
	}
	var asking sync.WaitGroup
	asking.Go(func() {
		for range 1000 {
			m.client.conn.TicketsReceived()
		}
	})
	h.reads(m.server.take())
	asking.Wait()
	h.wantStates("a reader that gets tickets", read, blockedRead)
	if n := m.client.conn.TicketsReceived(); n == 0 || st.sessions.len() != n {
		t.Errorf("%d tickets have been received, and %d sessions are kept", n, st.sessions.len())
	}
	h.wantAlive()
	st.connects("with a ticket that came after the split", baretls.HandshakeResumed)
}

// A stream is cut in two at every byte: a Conn reads the first part, and then
// its halves the second.
func TestSplitAtEveryByte(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, role := range []string{"client", "server"} {
			for n, total := 0, 1; n < total; n++ {
				client := v.client()
				if v == tls13 {
					client.Groups = []tls.CurveID{tls.X25519} // the test makes many
				}
				p := v.pair(t, client, nil)
				p.handshake()
				s := p.side(role)
				f := p.forger(p.other(s))
				sp := &splitPair{pair: p, version: v, peer: p.other(s), forger: f, opener: p.forger(s), halves: &halves{side: s}}
				stream, tickets := f.seal(applicationData, []byte("one "), 0), 0
				if v == tls13 {
					stream = append(stream, sp.updates(1)...)
					if role == "client" {
						ticket := ticketMessage(3600, []byte("ticket"))
						stream = append(stream, f.seal(handshake, ticket[:10], 3)...)
						stream = append(stream, f.seal(handshake, ticket[10:], 0)...)
						tickets = 1
					}
					stream = append(stream, f.seal(applicationData, []byte("two "), 5)...)
					stream = append(stream, sp.updates(0)...)
				} else {
					asks := renegotiation(sp)
					stream = append(stream, f.seal(handshake, asks[:1], 0)...)
					stream = append(stream, f.seal(handshake, asks[1:], 0)...)
					stream = append(stream, f.seal(applicationData, []byte("two "), 0)...)
				}
				stream = append(stream, f.seal(applicationData, []byte("three"), 0)...)
				stream = append(stream, f.seal(alert, []byte{1, 0}, 0)...)
				total = len(stream)

				s.hostile = n%2 == 1
				s.give(stream[:n])
				s.turns()
				flight := s.take()
				sp.halves = split(t, s)
				sp.reads(stream[n:])
				flight = append(flight, sp.answers()...)
				if string(s.data) != "one two three" || !s.peerClosed || s.err != nil {
					t.Errorf("%s, split at byte %d of %d: it reads %q, PeerClosed: %t, error %v", role, n, total, s.data, s.peerClosed, s.err)
				}
				if got := s.conn.TicketsReceived(); got != tickets {
					t.Errorf("%s, split at byte %d of %d: %d tickets, want %d", role, n, total, got, tickets)
				}
				want := "KeyUpdate 0"
				if v == tls12 {
					want = noRenegotiation.Error()
				}
				wantWords(t, fmt.Sprintf("%s, split at byte %d of %d", role, n, total), sp.opens(flight), want)
			}
		}
	})
}

// Input comes a byte at a time, to a reader whose caller moves it about.
func TestSplitReadsByteByByte(t *testing.T) {
	eachHalf(t, func(t *testing.T, p *splitPair) {
		p.hostile, p.appends = true, true
		p.peer.write([]byte("one "))
		p.peer.write(bytes.Repeat([]byte("many "), 300))
		p.peer.close()
		for _, b := range p.peer.take() {
			p.reads([]byte{b})
		}
		if string(p.data) != "one "+strings.Repeat("many ", 300) || !p.peerClosed {
			t.Errorf("byte by byte, the %s reads %d bytes, PeerClosed: %t, error %v", p.role, len(p.data), p.peerClosed, p.halves.err)
		}
	})
}

// What could be done with the connection before is an error that says why.
func TestSplitLeavesTheConn(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		client := v.client()
		client.EnableSecretExtraction = true
		p := v.pair(t, client, nil)
		p.handshake()
		writing := p.client.writer()
		p.server.write([]byte("data"))
		incoming := p.server.take()
		status, err := p.client.conn.ProcessTLSRecords(incoming)
		reading, ok := status.State.(baretls.ReadTraffic)
		if !ok {
			t.Fatalf("the client is in %T, %v", status.State, err)
		}
		h := split(t, p.client)

		for call, err := range map[string]error{
			"ProcessTLSRecords":       err2(p.client.conn.ProcessTLSRecords(nil)),
			"Encrypt":                 err2(writing.Encrypt([]byte("x"), make([]byte, 100))),
			"QueueCloseNotify":        err2(writing.QueueCloseNotify(make([]byte, 100))),
			"RefreshTrafficKeys":      writing.RefreshTrafficKeys(),
			"DangerousExtractSecrets": err2(p.client.conn.DangerousExtractSecrets()),
			"Split":                   err3(p.client.conn.Split()),
		} {
			if !errors.Is(err, baretls.ErrSplit) {
				t.Errorf("after Split, %s is %v, want ErrSplit", call, err)
			}
		}
		if _, ok := reading.PeekLen(); ok {
			t.Error("after Split, a ReadTraffic of the Conn sees a record")
		}
		if _, ok := reading.NextRecord(); ok {
			t.Error("after Split, a ReadTraffic of the Conn opens a record")
		}
		if got := fmt.Sprint(p.client.conn); !strings.Contains(got, "split") {
			t.Errorf("after Split, the Conn prints %s", got)
		}

		// A state of the ReadHalf is good until its next turn.
		status, err = h.r.ProcessTLSRecords(incoming)
		if reading, ok = status.State.(baretls.ReadTraffic); !ok {
			t.Fatalf("the reader is in %T, %v", status.State, err)
		}
		if status, err = h.r.ProcessTLSRecords(nil); stateName(status.State) != blockedRead {
			t.Fatalf("without input the reader is in %T, %v", status.State, err)
		}
		if _, ok := reading.NextRecord(); ok {
			t.Error("a ReadTraffic that the reader has left opens a record")
		}
		h.reads(incoming)
		if string(h.data) != "data" {
			t.Errorf("the reader gets %q", h.data)
		}
		p.server.give(h.writes([]byte("from the client")))
		p.server.turns()
		if string(p.server.data) != "from the client" {
			t.Errorf("the server gets %q", p.server.data)
		}
	})
}

func err2[A any](_ A, err error) error         { return err }
func err3[A, B any](_ A, _ B, err error) error { return err }

// Split is refused where there is something in hand, and changes nothing then.
func TestSplitErrors(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		wantRefused := func(what string, s *side, want error) {
			t.Helper()
			r, w, err := s.conn.Split()
			if r != nil || w != nil || !errors.Is(err, want) {
				t.Errorf("%s: Split of the %s is %v, want %v", what, s.role, err, want)
			}
		}
		p := v.pair(t, nil, nil)
		for _, s := range p.sides() {
			wantRefused("before the handshake", s, baretls.ErrHandshakeNotComplete)
			s.on = func(state baretls.State) bool {
				switch want := baretls.ErrOutputPending; state.(type) {
				case baretls.EncodeTLSData, baretls.TransmitTLSData:
					if s.conn.IsHandshaking() {
						want = baretls.ErrHandshakeNotComplete
					}
					wantRefused(stateName(state), s, want)
				}
				return false
			}
		}
		p.handshake()
		if v == tls13 {
			p.server.refresh()
			wantRefused("after RefreshTrafficKeys", p.server, baretls.ErrOutputPending)
		}
		p.works()
		p.server.on = nil
		p.server.give(header(applicationData, 100), make([]byte, 100))
		status, err := p.server.conn.ProcessTLSRecords(p.server.in)
		if reading, ok := status.State.(baretls.ReadTraffic); !ok {
			t.Fatalf("the server is in %T, %v", status.State, err)
		} else if _, ok := reading.NextRecord(); ok {
			t.Fatal("garbage opens")
		}
		p.server.turns()
		p.server.wantFailed(badRecordMAC)
		wantRefused("after a failure", p.server, p.server.err)

		client := v.client()
		client.EnableSecretExtraction = true
		p = v.pair(t, client, nil)
		p.handshake()
		if _, err := p.client.conn.DangerousExtractSecrets(); err != nil {
			t.Fatal(err)
		}
		wantRefused("after extraction", p.client, baretls.ErrSecretsExtracted)
	})
	if _, _, err := new(baretls.Conn).Split(); err == nil {
		t.Error("Split of a zero Conn is no error")
	}
}

// Halves that no Split has made are useless, and harmless.
func TestZeroHalves(t *testing.T) {
	var h halves
	h.r, h.w = new(baretls.ReadHalf), new(baretls.WriteHalf)
	h.side = newSide(t, "zero", new(baretls.Conn))
	if _, err := h.r.ProcessTLSRecords(make([]byte, 100)); err == nil {
		t.Error("a turn of a zero ReadHalf is no error")
	}
	h.r.CloseInput()
	h.wantWriterFailed(baretls.ErrStaleState)
	for call, err := range map[string]error{
		"EncodePending": err2(h.w.EncodePending(make([]byte, 100))),
		"AppendPending": err2(h.w.AppendPending(nil)),
	} {
		if err != baretls.ErrStaleState {
			t.Errorf("%s of a zero WriteHalf is %v", call, err)
		}
	}
	if h.w.Pending() || h.w.PendingLen() != 0 || (baretls.BlockedRead{}).Need() != 0 {
		t.Error("zero halves have something to do")
	}
}

// Exporters may be asked for while the connection fails: they are right, or
// they are its error.
func TestSplitExportersWhileFailing(t *testing.T) {
	eachHalf(t, func(t *testing.T, p *splitPair) {
		want, err := p.conn.ExportKeyingMaterial("label", []byte("context"), 32)
		if err != nil {
			t.Fatal(err)
		}
		var asking, all sync.WaitGroup
		for range 4 {
			asking.Add(1)
			all.Go(func() {
				for i := 0; ; i++ {
					got, err := p.conn.ExportKeyingMaterial("label", []byte("context"), 32)
					if i == 0 {
						asking.Done()
					}
					var failure *baretls.Error
					if errors.As(err, &failure) {
						return
					}
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("an exporter returns %x, %v, want %x or the failure", got, err, want)
						return
					}
				}
			})
		}
		all.Go(func() { // the writer goes on until it notices
			for err := error(nil); err == nil; {
				_, err = p.w.AppendEncrypted(nil, []byte("data"))
			}
			p.w.AppendPending(nil)
		})
		asking.Wait()
		p.reads(header(applicationData, 100), make([]byte, 100))
		all.Wait()
		p.wantFailed(badRecordMAC)
	})
}

// Whoever has the Conn can end what the halves do.
func TestSplitAbandon(t *testing.T) {
	eachHalf(t, func(t *testing.T, p *splitPair) {
		if p.version == tls13 {
			p.refreshes()
		}
		p.conn.Abandon()
		_, failure := p.w.AppendEncrypted(nil, []byte("x"))
		if !errors.Is(failure, baretls.ErrAbandoned) {
			t.Errorf("after Abandon, AppendEncrypted is %v", failure)
		}
		p.wantWriterFailed(failure)
		wantWords(t, "after Abandon", p.opens(p.answers()))
		p.reads(p.forger.seal(applicationData, []byte("data"), 0))
		if p.halves.err != failure || len(p.data) != 0 {
			t.Errorf("after Abandon, the %s reads %q, %v", p.role, p.data, p.halves.err)
		}
		if kept := baretls.SecretsKept(p.r); kept != nil {
			t.Errorf("after Abandon there are still %v", kept)
		}
		p.conn.Abandon()
		if _, err := p.conn.TLSExporter(); err != failure {
			t.Errorf("after Abandon, an exporter returns %v", err)
		}
	})
}

// Both halves fail at once: the connection fails once.
func TestSplitFailsOnce(t *testing.T) {
	for range 20 {
		for _, role := range []string{"client", "server"} {
			p := splitSide(t, tls13, role)
			baretls.SetLastEpoch(p.w)
			var all sync.WaitGroup
			var failure error
			all.Go(func() { failure = p.w.RefreshTrafficKeys() })
			all.Go(func() { p.reads(header(applicationData, 100), make([]byte, 100)) })
			all.Wait()
			p.reads()
			if failure == nil || p.halves.err != failure {
				t.Fatalf("the %s's writer has failed by %v, and its reader by %v", role, failure, p.halves.err)
			}
			p.wantWriterFailed(failure)
			var want []string
			if errors.Is(failure, badRecordMAC) {
				want = []string{badRecordMAC.Error()}
			}
			wantWords(t, "the end of both halves at once", p.opens(p.answers()), want...)
		}
	}
}
