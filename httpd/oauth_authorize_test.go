package httpd_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
	"github.com/gatehouse-auth/gatehouse/connect/directory"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/secret"
)

const (
	liveBack    = "https://app.example/back?from=gatehouse"
	sandboxBack = "http://127.0.0.1:3000/back"
	appOrigin   = "https://app.example"
	verifier    = "a-verifier-of-at-least-43-characters-0123456789"
	password    = "correct horse battery staple"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// newConnectHouse is a house with the Connect pages and, in each environment, the
// user anna.
func newConnectHouse(t testing.TB, change ...func(*gatehouse.Config, *httpd.Config)) *house {
	t.Helper()
	var store gatehouse.Store
	var sealer *credential.Sealer
	var serving httpd.Config
	h := newHouse(t, append(change, func(e *gatehouse.Config, s *httpd.Config) {
		store, sealer, serving = e.Store, e.Sealer, *s
	})...)
	var err error
	h.users, err = directory.New(directory.Config{Store: store, Sealer: sealer, Now: h.clock.now, URL: issuer, Cost: credential.Argon2{Passes: 1, MemoryKiB: 64, Lanes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range gatehouse.Environments {
		if _, err := h.users.Create(t.Context(), operator, directory.NewUser{Environment: env, Name: "anna", Display: "Anna", Password: secret.New(password)}); err != nil {
			t.Fatal(err)
		}
	}
	serving.Engine = h.engine
	if serving.Connect, err = connect.New(connect.Config{
		Engine: h.engine, Documents: store, Identity: connect.Identity{Passwords: h.users, Standing: h.users.Standing},
		Dialects: func() []*dialect.Dialect { return serving.Dialects },
	}); err != nil {
		t.Fatal(err)
	}
	if h.Server, err = httpd.New(serving); err != nil {
		t.Fatal(err)
	}
	return h
}

// app makes a client that end users may be sent back to.
func (h *house) app(dialectName string, change ...func(*gatehouse.NewClient)) map[gatehouse.Environment]credentials {
	h.t.Helper()
	return h.client(dialectName, append([]func(*gatehouse.NewClient){func(n *gatehouse.NewClient) {
		n.Name = "Budget <b>App</b>"
		n.RedirectURIs = map[gatehouse.Environment][]string{gatehouse.Live: {liveBack}, gatehouse.Sandbox: {sandboxBack}}
		n.Origins = map[gatehouse.Environment][]string{gatehouse.Live: {appOrigin}}
	}}, change...)...)
}

// A browser keeps cookies, and follows redirects within the server.
type browser struct {
	*house
	mu      sync.Mutex
	cookies map[string]string
}

func (h *house) browser() *browser { return &browser{house: h, cookies: map[string]string{}} }

func (b *browser) do(r *http.Request) *answer {
	b.t.Helper()
	for {
		b.mu.Lock()
		for name, value := range b.cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		b.mu.Unlock()
		a := b.house.do(r)
		b.mu.Lock()
		for _, c := range (&http.Response{Header: a.header}).Cookies() {
			b.cookies[c.Name] = c.Value
			if c.MaxAge < 0 {
				delete(b.cookies, c.Name)
			}
		}
		b.mu.Unlock()
		to := a.header.Get("Location")
		if a.status != http.StatusSeeOther || !strings.HasPrefix(to, "/") {
			return a
		}
		r = httptest.NewRequest(http.MethodGet, to, nil)
	}
}

func (b *browser) get(path string, pairs ...string) *answer {
	b.t.Helper()
	if len(pairs) > 0 {
		path += "?" + form(pairs...).Encode()
	}
	return b.do(httptest.NewRequest(http.MethodGet, path, nil))
}

var (
	formTag  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)".*?</form>`)
	inputTag = regexp.MustCompile(`<input[^>]* name="([^"]*)"(?: value="([^"]*)")?`)
)

// fields are the fields of the form on a page whose action ends so.
func (a *answer) fields(action string) url.Values {
	a.t.Helper()
	for _, m := range formTag.FindAllStringSubmatch(a.body, -1) {
		if strings.HasSuffix(html.UnescapeString(m[1]), action) {
			v := url.Values{}
			for _, i := range inputTag.FindAllStringSubmatch(m[0], -1) {
				v.Set(html.UnescapeString(i[1]), html.UnescapeString(i[2]))
			}
			return v
		}
	}
	a.t.Fatalf("%d: no form for %s in %s", a.status, action, a.body)
	return nil
}

func (b *browser) submit(path string, f url.Values, pairs ...string) *answer {
	b.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	r := post(path, f)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

func (b *browser) signIn(page *answer) *answer {
	b.t.Helper()
	return b.submit("/connect/sign-in", page.fields("/connect/sign-in"), "name", "anna", "password", password)
}

func (b *browser) decide(page *answer, decision string) *answer {
	b.t.Helper()
	return b.submit("/connect/consent", page.fields("/connect/consent"), "decision", decision)
}

// asks are the parameters of an authorization request.
func (c credentials) asks(pairs ...string) []string {
	back := liveBack
	if c.env == gatehouse.Sandbox {
		back = sandboxBack
	}
	v := form("response_type", "code", "client_id", c.id, "redirect_uri", back, "state", "s t&te", "code_challenge", challenge(), "code_challenge_method", "S256")
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	var out []string
	for name := range v {
		out = append(out, name, v.Get(name))
	}
	return out
}

// sentBack is the query that the app gets.
func (a *answer) sentBack(to string) url.Values {
	a.t.Helper()
	location := a.header.Get("Location")
	rest, ok := strings.CutPrefix(location, to)
	if a.status != http.StatusSeeOther || !ok {
		a.t.Fatalf("%d to %q: %s", a.status, location, a.body)
	}
	v, err := url.ParseQuery(strings.TrimLeft(rest, "?&"))
	if err != nil {
		a.t.Fatal(err)
	}
	return v
}

func (h *house) exchange(c credentials, code, back string, pairs ...string) *answer {
	h.t.Helper()
	f := form("grant_type", "authorization_code", "code", code, "redirect_uri", back, "code_verifier", verifier)
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return h.do(c.as(post("/oauth2/token", f)))
}

func TestAuthorizationCode(t *testing.T) {
	h := newConnectHouse(t)
	for env, back := range map[gatehouse.Environment]string{gatehouse.Live: liveBack, gatehouse.Sandbox: sandboxBack} {
		c := h.app(gatehouse.OAuth2)[env]
		b := h.browser()
		page := b.get("/oauth2/authorize", c.asks("scope", "read")...)
		if page.status != 200 || !strings.Contains(page.body, "Budget &lt;b&gt;App&lt;/b&gt;") || strings.Contains(page.body, "<b>App") {
			t.Fatalf("%d %s", page.status, page.body)
		}
		page = b.signIn(page)
		for _, want := range []string{"Budget &lt;b&gt;App", "<code>read</code>", "Anna", connect.OriginOf(back)} {
			if !strings.Contains(page.body, want) {
				t.Errorf("the consent page doesn't say %s: %s", want, page.body)
			}
		}
		if (env == gatehouse.Sandbox) != strings.Contains(page.body, `class="sandbox"`) {
			t.Errorf("%s: the sandbox is marked wrongly", env)
		}
		got := b.decide(page, "allow").sentBack(back)
		wantIssuer := issuer
		if env == gatehouse.Sandbox {
			wantIssuer += "/sandbox"
		}
		if got.Get("state") != "s t&te" || got.Get("iss") != wantIssuer || len(got) != 3 {
			t.Errorf("sent back %v", got)
		}
		a := h.exchange(c, got.Get("code"), back)
		if a.status != 200 || a.member("scope") != "read" || a.member("refresh_token") == "" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		v := h.verify(a.member("access_token"), "environment="+string(env)+"&scope=read")
		if v.status != 200 || v.header.Get("Gatehouse-Subject") == c.id || v.header.Get("Gatehouse-Client-Id") != c.id {
			t.Errorf("%d %v", v.status, v.header)
		}
		h.exchange(c, got.Get("code"), back).is("a code used again", 400, "invalid_grant")

		// The answer was the only one; Back finds the request finished.
		if again := b.decide(page, "allow"); again.status != http.StatusGone {
			t.Errorf("the same form again: %d", again.status)
		}
		// The user sees the app, ends it, and the token is dead.
		page = b.get("/connect/connections", "environment", string(env))
		page = b.submit("/connect/connections", page.fields("/connect/connections"))
		if page.status != 200 || !strings.Contains(page.body, "No app is connected") {
			t.Errorf("%d %s", page.status, page.body)
		}
		if v := h.verify(a.member("access_token"), "environment="+string(env)); v.status != 401 {
			t.Errorf("a token outlived its connection: %d", v.status)
		}
	}
}

func TestAuthorizationRefused(t *testing.T) {
	h := newConnectHouse(t)
	c := h.app(gatehouse.OAuth2)[gatehouse.Live]
	b := h.browser()
	page := b.signIn(b.get("/oauth2/authorize", c.asks()...))
	got := b.decide(page, "deny").sentBack(liveBack)
	if got.Get("error") != "access_denied" || got.Get("state") != "s t&te" || got.Get("iss") != issuer || got.Has("code") {
		t.Errorf("sent back %v", got)
	}
	if page := b.get("/connect/connections"); !strings.Contains(page.body, "No app is connected") {
		t.Error("a refusal made a connection")
	}
}

// What is wrong goes to the client only where its redirect URI is its own.
func TestAuthorizationRequests(t *testing.T) {
	h := newConnectHouse(t)
	both := h.app(gatehouse.OAuth2)
	c := both[gatehouse.Live]
	foreign := h.client("papaya")[gatehouse.Live]
	off := h.app(gatehouse.OAuth2)[gatehouse.Live]
	if _, err := h.engine.SetClientState(context.Background(), operator, off.client, gatehouse.Disabled); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		asks   []string
		status int
	}{
		"no client":                {c.asks("client_id", ""), 400},
		"unknown client":           {c.asks("client_id", "nobody"), 400},
		"a dialect's client":       {c.asks("client_id", foreign.id), 400},
		"disabled":                 {off.asks(), 403},
		"no redirect":              {c.asks("redirect_uri", ""), 400},
		"another site":             {c.asks("redirect_uri", "https://evil.example/back"), 400},
		"prefix":                   {c.asks("redirect_uri", liveBack+"/../evil"), 400},
		"without its query":        {c.asks("redirect_uri", "https://app.example/back"), 400},
		"userinfo":                 {c.asks("redirect_uri", "https://app.example@evil.example/back?from=gatehouse"), 400},
		"backslash":                {c.asks("redirect_uri", `https://app.example\@evil.example`), 400},
		"script":                   {c.asks("redirect_uri", "javascript:alert(1)"), 400},
		"request_uri of elsewhere": {append(c.asks(), "request_uri", "https://evil.example/request.jwt"), 400},
		"unknown request_uri":      {append(c.asks(), "request_uri", "urn:ietf:params:oauth:request_uri:AAAA"), 400},
	} {
		a := h.browser().get("/oauth2/authorize", x.asks...)
		if a.status != x.status || a.header.Get("Location") != "" || !strings.Contains(a.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d to %q", name, a.status, a.header.Get("Location"))
		}
		if strings.Contains(a.body, "evil.example") {
			t.Errorf("%s: the page repeats what was sent", name)
		}
	}
	for name, x := range map[string]struct {
		asks []string
		word string
	}{
		"no response_type":    {c.asks("response_type", ""), "invalid_request"},
		"token":               {c.asks("response_type", "token"), "unsupported_response_type"},
		"code token":          {c.asks("response_type", "code token"), "unsupported_response_type"},
		"no challenge":        {c.asks("code_challenge", ""), "invalid_request"},
		"plain":               {c.asks("code_challenge_method", "plain"), "invalid_request"},
		"no method":           {c.asks("code_challenge_method", ""), "invalid_request"},
		"short challenge":     {c.asks("code_challenge", "abc"), "invalid_request"},
		"unknown scope":       {c.asks("scope", "admin"), "invalid_scope"},
		"malformed scope":     {c.asks("scope", "read  write"), "invalid_scope"},
		"relative resource":   {c.asks("resource", "/api"), "invalid_target"},
		"request object":      {c.asks("request", "e30.e30."), "request_not_supported"},
		"fragment mode":       {c.asks("response_mode", "fragment"), "invalid_request"},
		"frame by redirect":   {c.asks("display", "frame"), "invalid_request"},
		"odd prompt":          {c.asks("prompt", "create"), "invalid_request"},
		"long state":          {c.asks("state", strings.Repeat("x", 1025)), "invalid_request"},
		"prompt=none":         {c.asks("prompt", "none"), "login_required"},
		"message to nobody's": {both[gatehouse.Sandbox].asks("response_mode", "web_message"), "invalid_request"},
	} {
		back := liveBack
		if strings.Contains(name, "nobody's") {
			back = sandboxBack
		}
		got := h.browser().get("/oauth2/authorize", x.asks...).sentBack(back)
		if got.Get("error") != x.word || got.Get("iss") == "" || (got.Get("state") != "s t&te") != (name == "long state") {
			t.Errorf("%s: %v", name, got)
		}
	}
	a := h.do(httptest.NewRequest("GET", "/oauth2/authorize?"+form(c.asks()...).Encode()+"&state=twice", nil))
	if a.status != 400 || a.header.Get("Location") != "" {
		t.Errorf("a parameter twice: %d", a.status)
	}
	for _, method := range []string{"HEAD", "POST", "PUT", "OPTIONS"} {
		if a := h.do(httptest.NewRequest(method, "/oauth2/authorize?"+form(c.asks()...).Encode(), nil)); a.status != 405 || a.header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
	// Signed in, but not asked.
	b := h.browser()
	b.signIn(b.get("/connect/connections"))
	if got := b.get("/oauth2/authorize", c.asks("prompt", "none")...).sentBack(liveBack); got.Get("error") != "consent_required" {
		t.Errorf("prompt=none: %v", got)
	}
}

func TestPushedAuthorization(t *testing.T) {
	h := newConnectHouse(t)
	both := h.app(gatehouse.OAuth2)
	c := both[gatehouse.Live]
	other := h.app(gatehouse.OAuth2)[gatehouse.Live]
	push := func(c credentials, asks ...string) *answer {
		return h.do(c.as(post("/oauth2/par", form(asks...))))
	}
	pushed := func() string {
		t.Helper()
		a := push(c, c.asks("scope", "read")...)
		if a.status != 201 || a.value("expires_in") != float64(90) || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return a.member("request_uri")
	}

	// What the URL says beside the request_uri counts for nothing.
	b := h.browser()
	uri := pushed()
	page := b.signIn(b.get("/oauth2/authorize", "client_id", c.id, "request_uri", uri, "scope", "write", "state", "x", "redirect_uri", sandboxBack))
	got := b.decide(page, "allow").sentBack(liveBack)
	if got.Get("state") != "s t&te" {
		t.Errorf("sent back %v", got)
	}
	if a := h.exchange(c, got.Get("code"), liveBack); a.member("scope") != "read" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := b.get("/oauth2/authorize", "client_id", c.id, "request_uri", uri); a.status != 400 {
		t.Errorf("a request_uri used again: %d", a.status)
	}
	if a := b.get("/oauth2/authorize", "client_id", other.id, "request_uri", pushed()); a.status != 400 {
		t.Errorf("another client's request_uri: %d", a.status)
	}
	uri = pushed()
	h.clock.advance(91 * time.Second)
	if a := b.get("/oauth2/authorize", "client_id", c.id, "request_uri", uri); a.status != 400 {
		t.Errorf("an old request_uri: %d", a.status)
	}

	h.do(post("/oauth2/par", form(c.asks()...))).is("no proof", 401, "invalid_client")
	push(credentials{id: c.id, secret: other.secret}, c.asks()...).is("wrong secret", 401, "invalid_client")
	push(c, other.asks()...).is("another's client_id", 400, "invalid_request")
	push(both[gatehouse.Sandbox], c.asks()...).is("the other environment's secret", 400, "invalid_request")
	push(c, c.asks("redirect_uri", "https://evil.example/")...).is("a foreign redirect", 400, "invalid_request")
	push(c, c.asks("scope", "admin")...).is("an unknown scope", 400, "invalid_scope")
	push(c, append(c.asks(), "request_uri", uri)...).is("a request_uri", 400, "invalid_request")
	push(c, c.asks("code_challenge_method", "plain")...).is("plain", 400, "invalid_request")
	r := c.as(post("/oauth2/par", nil))
	r.Method = "GET"
	if a := h.do(r); a.status != 405 {
		t.Errorf("GET: %d", a.status)
	}
	if a := h.do(httptest.NewRequest("GET", "/.well-known/oauth-authorization-server", nil)); a.member("pushed_authorization_request_endpoint") != issuer+"/oauth2/par" ||
		a.member("authorization_endpoint") != issuer+"/oauth2/authorize" || a.value("authorization_response_iss_parameter_supported") != true {
		t.Errorf("metadata: %s", a.body)
	}
}

// Without Connect nothing of it is there.
func TestNoConnect(t *testing.T) {
	h := newHouse(t)
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	for _, path := range []string{"/oauth2/authorize", "/oauth2/par", "/connect/sign-in", "/connect/connect.js"} {
		if a := h.do(httptest.NewRequest("GET", path, nil)); a.status != 404 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	h.exchange(c, "x", liveBack).is("a code", 400, "unsupported_grant_type")
	if a := h.do(httptest.NewRequest("GET", "/.well-known/oauth-authorization-server", nil)); strings.Contains(a.body, "authoriz") && a.value("authorization_endpoint") != nil {
		t.Errorf("metadata: %s", a.body)
	}
}
