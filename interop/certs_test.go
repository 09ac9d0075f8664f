package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// serverName is the name that every server certificate is for, but for those
// that are meant to be wrong.
const serverName = "localhost"

// identity is a certificate with its key, in memory for us and in
// files for the peers.
type identity struct {
	name     string
	cert     tls.Certificate
	certFile string
	keyFile  string
}

func (id *identity) key() crypto.Signer { return id.cert.PrivateKey.(crypto.Signer) }

// authority signs the identities; a peer trusts it by its file.
type authority struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	pool    *x509.CertPool
	file    string
	keyFile string
}

// world is all the certificates of the tests.
type world struct {
	ca, stranger *authority
	byKey        []*identity // one for each type of key
	clients      []*identity // likewise, for clients
	foreigner    *identity   // a client's, from the stranger
	example      *identity   // for example.com
	expired      *identity
}

// identity returns the one with that type of key.
func (w *world) identity(name string) *identity {
	for _, id := range w.byKey {
		if id.name == name {
			return id
		}
	}
	panic("no identity " + name)
}

const validity = time.Hour

var (
	scratch   string // a directory for the files of all tests
	makeWorld = sync.OnceValue(newWorld)
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "baretls-interop-")
	if err != nil {
		log.Fatal(err)
	}
	scratch = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func newWorld() *world {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	must(edKey, err)
	w := &world{ca: newAuthority("ca"), stranger: newAuthority("stranger")}
	for _, kind := range []struct {
		name string
		key  crypto.Signer
	}{
		{"ECDSA-P256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))},
		{"ECDSA-P384", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))},
		{"ECDSA-P521", must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))},
		{"RSA", rsaKey},
		{"RSA-PSS", rsaKey},
		{"Ed25519", edKey},
	} {
		w.byKey = append(w.byKey, w.ca.issue(kind.name, serverName, kind.key, validity))
		w.clients = append(w.clients, w.ca.issueClient(kind.name, kind.key))
	}
	w.foreigner = w.stranger.issueClient("foreigner", w.byKey[0].key())
	w.example = w.ca.issue("example", "example.com", w.byKey[0].key(), validity)
	w.expired = w.ca.issue("expired", serverName, w.byKey[0].key(), -validity)
	return w
}

func newAuthority(name string) *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "interop " + name},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	a := &authority{cert: must(x509.ParseCertificate(der)), key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(a.cert)
	a.file = writePEM(name+".pem", "CERTIFICATE", der)
	a.keyFile = writePEM(name+".key", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	return a
}

// issue makes a certificate for a DNS name that is valid until so much from now.
func (a *authority) issue(name, dnsName string, key crypto.Signer, left time.Duration) *identity {
	return a.sign(name, "interop "+name, key, &x509.Certificate{
		NotAfter:    time.Now().Add(left),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{dnsName},
	})
}

// issueClient makes a certificate for a client.
func (a *authority) issueClient(name string, key crypto.Signer) *identity {
	return a.sign(name, clientPrefix+name, key, &x509.Certificate{
		NotAfter:    time.Now().Add(validity),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// clientPrefix is how the names of clients begin.
const clientPrefix = "interop client "

func (a *authority) sign(name, commonName string, key crypto.Signer, template *x509.Certificate) *identity {
	template.SerialNumber = serial()
	template.Subject = pkix.Name{CommonName: commonName}
	template.NotBefore = time.Now().Add(-23 * time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key))
	pkcs8 := must(x509.MarshalPKCS8PrivateKey(key))
	if name == "RSA-PSS" {
		der, pkcs8 = a.restrictToPSS(der), restrictKeyToPSS(pkcs8)
	}
	return &identity{
		name:     name,
		cert:     tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		certFile: writePEM(commonName+".pem", "CERTIFICATE", der),
		keyFile:  writePEM(commonName+".key", "PRIVATE KEY", pkcs8),
	}
}

// idPSS is the identifier of RSA keys that may sign with PSS only (RFC 4055,
// Section 1.2). crypto/x509 cannot make certificates for such keys.
var idPSS = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}}

// restrictToPSS reissues the certificate of an RSA key with that identifier.
func (a *authority) restrictToPSS(der []byte) []byte {
	var cert struct {
		TBS struct {
			Version   int `asn1:"optional,explicit,default:0,tag:0"`
			Serial    *big.Int
			Signature pkix.AlgorithmIdentifier
			Issuer    asn1.RawValue
			Validity  asn1.RawValue
			Subject   asn1.RawValue
			PublicKey struct {
				Algorithm pkix.AlgorithmIdentifier
				Key       asn1.BitString
			}
			Extensions []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
		}
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	must(asn1.Unmarshal(der, &cert))
	cert.TBS.PublicKey.Algorithm = idPSS
	digest := sha256.Sum256(must(asn1.Marshal(cert.TBS)))
	signature := must(ecdsa.SignASN1(rand.Reader, a.key, digest[:]))
	cert.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	return must(asn1.Marshal(cert))
}

func restrictKeyToPSS(pkcs8 []byte) []byte {
	var key struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	must(asn1.Unmarshal(pkcs8, &key))
	key.Algorithm = idPSS
	return must(asn1.Marshal(key))
}

// ocspResponse makes a good OCSP response for the identity, in a file.
func (a *authority) ocspResponse(t *testing.T, id *identity) (file string, der []byte) {
	dir := t.TempDir()
	leaf := must(x509.ParseCertificate(id.cert.Certificate[0]))
	index := filepath.Join(dir, "index.txt")
	line := fmt.Sprintf("V\t%s\t\t%X\tunknown\t/CN=%s\n", leaf.NotAfter.UTC().Format("060102150405Z"), leaf.SerialNumber, leaf.Subject.CommonName)
	must(0, os.WriteFile(index, []byte(line), 0o600))
	file = filepath.Join(dir, "ocsp.der")
	p := start(t, "openssl", "ocsp", "-index", index, "-CA", a.file, "-issuer", a.file, "-cert", id.certFile,
		"-rsigner", a.file, "-rkey", a.keyFile, "-ndays", "1", "-respout", file)
	p.expectSuccess()
	return file, must(os.ReadFile(file))
}

func serial() *big.Int {
	return must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 62)))
}

func writePEM(name, kind string, der []byte) string {
	path := filepath.Join(scratch, name)
	must(0, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// must is for what cannot fail unless the test itself is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
