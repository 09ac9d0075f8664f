package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/baretls/baretls"
)

const getAbout = `Fetches an https URL over HTTP/1.1 and writes the body to stdout. As with
curl, the body of an error page is a body too, and the exit code is 0.
Redirects are not followed. With -resume or -early-data it fetches the URL
twice, over two connections, and writes only the second body. 0-RTT data is
TLS 1.3's only.`

const (
	dialPatience   = 30 * time.Second
	ticketPatience = 2 * time.Second // after a response
)

func get(ctx context.Context, c *call) error {
	ca := c.String("ca", "", "trust the certificates in this PEM `file` instead of the system's")
	insecure := c.Bool("insecure", false, "trust any server")
	certFile := c.String("cert", "", "PEM `file` of a certificate chain for servers that want one")
	keyFile := c.String("key", "", "PEM `file` of its private key")
	alpn := c.String("alpn", "http/1.1", "offer these protocols, a comma-separated `list`; empty offers none")
	versions := c.versions()
	resume := c.Bool("resume", false, "connect a second time and say on stderr whether that resumed the session")
	early := c.Bool("early-data", false, "send the second request as 0-RTT data, or again if that is rejected, and say so on stderr; implies -resume")
	trace := c.Bool("trace", false, "print the states of the connection on stderr")
	if err := c.parse(1); err != nil {
		return err
	}
	if err := checkPair(*certFile, *keyFile); err != nil {
		return err
	}
	if err := versions.check(); err != nil {
		return err
	}
	target, err := parseURL(c.Arg(0))
	if err != nil {
		return err
	}

	config := &baretls.ClientConfig{
		MinVersion:      uint16(versions.min),
		MaxVersion:      uint16(versions.max),
		EnableEarlyData: *early,
	}
	if *alpn != "" {
		config.NextProtos = strings.Split(*alpn, ",")
	}
	if *ca != "" {
		if config.RootCAs, err = loadRoots(*ca); err != nil {
			return err
		}
	}
	if *insecure {
		config.CustomVerify = func(*baretls.PeerVerification) error { return nil }
	}
	if *certFile != "" {
		cert, err := loadCertificate(*certFile, *keyFile)
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	f := &fetcher{config: config, target: target, stdout: c.stdout, stderr: c.stderr}
	if *trace {
		f.trace = func(line string) { fmt.Fprintln(c.stderr, line) }
	}
	if *resume || *early {
		return f.twice(ctx, *early)
	}
	return f.once(ctx, false, f.print)
}

// fetcher fetches a URL, over a new connection each time.
type fetcher struct {
	config         *baretls.ClientConfig
	target         *url.URL
	trace          func(line string)
	stdout, stderr io.Writer
}

// once fetches the URL, asking by 0-RTT data if early is set and it can, and
// lets use have the response as long as the connection is open.
func (f *fetcher) once(ctx context.Context, early bool, use func(*tlsConn, *http.Response) error) error {
	client, err := baretls.NewClient(f.config, f.target.Hostname())
	if err != nil {
		return err
	}
	port := f.target.Port()
	if port == "" {
		port = "443"
	}
	dialer := net.Dialer{Timeout: dialPatience}
	socket, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(f.target.Hostname(), port))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { socket.Close() })()

	conn := newConn(socket, &client.Conn, f.trace)
	defer conn.Close()
	response, err := request(conn, f.target, early)
	if err != nil {
		return err
	}
	return use(conn, response)
}

// twice fetches the URL, and again with what the first connection has left.
func (f *fetcher) twice(ctx context.Context, early bool) error {
	if err := f.once(ctx, false, awaitTicket); err != nil {
		return err
	}
	tooEarly := false
	err := f.once(ctx, early, func(conn *tlsConn, response *http.Response) error {
		f.say("second connection: %v", conn.tls.HandshakeKind())
		if early {
			f.say("%s", earlyVerdict(conn))
		}
		if tooEarly = conn.earlySent && response.StatusCode == http.StatusTooEarly; tooEarly {
			return nil
		}
		return f.print(conn, response)
	})
	if err != nil || !tooEarly {
		return err
	}
	// "Any retries MUST NOT be sent in early data": RFC 8470, Section 5.2.
	f.say("the request was too early for the server: asking again")
	return f.once(ctx, false, f.print)
}

// print writes the body to stdout.
func (f *fetcher) print(_ *tlsConn, response *http.Response) error {
	if _, err := io.Copy(f.stdout, response.Body); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

func (f *fetcher) say(format string, args ...any) {
	fmt.Fprintf(f.stderr, "baretls: "+format+"\n", args...)
}

// awaitTicket reads the response, and then what may come after it until there
// is a ticket. That none comes is no error.
func awaitTicket(conn *tlsConn, response *http.Response) error {
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if conn.tls.TicketsReceived() == 0 {
		conn.SetReadDeadline(time.Now().Add(ticketPatience))
		_, _ = io.Copy(io.Discard, conn)
	}
	return nil
}

// earlyVerdict tells what has become of a request that was to be 0-RTT data.
func earlyVerdict(conn *tlsConn) string {
	status := conn.tls.EarlyData()
	if status != baretls.EarlyDataNotOffered && !conn.earlySent {
		return "early data not sent: the session does not allow so much"
	}
	return "early data " + status.String()
}

func parseURL(text string) (*url.URL, error) {
	target, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, err
	case target.Scheme != "https":
		return nil, fmt.Errorf("%q is not an https URL", text)
	case target.Hostname() == "":
		return nil, fmt.Errorf("%q has no host", text)
	}
	return target, nil
}

// request does the handshake, sends a GET and returns the response once its
// header is here. If early is set, the GET is 0-RTT data where there is a
// session for that; if it is rejected, it is sent again.
func request(conn *tlsConn, target *url.URL, early bool) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "baretls")
	req.Close = true
	var text bytes.Buffer
	if err := req.Write(&text); err != nil {
		return nil, err
	}

	taken := false
	if early {
		taken, err = conn.WriteEarly(text.Bytes())
	} else {
		err = conn.Handshake()
	}
	if err != nil {
		return nil, err
	}
	if chosen := conn.tls.ALPNProtocol(); chosen != "" && chosen != "http/1.1" {
		return nil, fmt.Errorf("the server has chosen %s, but this command speaks only http/1.1", chosen)
	}
	if !taken {
		if _, err := conn.Write(text.Bytes()); err != nil {
			return nil, err
		}
	}
	from := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(from, req)
		switch {
		case err == io.ErrUnexpectedEOF: // not the one of a truncation
			return nil, errors.New("the server has closed without a response")
		case err != nil:
			return nil, err
		case response.StatusCode >= 200: // before that they are only hints
			return response, nil
		}
	}
}
