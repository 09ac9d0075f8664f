package baretls_test

import (
	"crypto/cipher"
	"crypto/tls"
	"fmt"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// The benchmarks of TLS 1.2, beside crypto/tls.

var benchSuites12 = []struct {
	id      uint16
	name    string
	keyLen  int
	newAEAD func(key []byte) (cipher.AEAD, error)
}{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "TLS12-AES128GCM", 16, newGCM},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "TLS12-AES256GCM", 32, newGCM},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "TLS12-ChaCha20Poly1305", 32, chacha20poly1305.New},
}

// isOf12 reports whether a suite is one of TLS 1.2.
func isOf12(suite uint16) bool {
	for _, s := range suites12 {
		if s.id == suite {
			return true
		}
	}
	return false
}

// only12 makes a config of crypto/tls one of TLS 1.2 with these suites.
func only12(config *tls.Config, suites ...uint16) {
	config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	config.CipherSuites = suites
}

// eachRecord12 runs a benchmark for every AEAD and size.
func eachRecord12(b *testing.B, run func(b *testing.B, suite uint16, size int)) {
	for _, suite := range benchSuites12 {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("suite=%s/size=%d", suite.name[len("TLS12-"):], size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, suite.id, size)
			})
		}
	}
}

func BenchmarkSeal12(b *testing.B)        { eachRecord12(b, benchSeal) }
func BenchmarkSealInPlace12(b *testing.B) { eachRecord12(b, benchSealInPlace) }
func BenchmarkStdSeal12(b *testing.B)     { eachRecord12(b, benchStdSeal) }
func BenchmarkOpen12(b *testing.B)        { eachRecord12(b, benchOpen) }
func BenchmarkStdOpen12(b *testing.B)     { eachRecord12(b, benchStdOpen) }

// benchHandshakes12 are the handshakes that are measured. The curve of an
// ECDSA key is a group that the client has to offer (RFC 8422, Section 5.3), so
// that it is the server that chooses.
var benchHandshakes12 = []struct {
	kx   tls.CurveID
	name string
	cert tlstest.Kind
}{
	{tls.X25519, "kx=X25519/cert=ECDSA-P256", tlstest.ECDSAP256},
	{tls.CurveP256, "kx=P256/cert=ECDSA-P256", tlstest.ECDSAP256},
	{tls.X25519, "kx=X25519/cert=RSA-2048", tlstest.RSA2048},
	{tls.X25519, "kx=X25519/cert=Ed25519", tlstest.Ed25519},
}

// configs12 are a client and a server of TLS 1.2.
func configs12(kx tls.CurveID, cert tlstest.Kind) (*baretls.ClientConfig, *baretls.ServerConfig) {
	roots, _ := tlstest.CA()
	return &baretls.ClientConfig{RootCAs: roots, MaxVersion: tls.VersionTLS12},
		&baretls.ServerConfig{
			Certificates: []tls.Certificate{tlstest.Leaf(cert)},
			Groups:       []tls.CurveID{kx},
			MaxVersion:   tls.VersionTLS12,
		}
}

// BenchmarkHandshake12 is BenchmarkHandshake in TLS 1.2.
func BenchmarkHandshake12(b *testing.B) {
	for _, h := range benchHandshakes12 {
		b.Run(h.name, func(b *testing.B) {
			clientConfig, serverConfig := configs12(h.kx, h.cert)
			serverConfig.SessionTicketsDisabled = true
			var client, server loopEnd
			b.ReportAllocs()
			for b.Loop() {
				connect(b, &client, &server, clientConfig, serverConfig)
				if got := client.conn.NegotiatedKeyExchangeGroup(); got != h.kx || client.conn.ProtocolVersion() != tls.VersionTLS12 {
					b.Fatalf("group is %v, want %v in TLS 1.2", got, h.kx)
				}
			}
		})
	}
}

// BenchmarkStdHandshake12 is the same by crypto/tls.
func BenchmarkStdHandshake12(b *testing.B) {
	for _, h := range benchHandshakes12 {
		b.Run(h.name, func(b *testing.B) {
			clientConfig, serverConfig := stdConfigs(h.cert)
			only12(clientConfig)
			only12(serverConfig)
			serverConfig.CurvePreferences = []tls.CurveID{h.kx, tls.CurveP256}
			benchStd12(b, clientConfig, serverConfig, false, h.kx)
		})
	}
}

// BenchmarkResumed12 is a handshake with the ticket of the one before, both
// ends of it, and a new ticket.
func BenchmarkResumed12(b *testing.B) {
	b.Run("tickets", func(b *testing.B) {
		clientConfig, serverConfig := configs12(tls.X25519, tlstest.ECDSAP256)
		var client, server loopEnd
		connect(b, &client, &server, clientConfig, serverConfig)
		b.ReportAllocs()
		for b.Loop() {
			connect(b, &client, &server, clientConfig, serverConfig)
			if got := client.conn.HandshakeKind(); got != baretls.HandshakeResumed {
				b.Fatalf("the handshake is %v, want a resumed one", got)
			}
		}
	})
}

// BenchmarkStdResumed12 is the same by crypto/tls.
func BenchmarkStdResumed12(b *testing.B) {
	b.Run("tickets", func(b *testing.B) {
		clientConfig, serverConfig := stdConfigs(tlstest.ECDSAP256)
		only12(clientConfig)
		only12(serverConfig)
		clientConfig.SessionTicketsDisabled, serverConfig.SessionTicketsDisabled = false, false
		clientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		benchStd12(b, clientConfig, serverConfig, true, 0)
	})
}

// benchStd12 shakes hands over and over. The ends take turns, on goroutines.
func benchStd12(b *testing.B, clientConfig, serverConfig *tls.Config, resumed bool, kx tls.CurveID) {
	clientPipe, serverPipe := newPipe()
	accepted, done := make(chan *tls.Conn), make(chan error)
	go func() { // one for all, so that no goroutine is counted
		for conn := range accepted {
			done <- conn.Handshake()
		}
	}()
	defer close(accepted)
	handshake := func() tls.ConnectionState {
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
		return client.ConnectionState()
	}
	if resumed {
		handshake()
	}
	b.ReportAllocs()
	for b.Loop() {
		if state := handshake(); state.DidResume != resumed || !resumed && state.CurveID != kx {
			b.Fatalf("resumed is %t with group %v, want %t with %v", state.DidResume, state.CurveID, resumed, kx)
		}
	}
}
