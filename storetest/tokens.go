package storetest

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

var tokenTests = []test{
	{"lists are newest first, whatever expires when", func(f *fixture) {
		c := f.client("one")
		var want []gatehouse.TokenID
		for i := range 60 {
			t := access(c, at(time.Duration(i)*time.Second))
			switch i % 3 {
			case 1:
				t.ExpiresAt = at(time.Duration(i) * time.Hour)
			case 2:
				t.ExpiresAt = time.Time{}
			}
			f.record(grant(t.IssuedAt, t))
			want = append(want, t.ID)
		}
		slices.Reverse(want)
		f.same(f.list(gatehouse.TokenQuery{}), want)
		f.same(f.list(gatehouse.TokenQuery{Limit: 7}), want[:7])
		for _, size := range []int{1, 7, 59, 60, 61} {
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
	{"each condition selects", func(f *fixture) {
		one, two := f.client("one"), f.client("two")
		a := access(one, start)
		a.Name = "nightly"
		b := access(one, start)
		b.Environment = gatehouse.Sandbox
		r := refresh(two, start)
		under := under(two, r, start)
		code := access(two, start)
		code.Kind, code.Grant = gatehouse.AccessCode, r.ID
		f.record(grant(start, a))
		f.record(grant(start, b))
		f.record(grant(start, under, r, code))
		for name, one := range map[string]struct {
			q    gatehouse.TokenQuery
			want []gatehouse.TokenID
		}{
			"client":      {gatehouse.TokenQuery{Client: "one"}, []gatehouse.TokenID{a.ID, b.ID}},
			"environment": {gatehouse.TokenQuery{Environment: gatehouse.Sandbox}, []gatehouse.TokenID{b.ID}},
			"name":        {gatehouse.TokenQuery{Name: "nightly"}, []gatehouse.TokenID{a.ID}},
			"grant":       {gatehouse.TokenQuery{Grant: r.ID}, []gatehouse.TokenID{r.ID, under.ID, code.ID}},
			"kind":        {gatehouse.TokenQuery{Kinds: []gatehouse.TokenKind{gatehouse.RefreshToken}}, []gatehouse.TokenID{r.ID}},
			"kinds": {gatehouse.TokenQuery{Client: "two", Kinds: []gatehouse.TokenKind{gatehouse.RefreshToken, gatehouse.AccessCode}},
				[]gatehouse.TokenID{r.ID, code.ID}},
			"all":            {gatehouse.TokenQuery{Client: "one", Environment: gatehouse.Live, Name: "nightly"}, []gatehouse.TokenID{a.ID}},
			"none":           {gatehouse.TokenQuery{Client: "two", Name: "nightly"}, nil},
			"unknown client": {gatehouse.TokenQuery{Client: "nobody"}, nil},
		} {
			got := f.list(one.q)
			sortIDs(got)
			sortIDs(one.want)
			if !slices.Equal(got, one.want) {
				f.Errorf("%s: got %v, want %v", name, got, one.want)
			}
		}
	}},
	{"each token has one status", func(f *fixture) {
		c, cut := f.client("one"), f.client("two")
		expired, active, permanent, revoked, both := access(c, start), access(c, start), access(c, start), access(c, start), access(c, start)
		active.ExpiresAt, permanent.ExpiresAt = at(5*time.Hour), time.Time{}
		cutLive, cutExpired, afterCut := access(cut, start), access(cut, start), access(cut, at(3*time.Hour))
		cutLive.ExpiresAt, cutExpired.ExpiresAt, afterCut.ExpiresAt = at(5*time.Hour), at(time.Hour), at(5*time.Hour)
		for _, t := range []gatehouse.TokenRecord{expired, active, permanent, revoked, both, cutLive, cutExpired, afterCut} {
			if t.ID != afterCut.ID {
				f.record(grant(t.IssuedAt, t))
			}
		}
		f.revoke(at(time.Minute), gatehouse.Selection{Token: revoked.ID})
		f.revoke(at(time.Minute), gatehouse.Selection{Token: both.ID})
		f.revoke(at(2*time.Hour), gatehouse.Selection{Client: "two"})
		f.record(grant(afterCut.IssuedAt, afterCut))

		now := at(4 * time.Hour)
		for status, want := range map[gatehouse.TokenStatus][]gatehouse.TokenID{
			gatehouse.StatusActive:  {active.ID, permanent.ID, afterCut.ID},
			gatehouse.StatusExpired: {expired.ID, cutExpired.ID},
			gatehouse.StatusRevoked: {revoked.ID, both.ID, cutLive.ID},
		} {
			got := f.list(gatehouse.TokenQuery{Status: status, Now: now})
			sortIDs(got)
			sortIDs(want)
			if !slices.Equal(got, want) {
				f.Errorf("%s: got %v, want %v", status, got, want)
			}
		}
		f.isRevoked(cutLive.ID, at(2*time.Hour))
		f.isLive(cutExpired.ID) // it had expired by itself
		f.isLive(afterCut.ID)
		// To the second: a token has expired at its expiry time.
		f.same(f.list(gatehouse.TokenQuery{Client: "one", Status: gatehouse.StatusExpired, Now: at(time.Hour - time.Millisecond)}), []gatehouse.TokenID{})
		f.same(f.list(gatehouse.TokenQuery{Client: "one", Status: gatehouse.StatusExpired, Now: at(time.Hour)}), []gatehouse.TokenID{expired.ID})
	}},
}

func sortIDs(ids []gatehouse.TokenID) {
	slices.SortFunc(ids, func(a, b gatehouse.TokenID) int { return slices.Compare(a[:], b[:]) })
}
