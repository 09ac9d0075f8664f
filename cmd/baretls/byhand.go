package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
)

// Requests over HTTP/1.1 by hand: for what a transport of net/http does not do,
// 0-RTT data, and to show the states.

// talker is a connection that such a request goes over: a *netconn.Conn or turns.
type talker interface {
	net.Conn
	HandshakeEarly(ctx context.Context, data []byte) (baretls.EarlyDataStatus, error)
	TLS() *baretls.Conn
}

// byHand is once for such requests.
func (f *fetcher) byHand(ctx context.Context, early bool, use func(answer) error) error {
	conn, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	response, status, err := request(ctx, conn, f.target, early)
	if err != nil {
		return err
	}
	return use(answer{Response: response, tls: conn.TLS(), early: status, awaitTicket: func() {
		conn.SetReadDeadline(time.Now().Add(ticketPatience))
		_, _ = io.Copy(io.Discard, conn)
	}})
}

// dial connects to the server, and does not begin the handshake. The connection
// ends with the context.
func (f *fetcher) dial(ctx context.Context) (talker, error) {
	name, port := f.target.Hostname(), f.target.Port()
	if port == "" {
		port = "443"
	}
	dialer := net.Dialer{Timeout: dialPatience}
	socket, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(name, port))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	conn, err := f.talker(socket, name)
	if err != nil {
		socket.Close()
		return nil, err
	}
	return conn, nil
}

func (f *fetcher) talker(socket net.Conn, name string) (talker, error) {
	if f.trace == nil {
		return netconn.Client(socket, f.config, name)
	}
	client, err := baretls.NewClient(f.config, name)
	if err != nil {
		return nil, err
	}
	return newTurns(socket, &client.Conn, f.trace), nil
}

// request does the handshake, sends a GET and returns the response once its
// header is here. If early is set, the GET is 0-RTT data where there is a
// session for that, and sent again if it is not taken.
func request(ctx context.Context, conn talker, target *url.URL, early bool) (*http.Response, baretls.EarlyDataStatus, error) {
	status := baretls.EarlyDataNotOffered
	req, err := newRequest(ctx, target)
	if err != nil {
		return nil, status, err
	}
	req.Close = true
	var text bytes.Buffer
	if err := req.Write(&text); err != nil {
		return nil, status, err
	}
	if early {
		if status, err = conn.HandshakeEarly(ctx, text.Bytes()); err != nil {
			return nil, status, err
		}
	}
	if status != baretls.EarlyDataAccepted {
		if _, err := conn.Write(text.Bytes()); err != nil {
			return nil, status, err
		}
	}
	from := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(from, req)
		if err != nil {
			return nil, status, noResponse(err)
		}
		if response.StatusCode >= 200 { // before that they are only hints
			return response, status, nil
		}
	}
}
