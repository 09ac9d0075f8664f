package baretls_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// crypto/tls as the peer: what both sides come to know is the same.

// stdPeer runs a connection of crypto/tls, which echoes what it gets, against
// a side of ours.
type stdPeer struct {
	conn *tls.Conn
	ours net.Conn
	done chan error
}

// deadline only keeps a test that goes wrong from waiting for ever.
const deadline = 30 * time.Second

func newStdPeer(t *testing.T, begin func(net.Conn) *tls.Conn) *stdPeer {
	t.Helper()
	ours, theirs := net.Pipe()
	ours.SetDeadline(time.Now().Add(deadline))
	theirs.SetDeadline(time.Now().Add(deadline))
	p := &stdPeer{conn: begin(theirs), ours: ours, done: make(chan error, 1)}
	go func() {
		_, err := io.Copy(p.conn, p.conn)
		if err == nil {
			err = p.conn.Close()
		}
		theirs.Close()
		p.done <- err
	}()
	return p
}

// talk drives our side: the handshake, data and its echo, and the end.
func (p *stdPeer) talk(t *testing.T, s *side, data string) {
	t.Helper()
	// crypto/tls reads and writes by turns, and so need we: on a goroutine of
	// their own, so that neither waits for the other.
	written := make(chan []byte, 100)
	var writing sync.WaitGroup
	writing.Go(func() {
		for b := range written {
			if _, err := p.ours.Write(b); err != nil {
				return
			}
		}
	})
	defer writing.Wait()
	defer p.ours.Close()
	defer close(written)
	sent, closing := false, false
	buf := make([]byte, 1<<15)
	for {
		s.turns()
		if !s.conn.IsHandshaking() && !sent && s.err == nil {
			sent = true
			s.write([]byte(data))
		}
		if len(s.data) == len(data) && sent && !closing {
			closing = true
			s.close()
			s.turns()
		}
		if b := s.take(); len(b) > 0 {
			written <- b
		}
		if s.err != nil || s.peerClosed {
			return
		}
		n, err := p.ours.Read(buf)
		s.give(buf[:n])
		if err != nil {
			t.Errorf("%s: crypto/tls hangs up: %v; it says %v; states %v", s.role, err, <-p.done, s.transcript)
			return
		}
	}
}

// groups12 are those of TLS 1.2.
var groups12 = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// kinds12 are the certificates that go with a suite and that crypto/tls knows
// in TLS 1.2, which RSASSA-PSS keys are not.
func kinds12(suite uint16) []tlstest.Kind {
	if strings.Contains(tls.CipherSuiteName(suite), "ECDHE_RSA") {
		return []tlstest.Kind{tlstest.RSA2048}
	}
	return []tlstest.Kind{tlstest.ECDSAP256, tlstest.ECDSAP384, tlstest.ECDSAP521, tlstest.Ed25519}
}

// agreements calls f for every suite, certificate and group.
func agreements(t *testing.T, f func(t *testing.T, suite uint16, kind tlstest.Kind, group tls.CurveID)) {
	for _, suite := range suites12 {
		for _, kind := range kinds12(suite.id) {
			for _, group := range groups12 {
				t.Run(fmt.Sprintf("%s/%v/%v", tls.CipherSuiteName(suite.id), kind, group), func(t *testing.T) {
					f(t, suite.id, kind, group)
				})
			}
		}
	}
}

// wantAgreement compares what both sides know.
func wantAgreement(t *testing.T, s *side, peer *tls.Conn, suite uint16, group tls.CurveID, resumed bool, ours, theirs *keyLog) {
	t.Helper()
	a, b := s.conn.ConnectionState(), peer.ConnectionState()
	if a.Version != tls.VersionTLS12 || b.Version != a.Version || a.CipherSuite != suite || b.CipherSuite != suite || a.DidResume != resumed || b.DidResume != resumed {
		t.Fatalf("we have %s, %s, resumed %v; crypto/tls has %s, %s, resumed %v; want TLS 1.2, %s, resumed %v",
			tls.VersionName(a.Version), tls.CipherSuiteName(a.CipherSuite), a.DidResume,
			tls.VersionName(b.Version), tls.CipherSuiteName(b.CipherSuite), b.DidResume, tls.CipherSuiteName(suite), resumed)
	}
	if !resumed && (a.CurveID != group || b.CurveID != group) {
		t.Errorf("the group is %v and %v, want %v", a.CurveID, b.CurveID, group)
	}
	if a.NegotiatedProtocol != "h2" || b.NegotiatedProtocol != "h2" || a.ServerName != "example.com" || b.ServerName != "example.com" {
		t.Errorf("the protocols are %q and %q, the names %q and %q", a.NegotiatedProtocol, b.NegotiatedProtocol, a.ServerName, b.ServerName)
	}
	// A client of crypto/tls logs nothing when it is resumed.
	if ours.String() == "" || ours.String() != theirs.String() && !(resumed && theirs.String() == "") {
		t.Errorf("our key log is\n%sand that of crypto/tls\n%s", ours, theirs)
	}
	for _, context := range [][]byte{nil, {}, []byte("context")} {
		x, err := s.conn.ExportKeyingMaterial("EXPERIMENTAL label", context, 50)
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.ExportKeyingMaterial("EXPERIMENTAL label", context, 50)
		if err != nil || !bytes.Equal(x, y) {
			t.Errorf("for the context %q we export %x, and crypto/tls %x, %v", context, x, y, err)
		}
	}
}

// With a client of crypto/tls: full, and resumed by the ticket that it got.
func TestTLS12WithStdClient(t *testing.T) {
	roots, _ := tlstest.CA()
	agreements(t, func(t *testing.T, suite uint16, kind tlstest.Kind, group tls.CurveID) {
		log, stdLog := new(keyLog), new(keyLog)
		server := tls12.server()
		server.SessionTicketsDisabled = false
		server.Certificates = []tls.Certificate{tlstest.Leaf(kind)}
		server.CipherSuites, server.Groups = []uint16{suite}, []tls.CurveID{group}
		server.NextProtos = []string{"h2"}
		server.KeyLogWriter = log
		client := &tls.Config{
			RootCAs: roots, ServerName: "example.com", NextProtos: []string{"h2"},
			ClientSessionCache: tls.NewLRUClientSessionCache(0), KeyLogWriter: stdLog,
		}
		var main []byte
		for _, resumed := range []bool{false, true} {
			log.Reset()
			stdLog.Reset()
			s := newServer(t, server)
			peer := newStdPeer(t, func(c net.Conn) *tls.Conn { return tls.Client(c, client) })
			peer.echoed(t, s, 40_000)
			wantAgreement(t, s, peer.conn, suite, group, resumed, log, stdLog)
			if resumed && !bytes.Equal(log.secret(t, "CLIENT_RANDOM"), main) {
				t.Error("on resumption, the main secret is another one")
			}
			main = log.secret(t, "CLIENT_RANDOM")
		}
	})
}

// With a server of crypto/tls.
func TestTLS12WithStdServer(t *testing.T) {
	agreements(t, func(t *testing.T, suite uint16, kind tlstest.Kind, group tls.CurveID) {
		log, stdLog := new(keyLog), new(keyLog)
		client := clientConfig() // of both versions
		client.NextProtos = []string{"h2"}
		client.KeyLogWriter = log
		server := &tls.Config{
			Certificates: []tls.Certificate{tlstest.Leaf(kind)},
			MaxVersion:   tls.VersionTLS12, CipherSuites: []uint16{suite},
			CurvePreferences: groupsFor(group, kind), NextProtos: []string{"h2"}, KeyLogWriter: stdLog,
		}
		client.Groups = append(groupsFor(group, kind), tls.X25519MLKEM768)
		for _, resumed := range []bool{false, true} {
			log.Reset()
			stdLog.Reset()
			c, err := baretls.NewClient(client, "example.com")
			if err != nil {
				t.Fatal(err)
			}
			s := newSide(t, "client", &c.Conn)
			peer := newStdPeer(t, func(c net.Conn) *tls.Conn { return tls.Server(c, server) })
			peer.echoed(t, s, 40_000)
			wantAgreement(t, s, peer.conn, suite, group, resumed, log, stdLog)
			if got := s.conn.PeerCertificates(); len(got) != 2 || !bytes.Equal(got[0].Raw, server.Certificates[0].Certificate[0]) {
				t.Errorf("the client knows %d certificates, or others", len(got))
			}
		}
	})
}

// groupsFor is the group to be taken, and the curve of the key, which has to
// be offered too.
func groupsFor(group tls.CurveID, kind tlstest.Kind) []tls.CurveID {
	curves := map[tlstest.Kind]tls.CurveID{
		tlstest.ECDSAP256: tls.CurveP256, tlstest.ECDSAP384: tls.CurveP384, tlstest.ECDSAP521: tls.CurveP521,
	}
	if curve, ok := curves[kind]; ok && curve != group {
		return []tls.CurveID{group, curve}
	}
	return []tls.CurveID{group}
}

// echoed talks, and all must come back.
func (p *stdPeer) echoed(t *testing.T, s *side, n int) {
	t.Helper()
	data := strings.Repeat("0123456789", n/10)
	p.talk(t, s, data)
	if s.wantAlive(); string(s.data) != data {
		t.Fatalf("of %d bytes, %d come back", len(data), len(s.data))
	}
	if err := <-p.done; err != nil {
		t.Fatalf("crypto/tls: %v", err)
	}
}

// Client certificates of every kind, in both roles.
func TestTLS12ClientCertificatesWithStd(t *testing.T) {
	roots, _ := tlstest.CA()
	for _, kind := range []tlstest.Kind{tlstest.ECDSAP256, tlstest.ECDSAP384, tlstest.ECDSAP521, tlstest.RSA2048, tlstest.Ed25519} {
		leaf := tlstest.ClientLeaf(kind)
		s := newServer(t, asking(tls.RequireAndVerifyClientCert))
		peer := newStdPeer(t, func(c net.Conn) *tls.Conn {
			return tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "example.com", Certificates: []tls.Certificate{leaf}})
		})
		peer.echoed(t, s, 10)
		if got := s.conn.PeerCertificates(); len(got) == 0 || !bytes.Equal(got[0].Raw, leaf.Certificate[0]) {
			t.Errorf("%v: our server knows %d certificates, or others", kind, len(got))
		}

		c, err := baretls.NewClient(presenting(leaf), "example.com")
		if err != nil {
			t.Fatal(err)
		}
		s = newSide(t, "client", &c.Conn)
		peer = newStdPeer(t, func(c net.Conn) *tls.Conn {
			return tls.Server(c, &tls.Config{
				Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}, MaxVersion: tls.VersionTLS12,
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
			})
		})
		peer.echoed(t, s, 10)
		if got := peer.conn.ConnectionState().PeerCertificates; len(got) == 0 || !bytes.Equal(got[0].Raw, leaf.Certificate[0]) {
			t.Errorf("%v: the server of crypto/tls knows %d certificates, or others", kind, len(got))
		}
	}
}

// A staple and SCTs cross in both directions.
func TestTLS12StaplesWithStd(t *testing.T) {
	roots, _ := tlstest.CA()
	cert := tlstest.Leaf(tlstest.ECDSAP256)
	cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("an OCSP response"), [][]byte{[]byte("an SCT")}
	server := tls12.server()
	server.Certificates = []tls.Certificate{cert}
	s := newServer(t, server)
	peer := newStdPeer(t, func(c net.Conn) *tls.Conn {
		return tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "example.com"})
	})
	peer.echoed(t, s, 10)
	if state := peer.conn.ConnectionState(); string(state.OCSPResponse) != "an OCSP response" || len(state.SignedCertificateTimestamps) != 1 {
		t.Errorf("crypto/tls got the response %q and %d SCTs", state.OCSPResponse, len(state.SignedCertificateTimestamps))
	}

	c, err := baretls.NewClient(clientConfig(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	s = newSide(t, "client", &c.Conn)
	peer = newStdPeer(t, func(c net.Conn) *tls.Conn {
		return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12})
	})
	peer.echoed(t, s, 10)
	if string(s.conn.OCSPResponse()) != "an OCSP response" || len(s.conn.SignedCertificateTimestamps()) != 1 {
		t.Errorf("of crypto/tls came the response %q and %d SCTs", s.conn.OCSPResponse(), len(s.conn.SignedCertificateTimestamps()))
	}
}
