package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/gate"
)

func load(t testing.TB, text string) (*gate.Routes, error) {
	path := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

const whole = `
environment: live
routes:
- {path: /health, public: true}
- {path: /try/, environment: sandbox}
- {path: /orders/, methods: [POST], scope: read write}
- {path: /orders/, scope: read}
`

func TestLoad(t *testing.T) {
	routes, err := load(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{
		"GET /health": "public", "GET /try/it": "sandbox ", "POST /orders/1": "live read,write", "GET /orders/1": "live read", "GET /other": "no route is for this method and path",
	} {
		method, path, _ := strings.Cut(what, " ")
		r, got := routes.Find(method, path)
		if r != nil {
			if got = string(r.Want.Environment) + " " + strings.Join(r.Want.Scopes, ","); r.Public {
				got = "public"
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	for what, c := range map[string][2]string{
		"no routes":             {"environment: live\n", "nothing would pass"},
		"no environment":        {"routes: [{path: /a}]\n", "say sandbox or live"},
		"a false environment":   {"routes: [{path: /a, environment: prod}]\n", "say sandbox or live"},
		"an unknown key":        {strings.Replace(whole, "scope: read}", "scopes: read}", 1), "unknown field"},
		"public, and yet asks":  {"environment: live\nroutes: [{path: /a, public: true, scope: read}]\n", "public"},
		"public, and of one":    {"routes: [{path: /a, public: true, environment: live}]\n", "public"},
		"a route never reached": {whole + "- {path: /orders/1}\n", "never reached"},
		"an anchor":             {"environment: &e live\nroutes: [{path: /a}]\n", "anchors"},
	} {
		if _, err := load(t, c[0]); err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: %v, want %q in it", what, err, c[1])
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(whole)
	f.Add("routes: [{path: /, public: true}]")
	f.Fuzz(func(t *testing.T, text string) {
		routes, err := load(t, text)
		if (routes == nil) == (err == nil) {
			t.Errorf("routes and error: %v", err)
		}
	})
}
