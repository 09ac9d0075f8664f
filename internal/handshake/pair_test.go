package handshake

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// A pair is a client and a server of ours with records between them and no
// caller. A test changes the policies, puts other messages in the place of
// those that a side would send, and runs it.
type pair struct {
	t testing.TB

	clientPolicy ClientPolicy
	serverPolicy ServerPolicy
	// Doors replace messages of a side that is about to send them: it goes
	// on as if they were its own, in its transcript too.
	clientDoors, serverDoors doors
	// tap, if it is set, sees each message before to does and may replace it,
	// without anyone knowing.
	tap func(to *side, m []byte) []byte
	// step, if it is set, is called before each move of a side: by a message,
	// or in TLS 1.2 by a change_cipher_spec.
	step func(to *side)

	name  string // that the client connects to; "": example.com
	early []byte // what a client writes as early data, if it may

	// Where sessions are kept between connections, see keepSessions.
	shelf shelf
	box   *ticketBox

	client Client
	server Server
	c, s   *side
}

// doors has a function for each message that is replaced.
type doors map[kind]func(m []byte) []byte

// A side is one end of a pair.
type side struct {
	name    string
	core    *Core
	machine Machine

	moves []string // "WAIT_SH --ServerHello--> WAIT_EE"
	data  []byte   // application data that came
	early []byte   // likewise, of 0-RTT
	ccs   int      // change_cipher_specs that came
	warns []fault.Alert
	err   error // that ended it
}

// newPair makes a pair that would agree on everything, in TLS 1.3.
func newPair(t testing.TB) *pair {
	t.Helper()
	roots, _ := tlstest.CA()
	p := &pair{t: t, clientDoors: doors{}, serverDoors: doors{}}
	p.clientPolicy = ClientPolicy{Policy: testPolicy(), Roots: roots}
	p.serverPolicy = ServerPolicy{Policy: testPolicy()}
	p.serverPolicy.Credentials.Add(credential(t, tlstest.Leaf(tlstest.ECDSAP256)))
	return p
}

// testPolicy is what a configuration with nothing in it means, but for its
// one version.
func testPolicy() Policy {
	p := Policy{
		Schemes: schemes(algo.DefaultSchemes()...), RequireEMS: true,
		Rand: rand.Reader, Now: time.Now,
		Fragment: record.MaxPlaintext, PadBlock: 1, MaxMessage: 1 << 16, RecordSizeLimit: record.MaxPlaintext + 1,
	}
	p.speak(tls.VersionTLS13)
	return p
}

// speak sets the versions, and what goes with them: as in a configuration,
// there is nothing of a version that is not spoken.
func (p *Policy) speak(versions ...uint16) {
	p.TLS12, p.TLS13 = slices.Contains(versions, tls.VersionTLS12), slices.Contains(versions, tls.VersionTLS13)
	p.Suites = suites(suitesOf(versions...)...)
	p.Groups = slices.DeleteFunc(groups(algo.DefaultGroups()...), func(g *algo.Group) bool {
		return g.PostQuantum && !p.TLS13
	})
}

// suitesOf are the suites of these versions.
func suitesOf(versions ...uint16) []uint16 {
	return slices.DeleteFunc(algo.DefaultSuites(), func(id uint16) bool {
		return !slices.Contains(versions, algo.SuiteByID(id).Version)
	})
}

func suites(ids ...uint16) (s []*algo.Suite) {
	for _, id := range ids {
		s = append(s, algo.SuiteByID(id))
	}
	return s
}

func groups(ids ...tls.CurveID) (g []*algo.Group) {
	for _, id := range ids {
		g = append(g, algo.GroupByID(id))
	}
	return g
}

func schemes(ids ...tls.SignatureScheme) (s []*algo.Scheme) {
	for _, id := range ids {
		s = append(s, algo.SchemeByID(id))
	}
	return s
}

func credential(t testing.TB, cert tls.Certificate) *Credential {
	t.Helper()
	c, err := NewCredential(&cert, false)
	if err != nil {
		t.Fatal(err)
	}
	c.ReadSignatures()
	return c
}

// only makes cert the server's only certificate.
func (p *pair) only(cert tls.Certificate) {
	p.serverPolicy.Credentials = Credentials{}
	p.serverPolicy.Credentials.Add(credential(p.t, cert))
}

// start makes both machines, anew if there were some. The ClientHello is queued.
func (p *pair) start() {
	p.t.Helper()
	p.clientPolicy.schemes, p.clientPolicy.suites, p.clientPolicy.groups, p.clientPolicy.protocols = nil, nil, nil, nil
	p.clientPolicy.versions, p.serverPolicy.schemes = nil, nil
	p.client, p.server = Client{}, Server{}
	p.clientPolicy.Encode()
	p.clientPolicy.TestingRewrite = p.clientDoors.rewrite()
	p.serverPolicy.TestingRewrite = p.serverDoors.rewrite()
	p.c = &side{name: "client", core: &p.client.Core, machine: &p.client}
	p.s = &side{name: "server", core: &p.server.Core, machine: &p.server}
	p.serverPolicy.Encode()
	p.server.Init(&p.serverPolicy)
	name := cmp.Or(p.name, "example.com")
	if err := p.client.Init(&p.clientPolicy, name, name); err != nil {
		p.t.Fatal(err)
	}
}

func (d doors) rewrite() func(wire.MessageType, []byte) []byte {
	if len(d) == 0 {
		return nil
	}
	return func(_ wire.MessageType, m []byte) []byte {
		if f := d[classify(m).kind]; f != nil {
			return f(bytes.Clone(m))
		}
		return m
	}
}

// run is a handshake, as far as it goes.
func (p *pair) run() {
	p.t.Helper()
	p.start()
	if p.client.EarlyWrite() {
		p.writeEarly(p.early)
	}
	p.pump()
}

// complete is a handshake that has to succeed.
func (p *pair) complete() {
	p.t.Helper()
	p.run()
	for _, s := range []*side{p.c, p.s} {
		if s.err != nil || !s.core.Complete || !s.core.MayRead || !s.core.MayWrite {
			p.t.Fatalf("the %s does not get through: %s, %v", s.name, s.machine.State(), s.err)
		}
	}
}

// works checks that data goes both ways.
func (p *pair) works() {
	p.t.Helper()
	p.pump()
	for _, way := range [][2]*side{{p.c, p.s}, {p.s, p.c}} {
		from, to := way[0], way[1]
		to.data = nil
		data := []byte("data of the " + from.name)
		p.write(from, data)
		if to.err != nil || !bytes.Equal(to.data, data) {
			p.t.Fatalf("the %s receives %q, %v", to.name, to.data, to.err)
		}
	}
}

// write seals data and takes it to the other side.
func (p *pair) write(from *side, data []byte) {
	p.t.Helper()
	buf := make([]byte, from.core.SealedLen(len(data)))
	n, err := from.core.SealData(buf, data)
	if err != nil || n != len(buf) {
		p.t.Fatalf("the %s seals %d bytes, announced were %d: %v", from.name, n, len(buf), err)
	}
	p.deliver(from, buf)
}

// writeEarly does the same with early data, right behind the hello.
func (p *pair) writeEarly(data []byte) {
	p.t.Helper()
	for p.c.core.Out.Pending() {
		p.receive(p.s, sealNext(p.c.core))
	}
	size, ok := p.c.core.SealedEarlyLen(len(data))
	buf := make([]byte, size)
	if n := p.c.core.SealEarlyData(buf, data); !ok || n != size {
		p.t.Fatalf("early data of %d bytes is sealed to %d, announced were %d, %v", len(data), n, size, ok)
	}
	p.deliver(p.c, buf)
}

// deliver takes records to the other side.
func (p *pair) deliver(from *side, records []byte) {
	for len(records) > 0 {
		n := record.HeaderLen + int(records[3])<<8 + int(records[4])
		p.receive(p.other(from), records[:n:n])
		records = records[n:]
	}
}

// post queues handshake messages that the machine of from would not send now.
func (p *pair) post(from *side, messages ...[]byte) {
	from.core.Out.Enqueue(record.Handshake, append(from.core.Out.Buffer(), slices.Concat(messages...)...))
}

func (p *pair) other(s *side) *side {
	if s == p.c {
		return p.s
	}
	return p.c
}

// pump takes records from side to side until there are no more.
func (p *pair) pump() {
	for p.c.core.Out.Pending() || p.s.core.Out.Pending() {
		for _, from := range []*side{p.c, p.s} {
			for from.core.Out.Pending() {
				p.receive(p.other(from), sealNext(from.core))
			}
		}
	}
}

func sealNext(c *Core) []byte {
	rec := make([]byte, c.Out.NextLen())
	return rec[:c.Out.SealNext(rec)]
}

// receive gives a side a record. One that has failed is deaf.
func (p *pair) receive(to *side, rec []byte) {
	if to.err == nil {
		to.err = p.open(to, rec)
	}
}

func (p *pair) open(to *side, rec []byte) error {
	if h, ok := record.ParseHeader(rec, to.core.In.Protected()); !ok {
		return h.Fault()
	}
	if record.ContentType(rec[0]) == record.ChangeCipherSpec {
		return p.changeCipherSpec(to)
	}
	body := len(rec) - record.HeaderLen
	if !to.core.In.Protected() && record.ContentType(rec[0]) == record.ApplicationData {
		if to.core.SkipEarlyData(body) {
			return nil
		}
		return fault.UnexpectedRecord
	}
	t, content, err := to.core.In.Open(rec)
	if err == fault.BadRecordMAC && to.core.SkipEarlyData(body) {
		return nil
	}
	if err != nil {
		return err
	}
	if to.core.In.Protected() {
		to.core.EndSkipping()
	}
	switch t {
	case record.Handshake:
		return p.messages(to, content)
	case record.ApplicationData:
		if to.core.EarlyRead {
			to.early = append(to.early, content...)
			return to.core.TakeEarlyData(len(content))
		}
		if !to.core.MayRead {
			return fault.UnexpectedMessage
		}
		to.core.SawData()
		to.data = append(to.data, content...)
	case record.Alert:
		to.warns = append(to.warns, fault.Alert(content[1]))
	}
	return nil
}

// changeCipherSpec is dropped in TLS 1.3, and a step of TLS 1.2.
func (p *pair) changeCipherSpec(to *side) error {
	if !to.core.TakesCCS() {
		return fault.BadChangeCipherSpec
	}
	if to.core.In.Partial() {
		return fault.InterleavedRecord
	}
	to.ccs++
	if to.core.Facts.Version != tls.VersionTLS12 {
		return nil
	}
	if p.step != nil {
		p.step(to)
	}
	at := to.machine.State()
	if err := to.machine.ChangeCipherSpec(); err != nil {
		return err
	}
	to.moves = append(to.moves, arrow(at, changeCipherSpec, to.machine.State()))
	return nil
}

func (p *pair) messages(to *side, content []byte) error {
	to.core.In.Add(content)
	for {
		m, ok, err := to.core.NextMessage()
		if err != nil || !ok {
			return err
		}
		if p.step != nil {
			p.step(to)
		}
		if p.tap != nil {
			m = p.tap(to, m)
		}
		at := to.machine.State()
		if err := to.machine.Handle(m); err != nil {
			return err
		}
		to.moves = append(to.moves, arrow(at, classify(m).kind, to.machine.State()))
	}
}

func arrow(at string, on kind, next string) string {
	return fmt.Sprintf("%s --%v--> %s", at, on, next)
}

// expectAlert checks that a failure is the peer's, with the alert that it
// should be told.
func expectAlert(t testing.TB, err error, want fault.Alert, story string, args ...any) {
	t.Helper()
	if err == nil {
		t.Errorf(story+": it is accepted, and should be refused with %v", append(args, tls.AlertError(want))...)
	} else if got := fault.Of(err).Alert(); got != want {
		t.Errorf(story+": the alert is %v (%v), want %v", append(args, tls.AlertError(got), err, tls.AlertError(want))...)
	}
}

// expectReason is expectAlert where the alert alone would not tell.
func expectReason(t testing.TB, err error, want fault.Reason, story string, args ...any) {
	t.Helper()
	if got := fault.Of(err); err == nil || got != want {
		t.Errorf(story+": the reason is %v, want %q", append(args, err, want)...)
	}
}

// instead is a door, or a part of a tap, that always has the same answer.
func instead(m ...[]byte) func([]byte) []byte {
	return func([]byte) []byte { return slices.Concat(m...) }
}

// Editors change a message by way of its struct.

func editClientHello(edit func(h *wire.ClientHello)) func([]byte) []byte {
	return func(m []byte) []byte {
		var h wire.ClientHello
		must(h.Parse(m[wire.HeaderLen:]))
		edit(&h)
		return h.Append(nil)
	}
}

func editServerHello(edit func(h *wire.ServerHello)) func([]byte) []byte {
	return func(m []byte) []byte {
		var h wire.ServerHello
		must(h.Parse(m[wire.HeaderLen:], ^wire.ExtensionSet(0)))
		edit(&h)
		return h.Append(nil)
	}
}

func editEncryptedExtensions(edit func(ee *wire.EncryptedExtensions)) func([]byte) []byte {
	return func(m []byte) []byte {
		var ee wire.EncryptedExtensions
		must(ee.Parse(m[wire.HeaderLen:], ^wire.ExtensionSet(0)))
		edit(&ee)
		return ee.Append(nil)
	}
}

func editCertificateVerify(edit func(cv *wire.CertificateVerify)) func([]byte) []byte {
	return func(m []byte) []byte {
		var cv wire.CertificateVerify
		must(cv.Parse(m[wire.HeaderLen:]))
		edit(&cv)
		return cv.Append(nil)
	}
}

// must is for what only a broken test can break.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// withBody is a message of a type with any body.
func withBody(t wire.MessageType, body ...byte) []byte {
	m := append(wire.Begin(nil, t), body...)
	return wire.End(m, 0)
}

// addExtension appends an extension to a message whose last field is its
// extensions block, which begins at the offset given.
func addExtension(m []byte, block int, code uint16, body ...byte) []byte {
	m = append(m, byte(code>>8), byte(code), byte(len(body)>>8), byte(len(body)))
	m = append(m, body...)
	n := len(m) - block - 2
	m[block], m[block+1] = byte(n>>8), byte(n)
	return wire.End(m, 0)
}

// blockOf is where the extensions block of a hello begins.
func blockOf(m []byte) int {
	at := wire.HeaderLen + 2 + 32
	at += 1 + int(m[at]) // session ID
	if wire.MessageType(m[0]) == wire.TypeServerHello {
		return at + 2 + 1
	}
	at += 2 + int(m[at])<<8 + int(m[at+1])
	return at + 1 + int(m[at])
}

func TestAPairAgrees(t *testing.T) {
	for _, kind := range tlstest.Kinds {
		for _, suite := range suitesOf(tls.VersionTLS13) {
			for _, group := range algo.DefaultGroups() {
				p := newPair(t)
				p.only(tlstest.Leaf(kind))
				p.serverPolicy.Suites = suites(suite)
				p.serverPolicy.Groups = groups(group)
				p.complete()
				p.works()
				for _, s := range []*side{p.c, p.s} {
					f := s.core.Facts
					if f.Version != tls.VersionTLS13 || f.Suite != suite || f.Group != group {
						t.Errorf("%v, %#04x, %v: the %s thinks it has %#04x, %#04x, %v", kind, suite, group, s.name, f.Version, f.Suite, f.Group)
					}
				}
			}
		}
	}
}
