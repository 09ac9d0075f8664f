package baretls

import (
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/baretls/baretls/internal/handshake"
)

// 0-RTT data: RFC 9846, Sections 2.3, 4.3.10 and 8. It is not protected
// against replay as other data is, nor forward secret: only what may happen
// twice belongs into it.

// EarlyDataStatus is what became of 0-RTT data.
type EarlyDataStatus uint8

const (
	// EarlyDataNotOffered: the client did not ask for it.
	EarlyDataNotOffered = EarlyDataStatus(handshake.EarlyDataNone)
	// EarlyDataUndecided: the client may send it, the server has not answered.
	EarlyDataUndecided = EarlyDataStatus(handshake.EarlyDataOffered)
	// EarlyDataAccepted: the server reads it.
	EarlyDataAccepted = EarlyDataStatus(handshake.EarlyDataAccepted)
	// EarlyDataRejected: the server has skipped it. The client may send the
	// same again as ordinary data, if that is sound for the application and
	// the application protocol is still the same.
	EarlyDataRejected = EarlyDataStatus(handshake.EarlyDataRejected)
)

func (s EarlyDataStatus) String() string {
	switch s {
	case EarlyDataNotOffered:
		return "not offered"
	case EarlyDataUndecided:
		return "undecided"
	case EarlyDataAccepted:
		return "accepted"
	case EarlyDataRejected:
		return "rejected"
	}
	return fmt.Sprintf("EarlyDataStatus(%d)", uint8(s))
}

// EarlyData tells what became of 0-RTT data. For a client it is decided when
// the handshake is complete, for a server with the ClientHello.
func (c *Conn) EarlyData() EarlyDataStatus { return EarlyDataStatus(c.known().Facts.EarlyData) }

// ErrExceededEarlyData is more early data than the session allows. Nothing of
// it has been encrypted.
var ErrExceededEarlyData = errors.New("baretls: more early data than the session allows")

// MayEncryptEarlyData is a client's right to send 0-RTT data. It lasts until
// the server's Finished, and is lost earlier if the server rejects the data:
// then its methods return ErrStaleState.
type MayEncryptEarlyData struct{ c *Conn }

// MayEncryptEarlyData returns the right to write 0-RTT data, to be sent behind
// what has been encoded, if the hello offers it.
func (s TransmitTLSData) MayEncryptEarlyData() (MayEncryptEarlyData, bool) {
	e := MayEncryptEarlyData(s)
	return e, e.check() == nil
}

// MayEncryptEarlyData is that of TransmitTLSData, for data that comes later,
// while the server's answer is awaited. It is to be sent at once.
func (s BlockedHandshake) MayEncryptEarlyData() (MayEncryptEarlyData, bool) {
	e := MayEncryptEarlyData(s)
	return e, e.check() == nil
}

func (s MayEncryptEarlyData) check() error {
	c := s.c
	switch {
	case c == nil:
		return ErrStaleState
	case c.err != nil:
		return c.err
	case c.at != atTransmit && c.at != atQuiet || !c.core.EarlyWrite():
		return ErrStaleState
	}
	return nil
}

// BytesLeft is how many bytes of early data the session still allows.
func (s MayEncryptEarlyData) BytesLeft() int {
	if s.check() != nil {
		return 0
	}
	return int(min(s.c.core.EarlyLeft(), math.MaxInt32))
}

// EncryptedLen is the exact size in bytes of n bytes of early data when they
// are encrypted now.
func (s MayEncryptEarlyData) EncryptedLen(n int) int {
	if s.check() != nil {
		return 0
	}
	size, _ := s.c.core.SealedEarlyLen(n)
	return size
}

// PayloadOffset is where in out Encrypt puts the data of a record: see
// WriteTraffic.
func (s MayEncryptEarlyData) PayloadOffset() int {
	if s.check() != nil {
		return 0
	}
	return s.c.core.Out.ContentOffset()
}

// Encrypt encrypts all of earlyData, in as many records as it takes, to the
// front of out and returns how many bytes that are. The slices may share
// memory, as those of WriteTraffic. It is all or nothing: more than BytesLeft
// is ErrExceededEarlyData, more records than the key may protect are
// ErrEncryptExhausted, an out that is too small is an *InsufficientSizeError, and
// none of these takes anything from the allowance.
func (s MayEncryptEarlyData) Encrypt(earlyData, out []byte) (int, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	if uint64(len(earlyData)) > uint64(s.c.core.EarlyLeft()) {
		return 0, ErrExceededEarlyData
	}
	n, ok := s.c.core.SealedEarlyLen(len(earlyData))
	if !ok {
		return 0, ErrEncryptExhausted
	}
	if len(out) < n {
		return 0, &InsufficientSizeError{n}
	}
	return s.c.core.SealEarlyData(out[:n], earlyData), nil
}

// AppendEncrypted encrypts earlyData like Encrypt, but appends to out, which
// grows if it has to, and returns the extended slice.
func (s MayEncryptEarlyData) AppendEncrypted(out, earlyData []byte) ([]byte, error) {
	size := 0
	if len(earlyData) <= s.BytesLeft() {
		size = s.EncryptedLen(len(earlyData))
	}
	out, room := grow(out, size)
	n, err := s.Encrypt(earlyData, room)
	return out[:len(out)+n], err
}

// ReadEarlyData: records of 0-RTT data have been received by a server that
// accepted them. They are read like those of ReadTraffic. Nobody knows yet
// whether they are a replay.
type ReadEarlyData struct{ c *Conn }

// NextRecord opens the next record of early data in place: see ReadTraffic.
func (s ReadEarlyData) NextRecord() (AppDataRecord, bool) { return s.c.readRecord(atReadEarly) }

// Records iterates over the records that NextRecord returns.
func (s ReadEarlyData) Records() iter.Seq[AppDataRecord] {
	return func(yield func(AppDataRecord) bool) { s.c.eachRecord(atReadEarly, yield) }
}

// PeekLen is the most data that the next record can carry: see ReadTraffic.
func (s ReadEarlyData) PeekLen() (int, bool) { return s.c.peekRecord(atReadEarly) }
