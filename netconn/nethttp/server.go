package nethttp

import (
	"context"
	"net"
	"net/http"
	"sync"

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
// Serve changes the server, once: its Protocols and TLSNextProto are replaced,
// its ConnContext and Handler are wrapped, and the server is from then on for
// this function only. A handshake has the least of ReadHeaderTimeout,
// ReadTimeout and WriteTimeout to complete; what fails is logged to ErrorLog.
// The connections that http.Server's functions see are of type *Conn.
//
// Requests that come as 0-RTT data wait for the end of the handshake: see
// Conn.AllowEarlyRequests.
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
	server.TLSNextProto = nil // or it could turn HTTP/2 off that was agreed on
	inner := server.ConnContext
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if c, ok := conn.(*Conn); ok {
			ctx = context.WithValue(ctx, connKey{}, c)
		}
		if inner != nil {
			ctx = inner(ctx, conn)
		}
		return ctx
	}
}

// connKey is what a request's context has its *Conn under.
type connKey struct{}

// RequestConn returns the connection that a request has come on, or nil if it
// is none of this package's. It is there to be asked, not to be read or written.
func RequestConn(r *http.Request) *netconn.Conn {
	if conn := requestConn(r); conn != nil {
		return conn.tls
	}
	return nil
}

func requestConn(r *http.Request) *Conn {
	conn, _ := r.Context().Value(connKey{}).(*Conn)
	return conn
}

// handler sets Request.TLS, which net/http cannot.
type handler struct{ next http.Handler }

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if conn := requestConn(r); conn != nil && r.TLS == nil {
		r.TLS = conn.state()
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
	return newConn(conn.(*netconn.Conn), l.server), nil
}
