//go:build !tls13only

package handshake

import (
	"bytes"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// What both roles have of TLS 1.2: RFC 5246 with RFC 5288, 7627, 7905 and 8422.

// secrets12 is what a connection keeps of TLS 1.2: exporters and extraction
// start from the main secret.
type secrets12 struct {
	main                       keyschedule.MainSecret12
	clientRandom, serverRandom [32]byte
}

// handshake12 is what both roles need until the handshake is over.
type handshake12 struct {
	pendingRead, pendingWrite record.Keys // until the change_cipher_spec
	messages                  []byte      // all of them, if a CertificateVerify may come
	keepMessages              bool
}

// begin12 starts the transcript of TLS 1.2 with the hello.
func (c *Core) begin12(suite *algo.Suite, serverRandom []byte, client bool) {
	c.Facts.Version, c.TakesWarnings = tls.VersionTLS12, true
	c.start(suite)
	x := &secrets12{clientRandom: c.clientRandom}
	copy(x.serverRandom[:], serverRandom)
	c.kept, c.client = x, client
}

// add12 adds a message to the transcript.
func (c *Core) add12(h *handshake12, raw []byte) {
	c.transcript.Add(raw)
	if h.keepMessages {
		h.messages = append(h.messages, raw...)
	}
}

// send12 queues a message and adds it to the transcript.
func (c *Core) send12(h *handshake12, b []byte, start int) {
	c.send(b, start)
	if h.keepMessages {
		h.messages = append(h.messages, c.Out.Buffer()[start:]...)
	}
}

// deriveMain12 goes from the key exchange's result to the main secret. The
// transcript reaches up to the ClientKeyExchange.
func (c *Core) deriveMain12(shared []byte) error {
	x := c.secrets12()
	var transcript []byte
	if c.ems {
		transcript = c.transcript.Sum()
	}
	x.main = c.kdf.MainSecret12(shared, transcript, x.clientRandom[:], x.serverRandom[:])
	clear(shared)
	return c.policy.logKeys(x.clientRandom[:], logged{"CLIENT_RANDOM", x.main.Bytes()})
}

// keyBlock12 cuts the key block: RFC 5246, Section 6.3, without MAC keys.
func (c *Core) keyBlock12(kdf *keyschedule.KDF, block *[2 * (32 + 12)]byte) (clientKey, serverKey, clientIV, serverIV []byte) {
	k, iv := c.suite().KeyLen, c.suite().FixedIVLen()
	b := block[:2*(k+iv)]
	x := c.secrets12()
	x.main.KeyBlock(kdf, b, x.serverRandom[:], x.clientRandom[:])
	return b[:k], b[k : 2*k], b[2*k : 2*k+iv], b[2*k+iv:]
}

// deriveKeys12 makes the keys that the change_cipher_specs will install.
func (c *Core) deriveKeys12(h *handshake12) error {
	var block [2 * (32 + 12)]byte
	defer clear(block[:])
	clientKey, serverKey, clientIV, serverIV := c.keyBlock12(c.kdf, &block)
	client, err := c.keys12(clientKey, clientIV)
	if err != nil {
		return err
	}
	server, err := c.keys12(serverKey, serverIV)
	if err != nil {
		return err
	}
	h.pendingRead, h.pendingWrite = client, server
	if c.client {
		h.pendingRead, h.pendingWrite = server, client
	}
	return nil
}

func (c *Core) keys12(key, iv []byte) (k record.Keys, err error) {
	k = record.Keys{
		Limit:    c.policy.keyLimit(c.suite()),
		Fragment: int(c.fragment),
		TLS12:    true,
		Explicit: c.suite().Explicit,
	}
	copy(k.IV[:], iv)
	if k.AEAD, err = c.suite().NewAEAD(key); err != nil {
		return k, fault.Internal.Because(err)
	}
	return k, nil
}

// takeCCS12 installs the keys of the peer's change_cipher_spec: RFC 5246,
// Section 7.1.
func (c *Core) takeCCS12(h *handshake12) error { return c.In.SetKeys(&h.pendingRead) }

// sendFinished12 sends the change_cipher_spec and the Finished.
func (c *Core) sendFinished12(h *handshake12) {
	c.sentCCS = false // those for middleboxes do not count
	c.sendCCS()
	c.Out.EnqueueKeys(&h.pendingWrite)
	b := c.Out.Buffer()
	start := len(b)
	b = wire.Begin(b, wire.TypeFinished)
	b = c.secrets12().main.Finished(c.kdf, b, c.client, c.transcript.Sum())
	c.send12(h, wire.End(b, start), start)
}

// checkFinished12 checks the peer's Finished and adds it to the transcript: RFC
// 5246, Section 7.4.9.
func (c *Core) checkFinished12(h *handshake12, m message) error {
	var want [keyschedule.FinishedLen12]byte
	mac := c.secrets12().main.Finished(c.kdf, want[:0], !c.client, c.transcript.Sum())
	if len(m.body()) != len(mac) {
		return fault.Undecodable.With("Finished of %d bytes", len(m.body()))
	}
	if subtle.ConstantTimeCompare(m.body(), mac) != 1 {
		return fault.BadFinished
	}
	c.add12(h, m.raw)
	return nil
}

// connected12 ends the handshake.
func (c *Core) connected12() {
	c.MayRead, c.MayWrite, c.Complete = true, true, true
	c.ends()
}

// checkSignature12 checks a signature of the peer over content, by what it was
// offered: RFC 5246, Sections 7.4.1.4.1, 7.4.3 and 7.4.8. SHA-1 never is: RFC
// 9155, Sections 2, 4 and 5.
func checkSignature12(peer *chain, offered wire.Uint16s, algorithm uint16, content, signature []byte) (*algo.Scheme, error) {
	scheme := algo.SchemeByID(tls.SignatureScheme(algorithm))
	switch {
	case scheme == nil || !offered.Contains(algorithm):
		return nil, fault.IllegalParameter.With("signature scheme %#04x was not offered", algorithm)
	case !scheme.Fits12(peer.key):
		return nil, fault.IllegalParameter.With("signature scheme %s does not fit the certificate's key", scheme.Name)
	}
	return scheme, scheme.Verify12(peer.key, content, signature)
}

// signedParams12 is what a ServerKeyExchange signs: RFC 8422, Section 5.4.
func (c *Core) signedParams12(params []byte) []byte {
	x := c.secrets12()
	b := append(c.room[:0], x.clientRandom[:]...)
	b = append(b, x.serverRandom[:]...)
	return append(b, params...)
}

// refuseRenegotiation answers once with a warning (RFC 5246, Section 7.2.2,
// and RFC 5746, Section 4.2); then that is it. No hello leads to TLS 1.3 here
// (RFC 9846, Section 4.2.2).
func (c *Core) refuseRenegotiation() error {
	if c.refused {
		return fault.Renegotiation
	}
	c.refused = true
	if c.split {
		c.box.post(refusalDue)
	} else if !c.WriteClosed {
		alert := fault.NoRenegotiationAlert
		c.Out.Enqueue(record.Alert, append(c.Out.Buffer(), alert.Level(), byte(alert)))
	}
	return nil
}

// newSession12 is the session that the connection leaves behind.
func (c *Core) newSession12() *Session {
	s := c.newSession(c.policy.Now())
	s.PSK = append(s.PSK[:0], c.secrets12().main.Bytes()...)
	s.EMS = c.ems
	return s
}

// export12 is RFC 5705. Without extended_main_secret the main secret is not
// bound to the handshake, and nothing is exported (RFC 7627, Section 5.4).
func (c *Core) export12(kdf *keyschedule.KDF, label string, context, out []byte) error {
	x := c.secrets12()
	if !c.ems {
		return ErrExportWithoutEMS
	}
	return x.main.Export(kdf, label, context, out, x.clientRandom[:], x.serverRandom[:])
}

// TLS12 reports whether TLS 1.2 is compiled in: see tls12_off.go.
const TLS12 = true

// trafficKeys12 are those of TLS 1.2. Where the nonce is half explicit, the IV
// is completed by the sequence number, which is what we send for it.
func (c *Core) trafficKeys12(kdf *keyschedule.KDF, write bool, sequence uint64) TrafficKeys {
	var block [2 * (32 + 12)]byte
	defer clear(block[:])
	clientKey, serverKey, clientIV, serverIV := c.keyBlock12(kdf, &block)
	key, iv := serverKey, serverIV
	if write == c.client {
		key, iv = clientKey, clientIV
	}
	k := TrafficKeys{Sequence: sequence, Key: bytes.Clone(key), IV: bytes.Clone(iv)}
	if c.suite().Explicit {
		k.IV = binary.BigEndian.AppendUint64(k.IV, sequence)
	}
	return k
}

func (c *Core) forget12() {
	if x := c.secrets12(); x != nil {
		x.main.Clear()
	}
}
