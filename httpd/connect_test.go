package httpd_test

import (
	"bytes"
	"context"
	"html"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// opens are the parameters of /connect/open for a client of a dialect.
func (c credentials) opens(pairs ...string) []string {
	v := form("client_id", c.id, "response_mode", "form_post", "redirect_uri", liveBack, "state", "s1")
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	var out []string
	for name := range v {
		out = append(out, name, v.Get(name))
	}
	return out
}

// The members that a connect message has are the dialect's own; what is sent back
// can be exchanged as its clients do.
func TestConnectMessage(t *testing.T) {
	h := newConnectHouse(t)
	c := h.app("dapi")[gatehouse.Live]
	b := h.browser()
	exchanges := func(got map[string]string) {
		t.Helper()
		v := c.values()
		op := h.spoken["dapi"].Operation(dialect.Connect)
		message := map[string]any{"success": true}
		for name, value := range got {
			if name != "state" && name != "success" {
				message[name] = value
			}
		}
		body, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		read, err := op.ReadResponse(&dialect.Response{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: body})
		if err != nil {
			t.Fatalf("the client can't read %v: %v", got, err)
		}
		v.SetSecret(dialect.AccessCode, read.Secret(dialect.AccessCode))
		v.SetText(dialect.ConnectionID, read.Text(dialect.ConnectionID))
		a, given, err := h.call("dapi", dialect.Exchange, v)
		if err != nil || h.verify(given.Secret(dialect.AccessToken).Reveal(), "environment=live").status != 200 {
			t.Errorf("exchange: %v: %s", err, a.body)
		}
	}

	page := b.signIn(b.get("/connect/open", c.opens()...))
	page = b.decide(page, "allow")
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https:;") {
		t.Errorf("the form may not be sent: %s", policy)
	}
	got := map[string]string{}
	for name, values := range page.fields(liveBack) {
		got[name] = values[0]
	}
	if len(got) != 7 || got["state"] != "s1" || got["success"] != "true" {
		t.Errorf("handed over %v", got)
	}
	exchanges(got)

	page = b.decide(b.get("/connect/open", c.opens("response_mode", "web_message", "origin", appOrigin)...), "allow")
	m := regexp.MustCompile(`data-origin="([^"]*)" data-state="([^"]*)" data-result="([^"]*)"`).FindStringSubmatch(page.body)
	if m == nil || m[1] != appOrigin || m[2] != "s1" {
		t.Fatalf("%d %s", page.status, page.body)
	}
	var result map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(m[3], "&#34;", `"`)), &result); err != nil || len(result) != 6 {
		t.Fatalf("%v: %v", result, err)
	}
	got = map[string]string{}
	for name, value := range result {
		if s, ok := value.(string); ok {
			got[name] = s
		}
	}
	exchanges(got)

	page = b.decide(b.get("/connect/open", c.opens("response_mode", "web_message", "origin", appOrigin)...), "deny")
	if !strings.Contains(page.body, `&#34;error&#34;:&#34;access_denied&#34;`) || strings.Contains(page.body, "accessCode") {
		t.Errorf("a refusal hands over %s", page.body)
	}

	// Two consents are two connections, which the user sees as one app.
	page = b.get("/connect/connections")
	if n := strings.Count(page.body, `name="client"`); n != 1 {
		t.Errorf("the app is listed %d times", n)
	}
	b.submit("/connect/connections", page.fields("/connect/connections"))
	list, err := h.engine.Connections(context.Background(), gatehouse.ConnectionQuery{Linked: true, Limit: 10})
	if err != nil || len(list) != 0 {
		t.Errorf("%d connections are left: %v", len(list), err)
	}
}

func TestConnectOpenRefuses(t *testing.T) {
	h := newConnectHouse(t)
	both := h.app("dapi")
	c := both[gatehouse.Live]
	standard := h.app(gatehouse.OAuth2)[gatehouse.Live]
	for name, asks := range map[string][]string{
		"no client":             c.opens("client_id", ""),
		"unknown client":        c.opens("client_id", "nobody"),
		"a standard client":     standard.opens(),
		"a dialect without it":  h.client("papaya")[gatehouse.Live].opens(),
		"by query":              c.opens("response_mode", "query"),
		"no mode":               c.opens("response_mode", ""),
		"foreign redirect":      c.opens("redirect_uri", "https://evil.example"),
		"foreign origin":        c.opens("response_mode", "web_message", "origin", "https://evil.example"),
		"origin with a path":    c.opens("response_mode", "web_message", "origin", appOrigin+"/"),
		"origin of all":         c.opens("response_mode", "web_message", "origin", "*"),
		"null origin":           c.opens("response_mode", "web_message", "origin", "null"),
		"origin as a redirect":  c.opens("redirect_uri", appOrigin),
		"redirect as an origin": c.opens("response_mode", "web_message", "origin", liveBack),
		"frame by form":         c.opens("display", "frame"),
		"long state":            c.opens("state", strings.Repeat("x", 1025)),
	} {
		a := h.browser().get("/connect/open", asks...)
		if a.status != 400 || !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || a.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %d %v", name, a.status, a.header)
		}
	}
}

// In a frame no cookie is read or set: what the user did elsewhere can't be used
// by the page around it, and a sign-in is good for its one request.
func TestConnectInAFrame(t *testing.T) {
	h := newConnectHouse(t)
	c := h.app("dapi")[gatehouse.Live]
	framed := c.opens("response_mode", "web_message", "origin", appOrigin, "display", "frame")
	b := h.browser()
	b.signIn(b.get("/connect/connections")) // at the top of a window

	outside := len(b.cookies)
	page := b.get("/connect/open", framed...)
	policy := page.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "frame-ancestors "+appOrigin+";") && !strings.HasSuffix(policy, "frame-ancestors "+appOrigin) || page.header.Get("X-Frame-Options") != "" {
		t.Errorf("who may frame it: %s, %q", policy, page.header.Get("X-Frame-Options"))
	}
	if !strings.Contains(page.body, `name="password"`) {
		t.Error("a session of the window's counts in a frame")
	}
	fresh := h.browser()
	consent := fresh.signIn(fresh.get("/connect/open", framed...))
	if len(fresh.cookies) != 0 || len(b.cookies) != outside {
		t.Errorf("cookies were set in a frame: %v", fresh.cookies)
	}
	fields := consent.fields("/connect/consent")
	if fields.Get("session") == "" || fields.Get("csrf") != "" {
		t.Fatalf("the form holds %v", fields)
	}
	// The frame's session: not for another request, not for a window, not as a cookie.
	other := fresh.get("/connect/open", framed...).fields("/connect/sign-in").Get("request")
	stolen := url.Values{"request": {other}, "session": fields["session"], "decision": {"allow"}}
	if a := fresh.submit("/connect/consent", stolen); !strings.Contains(a.body, `name="password"`) {
		t.Errorf("another request: %d %s", a.status, a.body)
	}
	thief := h.browser()
	thief.cookies["__Host-gatehouse-connect-live"] = fields.Get("session")
	if a := thief.get("/connect/connections"); !strings.Contains(a.body, `name="password"`) {
		t.Errorf("as a cookie: %d", a.status)
	}
	if a := fresh.decide(consent, "allow"); a.status != 200 || !strings.Contains(a.body, `data-origin="`+appOrigin+`"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestSignInTellsNothing(t *testing.T) {
	h := newConnectHouse(t)
	b := h.browser()
	first := b.get("/connect/connections")
	try := func(name, password string) *answer {
		return b.submit("/connect/sign-in", first.fields("/connect/sign-in"), "name", name, "password", password)
	}
	wrong, unknown := try("anna", "not it"), try("otto", "not it")
	if wrong.status != 403 || unknown.status != 403 || strings.ReplaceAll(wrong.body, "anna", "otto") != unknown.body {
		t.Errorf("a known user gets %d, an unknown one %d", wrong.status, unknown.status)
	}
	if a := try("anna", ""); a.status != 422 {
		t.Errorf("no password: %d", a.status)
	}
	if a := try(`"><script>alert(1)</script>`, "x"); strings.Contains(a.body, "<script>alert") {
		t.Error("the name is markup on the page")
	}
	if a := b.get("/connect/connections"); !strings.Contains(a.body, `name="password"`) {
		t.Error("a wrong password signed in")
	}
	// A user of the sandbox is nobody in live, with the same name and password.
	in := h.browser()
	in.signIn(in.get("/connect/connections", "environment", "sandbox"))
	if a := in.get("/connect/connections", "environment", "live"); !strings.Contains(a.body, `name="password"`) {
		t.Error("a session of the sandbox counts in live")
	}
	moved := h.browser()
	moved.cookies["__Host-gatehouse-connect-live"] = in.cookies["__Host-gatehouse-connect-sandbox"]
	if a := moved.get("/connect/connections", "environment", "live"); !strings.Contains(a.body, `name="password"`) {
		t.Error("the cookie of the sandbox counts in live")
	}
}

// Forms that were not made for this browser, or come from another site, do nothing.
func TestConnectForgery(t *testing.T) {
	h := newConnectHouse(t)
	c := h.app(gatehouse.OAuth2)[gatehouse.Live]
	victim, attacker := h.browser(), h.browser()
	consent := victim.signIn(victim.get("/oauth2/authorize", c.asks()...))
	theirs := attacker.get("/connect/sign-in").fields("/connect/sign-in")
	connections := victim.get("/connect/connections")

	forms := map[string]url.Values{
		"/connect/sign-in":     victim.get("/oauth2/authorize", c.asks("prompt", "login")...).fields("/connect/sign-in"),
		"/connect/consent":     consent.fields("/connect/consent"),
		"/connect/connections": connections.fields("/connect/sign-out"),
		"/connect/sign-out":    connections.fields("/connect/sign-out"),
	}
	forms["/connect/sign-in"].Set("name", "anna")
	forms["/connect/sign-in"].Set("password", password)
	forms["/connect/consent"].Set("decision", "allow")
	for path, good := range forms {
		for name, change := range map[string]func(url.Values, *http.Request){
			"no token":        func(v url.Values, _ *http.Request) { v.Del("csrf") },
			"another's token": func(v url.Values, _ *http.Request) { v.Set("csrf", theirs.Get("csrf")) },
			"cross-site":      func(_ url.Values, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"same-site":       func(_ url.Values, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
			"an older browser's": func(_ url.Values, r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				r.Header.Set("Origin", "https://evil.example")
			},
			"null origin": func(_ url.Values, r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				r.Header.Set("Origin", "null")
			},
			"no cookies": func(_ url.Values, r *http.Request) { r.Header.Del("Cookie") },
		} {
			v := url.Values{}
			for key, values := range good {
				v[key] = values
			}
			r := post(path, v)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			for cookie, value := range victim.cookies {
				r.AddCookie(&http.Cookie{Name: cookie, Value: value})
			}
			change(v, r)
			body := r
			r = post(path, v)
			r.Header = body.Header
			if a := h.do(r); a.status != 403 || len((&http.Response{Header: a.header}).Cookies()) > 1 {
				t.Errorf("%s, %s: %d %v", path, name, a.status, a.header)
			}
		}
	}
	if got := victim.decide(consent, "allow").sentBack(liveBack); got.Get("code") == "" {
		t.Errorf("the user's own form: %v", got)
	}
}

func TestConnectSession(t *testing.T) {
	h := newConnectHouse(t)
	c := h.app(gatehouse.OAuth2)[gatehouse.Live]
	const cookie = "__Host-gatehouse-connect-live"

	// Fixation: a cookie from before the sign-in is worth nothing after it.
	b := h.browser()
	b.cookies[cookie] = "planted"
	page := b.get("/connect/connections")
	if b.cookies[cookie] != "planted" {
		t.Log("the planted cookie was replaced at once")
	}
	signedIn := b.submit("/connect/sign-in", page.fields("/connect/sign-in"), "name", "anna", "password", password)
	if signedIn.status != 200 || b.cookies[cookie] == "planted" {
		t.Fatalf("%d with cookie %q", signedIn.status, b.cookies[cookie])
	}
	for _, line := range h.do(httptest.NewRequest("GET", "/connect/sign-in", nil)).header["Set-Cookie"] {
		for _, want := range []string{cookie + "=", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
			if !strings.Contains(line, want) || strings.Contains(line, "Domain") {
				t.Errorf("the cookie is %s", line)
			}
		}
	}
	// Signing in again ends the session before.
	before := b.cookies[cookie]
	b.signIn(b.get("/oauth2/authorize", c.asks("prompt", "login")...))
	old := h.browser()
	old.cookies[cookie] = before
	if a := old.get("/connect/connections"); !strings.Contains(a.body, `name="password"`) {
		t.Error("the session before the last sign-in is still good")
	}
	// prompt=login: an earlier sign-in doesn't count, also not by going to the consent.
	h.clock.advance(time.Second)
	page = b.get("/oauth2/authorize", c.asks("prompt", "login")...)
	if a := b.get("/connect/consent", "request", page.fields("/connect/sign-in").Get("request")); !strings.Contains(a.body, `name="password"`) {
		t.Error("prompt=login took an old sign-in")
	}
	if a := b.get("/oauth2/authorize", c.asks()...); !strings.Contains(a.body, "/connect/consent") {
		t.Errorf("a session was not used: %d", a.status)
	}
	// Sign-out, and what it leaves.
	page = b.get("/connect/connections")
	named := b.cookies[cookie]
	b.submit("/connect/sign-out", page.fields("/connect/sign-out"))
	old.cookies[cookie] = named
	if a := old.get("/connect/connections"); !strings.Contains(a.body, `name="password"`) {
		t.Error("the session outlived the sign-out")
	}
	// Requests and sessions expire.
	page = b.signIn(b.get("/oauth2/authorize", c.asks()...))
	h.clock.advance(31 * time.Minute)
	if a := b.decide(page, "allow"); a.status != http.StatusGone || !strings.Contains(a.body, "start again") {
		t.Errorf("an old request: %d", a.status)
	}
	page = b.get("/oauth2/authorize", c.asks()...)
	h.clock.advance(8 * time.Hour)
	if a := b.get("/connect/connections"); !strings.Contains(a.body, `name="password"`) {
		t.Error("an old session is still good")
	}
	// The app is switched off meanwhile.
	page = b.signIn(b.get("/oauth2/authorize", c.asks()...))
	if _, err := h.engine.SetClientState(context.Background(), operator, c.client, gatehouse.Disabled); err != nil {
		t.Fatal(err)
	}
	if got := b.decide(page, "allow").sentBack(liveBack); got.Get("error") != "unauthorized_client" || got.Has("code") {
		t.Errorf("sent back %v", got)
	}
}

// Of many answers to one request one counts.
func TestConnectDecidesOnce(t *testing.T) {
	h := newConnectHouse(t)
	c := h.app(gatehouse.OAuth2)[gatehouse.Live]
	b := h.browser()
	page := b.signIn(b.get("/oauth2/authorize", c.asks()...))
	var codes, gone atomic.Int32
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			f := page.fields("/connect/consent")
			f.Set("decision", []string{"allow", "deny"}[i%2])
			r := post("/connect/consent", f)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			for name, value := range b.cookies {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			switch a := h.do(r); a.status {
			case http.StatusSeeOther:
				codes.Add(1)
			case http.StatusGone:
				gone.Add(1)
			default:
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	if codes.Load() != 1 || gone.Load() != 39 {
		t.Errorf("%d answers, %d refused", codes.Load(), gone.Load())
	}
}

var (
	inline    = regexp.MustCompile(`(?i)<script(?:[^>]*)>[^<]|<style| style=| on[a-z]+=|javascript:`)
	scriptTag = regexp.MustCompile(`<script type="module" src="(/connect/[^"]+)"></script>`)
	linked    = regexp.MustCompile(`<link [^>]*href="(/connect/[^"]+)"`)
)

// Every page: no inline script or style, a strict policy, no cache, no referrer,
// and light.
func TestConnectPages(t *testing.T) {
	h := newConnectHouse(t)
	c := h.app(gatehouse.OAuth2)[gatehouse.Live]
	d := h.app("dapi")[gatehouse.Live]
	b := h.browser()
	pages := map[string]*answer{
		"problem": b.get("/connect/open"), "nothing": b.get("/connect/../admin"), "sign-in": b.get("/oauth2/authorize", c.asks()...),
	}
	pages["wrong"] = b.submit("/connect/sign-in", pages["sign-in"].fields("/connect/sign-in"), "name", "anna", "password", "no")
	pages["consent"] = b.signIn(pages["sign-in"])
	pages["connections"] = b.get("/connect/connections")
	pages["form"] = b.decide(b.get("/connect/open", d.opens()...), "allow")
	pages["message"] = b.decide(b.get("/connect/open", d.opens("response_mode", "web_message", "origin", appOrigin)...), "allow")
	for name, a := range pages {
		policy := a.header.Get("Content-Security-Policy")
		if inline.MatchString(a.body) {
			t.Errorf("%s has something inline: %s", name, inline.FindString(a.body))
		}
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'") ||
			!strings.HasSuffix(policy, "; frame-ancestors 'none'") || a.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: policy %s", name, policy)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", name, a.header)
		}
		weight := len(a.body)
		for _, m := range append(scriptTag.FindAllStringSubmatch(a.body, -1), linked.FindAllStringSubmatch(a.body, -1)...) {
			part := h.do(httptest.NewRequest("GET", m[1], nil))
			if part.status != 200 || !strings.Contains(part.header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s loads %s: %d", name, m[1], part.status)
			}
			weight += len(part.body)
		}
		if weight > 60<<10 {
			t.Errorf("%s weighs %d bytes", name, weight)
		}
	}
	var logo bytes.Buffer
	if err := png.Encode(&logo, image.NewGray(image.Rect(0, 0, 64, 64))); err != nil {
		t.Fatal(err)
	}
	if err := h.engine.SetLogo(t.Context(), operator, c.client, logo.Bytes()); err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`<img class="logo" src="([^"]*)" alt="">`).FindStringSubmatch(b.get("/oauth2/authorize", c.asks()...).body)
	if m == nil {
		t.Fatal("the logo is not shown")
	}
	shown := h.do(httptest.NewRequest("GET", html.UnescapeString(m[1]), nil))
	if shown.status != 200 || shown.header.Get("Content-Type") != "image/png" || shown.body != logo.String() || shown.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the logo: %d %v", shown.status, shown.header)
	}
	german := httptest.NewRequest("GET", "/connect/sign-in", nil)
	german.Header.Set("Accept-Language", "de-AT,de;q=0.9")
	if a := h.do(german); !strings.Contains(a.body, `<html lang="de">`) || !strings.Contains(a.body, "Anmelden") {
		t.Error("not in German")
	}
	if a := h.browser().get("/oauth2/authorize", c.asks("ui_locales", "fr de")...); !strings.Contains(a.body, `lang="de"`) {
		t.Error("ui_locales has no effect")
	}
	chosen := h.browser()
	chosen.get("/connect/sign-in", "lang", "de")
	if a := chosen.get("/connect/sign-in"); !strings.Contains(a.body, "Anmelden") {
		t.Error("the choice of a language is forgotten")
	}
	script := h.do(httptest.NewRequest("GET", "/connect/connect.js", nil))
	if script.status != 200 || script.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(script.body, "export function openPopup") {
		t.Errorf("connect.js: %d %v", script.status, script.header)
	}
	for _, method := range []string{"PUT", "DELETE", "HEAD", "OPTIONS"} {
		if a := h.do(httptest.NewRequest(method, "/connect/sign-in", nil)); a.status != 405 {
			t.Errorf("%s: %d", method, a.status)
		}
	}
}

// A user whose password was changed, or who was disabled, is signed in no more.
func TestConnectStanding(t *testing.T) {
	h := newConnectHouse(t)
	b := h.browser()
	b.signIn(b.get("/connect/connections"))
	user, err := h.users.Find(t.Context(), gatehouse.Live, "anna")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // times of passwords are whole milliseconds
	if _, err := h.users.SetPassword(t.Context(), operator, user.ID, secret.New(password)); err != nil {
		t.Fatal(err)
	}
	if page := b.get("/connect/connections"); !strings.Contains(page.body, `name="password"`) {
		t.Error("who signed in by an earlier password still is")
	}
	b.signIn(b.get("/connect/connections"))
	if _, err := h.users.SetDisabled(t.Context(), operator, user.ID, true); err != nil {
		t.Fatal(err)
	}
	page := b.get("/connect/connections")
	if !strings.Contains(page.body, `name="password"`) {
		t.Error("a disabled user is still signed in")
	}
	if a := b.submit("/connect/sign-in", page.fields("/connect/sign-in"), "name", "anna", "password", password); a.status != 403 {
		t.Errorf("a disabled user signs in: %d", a.status)
	}
}
