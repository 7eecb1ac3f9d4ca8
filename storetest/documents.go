package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// A document's expiry is looked at by the real clock, so these tests take their
// times from it, and an hour is both longer and shorter than any of them lasts.
var documentTests = []test{
	{"comes back as it was kept", func(f *fixture) {
		want := gatehouse.Document{
			Kind: "user", Key: "süß/1", Owner: "owner", Value: []byte{0, 255, '{'}, Version: 1,
			ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC(),
		}
		kept := want
		kept.Version = 0
		plain := gatehouse.Document{Kind: "user", Key: "plain"}
		f.ok(f.store.Keep(f.ctx, nil, kept, plain))
		f.same(f.document("user", "süß/1"), &want)
		plain.Version = 1
		f.same(f.document("user", "plain"), &plain)
		f.same(f.clean().Events, 0)
	}},
	{"unknown is ErrNotFound", func(f *fixture) {
		f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "one"}))
		for _, other := range [][2]string{{"user", "two"}, {"webhook", "one"}, {"user", "ONE"}, {"user", ""}, {"", ""}, {"user", "one\x00"}, {"user", "\xff"}} {
			_, err := f.store.Document(f.ctx, other[0], other[1])
			f.refused(err, gatehouse.ErrNotFound)
			_, err = f.store.Take(f.ctx, nil, other[0], other[1])
			f.refused(err, gatehouse.ErrNotFound)
		}
		f.document("user", "one")
	}},
	{"only the version that was read is replaced", func(f *fixture) {
		one := gatehouse.Document{Kind: "user", Key: "one", Value: []byte("1")}
		f.ok(f.store.Keep(f.ctx, nil, one))
		f.refused(f.store.Keep(f.ctx, nil, one), gatehouse.ErrExists)
		read := *f.document("user", "one")
		read.Value = []byte("2")
		f.ok(f.store.Keep(f.ctx, nil, read))
		f.refused(f.store.Keep(f.ctx, nil, read), gatehouse.ErrConflict)
		read.Version = 9
		f.refused(f.store.Keep(f.ctx, nil, read), gatehouse.ErrConflict)
		f.refused(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "none", Version: 1}), gatehouse.ErrConflict)
		got := f.document("user", "one")
		f.same(string(got.Value), "2")
		f.same(got.Version, int64(2))
	}},
	{"of several all are kept or none", func(f *fixture) {
		f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "taken"}))
		a := act("user.create", "new", start)
		f.refused(f.store.Keep(f.ctx, &a, gatehouse.Document{Kind: "user", Key: "new"}, gatehouse.Document{Kind: "user", Key: "taken"}), gatehouse.ErrExists)
		f.refused(f.store.Keep(f.ctx, &a, gatehouse.Document{Kind: "user", Key: "new"}, gatehouse.Document{Kind: "user", Key: "new"}), gatehouse.ErrConflict)
		_, err := f.store.Document(f.ctx, "user", "new")
		f.refused(err, gatehouse.ErrNotFound)
		f.same(f.clean().Events, 0)
	}},
	{"too much, or what is no text, is not kept", func(f *fixture) {
		long := strings.Repeat("k", 200)
		f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: long, Owner: long, Value: make([]byte, gatehouse.MaxDocument)}))
		for _, bad := range []gatehouse.Document{
			{Kind: "user"},
			{Key: "key"},
			{Kind: "user", Key: long + "k"},
			{Kind: "user", Key: "key", Owner: long + "k"},
			{Kind: "user", Key: "key", Value: make([]byte, gatehouse.MaxDocument+1)},
			{Kind: "user", Key: "a\x00b"},
			{Kind: "user", Key: "\xff"},
			{Kind: "user", Key: "key", Owner: "\x00"},
			{Kind: "user", Key: "key", Version: -1},
		} {
			if err := f.store.Keep(f.ctx, nil, bad); err == nil {
				f.Errorf("%.20q %.20q was kept", bad.Kind, bad.Key)
			}
		}
		f.same(len(f.documents("user", "", "", 10)), 1)
	}},
	{"is listed in the order of keys' bytes", func(f *fixture) {
		keys := []string{"a", "B", "ä", "10", "9", "a/b", "a-b", "a b", "Z", "z"}
		for i, key := range keys {
			f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: key, Owner: fmt.Sprintf("owner-%d", i%2)}))
		}
		f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "webhook", Key: "a", Owner: "owner-0"}))
		mine := []string{"10", "B", "a b", "a/b", "z"}
		slices.Sort(keys)
		f.same(f.documents("user", "", "", 100), keys)
		f.same(f.documents("user", "", keys[3], 3), keys[4:7])
		f.same(len(f.documents("user", "", keys[9], 3)), 0)
		f.same(f.documents("user", "owner-1", "", 100), mine)
		f.same(f.documents("user", "owner-1", mine[1], 2), mine[2:4])
		f.same(len(f.documents("user", "nobody", "", 100)), 0)
	}},
	{"is not found once it has expired", func(f *fixture) {
		over, later := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
		f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "over", Owner: "o", ExpiresAt: over},
			gatehouse.Document{Kind: "user", Key: "later", Owner: "o", ExpiresAt: later}))
		_, err := f.store.Document(f.ctx, "user", "over")
		f.refused(err, gatehouse.ErrNotFound)
		_, err = f.store.Take(f.ctx, nil, "user", "over")
		f.refused(err, gatehouse.ErrNotFound)
		f.refused(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "over", Version: 1}), gatehouse.ErrConflict)
		f.same(f.documents("user", "", "", 10), []string{"later"})
		f.same(f.documents("user", "o", "", 10), []string{"later"})
		f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "over", Value: []byte("new")}))
		again := f.document("user", "over")
		f.same(string(again.Value), "new")
		f.same(again.ExpiresAt, time.Time{})

		// Keeping what has expired removes it.
		gone := *again
		gone.ExpiresAt = over
		f.ok(f.store.Keep(f.ctx, nil, gone))
		f.same(f.documents("user", "", "", 10), []string{"later"})
	}},
	{"leaves with Expire once it has expired", func(f *fixture) {
		now := time.Now()
		var docs []gatehouse.Document
		for i := range 2_500 { // more than one step
			docs = append(docs, gatehouse.Document{Kind: "session", Key: fmt.Sprint(i), ExpiresAt: now.Add(time.Hour)})
		}
		docs = append(docs, gatehouse.Document{Kind: "session", Key: "later", ExpiresAt: now.Add(3 * time.Hour)}, gatehouse.Document{Kind: "session", Key: "ever"})
		f.ok(f.store.Keep(f.ctx, nil, docs...))
		_, err := f.store.Expire(f.ctx, now.Add(59*time.Minute))
		f.ok(err)
		f.same(len(f.documents("session", "", "", 10_000)), len(docs))
		_, err = f.store.Expire(f.ctx, now.Add(2*time.Hour))
		f.ok(err)
		f.same(f.documents("session", "", "", 10_000), []string{"ever", "later"})
	}},
	{"is kept and taken with the act's event", func(f *fixture) {
		create, remove := act("user.create", "one", start), act("user.delete", "one", at(time.Minute))
		create.Replay = &gatehouse.Replay{Caller: "operator", Key: "key-1", Request: [32]byte{1}, Answer: []byte("sealed"), At: start}
		f.ok(f.store.Keep(f.ctx, &create, gatehouse.Document{Kind: "user", Key: "one"}))
		got, err := f.store.Replay(f.ctx, "operator", "key-1")
		f.ok(err)
		f.same(got, create.Replay)
		f.refused(f.store.Keep(f.ctx, &create, gatehouse.Document{Kind: "user", Key: "two"}), gatehouse.ErrExists)
		_, err = f.store.Take(f.ctx, &remove, "user", "one")
		f.ok(err)
		_, err = f.store.Take(f.ctx, &remove, "user", "one")
		f.refused(err, gatehouse.ErrNotFound)
		events, err := f.store.Audit(f.ctx, 0, 10)
		f.ok(err)
		f.same(len(events), 2)
		f.same(events[1].Action, "user.create")
		f.same(events[0].Action, "user.delete")
		f.same(f.clean().Events, 2)
		f.same(len(f.documents("user", "", "", 10)), 0)
	}},
	{"of many who take one gets it", func(f *fixture) {
		for round := range 10 {
			key := fmt.Sprint(round)
			f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "session", Key: key, Value: []byte("v")}))
			took := make([]*gatehouse.Document, 50)
			errs := atOnce(len(took), func(i int) (err error) {
				took[i], err = f.store.Take(f.ctx, nil, "session", key)
				return err
			})
			won := 0
			for i, err := range errs {
				switch {
				case err == nil && string(took[i].Value) == "v":
					won++
				case !errors.Is(err, gatehouse.ErrNotFound) || took[i] != nil:
					f.Errorf("%v, %v", took[i], err)
				}
			}
			f.same(won, 1)
		}
	}},
	{"of many saves of one version one succeeds", func(f *fixture) {
		f.ok(f.store.Keep(f.ctx, nil, gatehouse.Document{Kind: "user", Key: "one"}))
		read := *f.document("user", "one")
		won := 0
		for i, err := range atOnce(50, func(i int) error {
			changed := read
			changed.Value = fmt.Append(nil, i)
			return f.store.Keep(f.ctx, nil, changed)
		}) {
			switch {
			case err == nil:
				won++
				f.same(string(f.document("user", "one").Value), fmt.Sprint(i))
			case !errors.Is(err, gatehouse.ErrConflict):
				f.Error(err)
			}
		}
		f.same(won, 1)
	}},
}

// document returns one that is there.
func (f *fixture) document(kind, key string) *gatehouse.Document {
	f.Helper()
	d, err := f.store.Document(f.ctx, kind, key)
	f.ok(err)
	return d
}

// documents returns the keys of a list.
func (f *fixture) documents(kind, owner, after string, limit int) []string {
	f.Helper()
	list, err := f.store.Documents(f.ctx, kind, owner, after, limit)
	f.ok(err)
	keys := []string{}
	for _, d := range list {
		keys = append(keys, d.Key)
	}
	return keys
}
