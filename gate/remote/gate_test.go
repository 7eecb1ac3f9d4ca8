package remote

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
)

func load(t *testing.T, text string) (*Settings, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, func(name string) (string, bool) { return "value of " + name, name != "UNSET" })
}

const whole = `
authority: http://127.0.0.1:1
environment: live
client_id: gate
client_secret: ${SECRET}
journal: {max_lag: 10s, on_lag: open}
envoy: {listen: 127.0.0.1:0, with_request_body: true}
proxy: {listen: 127.0.0.1:0, upstream: "http://127.0.0.1:1"}
body_limit: 1000
listen: 127.0.0.1:0
trusted_proxies: [127.0.0.1, 10.0.0.0/8]
routes:
- {path: /health, public: true}
- {path: /orders/, scope: read write, audience: https://api.example}
`

func TestSettings(t *testing.T) {
	s, err := load(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	if s.ClientSecret.Reveal() != "value of SECRET" || s.MaxLag != 10*time.Second || !s.OnLagOpen || len(s.TrustedProxies) != 2 || s.EnvoyListen == "" || s.Routes == nil {
		t.Errorf("%+v", s)
	}
	r, problem := s.Routes.Find("GET", "/orders/1")
	if problem != "" || strings.Join(r.Want.Scopes, ",") != "read,write" || r.Want.Environment != "live" || r.Want.Audience != "https://api.example" {
		t.Errorf("%+v %s", r, problem)
	}
	for what, text := range map[string]string{
		"a key twice":            whole + "listen: 127.0.0.1:1\n",
		"an unknown key":         whole + "listne: 127.0.0.1:1\n",
		"no environment":         strings.Replace(whole, "environment: live\n", "", 1),
		"an unset variable":      strings.Replace(whole, "SECRET", "UNSET", 1),
		"no such file":           strings.Replace(whole, "${SECRET}", "file:none", 1),
		"a lag":                  strings.Replace(whole, "10s", "soon", 1),
		"on_lag":                 strings.Replace(whole, "open}", "ajar}", 1),
		"a proxy":                strings.Replace(whole, "10.0.0.0/8", "proxy.example", 1),
		"half a TLS":             whole + "tls: {cert: a}\n",
		"a public scope":         strings.Replace(whole, "public: true", "public: true, scope: read", 1),
		"half a proxy":           strings.Replace(whole, "proxy: {listen: 127.0.0.1:0, ", "proxy: {", 1),
		"an upstream":            strings.Replace(whole, "http://127.0.0.1:1\"}", "api.example\"}", 1),
		"an upstream to be read": strings.Replace(whole, "http://127.0.0.1:1\"}", "http://api.example\"}", 1),
		"a body limit":           strings.Replace(whole, "1000\n", "100000000\n", 1),
		"two documents":          whole + "---\nlisten: x\n",
		"nothing":                "",
		"a tag":                  strings.Replace(whole, "client_id: gate", "client_id: !!str gate", 1),
	} {
		if _, err := load(t, text); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("routes: [{path: /}]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if file, err := parse(b); err == nil {
			_, _ = file.settings(t.TempDir(), func(string) (string, bool) { return "x", true })
		}
	})
}

// A gate that has never heard of its journal lets nothing pass, whatever is
// asked of it and however; on_lag: open doesn't change that.
func TestGateThatKnowsNothing(t *testing.T) {
	s, err := load(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Open(t.Context(), s, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, started := make(chan error, 1), make(chan struct{})
	go func() { ended <- g.Run(ctx, func() { close(started) }) }()
	<-started
	ask := func(path string, headers ...string) (int, string) {
		r, _ := http.NewRequest("GET", g.URL()+path, nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	const bearer = "Bearer a.b.c"
	for what, c := range map[string]struct {
		path    string
		headers []string
		status  int
	}{
		"forward-auth":         {"/gate/verify", []string{"Authorization", bearer, "X-Forwarded-Uri", "/orders/1", "X-Forwarded-Method", "GET"}, 503},
		"Envoy over HTTP":      {"/gate/ext_authz/orders/1?x=y", []string{"Authorization", bearer}, 503},
		"without a token":      {"/gate/ext_authz/orders/1", nil, 401},
		"public":               {"/gate/ext_authz/health", nil, 200},
		"another path":         {"/gate/ext_authz/other", []string{"Authorization", bearer}, 403},
		"a path of two minds":  {"/gate/ext_authz/health/..%2forders/1", nil, 403},
		"a path to be cleaned": {"/gate/ext_authz//health", nil, 403},
		"dots":                 {"/gate/ext_authz/x/../health", nil, 403},
		"no path after it":     {"/gate/ext_authz", nil, 404},
		"ready":                {"/-/readyz", nil, 503},
		"health":               {"/-/healthz", nil, 200},
		"metrics":              {"/-/metrics", nil, 200},
		"nothing":              {"/", nil, 404},
	} {
		if status, body := ask(c.path, c.headers...); status != c.status {
			t.Errorf("%s: %d %s, want %d", what, status, body, c.status)
		}
	}

	res, err := http.Get(g.ProxyURL() + "/orders/1")
	if err != nil || res.StatusCode != 401 {
		t.Errorf("the proxy: %v %v", res, err)
	}
	res.Body.Close()
	// What asks for no token goes on, and there is no API there.
	if res, err = http.Get(g.ProxyURL() + "/health"); err != nil || res.StatusCode != 502 {
		t.Errorf("the proxy: %v %v", res, err)
	}
	res.Body.Close()

	conn, err := grpc.NewClient(g.EnvoyAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := authv3.NewAuthorizationClient(conn).Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/orders/1", Headers: map[string]string{"authorization": bearer}}},
	}})
	if err != nil || codes.Code(answer.GetStatus().GetCode()) != codes.Unavailable {
		t.Errorf("Envoy over gRPC: %v %v", answer, err)
	}
	conn.Close()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the gate does not end")
	}
}
