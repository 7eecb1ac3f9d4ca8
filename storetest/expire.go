package storetest

import (
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

var expireTests = []test{
	{"removes what expired before the cutoff, and only that", func(f *fixture) {
		c := f.client("one")
		var old, young []gatehouse.TokenRecord
		for i := range 20 {
			a, b := access(c, at(time.Duration(i)*time.Second)), access(c, at(time.Duration(i)*time.Second))
			b.ExpiresAt = at(30 * time.Hour)
			f.record(grant(a.IssuedAt, a))
			f.record(grant(b.IssuedAt, b))
			old, young = append(old, a), append(young, b)
		}
		permanent := access(c, start)
		permanent.ExpiresAt = time.Time{}
		f.record(grant(start, permanent))
		f.revoke(at(time.Minute), gatehouse.Selection{Token: old[0].ID})
		f.revoke(at(time.Minute), gatehouse.Selection{Token: young[0].ID})

		gone, err := f.store.Expire(f.ctx, old[0].ExpiresAt)
		f.ok(err)
		f.same(gone, gatehouse.Expired{})
		gone, err = f.store.Expire(f.ctx, at(10*time.Hour))
		f.ok(err)
		f.same(gone.Tokens, 20)
		if gone.Partitions < 1 {
			f.Fatal("no partition was dropped")
		}
		for i := range old {
			_, err := f.store.Token(f.ctx, old[i].ID)
			f.refused(err, gatehouse.ErrNotFound)
			f.token(young[i].ID)
		}
		f.isRevoked(young[0].ID, at(time.Minute))
		f.token(permanent.ID)
		f.same(len(f.list(gatehouse.TokenQuery{Client: "one"})), 21)
		f.same(f.clean().Tokens, 21)

		late := access(c, at(20*time.Minute)) // into the hour that was dropped
		late.ExpiresAt = old[19].ExpiresAt
		f.record(grant(at(20*time.Minute), late))
		f.token(late.ID)
		f.clean()
	}},
	{"goes on beside readers and writers", func(f *fixture) {
		c := f.client("one")
		for i := range 50 {
			t := access(c, at(time.Duration(i)*time.Hour))
			f.record(grant(t.IssuedAt, t))
		}
		for _, err := range atOnce(9, func(i int) error {
			switch i {
			case 0:
				for h := range 50 {
					if _, err := f.store.Expire(f.ctx, at(time.Duration(h)*time.Hour)); err != nil {
						return err
					}
				}
				return nil
			case 1, 2, 3, 4:
				for n := range 50 {
					now := at(time.Duration(100+n) * time.Hour)
					if err := f.store.Record(f.ctx, grant(now, access(c, now))); err != nil {
						return err
					}
				}
				return nil
			}
			for range 50 {
				if _, err := f.store.Tokens(f.ctx, gatehouse.TokenQuery{Client: "one", Limit: 100}); err != nil {
					return err
				}
				if _, err := f.store.Load(f.ctx, start); err != nil {
					return err
				}
			}
			return nil
		}) {
			f.ok(err)
		}
		f.same(len(f.list(gatehouse.TokenQuery{Status: gatehouse.StatusActive, Now: at(100 * time.Hour)})), 200)
		f.clean()
	}},
	{"prunes the journal behind the cutoff", func(f *fixture) {
		c := f.client("one")
		a, b := f.issue(c, start), f.issue(c, at(20*time.Hour))
		first := f.revoke(at(time.Minute), gatehouse.Selection{Token: a.ID})
		second := f.revoke(at(20*time.Hour), gatehouse.Selection{Token: b.ID})
		_, err := f.store.Expire(f.ctx, at(10*time.Hour))
		f.ok(err)
		_, err = f.store.Journal(f.ctx, first.Seq-1, 10)
		f.refused(err, gatehouse.ErrJournalGone)
		f.same(len(f.journal(first.Seq)), 1)
		f.same(f.load(at(20*time.Hour)).Seq, second.Seq)

		_, err = f.store.Expire(f.ctx, at(100*time.Hour))
		f.ok(err)
		f.same(f.load(at(100*time.Hour)).Seq, second.Seq)
		f.same(len(f.journal(second.Seq)), 0)
		changed := *c
		f.save(&changed)
		f.same(f.journal(second.Seq)[0].Seq, second.Seq+1) // numbers go on
	}},
	{"tells the time where nodes share it", func(f *fixture) {
		now, err := f.store.Time(f.ctx)
		f.ok(err)
		if apart := time.Since(now).Abs(); !now.IsZero() && apart > time.Hour {
			f.Errorf("its clock shows %v", now)
		}
	}},
	{"forgets old answers", func(f *fixture) {
		for i, when := range []time.Time{start, at(20 * time.Hour)} {
			id := named("client", i)
			a := act("client.create", string(id), when)
			a.Replay = &gatehouse.Replay{Caller: "operator", Key: string(id), Answer: []byte("sealed"), At: when}
			f.ok(f.store.SaveClient(f.ctx, a, newClient(id)))
		}
		_, err := f.store.Expire(f.ctx, at(time.Hour))
		f.ok(err)
		_, err = f.store.Replay(f.ctx, "operator", "client-0")
		f.refused(err, gatehouse.ErrNotFound)
		_, err = f.store.Replay(f.ctx, "operator", "client-1")
		f.ok(err)
	}},
}
