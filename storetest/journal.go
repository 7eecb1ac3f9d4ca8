package storetest

import (
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

var journalTests = []test{
	{"tells of clients and keys", func(f *fixture) {
		c := f.client("one")
		changed := *c
		f.save(&changed)
		f.ok(f.store.SaveKeys(f.ctx, act("key.create", "k", at(time.Minute)), []gatehouse.KeyRecord{newKey("k", 0)}))
		f.same(f.journal(0), []gatehouse.Entry{
			{Seq: 1, At: start, Kind: gatehouse.EntryClientChanged, Client: "one"},
			{Seq: 2, At: start, Kind: gatehouse.EntryClientChanged, Client: "one"},
			{Seq: 3, At: at(time.Minute), Kind: gatehouse.EntryKeysChanged},
		})
		f.same(f.load(start).Seq, int64(3))
	}},
	{"is read in parts", func(f *fixture) {
		for i := range 10 {
			f.client(named("client", i))
		}
		first, err := f.store.Journal(f.ctx, 0, 4)
		f.ok(err)
		rest, err := f.store.Journal(f.ctx, first[3].Seq, 100)
		f.ok(err)
		f.same(append(first, rest...), f.journal(0))
		f.same(len(f.journal(f.load(start).Seq)), 0)
	}},
	{"wakes its reader", func(f *fixture) {
		wake := f.store.Wake()
		f.client("one")
		select {
		case <-wake:
		case <-time.After(5 * time.Second):
			f.Fatal("no wake")
		}
	}},
	{"shows no entry below one that was seen", func(f *fixture) {
		c := f.client("one")
		const writers, each = 16, 30
		stop := make(chan struct{})
		var reading sync.WaitGroup
		var seen []gatehouse.Entry
		reading.Go(func() {
			since := int64(0)
			for ended := false; ; {
				entries, err := f.store.Journal(f.ctx, since, 50)
				if err != nil {
					f.Error(err)
					return
				}
				for _, e := range entries {
					if e.Seq <= since {
						f.Errorf("entry %d after entry %d", e.Seq, since)
					}
					since = e.Seq
					seen = append(seen, e)
				}
				if ended && len(entries) == 0 {
					return
				}
				select {
				case <-stop:
					ended = true
				default:
				}
			}
		})
		acknowledged := make([]int64, writers*each)
		for _, err := range atOnce(writers, func(w int) error {
			for i := range each {
				t := access(c, start)
				if err := f.store.Record(f.ctx, grant(start, t)); err != nil {
					return err
				}
				done, err := f.store.Revoke(f.ctx, act("token.revoke", t.ID.String(), start), gatehouse.Selection{Token: t.ID})
				if err != nil {
					return err
				}
				acknowledged[w*each+i] = done.Seq
			}
			return nil
		}) {
			f.ok(err)
		}
		close(stop)
		reading.Wait()
		f.same(len(seen), 1+writers*each)
		f.same(seen, f.journal(0))
		there := map[int64]bool{}
		for _, e := range seen {
			there[e.Seq] = true
		}
		for _, seq := range acknowledged {
			if !there[seq] {
				f.Errorf("entry %d was never seen", seq)
			}
		}
	}},
}
