package storetest

import (
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

var raceTests = []test{
	{"of 200 exchanges of one code one succeeds", func(f *fixture) {
		c := f.client("one")
		n, code := f.link(c, "user", start)
		won := 0
		for _, err := range atOnce(200, func(int) error {
			t := access(c, at(time.Minute))
			t.Grant = n.ID
			return f.store.Record(f.ctx, using(at(time.Minute), code.Tokens[0].ID, true, t))
		}) {
			var spent *gatehouse.SpentError
			switch {
			case err == nil:
				won++
			case !errors.As(err, &spent) || !spent.At.Equal(at(time.Minute)):
				f.Error(err)
			}
		}
		f.same(won, 1)
		f.same(len(f.list(gatehouse.TokenQuery{Grant: n.ID, Kinds: []gatehouse.TokenKind{gatehouse.AccessToken}})), 1)
		f.clean()
	}},
	{"a revoked grant has no live descendant", func(f *fixture) {
		c := f.client("one")
		const races = 2_000
		grants := make([]gatehouse.TokenRecord, races)
		for i := range grants {
			grants[i] = refresh(c, start)
		}
		for _, err := range atOnce(races, func(i int) error {
			r := grants[i]
			if err := f.store.Record(f.ctx, grant(start, r)); err != nil {
				return err
			}
			revoked := make(chan error, 1)
			go func() {
				sel := gatehouse.Selection{Grant: r.Grant}
				if i%2 == 0 {
					sel = gatehouse.Selection{Token: r.ID}
				}
				_, err := f.store.Revoke(f.ctx, act("token.revoke", r.ID.String(), at(time.Second)), sel)
				revoked <- err
			}()
			err := f.store.Record(f.ctx, using(at(time.Second), r.ID, i%3 == 0, under(c, r, at(time.Second))))
			if errors.Is(err, gatehouse.ErrRevoked) {
				err = nil
			}
			return errors.Join(err, <-revoked)
		}) {
			f.ok(err)
		}
		live := f.list(gatehouse.TokenQuery{Client: "one", Status: gatehouse.StatusActive, Now: at(2 * time.Second)})
		if len(live) > 0 {
			f.Fatalf("%d tokens of revoked grants live on", len(live))
		}
		known := map[gatehouse.TokenID]bool{}
		for _, r := range f.load(at(2 * time.Second)).Revoked {
			known[r.ID] = true
		}
		for _, e := range f.journal(0) {
			if e.Kind == gatehouse.EntryTokenRevoked && !known[e.Token] {
				f.Errorf("token %s is revoked on the journal only", e.Token)
			}
		}
	}},
	{"nothing is issued after a client was disabled or cut off", func(f *fixture) {
		for i := range 20 {
			c := f.client(named("client", i))
			stopped := make(chan error, 1)
			go func() {
				if i%2 == 0 {
					changed := *c
					changed.State = gatehouse.Disabled
					stopped <- f.store.SaveClient(f.ctx, act("client.disable", string(c.ID), at(time.Minute)), &changed)
					return
				}
				_, err := f.store.Revoke(f.ctx, act("token.revoke", string(c.ID), at(time.Minute)), gatehouse.Selection{Client: c.ID})
				stopped <- err
			}()
			atOnce(20, func(int) error { return f.store.Record(f.ctx, grant(at(time.Minute), access(c, at(time.Minute)))) })
			f.ok(<-stopped)
			want := gatehouse.ErrClientState
			if i%2 == 1 {
				want = gatehouse.ErrCutoff
				f.same(len(f.list(gatehouse.TokenQuery{Client: c.ID, Status: gatehouse.StatusActive, Now: at(time.Minute)})), 0)
			}
			f.refusedGrant(grant(at(time.Minute), access(c, at(time.Minute))), want)
		}
	}},
}
