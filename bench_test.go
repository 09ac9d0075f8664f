package baretls_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/algo"
	"github.com/baretls/baretls/internal/tlstest"
)

// Benchmarks of the records and of the handshake, beside the same work done by
// a bare cipher.AEAD and by crypto/tls. BENCHMARKS.md says how to run them; the
// module bench compares and judges.

var benchSuites = []struct {
	id      uint16
	name    string
	keyLen  int
	newAEAD func(key []byte) (cipher.AEAD, error)
}{
	{tls.TLS_AES_128_GCM_SHA256, "AES128GCM", 16, newGCM},
	{tls.TLS_AES_256_GCM_SHA384, "AES256GCM", 32, newGCM},
	{tls.TLS_CHACHA20_POLY1305_SHA256, "ChaCha20Poly1305", 32, chacha20poly1305.New},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

var benchSizes = []int{64, 1024, 16384}

// eachRecord runs a benchmark for every suite and size.
func eachRecord(b *testing.B, run func(b *testing.B, suite, size int)) {
	for s, suite := range benchSuites {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("suite=%s/size=%d", suite.name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, s, size)
			})
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	eachRecord(b, func(b *testing.B, suite, size int) { benchSeal(b, benchSuites[suite].id, size) })
}

func benchSeal(b *testing.B, suite uint16, size int) {
	client, _ := establishedPair(b, suite)
	benchEncrypt(b, client.quiet(b), make([]byte, size), sealRoom(size))
}

// BenchmarkSealInPlace encrypts data that lies in the output already.
func BenchmarkSealInPlace(b *testing.B) {
	eachRecord(b, func(b *testing.B, suite, size int) { benchSealInPlace(b, benchSuites[suite].id, size) })
}

func benchSealInPlace(b *testing.B, suite uint16, size int) {
	client, _ := establishedPair(b, suite)
	write, out := client.quiet(b), sealRoom(size)
	benchEncrypt(b, write, out[write.PayloadOffset():][:size], out)
}

func sealRoom(size int) []byte { return make([]byte, size+256) } // a KeyUpdate fits too

func benchEncrypt(b *testing.B, write baretls.WriteTraffic, data, out []byte) {
	for b.Loop() {
		if _, err := write.Encrypt(data, out); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSealHalf is a WriteHalf whose ReadHalf opens records meanwhile on
// another processor: of this connection, or of another one for comparison.
// What one half writes for every record must not slow the other down.
func BenchmarkSealHalf(b *testing.B) {
	for _, beside := range []string{"its own reader", "another reader"} {
		b.Run(beside, func(b *testing.B) {
			const size = 64
			suite := benchSuites[0].id
			reader, w, from := splitPairs(b, suite)
			if beside == "another reader" {
				reader, _, from = splitPairs(b, suite)
			}
			var stop atomic.Bool
			var reading sync.WaitGroup
			reading.Go(func() {
				in, data := []byte(nil), make([]byte, size)
				for !stop.Load() {
					in, _ = from.AppendEncrypted(in[:0], data)
					status, err := reader.ProcessTLSRecords(in)
					state, ok := status.State.(baretls.ReadTraffic)
					if !ok {
						b.Errorf("the reader is in %T, %v", status.State, err)
						return
					}
					for range state.Records() {
					}
				}
			})
			data, out := make([]byte, size), make([]byte, size+256)
			for b.Loop() {
				if _, err := w.Encrypt(data, out); err != nil {
					b.Fatal(err)
				}
			}
			stop.Store(true)
			reading.Wait()
		})
	}
}

// splitPairs returns the halves of a client, and the writer of its server.
func splitPairs(b *testing.B, suite uint16) (*baretls.ReadHalf, *baretls.WriteHalf, *baretls.WriteHalf) {
	client, server := establishedPair(b, suite)
	r, w, err := client.conn.Split()
	if err != nil {
		b.Fatal(err)
	}
	_, from, err := server.conn.Split()
	if err != nil {
		b.Fatal(err)
	}
	return r, w, from
}

// BenchmarkSealAEAD is the AEAD alone, from one memory into another: over
// content and type, as a record has them, and NoType without the type.
func BenchmarkSealAEAD(b *testing.B)       { benchSealAEAD(b, 1) }
func BenchmarkSealAEADNoType(b *testing.B) { benchSealAEAD(b, 0) }

func benchSealAEAD(b *testing.B, typeLen int) {
	eachRecord(b, func(b *testing.B, suite, size int) {
		bare := newBareAEAD(b, suite)
		data, out, header := make([]byte, size+typeLen), make([]byte, 0, size+typeLen+16), make([]byte, 5)
		for b.Loop() {
			bare.aead.Seal(out, bare.next(), data, header)
		}
	})
}

// BenchmarkSealAEADCopy is the least that a record can cost if the plaintext is
// to stay as it is: an AEAD takes its input in one piece, so that plaintext and
// type byte are put behind the header first, and encrypted there.
func BenchmarkSealAEADCopy(b *testing.B) {
	eachRecord(b, func(b *testing.B, suite, size int) {
		bare := newBareAEAD(b, suite)
		data, out := make([]byte, size), make([]byte, 5+size+1+16)
		for b.Loop() {
			bare.seal(out, data)
		}
	})
}

func BenchmarkStdSeal(b *testing.B) {
	eachRecord(b, func(b *testing.B, suite, size int) { benchStdSeal(b, benchSuites[suite].id, size) })
}

func benchStdSeal(b *testing.B, suite uint16, size int) {
	_, server := establishedStdPair(b, suite)
	data := make([]byte, size)
	server.pipe.discard = true
	for b.Loop() {
		if _, err := server.Write(data); err != nil {
			b.Fatal(err)
		}
	}
}

// What was opened is gone, so each record to be opened has to be sealed before,
// in batches with the clock stopped. All three ways to open work on batches of
// the same size, small enough for the cache: what differs is the opening.
const openBatch = 256 << 10 // bytes of plaintext

// BenchmarkOpen takes the whole way of a record: the turn that offers it,
// NextRecord, and the quiet turn that comes before the next receive.
func BenchmarkOpen(b *testing.B) {
	eachRecord(b, func(b *testing.B, suite, size int) { benchOpen(b, benchSuites[suite].id, size) })
}

func benchOpen(b *testing.B, suite uint16, size int) {
	client, server := establishedPair(b, suite)
	client.conn.ProcessTLSRecords(nil)
	write := server.quiet(b)
	data := make([]byte, size)
	var batch []byte
	for n := 0; n < b.N; {
		b.StopTimer()
		batch = batch[:0]
		count := min(openBatch/size, b.N-n)
		for range count {
			var err error
			if batch, err = write.AppendEncrypted(batch, data); err != nil {
				b.Fatal(err)
			}
		}
		size := len(batch) / count
		b.StartTimer()
		for in := batch; len(in) > 0; n++ {
			status, err := client.conn.ProcessTLSRecords(in[:size:size])
			if err != nil {
				b.Fatal(err)
			}
			read, ok := status.State.(baretls.ReadTraffic)
			if !ok {
				b.Fatalf("state is %T, want ReadTraffic", status.State)
			}
			rec, ok := read.NextRecord()
			if !ok || len(rec.Payload) != len(data) {
				b.Fatalf("a record of %d bytes did not open", len(data))
			}
			in = in[status.Discard+rec.Discard:]
			if _, err := client.conn.ProcessTLSRecords(nil); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkOpenAEAD(b *testing.B) {
	eachRecord(b, func(b *testing.B, suite, size int) {
		seal, open := newBareAEAD(b, suite), newBareAEAD(b, suite)
		data := make([]byte, size)
		sealedLen := 5 + size + 1 + 16
		batch := make([]byte, openBatch/size*sealedLen)
		for n := 0; n < b.N; {
			b.StopTimer()
			count := min(openBatch/size, b.N-n)
			in := batch[:count*sealedLen]
			for out := in; len(out) > 0; out = out[sealedLen:] {
				seal.seal(out[:sealedLen], data)
			}
			b.StartTimer()
			for ; len(in) > 0; n++ {
				if err := open.open(in[:sealedLen]); err != nil {
					b.Fatal(err)
				}
				in = in[sealedLen:]
			}
		}
	})
}

func BenchmarkStdOpen(b *testing.B) {
	eachRecord(b, func(b *testing.B, suite, size int) { benchStdOpen(b, benchSuites[suite].id, size) })
}

func benchStdOpen(b *testing.B, suite uint16, size int) {
	client, server := establishedStdPair(b, suite)
	data := make([]byte, size)
	for n := 0; n < b.N; {
		b.StopTimer()
		count := min(openBatch/size, b.N-n)
		for range count {
			if _, err := server.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		for end := n + count; n < end; n++ {
			if _, err := io.ReadFull(client, data); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// bareAEAD seals and opens records with nothing around the AEAD but what
// RFC 9846, Section 5.2, makes necessary.
type bareAEAD struct {
	aead  cipher.AEAD
	seq   uint64
	iv    [12]byte
	nonce [12]byte
}

func newBareAEAD(b *testing.B, suite int) *bareAEAD {
	aead, err := benchSuites[suite].newAEAD(make([]byte, benchSuites[suite].keyLen))
	if err != nil {
		b.Fatal(err)
	}
	return &bareAEAD{aead: aead}
}

func (a *bareAEAD) next() []byte {
	a.nonce = a.iv
	binary.BigEndian.PutUint64(a.nonce[4:], binary.BigEndian.Uint64(a.iv[4:])^a.seq)
	a.seq++
	return a.nonce[:]
}

func (a *bareAEAD) seal(out, data []byte) {
	n := len(data) + 1 + 16
	out[0], out[1], out[2], out[3], out[4] = 23, 3, 3, byte(n>>8), byte(n)
	inner := out[5 : 5+len(data)+1]
	copy(inner, data)
	inner[len(data)] = 23
	a.aead.Seal(inner[:0], a.next(), inner, out[:5])
}

func (a *bareAEAD) open(rec []byte) error {
	_, err := a.aead.Open(rec[5:5], a.next(), rec[5:], rec[:5])
	return err
}

// benchHandshakes are the handshakes that are measured.
var benchHandshakes = []struct {
	kx   tls.CurveID
	name string
	cert tlstest.Kind
}{
	{tls.X25519, "kx=X25519/cert=ECDSA-P256", tlstest.ECDSAP256},
	{tls.X25519MLKEM768, "kx=X25519MLKEM768/cert=ECDSA-P256", tlstest.ECDSAP256},
	{tls.CurveP256, "kx=P256/cert=ECDSA-P256", tlstest.ECDSAP256},
	{tls.X25519, "kx=X25519/cert=RSA-2048", tlstest.RSA2048},
	{tls.X25519, "kx=X25519/cert=Ed25519", tlstest.Ed25519},
}

// BenchmarkHandshake is a full handshake, both ends of it, without resumption:
// the client verifies the chain and its name, and both ends' Finished count.
// The client comes back to the same server, whose chain it remembers; "first"
// is a client that has never been there, and has a config to compile.
func BenchmarkHandshake(b *testing.B) {
	roots, _ := tlstest.CA()
	for _, h := range benchHandshakes {
		newConfig := func() *baretls.ClientConfig {
			return &baretls.ClientConfig{
				RootCAs: roots,
				Groups:  []tls.CurveID{h.kx},
			}
		}
		run := func(b *testing.B, clientConfig func() *baretls.ClientConfig) {
			serverConfig := &baretls.ServerConfig{
				Certificates: []tls.Certificate{tlstest.Leaf(h.cert)},
				Groups:       []tls.CurveID{h.kx},

				SessionTicketsDisabled: true, // or all but the first would be resumed
			}
			var client, server loopEnd // their buffers are a caller's, and reused
			b.ReportAllocs()
			for b.Loop() {
				connect(b, &client, &server, clientConfig(), serverConfig)
				if got := client.conn.NegotiatedKeyExchangeGroup(); got != h.kx {
					b.Fatalf("group is %v, want %v", got, h.kx)
				}
			}
		}
		b.Run(h.name, func(b *testing.B) {
			known := newConfig()
			run(b, func() *baretls.ClientConfig { return known })
		})
		b.Run(h.name+"/first", func(b *testing.B) { run(b, newConfig) })
	}
}

// BenchmarkStdHandshake is the same by crypto/tls, over a pipe that keeps its
// buffers. Its two ends wait for each other and so take turns, on goroutines.
func BenchmarkStdHandshake(b *testing.B) {
	for _, h := range benchHandshakes {
		b.Run(h.name, func(b *testing.B) {
			clientConfig, serverConfig := stdConfigs(h.cert)
			clientConfig.CurvePreferences = []tls.CurveID{h.kx}
			serverConfig.CurvePreferences = []tls.CurveID{h.kx}
			clientPipe, serverPipe := newPipe()
			accepted, done := make(chan *tls.Conn), make(chan error)
			go func() { // one for all, so that no goroutine is counted
				for conn := range accepted {
					done <- conn.Handshake()
				}
			}()
			defer close(accepted)
			b.ReportAllocs()
			for b.Loop() {
				clientPipe.reset()
				serverPipe.reset()
				client := tls.Client(clientPipe, clientConfig)
				accepted <- tls.Server(serverPipe, serverConfig)
				if err := client.Handshake(); err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				if got := client.ConnectionState().CurveID; got != h.kx {
					b.Fatalf("group is %v, want %v", got, h.kx)
				}
			}
		})
	}
}

// benchResumptions are the key exchanges of the resumptions that are measured.
var benchResumptions = []struct {
	kx   tls.CurveID
	name string
}{
	{tls.X25519, "kx=X25519"},
	{tls.X25519MLKEM768, "kx=X25519MLKEM768"},
}

// BenchmarkResumed is a handshake with the ticket of the one before: PSK and
// key exchange, a new ticket, and a byte of data behind it, which is what makes
// a client of crypto/tls read the ticket.
func BenchmarkResumed(b *testing.B) {
	roots, _ := tlstest.CA()
	for _, r := range benchResumptions {
		b.Run(r.name, func(b *testing.B) {
			clientConfig := &baretls.ClientConfig{
				RootCAs: roots,
				Groups:  []tls.CurveID{r.kx},
			}
			serverConfig := &baretls.ServerConfig{
				Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
				Groups:       []tls.CurveID{r.kx},
			}
			var client, server loopEnd
			connect(b, &client, &server, clientConfig, serverConfig)
			b.ReportAllocs()
			for b.Loop() {
				connect(b, &client, &server, clientConfig, serverConfig)
				if got := client.conn.HandshakeKind(); got != baretls.HandshakeResumed {
					b.Fatalf("the handshake is %v, want a resumed one", got)
				}
				var err error
				if client.in, err = server.quiet(b).AppendEncrypted(client.in, []byte{0}); err != nil {
					b.Fatal(err)
				}
				client.received = 0
				if err := client.run(&server); err != nil || client.received != 1 {
					b.Fatalf("%d bytes and error %v came behind the ticket, want one and none", client.received, err)
				}
			}
		})
	}
}

// BenchmarkStdResumed is the same by crypto/tls: see BenchmarkStdHandshake.
func BenchmarkStdResumed(b *testing.B) {
	for _, r := range benchResumptions {
		b.Run(r.name, func(b *testing.B) {
			clientConfig, serverConfig := stdConfigs(tlstest.ECDSAP256)
			clientConfig.CurvePreferences = []tls.CurveID{r.kx}
			serverConfig.CurvePreferences = []tls.CurveID{r.kx}
			clientConfig.SessionTicketsDisabled, serverConfig.SessionTicketsDisabled = false, false
			clientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
			clientPipe, serverPipe := newPipe()
			accepted, done := make(chan *tls.Conn), make(chan error)
			go func() {
				for conn := range accepted {
					_, err := conn.Write([]byte{0})
					done <- err
				}
			}()
			defer close(accepted)
			data := make([]byte, 1)
			handshake := func() *tls.Conn {
				clientPipe.reset()
				serverPipe.reset()
				client := tls.Client(clientPipe, clientConfig)
				accepted <- tls.Server(serverPipe, serverConfig)
				if _, err := client.Read(data); err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				return client
			}
			handshake()
			b.ReportAllocs()
			for b.Loop() {
				if state := handshake().ConnectionState(); !state.DidResume || state.CurveID != r.kx {
					b.Fatalf("resumed is %t with group %v, want a resumption with %v", state.DidResume, state.CurveID, r.kx)
				}
			}
		})
	}
}

// benchExchanges are the key exchange of both sides by X25519: by crypto/ecdh,
// which crypto/tls uses, and by ours, which does less (docs/decisions/0020).
var benchExchanges = []struct {
	name string
	run  func()
}{
	{"x25519=crypto-ecdh", func() {
		client, server := benchMust(ecdh.X25519().GenerateKey(rand.Reader)), benchMust(ecdh.X25519().GenerateKey(rand.Reader))
		benchMust(client.ECDH(server.PublicKey()))
		benchMust(server.ECDH(client.PublicKey()))
	}},
	{"x25519=baretls", func() {
		x25519 := algo.GroupByID(tls.X25519)
		client := benchMust(x25519.Generate(rand.Reader))
		share, _, err := x25519.Respond(rand.Reader, client.AppendPublic(nil))
		benchMust(client.Finish(benchMust(share, err)))
	}},
}

// BenchmarkHandshakeFloor is the public-key cryptography alone of the first of
// the handshakes: what is left of it if TLS costs nothing and certificates come
// parsed. All but the key exchange is by calls of the standard library.
func BenchmarkHandshakeFloor(b *testing.B) {
	for _, exchange := range benchExchanges {
		b.Run(benchHandshakes[0].name+"/"+exchange.name, func(b *testing.B) {
			roots, _ := tlstest.CA()
			cert := tlstest.Leaf(benchHandshakes[0].cert)
			intermediate, err := x509.ParseCertificate(cert.Certificate[1])
			if err != nil {
				b.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AddCert(intermediate)
			options := x509.VerifyOptions{Roots: roots, Intermediates: pool, DNSName: "example.com"}
			signer, public := cert.PrivateKey.(crypto.Signer), cert.Leaf.PublicKey.(*ecdsa.PublicKey)
			digest := make([]byte, 32)
			b.ReportAllocs()
			for b.Loop() {
				exchange.run()
				signature := benchMust(signer.Sign(rand.Reader, digest, crypto.SHA256))
				benchMust(cert.Leaf.Verify(options))
				if !ecdsa.VerifyASN1(public, digest, signature) {
					b.Fatal("a signature does not verify")
				}
			}
		})
	}
}

// BenchmarkResumedFloor is the key exchange alone of a resumption, likewise.
func BenchmarkResumedFloor(b *testing.B) {
	for _, exchange := range benchExchanges {
		b.Run(benchResumptions[0].name+"/"+exchange.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				exchange.run()
			}
		})
	}
}

// benchMust is for what cannot fail in a benchmark that makes sense.
func benchMust[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// loopEnd is one end of a connection in memory: the documented loop over
// buffers that it keeps.
type loopEnd struct {
	conn     *baretls.Conn
	in, out  []byte
	early    []byte                    // to be sent as 0-RTT data
	received int                       // bytes of data
	answer   func(baretls.State) error // to states that ask
}

// run takes turns until the state is quiet, and hands what is to be sent to
// the peer.
func (e *loopEnd) run(peer *loopEnd) error {
	for {
		status, err := e.conn.ProcessTLSRecords(e.in)
		if err != nil {
			return err
		}
		discard, quiet := status.Discard, false
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			e.out, err = state.AppendTo(e.out)
		case baretls.TransmitTLSData:
			if w, ok := state.MayEncryptEarlyData(); ok && len(e.early) > 0 {
				e.out, err = w.AppendEncrypted(e.out, e.early)
				e.early = nil
			}
			peer.in = append(peer.in, e.out...)
			e.out = e.out[:0]
			err = errors.Join(err, state.Done())
		case baretls.ReadEarlyData:
			for rec := range state.Records() {
				e.received += len(rec.Payload)
				discard += rec.Discard
			}
		case baretls.ReadTraffic:
			for rec := range state.Records() {
				e.received += len(rec.Payload)
				discard += rec.Discard
			}
		case baretls.BlockedHandshake, baretls.WriteTraffic, baretls.Closed:
			quiet = true
		default:
			if e.answer != nil {
				err = e.answer(state)
			}
		}
		if err != nil {
			return err
		}
		e.in = e.in[:copy(e.in, e.in[discard:])]
		if quiet {
			return nil
		}
	}
}

// quiet runs a turn without input and returns the right to write it leads to.
func (e *loopEnd) quiet(tb testing.TB) baretls.WriteTraffic {
	tb.Helper()
	status, err := e.conn.ProcessTLSRecords(nil)
	if err != nil {
		tb.Fatal(err)
	}
	write, ok := status.State.(baretls.WriteTraffic)
	if !ok {
		tb.Fatalf("an established connection that has nothing to do is in state %T, want WriteTraffic", status.State)
	}
	return write
}

// connect makes a client and a server of the ends, and shakes hands.
func connect(tb testing.TB, client, server *loopEnd, clientConfig *baretls.ClientConfig, serverConfig *baretls.ServerConfig) {
	tb.Helper()
	c, err := baretls.NewClient(clientConfig, "example.com")
	if err != nil {
		tb.Fatal(err)
	}
	s, err := baretls.NewServer(serverConfig)
	if err != nil {
		tb.Fatal(err)
	}
	client.conn, server.conn = &c.Conn, &s.Conn
	if err := shakeHands(client, server); err != nil {
		tb.Fatal(err)
	}
}

// shakeHands lets both ends take turns until they have nothing more to say.
func shakeHands(client, server *loopEnd) error {
	for client.conn.IsHandshaking() || server.conn.IsHandshaking() {
		if err := client.run(server); err != nil {
			return fmt.Errorf("client: %w", err)
		}
		if err := server.run(client); err != nil {
			return fmt.Errorf("server: %w", err)
		}
		if len(client.in) == 0 && len(server.in) == 0 && server.conn.IsHandshaking() {
			return errors.New("nobody has anything to say, but the handshake is not complete")
		}
	}
	return client.run(server) // what the server said last
}

// establishedPair is a pair after its handshake, with that suite.
func establishedPair(tb testing.TB, suite uint16) (client, server *loopEnd) {
	tb.Helper()
	roots, _ := tlstest.CA()
	client, server = new(loopEnd), new(loopEnd)
	connect(tb, client, server,
		&baretls.ClientConfig{RootCAs: roots, CipherSuites: []uint16{suite}},
		&baretls.ServerConfig{Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)}})
	return client, server
}

// stdConfigs are what crypto/tls needs to do the same as we do.
func stdConfigs(kind tlstest.Kind) (client, server *tls.Config) {
	roots, _ := tlstest.CA()
	client = &tls.Config{
		RootCAs:                     roots,
		ServerName:                  "example.com",
		MinVersion:                  tls.VersionTLS13,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
	server = &tls.Config{
		Certificates:                []tls.Certificate{tlstest.Leaf(kind)},
		MinVersion:                  tls.VersionTLS13,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
	return client, server
}

// stdEnd is an end of a connection of crypto/tls, and the pipe under it.
type stdEnd struct {
	*tls.Conn
	pipe *pipeConn
}

// establishedStdPair is a pair of crypto/tls with that suite. The suites of
// TLS 1.3 cannot be configured there, so that one which is not the default, as
// AES-128 is where there are AES instructions, is not to be had.
func establishedStdPair(b *testing.B, suite uint16) (client, server stdEnd) {
	b.Helper()
	clientConfig, serverConfig := stdConfigs(tlstest.ECDSAP256)
	if isOf12(suite) {
		only12(clientConfig, suite)
		only12(serverConfig, suite)
	}
	clientPipe, serverPipe := newPipe()
	client = stdEnd{tls.Client(clientPipe, clientConfig), clientPipe}
	server = stdEnd{tls.Server(serverPipe, serverConfig), serverPipe}
	done := make(chan error)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if got := client.ConnectionState().CipherSuite; got != suite {
		b.Skipf("crypto/tls chooses %s itself", tls.CipherSuiteName(got))
	}
	return client, server
}

// pipeConn is one end of a pipe whose writes never wait and whose memory is
// reused, so that a benchmark of what runs over it measures little else.
type pipeConn struct {
	read, write *pipeBuffer
	discard     bool // writes
}

type pipeBuffer struct {
	mutex sync.Mutex
	ready sync.Cond
	bytes []byte
	off   int // already read
}

func newPipe() (*pipeConn, *pipeConn) {
	var x, y pipeBuffer
	x.ready.L, y.ready.L = &x.mutex, &y.mutex
	return &pipeConn{read: &x, write: &y}, &pipeConn{read: &y, write: &x}
}

func (p *pipeConn) reset() { p.read.bytes, p.read.off = p.read.bytes[:0], 0 }

func (p *pipeConn) Read(b []byte) (int, error) {
	r := p.read
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for r.off == len(r.bytes) {
		r.ready.Wait()
	}
	n := copy(b, r.bytes[r.off:])
	if r.off += n; r.off == len(r.bytes) {
		r.bytes, r.off = r.bytes[:0], 0
	}
	return n, nil
}

func (p *pipeConn) Write(b []byte) (int, error) {
	if p.discard {
		return len(b), nil
	}
	w := p.write
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.bytes = append(w.bytes, b...)
	w.ready.Signal()
	return len(b), nil
}

func (p *pipeConn) Close() error                     { return nil }
func (p *pipeConn) LocalAddr() net.Addr              { return nil }
func (p *pipeConn) RemoteAddr() net.Addr             { return nil }
func (p *pipeConn) SetDeadline(time.Time) error      { return nil }
func (p *pipeConn) SetReadDeadline(time.Time) error  { return nil }
func (p *pipeConn) SetWriteDeadline(time.Time) error { return nil }
