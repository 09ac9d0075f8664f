// Package handshake is the TLS state machine of both roles.
//
// It starts in client.go and server.go: each holds a table with one row per
// state, named as RFC 9846, Appendix A names it. A row lists the messages that
// the state accepts, the handler of each, and the states that may follow. A
// message without an arrow is an unexpected_message, said in one place.
//
// Handlers take a message and return the next state. They read and write no
// records: what they send they queue, and what they need they were handed.
package handshake

import (
	"slices"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// A Machine is one side of a connection: *Client or *Server.
type Machine interface {
	// Handle takes the peer's next handshake message, with its header. The
	// message may be overwritten once Handle returns.
	Handle(raw []byte) error
	// ChangeCipherSpec takes the peer's change_cipher_spec in TLS 1.2, where
	// it is a step of the handshake.
	ChangeCipherSpec() error
	// Resume goes on with the arrow that a Question has interrupted and that
	// has been answered.
	Resume() error
	// PrepareAlert installs the keys that an alert can best be read under.
	PrepareAlert()
	// Forget clears every secret: the connection has failed (RFC 9846, Section
	// 6). The keys of Out stay, for the alert.
	Forget()
	// State is the name of the present state.
	State() string
}

// state is a row of a role's table.
type state uint8

// kind is a message type, or a message that shares its type with another.
type kind uint16

// helloRetryRequest is a ServerHello by its type and another message by its
// meaning (RFC 9846, Section 4.2.3).
const helloRetryRequest = kind(wire.TypeServerHello) | 1<<8

// changeCipherSpec is not a handshake message, but TLS 1.2 waits for it like
// for one.
const changeCipherSpec kind = 2 << 8

func (k kind) String() string {
	switch k {
	case helloRetryRequest:
		return "HelloRetryRequest"
	case changeCipherSpec:
		return "change_cipher_spec"
	}
	return wire.MessageType(k).String()
}

// message is a handshake message as it came.
type message struct {
	kind kind
	raw  []byte
}

func (m message) body() []byte { return m.raw[wire.HeaderLen:] }

func classify(raw []byte) message {
	m := message{kind(raw[0]), raw}
	if m.kind == kind(wire.TypeServerHello) && wire.IsHelloRetryRequest(m.body()) {
		m.kind = helloRetryRequest
	}
	return m
}

// A row is one state of a role R.
type row[R any] struct {
	name   string
	accept []arm[R]
}

// An arm is what a state does with one message, and the arrows that leave it.
type arm[R any] struct {
	on   kind
	do   func(*R, message) (state, error)
	next []state
}

type table[R any] []row[R]

// handle gives the state at the peer's next message and returns the state
// after it, or the same one if the handler has put a question.
func (t table[R]) handle(r *R, at state, m message) (state, error) {
	arm := t.arm(at, m.kind)
	if arm == nil {
		return at, fault.UnexpectedMessage.With("%v in state %s", m.kind, t[at].name)
	}
	next, err := arm.do(r, m)
	return t.arrive(at, arm, next, err)
}

// resume does the rest of what handle began with a message of that kind.
func (t table[R]) resume(at state, on kind, rest func() (state, error)) (state, error) {
	next, err := rest()
	return t.arrive(at, t.arm(at, on), next, err)
}

func (t table[R]) arm(at state, on kind) *arm[R] {
	for i := range t[at].accept {
		if arm := &t[at].accept[i]; arm.on == on {
			return arm
		}
	}
	return nil
}

func (t table[R]) arrive(at state, arm *arm[R], next state, err error) (state, error) {
	switch {
	case err != nil || next == asked:
		return at, err
	case !slices.Contains(arm.next, next):
		return at, fault.Internal.With("no arrow from %s to %s", t[at].name, t[next].name)
	}
	return next, nil
}
