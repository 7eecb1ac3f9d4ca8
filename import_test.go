package gatehouse_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// old is a token of the system that is replaced.
func old(name string) secret.Text { return secret.New("old-" + name + "-5f1c0b77a2") }

func reasonOf(err error) gatehouse.Reason {
	if err == nil {
		return "none"
	}
	return gatehouse.AsError(err).Reason
}

func codeOf(err error) gatehouse.Code {
	if err == nil {
		return "none"
	}
	return gatehouse.AsError(err).Code
}

func (w *world) imports(t testing.TB, items []gatehouse.ImportToken, want ...gatehouse.ImportStatus) {
	t.Helper()
	results, err := w.ImportTokens(ctx, operator, items, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Status != want[i] {
			t.Errorf("item %d: %s (%v), want %s", i, r.Status, r.Err, want[i])
		}
	}
}

func importOf(p *partner, name string, expires time.Time) gatehouse.ImportToken {
	return gatehouse.ImportToken{
		SHA256: sha256.Sum256([]byte(old(name).Reveal())), Client: p.ID, Environment: gatehouse.Live, Name: name,
		IssuedAt: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), ExpiresAt: expires,
	}
}

func TestImportedTokenStands(t *testing.T) {
	w := newWorld(t)
	p, other := w.partner(t, gatehouse.OAuth2), w.partner(t, "rotate")
	soon := w.Now().Add(time.Hour)
	a, b, gone := importOf(p, "a", soon), importOf(p, "b", time.Time{}), importOf(p, "gone", w.Now().Add(-time.Hour))
	read := []string{"read"}
	b.Scopes, b.User, b.Environment = &read, "user-7", gatehouse.Sandbox
	foreign := importOf(other, "c", soon)

	if _, err := w.Validate(ctx, old("a"), gatehouse.Requirement{}); reasonOf(err) != gatehouse.ReasonMalformed {
		t.Fatalf("before the import: %v", err)
	}
	dry, err := w.ImportTokens(ctx, operator, []gatehouse.ImportToken{a}, true)
	if err != nil || dry[0].Status != gatehouse.ImportNew {
		t.Fatal(dry, err)
	}
	if _, err := w.Validate(ctx, old("a"), gatehouse.Requirement{}); err == nil {
		t.Fatal("a dry run has imported")
	}
	items := []gatehouse.ImportToken{a, b, gone, foreign}
	w.imports(t, items, gatehouse.ImportNew, gatehouse.ImportNew, gatehouse.ImportExpired, gatehouse.ImportNew)
	w.imports(t, items, gatehouse.ImportUnchanged, gatehouse.ImportUnchanged, gatehouse.ImportExpired, gatehouse.ImportUnchanged)

	got, err := w.Validate(ctx, old("a"), gatehouse.Requirement{Environment: gatehouse.Live, Scopes: []string{"write"}, Dialect: gatehouse.OAuth2})
	if err != nil || got.Client != p.ID || !got.IssuedAt.Equal(a.IssuedAt) || !got.ExpiresAt.Equal(soon) {
		t.Fatal(got, err)
	}
	if _, err := w.Validate(ctx, old("a"), gatehouse.Requirement{Environment: gatehouse.Sandbox}); reasonOf(err) != gatehouse.ReasonWrongEnvironment {
		t.Error("a live token on sandbox:", err)
	}
	if got, err = w.Validate(ctx, old("b"), gatehouse.Requirement{Environment: gatehouse.Sandbox}); err != nil || got.Scope != "read" || got.Subject != "user-7" || !got.ExpiresAt.IsZero() {
		t.Error(got, err)
	}
	if _, err := w.Validate(ctx, old("b"), gatehouse.Requirement{Environment: gatehouse.Sandbox, Scopes: []string{"write"}}); codeOf(err) != gatehouse.InsufficientScope {
		t.Error("scope:", err)
	}
	for _, none := range []string{"gone", "never"} {
		if _, err := w.Validate(ctx, old(none), gatehouse.Requirement{}); codeOf(err) != gatehouse.InvalidToken {
			t.Errorf("%s: %v", none, err)
		}
	}
	// The SHA-256 of a token is no token, and nothing of it is on disk as it came.
	if _, err := w.Validate(ctx, secret.New(fmt.Sprintf("%x", a.SHA256)), gatehouse.Requirement{}); err == nil {
		t.Error("a digest passes as a token")
	}
	seen, err := w.Inspect(ctx, old("a"))
	if err != nil || bytes.Contains(seen.Record.Digest, a.SHA256[:]) || !seen.Record.ID.Derived() {
		t.Error("kept as it came", err)
	}
	// It can't be refreshed or exchanged, and its client introspects it.
	if _, err := w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: gatehouse.OAuth2, Token: old("a")}); err == nil {
		t.Error("an imported access token refreshed")
	}
	for who, active := range map[*partner]bool{p: true, other: false} {
		got, err := w.Introspect(ctx, &gatehouse.Principal{Client: who.Client, Environment: gatehouse.Live}, old("a"))
		if err != nil || got.Active != active {
			t.Errorf("introspected: %+v, %v", got, err)
		}
	}
	// It ends like any other, survives a restart, and a second import revives nothing.
	if done, err := w.RevokeToken(ctx, operator, old("a")); err != nil || done.Tokens != 1 {
		t.Fatal(done, err)
	}
	w.imports(t, []gatehouse.ImportToken{a}, gatehouse.ImportUnchanged)
	w.restart(t)
	if _, err := w.Validate(ctx, old("a"), gatehouse.Requirement{}); reasonOf(err) != gatehouse.ReasonRevoked {
		t.Error("after its revocation:", err)
	}
	if _, err := w.Validate(ctx, old("c"), gatehouse.Requirement{}); err != nil {
		t.Error("after a restart:", err)
	}
	w.clock.advance(time.Hour)
	if _, err := w.Validate(ctx, old("c"), gatehouse.Requirement{}); codeOf(err) != gatehouse.ExpiredToken {
		t.Error("after its end:", err)
	}
	if _, err := w.SetClientState(ctx, operator, p.ID, gatehouse.Disabled); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Validate(ctx, old("b"), gatehouse.Requirement{}); reasonOf(err) != gatehouse.ReasonClientDisabled {
		t.Error("of a disabled client:", err)
	}
}

func TestImportRefusals(t *testing.T) {
	w := newWorld(t)
	p, off := w.partner(t, gatehouse.OAuth2), w.partner(t, gatehouse.OAuth2)
	ended := w.partner(t, gatehouse.OAuth2)
	if _, err := w.SetClientState(ctx, operator, off.ID, gatehouse.Disabled); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Revoke(ctx, operator, gatehouse.Selection{Client: ended.ID, Environment: gatehouse.Live}); err != nil {
		t.Fatal(err)
	}
	soon := w.Now().Add(time.Hour)
	change := func(f func(*gatehouse.ImportToken)) gatehouse.ImportToken {
		i := importOf(p, "x", soon)
		f(&i)
		return i
	}
	more := []string{"read", "admin"}
	for name, one := range map[string]struct {
		item  gatehouse.ImportToken
		field string
	}{
		"unknown client":    {change(func(i *gatehouse.ImportToken) { i.Client = "nobody" }), "client_id"},
		"disabled client":   {change(func(i *gatehouse.ImportToken) { i.Client = off.ID }), ""},
		"ended client":      {change(func(i *gatehouse.ImportToken) { i.Client = ended.ID }), "issued"},
		"environment":       {change(func(i *gatehouse.ImportToken) { i.Environment = "test" }), "environment"},
		"scope":             {change(func(i *gatehouse.ImportToken) { i.Scopes = &more }), "scopes"},
		"from the future":   {change(func(i *gatehouse.ImportToken) { i.IssuedAt = w.Now().Add(time.Minute) }), "issued"},
		"ends before":       {change(func(i *gatehouse.ImportToken) { i.ExpiresAt = i.IssuedAt.Add(-time.Second) }), "expires"},
		"name with newline": {change(func(i *gatehouse.ImportToken) { i.Name = "a\r\nb" }), "name"},
	} {
		results, err := w.ImportTokens(ctx, operator, []gatehouse.ImportToken{one.item}, false)
		if err != nil || results[0].Status != gatehouse.ImportRefused || results[0].Err.Field != one.field || results[0].Err.Message == "" {
			t.Errorf("%s: %+v, %v", name, results, err)
		}
	}
	// One token is one line, and what is here isn't changed.
	a := importOf(p, "a", soon)
	w.imports(t, []gatehouse.ImportToken{a, a}, gatehouse.ImportNew, gatehouse.ImportRefused)
	later := a
	later.ExpiresAt = soon.Add(time.Hour)
	w.imports(t, []gatehouse.ImportToken{later}, gatehouse.ImportRefused)
	if got, err := w.Validate(ctx, old("a"), gatehouse.Requirement{}); err != nil || !got.ExpiresAt.Equal(soon) {
		t.Error(got, err)
	}
}

// A token of the old system may look like anything, like one of ours too.
func TestImportedTokenOfAnyForm(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	for _, form := range []string{
		"x", "12|plain text", "a.b", "eyJhbGciOiJub25lIn0.e30.", "ünï", "v1.local.abc.def", " leading",
		token.NewOpaque(token.Prefix("live", token.AccessToken), token.NewID(w.Now())).Reveal(),
	} {
		item := importOf(p, "any", time.Time{})
		item.SHA256 = sha256.Sum256([]byte(form))
		w.imports(t, []gatehouse.ImportToken{item}, gatehouse.ImportNew)
		if got, err := w.Validate(ctx, secret.New(form), gatehouse.Requirement{Environment: gatehouse.Live}); err != nil || got.Client != p.ID {
			t.Errorf("%q: %v", form, err)
		}
	}
}

// What still comes is counted for each client, over restarts.
func TestSightings(t *testing.T) {
	w := newWorld(t)
	p, quiet := w.partner(t, gatehouse.OAuth2), w.partner(t, gatehouse.OAuth2)
	w.imports(t, []gatehouse.ImportToken{importOf(p, "a", time.Time{}), importOf(quiet, "q", time.Time{})}, gatehouse.ImportNew, gatehouse.ImportNew)
	for day := range 3 {
		for range 1 + day {
			if _, err := w.Validate(ctx, old("a"), gatehouse.Requirement{}); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = w.Validate(ctx, old("nobody's"), gatehouse.Requirement{})
		if err := w.Upkeep(ctx); err != nil {
			t.Fatal(err)
		}
		w.restart(t)
		w.clock.advance(24 * time.Hour)
	}
	got, err := w.Sightings(ctx)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	s := got[0]
	if s.Client != p.ID || s.Source != gatehouse.ImportedTokens || s.Total != 6 || s.Days["2026-03-03"] != 3 || s.Last.Format(time.DateOnly) != "2026-03-03" || s.First.Format(time.DateOnly) != "2026-03-01" {
		t.Errorf("%+v", s)
	}
}

// A gate away from the store knows imported tokens from the node, and asks only
// where there are any.
func TestRemoteKnowsImportedTokens(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	r := w.far(t)
	if _, err := r.Validate(ctx, old("a"), gatehouse.Requirement{}); reasonOf(err) != gatehouse.ReasonMalformed {
		t.Fatal("before:", err)
	}
	w.imports(t, []gatehouse.ImportToken{importOf(p, "a", time.Time{})}, gatehouse.ImportNew)
	w.tell(t, r)
	if got, err := r.Validate(ctx, old("a"), gatehouse.Requirement{Environment: gatehouse.Live}); err != nil || got.Client != p.ID {
		t.Fatal(got, err)
	}
	if _, err := r.Validate(ctx, old("b"), gatehouse.Requirement{}); codeOf(err) != gatehouse.InvalidToken {
		t.Error("one that was never imported:", err)
	}
	if _, err := w.RevokeToken(ctx, operator, old("a")); err != nil {
		t.Fatal(err)
	}
	w.tell(t, r)
	if _, err := r.Validate(ctx, old("a"), gatehouse.Requirement{}); reasonOf(err) != gatehouse.ReasonRevoked {
		t.Error("revoked:", err)
	}
}
