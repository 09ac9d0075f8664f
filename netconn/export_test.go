package netconn

import (
	"runtime"
	"sync/atomic"
)

// OnLoan is how many buffers are out of their pools.
var OnLoan atomic.Int64

func init() { lent = func(n int) { OnLoan.Add(int64(n)) } }

// DoNotCount is for benchmarks: the count is shared by all processors.
func DoNotCount() { lent = func(int) {} }

// Unsent is how much the socket has not taken, once all is answered that was read.
func (c *Conn) Unsent() int {
	for c.answering.Load() {
		runtime.Gosched()
	}
	c.writeMu.Lock()
	defer c.unlockWrite()
	return len(c.out)
}
