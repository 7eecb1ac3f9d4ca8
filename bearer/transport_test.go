package bearer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// client speaks to a fake through a Transport.
func client(t testing.TB, s *bearer.Source) *http.Client {
	t.Helper()
	base := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: &bearer.Transport{Source: s, Base: base}}
}

// A 401 costs one renewal and one more try, with the body whole.
func TestRetryOnce(t *testing.T) {
	for name := range contracts {
		if name == "dapi" {
			continue // its tokens can't be replaced: TestSpentCode
		}
		t.Run(name, func(t *testing.T) {
			f := newFake(name)
			url := serve(t, f)
			s := newSource(t, configFor(t, name, url))
			if _, err := s.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.revokeAll()
			big := strings.Repeat("body ", 100_000)
			resp, err := client(t, s).Post(url+"/data/x", "text/plain", strings.NewReader(big))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(got) != big {
				t.Errorf("%s with %d bytes", resp.Status, len(got))
			}
			if f.calls != 2 || f.count("") != 2 {
				t.Errorf("%d calls and %d visits, want 2 and 2", f.calls, f.count(""))
			}
		})
	}
}

// The second 401 is the answer, and an API that answers nothing else doesn't
// make the token endpoint pay for it.
func TestSecond401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("dogpay")
		f.always401 = true
		c, transport := inBubble(t, "dogpay", f)
		s := newSource(t, c)
		defer s.Close()
		transport.Source = s
		call := func() {
			r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://vendor.example/data/x", nil)
			resp, err := transport.RoundTrip(r)
			if err != nil || resp.StatusCode != 401 {
				t.Fatalf("%v %v", resp, err)
			}
		}
		call()
		if f.calls != 2 || f.count("") != 2 {
			t.Fatalf("%d calls and %d visits, want 2 and 2", f.calls, f.count(""))
		}
		for range 300 {
			call()
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.count(""); n > 6 {
			t.Errorf("%d visits for 300 answers of 401", n)
		}
		time.Sleep(2 * time.Minute)
		f.set(func(f *fake) { f.always401 = false; clear(f.tokens) })
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://vendor.example/data/x", nil)
		if resp, err := transport.RoundTrip(r); err != nil || resp.StatusCode != 200 {
			t.Errorf("a revoked token later: %v %v", resp, err)
		}
	})
}

// Many goroutines whose token was revoked make one renewal between them.
func TestRenewedBySomeoneElse(t *testing.T) {
	f := newFake("dogpay")
	url := serve(t, f)
	s := newSource(t, configFor(t, "dogpay", url))
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.revokeAll()
	c := client(t, s)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			resp, err := c.Get(url + "/data/x")
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Error(resp.Status)
			}
		})
	}
	wg.Wait()
	if n := f.count(""); n != 2 {
		t.Errorf("%d visits, want 2: the first token and one renewal", n)
	}
}

// A body that can't be had again isn't: the first answer is the caller's, and
// the next call has a new token.
func TestUnrepeatableBody(t *testing.T) {
	f := newFake("dogpay")
	url := serve(t, f)
	s := newSource(t, configFor(t, "dogpay", url))
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.revokeAll()
	post := func() int {
		resp, err := client(t, s).Post(url+"/data/x", "text/plain", io.MultiReader(strings.NewReader("once")))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := post(); status != 401 || f.calls != 1 {
		t.Errorf("%d after %d calls, want the first call's 401", status, f.calls)
	}
	if status := post(); status != 200 || f.count("") != 2 {
		t.Errorf("%d after %d visits, want 200 and 2", status, f.count(""))
	}
}

// Calls whose contract wants credentials in their body get them there.
func TestMembersOfUse(t *testing.T) {
	f := newFake("dapi")
	url := serve(t, f)
	s := newSource(t, configFor(t, "dapi", url))
	r, _ := http.NewRequestWithContext(t.Context(), "POST", url+"/data/x", strings.NewReader(`{"operationID":"7","amount":1.50,"appSecret":"mine"}`))
	r.Header.Set("Content-Type", "application/json")
	resp, err := client(t, s).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"operationID": "7", "amount": 1.5, "appSecret": fakeSecret, "userSecret": "user-secret"}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %v, want %v", k, got[k], v)
		}
	}
	for _, bad := range []string{`[]`, `null`, `{"a":1,"a":2}`, `{`} {
		if resp, err := client(t, s).Post(url+"/data/x", "application/json", strings.NewReader(bad)); err == nil {
			resp.Body.Close()
			t.Errorf("%s was sent", bad)
		}
	}
	if resp, err := client(t, s).Post(url+"/data/x", "text/csv", strings.NewReader("a,b")); err == nil {
		resp.Body.Close()
		t.Error("a body that isn't JSON was sent")
	}
}

// The token goes to the base URL's origin, at or below its path, and nowhere
// else: no redirect carries it on.
func TestWhereTokensGo(t *testing.T) {
	f := newFake("dogpay")
	tokenURL := serve(t, f)
	var seen atomic.Pointer[http.Header]
	record := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h := r.Header.Clone(); seen.Store(&h) })
	elsewhere := serve(t, record)
	mux := http.NewServeMux()
	mux.Handle("/", record)
	mux.Handle("/api/leave", http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect))
	mux.Handle("/api/up", http.RedirectHandler("/other", http.StatusFound))
	mux.Handle("/api/stay", http.RedirectHandler("/api/there", http.StatusFound))
	api := serve(t, mux)
	config := configFor(t, "dogpay", api+"/api")
	config.TokenURL = tokenURL
	c := client(t, newSource(t, config))
	for target, want := range map[string]bool{
		api + "/api": true, api + "/api/x": true, api + "/api/a%2Fb?c=d": true, api + "/api/stay": true,
		api + "/": false, api + "/apix": false, api + "/API/x": false, elsewhere: false, elsewhere + "/api/x": false,
		api + "/api/leave": false, api + "/api/up": false,
		api + "/api/%2e%2e/x": false, api + "/api/..%2fx": false, api + "/api/%252e%252e/x": false, api + "/api/..;a=b/x": false, api + "/api/..%5cx": false,
		strings.Replace(api, "127.0.0.1", "localhost", 1) + "/api/x": false,
	} {
		seen.Store(nil)
		resp, err := c.Get(target)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		resp.Body.Close()
		if h := seen.Load(); h == nil && resp.StatusCode == 200 {
			t.Errorf("%s did not arrive", target)
		} else if h != nil && (h.Get("Authorization") != "") != want {
			t.Errorf("%s: Authorization %q, want one: %v", target, h.Get("Authorization"), want)
		}
	}
}

// The caller's request is not written to.
func TestRequestIsLeftAlone(t *testing.T) {
	f := newFake("dogpay")
	url := serve(t, f)
	s := newSource(t, configFor(t, "dogpay", url))
	r, _ := http.NewRequestWithContext(t.Context(), "GET", url+"/data/x", nil)
	resp, err := client(t, s).Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(r.Header) != 0 {
		t.Errorf("it has %v now", r.Header)
	}
}

// A base URL may depend on what came with the token.
func TestBaseURLFromToken(t *testing.T) {
	d, err := dialect.Load("tenant.yaml", []byte(`
dialect: tenant
wire:
  issue:
    request: {POST: /t, body: {id: "{client_id}", key: "{client_secret}"}}
    response: {body: {token: "{access_token}", seconds: "{life|seconds}", url: "{extra.url}"}}
  errors:
    body: {error: "{error}"}
    default: {status: 400, error: no}
token: {opaque: {}, life: 1h, refresh: none}
`))
	if err != nil {
		t.Fatal(err)
	}
	var authorization atomic.Value
	api := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { authorization.Store(r.Header.Get("Authorization")) }))
	answer := api
	tokens := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"token": "tok", "seconds": 3600, "url": answer})
	}))
	config := bearer.Config{Dialect: d, BaseURL: "{extra.url}", TokenURL: tokens, ClientID: "i", ClientSecret: secret.New("s")}
	s := newSource(t, config)
	if base, err := s.BaseURL(t.Context()); err != nil || base != api {
		t.Fatalf("%q %v", base, err)
	}
	resp, err := client(t, s).Get(api + "/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if authorization.Load() != "Bearer tok" {
		t.Errorf("Authorization %q", authorization.Load())
	}
	answer = "http://attacker.example"
	if base, err := newSource(t, config).BaseURL(t.Context()); err == nil {
		t.Errorf("plain HTTP to %s was taken", base)
	}
	config.BaseURL = "https://{extra.url}.api.example"
	answer = "attacker.example/"
	if base, err := newSource(t, config).BaseURL(t.Context()); err == nil {
		t.Errorf("%s was taken for a part of a host", base)
	}
}

// The token endpoint's redirects are not followed: they would carry the secret.
func TestTokenEndpointRedirects(t *testing.T) {
	var reached atomic.Bool
	elsewhere := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached.Store(true) }))
	url := serve(t, http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect))
	s := newSource(t, configFor(t, "dogpay", url))
	if _, err := s.Token(t.Context()); err == nil || reached.Load() {
		t.Errorf("%v, reached: %v", err, reached.Load())
	}
}

// Nothing that an error, a log or a dump shows holds a secret.
func TestNothingLeaks(t *testing.T) {
	var out bytes.Buffer
	hang := httptest.NewServer(nil)
	hang.Close()
	c := configFor(t, "su", hang.URL)
	s := newSource(t, c)
	_, err := s.Token(t.Context())
	tok := &bearer.Token{AccessToken: secret.New("canary-token")}
	for _, v := range []any{err, c, tok} {
		_, _ = out.WriteString(strings.Join([]string{fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v)}, "\n"))
	}
	for _, canary := range []string{fakeSecret, "canary-token"} {
		if strings.Contains(out.String(), canary) {
			t.Errorf("%s shows in:\n%s", canary, out.String())
		}
	}
}

func TestConfigErrors(t *testing.T) {
	ok := func() bearer.Config { return configFor(t, "quidkey", "https://api.example") }
	for name, tc := range map[string]struct {
		change func(*bearer.Config)
		want   string
	}{
		"plain HTTP":       {func(c *bearer.Config) { c.BaseURL = "http://api.example" }, "use https"},
		"token plain HTTP": {func(c *bearer.Config) { c.TokenURL = "http://auth.example" }, "use https"},
		"no URL":           {func(c *bearer.Config) { c.BaseURL = "" }, "no base URL"},
		"half a URL":       {func(c *bearer.Config) { c.BaseURL = "api.example" }, "whole URL"},
		"a user":           {func(c *bearer.Config) { c.BaseURL = "https://u:p@api.example" }, "no user"},
		"dots":             {func(c *bearer.Config) { c.BaseURL = "https://api.example/a/../b" }, "dot segments"},
		"no secret":        {func(c *bearer.Config) { c.ClientSecret = secret.Text{} }, "{client_secret}"},
		"no id":            {func(c *bearer.Config) { c.ClientID = "" }, "{client_id}"},
		"scopes":           {func(c *bearer.Config) { c.Scopes = []string{"read"} }, "no request of dialect quidkey"},
		"life":             {func(c *bearer.Config) { c.Life = time.Minute }, "no request of dialect quidkey"},
		"environment":      {func(c *bearer.Config) { c.Environment = "test" }, "sandbox or live"},
	} {
		c := ok()
		tc.change(&c)
		if _, err := bearer.New(c); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
