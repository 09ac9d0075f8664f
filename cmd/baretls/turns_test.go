package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/baretls/baretls"
)

func TestTurnsEndWithACloseNotify(t *testing.T) {
	for _, clean := range []bool{true, false} {
		client, server := turnsPair(t)
		var all sync.WaitGroup
		all.Go(func() {
			send(t, client, "the last words")
			if clean {
				client.CloseWrite()
				client.CloseWrite() // does nothing
				if _, err := client.Write([]byte("more")); !errors.Is(err, baretls.ErrWriteClosed) {
					t.Errorf("a Write after CloseWrite should be ErrWriteClosed, but is %v", err)
				}
				if got, err := io.ReadAll(client); string(got) != "an answer" || err != nil {
					t.Errorf("who has closed should still read, but read %q, %v", got, err)
				}
				client.Conn.Close()
				return
			}
			if err := client.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		got, err := io.ReadAll(server)
		switch {
		case string(got) != "the last words":
			t.Errorf("the data before the end should be read, but %q was", got)
		case clean && err != nil:
			t.Errorf("a close_notify should be a good end, but is %v", err)
		case !clean && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("an end without a close_notify should be io.ErrUnexpectedEOF, but is %v", err)
		}
		if clean {
			send(t, server, "an answer")
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
	}
}

func TestTurnsReadInAnyPieces(t *testing.T) {
	client, server := turnsPair(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 5000)
	var all sync.WaitGroup
	all.Go(func() {
		defer client.Close()
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+len(rest)/3)
			send(t, client, string(rest[:n]))
			rest = rest[n:]
		}
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
	server.Conn.Close()
	all.Wait()
	if !bytes.Equal(got.Bytes(), data) {
		t.Errorf("what is read, %d bytes, should be the %d bytes that were written", got.Len(), len(data))
	}
}

func TestTurnsKeepTheirError(t *testing.T) {
	client, server := turnsPair(t)
	server.Conn.Write([]byte("220 localhost ESMTP\r\n"))
	for range 2 {
		var record tls.RecordHeaderError
		if _, err := client.HandshakeEarly(context.Background(), nil); !errors.As(err, &record) {
			t.Errorf("a peer without TLS should be a tls.RecordHeaderError, and stay so, but is %v", err)
		}
	}
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Error("the peer should be sent the alert, but has no error")
	}
}

// turnsPair returns connections before their handshake.
func turnsPair(t *testing.T) (client, server *turns) {
	t.Helper()
	cert, ca, err := throwaway()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	near, far, err := loopback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	clientTLS, err := baretls.NewClient(&baretls.ClientConfig{RootCAs: roots}, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	serverTLS, err := baretls.NewServer(&baretls.ServerConfig{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	return newTurns(near, &clientTLS.Conn, nil), newTurns(far, &serverTLS.Conn, nil)
}
