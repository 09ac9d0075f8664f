package baretls_test

import (
	"bytes"
	"regexp"
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/wire"
)

// A difference is one between our verdicts and those of crypto/tls that is as
// it should be. The patterns are of what sketch makes of a verdict; an empty
// one is for any.
type difference struct {
	why          string
	victim       string
	version      version
	ours, theirs string
	when         func(tr trial, ours, theirs verdict) bool // nil: always

	flags   byte   // of a trial that shows it
	example detour // likewise
}

var explained = []difference{
	// We refuse, and by an RFC.
	{why: "RFC 9846, Section 4.3: what was not asked for is refused; crypto/tls does not look at extensions that it does not know", victim: "client",
		ours:  `refuses: baretls: extension that was not asked for: \S+( \d+)? in (ServerHello|ServerHello of TLS 1.2|HelloRetryRequest|EncryptedExtensions|Certificate)`,
		flags: 4, example: detour{0x1b, 0x00, 0x00, 0x00, 0x63}},
	{why: "RFC 9846, Section 4.3: an extension may stand only where the table has it; crypto/tls looks at its own in their messages",
		ours:  `refuses: baretls: extension in a message that may not carry it: \S+ in (ClientHello|ServerHello|ServerHello of TLS 1.2|HelloRetryRequest|EncryptedExtensions|CertificateRequest|Certificate)`,
		flags: 4, example: detour{0x1b, 0x00, 0x00, 0x00, 0x00}},
	{why: "RFC 8449, Section 4: crypto/tls does not know record_size_limit",
		ours:  `refuses: baretls: (illegal parameter: record_size_limit \d+|message cannot be decoded: record_size_limit in (ClientHello|ServerHello of TLS 1.2|EncryptedExtensions))`,
		flags: 4, example: detour{0x1b, 0x01, 0x00, 0x00, 0x1c}},
	{why: "RFC 9846, Section 4.3.7, and RFC 6066, Section 3: crypto/tls does not read the server's supported_groups and server_name", victim: "client",
		ours:  `refuses: baretls: message cannot be decoded: (supported_groups|server_name) in EncryptedExtensions`,
		flags: 4, example: detour{0x1b, 0x01, 0x00, 0x00, 0x0a}},
	{why: "RFC 9846, Section 4.4.2: signature_algorithms MUST be specified; crypto/tls does without", victim: "client", version: tls13,
		ours:  `refuses: baretls: missing extension: signature_algorithms in CertificateRequest`,
		flags: 4, example: detour{0x15, 0x02, 0x00, 0x60, 0x01}},
	{why: "RFC 9846, Section 4.2.2: legacy_version other than 0x0303 is protocol_version, as the RFC before it did not say", victim: "server", version: tls13,
		ours:  `refuses: baretls: no protocol version in common: legacy_version 0x[0-9a-f]{4}`,
		flags: 5, example: detour{0x15, 0x00, 0x00, 0x00, 0x01}},
	{why: "RFC 9846, Section 4.3.8: servers MAY check that shares are of groups in supported_groups", victim: "server", version: tls13,
		ours:  `refuses: baretls: illegal parameter: share of group .*, which is not in supported_groups`,
		flags: 5, example: detour{0x15, 0x00, 0x16, 0x20, 0x01}},
	{why: "RFC 8422, Section 5.1.2: point formats without uncompressed MUST be refused; crypto/tls does not look at them in TLS 1.3", victim: "server", version: tls13,
		ours:  `incomplete, refuses: baretls: illegal parameter: ec_point_formats without uncompressed`,
		flags: 5, example: detour{0x15, 0x00, 0x15, 0x60, 0x3f, 0x00, 0x00, 0x10, 0x00, 0x30}},
	{why: "RFC 9846, Section 9.2: one of supported_groups and key_share needs the other", victim: "server", version: tls13,
		ours:  `refuses: baretls: missing extension: supported_groups and key_share go together`,
		flags: 5, example: detour{0x15, 0x00, 0x15, 0x60, 0x01}},
	{why: "RFC 9846, Section 4.3.9: pre_shared_key without psk_key_exchange_modes MUST be refused; crypto/tls does not resume", victim: "server", version: tls13,
		ours:  `incomplete, refuses: baretls: missing extension: pre_shared_key without psk_key_exchange_modes`,
		flags: 29, example: detour{0x15, 0x00, 0x15, 0xe3, 0x1f}},
	{why: "RFC 9846, Section 4.2.2: a second ClientHello MUST NOT differ but where it says; crypto/tls compares less", victim: "server", version: tls13,
		ours:  `incomplete, refuses: baretls: second ClientHello does not match the first`,
		flags: 9, example: detour{0x1b, 0x01, 0x00, 0x00, 0x63}},
	{why: "RFC 9846, Section 5.1: no record stands between the parts of a message; crypto/tls minds when it knows that the version is 1.3",
		ours:  `refuses: baretls: record of another type inside a handshake message: \S+`,
		flags: 0, example: detour{0x00, 0x00, 0x7a, 0x41, 0x30, 0x0b, 0x01, 0x30, 0x00, 0x30}},
	{why: "certificates are judged when they come (RFC 5246, Section 7.4.2); crypto/tls first waits for the message behind them", victim: "client", version: tls12,
		ours:   `incomplete, refuses: baretls: (bad certificate|certificate signed by an unknown authority|certificate not acceptable|unsupported certificate)`,
		theirs: `incomplete, (waits|closes|is told): `,
		flags:  2, example: detour{0x00, 0x01, 0x0c, 0x80, 0x01, 0x05, 0x02, 0x00, 0x00, 0x00, 0x05, 0x03, 0x00, 0x00, 0x00}},
	{why: "RFC 5246, Section 7.3: a message out of order is refused when it comes; crypto/tls misses ServerKeyExchange when all is there", victim: "client", version: tls12,
		ours: `incomplete, refuses: baretls: unexpected message: (CertificateRequest|ServerHelloDone) in state TLS 1.2 WAIT_SKE`, theirs: `incomplete, waits: `,
		flags: 26, example: detour{0x11, 0x03, 0x24, 0x3e, 0x02, 0x1a, 0x02, 0x2e, 0x8c, 0x3a}},
	{why: "RFC 5246, Section 6.2: 2^14 bytes and 2048 for the protection are the most, but AEADs need fewer than 256, and records in the clear none; the header is enough for us to refuse",
		ours: `refuses: baretls: record too large: \d+ bytes`, theirs: `waits: `,
		flags: 7, example: detour{0x0e, 0x04, 0x31, 0x30, 0x41}},
	{why: "RFC 9846, Section 5: a record of an unexpected type is an end; the header is enough for us to see it",
		ours: `refuses: baretls: unexpected record type: type \d+`, theirs: `waits: `,
		flags: 0, example: detour{0x08, 0x01, 0x00, 0x00, 0x30, 0x0e, 0x01, 0x00, 0x60, 0x20}},
	{why: "RFC 9001, Section 8.2: who supports quic_transport_parameters refuses them without QUIC; we do not, and ignore them", victim: "server", version: tls13,
		theirs: `incomplete, refuses: tls: client sent an unexpected quic_transport_parameters extension`,
		flags:  1, example: detour{0x1b, 0x00, 0x30, 0x30, 0x39}},
	{why: "RFC 9846, Section 4.2.2: a session ID has 32 bytes at most; crypto/tls takes more, and its ServerHello with them is refused", victim: "server",
		ours: `incomplete, refuses: baretls: message cannot be decoded: ClientHello$`, theirs: `incomplete, is told: remote error: tls: error decoding message`,
		flags: 9, example: detour{0x03, 0x00, 0x58, 0x26, 0x25}},
	{why: "RFC 9846, Sections 4.3.4 and 4.3.5, and RFC 9149: crypto/tls does not read these extensions",
		ours:  `incomplete, refuses: baretls: message cannot be decoded: (certificate_authorities|oid_filters|ticket_request) in (ClientHello|CertificateRequest)`,
		flags: 9, example: detour{0x00, 0x00, 0x38, 0x00, 0x04}},
	{why: "RFC 9846, Section 4.3.10: a server answers early_data in one of three ways, and to refuse the connection is none of them", victim: "server", version: tls13,
		theirs: `incomplete, refuses: tls: client sent unexpected early data`,
		flags:  1, example: detour{0x00, 0x00, 0xef, 0xef, 0x38}},
	{why: "RFC 6066, Section 3: a HostName is a DNS name", victim: "server",
		ours:  `refuses: baretls: illegal parameter: server_name is not a host name`,
		flags: 5, example: detour{0x15, 0x00, 0x0a, 0xc0, 0x80}},
	{why: "RFC 7627: we require extended_main_secret where crypto/tls goes on without", version: tls12,
		ours:  `refuses: baretls: the peer does not know extended_main_secret`,
		flags: 7, example: detour{0x15, 0x00, 0x09, 0x80, 0x01}},
	{why: "RFC 9846, Section 5: a protected change_cipher_spec MUST be refused", version: tls13,
		ours:  `refuses: baretls: unexpected record type: change_cipher_spec inside a protected record`,
		flags: 4, example: detour{0x12, 0x01, 0x00, 0x00, 0x00}},
	{why: "RFC 9846, Section 5: a change_cipher_spec after the peer's Finished is an unexpected record", version: tls13,
		ours:  `complete, refuses: baretls: unexpected change_cipher_spec`,
		flags: 4, example: detour{0x0a, 0x07, 0x00, 0x00, 0x01}},
	{why: "RFC 9846, Appendix E.5: records of a version below 0x0300 are refused; crypto/tls does not mind before the hello of the peer",
		ours:  `refuses: baretls: (the first record does not look like a TLS handshake: tls: )?record of a version that is not TLS: 0x[0-2][0-9a-f]{3}`,
		flags: 4, example: detour{0x0e, 0x00, 0x00, 0x20, 0x01}},
	{why: "a limit: our handshake messages have 64 KiB at most, and a Certificate of crypto/tls 256 KiB", victim: "client",
		ours: `incomplete, refuses: baretls: handshake message too large: \d+ bytes, limit 65536`, theirs: `incomplete, waits: `,
		flags: 4, example: detour{0x00, 0x04, 0x00, 0x20, 0x01}},

	// crypto/tls refuses what we have a reason to take.
	{why: "RFC 9846, Section 5.1: legacy_record_version MUST be ignored",
		theirs: `refuses: tls: received record with version \w+ when expecting version \w+`,
		flags:  4, example: detour{0x0e, 0x01, 0x00, 0x40, 0x01}},
	{why: "a limit: crypto/tls takes 16 records of nothing in a row, and we take 32",
		theirs: `refuses: tls: too many (ignored|non-advancing) records`,
		flags:  4, example: detour{0x14, 0x07, 0x02, 0x20, 0x00}},
	{why: "RFC 9846, Sections 5 and 5.1: change_cipher_spec may come at any time after the first ClientHello, and the version of a record is ignored; crypto/tls takes neither in its first record",
		theirs: `incomplete, refuses: tls: first record does not look like a TLS handshake`,
		flags:  4, example: detour{0x06, 0x00, 0x00, 0x00, 0x01}},
	{why: "RFC 5246, Section 7.4.1.1: a HelloRequest during a handshake is ignored, as long as it may be one of TLS 1.2", victim: "client",
		theirs: `incomplete, refuses: tls: received unexpected handshake message of type \*tls.helloRequestMsg`,
		when:   func(tr trial, ours, _ verdict) bool { return tr.version == tls12 || !ours.complete },
		flags:  6, example: detour{0x13, 0x01, 0x00, 0x00, 0x00}},
	{why: "RFC 5246, Section 7.4.1.1: a HelloRequest during a handshake is ignored, before a change_cipher_spec too", victim: "client", version: tls12,
		theirs: `incomplete, refuses: local error: tls: unexpected message`,
		when: func(_ trial, _, v verdict) bool { // the last message, or behind another in its record
			for _, u := range slices.Backward(v.got) {
				if u.typ == handshake {
					return bytes.HasPrefix(u.content, []byte{msgHelloRequest}) || bytes.HasSuffix(u.content, []byte{msgHelloRequest, 0, 0, 0})
				}
			}
			return false
		},
		flags: 30, example: detour{0x13, 0x02, 0x00, 0x00, 0x00}},
	{why: "RFC 5246, Section 7.2.2: a renegotiation is declined with a warning, once; to crypto/tls it is an end", victim: "client", version: tls12,
		ours: `complete, `, theirs: `complete, refuses: local error: tls: no renegotiation`,
		flags: 6, example: detour{0x13, 0x07, 0x00, 0x00, 0x00}},
	{why: "RFC 5246, Section 7.2.2: a renegotiation is declined with a warning, once; to crypto/tls it is an end", victim: "server", version: tls12,
		ours: `complete, `, theirs: `complete, refuses: (tls: received unexpected handshake message of type \*tls.clientHelloMsg when waiting for \*tls.helloRequestMsg|local error: tls: error decoding message)`,
		flags: 7, example: detour{0x10, 0x06, 0x00, 0x00, 0x01}},

	{why: "RFC 5246, Section 7.3: where crypto/tls waits for change_cipher_spec, no record of a handshake message may come, and none of nothing; we hear the message out", version: tls12,
		ours: `incomplete, waits: `, theirs: `incomplete, refuses: local error: tls: unexpected message`,
		when:  func(_ trial, _, v verdict) bool { return v.last().typ == handshake },
		flags: 23, example: detour{0x01, 0x01, 0x1c, 0x5e, 0x29, 0x11, 0x03, 0x1d, 0x60, 0x81, 0x19, 0x01, 0x1f, 0xdf, 0x02}},
	{why: "RFC 5246, Section 7.3: and it does not look at messages until that comes", version: tls12,
		ours: `incomplete, refuses: baretls: (handshake message too large: \d+ bytes, limit 65536|unexpected message: .* in state TLS 1.2 WAIT_CCS)`, theirs: `incomplete, waits: `,
		when:  func(_ trial, _, v verdict) bool { return v.last().typ == handshake },
		flags: 19, example: detour{0x01, 0x02, 0x06, 0x4e, 0x80, 0x11, 0x03, 0x94, 0x0c, 0x01}},
	{why: "RFC 9846, Section 4.7.1: a ticket is not empty; crypto/tls throws one away that lives for no time before it looks", victim: "client", version: tls13,
		ours: `complete, refuses: baretls: message cannot be decoded: NewSessionTicket`,
		when: func(_ trial, _, v verdict) bool {
			return slices.ContainsFunc(v.got, func(u unit) bool {
				return bytes.HasPrefix(u.content, []byte{msgNewSessionTicket, 0, 0, 13, 0, 0, 0, 0})
			})
		},
		flags: 24, example: detour{0x13, 0x07, 0x19, 0xb2, 0x04}},

	{why: "RFC 5246, Section 7.4.9: only data stands behind a Finished; crypto/tls does not look at what is in its record before the next one", version: tls12,
		ours: `complete, refuses: baretls: (unexpected message: .* in state TLS 1.2 CONNECTED|handshake message too large: \d+ bytes, limit 65536)`, theirs: `complete, is told: `,
		when: func(_ trial, _, v verdict) bool {
			return slices.ContainsFunc(v.got, func(u unit) bool {
				return u.keys > 0 && bytes.HasPrefix(u.content, []byte{msgFinished}) && len(u.content) > 4+12
			})
		},
		flags: 30, example: detour{0x11, 0x03, 0x00, 0x00, 0x00, 0x19, 0x02, 0x00, 0x00, 0x00}},

	// Resumption.
	{why: "RFC 6066, Section 3: a session is not resumed under another server_name; crypto/tls does not compare", victim: "server",
		when:  otherName,
		flags: 29, example: detour{0x15, 0x00, 0x0a, 0xe0, 0x01}},
	{why: "a limit: of the PSKs that a client offers we look at 4, and crypto/tls at 5", victim: "server", version: tls13,
		when: func(_ trial, ours, theirs verdict) bool {
			var h wire.ClientHello
			var hello []byte // in one record or more; a second one offers no more than the first
			for _, u := range theirs.got {
				if u.typ == handshake && u.keys == 0 && (len(hello) < 4 || h.Parse(hello[4:]) != nil) {
					hello = append(hello, u.content...)
				}
			}
			return !ours.chose && theirs.resumes() && len(hello) > 4 && h.Parse(hello[4:]) == nil && h.PreSharedKey.Identities.Len() > 4
		},
		flags: 29, example: detour{0x1c, 0x00, 0x00, 0x06, 0x04}},
	{why: "RFC 8422, Section 4: a server that resumes ignores supported_groups; crypto/tls finds no cipher suite without", victim: "server", version: tls12,
		theirs: `incomplete, refuses: tls: no cipher suite supported by both client and server`,
		when:   func(_ trial, ours, _ verdict) bool { return ours.chose },
		flags:  31, example: detour{0x15, 0x00, 0x28, 0x00, 0xcf}},

	// Early data, of which crypto/tls hears nothing.
	{why: "not comparable: a detour of early data, or of what stands among it", victim: "server", version: tls13,
		when:  func(tr trial, _, _ verdict) bool { return tr.strayed() },
		flags: 45, example: detour{0x0e, 0x82, 0x2e, 0xd4, 0x34}},
	{why: "RFC 9846, Section 4.3.10: early data that was rejected is skipped, and so is what else does not open before a record does", victim: "server", version: tls13,
		theirs: `incomplete, refuses: local error: tls: (bad record MAC|unexpected message)`,
		when: func(_ trial, ours, theirs verdict) bool {
			u := theirs.last()
			return ours.skips && (u.keys > 0 || u.typ == applicationData)
		},
		flags: 41, example: detour{0x1a, 0x01, 0x2e, 0x97, 0x2e}},
	{why: "RFC 9846, Section 4.3: no extension stands twice, and what stands has to be well-formed; crypto/tls has another in place of early_data", version: tls13,
		ours:  `incomplete, refuses: baretls: [^:]*: early_data in (ClientHello|EncryptedExtensions)`,
		when:  func(tr trial, _, _ verdict) bool { return tr.early },
		flags: 44, example: detour{0x17, 0x01, 0x00, 0xc0, 0x00, 0x15, 0x01, 0x00, 0x20, 0x01, 0x15, 0x01, 0x00, 0xa0, 0x01}},
	{why: "not comparable: early data that is accepted; crypto/tls has not offered any", victim: "client", version: tls13,
		theirs: `incomplete, refuses: tls: server sent an unexpected early_data extension`,
		when:   func(tr trial, _, _ verdict) bool { return tr.early },
		flags:  40, example: detour{0x1b, 0x01, 0x00, 0x00, 0x2a}},
	{why: "not comparable: who accepts early data and does not say so cannot read what follows; there is none of crypto/tls", victim: "client", version: tls13,
		ours: `is told: baretls: the peer sent an alert: bad record MAC`, theirs: `complete, `,
		when:  func(tr trial, _, _ verdict) bool { return tr.accepted },
		flags: 44, example: detour{0x16, 0x01, 0x31, 0x30, 0x43}},

	// Alerts.
	{why: "RFC 9846, Section 6: the level of an alert says nothing, and neither does one that is no level in TLS 1.2",
		theirs: `refuses: local error: tls: unexpected message`,
		when: func(_ trial, _, v verdict) bool {
			u := v.last()
			return u.typ == alert && len(u.content) == 2 && u.content[0] != 1 && u.content[0] != 2
		},
		flags: 4, example: detour{0x0b, 0x00, 0x00, 0x0a, 0x00}},
	{why: "RFC 9846, Section 6: before there is a version, an alert that says it is a warning ends a server's connection as any does", victim: "server",
		ours: `incomplete, is told: baretls: the peer sent an alert`,
		when: func(_ trial, _, v verdict) bool {
			return slices.ContainsFunc(v.got, func(u unit) bool { return u.typ == alert && len(u.content) == 2 && u.content[0] == 1 })
		},
		flags: 5, example: detour{0x0b, 0x00, 0x00, 0x0a, 0x01}},
	{why: "RFC 9846, Section 6.1: user_canceled is no end, whatever its level, before there is a version",
		theirs: `incomplete, is told: remote error: tls: user canceled`,
		flags:  4, example: detour{0x0b, 0x00, 0x00, 0x5a, 0x02}},
	{why: "RFC 9846, Appendix A.1: a client may have failed before it had keys, and then says so in the clear, of which user_canceled is no end", victim: "server", version: tls13,
		theirs: `incomplete, refuses: local error: tls: bad record MAC`,
		when: func(_ trial, ours, v verdict) bool {
			u := v.last()
			return u.typ == alert && u.keys == 0 && (!ours.complete || bytes.HasSuffix(u.content, []byte{90}))
		},
		flags: 5, example: detour{0x00, 0x00, 0x04, 0xe0, 0x01}},

	// Neither accepts.
	{why: "we refuse what crypto/tls has not come to: it waits for more, or hears from the adversary first; where it then accepts, there is a row above",
		ours: `incomplete, refuses: `, theirs: `incomplete, (waits|is told): `,
		flags: 6, example: detour{0x19, 0x04, 0x00, 0x00, 0x00, 0x11, 0x04, 0x00, 0x00, 0x00}},
}

// resumes is for a session that crypto/tls resumes, or would if the binder were
// right.
func (v verdict) resumes() bool { return v.chose || matches("refuses: tls: invalid PSK binder", v) }

// otherName is for sessions that only crypto/tls resumes, because the name of
// the server is another.
func otherName(tr trial, ours, theirs verdict) bool {
	return tr.resumed && !ours.chose && ours.name != "example.com" && theirs.resumes()
}

func (d difference) matches(tr trial, ours, theirs verdict) bool {
	return (d.victim == "" || d.victim == tr.victim) && (d.version == 0 || d.version == tr.version) &&
		(d.when == nil || d.when(tr, ours, theirs)) && matches(d.ours, ours) && matches(d.theirs, theirs)
}

func matches(pattern string, v verdict) bool {
	return regexp.MustCompile(`^((in)?complete, )?(` + pattern + `)`).MatchString(v.sketch())
}

// Each row is of a difference that there is, and that no row before it is of.
func TestDifferencesAreThere(t *testing.T) {
	for i, d := range explained {
		tr := trialOf(d.flags, d.example)
		a, _ := ours(t, tr)
		b, _ := theirs(t, tr)
		got := slices.IndexFunc(explained, func(d difference) bool { return d.matches(tr, a, b) })
		if a.same(b) || got != i {
			t.Errorf("%v\nours:       %v\ncrypto/tls: %v\nis explained by %q, want %q", tr, a, b, why(tr, a, b), d.why)
		}
	}
}
