//go:build !race

package baretls_test

const raceEnabled = false
