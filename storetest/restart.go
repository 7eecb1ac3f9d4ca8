package storetest

import (
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

var restartTests = []test{
	{"an epoch ends what was issued up to it, and is counted", func(f *fixture) {
		one, two := f.client("one"), f.client("two")
		lives := f.issue(one, at(time.Second))
		f.issue(two, at(time.Second))
		f.revoke(at(2*time.Second), gatehouse.Selection{Client: "two"})
		held := f.issue(two, at(3*time.Second))
		marked := f.issue(one, at(3*time.Second))
		f.revoke(at(4*time.Second), gatehouse.Selection{Token: marked.ID})
		r := refresh(one, at(5*time.Second))
		f.record(grant(r.IssuedAt, r, under(one, r, r.IssuedAt)))
		forever := access(one, at(6*time.Second))
		forever.ExpiresAt = time.Time{}
		f.record(grant(forever.IssuedAt, forever))
		expired := access(one, at(7*time.Second))
		expired.ExpiresAt = at(9 * time.Second)
		f.record(grant(expired.IssuedAt, expired))
		last := f.load(at(time.Minute)).Seq

		epoch := at(10 * time.Second)
		seq := last + 1<<40
		done, err := f.store.Restart(f.ctx, act("restore", "ledger", epoch.Add(time.Millisecond)), gatehouse.Restart{Seq: seq, Epoch: epoch})
		f.ok(err)
		f.same(done, &gatehouse.Restarted{Seq: seq + 1, Ended: map[gatehouse.ClientID]int{"one": 4, "two": 1}})
		for _, id := range []gatehouse.TokenID{lives.ID, held.ID, r.ID, forever.ID} {
			f.isRevoked(id, epoch)
		}
		f.isRevoked(marked.ID, at(4*time.Second))
		f.same(f.token(expired.ID).RevokedAt, time.Time{})
		f.refusedGrant(grant(epoch, access(one, epoch)), gatehouse.ErrCutoff)
		f.refusedGrant(using(at(11*time.Second), r.ID, true, under(one, r, at(11*time.Second))), gatehouse.ErrRevoked)
		f.isLive(f.issue(one, at(11*time.Second)).ID)

		snap := f.load(at(time.Minute))
		f.same(snap.Epoch, epoch)
		if !snap.Newest.After(epoch) {
			f.Errorf("the newest time is %v: a clock that is behind would issue at the epoch %v", snap.Newest, epoch)
		}
		f.clean()
	}},
	{"no earlier position of the journal goes on", func(f *fixture) {
		f.client("one")
		last := f.load(start).Seq
		seq := last + 1_000_000
		_, err := f.store.Restart(f.ctx, act("restore", "ledger", at(time.Second)), gatehouse.Restart{Seq: last, Epoch: start})
		f.refused(err, gatehouse.ErrConflict)
		f.same(f.load(start).Epoch, time.Time{})
		_, err = f.store.Restart(f.ctx, act("restore", "ledger", at(time.Second)), gatehouse.Restart{Seq: seq, Epoch: start})
		f.ok(err)
		for _, old := range []int64{0, last, last + 1, seq - 1} {
			_, err := f.store.Journal(f.ctx, old, 10)
			f.refused(err, gatehouse.ErrJournalGone)
		}
		f.same(f.journal(seq), []gatehouse.Entry{{Seq: seq + 1, At: at(time.Second), Kind: gatehouse.EntryEpoch, Before: start}})
		f.client("two")
		f.same(f.load(start).Seq, seq+2)
	}},
	{"a journal begins anew without an epoch too", func(f *fixture) {
		c := f.client("one")
		t := f.issue(c, start)
		seq := f.load(start).Seq + 1_000
		done, err := f.store.Restart(f.ctx, act("restore", "ledger", at(time.Second)), gatehouse.Restart{Seq: seq})
		f.ok(err)
		f.same(done, &gatehouse.Restarted{Seq: seq})
		f.isLive(t.ID)
		f.same(f.load(start).Seq, seq)
		f.same(len(f.journal(seq)), 0)
	}},
	{"an epoch never goes back", func(f *fixture) {
		c := f.client("one")
		for i, epoch := range []time.Time{at(time.Hour), at(time.Minute)} {
			_, err := f.store.Restart(f.ctx, act("restore", "ledger", at(2*time.Hour)), gatehouse.Restart{Seq: int64(i+1) * 1_000, Epoch: epoch})
			f.ok(err)
		}
		f.same(f.load(start).Epoch, at(time.Hour))
		f.refusedGrant(grant(at(time.Hour), access(c, at(time.Hour))), gatehouse.ErrCutoff)
	}},
	{"documents of what was under way leave", func(f *fixture) {
		f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "kept"},
			gatehouse.Document{Kind: "sign-in", Key: "under way", ExpiresAt: time.Now().Add(time.Hour)}))
		_, err := f.store.Restart(f.ctx, act("restore", "ledger", at(time.Second)), gatehouse.Restart{Seq: 1_000})
		f.ok(err)
		_, err = f.store.Document(f.ctx, "user", "kept")
		f.ok(err)
		_, err = f.store.Document(f.ctx, "sign-in", "under way")
		f.refused(err, gatehouse.ErrNotFound)
	}},
	{"a manifest says what there is", func(f *fixture) {
		c := f.client("one")
		empty, err := f.store.Backup(f.ctx, nil)
		f.ok(err)
		f.same(empty.Counts, gatehouse.ManifestCounts{Clients: 1})
		for i := range 20 {
			t := f.issue(c, at(time.Duration(i)*time.Minute))
			if i%4 == 0 {
				f.revoke(t.IssuedAt, gatehouse.Selection{Token: t.ID})
			}
		}
		f.link(c, "user", start)
		f.ok(f.store.SaveKeys(f.ctx, act("key.create", "k", start), []gatehouse.KeyRecord{newKey("k", 0)}))
		f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "kept"}))
		m, err := f.store.Backup(f.ctx, nil)
		f.ok(err)
		f.same(m.Counts, gatehouse.ManifestCounts{Clients: 1, Connections: 1, Keys: 1, Documents: 1, Tokens: 21, Marks: 5})
		f.same(m.JournalSeq, f.load(start).Seq)
		f.same(m.Newest.IsZero(), false)
		events, err := f.store.Audit(f.ctx, 0, 1)
		f.ok(err)
		f.same(m.EventSeq, events[0].Seq)
		again, err := f.store.Backup(f.ctx, nil)
		f.ok(err)
		f.same(again, m)
		var rows, marks int64
		for _, chain := range m.Chains {
			rows, marks = rows+chain.Rows, marks+chain.Marks
		}
		f.same([]int64{rows, marks}, []int64{21, 5})
	}},
}
