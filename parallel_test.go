package baretls_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"sync"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// TestHandshakesInParallel: memory goes from one connection to another, and
// nothing goes with it. Each goroutine has its own protocol, ticket data and
// exporter label, and leaves some connections in the middle.
func TestHandshakesInParallel(t *testing.T) {
	roots, _ := tlstest.CA()
	var wait sync.WaitGroup
	for g := range 6 {
		wait.Go(func() {
			own := fmt.Sprintf("protocol-%d", g)
			clientConfig := &baretls.ClientConfig{RootCAs: roots, NextProtos: []string{own}}
			serverConfig := &baretls.ServerConfig{
				Certificates: []tls.Certificate{tlstest.Leaf(tlstest.ECDSAP256)},
				NextProtos:   []string{own},
			}
			if g%2 == 1 {
				clientConfig.MaxVersion = tls.VersionTLS12
			}
			if g%3 == 1 {
				clientConfig.Ask = baretls.AskPeerCertificate
			}
			for n := range 20 {
				if err := shakeHandsAs(own, n, clientConfig, serverConfig); err != nil {
					t.Errorf("connection %d of %s: %v", n, own, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// shakeHandsAs is a connection of which every so many is abandoned.
func shakeHandsAs(own string, n int, clientConfig *baretls.ClientConfig, serverConfig *baretls.ServerConfig) error {
	c, err := baretls.NewClient(clientConfig, "example.com")
	if err != nil {
		return err
	}
	s, err := baretls.NewServer(serverConfig)
	if err != nil {
		return err
	}
	client, server := loopEnd{conn: &c.Conn}, loopEnd{conn: &s.Conn}
	client.answer = func(state baretls.State) error {
		question := state.(baretls.ServerCertificateReceived)
		return question.Answer(question.Verify())
	}
	switch n % 5 {
	case 1:
		s.Abandon()
		fallthrough
	case 2:
		c.Abandon()
		return nil
	case 3:
		if err := client.run(&server); err != nil {
			return err
		}
		c.Abandon()
		if err := server.run(&client); err != nil {
			return err
		}
		s.Abandon()
		return nil
	}
	if err := s.SetResumptionData([]byte(own)); err != nil {
		return err
	}
	if err := shakeHands(&client, &server); err != nil {
		return err
	}
	if got := c.ALPNProtocol() + s.ALPNProtocol(); got != own+own {
		return fmt.Errorf("the protocols are %q, want %q twice", got, own)
	}
	if data := s.ResumptionData(); data != nil && string(data) != own {
		return fmt.Errorf("a session came back with the data of another: %q", data)
	}
	exported, err := c.ExportKeyingMaterial(own, nil, 32)
	if err != nil {
		return err
	}
	if again, err := s.ExportKeyingMaterial(own, nil, 32); err != nil || !bytes.Equal(exported, again) {
		return fmt.Errorf("the client exports %x and the server %x, %v", exported, again, err)
	}
	return nil
}
