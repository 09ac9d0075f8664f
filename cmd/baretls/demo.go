package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/baretls/baretls"
)

const demoAbout = `Lets a client and a server talk over loopback three times: with a full
handshake, with a resumption, and with a request that is 0-RTT data. Prints the
states that both go through side by side, what they agreed on, and the response.
With -tls12 it shows the same over TLS 1.2, which has no 0-RTT data.`

const demoPage = "Hello from a server without hidden buffers.\n"

func demo(ctx context.Context, c *call) error {
	tls12 := c.Bool("tls12", false, "show TLS 1.2 instead of TLS 1.3")
	if err := c.parse(0); err != nil {
		return err
	}
	newest := uint16(tls.VersionTLS13)
	if *tls12 {
		newest = tls.VersionTLS12
	}
	cert, ca, err := throwaway()
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	client := &baretls.ClientConfig{
		RootCAs:    roots,
		NextProtos: []string{"http/1.1"},
		MaxVersion: newest,
	}
	server := &baretls.ServerConfig{
		Certificates: []tls.Certificate{cert},
		NextProtos:   []string{"http/1.1"},
		MaxVersion:   newest,
	}
	fmt.Fprint(c.stdout, "A full handshake\n\n")
	if err := demoConnection(ctx, c.stdout, client, server, false); err != nil {
		return err
	}
	fmt.Fprint(c.stdout, "\nA resumption with a ticket of that connection\n\n")
	if err := demoConnection(ctx, c.stdout, client, server, false); err != nil {
		return err
	}
	if *tls12 {
		_, err := fmt.Fprintf(c.stdout, "\n%s\n", demoNoEarlyData)
		return err
	}

	// Early data needs tickets that allow it, and so one more connection.
	client = &baretls.ClientConfig{
		RootCAs:         roots,
		NextProtos:      []string{"http/1.1"},
		EnableEarlyData: true,
	}
	server = &baretls.ServerConfig{
		Certificates:    []tls.Certificate{cert},
		NextProtos:      []string{"http/1.1"},
		MaxEarlyData:    16384,
		ReplayGuard:     knowing{baretls.NewReplayGuard(0)},
		SendHalfRTTData: true,
	}
	if err := demoConnection(ctx, io.Discard, client, server, false); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "\nA request as 0-RTT data, and its answer before the end of the handshake\n%s\n\n", demoGuard)
	return demoConnection(ctx, c.stdout, client, server, true)
}

const demoNoEarlyData = "No request as 0-RTT data: that is TLS 1.3's only."

const demoGuard = "(The ReplayGuard has known all since the ticket key was made, so it need not wait for 20 seconds.)"

// knowing is a ReplayGuard that is as old as the key of the tickets, which
// makes its memory complete: no flight from before it began can be accepted.
type knowing struct{ baretls.ReplayGuard }

func (knowing) Since() time.Time { return time.Time{} }

// demoConnection lets a client ask a server over a new connection.
func demoConnection(ctx context.Context, out io.Writer, clientConfig *baretls.ClientConfig, serverConfig *baretls.ServerConfig, early bool) error {
	near, far, err := loopback(ctx)
	if err != nil {
		return err
	}
	defer near.Close()
	defer far.Close()
	defer context.AfterFunc(ctx, func() { near.Close(); far.Close() })()

	clientTLS, err := baretls.NewClient(clientConfig, "localhost")
	if err != nil {
		return err
	}
	serverTLS, err := baretls.NewServer(serverConfig)
	if err != nil {
		return err
	}
	var states transcript
	client := newTurns(near, &clientTLS.Conn, states.client)
	server := newTurns(far, &serverTLS.Conn, states.server)

	served := make(chan error, 1)
	go func() {
		err := demoServer(server)
		if err != nil {
			far.Close() // or the client would wait for ever
		}
		served <- err
	}()
	response, err := demoClient(ctx, client, early)
	if err != nil {
		near.Close()
		<-served
		return fmt.Errorf("client: %w", err)
	}
	if err := <-served; err != nil {
		return fmt.Errorf("server: %w", err)
	}

	states.print(out)
	fmt.Fprintln(out)
	printNegotiated(out, &clientTLS.Conn)
	printCounts(out, "client", client)
	printCounts(out, "server", server)
	_, err = fmt.Fprintf(out, "\n%s", response)
	return err
}

// demoClient fetches the page and closes, second.
func demoClient(ctx context.Context, conn *turns, early bool) (response string, err error) {
	defer conn.Close()
	answer, _, err := request(ctx, conn, &url.URL{Scheme: "https", Host: "localhost", Path: "/"}, early)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	// The body may be whole before the end: see that nothing is missing.
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s\n%s", answer.Proto, answer.Status, body), conn.CloseWrite()
}

// demoServer answers one request and closes, first.
func demoServer(conn *turns) error {
	defer conn.Close()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return err
	}
	answer := http.Response{
		StatusCode:    http.StatusOK,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Request:       req,
		Header:        http.Header{"Content-Type": {"text/plain"}},
		Body:          io.NopCloser(strings.NewReader(demoPage)),
		ContentLength: int64(len(demoPage)),
		Close:         true,
	}
	out := bufio.NewWriter(conn) // for one record
	if err := answer.Write(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn) // until the client has closed, too
	return err
}

// loopback returns the two ends of a TCP connection.
func loopback(ctx context.Context) (near, far net.Conn, err error) {
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	var dialer net.Dialer
	if near, err = dialer.DialContext(ctx, "tcp", listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	if far, err = listener.Accept(); err != nil {
		near.Close()
		return nil, nil, err
	}
	return near, far, nil
}

// transcript collects the states of both sides in the order of time.
type transcript struct {
	mu   sync.Mutex
	rows [][2]string // client, server
}

func (t *transcript) client(line string) { t.add(0, line) }
func (t *transcript) server(line string) { t.add(1, line) }

func (t *transcript) add(column int, line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var row [2]string
	row[column] = line
	t.rows = append(t.rows, row)
}

func (t *transcript) print(w io.Writer) {
	width := 0
	for _, row := range t.rows {
		width = max(width, len(row[0]))
	}
	fmt.Fprintf(w, "%-*s   %s\n", width, "CLIENT", "SERVER")
	for _, row := range t.rows {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-*s   %s", width, row[0], row[1]), " "))
	}
}

// printNegotiated prints what a client knows after its handshake.
func printNegotiated(w io.Writer, conn *baretls.Conn) {
	leaf := conn.PeerCertificates()[0]
	names := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	group := "none: TLS 1.2 resumes without a key exchange"
	if id := conn.NegotiatedKeyExchangeGroup(); id != 0 {
		group = id.String()
	}
	for _, row := range [][2]string{
		{"version", tls.VersionName(conn.ProtocolVersion())},
		{"suite", tls.CipherSuiteName(conn.NegotiatedCipherSuite())},
		{"group", group},
		{"signature", conn.PeerSignatureScheme().String()},
		{"ALPN", conn.ALPNProtocol()},
		{"handshake", conn.HandshakeKind().String()},
		{"early data", conn.EarlyData().String()},
		{"certificate", fmt.Sprintf("%s, by %s, for %s", leaf.Subject, leaf.Issuer, strings.Join(names, ", "))},
	} {
		fmt.Fprintf(w, "%-12s %s\n", row[0], row[1])
	}
}

func printCounts(w io.Writer, role string, conn *turns) {
	fmt.Fprintf(w, "%-12s %d turns, %d bytes sent, %d bytes received\n", role, conn.count, conn.bytesOut, conn.bytesIn)
}
