package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"

	"github.com/baretls/baretls"
)

// A combination12 is one point of the matrix of TLS 1.2.
type combination12 struct {
	aead  aead
	group tls.CurveID
	cert  string
}

func (c combination12) String() string {
	return fmt.Sprintf("%s/%v/%s", c.aead.gnutls, c.group, c.cert)
}

// combinations12 are all those that the peer has; or, if few, every value
// at least once.
func (p *peer) combinations12(few bool) (cs []combination12) {
	for c, cert := range p.certs {
		for g, group := range classical {
			for a, aead := range aeads {
				if !few || g == c%len(classical) && a == c%len(aeads) {
					cs = append(cs, combination12{aead, group, cert})
				}
			}
		}
	}
	return cs
}

// Every combination of suite, group and certificate of TLS 1.2 in both roles:
// handshake, a mebibyte there and back, and an end that both sides take for a
// clean one. We offer, or take, TLS 1.3 all the while.
func TestTLS12Matrix(t *testing.T) {
	for _, p := range peers {
		for i, c := range p.combinations12(p.name != "crypto-tls") {
			s := plain12()
			s.cert, s.size, s.peerFirst = makeWorld().identity(c.cert), mebibyte, i%2 == 1
			s = s.withSuite(p, c.aead).withGroup(c.group)
			for _, ourClient := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/%v", p.name, roleName(ourClient), c), func(t *testing.T) {
					t.Parallel()
					e, _ := meetPeer(t, p, s, ourClient)
					expectSuite(t, e, c.aead.suite(s.cert))
					expectKind(t, e, baretls.HandshakeFull)
					if ourClient {
						if name := e.conn.PeerCertificates()[0].Subject.CommonName; name != "interop "+c.cert {
							t.Errorf("the server's certificate is %q, want that of %s", name, c.cert)
						}
					}
				})
			}
		}
	}
}

func expectSuite(t *testing.T, e *endpoint, want uint16) {
	t.Helper()
	if got := e.conn.NegotiatedCipherSuite(); got != want {
		t.Errorf("suite is %s, want %s", tls.CipherSuiteName(got), tls.CipherSuiteName(want))
	}
}

// curl with TLS 1.2 at most gets a page from our server, whose end is our
// close_notify: with every suite, group and type of certificate.
func TestTLS12Curl(t *testing.T) {
	p := &peer{name: "curl", certs: []string{"ECDSA-P256", "ECDSA-P384", "ECDSA-P521", "RSA", "RSA-PSS", "Ed25519"}}
	for _, c := range p.combinations12(true) {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			s := plain12()
			s.cert = makeWorld().identity(c.cert)
			s = s.withSuite(p, c.aead).withGroup(c.group)
			l := listen(t)
			program := curl(t, s, l.Addr().String(), serverName)
			e := newServer(t, s.server(), l)
			body := payload(mebibyte)
			if err := serveOnce(e, body); err != nil {
				t.Fatal(err)
			}
			program.expectSuccess()
			expectBytes(t, "curl's page", program.stdout.all(), body)
			expectSuite(t, e, c.aead.suite(s.cert))
			if got := e.conn.NegotiatedKeyExchangeGroup(); got != c.group {
				t.Errorf("group is %v, want %v", got, c.group)
			}
			program.said(`SSL connection using TLSv1\.2 / ` + c.aead.cipher(s.cert))
		})
	}
}

// The peers take a handshake and data in small fragments, and records of TLS
// 1.2 are not padded whatever the configuration says.
func TestTLS12OurFragments(t *testing.T) {
	const size = 500
	s := plain12().also(
		func(c *baretls.ClientConfig) { c.MaxFragmentSize, c.RecordPadding = size, 4 },
		func(c *baretls.ServerConfig) { c.MaxFragmentSize, c.RecordPadding = size, 4 }, nil)
	eachPeer(t, func(t *testing.T, p *peer, ourClient bool) {
		e, _ := meetPeer(t, p, s.withSuite(p, aeads[0]), ourClient)
		expectFull(t, "sent", e.wire.sent, size)
		if !slices.Contains(e.wire.sent.lengths(applicationData), 1+overhead12) {
			t.Error("the first byte was not sent as it is, so it was padded")
		}
	})
}

// overhead12 is what a protected record has besides its content with GCM: the
// explicit half of the nonce and the tag (RFC 5288, Section 3).
const overhead12 = 8 + 16

func expectAtMost(t *testing.T, which string, log recordLog, size int) {
	t.Helper()
	lengths := log.lengths(applicationData)
	if len(lengths) == 0 {
		t.Errorf("no data was %s", which)
	}
	for _, n := range lengths {
		if n > size+overhead12 {
			t.Errorf("a record of %d bytes was %s, and the limit is %d", n-overhead12, which, size)
		}
	}
}

// openssl sends small fragments, and gets none of the small ones it wishes for:
// max_fragment_length is an extension that we do not have.
func TestTLS12FragmentsOfOpenSSL(t *testing.T) {
	openssl := peers[1]
	s := plain12().withSuite(openssl, aeads[0])
	for _, ourClient := range []bool{true, false} {
		t.Run("sent/"+roleName(ourClient), func(t *testing.T) {
			t.Parallel()
			e, _ := meetPeer(t, openssl, s.with("-max_send_frag", "512", "-split_send_frag", "512"), ourClient)
			expectAtMost(t, "received", e.wire.received, 512)
		})
	}
	t.Run("wished for", func(t *testing.T) {
		t.Parallel()
		meetClient(t, openssl, s.with("-maxfraglen", "1024"))
	})
}

// GnuTLS knows record_size_limit (RFC 8449) in TLS 1.2 as well, where no content
// type is counted: each side keeps to what the other asks for. gnutls-cli forgets
// what does not fit into a record, so it gets no more than it can send back.
func TestTLS12RecordSizeLimit(t *testing.T) {
	const limit = 600
	gnutls := peers[2]
	plain := plain12().withSuite(gnutls, aeads[0])
	theirs := plain.with(fmt.Sprintf("--recordsize=%d", limit))
	ours := plain.also(
		func(c *baretls.ClientConfig) { c.RecordSizeLimit = limit },
		func(c *baretls.ServerConfig) { c.RecordSizeLimit = limit }, nil)
	t.Run("theirs/client", func(t *testing.T) {
		t.Parallel()
		e, _ := meetServer(t, gnutls, theirs)
		expectFull(t, "sent", e.wire.sent, limit)
	})
	t.Run("ours/client", func(t *testing.T) {
		t.Parallel()
		e, _ := meetServer(t, gnutls, ours)
		expectFull(t, "received", e.wire.received, limit)
	})
	for name, s := range map[string]scene{"theirs/server": theirs, "ours/server": ours} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			p, _ := gnutlsClient(t, s, l.Addr().String())
			e := newServer(t, s.server(), l)
			if err := e.handshake(); err != nil {
				t.Fatalf("handshake: %v", err)
			}
			data := payload(10 * limit)
			if err := e.write(data); err != nil {
				t.Fatal(err)
			}
			p.enter(string(data[:2*limit]))
			if got, err := e.take(limit); err != nil || string(got) != string(data[:limit]) {
				t.Fatalf("%q came of %d bytes (%v)", got, 2*limit, err)
			}
			p.stdin.Close()
			if err := closeSecond(e); err != nil {
				t.Errorf("close: %v", err)
			}
			e.wire.Close()
			p.expectSuccess()
			if !bytes.HasPrefix(p.stdout.all(), data) {
				t.Errorf("gnutls-cli printed something else than the %d bytes it was sent", len(data))
			}
			if name == "theirs/server" {
				expectFull(t, "sent", e.wire.sent, limit)
			} else {
				expectFull(t, "received", e.wire.received, limit)
			}
		})
	}
}

// expectFull is expectAtMost, with a record of that size at least once.
func expectFull(t *testing.T, which string, log recordLog, size int) {
	t.Helper()
	expectAtMost(t, which, log, size)
	if !slices.Contains(log.lengths(applicationData), size+overhead12) {
		t.Errorf("no record of %d bytes was %s", size, which)
	}
}
