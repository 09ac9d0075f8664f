package main

import (
	"runtime"
	"slices"
	"time"
)

type side int

const (
	client side = iota
	server
)

// clock adds up the time that the process is given from start to stop, however
// busy the machine is with others, and what it allocates meanwhile if it is to
// count that.
type clock struct {
	spent  time.Duration
	shares [2]time.Duration // of the sides, by the clock on the wall: cheaper to read, and as good for shares
	allocs uint64
	bytes  uint64
	counts bool
	watch  func(on bool) // is told when it starts and stops, if it is set

	begun         time.Duration
	side          side
	since         time.Time
	before, after runtime.MemStats
}

// start begins the time of a side.
func (c *clock) start(s side) {
	if c.counts {
		runtime.ReadMemStats(&c.before)
	}
	if c.watch != nil {
		c.watch(true)
	}
	c.side, c.since = s, time.Now()
	c.begun = processTime()
}

// to ends the time of one side and begins that of another.
func (c *clock) to(s side) {
	now := time.Now()
	c.shares[c.side] += now.Sub(c.since)
	c.side, c.since = s, now
}

// stop ends the time of a side.
func (c *clock) stop() {
	c.spent += max(0, processTime()-c.begun-processTimeCost())
	c.to(c.side)
	if c.watch != nil {
		c.watch(false)
	}
	if c.counts {
		runtime.ReadMemStats(&c.after)
		c.allocs += c.after.Mallocs - c.before.Mallocs
		c.bytes += c.after.TotalAlloc - c.before.TotalAlloc
	}
}

// add adds what another process has taken.
func (c *clock) add(client_, server_ time.Duration) {
	c.spent += client_ + server_
	c.shares[client] += client_
	c.shares[server] += server_
}

// of is the part of the time that a side has taken.
func (c *clock) of(s side) float64 {
	all := c.shares[client] + c.shares[server]
	if all == 0 {
		return 0
	}
	return float64(c.spent) * float64(c.shares[s]) / float64(all)
}

// processTimeCost is what it takes to ask for the time.
func processTimeCost() time.Duration {
	if cost < 0 {
		asked := make([]time.Duration, 101)
		for i := range asked {
			begun := processTime()
			asked[i] = processTime() - begun
		}
		cost = slices.Sorted(slices.Values(asked))[len(asked)/2]
	}
	return cost
}

var cost time.Duration = -1
