package handshake

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// newRetryPair is a pair whose server asks for a share of P-384.
func newRetryPair(t testing.TB) *pair {
	t.Helper()
	p := newPair(t)
	p.serverPolicy.Groups = groups(tls.CurveP384)
	return p
}

func TestHelloRetryRequestsThatAreRefused(t *testing.T) {
	edit := editServerHello
	add := func(code uint16, body ...byte) func([]byte) []byte {
		return func(m []byte) []byte { return addExtension(m, blockOf(m), code, body...) }
	}
	group := func(id tls.CurveID) func([]byte) []byte {
		return edit(func(h *wire.ServerHello) { h.KeyShareGroup = uint16(id) })
	}
	for _, row := range []struct {
		story string
		door  func([]byte) []byte
		want  fault.Alert
	}{
		{"neither key_share nor cookie", edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtKeyShare) }), fault.IllegalParameterAlert},
		{"the group of the first share", group(tls.X25519MLKEM768), fault.IllegalParameterAlert},
		{"the group of the second share", group(tls.X25519), fault.IllegalParameterAlert},
		{"a group that nobody knows", group(0x0a0a), fault.IllegalParameterAlert},
		{"a group that was not offered", group(tls.CurveP521), fault.IllegalParameterAlert},
		{"a whole share", add(51, 0, 24, 0, 1, 1), fault.IllegalParameterAlert}, // twice, too
		{"legacy_version 3.4", edit(func(h *wire.ServerHello) { h.LegacyVersion = 0x0304 }), fault.ProtocolVersionAlert},
		{"selected_version TLS 1.2", edit(func(h *wire.ServerHello) { h.SupportedVersion = tls.VersionTLS12 }), fault.IllegalParameterAlert},
		{"no supported_versions", edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtSupportedVersions) }), fault.ProtocolVersionAlert},
		{"another session ID", edit(func(h *wire.ServerHello) { h.SessionID = make([]byte, 32) }), fault.IllegalParameterAlert},
		{"a cipher suite that was not offered", edit(func(h *wire.ServerHello) { h.CipherSuite = tls.TLS_CHACHA20_POLY1305_SHA256 }), fault.IllegalParameterAlert},
		{"compression", edit(func(h *wire.ServerHello) { h.CompressionMethod = 1 }), fault.IllegalParameterAlert},
		{"an unknown extension", add(0x0a0a), fault.UnsupportedExtensionAlert},
		{"ALPN, which belongs elsewhere", add(16, 0, 3, 2, 'h', '2'), fault.IllegalParameterAlert},
		{"pre_shared_key, which belongs elsewhere", add(41, 0, 0), fault.IllegalParameterAlert},
		{"an empty cookie", add(44, 0, 0), fault.DecodeErrorAlert},
		{"two cookies", func(m []byte) []byte { return add(44, 0, 1, 1)(add(44, 0, 1, 2)(m)) }, fault.IllegalParameterAlert},
		{"a cookie that no hello has room for", func(m []byte) []byte {
			return add(44, append([]byte{0xff, 0xe0}, make([]byte, 0xffe0)...)...)(m)
		}, fault.IllegalParameterAlert},
		{"a byte behind its end", func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
	} {
		p := newRetryPair(t)
		p.clientPolicy.Suites = suites(tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384)
		p.clientPolicy.Groups = groups(tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384)
		p.clientPolicy.MaxMessage = 1 << 17
		p.serverDoors[helloRetryRequest] = row.door
		p.run()
		expectAlert(t, p.c.err, row.want, "a HelloRetryRequest with %s", row.story)
	}
}

func TestASecondHelloRetryRequestIsUnexpected(t *testing.T) {
	var retry []byte
	p := newRetryPair(t)
	p.serverDoors[helloRetryRequest] = func(m []byte) []byte {
		retry = bytes.Clone(m)
		return m
	}
	p.serverDoors[kind(wire.TypeServerHello)] = func([]byte) []byte { return retry }
	p.run()
	expectAlert(t, p.c.err, fault.UnexpectedMessageAlert, "a second HelloRetryRequest")
}

// Suite, version and group are those of the retry: RFC 9846, Sections 4.2.4 and
// 4.3.8.
func TestServerHellosAfterARetryThatAreRefused(t *testing.T) {
	edit := editServerHello
	for _, row := range []struct {
		story string
		door  func([]byte) []byte
		want  fault.Alert
	}{
		{"another cipher suite, which was offered", edit(func(h *wire.ServerHello) { h.CipherSuite = tls.TLS_CHACHA20_POLY1305_SHA256 }), fault.IllegalParameterAlert},
		{"a cipher suite of another hash", edit(func(h *wire.ServerHello) { h.CipherSuite = tls.TLS_AES_256_GCM_SHA384 }), fault.IllegalParameterAlert},
		{"another version", edit(func(h *wire.ServerHello) { h.SupportedVersion = tls.VersionTLS12 }), fault.IllegalParameterAlert},
		{"no version", edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtSupportedVersions) }), fault.IllegalParameterAlert},
		{"another session ID", edit(func(h *wire.ServerHello) { h.SessionID = make([]byte, 32) }), fault.IllegalParameterAlert},
		{"a share of a group that was in the first hello only", edit(func(h *wire.ServerHello) {
			h.KeyShareGroup, h.KeyShare = uint16(tls.X25519), bytes.Repeat([]byte{9}, 32)
		}), fault.IllegalParameterAlert},
		{"no share", edit(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtKeyShare) }), fault.MissingExtensionAlert},
		{"a point that is not on the curve", edit(func(h *wire.ServerHello) { h.KeyShare = append([]byte{4}, make([]byte, 96)...) }), fault.IllegalParameterAlert},
		{"a compressed point", edit(func(h *wire.ServerHello) { h.KeyShare = append([]byte{2 + h.KeyShare[96]&1}, h.KeyShare[1:49]...) }), fault.IllegalParameterAlert},
	} {
		p := newRetryPair(t)
		p.serverDoors[kind(wire.TypeServerHello)] = row.door
		p.run()
		if p.client.Facts.Kind != KindFullWithRetry {
			t.Fatalf("%s: there was no retry", row.story)
		}
		expectAlert(t, p.c.err, row.want, "a ServerHello after a retry with %s", row.story)
	}
}

// "the client MUST send the same ClientHello without modification, except" for
// the share that was asked for and the cookie: RFC 9846, Section 4.2.2.
func TestTheSecondHelloIsTheFirstButForWhatWasAskedFor(t *testing.T) {
	for _, row := range []struct {
		story   string
		door    func([]byte) []byte // of the HelloRetryRequest
		group   tls.CurveID         // of the one share; 0: the shares stay
		cookie  string
		changed []uint16 // the extensions that differ
	}{
		{"a group is asked for", func(m []byte) []byte { return m }, tls.CurveP384, "", []uint16{51}},
		{"a cookie comes", func(m []byte) []byte {
			m = editServerHello(func(h *wire.ServerHello) { h.Has = h.Has.Without(wire.ExtKeyShare) })(m)
			return addExtension(m, blockOf(m), 44, 0, 3, 'c', 'o', 'o')
		}, 0, "coo", []uint16{44}},
		{"both", func(m []byte) []byte {
			return addExtension(m, blockOf(m), 44, 0, 3, 'c', 'o', 'o')
		}, tls.CurveP384, "coo", []uint16{44, 51}},
	} {
		var hellos []wire.ClientHello
		p := newRetryPair(t)
		p.clientPolicy.Protocols = []string{"h2"}
		p.serverDoors[helloRetryRequest] = row.door
		p.tap = func(to *side, m []byte) []byte {
			if to == p.s && classify(m).kind == kind(wire.TypeClientHello) {
				var h wire.ClientHello
				must(h.Parse(bytes.Clone(m)[wire.HeaderLen:]))
				hellos = append(hellos, h)
			}
			return m
		}
		p.run() // a server of ours refuses a cookie that is not its own
		if len(hellos) != 2 {
			t.Fatalf("when %s there are %d hellos, want 2: %v", row.story, len(hellos), p.c.err)
		}
		first, second := &hellos[0], &hellos[1]
		if !bytes.Equal(first.Random, second.Random) || !bytes.Equal(first.SessionID, second.SessionID) ||
			!bytes.Equal(first.CipherSuites, second.CipherSuites) || first.LegacyVersion != second.LegacyVersion ||
			!bytes.Equal(first.CompressionMethods, second.CompressionMethods) {
			t.Errorf("when %s a fixed field changes", row.story)
		}
		if changed := differing(first.Extensions, second.Extensions); !slices.Equal(changed, row.changed) {
			t.Errorf("when %s the extensions %v change, want %v", row.story, changed, row.changed)
		}
		if string(second.Cookie) != row.cookie {
			t.Errorf("when %s the cookie is %q", row.story, second.Cookie)
		}
		var ids []tls.CurveID
		for id := range second.KeyShares.All() {
			ids = append(ids, tls.CurveID(id))
		}
		want := []tls.CurveID{row.group}
		if row.group == 0 {
			want = []tls.CurveID{tls.X25519MLKEM768, tls.X25519}
		}
		if !slices.Equal(ids, want) {
			t.Errorf("when %s the shares are of %v, want %v", row.story, ids, want)
		}
	}
}

// differing lists the extensions that two blocks do not have in common, sorted.
func differing(a, b []byte) (codes []uint16) {
	seen := map[uint16]string{}
	for code, raw := range wire.RawExtensions(a) {
		seen[code] = string(raw)
	}
	for code, raw := range wire.RawExtensions(b) {
		if seen[code] != string(raw) {
			codes = append(codes, code)
		}
		delete(seen, code)
	}
	for code := range seen {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}

func TestTheClientOffersAHybridAndItsHalf(t *testing.T) {
	for _, row := range []struct {
		groups, shares []tls.CurveID
	}{
		{[]tls.CurveID{tls.X25519MLKEM768, tls.X25519}, []tls.CurveID{tls.X25519MLKEM768, tls.X25519}},
		{[]tls.CurveID{tls.X25519MLKEM768, tls.CurveP256}, []tls.CurveID{tls.X25519MLKEM768}},
		{[]tls.CurveID{tls.SecP256r1MLKEM768, tls.X25519, tls.CurveP256}, []tls.CurveID{tls.SecP256r1MLKEM768, tls.CurveP256}},
		{[]tls.CurveID{tls.CurveP384, tls.X25519}, []tls.CurveID{tls.CurveP384}},
	} {
		p := newPair(t)
		p.clientPolicy.Groups = groups(row.groups...)
		p.start()
		var ids []tls.CurveID
		for id := range p.client.hello.KeyShares.All() {
			ids = append(ids, tls.CurveID(id))
		}
		if !slices.Equal(ids, row.shares) {
			t.Errorf("with groups %v the shares are of %v, want %v", row.groups, ids, row.shares)
		}
		// Whichever of them the server prefers, it is agreed on at once.
		for _, id := range ids {
			p := newPair(t)
			p.clientPolicy.Groups = groups(row.groups...)
			p.serverPolicy.Groups = groups(id)
			p.complete()
			p.works()
			if f := p.client.Facts; f.Group != id || f.Kind != KindFull {
				t.Errorf("a server with %v leads to %v and kind %d", id, f.Group, f.Kind)
			}
		}
	}
}
