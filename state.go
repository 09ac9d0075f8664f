package baretls

import (
	"crypto/tls"
	"iter"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
)

// State is what a turn has led to and what there is to do: one of
// EncodeTLSData, TransmitTLSData, BlockedHandshake, ReadEarlyData, ReadTraffic,
// WriteTraffic, PeerClosed and Closed, and if the configuration asks for them
// those that are described at Ask. A ReadHalf has BlockedRead in place of
// WriteTraffic. Later versions may add states that have to be asked for; a
// program that asks for none sees only these.
//
// A state is a right to do something now. It is valid until the next turn, and
// its methods return ErrStaleState afterwards, unless the connection is in the
// same state again. States that ask are valid until they are answered.
type State interface{ isState() }

func (EncodeTLSData) isState()    {}
func (TransmitTLSData) isState()  {}
func (BlockedHandshake) isState() {}
func (ReadEarlyData) isState()    {}
func (ReadTraffic) isState()      {}
func (WriteTraffic) isState()     {}
func (PeerClosed) isState()       {}
func (Closed) isState()           {}
func (BlockedRead) isState()      {}

// EncodeTLSData: a record is ready to be encoded, one of the handshake, an
// alert or a key update. Each state is one record. It is offered again until
// it has been encoded.
type EncodeTLSData struct{ c *Conn }

// Len is the exact size of the record in bytes.
func (s EncodeTLSData) Len() int {
	if !s.c.is(atEncode) {
		return 0
	}
	return s.c.core.Out.NextLen()
}

// Encode writes the record to the front of out and returns its size. An out
// that is too small is an *InsufficientSizeError and changes nothing. The
// second call in a turn is ErrAlreadyEncoded.
func (s EncodeTLSData) Encode(out []byte) (int, error) {
	switch {
	case s.c.is(atEncode):
	case s.c.is(atMoved):
		return 0, ErrAlreadyEncoded
	default:
		return 0, ErrStaleState
	}
	if n := s.Len(); len(out) < n {
		return 0, &InsufficientSizeError{n}
	}
	s.c.at = atMoved
	s.c.unsent = true
	return s.c.core.Out.SealNext(out), nil
}

// AppendTo appends the record to out, which grows if it has to, and returns
// the extended slice. Errors are those of Encode but for the size; they leave
// out as it was.
func (s EncodeTLSData) AppendTo(out []byte) ([]byte, error) {
	out, room := grow(out, s.Len())
	n, err := s.Encode(room)
	return out[:len(out)+n], err
}

// TransmitTLSData: what has been encoded is to be sent to the peer now. It is
// offered until Done is called.
type TransmitTLSData struct{ c *Conn }

// Done tells that the bytes have been sent, or will be in any case; it may be
// called before they are. They must not be sent again.
func (s TransmitTLSData) Done() error {
	if !s.c.is(atTransmit) {
		return ErrStaleState
	}
	s.c.at = atMoved
	s.c.unsent = false
	return nil
}

// MayEncryptAppData returns the right to write application data, which can
// then be sent together with what has been encoded, if that is allowed now.
func (s TransmitTLSData) MayEncryptAppData() (WriteTraffic, bool) {
	w := WriteTraffic(s)
	return w, w.check() == nil
}

// BlockedHandshake: the handshake needs more of the peer's bytes. Receive,
// append to what was not discarded, and take the next turn.
type BlockedHandshake struct{ c *Conn }

// Need is how many bytes more it takes at least before a turn can get further.
func (s BlockedHandshake) Need() int { return s.c.missing() }

// ReadTraffic: records that may carry application data have been received.
// They are opened by NextRecord and not before. A caller that has no room for
// the data yet leaves them and comes back in a later turn: nothing is lost and
// nothing is spent.
type ReadTraffic struct{ c *Conn }

// AppDataRecord is a record of application data that was opened.
type AppDataRecord struct {
	// Discard is how many bytes to drop, in addition to Status.Discard, before
	// the next turn.
	Discard int
	// Payload is the data: a part of the incoming bytes, valid until they are
	// discarded or handed in again. It is empty if the record brought
	// something else than data, a key update for example, or only padding.
	Payload []byte
}

// NextRecord opens the next record in place. It returns false when no more is
// here as a whole, and when a record does not open or ends the connection: the
// next turn tells.
func (s ReadTraffic) NextRecord() (AppDataRecord, bool) { return s.c.readRecord(atRead) }

// Records iterates over the records that NextRecord returns.
func (s ReadTraffic) Records() iter.Seq[AppDataRecord] {
	return func(yield func(AppDataRecord) bool) { s.c.eachRecord(atRead, yield) }
}

// PeekLen is the most data that the next record can carry, without opening it,
// and the exact amount unless the peer pads. It is 0, false if no record is
// here as a whole.
func (s ReadTraffic) PeekLen() (int, bool) { return s.c.peekRecord(atRead) }

// WriteTraffic: nothing is left to do, and application data may be written.
// This is the quiet state of an open connection: write, or receive more. What
// is written may be sent at once.
//
// A TransmitTLSData has it as MayEncryptAppData. During a ReadTraffic that is
// not consumed, a turn with an empty incoming leads to it.
type WriteTraffic struct{ c *Conn }

func (s WriteTraffic) check() error {
	c := s.c
	switch {
	case c == nil:
		return ErrStaleState
	case c.err != nil:
		return c.err
	case c.exhausted:
		return ErrEncryptExhausted
	case c.core.WriteClosed:
		return ErrWriteClosed
	case c.at != atWrite && c.at != atTransmit || !c.core.MayWrite:
		return ErrStaleState
	}
	return nil
}

// EncryptedLen is the exact size in bytes of n bytes of application data when
// they are encrypted now: 22 more per record (RFC 9846, Section 5.2), padding
// if it is configured, and key updates if they fall due. In TLS 1.2 it is 29
// more per record with AES-GCM and 21 with ChaCha20-Poly1305.
func (s WriteTraffic) EncryptedLen(n int) int {
	if s.check() != nil {
		return 0
	}
	return s.c.core.SealedLen(n)
}

// PayloadOffset is where in out Encrypt puts the data of a record: 5 bytes
// behind its front, 13 with AES-GCM in TLS 1.2 (RFC 9846, Section 5.2; RFC
// 5288, Section 3). It stays the same as long as the connection lasts. Data
// that has been written there is encrypted in place, without a copy.
func (s WriteTraffic) PayloadOffset() int {
	if s.check() != nil {
		return 0
	}
	return s.c.core.Out.ContentOffset()
}

// Encrypt encrypts all of appData, in as many records as it takes, to the
// front of out and returns how many bytes that are. No data is no record.
//
// The slices may share memory. What of appData lies in the part of out that is
// written is overwritten; the rest is left as it is. Data of one record, 16,384
// bytes or what MaxFragmentSize and the peer's record_size_limit leave of them,
// that begins at out[PayloadOffset()] is encrypted in place. Data of several
// records, behind a key update that falls due, or elsewhere in that memory is
// moved first: it costs a copy, and the result is the same.
//
// An out that is too small is an *InsufficientSizeError and changes nothing;
// ErrWriteClosed comes after QueueCloseNotify, and the connection's *Error
// after it has failed. In TLS 1.2, whose keys cannot be changed, more records
// than one key may protect are ErrEncryptExhausted, then and for ever: nothing
// is written, and a close_notify is the next to be encoded.
func (s WriteTraffic) Encrypt(appData, out []byte) (int, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	if s.c.core.Exhausts(len(appData)) {
		s.c.exhaust()
		return 0, ErrEncryptExhausted
	}
	size := s.c.core.SealedLen(len(appData))
	if len(out) < size {
		return 0, &InsufficientSizeError{size}
	}
	n, err := s.c.core.SealData(out[:size], appData)
	if err != nil {
		s.c.fail(err)
		return 0, s.c.err
	}
	return n, nil
}

// AppendEncrypted encrypts appData like Encrypt, but appends to out, which
// grows if it has to, and returns the extended slice.
func (s WriteTraffic) AppendEncrypted(out, appData []byte) ([]byte, error) {
	out, room := grow(out, s.EncryptedLen(len(appData)))
	n, err := s.Encrypt(appData, room)
	return out[:len(out)+n], err
}

// exhaust closes the write side because its key is used up.
func (c *Conn) exhaust() {
	c.exhausted = true
	if c.half == writeHalf {
		c.core.ExhaustWrite()
		return
	}
	c.core.CloseWrite()
	c.core.Out.Enqueue(record.Alert, append(c.core.Out.Buffer(), closeNotify...))
	c.at = atMoved
}

// closeNotify is the content of that alert.
var closeNotify = []byte{fault.CloseNotifyAlert.Level(), byte(fault.CloseNotifyAlert)}

// CloseNotifyLen is the exact size in bytes of what QueueCloseNotify writes.
func (s WriteTraffic) CloseNotifyLen() int {
	if s.check() != nil {
		return 0
	}
	return s.c.core.Out.RecordLen(len(closeNotify))
}

// QueueCloseNotify writes a close_notify alert to the front of out and returns
// its size: this side will send no more data, and the peer can tell that from
// a truncation (RFC 9846, Section 6.1). Reading goes on until the peer closes
// too. The second call writes nothing and returns 0. An out that is too small
// is an *InsufficientSizeError and changes nothing.
func (s WriteTraffic) QueueCloseNotify(out []byte) (int, error) {
	switch err := s.check(); err {
	case nil:
	case ErrWriteClosed, ErrEncryptExhausted:
		return 0, nil
	default:
		return 0, err
	}
	if n := s.CloseNotifyLen(); len(out) < n {
		return 0, &InsufficientSizeError{n}
	}
	n := s.c.core.Out.Seal(out, record.Alert, closeNotify)
	s.c.core.CloseWrite()
	return n, nil
}

// AppendCloseNotify does what QueueCloseNotify does, but appends to out.
func (s WriteTraffic) AppendCloseNotify(out []byte) ([]byte, error) {
	out, room := grow(out, s.CloseNotifyLen())
	n, err := s.QueueCloseNotify(room)
	return out[:len(out)+n], err
}

// RefreshTrafficKeys arranges for a KeyUpdate that changes the keys of both
// directions: the next turn is EncodeTLSData (RFC 9846, Section 4.7.3). As
// long as the peer has not answered an earlier one, only our own keys change.
// It uses the state up. TLS 1.2 has no such thing: ErrNoKeyUpdate.
func (s WriteTraffic) RefreshTrafficKeys() error {
	if err := s.check(); err != nil {
		return err
	}
	if s.c.core.Facts.Version == tls.VersionTLS12 {
		return ErrNoKeyUpdate
	}
	if err := s.c.core.UpdateKeys(true); err != nil {
		s.c.fail(err)
		return s.c.err
	}
	s.c.at = atMoved
	return nil
}

// Need is how many bytes more it takes at least before a turn can find
// something to read; 0 after PeerClosed, when nothing will come.
func (s WriteTraffic) Need() int { return s.c.missing() }

func (c *Conn) missing() int {
	if c == nil {
		return 0
	}
	return int(c.need)
}

// PeerClosed: the peer has sent its close_notify and all its data is here.
// This state comes once. Writing and closing still work; see WriteTraffic.
type PeerClosed struct{}

// Closed: both sides have closed, for good. Drop the connection.
type Closed struct{}

// grow makes sure that n bytes fit behind out and returns that room as well.
func grow(out []byte, n int) (_, room []byte) {
	if cap(out)-len(out) < n {
		out = append(out, make([]byte, n)...)[:len(out)]
	}
	return out, out[len(out) : len(out)+n]
}
