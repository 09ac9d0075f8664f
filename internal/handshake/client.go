package handshake

import (
	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/wire"
)

// The states of a client: RFC 9846, Appendix A.1.
const (
	clientWaitSH state = iota
	clientWaitSHRetried
	clientWaitEE
	clientWaitCertCR
	clientWaitCert
	clientWaitCV
	clientWaitFinished
	clientConnected

	// TLS 1.2: RFC 5246, Section 7.3.
	clientWait12Cert
	clientWait12StatusSKE
	clientWait12SKE
	clientWait12CRDone
	clientWait12Done
	clientWait12NST
	clientWait12CCS
	clientWait12Finished
	clientConnected12
)

// clientTable is the whole client on one page.
var clientTable = table[Client]{
	clientWaitSH: {"WAIT_SH", []arm[Client]{
		{kind(wire.TypeServerHello), (*Client).serverHello, []state{clientWaitEE, clientWait12Cert, clientWait12NST, clientWait12CCS}},
		{helloRetryRequest, (*Client).helloRetryRequest, []state{clientWaitSHRetried}},
		{kind(wire.TypeHelloRequest), (*Client).helloRequest, []state{clientWaitSH}},
	}},
	clientWaitSHRetried: {"WAIT_SH after HelloRetryRequest", []arm[Client]{
		{kind(wire.TypeServerHello), (*Client).serverHello, []state{clientWaitEE}},
	}},
	clientWaitEE: {"WAIT_EE", []arm[Client]{
		{kind(wire.TypeEncryptedExtensions), (*Client).encryptedExtensions, []state{clientWaitCertCR, clientWaitFinished}},
	}},
	clientWaitCertCR: {"WAIT_CERT_CR", []arm[Client]{
		{kind(wire.TypeCertificateRequest), (*Client).certificateRequest, []state{clientWaitCert}},
		{kind(wire.TypeCertificate), (*Client).certificate, []state{clientWaitCV}},
	}},
	clientWaitCert: {"WAIT_CERT", []arm[Client]{
		{kind(wire.TypeCertificate), (*Client).certificate, []state{clientWaitCV}},
	}},
	clientWaitCV: {"WAIT_CV", []arm[Client]{
		{kind(wire.TypeCertificateVerify), (*Client).certificateVerify, []state{clientWaitFinished}},
	}},
	clientWaitFinished: {"WAIT_FINISHED", []arm[Client]{
		{kind(wire.TypeFinished), (*Client).finished, []state{clientConnected}},
	}},
	// No CertificateRequest: post_handshake_auth is not offered (Sections 4.3.6, 4.7.2).
	clientConnected: {"CONNECTED", []arm[Client]{
		{kind(wire.TypeNewSessionTicket), (*Client).newSessionTicket, []state{clientConnected}},
		{kind(wire.TypeKeyUpdate), (*Client).keyUpdate, []state{clientConnected}},
	}},

	clientWait12Cert: {"TLS 1.2 WAIT_CERT", []arm[Client]{
		{kind(wire.TypeCertificate), (*Client).certificate12, []state{clientWait12StatusSKE, clientWait12SKE}},
		{kind(wire.TypeHelloRequest), (*Client).helloRequest, []state{clientWait12Cert}},
	}},
	clientWait12StatusSKE: {"TLS 1.2 WAIT_STATUS_SKE", []arm[Client]{
		{kind(wire.TypeCertificateStatus), (*Client).certificateStatus12, []state{clientWait12SKE}},
		{kind(wire.TypeServerKeyExchange), (*Client).serverKeyExchange12, []state{clientWait12CRDone}},
		{kind(wire.TypeHelloRequest), (*Client).helloRequest, []state{clientWait12StatusSKE}},
	}},
	clientWait12SKE: {"TLS 1.2 WAIT_SKE", []arm[Client]{
		{kind(wire.TypeServerKeyExchange), (*Client).serverKeyExchange12, []state{clientWait12CRDone}},
		{kind(wire.TypeHelloRequest), (*Client).helloRequest, []state{clientWait12SKE}},
	}},
	clientWait12CRDone: {"TLS 1.2 WAIT_CR_DONE", []arm[Client]{
		{kind(wire.TypeCertificateRequest), (*Client).certificateRequest12, []state{clientWait12Done}},
		{kind(wire.TypeServerHelloDone), (*Client).serverHelloDone12, []state{clientWait12NST, clientWait12CCS}},
		{kind(wire.TypeHelloRequest), (*Client).helloRequest, []state{clientWait12CRDone}},
	}},
	clientWait12Done: {"TLS 1.2 WAIT_DONE", []arm[Client]{
		{kind(wire.TypeServerHelloDone), (*Client).serverHelloDone12, []state{clientWait12NST, clientWait12CCS}},
		{kind(wire.TypeHelloRequest), (*Client).helloRequest, []state{clientWait12Done}},
	}},
	clientWait12NST: {"TLS 1.2 WAIT_NST", []arm[Client]{
		{kind(wire.TypeNewSessionTicket), (*Client).newSessionTicket12, []state{clientWait12CCS}},
		{kind(wire.TypeHelloRequest), (*Client).helloRequest, []state{clientWait12NST}},
	}},
	clientWait12CCS: {"TLS 1.2 WAIT_CCS", []arm[Client]{
		{changeCipherSpec, (*Client).changeCipherSpec12, []state{clientWait12Finished}},
		{kind(wire.TypeHelloRequest), (*Client).helloRequest, []state{clientWait12CCS}},
	}},
	clientWait12Finished: {"TLS 1.2 WAIT_FINISHED", []arm[Client]{
		{kind(wire.TypeFinished), (*Client).finished12, []state{clientConnected12}},
		{kind(wire.TypeHelloRequest), (*Client).helloRequest, []state{clientWait12Finished}},
	}},
	clientConnected12: {"TLS 1.2 CONNECTED", []arm[Client]{
		{kind(wire.TypeHelloRequest), (*Client).helloRequest12, []state{clientConnected12}},
	}},
}

// Client is the client's side of a connection.
type Client struct {
	Core
	policy *ClientPolicy

	*clientHandshake
}

// clientHandshake is what a client holds until it is CONNECTED.
type clientHandshake struct {
	hello     wire.ClientHello // as it was sent last
	sessionID [32]byte
	shares    [2]*algo.KeyShare // that hello offers; a classical one may be part of the hybrid
	shareRoom [128]byte         // for them as they are sent, but for hybrids

	firstHello []byte    // until the ServerHello or the retry fixes the hash
	helloRoom  [512]byte // for it, if it is an ordinary one without a hybrid
	session    *Session  // whose PSK the hello offers
	resumed    bool      // the server took it

	retried    *algo.Suite // that the HelloRetryRequest chose
	retryGroup *algo.Group // that it asked for, if it did
	flightOpen bool        // the second flight has begun: CCS and keys are queued
	earlyTaken bool        // the server says that it reads early data, which may be wrong

	helloRequests uint8 // that came meanwhile

	peer          chain
	peerKey       chainKey // in the cache of chains
	verdict       Verification
	certRequested bool
	credential    *Credential  // to answer the request with; nil: none fits
	scheme        *algo.Scheme // to sign with

	client12 // unless TLS 1.3 was chosen
}

// Init makes c a client of the server of that name, a DNS name or an IP
// address, and queues its ClientHello.
func (c *Client) Init(policy *ClientPolicy, serverName, sni string) error {
	c.policy = policy
	c.clientHandshake = clientHandshakes.take()
	c.Core.init(&policy.Policy)
	c.Facts.ServerName = serverName
	c.takesCCS, c.TakesWarnings = policy.TLS13, policy.TLS12
	return c.sendFirstHello(sni)
}

// Handle implements Machine.
func (c *Client) Handle(raw []byte) error { return c.handle(classify(raw)) }

// ChangeCipherSpec implements Machine.
func (c *Client) ChangeCipherSpec() error { return c.handle(message{kind: changeCipherSpec}) }

func (c *Client) handle(m message) (err error) {
	c.begins(m.kind)
	c.state, err = clientTable.handle(c, c.state, m)
	c.ends()
	return err
}

// Resume implements Machine.
func (c *Client) Resume() (err error) {
	c.begins(c.on)
	c.state, err = clientTable.resume(c.state, c.on, c.answered())
	c.ends()
	return err
}

// State implements Machine.
func (c *Client) State() string { return clientTable[c.state].name }

// Forget implements Machine.
func (c *Client) Forget() {
	if c.clientHandshake != nil {
		if c.session != nil {
			c.session.Clear()
		}
		c.dropShares()
		c.client12.forget()
	}
	c.drop()
	c.Core.Forget()
}

// drop forgets what only the handshake needed.
func (c *Client) drop() {
	if x := c.clientHandshake; x != nil {
		c.clientHandshake = nil
		clientHandshakes.give(x, c.seen())
	}
	c.Core.drop()
}

// PrepareAlert implements Machine: "If clients need to send such alerts, they
// SHOULD first rekey to the handshake keys if possible" (Appendix A.1).
func (c *Client) PrepareAlert() {
	// A server that has accepted early data reads by its keys until they end.
	if c.exchange != nil && c.clientHS.Set() && !c.earlyTaken {
		c.openFlight()
	}
}

// openFlight begins the client's second flight.
func (c *Client) openFlight() error {
	if c.flightOpen {
		return nil
	}
	c.flightOpen = true
	c.earlyWrite = false
	c.sendCCS()
	return c.enqueueWriteKeys(&c.clientHS)
}
