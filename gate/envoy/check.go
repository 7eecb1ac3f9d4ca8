// Package envoy answers Envoy's external authorization over gRPC
// (envoy.service.auth.v3.Authorization, by Envoy's published protos).
package envoy

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A Server is the Authorization service. What a route asks comes from its
// context_extensions (environment, scope, audience, client, dialect, as in the
// query of /gate/verify), which are Envoy's settings and not its callers', or
// from the gate's routes, matched on the path that Envoy passes on.
//
// A request that passes gets every identity header, loses whatever else could
// be read as one, and its token; and it has the identity in the dynamic metadata
// of the filter. The others get Gatehouse's own answer: 401, 403 or 503. Where
// the gate holds calls to their dialect, Envoy must show it their bodies whole
// (with_request_body, without allow_partial_message).
type Server struct {
	authv3.UnimplementedAuthorizationServer
	verify *gate.Verify
	told   func(id string, refusal *gatehouse.Error)
}

// New makes a Server. told, if not nil, hears of each answer: the request id,
// and why it was refused, nil where it passed.
func New(verify *gate.Verify, told func(id string, refusal *gatehouse.Error)) *Server {
	return &Server{verify: verify, told: told}
}

// Check implements envoy.service.auth.v3.Authorization.
func (s *Server) Check(ctx context.Context, req *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	attributes := req.GetAttributes()
	asked := attributes.GetRequest().GetHttp()
	h := headersOf(asked)
	body, whole := bodyOf(asked, h)
	ask := gate.Ask{
		Method: asked.GetMethod(), URI: asked.GetPath(), Header: h, From: sourceOf(attributes), Body: body, Whole: whole,
		Require: attributes.GetContextExtensions(), RequestID: token.NewID(time.Now()).String(),
	}
	a := s.verify.Judge(ctx, ask)
	if s.told != nil {
		s.told(ask.RequestID, a.Refusal)
	}
	if a.Refusal != nil {
		return denied(a), nil
	}
	return passed(a, h), nil
}

// headersOf reads the headers in either of the forms that Envoy sends. In the
// first one several of a name are joined by commas, which no token survives.
func headersOf(asked *authv3.AttributeContext_HttpRequest) http.Header {
	h := http.Header{}
	for name, value := range asked.GetHeaders() {
		add(h, name, value)
	}
	for _, v := range asked.GetHeaderMap().GetHeaders() {
		value := v.GetValue()
		if raw := v.GetRawValue(); raw != nil {
			value = string(raw)
		}
		add(h, v.GetKey(), value)
	}
	return h
}

// headerPartial is what Envoy says of a body that it shows (with_request_body).
const headerPartial = "X-Envoy-Auth-Partial-Body"

// bodyOf returns the body in either of the forms that Envoy sends. It is whole
// where Envoy says so, and once: it may have been told so by its caller, too.
func bodyOf(asked *authv3.AttributeContext_HttpRequest, h http.Header) (body []byte, whole bool) {
	if body = asked.GetRawBody(); body == nil {
		body = []byte(asked.GetBody())
	}
	partial := h[headerPartial]
	return body, len(partial) == 1 && partial[0] == "false"
}

// sourceOf is the caller's address, as Envoy knows it.
func sourceOf(a *authv3.AttributeContext) netip.Addr {
	addr, err := netip.ParseAddr(a.GetSource().GetAddress().GetSocketAddress().GetAddress())
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// add keeps names that aren't canonical as they are.
func add(h http.Header, name, value string) {
	if strings.HasPrefix(name, ":") {
		return
	}
	if !strings.Contains(name, "_") {
		name = http.CanonicalHeaderKey(name)
	}
	h[name] = append(h[name], value)
}

func passed(a *gate.Answer, h http.Header) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{HeadersToRemove: append(gate.Forgeries(h), "authorization")}
	for _, name := range gate.IdentityHeaders {
		ok.Headers = append(ok.Headers, set(name, a.Header.Get(name)))
	}
	slices.Sort(ok.HeadersToRemove)
	return &authv3.CheckResponse{
		Status:          &status.Status{Code: int32(codes.OK)},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: metadata(a.Claims),
	}
}

func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: strings.ToLower(name), Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// metadata is the identity for Envoy's own filters: rate limits, logs, RBAC.
func metadata(c *gatehouse.Claims) *structpb.Struct {
	fields := map[string]*structpb.Value{
		"client_id":   structpb.NewStringValue(string(c.ClientID)),
		"environment": structpb.NewStringValue(string(c.Environment)),
		"subject":     structpb.NewStringValue(c.Subject),
		"dialect":     structpb.NewStringValue(c.Dialect),
	}
	if !c.Token.IsZero() {
		fields["token_id"] = structpb.NewStringValue(c.Token.String())
	}
	if !c.ExpiresAt.IsZero() {
		fields["expires_at"] = structpb.NewNumberValue(float64(c.ExpiresAt.Unix()))
	}
	scopes := make([]*structpb.Value, len(c.Scopes))
	for i, s := range c.Scopes {
		scopes[i] = structpb.NewStringValue(s)
	}
	fields["scopes"] = structpb.NewListValue(&structpb.ListValue{Values: scopes})
	return &structpb.Struct{Fields: fields}
}

// statuses are those that a gate answers with of itself. Others are a dialect's,
// for a call that isn't as it should be.
var statuses = map[int]struct {
	code codes.Code
	http typev3.StatusCode
}{
	http.StatusUnauthorized:       {codes.Unauthenticated, typev3.StatusCode_Unauthorized},
	http.StatusForbidden:          {codes.PermissionDenied, typev3.StatusCode_Forbidden},
	http.StatusServiceUnavailable: {codes.Unavailable, typev3.StatusCode_ServiceUnavailable},
}

func denied(a *gate.Answer) *authv3.CheckResponse {
	s, ok := statuses[a.Status]
	if !ok {
		s.code, s.http = codes.PermissionDenied, typev3.StatusCode(a.Status)
	}
	if _, known := typev3.StatusCode_name[int32(s.http)]; !known {
		s.http = typev3.StatusCode_Forbidden // Envoy would refuse the answer
	}
	out := &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: s.http}, Body: string(a.Body)}
	for name, values := range a.Header {
		for _, v := range values {
			out.Headers = append(out.Headers, set(name, v))
		}
	}
	return &authv3.CheckResponse{
		Status:       &status.Status{Code: int32(s.code)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: out},
	}
}
