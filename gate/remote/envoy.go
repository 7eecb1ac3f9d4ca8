package remote

import (
	"cmp"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/gate/envoy"
)

// newEnvoyServer serves ext_authz over gRPC.
func (g *Gate) newEnvoyServer() *grpc.Server {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxHeaderBytes*4 + cmp.Or(g.settings.BodyLimit, gate.DefaultBodyLimit)), // headers, what Envoy says of the connection, and a body
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(readHeaderTimeout),
	}
	if g.tls != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(g.tls)))
	}
	s := grpc.NewServer(options...)
	authv3.RegisterAuthorizationServer(s, envoy.New(g.handler.envoy, g.handler.toldEnvoy))
	return s
}

// stopWithin lets questions under way finish, up to a time.
func stopWithin(s *grpc.Server, d time.Duration) {
	cut := time.AfterFunc(d, s.Stop)
	defer cut.Stop()
	s.GracefulStop()
}
