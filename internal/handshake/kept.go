package handshake

import "github.com/baretls/baretls/internal/keyschedule"

// kept is what an idle connection has of its key schedule, in memory of its own that
// is no larger than it has to be: nil, *secrets12 of TLS 1.2, or of TLS 1.3 an array
// of secrets back to back, each as long as its hash, in the order below.
type kept any

const (
	writeSecret = iota // what makes our application's keys
	readSecret         // and the peer's
	exporterSecret
	resumptionSecret // of a client that keeps sessions, for the tickets to come
)

// keepUpTo makes room for the secrets from the first to last, which is one of the
// last two.
func (c *Core) keepUpTo(last int) {
	switch (last + 1) * c.suite().Hash.Size() {
	case 3 * 32:
		c.kept = new([3 * 32]byte)
	case 4 * 32:
		c.kept = new([4 * 32]byte)
	case 3 * 48:
		c.kept = new([3 * 48]byte)
	default:
		c.kept = new([4 * 48]byte)
	}
}

// secrets13 are the secrets that are kept of TLS 1.3, or empty.
func (c *Core) secrets13() []byte {
	switch secrets := c.kept.(type) {
	case *[3 * 32]byte:
		return secrets[:]
	case *[4 * 32]byte:
		return secrets[:]
	case *[3 * 48]byte:
		return secrets[:]
	case *[4 * 48]byte:
		return secrets[:]
	}
	return nil
}

// secrets12 is what is kept of TLS 1.2, or nil.
func (c *Core) secrets12() *secrets12 {
	secrets, _ := c.kept.(*secrets12)
	return secrets
}

// keptSecret is where a secret is kept, or empty if it is not.
func (c *Core) keptSecret(which int) []byte {
	secrets := c.secrets13()
	if len(secrets) == 0 {
		return nil
	}
	size := c.suite().Hash.Size()
	if len(secrets) < (which+1)*size {
		return nil
	}
	return secrets[which*size:][:size]
}

func (c *Core) keepSecret(which int, secret []byte) { copy(c.keptSecret(which), secret) }

// trafficSecret is a copy of one of the first two, which the caller clears.
func (c *Core) trafficSecret(which int) (s keyschedule.TrafficSecret) {
	s.Load(c.keptSecret(which))
	return s
}

// nextSecret is application_traffic_secret_N+1 of one of the first two, which the
// caller clears.
func (c *Core) nextSecret(kdf *keyschedule.KDF, which int) keyschedule.TrafficSecret {
	s := c.trafficSecret(which)
	defer s.Clear()
	return s.Next(kdf)
}
