package baretls

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A guarded is a replay guard whose clock the test moves.
type guarded struct {
	*replayGuard
	t  *testing.T
	at time.Time
}

func newGuarded(t *testing.T, capacity int) *guarded {
	g := &guarded{NewReplayGuard(capacity).(*replayGuard), t, time.Unix(1_000_000, 0)}
	g.now = func() time.Time { return g.at }
	return g
}

func flight(n int) [32]byte { return sha256.Sum256([]byte(fmt.Sprint("flight ", n))) }

func (g *guarded) want(fresh bool, n int, when string) {
	g.t.Helper()
	got, err := g.Fresh(flight(n), g.at.Add(ReplayWindow))
	if got != fresh || err != nil {
		g.t.Errorf("%s: flight %d is fresh: %t, %v, want %t", when, n, got, err, fresh)
	}
}

func TestReplayGuardKnowsAFlightForAWindow(t *testing.T) {
	// Where in the guard's generations the flight comes makes no difference.
	for begin := time.Duration(0); begin < 3*ReplayWindow; begin += ReplayWindow / 8 {
		for again := time.Duration(0); again <= ReplayWindow; again += ReplayWindow / 16 {
			g := newGuarded(t, 0)
			g.want(true, 0, "at the guard's beginning")
			g.at = g.at.Add(begin)
			g.want(true, 1, fmt.Sprintf("%v later, for the first time", begin))
			g.at = g.at.Add(again)
			g.want(true, 2, "a flight in between")
			g.want(false, 1, fmt.Sprintf("%v after it came %v after the guard's beginning", again, begin))
		}
	}
}

func TestReplayGuardForgets(t *testing.T) {
	g := newGuarded(t, 0)
	for n := range 100 {
		g.want(true, n, "at first")
	}
	for range 2 {
		g.at = g.at.Add(ReplayWindow)
		g.want(true, 1000+int(g.at.Unix()), "a flight of a later generation")
	}
	if n := len(g.younger) + len(g.older); n != 2 {
		t.Errorf("two windows later the guard holds %d flights, want 2", n)
	}
	g.at = g.at.Add(10 * ReplayWindow)
	g.want(true, 5000, "after a pause")
	if n := len(g.younger) + len(g.older); n != 1 {
		t.Errorf("after a pause the guard holds %d flights, want 1", n)
	}
}

func TestReplayGuardIsBounded(t *testing.T) {
	g := newGuarded(t, 3)
	for n := range 3 {
		g.want(true, n, "while there is room")
	}
	for n := 3; n < 100; n++ {
		if fresh, err := g.Fresh(flight(n), g.at); fresh || err == nil {
			t.Fatalf("a guard for 3 flights calls flight %d fresh: %t, %v, want an error: it cannot tell", n, fresh, err)
		}
	}
	g.want(false, 1, "a flight that it knows, while it is full")
	if n := len(g.younger) + len(g.older); n != 3 {
		t.Errorf("a guard for 3 flights holds %d", n)
	}
	g.at = g.at.Add(ReplayWindow)
	g.want(false, 1, "a window later, in the older generation")
	for n := 10; n < 13; n++ {
		g.want(true, n, "a window later there is room again")
	}
	if n := len(g.younger) + len(g.older); n > 6 {
		t.Errorf("a guard for 3 flights in a window holds %d in two", n)
	}
}

// A clock that is set back does not make the guard forget.
func TestReplayGuardWithAClockSetBack(t *testing.T) {
	g := newGuarded(t, 0)
	g.want(true, 1, "at first")
	g.at = g.at.Add(-time.Hour)
	g.want(false, 1, "after the clock was set back")
	g.want(true, 2, "after the clock was set back")
	g.at = g.at.Add(time.Hour)
	g.want(false, 1, "after it was set right")
	g.want(false, 2, "after it was set right")
}

func TestReplayGuardDefaults(t *testing.T) {
	for _, capacity := range []int{0, -1} {
		if g := NewReplayGuard(capacity).(*replayGuard); g.capacity != 1<<16 {
			t.Errorf("NewReplayGuard(%d) has room for %d flights, want 65536", capacity, g.capacity)
		}
	}
	before := time.Now()
	since := NewReplayGuard(0).Since()
	if since.Before(before) || since.After(time.Now()) {
		t.Errorf("a new guard says that it remembers since %v, and it is %v", since, time.Now())
	}
	if ReplayWindow != 20*time.Second {
		t.Errorf("ReplayWindow is %v, want twice the 10 seconds of RFC 9846, Section 8.3", ReplayWindow)
	}
}

func TestReplayGuardIsShared(t *testing.T) {
	g := NewReplayGuard(0)
	var fresh atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for n := range 200 {
				ok, err := g.Fresh(flight(n), time.Now())
				if err != nil {
					t.Errorf("Fresh: %v", err)
				}
				if ok {
					fresh.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if n := fresh.Load(); n != 200 {
		t.Errorf("8 goroutines with the same 200 flights were told %d times that one is fresh, want 200", n)
	}
}
