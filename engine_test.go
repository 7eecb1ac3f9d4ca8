package gatehouse_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

// A world is an engine on a real ledger, with a clock that the test moves.
type world struct {
	*gatehouse.Engine
	store gatehouse.Store
	dir   string
	clock *testClock
	cfg   gatehouse.Config
}

type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// ours are policies in the shapes that dialects have: refresh tokens that are
// used again or rotate without a secret, an id for each environment, domain
// names as ids, permanent tokens for access codes.
var ours = []gatehouse.Policy{
	{Dialect: "reuse", Life: 15 * time.Minute, Refresh: gatehouse.RefreshReuse, RefreshLife: 24 * time.Hour, IDForm: gatehouse.IDUUID,
		Limits: map[gatehouse.Verb]gatehouse.Rate{gatehouse.VerbRefresh: {Count: 2, Per: time.Minute}}},
	{Dialect: "rotate", Life: 15 * time.Minute, Refresh: gatehouse.RefreshRotate, RefreshLife: time.Hour, IDForm: gatehouse.IDText},
	{Dialect: "separate", Life: 24 * time.Hour, Longest: 24 * time.Hour, SeparateIDs: true, IDForm: gatehouse.IDUUID},
	{Dialect: "domain", Life: time.Hour, IDForm: gatehouse.IDDomain, Limits: map[gatehouse.Verb]gatehouse.Rate{gatehouse.VerbIssue: {Count: 3, Per: time.Minute}},
		Prefix: map[gatehouse.Environment]string{gatehouse.Sandbox: "sandbox_", gatehouse.Live: "live_"}},
	{Dialect: "codes", Permanent: true, CodeLife: 30 * time.Minute, IDForm: gatehouse.IDText},
}

func newWorld(t testing.TB, change ...func(*gatehouse.Config)) *world {
	t.Helper()
	sealer, err := credential.NewSealer([32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: t.TempDir(), clock: &testClock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	w.cfg = gatehouse.Config{
		Sealer: sealer, DefaultIssuer: "http://127.0.0.1:8080", Policies: ours, Now: w.clock.now, MaxLag: 100 * 365 * 24 * time.Hour,
	}
	for _, c := range change {
		c(&w.cfg)
	}
	w.start(t)
	t.Cleanup(func() { w.store.Close() })
	return w
}

func (w *world) start(t testing.TB) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), w.dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.store, w.cfg.Store = store, store
	if w.Engine, err = gatehouse.Open(t.Context(), w.cfg); err != nil {
		t.Fatal(err)
	}
}

// restart closes the ledger and opens it again.
func (w *world) restart(t testing.TB) {
	t.Helper()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.start(t)
}

var (
	ctx      = context.Background()
	operator = gatehouse.Actor{Kind: gatehouse.ByOperator, ID: "operator"}
	caller   = gatehouse.Actor{Kind: gatehouse.ByClient, Addr: netip.MustParseAddr("192.0.2.1"), Request: "r1"}
)

// partner is a client with what it knows of itself.
type partner struct {
	*gatehouse.Client
	secrets map[gatehouse.Environment]secret.Text
}

func (w *world) partner(t testing.TB, dialect string, change ...func(*gatehouse.NewClient)) *partner {
	t.Helper()
	n := gatehouse.NewClient{Name: "partner", Dialect: dialect, Scopes: []string{"read", "write"}}
	if dialect == "domain" {
		n.Domain = "shop.example"
	}
	for _, c := range change {
		c(&n)
	}
	created, err := w.CreateClient(ctx, operator, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &partner{Client: created.Client, secrets: map[gatehouse.Environment]secret.Text{}}
	for _, s := range created.Secrets {
		p.secrets[s.Environment] = s.Secret
	}
	return p
}

func (p *partner) proof(env gatehouse.Environment) gatehouse.ClientProof {
	id, _ := p.WireID(env)
	return gatehouse.ClientProof{Dialect: p.Dialect, ClientID: id, Secret: p.secrets[env]}
}

func (w *world) issue(t testing.TB, p *partner, env gatehouse.Environment) *gatehouse.Issued {
	t.Helper()
	issued, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(env)})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (w *world) link(t testing.TB, p *partner, env gatehouse.Environment) *gatehouse.LinkResult {
	t.Helper()
	l, err := w.CreateConnection(ctx, operator, p.ID, env, "user-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (p *partner) exchange(l *gatehouse.LinkResult) gatehouse.ExchangeRequest {
	return gatehouse.ExchangeRequest{
		Dialect: p.Dialect, Code: l.AccessCode, Connection: l.Connection.ID.String(), Secret: p.secrets[l.Connection.Environment],
	}
}

func (w *world) passes(t testing.TB, tok secret.Text) {
	t.Helper()
	if _, err := w.Validate(ctx, tok, gatehouse.Requirement{}); err != nil {
		t.Errorf("the token doesn't pass: %v", err)
	}
}

// refused checks code and reason of an error.
func refused(t testing.TB, err error, code gatehouse.Code, reason gatehouse.Reason) {
	t.Helper()
	var e *gatehouse.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want %s (%s)", err, code, reason)
	}
	if e.Code != code || reason != "" && e.Reason != reason {
		t.Errorf("got %v, want %s (%s)", err, code, reason)
	}
}

func (w *world) refuses(t testing.TB, tok secret.Text, code gatehouse.Code, reason gatehouse.Reason) {
	t.Helper()
	_, err := w.Validate(ctx, tok, gatehouse.Requirement{})
	refused(t, err, code, reason)
}
