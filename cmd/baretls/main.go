// Command baretls speaks TLS from the command line.
//
// It is a user of the library like any other: it imports its public API and
// nothing else. Run it without arguments for its usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command is one of baretls' subcommands.
type command struct {
	name     string
	synopsis string // what follows the name
	about    string // sentences for the usage
	run      func(ctx context.Context, c *call) error
}

func commands() []command {
	return []command{
		{"demo", "[-tls12]", demoAbout, demo},
		{"get", "[-ca FILE] [-insecure] [-cert FILE -key FILE] [-alpn LIST] [-min-version VERSION] [-max-version VERSION] [-resume] [-early-data] [-trace] [-v] URL", getAbout, get},
		{"serve", "[-addr HOST:PORT] [-cert FILE -key FILE] [-client-ca FILE] [-dir DIR] [-min-version VERSION] [-max-version VERSION] [-early-data BYTES] [-ticket-key-lifetime DURATION]", serveAbout, serve},
	}
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(stdout)
		return 0
	}
	for _, cmd := range commands() {
		if cmd.name == args[0] {
			err := cmd.run(ctx, newCall(cmd, args[1:], stdout, stderr))
			if err != nil && ctx.Err() != nil {
				err = errors.New("interrupted")
			}
			return exitCode(stderr, err)
		}
	}
	return exitCode(stderr, usageError("unknown command "+args[0]+"; see baretls help"))
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: baretls COMMAND [FLAGS] [ARGUMENTS]")
	for _, cmd := range commands() {
		fmt.Fprintf(w, "\n%s\n    %s\n", cmd.line(), strings.ReplaceAll(cmd.about, "\n", "\n    "))
	}
	fmt.Fprintln(w, "\nThe exit code is 0, or 1 after an error, or 2 after a wrong usage.")
}

// line is how to type the command.
func (cmd command) line() string {
	return strings.TrimSpace("baretls " + cmd.name + " " + cmd.synopsis)
}

// call is a command that is being run.
type call struct {
	*flag.FlagSet
	cmd            command
	args           []string
	stdout, stderr io.Writer
}

func newCall(cmd command, args []string, stdout, stderr io.Writer) *call {
	c := &call{flag.NewFlagSet(cmd.name, flag.ContinueOnError), cmd, args, stdout, stderr}
	c.SetOutput(io.Discard) // for errors are one line; -h is below
	c.Usage = func() {
		fmt.Fprintf(stdout, "usage: %s\n%s\n", cmd.line(), cmd.about)
		c.SetOutput(stdout)
		c.PrintDefaults()
	}
	return c
}

// parse parses the flags and checks that so many arguments follow them.
func (c *call) parse(arguments int) error {
	help := c.Usage
	c.Usage = func() {}
	switch err := c.Parse(c.args); {
	case errors.Is(err, flag.ErrHelp):
		help()
		return err
	case err != nil:
		return usageError(err.Error())
	case c.NArg() != arguments:
		return usageError("usage: " + c.cmd.line())
	}
	return nil
}

// usageError is a mistake of whoever typed the command.
type usageError string

func (e usageError) Error() string { return string(e) }

const exitUsage = 2

// exitCode reports an error in one line.
func exitCode(stderr io.Writer, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(stderr, "baretls:", oneLine(err))
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return 1
}

// oneLine is the error without line breaks, and without the name that this
// command shares with the library, for whoever prints it puts that in front.
func oneLine(err error) string {
	text := strings.ReplaceAll(err.Error(), "baretls: ", "")
	return strings.Join(strings.Fields(text), " ")
}
