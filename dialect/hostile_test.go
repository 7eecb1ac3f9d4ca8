package dialect

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// wide is a dialect with one of everything that a request can carry, so that
// hostile requests don't depend on what one vendor happens to use.
const wide = `dialect: wide
wire:
  issue:
    request:
      POST: /w/{environment}/token
      query: {trace: "{extra.trace?}"}
      either:
      - body: {id: "{client_id}", key: "{client_secret}"}
      - basic: "{client_id}:{client_secret}"
      - headers: {X-Id: "{client_id}", X-Key: "{client_secret}"}
      body:
        grant_type: client_credentials
        ttl: "{life|seconds?}"
        name: "{token_name?}"
        scope: "{scope|list?}"
        deep: {er: {tag: "{extra.tag?}"}}
    response:
      body: {token: "{access_token}", ttl: "{life|seconds}"}
  refresh:
    request:
      POST: /w/{environment}/token
      body: {grant_type: refresh_token, id: "{client_id}", refresh: "{refresh_token}"}
    response:
      body: {token: "{access_token}", ttl: "{life|seconds}", refresh: "{refresh_token}"}
  validate:
    request: {GET: /w/check, headers: {Authorization: "Bearer {access_token}"}}
    response: {body: {ok: true}}
  revoke:
    request: {POST: /w/revoke, form: {token: "{access_token}", id: "{client_id|base64}"}}
    response: {body: {ok: true}}
  errors:
    body: {ok: false, error: "{error}", fields: {"{errors}": [{name: "{invalid.field}", why: "{invalid.message}"}]}}
    invalid_request: {status: 400, error: bad}
    missing_parameter: {status: 400, error: missing}
    unsupported_grant_type: {status: 400, error: grant}
    invalid_client: {status: 401, error: who}
    default: {status: 500, error: oops}
token:
  opaque: {}
  life: {default: 1h, longest: 2h}
  refresh: {mode: rotate, life: 24h}
`

func wideDialect(t testing.TB) *Dialect {
	d, err := Load("wide.yaml", []byte(wide))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func post(path, body string, headers ...string) *Request {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	return &Request{Method: "POST", Path: path, Header: h, Body: []byte(body)}
}

func basic(pair string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

const issuePath = "/w/live/token"

func TestHostileRequests(t *testing.T) {
	d := wideDialect(t)
	const ok = `{"grant_type":"client_credentials","id":"a","key":"b"`
	withType := func(contentType string) *Request {
		r := post(issuePath, ok+"}")
		r.Header.Set("Content-Type", contentType)
		return r
	}
	for _, tc := range []struct {
		name    string
		request *Request
		want    Code // empty: read as (a, b)
	}{
		{"plain", post(issuePath, ok+"}"), ""},
		{"unknown members", post(issuePath, ok+`,"more":{"x":[1,2,{"y":null}]}}`), ""},
		{"no content type", &Request{Method: "POST", Path: issuePath, Header: http.Header{}, Body: []byte(ok + "}")}, ""},
		{"json with charset", withType("application/json; charset=UTF-8"), ""},
		{"json suffix", withType("application/vnd.api+json"), ""},
		{"form type", withType("application/x-www-form-urlencoded"), UnsupportedMediaType},
		{"text type", withType("text/plain"), UnsupportedMediaType},
		{"other charset", withType("application/json; charset=utf-16"), UnsupportedMediaType},
		{"broken type", withType("application/json; ="), UnsupportedMediaType},
		{"two types", post(issuePath, ok+"}", "Content-Type", "text/plain"), UnsupportedMediaType},
		{"gzip", post(issuePath, ok+"}", "Content-Encoding", "gzip"), UnsupportedMediaType},
		{"identity coding", post(issuePath, ok+"}", "Content-Encoding", "identity"), ""},

		{"member twice", post(issuePath, ok+`,"id":"a"}`), InvalidRequest},
		{"member twice, escaped", post(issuePath, ok+`,"\u0069d":"c"}`), InvalidRequest},
		{"unknown member twice, deep", post(issuePath, ok+`,"x":{"y":[{"z":1,"z":1}]}}`), InvalidRequest},
		{"member in other letters", post(issuePath, `{"grant_type":"client_credentials","ID":"a","key":"b"}`), MissingParameter},
		{"extra member in other letters", post(issuePath, ok+`,"Key":"c"}`), ""},
		{"trailing data", post(issuePath, ok+`} {}`), InvalidRequest},
		{"trailing comma", post(issuePath, ok+`,}`), InvalidRequest},
		{"trailing space", post(issuePath, ok+"}\r\n"), ""},
		{"comment", post(issuePath, ok+`/**/}`), InvalidRequest},
		{"cut off", post(issuePath, ok), InvalidRequest},
		{"byte order mark", post(issuePath, "\ufeff"+ok+"}"), InvalidRequest},
		{"invalid UTF-8", post(issuePath, ok+`,"x":"`+"\xff"+`"}`), InvalidRequest},
		{"lone surrogate", post(issuePath, ok+`,"x":"\ud800"}`), InvalidRequest},
		{"NUL in a value", post(issuePath, ok+`,"name":"a\u0000b"}`), InvalidRequest},
		{"NUL in a name", post(issuePath, ok+`,"a\u0000b":1}`), InvalidRequest},
		{"raw control character", post(issuePath, ok+`,"name":"a`+"\n"+`b"}`), InvalidRequest},
		{"array", post(issuePath, `[]`), InvalidRequest},
		{"string", post(issuePath, `"x"`), InvalidRequest},
		{"null", post(issuePath, `null`), InvalidRequest},
		{"empty object", post(issuePath, `{}`), MissingParameter},
		{"empty body", post(issuePath, ``), MissingParameter},
		{"depth 32", post(issuePath, ok+`,"x":`+strings.Repeat("[", 31)+strings.Repeat("]", 31)+`}`), ""},
		{"depth 33", post(issuePath, ok+`,"x":`+strings.Repeat("[", 32)+strings.Repeat("]", 32)+`}`), InvalidRequest},
		{"depth 10,000", post(issuePath, ok+`,"x":`+strings.Repeat(`{"a":`, 10_000)), InvalidRequest},
		{"depth 10,000 in a leaf", post(issuePath, `{"id":`+strings.Repeat(`[`, 10_000)), InvalidRequest},

		{"id as a number", post(issuePath, `{"grant_type":"client_credentials","id":1,"key":"b"}`), InvalidRequest},
		{"id as an array", post(issuePath, `{"grant_type":"client_credentials","id":["a"],"key":"b"}`), InvalidRequest},
		{"id as an object", post(issuePath, `{"grant_type":"client_credentials","id":{"a":1},"key":"b"}`), InvalidRequest},
		{"id null", post(issuePath, `{"grant_type":"client_credentials","id":null,"key":"b"}`), MissingParameter},
		{"id empty", post(issuePath, `{"grant_type":"client_credentials","id":"","key":"b"}`), MissingParameter},
		{"id too long", post(issuePath, `{"grant_type":"client_credentials","id":"`+strings.Repeat("a", 4097)+`","key":"b"}`), InvalidRequest},
		{"deep object as text", post(issuePath, ok+`,"deep":"x"}`), ""},
		{"deep leaf as object", post(issuePath, ok+`,"deep":{"er":{"tag":{}}}}`), InvalidRequest},

		{"grant type missing", post(issuePath, `{"id":"a","key":"b"}`), MissingParameter},
		{"grant type of another spelling", post(issuePath, `{"grant_type":"Client_Credentials","id":"a","key":"b"}`), UnsupportedGrantType},
		{"grant type as an array", post(issuePath, `{"grant_type":["client_credentials"],"id":"a","key":"b"}`), UnsupportedGrantType},
		{"grant type of nobody", post(issuePath, `{"grant_type":"password","id":"a","key":"b"}`), UnsupportedGrantType},
		{"an access token for a refresh token", post(issuePath, `{"grant_type":"refresh_token","id":"a","refresh":5}`), InvalidRequest},

		{"life 0", post(issuePath, ok+`,"ttl":0}`), InvalidRequest},
		{"life negative", post(issuePath, ok+`,"ttl":-1}`), InvalidRequest},
		{"life minus zero", post(issuePath, ok+`,"ttl":-0}`), InvalidRequest},
		{"life fractional", post(issuePath, ok+`,"ttl":1.5}`), InvalidRequest},
		{"life tiny", post(issuePath, ok+`,"ttl":1e-400}`), InvalidRequest},
		{"life beyond 64 bits", post(issuePath, ok+`,"ttl":9223372036854775808}`), InvalidRequest},
		{"life beyond anything", post(issuePath, ok+`,"ttl":1e999999999}`), InvalidRequest},
		{"life text", post(issuePath, ok+`,"ttl":"100"}`), InvalidRequest},
		{"life true", post(issuePath, ok+`,"ttl":true}`), InvalidRequest},
		{"life null", post(issuePath, ok+`,"ttl":null}`), ""},
		{"life of 64 bits", post(issuePath, ok+`,"ttl":9223372036854775807}`), ""},
		{"life 1e3", post(issuePath, ok+`,"ttl":1e3}`), ""},

		{"CR LF in the name", post(issuePath, ok+`,"name":"a\r\nb"}`), InvalidRequest},
		{"name turns the text", post(issuePath, ok+`,"name":"a\u202eb"}`), InvalidRequest},
		{"name of 201 bytes", post(issuePath, ok+`,"name":"`+strings.Repeat("n", 201)+`"}`), InvalidRequest},
		{"markup in the name is data", post(issuePath, ok+`,"name":"<script>alert(1)</script>"}`), ""},
		{"scope with an empty item", post(issuePath, ok+`,"scope":["a",""]}`), InvalidRequest},
		{"scope of numbers", post(issuePath, ok+`,"scope":[1]}`), InvalidRequest},

		{"Basic", post(issuePath, `{"grant_type":"client_credentials"}`, "Authorization", basic("a:b")), ""},
		{"basic in other letters", post(issuePath, `{"grant_type":"client_credentials"}`, "Authorization", "bAsIc  "+base64.StdEncoding.EncodeToString([]byte("a:b"))), ""},
		{"Basic and body, equal", post(issuePath, ok+`}`, "Authorization", basic("a:b")), ""},
		{"Basic and body, other id", post(issuePath, ok+`}`, "Authorization", basic("c:b")), InvalidRequest},
		{"Basic and body, other secret", post(issuePath, ok+`}`, "Authorization", basic("a:c")), InvalidRequest},
		{"three places, the last differs", post(issuePath, ok+`}`, "Authorization", basic("a:b"), "X-Id", "a", "X-Key", "c"), InvalidRequest},
		{"complete and half, equal", post(issuePath, ok+`}`, "X-Id", "a"), ""},
		{"complete and half, other", post(issuePath, ok+`}`, "X-Key", "c"), InvalidRequest},
		{"half in each", post(issuePath, `{"grant_type":"client_credentials","id":"a"}`, "X-Key", "b"), InvalidRequest},
		{"half in one", post(issuePath, `{"grant_type":"client_credentials"}`, "X-Key", "b"), MissingParameter},
		{"Basic twice", post(issuePath, `{"grant_type":"client_credentials"}`, "Authorization", basic("a:b"), "Authorization", basic("a:b")), InvalidRequest},
		{"Basic that isn't base64", post(issuePath, `{"grant_type":"client_credentials"}`, "Authorization", "Basic ???"), InvalidClient},
		{"Basic without colon", post(issuePath, `{"grant_type":"client_credentials"}`, "Authorization", basic("ab")), InvalidClient},
		{"header twice, equal", post(issuePath, `{"grant_type":"client_credentials"}`, "X-Id", "a", "X-Id", "a", "X-Key", "b"), ""},
		{"header twice, other", post(issuePath, `{"grant_type":"client_credentials"}`, "X-Id", "a", "X-Id", "c", "X-Key", "b"), InvalidRequest},

		{"other path", post("/w/live/tokens", ok+"}"), NotFound},
		{"other letters in the path", post("/W/live/token", ok+"}"), NotFound},
		{"path climbs into the hole", post("/w/../token", ok+"}"), NotFound},
		{"path climbs, encoded", post("/w/%2e%2e/token", ok+"}"), NotFound},
		{"empty hole", post("/w//token", ok+"}"), NotFound},
		{"broken escape", post("/w/%zz/token", ok+"}"), NotFound},
		{"slash at the end", post("/w/live/token/", ok+"}"), NotFound},
		{"GET", &Request{Method: "GET", Path: issuePath, Header: http.Header{}}, MethodNotAllowed},
		{"HEAD", &Request{Method: "HEAD", Path: issuePath, Header: http.Header{}}, MethodNotAllowed},
		{"PUT", &Request{Method: "PUT", Path: issuePath, Header: http.Header{}, Body: []byte(ok + "}")}, MethodNotAllowed},
		{"method override", &Request{Method: "GET", Path: issuePath, Header: http.Header{"X-Http-Method-Override": {"POST"}}, Body: []byte(ok + "}")}, MethodNotAllowed},
		{"lower-case method", &Request{Method: "post", Path: issuePath, Header: http.Header{}, Body: []byte(ok + "}")}, MethodNotAllowed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, v, err := d.ReadRequest(tc.request)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if v.Text(ClientID) != "a" || v.Secret(ClientSecret).Reveal() != "b" {
					t.Errorf("read as %q, %q", v.Text(ClientID), v.Secret(ClientSecret).Reveal())
				}
				return
			}
			var invalid *Invalid
			if !errors.As(err, &invalid) || invalid.Code != tc.want {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
			if len(v.Holes()) != 0 {
				t.Errorf("values beside an error: %v", v)
			}
		})
	}
}

func TestSecretInTheQueryIsNotRead(t *testing.T) {
	d := wideDialect(t)
	r := post(issuePath, `{"grant_type":"client_credentials","id":"a"}`)
	r.RawQuery = "key=b&client_secret=b&trace=t"
	if _, _, err := d.ReadRequest(r); err == nil {
		t.Error("a secret in the query counts")
	}
	r = post(issuePath, `{"grant_type":"client_credentials","id":"a","key":"b"}`)
	r.RawQuery = "trace=1&trace=2"
	var invalid *Invalid
	if _, _, err := d.ReadRequest(r); !errors.As(err, &invalid) || invalid.Code != InvalidRequest {
		t.Errorf("a field of the query twice: %v", err)
	}
}

func TestBearer(t *testing.T) {
	o := wideDialect(t).Operation(Validate)
	for value, want := range map[string]Code{
		"Bearer tok":       "",
		"bearer tok":       "",
		"BEARER   tok":     "",
		"Bearer":           MissingToken,
		"Bearer ":          MissingToken,
		"tok":              MissingToken,
		"Basic dG9r":       MissingToken,
		"Bearertok":        MissingToken,
		"":                 MissingToken,
		"Bearer tok\x00":   InvalidRequest,
		"Bearer \xff\xfe":  InvalidRequest,
		"Negotiate Bearer": MissingToken,
	} {
		r := &Request{Method: "GET", Path: "/w/check", Header: http.Header{"Authorization": {value}}}
		v, err := o.ReadRequest(r)
		if want == "" {
			if err != nil || v.Secret(AccessToken).Reveal() != "tok" {
				t.Errorf("%q: %v", value, err)
			}
			continue
		}
		var invalid *Invalid
		if !errors.As(err, &invalid) || invalid.Code != want {
			t.Errorf("%q: %v, want %s", value, err, want)
		}
	}
	two := &Request{Method: "GET", Path: "/w/check", Header: http.Header{"Authorization": {"Bearer tok", "Bearer tok"}}}
	if _, err := o.ReadRequest(two); err == nil {
		t.Error("two Authorization headers count")
	}
}

func TestForm(t *testing.T) {
	o := wideDialect(t).Operation(Revoke)
	id := base64.StdEncoding.EncodeToString([]byte("a"))
	for body, want := range map[string]Code{
		"token=tok&id=" + id:                  "",
		"token=tok&id=" + id + "&other=1":     "",
		"token=tok&token=tok&id=" + id:        InvalidRequest,
		"token=tok&id=" + id + "&%zz":         InvalidRequest,
		"token=tok;id=" + id:                  InvalidRequest,
		"token=tok":                           MissingParameter,
		"token=tok&id=YQ":                     InvalidClient, // without its padding
		"token=tok&id=YR%3D%3D":               InvalidClient, // with stray bits
		"token=tok&id=YQ%3D%3D%0A":            InvalidRequest,
		"token=tok&id=AA%3D%3D":               InvalidRequest, // NUL, once decoded
		"token=" + strings.Repeat("t", 5000):  InvalidRequest,
		`{"token":"tok","id":"` + id + `"}`:   MissingParameter,
		"Token=tok&Id=" + id:                  MissingParameter,
		"token%00=x&token=tok&id=" + id:       "",
		"token=tok&id=" + id + "&grant_type=": "",
	} {
		r := post("/w/revoke", strings.ReplaceAll(body, "==", "%3D%3D"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		v, err := o.ReadRequest(r)
		if want == "" {
			if err != nil || v.Text(ClientID) != "a" || v.Secret(AccessToken).Reveal() != "tok" {
				t.Errorf("%s: %v", body, err)
			}
			continue
		}
		var invalid *Invalid
		if !errors.As(err, &invalid) || invalid.Code != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

// No error shows what the caller sent.
func TestErrorsDontEcho(t *testing.T) {
	d := wideDialect(t)
	const canary = "canary7f3a"
	for _, body := range []string{
		`{"grant_type":"` + canary + `","id":"a","key":"b"}`,
		`{"grant_type":"client_credentials","id":"` + canary + `","key":["` + canary + `"]}`,
		`{"grant_type":"client_credentials","id":"a","key":"b","ttl":"` + canary + `","name":"\u202e` + canary + `"}`,
		`{"` + canary + `":"` + canary + `","` + canary + `":1}`,
		canary,
	} {
		_, _, err := d.ReadRequest(post(issuePath, body, "X-Id", canary, "X-Key", canary+"2"))
		var invalid *Invalid
		if !errors.As(err, &invalid) {
			t.Fatalf("%s: %v", body, err)
		}
		var v Values
		v.SetFields(invalid.Fields)
		answer := d.WriteError(invalid.Code, v)
		if strings.Contains(invalid.Error(), canary) || strings.Contains(string(answer.Body), canary) {
			t.Errorf("%v\n%s", invalid, answer.Body)
		}
	}
}

func TestFieldsAreNamed(t *testing.T) {
	d := wideDialect(t)
	_, _, err := d.ReadRequest(post(issuePath, `{"grant_type":"client_credentials","id":"a","ttl":-1,"deep":{"er":{"tag":7}}}`))
	var invalid *Invalid
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	var names []string
	for _, f := range invalid.Fields {
		names = append(names, f.Field)
	}
	if !slices.Equal(names, []string{"key", "ttl", "deep.er.tag"}) {
		t.Errorf("%v", invalid)
	}
	var v Values
	v.SetFields(invalid.Fields)
	r := d.WriteError(invalid.Code, v)
	refusal, ok := d.ReadError(r)
	if !ok || !slices.Equal(refusal.Fields, invalid.Fields) {
		t.Errorf("%s\nreads as %+v", r.Body, refusal)
	}
	if bare := d.WriteError(invalid.Code, Values{}); strings.Contains(string(bare.Body), "fields") {
		t.Errorf("an empty list is there: %s", bare.Body)
	}
}

// What can't be read back is refused when it is written.
func TestWritingRefusesTheAmbiguous(t *testing.T) {
	file := strings.Replace(good, `"{client_id}"`, `"{client_id}:{connection_id}"`, 1)
	file = strings.Replace(file, "POST: /v1/token", "POST: /v1/{user_id}/token\n      headers: {X-Name: \"{token_name}\"}", 1)
	d, err := Load("pair.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	fill := func(change func(*Values)) Values {
		var v Values
		v.SetText(ClientID, "a")
		v.SetText(ConnectionID, "b:c")
		v.SetText(UserID, "u/1")
		v.SetText(TokenName, "n")
		v.SetSecret(ClientSecret, secret.New("s"))
		change(&v)
		return v
	}
	o := d.Operation(Issue)
	r, err := o.WriteRequest("https://api.example/", fill(func(*Values) {}))
	if err != nil || r.URL() != "https://api.example/v1/u%2F1/token" {
		t.Fatalf("%v %v", r, err)
	}
	for name, change := range map[string]func(*Values){
		"separator in the first part": func(v *Values) { v.SetText(ClientID, "a:b") },
		"line end in a header":        func(v *Values) { v.SetText(TokenName, "a\r\nX-Admin: 1") },
		"NUL in a header":             func(v *Values) { v.SetText(TokenName, "a\x00") },
		"space around a header":       func(v *Values) { v.SetText(TokenName, " a") },
		"climbing segment":            func(v *Values) { v.SetText(UserID, "..") },
		"nothing":                     func(v *Values) { v.Unset(ClientSecret) },
	} {
		if r, err := o.WriteRequest("https://api.example", fill(change)); err == nil {
			t.Errorf("%s: written as %+v", name, r)
		}
	}
}

func TestMarkupIsData(t *testing.T) {
	o, err := Builtin("papaya")
	if err != nil {
		t.Fatal(err)
	}
	var v Values
	v.SetSecret(AccessToken, secret.New("x"))
	v.SetTime(ExpiresAt, time.Unix(2e9, 0))
	v.SetText(TokenName, `</script><b>&"'`+"\u2028")
	r, err := o.Operation(Issue).WriteResponse(v)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(string(r.Body), "<>&\u2028") {
		t.Errorf("%s", r.Body)
	}
	got, err := o.Operation(Issue).ReadResponse(r)
	if err != nil || got.Text(TokenName) != v.Text(TokenName) {
		t.Errorf("%v %v", got.Text(TokenName), err)
	}
}
