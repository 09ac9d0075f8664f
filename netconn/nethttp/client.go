package nethttp

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
	"slices"
	"sync"
	"sync/atomic"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
)

// Transport is an http.RoundTripper whose https connections are those of
// baretls. The zero Transport trusts the system's roots and speaks HTTP/2 to
// servers that have it. It may be used by any number of goroutines, and its
// fields must not be changed after its first use.
//
// Beneath are two transports of net/http, one for each protocol, so that limits
// like MaxConnsPerHost hold for each. A request to upgrade, to a WebSocket for
// example, fails where HTTP/2 is spoken; it needs a Config without "h2".
type Transport struct {
	// Config is used for all https connections. What is spoken is what its
	// NextProtos and the server agree on: see Protocols. Nil stands for a
	// config of this transport's own with both.
	Config *baretls.ClientConfig
	// Base has all other settings; nil stands for those of
	// http.DefaultTransport. It is copied. Its TLSClientConfig and its functions
	// to dial TLS are not used. If its Proxy has a proxy for an https URL the
	// request fails, because net/http would speak TLS to the server behind it
	// itself.
	Base *http.Transport

	once                sync.Once
	config              *baretls.ClientConfig
	plain, http1, http2 *http.Transport
	dialer              func(ctx context.Context, network, address string) (net.Conn, error)
	proxy               func(*http.Request) (*url.URL, error)

	mutex   sync.Mutex
	origins map[string]*origin
}

// origin is what is known of a server, under the Transport's mutex.
type origin struct {
	protocol string        // that it has chosen last; empty if it was not asked
	asking   chan struct{} // closed when who asks it knows; nil if nobody does
}

func (t *Transport) init() {
	base := t.Base
	if base == nil {
		base, _ = http.DefaultTransport.(*http.Transport)
	}
	if base == nil { // a program may have put its own there
		base = new(http.Transport)
	}
	t.proxy = base.Proxy
	dial := base.Dial //lint:ignore SA1019 for those who set it
	switch {
	case base.DialContext != nil:
		t.dialer = base.DialContext
	case dial != nil:
		t.dialer = func(_ context.Context, network, address string) (net.Conn, error) { return dial(network, address) }
	default:
		t.dialer = new(net.Dialer).DialContext
	}
	if t.config = t.Config; t.config == nil {
		t.config = &baretls.ClientConfig{NextProtos: Protocols()}
	}
	t.origins = make(map[string]*origin)
	t.plain = base.Clone()
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

// CloseIdleConnections closes the connections that no request is on.
func (t *Transport) CloseIdleConnections() {
	t.once.Do(t.init)
	for _, transport := range []*http.Transport{t.plain, t.http1, t.http2} {
		transport.CloseIdleConnections()
	}
}

// maxChanges is how often a server may change its protocol during a request.
const maxChanges = 3

// RoundTrip implements http.RoundTripper. Requests for http URLs are sent as
// net/http would, without TLS.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.once.Do(t.init)
	if r.URL == nil || r.URL.Scheme != "https" {
		return t.plain.RoundTrip(r)
	}
	if err := t.checkProxy(r); err != nil {
		closeBody(r)
		return nil, err
	}
	o, answered, err := t.ask(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	defer answered()
	a := &attempt{origin: o}
	defer a.end()
	request := a.prepare(r, answered)
	for changes := 0; ; changes++ {
		response, err := t.transport(a).RoundTrip(request)
		switch {
		case err == nil:
			return a.finish(r, response), nil
		case !errors.Is(err, errServerChanged) || changes == maxChanges:
			a.body.abandon()
			return nil, a.explain(err)
		}
		// Nothing has been sent, and the connection waits for the other transport.
		if r.GetBody != nil && r.Body != nil && r.Body != http.NoBody {
			request = request.WithContext(request.Context()) // a copy
			if request.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// checkProxy refuses to go past a proxy.
func (t *Transport) checkProxy(r *http.Request) error {
	if t.proxy == nil {
		return nil
	}
	switch proxy, err := t.proxy(r); {
	case err != nil:
		return err
	case proxy != nil:
		return fmt.Errorf("nethttp: https through a proxy, %s, is not supported", proxy.Redacted())
	}
	return nil
}

// maxOrigins bounds what is remembered. What is forgotten is found out again.
const maxOrigins = 1024

// ask returns what is known of a request's server. Of those who know nothing
// yet, one finds out, and calls answered then, and the others wait for that.
func (t *Transport) ask(r *http.Request) (o *origin, answered func(), err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	o = t.origins[r.URL.Host]
	if o == nil {
		if len(t.origins) == maxOrigins {
			clear(t.origins)
		}
		o = new(origin)
		t.origins[r.URL.Host] = o
	}
	switch {
	case o.protocol != "":
	case o.asking == nil:
		asking := make(chan struct{})
		o.asking = asking
		return o, sync.OnceFunc(func() {
			t.mutex.Lock()
			defer t.mutex.Unlock()
			o.asking = nil
			close(asking)
		}), nil
	default:
		asking := o.asking
		t.mutex.Unlock()
		select {
		case <-asking:
		case <-r.Context().Done():
			err = context.Cause(r.Context())
		}
		t.mutex.Lock()
	}
	return o, func() {}, err
}

// transport is the one for the connection that waits, or else for the protocol
// that the server is expected to choose.
func (t *Transport) transport(a *attempt) *http.Transport {
	t.mutex.Lock()
	protocol := a.origin.protocol
	t.mutex.Unlock()
	if waits := a.waits(); waits != "" {
		protocol = waits
	}
	if protocol == protoHTTP2 || protocol == "" && slices.Contains(t.config.NextProtos, protoHTTP2) {
		return t.http2
	}
	return t.http1
}

var errServerChanged = errors.New("nethttp: the server does not stay with one protocol")

// dialTLS is how the transports of net/http get their connections. One of the
// other protocol is left to the attempt that it was made for.
func (t *Transport) dialTLS(ctx context.Context, network, address, protocol string) (net.Conn, error) {
	a := ctx.Value(attemptKey{}).(*attempt)
	if conn := a.take(protocol); conn != nil {
		return conn, nil
	}
	conn, err := t.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	got := protoHTTP1
	if speaksHTTP2(conn.tls) {
		got = protoHTTP2
	}
	t.mutex.Lock()
	a.origin.protocol = got
	t.mutex.Unlock()
	if got == protocol {
		return conn, nil
	}
	a.leave(conn, got)
	return nil, errServerChanged
}

// connect connects to a server and does the handshake.
func (t *Transport) connect(ctx context.Context, network, address string) (*Conn, error) {
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
	trace := httptrace.ContextClientTrace(ctx)
	if trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err = conn.HandshakeContext(ctx)
	if trace.TLSHandshakeDone != nil {
		state := tls.ConnectionState{}
		if err == nil {
			state = conn.ConnectionState()
		}
		trace.TLSHandshakeDone(state, err)
	}
	if err != nil {
		socket.Close()
		return nil, err
	}
	return newConn(conn, nil), nil
}

// attempt is a request on its way to a connection.
type attempt struct {
	origin *origin
	body   *heldBody
	used   net.Conn

	mutex    sync.Mutex
	conn     *Conn // which waits for the transport of its protocol
	protocol string
	over     bool
}

type attemptKey struct{}

// prepare returns the request as net/http is given it.
func (a *attempt) prepare(r *http.Request, answered func()) *http.Request {
	a.body = &heldBody{ReadCloser: r.Body}
	ctx := context.WithValue(r.Context(), attemptKey{}, a)
	request := r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { a.body.inUse.Store(false) },
		GotConn: func(info httptrace.GotConnInfo) {
			a.body.inUse.Store(true)
			a.used = info.Conn
			answered()
		},
	}))
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		request.Body = a.body
	}
	return request
}

// finish makes of net/http's response the one that the caller expects.
func (a *attempt) finish(r *http.Request, response *http.Response) *http.Response {
	response.Request = r
	if conn, ok := a.used.(*Conn); ok {
		state := conn.tls.ConnectionState()
		response.TLS = &state
	}
	return response
}

// explain adds why the connection has failed, where net/http does not say so.
func (a *attempt) explain(err error) error {
	if conn, ok := a.used.(*Conn); ok {
		if failure := conn.failure.Load(); failure != nil && !errors.Is(err, failure) {
			return fmt.Errorf("%w: %w", err, failure)
		}
	}
	return err
}

// leave has a connection wait.
func (a *attempt) leave(conn *Conn, protocol string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.over || a.conn != nil {
		go conn.Close()
		return
	}
	a.conn, a.protocol = conn, protocol
}

// waits returns the protocol of the connection that waits.
func (a *attempt) waits() string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.protocol
}

// take returns the connection that waits, if it is of that protocol.
func (a *attempt) take(protocol string) (conn *Conn) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.protocol == protocol {
		conn, a.conn, a.protocol = a.conn, nil, ""
	}
	return conn
}

// end closes a connection that nobody has taken.
func (a *attempt) end() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.over = true
	if a.conn != nil {
		go a.conn.Close() // which may wait for the server
	}
}

// heldBody is a body that cannot be had again. net/http closes it if it gets no
// connection, but then there may be another to get.
type heldBody struct {
	io.ReadCloser
	inUse atomic.Bool
}

func (b *heldBody) Close() error {
	if !b.inUse.Load() {
		return nil
	}
	return b.ReadCloser.Close()
}

// abandon closes a body that was not used.
func (b *heldBody) abandon() {
	if b.ReadCloser != nil && !b.inUse.Load() {
		b.ReadCloser.Close()
	}
}
