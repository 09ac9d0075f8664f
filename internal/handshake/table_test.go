package handshake

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// A script is a connection that takes some of the arrows.
type script struct {
	story  string
	before func(p *pair) // the handshake; or nil
	after  func(p *pair) // it; or nil
}

// Together they take all of them; those of TLS 1.2 are scripts12.
var scripts13 = []script{
	{story: "a full handshake"},
	{story: "a handshake with HelloRetryRequest", before: func(p *pair) {
		p.serverPolicy.Groups = groups(tls.CurveP384)
	}},
	{story: "the client has a certificate", before: func(p *pair) {
		p.serverPolicy.ClientAuth, p.serverPolicy.ClientCAs = tls.RequireAndVerifyClientCert, p.clientPolicy.Roots
		p.clientPolicy.Credentials = []*Credential{credential(p.t, tlstest.ClientLeaf(tlstest.ECDSAP256))}
	}},
	{story: "the client has no certificate", before: func(p *pair) {
		p.serverPolicy.ClientAuth = tls.RequestClientCert
	}},
	{story: "a certificate is requested after HelloRetryRequest", before: func(p *pair) {
		p.serverPolicy.Groups = groups(tls.CurveP384)
		p.serverPolicy.ClientAuth = tls.RequireAnyClientCert
		p.clientPolicy.Credentials = []*Credential{credential(p.t, tlstest.ClientLeaf(tlstest.Ed25519))}
	}},
	{story: "a connection is resumed", before: func(p *pair) {
		p.keepSessions()
		p.complete()
	}},
	{story: "a connection is resumed after HelloRetryRequest", before: func(p *pair) {
		p.keepSessions()
		p.complete()
		p.serverPolicy.Groups = groups(tls.CurveP384)
	}},
	{story: "a connection is resumed with early data", before: func(p *pair) {
		p.allowEarlyData()
		p.complete()
	}},
	{story: "keys are updated", after: func(p *pair) {
		for _, s := range []*side{p.c, p.s} {
			must(s.core.UpdateKeys(true))
			p.works()
		}
	}},
	{story: "a ticket is sent", after: func(p *pair) {
		ticket := wire.NewSessionTicket{Lifetime: 3600, Nonce: []byte{1}, Ticket: []byte("ticket")}
		p.post(p.s, ticket.Append(nil))
		p.works()
	}},
}

var scripts = slices.Concat(scripts13, scripts12)

// isCompiledIn reports whether a row, by its name, is of a version that the
// program has: see tls12_off.go.
func isCompiledIn(row string) bool { return TLS12 || !strings.HasPrefix(row, "TLS 1.2 ") }

func certificateRequest() []byte {
	m := wire.CertificateRequest{
		Has:                 wire.Extensions(wire.ExtSignatureAlgorithms),
		SignatureAlgorithms: wire.AppendUint16s(nil, uint16(0x0403)),
	}
	return m.Append(nil)
}

func (s *script) play(p *pair) {
	p.t.Helper()
	if s.before != nil {
		s.before(p)
	}
	p.complete()
	if s.after != nil {
		s.after(p)
	}
}

func TestEveryArrowIsTaken(t *testing.T) {
	var moves []string
	for _, s := range scripts {
		p := newPair(t)
		s.play(p)
		moves = append(append(moves, p.c.moves...), p.s.moves...)
	}
	for _, want := range slices.Concat(arrows(clientTable), arrows(serverTable)) {
		if !slices.Contains(moves, want) {
			t.Errorf("no script takes the arrow %s: add one to scripts", want)
		}
	}
	for _, move := range moves {
		if !slices.Contains(arrows(clientTable), move) && !slices.Contains(arrows(serverTable), move) {
			t.Errorf("a script takes the arrow %s, which is in no table", move)
		}
	}
}

func arrows[R any](t table[R]) (all []string) {
	for _, row := range t {
		for _, arm := range row.accept {
			for _, next := range arm.next {
				if isCompiledIn(row.name) && isCompiledIn(t[next].name) && (TLS12 || arm.on != kind(wire.TypeHelloRequest)) {
					all = append(all, arrow(row.name, arm.on, t[next].name))
				}
			}
		}
	}
	return all
}

// accepts reports whether the state has an arrow for the message.
func accepts[R any](t table[R], at state, on kind) bool {
	return slices.ContainsFunc(t[at].accept, func(a arm[R]) bool { return a.on == on })
}

// everyKind is all that can be told apart: 256 types, the HelloRetryRequest,
// and the change_cipher_spec.
func everyKind() (all []kind) {
	for k := range kind(256) {
		all = append(all, k)
	}
	return append(all, helloRetryRequest, changeCipherSpec)
}

// malformed is a message of a kind that no handler likes.
func malformed(k kind) []byte {
	if k == helloRetryRequest {
		return withBody(wire.TypeServerHello, slices.Concat([]byte{3, 3}, wire.RetryRandom[:])...)
	}
	return withBody(wire.MessageType(k), 0xff)
}

// give hands the machine a malformed message, or a change_cipher_spec, which
// has nothing in it that could be malformed.
func (s *side) give(k kind) error {
	if k == changeCipherSpec {
		return s.machine.ChangeCipherSpec()
	}
	return s.machine.Handle(malformed(k))
}

// look says where a side is, and what it takes there.
func (p *pair) look(s *side) (at state, takes func(kind) bool) {
	if s == p.c {
		at = p.client.state
		return at, func(k kind) bool { return accepts(clientTable, at, k) }
	}
	at = p.server.state
	return at, func(k kind) bool { return accepts(serverTable, at, k) }
}

// In each state that a real handshake reaches, each message without an arrow
// is an unexpected_message and changes nothing: the handshake goes on.
func TestMessagesWithoutAnArrowAreUnexpected(t *testing.T) {
	type place struct {
		role string
		at   state
	}
	probed := map[place]bool{}
	probe := func(p *pair, s *side) {
		at, takes := p.look(s)
		probed[place{s.name, at}] = true
		for _, k := range everyKind() {
			if takes(k) {
				continue
			}
			err := s.give(k)
			expectReason(t, err, fault.UnexpectedMessage, "%s in state %s gets %v", s.name, s.machine.State(), k)
			expectAlert(t, err, fault.UnexpectedMessageAlert, "%s in state %s gets %v", s.name, s.machine.State(), k)
			if now, _ := p.look(s); now != at {
				t.Fatalf("%s: a refused %v moves the %s to %s", s.machine.State(), k, s.name, s.machine.State())
			}
		}
	}
	for _, s := range scripts {
		p := newPair(t)
		p.step = func(to *side) { probe(p, to) }
		s.play(p)
		probe(p, p.c)
		probe(p, p.s)
	}
	for at, row := range clientTable {
		if isCompiledIn(row.name) && !probed[place{"client", state(at)}] {
			t.Errorf("no script brings the client to %s: add one to scripts", row.name)
		}
	}
	for at, row := range serverTable {
		if isCompiledIn(row.name) && !probed[place{"server", state(at)}] {
			t.Errorf("no script brings the server to %s: add one to scripts", row.name)
		}
	}
}

// And each message that has one comes to its handler, which is seen by what
// the handler says of a malformed one; of a change_cipher_spec, by the move.
func TestMessagesWithAnArrowAreHandled(t *testing.T) {
	type place struct {
		role string
		at   state
		on   kind
	}
	handled := map[place]bool{}
	// next finds a message that was not yet handled where the side is.
	next := func(p *pair, s *side) (place, bool) {
		at, takes := p.look(s)
		for _, k := range everyKind() {
			if pl := (place{s.name, at, k}); takes(k) && !handled[pl] {
				return pl, true
			}
		}
		return place{}, false
	}
	for _, s := range scripts {
		for again := true; again; {
			again = false
			p := newPair(t)
			if s.before != nil {
				s.before(p)
			}
			try := func(to *side) {
				pl, ok := next(p, to)
				if again || !ok {
					return
				}
				again, handled[pl] = true, true
				name := to.machine.State()
				err := to.give(pl.on)
				if pl.on == changeCipherSpec {
					if err != nil || to.machine.State() == name {
						t.Errorf("%s in state %s: the change_cipher_spec, for which there is an arrow, leads to %s, %v", to.name, name, to.machine.State(), err)
					}
					return
				}
				if err == nil && to.core.refused { // a renegotiation, whatever is in its hello
					err = to.give(pl.on)
				}
				if err == nil || fault.Of(err) == fault.UnexpectedMessage || fault.Of(err) == fault.Internal {
					t.Errorf("%s in state %s: the malformed %v, for which there is an arrow, is %v", to.name, name, pl.on, err)
				}
			}
			p.step = try
			p.run()
			for _, s := range []*side{p.c, p.s} {
				if s.core.Complete {
					try(s)
				}
			}
		}
	}
	for at, row := range clientTable {
		for _, arm := range row.accept {
			if isCompiledIn(row.name) && !handled[place{"client", state(at), arm.on}] {
				t.Errorf("no script brings the client to %s for a %v", row.name, arm.on)
			}
		}
	}
	for at, row := range serverTable {
		for _, arm := range row.accept {
			if isCompiledIn(row.name) && !handled[place{"server", state(at), arm.on}] {
				t.Errorf("no script brings the server to %s for a %v", row.name, arm.on)
			}
		}
	}
}

// A handler that returns a state without an arrow is our own mistake, and does
// not move the machine.
func TestArrowsAreChecked(t *testing.T) {
	tab := table[int]{
		{"HERE", []arm[int]{{1, func(*int, message) (state, error) { return 1, nil }, []state{0}}}},
		{"THERE", nil},
	}
	at, err := tab.handle(new(int), 0, classify([]byte{1, 0, 0, 0}))
	expectReason(t, err, fault.Internal, "a handler leaves without an arrow")
	if at != 0 {
		t.Error("a move without an arrow is made")
	}
}

var update = flag.Bool("update", false, "write docs/states.md from the tables")

func TestTheStatesDocumentIsThatOfTheTables(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "states.md")
	want := statesDocument()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/states.md is not what the tables say: go test ./internal/handshake -run States -update")
	}
}

func statesDocument() []byte {
	var b bytes.Buffer
	b.WriteString(`# States

The states of RFC 9846, Appendix A, and below them those of TLS 1.2 by RFC 5246,
Section 7.3, as the tables in ` + "`internal/handshake/client.go`" + ` and ` + "`server.go`" + ` have them.
This page is generated from the tables:

    go test ./internal/handshake -run States -update

A handshake message that has no arrow in the present state ends the connection
with the alert unexpected_message. So does a change_cipher_spec in TLS 1.2; in
TLS 1.3, where it means nothing, it is dropped and does not come this far.
`)
	writeStates(&b, "Client", clientTable)
	writeStates(&b, "Server", serverTable)
	return b.Bytes()
}

func writeStates[R any](b *bytes.Buffer, role string, t table[R]) {
	id := strings.NewReplacer(" ", "_", ".", "").Replace
	fmt.Fprintf(b, "\n## %s\n\n```mermaid\nstateDiagram-v2\n", role)
	for _, row := range t {
		fmt.Fprintf(b, "    state %q as %s\n", row.name, id(row.name))
	}
	fmt.Fprintf(b, "    [*] --> %s\n", id(t[0].name))
	each := func(f func(at string, on kind, next string)) {
		for _, row := range t {
			for _, arm := range row.accept {
				for _, next := range arm.next {
					f(row.name, arm.on, t[next].name)
				}
			}
		}
	}
	each(func(at string, on kind, next string) {
		fmt.Fprintf(b, "    %s --> %s: %v\n", id(at), id(next), on)
	})
	b.WriteString("```\n\n| state | message | next |\n|---|---|---|\n")
	each(func(at string, on kind, next string) {
		fmt.Fprintf(b, "| %s | %v | %s |\n", at, on, next)
	})
}
