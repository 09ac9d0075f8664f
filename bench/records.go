package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/baretls/baretls"
)

// suite is an AEAD, and the cipher suites that use it.
type suite struct {
	name    string
	id      uint16 // of TLS 1.3
	ecdsa12 uint16 // of TLS 1.2, by type of key
	rsa12   uint16
	keyLen  int
	newAEAD func(key []byte) (cipher.AEAD, error)
}

var suites = []suite{
	{"AES-128-GCM", tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 16, newGCM},
	{"AES-256-GCM", tls.TLS_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, 32, newGCM},
	{"ChaCha20-Poly1305", tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 32, chacha20poly1305.New},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// of is the cipher suites of a version, of which the key type chooses.
func (s suite) of(version uint16) []uint16 {
	if version == tls.VersionTLS13 {
		return []uint16{s.id}
	}
	return []uint16{s.ecdsa12, s.rsa12}
}

func versionName(version uint16) string {
	if version == tls.VersionTLS13 {
		return "1.3"
	}
	return "1.2"
}

// nameInPlace is baretls with data that lies in the output already.
const nameInPlace = "baretls in place"

// records are the scenarios of sealing or opening records.
type records struct {
	pki    *pki
	rustls *rustls // nil without it
}

func (r records) scenario(work string, version uint16, s suite, size int) scenario {
	return scenario{
		labels: []string{s.name, strconv.Itoa(size)},
		begin: func() ([]contender, error) {
			var contenders []contender
			aad, content := 5, size+1 // the header; with the type (RFC 9846, Section 5.2)
			if version == tls.VersionTLS12 {
				aad, content = 13, size // sequence number and header (RFC 5246, Section 6.2.3.3)
			}
			switch {
			case work == "open":
				contenders = []contender{r.open(version, s, size), openBare(s, content, aad), r.openStd(version, s, size)}
			case version == tls.VersionTLS13:
				contenders = []contender{
					r.seal(version, s, size), r.sealInPlace(version, s, size),
					sealBare(nameAEAD, s, content, aad), sealBare(nameAEADNoType, s, size, aad), sealCopied(s, size),
					r.sealStd(version, s, size),
				}
			default:
				contenders = []contender{
					r.seal(version, s, size), r.sealInPlace(version, s, size), sealBare(nameAEAD, s, content, aad),
					r.sealStd(version, s, size),
				}
			}
			if r.rustls != nil {
				contenders = append(contenders, r.rustls.contender(work, version, ecdsaKey, tls.X25519, s.name, size))
			}
			return contenders, nil
		},
	}
}

// established is a pair of baretls with that suite.
func (r records) established(version uint16, s suite) (*pair, error) {
	clientConfig, serverConfig := configs(r.pki, handshake{version: version, key: ecdsaKey, group: tls.X25519})
	clientConfig.CipherSuites, serverConfig.CipherSuites = s.of(version), s.of(version)
	p := newPair(clientConfig, serverConfig)
	return p, p.connect(new(clock))
}

// establishedStd is a server of crypto/tls with that suite, which is chosen by
// its client, one of baretls: in TLS 1.3 crypto/tls offers no choice itself.
func (r records) establishedStd(version uint16, s suite) (*mixedPair, error) {
	h := handshake{version: version, key: ecdsaKey, group: tls.X25519}
	clientConfig, _ := configs(r.pki, h)
	_, serverConfig := stdConfigs(r.pki, h)
	clientConfig.CipherSuites, serverConfig.CipherSuites = s.of(version), s.of(version)
	m := newMixedPair()
	return m, m.accept(&m.transport, clientConfig, serverConfig)
}

// seal encrypts data that lies in memory of its own.
func (r records) seal(version uint16, s suite, size int) contender {
	data := make([]byte, size)
	return r.sealing(nameBaretls, version, s, size, func(baretls.WriteTraffic, []byte) []byte { return data })
}

// sealInPlace encrypts data that lies where it belongs in the output, whatever
// it is there: what was encrypted before.
func (r records) sealInPlace(version uint16, s suite, size int) contender {
	return r.sealing(nameInPlace, version, s, size, func(write baretls.WriteTraffic, out []byte) []byte {
		return out[write.PayloadOffset():][:size]
	})
}

func (r records) sealing(name string, version uint16, s suite, size int, from func(write baretls.WriteTraffic, out []byte) []byte) contender {
	out := make([]byte, size+256) // a KeyUpdate fits too
	return contender{name: name, run: func(n int, c *clock) error {
		p, err := r.established(version, s)
		if err != nil {
			return err
		}
		write, err := p.client.writer()
		if err != nil {
			return err
		}
		data := from(write, out)
		c.start(client)
		for range n {
			if _, err := write.Encrypt(data, out); err != nil {
				return err
			}
		}
		c.stop()
		return nil
	}}
}

func (r records) sealStd(version uint16, s suite, size int) contender {
	data := make([]byte, size)
	return contender{name: nameStd, run: func(n int, c *clock) error {
		m, err := r.establishedStd(version, s)
		if err != nil {
			return err
		}
		m.transport.peer = nil
		c.start(server)
		for range n {
			if _, err := m.std.Write(data); err != nil {
				return err
			}
		}
		c.stop()
		return nil
	}}
}

// batch is how much plaintext is sealed ahead, to be opened: small enough for
// the cache, for each that opens.
const batch = 256 << 10

// inBatches lets records be sealed while the clock stands and opened while it
// runs.
func inBatches(n, size int, c *clock, seal, open func(count int) error) error {
	for n > 0 {
		count := min(batch/size, n)
		if err := seal(count); err != nil {
			return err
		}
		c.start(server)
		if err := open(count); err != nil {
			return err
		}
		c.stop()
		n -= count
	}
	return nil
}

var errNotOpened = errors.New("a record did not open")

// open takes the whole way of a record: the turn that offers it, NextRecord,
// and the quiet turn that comes before the next receive.
func (r records) open(version uint16, s suite, size int) contender {
	data := make([]byte, size)
	var sealed []byte
	return contender{name: nameBaretls, run: func(n int, c *clock) error {
		p, err := r.established(version, s)
		if err != nil {
			return err
		}
		write, err := p.client.writer()
		if err != nil {
			return err
		}
		conn := p.server.conn
		return inBatches(n, size, c, func(count int) (err error) {
			sealed = sealed[:0]
			for range count {
				if sealed, err = write.AppendEncrypted(sealed, data); err != nil {
					return err
				}
			}
			return nil
		}, func(count int) error {
			record := len(sealed) / count
			for in := sealed; len(in) > 0; {
				status, err := conn.ProcessTLSRecords(in[:record:record])
				if err != nil {
					return err
				}
				read, ok := status.State.(baretls.ReadTraffic)
				if !ok {
					return fmt.Errorf("a record leads to %T, want ReadTraffic", status.State)
				}
				rec, ok := read.NextRecord()
				if !ok || len(rec.Payload) != size {
					return errNotOpened
				}
				in = in[status.Discard+rec.Discard:]
				if _, err := conn.ProcessTLSRecords(nil); err != nil {
					return err
				}
			}
			return nil
		})
	}}
}

func (r records) openStd(version uint16, s suite, size int) contender {
	data, opened := make([]byte, size), make([]byte, size)
	return contender{name: nameStd, run: func(n int, c *clock) error {
		m, err := r.establishedStd(version, s)
		if err != nil {
			return err
		}
		return inBatches(n, size, c, func(count int) error {
			m.transport.in, m.transport.off = m.transport.in[:0], 0
			for range count {
				if err := m.peer.send(data); err != nil {
					return err
				}
			}
			return nil
		}, func(count int) error {
			for range count {
				if _, err := io.ReadFull(m.std, opened); err != nil {
					return err
				}
			}
			return nil
		})
	}}
}

// bare is an AEAD with what each record needs besides: a fresh nonce.
type bare struct {
	aead  cipher.AEAD
	seq   uint64
	nonce [12]byte
}

func newBare(s suite) (*bare, error) {
	aead, err := s.newAEAD(make([]byte, s.keyLen))
	return &bare{aead: aead}, err
}

func (b *bare) next() []byte {
	binary.BigEndian.PutUint64(b.nonce[4:], b.seq)
	b.seq++
	return b.nonce[:]
}

// sealBare is the AEAD alone, from one memory into another.
func sealBare(name string, s suite, size, aad int) contender {
	data, out, header := make([]byte, size), make([]byte, 0, size+16), make([]byte, aad)
	return contender{name: name, run: func(n int, c *clock) error {
		b, err := newBare(s)
		if err != nil {
			return err
		}
		c.start(client)
		for range n {
			b.aead.Seal(out, b.next(), data, header)
		}
		c.stop()
		return nil
	}}
}

// sealCopied is the least that a record of TLS 1.3 can cost if the plaintext is
// to stay as it is: an AEAD takes its input in one piece, so plaintext and type
// are put behind the header first, and encrypted there.
func sealCopied(s suite, size int) contender {
	data, record := make([]byte, size), make([]byte, 5+size+1+16)
	inner := record[5 : 5+size+1]
	return contender{name: nameAEADCopy, run: func(n int, c *clock) error {
		b, err := newBare(s)
		if err != nil {
			return err
		}
		c.start(client)
		for range n {
			copy(inner, data)
			inner[size] = 23
			b.aead.Seal(inner[:0], b.next(), inner, record[:5])
		}
		c.stop()
		return nil
	}}
}

// openBare is the AEAD alone, in place.
func openBare(s suite, size, aad int) contender {
	data, header := make([]byte, size), make([]byte, aad)
	var sealed []byte
	return contender{name: nameAEAD, run: func(n int, c *clock) error {
		from, err := newBare(s)
		if err != nil {
			return err
		}
		to, err := newBare(s)
		if err != nil {
			return err
		}
		return inBatches(n, size, c, func(count int) error {
			sealed = sealed[:0]
			for range count {
				sealed = from.aead.Seal(sealed, from.next(), data, header)
			}
			return nil
		}, func(count int) error {
			for in := sealed; len(in) > 0; in = in[size+16:] {
				if _, err := to.aead.Open(in[:0], to.next(), in[:size+16], header); err != nil {
					return err
				}
			}
			return nil
		})
	}}
}
