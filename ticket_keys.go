package baretls

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/handshake"
)

// TicketKeys encrypts a server's session tickets: a ring of the current key,
// the next one, which other processes may use before this one does, and those
// before, which open tickets until they expire. It may be shared by any number
// of configs and connections, and changed while they run.
//
// Keys rotate by themselves, by age and by number of tickets. Processes that
// serve the same name share the ring by handing it over: MarshalBinary in one,
// UnmarshalBinary in the others, in shorter intervals than the lifetime. Then
// only one of them should rotate: see SetLifetime.
//
// Whoever has the ring can read every connection that was resumed with one of
// its tickets up to its key exchange, and the 0-RTT data of all of them; in TLS
// 1.2 all of such connections, and of those that the tickets come from.
type TicketKeys struct {
	mutex    sync.Mutex // of writers
	ring     atomic.Pointer[ticketRing]
	lifetime atomic.Int64 // of a key, a time.Duration; 0: no rotation here
}

// ticketRing does not change but for the count of tickets.
type ticketRing struct {
	keys []*ticketKey // the next, the current, those before
}

// The places of a ring.
const (
	nextKey    = 0
	currentKey = 1
)

// ticketKey is one key of the ring.
type ticketKey struct {
	name    [16]byte
	secret  [32]byte
	created time.Time // when it became, or will become, the current one
	aead    cipher.AEAD
	issued  atomic.Uint64
}

const (
	// DefaultTicketKeyLifetime is how long a key of TicketKeys issues tickets.
	DefaultTicketKeyLifetime = 12 * time.Hour

	// maxTicketsPerKey is far below the 2^32 random nonces that AES-GCM allows
	// one key.
	maxTicketsPerKey = 1 << 28

	// maxTicketKeys bounds a ring: keys that open tickets for seven days, if
	// they are not rotated more often than every three hours.
	maxTicketKeys = 64
)

// NewTicketKeys returns a ring of fresh random keys. It fails only if lifetime
// is negative. A lifetime of 0 stands for DefaultTicketKeyLifetime.
func NewTicketKeys(lifetime time.Duration) (*TicketKeys, error) {
	k := new(TicketKeys)
	if lifetime == 0 {
		lifetime = DefaultTicketKeyLifetime
	}
	if err := k.SetLifetime(lifetime); err != nil {
		return nil, err
	}
	now := time.Now()
	ring := &ticketRing{keys: []*ticketKey{newTicketKey(now.Add(lifetime)), newTicketKey(now)}}
	k.ring.Store(ring)
	return k, nil
}

// SetLifetime sets how long a key issues tickets before the next one does. A
// lifetime of 0 leaves rotation to the process that the ring comes from.
func (k *TicketKeys) SetLifetime(lifetime time.Duration) error {
	if lifetime < 0 {
		return fmt.Errorf("baretls: ticket key lifetime %v", lifetime)
	}
	k.lifetime.Store(int64(lifetime))
	return nil
}

// Rotate makes the next key the current one, and a fresh one the next. Keys
// whose tickets have all expired are dropped.
func (k *TicketKeys) Rotate() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.rotate(k.ring.Load(), time.Now())
}

// rotate replaces the ring unless somebody else already has.
func (k *TicketKeys) rotate(seen *ticketRing, now time.Time) {
	ring := k.ring.Load()
	if ring != seen || ring == nil {
		return
	}
	keys := []*ticketKey{newTicketKey(now.Add(time.Duration(k.lifetime.Load())))}
	for i, key := range ring.keys {
		switch {
		case i == nextKey:
			key = key.startedAt(now)
		case len(keys) == maxTicketKeys:
			key = nil
		case i > currentKey && now.Sub(ring.keys[i-1].created) > handshake.MaxLifetime:
			key = nil // its successor is older than any ticket
		}
		if key != nil {
			keys = append(keys, key)
		}
	}
	k.ring.Store(&ticketRing{keys})
}

func newTicketKey(from time.Time) *ticketKey {
	key := &ticketKey{created: from}
	rand.Read(key.name[:])
	rand.Read(key.secret[:])
	key.prepare()
	return key
}

func (key *ticketKey) prepare() {
	block, err := aes.NewCipher(key.secret[:])
	if err == nil {
		key.aead, err = cipher.NewGCMWithRandomNonce(block)
	}
	if err != nil {
		panic("baretls: AES-256-GCM: " + err.Error()) // cannot be: the key has 32 bytes
	}
}

// startedAt is the same key, current from now on.
func (key *ticketKey) startedAt(now time.Time) *ticketKey {
	started := &ticketKey{name: key.name, secret: key.secret, created: now, aead: key.aead}
	started.issued.Store(key.issued.Load())
	return started
}

// seal makes a ticket: the name of the key, and the session sealed with a random
// nonce, the name being additional data. RFC 5077, Section 5.2, wants as much.
func (k *TicketKeys) seal(session []byte, now time.Time) ([]byte, error) {
	ring := k.ring.Load()
	if ring == nil {
		return nil, errors.New("baretls: TicketKeys without keys")
	}
	lifetime := time.Duration(k.lifetime.Load())
	key := ring.keys[currentKey]
	if lifetime > 0 && (now.Sub(key.created) >= lifetime || key.issued.Load() >= maxTicketsPerKey) {
		k.mutex.Lock()
		k.rotate(ring, now)
		k.mutex.Unlock()
		key = k.ring.Load().keys[currentKey]
	}
	if key.issued.Add(1) > 2*maxTicketsPerKey {
		return nil, errors.New("baretls: ticket key is used up")
	}
	ticket := append([]byte(nil), key.name[:]...)
	return key.aead.Seal(ticket, nil, session, key.name[:]), nil
}

func (k *TicketKeys) open(ticket []byte) []byte {
	ring := k.ring.Load()
	if ring == nil || len(ticket) < 16 {
		return nil
	}
	name, sealed := ticket[:16], ticket[16:]
	for _, key := range ring.keys {
		if subtle.ConstantTimeCompare(name, key.name[:]) != 1 {
			continue
		}
		session, err := key.aead.Open(nil, nil, sealed, name)
		if err != nil {
			return nil
		}
		return session
	}
	return nil
}

// ticketKeysFormat is the version of the encoding.
const ticketKeysFormat = 1

// MarshalBinary encodes the ring for another process. The result is as secret
// as the keys.
func (k *TicketKeys) MarshalBinary() ([]byte, error) {
	ring := k.ring.Load()
	if ring == nil {
		return nil, errors.New("baretls: TicketKeys without keys")
	}
	b := []byte{ticketKeysFormat}
	for _, key := range ring.keys {
		b = append(b, key.name[:]...)
		b = append(b, key.secret[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(key.created.UnixMilli()))
	}
	return b, nil
}

// UnmarshalBinary replaces the ring by one that MarshalBinary encoded. It may
// be called while connections use the ring; they never see a half of each. An
// error leaves the ring as it was.
func (k *TicketKeys) UnmarshalBinary(b []byte) error {
	in := cryptobyte.String(b)
	var format uint8
	var ring ticketRing
	if !in.ReadUint8(&format) || format != ticketKeysFormat {
		return errTicketKeys
	}
	old := k.ring.Load()
	for !in.Empty() {
		key := new(ticketKey)
		var created uint64
		if !in.CopyBytes(key.name[:]) || !in.CopyBytes(key.secret[:]) || !in.ReadUint64(&created) ||
			created > 1<<47 || len(ring.keys) == maxTicketKeys {
			return errTicketKeys
		}
		key.created = time.UnixMilli(int64(created))
		key.prepare()
		key.issued.Store(old.issuedBy(key.name))
		ring.keys = append(ring.keys, key)
	}
	if len(ring.keys) <= currentKey {
		return errTicketKeys
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.ring.Store(&ring)
	return nil
}

var errTicketKeys = errors.New("baretls: malformed TicketKeys")

func (r *ticketRing) issuedBy(name [16]byte) uint64 {
	if r != nil {
		for _, key := range r.keys {
			if key.name == name {
				return key.issued.Load()
			}
		}
	}
	return 0
}

// Format keeps the keys out of what %v and its kin print.
func (k *TicketKeys) Format(s fmt.State, verb rune) { fmt.Fprint(s, "TicketKeys(secret)") }

// statelessTickets are tickets that hold their session, encrypted.
type statelessTickets struct {
	keys *TicketKeys
	now  func() time.Time
}

func (t statelessTickets) Issue(session []byte, expires time.Time) ([]byte, error) {
	return t.keys.seal(session, t.now())
}

func (t statelessTickets) Redeem(ticket []byte) []byte { return t.keys.open(ticket) }

func (statelessTickets) Stateful() bool                       { return false }
func (statelessTickets) Remove(ticket []byte) bool            { return true }
func (statelessTickets) Keep(id, session []byte, _ time.Time) {}

// statefulTickets are names of sessions in a store.
type statefulTickets struct{ store SessionStore }

func (t statefulTickets) Issue(session []byte, expires time.Time) ([]byte, error) {
	id := make([]byte, handshake.SessionNameLen)
	rand.Read(id)
	return id, t.store.Put(string(id), bytes.Clone(session), expires)
}

func (t statefulTickets) Redeem(ticket []byte) []byte {
	if len(ticket) != handshake.SessionNameLen {
		return nil
	}
	return t.store.Get(string(ticket))
}

func (statefulTickets) Stateful() bool              { return true }
func (t statefulTickets) Remove(ticket []byte) bool { return t.store.Remove(string(ticket)) }

func (t statefulTickets) Keep(id, session []byte, expires time.Time) {
	t.store.Put(string(id), bytes.Clone(session), expires)
}
