package handshake

import (
	"crypto/sha256"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/wire"
)

// The states of a server: RFC 9846, Appendix A.2. RECVD_CH, NEGOTIATED and
// WAIT_FLIGHT2 are passed through without waiting.
const (
	serverStart state = iota
	serverStartRetried
	serverWaitEOED
	serverWaitCert
	serverWaitCV
	serverWaitFinished
	serverConnected

	// TLS 1.2: RFC 5246, Section 7.3.
	serverWait12Cert
	serverWait12CKE
	serverWait12CV
	serverWait12CCS
	serverWait12Finished
	serverConnected12
)

// serverTable is the whole server on one page.
var serverTable = table[Server]{
	serverStart: {"START", []arm[Server]{
		{kind(wire.TypeClientHello), (*Server).clientHello, []state{serverStartRetried, serverWaitEOED, serverWaitCert, serverWaitFinished, serverWait12Cert, serverWait12CKE, serverWait12CCS}},
	}},
	serverStartRetried: {"START after HelloRetryRequest", []arm[Server]{
		{kind(wire.TypeClientHello), (*Server).secondHello, []state{serverWaitCert, serverWaitFinished}},
	}},
	serverWaitEOED: {"WAIT_EOED", []arm[Server]{
		{kind(wire.TypeEndOfEarlyData), (*Server).endOfEarlyData, []state{serverWaitFinished}},
	}},
	serverWaitCert: {"WAIT_CERT", []arm[Server]{
		{kind(wire.TypeCertificate), (*Server).certificate, []state{serverWaitCV, serverWaitFinished}},
	}},
	serverWaitCV: {"WAIT_CV", []arm[Server]{
		{kind(wire.TypeCertificateVerify), (*Server).certificateVerify, []state{serverWaitFinished}},
	}},
	serverWaitFinished: {"WAIT_FINISHED", []arm[Server]{
		{kind(wire.TypeFinished), (*Server).finished, []state{serverConnected}},
	}},
	serverConnected: {"CONNECTED", []arm[Server]{
		{kind(wire.TypeKeyUpdate), (*Server).keyUpdate, []state{serverConnected}},
	}},

	serverWait12Cert: {"TLS 1.2 WAIT_CERT", []arm[Server]{
		{kind(wire.TypeCertificate), (*Server).certificate12, []state{serverWait12CKE}},
	}},
	serverWait12CKE: {"TLS 1.2 WAIT_CKE", []arm[Server]{
		{kind(wire.TypeClientKeyExchange), (*Server).clientKeyExchange12, []state{serverWait12CV, serverWait12CCS}},
	}},
	serverWait12CV: {"TLS 1.2 WAIT_CV", []arm[Server]{
		{kind(wire.TypeCertificateVerify), (*Server).certificateVerify12, []state{serverWait12CCS}},
	}},
	serverWait12CCS: {"TLS 1.2 WAIT_CCS", []arm[Server]{
		{changeCipherSpec, (*Server).changeCipherSpec12, []state{serverWait12Finished}},
	}},
	serverWait12Finished: {"TLS 1.2 WAIT_FINISHED", []arm[Server]{
		{kind(wire.TypeFinished), (*Server).finished12, []state{serverConnected12}},
	}},
	serverConnected12: {"TLS 1.2 CONNECTED", []arm[Server]{
		{kind(wire.TypeClientHello), (*Server).renegotiation12, []state{serverConnected12}},
	}},
}

// Server is the server's side of a connection.
type Server struct {
	Core
	policy *ServerPolicy

	*serverHandshake
}

// serverHandshake is what a server holds until it is CONNECTED.
type serverHandshake struct {
	retryGroup *algo.Group       // that the HelloRetryRequest asked for; nil: none
	invariant  [sha256.Size]byte // of the first hello, once it was retried
	offer      pskOffer          // likewise
	retried    bool

	session      *Session // that is resumed; nil: none
	candidate    *Session // that may be, once its certificates are judged
	sessionIndex int      // of its PSK in the hello
	sessionAge   time.Duration
	binder       [32]byte // of its PSK, or the front of it
	ticketCount  int
	appData      []byte // to put into the sessions to come

	certRequested bool
	peer          chain
	clientApp     keyschedule.TrafficSecret

	hello *wire.ClientHello // until it is answered: its slices are the caller's

	*server12 // nil unless TLS 1.2 was chosen
}

// Init makes s a server that waits for a ClientHello.
func (s *Server) Init(policy *ServerPolicy) {
	s.policy = policy
	s.serverHandshake = serverHandshakes.take()
	s.Core.init(&policy.Policy)
	// To a stateless server the first record may be the client's second:
	// Section 4.3.2.
	s.takesCCS = policy.CookieKey != nil || s.asks(AskClientHello)
}

// adopt goes on under another policy.
func (s *Server) adopt(policy *ServerPolicy) {
	s.policy = policy
	s.Core.adopt(&policy.Policy)
}

// SetResumptionData puts data into the sessions to come. It is false when they
// have been sent.
func (s *Server) SetResumptionData(data []byte) bool {
	if s.serverHandshake == nil {
		return false
	}
	s.appData = data
	return true
}

// Handle implements Machine.
func (s *Server) Handle(raw []byte) error { return s.handle(classify(raw)) }

// ChangeCipherSpec implements Machine.
func (s *Server) ChangeCipherSpec() error { return s.handle(message{kind: changeCipherSpec}) }

func (s *Server) handle(m message) (err error) {
	s.begins(m.kind)
	s.state, err = serverTable.handle(s, s.state, m)
	s.ends()
	s.giveHello()
	return err
}

// Resume implements Machine.
func (s *Server) Resume() (err error) {
	s.begins(s.on)
	s.state, err = serverTable.resume(s.state, s.on, s.answered())
	s.ends()
	s.giveHello()
	return err
}

// State implements Machine.
func (s *Server) State() string { return serverTable[s.state].name }

// ResumptionData is what came back in the session that was resumed.
func (s *Server) ResumptionData() []byte {
	if s.Facts.Peer == nil { // of the zero Server
		return nil
	}
	return s.Facts.Peer.appData
}

// Forget implements Machine.
func (s *Server) Forget() {
	if s.serverHandshake != nil {
		s.server12.forget()
		for _, session := range []*Session{s.session, s.candidate} {
			if session != nil {
				session.Clear()
			}
		}
	}
	s.drop()
	s.Core.Forget()
}

// giveHello gives the memory of a hello back that has been answered. Who was
// asked about it may be reading it.
func (s *Server) giveHello() {
	if s.serverHandshake == nil || s.hello == nil || s.question != nil {
		return
	}
	if !s.seen() {
		hellos.give(s.hello, false)
	}
	s.hello = nil
}

// drop forgets what only the handshake needed.
func (s *Server) drop() {
	if x := s.serverHandshake; x != nil {
		s.serverHandshake = nil
		if x.server12 != nil {
			servers12.give(x.server12, s.seen())
		}
		serverHandshakes.give(x, s.seen())
	}
	s.Core.drop()
}

// PrepareAlert implements Machine: a server's keys change with its flight.
func (s *Server) PrepareAlert() {}
