package httpd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func TestToken(t *testing.T) {
	h := newHouse(t)
	for env, c := range h.client(gatehouse.OAuth2) {
		ways := map[string]*http.Request{
			"basic":                         c.as(post("/oauth2/token", form("grant_type", "client_credentials"))),
			"body":                          post("/oauth2/token", form("grant_type", "client_credentials", "client_id", c.id, "client_secret", c.secret)),
			"basic with its id in the body": c.as(post("/oauth2/token", form("grant_type", "client_credentials", "client_id", c.id))),
			"empty secret beside basic":     c.as(post("/oauth2/token", form("grant_type", "client_credentials", "client_secret", ""))),
			"unknown parameters":            c.as(post("/oauth2/token", form("grant_type", "client_credentials", "scope", "", "x", "1", "assertion", "y"))),
		}
		for way, r := range ways {
			a := h.do(r)
			if a.status != 200 {
				t.Fatalf("%s %s: %d %s", env, way, a.status, a.body)
			}
			if a.member("token_type") != "Bearer" || a.value("expires_in") != 3600.0 || a.member("scope") != "read write" || a.member("refresh_token") == "" {
				t.Errorf("%s %s: %s", env, way, a.body)
			}
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": "application/json", "X-Content-Type-Options": "nosniff",
			} {
				if got := a.header.Get(name); got != want {
					t.Errorf("%s %s: %s is %q", env, way, name, got)
				}
			}
			if g := h.verify(a.member("access_token"), "environment="+string(env)); g.status != 200 || g.header.Get("Gatehouse-Client-Id") != c.id {
				t.Errorf("%s %s: the gate says %d %s", env, way, g.status, g.body)
			}
		}
	}
}

// The real client of the Go world, in all its ways of authenticating.
func TestGoClient(t *testing.T) {
	h := newHouse(t)
	server := httptest.NewServer(h)
	defer server.Close()
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleAutoDetect, oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		config := clientcredentials.Config{
			ClientID: c.id, ClientSecret: c.secret, TokenURL: server.URL + "/oauth2/token", Scopes: []string{"read"}, AuthStyle: style,
			EndpointParams: url.Values{"resource": {"https://api.example/v1"}},
		}
		tok, err := config.Token(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if tok.Type() != "Bearer" || tok.Extra("scope") != "read" || time.Until(tok.Expiry) < 50*time.Minute {
			t.Errorf("%+v", tok)
		}
		if g := h.verify(tok.AccessToken, "environment=live&audience=https://api.example/v1"); g.status != 200 {
			t.Errorf("%d %s", g.status, g.body)
		}
		config.ClientSecret += "x"
		var refused *oauth2.RetrieveError
		if _, err := config.Token(context.Background()); !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" {
			t.Errorf("a wrong secret gave %v", err)
		}
	}
}

func TestTokenRefuses(t *testing.T) {
	h := newHouse(t)
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	noRefresh := h.client(gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Refresh = false })[gatehouse.Live]
	raw := func(body string) *http.Request {
		r := httptest.NewRequest("POST", "/oauth2/token", strings.NewReader(body))
		r.Header.Set("Content-Type", formType)
		return c.as(r)
	}
	with := func(name, value string, r *http.Request) *http.Request {
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
		return r
	}
	good := func(pairs ...string) *http.Request {
		return c.as(post("/oauth2/token", form(append([]string{"grant_type", "client_credentials"}, pairs...)...)))
	}
	bare := func(pairs ...string) *http.Request {
		return post("/oauth2/token", form(append([]string{"grant_type", "client_credentials"}, pairs...)...))
	}
	for _, x := range []struct {
		name   string
		r      *http.Request
		status int
		word   string
	}{
		{"no grant type", c.as(post("/oauth2/token", form("scope", "read"))), 400, "invalid_request"},
		{"unknown grant type", c.as(post("/oauth2/token", form("grant_type", "password"))), 400, "unsupported_grant_type"},
		{"singular grant type", c.as(post("/oauth2/token", form("grant_type", "client_credential"))), 400, "unsupported_grant_type"},
		{"grant type in upper case", c.as(post("/oauth2/token", form("grant_type", "CLIENT_CREDENTIALS"))), 400, "unsupported_grant_type"},
		{"parameter in other case", c.as(post("/oauth2/token", form("Grant_Type", "client_credentials"))), 400, "invalid_request"},
		{"BOM", raw("\xef\xbb\xbfgrant_type=client_credentials"), 400, "invalid_request"},

		{"no credentials", bare(), 401, "invalid_client"},
		{"id alone", bare("client_id", c.id), 401, "invalid_client"},
		{"secret alone", bare("client_secret", c.secret), 401, "invalid_client"},
		{"basic and body", good("client_id", c.id, "client_secret", c.secret), 400, "invalid_request"},
		{"basic and another id", good("client_id", "other"), 400, "invalid_request"},
		{"two headers", with("Authorization", "Basic eDp5", good()), 400, "invalid_request"},
		{"two equal headers", with("Authorization", good().Header.Get("Authorization"), good()), 400, "invalid_request"},
		{"another scheme", with("Authorization", "Bearer abc", bare()), 401, "invalid_client"},
		{"Basic alone", with("Authorization", "Basic", bare()), 401, "invalid_client"},
		{"secret with NUL", bare("client_id", c.id, "client_secret", c.secret+"\x00"), 400, "invalid_request"},
		{"secret in upper case", bare("client_id", c.id, "client_secret", strings.ToUpper(c.secret)), 401, "invalid_client"},
		{"secret with a space", bare("client_id", c.id, "client_secret", c.secret+" "), 401, "invalid_client"},

		{"parameter twice", raw("grant_type=client_credentials&grant_type=client_credentials"), 400, "invalid_request"},
		{"scope twice", raw("grant_type=client_credentials&scope=read&scope=write"), 400, "invalid_request"},
		{"broken escape", raw("grant_type=client_credentials&scope=%zz"), 400, "invalid_request"},
		{"invalid UTF-8", raw("grant_type=client_credentials&scope=%ff"), 400, "invalid_request"},
		{"empty body", raw(""), 400, "invalid_request"},

		{"scope unknown", good("scope", "admin"), 400, "invalid_scope"},
		{"superset of scopes", good("scope", "read write admin"), 400, "invalid_scope"},
		{"scope with two spaces", good("scope", "read  write"), 400, "invalid_scope"},
		{"scope with a space before", good("scope", " read"), 400, "invalid_scope"},
		{"scope with a tab", good("scope", "read\twrite"), 400, "invalid_scope"},
		{"scope with a quote", good("scope", `read"`), 400, "invalid_scope"},
		{"scope beyond ASCII", good("scope", "léser"), 400, "invalid_scope"},
		{"scope in other case", good("scope", "READ"), 400, "invalid_scope"},

		{"resource relative", good("resource", "/api"), 400, "invalid_target"},
		{"resource with fragment", good("resource", "https://api.example/#x"), 400, "invalid_target"},
		{"resource with empty fragment", good("resource", "https://api.example/#"), 400, "invalid_target"},
		{"resource is no URI", good("resource", "https://api example"), 400, "invalid_target"},
		{"second resource relative", good("resource", "https://api.example", "resource", "x"), 400, "invalid_target"},

		{"JSON body", func() *http.Request {
			r := good()
			r.Header.Set("Content-Type", "application/json")
			return r
		}(), 400, "invalid_request"},
		{"no type", func() *http.Request { r := good(); r.Header.Del("Content-Type"); return r }(), 400, "invalid_request"},
		{"other charset", func() *http.Request {
			r := good()
			r.Header.Set("Content-Type", formType+"; charset=iso-8859-1")
			return r
		}(), 400, "invalid_request"},
		{"gzip", with("Content-Encoding", "gzip", good()), 400, "invalid_request"},
		{"too large", raw("grant_type=client_credentials&x=" + strings.Repeat("a", 64<<10)), 413, "invalid_request"},
		{"too large, length not told", func() *http.Request {
			r := raw("grant_type=client_credentials&x=" + strings.Repeat("a", 64<<10))
			r.ContentLength = -1
			return r
		}(), 413, "invalid_request"},

		{"claims to be huge", func() *http.Request {
			r := raw("grant_type=client_credentials")
			r.ContentLength = 1 << 50
			return r
		}(), 413, "invalid_request"},

		{"secret in the query", func() *http.Request {
			r := good()
			r.URL.RawQuery = "client_secret=" + c.secret
			return r
		}(), 400, "invalid_request"},
		{"everything in the query", httptest.NewRequest("POST", "/oauth2/token?"+form("grant_type", "client_credentials", "client_id", c.id, "client_secret", c.secret).Encode(), nil), 400, "invalid_request"},

		{"no refresh token", c.as(post("/oauth2/token", form("grant_type", "refresh_token"))), 400, "invalid_request"},
		{"unknown refresh token", c.as(post("/oauth2/token", form("grant_type", "refresh_token", "refresh_token", "nothing"))), 400, "invalid_grant"},
	} {
		a := h.do(x.r)
		a.is(x.name, x.status, x.word)
		if (a.status == 401) != (a.header.Get("WWW-Authenticate") != "") || a.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic realm=") {
			t.Errorf("%s: WWW-Authenticate %q", x.name, a.header.Get("WWW-Authenticate"))
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Gatehouse-Request-Id") == "" {
			t.Errorf("%s: headers %v", x.name, a.header)
		}
		if strings.Contains(a.body, c.secret) {
			t.Errorf("%s: the answer holds the secret: %s", x.name, a.body)
		}
		for _, r := range a.member("error_description") {
			if r < ' ' || r > '~' || r == '"' || r == '\\' {
				t.Errorf("%s: error_description holds %q", x.name, r)
			}
		}
	}

	// None of it issued anything.
	if rows, err := h.engine.Tokens(context.Background(), gatehouse.TokenQuery{Limit: 10}); err != nil || len(rows) != 0 {
		t.Errorf("%d tokens were issued: %v", len(rows), err)
	}

	// A client without the right gets no refresh token, and can't use another's.
	if _, refresh := h.standardToken(noRefresh); refresh != "" {
		t.Error("a client that may not refresh got a refresh token")
	}
	_, others := h.standardToken(c)
	h.do(noRefresh.as(post("/oauth2/token", form("grant_type", "refresh_token", "refresh_token", others)))).is("another client's refresh token", 400, "invalid_grant")
}

func TestMethods(t *testing.T) {
	h := newHouse(t)
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post"} {
			r := c.as(post(path, form("grant_type", "client_credentials")))
			r.Method = method
			r.Header.Set("X-HTTP-Method-Override", "POST")
			r.Header.Set("X-Method-Override", "POST")
			a := h.do(r)
			if a.status != 405 || a.header.Get("Allow") != "POST" {
				t.Errorf("%s %s: %d, Allow %q", method, path, a.status, a.header.Get("Allow"))
			}
		}
	}
	if rows, err := h.engine.Tokens(context.Background(), gatehouse.TokenQuery{Limit: 10}); err != nil || len(rows) != 0 {
		t.Errorf("%d tokens were issued: %v", len(rows), err)
	}
}

// What is wrong with a client's credentials must not show: not in the status,
// not in a header, not in the body.
func TestSameAnswer(t *testing.T) {
	h := newHouse(t)
	enabled := h.client(gatehouse.OAuth2)[gatehouse.Live]
	disabled := h.client(gatehouse.OAuth2)[gatehouse.Live]
	if _, err := h.engine.SetClientState(context.Background(), operator, disabled.client, gatehouse.Disabled); err != nil {
		t.Fatal(err)
	}
	deleted := h.client(gatehouse.OAuth2)[gatehouse.Live]
	if _, err := h.engine.SetClientState(context.Background(), operator, deleted.client, gatehouse.Deleted); err != nil {
		t.Fatal(err)
	}
	foreign := h.client("quidkey")[gatehouse.Live]
	all := map[string]credentials{
		"unknown":           {id: "0192d8f3-5f1c-4b2e-8000-3f3a6c1d2e4f", secret: enabled.secret},
		"unknown, odd":      {id: "' OR 1=1 --", secret: "x"},
		"wrong secret":      {id: enabled.id, secret: disabled.secret},
		"cut secret":        {id: enabled.id, secret: enabled.secret[:len(enabled.secret)-1]},
		"disabled, right":   disabled,
		"disabled, wrong":   {id: disabled.id, secret: enabled.secret},
		"deleted":           deleted,
		"another dialect's": foreign,
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		var first *answer
		for name, c := range all {
			for _, r := range []*http.Request{
				c.as(post(path, form("grant_type", "client_credentials", "token", "x"))),
				post(path, form("grant_type", "client_credentials", "token", "x", "client_id", c.id, "client_secret", c.secret)),
			} {
				a := h.do(r)
				a.is(path+" "+name, 401, "invalid_client")
				a.header.Del("Gatehouse-Request-Id")
				if first == nil {
					first = a
					continue
				}
				if a.body != first.body || !cmp.Equal(a.header, first.header) {
					t.Errorf("%s %s: %v %s\nothers get %v %s", path, name, a.header, a.body, first.header, first.body)
				}
			}
		}
	}
	// The owner reads the difference in the log.
	for _, reason := range []string{"wrong_secret", "client_disabled", "client_deleted", "client_of_another_dialect"} {
		if !strings.Contains(h.log.String(), `"reason":"`+reason+`"`) {
			t.Errorf("the log doesn't say %s", reason)
		}
	}
}

func TestRefresh(t *testing.T) {
	h := newHouse(t)
	both := h.client(gatehouse.OAuth2)
	c := both[gatehouse.Live]
	refresh := func(c credentials, tok string, pairs ...string) *answer {
		return h.do(c.as(post("/oauth2/token", form(append([]string{"grant_type", "refresh_token", "refresh_token", tok}, pairs...)...))))
	}
	access, first := h.standardToken(c, "scope", "read")

	refresh(both[gatehouse.Sandbox], first).is("the same client in the other environment", 400, "invalid_grant")
	refresh(c, access).is("an access token", 400, "invalid_grant")
	refresh(c, first, "scope", "read write").is("more scope than before", 400, "invalid_scope")
	refresh(c, first[:len(first)-1]).is("a cut token", 400, "invalid_grant")
	h.do(post("/oauth2/token", form("grant_type", "refresh_token", "refresh_token", first))).is("no client", 401, "invalid_client")

	a := refresh(c, first)
	if a.status != 200 || a.member("scope") != "read" || a.member("refresh_token") == first || a.member("refresh_token") == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	second := a.member("refresh_token")
	refresh(c, first).is("used again at once", 400, "invalid_grant")
	if a = refresh(c, second); a.status != 200 {
		t.Fatalf("a lost race ended the family: %d %s", a.status, a.body)
	}
	third := a.member("refresh_token")
	h.clock.advance(11 * time.Second)
	refresh(c, second).is("replayed later", 400, "invalid_grant")
	refresh(c, third).is("the family after a replay", 400, "invalid_grant")
	if g := h.verify(access, "environment=live"); g.status != 401 {
		t.Errorf("an access token survived the replay of its family: %d", g.status)
	}
}

func TestIntrospection(t *testing.T) {
	h := newHouse(t)
	mine, other := h.client(gatehouse.OAuth2), h.client(gatehouse.OAuth2)
	seer := h.client(gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Scopes = []string{"gatehouse:introspect"} })
	foreign := h.client("papaya")[gatehouse.Live]
	c := mine[gatehouse.Live]
	access, refresh := h.standardToken(c, "resource", "https://a.example", "resource", "https://b.example")
	ask := func(c credentials, tok string, pairs ...string) *answer {
		return h.do(c.as(post("/oauth2/introspect", form(append([]string{"token", tok}, pairs...)...))))
	}

	for name, r := range map[string]*answer{
		"own": ask(c, access), "own, wrong hint": ask(c, access, "token_type_hint", "refresh_token"), "own, odd hint": ask(c, access, "token_type_hint", "x"),
		"by the right": ask(seer[gatehouse.Live], access),
	} {
		if r.status != 200 || r.value("active") != true {
			t.Fatalf("%s: %d %s", name, r.status, r.body)
		}
		if r.member("client_id") != c.id || r.member("sub") != c.id || r.member("scope") != "read write" || r.member("token_type") != "Bearer" ||
			r.member("iss") != issuer || r.member("jti") == "" {
			t.Errorf("%s: %s", name, r.body)
		}
		if aud, _ := r.value("aud").([]any); !slices.Equal(aud, []any{"https://a.example", "https://b.example"}) {
			t.Errorf("%s: aud %v", name, r.value("aud"))
		}
		if r.value("exp").(float64)-r.value("iat").(float64) != 3600 {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	if r := ask(c, refresh); r.value("active") != true || r.value("token_type") != nil {
		t.Errorf("own refresh token: %s", r.body)
	}

	const inactive = "{\"active\":false}\n"
	foreignToken, _ := h.dialectToken(foreign)
	for name, r := range map[string]*answer{
		"another client":               ask(other[gatehouse.Live], access),
		"own, other environment":       ask(mine[gatehouse.Sandbox], access),
		"the right, other environment": ask(seer[gatehouse.Sandbox], access),
		"another client's refresh":     ask(other[gatehouse.Live], refresh),
		"nothing of ours":              ask(c, "abc"),
		"a dialect's token":            ask(c, foreignToken),
		"long":                         ask(c, strings.Repeat("a.", 30000)),
		"cut":                          ask(c, access[:len(access)-2]),
	} {
		if r.status != 200 || r.body != inactive {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	h.do(post("/oauth2/introspect", form("token", access))).is("no credentials", 401, "invalid_client")
	bearerAuth := post("/oauth2/introspect", form("token", access))
	bearerAuth.Header.Set("Authorization", "Bearer "+access)
	h.do(bearerAuth).is("a bearer token as credentials", 401, "invalid_client")
	h.do(foreign.as(post("/oauth2/introspect", form("token", access)))).is("a dialect's client", 401, "invalid_client")
	h.do(c.as(post("/oauth2/introspect", form()))).is("no token", 400, "invalid_request")
	h.do(c.as(post("/oauth2/introspect?token="+access, form()))).is("token in the query", 400, "invalid_request")

	h.clock.advance(2 * time.Hour)
	if r := ask(c, access); r.body != inactive {
		t.Errorf("expired: %s", r.body)
	}
}

func TestRevocation(t *testing.T) {
	h := newHouse(t)
	mine, other := h.client(gatehouse.OAuth2), h.client(gatehouse.OAuth2)
	c := mine[gatehouse.Live]
	access, refresh := h.standardToken(c)
	revoke := func(c credentials, tok string, pairs ...string) {
		t.Helper()
		a := h.do(c.as(post("/oauth2/revoke", form(append([]string{"token", tok}, pairs...)...))))
		if a.status != 200 || a.body != "" {
			t.Fatalf("%d %q", a.status, a.body)
		}
	}
	passes := func() bool { return h.verify(access, "environment=live").status == 200 }

	revoke(other[gatehouse.Live], access)
	revoke(mine[gatehouse.Sandbox], access)
	revoke(c, "unknown")
	revoke(c, access+"x")
	h.do(post("/oauth2/revoke", form("token", access))).is("no credentials", 401, "invalid_client")
	h.do(c.as(post("/oauth2/revoke", form("token_type_hint", "access_token")))).is("no token", 400, "invalid_request")
	if !passes() {
		t.Fatal("somebody else ended the token")
	}
	revoke(c, access, "token_type_hint", "refresh_token")
	if passes() {
		t.Error("a wrong hint kept the token alive")
	}
	revoke(c, access)

	access, refresh = h.standardToken(c)
	revoke(c, refresh)
	if passes() {
		t.Error("an access token outlived its refresh token (RFC 7009 section 2.1)")
	}
	h.do(c.as(post("/oauth2/token", form("grant_type", "refresh_token", "refresh_token", refresh)))).is("revoked refresh token", 400, "invalid_grant")
}

// brokenEngine answers with err only, or with a panic.
type brokenEngine struct {
	httpd.Engine
	err    error
	panics any
}

func (f *brokenEngine) fail() error {
	if f.panics != nil {
		panic(f.panics)
	}
	return f.err
}

func (f *brokenEngine) Issue(context.Context, gatehouse.Actor, gatehouse.IssueRequest) (*gatehouse.Issued, error) {
	return nil, f.fail()
}
func (f *brokenEngine) Refresh(context.Context, gatehouse.Actor, gatehouse.RefreshRequest) (*gatehouse.Issued, error) {
	return nil, f.fail()
}
func (f *brokenEngine) Exchange(context.Context, gatehouse.Actor, gatehouse.ExchangeRequest) (*gatehouse.Issued, error) {
	return nil, f.fail()
}
func (f *brokenEngine) ProveClient(context.Context, gatehouse.Actor, gatehouse.ClientProof) (*gatehouse.Principal, error) {
	return &gatehouse.Principal{Client: &gatehouse.Client{}}, nil
}
func (f *brokenEngine) Validate(context.Context, secret.Text, gatehouse.Requirement) (*gatehouse.Claims, error) {
	return nil, f.fail()
}
func (f *brokenEngine) Introspect(context.Context, *gatehouse.Principal, secret.Text) (*gatehouse.Introspection, error) {
	return nil, f.fail()
}
func (f *brokenEngine) RevokeByClient(context.Context, gatehouse.Actor, *gatehouse.Principal, secret.Text) error {
	return f.fail()
}
func (f *brokenEngine) DelinkByToken(context.Context, gatehouse.Actor, string, secret.Text, secret.Text, secret.Text) error {
	return f.fail()
}

// failing returns h with an engine that fails, and is real otherwise.
func (h *house) failing(err error, panics any, dialects ...*dialect.Dialect) *house {
	h.t.Helper()
	server, newErr := httpd.New(httpd.Config{
		Engine: &brokenEngine{Engine: h.engine, err: err, panics: panics}, Dialects: dialects,
		Logger: slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if newErr != nil {
		h.t.Fatal(newErr)
	}
	down := *h
	down.Server = server
	return &down
}

// What the engine says of a refused credential never reaches the caller: its
// code alone does.
func TestReasonsStayInside(t *testing.T) {
	h := newHouse(t)
	c := credentials{id: "x", secret: "y"}
	for code, status := range map[gatehouse.Code]int{
		gatehouse.InvalidClient: 401, gatehouse.InvalidGrant: 400, gatehouse.InvalidToken: 401, gatehouse.ServerError: 500,
	} {
		down := h.failing(&gatehouse.Error{Code: code, Reason: gatehouse.ReasonClientDisabled, Message: "canary: disabled", Err: errors.New("canary")}, nil)
		for _, r := range []*http.Request{
			c.as(post("/oauth2/token", form("grant_type", "client_credentials"))), c.as(post("/oauth2/introspect", form("token", "x"))),
		} {
			if a := down.do(r); a.status != status || strings.Contains(a.body, "canary") {
				t.Errorf("%s: %d %s", code, a.status, a.body)
			}
		}
	}
}

// A store that can't answer is 503 with Retry-After, never a success: a client
// that was told 200 would forget a token that still works (RFC 7009 §2.2.1,
// fosite CVE-2020-15223).
func TestStoreDown(t *testing.T) {
	h := newHouse(t)
	for _, err := range []error{fmt.Errorf("commit: %w", gatehouse.ErrStore), fmt.Errorf("commit: %w", gatehouse.ErrUnknownOutcome)} {
		down := h.failing(err, nil)
		c := credentials{id: "x", secret: "y"}
		for _, r := range []*http.Request{
			c.as(post("/oauth2/token", form("grant_type", "client_credentials"))),
			c.as(post("/oauth2/token", form("grant_type", "refresh_token", "refresh_token", "x"))),
			c.as(post("/oauth2/introspect", form("token", "x"))),
			c.as(post("/oauth2/revoke", form("token", "x"))),
		} {
			a := down.do(r)
			a.is(r.URL.Path, 503, "temporarily_unavailable")
			if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
				t.Errorf("%s: Retry-After %q", r.URL.Path, a.header.Get("Retry-After"))
			}
			if strings.Contains(a.body, "commit") {
				t.Errorf("%s tells about the store: %s", r.URL.Path, a.body)
			}
		}
	}
}

func TestLimit(t *testing.T) {
	h := newHouse(t, func(e *gatehouse.Config, _ *httpd.Config) { e.Limits = true })
	c := h.client(gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Limit = gatehouse.Rate{Count: 2, Per: time.Minute} })[gatehouse.Live]
	for want := range 2 {
		a := h.do(c.as(post("/oauth2/token", form("grant_type", "client_credentials"))))
		if a.status != 200 || a.header.Get("RateLimit-Policy") != `"issue";q=2;w=60` || !strings.HasPrefix(a.header.Get("RateLimit"), fmt.Sprintf(`"issue";r=%d;t=`, 1-want)) {
			t.Fatalf("%d %v %s", a.status, a.header, a.body)
		}
	}
	a := h.do(c.as(post("/oauth2/token", form("grant_type", "client_credentials"))))
	a.is("beyond the limit", 429, "temporarily_unavailable")
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 30 || !strings.HasPrefix(a.header.Get("RateLimit"), `"issue";r=0;t=`) {
		t.Errorf("%v", a.header)
	}
	h.clock.advance(31 * time.Second)
	if a := h.do(c.as(post("/oauth2/token", form("grant_type", "client_credentials")))); a.status != 200 {
		t.Errorf("after the wait: %d %s", a.status, a.body)
	}
}

func TestMetadata(t *testing.T) {
	h := newHouse(t)
	for path, want := range map[string]string{
		"/.well-known/oauth-authorization-server": issuer, "/.well-known/oauth-authorization-server/sandbox": issuer + "/sandbox",
	} {
		a := h.do(httptest.NewRequest("GET", path, nil))
		if a.status != 200 || a.member("issuer") != want || a.member("token_endpoint") != issuer+"/oauth2/token" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		env := "live"
		if strings.HasSuffix(want, "/sandbox") {
			env = "sandbox"
		}
		if a.member("jwks_uri") != issuer+"/.well-known/jwks.json?environment="+env {
			t.Errorf("%s: jwks_uri %s", path, a.member("jwks_uri"))
		}
		for _, name := range []string{"authorization_endpoint", "pushed_authorization_request_endpoint", "scopes_supported"} {
			if a.value(name) != nil {
				t.Errorf("%s advertises %s", path, name)
			}
		}
	}

	ids := map[string]string{}
	for _, env := range []string{"sandbox", "live"} {
		a := h.do(httptest.NewRequest("GET", "/.well-known/jwks.json?environment="+env, nil))
		etag := a.header.Get("ETag")
		if a.status != 200 || a.header.Get("Cache-Control") != "public, max-age=300" || etag == "" {
			t.Fatalf("%d %v", a.status, a.header)
		}
		if strings.Contains(a.body, `"d":`) {
			t.Fatal("a private key is in the key set")
		}
		for _, k := range a.value("keys").([]any) {
			kid := k.(map[string]any)["kid"].(string)
			if ids[kid] != "" {
				t.Errorf("key %s is in both environments", kid)
			}
			ids[kid] = env
		}
		r := httptest.NewRequest("GET", "/.well-known/jwks.json?environment="+env, nil)
		r.Header.Set("If-None-Match", `"other", `+etag)
		if a := h.do(r); a.status != 304 || a.body != "" || a.header.Get("ETag") != etag {
			t.Errorf("%d %v %q", a.status, a.header, a.body)
		}
	}
	all := h.do(httptest.NewRequest("GET", "/.well-known/jwks.json", nil))
	if n := len(all.value("keys").([]any)); n != len(ids) {
		t.Errorf("the whole set has %d keys, the two environments %d", n, len(ids))
	}
	for _, query := range []string{"environment=", "environment=LIVE", "environment=live&environment=sandbox", "environment=%zz"} {
		h.do(httptest.NewRequest("GET", "/.well-known/jwks.json?"+query, nil)).is(query, 400, "invalid_request")
	}
	if a := h.do(httptest.NewRequest("POST", "/.well-known/jwks.json", nil)); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

// An issuer with a path has its metadata where RFC 8414 §3.1 puts it.
func TestMetadataOfIssuerWithPath(t *testing.T) {
	h := newHouse(t, func(e *gatehouse.Config, _ *httpd.Config) { e.Issuer = "https://example.com/auth" })
	for path, want := range map[string]string{"/auth": "https://example.com/auth", "/auth/sandbox": "https://example.com/auth/sandbox"} {
		a := h.do(httptest.NewRequest("GET", "/.well-known/oauth-authorization-server"+path, nil))
		if a.status != 200 || a.member("issuer") != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// Over a real connection: a HEAD has no body, and a body that never ends is
// not read to its end.
func TestOverTheWire(t *testing.T) {
	h := newHouse(t)
	server := httptest.NewServer(h)
	defer server.Close()
	res, err := http.Head(server.URL + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || len(b) != 0 || res.ContentLength <= 0 {
		t.Errorf("%d, %d bytes, Content-Length %d", res.StatusCode, len(b), res.ContentLength)
	}
	r, err := http.NewRequest("POST", server.URL+"/oauth2/token", io.LimitReader(endless{}, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	if res, err := http.DefaultClient.Do(r); err == nil { // the connection may also be closed first
		if res.StatusCode != 413 {
			t.Errorf("64 MiB: %d", res.StatusCode)
		}
		_ = res.Body.Close()
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}
