package gate_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
)

func TestMiddleware(t *testing.T) {
	var refused []gatehouse.Reason
	var seen http.Header
	guarded := gate.Middleware(newValidator(), gate.Options{
		Routes:  mustRoutes(t, gate.Route{Path: "/health", Public: true}, gate.Route{Path: "/", Want: scoped("read")}),
		Refused: func(_ context.Context, e *gatehouse.Error) { refused = append(refused, e.Reason) },
	})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		c, ok := gate.FromContext(r.Context())
		if !ok {
			t.Error("no claims in the context")
		}
		_, _ = w.Write([]byte(c.ClientID))
	}))
	for _, c := range []struct {
		what, target, authorization string
		status                      int
		body, challenge             string
	}{
		{"good", "/x", "Bearer good", 200, "acme", ""},
		{"public", "/health", "", 200, "", ""},
		{"none", "/x", "", 401, `{"error":"missing_token","error_description":"a bearer token is required"}` + "\n", `Bearer realm="gatehouse"`},
		{"unknown", "/x", "Bearer what", 401, `{"error":"invalid_token","error_description":"the access token is invalid"}` + "\n", `Bearer realm="gatehouse", error="invalid_token", error_description="the access token is invalid"`},
		{"scope", "/x", "Bearer narrow", 403, `{"error":"insufficient_scope","error_description":"the access token lacks a scope"}` + "\n", `Bearer realm="gatehouse", error="insufficient_scope", scope="read"`},
		{"unknowable", "/x", "Bearer down", 503, `{"error":"unavailable","error_description":"the token can't be judged now; try again"}` + "\n", ""},
		{"two paths in one", "/x%2f..%2fhealth", "Bearer good", 403, "", ""},
	} {
		seen = nil
		r := httptest.NewRequest("POST", c.target, nil)
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		r.Header["Gatehouse-Client-Id"], r.Header["gatehouse_client_id"], r.Header["Gatehouse_Scope"] = []string{"evil"}, []string{"evil"}, []string{"evil"}
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		if w.Code != c.status || c.body != "" && w.Body.String() != c.body || w.Header().Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%s: %d %q %q", c.what, w.Code, w.Body, w.Header().Get("WWW-Authenticate"))
		}
		if (seen != nil) != (c.status == 200) {
			t.Errorf("%s: the handler ran: %v", c.what, seen != nil)
		}
		for name, values := range seen {
			if len(values) == 1 && values[0] == "evil" {
				t.Errorf("%s: the handler sees the caller's %s", c.what, name)
			}
		}
	}
	if len(refused) != 5 || refused[1] != gatehouse.ReasonUnknownToken {
		t.Errorf("the owner heard %v", refused)
	}
}

func TestMiddlewareSpeaksADialect(t *testing.T) {
	d, err := dialect.Builtin("quidkey")
	if err != nil {
		t.Fatal(err)
	}
	guarded := gate.Middleware(newValidator(), gate.Options{Want: live, Dialect: d})(http.NotFoundHandler())
	w := httptest.NewRecorder()
	guarded.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 401 || w.Body.String() == "" || w.Body.String()[:16] != `{"success":false` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestMiddlewareThatAsksNothing(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it lets every environment through")
		}
	}()
	gate.Middleware(newValidator(), gate.Options{Want: gatehouse.Requirement{Scopes: []string{"read"}}})
}
