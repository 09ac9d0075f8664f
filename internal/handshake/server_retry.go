package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// retry sends a HelloRetryRequest: for a share of the chosen group if there is
// none, and with a cookie if the server is to be stateless. RFC 9846, Section
// 4.2.4.
func (s *Server) retry(h *wire.ClientHello, ch *choice) (state, error) {
	s.Facts.Kind, s.retried = KindFullWithRetry, true
	s.invariant, s.identities = invariant(h), identities(h)
	if h.Has.Has(wire.ExtEarlyData) {
		s.rejectEarlyData()
	}
	if ch.share == nil {
		s.retryGroup = ch.group
	}
	var sealed []byte
	if key := s.policy.CookieKey; key != nil {
		sealed = appendCookie(nil, key, cookie{
			issued:     s.policy.Now().UnixMilli(),
			suite:      ch.suite.ID,
			group:      s.retryGroupID(),
			invariant:  s.invariant,
			identities: s.identities,
			helloHash:  s.transcript.Sum(),
		})
	}
	s.transcript.Restart()
	b := s.Out.Buffer()
	s.send(s.appendRetry(b, h, ch.suite, sealed), len(b))
	if len(h.SessionID) > 0 {
		s.sendCCS()
	}
	return serverStartRetried, nil
}

func (s *Server) appendRetry(b []byte, h *wire.ClientHello, suite *algo.Suite, cookie []byte) []byte {
	r := wire.ServerHello{
		LegacyVersion:    tls.VersionTLS12,
		Random:           wire.RetryRandom[:],
		SessionID:        h.SessionID,
		CipherSuite:      suite.ID,
		Has:              1 << wire.ExtSupportedVersions,
		SupportedVersion: tls.VersionTLS13,
	}
	if s.retryGroup != nil {
		r.Has = r.Has.With(wire.ExtKeyShare)
		r.KeyShareGroup = uint16(s.retryGroup.ID)
	}
	if cookie != nil {
		r.Has = r.Has.With(wire.ExtCookie)
		r.Cookie = cookie
	}
	return r.Append(b)
}

// secondHello takes the answer to a HelloRetryRequest that this connection
// sent itself.
func (s *Server) secondHello(m message) (state, error) {
	m = s.keep(m)
	h, err := s.parseHello(m)
	if err != nil {
		return 0, err
	}
	if err := s.checkHello13(h); err != nil {
		return 0, err
	}
	if got := invariant(h); got != s.invariant {
		return 0, fault.HelloChanged
	}
	if s.policy.CookieKey != nil {
		if _, ok := openCookie(s.policy.CookieKey, h.Cookie, s.policy.Now()); !ok {
			return 0, fault.HelloChanged.With("cookie")
		}
	} else if h.Has.Has(wire.ExtCookie) {
		return 0, fault.HelloChanged.With("cookie, but none was sent")
	}
	ch, err := s.choose(h)
	if err != nil {
		return 0, err
	}
	return s.afterRetry(h, &ch, m)
}

// resumeRetry takes the answer to a HelloRetryRequest that another connection
// sent with the same key: all that is needed of it is in the cookie, "allowing
// the server to offload state to the client" (Section 4.3.2).
func (s *Server) resumeRetry(h *wire.ClientHello, ch *choice, m message) (state, error) {
	cookie, ok := openCookie(s.policy.CookieKey, h.Cookie, s.policy.Now())
	if !ok || cookie.suite != ch.suite.ID || len(cookie.helloHash) != ch.suite.Hash.Size() {
		return 0, fault.HelloChanged.With("cookie")
	}
	if cookie.invariant != invariant(h) {
		return 0, fault.HelloChanged
	}
	s.identities = cookie.identities
	s.Facts.Kind, s.retried = KindFullWithRetry, true
	s.retryGroup = algo.GroupByID(cookie.group)
	s.start(ch.suite)
	s.transcript.RestartFrom(cookie.helloHash)
	s.transcript.Add(s.appendRetry(nil, h, ch.suite, h.Cookie))
	// The change_cipher_spec stood behind the HelloRetryRequest.
	s.sentCCS = true
	return s.afterRetry(h, ch, m)
}

func (s *Server) afterRetry(h *wire.ClientHello, ch *choice, m message) (state, error) {
	if s.retryGroup != nil {
		share, ok := h.KeyShares.Find(uint16(s.retryGroup.ID))
		if !ok || !sameShares(h, s.retryGroup) {
			return 0, fault.HelloChanged.With("key_share is not the one that was asked for")
		}
		ch.group, ch.share = s.retryGroup, share
	}
	if ch.share == nil {
		return 0, fault.HelloChanged.With("key_share of the first hello is gone")
	}
	if h.Has.Has(wire.ExtEarlyData) {
		return 0, fault.HelloChanged.With("early_data after HelloRetryRequest")
	}
	// PSKs may be withdrawn, not exchanged.
	if h.Has.Has(wire.ExtPreSharedKey) && identities(h) != s.identities {
		if s.identities == [sha256.Size]byte{} {
			return 0, fault.HelloChanged.With("pre_shared_key, but the first hello had none")
		}
		s.ignorePSK = true
	}
	s.EndSkipping()
	return s.accept(h, ch, m)
}

// invariant is a digest of all in a ClientHello that a retry must not change:
// Section 4.2.2 lists what it may.
func invariant(h *wire.ClientHello) (digest [sha256.Size]byte) {
	hash := sha256.New()
	var version, length [2]byte
	binary.BigEndian.PutUint16(version[:], h.LegacyVersion)
	for _, field := range [][]byte{version[:], h.Random, h.SessionID, h.CipherSuites, h.CompressionMethods} {
		binary.BigEndian.PutUint16(length[:], uint16(len(field)))
		hash.Write(length[:])
		hash.Write(field)
	}
	for code, raw := range wire.RawExtensions(h.Extensions) {
		switch code {
		case wire.ExtKeyShare.Code(), wire.ExtEarlyData.Code(), wire.ExtCookie.Code(),
			wire.ExtPreSharedKey.Code(), wire.ExtPadding.Code(), wire.ExtEncryptedClientHello.Code():
		default:
			hash.Write(raw)
		}
	}
	hash.Sum(digest[:0])
	return digest
}

// identities is a digest of the PSK identities of a hello, zero if it has none.
// Their ages are left out: the client updates them.
func identities(h *wire.ClientHello) (digest [sha256.Size]byte) {
	if !h.Has.Has(wire.ExtPreSharedKey) {
		return digest
	}
	hash := sha256.New()
	for identity := range h.PreSharedKey.Identities.All() {
		hash.Write(binary.BigEndian.AppendUint16(nil, uint16(len(identity))))
		hash.Write(identity)
	}
	hash.Sum(digest[:0])
	return digest
}

// A cookie is what a stateless server needs to know again, and a MAC:
//
//	struct {
//	    uint64 issued;                 /* Unix time in milliseconds */
//	    CipherSuite suite;
//	    NamedGroup group;              /* 0: not asked for */
//	    opaque invariant[32];          /* see invariant */
//	    opaque identities[32];         /* see identities */
//	    opaque client_hello_1[suite's Hash.length];
//	    opaque mac[32];                /* HMAC-SHA256 of all before */
//	} Cookie;
type cookie struct {
	issued                int64
	suite                 uint16
	group                 tls.CurveID
	invariant, identities [sha256.Size]byte
	helloHash             []byte
}

func appendCookie(b, key []byte, c cookie) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(c.issued))
	b = binary.BigEndian.AppendUint16(b, c.suite)
	b = binary.BigEndian.AppendUint16(b, uint16(c.group))
	b = append(b, c.invariant[:]...)
	b = append(b, c.identities[:]...)
	b = append(b, c.helloHash...)
	return append(b, cookieMAC(key, b)...)
}

func (s *Server) retryGroupID() tls.CurveID {
	if s.retryGroup == nil {
		return 0
	}
	return s.retryGroup.ID
}

// cookieLifetime is how long a client may take for its second hello.
const cookieLifetime = 30 * time.Second

func openCookie(key, b []byte, now time.Time) (c cookie, ok bool) {
	content := len(b) - sha256.Size
	if content < 12+2*sha256.Size || !hmac.Equal(b[content:], cookieMAC(key, b[:content])) {
		return c, false
	}
	c.issued = int64(binary.BigEndian.Uint64(b))
	c.suite = binary.BigEndian.Uint16(b[8:])
	c.group = tls.CurveID(binary.BigEndian.Uint16(b[10:]))
	copy(c.invariant[:], b[12:])
	copy(c.identities[:], b[12+sha256.Size:])
	c.helloHash = bytes.Clone(b[12+2*sha256.Size : content])
	age := now.Sub(time.UnixMilli(c.issued))
	return c, age >= -clockSkew && age <= cookieLifetime
}

func cookieMAC(key, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("baretls HelloRetryRequest cookie"))
	mac.Write(b)
	return mac.Sum(nil)
}
