package baretls

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/baretls/baretls/internal/handshake"
)

// ClientSession is what a client needs to resume a connection: a ticket with
// its secret, and what was known of the server. It holds secrets.
type ClientSession struct{ s *handshake.Session }

// MarshalBinary encodes the session, secrets included, for a store outside of
// this process.
func (s *ClientSession) MarshalBinary() ([]byte, error) {
	if s.s == nil {
		return nil, errors.New("baretls: empty ClientSession")
	}
	return s.s.Append(nil), nil
}

// UnmarshalBinary decodes what MarshalBinary encoded. The server's chain is
// verified anew before the session is used.
func (s *ClientSession) UnmarshalBinary(b []byte) error {
	parsed, err := handshake.ParseSession(append([]byte(nil), b...))
	if err != nil {
		return fmt.Errorf("baretls: %w", err)
	}
	if len(parsed.Ticket)+len(parsed.SessionID) == 0 || len(parsed.PeerChain) == 0 {
		return errors.New("baretls: session without a ticket or ID, or without the server's certificates")
	}
	s.s = parsed
	return nil
}

// Expires is when the session becomes useless. The zero ClientSession always is.
func (s *ClientSession) Expires() time.Time {
	if s.s == nil {
		return time.Time{}
	}
	expires := s.s.Created.Add(s.s.Lifetime)
	if end := s.s.Origin.Add(handshake.MaxLifetime); end.Before(expires) {
		return end
	}
	return expires
}

// MaxEarlyData is how many bytes of 0-RTT data the server allows with it.
func (s *ClientSession) MaxEarlyData() uint32 {
	if s.s == nil {
		return 0
	}
	return s.s.MaxEarlyData
}

// Format keeps the secrets out of what %v and its kin print.
func (s ClientSession) Format(f fmt.State, verb rune) { fmt.Fprint(f, "ClientSession(secret)") }

// ClientSessionStore is where a client keeps its sessions. The key stands for
// all that must be alike for a session to be offered: the server's name, the
// application protocols, the client's certificates, and the configuration that
// verifies, or its SessionScope. It is not secret and not readable. Methods
// are called from any goroutine and must not block.
type ClientSessionStore interface {
	// Put adds a session under the key. There may be several.
	Put(key string, session *ClientSession)
	// Take returns a session of the key, preferably the latest, and removes
	// it, for a ticket is used once; or nil.
	Take(key string) *ClientSession
}

// NewClientSessionCache returns a ClientSessionStore in memory for so many
// keys, with the latest 4 sessions each. The key that was used least recently
// gives way. A capacity of 0 stands for 256.
func NewClientSessionCache(capacity int) ClientSessionStore {
	return &clientSessionCache{lru: newLRU[[]*ClientSession](capacity)}
}

type clientSessionCache struct {
	mutex sync.Mutex
	lru   *lru[[]*ClientSession]
}

const sessionsPerKey = 4

func (c *clientSessionCache) Put(key string, session *ClientSession) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	sessions, _ := c.lru.get(key)
	if len(sessions) == sessionsPerKey {
		sessions = append(sessions[:0], sessions[1:]...)
	}
	c.lru.put(key, append(sessions, session))
}

func (c *clientSessionCache) Take(key string) *ClientSession {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	sessions, ok := c.lru.get(key)
	if !ok {
		return nil
	}
	last := len(sessions) - 1
	session := sessions[last]
	sessions[last] = nil
	if last == 0 {
		c.lru.remove(key)
	} else {
		c.lru.put(key, sessions[:last])
	}
	return session
}

// SessionStore is where a server keeps sessions if it does not hand them out
// in encrypted tickets: then what the client gets is a random name. Sessions
// are encoded, and hold secrets. Methods are called from any goroutine and
// must not block.
type SessionStore interface {
	// Put keeps a session until it expires, or not as long. The bytes are the
	// store's. After an error the client gets no ticket.
	Put(id string, session []byte, expires time.Time) error
	// Get returns a copy of a session, or nil. It stays where it is, for whoever
	// sees a ClientHello can name it. The bytes are the connection's, which
	// clears the secret in them.
	Get(id string) []byte
	// Remove removes a session and reports whether it was there. Of several
	// calls with one id, at most one returns true: 0-RTT depends on it (RFC 9846,
	// Section 8.1). It is called for a session that Get has returned, when the
	// client has proved to have its secret, and with false the handshake is
	// full. In TLS 1.2 it is not called: there a session is used until it
	// expires, and Put again when it was. It also stays after a fatal alert,
	// which RFC 5246, Section 7.2.2, would have end it: whoever can break a
	// connection would decide who may resume.
	Remove(id string) bool
}

// NewSessionCache returns a SessionStore in memory for so many sessions. The
// one that was put least recently gives way. A capacity of 0 stands for 4096.
func NewSessionCache(capacity int) SessionStore {
	if capacity == 0 {
		capacity = 4096
	}
	return &sessionCache{lru: newLRU[[]byte](capacity)}
}

type sessionCache struct {
	mutex sync.Mutex
	lru   *lru[[]byte]
}

func (c *sessionCache) Put(id string, session []byte, expires time.Time) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.lru.put(id, session)
	return nil
}

func (c *sessionCache) Get(id string) []byte {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	session, _ := c.lru.get(id)
	return bytes.Clone(session)
}

func (c *sessionCache) Remove(id string) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	session, ok := c.lru.get(id)
	clear(session)
	c.lru.remove(id)
	return ok
}

// lru is a map of bounded size that drops what was put least recently. A look
// changes nothing: who sees a session's name must not keep it alive.
type lru[V any] struct {
	capacity int
	order    *list.List // of *lruEntry[V], the latest first
	entries  map[string]*list.Element
}

type lruEntry[V any] struct {
	key   string
	value V
}

func newLRU[V any](capacity int) *lru[V] {
	if capacity <= 0 {
		capacity = 256
	}
	return &lru[V]{capacity, list.New(), make(map[string]*list.Element)}
}

func (l *lru[V]) get(key string) (value V, ok bool) {
	e, ok := l.entries[key]
	if !ok {
		return value, false
	}
	return e.Value.(*lruEntry[V]).value, true
}

func (l *lru[V]) put(key string, value V) {
	if e, ok := l.entries[key]; ok {
		e.Value.(*lruEntry[V]).value = value
		l.order.MoveToFront(e)
		return
	}
	l.entries[key] = l.order.PushFront(&lruEntry[V]{key, value})
	if len(l.entries) > l.capacity {
		l.remove(l.order.Back().Value.(*lruEntry[V]).key)
	}
}

func (l *lru[V]) remove(key string) {
	if e, ok := l.entries[key]; ok {
		l.order.Remove(e)
		delete(l.entries, key)
	}
}

// clientSessions adapts a store to the machine.
type clientSessions struct {
	store ClientSessionStore
	scope []byte // what must be alike to share the store's sessions
}

// key is what sessions with the server of that name are kept under. It is made
// anew each time, so that an idle connection need not keep it.
func (c clientSessions) key(serverName string) string {
	var room [512]byte // on the stack: this is done for each connection
	d := digest(room[:0]).add([]byte("baretls client session")).add(c.scope).add([]byte(serverName))
	key := d.sum()
	return string(key[:])
}

func (c clientSessions) Put(serverName string, s *handshake.Session) {
	c.store.Put(c.key(serverName), &ClientSession{s})
}

func (c clientSessions) Take(serverName string) *handshake.Session {
	session := c.store.Take(c.key(serverName))
	if session == nil || session.s == nil {
		return nil
	}
	// The machine clears the secret when it is used up, and a store may have
	// handed out what it keeps.
	own := *session.s
	own.PSK = bytes.Clone(own.PSK)
	return &own
}
