package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"

	"github.com/baretls/baretls"
)

// crowd is many connections at once, of which now one and now another has a
// request: does a record cost more where there are many?
type crowd struct {
	pki   *pki
	heaps []row // of each size, what its servers hold
}

// crowdBatch is how many requests are sealed ahead, crowdBurst how many of them
// are on the same connection in a burst.
const (
	crowdBatch = 256
	crowdBurst = 64
)

var nameBurst = fmt.Sprintf("%s, %d in a row", nameBaretls, crowdBurst)

func (w *crowd) scenario(count int) scenario {
	labels := []string{strconv.Itoa(count)}
	return scenario{labels: labels, large: true, begin: func() ([]contender, error) {
		heap := row{Labels: labels}
		defer func() {
			if count > 1 { // one alone weighs what all have in common
				w.heaps = append(w.heaps, heap)
			}
		}()
		if _, err := w.std(1); err != nil { // parses the certificates
			return nil, err
		}
		var contenders []contender
		for _, k := range []struct {
			name  string
			build func(count int) ([]responder, error)
		}{{nameBaretls, w.baretls}, {nameAEAD, bareAEADs}, {nameStd, w.std}} {
			before := liveHeap()
			crowd, err := k.build(count)
			if err != nil {
				return nil, err
			}
			heap.add(k.name, float64(liveHeap()-before)/float64(count))
			contenders = append(contenders, contender{name: k.name, run: requests(crowd, 1)})
			if k.name == nameBaretls {
				contenders = append(contenders, contender{name: nameBurst, run: requests(crowd, crowdBurst)})
			}
		}
		return contenders, nil
	}}
}

// responder is a connection: its client seals a request, and its server opens
// it and seals a response.
type responder interface {
	ask(into, request []byte) ([]byte, error)
	answer(sealed, buf []byte) error
}

// grown is what the last of the rows takes over what the first takes.
func grown(rows []row) row {
	r := row{Labels: []string{"from one to all"}}
	for _, x := range rows[len(rows)-1].Results {
		if one, ok := rows[0].get(x.Name); ok {
			r.add(x.Name, x.Value.Median/one.Value.Median)
		}
	}
	return r
}

// requests lets connections answer that are chosen by chance, each for so many
// requests. Only the servers' part is timed.
func requests(crowd []responder, burst int) func(n int, c *clock) error {
	random := rand.New(rand.NewPCG(1, 2))
	sealed := make([][]byte, crowdBatch)
	chosen := make([]responder, crowdBatch)
	buf := make([]byte, len(request)+256)
	return func(n int, c *clock) error {
		for n > 0 {
			count := min(crowdBatch, n)
			for i := range count {
				if i%burst == 0 {
					chosen[i] = crowd[random.IntN(len(crowd))]
				} else {
					chosen[i] = chosen[i-1]
				}
				var err error
				if sealed[i], err = chosen[i].ask(sealed[i][:0], request); err != nil {
					return err
				}
			}
			c.start(server)
			for i := range count {
				if err := chosen[i].answer(sealed[i], buf); err != nil {
					return err
				}
			}
			c.stop()
			n -= count
		}
		return nil
	}
}

// crowdHandshake is one that is quickly done.
var crowdHandshake = handshake{version: tls.VersionTLS13, kind: resumed, group: tls.CurveP256, key: ecdsaKey}

// bareResponder is a connection of baretls: nothing besides what it has itself.
type bareResponder struct{ client, server *baretls.Conn }

func (w *crowd) baretls(count int) ([]responder, error) {
	clientConfig, serverConfig := configs(w.pki, crowdHandshake)
	p := newPair(clientConfig, serverConfig)
	crowd := make([]responder, count)
	for i := range crowd {
		if err := p.connect(new(clock)); err != nil {
			return nil, err
		}
		crowd[i] = &bareResponder{p.client.conn, p.server.conn}
	}
	return crowd, nil
}

func (r *bareResponder) ask(into, request []byte) ([]byte, error) {
	return seal(r.client, into, request)
}

func (r *bareResponder) answer(sealed, buf []byte) error {
	status, err := r.server.ProcessTLSRecords(sealed)
	if err != nil {
		return err
	}
	read, ok := status.State.(baretls.ReadTraffic)
	if !ok {
		return fmt.Errorf("a request leads to %T, want ReadTraffic", status.State)
	}
	record, ok := read.NextRecord()
	if !ok || len(record.Payload) != len(request) {
		return errNotOpened
	}
	_, err = seal(r.server, buf[:0], record.Payload)
	return err
}

func seal(conn *baretls.Conn, into, data []byte) ([]byte, error) {
	e := end{conn: conn}
	write, err := e.writer()
	if err != nil {
		return nil, err
	}
	return write.AppendEncrypted(into, data)
}

// aeadResponder is what both sides cannot do without: an AEAD for each direction.
type aeadResponder struct {
	client struct{ seal, open *bare }
	server struct{ seal, open *bare }
}

func bareAEADs(count int) ([]responder, error) {
	crowd := make([]responder, count)
	for i := range crowd {
		r := new(aeadResponder)
		for _, b := range []**bare{&r.client.seal, &r.client.open, &r.server.seal, &r.server.open} {
			var err error
			if *b, err = newBare(suites[0]); err != nil {
				return nil, err
			}
		}
		crowd[i] = r
	}
	return crowd, nil
}

func (r *aeadResponder) ask(into, request []byte) ([]byte, error) {
	return r.client.seal.aead.Seal(into, r.client.seal.next(), request, nil), nil
}

func (r *aeadResponder) answer(sealed, buf []byte) error {
	opened, err := r.server.open.aead.Open(sealed[:0], r.server.open.next(), sealed, nil)
	if err != nil {
		return err
	}
	r.server.seal.aead.Seal(buf[:0], r.server.seal.next(), opened, nil)
	return nil
}

// stdResponder is a server of crypto/tls, with a client of baretls.
type stdResponder struct {
	client    *baretls.Conn
	server    *tls.Conn
	transport *transport
}

func (w *crowd) std(count int) ([]responder, error) {
	h := crowdHandshake
	clientConfig, _ := configs(w.pki, h)
	_, serverConfig := stdConfigs(w.pki, h)
	crowd := make([]responder, count)
	for i := range crowd {
		m := newMixedPair()
		t := new(transport)
		*t = transport{peer: &m.peer.in, more: func() error { return m.peer.run() }}
		m.peer.peer = &t.in
		if err := m.accept(t, clientConfig, serverConfig); err != nil {
			return nil, err
		}
		*t = transport{more: nobody}
		crowd[i] = &stdResponder{m.peer.conn, m.std, t}
	}
	return crowd, nil
}

var errNobody = errors.New("a request is not whole")

func nobody() error { return errNobody }

func (r *stdResponder) ask(into, request []byte) ([]byte, error) {
	return seal(r.client, into, request)
}

func (r *stdResponder) answer(sealed, buf []byte) error {
	r.transport.in, r.transport.off = sealed, 0
	data := buf[:len(request)]
	if _, err := io.ReadFull(r.server, data); err != nil {
		return err
	}
	_, err := r.server.Write(data)
	r.transport.in = nil
	return err
}
