package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// serverGets runs a handshake in which the server gets another hello than the
// client sent, the nth of them.
func (p *pair) serverGets(n int, edit func([]byte) []byte) {
	p.tap = func(to *side, m []byte) []byte {
		if to == p.s && classify(m).kind == kind(wire.TypeClientHello) {
			if n--; n == 0 {
				return edit(bytes.Clone(m))
			}
		}
		return m
	}
	p.run()
}

func addToHello(code uint16, body ...byte) func([]byte) []byte {
	return func(m []byte) []byte { return addExtension(m, blockOf(m), code, body...) }
}

func without(e ...wire.Extension) func([]byte) []byte {
	return editClientHello(func(h *wire.ClientHello) {
		for _, e := range e {
			h.Has = h.Has.Without(e)
		}
	})
}

func TestClientHellosThatAreRefused(t *testing.T) {
	edit := editClientHello
	x25519 := bytes.Repeat([]byte{9}, 32)
	// share makes the hello one with this share and for this group only.
	share := func(id tls.CurveID, key []byte) func([]byte) []byte {
		return edit(func(h *wire.ClientHello) {
			h.SupportedGroups = wire.AppendUint16s(nil, id)
			h.KeyShares = wire.AppendKeyShare(nil, uint16(id), key)
		})
	}
	for _, row := range []struct {
		story string
		edit  func([]byte) []byte
		want  fault.Alert
	}{
		{"no supported_versions", without(wire.ExtSupportedVersions), fault.ProtocolVersionAlert},
		{"supported_versions without TLS 1.3", edit(func(h *wire.ClientHello) { h.SupportedVersions = wire.AppendUint16s(nil, uint16(tls.VersionTLS12)) }), fault.ProtocolVersionAlert},
		{"supported_versions with a draft", edit(func(h *wire.ClientHello) { h.SupportedVersions = wire.AppendUint16s(nil, uint16(0x7f1c)) }), fault.ProtocolVersionAlert},
		{"legacy_version 3.1", edit(func(h *wire.ClientHello) { h.LegacyVersion = 0x0301 }), fault.ProtocolVersionAlert},
		{"legacy_version 3.4", edit(func(h *wire.ClientHello) { h.LegacyVersion = 0x0304 }), fault.ProtocolVersionAlert},
		{"a compression method more", edit(func(h *wire.ClientHello) { h.CompressionMethods = []byte{0, 1} }), fault.IllegalParameterAlert},
		{"a compression method more in front", edit(func(h *wire.ClientHello) { h.CompressionMethods = []byte{1, 0} }), fault.IllegalParameterAlert},
		{"another compression method", edit(func(h *wire.ClientHello) { h.CompressionMethods = []byte{1} }), fault.IllegalParameterAlert},
		{"null compression twice", edit(func(h *wire.ClientHello) { h.CompressionMethods = []byte{0, 0} }), fault.IllegalParameterAlert},
		{"no compression method", edit(func(h *wire.ClientHello) { h.CompressionMethods = nil }), fault.DecodeErrorAlert},
		{"no signature_algorithms", without(wire.ExtSignatureAlgorithms), fault.MissingExtensionAlert},
		{"no supported_groups", without(wire.ExtSupportedGroups), fault.MissingExtensionAlert},
		{"no key_share", without(wire.ExtKeyShare), fault.MissingExtensionAlert},
		{"neither supported_groups nor key_share", without(wire.ExtSupportedGroups, wire.ExtKeyShare), fault.MissingExtensionAlert},
		{"no extensions at all", edit(func(h *wire.ClientHello) { h.Has = 0 }), fault.ProtocolVersionAlert},
		{"pre_shared_key without psk_key_exchange_modes", edit(func(h *wire.ClientHello) {
			h.Has = h.Has.With(wire.ExtPreSharedKey)
			h.PreSharedKey = wire.OfferedPSKs{Identities: wire.AppendPSKIdentity(nil, []byte("id"), 0), Binders: wire.AppendPSKBinder(nil, make([]byte, 32))}
		}), fault.MissingExtensionAlert},
		{"pre_shared_key that is not last", func(m []byte) []byte {
			m = edit(func(h *wire.ClientHello) {
				h.Has = h.Has.With(wire.ExtPreSharedKey).With(wire.ExtPSKKeyExchangeModes)
				h.PSKKeyExchangeModes = []byte{1}
				h.PreSharedKey = wire.OfferedPSKs{Identities: wire.AppendPSKIdentity(nil, []byte("id"), 0), Binders: wire.AppendPSKBinder(nil, make([]byte, 32))}
			})(m)
			return addToHello(0x0a0a)(m)
		}, fault.IllegalParameterAlert},
		{"two shares of a group", edit(func(h *wire.ClientHello) {
			h.KeyShares = wire.AppendKeyShare(wire.AppendKeyShare(nil, uint16(tls.X25519), x25519), uint16(tls.X25519), x25519)
		}), fault.IllegalParameterAlert},
		{"a share of a group that is not in supported_groups", edit(func(h *wire.ClientHello) {
			h.SupportedGroups = wire.AppendUint16s(nil, uint16(tls.X25519))
			h.KeyShares = wire.AppendKeyShare(wire.AppendKeyShare(nil, uint16(tls.X25519), x25519), uint16(tls.CurveP256), make([]byte, 65))
		}), fault.IllegalParameterAlert},
		{"a share that is a byte short", share(tls.X25519, x25519[1:]), fault.IllegalParameterAlert},
		{"a share that is a byte long", share(tls.X25519, append(x25519[:32:32], 0)), fault.IllegalParameterAlert},
		{"a share of small order", share(tls.X25519, make([]byte, 32)), fault.IllegalParameterAlert},
		{"a point that is not on the curve", share(tls.CurveP256, append([]byte{4}, make([]byte, 64)...)), fault.IllegalParameterAlert},
		{"a compressed point", share(tls.CurveP256, append([]byte{2}, make([]byte, 32)...)), fault.IllegalParameterAlert},
		{"an ML-KEM key whose coefficients are not reduced", share(tls.X25519MLKEM768, bytes.Repeat([]byte{0xff}, 1184+32)), fault.IllegalParameterAlert},
		{"an empty share", share(tls.X25519, nil), fault.DecodeErrorAlert},
		{"no cipher suite of ours", edit(func(h *wire.ClientHello) { h.CipherSuites = wire.AppendUint16s(nil, uint16(0x1304), uint16(0xc02f)) }), fault.HandshakeFailureAlert},
		{"no group of ours", edit(func(h *wire.ClientHello) {
			h.SupportedGroups, h.KeyShares = wire.AppendUint16s(nil, uint16(0x0a0a)), nil
		}), fault.HandshakeFailureAlert},
		{"no signature scheme of ours", edit(func(h *wire.ClientHello) {
			h.SignatureAlgorithms = wire.AppendUint16s(nil, uint16(tls.PKCS1WithSHA256))
		}), fault.HandshakeFailureAlert},
		{"only protocols that we do not have", edit(func(h *wire.ClientHello) {
			h.Has, h.ALPN = h.Has.With(wire.ExtALPN), wire.AppendProtocol(nil, "h3")
		}), fault.NoApplicationProtocolAlert},
		{"a server_name that is none", edit(func(h *wire.ClientHello) { h.ServerName = []byte("not a name") }), fault.IllegalParameterAlert},
		{"a server_name with a zero in it", edit(func(h *wire.ClientHello) { h.ServerName = []byte("example.com\x00.example") }), fault.IllegalParameterAlert},
		{"a server_name with a trailing dot", edit(func(h *wire.ClientHello) { h.ServerName = []byte("example.com.") }), fault.IllegalParameterAlert},
		{"an empty server_name", addToServerName(), fault.DecodeErrorAlert},
		{"an unknown extension twice", func(m []byte) []byte { return addToHello(0x0a0a)(addToHello(0x0a0a)(m)) }, fault.IllegalParameterAlert},
		{"supported_versions twice", addToHello(43, 2, 3, 4), fault.IllegalParameterAlert},
		{"oid_filters, which belongs elsewhere", addToHello(48, 0, 0), fault.IllegalParameterAlert},
		{"record_size_limit below 64", addToHello(28, 0, 63), fault.IllegalParameterAlert},
		{"a session ID of 33 bytes", edit(func(h *wire.ClientHello) { h.SessionID = make([]byte, 33) }), fault.DecodeErrorAlert},
		{"no cipher suites", edit(func(h *wire.ClientHello) { h.CipherSuites = nil }), fault.DecodeErrorAlert},
		{"half a cipher suite", edit(func(h *wire.ClientHello) { h.CipherSuites = []byte{0x13, 1, 0x13} }), fault.DecodeErrorAlert},
		{"a byte behind its end", func(m []byte) []byte { return wire.End(append(m, 0), 0) }, fault.DecodeErrorAlert},
		{"nothing in it", instead(withBody(wire.TypeClientHello)), fault.DecodeErrorAlert},
	} {
		p := newPair(t)
		p.serverPolicy.Protocols = []string{"h2"}
		p.serverGets(1, row.edit)
		expectAlert(t, p.s.err, row.want, "a ClientHello with %s", row.story)
		if p.s.core.Out.Pending() {
			t.Errorf("a ClientHello with %s: there is an answer", row.story)
		}
	}
}

// addToServerName makes the hello's server_name an empty one.
func addToServerName() func([]byte) []byte {
	return func(m []byte) []byte {
		m = without(wire.ExtServerName)(m)
		return addToHello(0, 0, 3, 0, 0, 0)(m)
	}
}

// What a server does not know it reads past: RFC 9846, Section 4.2.2.
func TestClientHellosWithMoreInThemAreFine(t *testing.T) {
	for _, row := range []struct {
		story string
		edit  func([]byte) []byte
	}{
		{"an unknown extension", addToHello(0x0a0a, 1, 2, 3)},
		{"GREASE in all lists", editClientHello(func(h *wire.ClientHello) {
			grease := func(l wire.Uint16s) wire.Uint16s { return append(wire.Uint16s{0x1a, 0x1a}, l...) }
			h.CipherSuites, h.SupportedGroups = grease(h.CipherSuites), grease(h.SupportedGroups)
			h.SignatureAlgorithms, h.SupportedVersions = grease(h.SignatureAlgorithms), grease(h.SupportedVersions)
			h.KeyShares = append(wire.AppendKeyShare(nil, 0x1a1a, []byte{0}), h.KeyShares...)
		})},
		{"thousands of signature schemes in front of ours", editClientHello(func(h *wire.ClientHello) {
			h.SignatureAlgorithms = append(bytes.Repeat([]byte{0xfe, 0xfe}, 20000), h.SignatureAlgorithms...)
		})},
		// "MUST ignore … if both extensions appear": RFC 8449, Section 5.
		{"max_fragment_length beside record_size_limit", addToHello(1, 1)},
		{"no shares yet", editClientHello(func(h *wire.ClientHello) { h.KeyShares = nil })},
		{"no server_name", without(wire.ExtServerName)},
		{"a server_name that is an address", editClientHello(func(h *wire.ClientHello) { h.ServerName = []byte("127.0.0.1") })},
		{"an upper-case server_name", editClientHello(func(h *wire.ClientHello) { h.ServerName = []byte("EXAMPLE.com") })},
		{"no session ID", editClientHello(func(h *wire.ClientHello) { h.SessionID = nil })},
		// "MUST behave in one of three ways", and a refusal is none: Section 4.3.10.
		{"early_data without pre_shared_key", addToHello(42)},
		{"no status_request and no SCTs", without(wire.ExtStatusRequest, wire.ExtSCT)},
		{"TLS 1.2 in supported_versions as well", editClientHello(func(h *wire.ClientHello) {
			h.SupportedVersions = wire.AppendUint16s(h.SupportedVersions, uint16(tls.VersionTLS12))
		})},
		{"extensions of TLS 1.2", func(m []byte) []byte { return addToHello(0xff01, 0)(addToHello(23)(addToHello(35)(m))) }},
		{"a status_request for something else than OCSP", func(m []byte) []byte {
			return addToHello(5, 2, 9, 9)(without(wire.ExtStatusRequest)(m))
		}},
	} {
		p := newPair(t)
		p.serverGets(1, row.edit)
		if p.s.err != nil {
			t.Errorf("a ClientHello with %s is refused: %v", row.story, p.s.err)
		}
		if !p.client.TakesCCS() || !p.server.TakesCCS() {
			t.Errorf("a ClientHello with %s: change_cipher_spec is not taken afterwards", row.story)
		}
	}
}

func TestTheServerNameIsInLowerCase(t *testing.T) {
	for name, want := range map[string]string{
		"EXAMPLE.com": "example.com", "a.Example.Com": "a.example.com", "127.0.0.1": "",
	} {
		p := newPair(t)
		p.clientDoors[kind(wire.TypeClientHello)] = editClientHello(func(h *wire.ClientHello) { h.ServerName = []byte(name) })
		p.complete()
		if got := p.server.Facts.ServerName; got != want {
			t.Errorf("a client that asks for %q asks for %q as the server has it, want %q", name, got, want)
		}
	}
}

func TestSuitesAreChosenByTheServersPreference(t *testing.T) {
	const aes128, aes256, chacha = tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256
	for _, row := range []struct {
		story        string
		server       []uint16
		followChaCha bool
		client       []uint16
		want         uint16
	}{
		{"the server's first", []uint16{aes256, aes128}, false, []uint16{aes128, aes256}, aes256},
		{"the server's second, if the client lacks the first", []uint16{aes256, aes128}, false, []uint16{chacha, aes128}, aes128},
		{"the client's ChaCha20 in front, which is followed", []uint16{aes128, aes256, chacha}, true, []uint16{chacha, aes128}, chacha},
		{"the client's ChaCha20 in front but for suites that nobody knows", []uint16{aes128, aes256, chacha}, true, []uint16{0x1a1a, 0xc02f, chacha, aes128}, chacha},
		{"the client's ChaCha20 behind AES", []uint16{aes128, aes256, chacha}, true, []uint16{aes256, chacha, aes128}, aes128},
		{"the client's ChaCha20 in front, which a server with preferences does not follow", []uint16{aes128, chacha}, false, []uint16{chacha, aes128}, aes128},
		{"the client's ChaCha20 in front, which the server lacks", []uint16{aes128}, true, []uint16{chacha, aes128}, aes128},
		{"nothing in common", []uint16{aes128}, true, []uint16{chacha, aes256}, 0},
	} {
		var s Server
		s.policy = &ServerPolicy{Policy: Policy{Suites: suites(row.server...)}, PreferClientChaCha: row.followChaCha}
		got := s.chooseSuite(&wire.ClientHello{CipherSuites: wire.AppendUint16s(nil, row.client...)})
		if row.want == 0 && got != nil || row.want != 0 && (got == nil || got.ID != row.want) {
			t.Errorf("%s: %v is chosen, want %#04x", row.story, got, row.want)
		}
	}
}

func TestGroupsAreChosenForSafetyThenForTheRoundTrip(t *testing.T) {
	const hybrid, hybrid256, x25519, p256, p384 = tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384
	type ids = []tls.CurveID
	for _, row := range []struct {
		story                  string
		server, client, shares ids
		want                   tls.CurveID
		retry                  bool
	}{
		{"the first of both, with a share", ids{hybrid, x25519}, ids{hybrid, x25519}, ids{hybrid, x25519}, hybrid, false},
		{"a client without hybrids", ids{hybrid, x25519, p256}, ids{x25519, p256}, ids{x25519}, x25519, false},
		{"a share rather than the first preference", ids{p256, x25519}, ids{x25519, p256}, ids{x25519}, x25519, false},
		{"a retry for the hybrid's sake", ids{hybrid, x25519}, ids{x25519, hybrid}, ids{x25519}, hybrid, true},
		{"the share of another hybrid rather than a retry", ids{hybrid, hybrid256, x25519}, ids{hybrid256, hybrid, x25519}, ids{hybrid256, x25519}, hybrid256, false},
		{"a server that prefers the curve alone", ids{x25519, hybrid}, ids{hybrid, x25519}, ids{hybrid, x25519}, x25519, false},
		{"a server that prefers the curve alone, which has no share", ids{x25519, hybrid}, ids{hybrid, x25519}, ids{hybrid}, hybrid, false},
		{"the first preference, if there are no shares", ids{p384, p256}, ids{p256, p384}, nil, p384, true},
		{"the only common one, without a share", ids{p384}, ids{x25519, p384}, ids{x25519}, p384, true},
		{"nothing in common", ids{p384}, ids{x25519}, ids{x25519}, 0, false},
	} {
		h := wire.ClientHello{SupportedGroups: wire.AppendUint16s(nil, row.client...), CipherSuites: wire.AppendUint16s(nil, tls.TLS_AES_128_GCM_SHA256)}
		for _, id := range row.shares {
			h.KeyShares = wire.AppendKeyShare(h.KeyShares, uint16(id), []byte{byte(id)})
		}
		var s Server
		s.policy = &ServerPolicy{Policy: Policy{Groups: groups(row.server...), Suites: suites(algo.DefaultSuites()...)}}
		ch, err := s.choose(&h)
		if row.want == 0 {
			expectReason(t, err, fault.NoCommonGroup, "%s", row.story)
			continue
		}
		if err != nil || ch.group.ID != row.want || (ch.share == nil) != row.retry {
			t.Errorf("%s: the choice is %+v, %v", row.story, ch, err)
		} else if !row.retry && ch.share[0] != byte(row.want) {
			t.Errorf("%s: the share is that of another group", row.story)
		}
	}
}

func TestProtocolsAreChosenByTheServersPreference(t *testing.T) {
	for _, row := range []struct {
		story          string
		server, client []string
		want           string
		refused        bool
	}{
		{"neither has any", nil, nil, "", false},
		{"only the client has some", nil, []string{"h2"}, "", false},
		{"only the server has some", []string{"h2"}, nil, "", false},
		{"both have one", []string{"h2"}, []string{"h2"}, "h2", false},
		{"both have two", []string{"h2", "http/1.1"}, []string{"http/1.1", "h2"}, "h2", false},
		{"they have one in common", []string{"h3", "http/1.1"}, []string{"http/1.1", "h2"}, "http/1.1", false},
		{"names differ in case", []string{"H2"}, []string{"h2"}, "", true},
		{"nothing in common", []string{"h3"}, []string{"h2"}, "", true},
	} {
		p := newPair(t)
		p.serverPolicy.Protocols, p.clientPolicy.Protocols = row.server, row.client
		p.run()
		if row.refused {
			expectAlert(t, p.s.err, fault.NoApplicationProtocolAlert, "%s", row.story)
			continue
		}
		if p.c.err != nil || p.client.ALPN() != row.want || p.server.ALPN() != row.want {
			t.Errorf("%s: the client has %q, the server %q, %v, want %q", row.story, p.client.ALPN(), p.server.ALPN(), p.c.err, row.want)
		}
	}
}

func TestTheApplicationPicksACredentialFirst(t *testing.T) {
	own, ed := credential(t, tlstest.Leaf(tlstest.ECDSAP384)), credential(t, tlstest.Leaf(tlstest.Ed25519))
	refusal := errors.New("no such tenant")
	for _, row := range []struct {
		story   string
		pick    *Credential
		err     error
		schemes []tls.SignatureScheme // of the client
		want    *Credential           // nil: that of the pair
		reason  fault.Reason
	}{
		{story: "it picks", pick: own, want: own},
		{story: "it leaves the choice", want: nil},
		{story: "it refuses", err: refusal, reason: fault.NoCertificate},
		{story: "it picks what the client cannot verify", pick: ed, schemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, reason: fault.NoCommonScheme},
	} {
		p := newPair(t)
		if row.schemes != nil {
			p.clientPolicy.Schemes = schemes(row.schemes...)
		}
		p.serverPolicy.Pick = func(h *wire.ClientHello) (*Credential, error) {
			if string(h.ServerName) != "example.com" {
				t.Errorf("%s: it is shown a hello for %q", row.story, h.ServerName)
			}
			return row.pick, row.err
		}
		p.run()
		if row.reason != 0 {
			expectReason(t, p.s.err, row.reason, "%s", row.story)
			expectAlert(t, p.s.err, fault.HandshakeFailureAlert, "%s", row.story)
			if row.err != nil && !errors.Is(p.s.err, row.err) {
				t.Errorf("%s: its error is lost in %v", row.story, p.s.err)
			}
			continue
		}
		want := row.want
		if want == nil {
			want = p.serverPolicy.Credentials.all[0]
		}
		if p.c.err != nil || !bytes.Equal(p.client.Facts.PeerCertificates[0].Raw, want.Chain[0]) {
			t.Errorf("%s: the client does not see that certificate: %v", row.story, p.c.err)
		}
	}
}

// A server may have thousands of credentials, and a client can offer thousands
// of schemes: the one is not to be searched for each of the other.
func TestLongListsAreCutBeforeTheyAreSearchedOften(t *testing.T) {
	var noise wire.Uint16s
	for i := range 16000 {
		noise = wire.AppendUint16s(noise, uint16(i<<1|0x8001)) // of nobody's
	}
	h := &wire.ClientHello{
		SignatureAlgorithms: append(bytes.Clone(noise), wire.AppendUint16s(nil, tls.Ed25519, tls.Ed25519, tls.PSSWithSHA256)...),
		SupportedGroups:     append(bytes.Clone(noise), wire.AppendUint16s(nil, tls.CurveP521, tls.CurveP256)...),
	}
	short := searchable(h)
	if got, want := short.SignatureAlgorithms, wire.AppendUint16s(nil, tls.PSSWithSHA256, tls.Ed25519); !bytes.Equal(got, want) {
		t.Errorf("of the schemes % x are left, want % x", got, want)
	}
	if got, want := short.SupportedGroups, wire.AppendUint16s(nil, tls.CurveP256, tls.CurveP521); !bytes.Equal(got, want) {
		t.Errorf("of the groups % x are left, want % x", got, want)
	}
	if h.SignatureAlgorithms.Len() != 16003 || h.SupportedGroups.Len() != 16002 {
		t.Error("the hello itself has changed")
	}
	usual := &wire.ClientHello{SignatureAlgorithms: noise[:64], SupportedGroups: noise[:64]}
	if searchable(usual) != usual {
		t.Error("a hello of the usual size is copied")
	}
}
