package admin

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

// served is the API of a real engine, whose clock is ahead by what ahead says.
func served(t *testing.T) (api http.Handler, ahead *atomic.Int64, log *bytes.Buffer) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	sealer, err := credential.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	ahead, log = &atomic.Int64{}, &bytes.Buffer{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	engine, err := gatehouse.Open(t.Context(), gatehouse.Config{
		Store: store, Sealer: sealer, DefaultIssuer: "http://127.0.0.1", Logger: logger,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{
		Engine: engine, Dialects: func() []*dialect.Dialect { return nil }, Environments: gatehouse.Environments,
		Token: secret.New(testToken), Logger: logger, Ready: func(context.Context) error { return nil },
	}), ahead, log
}

// post returns the status, the answer and what it holds.
func post(t *testing.T, api http.Handler, path, key, body string, into any) (status int, answer string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/admin/v1"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s may be cached", path)
	}
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s: %d %s: %v", path, w.Code, w.Body, err)
		}
	}
	return w.Code, w.Body.String()
}

// A replay shows the credentials again for as long as the answer is sealed, and
// says that it leaves them out afterwards.
func TestReplay(t *testing.T) {
	api, ahead, log := served(t)
	const body = `{"name":"acme","dialect":"oauth2"}`
	var first, again, late CreatedClient
	if status, answer := post(t, api, "/clients", "k", body, &first); status != http.StatusCreated {
		t.Fatalf("%d %s", status, answer)
	}
	ahead.Store(int64(14 * time.Minute))
	post(t, api, "/clients", "k", body, &again)
	ahead.Store(int64(16 * time.Minute))
	status, answer := post(t, api, "/clients", "k", body, &late)
	shown := first.Secrets[0].ClientSecret
	if !again.Secrets[0].ClientSecret.Equal(shown.Text) || again.SecretsOmitted || again.ClientID != first.ClientID {
		t.Errorf("the replay within 15 minutes is %+v", again)
	}
	if status != http.StatusCreated || late.ClientID != first.ClientID || !late.SecretsOmitted || strings.Contains(answer, "client_secret\"") {
		t.Errorf("the late replay is %d %s", status, answer)
	}

	var token, tokenLate IssuedToken
	body2 := `{"client_id":"` + first.ClientID + `","environment":"live"}`
	post(t, api, "/tokens", "k2", body2, &token)
	ahead.Store(int64(40 * time.Minute))
	if _, answer := post(t, api, "/tokens", "k2", body2, &tokenLate); tokenLate.TokenID != token.TokenID || !tokenLate.SecretsOmitted || strings.Contains(answer, "access_token") {
		t.Errorf("the late replay is %s", answer)
	}
	if status, answer := post(t, api, "/tokens", "k2", `{"client_id":"`+first.ClientID+`","environment":"sandbox"}`, nil); status != http.StatusUnprocessableEntity {
		t.Errorf("another body is answered %d %s", status, answer)
	}

	for _, hidden := range []string{shown.Reveal(), token.AccessToken.Reveal(), testToken} {
		if strings.Contains(log.String(), hidden) {
			t.Error("a credential is in the log")
		}
	}
}

// Many at once under one key: one is done, the others are told to wait or get
// its answer.
func TestReplayInFlight(t *testing.T) {
	api, _, _ := served(t)
	const tries = 16
	statuses := make(chan int, tries)
	for range tries {
		go func() {
			status, _ := post(t, api, "/clients", "k", `{"name":"acme","dialect":"oauth2"}`, nil)
			statuses <- status
		}()
	}
	for range tries {
		if status := <-statuses; status != http.StatusCreated && status != http.StatusConflict {
			t.Errorf("status %d", status)
		}
	}
	var list List[Client]
	r := httptest.NewRequest(http.MethodGet, "/admin/v1/clients", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Authorization", "Bearer "+testToken)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Items) != 1 {
		t.Errorf("%d clients were made, %v", len(list.Items), err)
	}
}
