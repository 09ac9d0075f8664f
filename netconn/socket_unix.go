//go:build unix

package netconn

import (
	"io"
	"net"
	"os"
	"syscall"
)

// readiness waits for a socket to have something to read, so that no buffer
// is needed until there is.
type readiness struct {
	raw  syscall.RawConn
	in   *input
	try  func(fd uintptr) bool // as the system calls it back
	once bool                  // do not wait
	n    int
	err  error
}

// newReadiness returns nil for other connections than plain sockets: one that
// embeds a socket may read more from it than it hands out.
func newReadiness(conn net.Conn, in *input) *readiness {
	var socket syscall.Conn
	switch conn := conn.(type) {
	case *net.TCPConn:
		socket = conn
	case *net.UnixConn:
		socket = conn
	default:
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	r := &readiness{raw: raw, in: in}
	r.try = r.read
	return r
}

// receive is a Read of the socket into the input's room.
func (r *readiness) receive() (int, error) {
	r.once = false
	if err := r.raw.Read(r.try); err != nil {
		if op, ok := err.(*net.OpError); ok {
			op.Op = "read"
		}
		return 0, err
	}
	return r.n, r.err
}

// poll is a receive that does not wait: it returns 0, nil if nothing is there.
func (r *readiness) poll() (int, error) {
	r.once = true
	if err := r.raw.Read(r.try); err != nil {
		return 0, err
	}
	return r.n, r.err
}

// read reports whether waiting has an end.
func (r *readiness) read(fd uintptr) bool {
	room := r.in.room()
	for {
		n, err := syscall.Read(int(fd), room)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			r.in.shrink()
			r.n, r.err = 0, nil
			return r.once
		case err != nil:
			r.n, r.err = 0, r.in.failure(os.NewSyscallError("read", err))
		case n == 0:
			r.n, r.err = 0, io.EOF
		default:
			r.n, r.err = n, nil
		}
		return true
	}
}
