package handshake

import (
	"bytes"
	"testing"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// largest lets a pair go on and returns the largest TLSInnerPlaintext that came
// to each side, protected records only.
func (p *pair) largest(write int) map[*side]int {
	p.t.Helper()
	seen := map[*side]int{}
	note := func(to *side, rec []byte) {
		if record.ContentType(rec[0]) == record.ApplicationData {
			seen[to] = max(seen[to], len(rec)-record.HeaderLen-record.TagLen)
		}
	}
	for p.c.core.Out.Pending() || p.s.core.Out.Pending() {
		for _, from := range []*side{p.c, p.s} {
			for from.core.Out.Pending() {
				rec := sealNext(from.core)
				note(p.other(from), rec)
				p.receive(p.other(from), rec)
			}
		}
	}
	for _, from := range []*side{p.c, p.s} {
		data := bytes.Repeat([]byte{1}, write)
		buf := make([]byte, from.core.SealedLen(write))
		if _, err := from.core.SealData(buf, data); err != nil {
			p.t.Fatal(err)
		}
		for rest := buf; len(rest) > 0; {
			n := record.HeaderLen + int(rest[3])<<8 + int(rest[4])
			note(p.other(from), rest[:n])
			rest = rest[n:]
		}
		p.deliver(from, buf)
		if to := p.other(from); to.err != nil || !bytes.Equal(to.data, data) {
			p.t.Fatalf("of %d bytes the %s gets %d: %v", write, to.name, len(to.data), to.err)
		}
	}
	return seen
}

// Each side keeps to what the other asked for, from the first protected record
// on, padding and content type included: RFC 8449, Section 4.
func TestRecordsKeepToThePeersLimit(t *testing.T) {
	for _, row := range []struct {
		client, server uint16
		padBlock       int
	}{
		{64, 64, 1}, {64, 16385, 1}, {16385, 64, 1}, {100, 1000, 1}, {1000, 100, 32}, {65, 64, 32}, {64, 300, 128}, {16385, 16385, 1},
	} {
		for _, resumed := range []bool{false, true} {
			p := newPair(t)
			p.keepSessions()
			p.clientPolicy.PadBlock, p.serverPolicy.PadBlock = row.padBlock, row.padBlock
			p.clientPolicy.RecordSizeLimit, p.serverPolicy.RecordSizeLimit = row.client, row.server
			if resumed {
				p.complete()
			}
			p.start()
			got := p.largest(40_000)
			for to, limit := range map[*side]uint16{p.c: row.client, p.s: row.server} {
				if got[to] > int(limit) {
					t.Errorf("limits %d and %d, padding %d, resumed %v: the %s gets a record of %d bytes", row.client, row.server, row.padBlock, resumed, to.name, got[to])
				}
				// And not to much less: only padding may cost something.
				if got[to] < int(limit)-row.padBlock {
					t.Errorf("limits %d and %d, padding %d, resumed %v: the largest record of the %s has %d bytes", row.client, row.server, row.padBlock, resumed, to.name, got[to])
				}
			}
			p.works()
		}
	}
}

// Whoever agreed to a limit is held to it.
func TestRecordsBeyondOurLimitAreRefused(t *testing.T) {
	p := newPair(t)
	p.clientPolicy.RecordSizeLimit = 100
	p.clientDoors[kind(wire.TypeClientHello)] = editClientHello(func(h *wire.ClientHello) { h.RecordSizeLimit = record.MaxPlaintext + 1 })
	p.run()
	if p.c.err != nil || !p.client.Complete {
		// The server's flight came in one record, with the agreement itself.
		t.Fatalf("the client does not get through: %v", p.c.err)
	}
	p.write(p.s, make([]byte, 99))
	if p.c.err != nil || len(p.c.data) != 99 {
		t.Fatalf("a record of the size that was agreed on is refused: %v", p.c.err)
	}
	p.write(p.s, make([]byte, 100))
	expectReason(t, p.c.err, fault.RecordOverflow, "a record that is a byte larger than agreed on")
	expectAlert(t, p.c.err, fault.RecordOverflowAlert, "a record that is a byte larger than agreed on")

	p = newPair(t)
	p.serverPolicy.RecordSizeLimit = 100
	p.serverDoors[kind(wire.TypeEncryptedExtensions)] = editEncryptedExtensions(func(ee *wire.EncryptedExtensions) { ee.RecordSizeLimit = record.MaxPlaintext + 1 })
	p.complete()
	p.write(p.c, make([]byte, 99))
	if p.s.err != nil || len(p.s.data) != 99 {
		t.Fatalf("a record of the size that was agreed on is refused: %v", p.s.err)
	}
	p.write(p.c, make([]byte, 100))
	expectReason(t, p.s.err, fault.RecordOverflow, "a record that is a byte larger than agreed on")

	// The limit outlives the key that it came with.
	p = newPair(t)
	p.serverPolicy.RecordSizeLimit = 100
	p.serverDoors[kind(wire.TypeEncryptedExtensions)] = editEncryptedExtensions(func(ee *wire.EncryptedExtensions) { ee.RecordSizeLimit = record.MaxPlaintext + 1 })
	p.complete()
	must(p.c.core.UpdateKeys(true))
	p.pump()
	p.write(p.c, make([]byte, 100))
	expectReason(t, p.s.err, fault.RecordOverflow, "a record that is a byte larger than agreed on, after a KeyUpdate")
}

// A limit counts if both sides sent one.
func TestALimitThatIsNotAgreedOnDoesNotCount(t *testing.T) {
	p := newPair(t)
	p.clientPolicy.RecordSizeLimit, p.serverPolicy.RecordSizeLimit = 100, 100
	p.clientDoors[kind(wire.TypeClientHello)] = without(wire.ExtRecordSizeLimit)
	p.start()
	got := p.largest(40_000)
	if got[p.s] != record.MaxPlaintext+1 || got[p.c] != record.MaxPlaintext+1 {
		t.Errorf("without an agreement the largest records have %d and %d bytes", got[p.c], got[p.s])
	}

	p = newPair(t)
	p.clientPolicy.RecordSizeLimit = 100
	p.serverDoors[kind(wire.TypeEncryptedExtensions)] = editEncryptedExtensions(func(ee *wire.EncryptedExtensions) { ee.Has = ee.Has.Without(wire.ExtRecordSizeLimit) })
	p.clientDoors[kind(wire.TypeClientHello)] = editClientHello(func(h *wire.ClientHello) { h.RecordSizeLimit = record.MaxPlaintext + 1 })
	p.complete()
	if p.write(p.s, make([]byte, 1000)); p.c.err != nil {
		t.Errorf("a server that agreed to nothing is held to the limit: %v", p.c.err)
	}
}

func TestLimitsInHellosThatAreRefused(t *testing.T) {
	limit := func(n uint16) func([]byte) []byte {
		return editClientHello(func(h *wire.ClientHello) { h.RecordSizeLimit = n })
	}
	body := func(body ...byte) func([]byte) []byte {
		return func(m []byte) []byte { return addToHello(28, body...)(without(wire.ExtRecordSizeLimit)(m)) }
	}
	for _, row := range []struct {
		story string
		edit  func([]byte) []byte
		want  fault.Alert
	}{
		{"0", limit(0), fault.IllegalParameterAlert},
		{"63", limit(63), fault.IllegalParameterAlert},
		{"one byte", body(64), fault.DecodeErrorAlert},
		{"three bytes", body(64, 0, 0), fault.DecodeErrorAlert},
		{"nothing in it", body(), fault.DecodeErrorAlert},
	} {
		p := newPair(t)
		p.serverGets(1, row.edit)
		expectAlert(t, p.s.err, row.want, "a record_size_limit of %s", row.story)
	}
	// "A server MUST NOT enforce" the protocol's maximum on it.
	for _, n := range []uint16{64, 16384, 16385, 16386, 65535} {
		p := newPair(t)
		p.clientDoors[kind(wire.TypeClientHello)] = limit(n)
		p.complete()
	}
}

// Early data was sent before the client knew of the limit.
func TestEarlyDataIsNotUnderTheLimit(t *testing.T) {
	p := newEarlyPair(t)
	p.serverPolicy.RecordSizeLimit = 64
	p.early = make([]byte, 1000)
	p.complete()
	if len(p.s.early) != 1000 {
		t.Errorf("of 1000 bytes of early data arrive %d", len(p.s.early))
	}
	p.works()

	// What follows it is.
	p = newEarlyPair(t)
	p.serverPolicy.RecordSizeLimit = 64
	p.early = make([]byte, 1000)
	p.serverDoors[kind(wire.TypeEncryptedExtensions)] = editEncryptedExtensions(func(ee *wire.EncryptedExtensions) { ee.RecordSizeLimit = record.MaxPlaintext + 1 })
	p.complete()
	p.write(p.c, make([]byte, 64))
	expectReason(t, p.s.err, fault.RecordOverflow, "a record that is a byte larger than agreed on, after early data")
}
