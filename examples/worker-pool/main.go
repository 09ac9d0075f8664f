// Command worker-pool serves an echo over TLS from one event loop that never
// waits: what takes long, a signature or the verification of a client, is done
// by a pool of workers, and meanwhile the loop turns to other connections.
//
//	worker-pool -cert FILE -key FILE [-addr HOST:PORT] [-client-ca FILE] [-workers N]
//
// With -client-ca clients need a certificate of that authority.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/baretls/baretls"
)

func main() {
	// It serves until something goes wrong.
	if err := run(os.Args[1:], os.Stdout, os.Stderr); !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "worker-pool:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("worker-pool", flag.ContinueOnError)
	flags.SetOutput(stderr)
	address := flags.String("addr", "localhost:8443", "listen on this `host:port`")
	certFile := flags.String("cert", "", "PEM `file` of the certificate chain")
	keyFile := flags.String("key", "", "PEM `file` of the private key")
	clientCA := flags.String("client-ca", "", "PEM `file` of the authority that clients need a certificate of")
	workers := flags.Int("workers", runtime.GOMAXPROCS(0), "so many `goroutines` sign and verify")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 0 || *certFile == "" || *keyFile == "" || *workers < 1 {
		return errors.New("usage: worker-pool -cert FILE -key FILE [-addr HOST:PORT] [-client-ca FILE] [-workers N]")
	}
	certificate, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return err
	}
	config := &baretls.ServerConfig{Certificates: []tls.Certificate{certificate}}
	if *clientCA != "" {
		authority, err := os.ReadFile(*clientCA)
		if err != nil {
			return err
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(authority) {
			return fmt.Errorf("%s has no certificate", *clientCA)
		}
	}
	l, err := newLoop(config, *workers, log.New(stderr, "", 0))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Fprintf(stdout, "listening on %s\n", listener.Addr())
	go l.run()
	defer l.stop()
	return l.accept(listener)
}

// A loop has all connections, and the one goroutine that touches them. What
// happens elsewhere is posted to it: as a function, that it calls.
type loop struct {
	config *baretls.ServerConfig
	logger *log.Logger
	posts  chan func()
	jobs   chan func()   // that workers take
	queue  []func()      // those that wait for a worker: at most one of each connection
	over   chan struct{} // closed by stop
}

func newLoop(config *baretls.ServerConfig, workers int, logger *log.Logger) (*loop, error) {
	// Without this, Sign and Verify would run inside a turn, and nothing else
	// could happen meanwhile.
	config.Ask = baretls.AskSignature | baretls.AskPeerCertificate
	// A config is checked at its first use: now, and not at the first client.
	if _, err := baretls.NewServer(config); err != nil {
		return nil, err
	}
	l := &loop{
		config: config, logger: logger,
		posts: make(chan func()), jobs: make(chan func()), over: make(chan struct{}),
	}
	for range workers {
		go l.work()
	}
	return l, nil
}

func (l *loop) run() {
	for {
		// A channel that is nil is never ready: no job, no worker.
		var jobs chan func()
		var job func()
		if len(l.queue) > 0 {
			jobs, job = l.jobs, l.queue[0]
		}
		select {
		case do := <-l.posts:
			do()
		case jobs <- job:
			l.queue = l.queue[1:]
		case <-l.over:
			return
		}
	}
}

// work is a worker. It may wait as long as it likes.
func (l *loop) work() {
	for {
		select {
		case do := <-l.jobs:
			do()
		case <-l.over:
			return
		}
	}
}

// post lets the loop do something, in its own time.
func (l *loop) post(do func()) {
	select {
	case l.posts <- do:
	case <-l.over:
	}
}

// stop ends the loop and its workers. Connections are not closed.
func (l *loop) stop() { close(l.over) }

// accept hands new connections to the loop until the listener is closed.
func (l *loop) accept(listener net.Listener) error {
	for {
		socket, err := listener.Accept()
		if err != nil {
			return err
		}
		l.post(func() { l.add(socket) })
	}
}

func (l *loop) add(socket net.Conn) {
	conn, err := baretls.NewServer(l.config)
	if err != nil {
		l.logger.Print(err)
		socket.Close()
		return
	}
	p := &peer{loop: l, socket: socket, conn: conn}
	// The library never waits, so it has no timeouts: they are the caller's.
	p.patience = time.AfterFunc(patience, func() {
		l.post(func() { p.drop(errors.New("it takes too long")) })
	})
	p.turns()
}

const (
	patience = 30 * time.Second // for a connection as a whole
	bufSize  = 17 << 10         // enough for any record
)

// A peer is one connection. All of it belongs to the loop.
type peer struct {
	loop     *loop
	socket   net.Conn
	conn     *baretls.ServerConn
	patience *time.Timer

	in   []byte // received and not yet discarded
	out  []byte // encoded and not yet sent
	echo []byte // data to be sent back

	reading, writing bool     // a goroutine does that to the socket
	asked            question // that a worker has, or had, to answer
	peerClosed       bool
	closed           bool  // our close_notify is encoded
	done             bool  // nothing will follow what is in out
	err              error // why, unless both sides have closed
	dropped          bool
}

// turns takes turns until there is nothing to do without somebody else: the
// client, the socket or a worker. Each of them posts turns when it is ready.
func (p *peer) turns() {
	for quiet := p.done; !quiet; {
		status, err := p.conn.ProcessTLSRecords(p.in)
		discard := status.Discard
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			p.out, err = state.AppendTo(p.out)

		case baretls.TransmitTLSData:
			err = state.Done() // it will be sent, below

		case baretls.ReadTraffic:
			for record := range state.Records() {
				p.echo = append(p.echo, record.Payload...)
				discard += record.Discard
			}

		case baretls.SignatureWanted:
			p.ask(state, func() error { return state.Answer(state.Sign()) })
			quiet = true

		case baretls.ClientCertificateReceived:
			p.ask(state, func() error { return state.Answer(state.Verify()) })
			quiet = true

		case baretls.BlockedHandshake:
			p.receive()
			quiet = true

		case baretls.WriteTraffic:
			if len(p.echo) > 0 {
				p.out, err = state.AppendEncrypted(p.out, p.echo)
				p.echo = p.echo[:0]
			}
			if p.peerClosed && !p.closed && err == nil {
				p.closed = true
				p.out, err = state.AppendCloseNotify(p.out)
				break // the next turn is Closed
			}
			p.receive()
			quiet = true

		case baretls.PeerClosed:
			p.peerClosed = true

		case baretls.Closed:
			p.done = true
		}
		p.in = append(p.in[:0], p.in[discard:]...)
		if err != nil { // its alert is in out by now
			p.done, p.err = true, err
		}
		quiet = quiet || p.done
	}
	p.send()
}

// A question is a state that asks.
type question interface {
	baretls.State
	Context() context.Context
}

// ask has a worker answer the question. The state comes again as long as it is
// not answered, but one worker is enough.
func (p *peer) ask(q question, answer func() error) {
	if p.asked == q {
		return
	}
	p.asked = q
	p.loop.queue = append(p.loop.queue, func() {
		if q.Context().Err() != nil {
			return // the connection was dropped meanwhile
		}
		if err := answer(); err == nil {
			p.loop.post(p.turns)
		}
	})
}

// receive has a goroutine read what comes, but nothing before the client has
// taken what it has been sent. This and send stand for what a real loop would
// have the operating system do.
func (p *peer) receive() {
	if p.reading || p.writing || len(p.out) > 0 {
		return
	}
	p.reading = true
	go func() {
		buf := make([]byte, bufSize)
		n, err := p.socket.Read(buf)
		p.loop.post(func() {
			p.reading = false
			p.in = append(p.in, buf[:n]...)
			switch {
			case err == io.EOF:
				p.conn.CloseInput() // an error, unless the client has closed
			case err != nil:
				p.drop(err)
			}
			p.turns()
		})
	}()
}

// send has a goroutine write what is in out, and drops the connection when all
// is said.
func (p *peer) send() {
	switch {
	case p.writing:
	case len(p.out) > 0:
		out := p.out
		p.out, p.writing = nil, true
		go func() {
			_, err := p.socket.Write(out)
			p.loop.post(func() {
				p.writing = false
				if err != nil {
					p.drop(err)
				}
				p.turns()
			})
		}()
	case p.done:
		p.drop(p.err)
	}
}

// drop forgets the connection, in whatever state it is: a question that a worker
// has in hand is withdrawn, and the answer will be ignored.
func (p *peer) drop(err error) {
	if p.dropped {
		return
	}
	p.dropped, p.done, p.out = true, true, nil
	p.patience.Stop()
	p.conn.Abandon()
	p.socket.Close()
	if err != nil {
		p.loop.logger.Printf("%s: %v", p.socket.RemoteAddr(), err)
	}
}
