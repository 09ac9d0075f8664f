package handshake

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"testing"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/record"
)

// What one side takes out to read with is what the other writes with, and it
// opens the next record: after any number of records and key updates.
func TestKeysThatAreExtractedOpenTheNextRecord(t *testing.T) {
	for _, suite := range suitesOf(tls.VersionTLS13) {
		p := newPair(t)
		p.serverPolicy.Suites = suites(suite)
		p.complete()
		for round := range 4 {
			for _, from := range []*side{p.c, p.s} {
				to := p.other(from)
				w, r := from.core.WriteKeys(), to.core.ReadKeys()
				if w.Sequence != r.Sequence || !bytes.Equal(w.Key, r.Key) || !bytes.Equal(w.IV, r.IV) {
					t.Fatalf("%#04x, round %d: the %s writes with other keys than the %s reads with", suite, round, from.name, to.name)
				}
				buf := make([]byte, from.core.SealedLen(4))
				if _, err := from.core.SealData(buf, []byte("data")); err != nil {
					t.Fatal(err)
				}
				aead, err := algo.SuiteByID(suite).NewAEAD(w.Key)
				if err != nil {
					t.Fatal(err)
				}
				nonce := bytes.Clone(w.IV)
				binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^w.Sequence)
				content, err := aead.Open(nil, nonce, buf[record.HeaderLen:], buf[:record.HeaderLen])
				if err != nil || string(content) != "data\x17" {
					t.Errorf("%#04x, round %d: the %s's record %d opens to %q, %v", suite, round, from.name, w.Sequence, content, err)
				}
				p.deliver(from, buf)
			}
			before := p.server.ReadEpoch()
			if round == 1 {
				must(p.c.core.UpdateKeys(false))
				p.pump()
				if p.server.ReadEpoch() != before+1 || p.client.ReadEpoch() != 0 {
					t.Errorf("%#04x: after a KeyUpdate of the client the epochs are %d and %d", suite, p.server.ReadEpoch(), p.client.ReadEpoch())
				}
				if k := p.server.ReadKeys(); k.Sequence != 0 {
					t.Errorf("%#04x: the new keys begin with record %d", suite, k.Sequence)
				}
			}
		}
	}
}

func TestKeysAreExtractedInTheirOwnMemory(t *testing.T) {
	p := newPair(t)
	p.serverPolicy.Suites = suites(tls.TLS_CHACHA20_POLY1305_SHA256)
	p.clientPolicy.Extract = true
	p.complete()
	if !p.client.MayExtract() || p.server.MayExtract() {
		t.Errorf("the client may take keys out: %v, the server: %v", p.client.MayExtract(), p.server.MayExtract())
	}
	k := p.client.WriteKeys()
	if len(k.Key) != 32 || len(k.IV) != 12 {
		t.Errorf("the key has %d bytes and the IV %d", len(k.Key), len(k.IV))
	}
	clear(k.Key)
	clear(k.IV)
	p.works()
}
