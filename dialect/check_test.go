package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Mistakes that only show where parts of the file meet. Each row replaces
// pieces of the wide dialect.
func TestPartsThatDontFit(t *testing.T) {
	for _, tc := range []struct {
		name, message, hint string
		replace             []string
	}{
		{"permanent JWT", "can't be a JWT", "opaque", []string{"opaque: {}\n  life: {default: 1h, longest: 2h}",
			"jwt: {algorithm: EdDSA, claims: {jti: \"{token_id}\", sub: \"{client_id}\", iat: \"{issued_at|unix}\", exp: \"{expires_at|unix}\"}}\n  life: permanent"}},
		{"permanent with an end", "no end to write", "leave it out", []string{"life: {default: 1h, longest: 2h}", "life: permanent"}},
		{"prefix of a JWT", "can't have a prefix", "opaque", []string{"opaque: {}",
			"prefix: {live: l_}\n  jwt: {algorithm: EdDSA, claims: {jti: \"{token_id}\", sub: \"{client_id}\", iat: \"{issued_at|unix}\", exp: \"{expires_at|unix}\"}}"}},
		{"one prefix for both", "same prefix", "each its own", []string{"opaque: {}", "opaque: {}\n  prefix: {live: p_, sandbox: p_}"}},
		{"prefix of another kind", "not a token prefix", "letters", []string{"opaque: {}", "opaque: {}\n  prefix: {live: \"p \"}"}},
		{"assumed and more", "nothing beside it", "leave default", []string{"{default: 1h, longest: 2h}", "{default: 1h, assumed: 2h}"}},
		{"refresh that ends first", "ends before", "longer", []string{"life: 24h", "life: 30m"}},
		{"refresh said to be none", "says none", "rotate", []string{"refresh: {mode: rotate, life: 24h}", "refresh: none"}},
		{"rotation that loses the token", "must come back", "reuse", []string{`, refresh: "{refresh_token}"}
  validate`, "}\n  validate"}},
		{"refresh in words", `"always"`, "none", []string{"refresh: {mode: rotate, life: 24h}", "refresh: always"}},
		{"exchange without a code's life", "how long an access code lives", "code_life", []string{"  validate:", `  exchange:
    request: {POST: /w/exchange, body: {code: "{access_code}"}}
    response: {body: {token: "{access_token}", ttl: "{life|seconds}"}}
  validate:`}},
		{"connect with a request", "connect has no request", "leave", []string{"  validate:", "  connect: {request: {POST: /w/c}, response: {body: {c: \"{access_code}\"}}}\n  validate:"}},
		{"connect without a code", "no {access_code}", "access_code", []string{"  validate:", "  connect: {response: {body: {c: \"{user_id}\"}}}\n  validate:"}},
		{"use with an answer", "use has no response", "leave", []string{"  validate:", "  use: {request: {headers: {A: \"{access_token}\"}}, response: {body: {a: 1}}}\n  validate:"}},
		{"use with a path", "no path", "leave", []string{"  validate:", "  use: {request: {POST: /w/u, headers: {A: \"{access_token}\"}}}\n  validate:"}},
		{"no request", "no request", "POST", []string{"    request: {GET: /w/check, headers: {Authorization: \"Bearer {access_token}\"}}\n", ""}},
		{"no answer", "no response", "body", []string{"    response: {body: {ok: true}}\n  revoke", "  revoke"}},
		{"no path", "no method and path", "POST", []string{"{GET: /w/check, headers", "{headers"}},
		{"validate what", "no {access_token}", "access_token", []string{`{Authorization: "Bearer {access_token}"}`, `{A: x}`}},
		{"delink whom", "whose connection", "client_id", []string{"  validate:", "  delink: {request: {POST: /w/d, body: {u: \"{user_id}\"}}, response: {body: {ok: true}}}\n  validate:"}},
		{"marker in a request", "only stand in an error", "write", []string{`scope: "{scope|list?}"`, `scope: {"{errors}": [{a: "{scope}"}]}`}},
		{"marker on two elements", "exactly one element", "invalid.field", []string{`[{name: "{invalid.field}", why: "{invalid.message}"}]`, `[{name: "{invalid.field}"}, {why: "{invalid.message}"}]`}},
		{"list that doesn't say which field", "which field", "invalid.field", []string{`name: "{invalid.field}", `, ""}},
		{"element that isn't a mapping", "must be a mapping", "", []string{`[{name: "{invalid.field}", why: "{invalid.message}"}]`, `["{invalid.field}"]`}},
		{"Basic without a colon", "user and password", "client_id", []string{`basic: "{client_id}:{client_secret}"`, `basic: "{client_id}"`}},
		{"Basic without a password", "user and password", "client_secret", []string{`basic: "{client_id}:{client_secret}"`, `basic: {user: "{client_id}"}`}},
		{"JSON and form", "a JSON body and a form", "keep one", []string{`query: {trace`, "form: {x: y}\n      query: {trace"}},
		{"body that isn't an object", "must be an object", "mapping", []string{`{POST: /w/revoke, form: {token: "{access_token}", id: "{client_id|base64}"}}`, `{POST: /w/revoke, body: "{access_token}"}`}},
		{"optional segment", "can't be absent", "leave out", []string{"/w/{environment}/token", "/w/{environment?}/token"}},
		{"two dialects of one answer", "can't be told from the error", "another status", []string{"validate:\n    request: {GET: /w/check, headers: {Authorization: \"Bearer {access_token}\"}}\n    response: {body: {ok: true}}",
			"validate:\n    request: {GET: /w/check, headers: {Authorization: \"Bearer {access_token}\"}}\n    response: {body: {ok: \"{m=true}\"}}", "default: {status: 500", "default: {status: 200"}},
		{"field of nobody", "not a field of a client", "owner.NAME", []string{"token:\n  opaque", "rules: {fields: {client_id: {default: x}}}\ntoken:\n  opaque"}},
		{"default that can't be read", "can't be read back", "reads", []string{"{extra.trace?}", "{life|seconds=soon}"}},
		{"default of an array", "no default", "leave", []string{"{scope|list?}", "{scope|list=a}"}},
		{"default in a string", "part of a string", "", []string{"{extra.trace?}", "a{token_type=b}"}},
		{"array in a string", "part of a string", "", []string{`"{scope|list?}"`, `"a{scope|list}"`}},
		{"brace alone", "} without its {", "}}", []string{"{extra.trace?}", "a}"}},
		{"field name", "no hole", "", []string{"{extra.trace?}", "{extra.a/b?}"}},
		{"key in a list", "no hole", "", []string{"{extra.trace?}", "{extra.?}"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := strings.NewReplacer(tc.replace...).Replace(wide)
			if file == wide {
				t.Fatal("nothing is replaced")
			}
			_, err := Load("bad.yaml", []byte(file))
			var first *Error
			if !errors.As(err, &first) {
				t.Fatalf("%v", err)
			}
			if !strings.Contains(first.Message, tc.message) || !strings.Contains(first.Hint, tc.hint) || first.Line < 2 {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestLives(t *testing.T) {
	for text, want := range map[string]TokenPolicy{
		"{default: 1h, longest: 2h}": {Life: time.Hour, Longest: 2 * time.Hour},
		"{default: 90m}":             {Life: 90 * time.Minute, Longest: 90 * time.Minute},
		"7d":                         {Life: 168 * time.Hour, Longest: 168 * time.Hour},
		"assumed":                    {Life: time.Hour, Longest: time.Hour, Assumed: true},
		"{assumed: 2h}":              {Life: 2 * time.Hour, Longest: 2 * time.Hour, Assumed: true},
	} {
		d := load(t, "{default: 1h, longest: 2h}", text)
		got := d.Token
		if got.Life != want.Life || got.Longest != want.Longest || got.Assumed != want.Assumed || got.Permanent {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for _, text := range []string{"0s", "-1h", "1500ms", "1h30", "0d", "99999999d", "1.5d", "forever", "3600"} {
		if _, err := Load("x.yaml", []byte(strings.Replace(good, "{default: 1h, longest: 2h}", text, 1))); err == nil {
			t.Errorf("life %s loads", text)
		}
	}
}

func TestRules(t *testing.T) {
	d := load(t, "token:\n", `rules:
  client_ids: per-environment
  client_id: domain
  path_case: any
  limits: {issue: 60/m, refresh: 1000/s}
  fields: {owner.email: {default: nobody@mail.example, about: who owns it}}
hosts: {sandbox: "https://sandbox.example", live: "https://live.example/base"}
token:
`)
	r := d.Rules
	if r.ClientIDs != PerEnvironmentIDs || r.ClientIDForm != DomainID || !r.IgnorePathCase || !d.PathCaseInsensitive() ||
		r.Limits[Issue] != (Limit{60, time.Minute}) || r.Limits[Refresh] != (Limit{1000, time.Second}) ||
		r.Fields["owner.email"].Default != "nobody@mail.example" || d.Hosts["live"] != "https://live.example/base" {
		t.Errorf("%+v %v", r, d.Hosts)
	}
	for _, place := range []string{"wire:\n  path_case: any", "path_case: any\nwire:"} {
		if !load(t, "wire:", place).PathCaseInsensitive() {
			t.Errorf("%q counts for nothing", place)
		}
	}
}

// A symbolic link is followed, as deployments mount files through them, but
// only to a regular file.
func TestLoadFileThroughLinks(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file.yaml")
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		target string
		loads  bool
	}{"file": {file, true}, "device": {"/dev/zero", false}, "loop": {filepath.Join(dir, "loop"), false}, "directory": {dir, false}, "nothing": {"/nowhere", false}} {
		link := filepath.Join(dir, name)
		if err := os.Symlink(tc.target, link); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadFile(link); (err == nil) != tc.loads {
			t.Errorf("link to a %s: %v", name, err)
		}
	}
}

func TestRoutes(t *testing.T) {
	d := wideDialect(t)
	var got []string
	for _, r := range d.Routes() {
		got = append(got, r.Method+" "+r.Path+" "+r.Key)
	}
	want := "[POST /w/{environment}/token POST /w/{}/token GET /w/check GET /w/check POST /w/revoke POST /w/revoke]"
	if fmt.Sprint(got) != want {
		t.Errorf("%v", got)
	}
	if !d.Handles("/w/live/token") || d.Handles("/w/live") || fmt.Sprint(d.Methods("/w/check")) != "[GET]" {
		t.Error("Handles or Methods is wrong")
	}
}

// The description of operations that share a route offers both bodies.
func TestOpenAPIOfASharedRoute(t *testing.T) {
	d := wideDialect(t)
	data, err := d.OpenAPI("https://tokens.example")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "wide/openapi.json", append(data, '\n'))
	for _, part := range []string{`"issue-refresh"`, `"anyOf"`, `"/w/{environment}/token"`, `"application/x-www-form-urlencoded"`} {
		if !strings.Contains(string(data), part) {
			t.Errorf("no %s", part)
		}
	}
}

// A request that asks for a second factor must not pass as one that doesn't.
func TestRequestListsAreExact(t *testing.T) {
	d, err := LoadFile("../examples/dialects/keystone.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(methods string) error {
		_, _, err := d.ReadRequest(post("/v3/auth/tokens", `{"auth":{"identity":{"methods":`+methods+`,"application_credential":{"id":"i","secret":"s"}}}}`))
		return err
	}
	if err := ask(`["application_credential"]`); err != nil {
		t.Error(err)
	}
	for methods, want := range map[string]Code{
		`["application_credential","totp"]`: InvalidRequest, `["password"]`: InvalidRequest, `[]`: MissingParameter,
		`"application_credential"`: InvalidRequest, `{"0":"application_credential"}`: InvalidRequest, `[["application_credential"]]`: InvalidRequest,
	} {
		wantCode(t, ask(methods), want)
	}
	two := &Request{Method: "GET", Path: "/v3/auth/tokens", Header: http.Header{"X-Auth-Token": {"a"}, "X-Subject-Token": {"b"}}}
	_, _, err = d.ReadRequest(two)
	wantCode(t, err, InvalidRequest)
}

func TestRetryAfter(t *testing.T) {
	d := load(t)
	for _, tc := range []struct {
		value, date string
		want        time.Duration
	}{
		{"7", "", 7 * time.Second},
		{"-7", "", 0},
		{"7.5", "", 0},
		{"99999999999", "", 0},
		{"Wed, 02 Jan 2030 15:05:05 GMT", "Wed, 02 Jan 2030 15:04:05 GMT", time.Minute},
		{"Wed, 02 Jan 2030 15:03:05 GMT", "Wed, 02 Jan 2030 15:04:05 GMT", 0},
		{"Wed, 02 Jan 2030 15:05:05 GMT", "", 0},
	} {
		refusal, _ := d.ReadError(&Response{Status: 429, Header: http.Header{"Retry-After": {tc.value}, "Date": {tc.date}}})
		if refusal.RetryAfter != tc.want || refusal.Code != RateLimited {
			t.Errorf("%q at %q: %+v", tc.value, tc.date, refusal)
		}
	}
}
