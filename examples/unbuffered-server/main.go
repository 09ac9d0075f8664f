// Command unbuffered-server serves one page over TLS with blocking sockets and
// buffers of its own.
//
//	unbuffered-server [-addr HOST:PORT] [-cert FILE -key FILE] [-min-version VERSION] [-max-version VERSION] [-max-early-data BYTES]
//
// Without a certificate it makes one for localhost, signed by a throwaway CA,
// and tells on stderr in which file that CA's certificate is. With
// -max-early-data it takes 0-RTT data, by TLS 1.3, though not in its first 20
// seconds, when it could not recognize a replay of what came before them.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"os"
	"slices"
	"time"

	"github.com/baretls/baretls"
)

func main() {
	// It serves until something goes wrong.
	if err := run(os.Args[1:], os.Stdout, os.Stderr); !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "unbuffered-server:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("unbuffered-server", flag.ContinueOnError)
	flags.SetOutput(stderr)
	address := flags.String("addr", "localhost:8443", "listen on this `host:port`")
	certFile := flags.String("cert", "", "PEM `file` of the certificate chain")
	keyFile := flags.String("key", "", "PEM `file` of the private key")
	minVersion := flags.String("min-version", "", "speak no older `version` of TLS: 1.2 or 1.3 (default 1.2)")
	maxVersion := flags.String("max-version", "", "speak no newer `version` of TLS: 1.2 or 1.3 (default 1.3)")
	maxEarlyData := flags.Uint64("max-early-data", 0, "take so many `bytes` of 0-RTT data from a client")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 0 || (*certFile == "") != (*keyFile == "") || *maxEarlyData > math.MaxUint32 {
		return errors.New("usage: unbuffered-server [-addr HOST:PORT] [-cert FILE -key FILE] [-min-version VERSION] [-max-version VERSION] [-max-early-data BYTES]")
	}

	oldest, err := parseVersion("min-version", *minVersion)
	if err != nil {
		return err
	}
	newest, err := parseVersion("max-version", *maxVersion)
	if err != nil {
		return err
	}

	var certificate tls.Certificate
	if *certFile != "" {
		certificate, err = tls.LoadX509KeyPair(*certFile, *keyFile)
	} else {
		certificate, err = throwaway(stderr)
	}
	if err != nil {
		return err
	}
	config := &baretls.ServerConfig{
		Certificates: []tls.Certificate{certificate},
		NextProtos:   []string{"http/1.1"},
		MinVersion:   oldest,
		MaxVersion:   newest,
		MaxEarlyData: uint32(*maxEarlyData),
		// Early data that is not answered early gains nothing.
		SendHalfRTTData: *maxEarlyData > 0,
	}
	// A config is checked at its first use: now, and not at the first client.
	if _, err := baretls.NewServer(config); err != nil {
		return err
	}

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening on %s\n", listener.Addr())
	logger := log.New(stderr, "", 0)
	for {
		socket, err := listener.Accept()
		if err != nil {
			return err
		}
		// A config is shared by all connections; a connection belongs to one
		// goroutine.
		go func() {
			defer socket.Close()
			if err := serve(socket, config); err != nil {
				logger.Printf("%s: %v", socket.RemoteAddr(), err)
			}
		}()
	}
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

const (
	page     = "<!doctype html>\n<title>baretls</title>\n<p>Hello from a server without hidden buffers.\n"
	response = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + page

	maxRequest = 64 << 10         // bytes
	patience   = 30 * time.Second // for a connection as a whole
)

// serve answers the request of one connection and closes it. It is the loop
// that every user of baretls writes once.
func serve(socket net.Conn, config *baretls.ServerConfig) error {
	// The library never waits, so it has no timeouts: they are the socket's.
	if err := socket.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	conn, err := baretls.NewServer(config)
	if err != nil {
		return err
	}
	// All buffers are ours: they start small and grow when they have to.
	incoming := make([]byte, 0, 1024) // received and not yet discarded
	outgoing := make([]byte, 0, 1024) // encoded and not yet sent
	var request []byte
	answered, closed, peerClosed := false, false, false

	for {
		// One turn. It may change the bytes of incoming, in place.
		status, err := conn.ProcessTLSRecords(incoming)
		if err != nil {
			// The alert for the client was an EncodeTLSData and a
			// TransmitTLSData of the turns before: nothing is left to say.
			return err
		}

		discard := status.Discard
		receive := 0 // how many bytes it takes at least, if we are to receive

		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			// One record per state; they pile up until TransmitTLSData.
			if outgoing, err = state.AppendTo(outgoing); err != nil {
				return err
			}

		case baretls.TransmitTLSData:
			if _, err := socket.Write(outgoing); err != nil {
				return err
			}
			outgoing = outgoing[:0]
			if err := state.Done(); err != nil { // or it would be offered again
				return err
			}

		case baretls.ReadEarlyData:
			// 0-RTT data is read in the same way, but may be a replay: RFC 9846,
			// Section 8. All we do is to show a page, and that may happen twice;
			// what may not has to wait until !conn.IsHandshaking().
			for record := range state.Records() {
				discard += record.Discard
				request = append(request, record.Payload...)
			}
			if len(request) > maxRequest {
				return errors.New("the request is too long")
			}

		case baretls.ReadTraffic:
			// A payload is a part of incoming, so it has to be used, or copied
			// as here, before the discard below. Each record adds its own share
			// to that.
			for record := range state.Records() {
				discard += record.Discard
				request = append(request, record.Payload...)
			}
			if len(request) > maxRequest {
				return errors.New("the request is too long")
			}

		case baretls.BlockedHandshake:
			receive = state.Need()

		case baretls.WriteTraffic:
			// The quiet state of an open connection: write, close or receive.
			whole := bytes.Contains(request, []byte("\r\n\r\n"))
			if whole && !answered {
				if outgoing, err = state.AppendEncrypted(outgoing, []byte(response)); err != nil {
					return err
				}
				answered = true
			}
			// After the close_notify we write no more, but still read: until
			// the client closes as well, and has the whole page for sure. If it
			// has asked by early data, it has to finish the handshake first.
			if (answered || peerClosed) && !closed && !conn.IsHandshaking() {
				if outgoing, err = state.AppendCloseNotify(outgoing); err != nil {
					return err
				}
				closed = true
			}
			if len(outgoing) == 0 {
				receive = state.Need()
				break
			}
			if _, err := socket.Write(outgoing); err != nil {
				return err
			}
			outgoing = outgoing[:0]

		case baretls.PeerClosed:
			// The client says no more, but may well wait for its answer.
			peerClosed = true

		case baretls.Closed:
			return nil

		default:
			return fmt.Errorf("unexpected state %T", state)
		}

		// The state is handled. Now, and not before, its bytes may go.
		incoming = append(incoming[:0], incoming[discard:]...)

		// Drain until quiet before reading: only BlockedHandshake and
		// WriteTraffic say that the bytes we have lead no further. To read
		// after any other state could wait for a client that waits for us.
		if receive > 0 {
			incoming = slices.Grow(incoming, receive)
			n, err := socket.Read(incoming[len(incoming):cap(incoming)])
			incoming = incoming[:len(incoming)+n]
			switch {
			case err == io.EOF:
				// Not yet an error: the next turns tell whether the client had
				// closed, or someone cut the connection.
				conn.CloseInput()
			case err != nil:
				return err
			}
		}
	}
}

// throwaway makes a certificate for localhost, and a CA for it whose key is
// forgotten at once.
func throwaway(stderr io.Writer) (tls.Certificate, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	ca := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "unbuffered-server throwaway CA"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(0, 0, 7),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   ca.NotBefore,
		NotAfter:    ca.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, err
	}

	file, err := os.CreateTemp("", "unbuffered-server-ca-*.pem")
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := errors.Join(pem.Encode(file, &pem.Block{Type: "CERTIFICATE", Bytes: caDER}), file.Close()); err != nil {
		return tls.Certificate{}, err
	}
	fmt.Fprintf(stderr, "throwaway CA: %s\n", file.Name())
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}, nil
}
