package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test runs and ends.
type process struct {
	t      *testing.T
	name   string
	stdin  io.WriteCloser
	stdout *output
	stderr *output
	done   chan struct{}
	err    error // once done
	cancel func()
}

// start runs a program. Without it the test is skipped, for want of a peer;
// in CI it fails, so that nobody takes an empty run for a good one.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	return startIn(t, "", program, args...)
}

// startIn is start in a working directory.
func startIn(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	return startWith(t, patience, func(cmd *exec.Cmd) { cmd.Dir = dir }, program, args...)
}

// startWith is start with a patience of its own, and a last word on how.
func startWith(t *testing.T, patience time.Duration, prepare func(*exec.Cmd), program string, args ...string) *process {
	t.Helper()
	path := look(t, program)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := exec.CommandContext(ctx, path, args...)
	// A program that is asked to end writes out what it has to say.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "SSLKEYLOGFILE=")
	}), "LC_ALL=C")
	prepare(cmd)
	p := &process{t: t, name: program, cancel: cancel, stdout: newOutput(), stderr: newOutput(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s does not start: %v", program, err)
	}
	go func() {
		p.err = cmd.Wait()
		p.stdout.end()
		p.stderr.end()
		close(p.done)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
		if t.Failed() {
			t.Logf("%s %s\nsaid: %s\nand:  %s", program, strings.Join(args, " "), p.stdout.excerpt(), p.stderr.excerpt())
		}
	})
	return p
}

// look finds a peer's program.
func look(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatalf("CI has to have all peers: %v", err)
	default:
		t.Skipf("no peer to test against: %v", err)
	}
	return ""
}

// enter writes to the program, as one piece.
func (p *process) enter(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line); err != nil {
		p.t.Fatalf("%s does not read: %v", p.name, err)
	}
}

// expectSuccess waits for the end of the program, which has to be a good one.
func (p *process) expectSuccess() {
	p.t.Helper()
	<-p.done
	if p.err != nil {
		p.t.Fatalf("%s ended with %v", p.name, p.err)
	}
}

// expectFailure waits for the end of the program and for what it had to say
// about that.
func (p *process) expectFailure(pattern string) {
	p.t.Helper()
	<-p.done
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		p.t.Errorf("%s ended well (%v), and it should have failed", p.name, p.err)
	}
	p.said(pattern)
}

// said checks what the program has said when it is over.
func (p *process) said(pattern string) {
	p.t.Helper()
	<-p.done
	if re := regexp.MustCompile(pattern); !re.Match(p.stdout.all()) && !re.Match(p.stderr.all()) {
		p.t.Errorf("%s should have said %q", p.name, pattern)
	}
}

// neverSaid is the opposite of said.
func (p *process) neverSaid(pattern string) {
	p.t.Helper()
	<-p.done
	re := regexp.MustCompile(pattern)
	for _, o := range []*output{p.stdout, p.stderr} {
		if m := re.Find(o.all()); m != nil {
			p.t.Errorf("%s said %q", p.name, m)
		}
	}
}

// stop ends a program that would go on for ever.
func (p *process) stop() {
	p.cancel()
	<-p.done
}

func expectMatch(t *testing.T, who, said, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(said) {
		t.Errorf("%s should have said %q, and said:\n%s", who, pattern, said)
	}
}

// output is what a program prints. A test reads it like a stream, or waits for
// something in it.
type output struct {
	mutex sync.Mutex
	grown *sync.Cond
	buf   []byte
	read  int
	ended bool
}

func newOutput() *output {
	o := new(output)
	o.grown = sync.NewCond(&o.mutex)
	return o
}

func (o *output) Write(p []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.buf = append(o.buf, p...)
	o.grown.Broadcast()
	return len(p), nil
}

func (o *output) end() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.ended = true
	o.grown.Broadcast()
}

func (o *output) Read(p []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for o.read == len(o.buf) {
		if o.ended {
			return 0, io.EOF
		}
		o.grown.Wait()
	}
	n := copy(p, o.buf[o.read:])
	o.read += n
	return n, nil
}

// find waits for a match of pattern, reads past it, and returns the match and
// its groups.
func (o *output) find(pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for {
		if at := re.FindSubmatchIndex(o.buf[o.read:]); at != nil {
			groups := make([]string, 0, len(at)/2)
			for i := 0; i < len(at); i += 2 {
				groups = append(groups, string(o.buf[o.read+at[i]:o.read+at[i+1]]))
			}
			o.read += at[1]
			return groups, nil
		}
		if o.ended {
			return nil, fmt.Errorf("the program ended without saying %q", pattern)
		}
		o.grown.Wait()
	}
}

// expect is find for a test that cannot go on without.
func (o *output) expect(t *testing.T, pattern string) []string {
	t.Helper()
	groups, err := o.find(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

func (o *output) all() []byte {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return slices.Clone(o.buf)
}

// excerpt is enough of the output for a person to see what went on.
func (o *output) excerpt() string {
	const most = 1000
	b := o.all()
	if len(b) > 2*most {
		return fmt.Sprintf("%s\n[%d bytes]\n%s", b[:most], len(b)-2*most, b[len(b)-most:])
	}
	return string(b)
}
