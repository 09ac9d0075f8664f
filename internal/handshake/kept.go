package handshake

import "github.com/baretls/baretls/internal/keyschedule"

// kept is what an idle connection of TLS 1.3 has of its key schedule: secrets
// back to back, each as long as its hash, in the order below. Nothing else is
// in that memory, so that it is no larger than it has to be.
type kept []byte

const (
	writeSecret = iota // what makes our application's keys
	readSecret         // and the peer's
	exporterSecret
	resumptionSecret // of a client that keeps sessions, for the tickets to come
)

// keepUpTo makes room for the secrets from the first to last.
func (c *Core) keepUpTo(last int) { c.kept = make([]byte, (last+1)*c.suite().Hash.Size()) }

// keptSecret is where a secret is kept, or empty if it is not.
func (c *Core) keptSecret(which int) []byte {
	if len(c.kept) == 0 {
		return nil
	}
	size := c.suite().Hash.Size()
	if len(c.kept) < (which+1)*size {
		return nil
	}
	return c.kept[which*size:][:size]
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
