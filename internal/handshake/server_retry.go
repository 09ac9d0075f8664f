package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/wire"
)

// retry sends a HelloRetryRequest: for a share of the chosen group if there is
// none, and with a cookie if the server is to be stateless. RFC 9846, Section
// 4.2.4.
func (s *Server) retry(h *wire.ClientHello, ch *choice, m message) (state, error) {
	s.Facts.Kind = KindFullWithRetry
	s.invariant = invariant(h)
	if ch.share == nil {
		s.retryGroup = ch.group
	}
	var cookie []byte
	if key := s.policy.CookieKey; key != nil {
		cookie = appendCookie(nil, key, ch.suite, s.retryGroup, s.transcript.Sum(), s.invariant)
	}
	s.transcript.Restart()
	b := s.Out.Buffer()
	s.send(s.appendRetry(b, h, ch.suite, cookie), len(b))
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
	var h wire.ClientHello
	if err := s.parseHello(&h, m); err != nil {
		return 0, err
	}
	if got := invariant(&h); got != s.invariant {
		return 0, fault.HelloChanged
	}
	if s.policy.CookieKey != nil {
		if _, ok := openCookie(s.policy.CookieKey, h.Cookie); !ok {
			return 0, fault.HelloChanged.With("cookie")
		}
	} else if h.Has.Has(wire.ExtCookie) {
		return 0, fault.HelloChanged.With("cookie, but none was sent")
	}
	ch, err := s.choose(&h)
	if err != nil {
		return 0, err
	}
	return s.afterRetry(&h, &ch, m)
}

// resumeRetry takes the answer to a HelloRetryRequest that another connection
// sent with the same key: all that is needed of it is in the cookie, "allowing
// the server to offload state to the client" (Section 4.3.2).
func (s *Server) resumeRetry(h *wire.ClientHello, ch *choice, m message) (state, error) {
	cookie, ok := openCookie(s.policy.CookieKey, h.Cookie)
	if !ok || cookie.suite != ch.suite.ID || len(cookie.helloHash) != ch.suite.Hash.Size() {
		return 0, fault.HelloChanged.With("cookie")
	}
	if cookie.invariant != invariant(h) {
		return 0, fault.HelloChanged
	}
	s.Facts.Kind = KindFullWithRetry
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
	s.transcript.Add(m.raw)
	return s.flight(h, ch)
}

// invariant is a digest of all in a ClientHello that a retry must not change:
// Section 4.2.2 lists what it may.
func invariant(h *wire.ClientHello) (digest [sha256.Size]byte) {
	hash := sha256.New()
	var fixed [2]byte
	binary.BigEndian.PutUint16(fixed[:], h.LegacyVersion)
	for _, field := range [][]byte{fixed[:], h.Random, h.SessionID, h.CipherSuites, h.CompressionMethods} {
		binary.BigEndian.PutUint16(fixed[:], uint16(len(field)))
		hash.Write(fixed[:])
		hash.Write(field)
	}
	for code, raw := range wire.RawExtensions(h.Extensions) {
		switch code {
		case wire.ExtKeyShare.Code(), wire.ExtEarlyData.Code(), wire.ExtCookie.Code(),
			wire.ExtPreSharedKey.Code(), wire.ExtPadding.Code():
		default:
			hash.Write(raw)
		}
	}
	hash.Sum(digest[:0])
	return digest
}

// A cookie is what a stateless server needs to know again, and a MAC:
//
//	struct {
//	    CipherSuite suite;
//	    NamedGroup group;              /* 0: not asked for */
//	    opaque invariant[32];          /* see invariant */
//	    opaque client_hello_1[suite's Hash.length];
//	    opaque mac[32];                /* HMAC-SHA256 of all before */
//	} Cookie;
type cookie struct {
	suite     uint16
	group     tls.CurveID
	invariant [sha256.Size]byte
	helloHash []byte
}

func appendCookie(b, key []byte, suite *algo.Suite, group *algo.Group, helloHash []byte, invariant [sha256.Size]byte) []byte {
	b = binary.BigEndian.AppendUint16(b, suite.ID)
	if group != nil {
		b = binary.BigEndian.AppendUint16(b, uint16(group.ID))
	} else {
		b = append(b, 0, 0)
	}
	b = append(b, invariant[:]...)
	b = append(b, helloHash...)
	return append(b, cookieMAC(key, b)...)
}

func openCookie(key, b []byte) (c cookie, ok bool) {
	content := len(b) - sha256.Size
	if content < 4+sha256.Size || !hmac.Equal(b[content:], cookieMAC(key, b[:content])) {
		return c, false
	}
	c.suite = binary.BigEndian.Uint16(b)
	c.group = tls.CurveID(binary.BigEndian.Uint16(b[2:]))
	copy(c.invariant[:], b[4:])
	c.helloHash = bytes.Clone(b[4+sha256.Size : content])
	return c, true
}

func cookieMAC(key, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("baretls HelloRetryRequest cookie"))
	mac.Write(b)
	return mac.Sum(nil)
}
