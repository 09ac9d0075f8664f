package baretls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/tlstest"
)

// A client with sessions of its own on disk: what is filed is encoded, and as
// secret as a key. Configs that share it need a SessionScope.
func ExampleClientSessionStore() {
	store := make(exampleFiles)
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.Sessions = store
	clientConfig.SessionScope = "my program"
	connectedConns(clientConfig, serverConfig, "example.com")

	clientConfig, _ = exampleConfigs() // the program has been started again
	clientConfig.Sessions = store
	clientConfig.SessionScope = "my program"
	client, _ := connectedConns(clientConfig, serverConfig, "example.com")
	fmt.Println(client.conn.HandshakeKind())
	// Output: resumed
}

// exampleFiles is a ClientSessionStore of one encoded session per key, where a
// real one would have files, and a mutex.
type exampleFiles map[string][]byte

func (f exampleFiles) Put(key string, session *baretls.ClientSession) {
	encoded, err := session.MarshalBinary()
	if err != nil {
		log.Fatal(err)
	}
	f[key] = encoded
}

func (f exampleFiles) Take(key string) *baretls.ClientSession {
	session := new(baretls.ClientSession)
	if err := session.UnmarshalBinary(f[key]); err != nil {
		return nil // none, or of an older format: a full handshake, then
	}
	delete(f, key)
	return session
}

// A session says what it is good for, and keeps its secrets to itself.
func ExampleClientSession() {
	store := make(exampleFiles)
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.Sessions = store
	serverConfig.TicketLifetime = time.Hour
	serverConfig.MaxEarlyData = 1000
	connectedConns(clientConfig, serverConfig, "example.com")

	for key := range store {
		session := store.Take(key)
		fmt.Println(time.Until(session.Expires()).Round(time.Minute))
		fmt.Println(session.MaxEarlyData(), "bytes of early data")
		fmt.Printf("%v\n", session)
	}
	// Output:
	// 1h0m0s
	// 1000 bytes of early data
	// ClientSession(secret)
}

// A server that keeps sessions itself: a ticket is the name of one, and is good
// for one connection.
func ExampleSessionStore() {
	clientConfig, serverConfig := exampleConfigs()
	serverConfig.SessionStore = baretls.NewSessionCache(1000)
	for range 2 {
		client, _ := connectedConns(clientConfig, serverConfig, "example.com")
		fmt.Println(client.conn.HandshakeKind())
	}
	// Output:
	// full
	// resumed
}

// Two processes that serve the same name open each other's tickets: one owns
// the ring and rotates it, the other is handed it from time to time.
func ExampleTicketKeys() {
	owner, err := baretls.NewTicketKeys(0)
	if err != nil {
		log.Fatal(err)
	}
	handOver, err := owner.MarshalBinary() // over a channel that keeps secrets
	if err != nil {
		log.Fatal(err)
	}
	var other baretls.TicketKeys // does not rotate by itself
	if err := other.UnmarshalBinary(handOver); err != nil {
		log.Fatal(err)
	}

	clientConfig, first := exampleConfigs()
	_, second := exampleConfigs()
	first.TicketKeys, second.TicketKeys = owner, &other
	connectedConns(clientConfig, first, "example.com")
	for _, config := range []*baretls.ServerConfig{second, first} {
		client, _ := connectedConns(clientConfig, config, "example.com")
		fmt.Println(client.conn.HandshakeKind())
	}

	owner.Rotate() // what it issues now, the other knows as its next key
	connectedConns(clientConfig, first, "example.com")
	client, _ := connectedConns(clientConfig, second, "example.com")
	fmt.Println(client.conn.HandshakeKind())
	// Output:
	// resumed
	// resumed
	// resumed
}

// A client that will come back with four connections at once asks for as many
// tickets. The server gives what it likes to, up to its TicketCount.
func ExampleTicketRequest() {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.TicketRequest = baretls.TicketRequest{Full: 4, Resumed: 1}
	serverConfig.TicketCount = 4
	for range 2 {
		client, _ := connectedConns(clientConfig, serverConfig, "example.com")
		fmt.Println(client.conn.HandshakeKind(), client.conn.TicketsReceived())
	}
	// Output:
	// full 4
	// resumed 1
}

// What a server puts into a ticket comes back to it with the next connection.
func ExampleServerConn_SetResumptionData() {
	clientConfig, serverConfig := exampleConfigs()
	for range 2 {
		c, err := baretls.NewClient(clientConfig, "example.com")
		if err != nil {
			log.Fatal(err)
		}
		s, err := baretls.NewServer(serverConfig)
		if err != nil {
			log.Fatal(err)
		}
		if err := s.SetResumptionData([]byte("user 17")); err != nil {
			log.Fatal(err)
		}
		if err := shakeHands(&loopEnd{conn: &c.Conn}, &loopEnd{conn: &s.Conn}); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%v: %q\n", s.HandshakeKind(), s.ResumptionData())
	}
	// Output:
	// full: ""
	// resumed: "user 17"
}

// A request in the client's first flight, which saves a round trip. It must be
// one that may be carried out twice: somebody could send it again.
func ExampleMayEncryptEarlyData() {
	client, _ := exampleResumingConns()
	var out []byte
	for quiet := false; !quiet; {
		status, err := client.ProcessTLSRecords(nil)
		if err != nil {
			log.Fatal(err)
		}
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			out, err = state.AppendTo(out)
		case baretls.TransmitTLSData:
			if early, ok := state.MayEncryptEarlyData(); ok {
				fmt.Println(early.BytesLeft(), "bytes may be sent")
				out, err = early.AppendEncrypted(out, []byte("GET / HTTP/1.1\r\n\r\n"))
				fmt.Println(early.BytesLeft(), "are left")
			}
			send(out)
			err = errors.Join(err, state.Done())
		case baretls.BlockedHandshake:
			quiet = true
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(client.EarlyData())
	// Output:
	// 1000 bytes may be sent
	// 982 are left
	// undecided
}

// A server reads 0-RTT data before the handshake is complete, and cannot know
// whether it is a replay: here it answers questions, and acts on nothing.
func ExampleReadEarlyData() {
	client, server := exampleResumingConns()
	incoming := exampleFirstFlight(client, "GET / HTTP/1.1\r\n\r\n")
	var out []byte
	for quiet := false; !quiet; {
		status, err := server.ProcessTLSRecords(incoming)
		if err != nil {
			log.Fatal(err)
		}
		discard := status.Discard
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			out, err = state.AppendTo(out)
		case baretls.TransmitTLSData:
			send(out)
			err = state.Done()
		case baretls.ReadEarlyData:
			for record := range state.Records() {
				fmt.Printf("%q while handshaking: %t\n", record.Payload, server.IsHandshaking())
				discard += record.Discard
			}
		case baretls.BlockedHandshake: // for the client's Finished
			quiet = true
		}
		if err != nil {
			log.Fatal(err)
		}
		incoming = incoming[discard:]
	}
	// Output: "GET / HTTP/1.1\r\n\r\n" while handshaking: true
}

// A guard that all servers share, and that was there before them, accepts each
// flight once. A guard in memory has to say when it began.
func ExampleReplayGuard() {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.EnableEarlyData = true
	serverConfig.MaxEarlyData = 1000
	serverConfig.ReplayGuard = exampleRegister{baretls.NewReplayGuard(0)}
	connectedConns(clientConfig, serverConfig, "example.com")

	client, err := baretls.NewClient(clientConfig, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	flight := exampleFirstFlight(client, "GET / HTTP/1.1\r\n\r\n")
	for range 2 {
		server, err := baretls.NewServer(serverConfig)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := server.ProcessTLSRecords(bytes.Clone(flight)); err != nil {
			log.Fatal(err)
		}
		fmt.Println(server.EarlyData())
	}
	// Output:
	// accepted
	// rejected
}

// exampleRegister stands for one that remembers for longer than its servers
// live, such as a database.
type exampleRegister struct{ baretls.ReplayGuard }

func (exampleRegister) Since() time.Time { return time.Time{} }

// A server that has just started cannot tell a replay, and skips 0-RTT data for
// 20 seconds: clients have to be ready to send it again.
func ExampleEarlyDataStatus() {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.EnableEarlyData = true
	serverConfig.MaxEarlyData = 1000 // and the ReplayGuard of its own
	connectedConns(clientConfig, serverConfig, "example.com")

	c, err := baretls.NewClient(clientConfig, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	s, err := baretls.NewServer(serverConfig)
	if err != nil {
		log.Fatal(err)
	}
	request := "GET / HTTP/1.1\r\n\r\n"
	client, server := &loopEnd{conn: &c.Conn}, &loopEnd{conn: &s.Conn}
	server.in = exampleFirstFlight(c, request)
	fmt.Println(client.conn.EarlyData())
	if err := shakeHands(client, server); err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.conn.EarlyData(), server.received)
	if client.conn.EarlyData() == baretls.EarlyDataRejected {
		server.in = client.encrypt(request)
	}
	if err := server.run(client); err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.received, "bytes, once")
	// Output:
	// undecided
	// rejected 0
	// 18 bytes, once
}

// A client that chooses its certificate by what the server asks for.
func ExampleCertificateRequest() {
	clientConfig, serverConfig := exampleConfigs()
	serverConfig.ClientAuth = tls.RequireAndVerifyClientCert
	serverConfig.ClientCAs, _ = tlstest.CA()
	clientConfig.GetClientCertificate = func(request *baretls.CertificateRequest) (*tls.Certificate, error) {
		fmt.Println(len(request.AcceptableCAs), "authority,", len(request.SignatureSchemes) > 0)
		certificate := tlstest.ClientLeaf(tlstest.Ed25519, "client.example.com")
		return &certificate, nil
	}
	_, server := connectedConns(clientConfig, serverConfig, "example.com")
	fmt.Println(server.conn.PeerCertificates()[0].DNSNames, server.conn.PeerSignatureScheme())
	// Output:
	// 1 authority, true
	// [client.example.com] Ed25519
}

// One side's keys for writing are the other's for reading.
func ExampleExtractedSecrets() {
	client, server := exampleExtractableConns()
	ours, err := client.conn.DangerousExtractSecrets()
	if err != nil {
		log.Fatal(err)
	}
	theirs, err := server.conn.DangerousExtractSecrets()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tls.VersionName(ours.Version), ours.CipherSuite == theirs.CipherSuite)
	fmt.Println(bytes.Equal(ours.Tx.Key, theirs.Rx.Key), bytes.Equal(ours.Rx.IV, theirs.Tx.IV))

	_, err = client.conn.ProcessTLSRecords(nil)
	fmt.Println(err)
	// Output:
	// TLS 1.3 true
	// true true
	// baretls: the connection's secrets have been extracted
}

// What struct tls12_crypto_info_aes_gcm_128 of Linux is filled with.
func ExampleTrafficKeys() {
	client, _ := exampleExtractableConns()
	client.encrypt("the first record")
	secrets, err := client.conn.DangerousExtractSecrets()
	if err != nil {
		log.Fatal(err)
	}
	salt, iv := secrets.Tx.IV[:4], secrets.Tx.IV[4:]
	fmt.Println("key", len(secrets.Tx.Key), "salt", len(salt), "iv", len(iv), "rec_seq", secrets.Tx.Sequence)
	fmt.Println(secrets.Tx)
	// Output:
	// key 16 salt 4 iv 8 rec_seq 1
	// TrafficKeys(sequence 1, secret)
}

// The peer changes its keys, and wants ours changed too: the record layer is
// told what to install and what to send.
func ExampleKernelConn() {
	client, server := exampleExtractableConns()
	_, kernel, err := client.conn.DangerousIntoKernelConn()
	if err != nil {
		log.Fatal(err)
	}
	_, peer, err := server.conn.DangerousIntoKernelConn()
	if err != nil {
		log.Fatal(err)
	}

	refresh, err := peer.RefreshTrafficKeys()
	if err != nil {
		log.Fatal(err)
	}
	answer, err := kernel.HandleHandshake(refresh.Send) // as the kernel has opened it
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(bytes.Equal(answer.Rx.Key, refresh.Tx.Key))
	last, err := peer.HandleHandshake(answer.Send)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(bytes.Equal(last.Rx.Key, answer.Tx.Key), last.Send == nil)
	// Output:
	// true
	// true true
}

// An update is carried out in the order of its fields.
func ExampleKernelUpdate() {
	client, _ := exampleExtractableConns()
	_, kernel, err := client.conn.DangerousIntoKernelConn()
	if err != nil {
		log.Fatal(err)
	}
	update, err := kernel.RefreshTrafficKeys()
	if err != nil {
		log.Fatal(err)
	}
	if update.Rx != nil {
		fmt.Println("install for receiving", update.Rx)
	}
	if update.Send != nil {
		fmt.Println("send as a record of type handshake:", update.Send)
	}
	if update.Tx != nil {
		fmt.Println("install for sending", update.Tx)
	}
	// Output:
	// send as a record of type handshake: [24 0 0 1 1]
	// install for sending TrafficKeys(sequence 0, secret)
}

// exampleResumingConns are to be connected, for the second time: 0-RTT data is
// allowed. The server keeps sessions itself, so that it knows from its first
// second on that none comes twice.
func exampleResumingConns() (*baretls.ClientConn, *baretls.ServerConn) {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.EnableEarlyData = true
	serverConfig.MaxEarlyData = 1000
	serverConfig.SessionStore = baretls.NewSessionCache(0)
	connectedConns(clientConfig, serverConfig, "example.com")
	client, err := baretls.NewClient(clientConfig, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	server, err := baretls.NewServer(serverConfig)
	if err != nil {
		log.Fatal(err)
	}
	return client, server
}

// exampleFirstFlight is a client's hello with early data behind it.
func exampleFirstFlight(client *baretls.ClientConn, data string) (out []byte) {
	for {
		status, err := client.ProcessTLSRecords(nil)
		if err != nil {
			log.Fatal(err)
		}
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			out, err = state.AppendTo(out)
		case baretls.TransmitTLSData:
			if early, ok := state.MayEncryptEarlyData(); ok {
				out, err = early.AppendEncrypted(out, []byte(data))
			}
			err = errors.Join(err, state.Done())
		default:
			return out
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

// exampleExtractableConns are connected, and at a record boundary in both
// directions.
func exampleExtractableConns() (client, server *loopEnd) {
	clientConfig, serverConfig := exampleConfigs()
	clientConfig.EnableSecretExtraction = true
	clientConfig.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
	serverConfig.EnableSecretExtraction = true
	return connectedConns(clientConfig, serverConfig, "example.com")
}
