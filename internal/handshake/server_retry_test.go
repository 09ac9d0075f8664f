package handshake

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

func TestSecondHellosThatAreRefused(t *testing.T) {
	edit := editClientHello
	var first []byte
	for _, row := range []struct {
		story string
		edit  func([]byte) []byte
		want  fault.Alert
	}{
		{"another random", edit(func(h *wire.ClientHello) { h.Random = make([]byte, 32) }), fault.IllegalParameterAlert},
		{"another session ID", edit(func(h *wire.ClientHello) { h.SessionID = make([]byte, 32) }), fault.IllegalParameterAlert},
		{"no session ID", edit(func(h *wire.ClientHello) { h.SessionID = nil }), fault.IllegalParameterAlert},
		{"another order of cipher suites", edit(func(h *wire.ClientHello) {
			h.CipherSuites = append(h.CipherSuites[2:4:4], append(h.CipherSuites[:2:2], h.CipherSuites[4:]...)...)
		}), fault.IllegalParameterAlert},
		{"a cipher suite less", edit(func(h *wire.ClientHello) { h.CipherSuites = h.CipherSuites[2:] }), fault.IllegalParameterAlert},
		{"another server_name", edit(func(h *wire.ClientHello) { h.ServerName = []byte("example.net") }), fault.IllegalParameterAlert},
		{"no server_name", without(wire.ExtServerName), fault.IllegalParameterAlert},
		{"other groups", edit(func(h *wire.ClientHello) { h.SupportedGroups = wire.AppendUint16s(nil, tls.CurveP384) }), fault.IllegalParameterAlert},
		{"a signature scheme less", edit(func(h *wire.ClientHello) { h.SignatureAlgorithms = h.SignatureAlgorithms[2:] }), fault.IllegalParameterAlert},
		{"a version more", edit(func(h *wire.ClientHello) {
			h.SupportedVersions = wire.AppendUint16s(h.SupportedVersions[:2:2], uint16(tls.VersionTLS12))
		}), fault.IllegalParameterAlert},
		{"an extension more", addToHello(0x0a0a), fault.IllegalParameterAlert},
		{"an extension less", without(wire.ExtSCT), fault.IllegalParameterAlert},
		{"legacy_version 3.4", edit(func(h *wire.ClientHello) { h.LegacyVersion = 0x0304 }), fault.ProtocolVersionAlert},
		{"compression", edit(func(h *wire.ClientHello) { h.CompressionMethods = []byte{0, 1} }), fault.IllegalParameterAlert},
		{"early_data", addToHello(42), fault.IllegalParameterAlert},
		{"early_data and a PSK", edit(func(h *wire.ClientHello) {
			h.Has = h.Has.With(wire.ExtEarlyData).With(wire.ExtPreSharedKey).With(wire.ExtPSKKeyExchangeModes)
			h.PSKKeyExchangeModes = []byte{1}
			h.PreSharedKey = wire.OfferedPSKs{Identities: wire.AppendPSKIdentity(nil, []byte("id"), 0), Binders: wire.AppendPSKBinder(nil, make([]byte, 32))}
		}), fault.IllegalParameterAlert},
		{"a cookie that nobody sent", edit(func(h *wire.ClientHello) { h.Has, h.Cookie = h.Has.With(wire.ExtCookie), []byte("cookie") }), fault.IllegalParameterAlert},
		{"no shares", edit(func(h *wire.ClientHello) { h.KeyShares = nil }), fault.IllegalParameterAlert},
		{"a share more", edit(func(h *wire.ClientHello) {
			h.KeyShares = wire.AppendKeyShare(bytes.Clone(h.KeyShares), uint16(tls.X25519), bytes.Repeat([]byte{9}, 32))
		}), fault.IllegalParameterAlert},
		{"the shares of the first", func([]byte) []byte { return first }, fault.IllegalParameterAlert},
		{"nothing in it", instead(withBody(wire.TypeClientHello)), fault.DecodeErrorAlert},
	} {
		p := newRetryPair(t)
		p.clientDoors[kind(wire.TypeClientHello)] = func(m []byte) []byte {
			if p.client.Facts.Kind == KindUnknown {
				first = bytes.Clone(m)
			}
			return m
		}
		p.serverGets(2, row.edit)
		if p.server.Facts.Kind != KindFullWithRetry {
			t.Fatalf("%s: there was no retry", row.story)
		}
		expectAlert(t, p.s.err, row.want, "a second ClientHello with %s", row.story)
	}
}

// "early_data" goes with the first hello only: Section 4.3.10. All that it
// needs is in both hellos here.
func TestEarlyDataAfterARetryIsRefused(t *testing.T) {
	p := newRetryPair(t)
	p.clientDoors[kind(wire.TypeClientHello)] = editClientHello(func(h *wire.ClientHello) {
		h.Has, h.PSKKeyExchangeModes = h.Has.With(wire.ExtPSKKeyExchangeModes), []byte{1}
	})
	p.serverGets(2, func(m []byte) []byte {
		psk := append([]byte{0, 8, 0, 2, 'i', 'd', 0, 0, 0, 0, 0, 33, 32}, make([]byte, 32)...)
		return addToHello(41, psk...)(addToHello(42)(m))
	})
	expectReason(t, p.s.err, fault.HelloChanged, "early_data in a second hello")
	expectAlert(t, p.s.err, fault.IllegalParameterAlert, "early_data in a second hello")
	if !strings.Contains(p.s.err.Error(), "early_data") {
		t.Errorf("early_data in a second hello is refused for something else: %v", p.s.err)
	}
}

// mayChange are the extensions that Section 4.2.2 lets a second hello change,
// and the only ones.
var mayChange = map[uint16]bool{
	wire.ExtKeyShare.Code(): true, wire.ExtEarlyData.Code(): true, wire.ExtCookie.Code(): true,
	wire.ExtPreSharedKey.Code(): true, wire.ExtPadding.Code(): true,
}

// fullHello is a ClientHello with something in every place.
func fullHello(t *testing.T) []byte {
	t.Helper()
	p := newPair(t)
	p.clientPolicy.Protocols = []string{"h2", "http/1.1"}
	p.start()
	h := p.client.hello
	h.Has |= wire.Extensions(wire.ExtCookie, wire.ExtPSKKeyExchangeModes, wire.ExtSignatureAlgorithmsCert, wire.ExtRecordSizeLimit)
	h.Cookie, h.PSKKeyExchangeModes, h.RecordSizeLimit = []byte("cookie"), []byte{1, 0}, 1000
	h.SignatureAlgorithmsCert = h.SignatureAlgorithms
	h.KeyShares = wire.AppendKeyShare(nil, uint16(tls.X25519), bytes.Repeat([]byte{9}, 32))
	return addToHello(0x0a0a, 1, 2, 3)(addToHello(wire.ExtPadding.Code(), make([]byte, 20)...)(h.Append(nil)))
}

func invariantOf(t *testing.T, m []byte) ([32]byte, error) {
	t.Helper()
	var h wire.ClientHello
	if err := h.Parse(m[wire.HeaderLen:]); err != nil {
		return [32]byte{}, err
	}
	return invariant(&h), nil
}

// Each bit of a hello is either one that may change, or its change is seen.
func TestEveryBitThatMustNotChangeIsCovered(t *testing.T) {
	hello := fullHello(t)
	want, err := invariantOf(t, hello)
	if err != nil {
		t.Fatal(err)
	}
	free := make([]bool, len(hello))
	at := blockOf(hello) + 2
	seen := 0
	for code, raw := range wire.RawExtensions(hello[at:]) {
		if mayChange[code] {
			seen++
			for i := at + 4; i < at+len(raw); i++ { // the body; not its type and length
				free[i] = true
			}
		}
		at += len(raw)
	}
	if seen != 3 {
		t.Fatalf("the hello has %d extensions that may change, want key_share, cookie and padding", seen)
	}
	covered, changed := 0, 0
	for bit := range 8 * (len(hello) - wire.HeaderLen) {
		i := wire.HeaderLen + bit/8
		m := bytes.Clone(hello)
		m[i] ^= 1 << (bit % 8)
		got, err := invariantOf(t, m)
		switch {
		case err != nil: // it is no hello any more
		case free[i] && got != want:
			t.Errorf("bit %d of byte %d may change, and is covered", bit%8, i)
		case !free[i] && got == want:
			t.Errorf("bit %d of byte %d must not change, and is not covered", bit%8, i)
		case free[i]:
			changed++
		default:
			covered++
		}
	}
	if covered < 1000 || changed < 200 {
		t.Errorf("only %d bits that must not change and %d that may were tried", covered, changed)
	}
}

func TestWhatAnswersARetryMayComeAndGo(t *testing.T) {
	hello := fullHello(t)
	want, err := invariantOf(t, hello)
	if err != nil {
		t.Fatal(err)
	}
	drop := func(code uint16) func([]byte) []byte {
		return func(m []byte) []byte {
			block := blockOf(m)
			kept := bytes.Clone(m[:block+2])
			for c, raw := range wire.RawExtensions(m[block+2:]) {
				if c != code {
					kept = append(kept, raw...)
				}
			}
			n := len(kept) - block - 2
			kept[block], kept[block+1] = byte(n>>8), byte(n)
			return wire.End(kept, 0)
		}
	}
	for _, row := range []struct {
		story string
		edit  func([]byte) []byte
		same  bool
	}{
		{"the cookie goes", drop(44), true},
		{"the padding goes", drop(21), true},
		{"early_data comes", addToHello(42), true},
		{"pre_shared_key comes", addToHello(41, append([]byte{0, 8, 0, 2, 'i', 'd', 0, 0, 0, 0, 0, 33, 32}, make([]byte, 32)...)...), true},
		{"key_share goes", drop(51), true},
		{"an unknown extension goes", drop(0x0a0a), false},
		{"an unknown extension comes", addToHello(0x1a1a), false},
		{"psk_key_exchange_modes goes", drop(45), false},
		{"ALPN goes", drop(16), false},
		{"server_name goes", drop(0), false},
		{"an extension moves to the end", func(m []byte) []byte { return addToHello(18)(drop(18)(m)) }, false},
	} {
		got, err := invariantOf(t, row.edit(bytes.Clone(hello)))
		if err != nil || (got == want) != row.same {
			t.Errorf("if %s: the hello counts as the same is %v, want %v; %v", row.story, got == want, row.same, err)
		}
	}
}

// Fields are kept apart: what moves from one to the next is a change.
func TestTheInvariantKnowsWhereFieldsEnd(t *testing.T) {
	a := wire.ClientHello{Random: make([]byte, 32), SessionID: []byte{0, 0}, CipherSuites: wire.Uint16s{0x13, 1}, CompressionMethods: []byte{0}}
	b := a
	b.SessionID, b.CipherSuites = nil, wire.Uint16s{0, 2, 0, 0, 0x13, 1}
	if invariant(&a) == invariant(&b) {
		t.Error("bytes that move from the session ID to the cipher suites are not seen")
	}
}

var cookieKey = bytes.Repeat([]byte{7}, 32)

// newCookiePair is a pair whose server keeps no state until the second hello.
func newCookiePair(t testing.TB) *pair {
	t.Helper()
	p := newPair(t)
	p.serverPolicy.CookieKey = cookieKey
	return p
}

// anew makes the server that gets the second hello another one, which knows
// nothing but the policy.
func (p *pair) anew(edit func([]byte) []byte) {
	p.serverGets(2, func(m []byte) []byte {
		p.server = Server{}
		p.server.Init(&p.serverPolicy)
		if !p.server.TakesCCS() {
			p.t.Error("a stateless server does not take the change_cipher_spec in front of a second hello")
		}
		return edit(m)
	})
}

func unchanged(m []byte) []byte { return m }

func TestAnyServerWithTheKeyTakesTheSecondHello(t *testing.T) {
	for _, suite := range suitesOf(tls.VersionTLS13) {
		for _, group := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP384} {
			for _, again := range []bool{false, true} {
				p := newCookiePair(t)
				p.serverPolicy.Suites, p.serverPolicy.Groups = suites(suite), groups(group)
				if again {
					p.anew(unchanged)
				} else {
					p.run()
				}
				if p.c.err != nil || p.s.err != nil || !p.client.Complete || !p.server.Complete {
					t.Errorf("%#04x, %v, another server %v: the handshake fails: %v, %v", suite, group, again, p.c.err, p.s.err)
					continue
				}
				p.works()
				if p.c.ccs != 1 || p.s.ccs != 1 {
					t.Errorf("%#04x, %v, another server %v: %d and %d change_cipher_spec come, want one each", suite, group, again, p.c.ccs, p.s.ccs)
				}
				for _, f := range []Facts{p.client.Facts, p.server.Facts} {
					if f.Kind != KindFullWithRetry || f.Group != group || f.Suite != suite {
						t.Errorf("%#04x, %v, another server %v: it is thought to be %#04x, %v, kind %d", suite, group, again, f.Suite, f.Group, f.Kind)
					}
				}
			}
		}
	}
}

func TestCookiesThatAreRefused(t *testing.T) {
	cookie := func(edit func(c []byte) []byte) func([]byte) []byte {
		return editClientHello(func(h *wire.ClientHello) { h.Cookie = edit(bytes.Clone(h.Cookie)) })
	}
	for _, again := range []bool{false, true} {
		refused := func(story string, edit func([]byte) []byte) {
			t.Helper()
			p := newCookiePair(t)
			if again {
				p.anew(edit)
			} else {
				p.serverGets(2, edit)
			}
			expectReason(t, p.s.err, fault.HelloChanged, "another server %v: %s", again, story)
			expectAlert(t, p.s.err, fault.IllegalParameterAlert, "another server %v: %s", again, story)
		}
		refused("another random beside the cookie", editClientHello(func(h *wire.ClientHello) { h.Random = make([]byte, 32) }))
		refused("another name beside the cookie", editClientHello(func(h *wire.ClientHello) { h.ServerName = []byte("example.net") }))
		refused("a cookie of one byte", cookie(func([]byte) []byte { return []byte{1} }))
		refused("a cookie that is cut", cookie(func(c []byte) []byte { return c[:len(c)-1] }))
		refused("a cookie that is cut in front", cookie(func(c []byte) []byte { return c[1:] }))
		refused("a cookie with a byte more", cookie(func(c []byte) []byte { return append(c, 0) }))
		refused("a MAC of nothing", cookie(func([]byte) []byte { return cookieMAC(cookieKey, nil) }))
		refused("a cookie under another key", func(m []byte) []byte {
			return cookie(func(c []byte) []byte {
				content := c[:len(c)-32]
				return append(content, cookieMAC(bytes.Repeat([]byte{8}, 32), content)...)
			})(m)
		})
	}

	// Without a cookie the hello is a first one to another server, and a
	// change to this one.
	p := newCookiePair(t)
	p.serverGets(2, without(wire.ExtCookie))
	expectReason(t, p.s.err, fault.HelloChanged, "a second hello without the cookie")
}

func TestEveryBitOfACookieIsAuthentic(t *testing.T) {
	var digest [32]byte
	c := cookieOf(algo.SuiteByID(tls.TLS_AES_128_GCM_SHA256), nil, make([]byte, 32), digest)
	if _, ok := openCookie(cookieKey, c, time.Now()); !ok {
		t.Fatal("a cookie does not open")
	}
	for bit := range 8 * len(c) {
		flipped := bytes.Clone(c)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, ok := openCookie(cookieKey, flipped, time.Now()); ok {
			t.Errorf("a cookie with bit %d flipped opens", bit)
		}
	}
	for n := range len(c) {
		if _, ok := openCookie(cookieKey, c[:n], time.Now()); ok {
			t.Errorf("a cookie that is cut to %d bytes opens", n)
		}
	}
}

// A cookie of our own making is not good for everything.
func TestCookiesThatAreOursButDoNotFit(t *testing.T) {
	aes128, aes256 := algo.SuiteByID(tls.TLS_AES_128_GCM_SHA256), algo.SuiteByID(tls.TLS_AES_256_GCM_SHA384)
	chacha := algo.SuiteByID(tls.TLS_CHACHA20_POLY1305_SHA256)
	p384 := algo.GroupByID(tls.CurveP384)
	for _, row := range []struct {
		story string
		make  func(h *wire.ClientHello) []byte
	}{
		{"of another suite", func(h *wire.ClientHello) []byte {
			return cookieOf(chacha, nil, make([]byte, 32), invariant(h))
		}},
		{"of a suite with a longer hash", func(h *wire.ClientHello) []byte {
			return cookieOf(aes256, nil, make([]byte, 48), invariant(h))
		}},
		{"with a hash that is too long", func(h *wire.ClientHello) []byte {
			return cookieOf(aes128, nil, make([]byte, 48), invariant(h))
		}},
		{"with a hash that is too short", func(h *wire.ClientHello) []byte {
			return cookieOf(aes128, nil, make([]byte, 31), invariant(h))
		}},
		{"of another hello", func(h *wire.ClientHello) []byte {
			return cookieOf(aes128, nil, make([]byte, 32), [32]byte{1})
		}},
		{"that asks for a share which is not there", func(h *wire.ClientHello) []byte {
			return cookieOf(aes128, p384, make([]byte, 32), invariant(h))
		}},
	} {
		p := newCookiePair(t)
		p.anew(editClientHello(func(h *wire.ClientHello) { h.Cookie = row.make(h) }))
		expectReason(t, p.s.err, fault.HelloChanged, "a cookie %s", row.story)
	}

	// One that asks for no share goes with the share of the first hello.
	p := newCookiePair(t)
	p.anew(editClientHello(func(h *wire.ClientHello) { h.KeyShares = nil }))
	expectReason(t, p.s.err, fault.HelloChanged, "a second hello without the share of the first")

	// The hash of the first hello goes into the transcript, so that a wrong
	// one ends in Finished at the latest.
	p = newCookiePair(t)
	p.anew(editClientHello(func(h *wire.ClientHello) {
		h.Cookie = cookieOf(aes128, nil, make([]byte, 32), invariant(h))
	}))
	if p.c.err == nil || p.server.Complete {
		t.Error("a cookie with a wrong hash of the first hello leads through a handshake")
	}
}

// cookieOf is a cookie for a first hello without PSKs.
func cookieOf(suite *algo.Suite, group *algo.Group, helloHash []byte, invariant [32]byte) []byte {
	c := cookie{issued: time.Now().UnixMilli(), suite: suite.ID, invariant: invariant, helloHash: helloHash}
	if group != nil {
		c.group = group.ID
	}
	return appendCookie(nil, cookieKey, c)
}
