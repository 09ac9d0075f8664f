package netconn

//lint:file-ignore SA1019 deprecated fields of tls.Config mean something all the same

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/baretls/baretls"
)

// ClientConfigFromStd converts what a config of crypto/tls means to a client;
// nil stands for the zero Config, as it does there. There is no ConfigFromStd
// for both roles: their configs are of two types here, and honour different
// fields. ServerConfigFromStd is the other.
//
// The serverName is for baretls.NewClient: the config's ServerName, an address
// without brackets. If it is empty, take the host that is dialled, as tls.Dial
// does; without any name, NewClient fails unless InsecureSkipVerify is set.
//
// The config is copied: what is changed in it afterwards, by
// SetSessionTicketKeys for example, has no effect. What is returned has not
// been used, so that more can be set in it. Sessions are of one converted
// config: convert once, not for each connection.
//
// A field that is set and cannot be honoured is a *baretls.ConfigError with its
// name as the Field. Values that neither library would accept may only be
// found by NewClient. To a client these are refused:
//   - VerifyConnection: whom it lets in depends on facts, such as the version
//     and the protocol, that are not there when baretls verifies. Call it with
//     the ConnectionState of the connection, right after the handshake: only a
//     client's certificate has been shown by then.
//   - EncryptedClientHelloConfigList and EncryptedClientHelloRejectionVerify.
//   - Renegotiation, unless it is tls.RenegotiateNever.
//   - MaxVersion below TLS 1.2, and MinVersion above TLS 1.3.
//   - CipherSuites with suites of TLS 1.2 of which baretls has none, unless
//     MinVersion is TLS 1.3. Otherwise those that it has are used, in its own
//     order; a list without any of TLS 1.2 turns TLS 1.2 off. Both are so in
//     crypto/tls. The suites of TLS 1.3 are always on.
//   - CurvePreferences with a group that baretls does not have. The order is
//     ours, as it is crypto/tls' own there.
//
// These are honoured, with differences:
//   - InsecureSkipVerify is a CustomVerify that accepts every server.
//   - VerifyPeerCertificate gets what it gets in crypto/tls, and is asked when a
//     session is about to be offered as well: if it refuses, the session is not.
//   - GetClientCertificate gets a CertificateRequestInfo whose Version is 0
//     unless the config allows a single version, whose SignatureSchemes in TLS
//     1.2 are not reduced to those of the certificate types, and whose Context is
//     nil. If its certificate does not fit the request, none is sent, and the
//     server decides; crypto/tls gives up.
//   - ClientSessionCache keeps our sessions as the Extra of a SessionState, under
//     keys of our own. Each is taken once, and its chain is verified again. A
//     cache that serializes sessions to files will not read them back. Without a
//     cache there is no resumption, as in crypto/tls.
//
// Ignored are DynamicRecordSizingDisabled, for records are always as large as
// can be, PreferServerCipherSuites, as in crypto/tls, and the fields that
// crypto/tls uses in servers only. What no field says is as baretls has it: a
// server of TLS 1.2 has to know extended_main_secret, for example, and settings
// of GODEBUG, the FIPS 140-3 mode among them, restrict crypto/tls but not us.
func ClientConfigFromStd(std *tls.Config) (config *baretls.ClientConfig, serverName string, err error) {
	std = copyOf(std)
	bounds, err := boundsOf(std)
	if err != nil {
		return nil, "", err
	}
	if err := refuse([]refusal{
		{"VerifyConnection", std.VerifyConnection != nil, tooEarly},
		{"Renegotiation", std.Renegotiation != tls.RenegotiateNever, "is not supported"},
		{"EncryptedClientHelloConfigList", std.EncryptedClientHelloConfigList != nil, noECH},
		{"EncryptedClientHelloRejectionVerify", std.EncryptedClientHelloRejectionVerify != nil, noECH},
	}); err != nil {
		return nil, "", err
	}
	config = &baretls.ClientConfig{
		RootCAs:                std.RootCAs,
		VerifyPeer:             verifyPeer(std.VerifyPeerCertificate),
		Certificates:           slices.Clone(std.Certificates),
		SessionTicketsDisabled: std.SessionTicketsDisabled || std.ClientSessionCache == nil,
		NextProtos:             slices.Clone(std.NextProtos),
		MinVersion:             bounds.minVersion,
		MaxVersion:             bounds.maxVersion,
		CipherSuites:           bounds.suites,
		Groups:                 bounds.groups,
		KeyLogWriter:           std.KeyLogWriter,
		Time:                   std.Time,
		Rand:                   std.Rand,
	}
	if std.InsecureSkipVerify {
		config.CustomVerify = func(*baretls.PeerVerification) error { return nil }
	}
	if get := std.GetClientCertificate; get != nil {
		config.GetClientCertificate = clientCertificate(get, bounds.onlyVersion())
	}
	if !config.SessionTicketsDisabled {
		config.Sessions = &sessionCache{std: std.ClientSessionCache}
	}
	return config, withoutBrackets(std.ServerName), nil
}

// ServerConfigFromStd converts what a config of crypto/tls means to a server.
// What ClientConfigFromStd says of copies, of errors, and of the fields that
// both roles have, holds here too. To a server these are refused:
//   - GetConfigForClient.
//   - VerifyConnection: see ClientConfigFromStd.
//   - VerifyPeerCertificate, if ClientAuth lets in clients that were asked for a
//     certificate and have none: crypto/tls calls it for those too.
//   - SessionTicketKey, keys given to SetSessionTicketKeys, which is the Field
//     then, WrapSession and UnwrapSession, unless SessionTicketsDisabled is set:
//     tickets of crypto/tls and ours are different. Set TicketKeys or
//     SessionStore instead.
//   - EncryptedClientHelloKeys and GetEncryptedClientHelloKeys.
//   - MinVersion, MaxVersion, CipherSuites and CurvePreferences as in a client.
//
// These are honoured, with differences:
//   - GetCertificate is called when crypto/tls would call it. Its ClientHelloInfo
//     has CipherSuites, ServerName, SupportedCurves, SignatureSchemes,
//     SupportedProtos, SupportedVersions and Extensions. SupportedPoints and Conn
//     are nil, HelloRetryRequest is false, Context returns nil, and
//     SupportsCertificate knows nothing of this config. A function that needs
//     more is to be written anew, for baretls.ClientHelloReceived.
//   - Certificates are chosen from as baretls.ServerConfig says: an exact name
//     goes before a wildcard. NameToCertificate goes before both.
//   - VerifyPeerCertificate is asked for resumed connections as well: if it
//     refuses, a full handshake follows.
//   - NextProtos with "h2" do not let in clients that only offer "http/1.1".
//
// Ignored are PreferServerCipherSuites, DynamicRecordSizingDisabled, and the
// fields that crypto/tls uses in clients only.
func ServerConfigFromStd(std *tls.Config) (*baretls.ServerConfig, error) {
	std = copyOf(std)
	bounds, err := boundsOf(std)
	if err != nil {
		return nil, err
	}
	asksInVain := std.ClientAuth == tls.RequestClientCert || std.ClientAuth == tls.VerifyClientCertIfGiven
	tickets := !std.SessionTicketsDisabled
	if err := refuse([]refusal{
		{"GetConfigForClient", std.GetConfigForClient != nil, "is not supported"},
		{"VerifyConnection", std.VerifyConnection != nil, tooEarly},
		{"VerifyPeerCertificate", std.VerifyPeerCertificate != nil && asksInVain, "is not called for clients without a certificate, which ClientAuth lets in"},
		{"SessionTicketKey", tickets && ownTicketKey(std), noTickets},
		{"SetSessionTicketKeys", tickets && givenTicketKeys(std), noTickets},
		{"WrapSession", tickets && std.WrapSession != nil, noTickets},
		{"UnwrapSession", tickets && std.UnwrapSession != nil, noTickets},
		{"EncryptedClientHelloKeys", std.EncryptedClientHelloKeys != nil, noECH},
		{"GetEncryptedClientHelloKeys", std.GetEncryptedClientHelloKeys != nil, noECH},
	}); err != nil {
		return nil, err
	}
	config := &baretls.ServerConfig{
		Certificates:           slices.Clone(std.Certificates),
		GetCertificate:         serverCertificate(std),
		NextProtos:             slices.Clone(std.NextProtos),
		MinVersion:             bounds.minVersion,
		MaxVersion:             bounds.maxVersion,
		CipherSuites:           bounds.suites,
		Groups:                 bounds.groups,
		ClientAuth:             std.ClientAuth,
		ClientCAs:              std.ClientCAs,
		SessionTicketsDisabled: std.SessionTicketsDisabled,
		KeyLogWriter:           std.KeyLogWriter,
		Time:                   std.Time,
		Rand:                   std.Rand,
	}
	if std.ClientAuth != tls.NoClientCert {
		config.VerifyPeer = verifyPeer(std.VerifyPeerCertificate)
	}
	return config, nil
}

// refusal is a field that cannot be honoured, if it is set.
type refusal struct {
	field string
	set   bool
	why   string
}

const (
	tooEarly  = "needs facts that are not there when baretls verifies: call it after the handshake, with the ConnectionState"
	noECH     = "Encrypted Client Hello is not supported"
	noTickets = "tickets of crypto/tls are not supported: use TicketKeys or SessionStore of baretls.ServerConfig"
)

func refuse(all []refusal) error {
	for _, r := range all {
		if r.set {
			return &baretls.ConfigError{Field: r.field, Err: errors.New(r.why)}
		}
	}
	return nil
}

// copyOf is a copy that nobody changes; to make one is safe while crypto/tls
// uses the original.
func copyOf(std *tls.Config) *tls.Config {
	if std == nil {
		return new(tls.Config)
	}
	return std.Clone()
}

// bounds are the algorithms that a config leaves to choose from.
type bounds struct {
	minVersion, maxVersion uint16 // 0: no bound
	suites                 []uint16
	groups                 []tls.CurveID
}

func boundsOf(std *tls.Config) (b bounds, err error) {
	switch v := std.MinVersion; {
	case v > tls.VersionTLS13:
		return b, &baretls.ConfigError{Field: "MinVersion", Err: fmt.Errorf("%#04x is above TLS 1.3", v)}
	case v == tls.VersionTLS13:
		b.minVersion = v
	}
	switch v := std.MaxVersion; {
	case v != 0 && v < tls.VersionTLS12:
		return b, &baretls.ConfigError{Field: "MaxVersion", Err: fmt.Errorf("%s is below TLS 1.2", tls.VersionName(v))}
	case v == tls.VersionTLS12:
		b.maxVersion = v
	}
	if b.suites, err = suitesOf(std, b.minVersion); err != nil {
		return b, err
	}
	b.groups, err = groupsOf(std)
	return b, err
}

// onlyVersion is the version if there is but one.
func (b bounds) onlyVersion() uint16 {
	switch {
	case b.minVersion == tls.VersionTLS13:
		return tls.VersionTLS13
	case b.maxVersion == tls.VersionTLS12:
		return tls.VersionTLS12
	}
	return 0
}

// What baretls has, in its order of preference.
var (
	suites13 = []uint16{
		tls.TLS_AES_128_GCM_SHA256,
		tls.TLS_AES_256_GCM_SHA384,
		tls.TLS_CHACHA20_POLY1305_SHA256,
	}
	suites12 = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	allGroups = []tls.CurveID{
		tls.X25519MLKEM768,
		tls.X25519,
		tls.CurveP256,
		tls.CurveP384,
		tls.SecP256r1MLKEM768,
		tls.SecP384r1MLKEM1024,
		tls.CurveP521,
	}
)

// suitesOf translates CipherSuites, a set of suites of TLS 1.2. nil stands for
// all, and for the preferences that go with that.
func suitesOf(std *tls.Config, minVersion uint16) ([]uint16, error) {
	if std.CipherSuites == nil || minVersion == tls.VersionTLS13 {
		return nil, nil
	}
	wanted := without(std.CipherSuites, suites13)
	lacking := without(suites12, wanted)
	switch {
	case len(wanted) > 0 && len(lacking) == len(suites12):
		return nil, &baretls.ConfigError{Field: "CipherSuites", Err: errors.New("none of them is supported in TLS 1.2")}
	case len(lacking) == 0:
		return nil, nil
	}
	return append(slices.Clone(suites13), without(suites12, lacking)...), nil
}

// groupsOf translates CurvePreferences, a set as well.
func groupsOf(std *tls.Config) ([]tls.CurveID, error) {
	wanted := std.CurvePreferences
	if len(wanted) == 0 {
		return nil, nil
	}
	for i, id := range wanted {
		if !slices.Contains(allGroups, id) {
			return nil, &baretls.ConfigError{
				Field: fmt.Sprintf("CurvePreferences[%d]", i),
				Err:   fmt.Errorf("%v is not supported", id),
			}
		}
	}
	return without(allGroups, without(allGroups, wanted)), nil
}

// without returns the elements of a that are not in b.
func without[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(x T) bool { return slices.Contains(b, x) })
}

func withoutBrackets(name string) string {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		if inner, ok := strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return name
}

// ownTicketKey reports whether SessionTicketKey was set by the program.
// crypto/tls fills it with something that it does not use, so marked.
func ownTicketKey(std *tls.Config) bool {
	return std.SessionTicketKey != [32]byte{} && !strings.HasPrefix(string(std.SessionTicketKey[:]), "DEPRECATED")
}

// givenTicketKeys reports whether SetSessionTicketKeys was called, of which no
// exported field or method tells.
func givenTicketKeys(std *tls.Config) bool {
	keys := reflect.ValueOf(std).Elem().FieldByName("sessionTicketKeys")
	return keys.IsValid() && keys.Len() > 0
}

// verifyPeer adapts a VerifyPeerCertificate.
func verifyPeer(verify func([][]byte, [][]*x509.Certificate) error) func(*baretls.PeerVerification) error {
	if verify == nil {
		return nil
	}
	return func(v *baretls.PeerVerification) error {
		raw := make([][]byte, len(v.Certificates))
		for i, cert := range v.Certificates {
			raw[i] = cert.Raw
		}
		return verify(raw, v.VerifiedChains)
	}
}

// clientCertificate adapts a GetClientCertificate, in which an empty
// certificate stands for none.
func clientCertificate(get func(*tls.CertificateRequestInfo) (*tls.Certificate, error), version uint16) func(*baretls.CertificateRequest) (*tls.Certificate, error) {
	return func(r *baretls.CertificateRequest) (*tls.Certificate, error) {
		cert, err := get(&tls.CertificateRequestInfo{
			AcceptableCAs:    r.AcceptableCAs,
			SignatureSchemes: r.SignatureSchemes,
			Version:          version,
		})
		if err != nil || cert == nil || len(cert.Certificate) == 0 {
			return nil, err
		}
		return cert, nil
	}
}

// serverCertificate adapts GetCertificate and NameToCertificate, and returns
// nil if Certificates is all there is.
func serverCertificate(std *tls.Config) func(*baretls.ClientHello) (*tls.Certificate, error) {
	get, own := std.GetCertificate, len(std.Certificates)
	named := maps.Clone(std.NameToCertificate)
	if own < 2 {
		named = nil // crypto/tls looks at it only where there is a choice
	}
	if get == nil && named == nil {
		return nil
	}
	return func(h *baretls.ClientHello) (*tls.Certificate, error) {
		if get != nil && (h.ServerName != "" || own == 0) {
			if cert, err := get(helloInfo(h)); cert != nil || err != nil {
				return cert, err
			}
		}
		name := strings.ToLower(h.ServerName)
		if cert := named[name]; cert != nil {
			return cert, nil
		}
		_, parent, _ := strings.Cut(name, ".")
		return named["*."+parent], nil
	}
}

func helloInfo(h *baretls.ClientHello) *tls.ClientHelloInfo {
	info := &tls.ClientHelloInfo{
		CipherSuites:      h.CipherSuites,
		ServerName:        h.ServerName,
		SupportedCurves:   h.Groups,
		SignatureSchemes:  h.SignatureSchemes,
		SupportedProtos:   h.ALPNProtocols,
		SupportedVersions: h.Versions,
		Extensions:        h.Extensions,
	}
	if len(h.Versions) == 0 {
		// Without the extension, a client that we talk to has said TLS 1.2 "or
		// below", and crypto/tls spells that out.
		info.SupportedVersions = []uint16{tls.VersionTLS12, tls.VersionTLS11, tls.VersionTLS10}
	}
	return info
}

// sessionCache keeps sessions in a cache of crypto/tls, wrapped in the part of
// its session states that is for others.
type sessionCache struct {
	mutex sync.Mutex // Take is two calls, and of two at once only one may have the session
	std   tls.ClientSessionCache
}

func (c *sessionCache) Put(key string, session *baretls.ClientSession) {
	encoded, err := session.MarshalBinary()
	if err != nil {
		return
	}
	state, err := tls.NewResumptionState(nil, &tls.SessionState{Extra: [][]byte{encoded}})
	if err != nil {
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.std.Put(cacheKey(key), state)
}

func (c *sessionCache) Take(key string) *baretls.ClientSession {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	cached, ok := c.std.Get(cacheKey(key))
	if !ok || cached == nil {
		return nil
	}
	c.std.Put(cacheKey(key), nil)
	_, state, err := cached.ResumptionState()
	if err != nil || state == nil || len(state.Extra) != 1 {
		return nil
	}
	session := new(baretls.ClientSession)
	if session.UnmarshalBinary(state.Extra[0]) != nil {
		return nil
	}
	return session
}

// cacheKey can be read, and is no host name, under which crypto/tls may have a
// session of its own in the same cache.
func cacheKey(key string) string { return "baretls:" + hex.EncodeToString([]byte(key)) }
