package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func TestCredentialIsRevealedByJSONOnly(t *testing.T) {
	c := Credential{secret.New("hush")}
	b, err := json.Marshal(NewSecret{ClientSecret: c})
	if err != nil || !strings.Contains(string(b), `"client_secret":"hush"`) {
		t.Errorf("%s, %v", b, err)
	}
	var back NewSecret
	if err := json.Unmarshal(b, &back); err != nil || !back.ClientSecret.Equal(c.Text) {
		t.Errorf("read back %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if s := fmt.Sprintf(verb, NewSecret{ClientSecret: c}); strings.Contains(s, "hush") || strings.Contains(s, "68757368") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
	if b, err := json.Marshal(NewSecret{}); err != nil || strings.Contains(string(b), "client_secret") {
		t.Errorf("none is written as %s, %v", b, err)
	}
}

// A member that tells "none" must be there: scripts read it.
func TestTokenItem(t *testing.T) {
	b, err := json.Marshal(Token{IssuedAt: time.Unix(0, 0).UTC()})
	want := `{"token_id":"","client_id":"","environment":"","dialect":"","name":"","issued_at":"1970-01-01T00:00:00Z","expires_at":null,"revoked_at":null,"status":"","kind":""}`
	if err != nil || string(b) != want {
		t.Errorf("got  %s (%v)\nwant %s", b, err, want)
	}
}

// A change to "" or to nothing differs from no change.
func TestClientChangeKeepsEmptyValues(t *testing.T) {
	empty, none := "", []string{}
	b, err := json.Marshal(ClientChange{Domain: &empty, LimitRate: &empty, Scopes: &none, Fields: map[string]*string{"owner.email": nil}})
	want := `{"domain":"","scopes":[],"fields":{"owner.email":null},"limit_rate":""}`
	if err != nil || string(b) != want {
		t.Errorf("got  %s (%v)\nwant %s", b, err, want)
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]gatehouse.Rate{
		"":       {},
		"60/m":   {Count: 60, Per: time.Minute},
		"5/s":    {Count: 5, Per: time.Second},
		"1/h":    {Count: 1, Per: time.Hour},
		"9/d":    {Count: 9, Per: 24 * time.Hour},
		"10/10s": {Count: 10, Per: 10 * time.Second},
	} {
		got, err := ParseRate(text)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
		if back := formatRate(got); back != text {
			t.Errorf("%q is written as %q", text, back)
		}
	}
	for _, text := range []string{"60", "/m", "0/m", "-1/m", "1.5/m", "60/", "60/x", "60/0s", "60/-5s", "99999999999999999999/m", "1/m/m"} {
		if r, err := ParseRate(text); err == nil {
			t.Errorf("%q is %+v", text, r)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"", "60/m", "10/10s", "1/1h30m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			return
		}
		if !r.IsZero() && (r.Count < 1 || r.Per <= 0) {
			t.Fatalf("%q is %+v", s, r)
		}
		back, err := ParseRate(formatRate(r))
		if err != nil || back != r {
			t.Fatalf("%q is %+v, and read back %+v, %v", s, r, back, err)
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	digest := func(route, body string) [32]byte {
		return (&Idempotent{Key: "k", RawBody: []byte(body)}).key(route).Request
	}
	if digest("a", `{"x":1,"y":[2]}`) != digest("a", "{ \"y\": [2],\n\"x\": 1.0 }") {
		t.Error("the same request in another spelling has another digest")
	}
	if digest("a", `{"x":1}`) == digest("a", `{"x":2}`) || digest("a", `{}`) == digest("b", `{}`) {
		t.Error("another request has the same digest")
	}
	if (&Idempotent{}).key("a") != nil {
		t.Error("no header is a key")
	}
}

// What the engine refuses keeps its code, field and reason; what it did not
// expect tells nothing.
func TestProblemOf(t *testing.T) {
	e := gatehouse.Refuse(gatehouse.Conflict, gatehouse.ReasonReusedKey, "another request had this key")
	if p := problemOf(e); p.Status != http.StatusUnprocessableEntity || p.Code != "conflict" || p.Reason != "idempotency_key_reused" {
		t.Errorf("%+v", p)
	}
	p := problemOf(fmt.Errorf("reading /etc/shadow: hush"))
	if b, _ := json.Marshal(p); p.Status != 500 || strings.Contains(string(b), "hush") {
		t.Errorf("%s", b)
	}
	for _, code := range gatehouse.Codes {
		if p := problemOf(gatehouse.Refuse(code, gatehouse.ReasonMalformed, "")); p.Status < 400 || p.Status > 599 || p.Title == "" {
			t.Errorf("%s is %+v", code, p)
		}
	}
}

// The document describes each call of the Caller, and each create can be
// repeated.
func TestOpenAPI(t *testing.T) {
	w := httptest.NewRecorder()
	New(Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/admin/v1/openapi.json", nil))
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			ID         string `json:"operationId"`
			Summary    string `json:"summary"`
			Parameters []struct{ Name, In string }
			Responses  map[string]any
		} `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("%v: %.200s", err, w.Body)
	}
	ids := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			if ids[op.ID] || op.Summary == "" || !strings.HasPrefix(path, "/admin/v1/") {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			ids[op.ID] = true
			repeatable := false
			for _, p := range op.Parameters {
				repeatable = repeatable || p.Name == "Idempotency-Key" && p.In == "header"
			}
			if _, creates := op.Responses["201"]; creates != repeatable {
				t.Errorf("%s %s: creates is %t, Idempotency-Key is %t", method, path, creates, repeatable)
			}
		}
	}
	if calls := reflect.TypeFor[*Caller]().NumMethod(); len(ids) < calls {
		t.Errorf("%d operations for %d calls", len(ids), calls)
	}
}

func TestDialURLKeepsTheTokenPrivate(t *testing.T) {
	tok := secret.New(testToken)
	for _, base := range []string{"http://127.0.0.1:8081", "http://localhost:8081/", "http://[::1]:8081", "https://gatehouse.example", "unix:/run/gatehouse/admin.sock"} {
		if _, err := DialURL(base, tok); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	for _, base := range []string{"http://gatehouse.example:8081", "http://127.0.0.1.example", "http://user:pass@127.0.0.1", "ftp://127.0.0.1", "127.0.0.1:8081", "", "https://"} {
		if _, err := DialURL(base, tok); err == nil {
			t.Errorf("%q is accepted", base)
		}
	}
	// It does not follow a redirect, which could lead anywhere.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the request went elsewhere, with %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	here := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer here.Close()
	c, err := DialURL(here.URL, tok)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Clients(t.Context(), Page{}); err == nil {
		t.Error("a redirect is an answer")
	}
}
