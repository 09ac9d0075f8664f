package main

import (
	"runtime"
	"time"
)

type side int

const (
	client side = iota
	server
)

// clock adds up the time that each side takes, and what it allocates meanwhile
// if it is to count that.
type clock struct {
	spent  [2]time.Duration
	allocs uint64
	bytes  uint64
	counts bool

	side          side
	since         time.Time
	before, after runtime.MemStats
}

// start begins the time of a side.
func (c *clock) start(s side) {
	if c.counts {
		runtime.ReadMemStats(&c.before)
	}
	c.side, c.since = s, time.Now()
}

// to ends the time of one side and begins that of another.
func (c *clock) to(s side) {
	now := time.Now()
	c.spent[c.side] += now.Sub(c.since)
	c.side, c.since = s, now
}

// stop ends the time of a side.
func (c *clock) stop() {
	c.to(c.side)
	if c.counts {
		runtime.ReadMemStats(&c.after)
		c.allocs += c.after.Mallocs - c.before.Mallocs
		c.bytes += c.after.TotalAlloc - c.before.TotalAlloc
	}
}

func (c *clock) total() time.Duration { return c.spent[client] + c.spent[server] }
