package algo

import (
	"crypto"
	"crypto/tls"
	"io"

	"github.com/baretls/baretls/internal/fault"
)

// A Group establishes a shared secret, by Diffie-Hellman alone or together
// with a KEM.
type Group struct {
	ID             tls.CurveID
	Name           string
	PostQuantum    bool // a hybrid with ML-KEM: TLS 1.3 only
	ClientShareLen int  // of the key_exchange in the ClientHello
	ServerShareLen int  // of the key_exchange in the ServerHello

	curve     *curve
	kem       *kem        // nil: curve alone
	kemFirst  bool        // the order in both shares and in the secret
	classical tls.CurveID // the group of the curve alone
}

// groups are in the default order of preference: RFC 9846, Appendix B.3.1.4, none
// of the obsolete ones, and the hybrids of RFC 10024, Section
// 4.1, of which X25519MLKEM768 alone has its KEM in front.
var groups = [...]Group{
	{tls.X25519MLKEM768, "X25519MLKEM768", true, 1184 + 32, 1088 + 32, &x25519, &mlkem768, true, tls.X25519},
	{tls.X25519, "X25519", false, 32, 32, &x25519, nil, false, 0},
	{tls.CurveP256, "P-256", false, 65, 65, &p256, nil, false, 0},
	{tls.CurveP384, "P-384", false, 97, 97, &p384, nil, false, 0},
	{tls.SecP256r1MLKEM768, "SecP256r1MLKEM768", true, 65 + 1184, 65 + 1088, &p256, &mlkem768, false, tls.CurveP256},
	{tls.SecP384r1MLKEM1024, "SecP384r1MLKEM1024", true, 97 + 1568, 97 + 1568, &p384, &mlkem1024, false, tls.CurveP384},
	{tls.CurveP521, "P-521", false, 133, 133, &p521, nil, false, 0},
}

// GroupByID returns the group, or nil if it is not supported.
func GroupByID(id tls.CurveID) *Group {
	for i := range groups {
		if groups[i].ID == id {
			return &groups[i]
		}
	}
	return nil
}

// DefaultGroups returns all groups in order of preference.
func DefaultGroups() []tls.CurveID {
	ids := make([]tls.CurveID, len(groups))
	for i := range groups {
		ids[i] = groups[i].ID
	}
	return ids
}

// KeyShare is the private half of a share that was offered. It is for one
// connection: a fresh one is made for each (RFC 9846, Section 4.3.8).
type KeyShare struct {
	group   *Group
	private privateKey
	kem     crypto.Decapsulator // nil: the curve alone
}

// Generate makes a share to offer. It is a function of what rand yields.
func (g *Group) Generate(rand io.Reader) (*KeyShare, error) {
	private, err := g.curve.generate(rand)
	if err != nil {
		return nil, err
	}
	s := &KeyShare{group: g, private: private}
	if g.kem != nil {
		if s.kem, err = g.kem.generate(rand); err != nil {
			s.Clear()
			return nil, err
		}
	}
	return s, nil
}

// Group returns the group that the share is of.
func (s *KeyShare) Group() *Group { return s.group }

// Classical returns the curve's half of a hybrid as a share of the curve's own
// group, or nil if s is not a hybrid. The private key is the same, so that
// offering both costs one key and not two.
func (s *KeyShare) Classical() *KeyShare {
	if s.kem == nil {
		return nil
	}
	return &KeyShare{group: GroupByID(s.group.classical), private: s.private}
}

// AppendPublic appends the key_exchange to offer to b.
func (s *KeyShare) AppendPublic(b []byte) []byte {
	var kemKey []byte
	if s.kem != nil {
		kemKey = s.kem.Encapsulator().Bytes()
	}
	return s.group.appendShare(b, s.private, kemKey)
}

// Finish returns the shared secret of s and the server's share, which comes
// from the peer: whatever is wrong with it is fault.BadKeyShare.
func (s *KeyShare) Finish(serverShare []byte) ([]byte, error) {
	g := s.group
	if len(serverShare) != g.ServerShareLen {
		return nil, g.badLength(serverShare)
	}
	point, ciphertext := g.split(serverShare)
	secret, err := s.private.agree(point)
	if err != nil {
		return nil, fault.BadKeyShare.Because(err)
	}
	if g.kem == nil {
		return secret, nil
	}
	// A ciphertext of the right length always yields a secret; if it was
	// tampered with, one that the server does not have.
	kemSecret, err := s.kem.Decapsulate(ciphertext)
	if err != nil {
		return nil, fault.Internal.Because(err) // RFC 10024, Section 4.2
	}
	return g.join(secret, kemSecret), nil
}

// Clear forgets the private key, as far as it is in reach, and leaves s without
// use. What a hybrid shares with its classical half is cleared for both.
func (s *KeyShare) Clear() {
	if s.private != nil {
		s.private.clear()
	}
	*s = KeyShare{}
}

// Respond returns the server's share and the shared secret for a client's
// share, which comes from the peer: whatever is wrong with it is
// fault.BadKeyShare. The curve's key is a function of what rand yields; ML-KEM
// takes the randomness of its encapsulation from the system.
func (g *Group) Respond(rand io.Reader, clientShare []byte) (serverShare, secret []byte, err error) {
	if len(clientShare) != g.ClientShareLen {
		return nil, nil, g.badLength(clientShare)
	}
	point, kemKey := g.split(clientShare)
	var encapsulator crypto.Encapsulator
	if g.kem != nil {
		// The check of FIPS 203, Section 7.2, which RFC 10024, Section 4.2,
		// demands, along with the alert.
		if encapsulator, err = g.kem.newPublic(kemKey); err != nil {
			return nil, nil, fault.BadKeyShare.Because(err)
		}
	}
	private, err := g.curve.generate(rand)
	if err != nil {
		return nil, nil, err
	}
	defer private.clear()
	secret, err = private.agree(point)
	if err != nil {
		return nil, nil, fault.BadKeyShare.Because(err)
	}
	var ciphertext []byte
	if encapsulator != nil {
		var kemSecret []byte
		kemSecret, ciphertext = encapsulator.Encapsulate()
		secret = g.join(secret, kemSecret)
	}
	return g.appendShare(make([]byte, 0, g.ServerShareLen), private, ciphertext), secret, nil
}

// appendShare appends the public key and the KEM's part, if there is one.
func (g *Group) appendShare(b []byte, private privateKey, kem []byte) []byte {
	if g.kemFirst {
		return private.appendPublic(append(b, kem...))
	}
	return append(private.appendPublic(b), kem...)
}

// split returns the curve's and the KEM's parts of a share. The curve's has a
// fixed length, so that one function serves both directions.
func (g *Group) split(share []byte) (point, kem []byte) {
	if g.kemFirst {
		cut := len(share) - g.curve.pointLen
		return share[cut:], share[:cut]
	}
	return share[:g.curve.pointLen], share[g.curve.pointLen:]
}

// join concatenates the parts of a secret (RFC 10024, Section 4.3), and erases them.
func (g *Group) join(curve, kem []byte) []byte {
	first, second := curve, kem
	if g.kemFirst {
		first, second = kem, curve
	}
	b := make([]byte, 0, len(first)+len(second))
	b = append(append(b, first...), second...)
	clear(first)
	clear(second)
	return b
}

func (g *Group) badLength(share []byte) error {
	return fault.BadKeyShare.With("%s share of %d bytes", g.Name, len(share))
}
