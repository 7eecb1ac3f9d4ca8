package main

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// reader is a client that may read and nothing else.
type reader struct{}

func (reader) Validate(_ context.Context, tok secret.Text, want gatehouse.Requirement) (*gatehouse.Claims, error) {
	switch {
	case tok.Reveal() != "good":
		return nil, gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonUnknownToken, "")
	case want.Environment != gatehouse.Live || len(want.Scopes) != 1 || want.Scopes[0] != "read":
		return nil, gatehouse.Refuse(gatehouse.InsufficientScope, gatehouse.ReasonScope, "")
	}
	return &gatehouse.Claims{ClientID: "acme"}, nil
}

func TestExample(t *testing.T) {
	api, err := newAPI(reader{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, token string
		status              int
		body                string
	}{
		{"GET", "/health", "", 200, "ok\n"},
		{"GET", "/orders/", "good", 200, "the orders of acme\n"},
		{"GET", "/orders/", "", 401, ""},
		{"GET", "/orders/", "bad", 401, ""},
		{"POST", "/orders/", "good", 403, ""},
		{"GET", "/other", "good", 403, ""},
		{"GET", "/health/../orders/", "", 403, ""},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code != c.status || c.body != "" && w.Body.String() != c.body {
			t.Errorf("%s %s with %q: %d %s", c.method, c.path, c.token, w.Code, w.Body)
		}
	}
}
