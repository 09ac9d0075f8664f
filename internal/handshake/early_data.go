package handshake

import (
	"crypto/sha256"
	"crypto/tls"
	"time"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// EarlyData is what became of 0-RTT data: RFC 9846, Section 4.3.10.
type EarlyData uint8

const (
	EarlyDataNone     EarlyData = iota // not offered
	EarlyDataOffered                   // the server has not answered
	EarlyDataAccepted                  //
	EarlyDataRejected                  // what the client sent has been skipped
)

// zeroRTT is the state of 0-RTT in either role, as long as the handshake lasts.
type zeroRTT struct {
	earlyWrite bool   // a client may send early data now
	earlyLeft  uint32 // bytes of early data that may still be sent or received
	skip       int32  // bytes of rejected early data that may still come
}

// EarlyWrite reports whether a client may send early data now.
func (c *Core) EarlyWrite() bool { return c.exchange != nil && c.earlyWrite }

// EarlyLeft is how many bytes of early data may still be sent or received.
func (c *Core) EarlyLeft() uint32 {
	if c.exchange == nil {
		return 0
	}
	return c.earlyLeft
}

// offerEarlyData adds early_data to the hello if the session allows it.
func (c *Client) offerEarlyData() {
	if !c.policy.EarlyData || c.session.MaxEarlyData == 0 || c.asks(AskPeerCertificate) {
		return
	}
	suite := c.policy.suiteOf(tls.VersionTLS13, c.session.Suite)
	if suite == nil || !c.offersALPN(c.session.ALPN) {
		return // the server could only refuse it
	}
	c.hello.Has = c.hello.Has.With(wire.ExtEarlyData)
	c.Facts.EarlyData = EarlyDataOffered
	c.earlyLeft = c.session.MaxEarlyData
}

// offersALPN reports whether the server can choose that protocol again, or none
// again.
func (c *Client) offersALPN(name string) bool {
	return name == "" || c.hello.ALPN.Contains(name)
}

// openEarlyData changes the write keys to those of early data, behind the
// first hello, which is given.
func (c *Client) openEarlyData(hello []byte) error {
	// "If offering early data, the record is placed immediately after the
	// first ClientHello" (Appendix E.4).
	c.sendCCS()
	suite := algo.SuiteByID(c.session.Suite)
	kdf := c.policy.takeKDF(suite)
	defer c.policy.giveKDF(kdf)
	var transcript keyschedule.Transcript
	transcript.Start(kdf)
	transcript.Add(hello)
	hash := transcript.Sum()
	secret := c.early.ClientTraffic(kdf, hash)
	defer secret.Clear()
	c.earlyExporter = c.early.Exporter(kdf, hash)
	c.earlySuite = suite
	if err := c.Core.policy.logKeys(c.clientRandom[:],
		logged{"CLIENT_EARLY_TRAFFIC_SECRET", secret.Bytes()},
		logged{"EARLY_EXPORTER_SECRET", c.earlyExporter.Bytes()}); err != nil {
		return err
	}
	k, err := c.keys(suite, kdf, &secret)
	if err != nil {
		return err
	}
	c.Out.EnqueueKeys(&k)
	c.earlyWrite = true
	return nil
}

// refuseEarlyData takes the server's refusal.
func (c *Client) refuseEarlyData() {
	if c.Facts.EarlyData == EarlyDataOffered {
		c.Facts.EarlyData = EarlyDataRejected
		c.earlyWrite, c.earlyLeft = false, 0
	}
}

// acceptedEarlyData takes the server's acceptance, which binds it to the
// session's parameters.
func (c *Client) acceptedEarlyData() error {
	c.earlyTaken = true
	switch {
	case !c.resumed:
		return fault.IllegalParameter.With("early_data accepted without the PSK")
	case c.suite().ID != c.session.Suite:
		return fault.IllegalParameter.With("early_data accepted with another cipher suite")
	case c.ALPN() != c.session.ALPN:
		return fault.IllegalParameter.With("early_data accepted with another application protocol")
	}
	c.Facts.EarlyData = EarlyDataAccepted
	return nil
}

// endEarlyData sends EndOfEarlyData, the last message under the early keys:
// Section 4.6.
func (c *Client) endEarlyData() {
	c.earlyWrite, c.earlyLeft = false, 0
	if c.Facts.EarlyData == EarlyDataAccepted {
		var m wire.EndOfEarlyData
		b := c.Out.Buffer()
		c.send(m.Append(b), len(b))
	}
}

// SealEarlyData seals as SealData does, but under keys that cannot be updated.
func (c *Core) SealEarlyData(dst, data []byte) int {
	c.earlyLeft -= uint32(len(data))
	if len(data) > c.Out.Fragment() {
		data = record.Aside(dst, data)
	}
	written := 0
	for len(data) > 0 {
		k := min(len(data), c.Out.Fragment())
		written += c.Out.Seal(dst[written:], record.ApplicationData, data[:k])
		data = data[k:]
	}
	return written
}

// SealedEarlyLen is the exact size of n bytes of early data, and whether the
// keys last for them (Section 5.5).
func (c *Core) SealedEarlyLen(n int) (size int, ok bool) {
	if n <= 0 {
		return 0, true
	}
	f := c.Out.Fragment()
	full := (n - 1) / f
	return full*c.Out.RecordLen(f) + c.Out.RecordLen(n-full*f), uint64(full)+1 < c.Out.Left()
}

// EarlyDataWindow is how far a client's view of its ticket's age may be from
// ours for its hello to count as fresh: Section 8.3.
const EarlyDataWindow = 10 * time.Second

// minSkip is how much rejected early data is skipped at least: tickets may
// come from a server that allowed some.
const minSkip = 16384

// Replays is a register of first flights that have been seen: Section 8.2.
type Replays interface {
	// Since is the time from which on the register knows every flight.
	Since() time.Time
	// Fresh enters a flight and reports whether it was new. An error says that
	// the register cannot tell.
	Fresh(flight [32]byte, expires time.Time) (bool, error)
}

// decideEarlyData accepts or rejects what the hello announces.
func (s *Server) decideEarlyData(h *wire.ClientHello, ch *choice, then func() (state, error)) (state, error) {
	decided := func(accept bool) (state, error) {
		if accept {
			s.Facts.EarlyData = EarlyDataAccepted
			s.earlyLeft = s.session.MaxEarlyData
		} else {
			s.rejectEarlyData()
		}
		return then()
	}
	if s.session == nil || s.sessionIndex != 0 || s.retried ||
		s.session.MaxEarlyData == 0 || s.policy.MaxEarlyData < s.session.MaxEarlyData ||
		s.session.Suite != ch.suite.ID || s.session.ALPN != s.ALPN() {
		return decided(false)
	}
	return s.fresh(decided)
}

// fresh is anti-replay: the ticket's age first, then the register. What cannot
// be decided is not fresh.
func (s *Server) fresh(then func(bool) (state, error)) (state, error) {
	now := s.policy.Now()
	drift := now.Sub(s.session.Created) - s.sessionAge
	if drift < -EarlyDataWindow || drift > EarlyDataWindow {
		return then(false)
	}
	flight, expires := sha256.Sum256(s.binder[:]), now.Add(2*EarlyDataWindow)
	if s.asks(AskEarlyData) {
		return s.ask(&EarlyDataQuestion{Flight: flight, Expires: expires, then: func(fresh bool) (state, error) {
			// A register forgets at Expires what an answer may come after.
			late := s.policy.Now().Sub(s.session.Created)-s.sessionAge > EarlyDataWindow
			return then(fresh && !late)
		}})
	}
	if s.policy.Tickets.Stateful() {
		return then(true) // the session was removed: Section 8.1
	}
	replays := s.policy.Replays
	// A flight that was sent before the register began may have been seen.
	if replays == nil || now.Sub(replays.Since()) < 2*EarlyDataWindow {
		return then(false)
	}
	ok, err := replays.Fresh(flight, expires)
	return then(ok && err == nil)
}

func (s *Server) rejectEarlyData() {
	s.Facts.EarlyData = EarlyDataRejected
	allowed := s.policy.MaxEarlyData
	if s.session != nil {
		allowed = max(allowed, s.session.MaxEarlyData)
	}
	s.skip = max(int32(min(allowed, 1<<30)), minSkip)
}

// readEarlyData changes the read keys to those of early data. The transcript
// reaches up to the ClientHello.
func (s *Server) readEarlyData() error {
	hash := s.transcript.Sum()
	secret := s.early.ClientTraffic(s.kdf, hash)
	defer secret.Clear()
	s.earlyExporter = s.early.Exporter(s.kdf, hash)
	s.earlySuite = s.suite()
	if err := s.Core.policy.logKeys(s.clientRandom[:],
		logged{"CLIENT_EARLY_TRAFFIC_SECRET", secret.Bytes()},
		logged{"EARLY_EXPORTER_SECRET", s.earlyExporter.Bytes()}); err != nil {
		return err
	}
	s.EarlyRead = true
	return s.setReadKeys(&secret)
}

// endOfEarlyData: Section 4.6.
func (s *Server) endOfEarlyData(m message) (state, error) {
	var eoed wire.EndOfEarlyData
	if err := eoed.Parse(m.body()); err != nil {
		return 0, err
	}
	s.transcript.Add(m.raw)
	s.EarlyRead = false
	if s.fragment != 0 {
		s.holdRecords()
	}
	return serverWaitFinished, s.setReadKeys(&s.clientHS)
}

// TakeEarlyData counts n bytes of early data against the limit.
func (c *Core) TakeEarlyData(n int) error {
	if uint64(n) > uint64(c.EarlyLeft()) {
		return fault.TooMuchEarlyData
	}
	c.earlyLeft -= uint32(n)
	return nil
}

// SkipEarlyData reports whether a record that cannot be read, with a body of n
// bytes, is rejected early data that is to be skipped. What is counted is the
// data that it can hold, a byte at least.
func (c *Core) SkipEarlyData(n int) bool {
	if n -= record.TagLen + 1; !c.Skipping() || int(c.skip) < n {
		return false
	}
	c.skip -= int32(max(n, 1))
	return true
}

// Skipping reports whether rejected early data may come.
func (c *Core) Skipping() bool { return c.exchange != nil && c.skip > 0 }

// EndSkipping: "Once a record is deprotected successfully, it is treated as
// the start of the client's second flight".
func (c *Core) EndSkipping() {
	if c.exchange != nil {
		c.skip = 0
	}
}
