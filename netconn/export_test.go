package netconn

import "sync/atomic"

// OnLoan is how many buffers are out of their pools.
var OnLoan atomic.Int64

func init() { lent = func(n int) { OnLoan.Add(int64(n)) } }

// DoNotCount is for benchmarks: the count is shared by all processors.
func DoNotCount() { lent = func(int) {} }
