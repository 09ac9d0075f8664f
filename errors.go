package baretls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/handshake"
)

// Error is why a connection has failed. It is final: every later turn returns
// the same one.
//
// What is underneath can be reached by errors.As and errors.Is: the alert as a
// tls.AlertError, a *tls.CertificateVerificationError, a tls.RecordHeaderError
// if the peer does not speak TLS, io.ErrUnexpectedEOF after a truncation, and
// what a callback of the configuration returned.
type Error struct {
	alert    fault.Alert
	received bool
	cause    error
}

// Error says what went wrong, and who said so.
func (e *Error) Error() string {
	if e.received {
		return "baretls: the peer sent an alert: " + strings.TrimPrefix(tls.AlertError(e.alert).Error(), "tls: ")
	}
	return "baretls: " + strings.TrimPrefix(e.cause.Error(), "baretls: ")
}

// Alert returns the alert that ended the connection. It is false if there was
// none, as after a truncation.
func (e *Error) Alert() (tls.AlertError, bool) {
	if e.alert == fault.None {
		return 0, false
	}
	return tls.AlertError(e.alert), true
}

// Received reports which side the alert came from: the peer sent it if true,
// and this side if false.
func (e *Error) Received() bool { return e.received }

// Unwrap returns the alert, if there was one, and the cause.
func (e *Error) Unwrap() []error {
	if alert, ok := e.Alert(); ok {
		return []error{alert, e.cause}
	}
	return []error{e.cause}
}

// localError is the Error of a failure before any byte.
func localError(err error) *Error { return &Error{alert: fault.None, cause: err} }

// InsufficientSizeError tells that a buffer was too small. Nothing has
// happened: the same call with RequiredSize bytes of room succeeds and fills
// them exactly.
type InsufficientSizeError struct {
	RequiredSize int // bytes
}

func (e *InsufficientSizeError) Error() string {
	return fmt.Sprintf("baretls: buffer too small: %d bytes required", e.RequiredSize)
}

// Misuse of the API, and what cannot be had. None of these changes the connection
// but ErrEncryptExhausted, which closes the write side.
var (
	// ErrAlreadyEncoded is the second Encode of one record.
	ErrAlreadyEncoded = errors.New("baretls: record already encoded")
	// ErrStaleState is the use of a state that the connection has left.
	ErrStaleState = errors.New("baretls: the connection has left this state")
	// ErrWriteClosed is writing after QueueCloseNotify.
	ErrWriteClosed = errors.New("baretls: write side is closed")
	// ErrEncryptExhausted is writing more records than one key may protect,
	// where the keys cannot be changed.
	ErrEncryptExhausted = errors.New("baretls: the limit on records under one key is reached")
	// ErrNoKeyUpdate is RefreshTrafficKeys in TLS 1.2.
	ErrNoKeyUpdate = errors.New("baretls: TLS 1.2 has no key update")
	// ErrExportWithoutEMS is ExportKeyingMaterial in TLS 1.2 with a peer that
	// does not know extended_main_secret.
	ErrExportWithoutEMS = handshake.ErrExportWithoutEMS
	// ErrHandshakeNotComplete is asking for what only a complete handshake has.
	ErrHandshakeNotComplete = errors.New("baretls: handshake is not complete")
)

// ConfigError tells which field of a configuration is wrong, and why.
type ConfigError struct {
	Field string // as it is spelled in the struct, with an index if it is a list
	Err   error
}

func (e *ConfigError) Error() string { return "baretls: config: " + e.Field + ": " + e.Err.Error() }

// Unwrap returns the reason alone.
func (e *ConfigError) Unwrap() error { return e.Err }
