package baretls

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/baretls/baretls/internal/handshake"
)

// Conn is what client and server connections have in common: the turn, the
// states it leads to, and what has been negotiated. It does no I/O, starts no
// goroutine and keeps no buffer once it is idle.
//
// A Conn is not safe for concurrent use: see Split. The zero Conn is not usable: see
// NewClient and NewServer.
type Conn struct {
	core    *handshake.Core
	machine handshake.Machine // or the link of the halves, once it is split

	in     []byte // what is left of the caller's in this turn; nil in a quiet state
	unread int32  // how much there was at the end of the last turn, less what was opened since
	need   uint16 // bytes missing for the next record, in a quiet state
	at     place
	half   half

	// What came before.
	err         *Error // why the connection failed; the same for ever
	anything    bool   // a record has been seen
	unsent      bool   // records were encoded and not yet said to be sent
	peerClosed  bool   // the peer's close_notify is here
	peerTold    bool   // and the caller knows
	inputClosed bool   // the transport has ended
	exhausted   bool   // the write key of TLS 1.2 is used up
	useless     uint8  // records in a row that brought nothing
	warnings    uint8
}

var errZeroConn = errors.New("baretls: Conn was not made by NewClient or NewServer")

// Format keeps secrets out of what %v and its kin print.
func (c Conn) Format(s fmt.State, verb rune) {
	state := "zero"
	switch {
	case c.link() != nil:
		state = "split"
	case c.machine != nil:
		state = c.machine.State()
	}
	fmt.Fprintf(s, "Conn(%s)", state)
}

// ClientConn is a client's connection: a Conn and what only a client has.
type ClientConn struct {
	Conn
	client handshake.Client
}

// NewClient returns a client connection to the server of that name, a DNS name
// or an IP address, that the server's certificate will have to match. The
// ClientHello is ready: the first turn is EncodeTLSData.
//
// The config may be shared by any number of connections and must not be changed
// afterwards. A *ConfigError says what is wrong with it; a name that is neither
// kind is an error too. No name at all is an error unless CustomVerify is set.
func NewClient(config *ClientConfig, serverName string) (*ClientConn, error) {
	policy, err := config.compile()
	if err != nil {
		return nil, err
	}
	name, sni, err := checkServerName(serverName, config.CustomVerify != nil)
	if err != nil {
		return nil, err
	}
	c := new(ClientConn)
	c.Conn.core, c.Conn.machine = &c.client.Core, &c.client
	if err := c.client.Init(policy, name, sni); err != nil {
		return nil, localError(err)
	}
	return c, nil
}

// ServerConn is a server's connection: a Conn and what only a server has.
type ServerConn struct {
	Conn
	server handshake.Server
}

// NewServer returns a server connection that waits for a ClientHello. The
// config may be shared by any number of connections and must not be changed
// afterwards. A *ConfigError says what is wrong with it.
func NewServer(config *ServerConfig) (*ServerConn, error) {
	policy, err := config.compile()
	if err != nil {
		return nil, err
	}
	s := new(ServerConn)
	s.Conn.core, s.Conn.machine = &s.server.Core, &s.server
	s.server.Init(policy)
	return s, nil
}

// SetResumptionData puts data of the application into the sessions that the
// client will be given, at most 16,384 bytes. The client cannot read it if it
// is in a ticket, but knows its size. It has to be set before the handshake is
// complete, and is ErrStaleState afterwards.
func (s *ServerConn) SetResumptionData(data []byte) error {
	switch {
	case len(data) > 1<<14:
		return fmt.Errorf("baretls: %d bytes of resumption data are more than 16384", len(data))
	case s.err != nil || !s.server.SetResumptionData(bytes.Clone(data)):
		return ErrStaleState
	}
	return nil
}

// ResumptionData is what SetResumptionData put into the session that was
// resumed, or nil. It is not to be relied on before the handshake is complete.
func (s *ServerConn) ResumptionData() []byte { return s.server.ResumptionData() }
