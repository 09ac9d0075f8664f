package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// openssl measures by "openssl speed".
type openssl struct{ pki *pki }

var errNoOpenSSL = errors.New("openssl is not installed")

func findOpenSSL() error {
	if _, err := exec.LookPath("openssl"); err != nil {
		return errNoOpenSSL
	}
	return nil
}

// records compares sealing.
func (o openssl) records(s suite, size int) scenario {
	return scenario{labels: []string{s.name, strconv.Itoa(size)}, begin: func() ([]contender, error) {
		r := records{pki: o.pki}
		name := strings.ToLower(s.name)
		return []contender{r.seal(tls.VersionTLS13, s, size), {name: nameOpenSSL, outside: true, fixed: true, run: func(n int, c *clock) error {
			// +F:number:name:bytes per second
			fields, err := speed("+F:", "-aead", "-bytes", strconv.Itoa(size), "-evp", name)
			if err != nil {
				return err
			}
			return perSecond(fields, 3, float64(n)*float64(size), c)
		}}}, nil
	}}
}

// operation is a public-key operation, and where "openssl speed -mr" has its rate.
type operation struct {
	name      string
	algorithm string
	line      string
	field     int
	run       func() error
}

// operations are those that handshakes are made of.
func (o openssl) operations() ([]operation, error) {
	var operations []operation
	for _, key := range []struct {
		keyType
		algorithm, line string
		sign            int
	}{
		{ecdsaKey, "ecdsap256", "+F4:", 3},
		{rsaKey, "rsa2048", "+F2:", 3},
		{ed25519Key, "ed25519", "+F6:", 4},
	} {
		signer := o.pki.keys[key.keyType]
		signature, err := sign(signer, transcript)
		if err != nil {
			return nil, err
		}
		operations = append(operations,
			operation{string(key.keyType) + " sign", key.algorithm, key.line, key.sign, func() error {
				_, err := sign(signer, transcript)
				return err
			}},
			operation{string(key.keyType) + " verify", key.algorithm, key.line, key.sign + 1, func() error {
				return verify(signer.Public(), transcript, signature)
			}})
	}
	for _, group := range []struct {
		name, algorithm string
		curve           ecdh.Curve
	}{{"X25519", "ecdhx25519", ecdh.X25519()}, {"P-256", "ecdhp256", ecdh.P256()}} {
		own, err := group.curve.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		peer, err := group.curve.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		operations = append(operations, operation{group.name + " ECDH", group.algorithm, "+F5:", 3, func() error {
			_, err := own.ECDH(peer.PublicKey())
			return err
		}})
	}
	return operations, nil
}

func (op operation) scenario() scenario {
	return scenario{labels: []string{op.name}, begin: func() ([]contender, error) {
		return []contender{{name: nameGo, run: func(n int, c *clock) error {
			c.start(client)
			for range n {
				if err := op.run(); err != nil {
					return err
				}
			}
			c.stop()
			return nil
		}}, {name: nameOpenSSL, outside: true, fixed: true, run: func(n int, c *clock) error {
			fields, err := speed(op.line, op.algorithm)
			if err != nil {
				return err
			}
			return perSecond(fields, op.field, float64(n), c)
		}}}, nil
	}}
}

const nameGo = "Go"

// speed runs for a second and returns the fields of a line of its output.
func speed(line string, args ...string) ([]string, error) {
	options := []string{"speed", "-mr", "-seconds", "1"}
	if !hasProcessTime {
		options = append(options, "-elapsed")
	}
	out, err := exec.Command("openssl", append(options, args...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("openssl speed %s: %w", strings.Join(args, " "), err)
	}
	return lineOf(out, line)
}

var errSpeed = errors.New("openssl speed says something unexpected")

func lineOf(out []byte, prefix string) ([]string, error) {
	for line := range bytes.Lines(out) {
		if bytes.HasPrefix(line, []byte(prefix)) {
			return strings.Split(strings.TrimSpace(string(line)), ":"), nil
		}
	}
	return nil, fmt.Errorf("%w: no line %s", errSpeed, prefix)
}

// perSecond turns a rate into the time for so much work.
func perSecond(fields []string, at int, work float64, c *clock) error {
	if at >= len(fields) {
		return errSpeed
	}
	rate, err := strconv.ParseFloat(fields[at], 64)
	if err != nil || rate <= 0 {
		return errSpeed
	}
	c.add(time.Duration(work/rate*float64(time.Second)), 0)
	return nil
}
