package nethttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
)

// Transport is an http.RoundTripper whose https connections are those of
// baretls. The zero Transport trusts the system's roots and speaks HTTP/2 to
// servers that have it. It may be used by any number of goroutines, and its
// fields must not be changed after its first use.
type Transport struct {
	// Config is used for all https connections. What is spoken is what its
	// NextProtos and the server agree on: see Protocols. Nil stands for a
	// config of this transport's own with both.
	Config *baretls.ClientConfig
	// Base has all other settings; nil stands for those of
	// http.DefaultTransport. It is copied. Proxies are not used for https,
	// because net/http would speak TLS to the server behind them itself, and
	// neither are its TLSClientConfig and its functions to dial TLS.
	Base *http.Transport

	once         sync.Once
	config       *baretls.ClientConfig
	http1, http2 *http.Transport
	dialer       func(ctx context.Context, network, address string) (net.Conn, error)

	mutex   sync.Mutex
	origins map[string]*origin
}

// origin is what is known of a server.
type origin struct {
	mutex    sync.Mutex // held while it is asked
	protocol atomic.Value
}

func (t *Transport) init() {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport.(*http.Transport)
	}
	t.dialer = base.DialContext
	if t.dialer == nil {
		t.dialer = new(net.Dialer).DialContext
	}
	if t.config = t.Config; t.config == nil {
		t.config = &baretls.ClientConfig{NextProtos: Protocols()}
	}
	t.origins = make(map[string]*origin)
	t.http1, t.http2 = t.over(base, protoHTTP1), t.over(base, protoHTTP2)
}

// over returns a transport of net/http for one protocol.
func (t *Transport) over(base *http.Transport, protocol string) *http.Transport {
	c := base.Clone()
	c.Proxy, c.TLSClientConfig, c.TLSNextProto, c.DialTLS = nil, nil, nil, nil //lint:ignore SA1019 to unset it
	c.ForceAttemptHTTP2 = false
	c.Protocols = new(http.Protocols)
	c.Protocols.SetHTTP1(protocol == protoHTTP1)
	c.Protocols.SetUnencryptedHTTP2(protocol == protoHTTP2)
	c.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return t.dialTLS(ctx, network, address, protocol)
	}
	return c
}

// RoundTrip implements http.RoundTripper. Requests for http URLs are sent as
// net/http would, without TLS.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.once.Do(t.init)
	if r.URL.Scheme != "https" {
		return t.http1.RoundTrip(r)
	}
	response, err := t.roundTrip(r)
	changed := new(protocolError)
	if !errors.As(err, &changed) {
		return response, err
	}
	// Nothing has been sent. The server speaks another protocol than it did.
	t.origin(address(r)).protocol.Store(changed.protocol)
	if r.Body != nil && r.Body != http.NoBody {
		if r.GetBody == nil {
			return nil, err
		}
		body, failed := r.GetBody()
		if failed != nil {
			return nil, failed
		}
		r = r.Clone(r.Context())
		r.Body = body
	}
	return t.roundTrip(r)
}

func (t *Transport) roundTrip(r *http.Request) (*http.Response, error) {
	transport, spare, err := t.choose(r)
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return t.send(transport, r, spare)
}

// send has net/http send the request. The spare connection is the one that
// showed which protocol the server speaks.
func (*Transport) send(transport *http.Transport, r *http.Request, spare *spareConn) (*http.Response, error) {
	var used net.Conn
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { used = info.Conn },
	})
	if spare != nil {
		defer spare.close()
		ctx = context.WithValue(ctx, spareKey{}, spare)
	}
	response, err := transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	response.Request = r
	if conn, ok := used.(*clientConn); ok {
		state := conn.tls.ConnectionState()
		response.TLS = &state
	}
	return response, nil
}

// choose returns the transport for the server's protocol. To find out it has to
// connect, if it has not before.
func (t *Transport) choose(r *http.Request) (*http.Transport, *spareConn, error) {
	o := t.origin(address(r))
	if protocol, ok := o.protocol.Load().(string); ok {
		return t.transport(protocol), nil, nil
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if protocol, ok := o.protocol.Load().(string); ok {
		return t.transport(protocol), nil, nil
	}
	conn, err := t.connect(r.Context(), "tcp", address(r))
	if err != nil {
		return nil, nil, err
	}
	spare := new(spareConn)
	spare.conn.Store(conn)
	o.protocol.Store(conn.protocol())
	return t.transport(conn.protocol()), spare, nil
}

// CloseIdleConnections closes the connections that no request is on.
func (t *Transport) CloseIdleConnections() {
	t.once.Do(t.init)
	t.http1.CloseIdleConnections()
	t.http2.CloseIdleConnections()
}

func (t *Transport) transport(protocol string) *http.Transport {
	if protocol == protoHTTP2 {
		return t.http2
	}
	return t.http1
}

// maxOrigins bounds what is remembered. What is forgotten is found out again.
const maxOrigins = 1024

func (t *Transport) origin(address string) *origin {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	o := t.origins[address]
	if o == nil {
		if len(t.origins) == maxOrigins {
			clear(t.origins)
		}
		o = new(origin)
		t.origins[address] = o
	}
	return o
}

// address is the host and port of a request.
func address(r *http.Request) string {
	port := r.URL.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(r.URL.Hostname(), port)
}

// dialTLS is how the transports of net/http get their connections.
func (t *Transport) dialTLS(ctx context.Context, network, address, protocol string) (net.Conn, error) {
	if spare, ok := ctx.Value(spareKey{}).(*spareConn); ok {
		if conn := spare.conn.Swap(nil); conn != nil {
			return conn, nil
		}
	}
	conn, err := t.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if got := conn.protocol(); got != protocol {
		conn.Close()
		return nil, &protocolError{got}
	}
	return conn, nil
}

// connect connects to a server and does the handshake.
func (t *Transport) connect(ctx context.Context, network, address string) (*clientConn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	socket, err := t.dialer(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn, err := netconn.Client(socket, t.config, host)
	if err != nil {
		socket.Close()
		return nil, err
	}
	if patience := t.http1.TLSHandshakeTimeout; patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		socket.Close()
		return nil, err
	}
	return &clientConn{conn, conn}, nil
}

// clientConn hides the ConnectionState, as Conn does.
type clientConn struct {
	net.Conn
	tls *netconn.Conn
}

func (c *clientConn) protocol() string {
	if c.tls.ConnectionState().NegotiatedProtocol == protoHTTP2 {
		return protoHTTP2
	}
	return protoHTTP1
}

// spareConn is a connection that is waiting for its first request.
type spareConn struct{ conn atomic.Pointer[clientConn] }

type spareKey struct{}

// close closes the connection if nobody has taken it.
func (s *spareConn) close() {
	if conn := s.conn.Swap(nil); conn != nil {
		conn.Close()
	}
}

// protocolError is a server that has chosen another protocol than the last time.
type protocolError struct{ protocol string }

func (e *protocolError) Error() string {
	return "nethttp: the server has changed its protocol to " + e.protocol
}
