package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/baretls/baretls"
)

// The contenders' names.
const (
	nameBaretls    = "baretls"
	nameStd        = "crypto/tls"
	nameRustls     = "rustls"
	nameOpenSSL    = "OpenSSL"
	nameOperations = "operations"
	nameAEAD       = "AEAD"
	nameAEADCopy   = "AEAD and copy"
	nameAEADNoType = "AEAD without type"
)

// handshake is one to be measured.
type handshake struct {
	version uint16
	kind    kind
	group   tls.CurveID
	key     keyType
}

// kind says what the sides know of each other.
type kind string

const (
	known   kind = "known"   // full; the client has met the server before
	first   kind = "first"   // full; it has not
	resumed kind = "resumed" // with the ticket of the one before, and a new ticket
	early   kind = "early"   // the same, with 0-RTT data
)

func groupName(group tls.CurveID) string {
	switch group {
	case tls.CurveP256:
		return "P-256"
	default:
		return group.String()
	}
}

// What goes over a resumed connection: a byte of the server's behind its
// ticket, which is what makes a client of crypto/tls read it, and before that
// the client's request where there is early data.
var (
	reply   = []byte{1}
	request = make([]byte, 1024)
)

// configs are those of baretls for a handshake.
func configs(p *pki, h handshake) (*baretls.ClientConfig, *baretls.ServerConfig) {
	groups := []tls.CurveID{h.group}
	if h.version == tls.VersionTLS12 && h.group != tls.CurveP256 {
		groups = append(groups, tls.CurveP256) // that of the certificates
	}
	client := &baretls.ClientConfig{
		RootCAs:      p.roots,
		Groups:       groups,
		CipherSuites: suites[0].of(h.version),
		MinVersion:   h.version,
		MaxVersion:   h.version,
	}
	server := &baretls.ServerConfig{
		Certificates: []tls.Certificate{p.known[h.key]},
		Groups:       groups,
		CipherSuites: suites[0].of(h.version),
		MinVersion:   h.version,
		MaxVersion:   h.version,
	}
	switch h.kind {
	case resumed:
	case early:
		client.EnableEarlyData = true
		server.MaxEarlyData = 1 << 14
		server.SessionStore = baretls.NewSessionCache(0) // needs no ReplayGuard
	default:
		client.SessionTicketsDisabled, server.SessionTicketsDisabled = true, true
	}
	return client, server
}

// stdConfigs are those of crypto/tls for the same.
func stdConfigs(p *pki, h handshake) (client, server *tls.Config) {
	like, _ := configs(p, h)
	client = &tls.Config{
		RootCAs:          p.roots,
		ServerName:       serverName,
		CurvePreferences: like.Groups,
		CipherSuites:     like.CipherSuites, // of TLS 1.2; in TLS 1.3 it prefers this one
		MinVersion:       h.version,
		MaxVersion:       h.version,

		DynamicRecordSizingDisabled: true,
	}
	server = client.Clone()
	server.Certificates = []tls.Certificate{p.known[h.key]}
	if h.kind == resumed || h.kind == early {
		client.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	} else {
		client.SessionTicketsDisabled, server.SessionTicketsDisabled = true, true
	}
	return client, server
}

// work is the kind as rustls' program calls it. What it knows makes no difference
// to a client of rustls.
func work(k kind) string {
	if k == known || k == first {
		return "full"
	}
	return string(k)
}

// handshakes are their scenarios.
type handshakes struct {
	pki    *pki
	rustls *rustls // nil without it
}

func (hs handshakes) scenario(h handshake) scenario {
	labels := []string{groupName(h.group), string(h.key)}
	if h.kind == resumed || h.kind == early {
		labels = labels[:1]
	}
	if h.version == tls.VersionTLS12 && h.kind == resumed {
		labels = []string{"by ticket"}
	}
	return scenario{labels: labels, begin: func() ([]contender, error) {
		var contenders []contender
		ways := []func(handshake) (contender, error){hs.baretls}
		if h.kind != resumed || h.version != tls.VersionTLS12 { // or it has no operations
			ways = append(ways, hs.operations)
			if h.group != tls.CurveP256 { // or they are the same
				ways = append(ways, hs.stdOperations)
			}
		}
		ways = append(ways, hs.std)
		for _, begin := range ways {
			c, err := begin(h)
			if err != nil {
				return nil, err
			}
			contenders = append(contenders, c)
		}
		if hs.rustls != nil {
			contenders = append(contenders, hs.rustls.contender(work(h.kind), h.version, h.key, h.group, suites[0].name, 0))
		}
		return contenders, nil
	}}
}

func (hs handshakes) baretls(h handshake) (contender, error) {
	clientConfig, serverConfig := configs(hs.pki, h)
	p := newPair(clientConfig, serverConfig)
	if err := p.connect(new(clock)); err != nil { // compiles; verifies the chain; brings a ticket
		return contender{}, err
	}
	strangers, err := hs.strangers(h)
	if err != nil {
		return contender{}, err
	}
	servers := make([]*baretls.ServerConfig, len(strangers))
	for i, cert := range strangers {
		_, servers[i] = configs(hs.pki, h)
		servers[i].Certificates = []tls.Certificate{cert}
		if _, err := baretls.NewServer(servers[i]); err != nil {
			return contender{}, err
		}
	}
	return contender{name: nameBaretls, run: func(n int, c *clock) error {
		return meet(n, len(strangers), c, func() error {
			if h.kind != first {
				return nil
			}
			p.clientConfig, _ = configs(hs.pki, h)
			_, err := baretls.NewClient(p.clientConfig, serverName)
			return err
		}, func(stranger int) error {
			if h.kind == first {
				p.serverConfig = servers[stranger]
			}
			return p.exchange(h, c)
		})
	}}, nil
}

// exchange shakes hands and passes the data that belongs to it, and checks that
// it was the handshake that was asked for. The clock is the client's.
func (p *pair) exchange(h handshake, c *clock) error {
	if h.kind == early {
		p.client.early = request
	}
	if err := p.connect(c); err != nil {
		return err
	}
	if h.kind == resumed || h.kind == early {
		c.to(server)
		if err := p.server.send(reply); err != nil {
			return err
		}
		c.to(client)
		if err := p.client.run(); err != nil {
			return err
		}
		if p.client.got != len(reply) {
			return fmt.Errorf("%d bytes came behind the ticket, want %d", p.client.got, len(reply))
		}
	}
	if h.kind == early && (p.server.got != len(request) || p.client.conn.EarlyData() != baretls.EarlyDataAccepted) {
		return fmt.Errorf("early data is %v, and %d bytes have come", p.client.conn.EarlyData(), p.server.got)
	}
	return check(h, p.client.conn.ConnectionState())
}

func (hs handshakes) std(h handshake) (contender, error) {
	clientConfig, serverConfig := stdConfigs(hs.pki, h)
	p := newStdPair(clientConfig, serverConfig)
	exchange := func(c *clock) error { return p.exchange(h, c) }
	switch h.kind {
	case resumed, early:
		if err := p.connect(new(clock), receive(reply), send(reply)); err != nil { // brings a ticket
			return contender{}, err
		}
	default:
		if err := exchange(new(clock)); err != nil { // parses the certificates
			return contender{}, err
		}
	}
	strangers, err := hs.strangers(h)
	if err != nil {
		return contender{}, err
	}
	servers := make([]*tls.Config, len(strangers))
	for i, cert := range strangers {
		_, servers[i] = stdConfigs(hs.pki, h)
		servers[i].Certificates = []tls.Certificate{cert}
	}
	return contender{name: nameStd, close: p.stop, run: func(n int, c *clock) error {
		return meet(n, len(strangers), c, func() error {
			if h.kind == first {
				p.client = nil
				runtime.GC() // crypto/tls forgets parsed certificates that nobody has
			}
			return nil
		}, func(stranger int) error {
			if h.kind == first {
				p.serverConfig = servers[stranger]
			}
			return exchange(c)
		})
	}}, nil
}

func (p *stdPair) exchange(h handshake, c *clock) error {
	clientWork, serverWork := (*tls.Conn).Handshake, (*tls.Conn).Handshake
	switch h.kind {
	case resumed:
		clientWork, serverWork = receive(reply), send(reply)
	case early: // of which it is not capable: the request waits for the handshake
		clientWork, serverWork = both(send(request), receive(reply)), both(receive(request), send(reply))
	}
	if err := p.connect(c, clientWork, serverWork); err != nil {
		return err
	}
	return check(h, p.client.ConnectionState())
}

func send(data []byte) func(*tls.Conn) error {
	return func(conn *tls.Conn) error {
		_, err := conn.Write(data)
		return err
	}
}

func receive(data []byte) func(*tls.Conn) error {
	into := make([]byte, len(data))
	return func(conn *tls.Conn) error {
		_, err := io.ReadFull(conn, into)
		return err
	}
}

func both(a, b func(*tls.Conn) error) func(*tls.Conn) error {
	return func(conn *tls.Conn) error {
		if err := a(conn); err != nil {
			return err
		}
		return b(conn)
	}
}

var errOther = errors.New("not the handshake that was asked for")

// check tells whether a connection is what was to be measured.
func check(h handshake, s tls.ConnectionState) error {
	wantResumed := h.kind == resumed || h.kind == early
	ok := s.HandshakeComplete && s.Version == h.version && s.DidResume == wantResumed &&
		(s.CurveID == h.group || s.DidResume && h.version == tls.VersionTLS12) &&
		(s.CipherSuite == suites[0].id || h.version == tls.VersionTLS12)
	if !ok {
		return fmt.Errorf("%w: version %s, resumed %t, group %v, suite %s", errOther,
			tls.VersionName(s.Version), s.DidResume, s.CurveID, tls.CipherSuiteName(s.CipherSuite))
	}
	return nil
}

// manyStrangers is how many servers a client meets for the first time before
// all of them are strangers again.
const manyStrangers = 64

func (hs handshakes) strangers(h handshake) ([]tls.Certificate, error) {
	if h.kind != first {
		return nil, nil
	}
	chains := make([]tls.Certificate, manyStrangers)
	for i := range chains {
		var err error
		if chains[i], err = hs.pki.issue(h.key); err != nil {
			return nil, err
		}
	}
	return chains, nil
}

// meet shakes hands n times. Where there are strangers, the client forgets them
// all, while the clock stands, before it meets the first of them again.
func meet(n, strangers int, c *clock, forget func() error, shakeHands func(stranger int) error) error {
	if strangers == 0 {
		strangers = n
	}
	for n > 0 {
		if err := forget(); err != nil {
			return err
		}
		count := min(n, strangers)
		c.start(client)
		for stranger := range count {
			if err := shakeHands(stranger); err != nil {
				return err
			}
		}
		c.stop()
		n -= count
	}
	return nil
}
