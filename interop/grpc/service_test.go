package grpctest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// service is the one of gRPC's own interoperability tests, as far as it is
// needed: it takes payloads that are pattern, and nothing else, and makes such.
type service struct {
	pb.UnimplementedTestServiceServer
	ended chan error // how streams have ended
}

func newService() *service { return &service{ended: make(chan error, 1000)} }

// UnaryCall says where the client is, and who, if that is known.
func (s *service) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if err := isPattern(in.GetPayload()); err != nil {
		return nil, err
	}
	client, _ := peer.FromContext(ctx)
	out := &pb.SimpleResponse{Payload: pattern(in.GetResponseSize()), Hostname: client.Addr.String()}
	if info, ok := client.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
		out.Username = info.State.VerifiedChains[0][0].Subject.CommonName
	}
	return out, nil
}

func (s *service) StreamingInputCall(stream grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) (err error) {
	defer func() { s.ended <- err }()
	total := 0
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(total)})
		}
		if err != nil {
			return err
		}
		if err := isPattern(in.GetPayload()); err != nil {
			return err
		}
		total += len(in.GetPayload().GetBody())
	}
}

func (s *service) StreamingOutputCall(in *pb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) (err error) {
	defer func() { s.ended <- err }()
	for _, wanted := range in.GetResponseParameters() {
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: pattern(wanted.GetSize())}); err != nil {
			return err
		}
	}
	return nil
}

// FullDuplexCall is an echo.
func (s *service) FullDuplexCall(stream grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) (err error) {
	defer func() { s.ended <- err }()
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}

// pattern is a payload of n bytes.
func pattern(n int32) *pb.Payload {
	body := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(body)
	return &pb.Payload{Body: body}
}

// isPattern says what is wrong with a payload, as the status of a call.
func isPattern(p *pb.Payload) error {
	if n := len(p.GetBody()); !bytes.Equal(p.GetBody(), pattern(int32(n)).GetBody()) {
		return status.Error(codes.DataLoss, fmt.Sprintf("%d bytes have come, and they are not those that were sent", n))
	}
	return nil
}
