package handshake

import (
	"crypto/tls"

	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/wire"
)

// flight sends all that a server has to say before it hears from the client
// again, EndOfEarlyData included: RFC 9846, Sections 2 and 4.3.11.3.
func (s *Server) flight(h *wire.ClientHello, ch *choice) (state, error) {
	var credential *Credential
	var scheme *algo.Scheme
	if s.session != nil {
		s.resume()
	} else {
		var err error
		if credential, scheme, err = s.chooseCredential(h); err != nil {
			return 0, err
		}
	}
	s.Facts.Version = tls.VersionTLS13
	s.Facts.Group = ch.group.ID

	if err := s.sendServerHello(h, ch); err != nil {
		return 0, err
	}
	s.sendEncryptedExtensions(h)
	if credential == nil {
		return s.finish()
	}
	s.requestCertificate()
	s.sendCertificate(h, credential)
	return s.sendCertificateVerify(credential, scheme, serverContext, s.finish)
}

// finish ends the server's flight.
func (s *Server) finish() (state, error) {
	s.sendFinished(&s.serverHS)

	// The resumption_secret is derived with the tickets, which all are made then.
	s.keepUpTo(exporterSecret)
	var serverApp keyschedule.TrafficSecret
	defer serverApp.Clear()
	if err := s.deriveApplication(&s.clientApp, &serverApp); err != nil {
		return 0, err
	}
	s.keepSecret(writeSecret, serverApp.Bytes())
	// "Any records following a Finished message MUST be encrypted under the
	// appropriate application traffic key", alerts included.
	if err := s.enqueueWriteKeys(&serverApp); err != nil {
		return 0, err
	}
	// Data may follow before the client has proved anything (Section 4.5.3),
	// but not where it is required to.
	s.MayWrite = s.policy.HalfRTT && !s.certRequested
	switch {
	case s.EarlyRead:
		return serverWaitEOED, nil
	case s.certRequested:
		return serverWaitCert, nil
	}
	return serverWaitFinished, nil
}

// sendServerHello agrees on the shared secret and changes both directions to
// the handshake keys: Section 4.2.3.
func (s *Server) sendServerHello(h *wire.ClientHello, ch *choice) error {
	if !s.In.Empty() { // before anything is said under keys that cannot come
		return fault.MessageSpansKeyChange
	}
	share, shared, err := ch.group.Respond(s.policy.Rand, ch.share)
	if err != nil {
		return err
	}
	random := s.room[:32]
	if err := s.policy.random(random); err != nil {
		return err
	}
	hello := wire.ServerHello{
		LegacyVersion:    tls.VersionTLS12,
		Random:           random,
		SessionID:        h.SessionID,
		CipherSuite:      ch.suite.ID,
		Has:              1<<wire.ExtSupportedVersions | 1<<wire.ExtKeyShare,
		SupportedVersion: tls.VersionTLS13,
		KeyShareGroup:    uint16(ch.group.ID),
		KeyShare:         share,
	}
	if s.session != nil {
		hello.Has = hello.Has.With(wire.ExtPreSharedKey)
		hello.SelectedIdentity = uint16(s.sessionIndex)
	}
	if s.Facts.EarlyData == EarlyDataAccepted {
		if err := s.readEarlyData(); err != nil {
			return err
		}
	}
	b := s.Out.Buffer()
	s.send(hello.Append(b), len(b))
	if len(h.SessionID) > 0 {
		s.sendCCS()
	}
	if err := s.deriveHandshake(shared); err != nil {
		return err
	}
	// Early data was sent before the client knew our limit.
	if h.Has.Has(wire.ExtRecordSizeLimit) && !s.EarlyRead {
		s.holdRecords()
	}
	s.takesClearAlerts = true
	if !s.EarlyRead {
		if err := s.setReadKeys(&s.clientHS); err != nil {
			return err
		}
	}
	return s.enqueueWriteKeys(&s.serverHS)
}

// sendEncryptedExtensions: Section 4.4.1.
func (s *Server) sendEncryptedExtensions(h *wire.ClientHello) {
	var ee wire.EncryptedExtensions
	if s.Facts.ServerName != "" && s.session == nil { // RFC 6066, Section 3
		ee.Has = ee.Has.With(wire.ExtServerName)
	}
	if s.ALPN() != "" {
		ee.Has = ee.Has.With(wire.ExtALPN)
		ee.ALPN = []byte(s.ALPN())
	}
	if h.Has.Has(wire.ExtRecordSizeLimit) {
		ee.Has = ee.Has.With(wire.ExtRecordSizeLimit)
		ee.RecordSizeLimit = s.policy.RecordSizeLimit
	}
	if h.Has.Has(wire.ExtTicketRequest) && s.policy.Tickets != nil {
		ee.Has = ee.Has.With(wire.ExtTicketRequest)
		ee.TicketRequest = uint8(s.ticketCount)
	}
	if s.Facts.EarlyData == EarlyDataAccepted {
		ee.Has = ee.Has.With(wire.ExtEarlyData)
	}
	b := s.Out.Buffer()
	s.send(ee.Append(b), len(b))
}

// sendCertificate: Sections 4.5.1 and 4.5.1.1.
func (s *Server) sendCertificate(h *wire.ClientHello, credential *Credential) {
	var ocsp []byte
	var scts [][]byte
	if h.Has.Has(wire.ExtStatusRequest) {
		ocsp = credential.OCSP
	}
	if h.Has.Has(wire.ExtSCT) {
		scts = credential.SCTs
	}
	b := s.Out.Buffer()
	s.send(wire.AppendCertificate(b, nil, credential.Chain, ocsp, scts), len(b))
}

// finished takes the client's Finished, which ends the handshake.
func (s *Server) finished(m message) (state, error) {
	if err := s.checkFinished(&s.clientHS, m); err != nil {
		return 0, err
	}
	s.transcript.Add(m.raw)
	if err := s.setReadKeys(&s.clientApp); err != nil {
		return 0, err
	}
	s.keepSecret(readSecret, s.clientApp.Bytes())
	s.clientApp.Clear()
	if s.session == nil {
		s.origin = s.policy.Now().UnixMilli()
	} else {
		s.origin = s.session.Origin.UnixMilli()
		s.session.Clear()
	}
	s.MayRead, s.MayWrite, s.Complete = true, true, true
	if err := s.sendTickets(); err != nil {
		return 0, err
	}
	s.ends()
	s.drop()
	return serverConnected, nil
}
