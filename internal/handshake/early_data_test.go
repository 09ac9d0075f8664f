package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// A register is a Replays in memory.
type register struct {
	since time.Time
	seen  map[[32]byte]bool
	err   error
}

func (r *register) Since() time.Time { return r.since }

func (r *register) Fresh(flight [32]byte, _ time.Time) (bool, error) {
	if r.err != nil {
		return false, r.err
	}
	if r.seen == nil {
		r.seen = map[[32]byte]bool{}
	}
	fresh := !r.seen[flight]
	r.seen[flight] = true
	return fresh, nil
}

// allowEarlyData lets both sides resume with early data.
func (p *pair) allowEarlyData() {
	p.keepSessions()
	p.clientPolicy.EarlyData = true
	p.serverPolicy.MaxEarlyData, p.serverPolicy.Replays = 1000, new(register)
	p.early = []byte("early data of the client")
}

// newEarlyPair is a pair that has been connected. If nothing changes, the next
// connection resumes with early data.
func newEarlyPair(t testing.TB) *pair {
	t.Helper()
	p := newPair(t)
	p.allowEarlyData()
	p.complete()
	return p
}

// earlyData tells what became of it.
func (p *pair) earlyData() [2]EarlyData {
	return [2]EarlyData{p.client.Facts.EarlyData, p.server.Facts.EarlyData}
}

// Early data is accepted or skipped, and in either case the handshake goes on.
func TestEarlyDataIsAcceptedOrSkipped(t *testing.T) {
	const accepted, rejected, none = EarlyDataAccepted, EarlyDataRejected, EarlyDataNone
	now := time.Now()
	at := func(d time.Duration) func() time.Time { return func() time.Time { return now.Add(d) } }
	full := errors.New("register is full")
	for _, row := range []struct {
		story  string
		before func(p *pair) // the first connection
		change func(p *pair) // for the second
		want   EarlyData
		kind   Kind
	}{
		{"nothing has changed", nil, func(p *pair) {}, accepted, KindResumed},
		{"the client does not want it", nil, func(p *pair) { p.clientPolicy.EarlyData = false }, none, KindResumed},
		{"the server did not allow it", func(p *pair) { p.serverPolicy.MaxEarlyData = 0 }, func(p *pair) { p.serverPolicy.MaxEarlyData = 1000 }, none, KindResumed},
		{"the server does not allow it any more", nil, func(p *pair) { p.serverPolicy.MaxEarlyData = 0 }, rejected, KindResumed},
		{"the server allows less of it", nil, func(p *pair) { p.serverPolicy.MaxEarlyData = 999 }, rejected, KindResumed},
		{"the server allows more of it", nil, func(p *pair) { p.serverPolicy.MaxEarlyData = 1001 }, accepted, KindResumed},
		{"the ticket says that it was not allowed", nil, func(p *pair) { p.box.edit(func(s *Session) { s.MaxEarlyData = 0 }) }, rejected, KindResumed},
		{"the server does not resume", nil, func(p *pair) { p.box.sessions = nil }, rejected, KindFull},
		{"the server has no tickets", nil, func(p *pair) { p.serverPolicy.Tickets = nil }, rejected, KindFull},
		{"there is no register", nil, func(p *pair) { p.serverPolicy.Replays = nil }, rejected, KindResumed},
		{"the register is young", nil, func(p *pair) { p.serverPolicy.Replays = &register{since: now.Add(-2*EarlyDataWindow + time.Second)} }, rejected, KindResumed},
		{"the register is old enough", nil, func(p *pair) { p.serverPolicy.Replays = &register{since: now.Add(-2 * EarlyDataWindow)} }, accepted, KindResumed},
		{"the register cannot tell", nil, func(p *pair) { p.serverPolicy.Replays = &register{err: full} }, rejected, KindResumed},
		{"there is no register, but a ticket is redeemed once", nil, func(p *pair) { p.serverPolicy.Replays, p.box.stateful = nil, true }, accepted, KindResumed},
		{"the flight takes 9 seconds", nil, func(p *pair) { p.serverPolicy.Now = at(9 * time.Second) }, accepted, KindResumed},
		{"the flight takes 11 seconds", nil, func(p *pair) { p.serverPolicy.Now = at(11 * time.Second) }, rejected, KindResumed},
		{"the flight takes 11 seconds, and the ticket is redeemed once", nil, func(p *pair) {
			p.box.stateful, p.serverPolicy.Now = true, at(11*time.Second)
		}, rejected, KindResumed},
		{"the client's clock is 9 seconds fast", nil, func(p *pair) { p.clientPolicy.Now = at(9 * time.Second) }, accepted, KindResumed},
		{"the client's clock is 11 seconds fast", nil, func(p *pair) { p.clientPolicy.Now = at(11 * time.Second) }, rejected, KindResumed},
		{"half an hour is between the connections", nil, func(p *pair) {
			p.clientPolicy.Now, p.serverPolicy.Now = at(30*time.Minute), at(30*time.Minute)
		}, accepted, KindResumed},
		{"the server has another suite by now", nil, func(p *pair) { p.serverPolicy.Suites = suites(tls.TLS_CHACHA20_POLY1305_SHA256) }, rejected, KindResumed},
		{"the server has a suite of another hash by now", nil, func(p *pair) { p.serverPolicy.Suites = suites(tls.TLS_AES_256_GCM_SHA384) }, rejected, KindFull},
		{"the client does not have the suite any more", nil, func(p *pair) { p.clientPolicy.Suites = suites(tls.TLS_CHACHA20_POLY1305_SHA256) }, none, KindResumed},
		{"the protocol is the same", protocols, func(p *pair) {}, accepted, KindResumed},
		{"the server prefers another protocol by now", protocols, func(p *pair) { p.serverPolicy.Protocols = []string{"h1"} }, rejected, KindResumed},
		{"the server has no protocol any more", protocols, func(p *pair) { p.serverPolicy.Protocols = nil }, rejected, KindResumed},
		{"the client does not have the protocol any more", protocols, func(p *pair) { p.clientPolicy.Protocols = []string{"h1"} }, none, KindResumed},
		{"the client has protocols by now", nil, func(p *pair) { p.clientPolicy.Protocols = []string{"h2"} }, accepted, KindResumed},
		{"the server asks for another share", nil, func(p *pair) { p.serverPolicy.Groups = groups(tls.CurveP384) }, rejected, KindResumedWithRetry},
		{"the server sends a cookie", nil, func(p *pair) { p.serverPolicy.CookieKey = cookieKey }, rejected, KindResumedWithRetry},
		{"the server asks for another share and another hash", nil, func(p *pair) {
			p.serverPolicy.Groups, p.serverPolicy.Suites = groups(tls.CurveP384), suites(tls.TLS_AES_256_GCM_SHA384)
		}, rejected, KindFullWithRetry},
		{"the PSK is not the first one", nil, func(p *pair) {
			own := p.held()[0].clone()
			unknown := own.clone()
			unknown.Ticket = []byte("unknown")
			p.clientDoors[kind(wire.TypeClientHello)] = p.offering(unknown, own)
		}, rejected, KindUnknown}, // our client does not know of a second one
	} {
		p := newPair(t)
		p.clientPolicy.Now, p.serverPolicy.Now = at(0), at(0)
		p.allowEarlyData()
		if row.before != nil {
			row.before(p)
		}
		p.complete()
		row.change(p)
		if row.kind == KindUnknown { // only the server's view is worth asking for
			if p.run(); p.server.Facts.EarlyData != row.want {
				t.Errorf("%s: early data is %v to the server, want %v", row.story, p.server.Facts.EarlyData, row.want)
			}
			continue
		}
		p.complete()
		if got := p.earlyData(); got != [2]EarlyData{row.want, row.want} {
			t.Errorf("%s: early data is %v, want %v", row.story, got, row.want)
		}
		if got := p.kinds(); got != both(row.kind) {
			t.Errorf("%s: the handshake is of kinds %v, want %v", row.story, got, row.kind)
		}
		want := ""
		if row.want == accepted {
			want = string(p.early)
		}
		if string(p.s.early) != want || len(p.s.data) != 0 {
			t.Errorf("%s: the server is handed %q as early data and %q as data", row.story, p.s.early, p.s.data)
		}
		if p.client.EarlyWrite() || p.client.EarlyLeft() != 0 || p.server.EarlyRead {
			t.Errorf("%s: there could still be early data after the handshake", row.story)
		}
		p.works()
	}
}

func protocols(p *pair) {
	p.clientPolicy.Protocols, p.serverPolicy.Protocols = []string{"h2", "h1"}, []string{"h2", "h1"}
}

// The change_cipher_spec stands "immediately after the first ClientHello"
// (RFC 9846, Appendix E.4), and there is no other.
func TestEarlyDataIsBehindTheChangeCipherSpec(t *testing.T) {
	p := newEarlyPair(t)
	p.start()
	var types []record.ContentType
	for p.c.core.Out.Pending() {
		rec := sealNext(p.c.core)
		types = append(types, record.ContentType(rec[0]))
		p.receive(p.s, rec)
	}
	if want := []record.ContentType{record.Handshake, record.ChangeCipherSpec}; !slices.Equal(types, want) {
		t.Errorf("the first flight is of records %v, want %v", types, want)
	}
	p.writeEarly(p.early)
	p.pump()
	if p.s.ccs != 1 || !p.server.Complete {
		t.Errorf("%d change_cipher_spec come, and the server is through: %v", p.s.ccs, p.server.Complete)
	}
}

// A replayed flight is accepted by nobody, wherever it comes to.
func TestReplayedFlights(t *testing.T) {
	for _, once := range []bool{false, true} {
		p := newEarlyPair(t)
		p.box.stateful = once
		p.start()
		var flight [][]byte
		for p.c.core.Out.Pending() {
			flight = append(flight, sealNext(p.c.core))
		}
		size, _ := p.client.SealedEarlyLen(len(p.early))
		buf := make([]byte, size)
		p.client.SealEarlyData(buf, p.early)
		flight = append(flight, buf)
		for n := range 3 {
			p.server = Server{}
			p.server.Init(&p.serverPolicy)
			p.s = &side{name: "server", core: &p.server.Core, machine: &p.server}
			for _, rec := range flight {
				p.receive(p.s, bytes.Clone(rec))
			}
			if p.s.err != nil {
				t.Fatalf("once %v: time %d of the flight is an error: %v", once, n+1, p.s.err)
			}
			want := ""
			if n == 0 {
				want = string(p.early)
			}
			if string(p.s.early) != want {
				t.Errorf("once %v: time %d of the flight, the server is handed %q", once, n+1, p.s.early)
			}
		}
	}
}

func TestBothSidesExportTheSameEarly(t *testing.T) {
	p := newEarlyPair(t)
	p.start()
	for p.c.core.Out.Pending() {
		p.receive(p.s, sealNext(p.c.core))
	}
	client, server := make([]byte, 40), make([]byte, 40)
	clientOK, clientErr := p.client.ExportEarly("EXPORTER-test", []byte("context"), client)
	serverOK, serverErr := p.server.ExportEarly("EXPORTER-test", []byte("context"), server)
	if !clientOK || !serverOK || clientErr != nil || serverErr != nil {
		t.Fatalf("the client exports %v, %v, the server %v, %v", clientOK, clientErr, serverOK, serverErr)
	}
	if !bytes.Equal(client, server) || bytes.Equal(client, make([]byte, 40)) {
		t.Errorf("the client exports %x, the server %x", client, server)
	}
	p.pump()
	for _, s := range []*side{p.c, p.s} {
		if ok, err := s.core.ExportEarly("EXPORTER-test", nil, client); ok || err != nil {
			t.Errorf("after the handshake the %s exports early: %v, %v", s.name, ok, err)
		}
	}

	p = newEarlyPair(t)
	p.serverPolicy.MaxEarlyData = 0
	p.serverDoors[kind(wire.TypeFinished)] = func(m []byte) []byte { m[4] ^= 1; return m }
	p.run()
	for _, s := range []*side{p.c, p.s} {
		if ok, err := s.core.ExportEarly("EXPORTER-test", nil, client); ok || err != nil {
			t.Errorf("after a refusal the %s exports early: %v, %v", s.name, ok, err)
		}
	}
}

func TestBothSidesLogTheSameEarlySecrets(t *testing.T) {
	log := func(lines *[]string) func(string, []byte, []byte) error {
		return func(label string, clientRandom, secret []byte) error {
			*lines = append(*lines, fmt.Sprintf("%s %x %x", label, clientRandom, secret))
			return nil
		}
	}
	var client, server []string
	p := newEarlyPair(t)
	p.clientPolicy.KeyLog, p.serverPolicy.KeyLog = log(&client), log(&server)
	p.complete()
	if !slices.Equal(client, server) {
		t.Errorf("the client logs\n%s\nand the server\n%s", strings.Join(client, "\n"), strings.Join(server, "\n"))
	}
	for i, want := range []string{"CLIENT_EARLY_TRAFFIC_SECRET", "EARLY_EXPORTER_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET"} {
		if label, _, _ := strings.Cut(client[i], " "); label != want {
			t.Errorf("line %d of the log is %s, want %s", i+1, label, want)
		}
	}
	for n := range 2 {
		for _, role := range []string{"client", "server"} {
			p := newEarlyPair(t)
			calls := 0
			broken := func(string, []byte, []byte) error {
				if calls++; calls > n {
					return errors.New("disk full")
				}
				return nil
			}
			if role == "client" {
				p.clientPolicy.KeyLog = broken
				p.clientPolicy.Encode()
				err := new(Client).Init(&p.clientPolicy, "example.com", "example.com")
				expectAlert(t, err, fault.InternalError, "the client's log fails at line %d", n+1)
				continue
			}
			p.serverPolicy.KeyLog = broken
			p.run()
			expectAlert(t, p.s.err, fault.InternalError, "the server's log fails at line %d", n+1)
		}
	}
}

// What a server says of early data is held against the session: RFC 9846,
// Section 4.3.10.
func TestAcceptancesThatAClientRefuses(t *testing.T) {
	accept := editEncryptedExtensions(func(ee *wire.EncryptedExtensions) { ee.Has = ee.Has.With(wire.ExtEarlyData) })
	for _, row := range []struct {
		story  string
		before func(p *pair) // the first connection
		change func(p *pair) // for the second
		want   fault.Alert
		says   string
	}{
		{"without the PSK", nil, func(p *pair) { p.serverPolicy.Tickets = nil }, fault.IllegalParameterAlert, "without the PSK"},
		{"with another cipher suite", nil, func(p *pair) { p.serverPolicy.Suites = suites(tls.TLS_CHACHA20_POLY1305_SHA256) }, fault.IllegalParameterAlert, "cipher suite"},
		{"with another protocol", protocols, func(p *pair) { p.serverPolicy.Protocols = []string{"h1"} }, fault.IllegalParameterAlert, "application protocol"},
		{"without the protocol", protocols, func(p *pair) { p.serverPolicy.Protocols = nil }, fault.IllegalParameterAlert, "application protocol"},
		{"after a retry", nil, func(p *pair) { p.serverPolicy.Groups = groups(tls.CurveP384) }, fault.UnsupportedExtensionAlert, "early_data"},
		{"after a retry for a cookie", nil, func(p *pair) { p.serverPolicy.CookieKey = cookieKey }, fault.UnsupportedExtensionAlert, "early_data"},
		{"that was not offered", nil, func(p *pair) { p.clientPolicy.EarlyData = false }, fault.UnsupportedExtensionAlert, "early_data"},
		{"with a body", nil, func(p *pair) {
			p.serverPolicy.MaxEarlyData = 0
			p.serverDoors[kind(wire.TypeEncryptedExtensions)] = func(m []byte) []byte { return addExtension(m, wire.HeaderLen, 42, 0) }
		}, fault.DecodeErrorAlert, "early_data"},
	} {
		p := newPair(t)
		p.allowEarlyData()
		if row.before != nil {
			row.before(p)
		}
		p.complete()
		p.serverDoors[kind(wire.TypeEncryptedExtensions)] = accept
		row.change(p)
		p.run()
		expectAlert(t, p.c.err, row.want, "early data accepted %s", row.story)
		if p.c.err != nil && !strings.Contains(p.c.err.Error(), row.says) {
			t.Errorf("early data accepted %s is refused for something else: %v", row.story, p.c.err)
		}
		if p.client.Facts.EarlyData == EarlyDataAccepted || p.client.Complete {
			t.Errorf("early data accepted %s counts as accepted", row.story)
		}
	}
}

// A server that has accepted early data reads by its keys, wrong as that may
// be, until they end: so the alert that says so is under these.
func TestTheServerCanReadTheAlertAboutItsAcceptance(t *testing.T) {
	p := newPair(t)
	p.allowEarlyData()
	protocols(p)
	p.complete()
	p.serverDoors[kind(wire.TypeEncryptedExtensions)] = editEncryptedExtensions(func(ee *wire.EncryptedExtensions) {
		ee.ALPN = []byte("h1")
	})
	p.run()
	expectAlert(t, p.c.err, fault.IllegalParameterAlert, "early data accepted with another protocol")
	p.client.PrepareAlert()
	p.client.Core.Out.Enqueue(record.Alert, append(p.client.Core.Out.Buffer(), 2, 47))
	p.client.Forget()
	typ, content, err := p.server.Core.In.Open(sealNext(&p.client.Core))
	if err != nil || typ != record.Alert || !bytes.Equal(content, []byte{2, 47}) {
		t.Errorf("the server opens the alert to %v %x, %v", typ, content, err)
	}
}

// What a client may do wrong with early data that was accepted.
func TestEarlyDataThatAServerRefuses(t *testing.T) {
	waiting := func(t *testing.T) *pair {
		t.Helper()
		p := newEarlyPair(t)
		p.start()
		for p.c.core.Out.Pending() {
			p.receive(p.s, sealNext(p.c.core))
		}
		if p.server.State() != "WAIT_EOED" {
			t.Fatalf("the server is in %s, want WAIT_EOED", p.server.State())
		}
		return p
	}
	t.Run("more of it than was allowed", func(t *testing.T) {
		p := waiting(t)
		if p.client.EarlyLeft() != 1000 || p.server.EarlyLeft() != 1000 {
			t.Errorf("the client may send %d bytes, and the server takes %d, want 1000", p.client.EarlyLeft(), p.server.EarlyLeft())
		}
		p.writeEarly(make([]byte, 999))
		p.writeEarly(make([]byte, 1))
		if p.s.err != nil || p.client.EarlyLeft() != 0 || p.server.EarlyLeft() != 0 {
			t.Fatalf("of what was allowed is left %d and %d: %v", p.client.EarlyLeft(), p.server.EarlyLeft(), p.s.err)
		}
		p.client.earlyLeft = 1
		p.writeEarly(make([]byte, 1))
		expectReason(t, p.s.err, fault.TooMuchEarlyData, "a byte more than was allowed")
		expectAlert(t, p.s.err, fault.UnexpectedMessageAlert, "a byte more than was allowed")
	})
	for _, row := range []struct {
		story   string
		message []byte
		want    fault.Alert
	}{
		{"a Finished instead of EndOfEarlyData", withBody(wire.TypeFinished, make([]byte, 32)...), fault.UnexpectedMessageAlert},
		{"a Certificate instead of EndOfEarlyData", chainOf(), fault.UnexpectedMessageAlert},
		{"another ClientHello", withBody(wire.TypeClientHello), fault.UnexpectedMessageAlert},
		{"a KeyUpdate", withBody(wire.TypeKeyUpdate, 0), fault.UnexpectedMessageAlert},
		{"an EndOfEarlyData with a body", withBody(wire.TypeEndOfEarlyData, 0), fault.DecodeErrorAlert},
		{"a Finished in the record of EndOfEarlyData", append(withBody(wire.TypeEndOfEarlyData), withBody(wire.TypeFinished, make([]byte, 32)...)...), fault.UnexpectedMessageAlert},
		{"a byte behind EndOfEarlyData", append(withBody(wire.TypeEndOfEarlyData), 20), fault.UnexpectedMessageAlert},
	} {
		t.Run(row.story, func(t *testing.T) {
			p := waiting(t)
			p.writeEarly(p.early)
			p.post(p.c, row.message)
			p.receive(p.s, sealNext(p.c.core))
			expectAlert(t, p.s.err, row.want, "%s", row.story)
		})
	}
	t.Run("EndOfEarlyData left out", func(t *testing.T) {
		p := newEarlyPair(t)
		p.clientDoors[kind(wire.TypeEndOfEarlyData)] = instead()
		p.run()
		if p.s.err == nil || p.server.Complete {
			t.Error("a client that does not end its early data gets through")
		}
	})
	t.Run("EndOfEarlyData where there is no early data", func(t *testing.T) {
		p := newResumingPair(t)
		p.clientDoors[kind(wire.TypeFinished)] = func(m []byte) []byte { return append(withBody(wire.TypeEndOfEarlyData), m...) }
		p.run()
		expectAlert(t, p.s.err, fault.UnexpectedMessageAlert, "EndOfEarlyData without early data")
	})
	t.Run("data under the early keys after EndOfEarlyData", func(t *testing.T) {
		p := waiting(t)
		p.post(p.c, withBody(wire.TypeEndOfEarlyData))
		p.receive(p.s, sealNext(p.c.core))
		p.writeEarly(p.early)
		expectReason(t, p.s.err, fault.BadRecordMAC, "early data behind its end")
	})
}

// Rejected early data is skipped up to a limit, and no further than to the
// first record that can be read.
func TestRejectedEarlyDataIsSkippedForAWhile(t *testing.T) {
	const overhead = record.TagLen + 1 // of a record's body
	for _, row := range []struct {
		before, now uint32 // what the server allows
		want        int
	}{
		{1000, 0, minSkip}, {1000, 1000, minSkip}, {50_000, 50_000, 50_000},
		{50_000, 1, 50_000}, {1, 50_000, 50_000}, {1<<32 - 1, 1, 1 << 30},
	} {
		p := newPair(t)
		p.allowEarlyData()
		p.serverPolicy.MaxEarlyData = row.before
		p.complete()
		p.serverPolicy.MaxEarlyData, p.serverPolicy.Replays = row.now, nil
		p.start()
		for p.c.core.Out.Pending() {
			p.receive(p.s, sealNext(p.c.core))
		}
		s := &p.server
		if s.Facts.EarlyData != EarlyDataRejected || !s.Skipping() || int(s.skip) != row.want {
			t.Errorf("a server that allows %d bytes and allowed %d skips %d, want %d", row.now, row.before, s.skip, row.want)
		}
		if s.SkipEarlyData(row.want + overhead + 1) {
			t.Errorf("a server that skips %d bytes skips a byte more", row.want)
		}
		// "discarding records which fail deprotection", too short as they may be.
		if !s.SkipEarlyData(row.want-3+overhead) || !s.SkipEarlyData(overhead) || !s.SkipEarlyData(1) || !s.SkipEarlyData(1+overhead) ||
			s.Skipping() || s.SkipEarlyData(overhead) || s.SkipEarlyData(1) {
			t.Errorf("a server that skips %d bytes does not count them, or records without data", row.want)
		}
	}
	for _, k := range []kind{kind(wire.TypeServerHello), helloRetryRequest} {
		p := newEarlyPair(t)
		p.box.sessions = nil
		if k == helloRetryRequest {
			p.serverPolicy.Groups = groups(tls.CurveP384)
		}
		p.complete()
		if p.server.Skipping() {
			t.Errorf("after a %v and the handshake there would be bytes to skip", k)
		}
		p.receive(p.s, append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...))
		expectReason(t, p.s.err, fault.BadRecordMAC, "a record that cannot be read after the handshake")
	}
	// A second hello ends it, for there is none behind that.
	p := newEarlyPair(t)
	p.serverPolicy.Groups = groups(tls.CurveP384)
	p.serverGets(2, func(m []byte) []byte {
		if !p.server.Skipping() {
			t.Error("nothing is skipped between the hellos")
		}
		return m
	})
	p = newEarlyPair(t)
	p.serverPolicy.Groups = groups(tls.CurveP384)
	p.start()
	for p.server.State() != "WAIT_FINISHED" && p.s.err == nil {
		from := p.c
		if !from.core.Out.Pending() {
			from = p.s
		}
		p.receive(p.other(from), sealNext(from.core))
	}
	p.receive(p.s, append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...))
	expectReason(t, p.s.err, fault.BadRecordMAC, "early data behind the second hello")

	// And a server that was offered none skips nothing.
	p = newResumingPair(t)
	p.start()
	for p.c.core.Out.Pending() {
		p.receive(p.s, sealNext(p.c.core))
	}
	p.receive(p.s, append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...))
	expectReason(t, p.s.err, fault.BadRecordMAC, "early data that was not announced")
}

// The size of early data is known before, in records of any size.
func TestSealedEarlyLenIsExact(t *testing.T) {
	for _, fragment := range []int{64, 100, record.MaxPlaintext} {
		for _, n := range []int{1, 63, 64, 65, 128, 129, 1000} {
			p := newPair(t)
			p.allowEarlyData()
			p.clientPolicy.Fragment = fragment
			p.complete()
			p.early = bytes.Repeat([]byte{byte(n)}, n)
			p.complete() // writeEarly checks the sizes
			if !bytes.Equal(p.s.early, p.early) {
				t.Errorf("of %d bytes in records of %d arrive %d", n, fragment, len(p.s.early))
			}
		}
	}
	p := newEarlyPair(t)
	p.clientPolicy.TestingKeyLimit, p.clientPolicy.Fragment = 4, 64
	p.start()
	for p.c.core.Out.Pending() {
		sealNext(p.c.core)
	}
	if size, ok := p.client.SealedEarlyLen(0); size != 0 || !ok {
		t.Errorf("no early data takes %d bytes, %v", size, ok)
	}
	// The last record that the key may seal is kept for EndOfEarlyData.
	for n, want := range map[int]bool{64: true, 3 * 64: true, 3*64 + 1: false, 4 * 64: false} {
		if _, ok := p.client.SealedEarlyLen(n); ok != want {
			t.Errorf("keys that last for 4 records last for %d bytes and the end: %v, want %v", n, ok, want)
		}
	}
}

// Until the handshake is over an answer to early data may be sent at once, if
// the policy says so.
func TestAnswersToEarlyData(t *testing.T) {
	for _, half := range []bool{false, true} {
		p := newEarlyPair(t)
		p.serverPolicy.HalfRTT = half
		p.start()
		p.writeEarly(p.early)
		if p.server.MayWrite != half || p.server.MayRead || p.server.Complete {
			t.Errorf("half-RTT data %v: the server may write %v and read %v, and is through %v", half, p.server.MayWrite, p.server.MayRead, p.server.Complete)
		}
		p.pump()
		p.works()
	}
}
