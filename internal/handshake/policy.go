package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// Policy is what a configuration means, checked once and shared by all its
// connections. Both roles have it.
type Policy struct {
	Suites    []*algo.Suite  // in order of preference, not empty
	Groups    []*algo.Group  // likewise
	Schemes   []*algo.Scheme // likewise; those that signatures of the peer may have
	Protocols []string       // ALPN, in order of preference

	TLS12, TLS13 bool // the versions, at least one
	RequireEMS   bool // refuse TLS 1.2 without extended_main_secret

	Rand   io.Reader
	Now    func() time.Time
	KeyLog func(label string, clientRandom, secret []byte) error // nil: none

	Fragment   int // content bytes per record
	PadBlock   int // power of two; 1: no padding
	MaxMessage int // bytes of a handshake message

	Extract bool // DangerousExtractSecrets is allowed
	Asks    Asks // what to put to the caller

	// RecordSizeLimit is what the peer is asked to keep to (RFC 8449).
	RecordSizeLimit uint16

	schemes wire.Uint16s // Schemes, encoded

	// TestingRewrite, if set, replaces every handshake message that is about
	// to be sent. TestingKeyLimit replaces the suites' limits. TestingNoPools
	// leaves all memory to the collector, and makes all KDFs.
	TestingRewrite  func(t wire.MessageType, message []byte) []byte
	TestingKeyLimit uint64
	TestingNoPools  bool
}

// ClientPolicy is a client's.
type ClientPolicy struct {
	Policy
	Roots *x509.CertPool // nil: the system's
	Judge Judge

	Credentials []*Credential // to choose from when the server asks
	// Pick chooses a credential by the request, instead; it may return nil.
	Pick func(*wire.CertificateRequest) (*Credential, error)

	Sessions      ClientSessions // nil: no resumption
	EarlyData     bool
	TicketRequest [2]uint8 // for a full and for a resumed handshake; zeros: none

	verified chainCache

	// What every hello carries, encoded once.
	versions, suites, groups wire.Uint16s
	protocols                wire.Protocols
}

// Encode prepares what every CertificateRequest of the policy carries.
func (p *ServerPolicy) Encode() { p.encodeSchemes() }

func (p *Policy) encodeSchemes() {
	for _, s := range p.Schemes {
		p.schemes = wire.AppendUint16s(p.schemes, s.ID)
	}
}

// Encode prepares what every ClientHello of the policy carries.
func (p *ClientPolicy) Encode() {
	p.encodeSchemes()
	for _, s := range p.Suites {
		p.suites = wire.AppendUint16s(p.suites, s.ID)
	}
	for _, g := range p.Groups {
		p.groups = wire.AppendUint16s(p.groups, g.ID)
	}
	if p.TLS13 {
		p.versions = wire.AppendUint16s[uint16](p.versions, tls.VersionTLS13)
	}
	if p.TLS12 {
		p.versions = wire.AppendUint16s[uint16](p.versions, tls.VersionTLS12)
	}
	for _, name := range p.Protocols {
		p.protocols = wire.AppendProtocol(p.protocols, name)
	}
}

// ServerPolicy is a server's.
type ServerPolicy struct {
	Policy
	Credentials Credentials
	// Pick chooses a credential by the client's hello; nil and no error fall
	// back to Credentials. It may be nil.
	Pick func(*wire.ClientHello) (*Credential, error)
	// PreferClientChaCha follows a client that puts ChaCha20 first, which
	// says that it has no AES instructions.
	PreferClientChaCha bool
	Tickets            Tickets // nil: no resumption
	TicketCount        int
	TicketLifetime     time.Duration
	Digest             [32]byte // of what a session must have been issued under
	MaxEarlyData       uint32
	Replays            Replays
	HalfRTT            bool

	ClientAuth  tls.ClientAuthType
	ClientCAs   *x509.CertPool
	Authorities wire.Authorities // to name in requests
	Judge       Judge

	// CookieKey authenticates the cookies of stateless retries; nil: none.
	CookieKey []byte
}

// Judge is how a peer's certificates are judged.
type Judge struct {
	Client  bool                      // it is a client's
	Instead func(*Verification) error // of the default verification; or nil
	After   func(*Verification) error // that it, or Instead, has accepted; or nil
}

// Verification is what there is to judge a peer by.
type Verification struct {
	Certificates   []*x509.Certificate // the peer's own first
	ServerName     string              // that a client wants to reach
	OCSPResponse   []byte
	SCTs           [][]byte
	Time           time.Time
	VerifiedChains [][]*x509.Certificate // nil before default verification
}

// logged is a secret under its name in the key log.
type logged struct {
	label  string
	secret []byte
}

// logKeys writes lines with the labels of RFC 9850, Sections 2.1 and 2.2.
func (p *Policy) logKeys(clientRandom []byte, keys ...logged) error {
	if p.KeyLog == nil {
		return nil
	}
	for _, k := range keys {
		if err := p.KeyLog(k.label, clientRandom, k.secret); err != nil {
			return fault.Internal.Because(err)
		}
	}
	return nil
}

func (p *Policy) keyLimit(s *algo.Suite) uint64 {
	if p.TestingKeyLimit != 0 {
		return p.TestingKeyLimit
	}
	return s.Limit
}

// protocol is one of a policy's, by its place among them, from 1 on; 0: none. As
// all of them fit into a hello, there are fewer than 2^15.
type protocol uint16

// protocol returns the application protocol of that name, or 0.
func (p *Policy) protocol(name []byte) protocol {
	for i := range p.Protocols {
		if p.Protocols[i] == string(name) {
			return protocol(i + 1)
		}
	}
	return 0
}

func (p *Policy) protocolName(id protocol) string {
	if id == 0 {
		return ""
	}
	return p.Protocols[id-1]
}

func (p *Policy) suite(id uint16) *algo.Suite {
	for _, s := range p.Suites {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// suiteOf is suite for one version.
func (p *Policy) suiteOf(version, id uint16) *algo.Suite {
	if s := p.suite(id); s != nil && s.Version == version {
		return s
	}
	return nil
}

func (p *Policy) random(b []byte) error {
	if _, err := io.ReadFull(p.Rand, b); err != nil {
		return fault.Internal.Because(err)
	}
	return nil
}
