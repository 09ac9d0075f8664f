package netconn_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/netconn"
)

// TestExamples: every exported type is shown at work, and every example is run.
func TestExamples(t *testing.T) {
	tlstest.CheckExamples(t, "github.com/baretls/baretls/netconn", 2)
}

// A server that says to each client what it says, and a client.
func Example() {
	roots, _ := tlstest.CA() // for tests; nil stands for the system's roots
	certificate := tlstest.Leaf(tlstest.ECDSAP256)

	listener, err := netconn.Listen("tcp", "127.0.0.1:0", &baretls.ServerConfig{
		Certificates: []tls.Certificate{certificate},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()

	conn, err := netconn.Dial("tcp", listener.Addr().String(), &baretls.ClientConfig{RootCAs: roots})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	conn.CloseWrite()
	echo, err := io.ReadAll(conn)
	fmt.Printf("%s %v\n", echo, err)
	// Output: hello <nil>
}

func ExampleDialer() {
	address, stop := echoServer()
	defer stop()
	roots, _ := tlstest.CA()
	dialer := &netconn.Dialer{
		NetDialer:  &net.Dialer{Timeout: 10 * time.Second}, // for the handshake, too
		Config:     &baretls.ClientConfig{RootCAs: roots},
		ServerName: "example.com", // whatever the address is
	}
	conn, err := dialer.DialContext(context.Background(), "tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	state := conn.(*netconn.Conn).ConnectionState()
	fmt.Println(tls.VersionName(state.Version), state.ServerName)
	// Output: TLS 1.3 example.com
}

// A write deadline that passes is no end: what was not committed is written
// later.
func ExampleConn() {
	address, stop := echoServer()
	defer stop()
	roots, _ := tlstest.CA()
	conn, err := netconn.Dial("tcp", address, &baretls.ClientConfig{RootCAs: roots})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	message := []byte("patience")
	conn.SetWriteDeadline(time.Now())
	n, err := conn.Write(message)
	fmt.Println(n, err)
	conn.SetWriteDeadline(time.Time{})
	m, err := conn.Write(message[n:])
	fmt.Println(m, err)

	io.ReadFull(conn, message)
	fmt.Printf("%s, and the handshake was %v\n", message, conn.TLS().HandshakeKind())
	// Output:
	// 0 i/o timeout
	// 8 <nil>
	// patience, and the handshake was full
}

// A request goes out with the first bytes of the handshake, if the session of
// an earlier connection allows it.
func ExampleConn_HandshakeEarly() {
	address, stop := echoServer()
	defer stop()
	roots, _ := tlstest.CA()
	config := &baretls.ClientConfig{RootCAs: roots, EnableEarlyData: true}
	request := []byte("may happen twice")

	socket, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := netconn.Client(socket, config, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	status, err := conn.HandshakeEarly(context.Background(), request)
	if err != nil {
		log.Fatal(err)
	}
	if status != baretls.EarlyDataAccepted {
		conn.Write(request)
	}
	response := make([]byte, len(request))
	io.ReadFull(conn, response)
	fmt.Printf("early data %v, answer %q\n", status, response)
	// Output: early data not offered, answer "may happen twice"
}

// Mail servers begin in the clear and change to TLS by agreement. Between the
// two nothing must be left that was received in the clear.
func ExampleUpgradeServer() {
	client, server := net.Pipe()
	go func() {
		roots, _ := tlstest.CA()
		r := bufio.NewReader(client)
		fmt.Fprint(client, "STARTTLS\r\n")
		agreed, _ := r.ReadString('\n')
		fmt.Printf("S: %q\n", agreed)
		conn, err := netconn.UpgradeClient(client, r, &baretls.ClientConfig{RootCAs: roots}, "example.com")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(conn, "EHLO client.example.com\r\n")
		conn.Close()
	}()

	r := bufio.NewReader(server)
	command, _ := r.ReadString('\n')
	fmt.Printf("C: %q\n", command)
	conn, err := netconn.UpgradeServer(server, r, &baretls.ServerConfig{
		Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
		// A pipe has no room for tickets until somebody reads.
		SessionTicketsDisabled: true,
	})
	if errors.Is(err, netconn.ErrBufferedPlaintext) {
		log.Fatal("somebody has put commands behind STARTTLS")
	} else if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(server, "220 ready for TLS\r\n")
	protected, err := io.ReadAll(conn)
	fmt.Printf("C, by TLS: %q %v\n", protected, err)
	conn.Close()
	// Output:
	// C: "STARTTLS\r\n"
	// S: "220 ready for TLS\r\n"
	// C, by TLS: "EHLO client.example.com\r\n" <nil>
}

func echoServer() (address string, stop func()) {
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", &baretls.ServerConfig{
		Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
	})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan bool)
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(conn, conn)
		conn.Close()
	}()
	return listener.Addr().String(), func() {
		<-ended
		listener.Close()
	}
}
