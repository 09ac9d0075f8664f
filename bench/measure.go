package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
)

// contender does the work of a scenario in its own way.
type contender struct {
	name string
	// run does the work n times between the clock's start and stop, which may
	// come several times; or it adds to the clock what another process took.
	run func(n int, c *clock) error
	// outside says that another process works. For a while after it, ours is
	// slower by a tenth, so its turn is the last of a run, in one piece.
	outside bool
	// fixed says that run takes its time whatever n is.
	fixed bool
	// close frees what it holds; it may be nil.
	close func()
}

// scenario is work that contenders are compared by. The first is baretls.
type scenario struct {
	labels []string
	begin  func() ([]contender, error)
	// large scenarios hold so much memory that collecting it takes longer than
	// a slice: that is left out between slices.
	large bool
}

// effort is how long to measure.
type effort struct {
	runs  int           // of which the median is taken
	slice time.Duration // of a contender in a run
}

// pieces is how many parts the slice of a run has. Contenders alternate by
// parts, so that a disturbance meets all of them.
const pieces = 4

// measure lets the contenders of a scenario take turns.
func measure(s scenario, e effort) (row, error) {
	contenders, err := s.begin()
	if err != nil {
		return row{}, err
	}
	defer func() {
		for _, c := range contenders {
			if c.close != nil {
				c.close()
			}
		}
	}()
	samples := make([]sampler, len(contenders))
	for i, c := range contenders {
		samples[i].contender = c
		slice := e.slice / pieces
		if c.outside {
			slice = e.slice
		}
		if err := samples[i].prepare(slice); err != nil {
			return row{}, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for range e.runs {
		for _, i := range turns(contenders) {
			if !s.large {
				runtime.GC() // what one leaves behind is not for the next to clean up
			}
			if err := samples[i].slice(); err != nil {
				return row{}, fmt.Errorf("%s: %w", contenders[i].name, err)
			}
		}
		for i := range samples {
			samples[i].endRun()
		}
	}
	return summarize(s.labels, samples), nil
}

// turns is the order of a run. It is drawn by lot, so that nobody always comes
// after the same one.
func turns(contenders []contender) []int {
	var inside, outside, order []int
	for i, c := range contenders {
		if c.outside {
			outside = append(outside, i)
		} else {
			inside = append(inside, i)
		}
	}
	for range pieces {
		for _, at := range rand.Perm(len(inside)) {
			order = append(order, inside[at])
		}
	}
	return append(order, outside...)
}

// sampler collects what a contender takes, in nanoseconds for one piece of work.
type sampler struct {
	contender
	n             int // pieces of work in a slice
	allocs, bytes float64

	clock                 clock // of this run
	done                  int
	total, client, server []float64 // one value a run
}

// prepare finds out how much work fills a slice, and what it allocates.
func (x *sampler) prepare(slice time.Duration) error {
	if x.n = 1; x.fixed {
		x.n = 1000 // for more than whole nanoseconds
		return nil
	}
	for {
		var once, again clock // the shorter counts: a collection may fall into one
		for _, c := range []*clock{&once, &again} {
			if err := x.run(x.n, c); err != nil {
				return err
			}
		}
		spent := min(once.spent, again.spent)
		if spent >= slice/4 || x.n >= maxWork {
			x.n = max(1, min(maxWork, int(float64(x.n)*float64(slice)/float64(max(spent, 1)))))
			break
		}
		x.n *= 4
	}
	n := min(x.n, 200)
	c := clock{counts: true}
	if err := x.run(n, &c); err != nil {
		return err
	}
	x.allocs, x.bytes = float64(c.allocs)/float64(n), float64(c.bytes)/float64(n)
	return nil
}

// maxWork keeps records below what one key of AES-GCM may seal.
const maxWork = 1 << 22

func (x *sampler) slice() error {
	x.done += x.n
	return x.run(x.n, &x.clock)
}

func (x *sampler) endRun() {
	n := float64(x.done)
	x.total = append(x.total, float64(x.clock.spent)/n)
	x.client = append(x.client, x.clock.of(client)/n)
	x.server = append(x.server, x.clock.of(server)/n)
	x.clock, x.done = clock{}, 0
}

// row is what a scenario has yielded.
type row struct {
	Labels  []string `json:"labels"`
	Results []result `json:"results"`
}

// result is what a contender has yielded. Ratios are its values over those of
// baretls in the same run: above 1, baretls takes less.
type result struct {
	Name   string  `json:"name"`
	Value  spread  `json:"value"` // in the unit of the table
	Ratio  spread  `json:"ratio"`
	Client spread  `json:"client,omitzero"`
	Server spread  `json:"server,omitzero"`
	Allocs float64 `json:"allocations"`
	Bytes  float64 `json:"bytes"`
}

func summarize(labels []string, samples []sampler) row {
	r := row{Labels: labels}
	for _, x := range samples {
		r.Results = append(r.Results, result{
			Name:   x.name,
			Value:  spreadOf(x.total),
			Ratio:  spreadOf(ratios(x.total, samples[0].total)),
			Client: spreadOf(x.client),
			Server: spreadOf(x.server),
			Allocs: x.allocs,
			Bytes:  x.bytes,
		})
	}
	return r
}

func ratios(of, over []float64) []float64 {
	r := make([]float64, len(of))
	for i := range of {
		r[i] = of[i] / over[i]
	}
	return r
}

// get returns the result of a contender, if it took part.
func (r row) get(name string) (result, bool) {
	for _, x := range r.Results {
		if x.Name == name {
			return x, true
		}
	}
	return result{}, false
}
