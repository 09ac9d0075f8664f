package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/baretls/baretls"
)

// meetServer is our client's whole conversation with the peer's server.
func meetServer(t *testing.T, p *peer, s scene) (*endpoint, *remote) {
	t.Helper()
	s.peerFirst = s.peerFirst && p.serverClosesFirst
	r := p.serve(t, s)
	e := newClient(t, s.client(), serverName, r.addr)
	meet(t, e, r, s, true)
	return e, r
}

// meetClient is our server's whole conversation with the peer's client.
func meetClient(t *testing.T, p *peer, s scene) (*endpoint, *remote) {
	t.Helper()
	s.peerFirst = s.peerFirst && p.clientClosesFirst
	l := listen(t)
	r := p.dial(t, s, l.Addr().String())
	e := newServer(t, s.server(), l)
	meet(t, e, r, s, p.clientAnswersClose)
	return e, r
}

// meet is a handshake with what the scene asks for, data there and back, and a
// clean end.
func meet(t *testing.T, e *endpoint, r *remote, s scene, answersClose bool) {
	t.Helper()
	if err := e.handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	if got := e.conn.ProtocolVersion(); got != s.version {
		t.Errorf("version is %s, want %s", tls.VersionName(got), tls.VersionName(s.version))
	}
	if got := e.conn.NegotiatedCipherSuite(); s.suite != 0 && got != s.suite {
		t.Errorf("suite is %s, want %s", tls.CipherSuiteName(got), tls.CipherSuiteName(s.suite))
	}
	if got := e.conn.NegotiatedKeyExchangeGroup(); s.group != 0 && got != s.group {
		t.Errorf("group is %v, want %v", got, s.group)
	}
	if err := converse(e, payload(s.size)); err != nil {
		t.Fatal(err)
	}
	if err := part(e, r, s.peerFirst, answersClose); err != nil {
		t.Fatalf("close: %v", err)
	}
	r.ended(t)
}

// part closes both ways, and then the transport.
func part(e *endpoint, r *remote, peerFirst, answersClose bool) (err error) {
	if peerFirst {
		r.close()
		err = closeSecond(e)
	} else {
		err = closeFirst(e, answersClose)
	}
	e.wire.Close()
	return err
}

// converse sends data to an echoing peer in odd pieces and takes it back. Not
// too much is under way at a time, for neither side reads while it writes.
func converse(e *endpoint, data []byte) error {
	sizes := []int{1, 7, 1000, 16<<10 + 1, 40000, 16 << 10, 333}
	const window = 64 << 10
	for sent, taken, i := 0, 0, 0; taken < len(data); i++ {
		if sent < len(data) {
			n := min(sizes[i%len(sizes)], len(data)-sent)
			if err := e.write(data[sent : sent+n]); err != nil {
				return fmt.Errorf("write after %d bytes: %w", sent, err)
			}
			sent += n
		}
		n := max(0, sent-taken-window)
		if sent == len(data) {
			n = sent - taken
		}
		got, err := e.take(n)
		if err != nil {
			return fmt.Errorf("read after %d bytes: %w", taken, err)
		}
		if string(got) != string(data[taken:taken+n]) {
			return fmt.Errorf("bytes %d to %d came back changed", taken, taken+n)
		}
		taken += n
	}
	return nil
}

// closeFirst ends the connection from our side. A peer that does not answer
// with its own close_notify is a truncation.
func closeFirst(e *endpoint, answered bool) error {
	if err := e.closeWrite(); err != nil {
		return err
	}
	rest, err := e.takeRest()
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%d bytes came after the last", len(rest))
	case answered:
		return err
	case err == nil:
		return errors.New("the peer answered the close_notify, and was believed not to")
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the end without close_notify is %w, not a truncation", err)
	}
	return nil
}

// closeSecond waits for the peer's close_notify and answers.
func closeSecond(e *endpoint) error {
	rest, err := e.takeRest()
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes came after the last", len(rest))
	}
	if err := e.closeWrite(); err != nil {
		return err
	}
	return isClosed(e)
}

func isClosed(e *endpoint) error {
	state, err := e.settle()
	if _, ok := state.(baretls.Closed); !ok {
		return fmt.Errorf("both sides have closed, and the state is %T (%v)", state, err)
	}
	return nil
}

// payload is n bytes of text in lines of 64 bytes, of letters that no peer takes
// for a command: c is one of s_server, if a line is cut so that it begins there.
func payload(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = "0123456789abdefh"[x>>28]
		if i%64 == 63 || i == n-1 {
			b[i] = '\n'
		}
	}
	return b
}
