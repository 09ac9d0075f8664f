package handshake

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// aSession has something in every field.
func aSession() *Session {
	return &Session{
		Version: tls.VersionTLS13, Suite: tls.TLS_AES_128_GCM_SHA256, Group: tls.X25519, Scheme: tls.ECDSAWithP256AndSHA256,
		Created: time.UnixMilli(1_700_000_000_123), Origin: time.UnixMilli(1_600_000_000_456),
		Lifetime: time.Hour, AgeAdd: 0xdeadbeef, PSK: bytes.Repeat([]byte{7}, 32),
		ServerName: "example.com", ALPN: "a", Policy: [32]byte{1, 2, 3}, MaxEarlyData: 10000,
		PeerChain: [][]byte{{1, 2}, {3}}, OCSP: []byte{4}, SCTs: [][]byte{{5}, {6, 7}},
		AppData: []byte("the application's"), Ticket: []byte("ticket"), SessionID: []byte{},
	}
}

// aSession12 is one of TLS 1.2, which is known by its ID.
func aSession12() *Session {
	s := aSession()
	s.Version, s.Suite, s.PSK = tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, bytes.Repeat([]byte{7}, 48)
	s.Ticket, s.EMS, s.SessionID = []byte{}, true, bytes.Repeat([]byte{8}, 32)
	return s
}

func TestSessionRoundTrip(t *testing.T) {
	sparse := aSession()
	sparse.ServerName, sparse.ALPN, sparse.MaxEarlyData, sparse.AgeAdd = "", "", 0, 0
	sparse.PeerChain, sparse.OCSP, sparse.SCTs, sparse.AppData, sparse.Ticket = nil, []byte{}, nil, []byte{}, []byte{}
	sparse.Origin, sparse.Lifetime = sparse.Created, 0
	long := aSession()
	long.Suite, long.PSK, long.Lifetime = tls.TLS_AES_256_GCM_SHA384, bytes.Repeat([]byte{9}, 48), MaxLifetime
	long.PeerChain = [][]byte{make([]byte, 70000), make([]byte, 1)}
	long.Ticket = make([]byte, 65535)
	short12 := aSession12() // an ID may be shorter, and the secret is as long with any hash
	short12.Suite, short12.EMS, short12.SessionID = tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, false, []byte{1}
	for _, want := range []*Session{aSession(), sparse, long, aSession12(), short12} {
		encoded := want.Append([]byte("before"))[len("before"):]
		got, err := ParseSession(encoded)
		if err != nil {
			t.Errorf("a session of %d bytes does not parse: %v", len(encoded), err)
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("a session comes back as %.300v, want %.300v", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
		}
		if again := got.Append(nil); !bytes.Equal(again, encoded) {
			t.Errorf("a session of %d bytes encodes to other %d bytes the second time", len(encoded), len(again))
		}
	}
}

func TestMalformedSessions(t *testing.T) {
	good, good12 := aSession().Append(nil), aSession12().Append(nil)
	refused := func(what string, b []byte) {
		t.Helper()
		if s, err := ParseSession(b); err == nil || s != nil {
			t.Errorf("a session with %s parses", what)
		}
	}
	for n := range good {
		refused(fmt.Sprintf("%d of %d bytes", n, len(good)), good[:n])
	}
	for n := range good12 {
		refused(fmt.Sprintf("%d of %d bytes, of TLS 1.2", n, len(good12)), good12[:n])
	}
	refused("a byte too many", append(bytes.Clone(good), 0))
	flag := bytes.Clone(good)
	flag[len(flag)-2] = 2
	refused("extended_main_secret that is neither yes nor no", flag)
	for _, test := range []struct {
		what string
		edit func(*Session)
	}{
		{"another version", func(s *Session) { s.Version = tls.VersionTLS12 }},
		{"an unknown suite", func(s *Session) { s.Suite = 0x1304 }},
		{"a suite of TLS 1.2", func(s *Session) { s.Suite = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }},
		{"a PSK that is too long for the hash", func(s *Session) { s.PSK = make([]byte, 48) }},
		{"a PSK that is too short for the hash", func(s *Session) { s.Suite = tls.TLS_AES_256_GCM_SHA384 }},
		{"no PSK", func(s *Session) { s.PSK = nil }},
		{"a PSK of 31 bytes", func(s *Session) { s.PSK = make([]byte, 31) }},
		{"a lifetime of more than seven days", func(s *Session) { s.Lifetime = MaxLifetime + time.Second }},
		{"a creation in the far future", func(s *Session) { s.Created = time.UnixMilli(maxMillis + 1) }},
		{"a creation before 1970", func(s *Session) { s.Created, s.Origin = time.UnixMilli(-1), time.UnixMilli(-2) }},
		{"an origin before 1970", func(s *Session) { s.Origin = time.UnixMilli(-1) }},
		{"an empty certificate", func(s *Session) { s.PeerChain = [][]byte{{}} }},
		{"an empty timestamp", func(s *Session) { s.SCTs = [][]byte{{}} }},
	} {
		s := aSession()
		test.edit(s)
		refused(test.what, s.Append(nil))
	}
	for _, test := range []struct {
		what string
		edit func(*Session)
	}{
		{"another version", func(s *Session) { s.Version = tls.VersionTLS13 }},
		{"an older version", func(s *Session) { s.Version = tls.VersionTLS11 }},
		{"a suite of TLS 1.3", func(s *Session) { s.Suite = tls.TLS_AES_128_GCM_SHA256 }},
		{"an unknown suite", func(s *Session) { s.Suite = tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA }},
		{"a secret as long as the hash", func(s *Session) { s.PSK = make([]byte, 32) }},
		{"a secret of 47 bytes", func(s *Session) { s.PSK = make([]byte, 47) }},
		{"a secret of 49 bytes", func(s *Session) { s.PSK = make([]byte, 49) }},
		{"an ID of 33 bytes", func(s *Session) { s.SessionID = make([]byte, 33) }},
	} {
		s := aSession12()
		test.edit(s)
		refused(test.what+", of TLS 1.2", s.Append(nil))
	}
	other := bytes.Clone(good)
	other[0] = 2
	refused("another format", other)
}

func TestSessionUsable(t *testing.T) {
	created := time.UnixMilli(1_700_000_000_000)
	for _, test := range []struct {
		what             string
		lifetime, origin time.Duration // the origin is so long before
		at               time.Duration // after its creation
		want             bool
	}{
		{"new", time.Hour, 0, 0, true},
		{"almost expired", time.Hour, 0, time.Hour - 1, true},
		{"expired", time.Hour, 0, time.Hour, false},
		{"without a lifetime", 0, 0, 0, false},
		{"from as far in the future as clocks differ", time.Hour, 0, -10 * time.Second, true},
		{"from the future", time.Hour, 0, -10*time.Second - 1, false},
		{"whose origin is almost seven days ago", time.Hour, MaxLifetime - time.Minute, time.Minute - 1, true},
		{"whose origin is seven days ago", time.Hour, MaxLifetime - time.Minute, time.Minute, false},
		{"from another age", time.Hour, 0, 290 * 365 * 24 * time.Hour, false},
		{"to another age", time.Hour, 0, -290 * 365 * 24 * time.Hour, false},
	} {
		s := &Session{Created: created, Origin: created.Add(-test.origin), Lifetime: test.lifetime}
		if got := s.Usable(created.Add(test.at)); got != test.want {
			t.Errorf("a session %s is usable: %t, want %t", test.what, got, test.want)
		}
	}
}

func TestSessionClear(t *testing.T) {
	s := aSession()
	psk := s.PSK
	s.Clear()
	if !bytes.Equal(psk, make([]byte, 32)) {
		t.Errorf("after Clear the PSK is %x", psk)
	}
}

// An encoding that grew would leave copies of the PSK behind.
func TestSessionIsEncodedInOnePiece(t *testing.T) {
	large := aSession()
	large.PeerChain, large.AppData = [][]byte{make([]byte, 5000), make([]byte, 3000)}, make([]byte, 1<<14)
	for _, s := range []*Session{aSession(), aSession12(), large} {
		if n := len(s.Append(nil)); n > s.encodedLen() {
			t.Errorf("a session takes %d bytes, and there was room for %d", n, s.encodedLen())
		}
	}
}

// What a client has taken from its store and cannot offer is cleared.
func TestSessionThatDoesNotFitIsCleared(t *testing.T) {
	p := newPair(t)
	expired := aSession()
	psk := expired.PSK
	p.clientPolicy.Sessions = shelf{"example.com": {expired}}
	var c Client
	if err := c.Init(&p.clientPolicy, "example.com", "example.com"); err != nil {
		t.Fatal(err)
	}
	if c.session != nil || !bytes.Equal(psk, make([]byte, 32)) {
		t.Errorf("an expired session is offered: %t, and has the PSK %x", c.session != nil, psk)
	}
}

// What ParseSession takes, Append makes again; what it refuses, it refuses
// without a panic.
func FuzzParseSession(f *testing.F) {
	f.Add(aSession().Append(nil))
	long := aSession()
	long.Suite, long.PSK = tls.TLS_AES_256_GCM_SHA384, make([]byte, 48)
	f.Add(long.Append(nil))
	f.Add(aSession12().Append(nil))
	f.Add([]byte{sessionFormat})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSession(b)
		if err != nil {
			return
		}
		if again := s.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%x parses, and is encoded as %x", b, again)
		}
		s.Usable(time.Now())
		s.certificates()
		s.Clear()
	})
}
