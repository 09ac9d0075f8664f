package nethttp

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
)

// ListenAndServe listens on the server's address, ":https" if it is empty, and
// serves: see Serve.
func ListenAndServe(server *http.Server, config *baretls.ServerConfig) error {
	address := server.Addr
	if address == "" {
		address = ":https"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return Serve(server, listener, config)
}

// Serve serves HTTP on the connections that the listener accepts, as
// http.Server.ServeTLS does: it returns an error that is never nil, and
// http.ErrServerClosed after Shutdown or Close. The protocol is the one that
// NextProtos of the config, see Protocols, and the client agree on: HTTP/2 if it
// is "h2", HTTP/1.1 otherwise. A *baretls.ConfigError says what is wrong with
// the config.
//
// Serve changes the server, once: its Protocols, ConnContext and Handler are
// wrapped, and the server is from then on for this function only. A handshake
// has the least of ReadHeaderTimeout, ReadTimeout and WriteTimeout to complete;
// what fails is logged to ErrorLog. With http.Server's ConnState the connection
// is a Conn.
func Serve(server *http.Server, listener net.Listener, config *baretls.ServerConfig) error {
	defer listener.Close()
	secure, err := netconn.NewListener(listener, config)
	if err != nil {
		return err
	}
	configure(server)
	return server.Serve(&httpListener{secure, server})
}

// configuring is held while a server is changed: Serve may be called for
// several listeners of one.
var configuring sync.Mutex

func configure(server *http.Server) {
	configuring.Lock()
	defer configuring.Unlock()
	if _, ok := server.Handler.(handler); ok {
		return
	}
	next := server.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	server.Handler = handler{next}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	inner := server.ConnContext
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if c, ok := conn.(*Conn); ok {
			ctx = context.WithValue(ctx, connKey{}, c.tls)
		}
		if inner != nil {
			ctx = inner(ctx, conn)
		}
		return ctx
	}
}

// connKey is what a request's context has its *netconn.Conn under.
type connKey struct{}

// RequestConn returns the connection that a request has come on, or nil if it
// is none of this package's. It is there to be asked, not to be read or written.
func RequestConn(r *http.Request) *netconn.Conn {
	conn, _ := r.Context().Value(connKey{}).(*netconn.Conn)
	return conn
}

// handler sets Request.TLS, which net/http cannot.
type handler struct{ next http.Handler }

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if conn := RequestConn(r); conn != nil && r.TLS == nil {
		state := conn.ConnectionState()
		r.TLS = &state
	}
	h.next.ServeHTTP(w, r)
}

type httpListener struct {
	net.Listener
	server *http.Server
}

func (l *httpListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: conn, tls: conn.(*netconn.Conn), server: l.server}, nil
}

// Conn is a *netconn.Conn as net/http gets to see it: without a
// ConnectionState, for which it would expect a *tls.Conn.
type Conn struct {
	net.Conn
	tls    *netconn.Conn
	server *http.Server

	once sync.Once
	err  error // of the handshake
}

// NetConn returns the *netconn.Conn.
func (c *Conn) NetConn() net.Conn { return c.tls }

// CloseWrite sends a close_notify.
func (c *Conn) CloseWrite() error { return c.tls.CloseWrite() }

// Read does the handshake first.
func (c *Conn) Read(p []byte) (int, error) {
	c.once.Do(c.handshake)
	if c.err != nil {
		return 0, c.err
	}
	return c.tls.Read(p)
}

func (c *Conn) handshake() {
	ctx := context.Background()
	if patience := handshakePatience(c.server); patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	if c.err = c.tls.HandshakeContext(ctx); c.err == nil {
		return
	}
	reason := c.err.Error()
	if plain := (tls.RecordHeaderError{}); errors.As(c.err, &plain) && plain.Conn != nil {
		reason = "the client does not speak TLS"
	}
	logf := log.Printf
	if c.server.ErrorLog != nil {
		logf = c.server.ErrorLog.Printf
	}
	logf("http: TLS handshake error from %s: %s", c.RemoteAddr(), reason)
}

// handshakePatience is what net/http gives handshakes of its own.
func handshakePatience(s *http.Server) (least time.Duration) {
	for _, d := range []time.Duration{s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout} {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}
