package netconn_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// tlsConn is what both libraries have.
type tlsConn interface {
	net.Conn
	Handshake() error
	HandshakeContext(context.Context) error
	CloseWrite() error
	NetConn() net.Conn
}

// A closureCase is what happens at an end of a connection: c and s are client
// and server, and say keeps what came of each step.
type closureCase struct {
	name  string
	fresh bool // before the handshake
	run   func(c, s tlsConn, say func(error))
	std   string // what crypto/tls says
	ours  string // what netconn says, if it is something else,
	why   string // and why that is better
}

var past = time.Unix(1, 0)

var closureCases = []closureCase{
	{
		name: "after Close",
		run: func(c, _ tlsConn, say func(error)) {
			say(c.Close())
			say(read(c))
			say(write(c))
			say(c.Close())
		},
		std: "nil, closed, closed, closed",
	}, {
		name: "after Close, with data that was received and not read",
		run: func(c, s tlsConn, say func(error)) {
			s.Write([]byte("two"))
			say(read(c))
			say(c.Close())
			say(read(c))
		},
		std:  "nil, nil, nil",
		ours: "nil, nil, closed",
		why:  "who has closed a connection is not given data from it, whatever its buffers held by chance",
	}, {
		name: "after CloseWrite",
		run: func(c, s tlsConn, say func(error)) {
			say(c.CloseWrite())
			say(write(c))
			say(second(c.Write(nil)))
			say(c.CloseWrite())
			say(write(s))
			say(read(c))
		},
		std: "nil, shut down, shut down, nil, nil, nil",
	}, {
		name: "after the peer's close_notify",
		run: func(c, s tlsConn, say func(error)) {
			s.CloseWrite()
			say(read(c))
			say(read(c))
			say(write(c))
			say(read(s))
		},
		std: "EOF, EOF, nil, nil",
	}, {
		name: "after the peer's Close",
		run: func(c, s tlsConn, say func(error)) {
			say(write(s))
			say(s.Close())
			say(read(c))
			say(read(c))
		},
		std: "nil, nil, nil, EOF",
	}, {
		name: "after the end of the socket between two records",
		run: func(c, s tlsConn, say func(error)) {
			write(s)
			s.NetConn().Close()
			say(read(c))
			say(read(c))
			say(read(c))
		},
		std:  "nil, EOF, EOF",
		ours: "nil, unexpected EOF, unexpected EOF",
		why:  "whoever can cut the connection chooses where: RFC 9846, Section 6.1",
	}, {
		name: "after the end of the socket within a record",
		run: func(c, s tlsConn, say func(error)) {
			s.NetConn().Write([]byte{23, 3, 3, 1, 0, 'x'})
			s.NetConn().Close()
			say(read(c))
			say(read(c))
		},
		std: "unexpected EOF, unexpected EOF",
	}, {
		name: "after a record that does not open",
		run: func(c, s tlsConn, say func(error)) {
			s.NetConn().Write(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...))
			say(read(c))
			say(read(c))
			say(write(c))
			say(read(s))
			say(read(s))
		},
		std: "bad record MAC, bad record MAC, bad record MAC, bad record MAC, bad record MAC",
	}, {
		name: "a read deadline that passes and is taken back",
		run: func(c, s tlsConn, say func(error)) {
			c.SetReadDeadline(past)
			say(read(c))
			say(write(c))
			c.SetReadDeadline(time.Time{})
			write(s)
			say(read(c))
		},
		std: "deadline, nil, nil",
	}, {
		name: "a write deadline that passes and is taken back",
		run: func(c, s tlsConn, say func(error)) {
			c.SetWriteDeadline(past)
			say(write(c))
			write(s)
			say(read(c))
			c.SetWriteDeadline(time.Time{})
			say(write(c))
			say(c.Close())
			say(read(s))
			say(read(s))
		},
		std:  "deadline, nil, deadline, nil, bad record MAC, bad record MAC",
		ours: "deadline, nil, nil, nil, nil, EOF",
		why:  "nothing is sealed before the deadline is looked at, and what is sealed is kept, so that nothing is lost",
	}, {
		name: "nothing to read or write",
		run: func(c, s tlsConn, say func(error)) {
			say(second(c.Read(nil)))
			say(second(c.Write(nil)))
			write(c)
			say(read(s))
		},
		std: "nil, nil, nil",
	}, {
		name: "nothing to read does the handshake", fresh: true,
		run: func(c, s tlsConn, say func(error)) {
			var all sync.WaitGroup
			all.Go(func() { s.Read(nil) })
			say(second(c.Read(nil)))
			all.Wait()
			say(c.Handshake())
			say(c.Handshake())
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			say(c.HandshakeContext(ctx))
		},
		std: "nil, nil, nil, nil",
	}, {
		name: "CloseWrite before the handshake", fresh: true,
		run: func(c, _ tlsConn, say func(error)) { say(c.CloseWrite()) },
		std: "not complete",
	}, {
		name: "Close before the handshake", fresh: true,
		run: func(c, s tlsConn, say func(error)) {
			say(c.Close())
			say(c.Handshake())
			say(read(c))
			say(write(c))
			say(s.Handshake())
			say(read(s))
		},
		std:  "nil, closed, closed, closed, EOF, EOF",
		ours: "nil, closed, closed, closed, unexpected EOF, unexpected EOF",
		why:  "io.EOF is for a close_notify, and there was none",
	}, {
		name: "a handshake whose deadline passes and is taken back", fresh: true,
		run: func(c, s tlsConn, say func(error)) {
			c.SetDeadline(past)
			say(c.Handshake())
			say(read(c))
			c.SetDeadline(time.Time{})
			var all sync.WaitGroup
			all.Go(func() { s.Handshake() })
			say(c.Handshake())
			c.Close() // or the server would wait
			all.Wait()
		},
		std:  "deadline, deadline, deadline",
		ours: "deadline, deadline, nil",
		why:  "nothing is lost by waiting, so that one may wait on",
	}, {
		name: "a handshake whose context ends", fresh: true,
		run: func(c, s tlsConn, say func(error)) {
			ctx, cancel := context.WithCancel(context.Background())
			var all sync.WaitGroup
			all.Go(func() { say(s.HandshakeContext(ctx)) })
			c.NetConn().Write([]byte{22}) // it has begun
			cancel()
			all.Wait()
			say(s.Handshake())
			say(read(s))
		},
		std: "canceled, closed, closed",
	}, {
		name: "a handshake that fails", fresh: true,
		run: func(c, s tlsConn, say func(error)) {
			c.NetConn().Write([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0}) // a ClientHello with nothing in it
			say(s.Handshake())
			say(s.Handshake())
			say(read(s))
			say(write(s))
			c.NetConn().SetReadDeadline(time.Now().Add(patience))
			alert := make([]byte, 7)
			io.ReadFull(c.NetConn(), alert)
			say(tls.AlertError(alert[6]))
		},
		std: "error decoding message, error decoding message, error decoding message, error decoding message, error decoding message",
	}, {
		name: "Close while Read waits",
		run: func(c, _ tlsConn, say func(error)) {
			var all sync.WaitGroup
			all.Go(func() { say(read(c)) })
			c.Close()
			all.Wait()
		},
		std: "closed",
	}, {
		name: "Close while Write waits for room",
		run: func(c, s tlsConn, say func(error)) {
			var all sync.WaitGroup
			all.Go(func() { say(second(c.Write(make([]byte, 8<<20)))) })
			s.NetConn().Read(make([]byte, 1)) // it has begun
			c.Close()
			all.Wait()
		},
		std: "closed",
	}, {
		name: "two Closes at once",
		run: func(c, s tlsConn, say func(error)) {
			errs := make(chan error, 2)
			for range 2 {
				go func() { errs <- c.Close() }()
			}
			both := []string{kind(<-errs), kind(<-errs)}
			slices.Sort(both)
			say(errors.New(strings.Join(both, " and ")))
			say(read(s))
		},
		std: "closed and nil, EOF",
	},
}

// read is nil if there was data, whatever came with it.
func read(conn net.Conn) error {
	if n, err := conn.Read(make([]byte, 1)); n == 0 {
		return err
	}
	return nil
}

func write(conn net.Conn) error { return second(conn.Write([]byte{1})) }

// kind names an error, the same for both libraries.
func kind(err error) string {
	switch {
	case err == nil:
		return "nil"
	case err == io.EOF:
		return "EOF"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected EOF"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, net.ErrClosed):
		return "closed"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "deadline"
	case errors.Is(err, baretls.ErrWriteClosed), strings.Contains(err.Error(), "protocol is shutdown"):
		return "shut down"
	case errors.Is(err, baretls.ErrHandshakeNotComplete), strings.Contains(err.Error(), "before handshake complete"):
		return "not complete"
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return strings.TrimPrefix(alert.Error(), "tls: ")
	}
	for alert := range 256 { // crypto/tls has a type of its own for those
		if name, ok := strings.CutPrefix(tls.AlertError(alert).Error(), "tls: "); ok && strings.Contains(err.Error(), name) {
			return name
		}
	}
	return err.Error()
}

// What is the same as in crypto/tls, and what is better, is in one table, and
// both libraries are held to it.
func TestClosureBesideTheStandardLibrary(t *testing.T) {
	for _, test := range closureCases {
		t.Run(test.name, func(t *testing.T) {
			want := map[string]string{"crypto/tls": test.std, "netconn": test.std}
			if test.ours != "" {
				want["netconn"] = test.ours
			}
			if (test.ours != "") != (test.why != "") {
				t.Error("a difference needs a reason, and a reason a difference")
			}
			for _, library := range []string{"crypto/tls", "netconn"} {
				t.Run(library, func(t *testing.T) {
					eachVersion(t, func(t *testing.T, version uint16) { testClosure(t, test, library, version, want[library]) })
				})
			}
		})
	}
}

func testClosure(t *testing.T, test closureCase, library string, version uint16, want string) {
	a, b := sockets(t, "unix")
	var c, s tlsConn
	if library == "netconn" {
		config := serverConfig()
		config.SessionTicketsDisabled = true
		c, s = over(t, a, b, clientConfig(version), config)
	} else {
		roots, _ := tlstest.CA()
		c = tls.Client(a, &tls.Config{RootCAs: roots, ServerName: "example.com", MaxVersion: version})
		s = tls.Server(b, &tls.Config{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}, SessionTicketsDisabled: true})
		t.Cleanup(func() { b.Close(); c.Close(); s.Close() })
	}
	if !test.fresh {
		var all sync.WaitGroup
		all.Go(func() {
			if err := s.Handshake(); err != nil {
				t.Error(err)
			}
		})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		all.Wait()
	}
	var said []string
	var mu sync.Mutex
	test.run(c, s, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, kind(err))
	})
	if got := strings.Join(said, ", "); got != want {
		t.Errorf("%s says %q; it wants %q", library, got, want)
	}
}
