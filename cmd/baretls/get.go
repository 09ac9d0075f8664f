package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
	"github.com/baretls/baretls/netconn/nethttp"
)

const getAbout = `Fetches an https URL over HTTP/2 or HTTP/1.1 and writes the body to stdout. As
with curl, the body of an error page is a body too, and the exit code is 0.
Redirects are not followed. With -resume or -early-data it fetches the URL
twice, over two connections, and writes only the second body. 0-RTT data is
TLS 1.3's only. With -trace and -early-data it speaks HTTP/1.1 alone.`

const (
	dialPatience   = 30 * time.Second
	ticketPatience = 2 * time.Second // after a response
)

func get(ctx context.Context, c *call) error {
	ca := c.String("ca", "", "trust the certificates in this PEM `file` instead of the system's")
	insecure := c.Bool("insecure", false, "trust any server")
	certFile := c.String("cert", "", "PEM `file` of a certificate chain for servers that want one")
	keyFile := c.String("key", "", "PEM `file` of its private key")
	alpn := c.String("alpn", "h2,http/1.1", "offer these protocols, a comma-separated `list`; empty offers none")
	versions := c.versions()
	resume := c.Bool("resume", false, "connect a second time and say on stderr whether that resumed the session")
	early := c.Bool("early-data", false, "send the second request as 0-RTT data, or again if that is rejected, and say so on stderr; implies -resume")
	trace := c.Bool("trace", false, "print the states of the connection on stderr")
	verbose := c.Bool("v", false, "print what was agreed on, and the status of the response, on stderr")
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
	for protocol := range strings.SplitSeq(*alpn, ",") {
		if *alpn != "" && !(protocol == "h2" && (*trace || *early)) {
			config.NextProtos = append(config.NextProtos, protocol)
		}
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
	if _, err := baretls.NewClient(config, target.Hostname()); err != nil { // before anyone is bothered
		return err
	}
	put := make(chan struct{}, 1)
	config.Sessions = tellingStore{baretls.NewClientSessionCache(0), put}
	f := &fetcher{config: config, sessionPut: put, target: target, verbose: *verbose, stdout: c.stdout, stderr: c.stderr}
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
	sessionPut     chan struct{} // there is a session
	target         *url.URL
	trace          func(line string)
	verbose        bool
	stdout, stderr io.Writer
}

// answer is a response, and the connection that it came on.
type answer struct {
	*http.Response
	tls   *baretls.Conn
	early baretls.EarlyDataStatus // of the request
	// awaitTicket waits for what may come behind it, until there is a ticket.
	awaitTicket func()
}

// once fetches the URL, asking by 0-RTT data if early is set and it can, and
// lets use have the answer as long as the connection is open.
func (f *fetcher) once(ctx context.Context, early bool, use func(answer) error) error {
	fetch := f.byTransport
	if early || f.trace != nil {
		fetch = func(ctx context.Context, use func(answer) error) error { return f.byHand(ctx, early, use) }
	}
	return fetch(ctx, func(a answer) error {
		if f.verbose {
			printNegotiated(f.stderr, a.tls)
			fmt.Fprintf(f.stderr, "%-12s %s %s\n", "response", a.Proto, a.Status)
		}
		return use(a)
	})
}

// twice fetches the URL, and again with what the first connection has left.
func (f *fetcher) twice(ctx context.Context, early bool) error {
	if err := f.once(ctx, false, forTicket); err != nil {
		return err
	}
	tooEarly := false
	err := f.once(ctx, early, func(a answer) error {
		f.say("second connection: %v", a.tls.HandshakeKind())
		if early {
			f.say("%s", earlyVerdict(a))
		}
		if tooEarly = a.early == baretls.EarlyDataAccepted && a.StatusCode == http.StatusTooEarly; tooEarly {
			return nil
		}
		return f.print(a)
	})
	if err != nil || !tooEarly {
		return err
	}
	// "Any retries MUST NOT be sent in early data": RFC 8470, Section 5.2.
	f.say("the request was too early for the server: asking again")
	return f.once(ctx, false, f.print)
}

// print writes the body to stdout.
func (f *fetcher) print(a answer) error { return copyBody(f.stdout, a) }

func copyBody(to io.Writer, a answer) error {
	if _, err := io.Copy(to, a.Body); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

func (f *fetcher) say(format string, args ...any) {
	fmt.Fprintf(f.stderr, "baretls: "+format+"\n", args...)
}

// forTicket reads the response for the ticket that comes with it. That none
// comes is no error.
func forTicket(a answer) error {
	if err := copyBody(io.Discard, a); err != nil {
		return err
	}
	if a.tls.TicketsReceived() == 0 {
		a.awaitTicket()
	}
	return nil
}

// earlyVerdict tells what has become of a request that was to be 0-RTT data.
func earlyVerdict(a answer) string {
	if a.early == baretls.EarlyDataNotOffered && a.tls.EarlyData() != a.early {
		return "early data not sent: the session does not allow so much"
	}
	return "early data " + a.early.String()
}

// byTransport fetches the URL as programs do.
func (f *fetcher) byTransport(ctx context.Context, use func(answer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	transport := &nethttp.Transport{Config: f.config, Base: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialPatience}).DialContext,
		TLSHandshakeTimeout: dialPatience,
	}}
	defer transport.CloseIdleConnections()
	var used net.Conn
	req, err := newRequest(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { used = info.Conn },
	}), f.target)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(req)
	if err != nil {
		return noResponse(err)
	}
	defer response.Body.Close()
	conn := used.(*nethttp.Conn).NetConn().(*netconn.Conn)
	return use(answer{Response: response, tls: conn.TLS(), awaitTicket: func() {
		select { // the transport goes on to read
		case <-f.sessionPut:
		case <-time.After(ticketPatience):
		case <-ctx.Done():
		}
	}})
}

// tellingStore tells when it is given a session.
type tellingStore struct {
	baretls.ClientSessionStore
	put chan struct{}
}

func (s tellingStore) Put(key string, session *baretls.ClientSession) {
	s.ClientSessionStore.Put(key, session)
	select {
	case s.put <- struct{}{}:
	default:
	}
}

func newRequest(ctx context.Context, target *url.URL) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err == nil {
		req.Header.Set("User-Agent", "baretls")
	}
	return req, err
}

// noResponse says what it means that a connection ends instead of a response.
func noResponse(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF { // not the one of a truncation
		return errors.New("the server has closed without a response")
	}
	return err
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
