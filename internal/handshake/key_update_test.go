package handshake

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// queued delivers what waits to be sent and tells the messages.
func (p *pair) queued(s *side) (story string) {
	p.t.Helper()
	p.tap = func(to *side, m []byte) []byte {
		if to == p.other(s) {
			story += fmt.Sprintf("%v %x,", classify(m).kind, m[wire.HeaderLen:])
		}
		return m
	}
	for s.core.Out.Pending() {
		p.receive(p.other(s), sealNext(s.core))
	}
	p.tap = nil
	return story
}

func TestKeyUpdatesAreAnsweredIfTheyAskForIt(t *testing.T) {
	for _, row := range []struct {
		story    string
		requests []byte
		want     string
	}{
		{"one that asks", []byte{1}, "KeyUpdate 00,"},
		{"one that does not", []byte{0}, ""},
		{"three that ask, before there was time to answer", []byte{1, 1, 1}, "KeyUpdate 00,"},
		{"one that asks and one that does not", []byte{1, 0}, "KeyUpdate 00,"},
		{"one that does not and one that asks", []byte{0, 1}, "KeyUpdate 00,"},
	} {
		for _, client := range []bool{false, true} {
			p := newPair(t)
			p.complete()
			from := p.s
			if client {
				from = p.c
			}
			to := p.other(from)
			for _, request := range row.requests {
				must(from.core.UpdateKeys(false))
				// The content is queued and not sealed: the request can still be put in.
				buf := from.core.Out.Buffer()
				buf[len(buf)-1] = request
				p.receive(to, sealNext(from.core))
			}
			if to.err != nil {
				t.Fatalf("%s: refused by the %s: %v", row.story, to.name, to.err)
			}
			if got := p.queued(to); got != row.want {
				t.Errorf("%s: the %s answers %q, want %q", row.story, to.name, got, row.want)
			}
			p.works()
		}
	}
}

// Until the peer has answered, "the sender MUST NOT send another KeyUpdate with
// request_update set to update_requested": RFC 9846, Section 4.7.3.
func TestOnlyOneRequestIsOnItsWay(t *testing.T) {
	p := newPair(t)
	p.complete()
	update := func(request bool, want string) {
		t.Helper()
		must(p.c.core.UpdateKeys(request))
		if got := p.queued(p.c); got != want {
			t.Errorf("the client sends %q, want %q", got, want)
		}
	}
	update(true, "KeyUpdate 01,")
	update(true, "KeyUpdate 00,")
	update(false, "KeyUpdate 00,")
	if got := p.queued(p.s); got != "KeyUpdate 00," {
		t.Errorf("the server answers %q", got)
	}
	update(true, "KeyUpdate 01,")
	p.works()
}

func TestKeyUpdatesWithoutDataAreBounded(t *testing.T) {
	p := newPair(t)
	p.complete()
	for range 3 {
		for n := range maxIdleMessages {
			must(p.c.core.UpdateKeys(false))
			if p.pump(); p.s.err != nil {
				t.Fatalf("KeyUpdate %d in a row is refused: %v", n+1, p.s.err)
			}
		}
		p.works() // and data lets the peer begin anew
	}
	for range maxIdleMessages + 1 {
		must(p.c.core.UpdateKeys(false))
		p.pump()
	}
	expectReason(t, p.s.err, fault.TooManyKeyUpdates, "33 KeyUpdates in a row")
	expectAlert(t, p.s.err, fault.UnexpectedMessageAlert, "33 KeyUpdates in a row")
}

func TestKeyUpdatesThatAreRefused(t *testing.T) {
	for _, row := range []struct {
		story   string
		message []byte
		want    fault.Alert
	}{
		{"request_update 2", withBody(wire.TypeKeyUpdate, 2), fault.IllegalParameterAlert},
		{"request_update 255", withBody(wire.TypeKeyUpdate, 255), fault.IllegalParameterAlert},
		{"nothing in it", withBody(wire.TypeKeyUpdate), fault.DecodeErrorAlert},
		{"a byte more", withBody(wire.TypeKeyUpdate, 0, 0), fault.DecodeErrorAlert},
	} {
		p := newPair(t)
		p.complete()
		for _, from := range []*side{p.c, p.s} {
			p.post(from, row.message)
			p.pump()
			expectAlert(t, p.other(from).err, row.want, "the %s's KeyUpdate with %s", from.name, row.story)
		}
	}
}

// "sending implementations MUST NOT allow the epoch … to exceed 2^48-1": then
// a request goes unanswered rather than that.
func TestTheLastEpochIsTheLast(t *testing.T) {
	p := newPair(t)
	p.complete()
	p.server.writeEpoch = maxWriteEpoch - 1
	for _, want := range []string{"KeyUpdate 00,", "", ""} {
		p.client.updateAnswered()
		must(p.c.core.UpdateKeys(true))
		p.queued(p.c)
		if got := p.queued(p.s); got != want {
			t.Errorf("at epoch %d the server answers %q, want %q", p.server.writeEpoch, got, want)
		}
	}
}

// "Receiving implementations MUST NOT enforce this rule": RFC 9846, Section
// 4.7.3. A peer may have other limits than we do.
func TestThePeersEpochsAreItsOwnAffair(t *testing.T) {
	p := newPair(t)
	p.complete()
	p.client.readEpoch = 255 // it counts modulo 256
	for range 2 {
		must(p.s.core.UpdateKeys(false))
		p.pump()
		p.works()
	}
	if got := p.client.readEpoch; got != 1 {
		t.Errorf("the client has followed the server to epoch %d, want 1, modulo 256", got)
	}
}

func TestTicketsThatAreRefused(t *testing.T) {
	ticket := func(lifetime uint32) []byte {
		m := wire.NewSessionTicket{Lifetime: lifetime, Nonce: []byte{0}, Ticket: []byte("ticket")}
		return m.Append(nil)
	}
	for _, row := range []struct {
		story   string
		message []byte
		want    fault.Alert
	}{
		{"a lifetime of seven days and a second", ticket(604801), fault.IllegalParameterAlert},
		{"a lifetime of 136 years", ticket(1<<32 - 1), fault.IllegalParameterAlert},
		{"nothing in it", withBody(wire.TypeNewSessionTicket), fault.DecodeErrorAlert},
		{"key_share", addExtension(ticket(1), len(ticket(1))-2, 51, 0, 29), fault.IllegalParameterAlert},
	} {
		p := newPair(t)
		p.complete()
		p.post(p.s, row.message)
		p.pump()
		expectAlert(t, p.c.err, row.want, "a NewSessionTicket with %s", row.story)
	}
	p := newPair(t)
	p.complete()
	p.post(p.s, ticket(604800), ticket(0), addExtension(ticket(1), len(ticket(1))-2, 0x0a0a))
	p.works()
}

// The limit on records under one key is kept by key updates inside one write,
// and what a write will take is known before: for all sizes, at all distances
// from the limit.
func TestSealedLenIsExactWhereKeysRunOut(t *testing.T) {
	const fragment = 64
	for _, limit := range []uint64{2, 3, 4, 7} {
		for _, padBlock := range []int{1, 32} {
			for used := range limit + 2 { // records before the write
				p := newPair(t)
				for _, policy := range []*Policy{&p.clientPolicy.Policy, &p.serverPolicy.Policy} {
					policy.TestingKeyLimit, policy.Fragment, policy.PadBlock = limit, fragment, padBlock
				}
				p.complete()
				for range used {
					p.write(p.c, []byte{0})
				}
				for n := range 10*fragment + 2 {
					data := bytes.Repeat([]byte{byte(n)}, n)
					p.s.data = nil
					p.writeWithinLimit(p.c, data, limit)
					if p.s.err != nil || !bytes.Equal(p.s.data, data) {
						t.Fatalf("limit %d, padding %d, %d used: of %d bytes arrive %d, %v", limit, padBlock, used, n, len(p.s.data), p.s.err)
					}
				}
				if p.client.writeEpoch == 0 {
					t.Errorf("limit %d: after all that was written the keys are the first ones", limit)
				}
			}
		}
	}
}

// writeWithinLimit is write, and checks that no key seals more than it may and
// that nothing is written behind the announced length.
func (p *pair) writeWithinLimit(from *side, data []byte, limit uint64) {
	p.t.Helper()
	n := from.core.SealedLen(len(data))
	buf := bytes.Repeat([]byte{0xee}, n+1)
	got, err := from.core.SealData(buf[:n], data)
	if err != nil || got != n || buf[n] != 0xee {
		p.t.Fatalf("limit %d: %d bytes are sealed to %d, announced were %d: %v", limit, len(data), got, n, err)
	}
	if from.core.Out.Seq() > limit {
		p.t.Fatalf("limit %d: a key has sealed %d records", limit, from.core.Out.Seq())
	}
	for buf = buf[:n]; len(buf) > 0; {
		k := record.HeaderLen + int(buf[3])<<8 + int(buf[4])
		if to := p.other(from); to.core.In.Seq() >= limit {
			p.t.Fatalf("limit %d: record %d comes under one key", limit, to.core.In.Seq()+1)
		}
		p.receive(p.other(from), buf[:k:k])
		buf = buf[k:]
	}
}

func TestNoDataIsNoRecord(t *testing.T) {
	p := newPair(t)
	p.complete()
	if n := p.c.core.SealedLen(0); n != 0 {
		t.Errorf("no data takes %d bytes", n)
	}
	if n, err := p.c.core.SealData(nil, nil); n != 0 || err != nil {
		t.Errorf("no data is sealed to %d bytes, %v", n, err)
	}
}
