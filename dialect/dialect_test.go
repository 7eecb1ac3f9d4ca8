package dialect

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/secret"
)

func TestValuesPrintNoValue(t *testing.T) {
	const canary = "canary7f3a"
	v := values(func(v *Values) {
		v.SetText(ClientID, canary)
		v.SetSecret(ClientSecret, secret.New(canary))
		v.SetList(Scope, []string{canary})
	})
	nested := struct {
		V  Values
		R  Request
		RP *Request
		A  Response
	}{v, Request{RawQuery: canary, Path: canary, Body: []byte(canary)}, &Request{Body: []byte(canary)}, Response{Body: []byte(canary)}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", nested)
		fmt.Fprintf(&out, verb+"\n", &v)
		fmt.Fprintf(&out, verb+"\n", nested.RP)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "values", v, "nested", nested)
	data, err := json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(data)
	if strings.Contains(out.String(), canary) || strings.Contains(out.String(), fmt.Sprintf("%x", canary)) || strings.Contains(out.String(), "99 97 110") {
		t.Error(out.String())
	}
	if v.String() != "{client_id client_secret scope}" {
		t.Error(v.String())
	}
}

func TestValuesCloneIsIndependent(t *testing.T) {
	v := values(func(v *Values) { v.SetText(ClientID, "a") })
	w := v.Clone()
	w.SetText(ClientID, "b")
	w.SetText(UserID, "u")
	v.SetText(ConnectionID, "c")
	if v.Text(ClientID) != "a" || v.Has(UserID) || w.Has(ConnectionID) {
		t.Errorf("%v %v", v, w)
	}
}

func load(t *testing.T, replace ...string) *Dialect {
	t.Helper()
	d, err := Load("tiny.yaml", []byte(strings.NewReplacer(replace...).Replace(good)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConflict(t *testing.T) {
	tiny := load(t)
	for name, tc := range map[string]struct {
		other    *Dialect
		conflict bool
	}{
		"another path":            {load(t, "dialect: tiny", "dialect: b", "/v1/token", "/v2/token"), false},
		"another method":          {load(t, "dialect: tiny", "dialect: b", "POST:", "PUT:"), false},
		"another length":          {load(t, "dialect: tiny", "dialect: b", "/v1/token", "/v1/token/x"), false},
		"the same path":           {load(t, "dialect: tiny", "dialect: b"), true},
		"the same name":           {load(t, "/v1/token", "/v2/token"), true},
		"other letters":           {load(t, "dialect: tiny", "dialect: b", "/v1/token", "/V1/Token"), false},
		"other letters, any case": {load(t, "dialect: tiny", "dialect: b\npath_case: any", "/v1/token", "/V1/Token"), true},
		"a hole that covers it":   {load(t, "dialect: tiny", "dialect: b", "/v1/token", `"/v1/{user_id}"`), true},
		"a hole elsewhere":        {load(t, "dialect: tiny", "dialect: b", "/v1/token", `"/v2/{user_id}"`), false},
	} {
		if err := Conflict(tiny, tc.other); (err != nil) != tc.conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Conflict(shipped(t)...); err != nil {
		t.Errorf("shipped: %v", err)
	}
}

func TestOperationsShareARoute(t *testing.T) {
	d := wideDialect(t)
	for body, want := range map[string]OperationName{
		`{"grant_type":"client_credentials","id":"a","key":"b"}`: Issue,
		`{"grant_type":"refresh_token","id":"a","refresh":"r"}`:  Refresh,
		// Known by its literal, though it can't be read.
		`{"grant_type":"refresh_token","id":"a"}`: Refresh,
	} {
		o, _, _ := d.ReadRequest(post(issuePath, body))
		if o == nil || o.Name != want {
			t.Errorf("%s is taken for %+v", body, o)
		}
	}
	file := strings.Replace(wide, "grant_type: refresh_token", `grant_type: "{m=refresh_token}"`, 1)
	if _, err := Load("wide.yaml", []byte(file)); err == nil || !strings.Contains(err.Error(), "same method and path") {
		t.Errorf("%v", err)
	}
}

func TestErrorHeaders(t *testing.T) {
	d := wideDialect(t)
	r := d.WriteError(MethodNotAllowed, values(func(v *Values) { v.SetText(Path, issuePath) }))
	if r.Status != 405 || r.Header.Get("Allow") != "POST" {
		t.Errorf("%d %v", r.Status, r.Header)
	}
	if r := d.WriteError(InvalidClient, Values{}); r.Header.Get("WWW-Authenticate") != "Bearer" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", r.Header)
	}
	if r := d.WriteError("no such code", Values{}); r.Status != 500 {
		t.Errorf("an unknown code is answered %d", r.Status)
	}
	keystone, err := LoadFile("../examples/dialects/keystone.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if r := keystone.WriteError(InvalidClient, Values{}); !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Keystone") {
		t.Errorf("%v", r.Header)
	}
}

// A code without a row keeps the status that proxies and HTTP clients act on.
func TestFallbackStatuses(t *testing.T) {
	d := load(t)
	for code, want := range map[Code]int{
		MissingParameter: 400, UnsupportedGrantType: 400, InvalidScope: 400, InvalidTarget: 400,
		UnauthorizedClient: 401, InvalidGrant: 401, MissingToken: 401, InvalidToken: 401, ExpiredToken: 401,
		InsufficientScope: 403, AccessDenied: 403, InsecureTransport: 403, NotFound: 404, MethodNotAllowed: 405, Conflicting: 409,
		PayloadTooLarge: 413, UnsupportedMediaType: 415, RateLimited: 429, ServerError: 500, Unavailable: 503,
	} {
		r := d.WriteError(code, Values{})
		if r.Status != want {
			t.Errorf("%s: %d, want %d", code, r.Status, want)
		}
		if refusal, ok := d.ReadError(r); !ok || d.WriteError(refusal.Code, Values{}).Status != want {
			t.Errorf("%s reads back as %+v", code, refusal)
		}
	}
}

func TestWarnings(t *testing.T) {
	for name, want := range map[string]string{
		"dapi": "10.4.3", "quidkey": "RFC 6749 section 6", "su": "GET", "papaya": "nginx",
	} {
		if got := strings.Join(builtin(t, name).Warnings(), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The line is given to a real shell, whose echo of the words must be ours.
func TestCurlIsSafeToPaste(t *testing.T) {
	o := load(t).Operation(Issue)
	const nasty = "a'b\"c$(touch /nowhere)`id`\\ !*?[x]~;&|<>#{}"
	line, err := o.Curl("https://api.example/x'y", values(func(v *Values) {
		v.SetText(ClientID, nasty)
		v.SetSecret(ClientSecret, secret.New(nasty))
	}))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/bin/sh", "-c", "printf '%s\\n' "+line).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	words := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(words) != 7 || words[2] != "https://api.example/x'y/v1/token" || words[3] != "-H" || words[4] != "Content-Type: application/json" {
		t.Fatalf("%q", words)
	}
	v, err := o.ReadRequest(post("/v1/token", words[6]))
	if err != nil || v.Text(ClientID) != nasty || v.Secret(ClientSecret).Reveal() != nasty {
		t.Errorf("%s", words[6])
	}
}

func TestRefusalOfAnUnknownAnswer(t *testing.T) {
	d := load(t)
	for status, want := range map[int]Code{
		200: ServerError, 302: ServerError, 401: InvalidClient, 403: AccessDenied, 404: NotFound, 418: InvalidRequest, 429: RateLimited, 502: Unavailable, 500: ServerError,
	} {
		refusal, ok := d.ReadError(&Response{Status: status, Body: []byte("<html>")})
		if ok || refusal.Code != want || refusal.Status != status {
			t.Errorf("%d: %v %+v", status, ok, refusal)
		}
	}
}

// A dialect serves many requests at once; the race detector watches this.
func TestConcurrentUse(t *testing.T) {
	d := wideDialect(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			id := fmt.Sprint("client-", i)
			for range 50 {
				o, v, err := d.ReadRequest(post(issuePath, `{"grant_type":"client_credentials","id":"`+id+`","key":"b"}`))
				if err != nil || v.Text(ClientID) != id {
					t.Errorf("%v %v", o, err)
					return
				}
				d.ReadError(d.WriteError(InvalidClient, v))
			}
		})
	}
	wait.Wait()
}
