package netconn

import "sync"

// Sizes of buffers: for small writes and the rest of a record that has not come
// as a whole; for the largest record; and for bulk, two records at once. All
// three fill the allocator's size classes.
const (
	smallBuffer  = 2 << 10
	recordBuffer = 18 << 10
	bulkBuffer   = 32 << 10
)

// buffer is memory on loan from a pool.
type buffer struct {
	data []byte
	pool *sync.Pool
}

var small, record, bulk = newPool(smallBuffer), newPool(recordBuffer), newPool(bulkBuffer)

func newPool(size int) *sync.Pool {
	pool := new(sync.Pool)
	pool.New = func() any { return &buffer{make([]byte, size), pool} }
	return pool
}

// lent hears of each buffer that is taken, +1, and given back, -1: for tests.
var lent = func(int) {}

// take lends a buffer of n bytes or more, or the largest there is.
func take(n int) *buffer {
	lent(+1)
	switch {
	case n <= smallBuffer:
		return small.Get().(*buffer)
	case n <= recordBuffer:
		return record.Get().(*buffer)
	}
	return bulk.Get().(*buffer)
}

// giveBack ends the loan. A nil buffer is none.
func (b *buffer) giveBack() {
	if b != nil {
		lent(-1)
		b.pool.Put(b)
	}
}
