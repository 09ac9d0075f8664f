package baretls

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
)

// TrafficKeys protect one direction of a connection: what a record layer
// outside of this library, the kernel's for example, needs to go on.
type TrafficKeys struct {
	// Sequence is the number of the next record under the key.
	Sequence uint64
	// Key of the AEAD: 16 or 32 bytes.
	Key []byte
	// IV of 12 bytes, which the sequence number is XORed into for the nonce
	// (RFC 9846, Section 5.3). With AES-GCM in TLS 1.2, the first 4 bytes are
	// the nonce's, and the others the explicit nonce of the next record (RFC
	// 5288, Section 3), which goes up by one each.
	IV []byte
}

// Format keeps the key out of what %v and its kin print.
func (k TrafficKeys) Format(s fmt.State, verb rune) {
	fmt.Fprintf(s, "TrafficKeys(sequence %d, secret)", k.Sequence)
}

// ExtractedSecrets are the keys of both directions.
type ExtractedSecrets struct {
	Version     uint16
	CipherSuite uint16 // that the keys are for
	Tx, Rx      TrafficKeys
}

// Format keeps the keys out of what %v and its kin print.
func (s ExtractedSecrets) Format(f fmt.State, verb rune) { fmt.Fprint(f, "ExtractedSecrets(secret)") }

var (
	// ErrSecretsExtracted is using a connection whose secrets have left it.
	ErrSecretsExtracted = errors.New("baretls: the connection's secrets have been extracted")
	// ErrExtractionDisabled: the config has no EnableSecretExtraction.
	ErrExtractionDisabled = errors.New("baretls: secret extraction is not enabled")
	// ErrOutputPending: there are records to encode or to transmit first.
	ErrOutputPending = errors.New("baretls: output is pending")
)

// DangerousExtractSecrets takes the keys out of the connection, which can then
// do nothing more: ErrSecretsExtracted. With them goes what only the
// connection can do, such as following a key update; DangerousIntoKernelConn
// keeps that. What a caller does with the keys can undo all that TLS protects.
//
// It is ErrHandshakeNotComplete before the handshake is, ErrOutputPending as
// long as something waits to be encoded or transmitted, ErrWriteClosed after
// QueueCloseNotify, ErrExtractionDisabled unless the config allows it, an error
// of its own when a handshake message has been received in part, and the
// connection's *Error after it has failed. Bytes that were received but not
// opened are to be read by whoever has the keys, from a record boundary on:
// docs/ktls.md has the steps.
func (c *Conn) DangerousExtractSecrets() (*ExtractedSecrets, error) {
	secrets, _, err := c.extract()
	if err == nil {
		c.machine.Forget()
	}
	return secrets, err
}

// DangerousIntoKernelConn takes the keys out as DangerousExtractSecrets does,
// and returns the rest of the connection: what follows key updates and keeps
// tickets while somebody else has the record layer.
func (c *Conn) DangerousIntoKernelConn() (*ExtractedSecrets, *KernelConn, error) {
	return c.extract()
}

func (c *Conn) extract() (*ExtractedSecrets, *KernelConn, error) {
	if err := c.usable(); err != nil {
		return nil, nil, err
	}
	switch {
	case !c.core.MayExtract():
		return nil, nil, ErrExtractionDisabled
	case !c.core.Complete:
		return nil, nil, ErrHandshakeNotComplete
	case c.core.WriteClosed:
		return nil, nil, ErrWriteClosed
	case c.core.Out.Pending() || c.unsent:
		return nil, nil, ErrOutputPending
	case c.core.In.Partial():
		return nil, nil, errPartialMessage
	}
	secrets := &ExtractedSecrets{
		Version:     c.core.Facts.Version,
		CipherSuite: c.core.Facts.Suite,
		Tx:          TrafficKeys(c.core.WriteKeys()),
		Rx:          TrafficKeys(c.core.ReadKeys()),
	}
	k := &KernelConn{Conn{core: c.core, machine: c.machine}}
	c.err, c.at, c.half, c.in = localError(ErrSecretsExtracted), atFailed, gone, nil
	return secrets, k, nil
}

var errPartialMessage = errors.New("baretls: a handshake message has been received in part")

// KernelConn is what is left of a connection whose record layer has moved: the
// secrets that make new keys, and the client's sessions. It seals and opens
// nothing. It is not safe for concurrent use.
type KernelConn struct{ conn Conn }

// KernelUpdate is what to change in the record layer, in the order of its
// fields.
type KernelUpdate struct {
	// Rx are the keys for the peer's next record; nil: those it has.
	Rx *TrafficKeys
	// Send is a handshake message to send as a record of its own, under the
	// keys that Tx replaces; nil: none.
	Send []byte
	// Tx are the keys for our next record; nil: those it has.
	Tx *TrafficKeys
}

// HandleHandshake takes the content of a record of type handshake that the
// record layer has opened: tickets are kept, and a KeyUpdate leads to new keys
// (RFC 9846, Section 4.7.3). After an error the connection is to be closed with
// the alert of the *Error, and every later call returns the same.
func (k *KernelConn) HandleHandshake(content []byte) (KernelUpdate, error) {
	c := &k.conn
	if err := c.usable(); err != nil {
		return KernelUpdate{}, err
	}
	epoch := c.core.ReadEpoch()
	if err := c.content(record.Handshake, content); err != nil {
		return KernelUpdate{}, k.fail(err)
	}
	c.core.In.Release()
	if c.core.Facts.Version == tls.VersionTLS12 {
		c.core.Out.Drop() // a refused renegotiation need not be answered
		return KernelUpdate{}, nil
	}
	u := k.written()
	if c.core.ReadEpoch() != epoch {
		rx := TrafficKeys(c.core.ReadKeys())
		u.Rx = &rx
	}
	return u, nil
}

// SawData tells that the record layer has opened application data. A peer that
// sends 33 key updates or tickets without any in between is refused, and so is
// data in the middle of a handshake message: that is an *Error like those of
// HandleHandshake.
func (k *KernelConn) SawData() error {
	c := &k.conn
	if err := c.usable(); err != nil {
		return err
	}
	if c.core.In.Partial() {
		return k.fail(fault.InterleavedRecord.With("%v", record.ApplicationData))
	}
	c.core.SawData()
	return nil
}

// Format keeps secrets out of what %v and its kin print.
func (k KernelConn) Format(s fmt.State, verb rune) { fmt.Fprint(s, "KernelConn(secret)") }

// RefreshTrafficKeys returns the KeyUpdate that changes the keys of both
// directions, and the new keys for ours.
func (k *KernelConn) RefreshTrafficKeys() (KernelUpdate, error) {
	c := &k.conn
	if err := c.usable(); err != nil {
		return KernelUpdate{}, err
	}
	if c.core.Facts.Version == tls.VersionTLS12 {
		return KernelUpdate{}, ErrNoKeyUpdate
	}
	if err := c.core.UpdateKeys(true); err != nil {
		return KernelUpdate{}, k.fail(err)
	}
	return k.written(), nil
}

// RecordsLeft is how many records may still be sealed under the present keys
// when the next one has the given sequence number: with the last of them
// RefreshTrafficKeys is due (Section 5.5).
func (k *KernelConn) RecordsLeft(sequence uint64) uint64 {
	if k.conn.core == nil || sequence >= k.conn.core.Out.Limit() {
		return 0
	}
	return k.conn.core.Out.Limit() - sequence
}

// fail ends the connection. The caller has the keys, and seals the alert.
func (k *KernelConn) fail(err error) error {
	k.conn.fail(err)
	k.conn.core.Out.Drop()
	return k.conn.err
}

// written takes what the connection wanted to send.
func (k *KernelConn) written() (u KernelUpdate) {
	c := k.conn.core
	if c.Out.Pending() {
		u.Send = bytes.Clone(c.Out.Buffer())
		c.Out.Drop()
		tx := TrafficKeys(c.WriteKeys())
		tx.Sequence = 0
		u.Tx = &tx
	}
	return u
}
