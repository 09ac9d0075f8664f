package baretls_test

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// Functions of the configuration, called in the middle of a handshake, may do
// what they want: the connection neither breaks nor forgets to clear up.

// A hook is behind everything that a configuration can have called. In call
// number at of a meeting it does something.
type hook struct {
	meeting *meeting // whose calls count; nil: none do
	calls   int
	at      int
	do      func(*hook, *side)
	where   string
	side    *side
	last    map[*side]baretls.State
}

func (h *hook) called(role, what string) {
	if h.meeting == nil {
		return
	}
	if h.calls++; h.calls == h.at {
		h.where, h.side = fmt.Sprintf("%s of the %s, call %d", what, role, h.calls), h.meeting.side(role)
		h.do(h, h.side)
	}
}

// edit puts the hook behind the configurations of a stage.
func (h *hook) edit(c *baretls.ClientConfig, s *baretls.ServerConfig) {
	withClientAuth(c, s)
	clock := c.Time
	c.Time = func() time.Time { h.called("client", "Time"); return clock() }
	s.Time = func() time.Time { h.called("server", "Time"); return clock() }
	c.Rand, s.Rand = hookedRand{h, "client"}, hookedRand{h, "server"}
	c.KeyLogWriter, s.KeyLogWriter = hookedLog{h, "client"}, hookedLog{h, "server"}
	c.Sessions = hookedSessions{h, c.Sessions}
	s.TicketKeys, s.SessionStore = nil, hookedStore{h, baretls.NewSessionCache(0)}
	s.ReplayGuard = hookedGuard{h, s.ReplayGuard}
	c.VerifyPeer = func(*baretls.PeerVerification) error { h.called("client", "VerifyPeer"); return nil }
	s.VerifyPeer = func(*baretls.PeerVerification) error { h.called("server", "VerifyPeer"); return nil }
	of, mine := s.Certificates[0], tlstest.ClientLeaf(tlstest.ECDSAP256)
	of.PrivateKey = hookedKey{of.PrivateKey.(crypto.Signer), h, "server"}
	mine.PrivateKey = hookedKey{mine.PrivateKey.(crypto.Signer), h, "client"}
	s.GetCertificate = func(*baretls.ClientHello) (*tls.Certificate, error) {
		h.called("server", "GetCertificate")
		return &of, nil
	}
	c.GetClientCertificate = func(*baretls.CertificateRequest) (*tls.Certificate, error) {
		h.called("client", "GetClientCertificate")
		return &mine, nil
	}
}

type hookedRand struct {
	*hook
	role string
}

func (r hookedRand) Read(b []byte) (int, error) {
	r.called(r.role, "Rand")
	return rand.Read(b)
}

type hookedLog struct {
	*hook
	role string
}

func (l hookedLog) Write(b []byte) (int, error) {
	l.called(l.role, "KeyLogWriter")
	return len(b), nil
}

type hookedSessions struct {
	*hook
	baretls.ClientSessionStore
}

func (s hookedSessions) Put(key string, session *baretls.ClientSession) {
	s.called("client", "Sessions.Put")
	s.ClientSessionStore.Put(key, session)
}

type hookedStore struct {
	*hook
	baretls.SessionStore
}

func (s hookedStore) Put(id string, session []byte, expires time.Time) error {
	s.called("server", "SessionStore.Put")
	return s.SessionStore.Put(id, session, expires)
}

func (s hookedStore) Get(id string) []byte {
	s.called("server", "SessionStore.Get")
	return s.SessionStore.Get(id)
}

func (s hookedStore) Remove(id string) bool {
	s.called("server", "SessionStore.Remove")
	return s.SessionStore.Remove(id)
}

type hookedGuard struct {
	*hook
	baretls.ReplayGuard
}

func (g hookedGuard) Fresh(flight [32]byte, expires time.Time) (bool, error) {
	g.called("server", "ReplayGuard")
	return g.ReplayGuard.Fresh(flight, expires)
}

type hookedKey struct {
	crypto.Signer
	*hook
	role string
}

func (k hookedKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.called(k.role, "PrivateKey")
	return k.Signer.Sign(rand, digest, opts)
}

// eachCall makes a connection for every call that one leads to, in which that
// call does something, and has it looked at.
func eachCall(t *testing.T, do func(*hook, *side), look func(t *testing.T, h *hook, m *meeting, panicked any)) {
	eachVersion(t, func(t *testing.T, v version) {
		for _, resumed := range []bool{false, true} {
			for at := 1; ; at++ {
				h := &hook{at: at, do: do, last: make(map[*side]baretls.State)}
				edits := []func(*baretls.ClientConfig, *baretls.ServerConfig){h.edit}
				if v == tls12 {
					edits = append(edits, want12)
				}
				st := newStage(t, edits...)
				if resumed {
					st.connect()
				}
				m := st.meet()
				h.meeting = m
				if v == tls13 && resumed {
					m.sendEarly("early data")
				}
				for _, s := range m.sides() {
					on := s.on
					s.on = func(state baretls.State) bool {
						h.last[s] = state
						return on != nil && on(state)
					}
				}
				panicked := m.runs()
				h.meeting = nil
				if h.calls < at {
					if at < 8 {
						t.Fatalf("resumed %t: there are only %d calls", resumed, h.calls)
					}
					break
				}
				t.Run(fmt.Sprintf("resumed %t: %s", resumed, h.where), func(t *testing.T) { look(t, h, m, panicked) })
				st.connect() // nothing is locked, and nothing came back that is in use
			}
		}
	})
}

// runs is runEarly up to a panic.
func (m *meeting) runs() (panicked any) {
	defer func() { panicked = recover() }()
	m.runEarly()
	return nil
}

func TestAbandonedByACallback(t *testing.T) {
	eachCall(t, func(_ *hook, s *side) { s.conn.Abandon() }, func(t *testing.T, h *hook, m *meeting, panicked any) {
		if panicked != nil {
			t.Fatalf("panic: %v", panicked)
		}
		if !errors.Is(h.side.err, baretls.ErrAbandoned) {
			t.Errorf("the error is %v", h.side.err)
		}
		wantDead(t, h.side)
	})
}

func TestAPanicInACallback(t *testing.T) {
	eachCall(t, func(*hook, *side) { panic("in a callback") }, func(t *testing.T, h *hook, m *meeting, panicked any) {
		if panicked != "in a callback" {
			t.Fatalf("the panic did not come through, but %v", panicked)
		}
		h.side.out = nil // encoded in vain
		wantDead(t, h.side)
		h.side.conn.Abandon()
		wantDead(t, h.side)
	})
}

// wantDead checks that a connection has failed without a word.
func wantDead(t *testing.T, s *side) {
	t.Helper()
	s.take()
	status, err := s.conn.ProcessTLSRecords(nil)
	var failure *baretls.Error
	if status.State != nil || !errors.As(err, &failure) {
		t.Fatalf("the connection goes on: %T, %v", status.State, err)
	}
	if alert, ok := failure.Alert(); ok {
		t.Errorf("the error has the alert %v", alert)
	}
}

// What a function must not do with the connection is refused, and harmless.
func TestACallbackThatUsesTheConnection(t *testing.T) {
	use := func(h *hook, s *side) {
		status, err := s.conn.ProcessTLSRecords([]byte{22, 3, 3, 0, 1, 0})
		if err == nil || status != (baretls.Status{}) {
			s.t.Errorf("a turn in a turn is %v, %v", status, err)
		}
		if _, _, err := s.conn.Split(); err == nil {
			s.t.Error("the connection can be split in a turn")
		}
		if _, err := s.conn.DangerousExtractSecrets(); err == nil {
			s.t.Error("secrets can be extracted in a turn")
		}
		switch old := h.last[s].(type) {
		case baretls.EncodeTLSData:
			if _, err := old.Encode(make([]byte, 1<<15)); err == nil {
				s.t.Error("a state of an earlier turn can be used")
			}
		case baretls.TransmitTLSData:
			if old.Done() == nil {
				s.t.Error("a state of an earlier turn can be used")
			}
		case baretls.WriteTraffic:
			if _, err := old.Encrypt([]byte("data"), make([]byte, 1<<15)); err == nil {
				s.t.Error("a state of an earlier turn can be used")
			}
		}
		s.conn.ConnectionState()
	}
	eachCall(t, use, func(t *testing.T, h *hook, m *meeting, panicked any) {
		if panicked != nil {
			t.Fatalf("panic: %v", panicked)
		}
		m.handshake()
		m.works()
	})
}
