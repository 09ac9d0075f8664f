package baretls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"testing"
)

// RFC 9846, Section 5, as a peer can put it to the test.

// header makes a record header that announces n bytes.
func header(t byte, n int) []byte { return []byte{t, 3, 3, byte(n >> 8), byte(n)} }

// "The length MUST NOT exceed 2^14 bytes", or 2^14 + 256 when protected; the
// header is enough to tell.
func TestOversizedRecords(t *testing.T) {
	for _, role := range []byte{handshake, applicationData, alert} {
		phases(t, func(t *testing.T, ph phase) {
			limit := 1 << 14
			if !ph.clear {
				limit += 256
			}
			ph.victim.give(header(role, limit))
			ph.victim.turns()
			ph.victim.wantAlive()
			if len(ph.victim.in) != 5 {
				t.Errorf("of a header alone, %d bytes are left", len(ph.victim.in))
			}
			ph.victim.in = nil
			ph.hand(header(role, limit+1))
			if ph.victim.err == nil {
				t.Fatalf("a record of %d bytes and type %d is not refused", limit+1, role)
			}
			wantEnd(t, ph, recordOverflow)
		})
	}
}

// "The full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets", with
// its padding (Section 5.4). TLS 1.2 has no padding, and its TLSPlaintext has
// 2^14 bytes at most (RFC 5246, Section 6.2.1).
func TestOversizedInnerPlaintext(t *testing.T) {
	const limit = 1 << 14
	for _, tt := range []struct {
		content, padding int
		overflows        bool
	}{
		{limit, 0, false},
		{limit - 1, 1, false},
		{1, limit - 1, false},
		{0, limit, false},
		{limit + 1, 0, true},
		{limit, 1, true},
		{1, limit, true},
		{0, limit + 1, true},
		{limit + 239, 0, true}, // all that fits into a record
	} {
		phases(t, func(t *testing.T, ph phase) {
			if !ph.connected || ph.tls12 && tt.padding > 0 {
				return
			}
			content := bytes.Repeat([]byte("x"), tt.content)
			ph.hand(ph.forger.seal(applicationData, content, tt.padding))
			if tt.overflows {
				if ph.victim.err == nil {
					t.Fatalf("%d bytes of data with %d of padding are taken", tt.content, tt.padding)
				}
				wantEnd(t, ph, recordOverflow)
				return
			}
			if ph.victim.wantAlive(); !bytes.Equal(ph.victim.data, content) {
				t.Errorf("of %d bytes of data with %d of padding came %d", tt.content, tt.padding, len(ph.victim.data))
			}
		})
	}
}

// A record that is not what was sealed does not open, whatever was changed:
// the header is authenticated too.
func TestTamperedRecords(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		if ph.clear {
			return
		}
		seq := ph.forger.seq
		record := ph.forger.seal(applicationData, []byte("data"), 0)
		i := []int{2, 5, 10, len(record) - 1}[seq%4]
		record[i] ^= 1
		ph.hand(record)
		wantEnd(t, ph, badRecordMAC)
	})
	eachVersion(t, testTamperedRecords)
}

func testTamperedRecords(t *testing.T, v version) {
	for i := range v.overhead() + len("data") {
		p := v.pair(t, nil, nil)
		p.handshake()
		p.client.write([]byte("data"))
		record := p.client.take()
		if record[i] ^= 1; i == 3 || i == 4 {
			continue // the length: the record is another one, or is not all there
		}
		p.server.give(record)
		p.server.turns()
		if p.server.err == nil {
			t.Fatalf("a record with byte %d changed is taken", i)
		}
		switch {
		case i == 0 && v == tls13: // another content type
			p.server.wantFailed(unexpectedMessage)
		case i == 1: // no version of TLS
			p.server.wantFailed(protocolVersion)
		default:
			p.server.wantFailed(badRecordMAC)
		}
	}
	for name, change := range map[string]func(list [][]byte) [][]byte{
		"repeated":  func(l [][]byte) [][]byte { return [][]byte{l[0], l[0]} },
		"left out":  func(l [][]byte) [][]byte { return [][]byte{l[0], l[2]} },
		"reordered": func(l [][]byte) [][]byte { return [][]byte{l[0], l[2], l[1]} },
	} {
		p := v.pair(t, nil, nil)
		p.handshake()
		for _, data := range []string{"one", "two", "three"} {
			p.client.write([]byte(data))
		}
		p.server.give(change(records(t, p.client.take()))...)
		p.server.turns()
		if p.server.wantFailed(badRecordMAC); string(p.server.data) != "one" {
			t.Errorf("a record %s: the data is %q, want that of the first record", name, p.server.data)
		}
	}
}

// A change_cipher_spec is dropped "at any time after the first ClientHello
// message has been sent or received and before the peer's Finished message has
// been received", and is an unexpected record everywhere else. In TLS 1.2 it is
// a step of the handshake: see TestTLS12EarlyChangeCipherSpec.
func TestChangeCipherSpecWhereItMayStand(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		if ph.tls12 {
			return
		}
		allowed := !ph.connected && ph.name != "the server waits for ClientHello"
		if !allowed {
			ph.hand(ccs())
			wantEnd(t, ph, unexpectedMessage)
			return
		}
		for range 32 - ph.ccs {
			ph.victim.give(ccs())
		}
		ph.victim.turns()
		ph.victim.wantAlive()
		if len(ph.victim.in) != 0 {
			t.Errorf("%d bytes of change_cipher_spec are left", len(ph.victim.in))
		}
		ph.hand(ccs())
		if ph.victim.err == nil {
			t.Fatal("33 change_cipher_spec in a row are taken")
		}
		wantEnd(t, ph, unexpectedMessage)
	})
}

// To a stateless server, the first record of a connection may be the one
// between two ClientHellos.
func TestChangeCipherSpecBeforeTheHelloOfAStatelessServer(t *testing.T) {
	config := serverConfig()
	config.RetryCookieKey = make([]byte, 32)
	p := newPair(t, nil, config)
	p.server.give(ccs())
	p.handshake()
	p.works()
}

func TestChangeCipherSpecThatIsNone(t *testing.T) {
	for _, content := range [][]byte{nil, {0}, {2}, {1, 1}, make([]byte, 100)} {
		phases(t, func(t *testing.T, ph phase) {
			ph.hand(plain(changeCipherSpec, content))
			if ph.victim.err == nil {
				t.Fatalf("a change_cipher_spec of %x is taken", content)
			}
			wantEnd(t, ph, unexpectedMessage)
		})
	}
}

func TestProtectedChangeCipherSpec(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		if !ph.clear {
			ph.hand(ph.forger.seal(changeCipherSpec, []byte{1}, 0))
			wantEnd(t, ph, unexpectedMessage)
		}
	})
}

// The records that bring nothing are counted as long as they are in a row.
func TestChangeCipherSpecInEveryFlight(t *testing.T) {
	p := newPair(t, nil, retryServer())
	many := bytes.Repeat(ccs(), 31)
	for range 2 {
		p.client.turns()
		p.client.give(many)
		p.client.turns()
		p.server.give(p.client.take(), many)
		p.server.turns()
		p.client.give(p.server.take())
	}
	p.handshake()
	f := p.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0")
	for range 32 {
		p.server.give(f.seal(applicationData, nil, 0))
	}
	p.server.turns()
	p.server.wantAlive()
}

// "If a handshake message is split over two or more records, there MUST NOT be
// any other records between them" (Section 5.1).
func TestInterleavedRecords(t *testing.T) {
	for name, between := range map[string]func(ph phase) []byte{
		"change_cipher_spec": func(phase) []byte { return ccs() },
		"an alert":           func(ph phase) []byte { return ph.forger.seal(alert, []byte{1, byte(userCanceled)}, 0) },
		"data":               func(ph phase) []byte { return ph.forger.seal(applicationData, []byte("data"), 0) },
		"no data":            func(ph phase) []byte { return ph.forger.seal(applicationData, nil, 10) },
		"close_notify":       func(ph phase) []byte { return ph.forger.seal(alert, []byte{1, byte(closeNotify)}, 0) },
	} {
		for _, cut := range []int{1, 3, 4} {
			phases(t, func(t *testing.T, ph phase) {
				ph.victim.give(ph.forger.seal(handshake, keyUpdate(0)[:cut], 0))
				ph.victim.turns()
				ph.victim.wantAlive()
				ph.hand(between(ph))
				if ph.victim.err == nil {
					t.Fatalf("%s behind %d bytes of a message is taken", name, cut)
				}
				wantEnd(t, ph, unexpectedMessage)
			})
		}
	}
}

// "Implementations MUST NOT send Handshake and Alert records that have a
// zero-length TLSInnerPlaintext.content" (Section 5.4).
func TestEmptyHandshakeRecords(t *testing.T) {
	for _, inner := range []byte{handshake, alert} {
		for _, padding := range []int{0, 100} {
			phases(t, func(t *testing.T, ph phase) {
				ph.hand(ph.forger.seal(inner, nil, padding))
				wantEnd(t, ph, unexpectedMessage)
			})
		}
	}
}

func TestApplicationDataInTheHandshake(t *testing.T) {
	for _, content := range []string{"", "data"} {
		phases(t, func(t *testing.T, ph phase) {
			if !ph.connected {
				ph.hand(ph.forger.seal(applicationData, []byte(content), 0))
				wantEnd(t, ph, unexpectedMessage)
			}
		})
	}
}

func TestUnknownContentTypes(t *testing.T) {
	for _, outer := range []byte{0, 1, 19, 24, 25, 26, 64, 128, 255} {
		phases(t, func(t *testing.T, ph phase) {
			ph.hand(header(outer, 10)) // without the body
			if ph.victim.err == nil {
				t.Fatalf("a record of type %d is waited for", outer)
			}
			wantEnd(t, ph, unexpectedMessage)
		})
	}
	// Behind the protection is 1.3's only: in TLS 1.2, types are in the clear.
	for _, inner := range []byte{1, 19, 24, 26, 255} {
		phases(t, func(t *testing.T, ph phase) {
			if !ph.clear && !ph.tls12 {
				ph.hand(ph.forger.seal(inner, []byte("content"), 3))
				wantEnd(t, ph, unexpectedMessage)
			}
		})
	}
	for _, zeros := range []int{1, 2, 1000, 1 << 14} { // no type at all
		phases(t, func(t *testing.T, ph phase) {
			if !ph.clear && !ph.tls12 {
				ph.hand(ph.forger.sealInner(make([]byte, zeros)))
				wantEnd(t, ph, unexpectedMessage)
			}
		})
	}
	phases(t, func(t *testing.T, ph phase) { // nothing inside but the tag
		if !ph.clear && !ph.tls12 {
			ph.hand(ph.forger.sealInner(nil))
			wantEnd(t, ph, unexpectedMessage)
		}
	})
}

// Handshake records in the clear where keys are expected. In TLS 1.2 they look
// no different, but do not open.
func TestRecordsInTheClearWhereTheyShouldBeProtected(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		if !ph.clear {
			ph.hand(plain(handshake, keyUpdate(0)))
			if ph.tls12 {
				wantEnd(t, ph, badRecordMAC)
				return
			}
			wantEnd(t, ph, unexpectedMessage)
		}
	})
}

// The version of a record "is deprecated and MUST be ignored for all purposes"
// (Section 5.1); but "implementations SHOULD NOT accept any records with a
// version less than 0x0300" (Appendix E.5). Where TLS 1.2 protects records, the
// version is authenticated.
func TestRecordVersions(t *testing.T) {
	eachVersion(t, testRecordVersions)
	for _, version := range []uint16{0x0000, 0x0002, 0x0200, 0x02ff} {
		phases(t, func(t *testing.T, ph phase) {
			record := header(handshake, 100)
			record[1], record[2] = byte(version>>8), byte(version)
			ph.hand(record)
			if ph.victim.err == nil {
				t.Fatalf("a record of version %#04x is waited for", version)
			}
			want := protocolVersion
			if ph.first {
				want = unexpectedMessage // it is not TLS at all
			}
			wantEnd(t, ph, want)
		})
	}
}

func testRecordVersions(t *testing.T, v version) {
	for _, version := range []uint16{0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x0305, 0x03ff} {
		p := v.pair(t, nil, nil)
		revise := func(flight []byte) []byte {
			list := records(t, flight)
			for i, record := range list {
				if v == tls12 && i > 0 && list[i-1][0] == changeCipherSpec {
					break
				}
				if record[0] != applicationData { // there, it is authenticated
					record[1], record[2] = byte(version>>8), byte(version)
				}
			}
			return slices.Concat(list...)
		}
		for range 2 {
			p.client.turns()
			p.server.give(revise(p.client.take()))
			p.server.turns()
			p.client.give(revise(p.server.take()))
		}
		if p.run(); p.client.err != nil || p.server.err != nil {
			t.Errorf("records of version %#04x are refused: %v, %v", version, p.client.err, p.server.err)
			continue
		}
		p.works()
	}
}

// Which versions we send: 0x0301 for the initial ClientHello, 0x0303 for all
// the rest (Section 5.1).
func TestRecordVersionsThatAreSent(t *testing.T) {
	p := newPair(t, nil, retryServer())
	var sent [][]byte
	for range 3 {
		p.client.turns()
		flight := p.client.take()
		p.server.give(flight)
		p.server.turns()
		answer := p.server.take()
		p.client.give(answer)
		sent = append(sent, records(t, slices.Concat(flight, answer))...)
	}
	for i, record := range sent {
		want := []byte{3, 3}
		if i == 0 {
			want = []byte{3, 1}
		}
		if !bytes.Equal(record[1:3], want) {
			t.Errorf("record %d, of type %d, has version %x, want %x", i, record[0], record[1:3], want)
		}
	}
	if len(sent) != 8 { // CH; HRR, CCS; CCS, CH; SH, EE…; Finished
		t.Errorf("the handshake has %d records, want 8", len(sent))
	}
}

// Empty records of application data are cover traffic, as long as they are
// not all there is.
func TestEmptyDataRecords(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		if !ph.connected {
			return
		}
		empty := func(n int) {
			for i := range n {
				ph.victim.give(ph.forger.seal(applicationData, nil, i))
			}
			ph.victim.turns()
		}
		for range 3 {
			ph.victim.give(ph.forger.seal(applicationData, []byte("data"), 0))
			empty(32)
			ph.victim.wantAlive()
		}
		if want := "datadatadata"; string(ph.victim.data) != want {
			t.Errorf("between empty records, %q came", ph.victim.data)
		}
		empty(1)
		ph.hand()
		if ph.victim.err == nil {
			t.Fatal("33 empty records in a row are taken")
		}
		wantEnd(t, ph, unexpectedMessage)
	})
}

// A handshake message may be as large as the configuration says, and one that
// announces more is refused by its header.
func TestLargeHandshakeMessages(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		ph.victim.give(ph.forger.seal(handshake, []byte{11, 0, 0xff, 0xff}, 0))
		ph.victim.turns()
		ph.victim.wantAlive()
	})
	phases(t, func(t *testing.T, ph phase) {
		ph.hand(ph.forger.seal(handshake, []byte{11, 1, 0, 1}, 0))
		wantEnd(t, ph, illegalParameter)
	})
}

// A peer that speaks something else is told from one that speaks TLS badly.
func TestPeerThatDoesNotSpeakTLS(t *testing.T) { eachVersion(t, testPeerThatDoesNotSpeakTLS) }

func testPeerThatDoesNotSpeakTLS(t *testing.T, v version) {
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n", "220 example.com\r\n", "\x80\x2e\x01\x03\x01\x00\x15"} {
		for _, role := range []string{"client", "server"} {
			p := v.pair(t, nil, nil)
			s := p.side(role)
			s.turns()
			s.take()
			s.transcript = nil
			s.give([]byte(text))
			s.turns()
			s.wantStates("text", encode, transmit)
			s.wantFailed(unexpectedMessage)
			var known tls.RecordHeaderError
			if !errors.As(s.err, &known) || string(known.RecordHeader[:]) != text[:5] {
				t.Errorf("%s: %q makes the error %v, with the header %q, want a tls.RecordHeaderError with the first five bytes", role, text, s.err, known.RecordHeader)
			}
			if want := plain(alert, []byte{2, byte(unexpectedMessage)}); !bytes.Equal(s.take()[3:], want[3:]) {
				t.Errorf("%s: %q is not answered by an alert in the clear", role, text)
			}
		}
	}
	p := v.pair(t, nil, nil)
	p.handshake()
	p.server.give([]byte("GET / HTTP/1.1\r\n"))
	p.server.turns()
	p.server.wantFailed(unexpectedMessage)
	if errors.As(p.server.err, new(tls.RecordHeaderError)) {
		t.Errorf("in the middle of a connection, text makes the error %v", p.server.err)
	}
}
