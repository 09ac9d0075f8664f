package main

import (
	"bufio"
	"context"
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
Redirects are not followed.`

const dialPatience = 30 * time.Second

func get(ctx context.Context, c *call) error {
	ca := c.String("ca", "", "trust the certificates in this PEM `file` instead of the system's")
	insecure := c.Bool("insecure", false, "trust any server")
	alpn := c.String("alpn", "http/1.1", "offer these protocols, a comma-separated `list`; empty offers none")
	trace := c.Bool("trace", false, "print the states of the connection on stderr")
	if err := c.parse(1); err != nil {
		return err
	}
	target, err := parseURL(c.Arg(0))
	if err != nil {
		return err
	}

	config := &baretls.ClientConfig{}
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
	client, err := baretls.NewClient(config, target.Hostname())
	if err != nil {
		return err
	}

	port := target.Port()
	if port == "" {
		port = "443"
	}
	dialer := net.Dialer{Timeout: dialPatience}
	socket, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(target.Hostname(), port))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { socket.Close() })()

	conn := newConn(socket, &client.Conn, nil)
	defer conn.Close()
	if *trace {
		conn.trace = func(line string) { fmt.Fprintln(c.stderr, line) }
	}
	if err := conn.Handshake(); err != nil {
		return err
	}
	if chosen := client.ALPNProtocol(); chosen != "" && chosen != "http/1.1" {
		return fmt.Errorf("the server has chosen %s, but this command speaks only http/1.1", chosen)
	}
	response, err := request(conn, target)
	if err != nil {
		return err
	}
	if _, err := io.Copy(c.stdout, response.Body); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
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

// request sends a GET and returns the response once its header is here.
func request(conn io.ReadWriter, target *url.URL) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "baretls")
	req.Close = true
	if err := req.Write(conn); err != nil {
		return nil, err
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
