package grpctest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

const (
	patience   = 30 * time.Second // how long anything may take
	largest    = 8 << 20          // bytes in the payload of a message
	serverName = "localhost"
	clientName = "a client"
)

// authority issues certificates to a server and a client.
type authority struct {
	pool           *x509.CertPool
	server, client tls.Certificate
}

// ours is trusted by both sides, stranger by none.
var ours, stranger = sync.OnceValue(newAuthority), sync.OnceValue(newAuthority)

func newAuthority() *authority {
	key := newKey()
	root := certificate("an authority")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	der := must(x509.CreateCertificate(rand.Reader, root, root, key.Public(), key))
	root = must(x509.ParseCertificate(der))
	issue := func(template *x509.Certificate) tls.Certificate {
		own := newKey()
		der := must(x509.CreateCertificate(rand.Reader, template, root, own.Public(), key))
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}
	}
	server, client := certificate("a server"), certificate(clientName)
	server.DNSNames = []string{serverName}
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	a := &authority{pool: x509.NewCertPool(), server: issue(server), client: issue(client)}
	a.pool.AddCert(root)
	return a
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// must is for what cannot fail unless the test itself is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// way is how one side of a connection comes by its TLS.
type way string

const (
	creds   way = "netconn, as credentials"
	beneath way = "netconn, as sockets" // gRPC knows nothing of TLS
	std     way = "crypto/tls"
)

// terms are what both sides of a connection want. The zero value is for a
// client with a certificate, which the server requires and verifies.
type terms struct {
	server, client *authority // who has issued their certificates; nil stands for ours
	clientVersions [2]uint16  // from and to
	serverVersions [2]uint16
	noClientCert   bool
	noALPN         bool // of the server
}

// both is terms for one version only.
func both(version uint16) terms {
	only := [2]uint16{version, version}
	return terms{clientVersions: only, serverVersions: only}
}

func (s terms) clientCerts() []tls.Certificate {
	switch {
	case s.noClientCert:
		return nil
	case s.client != nil:
		return []tls.Certificate{s.client.client}
	}
	return []tls.Certificate{ours().client}
}

func (s terms) serverCerts() []tls.Certificate {
	if s.server != nil {
		return []tls.Certificate{s.server.server}
	}
	return []tls.Certificate{ours().server}
}

func (s terms) serverProtocols() []string {
	if s.noALPN {
		return nil
	}
	return []string{"h2"}
}

func (s terms) clientConfig() *baretls.ClientConfig {
	return &baretls.ClientConfig{
		RootCAs: ours().pool, Certificates: s.clientCerts(), NextProtos: []string{"h2"},
		MinVersion: s.clientVersions[0], MaxVersion: s.clientVersions[1],
	}
}

func (s terms) serverConfig() *baretls.ServerConfig {
	return &baretls.ServerConfig{
		Certificates: s.serverCerts(), NextProtos: s.serverProtocols(),
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours().pool,
		MinVersion: s.serverVersions[0], MaxVersion: s.serverVersions[1],
	}
}

func (s terms) stdClientConfig() *tls.Config {
	return &tls.Config{
		RootCAs: ours().pool, Certificates: s.clientCerts(), ClientSessionCache: tls.NewLRUClientSessionCache(0),
		MinVersion: s.clientVersions[0], MaxVersion: s.clientVersions[1],
	}
}

func (s terms) stdServerConfig() *tls.Config {
	return &tls.Config{
		Certificates: s.serverCerts(), NextProtos: s.serverProtocols(),
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours().pool,
		MinVersion: s.serverVersions[0], MaxVersion: s.serverVersions[1],
	}
}

// server is a gRPC server that listens.
type server struct {
	*grpc.Server
	*service
	address string
	refused chan error // why handshakes have failed, where gRPC does them
	served  chan error // what Serve has returned
}

// serve starts a server, which ends with the test.
func serve(t *testing.T, by way, s terms) *server {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	r := &server{
		service: newService(),
		address: net.JoinHostPort(serverName, port),
		refused: make(chan error, 100),
		served:  make(chan error, 1),
	}
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(2 * largest)}
	switch by {
	case creds:
		options = append(options, grpc.Creds(witness{&tlsCreds{server: s.serverConfig()}, r.refused}))
	case beneath:
		listener = must(netconn.NewListener(listener, s.serverConfig()))
	case std:
		// With no protocols, credentials.NewTLS would add h2.
		if s.noALPN {
			listener = tls.NewListener(listener, s.stdServerConfig())
			break
		}
		options = append(options, grpc.Creds(witness{credentials.NewTLS(s.stdServerConfig()), r.refused}))
	}
	r.Server = grpc.NewServer(options...)
	pb.RegisterTestServiceServer(r.Server, r.service)
	go func() { r.served <- r.Serve(listener) }()
	t.Cleanup(r.Stop)
	return r
}

// witness tells about the handshakes of a server that fail.
type witness struct {
	credentials.TransportCredentials
	refused chan<- error
}

func (w witness) ServerHandshake(socket net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ServerHandshake(socket)
	if err != nil {
		w.refused <- err
	}
	return conn, info, err
}

// dialer returns what makes a client's connections: all that come of one share
// their sessions.
func dialer(by way, s terms) []grpc.DialOption {
	switch by {
	case creds:
		return []grpc.DialOption{grpc.WithTransportCredentials(&tlsCreds{client: s.clientConfig()})}
	case beneath:
		config := s.clientConfig()
		return []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				d := netconn.Dialer{Config: config}
				return d.DialContext(ctx, "tcp", address)
			}),
		}
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(s.stdClientConfig()))}
}

// client connects, at the first call; it ends with the test.
func client(t *testing.T, address string, options []grpc.DialOption) (*grpc.ClientConn, pb.TestServiceClient) {
	t.Helper()
	options = append(options, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(2*largest)))
	conn := must(grpc.NewClient("passthrough:///"+address, options...))
	t.Cleanup(func() { conn.Close() })
	return conn, pb.NewTestServiceClient(conn)
}

// within is a context for whatever a test may wait for.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// leavesNothing fails a test that ends with more goroutines than it began with.
func leavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}
