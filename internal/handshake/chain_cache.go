package handshake

import (
	"crypto/sha256"
	"sync"

	"github.com/baretls/baretls/internal/algo"
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

// chainKey is a server's name and a digest of the certificates that it sent.
type chainKey struct {
	serverName string
	certs      [sha256.Size]byte
}

// add adds the next certificate: the digest is one of digests.
func (k *chainKey) add(der []byte) {
	var both [2 * sha256.Size]byte
	own := sha256.Sum256(der)
	copy(both[copy(both[:], k.certs[:]):], own[:])
	k.certs = sha256.Sum256(both[:])
}

type verified struct {
	*Peer
	key algo.PublicKey
}

// maxVerified bounds the cache.
const maxVerified = 64

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
