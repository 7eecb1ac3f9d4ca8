package gate_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// validator stands in for the engine: it knows some tokens by heart, and
// whatever is asked of it.
type validator struct {
	answers map[string]any // token → *gatehouse.Claims or error
	asked   []gatehouse.Requirement
}

func (v *validator) Validate(_ context.Context, tok secret.Text, want gatehouse.Requirement) (*gatehouse.Claims, error) {
	v.asked = append(v.asked, want)
	switch a := v.answers[tok.Reveal()].(type) {
	case *gatehouse.Claims:
		return a, nil
	case error:
		return nil, a
	}
	return nil, gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonUnknownToken, "")
}

var tokenID, _ = token.ParseID("0192d8f3-5f1c-7b2e-8000-3f3a6c1d2e4f")

func newValidator() *validator {
	return &validator{answers: map[string]any{
		"good": &gatehouse.Claims{
			Token: tokenID, ClientID: "acme", Environment: gatehouse.Live, Scope: "read write", Subject: "user-1",
			ExpiresAt: time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC),
		},
		"bare":    &gatehouse.Claims{Token: tokenID, ClientID: "acme", Environment: gatehouse.Live},
		"expired": gatehouse.Refuse(gatehouse.ExpiredToken, gatehouse.ReasonExpired, ""),
		"narrow":  gatehouse.Refuse(gatehouse.InsufficientScope, gatehouse.ReasonScope, ""),
		"down":    &gatehouse.Error{Code: gatehouse.Unavailable, RetryAfter: 1500 * time.Millisecond},
		"broken":  errors.New("no space left on /dev/secret"),
	}}
}

func verify(v gate.Validator, method, query string, authorization ...string) *http.Response {
	g := gate.NewVerify(v, func(name string) *dialect.Dialect {
		if d, err := dialect.Builtin(name); err == nil {
			return d
		}
		// Its refusals have a challenge of their own.
		if d, err := dialect.LoadFile("../examples/dialects/" + name + ".yaml"); err == nil {
			return d
		}
		return nil
	}, time.Now)
	r := httptest.NewRequest(method, "/gate/verify?"+query, nil)
	r.Header["Authorization"] = authorization
	w := httptest.NewRecorder()
	w.Header()[gate.HeaderRequestID] = []string{"id-1"}
	g.ServeHTTP(w, r)
	return w.Result()
}

func TestPasses(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "PURGE"} {
		res := verify(newValidator(), method, "environment=live", "Bearer good")
		if res.StatusCode != 200 {
			t.Fatalf("%s: %d", method, res.StatusCode)
		}
		want := map[string]string{
			"Gatehouse-Client-Id": "acme", "Gatehouse-Environment": "live", "Gatehouse-Token-Id": tokenID.String(),
			"Gatehouse-Scope": "read write", "Gatehouse-Subject": "user-1", "Gatehouse-Expires-At": "2026-11-23T06:00:00Z",
			"Gatehouse-Request-Id": "id-1", "Cache-Control": "no-store",
		}
		for name, value := range want {
			if got := res.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", method, name, got, value)
			}
		}
	}
}

// A header left out would let the one that the caller sent survive (Caddy
// GHSA-7r4p-vjf4-gxv4).
func TestEveryIdentityHeaderAlways(t *testing.T) {
	res := verify(newValidator(), "GET", "environment=live", "Bearer bare")
	for _, name := range gate.IdentityHeaders {
		if len(res.Header[name]) != 1 || res.Header.Get(name) == "" {
			t.Errorf("%s is %q", name, res.Header[name])
		}
	}
	for _, name := range []string{gate.HeaderScope, gate.HeaderSubject, gate.HeaderExpiresAt} {
		if res.Header.Get(name) != "-" {
			t.Errorf("%s is %q, want -", name, res.Header.Get(name))
		}
	}
}

func TestRefuses(t *testing.T) {
	const invalid = `Bearer realm="gatehouse", error="invalid_token", error_description="the access token is invalid"`
	for _, c := range []struct {
		name, query   string
		authorization []string
		status        int
		challenge     string
	}{
		{"no token", "environment=live", nil, 401, `Bearer realm="gatehouse"`},
		{"another scheme", "environment=live", []string{"Basic Z29vZDpnb29k"}, 401, `Bearer realm="gatehouse"`},
		{"no scheme", "environment=live", []string{"good"}, 401, `Bearer realm="gatehouse"`},
		{"token in the query", "environment=live&access_token=good", nil, 401, `Bearer realm="gatehouse"`},
		{"Bearer alone", "environment=live", []string{"Bearer"}, 401, invalid},
		{"Bearer and a space", "environment=live", []string{"Bearer "}, 401, invalid},
		{"two tokens", "environment=live", []string{"Bearer good good"}, 401, invalid},
		{"two tokens with a comma", "environment=live", []string{"Bearer good, Bearer good"}, 401, invalid},
		{"two headers", "environment=live", []string{"Bearer good", "Bearer good"}, 401, invalid},
		{"two headers of two schemes", "environment=live", []string{"Basic x", "Bearer good"}, 401, invalid},
		{"unknown", "environment=live", []string{"Bearer what"}, 401, invalid},
		{"expired", "environment=live", []string{"Bearer expired"}, 401, `Bearer realm="gatehouse", error="invalid_token", error_description="the access token has expired"`},
		{"scope", "environment=live&scope=a+b", []string{"Bearer narrow"}, 403, `Bearer realm="gatehouse", error="insufficient_scope", scope="a b"`},
		{"down", "environment=live", []string{"Bearer down"}, 503, ""},
		{"broken", "environment=live", []string{"Bearer broken"}, 503, ""},
		{"no environment", "", []string{"Bearer good"}, 403, ""},
		{"no environment but a scope", "scope=a", []string{"Bearer good"}, 403, ""},
		{"empty environment", "environment=", []string{"Bearer good"}, 403, ""},
		{"unknown environment", "environment=LIVE", []string{"Bearer good"}, 403, ""},
		{"environment twice", "environment=live&environment=live", []string{"Bearer good"}, 403, ""},
		{"environment twice, encoded", "environment=live&%65nvironment=sandbox", []string{"Bearer good"}, 403, ""},
		{"empty scope", "environment=live&scope=", []string{"Bearer good"}, 403, ""},
		{"scope twice", "environment=live&scope=a&scope=b", []string{"Bearer good"}, 403, ""},
		{"scope with a quote", "environment=live&scope=a%22b", []string{"Bearer narrow"}, 403, ""},
		{"scope with line ends", "environment=live&scope=a%0d%0ab", []string{"Bearer narrow"}, 403, ""},
		{"empty audience", "environment=live&audience=", []string{"Bearer good"}, 403, ""},
		{"empty client", "environment=live&client", []string{"Bearer good"}, 403, ""},
		{"broken escape", "environment=live&scope=%zz", []string{"Bearer good"}, 403, ""},
		{"broken escape in a name", "environment=live&%zz=1", []string{"Bearer good"}, 403, ""},
	} {
		for _, words := range []string{"", "papaya", "su", "dapi", "dogpay", "quidkey", "keystone", "oauth2", "nosuch"} {
			query := c.query
			if words != "" {
				query += "&dialect=" + words
			}
			res := verify(newValidator(), "GET", query, c.authorization...)
			if res.StatusCode != c.status {
				t.Errorf("%s in %q: %d, want %d", c.name, words, res.StatusCode, c.status)
			}
			if got := res.Header.Get("WWW-Authenticate"); got != c.challenge {
				t.Errorf("%s in %q: challenge %q, want %q", c.name, words, got, c.challenge)
			}
			if (res.Header.Get("Retry-After") != "") != (c.status == 503) {
				t.Errorf("%s in %q: Retry-After %q", c.name, words, res.Header.Get("Retry-After"))
			}
			for _, name := range gate.IdentityHeaders {
				if res.Header[name] != nil {
					t.Errorf("%s in %q: a refusal carries %s", c.name, words, name)
				}
			}
			if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s in %q: headers %v", c.name, words, res.Header)
			}
			body := readAll(t, res)
			var members map[string]any
			if err := json.Unmarshal([]byte(body), &members); err != nil || len(members) == 0 {
				t.Errorf("%s in %q: body %q: %v", c.name, words, body, err)
			}
			if strings.Contains(body, "/dev/secret") {
				t.Errorf("%s in %q: the body tells an internal error: %s", c.name, words, body)
			}
		}
	}
}

// The words are the dialect's own, whatever the status.
func TestDialectWords(t *testing.T) {
	plain := readAll(t, verify(newValidator(), "GET", "environment=live", "Bearer what"))
	seen := []string{plain}
	for _, name := range dialect.BuiltinNames() {
		body := readAll(t, verify(newValidator(), "GET", "environment=live&dialect="+name, "Bearer what"))
		if slices.Contains(seen, body) {
			t.Errorf("%s answers like another: %s", name, body)
		}
		if strings.Contains(body, "the access token is invalid") {
			t.Errorf("%s says it in our sentence: %s", name, body)
		}
		seen = append(seen, body)
	}
}

func TestAsksForWhatTheGatewayWants(t *testing.T) {
	v := newValidator()
	if res := verify(v, "GET", "environment=sandbox&scope=a+b%3Ac&audience=https%3A%2F%2Fapi.example&client=acme&other=1", "bEARER  good"); res.StatusCode != 200 {
		t.Fatal(res.StatusCode)
	}
	want := []gatehouse.Requirement{{Environment: gatehouse.Sandbox, Scopes: []string{"a", "b:c"}, Audience: "https://api.example", Client: "acme"}}
	if diff := cmp.Diff(want, v.asked); diff != "" {
		t.Error(diff)
	}
}

func TestOtherRefusalsKeepToTheStatuses(t *testing.T) {
	g := gate.NewVerify(newValidator(), func(string) *dialect.Dialect { return nil }, time.Now)
	for _, code := range gatehouse.Codes {
		w := httptest.NewRecorder()
		g.Refuse(w, httptest.NewRequest("GET", "/gate/verify?environment=live", nil), gatehouse.Refuse(code, gatehouse.ReasonInternal, ""))
		if !slices.Contains([]int{401, 403, 503}, w.Code) {
			t.Errorf("%s: %d", code, w.Code)
		}
		if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") && code != gatehouse.InsufficientScope {
			t.Errorf("%s: %d with challenge %q", code, w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
}

func readAll(t *testing.T, res *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := res.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
	return body
}

func BenchmarkVerify(b *testing.B) {
	r := httptest.NewRequest("GET", "/gate/verify?environment=live&scope=read", nil)
	r.Header.Set("Authorization", "Bearer good")
	g := gate.NewVerify(quick{newValidator().answers["good"].(*gatehouse.Claims)}, nil, time.Now)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		g.ServeHTTP(w, r)
	}
}

type quick struct{ claims *gatehouse.Claims }

func (q quick) Validate(context.Context, secret.Text, gatehouse.Requirement) (*gatehouse.Claims, error) {
	return q.claims, nil
}
