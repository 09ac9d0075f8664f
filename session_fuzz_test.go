package baretls_test

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// What a store gives back may be anything. A session that decodes is the one
// that was encoded, and what can be asked of it does not panic.
func FuzzClientSession(f *testing.F) {
	st := newStage(f, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.NextProtos, s.NextProtos = []string{"a"}, []string{"a"}
		s.Certificates[0].OCSPStaple = []byte("a staple")
		s.Certificates[0].SignedCertificateTimestamps = [][]byte{{1}, {2, 3}}
	})
	st.connect()
	f.Add(st.sessions.takeAll(f))
	now := st.clock.now
	st = newStage(f, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		s.CipherSuites = []uint16{tls.TLS_AES_256_GCM_SHA384}
		s.Certificates = withLeaf(tlstest.Options{Kind: tlstest.RSA2048, Depth: 3})
	})
	st.connect()
	f.Add(st.sessions.takeAll(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		input := bytes.Clone(b)
		s := new(baretls.ClientSession)
		if s.UnmarshalBinary(input) != nil {
			return
		}
		clear(input)
		again, err := s.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes, and encodes to %x, %v", b, again, err)
		}
		s.Expires()
		s.MaxEarlyData()
		// It may be offered, or not.
		store := newDrawer()
		store.mixed = true
		store.Put("", s)
		config := clientConfig()
		config.Sessions, config.SessionTicketsDisabled, config.EnableEarlyData = store, false, true
		config.Time = now                         // so that the seeds have not expired
		config.Groups = []tls.CurveID{tls.X25519} // takes the same path each time
		c, err := baretls.NewClient(config, "example.com")
		if err != nil {
			t.Fatalf("NewClient with the session %x: %v", b, err)
		}
		if _, _, err := plainTurns(&c.Conn, nil); err != nil {
			t.Errorf("the client with the session %x: %v", b, err)
		}
	})
}

// A ring that another process hands over may be anything, too.
func FuzzTicketKeys(f *testing.F) {
	k := newTicketKeys(f, 0)
	for range 3 {
		ring, err := k.MarshalBinary()
		if err != nil {
			f.Fatalf("MarshalBinary: %v", err)
		}
		f.Add(ring)
		k.Rotate()
	}
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		k := new(baretls.TicketKeys)
		if k.UnmarshalBinary(b) != nil {
			return
		}
		again, err := k.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes, and encodes to %x, %v", b, again, err)
		}
		k.Rotate()
		after, err := k.MarshalBinary()
		if err != nil {
			t.Errorf("after Rotate: %v", err)
		}
		if err := new(baretls.TicketKeys).UnmarshalBinary(after); err != nil {
			t.Errorf("after Rotate the ring %x does not decode: %v", after, err)
		}
	})
}
