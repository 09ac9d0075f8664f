package baretls_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// TestExamples: every exported type is shown at work.
func TestExamples(t *testing.T) { tlstest.CheckExamples(t, "github.com/baretls/baretls", 20) }

// The loop, over anything that reads and writes: here with a server of
// crypto/tls, in memory.
func Example() {
	exchange := func(conn *baretls.Conn, transport io.ReadWriter, request []byte) (response []byte, err error) {
		var in, out []byte // received and not discarded; encoded and not sent
		buf := make([]byte, 16<<10)
		for ended := false; ; {
			status, err := conn.ProcessTLSRecords(in)
			discard, send, receive := status.Discard, false, false
			switch state := status.State.(type) {
			case baretls.EncodeTLSData:
				out, err = state.AppendTo(out)
			case baretls.TransmitTLSData:
				send, err = true, state.Done()
			case baretls.ReadTraffic:
				for record := range state.Records() {
					response = append(response, record.Payload...)
					discard += record.Discard
				}
			case baretls.BlockedHandshake:
				receive = true
			case baretls.WriteTraffic:
				switch {
				case len(request) > 0:
					out, err = state.AppendEncrypted(out, request)
					request, send = nil, true
				case ended:
					out, err = state.AppendCloseNotify(out)
					send = true
				default:
					receive = true
				}
			case baretls.PeerClosed:
				ended = true
			case baretls.Closed:
				return response, nil
			}
			if err != nil {
				return response, err
			}
			in = slices.Delete(in, 0, discard)
			if send {
				if _, err := transport.Write(out); err != nil {
					return response, err
				}
				out = out[:0]
			}
			if receive {
				n, err := transport.Read(buf)
				in = append(in, buf[:n]...)
				if err == io.EOF {
					conn.CloseInput()
				} else if err != nil {
					return response, err
				}
			}
		}
	}

	roots, _ := tlstest.CA()
	client, err := baretls.NewClient(&baretls.ClientConfig{RootCAs: roots}, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	response, err := exchange(&client.Conn, dialGreeter(), []byte("world\n"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", response)
	// Output: hello, world
}

// What a connection knows about itself and its peer.
func ExampleConn() {
	client, _ := exampleConns()
	conn := client.conn // of a ClientConn or a ServerConn

	fmt.Println(tls.VersionName(conn.ProtocolVersion()))
	fmt.Println(tls.CipherSuiteName(conn.NegotiatedCipherSuite()))
	fmt.Println(conn.NegotiatedKeyExchangeGroup())
	fmt.Println(conn.ALPNProtocol())
	fmt.Println(conn.PeerCertificates()[0].DNSNames[0])
	// Output:
	// TLS 1.3
	// TLS_AES_128_GCM_SHA256
	// X25519MLKEM768
	// http/1.1
	// example.com
}

// Both sides derive the same bytes, which no one else knows.
func ExampleConn_ExportKeyingMaterial() {
	client, server := exampleConns()

	ours, err := client.conn.ExportKeyingMaterial("EXPORTER-example", nil, 32)
	if err != nil {
		log.Fatal(err)
	}
	theirs, err := server.conn.ExportKeyingMaterial("EXPORTER-example", nil, 32)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(ours), bytes.Equal(ours, theirs))
	// Output: 32 true
}

// The transport ended, and the peer had not said that it would.
func ExampleConn_CloseInput() {
	client, _ := exampleConns()

	client.conn.CloseInput()
	_, err := client.conn.ProcessTLSRecords(nil)
	fmt.Println(errors.Is(err, io.ErrUnexpectedEOF))
	// Output: true
}

// A client speaks first.
func ExampleNewClient() {
	client, err := baretls.NewClient(&baretls.ClientConfig{}, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	status, err := client.ProcessTLSRecords(nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T\n", status.State)

	_, err = baretls.NewClient(&baretls.ClientConfig{}, "no name")
	fmt.Println(err)
	// Output:
	// baretls.EncodeTLSData
	// baretls: "no name" is neither a host name nor an IP address
}

// A server waits.
func ExampleNewServer() {
	server, err := baretls.NewServer(&baretls.ServerConfig{
		Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
	})
	if err != nil {
		log.Fatal(err)
	}
	status, err := server.ProcessTLSRecords(nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T\n", status.State)
	// Output: baretls.BlockedHandshake
}

// A loop takes the Conn that both roles share.
func ExampleClientConn() {
	turn := func(conn *baretls.Conn) { fmt.Println(conn.ServerName(), conn.IsHandshaking()) }

	client, err := baretls.NewClient(&baretls.ClientConfig{}, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	turn(&client.Conn)
	// Output: example.com true
}

// A program that serves many clients has one config and a ServerConn for each.
func ExampleServerConn() {
	config := &baretls.ServerConfig{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}}
	var conns []*baretls.ServerConn
	for range 3 {
		server, err := baretls.NewServer(config)
		if err != nil {
			log.Fatal(err)
		}
		conns = append(conns, server)
	}
	fmt.Println(len(conns), conns[0].IsHandshaking())
	// Output: 3 true
}

// Discard is what the turn used up of the incoming bytes: here the ClientHello,
// but not what stands behind it.
func ExampleStatus() {
	clientConfig, serverConfig := exampleConfigs()
	client, _ := baretls.NewClient(clientConfig, "example.com")
	server, _ := baretls.NewServer(serverConfig)
	status, _ := client.ProcessTLSRecords(nil)
	incoming, err := status.State.(baretls.EncodeTLSData).AppendTo(nil)
	if err != nil {
		log.Fatal(err)
	}

	incoming = append(incoming, 20, 3) // of the next record
	status, err = server.ProcessTLSRecords(incoming)
	if err != nil {
		log.Fatal(err)
	}
	incoming = incoming[status.Discard:]
	fmt.Printf("%T, %d bytes left\n", status.State, len(incoming))
	// Output: baretls.EncodeTLSData, 2 bytes left
}

// A type switch over the states is the heart of a loop: here is the whole of a
// client's first flight.
func ExampleState() {
	clientConfig, _ := exampleConfigs()
	client, err := baretls.NewClient(clientConfig, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	var out []byte
	for quiet := false; !quiet; {
		status, err := client.ProcessTLSRecords(nil)
		if err != nil {
			log.Fatal(err)
		}
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			fmt.Println("encode")
			out, err = state.AppendTo(out)
		case baretls.TransmitTLSData:
			fmt.Println("transmit")
			err = state.Done()
		case baretls.BlockedHandshake:
			fmt.Println("receive")
			quiet = true
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// encode
	// transmit
	// receive
}

// The size is known beforehand, and the memory is the caller's.
func ExampleEncodeTLSData() {
	client, _ := baretls.NewClient(&baretls.ClientConfig{}, "example.com")
	status, _ := client.ProcessTLSRecords(nil)

	state := status.State.(baretls.EncodeTLSData)
	out := make([]byte, state.Len())
	n, err := state.Encode(out)
	fmt.Println(n == len(out), err)

	_, err = state.Encode(out)
	fmt.Println(err)
	// Output:
	// true <nil>
	// baretls: record already encoded
}

// The state comes again until the caller says that the bytes are on their way.
func ExampleTransmitTLSData() {
	client, _ := baretls.NewClient(&baretls.ClientConfig{}, "example.com")
	status, _ := client.ProcessTLSRecords(nil)
	out, _ := status.State.(baretls.EncodeTLSData).AppendTo(nil)

	status, _ = client.ProcessTLSRecords(nil)
	status, _ = client.ProcessTLSRecords(nil)
	state := status.State.(baretls.TransmitTLSData)
	send(out)
	fmt.Println(state.Done())

	status, _ = client.ProcessTLSRecords(nil)
	fmt.Printf("%T\n", status.State)
	// Output:
	// <nil>
	// baretls.BlockedHandshake
}

// Need says how much to receive at least: a header first, of five bytes.
func ExampleBlockedHandshake() {
	_, serverConfig := exampleConfigs()
	server, _ := baretls.NewServer(serverConfig)

	status, _ := server.ProcessTLSRecords(nil)
	fmt.Println(status.State.(baretls.BlockedHandshake).Need())

	header := []byte{22, 3, 1, 1, 0} // a handshake record of 256 bytes
	status, _ = server.ProcessTLSRecords(header)
	fmt.Println(status.State.(baretls.BlockedHandshake).Need())
	// Output:
	// 5
	// 256
}

// Records that are not read stay what they are.
func ExampleReadTraffic() {
	client, server := exampleConns()
	incoming := server.encrypt("some data")

	status, _ := client.conn.ProcessTLSRecords(incoming)
	n, ok := status.State.(baretls.ReadTraffic).PeekLen()
	fmt.Println(n, ok)

	status, _ = client.conn.ProcessTLSRecords(incoming) // there is room for it now
	for record := range status.State.(baretls.ReadTraffic).Records() {
		fmt.Printf("%s\n", record.Payload)
	}
	// Output:
	// 9 true
	// some data
}

// What is opened is a part of the incoming bytes, and is to be discarded.
func ExampleAppDataRecord() {
	client, server := exampleConns()
	incoming := append(server.encrypt("one"), server.encrypt("two")...)

	status, _ := client.conn.ProcessTLSRecords(incoming)
	discard := status.Discard
	state := status.State.(baretls.ReadTraffic)
	for {
		record, ok := state.NextRecord()
		if !ok {
			break
		}
		fmt.Printf("%s, in %d bytes\n", record.Payload, record.Discard)
		discard += record.Discard
	}
	fmt.Println(discard == len(incoming))
	// Output:
	// one, in 25 bytes
	// two, in 25 bytes
	// true
}

// Data is encrypted into the caller's memory.
func ExampleWriteTraffic() {
	client, _ := exampleConns()
	data := []byte("some data")

	status, _ := client.conn.ProcessTLSRecords(nil)
	state := status.State.(baretls.WriteTraffic)
	out := make([]byte, state.EncryptedLen(len(data)))
	n, err := state.Encrypt(data, out)
	fmt.Println(n, err)
	// Output: 31 <nil>
}

// Data that is read from somewhere can be read to where it is encrypted.
func ExampleWriteTraffic_PayloadOffset() {
	client, _ := exampleConns()
	file := strings.NewReader("some data")

	status, _ := client.conn.ProcessTLSRecords(nil)
	state := status.State.(baretls.WriteTraffic)
	out := make([]byte, state.EncryptedLen(4096))
	place := state.PayloadOffset()
	read, _ := file.Read(out[place:][:4096])
	n, err := state.Encrypt(out[place:][:read], out)
	fmt.Println(place, n, err)
	// Output: 5 31 <nil>
}

// Closing says that no more data will come. What the peer sends is still read.
func ExampleWriteTraffic_QueueCloseNotify() {
	client, _ := exampleConns()

	status, _ := client.conn.ProcessTLSRecords(nil)
	state := status.State.(baretls.WriteTraffic)
	out := make([]byte, state.CloseNotifyLen())
	n, err := state.QueueCloseNotify(out)
	fmt.Println(n, err)

	_, err = state.AppendEncrypted(nil, []byte("more"))
	fmt.Println(err)
	// Output:
	// 24 <nil>
	// baretls: write side is closed
}

// After PeerClosed the connection may still be written to.
func ExamplePeerClosed() {
	client, server := exampleConns()
	incoming := server.closeNotify()
	for range 3 {
		status, err := client.conn.ProcessTLSRecords(incoming)
		if err != nil {
			log.Fatal(err)
		}
		discard := status.Discard
		if state, ok := status.State.(baretls.ReadTraffic); ok {
			for record := range state.Records() {
				discard += record.Discard // a record without data, as it turns out
			}
		}
		incoming = incoming[discard:]
		fmt.Printf("%T\n", status.State)
	}
	// Output:
	// baretls.ReadTraffic
	// baretls.PeerClosed
	// baretls.WriteTraffic
}

// Closed is the end, once both sides have closed.
func ExampleClosed() {
	client, server := exampleConns()
	client.in = server.closeNotify()
	if err := client.run(server); err != nil {
		log.Fatal(err)
	}
	client.closeNotify()

	status, err := client.conn.ProcessTLSRecords(nil)
	fmt.Printf("%T, %v\n", status.State, err)
	// Output: baretls.Closed, <nil>
}

// An Error knows its alert, which side it came from, and what is underneath.
func ExampleError() {
	_, serverConfig := exampleConfigs()
	client, _ := baretls.NewClient(&baretls.ClientConfig{
		RootCAs: x509.NewCertPool(), // trusts nobody
	}, "example.com")
	server, _ := baretls.NewServer(serverConfig)

	err := shakeHands(&loopEnd{conn: &client.Conn}, &loopEnd{conn: &server.Conn})
	var failure *baretls.Error
	if errors.As(err, &failure) {
		alert, _ := failure.Alert()
		fmt.Println(alert, failure.Received())
	}
	var untrusted x509.UnknownAuthorityError
	fmt.Println(errors.As(err, &untrusted))
	// Output:
	// tls: unknown certificate authority false
	// true
}

// Nothing has happened if a buffer is too small.
func ExampleInsufficientSizeError() {
	client, _ := exampleConns()

	status, _ := client.conn.ProcessTLSRecords(nil)
	state := status.State.(baretls.WriteTraffic)
	out := make([]byte, 10)
	_, err := state.Encrypt([]byte("some data"), out)
	var insufficient *baretls.InsufficientSizeError
	if errors.As(err, &insufficient) {
		out = make([]byte, insufficient.RequiredSize)
	}
	n, err := state.Encrypt([]byte("some data"), out)
	fmt.Println(n == len(out), err)
	// Output: true <nil>
}

// What is wrong with a config is said by its first connection.
func ExampleConfigError() {
	_, err := baretls.NewClient(&baretls.ClientConfig{MaxFragmentSize: 10}, "example.com")
	var wrong *baretls.ConfigError
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Field)
		fmt.Println(wrong)
	}
	// Output:
	// MaxFragmentSize
	// baretls: config: MaxFragmentSize: 10 is not between 64 and 16384
}

// A client that trusts one authority and prefers HTTP/2.
func ExampleClientConfig() {
	_, rootPEM := tlstest.CA() // from a file, say
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(rootPEM)

	config := &baretls.ClientConfig{
		RootCAs:    roots,
		NextProtos: []string{"h2", "http/1.1"},
	}
	client, err := baretls.NewClient(config, "example.com")
	fmt.Println(client != nil, err)
	// Output: true <nil>
}

// A server that chooses its certificate by the name its client asks for.
func ExampleServerConfig() {
	config := &baretls.ServerConfig{
		Certificates: []tls.Certificate{
			tlstest.Leaf(tlstest.ECDSAP256, "www.example.com"),
			tlstest.Leaf(tlstest.ECDSAP256, "example.com"),
		},
	}
	clientConfig, _ := exampleConfigs()
	client, _ := connectedConns(clientConfig, config, "example.com")
	fmt.Println(client.conn.PeerCertificates()[0].DNSNames)
	// Output: [example.com]
}

// A server can be refused although its certificate is good.
func ExamplePeerVerification() {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.VerifyPeer = func(peer *baretls.PeerVerification) error {
		fmt.Println(peer.ServerName, len(peer.VerifiedChains[0]))
		return errors.New("not today")
	}
	client, _ := baretls.NewClient(clientConfig, "example.com")
	server, _ := baretls.NewServer(serverConfig)
	fmt.Println(shakeHands(&loopEnd{conn: &client.Conn}, &loopEnd{conn: &server.Conn}))
	// Output:
	// example.com 3
	// client: baretls: certificate refused by the application: not today
}

// GetCertificate chooses by what the client offers.
func ExampleClientHello() {
	clientConfig, serverConfig := exampleConfigs()
	serverConfig.GetCertificate = func(hello *baretls.ClientHello) (*tls.Certificate, error) {
		fmt.Println(hello.ServerName, hello.ALPNProtocols)
		return nil, nil // one of Certificates will do
	}
	connectedConns(clientConfig, serverConfig, "example.com")
	// Output: example.com [http/1.1]
}

// A server that insists on another group than the client's guess costs a round
// trip.
func ExampleHandshakeKind() {
	clientConfig, serverConfig := exampleConfigs()
	serverConfig.Groups = []tls.CurveID{tls.CurveP384}
	client, _ := connectedConns(clientConfig, serverConfig, "example.com")
	fmt.Println(client.conn.HandshakeKind())
	// Output: full with HelloRetryRequest
}

// exampleConfigs are those of a client and a server that suit each other.
func exampleConfigs() (*baretls.ClientConfig, *baretls.ServerConfig) {
	roots, _ := tlstest.CA()
	client := &baretls.ClientConfig{
		RootCAs:    roots,
		NextProtos: []string{"http/1.1"},
	}
	server := &baretls.ServerConfig{
		Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
		NextProtos:   []string{"http/1.1"},
	}
	return client, server
}

// exampleConns are connected to each other.
func exampleConns() (client, server *loopEnd) {
	clientConfig, serverConfig := exampleConfigs()
	return connectedConns(clientConfig, serverConfig, "example.com")
}

func connectedConns(clientConfig *baretls.ClientConfig, serverConfig *baretls.ServerConfig, name string) (client, server *loopEnd) {
	c, err := baretls.NewClient(clientConfig, name)
	if err != nil {
		log.Fatal(err)
	}
	s, err := baretls.NewServer(serverConfig)
	if err != nil {
		log.Fatal(err)
	}
	client, server = &loopEnd{conn: &c.Conn}, &loopEnd{conn: &s.Conn}
	if err := shakeHands(client, server); err != nil {
		log.Fatal(err)
	}
	return client, server
}

// encrypt returns the records with the data.
func (e *loopEnd) encrypt(data string) []byte {
	return e.writeTraffic(func(w baretls.WriteTraffic) ([]byte, error) { return w.AppendEncrypted(nil, []byte(data)) })
}

// closeNotify returns the record that closes this end's side.
func (e *loopEnd) closeNotify() []byte {
	return e.writeTraffic(func(w baretls.WriteTraffic) ([]byte, error) { return w.AppendCloseNotify(nil) })
}

func (e *loopEnd) writeTraffic(f func(baretls.WriteTraffic) ([]byte, error)) []byte {
	status, err := e.conn.ProcessTLSRecords(nil)
	if err != nil {
		log.Fatal(err)
	}
	out, err := f(status.State.(baretls.WriteTraffic))
	if err != nil {
		log.Fatal(err)
	}
	return out
}

// send stands for a transport.
func send([]byte) {}

// dialGreeter returns a connection to a server of crypto/tls that greets
// whoever tells it a name, and closes.
func dialGreeter() io.ReadWriter {
	near, far := newPipe()
	_, config := stdConfigs(tlstest.ECDSAP256)
	go func() {
		server := tls.Server(far, config)
		defer server.Close()
		name, err := bufio.NewReader(server).ReadString('\n')
		if err != nil {
			log.Print(err)
			return
		}
		fmt.Fprintf(server, "hello, %s", name)
	}()
	return near
}
