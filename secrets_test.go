package gatehouse_test

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func sha256Hex(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }

func TestSecretsRotate(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, "separate")
	issueWith := func(s secret.Text) error {
		proof := p.proof(gatehouse.Live)
		proof.Secret = s
		_, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: proof})
		return err
	}
	second, err := w.AddSecret(ctx, operator, p.ID, gatehouse.Live, secret.Text{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.AddSecret(ctx, operator, p.ID, gatehouse.Live, secret.Text{}, nil)
	refused(t, err, gatehouse.Conflict, gatehouse.ReasonExists)
	for _, s := range []secret.Text{p.secrets[gatehouse.Live], second.Secret} {
		if err := issueWith(s); err != nil {
			t.Error(err)
		}
	}
	w.clock.advance(25 * time.Hour)
	for range 3 {
		if err := issueWith(second.Secret); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.Secrets(ctx, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	var old gatehouse.SecretStatus
	for _, s := range list {
		switch {
		case s.Secret.ID == second.ID:
			if s.Use.Count != 4 || s.SafeToRetire || s.Use.Addr != caller.Addr || !s.Use.At.Equal(w.clock.now()) {
				t.Errorf("the new secret: %+v", s)
			}
		case s.Secret.Environment == gatehouse.Live:
			old = s
			if s.Use.Count != 1 || !s.SafeToRetire {
				t.Errorf("the old secret: %+v", s)
			}
		}
	}
	must(t)(w.RetireSecret(ctx, operator, old.Secret.ID, false))
	refused(t, issueWith(p.secrets[gatehouse.Live]), gatehouse.InvalidClient, gatehouse.ReasonRetiredSecret)
	_, err = w.ProveClient(ctx, caller, p.proof(gatehouse.Live))
	refused(t, err, gatehouse.InvalidClient, gatehouse.ReasonRetiredSecret)
	_, err = w.RetireSecret(ctx, operator, old.Secret.ID, false)
	refused(t, err, gatehouse.Conflict, gatehouse.ReasonExists)
	w.restart(t)
	refused(t, issueWith(p.secrets[gatehouse.Live]), gatehouse.InvalidClient, gatehouse.ReasonRetiredSecret)
	if err := issueWith(second.Secret); err != nil {
		t.Error(err)
	}
}

func TestCompromisedSecretEndsWhatItObtained(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, "reuse")
	bad := w.issue(t, p, gatehouse.Live)
	refreshed, err := w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: "reuse", Token: bad.Refresh})
	if err != nil {
		t.Fatal(err)
	}
	sandbox := w.issue(t, p, gatehouse.Sandbox)
	out, err := w.RetireSecret(ctx, operator, p.LiveSecrets(gatehouse.Live)[0].ID, true)
	if err != nil {
		t.Fatal(err)
	}
	if out.Ended != 3 {
		t.Errorf("ended %d tokens, want 3", out.Ended)
	}
	w.refuses(t, bad.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	w.refuses(t, refreshed.Access, gatehouse.InvalidToken, gatehouse.ReasonRevoked)
	_, err = w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: "reuse", Token: bad.Refresh})
	refused(t, err, gatehouse.InvalidGrant, gatehouse.ReasonRevoked)
	w.passes(t, sandbox.Access)
}

func TestImportedSecrets(t *testing.T) {
	slow, err := bcrypt.GenerateFromPassword([]byte("old-secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{string(slow), "sha256:" + sha256Hex("old-secret")} {
		w := newWorld(t, func(c *gatehouse.Config) { c.Limits = true })
		created, err := w.CreateClient(ctx, operator, gatehouse.NewClient{
			Name: "moved in", Dialect: gatehouse.OAuth2, Imported: []gatehouse.ImportedSecret{{Environment: gatehouse.Live, Hash: secret.New(hash)}},
			IDs: map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Live: "their-old-id"},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(created.Secrets); n != 2 || created.Client.ID != "their-old-id" {
			t.Errorf("created %d secrets for %s", n, created.Client.ID)
		}
		for _, s := range created.Secrets {
			if s.Secret.IsZero() != (s.Environment == gatehouse.Live) {
				t.Errorf("a secret was made for %s: %v", s.Environment, !s.Secret.IsZero())
			}
		}
		try := func(s string) error {
			_, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: gatehouse.ClientProof{Dialect: gatehouse.OAuth2, ClientID: "their-old-id", Secret: secret.New(s)}})
			return err
		}
		refused(t, try("wrong"), gatehouse.InvalidClient, gatehouse.ReasonWrongSecret)
		for range 3 {
			if err := try("old-secret"); err != nil {
				t.Fatal(err)
			}
		}
		refused(t, try("wrong"), gatehouse.InvalidClient, gatehouse.ReasonWrongSecret)
		w.restart(t)
		if err := try("old-secret"); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	_, err = w.CreateClient(ctx, operator, gatehouse.NewClient{Name: "n", Dialect: gatehouse.OAuth2, Imported: []gatehouse.ImportedSecret{{Environment: gatehouse.Live, Hash: secret.New("$1$crypt$x")}}}, nil)
	refused(t, err, gatehouse.InvalidRequest, "")
	both := secret.New("sha256:" + sha256Hex("one value"))
	_, err = w.CreateClient(ctx, operator, gatehouse.NewClient{Name: "n", Dialect: gatehouse.OAuth2, Imported: []gatehouse.ImportedSecret{
		{Environment: gatehouse.Live, Hash: both}, {Environment: gatehouse.Sandbox, Hash: both}}}, nil)
	refused(t, err, gatehouse.InvalidRequest, "")
}

// Two slow hashes of one value can't be told apart at import; the value itself
// gives it away, and then serves neither environment.
func TestOneImportedSecretForBothEnvironments(t *testing.T) {
	w := newWorld(t)
	var imported []gatehouse.ImportedSecret
	for _, env := range gatehouse.Environments {
		hash, err := bcrypt.GenerateFromPassword([]byte("one value"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		imported = append(imported, gatehouse.ImportedSecret{Environment: env, Hash: secret.New(string(hash))})
	}
	created, err := w.CreateClient(ctx, operator, gatehouse.NewClient{Name: "n", Dialect: gatehouse.OAuth2, Imported: imported}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // slowly, and remembered
		_, err = w.ProveClient(ctx, caller, gatehouse.ClientProof{Dialect: gatehouse.OAuth2, ClientID: created.Client.ID, Secret: secret.New("one value")})
		refused(t, err, gatehouse.InvalidClient, gatehouse.ReasonWrongEnvironment)
	}
}

func TestWrongSecretsAreSlowedPerPair(t *testing.T) {
	w := newWorld(t, func(c *gatehouse.Config) { c.Limits = true })
	p := w.partner(t, gatehouse.OAuth2)
	attacker := gatehouse.Actor{Kind: gatehouse.ByClient, Addr: netip.MustParseAddr("198.51.100.7")}
	try := func(by gatehouse.Actor, id gatehouse.ClientID, s secret.Text) error {
		_, err := w.ProveClient(ctx, by, gatehouse.ClientProof{Dialect: p.Dialect, ClientID: id, Secret: s})
		return err
	}
	right, wrong := p.secrets[gatehouse.Live], secret.New("guess")
	for id, why := range map[gatehouse.ClientID]gatehouse.Reason{p.ID: gatehouse.ReasonWrongSecret, "nobody": gatehouse.ReasonUnknownClient} {
		for range 5 {
			refused(t, try(attacker, id, wrong), gatehouse.InvalidClient, why)
		}
		err := try(attacker, id, wrong)
		refused(t, err, gatehouse.RateLimited, gatehouse.ReasonWrongSecrets)
		if after := gatehouse.AsError(err).RetryAfter; after <= 0 || after > time.Minute {
			t.Errorf("Retry-After %v", after)
		}
	}
	if err := try(caller, p.ID, right); err != nil {
		t.Errorf("a right secret was delayed by another's wrong ones: %v", err)
	}
	if err := try(attacker, p.ID, right); err != nil {
		t.Errorf("a right secret of our making was delayed: %v", err)
	}
	refused(t, try(attacker, p.ID, wrong), gatehouse.InvalidClient, gatehouse.ReasonWrongSecret)
	refused(t, try(attacker, "nobody", wrong), gatehouse.RateLimited, gatehouse.ReasonWrongSecrets)
	w.clock.advance(2 * time.Second)
	refused(t, try(attacker, "nobody", wrong), gatehouse.InvalidClient, gatehouse.ReasonUnknownClient)
}

func TestIssuanceLimit(t *testing.T) {
	w := newWorld(t, func(c *gatehouse.Config) { c.Limits = true })
	p := w.partner(t, "domain") // its policy allows 3 a minute
	for left := 2; left >= 0; left-- {
		issued := w.issue(t, p, gatehouse.Live)
		if issued.Limit == nil || issued.Limit.Limit != 3 || issued.Limit.Remaining != left {
			t.Errorf("limit %+v, want %d left", issued.Limit, left)
		}
	}
	_, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live)})
	refused(t, err, gatehouse.RateLimited, gatehouse.ReasonRate)
	if e := gatehouse.AsError(err); e.RetryAfter != 20*time.Second || e.Limit == nil || e.Limit.Remaining != 0 {
		t.Errorf("told to wait %v, limit %+v", e.RetryAfter, e.Limit)
	}
	w.issue(t, p, gatehouse.Sandbox) // the other environment has its own
	refreshing := w.issue(t, w.partner(t, "reuse"), gatehouse.Live)
	refresh := func() error {
		_, err := w.Refresh(ctx, caller, gatehouse.RefreshRequest{Dialect: "reuse", Token: refreshing.Refresh})
		return err
	}
	for range 2 {
		if err := refresh(); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, refresh(), gatehouse.RateLimited, gatehouse.ReasonRate)
	w.clock.advance(20 * time.Second)
	w.issue(t, p, gatehouse.Live)
	limit := gatehouse.Rate{Count: 1, Per: time.Second}
	must(t)(w.UpdateClient(ctx, operator, p.ID, gatehouse.ClientUpdate{Limit: &limit}))
	w.issue(t, p, gatehouse.Live)
	_, err = w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live)})
	refused(t, err, gatehouse.RateLimited, gatehouse.ReasonRate)
}

// Promise 12: whatever is wrong with the credentials takes the same time. Pairs
// are measured in turn, so that the machine's moods fall on both; the exact
// bound holds in the long run, ten times it here.
func TestCheckingASecretTakesTheSameTime(t *testing.T) {
	bound, rounds := time.Microsecond, 4000
	if soak() {
		bound, rounds = 100*time.Nanosecond, 200_000
	}
	w := newWorld(t, func(c *gatehouse.Config) { c.Now = time.Now })
	p, disabled := w.partner(t, gatehouse.OAuth2), w.partner(t, gatehouse.OAuth2)
	must(t)(w.SetClientState(ctx, operator, disabled.ID, gatehouse.Disabled))
	proof := p.proof(gatehouse.Live)
	cases := map[string]gatehouse.ClientProof{
		"unknown client": {Dialect: proof.Dialect, ClientID: p.ID[:len(p.ID)-1] + "_", Secret: proof.Secret},
		"wrong secret":   {Dialect: proof.Dialect, ClientID: p.ID, Secret: secret.New(proof.Secret.Reveal()[:len(proof.Secret.Reveal())-1] + "_")},
		"disabled":       disabled.proof(gatehouse.Live), // with its right secret
	}
	times := map[string][]time.Duration{}
	for range rounds {
		for name, c := range cases {
			start := time.Now()
			_, err := w.ProveClient(ctx, caller, c)
			times[name] = append(times[name], time.Since(start))
			if err == nil {
				t.Fatal(name, "passed")
			}
		}
	}
	var low, high time.Duration
	for name, all := range times {
		slices.Sort(all)
		median := all[len(all)/2]
		t.Logf("%-15s median %v of %d", name, median, len(all))
		if low == 0 || median < low {
			low = median
		}
		high = max(high, median)
	}
	if high-low > bound {
		t.Errorf("medians differ by %v, the bound is %v", high-low, bound)
	}
}

func TestIdempotency(t *testing.T) {
	w := newWorld(t)
	key := &gatehouse.IdempotencyKey{Key: "k1", Request: [32]byte{1}}
	n := gatehouse.NewClient{Name: "n", Dialect: "codes"}
	first, err := w.CreateClient(ctx, operator, n, key)
	if err != nil {
		t.Fatal(err)
	}
	w.restart(t) // what is remembered is on disk
	again, err := w.CreateClient(ctx, operator, n, key)
	if err != nil {
		t.Fatal(err)
	}
	if again.Client.ID != first.Client.ID || !again.Secrets[0].Secret.Equal(first.Secrets[0].Secret) || len(w.Clients("", 10)) != 1 {
		t.Error("the repeated create is not the first one")
	}
	_, err = w.CreateClient(ctx, operator, n, &gatehouse.IdempotencyKey{Key: "k1", Request: [32]byte{2}})
	refused(t, err, gatehouse.InvalidRequest, gatehouse.ReasonReusedKey)
	other := gatehouse.Actor{Kind: gatehouse.ByOperator, ID: "someone else"}
	if theirs, err := w.CreateClient(ctx, other, n, key); err != nil || theirs.Client.ID == first.Client.ID {
		t.Errorf("keys are not scoped to their caller: %v", err)
	}
	w.clock.advance(15*time.Minute + time.Second)
	late, err := w.CreateClient(ctx, operator, n, key)
	if err != nil {
		t.Fatal(err)
	}
	if late.Client.ID != first.Client.ID || !late.Secrets[0].Secret.IsZero() {
		t.Error("a late repetition must name the client and hold no secret")
	}

	// The other creates, each repeated.
	for i, create := range []func(*gatehouse.IdempotencyKey) (string, error){
		func(k *gatehouse.IdempotencyKey) (string, error) {
			s, err := w.AddSecret(ctx, operator, first.Client.ID, gatehouse.Live, secret.Text{}, k)
			if err != nil {
				return "", err
			}
			return s.ID.String() + s.Secret.Reveal(), nil
		},
		func(k *gatehouse.IdempotencyKey) (string, error) {
			l, err := w.CreateConnection(ctx, operator, first.Client.ID, gatehouse.Live, "u", k)
			if err != nil {
				return "", err
			}
			return fmt.Sprint(l.Connection.ID, l.AccessCode.Reveal(), l.UserSecret.Reveal(), l.CodeExpiresAt), nil
		},
		func(k *gatehouse.IdempotencyKey) (string, error) {
			i, err := w.IssueFor(ctx, operator, first.Client.ID, gatehouse.Live, 0, "name", nil, k)
			if err != nil {
				return "", err
			}
			return fmt.Sprint(i.Record.ID, i.Access.Reveal(), i.Life), nil
		},
	} {
		k := &gatehouse.IdempotencyKey{Key: fmt.Sprint("other ", i)}
		a, err := create(k)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := create(k); err != nil || a != b {
			t.Errorf("create %d repeated: %v", i, err)
		}
	}
}
