package baretls_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baretls/baretls"
)

func TestClientSessionCache(t *testing.T) {
	sessions := make([]*baretls.ClientSession, 10)
	for i := range sessions {
		sessions[i] = new(baretls.ClientSession)
	}
	cache := baretls.NewClientSessionCache(0)
	if cache.Take("a") != nil {
		t.Error("an empty cache returns a session")
	}
	for _, s := range sessions[:6] {
		cache.Put("a", s)
	}
	cache.Put("b", sessions[9])
	for i := 5; i >= 2; i-- {
		if cache.Take("a") != sessions[i] {
			t.Errorf("the cache does not return session %d, the latest that it has", i)
		}
	}
	if cache.Take("a") != nil {
		t.Error("the cache keeps more than 4 sessions under a key, or returns one twice")
	}
	if cache.Take("b") != sessions[9] {
		t.Error("the session under another key is gone")
	}

	// The key that was put least recently gives way.
	cache = baretls.NewClientSessionCache(2)
	cache.Put("a", sessions[0])
	cache.Put("b", sessions[1])
	cache.Put("a", sessions[2])
	cache.Put("c", sessions[3])
	if cache.Take("b") != nil {
		t.Error("a cache for two keys has kept a third, and not dropped the one put least recently")
	}
	if cache.Take("a") != sessions[2] || cache.Take("a") != sessions[0] || cache.Take("c") != sessions[3] {
		t.Error("a cache for two keys has lost one of the two used last")
	}

	cache = baretls.NewClientSessionCache(0)
	for i := range 257 {
		cache.Put(strconv.Itoa(i), sessions[0])
	}
	if cache.Take("0") != nil || cache.Take("1") == nil || cache.Take("256") == nil {
		t.Error("a capacity of 0 does not stand for 256 keys")
	}
}

func TestSessionCache(t *testing.T) {
	cache := baretls.NewSessionCache(2)
	for _, id := range []string{"a", "b", "c"} {
		if err := cache.Put(id, []byte("session "+id), time.Now()); err != nil {
			t.Errorf("Put: %v", err)
		}
	}
	if cache.Get("a") != nil || cache.Remove("a") {
		t.Error("a cache for two sessions has kept a third, and not dropped the first")
	}
	for _, id := range []string{"b", "c"} {
		for range 2 { // what Get returns is the caller's to clear
			got := cache.Get(id)
			if string(got) != "session "+id {
				t.Errorf("Get(%q) returns %q", id, got)
			}
			clear(got)
		}
		if !cache.Remove(id) {
			t.Errorf("session %q cannot be removed", id)
		}
		if cache.Remove(id) || cache.Get(id) != nil {
			t.Errorf("session %q is there when it has been removed", id)
		}
	}

	// A look does not keep a session: whoever sees its name can look.
	cache = baretls.NewSessionCache(2)
	for _, id := range []string{"a", "b", "c"} {
		if err := cache.Put(id, []byte{1}, time.Now()); err != nil {
			t.Errorf("Put: %v", err)
		}
		if id == "b" && cache.Get("a") == nil {
			t.Error("a cache for two sessions does not keep two")
		}
	}
	if cache.Get("a") != nil || cache.Get("b") == nil {
		t.Error("a session that was looked at has outlived one that was put later")
	}

	cache = baretls.NewSessionCache(0)
	for i := range 4097 {
		if err := cache.Put(strconv.Itoa(i), []byte{1}, time.Now()); err != nil {
			t.Errorf("Put: %v", err)
		}
	}
	if cache.Get("0") != nil || cache.Get("1") == nil || cache.Get("4096") == nil {
		t.Error("a capacity of 0 does not stand for 4096 sessions")
	}
}

func TestSessionCachesAreShared(t *testing.T) {
	server, client := baretls.NewSessionCache(0), baretls.NewClientSessionCache(0)
	var taken, clientTaken atomic.Int64
	for round := range 100 {
		id := strconv.Itoa(round)
		if err := server.Put(id, []byte{1}, time.Now()); err != nil {
			t.Fatalf("Put: %v", err)
		}
		client.Put(id, new(baretls.ClientSession))
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				if server.Remove(id) {
					taken.Add(1)
				}
				if client.Take(id) != nil {
					clientTaken.Add(1)
				}
			})
		}
		wait.Wait()
	}
	if n := taken.Load(); n != 100 {
		t.Errorf("100 sessions of a server were removed %d times", n)
	}
	if n := clientTaken.Load(); n != 100 {
		t.Errorf("100 sessions of a client were taken %d times", n)
	}
}

type fullStore struct{}

func (fullStore) Put(string, []byte, time.Time) error { return errors.New("full") }
func (fullStore) Get(string) []byte                   { return nil }
func (fullStore) Remove(string) bool                  { return false }

func TestSessionStoreThatIsFull(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.SessionStore = fullStore{} })
	m := st.connect()
	if got := m.client.conn.TicketsReceived(); got != 0 {
		t.Errorf("%d tickets come from a server whose store takes no sessions", got)
	}
	st.connects("the second connection", baretls.HandshakeFull)
}

// watchedStore sees what a server keeps, and until when.
type watchedStore struct {
	baretls.SessionStore
	ids     []string
	expires []time.Time
}

func (s *watchedStore) Put(id string, session []byte, expires time.Time) error {
	s.ids, s.expires = append(s.ids, id), append(s.expires, expires)
	return s.SessionStore.Put(id, session, expires)
}

func TestSessionStoreIsTold(t *testing.T) {
	store := &watchedStore{SessionStore: baretls.NewSessionCache(0)}
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		s.SessionStore, s.TicketLifetime, s.TicketCount = store, time.Hour, 3
	})
	st.connect()
	if len(store.ids) != 3 {
		t.Fatalf("the store was given %d sessions, want 3", len(store.ids))
	}
	seen := map[string]bool{}
	for i, id := range store.ids {
		if len(id) != 32 || seen[id] {
			t.Errorf("session %d has the ID %x, want 32 bytes that nobody can guess", i, id)
		}
		seen[id] = true
		if want := st.clock.now().Add(time.Hour); !store.expires[i].Equal(want) {
			t.Errorf("session %d expires at %v, want %v", i, store.expires[i], want)
		}
	}
	st.connects("the second connection", baretls.HandshakeResumed)
}

// What is printed by mistake shows no secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.EnableSecretExtraction, s.EnableSecretExtraction = true, true
	})
	st.connect()
	m := st.meet()
	m.clientFlight("early data")
	half := st.meet() // in the middle of the handshake
	half.answer(half.clientFlight())
	m.answer(m.hello)
	m.complete()
	encoded := st.sessions.takeAll(t)
	var session baretls.ClientSession
	if err := session.UnmarshalBinary(encoded); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	ring, err := st.tickets.MarshalBinary()
	if err != nil {
		t.Fatalf("MarshalBinary: %v", err)
	}
	psk := seen(t, encoded).PSK
	// All that a key log has is secret, and the keys that come of it.
	var secrets [][]byte
	for line := range strings.Lines(st.keys.String()) {
		f := strings.Fields(line)
		secret, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret, expandLabel(secret, "key", 16), expandLabel(secret, "iv", 12))
	}
	secrets = append(secrets, psk, ring[17:49], ring[73:105])

	printed := []any{
		st.tickets, session, &session,
		m.client.conn, m.server.conn, m.clientConn, m.serverConn, *m.clientConn, *m.serverConn,
		half.clientConn, half.serverConn, *half.clientConn, *half.serverConn, *half.client.conn,
		struct{ T *baretls.TicketKeys }{st.tickets}, []*baretls.ClientSession{&session},
		st.server,
	}
	wantNothingOf(t, secrets, printed)

	r, w, err := m.server.conn.Split()
	if err != nil {
		t.Fatalf("Split: %v", err)
	}
	wantNothingOf(t, secrets, []any{r, w, *r, *w, m.serverConn, *m.serverConn, struct{ R *baretls.ReadHalf }{r}})

	extracted, kernel, err := m.client.conn.DangerousIntoKernelConn()
	if err != nil {
		t.Fatalf("DangerousIntoKernelConn: %v", err)
	}
	update, err := kernel.RefreshTrafficKeys()
	if err != nil {
		t.Fatalf("RefreshTrafficKeys: %v", err)
	}
	secrets = append(secrets, extracted.Tx.Key, extracted.Tx.IV, extracted.Rx.Key, extracted.Rx.IV, update.Tx.Key, update.Tx.IV)
	wantNothingOf(t, secrets, []any{
		extracted, *extracted, extracted.Tx, &extracted.Rx, kernel, *kernel, update, &update,
		[]baretls.TrafficKeys{extracted.Tx}, map[string]any{"keys": extracted},
	})
}

// wantNothingOf prints each value in all ways and looks for secrets in what is
// printed, in any spelling that fmt has.
func wantNothingOf(t *testing.T, secrets [][]byte, values []any) {
	t.Helper()
	for _, v := range values {
		var told []string
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
			text := fmt.Sprintf(verb, v)
			if slices.ContainsFunc(secrets, func(secret []byte) bool { return spelled(text, secret[:8]) }) {
				told = append(told, verb)
			}
		}
		if told != nil {
			t.Errorf("a %T prints secrets with %v", v, told)
		}
	}
}

func spelled(text string, secret []byte) bool {
	decimal := strings.Trim(fmt.Sprint(secret), "[]")
	golang := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", secret), "[]byte{"), "}")
	hexes := strings.Trim(fmt.Sprintf("%x", toInts(secret)), "[]")
	for _, form := range []string{string(secret), decimal, golang, hexes, strings.ToUpper(hexes), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret))} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return bytes.Contains([]byte(text), secret)
}

func toInts(b []byte) (ints []int) {
	for _, v := range b {
		ints = append(ints, int(v))
	}
	return ints
}
