package baretls_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// Both sides are asked, and answer as they would have done inline. A program
// that has to wait leaves the state alone, and answers it from wherever it is
// when it knows.
func ExampleAsk() {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.Ask = baretls.AskPeerCertificate
	serverConfig.Ask = baretls.AskClientHello | baretls.AskSignature
	err := exampleQuestions(clientConfig, serverConfig, "example.com", func(state baretls.State) error {
		fmt.Printf("%T\n", state)
		switch state := state.(type) {
		case baretls.ClientHelloReceived:
			return state.Accept()
		case baretls.SignatureWanted:
			return state.Answer(state.Sign())
		case baretls.ServerCertificateReceived:
			return state.Answer(state.Verify())
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// baretls.ClientHelloReceived
	// baretls.SignatureWanted
	// baretls.ServerCertificateReceived
	// <nil>
}

// Configurations by name, and an alert for names that nobody here has.
func ExampleClientHelloReceived() {
	_, hosts := exampleConfigs()
	serverConfig := &baretls.ServerConfig{Ask: baretls.AskClientHello}
	for _, name := range []string{"example.com", "example.org"} {
		roots, _ := tlstest.CA()
		clientConfig := &baretls.ClientConfig{RootCAs: roots}
		err := exampleQuestions(clientConfig, serverConfig, name, func(state baretls.State) error {
			question := state.(baretls.ClientHelloReceived)
			if question.ClientHello().ServerName == "example.com" {
				return question.Use(hosts)
			}
			return question.Refuse(112, errors.New("no such host")) // unrecognized_name
		})
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// server: baretls: refused by the application: no such host
}

// Sessions that are somewhere else: asking for one may take its time, though
// here it is a map.
func ExampleSessionWanted() {
	elsewhere := make(exampleSessions)
	clientConfig, serverConfig := exampleConfigs()
	serverConfig.SessionStore = elsewhere
	serverConfig.Ask = baretls.AskSession
	for range 2 {
		err := exampleQuestions(clientConfig, serverConfig, "example.com", func(state baretls.State) error {
			switch question := state.(type) {
			case baretls.SessionWanted:
				session, known := elsewhere[question.Name()]
				fmt.Println("wanted:", tls.VersionName(question.ProtocolVersion()), known)
				return question.Answer(session)
			case baretls.SessionRemovalWanted:
				return question.Answer(elsewhere.take(question.Name()))
			}
			return nil
		})
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// wanted: TLS 1.3 true
	// <nil>
}

// A session is good for one connection: of two that want to remove it one is
// told that it was not there any more, and goes on without.
func ExampleSessionRemovalWanted() {
	elsewhere := make(exampleSessions)
	clientConfig, serverConfig := exampleConfigs()
	serverConfig.SessionStore = elsewhere
	serverConfig.Ask = baretls.AskSession
	for range 2 {
		err := exampleQuestions(clientConfig, serverConfig, "example.com", func(state baretls.State) error {
			switch question := state.(type) {
			case baretls.SessionWanted:
				return question.Answer(elsewhere[question.Name()])
			case baretls.SessionRemovalWanted:
				fmt.Println("the first:", elsewhere.take(question.Name()))
				second := elsewhere.take(question.Name())
				fmt.Println("the second:", second)
				return question.Answer(second)
			}
			return nil
		})
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// the first: true
	// the second: false
	// <nil>
}

// exampleSessions are put where they can be asked for.
type exampleSessions map[string][]byte

func (s exampleSessions) Put(name string, session []byte, _ time.Time) error {
	s[name] = bytes.Clone(session)
	return nil
}

func (s exampleSessions) take(name string) bool {
	_, known := s[name]
	delete(s, name)
	return known
}

func (exampleSessions) Get(string) []byte  { panic("the program is asked instead") }
func (exampleSessions) Remove(string) bool { panic("the program is asked instead") }

// A register of flights that all servers share recognizes a replay. It may
// forget those that have expired.
func ExampleEarlyDataOffered() {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.EnableEarlyData = true
	serverConfig.MaxEarlyData = 1000
	serverConfig.Ask = baretls.AskEarlyData
	connectedConns(clientConfig, serverConfig, "example.com")

	client, err := baretls.NewClient(clientConfig, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	flight := exampleFirstFlight(client, "GET / HTTP/1.1\r\n\r\n")
	register := make(map[[32]byte]time.Time)
	for range 2 {
		server, err := baretls.NewServer(serverConfig)
		if err != nil {
			log.Fatal(err)
		}
		status, err := server.ProcessTLSRecords(bytes.Clone(flight))
		if err != nil {
			log.Fatal(err)
		}
		question := status.State.(baretls.EarlyDataOffered)
		if _, seen := register[question.Flight()]; seen {
			err = question.Reject()
		} else {
			register[question.Flight()] = question.Expires()
			err = question.Accept()
		}
		if err != nil {
			log.Fatal(err)
		}
		if _, err := server.ProcessTLSRecords(nil); err != nil {
			log.Fatal(err)
		}
		fmt.Println(server.EarlyData())
	}
	// Output:
	// accepted
	// rejected
}

// The key is in a service that signs: the certificate is all that the
// configuration has.
func ExampleSignatureWanted() {
	clientConfig, serverConfig := exampleConfigs()
	service := serverConfig.Certificates[0].PrivateKey.(crypto.Signer)
	serverConfig.Certificates[0].PrivateKey = nil
	serverConfig.Ask = baretls.AskSignature
	err := exampleQuestions(clientConfig, serverConfig, "example.com", func(state baretls.State) error {
		question := state.(baretls.SignatureWanted)
		fmt.Println(question.Scheme(), question.Certificate().DNSNames[0])
		answer := make(chan error)
		go func() {
			digest := sha256.Sum256(question.Content()) // as the scheme says
			answer <- question.Answer(service.Sign(nil, digest[:], crypto.SHA256))
		}()
		return <-answer // an event loop would turn to other connections
	})
	fmt.Println(err)
	// Output:
	// ECDSAWithP256AndSHA256 example.com
	// <nil>
}

// A server can be refused with an alert that says why.
func ExampleServerCertificateReceived() {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.Ask = baretls.AskPeerCertificate
	err := exampleQuestions(clientConfig, serverConfig, "example.com", func(state baretls.State) error {
		question := state.(baretls.ServerCertificateReceived)
		if err := question.Verify(); err != nil {
			return question.Answer(err)
		}
		seen := question.Verification()
		fmt.Println(seen.ServerName, len(seen.VerifiedChains[0]), question.Resumed())
		return question.Refuse(44, errors.New("it is on the list")) // certificate_revoked
	})
	fmt.Println(err)
	// Output:
	// example.com 3 false
	// client: baretls: refused by the application: it is on the list
}

// A client is looked up by what its certificate says, after the check that the
// configuration asks for.
func ExampleClientCertificateReceived() {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.Certificates = []tls.Certificate{tlstest.ClientLeaf(tlstest.ECDSAP256, "client.example.com")}
	serverConfig.ClientAuth = tls.RequireAndVerifyClientCert
	serverConfig.ClientCAs, _ = tlstest.CA()
	serverConfig.Ask = baretls.AskPeerCertificate
	err := exampleQuestions(clientConfig, serverConfig, "example.com", func(state baretls.State) error {
		question := state.(baretls.ClientCertificateReceived)
		if err := question.Verify(); err != nil {
			return question.Answer(err)
		}
		fmt.Println(question.Verification().Certificates[0].DNSNames)
		return question.Answer(nil)
	})
	fmt.Println(err)
	// Output:
	// [client.example.com]
	// <nil>
}

// A certificate that a person chooses, once the server has said which it
// takes.
func ExampleClientCertificateRequested() {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.Ask = baretls.AskCertificate
	serverConfig.ClientAuth = tls.RequireAndVerifyClientCert
	serverConfig.ClientCAs, _ = tlstest.CA()
	err := exampleQuestions(clientConfig, serverConfig, "example.com", func(state baretls.State) error {
		question := state.(baretls.ClientCertificateRequested)
		fmt.Println(len(question.Request().AcceptableCAs), "authority")
		certificate := tlstest.ClientLeaf(tlstest.Ed25519, "client.example.com")
		return question.Answer(&certificate, nil)
	})
	fmt.Println(err)
	// Output:
	// 1 authority
	// <nil>
}

// exampleQuestions connects a client to the server of that name, and lets
// answer see all that is asked.
func exampleQuestions(clientConfig *baretls.ClientConfig, serverConfig *baretls.ServerConfig, name string, answer func(baretls.State) error) error {
	client, err := baretls.NewClient(clientConfig, name)
	if err != nil {
		return err
	}
	server, err := baretls.NewServer(serverConfig)
	if err != nil {
		return err
	}
	return shakeHands(
		&loopEnd{conn: &client.Conn, answer: answer},
		&loopEnd{conn: &server.Conn, answer: answer})
}
