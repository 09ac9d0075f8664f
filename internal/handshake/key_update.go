package handshake

import (
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// traffic is what it takes to change the application's keys: RFC 9846,
// Sections 4.7.3 and 7.2. When that is due, see dataRecords below; what a user
// asks for, RefreshTrafficKeys in the root package.
type traffic struct {
	box  box    // between the halves: see split.go
	owed uint32 // what the writer saw there last

	queued bool  // a KeyUpdate of ours waits to be sealed
	split  bool  // the connection has halves
	idle   uint8 // post-handshake messages since the last data

	readEpoch uint8 // KeyUpdates received, modulo 256
}

// maxIdleMessages is how many KeyUpdates and tickets a peer may send without
// any data between them.
const maxIdleMessages = 32

// maxWriteEpoch: "sending implementations MUST NOT allow the epoch … to exceed
// 2^48-1".
const maxWriteEpoch = 1<<48 - 1

func (c *Client) keyUpdate(m message) (state, error) { return clientConnected, c.Core.keyUpdate(m) }
func (s *Server) keyUpdate(m message) (state, error) { return serverConnected, s.Core.keyUpdate(m) }

// keyUpdate follows the peer to its next key, and answers if it wants that.
func (c *Core) keyUpdate(m message) error {
	var u wire.KeyUpdate
	if err := u.Parse(m.body()); err != nil {
		return err
	}
	if !c.updateAnswered() { // an answer to us is no flood
		if c.idle++; c.idle > maxIdleMessages {
			return fault.TooManyKeyUpdates
		}
	}
	kdf := c.policy.takeKDF(c.suite())
	defer c.policy.giveKDF(kdf)
	next := c.nextSecret(kdf, readSecret)
	defer next.Clear()
	k, err := c.keys(c.suite(), kdf, &next)
	if err != nil {
		return err
	}
	if err := c.In.SetKeys(&k); err != nil {
		return err
	}
	c.keepSecret(readSecret, next.Bytes())
	c.readEpoch++
	// One answer will do for many requests, and there is none after the end.
	switch {
	case !u.UpdateRequested:
	case c.split:
		c.box.post(updateDue)
	case c.queued && c.Out.Pending(), c.WriteClosed, c.writeEpoch == maxWriteEpoch:
	default:
		return c.UpdateKeys(false)
	}
	return nil
}

// UpdateKeys queues a KeyUpdate and the key change that it announces.
func (c *Core) UpdateKeys(request bool) error {
	if c.split {
		return c.postRequest()
	}
	k, err := c.nextWriteKeys()
	if err != nil {
		return err
	}
	u := wire.KeyUpdate{UpdateRequested: request && c.mayRequest()}
	c.queued = true
	c.Out.Enqueue(record.Handshake, u.Append(c.Out.Buffer()))
	c.Out.EnqueueKeys(&k)
	return nil
}

func (c *Core) nextWriteKeys() (k record.Keys, err error) {
	if c.writeEpoch == maxWriteEpoch {
		return k, fault.KeyLimitReached
	}
	kdf := c.policy.takeKDF(c.suite())
	defer c.policy.giveKDF(kdf)
	next := c.nextSecret(kdf, writeSecret)
	defer next.Clear()
	if k, err = c.keys(c.suite(), kdf, &next); err != nil {
		return k, err
	}
	c.keepSecret(writeSecret, next.Bytes())
	c.writeEpoch++
	return k, nil
}

// SawData tells that the peer sent data, so that its key updates count anew.
func (c *Core) SawData() {
	if c.idle != 0 { // or the writer's cache would have to follow
		c.idle = 0
	}
}

// keyUpdateLen is the content of a record that has nothing but a KeyUpdate.
const keyUpdateLen = wire.HeaderLen + 1

// dataRecords is how many records n bytes of data take, and how many
// KeyUpdates stand between them: the last record that a key may seal is kept
// for the KeyUpdate to the next (Section 5.5).
func (c *Core) dataRecords(n int) (records, updates int) {
	f := c.Out.Fragment()
	records = (n + f - 1) / f
	if c.Out.TLS12() {
		return records, 0
	}
	room := max(c.Out.Left(), 1) - 1
	if c.owed&updateDue != 0 { // "prior to sending its next Application Data record"
		room = 0
	}
	if uint64(records) > room {
		updates = 1 + int((uint64(records)-room-1)/(c.Out.Limit()-1))
	}
	return records, updates
}

// alone reports whether n bytes of data, one at least, are one record and
// nothing else, which is the rule.
func (c *Core) alone(n int) bool { return n <= c.Out.Fragment() && !c.updateFirst() }

// updateFirst reports whether a KeyUpdate has to go before the next data.
func (c *Core) updateFirst() bool {
	return c.owed&updateDue != 0 || c.Out.Left() <= 1 && !c.Out.TLS12()
}

// Exhausts reports whether n bytes of data take more records than the key may
// protect, and the key cannot be changed: TLS 1.2.
func (c *Core) Exhausts(n int) bool {
	return c.Out.TLS12() && c.exhausts12(n)
}

func (c *Core) exhausts12(n int) bool {
	records, _ := c.dataRecords(n)
	return uint64(records) >= c.Out.Left() // the last is for the close_notify
}

// SealedLen is the exact size on the wire of n bytes of application data.
func (c *Core) SealedLen(n int) int {
	switch {
	case n <= 0:
		return 0
	case c.alone(n):
		return c.Out.RecordLen(n)
	}
	records, updates := c.dataRecords(n)
	last := n - (records-1)*c.Out.Fragment()
	return (records-1)*c.Out.RecordLen(c.Out.Fragment()) + c.Out.RecordLen(last) + updates*c.Out.RecordLen(keyUpdateLen)
}

// SealData seals data into dst, which has SealedLen bytes, and returns that
// length. They may share memory: what is one record is sealed where it lies,
// if that is in its place; anything else is moved first.
func (c *Core) SealData(dst, data []byte) (int, error) {
	if len(data) > 0 && c.alone(len(data)) {
		return c.Out.Seal(dst, record.ApplicationData, data), nil
	}
	data = record.Aside(dst, data)
	written := 0
	for len(data) > 0 {
		if c.updateFirst() {
			n, err := c.sealKeyUpdate(dst[written:])
			if err != nil {
				return 0, err
			}
			written += n
		}
		k := min(len(data), c.Out.Fragment())
		written += c.Out.Seal(dst[written:], record.ApplicationData, data[:k])
		data = data[k:]
	}
	return written, nil
}

// sealKeyUpdate writes a KeyUpdate and goes on to the next key at once.
func (c *Core) sealKeyUpdate(dst []byte) (int, error) {
	k, err := c.nextWriteKeys()
	if err != nil {
		return 0, err
	}
	var message [keyUpdateLen]byte
	u := wire.KeyUpdate{UpdateRequested: c.takeUpdate()}
	n := c.Out.Seal(dst, record.Handshake, u.Append(message[:0]))
	c.Out.SetKeys(&k)
	return n, nil
}
