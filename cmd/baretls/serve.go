package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/baretls/baretls"
)

const serveAbout = `Serves the files of a directory over HTTP/1.1, and says "listening on
HOST:PORT" when it is ready. Without a certificate it makes one for localhost,
and says on stderr in which file the CA is that "baretls get -ca" takes.`

const (
	requestPatience  = 10 * time.Second // for the handshake and a request's header
	idlePatience     = 2 * time.Minute  // between requests
	shutdownPatience = 2 * time.Second  // for requests that are being answered
)

func serve(ctx context.Context, c *call) error {
	address := c.String("addr", "localhost:8443", "listen on this `host:port`")
	certFile := c.String("cert", "", "PEM `file` of the certificate chain")
	keyFile := c.String("key", "", "PEM `file` of the private key")
	dir := c.String("dir", ".", "serve the files of this `directory`")
	if err := c.parse(0); err != nil {
		return err
	}
	if (*certFile == "") != (*keyFile == "") {
		return usageError("-cert and -key go together")
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

	config := &baretls.ServerConfig{NextProtos: []string{"http/1.1"}}
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
		Handler:           readOnly(http.FileServerFS(root.FS())),
		ReadHeaderTimeout: requestPatience,
		IdleTimeout:       idlePatience,
		ErrorLog:          logger,
		ConnState: func(conn net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				logFailure(logger, conn.(*tlsConn))
			}
		},
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
	err = server.Serve(tlsListener{listener, config})
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return err
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

// logFailure says in one line why TLS has failed on a connection, if it has.
// Those who go away without a word are too many to mention.
func logFailure(logger *log.Logger, conn *tlsConn) {
	var failure *baretls.Error
	if err := conn.failure(); errors.As(err, &failure) && !errors.Is(err, io.ErrUnexpectedEOF) {
		logger.Printf("%s: %s", conn.RemoteAddr(), oneLine(err))
	}
}
