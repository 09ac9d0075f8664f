package netconn

import (
	"context"
	"net"

	"github.com/baretls/baretls"
)

// Dial connects to a server and does the handshake. The network and address are
// those of net.Dial, and the server's certificate has to match the host in the
// address.
func Dial(network, address string, config *baretls.ClientConfig) (*Conn, error) {
	d := Dialer{Config: config}
	return d.dial(context.Background(), network, address)
}

// Dialer connects to servers. A Dialer may be used by any number of goroutines.
type Dialer struct {
	// NetDialer makes the connections beneath; nil stands for the zero one.
	// Its Timeout and Deadline hold for the handshake, too.
	NetDialer *net.Dialer
	// Config is used for all connections; nil stands for one zero ClientConfig
	// that the whole program shares.
	Config *baretls.ClientConfig
	// ServerName is what the server's certificate has to match; empty stands
	// for the host in the address.
	ServerName string
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to a server and does the handshake. The context ends
// both; once connected, it has no effect on the connection. What is returned is
// a *Conn.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err // and not a *Conn that is nil
	}
	return conn, nil
}

// zeroConfig is shared so that connections without a config can be resumed.
var zeroConfig baretls.ClientConfig

func (d *Dialer) dial(ctx context.Context, network, address string) (*Conn, error) {
	dialer := d.NetDialer
	if dialer == nil {
		dialer = new(net.Dialer)
	}
	if dialer.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, dialer.Timeout)
		defer cancel()
	}
	if !dialer.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, dialer.Deadline)
		defer cancel()
	}
	name := d.ServerName
	if name == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		name = host
	}
	config := d.Config
	if config == nil {
		config = &zeroConfig
	}
	client, err := newClient(config, name) // before anyone is bothered
	if err != nil {
		return nil, err
	}
	socket, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := newConn(socket, &client.Conn, nil)
	if err := conn.HandshakeContext(ctx); err != nil {
		socket.Close()
		return nil, err
	}
	return conn, nil
}

// Listen listens like net.Listen and makes servers of the connections.
func Listen(network, address string, config *baretls.ServerConfig) (net.Listener, error) {
	if err := check(config); err != nil {
		return nil, err
	}
	inner, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &listener{inner, config}, nil
}

// NewListener returns a listener that makes servers of the connections that
// inner accepts. What it accepts is a *Conn, whose handshake is left to its
// first Read or Write, so that no client holds up another. A
// *baretls.ConfigError says what is wrong with the config.
func NewListener(inner net.Listener, config *baretls.ServerConfig) (net.Listener, error) {
	if err := check(config); err != nil {
		return nil, err
	}
	return &listener{inner, config}, nil
}

// check finds out now what the first client would.
func check(config *baretls.ServerConfig) error {
	_, err := newServer(config)
	return err
}

type listener struct {
	net.Listener
	config *baretls.ServerConfig
}

func (l *listener) Accept() (net.Conn, error) {
	socket, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn, err := Server(socket, l.config)
	if err != nil {
		socket.Close()
		return nil, err
	}
	return conn, nil
}
