package gate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
)

// prover knows one pair of secrets.
type prover struct {
	*validator
	asked int
}

func (p *prover) ProveCall(_ context.Context, _ gatehouse.Actor, c *gatehouse.Claims, shown gatehouse.CallProof) error {
	p.asked++
	switch {
	case c.Dialect != "dapi" || shown.Token.Reveal() != "linked":
		return gatehouse.Refuse(gatehouse.ServerError, gatehouse.ReasonInternal, "another call")
	case shown.ClientSecret.Reveal() == "busy":
		return gatehouse.Refuse(gatehouse.Unavailable, gatehouse.ReasonStore, "")
	case shown.ClientSecret.Reveal() != "app" || shown.UserSecret.Reveal() != "user":
		return gatehouse.Refuse(gatehouse.InvalidClient, gatehouse.ReasonWrongSecret, "")
	}
	return nil
}

func newProver() *prover {
	p := &prover{validator: newValidator()}
	p.answers["linked"] = &gatehouse.Claims{Token: tokenID, ClientID: "acme", Environment: gatehouse.Live, Dialect: "dapi", User: "anna"}
	p.answers["plain"] = &gatehouse.Claims{Token: tokenID, ClientID: "acme", Environment: gatehouse.Live, Dialect: "quidkey"}
	return p
}

func builtins(t testing.TB) (all []*dialect.Dialect) {
	t.Helper()
	for _, name := range dialect.BuiltinNames() {
		d, err := dialect.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

const rightBody = `{"appSecret":"app","userSecret":"user","amount":12.50,"note":"two\nlines"}`

// squeezed is s under gzip.
func squeezed(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

// Whatever is wrong with a call's body, it reaches nothing, and is answered as
// the dialect of its token has it.
var badBodies = []struct {
	what, body, header string
	status             int
	sign               string
}{
	{"wrong user secret", `{"appSecret":"app","userSecret":"other"}`, "", 401, "INVALID_CREDENTIALS"},
	{"wrong app secret", `{"appSecret":"other","userSecret":"user"}`, "", 401, "INVALID_CREDENTIALS"},
	{"one missing", `{"appSecret":"app"}`, "", 422, "PARAMETER_MISSING"},
	{"null", `{"appSecret":"app","userSecret":null}`, "", 422, "PARAMETER_MISSING"},
	{"empty", `{"appSecret":"app","userSecret":""}`, "", 422, "PARAMETER_MISSING"},
	{"no body", ``, "", 422, "PARAMETER_MISSING"},
	{"twice", `{"appSecret":"app","userSecret":"other","userSecret":"user"}`, "", 400, "PARAMETER_ERROR"},
	{"twice, one of them escaped", `{"appSecret":"app","userSecret":"other","user\u0053ecret":"user"}`, "", 400, "PARAMETER_ERROR"},
	{"twice below", `{"appSecret":"app","userSecret":"user","x":{"a":1,"a":2}}`, "", 400, "PARAMETER_ERROR"},
	{"in other letters", `{"appSecret":"app","userSecret":"user","USERSECRET":"other"}`, "", 400, "PARAMETER_ERROR"},
	{"in letters that fold", `{"appSecret":"app","userSecret":"user","u` + "\u017f" + `erSecret":"other"}`, "", 400, "PARAMETER_ERROR"},
	{"no object", `["app","user"]`, "", 400, "PARAMETER_ERROR"},
	{"a list", `{"appSecret":"app","userSecret":["user"]}`, "", 400, "PARAMETER_ERROR"},
	{"trailing", rightBody + rightBody, "", 400, "PARAMETER_ERROR"},
	{"cut", rightBody[:len(rightBody)-1], "", 400, "PARAMETER_ERROR"},
	{"deep", `{"appSecret":"app","userSecret":"user","x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, "", 400, "PARAMETER_ERROR"},
	{"no UTF-8", "{\"appSecret\":\"app\",\"userSecret\":\"user\",\"x\":\"\xff\"}", "", 400, "PARAMETER_ERROR"},
	{"gzip", squeezed(rightBody), "Content-Encoding: gzip", 415, "failed"},
	{"identity and gzip", rightBody, "Content-Encoding: identity, gzip", 415, "failed"},
	{"a form", "appSecret=app&userSecret=user", "Content-Type: application/x-www-form-urlencoded", 415, "failed"},
	{"huge", `{"appSecret":"app","userSecret":"user","x":"` + strings.Repeat("x", gate.DefaultBodyLimit) + `"}`, "", 413, "failed"},
	{"unknowable", `{"appSecret":"busy","userSecret":"user"}`, "", 503, "UNAVAILABLE"},
}

func TestMiddlewareLooksIntoBodies(t *testing.T) {
	p := newProver()
	var reached string
	guarded := gate.Middleware(p, gate.Options{Want: live, Calls: gate.NewCalls(p, builtins(t), 0)})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength != int64(len(b)) {
			t.Errorf("the handler reads %d bytes of %d: %v", len(b), r.ContentLength, err)
		}
		reached = r.Method + " " + string(b)
	}))
	call := func(tok, body, header string) *httptest.ResponseRecorder {
		reached = ""
		r := httptest.NewRequest("POST", "/data", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+tok)
		r.Header.Set("Content-Type", "application/json")
		if name, value, ok := strings.Cut(header, ": "); ok {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		return w
	}
	for _, c := range badBodies {
		if w := call("linked", c.body, c.header); w.Code != c.status || !strings.Contains(w.Body.String(), c.sign) || reached != "" {
			t.Errorf("%s: %d %s, and %q was reached", c.what, w.Code, w.Body, reached)
		}
	}
	if w := call("linked", rightBody, ""); w.Code != 200 || reached != "POST "+rightBody {
		t.Errorf("%d %s %q", w.Code, w.Body, reached)
	}
	// A token of another dialect asks for nothing, whatever the body is.
	asked := p.asked
	if w := call("plain", "\x00 no JSON", "Content-Encoding: gzip"); w.Code != 200 || reached != "POST \x00 no JSON" || p.asked != asked {
		t.Errorf("%d %q", w.Code, reached)
	}
	// A token that doesn't stand is no reason to look into anything.
	if w := call("unheard-of", rightBody, ""); w.Code != 401 || p.asked != asked {
		t.Errorf("%d", w.Code)
	}
}

// A front that sees no body lets no call pass whose body matters.
func TestAdmitSeesNoBody(t *testing.T) {
	p := newProver()
	o := gate.Options{Want: live, Calls: gate.NewCalls(p, builtins(t), 0)}
	if _, refusal := o.Admit(t.Context(), p, "POST", "/x", http.Header{"Authorization": {"Bearer linked"}}); refusal == nil || refusal.Code != gatehouse.AccessDenied {
		t.Errorf("%v", refusal)
	}
	if _, refusal := o.Admit(t.Context(), p, "POST", "/x", http.Header{"Authorization": {"Bearer plain"}}); refusal != nil {
		t.Errorf("%v", refusal)
	}
}

func TestJudgeLooksIntoBodies(t *testing.T) {
	p := newProver()
	verify := gate.NewVerify(p, func(string) *dialect.Dialect { return nil }, time.Now)
	verify.HoldCalls(gate.NewCalls(p, builtins(t), 0))
	ask := func(body, header string, whole bool) *gate.Answer {
		a := gate.Ask{
			Method: "POST", URI: "/data?x=y", Body: []byte(body), Whole: whole, Require: map[string]string{"environment": "live"},
			Header: http.Header{"Authorization": {"Bearer linked"}, "Content-Type": {"application/json"}},
		}
		if name, value, ok := strings.Cut(header, ": "); ok {
			a.Header.Set(name, value)
		}
		return verify.Judge(t.Context(), a)
	}
	for _, c := range badBodies {
		if a := ask(c.body, c.header, true); a.Status != c.status || a.Claims != nil || !strings.Contains(string(a.Body), c.sign) {
			t.Errorf("%s: %d %s", c.what, a.Status, a.Body)
		}
	}
	if a := ask(rightBody, "", true); a.Status != 200 || a.Claims == nil {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := ask(rightBody, "", false); a.Status != 413 || a.Claims != nil {
		t.Errorf("a part of a body: %d %s", a.Status, a.Body)
	}
}

func FuzzCalls(f *testing.F) {
	for _, c := range badBodies {
		if len(c.body) < 1000 {
			f.Add([]byte(c.body))
		}
	}
	f.Add([]byte(rightBody))
	p := newProver()
	guarded := gate.Middleware(p, gate.Options{Want: live, Calls: gate.NewCalls(p, builtins(f), 4096)})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, _ := io.ReadAll(r.Body); !bytes.Contains(b, []byte("ecret")) && !bytes.Contains(b, []byte(`\u`)) {
			f.Errorf("%q has passed", b)
		}
	}))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/data", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer linked")
		guarded.ServeHTTP(httptest.NewRecorder(), r)
	})
}
