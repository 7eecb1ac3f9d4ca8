package postgres

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

var (
	operator  = gatehouse.Actor{Kind: gatehouse.ByOperator, ID: "operator", Request: "request-1"}
	createAct = gatehouse.Act{At: time.Now(), By: operator, Action: "client.create"}
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
	must(t, s.SaveClient(t.Context(), createAct, c))
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

// refreshing is a refresh token of c that begins a grant.
func refreshing(c *gatehouse.Client, now time.Time) *gatehouse.Grant {
	g := issue(c, now)
	t := &g.Tokens[0]
	t.Kind, t.Grant, t.ExpiresAt = gatehouse.RefreshToken, t.ID, now.Add(60*24*time.Hour).Truncate(time.Second)
	return g
}

// spending is a grant that spends the refresh token of another.
func spending(c *gatehouse.Client, of *gatehouse.Grant, now time.Time) *gatehouse.Grant {
	g := issue(c, now)
	g.Tokens[0].Grant, g.Tokens[0].Parent = of.Tokens[0].Grant, of.Tokens[0].ID
	g.Uses, g.Spend = of.Tokens[0].ID, true
	return g
}
