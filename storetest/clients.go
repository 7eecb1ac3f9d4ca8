package storetest

import (
	"errors"
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

var clientTests = []test{
	{"comes back as it was saved", func(f *fixture) {
		c := newClient("one")
		c.IDs = map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Sandbox: "one-sandbox", gatehouse.Live: "one-live"}
		c.Domain = "partner.example"
		c.Imports = map[gatehouse.Environment]time.Time{gatehouse.Sandbox: at(24 * time.Hour)}
		c.Secrets[0].Digest, c.Secrets[0].Imported = nil, []byte("sealed")
		c.Secrets[1].FastHash, c.Secrets[1].RetiredAt, c.Secrets[1].Compromised = "sha256", at(time.Hour), true
		c.RevokedBefore = map[gatehouse.Environment]time.Time{gatehouse.Live: at(-time.Hour)}
		got := f.save(c)
		want := *c
		want.Version = 1
		f.same(got, &want)
		f.same(f.load(start).Clients, []gatehouse.Client{want})
	}},
	{"unknown is ErrNotFound", func(f *fixture) {
		_, err := f.store.Client(f.ctx, "nobody")
		f.refused(err, gatehouse.ErrNotFound)
	}},
	{"only the newest version is replaced", func(f *fixture) {
		first := f.client("one")
		second := *first
		second.Name = "renamed"
		saved := f.save(&second)
		if saved.Version != 2 || saved.Name != "renamed" {
			f.Fatalf("version %d, name %q", saved.Version, saved.Name)
		}
		stale := *first
		stale.Name = "lost"
		f.refused(f.store.SaveClient(f.ctx, act("client.update", "one", start), &stale), gatehouse.ErrConflict)
		f.same(f.readClient("one"), saved)
		unknown := *newClient("two")
		unknown.Version = 1
		f.refused(f.store.SaveClient(f.ctx, act("client.update", "two", start), &unknown), gatehouse.ErrConflict)
	}},
	{"of many saves of one version one succeeds", func(f *fixture) {
		c := f.client("one")
		won := 0
		for _, err := range atOnce(20, func(int) error {
			changed := *c
			return f.store.SaveClient(f.ctx, act("client.update", "one", start), &changed)
		}) {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, gatehouse.ErrConflict):
				f.Error(err)
			}
		}
		if won != 1 {
			f.Fatalf("%d saves succeeded", won)
		}
	}},
	{"ids are never reused", func(f *fixture) {
		c := newClient("one")
		c.IDs = map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Live: "one-live"}
		saved := f.save(c)
		moved := *saved
		moved.IDs = map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Live: "one-live-2"}
		saved = f.save(&moved)
		gone := *saved
		gone.State, gone.IDs = gatehouse.Deleted, nil
		f.save(&gone)
		for _, id := range []gatehouse.ClientID{"one", "one-live", "one-live-2"} {
			again := newClient(id)
			f.refused(f.store.SaveClient(f.ctx, act("client.create", string(id), start), again), gatehouse.ErrExists)
			other := newClient("other")
			other.IDs[gatehouse.Sandbox] = id
			f.refused(f.store.SaveClient(f.ctx, act("client.create", "other", start), other), gatehouse.ErrExists)
		}
		_, err := f.store.Client(f.ctx, "other")
		f.refused(err, gatehouse.ErrNotFound)
	}},
	{"a secret belongs to one client", func(f *fixture) {
		c, other := f.client("one"), newClient("two")
		other.Secrets[0].ID = c.Secrets[0].ID
		f.refused(f.store.SaveClient(f.ctx, act("client.create", "two", start), other), gatehouse.ErrExists)
	}},
	{"uses of secrets are added up", func(f *fixture) {
		c := f.client("one")
		first, second := c.Secrets[0].ID, c.Secrets[1].ID
		v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
		f.ok(f.store.UseSecrets(f.ctx, []gatehouse.SecretUse{{Secret: first, Count: 2, At: at(time.Minute), Addr: v4}}))
		f.ok(f.store.UseSecrets(f.ctx, []gatehouse.SecretUse{
			{Secret: first, Count: 3, At: at(time.Second), Addr: v6}, // older: counted, but not the last
			{Secret: second, Count: 1, At: at(time.Hour), Addr: v6},
			{Secret: token.NewID(start), Count: 1, At: start}, // nobody's
		}))
		want := map[gatehouse.SecretID]gatehouse.SecretUse{
			first:  {Secret: first, Count: 5, At: at(time.Minute), Addr: v4},
			second: {Secret: second, Count: 1, At: at(time.Hour), Addr: v6},
		}
		check := func() {
			f.Helper()
			uses, err := f.store.SecretUses(f.ctx, "one")
			f.ok(err)
			got := map[gatehouse.SecretID]gatehouse.SecretUse{}
			for _, u := range uses {
				got[u.Secret] = u
			}
			f.same(got, want)
		}
		check()
		changed := *c
		changed.Name = "renamed"
		f.save(&changed)
		check()
	}},
}
