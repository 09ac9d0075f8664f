// Command unbuffered-client fetches a page over TLS with blocking sockets and
// buffers of its own.
//
//	unbuffered-client [-ca FILE] [-server-name NAME] [-min-version VERSION] [-max-version VERSION] [-early-data] HOST:PORT
//
// The response goes to stdout and every state of the connection to stderr. With
// -early-data it fetches the page a second time, over a connection that resumes
// the first one's session, with the request as 0-RTT data if the session allows
// that, which only one of TLS 1.3 can.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"

	"github.com/baretls/baretls"
)

func main() {
	switch err := run(os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "unbuffered-client:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("unbuffered-client", flag.ContinueOnError)
	flags.SetOutput(stderr)
	ca := flags.String("ca", "", "trust the certificates in this PEM `file` instead of the system's")
	name := flags.String("server-name", "", "expect the certificate of this `name` instead of the host's")
	early := flags.Bool("early-data", false, "fetch the page again with a request that is 0-RTT data")
	minVersion := flags.String("min-version", "", "speak no older `version` of TLS: 1.2 or 1.3 (default 1.2)")
	maxVersion := flags.String("max-version", "", "speak no newer `version` of TLS: 1.2 or 1.3 (default 1.3)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("usage: unbuffered-client [-ca FILE] [-server-name NAME] [-min-version VERSION] [-max-version VERSION] [-early-data] HOST:PORT")
	}
	address := flags.Arg(0)
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if *name == "" {
		*name = host
	}
	oldest, err := parseVersion("min-version", *minVersion)
	if err != nil {
		return err
	}
	newest, err := parseVersion("max-version", *maxVersion)
	if err != nil {
		return err
	}

	// Both connections have one config: it keeps the tickets.
	config := &baretls.ClientConfig{
		NextProtos:      []string{"http/1.1"},
		MinVersion:      oldest,
		MaxVersion:      newest,
		EnableEarlyData: *early,
	}
	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		if err != nil {
			return err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: no certificate in it", *ca)
		}
	}

	request := "GET / HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n\r\n"
	connections := 1
	if *early {
		connections = 2
	}
	for range connections {
		if err := dialAndFetch(address, config, *name, []byte(request), stdout, stderr); err != nil {
			return err
		}
	}
	return nil
}

// parseVersion reads the value of a flag; without one it is 0, which leaves the
// bound to the library.
func parseVersion(flag, text string) (uint16, error) {
	switch text {
	case "":
		return 0, nil
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("-%s %s: 1.2 and 1.3 are supported", flag, text)
}

func dialAndFetch(address string, config *baretls.ClientConfig, name string, request []byte, stdout, stderr io.Writer) error {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer socket.Close()
	return fetch(socket, config, name, request, stdout, stderr)
}

// fetch sends the request and copies the response to stdout until the server
// has closed. It is the loop that every user of baretls writes once.
func fetch(socket net.Conn, config *baretls.ClientConfig, name string, request []byte, stdout, stderr io.Writer) error {
	conn, err := baretls.NewClient(config, name)
	if err != nil {
		return err
	}
	// Both buffers are ours: they start small and grow when they have to.
	incoming := make([]byte, 0, 1024) // received and not yet discarded
	outgoing := make([]byte, 0, 1024) // encoded and not yet sent
	early, requested, peerClosed := false, false, false

	for {
		// One turn. It may change the bytes of incoming, in place.
		status, err := conn.ProcessTLSRecords(incoming)
		if err != nil {
			// The alert for the server was an EncodeTLSData and a
			// TransmitTLSData of the turns before: nothing is left to say.
			return err
		}
		fmt.Fprintf(stderr, "%T\n", status.State)

		discard := status.Discard
		receive := 0 // how many bytes it takes at least, if we are to receive

		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			// One record per state; they pile up until TransmitTLSData.
			if outgoing, err = state.AppendTo(outgoing); err != nil {
				return err
			}

		case baretls.TransmitTLSData:
			// With a session that allows it, the request goes out behind the
			// hello. Someone may send it to the server a second time: that is
			// for requests that may happen twice, like this one.
			if writer, ok := state.MayEncryptEarlyData(); ok && !early && len(request) <= writer.BytesLeft() {
				if outgoing, err = writer.AppendEncrypted(outgoing, request); err != nil {
					return err
				}
				early = true
			}
			// After the server's Finished we may write. The request leaves in
			// the same packet as our own Finished, unless the server has it.
			if writer, ok := state.MayEncryptAppData(); ok && !requested {
				if !early || conn.EarlyData() != baretls.EarlyDataAccepted {
					if outgoing, err = writer.AppendEncrypted(outgoing, request); err != nil {
						return err
					}
				}
				requested = true
			}
			if _, err := socket.Write(outgoing); err != nil {
				return err
			}
			outgoing = outgoing[:0]
			if err := state.Done(); err != nil { // or it would be offered again
				return err
			}

		case baretls.ReadTraffic:
			// A payload is a part of incoming, so it has to be used before the
			// discard below. Each record adds its own share to that.
			for record := range state.Records() {
				discard += record.Discard
				if _, err := stdout.Write(record.Payload); err != nil {
					return err
				}
			}

		case baretls.BlockedHandshake:
			receive = state.Need()

		case baretls.WriteTraffic:
			switch {
			case peerClosed:
				// We could go on writing. But all is said: close our side too.
				outgoing, err = state.AppendCloseNotify(outgoing)
			case !requested:
				// A full handshake of TLS 1.2 ends with the server's Finished,
				// so that the request has no packet of ours to join.
				outgoing, err = state.AppendEncrypted(outgoing, request)
				requested = true
			default:
				receive = state.Need()
			}
			if err != nil {
				return err
			}
			if len(outgoing) == 0 {
				break
			}
			if _, err := socket.Write(outgoing); err != nil {
				return err
			}
			outgoing = outgoing[:0]

		case baretls.PeerClosed:
			// The response is whole: nobody has cut it off.
			peerClosed = true

		case baretls.Closed:
			if config.EnableEarlyData {
				fmt.Fprintf(stderr, "handshake: %v, early data: %v\n", conn.HandshakeKind(), conn.EarlyData())
			}
			return nil

		default:
			return fmt.Errorf("unexpected state %T", state)
		}

		// The state is handled. Now, and not before, its bytes may go.
		incoming = append(incoming[:0], incoming[discard:]...)

		// Drain until quiet before reading: only BlockedHandshake and
		// WriteTraffic say that the bytes we have lead no further. To read
		// after any other state could wait for a server that waits for us.
		if receive > 0 {
			incoming = slices.Grow(incoming, receive)
			n, err := socket.Read(incoming[len(incoming):cap(incoming)])
			incoming = incoming[:len(incoming)+n]
			switch {
			case err == io.EOF:
				// Not yet an error: the next turns tell whether the server had
				// closed, or someone cut the connection.
				conn.CloseInput()
			case err != nil:
				return err
			}
		}
	}
}
