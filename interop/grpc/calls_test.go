// Package grpctest runs gRPC over netconn, against itself and against gRPC over
// crypto/tls.
package grpctest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// A pair is who talks to whom.
type pair struct{ client, server way }

func (p pair) String() string {
	short := map[way]string{creds: "creds", beneath: "beneath", std: "std"}
	return short[p.client] + " to " + short[p.server]
}

// allPairs are all that netconn has a part in; fewPairs leave out those that are
// different in the handshake only.
var (
	allPairs = []pair{
		{creds, creds}, {creds, beneath}, {creds, std},
		{beneath, creds}, {beneath, beneath}, {beneath, std},
		{std, creds}, {std, beneath},
	}
	fewPairs = []pair{{creds, creds}, {creds, std}, {std, creds}}
)

// forPairs runs a test for each pair, in both versions.
func forPairs(t *testing.T, pairs []pair, test func(*testing.T, pair, terms)) {
	for _, p := range pairs {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%v/%s", p, tls.VersionName(version)), func(t *testing.T) {
				leavesNothing(t)
				test(t, p, both(version))
			})
		}
	}
}

// Every kind of call works, with messages from nothing to 8 MiB, and both sides
// know whom they talk to.
func TestCalls(t *testing.T) {
	sizes := []int32{0, 1, 1000, 16 << 10, 16<<10 + 1, 100_000, largest}
	forPairs(t, allPairs, func(t *testing.T, p pair, s terms) {
		server := serve(t, p.server, s)
		_, c := client(t, server.address, dialer(p.client, s))
		ctx := within(t)

		for _, size := range sizes {
			var remote peer.Peer
			in := &pb.SimpleRequest{Payload: pattern(size), ResponseSize: size}
			out, err := c.UnaryCall(ctx, in, grpc.Peer(&remote))
			if err != nil {
				t.Fatalf("a call with %d bytes: %v", size, err)
			}
			expectPattern(t, out.GetPayload(), size)
			checkPeers(t, p, s, remote, out)
		}

		input, err := c.StreamingInputCall(ctx)
		total := int32(0)
		for _, size := range sizes {
			if err == nil {
				err = input.Send(&pb.StreamingInputCallRequest{Payload: pattern(size)})
				total += size
			}
		}
		if err != nil {
			t.Fatalf("a stream to the server: %v", err)
		}
		if sum, err := input.CloseAndRecv(); err != nil || sum.GetAggregatedPayloadSize() != total {
			t.Errorf("the server has counted %d bytes of %d (%v)", sum.GetAggregatedPayloadSize(), total, err)
		}

		output, err := c.StreamingOutputCall(ctx, wanting(sizes...))
		if err != nil {
			t.Fatalf("a stream from the server: %v", err)
		}
		for _, size := range sizes {
			expectNext(t, output, size)
		}
		expectEnd(t, output)

		duplex, err := c.FullDuplexCall(ctx)
		if err != nil {
			t.Fatalf("a stream both ways: %v", err)
		}
		for _, size := range sizes {
			send(t, duplex, size)
			expectNext(t, duplex, size)
		}
		closeSend(t, duplex)
		expectEnd(t, duplex)
	})
}

// checkPeers compares what both sides know about the other, as far as they have
// a chance to know it.
func checkPeers(t *testing.T, p pair, s terms, server peer.Peer, answer *pb.SimpleResponse) {
	t.Helper()
	if p.server != beneath && answer.GetUsername() != clientName {
		t.Errorf("to the server, the client is %q, want %q", answer.GetUsername(), clientName)
	}
	if p.client == beneath {
		return
	}
	info, ok := server.AuthInfo.(credentials.TLSInfo)
	if !ok {
		t.Fatalf("the client knows about the server a %T and not a credentials.TLSInfo", server.AuthInfo)
	}
	state := info.State
	if state.Version != s.clientVersions[0] || state.NegotiatedProtocol != "h2" || info.SecurityLevel != credentials.PrivacyAndIntegrity {
		t.Errorf("to the client, the connection is %s with %q and %v", tls.VersionName(state.Version), state.NegotiatedProtocol, info.SecurityLevel)
	}
	if err := info.ValidateAuthority(serverName); err != nil {
		t.Errorf("the client does not find the name in the server's certificate: %v", err)
	}
}

// Many streams share a connection, and each gets its own bytes back.
func TestManyStreams(t *testing.T) {
	forPairs(t, fewPairs, func(t *testing.T, p pair, s terms) {
		server := serve(t, p.server, s)
		_, c := client(t, server.address, dialer(p.client, s))
		ctx := within(t)
		var streams sync.WaitGroup
		for i := range int32(20) {
			streams.Go(func() {
				duplex, err := c.FullDuplexCall(ctx)
				if err != nil {
					t.Errorf("stream %d: %v", i, err)
					return
				}
				const messages = 50
				streams.Go(func() {
					for n := range int32(messages) {
						if err := duplex.Send(&pb.StreamingOutputCallRequest{Payload: pattern(n*n + i)}); err != nil {
							t.Errorf("stream %d, sending message %d: %v", i, n, err)
						}
					}
					duplex.CloseSend()
				})
				for n := range int32(messages) {
					out, err := duplex.Recv()
					if err != nil {
						t.Errorf("stream %d, receiving message %d: %v", i, n, err)
						return
					}
					expectPattern(t, out.GetPayload(), n*n+i)
				}
				if _, err := duplex.Recv(); err != io.EOF {
					t.Errorf("stream %d ends with %v", i, err)
				}
			})
		}
		streams.Wait()
	})
}

// A client that cancels a call ends it for the server too, also while that sends
// as much as it can, and goes on over the same connection.
func TestCancel(t *testing.T) {
	forPairs(t, fewPairs, func(t *testing.T, p pair, s terms) {
		server := serve(t, p.server, s)
		_, c := client(t, server.address, dialer(p.client, s))
		ctx := within(t)
		before := addressOf(t, ctx, c)

		cancelled, cancel := context.WithCancel(ctx)
		duplex, err := c.FullDuplexCall(cancelled)
		if err != nil {
			t.Fatalf("a stream both ways: %v", err)
		}
		send(t, duplex, 1000)
		expectNext(t, duplex, 1000)
		cancel()
		_, err = duplex.Recv()
		expectCode(t, "the client's end of a cancelled stream", err, codes.Canceled)
		expectCode(t, "the server's end of a cancelled stream", server.awaitEnd(t), codes.Canceled)

		cancelled, cancel = context.WithCancel(ctx)
		defer cancel()
		flood := make([]int32, 1000)
		for i := range flood {
			flood[i] = 1 << 20
		}
		output, err := c.StreamingOutputCall(cancelled, wanting(flood...))
		if err != nil {
			t.Fatalf("a stream from the server: %v", err)
		}
		expectNext(t, output, flood[0])
		cancel()
		expectCode(t, "the server's end of a cancelled flood", server.awaitEnd(t), codes.Canceled)

		if after := addressOf(t, ctx, c); after != before {
			t.Errorf("the client has gone from %s to %s: it should have kept its connection", before, after)
		}
	})
}

// A server that is stopped gracefully lets a stream finish, and takes no more.
func TestGracefulStop(t *testing.T) {
	forPairs(t, allPairs, func(t *testing.T, p pair, s terms) {
		server := serve(t, p.server, s)
		conn, c := client(t, server.address, dialer(p.client, s))
		ctx := within(t)
		duplex, err := c.FullDuplexCall(ctx)
		if err != nil {
			t.Fatalf("a stream both ways: %v", err)
		}
		send(t, duplex, 1000)
		expectNext(t, duplex, 1000)
		for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
			if !conn.WaitForStateChange(ctx, state) {
				t.Fatalf("the client's state stays %v", state)
			}
		}

		stopped := make(chan struct{})
		go func() {
			server.GracefulStop()
			close(stopped)
		}()
		if !conn.WaitForStateChange(ctx, connectivity.Ready) {
			t.Fatal("the client does not notice that the server stops")
		}
		_, err = c.UnaryCall(ctx, new(pb.SimpleRequest))
		expectCode(t, "a call of a server that stops", err, codes.Unavailable)
		send(t, duplex, largest)
		expectNext(t, duplex, largest)
		closeSend(t, duplex)
		expectEnd(t, duplex)
		if err := server.awaitEnd(t); err != nil {
			t.Errorf("the stream has ended with %v on the server", err)
		}
		await(t, "the end of GracefulStop", stopped)
		if err := await(t, "the end of Serve", server.served); err != nil {
			t.Errorf("Serve has ended with %v", err)
		}
	})
}

// A server that is stopped at once cuts a stream off, and the client is told
// that there is no more.
func TestStop(t *testing.T) {
	forPairs(t, fewPairs, func(t *testing.T, p pair, s terms) {
		server := serve(t, p.server, s)
		_, c := client(t, server.address, dialer(p.client, s))
		duplex, err := c.FullDuplexCall(within(t))
		if err != nil {
			t.Fatalf("a stream both ways: %v", err)
		}
		send(t, duplex, 1000)
		expectNext(t, duplex, 1000)
		server.Stop()
		_, err = duplex.Recv()
		expectCode(t, "the client's end of a stream that is cut off", err, codes.Unavailable)
		if err := server.awaitEnd(t); err == nil {
			t.Error("to the server, the stream has ended well")
		}
	})
}

// The second connection resumes a session of the first.
func TestResumption(t *testing.T) {
	forPairs(t, fewPairs, func(t *testing.T, p pair, s terms) {
		server := serve(t, p.server, s)
		options := dialer(p.client, s)
		for i := range 3 {
			conn, c := client(t, server.address, options)
			var remote peer.Peer
			out, err := c.UnaryCall(within(t), new(pb.SimpleRequest), grpc.Peer(&remote))
			if err != nil {
				t.Fatalf("a call of connection %d: %v", i, err)
			}
			checkPeers(t, p, s, remote, out)
			if resumed := remote.AuthInfo.(credentials.TLSInfo).State.DidResume; resumed != (i > 0) {
				t.Errorf("connection %d has resumed a session: %t", i, resumed)
			}
			conn.Close()
		}
	})
}

// A connection that must not be is none: the call fails, the side that refuses
// says why, and the other has heard of it. A client that is refused in TLS 1.3
// may find the connection closed before it has read the alert.
func TestRefusals(t *testing.T) {
	const alert = `(remote error: tls|the peer sent an alert): (bad certificate|unknown certificate)`
	for _, row := range []struct {
		name           string
		change         func(*terms)
		host           string // instead of the name in the certificate
		client, server string // patterns of what they say; empty: anything, or nothing
	}{
		{"no client certificate", func(s *terms) { s.noClientCert = true }, serverName,
			"", `(no|didn't provide a) certificate`},
		{"a stranger's client certificate", func(s *terms) { s.client = stranger() }, serverName,
			"", "certificate signed by unknown authority"},
		{"a stranger's server certificate", func(s *terms) { s.server = stranger() }, serverName,
			"certificate signed by unknown authority", alert},
		{"a certificate for another name", func(*terms) {}, "127.0.0.1",
			"cannot validate certificate for 127.0.0.1", alert},
		{"no ALPN", func(s *terms) { s.noALPN = true }, serverName,
			"ALPN", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			forPairs(t, fewPairs, func(t *testing.T, p pair, s terms) {
				row.change(&s)
				server := serve(t, p.server, s)
				address := strings.Replace(server.address, serverName, row.host, 1)
				_, c := client(t, address, dialer(p.client, s))
				_, err := c.UnaryCall(within(t), new(pb.SimpleRequest))
				expectCode(t, "the call", err, codes.Unavailable)
				expectMatch(t, "the client", err, row.client)
				if row.server != "" {
					expectMatch(t, "the server", await(t, "the server's refusal", server.refused), row.server)
				}
			})
		})
	}
}

// addressOf is where the server sees the client.
func addressOf(t *testing.T, ctx context.Context, c pb.TestServiceClient) string {
	t.Helper()
	out, err := c.UnaryCall(ctx, new(pb.SimpleRequest))
	if err != nil {
		t.Fatalf("a call: %v", err)
	}
	return out.GetHostname()
}

// wanting asks for a stream of such payloads.
func wanting(sizes ...int32) *pb.StreamingOutputCallRequest {
	in := new(pb.StreamingOutputCallRequest)
	for _, size := range sizes {
		in.ResponseParameters = append(in.ResponseParameters, &pb.ResponseParameters{Size: size})
	}
	return in
}

type duplexStream = grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]

func send(t *testing.T, stream duplexStream, size int32) {
	t.Helper()
	if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: pattern(size)}); err != nil {
		t.Fatalf("sending %d bytes: %v", size, err)
	}
}

func closeSend(t *testing.T, stream duplexStream) {
	t.Helper()
	if err := stream.CloseSend(); err != nil {
		t.Fatalf("closing: %v", err)
	}
}

// receiver is a stream from the server.
type receiver interface {
	Recv() (*pb.StreamingOutputCallResponse, error)
}

func expectNext(t *testing.T, stream receiver, size int32) {
	t.Helper()
	out, err := stream.Recv()
	if err != nil {
		t.Fatalf("receiving %d bytes: %v", size, err)
	}
	expectPattern(t, out.GetPayload(), size)
}

func expectEnd(t *testing.T, stream receiver) {
	t.Helper()
	if out, err := stream.Recv(); err != io.EOF {
		t.Errorf("the stream should be at its end, and there are %d bytes (%v)", len(out.GetPayload().GetBody()), err)
	}
}

func expectPattern(t *testing.T, p *pb.Payload, size int32) {
	t.Helper()
	if n := len(p.GetBody()); n != int(size) {
		t.Errorf("%d bytes have come, want %d", n, size)
	}
	if err := isPattern(p); err != nil {
		t.Error(err)
	}
}

func expectCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s has the code %v, want %v (%v)", what, got, want, err)
	}
}

func expectMatch(t *testing.T, who string, err error, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(fmt.Sprint(err)) {
		t.Errorf("%s says %v, and should say %q", who, err, pattern)
	}
}

// awaitEnd is how the next stream ends on the server.
func (s *service) awaitEnd(t *testing.T) error {
	t.Helper()
	return await(t, "the end of a stream on the server", s.ended)
}

// await is the next of a channel, or its end.
func await[T any](t *testing.T, what string, c <-chan T) (next T) {
	t.Helper()
	select {
	case next = <-c:
	case <-time.After(patience):
		t.Fatalf("%s does not come", what)
	}
	return next
}
