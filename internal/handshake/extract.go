package handshake

import "github.com/baretls/baretls/internal/keyschedule"

// TrafficKeys are the keys of one direction, to be used elsewhere.
type TrafficKeys struct {
	Sequence uint64
	Key, IV  []byte
}

// MayExtract reports whether the configuration lets secrets out.
func (c *Core) MayExtract() bool { return c.policy.Extract }

// ReadKeys are the present keys of the peer's records.
func (c *Core) ReadKeys() TrafficKeys { return c.trafficKeys(&c.readSecret, c.In.Seq()) }

// WriteKeys are the present keys of our records.
func (c *Core) WriteKeys() TrafficKeys { return c.trafficKeys(&c.writeSecret, c.Out.Seq()) }

func (c *Core) trafficKeys(secret *keyschedule.TrafficSecret, sequence uint64) TrafficKeys {
	kdf := c.policy.takeKDF(c.suite)
	defer c.policy.giveKDF(kdf)
	if c.secrets12 != nil {
		return c.trafficKeys12(kdf, secret == &c.writeSecret, sequence)
	}
	k := TrafficKeys{sequence, make([]byte, c.suite.KeyLen), make([]byte, 12)}
	secret.Key(kdf, k.Key)
	secret.IV(kdf, k.IV)
	return k
}

// ReadEpoch counts the peer's key updates.
func (c *Core) ReadEpoch() uint64 { return c.readEpoch }
