package xoauth2_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/bearer/xoauth2"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// endpoint is a token endpoint and an API that takes its token.
func endpoint(t testing.TB) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"t1","token_type":"Bearer","expires_in":3600}`)
	})
	mux.HandleFunc("GET /accounts", func(_ http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer t1" {
			t.Errorf("Authorization: %q", got)
		}
	})
	return mux
}

// x/oauth2's own transport takes the source, and a context that has ended is no
// reason to refuse a token that is at hand.
func TestTokenSource(t *testing.T) {
	server := httptest.NewServer(endpoint(t))
	defer server.Close()
	s, err := bearer.New(bearer.Config{BaseURL: server.URL, ClientID: "bank", ClientSecret: secret.New("s1")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := xoauth2.TokenSource(ctx, s).Token(); err == nil {
		t.Error("a wait whose context had ended gave a token")
	}
	client := &http.Client{Transport: &oauth2.Transport{Source: xoauth2.TokenSource(t.Context(), s), Base: server.Client().Transport}}
	resp, err := client.Get(server.URL + "/accounts")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	tok, err := xoauth2.TokenSource(ctx, s).Token()
	if err != nil || tok.AccessToken != "t1" || !tok.Valid() {
		t.Errorf("%+v, %v", tok, err)
	}
}
