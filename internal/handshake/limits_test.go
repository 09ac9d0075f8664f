package handshake

import (
	"bytes"
	"encoding"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/wire"
)

// maxHashBlocks is what the hash of a connection works on in a server, in blocks
// of 64 bytes, until the handshake is over: three times the largest hello, after
// a retry with a binder to be checked, and the key schedule.
const maxHashBlocks = 3_500

// countedHash is a hash that counts its blocks.
type countedHash struct {
	hash.Hash
	blocks *int
}

func (h countedHash) Write(b []byte) (int, error) {
	*h.blocks += (len(b) + h.BlockSize() - 1) / h.BlockSize()
	return h.Hash.Write(b)
}

func (h countedHash) Sum(b []byte) []byte {
	*h.blocks++
	return h.Hash.Sum(b)
}

func (h countedHash) AppendBinary(b []byte) ([]byte, error) {
	return h.Hash.(encoding.BinaryAppender).AppendBinary(b)
}

func (h countedHash) UnmarshalBinary(b []byte) error {
	return h.Hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
}

// What a server hashes is bounded by what it is sent, and docs/security.md says
// how.
func TestHashBlocksOfAServer(t *testing.T) {
	most := 0
	for _, retry := range []bool{false, true} {
		for _, resume := range []bool{false, true} {
			p := newPair(t)
			if resume {
				p = newResumingPair(t)
			}
			if retry {
				p.clientPolicy.Groups, p.serverPolicy.Groups = groups(0x001d, 0x0018), groups(0x0018)
			}
			p.serverPolicy.TestingNoPools = true // or hashes would not be counted
			blocks := 0
			for i, of := range p.serverPolicy.Suites {
				counted := *of
				counted.NewHash = func() hash.Hash { return countedHash{of.NewHash(), &blocks} }
				p.serverPolicy.Suites = slices.Clone(p.serverPolicy.Suites)
				p.serverPolicy.Suites[i] = &counted
			}
			p.clientDoors[kind(wire.TypeClientHello)] = addToHello(21, make([]byte, 63_000)...)
			if resume {
				sessions := []*Session{p.held()[0].clone()}
				for range 850 {
					unknown := sessions[0].clone()
					unknown.Ticket = bytes.Repeat([]byte("?"), 32)
					sessions = append(sessions, unknown)
				}
				p.clientDoors[kind(wire.TypeClientHello)] = p.offering(sessions...)
			}
			p.complete()
			if got := p.server.Facts.Kind == KindResumed || p.server.Facts.Kind == KindResumedWithRetry; got != resume {
				t.Errorf("retry %t: resumed is %t, want %t", retry, got, resume)
			}
			t.Logf("retry %t, resume %t: %d blocks", retry, resume, blocks)
			most = max(most, blocks)
		}
	}
	if most > maxHashBlocks || most < maxHashBlocks/2 {
		t.Errorf("a server hashes %d blocks at most, and the bound is %d", most, maxHashBlocks)
	}
	document, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d blocks", maxHashBlocks); !strings.Contains(string(document), want) {
		t.Errorf("docs/security.md does not say that a server hashes at most %s", want)
	}
}
