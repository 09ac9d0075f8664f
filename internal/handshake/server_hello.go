package handshake

import (
	"crypto/tls"
	"slices"
	"strings"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// choice is what a server has selected by a ClientHello: the way from RECVD_CH
// to NEGOTIATED.
type choice struct {
	suite *algo.Suite
	group *algo.Group
	share []byte // the client's, of the group; nil: retry for it
}

// clientHello answers the first hello: with the server's flight, or with a
// HelloRetryRequest.
func (s *Server) clientHello(m message) (state, error) {
	kept := s.keep(m)
	h, err := s.parseHello(kept)
	if err != nil {
		return 0, err
	}
	if s.asks(AskClientHello) {
		return s.askHello(h, kept, func() (state, error) { return s.firstHello(h, kept) })
	}
	return s.firstHello(h, kept)
}

func (s *Server) firstHello(h *wire.ClientHello, m message) (state, error) {
	if s.chooseVersion(h) == tls.VersionTLS12 {
		return s.clientHello12(h, m)
	}
	if err := s.checkHello13(h); err != nil {
		return 0, err
	}
	ch, err := s.choose(h)
	if err != nil {
		return 0, err
	}
	if h.Has.Has(wire.ExtCookie) && s.policy.CookieKey != nil {
		return s.resumeRetry(h, &ch, m)
	}
	s.start(ch.suite)
	if ch.share == nil || s.policy.CookieKey != nil {
		s.transcript.Add(m.raw)
		return s.retry(h, &ch)
	}
	s.Facts.Kind = KindFull
	return s.accept(h, &ch, m)
}

// accept negotiates the rest by a hello that needs no retry. The transcript
// holds what came before the hello.
func (s *Server) accept(h *wire.ClientHello, ch *choice, m message) (state, error) {
	if err := s.readServerName(h); err != nil {
		return 0, err
	}
	if err := s.chooseProtocol(h); err != nil {
		return 0, err
	}
	if !s.mayResume(h) {
		return s.answer(h, ch, m)
	}
	return s.chooseSession(h, ch, m, func() (state, error) { return s.answer(h, ch, m) })
}

// answer decides what depends on the session, and sends the flight.
func (s *Server) answer(h *wire.ClientHello, ch *choice, m message) (state, error) {
	s.transcript.Add(m.raw)
	if h.Has.Has(wire.ExtEarlyData) {
		return s.decideEarlyData(h, ch, func() (state, error) { return s.prepareFlight(h, ch) })
	}
	return s.prepareFlight(h, ch)
}

func (s *Server) prepareFlight(h *wire.ClientHello, ch *choice) (state, error) {
	s.countTickets(h)
	if h.Has.Has(wire.ExtRecordSizeLimit) {
		s.limitRecords(h.RecordSizeLimit)
	}
	return s.flight(h, ch)
}

// parseHello reads a hello of any version.
func (s *Server) parseHello(m message) (*wire.ClientHello, error) {
	h := hellos.take()
	s.hello = h
	if err := h.Parse(m.body()); err != nil {
		return nil, err
	}
	copy(s.clientRandom[:], h.Random)
	s.takesCCS = true
	return h, nil
}

// chooseVersion is version negotiation: RFC 9846, Section 4.3.1 and Appendix
// E.2, and RFC 5246, Appendix E.1. It is 0 if there is no version in common.
func (s *Server) chooseVersion(h *wire.ClientHello) uint16 {
	offers := func(version uint16) bool {
		if h.Has.Has(wire.ExtSupportedVersions) {
			return h.SupportedVersions.Contains(version)
		}
		return h.LegacyVersion >= version && version <= tls.VersionTLS12
	}
	switch {
	case s.policy.TLS13 && offers(tls.VersionTLS13):
		return tls.VersionTLS13
	case s.policy.TLS12 && offers(tls.VersionTLS12):
		return tls.VersionTLS12
	}
	return 0
}

// checkHello13 checks what does not depend on choices: Sections 4.2.2 and 9.2.
func (s *Server) checkHello13(h *wire.ClientHello) error {
	if s.chooseVersion(h) != tls.VersionTLS13 {
		return fault.UnsupportedVersion.With("the client offers neither of ours")
	}
	if h.LegacyVersion != tls.VersionTLS12 {
		return fault.UnsupportedVersion.With("legacy_version %#04x", h.LegacyVersion)
	}
	if len(h.CompressionMethods) != 1 || h.CompressionMethods[0] != 0 {
		return fault.IllegalParameter.With("compression methods in a TLS 1.3 hello")
	}
	if h.Has.Has(wire.ExtSupportedGroups) != h.Has.Has(wire.ExtKeyShare) {
		return fault.MissingExtension.With("supported_groups and key_share go together")
	}
	switch psk := h.Has.Has(wire.ExtPreSharedKey); {
	case psk && !h.Has.Has(wire.ExtPSKKeyExchangeModes):
		return fault.MissingExtension.With("pre_shared_key without psk_key_exchange_modes")
	case !psk && !(h.Has.Has(wire.ExtSupportedGroups) && h.Has.Has(wire.ExtSignatureAlgorithms)):
		return fault.MissingExtension.With("signature_algorithms and supported_groups")
	case !h.Has.Has(wire.ExtSupportedGroups): // psk_ke, which is right, and not ours
		return fault.NoCommonGroup
	}
	for group := range h.KeyShares.All() {
		if !h.SupportedGroups.Contains(group) {
			return fault.IllegalParameter.With("share of group %v, which is not in supported_groups", tls.CurveID(group))
		}
	}
	return nil
}

// choose selects what the keys come from, or finds that there is nothing in
// common: Sections 2.1 and 4.2.1.
func (s *Server) choose(h *wire.ClientHello) (ch choice, err error) {
	if ch.suite = s.chooseSuite(h); ch.suite == nil {
		return ch, fault.NoCommonSuite
	}
	if ch.group = s.chooseGroup(h); ch.group == nil {
		return ch, fault.NoCommonGroup
	}
	ch.share, _ = h.KeyShares.Find(uint16(ch.group.ID))
	return ch, nil
}

// chooseSuite takes the server's first preference. A client that prefers
// ChaCha20 to all of AES has no AES instructions, and is followed if the
// server has no preference of its own.
func (s *Server) chooseSuite(h *wire.ClientHello) *algo.Suite {
	if s.prefersChaCha(h, tls.VersionTLS13) {
		return s.policy.suite(tls.TLS_CHACHA20_POLY1305_SHA256)
	}
	if suites := s.suitesFor(h, tls.VersionTLS13); len(suites) > 0 {
		return suites[0]
	}
	return nil
}

// prefersChaCha reports whether the client's first suite of the version is one
// with ChaCha20, and that is to be followed.
func (s *Server) prefersChaCha(h *wire.ClientHello, version uint16) bool {
	if s.policy.PreferClientChaCha {
		for i := range h.CipherSuites.Len() {
			if suite := s.policy.suiteOf(version, h.CipherSuites.At(i)); suite != nil {
				return suite.ChaCha
			}
		}
	}
	return false
}

// suitesFor are the suites of a version that both sides have, in the server's
// order.
func (s *Server) suitesFor(h *wire.ClientHello, version uint16) (suites []*algo.Suite) {
	for _, suite := range s.policy.Suites {
		if suite.Version == version && h.CipherSuites.Contains(suite.ID) {
			suites = append(suites, suite)
		}
	}
	return suites
}

// chooseGroup takes the server's first preference among the groups that the
// client has, but rather one that there is a share of than a retry; except
// that only the retry would be safe from a quantum computer.
func (s *Server) chooseGroup(h *wire.ClientHello) *algo.Group {
	var first *algo.Group
	for _, g := range s.policy.Groups {
		if !h.SupportedGroups.Contains(uint16(g.ID)) {
			continue
		}
		if first == nil {
			first = g
		}
		if _, ok := h.KeyShares.Find(uint16(g.ID)); ok && (g.PostQuantum || !first.PostQuantum) {
			return g
		}
	}
	return first
}

// chooseProtocol is ALPN by the server's preference: RFC 7301, Section 3.2.
func (s *Server) chooseProtocol(h *wire.ClientHello) error {
	if !h.Has.Has(wire.ExtALPN) || len(s.policy.Protocols) == 0 {
		return nil
	}
	for i, name := range s.policy.Protocols {
		if h.ALPN.Contains(name) {
			s.Facts.protocol = protocol(i + 1)
			return nil
		}
	}
	return fault.NoCommonProtocol
}

// chooseCredential picks the certificate by name and by the signature schemes
// of the client: Sections 4.3.3 and 4.5.1.2.
func (s *Server) chooseCredential(h *wire.ClientHello) (*Credential, *algo.Scheme, error) {
	if !h.Has.Has(wire.ExtSignatureAlgorithms) {
		return nil, nil, fault.MissingExtension.With("signature_algorithms, and no PSK is taken")
	}
	if s.policy.Pick != nil {
		credential, err := s.policy.Pick(h)
		if err != nil {
			return nil, nil, fault.NoCertificate.By(err)
		}
		if credential != nil {
			if scheme := credential.scheme(h.SignatureAlgorithms); scheme != nil {
				return credential, scheme, nil
			}
			return nil, nil, fault.NoCommonScheme
		}
	}
	h = searchable(h)
	return s.policy.Credentials.pick(s.Facts.ServerName, chainSchemes(h), func(c *Credential) *algo.Scheme {
		return c.scheme(h.SignatureAlgorithms)
	})
}

// chainSchemes are those that signatures in the server's chain should be by:
// "if no signature_algorithms_cert extension is present, then the
// signature_algorithms extension also applies" (Section 4.3.3).
func chainSchemes(h *wire.ClientHello) wire.Uint16s {
	if h.Has.Has(wire.ExtSignatureAlgorithmsCert) {
		return h.SignatureAlgorithmsCert
	}
	return h.SignatureAlgorithms
}

// searchable is a hello of which long lists hold no more than what can be found
// in them: they are searched for each credential, and there may be thousands.
func searchable(h *wire.ClientHello) *wire.ClientHello {
	const long = 32
	if h.SignatureAlgorithms.Len() <= long && h.SignatureAlgorithmsCert.Len() <= long && h.SupportedGroups.Len() <= long {
		return h
	}
	short := *h
	short.SignatureAlgorithms = among(h.SignatureAlgorithms, algo.DefaultSchemes())
	short.SignatureAlgorithmsCert = among(h.SignatureAlgorithmsCert, algo.DefaultSchemes())
	short.SupportedGroups = among(h.SupportedGroups, algo.DefaultGroups())
	return &short
}

// among are those of ids that are in the list.
func among[ID ~uint16](list wire.Uint16s, ids []ID) (found wire.Uint16s) {
	for _, id := range ids {
		if list.Contains(uint16(id)) {
			found = wire.AppendUint16s(found, id)
		}
	}
	return found
}

// readServerName takes the server_name of RFC 6066, Section 3. Literal
// addresses, which it forbids, are as good as no name.
func (s *Server) readServerName(h *wire.ClientHello) error {
	if !h.Has.Has(wire.ExtServerName) {
		return nil
	}
	name := strings.ToLower(string(h.ServerName))
	switch {
	case IsIPLiteral(name):
	case !ValidHostname(name):
		return fault.IllegalParameter.With("server_name is not a host name")
	default:
		s.Facts.ServerName = name
	}
	return nil
}

// sameShares reports whether a second hello brought the one share that the
// retry asked for: "a list containing a single KeyShareEntry from the
// indicated group" (Section 4.2.2).
func sameShares(h *wire.ClientHello, group *algo.Group) bool {
	var groups []uint16
	for id := range h.KeyShares.All() {
		groups = append(groups, id)
	}
	return slices.Equal(groups, []uint16{uint16(group.ID)})
}
