package netconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/baretls/baretls/netconn"
)

// A stutterer is a transport that meets a deadline each second time, and takes
// and gives but a few bytes the other times.
type stutterer struct {
	net.Conn
	read, write stutter
}

type stutter struct{ calls int }

// pass returns how many of n bytes pass this time, or that the deadline does.
func (s *stutter) pass(n int) (int, error) {
	if s.calls++; s.calls%2 == 1 {
		return 0, os.ErrDeadlineExceeded
	}
	return min(n, 1+s.calls%700), nil
}

func (s *stutterer) Read(p []byte) (int, error) {
	n, err := s.read.pass(len(p))
	if err != nil {
		return 0, err
	}
	return s.Conn.Read(p[:n])
}

func (s *stutterer) Write(p []byte) (n int, err error) {
	few, err := s.write.pass(len(p))
	if err != nil {
		return 0, err
	}
	n, err = s.Conn.Write(p[:few])
	if err == nil && n < len(p) {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// again calls f until no deadline stops it.
func again(f func() error) error {
	for {
		if err := f(); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// Wherever a deadline passes, in the handshake or later, and however little of
// a record has come or gone by then, nothing is lost and nothing sent twice.
func TestDeadlinesAnywhereLoseNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		a, b := sockets(t, "tcp")
		c, s := over(t, &stutterer{Conn: a}, &stutterer{Conn: b}, clientConfig(version), serverConfig())

		// The server's handshake is done by what it does first.
		var all sync.WaitGroup
		all.Go(func() {
			if err := again(c.Handshake); err != nil {
				t.Errorf("the handshake should go on after each deadline, but: %v", err)
			}
		})
		all.Go(func() {
			if err := again(func() error { _, err := s.Read(nil); return err }); err != nil {
				t.Errorf("the handshake by Read should go on after each deadline, but: %v", err)
			}
		})
		all.Wait()

		data := pattern(200_000)
		for _, ends := range [][2]*netconn.Conn{{c, s}, {s, c}} {
			all.Go(func() {
				for rest := data; len(rest) > 0; {
					n, err := ends[0].Write(rest[:min(len(rest), 70_000)])
					if rest = rest[n:]; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("a Write should be stopped by nothing but deadlines, but: %v", err)
						return
					}
				}
				if err := again(ends[0].CloseWrite); err != nil {
					t.Errorf("a CloseWrite should be stopped by nothing but deadlines, but: %v", err)
				}
			})
			all.Go(func() {
				var got bytes.Buffer
				err := again(func() error { _, err := got.ReadFrom(ends[1]); return err })
				if err != nil || !bytes.Equal(got.Bytes(), data) {
					t.Errorf("what is read, %d bytes and then %v, should be the %d bytes that were written and no error", got.Len(), err, len(data))
				}
			})
		}
		all.Wait()
	})
}

// The same over a transport that is just slow.
func TestOneByteAtATime(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		a, b := sockets(t, "unix")
		c, s := over(t, byByte{a}, byByte{b}, clientConfig(version), serverConfig())
		handshake(t, c, s)
		send(t, c, s, string(pattern(20_000)))
		send(t, s, c, "an answer")
		var all sync.WaitGroup
		all.Go(func() { s.Close() })
		if got, err := io.ReadAll(c); len(got) != 0 || err != nil {
			t.Errorf("the end should be read as such, but was as %q, %v", got, err)
		}
		all.Wait()
	})
}

type byByte struct{ net.Conn }

func (b byByte) Read(p []byte) (int, error) { return iotest.OneByteReader(b.Conn).Read(p) }
