// Command shim lets the test runner of BoringSSL drive baretls, through the
// public API only and in pieces of odd sizes. See the README of the module.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// What the runner makes of exit codes.
const (
	exitPassed        = 0
	exitFailed        = 1
	exitUnimplemented = 89
)

// errUnimplemented is what a flag or a configuration is that baretls has no
// counterpart of.
var errUnimplemented = errors.New("not implemented")

func main() {
	signal.Ignore(syscall.SIGPIPE) // writing to a runner that has left is an error
	err := run(os.Args[1:])
	switch {
	case err == nil:
		os.Exit(exitPassed)
	case errors.Is(err, errUnimplemented):
		note(err)
		os.Exit(exitUnimplemented)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(exitFailed)
}

// note keeps the reason of a test that cannot be run in the file that the
// environment names: the runner does not tell.
func note(reason error) {
	file, err := os.OpenFile(os.Getenv("BOGO_UNIMPLEMENTED"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer file.Close()
	fmt.Fprintln(file, reason)
}

// run makes the connections that a test consists of: one, or more that resume.
func run(args []string) error {
	if slices.Contains(args, "-is-handshaker-supported") {
		fmt.Println("No")
		return nil
	}
	s, err := parse(args)
	if err != nil {
		return err
	}
	if s.initial.waitForDebugger {
		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			return err
		}
	}
	memory := newMemory()
	for i := range s.initial.resumeCount + 1 {
		o := &s.initial
		if i > 0 {
			o = &s.resume
		}
		if i > 0 && !o.server && memory.session == nil {
			return errors.New("no session to offer")
		}
		if err := connect(o, &s.retry, memory, i > 0); err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
		memory.now = memory.now.Add(o.resumptionDelay)
	}
	return nil
}
