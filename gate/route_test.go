package gate_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
)

var live = gatehouse.Requirement{Environment: gatehouse.Live}

func scoped(scopes ...string) gatehouse.Requirement {
	return gatehouse.Requirement{Environment: gatehouse.Live, Scopes: scopes}
}

func mustRoutes(t testing.TB, list ...gate.Route) *gate.Routes {
	t.Helper()
	routes, err := gate.NewRoutes(list)
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

func TestRoutesMatchWhatTheAPIServes(t *testing.T) {
	routes := mustRoutes(t,
		gate.Route{Path: "/health", Public: true},
		gate.Route{Path: "/orders/", Methods: []string{"POST", "DELETE"}, Want: scoped("write")},
		gate.Route{Path: "/orders/", Want: scoped("read")},
		gate.Route{Path: "/naïve", Want: scoped("text")},
	)
	for _, c := range []struct{ method, uri, want string }{
		{"GET", "/health", "public"},
		{"GET", "/health?x=/orders/", "public"},
		{"GET", "/health/", "none"},
		{"GET", "/Health", "none"},
		{"GET", "/orders", "none"},
		{"GET", "/orders/", "read"},
		{"GET", "/orders/7/lines", "read"},
		{"POST", "/orders/7?a=b", "write"},
		{"post", "/orders/7", "read"},
		{"GET", "/%6frders/7", "read"},
		{"POST", "/%6Frders/7%20a", "write"},
		{"GET", "/na%C3%AFve", "text"},
		{"GET", "/", "none"},
	} {
		r, problem := routes.Find(c.method, c.uri)
		got := "none"
		if problem == "" {
			if got = strings.Join(r.Want.Scopes, " "); r.Public {
				got = "public"
			}
		}
		if got != c.want {
			t.Errorf("%s %s: %s (%s), want %s", c.method, c.uri, got, problem, c.want)
		}
	}
}

// A path that a server behind might read as another is no path.
var tricky = []string{
	"", "*", "orders/", "http://api.example/orders/", "//orders/7", "/orders//7", "/x/../orders/7", "/orders/./7", "/orders/..", "/orders/.",
	"/x/%2e%2e/orders/7", "/x/%2E./orders/7", "/orders%2f7", "/orders%2F7", "/orders%5c7", `/orders\7`, "/orders%257", "/%256frders/7",
	"/orders/7%00", "/orders/7\x00", "/orders/7%0d%0a", "/orders/7\r\n", "/orders/7 HTTP/1.1", "/orders/;a=b/7", "/orders/%3ba=b", "/orders/7#x", "/orders/7%23x",
	"/orders/%3fx", "/orders/%zz", "/orders/%", "/orders/%c0%af", "/orders/%ff", "/orders/7\x7f", "/orders/%7f", "/orders/\t7",
}

func TestTrickyPathsAreRefused(t *testing.T) {
	routes := mustRoutes(t, gate.Route{Path: "/", Public: true})
	for _, uri := range tricky {
		if r, problem := routes.Find("GET", uri); problem == "" {
			t.Errorf("%q is taken for %+v", uri, r)
		}
	}
}

func TestRoutesThatCanNotBeMeant(t *testing.T) {
	for what, list := range map[string][]gate.Route{
		"no environment":          {{Path: "/x"}},
		"public with a scope":     {{Path: "/x", Public: true, Want: gatehouse.Requirement{Scopes: []string{"a"}}}},
		"an encoded path":         {{Path: "/a%20b", Want: live}},
		"a relative path":         {{Path: "x", Want: live}},
		"dots":                    {{Path: "/x/../y", Want: live}},
		"methods in small":        {{Path: "/x", Methods: []string{"get"}, Want: live}},
		"an empty method":         {{Path: "/x", Methods: []string{""}, Want: live}},
		"after one for all":       {{Path: "/x/", Want: live}, {Path: "/x/y", Want: live}},
		"after the same":          {{Path: "/x", Methods: []string{"GET", "POST"}, Want: live}, {Path: "/x", Methods: []string{"POST"}, Want: live}},
		"after one for the whole": {{Path: "/", Public: true}, {Path: "/x/", Want: live}},
	} {
		if _, err := gate.NewRoutes(list); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	mustRoutes(t, gate.Route{Path: "/x", Want: live}, gate.Route{Path: "/x/y", Methods: []string{"POST"}, Want: live},
		gate.Route{Path: "/x/y", Want: live}, gate.Route{Path: "/x/", Methods: []string{"GET"}, Want: live}, gate.Route{Path: "/x/", Want: live})
}

func TestVerifyByRoutes(t *testing.T) {
	v := newValidator()
	g := gate.NewVerify(v, func(name string) *dialect.Dialect { d, _ := dialect.Builtin(name); return d }, time.Now)
	g.AskByRoutes(mustRoutes(t, gate.Route{Path: "/health", Public: true}, gate.Route{Path: "/write/", Methods: []string{"POST"}, Want: scoped("write")}, gate.Route{Path: "/write/", Want: live}),
		[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	ask := func(peer, query string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/gate/verify"+query, nil)
		r.RemoteAddr = peer
		r.Header.Set("Authorization", "Bearer good")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w
	}
	const gateway, other = "10.1.2.3:999", "192.0.2.1:999"
	for _, c := range []struct {
		what, peer, query string
		headers           []string
		status            int
	}{
		{"nginx", gateway, "", []string{"X-Original-Uri", "/write/1", "X-Original-Method", "GET"}, 200},
		{"Traefik and Caddy", gateway, "", []string{"X-Forwarded-Uri", "/write/1", "X-Forwarded-Method", "POST"}, 200},
		{"both, the same", gateway, "", []string{"X-Forwarded-Uri", "/write/1", "X-Original-Uri", "/write/1", "X-Forwarded-Method", "POST"}, 200},
		{"a dialect", gateway, "?dialect=su", []string{"X-Forwarded-Uri", "/write/1", "X-Forwarded-Method", "POST"}, 200},
		{"both, not the same", gateway, "", []string{"X-Forwarded-Uri", "/write/1", "X-Original-Uri", "/health", "X-Forwarded-Method", "POST"}, 403},
		{"twice", gateway, "", []string{"X-Forwarded-Uri", "/write/1", "X-Forwarded-Uri", "/health", "X-Forwarded-Method", "POST"}, 403},
		{"from elsewhere", other, "", []string{"X-Forwarded-Uri", "/write/1", "X-Forwarded-Method", "POST"}, 403},
		{"public from elsewhere", other, "", []string{"X-Forwarded-Uri", "/health", "X-Forwarded-Method", "GET"}, 403},
		{"no path", gateway, "", []string{"X-Forwarded-Method", "POST"}, 403},
		{"no method", gateway, "", []string{"X-Forwarded-Uri", "/write/1"}, 403},
		{"no route", gateway, "", []string{"X-Forwarded-Uri", "/other", "X-Forwarded-Method", "POST"}, 403},
		{"a question in the query", gateway, "?environment=live", []string{"X-Forwarded-Uri", "/write/1", "X-Forwarded-Method", "POST"}, 403},
	} {
		if w := ask(c.peer, c.query, c.headers...); w.Code != c.status {
			t.Errorf("%s: %d %s, want %d", c.what, w.Code, w.Body, c.status)
		}
	}
	last := v.asked[len(v.asked)-1]
	if strings.Join(last.Scopes, " ") != "write" || last.Environment != gatehouse.Live {
		t.Errorf("asked for %+v", last)
	}

	before := len(v.asked)
	w := ask(gateway, "", "X-Forwarded-Uri", "/health", "X-Forwarded-Method", "GET")
	for _, name := range gate.IdentityHeaders {
		if w.Code != 200 || w.Header().Get(name) != "-" {
			t.Errorf("public: %d, %s: %q", w.Code, name, w.Header().Get(name))
		}
	}
	if len(v.asked) != before {
		t.Error("a public route looked at the token")
	}
	for _, uri := range tricky {
		if w := ask(gateway, "", "X-Forwarded-Uri", uri, "X-Forwarded-Method", "GET"); w.Code != 403 {
			t.Errorf("%q: %d", uri, w.Code)
		}
	}
}

// Whatever the spelling, a path that matches has one reading: decoded it is
// what a cleaning server would make of it.
func FuzzFind(f *testing.F) {
	for _, uri := range tricky {
		f.Add(uri)
	}
	f.Add("/v1/%41?x")
	routes, _ := gate.NewRoutes([]gate.Route{{Path: "/", Public: true}})
	f.Fuzz(func(t *testing.T, uri string) {
		if _, problem := routes.Find("GET", uri); problem != "" {
			return
		}
		uri, _, _ = strings.Cut(uri, "?")
		r, err := http.NewRequest("GET", "http://api.example"+uri, nil)
		if err != nil {
			t.Fatalf("%q has a route, but is no request: %v", uri, err)
		}
		path := r.URL.Path
		if strings.Contains(path, "//") || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./") || strings.ContainsAny(path, "\\%\x00;?#") {
			t.Fatalf("%q has a route, and decodes to %q", uri, path)
		}
		mux := http.NewServeMux()
		served := false
		mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { served = true })
		mux.ServeHTTP(httptest.NewRecorder(), r)
		if !served {
			t.Fatalf("%q has a route, but net/http would redirect it", uri)
		}
	})
}
