package baretls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/baretls/baretls/internal/handshake"
)

// HandshakeKind tells how a handshake went.
type HandshakeKind uint8

const (
	// HandshakeUnknown: it is not decided yet.
	HandshakeUnknown = HandshakeKind(handshake.KindUnknown)
	// HandshakeFull is one with certificates.
	HandshakeFull = HandshakeKind(handshake.KindFull)
	// HandshakeFullWithHelloRetryRequest took an extra round trip.
	HandshakeFullWithHelloRetryRequest = HandshakeKind(handshake.KindFullWithRetry)
	// HandshakeResumed is one with the PSK of an earlier connection.
	HandshakeResumed = HandshakeKind(handshake.KindResumed)
	// HandshakeResumedWithHelloRetryRequest took an extra round trip.
	HandshakeResumedWithHelloRetryRequest = HandshakeKind(handshake.KindResumedWithRetry)
)

func (k HandshakeKind) String() string {
	switch k {
	case HandshakeUnknown:
		return "unknown"
	case HandshakeFull:
		return "full"
	case HandshakeFullWithHelloRetryRequest:
		return "full with HelloRetryRequest"
	case HandshakeResumed:
		return "resumed"
	case HandshakeResumedWithHelloRetryRequest:
		return "resumed with HelloRetryRequest"
	}
	return fmt.Sprintf("HandshakeKind(%d)", uint8(k))
}

// known is the core; that of a zero Conn knows nothing.
func (c *Conn) known() *handshake.Core {
	if c.core == nil {
		return &nothing
	}
	return c.core
}

var nothing = handshake.Core{Facts: handshake.Facts{Peer: new(handshake.Peer)}}

// The accessors below may be used at any time. Until the handshake is complete
// what they return is what the peer claims, not what is authenticated: ask
// IsHandshaking.

// IsHandshaking reports whether the handshake is not complete: for a client
// until the server's Finished is verified, for a server until the client's is.
func (c *Conn) IsHandshaking() bool { return !c.known().Complete }

// ALPNProtocol is the application protocol that was agreed on (RFC 7301), or
// empty if there is none.
func (c *Conn) ALPNProtocol() string { return c.known().ALPN() }

// ProtocolVersion is tls.VersionTLS13 or tls.VersionTLS12, or 0 before it is known.
func (c *Conn) ProtocolVersion() uint16 { return c.known().Facts.Version }

// NegotiatedCipherSuite is the cipher suite, as in crypto/tls, or 0.
func (c *Conn) NegotiatedCipherSuite() uint16 { return c.known().Facts.Suite }

// NegotiatedKeyExchangeGroup is the key exchange group, or 0, as after a
// resumption in TLS 1.2.
func (c *Conn) NegotiatedKeyExchangeGroup() tls.CurveID { return c.known().Facts.Group }

// HandshakeKind tells how the handshake went.
func (c *Conn) HandshakeKind() HandshakeKind { return HandshakeKind(c.known().Facts.Kind) }

// PeerCertificates is the peer's chain, its own certificate first, once it has
// proved to have the key, or the secret of the session that they are from. But a
// server that resumes in TLS 1.2 shows what the ticket says before that. It must
// not be modified.
func (c *Conn) PeerCertificates() []*x509.Certificate { return c.known().Facts.PeerCertificates }

// ServerName is the name of the server: for a client, the one given to
// NewClient; for a server, the one that the client asked for by server_name
// (RFC 6066), in lower case, or empty.
func (c *Conn) ServerName() string { return c.known().Facts.ServerName }

// OCSPResponse is the response stapled to the server's certificate (RFC 9846,
// Section 4.5.1.1), in DER, or nil. It has not been verified, and must not be
// modified. Client only.
func (c *Conn) OCSPResponse() []byte { return c.known().Facts.OCSPResponse }

// SignedCertificateTimestamps are those that came with the server's
// certificate (RFC 6962). They have not been verified, and must not be modified.
// Client only.
func (c *Conn) SignedCertificateTimestamps() [][]byte { return c.known().Facts.SCTs }

// PeerSignatureScheme is the scheme of the peer's CertificateVerify, or 0.
func (c *Conn) PeerSignatureScheme() tls.SignatureScheme { return c.known().Facts.PeerScheme }

// ConnectionState returns what is known as the type that the standard
// library's ecosystem knows. Its ExportKeyingMaterial method must not be
// called, for crypto/tls gives nobody else the means to make it work: it
// panics. Use the one of Conn. What it refers to must not be modified.
func (c *Conn) ConnectionState() tls.ConnectionState {
	f := &c.known().Facts
	return tls.ConnectionState{
		Version:            f.Version,
		HandshakeComplete:  c.known().Complete,
		CipherSuite:        f.Suite,
		CurveID:            f.Group,
		NegotiatedProtocol: c.known().ALPN(),
		//lint:ignore SA1019 it is all it ever is, but net/http asks
		NegotiatedProtocolIsMutual:  true,
		ServerName:                  f.ServerName,
		PeerCertificates:            f.PeerCertificates,
		VerifiedChains:              f.VerifiedChains,
		SignedCertificateTimestamps: f.SCTs,
		OCSPResponse:                f.OCSPResponse,
		DidResume:                   f.Kind == handshake.KindResumed || f.Kind == handshake.KindResumedWithRetry,
		HelloRetryRequest:           f.Kind == handshake.KindFullWithRetry || f.Kind == handshake.KindResumedWithRetry,
	}
}

// TicketsReceived is how many session tickets a client has been sent.
func (c *Conn) TicketsReceived() int { return int(c.known().TicketsReceived()) }

// TLSExporter is the channel binding "tls-exporter" (RFC 9266, Section 2): 32
// bytes that tie what an application authenticates to this connection. Its
// errors are those of ExportKeyingMaterial.
func (c *Conn) TLSExporter() ([]byte, error) {
	// "Context value: Zero-length string", which is not none in TLS 1.2.
	return c.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
}

// ExportEarlyKeyingMaterial is ExportKeyingMaterial for the time of 0-RTT data
// (RFC 9846, Section 7.5): it is as open to replay as that. It works as long
// as early data is offered or accepted and the handshake lasts, and is
// ErrNoEarlyData otherwise.
func (c *Conn) ExportEarlyKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	switch err := c.failure(); {
	case err != nil:
		return nil, err
	case c.core == nil:
		return nil, errZeroConn
	}
	return export(length, func(out []byte) error {
		ok, err := c.core.ExportEarly(label, context, out)
		if !ok && err == nil {
			err = ErrNoEarlyData
		}
		return err
	})
}

// ErrNoEarlyData is asking for what only a connection with early data has.
var ErrNoEarlyData = errors.New("no early data")

func export(length int, fill func(out []byte) error) ([]byte, error) {
	if length <= 0 || length > 255*48 { // of the largest hash
		return nil, fmt.Errorf("baretls: exporter length %d", length)
	}
	out := make([]byte, length)
	if err := fill(out); err != nil {
		return nil, fmt.Errorf("baretls: %w", err)
	}
	return out, nil
}

// ExportKeyingMaterial derives length bytes that both sides share and nobody
// else knows (RFC 9846, Section 7.5): for a label, registered or private, of
// at most 249 bytes, and a context, which may be nil. The length is at most
// 255 hashes, 8,160 bytes with SHA-256. Before the handshake is complete it is
// ErrHandshakeNotComplete, and after the connection has failed its *Error, for
// then the secrets are gone. In TLS 1.2 (RFC 5705) a nil context differs from
// an empty one, of at most 65,535 bytes; labels that TLS 1.2 has for itself, such
// as "master secret", are refused; and without extended_main_secret it is
// ErrExportWithoutEMS (RFC 7627, Section 5.4).
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	if l := c.link(); l != nil { // the secrets may go while we use them
		l.exporters.Lock()
		defer l.exporters.Unlock()
	}
	switch err := c.failure(); {
	case err != nil:
		return nil, err
	case c.core == nil:
		return nil, errZeroConn
	case !c.core.Complete:
		return nil, ErrHandshakeNotComplete
	}
	return export(length, func(out []byte) error { return c.core.Export(label, context, out) })
}
