package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"

	"github.com/baretls/baretls"
)

// sizes are what is read at a time, over and over: small and odd, so that
// records and messages come in pieces of every kind.
var sizes = []int{1, 2, 3, 5, 7, 11, 13, 64, 255, 1021, 4099}

// exchange is one connection to the runner.
type exchange struct {
	opts       *options
	retry      *options // what applies once early data has been rejected
	memory     *memory
	resumption bool

	conn      *baretls.Conn
	transport *net.TCPConn
	source    *bufio.Reader
	reads     int

	in, out []byte // received and not discarded; encoded and not sent
	data    []byte // to be written

	checked    bool // the handshake is complete, and is as it should be
	early      bool // the first data was written as early data
	unfinished bool // of the first data, only a byte was sent at first
	held       bool // what is encoded waits for the peer's data, or for a flight to join
	peeked     bool // the next record was looked at, and left alone for a turn
	update     bool // keys are to be updated
	peerGone   bool // close_notify came
	askedFor   int  // turns that the present question has waited for its answer
	selected   int  // the credential that has signed
	secrets    bytes.Buffer
}

// connect makes one connection to the runner and does what the options say.
func connect(o, retry *options, memory *memory, resumption bool) error {
	x := &exchange{opts: o, retry: retry, memory: memory, resumption: resumption, selected: -1}
	memory.put = 0
	var err error
	if x.conn, err = x.newConn(); err != nil {
		return err
	}
	if err := x.dial(); err != nil {
		return err
	}
	err = x.run()
	x.hangUp()
	return err
}

// dial opens the transport: a TCP client always, also for a TLS server. The
// runner is told which test it is about before TLS begins.
func (x *exchange) dial() error {
	host := "127.0.0.1"
	if x.opts.ipv6 {
		host = "::1"
	}
	c, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(x.opts.port)))
	if err != nil {
		return err
	}
	x.transport = c.(*net.TCPConn)
	x.source = bufio.NewReader(c)
	_, err = c.Write(binary.LittleEndian.AppendUint64(nil, x.opts.shimID))
	return err
}

// hangUp closes the transport, but reads what the runner may still be writing:
// a reset would cost it our alert.
func (x *exchange) hangUp() {
	x.transport.CloseWrite()
	io.Copy(io.Discard, x.source)
	x.transport.Close()
}

// run is the loop: turns until the connection, or the test, is over.
func (x *exchange) run() error {
	for {
		status, err := x.conn.ProcessTLSRecords(x.in)
		if err != nil {
			return x.ended(err)
		}
		if !x.checked && !x.conn.IsHandshaking() {
			if err := x.handshakeComplete(); err != nil {
				return err
			}
		}
		discard, receive, done := status.Discard, false, false
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			x.out, err = state.AppendTo(x.out)
		case baretls.TransmitTLSData:
			x.held = false
			if early, ok := state.MayEncryptEarlyData(); ok {
				err = x.writeEarly(early)
			}
			err = errors.Join(err, state.Done(), x.flush())
		case baretls.ReadEarlyData:
			for record := range state.Records() {
				discard += record.Discard
				x.echo(record.Payload)
			}
		case baretls.ReadTraffic:
			var n int
			n, err = x.read(state)
			discard += n
		case baretls.BlockedHandshake:
			receive = true
		case baretls.WriteTraffic:
			receive, done, err = x.write(state)
		case baretls.PeerClosed:
			x.peerGone = true
		case baretls.Closed:
			done = true
		default:
			err = x.asked(state)
		}
		if err != nil {
			return err
		}
		x.in = slices.Delete(x.in, 0, discard)
		if done {
			return x.finish()
		}
		if receive {
			if err := x.receive(); err != nil {
				return err
			}
		}
	}
}

// receive reads a few bytes.
func (x *exchange) receive() error {
	size := sizes[x.reads%len(sizes)]
	if x.opts.async {
		size = 1
	}
	x.reads++
	buf := make([]byte, size)
	n, err := x.source.Read(buf)
	x.in = append(x.in, buf[:n]...)
	if err == io.EOF {
		x.conn.CloseInput()
		return nil
	}
	return err
}

// flush sends what was encoded.
func (x *exchange) flush() error {
	if x.held {
		return nil
	}
	_, err := x.transport.Write(x.out)
	x.out = x.out[:0]
	if x.peerGone {
		return nil // who has closed need not listen
	}
	return err
}

// ended decides about the end of a connection. Without close_notify it is good
// enough for a test that does not ask for it, once the handshake is complete.
func (x *exchange) ended(err error) error {
	if x.held {
		x.held = false
		x.flush() // the alert behind it; err is the better news
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && x.checked && !x.opts.checkCloseNotify {
		return x.finish()
	}
	return err
}

// echo queues the answer to data of the runner.
func (x *exchange) echo(data []byte) {
	x.held, x.update = false, x.opts.keyUpdate || x.opts.keyUpdateBeforeRead
	for _, b := range data {
		x.data = append(x.data, b^0xff)
	}
}

// read takes the next record of data.
func (x *exchange) read(state baretls.ReadTraffic) (discard int, err error) {
	length, ok := state.PeekLen()
	if !ok {
		return 0, errors.New("nothing to peek at in ReadTraffic")
	}
	if x.opts.peekThenRead && !x.peeked {
		x.peeked = true
		return 0, nil
	}
	x.peeked = false
	record, ok := state.NextRecord()
	if !ok {
		return 0, nil // the next turn tells why
	}
	if len(record.Payload) > length {
		return 0, fmt.Errorf("a record of %d bytes, where PeekLen was %d", len(record.Payload), length)
	}
	if len(record.Payload) > 0 && !x.opts.shimShutsDown {
		x.echo(record.Payload)
	}
	return record.Discard, nil
}

// write does what there is to do in the quiet state.
func (x *exchange) write(state baretls.WriteTraffic) (receive, done bool, err error) {
	o := x.opts
	switch {
	case x.conn.IsHandshaking() && x.conn.EarlyData() != baretls.EarlyDataAccepted:
		return true, false, nil
	case x.peerGone || o.shimShutsDown && len(x.data) == 0:
		return x.close(state)
	case len(x.data) > 0 && !(x.update && o.keyUpdate):
		return false, false, x.writeData(state)
	case x.update:
		x.update = false
		return false, false, state.RefreshTrafficKeys()
	}
	return true, false, nil
}

func (x *exchange) writeData(state baretls.WriteTraffic) (err error) {
	if x.out, err = state.AppendEncrypted(x.out, x.data); err != nil {
		return err
	}
	x.data = x.data[:0]
	if err := x.leaveUnfinished(1); err != nil {
		return err
	}
	return x.flush()
}

// leaveUnfinished sends n bytes of what is encoded if the test wants the first
// write to wait for the peer's data.
func (x *exchange) leaveUnfinished(n int) error {
	if !x.opts.readWithUnfinishedWrite || x.unfinished {
		return nil
	}
	x.unfinished, x.held = true, true
	_, err := x.transport.Write(x.out[:n])
	x.out = slices.Delete(x.out, 0, n)
	return err
}

// close ends our side, and the test unless it wants to see the peer's end too.
func (x *exchange) close(state baretls.WriteTraffic) (receive, done bool, err error) {
	if !x.opts.checkCloseNotify {
		return false, true, nil
	}
	if x.out, err = state.AppendCloseNotify(x.out); err != nil {
		return false, false, err
	}
	return !x.peerGone, false, x.flush()
}

// writeEarly sends what the runner expects as 0-RTT data.
func (x *exchange) writeEarly(state baretls.MayEncryptEarlyData) (err error) {
	if x.early || !x.opts.writesFirst() {
		return nil
	}
	if x.opts.exportKeyingMaterial > 0 {
		if _, err := x.keyingMaterial(); err != nil {
			return err
		}
	}
	x.early = true
	x.data = []byte(firstWrite)
	n, before := min(len(x.data), state.BytesLeft()), len(x.out)
	if x.out, err = state.AppendEncrypted(x.out, x.data[:n]); err != nil {
		return err
	}
	x.data = x.data[n:]
	return x.leaveUnfinished(before + 1)
}

// writesFirst reports whether the shim writes without being asked.
func (o *options) writesFirst() bool { return o.shimWritesFirst || o.readWithUnfinishedWrite }

// firstWrite is what it writes then.
const firstWrite = "hello"

// handshakeComplete checks what the handshake has led to, and queues what the
// shim has to say first.
func (x *exchange) handshakeComplete() error {
	x.checked = true
	if x.conn.EarlyData() == baretls.EarlyDataRejected && !x.opts.server {
		if !x.opts.expect.rejectEarlyData {
			return errors.New("early data was rejected")
		}
		x.opts, x.early, x.data = x.retry, false, nil
	}
	x.update = x.opts.keyUpdateBeforeRead
	if err := x.check(); err != nil {
		return err
	}
	return x.speakFirst()
}

func (x *exchange) speakFirst() error {
	o := x.opts
	if o.exportKeyingMaterial > 0 {
		material, err := x.keyingMaterial()
		if err != nil {
			return err
		}
		x.data = append(x.data, material...)
	}
	if o.exportTrafficSecrets {
		if err := x.sayTrafficSecrets(); err != nil {
			return err
		}
	}
	if o.writesFirst() && !x.early {
		x.data = append(x.data, firstWrite...)
	}
	return nil
}

func (x *exchange) keyingMaterial() ([]byte, error) {
	var context []byte
	if x.opts.useExportContext {
		context = append([]byte{}, x.opts.exportContext...)
	}
	return x.conn.ExportKeyingMaterial(x.opts.exportLabel, context, x.opts.exportKeyingMaterial)
}

// sayTrafficSecrets queues the secrets of both directions.
func (x *exchange) sayTrafficSecrets() error {
	read, write := "SERVER_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0"
	if x.opts.server {
		read, write = write, read
	}
	readSecret, err := secretOf(x.secrets.String(), read)
	if err != nil {
		return err
	}
	writeSecret, err := secretOf(x.secrets.String(), write)
	if err != nil {
		return err
	}
	x.data = binary.LittleEndian.AppendUint16(x.data, uint16(len(readSecret)))
	x.data = append(append(x.data, readSecret...), writeSecret...)
	return nil
}
