package keyschedule

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"reflect"
	"strings"
	"testing"
)

// hashes are those that TLS 1.3 uses.
var hashes = []struct {
	name string
	new  func() hash.Hash
}{
	{"SHA-256", sha256.New},
	{"SHA-384", sha512.New384},
}

// The test cases for SHA-256 of RFC 5869, Appendix A.
func TestRFC5869(t *testing.T) {
	for _, tt := range []struct{ name, ikm, salt, info, prk, okm string }{
		{
			"A.1: basic",
			strings.Repeat("0b", 22), "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
			"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
		}, {
			"A.2: longer inputs and outputs",
			sequence(0x00, 80), sequence(0x60, 80), sequence(0xb0, 80),
			"06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
			"b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
		}, {
			"A.3: no salt and no info",
			strings.Repeat("0b", 22), "", "",
			"19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
			"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := NewKDF(sha256.New)
			var prk secret
			k.extract(&prk, unhex(tt.salt), unhex(tt.ikm))
			if got := hex.EncodeToString(prk.bytes()); got != tt.prk {
				t.Errorf("HKDF-Extract is %s, want %s", got, tt.prk)
			}
			okm := make([]byte, len(tt.okm)/2)
			k.expand(okm, prk.bytes(), unhex(tt.info))
			if got := hex.EncodeToString(okm); got != tt.okm {
				t.Errorf("HKDF-Expand is %s, want %s", got, tt.okm)
			}
		})
	}
}

func TestMACIsHMAC(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		for keyLen := 0; keyLen <= 300; keyLen += 7 {
			for _, dataLen := range []int{0, 1, 63, 64, 65, 127, 128, 129, 1000} {
				key, data := fill(keyLen, 1), fill(dataLen, 2)
				want := hmac.New(h.new, key)
				want.Write(data)
				got := make([]byte, k.Size())
				k.mac(got, key, data)
				if !bytes.Equal(got, want.Sum(nil)) {
					t.Fatalf("%s: the MAC of %d bytes under a key of %d differs from crypto/hmac", h.name, dataLen, keyLen)
				}
			}
		}
		for _, keyLen := range []int{k.block - 1, k.block, k.block + 1} {
			want := hmac.New(h.new, fill(keyLen, 1))
			got := make([]byte, k.Size())
			if k.mac(got, fill(keyLen, 1), nil); !bytes.Equal(got, want.Sum(nil)) {
				t.Errorf("%s: a key of %d bytes, about a block, is treated differently from crypto/hmac", h.name, keyLen)
			}
		}
	}
}

func TestExpandLabelIsHKDF(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		n := k.Size()
		for _, length := range []int{0, 1, 12, n - 1, n, n + 1, 2 * n, 255*n - 1, 255 * n} {
			for _, label := range []string{"k", "traffic upd", strings.Repeat("l", 249)} {
				for _, contextLen := range []int{0, n, 255} {
					prk, context := fill(n, 3), fill(contextLen, 4)
					got := make([]byte, length)
					k.expandLabel(got, prk, label, context)
					if want := wantExpandLabel(h.new, prk, label, context, length); !bytes.Equal(got, want) {
						t.Fatalf("%s: %d bytes for a label of %d and a context of %d differ from crypto/hkdf",
							h.name, length, len(label), contextLen)
					}
				}
			}
		}
	}
}

func TestExpandLabelRefusesWhatItCannotEncode(t *testing.T) {
	k := NewKDF(sha256.New)
	for name, derive := range map[string]func(){
		"a label of 250 bytes":       func() { k.expandLabel(make([]byte, 1), fill(32, 1), strings.Repeat("l", 250), nil) },
		"a context of 256 bytes":     func() { k.expandLabel(make([]byte, 1), fill(32, 1), "l", fill(256, 1)) },
		"more than 255 hashes":       func() { k.expandLabel(make([]byte, 255*32+1), fill(32, 1), "l", nil) },
		"a hash larger than SHA-384": func() { NewKDF(sha512.New) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic: a mistake of this code would go unnoticed", name)
				}
			}()
			derive()
		}()
	}
}

func TestClearErasesTheKDF(t *testing.T) {
	for _, h := range hashes {
		var recorders []*recordingHash
		k := NewKDF(func() hash.Hash {
			recorders = append(recorders, &recordingHash{Hash: h.new()})
			return recorders[len(recorders)-1]
		})
		var before secret
		k.extract(&before, fill(k.Size(), 1), fill(300, 2))
		k.expandLabel(make([]byte, 500), before.bytes(), "label", fill(255, 3))
		for _, r := range recorders {
			r.written = nil
		}
		k.Clear()
		for name, memory := range map[string][]byte{
			"pad": k.pad[:], "sum": k.sum[:], "chunk": k.chunk[:], "label": k.label[:],
		} {
			if !zero(memory) {
				t.Errorf("%s: %s still holds something after Clear", h.name, name)
			}
		}
		for _, r := range recorders {
			if len(r.written) != k.block || !zero(r.written) {
				t.Errorf("%s: Clear does not overwrite the block inside a hash with zeros", h.name)
			}
		}
		var after secret
		if k.extract(&after, fill(k.Size(), 1), fill(300, 2)); after != before {
			t.Errorf("%s: a KDF derives something else after Clear", h.name)
		}
	}
}

// A KDF may serve one connection after another: nothing tells it from a new one.
func TestClearMakesTheKDFAsGoodAsNew(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		if !reflect.DeepEqual(k, NewKDF(h.new)) {
			t.Fatalf("%s: two new KDFs differ, so that nothing can be said about old ones", h.name)
		}
		var transcript Transcript
		transcript.Start(k)
		transcript.Add(fill(1000, 1))
		early := k.EarlySecret(fill(k.Size(), 2))
		binder := early.Binder(k, false)
		binder.MAC(k, nil, transcript.SumWith(fill(100, 3)))
		traffic := early.ClientTraffic(k, transcript.Sum())
		traffic.LendKey(k, 32)
		main := k.MainSecret12(fill(48, 4), nil, fill(32, 5), fill(32, 6))
		if err := main.Export(k, "label", fill(300, 7), make([]byte, 100), fill(32, 5), fill(32, 6)); err != nil {
			t.Fatal(err)
		}
		transcript.Clear()
		k.Clear()
		if !reflect.DeepEqual(k, NewKDF(h.new)) {
			t.Errorf("%s: a cleared KDF differs from a new one", h.name)
		}
	}
}

// recordingHash remembers what was written since it was last told to forget.
type recordingHash struct {
	hash.Hash
	written []byte
}

func (r *recordingHash) Write(p []byte) (int, error) {
	r.written = append(r.written, p...)
	return r.Hash.Write(p)
}

// wantExpandLabel is HKDF-Expand-Label with the HkdfLabel written out and HKDF
// from the standard library.
func wantExpandLabel(newHash func() hash.Hash, prk []byte, label string, context []byte, length int) []byte {
	info := []byte{byte(length >> 8), byte(length), byte(6 + len(label))}
	info = append(info, "tls13 "+label...)
	info = append(info, byte(len(context)))
	info = append(info, context...)
	out, err := hkdf.Expand(newHash, prk, string(info), length)
	if err != nil {
		panic(err)
	}
	return out
}

// fill returns n bytes that differ from each other and for each seed.
func fill(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)*7 + seed*31 + 1
	}
	return b
}

func sequence(first, n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "%02x", first+i)
	}
	return s.String()
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
