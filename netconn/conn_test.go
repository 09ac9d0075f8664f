package netconn_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
)

// Both sides write all the time, change their keys in between, and read what
// the other writes, over transports with buffers and without.
func TestConversation(t *testing.T) {
	transports := map[string]func(t *testing.T) (a, b net.Conn){
		"TCP":    func(t *testing.T) (a, b net.Conn) { return sockets(t, "tcp") },
		"Unix":   func(t *testing.T) (a, b net.Conn) { return sockets(t, "unix") },
		"a pipe": func(t *testing.T) (a, b net.Conn) { return sockets(t, "pipe") },
		"a wrap": func(t *testing.T) (a, b net.Conn) { a, b = sockets(t, "tcp"); return wrapped{a}, wrapped{b} },
	}
	data := pattern(1 << 20)
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version uint16) {
				a, b := transport(t)
				client, server := clientConfig(version), serverConfig()
				client.MaxFragmentSize = 1000 // so that Write has to look how much fits
				c, s := over(t, a, b, client, server)
				var all sync.WaitGroup
				for _, conn := range []*netconn.Conn{c, s} {
					all.Go(func() {
						for rest := data; len(rest) > 0; {
							n := min(len(rest), 1+len(rest)/3)
							if m, err := conn.Write(rest[:n]); m != n || err != nil {
								t.Errorf("a Write of %d bytes returned %d, %v", n, m, err)
								return
							}
							rest = rest[n:]
							if err := conn.RefreshTrafficKeys(); version == tls.VersionTLS13 && err != nil {
								t.Errorf("the keys should be updated, but: %v", err)
							}
						}
						if err := conn.CloseWrite(); err != nil {
							t.Errorf("CloseWrite returned %v", err)
						}
					})
					all.Go(func() {
						got, err := io.ReadAll(conn)
						if err != nil || !bytes.Equal(got, data) {
							t.Errorf("what is read, %d bytes and the error %v, should be the %d bytes that were written", len(got), err, len(data))
						}
					})
				}
				all.Wait()
			})
		})
	}
}

func TestPayloadsAreReadInAnyPieces(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := connect(t, version)
		data := pattern(100_000)
		var all sync.WaitGroup
		all.Go(func() {
			c.Write(nil) // no data is no record, and no end
			c.Write(data)
			c.CloseWrite()
		})
		var got bytes.Buffer
		for _, size := range []int{1, 0, 2, 3, 16384, 5, 40000} {
			if n, err := io.CopyN(&got, reader{s}, int64(size)); err != nil {
				t.Fatalf("%d bytes should be there to read, but after %d: %v", size, n, err)
			}
		}
		if _, err := got.ReadFrom(iotest.HalfReader(s)); err != nil {
			t.Errorf("the rest should end with io.EOF, but: %v", err)
		}
		all.Wait()
		if !bytes.Equal(got.Bytes(), data) {
			t.Errorf("what is read, %d bytes, should be the %d bytes that were written", got.Len(), len(data))
		}
	})
}

// reader has no WriteTo.
type reader struct{ io.Reader }

// One Read takes what has come of several records.
func TestOneReadForManyRecords(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		a, b := sockets(t, "unix")
		client := clientConfig(version)
		client.MaxFragmentSize = 64
		c, s := over(t, a, b, client, serverConfig())
		handshake(t, c, s)
		data := pattern(1000)
		if _, err := c.Write(data); err != nil { // in one piece, which Unix sockets keep
			t.Fatal(err)
		}
		got := make([]byte, 2000)
		if n, err := s.Read(got); err != nil || !bytes.Equal(got[:n], data) {
			t.Errorf("one Read should return the %d bytes of 16 records, but returned %d, %v", len(data), n, err)
		}
	})
}

// io.Copy uses WriteTo and ReadFrom, which go on where one of their sides stops.
func TestCopies(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := connect(t, version)
		data := pattern(300_000)
		var all sync.WaitGroup
		all.Go(func() {
			if n, err := c.ReadFrom(iotest.OneByteReader(bytes.NewReader(data[:100]))); n != 100 || err != nil {
				t.Errorf("ReadFrom a slow reader returned %d, %v; it wants 100 and no error", n, err)
			}
			broken := errors.New("the reader is broken")
			from := io.MultiReader(bytes.NewReader(data[100:1000]), iotest.ErrReader(broken))
			if n, err := c.ReadFrom(from); n != 900 || err != broken {
				t.Errorf("ReadFrom a reader that breaks returned %d, %v; it wants 900 and that error", n, err)
			}
			if n, err := io.Copy(c, reader{bytes.NewReader(data[1000:])}); n != int64(len(data)-1000) || err != nil {
				t.Errorf("the rest should be copied, but after %d bytes: %v", n, err)
			}
			c.CloseWrite()
		})
		var got bytes.Buffer
		full := errors.New("the writer is full")
		if n, err := s.WriteTo(&limited{&got, 50, full}); n != 50 || err != full {
			t.Errorf("WriteTo a writer that takes 50 bytes returned %d, %v", n, err)
		}
		if n, err := s.WriteTo(&limited{&got, 30, nil}); n != 30 || err != io.ErrShortWrite {
			t.Errorf("WriteTo a writer that takes 30 bytes and says nothing returned %d, %v; it wants io.ErrShortWrite", n, err)
		}
		if n, err := io.Copy(&got, s); int(n) != len(data)-80 || err != nil {
			t.Errorf("the rest should be copied until the end, but after %d bytes: %v", n, err)
		}
		all.Wait()
		if !bytes.Equal(got.Bytes(), data) {
			t.Errorf("what was copied, %d bytes, should be the %d bytes that were written", got.Len(), len(data))
		}
		if n, err := s.WriteTo(&got); n != 0 || err != nil {
			t.Errorf("WriteTo after the end returned %d, %v; it wants 0 and no error", n, err)
		}
	})
}

// limited takes so many bytes and fails then, or pretends not to have.
type limited struct {
	to   io.Writer
	left int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	n, _ := l.to.Write(p[:min(len(p), l.left)])
	l.left -= n
	if n < len(p) {
		return n, l.err
	}
	return n, nil
}

// A Write whose deadline passes tells how much is committed, and the next goes
// on there, although no record was sent as a whole.
func TestWriteDeadline(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		a, b := sockets(t, "unix")
		c, s := over(t, a, b, clientConfig(version), serverConfig())
		handshake(t, c, s)
		data := pattern(4 << 20) // more than sockets hold
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := c.Write(data)
		if n == 0 || n >= len(data) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the Write should be stopped halfway by its deadline, but returned %d, %v", n, err)
		}
		if m, err := c.Write(data[n:]); m != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a Write after the deadline should not begin, but returned %d, %v", m, err)
		}
		c.SetWriteDeadline(time.Time{})
		var all sync.WaitGroup
		all.Go(func() {
			if m, err := c.Write(data[n:]); m != len(data)-n || err != nil {
				t.Errorf("without the deadline the rest, %d bytes, should be written, but Write returned %d, %v", len(data)-n, m, err)
			}
			c.CloseWrite()
		})
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("what is read, %d bytes and the error %v, should be the %d bytes that were written", len(got), err, len(data))
		}
		all.Wait()
	})
}

// An idle connection holds no buffer, not even while Read waits.
func TestIdleConnectionsHoldNoBuffers(t *testing.T) {
	for _, transport := range []string{"TCP", "Unix", "a wrap"} {
		t.Run(transport, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version uint16) {
				a, b := sockets(t, map[string]string{"TCP": "tcp", "Unix": "unix", "a wrap": "tcp"}[transport])
				if transport == "a wrap" {
					a, b = wrapped{a}, wrapped{b}
				}
				c, s := over(t, a, b, clientConfig(version), serverConfig())
				handshake(t, c, s)
				send(t, c, s, "a question")
				send(t, s, c, string(pattern(100_000)))
				send(t, s, c, "and little more") // after bulk a wrap is read with a buffer once more

				var all sync.WaitGroup
				defer all.Wait()
				for _, conn := range []*netconn.Conn{c, s} {
					all.Go(func() {
						if n, err := conn.Read(make([]byte, 1)); n != 1 || err != nil {
							t.Errorf("the Read that waits should get a byte, but got %d, %v", n, err)
						}
					})
				}
				if !eventually(func() bool { return netconn.OnLoan.Load() == 0 }) {
					t.Errorf("two connections that wait hold %d buffers; they want none", netconn.OnLoan.Load())
				}
				c.Write([]byte{1})
				s.Write([]byte{2})
			})
		})
	}
}

// What has come of a record is kept in a buffer no larger than it needs, and
// what was opened and not read in the one that it came in.
func TestBuffersFollowTheirContent(t *testing.T) {
	leavesNothing(t)
	a, b := sockets(t, "tcp")
	gate := &gate{Conn: a, open: true}
	c, s := over(t, gate, b, clientConfig(tls.VersionTLS13), serverConfig())
	handshake(t, c, s)
	send(t, s, c, "tickets come before this")

	gate.open = false
	c.Write(pattern(16384))
	var all sync.WaitGroup
	all.Go(func() { io.CopyN(io.Discard, reader{s}, 16384) })
	a.Write(gate.kept[:7])
	if !eventually(func() bool { return netconn.OnLoan.Load() == 1 }) {
		t.Errorf("the front of a record should be in one buffer, but %d are lent", netconn.OnLoan.Load())
	}
	a.Write(gate.kept[7:])
	all.Wait()
	if n := netconn.OnLoan.Load(); n != 0 {
		t.Errorf("when the record is read no buffer should be lent, but %d are", n)
	}
	gate.kept = nil
	c.Write([]byte("two"))
	a.Write(gate.kept)
	for want := range int64(2) {
		s.Read(make([]byte, 2))
		if n := netconn.OnLoan.Load(); n != 1-want {
			t.Errorf("with %d bytes unread %d buffers are lent", 1-want, n)
		}
	}
}

// gate is a transport that keeps what is written when it is not open.
type gate struct {
	net.Conn
	open bool
	kept []byte
}

func (g *gate) Write(p []byte) (int, error) {
	if g.open {
		return g.Conn.Write(p)
	}
	g.kept = append(g.kept, p...)
	return len(p), nil
}

func TestNoAllocations(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := connect(t, version)
		data, got := pattern(16384), make([]byte, 16384)
		allocs := testing.AllocsPerRun(200, func() {
			c.Write(data)
			io.ReadFull(s, got)
			s.Write(data[:100])
			io.ReadFull(c, got[:100])
		})
		if allocs >= 1 && !raceEnabled {
			t.Errorf("two Writes and Reads allocate %v times; they should not", allocs)
		}
	})
}

// Everything at once: nothing is promised but that the race detector has
// nothing to say, and that Close ends it all.
func TestAllMethodsAtOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := pair(t, version)
		var all sync.WaitGroup
		stop := make(chan struct{})
		for _, conn := range []*netconn.Conn{c, s} {
			for _, method := range []func(){
				func() { conn.Read(make([]byte, 1000)) },
				func() { conn.Read(make([]byte, 1)) },
				func() { conn.Write(make([]byte, 100_000)) },
				func() { conn.Write(make([]byte, 1)); conn.RefreshTrafficKeys() },
				func() { conn.Handshake() },
				func() { conn.ConnectionState(); conn.OCSPResponse(); conn.ResumptionData(); conn.ReadEarly() },
				func() { conn.ExportKeyingMaterial("label", nil, 32) },
				func() { conn.VerifyHostname("example.com") },
				func() { conn.SetDeadline(time.Now().Add(time.Minute)); conn.SetWriteDeadline(time.Time{}) },
				func() {
					if beneath := conn.TLS(); beneath != nil {
						beneath.HandshakeKind()
						beneath.TicketsReceived()
					}
				},
			} {
				all.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							method()
						}
					}
				})
			}
		}
		if !eventually(func() bool { return c.TLS() != nil && s.TLS() != nil }) {
			t.Error("the handshake should be done by somebody, but is not")
		}
		all.Go(func() { c.Close() })
		s.Close()
		close(stop)
		all.Wait()
	})
}

func TestWhatIsKnownOfAConnection(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := pair(t, version)
		if c.TLS() != nil || c.ConnectionState().HandshakeComplete {
			t.Error("before the handshake nothing should be known, but TLS or ConnectionState say something")
		}
		for name, err := range map[string]error{
			"ExportKeyingMaterial": second(c.ExportKeyingMaterial("label", nil, 32)),
			"VerifyHostname":       c.VerifyHostname("example.com"),
			"RefreshTrafficKeys":   c.RefreshTrafficKeys(),
			"CloseWrite":           c.CloseWrite(),
		} {
			if !errors.Is(err, baretls.ErrHandshakeNotComplete) {
				t.Errorf("%s before the handshake should be ErrHandshakeNotComplete, but is %v", name, err)
			}
		}
		handshake(t, c, s)
		for _, conn := range []*netconn.Conn{c, s} {
			state := conn.ConnectionState()
			if !state.HandshakeComplete || state.Version != version || state.ServerName != "example.com" {
				t.Errorf("the state after the handshake is %+v", state)
			}
			if conn.TLS().HandshakeKind() != baretls.HandshakeFull {
				t.Errorf("the handshake should be full, but is %v", conn.TLS().HandshakeKind())
			}
		}
		theirs, _ := s.ExportKeyingMaterial("label", nil, 32)
		if ours, err := c.ExportKeyingMaterial("label", nil, 32); err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("both sides should export the same, but export %x and %x, %v", ours, theirs, err)
		}
		if err := c.VerifyHostname("www.example.com"); err != nil {
			t.Errorf("the certificate is for www.example.com as well, but: %v", err)
		}
		if err := c.VerifyHostname("example.org"); err == nil {
			t.Error("the certificate is not for example.org, but VerifyHostname has no error")
		}
		if err := s.VerifyHostname("example.com"); err == nil {
			t.Error("VerifyHostname is not for servers, but has no error")
		}
		if c.NetConn().RemoteAddr() != c.RemoteAddr() || c.NetConn().LocalAddr() != c.LocalAddr() {
			t.Error("the addresses should be those of the socket")
		}
		if err := c.RefreshTrafficKeys(); version == tls.VersionTLS12 && !errors.Is(err, baretls.ErrNoKeyUpdate) {
			t.Errorf("RefreshTrafficKeys in TLS 1.2 should be ErrNoKeyUpdate, but is %v", err)
		}
		send(t, s, c, "and goes on")
	})
}

func second[T any](_ T, err error) error { return err }

// What the peer asks for is answered by a connection that only reads, also if
// nobody reads the answer.
func TestKeyUpdatesAreAnswered(t *testing.T) {
	leavesNothing(t)
	a, b := sockets(t, "pipe")
	server := serverConfig()
	server.SessionTicketsDisabled = true
	c, s := over(t, a, b, clientConfig(tls.VersionTLS13), server)
	handshake(t, c, s)
	var all sync.WaitGroup
	for _, ends := range [][2]*netconn.Conn{{c, s}, {s, c}} {
		all.Go(func() {
			for range 10 {
				if err := ends[0].RefreshTrafficKeys(); err != nil {
					t.Errorf("keys should be updated in a pipe, but: %v", err)
				}
				io.WriteString(ends[0], "x")
			}
		})
		all.Go(func() {
			if got, err := io.ReadAll(io.LimitReader(ends[1], 10)); len(got) != 10 || err != nil {
				t.Errorf("both sides should get past the other's key updates, but read %q, %v", got, err)
			}
		})
	}
	all.Wait()
}

func TestFailuresAreToldToBothSides(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := connect(t, version)
		garbage := append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)
		if _, err := c.NetConn().Write(garbage); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := s.Read(make([]byte, 1))
			if alert, ok := errors.AsType[tls.AlertError](err); !ok || !strings.Contains(alert.Error(), "bad record MAC") {
				t.Errorf("a record that does not open should be bad_record_mac, but is %v", err)
			}
		}
		if _, err := s.Write([]byte("more")); !isFailure(err) {
			t.Errorf("a Write after that should be the same kind of error, but is %v", err)
		}
		_, err := c.Read(make([]byte, 1))
		failure, ok := errors.AsType[*baretls.Error](err)
		if !ok || !failure.Received() {
			t.Errorf("the peer should be told, but reads %v", err)
		}
		if _, err := c.Write([]byte("more")); err == nil {
			t.Error("a Write after the peer's alert should be an error")
		}
	})
}

func isFailure(err error) bool {
	_, ok := errors.AsType[*baretls.Error](err)
	return ok
}
