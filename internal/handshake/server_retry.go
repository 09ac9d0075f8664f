package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// retry sends a HelloRetryRequest: for a share of the chosen group if there is
// none, and with a cookie if the server is to be stateless. RFC 9846, Section
// 4.2.4.
func (s *Server) retry(h *wire.ClientHello, ch *choice) (state, error) {
	s.Facts.Kind, s.retried = KindFullWithRetry, true
	s.invariant, s.offer = invariant(h), offerOf(h, ch.suite)
	if h.Has.Has(wire.ExtEarlyData) {
		s.rejectEarlyData()
	}
	if ch.share == nil {
		s.retryGroup = ch.group
	}
	var sealed []byte
	if key := s.policy.CookieKey; key != nil {
		sealed = appendCookie(nil, key, cookie{
			issued:    s.policy.Now().UnixMilli(),
			suite:     ch.suite.ID,
			group:     s.retryGroupID(),
			invariant: s.invariant,
			offer:     s.offer,
			helloHash: s.transcript.Sum(),
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
	s.offer = cookie.offer
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
	if !s.offer.mayBecome(offerOf(h, ch.suite)) {
		return 0, fault.HelloChanged.With("pre_shared_key")
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

// pskOffer is what a second hello may not change of the PSKs in the first. "Any
// PSKs which are incompatible with the server's indicated cipher suite" may be
// removed (Section 4.2.2); the length of a binder tells its hash, also of a PSK
// that the server does not know.
type pskOffer struct {
	all, fitting [sha256.Size]byte // digests of the identities; without ages, which are updated
	unfit        uint16            // how many are of another hash
}

// offerOf is the offer of a hello, all zeros if it has none.
func offerOf(h *wire.ClientHello, suite *algo.Suite) (o pskOffer) {
	if !h.Has.Has(wire.ExtPreSharedKey) {
		return o
	}
	var lengths []int
	for binder := range h.PreSharedKey.Binders.All() {
		lengths = append(lengths, len(binder))
	}
	all, fitting := sha256.New(), sha256.New()
	for identity := range h.PreSharedKey.Identities.All() {
		entry := binary.BigEndian.AppendUint16(nil, uint16(len(identity)))
		entry = append(entry, identity...)
		all.Write(entry)
		if lengths[0] == suite.Hash.Size() {
			fitting.Write(entry)
		} else {
			o.unfit++
		}
		lengths = lengths[1:]
	}
	all.Sum(o.all[:0])
	fitting.Sum(o.fitting[:0])
	return o
}

// mayBecome reports whether a second hello may come with the offer. Which of
// the others are left, if some are, is not told apart: none can be selected.
func (o pskOffer) mayBecome(second pskOffer) bool {
	return o == second || second.unfit < o.unfit && (o.fitting == second.fitting ||
		second == pskOffer{} && o.fitting == sha256.Sum256(nil))
}

// A cookie is what a stateless server needs to know again, and a MAC:
//
//	struct {
//	    uint64 issued;                 /* Unix time in milliseconds */
//	    CipherSuite suite;
//	    NamedGroup group;              /* 0: not asked for */
//	    opaque invariant[32];          /* see invariant */
//	    opaque all[32];                /* see pskOffer */
//	    opaque fitting[32];
//	    uint16 unfit;
//	    opaque client_hello_1[suite's Hash.length];
//	    opaque mac[32];                /* HMAC-SHA256 of all before */
//	} Cookie;
type cookie struct {
	issued    int64
	suite     uint16
	group     tls.CurveID
	invariant [sha256.Size]byte
	offer     pskOffer
	helloHash []byte
}

func appendCookie(b, key []byte, c cookie) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(c.issued))
	b = binary.BigEndian.AppendUint16(b, c.suite)
	b = binary.BigEndian.AppendUint16(b, uint16(c.group))
	b = append(b, c.invariant[:]...)
	b = append(b, c.offer.all[:]...)
	b = append(b, c.offer.fitting[:]...)
	b = binary.BigEndian.AppendUint16(b, c.offer.unfit)
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

// cookieFixed is the size of a cookie without its last two fields.
const cookieFixed = 8 + 2 + 2 + 3*sha256.Size + 2

func openCookie(key, b []byte, now time.Time) (c cookie, ok bool) {
	content := len(b) - sha256.Size
	if content < cookieFixed || !hmac.Equal(b[content:], cookieMAC(key, b[:content])) {
		return c, false
	}
	in, suite, group := cryptobyte.String(b[:content]), uint16(0), uint16(0)
	var issued uint64
	ok = in.ReadUint64(&issued) && in.ReadUint16(&suite) && in.ReadUint16(&group) &&
		in.CopyBytes(c.invariant[:]) && in.CopyBytes(c.offer.all[:]) && in.CopyBytes(c.offer.fitting[:]) &&
		in.ReadUint16(&c.offer.unfit)
	c.issued, c.suite, c.group = int64(issued), suite, tls.CurveID(group)
	c.helloHash = bytes.Clone(in)
	age := now.Sub(time.UnixMilli(c.issued))
	return c, ok && age >= -clockSkew && age <= cookieLifetime
}

func cookieMAC(key, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("baretls HelloRetryRequest cookie"))
	mac.Write(b)
	return mac.Sum(nil)
}
