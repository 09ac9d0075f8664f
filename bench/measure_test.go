package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   spread
	}{
		{"nothing", nil, spread{}},
		{"one value", []float64{7}, spread{7, 7, 7}},
		{"an odd number, not in order", []float64{5, 1, 4, 2, 3}, spread{3, 2, 4}},
		{"an even number is interpolated", []float64{1, 2, 3, 4}, spread{2.5, 1.75, 3.25}},
		{"one that is far off moves nothing", []float64{1, 2, 3, 4, 1000}, spread{3, 2, 4}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%s: spread of %v is %v, want %v", c.name, c.values, got, c.want)
		}
	}
}

func TestSpreadLeavesValuesInOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	spreadOf(values)
	if want := []float64{3, 1, 2}; !slices.Equal(values, want) {
		t.Errorf("the values are %v afterwards, want %v: ratios go by their places", values, want)
	}
}

// pretender takes as long as it says, whatever the real time.
func pretender(name string, client_, server_ time.Duration) contender {
	return contender{name: name, run: func(n int, c *clock) error {
		c.add(time.Duration(n)*client_, time.Duration(n)*server_)
		return nil
	}}
}

func TestMeasure(t *testing.T) {
	calls := 0
	fixed := pretender("fixed", 800, 0)
	run := fixed.run
	fixed.outside, fixed.fixed, fixed.run = true, true, func(n int, c *clock) error {
		calls++
		return run(n, c)
	}
	closed := false
	first := pretender("first", 100, 300)
	first.close = func() { closed = true }

	got, err := measure(scenario{labels: []string{"x"}, begin: func() ([]contender, error) {
		return []contender{first, pretender("second", 400, 400), fixed}, nil
	}}, effort{runs: 3, slice: 40 * time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []result{
		{Name: "first", Value: spread{400, 400, 400}, Ratio: spread{1, 1, 1}, Client: spread{100, 100, 100}, Server: spread{300, 300, 300}},
		{Name: "second", Value: spread{800, 800, 800}, Ratio: spread{2, 2, 2}, Client: spread{400, 400, 400}, Server: spread{400, 400, 400}},
		{Name: "fixed", Value: spread{800, 800, 800}, Ratio: spread{2, 2, 2}, Client: spread{800, 800, 800}},
	} {
		if got.Results[i] != want {
			t.Errorf("result %d is\n%+v, want\n%+v", i, got.Results[i], want)
		}
	}
	if calls != 3 {
		t.Errorf("who takes a fixed time ran %d times in 3 runs, want once in each", calls)
	}
	if !closed {
		t.Error("the first contender has not been closed")
	}
}

// TestTurns: each contender has its pieces in every quarter of a run, whoever
// works in another process comes last, and the order is not always the same.
func TestTurns(t *testing.T) {
	contenders := []contender{{name: "a"}, {name: "x", outside: true}, {name: "b"}, {name: "c"}}
	orders := make(map[string]bool)
	for range 100 {
		order := turns(contenders)
		if len(order) != 3*pieces+1 || order[3*pieces] != 1 {
			t.Fatalf("the order is %v, want %d pieces of 0, 2 and 3, and 1 at last", order, pieces)
		}
		for at := 0; at < 3*pieces; at += 3 {
			if part := slices.Sorted(slices.Values(order[at : at+3])); !slices.Equal(part, []int{0, 2, 3}) {
				t.Fatalf("the order is %v: the part from %d on is not of all", order, at)
			}
		}
		orders[fmt.Sprint(order)] = true
	}
	if len(orders) < 2 {
		t.Error("the order is the same a hundred times")
	}
}

func TestMeasureFails(t *testing.T) {
	broken := errors.New("broken")
	failing := contender{name: "x", run: func(int, *clock) error { return broken }}
	for name, begin := range map[string]func() ([]contender, error){
		"begin": func() ([]contender, error) { return nil, broken },
		"run":   func() ([]contender, error) { return []contender{failing}, nil },
	} {
		if _, err := measure(scenario{begin: begin}, effort{1, time.Millisecond}); !errors.Is(err, broken) {
			t.Errorf("%s fails, and measure returns %v, want that failure", name, err)
		}
	}
}

var sink []byte

func TestAllocationsAreCountedWhileTheClockRuns(t *testing.T) {
	x := sampler{contender: contender{run: func(n int, c *clock) error {
		sink = make([]byte, 100) // before the clock
		c.start(client)
		for range n {
			sink = make([]byte, 64)
			c.to(server)
			sink = make([]byte, 64)
		}
		c.stop()
		return nil
	}}}
	if err := x.prepare(time.Microsecond); err != nil {
		t.Fatal(err)
	}
	if x.allocs != 2 || x.bytes != 128 {
		t.Errorf("%v allocations of %v bytes were counted, want 2 of 128", x.allocs, x.bytes)
	}
}
