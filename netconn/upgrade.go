package netconn

import (
	"bufio"
	"errors"
	"fmt"
	"net"

	"github.com/baretls/baretls"
)

// ErrBufferedPlaintext is an upgrade to TLS of a connection from which more has
// been received in the clear than was read. Whoever sent it, it is not
// protected, and must not be taken for a part of what comes after.
var ErrBufferedPlaintext = errors.New("netconn: bytes in the clear are left at the upgrade to TLS")

// UpgradeClient is Client for a connection that has been used in the clear and
// read from by r: it is where STARTTLS and the like begin. It is
// ErrBufferedPlaintext if r holds bytes that were not read, and the connection
// is then to be closed. From then on r must not be used. It may be nil if nothing
// was read through a buffer.
//
// It is to be called after the server's agreement has been read.
func UpgradeClient(conn net.Conn, r *bufio.Reader, config *baretls.ClientConfig, serverName string) (*Conn, error) {
	if err := checkBuffered(r); err != nil {
		return nil, err
	}
	return Client(conn, config, serverName)
}

// UpgradeServer is Server for a connection that has been used in the clear: see
// UpgradeClient. It is to be called before the server agrees, for a client has
// to wait for that: what it has sent behind its wish for TLS may be the work of
// somebody between (CVE-2011-0411). The agreement is then written to conn.
func UpgradeServer(conn net.Conn, r *bufio.Reader, config *baretls.ServerConfig) (*Conn, error) {
	if err := checkBuffered(r); err != nil {
		return nil, err
	}
	return Server(conn, config)
}

func checkBuffered(r *bufio.Reader) error {
	if r == nil {
		return nil
	}
	if n := r.Buffered(); n > 0 {
		return fmt.Errorf("%w: %d bytes", ErrBufferedPlaintext, n)
	}
	return nil
}
