// Package gategrpc puts a gate before a gRPC server: each call needs a token
// that meets what its method asks.
package gategrpc

import (
	"context"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate"
)

// Unary judges each call by the "authorization" of its metadata. Routes in o
// match the full method name, such as "/shop.v1.Orders/Cancel", and the method
// POST. A call that passes has its claims in its context (gate.FromContext);
// the others end with Unauthenticated, PermissionDenied or Unavailable, and
// never reach their handler. It panics where o asks nothing at all.
func Unary(v gate.Validator, o gate.Options) grpc.UnaryServerInterceptor {
	j := newJudge(v, o)
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		ctx, err := j.admit(ctx, info.FullMethod)
		if err != nil {
			return nil, err
		}
		return handle(ctx, req)
	}
}

// Stream is Unary for streams. A stream is judged when it begins: one that
// outlives its token goes on, so a handler that streams for hours should look
// at the claims' ExpiresAt.
func Stream(v gate.Validator, o gate.Options) grpc.StreamServerInterceptor {
	j := newJudge(v, o)
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		ctx, err := j.admit(ss.Context(), info.FullMethod)
		if err != nil {
			return err
		}
		return handle(srv, &identified{ss, ctx})
	}
}

// identified is a stream whose context has claims.
type identified struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *identified) Context() context.Context { return s.ctx }

type judge struct {
	validator gate.Validator
	options   gate.Options
}

func newJudge(v gate.Validator, o gate.Options) *judge {
	if o.Routes == nil && o.Want.Environment == "" {
		panic("gategrpc: the options ask for no environment: set Want.Environment or Routes")
	}
	return &judge{v, o}
}

func (j *judge) admit(ctx context.Context, method string) (context.Context, error) {
	h := http.Header{}
	if md, ok := metadata.FromIncomingContext(ctx); ok && len(md["authorization"]) > 0 {
		h["Authorization"] = md["authorization"]
	}
	claims, refusal := j.options.Admit(ctx, j.validator, http.MethodPost, method, h)
	if refusal != nil {
		return nil, status.Error(codeOf(refusal.Code), told(refusal))
	}
	return gate.NewContext(ctx, claims), nil
}

func codeOf(c gatehouse.Code) codes.Code {
	switch c {
	case gatehouse.MissingToken, gatehouse.InvalidToken, gatehouse.ExpiredToken:
		return codes.Unauthenticated
	case gatehouse.Unavailable, gatehouse.ServerError, gatehouse.RateLimited:
		return codes.Unavailable
	}
	return codes.PermissionDenied
}

// told is what a caller hears: the code, never the reason.
func told(e *gatehouse.Error) string {
	switch codeOf(e.Code) {
	case codes.Unauthenticated:
		switch e.Code {
		case gatehouse.MissingToken:
			return "a bearer token is required"
		case gatehouse.ExpiredToken:
			return "the access token has expired"
		}
		return "the access token is invalid"
	case codes.Unavailable:
		return "the token can't be judged now; try again"
	}
	if e.Code == gatehouse.InsufficientScope {
		return "the access token lacks a scope"
	}
	return "this call is not allowed"
}
