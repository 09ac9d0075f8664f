package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// rustls is the program in the directory of that name, which measures what it
// is asked to: see rustls/src/main.rs.
type rustls struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	dir     string // with the certificates
}

const rustlsSources = "rustls"

var errQuick = errors.New("not measured with -quick")

var errNoCargo = errors.New("cargo is not installed")

// buildRustls builds the program, which takes about a minute the first time.
func buildRustls() error {
	if _, err := exec.LookPath("cargo"); err != nil {
		return errNoCargo
	}
	build := exec.Command("cargo", "build", "--release", "--locked", "--quiet")
	build.Dir, build.Stdout, build.Stderr = rustlsSources, os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("cargo build: %w", err)
	}
	return nil
}

func rustlsProgram() string {
	name := "rustls-bench"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(rustlsSources, "target", "release", name)
}

var errNotBuilt = errors.New("not built: -rustls builds it")

// startRustls starts the program, if it has been built.
func startRustls(p *pki) (*rustls, error) {
	if _, err := os.Stat(rustlsProgram()); err != nil {
		return nil, errNotBuilt
	}
	dir, err := os.MkdirTemp("", "baretls-bench")
	if err != nil {
		return nil, err
	}
	r := &rustls{command: exec.Command(rustlsProgram(), dir), dir: dir}
	r.command.Stderr = os.Stderr
	if err := r.start(p); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return r, nil
}

func (r *rustls) start(p *pki) error {
	if err := p.write(r.dir); err != nil {
		return err
	}
	var err error
	if r.in, err = r.command.StdinPipe(); err != nil {
		return err
	}
	out, err := r.command.StdoutPipe()
	if err != nil {
		return err
	}
	r.out = bufio.NewReader(out)
	return r.command.Start()
}

// stop ends the program. It ends with its input.
func (r *rustls) stop() error {
	return errors.Join(r.in.Close(), r.command.Wait(), os.RemoveAll(r.dir))
}

// measurement is an answer of the program.
type measurement struct {
	client, server int64 // nanoseconds, or bytes
	allocs, bytes  uint64
}

func (r *rustls) ask(work string, version uint16, key keyType, group tls.CurveID, suite string, size, n int) (measurement, error) {
	if _, err := fmt.Fprintln(r.in, work, versionName(version), key, groupName(group), suite, size, n); err != nil {
		return measurement{}, err
	}
	line, err := r.out.ReadString('\n')
	if err != nil {
		return measurement{}, err
	}
	var m measurement
	if _, err := fmt.Sscan(line, &m.client, &m.server, &m.allocs, &m.bytes); err != nil {
		return measurement{}, fmt.Errorf("%s %s: %s", work, versionName(version), line)
	}
	return m, nil
}

func (r *rustls) contender(work string, version uint16, key keyType, group tls.CurveID, suite string, size int) contender {
	return contender{name: nameRustls, outside: true, run: func(n int, c *clock) error {
		m, err := r.ask(work, version, key, group, suite, size, n)
		if err != nil {
			return err
		}
		c.add(time.Duration(m.client), time.Duration(m.server))
		c.allocs += m.allocs
		c.bytes += m.bytes
		return nil
	}}
}
