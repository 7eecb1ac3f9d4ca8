package httpd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func builtin(t testing.TB, name string) *dialect.Dialect {
	t.Helper()
	d, err := dialect.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sample is a request to an operation with every hole filled, right or wrong.
func sample(t testing.TB, o *dialect.Operation) *http.Request {
	t.Helper()
	var v dialect.Values
	v.SetText(dialect.ClientID, "0192d8f3-5f1c-4b2e-8000-3f3a6c1d2e4f")
	v.SetText(dialect.ConnectionID, "0192d8f3-5f1c-7b2e-8000-3f3a6c1d2e4f")
	for _, h := range []dialect.Hole{dialect.ClientSecret, dialect.AccessToken, dialect.RefreshToken, dialect.AccessCode, dialect.UserSecret} {
		v.SetSecret(h, secret.New("nothing-right"))
	}
	sent, err := o.WriteRequest("", v)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(sent.Method, sent.URL(), bytes.NewReader(sent.Body))
	r.Header = sent.Header
	return r
}

// served lists the operations that have a route.
func served(t testing.TB) map[string]*dialect.Operation {
	t.Helper()
	out := map[string]*dialect.Operation{}
	for _, name := range dialect.BuiltinNames() {
		for _, o := range builtin(t, name).Operations {
			if o.Path() != "" {
				out[name+"."+string(o.Name)] = o
			}
		}
	}
	return out
}

// Each dialect's clients get a token as they know it, and it passes the gate.
func TestDialectTokens(t *testing.T) {
	h := newHouse(t)
	for _, name := range dialect.BuiltinNames() {
		for env, c := range h.client(name) {
			tok, refresh := h.dialectToken(c)
			g := h.verify(tok, "environment="+string(env)+"&client="+c.id)
			if g.status != 200 || g.header.Get("Gatehouse-Client-Id") != c.id || g.header.Get("Gatehouse-Environment") != string(env) {
				t.Errorf("%s %s: %d %v %s", name, env, g.status, g.header, g.body)
			}
			for _, header := range gate.IdentityHeaders {
				if g.header.Get(header) == "" {
					t.Errorf("%s %s: no %s", name, env, header)
				}
			}
			if refresh == "" {
				continue
			}
			// The refresh token is used again and again, without the secret.
			var v dialect.Values
			v.SetSecret(dialect.RefreshToken, secret.New(refresh))
			for range 2 {
				_, read, err := h.call(name, dialect.Refresh, v)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if g := h.verify(read.Secret(dialect.AccessToken).Reveal(), "environment="+string(env)); g.status != 200 {
					t.Errorf("%s: a refreshed token gets %d", name, g.status)
				}
			}
		}
	}
}

func TestDialectHeaders(t *testing.T) {
	h := newHouse(t)
	c := h.client("papaya")[gatehouse.Live]
	a, _, err := h.call("papaya", dialect.Issue, c.values())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if a.header.Get("Gatehouse-Request-Id") == "" {
		t.Error("no request id")
	}
}

// isDialects fails the test unless an answer is a refusal in the dialect's
// words: its own client reads it through the error table.
func isDialects(t *testing.T, what string, o *dialect.Operation, a *answer) *dialect.Refusal {
	t.Helper()
	_, err := o.ReadResponse(&dialect.Response{Status: a.status, Header: a.header, Body: []byte(a.body)})
	refusal, ok := errors.AsType[*dialect.Refusal](err)
	if !ok || a.status < 400 {
		t.Errorf("%s: %d %s is no refusal: %v", what, a.status, a.body, err)
		return &dialect.Refusal{}
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || len(body) == 0 {
		t.Errorf("%s: body %q: %v", what, a.body, err)
	}
	if body["error_description"] != nil {
		t.Errorf("%s is answered in standard words: %s", what, a.body)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Gatehouse-Request-Id") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: headers %v", what, a.header)
	}
	return refusal
}

// Whatever goes wrong on a dialect's route is told in its words.
func TestDialectRefusals(t *testing.T) {
	h := newHouse(t)
	var all []*dialect.Dialect
	for _, name := range dialect.BuiltinNames() {
		all = append(all, builtin(t, name))
	}
	panicking := h.failing(nil, "with a canary-secret in it", all...)
	down := h.failing(fmt.Errorf("commit: %w", gatehouse.ErrStore), nil, all...)
	limited := h.failing(&gatehouse.Error{Code: gatehouse.RateLimited, RetryAfter: 90 * time.Second, Limit: &gatehouse.LimitState{Limit: 5, Window: time.Minute, Reset: time.Minute}}, nil, all...)
	telling := h.failing(&gatehouse.Error{Code: gatehouse.InvalidClient, Message: "canary: the client is disabled"}, nil, all...)
	odd := h.failing(errors.New("open /var/lib/canary-secret: no such file"), nil, all...)

	for name, o := range served(t) {
		refused := func(what string, at *house, r *http.Request) *answer {
			t.Helper()
			a := at.do(r)
			isDialects(t, name+" "+what, o, a)
			if strings.Contains(a.body, "canary") {
				t.Errorf("%s %s: the answer tells the inside: %s", name, what, a.body)
			}
			return a
		}
		refused("credentials", h, sample(t, o))

		r := sample(t, o)
		r.RemoteAddr = "203.0.113.7:999"
		refused("plain HTTP", h, r)

		for _, method := range []string{"HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			r := sample(t, o)
			r.Method = method
			r.Header.Set("X-HTTP-Method-Override", o.Method())
			a := refused(method, h, r)
			if a.status != 405 || a.header.Get("Allow") != o.Method() {
				t.Errorf("%s %s: %d, Allow %q", name, method, a.status, a.header.Get("Allow"))
			}
		}

		r = httptest.NewRequest(o.Method(), o.Path(), strings.NewReader(`{"a":"`+strings.Repeat("x", 65<<10)+`"}`))
		r.Header.Set("Content-Type", "application/json")
		if a := refused("large body", h, r); a.status != 413 {
			t.Errorf("%s large body: %d", name, a.status)
		}

		if a := refused("panic", panicking, sample(t, o)); a.status != 500 {
			t.Errorf("%s panic: %d", name, a.status)
		}
		refused("reason", telling, sample(t, o))
		if a := refused("odd error", odd, sample(t, o)); a.status != 500 {
			t.Errorf("%s odd error: %d", name, a.status)
		}
		if a := refused("store down", down, sample(t, o)); a.status != 503 || a.header.Get("Retry-After") != "1" {
			t.Errorf("%s store down: %d, Retry-After %q", name, a.status, a.header.Get("Retry-After"))
		}
		if a := refused("limit", limited, sample(t, o)); a.status != 429 && a.status != 422 || a.header.Get("Retry-After") != "90" || a.header.Get("RateLimit") == "" {
			t.Errorf("%s limit: %d %v", name, a.status, a.header)
		}
		if o.Method() != "POST" {
			continue
		}
		r = sample(t, o)
		r.Header.Set("Content-Type", "text/plain")
		if a := refused("content type", h, r); a.status != 415 {
			t.Errorf("%s content type: %d", name, a.status)
		}
		r = sample(t, o)
		r.Header.Set("Content-Encoding", "gzip")
		if a := refused("gzip", h, r); a.status != 415 {
			t.Errorf("%s gzip: %d", name, a.status)
		}
		good := sample(t, o)
		body := new(bytes.Buffer)
		if _, err := body.ReadFrom(good.Body); err != nil {
			t.Fatal(err)
		}
		for what, hostile := range map[string]string{
			"empty":          "",
			"not JSON":       "{",
			"an array":       "[" + body.String() + "]",
			"trailing":       body.String() + "{}",
			"member twice":   strings.Replace(body.String(), "{", body.String()[:strings.IndexByte(body.String(), ',')+1], 1),
			"BOM":            "\xef\xbb\xbf" + body.String(),
			"invalid UTF-8":  strings.Replace(body.String(), `":"`, "\":\"\xff", 1),
			"lone surrogate": strings.Replace(body.String(), `":"`, `":"\ud800`, 1),
			"NUL":            strings.Replace(body.String(), `":"`, `":"\u0000`, 1),
			"deep":           strings.Replace(body.String(), "{", `{"x":`+strings.Repeat("[", 10000)+strings.Repeat("]", 10000)+",", 1),
			"case":           strings.ToUpper(body.String()[:strings.IndexByte(body.String(), ':')]) + body.String()[strings.IndexByte(body.String(), ':'):],
		} {
			if what == "member twice" && !strings.Contains(body.String(), ",") {
				hostile = strings.TrimSuffix(body.String(), "}") + "," + strings.TrimPrefix(body.String(), "{")
			}
			r := sample(t, o)
			r = httptest.NewRequest(r.Method, r.URL.String(), strings.NewReader(hostile))
			r.Header.Set("Content-Type", "application/json")
			if a := refused(what, h, r); a.status != 400 && a.status != 422 && a.status != 401 {
				t.Errorf("%s %s: %d %s", name, what, a.status, a.body)
			}
		}
	}
	if log := h.log.String(); !strings.Contains(log, `"msg":"panic"`) || !strings.Contains(log, "no such file") {
		t.Error("the log doesn't tell the owner what went wrong")
	}
	if strings.Contains(h.log.String(), "with a canary-secret in it") {
		t.Error("the log prints a panic's value")
	}
	if rows, err := h.engine.Tokens(context.Background(), gatehouse.TokenQuery{Limit: 10}); err != nil || len(rows) != 0 {
		t.Errorf("%d tokens were issued: %v", len(rows), err)
	}
}

// Unknown client, wrong secret, disabled client: one answer.
func TestDialectSameAnswer(t *testing.T) {
	h := newHouse(t)
	for _, name := range dialect.BuiltinNames() {
		d := builtin(t, name)
		o := d.Operation(dialect.Issue)
		if o == nil {
			continue
		}
		domain := func(s string) func(*gatehouse.NewClient) {
			return func(n *gatehouse.NewClient) {
				if n.Domain != "" {
					n.Domain = s + ".example"
				}
			}
		}
		good := h.client(name, domain("good"))[gatehouse.Live]
		disabled := h.client(name, domain("disabled"))[gatehouse.Live]
		if _, err := h.engine.SetClientState(context.Background(), operator, disabled.client, gatehouse.Disabled); err != nil {
			t.Fatal(err)
		}
		unknown := good
		unknown.id = "nobody.example"
		wrong := good
		wrong.secret = disabled.secret
		standard := h.client(gatehouse.OAuth2)[gatehouse.Live]
		var first *answer
		for what, c := range map[string]credentials{"unknown": unknown, "wrong": wrong, "disabled": disabled, "standard client": standard} {
			a, _, err := h.call(name, dialect.Issue, c.values())
			if err == nil {
				t.Fatalf("%s %s: got a token", name, what)
			}
			a.header.Del("Gatehouse-Request-Id")
			a.body = withoutMoment(a.body)
			if first == nil {
				first = a
			} else if a.status != first.status || a.body != first.body || !cmp.Equal(a.header, first.header) {
				t.Errorf("%s %s: %d %v %s\nothers get %d %v %s", name, what, a.status, a.header, a.body, first.status, first.header, first.body)
			}
		}
		if first.status != 401 {
			t.Errorf("%s: %d", name, first.status)
		}
	}
}

// withoutMoment blanks the times and request ids that some envelopes hold.
func withoutMoment(body string) string {
	var v any
	if json.Unmarshal([]byte(body), &v) != nil {
		return body
	}
	var blank func(any)
	blank = func(v any) {
		m, _ := v.(map[string]any)
		for name, value := range m {
			if slices.Contains([]string{"timestamp", "requestId", "operationID"}, name) {
				m[name] = "*"
			}
			blank(value)
		}
	}
	blank(v)
	out, _ := json.Marshal(v, json.Deterministic(true))
	return string(out)
}

// A healthcheck tells the expired from the false.
func TestValidateExpired(t *testing.T) {
	h := newHouse(t)
	c := h.client("quidkey")[gatehouse.Live]
	tok, refresh := h.dialectToken(c)
	var v dialect.Values
	ask := func(tok string) (*answer, dialect.Values, error) {
		v.SetSecret(dialect.AccessToken, secret.New(tok))
		return h.call("quidkey", dialect.Validate, v)
	}
	a, read, err := ask(tok)
	if err != nil || read.Bool(dialect.Expired) || read.Secret(dialect.AccessToken).Reveal() != tok {
		t.Errorf("live: %v %s", err, a.body)
	}
	for what, bad := range map[string]string{"false": tok + "x", "refresh token": refresh, "nothing": "abc"} {
		if a, _, _ := ask(bad); a.status != 401 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	h.clock.advance(16 * time.Minute)
	if a, read, err := ask(tok); err != nil || !read.Bool(dialect.Expired) || read.Secret(dialect.AccessToken).Reveal() != tok {
		t.Errorf("expired: %v %s", err, a.body)
	}
	if g := h.verify(tok, "environment=live"); g.status != 401 || !strings.Contains(g.header.Get("WWW-Authenticate"), "expired") {
		t.Errorf("the gate says %d %v", g.status, g.header)
	}
	// Where an answer can't say so, the expired is refused like the false.
	other, _ := h.dialectToken(h.client("su")[gatehouse.Live])
	h.clock.advance(2 * time.Hour)
	var v2 dialect.Values
	v2.SetSecret(dialect.AccessToken, secret.New(other))
	if a, _, err := h.call("su", dialect.Validate, v2); err == nil || a.status != 401 {
		t.Errorf("expired: %d %s", a.status, a.body)
	}
	h.clock.advance(25 * time.Hour)
	if a, _, _ := ask(tok); a.status != 401 {
		t.Errorf("a day later: %d %s", a.status, a.body)
	}
}

func TestConnection(t *testing.T) {
	h := newHouse(t)
	both := h.client("dapi")
	c := both[gatehouse.Live]
	v := h.connect(c)
	exchange := func(v dialect.Values) (*answer, dialect.Values, error) { return h.call("dapi", dialect.Exchange, v) }

	otherConnection := v.Clone()
	otherConnection.SetText(dialect.ConnectionID, h.connect(c).Text(dialect.ConnectionID))
	otherSecret := v.Clone()
	otherSecret.SetSecret(dialect.ClientSecret, secret.New(both[gatehouse.Sandbox].secret))
	otherClient := v.Clone()
	otherClient.SetSecret(dialect.ClientSecret, secret.New(h.client("dapi")[gatehouse.Live].secret))
	tokenAsCode := v.Clone()
	tokenAsCode.SetSecret(dialect.AccessCode, v.Secret(dialect.UserSecret))
	cut := v.Clone()
	cut.SetSecret(dialect.AccessCode, secret.New(v.Secret(dialect.AccessCode).Reveal()[1:]))
	for what, wrong := range map[string]dialect.Values{
		"wrong connection": otherConnection, "secret of the other environment": otherSecret, "another client's secret": otherClient,
		"user secret as code": tokenAsCode, "cut code": cut,
	} {
		if a, _, err := exchange(wrong); err == nil || a.status != 401 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	// The code survives all of that, once.
	a, read, err := exchange(v)
	if err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	tok := read.Secret(dialect.AccessToken)
	if a, _, err := exchange(v); err == nil {
		t.Errorf("the code was exchanged twice: %s", a.body)
	}
	if g := h.verify(tok.Reveal(), "environment=live"); g.status != 200 || g.header.Get("Gatehouse-Expires-At") != "-" || g.header.Get("Gatehouse-Subject") != "user-1" {
		t.Errorf("%d %v", g.status, g.header)
	}

	end := v.Clone()
	end.SetSecret(dialect.AccessToken, tok)
	wrongUser := end.Clone()
	wrongUser.SetSecret(dialect.UserSecret, secret.New("wrong"))
	if a, _, err := h.call("dapi", dialect.Delink, wrongUser); err == nil {
		t.Errorf("delinked with a wrong user secret: %s", a.body)
	}
	// Paths of this dialect have any case.
	r := sample(t, builtin(t, "dapi").Operation(dialect.Delink))
	r.URL.Path = strings.ToUpper(r.URL.Path)
	isDialects(t, "path in upper case", builtin(t, "dapi").Operation(dialect.Delink), h.do(r))
	if a, _, err := h.call("dapi", dialect.Delink, end); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if g := h.verify(tok.Reveal(), "environment=live"); g.status != 401 {
		t.Errorf("a delinked user's token gets %d", g.status)
	}
}

// Every token × environment × endpoint: nothing crosses.
func TestEnvironmentsNeverCross(t *testing.T) {
	h := newHouse(t)
	other := map[gatehouse.Environment]gatehouse.Environment{gatehouse.Live: gatehouse.Sandbox, gatehouse.Sandbox: gatehouse.Live}
	for _, name := range append(dialect.BuiltinNames(), gatehouse.OAuth2) {
		both := h.client(name)
		for env, c := range both {
			var tok string
			if name == gatehouse.OAuth2 {
				tok, _ = h.standardToken(c)
			} else {
				tok, _ = h.dialectToken(c)
			}
			if g := h.verify(tok, "environment="+string(env)); g.status != 200 {
				t.Fatalf("%s: own environment %d", name, g.status)
			}
			for what, g := range map[string]*answer{
				"other environment": h.verify(tok, "environment="+string(other[env])),
				"no environment":    h.verify(tok, ""),
				"prefix swapped":    h.verify(strings.Replace(tok, string(env)+"_", string(other[env])+"_", 1)+swapMark(tok, env), "environment="+string(other[env])),
			} {
				if g.status != 401 && g.status != 403 {
					t.Errorf("%s %s: %s passes with %d", name, env, what, g.status)
				}
			}
			// A dialect's validate knows its own tokens only.
			for _, validator := range dialect.BuiltinNames() {
				if builtin(t, validator).Operation(dialect.Validate) == nil || validator == name {
					continue
				}
				var v dialect.Values
				v.SetSecret(dialect.AccessToken, secret.New(tok))
				if a, _, err := h.call(validator, dialect.Validate, v); err == nil {
					t.Errorf("%s takes a token of %s for its own: %s", validator, name, a.body)
				}
			}
		}
	}
}

// swapMark makes a token without an environment's prefix a wrong one, so that
// swapping the prefix always changes something.
func swapMark(tok string, env gatehouse.Environment) string {
	if strings.Contains(tok, string(env)+"_") {
		return ""
	}
	return "x"
}

func TestPathsAreTakenAsTheyStand(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{
		"/", "/oauth2", "/oauth2/token/", "//oauth2/token", "/oauth2//token", "/oauth2/./token", "/x/../oauth2/token", "/OAUTH2/TOKEN",
		"/%6fauth2/token", "/oauth2%2ftoken", "/gate/%76erify?environment=live", "/gate/verify/", "/gate/../gate/verify", "/gate/verify%00",
		"/TOKEN", "/token/", "/%74oken", "/.well-known/jwks.json/", "/oauth2/authorize", "/oauth2/par", "/admin/v1/clients", "/healthz", "/metrics",
	} {
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, "/", nil)
			var err error
			if r.URL, err = url.ParseRequestURI(path); err != nil {
				t.Fatal(err)
			}
			a := h.do(r)
			a.is(method+" "+path, 404, "not_found")
			if a.header.Get("Location") != "" {
				t.Errorf("%s redirects", path)
			}
		}
	}
}

func TestSetDialects(t *testing.T) {
	h := newHouse(t)
	papaya := builtin(t, "papaya")
	if err := h.SetDialects([]*dialect.Dialect{papaya}); err != nil {
		t.Fatal(err)
	}
	h.do(sample(t, builtin(t, "quidkey").Operation(dialect.Issue))).is("a dialect that was taken away", 404, "not_found")

	source := strings.Replace(string(papaya.Source), "dialect: papaya", "dialect: mango", 1)
	mango, err := dialect.Load("mango.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.SetDialects([]*dialect.Dialect{builtin(t, "su"), papaya, mango}); err == nil || !strings.Contains(err.Error(), "mango") || !strings.Contains(err.Error(), "papaya") {
		t.Errorf("two dialects on one route: %v", err)
	}
	// The old set is still there, and nothing of the new one.
	if a := h.do(sample(t, papaya.Operation(dialect.Issue))); a.status != 401 {
		t.Errorf("%d %s", a.status, a.body)
	}
	h.do(sample(t, builtin(t, "su").Operation(dialect.Issue))).is("half a set", 404, "not_found")

	named, err := dialect.Load("x.yaml", []byte(strings.Replace(strings.Replace(string(papaya.Source), "dialect: papaya", "dialect: oauth2", 1), "POST: /token", "POST: /elsewhere", 1)))
	if err == nil {
		err = h.SetDialects([]*dialect.Dialect{named})
	}
	if err == nil {
		t.Error("a dialect took the name oauth2")
	}
}

// Nothing that proves anything is ever in the log, not even at debug.
func TestLogHoldsNoCredential(t *testing.T) {
	h := newHouse(t)
	var canaries []string
	for _, name := range dialect.BuiltinNames() {
		c := h.client(name)[gatehouse.Live]
		tok, refresh := h.dialectToken(c)
		canaries = append(canaries, c.secret, tok, refresh)
		h.verify(tok+"x", "environment=live&access_token="+tok)
		wrong := c
		wrong.secret += "wrong"
		if builtin(t, name).Operation(dialect.Issue) != nil {
			_, _, _ = h.call(name, dialect.Issue, wrong.values())
		}
	}
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	tok, refresh := h.standardToken(c)
	canaries = append(canaries, c.secret, tok, refresh)
	h.do(c.as(post("/oauth2/introspect", form("token", tok+"x"))))
	h.do(httptest.NewRequest("POST", "/oauth2/token?client_secret="+c.secret, nil))
	h.do(httptest.NewRequest("GET", "/nowhere/"+tok+"?token="+tok, nil))
	h.do(post("/oauth2/token", form("grant_type", c.secret)))
	log := h.log.String()
	if !strings.Contains(log, `"route":"papaya.issue"`) || !strings.Contains(log, `"route":"unknown"`) {
		t.Error("the log lacks the requests")
	}
	for _, canary := range canaries {
		if canary != "" && strings.Contains(log, canary) {
			t.Errorf("the log holds %.12s…", canary)
		}
	}
}

func TestTrustedProxyOverHTTP(t *testing.T) {
	h := newHouse(t, func(_ *gatehouse.Config, c *httpd.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	send := func(peer string, header ...string) *answer {
		r := c.as(post("/oauth2/token", form("grant_type", "client_credentials")))
		r.RemoteAddr = peer
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return h.do(r)
	}
	send("203.0.113.7:1").is("plain HTTP", 400, "invalid_request")
	send("203.0.113.7:1", "X-Forwarded-Proto", "https").is("an untrusted peer", 400, "invalid_request")
	if a := send("10.1.1.1:1", "X-Forwarded-Proto", "https", "X-Forwarded-For", "198.51.100.77"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if !strings.Contains(h.log.String(), `"addr":"198.51.100.77"`) {
		t.Error("the log doesn't name the caller's address")
	}
	// At the gate too, with one of its own statuses.
	r := httptest.NewRequest("GET", "/gate/verify?environment=live", nil)
	r.RemoteAddr = "203.0.113.7:1"
	if a := h.do(r); a.status != 403 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
