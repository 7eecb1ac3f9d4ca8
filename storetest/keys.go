package storetest

import (
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

func newKey(id string, index int) gatehouse.KeyRecord {
	return gatehouse.KeyRecord{
		ID: id, Index: index, Realm: token.Realm{Environment: "live", Format: "oauth2", Algorithm: token.EdDSA},
		Public: []byte("public " + id), Sealed: []byte("sealed " + id), PublishedAt: start,
	}
}

var keyTests = []test{
	{"keys come back and are replaced", func(f *fixture) {
		a, b := newKey("a", 0), newKey("b", 1)
		f.ok(f.store.SaveKeys(f.ctx, act("key.create", "a", start), []gatehouse.KeyRecord{a, b}))
		a.SignsFrom, a.RetiredAt, a.GoneAt, a.Compromised = at(time.Hour), at(2*time.Hour), at(3*time.Hour), true
		f.ok(f.store.SaveKeys(f.ctx, act("key.retire", "a", start), []gatehouse.KeyRecord{a}))
		keys, err := f.store.Keys(f.ctx)
		f.ok(err)
		f.same(keys, []gatehouse.KeyRecord{a, b})
		f.same(f.load(start).Keys, []gatehouse.KeyRecord{a, b})
	}},
	{"names and indexes are unique, all or none", func(f *fixture) {
		f.ok(f.store.SaveKeys(f.ctx, act("key.create", "a", start), []gatehouse.KeyRecord{newKey("a", 0)}))
		sameID, sameIndex := newKey("a", 1), newKey("b", 0)
		sameID.Public = []byte("another")
		for _, clash := range []gatehouse.KeyRecord{sameID, sameIndex} {
			err := f.store.SaveKeys(f.ctx, act("key.create", "c", start), []gatehouse.KeyRecord{newKey("c", 2), clash})
			f.refused(err, gatehouse.ErrExists)
		}
		keys, err := f.store.Keys(f.ctx)
		f.ok(err)
		f.same(keys, []gatehouse.KeyRecord{newKey("a", 0)})
		other := newKey("d", 0)
		other.Realm.Format = "another"
		f.ok(f.store.SaveKeys(f.ctx, act("key.create", "d", start), []gatehouse.KeyRecord{other}))
	}},
	{"of many first keys one is made", func(f *fixture) {
		made := 0
		for _, err := range atOnce(10, func(i int) error {
			k := newKey(string(named("key", i)), 0)
			return f.store.SaveKeys(f.ctx, act("key.create", k.ID, start), []gatehouse.KeyRecord{k})
		}) {
			switch {
			case err == nil:
				made++
			case !errors.Is(err, gatehouse.ErrExists):
				f.Error(err)
			}
		}
		f.same(made, 1)
	}},
	{"the first caller decides a setting", func(f *fixture) {
		values := make([]string, 20)
		for _, err := range atOnce(len(values), func(i int) error {
			v, err := f.store.Setting(f.ctx, "issuer", []byte(named("value", i)))
			values[i] = string(v)
			return err
		}) {
			f.ok(err)
		}
		for _, v := range values {
			f.same(v, values[0])
		}
		other, err := f.store.Setting(f.ctx, "other", []byte{0, 255})
		f.ok(err)
		f.same(other, []byte{0, 255})
	}},
}
