package netconn_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/netconn"
)

// A program that has a config for crypto/tls makes a connection of baretls with
// it.
func ExampleClientConfigFromStd() {
	std := &tls.Config{
		ServerName: "example.com",
		NextProtos: []string{"h2", "http/1.1"},
		MinVersion: tls.VersionTLS13,
	}
	config, serverName, err := netconn.ClientConfigFromStd(std)
	if err != nil {
		fmt.Println(err)
		return
	}
	config.RecordPadding = 512 // what crypto/tls does not have can be added
	conn, err := baretls.NewClient(config, serverName)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("a connection to", conn.ServerName())
	// Output: a connection to example.com
}

// VerifyConnection cannot run when a client of baretls verifies, and is refused.
// It runs after the handshake instead, on the same facts, and before anything
// is said over the connection.
func ExampleClientConfigFromStd_verifyConnection() {
	roots, _ := tlstest.CA()
	std := &tls.Config{
		RootCAs:    roots,
		ServerName: "example.com",
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.OCSPResponse) == 0 {
				return errors.New("the server has stapled nothing")
			}
			return nil
		},
	}

	_, _, err := netconn.ClientConfigFromStd(std)
	fmt.Println(err)

	verify := std.VerifyConnection
	rest := std.Clone()
	rest.VerifyConnection = nil
	config, serverName, err := netconn.ClientConfigFromStd(rest)
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := baretls.NewClient(config, serverName)
	if err != nil {
		fmt.Println(err)
		return
	}
	transport := stdExampleServer()
	defer transport.Close()
	if err := stdHandshake(&conn.Conn, transport); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(verify(conn.ConnectionState()))
	// Output:
	// baretls: config: VerifyConnection: needs facts that are not there when baretls verifies: call it after the handshake, with the ConnectionState
	// the server has stapled nothing
}

// A server takes what it has in common with crypto/tls from a config, and its
// ticket keys from elsewhere.
func ExampleServerConfigFromStd() {
	std := &tls.Config{
		Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
		NextProtos:   []string{"h2", "http/1.1"},
	}
	std.SetSessionTicketKeys([][32]byte{{ /* the secret of a fleet */ }})
	_, err := netconn.ServerConfigFromStd(std)
	if wrong, ok := errors.AsType[*baretls.ConfigError](err); ok {
		fmt.Println("not taken over:", wrong.Field)
	}

	std.SessionTicketsDisabled = true
	config, err := netconn.ServerConfigFromStd(std)
	if err != nil {
		fmt.Println(err)
		return
	}
	config.SessionTicketsDisabled = false
	config.TicketKeys, _ = baretls.NewTicketKeys(0)
	_, err = baretls.NewServer(config)
	fmt.Println("a server for", config.NextProtos, err)
	// Output:
	// not taken over: SetSessionTicketKeys
	// a server for [h2 http/1.1] <nil>
}

// stdExampleServer is a server of crypto/tls for example.com, in memory.
func stdExampleServer() net.Conn {
	ours, theirs := net.Pipe()
	go tls.Server(theirs, &tls.Config{
		Certificates:           []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
		SessionTicketsDisabled: true, // it would wait for somebody to read them
	}).Handshake()
	return ours
}

// stdHandshake drives a connection until it is open.
func stdHandshake(conn *baretls.Conn, transport net.Conn) error {
	var in, out []byte
	buf := make([]byte, 16<<10)
	for {
		status, err := conn.ProcessTLSRecords(in)
		if err != nil {
			return err
		}
		receive := false
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			out, err = state.AppendTo(out)
		case baretls.TransmitTLSData:
			if _, err = transport.Write(out); err == nil {
				err = state.Done()
			}
			out = nil
		case baretls.BlockedHandshake:
			receive = true
		case baretls.WriteTraffic:
			return nil
		}
		if err != nil {
			return err
		}
		in = in[status.Discard:]
		if receive {
			n, err := transport.Read(buf)
			if err != nil {
				return err
			}
			in = append(in, buf[:n]...)
		}
	}
}
