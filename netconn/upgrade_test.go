package netconn_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/baretls/baretls/netconn"
)

// Whoever puts bytes in the clear behind the words that lead to TLS is not
// taken for the peer that is authenticated later, on either side.
func TestUpgradesRefusePlaintextThatIsLeft(t *testing.T) {
	leavesNothing(t)
	for name, test := range map[string]struct {
		words   string
		upgrade func(net.Conn, *bufio.Reader) (*netconn.Conn, error)
	}{
		"a server": {"STARTTLS\r\nRSET\r\n", func(conn net.Conn, r *bufio.Reader) (*netconn.Conn, error) {
			return netconn.UpgradeServer(conn, r, serverConfig())
		}},
		"a client": {"220 go ahead\r\n250 AUTH\r\n", func(conn net.Conn, r *bufio.Reader) (*netconn.Conn, error) {
			return netconn.UpgradeClient(conn, r, clientConfig(0), "example.com")
		}},
	} {
		a, b := sockets(t, "unix")
		io.WriteString(a, test.words)
		r := bufio.NewReader(b)
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if conn, err := test.upgrade(b, r); conn != nil || !errors.Is(err, netconn.ErrBufferedPlaintext) {
			t.Errorf("%s with bytes left should be ErrBufferedPlaintext, but is %v", name, err)
		}
		r.ReadString('\n')
		conn, err := test.upgrade(b, r)
		if err != nil {
			t.Errorf("%s with nothing left should do, but: %v", name, err)
		} else {
			conn.Close()
		}
		a.Close()
	}
}
