package handshake

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// Waiting is a state. What a handler cannot go on without is put to the caller
// as a question, if the policy says so, and the arrow that the handler is on
// stands still. The answer, from any goroutine, is what is left of the handler;
// the machine walks on with it in the caller's next turn. Without the policy's
// wish the same continuation runs inline.

// Asks are the things that a policy wants to be asked about.
type Asks uint8

const (
	AskClientHello Asks = 1 << iota
	AskSession
	AskEarlyData
	AskSignature
	AskPeerCertificate
	AskCertificate
)

// asked is what a handler returns that has put a question: no state.
const asked state = 0xff

// A Question is one of the types below.
type Question interface{ settled() *settlement }

// settlement is what all questions have in common.
type settlement struct {
	mutex   sync.Mutex
	rest    func() (state, error) // once it is answered
	over    error                 // why there can be no answer any more
	context context.Context       // if somebody wanted one
	cancel  context.CancelFunc
}

func (s *settlement) settled() *settlement { return s }

// The ends of a question.
var (
	ErrAnswered  = errors.New("the question has been answered")
	ErrWithdrawn = errors.New("the question has been withdrawn")
)

// settle takes the answer, once.
func (s *settlement) settle(rest func() (state, error)) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.over != nil {
		return s.over
	}
	s.rest, s.over = rest, ErrAnswered
	s.done()
	return nil
}

// withdraw makes an answer impossible.
func (s *settlement) withdraw() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.rest = nil
	if s.over == nil {
		s.over = ErrWithdrawn
		s.done()
	}
}

func (s *settlement) done() {
	if s.cancel != nil {
		s.cancel()
	}
}

// answer is what is left to do, or nil.
func (s *settlement) answer() func() (state, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.rest
}

// Context is done when the question is answered or withdrawn.
func (s *settlement) Context() context.Context {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.context == nil {
		s.context, s.cancel = context.WithCancel(context.Background())
		if s.over != nil {
			s.cancel()
		}
	}
	return s.context
}

// Refuse answers with an error that ends the connection.
func (s *settlement) Refuse(err error) error {
	return s.settle(func() (state, error) { return 0, err })
}

func (c *Core) asks(what Asks) bool { return c.policy.Asks&what != 0 }

// Stale returns a question that cannot be answered in place of none.
func Stale[Q any, P interface {
	*Q
	Question
}](q P) P {
	if q == nil {
		q = new(Q)
		q.settled().withdraw()
	}
	return q
}

// ask puts a question, and leaves the handler.
func (c *Core) ask(q Question) (state, error) {
	c.question, c.shown = q, true
	return asked, nil
}

// Question is what the caller has been asked, or nil.
func (c *Core) Question() Question {
	if c.exchange == nil {
		return nil
	}
	return c.question
}

// Answered reports whether the question is, so that Resume can go on.
func (c *Core) Answered() bool { return c.question.settled().answer() != nil }

// answered takes the question off the table.
func (c *Core) answered() func() (state, error) {
	q := c.question.settled()
	rest := q.answer()
	q.withdraw() // what is left of it need not stay in memory
	c.question = nil
	return rest
}

// keep returns a message that outlives the turn if it may have to.
func (c *Core) keep(m message) message {
	if c.policy.Asks != 0 {
		m.raw = bytes.Clone(m.raw)
	}
	return m
}

// HelloQuestion: which configuration is to answer this client?
type HelloQuestion struct {
	settlement
	Hello *wire.ClientHello
	Raw   []byte // the message, with its header
	then  func(*ServerPolicy) (state, error)
}

// Answer goes on with another policy, or with the same one if it is nil.
func (q *HelloQuestion) Answer(p *ServerPolicy) error {
	return q.settle(func() (state, error) { return q.then(p) })
}

// askHello is the first thing that a server does with a hello if it asks.
func (s *Server) askHello(h *wire.ClientHello, m message, then func() (state, error)) (state, error) {
	return s.ask(&HelloQuestion{Hello: h, Raw: m.raw, then: func(p *ServerPolicy) (state, error) {
		if p != nil {
			s.adopt(p)
		}
		return then()
	}})
}

// SessionNameLen is the size of a ticket that is the name of a session in a
// store, and of such an ID: what makes it impossible to guess.
const SessionNameLen = 32

// SessionQuestion: which session is kept under this ticket or ID?
type SessionQuestion struct {
	settlement
	Ticket  []byte
	Version uint16
	then    func(session []byte) (state, error)
}

// Answer goes on with an encoded session, or without one.
func (q *SessionQuestion) Answer(session []byte) error {
	session = bytes.Clone(session)
	return q.settle(func() (state, error) { return q.then(session) })
}

func (s *Server) redeem(ticket []byte, version uint16, then func(session []byte) (state, error)) (state, error) {
	switch {
	case !s.asks(AskSession):
		return then(s.policy.Tickets.Redeem(ticket))
	case len(ticket) != SessionNameLen:
		return then(nil)
	}
	return s.ask(&SessionQuestion{Ticket: bytes.Clone(ticket), Version: version, then: then})
}

// RemovalQuestion: was the session under this ticket still there to be removed?
type RemovalQuestion struct {
	settlement
	Ticket []byte
	then   func(removed bool) (state, error)
}

// Answer goes on with the session, or without.
func (q *RemovalQuestion) Answer(removed bool) error {
	return q.settle(func() (state, error) { return q.then(removed) })
}

// remove uses up the ticket of a session that is to be resumed.
func (s *Server) remove(ticket []byte, then func(removed bool) (state, error)) (state, error) {
	switch {
	case !s.policy.Tickets.Stateful():
		return then(true)
	case !s.asks(AskSession):
		return then(s.policy.Tickets.Remove(ticket))
	}
	return s.ask(&RemovalQuestion{Ticket: bytes.Clone(ticket), then: then})
}

// EarlyDataQuestion: has this flight been seen before?
type EarlyDataQuestion struct {
	settlement
	Flight  [32]byte
	Expires time.Time // when a replay of it is refused in any case
	then    func(fresh bool) (state, error)
}

// Answer goes on with early data, or without.
func (q *EarlyDataQuestion) Answer(fresh bool) error {
	return q.settle(func() (state, error) { return q.then(fresh) })
}

// SignatureQuestion: what is the signature of this content?
type SignatureQuestion struct {
	settlement
	Scheme     *algo.Scheme
	Content    []byte
	Credential *Credential
	policy     *Policy
	then       func(signature []byte) (state, error)
}

// Sign makes the signature with the key at hand.
func (q *SignatureQuestion) Sign() ([]byte, error) {
	if q.Credential == nil {
		return nil, ErrWithdrawn
	}
	if q.Credential.Key == nil {
		return nil, errNoKey
	}
	return q.Scheme.Sign(q.Credential.Key, q.policy.Rand, q.Content)
}

var errNoKey = errors.New("the certificate came without a private key")

// Answer goes on with the signature.
func (q *SignatureQuestion) Answer(signature []byte) error {
	signature = bytes.Clone(signature)
	return q.settle(func() (state, error) {
		if len(signature) == 0 || len(signature) > 1<<16-1 {
			return 0, fault.Internal.With("a signature of %d bytes", len(signature))
		}
		return q.then(signature)
	})
}

// sign has content signed. Who is asked may keep it, and gets a copy.
func (c *Core) sign(credential *Credential, scheme *algo.Scheme, content []byte, then func(signature []byte) (state, error)) (state, error) {
	if c.asks(AskSignature) {
		return c.ask(&SignatureQuestion{Scheme: scheme, Content: slices.Clip(bytes.Clone(content)), Credential: credential, policy: c.policy, then: then})
	}
	signature, err := scheme.Sign(credential.Key, c.policy.Rand, content)
	if err != nil {
		return 0, fault.Internal.Because(err)
	}
	return then(signature)
}

// CertificateQuestion: is the peer acceptable?
type CertificateQuestion struct {
	settlement
	verification *Verification
	Client       bool // it is the client who asks
	Resumed      bool // the certificates are those of the session
	judge        *Judge
	options      *x509.VerifyOptions
	then         func(error) (state, error)
}

// Verify does what would be done inline. What it finds counts if the answer is
// yet to come.
func (q *CertificateQuestion) Verify() error {
	if q.judge == nil {
		return ErrWithdrawn
	}
	v := q.See()
	err := q.judge.decide(&v, q.options)
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if q.over == nil && err == nil {
		*q.verification = v
	}
	return err
}

// See returns what the peer can be judged by.
func (q *CertificateQuestion) See() Verification {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if q.verification == nil {
		return Verification{}
	}
	return *q.verification
}

// Answer goes on with the verdict.
func (q *CertificateQuestion) Answer(verdict error) error {
	return q.settle(func() (state, error) { return q.then(refusal(verdict)) })
}

// refusal gives a verdict a reason, and so an alert, if it is not one of ours.
func refusal(verdict error) error {
	switch verdict.(type) {
	case nil, *fault.Error, *fault.Chosen:
		return verdict
	}
	return fault.CertificateRefused.By(verdict)
}

// RequestQuestion: which certificate is the server to get?
type RequestQuestion struct {
	settlement
	Request *wire.CertificateRequest
	Asks    Asks
	then    func(*Credential) (state, error)
}

// Answer goes on with a credential, or without if it is nil.
func (q *RequestQuestion) Answer(credential *Credential) error {
	return q.settle(func() (state, error) { return q.then(credential) })
}
