package storetest

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// imported is an access token that another system made, issued at some time and
// good for a life.
func imported(c *gatehouse.Client, name string, issued time.Time, life time.Duration) gatehouse.TokenRecord {
	digest := sha256.Sum256([]byte(name))
	t := access(c, issued)
	t.ID, t.Digest, t.Name = token.DerivedID(digest), digest[:], name
	t.ExpiresAt = time.Time{}
	if life > 0 {
		t.ExpiresAt = issued.Add(life).Truncate(time.Second)
	}
	return t
}

var importTests = []test{
	{"are found among those made here, and listed after them", func(f *fixture) {
		c := f.client("one")
		var own, foreign []gatehouse.TokenID
		for i := range 20 {
			t := access(c, at(time.Duration(i)*time.Minute))
			if i%4 == 0 {
				t.ExpiresAt = time.Time{}
			}
			f.record(grant(t.IssuedAt, t))
			own = append(own, t.ID)
			life := time.Duration(i) * 20 * 24 * time.Hour // never, and from weeks to a year
			old := imported(c, string(rune('a'+i)), at(-time.Hour), life)
			f.record(grant(t.IssuedAt, old))
			foreign = append(foreign, old.ID)
			found, err := f.store.Token(f.ctx, old.ID)
			f.ok(err)
			f.same(*found, old)
		}
		for _, id := range append(slices.Clone(own), foreign...) {
			_, err := f.store.Token(f.ctx, id)
			f.ok(err)
		}
		_, err := f.store.Token(f.ctx, token.DerivedID(sha256.Sum256([]byte("never imported"))))
		f.refused(err, gatehouse.ErrNotFound)
		slices.Reverse(own)
		slices.SortFunc(foreign, func(a, b gatehouse.TokenID) int { return bytes.Compare(b[:], a[:]) })
		want := append(own, foreign...)
		for _, size := range []int{1, 3, 7, 19, 20, 21, 40, 100} {
			var paged []gatehouse.TokenID
			var before gatehouse.TokenID
			for {
				page := f.list(gatehouse.TokenQuery{Client: "one", Before: before, Limit: size})
				paged = append(paged, page...)
				if len(page) < size {
					break
				}
				before = page[len(page)-1]
			}
			f.same(paged, want)
		}
	}},
	{"are revoked, cut off and remembered like those made here", func(f *fixture) {
		c, other := f.client("one"), f.client("two")
		alone, cut, kept := imported(c, "alone", start, time.Hour), imported(other, "cut", start, 0), imported(other, "kept", at(time.Minute), 0)
		f.record(grant(start, alone))
		f.record(grant(at(time.Minute), cut))
		f.record(grant(at(time.Minute), kept))
		f.refused(f.store.Record(f.ctx, grant(at(time.Minute), alone)), gatehouse.ErrExists)
		done, err := f.store.Revoke(f.ctx, act("token.revoke", "", at(2*time.Minute)), gatehouse.Selection{Token: alone.ID})
		f.ok(err)
		f.same(done.Tokens, 1)
		f.same(f.load(at(3*time.Minute)).Revoked, []gatehouse.RevokedToken{{ID: alone.ID, Until: alone.ExpiresAt}})
		_, err = f.store.Revoke(f.ctx, act("token.revoke", "", at(3*time.Minute)), gatehouse.Selection{Client: "two", Before: at(30 * time.Second)})
		f.ok(err)
		f.refused(f.store.Record(f.ctx, grant(at(4*time.Minute), imported(other, "late", start, 0))), gatehouse.ErrCutoff)
		for id, ended := range map[gatehouse.TokenID]bool{alone.ID: true, cut.ID: true, kept.ID: false} {
			r, err := f.store.Token(f.ctx, id)
			f.ok(err)
			f.same(!r.RevokedAt.IsZero(), ended)
		}
	}},
	{"leave when they have expired", func(f *fixture) {
		c := f.client("one")
		soon, later := imported(c, "soon", at(-400*24*time.Hour), 401*24*time.Hour), imported(c, "later", start, 90*24*time.Hour)
		f.record(grant(start, soon))
		f.record(grant(start, later))
		_, err := f.store.Expire(f.ctx, at(60*24*time.Hour))
		f.ok(err)
		_, err = f.store.Token(f.ctx, soon.ID)
		f.refused(err, gatehouse.ErrNotFound)
		_, err = f.store.Token(f.ctx, later.ID)
		f.ok(err)
	}},
}
