package handshake

import (
	"crypto/tls"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// helloRetryRequest answers the server's wish for another ClientHello:
// RFC 9846, Section 4.2.4.
func (c *Client) helloRetryRequest(m message) (state, error) {
	var h wire.ServerHello
	if err := c.parseServerHello(&h, m); err != nil {
		return 0, err
	}
	if !h.TLS13 {
		return 0, fault.MissingExtension.With("HelloRetryRequest without supported_versions")
	}
	// "if the HelloRetryRequest would not result in any change"
	if !h.Has.Has(wire.ExtKeyShare) && !h.Has.Has(wire.ExtCookie) {
		return 0, fault.UnneededRetry
	}
	if h.Has.Has(wire.ExtKeyShare) {
		id := tls.CurveID(h.KeyShareGroup)
		if !c.hello.SupportedGroups.Contains(h.KeyShareGroup) {
			return 0, fault.IllegalParameter.With("HelloRetryRequest for group %v, which was not offered", id)
		}
		if c.share(id) != nil {
			return 0, fault.UnneededRetry.With("the share of group %v was in the first hello", id)
		}
		c.retryGroup = algo.GroupByID(id)
	}
	c.retried = c.suite()
	c.transcript.Restart()
	c.transcript.Add(m.raw)
	c.Facts.Kind = KindFullWithRetry

	// "the client MUST send the same ClientHello without modification", but
	// for the share and the cookie (Sections 4.2.2, 4.3.2 and 4.3.8).
	if c.retryGroup != nil {
		if err := c.generateShares(c.retryGroup); err != nil {
			return 0, err
		}
	}
	if h.Has.Has(wire.ExtCookie) {
		c.hello.Has = c.hello.Has.With(wire.ExtCookie)
		c.hello.Cookie = append([]byte(nil), h.Cookie...)
	}
	// Early data "is not permitted after a HelloRetryRequest", and PSKs of
	// another hash SHOULD NOT be offered again.
	if c.hello.Has.Has(wire.ExtEarlyData) {
		c.hello.Has = c.hello.Has.Without(wire.ExtEarlyData)
		c.refuseEarlyData()
		c.Out.EnqueueKeys(new(record.Keys))
	}
	if c.session != nil && algo.SuiteByID(c.session.Suite).Hash != c.suite().Hash {
		c.dropSession()
	}
	c.sendCCS()
	return clientWaitSHRetried, c.sendHello()
}
