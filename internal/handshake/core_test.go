package handshake

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/keyschedule"
	"github.com/baretls/baretls/internal/record"
	"github.com/baretls/baretls/internal/wire"
)

// An alert of the client is sent under the best keys that the server can have
// at that moment: RFC 9846, Appendix A.1.
func TestTheServerCanReadTheClientsAlert(t *testing.T) {
	for _, row := range []struct {
		at        string
		on        kind // which the client fails at
		protected bool
	}{
		{"WAIT_SH", kind(wire.TypeServerHello), false},
		{"WAIT_EE", kind(wire.TypeEncryptedExtensions), true},
		{"WAIT_CERT_CR", kind(wire.TypeCertificate), true},
		{"WAIT_CV", kind(wire.TypeCertificateVerify), true},
		{"WAIT_FINISHED", kind(wire.TypeFinished), true},
	} {
		p := newPair(t)
		p.serverDoors[row.on] = func(m []byte) []byte { return withBody(wire.MessageType(m[0]), 1) }
		p.run()
		if p.c.err == nil || p.client.State() != row.at {
			t.Fatalf("the client is in %s with the error %v, want it to fail in %s", p.client.State(), p.c.err, row.at)
		}
		p.client.PrepareAlert()
		p.client.PrepareAlert() // another time changes nothing
		p.client.Core.Out.Enqueue(record.Alert, append(p.client.Core.Out.Buffer(), 2, 50))
		p.client.Forget()
		ccs := 0
		for p.client.Core.Out.Pending() {
			rec := sealNext(&p.client.Core)
			if rec[0] == byte(record.ChangeCipherSpec) {
				ccs++
				continue
			}
			if got := rec[0] == byte(record.ApplicationData); got != row.protected {
				t.Errorf("in %s the alert is protected: %v, want %v", row.at, got, row.protected)
			}
			if !row.protected {
				continue
			}
			typ, content, err := p.server.Core.In.Open(rec)
			if err != nil || typ != record.Alert || !bytes.Equal(content, []byte{2, 50}) {
				t.Errorf("in %s the server opens the alert to %v %x, %v", row.at, typ, content, err)
			}
		}
		if row.protected != (ccs == 1) {
			t.Errorf("in %s there are %d change_cipher_spec", row.at, ccs)
		}
	}
}

// A server's alert about the client's Finished is under application keys, as
// is all that follows its own Finished.
func TestTheClientCanReadTheServersAlert(t *testing.T) {
	p := newPair(t)
	p.clientDoors[kind(wire.TypeFinished)] = instead(withBody(wire.TypeFinished, make([]byte, 32)...))
	p.run()
	expectAlert(t, p.s.err, fault.DecryptErrorAlert, "a wrong Finished")
	p.server.PrepareAlert()
	p.server.Core.Out.Enqueue(record.Alert, append(p.server.Core.Out.Buffer(), 2, 51))
	p.server.Forget()
	typ, content, err := p.client.Core.In.Open(sealNext(&p.server.Core))
	if err != nil || typ != record.Alert || !bytes.Equal(content, []byte{2, 51}) {
		t.Errorf("the client opens the alert to %v %x, %v", typ, content, err)
	}
}

func TestSecretsAreForgotten(t *testing.T) {
	for _, fails := range []kind{0, kind(wire.TypeServerHello), kind(wire.TypeCertificateVerify), kind(wire.TypeFinished)} {
		p := newPair(t)
		if fails != 0 {
			p.serverDoors[fails] = func(m []byte) []byte { return withBody(wire.MessageType(m[0]), 1) }
			p.run()
		} else {
			p.complete()
		}
		for _, s := range []*side{p.c, p.s} {
			c := s.core
			x := c.exchange
			c.In.Add([]byte{20, 0})
			c.In.NextMessage(100)
			if fails == 0 && (x != nil || p.client.clientHandshake != nil || p.server.serverHandshake != nil) {
				t.Errorf("a %s that is through keeps what only the handshake needs", s.name)
			}
			c.Forget()
			if c.In.Partial() {
				t.Errorf("the %s that failed keeps a part of a message", s.name)
			}
			if c.kept == nil && fails == 0 {
				t.Errorf("the %s has no secrets of the application's keys", s.name)
			}
			if !bytes.Equal(c.secrets13(), make([]byte, len(c.secrets13()))) {
				t.Errorf("the %s keeps secrets of the application's keys", s.name)
			}
			if x == nil {
				continue
			}
			for name, secret := range map[string]interface{ Set() bool }{
				"handshake secret": &x.handshake, "main secret": &x.main,
				"client_handshake_traffic_secret": &x.clientHS, "server_handshake_traffic_secret": &x.serverHS,
			} {
				if secret.Set() {
					t.Errorf("the %s that failed keeps its %s", s.name, name)
				}
			}
			if c.exchange != nil || x.transcript.Started() {
				t.Errorf("the %s that failed keeps its transcript", s.name)
			}
			c.Forget() // another time changes nothing
		}
	}
}

func TestBothSidesLogTheSameSecrets(t *testing.T) {
	log := func(lines *[]string) func(string, []byte, []byte) error {
		return func(label string, clientRandom, secret []byte) error {
			*lines = append(*lines, fmt.Sprintf("%s %x %x", label, clientRandom, secret))
			return nil
		}
	}
	for _, retry := range []bool{false, true} {
		var client, server []string
		p := newPair(t)
		if retry {
			p = newRetryPair(t)
		}
		p.clientPolicy.KeyLog, p.serverPolicy.KeyLog = log(&client), log(&server)
		var random []byte
		p.clientDoors[kind(wire.TypeClientHello)] = func(m []byte) []byte {
			random = m[wire.HeaderLen+2:][:32]
			return m
		}
		p.complete()
		if !slices.Equal(client, server) {
			t.Errorf("the client logs\n%s\nand the server\n%s", strings.Join(client, "\n"), strings.Join(server, "\n"))
		}
		var labels []string
		for _, line := range client {
			label, rest, _ := strings.Cut(line, " ")
			labels = append(labels, label)
			if !strings.HasPrefix(rest, fmt.Sprintf("%x ", random)) {
				t.Errorf("%s is not logged for the client's random", label)
			}
		}
		if want := []string{
			"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
			"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET",
		}; !slices.Equal(labels, want) {
			t.Errorf("logged are %v, want %v", labels, want)
		}
	}
}

func TestALogThatFailsEndsTheHandshake(t *testing.T) {
	full := errors.New("disk full")
	for n := range 5 {
		p := newPair(t)
		calls := 0
		p.clientPolicy.KeyLog = func(string, []byte, []byte) error {
			if calls++; calls > n {
				return full
			}
			return nil
		}
		p.run()
		expectAlert(t, p.c.err, fault.InternalError, "the log fails at line %d", n+1)
		if !errors.Is(p.c.err, full) {
			t.Errorf("the log's error is lost in %v", p.c.err)
		}
	}
}

func TestBothSidesExportTheSame(t *testing.T) {
	p := newPair(t)
	p.complete()
	for _, row := range []struct {
		label   string
		context []byte
		n       int
		err     error
	}{
		{"EXPORTER-test", nil, 32, nil},
		{"EXPORTER-test", []byte("context"), 100, nil},
		{strings.Repeat("l", 249), nil, 255 * 32, nil},
		{strings.Repeat("l", 250), nil, 32, keyschedule.ErrExporterLabel},
		{"", nil, 32, keyschedule.ErrExporterLabel},
		{"EXPORTER-test", nil, 255*32 + 1, keyschedule.ErrExporterLength},
	} {
		client, server := make([]byte, row.n), make([]byte, row.n)
		clientErr := p.client.Export(row.label, row.context, client)
		serverErr := p.server.Export(row.label, row.context, server)
		if clientErr != row.err || serverErr != row.err {
			t.Errorf("%d bytes for %.20q: the errors are %v and %v, want %v", row.n, row.label, clientErr, serverErr, row.err)
		}
		if !bytes.Equal(client, server) || row.err == nil && bytes.Equal(client, make([]byte, row.n)) {
			t.Errorf("%d bytes for %.20q differ, or are zeros", row.n, row.label)
		}
	}
}

// Without randomness there is no handshake, and nobody else is to blame.
func TestRandomnessThatEndsIsOurOwnFault(t *testing.T) {
	for n := range 96 {
		p := newPair(t)
		p.clientPolicy.Encode()
		p.clientPolicy.Rand = bytes.NewReader(make([]byte, n))
		err := p.client.Init(&p.clientPolicy, "example.com", "example.com")
		expectAlert(t, err, fault.InternalError, "a client with %d random bytes", n)
	}
	for n := range 64 {
		p := newPair(t)
		p.serverPolicy.Rand = bytes.NewReader(make([]byte, n))
		p.run()
		expectAlert(t, p.s.err, fault.InternalError, "a server with %d random bytes", n)
	}
}
