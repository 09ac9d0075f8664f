package baretls

import (
	"errors"
	"sync"
	"time"

	"github.com/baretls/baretls/internal/handshake"
)

// ReplayGuard remembers the first flights that came with 0-RTT data, so that
// each is accepted once: RFC 9846, Section 8.2. All servers that accept one
// another's tickets should share one; where each has its own, a flight can be
// replayed once to each. Methods are called from any goroutine and must not
// block.
type ReplayGuard interface {
	// Since is the time from which on the guard has been remembering. Early
	// data is rejected until it has done so for ReplayWindow: what came before
	// it began may come again. A guard that outlives its servers says when it
	// was set up, or the zero time.
	Since() time.Time
	// Fresh enters a flight and reports whether it was not there before. It
	// may forget the flight when it expires. On an error early data is
	// rejected, and the handshake goes on.
	Fresh(flight [32]byte, expires time.Time) (bool, error)
}

// ReplayWindow is how long a first flight could be accepted, and so how long a
// ReplayGuard remembers it.
const ReplayWindow = 2 * handshake.EarlyDataWindow

// NewReplayGuard returns a ReplayGuard in memory for so many flights in a
// ReplayWindow; when there are more, it cannot tell, and early data is
// rejected for a while. It goes by time.Now: configs that share it must have
// that clock. A capacity of 0 stands for 65536. A flight takes about
// 100 bytes.
func NewReplayGuard(capacity int) ReplayGuard {
	return newReplayGuard(capacity, time.Now)
}

func newReplayGuard(capacity int, now func() time.Time) *replayGuard {
	if capacity <= 0 {
		capacity = 1 << 16
	}
	return &replayGuard{capacity: capacity, since: now(), now: now}
}

// replayGuard has two generations: what is in the older one is at least a
// window old when the younger one takes its place.
type replayGuard struct {
	capacity int
	since    time.Time
	now      func() time.Time

	mutex          sync.Mutex
	younger, older map[[32]byte]struct{}
	turned         time.Time // when the younger one was begun
}

var errReplayGuardFull = errors.New("baretls: replay guard is full")

func (g *replayGuard) Since() time.Time { return g.since }

func (g *replayGuard) Fresh(flight [32]byte, expires time.Time) (bool, error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	now := g.now()
	if age := now.Sub(g.turned); g.younger == nil || age >= ReplayWindow {
		g.older = g.younger
		if age >= 2*ReplayWindow {
			g.older = nil
		}
		g.younger, g.turned = make(map[[32]byte]struct{}), now
	}
	if _, ok := g.younger[flight]; ok {
		return false, nil
	}
	if _, ok := g.older[flight]; ok {
		return false, nil
	}
	if len(g.younger) >= g.capacity {
		return false, errReplayGuardFull
	}
	g.younger[flight] = struct{}{}
	return true, nil
}
