package fault

// Alert is an AlertDescription (RFC 9846, Section 6), or None.
type Alert uint16

// None stands where no alert is sent. It is not a value of the wire.
const None Alert = 256

// The alerts, by their registered numbers. The suffix keeps them apart from
// the reasons of the same names.
const (
	CloseNotifyAlert            Alert = 0
	UnexpectedMessageAlert      Alert = 10
	BadRecordMACAlert           Alert = 20
	RecordOverflowAlert         Alert = 22
	HandshakeFailureAlert       Alert = 40
	BadCertificateAlert         Alert = 42
	UnsupportedCertificateAlert Alert = 43
	CertificateRevokedAlert     Alert = 44
	CertificateExpiredAlert     Alert = 45
	CertificateUnknownAlert     Alert = 46
	IllegalParameterAlert       Alert = 47
	UnknownCAAlert              Alert = 48
	AccessDeniedAlert           Alert = 49
	DecodeErrorAlert            Alert = 50
	DecryptErrorAlert           Alert = 51
	ProtocolVersionAlert        Alert = 70
	InsufficientSecurityAlert   Alert = 71
	InternalError               Alert = 80
	UserCanceledAlert           Alert = 90
	MissingExtensionAlert       Alert = 109
	UnsupportedExtensionAlert   Alert = 110
	UnrecognizedNameAlert       Alert = 112
	CertificateRequiredAlert    Alert = 116
	NoApplicationProtocolAlert  Alert = 120
)

// Level returns the AlertLevel that alert is sent with: warning for the two
// closure alerts, fatal for all others (RFC 9846, Sections 6.1 and 6.2).
func (a Alert) Level() byte {
	if a == CloseNotifyAlert || a == UserCanceledAlert {
		return 1
	}
	return 2
}
