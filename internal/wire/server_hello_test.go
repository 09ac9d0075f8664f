package wire

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const (
	fullServerHello = `0303 random 1[ cc*32 ] 1301 00 2[
		002b 2[ 0304 ]
		0033 2[ 001d 2[ bb*32 ] ]
		0029 2[ 0001 ]
	]`
	fullRetry = `0303 retry 1[ cc*32 ] 1302 00 2[
		002b 2[ 0304 ]
		0033 2[ 11ec ]
		002c 2[ 2[ 'cookie' ] ]
	]`
)

func TestAServerHelloIsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullServerHello)
	var m ServerHello
	if err := m.Parse(body, Extensions(ExtSupportedVersions, ExtKeyShare, ExtPreSharedKey)); err != nil {
		t.Fatal(err)
	}
	if m.LegacyVersion != 0x0303 || !bytes.Equal(m.Random, body[2:34]) || len(m.SessionID) != 32 || m.CipherSuite != 0x1301 ||
		m.CompressionMethod != 0 || m.SupportedVersion != 0x0304 || m.KeyShareGroup != 0x1d || len(m.KeyShare) != 32 ||
		m.SelectedIdentity != 1 || m.Cookie != nil || !m.TLS13 || m.Has != Extensions(ExtSupportedVersions, ExtKeyShare, ExtPreSharedKey) {
		t.Errorf("the hello is not what was sent: %+v", m)
	}
	if IsHelloRetryRequest(body) {
		t.Error("a ServerHello is taken for a retry")
	}
}

func TestARetryIsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullRetry)
	var m ServerHello
	// The cookie needs no request.
	if err := m.Parse(body, Extensions(ExtSupportedVersions, ExtKeyShare)); err != nil {
		t.Fatal(err)
	}
	if m.CipherSuite != 0x1302 || m.SupportedVersion != 0x0304 || m.KeyShareGroup != 0x11ec || m.KeyShare != nil ||
		string(m.Cookie) != "cookie" || !m.TLS13 || m.Has != Extensions(ExtSupportedVersions, ExtKeyShare, ExtCookie) {
		t.Errorf("the retry is not what was sent: %+v", m)
	}
	if !IsHelloRetryRequest(body) || IsHelloRetryRequest(body[:33]) {
		t.Error("a retry is told by the whole of its random")
	}
	if RetryRandom != sha256.Sum256([]byte("HelloRetryRequest")) {
		t.Error("RetryRandom is not the SHA-256 of HelloRetryRequest")
	}
}

func TestTheServerHelloOfRFC8448(t *testing.T) {
	message := unhex(t, `02000056 0303 a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e26928 00 1301 00 002e
		00330024 001d 0020 c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f 002b0002 0304`)
	var m ServerHello
	if err := m.Parse(message[HeaderLen:], Extensions(ExtSupportedVersions, ExtKeyShare)); err != nil {
		t.Fatal(err)
	}
	if m.CipherSuite != 0x1301 || m.SupportedVersion != 0x0304 || m.KeyShareGroup != 0x1d || m.KeyShare[0] != 0xc9 {
		t.Errorf("the hello is not read as the RFC explains it: %+v", m)
	}
}

func TestBodiesOfServerHelloExtensions(t *testing.T) {
	const accepted = fault.Internal
	for _, row := range []struct {
		story, random, block string
		want                 fault.Reason
	}{
		{"key_share with the group only", "random", `0033 2[ 001d ]`, fault.Undecodable},
		{"key_share with an empty key_exchange", "random", `0033 2[ 001d 2[ ] ]`, fault.Undecodable},
		{"key_share with two shares", "random", `0033 2[ 001d 2[ aa ] 0017 2[ aa ] ]`, fault.Undecodable},
		{"pre_shared_key of one byte", "random", `0029 2[ 00 ]`, fault.Undecodable},
		{"pre_shared_key of three bytes", "random", `0029 2[ 000000 ]`, fault.Undecodable},
		{"pre_shared_key first", "random", `0029 2[ 0000 ] 0033 2[ 001d 2[ aa ] ]`, accepted},
		{"a cookie", "random", `002c 2[ 2[ 'c' ] ]`, fault.MisplacedExtension},
		{"an extension for EncryptedExtensions", "random", `0010 2[ 2[ 1[ 'h2' ] ] ]`, fault.MisplacedExtension},
		{"an extension of TLS 1.2", "random", `ff01 2[ 00 ]`, fault.MisplacedExtension},
		{"an unknown extension", "random", `0a0a 2[ ]`, fault.UnsolicitedExtension},
		{"key_share twice", "random", `0033 2[ 001d 2[ aa ] ] 0033 2[ 001d 2[ aa ] ]`, fault.DuplicateExtension},
		{"supported_versions twice", "random", `002b 2[ 0304 ]`, fault.DuplicateExtension},

		{"key_share of a ServerHello", "retry", `0033 2[ 001d 2[ aa ] ]`, fault.Undecodable},
		{"key_share with half a group", "retry", `0033 2[ 00 ]`, fault.Undecodable},
		{"an empty cookie", "retry", `002c 2[ 2[ ] ]`, fault.Undecodable},
		{"a cookie with a byte behind it", "retry", `002c 2[ 2[ 'c' ] 00 ]`, fault.Undecodable},
		{"pre_shared_key", "retry", `0029 2[ 0000 ]`, fault.MisplacedExtension},
		{"encrypted_client_hello", "retry", `fe0d 2[ aa*8 ]`, accepted},
		{"an unknown extension", "retry", `0a0a 2[ ]`, fault.UnsolicitedExtension},
		{"nothing to change", "retry", ``, accepted}, // the caller's to refuse
	} {
		for _, order := range []string{`002b 2[ 0304 ] ` + row.block, row.block + ` 002b 2[ 0304 ]`} {
			body, _ := assemble(t, `0303 `+row.random+` 1[ ] 1301 00 2[ `+order+` ]`)
			var m ServerHello
			err := m.Parse(body, everything)
			if row.want != accepted {
				expect(t, err, row.want, "a hello (%s) with %s", row.random, row.story)
			} else if err != nil {
				t.Errorf("a hello (%s) with %s is refused: %v", row.random, row.story, err)
			}
		}
	}
	for _, block := range []string{`002b 2[ 03 ]`, `002b 2[ 030400 ]`, `002b 2[ 1[ 0304 ] ]`} {
		body, _ := assemble(t, `0303 random 1[ ] 1301 00 2[ `+block+` ]`)
		var m ServerHello
		expect(t, m.Parse(body, everything), fault.Undecodable, "supported_versions as %s", block)
	}
	body, _ := assemble(t, `0303 random 1[ cc*33 ] 1301 00`)
	var m ServerHello
	expect(t, m.Parse(body, everything), fault.Undecodable, "a session ID of 33 bytes")
}

func TestAServerHelloMayAnswerOnlyWhatWasOffered(t *testing.T) {
	for _, e := range []Extension{ExtSupportedVersions, ExtKeyShare, ExtPreSharedKey} {
		body, _ := assemble(t, fullServerHello)
		var m ServerHello
		expect(t, m.Parse(body, everything.Without(e)), fault.UnsolicitedExtension, "%s that was not offered", e)
	}
	for _, e := range []Extension{ExtSupportedVersions, ExtKeyShare} {
		body, _ := assemble(t, fullRetry)
		var m ServerHello
		expect(t, m.Parse(body, everything.Without(e)), fault.UnsolicitedExtension, "%s in a retry that was not offered", e)
	}
}

func TestARetryThatIsTooLongIsNotWritten(t *testing.T) {
	m := ServerHello{Random: RetryRandom[:], Has: Extensions(ExtCookie), Cookie: make([]byte, 0xffff-6)}
	if b := m.Append(nil); b == nil {
		t.Error("the longest cookie must fit")
	}
	m.Cookie = make([]byte, 0xffff-5)
	if b := m.Append(nil); b != nil {
		t.Error("a cookie that makes the block too long must give nil")
	}
}

func TestTheRandomDecidesTheForm(t *testing.T) {
	m := ServerHello{
		Random: make([]byte, 32), Has: Extensions(ExtKeyShare, ExtSupportedVersions, ExtPreSharedKey, ExtCookie),
		SupportedVersion: 0x0304, KeyShareGroup: 0x1d, KeyShare: []byte{1}, Cookie: []byte{2},
	}
	var again ServerHello
	if err := again.Parse(m.Append(nil)[HeaderLen:], everything); err != nil || again.Has != m.Has.Without(ExtCookie) {
		t.Errorf("a ServerHello must be written without the cookie: %b, %v", again.Has, err)
	}
	m.Random = RetryRandom[:]
	if err := again.Parse(m.Append(nil)[HeaderLen:], everything); err != nil || again.Has != m.Has.Without(ExtPreSharedKey) || again.KeyShare != nil {
		t.Errorf("a retry must be written without pre_shared_key and key_exchange: %b, %v", again.Has, err)
	}
}
