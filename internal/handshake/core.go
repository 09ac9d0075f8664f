package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// Core is what a connection keeps from its first byte to its last, in either
// role. What only the handshake needs hangs on exchange and is dropped with it.
type Core struct {
	In    record.Reader
	Out   record.Writer
	Facts Facts

	// TakesWarnings: alerts may be warnings, in TLS 1.2, and for a client before
	// the version is known if it could be that: OpenSSL's unrecognized_name.
	TakesWarnings bool

	EarlyRead bool // a server's next records are early data
	MayRead   bool // K_recv is the application's: records carry data
	MayWrite  bool // K_send is, or will be once the queue is sealed
	Complete  bool // both Finished messages are behind us

	WriteClosed bool // our close_notify is out: nothing may follow it

	refused bool // a renegotiation, once
	client  bool // which role this is, in TLS 1.2
	ems     bool // extended_main_secret is agreed on
	state   state
	traffic
	policy *Policy
	origin int64 // Unix time in ms of the last handshake with certificates

	writeEpoch uint64 // KeyUpdates sent
	kept
	*exchange
}

// Facts is what a connection knows about itself and its peer.
type Facts struct {
	Version    uint16
	Suite      uint16
	Group      tls.CurveID
	PeerScheme tls.SignatureScheme
	Kind       Kind
	EarlyData  EarlyData
	protocol   protocol
	Tickets    uint32 // that a client has received
	ServerName string

	*Peer // never nil
}

// Peer is what is known of a peer by its certificates. It is not changed once it
// is made: connections to one server share it.
type Peer struct {
	PeerCertificates []*x509.Certificate
	VerifiedChains   [][]*x509.Certificate
	OCSPResponse     []byte
	SCTs             [][]byte
	appData          []byte // that a server put into the session that is resumed
}

// nobody is a peer without certificates.
var nobody Peer

// like returns known if that says the same as p.
func (p Peer) like(known *Peer) *Peer {
	if known != nil && identical(p.PeerCertificates, known.PeerCertificates) && identical(p.VerifiedChains, known.VerifiedChains) &&
		bytes.Equal(p.OCSPResponse, known.OCSPResponse) && slices.EqualFunc(p.SCTs, known.SCTs, bytes.Equal) {
		return known
	}
	another := p // so that nothing is allocated above
	return &another
}

// identical reports whether a and b are the same memory.
func identical[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Kind tells how a handshake went.
type Kind uint8

const (
	KindUnknown Kind = iota
	KindFull
	KindFullWithRetry
	KindResumed
	KindResumedWithRetry
)

// resumed is the kind of a handshake that turns out to be a resumption.
func (k Kind) resumed() Kind {
	if k == KindFullWithRetry {
		return KindResumedWithRetry
	}
	return KindResumed
}

// exchange is the part of a handshake that both roles have.
type exchange struct {
	kdf          *keyschedule.KDF
	transcript   keyschedule.Transcript
	clientRandom [32]byte

	early     keyschedule.EarlySecret // of the PSK, if there is one
	handshake keyschedule.HandshakeSecret
	main      keyschedule.MainSecret
	clientHS  keyschedule.TrafficSecret // client_handshake_traffic_secret
	serverHS  keyschedule.TrafficSecret // server_handshake_traffic_secret

	earlyExporter keyschedule.ExporterSecret
	earlySuite    *algo.Suite

	zeroRTT
	takesCCS, takesClearAlerts bool // see the methods
	sentCCS                    bool
	fragment                   uint16 // the peer's limit on our records; 0: none

	question Question // that waits for its answer; nil: none
	on       kind     // of message that is or was handled last
	handling bool     // it is
	shown    bool     // the caller has seen a question

	room [256]byte // for what is made to be copied or signed at once
}

func (c *Core) init(p *Policy) {
	c.exchange = exchanges.take()
	c.Facts.Peer = &nobody
	c.adopt(p)
}

func (c *Core) adopt(p *Policy) {
	c.policy = p
	c.Out.Init(p.Fragment, p.PadBlock)
}

// NextMessage is the next handshake message of the records that In was given.
func (c *Core) NextMessage() (message []byte, ok bool, err error) {
	return c.In.NextMessage(c.policy.MaxMessage)
}

// ALPN is the application protocol, or empty.
func (c *Core) ALPN() string { return c.policy.protocolName(c.Facts.protocol) }

// start fixes the cipher suite, and with it the hash of everything.
func (c *Core) start(suite *algo.Suite) {
	c.Facts.Suite = suite.ID
	c.kdf = c.policy.takeKDF(suite)
	c.transcript.Start(c.kdf)
}

// TakesCCS reports whether a change_cipher_spec may come: the first ClientHello is
// behind us, and the handshake is not over (Section 5).
func (c *Core) TakesCCS() bool { return c.exchange != nil && c.takesCCS }

// TakesClearAlerts reports whether an alert in the clear may come where keys are
// expected: the client may have failed before it had them (Appendix A.1).
func (c *Core) TakesClearAlerts() bool { return c.exchange != nil && c.takesClearAlerts }

// suite is the cipher suite, or nil before start.
func (c *Core) suite() *algo.Suite { return algo.SuiteByID(c.Facts.Suite) }

// send queues the handshake message that b has from start on, and adds it to
// the transcript. b is the Buffer of Out with the message appended.
func (c *Core) send(b []byte, start int) {
	if door := c.policy.TestingRewrite; door != nil {
		b = append(b[:start], door(wire.MessageType(b[start]), b[start:])...)
	}
	if c.transcript.Started() {
		c.transcript.Add(b[start:])
	}
	c.Out.Enqueue(record.Handshake, b)
}

// sendCCS queues the change_cipher_spec that makes the handshake look like TLS
// 1.2 to middleboxes, once (RFC 9846, Appendix E.4).
func (c *Core) sendCCS() {
	if !c.sentCCS {
		c.Out.Enqueue(record.ChangeCipherSpec, append(c.Out.Buffer(), 1))
		c.sentCCS = true
	}
}

// keys are the record keys that secret makes (Section 7.3).
func (c *Core) keys(suite *algo.Suite, kdf *keyschedule.KDF, secret *keyschedule.TrafficSecret) (k record.Keys, err error) {
	k.Limit = c.policy.keyLimit(suite)
	if c.exchange != nil { // afterwards Out keeps to it
		k.Fragment = int(c.fragment)
	}
	secret.IV(kdf, k.IV[:])
	key := secret.LendKey(kdf, suite.KeyLen)
	defer clear(key)
	if k.AEAD, err = suite.NewAEAD(key); err != nil {
		return k, fault.Internal.Because(err)
	}
	return k, nil
}

func (c *Core) setReadKeys(secret *keyschedule.TrafficSecret) error {
	k, err := c.keys(c.suite(), c.kdf, secret)
	if err != nil {
		return err
	}
	return c.In.SetKeys(&k)
}

func (c *Core) enqueueWriteKeys(secret *keyschedule.TrafficSecret) error {
	k, err := c.keys(c.suite(), c.kdf, secret)
	if err != nil {
		return err
	}
	c.Out.EnqueueKeys(&k)
	return nil
}

// deriveHandshake goes from the key exchange's result to the handshake traffic
// secrets: the transcript reaches up to the ServerHello (Section 7.1).
func (c *Core) deriveHandshake(shared []byte) error {
	c.handshake = c.early.Handshake(c.kdf, shared)
	clear(shared)
	hash := c.transcript.Sum()
	c.clientHS = c.handshake.ClientTraffic(c.kdf, hash)
	c.serverHS = c.handshake.ServerTraffic(c.kdf, hash)
	c.main = c.handshake.Main(c.kdf)
	return c.policy.logKeys(c.clientRandom[:],
		logged{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", c.clientHS.Bytes()},
		logged{"SERVER_HANDSHAKE_TRAFFIC_SECRET", c.serverHS.Bytes()})
}

// deriveApplication makes the application traffic secrets: the transcript
// reaches up to the server's Finished.
func (c *Core) deriveApplication(clientApp, serverApp *keyschedule.TrafficSecret) error {
	hash := c.transcript.Sum()
	*clientApp = c.main.ClientTraffic(c.kdf, hash)
	*serverApp = c.main.ServerTraffic(c.kdf, hash)
	exporter := c.main.Exporter(c.kdf, hash)
	defer exporter.Clear()
	c.keepSecret(exporterSecret, exporter.Bytes())
	return c.policy.logKeys(c.clientRandom[:],
		logged{"CLIENT_TRAFFIC_SECRET_0", clientApp.Bytes()},
		logged{"SERVER_TRAFFIC_SECRET_0", serverApp.Bytes()},
		logged{"EXPORTER_SECRET", exporter.Bytes()})
}

// drop forgets what only the handshake needed, clearing its secrets.
func (c *Core) drop() {
	x := c.exchange
	if x == nil {
		return
	}
	if x.question != nil {
		x.question.settled().withdraw()
	}
	if x.kdf != nil {
		c.policy.giveKDF(x.kdf)
	}
	seen := c.seen()
	c.exchange = nil
	exchanges.give(x, seen)
}

// Forget is Machine.Forget for what both roles have.
func (c *Core) Forget() {
	c.drop()
	c.In.Drop()
	c.ForgetTraffic()
	clear(c.keptSecret(exporterSecret))
	clear(c.keptSecret(resumptionSecret))
	c.forget12()
}

// ForgetTraffic clears what makes keys: a connection that is closed needs no
// more of them.
func (c *Core) ForgetTraffic() {
	clear(c.keptSecret(readSecret))
	if !c.split {
		c.ForgetWriteTraffic()
	}
}

// ExportEarly computes keying material from the early_exporter_secret, which
// there is as long as the handshake lasts, and if early data was not refused.
func (c *Core) ExportEarly(label string, context, out []byte) (ok bool, err error) {
	if c.exchange == nil || !c.earlyExporter.Set() ||
		c.Facts.EarlyData != EarlyDataOffered && c.Facts.EarlyData != EarlyDataAccepted {
		return false, nil
	}
	kdf := c.policy.takeKDF(c.earlySuite)
	defer c.policy.giveKDF(kdf)
	return true, c.earlyExporter.Export(kdf, label, context, out)
}

// Export computes keying material (RFC 9846, Section 7.5).
func (c *Core) Export(label string, context, out []byte) error {
	kdf := c.policy.takeKDF(c.suite())
	defer c.policy.giveKDF(kdf)
	if c.secrets12() != nil {
		return c.export12(kdf, label, context, out)
	}
	var exporter keyschedule.ExporterSecret
	exporter.Load(c.keptSecret(exporterSecret))
	defer exporter.Clear()
	return exporter.Export(kdf, label, context, out)
}

// ErrExportWithoutEMS: see export12.
var ErrExportWithoutEMS = errors.New("no keying material without extended_main_secret")
