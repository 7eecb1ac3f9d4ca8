package gategrpc_test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/gate/gategrpc"
	"github.com/gatehouse-auth/gatehouse/secret"
)

type validator struct{}

func (validator) Validate(_ context.Context, tok secret.Text, want gatehouse.Requirement) (*gatehouse.Claims, error) {
	switch tok.Reveal() {
	case "good":
		if len(want.Scopes) > 0 {
			return nil, gatehouse.Refuse(gatehouse.InsufficientScope, gatehouse.ReasonScope, "")
		}
		return &gatehouse.Claims{ClientID: "acme", Environment: want.Environment}, nil
	case "old":
		return nil, gatehouse.Refuse(gatehouse.ExpiredToken, gatehouse.ReasonExpired, "")
	case "down":
		return nil, gatehouse.Refuse(gatehouse.Unavailable, gatehouse.ReasonStale, "")
	}
	return nil, gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonRevoked, "revoked by the operator")
}

// service answers with whose call it is.
type service struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (service) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if c, ok := gate.FromContext(ctx); !ok || c.ClientID != "acme" {
		return nil, status.Error(codes.Internal, "no claims")
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

func (service) Watch(_ *grpc_health_v1.HealthCheckRequest, s grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	if c, ok := gate.FromContext(s.Context()); !ok || c.ClientID != "acme" {
		return status.Error(codes.Internal, "no claims")
	}
	return s.Send(&grpc_health_v1.HealthCheckResponse{})
}

func TestInterceptors(t *testing.T) {
	routes, err := gate.NewRoutes([]gate.Route{
		{Path: "/grpc.health.v1.Health/List", Want: gatehouse.Requirement{Environment: gatehouse.Live, Scopes: []string{"list"}}},
		{Path: "/grpc.health.v1.Health/", Want: gatehouse.Requirement{Environment: gatehouse.Live}},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := gate.Options{Routes: routes}
	server := grpc.NewServer(grpc.UnaryInterceptor(gategrpc.Unary(validator{}, o)), grpc.StreamInterceptor(gategrpc.Stream(validator{}, o)))
	grpc_health_v1.RegisterHealthServer(server, service{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := grpc_health_v1.NewHealthClient(conn)
	for _, c := range []struct {
		authorization []string
		code          codes.Code
	}{
		{[]string{"Bearer good"}, codes.OK},
		{nil, codes.Unauthenticated},
		{[]string{"good"}, codes.Unauthenticated},
		{[]string{"Bearer good", "Bearer good"}, codes.Unauthenticated},
		{[]string{"Bearer old"}, codes.Unauthenticated},
		{[]string{"Bearer what"}, codes.Unauthenticated},
		{[]string{"Bearer down"}, codes.Unavailable},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		for _, a := range c.authorization {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", a)
		}
		_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		stream, streamErr := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
		if streamErr == nil {
			_, streamErr = stream.Recv()
		}
		for _, err := range []error{err, streamErr} {
			if status.Code(err) != c.code {
				t.Errorf("%q: %v, want %v", c.authorization, err, c.code)
			}
			if m := status.Convert(err).Message(); m == "revoked by the operator" {
				t.Error("the caller learns the reason")
			}
		}
		if c.code == codes.OK {
			if _, err := client.List(ctx, &grpc_health_v1.HealthListRequest{}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("without the scope: %v", err)
			}
		}
		cancel()
	}
}
