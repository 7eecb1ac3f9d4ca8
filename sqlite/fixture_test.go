package sqlite

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// open returns a store in dir, which is closed when the test ends.
func open(t testing.TB, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), dir, opt)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	actor     = gatehouse.Actor{Kind: gatehouse.ByOperator, ID: "operator", Request: "request-1"}
	createAct = gatehouse.Act{At: time.Now(), By: actor, Action: "client.create"}
)

// newClient is a client with a secret in each environment, not saved yet.
func newClient(id gatehouse.ClientID) *gatehouse.Client {
	now := time.Now()
	c := &gatehouse.Client{
		ID: id, IDs: map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Sandbox: id, gatehouse.Live: id},
		Name: "test", Dialect: gatehouse.OAuth2, Scopes: []string{"read", "write"}, State: gatehouse.Enabled, CreatedAt: now,
	}
	for _, env := range gatehouse.Environments {
		c.Secrets = append(c.Secrets, gatehouse.ClientSecret{ID: token.NewID(now), Environment: env, Digest: make([]byte, 32), CreatedAt: now})
	}
	return c
}

// saveClient saves a client called one.
func saveClient(t testing.TB, s *Store) *gatehouse.Client {
	t.Helper()
	c := newClient("one")
	must(t, s.SaveClient(context.Background(), createAct, c))
	return c
}

// issue is what one client-credentials request for an opaque token records.
func issue(c *gatehouse.Client, now time.Time) *gatehouse.Grant {
	id := token.NewID(now)
	return &gatehouse.Grant{
		At: now,
		Tokens: []gatehouse.TokenRecord{{
			ID: id, Kind: gatehouse.AccessToken, Client: c.ID, Environment: gatehouse.Live, Dialect: c.Dialect, Scopes: c.Scopes,
			Secret: c.Secrets[1].ID, Digest: append(id[:], id[:]...), IssuedAt: now, ExpiresAt: now.Add(time.Hour).Truncate(time.Second),
		}},
	}
}
