package reference_test

import (
	"bytes"
	"compress/gzip"
	"go/format"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/reference"
)

// all are the built-in dialects and the examples.
func all(t testing.TB) (out []*dialect.Dialect) {
	t.Helper()
	for _, name := range dialect.BuiltinNames() {
		d, err := dialect.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	files, err := filepath.Glob("../examples/dialects/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, f := range files {
		d, err := dialect.LoadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

func get(p *reference.Pages, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

func TestPages(t *testing.T) {
	p := reference.New(reference.Config{BaseURL: "https://auth.example"}, all(t))
	inline := regexp.MustCompile(`(?i)<script(?:\s+type="module")?>|\son[a-z]+=|\sstyle=|<style|javascript:|(?:src|href)="(?:https?:)?//`)
	for _, name := range p.Names() {
		w := get(p, "GET", "/docs/"+name)
		body := w.Body.String()
		if w.Code != 200 || !strings.Contains(body, "<h1>") || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %s", name, csp)
		}
		if found := inline.FindString(body); found != "" {
			t.Errorf("the page of %s has %q", name, found)
		}
		for _, path := range regexp.MustCompile(`(?:src|href)="(/[^"#]*)"`).FindAllStringSubmatch(body, -1) {
			if got := get(p, "GET", path[1]); got.Code != 200 {
				t.Errorf("the page of %s has %s, which is %d", name, path[1], got.Code)
			}
		}
		for _, id := range regexp.MustCompile(`(?:href="#|aria-controls="|aria-labelledby=")([^"]*)"`).FindAllStringSubmatch(body, -1) {
			if !strings.Contains(body, ` id="`+id[1]+`"`) {
				t.Errorf("the page of %s points at #%s, which is not there", name, id[1])
			}
		}
		var description struct {
			OpenAPI string         `json:"openapi"`
			Paths   map[string]any `json:"paths"`
		}
		if err := json.Unmarshal(get(p, "GET", "/docs/"+name+"/openapi.json").Body.Bytes(), &description); err != nil || description.OpenAPI != "3.1.0" || len(description.Paths) == 0 {
			t.Errorf("%s: OpenAPI: %v %+v", name, err, description)
		}
		var flow struct {
			Operations []any `json:"operations"`
			Errors     []struct {
				Why []struct {
					Means string `json:"means"`
					Do    string `json:"do"`
				} `json:"why"`
			} `json:"errors"`
		}
		if err := json.Unmarshal(get(p, "GET", "/docs/"+name+"/flow.json").Body.Bytes(), &flow); err != nil || len(flow.Operations) == 0 {
			t.Errorf("%s: flow: %v", name, err)
		}
		for _, e := range flow.Errors {
			for _, why := range e.Why {
				if why.Means == "" || why.Do == "" {
					t.Errorf("%s has a refusal that nobody explains", name)
				}
			}
		}
	}
	for path, status := range map[string]int{
		"/docs/": 200, "/docs": 308, "/docs/nobody": 404, "/docs/oauth2/": 404, "/docs/oauth2/x": 404, "/docs/-/": 404,
		"/docs/-/page.css": 200, "/docs/-/../oauth2": 404, "/docs/-/logo": 404,
	} {
		if w := get(p, "GET", path); w.Code != status {
			t.Errorf("%s: %d, want %d", path, w.Code, status)
		}
	}
	if w := get(p, "POST", "/docs/"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", w.Code)
	}
	if w := get(p, "HEAD", "/docs/oauth2"); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
}

func TestFilesAreCompressedAndKept(t *testing.T) {
	p := reference.New(reference.Config{BaseURL: "https://auth.example"}, nil)
	plain := get(p, "GET", "/docs/oauth2")
	packed := get(p, "GET", "/docs/oauth2", "Accept-Encoding", "br, gzip;q=0.5")
	if packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len() > plain.Body.Len()/2 || packed.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d of %d bytes, %v", packed.Body.Len(), plain.Body.Len(), packed.Header())
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || !bytes.Equal(b, plain.Body.Bytes()) {
		t.Errorf("what is compressed is another page: %v", err)
	}
	if w := get(p, "GET", "/docs/oauth2", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("gzip was refused, and sent")
	}
	if w := get(p, "GET", "/docs/oauth2", "If-None-Match", plain.Header().Get("ETag")); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("%d", w.Code)
	}
}

func TestBrand(t *testing.T) {
	logo := []byte("<svg xmlns='http://www.w3.org/2000/svg'/>")
	p := reference.New(reference.Config{BaseURL: "https://auth.example", Brand: reference.Brand{
		Name: `Bank <of> "Example"`, Logo: logo, Type: "image/svg+xml",
		Hosts: map[string]string{"sandbox": "https://sandbox.bank.example", "live": "https://bank.example"},
	}}, all(t))
	body := get(p, "GET", "/docs/quidkey").Body.String()
	for _, want := range []string{"Bank &lt;of&gt; &#34;Example&#34;", `src="/docs/-/logo"`, "https://sandbox.bank.example/api/v1/oauth2/token", "<code>https://bank.example</code>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	// Tokens are tried where the server is.
	if !strings.Contains(body, "https://auth.example/docs/quidkey/call") {
		t.Error("the sample call is not on the server itself")
	}
	if w := get(p, "GET", "/docs/-/logo"); w.Code != 200 || !bytes.Equal(w.Body.Bytes(), logo) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the logo: %d %v", w.Code, w.Header())
	}
}

// A dialect's words may hold what a shell, a language or a page reads otherwise.
const hostile = `
dialect: hostile
title: <b>Bold</b> "quoted" & $(touch owned)
summary: </script><script>alert(1)</script>
notes: ["` + "`" + `touch owned` + "`" + `"]
wire:
  issue:
    about: <img src=x onerror=alert(1)>
    request:
      POST: /token
      headers: {X-Fixed: '$(touch owned) "${{HOME}}" \\ end', X-Mixed: 'a"b$c{client_id}'}
      body: {'na"me$(touch owned)': 'va\lue` + "`" + `touch owned` + "`" + `"''$HOME', id: "{client_id}", secret: "{client_secret}", n: 7, yes: true, nothing: null, list: [1, "{client_id}", "two"], deep: {er: "${{client_secret}}"}}
    response: {body: {token: "{access_token}", life: "{life|seconds}"}}
  errors:
    body: {error: "{error}"}
    default: {status: 500, error: "</script>"}
    invalid_request: {status: 400, error: bad}
    invalid_client: {status: 401, error: who}
token: {opaque: {}, life: 1h}
`

// Programs made of hostile words send just these words, and run nothing else.
func TestHostileWords(t *testing.T) {
	source := strings.Replace(hostile, `"${{client_secret}}"`, `"$ {client_secret} end"`, 1)
	d, err := dialect.Load("hostile.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	p := reference.New(reference.Config{BaseURL: "https://auth.example"}, []*dialect.Dialect{d})
	body := get(p, "GET", "/docs/hostile").Body.String()
	for _, bad := range []string{"<b>Bold", "<script>alert", "<img src=x", "</script><"} {
		if strings.Contains(strings.ReplaceAll(body, `src="/docs/-/page.js"></script>`, ""), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	type sent struct {
		header http.Header
		body   []byte
	}
	arrived := make(chan sent, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		arrived <- sent{r.Header.Clone(), b}
	}))
	defer server.Close()
	snippets, err := reference.Snippets(d.Operation(dialect.Issue), server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, s := range snippets {
		var cmd *exec.Cmd
		switch s.Lexer {
		case "sh":
			cmd = exec.CommandContext(t.Context(), "sh")
			cmd.Stdin = strings.NewReader(s.Code)
		case "python":
			cmd = exec.CommandContext(t.Context(), "python3", "-c", s.Code)
		case "js":
			cmd = exec.CommandContext(t.Context(), "node", "-e", s.Code)
		case "go":
			if formatted, err := format.Source([]byte(s.Code)); err != nil || string(formatted) != s.Code {
				t.Errorf("Go: %v\n%s", err, s.Code)
			}
			continue
		}
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CLIENT_ID=the-id", "CLIENT_SECRET=the-secret")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s\n%s", s.Language, err, out, s.Code)
			continue
		}
		var got sent
		select {
		case got = <-arrived:
		default:
			t.Errorf("%s sends nothing", s.Language)
			continue
		}
		r, err := d.Operation(dialect.Issue).ReadRequest(&dialect.Request{Method: "POST", Path: "/token", Header: got.header, Body: got.body})
		if err != nil || r.Text(dialect.ClientID) != "the-id" || r.Secret(dialect.ClientSecret).Reveal() != "the-secret" {
			t.Errorf("%s: the server reads %v of %v %s\n%s", s.Language, err, got.header, got.body, s.Code)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("a program has run what stands in a text: %v", left)
	}
}
