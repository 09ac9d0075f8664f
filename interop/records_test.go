package interop

import (
	"bytes"
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

// openssl has max_fragment_length (RFC 6066), an extension that we do not have,
// and so ignore.
func TestMaxFragmentLength(t *testing.T) {
	meetClient(t, peers[1], plain().with("-maxfraglen", "1024"))
}

// We keep to the record_size_limit of GnuTLS (RFC 8449): handshake and data.
func TestRecordSizeLimitOfGnuTLS(t *testing.T) {
	const limit = 512
	s := plain().with(fmt.Sprintf("--recordsize=%d", limit))
	expect := func(t *testing.T, e *endpoint, full int) {
		t.Helper()
		n := 0
		for _, length := range e.wire.sent.lengths(applicationData) {
			if length > limit+overhead {
				t.Errorf("we sent a record of %d bytes of content, and the limit is %d", length-overhead, limit)
			}
			if length == limit+overhead {
				n++
			}
		}
		if n < full {
			t.Errorf("we sent %d records of full size, want %d at least", n, full)
		}
	}
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		e, _ := meetServer(t, peers[2], s)
		expect(t, e, 16)
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		// gnutls-cli forgets what does not fit into a record, so it does not
		// send back what it gets.
		l := listen(t)
		p, _ := gnutlsClient(t, s, l.Addr().String())
		e := newServer(t, s.server(), l)
		if err := e.handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		data := payload(100_000)
		if err := e.write(data); err != nil {
			t.Fatal(err)
		}
		say(t, e, p, "all")
		if !bytes.HasPrefix(p.stdout.all(), data) {
			t.Errorf("gnutls-cli printed something else than the %d bytes it was sent", len(data))
		}
		expect(t, e, len(data)/limit)
		p.stdin.Close()
		if err := closeSecond(e); err != nil {
			t.Errorf("close: %v", err)
		}
		e.wire.Close()
		p.expectSuccess()
	})
}

// GnuTLS keeps to ours, which counts the content type. It has to be told that
// less than 512 is fine.
func TestOurRecordSizeLimit(t *testing.T) {
	for _, limit := range []int{64, 512} {
		s := plain().with(":%ALLOW_SMALL_RECORDS")
		s.ourClient = func(c *baretls.ClientConfig) { c.RecordSizeLimit = limit }
		s.ourServer = func(c *baretls.ServerConfig) { c.RecordSizeLimit = limit }
		expect := func(t *testing.T, e *endpoint) {
			t.Helper()
			longest := 0
			for _, n := range e.wire.received.lengths(applicationData) {
				longest = max(longest, n)
			}
			if longest != limit-1+overhead {
				t.Errorf("the longest record had %d bytes of content, want one less than the limit of %d", longest-overhead, limit)
			}
		}
		t.Run(fmt.Sprintf("client/%d", limit), func(t *testing.T) {
			t.Parallel()
			e, _ := meetServer(t, peers[2], s)
			expect(t, e)
		})
		t.Run(fmt.Sprintf("server/%d", limit), func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			p, _ := gnutlsClient(t, s, l.Addr().String())
			e := newServer(t, s.server(), l)
			if err := e.handshake(); err != nil {
				t.Fatalf("handshake: %v", err)
			}
			// gnutls-cli forgets what does not fit into a record.
			data := payload(2 * limit)
			p.enter(string(data))
			if got, err := e.take(limit - 1); err != nil || !bytes.Equal(got, data[:limit-1]) {
				t.Fatalf("%q came of %d bytes (%v)", got, len(data), err)
			}
			say(t, e, p, "and on")
			expect(t, e)
			p.stdin.Close()
			if err := closeSecond(e); err != nil {
				t.Errorf("close: %v", err)
			}
			e.wire.Close()
			p.expectSuccess()
		})
	}
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
