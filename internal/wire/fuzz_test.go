package wire

import (
	"bytes"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

// What a target promises: no bytes make a parser panic, a refusal is the
// peer's fault, and what was accepted, once written by us, is read and written
// the same again.

func FuzzClientHello(f *testing.F) {
	f.Add(unhex(f, rfc8448ClientHello)[HeaderLen:])
	fuzz(f, TypeClientHello, parseClientHello)
}

func FuzzServerHello(f *testing.F) { fuzz(f, TypeServerHello, parseServerHello) }

func FuzzEncryptedExtensions(f *testing.F) {
	fuzz(f, TypeEncryptedExtensions, parseEncryptedExtensions)
}

func FuzzCertificateRequest(f *testing.F) {
	fuzz(f, TypeCertificateRequest, parseCertificateRequest)
}

func FuzzCertificate(f *testing.F) { fuzz(f, TypeCertificate, parseCertificate) }

func FuzzCertificateVerify(f *testing.F) { fuzz(f, TypeCertificateVerify, parseCertificateVerify) }

func FuzzNewSessionTicket(f *testing.F) { fuzz(f, TypeNewSessionTicket, parseNewSessionTicket) }

func FuzzFinished(f *testing.F) { fuzz(f, TypeFinished, parseFinished) }

func FuzzKeyUpdate(f *testing.F) { fuzz(f, TypeKeyUpdate, parseKeyUpdate) }

func FuzzEndOfEarlyData(f *testing.F) { fuzz(f, TypeEndOfEarlyData, parseEndOfEarlyData) }

func FuzzCertificate12(f *testing.F) { fuzz(f, TypeCertificate, parseCertificate12) }

func FuzzCertificateStatus(f *testing.F) { fuzz(f, TypeCertificateStatus, parseCertificateStatus) }

func FuzzServerKeyExchange(f *testing.F) { fuzz(f, TypeServerKeyExchange, parseServerKeyExchange) }

func FuzzClientKeyExchange(f *testing.F) { fuzz(f, TypeClientKeyExchange, parseClientKeyExchange) }

func FuzzCertificateRequest12(f *testing.F) {
	fuzz(f, TypeCertificateRequest, parseCertificateRequest12)
}

func FuzzNewSessionTicket12(f *testing.F) { fuzz(f, TypeNewSessionTicket, parseNewSessionTicket12) }

func FuzzServerHelloDone(f *testing.F) { fuzz(f, TypeServerHelloDone, parseServerHelloDone) }

func fuzz(f *testing.F, typ MessageType, parse func([]byte) (appender, error)) {
	for _, s := range samples {
		if s.typ == typ {
			body, _ := assemble(f, s.body)
			f.Add(body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parse(body)
		if err != nil {
			if fault.Of(err) == fault.Internal {
				t.Fatalf("bytes of the peer are called our own fault: %v", err)
			}
			return
		}
		first := m.Append(nil)
		if len(first) < HeaderLen || MessageType(first[0]) != typ {
			t.Fatalf("an accepted %s is not written again: %x", typ, first)
		}
		if n := int(first[1])<<16 | int(first[2])<<8 | int(first[3]); n != len(first)-HeaderLen {
			t.Fatalf("the header says %d bytes, and there are %d", n, len(first)-HeaderLen)
		}
		again, err := parse(first[HeaderLen:])
		if err != nil {
			t.Fatalf("our own %s is refused: %v\n%x", typ, err, first)
		}
		if second := again.Append(nil); !bytes.Equal(first, second) {
			t.Fatalf("%s changes when it is written again:\n%x\n%x", typ, first, second)
		}
	})
}
