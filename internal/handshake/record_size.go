package handshake

import "crypto/tls"

// limitRecords keeps to the peer's record_size_limit: RFC 8449, Section 4. The
// limit of TLS 1.3 counts the content type and the padding with the content.
// It holds for protected records, so it takes effect with the next keys.
func (c *Core) limitRecords(limit uint16) {
	if c.Facts.Version == tls.VersionTLS13 || c.Facts.Version == 0 {
		limit--
	}
	c.fragment = limit
}

// holdRecords holds the peer to our own limit, to which it has agreed.
func (c *Core) holdRecords() { c.In.LimitInner(int(c.policy.RecordSizeLimit)) }
