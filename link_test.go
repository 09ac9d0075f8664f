package baretls_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program links what it uses: a client no server, a server no client, and
// neither of them the machine of crypto/tls, of which there are only types.

// linkLoop uses every state, so that nothing is absent for want of a caller.
const linkLoop = `
func loop(c *baretls.Conn, b []byte) {
	for {
		status, err := c.ProcessTLSRecords(b)
		if err != nil {
			panic(err)
		}
		switch s := status.State.(type) {
		case baretls.EncodeTLSData:
			s.Encode(b)
		case baretls.TransmitTLSData:
			s.Done()
		case baretls.ReadTraffic:
			for range s.Records() {
			}
		case baretls.WriteTraffic:
			s.Encrypt(b, b)
			s.RefreshTrafficKeys()
			s.QueueCloseNotify(b)
		case baretls.Closed:
			println(c.ConnectionState().Version)
			return
		}
	}
}
`

const clientProgram = `package main

import "github.com/baretls/baretls"

func main() {
	c, err := baretls.NewClient(&baretls.ClientConfig{}, "example.com")
	if err != nil {
		panic(err)
	}
	loop(&c.Conn, nil)
}
` + linkLoop

const serverProgram = `package main

import "github.com/baretls/baretls"

func main() {
	s, err := baretls.NewServer(&baretls.ServerConfig{})
	if err != nil {
		panic(err)
	}
	loop(&s.Conn, nil)
}
` + linkLoop

const inHandshake = projectPath + "/internal/handshake."

var clientSymbols = []string{
	projectPath + ".NewClient",
	inHandshake + "clientTable",
	inHandshake + "(*Client).Init",
	inHandshake + "(*Client).serverHello",
	inHandshake + "(*Client).certificate",
	inHandshake + "(*Client).finished",
}

var serverSymbols = []string{
	projectPath + ".NewServer",
	inHandshake + "serverTable",
	inHandshake + "(*Server).Init",
	inHandshake + "(*Server).clientHello",
	inHandshake + "(*Server).flight",
	inHandshake + "(*Server).finished",
}

// What both need, and what neither does.
var (
	commonSymbols = []string{projectPath + ".(*Conn).ProcessTLSRecords"}
	stdSymbols    = []string{
		"crypto/tls.(*Conn).clientHandshake",
		"crypto/tls.(*Conn).serverHandshake",
		"crypto/tls.(*Conn).readRecordOrCCS",
	}
)

func TestLinking(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: links two programs")
	}
	for _, program := range []struct {
		role, source    string
		present, absent []string
	}{
		{"client", clientProgram, clientSymbols, serverSymbols},
		{"server", serverProgram, serverSymbols, clientSymbols},
	} {
		t.Run(program.role, func(t *testing.T) {
			t.Parallel()
			linked := linkProgram(t, program.source)
			for _, list := range [][]string{program.present, commonSymbols} {
				for _, symbol := range list {
					if !linked[symbol] {
						t.Errorf("a %s does not link %s: the test looks for the wrong symbol", program.role, symbol)
					}
				}
			}
			for _, list := range [][]string{program.absent, stdSymbols} {
				for _, symbol := range list {
					if linked[symbol] {
						t.Errorf("a %s links %s, which it cannot use", program.role, symbol)
					}
				}
			}
		})
	}
}

// linkProgram builds a program within this module and returns the symbols it has.
func linkProgram(t *testing.T, source string) map[string]bool {
	t.Helper()
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program.out")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	// Calls that were inlined would be linked without a symbol.
	goTool(t, "build", "-gcflags="+projectPath+"/...=-l", "-o", binary, file)
	symbols := map[string]bool{}
	for line := range strings.Lines(goTool(t, "tool", "nm", binary)) {
		// address, unless it is undefined; type; name
		if fields := strings.Fields(line); len(fields) >= 3 {
			symbols[strings.Join(fields[2:], " ")] = true
		}
	}
	return symbols
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
		}
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
