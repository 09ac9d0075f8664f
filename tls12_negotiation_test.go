package baretls_test

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// One client that offers both versions, one server that answers both, and all
// that lies between.

// bounds are MinVersion and MaxVersion.
type bounds struct{ min, max version }

var someBounds = []bounds{{tls12, tls12}, {tls12, tls13}, {tls13, tls13}}

func (b bounds) has(v version) bool { return b.min <= v && v <= b.max }

func TestVersionNegotiation(t *testing.T) {
	for _, c := range append(someBounds, bounds{}) {
		for _, s := range append(someBounds, bounds{}) {
			what := fmt.Sprintf("client of %v, server of %v", c, s)
			client, server := clientConfig(), serverConfig()
			client.MinVersion, client.MaxVersion = uint16(c.min), uint16(c.max)
			server.MinVersion, server.MaxVersion = uint16(s.min), uint16(s.max)
			p := newPair(t, client, server)
			if c == (bounds{}) {
				c = bounds{tls12, tls13}
			}
			if s == (bounds{}) {
				s = bounds{tls12, tls13}
			}
			var want version
			for _, v := range []version{tls12, tls13} {
				if c.has(v) && s.has(v) {
					want = v
				}
			}
			if want == 0 {
				p.refused(what, p.server, protocolVersion)
				continue
			}
			p.handshake()
			p.works()
			for _, side := range p.sides() {
				if got := side.conn.ProtocolVersion(); got != uint16(want) || side.conn.ConnectionState().Version != got {
					t.Errorf("%s: the version is %s, want %s", what, tls.VersionName(got), tls.VersionName(uint16(want)))
				}
			}
		}
	}
}

// A version without a suite is not used, and neither is TLS 1.2 without a
// group that it knows.
func TestVersionsWithoutSuites(t *testing.T) {
	for _, tt := range []struct {
		what   string
		suites []uint16
		groups []tls.CurveID
		want   version
	}{
		{"suites of both", []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, nil, tls13},
		{"suites of both, TLS 1.2's first", []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_AES_128_GCM_SHA256}, nil, tls13},
		{"a suite of TLS 1.2", []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, nil, tls12},
		{"a suite of TLS 1.3", []uint16{tls.TLS_AES_128_GCM_SHA256}, nil, tls13},
		{"hybrid groups", nil, []tls.CurveID{tls.X25519MLKEM768}, tls13},
	} {
		for _, role := range []string{"client", "server"} {
			client, server := clientConfig(), serverConfig()
			if role == "client" {
				client.CipherSuites, client.Groups = tt.suites, tt.groups
			} else {
				server.CipherSuites, server.Groups = tt.suites, tt.groups
			}
			p := newPair(t, client, server)
			p.handshake()
			if got := p.client.conn.ProtocolVersion(); got != uint16(tt.want) {
				t.Errorf("a %s with %s gets %s, want %s", role, tt.what, tls.VersionName(got), tls.VersionName(uint16(tt.want)))
			}
			if suite := p.client.conn.NegotiatedCipherSuite(); tt.suites != nil && !slices.Contains(tt.suites, suite) {
				t.Errorf("a %s with %s gets %s", role, tt.what, tls.CipherSuiteName(suite))
			}
			p.works()
		}
	}
	for what, tt := range map[string]struct{ client, server []uint16 }{
		"versions apart": {[]uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, []uint16{tls.TLS_AES_128_GCM_SHA256}},
		"the other way":  {[]uint16{tls.TLS_AES_128_GCM_SHA256}, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
	} {
		client, server := clientConfig(), serverConfig()
		client.CipherSuites, server.CipherSuites = tt.client, tt.server
		p := newPair(t, client, server)
		p.refused("suites with "+what, p.server, protocolVersion)
	}
	client, server := tls12.client(), tls12.server()
	client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	server.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	p := newPair(t, client, server)
	p.refused("no suite in common", p.server, handshakeFailure)
	server = tls12.server()
	server.Groups = []tls.CurveID{tls.CurveP521}
	client = tls12.client()
	client.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
	p = newPair(t, client, server)
	p.refused("no group in common", p.server, handshakeFailure)
}

// What hellos of every age say of versions, and what they get.
func TestVersionsOfHellos(t *testing.T) {
	legacy := func(v uint16) func(m []byte) []byte {
		return func(m []byte) []byte { binary.BigEndian.PutUint16(m[4:], v); return m }
	}
	versions := func(list ...uint16) func(m []byte) []byte {
		var b []byte
		for _, v := range list {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return with(extSupportedVersions, vector8(b)...)
	}
	both := func(a, b func(m []byte) []byte) func(m []byte) []byte {
		return func(m []byte) []byte { return b(a(m)) }
	}
	none := without(extSupportedVersions)
	for _, tt := range []struct {
		what   string
		hello  func(m []byte) []byte
		server bounds
		want   version // 0: protocol_version
	}{
		{"no supported_versions", none, bounds{tls12, tls13}, tls12},
		{"no supported_versions, to a server of TLS 1.3", none, bounds{tls13, tls13}, 0},
		{"no supported_versions, and a version to come", both(none, legacy(0x0305)), bounds{tls12, tls13}, tls12},
		{"no supported_versions, and TLS 1.1", both(none, legacy(0x0302)), bounds{tls12, tls13}, 0},
		{"no supported_versions, and SSL 3.0", both(none, legacy(0x0300)), bounds{tls12, tls13}, 0},
		{"supported_versions of TLS 1.2 alone", versions(0x0303), bounds{tls12, tls13}, tls12},
		{"supported_versions of TLS 1.2 alone, to a server of TLS 1.3", versions(0x0303), bounds{tls13, tls13}, 0},
		{"supported_versions of TLS 1.3 alone, to a server of TLS 1.2", versions(0x0304), bounds{tls12, tls12}, 0},
		{"supported_versions with TLS 1.2 in front", versions(0x0303, 0x0304), bounds{tls12, tls13}, tls13},
		{"supported_versions with old ones and grease", versions(0x3a3a, 0x0302, 0x0304, 0x0303), bounds{tls12, tls13}, tls13},
		{"supported_versions with old ones and grease, to a server of TLS 1.2", versions(0x3a3a, 0x0302, 0x0304, 0x0303), bounds{tls12, tls12}, tls12},
		{"supported_versions of old ones", versions(0x0302, 0x0301), bounds{tls12, tls13}, 0},
		{"supported_versions of grease", versions(0x3a3a), bounds{tls12, tls13}, 0},
		// "servers MUST NOT use the ClientHello.legacy_version value for version
		// negotiation" (RFC 9846, Section 4.3.1).
		{"supported_versions of TLS 1.2, and TLS 1.1 besides", both(versions(0x0303), legacy(0x0302)), bounds{tls12, tls12}, tls12},
	} {
		server := serverConfig()
		server.MinVersion, server.MaxVersion = uint16(tt.server.min), uint16(tt.server.max)
		p := newPair(t, nil, server)
		p.client.turns()
		p.server.give(plain(handshake, tt.hello(p.client.take()[5:])))
		if tt.want == 0 {
			p.refused(tt.what, p.server, protocolVersion)
			continue
		}
		p.server.turns()
		if p.server.err != nil {
			t.Errorf("a hello with %s is refused: %v", tt.what, p.server.err)
			continue
		}
		if got := p.server.conn.ProtocolVersion(); got != uint16(tt.want) {
			t.Errorf("a hello with %s gets %s, want %s", tt.what, tls.VersionName(got), tls.VersionName(uint16(tt.want)))
		}
	}
}

// What the hello carries depends on the versions that it offers.
func TestExtensionsOfHellos(t *testing.T) {
	const keyShare, pskModes = 51, 45
	for _, b := range someBounds {
		client := clientConfig()
		client.MinVersion, client.MaxVersion = uint16(b.min), uint16(b.max)
		p := newPair(t, client, nil)
		p.client.turns()
		hello := p.client.take()[5:]
		for _, tt := range []struct {
			name string
			code uint16
			want bool
		}{
			{"supported_versions", extSupportedVersions, b.has(tls13)},
			{"key_share", keyShare, b.has(tls13)},
			{"psk_key_exchange_modes", pskModes, b.has(tls13)},
			{"extended_main_secret", extExtendedMainSecret, b.has(tls12)},
			{"renegotiation_info", extRenegotiationInfo, b.has(tls12)},
			{"ec_point_formats", extPointFormats, b.has(tls12)},
			{"session_ticket", extSessionTicket, b.has(tls12)},
			{"supported_groups", extSupportedGroups, true},
			{"signature_algorithms", extSignatureAlgs, true},
			{"server_name", extServerName, true},
			{"status_request", extStatusRequest, true},
		} {
			if _, ok := extension(hello, tt.code); ok != tt.want {
				t.Errorf("the hello of a client of %v has %s: %v, want %v", b, tt.name, ok, tt.want)
			}
		}
		if hello[4] != 3 || hello[5] != 3 {
			t.Errorf("the hello of a client of %v has the legacy_version %x", b, hello[4:6])
		}
		groups, _ := extension(hello, extSupportedGroups)
		hybrid := binary.BigEndian.AppendUint16(nil, uint16(tls.X25519MLKEM768))
		if got := slices.Equal(groups[2:4], hybrid); got != b.has(tls13) {
			t.Errorf("the hello of a client of %v has hybrid groups: %v", b, got)
		}
		// "MUST NOT send a value higher than the protocol-defined maximum
		// record size" (RFC 8449, Section 4): 2^14 without TLS 1.3.
		limit, _ := extension(hello, extRecordSizeLimit)
		want := uint16(1 << 14)
		if b.has(tls13) {
			want++
		}
		if len(limit) != 2 || binary.BigEndian.Uint16(limit) != want {
			t.Errorf("the hello of a client of %v has the record_size_limit %x, want %d", b, limit, want)
		}
	}
}

// A client that offers both goes on in TLS 1.2 with all that the server has
// of it, and is asked for nothing again: there is no HelloRetryRequest.
func TestTLS12GroupsAreNegotiatedWithoutRetry(t *testing.T) {
	for _, group := range []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
		server := tls12.server()
		server.Groups = []tls.CurveID{tls.X25519MLKEM768, group}
		p := newPair(t, nil, server)
		p.handshake()
		for _, s := range p.sides() {
			if got := s.conn.NegotiatedKeyExchangeGroup(); got != group {
				t.Errorf("%s: the group is %v, want %v", s.role, got, group)
			}
		}
		p.wantKind("group "+group.String(), baretls.HandshakeFull)
		p.works()
	}
}

// The server's order of suites counts, except that a client that puts
// ChaCha20 first may have no AES instructions.
func TestTLS12SuitePreference(t *testing.T) {
	const (
		aes128 = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
		aes256 = tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
		chacha = tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
		rsa    = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	)
	ec, rs := tlstest.Leaf(tlstest.ECDSAP256), tlstest.Leaf(tlstest.RSA2048)
	for _, tt := range []struct {
		what           string
		client, server []uint16
		certs          []tls.Certificate
		want           uint16
	}{
		{"defaults", nil, nil, []tls.Certificate{ec}, aes128},
		{"defaults, with RSA", nil, nil, []tls.Certificate{rs}, rsa},
		{"the server's order", []uint16{aes128, aes256}, []uint16{aes256, aes128}, []tls.Certificate{ec}, aes256},
		{"a suite without a certificate", []uint16{rsa, aes256}, []uint16{rsa, aes256}, []tls.Certificate{ec}, aes256},
		{"two certificates, and the server's order", []uint16{aes128, rsa}, []uint16{rsa, aes128}, []tls.Certificate{ec, rs}, rsa},
		{"a client that has RSA only", []uint16{rsa}, nil, []tls.Certificate{ec, rs}, rsa},
		{"a client that prefers ChaCha20", []uint16{chacha, aes128}, nil, []tls.Certificate{ec}, chacha},
		{"a client that prefers ChaCha20, and a server that does not", []uint16{chacha, aes128}, []uint16{aes128, chacha}, []tls.Certificate{ec}, aes128},
	} {
		client, server := tls12.client(), tls12.server()
		client.CipherSuites, server.CipherSuites, server.Certificates = tt.client, tt.server, tt.certs
		p := newPair(t, client, server)
		p.handshake()
		if got := p.server.conn.NegotiatedCipherSuite(); got != tt.want {
			t.Errorf("%s: the suite is %s, want %s", tt.what, tls.CipherSuiteName(got), tls.CipherSuiteName(tt.want))
		}
		p.works()
	}
}

// Application protocols and names are as in TLS 1.3.
func TestTLS12ProtocolsAndNames(t *testing.T) {
	for _, tt := range []struct {
		client, server []string
		want           string
		alert          tls.AlertError
	}{
		{nil, nil, "", 0},
		{[]string{"h2"}, nil, "", 0},
		{nil, []string{"h2"}, "", 0},
		{[]string{"h2", "h3"}, []string{"h3", "h2"}, "h3", 0},
		{[]string{"h2"}, []string{"h3"}, "", noApplicationProtocol},
	} {
		client, server := tls12.client(), tls12.server()
		client.NextProtos, server.NextProtos = tt.client, tt.server
		p := newPair(t, client, server)
		if tt.alert != 0 {
			p.refused("no protocol in common", p.server, tt.alert)
			continue
		}
		p.handshake()
		for _, s := range p.sides() {
			if got := s.conn.ALPNProtocol(); got != tt.want || s.conn.ConnectionState().NegotiatedProtocol != got {
				t.Errorf("%q and %q: for the %s the protocol is %q, want %q", tt.client, tt.server, s.role, got, tt.want)
			}
			if got := s.conn.ServerName(); got != "example.com" {
				t.Errorf("for the %s the server's name is %q", s.role, got)
			}
		}
	}

	// Certificates are chosen by the name, or by the application.
	server := tls12.server()
	server.Certificates = []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP384, "example.org"), tlstest.Leaf(tlstest.ECDSAP256)}
	p := newPair(t, tls12.client(), server)
	p.handshake()
	if got := p.client.conn.PeerSignatureScheme(); got != tls.ECDSAWithP256AndSHA256 {
		t.Errorf("the server has signed by %v", got)
	}
	server = tls12.server()
	var seen *baretls.ClientHello
	ed := tlstest.Leaf(tlstest.Ed25519)
	server.GetCertificate = func(h *baretls.ClientHello) (*tls.Certificate, error) { seen = h; return &ed, nil }
	p = newPair(t, tls12.client(), server)
	p.handshake()
	if got := p.client.conn.PeerSignatureScheme(); got != tls.Ed25519 || seen == nil || seen.ServerName != "example.com" {
		t.Errorf("the application chose Ed25519 by the hello %+v, and the server has signed by %v", seen, got)
	}
	server = tls12.server()
	server.GetCertificate = func(h *baretls.ClientHello) (*tls.Certificate, error) { return nil, errRefused }
	p = newPair(t, tls12.client(), server)
	p.refused("no certificate", p.server, handshakeFailure)
}

// The limits of RFC 8449 count content without a type here.
func TestTLS12RecordSizeLimit(t *testing.T) {
	for _, limit := range []int{64, 65, 1000, 16384, 16385} {
		client, server := tls12.client(), tls12.server()
		client.RecordSizeLimit, server.RecordSizeLimit = limit, limit
		p := newPair(t, client, server)
		p.handshake()
		data := make([]byte, 40_000)
		for _, from := range p.sides() {
			from.write(data)
			most := 0
			for _, record := range records(t, from.sent) {
				most = max(most, len(record)-tls12.overhead())
			}
			if want := min(limit, 16384); most != want {
				t.Errorf("with a limit of %d, the %s sends records of %d bytes, want %d", limit, from.role, most, want)
			}
			to := p.other(from)
			if p.run(); len(to.data) != len(data) {
				t.Errorf("with a limit of %d, the %s gets %d bytes, error %v", limit, to.role, len(to.data), to.err)
			}
		}
		if limit > 16384 {
			continue
		}
		f := p.forger(p.client)
		f.seq += uint64((len(data) + limit - 1) / limit)
		p.server.give(f.seal(applicationData, make([]byte, limit), 0))
		p.server.turns()
		p.server.wantAlive()
		p.server.give(f.seal(applicationData, make([]byte, limit+1), 0))
		p.refused("record beyond the limit", p.server, recordOverflow)
	}
}

// A chain that takes many records, and messages cut into the smallest ones.
func TestTLS12LargeMessagesAndSmallRecords(t *testing.T) {
	server := tls12.server()
	server.Certificates = []tls.Certificate{tlstest.New(tlstest.Options{Kind: tlstest.ECDSAP256, Bulk: 60_000})}
	p := newPair(t, tls12.client(), server)
	p.handshake()
	p.works()

	client, server := tls12.client(), asking(tls.RequireAndVerifyClientCert)
	client.MaxFragmentSize, server.MaxFragmentSize = 64, 64
	client.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.RSA2048)}
	server.Certificates = []tls.Certificate{tlstest.Leaf(tlstest.RSA2048)}
	p = newPair(t, client, server)
	p.handshake()
	p.works()

	client = tls12.client()
	client.MaxHandshakeMessageSize = 4096
	server = tls12.server()
	server.Certificates = []tls.Certificate{tlstest.New(tlstest.Options{Kind: tlstest.ECDSAP256, Bulk: 4096})}
	p = newPair(t, client, server)
	p.refused("Certificate beyond the limit", p.client, illegalParameter)
}
