package main

import (
	"errors"
	"fmt"

	"github.com/baretls/baretls"
)

// end is one side of a connection of baretls, in memory: the loop of its
// documentation over buffers that are kept.
type end struct {
	conn  *baretls.Conn
	peer  *[]byte // where what is sent goes to
	in    []byte  // received and not discarded
	out   []byte  // encoded and not sent
	early []byte  // to be sent as 0-RTT data
	got   int     // bytes of data received
}

// run takes turns until the state is quiet.
func (e *end) run() error {
	for {
		status, err := e.conn.ProcessTLSRecords(e.in)
		if err != nil {
			return err
		}
		discard, quiet := status.Discard, false
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			e.out, err = state.AppendTo(e.out)
		case baretls.TransmitTLSData:
			if right, ok := state.MayEncryptEarlyData(); ok && len(e.early) > 0 {
				e.out, err = right.AppendEncrypted(e.out, e.early)
				e.early = nil
			}
			*e.peer = append(*e.peer, e.out...)
			e.out = e.out[:0]
			err = errors.Join(err, state.Done())
		case baretls.ReadEarlyData:
			for record := range state.Records() {
				e.got += len(record.Payload)
				discard += record.Discard
			}
		case baretls.ReadTraffic:
			for record := range state.Records() {
				e.got += len(record.Payload)
				discard += record.Discard
			}
		case baretls.BlockedHandshake, baretls.WriteTraffic:
			quiet = true
		default:
			err = fmt.Errorf("unexpected state %T", state)
		}
		if err != nil {
			return err
		}
		e.in = e.in[:copy(e.in, e.in[discard:])]
		if quiet {
			return nil
		}
	}
}

// writer is the right to write of an established connection.
func (e *end) writer() (baretls.WriteTraffic, error) {
	status, err := e.conn.ProcessTLSRecords(nil)
	if err != nil {
		return baretls.WriteTraffic{}, err
	}
	write, ok := status.State.(baretls.WriteTraffic)
	if !ok {
		return write, fmt.Errorf("an established connection is in state %T, want WriteTraffic", status.State)
	}
	return write, nil
}

// send seals data and hands it to the peer.
func (e *end) send(data []byte) error {
	write, err := e.writer()
	if err != nil {
		return err
	}
	*e.peer, err = write.AppendEncrypted(*e.peer, data)
	return err
}

func (e *end) reset(conn *baretls.Conn) {
	e.conn, e.got = conn, 0
	e.in, e.out = e.in[:0], e.out[:0]
}

// pair is both sides of a connection of baretls.
type pair struct {
	client, server end
	clientConfig   *baretls.ClientConfig
	serverConfig   *baretls.ServerConfig
}

func newPair(client *baretls.ClientConfig, server *baretls.ServerConfig) *pair {
	p := &pair{clientConfig: client, serverConfig: server}
	p.client.peer, p.server.peer = &p.server.in, &p.client.in
	return p
}

var errStuck = errors.New("nobody has anything to say, but the handshake is not complete")

// connect shakes hands, until neither side has anything more to say. The clock
// is the client's before and after.
func (p *pair) connect(c *clock) error {
	conn, err := baretls.NewClient(p.clientConfig, serverName)
	if err != nil {
		return err
	}
	p.client.reset(&conn.Conn)
	p.server.reset(nil)
	if err := p.client.run(); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	c.to(server)
	accepted, err := baretls.NewServer(p.serverConfig)
	if err != nil {
		return err
	}
	p.server.conn = &accepted.Conn
	for {
		if err := p.server.run(); err != nil {
			return fmt.Errorf("server: %w", err)
		}
		c.to(client)
		if err := p.client.run(); err != nil {
			return fmt.Errorf("client: %w", err)
		}
		if len(p.server.in) == 0 {
			break
		}
		c.to(server)
	}
	if p.client.conn.IsHandshaking() || p.server.conn.IsHandshaking() {
		return errStuck
	}
	return nil
}
