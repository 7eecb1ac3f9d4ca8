// Package storetest is what every gatehouse.Store must pass: the conditions
// that the interface's comments state, each under its name, and the races that
// they must hold in. A store's own tests call Run and RunReopen, and add what
// only that store can do wrong.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// Run runs the suite. open returns an empty store, which it closes when t ends.
func Run(t *testing.T, open func(t *testing.T) gatehouse.Store) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Clients", clientTests},
		{"Record", recordTests},
		{"Tokens", tokenTests},
		{"Imports", importTests},
		{"Revoke", revokeTests},
		{"Connections", connectionTests},
		{"Journal", journalTests},
		{"Audit", auditTests},
		{"Keys", keyTests},
		{"Documents", documentTests},
		{"Expire", expireTests},
		{"Restart", restartTests},
		{"Races", raceTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, one := range group.tests {
				t.Run(one.name, func(t *testing.T) { one.run(newFixture(t, open(t))) })
			}
		})
	}
}

type test struct {
	name string
	run  func(*fixture)
}

// start is when every test begins. Stores have no clock of their own.
var start = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// at is some time after start.
func at(d time.Duration) time.Time { return start.Add(d) }

// A fixture is one test's store and the short ways to use it.
type fixture struct {
	*testing.T
	store gatehouse.Store
	ctx   context.Context
}

func newFixture(t *testing.T, s gatehouse.Store) *fixture {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return &fixture{T: t, store: s, ctx: ctx}
}

// ok ends the test where err is not nil.
func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// refused ends the test unless err wraps want.
func (f *fixture) refused(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Fatalf("got error %v, want %v", err, want)
	}
}

// same ends the test unless got is want. A list that is empty and one that is
// not there are the same.
func (f *fixture) same(got, want any) {
	f.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		f.Fatalf("(-want +got):\n%s", diff)
	}
}

var operator = gatehouse.Actor{
	Kind: gatehouse.ByOperator, ID: "operator", Addr: netip.MustParseAddr("192.0.2.7"), Request: "request-1",
}

// act is an operator's act at a moment.
func act(action, subject string, when time.Time) gatehouse.Act {
	return gatehouse.Act{At: when, By: operator, Action: action, Subject: subject, Detail: map[string]string{"why": "test"}}
}

// newClient is a client with one live secret in each environment, not saved yet.
func newClient(id gatehouse.ClientID) *gatehouse.Client {
	c := &gatehouse.Client{
		ID: id, IDs: map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Sandbox: id, gatehouse.Live: id},
		Name: "Client " + string(id), Dialect: gatehouse.OAuth2, Scopes: []string{"read", "write"},
		Fields: map[string]string{"owner.id": "organisation-1"}, MaxTTL: 48 * time.Hour, Refresh: true,
		Limit: gatehouse.Rate{Count: 10, Per: time.Minute}, State: gatehouse.Enabled, CreatedAt: start,
	}
	for i, env := range gatehouse.Environments {
		c.Secrets = append(c.Secrets, gatehouse.ClientSecret{
			ID: token.NewID(start), Environment: env, Digest: []byte{byte(i), 0, 255}, CreatedAt: start,
		})
	}
	return c
}

// client saves a new client and returns it as it was stored.
func (f *fixture) client(id gatehouse.ClientID) *gatehouse.Client {
	f.Helper()
	return f.save(newClient(id))
}

func (f *fixture) save(c *gatehouse.Client) *gatehouse.Client {
	f.Helper()
	f.ok(f.store.SaveClient(f.ctx, act("client.save", string(c.ID), start), c))
	return f.readClient(c.ID)
}

func (f *fixture) readClient(id gatehouse.ClientID) *gatehouse.Client {
	f.Helper()
	c, err := f.store.Client(f.ctx, id)
	f.ok(err)
	return c
}

// access is a live-environment access token of c, issued now and good for an hour.
func access(c *gatehouse.Client, now time.Time) gatehouse.TokenRecord {
	return gatehouse.TokenRecord{
		ID: token.NewID(now), Kind: gatehouse.AccessToken, Client: c.ID, Environment: gatehouse.Live, Dialect: c.Dialect,
		IssuedAt: now, ExpiresAt: now.Truncate(time.Second).Add(time.Hour),
	}
}

// refresh is a refresh token of c that begins a grant, good for a day.
func refresh(c *gatehouse.Client, now time.Time) gatehouse.TokenRecord {
	r := access(c, now)
	r.Kind, r.Grant, r.ExpiresAt = gatehouse.RefreshToken, r.ID, now.Truncate(time.Second).Add(24*time.Hour)
	return r
}

// under is an access token that parent's grant gives.
func under(c *gatehouse.Client, parent gatehouse.TokenRecord, now time.Time) gatehouse.TokenRecord {
	r := access(c, now)
	r.Grant, r.Parent = parent.Grant, parent.ID
	return r
}

// grant is a grant of tokens at a moment.
func grant(now time.Time, tokens ...gatehouse.TokenRecord) *gatehouse.Grant {
	return &gatehouse.Grant{At: now, Tokens: tokens}
}

// using is a grant that presents used.
func using(now time.Time, used gatehouse.TokenID, spend bool, tokens ...gatehouse.TokenRecord) *gatehouse.Grant {
	g := grant(now, tokens...)
	g.Uses, g.Spend = used, spend
	return g
}

func (f *fixture) record(g *gatehouse.Grant) {
	f.Helper()
	f.ok(f.store.Record(f.ctx, g))
}

// issue records one access token.
func (f *fixture) issue(c *gatehouse.Client, now time.Time) gatehouse.TokenRecord {
	f.Helper()
	t := access(c, now)
	f.record(grant(now, t))
	return t
}

func (f *fixture) token(id gatehouse.TokenID) *gatehouse.TokenRecord {
	f.Helper()
	t, err := f.store.Token(f.ctx, id)
	f.ok(err)
	return t
}

func (f *fixture) revoke(when time.Time, sel gatehouse.Selection) gatehouse.Revoked {
	f.Helper()
	done, err := f.store.Revoke(f.ctx, act("token.revoke", "subject", when), sel)
	f.ok(err)
	return done
}

// isLive ends the test unless the token is there and not revoked.
func (f *fixture) isLive(id gatehouse.TokenID) {
	f.Helper()
	if t := f.token(id); !t.RevokedAt.IsZero() {
		f.Fatalf("token %s is revoked", id)
	}
}

// isRevoked ends the test unless the token was revoked at that moment.
func (f *fixture) isRevoked(id gatehouse.TokenID, when time.Time) {
	f.Helper()
	if t := f.token(id); !t.RevokedAt.Equal(when) {
		f.Fatalf("token %s: revoked at %v, want %v", id, t.RevokedAt, when)
	}
}

// list returns the ids that q selects.
func (f *fixture) list(q gatehouse.TokenQuery) []gatehouse.TokenID {
	f.Helper()
	if q.Limit == 0 {
		q.Limit = 1_000
	}
	found, err := f.store.Tokens(f.ctx, q)
	f.ok(err)
	ids := []gatehouse.TokenID{}
	for _, t := range found {
		ids = append(ids, t.ID)
	}
	return ids
}

// journal returns all entries after since.
func (f *fixture) journal(since int64) []gatehouse.Entry {
	f.Helper()
	entries, err := f.store.Journal(f.ctx, since, 1_000_000)
	f.ok(err)
	return entries
}

func (f *fixture) load(now time.Time) *gatehouse.Snapshot {
	f.Helper()
	snap, err := f.store.Load(f.ctx, now)
	f.ok(err)
	return snap
}

// clean ends the test unless the hash chains are whole.
func (f *fixture) clean() *gatehouse.AuditReport {
	f.Helper()
	report, err := f.store.CheckAudit(f.ctx)
	f.ok(err)
	for _, fault := range report.Faults {
		f.Errorf("the audit chain has a fault: %s", fault)
	}
	return report
}

// at once runs fn n times side by side and returns the errors, by call.
func atOnce(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	begin := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			<-begin
			errs[i] = fn(i)
		})
	}
	close(begin)
	running.Wait()
	return errs
}

// named gives many things distinct names.
func named(prefix string, i int) gatehouse.ClientID {
	return gatehouse.ClientID(fmt.Sprintf("%s-%d", prefix, i))
}
