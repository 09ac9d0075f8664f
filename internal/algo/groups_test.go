package algo

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/tlstest/rfc8448"
)

func TestGroups(t *testing.T) {
	want := []tls.CurveID{
		tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384,
		tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024, tls.CurveP521,
	}
	if got := DefaultGroups(); !slices.Equal(got, want) {
		t.Fatalf("the default order is %v, want %v", got, want)
	}
	for _, id := range want {
		g := GroupByID(id)
		if g == nil || g.ID != id {
			t.Fatalf("GroupByID does not find %v", id)
		}
		if g.PostQuantum != (g.kem != nil) {
			t.Errorf("%s: PostQuantum is %v", g.Name, g.PostQuantum)
		}
	}
	for _, id := range []tls.CurveID{0, 30, 256, 0x0a0a, 0x6399} {
		if GroupByID(id) != nil {
			t.Errorf("GroupByID finds %v, which is not supported", id)
		}
	}
}

func TestBothSidesAgree(t *testing.T) {
	for i := range groups {
		g := &groups[i]
		random := seeded(1)
		s := generate(t, g, random)
		if s.Group() != g {
			t.Errorf("%s: its share says that it is of %s", g.Name, s.Group().Name)
		}
		clientShare := s.AppendPublic([]byte("prefix"))
		clientShare, ok := bytes.CutPrefix(clientShare, []byte("prefix"))
		if !ok || len(clientShare) != g.ClientShareLen {
			t.Errorf("%s: AppendPublic appends %d bytes, want %d", g.Name, len(clientShare), g.ClientShareLen)
		}
		serverShare, serverSecret, err := g.Respond(random, clientShare)
		if err != nil {
			t.Errorf("%s: the server refuses the client's share: %v", g.Name, err)
			continue
		}
		if len(serverShare) != g.ServerShareLen {
			t.Errorf("%s: the server's share has %d bytes, want %d", g.Name, len(serverShare), g.ServerShareLen)
		}
		clientSecret, err := s.Finish(serverShare)
		if err != nil {
			t.Errorf("%s: the client refuses the server's share: %v", g.Name, err)
		}
		if !bytes.Equal(clientSecret, serverSecret) || len(clientSecret) < 32 {
			t.Errorf("%s: the secrets differ: %x and %x", g.Name, clientSecret, serverSecret)
		}
		if _, secret, _ := g.Respond(random, clientShare); bytes.Equal(secret, serverSecret) {
			t.Errorf("%s: two answers to one share have the same secret", g.Name)
		}
	}
}

// "Leading zeros found in this octet string MUST NOT be truncated": RFC 9846,
// Section 7.4.2. One secret in 256 begins with one.
func TestLeadingZerosOfASecretStay(t *testing.T) {
	for i := range groups {
		g := &groups[i]
		if g.kem != nil {
			continue // whose half is one of the others
		}
		size := (g.ClientShareLen - 1) / 2 // of a coordinate
		if g.ID == tls.X25519 {
			size = 32
		}
		random := seeded(2)
		clientShare := generate(t, g, random).AppendPublic(nil)
		for tries := 0; ; tries++ {
			_, secret, err := g.Respond(random, clientShare)
			if err != nil || tries == 1<<13 {
				t.Fatalf("%s: no secret with a leading zero in %d tries, error %v", g.Name, tries, err)
			}
			if len(secret) != size {
				t.Errorf("%s: a secret has %d bytes, want %d: %x", g.Name, len(secret), size, secret)
			}
			if secret[0] == 0 {
				break
			}
		}
	}
}

// The shares and the secret of RFC 8448, from the private keys alone.
func TestRFC8448KeyExchange(t *testing.T) {
	for _, tt := range []struct {
		trace string
		group tls.CurveID
		key   string
	}{
		{rfc8448.Simple1RTT, tls.X25519, "x25519"},
		{rfc8448.Resumed0RTT, tls.X25519, "x25519"},
		{rfc8448.HelloRetryRequest, tls.CurveP256, "p256"},
	} {
		trace, err := rfc8448.Load(tt.trace)
		if err != nil {
			t.Fatal(err)
		}
		g := GroupByID(tt.group)
		client := generate(t, g, bytes.NewReader(trace.Bytes("client_"+tt.key+"_private")))
		clientShare := client.AppendPublic(nil)
		if !bytes.Equal(clientShare, trace.Bytes("client_"+tt.key+"_public")) {
			t.Errorf("%s: the client's share is %x", tt.trace, clientShare)
		}
		serverShare, secret, err := g.Respond(bytes.NewReader(trace.Bytes("server_"+tt.key+"_private")), clientShare)
		if err != nil || !bytes.Equal(serverShare, trace.Bytes("server_"+tt.key+"_public")) {
			t.Errorf("%s: the server's share is %x, %v", tt.trace, serverShare, err)
		}
		if !bytes.Equal(secret, trace.Bytes("ecdhe_shared_secret")) {
			t.Errorf("%s: the server's secret is %x", tt.trace, secret)
		}
		if secret, err := client.Finish(serverShare); err != nil || !bytes.Equal(secret, trace.Bytes("ecdhe_shared_secret")) {
			t.Errorf("%s: the client's secret is %x, %v", tt.trace, secret, err)
		}
	}
}

// hybridLayouts says where RFC 10024 puts the parts.
var hybridLayouts = []struct {
	id        tls.CurveID
	classical tls.CurveID
	curve     ecdh.Curve
	pointLen  int
	kemFirst  bool
	large     bool // ML-KEM-1024
}{
	{tls.X25519MLKEM768, tls.X25519, ecdh.X25519(), 32, true, false},
	{tls.SecP256r1MLKEM768, tls.CurveP256, ecdh.P256(), 65, false, false},
	{tls.SecP384r1MLKEM1024, tls.CurveP384, ecdh.P384(), 97, false, true},
}

// A server that is written out here, on top of crypto/ecdh and crypto/mlkem,
// agrees with the client.
func TestHybridLayout(t *testing.T) {
	for _, l := range hybridLayouts {
		g := GroupByID(l.id)
		s := generate(t, g, seeded(2))
		share := s.AppendPublic(nil)

		point, kemKey := share[:l.pointLen], share[l.pointLen:]
		if l.kemFirst {
			cut := len(share) - l.pointLen
			kemKey, point = share[:cut], share[cut:]
		}
		clientPoint, err := l.curve.NewPublicKey(point)
		if err != nil {
			t.Fatalf("%s: there is no point where one should be: %v", g.Name, err)
		}
		private, err := l.curve.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		curveSecret, err := private.ECDH(clientPoint)
		if err != nil {
			t.Fatal(err)
		}
		kemSecret, ciphertext := encapsulate(t, kemKey, l.large)

		serverShare := slices.Concat(private.PublicKey().Bytes(), ciphertext)
		want := slices.Concat(curveSecret, kemSecret)
		if l.kemFirst {
			serverShare = slices.Concat(ciphertext, private.PublicKey().Bytes())
			want = slices.Concat(kemSecret, curveSecret)
		}
		if got, err := s.Finish(serverShare); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the client's secret is %x, %v, want %x", g.Name, got, err, want)
		}
	}
}

func TestClassicalHalfIsAShareOfItsOwnGroup(t *testing.T) {
	for _, l := range hybridLayouts {
		hybrid := GroupByID(l.id)
		s := generate(t, hybrid, seeded(3))
		half := s.Classical()
		if half == nil || half.Group() != GroupByID(l.classical) {
			t.Errorf("%s: its classical half is not of %v", hybrid.Name, l.classical)
			continue
		}
		point := half.AppendPublic(nil)
		if !bytes.Contains(s.AppendPublic(nil), point) {
			t.Errorf("%s: its classical half has a key of its own", hybrid.Name)
		}
		serverShare, secret, err := half.Group().Respond(seeded(4), point)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := half.Finish(serverShare); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: its classical half does not agree with the server: %v", hybrid.Name, err)
		}
		if half.Classical() != nil {
			t.Errorf("%s: the classical half has a classical half", hybrid.Name)
		}
	}
	for i := range groups {
		if g := &groups[i]; g.kem == nil && generate(t, g, seeded(3)).Classical() != nil {
			t.Errorf("%s is no hybrid and has a classical half", g.Name)
		}
	}
}

func TestKeysAreAFunctionOfTheReader(t *testing.T) {
	for i := range groups {
		g := &groups[i]
		one, same, other := generate(t, g, seeded(5)), generate(t, g, seeded(5)), generate(t, g, seeded(6))
		if !bytes.Equal(one.AppendPublic(nil), same.AppendPublic(nil)) {
			t.Errorf("%s: the same randomness makes different shares", g.Name)
		}
		if bytes.Equal(one.AppendPublic(nil), other.AppendPublic(nil)) {
			t.Errorf("%s: different randomness makes the same share", g.Name)
		}
		if g.kem != nil {
			continue // encapsulation has randomness of its own
		}
		share, secret, _ := g.Respond(seeded(7), one.AppendPublic(nil))
		again, secretAgain, _ := g.Respond(seeded(7), one.AppendPublic(nil))
		if !bytes.Equal(share, again) || !bytes.Equal(secret, secretAgain) {
			t.Errorf("%s: the same randomness makes different answers", g.Name)
		}
	}
}

func TestBrokenReaderIsAnErrorOfThisSide(t *testing.T) {
	for i := range groups {
		g := &groups[i]
		share := generate(t, g, seeded(8)).AppendPublic(nil)
		scalarLen := map[*curve]int64{&x25519: 32, &p256: 32, &p384: 48, &p521: 66}[g.curve]
		readers := map[string]func() io.Reader{
			"a reader that fails":    func() io.Reader { return iotest.ErrReader(errors.New("no entropy")) },
			"a reader that ends":     func() io.Reader { return bytes.NewReader(make([]byte, 20)) },
			"a reader of zeros":      func() io.Reader { return constant(0) },
			"a reader of all ones":   func() io.Reader { return constant(0xff) },
			"a KEM seed that is cut": func() io.Reader { return io.LimitReader(seeded(9), scalarLen+63) },
		}
		for name, reader := range readers {
			_, generateErr := g.Generate(reader())
			_, _, respondErr := g.Respond(reader(), share)
			switch {
			case g.curve == &x25519 && (name == "a reader of zeros" || name == "a reader of all ones"):
				if generateErr != nil { // any 32 bytes are a scalar
					t.Errorf("%s: %s: %v", g.Name, name, generateErr)
				}
			case name == "a KEM seed that is cut":
				if (generateErr != nil) != (g.kem != nil) || respondErr != nil {
					t.Errorf("%s: %s: %v and %v", g.Name, name, generateErr, respondErr)
				}
			default:
				if generateErr == nil || fault.Of(generateErr) != fault.Internal {
					t.Errorf("%s: %s: Generate returns %v", g.Name, name, generateErr)
				}
				if respondErr == nil || fault.Of(respondErr) != fault.Internal {
					t.Errorf("%s: %s: Respond returns %v", g.Name, name, respondErr)
				}
			}
		}
	}
}

func TestScalarsOutOfRangeAreTriedAgain(t *testing.T) {
	for id, c := range map[tls.CurveID]struct {
		ecdh      ecdh.Curve
		scalarLen int
		topMask   byte
	}{
		tls.CurveP256: {ecdh.P256(), 32, 0xff},
		tls.CurveP384: {ecdh.P384(), 48, 0xff},
		tls.CurveP521: {ecdh.P521(), 66, 0x01},
	} {
		reader := io.MultiReader(
			io.LimitReader(constant(0xff), int64(c.scalarLen)),
			io.LimitReader(constant(0), int64(c.scalarLen)),
			bytes.NewReader(bytes.Repeat([]byte{0x55}, c.scalarLen)))
		s, err := GroupByID(id).Generate(reader)
		if err != nil {
			t.Errorf("%v: a scalar behind two that are out of range is not found: %v", id, err)
			continue
		}
		scalar := bytes.Repeat([]byte{0x55}, c.scalarLen)
		scalar[0] &= c.topMask
		want, err := c.ecdh.NewPrivateKey(scalar)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.AppendPublic(nil), want.PublicKey().Bytes()) {
			t.Errorf("%v: the key is not the first scalar that is in range", id)
		}
	}
}

func TestSharesOfTheWrongLength(t *testing.T) {
	for i := range groups {
		g := &groups[i]
		s := generate(t, g, seeded(10))
		clientShare := s.AppendPublic(nil)
		serverShare, _, err := g.Respond(seeded(11), clientShare)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range wrongLengths(g, g.ServerShareLen) {
			_, err := s.Finish(resize(serverShare, n))
			wantBadKeyShare(t, err, "%s: a server's share of %d bytes", g.Name, n)
		}
		for _, n := range wrongLengths(g, g.ClientShareLen) {
			_, _, err := g.Respond(seeded(11), resize(clientShare, n))
			wantBadKeyShare(t, err, "%s: a client's share of %d bytes", g.Name, n)
		}
	}
}

func TestPointsThatAreNone(t *testing.T) {
	for i := range groups {
		g := &groups[i]
		s := generate(t, g, seeded(12))
		clientShare := s.AppendPublic(nil)
		serverShare, _, err := g.Respond(seeded(13), clientShare)
		if err != nil {
			t.Fatal(err)
		}
		for name, spoil := range badPoints(g) {
			spoiled := bytes.Clone(serverShare)
			point, _ := g.split(spoiled)
			spoil(point)
			_, err := s.Finish(spoiled)
			wantBadKeyShare(t, err, "%s: a server's point that is %s", g.Name, name)

			spoiled = bytes.Clone(clientShare)
			point, _ = g.split(spoiled)
			spoil(point)
			_, _, err = g.Respond(seeded(14), spoiled)
			wantBadKeyShare(t, err, "%s: a client's point that is %s", g.Name, name)
		}
	}
}

// FIPS 203, Section 7.2: the coefficients of an encapsulation key are below q.
func TestEncapsulationKeyThatIsNotReduced(t *testing.T) {
	for _, l := range hybridLayouts {
		g := GroupByID(l.id)
		share := generate(t, g, seeded(15)).AppendPublic(nil)
		_, kemKey := g.split(share)
		kemKey[0], kemKey[1] = 0xff, kemKey[1]|0x0f
		_, _, err := g.Respond(seeded(16), share)
		wantBadKeyShare(t, err, "%s: an encapsulation key with a coefficient above q", g.Name)
	}
}

func TestFlippedCiphertextIsAnotherSecret(t *testing.T) {
	for _, l := range hybridLayouts {
		g := GroupByID(l.id)
		s := generate(t, g, seeded(17))
		serverShare, secret, err := g.Respond(seeded(18), s.AppendPublic(nil))
		if err != nil {
			t.Fatal(err)
		}
		_, ciphertext := g.split(serverShare)
		ciphertext[100] ^= 1
		got, err := s.Finish(serverShare)
		if err != nil || len(got) != len(secret) {
			t.Errorf("%s: a flipped ciphertext is told from a good one: %v", g.Name, err)
		}
		if bytes.Equal(got, secret) {
			t.Errorf("%s: a flipped ciphertext yields the same secret", g.Name)
		}
	}
}

func FuzzShares(f *testing.F) {
	own := make([]*KeyShare, len(groups))
	for i := range groups {
		own[i] = generate(f, &groups[i], seeded(19))
		clientShare := own[i].AppendPublic(nil)
		serverShare, _, err := groups[i].Respond(seeded(20), clientShare)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), clientShare)
		f.Add(byte(i), serverShare)
		f.Add(byte(i), []byte{})
	}
	f.Fuzz(func(t *testing.T, which byte, share []byte) {
		i := int(which) % len(groups)
		if secret, err := own[i].Finish(share); err != nil && fault.Of(err) != fault.BadKeyShare || (err == nil) == (secret == nil) {
			t.Errorf("%s: Finish returns %x, %v", groups[i].Name, secret, err)
		}
		if _, secret, err := groups[i].Respond(seeded(21), share); err != nil && fault.Of(err) != fault.BadKeyShare || (err == nil) == (secret == nil) {
			t.Errorf("%s: Respond returns %x, %v", groups[i].Name, secret, err)
		}
	})
}

// badPoints are changes that turn a point of the group's curve into none.
func badPoints(g *Group) map[string]func(point []byte) {
	overwrite := func(with string) func([]byte) {
		return func(point []byte) {
			b, err := hex.DecodeString(with)
			if err != nil || len(b) != len(point) {
				panic("bad test vector")
			}
			copy(point, b)
		}
	}
	if g.curve == &x25519 {
		// RFC 7748, Section 6.1: points of low order have a secret of zeros.
		return map[string]func([]byte){
			"zero":                overwrite("0000000000000000000000000000000000000000000000000000000000000000"),
			"one":                 overwrite("0100000000000000000000000000000000000000000000000000000000000000"),
			"of order 8":          overwrite("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
			"of order 8 as well":  overwrite("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
			"p - 1":               overwrite("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
			"p":                   overwrite("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
			"p + 1":               overwrite("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
			"zero, with the flag": overwrite("0000000000000000000000000000000000000000000000000000000000000080"),
		}
	}
	return map[string]func([]byte){
		"not on the curve":           func(p []byte) { p[len(p)-1] ^= 1 },
		"compressed":                 func(p []byte) { p[0] = 2 | p[len(p)-1]&1 },
		"of the hybrid form":         func(p []byte) { p[0] = 6 | p[len(p)-1]&1 },
		"the point at infinity":      func(p []byte) { clear(p) },
		"zero, but called a point":   func(p []byte) { clear(p[1:]) },
		"with coordinates above p":   func(p []byte) { copy(p[1:], bytes.Repeat([]byte{0xff}, len(p)-1)) },
		"one with a strange legacy":  func(p []byte) { p[0] = 5 },
		"one with its halves turned": func(p []byte) { swap(p[1:]) },
	}
}

func swap(b []byte) {
	half := len(b) / 2
	copy(b, slices.Concat(b[half:], b[:half]))
}

// wrongLengths are lengths around the right one, and those of other groups.
func wrongLengths(g *Group, right int) []int {
	lengths := []int{0, 1, right - 1, right + 1, 2 * right, g.curve.pointLen, right - g.curve.pointLen, 33, 49, 67}
	for i := range groups {
		lengths = append(lengths, groups[i].ClientShareLen, groups[i].ServerShareLen)
	}
	return slices.DeleteFunc(lengths, func(n int) bool { return n == right })
}

func resize(b []byte, n int) []byte {
	return append(bytes.Clone(b), make([]byte, max(n, len(b)))...)[:n]
}

func wantBadKeyShare(t *testing.T, err error, format string, args ...any) {
	t.Helper()
	if fault.Of(err) != fault.BadKeyShare {
		t.Errorf(format+": the error is %v, want a bad key share", append(args, err)...)
	}
}

func encapsulate(t *testing.T, key []byte, large bool) (secret, ciphertext []byte) {
	t.Helper()
	if large {
		public, err := mlkem.NewEncapsulationKey1024(key)
		if err != nil {
			t.Fatal(err)
		}
		return public.Encapsulate()
	}
	public, err := mlkem.NewEncapsulationKey768(key)
	if err != nil {
		t.Fatal(err)
	}
	return public.Encapsulate()
}

func generate(t testing.TB, g *Group, random io.Reader) *KeyShare {
	t.Helper()
	s, err := g.Generate(random)
	if err != nil {
		t.Fatalf("%s: %v", g.Name, err)
	}
	return s
}

// seeded is randomness that repeats itself.
func seeded(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// constant is a reader that yields one byte for ever.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

func BenchmarkGroups(b *testing.B) {
	for i := range groups {
		g := &groups[i]
		b.Run(g.Name, func(b *testing.B) {
			random := seeded(22)
			b.ReportAllocs()
			for b.Loop() {
				s := generate(b, g, random)
				share, _, err := g.Respond(random, s.AppendPublic(nil))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Finish(share); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
