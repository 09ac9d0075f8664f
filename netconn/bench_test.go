//go:build unix

package netconn_test

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/netconn"
)

// library makes connections of one kind, for benchmarks that compare.
type library struct {
	name   string
	client func(socket net.Conn) net.Conn
	server func(socket net.Conn) net.Conn
}

// libraries are set up alike: TLS 1.3 or 1.2 with AES-128-GCM, a certificate with
// P-256, and no tickets, so that every handshake is a full one.
func libraries(b testing.TB, version uint16) []library {
	netconn.DoNotCount()
	roots, _ := tlstest.CA()
	certificates := []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}
	stdClient := &tls.Config{RootCAs: roots, ServerName: "example.com", MaxVersion: version}
	stdServer := &tls.Config{Certificates: certificates, SessionTicketsDisabled: true}
	client := &baretls.ClientConfig{RootCAs: roots, MaxVersion: version, SessionTicketsDisabled: true}
	server := &baretls.ServerConfig{Certificates: certificates, SessionTicketsDisabled: true}
	must := func(conn *netconn.Conn, err error) net.Conn {
		if err != nil {
			b.Fatal(err)
		}
		return conn
	}
	return []library{{
		"crypto-tls",
		func(socket net.Conn) net.Conn { return tls.Client(socket, stdClient) },
		func(socket net.Conn) net.Conn { return tls.Server(socket, stdServer) },
	}, {
		"netconn",
		func(socket net.Conn) net.Conn { return must(netconn.Client(socket, client, "example.com")) },
		func(socket net.Conn) net.Conn { return must(netconn.Server(socket, server)) },
	}}
}

func eachLibrary(b *testing.B, f func(b *testing.B, lib library)) {
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		for _, lib := range libraries(b, version) {
			b.Run(fmt.Sprintf("version=%d/lib=%s", version-tls.VersionTLS10+10, lib.name), func(b *testing.B) {
				before := processorTime()
				f(b, lib)
				b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// processorTime is what the process has used, which other processes disturb
// less than the time by the clock.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// connect does the handshake by a byte each way.
func (lib library) connect(b *testing.B) (c, s net.Conn) {
	d, a := sockets(b, "tcp")
	c, s = lib.client(d), lib.server(a)
	b.Cleanup(func() { a.Close(); c.Close(); s.Close() })
	send(b, c, s, "x")
	send(b, s, c, "x")
	return c, s
}

func BenchmarkThroughput(b *testing.B) {
	for _, size := range []int{1 << 20, 16 << 10, 1 << 10} {
		b.Run(fmt.Sprintf("write=%d", size), func(b *testing.B) {
			eachLibrary(b, func(b *testing.B, lib library) {
				c, s := lib.connect(b)
				data := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				var all sync.WaitGroup
				all.Go(func() {
					buf := make([]byte, 64<<10)
					for left := size * b.N; left > 0; {
						n, err := s.Read(buf)
						if err != nil {
							b.Error(err)
							return
						}
						left -= n
					}
				})
				for range b.N {
					if _, err := c.Write(data); err != nil {
						b.Fatal(err)
					}
				}
				all.Wait()
			})
		})
	}
}

// BenchmarkCopy sends a file's worth through io.Copy on both sides.
func BenchmarkCopy(b *testing.B) {
	eachLibrary(b, func(b *testing.B, lib library) {
		const size = 8 << 20
		c, s := lib.connect(b)
		data := make([]byte, size)
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			var all sync.WaitGroup
			all.Go(func() { io.Copy(c, reader{bytes.NewReader(data)}) })
			if _, err := io.CopyN(discard{}, s, size); err != nil {
				b.Fatal(err)
			}
			all.Wait()
		}
	})
}

// discard has no ReadFrom.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkRequestResponse(b *testing.B) {
	eachLibrary(b, func(b *testing.B, lib library) {
		c, s := lib.connect(b)
		message, answer := make([]byte, 500), make([]byte, 500)
		var all sync.WaitGroup
		all.Go(func() {
			for {
				if _, err := io.ReadFull(s, message); err != nil {
					return
				}
				s.Write(message)
			}
		})
		b.ReportAllocs()
		for b.Loop() {
			c.Write(answer)
			if _, err := io.ReadFull(c, answer); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		c.Close()
		all.Wait()
	})
}

func BenchmarkHandshake(b *testing.B) {
	eachLibrary(b, func(b *testing.B, lib library) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer listener.Close()
		b.ReportAllocs()
		for b.Loop() {
			var all sync.WaitGroup
			all.Go(func() {
				socket, err := listener.Accept()
				if err != nil {
					return
				}
				s := lib.server(socket)
				io.Copy(io.Discard, s)
				s.Close()
			})
			socket, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			c := lib.client(socket)
			if err := write(c); err != nil {
				b.Fatal(err)
			}
			c.Close()
			all.Wait()
		}
	})
}

var idleConnections = flag.Int("idle", 0, "how many idle connections TestIdleMemory has; 0 skips it")

// TestIdleMemory measures what a server's connections take that have talked
// and wait. Their clients are in another process.
func TestIdleMemory(t *testing.T) {
	if address := os.Getenv("NETCONN_IDLE_CLIENTS_OF"); address != "" {
		idleClients(t, address)
		return
	}
	if *idleConnections == 0 {
		t.Skip("it is a measurement, and wants -idle 10000 to be made")
	}
	for _, lib := range libraries(t, tls.VersionTLS13) {
		t.Run(lib.name, func(t *testing.T) { measureIdle(t, lib) })
	}
}

// idleTalk is what is said before the silence: a large record each way.
const idleTalk = 16 << 10

func measureIdle(t *testing.T, lib library) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	clients := exec.Command(os.Args[0], "-test.run=^TestIdleMemory$", fmt.Sprintf("-idle=%d", *idleConnections))
	clients.Env = append(os.Environ(), "NETCONN_IDLE_CLIENTS_OF="+listener.Addr().String())
	clients.Stdout = os.Stderr
	stop, err := clients.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	before := memory()
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	var talking, all sync.WaitGroup
	for range *idleConnections {
		socket, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		talking.Add(1)
		all.Go(func() {
			conn := lib.server(socket)
			defer conn.Close()
			talk := make([]byte, idleTalk)
			if _, err := io.ReadFull(conn, talk); err != nil {
				t.Error(err)
			}
			conn.Write(talk)
			talking.Done()
			conn.Read(make([]byte, 1))
		})
	}
	talking.Wait()
	after := memory()
	n := uint64(*idleConnections)
	used := func(m runtime.MemStats) uint64 { return m.HeapInuse + m.StackInuse + m.MSpanInuse }
	t.Logf("%s, each of %d connections: %d bytes of heap, %d of stacks, %d in all",
		lib.name, n, (after.HeapAlloc-before.HeapAlloc)/n, (after.StackInuse-before.StackInuse)/n, (used(after)-used(before))/n)
	stop.Close()
	all.Wait()
	clients.Wait()
}

func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

func idleClients(t *testing.T, address string) {
	var all sync.WaitGroup
	quiet := make(chan bool)
	room := make(chan bool, 8)
	for range *idleConnections {
		room <- true
		all.Go(func() {
			conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Error(err)
				os.Exit(1)
			}
			talk := make([]byte, idleTalk)
			conn.Write(talk)
			if _, err := io.ReadFull(conn, talk); err != nil {
				t.Error(err)
			}
			<-room
			<-quiet
			conn.Close()
		})
	}
	io.Copy(io.Discard, os.Stdin) // its end is the end
	close(quiet)
	all.Wait()
}
