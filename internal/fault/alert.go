package fault

// Alert is an AlertDescription (RFC 9846, Section 6), or None.
type Alert uint16

// None stands where no alert is sent. It is not a value of the wire.
const None Alert = 256

// The alerts that are sent or told apart, by their registered numbers. The suffix keeps them apart from
// the reasons of the same names.
const (
	CloseNotifyAlert            Alert = 0
	UnexpectedMessageAlert      Alert = 10
	BadRecordMACAlert           Alert = 20
	RecordOverflowAlert         Alert = 22
	HandshakeFailureAlert       Alert = 40
	BadCertificateAlert         Alert = 42
	UnsupportedCertificateAlert Alert = 43
	CertificateExpiredAlert     Alert = 45
	CertificateUnknownAlert     Alert = 46
	IllegalParameterAlert       Alert = 47
	UnknownCAAlert              Alert = 48
	AccessDeniedAlert           Alert = 49
	DecodeErrorAlert            Alert = 50
	DecryptErrorAlert           Alert = 51
	ProtocolVersionAlert        Alert = 70
	InternalError               Alert = 80
	InappropriateFallbackAlert  Alert = 86
	UserCanceledAlert           Alert = 90
	NoRenegotiationAlert        Alert = 100
	MissingExtensionAlert       Alert = 109
	UnsupportedExtensionAlert   Alert = 110
	CertificateRequiredAlert    Alert = 116
	NoApplicationProtocolAlert  Alert = 120
)

// Level returns the AlertLevel that alert is sent with: warning for the two
// closure alerts (RFC 9846, Section 6.1) and for TLS 1.2's no_renegotiation,
// fatal for all others.
func (a Alert) Level() byte {
	switch a {
	case CloseNotifyAlert, UserCanceledAlert, NoRenegotiationAlert:
		return 1
	}
	return 2
}
