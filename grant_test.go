package gatehouse_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func TestIssueGivesWhatThePolicySays(t *testing.T) {
	w := newWorld(t)
	for _, dialect := range []string{gatehouse.OAuth2, "reuse", "rotate", "separate", "domain"} {
		p := w.partner(t, dialect)
		for _, env := range gatehouse.Environments {
			issued := w.issue(t, p, env)
			policy, _ := w.Policy(dialect)
			if issued.Life != policy.Life || !issued.Record.ExpiresAt.Equal(w.clock.now().Add(policy.Life)) {
				t.Errorf("%s: life %v until %v", dialect, issued.Life, issued.Record.ExpiresAt)
			}
			c, err := w.Validate(ctx, issued.Access, gatehouse.Requirement{Environment: env, Scopes: []string{"write"}})
			if err != nil {
				t.Fatalf("%s in %s: %v", dialect, env, err)
			}
			wire, _ := p.WireID(env)
			if c.ClientID != wire || c.Token != issued.Record.ID || c.Scope != "read write" || !c.ExpiresAt.Equal(issued.Record.ExpiresAt) || !c.IssuedAt.Equal(issued.Record.IssuedAt) {
				t.Errorf("%s in %s: claims %+v", dialect, env, c)
			}
			wantRefresh := dialect == "reuse" || dialect == "rotate"
			if got := !issued.Refresh.IsZero(); got != wantRefresh {
				t.Errorf("%s: refresh token %v, want %v", dialect, got, wantRefresh)
			}
		}
	}
}

func TestLifeAskedFor(t *testing.T) {
	w := newWorld(t)
	plain := w.partner(t, "separate")
	longer := w.partner(t, "separate", func(n *gatehouse.NewClient) { n.MaxTTL = 48 * time.Hour })
	shorter := w.partner(t, "separate", func(n *gatehouse.NewClient) { n.MaxTTL = time.Hour })
	for _, c := range []struct {
		p         *partner
		ask, want time.Duration
	}{
		{plain, 0, 24 * time.Hour},
		{plain, time.Minute, time.Minute},
		{plain, 100001 * time.Second, 24 * time.Hour},
		{longer, 0, 24 * time.Hour},
		{longer, 100001 * time.Second, 100001 * time.Second},
		{longer, 72 * time.Hour, 48 * time.Hour},
		{shorter, 0, time.Hour},
		{shorter, 2 * time.Hour, time.Hour},
	} {
		issued, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: c.p.proof(gatehouse.Live), Life: c.ask})
		if err != nil {
			t.Fatal(err)
		}
		if issued.Life != c.want {
			t.Errorf("asked %v, got %v, want %v", c.ask, issued.Life, c.want)
		}
	}
	for _, ask := range []time.Duration{-time.Second, 1500 * time.Millisecond} {
		_, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: plain.proof(gatehouse.Live), Life: ask})
		refused(t, err, gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	}
}

func TestScopesAndResources(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	ask := func(scopes, resources []string) (*gatehouse.Issued, error) {
		return w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live), Scopes: scopes, Resources: resources})
	}
	issued, err := ask([]string{"read", "read"}, []string{"https://api.example/v1"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(issued.Record.Scopes, []string{"read"}) || !slices.Equal(issued.Record.Audience, []string{"https://api.example/v1"}) {
		t.Errorf("got scopes %q for %q", issued.Record.Scopes, issued.Record.Audience)
	}
	_, err = w.Validate(ctx, issued.Access, gatehouse.Requirement{Scopes: []string{"write"}})
	refused(t, err, gatehouse.InsufficientScope, gatehouse.ReasonScope)
	_, err = w.Validate(ctx, issued.Access, gatehouse.Requirement{Audience: "https://other.example"})
	refused(t, err, gatehouse.InvalidToken, gatehouse.ReasonWrongAudience)
	_, err = ask([]string{"read", "admin"}, nil)
	refused(t, err, gatehouse.InvalidScope, gatehouse.ReasonScope)
	for _, r := range []string{"relative", "https://api.example/#f", "https://api.example/a b", "", "https://"} {
		_, err = ask(nil, []string{r})
		refused(t, err, gatehouse.InvalidTarget, gatehouse.ReasonWrongAudience)
	}
}

// What is wrong with credentials is the owner's to know; every caller hears
// InvalidClient.
func TestWrongCredentials(t *testing.T) {
	w := newWorld(t)
	p, other := w.partner(t, "reuse"), w.partner(t, "reuse")
	disabled, deleted, retired := w.partner(t, "reuse"), w.partner(t, "reuse"), w.partner(t, "reuse")
	separate := w.partner(t, "separate")
	must(t)(w.SetClientState(ctx, operator, disabled.ID, gatehouse.Disabled))
	must(t)(w.SetClientState(ctx, operator, deleted.ID, gatehouse.Deleted))
	must(t)(w.AddSecret(ctx, operator, retired.ID, gatehouse.Live, secret.Text{}, nil))
	must(t)(w.RetireSecret(ctx, operator, retired.LiveSecrets(gatehouse.Live)[0].ID, false))
	live := gatehouse.Live
	crossed := separate.proof(live)
	crossed.ClientID = separate.IDs[gatehouse.Sandbox]
	foreign := p.proof(live)
	foreign.Dialect = "rotate"
	for name, c := range map[string]struct {
		proof  gatehouse.ClientProof
		reason gatehouse.Reason
	}{
		"unknown client":         {gatehouse.ClientProof{Dialect: "reuse", ClientID: "nobody", Secret: p.secrets[live]}, gatehouse.ReasonUnknownClient},
		"wrong secret":           {gatehouse.ClientProof{Dialect: "reuse", ClientID: p.ID, Secret: other.secrets[live]}, gatehouse.ReasonWrongSecret},
		"no secret":              {gatehouse.ClientProof{Dialect: "reuse", ClientID: p.ID}, gatehouse.ReasonMalformed},
		"disabled":               {disabled.proof(live), gatehouse.ReasonClientDisabled},
		"deleted":                {deleted.proof(live), gatehouse.ReasonClientDeleted},
		"retired secret":         {retired.proof(live), gatehouse.ReasonRetiredSecret},
		"another dialect":        {foreign, gatehouse.ReasonOtherDialect},
		"other environment's id": {crossed, gatehouse.ReasonWrongEnvironment},
	} {
		_, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: c.proof})
		t.Log(name)
		refused(t, err, gatehouse.InvalidClient, c.reason)
		if e := gatehouse.AsError(err); e.Message != "" {
			t.Errorf("%s: the caller is told %q", name, e.Message)
		}
	}
}

func must(t testing.TB) func(any, error) {
	t.Helper()
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefreshReuse(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, "reuse")
	first := w.issue(t, p, gatehouse.Live)
	refresh := func() (*gatehouse.Issued, error) {
		return w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: "reuse", Token: first.Refresh})
	}
	for range 3 {
		w.clock.advance(7 * time.Hour)
		again, err := refresh()
		if err != nil {
			t.Fatal(err)
		}
		if !again.Refresh.IsZero() || again.Record.Grant != first.Record.Grant || again.Record.Parent != first.RefreshRecord.ID {
			t.Errorf("refreshed to %+v", again)
		}
		w.passes(t, again.Access)
	}
	w.clock.advance(3*time.Hour - time.Second) // the end stays 24 hours after the issue
	must(t)(refresh())
	w.clock.advance(time.Second)
	_, err := refresh()
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonExpired)
}

func TestRefreshRotates(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Refresh = true })
	other := w.partner(t, gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Refresh = true })
	refresh := func(tok secret.Text, proof gatehouse.ClientProof) (*gatehouse.Issued, error) {
		return w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: gatehouse.OAuth2, Token: tok, Proof: &proof})
	}
	first := w.issue(t, p, gatehouse.Live)
	_, err := refresh(first.Refresh, other.proof(gatehouse.Live))
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonWrongClient)
	_, err = refresh(first.Refresh, p.proof(gatehouse.Sandbox))
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonWrongEnvironment)
	_, err = refresh(first.Access, p.proof(gatehouse.Live))
	refused(t, err, gatehouse.InvalidGrant, "")

	second, err := refresh(first.Refresh, p.proof(gatehouse.Live))
	if err != nil {
		t.Fatal(err)
	}
	if second.Refresh.IsZero() || second.Refresh.Equal(first.Refresh) {
		t.Error("the refresh token did not rotate")
	}
	rows, err := w.Tokens(ctx, gatehouse.TokenQuery{Client: p.ID, Kinds: []gatehouse.TokenKind{gatehouse.RefreshToken}, Status: gatehouse.StatusRevoked, Limit: 10})
	if err != nil || len(rows) != 1 || rows[0].ID != first.RefreshRecord.ID {
		t.Errorf("the spent refresh token is not listed as ended: %+v, %v", rows, err)
	}
	// A lost answer, asked for again at once, gets nothing and ends nothing.
	w.clock.advance(10 * time.Second)
	_, err = refresh(first.Refresh, p.proof(gatehouse.Live))
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonSpent)
	w.passes(t, second.Access)
	// Later it is a theft: the family ends.
	w.clock.advance(time.Second)
	_, err = refresh(first.Refresh, p.proof(gatehouse.Live))
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonReplayed)
	w.refuses(t, second.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	w.refuses(t, first.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	_, err = refresh(second.Refresh, p.proof(gatehouse.Live))
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonRevoked)
}

func TestRefreshNarrows(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Refresh = true })
	issued, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live), Scopes: []string{"read"}, Resources: []string{"https://a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	proof := p.proof(gatehouse.Live)
	r := gatehouse.RefreshRequest{Dialect: gatehouse.OAuth2, Token: issued.Refresh, Proof: &proof}
	r.Scopes = []string{"write"}
	_, err = w.Refresh(ctx, caller, r)
	refused(t, err, gatehouse.InvalidScope, gatehouse.ReasonScope)
	r.Scopes, r.Resources = nil, []string{"https://b.example"}
	_, err = w.Refresh(ctx, caller, r)
	refused(t, err, gatehouse.InvalidTarget, gatehouse.ReasonWrongAudience)
	r.Resources = nil
	again, err := w.Refresh(ctx, caller, r)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Record.Scopes, []string{"read"}) || !slices.Equal(again.Record.Audience, []string{"https://a.example"}) {
		t.Errorf("refreshed to scopes %q for %q", again.Record.Scopes, again.Record.Audience)
	}
}

func TestExchange(t *testing.T) {
	w := newWorld(t)
	p, other := w.partner(t, "codes"), w.partner(t, "codes")
	l, second := w.link(t, p, gatehouse.Live), w.link(t, p, gatehouse.Live)
	right := p.exchange(l)

	// The code survives everything that isn't right.
	for name, c := range map[string]struct {
		change func(*gatehouse.ExchangeRequest)
		code   gatehouse.Code
		reason gatehouse.Reason
	}{
		"wrong secret":       {func(r *gatehouse.ExchangeRequest) { r.Secret = other.secrets[gatehouse.Live] }, gatehouse.InvalidClient, gatehouse.ReasonWrongSecret},
		"sandbox's secret":   {func(r *gatehouse.ExchangeRequest) { r.Secret = p.secrets[gatehouse.Sandbox] }, gatehouse.InvalidGrant, gatehouse.ReasonWrongEnvironment},
		"another connection": {func(r *gatehouse.ExchangeRequest) { r.Connection = second.Connection.ID.String() }, gatehouse.InvalidGrant, gatehouse.ReasonWrongConnection},
		"no connection":      {func(r *gatehouse.ExchangeRequest) { r.Connection = "" }, gatehouse.InvalidGrant, gatehouse.ReasonWrongConnection},
		"a cut code":         {func(r *gatehouse.ExchangeRequest) { r.Code = secret.New(r.Code.Reveal()[:40]) }, gatehouse.InvalidGrant, gatehouse.ReasonMalformed},
		"another dialect":    {func(r *gatehouse.ExchangeRequest) { r.Dialect = "reuse" }, gatehouse.InvalidClient, gatehouse.ReasonOtherDialect},
	} {
		r := right
		c.change(&r)
		t.Log(name)
		_, err := w.Exchange(ctx, caller, r)
		refused(t, err, c.code, c.reason)
	}
	w.refuses(t, l.AccessCode, gatehouse.InvalidToken, gatehouse.ReasonWrongKind) // a code is no token

	issued, err := w.Exchange(ctx, caller, right)
	if err != nil {
		t.Fatal(err)
	}
	if issued.Record.ID != l.Connection.Token || !issued.Record.ExpiresAt.IsZero() || issued.Record.User != "user-1" {
		t.Errorf("exchanged for %+v", issued.Record)
	}
	w.clock.advance(10 * 365 * 24 * time.Hour)
	w.passes(t, issued.Access) // permanent

	if err := w.DelinkByToken(ctx, caller, "codes", issued.Access, p.secrets[gatehouse.Live], second.UserSecret); err == nil {
		t.Error("delinked with another user's secret")
	}
	w.passes(t, issued.Access)
	if err := w.DelinkByToken(ctx, caller, "codes", issued.Access, p.secrets[gatehouse.Live], l.UserSecret); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, issued.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	w.restart(t)
	w.refuses(t, issued.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
}

func TestCodeExpires(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, "codes")
	l, l2 := w.link(t, p, gatehouse.Live), w.link(t, p, gatehouse.Live)
	w.clock.advance(30*time.Minute - time.Second)
	must(t)(w.Exchange(ctx, caller, p.exchange(l)))
	w.clock.advance(time.Second)
	_, err := w.Exchange(ctx, caller, p.exchange(l2))
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonExpired)
}

// Promise 7: of many tries at once, one succeeds; a replay later ends what it gave.
func TestCodeIsExchangedOnce(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, "codes")
	for range 3 {
		l := w.link(t, p, gatehouse.Sandbox)
		var won, lost atomic.Int32
		var got atomic.Pointer[gatehouse.Issued]
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				issued, err := w.Exchange(ctx, caller, p.exchange(l))
				if err == nil {
					won.Add(1)
					got.Store(issued)
				} else if e := gatehouse.AsError(err); e.Code == gatehouse.InvalidGrant && e.Reason == gatehouse.ReasonSpent {
					lost.Add(1)
				} else {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || lost.Load() != 999 {
			t.Fatalf("%d tries succeeded, %d were told that the code is spent", won.Load(), lost.Load())
		}
		w.passes(t, got.Load().Access)
		w.clock.advance(11 * time.Second)
		_, err := w.Exchange(ctx, caller, p.exchange(l))
		refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonReplayed)
		w.refuses(t, got.Load().Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	}
}

// Promise 8: after a grant is revoked none of its descendants lives, however
// the refreshes raced with it.
func TestRefreshAgainstRevoke(t *testing.T) {
	races := 300
	if soak() {
		races = 10_000
	}
	w := newWorld(t)
	p := w.partner(t, "reuse")
	for i := range races {
		first := w.issue(t, p, gatehouse.Live)
		var group sync.WaitGroup
		var mu sync.Mutex
		given := []secret.Text{first.Access}
		for range 4 {
			group.Go(func() {
				again, err := w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: "reuse", Token: first.Refresh})
				if err == nil {
					mu.Lock()
					given = append(given, again.Access)
					mu.Unlock()
				} else if gatehouse.AsError(err).Code != gatehouse.InvalidGrant {
					t.Error(err)
				}
			})
		}
		group.Go(func() {
			if _, err := w.RevokeToken(ctx, operator, first.Refresh); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		for _, tok := range given {
			if _, err := w.Validate(ctx, tok, gatehouse.Requirement{}); err == nil {
				t.Fatalf("race %d: one of %d tokens of a revoked grant lives", i, len(given))
			}
		}
	}
	t.Logf("0 survivors of %d races", races)
}

// Promise 21: a grant whose record can't be written is not made.
func TestNoGrantWithoutRecord(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	issued, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live)})
	if issued != nil || !errors.Is(err, gatehouse.ErrStore) || gatehouse.AsError(err).Code != gatehouse.Unavailable {
		t.Errorf("with the ledger closed: %v, %v", issued, err)
	}
	w.start(t)
}
