package baretls_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
	"github.com/baretls/baretls/internal/wire"
)

// The scenes.
var (
	plainly  = scene{name: "a full handshake"}
	ticketed = scene{name: "a full handshake with tickets", tickets: true}
	resumed  = scene{name: "a resumption", resumed: true}
	hasty    = scene{name: "a resumption with early data", resumed: true, early: true}
	retried  = scene{name: "a handshake with HelloRetryRequest", edit: func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
		s.Groups = []tls.CurveID{tls.CurveP384}
	}}
	cookied = scene{name: "a handshake with a cookie", edit: func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
		s.RetryCookieKey = make([]byte, 32)
	}}
	resumedByCookie = scene{name: "a resumption with a cookie", resumed: true, edit: cookied.edit}
	mutual          = scene{name: "a handshake with client authentication", edit: func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.ECDSAP256)}
		s.ClientAuth = tls.RequireAndVerifyClientCert
		s.ClientCAs, _ = tlstest.CA()
	}}
	lenient = scene{name: "a resumption between sides that do not require extended_main_secret", resumed: true, edit: func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.AllowNoExtendedMainSecret, s.AllowNoExtendedMainSecret = true, true
	}}
	protocols = scene{name: "a handshake with ALPN", edit: func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.NextProtos, s.NextProtos = []string{"h2"}, []string{"h2"}
	}}
	stapled = scene{name: "a handshake with an OCSP response and SCTs", edit: func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
		cert := tlstest.Leaf(tlstest.ECDSAP256)
		cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("an OCSP response"), [][]byte{[]byte("an SCT")}
		s.Certificates = []tls.Certificate{cert}
	}}
	only13 = scene{name: "a handshake with a client of TLS 1.3 only", edit: func(c *baretls.ClientConfig, _ *baretls.ServerConfig) {
		c.MinVersion = tls.VersionTLS13
	}}
	classical = scene{name: "a handshake without post-quantum groups", edit: func(_ *baretls.ClientConfig, s *baretls.ServerConfig) {
		s.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
	}}
	few = scene{name: "a handshake with a client of few groups and schemes", edit: func(c *baretls.ClientConfig, _ *baretls.ServerConfig) {
		c.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
		c.SignatureSchemes = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
	}}
	older = scene{name: "a handshake with a server of TLS 1.2", edit: func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		c.MaxVersion, s.MaxVersion = 0, tls.VersionTLS12
	}}
)

// serverShows is the scene with another certificate of the server.
func (s scene) serverShows(name string, o tlstest.Options) scene {
	edit := s.edit
	s.name += ", with " + name
	s.edit = func(c *baretls.ClientConfig, server *baretls.ServerConfig) {
		if edit != nil {
			edit(c, server)
		}
		server.Certificates = withLeaf(o)
	}
	return s
}

// clientShows is the scene with another certificate of the client, whatever
// authorities the server names.
func (s scene) clientShows(name string, o tlstest.Options) scene {
	edit := s.edit
	s.name += ", with " + name
	s.edit = func(c *baretls.ClientConfig, server *baretls.ServerConfig) {
		edit(c, server)
		cert := tlstest.New(o)
		c.Certificates, c.GetClientCertificate = nil, always(&cert)
	}
	return s
}

func (s scene) clientShowsNone() scene {
	edit := s.edit
	s.name += ", with no certificate"
	s.edit = func(c *baretls.ClientConfig, server *baretls.ServerConfig) {
		edit(c, server)
		c.Certificates = nil
	}
	return s
}

// A rule is a row of the table without what it has in common with others.
type rule struct {
	what   string
	breach breach
	alert  tls.AlertError
	rule   string
}

func each(v version, victim string, s scene, rules ...rule) (list []violation) {
	for _, r := range rules {
		list = append(list, violation{what: r.what, version: v, victim: victim, scene: s, breach: r.breach, alert: r.alert, rule: r.rule})
	}
	return list
}

func comesTo(o result, list []violation) []violation {
	for i := range list {
		list[i].outcome = o
	}
	return list
}

const missingExtension tls.AlertError = 109

// violations is the whole table.
func violations() []violation {
	return slices.Concat(
		inTheClearRules(), protectedRules(), alertRules(), closeRules(), changeCipherSpecRules(), keyChangeRules(),
		messageRules(), orderRules(), afterHandshakeRules(),
		extensionRules(), clientHelloRules(), secondHelloRules(), serverHelloRules(), retryRules(),
		encryptedExtensionsRules(), certificateRequestRules(), certificateRules(), certificateVerifyRules(), finishedRules(),
		ticketRules(), keyUpdateRules(), earlyDataRules(), pskRules(),
		clientHello12Rules(), serverHello12Rules(), keyExchange12Rules(), resumption12Rules(), renegotiation12Rules(),
	)
}

// sides calls f for both versions and both roles, with the message that is the
// adversary's first.
func sides(f func(v version, victim, hello string, cite func(tls13, tls12 string) string) []violation) (list []violation) {
	for _, v := range []version{tls13, tls12} {
		cite := func(in13, in12 string) string {
			if v == tls13 {
				return in13
			}
			return in12
		}
		list = append(list, f(v, "client", "ServerHello", cite)...)
		list = append(list, f(v, "server", "ClientHello", cite)...)
	}
	return list
}

func inTheClearRules() []violation {
	return sides(func(v version, victim, hello string, cite func(string, string) string) []violation {
		list := each(v, victim, plainly,
			rule{"a record of content type 24", instead(hello, anyBytes(header(24, 10))), unexpectedMessage, cite("RFC 9846, Section 5", "RFC 5246, Section 6")},
			rule{"a record of content type 0", instead(hello, anyBytes(header(0, 10))), unexpectedMessage, cite("RFC 9846, Section 5", "RFC 5246, Section 6")},
			rule{"a record of version 0x0200", instead(hello, anyBytes([]byte{handshake, 2, 0, 0, 10})), unexpectedMessage, "RFC 9846, Appendix E.5"},
			rule{"a record of more than 2^14 bytes in the clear", instead(hello, anyBytes(header(handshake, 1<<14+1))), recordOverflow, cite("RFC 9846, Section 5.1", "RFC 5246, Section 6.2.1")},
			rule{"an empty handshake record", before(hello, aMessage()), unexpectedMessage, cite("RFC 9846, Section 5.1", "RFC 5246, Section 6.2.1")},
			rule{"an empty alert record", before(hello, anAlert()), unexpectedMessage, cite("RFC 9846, Section 5.1", "RFC 5246, Section 6.2.1")},
			rule{"application data before the hello", before(hello, someData("data")), unexpectedMessage, cite("RFC 9846, Section 5.2", "RFC 5246, Section 7.4")},
			rule{"a record that is protected before there are keys", before(hello, aRecord(applicationData, make([]byte, 100)...)), unexpectedMessage, cite("RFC 9846, Section 5.2", "RFC 5246, Section 7.4")},
		)
		if v == tls13 {
			list = append(list, each(v, victim, plainly,
				rule{"an alert between the halves of a message", interleaved(hello, anAlert(1, byte(userCanceled))), unexpectedMessage, "RFC 9846, Section 5.1"},
				rule{"two alerts in a record", before(hello, anAlert(1, 90, 1, 90)), decodeError, "RFC 9846, Section 5.1"},
			)...)
		}
		return list
	})
}

// interleaved cuts a message and puts another record between its halves.
func interleaved(name string, between unit) breach {
	return sends(name, func(u unit) []unit {
		head, tail := u, u
		head.content, tail.content = u.content[:10], u.content[10:]
		return append(append([]unit{head}, under(u, []unit{between})...), tail)
	})
}

func protectedRules() []violation {
	flip := func(record []byte) []byte { record[len(record)-1] ^= 1; return record }
	return sides(func(v version, victim, hello string, cite func(string, string) string) []violation {
		protection := cite("RFC 9846, Section 5.2", "RFC 5246, Section 6.2.3.3")
		list := each(v, victim, plainly,
			rule{"a record with a bit of its tag flipped", afterwards(aSealed(someData("data"), flip)), badRecordMAC, protection},
			rule{"a record with a bit of its content flipped", afterwards(aSealed(someData("data"), func(r []byte) []byte { r[14] ^= 1; return r })), badRecordMAC, protection},
			rule{"a record with another version than was authenticated", afterwards(aSealed(someData("data"), func(r []byte) []byte { r[2] = 1; return r })), badRecordMAC, protection},
			rule{"a record that lacks its last byte", afterwards(aSealed(someData("data"), func(r []byte) []byte { r[4]--; return r[:len(r)-1] })), badRecordMAC, protection},
			rule{"a record that is shorter than a tag", afterwards(anyBytes(plain(applicationData, make([]byte, 15)))), badRecordMAC, protection},
			rule{"a protected record without content", afterwards(anyBytes(plain(applicationData, nil))), badRecordMAC, protection},
			rule{"a record without the one before it", afterwards(aSealed(someData("lost"), func([]byte) []byte { return nil }), someData("data")), badRecordMAC, cite("RFC 9846, Section 5.3", "RFC 5246, Section 6.1")},
			rule{"a record twice", afterwards(aSealed(someData("data"), func(r []byte) []byte { return slices.Concat(r, r) })), badRecordMAC, cite("RFC 9846, Section 5.3", "RFC 5246, Section 6.1")},
			rule{"two records in the wrong order", reordered(), badRecordMAC, cite("RFC 9846, Section 5.3", "RFC 5246, Section 6.1")},
			rule{"a record that is too large when protected", afterwards(anyBytes(header(applicationData, 1<<14+2049))), recordOverflow, cite("RFC 9846, Section 5.2", "RFC 5246, Section 6.2.3")},
			rule{"a record with more than 2^14 bytes of data", afterwards(someData(string(make([]byte, 1<<14+1)))), recordOverflow, cite("RFC 9846, Section 5.4", "RFC 5246, Section 6.2.1")},
			rule{"an empty handshake record under keys", afterwards(aMessage()), unexpectedMessage, cite("RFC 9846, Section 5.4", "RFC 5246, Section 6.2.1")},
			rule{"an empty alert record under keys", afterwards(anAlert()), unexpectedMessage, cite("RFC 9846, Section 5.4", "RFC 5246, Section 6.2.1")},
			rule{"a record of content type 24 after the handshake", afterwards(anyBytes(header(24, 20))), unexpectedMessage, cite("RFC 9846, Section 5", "RFC 5246, Section 6")},
			rule{"33 records without content in a row (a limit of ours)", afterwards(slices.Repeat([]unit{someData("")}, 33)...), unexpectedMessage, cite("RFC 9846, Section 5.4", "RFC 5246, Section 6.2.1")},
		)
		if v == tls12 {
			return append(list, each(v, victim, plainly,
				rule{"a handshake record in the clear when there are keys", afterwards(anyBytes(plain(handshake, message12(msgHelloRequest)))), badRecordMAC, protection},
				rule{"an alert in the clear when there are keys", afterwards(anyBytes(plain(alert, []byte{1, 0}))), badRecordMAC, protection},
				rule{"data in the clear", afterwards(anyBytes(plain(applicationData, make([]byte, 100)))), badRecordMAC, protection},
				rule{"a record with another content type than was authenticated", afterwards(aSealed(someData("data"), func(r []byte) []byte { r[0] = handshake; return r })), badRecordMAC, protection},
			)...)
		}
		earlier := someData("data")
		if earlier.keys = 1; victim == "server" {
			earlier.keys = 2
		}
		return append(list, each(v, victim, plainly,
			rule{"a record with 2^14 bytes of data and a byte of padding", afterwards(unit{typ: applicationData, content: make([]byte, 1<<14), padding: 1}), recordOverflow, "RFC 9846, Section 5.4"},
			rule{"a record with nothing but padding", afterwards(unit{raw: func(f *forger) []byte { return f.sealInner(make([]byte, 100)) }}), unexpectedMessage, "RFC 9846, Section 5.4"},
			rule{"a record with nothing but its tag", afterwards(unit{raw: func(f *forger) []byte { return f.sealInner(nil) }}), unexpectedMessage, "RFC 9846, Section 5.4"},
			rule{"a record with content type 24 inside", afterwards(aRecord(24, 1, 2, 3)), unexpectedMessage, "RFC 9846, Section 5.2"},
			rule{"a record with content type 0 inside, which is padding", afterwards(unit{typ: 0, padding: 10}), unexpectedMessage, "RFC 9846, Section 5.4"},
			rule{"a protected change_cipher_spec", afterwards(aRecord(changeCipherSpec, 1)), unexpectedMessage, "RFC 9846, Section 5"},
			rule{"a handshake record in the clear when there are keys", afterwards(anyBytes(plain(handshake, keyUpdate(0)))), unexpectedMessage, "RFC 9846, Section 5.2"},
			rule{"an alert in the clear when there are keys", afterwards(anyBytes(plain(alert, []byte{1, 0}))), unexpectedMessage, "RFC 9846, Section 5.2"},
			rule{"a protected record that says it is a handshake record", afterwards(aSealed(aMessage(keyUpdate(0)), func(r []byte) []byte { r[0] = handshake; return r })), unexpectedMessage, "RFC 9846, Section 5.2"},
			rule{"data under the keys of the handshake", afterwards(earlier), badRecordMAC, "RFC 9846, Section 4.5.3"},
			rule{"data before the Finished", before("Finished", someData("data")), unexpectedMessage, "RFC 9846, Section 6.2"},
		)...)
	})
}

// reordered sends the second of two records first.
func reordered() breach {
	return afterwards(unit{raw: func(f *forger) []byte {
		first := f.seal(applicationData, []byte("first"), 0)
		return append(f.seal(applicationData, []byte("second"), 0), first...)
	}})
}

func alertRules() []violation {
	list := slices.Concat(
		each(tls13, "client", plainly, rule{"an alert in the clear behind the ServerHello", before("EncryptedExtensions", anyBytes(inTheClear().alert(internalError))), unexpectedMessage, "RFC 9846, Section 5.2"}),
		comesTo(isTold, each(tls13, "server", plainly, rule{"an alert in the clear behind the ServerHello, of a client that may have no keys", instead("Finished", anyBytes(inTheClear().alert(internalError))), internalError, "RFC 9846, Appendix A.1"})),
	)
	list = append(list, sides(func(v version, victim, hello string, cite func(string, string) string) []violation {
		where := cite("RFC 9846, Section 6", "RFC 5246, Section 7.2")
		list := each(v, victim, plainly,
			rule{"an alert of one byte", before(hello, anAlert(2)), decodeError, where},
			rule{"an alert of three bytes", before(hello, anAlert(2, 40, 0)), decodeError, where},
			rule{"an alert of one byte under keys", afterwards(anAlert(1)), decodeError, where},
			rule{"an alert of three bytes under keys", afterwards(anAlert(1, 0, 0)), decodeError, where},
			rule{"a fifth warning (a limit of ours)", afterwards(slices.Repeat([]unit{anAlert(1, byte(userCanceled))}, 5)...), unexpectedMessage, where},
		)
		end := each(v, victim, plainly,
			rule{"a fatal alert in the handshake", instead("Finished", anAlert(2, byte(internalError))), internalError, cite("RFC 9846, Section 6.2", "RFC 5246, Section 7.2.2")},
			rule{"a fatal alert that nobody knows", afterwards(anAlert(2, 200)), 200, cite("RFC 9846, Section 6.2", "RFC 5246, Section 7.2.2")},
			rule{"close_notify in the handshake", instead("Finished", anAlert(1, byte(closeNotify))), closeNotify, cite("RFC 9846, Section 6.1", "RFC 5246, Section 7.2.1")},
		)
		if v == tls13 {
			end = append(end, each(v, victim, plainly,
				rule{"an error alert that says it is a warning", afterwards(anAlert(1, byte(handshakeFailure))), handshakeFailure, "RFC 9846, Section 6"},
				rule{"an alert that nobody knows and says it is a warning", afterwards(anAlert(1, 200)), 200, "RFC 9846, Section 6"},
				rule{"an alert of level 0", afterwards(anAlert(0, byte(internalError))), internalError, "RFC 9846, Section 6"},
			)...)
		}
		return append(list, comesTo(isTold, end)...)
	})...)
	return append(list, comesTo(isIgnored, slices.Concat(
		each(tls12, "client", plainly, rule{"a warning that nobody knows", before("ServerHello", anAlert(1, 112)), 0, "RFC 5246, Section 7.2"}),
		each(tls12, "server", plainly, rule{"a warning that nobody knows", afterwards(anAlert(1, 112)), 0, "RFC 5246, Section 7.2"}),
		each(tls13, "client", plainly, rule{"user_canceled that says it is fatal", afterwards(anAlert(2, byte(userCanceled))), 0, "RFC 9846, Section 6.1"}),
		each(tls13, "server", plainly, rule{"user_canceled that says it is fatal", afterwards(anAlert(2, byte(userCanceled))), 0, "RFC 9846, Section 6.1"}),
	))...)
}

func closeRules() []violation {
	return comesTo(isIgnored, sides(func(v version, victim, _ string, cite func(string, string) string) []violation {
		where := cite("RFC 9846, Section 6.1", "RFC 5246, Section 7.2.1")
		end := anAlert(1, byte(closeNotify))
		return each(v, victim, plainly,
			rule{"data behind close_notify", afterwards(end, someData("late")), 0, where},
			rule{"a fatal alert behind close_notify", afterwards(end, anAlert(2, byte(internalError))), 0, where},
			rule{"bytes that are no record behind close_notify", afterwards(end, anyBytes([]byte("GET / HTTP/1.1\r\n\r\n"))), 0, where},
			rule{"close_notify that says it is fatal", afterwards(anAlert(2, byte(closeNotify))), 0, where},
			rule{"close_notify twice", afterwards(end, end), 0, where},
		)
	}))
}

func changeCipherSpecRules() []violation {
	list := sides(func(v version, victim, hello string, cite func(string, string) string) []violation {
		where := cite("RFC 9846, Section 5", "RFC 5246, Section 7.1")
		first := "change_cipher_spec"
		if v == tls13 { // where a peer may send them or not
			first = "Finished"
		}
		list := each(v, victim, plainly,
			rule{"change_cipher_spec with another value", before(first, anyBytes(plain(changeCipherSpec, []byte{2}))), unexpectedMessage, where},
			rule{"change_cipher_spec of two bytes", before(first, anyBytes(plain(changeCipherSpec, []byte{1, 1}))), unexpectedMessage, where},
			rule{"change_cipher_spec without content", before(first, anyBytes(plain(changeCipherSpec, nil))), unexpectedMessage, where},
			rule{"change_cipher_spec after the handshake", afterwards(anyBytes(ccs())), unexpectedMessage, where},
		)
		if v == tls13 {
			list = append(list, each(v, victim, plainly,
				rule{"33 times change_cipher_spec in a row (a limit of ours)", before("Finished", anyBytes(bytes.Repeat(ccs(), 33))), unexpectedMessage, where},
				rule{"change_cipher_spec between the halves of a message", interleaved(hello, anyBytes(ccs())), unexpectedMessage, "RFC 9846, Section 5.1"},
			)...)
		}
		if victim == "server" {
			list = append(list, each(v, victim, plainly,
				rule{"change_cipher_spec before the ClientHello", before("ClientHello", anyBytes(ccs())), unexpectedMessage, where})...)
		}
		return list
	})
	for _, who := range [][2]string{{"client", "Certificate"}, {"server", "ClientKeyExchange"}} {
		list = append(list, each(tls12, who[0], plainly,
			rule{"change_cipher_spec before there are keys", before(who[1], anyBytes(ccs())), unexpectedMessage, "RFC 5246, Section 7.1"},
			rule{"change_cipher_spec twice", before("change_cipher_spec", anyBytes(ccs())), unexpectedMessage, "RFC 5246, Section 7.1"},
			rule{"no change_cipher_spec", sends("change_cipher_spec", func(unit) []unit { return nil }), unexpectedMessage, "RFC 5246, Section 7.4.9"},
			rule{"Finished before change_cipher_spec", swapped("change_cipher_spec", "Finished"), unexpectedMessage, "RFC 5246, Section 7.4.9"},
			rule{"change_cipher_spec in the middle of a message", before("change_cipher_spec", unit{typ: handshake, content: []byte{msgFinished, 0, 0}}), unexpectedMessage, "RFC 5246, Section 7.1"},
			rule{"data between change_cipher_spec and Finished", before("Finished", someData("data")), unexpectedMessage, "RFC 5246, Section 7.4.9"},
		)...)
	}
	return list
}

// "Handshake messages MUST NOT span key changes."
func keyChangeRules() []violation {
	const where = "RFC 9846, Section 5.1"
	begun := []byte{msgFinished, 0, 0}
	return slices.Concat(
		each(tls13, "client", plainly,
			rule{"a message that begins in the record of the ServerHello", merged("ServerHello", begun), unexpectedMessage, where},
			rule{"EncryptedExtensions in the record of the ServerHello", merged("ServerHello", []byte{8, 0, 0, 2, 0, 0}), unexpectedMessage, where},
			rule{"a message that begins in the record of the Finished", merged("Finished", []byte{4, 0, 0}), unexpectedMessage, where},
			rule{"a ticket in the record of the Finished", merged("Finished", newSessionTicket(100, nil)), unexpectedMessage, where},
			rule{"a message that begins in the record of a KeyUpdate", afterwards(aMessage(keyUpdate(0), begun)), unexpectedMessage, where},
			rule{"two KeyUpdates in a record", afterwards(aMessage(keyUpdate(0), keyUpdate(0))), unexpectedMessage, where},
		),
		each(tls13, "server", plainly,
			rule{"a message that begins in the record of the ClientHello", merged("ClientHello", begun), unexpectedMessage, where},
			rule{"a message that begins in the record of the Finished", merged("Finished", begun), unexpectedMessage, where},
			rule{"a message that begins in the record of a KeyUpdate", afterwards(aMessage(keyUpdate(0), begun)), unexpectedMessage, where},
			rule{"two KeyUpdates in a record", afterwards(aMessage(keyUpdate(0), keyUpdate(0))), unexpectedMessage, where},
		),
		each(tls13, "server", hasty,
			rule{"a message that begins in the record of EndOfEarlyData", merged("EndOfEarlyData", begun), unexpectedMessage, where},
			rule{"the Finished in the record of EndOfEarlyData", merged("EndOfEarlyData", message12(msgFinished, make([]byte, 32))), unexpectedMessage, where},
		),
	)
}

// A line is a message of a handshake, which can be said in many wrong ways.
type line struct {
	version version
	victim  string
	scene   scene
	name    string
	rule    string         // that describes it
	missing tls.AlertError // if it is left out; 0: then the victim waits on
	twice   tls.AlertError // if it comes twice; 0: that is not wrong, or something else
	empty   bool           // it has no body
}

var lines = []line{
	{tls13, "client", plainly, "ServerHello", "RFC 9846, Section 4.2.3", unexpectedMessage, unexpectedMessage, false},
	{tls13, "client", retried, "HelloRetryRequest", "RFC 9846, Section 4.2.4", 0, unexpectedMessage, false},
	{tls13, "client", plainly, "EncryptedExtensions", "RFC 9846, Section 4.4.1", unexpectedMessage, unexpectedMessage, false},
	{tls13, "client", mutual, "CertificateRequest", "RFC 9846, Section 4.4.2", 0, unexpectedMessage, false},
	{tls13, "client", plainly, "Certificate", "RFC 9846, Section 4.5.1", unexpectedMessage, unexpectedMessage, false},
	{tls13, "client", plainly, "CertificateVerify", "RFC 9846, Section 4.5.2", unexpectedMessage, unexpectedMessage, false},
	{tls13, "client", plainly, "Finished", "RFC 9846, Section 4.5.3", 0, badRecordMAC, false},
	{tls13, "client", ticketed, "NewSessionTicket", "RFC 9846, Section 4.7.1", 0, 0, false},
	{tls13, "server", plainly, "ClientHello", "RFC 9846, Section 4.2.2", 0, unexpectedMessage, false},
	{tls13, "server", retried, "second ClientHello", "RFC 9846, Section 4.2.2", 0, unexpectedMessage, false},
	{tls13, "server", hasty, "EndOfEarlyData", "RFC 9846, Section 4.6", badRecordMAC, badRecordMAC, true},
	{tls13, "server", mutual, "Certificate", "RFC 9846, Section 4.5.1", unexpectedMessage, unexpectedMessage, false},
	{tls13, "server", mutual, "CertificateVerify", "RFC 9846, Section 4.5.2", unexpectedMessage, unexpectedMessage, false},
	{tls13, "server", plainly, "Finished", "RFC 9846, Section 4.5.3", 0, badRecordMAC, false},

	{tls12, "client", plainly, "ServerHello", "RFC 5246, Section 7.4.1.3", unexpectedMessage, unexpectedMessage, false},
	{tls12, "client", plainly, "Certificate", "RFC 5246, Section 7.4.2", unexpectedMessage, unexpectedMessage, false},
	{tls12, "client", stapled, "CertificateStatus", "RFC 6066, Section 8", 0, unexpectedMessage, false},
	{tls12, "client", plainly, "ServerKeyExchange", "RFC 8422, Section 5.4", unexpectedMessage, unexpectedMessage, false},
	{tls12, "client", mutual, "CertificateRequest", "RFC 5246, Section 7.4.4", 0, unexpectedMessage, false},
	{tls12, "client", plainly, "ServerHelloDone", "RFC 5246, Section 7.4.5", 0, unexpectedMessage, true},
	{tls12, "client", ticketed, "NewSessionTicket", "RFC 5077, Section 3.3", unexpectedMessage, unexpectedMessage, false},
	{tls12, "client", plainly, "Finished", "RFC 5246, Section 7.4.9", 0, unexpectedMessage, false},
	{tls12, "server", plainly, "ClientHello", "RFC 5246, Section 7.4.1.2", 0, unexpectedMessage, false},
	{tls12, "server", mutual, "Certificate", "RFC 5246, Section 7.4.6", unexpectedMessage, unexpectedMessage, false},
	{tls12, "server", plainly, "ClientKeyExchange", "RFC 8422, Section 5.7", unexpectedMessage, unexpectedMessage, false},
	{tls12, "server", mutual, "CertificateVerify", "RFC 5246, Section 7.4.8", unexpectedMessage, unexpectedMessage, false},
	{tls12, "server", plainly, "Finished", "RFC 5246, Section 7.4.9", 0, unexpectedMessage, false},
}

// messageRules breaks every message in the same ways.
func messageRules() (list []violation) {
	for _, l := range lines {
		add := func(what string, b breach, alert tls.AlertError, where string) {
			list = append(list, each(l.version, l.victim, l.scene, rule{what, b, alert, where})...)
		}
		order, alerts := "RFC 9846, Section 4", "RFC 9846, Section 6.2"
		if l.version == tls12 {
			order, alerts = "RFC 5246, Section 7.4", "RFC 5246, Section 7.2.2"
		}
		if l.missing != 0 {
			add("no "+l.name, says(l.name, func([]byte) []byte { return nil }), l.missing, order)
		}
		if l.twice != 0 {
			add(l.name+" twice", sends(l.name, func(u unit) []unit { return []unit{u, u} }), l.twice, order)
		}
		add(l.name+" with a byte behind it", says(l.name, func(m []byte) []byte { return message12(m[0], m[4:], []byte{0}) }), decodeError, l.rule)
		add(l.name+" of more than the limit", says(l.name, func(m []byte) []byte { return []byte{m[0], 0xff, 0xff, 0xff} }), illegalParameter, alerts)
		if !l.empty {
			add(l.name+" without its last byte", says(l.name, func(m []byte) []byte { return message12(m[0], m[4:len(m)-1]) }), decodeError, l.rule)
			add(l.name+" without a body", says(l.name, func(m []byte) []byte { return message12(m[0]) }), decodeError, l.rule)
		}
	}
	return list
}

// orderRules exchanges messages that follow one another.
func orderRules() (list []violation) {
	for _, o := range []struct {
		version       version
		victim        string
		scene         scene
		first, second string
	}{
		{tls13, "client", plainly, "EncryptedExtensions", "Certificate"},
		{tls13, "client", plainly, "Certificate", "CertificateVerify"},
		{tls13, "client", plainly, "CertificateVerify", "Finished"},
		{tls13, "client", mutual, "EncryptedExtensions", "CertificateRequest"},
		{tls13, "client", mutual, "CertificateRequest", "Certificate"},
		{tls13, "client", resumed, "EncryptedExtensions", "Finished"},
		{tls13, "server", mutual, "Certificate", "CertificateVerify"},
		{tls13, "server", mutual, "CertificateVerify", "Finished"},
		{tls12, "client", plainly, "ServerHello", "Certificate"},
		{tls12, "client", plainly, "Certificate", "ServerKeyExchange"},
		{tls12, "client", plainly, "ServerKeyExchange", "ServerHelloDone"},
		{tls12, "client", mutual, "ServerKeyExchange", "CertificateRequest"},
		{tls12, "client", stapled, "Certificate", "CertificateStatus"},
		{tls12, "client", stapled, "CertificateStatus", "ServerKeyExchange"},
		{tls12, "client", ticketed, "NewSessionTicket", "change_cipher_spec"},
		{tls12, "server", mutual, "Certificate", "ClientKeyExchange"},
		{tls12, "server", mutual, "ClientKeyExchange", "CertificateVerify"},
		{tls12, "server", mutual, "CertificateVerify", "change_cipher_spec"},
		{tls12, "server", plainly, "ClientKeyExchange", "change_cipher_spec"},
	} {
		where := "RFC 9846, Section 4"
		if o.version == tls12 {
			where = "RFC 5246, Section 7.3"
		}
		list = append(list, each(o.version, o.victim, o.scene,
			rule{o.second + " before " + o.first, swapped(o.first, o.second), unexpectedMessage, where})...)
	}
	return list
}

// afterHandshakeRules are messages that have no place after the handshake, or
// in the other role.
func afterHandshakeRules() (list []violation) {
	for _, victim := range []string{"client", "server"} {
		for _, m := range []wire.MessageType{
			wire.TypeHelloRequest, wire.TypeClientHello, wire.TypeServerHello, wire.TypeEndOfEarlyData, wire.TypeEncryptedExtensions, wire.TypeCertificate,
			wire.TypeCertificateRequest, wire.TypeCertificateVerify, wire.TypeFinished, wire.TypeMessageHash, 99,
		} {
			where := "RFC 9846, Section 4"
			if m == wire.TypeCertificateRequest {
				where = "RFC 9846, Section 4.7.2"
			}
			list = append(list, each(tls13, victim, plainly,
				rule{m.String() + " after the handshake", afterwards(aMessage(message12(byte(m)))), unexpectedMessage, where})...)
		}
		for _, m := range []wire.MessageType{
			wire.TypeServerHello, wire.TypeNewSessionTicket, wire.TypeCertificate, wire.TypeServerKeyExchange, wire.TypeCertificateRequest, wire.TypeServerHelloDone,
			wire.TypeCertificateVerify, wire.TypeClientKeyExchange, wire.TypeFinished, wire.TypeCertificateStatus, wire.TypeKeyUpdate, 99,
		} {
			list = append(list, each(tls12, victim, plainly,
				rule{m.String() + " after the handshake", afterwards(aMessage(message12(byte(m)))), unexpectedMessage, "RFC 5246, Section 7.4"})...)
		}
	}
	return slices.Concat(list,
		each(tls13, "server", plainly,
			rule{"a ticket of a client", afterwards(aMessage(newSessionTicket(100, nil))), unexpectedMessage, "RFC 9846, Section 4.7.1"},
			rule{"a ServerHello", before("ClientHello", aMessage(message12(msgServerHello))), unexpectedMessage, "RFC 9846, Section 4"},
			rule{"EndOfEarlyData where there was no early data", before("Finished", aMessage(message12(5))), unexpectedMessage, "RFC 9846, Section 4.6"},
			rule{"a Certificate that nobody asked for", before("Finished", aMessage(message12(msgCertificate, []byte{0, 0, 0, 0}))), unexpectedMessage, "RFC 9846, Section 4.5"},
			rule{"a CertificateVerify without a Certificate", before("Finished", aMessage(message12(msgCertificateVerify, []byte{4, 3, 0, 0}))), unexpectedMessage, "RFC 9846, Section 4.5"},
		),
		each(tls13, "client", plainly,
			rule{"a ClientHello", before("ServerHello", aMessage(message12(msgClientHello))), unexpectedMessage, "RFC 9846, Section 4"},
			rule{"a HelloRequest before the ServerHello, by a client that takes TLS 1.2 too", before("ServerHello", aMessage(message12(msgHelloRequest))), unexpectedMessage, "RFC 9846, Section 4"},
			rule{"a HelloRequest", before("EncryptedExtensions", aMessage(message12(msgHelloRequest))), unexpectedMessage, "RFC 9846, Section 4"},
			rule{"a ticket before the Finished", before("Finished", aMessage(newSessionTicket(100, nil))), unexpectedMessage, "RFC 9846, Section 4.7.1"},
			rule{"a ServerKeyExchange in TLS 1.3", before("Certificate", aMessage(message12(msgServerKeyExchange))), unexpectedMessage, "RFC 9846, Section 4"},
			rule{"a CertificateStatus in TLS 1.3", before("CertificateVerify", aMessage(message12(msgCertificateStatus))), unexpectedMessage, "RFC 9846, Section 4"},
			rule{"EndOfEarlyData of a server", before("Finished", aMessage(message12(5))), unexpectedMessage, "RFC 9846, Section 4.6"},
		),
		each(tls13, "client", resumed,
			rule{"a CertificateRequest in a resumption", before("Finished", aMessage(message12(msgCertificateRequest, []byte{0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3}))), unexpectedMessage, "RFC 9846, Section 4.4.2"},
			rule{"a Certificate in a resumption", before("Finished", aMessage(certificate13(nil))), unexpectedMessage, "RFC 9846, Section 4.5.1"},
		),
		each(tls12, "client", plainly,
			rule{"a NewSessionTicket that was not announced", before("change_cipher_spec", aMessage(message12(msgNewSessionTicket, make([]byte, 6)))), unexpectedMessage, "RFC 5077, Section 3.3"},
			rule{"a CertificateStatus that was not announced", before("ServerKeyExchange", aMessage(message12(msgCertificateStatus, []byte{1, 0, 0, 1, 0}))), unexpectedMessage, "RFC 6066, Section 8"},
			rule{"a ClientKeyExchange of a server", before("ServerHelloDone", aMessage(message12(msgClientKeyExchange))), unexpectedMessage, "RFC 5246, Section 7.3"},
			rule{"EncryptedExtensions in TLS 1.2", before("Certificate", aMessage(message12(8, []byte{0, 0}))), unexpectedMessage, "RFC 5246, Section 7.3"},
		),
		each(tls12, "server", plainly,
			rule{"a Certificate that nobody asked for", before("ClientKeyExchange", aMessage(message12(msgCertificate, vector24(nil)))), unexpectedMessage, "RFC 5246, Section 7.4.6"},
			rule{"a CertificateVerify without a Certificate", behind("ClientKeyExchange", aMessage(message12(msgCertificateVerify, []byte{4, 3, 0, 0}))), unexpectedMessage, "RFC 5246, Section 7.4.8"},
			rule{"a HelloRequest of a client", before("ClientKeyExchange", aMessage(message12(msgHelloRequest))), unexpectedMessage, "RFC 5246, Section 7.4.1.1"},
			rule{"a second ClientHello in the handshake", before("ClientKeyExchange", aMessage(message12(msgClientHello))), unexpectedMessage, "RFC 5246, Section 7.4.1.2"},
		),
	)
}

// newSessionTicket makes one of TLS 1.3.
func newSessionTicket(lifetime uint32, ticket []byte, extensions ...byte) []byte {
	if ticket == nil {
		ticket = []byte("a ticket")
	}
	return message12(msgNewSessionTicket, binary.BigEndian.AppendUint32(nil, lifetime), make([]byte, 4), vector8([]byte{1}), vector16(ticket), vector16(extensions))
}

// certificate13 makes a Certificate of TLS 1.3 with one entry for each.
func certificate13(context []byte, entries ...[]byte) []byte {
	return message12(msgCertificate, vector8(context), vector24(slices.Concat(entries...)))
}

func entry(der []byte, extensions ...byte) []byte {
	return append(vector24(der), vector16(extensions)...)
}

// smallDER is not parsed, so that it need not be a certificate.
func smallDER() []byte { return []byte{0x30, 0} }

func leafDER() []byte { return tlstest.Leaf(tlstest.ECDSAP256).Certificate[0] }

// An extension has a body for each message that may carry it.
const (
	extSCT        = 18
	extPSK        = 41
	extEarlyData  = 42
	extCookie     = 44
	extPSKModes   = 45
	extKeyShare   = 51
	extUnassigned = 0x7777
)

// The extensions of a ClientHello that have to be well-formed.
var helloExtensions = []struct {
	version  version
	code     uint16
	name     string
	rule     string
	mayEmpty bool // with an empty body, it is as good or better
}{
	{tls13, extServerName, "server_name", "RFC 6066, Section 3", false},
	{tls13, extStatusRequest, "status_request", "RFC 6066, Section 8", false},
	{tls13, extSupportedGroups, "supported_groups", "RFC 9846, Section 4.3.7", false},
	{tls13, extSignatureAlgs, "signature_algorithms", "RFC 9846, Section 4.3.3", false},
	{tls13, extALPN, "application_layer_protocol_negotiation", "RFC 7301, Section 3.1", false},
	{tls13, extSCT, "signed_certificate_timestamp", "RFC 6962, Section 3.3.1", true},
	{tls13, extRecordSizeLimit, "record_size_limit", "RFC 8449, Section 4", false},
	{tls13, extSupportedVersions, "supported_versions", "RFC 9846, Section 4.3.1", false},
	{tls13, extPSKModes, "psk_key_exchange_modes", "RFC 9846, Section 4.3.9", false},
	{tls13, extKeyShare, "key_share", "RFC 9846, Section 4.3.8", false},
	{tls12, extExtendedMainSecret, "extended_main_secret", "RFC 7627, Section 5.1", true},
	{tls12, extRenegotiationInfo, "renegotiation_info", "RFC 5746, Section 3.2", false},
	{tls12, extPointFormats, "ec_point_formats", "RFC 8422, Section 5.1.2", false},
	{tls12, extSupportedGroups, "supported_groups", "RFC 8422, Section 5.1.1", false},
	{tls12, extSignatureAlgs, "signature_algorithms", "RFC 5246, Section 7.4.1.4.1", false},
}

// extensionRules are rules that all extensions have in common.
func extensionRules() (list []violation) {
	for _, e := range helloExtensions {
		s := protocols
		if e.code == extPSKModes {
			s = ticketed
		}
		of := "the " + e.name + " of a ClientHello "
		list = append(list, each(e.version, "server", s,
			rule{of + "with a byte behind it", says("ClientHello", inExtension(e.code, func(b []byte) []byte { return append(b, 0) })), decodeError, e.rule},
			rule{of + "twice", says("ClientHello", func(m []byte) []byte {
				return withExtensions(m, func(l []extension12) []extension12 {
					i := slices.IndexFunc(l, func(x extension12) bool { return x.code == e.code })
					return slices.Insert(l, i, l[i])
				})
			}), illegalParameter, "RFC 9846, Section 4.3"},
		)...)
		if !e.mayEmpty {
			list = append(list, each(e.version, "server", s,
				rule{of + "without a body", says("ClientHello", inExtension(e.code, func([]byte) []byte { return nil })), decodeError, e.rule},
				rule{of + "without its last byte", says("ClientHello", inExtension(e.code, func(b []byte) []byte { return b[:len(b)-1] })), decodeError, e.rule},
			)...)
		}
	}
	const placement = "RFC 9846, Section 4.3"
	add := func(code uint16, body ...byte) func([]byte) []byte {
		return func(m []byte) []byte { return withExtension(m, code, body) }
	}
	return slices.Concat(list,
		each(tls13, "server", plainly,
			rule{"an extension of a ClientHello that nobody knows, twice", says("ClientHello", func(m []byte) []byte { return add(extUnassigned)(add(extUnassigned)(m)) }), illegalParameter, placement},
			rule{"oid_filters in a ClientHello", says("ClientHello", add(48, 0, 0)), illegalParameter, placement},
			rule{"extensions of a ClientHello that end in the middle of one", says("ClientHello", func(m []byte) []byte {
				return withBlock(m, func(b []byte) []byte { return append(b, 0, 1, 0, 9) })
			}), decodeError, placement},
		),
		each(tls13, "client", plainly,
			rule{"an extension in the ServerHello that nobody asked for", says("ServerHello", add(extUnassigned)), unsupportedExtension, placement},
			rule{"key_share of the ServerHello twice", says("ServerHello", doubled), illegalParameter, placement},
			rule{"server_name in the ServerHello", says("ServerHello", add(extServerName)), illegalParameter, placement},
			rule{"supported_groups in the ServerHello", says("ServerHello", add(extSupportedGroups, 0, 2, 0, 29)), illegalParameter, placement},
			rule{"extended_main_secret in a ServerHello of TLS 1.3", says("ServerHello", add(extExtendedMainSecret)), illegalParameter, placement},
			rule{"cookie in the ServerHello", says("ServerHello", add(extCookie, 0, 1, 0)), illegalParameter, placement},
			rule{"pre_shared_key in the ServerHello, which nobody asked for", says("ServerHello", add(extPSK, 0, 0)), unsupportedExtension, placement},
			rule{"extensions of the ServerHello that end in the middle of one", says("ServerHello", func(m []byte) []byte {
				return withBlock(m, func(b []byte) []byte { return append(b, 0, 51, 0, 9) })
			}), decodeError, placement},
			rule{"an extension in the EncryptedExtensions that nobody asked for", says("EncryptedExtensions", add(extUnassigned)), unsupportedExtension, placement},
			rule{"an extension in the EncryptedExtensions twice", says("EncryptedExtensions", doubled), illegalParameter, placement},
			rule{"key_share in the EncryptedExtensions", says("EncryptedExtensions", add(extKeyShare, 0, 29)), illegalParameter, placement},
			rule{"supported_versions in the EncryptedExtensions", says("EncryptedExtensions", add(extSupportedVersions, 3, 4)), illegalParameter, placement},
			rule{"status_request in the EncryptedExtensions", says("EncryptedExtensions", add(extStatusRequest)), illegalParameter, placement},
			rule{"pre_shared_key in the EncryptedExtensions", says("EncryptedExtensions", add(extPSK, 0, 0)), illegalParameter, placement},
			rule{"renegotiation_info in the EncryptedExtensions", says("EncryptedExtensions", add(extRenegotiationInfo, 0)), illegalParameter, placement},
			rule{"extensions of the EncryptedExtensions that end in the middle of one", says("EncryptedExtensions", func(m []byte) []byte {
				return withBlock(m, func(b []byte) []byte { return append(b, 0, 0, 0, 9) })
			}), decodeError, placement},
		),
		each(tls13, "client", retried,
			rule{"an extension in the HelloRetryRequest that nobody asked for", says("HelloRetryRequest", add(extUnassigned)), unsupportedExtension, placement},
			rule{"pre_shared_key in the HelloRetryRequest", says("HelloRetryRequest", add(extPSK, 0, 0)), illegalParameter, placement},
			rule{"key_share in the HelloRetryRequest twice", says("HelloRetryRequest", doubled), illegalParameter, placement},
		),
		each(tls13, "client", mutual,
			rule{"key_share in the CertificateRequest", says("CertificateRequest", add(extKeyShare, 0, 29)), illegalParameter, placement},
			rule{"signature_algorithms of the CertificateRequest twice", says("CertificateRequest", doubled), illegalParameter, placement},
		),
		each(tls12, "client", plainly,
			rule{"an extension in the ServerHello that nobody asked for", says("ServerHello", add(extUnassigned)), unsupportedExtension, "RFC 5246, Section 7.4.1.4"},
			rule{"an extension in the ServerHello twice", says("ServerHello", func(m []byte) []byte {
				return withExtensions(m, func(l []extension12) []extension12 { return append(l, l[0]) })
			}), illegalParameter, "RFC 9846, Section 4.3"},
			rule{"key_share in a ServerHello of TLS 1.2", says("ServerHello", add(extKeyShare, 0, 29, 0, 0)), illegalParameter, "RFC 9846, Section 4.3"},
			rule{"session_ticket in the ServerHello, which nobody asked for", says("ServerHello", add(extSessionTicket)), unsupportedExtension, "RFC 5246, Section 7.4.1.4"},
		),
	)
}

// blockOf is where the extensions of a message begin, with their length.
func blockOf(m []byte) int {
	switch m[0] {
	case msgClientHello, msgServerHello:
		return extensionsOf(m)
	case msgCertificateRequest:
		return 4 + 1 + int(m[4])
	}
	return 4 // EncryptedExtensions
}

// withBlock changes the extensions of a message as bytes.
func withBlock(m []byte, change func([]byte) []byte) []byte {
	at := blockOf(m)
	return message12(m[0], m[4:at], vector16(change(bytes.Clone(m[at+2:]))))
}

// doubled has all extensions of a message twice.
func doubled(m []byte) []byte {
	return withBlock(m, func(b []byte) []byte { return append(b, b...) })
}

// withExtension appends an extension.
func withExtension(m []byte, code uint16, body []byte) []byte {
	return withBlock(m, func(b []byte) []byte {
		return append(binary.BigEndian.AppendUint16(b, code), vector16(body)...)
	})
}

// inExtension changes the body of an extension of a hello.
func inExtension(code uint16, change func(body []byte) []byte) func(m []byte) []byte {
	return func(m []byte) []byte {
		return withExtensions(m, func(l []extension12) []extension12 {
			for i := range l {
				if l[i].code == code {
					l[i].body = change(bytes.Clone(l[i].body))
				}
			}
			return l
		})
	}
}

func clientHelloRules() []violation {
	hello := func(change func([]byte) []byte) breach { return says("ClientHello", change) }
	at := func(i int, b ...byte) func([]byte) []byte {
		return func(m []byte) []byte { copy(m[i:], b); return m }
	}
	const (
		fields   = "RFC 9846, Section 4.2.2"
		required = "RFC 9846, Section 9.2"
		share    = "RFC 9846, Section 4.3.8"
	)
	key := func(group uint16, n int) []byte {
		return append(binary.BigEndian.AppendUint16(nil, group), vector16(bytes.Repeat([]byte{9}, n))...)
	}
	shares := func(entries ...[]byte) breach {
		return hello(with(extKeyShare, vector16(slices.Concat(entries...))...))
	}
	return slices.Concat(
		each(tls13, "server", plainly,
			rule{"a ClientHello with a compression method", hello(withCompression(1, 0)), illegalParameter, fields},
			rule{"a ClientHello with another compression method than null", hello(withCompression(1)), illegalParameter, fields},
			rule{"a ClientHello without compression methods", hello(withCompression()), decodeError, fields},
			rule{"a ClientHello with a session ID of 33 bytes", hello(withSessionID(make([]byte, 33))), decodeError, fields},
			rule{"a ClientHello without cipher suites", hello(withSuites(func([]byte) []byte { return nil })), decodeError, fields},
			rule{"a ClientHello with half a cipher suite", hello(withSuites(func(b []byte) []byte { return append(b, 0x13) })), decodeError, fields},
			rule{"a ClientHello with suites that nobody has", hello(withSuites(func([]byte) []byte { return []byte{0x13, 0x77} })), handshakeFailure, "RFC 9846, Section 4.2.1"},
			rule{"a ClientHello with suites of TLS 1.2 only", hello(withSuites(func([]byte) []byte { return []byte{0xc0, 0x2b} })), handshakeFailure, "RFC 9846, Section 4.2.1"},
			rule{"a ClientHello with legacy_version 0x0302", hello(at(4, 3, 2)), protocolVersion, fields},
			rule{"a ClientHello with versions that nobody has", hello(with(extSupportedVersions, 2, 0x7f, 0x1c)), protocolVersion, "RFC 9846, Section 4.3.1"},
			rule{"a ClientHello with TLS 1.1 in supported_versions only", hello(with(extSupportedVersions, 2, 3, 2)), protocolVersion, "RFC 9846, Section 4.3.1"},
			rule{"a ClientHello with half a version", hello(with(extSupportedVersions, 3, 3, 4, 3)), decodeError, "RFC 9846, Section 4.3.1"},
			rule{"a ClientHello without supported_groups", hello(without(extSupportedGroups)), missingExtension, required},
			rule{"a ClientHello without key_share", hello(without(extKeyShare)), missingExtension, required},
			rule{"a ClientHello without signature_algorithms", hello(without(extSignatureAlgs)), missingExtension, required},
			rule{"a ClientHello with groups that nobody has", hello(func(m []byte) []byte {
				return with(extSupportedGroups, 0, 2, 0x77, 0x77)(with(extKeyShare, 0, 0)(m))
			}), handshakeFailure, "RFC 9846, Section 4.2.1"},
			rule{"a ClientHello with signature schemes that nobody has", hello(with(extSignatureAlgs, 0, 2, 0x77, 0x77)), handshakeFailure, "RFC 9846, Section 4.3.3"},
			rule{"a ClientHello with signature schemes of SHA-1 only", hello(with(extSignatureAlgs, 0, 4, 2, 1, 2, 3)), handshakeFailure, "RFC 9846, Section 4.3.3"},
			rule{"a ClientHello with PKCS #1 signatures only, for which TLS 1.3 has no use", hello(with(extSignatureAlgs, 0, 2, 4, 1)), handshakeFailure, "RFC 9846, Section 4.3.3"},
			rule{"a share of a group that is not in supported_groups", hello(with(extSupportedGroups, 0, 2, 0, 23)), illegalParameter, share},
			rule{"two shares of one group", shares(key(29, 32), key(29, 32)), illegalParameter, share},
			rule{"a share without a key", shares([]byte{0, 29, 0, 0}), decodeError, share},
			rule{"a share of X25519MLKEM768 that is too short", shares(key(0x11ec, 1215)), illegalParameter, share},
			rule{"a share of X25519MLKEM768 whose ML-KEM key is not reduced", shares(append([]byte{0x11, 0xec}, vector16(bytes.Repeat([]byte{0xff}, 1216))...)), illegalParameter, share},
			rule{"a server name that is none", hello(with(extServerName, 0, 7, 0, 0, 4, 'a', '.', '.', 'b')), illegalParameter, "RFC 6066, Section 3"},
			rule{"a server name without a name", hello(with(extServerName, 0, 3, 0, 0, 0)), decodeError, "RFC 6066, Section 3"},
			rule{"a record_size_limit of 63", hello(with(extRecordSizeLimit, 0, 63)), illegalParameter, "RFC 8449, Section 4"},
			rule{"TLS_FALLBACK_SCSV, and less than both sides have", hello(func(m []byte) []byte {
				return withSuites(func(b []byte) []byte { return append(b, 0x56, 0) })(without(extSupportedVersions)(m))
			}), inappropriateFall, "RFC 7507, Section 3"},
		),
		each(tls13, "server", classical,
			rule{"a share of X25519 that is too short", shares(key(29, 31)), illegalParameter, share},
			rule{"a share of X25519 that is too long", shares(key(29, 33)), illegalParameter, share},
			rule{"a share of X25519 that is of low order", shares(append([]byte{0, 29}, vector16(make([]byte, 32))...)), illegalParameter, "RFC 9846, Section 7.4.2"},
			rule{"a share of P-256 that is not on the curve", shares(append([]byte{0, 23}, vector16(append([]byte{4}, bytes.Repeat([]byte{1}, 64)...))...)), illegalParameter, "RFC 9846, Section 4.3.8.2"},
			rule{"a share of P-256 that is compressed", shares(append([]byte{0, 23}, vector16(append([]byte{2}, bytes.Repeat([]byte{1}, 32)...))...)), illegalParameter, "RFC 9846, Section 4.3.8.2"},
		),
		each(tls13, "server", ticketed,
			rule{"no modes in psk_key_exchange_modes", hello(with(extPSKModes, 0)), decodeError, "RFC 9846, Section 4.3.9"},
		),
		each(tls13, "server", protocols,
			rule{"application protocols that the server has none of", hello(with(extALPN, 0, 3, 2, 'h', '3')), noApplicationProtocol, "RFC 7301, Section 3.2"},
			rule{"an application protocol without a name", hello(with(extALPN, 0, 1, 0)), decodeError, "RFC 7301, Section 3.1"},
			rule{"a list of no application protocols", hello(with(extALPN, 0, 0)), decodeError, "RFC 7301, Section 3.1"},
		),
	)
}

// withCompression replaces the compression methods of a ClientHello.
func withCompression(methods ...byte) func(m []byte) []byte {
	return func(m []byte) []byte {
		at, end := 4+2+32, extensionsOf(m)
		at += 1 + int(m[at])
		at += 2 + int(binary.BigEndian.Uint16(m[at:]))
		return message12(m[0], m[4:at], vector8(methods), m[end:])
	}
}

func secondHelloRules() []violation {
	second := func(change func([]byte) []byte) breach { return says("second ClientHello", change) }
	const where = "RFC 9846, Section 4.2.2"
	x25519 := append([]byte{0, 36, 0, 29}, vector16(bytes.Repeat([]byte{9}, 32))...)
	return slices.Concat(
		each(tls13, "server", retried,
			rule{"a second ClientHello with another random", second(func(m []byte) []byte { m[6] ^= 1; return m }), illegalParameter, where},
			rule{"a second ClientHello with another session ID", second(func(m []byte) []byte { m[39] ^= 1; return m }), illegalParameter, where},
			rule{"a second ClientHello without the session ID", second(withSessionID(nil)), illegalParameter, where},
			rule{"a second ClientHello with a suite more", second(withSuites(func(b []byte) []byte { return append(b, 0x13, 0x77) })), illegalParameter, where},
			rule{"a second ClientHello with other groups", second(with(extSupportedGroups, 0, 2, 0, 24)), illegalParameter, where},
			rule{"a second ClientHello with other signature schemes", second(with(extSignatureAlgs, 0, 2, 4, 3)), illegalParameter, where},
			rule{"a second ClientHello with another name", second(with(extServerName, 0, 6, 0, 0, 3, 'a', '.', 'b')), illegalParameter, where},
			rule{"a second ClientHello without a name", second(without(extServerName)), illegalParameter, where},
			rule{"a second ClientHello with an extension more", second(with(extUnassigned)), illegalParameter, where},
			rule{"a second ClientHello with a share of another group", second(with(extKeyShare, x25519...)), illegalParameter, where},
			rule{"a second ClientHello with no shares", second(with(extKeyShare, 0, 0)), illegalParameter, where},
			rule{"a second ClientHello with a share more than was asked for", second(inExtension(extKeyShare, func(b []byte) []byte {
				return vector16(append(b[2:], x25519[2:]...))
			})), illegalParameter, where},
			rule{"a second ClientHello with a cookie that nobody sent", second(with(extCookie, 0, 1, 1)), illegalParameter, "RFC 9846, Section 4.3.2"},
			rule{"a second ClientHello that offers TLS 1.2 only", second(with(extSupportedVersions, 2, 3, 3)), protocolVersion, "RFC 9846, Section 4.3.1"},
			rule{"the first ClientHello again, in place of the second", breach{message: firstAgain}, illegalParameter, where},
		),
		each(tls13, "server", cookied,
			rule{"a second ClientHello without the cookie", second(without(extCookie)), illegalParameter, "RFC 9846, Section 4.3.2"},
			rule{"a second ClientHello with another cookie", second(inExtension(extCookie, func(b []byte) []byte { b[10] ^= 1; return b })), illegalParameter, "RFC 9846, Section 4.3.2"},
			rule{"a cookie without content", second(with(extCookie, 0, 0)), decodeError, "RFC 9846, Section 4.3.2"},
		),
		each(tls13, "server", hastyRetry(),
			rule{"early_data in the second ClientHello", second(func(m []byte) []byte {
				return withExtensions(m, func(l []extension12) []extension12 { // before pre_shared_key, which is last
					return slices.Insert(l, len(l)-1, extension12{extEarlyData, nil})
				})
			}), illegalParameter, "RFC 9846, Section 4.3.10"},
			rule{"a second ClientHello that withdraws a PSK of the suite's hash", second(without(extPSK)), illegalParameter, where},
			rule{"a second ClientHello with another PSK", second(inExtension(extPSK, func(b []byte) []byte { b[4] ^= 1; return b })), illegalParameter, where},
		),
		each(tls13, "server", resumedByCookie,
			rule{"a second ClientHello that withdraws a PSK of the suite's hash, with the cookie", second(without(extPSK)), illegalParameter, where},
			rule{"a second ClientHello with another PSK, with the cookie", second(inExtension(extPSK, func(b []byte) []byte { b[4] ^= 1; return b })), illegalParameter, where},
		),
	)
}

// firstAgain puts the first ClientHello in the place of the second.
func firstAgain(x *attack, name string, m []byte) []byte {
	switch name {
	case "ClientHello":
		x.first = m
	case "second ClientHello":
		x.broken = true
		return x.first
	}
	return m
}

// hastyRetry is a resumption with early data and a HelloRetryRequest.
func hastyRetry() scene {
	return scene{name: "a resumption with early data and HelloRetryRequest", resumed: true, early: true, edit: func(c *baretls.ClientConfig, s *baretls.ServerConfig) {
		s.Groups = []tls.CurveID{tls.CurveP384}
	}}
}

func serverHelloRules() []violation {
	hello := func(change func([]byte) []byte) breach { return says("ServerHello", change) }
	set := func(i int, b ...byte) breach {
		return hello(func(m []byte) []byte { copy(m[i:], b); return m })
	}
	suite := func(b ...byte) breach {
		return hello(inServerHello(func(s []byte) { copy(s, b) }))
	}
	const (
		fields   = "RFC 9846, Section 4.2.3"
		versions = "RFC 9846, Section 4.3.1"
		share    = "RFC 9846, Section 4.3.8"
	)
	return slices.Concat(
		each(tls13, "client", plainly,
			rule{"a ServerHello with legacy_version 0x0302", set(4, 3, 2), protocolVersion, fields},
			rule{"a ServerHello with legacy_version 0x0304", set(4, 3, 4), protocolVersion, fields},
			rule{"a ServerHello with another session ID", set(39, 1, 2, 3, 4), illegalParameter, fields},
			rule{"a ServerHello without the session ID", hello(withSessionID(nil)), illegalParameter, fields},
			rule{"a ServerHello with a suite that nobody knows", suite(0x13, 0x77), illegalParameter, fields},
			rule{"a ServerHello with a suite of TLS 1.2", suite(0xc0, 0x2b), illegalParameter, fields},
			rule{"a ServerHello with TLS_FALLBACK_SCSV as its suite", suite(0x56, 0), illegalParameter, fields},
			rule{"a ServerHello with compression", suite(0x13, 1, 1), illegalParameter, fields},
			rule{"supported_versions of TLS 1.2 in the ServerHello", hello(with(extSupportedVersions, 3, 3)), illegalParameter, versions},
			rule{"supported_versions of TLS 1.1 in the ServerHello", hello(with(extSupportedVersions, 3, 2)), illegalParameter, versions},
			rule{"supported_versions of a version that nobody has", hello(with(extSupportedVersions, 3, 5)), illegalParameter, versions},
			rule{"supported_versions of a draft", hello(with(extSupportedVersions, 0x7f, 28)), illegalParameter, versions},
			rule{"supported_versions of three bytes in the ServerHello", hello(with(extSupportedVersions, 3, 4, 0)), decodeError, versions},
			rule{"a ServerHello without supported_versions, with a suite of TLS 1.3", hello(without(extSupportedVersions)), illegalParameter, versions},
			rule{"a ServerHello without key_share", hello(without(extKeyShare)), missingExtension, "RFC 9846, Section 9.2"},
			rule{"a share of a group that was not offered", hello(with(extKeyShare, append([]byte{0x77, 0x77}, vector16(make([]byte, 32))...)...)), illegalParameter, share},
			rule{"a share of a group that was offered without a share", hello(with(extKeyShare, append([]byte{0, 24}, vector16(make([]byte, 97))...)...)), illegalParameter, share},
			rule{"a share of the server without a key", hello(with(extKeyShare, 0, 29, 0, 0)), decodeError, share},
			rule{"a share of X25519 that is too short", hello(with(extKeyShare, append([]byte{0, 29}, vector16(make([]byte, 31))...)...)), illegalParameter, share},
			rule{"a share of X25519 that is of low order", hello(with(extKeyShare, append([]byte{0, 29}, vector16(make([]byte, 32))...)...)), illegalParameter, "RFC 9846, Section 7.4.2"},
			rule{"a share of X25519MLKEM768 that is too short", hello(with(extKeyShare, append([]byte{0x11, 0xec}, vector16(make([]byte, 1119))...)...)), illegalParameter, share},
			rule{"the share of a HelloRetryRequest in the ServerHello", hello(with(extKeyShare, 0, 29)), decodeError, share},
			rule{"a ServerHello of a random that asks for another hello", hello(func(m []byte) []byte { copy(m[6:], wire.RetryRandom[:]); return m }), decodeError, "RFC 9846, Section 4.2.4"},
		),
		each(tls13, "client", only13,
			rule{"a ServerHello of TLS 1.2 to a client of TLS 1.3 only", hello(func(m []byte) []byte {
				return withExtensions(m, func([]extension12) []extension12 { return nil })
			}), protocolVersion, fields},
		),
		each(tls12, "client", older,
			rule{"the sentinel of a downgrade to TLS 1.2", set(30, []byte("DOWNGRD\x01")...), illegalParameter, fields},
			rule{"the sentinel of a downgrade to TLS 1.1", set(30, []byte("DOWNGRD\x00")...), illegalParameter, fields},
			rule{"a ServerHello of TLS 1.1 to a client of TLS 1.2 and 1.3", set(4, 3, 2), protocolVersion, "RFC 8996, Section 5"},
		),
	)
}

func retryRules() []violation {
	retry := func(change func([]byte) []byte) breach { return says("HelloRetryRequest", change) }
	const where = "RFC 9846, Section 4.2.4"
	return slices.Concat(
		each(tls13, "client", retried,
			rule{"a HelloRetryRequest for a group that was not offered", retry(with(extKeyShare, 0x77, 0x77)), illegalParameter, "RFC 9846, Section 4.3.8"},
			rule{"a HelloRetryRequest for a group of which there is a share", retry(with(extKeyShare, 0, 29)), illegalParameter, "RFC 9846, Section 4.3.8"},
			rule{"a HelloRetryRequest that changes nothing", retry(without(extKeyShare)), illegalParameter, where},
			rule{"a HelloRetryRequest with an empty cookie", retry(with(extCookie, 0, 0)), decodeError, "RFC 9846, Section 4.3.2"},
			rule{"a HelloRetryRequest with a share", retry(with(extKeyShare, append([]byte{0, 24}, vector16(make([]byte, 97))...)...)), decodeError, "RFC 9846, Section 4.3.8"},
			rule{"a HelloRetryRequest without extensions", retry(without(extSupportedVersions, extKeyShare)), missingExtension, where},
			rule{"a HelloRetryRequest without supported_versions, as of TLS 1.2, but with key_share", retry(without(extSupportedVersions)), illegalParameter, "RFC 9846, Section 4.3"},
			rule{"a HelloRetryRequest of TLS 1.2", retry(with(extSupportedVersions, 3, 3)), illegalParameter, "RFC 9846, Section 4.3.1"},
			rule{"a HelloRetryRequest with another session ID", retry(func(m []byte) []byte { m[39] ^= 1; return m }), illegalParameter, where},
			rule{"a HelloRetryRequest with a suite that was not offered", retry(inServerHello(func(s []byte) { s[1] = 0x77 })), illegalParameter, where},
			rule{"a HelloRetryRequest with compression", retry(inServerHello(func(s []byte) { s[2] = 1 })), illegalParameter, where},
			rule{"a HelloRetryRequest with legacy_version 0x0302", retry(func(m []byte) []byte { m[5] = 2; return m }), protocolVersion, where},
			rule{"a second HelloRetryRequest", says("ServerHello", func(m []byte) []byte {
				copy(m[6:], wire.RetryRandom[:])
				return with(extKeyShare, 0, 23)(m)
			}), unexpectedMessage, where},
			rule{"a ServerHello with another suite than the HelloRetryRequest", says("ServerHello", inServerHello(func(s []byte) { s[1] = 2 })), illegalParameter, where},
			rule{"a ServerHello with a share of another group than was retried for", says("ServerHello", with(extKeyShare, append([]byte{0, 29}, vector16(bytes.Repeat([]byte{9}, 32))...)...)), illegalParameter, "RFC 9846, Section 4.3.8"},
			rule{"a ServerHello of TLS 1.2 behind a HelloRetryRequest", says("ServerHello", without(extSupportedVersions, extKeyShare)), illegalParameter, where},
		),
	)
}

func encryptedExtensionsRules() []violation {
	ee := func(code uint16, body ...byte) breach { return says("EncryptedExtensions", with4(code, body)) }
	const where = "RFC 9846, Section 4.4.1"
	return slices.Concat(
		each(tls13, "client", plainly,
			rule{"an application protocol that was not asked for", ee(extALPN, 0, 3, 2, 'h', '2'), unsupportedExtension, "RFC 7301, Section 3.1"},
			rule{"early_data that was not offered", ee(extEarlyData), unsupportedExtension, "RFC 9846, Section 4.3.10"},
			rule{"server_name with a name", ee(extServerName, 0), decodeError, "RFC 6066, Section 3"},
			rule{"a record_size_limit of 63", ee(extRecordSizeLimit, 0, 63), illegalParameter, "RFC 8449, Section 4"},
			rule{"a record_size_limit of three bytes", ee(extRecordSizeLimit, 0, 64, 0), decodeError, "RFC 8449, Section 4"},
			rule{"supported_groups of no group", ee(extSupportedGroups, 0, 0), decodeError, "RFC 9846, Section 4.3.7"},
		),
		each(tls13, "client", protocols,
			rule{"an application protocol that was not offered", ee(extALPN, 0, 3, 2, 'h', '3'), illegalParameter, "RFC 7301, Section 3.1"},
			rule{"two application protocols", ee(extALPN, 0, 6, 2, 'h', '2', 2, 'h', '2'), decodeError, "RFC 7301, Section 3.1"},
			rule{"no application protocol", ee(extALPN, 0, 0), decodeError, "RFC 7301, Section 3.1"},
			rule{"an application protocol without a name", ee(extALPN, 0, 1, 0), decodeError, "RFC 7301, Section 3.1"},
		),
		each(tls13, "client", plainly,
			rule{"extensions in the clear, behind the ServerHello", sends("EncryptedExtensions", func(u unit) []unit { u.keys = 0; return []unit{u} }), unexpectedMessage, where},
		),
	)
}

// with4 is with for any message that withBlock knows.
func with4(code uint16, body []byte) func(m []byte) []byte {
	return func(m []byte) []byte {
		return withBlock(m, func(block []byte) (out []byte) {
			for c, raw := range wire.RawExtensions(block) {
				if c != code {
					out = append(out, raw...)
				}
			}
			return append(binary.BigEndian.AppendUint16(out, code), vector16(body)...)
		})
	}
}

func certificateRequestRules() []violation {
	request := func(body ...byte) breach {
		return says("CertificateRequest", func([]byte) []byte { return message12(msgCertificateRequest, body) })
	}
	schemes := []byte{0, 13, 0, 4, 0, 2, 4, 3}
	return slices.Concat(
		each(tls13, "client", mutual,
			rule{"a CertificateRequest with a context", request(append([]byte{1, 7, 0, 8}, schemes...)...), illegalParameter, "RFC 9846, Section 4.4.2"},
			rule{"a CertificateRequest without signature_algorithms", request(0, 0, 0), missingExtension, "RFC 9846, Section 4.4.2"},
			rule{"a CertificateRequest with no signature schemes", request(0, 0, 6, 0, 13, 0, 2, 0, 0), decodeError, "RFC 9846, Section 4.3.3"},
			rule{"a CertificateRequest with an empty authority", request(append([]byte{0, 0, 16, 0, 47, 0, 4, 0, 2, 0, 0}, schemes...)...), decodeError, "RFC 9846, Section 4.3.4"},
		),
		each(tls12, "client", mutual,
			rule{"a CertificateRequest without signature schemes", request(1, 64, 0, 0, 0, 0), decodeError, "RFC 5246, Section 7.4.4"},
			rule{"a CertificateRequest with half a signature scheme", request(1, 64, 0, 1, 4, 0, 0), decodeError, "RFC 5246, Section 7.4.4"},
			rule{"a CertificateRequest without certificate types", request(0, 0, 2, 4, 3, 0, 0), decodeError, "RFC 5246, Section 7.4.4"},
		),
	)
}

func certificateRules() []violation {
	cert := func(m []byte) breach { return says("Certificate", func([]byte) []byte { return m }) }
	const (
		message = "RFC 9846, Section 4.5.1"
		judged  = "RFC 9846, Section 6.2"
	)
	expired := tlstest.Options{NotAfter: tlstest.NotBefore.AddDate(0, 1, 0)}
	list := slices.Concat(
		each(tls13, "client", plainly,
			rule{"a Certificate with a context", cert(certificate13([]byte{1}, entry(leafDER()))), illegalParameter, message},
			rule{"a Certificate without certificates", cert(certificate13(nil)), decodeError, "RFC 9846, Section 4.5.1.3"},
			rule{"an empty certificate", cert(certificate13(nil, entry(nil))), decodeError, message},
			rule{"a certificate that is none", cert(certificate13(nil, entry([]byte("not a certificate")))), badCertificate, judged},
			rule{"a certificate with a byte behind it", cert(certificate13(nil, entry(append(bytes.Clone(leafDER()), 0)))), badCertificate, judged},
			rule{"an extension of a certificate that nobody asked for", cert(certificate13(nil, entry(leafDER(), 0x77, 0x77, 0, 0))), unsupportedExtension, message},
			rule{"an extension of a certificate that stands elsewhere", cert(certificate13(nil, entry(leafDER(), 0, 51, 0, 0))), illegalParameter, "RFC 9846, Section 4.3"},
			rule{"an extension of a certificate twice", cert(certificate13(nil, entry(leafDER(), 0, 5, 0, 5, 1, 0, 0, 1, 0, 0, 5, 0, 5, 1, 0, 0, 1, 0))), illegalParameter, "RFC 9846, Section 4.3"},
			rule{"an OCSP response without content", cert(certificate13(nil, entry(leafDER(), 0, 5, 0, 4, 1, 0, 0, 0))), decodeError, "RFC 9846, Section 4.5.1.1"},
			rule{"an OCSP response of another type", cert(certificate13(nil, entry(leafDER(), 0, 5, 0, 5, 2, 0, 0, 1, 0))), decodeError, "RFC 9846, Section 4.5.1.1"},
			rule{"101 certificates (a limit of ours)", cert(certificate13(nil, slices.Repeat([][]byte{entry(smallDER())}, 101)...)), certificateUnknown, judged},
			rule{"33 SCTs (a limit of ours)", cert(certificate13(nil, entry(leafDER(), append([]byte{0, 18}, vector16(vector16(bytes.Repeat([]byte{0, 1, 1}, 33)))...)...))), illegalParameter, judged},
			rule{"a list of no SCTs", cert(certificate13(nil, entry(leafDER(), 0, 18, 0, 2, 0, 0))), decodeError, "RFC 9846, Section 4.5.1.1"},
			rule{"the Certificate of TLS 1.2", says("Certificate", func([]byte) []byte { return certificate12(leafDER()) }), decodeError, message},
		),
		each(tls13, "server", mutual,
			rule{"101 certificates (a limit of ours)", cert(certificate13(nil, slices.Repeat([][]byte{entry(smallDER())}, 101)...)), certificateUnknown, judged},
			rule{"a Certificate with a context that was not asked for", cert(certificate13([]byte{1}, entry(leafDER()))), illegalParameter, message},
			rule{"a certificate that is none", cert(certificate13(nil, entry([]byte("not a certificate")))), badCertificate, judged},
			rule{"an extension of a certificate that nobody asked for", cert(certificate13(nil, entry(leafDER(), 0x77, 0x77, 0, 0))), unsupportedExtension, message},
		),
		each(tls13, "server", mutual.clientShowsNone(), rule{"no certificate, though one is required", byItself(), certificateRequired, "RFC 9846, Section 4.5.1.3"}),
		each(tls12, "server", mutual.clientShowsNone(), rule{"no certificate, though one is required", byItself(), handshakeFailure, "RFC 5246, Section 7.4.6"}),
		each(tls12, "client", plainly,
			rule{"a Certificate without certificates", cert(certificate12()), decodeError, "RFC 5246, Section 7.4.2"},
			rule{"an empty certificate", cert(certificate12(nil)), decodeError, "RFC 5246, Section 7.4.2"},
			rule{"101 certificates (a limit of ours)", cert(certificate12(slices.Repeat([][]byte{smallDER()}, 101)...)), certificateUnknown, "RFC 5246, Section 7.2.2"},
			rule{"a certificate that is none", cert(certificate12([]byte("not a certificate"))), badCertificate, "RFC 5246, Section 7.2.2"},
			rule{"a certificate of RSA with a suite for ECDSA", cert(certificate12(tlstest.Leaf(tlstest.RSA2048).Certificate...)), illegalParameter, "RFC 5246, Section 7.4.2"},
		),
		each(tls12, "server", mutual,
			rule{"a certificate that is none", cert(certificate12([]byte("not a certificate"))), badCertificate, "RFC 5246, Section 7.2.2"},
			rule{"an empty certificate", cert(certificate12(nil)), decodeError, "RFC 5246, Section 7.4.6"},
			rule{"101 certificates (a limit of ours)", cert(certificate12(slices.Repeat([][]byte{smallDER()}, 101)...)), certificateUnknown, "RFC 5246, Section 7.2.2"},
		),
	)
	for _, v := range []version{tls13, tls12} {
		where := judged
		if v == tls12 {
			where = "RFC 5246, Section 7.2.2"
		}
		list = append(list, slices.Concat(
			each(v, "client", plainly.serverShows("a stranger's certificate", tlstest.Options{UnknownCA: true}), rule{"a certificate of an authority that nobody knows", byItself(), unknownCA, where}),
			each(v, "client", plainly.serverShows("an old certificate", expired), rule{"a certificate that has expired", byItself(), certificateExpired, where}),
			each(v, "client", plainly.serverShows("a certificate to come", tlstest.Options{NotBefore: tlstest.NotAfter.AddDate(0, -1, 0)}), rule{"a certificate that is not valid yet", byItself(), certificateExpired, where}),
			each(v, "client", plainly.serverShows("another's certificate", tlstest.Options{Names: []string{"example.org"}}), rule{"a certificate for another name", byItself(), certificateUnknown, where}),
			each(v, "client", plainly.serverShows("a client's certificate", tlstest.Options{Client: true, Names: []string{"example.com"}}), rule{"a certificate that is for clients", byItself(), unsupportedCertificate, where}),
			each(v, "server", mutual.clientShows("a stranger's certificate", tlstest.Options{Client: true, UnknownCA: true}), rule{"a certificate of an authority that nobody knows", byItself(), unknownCA, where}),
			each(v, "server", mutual.clientShows("an old certificate", tlstest.Options{Client: true, NotAfter: expired.NotAfter}), rule{"a certificate that has expired", byItself(), certificateExpired, where}),
			each(v, "server", mutual.clientShows("a server's certificate", tlstest.Options{}), rule{"a certificate that is for servers", byItself(), unsupportedCertificate, where}),
		)...)
	}
	return list
}

func certificateVerifyRules() (list []violation) {
	scheme := func(s tls.SignatureScheme) func([]byte) []byte {
		return func(m []byte) []byte { binary.BigEndian.PutUint16(m[4:], uint16(s)); return m }
	}
	signature := func(change func([]byte) []byte) func([]byte) []byte {
		return func(m []byte) []byte { return message12(m[0], m[4:6], vector16(change(m[8:]))) }
	}
	for _, who := range []struct {
		version version
		victim  string
		scene   scene
		rule    string
	}{
		{tls13, "client", plainly, "RFC 9846, Section 4.5.2"},
		{tls13, "server", mutual, "RFC 9846, Section 4.5.2"},
		{tls12, "server", mutual, "RFC 5246, Section 7.4.8"},
	} {
		add := func(what string, change func([]byte) []byte, alert tls.AlertError) {
			list = append(list, each(who.version, who.victim, who.scene, rule{what, says("CertificateVerify", change), alert, who.rule})...)
		}
		add("a signature with a bit flipped", signature(func(s []byte) []byte { s[len(s)-1] ^= 1; return s }), decryptError)
		add("a signature with a byte behind it", signature(func(s []byte) []byte { return append(s, 0) }), decryptError)
		add("no signature", signature(func([]byte) []byte { return nil }), decryptError)
		add("a signature of a scheme that nobody knows", scheme(0x7777), illegalParameter)
		add("a signature with SHA-1", scheme(tls.ECDSAWithSHA1), illegalParameter)
		add("a signature of a scheme for RSA, with a key of ECDSA", scheme(tls.PSSWithSHA256), illegalParameter)
		add("a signature of PKCS #1, with a key of ECDSA", scheme(tls.PKCS1WithSHA256), illegalParameter)
		add("a signature of Ed25519, with a key of ECDSA", scheme(tls.Ed25519), illegalParameter)
		if who.version == tls13 {
			add("a signature of a scheme for another curve", scheme(tls.ECDSAWithP384AndSHA384), illegalParameter)
		} else {
			add("a signature of another hash than it says", scheme(tls.ECDSAWithP384AndSHA384), decryptError)
		}
	}
	another := saysOf("CertificateVerify", func(x *attack, m []byte) []byte {
		content := slices.Concat(bytes.Repeat([]byte{' '}, 64), []byte("TLS 1.3, server CertificateVerify\x00"), make([]byte, 32))
		signature := sign12(x.t, tlstest.Key(tlstest.ECDSAP256), tls.ECDSAWithP256AndSHA256, content)
		return message12(m[0], []byte{4, 3}, vector16(signature))
	})
	return slices.Concat(list,
		each(tls13, "client", plainly, rule{"a signature over another transcript", another, decryptError, "RFC 9846, Section 4.5.2"}),
		each(tls13, "server", mutual, rule{"a server's signature in a client's place", another, decryptError, "RFC 9846, Section 4.5.2"}),
		each(tls13, "client", few, rule{"a signature of a scheme that was not offered", says("CertificateVerify", scheme(tls.ECDSAWithP384AndSHA384)), illegalParameter, "RFC 9846, Section 4.5.2"}),
		each(tls13, "client", plainly.serverShows("a certificate of RSA", tlstest.Options{Kind: tlstest.RSA2048}),
			rule{"a signature of PKCS #1 in TLS 1.3", says("CertificateVerify", scheme(tls.PKCS1WithSHA256)), illegalParameter, "RFC 9846, Section 4.3.3"},
			rule{"a signature of RSASSA-PSS for another kind of key", says("CertificateVerify", scheme(0x0809)), illegalParameter, "RFC 9846, Section 4.3.3"},
		),
	)
}

func finishedRules() (list []violation) {
	for _, who := range []struct {
		version version
		victim  string
	}{{tls13, "client"}, {tls13, "server"}, {tls12, "client"}, {tls12, "server"}} {
		where := "RFC 9846, Section 4.5.3"
		if who.version == tls12 {
			where = "RFC 5246, Section 7.4.9"
		}
		last := says("Finished", func(m []byte) []byte { m[len(m)-1] ^= 0x80; return m })
		list = append(list, each(who.version, who.victim, plainly,
			rule{"a Finished with its first bit flipped", says("Finished", func(m []byte) []byte { m[4] ^= 1; return m }), decryptError, where},
			rule{"a Finished with its last bit flipped", last, decryptError, where},
			rule{"a Finished of zeros", says("Finished", func(m []byte) []byte { clear(m[4:]); return m }), decryptError, where},
		)...)
	}
	tamper := func(name string, i int) breach { // on its way, with no change in the transcript
		return sends(name, func(u unit) []unit {
			u.content = bytes.Clone(u.content)
			u.content[i] ^= 1
			return []unit{u}
		})
	}
	return slices.Concat(list,
		each(tls13, "client", resumed, rule{"a Finished with a bit flipped, in a resumption", says("Finished", func(m []byte) []byte { m[9] ^= 1; return m }), decryptError, "RFC 9846, Section 4.5.3"}),
		each(tls12, "client", plainly,
			rule{"a server's random that is another than was sent", tamper("ServerHello", 10), decryptError, "RFC 8422, Section 5.4"}),
		each(tls13, "client", stapled,
			rule{"an OCSP response that is another than was signed for", tamper("Certificate", 11+len(leafDER())+2+4+4), decryptError, "RFC 9846, Section 4.5.2"}),
	)
}

func ticketRules() []violation {
	ticket := func(m []byte) breach { return says("NewSessionTicket", func([]byte) []byte { return m }) }
	const where = "RFC 9846, Section 4.7.1"
	return slices.Concat(
		each(tls13, "client", ticketed,
			rule{"a ticket for more than seven days", ticket(newSessionTicket(604801, nil)), illegalParameter, where},
			rule{"an empty ticket", ticket(newSessionTicket(100, []byte{})), decodeError, where},
			rule{"early_data of a ticket without a size", ticket(newSessionTicket(100, nil, 0, 42, 0, 0)), decodeError, "RFC 9846, Section 4.3.10"},
			rule{"early_data of a ticket with a byte behind it", ticket(newSessionTicket(100, nil, 0, 42, 0, 5, 0, 0, 0, 1, 0)), decodeError, "RFC 9846, Section 4.3.10"},
			rule{"an extension of a ticket twice", ticket(newSessionTicket(100, nil, 0, 42, 0, 4, 0, 0, 0, 1, 0, 42, 0, 4, 0, 0, 0, 1)), illegalParameter, "RFC 9846, Section 4.3"},
			rule{"key_share in a ticket", ticket(newSessionTicket(100, nil, 0, 51, 0, 0)), illegalParameter, "RFC 9846, Section 4.3"},
			rule{"33 tickets without data between them (a limit of ours)", afterwards(slices.Repeat([]unit{aMessage(newSessionTicket(100, nil))}, 33)...), unexpectedMessage, where},
		),
		comesTo(isIgnored, each(tls13, "client", ticketed,
			rule{"an extension of a ticket that nobody knows", ticket(newSessionTicket(100, nil, 0x77, 0x77, 0, 0)), 0, where},
			rule{"a ticket for no time at all", ticket(newSessionTicket(0, nil)), 0, where},
		)),
		each(tls12, "client", ticketed,
			rule{"a ticket with a length that is too long", ticket(message12(msgNewSessionTicket, make([]byte, 4), []byte{0, 9, 1})), decodeError, "RFC 5077, Section 3.3"},
			rule{"a ticket without a length", ticket(message12(msgNewSessionTicket, make([]byte, 4))), decodeError, "RFC 5077, Section 3.3"},
		),
	)
}

func keyUpdateRules() (list []violation) {
	const where = "RFC 9846, Section 4.7.3"
	for _, victim := range []string{"client", "server"} {
		list = append(list, each(tls13, victim, plainly,
			rule{"a KeyUpdate with the value 2", afterwards(aMessage(keyUpdate(2))), illegalParameter, where},
			rule{"a KeyUpdate with the value 255", afterwards(aMessage(keyUpdate(255))), illegalParameter, where},
			rule{"a KeyUpdate without a body", afterwards(aMessage(message12(24))), decodeError, where},
			rule{"a KeyUpdate of two bytes", afterwards(aMessage(message12(24, []byte{0, 0}))), decodeError, where},
			rule{"a KeyUpdate before the Finished", before("Finished", aMessage(keyUpdate(0))), unexpectedMessage, where},
			rule{"data under the keys of before a KeyUpdate", afterwards(aMessage(keyUpdate(0)), someData("data")), badRecordMAC, where},
			rule{"33 KeyUpdates without data between them (a limit of ours)", floodOfKeyUpdates(33), unexpectedMessage, where},
			rule{"data between the halves of a KeyUpdate", afterwards(aMessage(keyUpdate(0)[:3]), someData("data"), aMessage([]byte{0})), unexpectedMessage, "RFC 9846, Section 5.1"},
			rule{"a KeyUpdate that never ends, and close_notify", afterwards(aMessage(keyUpdate(0)[:4]), anAlert(1, 0)), unexpectedMessage, "RFC 9846, Section 5.1"},
		)...)
		list = append(list, comesTo(isIgnored, each(tls13, victim, plainly,
			rule{"a KeyUpdate in two records, which is right", afterwards(aMessage(keyUpdate(0)[:3]), aMessage(keyUpdate(0)[3:])), 0, "RFC 9846, Section 5.1"},
		))...)
	}
	return list
}

// floodOfKeyUpdates sends n of them, each under the keys of the last.
func floodOfKeyUpdates(n int) breach {
	return afterwards(unit{raw: func(f *forger) (flight []byte) {
		for range n {
			flight = append(flight, f.seal(handshake, keyUpdate(0), 0)...)
			f.update()
		}
		return flight
	}})
}

func earlyDataRules() []violation {
	const where = "RFC 9846, Section 4.3.10"
	early := func(units ...unit) breach { return before("EndOfEarlyData", units...) }
	return slices.Concat(
		each(tls13, "server", hasty,
			rule{"more early data than was allowed", early(someData(string(make([]byte, 10000)))), unexpectedMessage, where},
			rule{"early data with a bit flipped", early(aSealed(someData("data"), func(r []byte) []byte { r[9] ^= 1; return r })), badRecordMAC, where},
			rule{"early data under the keys of the handshake", early(unit{keys: 2, typ: applicationData, content: []byte("data")}), badRecordMAC, where},
			rule{"early data behind EndOfEarlyData", behind("EndOfEarlyData", someData("data")), badRecordMAC, "RFC 9846, Section 4.6"},
			rule{"another message than EndOfEarlyData under the early keys", early(aMessage(keyUpdate(0))), unexpectedMessage, "RFC 9846, Section 4.6"},
			rule{"the Finished under the early keys", sends("EndOfEarlyData", func(u unit) []unit {
				return []unit{{keys: u.keys, typ: handshake, content: message12(msgFinished, make([]byte, 32))}}
			}), unexpectedMessage, "RFC 9846, Section 4.6"},
			rule{"EndOfEarlyData under the keys of the handshake", sends("EndOfEarlyData", func(u unit) []unit { u.keys = 2; return []unit{u} }), badRecordMAC, "RFC 9846, Section 4.6"},
			rule{"a handshake message in the clear among early data", early(anyBytes(plain(handshake, message12(5)))), unexpectedMessage, "RFC 9846, Section 5.2"},
		),
		each(tls13, "server", hastyRetry(),
			rule{"early data behind the second ClientHello", behind("second ClientHello", unit{raw: func(*forger) []byte { return plain(applicationData, make([]byte, 100)) }}), badRecordMAC, where},
		),
		each(tls13, "client", resumed,
			rule{"early_data accepted that was not offered", says("EncryptedExtensions", with4(extEarlyData, nil)), unsupportedExtension, where},
		),
	)
}

func pskRules() []violation {
	hello := func(change func(h []byte) []byte) breach { return says("ClientHello", change) }
	const where = "RFC 9846, Section 4.3.11"
	identity := func(b []byte) []byte { return b[:2+int(binary.BigEndian.Uint16(b))] } // of pre_shared_key: the identities
	binders := func(b []byte) []byte { return b[len(identity(b)):] }
	psk := func(change func(b []byte) []byte) breach { return hello(inExtension(extPSK, change)) }
	return slices.Concat(
		each(tls13, "server", resumed,
			rule{"a binder with a bit flipped", psk(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), decryptError, "RFC 9846, Section 4.3.11.2"},
			rule{"a ClientHello that the binder is not for", hello(func(m []byte) []byte { m[6] ^= 1; return m }), decryptError, "RFC 9846, Section 4.3.11.2"},
			rule{"a binder that is too short", psk(func(b []byte) []byte {
				return append(bytes.Clone(identity(b)), append([]byte{0, 32, 31}, make([]byte, 31)...)...)
			}), decodeError, where},
			rule{"a binder more than identities", psk(func(b []byte) []byte {
				return slices.Concat(identity(b), vector16(slices.Repeat(binders(b)[2:], 2)))
			}), illegalParameter, where},
			rule{"no binders", psk(func(b []byte) []byte { return append(bytes.Clone(identity(b)), 0, 0) }), decodeError, where},
			rule{"no identities", psk(func(b []byte) []byte { return append([]byte{0, 0}, binders(b)...) }), decodeError, where},
			rule{"an identity without content", psk(func(b []byte) []byte { return append([]byte{0, 6, 0, 0, 0, 0, 0, 0}, binders(b)...) }), decodeError, where},
			rule{"pre_shared_key that is not the last extension", hello(func(m []byte) []byte { return withExtension(m, extUnassigned, nil) }), illegalParameter, where},
			rule{"pre_shared_key without psk_key_exchange_modes", hello(without(extPSKModes)), missingExtension, "RFC 9846, Section 4.3.9"},
		),
		each(tls13, "client", resumed,
			rule{"a PSK that was not offered", says("ServerHello", with(extPSK, 0, 1)), illegalParameter, where},
			rule{"a PSK with a suite of another hash", says("ServerHello", inServerHello(func(s []byte) { s[1] = 2 })), illegalParameter, where},
			rule{"a PSK without a share", says("ServerHello", without(extKeyShare)), illegalParameter, where},
			rule{"a PSK of three bytes", says("ServerHello", with(extPSK, 0, 0, 0)), decodeError, where},
		),
		comesTo(isUnheard, each(tls13, "client", resumed,
			rule{"a PSK that is not said to be taken", says("ServerHello", without(extPSK)), badRecordMAC, where},
		)),
	)
}

func clientHello12Rules() []violation {
	hello := func(change func([]byte) []byte) breach { return says("ClientHello", change) }
	suites := func(b ...byte) breach { return hello(withSuites(func([]byte) []byte { return b })) }
	const where = "RFC 5246, Section 7.4.1.2"
	return each(tls12, "server", plainly,
		rule{"a ClientHello without the null compression method", hello(withCompression(1)), illegalParameter, where},
		rule{"a ClientHello without compression methods", hello(withCompression()), decodeError, where},
		rule{"a ClientHello with a session ID of 33 bytes", hello(withSessionID(make([]byte, 33))), decodeError, where},
		rule{"a ClientHello of TLS 1.1", hello(func(m []byte) []byte { m[5] = 2; return m }), protocolVersion, "RFC 8996, Section 5"},
		rule{"a ClientHello of SSL 3.0", hello(func(m []byte) []byte { m[5] = 0; return m }), protocolVersion, "RFC 7568, Section 3"},
		rule{"a ClientHello of SSL 2.0", hello(func(m []byte) []byte { m[4], m[5] = 0, 2; return m }), protocolVersion, "RFC 6176, Section 3"},
		rule{"suites of CBC and static RSA only", suites(0xc0, 0x09, 0x00, 0x2f), handshakeFailure, "RFC 5246, Section 7.4.1.3"},
		rule{"suites for export only", suites(0, 3, 0, 6, 0, 8), handshakeFailure, "RFC 5246, Section 7.4.1.3"},
		rule{"suites for RSA, to a server with ECDSA", suites(0xc0, 0x2f), handshakeFailure, "RFC 5246, Section 7.4.1.3"},
		rule{"suites of TLS 1.3 only", suites(0x13, 1), handshakeFailure, "RFC 9846, Appendix B.4"},
		rule{"no suites", suites(), decodeError, where},
		rule{"groups that nobody has", hello(with(extSupportedGroups, 0, 2, 0x77, 0x77)), handshakeFailure, "RFC 8422, Section 5.1"},
		rule{"signature schemes of SHA-1 only", hello(with(extSignatureAlgs, 0, 4, 2, 3, 2, 1)), handshakeFailure, "RFC 9155, Section 2"},
		rule{"no signature schemes, which stands for SHA-1", hello(without(extSignatureAlgs)), handshakeFailure, "RFC 9155, Section 2"},
		rule{"no uncompressed point format", hello(with(extPointFormats, 1, 1)), illegalParameter, "RFC 8422, Section 5.1.2"},
		rule{"no extended_main_secret (a demand of ours)", hello(without(extExtendedMainSecret)), handshakeFailure, "RFC 7627, Section 5.2"},
		rule{"renegotiation_info that is not empty in a first handshake", hello(with(extRenegotiationInfo, append([]byte{12}, make([]byte, 12)...)...)), handshakeFailure, "RFC 5746, Section 3.6"},
		rule{"a record_size_limit of 63", hello(with(extRecordSizeLimit, 0, 63)), illegalParameter, "RFC 8449, Section 4"},
		rule{"a server name that is none", hello(with(extServerName, 0, 7, 0, 0, 4, 'a', '.', '.', 'b')), illegalParameter, "RFC 6066, Section 3"},
	)
}

func serverHello12Rules() []violation {
	hello := func(change func([]byte) []byte) breach { return says("ServerHello", change) }
	suite := func(b ...byte) breach { return hello(inServerHello(func(s []byte) { copy(s, b) })) }
	const where = "RFC 5246, Section 7.4.1.3"
	return slices.Concat(
		each(tls12, "client", plainly,
			rule{"a ServerHello of TLS 1.1", hello(func(m []byte) []byte { m[5] = 2; return m }), protocolVersion, "RFC 8996, Section 5"},
			rule{"a ServerHello of SSL 3.0", hello(func(m []byte) []byte { m[5] = 0; return m }), protocolVersion, "RFC 7568, Section 3"},
			rule{"a ServerHello of version 0x0304", hello(func(m []byte) []byte { m[5] = 4; return m }), protocolVersion, where},
			rule{"a suite of CBC, which was not offered", suite(0xc0, 0x09), illegalParameter, where},
			rule{"a suite of static RSA, which was not offered", suite(0, 0x9c), illegalParameter, where},
			rule{"a suite for export, which was not offered", suite(0, 3), illegalParameter, where},
			rule{"the suite of nothing", suite(0, 0), illegalParameter, where},
			rule{"a suite of TLS 1.3", suite(0x13, 1), illegalParameter, where},
			rule{"compression", suite(0xc0, 0x2b, 1), illegalParameter, where},
			rule{"a session ID of 33 bytes", hello(withSessionID(make([]byte, 33))), decodeError, where},
			rule{"no extended_main_secret (a demand of ours)", hello(without(extExtendedMainSecret)), handshakeFailure, "RFC 7627, Section 5.2"},
			rule{"extended_main_secret with a body", hello(with(extExtendedMainSecret, 0)), decodeError, "RFC 7627, Section 5.1"},
			rule{"renegotiation_info that is not empty in a first handshake", hello(with(extRenegotiationInfo, append([]byte{12}, make([]byte, 12)...)...)), handshakeFailure, "RFC 5746, Section 3.4"},
			rule{"renegotiation_info without a body", hello(with(extRenegotiationInfo)), decodeError, "RFC 5746, Section 3.2"},
			rule{"no uncompressed point format", hello(with(extPointFormats, 1, 1)), illegalParameter, "RFC 8422, Section 5.2"},
			rule{"an application protocol that was not asked for", hello(with(extALPN, 0, 3, 2, 'h', '2')), unsupportedExtension, "RFC 7301, Section 3.1"},
			rule{"a record_size_limit of 63", hello(with(extRecordSizeLimit, 0, 63)), illegalParameter, "RFC 8449, Section 4"},
			rule{"server_name with a name", hello(with(extServerName, 0)), decodeError, "RFC 6066, Section 3"},
		),
		each(tls12, "client", protocols,
			rule{"an application protocol that was not offered", hello(with(extALPN, 0, 3, 2, 'h', '3')), illegalParameter, "RFC 7301, Section 3.1"},
			rule{"two application protocols", hello(with(extALPN, 0, 6, 2, 'h', '2', 2, 'h', '2')), decodeError, "RFC 7301, Section 3.1"},
		),
		each(tls12, "client", stapled,
			rule{"a CertificateStatus of another type", says("CertificateStatus", func(m []byte) []byte { m[4] = 2; return m }), decodeError, "RFC 6066, Section 8"},
			rule{"a CertificateStatus without a response", says("CertificateStatus", func([]byte) []byte { return message12(msgCertificateStatus, []byte{1, 0, 0, 0}) }), decodeError, "RFC 6066, Section 8"},
		),
	)
}

func keyExchange12Rules() (list []violation) {
	const where = "RFC 8422, Section 5.4"
	exchange := func(s scene, what string, change func(k *serverKeyExchange), alert tls.AlertError, rfc string) { // signed again
		list = append(list, each(tls12, "client", s, rule{what, saysOf("ServerKeyExchange", func(x *attack, m []byte) []byte {
			k := parseSKE(m)
			change(&k)
			k.signature = sign12(x.t, tlstest.Key(tlstest.ECDSAP256), k.scheme, slices.Concat(x.client.random(), x.serverRandom, k.params()))
			return k.message()
		}), alert, rfc})...)
	}
	exchange(plainly, "an explicit prime curve", func(k *serverKeyExchange) { k.curveType = 1 }, illegalParameter, where)
	exchange(plainly, "an explicit binary curve", func(k *serverKeyExchange) { k.curveType = 2 }, illegalParameter, where)
	exchange(plainly, "a curve that nobody knows", func(k *serverKeyExchange) { k.group = 0x7777 }, illegalParameter, where)
	exchange(plainly, "a hybrid group in TLS 1.2", func(k *serverKeyExchange) { k.group = tls.X25519MLKEM768 }, illegalParameter, where)
	exchange(few, "a curve that was not offered", func(k *serverKeyExchange) { k.group = tls.CurveP384 }, illegalParameter, where)
	exchange(few, "a signature of a scheme that was not offered", func(k *serverKeyExchange) { k.scheme = tls.ECDSAWithP384AndSHA384 }, illegalParameter, "RFC 5246, Section 7.4.3")
	exchange(plainly, "a signature with SHA-1", func(k *serverKeyExchange) { k.scheme = tls.ECDSAWithSHA1 }, illegalParameter, "RFC 9155, Section 4")

	signature := func(what string, change func(k *serverKeyExchange), alert tls.AlertError) {
		list = append(list, each(tls12, "client", plainly, rule{what, says("ServerKeyExchange", func(m []byte) []byte {
			k := parseSKE(m)
			change(&k)
			return k.message()
		}), alert, "RFC 5246, Section 7.4.3"})...)
	}
	signature("a signature of a ServerKeyExchange with a bit flipped", func(k *serverKeyExchange) { k.signature[len(k.signature)-1] ^= 1 }, decryptError)
	signature("a ServerKeyExchange without a signature", func(k *serverKeyExchange) { k.signature = nil }, decryptError)
	signature("a signature over another share", func(k *serverKeyExchange) { k.public[3] ^= 1 }, decryptError)
	signature("a signature of a scheme for RSA, with a key of ECDSA", func(k *serverKeyExchange) { k.scheme = tls.PSSWithSHA256 }, illegalParameter)
	signature("a signature of a scheme that nobody knows", func(k *serverKeyExchange) { k.scheme = 0x7777 }, illegalParameter)
	signature("a signature of another hash than it says", func(k *serverKeyExchange) { k.scheme = tls.ECDSAWithP384AndSHA384 }, decryptError)

	for _, p := range badPoints {
		s := plainly
		s.name = "a full handshake with " + p.group.String()
		s.edit = func(_ *baretls.ClientConfig, server *baretls.ServerConfig) { server.Groups = []tls.CurveID{p.group} }
		exchange(s, fmt.Sprintf("a share of %v that is %s", p.group, p.what), func(k *serverKeyExchange) { k.public = p.bytes() }, illegalParameter, "RFC 8422, Section 5.11")
		list = append(list, each(tls12, "server", s, rule{
			fmt.Sprintf("a share of %v that is %s", p.group, p.what),
			says("ClientKeyExchange", func([]byte) []byte { return message12(msgClientKeyExchange, vector8(p.bytes())) }), illegalParameter, "RFC 8422, Section 5.11",
		})...)
	}
	return append(list, each(tls12, "server", plainly,
		rule{"a ClientKeyExchange with an empty share", says("ClientKeyExchange", func([]byte) []byte { return message12(msgClientKeyExchange, []byte{0}) }), decodeError, "RFC 8422, Section 5.7"},
	)...)
}

func resumption12Rules() []violation {
	return slices.Concat(
		each(tls12, "client", resumed,
			rule{"a resumption with another suite", says("ServerHello", inServerHello(func(s []byte) { s[1] = 0x2c })), illegalParameter, "RFC 5246, Section 7.4.1.3"},
			rule{"a Certificate in a resumption", before("change_cipher_spec", aMessage(certificate12(leafDER()))), unexpectedMessage, "RFC 5246, Section 7.3"},
			rule{"no change_cipher_spec in a resumption", sends("change_cipher_spec", func(unit) []unit { return nil }), unexpectedMessage, "RFC 5246, Section 7.4.9"},
			rule{"a Finished with a bit flipped, in a resumption", says("Finished", func(m []byte) []byte { m[9] ^= 1; return m }), decryptError, "RFC 5246, Section 7.4.9"},
		),
		each(tls12, "client", lenient,
			rule{"a resumption without extended_main_secret", says("ServerHello", without(extExtendedMainSecret)), handshakeFailure, "RFC 7627, Section 5.3"},
		),
		each(tls12, "server", lenient,
			rule{"a resumption without extended_main_secret", says("ClientHello", without(extExtendedMainSecret)), handshakeFailure, "RFC 7627, Section 5.3"},
		),
		each(tls12, "client", older,
			rule{"a resumption of a session that was not offered", saysOf("ServerHello", func(x *attack, m []byte) []byte {
				return withSessionID(x.client.hello[44:][:32])(m)
			}), illegalParameter, "RFC 5246, Section 7.4.1.3"},
		),
		each(tls12, "server", resumed,
			rule{"a ClientKeyExchange in a resumption", before("change_cipher_spec", aMessage(message12(msgClientKeyExchange, vector8(make([]byte, 32))))), unexpectedMessage, "RFC 5246, Section 7.3"},
			rule{"a Finished with a bit flipped, in a resumption", says("Finished", func(m []byte) []byte { m[9] ^= 1; return m }), decryptError, "RFC 5246, Section 7.4.9"},
		),
	)
}

func renegotiation12Rules() []violation {
	request, hello := message12(msgHelloRequest), aMessage(message12(msgClientHello, []byte{3, 3}, make([]byte, 32), []byte{0, 0, 2, 0xc0, 0x2b, 1, 0}))
	return slices.Concat(
		comesTo(isIgnored, each(tls12, "client", plainly,
			rule{"a HelloRequest before the ServerHello", before("ServerHello", aMessage(request)), 0, "RFC 5246, Section 7.4.1.1"},
			rule{"a HelloRequest between the messages of the handshake", before("ServerHelloDone", aMessage(request)), 0, "RFC 5246, Section 7.4.1.1"},
			rule{"a HelloRequest before change_cipher_spec", before("change_cipher_spec", aMessage(request)), 0, "RFC 5246, Section 7.4.1.1"},
			rule{"a HelloRequest before the Finished", before("Finished", aMessage(request)), 0, "RFC 5246, Section 7.4.1.1"},
			rule{"a HelloRequest, which is declined", afterwards(aMessage(request)), 0, "RFC 5246, Section 7.4.1.1"},
		)),
		comesTo(isIgnored, each(tls12, "server", plainly,
			rule{"a ClientHello after the handshake, which is declined", afterwards(hello), 0, "RFC 5246, Section 7.4.1.2"},
		)),
		each(tls12, "client", plainly,
			rule{"a fifth HelloRequest in a handshake (a limit of ours)", before("ServerHelloDone", slices.Repeat([]unit{aMessage(request)}, 5)...), unexpectedMessage, "RFC 5246, Section 7.4.1.1"},
			rule{"a HelloRequest with a body, in a handshake", before("ServerHelloDone", aMessage(message12(msgHelloRequest, []byte{0}))), decodeError, "RFC 5246, Section 7.4.1.1"},
			rule{"a second HelloRequest, when one was declined (a limit of ours)", afterwards(aMessage(request, request)), unexpectedMessage, "RFC 5246, Section 7.2.2"},
			rule{"a HelloRequest with a body", afterwards(aMessage(message12(msgHelloRequest, []byte{0}))), decodeError, "RFC 5246, Section 7.4.1.1"},
		),
		each(tls12, "server", plainly,
			rule{"a second ClientHello, when one was declined (a limit of ours)", afterwards(hello, hello), unexpectedMessage, "RFC 5246, Section 7.2.2"},
		),
	)
}
