package interop

import (
	"fmt"
	"testing"

	"github.com/baretls/baretls"
)

// overhead is what a protected record has besides its content and padding: the
// inner content type and the tag (RFC 9846, Section 5.2).
const overhead = 1 + 16

// bothRoles runs a scene against the peer's server and its client.
func bothRoles(t *testing.T, p *peer, s scene, check func(*testing.T, *endpoint)) {
	t.Run(p.name+"/client", func(t *testing.T) {
		t.Parallel()
		e, _ := meetServer(t, p, s)
		check(t, e)
	})
	t.Run(p.name+"/server", func(t *testing.T) {
		t.Parallel()
		e, _ := meetClient(t, p, s)
		check(t, e)
	})
}

// The peers take our padding, from the first protected record on.
func TestOurPadding(t *testing.T) {
	for _, p := range peers {
		for _, block := range []int{64, 4096} {
			t.Run(fmt.Sprint(block), func(t *testing.T) {
				s := plain()
				s.ourClient = func(c *baretls.ClientConfig) { c.RecordPadding = block }
				s.ourServer = func(c *baretls.ServerConfig) { c.RecordPadding = block }
				bothRoles(t, p, s, func(t *testing.T, e *endpoint) {
					for _, n := range e.wire.sent.lengths(applicationData) {
						if (n-overhead)%block != 0 {
							t.Errorf("a record of %d bytes is not padded to a multiple of %d", n-overhead, block)
						}
					}
				})
			})
		}
	}
}

// The peers take a handshake in small fragments, a ClientHello of twenty
// records for example, and data too.
func TestOurFragments(t *testing.T) {
	for _, p := range peers {
		for _, size := range []int{64, 500} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				s := plain()
				s.ourClient = func(c *baretls.ClientConfig) { c.MaxFragmentSize = size }
				s.ourServer = func(c *baretls.ServerConfig) { c.MaxFragmentSize = size }
				bothRoles(t, p, s, func(t *testing.T, e *endpoint) {
					for _, h := range e.wire.sent.headers {
						limit := size
						if h.contentType == applicationData {
							limit += overhead
						}
						if h.length > limit {
							t.Errorf("a record of type %d has %d bytes, and the limit is %d", h.contentType, h.length, limit)
						}
					}
				})
			})
		}
	}
}

// openssl pads, or sends small fragments, and we take it.
func TestRecordsOfOpenSSL(t *testing.T) {
	openssl := peers[1]
	t.Run("padding", func(t *testing.T) {
		bothRoles(t, openssl, plain().with("-record_padding", "512"), func(t *testing.T, e *endpoint) {
			for _, n := range e.wire.received.lengths(applicationData) {
				// It counts the content type in, and leaves full records alone.
				if (n-overhead+1)%512 != 0 && n != 16384+overhead {
					t.Errorf("the peer did not pad a record of %d bytes, so this tests nothing", n)
				}
			}
		})
	})
	t.Run("fragments", func(t *testing.T) {
		bothRoles(t, openssl, plain().with("-max_send_frag", "512", "-split_send_frag", "512"), func(t *testing.T, e *endpoint) {
			for _, n := range e.wire.received.lengths(applicationData) {
				if n > 512+overhead {
					t.Errorf("the peer sent a record of %d bytes, so this tests nothing", n)
				}
			}
		})
	})
}

// The limits on record sizes that other clients ask for are extensions that we
// do not have, and so ignore.
func TestRecordSizeWishes(t *testing.T) {
	t.Run("openssl", func(t *testing.T) {
		t.Parallel()
		meetClient(t, peers[1], plain().with("-maxfraglen", "1024"))
	})
	t.Run("gnutls", func(t *testing.T) {
		t.Parallel()
		s := plain().with("--recordsize=1024")
		s.size = 1000 // gnutls-cli forgets what does not fit into a record
		meetClient(t, peers[2], s)
	})
}

// In middlebox compatibility mode both sides send one change_cipher_spec; a
// peer without it sends none, and a client without it gets none (RFC 9846,
// Appendix E.4). Our client always has it.
func TestMiddleboxCompatibility(t *testing.T) {
	off := map[string]string{"openssl": "-no_middlebox", "gnutls": ":%DISABLE_TLS13_COMPAT_MODE"}
	for _, p := range peers {
		t.Run("on", func(t *testing.T) {
			bothRoles(t, p, plain(), func(t *testing.T, e *endpoint) { expectCCS(t, e, 1, 1) })
		})
		if off[p.name] == "" {
			continue // crypto/tls cannot turn it off
		}
		s := plain().with(off[p.name])
		t.Run("off/"+p.name+"/client", func(t *testing.T) {
			t.Parallel()
			e, _ := meetServer(t, p, s)
			expectCCS(t, e, 1, 0)
		})
		t.Run("off/"+p.name+"/server", func(t *testing.T) {
			t.Parallel()
			e, _ := meetClient(t, p, s)
			expectCCS(t, e, 0, 0)
		})
	}
}

func expectCCS(t *testing.T, e *endpoint, sent, received int) {
	t.Helper()
	s, r := len(e.wire.sent.lengths(changeCipherSpec)), len(e.wire.received.lengths(changeCipherSpec))
	if s != sent || r != received {
		t.Errorf("%d change_cipher_spec sent and %d received, want %d and %d", s, r, sent, received)
	}
}
