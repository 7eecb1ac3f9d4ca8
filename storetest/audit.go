package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

var auditTests = []test{
	{"each act leaves its event", func(f *fixture) {
		c := f.client("one")
		t := f.issue(c, start)
		f.revoke(at(time.Minute), gatehouse.Selection{Token: t.ID})
		f.ok(f.store.SaveKeys(f.ctx, act("key.create", "k", at(time.Hour)), []gatehouse.KeyRecord{newKey("k", 0)}))
		events, err := f.store.Audit(f.ctx, 0, 100)
		f.ok(err)
		slices.Reverse(events)
		var chain [32]byte
		for i, want := range []gatehouse.Event{
			{Seq: 1, At: start, Action: "client.save", Subject: "one"},
			{Seq: 2, At: at(time.Minute), Action: "token.revoke", Subject: "subject"},
			{Seq: 3, At: at(time.Hour), Action: "key.create", Subject: "k"},
		} {
			want.By, want.Detail = operator, map[string]string{"why": "test"}
			chain = gatehouse.ChainEvent(chain, &want)
			want.Hash = chain
			f.same(events[i], want)
		}
		f.same(len(events), 3)
		report := f.clean()
		f.same(report.Events, 3)
		f.same(report.Tokens, 1)
	}},
	{"a refused act leaves none", func(f *fixture) {
		f.client("one")
		f.refused(f.store.SaveClient(f.ctx, act("client.create", "one", start), newClient("one")), gatehouse.ErrExists)
		_, err := f.store.Revoke(f.ctx, act("token.revoke", "x", start), gatehouse.Selection{Client: "nobody"})
		f.refused(err, gatehouse.ErrNotFound)
		f.same(f.clean().Events, 1)
	}},
	{"what can't be recorded is not done", func(f *fixture) {
		c := newClient("one")
		bad := act("client.create", "one", start)
		bad.Detail = map[string]string{"name": "\xff"}
		if err := f.store.SaveClient(f.ctx, bad, c); err == nil {
			f.Fatal("bytes that are not text were accepted")
		}
		_, err := f.store.Client(f.ctx, "one")
		f.refused(err, gatehouse.ErrNotFound)
	}},
	{"is listed newest first", func(f *fixture) {
		for i := range 10 {
			f.client(named("client", i))
		}
		page, err := f.store.Audit(f.ctx, 8, 3)
		f.ok(err)
		var seqs []int64
		for _, e := range page {
			seqs = append(seqs, e.Seq)
		}
		f.same(seqs, []int64{7, 6, 5})
	}},
	{"an act's answer is replayed", func(f *fixture) {
		a := act("client.create", "one", start)
		a.Replay = &gatehouse.Replay{Caller: "operator", Key: "key-1", Request: [32]byte{1, 2}, Answer: []byte("sealed"), At: start}
		f.ok(f.store.SaveClient(f.ctx, a, newClient("one")))
		got, err := f.store.Replay(f.ctx, "operator", "key-1")
		f.ok(err)
		f.same(got, a.Replay)
		for _, other := range [][2]string{{"operator", "key-2"}, {"somebody", "key-1"}} {
			_, err := f.store.Replay(f.ctx, other[0], other[1])
			f.refused(err, gatehouse.ErrNotFound)
		}
		f.refused(f.store.SaveClient(f.ctx, a, newClient("two")), gatehouse.ErrExists)
		_, err = f.store.Client(f.ctx, "two")
		f.refused(err, gatehouse.ErrNotFound)
	}},
	{"of many acts with one key one is done", func(f *fixture) {
		done := 0
		for _, err := range atOnce(20, func(i int) error {
			a := act("client.create", "x", start)
			a.Replay = &gatehouse.Replay{Caller: "operator", Key: "key", Answer: []byte{byte(i)}, At: start}
			return f.store.SaveClient(f.ctx, a, newClient(named("client", i)))
		}) {
			switch {
			case err == nil:
				done++
			case !errors.Is(err, gatehouse.ErrExists):
				f.Error(err)
			}
		}
		f.same(done, 1)
		f.same(len(f.load(start).Clients), 1)
	}},
}
