package storetest

import (
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

var revokeTests = []test{
	{"a token", func(f *fixture) {
		c := f.client("one")
		a, b := f.issue(c, start), f.issue(c, start)
		since := f.load(start).Seq
		done := f.revoke(at(time.Minute), gatehouse.Selection{Token: a.ID})
		entries := f.journal(since)
		f.same(done, gatehouse.Revoked{Tokens: 1, Seq: since + 1})
		f.same(entries, []gatehouse.Entry{
			{Seq: since + 1, At: at(time.Minute), Kind: gatehouse.EntryTokenRevoked, Token: a.ID, Until: a.ExpiresAt},
		})
		f.isRevoked(a.ID, at(time.Minute))
		f.isLive(b.ID)

		again := f.revoke(at(2*time.Minute), gatehouse.Selection{Token: a.ID})
		f.same(again.Tokens, 0)
		if again.Seq < done.Seq {
			f.Fatalf("entry %d, where %d tells of it", again.Seq, done.Seq)
		}
		f.isRevoked(a.ID, at(time.Minute))
		f.same(len(f.journal(since)), 1)
		f.clean()
	}},
	{"what a secret obtained, families with both of their tokens", func(f *fixture) {
		// Of one expiry, so that one look at the ledger finds both, in either order.
		c := f.client("one")
		var all []gatehouse.TokenID
		for i := range 12 {
			now := at(time.Duration(i) * time.Millisecond)
			r := refresh(c, now)
			a := under(c, r, now)
			a.ExpiresAt = r.ExpiresAt
			if i%2 == 0 {
				r.ID, a.ID = a.ID, r.ID
				r.Grant, a.Grant, a.Parent = r.ID, r.ID, r.ID
			}
			r.Secret, a.Secret = c.Secrets[1].ID, c.Secrets[1].ID
			f.record(grant(now, r, a))
			all = append(all, r.ID, a.ID)
		}
		done := f.revoke(at(time.Minute), gatehouse.Selection{Secret: c.Secrets[1].ID})
		f.same(done.Tokens, len(all))
		for _, id := range all {
			f.isRevoked(id, at(time.Minute))
		}
		f.clean()
	}},
	{"a permanent token, for ever", func(f *fixture) {
		c := f.client("one")
		t := access(c, start)
		t.ExpiresAt = time.Time{}
		f.record(grant(start, t))
		f.revoke(at(time.Minute), gatehouse.Selection{Token: t.ID})
		f.same(f.load(at(100_000*time.Hour)).Revoked, []gatehouse.RevokedToken{{ID: t.ID}})
	}},
	{"unknown ones are ErrNotFound", func(f *fixture) {
		for _, sel := range []gatehouse.Selection{
			{Token: token.NewID(start)}, {Secret: token.NewID(start)}, {Client: "nobody"}, {Client: "nobody", Name: "n"},
		} {
			_, err := f.store.Revoke(f.ctx, act("token.revoke", "x", start), sel)
			f.refused(err, gatehouse.ErrNotFound)
		}
		f.same(f.revoke(start, gatehouse.Selection{Grant: token.NewID(start)}).Tokens, 0)
	}},
	{"a selection names one thing", func(f *fixture) {
		c := f.client("one")
		t := f.issue(c, start)
		for _, sel := range []gatehouse.Selection{{}, {Before: at(time.Hour)}, {Name: "n"}, {Token: t.ID, Client: "one"}} {
			if _, err := f.store.Revoke(f.ctx, act("token.revoke", "x", at(time.Minute)), sel); err == nil {
				f.Fatalf("%+v was accepted", sel)
			}
		}
		f.isLive(t.ID)
	}},
	{"expired ones are neither counted nor marked", func(f *fixture) {
		c := f.client("one")
		r := refresh(c, start)
		old := under(c, r, start)
		f.record(grant(start, r, old))
		since := f.load(start).Seq
		f.same(f.revoke(at(time.Hour), gatehouse.Selection{Grant: r.Grant}).Tokens, 1)
		f.isLive(old.ID)
		f.isRevoked(r.ID, at(time.Hour))
		f.same(len(f.journal(since)), 1)
	}},
	{"a grant, by its refresh token, its code or its name", func(f *fixture) {
		c := f.client("one")
		for _, kind := range []gatehouse.TokenKind{gatehouse.RefreshToken, gatehouse.AccessCode} {
			first := refresh(c, start)
			first.Kind, first.ExpiresAt = kind, at(10*time.Minute)
			second := refresh(c, at(time.Second))
			second.Grant = first.Grant
			a, b, alone := under(c, first, start), under(c, first, at(time.Second)), access(c, start)
			b.ExpiresAt = time.Time{}
			f.record(grant(start, first, a))
			f.record(using(at(time.Second), first.ID, true, second, b))
			f.record(grant(start, alone))
			// By a token that has itself expired and was spent: what it gave ends all the same.
			done := f.revoke(at(20*time.Minute), gatehouse.Selection{Token: first.ID})
			f.same(done.Tokens, 3)
			for _, t := range []gatehouse.TokenRecord{a, b, second} {
				f.isRevoked(t.ID, at(20*time.Minute))
			}
			f.isLive(alone.ID)
			f.same(f.revoke(at(30*time.Minute), gatehouse.Selection{Grant: first.Grant}).Tokens, 0)
		}
		f.clean()
	}},
	{"an access token, without its grant", func(f *fixture) {
		c := f.client("one")
		r := refresh(c, start)
		a, b := under(c, r, start), under(c, r, start)
		f.record(grant(start, r, a, b))
		f.same(f.revoke(at(time.Minute), gatehouse.Selection{Token: a.ID}).Tokens, 1)
		f.isLive(r.ID)
		f.isLive(b.ID)
	}},
	{"what a secret obtained", func(f *fixture) {
		c := f.client("one")
		a, r := access(c, start), refresh(c, start)
		a.Secret, r.Secret = c.Secrets[1].ID, c.Secrets[1].ID
		child := under(c, r, start) // obtained without the secret
		none := access(c, start)
		sandbox := access(c, start)
		sandbox.Environment, sandbox.Secret = gatehouse.Sandbox, c.Secrets[0].ID
		for _, g := range []*gatehouse.Grant{grant(start, a), grant(start, r), using(start, r.ID, false, child), grant(start, none), grant(start, sandbox)} {
			f.record(g)
		}
		f.same(f.revoke(at(time.Minute), gatehouse.Selection{Secret: c.Secrets[1].ID}).Tokens, 3)
		f.isRevoked(a.ID, at(time.Minute))
		f.isRevoked(child.ID, at(time.Minute))
		f.isLive(none.ID)
		f.isLive(sandbox.ID)
	}},
	{"a client's tokens of one name", func(f *fixture) {
		c, other := f.client("one"), f.client("two")
		make := func(c *gatehouse.Client, name string, env gatehouse.Environment, d time.Duration) gatehouse.TokenRecord {
			t := access(c, at(d))
			t.Name, t.Environment = name, env
			f.record(grant(at(d), t))
			return t
		}
		hit := make(c, "nightly", gatehouse.Live, 0)
		late := make(c, "nightly", gatehouse.Live, 10*time.Minute)
		sandbox := make(c, "nightly", gatehouse.Sandbox, 0)
		daily := make(c, "daily", gatehouse.Live, 0)
		theirs := make(other, "nightly", gatehouse.Live, 0)
		f.same(f.revoke(at(20*time.Minute), gatehouse.Selection{
			Client: "one", Name: "nightly", Environment: gatehouse.Live, Before: at(5 * time.Minute),
		}).Tokens, 1)
		f.isRevoked(hit.ID, at(20*time.Minute))
		f.isLive(late.ID)
		f.isLive(sandbox.ID)
		f.same(f.revoke(at(30*time.Minute), gatehouse.Selection{Client: "one", Name: "nightly"}).Tokens, 2)
		f.isRevoked(sandbox.ID, at(30*time.Minute))
		f.isLive(daily.ID)
		f.isLive(theirs.ID)
		f.same(f.readClient("one").RevokedBefore, map[gatehouse.Environment]time.Time(nil))
	}},
	{"all that a client has", func(f *fixture) {
		c, other := f.client("one"), f.client("two")
		a, b := f.issue(c, start), f.issue(c, at(10*time.Minute))
		theirs := f.issue(other, start)
		sandbox, code, spent := access(c, start), access(c, start), refresh(c, start)
		sandbox.Environment, code.Kind = gatehouse.Sandbox, gatehouse.AccessCode
		child := under(c, spent, start)
		for _, g := range []*gatehouse.Grant{grant(start, sandbox), grant(start, code), grant(start, spent), using(start, spent.ID, true, child)} {
			f.record(g)
		}
		gone := f.issue(c, start)
		f.revoke(start, gatehouse.Selection{Token: gone.ID})
		since := f.load(start).Seq

		done := f.revoke(at(20*time.Minute), gatehouse.Selection{Client: "one", Environment: gatehouse.Live, Before: at(5 * time.Minute)})
		f.same(done, gatehouse.Revoked{Tokens: 2, Seq: since + 1}) // a and child
		f.same(f.journal(since), []gatehouse.Entry{{Seq: since + 1, At: at(20 * time.Minute), Kind: gatehouse.EntryClientChanged, Client: "one"}})
		saved := f.readClient("one")
		f.same(saved.RevokedBefore, map[gatehouse.Environment]time.Time{gatehouse.Live: at(5 * time.Minute)})
		f.same(saved.Version, c.Version+1)
		f.isRevoked(a.ID, at(5*time.Minute))
		f.isRevoked(gone.ID, start)
		f.isLive(b.ID)
		f.isLive(sandbox.ID)

		done = f.revoke(at(20*time.Minute), gatehouse.Selection{Client: "one"})
		f.same(done.Tokens, 2) // b and sandbox
		f.isLive(theirs.ID)
		f.same(f.readClient("one").RevokedBefore,
			map[gatehouse.Environment]time.Time{gatehouse.Live: at(20 * time.Minute), gatehouse.Sandbox: at(20 * time.Minute)})
		// A cutoff never goes back.
		f.same(f.revoke(at(30*time.Minute), gatehouse.Selection{Client: "one", Before: at(time.Minute)}).Tokens, 0)
		f.isRevoked(b.ID, at(20*time.Minute))
	}},
	{"is remembered until the token has expired", func(f *fixture) {
		c := f.client("one")
		a, b := f.issue(c, start), f.issue(c, at(30*time.Minute))
		f.issue(c, start)
		f.revoke(at(40*time.Minute), gatehouse.Selection{Token: a.ID})
		f.revoke(at(40*time.Minute), gatehouse.Selection{Token: b.ID})
		f.same(len(f.load(at(41*time.Minute)).Revoked), 2)
		f.same(f.load(at(time.Hour)).Revoked, []gatehouse.RevokedToken{{ID: b.ID, Until: b.ExpiresAt}})
		f.same(len(f.load(at(2*time.Hour)).Revoked), 0)
	}},
}
