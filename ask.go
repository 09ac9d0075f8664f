package baretls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/handshake"
)

// Ask says which things that a handshake may have to wait for are to be states.
// Without it they are decided inline, by the configuration and its functions.
//
// A state that asks is quiet: it comes after all that there is to send, and
// turns lead to it again as long as it is not answered. Such states are equal
// (==) if they are the same question. Nothing that is received meanwhile is
// looked at, the end of the transport included, so there is no point in
// receiving more than a buffer's worth. If the transport fails, Abandon the
// connection.
//
// The answer is given at once or later, from any goroutine; the next turn after
// that goes on. What the state gives to look at stays valid and must not be
// changed, and neither must certificates and configurations of an answer; bytes
// are copied. The second answer is ErrAlreadyAnswered, and one that comes when
// the connection has failed or was abandoned is ErrStaleState; neither does
// anything. Context, which every such state has, is done as soon as no answer
// is wanted any more. A connection may be dropped without an answer.
type Ask uint8

const (
	// AskClientHello: ClientHelloReceived, of servers.
	AskClientHello = Ask(handshake.AskClientHello)
	// AskSession: SessionWanted and SessionRemovalWanted, of servers with a
	// SessionStore.
	AskSession = Ask(handshake.AskSession)
	// AskEarlyData: EarlyDataOffered, of servers.
	AskEarlyData = Ask(handshake.AskEarlyData)
	// AskSignature: SignatureWanted, of both.
	AskSignature = Ask(handshake.AskSignature)
	// AskPeerCertificate: ServerCertificateReceived of clients, and
	// ClientCertificateReceived of servers. A client then sends no early data,
	// for it would before the answer.
	AskPeerCertificate = Ask(handshake.AskPeerCertificate)
	// AskCertificate: ClientCertificateRequested, of clients. It is not asked
	// when a session is resumed, and the client then is who it was: use a
	// config for each identity.
	AskCertificate = Ask(handshake.AskCertificate)

	askOfClients = AskPeerCertificate | AskCertificate | AskSignature
	askOfServers = AskClientHello | AskSession | AskEarlyData | AskSignature | AskPeerCertificate
)

func (a Ask) compile(known Ask) (handshake.Asks, error) {
	if other := a &^ known; other != 0 {
		return 0, &ConfigError{"Ask", fmt.Errorf("%#x is not for this side of a connection", uint8(other))}
	}
	return handshake.Asks(a), nil
}

// ErrAlreadyAnswered is the second answer to a state that asks.
var ErrAlreadyAnswered = errors.New("baretls: the state has been answered")

// answered is what an answer led to, in the terms of this package.
func answered(err error) error {
	switch err {
	case handshake.ErrAnswered:
		return ErrAlreadyAnswered
	case handshake.ErrWithdrawn:
		return ErrStaleState
	}
	return err
}

// askState is the state of a question.
func askState(q handshake.Question) State {
	switch q := q.(type) {
	case *handshake.HelloQuestion:
		return ClientHelloReceived{q}
	case *handshake.SessionQuestion:
		return SessionWanted{q}
	case *handshake.RemovalQuestion:
		return SessionRemovalWanted{q}
	case *handshake.EarlyDataQuestion:
		return EarlyDataOffered{q}
	case *handshake.SignatureQuestion:
		return SignatureWanted{q}
	case *handshake.RequestQuestion:
		return ClientCertificateRequested{q}
	case *handshake.CertificateQuestion:
		if q.Client {
			return ServerCertificateReceived{q}
		}
		return ClientCertificateReceived{q}
	}
	panic("baretls: unknown question")
}

func (ClientHelloReceived) isState()        {}
func (SessionWanted) isState()              {}
func (SessionRemovalWanted) isState()       {}
func (EarlyDataOffered) isState()           {}
func (SignatureWanted) isState()            {}
func (ServerCertificateReceived) isState()  {}
func (ClientCertificateReceived) isState()  {}
func (ClientCertificateRequested) isState() {}

// chosen is a refusal with that alert, which must be one that ends a connection.
func chosen(alert tls.AlertError, reason error) (error, error) {
	a := fault.Alert(alert)
	if a.Level() == 1 {
		return nil, fmt.Errorf("baretls: alert %d does not refuse anything", alert)
	}
	if reason == nil {
		reason = alert
	}
	return &fault.Chosen{Alert: a, Err: reason}, nil
}

// ClientHelloReceived asks which configuration is to answer a client. It comes
// once, for the first ClientHello that the connection sees (RFC 9846, Section
// 4.2.2), before anything of it has been judged but its form.
type ClientHelloReceived struct{ q *handshake.HelloQuestion }

// ClientHello is what the client offers.
func (s ClientHelloReceived) ClientHello() *ClientHello {
	if s.q == nil {
		return nil
	}
	return viewHello(s.q.Hello)
}

// Raw is the message as it came, with its header of 4 bytes.
func (s ClientHelloReceived) Raw() []byte {
	if s.q == nil {
		return nil
	}
	return s.q.Raw
}

// Context is done when no answer is wanted any more.
func (s ClientHelloReceived) Context() context.Context { return handshake.Stale(s.q).Context() }

// Accept goes on with the configuration of the connection.
func (s ClientHelloReceived) Accept() error { return answered(handshake.Stale(s.q).Answer(nil)) }

// Use goes on with another configuration, as if the connection had been made
// with it. A *ConfigError says what is wrong with that; then the state waits
// for another answer.
func (s ClientHelloReceived) Use(config *ServerConfig) error {
	policy, err := config.compile()
	if err != nil {
		return err
	}
	return answered(handshake.Stale(s.q).Answer(policy))
}

// Refuse ends the connection with an alert: handshake_failure (40),
// unrecognized_name (112) or access_denied (49) for example. The reason, which
// may be nil, is in the connection's *Error. An alert that is not an error is
// refused itself.
func (s ClientHelloReceived) Refuse(alert tls.AlertError, reason error) error {
	refusal, err := chosen(alert, reason)
	if err != nil {
		return err
	}
	return answered(handshake.Stale(s.q).Refuse(refusal))
}

// SessionWanted asks for a session of the SessionStore, which is then not asked
// itself: its Get and Remove are not called, its Put is.
type SessionWanted struct{ q *handshake.SessionQuestion }

// Name is the name that the client gave, of 32 bytes: Put may have been called
// with it, or never. In TLS 1.2 it is the session ID, which many clients make up.
func (s SessionWanted) Name() string {
	if s.q == nil {
		return ""
	}
	return string(s.q.Ticket)
}

// ProtocolVersion is that of the connection and so of the session.
func (s SessionWanted) ProtocolVersion() uint16 {
	if s.q == nil {
		return 0
	}
	return s.q.Version
}

// Context is done when no answer is wanted any more.
func (s SessionWanted) Context() context.Context { return handshake.Stale(s.q).Context() }

// Answer goes on with the session that Put was given, or with a full handshake
// if it is nil, or cannot be used. The session stays where it is, as with
// SessionStore.Get: it is removed when SessionRemovalWanted asks for that.
func (s SessionWanted) Answer(session []byte) error {
	return answered(handshake.Stale(s.q).Answer(session))
}

// SessionRemovalWanted asks to remove the session that an answer to SessionWanted
// was, and comes when the client has proved to have its secret; in TLS 1.2 it
// does not come.
type SessionRemovalWanted struct{ q *handshake.RemovalQuestion }

// Name is the name of the session.
func (s SessionRemovalWanted) Name() string {
	if s.q == nil {
		return ""
	}
	return string(s.q.Ticket)
}

// Context is done when no answer is wanted any more.
func (s SessionRemovalWanted) Context() context.Context { return handshake.Stale(s.q).Context() }

// Answer goes on with the session if it was there and has been removed, and else
// with a full handshake. The rules are those of SessionStore.Remove: of all
// answers about one session, on all servers, at most one may be true.
func (s SessionRemovalWanted) Answer(removed bool) error {
	return answered(handshake.Stale(s.q).Answer(removed))
}

// EarlyDataOffered asks whether 0-RTT data may be accepted. It comes after all
// that can be checked without a register; the ReplayGuard is then not asked.
type EarlyDataOffered struct{ q *handshake.EarlyDataQuestion }

// Flight identifies the client's first flight: what a register of replays has
// to remember (RFC 9846, Section 8.2). It is not secret.
func (s EarlyDataOffered) Flight() [32]byte {
	if s.q == nil {
		return [32]byte{}
	}
	return s.q.Flight
}

// Expires is when a replay would be refused in any case, and the register may
// forget the flight. A register that has lost what it knew must accept nothing
// before that time has passed once.
func (s EarlyDataOffered) Expires() time.Time {
	if s.q == nil {
		return time.Time{}
	}
	return s.q.Expires
}

// Context is done when no answer is wanted any more.
func (s EarlyDataOffered) Context() context.Context { return handshake.Stale(s.q).Context() }

// Accept goes on with the early data: the flight is new.
func (s EarlyDataOffered) Accept() error { return answered(handshake.Stale(s.q).Answer(true)) }

// Reject goes on without: the client will send its data again.
func (s EarlyDataOffered) Reject() error { return answered(handshake.Stale(s.q).Answer(false)) }

// SignatureWanted asks for a signature by the key of a certificate of this
// side: the proof of that key, in a CertificateVerify (RFC 9846, Section 4.5.2)
// or a ServerKeyExchange (RFC 8422, Section 5.4). The PrivateKey of a
// tls.Certificate may be nil where this is asked for.
type SignatureWanted struct{ q *handshake.SignatureQuestion }

// Scheme is the scheme to sign with.
func (s SignatureWanted) Scheme() tls.SignatureScheme {
	if s.q == nil {
		return 0
	}
	return s.q.Scheme.ID
}

// Content is what is to be signed: as it is, not hashed. That is the scheme's.
func (s SignatureWanted) Content() []byte {
	if s.q == nil {
		return nil
	}
	return s.q.Content
}

// Certificate is the certificate whose key has to sign.
func (s SignatureWanted) Certificate() *x509.Certificate {
	if s.q == nil {
		return nil
	}
	return s.q.Credential.Leaf
}

// Context is done when no answer is wanted any more.
func (s SignatureWanted) Context() context.Context { return handshake.Stale(s.q).Context() }

// Sign makes the signature with the PrivateKey of the tls.Certificate, on the
// goroutine that calls it: s.Answer(s.Sign()) is what would be done inline.
func (s SignatureWanted) Sign() ([]byte, error) {
	signature, err := handshake.Stale(s.q).Sign()
	return signature, answered(err)
}

// Answer goes on with the signature. With an error the connection fails, with
// the alert internal_error, or the one that the error chooses: see ClientConfig.
func (s SignatureWanted) Answer(signature []byte, err error) error {
	if err != nil {
		return answered(handshake.Stale(s.q).Refuse(fault.Internal.By(err)))
	}
	return answered(handshake.Stale(s.q).Answer(signature))
}

// ServerCertificateReceived asks whether the server is acceptable. It comes
// when its certificates are here, before it has proved to have the key, and
// when a session with it is resumed.
type ServerCertificateReceived struct {
	q *handshake.CertificateQuestion
}

// Verification is what the server can be judged by.
func (s ServerCertificateReceived) Verification() PeerVerification { return verificationOf(s.q) }

// Resumed reports whether the certificates are those of the session.
func (s ServerCertificateReceived) Resumed() bool {
	if s.q == nil {
		return false
	}
	return s.q.Resumed
}

// Context is done when no answer is wanted any more.
func (s ServerCertificateReceived) Context() context.Context { return handshake.Stale(s.q).Context() }

// Verify does what the configuration says, on the goroutine that calls it:
// s.Answer(s.Verify()) is what would be done inline. It is what finds
// VerifiedChains.
func (s ServerCertificateReceived) Verify() error { return answered(handshake.Stale(s.q).Verify()) }

// Answer accepts the server if the verdict is nil. Otherwise the connection
// fails with the alert that goes with an error of Verify, as it was returned, or
// that the verdict chooses (see ClientConfig), or else bad_certificate.
func (s ServerCertificateReceived) Answer(verdict error) error {
	return answered(handshake.Stale(s.q).Answer(verdict))
}

// Refuse ends the connection with an alert: see ClientHelloReceived.
func (s ServerCertificateReceived) Refuse(alert tls.AlertError, reason error) error {
	return refuse(s.q, alert, reason)
}

// ClientCertificateReceived asks whether a client that has sent certificates
// is acceptable. It comes when they are here, before the client has proved to
// have the key, and when it offers a session that was made with them.
type ClientCertificateReceived struct {
	q *handshake.CertificateQuestion
}

// Verification is what the client can be judged by.
func (s ClientCertificateReceived) Verification() PeerVerification { return verificationOf(s.q) }

// Resumed reports whether the certificates are those of a session that the
// client offers. An Answer that does not accept them then leads to a full
// handshake; Refuse ends the connection all the same.
func (s ClientCertificateReceived) Resumed() bool {
	if s.q == nil {
		return false
	}
	return s.q.Resumed
}

// Context is done when no answer is wanted any more.
func (s ClientCertificateReceived) Context() context.Context { return handshake.Stale(s.q).Context() }

// Verify does what the configuration says, on the goroutine that calls it:
// s.Answer(s.Verify()) is what would be done inline. It is what finds
// VerifiedChains.
func (s ClientCertificateReceived) Verify() error { return answered(handshake.Stale(s.q).Verify()) }

// Answer accepts the client if the verdict is nil. Otherwise the connection
// fails with the alert that goes with an error of Verify, as it was returned, or
// that the verdict chooses (see ClientConfig), or else bad_certificate; see
// Resumed for what happens then.
func (s ClientCertificateReceived) Answer(verdict error) error {
	return answered(handshake.Stale(s.q).Answer(verdict))
}

// Refuse ends the connection with an alert: see ClientHelloReceived.
func (s ClientCertificateReceived) Refuse(alert tls.AlertError, reason error) error {
	return refuse(s.q, alert, reason)
}

func verificationOf(q *handshake.CertificateQuestion) PeerVerification {
	v := handshake.Stale(q).See()
	return viewVerification(&v)
}

func refuse(q *handshake.CertificateQuestion, alert tls.AlertError, reason error) error {
	refusal, err := chosen(alert, reason)
	if err != nil {
		return err
	}
	return answered(handshake.Stale(q).Answer(refusal))
}

// ClientCertificateRequested asks which certificate the server is to get, if
// any (RFC 9846, Section 4.4.2). Certificates and GetClientCertificate of the
// configuration are then not asked.
type ClientCertificateRequested struct {
	q *handshake.RequestQuestion
}

// Request is what the server wants.
func (s ClientCertificateRequested) Request() *CertificateRequest {
	if s.q == nil {
		return nil
	}
	return viewRequest(s.q.Request)
}

// Context is done when no answer is wanted any more.
func (s ClientCertificateRequested) Context() context.Context { return handshake.Stale(s.q).Context() }

// Answer goes on with the certificate, or with none if it is nil or does not
// fit the request: the server decides what becomes of that. An error is
// returned if the certificate cannot be used at all; then the state waits for
// another answer. With an error of its own the connection fails, with the alert
// internal_error, or the one that the error chooses: see ClientConfig.
func (s ClientCertificateRequested) Answer(cert *tls.Certificate, err error) error {
	if err != nil {
		return answered(handshake.Stale(s.q).Refuse(fault.Internal.By(err)))
	}
	credential, err := credential(cert, nil, handshake.Stale(s.q).Asks)
	if err != nil {
		return fmt.Errorf("baretls: %w", err)
	}
	return answered(handshake.Stale(s.q).Answer(credential))
}
