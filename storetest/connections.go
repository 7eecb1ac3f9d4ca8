package storetest

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// link is a connection of c and the access code that its app is given.
func link(c *gatehouse.Client, user string, now time.Time) (*gatehouse.Connection, *gatehouse.Grant) {
	n := &gatehouse.Connection{
		ID: token.NewID(now), Client: c.ID, Environment: gatehouse.Live, User: user, UserSecret: []byte{1, 2, 3},
		Token: token.NewID(now), CreatedAt: now,
	}
	code := access(c, now)
	code.Kind, code.Grant, code.User, code.Digest = gatehouse.AccessCode, n.ID, user, []byte{4, 5, 6}
	return n, grant(now, code)
}

func (f *fixture) link(c *gatehouse.Client, user string, now time.Time) (*gatehouse.Connection, *gatehouse.Grant) {
	f.Helper()
	n, code := link(c, user, now)
	f.ok(f.store.Link(f.ctx, act("connection.create", n.ID.String(), now), n, code))
	return n, code
}

// exchange is the grant of the connection's permanent token for its code.
func exchange(c *gatehouse.Client, n *gatehouse.Connection, code *gatehouse.Grant, now time.Time) *gatehouse.Grant {
	t := access(c, now)
	t.ID, t.Grant, t.Parent, t.ExpiresAt = n.Token, n.ID, code.Tokens[0].ID, time.Time{}
	return using(now, code.Tokens[0].ID, true, t)
}

var connectionTests = []test{
	{"comes back with its code", func(f *fixture) {
		c := f.client("one")
		n, code := f.link(c, "user-1", start)
		got, err := f.store.Connection(f.ctx, n.ID)
		f.ok(err)
		f.same(got, n)
		f.same(f.token(code.Tokens[0].ID), &code.Tokens[0])
		_, err = f.store.Connection(f.ctx, token.NewID(start))
		f.refused(err, gatehouse.ErrNotFound)
	}},
	{"both or neither", func(f *fixture) {
		c := f.client("one")
		n, _ := f.link(c, "user-1", start)
		_, code := link(c, "user-1", start)
		f.refused(f.store.Link(f.ctx, act("connection.create", "x", start), n, code), gatehouse.ErrExists)
		_, err := f.store.Token(f.ctx, code.Tokens[0].ID)
		f.refused(err, gatehouse.ErrNotFound)

		disabled := *f.readClient("one")
		disabled.State = gatehouse.Disabled
		f.save(&disabled)
		other, code := link(c, "user-2", start)
		f.refused(f.store.Link(f.ctx, act("connection.create", "x", start), other, code), gatehouse.ErrClientState)
		_, err = f.store.Connection(f.ctx, other.ID)
		f.refused(err, gatehouse.ErrNotFound)
	}},
	{"an end to the grant delinks it", func(f *fixture) {
		c := f.client("one")
		n, code := f.link(c, "user-1", start)
		f.record(exchange(c, n, code, at(time.Minute)))
		f.same(f.revoke(at(time.Hour), gatehouse.Selection{Grant: n.ID}).Tokens, 1)
		got, err := f.store.Connection(f.ctx, n.ID)
		f.ok(err)
		f.same(got.DelinkedAt, at(time.Hour))
		f.isRevoked(n.Token, at(time.Hour))
		f.refused(f.store.Record(f.ctx, using(at(2*time.Hour), code.Tokens[0].ID, true, access(c, at(2*time.Hour)))), gatehouse.ErrRevoked)
	}},
	{"delinked before its code was used", func(f *fixture) {
		c := f.client("one")
		n, code := f.link(c, "user-1", start)
		f.same(f.revoke(at(time.Minute), gatehouse.Selection{Grant: n.ID}).Tokens, 0)
		f.refusedGrant(exchange(c, n, code, at(2*time.Minute)), gatehouse.ErrRevoked)
	}},
	{"delinked after its code had expired", func(f *fixture) {
		c := f.client("one")
		n, code := f.link(c, "user-1", start)
		f.revoke(at(100*time.Hour), gatehouse.Selection{Grant: n.ID})
		f.refusedGrant(exchange(c, n, code, at(101*time.Hour)), gatehouse.ErrRevoked)
	}},
	{"lists are newest first", func(f *fixture) {
		one, two := f.client("one"), f.client("two")
		var mine, all []gatehouse.ConnectionID
		for i := range 20 {
			c := one
			if i%4 == 3 {
				c = two
			}
			n, _ := f.link(c, "user", at(time.Duration(i)*time.Second))
			all = append(all, n.ID)
			if c == one {
				mine = append(mine, n.ID)
			}
		}
		slices.Reverse(all)
		slices.Reverse(mine)
		list := func(q gatehouse.ConnectionQuery) []gatehouse.ConnectionID {
			found, err := f.store.Connections(f.ctx, q)
			f.ok(err)
			var ids []gatehouse.ConnectionID
			for _, n := range found {
				ids = append(ids, n.ID)
			}
			return ids
		}
		f.same(list(gatehouse.ConnectionQuery{Limit: 100}), all)
		f.same(list(gatehouse.ConnectionQuery{Client: "one", Environment: gatehouse.Live, Limit: 100}), mine)
		f.same(list(gatehouse.ConnectionQuery{Client: "one", Before: mine[3], Limit: 5}), mine[4:9])
		f.same(len(list(gatehouse.ConnectionQuery{Client: "one", Environment: gatehouse.Sandbox, Limit: 100})), 0)

		// A user's own, over all clients.
		a, _ := f.link(one, "anna", at(time.Minute))
		b, _ := f.link(two, "anna", at(2*time.Minute))
		f.link(two, "Anna", at(3*time.Minute))
		f.same(list(gatehouse.ConnectionQuery{User: "anna", Limit: 100}), []gatehouse.ConnectionID{b.ID, a.ID})
		f.same(list(gatehouse.ConnectionQuery{User: "anna", Limit: 1}), []gatehouse.ConnectionID{b.ID})
		f.revoke(at(time.Hour), gatehouse.Selection{Grant: b.ID})
		f.same(list(gatehouse.ConnectionQuery{User: "anna", Linked: true, Limit: 100}), []gatehouse.ConnectionID{a.ID})
		f.same(len(list(gatehouse.ConnectionQuery{User: "nobody", Limit: 100})), 0)
	}},
}
