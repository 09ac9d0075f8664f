// Package fault says why a connection must end, and which alert tells the peer.
//
// A failure is said once: whoever finds it returns a Reason (or an Error that
// adds detail to one), and the table in this file alone knows the alert.
package fault

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// Reason is a cause that ends a connection. It is an error by itself.
type Reason uint8

// Error returns the reason in words.
func (r Reason) Error() string { return reasons[r].text }

// Alert returns the alert that the peer is sent for the reason. Reasons that
// are no fault of the peer's bytes and cannot be told to it have None.
func (r Reason) Alert() Alert { return reasons[r].alert }

// Error is a Reason with what was seen, and the error underneath if there is
// one (a *tls.CertificateVerificationError, say).
type Error struct {
	Reason Reason
	Detail string
	Err    error
	Alert  Alert // instead of the reason's, if Err has chosen it; 0: it has not
}

func (e *Error) Error() string {
	s := e.Reason.Error()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap makes both the reason and the cause reachable by errors.Is and As.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Err}
}

// With adds detail to r.
func (r Reason) With(format string, args ...any) error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// Because adds the error underneath to r.
func (r Reason) Because(err error) error {
	return &Error{Reason: r, Err: err}
}

// By adds the error of a function of the application to r, which may choose the
// alert: by a tls.AlertError in its tree, if that ends a connection.
func (r Reason) By(err error) error {
	return &Error{Reason: r, Err: err, Alert: choice(err)}
}

// choice is the alert that is chosen by err, or 0. The alert of another
// connection is none: the application may have met it on its way.
func choice(err error) Alert {
	switch err := err.(type) {
	case tls.AlertError:
		if alert := Alert(err); alert.Level() == 2 {
			return alert
		}
	case interface{ Alert() (tls.AlertError, bool) }:
	case interface{ Unwrap() error }:
		return choice(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range err.Unwrap() {
			if alert := choice(err); alert != 0 {
				return alert
			}
		}
	}
	return 0
}

// Chosen is a refusal with an alert that the application has chosen.
type Chosen struct {
	Alert Alert
	Err   error
}

func (e *Chosen) Error() string { return Refused.Error() + ": " + e.Err.Error() }

// Unwrap makes both the reason and the cause reachable.
func (e *Chosen) Unwrap() []error { return []error{Refused, e.Err} }

// AlertOf returns the alert that the peer is sent for err. A choice counts if it
// is err itself: one further down may have been made for another connection.
func AlertOf(err error) Alert {
	switch err := err.(type) {
	case *Chosen:
		return err.Alert
	case *Error:
		if err.Alert != 0 {
			return err.Alert
		}
	}
	return Of(err).Alert()
}

// Of returns the reason in err's tree. An error that carries none is one of
// our own side: Internal.
func Of(err error) Reason {
	var r Reason
	if errors.As(err, &r) {
		return r
	}
	return Internal
}

// What can go wrong, in the order in which a connection meets it.
const (
	// Internal is a failure of this side that says nothing about the peer.
	Internal Reason = iota
	// Truncated is the end of the transport before a close_notify.
	Truncated
	// AlertReceived is the end that the peer's alert made.
	AlertReceived

	// Records: RFC 9846, Section 5.
	NotTLS
	RecordVersion
	UnexpectedRecord
	RecordOverflow
	BadRecordMAC
	NoContentType
	EmptyFragment
	TooManyEmptyRecords
	BadChangeCipherSpec
	InterleavedRecord
	MessageSpansKeyChange
	MalformedAlert
	TooManyWarnings
	MessageTooLarge

	// Messages and their fields: Sections 4 and 6.2.
	UnexpectedMessage
	Undecodable
	DuplicateExtension
	MisplacedExtension
	UnsolicitedExtension
	MissingExtension
	IllegalParameter

	// Negotiation.
	UnsupportedVersion
	Downgrade
	NoCommonSuite
	NoCommonGroup
	NoCommonScheme
	NoCommonProtocol
	NoCertificate
	InappropriateFallback
	NoExtendedMainSecret
	BadRenegotiationInfo
	UnneededRetry
	HelloChanged
	BadKeyShare

	// Authentication.
	BadCertificate
	UnsupportedCertificate
	CertificateExpired
	CertificateUnknown
	UnknownCA
	CertificateRefused
	Refused
	CertificateRequired
	CertificateRequired12
	BadSignature
	BadFinished
	BadBinder

	// Early data and after the handshake.
	TooMuchEarlyData
	TooManyKeyUpdates
	Renegotiation
	KeyLimitReached

	count
)

var reasons = [count]struct {
	alert Alert
	text  string
}{
	Internal:      {InternalError, "internal error"},
	Truncated:     {None, "the transport ended without a close_notify"},
	AlertReceived: {None, "the peer sent an alert"},

	NotTLS:                {UnexpectedMessageAlert, "the first record does not look like a TLS handshake"},
	RecordVersion:         {ProtocolVersionAlert, "record of a version that is not TLS"},
	UnexpectedRecord:      {UnexpectedMessageAlert, "unexpected record type"},
	RecordOverflow:        {RecordOverflowAlert, "record too large"},
	BadRecordMAC:          {BadRecordMACAlert, "record cannot be deprotected"},
	NoContentType:         {UnexpectedMessageAlert, "record holds nothing but padding"},
	EmptyFragment:         {UnexpectedMessageAlert, "empty handshake or alert record"},
	TooManyEmptyRecords:   {UnexpectedMessageAlert, "too many records in a row without content"},
	BadChangeCipherSpec:   {UnexpectedMessageAlert, "unexpected change_cipher_spec"},
	InterleavedRecord:     {UnexpectedMessageAlert, "record of another type inside a handshake message"},
	MessageSpansKeyChange: {UnexpectedMessageAlert, "handshake message crosses a key change"},
	MalformedAlert:        {DecodeErrorAlert, "malformed alert"},
	TooManyWarnings:       {UnexpectedMessageAlert, "too many warning alerts"},
	MessageTooLarge:       {IllegalParameterAlert, "handshake message too large"},

	UnexpectedMessage:    {UnexpectedMessageAlert, "unexpected message"},
	Undecodable:          {DecodeErrorAlert, "message cannot be decoded"},
	DuplicateExtension:   {IllegalParameterAlert, "duplicate extension"},
	MisplacedExtension:   {IllegalParameterAlert, "extension in a message that may not carry it"},
	UnsolicitedExtension: {UnsupportedExtensionAlert, "extension that was not asked for"},
	MissingExtension:     {MissingExtensionAlert, "missing extension"},
	IllegalParameter:     {IllegalParameterAlert, "illegal parameter"},

	UnsupportedVersion:    {ProtocolVersionAlert, "no protocol version in common"},
	Downgrade:             {IllegalParameterAlert, "the server signals a downgrade of the protocol version"},
	NoCommonSuite:         {HandshakeFailureAlert, "no cipher suite in common"},
	NoCommonGroup:         {HandshakeFailureAlert, "no key exchange group in common"},
	NoCommonScheme:        {HandshakeFailureAlert, "no signature scheme in common"},
	NoCommonProtocol:      {NoApplicationProtocolAlert, "no application protocol in common"},
	NoCertificate:         {HandshakeFailureAlert, "no certificate for this client"},
	InappropriateFallback: {InappropriateFallbackAlert, "the client has fallen back from a version that this server has"},
	NoExtendedMainSecret:  {HandshakeFailureAlert, "the peer does not know extended_main_secret"},
	BadRenegotiationInfo:  {HandshakeFailureAlert, "renegotiation_info in a first handshake is not empty"},
	UnneededRetry:         {IllegalParameterAlert, "HelloRetryRequest that changes nothing"},
	HelloChanged:          {IllegalParameterAlert, "second ClientHello does not match the first"},
	BadKeyShare:           {IllegalParameterAlert, "invalid key share"},

	BadCertificate:         {BadCertificateAlert, "bad certificate"},
	UnsupportedCertificate: {UnsupportedCertificateAlert, "unsupported certificate"},
	CertificateExpired:     {CertificateExpiredAlert, "certificate expired or not yet valid"},
	CertificateUnknown:     {CertificateUnknownAlert, "certificate not acceptable"},
	UnknownCA:              {UnknownCAAlert, "certificate signed by an unknown authority"},
	CertificateRefused:     {BadCertificateAlert, "certificate refused by the application"},
	Refused:                {AccessDeniedAlert, "refused by the application"},
	CertificateRequired:    {CertificateRequiredAlert, "the client sent no certificate"},
	CertificateRequired12:  {HandshakeFailureAlert, "the client sent no certificate"}, // RFC 5246, Section 7.4.6
	BadSignature:           {DecryptErrorAlert, "handshake signature does not verify"},
	BadFinished:            {DecryptErrorAlert, "Finished does not verify"},
	BadBinder:              {DecryptErrorAlert, "PSK binder does not verify"},

	TooMuchEarlyData:  {UnexpectedMessageAlert, "more early data than was allowed"},
	TooManyKeyUpdates: {UnexpectedMessageAlert, "too many key updates or tickets without data between them"},
	Renegotiation:     {UnexpectedMessageAlert, "renegotiation was refused and is asked for again"},
	KeyLimitReached:   {None, "the limit on records under one key is reached"},
}
