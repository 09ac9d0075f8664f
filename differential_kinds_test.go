package baretls_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"io"
	"slices"
	"testing"

	"github.com/baretls/baretls"
	machine "github.com/baretls/baretls/internal/handshake"
	"github.com/baretls/baretls/internal/wire"
)

// A kind is what goes on between the two sides of a trial, of either version
// and role, unless it needs TLS 1.3.
type kind struct {
	name     string
	only13   bool // TLS 1.2 has the first kind instead, or resumed
	mutual   bool // with client authentication
	declined bool // the client is asked for a certificate, and has none
	retry    bool // with a HelloRetryRequest
	cookie   bool // and that with a cookie, if the adversary is the server
	talks    bool // tickets; then data, with changes of keys in TLS 1.3
	resumed  bool // by a session of an earlier connection
	early    bool // with early data: see below
	accepted bool // which the server takes
}

// kinds may only grow at the end: the corpus has their numbers.
var kinds = []kind{
	{name: "full"},
	{name: "client authentication", mutual: true},
	{name: "retry", retry: true, only13: true},
	{name: "client authentication, retry", mutual: true, retry: true, only13: true},
	{name: "client authentication, declined", declined: true},
	{name: "tickets, changes of keys", talks: true},
	{name: "client authentication, tickets, changes of keys", mutual: true, talks: true},
	{name: "resumed", resumed: true},
	{name: "resumed, client authentication", resumed: true, mutual: true},
	{name: "resumed, retry", resumed: true, retry: true, cookie: true, only13: true},
	{name: "early data, rejected", resumed: true, early: true, only13: true},
	{name: "early data, accepted", resumed: true, early: true, accepted: true, only13: true},
	{name: "early data, retry", resumed: true, early: true, retry: true, only13: true},
}

// crypto/tls has no early data but over QUIC: its clients do not offer it, and
// its servers refuse a connection with it. So what is compared is the rest:
// where one of ours offers or takes early data, or hears of it, there is a
// resumption without it for crypto/tls, an extension that nobody knows in place
// of early_data. The client's records of early data, its EndOfEarlyData and its
// change_cipher_spec, which stand elsewhere then, are counted apart, from aside
// on: a detour at such a place meets our connection alone.
const aside = 0x80

func (tr trial) isAside(u unit) bool {
	return tr.early && tr.victim == "server" && (u.keys == 1 || u.name == "change_cipher_spec")
}

// strayed reports whether a step of the detour is aside.
func (tr trial) strayed() bool {
	for i := 0; i+5 <= len(tr.detour) && i < 5*maxSteps; i += 5 {
		way := int(tr.detour[i]) % (len(byways) + len(words))
		if tr.early && tr.victim == "server" && way < len(byways) && tr.detour[i+1] >= aside {
			return true
		}
	}
	return false
}

// names are tickets of crypto/tls that are names of sessions, as long as ours.
type names struct {
	sessions map[string][]byte
	length   int
}

// wrap makes the server of crypto/tls issue such tickets.
func (n *names) wrap(config *tls.Config) {
	n.sessions, n.length = make(map[string][]byte), 32
	config.WrapSession = func(_ tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
		name := make([]byte, n.length)
		rand.Read(name)
		b, err := s.Bytes()
		n.sessions[string(name)] = b
		return name, err
	}
	config.UnwrapSession = func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
		if b := n.sessions[string(ticket)]; b != nil {
			return tls.ParseSessionState(b)
		}
		return nil, nil
	}
}

// stdSide is what crypto/tls has in the role of the victim.
type stdSide struct {
	config  *tls.Config
	tickets names
	cache   *kept
}

// kept is a cache that counts what it was given.
type kept struct {
	tls.ClientSessionCache
	n int
}

func (k *kept) Put(key string, session *tls.ClientSessionState) {
	if session != nil {
		k.n++
	}
	k.ClientSessionCache.Put(key, session)
}

// earlier makes the connection that the one of the trial resumes.
func (tr trial) earlier(t *testing.T, x *attack, std *stdSide) {
	t.Helper()
	x.stage.connect()
	if std != nil {
		std.tickets.length = len(seen(t, x.stage.sessions.takeAll(t)).Ticket)
		tr.meetStd(t, x, std)
	}
	if std != nil && tr.victim == "client" {
		return
	}
	session := x.stage.sessions.takeAll(t)
	session = edited(t, session, func(s *machine.Session) {
		s.MaxEarlyData = 0
		if tr.early && std == nil {
			s.MaxEarlyData = 1000
		}
	})
	x.stage.sessions.put(t, session)
	x.session = seen(t, session)
}

// meetStd makes a connection between crypto/tls and the adversary, who keeps
// the rules.
func (tr trial) meetStd(t *testing.T, x *attack, std *stdSide) {
	t.Helper()
	m := x.stage.meet()
	adversary, parting := m.other(m.side(tr.victim)), false
	conn := std.conn(tr.victim, &counterpart{hear: func(b []byte) { adversary.give(b) }, say: func() []byte {
		adversary.turns()
		if !parting && !adversary.conn.IsHandshaking() {
			parting = true
			adversary.write([]byte("data"))
			adversary.close()
		}
		return adversary.take()
	}})
	if b, err := io.ReadAll(conn); err != nil || string(b) != "data" {
		t.Fatalf("crypto/tls does not come through the earlier connection: %q, %v, %v", b, err, adversary.err)
	}
	adversary.turns() // there may be a ticket
}

// conn is a connection in that role.
func (s *stdSide) conn(role string, transport *counterpart) *tls.Conn {
	if role == "client" {
		return tls.Client(transport, s.config)
	}
	return tls.Server(transport, s.config)
}

// hurry lets a client send early data as soon as it may.
func (s *side) hurry() {
	s.on = func(state baretls.State) bool {
		transmit, ok := state.(baretls.TransmitTLSData)
		if w, may := transmit.MayEncryptEarlyData(); ok && may {
			s.on = nil
			s.encryptEarly(w, []byte("early "))
			s.encryptEarly(w, []byte("data"))
		}
		return false
	}
}

// tickets is how many there are for a client, who keeps them.
func (tr trial) tickets() int {
	switch {
	case tr.version == tls12 && (tr.talks || tr.resumed), tr.resumed:
		return 1
	case tr.talks:
		return 2
	}
	return 0
}

// turnsOf lets a side take its turns; a server may get early data.
func (x *attack) turnsOf(s *side) {
	x.t.Helper()
	if s == x.server {
		x.serverTurns()
	} else {
		s.turns()
	}
}

// talk is what the adversary says in TLS 1.3 when the handshake is over.
func (x *attack) talk() []unit {
	list := []unit{
		someData("data"), aMessage(keyUpdate(0)), someData("more "), aMessage(keyUpdate(1)), someData("data"), anAlert(1, 0),
	}
	for i := range list {
		list[i].keys = x.last()
		if list[i].typ == handshake {
			list[i].name, list[i].rekeys = "KeyUpdate", true
		}
	}
	return list
}

// plain is what the adversary says, apart from what only the versions of ours
// know and what has to do with early data.
func (tr trial) plain(name string, m []byte, std bool) []byte {
	switch {
	case name == "EncryptedExtensions":
		return withBlock(m, func([]byte) []byte {
			switch code := uint16(extUnassigned); {
			case !tr.early || !tr.accepted:
				return nil
			case !std:
				code = extEarlyData
				fallthrough
			default:
				return append(binary.BigEndian.AppendUint16(nil, code), 0, 0)
			}
		})
	case name == "ServerHello" && tr.version == tls12:
		_, ticket := extension(m, extSessionTicket)
		return withExtensions(m, func([]extension12) []extension12 {
			list := []extension12{{extExtendedMainSecret, nil}, {extRenegotiationInfo, []byte{0}}}
			if ticket {
				list = append(list, extension12{extSessionTicket, nil})
			}
			return list
		})
	case name == "ClientHello" && tr.early && std:
		return withExtensions(m, func(list []extension12) []extension12 {
			sct := slices.IndexFunc(list, func(e extension12) bool { return e.code == extSCT })
			return slices.Insert(list, sct+1, extension12{extUnassigned, nil})
		})
	}
	return m
}

// hear gives the adversary what the victim says.
func (x *attack) hear(b []byte) {
	if len(b) >= 5+38 && b[0] == handshake && b[5] == msgServerHello && [32]byte(b[5+6:]) == wire.RetryRandom {
		x.request = bytes.Clone(records(x.t, b)[0][5:])
	}
	x.adversary.give(b)
}

// bound computes the binders of the adversary's session, wherever it stands
// among the PSKs.
func (x *attack) bound(m []byte) []byte {
	var h wire.ClientHello
	if x.session == nil || m[0] != msgClientHello || h.Parse(m[4:]) != nil || !h.Has.Has(wire.ExtPreSharedKey) {
		return m
	}
	truncated := m[:len(m)-h.BindersLen]
	said := truncated
	if x.request != nil {
		first := sha256.Sum256(x.firstHello)
		said = slices.Concat(message12(254, first[:]), x.request, truncated)
	}
	var binders [][]byte
	for binder := range h.PreSharedKey.Binders.All() {
		binders = append(binders, binder)
	}
	i := 0
	for identity := range h.PreSharedKey.Identities.All() {
		if i < len(binders) && bytes.Equal(identity, x.session.Ticket) && len(binders[i]) == 32 {
			copy(binders[i], binderOf(x.session.PSK, said))
		}
		i++
	}
	return m
}

// otherPSKs changes what a hello says of PSKs; the binders follow.
func otherPSKs(m []byte, n int, a, b byte) []byte {
	var h wire.ClientHello
	if m[0] != msgClientHello || h.Parse(m[4:]) != nil || !h.Has.Has(wire.ExtPreSharedKey) {
		return m
	}
	type psk struct {
		identity []byte
		age      uint32
	}
	var list []psk
	for identity, age := range h.PreSharedKey.Identities.All() {
		list = append(list, psk{identity, age})
	}
	junk := psk{bytes.Repeat([]byte{a}, n%64+1), uint32(n)}
	modes, length, more := []byte{1}, 32, 0
	last, twice := true, false
	switch b % 16 {
	case 0:
		list[0].age ^= uint32(a) << (n % 25)
	case 1:
		list = append(list, list[0])
	case 2:
		list = slices.Insert(list, 0, junk)
	case 3:
		list = append(list, junk)
	case 4:
		list[0].identity = bytes.Clone(list[0].identity)
		list[0].identity[n%len(list[0].identity)] ^= a
	case 5:
		list[0].identity = junk.identity
	case 6:
		list = slices.Insert(list, 0, slices.Repeat([]psk{junk}, int(a%8))...)
	case 7:
		length = 32 + int(a%32)
	case 8:
		length = int(a % 33)
	case 9:
		more = 1
	case 10:
		more = -1
	case 11:
		modes = []byte{a % 3}
	case 12:
		modes = bytes.Repeat([]byte{0, 1, a}, n%3)
	case 13:
		last = false
	case 14:
		twice = true
	case 15:
		list = nil
	}
	var identities, binders []byte
	for _, p := range list {
		identities = binary.BigEndian.AppendUint32(append(identities, vector16(p.identity)...), p.age)
	}
	for range len(list) + more {
		binders = append(binders, vector8(bytes.Repeat([]byte{a}, length))...)
	}
	body := slices.Concat(vector16(identities), vector16(binders))
	return withExtensions(m, func(list []extension12) []extension12 {
		for i := range list {
			switch list[i].code {
			case extPSK:
				list[i].body = body
			case extPSKModes:
				list[i].body = vector8(modes)
			}
		}
		end := list[len(list)-1]
		if twice {
			list = append(list, end)
		}
		if !last {
			list = slices.Insert(list[:len(list)-1], n%len(list), end)
		}
		return list
	})
}
