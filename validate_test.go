package gatehouse_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// Promise 9: no token of one environment passes in the other, whatever is done
// to it.
func TestEnvironmentsNeverCross(t *testing.T) {
	w := newWorld(t)
	other := map[gatehouse.Environment]gatehouse.Environment{gatehouse.Live: gatehouse.Sandbox, gatehouse.Sandbox: gatehouse.Live}
	crossings := 0
	for _, dialect := range []string{gatehouse.OAuth2, "reuse", "separate", "domain"} {
		p := w.partner(t, dialect)
		for env, wrong := range other {
			tok := w.issue(t, p, env).Access
			must(t)(w.Validate(ctx, tok, gatehouse.Requirement{Environment: env}))
			_, err := w.Validate(ctx, tok, gatehouse.Requirement{Environment: wrong})
			refused(t, err, gatehouse.InvalidToken, gatehouse.ReasonWrongEnvironment)
			swapped := strings.NewReplacer("sandbox_", "live_", "live_", "sandbox_", string(env), string(wrong)).Replace(tok.Reveal())
			if swapped != tok.Reveal() {
				crossings++
				_, err = w.Validate(ctx, secret.New(swapped), gatehouse.Requirement{})
				refused(t, err, gatehouse.InvalidToken, "")
			}
		}
	}
	if crossings == 0 {
		t.Error("no token had a prefix to swap")
	}
}

// Promise 14: an expiry is exact; a clock set back revives nothing.
func TestExpiryIsExact(t *testing.T) {
	w := newWorld(t)
	for _, dialect := range []string{gatehouse.OAuth2, "reuse"} {
		w.clock.advance(300 * time.Millisecond) // lives are counted from whole seconds
		p := w.partner(t, dialect)
		for _, remembered := range []bool{true, false} {
			issued := w.issue(t, p, gatehouse.Live)
			if remembered {
				w.passes(t, issued.Access)
			}
			w.clock.advance(issued.Record.ExpiresAt.Sub(w.clock.now()) - time.Millisecond)
			if remembered {
				w.passes(t, issued.Access)
			}
			w.clock.advance(time.Millisecond)
			w.refuses(t, issued.Access, gatehouse.ExpiredToken, gatehouse.ReasonExpired)
			w.clock.advance(-time.Hour)
			w.refuses(t, issued.Access, gatehouse.ExpiredToken, gatehouse.ReasonExpired)
			w.clock.advance(time.Hour + 24*time.Hour)
			w.refuses(t, issued.Access, gatehouse.ExpiredToken, gatehouse.ReasonExpired)
			w.clock.advance(time.Second)
			w.refuses(t, issued.Access, gatehouse.InvalidToken, "")
		}
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, "reuse")
	issued := w.issue(t, p, gatehouse.Live)
	w.refuses(t, secret.Text{}, gatehouse.MissingToken, gatehouse.ReasonMalformed)
	w.refuses(t, issued.Refresh, gatehouse.InvalidToken, gatehouse.ReasonWrongKind)
	w.refuses(t, token.NewOpaque("gate_live_at_", token.NewID(w.clock.now())), gatehouse.InvalidToken, gatehouse.ReasonUnknownToken)
	// The row is found by the id in the token, but the rest must be the token's too.
	w.refuses(t, token.NewOpaque("gate_live_at_", issued.Record.ID), gatehouse.InvalidToken, gatehouse.ReasonUnknownToken)
	for _, bad := range []string{"x", ".", "..", "a.b.c", strings.Repeat(".", 1_000_000), strings.Repeat("a", 20_000), issued.Access.Reveal() + "a", issued.Access.Reveal()[1:]} {
		w.refuses(t, secret.New(bad), gatehouse.InvalidToken, "")
	}
	// A token of a key that signs for another format is not of that format.
	standard := w.issue(t, w.partner(t, gatehouse.OAuth2), gatehouse.Live).Access
	_, err := w.Validate(ctx, standard, gatehouse.Requirement{Dialect: "reuse"})
	refused(t, err, gatehouse.InvalidToken, gatehouse.ReasonOtherDialect)
}

// Promise 10: disabling stops everything that a client holds.
func TestDisabledClientStops(t *testing.T) {
	w := newWorld(t)
	p, codes := w.partner(t, "reuse"), w.partner(t, "codes")
	issued := w.issue(t, p, gatehouse.Live)
	l := w.link(t, codes, gatehouse.Live)
	w.passes(t, issued.Access)
	must(t)(w.SetClientState(ctx, operator, p.ID, gatehouse.Disabled))
	must(t)(w.SetClientState(ctx, operator, codes.ID, gatehouse.Disabled))
	w.refuses(t, issued.Access, gatehouse.InvalidToken, gatehouse.ReasonClientDisabled)
	_, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live)})
	refused(t, err, gatehouse.InvalidClient, gatehouse.ReasonClientDisabled)
	_, err = w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: "reuse", Token: issued.Refresh})
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonClientDisabled)
	_, err = w.Exchange(ctx, caller, codes.exchange(l))
	refused(t, err, gatehouse.InvalidClient, gatehouse.ReasonClientDisabled)
	_, err = w.IssueFor(ctx, operator, p.ID, gatehouse.Live, 0, "", nil, nil)
	refused(t, err, gatehouse.Conflict, gatehouse.ReasonClientDisabled)

	must(t)(w.SetClientState(ctx, operator, p.ID, gatehouse.Enabled))
	w.passes(t, issued.Access)
	must(t)(w.SetClientState(ctx, operator, p.ID, gatehouse.Deleted))
	w.refuses(t, issued.Access, gatehouse.InvalidToken, gatehouse.ReasonClientDeleted)
	if _, ok := w.Client(p.ID); ok {
		t.Error("a deleted client is still listed")
	}
	_, err = w.CreateClient(ctx, operator, gatehouse.NewClient{Name: "again", Dialect: "reuse", IDs: map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Live: p.ID}}, nil)
	refused(t, err, gatehouse.Conflict, gatehouse.ReasonExists)
}

// The gap between a grant's proof and its record is where a client can be
// disabled; the record looks again.
func TestNothingIssuedAfterDisabling(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	stop := make(chan struct{})
	var mu sync.Mutex
	var last []time.Time
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live)}); err == nil {
					mu.Lock()
					last = append(last, time.Now())
					mu.Unlock()
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	must(t)(w.SetClientState(ctx, operator, p.ID, gatehouse.Disabled))
	rows, err := w.Tokens(ctx, gatehouse.TokenQuery{Client: p.ID, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	close(stop)
	group.Wait()
	after, err := w.Tokens(ctx, gatehouse.TokenQuery{Client: p.ID, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(last) == 0 || len(rows) == 0 {
		t.Fatal("nothing was issued before either")
	}
	if rows[0].ID != after[0].ID {
		t.Error("a token was recorded after the client was disabled")
	}
}

func TestRevocations(t *testing.T) {
	w := newWorld(t)
	p, bystander := w.partner(t, "separate"), w.partner(t, "separate")
	named := func(name string, env gatehouse.Environment) *gatehouse.Issued {
		issued, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(env), Name: name})
		if err != nil {
			t.Fatal(err)
		}
		w.passes(t, issued.Access)
		w.clock.advance(time.Millisecond)
		return issued
	}
	all := []*gatehouse.Issued{named("a", gatehouse.Live), named("b", gatehouse.Live), named("b", gatehouse.Live), named("b", gatehouse.Sandbox), named("c", gatehouse.Live), named("d", gatehouse.Live), named("e", gatehouse.Sandbox)}
	kept := w.issue(t, bystander, gatehouse.Live)
	dead := map[int]bool{}
	check := func(what string, n int, sel gatehouse.Selection, ended ...int) {
		t.Helper()
		got, err := w.Revoke(ctx, operator, sel)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got.Tokens != n {
			t.Errorf("%s ended %d tokens, want %d", what, got.Tokens, n)
		}
		for _, i := range ended {
			dead[i] = true
		}
		for range 2 { // and again after a restart, from the ledger alone
			for i, issued := range all {
				_, err := w.Validate(ctx, issued.Access, gatehouse.Requirement{})
				if (err != nil) != dead[i] {
					t.Errorf("%s: token %d: %v", what, i, err)
				}
				row, err := w.store.Token(ctx, issued.Record.ID)
				if err != nil {
					t.Fatal(err)
				}
				if status := w.StatusOf(row); (status == gatehouse.StatusRevoked) != dead[i] {
					t.Errorf("%s: token %d is listed as %s", what, i, status)
				}
			}
			w.passes(t, kept.Access)
			w.restart(t)
		}
	}
	check("by id", 1, gatehouse.Selection{Token: all[0].Record.ID}, 0)
	check("by id again", 0, gatehouse.Selection{Token: all[0].Record.ID})
	check("by name", 2, gatehouse.Selection{Client: p.ID, Environment: gatehouse.Live, Name: "b"}, 1, 2)
	check("by time", 1, gatehouse.Selection{Client: p.ID, Environment: gatehouse.Live, Before: all[4].Record.IssuedAt}, 4)
	// An id of one environment means that environment.
	check("by environment", 2, gatehouse.Selection{Client: p.IDs[gatehouse.Sandbox]}, 3, 6)
	check("by client", 1, gatehouse.Selection{Client: p.ID, Environment: gatehouse.Live}, 5)
	_, err := w.Revoke(ctx, operator, gatehouse.Selection{Token: token.NewID(w.clock.now())})
	refused(t, err, gatehouse.NotFound, gatehouse.ReasonUnknownToken)
	_, err = w.Revoke(ctx, operator, gatehouse.Selection{Client: "nobody"})
	refused(t, err, gatehouse.NotFound, gatehouse.ReasonUnknownClient)
	_, err = w.Revoke(ctx, operator, gatehouse.Selection{})
	refused(t, err, gatehouse.InvalidRequest, "")
	w.clock.advance(time.Millisecond)
	w.passes(t, w.issue(t, p, gatehouse.Live).Access) // new ones live
}

// What was revoked wholesale is refused where it is remembered, and where no
// row is asked, as for a JWT after a restart.
func TestRevokedWholesale(t *testing.T) {
	w := newWorld(t)
	for _, dialect := range []string{gatehouse.OAuth2, "separate"} {
		p := w.partner(t, dialect)
		tok, sandbox := w.issue(t, p, gatehouse.Live).Access, w.issue(t, p, gatehouse.Sandbox).Access
		w.passes(t, tok)
		must(t)(w.Revoke(ctx, operator, gatehouse.Selection{Client: p.ID, Environment: gatehouse.Live}))
		w.refuses(t, tok, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
		w.restart(t)
		w.refuses(t, tok, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
		w.passes(t, sandbox)
	}
}

// Listing by status must agree with what validation says of each token.
func TestTokenLists(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, "separate")
	var ids []gatehouse.TokenID
	for i := range 25 {
		issued, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live), Name: fmt.Sprint("n", i%2), Life: time.Duration(i+1) * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, issued.Record.ID)
		w.clock.advance(time.Millisecond)
	}
	must(t)(w.Revoke(ctx, operator, gatehouse.Selection{Token: ids[20]}))
	w.clock.advance(10 * time.Hour)
	count := func(q gatehouse.TokenQuery) (n int) {
		q.Client = p.ID
		q.Limit = 4
		for {
			rows, err := w.Tokens(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			n += len(rows)
			if !slices.IsSortedFunc(rows, func(a, b gatehouse.TokenRecord) int { return strings.Compare(b.ID.String(), a.ID.String()) }) {
				t.Error("not newest first")
			}
			if len(rows) < q.Limit {
				return n
			}
			q.Before = rows[len(rows)-1].ID
		}
	}
	for want, q := range map[int]gatehouse.TokenQuery{
		25: {}, 10: {Status: gatehouse.StatusExpired}, 14: {Status: gatehouse.StatusActive}, 1: {Status: gatehouse.StatusRevoked}, 13: {Name: "n0"}, 0: {Environment: gatehouse.Sandbox},
	} {
		if got := count(q); got != want {
			t.Errorf("%+v lists %d, want %d", q, got, want)
		}
	}
}

func TestIntrospection(t *testing.T) {
	w := newWorld(t)
	p, other := w.partner(t, gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Refresh = true }), w.partner(t, gatehouse.OAuth2)
	api := w.partner(t, gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Scopes = []string{gatehouse.ScopeIntrospect} })
	issued := w.issue(t, p, gatehouse.Live)
	ask := func(who *partner, env gatehouse.Environment, tok secret.Text) bool {
		t.Helper()
		principal, err := w.ProveClient(ctx, caller, who.proof(env))
		if err != nil {
			t.Fatal(err)
		}
		i, err := w.Introspect(ctx, principal, tok)
		if err != nil {
			t.Fatal(err)
		}
		if i.Active != (i.Claims != nil) {
			t.Error("claims without being active, or the other way round")
		}
		return i.Active
	}
	for _, c := range []struct {
		who  *partner
		env  gatehouse.Environment
		tok  secret.Text
		want bool
	}{
		{p, gatehouse.Live, issued.Access, true},
		{p, gatehouse.Live, issued.Refresh, true},
		{p, gatehouse.Sandbox, issued.Access, false},
		{other, gatehouse.Live, issued.Access, false},
		{other, gatehouse.Live, issued.Refresh, false},
		{api, gatehouse.Live, issued.Access, true},
		{api, gatehouse.Sandbox, issued.Access, false},
		{p, gatehouse.Live, secret.New("nonsense"), false},
		{p, gatehouse.Live, secret.Text{}, false},
	} {
		if got := ask(c.who, c.env, c.tok); got != c.want {
			t.Errorf("%s in %s sees active=%v", c.who.ID, c.env, got)
		}
	}
	principal, err := w.ProveClient(ctx, caller, other.proof(gatehouse.Live))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RevokeByClient(ctx, caller, principal, issued.Access); err != nil {
		t.Error(err)
	}
	w.passes(t, issued.Access)
	if principal, err = w.ProveClient(ctx, caller, p.proof(gatehouse.Live)); err != nil {
		t.Fatal(err)
	}
	// Revoking the refresh token ends the whole grant.
	if err := w.RevokeByClient(ctx, caller, principal, issued.Refresh); err != nil {
		t.Error(err)
	}
	w.refuses(t, issued.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	if ask(p, gatehouse.Live, issued.Refresh) {
		t.Error("a revoked refresh token is active")
	}
}

// A node that hasn't heard from the journal for longer than its bound doesn't
// say that a token stands.
func TestStaleJournalFailsClosed(t *testing.T) {
	for _, open := range []bool{false, true} {
		w := newWorld(t, func(c *gatehouse.Config) { c.MaxLag, c.OnLagOpen = 5*time.Second, open })
		tok := w.issue(t, w.partner(t, gatehouse.OAuth2), gatehouse.Live).Access
		w.clock.advance(5 * time.Second)
		w.passes(t, tok)
		w.clock.advance(time.Millisecond)
		if open {
			w.passes(t, tok)
		} else {
			w.refuses(t, tok, gatehouse.Unavailable, gatehouse.ReasonStale)
		}
		if err := w.Ready(ctx); err == nil {
			t.Error("ready with a stale journal")
		}
	}
}

func TestValidatingAgainAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	for _, dialect := range []string{gatehouse.OAuth2, "reuse"} {
		tok := w.issue(t, w.partner(t, dialect), gatehouse.Live).Access
		want := gatehouse.Requirement{Environment: gatehouse.Live, Scopes: []string{"read"}}
		allocs := testing.AllocsPerRun(1000, func() {
			if _, err := w.Validate(ctx, tok, want); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", dialect, allocs)
		}
	}
}

func BenchmarkValidateSeen(b *testing.B) {
	w := newWorld(b, func(c *gatehouse.Config) { c.Now = time.Now })
	p := w.partner(b, gatehouse.OAuth2)
	toks := make([]secret.Text, 2000)
	for i := range toks {
		toks[i] = w.issue(b, p, gatehouse.Live).Access
	}
	want := gatehouse.Requirement{Environment: gatehouse.Live}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := w.Validate(ctx, toks[i%len(toks)], want); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A token from a node whose clock is ahead passes up to ten seconds.
func TestIssuedAhead(t *testing.T) {
	for ahead, passes := range map[time.Duration]bool{10 * time.Second: true, 60 * time.Second: false} {
		w := newWorld(t)
		p := w.partner(t, gatehouse.OAuth2)
		behind := w.clock.now()
		cfg := w.cfg
		cfg.Now = func() time.Time { return behind }
		second, err := gatehouse.Open(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.clock.advance(ahead)
		_, err = second.Validate(ctx, w.issue(t, p, gatehouse.Live).Access, gatehouse.Requirement{})
		if passes && err != nil {
			t.Errorf("%v ahead: %v", ahead, err)
		} else if !passes {
			refused(t, err, gatehouse.InvalidToken, gatehouse.ReasonNotYetValid)
		}
	}
}
