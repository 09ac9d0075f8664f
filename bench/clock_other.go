//go:build !linux

package main

import "time"

const hasProcessTime = false

var programBegun = time.Now()

// processTime is the time on the wall where none better is known.
func processTime() time.Duration { return time.Since(programBegun) }
