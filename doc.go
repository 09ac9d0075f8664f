// Package baretls is TLS as a state machine: it does no I/O, and every byte is the caller's.
//
// It speaks TLS 1.3 (RFC 9846) and TLS 1.2 (RFC 5246), as a client and as a
// server. You hand in the TLS bytes that you have received, you are told by a
// state what to do next, and you bring the memory that output goes into.
// Nothing inside ever waits: there is no goroutine, no net.Conn and no buffer
// that you did not pass, so that a connection fits an event loop, a protocol
// that carries TLS in its own packets, a simulator, and of course a plain
// socket.
//
// # A turn
//
// [NewClient] and [NewServer] return connections that share one [Conn], so a
// loop is written once. A turn is a call of [Conn.ProcessTLSRecords]: it takes
// the bytes that were received and not yet discarded, and returns a [Status],
// which is a state and a number. Do what the state says, drop that number of
// bytes from the front, and take the next turn with the rest:
//
//   - [EncodeTLSData]: a record is ready. Encode it, and keep the result.
//   - [TransmitTLSData]: send what you have kept, and say Done.
//   - [ReadEarlyData]: a client's 0-RTT data is here. Read its records.
//   - [ReadTraffic]: the peer's data is here. Read its records.
//   - [BlockedHandshake]: receive more bytes.
//   - [WriteTraffic]: write data, or close, or receive more bytes.
//   - [PeerClosed]: the peer will send no more data. It comes once.
//   - [Closed]: both sides have closed. Drop the connection.
//
// A configuration can ask for more states, for what a handshake may have to
// wait for elsewhere: see [Ask].
//
// BlockedHandshake, WriteTraffic and Closed are the quiet states: the
// connection has nothing left to say about the bytes that it was given. Receive
// in these only. What was received in one piece may hold many records, and a
// loop that goes back to its socket after the first waits for bytes that it
// already has.
//
// # The loop
//
// This one sends a request over a blocking transport and returns the response.
// It handles every state but ReadEarlyData, which only a server with
// MaxEarlyData sees, and can be pasted:
//
//	func exchange(conn *baretls.Conn, transport io.ReadWriter, request []byte) (response []byte, err error) {
//		var in, out []byte // received and not discarded; encoded and not sent
//		buf := make([]byte, 16<<10)
//		for ended := false; ; {
//			status, err := conn.ProcessTLSRecords(in)
//			discard, send, receive := status.Discard, false, false
//			switch state := status.State.(type) {
//			case baretls.EncodeTLSData:
//				out, err = state.AppendTo(out)
//			case baretls.TransmitTLSData:
//				send, err = true, state.Done()
//			case baretls.ReadTraffic:
//				for record := range state.Records() {
//					response = append(response, record.Payload...)
//					discard += record.Discard
//				}
//			case baretls.BlockedHandshake:
//				receive = true
//			case baretls.WriteTraffic:
//				switch {
//				case len(request) > 0:
//					out, err = state.AppendEncrypted(out, request)
//					request, send = nil, true
//				case ended: // answer the peer's close_notify with ours
//					out, err = state.AppendCloseNotify(out)
//					send = true
//				default:
//					receive = true
//				}
//			case baretls.PeerClosed:
//				ended = true
//			case baretls.Closed:
//				return response, nil
//			}
//			if err != nil {
//				return response, err // its alert has been sent by now
//			}
//			in = slices.Delete(in, 0, discard)
//			if send {
//				if _, err := transport.Write(out); err != nil {
//					return response, err
//				}
//				out = out[:0]
//			}
//			if receive {
//				n, err := transport.Read(buf)
//				in = append(in, buf[:n]...)
//				if err == io.EOF {
//					conn.CloseInput() // an error, unless the peer has closed
//				} else if err != nil {
//					return response, err
//				}
//			}
//		}
//	}
//
// # Whose bytes
//
// Nothing is claimed between turns. Bytes that Discard does not count are
// yours: move them, copy them to a larger buffer, hand them in again later.
// Discarded bytes are yours too, to overwrite. A turn needs whole records to
// get further, so let the buffer grow to the largest, 16,645 bytes; the Need of
// a quiet state says how many are missing at least. Handshake messages may be
// longer than a record, but these are joined inside.
//
// Records are opened in place. The Payload of an [AppDataRecord] is a part of
// the bytes that were handed in, valid until these are discarded or handed in
// again. Only NextRecord and Records open the peer's data, so a ReadTraffic
// that is left alone costs nothing and loses nothing: that is back-pressure.
// It comes again with the next turn, and a turn with no bytes at all leads past
// it to WriteTraffic, if there is something to write meanwhile. PeekLen says
// how much a record holds before it is opened. A record may also turn out to
// have no payload; its Discard counts all the same.
//
// Output goes into your memory and nowhere else. Len, EncryptedLen and
// CloseNotifyLen are the exact number of bytes that the call beside them
// writes. If there is less room, the call changes nothing and returns an
// [InsufficientSizeError] with that number. The methods that append make the
// room themselves. Opening and sealing records allocate nothing. Data that you
// write may lie in that memory: at its PayloadOffset it is encrypted in place.
//
// A state is a right to do something now. Used after the connection has moved
// on, its methods return [ErrStaleState]. Nothing is lost by looking away from
// one: encoding and transmitting are offered until they are done.
//
// # Closing
//
// QueueCloseNotify, in WriteTraffic, says that this side sends no more data;
// the peer's saying so is the state PeerClosed, behind the last of its data.
// Either may come first, and the other direction goes on until it is closed
// too: then the state is Closed. Whatever follows a close_notify is discarded.
//
// A transport that just ends may have been cut by someone else. Say so with
// [Conn.CloseInput]: if the peer had not closed by then, the next turn that
// runs out of bytes fails with an error that is io.ErrUnexpectedEOF.
//
// # Errors
//
// A connection that fails says so to its peer first. The next states are an
// EncodeTLSData and a TransmitTLSData with the alert; only then does
// ProcessTLSRecords return the [Error], and from then on always the same one.
// So "if err != nil { return err }" is correct, and no alert is forgotten. The
// Error knows its alert and which side sent it, and errors.As reaches the
// cause: a *tls.CertificateVerificationError, for example.
//
// Using the API wrongly is an error that changes nothing: ErrStaleState,
// [ErrAlreadyEncoded], [ErrWriteClosed], [ErrHandshakeNotComplete], or a
// [ConfigError] that names the field. Neither misuse nor anything a peer sends
// is a panic.
//
// # Resumption and 0-RTT
//
// Connections of one config resume one another without further ado: a server
// sends tickets, which a client keeps and uses once each. [TicketKeys] lets
// several servers open the same tickets, [SessionStore] keeps sessions in the
// server instead, and [ClientSessionStore] keeps a client's where you like. A
// session is used only where a full handshake would still be accepted: the
// chain that was verified must still be valid, VerifyPeer runs again, and a
// client's certificates are verified anew.
//
// 0-RTT data is off by default. With EnableEarlyData a client that has a session
// which allows it finds a [MayEncryptEarlyData] in TransmitTLSData, and sends a
// request with its hello; a server with MaxEarlyData reads it in ReadEarlyData.
// Such data can be replayed: put into it only what may happen twice. A server
// accepts each flight once as far as its [ReplayGuard] reaches, and rejects the
// data if it cannot tell. Rejected data is skipped and the handshake goes on,
// so a client has to ask [Conn.EarlyData] and send it again.
//
// # TLS 1.2
//
// Both sides speak the newest version that both have; [ClientConfig] and
// [ServerConfig] have bounds for it, MinVersion and MaxVersion. The states, the
// loop and the rules are the same for both versions. What differs in TLS 1.2:
//
//   - A client that does a full handshake has to wait for the server's Finished
//     and has nothing to send after it. So its first data goes out in
//     WriteTraffic; TransmitTLSData has no MayEncryptAppData on the way there.
//   - There is no 0-RTT data, no HelloRetryRequest and no record padding.
//   - Keys cannot be changed. RefreshTrafficKeys is [ErrNoKeyUpdate], and data
//     for which the key may not seal enough records is [ErrEncryptExhausted]:
//     none of it is written, and a close_notify is sent.
//   - A resumption has no key exchange: whoever has the TicketKeys can read it.
//   - The peer has to know extended_main_secret (RFC 7627), unless the config
//     has AllowNoExtendedMainSecret. Without it nothing can be exported.
//   - A peer that wants to renegotiate is refused by a warning, and the second
//     time by the end of the connection.
//
// A program that is built with the tag tls13only does not contain TLS 1.2.
//
// # Sharing
//
// A Conn is for one goroutine at a time. A [ClientConfig] or [ServerConfig] may
// serve any number of connections on any number of goroutines. It is checked
// once, by the first connection that uses it, and must not be changed after
// that. Its callbacks run inside a turn and must not block; what may have to
// wait can be a state instead: see [Ask]. Of their connection they may ask what it
// knows, and abandon it.
//
// [Conn.Split] makes two halves of a connection, a [ReadHalf] and a [WriteHalf],
// that two goroutines use at once; neither waits for the other. The reader's
// turns lead to ReadTraffic, [BlockedRead], PeerClosed and Closed, and to
// nothing that has to be sent. That is the writer's, and [WriteHalf.Pending]
// says so: ask after the turns of the reader, and have the writer encode it.
// The Conn is then for what is known about the connection, from any goroutine.
//
// # What is supported
//
// In both versions and both roles: handshakes with certificates of servers and
// clients, resumption, record_size_limit, server_name, ALPN, OCSP stapling and
// SCTs, exporters, key logging, and extraction of keys for the kernel. In TLS
// 1.3: 0-RTT data with anti-replay, HelloRetryRequest, stateless retries by
// cookie, key updates, record padding, and post-quantum key exchange, of which
// X25519MLKEM768 is the default. In TLS 1.2: ECDHE with AEADs, and nothing
// else. The cipher suites, groups and signature schemes are those of
// [ClientConfig].
//
// Not yet: ECH. Never: TLS 1.1 and older, renegotiation, compression, CBC, key
// exchange by RSA or finite fields, SHA-1.
package baretls
