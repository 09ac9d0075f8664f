package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"

	"github.com/baretls/baretls"
)

// Our client's share is of a group that the server does not have, and the
// server asks for another: RFC 9846, Section 4.2.4.
func TestRetryOfOurClient(t *testing.T) {
	for _, p := range peers {
		for _, c := range []struct{ first, wanted tls.CurveID }{
			{tls.X25519, tls.CurveP256},
			{tls.CurveP256, tls.X25519},
			{tls.X25519MLKEM768, tls.CurveP384}, // two shares, neither of which is good
			{tls.CurveP384, tls.CurveP521},
			{tls.X25519, tls.X25519MLKEM768},
			{tls.X25519MLKEM768, tls.SecP384r1MLKEM1024},
			{tls.CurveP256, tls.SecP256r1MLKEM768},
		} {
			if !slices.Contains(p.groups, c.wanted) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%v to %v", p.name, c.first, c.wanted), func(t *testing.T) {
				t.Parallel()
				s := plain()
				s.group, s.ours = c.wanted, []tls.CurveID{c.first, c.wanted}
				if c.first == tls.X25519MLKEM768 {
					s.ours = []tls.CurveID{c.first, tls.X25519, c.wanted}
				}
				e, _ := meetServer(t, p, s)
				expectRetry(t, e)
				expectCCS(t, e, 1, 1)
			})
		}
	}
}

func expectRetry(t *testing.T, e *endpoint) {
	t.Helper()
	if kind := e.conn.HandshakeKind(); kind != baretls.HandshakeFullWithHelloRetryRequest {
		t.Errorf("the handshake was %v, and should have had a HelloRetryRequest", kind)
	}
}

var cookieKey = bytes.Repeat([]byte("cookie! "), 4)

// The peer's client is sent a HelloRetryRequest by our server: for another
// share, with a cookie, or both. A stateless server forgets the client in
// between: its second hello comes to a new connection.
func TestRetryOfOurServer(t *testing.T) {
	for _, p := range peers {
		for _, c := range []struct {
			name              string
			group             tls.CurveID // the second of the client's; 0: its first
			cookie, stateless bool
		}{
			{"P-256", tls.CurveP256, false, false},
			{"P-384", tls.CurveP384, false, false},
			{"P-521", tls.CurveP521, false, false},
			{"cookie", 0, true, false},
			{"P-521 and cookie", tls.CurveP521, true, false},
			{"cookie, stateless", 0, true, true},
			{"P-384 and cookie, stateless", tls.CurveP384, true, true},
		} {
			t.Run(p.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				s := plain()
				s.group = tls.X25519
				s.theirs = []tls.CurveID{tls.X25519}
				if c.group != 0 {
					s.group = c.group
					s.theirs = append(s.theirs, c.group)
				}
				if p.name == "gnutls" {
					// It would send a share of each.
					s = s.with("--single-key-share")
				}
				if c.cookie {
					s.ourServer = func(config *baretls.ServerConfig) { config.RetryCookieKey = cookieKey }
				}
				l := listen(t)
				r := p.dial(t, s, l.Addr().String())
				config := s.server()
				e := newServer(t, config, l)
				if c.stateless {
					if err := forgetAfterRetry(e, config); err != nil {
						t.Fatalf("up to the HelloRetryRequest: %v", err)
					}
				}
				if p.name == "gnutls" && c.cookie && c.group == 0 {
					// GnuTLS takes only retries that select a group (its
					// key_share_send_params), against Section 4.2.4.
					expectAlert(t, e.handshake(), illegalParameter, true)
					return
				}
				meet(t, e, r, s, p.clientAnswersClose)
				expectRetry(t, e)
				expectCCS(t, e, 1, 1)
			})
		}
	}
}

// forgetAfterRetry goes on with a new connection once the HelloRetryRequest is
// sent: nothing but the key is left of the first.
func forgetAfterRetry(e *endpoint, config *baretls.ServerConfig) error {
	err := e.until(func() bool { return e.conn.HandshakeKind() == baretls.HandshakeFullWithHelloRetryRequest })
	if err != nil {
		return err
	}
	s, err := baretls.NewServer(config)
	if err != nil {
		return err
	}
	e.conn = &s.Conn
	return nil
}

// The HelloRetryRequest of openssl's stateless server has a cookie, with and
// without a wish for another share. s_server gives up when it meets the
// change_cipher_spec of any client, its own included, so that is taken out.
func TestCookieOfStatelessOpenSSL(t *testing.T) {
	for _, c := range []struct {
		name string
		ours []tls.CurveID
	}{
		{"cookie", []tls.CurveID{tls.CurveP256}},
		{"P-256 and cookie", []tls.CurveID{tls.X25519, tls.CurveP256}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := plain().with("-stateless")
			s.group, s.ours = tls.CurveP256, c.ours
			r := opensslServe(t, s)
			e := newClient(t, s.client(), serverName, r.addr)
			e.withoutCCS = true
			meet(t, e, r, s, true)
			expectRetry(t, e)
		})
	}
}
