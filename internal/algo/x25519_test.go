package algo

import (
	"bytes"
	"crypto/ecdh"
	"crypto/fips140"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"math/big"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

var million = flag.Bool("million", false, "iterate X25519 1,000,000 times, as RFC 7748, Section 5.2, does")

func TestX25519VectorsOfRFC7748(t *testing.T) {
	for _, v := range []struct{ section, scalar, u, want string }{
		{"5.2", "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
		{"5.2", "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d", "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493", "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
		{"6.1", aliceScalar, bobPublic, sharedByBoth},
		{"6.1", bobScalar, alicePublic, sharedByBoth},
	} {
		if got := ladder(t, unhex(v.scalar), unhex(v.u)); !bytes.Equal(got, unhex(v.want)) {
			t.Errorf("RFC 7748, Section %s: X25519(%s, %s) is %x, want %s", v.section, v.scalar, v.u, got, v.want)
		}
	}
}

// RFC 7748, Section 6.1.
const (
	aliceScalar  = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
	alicePublic  = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
	bobScalar    = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
	bobPublic    = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
	sharedByBoth = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
)

func TestX25519KeysOfRFC7748(t *testing.T) {
	for _, v := range []struct{ name, scalar, public, peer string }{
		{"Alice", aliceScalar, alicePublic, bobPublic},
		{"Bob", bobScalar, bobPublic, alicePublic},
	} {
		s := generate(t, GroupByID(tls.X25519), bytes.NewReader(unhex(v.scalar)))
		if got := s.AppendPublic(nil); !bytes.Equal(got, unhex(v.public)) {
			t.Errorf("%s's public key is %x, want %s", v.name, got, v.public)
		}
		if got, err := s.Finish(unhex(v.peer)); err != nil || !bytes.Equal(got, unhex(sharedByBoth)) {
			t.Errorf("%s's shared secret is %x, %v, want %s", v.name, got, err, sharedByBoth)
		}
	}
}

// RFC 7748, Section 5.2: each result is the next scalar, and the scalar the
// next point.
func TestX25519Iterated(t *testing.T) {
	want := map[int]string{
		1:       "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
		1000:    "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
		1000000: "7c3911e0ab2586fd864497297e575e6f3bc601c0883c30df5f4dd2d24f665424",
	}
	end := 1000
	if *million {
		end = 1000000
	}
	k, u := littleEndian(9), littleEndian(9)
	for i := 1; i <= end; i++ {
		k, u = ladder(t, k, u), k
		if w := want[i]; w != "" && !bytes.Equal(k, unhex(w)) {
			t.Fatalf("after %d iterations there is %x, want %s", i, k, w)
		}
	}
}

// TestX25519Base: the base point's multiple by Edwards coordinates is that by
// the ladder.
func TestX25519Base(t *testing.T) {
	for _, k := range scalars() {
		decodeScalar25519(&k)
		var public [32]byte
		if err := x25519Base(&public, &k); err != nil {
			t.Fatal(err)
		}
		if want := ladder(t, k[:], littleEndian(9)); !bytes.Equal(public[:], want) {
			t.Errorf("the public key of %x is %x, but X25519(k, 9) is %x", k, public, want)
		}
	}
}

func TestX25519IsThatOfTheStandardLibrary(t *testing.T) {
	points := points()
	onCurve := 0
	for _, u := range points {
		if isOnCurve25519(u[:]) {
			onCurve++
		}
	}
	if twist := len(points) - onCurve; onCurve < 50 || twist < 50 {
		t.Fatalf("%d points are on the curve and %d on its twist: there should be more of both", onCurve, twist)
	}
	for _, k := range scalars() {
		compareX25519(t, k, points[0])
	}
	for _, u := range points {
		for _, k := range [][32]byte{{}, ones(), random32(30), random32(31)} {
			compareX25519(t, k, u)
		}
	}
}

func TestX25519RefusesSecretsOfZeros(t *testing.T) {
	refused := 0
	for _, u := range points() {
		key := generate(t, GroupByID(tls.X25519), seeded(32))
		secret, err := key.Finish(u[:])
		zero := slices.Equal(ladder(t, unhex(aliceScalar), u[:]), make([]byte, 32))
		if zero != (err != nil) || (err != nil) != (secret == nil) {
			t.Errorf("the secret with %x is %x, %v: that it is zero is %v", u, secret, err, zero)
		}
		if err != nil {
			refused++
			wantBadKeyShare(t, err, "the point %x", u)
		}
	}
	// Of 0, 1, p-1, p, p+1 and two of order 8, each with the unused bit too.
	if refused != 14 {
		t.Errorf("%d points of low order are refused, want 14", refused)
	}
}

func FuzzX25519(f *testing.F) {
	f.Add(unhex(aliceScalar), unhex(bobPublic))
	f.Add(make([]byte, 32), make([]byte, 32))
	all := ones()
	f.Add(all[:], all[:])
	f.Add(unhex(bobScalar), unhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"))
	f.Add(littleEndian(0), littleEndian(2))
	f.Fuzz(func(t *testing.T, scalar, u []byte) {
		var k, point [32]byte
		copy(k[:], scalar)
		copy(point[:], u)
		compareX25519(t, k, point)
	})
}

func TestX25519Allocations(t *testing.T) {
	g := GroupByID(tls.X25519)
	random := seeded(33)
	share := generate(t, g, random).AppendPublic(nil)
	for _, op := range []struct {
		name string
		want float64
		run  func()
	}{
		{"an offer, a key and where the hello has it", 2, func() { g.Generate(random) }},
		{"an answer: a key, a share and a secret", 3, func() { g.Respond(random, share) }},
	} {
		if got := testing.AllocsPerRun(20, op.run); got != op.want {
			t.Errorf("%s: %v allocations, want %v", op.name, got, op.want)
		}
	}
	s := generate(t, g, random)
	buf := make([]byte, 0, 32)
	if got := testing.AllocsPerRun(20, func() { s.AppendPublic(buf) }); got != 0 {
		t.Errorf("the public key is appended with %v allocations, want none", got)
	}
	if got := testing.AllocsPerRun(20, func() { s.Finish(share) }); got != 1 {
		t.Errorf("a secret takes %v allocations, want its own only", got)
	}
}

func TestClearedSharesAreGone(t *testing.T) {
	for i := range groups {
		g := &groups[i]
		s := generate(t, g, seeded(34))
		half := s.Classical()
		key, ok := s.private.(*x25519Key)
		s.Clear()
		s.Clear() // another time changes nothing
		if *s != (KeyShare{}) {
			t.Errorf("%s: a share that was cleared holds something", g.Name)
		}
		if ok && key.k != [32]byte{} {
			t.Errorf("%s: the scalar is not cleared", g.Name)
		}
		if half != nil {
			half.Clear()
		}
	}
}

// TestX25519InFIPSMode: where crypto/ecdh refuses X25519, so do we.
func TestX25519InFIPSMode(t *testing.T) {
	const mode = "BARETLS_TEST_FIPS140"
	want := os.Getenv(mode)
	if want == "" {
		for _, mode140 := range []string{"off", "on", "only"} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestX25519InFIPSMode$")
			cmd.Env = append(os.Environ(), mode+"="+mode140, "GODEBUG=fips140="+mode140)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("with GODEBUG=fips140=%s: %v\n%s", mode140, err, out)
			}
		}
		return
	}
	if fips140.Enforced() != (want == "only") || fips140.Enabled() != (want != "off") {
		t.Fatalf("the mode is not %s", want)
	}
	for i := range groups {
		g := &groups[i]
		if g.kem != nil && g.curve != &x25519 {
			continue // as the curve does
		}
		_, err := g.Generate(seeded(35))
		_, _, respondErr := g.Respond(seeded(36), sharesOutside(t, g))
		refused := want == "only" && g.curve == &x25519
		for _, err := range []error{err, respondErr} {
			if refused != (err != nil) || refused && fault.Of(err) != fault.Internal {
				t.Errorf("%s: the error is %v, and X25519 is refused in this mode: %v", g.Name, err, want == "only")
			}
		}
	}
	_, err := ecdh.X25519().GenerateKey(nil)
	if (want == "only") != (err != nil) {
		t.Errorf("crypto/ecdh does it otherwise: %v", err)
	}
}

// sharesOutside makes a client's share as if without the mode.
func sharesOutside(t *testing.T, g *Group) (share []byte) {
	fips140.WithoutEnforcement(func() { share = generate(t, g, seeded(37)).AppendPublic(nil) })
	return share
}

// compareX25519 wants the public key and the secret that crypto/ecdh has.
func compareX25519(t *testing.T, k, u [32]byte) {
	t.Helper()
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.X25519().NewPublicKey(u[:])
	if err != nil {
		t.Fatal(err)
	}
	want, wantErr := private.ECDH(peer)

	s := generate(t, GroupByID(tls.X25519), bytes.NewReader(k[:]))
	if got := s.AppendPublic(nil); !bytes.Equal(got, private.PublicKey().Bytes()) {
		t.Errorf("the public key of %x is %x, that of crypto/ecdh %x", k, got, private.PublicKey().Bytes())
	}
	got, err := s.Finish(u[:])
	if (err != nil) != (wantErr != nil) || !bytes.Equal(got, want) {
		t.Errorf("X25519(%x, %x) is %x, %v, that of crypto/ecdh %x, %v", k, u, got, err, want, wantErr)
	}
}

// scalars are all zeros, all ones, one bit each, none of one bit each, and some more.
func scalars() (all [][32]byte) {
	all = append(all, [32]byte{}, ones())
	for bit := range 256 {
		var one [32]byte
		one[bit/8] = 1 << (bit % 8)
		but := ones()
		but[bit/8] ^= 1 << (bit % 8)
		all = append(all, one, but)
	}
	for i := range byte(64) {
		all = append(all, random32(100+i))
	}
	return all
}

// points are random ones first, the smallest, the largest and those that are
// not reduced, and those of low order; each also with the bit that is unused.
func points() (all [][32]byte) {
	for i := range byte(64) {
		all = append(all, random32(170+i))
	}
	for n := range byte(32) {
		low, high := [32]byte{n}, ones()
		high[0] -= n // 2^255 - 1 - n: down to p - 13
		high[31] = 0x7f
		all = append(all, low, high)
	}
	for _, u := range []string{ // of order 8
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	} {
		all = append(all, [32]byte(unhex(u)))
	}
	for _, u := range all {
		u[31] ^= 0x80
		all = append(all, u)
	}
	return all
}

// isOnCurve25519 says whether u belongs to the curve, v^2 = u^3 + 486662*u^2 + u,
// and not to its twist: RFC 7748, Section 4.1.
func isOnCurve25519(u []byte) bool {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	big25519 := bytes.Clone(u)
	big25519[31] &= 0x7f
	slices.Reverse(big25519)
	x := new(big.Int).SetBytes(big25519)
	y := new(big.Int).Add(x, big.NewInt(486662))
	y.Mul(y, x).Add(y, big.NewInt(1)).Mul(y, x).Mod(y, p)
	return big.Jacobi(y, p) >= 0
}

// ladder is X25519 without a check of the result.
func ladder(t *testing.T, scalar, u []byte) []byte {
	t.Helper()
	k := [32]byte(scalar)
	decodeScalar25519(&k)
	out, err := x25519Mult(&k, u)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func ones() [32]byte { return [32]byte(bytes.Repeat([]byte{0xff}, 32)) }

func random32(seed byte) (b [32]byte) {
	seeded(seed).Read(b[:])
	return b
}

func littleEndian(n byte) []byte { return append([]byte{n}, make([]byte, 31)...) }

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("bad test vector")
	}
	return b
}

func BenchmarkX25519(b *testing.B) {
	g := GroupByID(tls.X25519)
	random := seeded(38)
	peer := generate(b, g, random).AppendPublic(nil)
	b.Run("key", func(b *testing.B) {
		for b.Loop() {
			generate(b, g, random)
		}
	})
	b.Run("secret", func(b *testing.B) {
		s := generate(b, g, random)
		for b.Loop() {
			if _, err := s.Finish(peer); err != nil {
				b.Fatal(err)
			}
		}
	})
	key := make([]byte, 32)
	b.Run("key by crypto-ecdh", func(b *testing.B) {
		for b.Loop() {
			random.Read(key)
			if _, err := ecdh.X25519().NewPrivateKey(key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("secret by crypto-ecdh", func(b *testing.B) {
		private, err := ecdh.X25519().NewPrivateKey(key)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			public, err := ecdh.X25519().NewPublicKey(peer)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := private.ECDH(public); err != nil {
				b.Fatal(err)
			}
		}
	})
}
