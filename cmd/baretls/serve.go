package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/netconn/nethttp"
)

const serveAbout = `Serves the files of a directory over HTTP/2 and HTTP/1.1, and says
"listening on HOST:PORT" when it is ready. Without a certificate it makes one
for localhost, and says on stderr in which file the CA is that "baretls get -ca"
takes.
With -early-data it answers a GET or HEAD that comes as 0-RTT data before the
handshake is complete, and any other such request with 425 (Too Early): it may
be a replay. Replays are recognized by a register in memory, so that 0-RTT data
is rejected in the first 20 seconds after the start, when the register does not
know what came before; such clients send their requests again. It is TLS 1.3's
only.`

const (
	requestPatience  = 10 * time.Second // for the handshake and a request's header
	idlePatience     = 2 * time.Minute  // between requests
	shutdownPatience = 2 * time.Second  // for requests that are being answered
)

func serve(ctx context.Context, c *call) error { return serveWith(ctx, c, nil) }

// serveWith serves with another register of replays than the library's.
func serveWith(ctx context.Context, c *call, replays baretls.ReplayGuard) error {
	address := c.String("addr", "localhost:8443", "listen on this `host:port`")
	certFile := c.String("cert", "", "PEM `file` of the certificate chain")
	keyFile := c.String("key", "", "PEM `file` of the private key")
	clientCA := c.String("client-ca", "", "require a certificate of clients, issued by one in this PEM `file`")
	dir := c.String("dir", ".", "serve the files of this `directory`")
	versions := c.versions()
	early := c.Uint64("early-data", 0, "take so many `bytes` of 0-RTT data from a client; 0 is off")
	keyLifetime := c.Duration("ticket-key-lifetime", baretls.DefaultTicketKeyLifetime, "encrypt session tickets with the same key for this `duration`")
	if err := c.parse(0); err != nil {
		return err
	}
	if err := checkPair(*certFile, *keyFile); err != nil {
		return err
	}
	if err := versions.check(); err != nil {
		return err
	}
	if *early > math.MaxUint32 {
		return usageError("-early-data is more than TLS can say: 4294967295 bytes")
	}
	if *keyLifetime <= 0 {
		return usageError("-ticket-key-lifetime has to be more than 0")
	}

	// A root keeps even symbolic links from leading out of the directory.
	root, err := os.OpenRoot(*dir)
	if err != nil {
		return err
	}
	defer root.Close()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	defer listener.Close()

	config := &baretls.ServerConfig{
		NextProtos:      nethttp.Protocols(),
		MinVersion:      uint16(versions.min),
		MaxVersion:      uint16(versions.max),
		MaxEarlyData:    uint32(*early),
		ReplayGuard:     replays,
		SendHalfRTTData: *early > 0, // or an early request would gain nothing
	}
	if config.TicketKeys, err = baretls.NewTicketKeys(*keyLifetime); err != nil {
		return err
	}
	if *clientCA != "" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if config.ClientCAs, err = loadRoots(*clientCA); err != nil {
			return err
		}
	}
	logger := log.New(c.stderr, "baretls: ", 0)
	if *certFile != "" {
		cert, err := loadCertificate(*certFile, *keyFile)
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{cert}
	} else {
		cert, ca, err := throwaway()
		if err != nil {
			return err
		}
		file, err := writeTemporary(ca)
		if err != nil {
			return err
		}
		defer os.Remove(file)
		logger.Printf("throwaway CA: %s", file)
		config.Certificates = []tls.Certificate{cert}
	}
	if _, err := baretls.NewServer(config); err != nil { // now, not at the first client
		return err
	}

	fmt.Fprintf(c.stdout, "listening on %s\n", listener.Addr())
	server := &http.Server{
		Handler:           notTooEarly(readOnly(http.FileServerFS(root.FS()))),
		ReadHeaderTimeout: requestPatience,
		IdleTimeout:       idlePatience,
		ErrorLog:          logger,
	}
	if *early > 0 {
		server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
			conn.(*nethttp.Conn).AllowEarlyRequests()
			return ctx
		}
	}
	stopped := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(stopped)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close()
		}
	})()
	err = nethttp.Serve(server, listener, config)
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return err
}

// notTooEarly lets requests that may be replays pass only if it does no harm to
// answer them twice: RFC 8470. Those are the ones that have come as 0-RTT data,
// and those of which a proxy says so.
func notTooEarly(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		early := !r.TLS.HandshakeComplete || r.Header.Values("Early-Data") != nil
		if early && r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "too early", http.StatusTooEarly)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// readOnly lets only requests pass that a file can answer.
func readOnly(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		files.ServeHTTP(w, r)
	})
}
