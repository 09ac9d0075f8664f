package netconn

import "net"

// input is what was received and not yet discarded, and the socket that it
// comes from. It belongs to the reader.
type input struct {
	socket net.Conn
	ready  *readiness // nil if waiting takes a buffer

	buf        *buffer // nil if nothing is here
	start, end int     // what is here, within buf
	need       int     // of bytes more, at least
	busy       bool    // the last Read filled its buffer: more is to be expected
	header     [5]byte // for waiting without a buffer
}

// bytes are what was received and not yet discarded.
func (in *input) bytes() []byte {
	if in.buf == nil {
		return nil
	}
	return in.buf.data[in.start:in.end]
}

// discard drops n bytes from the front.
func (in *input) discard(n int) { in.start += n }

// drop gives the buffer back with all that is in it.
func (in *input) drop() {
	in.buf.giveBack()
	in.buf, in.start, in.end = nil, 0, 0
}

// tidy gives the buffer back if nothing is in it.
func (in *input) tidy() {
	if in.start == in.end {
		in.drop()
	}
}

// receive waits for bytes, need of them in the long run.
func (in *input) receive(need int) error {
	in.tidy()
	in.need = need
	var n int
	var err error
	switch {
	case in.ready != nil:
		n, err = in.ready.receive()
	case in.buf == nil && !in.busy:
		n, err = in.socket.Read(in.header[:])
		if n > 0 {
			copy(in.room(), in.header[:n])
		}
	default:
		n, err = in.socket.Read(in.room())
	}
	if in.buf != nil {
		in.end += n
		in.busy = in.end == len(in.buf.data) || n >= recordBuffer
		in.tidy()
	}
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// failure is an error of the system as the socket's own Read would return it.
func (in *input) failure(err error) error {
	local := in.socket.LocalAddr()
	return &net.OpError{Op: "read", Net: local.Network(), Source: local, Addr: in.socket.RemoteAddr(), Err: err}
}

// room is where to receive: behind what is here, in a buffer that holds all
// that is needed.
func (in *input) room() []byte {
	have := in.end - in.start
	size := recordBuffer
	if in.busy {
		size = bulkBuffer
	}
	switch {
	case in.buf == nil || len(in.buf.data) < have+in.need:
		in.move(max(size, have+in.need))
	case in.start > 0:
		copy(in.buf.data, in.bytes())
		in.start, in.end = 0, have
	}
	return in.buf.data[in.end:]
}

// shrink leaves no larger a buffer than what is awaited needs.
func (in *input) shrink() {
	switch have := in.end - in.start; {
	case have == 0:
		in.drop()
	case have+in.need <= smallBuffer && len(in.buf.data) > smallBuffer,
		have+in.need <= recordBuffer && len(in.buf.data) > recordBuffer:
		in.move(have + in.need)
	}
}

// move goes on with a buffer of that size.
func (in *input) move(size int) {
	next := take(size)
	n := copy(next.data, in.bytes())
	in.buf.giveBack()
	in.buf, in.start, in.end = next, 0, n
}
