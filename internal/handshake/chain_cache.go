package handshake

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"sync"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/wire"
)

// chainCache remembers chains that were verified, so that a client that comes
// back to a server does not parse and verify the same bytes again. What the
// default verification says depends on nothing but those bytes, the name, the
// roots, which belong to the policy, and the time, which is checked anew.
// Parsed certificates are shared by the connections that have them, and so is
// what else is known of the peer, as long as it staples the same.
type chainCache struct {
	mutex   sync.Mutex
	entries map[chainKey]*verified
	order   []chainKey // the oldest first
}

// chainKey is a digest of a server's name and the certificates that it sent.
type chainKey [sha256.Size]byte

type verified struct {
	*Peer
	key algo.PublicKey
}

// maxVerified bounds the cache.
const maxVerified = 64

func newChainKey(serverName string, entries iter.Seq[wire.CertificateEntry]) (key chainKey) {
	hash := sha256.New()
	var length [4]byte
	add := func(b []byte) {
		binary.BigEndian.PutUint32(length[:], uint32(len(b)))
		hash.Write(length[:])
		hash.Write(b)
	}
	add([]byte(serverName))
	for entry := range entries {
		add(entry.Data)
	}
	hash.Sum(key[:0])
	return key
}

func (c *chainCache) get(key chainKey) *verified {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.entries[key]
}

func (c *chainCache) put(key chainKey, v *verified) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.entries == nil {
		c.entries = make(map[chainKey]*verified)
	}
	if _, ok := c.entries[key]; !ok {
		if len(c.order) == maxVerified {
			delete(c.entries, c.order[0])
			c.order = append(c.order[:0], c.order[1:]...)
		}
		c.order = append(c.order, key)
	}
	c.entries[key] = v
}
