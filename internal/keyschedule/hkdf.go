// Package keyschedule derives the secrets of a connection and hashes its transcript.
//
// A KDF is HKDF over the hash of the cipher suite. The secrets are types that
// stand for the stages of RFC 9846, Section 7.1: each offers only what may be
// derived from it, and the methods that lead to the next stage clear it. All
// secrets are values of fixed size, and no derivation allocates. A KDF keeps
// copies of what went through it until Clear, which leaves it as good as new.
package keyschedule

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// KDF is HKDF (RFC 5869) with HKDF-Expand-Label (RFC 9846, Section 7.1) over
// one hash. It is memory to work in, that of one Transcript included, and may
// not be used concurrently.
type KDF struct {
	hash  hash.Hash
	size  int // of the hash's output
	block int // of the hash's input
	empty [maxHash]byte
	noPSK secret // what the Handshake Secret is extracted with if there is no PSK

	pad   [maxBlock]byte // HMAC's key, padded and masked
	sum   [maxHash]byte  // HMAC's result; T(i) while expanding
	chunk [maxBlock]byte // input on its way into the hash
	label [maxLabel]byte // an HkdfLabel, and the counter behind it
	key   [maxKey]byte   // an AEAD's

	running hash.Hash      // a Transcript's
	state   [maxState]byte // of running, saved
}

const (
	maxHash  = 48  // SHA-384
	maxBlock = 128 // SHA-384
	maxKey   = 32  // of an AEAD

	// struct { uint16 length; opaque label<7..255>; opaque context<0..255>; } HkdfLabel
	maxLabel    = 2 + 1 + 255 + 1 + 255 + 1
	labelPrefix = "tls13 "
)

// NewKDF returns the KDF over SHA-256 or SHA-384, or any hash that is no larger.
func NewKDF(newHash func() hash.Hash) *KDF {
	h := newHash()
	k := &KDF{hash: h, size: h.Size(), block: h.BlockSize(), running: newHash()}
	if k.size > maxHash || k.block > maxBlock {
		panic("keyschedule: hash too large")
	}
	h.Sum(k.empty[:0])
	early := k.EarlySecret(nil)
	k.noPSK = k.derive(&early.secret, "derived", k.empty[:k.size])
	k.Clear()
	return k
}

// Size returns Hash.length: the length of secrets, of PSKs of resumption and
// of verify_data.
func (k *KDF) Size() int { return k.size }

// Clear erases what derivations and a Transcript left behind. The KDF may be used
// again, and the Transcript must not.
func (k *KDF) Clear() {
	clear(k.pad[:])
	clear(k.sum[:])
	clear(k.chunk[:])
	clear(k.label[:])
	clear(k.key[:])
	clear(k.state[:])

	// Reset leaves the last partial block in the hash's own memory: two
	// partial writes make the hash overwrite all of it.
	for _, h := range [...]hash.Hash{k.hash, k.running} {
		h.Reset()
		h.Write(k.pad[:1])
		h.Write(k.pad[:k.block-1])
		h.Reset()
	}
}

// derive is Derive-Secret (RFC 9846, Section 7.1) with the transcript hash in
// place of the messages.
func (k *KDF) derive(s *secret, label string, transcript []byte) (out secret) {
	out.n = uint8(k.size)
	k.expandLabel(out.bytes(), s.bytes(), label, transcript)
	return out
}

// expandLabel is HKDF-Expand-Label: it fills out, up to 255 hashes long. The
// label and the context have been checked to fit into their vectors.
func (k *KDF) expandLabel(out, secret []byte, label string, context []byte) {
	labelLen := len(labelPrefix) + len(label)
	if labelLen > 255 || len(context) > 255 || len(out) > 255*k.size {
		panic("keyschedule: HkdfLabel out of bounds")
	}
	info := binary.BigEndian.AppendUint16(k.label[:0], uint16(len(out)))
	info = append(info, byte(labelLen))
	info = append(info, labelPrefix...)
	info = append(info, label...)
	info = append(info, byte(len(context)))
	info = append(info, context...)
	k.expand(out, secret, info)
}

// extract is HKDF-Extract.
func (k *KDF) extract(out *secret, salt, ikm []byte) {
	out.n = uint8(k.size)
	k.mac(out.bytes(), salt, ikm)
}

// expand is HKDF-Expand. The key is a hash long, or a little more, but no
// longer than a block. Behind info there is room for a byte.
func (k *KDF) expand(out, key, info []byte) {
	for i := 1; len(out) > 0; i++ {
		k.begin(key)
		if i > 1 {
			k.hash.Write(k.sum[:k.size])
		}
		k.hash.Write(append(info, byte(i)))
		out = out[copy(out, k.end()):]
	}
}

// mac is HMAC (RFC 2104): it fills out, which is a hash long.
func (k *KDF) mac(out, key, data []byte) {
	k.begin(key)
	k.write(data)
	copy(out, k.end())
}

// inner is the ipad of RFC 2104, and innerToOuter what makes opad of it.
var inner, innerToOuter = [maxBlock]byte(bytes.Repeat([]byte{0x36}, maxBlock)), [maxBlock]byte(bytes.Repeat([]byte{0x36 ^ 0x5c}, maxBlock))

// begin makes the hash ready for the data of an HMAC under key.
func (k *KDF) begin(key []byte) {
	if len(key) > k.block {
		k.hash.Reset()
		k.write(key)
		key = k.hash.Sum(k.sum[:0])
	}
	pad := k.pad[:k.block]
	clear(pad[copy(pad, key):])
	subtle.XORBytes(pad, pad, inner[:])
	k.hash.Reset()
	k.hash.Write(pad)
}

// end returns the HMAC over what was written since begin, in k.sum.
func (k *KDF) end() []byte {
	sum := k.hash.Sum(k.sum[:0])
	pad := k.pad[:k.block]
	subtle.XORBytes(pad, pad, innerToOuter[:])
	k.hash.Reset()
	k.hash.Write(pad)
	k.hash.Write(sum)
	return k.hash.Sum(k.sum[:0])
}

// write hashes p by way of k.chunk: what is passed to an interface escapes,
// and the callers' secrets are to stay where they are, on a stack perhaps.
func (k *KDF) write(p []byte) {
	for len(p) > 0 {
		n := copy(k.chunk[:], p)
		k.hash.Write(k.chunk[:n])
		p = p[n:]
	}
}
