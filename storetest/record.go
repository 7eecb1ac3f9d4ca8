package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

var recordTests = []test{
	{"every field comes back", func(f *fixture) {
		c := f.client("one")
		r := refresh(c, at(1_234*time.Millisecond))
		a := gatehouse.TokenRecord{
			ID: token.NewID(start), Kind: gatehouse.AccessToken, Client: "one", Environment: gatehouse.Live, Dialect: gatehouse.OAuth2,
			Name: "nightly\x00 <b>\r\n é", Scopes: []string{"read", "write"}, Audience: []string{"https://a.example", "https://b.example"},
			User: "user-1", Secret: c.Secrets[1].ID, Grant: r.ID, Parent: token.NewID(start), Digest: []byte{0, 1, 2, 255},
			IssuedAt: at(1_234 * time.Millisecond), ExpiresAt: at(2 * time.Hour),
		}
		permanent := access(c, start)
		permanent.ExpiresAt = time.Time{}
		f.record(grant(start, a, r, permanent))
		for _, want := range []gatehouse.TokenRecord{a, r, permanent} {
			f.same(f.token(want.ID), &want)
		}
		_, err := f.store.Token(f.ctx, token.NewID(start))
		f.refused(err, gatehouse.ErrNotFound)
	}},
	{"ids need not come in order", func(f *fixture) {
		c := f.client("one")
		var want []gatehouse.TokenRecord
		for _, d := range []time.Duration{0, 3 * time.Hour, -time.Hour, time.Hour, -48 * time.Hour} {
			want = append(want, f.issue(c, at(d)))
		}
		early := access(c, start)
		early.ID, early.ExpiresAt = token.NewID(at(-100*24*time.Hour)), time.Time{} // allotted long ago
		f.record(grant(start, early))
		for _, w := range append(want, early) {
			f.same(f.token(w.ID), &w)
		}
	}},
	{"a token is recorded once", func(f *fixture) {
		c := f.client("one")
		a, b := access(c, start), access(c, start)
		f.record(grant(start, a))
		f.refused(f.store.Record(f.ctx, grant(start, b, a)), gatehouse.ErrExists)
		_, err := f.store.Token(f.ctx, b.ID)
		f.refused(err, gatehouse.ErrNotFound)
	}},
	{"an operator's grant leaves its event and its answer", func(f *fixture) {
		c := f.client("one")
		g := grant(start, access(c, start))
		issued := act("token.issue", "one", start)
		issued.Replay = &gatehouse.Replay{Caller: "operator", Key: "key", Answer: []byte("sealed"), At: start}
		g.Act = &issued
		f.record(g)
		got, err := f.store.Replay(f.ctx, "operator", "key")
		f.ok(err)
		f.same(got, issued.Replay)
		events, err := f.store.Audit(f.ctx, 0, 1)
		f.ok(err)
		f.same(events[0].Action, "token.issue")
		again := grant(start, access(c, start))
		again.Act = &issued
		f.refusedGrant(again, gatehouse.ErrExists)
	}},
	{"the client is enabled", func(f *fixture) {
		c := f.client("one")
		for _, state := range []gatehouse.ClientState{gatehouse.Disabled, gatehouse.Deleted} {
			changed := *f.readClient("one")
			changed.State = state
			f.save(&changed)
			f.refusedGrant(grant(start, access(c, start)), gatehouse.ErrClientState)
		}
		f.refusedGrant(grant(start, access(newClient("nobody"), start)), gatehouse.ErrClientState)
		changed := *f.readClient("one")
		changed.State = gatehouse.Enabled
		f.save(&changed)
		f.issue(c, start)
	}},
	{"the secret is live", func(f *fixture) {
		c := f.client("one")
		proved := func(now time.Time, by gatehouse.SecretID) *gatehouse.Grant {
			r := refresh(c, now)
			r.Secret = by
			g := grant(now, r)
			g.Proof = by
			return g
		}
		first := proved(start, c.Secrets[1].ID)
		f.record(first)
		for _, other := range []gatehouse.SecretID{token.NewID(start), c.Secrets[0].ID} { // nobody's; of the other environment
			f.refusedGrant(proved(start, other), gatehouse.ErrSecretRetired)
		}
		retired := *c
		retired.Secrets = slices.Clone(c.Secrets)
		retired.Secrets[1].RetiredAt = at(time.Minute)
		gone := *f.save(&retired)
		f.refusedGrant(proved(at(time.Hour), c.Secrets[1].ID), gatehouse.ErrSecretRetired)
		// What it obtained goes on, and names it, even when the client has forgotten it.
		gone.Secrets = gone.Secrets[:1]
		f.save(&gone)
		a := under(c, first.Tokens[0], at(time.Hour))
		a.Secret = c.Secrets[1].ID
		f.record(using(at(time.Hour), first.Tokens[0].ID, false, a))
		f.same(f.token(a.ID), &a)
		f.same(f.token(first.Tokens[0].ID).Secret, a.Secret)
	}},
	{"issued after the cutoff of its environment", func(f *fixture) {
		c := f.client("one")
		f.revoke(at(time.Hour), gatehouse.Selection{Client: "one", Environment: gatehouse.Live})
		f.refusedGrant(grant(at(time.Hour), access(c, at(time.Hour))), gatehouse.ErrCutoff)
		f.refusedGrant(grant(at(2*time.Hour), access(c, at(2*time.Hour)), access(c, at(30*time.Minute))), gatehouse.ErrCutoff)
		f.issue(c, at(time.Hour+time.Millisecond))
		sandbox := access(c, at(time.Minute))
		sandbox.Environment = gatehouse.Sandbox
		f.record(grant(at(time.Minute), sandbox))
	}},
	{"a rotating refresh token is used once", func(f *fixture) {
		c := f.client("one")
		first := refresh(c, start)
		f.record(grant(start, under(c, first, start), first))
		second := refresh(c, at(time.Minute))
		second.Grant, second.Parent = first.Grant, first.ID
		f.record(using(at(time.Minute), first.ID, true, under(c, first, at(time.Minute)), second))
		f.same(f.token(first.ID).SpentAt, at(time.Minute))
		err := f.store.Record(f.ctx, using(at(time.Hour), first.ID, true, under(c, first, at(time.Hour))))
		var spent *gatehouse.SpentError
		if !errors.As(err, &spent) || !spent.At.Equal(at(time.Minute)) {
			f.Fatalf("got %v, want a SpentError of the first use", err)
		}
		f.record(using(at(time.Hour), second.ID, true, under(c, second, at(time.Hour))))
	}},
	{"one that may be reused is used again and again", func(f *fixture) {
		c := f.client("one")
		r := refresh(c, start)
		f.record(grant(start, r))
		for i := range 3 {
			when := at(time.Duration(i) * time.Minute)
			f.record(using(when, r.ID, false, under(c, r, when)))
		}
		if !f.token(r.ID).SpentAt.IsZero() {
			f.Fatal("it was spent")
		}
	}},
	{"what is used must be there, and the client's own", func(f *fixture) {
		c, other := f.client("one"), f.client("two")
		r := refresh(c, start)
		f.record(grant(start, r))
		f.refusedGrant(using(start, token.NewID(start), true, access(c, start)), gatehouse.ErrRevoked)
		f.refusedGrant(using(start, r.ID, true, access(other, start)), gatehouse.ErrRevoked)
		sandbox := access(c, start)
		sandbox.Environment = gatehouse.Sandbox
		f.refusedGrant(using(start, r.ID, true, sandbox), gatehouse.ErrRevoked)
	}},
	{"what is used must not be revoked", func(f *fixture) {
		c := f.client("one")
		for _, sel := range []func(r gatehouse.TokenRecord) gatehouse.Selection{
			func(r gatehouse.TokenRecord) gatehouse.Selection { return gatehouse.Selection{Token: r.ID} },
			func(r gatehouse.TokenRecord) gatehouse.Selection { return gatehouse.Selection{Grant: r.Grant} },
			func(r gatehouse.TokenRecord) gatehouse.Selection {
				return gatehouse.Selection{Client: "one", Name: r.Name}
			},
			func(r gatehouse.TokenRecord) gatehouse.Selection { return gatehouse.Selection{Secret: r.Secret} },
			func(r gatehouse.TokenRecord) gatehouse.Selection {
				return gatehouse.Selection{Client: "one", Environment: gatehouse.Live, Before: at(time.Minute)}
			},
		} {
			r := refresh(c, start)
			r.Name, r.Secret = "named", c.Secrets[1].ID
			f.record(grant(start, r))
			f.revoke(at(time.Minute), sel(r))
			for _, spend := range []bool{true, false} {
				f.refusedGrant(using(at(time.Hour), r.ID, spend, under(c, r, at(time.Hour))), gatehouse.ErrRevoked)
			}
		}
	}},
	{"a refused grant costs its neighbours nothing", func(f *fixture) {
		c, gone := f.client("one"), newClient("two")
		gone.State = gatehouse.Disabled
		gone = f.save(gone)
		tokens := make([]gatehouse.TokenRecord, 200)
		for i, err := range atOnce(len(tokens), func(i int) error {
			of := c
			if i%2 == 1 {
				of = gone
			}
			tokens[i] = access(of, start)
			return f.store.Record(f.ctx, grant(start, tokens[i]))
		}) {
			if i%2 == 0 {
				f.ok(err)
				f.isLive(tokens[i].ID)
			} else {
				f.refused(err, gatehouse.ErrClientState)
			}
		}
		f.same(len(f.list(gatehouse.TokenQuery{})), 100)
		f.same(f.clean().Tokens, 100)
	}},
}

// refusedGrant ends the test unless the grant is refused so and leaves nothing
// on the ledger.
func (f *fixture) refusedGrant(g *gatehouse.Grant, want error) {
	f.Helper()
	f.refused(f.store.Record(f.ctx, g), want)
	for _, t := range g.Tokens {
		_, err := f.store.Token(f.ctx, t.ID)
		f.refused(err, gatehouse.ErrNotFound)
	}
	if g.Uses.IsZero() {
		return
	}
	if used, err := f.store.Token(f.ctx, g.Uses); err == nil && !used.SpentAt.IsZero() {
		f.Fatal("a refused grant has spent what it used")
	}
}
