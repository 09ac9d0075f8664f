package baretls_test

import (
	"bytes"
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls"
	machine "github.com/baretls/baretls/internal/handshake"
	"github.com/baretls/baretls/internal/wire"
)

// The adversary is a connection of ours that keeps every rule but one. It has
// its own keys, so it can say whatever it likes under them: other messages, by
// which it stands in its transcript, and other records.

// A violation is a rule that an adversary breaks, and what comes of it.
type violation struct {
	what    string // the adversary does
	version version
	victim  string // the role under attack
	scene   scene
	breach  breach
	outcome result
	alert   tls.AlertError // that the victim sends, or got if it is told
	rule    string         // the section that demands it
}

// A scene is the handshake that an adversary spoils.
type scene struct {
	name    string
	edit    func(c *baretls.ClientConfig, s *baretls.ServerConfig)
	tickets bool // the server sends tickets
	resumed bool // by a session of an earlier connection
	early   bool // with early data
	// earlier, if it is set, makes the connection that is resumed.
	earlier func(x *attack)
}

// A breach is how a rule is broken: one of its parts, or none for a peer that
// breaks no rule.
type breach struct {
	// message takes the place of a handshake message that the adversary is about
	// to send: it goes on as if that were its own.
	message func(x *attack, name string, m []byte) []byte
	// flight takes the place of a flight on its way out, a record for each message.
	flight func(x *attack, flight []unit) []unit
	// after is what the adversary sends when the handshake is complete.
	after func(x *attack) []unit
	// scene says that what the adversary is configured to is wrong already.
	scene bool
}

type result uint8

const (
	isRefused result = iota // with an alert that the adversary can read
	isUnheard               // refused by an alert under keys that the adversary has not
	isTold                  // of the end by the adversary's alert, and silent
	isIgnored               // without harm
)

// A unit is what goes into one record.
type unit struct {
	name    string // of the message, or "change_cipher_spec", or empty
	keys    int    // of the adversary, in the order of their use; 0: none, latest: those of data
	typ     byte
	content []byte
	padding int
	rekeys  bool // the keys change behind it
	// raw, if it is set, makes the bytes that are sent, under the unit's keys.
	raw func(f *forger) []byte
}

const latest = -1

// An attack is a pair of which one side is an adversary.
type attack struct {
	*meeting
	violation
	adversary *side
	armed     bool // the connection is the one to be spoiled
	broken    bool // the breach has found what to break

	keys         *keyLog // of the adversary
	labels       []string
	openers      []*forger
	sealers      []*forger
	reading      int // of openers
	hellos       int
	first        []byte // ClientHello, if it is to be said again
	serverRandom []byte
	ownRandom    []byte // of a server, whatever it says
	stage        *stage

	// Of a detour: see differential_test.go.
	counted      int    // units
	worded       int    // messages
	said         []unit // so far
	held, joined []unit // that wait for the next
	talks        bool   // when the handshake is over
	parting      bool   // the last words are said
	sent         []unit // as the victim gets it
	uneven       bool   // what stands behind a record is not the same for both victims: its length is true

	aside      int              // units that only one of the two victims gets
	session    *machine.Session // that the adversary offers
	firstHello []byte           // as it said it
	request    []byte           // the HelloRetryRequest that it got
}

func newAttack(t testing.TB, v violation) *attack {
	t.Helper()
	x := &attack{violation: v, keys: new(keyLog)}
	x.stage = newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.CipherSuites = nil
		c.EnableEarlyData = v.scene.early
		if !v.scene.tickets && !v.scene.resumed {
			c.Sessions, s.TicketKeys, s.MaxEarlyData = nil, nil, 0
			c.SessionTicketsDisabled, s.SessionTicketsDisabled = true, true
		}
		if v.version == tls12 {
			c.MaxVersion, s.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		}
		if v.scene.edit != nil {
			v.scene.edit(c, s)
		}
		c.KeyLogWriter, s.KeyLogWriter = new(keyLog), new(keyLog)
		if v.victim == "client" {
			s.KeyLogWriter = x.keys
			x.labels = []string{"SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"}
		} else {
			c.KeyLogWriter = x.keys
			x.labels = []string{"CLIENT_EARLY_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"}
		}
	})
	var err error
	if v.victim == "client" {
		err = baretls.RewriteServer(x.stage.server, x.door)
	} else {
		err = baretls.RewriteClient(x.stage.client, x.door)
	}
	if err != nil {
		t.Fatal(err)
	}
	if v.scene.resumed {
		if v.scene.earlier != nil {
			v.scene.earlier(x)
		} else {
			x.stage.connect()
		}
		x.keys.Reset()
	}
	x.armed = true
	x.meeting = x.stage.meet()
	x.adversary = x.other(x.side(v.victim))
	x.openers, x.sealers = []*forger{inTheClear()}, []*forger{inTheClear()}
	return x
}

// door is what all messages of the adversary go through.
func (x *attack) door(t byte, m []byte) []byte {
	if !x.armed {
		return m
	}
	name := x.name(m)
	if t == msgClientHello {
		x.hellos++
	}
	if t == msgServerHello {
		x.ownRandom = bytes.Clone(m[6:38])
	}
	if x.breach.message != nil {
		m = x.breach.message(x, name, bytes.Clone(m))
	}
	if t == msgServerHello && len(m) >= 38 {
		x.serverRandom = bytes.Clone(m[6:38])
	}
	return m
}

// name tells the hellos apart as well.
func (x *attack) name(m []byte) string {
	t := wire.MessageType(m[0])
	switch {
	case t == wire.TypeServerHello && len(m) >= 38 && [32]byte(m[6:38]) == wire.RetryRandom:
		return "HelloRetryRequest"
	case t == wire.TypeClientHello && x.hellos > 0:
		return "second ClientHello"
	}
	return t.String()
}

// run goes on until nobody has anything more to say.
func (x *attack) run() {
	x.t.Helper()
	for moved := true; moved; {
		moved = false
		for _, s := range x.sides() {
			if s == x.server {
				x.serverTurns()
			} else {
				s.turns()
			}
			b := s.take()
			moved = moved || len(b) > 0
			if s == x.adversary {
				b = x.send(x.take(b))
			}
			x.other(s).give(b)
		}
	}
}

// take opens what the adversary's connection wants to send.
func (x *attack) take(flight []byte) (list []unit) {
	x.t.Helper()
	for _, rec := range records(x.t, flight) {
		u := x.open(rec)
		switch u.typ {
		case handshake:
			for len(u.content) > 0 {
				n := len(u.content)
				if n >= 4 {
					n = min(n, 4+int(u.content[1])<<16+int(u.content[2])<<8+int(u.content[3]))
				}
				m := u
				m.name, m.content = wire.MessageType(u.content[0]).String(), u.content[:n:n]
				switch {
				case m.name == "ServerHello":
					m.name = x.name(m.content)
				case m.name == "ClientHello" && x.hellos > 1:
					m.name = "second ClientHello"
				}
				list = append(list, m)
				u.content = u.content[n:]
			}
			continue
		case changeCipherSpec:
			u.name = "change_cipher_spec"
		}
		list = append(list, u)
	}
	if x.breach.flight != nil {
		list = x.breach.flight(x, list)
	}
	return list
}

// open tells which keys a record is under by trying.
func (x *attack) open(rec []byte) unit {
	x.t.Helper()
	protected := rec[0] == applicationData
	if x.version == tls12 {
		protected = x.reading > 0
		if rec[0] == changeCipherSpec {
			x.reading = 1
		}
	}
	if !protected {
		return unit{typ: rec[0], content: rec[5:]}
	}
	for x.reading = max(x.reading, 1); ; x.reading++ {
		if !x.hasKeys(x.reading) {
			x.t.Fatalf("the adversary sends a record of %d bytes that none of its keys opens", len(rec))
		}
		if typ, content, ok := x.openers[x.reading].try(x.t, rec); ok {
			return unit{keys: x.reading, typ: typ, content: content}
		}
	}
}

// try is open for keys that may be others.
func (f *forger) try(t testing.TB, rec []byte) (typ byte, content []byte, ok bool) {
	if f.tls12 {
		return rec[0], f.open12(t, rec), true
	}
	inner, err := f.aead.Open(nil, f.nonce(), rec[5:], rec[:5])
	if err != nil {
		f.seq--
		return 0, nil, false
	}
	inner = bytes.TrimRight(inner, "\x00")
	return inner[len(inner)-1], inner[:len(inner)-1], true
}

// hasKeys reports whether the adversary has, or can make, its keys of that
// number. In TLS 1.3 there may be none of early data: those are never used.
func (x *attack) hasKeys(n int) bool {
	x.t.Helper()
	for len(x.openers) <= n {
		opener, sealer := new(forger), new(forger)
		if x.version == tls12 {
			if len(x.openers) > 1 || !x.logged("CLIENT_RANDOM") {
				return false
			}
			opener, sealer = x.keys12(x.ownRandoms()), x.keys12(x.client.random(), x.server.random())
		} else {
			if len(x.openers) > len(x.labels) {
				return false
			}
			label := x.labels[len(x.openers)-1]
			if label == "CLIENT_EARLY_TRAFFIC_SECRET" && !x.logged(label) {
				label = x.labels[1]
			}
			if !x.logged(label) {
				return false
			}
			opener, sealer = x.keys.forger(x.t, label), x.keys.forger(x.t, label)
		}
		x.openers, x.sealers = append(x.openers, opener), append(x.sealers, sealer)
	}
	return true
}

// ownRandoms are those that the adversary's connection goes by, though it may
// have said another.
func (x *attack) ownRandoms() (client, server []byte) {
	if x.adversary == x.client {
		return x.keys.clientRandom(x.t), x.server.random()
	}
	return x.client.random(), x.ownRandom
}

// keys12 are the adversary's of TLS 1.2, for these randoms.
func (x *attack) keys12(clientRandom, serverRandom []byte) *forger {
	x.t.Helper()
	client, server := keys12(x.t, x.adversary.conn.NegotiatedCipherSuite(), x.keys.secret(x.t, "CLIENT_RANDOM"), clientRandom, serverRandom)
	if x.adversary == x.client {
		return client
	}
	return server
}

func (x *attack) logged(label string) bool { return strings.Contains(x.keys.String(), label+" ") }

// last is the number of the keys that data is sent under.
func (x *attack) last() int {
	if x.version == tls12 {
		return 1
	}
	return len(x.labels)
}

// send seals units under the adversary's keys.
func (x *attack) send(list []unit) (flight []byte) {
	x.t.Helper()
	for _, u := range list {
		if u.keys == latest {
			u.keys = x.last()
		}
		if !x.hasKeys(u.keys) {
			x.t.Fatalf("the adversary has no keys of number %d", u.keys)
		}
		f, before := x.sealers[u.keys], len(flight)
		if u.raw != nil {
			flight = append(flight, u.raw(f)...)
		} else {
			flight = append(flight, f.seal(u.typ, u.content, u.padding)...)
		}
		if u.rekeys && f.aead != nil && !f.tls12 {
			f.update()
		}
		if rec := flight[before:]; f.aead == nil && len(rec) >= 5 {
			u.typ, u.content = rec[0], rec[5:]
		}
		x.sent = append(x.sent, u)
	}
	return flight
}

// attack breaks the rule.
func (x *attack) attack() {
	x.t.Helper()
	if x.scene.early {
		x.sendEarly("early data")
	}
	x.broken = x.breach.scene
	x.run()
	if x.breach.after == nil {
		return
	}
	for _, s := range x.sides() {
		if s.err != nil || s.conn.IsHandshaking() {
			x.t.Fatalf("the %s does not come through the handshake, in which no rule is broken: %v, %v", s.role, s.err, s.transcript)
		}
	}
	x.victimSide().transcript = nil
	x.broken = true
	x.victimSide().give(x.send(x.breach.after(x)))
	x.run()
}

func (x *attack) victimSide() *side { return x.side(x.violation.victim) }

// check checks what has come of it.
func (x *attack) check() {
	x.t.Helper()
	v := x.victimSide()
	if !x.broken {
		x.t.Fatalf("the rule was not broken: the adversary went through %v, error %v", x.adversary.transcript, x.adversary.err)
	}
	switch x.outcome {
	case isRefused, isUnheard:
		if v.err == nil {
			x.t.Fatalf("the %s does not mind: %v", v.role, v.transcript)
		}
		v.wantFailed(x.alert)
		n := len(v.transcript)
		if n < 2 || !slices.Equal(v.transcript[n-2:], []string{encode, transmit}) {
			x.t.Errorf("the %s ended with the states %v, want the alert encoded and transmitted", v.role, v.transcript)
		}
		if x.outcome == isRefused {
			x.adversary.wantAlerted(x.alert)
		}
		wantSameErrorForEver(x.t.(*testing.T), v)
	case isTold:
		v.wantAlerted(x.alert)
		if n := len(v.transcript); n > 0 && v.transcript[n-1] == transmit {
			x.t.Errorf("the %s answers an alert: %v", v.role, v.transcript)
		}
		wantSameErrorForEver(x.t.(*testing.T), v)
	case isIgnored:
		v.wantAlive()
		x.adversary.wantAlive()
	}
}

// Each violation comes to what its row says, and no row breaks a rule in vain.
func TestViolations(t *testing.T) {
	for _, v := range violations() {
		t.Run(v.title(), func(t *testing.T) {
			x := newAttack(t, v)
			x.attack()
			x.check()
		})
	}
}

func (v violation) title() string {
	return tls.VersionName(uint16(v.version)) + ", " + v.victim + ": " + v.what
}

// A peer that goes through the same machinery and breaks no rule completes the
// handshake, in every scene, and data goes both ways.
func TestViolationsControl(t *testing.T) {
	breaches := map[string]breach{
		"none":    {},
		"message": {message: func(_ *attack, _ string, m []byte) []byte { return m }},
		"flight":  {flight: func(_ *attack, flight []unit) []unit { return flight }},
		"after": {after: func(*attack) []unit {
			return []unit{{keys: latest, typ: applicationData, content: []byte("data")}}
		}},
	}
	seen := make(map[string]bool)
	for _, v := range violations() {
		if v.breach.scene {
			continue
		}
		for how, b := range breaches {
			v.breach, v.what = b, "keeps the rules, scene "+v.scene.name+", breach "+how
			if seen[v.title()] {
				continue
			}
			seen[v.title()] = true
			t.Run(v.title(), func(t *testing.T) {
				x := newAttack(t, v)
				x.attack()
				for _, s := range x.sides() {
					if s.err != nil || s.conn.IsHandshaking() {
						t.Fatalf("the %s does not come through the handshake: %v, %v", s.role, s.err, s.transcript)
					}
				}
				x.victimSide().data, x.adversary.data = nil, nil
				for _, s := range x.sides() {
					s.write([]byte("data of the " + s.role))
					b := s.take()
					if s == x.adversary {
						b = x.send(x.take(b))
					}
					x.other(s).give(b)
					x.run()
					if got := string(x.other(s).data); got != "data of the "+s.role {
						t.Errorf("the %s sent data, and the other side has %q, error %v", s.role, got, x.other(s).err)
					}
				}
			})
		}
	}
}

// How rules are broken.

// says puts other words into the adversary's mouth, by which it stands.
func says(name string, change func(m []byte) []byte) breach {
	return saysOf(name, func(_ *attack, m []byte) []byte { return change(m) })
}

// saysOf is says for changes that need to know the connection. A ClientHello is
// changed on its way, for a client of ours goes by what it has said, and so is a
// ticket of TLS 1.3, which is in no transcript.
func saysOf(name string, change func(x *attack, m []byte) []byte) breach {
	return breach{
		message: func(x *attack, is string, m []byte) []byte {
			if is != name || x.broken || is == "ClientHello" {
				return m
			}
			x.broken = true
			return change(x, m)
		},
		flight: func(x *attack, flight []unit) []unit {
			return sends(name, func(u unit) []unit {
				u.content = change(x, bytes.Clone(u.content))
				return []unit{u}
			}).flight(x, flight)
		},
	}
}

// sends changes the record of a message, or a change_cipher_spec, on its way.
func sends(name string, change func(u unit) []unit) breach {
	return breach{flight: func(x *attack, flight []unit) (out []unit) {
		for _, u := range flight {
			if u.name == name && !x.broken {
				x.broken = true
				out = append(out, change(u)...)
				continue
			}
			out = append(out, u)
		}
		return out
	}}
}

// behind sends more behind a record, and before does so in front of it.
func behind(name string, more ...unit) breach {
	return sends(name, func(u unit) []unit { return append([]unit{u}, under(u, more)...) })
}

func before(name string, more ...unit) breach {
	return sends(name, func(u unit) []unit { return append(under(u, more), u) })
}

// under gives units the keys of another, unless they have their own.
func under(of unit, list []unit) []unit {
	list = slices.Clone(list)
	for i := range list {
		if list[i].keys == 0 {
			list[i].keys = of.keys
		}
	}
	return list
}

// instead sends something else.
func instead(name string, other ...unit) breach {
	return sends(name, func(u unit) []unit { return under(u, other) })
}

// swapped exchanges two records that follow one another, change_cipher_specs
// of TLS 1.3 aside.
func swapped(first, second string) breach {
	return breach{flight: func(x *attack, flight []unit) []unit {
		i := slices.IndexFunc(flight, func(u unit) bool { return u.name == first })
		j := slices.IndexFunc(flight, func(u unit) bool { return u.name == second })
		if i >= 0 && j > i && !x.broken {
			x.broken = true
			flight[i], flight[j] = flight[j], flight[i]
			flight[i].keys, flight[j].keys = flight[j].keys, flight[i].keys
		}
		return flight
	}}
}

// merged puts the content of more records into the record of a message.
func merged(name string, more ...[]byte) breach {
	return sends(name, func(u unit) []unit {
		u.content = slices.Concat(append([][]byte{u.content}, more...)...)
		return []unit{u}
	})
}

// afterwards sends units when the handshake is complete.
func afterwards(units ...unit) breach {
	return breach{after: func(*attack) []unit {
		list := slices.Clone(units)
		for i := range list {
			if list[i].keys == 0 {
				list[i].keys = latest
			}
		}
		return list
	}}
}

// byItself is a scene in which a rule is broken from the start.
func byItself() breach { return breach{scene: true} }

// What records are made of.

func aMessage(m ...[]byte) unit        { return unit{typ: handshake, content: slices.Concat(m...)} }
func anAlert(b ...byte) unit           { return unit{typ: alert, content: b} }
func someData(s string) unit           { return unit{typ: applicationData, content: []byte(s)} }
func aRecord(typ byte, b ...byte) unit { return unit{typ: typ, content: b} }
func anyBytes(b []byte) unit           { return unit{raw: func(*forger) []byte { return b }} }

// aSealed is a record that is spoilt when it has been sealed.
func aSealed(u unit, spoil func(record []byte) []byte) unit {
	u.raw = func(f *forger) []byte { return spoil(f.seal(u.typ, u.content, u.padding)) }
	return u
}
