package storetest

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// RunReopen checks that a store keeps all that it was given. open returns an
// empty store, and a function that closes it and opens it again.
func RunReopen(t *testing.T, open func(t *testing.T) (s gatehouse.Store, again func() gatehouse.Store)) {
	s, again := open(t)
	f := newFixture(t, s)
	c := f.client("one")
	n, code := f.link(c, "user", start)
	f.record(exchange(c, n, code, at(time.Minute)))
	var tokens []gatehouse.TokenID
	for i := range 300 {
		r := refresh(c, at(time.Duration(i)*time.Second))
		a := under(c, r, r.IssuedAt)
		f.record(grant(r.IssuedAt, r, a))
		switch i % 3 {
		case 0:
			f.revoke(r.IssuedAt.Add(time.Second), gatehouse.Selection{Grant: r.Grant})
		case 1:
			f.record(using(r.IssuedAt.Add(time.Second), r.ID, true, under(c, r, r.IssuedAt.Add(time.Second))))
		}
		tokens = append(tokens, r.ID, a.ID)
	}
	f.ok(f.store.SaveKeys(f.ctx, act("key.create", "k", start), []gatehouse.KeyRecord{newKey("k", 0)}))
	_, err := f.store.Setting(f.ctx, "issuer", []byte("https://issuer.example"))
	f.ok(err)
	f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "one", Owner: "o", Value: []byte("kept")}))
	document := f.document("user", "one")
	now := at(10 * time.Minute)
	before := f.load(now)
	list, err := f.store.Tokens(f.ctx, gatehouse.TokenQuery{Limit: 1_000})
	f.ok(err)
	events, err := f.store.Audit(f.ctx, 0, 1_000)
	f.ok(err)
	journal := f.journal(0)

	f.store = again()
	f.same(f.load(now), before)
	after, err := f.store.Tokens(f.ctx, gatehouse.TokenQuery{Limit: 1_000})
	f.ok(err)
	f.same(after, list)
	kept, err := f.store.Audit(f.ctx, 0, 1_000)
	f.ok(err)
	f.same(kept, events)
	f.same(f.journal(0), journal)
	for _, id := range tokens {
		f.token(id)
	}
	issuer, err := f.store.Setting(f.ctx, "issuer", []byte("another"))
	f.ok(err)
	f.same(string(issuer), "https://issuer.example")
	f.same(f.document("user", "one"), document)
	if want := at(300 * time.Second); before.Newest.Before(want.Add(-time.Second)) {
		f.Errorf("the newest time is %v, want about %v", before.Newest, want)
	}

	// And it goes on where it was.
	f.revoke(now, gatehouse.Selection{Client: "one"})
	f.refusedGrant(grant(now, access(c, now)), gatehouse.ErrCutoff)
	entries := f.journal(before.Seq)
	f.same(len(entries), 1)
	f.issue(c, now.Add(time.Second))
	f.clean()
}
