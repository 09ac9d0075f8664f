package netconn

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/baretls/baretls"
)

// TLS returns the connection beneath, for what it knows that a
// tls.ConnectionState has no room for: HandshakeKind, EarlyData,
// TicketsReceived, TLSExporter and so on may be called from any goroutine. It
// takes no turns any more. Before the handshake is complete it is nil.
func (c *Conn) TLS() *baretls.Conn {
	if !c.complete.Load() {
		return nil
	}
	return c.tls
}

// lock keeps the handshake, if it goes on, from changing what is asked for.
func (c *Conn) lock() (unlock func()) {
	if c.complete.Load() {
		return func() {}
	}
	c.writeMu.Lock()
	return c.unlockWrite
}

// ConnectionState returns what is known of the connection. Until
// HandshakeComplete nothing of it is authenticated. Its ExportKeyingMaterial
// method panics: use that of Conn.
func (c *Conn) ConnectionState() tls.ConnectionState {
	defer c.lock()()
	return c.tls.ConnectionState()
}

// ExportKeyingMaterial derives keys from the connection: see
// baretls.Conn.ExportKeyingMaterial.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	defer c.lock()()
	return c.tls.ExportKeyingMaterial(label, context, length)
}

// OCSPResponse returns what the server has stapled to its certificate, in DER
// and not verified, or nil. Client only.
func (c *Conn) OCSPResponse() []byte {
	defer c.lock()()
	return c.tls.OCSPResponse()
}

// VerifyHostname checks that the server's certificate is valid for that name,
// too. It is an error on a server, before the handshake is complete, and if the
// chain was not verified.
func (c *Conn) VerifyHostname(host string) error {
	state := c.ConnectionState()
	switch {
	case c.isServer():
		return errors.New("netconn: VerifyHostname is for clients")
	case !state.HandshakeComplete:
		return baretls.ErrHandshakeNotComplete
	case len(state.VerifiedChains) == 0:
		return errors.New("netconn: the server's chain was not verified")
	}
	return state.PeerCertificates[0].VerifyHostname(host)
}

// RefreshTrafficKeys changes the keys of both directions: see
// baretls.WriteTraffic.RefreshTrafficKeys. It sends a KeyUpdate, and is an
// error before the handshake is complete.
func (c *Conn) RefreshTrafficKeys() error {
	if !c.complete.Load() {
		return baretls.ErrHandshakeNotComplete
	}
	c.writing.Add(1)
	defer c.writing.Add(-1)
	c.writeMu.Lock()
	defer c.unlockWrite()
	if err := c.mayWrite(); err != nil {
		return err
	}
	if err := c.writer.RefreshTrafficKeys(); err != nil {
		return err
	}
	c.appendPending()
	return c.flush()
}

// SetResumptionData puts data of the application into the sessions that a
// server gives to its client: see baretls.ServerConn.SetResumptionData. It is
// an error for a client, and once the handshake is complete.
func (c *Conn) SetResumptionData(data []byte) error {
	if !c.isServer() {
		return fmt.Errorf("netconn: %w: only a server has resumption data", errors.ErrUnsupported)
	}
	c.writeMu.Lock()
	defer c.unlockWrite()
	return c.server.SetResumptionData(data)
}

// ResumptionData is what SetResumptionData put into the session that was
// resumed, or nil. Server only.
func (c *Conn) ResumptionData() []byte {
	if !c.isServer() {
		return nil
	}
	defer c.lock()()
	return c.server.ResumptionData()
}

func (c *Conn) isServer() bool { return c.server != nil }
