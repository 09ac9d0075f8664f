package baretls_test

import (
	"bytes"
	"testing"

	"github.com/baretls/baretls"
)

// The limit on records under one key (RFC 9846, Section 5.5) is kept before it
// is reached, in the middle of a write too: the last record of each key is the
// KeyUpdate to the next. TLS 1.2 cannot change its keys: tls12_keys_test.go has
// what becomes of it there.

const keyLimit = 5

func limitedPair(t *testing.T, fragment int) *pair {
	t.Helper()
	client, server := clientConfig(), serverConfig()
	client.MaxFragmentSize, server.MaxFragmentSize = fragment, fragment
	log := new(keyLog)
	client.KeyLogWriter = log
	if err := baretls.LimitClientKeys(client, keyLimit); err != nil {
		t.Fatal(err)
	}
	if err := baretls.LimitServerKeys(server, keyLimit); err != nil {
		t.Fatal(err)
	}
	p := newPair(t, client, server)
	p.keys = log
	p.handshake()
	return p
}

// wantKeysKept opens a flight with the keys as they should change: no key may
// open more than keyLimit records. It returns the data and the KeyUpdates.
func wantKeysKept(t *testing.T, opener *forger, flight []byte) (data []byte, updates int) {
	t.Helper()
	for i, record := range records(t, flight) {
		inner, content := opener.open(t, record)
		if opener.seq > keyLimit {
			t.Errorf("record %d is number %d under its key, want %d at most", i, opener.seq, keyLimit)
		}
		switch {
		case inner == applicationData:
			data = append(data, content...)
		case inner == handshake && bytes.Equal(content, keyUpdate(0)):
			opener.update()
			updates++
		default:
			t.Errorf("record %d is %x of type %d", i, content, inner)
		}
	}
	return data, updates
}

// All numbers of records, from every place under a key: the harness checks
// that EncryptedLen is what is written, and that a byte less writes nothing.
func TestKeyLimitInsideOneWrite(t *testing.T) {
	const fragment = 64
	for before := range 2 * keyLimit {
		for n := range 4 * keyLimit {
			p := limitedPair(t, fragment)
			opener := p.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0")
			for range before {
				p.client.write([]byte("x"))
			}
			p.client.write(bytes.Repeat([]byte("y"), n*fragment))
			flight := p.client.sent
			data, updates := wantKeysKept(t, opener, flight)
			if want := before + n*fragment; len(data) != want {
				t.Errorf("%d records and then %d: %d bytes of data, want %d", before, n, len(data), want)
			}
			if want := max(before+n-1, 0) / (keyLimit - 1); updates != want {
				t.Errorf("%d records and then %d: %d KeyUpdates, want %d: one for every %d records of data, when the next one is due", before, n, updates, want, keyLimit-1)
			}
			p.run()
			if !bytes.Equal(p.server.data, data) {
				t.Errorf("%d records and then %d: the server got %d bytes of %d, error %v", before, n, len(p.server.data), len(data), p.server.err)
			}
			p.works()
		}
	}
}

func TestKeyLimitInOneVeryLargeWrite(t *testing.T) {
	p := limitedPair(t, 16384)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	p.client.write(data)
	p.server.write(data)
	p.run()
	for _, s := range p.sides() {
		if s.wantAlive(); !bytes.Equal(s.data, data) {
			t.Errorf("the %s got %d bytes of %d", s.role, len(s.data), len(data))
		}
	}
}

// What else takes a record of the key: updates that are asked for, answers,
// and the close_notify.
func TestKeyLimitWithUpdatesAndClosure(t *testing.T) {
	for written := range 2 * keyLimit {
		p := limitedPair(t, 64)
		opener := p.keys.forger(t, "CLIENT_TRAFFIC_SECRET_0")
		for range written {
			p.client.write([]byte("x"))
		}
		flight := p.client.take()
		wantKeysKept(t, opener, flight)
		p.server.give(flight)
		p.server.turns()
		p.server.refresh()
		p.server.turns()
		p.client.give(p.server.take())
		p.client.turns()
		answer := p.client.take()
		if _, updates := wantKeysKept(t, opener, answer); updates != 1 {
			t.Errorf("after %d records, the answer is %d KeyUpdates", written, updates)
		}
		p.server.give(answer)
		p.server.turns()
		p.works()

		for range written {
			p.server.write([]byte("x"))
		}
		p.server.close()
		p.run()
		p.client.wantAlive()
		if !p.client.peerClosed {
			t.Errorf("after %d records, the close_notify does not arrive", written)
		}
	}
}

// "Implementations SHOULD NOT enforce these limits" on what they receive: a side
// that would have changed its own keys long ago goes on reading.
func TestLimitsOnKeysAreTheSenders(t *testing.T) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, reader := range []string{"client", "server"} {
			client, server := v.client(), v.server()
			var err error
			if reader == "client" {
				err = baretls.LimitClientKeys(client, keyLimit)
			} else {
				err = baretls.LimitServerKeys(server, keyLimit)
			}
			if err != nil {
				t.Fatal(err)
			}
			p := v.pair(t, client, server)
			p.handshake()
			to := p.side(reader)
			for range 20 * keyLimit {
				p.send(p.other(to), "one record")
			}
			to.wantAlive()
		}
	})
}
