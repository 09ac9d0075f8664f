package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// hasProcessTime says that time is counted only while the process runs.
const hasProcessTime = true

// processTime is how long the process has run, all threads together.
func processTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err) // the number is one that Linux has had since 2.6.12
	}
	return time.Duration(t.Nano())
}
