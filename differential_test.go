package baretls_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// Our connections and those of crypto/tls get the same from a peer that was
// led astray in the same way, and have to come to the same verdict, or the
// difference is in the table.

// A detour is how a peer is led astray, as bytes: five for each step.
type detour []byte

// A trial is a connection with such a peer.
type trial struct {
	version version
	victim  string // the role
	kind
	detour detour
}

// A verdict is what a victim makes of it.
type verdict struct {
	complete bool   // the handshake
	end      string // refuses, is told, closes, waits
	resumed  bool   // a session
	kept     int    // sessions, by a client
	data     string // that has come; early data is not compared
	err      error  // that says why; not compared, and neither are:
	chose    bool   // to resume, complete or not
	name     string // of the server
	skips    bool   // early data, as a server of ours
	got      []unit // by crypto/tls until it ended
}

func (v verdict) String() string {
	return fmt.Sprintf("%s; resumed %t, sessions kept %d, data %q", v.sketch(), v.resumed, v.kept, v.data)
}

// last is what crypto/tls got last: what it ended by, if it was that.
func (v verdict) last() (u unit) {
	if n := len(v.got); n > 0 {
		u = v.got[n-1]
	}
	return u
}

// sketch is what the patterns of differences are of.
func (v verdict) sketch() string {
	complete := "incomplete"
	if v.complete {
		complete = "complete"
	}
	if v.err == nil {
		return fmt.Sprintf("%s, %s: ", complete, v.end)
	}
	return fmt.Sprintf("%s, %s: %v", complete, v.end, v.err)
}

func (v verdict) same(w verdict) bool {
	return v.complete == w.complete && v.end == w.end && v.resumed == w.resumed && v.kept == w.kept && v.data == w.data
}

const maxSteps = 8

// byways are what a step can do to a unit; n, a and b are its parameters.
var byways = []func(x *attack, u unit, n int, a, b byte) []unit{
	func(_ *attack, u unit, n int, a, _ byte) []unit { // a bit of the content
		u.content = bytes.Clone(u.content)
		if len(u.content) > 0 {
			u.content[n%len(u.content)] ^= a
		}
		return []unit{u}
	},
	func(_ *attack, u unit, n int, _, _ byte) []unit { // only its beginning
		u.content = u.content[:n%(len(u.content)+1)]
		return []unit{u}
	},
	func(_ *attack, u unit, n int, a, _ byte) []unit { // bytes less, lengths right
		u.content = resized(u.content, n, -int(a%16)-1, 0)
		return []unit{u}
	},
	func(_ *attack, u unit, n int, a, b byte) []unit { // bytes more, lengths right
		u.content = resized(u.content, n, int(a%16)+1, b)
		return []unit{u}
	},
	func(_ *attack, u unit, _ int, _, _ byte) []unit { return []unit{u, u} },
	func(_ *attack, u unit, _ int, _, _ byte) []unit { return nil },
	func(x *attack, u unit, _ int, _, _ byte) []unit { // later, behind the next
		x.held = append(x.held, u)
		return nil
	},
	func(_ *attack, u unit, n int, _, _ byte) []unit { // in two records
		n %= len(u.content) + 1
		head, tail := u, u
		head.content, tail.content, head.rekeys = u.content[:n], u.content[n:], false
		return []unit{head, tail}
	},
	func(_ *attack, u unit, _ int, a, _ byte) []unit {
		if u.typ = a; a == applicationData || a == 0 { // secrets are not the same for both; 0 is padding
			u.content = make([]byte, len(u.content))
		}
		return []unit{u}
	},
	func(_ *attack, u unit, n int, _, _ byte) []unit { u.padding = n; return []unit{u} },
	func(_ *attack, u unit, _ int, _, _ byte) []unit { return []unit{anyBytes(ccs()), u} },
	func(_ *attack, u unit, _ int, a, b byte) []unit { return append(under(u, []unit{anAlert(a, b)}), u) },
	func(_ *attack, u unit, n int, _, _ byte) []unit {
		return append(under(u, []unit{someData(strings.Repeat("x", n))}), u)
	},
	func(x *attack, u unit, _ int, a, _ byte) []unit { // a change of keys
		change := unit{keys: u.keys, raw: func(f *forger) []byte {
			record := f.seal(handshake, keyUpdate(a), 0)
			if f.aead != nil && !f.tls12 {
				f.update()
			}
			return record
		}}
		return []unit{change, u}
	},
	func(x *attack, u unit, n int, a, _ byte) []unit { // a bit of the record
		return []unit{aSealed(u, func(r []byte) []byte {
			if at := n % len(r); !x.uneven || at != 3 && at != 4 {
				r[at] ^= a
			}
			return r
		})}
	},
	func(_ *attack, u unit, n int, _, _ byte) []unit { // only its beginning, as if that were all
		return []unit{aSealed(u, func(r []byte) []byte {
			r = r[:5+n%(len(r)-4)]
			r[3], r[4] = byte((len(r)-5)>>8), byte(len(r)-5)
			return r
		})}
	},
	func(x *attack, u unit, n int, _, _ byte) []unit { // what was said before
		return append(under(u, x.said[n%max(len(x.said), 1):min(n%max(len(x.said), 1)+1, len(x.said))]), u)
	},
	func(x *attack, u unit, n int, _, _ byte) []unit { // together with the next
		x.joined = append(x.joined, u)
		return nil
	},
	func(x *attack, u unit, _ int, a, _ byte) []unit { // under other keys
		keys := u.keys + 1 - int(a%3)
		if keys == 1 && x.last() == 3 { // of early data, and then not the same for both
			keys += keys - u.keys
		}
		if keys >= 0 && keys <= x.last() && x.hasKeys(keys) {
			u.keys = keys
		}
		return []unit{u}
	},
	func(_ *attack, u unit, n int, a, _ byte) []unit { // a message that nobody expects
		return append(under(u, []unit{aMessage(message12(a, make([]byte, n%64)))}), u)
	},
	func(_ *attack, u unit, n int, a, _ byte) []unit { // many records of nothing
		return append(under(u, slices.Repeat([]unit{aRecord(applicationData - a%4)}, n%40)), u)
	},
}

// words are what a step can do to a message by which the adversary stands.
var words = []func(m []byte, n int, a, b byte) []byte{
	func(m []byte, n int, a, _ byte) []byte { // a bit of the body
		if len(m) > 4 {
			m[4+n%(len(m)-4)] ^= a
		}
		return m
	},
	func(m []byte, n int, a, _ byte) []byte { return resized(m, n, -int(a%16)-1, 0) },
	func(m []byte, n int, a, b byte) []byte { return resized(m, n, int(a%16)+1, b) },
	func(m []byte, n int, _, _ byte) []byte { return resized(m, n, -len(m), 0) },
	func(m []byte, _ int, _, _ byte) []byte { return append(m, m...) },
	func([]byte, int, byte, byte) []byte { return nil },
	func(m []byte, n int, a, _ byte) []byte { // extensions
		switch {
		case m[0] == 8 && len(m) >= 4+2:
			return withExtension(m, uint16(a), make([]byte, n%16))
		case m[0] == msgClientHello && new(wire.ClientHello).Parse(m[4:]) == nil,
			m[0] == msgServerHello && new(wire.ServerHello).Parse(m[4:], ^wire.ExtensionSet(0)) == nil:
			return withExtensions(m, func(l []extension12) []extension12 {
				i := n % (len(l) + 1)
				if a&0x80 != 0 && len(l) > 0 { // one of them again
					return slices.Insert(l, i, l[int(a)%len(l)])
				}
				return slices.Insert(l, i, extension12{uint16(a), make([]byte, n>>4)})
			})
		}
		return m
	},
	otherPSKs,
}

// sayable reports whether a client of ours can stand by a ClientHello in place
// of its own: it has to parse it, and to have what it offers. What is there in
// place of early_data has to be empty too.
func sayable(m, own []byte) bool {
	var h, offer wire.ClientHello
	if len(m) < 4 || m[0] != msgClientHello || h.Parse(m[4:]) != nil || offer.Parse(own[4:]) != nil {
		return false
	}
	was, _ := extension(own, extUnassigned)
	is, _ := extension(m, extUnassigned)
	return len(was) == len(is) &&
		(offer.Has.Has(wire.ExtEarlyData) || !h.Has.Has(wire.ExtEarlyData)) &&
		(offer.Has.Has(wire.ExtPreSharedKey) || !h.Has.Has(wire.ExtPreSharedKey))
}

// worded changes what the adversary says.
func (d detour) worded(x *attack, m []byte) []byte {
	if m[0] == msgEndOfEarlyData { // as all that has to do with early data
		return m
	}
	said := m
	for i := 0; i+5 <= len(d) && i < 5*maxSteps; i += 5 {
		step := d[i : i+5]
		if way := int(step[0]) % (len(byways) + len(words)); way >= len(byways) && int(step[1]) == x.worded && len(said) >= 4 {
			n := int(step[2])<<3 | int(step[3])>>5
			said = words[way-len(byways)](bytes.Clone(said), n, step[4], step[3])
		}
	}
	x.worded++
	if m[0] == msgClientHello {
		if !sayable(said, m) {
			said = m
		}
		said = x.bound(said)
		if x.firstHello == nil {
			x.firstHello = said
		}
	}
	return said
}

// resized takes bytes out of a message, or puts some in, and corrects its length.
func resized(m []byte, at, by int, with byte) []byte {
	if len(m) < 4 {
		return m
	}
	body := m[4:]
	at %= len(body) + 1
	if by < 0 {
		by = max(by, at-len(body))
		return message12(m[0], body[:at], body[at-by:])
	}
	return message12(m[0], body[:at], bytes.Repeat([]byte{with}, by), body[at:])
}

// astray leads a flight of the adversary astray.
func (tr trial) astray(x *attack, flight []unit) (out []unit) {
	d := tr.detour
	if tr.early && tr.victim == "server" {
		flight = hurried(flight, !x.scene.early, x.parting)
	}
	for _, u := range flight {
		if u.typ == alert && len(u.content) == 2 && u.content[0] == 2 { // how it ends is not to be doubted
			out = append(out, u)
			continue
		}
		list, apart := []unit{u}, tr.isAside(u)
		place := x.counted
		if apart {
			place = aside + x.aside
		}
		for i := 0; i+5 <= len(d) && i < 5*maxSteps; i += 5 {
			way := int(d[i]) % (len(byways) + len(words))
			if step := d[i : i+5]; way < len(byways) && int(step[1]) == place && len(list) > 0 {
				last := len(list) - 1
				n := int(step[2])<<3 | int(step[3])>>5
				list = append(list[:last:last], byways[way](x, list[last], n, step[4], step[3])...)
			}
		}
		if apart {
			x.aside++
			out = append(out, list...)
			continue
		}
		x.counted++
		x.said = append(x.said, u)
		if len(list) > 0 && len(x.joined) > 0 {
			for i, j := range slices.Backward(x.joined) {
				if j.typ == list[0].typ {
					list[0].content = slices.Concat(j.content, list[0].content)
					x.joined = slices.Delete(x.joined, i, i+1)
				}
			}
		}
		out = append(out, list...)
		if len(list) > 0 {
			out = append(out, x.held...)
			x.held = nil
		}
	}
	return out
}

// trialCertificate is one for all, of both roles: the same in every process, or
// else a detour would be another one each time.
var trialCertificate = sync.OnceValue(func() tls.Certificate {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	der, err := x509.CreateCertificate(nil, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "differential"}, DNSNames: []string{"example.com"},
		NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "differential"}}, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func trialTime() time.Time { return tlstest.NotBefore.AddDate(5, 0, 0) }

func trialRoots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(trialCertificate().Leaf)
	return roots
}

// newTrial makes the adversary, with a victim of ours, which it never meets if
// the victim is of crypto/tls. What it says has the same shape whoever that is.
func newTrial(t *testing.T, tr trial, std *stdSide) *attack {
	t.Helper()
	cryptotest.SetGlobalRandom(t, 1)
	roots := trialRoots()
	clientRand, serverRand := rand.NewChaCha8([32]byte{1}), rand.NewChaCha8([32]byte{2})
	s := scene{tickets: tr.talks, resumed: tr.resumed, early: tr.early && std == nil, edit: func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.Rand, s.Rand = clientRand, serverRand
		c.Time, s.Time = trialTime, trialTime
		c.Groups, s.Groups = tr.groups()
		suites := []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		if tr.version == tls12 {
			suites = suites[1:]
		}
		if tr.victim == "client" {
			s.CipherSuites = suites
		} else {
			c.CipherSuites = suites
		}
		s.Certificates = []tls.Certificate{trialCertificate()}
		c.Certificates, c.RootCAs = s.Certificates, roots
		s.ClientAuth, s.ClientCAs = tr.clientAuth(), roots
		if tr.declined {
			c.Certificates = nil
		}
		if s.MaxEarlyData = 0; tr.accepted {
			s.MaxEarlyData = 1000
		}
		if tr.cookie && tr.victim == "client" {
			s.RetryCookieKey = make([]byte, 32)
		}
	}}
	s.earlier = func(x *attack) {
		tr.earlier(t, x, std)
		// However much that has taken: what is said now is the same to both.
		cryptotest.SetGlobalRandom(t, 2)
		clientRand.Seed([32]byte{1})
		serverRand.Seed([32]byte{2})
	}
	b := breach{flight: tr.astray, message: func(x *attack, name string, m []byte) []byte {
		return tr.detour.worded(x, tr.plain(name, m, std != nil))
	}}
	x := newAttack(t, violation{version: tr.version, victim: tr.victim, scene: s, breach: b})
	x.talks = tr.talks
	x.uneven = tr.early && tr.victim == "server"
	if tr.early && std != nil && tr.victim == "server" {
		x.reading = 2 // as if there were keys of early data
	}
	if tr.early {
		x.client.hurry()
	}
	return x
}

func (tr trial) clientAuth() tls.ClientAuthType {
	switch {
	case tr.mutual:
		return tls.RequireAndVerifyClientCert
	case tr.declined:
		return tls.VerifyClientCertIfGiven
	}
	return tls.NoClientCert
}

// groups are those of the client and of the server.
func (tr trial) groups() (client, server []tls.CurveID) {
	if tr.retry {
		return []tls.CurveID{tls.X25519, tls.CurveP256}, []tls.CurveID{tls.CurveP256}
	}
	return []tls.CurveID{tls.X25519}, []tls.CurveID{tls.X25519}
}

func (tr trial) String() string {
	return fmt.Sprintf("%s, %s, %s, detour % x", tls.VersionName(uint16(tr.version)), tr.victim, tr.name, []byte(tr.detour))
}

// say lets the adversary take its turns, and returns what it has to say: data
// and close_notify when the handshake is over, and at last nothing.
func (x *attack) say() []unit {
	x.t.Helper()
	s := x.adversary
	x.turnsOf(s)
	if s.err == nil && !s.conn.IsHandshaking() && !x.parting {
		x.parting = true
		if x.talks && x.version == tls13 {
			flight := x.take(s.take())
			return append(flight, x.breach.flight(x, x.talk())...)
		}
		s.write([]byte("data"))
		s.write([]byte("more data"))
		s.close()
	}
	return x.take(s.take())
}

// ours is what our connection makes of it.
func ours(t *testing.T, tr trial) (verdict, *attack) {
	t.Helper()
	x := newTrial(t, tr, nil)
	s, before := x.victimSide(), x.stage.sessions.len()
	for {
		x.turnsOf(s)
		sent := s.take()
		x.hear(sent)
		said := x.send(x.say())
		if len(said) == 0 && len(sent) == 0 {
			break
		}
		s.give(said)
	}
	s.conn.CloseInput()
	x.turnsOf(s)
	v := verdict{complete: !s.conn.IsHandshaking(), data: string(s.data), err: s.err, end: "waits"}
	state := s.conn.ConnectionState()
	v.chose, v.name = state.DidResume, state.ServerName
	v.resumed = v.complete && v.chose
	if s == x.client {
		v.kept = x.stage.sessions.len() - before
	}
	var failure *baretls.Error
	switch {
	case s.err == nil && s.peerClosed:
		v.end = "closes"
	case s.err == nil || errors.Is(s.err, io.ErrUnexpectedEOF):
	case !errors.As(s.err, &failure):
		t.Fatalf("the error is a %T: %v", s.err, s.err)
	case failure.Received():
		v.end = "is told"
		if alert, _ := failure.Alert(); alert == closeNotify {
			v.end = "closes"
		}
	default:
		v.end = "refuses"
	}
	v.skips = s.conn.EarlyData() == baretls.EarlyDataRejected
	return v, x
}

// errNoMore is the end of a transport to which nobody says anything more.
var errNoMore = errors.New("nobody says anything more")

// A counterpart is the transport of crypto/tls at whose other end the
// adversary takes its turns whenever it is waited for: all in one goroutine.
type counterpart struct {
	net.Conn // nil: nobody asks for addresses
	hear     func([]byte)
	say      func() []byte
	said     []byte
}

func (c *counterpart) Write(b []byte) (int, error) {
	c.hear(b)
	return len(b), nil
}

func (c *counterpart) Read(b []byte) (int, error) {
	if len(c.said) == 0 {
		if c.said = c.say(); len(c.said) == 0 {
			return 0, errNoMore
		}
	}
	n := copy(b, c.said)
	c.said = c.said[n:]
	return n, nil
}

func (c *counterpart) Close() error                     { return nil }
func (c *counterpart) SetWriteDeadline(time.Time) error { return nil }
func (c *counterpart) SetReadDeadline(time.Time) error  { return nil }
func (c *counterpart) SetDeadline(time.Time) error      { return nil }

// newStd makes the config of crypto/tls.
func newStd(tr trial) *stdSide {
	roots, s := trialRoots(), &stdSide{cache: &kept{ClientSessionCache: tls.NewLRUClientSessionCache(1)}}
	s.config = &tls.Config{
		RootCAs: roots, ServerName: "example.com", MaxVersion: uint16(tr.version), MinVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{trialCertificate()}, SessionTicketsDisabled: !tr.talks && !tr.resumed, Time: trialTime,
		CipherSuites: algo.DefaultSuites(), ClientSessionCache: s.cache, ClientAuth: tr.clientAuth(), ClientCAs: roots,
	}
	s.tickets.wrap(s.config)
	client, server := tr.groups()
	s.config.CurvePreferences = server
	if tr.victim == "client" {
		s.config.CurvePreferences = client
		if tr.declined {
			s.config.Certificates = nil
		}
	}
	return s
}

// theirs is what crypto/tls makes of it.
func theirs(t *testing.T, tr trial) (verdict, *attack) {
	t.Helper()
	std := newStd(tr)
	x := newTrial(t, tr, std)
	before := std.cache.n
	var waiting []unit
	conn := std.conn(tr.victim, &counterpart{say: func() []byte { // no more than it has to read
		if len(waiting) == 0 {
			if waiting = x.say(); len(waiting) == 0 {
				return nil
			}
		}
		u := waiting[:1]
		waiting = waiting[1:]
		return x.send(u)
	}, hear: func(b []byte) {
		if s := x.victimSide(); s.hello == nil {
			s.hello = bytes.Clone(b) // where the adversary looks for the server's random
		}
		x.hear(b)
	}})
	err := conn.Handshake()
	v := verdict{complete: err == nil, chose: conn.ConnectionState().DidResume}
	v.resumed = v.complete && v.chose
	if err == nil {
		var data []byte
		data, err = io.ReadAll(conn) // nil at close_notify
		v.data = string(data)
	}
	v.err, v.kept = err, std.cache.n-before
	var remote *net.OpError
	switch {
	case err == nil || err == io.EOF:
		v.end = "closes"
	case errors.Is(err, errNoMore):
		v.end = "waits"
	case errors.As(err, &remote) && remote.Op == "remote error":
		v.end = "is told"
	default:
		v.end = "refuses"
	}
	v.got = x.sent
	return v, x
}

// compare runs a trial with both and reports a difference that nobody has
// explained.
func compare(t *testing.T, tr trial) {
	t.Helper()
	a, _ := ours(t, tr)
	b, _ := theirs(t, tr)
	if !a.same(b) && why(tr, a, b) == "" {
		t.Errorf("%v:\nours:       %v\ncrypto/tls: %v", tr, a, b)
	}
}

// why explains a difference, or is empty.
func why(tr trial, ours, theirs verdict) string {
	for _, d := range explained {
		if d.matches(tr, ours, theirs) {
			return d.why
		}
	}
	return ""
}

// FuzzDifferential looks for differences that nobody has explained.
func FuzzDifferential(f *testing.F) {
	for flags := range byte(4 * len(kinds)) {
		f.Add(flags, []byte(nil))
	}
	for way := range len(byways) + len(words) {
		for flags := range byte(4) {
			f.Add(flags|byte(way)%4<<2, []byte{byte(way), flags + byte(way)%3, 1, 0x42, 0x15, byte(way) + 1, 1, 0, 0, 3})
		}
	}
	f.Fuzz(func(t *testing.T, flags byte, detour []byte) {
		compare(t, trialOf(flags, detour))
	})
}

// trialOf makes a trial of a number and a detour.
func trialOf(flags byte, d []byte) trial {
	tr := trial{version: tls13, victim: "client", kind: kinds[int(flags>>2)%len(kinds)], detour: d}
	if flags&1 != 0 {
		tr.victim = "server"
	}
	if flags&2 != 0 {
		tr.version = tls12
		if tr.only13 {
			tr.kind = kind{name: tr.name, mutual: tr.mutual, resumed: tr.resumed}
		}
	}
	return tr
}

// Every step is taken at every place, with parameters that are enough to see
// that all of them are there; the fuzzer has the others.
func TestDifferentialSweep(t *testing.T) {
	for _, flags := range []byte{4, 5, 6, 7, 8, 9, 20, 28, 29, 31, 45} {
		_, x := ours(t, trialOf(flags, nil))
		for way := range len(byways) + len(words) {
			for place := range x.counted {
				compare(t, trialOf(flags, detour{byte(way), byte(place), 0, 5 << 5, 1}))
				compare(t, trialOf(flags, detour{byte(way), byte(place), 5, 40, 0x82}))
			}
		}
	}
}

// A client says of PSKs whatever it likes, by binders that are right for it.
func TestDifferentialPSKs(t *testing.T) {
	way := byte(len(byways) + len(words) - 1) // otherPSKs
	for _, flags := range []byte{29, 33, 37, 41, 45} {
		for message := range byte(2) {
			for what := range byte(16) {
				compare(t, trialOf(flags, detour{way, message, 1, what, 0x82}))
			}
		}
	}
}

// Without a detour, both complete the handshake and receive all there is, and
// what the adversary says has the same shape.
func TestDifferentialControl(t *testing.T) {
	for flags := range byte(4 * len(kinds)) {
		tr := trialOf(flags, nil)
		a, x := ours(t, tr)
		b, y := theirs(t, tr)
		want := verdict{complete: true, end: "closes", resumed: tr.resumed, data: "datamore data"}
		if tr.victim == "client" {
			want.kept = tr.tickets()
		}
		if !a.same(want) || !b.same(want) {
			t.Errorf("%v:\nours:       %v\ncrypto/tls: %v\nwant both:  %v", tr, a, b, want)
		}
		same := slices.EqualFunc(x.said, y.said, func(u, w unit) bool {
			return u.name == w.name && u.keys == w.keys && len(u.content) == len(w.content)
		})
		if !same {
			t.Errorf("%v: the adversary says other things to us than to crypto/tls", tr)
		}
	}
}
