//go:build tls13only

package handshake

import (
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/wire"
)

// A program that is built with the tag tls13only does not contain TLS 1.2. Its
// rows stay in the tables, but nothing leads to them.

// TLS12 reports whether TLS 1.2 is compiled in.
const TLS12 = false

type (
	secrets12 struct{}
	client12  struct{}
	server12  struct{}
)

var errNoTLS12 = fault.UnsupportedVersion.With("TLS 1.2 is not compiled in")

func (c *Client) serverHello12(*wire.ServerHello, message) (state, error) { return 0, errNoTLS12 }
func (s *Server) clientHello12(*wire.ClientHello, message) (state, error) { return 0, errNoTLS12 }

func (c *Core) export12(*keyschedule.KDF, string, []byte, []byte) error { return errNoTLS12 }
func (c *Core) forget12()                                               {}
func (c *client12) forget()                                             {}
func (s *server12) forget()                                             {}
func (c *Core) trafficKeys12(*keyschedule.KDF, bool, uint64) TrafficKeys {
	return TrafficKeys{}
}

func (c *Client) certificate12(message) (state, error)        { return 0, errNoTLS12 }
func (c *Client) certificateStatus12(message) (state, error)  { return 0, errNoTLS12 }
func (c *Client) serverKeyExchange12(message) (state, error)  { return 0, errNoTLS12 }
func (c *Client) certificateRequest12(message) (state, error) { return 0, errNoTLS12 }
func (c *Client) serverHelloDone12(message) (state, error)    { return 0, errNoTLS12 }
func (c *Client) newSessionTicket12(message) (state, error)   { return 0, errNoTLS12 }
func (c *Client) changeCipherSpec12(message) (state, error)   { return 0, errNoTLS12 }
func (c *Client) finished12(message) (state, error)           { return 0, errNoTLS12 }
func (c *Client) helloRequest12(message) (state, error)       { return 0, errNoTLS12 }

func (s *Server) certificate12(message) (state, error)       { return 0, errNoTLS12 }
func (s *Server) clientKeyExchange12(message) (state, error) { return 0, errNoTLS12 }
func (s *Server) certificateVerify12(message) (state, error) { return 0, errNoTLS12 }
func (s *Server) changeCipherSpec12(message) (state, error)  { return 0, errNoTLS12 }
func (s *Server) finished12(message) (state, error)          { return 0, errNoTLS12 }
func (s *Server) renegotiation12(message) (state, error)     { return 0, errNoTLS12 }
