package baretls_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"go/ast"
	"go/parser"
	"math/big"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
	"github.com/baretls/baretls/netconn"
)

// A regression is what went wrong elsewhere and must not here.
type regression struct {
	name  string
	story string // what happened
	here  string // what holds in baretls
	in    string // the package of the test
	test  string
}

// The tables of docs/security.md, by their headings.
var regressions = map[string][]regression{
	"## Attacks on the protocol": {
		{"Heartbleed (CVE-2014-0160)", "OpenSSL sent back as much memory as a heartbeat claimed to have", "no heartbeats: neither the extension nor the record type is known", ".", "TestUnknownContentTypes"},
		{"CCS injection (CVE-2014-0224)", "an early change_cipher_spec made OpenSSL use keys that everybody knows", "change_cipher_spec is an arrow of the table, behind the key exchange", ".", "TestTLS12EarlyChangeCipherSpec"},
		{"FREAK (CVE-2015-0204)", "clients took RSA keys of 512 bits that they had not asked for", "no RSA key exchange and no export suites; a suite that was not offered is refused", ".", "TestTLS12ServerHelloThatIsWrong"},
		{"Logjam (CVE-2015-4000)", "servers could be led to groups of 512 bits, which are broken", "no finite-field groups, and nothing to be led to", ".", "TestOldAlgorithmsAreRefused"},
		{"Raccoon (CVE-2020-1968)", "the time that leading zeros of a DH secret take told the secret", "no finite-field key exchange; secrets of curves and ML-KEM have a fixed length", ".", "TestOldAlgorithmsAreRefused"},
		{"ROBOT, Bleichenbacher, DROWN (CVE-2017-13099, CVE-2016-0800)", "servers told whether the padding of RSA was right", "nothing is decrypted by RSA", ".", "TestOldAlgorithmsAreRefused"},
		{"SLOTH (CVE-2015-7575)", "signatures over MD5 were taken, whose collisions can be made", "no MD5 and no SHA-1, in handshakes and in what is offered", ".", "TestWhatClientsOffer"},
		{"Lucky 13, BEAST, POODLE (CVE-2013-0169, CVE-2011-3389, CVE-2014-3566)", "CBC told of its padding, or had IVs that could be known", "AEADs only", ".", "TestOldAlgorithmsAreRefused"},
		{"Sweet32, RC4 (CVE-2016-2183, CVE-2013-2566)", "short blocks repeat, and RC4 is biased", "AES-GCM and ChaCha20-Poly1305 only, with limits on records per key", ".", "TestOldAlgorithmsAreRefused"},
		{"CRIME (CVE-2012-4929)", "the size of what was compressed told what it was", "no compression", ".", "TestWhatClientsOffer"},
		{"The downgrade dance (POODLE's way in)", "clients tried older versions when a handshake failed, and anyone could make it fail", "the sentinels in the server's random are set and checked", ".", "TestTLS12DowngradeSentinels"},
		{"The same, by clients that still dance", "", "TLS_FALLBACK_SCSV is heeded", ".", "TestTLS12FallbackSCSV"},
		{"Renegotiation (CVE-2009-3555)", "what an attacker had sent became the beginning of somebody else's request", "no renegotiation, in any version", ".", "TestTLS12Renegotiation"},
		{"Triple handshake (CVE-2014-1295)", "two connections had the same main secret, and a client's proof for one was good for the other", "extended_main_secret is demanded, for resumption too, and exporters need it", ".", "TestTLS12ExtendedMainSecretIsDemanded"},
		{"Selfie (RFC 9257)", "with an external PSK, a peer could be made to talk to itself", "no external PSKs; whatever is sent back to its sender is refused", ".", "TestReflectedRecordsAreRefused"},
		{"SKIP-TLS and SMACK (CVE-2014-6593, CVE-2015-0205)", "messages that should not have been left out could be", "each state accepts what its row says, and every pair is tested", "internal/handshake", "TestMessagesWithoutAnArrowAreUnexpected"},
		{"goto fail (CVE-2014-1266)", "the signature over the key exchange was not checked", "it is, over all that it has to cover", ".", "TestTLS12ServerKeyExchange"},
		{"Certificates without proof (CVE-2020-24613, CVE-2022-25640)", "wolfSSL went on without a CertificateVerify, as client and as server", "WAIT_CV has one arrow", ".", "TestForgedClientFlight"},
		{"Invalid curve points (CVE-2015-7940)", "points off the curve told the private key bit by bit", "points off the NIST curves are refused by crypto/ecdh, and X25519 secrets of zeros here; each key is used once", ".", "TestTLS12BadPoints"},
		{"Nonce-disrespecting adversaries (CVE-2016-0270)", "explicit nonces of AES-GCM were random or repeated", "they are the sequence number", "internal/record", "TestTheSequenceNumberMakesTheNonce12"},
		{"Ticket confusion across hosts (virtual host confusion)", "a ticket of one host was good for another of the same server", "a session is bound to its server name, client authentication, protocols and context", ".", "TestTicketIsRefused"},
		{"The same in TLS 1.2", "", "likewise", ".", "TestTLS12SessionsAreBoundToTheServerName"},
		{"Tickets under a key of zeros (CVE-2020-13777)", "until its first rotation GnuTLS sealed tickets with a key that everybody knows", "a ring has random keys or none, and without keys there are no tickets", ".", "TestTicketKeysAreNeverZero"},
		{"ALPACA (CVE-2021-3618)", "what was meant for one protocol was answered by a server of another", "without a protocol in common the handshake ends", ".", "TestALPN"},
		{"0-RTT replay (RFC 9846, Section 8)", "early data can be sent again by anyone", "off by default; each flight once, by age, by a register, by sessions that are used once", ".", "TestReplay"},
		{"Truncation (the cookie cutter)", "the end of the transport was taken for the end of the data", "without close_notify it is io.ErrUnexpectedEOF", ".", "TestRule5Truncation"},
		{"STARTTLS injection (CVE-2011-0411)", "commands sent in the clear behind STARTTLS were carried out as if they were protected", "an upgrade with bytes left in the reader is refused", ".", "TestPlaintextBehindSTARTTLS"},
		{"Floods of key updates (CVE-2026-56862)", "a peer that asked for new keys without end kept its victim busy", "33 in a row without data end the connection, and requests are answered once", ".", "TestFloods"},
		{"Floods of empty records", "records without content cost work and bring nothing", "33 in a row end the connection; empty handshake records end it at once", ".", "TestEmptyDataRecords"},
		{"Floods of warnings (CVE-2016-8610)", "undefined warnings kept OpenSSL busy", "the fifth ends the connection", ".", "TestWarningFlood"},
		{"Floods of change_cipher_spec", "in TLS 1.3 they mean nothing, and may come", "33 in a row end the connection", ".", "TestChangeCipherSpecWhereItMayStand"},
		{"Oversized keys (CVE-2023-29409)", "verifying with huge RSA keys took seconds", "8,192 bits at most, wherever in the chain, before anything is verified", "internal/handshake", "TestGiantKeysAreRefusedBeforeTheyAreUsed"},
		{"Oversized messages", "a length of 24 bits is a promise of 16 MiB", "65,536 bytes, refused by the header; memory is taken as bytes arrive", ".", "TestLargeHandshakeMessages"},
		{"Certificates that cost work to verify (CVE-2018-16875)", "chains with many candidates for each issuer kept crypto/x509 busy", "crypto/x509 stops after 100 signatures, and so does the handshake", ".", "TestChainsThatCostTooMuchAreRefused"},
		{"Many lists for many certificates (found here)", "thousands of signature schemes were searched for each of a server's certificates", "a long list is cut to what there is to be found in it, once", "internal/handshake", "TestLongListsAreCutBeforeTheyAreSearchedOften"},
	},
	"## Bugs of crypto/tls": {
		{"CVE-2026-32283, GO-2026-4870", "several KeyUpdates in one record led to a deadlock", "keys do not change in the middle of a record", ".", "TestKeyUpdatesInOneRecord"},
		{"CVE-2026-56862, GO-2026-6090, golang/go#80528, golang/go#79866", "KeyUpdates without end", "33 without data are refused, in the halves of a connection too", ".", "TestSplitFloods"},
		{"golang/go#79851", "PSK identities that were exchanged after a HelloRetryRequest were accepted", "illegal_parameter, as for those that were withdrawn, but for PSKs of another hash", "internal/handshake", "TestPSKsThatChangeAfterARetry"},
		{"rustls#3259", "a PSK that was withdrawn after a HelloRetryRequest could still be selected", "to the client it is unsolicited then", "internal/handshake", "TestAPSKThatWasWithdrawnIsUnsolicited"},
		{"golang/go#79862", "a race on ticket keys", "a ring is replaced as a whole, under load too", ".", "TestTicketKeysUnderLoad"},
		{"CVE-2025-68121, golang/go#77217", "a session was resumed although the authorities had changed", "the ticket is bound to them, and the chain is judged anew", ".", "TestTicketDoesNotOutliveItsAuthority"},
		{"golang/go#77113", "Clone copied ticket keys that were made automatically, so that configs accepted each other's tickets", "a config that was copied after its first use is refused", ".", "TestCopiedConfigsAreRefused"},
		{"CVE-2025-61730", "messages in the record before a change of keys were taken for protected ones", "keys do not change while anything of a message is left", "internal/handshake", "TestMessagesThatSpanKeyChangesAreRefused"},
		{"CVE-2026-42505, GO-2026-5856", "the outer hello of ECH told the PSK identity of the inner one", "no ECH yet; a hello says nothing that is not listed", ".", "TestWhatClientsOffer"},
		{"golang/go#71642", "ECH configs of unknown versions made the client fail", "no ECH yet", ".", "TestWhatClientsOffer"},
		{"CVE-2022-41724, golang/go#58001", "large tickets and certificates made the next hello panic", "what does not fit is not kept, and is not offered", "internal/handshake", "TestTicketsThatAreTooLarge"},
		{"CVE-2023-39321", "a post-handshake message that was not complete made a QUIC connection panic", "partial messages in every state, split at every byte", ".", "TestPiecesOfLiveConnections"},
		{"CVE-2023-39322", "post-handshake messages had no limit on QUIC connections", "the limit holds in every state", ".", "TestLargeHandshakeMessages"},
		{"golang/go#65686", "a server without a group in common asked for one by HelloRetryRequest", "handshake_failure", ".", "TestNothingInCommon"},
		{"golang/go#35153", "chains of more than 64 KiB, as post-quantum signatures bring, could not be received", "the limit can be set", ".", "TestServersOfAllKinds"},
		{"golang/go#59425", "the binder after a HelloRetryRequest was computed over the wrong transcript", "resumption with retries, stateless ones too", ".", "TestResumption"},
	},
	"## What users of rustls' unbuffered API met": {
		{"rustls#1420, #1362, #1578, #1583", "why there is such an API: nothing buffered, the caller's memory, one write per flight", "TransmitTLSData comes once per flight", ".", "TestTranscriptOfFullHandshake"},
		{"rustls#1723, tokio-rustls#60", "the buffered API could not be built on the unbuffered one", "netconn is built on the public API and nothing else", ".", "TestArchitectureLayersAreTrue"},
		{"rustls#1816", "does it pay?", "BENCHMARKS.md, and no allocation per record", ".", "TestNoAllocations"},
		{"rustls#1880", "output needed memory that was zeroed before", "AppendTo and AppendEncrypted use capacity", ".", "TestRule7SizesAreExact"},
		{"rustls#1895", "after the peer's close nothing could be written", "half-close works both ways", ".", "TestRule5HalfClose"},
		{"rustls#1958", "reading and writing in any order was hard", "an empty input always leads to WriteTraffic", ".", "TestRule1NothingIsClaimedBetweenTurns"},
		{"rustls#2031", "a record could not be refused for want of room", "a record that is not opened stays in the input", ".", "TestRule1NothingIsClaimedBetweenTurns"},
		{"rustls#2032", "ALPN and the like could not be reached", "the Conn has all accessors", ".", "TestWhatIsNegotiated"},
		{"rustls#2040, #2227", "panics when handshake messages came together", "every cut and every coalescing of every flight", ".", "TestEverySplitInTwo"},
		{"rustls#2114, #2121", "handshakes failed or stalled when bytes were retained and came again", "bytes that were not discarded may move and be read again; a hostile caller tries", ".", "TestPieces"},
		{"rustls#2134", "close_notify could not be sent at other times", "QueueCloseNotify wherever writing is allowed", ".", "TestCloseNotifyInEveryPhase"},
		{"rustls#2363, #2380, #2698, #2746", "copies, buffers and allocations remained inside", "payloads are parts of the input; nothing is kept", ".", "TestRule2NoCopies"},
		{"rustls#2761, #288, #2795, tokio-rustls#84", "two goroutines could not read and write at once", "Split", ".", "TestSplitBothWaysAtOnce"},
		{"rustls#959, #989", "data after close_notify was taken, and close_notify before Finished", "what is behind the end is discarded; before the end of the handshake it is an error", ".", "TestRule5JunkBehindCloseNotify"},
		{"rustls#3047", "writing after one's own close", "nothing is sent behind it, no key update and no alert", ".", "TestRule5NothingIsSentBehindCloseNotify"},
		{"rustls#991, #3206", "a limit on fragments did not count what encryption adds", "sizes are exact, with the overhead", ".", "TestRecordSizeLimitOfThePeer"},
		{"rustls#850, #89, #468, #341, #1976, #2713, #2837", "verifiers, resolvers and signers could not wait", "states that ask, answered from anywhere", ".", "TestAskCombinations"},
		{"rustls#198, #1112, #2362, #2370, ktls#20, #22, #61, #75", "kernels need sequence numbers, key updates and tickets", "KernelConn follows them", ".", "TestKernelUpdates"},
		{"rustls#794", "10,000 idle connections took 300 MB", "an idle connection keeps no buffer, and its memory is bounded", ".", "TestIdleMemory"},
		{"rustls#91, #284, tokio-rustls#12", "alerts were never sent, because callers stopped at the error", "the alert comes first, the error last", ".", "TestRule3AlertFirstErrorLast"},
		{"ntex#899", "the answer to a key update was not written, because nobody looked after reading", "it is the next state", ".", "TestRule6KeyUpdateIsAnsweredAtOnce"},
		{"elle#745", "data that came with the close was lost", "PeerClosed comes after all data", ".", "TestRule5WhatCameBeforeTheEndIsUsed"},
		{"memberlist#168", "the end of the transport was taken for a clean end", "CloseInput tells the one from the other", ".", "TestRule5Truncation"},
		{"pipebuf_rustls, blueprint-rustls, compio", "client and server were two types, and loops were written twice", "one Conn for both", ".", "TestLoopOfTheDocuments"},
	},
}

// TestRegressionsAreDocumented: docs/security.md has these tables and no other
// rows, and each test exists.
func TestRegressionsAreDocumented(t *testing.T) {
	tests := make(map[string][]string)
	for heading, list := range regressions {
		var want []string
		for _, r := range list {
			if _, ok := tests[r.in]; !ok {
				tests[r.in] = testsOf(t, r.in)
			}
			if !slices.Contains(tests[r.in], r.test) {
				t.Errorf("%s: there is no %s in %s", r.name, r.test, r.in)
			}
			want = append(want, r.row())
		}
		var got []string
		for _, cells := range table(t, "docs/security.md", heading) {
			got = append(got, "| "+strings.Join(cells, " | ")+" |")
		}
		if !slices.Equal(got, want) {
			t.Errorf("docs/security.md does not have the table of regressions_test.go below %q; it wants\n%s", heading, strings.Join(want, "\n"))
		}
	}
}

func (r regression) row() string {
	where := "`" + r.test + "`"
	if r.in != "." {
		where += " in `" + r.in + "`"
	}
	story := r.story
	if story == "" {
		story = "as above"
	}
	return "| " + strings.Join([]string{r.name, story, r.here, where}, " | ") + " |"
}

// testsOf are the names of a package's tests.
func testsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, decl := range parse(t, file, parser.SkipObjectResolution).Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

// TestWhatClientsOffer: the hello of a client says what is listed here. Whatever
// else ever was an attack's way in is not offered, and so cannot be accepted.
func TestWhatClientsOffer(t *testing.T) {
	p := newPair(t, &baretls.ClientConfig{NextProtos: []string{"h2"}}, nil)
	p.client.turns()
	h := firstHello(t, p.client.take())
	list := func(l wire.Uint16s) (values []uint16) {
		for i := range l.Len() {
			values = append(values, l.At(i))
		}
		slices.Sort(values)
		return values
	}
	var extensions []uint16
	for code := range wire.RawExtensions(h.Extensions) {
		extensions = append(extensions, code)
	}
	slices.Sort(extensions)
	for _, tt := range []struct {
		what      string
		got, want []uint16
	}{
		{"versions", list(h.SupportedVersions), []uint16{tls.VersionTLS12, tls.VersionTLS13}},
		{"cipher suites", list(h.CipherSuites), []uint16{0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9}},
		{"groups", list(h.SupportedGroups), []uint16{23, 24, 25, 29, 0x11eb, 0x11ec, 0x11ed}},
		{"signature schemes", list(h.SignatureAlgorithms), []uint16{
			0x0401, 0x0403, 0x0501, 0x0503, 0x0601, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0809, 0x080a, 0x080b}},
		// server_name, status_request, groups, point formats, signature_algorithms,
		// ALPN, SCT, extended_main_secret, record_size_limit, session_ticket,
		// versions, PSK modes, key_share, renegotiation_info.
		{"extensions", extensions, []uint16{0, 5, 10, 11, 13, 16, 18, 23, 28, 35, 43, 45, 51, 0xff01}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("a client offers the %s %#04x, want %#04x", tt.what, tt.got, tt.want)
		}
	}
	if !bytes.Equal(h.CompressionMethods, []byte{0}) || !bytes.Equal(h.PSKKeyExchangeModes, []byte{1}) {
		t.Errorf("a client offers the compression methods %d and the PSK modes %d, want null and psk_dhe_ke", h.CompressionMethods, h.PSKKeyExchangeModes)
	}
}

// TestOldAlgorithmsAreRefused: a client that has nothing better gets nothing.
func TestOldAlgorithmsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		what   string
		suites []uint16
		groups []uint16 // nil: those of a client
	}{
		{what: "RSA key exchange", suites: []uint16{0x002f, 0x0035, 0x003c, 0x009c, 0x009d, 0xc09c}},
		{what: "finite fields", suites: []uint16{0x0033, 0x0039, 0x0067, 0x009e, 0x009f, 0xccaa}},
		{what: "export suites", suites: []uint16{0x0003, 0x0006, 0x0008, 0x0014}},
		{what: "CBC", suites: []uint16{0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc027}},
		{what: "3DES and RC4", suites: []uint16{0x000a, 0xc008, 0xc012, 0x0005, 0xc007, 0xc011}},
		{what: "no encryption", suites: []uint16{0x0000, 0x0001, 0x0002, 0xc006, 0xc010}},
		{what: "no authentication", suites: []uint16{0x0018, 0x0034, 0x00a6, 0xc018}},
		{what: "external PSKs", suites: []uint16{0x008c, 0x00a8, 0xc035, 0xccac}},
		{what: "groups of finite fields", suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, groups: []uint16{256, 257, 258}},
		{what: "curves that are weak or binary", suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, groups: []uint16{1, 9, 15, 19, 22}},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			p := newPair(t, nil, nil)
			p.client.turns()
			h := firstHello(t, p.client.take())
			h.CipherSuites = wire.AppendUint16s(nil, tt.suites...)
			h.SupportedVersions = wire.AppendUint16s(nil, version)
			if tt.groups != nil {
				h.SupportedGroups, h.KeyShares = wire.AppendUint16s(nil, tt.groups...), nil
			}
			p.server.give(plain(handshake, h.Append(nil)))
			p.server.turns()
			p.server.wantFailed(handshakeFailure)
		}
	}
}

// TestReflectedRecordsAreRefused: what a side has sent is no message for it,
// neither in the handshake nor later.
func TestReflectedRecordsAreRefused(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		reflected := 0
		for _, role := range []string{"client", "server"} {
			for flight := range 3 {
				for record := 0; ; record++ {
					p := v.pair(t, nil, nil)
					s := p.side(role)
					got := p.until(s, flight)
					if record >= len(got) {
						break
					}
					if got[record][0] == 20 { // means nothing in TLS 1.3, and what it can in TLS 1.2
						continue
					}
					reflected++
					s.give(got[record])
					s.turns()
					if s.err == nil {
						t.Errorf("the %s takes record %d of its own flight %d for the peer's", role, record, flight)
					}
				}
			}
			p := v.pair(t, nil, nil)
			p.handshake()
			s := p.side(role)
			s.write([]byte("data"))
			s.give(s.take())
			s.turns()
			s.wantFailed(badRecordMAC)
		}
		if reflected < 4 {
			t.Errorf("only %d records were reflected", reflected)
		}
	})
}

// until runs up to the side's nth flight and returns the records of that, which
// do not reach the peer.
func (p *pair) until(s *side, n int) [][]byte {
	p.t.Helper()
	for range 8 {
		for _, x := range p.sides() {
			x.turns()
			sent := x.take()
			if x == s && len(sent) > 0 {
				if n == 0 {
					return records(p.t, sent)
				}
				n--
			}
			p.other(x).give(sent)
		}
	}
	return nil
}

// TestCopiedConfigsAreRefused: two configs would share ticket keys and all that
// belongs to one of them, whatever was changed in the copy.
func TestCopiedConfigsAreRefused(t *testing.T) {
	client, server := clientConfig(), serverConfig()
	newPair(t, client, server)
	// By reflection, for go vet would not have it otherwise.
	var otherClient baretls.ClientConfig
	reflect.ValueOf(&otherClient).Elem().Set(reflect.ValueOf(client).Elem())
	var otherServer baretls.ServerConfig
	reflect.ValueOf(&otherServer).Elem().Set(reflect.ValueOf(server).Elem())
	_, ofClient := baretls.NewClient(&otherClient, "example.com")
	_, ofServer := baretls.NewServer(&otherServer)
	for _, err := range []error{ofClient, ofServer} {
		if !errors.As(err, new(*baretls.ConfigError)) {
			t.Errorf("a config that was copied after its first use makes the error %v, want a ConfigError", err)
		}
	}
}

// TestTicketKeysAreNeverZero: each ring has its own random keys, before the
// first rotation and after.
func TestTicketKeysAreNeverZero(t *testing.T) {
	known := map[string]bool{string(make([]byte, 32)): true}
	for range 3 {
		ring := newTicketKeys(t, 0)
		for range 3 {
			encoded, err := ring.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			next := encoded[1+16:][:32] // the others have been seen, but for the first time
			if known[string(next)] {
				t.Fatalf("the key %x is not fresh", next)
			}
			known[string(next)] = true
			ring.Rotate()
		}
	}
}

// TestPlaintextBehindSTARTTLS: whatever came in the clear behind the wish for
// TLS stops the upgrade, on both sides.
func TestPlaintextBehindSTARTTLS(t *testing.T) {
	for _, tt := range []struct {
		received string
		want     error
	}{
		{"STARTTLS\r\n", nil},
		{"STARTTLS\r\nRSET\r\n", netconn.ErrBufferedPlaintext},
		{"STARTTLS\r\n\x16", netconn.ErrBufferedPlaintext},
	} {
		r := bufio.NewReader(strings.NewReader(tt.received))
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		if _, err := netconn.UpgradeServer(ours, r, serverConfig()); !errors.Is(err, tt.want) {
			t.Errorf("behind %q, UpgradeServer returns %v, want %v", tt.received, err, tt.want)
		}
		if _, err := netconn.UpgradeClient(theirs, r, clientConfig(), "example.com"); !errors.Is(err, tt.want) {
			t.Errorf("behind %q, UpgradeClient returns %v, want %v", tt.received, err, tt.want)
		}
	}
}

// TestChainsThatCostTooMuchAreRefused: each of many authorities could have issued
// each other, and none leads to a root.
func TestChainsThatCostTooMuchAreRefused(t *testing.T) {
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	name := pkix.Name{CommonName: "one of many"}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: name, Issuer: name,
		NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	issue := func(template *x509.Certificate, pub *ecdsa.PublicKey, by *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: name}, pub, by)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	issuer, leafKey := key(), key()
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: []string{"example.com"},
		NotBefore: tlstest.NotBefore, NotAfter: tlstest.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	chain := [][]byte{issue(leaf, &leafKey.PublicKey, issuer)}
	for i := range 99 { // with the leaf, as many as may come
		template.SerialNumber = new(big.Int).Add(template.SerialNumber, big.NewInt(1))
		of := key()
		if i == 0 {
			of = issuer
		}
		chain = append(chain, issue(template, &of.PublicKey, issuer))
	}
	cert := tls.Certificate{Certificate: chain, PrivateKey: leafKey}
	eachVersion(t, func(t *testing.T, v version) {
		server := v.server()
		server.Certificates = []tls.Certificate{cert}
		p := v.pair(t, nil, server)
		p.run()
		wantTooCostly(t, p.client)

		client, server := v.client(), v.server()
		client.Certificates = []tls.Certificate{cert}
		client.GetClientCertificate = func(*baretls.CertificateRequest) (*tls.Certificate, error) { return &cert, nil }
		server.ClientAuth = tls.RequireAndVerifyClientCert
		server.ClientCAs, _ = tlstest.CA()
		p = v.pair(t, client, server)
		p.run()
		wantTooCostly(t, p.server)
	})
}

func wantTooCostly(t *testing.T, s *side) {
	t.Helper()
	if s.err == nil || !strings.Contains(s.err.Error(), "signature check attempts limit") {
		t.Errorf("%s: a chain of which each could have issued each makes the error %v, want that of a limit on signatures", s.role, s.err)
	}
}
