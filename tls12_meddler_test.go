package baretls_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/baretls/baretls"
)

// The message types of TLS 1.2: RFC 5246, Section 7.4, RFC 5077 and RFC 6066; and one of TLS 1.3.
const (
	msgHelloRequest       = 0
	msgClientHello        = 1
	msgServerHello        = 2
	msgNewSessionTicket   = 4
	msgEndOfEarlyData     = 5
	msgCertificate        = 11
	msgServerKeyExchange  = 12
	msgCertificateRequest = 13
	msgServerHelloDone    = 14
	msgCertificateVerify  = 15
	msgClientKeyExchange  = 16
	msgFinished           = 20
	msgCertificateStatus  = 22
)

// The extensions that the tests change.
const (
	extServerName         = 0
	extStatusRequest      = 5
	extSupportedGroups    = 10
	extPointFormats       = 11
	extSignatureAlgs      = 13
	extALPN               = 16
	extExtendedMainSecret = 23
	extRecordSizeLimit    = 28
	extSessionTicket      = 35
	extSupportedVersions  = 43
	extRenegotiationInfo  = 0xff01
)

// message12 makes a message of that type.
func message12(t byte, body ...[]byte) []byte {
	b := slices.Concat(body...)
	return append([]byte{t, byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...)
}

// vector8, vector16 and vector24 put the length in front.
func vector8(b []byte) []byte { return append([]byte{byte(len(b))}, b...) }
func vector16(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}
func vector24(b []byte) []byte { return append([]byte{byte(len(b) >> 16)}, vector16(b)...) }

// A meddler is a pair of TLS 1.2 of which one side or both send other messages
// than they should, and stand by them: the victim is the other side.
type meddler struct {
	*pair
	fromClient, fromServer doors
	serverRandom           []byte
}

// doors has a function for each type of message that is replaced.
type doors map[byte]func(m []byte) []byte

// newMeddler makes the pair; nil stands for configs of TLS 1.2, which other
// configs have to ask for themselves. hello is the door for the ClientHello,
// which is made with the connection; the other doors may be set until it runs.
func newMeddler(t testing.TB, client *baretls.ClientConfig, server *baretls.ServerConfig, hello func(m []byte) []byte) *meddler {
	t.Helper()
	if client == nil {
		client = tls12.client()
	}
	if server == nil {
		server = tls12.server()
	}
	x := &meddler{fromClient: doors{msgClientHello: hello}, fromServer: doors{}}
	if client.KeyLogWriter == nil {
		client.KeyLogWriter = new(keyLog)
	}
	door := func(doors doors) func(byte, []byte) []byte {
		return func(t byte, m []byte) []byte {
			if do := doors[t]; do != nil {
				m = do(bytes.Clone(m))
			}
			if t == msgServerHello && len(m) >= 38 {
				x.serverRandom = bytes.Clone(m[6:38])
			}
			return m
		}
	}
	if err := baretls.RewriteServer(server, door(x.fromServer)); err != nil {
		t.Fatal(err)
	}
	if err := baretls.RewriteClient(client, door(x.fromClient)); err != nil {
		t.Fatal(err)
	}
	x.pair = newPair(t, client, server)
	if log, ok := client.KeyLogWriter.(*keyLog); ok {
		x.keys = log
	}
	return x
}

// refused runs, and the victim must end it with the alert.
func (p *pair) refused(what string, victim *side, want tls.AlertError) {
	p.t.Helper()
	p.run()
	if victim.err == nil {
		p.t.Errorf("%s: the %s does not mind: %v", what, victim.role, victim.transcript)
		return
	}
	if t, ok := p.t.(*testing.T); ok {
		t.Run(what, func(t *testing.T) {
			for _, s := range p.sides() {
				s.t = t
			}
			victim.wantFailed(want)
			p.other(victim).wantAlerted(want)
		})
	}
}

// An extension12 is one of a hello.
type extension12 struct {
	code uint16
	body []byte
}

// extensionsOf is where the extensions of a hello begin, with their length.
func extensionsOf(m []byte) int {
	i := 4 + 2 + 32
	i += 1 + int(m[i]) // session ID
	if m[0] == msgServerHello {
		return i + 2 + 1
	}
	i += 2 + int(binary.BigEndian.Uint16(m[i:]))
	return i + 1 + int(m[i])
}

// withExtensions changes the extensions of a hello.
func withExtensions(m []byte, change func([]extension12) []extension12) []byte {
	at := extensionsOf(m)
	var list []extension12
	if at < len(m) {
		for rest := m[at+2:]; len(rest) > 0; {
			n := int(binary.BigEndian.Uint16(rest[2:]))
			list = append(list, extension12{binary.BigEndian.Uint16(rest), rest[4:][:n:n]})
			rest = rest[4+n:]
		}
	}
	var block []byte
	for _, e := range change(list) {
		block = append(binary.BigEndian.AppendUint16(block, e.code), vector16(e.body)...)
	}
	body := m[4:at:at]
	if block != nil {
		body = append(body, vector16(block)...)
	}
	return message12(m[0], body)
}

// with puts an extension into a hello, or another body into the one that is
// there.
func with(code uint16, body ...byte) func(m []byte) []byte {
	return func(m []byte) []byte {
		return withExtensions(m, func(list []extension12) []extension12 {
			for i := range list {
				if list[i].code == code {
					list[i].body = body
					return list
				}
			}
			return append(list, extension12{code, body})
		})
	}
}

// without takes extensions out of a hello.
func without(codes ...uint16) func(m []byte) []byte {
	return func(m []byte) []byte {
		return withExtensions(m, func(list []extension12) []extension12 {
			return slices.DeleteFunc(list, func(e extension12) bool { return slices.Contains(codes, e.code) })
		})
	}
}

// extension returns the body of an extension of a hello.
func extension(m []byte, code uint16) (body []byte, ok bool) {
	withExtensions(m, func(list []extension12) []extension12 {
		for _, e := range list {
			if e.code == code {
				body, ok = e.body, true
			}
		}
		return list
	})
	return body, ok
}

// withSuites changes the cipher suites of a ClientHello.
func withSuites(change func([]byte) []byte) func(m []byte) []byte {
	return func(m []byte) []byte {
		at := 4 + 2 + 32
		at += 1 + int(m[at])
		n := int(binary.BigEndian.Uint16(m[at:]))
		return message12(m[0], m[4:at], vector16(change(bytes.Clone(m[at+2:][:n]))), m[at+2+n:])
	}
}

// withSessionID changes the session ID of a hello.
func withSessionID(id []byte) func(m []byte) []byte {
	return func(m []byte) []byte {
		const at = 4 + 2 + 32
		return message12(m[0], m[4:at], vector8(id), m[at+1+int(m[at]):])
	}
}

// sessionID returns the one of a hello.
func sessionID(m []byte) []byte { return m[39:][:m[38]] }

// inServerHello changes the bytes behind the session ID: the cipher suite and
// the compression method.
func inServerHello(change func(suite []byte)) func(m []byte) []byte {
	return func(m []byte) []byte {
		change(m[extensionsOf(m)-3:])
		return m
	}
}

// A serverKeyExchange is the message with its signature: RFC 8422, Section 5.4.
type serverKeyExchange struct {
	curveType byte
	group     tls.CurveID
	public    []byte
	scheme    tls.SignatureScheme
	signature []byte
}

func parseSKE(m []byte) (k serverKeyExchange) {
	k.curveType, k.group = m[4], tls.CurveID(binary.BigEndian.Uint16(m[5:]))
	k.public = m[8:][:m[7]]
	rest := m[8+int(m[7]):]
	k.scheme, k.signature = tls.SignatureScheme(binary.BigEndian.Uint16(rest)), rest[4:]
	return k
}

func (k *serverKeyExchange) params() []byte {
	return append(binary.BigEndian.AppendUint16([]byte{k.curveType}, uint16(k.group)), vector8(k.public)...)
}

func (k *serverKeyExchange) message() []byte {
	return message12(msgServerKeyExchange, k.params(), binary.BigEndian.AppendUint16(nil, uint16(k.scheme)), vector16(k.signature))
}

// signs is a door for ServerKeyExchange, which changes it and signs again.
func (x *meddler) signs(key crypto.PrivateKey, change func(k *serverKeyExchange)) func(m []byte) []byte {
	return func(m []byte) []byte {
		k := parseSKE(m)
		change(&k)
		k.signature = sign12(x.t, key, k.scheme, slices.Concat(x.client.random(), x.serverRandom, k.params()))
		return k.message()
	}
}

// changes is a door for ServerKeyExchange that leaves the signature to the
// change.
func (x *meddler) changes(change func(k *serverKeyExchange)) func(m []byte) []byte {
	return func(m []byte) []byte {
		k := parseSKE(m)
		change(&k)
		return k.message()
	}
}

// sign12 signs with a key that may not fit the scheme: then the scheme's hash
// is what is left of it.
func sign12(t testing.TB, key crypto.PrivateKey, scheme tls.SignatureScheme, content []byte) []byte {
	t.Helper()
	hashes := map[tls.SignatureScheme]crypto.Hash{
		tls.ECDSAWithP384AndSHA384: crypto.SHA384, tls.PKCS1WithSHA384: crypto.SHA384, tls.PSSWithSHA384: crypto.SHA384,
		tls.ECDSAWithP521AndSHA512: crypto.SHA512, tls.PKCS1WithSHA512: crypto.SHA512, tls.PSSWithSHA512: crypto.SHA512,
		tls.ECDSAWithSHA1: crypto.SHA1, tls.PKCS1WithSHA1: crypto.SHA1, tls.Ed25519: 0,
	}
	h, ok := hashes[scheme]
	if !ok {
		h = crypto.SHA256
	}
	var opts crypto.SignerOpts = h
	switch scheme {
	case tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
	}
	signature, err := crypto.SignMessage(key.(crypto.Signer), rand.Reader, content, opts)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}
