package envoy_test

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/goccy/go-yaml"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/gate/envoy"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

type validator struct{}

var id = token.NewID(time.Unix(1_700_000_000, 0))

func (validator) Validate(_ context.Context, tok secret.Text, want gatehouse.Requirement) (*gatehouse.Claims, error) {
	switch tok.Reveal() {
	case "good":
		if slices.Contains(want.Scopes, "write") {
			return nil, gatehouse.Refuse(gatehouse.InsufficientScope, gatehouse.ReasonScope, "")
		}
		return &gatehouse.Claims{
			Token: id, ClientID: "acme", Environment: want.Environment, Scopes: []string{"read"}, Scope: "read", Subject: "user", Dialect: "oauth2",
			ExpiresAt: time.Unix(1_800_000_000, 0),
		}, nil
	case "down":
		return nil, gatehouse.Refuse(gatehouse.Unavailable, gatehouse.ReasonStale, "")
	}
	return nil, gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonRevoked, "")
}

// dial serves the service over a real connection, as Envoy would reach it.
func dial(t *testing.T, routes *gate.Routes, told func(string, *gatehouse.Error)) authv3.AuthorizationClient {
	t.Helper()
	verify := gate.NewVerify(validator{}, func(name string) *dialect.Dialect { d, _ := dialect.Builtin(name); return d }, time.Now)
	if routes != nil {
		verify.AskByRoutes(routes, nil)
	}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, envoy.New(verify, told))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return authv3.NewAuthorizationClient(conn)
}

func request(path string, extensions, headers map[string]string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: extensions,
		Request:           &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: path, Headers: headers}},
	}}
}

func check(t *testing.T, c authv3.AuthorizationClient, r *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := c.Check(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.ValidateAll(); err != nil {
		t.Fatalf("the answer breaks the protos' own rules: %v", err)
	}
	return res
}

func TestCheck(t *testing.T) {
	var told []string
	c := dial(t, nil, func(_ string, e *gatehouse.Error) {
		if e != nil {
			told = append(told, string(e.Reason))
		}
	})
	live := map[string]string{"environment": "live"}
	for what, x := range map[string]struct {
		r      *authv3.CheckRequest
		code   codes.Code
		status int32
	}{
		"good":              {request("/x", live, map[string]string{"authorization": "Bearer good"}), codes.OK, 0},
		"none":              {request("/x", live, nil), codes.Unauthenticated, 401},
		"two, joined":       {request("/x", live, map[string]string{"authorization": "Bearer good,Bearer good"}), codes.Unauthenticated, 401},
		"revoked":           {request("/x", live, map[string]string{"authorization": "Bearer old"}), codes.Unauthenticated, 401},
		"scope":             {request("/x", map[string]string{"environment": "live", "scope": "write"}, map[string]string{"authorization": "Bearer good"}), codes.PermissionDenied, 403},
		"unknowable":        {request("/x", live, map[string]string{"authorization": "Bearer down"}), codes.Unavailable, 503},
		"nothing asked":     {request("/x", nil, map[string]string{"authorization": "Bearer good"}), codes.PermissionDenied, 403},
		"a broken question": {request("/x", map[string]string{"environment": "live", "scope": ""}, map[string]string{"authorization": "Bearer good"}), codes.PermissionDenied, 403},
		"nothing at all":    {&authv3.CheckRequest{}, codes.PermissionDenied, 403},
	} {
		res := check(t, c, x.r)
		if got := codes.Code(res.GetStatus().GetCode()); got != x.code {
			t.Errorf("%s: %s, want %s", what, got, x.code)
		}
		d := res.GetDeniedResponse()
		if (d != nil) != (x.code != codes.OK) || d != nil && int32(d.GetStatus().GetCode()) != x.status {
			t.Errorf("%s: denied with %v", what, d)
		}
		if d == nil {
			continue
		}
		if res.GetOkResponse() != nil || res.GetDynamicMetadata() != nil {
			t.Errorf("%s: a refusal carries an identity", what)
		}
		challenge := header(d.GetHeaders(), "www-authenticate")
		if x.status == 401 && !strings.HasPrefix(challenge, "Bearer ") {
			t.Errorf("%s: challenge %q", what, challenge)
		}
		if header(d.GetHeaders(), "gatehouse-request-id") == "" || strings.Contains(d.GetBody(), "revoked") {
			t.Errorf("%s: %v", what, d)
		}
	}
	if !slices.Contains(told, "revoked") {
		t.Errorf("the owner heard %v", told)
	}
	d := check(t, c, request("/x", map[string]string{"environment": "live", "dialect": "quidkey"}, nil)).GetDeniedResponse()
	if !strings.HasPrefix(d.GetBody(), `{"success":false`) {
		t.Errorf("in a dialect's words: %s", d.GetBody())
	}
}

func header(list []*corev3.HeaderValueOption, name string) string {
	for _, o := range list {
		if o.GetHeader().GetKey() == name {
			return o.GetHeader().GetValue()
		}
	}
	return ""
}

// No identity header of the caller's survives, in any spelling; and each of
// ours replaces whatever is there.
func TestIdentity(t *testing.T) {
	c := dial(t, nil, nil)
	raw := request("/x", map[string]string{"environment": "live"}, nil)
	raw.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
		{Key: "authorization", RawValue: []byte("Bearer good")}, {Key: "gatehouse-client-id", Value: "evil"},
		{Key: "gatehouse_client-id", Value: "evil"}, {Key: "gatehouse-more", Value: "evil"}, {Key: "gatehouses", Value: "fine"},
	}}
	for what, r := range map[string]*authv3.CheckRequest{
		"headers": request("/x", map[string]string{"environment": "live"}, map[string]string{
			"authorization": "Bearer good", "gatehouse-client-id": "evil", "gatehouse_client-id": "evil", "gatehouse-more": "evil", "gatehouses": "fine",
		}),
		"raw headers": raw,
	} {
		res := check(t, c, r)
		ok := res.GetOkResponse()
		if ok == nil {
			t.Fatalf("%s: refused: %v", what, res)
		}
		for _, name := range gate.IdentityHeaders {
			i := slices.IndexFunc(ok.GetHeaders(), func(o *corev3.HeaderValueOption) bool { return o.GetHeader().GetKey() == strings.ToLower(name) })
			if i < 0 || ok.GetHeaders()[i].GetHeader().GetValue() == "" || ok.GetHeaders()[i].GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
				t.Errorf("%s: %s does not replace the caller's: %v", what, name, ok.GetHeaders())
			}
			if under := strings.ToLower(strings.ReplaceAll(name, "-", "_")); !slices.Contains(ok.GetHeadersToRemove(), under) {
				t.Errorf("%s: %s survives", what, under)
			}
		}
		removed := strings.ToLower(strings.Join(ok.GetHeadersToRemove(), " ")) + " "
		for _, name := range []string{"authorization ", "gatehouse_client-id ", "gatehouse-more "} {
			if !strings.Contains(removed, name) {
				t.Errorf("%s: %ssurvives: %v", what, name, ok.GetHeadersToRemove())
			}
		}
		if strings.Contains(removed, "gatehouses") || strings.Contains(removed, "gatehouse-client-id") {
			t.Errorf("%s: too much is removed: %v", what, ok.GetHeadersToRemove())
		}
		m := res.GetDynamicMetadata().AsMap()
		if m["client_id"] != "acme" || m["environment"] != "live" || m["token_id"] != id.String() || m["subject"] != "user" || m["expires_at"] != 1.8e9 {
			t.Errorf("%s: metadata %v", what, m)
		}
	}
	two := request("/x", map[string]string{"environment": "live"}, nil)
	two.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "authorization", Value: "Bearer good"}, {Key: "authorization", Value: "Bearer good"}}}
	if res := check(t, c, two); res.GetDeniedResponse() == nil {
		t.Error("two tokens pass")
	}
}

func TestRoutes(t *testing.T) {
	routes, err := gate.NewRoutes([]gate.Route{{Path: "/health", Public: true}, {Path: "/x/", Want: gatehouse.Requirement{Environment: gatehouse.Live}}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, routes, nil)
	token := map[string]string{"authorization": "Bearer good"}
	for path, passes := range map[string]bool{
		"/x/1?y=%2f": true, "/health": true, "/other": false, "/x/..%2fhealth": false, "/health/../x": false, "//health": false, "": false,
	} {
		if res := check(t, c, request(path, nil, token)); (res.GetOkResponse() != nil) != passes {
			t.Errorf("%q: %v", path, res)
		}
	}
	if res := check(t, c, request("/x/1", map[string]string{"environment": "live"}, token)); res.GetOkResponse() != nil {
		t.Error("a question beside the routes is taken")
	}
}

// There is no Envoy here. The example is held to the protos that it is read by.
func TestExampleIsEnvoyConfiguration(t *testing.T) {
	b, err := os.ReadFile("../../examples/gateways/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	var bootstrap bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(asJSON, &bootstrap); err != nil {
		t.Fatal(err)
	}
	if err := bootstrap.ValidateAll(); err != nil {
		t.Error(err)
	}
	if n := len(bootstrap.GetStaticResources().GetListeners()); n != 1 {
		t.Errorf("%d listeners", n)
	}
}

// linking stands in for a node that knows one connection.
type linking struct{ validator }

func (linking) Validate(context.Context, secret.Text, gatehouse.Requirement) (*gatehouse.Claims, error) {
	return &gatehouse.Claims{Token: id, ClientID: "acme", Environment: gatehouse.Live, Dialect: "dapi"}, nil
}

func (linking) ProveCall(_ context.Context, by gatehouse.Actor, _ *gatehouse.Claims, p gatehouse.CallProof) error {
	if p.ClientSecret.Reveal() != "app" || p.UserSecret.Reveal() != "user" || by.Addr.String() != "192.0.2.7" {
		return gatehouse.Refuse(gatehouse.InvalidClient, gatehouse.ReasonWrongSecret, "")
	}
	return nil
}

// Envoy shows bodies as with_request_body has it, in either form.
func TestBodies(t *testing.T) {
	d, err := dialect.Builtin("dapi")
	if err != nil {
		t.Fatal(err)
	}
	verify := gate.NewVerify(linking{}, func(string) *dialect.Dialect { return nil }, time.Now)
	verify.HoldCalls(gate.NewCalls(linking{}, []*dialect.Dialect{d}, 1000))
	server := envoy.New(verify, nil)
	const right, wrong = `{"appSecret":"app","userSecret":"user"}`, `{"appSecret":"app","userSecret":"other"}`
	for _, c := range []struct {
		what, body string
		raw        bool
		partial    []string
		status     int32
	}{
		{"right", right, false, []string{"false"}, 0},
		{"right, as bytes", right, true, []string{"false"}, 0},
		{"wrong", wrong, false, []string{"false"}, 401},
		{"none", "", false, []string{"false"}, 422},
		{"a part", right, true, []string{"true"}, 413},
		{"not shown", "", false, nil, 413},
		{"the caller says so, too", right, true, []string{"false", "false"}, 413},
	} {
		asked := &authv3.AttributeContext_HttpRequest{Method: "POST", Path: "/data", HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
			{Key: "authorization", RawValue: []byte("Bearer good")}, {Key: "content-type", RawValue: []byte("application/json")},
		}}}
		for _, p := range c.partial {
			asked.HeaderMap.Headers = append(asked.HeaderMap.Headers, &corev3.HeaderValue{Key: "x-envoy-auth-partial-body", Value: p})
		}
		if c.raw {
			asked.RawBody = []byte(c.body)
		} else {
			asked.Body = c.body
		}
		answer, err := server.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request:           &authv3.AttributeContext_Request{Http: asked},
			ContextExtensions: map[string]string{"environment": "live"},
			Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
				SocketAddress: &corev3.SocketAddress{Address: "192.0.2.7"},
			}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.ValidateAll(); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := int32(answer.GetDeniedResponse().GetStatus().GetCode()); got != c.status || (answer.GetOkResponse() != nil) != (c.status == 0) {
			t.Errorf("%s: %d %s", c.what, got, answer.GetDeniedResponse().GetBody())
		}
	}
}
