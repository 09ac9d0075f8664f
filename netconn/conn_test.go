package netconn

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

func sockets(t testing.TB) (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() { b, _ = l.Accept(); close(done) }()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	<-done
	return a, b
}

func TestQuick(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		roots, _ := tlstest.CA()
		a, b := sockets(t)
		c, err := Client(a, &baretls.ClientConfig{RootCAs: roots, MaxVersion: version}, "example.com")
		if err != nil {
			t.Fatal(err)
		}
		s, err := Server(b, &baretls.ServerConfig{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}})
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
		var wg sync.WaitGroup
		for _, conn := range []*Conn{c, s} {
			wg.Go(func() {
				for i := 0; i < 4; i++ {
					if _, err := conn.Write(data[i<<20 : (i+1)<<20]); err != nil {
						t.Error(err)
					}
				}
				conn.CloseWrite()
			})
			wg.Go(func() {
				got, err := io.ReadAll(conn)
				if err != nil || !bytes.Equal(got, data) {
					t.Error(len(got), err)
				}
			})
		}
		wg.Wait()
		c.Close()
		s.Close()
	}
}
