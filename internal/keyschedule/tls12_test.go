package keyschedule

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
	"testing"
)

// wantPRF is the PRF of RFC 5246, Section 5, once more, on top of crypto/hmac.
func wantPRF(newHash func() hash.Hash, key []byte, label string, seed []byte, length int) (out []byte) {
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(newHash, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	labelAndSeed := append([]byte(label), seed...)
	for a := mac(labelAndSeed); len(out) < length; a = mac(a) {
		out = append(out, mac(a, labelAndSeed)...)
	}
	return out[:length]
}

// The vectors that circulated on the TLS working group's list:
// https://www.ietf.org/mail-archive/web/tls/current/msg03416.html
func TestThePRFGivesTheAnswersOfOthers(t *testing.T) {
	for _, tt := range []struct {
		name              string
		hash              func() hash.Hash
		secret, seed, out string
	}{
		{"SHA-256", sha256.New, "9bbe436ba940f017b17652849a71db35", "a0ba9f936cda311827a6f796ffd5198c",
			"e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a" +
				"6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab" +
				"4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701" +
				"87347b66"},
		{"SHA-384", sha512.New384, "b80b733d6ceefcdc71566ea48e5567df", "cd665cf6a8447dd6ff8b27555edb7465",
			"7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cd" +
				"e9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd" +
				"8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425" +
				"9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee6" +
				"91c8f3a26854308d5eaa3be85e0990703d73e56f"},
	} {
		seed := unhex(tt.seed)
		for cut := range len(seed) + 1 { // the seed comes in two parts
			out := make([]byte, len(tt.out)/2)
			NewKDF(tt.hash).prf(out, unhex(tt.secret), "test label", seed[:cut], seed[cut:])
			if got := hex.EncodeToString(out); got != tt.out {
				t.Errorf("%s, the seed cut at %d: the PRF is %s, want %s", tt.name, cut, got, tt.out)
			}
		}
	}
}

// The first vectors of NIST's CAVP for the TLS 1.2 KDF (SP 800-135). The two
// steps have randoms of their own there.
func TestMainSecretAndKeyBlockAreThoseOfNIST(t *testing.T) {
	for _, tt := range []struct {
		name                       string
		hash                       func() hash.Hash
		preliminary, main, block   string
		clientHello, serverHello   string // randoms for the main secret
		clientRandom, serverRandom string // and for the key block
	}{
		{"SHA-256", sha256.New,
			"f8938ecc9edebc5030c0c6a441e213cd24e6f770a50dda07876f8d55da062bcadb386b411fd4fe4313a604fce6c17fbc",
			"202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf",
			"d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0566b" +
				"2f387f8d11fd4f731cdd572d2eae927f6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f" +
				"1ad6f68b43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928",
			"36c129d01a3200894b9179faac589d9835d58775f9b5ea3587cb8fd0364cae8c",
			"f6c9575ed7ddd73e1f7d16eca115415812a43c2b747daaaae043abfb50053fce",
			"62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616",
			"ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868"},
		{"SHA-384", sha512.New384,
			"a5e2642633f5b8c81ad3fe0c2fe3a8e5ef806b06121dd10df4bb0fe857bfdcf522558e05d2682c9a80c741a3aab1716f",
			"b4d49bfa87747fe815457bc3da15073d6ac73389e703079a3503c09e14bd559a5b3c7c601c7365f6ea8c68d3d9596827",
			"10fd89ef689c7ef033387b8a8f3e5e8e7c11f680f6bdd71fbac3246a73e98d45d03185dde686e6b2369e4503e9dc5a6d" +
				"2cee3e2bf2fa3f41d3de57dff3e197c8a9d5f74cc2d277119d894f8584b07a0a5822f0bd68b3433ec6adaf5c9406c5f3" +
				"ddbb71bbe17ce98f3d4d5893d3179ef369f57aad908e2bf710639100c3ce7e0c",
			"abe4bf5527429ac8eb13574d2709e8012bd1a113c6d3b1d3aa2c3840518778ac",
			"cb6e0b3eb02976b6466dfa9651c2919414f1648fd3a7838d02153e5bd39535b6",
			"954b5fe1849c2ede177438261f099a2fcd884d001b9fe1de754364b1f6a6dd8e",
			"1b1c8568344a65c30828e7483c0e353e2c68641c9551efae6927d9cd627a107c"},
	} {
		k := NewKDF(tt.hash)
		main := k.MainSecret12(unhex(tt.preliminary), nil, unhex(tt.clientHello), unhex(tt.serverHello))
		if got := hex.EncodeToString(main.Bytes()); got != tt.main {
			t.Errorf("%s: the main secret is %s, want %s", tt.name, got, tt.main)
		}
		block := make([]byte, len(tt.block)/2)
		main.KeyBlock(k, block, unhex(tt.serverRandom), unhex(tt.clientRandom))
		if got := hex.EncodeToString(block); got != tt.block {
			t.Errorf("%s: the key block is %s, want %s", tt.name, got, tt.block)
		}
	}
}

func TestThePRFIsHMACAllTheWay(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		n := k.Size()
		// An ECDHE secret of P-521 is longer than a block of SHA-256.
		for _, secretLen := range []int{0, 1, 32, 48, 63, 64, 65, 66, 127, 128, 129, 300} {
			for _, seedLen := range [][2]int{{0, 0}, {1, 0}, {0, 1}, {32, 0}, {48, 0}, {32, 32}, {127, 1}, {128, 128}, {129, 0}, {64, 1000}} {
				for _, length := range []int{0, 1, 12, n - 1, n, n + 1, 40, 48, 72, 88, 2 * n, 5*n + 3} {
					secret, seed1, seed2 := fill(secretLen, 1), fill(seedLen[0], 2), fill(seedLen[1], 3)
					got := make([]byte, length)
					k.prf(got, secret, "label", seed1, seed2)
					if want := wantPRF(h.new, secret, "label", append(seed1, seed2...), length); !bytes.Equal(got, want) {
						t.Fatalf("%s: %d bytes for a secret of %d and seeds of %v differ from crypto/hmac", h.name, length, secretLen, seedLen)
					}
				}
			}
		}
		long := make([]byte, 255*n)
		k.prf(long, fill(48, 1), "label", fill(64, 2), nil)
		if !bytes.Equal(long, wantPRF(h.new, fill(48, 1), "label", fill(64, 2), 255*n)) {
			t.Errorf("%s: 255 hashes of output differ from crypto/hmac", h.name)
		}
	}
}

func TestNoPartOfALabelIsLost(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		for n := 1; n <= maxLabel12; n++ {
			label := strings.Repeat("l", n-1) + "!"
			got := make([]byte, 32)
			k.prf(got, fill(48, 1), label, fill(64, 2), nil)
			if !bytes.Equal(got, wantPRF(h.new, fill(48, 1), label, fill(64, 2), 32)) {
				t.Fatalf("%s: the PRF with a label of %d bytes differs from crypto/hmac", h.name, n)
			}
		}
	}
}

// The derivations of TLS 1.2, written down once more on top of crypto/hmac.
func TestSchedule12IsThePRF(t *testing.T) {
	clientRandom, serverRandom := fill(32, 1), fill(32, 2)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, h := range hashes {
		k := NewKDF(h.new)
		transcript := fill(k.Size(), 3)
		for name, shared := range map[string][]byte{"X25519": fill(32, 4), "P-384": fill(48, 4), "P-521": fill(66, 4)} {
			for ems, sessionHash := range map[bool][]byte{false: nil, true: transcript} {
				check := func(what string, got, want []byte) {
					t.Helper()
					if !bytes.Equal(got, want) {
						t.Errorf("%s, %s, extended_main_secret %v: %s is %x, want %x", h.name, name, ems, what, got, want)
					}
				}
				main := k.MainSecret12(shared, sessionHash, clientRandom, serverRandom)
				want := wantPRF(h.new, shared, "master secret", join(clientRandom, serverRandom), 48)
				if ems {
					want = wantPRF(h.new, shared, "extended master secret", transcript, 48)
				}
				check("the main secret", main.Bytes(), want)

				block := make([]byte, 88)
				main.KeyBlock(k, block, serverRandom, clientRandom)
				check("the key block", block, wantPRF(h.new, want, "key expansion", join(serverRandom, clientRandom), 88))
				check("the client's verify_data", main.Finished(k, nil, true, transcript),
					wantPRF(h.new, want, "client finished", transcript, 12))
				check("the server's verify_data", main.Finished(k, nil, false, transcript),
					wantPRF(h.new, want, "server finished", transcript, 12))
				if !bytes.Equal(main.Bytes(), want) {
					t.Errorf("%s: deriving from the main secret changes it", h.name)
				}
			}
		}
	}
}

func TestAMainSecretKnowsWhetherItIsExtended(t *testing.T) {
	k := NewKDF(sha256.New)
	derive := func(transcript []byte, client, server byte) string {
		main := k.MainSecret12(fill(32, 1), transcript, fill(32, client), fill(32, server))
		return string(main.Bytes())
	}
	if derive(nil, 2, 3) == derive(nil, 2, 4) || derive(nil, 2, 3) == derive(nil, 4, 3) || derive(nil, 2, 3) == derive(nil, 3, 2) {
		t.Error("without extended_main_secret the main secret must depend on both randoms and their order")
	}
	if derive(fill(32, 5), 2, 3) != derive(fill(32, 5), 6, 7) {
		t.Error("with extended_main_secret the randoms are in the transcript only: RFC 7627, Section 4")
	}
	if derive(fill(32, 5), 2, 3) == derive(fill(32, 6), 2, 3) {
		t.Error("with extended_main_secret the main secret must depend on the transcript")
	}
	if derive([]byte{}, 2, 3) == derive(nil, 2, 3) {
		t.Error("an empty transcript is not the same as none")
	}
}

// A shorter key block is the beginning of a longer one, so that whoever cuts it
// into keys and IVs may ask for what the suite needs and no more.
func TestAKeyBlockIsCutFromOneStream(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		main := MainSecret12From(fill(48, 1))
		whole := make([]byte, 2*(32+12))
		main.KeyBlock(k, whole, fill(32, 2), fill(32, 3))
		for suite, n := range map[string]int{"AES-128-GCM": 2 * (16 + 4), "AES-256-GCM": 2 * (32 + 4), "ChaCha20": 2 * (32 + 12), "nothing": 0} {
			block := make([]byte, n)
			main.KeyBlock(k, block, fill(32, 2), fill(32, 3))
			if !bytes.Equal(block, whole[:n]) {
				t.Errorf("%s: the key block for %s is %x, want the beginning of %x", h.name, suite, block, whole)
			}
		}
		swapped := make([]byte, len(whole))
		main.KeyBlock(k, swapped, fill(32, 3), fill(32, 2))
		if bytes.Equal(swapped, whole) {
			t.Errorf("%s: the order of the randoms makes no difference to the key block", h.name)
		}
	}
}

func TestVerifyData12IsAppended(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		main := MainSecret12From(fill(48, 1))
		alone := main.Finished(k, nil, true, fill(k.Size(), 2))
		behind := main.Finished(k, []byte("header"), true, fill(k.Size(), 2))
		if len(alone) != FinishedLen12 || FinishedLen12 != 12 || string(behind) != "header"+string(alone) {
			t.Errorf("%s: Finished does not append 12 bytes to what is there: %x, %x", h.name, alone, behind)
		}
		if bytes.Equal(alone, main.Finished(k, nil, false, fill(k.Size(), 2))) {
			t.Errorf("%s: client and server have the same verify_data, which could be reflected", h.name)
		}
	}
}

func TestTheSecretOfASessionIsTheSame(t *testing.T) {
	k := NewKDF(sha512.New384)
	main := k.MainSecret12(fill(32, 1), nil, fill(32, 2), fill(32, 3))
	if len(main.Bytes()) != 48 {
		t.Fatalf("the main secret has %d bytes, want 48", len(main.Bytes()))
	}
	stored := bytes.Clone(main.Bytes())
	again := MainSecret12From(stored)
	if again != main {
		t.Errorf("the secret of the session is %x, want %x", again.Bytes(), main.Bytes())
	}
	aliased := again.Bytes()
	clear(stored)
	if again != main {
		t.Error("the secret refers to the memory of the session")
	}
	if again.Clear(); !zero(aliased) || !zero(again.Bytes()) {
		t.Error("Clear leaves something of a main secret, or of what Bytes returned")
	}
	if longer := MainSecret12From(fill(100, 1)); !bytes.Equal(longer.Bytes(), fill(100, 1)[:48]) {
		t.Errorf("a main secret of %d bytes is taken", len(longer.Bytes()))
	}
}

// RFC 5705, Section 4.
func TestExporter12(t *testing.T) {
	clientRandom, serverRandom := fill(32, 1), fill(32, 2)
	for _, h := range hashes {
		k := NewKDF(h.new)
		main := MainSecret12From(fill(48, 3))
		seen := map[string]string{}
		for _, tt := range []struct {
			name, label string
			context     []byte
			length      int
		}{
			{"no context", "EXPERIMENTAL label", nil, 32},
			{"an empty context", "EXPERIMENTAL label", []byte{}, 32},
			{"a context of two zeros", "EXPERIMENTAL label", []byte{0, 0}, 32},
			{"a context of one byte", "EXPERIMENTAL label", []byte{1}, 32},
			{"a context of 256 bytes", "EXPERIMENTAL label", fill(256, 4), 32},
			{"the longest context", "EXPERIMENTAL label", fill(1<<16-1, 4), 32},
			{"another label", "EXPERIMENTAL labe", nil, 32},
			{"a label of one byte", "l", nil, 32},
			{"a label of 128 bytes", strings.Repeat("l", 128), nil, 32},
			{"255 hashes", "EXPERIMENTAL long", nil, 255 * h.new().Size()},
			{"nothing", "EXPERIMENTAL nothing", nil, 0},
		} {
			seed := append(bytes.Clone(clientRandom), serverRandom...)
			if tt.context != nil {
				seed = append(seed, byte(len(tt.context)>>8), byte(len(tt.context)))
				seed = append(seed, tt.context...)
			}
			got := make([]byte, tt.length)
			if err := main.Export(k, tt.label, tt.context, got, clientRandom, serverRandom); err != nil {
				t.Errorf("%s: exporting with %s fails: %v", h.name, tt.name, err)
				continue
			}
			if want := wantPRF(h.new, main.Bytes(), tt.label, seed, tt.length); !bytes.Equal(got, want) {
				t.Errorf("%s: with %s the material is %x, want %x", h.name, tt.name, got[:min(32, len(got))], want[:min(32, len(want))])
			}
			if other, ok := seen[string(got)]; ok {
				t.Errorf("%s: with %s the material is that of %s", h.name, tt.name, other)
			}
			seen[string(got)] = tt.name
		}
	}
}

func TestLongLabelsExportDifferentMaterial(t *testing.T) {
	k := NewKDF(sha256.New)
	main := MainSecret12From(fill(48, 1))
	export := func(label string) string {
		out := make([]byte, 32)
		if err := main.Export(k, label, nil, out, fill(32, 2), fill(32, 3)); err != nil {
			t.Fatalf("a label of %d bytes is refused: %v", len(label), err)
		}
		return string(out)
	}
	common := strings.Repeat("l", maxLabel12-1)
	if export(common+"a") == export(common+"b") {
		t.Errorf("two labels of %d bytes that differ in the last one export the same material", maxLabel12)
	}
}

// "These entries are reserved and MUST NOT be used": RFC 5705, Section 6. Labels
// that begin like them are others.
func TestReservedLabelsAreNotExported(t *testing.T) {
	k := NewKDF(sha256.New)
	main := MainSecret12From(fill(48, 1))
	for _, reserved := range []string{"client finished", "server finished", "master secret", "key expansion"} {
		for _, context := range [][]byte{nil, {}, fill(10, 4)} {
			out := make([]byte, 32)
			if err := main.Export(k, reserved, context, out, fill(32, 2), fill(32, 3)); err != ErrExporterReserved || !zero(out) {
				t.Errorf("%q with the context %x: the error is %v and the output %x, want ErrExporterReserved and none", reserved, context, err, out)
			}
			if err := main.Export(k, reserved+" of mine", context, out, fill(32, 2), fill(32, 3)); err != nil || zero(out) {
				t.Errorf("%q with the context %x: the error is %v and the output %x, want none and some", reserved+" of mine", context, err, out)
			}
		}
	}
}

func TestExporter12RefusesWhatTLS13Refuses(t *testing.T) {
	k := NewKDF(sha256.New)
	main := MainSecret12From(fill(48, 1))
	for _, tt := range []struct {
		name    string
		label   string
		context []byte
		length  int
		want    error
	}{
		{"an empty label", "", nil, 32, ErrExporterLabel},
		{"a label of 250 bytes", strings.Repeat("l", 250), nil, 32, ErrExporterLabel},
		{"a label of 64 KiB", strings.Repeat("l", 1<<16), nil, 32, ErrExporterLabel},
		{"255 hashes and a byte", "label", nil, 255*32 + 1, ErrExporterLength},
		{"a context of 64 KiB", "label", make([]byte, 1<<16), 32, ErrExporterContext},
	} {
		out := make([]byte, tt.length)
		if err := main.Export(k, tt.label, tt.context, out, fill(32, 2), fill(32, 3)); !errors.Is(err, tt.want) {
			t.Errorf("%s: the error is %v, want %v", tt.name, err, tt.want)
		}
		if !zero(out) {
			t.Errorf("%s is refused, and yet there is output", tt.name)
		}
	}
}

func TestExporting12LeavesItsInputsAlone(t *testing.T) {
	k := NewKDF(sha256.New)
	main := MainSecret12From(fill(48, 1))
	// Room behind the randoms, which an append would write to.
	room := fill(200, 2)
	client, server, context := room[:32], room[32:64], room[64:100]
	if err := main.Export(k, "label", context, make([]byte, 32), client, server); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(room, fill(200, 2)) {
		t.Error("exporting writes behind the randoms that it was given")
	}
}

func TestClearErasesTheKDFAfterThePRF(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		main := k.MainSecret12(fill(66, 1), nil, fill(32, 2), fill(32, 3))
		main.KeyBlock(k, make([]byte, 88), fill(32, 3), fill(32, 2))
		k.Clear()
		for name, memory := range map[string][]byte{"pad": k.pad[:], "sum": k.sum[:], "chunk": k.chunk[:], "label": k.label[:]} {
			if !zero(memory) {
				t.Errorf("%s: %s still holds something of the PRF after Clear", h.name, name)
			}
		}
		if again := k.MainSecret12(fill(66, 1), nil, fill(32, 2), fill(32, 3)); again != main {
			t.Errorf("%s: a KDF derives something else after Clear", h.name)
		}
	}
}

func TestSchedule12AllocatesNothing(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		shared, client, server, transcript := fill(66, 1), fill(32, 2), fill(32, 3), fill(k.Size(), 4)
		block, mac := make([]byte, 88), make([]byte, 0, FinishedLen12)
		if allocs := testing.AllocsPerRun(20, func() {
			main := k.MainSecret12(shared, nil, client, server)
			main.Clear()
			main = k.MainSecret12(shared, transcript, client, server)
			main = MainSecret12From(main.Bytes())
			main.KeyBlock(k, block, server, client)
			main.Finished(k, mac, true, transcript)
			main.Finished(k, mac, false, transcript)
			main.Clear()
			k.Clear()
		}); allocs != 0 {
			t.Errorf("%s: a whole key schedule of TLS 1.2 makes %v allocations, want none", h.name, allocs)
		}
	}
}

// "No derivation allocates", says the package, and TLS 1.3's exporter keeps it.
func TestExporting12AllocatesNothing(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		main := MainSecret12From(fill(48, 1))
		client, server, context, out := fill(32, 2), fill(32, 3), fill(1000, 4), make([]byte, 100)
		var err error
		if allocs := testing.AllocsPerRun(20, func() {
			err = main.Export(k, "label", context, out, client, server)
		}); allocs != 0 || err != nil {
			t.Errorf("%s: exporting makes %v allocations, want none (error: %v)", h.name, allocs, err)
		}
	}
}

// FuzzPRF holds the PRF to crypto/hmac.
func FuzzPRF(f *testing.F) {
	f.Add([]byte("secret"), "label", []byte("seed"), uint8(2), uint16(100), false)
	f.Add(fill(66, 1), "extended master secret", fill(48, 2), uint8(48), uint16(48), true)
	f.Add(fill(48, 1), strings.Repeat("l", 200), fill(64, 2), uint8(32), uint16(40), true)
	f.Fuzz(func(t *testing.T, secret []byte, label string, seed []byte, cut uint8, length uint16, sha384 bool) {
		newHash := sha256.New
		if sha384 {
			newHash = sha512.New384
		}
		if len(label) > maxLabel12 {
			return
		}
		at := min(int(cut), len(seed))
		got := make([]byte, length)
		NewKDF(newHash).prf(got, secret, label, seed[:at], seed[at:])
		if !bytes.Equal(got, wantPRF(newHash, secret, label, seed, int(length))) {
			t.Errorf("%d bytes for a label of %d and a seed of %d, cut at %d, differ from crypto/hmac", length, len(label), len(seed), at)
		}
	})
}
