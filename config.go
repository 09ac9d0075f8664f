package baretls

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/handshake"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// ClientConfig is what a client offers and whom it trusts. The zero value is a
// good client: it trusts the system's roots. A config is checked at its first
// use; it must not be changed after that, and can be shared by any number of
// connections from any goroutine.
//
// An error of one of its functions ends the handshake. If it is, or wraps, a
// tls.AlertError, the server gets that alert. One that ends nothing, as
// close_notify, does not count, and neither does the alert in an *Error, which is
// another connection's.
type ClientConfig struct {
	// RootCAs are the authorities that the server's chain has to lead to; nil
	// stands for the system's. Verification is crypto/x509's.
	RootCAs *x509.CertPool
	// CustomVerify replaces the default verification, the check of the name
	// included, if it is set. An error ends the handshake with the alert
	// bad_certificate, or the one that it chooses. It must not block. One that
	// accepts everybody protects from nobody who is on the way (RFC 9846,
	// Appendix C.5).
	CustomVerify func(*PeerVerification) error
	// VerifyPeer runs, if it is set, after the default verification or
	// CustomVerify has accepted the server, and may refuse it all the same, in
	// the same way. Both also run when a session is about to be offered: if they
	// refuse it is not, and the handshake is full.
	VerifyPeer func(*PeerVerification) error

	// Certificates to choose from when the server asks for one: the first that
	// one of the authorities it names has issued, if it names any, and whose
	// key fits; rather one whose whole chain is signed by schemes that the
	// server knows. With none, the server is told so, and decides.
	Certificates []tls.Certificate
	// GetClientCertificate chooses by the request instead. It may return nil
	// for none; an error ends the handshake with the alert internal_error, or
	// the one that it chooses. It must not block.
	GetClientCertificate func(*CertificateRequest) (*tls.Certificate, error)

	// Sessions is where tickets are kept to resume connections; nil stands for
	// a NewClientSessionCache of this config's own.
	Sessions ClientSessionStore
	// SessionScope lets configs that share Sessions resume one another's
	// connections: those with the same scope, which must trust the same
	// servers. Empty, and a session is of use to this config alone.
	SessionScope string
	// SessionTicketsDisabled turns resumption off.
	SessionTicketsDisabled bool
	// TicketRequest asks the server for so many tickets after a full handshake
	// and after a resumed one (RFC 9149). Zeros ask for nothing.
	TicketRequest TicketRequest
	// EnableEarlyData offers 0-RTT data where a session allows it: see
	// MayEncryptEarlyData. It is off unless asked for (RFC 9846, Appendix F.5).
	EnableEarlyData bool

	// NextProtos are the application protocols offered by ALPN (RFC 7301), in
	// order of preference. A server may ignore them: see ALPNProtocol.
	NextProtos []string
	// MinVersion and MaxVersion are tls.VersionTLS12 or tls.VersionTLS13; 0
	// stands for the one and the other.
	MinVersion, MaxVersion uint16
	// AllowNoExtendedMainSecret accepts servers of TLS 1.2 that do not know
	// extended_main_secret (RFC 7627), without which one connection can pass
	// for another.
	AllowNoExtendedMainSecret bool
	// CipherSuites of both versions in order of preference; nil stands for all
	// that are supported: TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384 and
	// TLS_CHACHA20_POLY1305_SHA256, and for TLS 1.2 the same AEADs with ECDHE
	// and ECDSA or RSA. A version without suites is not used.
	CipherSuites []uint16
	// Groups for the key exchange in order of preference; nil stands for
	// X25519MLKEM768, X25519, P-256, P-384, SecP256r1MLKEM768,
	// SecP384r1MLKEM1024 and P-521. The client guesses that the server takes
	// the first, or its classical half; others cost a round trip.
	Groups []tls.CurveID
	// SignatureSchemes that the server's signatures may have, in order of
	// preference; nil stands for all that are supported.
	SignatureSchemes []tls.SignatureScheme

	// KeyLogWriter is written the secrets of each connection to, in the format
	// of SSLKEYLOGFILE (RFC 9850, Section 2), if it is set. That gives up all
	// secrecy: it is for debugging only. Writes are serialized.
	KeyLogWriter io.Writer
	// Time is the clock; nil stands for time.Now.
	Time func() time.Time
	// Rand is the source of randoms and of key shares; nil stands for
	// crypto/rand, and all else is for simulations (RFC 9846, Appendix C.1).
	// Encapsulation of ML-KEM and signatures take their randomness from the
	// system in any case. It must be safe for concurrent use if the config is
	// shared.
	Rand io.Reader

	// MaxFragmentSize is how many bytes of content a record gets at most, 64
	// to 16384; 0 stands for 16384. What encryption adds comes on top: see
	// EncryptedLen of WriteTraffic.
	MaxFragmentSize int
	// RecordPadding pads the content of protected records to a multiple of so
	// many bytes, a power of two that divides the fragment size (RFC 9846,
	// Section 5.4); 0 and 1 pad nothing.
	RecordPadding int
	// MaxHandshakeMessageSize is how large a handshake message of the peer may
	// be, 4096 to 16777215 bytes; 0 stands for 65536. A chain of certificates
	// is one message, and has 100 of them at most.
	MaxHandshakeMessageSize int
	// RecordSizeLimit is how large the peer's records may be (RFC 8449): 64 to
	// 16385 bytes of content with its type and padding; 0 stands for 16385. It
	// holds if the peer knows the extension. The peer's own limit is heeded
	// together with MaxFragmentSize.
	RecordSizeLimit int

	// EnableSecretExtraction allows DangerousExtractSecrets.
	EnableSecretExtraction bool

	// Ask makes states of what the handshake may have to wait for:
	// AskPeerCertificate, AskCertificate and AskSignature.
	Ask Ask

	compiled compiled[handshake.ClientPolicy]
}

// ServerConfig is what a server answers with. It needs certificates, or a
// function that finds them. A config is checked at its first use; it must not
// be changed after that, and can be shared by any number of connections from
// any goroutine.
//
// An error of one of its functions ends the handshake, with an alert that it may
// choose, as for ClientConfig.
type ServerConfig struct {
	// Certificates to choose from by the server name that the client asks for,
	// and by the signature schemes it has; rather one whose whole chain is
	// signed by these. For a name that none has, and for a client that gives
	// none, the first that it can verify is taken. OCSP staples and SCTs are
	// sent to clients that ask.
	Certificates []tls.Certificate
	// GetCertificate chooses by the ClientHello, before Certificates and
	// instead of them unless it returns nil. An error ends the handshake with
	// the alert handshake_failure, or the one that it chooses. It must not block.
	GetCertificate func(*ClientHello) (*tls.Certificate, error)

	// NextProtos are the application protocols in order of preference (ALPN,
	// RFC 7301). A client that offers only others is refused with the alert
	// no_application_protocol; one that offers none is not.
	NextProtos []string
	// MinVersion and MaxVersion: see ClientConfig.
	MinVersion, MaxVersion uint16
	// AllowNoExtendedMainSecret accepts clients of TLS 1.2 that do not know
	// extended_main_secret: see ClientConfig.
	AllowNoExtendedMainSecret bool
	// CipherSuites of both versions in order of preference; nil stands for all
	// that are supported, and for following clients that prefer ChaCha20 because
	// they have no AES instructions.
	CipherSuites []uint16
	// Groups for the key exchange in order of preference; nil stands for those
	// of ClientConfig. A group that the client has sent a share of goes before
	// one that takes a HelloRetryRequest, unless only the latter is post-quantum.
	Groups []tls.CurveID

	// ClientAuth says whether clients are asked for a certificate, and what
	// becomes of those that have none or a bad one. Requests name ClientCAs,
	// unless that takes more than 32 KiB.
	ClientAuth tls.ClientAuthType
	// ClientCAs are the authorities that a client's chain has to lead to; nil
	// stands for the system's, which is hardly ever right.
	ClientCAs *x509.CertPool
	// CustomVerify and VerifyPeer: see ClientConfig. They are for clients that
	// present a certificate, and apply to resumed connections anew: a client that
	// is refused then, with whatever alert, gets a full handshake.
	CustomVerify func(*PeerVerification) error
	VerifyPeer   func(*PeerVerification) error
	// SignatureSchemes that the client's signatures may have, in order of
	// preference; nil stands for all that are supported.
	SignatureSchemes []tls.SignatureScheme

	// TicketKeys encrypt session tickets; nil stands for a ring of this
	// config's own. They may be shared by configs and processes: a ticket is
	// only good where ClientAuth, ClientCAs, NextProtos, SessionContext and
	// the server name are what they were.
	TicketKeys *TicketKeys
	// SessionStore keeps sessions in the server instead.
	SessionStore SessionStore
	// SessionContext keeps sessions of different kinds apart that could
	// otherwise be resumed by one another.
	SessionContext string
	// SessionTicketsDisabled turns resumption off.
	SessionTicketsDisabled bool
	// TicketCount is how many tickets a client is sent at most, 1 to 16; 0
	// stands for 2. After a resumption it is sent one, unless it asks for more
	// (RFC 9149). In TLS 1.2 there is one.
	TicketCount int
	// TicketLifetime is how long a ticket is good for, at least a second and
	// at most 7 days; 0 stands for a day.
	TicketLifetime time.Duration

	// MaxEarlyData is how many bytes of 0-RTT data a client may send; 0 turns
	// it off. See ReadEarlyData for what that data is worth.
	MaxEarlyData uint32
	// ReplayGuard recognizes replays of 0-RTT data; nil stands for a
	// NewReplayGuard of this config's own. It is not asked about sessions of a
	// SessionStore, which can be removed only once.
	ReplayGuard ReplayGuard
	// SendHalfRTTData allows writing to clients that have not yet finished the
	// handshake, and may not be there at all; but never to one that is asked
	// for a certificate. WriteTraffic then comes while IsHandshaking.
	SendHalfRTTData bool

	// RetryCookieKey makes the server stateless up to the second ClientHello:
	// each client of TLS 1.3 is first answered by a HelloRetryRequest with a
	// cookie, and its second hello is accepted by any connection with the same
	// key, this one or a new one, within 30 seconds. A cookie shows that its
	// bytes were received; to bind it to an address, use a key for each. It
	// costs a round trip. GnuTLS clients refuse a retry that has a cookie and
	// asks for no other group. 32 bytes or more; nil turns it off.
	RetryCookieKey []byte

	// KeyLogWriter, Time and Rand: see ClientConfig.
	KeyLogWriter io.Writer
	Time         func() time.Time
	Rand         io.Reader

	// MaxFragmentSize, RecordPadding, MaxHandshakeMessageSize, RecordSizeLimit
	// and EnableSecretExtraction: see ClientConfig.
	MaxFragmentSize         int
	RecordPadding           int
	MaxHandshakeMessageSize int
	RecordSizeLimit         int
	EnableSecretExtraction  bool

	// Ask makes states of what the handshake may have to wait for:
	// AskClientHello, AskSession, AskEarlyData, AskSignature and
	// AskPeerCertificate.
	Ask Ask

	compiled compiled[handshake.ServerPolicy]
}

// Format keeps keys out of what %v and its kin print, those of Certificates
// included.
func (c *ClientConfig) Format(s fmt.State, verb rune) { fmt.Fprint(s, "ClientConfig(secret)") }

// Format keeps keys out of what %v and its kin print, those of Certificates and
// RetryCookieKey included.
func (c *ServerConfig) Format(s fmt.State, verb rune) { fmt.Fprint(s, "ServerConfig(secret)") }

// PeerVerification is what a peer can be judged by. Connections share what the
// slices lead to, so that must not be modified.
type PeerVerification struct {
	// Certificates that the peer sent, its own first.
	Certificates []*x509.Certificate
	// ServerName is the name given to NewClient.
	ServerName string
	// OCSPResponse and SignedCertificateTimestamps came with the certificate.
	OCSPResponse                []byte
	SignedCertificateTimestamps [][]byte
	// Time is the time to judge by.
	Time time.Time
	// VerifiedChains are those that the default verification found; a
	// CustomVerify may set them.
	VerifiedChains [][]*x509.Certificate
}

// TicketRequest is how many tickets a client asks for.
type TicketRequest struct {
	Full    uint8 // after a handshake with certificates
	Resumed uint8 // after a resumption
}

// CertificateRequest is what a server wants a client's certificate to be.
type CertificateRequest struct {
	SignatureSchemes []tls.SignatureScheme
	AcceptableCAs    [][]byte // DER-encoded distinguished names; none: any
}

// ClientHello is what a client offers: what a certificate is chosen by.
type ClientHello struct {
	ServerName       string // as it was sent, or empty
	ALPNProtocols    []string
	Versions         []uint16
	CipherSuites     []uint16
	Groups           []tls.CurveID
	SignatureSchemes []tls.SignatureScheme
	Extensions       []uint16 // their types, in the order in which they came
}

// compiled is a policy that is made at the first use of a config.
type compiled[P any] struct {
	once   sync.Once
	owner  *compiled[P]
	policy *P
	err    error
}

// get makes the policy, or returns it. A config that was copied after its first
// use would go on with the policy of the original, whatever was changed in it.
func (c *compiled[P]) get(make func() (*P, error)) (*P, error) {
	c.once.Do(func() {
		c.owner = c
		c.policy, c.err = make()
	})
	if c.owner != c {
		return nil, errConfigCopied
	}
	return c.policy, c.err
}

var errConfigCopied = &ConfigError{"config", errors.New("was copied after its first use")}

func (c *ClientConfig) compile() (*handshake.ClientPolicy, error) {
	if c == nil {
		return nil, &ConfigError{"ClientConfig", errors.New("is nil")}
	}
	return c.compiled.get(func() (*handshake.ClientPolicy, error) {
		p := &handshake.ClientPolicy{
			Roots: c.RootCAs,
			Judge: handshake.Judge{Client: true, Instead: judge(c.CustomVerify), After: judge(c.VerifyPeer)},
		}
		var err error
		if p.Policy, err = (settings{
			c.NextProtos, c.CipherSuites, c.Groups, c.SignatureSchemes, c.KeyLogWriter,
			c.Time, c.Rand, c.MaxFragmentSize, c.RecordPadding, c.MaxHandshakeMessageSize,
			c.RecordSizeLimit, c.EnableSecretExtraction,
			c.MinVersion, c.MaxVersion, !c.AllowNoExtendedMainSecret,
		}).policy(); err != nil {
			return nil, err
		}
		if p.Asks, err = c.Ask.compile(askOfClients); err != nil {
			return nil, err
		}
		if p.Credentials, err = credentials(c.Certificates, p.Asks); err != nil {
			return nil, err
		}
		if get := c.GetClientCertificate; get != nil {
			p.Pick = func(r *wire.CertificateRequest) (*handshake.Credential, error) {
				cert, err := get(viewRequest(r))
				return credential(cert, err, p.Asks)
			}
		}
		if !c.SessionTicketsDisabled {
			store := c.Sessions
			if store == nil {
				store = NewClientSessionCache(0)
			}
			p.Sessions = clientSessions{store, c.sessionScope()}
			p.EarlyData = c.EnableEarlyData
			p.TicketRequest = [2]uint8{c.TicketRequest.Full, c.TicketRequest.Resumed}
		}
		p.Encode()
		return p, nil
	})
}

func (c *ServerConfig) compile() (*handshake.ServerPolicy, error) {
	if c == nil {
		return nil, &ConfigError{"ServerConfig", errors.New("is nil")}
	}
	return c.compiled.get(func() (*handshake.ServerPolicy, error) {
		p := &handshake.ServerPolicy{
			PreferClientChaCha: c.CipherSuites == nil,
			CookieKey:          slices.Clone(c.RetryCookieKey),
			HalfRTT:            c.SendHalfRTTData,
		}
		asks, err := c.Ask.compile(askOfServers)
		if err != nil {
			return nil, err
		}
		own, err := credentials(c.Certificates, asks)
		if err != nil {
			return nil, err
		}
		for _, cred := range own {
			p.Credentials.Add(cred)
		}
		if get := c.GetCertificate; get != nil {
			p.Pick = func(h *wire.ClientHello) (*handshake.Credential, error) {
				cert, err := get(viewHello(h))
				return credential(cert, err, asks)
			}
		} else if p.Credentials.Len() == 0 && c.Ask&AskClientHello == 0 {
			return nil, &ConfigError{"Certificates", errors.New("a server needs a certificate or GetCertificate")}
		}
		if n := len(c.RetryCookieKey); c.RetryCookieKey != nil && n < 32 {
			return nil, &ConfigError{"RetryCookieKey", fmt.Errorf("%d bytes are less than 32", n)}
		}
		if p.Policy, err = (settings{
			c.NextProtos, c.CipherSuites, c.Groups, c.SignatureSchemes, c.KeyLogWriter,
			c.Time, c.Rand, c.MaxFragmentSize, c.RecordPadding, c.MaxHandshakeMessageSize,
			c.RecordSizeLimit, c.EnableSecretExtraction,
			c.MinVersion, c.MaxVersion, !c.AllowNoExtendedMainSecret,
		}).policy(); err != nil {
			return nil, err
		}
		p.Asks = asks
		if err := c.clientAuth(p); err != nil {
			return nil, err
		}
		if err := c.resumption(p); err != nil {
			return nil, err
		}
		p.Encode()
		return p, nil
	})
}

// clientAuth compiles what is wanted of clients.
func (c *ServerConfig) clientAuth(p *handshake.ServerPolicy) error {
	if c.ClientAuth < tls.NoClientCert || c.ClientAuth > tls.RequireAndVerifyClientCert {
		return &ConfigError{"ClientAuth", fmt.Errorf("%d is none of crypto/tls's values", int(c.ClientAuth))}
	}
	p.ClientAuth, p.ClientCAs = c.ClientAuth, c.ClientCAs
	p.Judge = handshake.Judge{Instead: judge(c.CustomVerify), After: judge(c.VerifyPeer)}
	if c.ClientCAs == nil || c.ClientAuth == tls.NoClientCert {
		return nil
	}
	//lint:ignore SA1019 a pool of the system's, for which it is deprecated, has no names worth sending
	for _, subject := range c.ClientCAs.Subjects() {
		p.Authorities = wire.AppendAuthority(p.Authorities, subject)
	}
	if len(p.Authorities) > 1<<15 {
		p.Authorities = nil // too many to be of help
	}
	return nil
}

// resumption compiles how sessions are kept, and the digest that ties them to
// what the config demands: no other may accept them (CVE-2025-68121).
func (c *ServerConfig) resumption(p *handshake.ServerPolicy) error {
	if c.Ask&AskSession != 0 && c.SessionStore == nil {
		return &ConfigError{"Ask", errors.New("AskSession is about sessions of a SessionStore, and there is none")}
	}
	if c.SessionTicketsDisabled {
		return nil
	}
	var err error
	if p.TicketCount, err = inRange("TicketCount", c.TicketCount, 2, 1, 16); err != nil {
		return err
	}
	p.TicketLifetime = c.TicketLifetime
	if p.TicketLifetime == 0 {
		p.TicketLifetime = 24 * time.Hour
	}
	if p.TicketLifetime < time.Second || p.TicketLifetime > handshake.MaxLifetime {
		return &ConfigError{"TicketLifetime", fmt.Errorf("%v is not between 1s and %v", c.TicketLifetime, handshake.MaxLifetime)}
	}
	switch {
	case c.SessionStore != nil:
		p.Tickets = statefulTickets{c.SessionStore}
	default:
		keys := c.TicketKeys
		if keys == nil {
			if keys, err = NewTicketKeys(0); err != nil {
				return err
			}
		}
		p.Tickets = statelessTickets{keys, p.Now}
	}
	p.MaxEarlyData = c.MaxEarlyData
	if p.MaxEarlyData > 0 {
		if p.Replays = c.ReplayGuard; p.Replays == nil {
			p.Replays = newReplayGuard(0, p.Now) // by the clock that freshness is judged by
		}
	}
	d := newDigest("server policy")
	d = d.add([]byte{byte(c.ClientAuth)})
	d = d.add(p.Authorities)
	d = d.add([]byte(c.SessionContext))
	for _, name := range p.Protocols {
		d = d.add([]byte(name))
	}
	p.Digest = d.sum()
	return nil
}

// sessionScope is what all the config's sessions have in common.
func (c *ClientConfig) sessionScope() []byte {
	d := newDigest("client scope")
	if c.SessionScope != "" {
		d = d.add([]byte("shared"))
		d = d.add([]byte(c.SessionScope))
	} else {
		var own [32]byte
		rand.Read(own[:])
		d = d.add([]byte("own"))
		d = d.add(own[:])
	}
	for _, name := range c.NextProtos {
		d = d.add([]byte(name))
	}
	d = d.add(nil)
	for _, cert := range c.Certificates {
		d = d.add(cert.Certificate[0])
	}
	scope := d.sum()
	return scope[:]
}

// digest hashes fields with their lengths.
type digest []byte

func newDigest(purpose string) digest { return digest(nil).add([]byte("baretls " + purpose)) }

func (d digest) add(field []byte) digest {
	return append(binary.BigEndian.AppendUint32(d, uint32(len(field))), field...)
}

func (d digest) sum() [32]byte { return sha256.Sum256(d) }

// credentials checks a list of certificates.
func credentials(certs []tls.Certificate, asks handshake.Asks) ([]*handshake.Credential, error) {
	var list []*handshake.Credential
	for i := range certs {
		c, err := handshake.NewCredential(&certs[i], asks&handshake.AskSignature != 0)
		if err != nil {
			return nil, &ConfigError{fmt.Sprintf("Certificates[%d]", i), err}
		}
		c.ReadSignatures()
		list = append(list, c)
	}
	return list, nil
}

// credential checks what a callback has chosen, which may be nothing.
func credential(cert *tls.Certificate, err error, asks handshake.Asks) (*handshake.Credential, error) {
	if cert == nil || err != nil {
		return nil, err
	}
	return handshake.NewCredential(cert, asks&handshake.AskSignature != 0)
}

// settings are the fields that both configs have.
type settings struct {
	protocols  []string
	suites     []uint16
	groups     []tls.CurveID
	schemes    []tls.SignatureScheme
	keyLog     io.Writer
	time       func() time.Time
	rand       io.Reader
	fragment   int
	padding    int
	maxMessage int
	sizeLimit  int
	extract    bool
	minVersion uint16
	maxVersion uint16
	requireEMS bool
}

func (s settings) policy() (p handshake.Policy, err error) {
	if p.Protocols, err = checkProtocols(s.protocols); err != nil {
		return p, err
	}
	if p.Suites, err = lookUp("CipherSuites", s.suites, algo.DefaultSuites(), algo.SuiteByID); err != nil {
		return p, err
	}
	if p.Groups, err = lookUp("Groups", s.groups, algo.DefaultGroups(), algo.GroupByID); err != nil {
		return p, err
	}
	if p.Schemes, err = lookUp("SignatureSchemes", s.schemes, algo.DefaultSchemes(), algo.SchemeByID); err != nil {
		return p, err
	}
	if err := s.versions(&p); err != nil {
		return p, err
	}
	if p.TLS13 && !slices.ContainsFunc(p.Schemes, (*algo.Scheme).InHandshake13) {
		return p, &ConfigError{"SignatureSchemes", errors.New("none of them can sign a TLS 1.3 handshake")}
	}
	if p.Fragment, err = inRange("MaxFragmentSize", s.fragment, record.MaxPlaintext, record.MinFragment, record.MaxPlaintext); err != nil {
		return p, err
	}
	if p.PadBlock, err = inRange("RecordPadding", s.padding, 1, 1, p.Fragment); err != nil {
		return p, err
	}
	if p.PadBlock&(p.PadBlock-1) != 0 || p.Fragment%p.PadBlock != 0 {
		return p, &ConfigError{"RecordPadding", fmt.Errorf("%d is not a power of two that divides the fragment size %d", p.PadBlock, p.Fragment)}
	}
	if p.MaxMessage, err = inRange("MaxHandshakeMessageSize", s.maxMessage, 1<<16, 4096, 1<<24-1); err != nil {
		return p, err
	}
	sizeLimit, err := inRange("RecordSizeLimit", s.sizeLimit, record.MaxPlaintext+1, record.MinFragment, record.MaxPlaintext+1)
	if err != nil {
		return p, err
	}
	p.RecordSizeLimit = uint16(sizeLimit)
	p.Extract = s.extract
	p.Now = s.time
	if p.Now == nil {
		p.Now = time.Now
	}
	p.Rand = s.rand
	if p.Rand == nil {
		p.Rand = rand.Reader
	}
	if s.keyLog != nil {
		p.KeyLog = keyLogger(s.keyLog)
	}
	return p, nil
}

// versions finds out which versions there will be: those between the bounds
// that have a cipher suite and a group. What only the others need is left out.
func (s settings) versions(p *handshake.Policy) error {
	for _, bound := range []struct {
		field   string
		version uint16
	}{{"MinVersion", s.minVersion}, {"MaxVersion", s.maxVersion}} {
		if v := bound.version; v != 0 && v != tls.VersionTLS12 && v != tls.VersionTLS13 {
			return &ConfigError{bound.field, fmt.Errorf("%#04x is not supported: 0x0303 and 0x0304 are", v)}
		}
	}
	if s.minVersion != 0 && s.maxVersion != 0 && s.minVersion > s.maxVersion {
		return &ConfigError{"MinVersion", errors.New("is above MaxVersion")}
	}
	if !handshake.TLS12 && (s.minVersion == tls.VersionTLS12 || s.maxVersion == tls.VersionTLS12) {
		return &ConfigError{"MinVersion", errors.New("TLS 1.2 is not compiled in")}
	}
	p.TLS12 = handshake.TLS12 && s.minVersion != tls.VersionTLS13
	p.TLS13 = s.maxVersion != tls.VersionTLS12
	p.RequireEMS = s.requireEMS
	has := func(version uint16) bool {
		return slices.ContainsFunc(p.Suites, func(s *algo.Suite) bool { return s.Version == version })
	}
	p.TLS13 = p.TLS13 && has(tls.VersionTLS13)
	p.TLS12 = p.TLS12 && has(tls.VersionTLS12) &&
		slices.ContainsFunc(p.Groups, func(g *algo.Group) bool { return !g.PostQuantum })
	switch {
	case s.maxVersion == tls.VersionTLS13 && !p.TLS13:
		return &ConfigError{"CipherSuites", errors.New("none is for MaxVersion, TLS 1.3")}
	case s.minVersion == tls.VersionTLS12 && !p.TLS12:
		return &ConfigError{"CipherSuites", errors.New("none is for MinVersion, TLS 1.2, or no group is")}
	case !p.TLS12 && !p.TLS13:
		return &ConfigError{"CipherSuites", errors.New("none is for a version between MinVersion and MaxVersion")}
	}
	p.Suites = slices.DeleteFunc(p.Suites, func(s *algo.Suite) bool {
		return s.Version == tls.VersionTLS12 && !p.TLS12 || s.Version == tls.VersionTLS13 && !p.TLS13
	})
	if !p.TLS13 {
		p.Groups = slices.DeleteFunc(p.Groups, func(g *algo.Group) bool { return g.PostQuantum })
	}
	return nil
}

// lookUp resolves a list of IDs, or the default one if it is nil.
func lookUp[ID ~uint16, T any](field string, ids, defaults []ID, find func(ID) *T) ([]*T, error) {
	switch {
	case ids == nil:
		ids = defaults
	case len(ids) == 0:
		return nil, &ConfigError{field, errors.New("an empty list leaves nothing to negotiate; nil stands for the default")}
	}
	found := make([]*T, len(ids))
	for i, id := range ids {
		if found[i] = find(id); found[i] == nil {
			return nil, &ConfigError{fmt.Sprintf("%s[%d]", field, i), fmt.Errorf("%#04x is not supported", uint16(id))}
		}
		if slices.Contains(ids[:i], id) { // RFC 9846, Section 4.3.7, of groups
			return nil, &ConfigError{fmt.Sprintf("%s[%d]", field, i), fmt.Errorf("%#04x is listed twice", uint16(id))}
		}
	}
	return found, nil
}

func inRange(field string, n, zero, low, high int) (int, error) {
	if n == 0 {
		return zero, nil
	}
	if n < low || n > high {
		return 0, &ConfigError{field, fmt.Errorf("%d is not between %d and %d", n, low, high)}
	}
	return n, nil
}

func checkProtocols(names []string) ([]string, error) {
	total := 0
	for i, name := range names {
		if len(name) == 0 || len(name) > 255 {
			return nil, &ConfigError{fmt.Sprintf("NextProtos[%d]", i), fmt.Errorf("a protocol name has 1 to 255 bytes, this one %d", len(name))}
		}
		total += 1 + len(name)
	}
	if total > 1<<14 {
		return nil, &ConfigError{"NextProtos", fmt.Errorf("%d bytes are too many for a hello", total)}
	}
	return slices.Clone(names), nil
}

// checkServerName returns the name to verify and the one to send, which is
// empty for addresses: RFC 6066, Section 3.
func checkServerName(name string, optional bool) (verify, sni string, err error) {
	switch trimmed := strings.TrimSuffix(name, "."); {
	case name == "" && optional:
		return "", "", nil
	case name == "":
		return "", "", errors.New("baretls: a client needs the name of the server, or CustomVerify")
	case handshake.IsIPLiteral(name):
		return name, "", nil
	case handshake.ValidHostname(trimmed):
		return trimmed, trimmed, nil
	}
	return "", "", fmt.Errorf("baretls: %q is neither a host name nor an IP address", name)
}

// judge adapts a user's verification.
func judge(f func(*PeerVerification) error) func(*handshake.Verification) error {
	if f == nil {
		return nil
	}
	return func(v *handshake.Verification) error {
		p := viewVerification(v)
		err := f(&p)
		v.VerifiedChains = p.VerifiedChains
		return err
	}
}

// keyLogMutex serializes the writes of all configs: they may share a file.
var keyLogMutex sync.Mutex

// keyLogger writes lines of the NSS key log format.
func keyLogger(w io.Writer) func(label string, clientRandom, secret []byte) error {
	return func(label string, clientRandom, secret []byte) error {
		line := fmt.Appendf(nil, "%s %x %x\n", label, clientRandom, secret)
		keyLogMutex.Lock()
		defer keyLogMutex.Unlock()
		_, err := w.Write(line)
		return err
	}
}

func viewHello(h *wire.ClientHello) *ClientHello {
	v := &ClientHello{
		ServerName:       string(h.ServerName),
		Versions:         view[uint16](h.SupportedVersions),
		CipherSuites:     view[uint16](h.CipherSuites),
		Groups:           view[tls.CurveID](h.SupportedGroups),
		SignatureSchemes: view[tls.SignatureScheme](h.SignatureAlgorithms),
	}
	for name := range h.ALPN.All() {
		v.ALPNProtocols = append(v.ALPNProtocols, string(name))
	}
	for code := range wire.RawExtensions(h.Extensions) {
		v.Extensions = append(v.Extensions, code)
	}
	return v
}

func viewVerification(v *handshake.Verification) PeerVerification {
	return PeerVerification{
		Certificates:                slices.Clone(v.Certificates),
		ServerName:                  v.ServerName,
		OCSPResponse:                v.OCSPResponse,
		SignedCertificateTimestamps: slices.Clone(v.SCTs),
		Time:                        v.Time,
		VerifiedChains:              slices.Clone(v.VerifiedChains),
	}
}

func viewRequest(r *wire.CertificateRequest) *CertificateRequest {
	v := &CertificateRequest{SignatureSchemes: view[tls.SignatureScheme](r.SignatureAlgorithms)}
	for name := range r.CertificateAuthorities.All() {
		v.AcceptableCAs = append(v.AcceptableCAs, bytes.Clone(name))
	}
	return v
}

func view[T ~uint16](l wire.Uint16s) []T {
	v := make([]T, l.Len())
	for i := range v {
		v[i] = T(l.At(i))
	}
	return v
}
