//go:build !unix

package netconn

import "net"

// readiness is for systems that let one read without waiting.
type readiness struct{}

func newReadiness(net.Conn, *input) *readiness { return nil }

func (*readiness) receive() (int, error) { return 0, nil }
func (*readiness) poll() (int, error)    { return 0, nil }
