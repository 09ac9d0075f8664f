package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/baretls/baretls"
)

func TestEndOfFileIsACloseNotify(t *testing.T) {
	client, server := connect(t)
	send(t, client, "the last words")
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(server)
	if string(got) != "the last words" || err != nil {
		t.Errorf("data and a close_notify should be read as data and io.EOF, but were as %q and %v", got, err)
	}
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("io.EOF should stay, but the next Read returned %d, %v", n, err)
	}
}

func TestEndOfTheSocketIsATruncation(t *testing.T) {
	client, server := connect(t)
	send(t, client, "not the last words")
	if err := client.Conn.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(server)
	if string(got) != "not the last words" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("data without a close_notify should end with io.ErrUnexpectedEOF, but was read as %q and %v", got, err)
	}
}

func TestEachSideClosesForItself(t *testing.T) {
	client, server := connect(t)
	for range 2 { // the second time does nothing
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Write([]byte("more")); !errors.Is(err, baretls.ErrWriteClosed) {
		t.Errorf("a Write after CloseWrite should be ErrWriteClosed, but is %v", err)
	}
	if got, err := io.ReadAll(server); len(got) != 0 || err != nil {
		t.Errorf("the peer should read the end, but read %q, %v", got, err)
	}
	send(t, server, "an answer")
	server.Close()
	if got, err := io.ReadAll(client); string(got) != "an answer" || err != nil {
		t.Errorf("who has closed should still read, but read %q, %v", got, err)
	}
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Error("a Read after Close should be an error")
	}
}

func TestDeadlinesAreTheSockets(t *testing.T) {
	client, server := pair(t)
	past := time.Now().Add(-time.Second)
	expired := func(when string) {
		t.Helper()
		server.SetReadDeadline(past)
		if n, err := server.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s, a Read after its deadline should be os.ErrDeadlineExceeded, but is %d, %v", when, n, err)
		}
		server.SetReadDeadline(time.Time{})
	}
	expired("before the handshake")
	handshake(t, client, server)
	expired("after the handshake")

	send(t, client, "in spite of that")
	got := make([]byte, len("in spite of that"))
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "in spite of that" {
		t.Errorf("a deadline that has passed should lose nothing, but the next Read got %q, %v", got, err)
	}

	client.SetWriteDeadline(past)
	if _, err := client.Write([]byte("late")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a Write after its deadline should be os.ErrDeadlineExceeded, but is %v", err)
	}
	client.SetWriteDeadline(time.Time{})
	if _, err := client.Write([]byte("a gap")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a Write after a lost one should be the same error, but is %v", err)
	}
}

func TestPayloadsAreReadInAnyPieces(t *testing.T) {
	client, server := connect(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 5000)
	var all sync.WaitGroup
	all.Go(func() {
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+len(rest)/3)
			if _, err := client.Write(rest[:n]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
		client.Write(nil) // no data is no record, and no end
		client.Close()
	})
	var got bytes.Buffer
	for _, size := range []int{1, 0, 2, 3, 16384, 5, 40000} {
		if n, err := io.CopyN(&got, server, int64(size)); err != nil {
			t.Fatalf("%d bytes should be there to read, but after %d: %v", size, n, err)
		}
	}
	if _, err := got.ReadFrom(iotest.HalfReader(server)); err != nil {
		t.Errorf("the rest should end with io.EOF, but: %v", err)
	}
	all.Wait()
	if !bytes.Equal(got.Bytes(), data) {
		t.Errorf("what is read, %d bytes, should be the %d bytes that were written", got.Len(), len(data))
	}
}

// Both sides write more than sockets hold before the other's reader is done,
// and change their keys all the time, so that readers have to send, too.
func TestReadAndWriteAtOnce(t *testing.T) {
	client, server := connect(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	var all sync.WaitGroup
	for _, conn := range []*tlsConn{client, server} {
		all.Go(func() {
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1<<18)
				if _, err := conn.Write(rest[:n]); err != nil {
					t.Errorf("a Write beside a Read should work, but: %v", err)
					return
				}
				rest = rest[n:]
				if err := refresh(conn); err != nil {
					t.Errorf("the keys should be updated, but: %v", err)
				}
			}
			if err := conn.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("a Read beside a Write should get %d bytes, but got %d: %v", len(data), len(got), err)
			}
		})
	}
	all.Wait()
}

func TestAWriteDoesNotWaitForARead(t *testing.T) {
	client, server := pair(t)
	var all sync.WaitGroup
	got := make([]byte, len("echo"))
	for range 2 { // one of them reads the answer, the other the end
		all.Go(func() {
			if n, err := client.Read(got[:]); n != len(got) && err != io.EOF {
				t.Errorf("both readers should be served, but one got %d, %v", n, err)
			}
		})
	}
	all.Go(func() {
		io.CopyN(server, server, int64(len(got)))
		server.Close()
	})
	send(t, client, "echo")
	all.Wait()
	if string(got) != "echo" {
		t.Errorf("the answer should be read, but is %q", got)
	}
}

func TestFailureIsKept(t *testing.T) {
	client, server := pair(t)
	server.Conn.Write([]byte("220 localhost ESMTP\r\n"))
	for range 2 {
		var record tls.RecordHeaderError
		if err := client.Handshake(); !errors.As(err, &record) || client.failure() != err {
			t.Errorf("a peer without TLS should be a tls.RecordHeaderError, and stay so, but is %v", err)
		}
	}
	if err := server.Handshake(); err == nil || server.failure() != err {
		t.Errorf("the peer should be sent the alert, but its error is %v", err)
	}
}

// A system resets a connection that is closed with something unread.
func TestCloseLosesNothing(t *testing.T) {
	client, server := connect(t)
	unread := make([]byte, 64<<10)
	data := bytes.Repeat([]byte("0123456789abcdef"), 10_000) // more than a window
	var all sync.WaitGroup
	all.Go(func() { send(t, server, string(unread)) })
	if _, err := client.Read(unread[:1]); err != nil {
		t.Fatal(err)
	}
	send(t, client, string(data))
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if got, err := io.ReadAll(server); !bytes.Equal(got, data) || err != nil {
		t.Errorf("all %d bytes that were written before Close should be read, but %d are: %v", len(data), len(got), err)
	}
}

func TestCloseSendsReadersAway(t *testing.T) {
	client, server := connect(t)
	waits := make(chan struct{})
	begins := sync.OnceFunc(func() { close(waits) })
	client.trace = func(line string) {
		if line == "WriteTraffic: receive" {
			begins()
		}
	}
	var all sync.WaitGroup
	all.Go(func() {
		if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("a Read that waits should end with net.ErrClosed when its side closes, but ended with %d, %v", n, err)
		}
	})
	<-waits
	begun := time.Now()
	if err := client.Close(); err != nil {
		t.Errorf("Close should send the close_notify, but: %v", err)
	}
	all.Wait()
	if waited := time.Since(begun); waited > closePatience/2 {
		t.Errorf("a Read should end at once, though the server has not closed, but did after %v", waited)
	}
	if _, err := client.Write([]byte("more")); err == nil {
		t.Error("a Write after Close should be an error")
	}
	if got, err := io.ReadAll(server); len(got) != 0 || err != nil {
		t.Errorf("the peer should read the end, but read %q, %v", got, err)
	}
}

// The server reads, and answers, before it has heard from the client again.
func TestEarlyDataIsReadBeforeTheEndOfTheHandshake(t *testing.T) {
	client, server, hold := earlyPair(t)
	question := bytes.Repeat([]byte("0123456789abcdef"), 3000) // several records
	var all sync.WaitGroup
	all.Go(func() {
		if taken, err := client.WriteEarly(question); !taken || err != nil {
			t.Errorf("early data should be accepted, but is %v: %v", client.tls.EarlyData(), err)
		}
		send(t, client, ", and more")
		client.CloseWrite()
		if got, err := io.ReadAll(client); string(got) != "an answer" || err != nil {
			t.Errorf("the answer should be read, but is %q: %v", got, err)
		}
	})
	got := make([]byte, len(question))
	for rest := got; len(rest) > 0; { // in odd pieces
		n, err := server.Read(rest[:min(len(rest), 5000)])
		if err != nil || !server.ReadEarly() {
			t.Fatalf("early data should be read, and known as such, but: %v", err)
		}
		rest = rest[n:]
	}
	if !bytes.Equal(got, question) {
		t.Errorf("%d bytes of early data should be read as they were written", len(question))
	}
	send(t, server, "an answer")
	if !server.tls.IsHandshaking() {
		t.Error("all this should come before the client's Finished, which is held up")
	}
	close(hold)
	rest, err := io.ReadAll(server)
	if string(rest) != ", and more" || err != nil || server.ReadEarly() {
		t.Errorf("ordinary data should follow, and not be taken for early, but %q does: %v", rest, err)
	}
	server.Close()
	all.Wait()
}

func TestAHandshakeKeepsEarlyData(t *testing.T) {
	client, server, hold := earlyPair(t)
	close(hold)
	question := bytes.Repeat([]byte("0123456789abcdef"), 3000)
	var all sync.WaitGroup
	all.Go(func() {
		if taken, err := client.WriteEarly(question); !taken || err != nil {
			t.Errorf("early data should be accepted, but is %v: %v", client.tls.EarlyData(), err)
		}
		client.Close()
	})
	if err := server.Handshake(); err != nil {
		t.Fatalf("the handshake should not wait for a reader, but: %v", err)
	}
	got, err := io.ReadAll(server)
	if !bytes.Equal(got, question) || err != nil {
		t.Errorf("the %d bytes of early data should still be there to read, but %d are: %v", len(question), len(got), err)
	}
	if !server.ReadEarly() {
		t.Error("early data should be known as such after the handshake, too")
	}
	all.Wait()
}

func TestCloseWaitsForTheEndOfTheHandshake(t *testing.T) {
	client, server, hold := earlyPair(t)
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := client.WriteEarly([]byte("a question")); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(client); string(got) != "an answer" || err != nil {
			t.Errorf("an early answer should be whole and end with a close_notify, but is %q: %v", got, err)
		}
		if client.tls.TicketsReceived() == 0 {
			t.Error("the tickets should come before the close_notify")
		}
	})
	if _, err := io.ReadFull(server, make([]byte, len("a question"))); err != nil {
		t.Fatal(err)
	}
	send(t, server, "an answer")
	close(hold)
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

// earlyPair returns connections before their handshake, with a session that
// allows early data. The client's second flight is held up until hold closes.
func earlyPair(t *testing.T) (client, server *tlsConn, hold chan struct{}) {
	t.Helper()
	cert, ca, err := throwaway()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	clientConfig := &baretls.ClientConfig{RootCAs: roots, EnableEarlyData: true}
	serverConfig := &baretls.ServerConfig{
		Certificates:    []tls.Certificate{cert},
		MaxEarlyData:    1 << 16,
		ReplayGuard:     knowing{baretls.NewReplayGuard(0)},
		SendHalfRTTData: true,
	}
	client, server = pairOf(t, clientConfig, serverConfig)
	handshake(t, client, server)
	server.Close()
	if _, err := io.Copy(io.Discard, client); err != nil { // the tickets
		t.Fatal(err)
	}
	client.Close()

	client, server = pairOf(t, clientConfig, serverConfig)
	hold = make(chan struct{})
	client.Conn = &heldConn{Conn: client.Conn, hold: hold}
	return client, server, hold
}

// heldConn lets the first Write pass, and others when hold is closed.
type heldConn struct {
	net.Conn
	hold   chan struct{}
	writes atomic.Int32
}

func (c *heldConn) Write(p []byte) (int, error) {
	if c.writes.Add(1) > 1 {
		<-c.hold
	}
	return c.Conn.Write(p)
}

func (c *heldConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// pair returns connections before their handshake.
func pair(t *testing.T) (client, server *tlsConn) {
	t.Helper()
	cert, ca, err := throwaway()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	return pairOf(t, &baretls.ClientConfig{RootCAs: roots}, &baretls.ServerConfig{Certificates: []tls.Certificate{cert}})
}

func pairOf(t *testing.T, clientConfig *baretls.ClientConfig, serverConfig *baretls.ServerConfig) (client, server *tlsConn) {
	t.Helper()
	near, far, err := loopback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	clientTLS, err := baretls.NewClient(clientConfig, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	serverTLS, err := baretls.NewServer(serverConfig)
	if err != nil {
		t.Fatal(err)
	}
	return newConn(near, &clientTLS.Conn, nil), newConn(far, &serverTLS.Conn, nil)
}

// connect returns connections after their handshake.
func connect(t *testing.T) (client, server *tlsConn) {
	t.Helper()
	client, server = pair(t)
	handshake(t, client, server)
	return client, server
}

func handshake(t *testing.T, client, server *tlsConn) {
	t.Helper()
	var all sync.WaitGroup
	all.Go(func() {
		// The client's Finished goes out with its next turn: a Write of nothing.
		if _, err := client.Write(nil); err != nil {
			t.Errorf("the client's handshake should work, but: %v", err)
		}
	})
	if err := server.Handshake(); err != nil {
		t.Errorf("the server's handshake should work, but: %v", err)
	}
	all.Wait()
}

func send(t *testing.T, conn *tlsConn, text string) {
	t.Helper()
	if n, err := conn.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("Write should take %d bytes, but took %d: %v", len(text), n, err)
	}
}

// refresh asks for new keys in both directions.
func refresh(conn *tlsConn) error {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	writer, err := conn.writer()
	if err != nil {
		return err
	}
	return writer.RefreshTrafficKeys()
}
