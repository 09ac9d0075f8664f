package handshake

// TrafficKeys are the keys of one direction, to be used elsewhere.
type TrafficKeys struct {
	Sequence uint64
	Key, IV  []byte
}

// MayExtract reports whether the configuration lets secrets out.
func (c *Core) MayExtract() bool { return c.policy.Extract }

// ReadKeys are the present keys of the peer's records.
func (c *Core) ReadKeys() TrafficKeys { return c.trafficKeys(false, c.In.Seq()) }

// WriteKeys are the present keys of our records.
func (c *Core) WriteKeys() TrafficKeys { return c.trafficKeys(true, c.Out.Seq()) }

func (c *Core) trafficKeys(write bool, sequence uint64) TrafficKeys {
	kdf := c.policy.takeKDF(c.suite())
	defer c.policy.giveKDF(kdf)
	if c.secrets12() != nil {
		return c.trafficKeys12(kdf, write, sequence)
	}
	which := readSecret
	if write {
		which = writeSecret
	}
	secret := c.trafficSecret(which)
	defer secret.Clear()
	k := TrafficKeys{sequence, make([]byte, c.suite().KeyLen), make([]byte, 12)}
	secret.Key(kdf, k.Key)
	secret.IV(kdf, k.IV)
	return k
}

// ReadEpoch counts the peer's key updates, modulo 256: more than may come in a
// record.
func (c *Core) ReadEpoch() uint8 { return c.readEpoch }
