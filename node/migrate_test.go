package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/postgres"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

// A world is a ledger that has lived, and what its callers hold.
type world struct {
	sealer  *credential.Sealer
	stands  []secret.Text
	revoked []secret.Text
	env     gatehouse.Environment
}

// engineOn opens an engine with all built-in dialects on a store.
func engineOn(t *testing.T, store gatehouse.Store, sealer *credential.Sealer) *gatehouse.Engine {
	t.Helper()
	dialects, err := LoadDialects(dialect.BuiltinNames())
	must(t, err)
	policies, err := httpd.Policies(dialects)
	must(t, err)
	e, err := gatehouse.Open(t.Context(), gatehouse.Config{Store: store, Sealer: sealer, DefaultIssuer: "https://auth.example.com", Policies: policies})
	must(t, err)
	return e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// live fills a store with clients of all dialects and tokens of theirs, some of
// them revoked, and some partitions that were dropped.
func live(t *testing.T, store gatehouse.Store) *world {
	t.Helper()
	var kek [32]byte
	_, _ = rand.Read(kek[:])
	sealer, err := credential.NewSealer(kek)
	must(t, err)
	w := &world{sealer: sealer, env: gatehouse.Live}
	e := engineOn(t, store, sealer)
	by, ctx := gatehouse.System("test"), t.Context()
	for i, name := range append(dialect.BuiltinNames(), gatehouse.OAuth2) {
		created, err := e.CreateClient(ctx, by, gatehouse.NewClient{Name: "client of " + name, Dialect: name, Domain: fmt.Sprintf("c%d.example", i), Refresh: name == gatehouse.OAuth2}, nil)
		must(t, err)
		for j := range 12 {
			issued, err := e.IssueFor(ctx, by, created.Client.ID, w.env, 0, fmt.Sprintf("token %d", j), nil, nil)
			if err != nil {
				break // a dialect whose tokens only users get
			}
			if j%3 != 0 {
				w.stands = append(w.stands, issued.Access)
				continue
			}
			w.revoked = append(w.revoked, issued.Access)
			_, err = e.Revoke(ctx, by, gatehouse.Selection{Token: issued.Record.ID})
			must(t, err)
		}
		_, _ = e.CreateConnection(ctx, by, created.Client.ID, w.env, "user", nil) // where its dialect has them
	}
	// A token that has expired long ago, so that its partition is dropped.
	old := time.Now().Add(-72 * time.Hour)
	client := e.Clients("", 1)[0]
	gone := gatehouse.TokenRecord{
		ID: gatehouse.TokenID(slices.Concat(make([]byte, 15), []byte{1})), Kind: gatehouse.AccessToken, Client: client.ID, Environment: w.env, Dialect: client.Dialect,
		IssuedAt: old, ExpiresAt: old.Add(time.Hour).Truncate(time.Second),
	}
	must(t, store.Record(ctx, &gatehouse.Grant{At: time.Now(), Tokens: []gatehouse.TokenRecord{gone}}))
	expired, err := store.Expire(ctx, time.Now().Add(-24*time.Hour))
	must(t, err)
	if expired.Partitions != 1 {
		t.Fatalf("%d partitions were dropped", expired.Partitions)
	}
	must(t, store.Keep(ctx, nil, gatehouse.Document{Kind: "user", Key: "one", Value: []byte("{}")}))
	return w
}

// stillSo ends the test unless tokens stand and fall on an engine as they did.
func (w *world) stillSo(t *testing.T, e *gatehouse.Engine) {
	t.Helper()
	for _, tok := range w.stands {
		if _, err := e.Validate(t.Context(), tok, gatehouse.Requirement{Environment: w.env}); err != nil {
			t.Fatalf("a token that stood is refused: %v", err)
		}
	}
	for _, tok := range w.revoked {
		if _, err := e.Validate(t.Context(), tok, gatehouse.Requirement{Environment: w.env}); err == nil {
			t.Fatal("a token that was revoked passes")
		}
	}
	if len(w.stands) < 20 || len(w.revoked) < 10 {
		t.Fatalf("only %d and %d tokens were tried", len(w.stands), len(w.revoked))
	}
}

// A ledger moves to PostgreSQL: what fails leaves the source as it was and the
// target empty, and what succeeds leaves nothing behind.
func TestMigrate(t *testing.T) {
	server := postgrestest.Start(t)
	dir := t.TempDir()
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	must(t, err)
	w := live(t, store)
	url := server.URL(t)
	m := &Migration{Dir: dir, Postgres: secret.New(url)}
	if _, err := m.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "in use by another gatehouse") {
		t.Fatalf("a ledger that is served was moved: %v", err)
	}
	before, err := store.Load(t.Context(), time.Now())
	must(t, err)
	must(t, store.Close())

	used := server.URL(t)
	other, err := postgres.Open(t.Context(), used, postgres.Options{})
	must(t, err)
	must(t, other.Keep(t.Context(), nil, gatehouse.Document{Kind: "user", Key: "one"}))
	must(t, other.Close())
	if _, err := (&Migration{Dir: dir, Postgres: secret.New(used)}).Run(t.Context()); !errors.Is(err, postgres.ErrNotEmpty) {
		t.Errorf("a ledger was moved into a database that is used: %v", err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := (&Migration{Dir: dir, Postgres: m.Postgres, Progress: func(int64, int64) { cancel() }}).Run(interrupted); err == nil {
		t.Error("a migration that was interrupted says that it is done")
	}
	same, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	must(t, err)
	if now, err := same.Load(t.Context(), time.Now()); err != nil || now.Seq != before.Seq || len(now.Revoked) != len(before.Revoked) {
		t.Errorf("the ledger is not as it was: %v", err)
	}
	must(t, same.Close())

	done, err := m.Run(t.Context())
	must(t, err)
	for _, c := range done.Tables {
		if c.Source != c.Target {
			t.Errorf("%+v", c)
		}
		if c.Source == 0 && c.Table != "replays" && c.Table != "secret_uses" && c.Table != "cutoffs" {
			t.Errorf("nothing to move in %s: the test proves nothing of it", c.Table)
		}
	}
	if _, err := sqlite.Open(t.Context(), dir, sqlite.Options{}); err == nil || !strings.Contains(err.Error(), "was moved") {
		t.Errorf("the old place is still served: %v", err)
	}

	target, err := postgres.Open(t.Context(), url, postgres.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, target.Close()) })
	after, err := target.Load(t.Context(), time.Now())
	must(t, err)
	if after.Seq != before.Seq || len(after.Clients) != len(before.Clients) || len(after.Keys) != len(before.Keys) || len(after.Revoked) != len(before.Revoked) {
		t.Errorf("journal %d, %d clients, %d keys, %d revoked; there were journal %d, %d clients, %d keys, %d revoked", after.Seq, len(after.Clients), len(after.Keys),
			len(after.Revoked), before.Seq, len(before.Clients), len(before.Keys), len(before.Revoked))
	}
	e := engineOn(t, target, w.sealer)
	w.stillSo(t, e)
	report, err := target.CheckAudit(t.Context())
	must(t, err)
	if len(report.Faults) > 0 || report.Tokens != done.Tokens {
		t.Errorf("%+v", report)
	}
	// And it goes on: nothing clashes with what was moved.
	for _, c := range e.Clients("", 100) {
		_, err := e.IssueFor(t.Context(), gatehouse.System("test"), c.ID, w.env, 0, "", nil, nil)
		if err != nil && gatehouse.AsError(err).Code == gatehouse.ServerError {
			t.Error(err)
		}
	}
	if _, err := e.RotateKeys(t.Context(), gatehouse.System("test"), gatehouse.Live, ""); err != nil {
		t.Error(err)
	}
}
