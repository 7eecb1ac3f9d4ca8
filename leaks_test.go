package gatehouse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func TestLeaks(t *testing.T) {
	w := newWorld(t)
	by := gatehouse.System("test")
	jwtPartner, opaquePartner := w.partner(t, gatehouse.OAuth2), w.partner(t, "reuse")
	jwt, opaque := w.issue(t, jwtPartner, gatehouse.Live), w.issue(t, opaquePartner, gatehouse.Live)
	other := w.issue(t, jwtPartner, gatehouse.Live)
	key := jwtPartner.secrets[gatehouse.Live]
	var text strings.Builder
	fmt.Fprintf(&text, "curl -H 'Authorization: Bearer %s' https://api.example\n", jwt.Access.Reveal())
	fmt.Fprintf(&text, "TOKEN=%s; again %s\n", opaque.Access.Reveal(), opaque.Access.Reveal())
	fmt.Fprintf(&text, "my-%s and %sx and %s\n", key.Reveal(), opaque.Access.Reveal(), strings.Repeat("eyJhbGciOiJFZERTQSJ9.", 3))
	leaks, err := w.ReportLeak(ctx, by, "a public repository", text.String(), false)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]gatehouse.LeakStatus{}
	for _, l := range leaks {
		word := text.String()[l.At : l.At+l.Length]
		got[word] = l.Status
	}
	for word, want := range map[string]gatehouse.LeakStatus{
		jwt.Access.Reveal(): gatehouse.LeakRevoked, opaque.Access.Reveal(): gatehouse.LeakRevoked, key.Reveal(): gatehouse.LeakFlagged,
	} {
		if got[word] != want {
			t.Errorf("%s: %q, want %q", secret.New(word), got[word], want)
		}
	}
	if len(leaks) != 3 {
		t.Errorf("%d leaks, want 3: %+v", len(leaks), leaks)
	}
	w.refuses(t, jwt.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	w.refuses(t, opaque.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	w.passes(t, other.Access)
	w.issue(t, jwtPartner, gatehouse.Live) // the secret works on: it was only flagged

	// Twice changes nothing; by policy a secret ends, with what it obtained.
	leaks, err = w.ReportLeak(ctx, by, "again", text.String(), true)
	if err != nil || len(leaks) != 3 {
		t.Fatal(leaks, err)
	}
	for _, l := range leaks {
		switch {
		case l.Kind == "client_secret" && (l.Status != gatehouse.LeakRetired || l.Stopped != 2):
			t.Errorf("the secret is %s, and %d tokens ended with it", l.Status, l.Stopped)
		case l.Kind != "client_secret" && l.Status != gatehouse.LeakOver:
			t.Errorf("%s is %s", l.Kind, l.Status)
		}
	}
	w.refuses(t, other.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)

	events, err := w.Audit(ctx, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string]int{}
	for _, e := range events {
		actions[e.Action]++
		if s := fmt.Sprint(e); strings.Contains(s, jwt.Access.Reveal()) || strings.Contains(s, key.Reveal()) {
			t.Errorf("an audit event holds what leaked: %s", e.Action)
		}
	}
	if actions["token.leaked"] != 2 || actions["secret.leaked"] != 2 || actions["secret.compromised"] != 1 {
		t.Errorf("the audit record has %v", actions)
	}
	if leaks, err := w.ReportLeak(ctx, by, "", strings.Repeat("nothing of ours, "+strings.Repeat("A", 71)+" ", 500), true); err != nil || len(leaks) != 0 {
		t.Error(leaks, err)
	}
}
