package baretls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/baretls/baretls"
)

// Nothing is claimed between turns: what is not consumed costs nothing, loses
// nothing, and may be moved or read again.
func TestRule1NothingIsClaimedBetweenTurns(t *testing.T) {
	eachVersion(t, testRule1NothingIsClaimedBetweenTurns)
}

func testRule1NothingIsClaimedBetweenTurns(t *testing.T, v version) {
	p := v.pair(t, nil, nil)
	p.handshake()
	for _, data := range []string{"one", "two", "three"} {
		p.client.write([]byte(data))
	}
	want := []string{"three", "four"}
	if v == tls13 { // a record without data
		want = []string{"three", "", "four"}
		p.client.refresh()
		p.client.turns()
	}
	p.client.write([]byte("four"))
	input := p.client.take()
	untouched := bytes.Clone(input)
	c := p.server.conn

	for i := range 3 {
		r := turnTo[baretls.ReadTraffic](t, c, input, 0)
		for range 3 {
			if n, ok := r.PeekLen(); n != len("one") || !ok {
				t.Errorf("PeekLen is %d, %v, want the length of the first record's data", n, ok)
			}
		}
		if !bytes.Equal(input, untouched) {
			t.Fatalf("turn %d: a ReadTraffic that was not consumed has changed the input", i)
		}
	}

	// Nothing to hand in is back-pressure: the connection is quiet, and writes.
	for range 2 {
		w := turnTo[baretls.WriteTraffic](t, c, nil, 0)
		if _, err := w.AppendEncrypted(nil, []byte("while unread data waits")); err != nil {
			t.Errorf("writing while unread data waits: %v", err)
		}
	}

	// The same bytes in another place, and one record less each time.
	for _, want := range []string{"one", "two"} {
		input = bytes.Clone(input)
		r := turnTo[baretls.ReadTraffic](t, c, input, 0)
		var got []string
		discard := 0
		for rec := range r.Records() {
			got = append(got, string(rec.Payload))
			discard += rec.Discard
			break
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("the first record of the rest is %q, want %q", got, want)
		}
		rest := bytes.Clone(input[discard:])
		scribble(input)
		input = rest
	}

	r := turnTo[baretls.ReadTraffic](t, c, input, 0)
	discard := 0
	for _, want := range want {
		rec, ok := r.NextRecord()
		if string(rec.Payload) != want || !ok {
			t.Errorf("the next record is %q, %v, want %q", rec.Payload, ok, want)
		}
		if rec.Discard == 0 {
			t.Errorf("the record %q has nothing to discard", want)
		}
		discard += rec.Discard
	}
	if rec, ok := r.NextRecord(); ok || rec.Discard != 0 {
		t.Errorf("behind the last record there is one with %q", rec.Payload)
	}
	if n, ok := r.PeekLen(); n != 0 || ok {
		t.Errorf("behind the last record PeekLen is %d, %v", n, ok)
	}
	if discard != len(input) {
		t.Errorf("the records make %d bytes to discard of %d", discard, len(input))
	}
	if v == tls13 { // the answer to the key update
		turnTo[baretls.EncodeTLSData](t, c, nil, 0)
	}
}

func TestRule1RecordThatDoesNotOpen(t *testing.T) { eachVersion(t, testRule1RecordThatDoesNotOpen) }

func testRule1RecordThatDoesNotOpen(t *testing.T, v version) {
	p := v.pair(t, nil, nil)
	p.handshake()
	p.client.write([]byte("good"))
	p.client.write([]byte("spoiled"))
	p.client.write([]byte("never seen"))
	input := p.client.take()
	input[len("good")+v.overhead()+10] ^= 1

	r := turnTo[baretls.ReadTraffic](t, p.server.conn, input, 0)
	rec, ok := r.NextRecord()
	if string(rec.Payload) != "good" || !ok {
		t.Errorf("the record before the spoiled one is %q, %v", rec.Payload, ok)
	}
	for range 2 {
		if spoiled, ok := r.NextRecord(); ok || spoiled.Payload != nil || spoiled.Discard != 0 {
			t.Errorf("the spoiled record, and any after it, is %q with %d to discard", spoiled.Payload, spoiled.Discard)
		}
	}
	p.server.in = input[rec.Discard:]
	p.server.transcript = nil
	p.server.turns()
	p.server.wantStates("end by a record that does not open", encode, transmit)
	p.server.wantFailed(badRecordMAC)
	p.run()
	p.client.wantAlerted(badRecordMAC)
}

// No copies: a payload is a part of the caller's input, and sealing leaves the
// caller's plaintext alone.
func TestRule2NoCopies(t *testing.T) { eachVersion(t, testRule2NoCopies) }

func testRule2NoCopies(t *testing.T, v version) {
	p := v.pair(t, nil, nil)
	p.handshake()
	data := bytes.Repeat([]byte("plaintext "), 5000)
	before := bytes.Clone(data)
	p.client.write(data)
	if !bytes.Equal(data, before) {
		t.Error("Encrypt has changed the plaintext")
	}
	input := p.client.take()
	low := uintptr(unsafe.Pointer(&input[0]))
	high := low + uintptr(len(input))

	r := turnTo[baretls.ReadTraffic](t, p.server.conn, input, 0)
	var got []byte
	for rec := range r.Records() {
		first := uintptr(unsafe.Pointer(&rec.Payload[0]))
		if first < low || first+uintptr(cap(rec.Payload)) > high {
			t.Errorf("a payload of %d bytes with room for %d is not a part of the input", len(rec.Payload), cap(rec.Payload))
		}
		if spare := cap(rec.Payload) - len(rec.Payload); spare > 1+16 {
			t.Errorf("appending to a payload can reach %d bytes behind its record", spare-17)
		}
		got = append(got, rec.Payload...)
	}
	if !bytes.Equal(got, data) {
		t.Error("the payloads are not the data")
	}
}

// Alert first, error last: the error comes when the alert has been handed out,
// and then for ever. The write side is latched shut too.
func TestRule3AlertFirstErrorLast(t *testing.T) {
	phases(t, func(t *testing.T, ph phase) {
		var writer baretls.WriteTraffic
		if ph.connected {
			writer = ph.victim.writer()
		}
		ph.hand(ph.forger.seal(handshake, []byte{99, 0, 0, 0}, 0)) // no such message
		wantEnd(t, ph, unexpectedMessage)
		wantSameErrorForEver(t, ph.victim)
		if ph.connected {
			wantLatched(t, ph.victim, writer)
		}
	})
}

// wantEnd checks that the victim has failed and that the peer knows why.
func wantEnd(t *testing.T, ph phase, alert tls.AlertError) {
	t.Helper()
	ph.victim.wantFailed(alert)
	n := len(ph.victim.transcript)
	if n < 2 || !slices.Equal(ph.victim.transcript[n-2:], []string{encode, transmit}) {
		t.Errorf("the %s ended with the states %v, want the alert encoded and transmitted", ph.victim.role, ph.victim.transcript)
	}
	ph.peer.wantAlerted(alert)
}

func wantSameErrorForEver(t *testing.T, s *side) {
	t.Helper()
	inputs := [][]byte{nil, {}, []byte("x"), bytes.Repeat([]byte{23, 3, 3, 0, 1, 0}, 1000), plain(handshake, []byte{1, 0, 0, 0})}
	for i := range 20 {
		input := inputs[i%len(inputs)]
		status, err := s.conn.ProcessTLSRecords(input)
		if err != s.err || status.State != nil || status.Discard != len(input) {
			t.Fatalf("%s: call %d behind the end returns %T, discard %d of %d, error %v; want only the same error %v", s.role, i, status.State, status.Discard, len(input), err, s.err)
		}
		if i == 10 {
			s.conn.CloseInput()
		}
	}
}

func wantLatched(t *testing.T, s *side, w baretls.WriteTraffic) {
	t.Helper()
	room := make([]byte, 100)
	if n, err := w.Encrypt([]byte("data"), room); n != 0 || err != s.err {
		t.Errorf("%s: Encrypt behind the end returns %d, %v, want the error of the end", s.role, n, err)
	}
	if out, err := w.AppendEncrypted(nil, []byte("data")); len(out) != 0 || err != s.err {
		t.Errorf("%s: AppendEncrypted behind the end returns %d bytes, %v, want the error of the end", s.role, len(out), err)
	}
	if n, err := w.QueueCloseNotify(room); n != 0 || err != s.err {
		t.Errorf("%s: QueueCloseNotify behind the end returns %d, %v, want the error of the end", s.role, n, err)
	}
	if err := w.RefreshTrafficKeys(); err != s.err {
		t.Errorf("%s: RefreshTrafficKeys behind the end returns %v, want the error of the end", s.role, err)
	}
	if w.EncryptedLen(1) != 0 || w.CloseNotifyLen() != 0 {
		t.Errorf("%s: behind the end there are still lengths", s.role)
	}
	if _, err := s.conn.ExportKeyingMaterial("label", nil, 32); err != s.err {
		t.Errorf("%s: ExportKeyingMaterial behind the end returns %v, want the error of the end", s.role, err)
	}
}

// Nothing is lost by looking away: encode and transmit states come again until
// they are served.
func TestRule4NothingIsLostByLookingAway(t *testing.T) {
	eachVersion(t, testRule4NothingIsLostByLookingAway)
}

func testRule4NothingIsLostByLookingAway(t *testing.T, v version) {
	const away = 3
	p := v.pair(t, nil, retryServer())
	for _, s := range p.sides() {
		ignored, length := 0, 0
		s.on = func(state baretls.State) bool {
			switch state := state.(type) {
			case baretls.EncodeTLSData:
				if ignored > 0 && length != state.Len() {
					t.Errorf("%s: a record of %d bytes was not encoded, and the next offer is of %d", s.role, length, state.Len())
				}
				length = state.Len()
			case baretls.TransmitTLSData:
				length = 0
			default:
				ignored = 0
				return false
			}
			if ignored < away {
				ignored++
				return true
			}
			ignored = 0
			return false
		}
	}
	p.handshake()
	p.works()
	if v == tls13 {
		p.client.refresh()
		p.run()
		p.works()
	}
	if want := slices.Repeat([]string{encode}, 1+away); !slices.Equal(p.client.transcript[:1+away], want) {
		t.Errorf("client: a record that was not encoded is offered %v", p.client.transcript[:2+away])
	}
}

func TestRule4OutputWaitsHoweverMuchComesIn(t *testing.T) {
	eachVersion(t, testRule4OutputWaitsHoweverMuchComesIn)
}

func testRule4OutputWaitsHoweverMuchComesIn(t *testing.T, v version) {
	p := v.pair(t, nil, nil)
	p.handshake()
	f := p.forger(p.client)
	switch v {
	case tls13:
		r := turnTo[baretls.ReadTraffic](t, p.server.conn, f.seal(handshake, keyUpdate(1), 0), 0)
		for range r.Records() {
		}
		f.update()
	case tls12: // which has the answer to a renegotiation
		record := f.seal(handshake, []byte{1, 0, 0, 0}, 0)
		turnTo[baretls.EncodeTLSData](t, p.server.conn, record, len(record))
	}
	input := f.seal(applicationData, []byte("data"), 0)
	for range 5 {
		turnTo[baretls.EncodeTLSData](t, p.server.conn, input, 0)
	}
	e := turnTo[baretls.EncodeTLSData](t, p.server.conn, input, 0)
	if _, err := e.AppendTo(nil); err != nil {
		t.Errorf("AppendTo: %v", err)
	}
	for range 5 { // Done is never called
		turnTo[baretls.TransmitTLSData](t, p.server.conn, input, 0)
	}
	if err := turnTo[baretls.TransmitTLSData](t, p.server.conn, input, 0).Done(); err != nil {
		t.Errorf("Done: %v", err)
	}
	if rec, ok := turnTo[baretls.ReadTraffic](t, p.server.conn, input, 0).NextRecord(); string(rec.Payload) != "data" || !ok {
		t.Errorf("behind the output, the data is %q, %v", rec.Payload, ok)
	}
}

// Half-close works both ways.
func TestRule5HalfClose(t *testing.T) { eachVersion(t, testRule5HalfClose) }

func testRule5HalfClose(t *testing.T, v version) {
	for _, role := range []string{"client", "server"} {
		p := v.pair(t, nil, nil)
		p.handshake()
		first := p.side(role)
		second := p.other(first)
		first.close()
		p.run()
		for _, data := range []string{"one", "two"} {
			p.send(second, data)
		}
		w := first.writer()
		if n, err := w.Encrypt([]byte("late"), make([]byte, 100)); n != 0 || err != baretls.ErrWriteClosed {
			t.Errorf("Encrypt after QueueCloseNotify returns %d, %v, want ErrWriteClosed", n, err)
		}
		if err := w.RefreshTrafficKeys(); err != baretls.ErrWriteClosed {
			t.Errorf("RefreshTrafficKeys after QueueCloseNotify returns %v, want ErrWriteClosed", err)
		}
		if n, err := w.QueueCloseNotify(nil); n != 0 || err != nil {
			t.Errorf("the second QueueCloseNotify returns %d, %v, want nothing", n, err)
		}
		if w.EncryptedLen(1) != 0 || w.CloseNotifyLen() != 0 {
			t.Error("after QueueCloseNotify there are still lengths")
		}
		if got := len(records(t, second.in)); got != 0 {
			t.Errorf("after the close_notify, %d records came", got)
		}
		second.close()
		p.run()
		if n := len(first.transcript); first.transcript[n-1] != closed {
			t.Errorf("when both have closed, the states are %v", first.transcript)
		}
	}
}

// "Each party MUST send a close_notify alert before closing its write side"
// (RFC 9846, Section 6.1), and nothing behind it: no answer to a key update. Of
// TLS 1.2, see TestTLS12RenegotiationBehindCloseNotify.
func TestRule5NothingIsSentBehindCloseNotify(t *testing.T) {
	p := newPair(t, nil, nil)
	p.handshake()
	p.server.close()
	p.run()
	p.server.transcript = nil
	p.client.refresh()
	p.client.turns()
	p.server.give(p.client.take())
	p.server.turns()
	p.server.wantStates("key update behind our own close_notify", read, write)
	if n := len(p.server.take()); n != 0 {
		t.Errorf("behind its close_notify the server sends %d bytes", n)
	}
	p.send(p.client, "under new keys")

	p.server.give(plain(alert, []byte{2, 40})) // a failure behind it is silent as well
	p.server.turns()
	p.server.wantFailed(unexpectedMessage)
	if n := len(p.server.take()); n != 0 {
		t.Errorf("behind its close_notify the server sends an alert of %d bytes", n)
	}
}

func TestRule5JunkBehindCloseNotify(t *testing.T) { eachVersion(t, testRule5JunkBehindCloseNotify) }

func testRule5JunkBehindCloseNotify(t *testing.T, v version) {
	for name, junk := range map[string][]byte{
		"a byte":          {0},
		"half a header":   {23, 3, 3},
		"a header":        {23, 3, 3, 0, 10},
		"no TLS":          []byte("HTTP/1.1 200 OK\r\n\r\n"),
		"a record":        plain(applicationData, make([]byte, 40)),
		"a plain alert":   plain(alert, []byte{2, 40}),
		"a giant record":  {23, 3, 3, 0xff, 0xff, 0},
		"a mebibyte":      make([]byte, 1<<20),
		"many of records": bytes.Repeat(plain(applicationData, make([]byte, 40)), 1000),
	} {
		p := v.pair(t, nil, nil)
		p.handshake()
		p.client.write([]byte("data"))
		p.client.close()
		p.server.transcript = nil
		p.server.give(p.client.take(), junk)
		p.server.turns()
		p.server.wantStates("close_notify with "+name+" behind it", read, peerDone, write)
		for range 3 {
			p.server.give(junk)
			p.server.turns()
			if len(p.server.in) != 0 {
				t.Errorf("%s: %d bytes behind the close_notify are not discarded", name, len(p.server.in))
			}
		}
		p.server.wantAlive()
		p.send(p.server, "the other direction")
		p.server.close()
		p.server.give(junk)
		p.run()
		if n := len(p.server.transcript); p.server.transcript[n-1] != closed || len(p.server.in) != 0 {
			t.Errorf("%s: at the end, the states are %v, and %d bytes are left", name, p.server.transcript, len(p.server.in))
		}
	}
}

// The end of the transport without a close_notify is truncation, in every
// phase, and wherever in a record it is.
func TestRule5Truncation(t *testing.T) {
	for _, cut := range []int{0, 1, 4, 5, 7} {
		phases(t, func(t *testing.T, ph phase) {
			ph.victim.take()
			record := ph.forger.seal(handshake, keyUpdate(0), 0)
			ph.victim.give(record[:cut])
			ph.victim.conn.CloseInput()
			ph.victim.turns()
			wantTruncated(t, ph.victim, cut)
			wantSameErrorForEver(t, ph.victim)
		})
	}
}

func wantTruncated(t *testing.T, s *side, cut int) {
	t.Helper()
	if !errors.Is(s.err, io.ErrUnexpectedEOF) {
		t.Fatalf("cut %d bytes into a record, the error is %v, want io.ErrUnexpectedEOF; states %v", cut, s.err, s.transcript)
	}
	var failure *baretls.Error
	if !errors.As(s.err, &failure) {
		t.Fatalf("the error is a %T", s.err)
	}
	if alert, ok := failure.Alert(); ok || failure.Received() {
		t.Errorf("a truncation has the alert %v", alert)
	}
	if len(s.transcript) != 0 || len(s.sent) != 0 {
		t.Errorf("a truncation leads to %v: there is no one to tell", s.transcript)
	}
}

func TestRule5WhatCameBeforeTheEndIsUsed(t *testing.T) {
	eachVersion(t, testRule5WhatCameBeforeTheEndIsUsed)
}

func testRule5WhatCameBeforeTheEndIsUsed(t *testing.T, v version) {
	p := v.pair(t, nil, nil)
	p.client.conn.CloseInput() // with the ClientHello still to be sent
	p.client.turns()
	p.client.wantStates("end before the beginning", encode, transmit)
	p.client.take()
	wantTruncated(t, p.client, 0)

	p = v.pair(t, nil, nil)
	p.handshake()
	p.server.transcript = nil
	p.client.write([]byte("data"))
	p.server.give(p.client.take())
	p.server.conn.CloseInput()
	p.server.turns()
	p.server.wantStates("data and then the end", read)
	if string(p.server.data) != "data" {
		t.Errorf("before the end, %q came", p.server.data)
	}
	wantTruncated(t, p.server, 0)

	p = v.pair(t, nil, nil)
	p.handshake()
	p.server.transcript = nil
	p.client.write([]byte("data"))
	p.client.close()
	p.server.conn.CloseInput()
	p.run()
	p.server.wantStates("data, close_notify and then the end", read, peerDone, write)
	p.send(p.server, "an answer")
	p.server.close()
	p.run()
	p.server.wantAlive()
}

// A key update is answered at once, also on an idle connection. The rule is
// 1.3's only: TLS 1.2 has no key updates.
func TestRule6KeyUpdateIsAnsweredAtOnce(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		p := newPair(t, nil, nil)
		p.handshake()
		asking := p.side(role)
		answering := p.other(asking)
		for range 40 {
			answering.transcript = nil
			asking.refresh()
			p.run()
			answering.wantStates("key update on an idle connection", read, encode, transmit, write)
			p.works()
		}
	}
}

// One answer for many requests that come together.
func TestRule6OneAnswerForManyRequests(t *testing.T) {
	p := newPair(t, nil, nil)
	p.handshake()
	p.server.transcript = nil
	f := p.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0")
	var flight []byte
	for range 10 {
		flight = append(flight, f.seal(handshake, keyUpdate(1), 0)...)
		f.update()
	}
	flight = append(flight, f.seal(applicationData, []byte("data"), 0)...)
	p.server.give(flight)
	p.server.turns()
	p.server.wantStates("ten requests and data", read, encode, transmit, write)
	if string(p.server.data) != "data" {
		t.Errorf("behind ten key updates, %q came", p.server.data)
	}
	wantKeyUpdates(t, p, "SERVER_TRAFFIC_SECRET_0", p.server.take(), 0)

	p.server.give(f.seal(handshake, keyUpdate(0), 0))
	f.update()
	p.server.turns()
	p.server.wantStates("update that asks for none", read, write)
	p.server.give(f.seal(handshake, keyUpdate(1), 0))
	f.update()
	p.server.turns()
	p.server.wantStates("request after the answer to the last one", read, encode, transmit, write)
}

// wantKeyUpdates checks that flight is nothing but KeyUpdates with these
// request_update fields, each under the keys that the one before announced.
func wantKeyUpdates(t *testing.T, p *pair, secret string, flight []byte, want ...byte) {
	t.Helper()
	opener := p.keys.forger(t, secret)
	list := records(t, flight)
	if len(list) != len(want) {
		t.Errorf("%d records were sent, want %d KeyUpdates", len(list), len(want))
		return
	}
	for i, record := range list {
		if inner, content := opener.open(t, record); inner != handshake || !bytes.Equal(content, keyUpdate(want[i])) {
			t.Errorf("record %d is %x of type %d, want a KeyUpdate with request_update %d", i, content, inner, want[i])
		}
		opener.update()
	}
}

// As long as a request is not answered, there is no second one.
func TestRule6RefreshTrafficKeysTwice(t *testing.T) {
	p := newPair(t, nil, nil)
	p.handshake()
	for range 3 {
		p.client.refresh()
		p.client.turns()
	}
	flight := p.client.take()
	wantKeyUpdates(t, p, "CLIENT_TRAFFIC_SECRET_0", flight, 1, 0, 0)
	p.server.transcript = nil
	p.server.give(flight)
	p.server.turns()
	p.server.wantStates("three updates with one request", read, encode, transmit, write)
	p.run()
	p.works()

	w := p.client.writer()
	if err := w.RefreshTrafficKeys(); err != nil {
		t.Errorf("RefreshTrafficKeys after the answer: %v", err)
	}
	if err := w.RefreshTrafficKeys(); err != baretls.ErrStaleState {
		t.Errorf("the second RefreshTrafficKeys of a state returns %v, want ErrStaleState", err)
	}
	if _, err := w.Encrypt([]byte("data"), make([]byte, 100)); err != baretls.ErrStaleState {
		t.Errorf("Encrypt behind RefreshTrafficKeys returns %v, want ErrStaleState", err)
	}
	p.client.woken = true
	p.server.transcript = nil
	p.run()
	p.server.wantStates("request after the answer", read, encode, transmit, write)
	p.works()

	p.client.refresh() // both at once
	p.server.refresh()
	p.run()
	p.works()
}

func TestRule6RefreshTrafficKeysWithTheFlight(t *testing.T) {
	p := newPair(t, nil, nil)
	refreshed := false
	p.client.on = func(state baretls.State) bool {
		if state, ok := state.(baretls.TransmitTLSData); ok && !refreshed {
			if w, ok := state.MayEncryptAppData(); ok {
				refreshed = true
				p.client.encrypt(w, []byte("old keys"))
				if err := w.RefreshTrafficKeys(); err != nil {
					t.Errorf("RefreshTrafficKeys: %v", err)
				}
				return true
			}
		}
		return false
	}
	p.handshake()
	p.client.wantStates("handshake with a key update in the last flight",
		encode, transmit, blocked, encode, encode, transmit, encode, transmit, write, read, write)
	if string(p.server.data) != "old keys" {
		t.Errorf("the server got %q", p.server.data)
	}
	p.works()
}

func TestRule6KeyUpdateFlood(t *testing.T) {
	p := newPair(t, nil, nil)
	p.handshake()
	f := p.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0")
	for round := range 3 { // data between them starts the count again
		for range 32 {
			p.server.give(f.seal(handshake, keyUpdate(0), 0))
			f.update()
		}
		p.server.turns()
		p.server.wantAlive()
		if round < 2 {
			p.server.give(f.seal(applicationData, []byte("data"), 0))
			p.server.turns()
		}
	}
	p.server.give(f.seal(handshake, keyUpdate(0), 0))
	p.server.turns()
	p.server.wantFailed(unexpectedMessage)
}

func TestRule6KeyUpdatesThatAreNone(t *testing.T) {
	for name, tt := range map[string]struct {
		contents [][]byte
		want     tls.AlertError
	}{
		"request_update 2":              {[][]byte{keyUpdate(2)}, illegalParameter},
		"request_update 255":            {[][]byte{keyUpdate(255)}, illegalParameter},
		"empty":                         {[][]byte{{24, 0, 0, 0}}, decodeError},
		"of two bytes":                  {[][]byte{{24, 0, 0, 2, 0, 0}}, decodeError},
		"another behind it":             {[][]byte{slices.Concat(keyUpdate(0), keyUpdate(0))}, unexpectedMessage},
		"the begin of another":          {[][]byte{append(keyUpdate(0), 24)}, unexpectedMessage},
		"cut, with the rest and a next": {[][]byte{keyUpdate(0)[:2], append(keyUpdate(0)[2:], 24, 0)}, unexpectedMessage},
	} {
		p := newPair(t, nil, nil)
		p.handshake()
		f := p.keys.forger(t, "SERVER_TRAFFIC_SECRET_0")
		for _, content := range tt.contents {
			p.client.give(f.seal(handshake, content, 0))
		}
		p.client.turns()
		if p.client.err == nil {
			t.Errorf("%s: nothing happens", name)
			continue
		}
		p.client.wantFailed(tt.want)
	}

	// A KeyUpdate may be cut by record boundaries: they stand before its end.
	p := newPair(t, nil, nil)
	p.handshake()
	f := p.keys.forger(t, "SERVER_TRAFFIC_SECRET_0")
	for _, b := range keyUpdate(0) {
		p.client.give(f.seal(handshake, []byte{b}, 0))
	}
	f.update()
	p.client.give(f.seal(applicationData, []byte("data"), 0))
	p.client.turns()
	p.client.wantAlive()
	if string(p.client.data) != "data" {
		t.Errorf("behind a KeyUpdate in five records, %q came", p.client.data)
	}
}

// sizes of data around all the boundaries, and sizes of records.
var (
	dataSizes = []int{0, 1, 63, 64, 65, 16383, 16384, 16385, 40000}
	layouts   = []struct{ fragment, padding int }{
		{64, 1}, {64, 64}, {1000, 1}, {1000, 8}, {16384, 1}, {16384, 64}, {16384, 1024},
	}
)

// Sizes are exact, and a buffer one byte short changes nothing at all: the
// harness tries one before each output.
func TestRule7SizesAreExact(t *testing.T) { eachVersion(t, testRule7SizesAreExact) }

func testRule7SizesAreExact(t *testing.T, v version) {
	for _, l := range layouts {
		if v == tls12 && l.padding > 1 {
			continue // it has none
		}
		for _, appends := range []bool{false, true} {
			name := fmt.Sprintf("fragments of %d, padding to %d, appending: %v", l.fragment, l.padding, appends)
			client, server := clientConfig(), serverConfig()
			client.MaxFragmentSize, client.RecordPadding = l.fragment, l.padding
			server.MaxFragmentSize, server.RecordPadding = l.fragment, l.padding
			p := v.pair(t, client, server)
			p.client.appends, p.server.appends = appends, appends
			p.handshake()
			for _, n := range dataSizes {
				wantExactData(t, p, name, v.overhead(), l.fragment, l.padding, n)
			}
			if v == tls13 {
				p.client.refresh()
				p.run()
			}
			p.client.close()
			p.server.close()
			p.run()
			for _, s := range p.sides() {
				if s.wantAlive(); s.transcript[len(s.transcript)-1] != closed {
					t.Errorf("%s: the %s ends with %v", name, s.role, s.transcript)
				}
			}
		}
	}
}

func wantExactData(t *testing.T, p *pair, name string, overhead, fragment, padding, n int) {
	t.Helper()
	data := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, n/7+1)[:n]
	p.client.write(data)
	list := records(t, p.client.sent)
	if want := (n + fragment - 1) / fragment; len(list) != want {
		t.Errorf("%s: %d bytes make %d records, want %d", name, n, len(list), want)
	}
	for i, record := range list {
		content := min(fragment, n-i*fragment)
		padded := (content + padding - 1) / padding * padding
		if want := overhead + padded; len(record) != want {
			t.Errorf("%s: record %d of %d bytes has %d bytes, want %d", name, i, n, len(record), want)
		}
	}
	p.server.data = nil
	p.run()
	if !bytes.Equal(p.server.data, data) {
		t.Errorf("%s: %d bytes were sent and %d came, or they are others; error %v", name, n, len(p.server.data), p.server.err)
	}
}

// Zero allocations per record, sealing and opening.
func TestRule8NoAllocationsPerRecord(t *testing.T) { eachVersion(t, testRule8NoAllocationsPerRecord) }

func testRule8NoAllocationsPerRecord(t *testing.T, v version) {
	const runs = 100
	p := v.pair(t, nil, nil)
	p.handshake()
	data := make([]byte, 1000)
	w := p.client.writer()
	out := make([]byte, 0, (runs+10)*w.EncryptedLen(len(data)))
	sealing := testing.AllocsPerRun(runs, func() {
		out, _ = w.AppendEncrypted(out, data)
	})
	opening := testing.AllocsPerRun(runs, func() {
		status, _ := p.server.conn.ProcessTLSRecords(out)
		rec, ok := status.State.(baretls.ReadTraffic).NextRecord()
		if !ok || len(rec.Payload) != len(data) {
			t.Errorf("a record has %d bytes", len(rec.Payload))
		}
		out = out[rec.Discard:]
	})
	if sealing != 0 || opening != 0 {
		t.Errorf("sealing a record allocates %v times and opening one %v times", sealing, opening)
	}
}

// Misuse is an error and no panic: every method of every state, used late,
// twice, out of order, and in every other state.
func TestRule9Misuse(t *testing.T) { eachVersion(t, testRule9Misuse) }

func testRule9Misuse(t *testing.T, v version) {
	p := v.pair(t, nil, retryServer())
	for _, s := range p.sides() {
		old := make(map[string]baretls.State)
		s.on = func(state baretls.State) bool {
			name := stateName(state)
			for other, handle := range old {
				// A write handle is alive where MayEncryptAppData gives one.
				if other != name && !(other == write && name == transmit) {
					wantStale(t, name, handle)
				}
			}
			old[name] = state
			return false
		}
	}
	p.handshake()
	p.works()
	if v == tls13 {
		p.client.refresh()
		p.run()
		p.works()
	}
	p.client.close()
	p.run()
	p.send(p.server, "still works")
	p.server.close()
	p.run()
	for _, s := range p.sides() {
		s.wantAlive()
		if s.transcript[len(s.transcript)-1] != closed {
			t.Errorf("the %s ends with %v", s.role, s.transcript)
		}
	}
}

// wantStale calls all methods of a handle that the connection has left.
func wantStale(t *testing.T, now string, handle baretls.State) {
	t.Helper()
	name := stateName(handle)
	for _, room := range [][]byte{nil, {}, make([]byte, 1), make([]byte, 20000)} {
		switch h := handle.(type) {
		case baretls.EncodeTLSData:
			if n := h.Len(); n != 0 {
				t.Errorf("in %s, %s.Len is %d", now, name, n)
			}
			wantMisuse(t, now, name+".Encode", second(h.Encode(room)))
			out, err := h.AppendTo(room)
			wantMisuse(t, now, name+".AppendTo", err)
			wantUnchanged(t, now, name+".AppendTo", out, room)
		case baretls.TransmitTLSData:
			wantMisuse(t, now, name+".Done", h.Done())
			if w, ok := h.MayEncryptAppData(); ok && now != write {
				t.Errorf("in %s, %s.MayEncryptAppData allows to write", now, name)
			} else if !ok {
				wantStale(t, now, w)
			}
		case baretls.BlockedHandshake:
			h.Need()
		case baretls.ReadTraffic:
			if n, ok := h.PeekLen(); n != 0 || ok {
				t.Errorf("in %s, %s.PeekLen is %d, %v", now, name, n, ok)
			}
			if rec, ok := h.NextRecord(); ok || rec.Discard != 0 {
				t.Errorf("in %s, %s.NextRecord returns a record", now, name)
			}
			for range h.Records() {
				t.Errorf("in %s, %s.Records has a record", now, name)
			}
		case baretls.WriteTraffic:
			if n := h.EncryptedLen(10) + h.EncryptedLen(-1) + h.EncryptedLen(math.MaxInt) + h.CloseNotifyLen(); n != 0 {
				t.Errorf("in %s, the lengths of %s are not 0", now, name)
			}
			wantMisuse(t, now, name+".Encrypt", second(h.Encrypt([]byte("data"), room)))
			out, err := h.AppendEncrypted(room, []byte("data"))
			wantMisuse(t, now, name+".AppendEncrypted", err)
			wantUnchanged(t, now, name+".AppendEncrypted", out, room)
			refresh := h.RefreshTrafficKeys()
			wantMisuse(t, now, name+".RefreshTrafficKeys", refresh)
			n, err := h.QueueCloseNotify(room)
			if n != 0 {
				t.Errorf("in %s, %s.QueueCloseNotify writes %d bytes", now, name, n)
			}
			if err != nil || refresh != baretls.ErrWriteClosed { // closing twice is right
				wantMisuse(t, now, name+".QueueCloseNotify", err)
			}
			h.Need()
		}
	}
}

func second(_ int, err error) error { return err }

func wantMisuse(t *testing.T, now, call string, err error) {
	t.Helper()
	if err != baretls.ErrStaleState && err != baretls.ErrAlreadyEncoded && err != baretls.ErrWriteClosed {
		t.Errorf("in %s, %s returns %v, want an error that tells of misuse", now, call, err)
	}
}

func wantUnchanged(t *testing.T, now, call string, out, room []byte) {
	t.Helper()
	if len(out) != len(room) {
		t.Errorf("in %s, %s returns %d bytes, want the %d that it was given", now, call, len(out), len(room))
	}
}

// A state that no turn returned belongs to no connection, but it can be
// written down, so it has to be an error as well.
func TestRule9ZeroStates(t *testing.T) {
	for _, handle := range []baretls.State{
		baretls.EncodeTLSData{}, baretls.TransmitTLSData{}, baretls.BlockedHandshake{}, baretls.ReadTraffic{},
		baretls.WriteTraffic{}, baretls.PeerClosed{}, baretls.Closed{},
	} {
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("the zero %s panics: %v", stateName(handle), r)
				}
			}()
			wantStale(t, "no state", handle)
		}()
	}
}

// A Conn that neither NewClient nor NewServer has made is of no use, and does no
// harm.
func TestRule9ZeroConn(t *testing.T) {
	c := new(baretls.Conn)
	arguments := map[string][]any{
		"ProcessTLSRecords":         {make([]byte, 100)},
		"ExportKeyingMaterial":      {"label", []byte(nil), 32},
		"ExportEarlyKeyingMaterial": {"label", []byte(nil), 32},
	}
	for method, call := range reflect.ValueOf(c).Methods() {
		if method.Name == "Format" {
			continue // fmt knows how to call it
		}
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("%s of a zero Conn panics: %v", method.Name, r)
				}
			}()
			var in []reflect.Value
			for _, argument := range arguments[method.Name] {
				in = append(in, reflect.ValueOf(argument))
			}
			call.Call(in)
		}()
	}
	if state := c.ConnectionState(); !c.IsHandshaking() || state.HandshakeComplete || state.Version != 0 || state.PeerCertificates != nil {
		t.Errorf("a zero Conn has the state %+v", state)
	}
	for call, err := range map[string]error{
		"ProcessTLSRecords":         err2(c.ProcessTLSRecords(nil)),
		"Split":                     err3(c.Split()),
		"DangerousExtractSecrets":   err2(c.DangerousExtractSecrets()),
		"DangerousIntoKernelConn":   err3(c.DangerousIntoKernelConn()),
		"ExportKeyingMaterial":      err2(c.ExportKeyingMaterial("label", nil, 32)),
		"ExportEarlyKeyingMaterial": err2(c.ExportEarlyKeyingMaterial("label", nil, 32)),
		"TLSExporter":               err2(c.TLSExporter()),
	} {
		if err == nil {
			t.Errorf("%s of a zero Conn is no error", call)
		}
	}
}

// Bad input is an alert and no panic, in every phase.
func TestRule9BadInput(t *testing.T) {
	for name, tt := range map[string]struct {
		input []byte
		want  []tls.AlertError
	}{
		"all ones":               {bytes.Repeat([]byte{0xff}, 100), []tls.AlertError{unexpectedMessage}},
		"zeros":                  {make([]byte, 100), []tls.AlertError{unexpectedMessage}},
		"text":                   {[]byte(strings.Repeat("SSH-2.0-example ", 10)), []tls.AlertError{unexpectedMessage}},
		"protected junk":         {plain(applicationData, make([]byte, 100)), []tls.AlertError{badRecordMAC, unexpectedMessage}},
		"too short to be sealed": {plain(applicationData, make([]byte, 3)), []tls.AlertError{badRecordMAC, unexpectedMessage}},
		"empty and protected":    {plain(applicationData, nil), []tls.AlertError{badRecordMAC, unexpectedMessage}},
	} {
		phases(t, func(t *testing.T, ph phase) {
			ph.hand(tt.input)
			want := tt.want[0]
			if ph.clear {
				want = tt.want[len(tt.want)-1]
			}
			if ph.victim.err == nil {
				t.Fatalf("%s does not end the connection", name)
			}
			wantEnd(t, ph, want)
		})
	}
}

// turnTo takes a turn that must lead to the state S and discard so much.
func turnTo[S baretls.State](t *testing.T, c *baretls.Conn, input []byte, discard int) S {
	t.Helper()
	status, err := c.ProcessTLSRecords(input)
	state, ok := status.State.(S)
	if err != nil || !ok || status.Discard != discard {
		t.Fatalf("the turn leads to %T with %d to discard, error %v; want %T with %d", status.State, status.Discard, err, state, discard)
	}
	return state
}
