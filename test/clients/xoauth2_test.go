package clients_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func credentialsConfig(t *testing.T, c demoClient, style oauth2.AuthStyle) *clientcredentials.Config {
	t.Helper()
	return &clientcredentials.Config{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret, TokenURL: dev(t).url + "/oauth2/token",
		Scopes: []string{"read"}, AuthStyle: style,
	}
}

// TestXOAuth2 gets tokens in each of the library's styles and calls an API
// behind the gate with them.
func TestXOAuth2(t *testing.T) {
	for _, environment := range []string{"live", "sandbox"} {
		api := apiBehindGate(t, environment)
		for name, style := range map[string]oauth2.AuthStyle{
			"detected": oauth2.AuthStyleAutoDetect, "header": oauth2.AuthStyleInHeader, "params": oauth2.AuthStyleInParams,
		} {
			t.Run(environment+"/"+name, func(t *testing.T) {
				c := dev(t).client(t, "oauth2", environment)
				source := credentialsConfig(t, c, style).TokenSource(t.Context())
				tok, err := source.Token()
				if err != nil {
					t.Fatal(err)
				}
				if !tok.Valid() || tok.Type() != "Bearer" || tok.Extra("scope") != "read" {
					t.Errorf("token of type %q with scope %v, valid: %v", tok.Type(), tok.Extra("scope"), tok.Valid())
				}
				if left := time.Until(tok.Expiry); left < time.Minute || left > 25*time.Hour {
					t.Errorf("it expires in %v", left)
				}
				again, err := source.Token()
				if err != nil || again.AccessToken != tok.AccessToken {
					t.Errorf("the source did not reuse its token (%v)", err)
				}
				resp, err := oauth2.NewClient(t.Context(), source).Get(api)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if who, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(who) != c.ClientID {
					t.Errorf("the API answered %s to %q, want 200 to %q", resp.Status, who, c.ClientID)
				}
			})
		}
	}
}

// apiBehindGate is an API whose proxy asks the gate about each request.
func apiBehindGate(t *testing.T, environment string) string {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Gatehouse-Client-Id"))
	}))
	t.Cleanup(upstream.Close)
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	gated := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, dev(t).url+"/gate/verify?scope=read&environment="+environment, nil)
		if err != nil {
			t.Error(err)
			return
		}
		ask.Header["Authorization"] = r.Header["Authorization"]
		verdict, err := http.DefaultClient.Do(ask)
		if err != nil {
			t.Error(err)
			return
		}
		defer verdict.Body.Close()
		if verdict.StatusCode != http.StatusOK {
			w.WriteHeader(verdict.StatusCode)
			return
		}
		r.Header.Set("Gatehouse-Client-Id", verdict.Header.Get("Gatehouse-Client-Id"))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(gated.Close)
	return gated.URL
}

// TestXOAuth2Refused checks that refusals reach the program as the library's
// own error with the code of RFC 6749.
func TestXOAuth2Refused(t *testing.T) {
	good := dev(t).client(t, "oauth2", "live")
	wrong := good
	wrong.ClientSecret = "wrong"
	nobody := good
	nobody.ClientID = "nobody"
	for name, c := range map[string]struct {
		config *clientcredentials.Config
		scope  string
		status int
		code   string
	}{
		"wrong secret":       {credentialsConfig(t, wrong, oauth2.AuthStyleInHeader), "read", 401, "invalid_client"},
		"wrong secret, body": {credentialsConfig(t, wrong, oauth2.AuthStyleInParams), "read", 401, "invalid_client"},
		"unknown client":     {credentialsConfig(t, nobody, oauth2.AuthStyleInHeader), "read", 401, "invalid_client"},
		"more scope":         {credentialsConfig(t, good, oauth2.AuthStyleInHeader), "admin", 400, "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Scopes = []string{c.scope}
			_, err := c.config.Token(t.Context())
			refused, ok := errors.AsType[*oauth2.RetrieveError](err)
			if !ok {
				t.Fatalf("error %v, want a RetrieveError", err)
			}
			if refused.Response.StatusCode != c.status || refused.ErrorCode != c.code || refused.ErrorDescription == "" {
				t.Errorf("%d %q %q, want %d %q and a description", refused.Response.StatusCode, refused.ErrorCode, refused.ErrorDescription, c.status, c.code)
			}
		})
	}
}

// TestXOAuth2Refresh renews through the library's reusing source, which must
// keep the rotated refresh token by itself.
func TestXOAuth2Refresh(t *testing.T) {
	var created struct {
		Secrets []demoClient `json:"secrets"`
	}
	dev(t).admin(t, &created, "client", "create", "--name", "x/oauth2 refresh", "--dialect", "oauth2",
		"--environment", "live", "--scope", "read", "--refresh")
	c := created.Secrets[0]
	first, err := credentialsConfig(t, c, oauth2.AuthStyleInHeader).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config := &oauth2.Config{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret,
		Endpoint: oauth2.Endpoint{TokenURL: dev(t).url + "/oauth2/token", AuthStyle: oauth2.AuthStyleInHeader},
	}
	seen := map[string]bool{first.RefreshToken: true}
	tok := first
	for range 3 {
		tok = expired(tok)
		if tok, err = config.TokenSource(context.Background(), tok).Token(); err != nil {
			t.Fatal(err)
		}
		if seen[tok.RefreshToken] {
			t.Fatal("the refresh token did not rotate")
		}
		seen[tok.RefreshToken] = true
	}
	_, err = config.TokenSource(context.Background(), expired(first)).Token()
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || refused.ErrorCode != "invalid_grant" {
		t.Errorf("the first refresh token again: %v, want invalid_grant", err)
	}
}

func expired(tok *oauth2.Token) *oauth2.Token {
	was := *tok
	was.Expiry = time.Now().Add(-time.Minute)
	return &was
}
