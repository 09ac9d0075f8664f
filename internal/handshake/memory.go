package handshake

import (
	"sync"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/wire"
)

// What only a handshake needs is on loan from pools, and is given back when the
// handshake is over. Two rules make that safe: it is cleared before, so that no
// connection sees a byte of another's; and it is given back only if nothing can
// refer to it any more. So what belongs to a question that was put to the caller,
// who may keep it, and what a handler is at work with, is left to the collector.

// A pool has memory that is all zeros.
type pool[T any] struct{ sync.Pool }

func (p *pool[T]) take() *T {
	if x, ok := p.Get().(*T); ok {
		return x
	}
	return new(T)
}

// give clears x, and keeps it for others unless it may still be seen.
func (p *pool[T]) give(x *T, seen bool) {
	*x = *new(T)
	if !seen {
		p.Put(x)
	}
}

var (
	exchanges        pool[exchange]
	clientHandshakes pool[clientHandshake]
	serverHandshakes pool[serverHandshake]
	servers12        pool[server12]
	hellos           pool[wire.ClientHello]
)

// begins and ends are called around the handler of a message.
func (c *Core) begins(on kind) {
	if c.exchange != nil {
		c.on, c.handling = on, true
	}
}

func (c *Core) ends() {
	if c.exchange != nil {
		c.handling = false
	}
}

// seen reports whether memory of the handshake may still be looked at: by who
// was asked, or by the handler of a message.
func (c *Core) seen() bool { return c.shown || c.handling || c.policy.TestingNoPools }

// kdfs are those over SHA-256 and over SHA-384. All are as good as new.
var kdfs [2]sync.Pool

func kdfsOf(size int) *sync.Pool {
	if size == 32 {
		return &kdfs[0]
	}
	return &kdfs[1]
}

// takeKDF returns a KDF, to be given back.
func (p *Policy) takeKDF(suite *algo.Suite) *keyschedule.KDF {
	if !p.TestingNoPools {
		if k, ok := kdfsOf(suite.Hash.Size()).Get().(*keyschedule.KDF); ok {
			return k
		}
	}
	return keyschedule.NewKDF(suite.NewHash)
}

func (p *Policy) giveKDF(k *keyschedule.KDF) {
	k.Clear()
	if !p.TestingNoPools {
		kdfsOf(k.Size()).Put(k)
	}
}
