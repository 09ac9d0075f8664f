package main

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls"
)

// newConn makes the connection that the options ask for.
func (x *exchange) newConn() (*baretls.Conn, error) {
	if x.opts.server {
		config, err := x.serverConfig()
		if err != nil {
			return nil, err
		}
		server, err := baretls.NewServer(config)
		if err != nil {
			return nil, refused(err)
		}
		return &server.Conn, nil
	}
	config, err := x.clientConfig()
	if err != nil {
		return nil, err
	}
	client, err := baretls.NewClient(config, x.opts.hostName)
	if err != nil {
		return nil, refused(err)
	}
	return &client.Conn, nil
}

// refused makes of a configuration that baretls does not take, because it
// names what there is not, a test that cannot be run.
func refused(err error) error {
	if wrong := (*baretls.ConfigError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%w: %w", errUnimplemented, err)
	}
	return err
}

func (x *exchange) clientConfig() (*baretls.ClientConfig, error) {
	o := x.opts
	minVersion, maxVersion, err := o.versions()
	if err != nil {
		return nil, err
	}
	negotiable, err := o.negotiable()
	if err != nil {
		return nil, err
	}
	certificates, err := x.certificates()
	if err != nil {
		return nil, err
	}
	config := &baretls.ClientConfig{
		Ask:                       x.asks(len(certificates)),
		CustomVerify:              x.judge,
		Certificates:              certificates,
		Sessions:                  x.memory,
		SessionScope:              "bogo",
		EnableEarlyData:           o.enableEarlyData,
		SessionTicketsDisabled:    o.noTicket,
		NextProtos:                protocols(o.advertiseALPN),
		MinVersion:                minVersion,
		MaxVersion:                maxVersion,
		AllowNoExtendedMainSecret: true,
		CipherSuites:              negotiable.suites,
		Groups:                    negotiable.groups,
		SignatureSchemes:          negotiable.schemes,
		MaxFragmentSize:           o.maxSendFragment,
		MaxHandshakeMessageSize:   o.maxMessage(),
		Time:                      x.memory.clock,
		KeyLogWriter:              x.keyLog(),
	}
	// Without -must-match-issuer, authorities that the server names do not matter.
	if o.expect.clientCAs != "" || o.expect.peerVerifyPrefs != nil || len(certificates) == 1 && !o.current().mustMatchIssuer {
		config.GetClientCertificate = func(r *baretls.CertificateRequest) (*tls.Certificate, error) {
			return x.lookAtRequest(r, certificates)
		}
	}
	return config, nil
}

func (x *exchange) serverConfig() (*baretls.ServerConfig, error) {
	o := x.opts
	minVersion, maxVersion, err := o.versions()
	if err != nil {
		return nil, err
	}
	negotiable, err := o.negotiable()
	if err != nil {
		return nil, err
	}
	certificates, err := x.certificates()
	if err != nil {
		return nil, err
	}
	config := &baretls.ServerConfig{
		Ask:                       x.asks(len(certificates)),
		Certificates:              certificates,
		GetCertificate:            x.lookAtHello,
		CustomVerify:              x.judge,
		TicketKeys:                x.memory.ticketKeys,
		SessionTicketsDisabled:    o.noTicket,
		SendHalfRTTData:           true,
		ReplayGuard:               x.memory,
		MinVersion:                minVersion,
		MaxVersion:                maxVersion,
		AllowNoExtendedMainSecret: true,
		CipherSuites:              negotiable.suites,
		Groups:                    negotiable.groups,
		SignatureSchemes:          negotiable.schemes,
		MaxFragmentSize:           o.maxSendFragment,
		MaxHandshakeMessageSize:   o.maxMessage(),
		Time:                      x.memory.clock,
		KeyLogWriter:              x.keyLog(),
	}
	if o.enableEarlyData {
		config.MaxEarlyData = 14336 // as the runner knows it from BoringSSL
	}
	if o.noTicket && maxVersion == tls.VersionTLS12 {
		config.SessionTicketsDisabled, config.SessionStore = false, x.memory.store
	}
	if o.skipTicket {
		config.SessionStore = fullStore{}
	}
	if config.SessionStore != nil && o.async {
		config.Ask |= baretls.AskSession
	}
	switch {
	case o.selectALPN != "":
		config.NextProtos = []string{o.selectALPN}
	case o.rejectALPN:
		config.NextProtos = []string{"a protocol that nobody offers"}
	}
	switch {
	case o.verifyPeer:
		config.ClientAuth = tls.RequestClientCert
	case o.requireAny:
		config.ClientAuth = tls.RequireAnyClientCert
	}
	if config.ClientCAs, err = o.clientCAs(); err != nil {
		return nil, err
	}
	return config, nil
}

// versions are the bounds of the versions, between those that there are, or 0
// where the flags set none.
func (o *options) versions() (minVersion, maxVersion uint16, err error) {
	if o.minVersion > tls.VersionTLS12 || o.noTLS12 {
		minVersion = tls.VersionTLS13
	}
	if o.maxVersion != 0 && o.maxVersion < tls.VersionTLS12 || o.noTLS12 && o.noTLS13 {
		return 0, 0, fmt.Errorf("no version is left: %w", errUnimplemented)
	}
	// PKCS #1 v1.5 cannot sign a handshake of TLS 1.3.
	onlyPKCS1 := len(o.verifyPrefs) > 0 && !slices.ContainsFunc(o.verifyPrefs, func(id uint16) bool { return id&0xff != 1 })
	if o.maxVersion == tls.VersionTLS12 || o.noTLS13 || onlyPKCS1 {
		maxVersion = tls.VersionTLS12
	}
	if minVersion == tls.VersionTLS13 && maxVersion == tls.VersionTLS12 {
		return 0, 0, fmt.Errorf("no version is left: %w", errUnimplemented)
	}
	return minVersion, maxVersion, nil
}

// negotiable is what a compliance policy or the flags allow; nil stands for all.
type negotiable struct {
	suites  []uint16
	groups  []tls.CurveID
	schemes []tls.SignatureScheme
}

// compliance are the policies that the runner knows, in terms of what there is.
var compliance = map[string]negotiable{
	"fips-202205": {
		[]uint16{
			tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		},
		[]tls.CurveID{tls.CurveP256, tls.CurveP384},
		[]tls.SignatureScheme{
			tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384,
			tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
			tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
		},
	},
	"wpa-202304": {
		suites384,
		[]tls.CurveID{tls.CurveP384},
		[]tls.SignatureScheme{
			tls.ECDSAWithP384AndSHA384, tls.PSSWithSHA384, tls.PSSWithSHA512,
			tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
		},
	},
	// The order alone, with the larger key in front.
	"cnsa-202407": {
		suites: []uint16{
			tls.TLS_AES_256_GCM_SHA384, tls.TLS_AES_128_GCM_SHA256, tls.TLS_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	},
	"cnsa1-202603": {
		suites384,
		[]tls.CurveID{tls.CurveP384},
		[]tls.SignatureScheme{tls.ECDSAWithP384AndSHA384, tls.PSSWithSHA384, tls.PKCS1WithSHA384},
	},
}

var suites384 = []uint16{
	tls.TLS_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
}

func (o *options) negotiable() (n negotiable, err error) {
	if o.compliance != "" {
		var ok bool
		if n, ok = compliance[o.compliance]; !ok {
			return n, fmt.Errorf("policy %s: %w", o.compliance, errUnimplemented)
		}
	}
	for _, id := range o.curves {
		n.groups = append(n.groups, tls.CurveID(id))
	}
	for _, id := range o.verifyPrefs {
		n.schemes = append(n.schemes, tls.SignatureScheme(id))
	}
	return n, nil
}

// maxMessage is the largest Certificate that is taken, which in BoringSSL is a
// limit on certificates alone.
func (o *options) maxMessage() int {
	if o.maxCertList == 0 {
		return 0
	}
	return max(o.maxCertList, 4096)
}

// clientCAs are the authorities to name to clients. Nothing but their names is
// known, and nothing else is sent.
func (o *options) clientCAs() (*x509.CertPool, error) {
	if o.useClientCAs == "" || o.useClientCAs == "<NULL>" || o.useClientCAs == "<EMPTY>" {
		return nil, nil
	}
	names, err := hexList(o.useClientCAs)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, name := range names {
		pool.AddCert(&x509.Certificate{Raw: name, RawSubject: name})
	}
	return pool, nil
}

// certificates are those that the options bring, those of the new kind first,
// as BoringSSL tries them.
func (x *exchange) certificates() (list []tls.Certificate, err error) {
	for i, c := range x.opts.credentials {
		if list, err = x.appendCertificate(list, c, i); err != nil {
			return nil, err
		}
	}
	if x.opts.legacy.certFile == "" {
		return list, nil
	}
	return x.appendCertificate(list, &x.opts.legacy, -1)
}

func (x *exchange) appendCertificate(list []tls.Certificate, c *credential, index int) ([]tls.Certificate, error) {
	chain, err := readChain(c.certFile)
	if err != nil {
		return nil, err
	}
	key, err := readKey(c.keyFile)
	if err != nil {
		return nil, err
	}
	cert := tls.Certificate{
		Certificate:                 chain,
		PrivateKey:                  &signer{key, func() { x.selected = index }},
		OCSPStaple:                  x.staple(c),
		SignedCertificateTimestamps: splitSCTs(c.scts),
	}
	prefs := c.signingPrefs
	if prefs == nil {
		prefs = x.opts.legacy.signingPrefs
	}
	for _, id := range prefs {
		cert.SupportedSignatureAlgorithms = append(cert.SupportedSignatureAlgorithms, tls.SignatureScheme(id))
	}
	if policy, ok := compliance[x.opts.compliance]; ok && prefs == nil {
		cert.SupportedSignatureAlgorithms = policy.schemes
	}
	return append(list, cert), nil
}

// staple is the OCSP response of a certificate, unless a callback declines.
func (x *exchange) staple(c *credential) []byte {
	if x.opts.declineOCSP {
		return nil
	}
	return c.ocspResponse
}

// signer tells when its key is asked to sign: only then the certificate is the
// one that was selected.
type signer struct {
	crypto.Signer
	used func()
}

func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.used()
	return s.Signer.Sign(rand, digest, opts)
}

func readChain(file string) (chain [][]byte, err error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return chain, nil
		}
		chain = append(chain, block.Bytes)
	}
}

func readKey(file string) (crypto.Signer, error) {
	encoded, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(encoded)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("a key that the standard library does not know: %w: %w", err, errUnimplemented)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T does not sign: %w", key, errUnimplemented)
	}
	return signer, nil
}

// splitSCTs splits a SignedCertificateTimestampList (RFC 6962, Section 3.3).
func splitSCTs(list []byte) (scts [][]byte) {
	var items, item cryptobyte.String
	s := cryptobyte.String(list)
	if !s.ReadUint16LengthPrefixed(&items) {
		return nil
	}
	for items.ReadUint16LengthPrefixed(&item) {
		scts = append(scts, item)
	}
	return scts
}

// lookAtHello sees every ClientHello that needs a certificate.
func (x *exchange) lookAtHello(h *baretls.ClientHello) (*tls.Certificate, error) {
	if want := x.opts.expect.advertisedALPN; want != "" && !slices.Equal(h.ALPNProtocols, protocols(want)) {
		return nil, fmt.Errorf("the client offers the application protocols %q", h.ALPNProtocols)
	}
	return nil, x.checkPeerPrefs(h.SignatureSchemes)
}

func (x *exchange) checkPeerPrefs(got []tls.SignatureScheme) error {
	want := x.opts.expect.peerVerifyPrefs
	if len(want) > 0 && !slices.EqualFunc(got, want, func(a tls.SignatureScheme, b uint16) bool { return uint16(a) == b }) {
		return fmt.Errorf("the peer's signature schemes are %v", got)
	}
	return nil
}

// lookAtRequest sees a server's request, and answers it with the first
// certificate that there is.
func (x *exchange) lookAtRequest(r *baretls.CertificateRequest, certs []tls.Certificate) (*tls.Certificate, error) {
	o := x.opts
	if err := x.checkPeerPrefs(r.SignatureSchemes); err != nil {
		return nil, err
	}
	if o.expect.clientCAs != "" {
		want, err := hexList(o.expect.clientCAs)
		if err != nil {
			return nil, err
		}
		if !slices.EqualFunc(r.AcceptableCAs, want, bytes.Equal) {
			return nil, fmt.Errorf("the server names the authorities %x", r.AcceptableCAs)
		}
	}
	if len(certs) == 0 {
		return nil, nil
	}
	return &certs[0], nil
}

// keyLog is where the secrets go that are to be told to the runner.
func (x *exchange) keyLog() io.Writer {
	if !x.opts.exportTrafficSecrets {
		return nil
	}
	return &x.secrets
}

// memory is what outlives a connection: the session, and what a server knows
// its sessions by.
type memory struct {
	session      *baretls.ClientSession // that the next connection will offer
	put          int                    // sessions that came during a connection
	ticketKeys   *baretls.TicketKeys
	store        baretls.SessionStore
	now          time.Time // stands still, for the runner goes by milliseconds
	verifyFailed bool      // what became of the peer's certificate
	seen         [][32]byte
}

func newMemory() *memory {
	m := &memory{store: baretls.NewSessionCache(0), now: time.Now()}
	var err error
	if m.ticketKeys, err = baretls.NewTicketKeys(0); err != nil {
		panic(err)
	}
	return m
}

func (m *memory) clock() time.Time { return m.now }

// fullStore has no room for sessions.
type fullStore struct{}

func (fullStore) Put(string, []byte, time.Time) error { return errors.New("no room") }
func (fullStore) Get(string) []byte                   { return nil }
func (fullStore) Remove(string) bool                  { return false }

// Put and Take make it a client's store. The key is not looked at: the runner
// demands that a session is offered, whatever has been changed since.
func (m *memory) Put(_ string, session *baretls.ClientSession) {
	m.put++
	m.session = session
}

func (m *memory) Take(string) *baretls.ClientSession {
	session := m.session
	m.session = nil
	return session
}

// Since and Fresh make it a register of first flights that is old enough to be
// asked.
func (m *memory) Since() time.Time { return time.Time{} }

func (m *memory) Fresh(flight [32]byte, _ time.Time) (bool, error) {
	if slices.Contains(m.seen, flight) {
		return false, nil
	}
	m.seen = append(m.seen, flight)
	return true, nil
}

// secretOf finds a secret in a key log.
func secretOf(log, label string) ([]byte, error) {
	for line := range strings.Lines(log) {
		var random, secret []byte
		if n, _ := fmt.Sscanf(line, label+" %x %x", &random, &secret); n == 2 {
			return secret, nil
		}
	}
	return nil, fmt.Errorf("no %s in the key log", label)
}
