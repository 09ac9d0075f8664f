package keyschedule

import (
	"encoding"
	"hash"
)

// Transcript is the running hash of the handshake messages (RFC 9846, Section
// 4.1). It begins when the hash is known; the caller keeps the messages before.
type Transcript struct {
	hash  hash.Hash
	sum   [maxHash]byte
	head  [4]byte
	state []byte // of the hash, while SumWith goes ahead: memory of the KDF
}

// maxState is what SHA-384 of the standard library takes to be saved.
const maxState = 256

// messageHash is the type of the message that stands for ClientHello1.
const messageHash = 254

// Start begins an empty transcript with the hash of the KDF, in memory of the
// KDF, which has no other. The hash must be one of the standard library.
func (t *Transcript) Start(k *KDF) {
	t.hash, t.state = k.running, k.state[:0]
	t.hash.Reset()
}

// Started reports whether the transcript has a hash.
func (t *Transcript) Started() bool { return t.hash != nil }

// Add hashes a message, or a part of one, with its header.
func (t *Transcript) Add(message []byte) { t.hash.Write(message) }

// Sum returns the hash so far, in memory that the next call of a method may
// overwrite. The transcript can go on.
func (t *Transcript) Sum() []byte { return t.hash.Sum(t.sum[:0]) }

// SumWith returns what Sum would return if partial was added: the hash for a
// PSK binder (Section 4.3.11). The transcript itself does not change.
func (t *Transcript) SumWith(partial []byte) []byte {
	state, err := t.hash.(encoding.BinaryAppender).AppendBinary(t.state[:0])
	if err != nil {
		panic("keyschedule: hash cannot be saved: " + err.Error())
	}
	t.hash.Write(partial)
	sum := t.Sum()
	if err := t.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		panic("keyschedule: hash cannot be restored: " + err.Error())
	}
	return sum
}

// Restart replaces what was added, which is ClientHello1, by the message_hash
// message (Section 4.1).
func (t *Transcript) Restart() { t.RestartFrom(t.Sum()) }

// RestartFrom does the same with the hash of a ClientHello1 that came back in
// a cookie. The caller has checked that it is as long as the transcript's hash.
func (t *Transcript) RestartFrom(clientHello1 []byte) {
	t.hash.Reset()
	t.head = [4]byte{messageHash, 0, 0, byte(len(clientHello1))}
	t.hash.Write(t.head[:])
	t.hash.Write(clientHello1)
}

// Clear ends the transcript. What the KDF has of it, the KDF clears.
func (t *Transcript) Clear() { *t = Transcript{} }
