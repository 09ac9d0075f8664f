package main

import (
	"crypto/tls"
	"net"
	"runtime"
	"sync"

	"github.com/baretls/baretls"
)

// idle weighs connections that have nothing to do, in bytes of heap each.
type idle struct {
	pki    *pki
	rustls *rustls // nil without it
	count  int
}

// rows are one for each suite and side.
func (i idle) rows(suites []suite) ([]row, error) {
	var rows []row
	for _, s := range suites {
		sides, err := i.suite(s)
		if err != nil {
			return nil, err
		}
		rows = append(rows, sides[client], sides[server])
	}
	return rows, nil
}

const nameReading = "crypto/tls, reading"

func (i idle) suite(s suite) (sides [2]row, err error) {
	bare, err := i.baretls(s)
	if err != nil {
		return sides, err
	}
	var std, reading [2]float64
	for _, side := range []side{client, server} {
		if std[side], reading[side], err = i.std(s, side); err != nil {
			return sides, err
		}
	}
	for side, name := range []string{client: "client", server: "server"} {
		sides[side] = row{Labels: []string{s.name, name}}
		sides[side].add(nameBaretls, bare[side])
		sides[side].add(nameStd, std[side])
		sides[side].add(nameReading, reading[side])
	}
	if i.rustls != nil {
		m, err := i.rustls.ask("idle", tls.VersionTLS13, ecdsaKey, tls.X25519, s.name, 0, i.count)
		if err != nil {
			return sides, err
		}
		sides[client].add(nameRustls, float64(m.client)/float64(i.count))
		sides[server].add(nameRustls, float64(m.server)/float64(i.count))
	}
	return sides, nil
}

// add adds a result that was not measured by turns.
func (r *row) add(name string, value float64) {
	x := result{Name: name, Value: spread{value, value, value}}
	over := value
	if len(r.Results) > 0 {
		over = r.Results[0].Value.Median
	}
	ratio := value / over
	x.Ratio = spread{ratio, ratio, ratio}
	r.Results = append(r.Results, x)
}

func (i idle) baretls(s suite) (weights [2]float64, err error) {
	p, err := records{pki: i.pki}.established(tls.VersionTLS13, s)
	if err != nil {
		return weights, err
	}
	conns := [2][]*baretls.Conn{make([]*baretls.Conn, i.count), make([]*baretls.Conn, i.count)}
	for at := range i.count {
		if err := p.connect(new(clock)); err != nil {
			return weights, err
		}
		conns[client][at], conns[server][at] = p.client.conn, p.server.conn
	}
	p.client.conn, p.server.conn = nil, nil
	for side := range conns {
		before := liveHeap()
		clear(conns[side])
		weights[side] = float64(before-liveHeap()) / float64(i.count)
	}
	// What all connections share weighs nothing if it stays.
	runtime.KeepAlive([]any{p, conns})
	return weights, nil
}

// std weighs one side of crypto/tls, idle and with a goroutine that waits in
// Read, as there is for most of them.
func (i idle) std(s suite, side side) (idle, reading float64, err error) {
	h := handshake{version: tls.VersionTLS13, key: ecdsaKey, group: tls.X25519}
	clientConfig, serverConfig := configs(i.pki, h)
	clientConfig.CipherSuites, serverConfig.CipherSuites = s.of(h.version), s.of(h.version)
	stdClient, stdServer := stdConfigs(i.pki, h)
	connect := func() (*tls.Conn, *netConn, error) {
		m := newMixedPair()
		n := &netConn{&m.transport}
		if side == client {
			err = m.dial(n, stdClient, serverConfig)
		} else {
			err = m.accept(n, clientConfig, stdServer)
		}
		n.Conn = nil // what made the connection is not part of it
		return m.std, n, err
	}
	shared, _, err := connect() // what all have in common is its
	if err != nil {
		return 0, 0, err
	}
	conns, nets := make([]*tls.Conn, i.count), make([]*netConn, i.count)
	nothing := liveHeap()
	for at := range i.count {
		if conns[at], nets[at], err = connect(); err != nil {
			return 0, 0, err
		}
	}
	alone := liveHeap() - nothing

	var waiting, ended sync.WaitGroup
	release := make(chan struct{})
	before := liveHeap() + stacks()
	for at, conn := range conns {
		nets[at].Conn = blocked{nil, &waiting, release}
		waiting.Add(1)
		ended.Go(func() { conn.Read(make([]byte, 1)) })
	}
	waiting.Wait()
	more := liveHeap() + stacks() - before
	close(release)
	ended.Wait()
	runtime.KeepAlive([]any{shared, conns, nets, clientConfig, serverConfig, stdClient, stdServer})
	return float64(alone) / float64(i.count), float64(alone+more) / float64(i.count), nil
}

// netConn is a net.Conn that weighs as little as one can.
type netConn struct{ net.Conn }

// blocked is a net.Conn on which nothing comes.
type blocked struct {
	net.Conn // which is nil: only Read is called
	waiting  *sync.WaitGroup
	release  <-chan struct{}
}

func (b blocked) Read([]byte) (int, error) {
	b.waiting.Done()
	<-b.release
	return 0, net.ErrClosed
}

// liveHeap is what is alive, in bytes.
func liveHeap() int {
	// What one collection finalizes, and what pools keep, the next ones free.
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func stacks() int {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.StackInuse)
}
