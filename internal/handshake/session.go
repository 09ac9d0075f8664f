package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/algo"
)

// Session is what two sides remember of a connection to resume it. A server
// seals it into a ticket or keeps it in a store; a client keeps it with the
// ticket.
type Session struct {
	Version  uint16
	Suite    uint16
	Group    tls.CurveID
	Scheme   tls.SignatureScheme // of the peer's CertificateVerify
	Created  time.Time           // when the ticket was issued, or came; in milliseconds
	Origin   time.Time           // of the last handshake with certificates
	Lifetime time.Duration       // in seconds
	AgeAdd   uint32
	PSK      []byte

	ServerName   string
	ALPN         string
	Policy       [32]byte // digest of what the issuer's configuration demanded
	MaxEarlyData uint32

	PeerChain [][]byte // DER
	OCSP      []byte
	SCTs      [][]byte
	AppData   []byte // the server application's own
	Ticket    []byte // a client's only

	// Of TLS 1.2: PSK is the main secret.
	EMS       bool   // by extended_main_secret
	SessionID []byte // a client's, if there is no ticket

	peer *Peer // what PeerChain parses and verifies to; not encoded
}

// MaxLifetime is seven days: RFC 9846, Section 4.7.1.
const MaxLifetime = 7 * 24 * time.Hour

// sessionFormat is the version of the encoding.
const sessionFormat = 1

// Append appends the encoding of the session:
//
//	struct {
//	    uint8 format = 1;
//	    ProtocolVersion version;
//	    CipherSuite suite;
//	    NamedGroup group;
//	    SignatureScheme scheme;
//	    uint64 created;                /* milliseconds since 1970 */
//	    uint64 origin;
//	    uint32 lifetime;               /* seconds */
//	    uint32 age_add;
//	    opaque psk<32..48>;
//	    opaque server_name<0..2^8-1>;
//	    opaque alpn<0..2^8-1>;
//	    opaque policy[32];
//	    uint32 max_early_data;
//	    opaque peer_chain<0..2^24-1>;  /* of opaque cert<1..2^24-1> */
//	    opaque ocsp<0..2^24-1>;
//	    opaque scts<0..2^24-1>;        /* of opaque sct<1..2^24-1> */
//	    opaque app_data<0..2^24-1>;
//	    opaque ticket<0..2^24-1>;
//	    uint8 ems;                     /* 0 or 1 */
//	    opaque session_id<0..32>;
//	} Session;
func (s *Session) Append(b []byte) []byte {
	b = slices.Grow(b, s.encodedLen()) // at once: what grows leaves copies of the PSK behind
	b = append(b, sessionFormat)
	b = binary.BigEndian.AppendUint16(b, s.Version)
	b = binary.BigEndian.AppendUint16(b, s.Suite)
	b = binary.BigEndian.AppendUint16(b, uint16(s.Group))
	b = binary.BigEndian.AppendUint16(b, uint16(s.Scheme))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Created.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Origin.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(s.Lifetime/time.Second))
	b = binary.BigEndian.AppendUint32(b, s.AgeAdd)
	b = appendBytes8(b, s.PSK)
	b = appendBytes8(b, []byte(s.ServerName))
	b = appendBytes8(b, []byte(s.ALPN))
	b = append(b, s.Policy[:]...)
	b = binary.BigEndian.AppendUint32(b, s.MaxEarlyData)
	b = appendList24(b, s.PeerChain)
	b = appendBytes24(b, s.OCSP)
	b = appendList24(b, s.SCTs)
	b = appendBytes24(b, s.AppData)
	b = appendBytes24(b, s.Ticket)
	ems := byte(0)
	if s.EMS {
		ems = 1
	}
	return appendBytes8(append(b, ems), s.SessionID)
}

var errSession = errors.New("malformed session")

// ParseSession reads what Append wrote. Slices are parts of b.
func ParseSession(b []byte) (*Session, error) {
	s := new(Session)
	in := cryptobyte.String(b)
	var format, ems uint8
	var group, scheme uint16
	var created, origin uint64
	var lifetime uint32
	var psk, name, alpn, chain, scts cryptobyte.String
	if !in.ReadUint8(&format) || format != sessionFormat ||
		!in.ReadUint16(&s.Version) || !in.ReadUint16(&s.Suite) ||
		!in.ReadUint16(&group) || !in.ReadUint16(&scheme) ||
		!in.ReadUint64(&created) || !in.ReadUint64(&origin) ||
		!in.ReadUint32(&lifetime) || !in.ReadUint32(&s.AgeAdd) ||
		!in.ReadUint8LengthPrefixed(&psk) || len(psk) < 32 || len(psk) > 48 ||
		!in.ReadUint8LengthPrefixed(&name) || !in.ReadUint8LengthPrefixed(&alpn) ||
		!in.CopyBytes(s.Policy[:]) || !in.ReadUint32(&s.MaxEarlyData) ||
		!in.ReadUint24LengthPrefixed(&chain) || !readList24(chain, &s.PeerChain) ||
		!in.ReadUint24LengthPrefixed((*cryptobyte.String)(&s.OCSP)) ||
		!in.ReadUint24LengthPrefixed(&scts) || !readList24(scts, &s.SCTs) ||
		!in.ReadUint24LengthPrefixed((*cryptobyte.String)(&s.AppData)) ||
		!in.ReadUint24LengthPrefixed((*cryptobyte.String)(&s.Ticket)) ||
		!in.ReadUint8(&ems) || ems > 1 ||
		!in.ReadUint8LengthPrefixed((*cryptobyte.String)(&s.SessionID)) || len(s.SessionID) > 32 ||
		!in.Empty() {
		return nil, errSession
	}
	suite := algo.SuiteByID(s.Suite)
	if suite == nil || suite.Version != s.Version || len(psk) != secretLen(suite) ||
		created > maxMillis || origin > maxMillis || time.Duration(lifetime)*time.Second > MaxLifetime {
		return nil, errSession
	}
	s.Group, s.Scheme = tls.CurveID(group), tls.SignatureScheme(scheme)
	s.Created, s.Origin = time.UnixMilli(int64(created)), time.UnixMilli(int64(origin))
	s.Lifetime = time.Duration(lifetime) * time.Second
	s.PSK, s.ServerName, s.ALPN = psk, string(name), string(alpn)
	s.EMS = ems == 1
	return s, nil
}

// secretLen is the length of what a session of the suite keeps secret: a PSK,
// or the main secret of TLS 1.2.
func secretLen(suite *algo.Suite) int {
	if suite.Version == tls.VersionTLS12 {
		return 48
	}
	return suite.Hash.Size()
}

// maxMillis keeps times where time.Time can calculate: until the year 5138.
const maxMillis = 100_000_000_000_000

// Usable reports whether the session is neither expired nor from the future,
// and its keying material not older than any ticket may be: "implementations
// place limits on the total lifetime of such keying material" (Section 4.7.1).
func (s *Session) Usable(now time.Time) bool {
	age := now.Sub(s.Created)
	return age >= -clockSkew && age < s.Lifetime && now.Sub(s.Origin) < MaxLifetime
}

// clockSkew is how far the clocks of the servers that share sessions may differ.
const clockSkew = 10 * time.Second

// certificates parses the peer's chain, once.
func (s *Session) certificates() ([]*x509.Certificate, error) {
	if s.peer == nil {
		peer := &Peer{OCSPResponse: slices.Clip(s.OCSP)}
		for _, sct := range s.SCTs {
			peer.SCTs = append(peer.SCTs, slices.Clip(sct))
		}
		peer.SCTs = slices.Clip(peer.SCTs)
		for _, der := range s.PeerChain {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, err
			}
			peer.PeerCertificates = append(peer.PeerCertificates, cert)
		}
		peer.PeerCertificates = slices.Clip(peer.PeerCertificates)
		s.peer = peer
	}
	return s.peer.PeerCertificates, nil
}

// Clear erases the secret of a session that has been used up.
func (s *Session) Clear() {
	clear(s.PSK)
	s.PSK = nil
}

func appendBytes8(b, v []byte) []byte { return append(append(b, byte(len(v))), v...) }

func appendBytes24(b, v []byte) []byte {
	return append(append(b, byte(len(v)>>16), byte(len(v)>>8), byte(len(v))), v...)
}

// encodedLen is what Append takes, or little more.
func (s *Session) encodedLen() int {
	const fixed = 128
	return fixed + len(s.PSK) + len(s.ServerName) + len(s.ALPN) + listLen24(s.PeerChain) + len(s.OCSP) +
		listLen24(s.SCTs) + len(s.AppData) + len(s.Ticket) + len(s.SessionID)
}

func listLen24(list [][]byte) (n int) {
	for _, v := range list {
		n += 3 + len(v)
	}
	return n
}

func appendList24(b []byte, list [][]byte) []byte {
	n := listLen24(list)
	b = append(b, byte(n>>16), byte(n>>8), byte(n))
	for _, v := range list {
		b = appendBytes24(b, v)
	}
	return b
}

func readList24(in cryptobyte.String, out *[][]byte) bool {
	for !in.Empty() {
		var v cryptobyte.String
		if !in.ReadUint24LengthPrefixed(&v) || len(v) == 0 {
			return false
		}
		*out = append(*out, v)
	}
	return true
}
