package baretls

import "github.com/baretls/baretls/internal/wire"

// RewriteClient replaces messages that a client is about to send: it goes on as
// if they were its own, in its transcript too. The door gets each message with
// its type, and returns what is sent.
func RewriteClient(c *ClientConfig, door func(t byte, message []byte) []byte) error {
	policy, err := c.compile()
	if err == nil {
		policy.TestingRewrite = func(t wire.MessageType, m []byte) []byte { return door(byte(t), m) }
	}
	return err
}

// RewriteServer does the same for a server.
func RewriteServer(c *ServerConfig, door func(t byte, message []byte) []byte) error {
	policy, err := c.compile()
	if err == nil {
		policy.TestingRewrite = func(t wire.MessageType, m []byte) []byte { return door(byte(t), m) }
	}
	return err
}
