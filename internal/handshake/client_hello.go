package handshake

import (
	"crypto/tls"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// The extensions of a ClientHello: always, for TLS 1.3, and for TLS 1.2.
const (
	offer = 1<<wire.ExtSupportedGroups | 1<<wire.ExtSignatureAlgorithms |
		1<<wire.ExtStatusRequest | 1<<wire.ExtSCT | 1<<wire.ExtRecordSizeLimit
	offer13 = 1<<wire.ExtSupportedVersions | 1<<wire.ExtKeyShare
	offer12 = 1<<wire.ExtExtendedMainSecret | 1<<wire.ExtRenegotiationInfo | 1<<wire.ExtECPointFormats
)

// sendFirstHello fills the ClientHello and queues it: RFC 9846, Sections
// 4.2.2 and 4.3.1.
func (c *Client) sendFirstHello(sni string) error {
	if err := c.policy.random(c.clientRandom[:]); err != nil {
		return err
	}
	// For a session ID that names no session, see below.
	if err := c.policy.random(c.sessionID[:]); err != nil {
		return err
	}
	h := &c.hello
	*h = wire.ClientHello{
		LegacyVersion:       tls.VersionTLS12,
		Random:              c.clientRandom[:],
		CipherSuites:        c.policy.suites,
		CompressionMethods:  []byte{0},
		Has:                 offer,
		SupportedVersions:   c.policy.versions,
		SupportedGroups:     c.policy.groups,
		SignatureAlgorithms: c.policy.schemes,
		ALPN:                c.policy.protocols,
		RecordSizeLimit:     c.policy.RecordSizeLimit,
	}
	if !c.policy.TLS13 { // whose content type counts: RFC 8449, Section 4
		h.RecordSizeLimit = min(h.RecordSizeLimit, record.MaxPlaintext)
	}
	if sni != "" {
		h.Has = h.Has.With(wire.ExtServerName)
		h.ServerName = []byte(sni)
	}
	if len(c.policy.protocols) > 0 {
		h.Has = h.Has.With(wire.ExtALPN)
	}
	if c.policy.TLS13 {
		h.Has |= offer13
		h.SessionID = c.sessionID[:] // middlebox compatibility: Appendix E.4
	}
	if c.policy.TLS12 {
		h.Has |= offer12
	}
	if c.policy.Sessions != nil {
		c.offerSession()
	}
	if c.policy.TLS13 {
		if err := c.generateShares(c.policy.Groups[0]); err != nil {
			return err
		}
	}
	// "a record containing an initial ClientHello SHOULD have version 0x0301"
	c.Out.Initial = true
	return c.sendHello()
}

// generateShares makes the key shares of the hello: one for the group, and for
// a hybrid whose classical half is a group of its own in the configuration,
// that half again, so that a server without the hybrid needs no retry. It
// costs 32 bytes and no computation: the private key is the same.
func (c *Client) generateShares(group *algo.Group) error {
	share, err := group.Generate(c.policy.Rand)
	if err != nil {
		return err
	}
	c.dropShares() // those of a hello that was refused
	c.shares[0] = share
	if half := share.Classical(); half != nil && c.retryGroup == nil && c.supports(half.Group()) {
		c.shares[1] = half
	}
	return nil
}

// dropShares forgets the keys that were offered.
func (c *clientHandshake) dropShares() {
	for i, s := range c.shares {
		if s != nil {
			s.Clear()
			c.shares[i] = nil
		}
	}
}

func (c *Client) supports(g *algo.Group) bool {
	return c.hello.SupportedGroups.Contains(uint16(g.ID))
}

// share is the one that was offered for the group.
func (c *Client) share(id tls.CurveID) *algo.KeyShare {
	for _, s := range c.shares {
		if s != nil && s.Group().ID == id {
			return s
		}
	}
	return nil
}

func (c *Client) sendHello() error {
	c.hello.KeyShares = c.shareRoom[:0]
	for _, s := range c.shares {
		if s != nil {
			c.hello.KeyShares = wire.AppendKeyShare(c.hello.KeyShares, uint16(s.Group().ID), s.AppendPublic(c.room[:0]))
		}
	}
	psk := c.hello.Has.Has(wire.ExtPreSharedKey)
	if psk {
		c.setPSK()
	}
	b := c.Out.Buffer()
	start := len(b)
	hello := c.hello.Append(b)
	if hello == nil && c.session != nil { // a ticket is worth less than a connection
		c.dropSession()
		psk = false
		hello = c.hello.Append(b)
	}
	if b = hello; b == nil {
		return fault.IllegalParameter.With("cookie of %d bytes does not fit into a ClientHello", len(c.hello.Cookie))
	}
	if psk {
		c.sealBinder(b[start:])
	}
	c.send(b, start)
	if c.transcript.Started() {
		return nil
	}
	// The hash is not known before the server's answer.
	c.firstHello = append(c.helloRoom[:0], c.Out.Buffer()[start:]...)
	if c.policy.TestingRewrite != nil { // go by what was really sent
		if err := c.hello.Parse(c.firstHello[wire.HeaderLen:]); err != nil {
			return err
		}
	}
	if c.hello.Has.Has(wire.ExtEarlyData) {
		return c.openEarlyData(c.firstHello)
	}
	return nil
}

// maxHelloRequests is how many a server may send during a handshake.
const maxHelloRequests = 4

// helloRequest asks for what is going on already: "this message will be ignored
// by the client", and is in no hash (RFC 5246, Section 7.4.1.1).
func (c *Client) helloRequest(m message) (state, error) {
	if err := wire.ParseEmpty(wire.TypeHelloRequest, m.body()); err != nil {
		return 0, err
	}
	if c.helloRequests++; !c.policy.TLS12 || c.helloRequests > maxHelloRequests {
		return 0, fault.UnexpectedMessage.With("HelloRequest of number %d in a handshake", c.helloRequests)
	}
	// A protected Finished without its change_cipher_spec begins like this, by
	// the explicit nonce. Nothing of the handshake can follow in that record.
	if (c.state == clientWait12CCS || c.state == clientWait12NST) && !c.In.Empty() {
		return 0, fault.UnexpectedMessage.With("HelloRequest and more in place of a change_cipher_spec")
	}
	return c.state, nil
}
