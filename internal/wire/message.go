// Package wire turns handshake messages into structs and back, and does nothing else.
//
// Parse takes the body of a message, without its four bytes of header, and
// leaves slices in the struct that alias it: whoever keeps them copies them. It
// resets the struct, allocates nothing, and fails with a reason of package fault;
// then what the struct holds means nothing. It checks shape, placement and the
// few values that are wrong whatever was negotiated.
//
// Append appends a whole message, header included. Its fields are trusted to
// fit their own length fields; where they add up to more than an extensions
// block can hold (a peer's long cookie or ticket can bring that about), Append
// returns nil.
package wire

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/crypto/cryptobyte"
)

// MessageType is a HandshakeType (RFC 9846, Section 4).
type MessageType uint8

// The types of TLS 1.3, and below them those that only TLS 1.2 sends.
const (
	TypeClientHello         MessageType = 1
	TypeServerHello         MessageType = 2
	TypeNewSessionTicket    MessageType = 4
	TypeEndOfEarlyData      MessageType = 5
	TypeEncryptedExtensions MessageType = 8
	TypeCertificate         MessageType = 11
	TypeCertificateRequest  MessageType = 13
	TypeCertificateVerify   MessageType = 15
	TypeFinished            MessageType = 20
	TypeKeyUpdate           MessageType = 24
	TypeMessageHash         MessageType = 254

	TypeHelloRequest      MessageType = 0
	TypeServerKeyExchange MessageType = 12
	TypeServerHelloDone   MessageType = 14
	TypeClientKeyExchange MessageType = 16
	TypeCertificateStatus MessageType = 22
)

// String returns the name that the RFC gives the message.
func (t MessageType) String() string {
	switch t {
	case TypeClientHello:
		return "ClientHello"
	case TypeServerHello:
		return "ServerHello"
	case TypeNewSessionTicket:
		return "NewSessionTicket"
	case TypeEndOfEarlyData:
		return "EndOfEarlyData"
	case TypeEncryptedExtensions:
		return "EncryptedExtensions"
	case TypeCertificate:
		return "Certificate"
	case TypeCertificateRequest:
		return "CertificateRequest"
	case TypeCertificateVerify:
		return "CertificateVerify"
	case TypeFinished:
		return "Finished"
	case TypeKeyUpdate:
		return "KeyUpdate"
	case TypeMessageHash:
		return "message_hash"
	case TypeHelloRequest:
		return "HelloRequest"
	case TypeServerKeyExchange:
		return "ServerKeyExchange"
	case TypeServerHelloDone:
		return "ServerHelloDone"
	case TypeClientKeyExchange:
		return "ClientKeyExchange"
	case TypeCertificateStatus:
		return "CertificateStatus"
	}
	return "handshake message " + strconv.Itoa(int(t))
}

// HeaderLen is the length of a message's type and uint24 length.
const HeaderLen = 4

// Begin appends the header of a message whose length End will patch.
func Begin(b []byte, t MessageType) []byte {
	return append(b, byte(t), 0, 0, 0)
}

// End patches the length of the message that began at b[start].
func End(b []byte, start int) []byte {
	return close24(b, start+1)
}

// Uint16s is a vector of uint16 as it stands on the wire, without its length.
type Uint16s []byte

// Len returns how many values l holds.
func (l Uint16s) Len() int { return len(l) / 2 }

// At returns value i of l.
func (l Uint16s) At(i int) uint16 { return binary.BigEndian.Uint16(l[2*i:]) }

// Contains reports whether v is in l.
func (l Uint16s) Contains(v uint16) bool {
	for i := range l.Len() {
		if l.At(i) == v {
			return true
		}
	}
	return false
}

// AppendUint16s appends the values v to the vector b.
func AppendUint16s[T ~uint16](b []byte, v ...T) Uint16s {
	for _, v := range v {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return b
}

// readUint16s reads a non-empty vector of uint16 with a 16-bit length.
func readUint16s(s *cryptobyte.String, out *Uint16s) bool {
	return s.ReadUint16LengthPrefixed((*cryptobyte.String)(out)) &&
		len(*out) > 0 && len(*out)%2 == 0
}

// readVector16 reads a non-empty vector of bytes with a 16-bit length.
func readVector16(s *cryptobyte.String, out *[]byte) bool {
	return s.ReadUint16LengthPrefixed((*cryptobyte.String)(out)) && len(*out) > 0
}

// readVector8 reads a non-empty vector of bytes with an 8-bit length.
func readVector8(s *cryptobyte.String, out *[]byte) bool {
	return s.ReadUint8LengthPrefixed((*cryptobyte.String)(out)) && len(*out) > 0
}

// append8 appends v with an 8-bit length.
func append8(b, v []byte) []byte {
	return append(append(b, byte(len(v))), v...)
}

// append16 appends v with a 16-bit length.
func append16(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
}

// open16 begins a vector with a 16-bit length, which stands at b[at].
func open16(b []byte) (_ []byte, at int) {
	return append(b, 0, 0), len(b)
}

// close16 patches the length of the vector that began at b[at].
func close16(b []byte, at int) []byte {
	binary.BigEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	return b
}

// open24 begins a vector with a 24-bit length, which stands at b[at].
func open24(b []byte) (_ []byte, at int) {
	return append(b, 0, 0, 0), len(b)
}

// close24 patches the length of the vector that began at b[at].
func close24(b []byte, at int) []byte {
	n := len(b) - at - 3
	b[at], b[at+1], b[at+2] = byte(n>>16), byte(n>>8), byte(n)
	return b
}
