package grpctest

import (
	"context"
	"errors"
	"net"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
	"google.golang.org/grpc/credentials"
)

// tlsCreds is to netconn what credentials.NewTLS is to crypto/tls: gRPC does the
// handshakes, and tells its users about the peers.
type tlsCreds struct {
	client     *baretls.ClientConfig
	server     *baretls.ServerConfig
	serverName string // instead of the one in the address
}

func (c *tlsCreds) ClientHandshake(ctx context.Context, authority string, socket net.Conn) (net.Conn, credentials.AuthInfo, error) {
	name := c.serverName
	if name == "" {
		name = hostOf(authority)
	}
	conn, err := netconn.Client(socket, c.client, name)
	if err != nil {
		return nil, nil, errors.Join(err, socket.Close())
	}
	return complete(ctx, conn)
}

// ServerHandshake has no context, but gRPC sets a deadline for it.
func (c *tlsCreds) ServerHandshake(socket net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, err := netconn.Server(socket, c.server)
	if err != nil {
		return nil, nil, errors.Join(err, socket.Close())
	}
	return complete(context.Background(), conn)
}

func complete(ctx context.Context, conn *netconn.Conn) (net.Conn, credentials.AuthInfo, error) {
	err := conn.HandshakeContext(ctx)
	state := conn.ConnectionState()
	if err == nil && state.NegotiatedProtocol != "h2" {
		err = errNotHTTP2
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, credentials.TLSInfo{
		State:          state,
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

var errNotHTTP2 = errors.New("the peer has not agreed on h2 by ALPN")

func (c *tlsCreds) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (c *tlsCreds) Clone() credentials.TransportCredentials {
	clone := *c
	return &clone
}

func (c *tlsCreds) OverrideServerName(name string) error {
	c.serverName = name
	return nil
}

// hostOf is the host of an address that may have a port.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
