package netconn_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
)

// hooked is a transport whose Reads and Writes a test does itself, if it wants
// to. It has no write deadlines: whoever wants one returns it from write.
type hooked struct {
	net.Conn
	read  func(p []byte) (int, error)
	write func(p []byte) (int, error)
}

func (h *hooked) Read(p []byte) (int, error) {
	if h.read == nil {
		return h.Conn.Read(p)
	}
	return h.read(p)
}

func (h *hooked) Write(p []byte) (int, error) {
	if h.write == nil {
		return h.Conn.Write(p)
	}
	return h.write(p)
}

func (h *hooked) SetWriteDeadline(time.Time) error { return nil }

// Those who have waited for the handshake do not give back the buffer of what
// was opened and not yet read: another connection would get it.
func TestPayloadsKeepTheirBuffersWhenOthersWait(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		const waiting = 10
		a, b := sockets(t, "tcp")
		first, second := &hooked{Conn: a}, &hooked{Conn: b}
		c, s := over(t, first, second, clientConfig(version), serverConfig())
		// The one that finishes the handshake last sends its end and data in one piece.
		from, to, held, begun := c, s, first, second
		if version == tls.VersionTLS12 {
			from, to, held, begun = s, c, second, first
		}
		flights, piece := 0, []byte(nil)
		held.write = func(p []byte) (int, error) {
			if flights++; flights == 1 {
				return held.Conn.Write(p)
			}
			piece = append(piece, p...)
			return len(p), nil
		}
		reads := make(chan struct{})
		var once sync.Once
		begun.read = func(p []byte) (int, error) {
			once.Do(func() { close(reads) })
			return begun.Conn.Read(p)
		}

		data := pattern(1000)
		var all sync.WaitGroup
		all.Go(func() {
			if n, err := to.Read(make([]byte, 100)); n != 100 || err != nil {
				t.Errorf("the front of the data, 100 bytes, should be read, but Read returned %d, %v", n, err)
			}
		})
		<-reads
		for range waiting {
			all.Go(func() {
				if err := to.Handshake(); err != nil {
					t.Error(err)
				}
			})
		}
		if err := from.Handshake(); err != nil {
			t.Fatal(err)
		}
		if n, err := from.Write(data); n != len(data) || err != nil {
			t.Fatalf("the data should be written, but Write returned %d, %v", n, err)
		}
		if _, err := held.Conn.Write(piece); err != nil {
			t.Fatal(err)
		}
		all.Wait()

		if n := netconn.OnLoan.Load(); n != 1 {
			t.Errorf("what is not yet read should be in one buffer, but %d are lent", n)
		}
		got := make([]byte, len(data)-100)
		if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, data[100:]) {
			t.Errorf("the rest of the data should be read, but %.20q.. was, %v", got, err)
		}
	})
}

// cuts are the ways in which a Write of wholeWrite is cut off: stop is called
// while the transport takes the first piece, all of it or half.
var cuts = []struct {
	name string
	half bool
	stop func(conn *netconn.Conn, closed *sync.WaitGroup)
	err  error
}{
	{"by Close, between two pieces", false, closeBeside, net.ErrClosed},
	{"by Close, within a piece", true, closeBeside, net.ErrClosed},
	{"by a deadline, between two pieces", false, passDeadline, os.ErrDeadlineExceeded},
	{"by a deadline, within a piece", true, passDeadline, os.ErrDeadlineExceeded},
}

const wholeWrite = 200_000 // more than is sealed at once

// closeBeside returns when Close has begun.
func closeBeside(conn *netconn.Conn, closed *sync.WaitGroup) {
	closed.Go(func() { conn.Close() })
	eventually(func() bool { return errors.Is(second(conn.Read(nil)), net.ErrClosed) })
}

func passDeadline(conn *netconn.Conn, _ *sync.WaitGroup) { conn.SetWriteDeadline(past) }

// cutWriter is a pair whose server's first Write is cut off.
func cutWriter(t *testing.T, version uint16, half bool, stop func(*netconn.Conn)) (c, s *netconn.Conn) {
	a, b := sockets(t, "unix")
	transport := &hooked{Conn: b}
	config := serverConfig()
	config.SessionTicketsDisabled = true
	c, s = over(t, a, transport, clientConfig(version), config)
	handshake(t, c, s)
	transport.write = func(p []byte) (int, error) {
		transport.write = nil
		stop(s)
		if !half {
			return b.Write(p)
		}
		n, err := b.Write(p[:len(p)/2])
		return n, errors.Join(err, os.ErrDeadlineExceeded)
	}
	return c, s
}

// readAll reads in the background, and wait returns what was read.
func readAll(conn net.Conn) (wait func() ([]byte, error)) {
	var data []byte
	var err error
	var done sync.WaitGroup
	done.Go(func() { data, err = io.ReadAll(conn) })
	return func() ([]byte, error) { done.Wait(); return data, err }
}

// A peer cannot know how much was to come, so that an end that is one, behind
// the front of what was to be written, would make it take that for all.
func TestWritesThatAreCutOffHaveNoEnd(t *testing.T) {
	for _, cut := range cuts {
		t.Run(cut.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version uint16) {
				var closed sync.WaitGroup
				defer closed.Wait()
				c, s := cutWriter(t, version, cut.half, func(s *netconn.Conn) { cut.stop(s, &closed) })
				read := readAll(c)
				n, err := s.Write(pattern(wholeWrite))
				if n >= wholeWrite || !errors.Is(err, cut.err) {
					t.Errorf("the Write should be cut off by %v, but returned %d, %v", cut.err, n, err)
				}
				if s.SetWriteDeadline(time.Time{}); cut.err == os.ErrDeadlineExceeded {
					if err := s.CloseWrite(); err != netconn.ErrTorn {
						t.Errorf("CloseWrite in the midst of the data should be ErrTorn, but is %v", err)
					}
				}
				s.Close()
				if got, err := read(); len(got) >= wholeWrite || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the peer should read a part of the data and io.ErrUnexpectedEOF, but read %d of %d bytes, and %v", len(got), wholeWrite, err)
				}
			})
		})
	}
}

// Once the rest is written, both ways to end it are there again.
func TestWritesThatGoOnHaveAnEnd(t *testing.T) {
	for name, end := range map[string]func(*netconn.Conn) error{
		"CloseWrite": (*netconn.Conn).CloseWrite,
		"Close":      (*netconn.Conn).Close,
	} {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, half a piece %v", name, half), func(t *testing.T) {
				eachVersion(t, func(t *testing.T, version uint16) {
					c, s := cutWriter(t, version, half, func(s *netconn.Conn) { passDeadline(s, nil) })
					read := readAll(c)
					data := pattern(wholeWrite)
					n, err := s.Write(data)
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the Write should be cut off by its deadline, but returned %d, %v", n, err)
					}
					s.SetWriteDeadline(time.Time{})
					if m, err := s.Write(data[n:]); m != len(data)-n || err != nil {
						t.Errorf("the rest, %d bytes, should be written, but Write returned %d, %v", len(data)-n, m, err)
					}
					if err := end(s); err != nil {
						t.Errorf("after all the data %s should do, but: %v", name, err)
						s.NetConn().Close() // or the peer would wait
					}
					if got, err := read(); err != nil || !bytes.Equal(got, data) {
						t.Errorf("the peer should read all %d bytes and an end, but read %d and %v", len(data), len(got), err)
					}
				})
			})
		}
	}
}

// What a deadline has kept back is sent by Close, and an end behind it if that
// was all.
func TestCloseAfterADeadlineHasAnEnd(t *testing.T) {
	t.Run("an answer to a key update", func(t *testing.T) {
		leavesNothing(t)
		c, s := connect(t, tls.VersionTLS13)
		s.SetWriteDeadline(past)
		if err := c.RefreshTrafficKeys(); err != nil {
			t.Fatal(err)
		}
		send(t, c, s, "the keys are new")
		if s.Unsent() == 0 {
			t.Error("the answer should be kept behind the deadline, but is not")
		}
		s.Close()
		if err := read(c); err != io.EOF {
			t.Errorf("the peer should read an end, but reads %v", err)
		}
	})
	t.Run("a Write that is committed", func(t *testing.T) {
		eachVersion(t, func(t *testing.T, version uint16) {
			c, s := cutWriter(t, version, true, func(s *netconn.Conn) { passDeadline(s, nil) })
			data := pattern(10_000)
			if n, err := s.Write(data); n != len(data) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the Write should be committed as a whole, but returned %d, %v", n, err)
			}
			s.Close()
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("the peer should read all %d bytes and an end, but read %d and %v", len(data), len(got), err)
			}
		})
	})
}

// A peer that does not wait for the answers to its key updates, as RFC 9846,
// Section 4.7.3, demands, cannot make them pile up.
func TestAnswersBehindADeadlineStaySmall(t *testing.T) {
	leavesNothing(t)
	a, b := sockets(t, "tcp")
	client, server := clientConfig(tls.VersionTLS13), serverConfig()
	var log bytes.Buffer
	client.KeyLogWriter = &log
	client.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
	server.SessionTicketsDisabled = true
	c, s := over(t, a, b, client, server)
	handshake(t, c, s)
	peer := forger{t: t, secret: clientSecret(t, log.String())}
	peer.rekey()
	s.SetWriteDeadline(past)

	const rounds, limit = 500, 2 << 10
	for range rounds {
		a.Write(peer.seal(22, []byte{24, 0, 0, 1, 1})) // KeyUpdate, update_requested
		peer.update()
		a.Write(peer.seal(23, []byte("x")))
		if err := read(s); err != nil {
			t.Fatal(err)
		}
		if n := s.Unsent(); n == 0 || n > limit {
			t.Fatalf("an answer should be kept behind the deadline, in %d bytes at most, but %d are", limit, n)
		}
	}
	s.SetWriteDeadline(time.Time{})
	s.CloseWrite()
	if err := read(c); err != io.EOF {
		t.Errorf("the peer should get past the answers that it gets to the end, but reads %v", err)
	}
}

// clientSecret is the client's first application traffic secret in a key log.
func clientSecret(t *testing.T, log string) []byte {
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
	}
	t.Fatalf("there is no secret in the key log %q", log)
	return nil
}

// forger seals what a connection would not, for TLS_AES_128_GCM_SHA256.
type forger struct {
	t      *testing.T
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// update goes on to the next secret: RFC 9846, Section 7.2.
func (f *forger) update() {
	f.secret = f.expand("traffic upd", 32)
	f.rekey()
}

func (f *forger) rekey() {
	block, err := aes.NewCipher(f.expand("key", 16))
	if err != nil {
		f.t.Fatal(err)
	}
	if f.aead, err = cipher.NewGCM(block); err != nil {
		f.t.Fatal(err)
	}
	f.iv, f.seq = f.expand("iv", 12), 0
}

// expand is HKDF-Expand-Label of RFC 9846, Section 7.1, without a context.
func (f *forger) expand(label string, n int) []byte {
	info := append([]byte{0, byte(n), byte(len("tls13 " + label))}, "tls13 "+label+"\x00"...)
	out, err := hkdf.Expand(sha256.New, f.secret, string(info), n)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// seal makes a record of content of that type.
func (f *forger) seal(contentType byte, content []byte) []byte {
	nonce := bytes.Clone(f.iv)
	binary.BigEndian.PutUint64(nonce[4:], f.seq^binary.BigEndian.Uint64(nonce[4:]))
	f.seq++
	header := []byte{23, 3, 3, 0, byte(len(content) + 1 + f.aead.Overhead())}
	return f.aead.Seal(header, nonce, append(bytes.Clone(content), contentType), header)
}

// HandshakeEarly says what became of the data it was given, not of another call's.
func TestEarlyDataIsToldApart(t *testing.T) {
	const accepted, notOffered = baretls.EarlyDataAccepted, baretls.EarlyDataNotOffered
	early := func(c *netconn.Conn, text string) (baretls.EarlyDataStatus, error) {
		return c.HandshakeEarly(context.Background(), []byte(text))
	}
	t.Run("one call after the other", func(t *testing.T) {
		leavesNothing(t)
		c, s := earlyPair(t, false)
		read := readAll(s)
		for i, want := range []baretls.EarlyDataStatus{accepted, notOffered} {
			if status, err := early(c, fmt.Sprintf("call %d", i)); status != want || err != nil {
				t.Errorf("the data of call %d should be %v, but is %v, %v", i, want, status, err)
			}
		}
		c.CloseWrite()
		if got, err := read(); string(got) != "call 0" || err != nil {
			t.Errorf("the server should read what the first call sent, but reads %q, %v", got, err)
		}
	})
	t.Run("two calls at once", func(t *testing.T) {
		leavesNothing(t)
		c, s := earlyPair(t, false)
		texts := [2]string{"this", "that"}
		var status [2]baretls.EarlyDataStatus
		var all sync.WaitGroup
		for i, text := range texts {
			all.Go(func() {
				var err error
				if status[i], err = early(c, text); err != nil {
					t.Error(err)
				}
			})
		}
		read := readAll(s)
		all.Wait()
		c.CloseWrite()
		got, err := read()
		for i, text := range texts {
			want := notOffered
			if string(got) == text {
				want = accepted
			}
			if status[i] != want || err != nil {
				t.Errorf("when the server reads %q, %v, the data %q should be %v, but is %v", got, err, text, want, status[i])
			}
		}
	})
	t.Run("a deadline after the hello", func(t *testing.T) {
		leavesNothing(t)
		c, s := earlyPair(t, false)
		c.SetReadDeadline(past)
		status, err := early(c, "sent")
		if status != baretls.EarlyDataUndecided || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("data that was sent before the deadline should be undecided, but is %v, %v", status, err)
		}
		c.SetReadDeadline(time.Time{})
		read := readAll(s)
		if status, err := early(c, "other"); status != notOffered || err != nil {
			t.Errorf("other data should come too late and be %v, but is %v, %v", notOffered, status, err)
		}
		if status := c.TLS().EarlyData(); status != accepted {
			t.Errorf("TLS should know that the data was accepted, but says %v", status)
		}
		c.CloseWrite()
		if got, err := read(); string(got) != "sent" || err != nil {
			t.Errorf("the server should read what the first call sent, but reads %q, %v", got, err)
		}
	})
}

// Who has been told by Handshake that the peer speaks HTTP answers it alone,
// whatever else is called on the connection.
func TestPlainHTTPIsAnsweredOnce(t *testing.T) {
	for name, call := range map[string]func(net.Conn) error{"Read": read, "Write": write} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			socket, s := httpClient(t)
			err := s.Handshake()
			notTLS, ok := errors.AsType[tls.RecordHeaderError](err)
			if !ok {
				t.Fatalf("the error should be a tls.RecordHeaderError, but is %v", err)
			}
			io.WriteString(notTLS.Conn, "use https")
			if again := call(s); again != err {
				t.Errorf("%s after that should return the same error, but returned %v", name, again)
			}
			s.Close()
			if got, err := io.ReadAll(socket); string(got) != "use https" || err != nil {
				t.Errorf("the client should get what the caller answers and nothing else, but got %q, %v", got, err)
			}
		})
	}
}

// An error of the system is a *net.OpError, as from the socket's own Read.
func TestResetsAreNetworkErrors(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		c, s := connect(t, version)
		socket := c.NetConn().(*net.TCPConn)
		socket.SetLinger(0)
		socket.Close()
		_, err := s.Read(make([]byte, 1))
		wrong, ok := err.(*net.OpError)
		if !ok || wrong.Op != "read" || wrong.Net != "tcp" || wrong.Source != s.LocalAddr() || wrong.Addr != s.RemoteAddr() {
			t.Errorf("a reset should be a *net.OpError of a read and both addresses, but is a %T: %v", err, err)
		}
	})
}

// What a function of the config returns is not taken for a deadline of the
// socket, after which one may go on.
func TestDeadlinesOfCallbacksAreFinal(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		a, b := sockets(t, "tcp")
		config := clientConfig(version)
		config.VerifyPeer = func(*baretls.PeerVerification) error { return os.ErrDeadlineExceeded }
		transport := &hooked{Conn: a}
		c, s := over(t, transport, b, config, serverConfig())
		flights, broken := 0, errors.New("the socket is broken")
		transport.write = func(p []byte) (int, error) {
			if flights++; flights > 1 { // the alert finds no way, and is not tried again
				return 0, broken
			}
			return a.Write(p)
		}
		var all sync.WaitGroup
		all.Go(func() { s.Handshake() })
		err := c.Handshake()
		if !isFailure(err) {
			t.Errorf("the handshake should fail by a *baretls.Error, but: %v", err)
		}
		for name, again := range map[string]error{"Handshake": c.Handshake(), "Read": read(c), "Write": write(c)} {
			if again != err {
				t.Errorf("%s after that should return the same error, %v, but returned %v", name, err, again)
			}
		}
		c.Close()
		all.Wait()
	})
}

// Write looks at its deadline before it seals, and has to know when that is,
// whatever the transport does about it.
func TestDeadlinesByAnyClock(t *testing.T) {
	leavesNothing(t)
	a, b := sockets(t, "tcp")
	c, s := over(t, &hooked{Conn: a}, b, clientConfig(tls.VersionTLS13), serverConfig())
	handshake(t, c, s)
	now := time.Now()
	for name, test := range map[string]struct {
		deadline time.Time
		want     error
	}{
		"in an hour":                               {now.Add(time.Hour), nil},
		"in an hour, without a monotonic clock":    {now.Add(time.Hour).Round(0), nil},
		"an hour ago":                              {now.Add(-time.Hour), os.ErrDeadlineExceeded},
		"an hour ago, without a monotonic clock":   {now.Add(-time.Hour).Round(0), os.ErrDeadlineExceeded},
		"before the program began, at Unix time 1": {past, os.ErrDeadlineExceeded},
		"never":            {time.Time{}, nil},
		"in the year 9999": {time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), nil},
	} {
		c.SetWriteDeadline(test.deadline)
		if err := write(c); !errors.Is(err, test.want) {
			t.Errorf("with a deadline %s Write should return %v, but returned %v", name, test.want, err)
		}
	}
}

// Who has read nothing through a buffer need not make one to upgrade.
func TestUpgradesWithoutABuffer(t *testing.T) {
	leavesNothing(t)
	a, b := sockets(t, "tcp")
	c, err := netconn.UpgradeClient(a, nil, clientConfig(0), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	s, err := netconn.UpgradeServer(b, nil, serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	handshake(t, c, s)
	send(t, s, c, "after the upgrade")
	s.Close()
	c.Close()
}

// The end of a transport that says so in words of its own is a truncation, too,
// and never an io.EOF.
func TestWrappedEndsAreTruncations(t *testing.T) {
	eachVersion(t, func(t *testing.T, version uint16) {
		for name, complete := range map[string]bool{"in the handshake": false, "after it": true} {
			a, b := sockets(t, "tcp")
			transport := &hooked{Conn: b, read: func(p []byte) (int, error) {
				n, err := b.Read(p)
				if err != nil {
					err = fmt.Errorf("the tunnel has ended: %w", err)
				}
				return n, err
			}}
			c, s := over(t, a, transport, clientConfig(version), serverConfig())
			if complete {
				handshake(t, c, s)
			}
			a.(*net.TCPConn).CloseWrite()
			for range 2 {
				if err := read(s); !isFailure(err) || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
					t.Errorf("the end of the transport %s should be io.ErrUnexpectedEOF, but is %v", name, err)
				}
			}
		}
	})
}
