package gatehouse_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func (w *world) keys(env gatehouse.Environment, state gatehouse.KeyState) (ids []string) {
	for _, k := range w.Keys() {
		if k.Realm.Environment == string(env) && k.State == state {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

// runUntil lets the engine's own schedule run until done reports true.
func (w *world) runUntil(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("the schedule did not come round")
		}
		if err := w.Upkeep(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeysAreOfOneEnvironment(t *testing.T) {
	w := newWorld(t)
	all := w.Keys()
	ids := map[string]bool{}
	for _, k := range all {
		if ids[k.ID] || !strings.HasPrefix(k.ID, k.Realm.Environment+"-") {
			t.Errorf("key id %s stands twice or does not tell its environment", k.ID)
		}
		ids[k.ID] = true
		for _, env := range append(gatehouse.Environments, "") {
			body, etag, err := w.JWKS(env)
			if err != nil || etag == "" {
				t.Fatal(err)
			}
			if got, want := strings.Contains(string(body), `"`+k.ID+`"`), env == "" || string(env) == k.Realm.Environment; got != want {
				t.Errorf("key %s in the key set of %q: %v", k.ID, env, got)
			}
		}
	}
	if len(ids) < 2 {
		t.Errorf("only %d keys", len(ids))
	}
}

// The key that signs next is published before; the one before goes on verifying
// as long as its tokens live.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	if len(w.keys(gatehouse.Live, gatehouse.KeyStandby)) != 1 {
		t.Fatal("no key stands by from the start: verifiers would learn of the next one when it signs already")
	}
	old := w.issue(t, p, gatehouse.Live).Access
	next := w.keys(gatehouse.Live, gatehouse.KeyStandby)[0]
	if body, _, _ := w.JWKS(gatehouse.Live); !strings.Contains(string(body), next) {
		t.Error("the standing-by key is not published")
	}
	was := w.keys(gatehouse.Live, gatehouse.KeySigning)[0]
	must(t)(w.RotateKeys(ctx, operator, gatehouse.Live, ""))
	if got := w.keys(gatehouse.Live, gatehouse.KeySigning); !slices.Equal(got, []string{next}) {
		t.Errorf("%v signs, want %s", got, next)
	}
	if got := w.keys(gatehouse.Live, gatehouse.KeyRetired); !slices.Equal(got, []string{was}) {
		t.Errorf("%v is retired, want %s", got, was)
	}
	if len(w.keys(gatehouse.Live, gatehouse.KeyStandby)) != 1 {
		t.Error("no key stands by")
	}
	w.passes(t, old)
	w.passes(t, w.issue(t, p, gatehouse.Live).Access)
	w.restart(t)
	w.passes(t, old)
	_, err := w.RetireKey(ctx, operator, was, false)
	refused(t, err, gatehouse.Conflict, gatehouse.ReasonExists)

	// By schedule, thirty days on.
	w.clock.advance(30 * 24 * time.Hour)
	w.runUntil(t, func() bool { return !slices.Contains(w.keys(gatehouse.Live, gatehouse.KeySigning), next) })
	if got := w.keys(gatehouse.Live, gatehouse.KeyGone); !slices.Contains(got, was) {
		t.Errorf("%v are gone, want %s among them", got, was)
	}
	if body, _, _ := w.JWKS(gatehouse.Live); strings.Contains(string(body), was) {
		t.Error("a key that verifies nothing is published")
	}
}

func TestCompromisedKey(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	bad := w.issue(t, p, gatehouse.Live).Access
	sandbox := w.issue(t, p, gatehouse.Sandbox).Access
	w.passes(t, bad) // and is remembered
	must(t)(w.RetireKey(ctx, operator, w.keys(gatehouse.Live, gatehouse.KeySigning)[0], true))
	w.refuses(t, bad, gatehouse.InvalidToken, gatehouse.ReasonUnknownKey)
	w.passes(t, sandbox)
	w.passes(t, w.issue(t, p, gatehouse.Live).Access)
	_, err := w.RetireKey(ctx, operator, "no-such-key", false)
	refused(t, err, gatehouse.NotFound, "")
}

// Promise 19: rotations, one of them for a compromised key, refuse no token
// that another key signed.
func TestRotationIsInvisible(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	var checked atomic.Int64
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				issued, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Sandbox)})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := w.Validate(ctx, issued.Access, gatehouse.Requirement{Environment: gatehouse.Sandbox}); err != nil {
					t.Error(err)
					return
				}
				checked.Add(1)
			}
		})
	}
	for i := range 20 {
		before := checked.Load()
		if i == 10 {
			// Live's key: no sandbox token is touched by it.
			must(t)(w.RetireKey(ctx, operator, w.keys(gatehouse.Live, gatehouse.KeySigning)[0], true))
		} else {
			must(t)(w.RotateKeys(ctx, operator, gatehouse.Sandbox, gatehouse.OAuth2))
		}
		for checked.Load() < before+5 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
	}
	close(done)
	group.Wait()
	t.Logf("20 rotations under %d grants and validations, 0 refused", checked.Load())
}

func TestWrongKeyEncryptionKey(t *testing.T) {
	w := newWorld(t)
	other, err := credential.NewSealer([32]byte{9})
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.cfg
	cfg.Sealer = other
	if _, err := gatehouse.Open(ctx, cfg); err == nil || !strings.Contains(err.Error(), "key") {
		t.Errorf("started with a wrong key-encryption key: %v", err)
	}
}

func TestCursorsCannotBeForged(t *testing.T) {
	w := newWorld(t)
	c := w.Cursor("tokens", "position")
	if got, err := w.ReadCursor("tokens", c); err != nil || got != "position" {
		t.Fatal(got, err)
	}
	w.restart(t)
	if got, err := w.ReadCursor("tokens", c); err != nil || got != "position" {
		t.Error("cursors don't survive a restart", err)
	}
	if got, err := w.ReadCursor("tokens", ""); err != nil || got != "" {
		t.Error(got, err)
	}
	for _, bad := range []string{"x", c + "A", c[:len(c)-1], "AAAA" + c[4:], "%%%"} {
		_, err := w.ReadCursor("tokens", bad)
		refused(t, err, gatehouse.InvalidRequest, "")
	}
	_, err := w.ReadCursor("clients", c)
	refused(t, err, gatehouse.InvalidRequest, "")
}

// The owner's view of a token says what the caller is not told.
func TestInspect(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Refresh = true })
	issued := w.issue(t, p, gatehouse.Live)
	for tok, kind := range map[*secret.Text]gatehouse.TokenKind{&issued.Access: gatehouse.AccessToken, &issued.Refresh: gatehouse.RefreshToken} {
		i, err := w.Inspect(ctx, *tok)
		if err != nil || i.Record.Kind != kind || i.Status != gatehouse.StatusActive || i.Reason != "" || i.Client.ID != p.ID {
			t.Errorf("inspected: %+v, %v", i, err)
		}
	}
	must(t)(w.RevokeToken(ctx, operator, issued.Access))
	if i, err := w.Inspect(ctx, issued.Access); err != nil || i.Status != gatehouse.StatusRevoked || i.Reason != gatehouse.ReasonRevoked {
		t.Errorf("inspected: %+v, %v", i, err)
	}
	_, err := w.Inspect(ctx, secret.New("nonsense"))
	refused(t, err, gatehouse.NotFound, gatehouse.ReasonMalformed)
}

// Promise 21: every act leaves its event, and the chain holds.
func TestEveryActLeavesItsEvent(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, "codes")
	must(t)(w.AddSecret(ctx, operator, p.ID, gatehouse.Live, secret.Text{}, nil))
	must(t)(w.RetireSecret(ctx, operator, p.LiveSecrets(gatehouse.Live)[0].ID, true))
	l := w.link(t, p, gatehouse.Live)
	must(t)(w.Delink(ctx, operator, l.Connection.ID))
	must(t)(w.IssueFor(ctx, operator, p.ID, gatehouse.Sandbox, 0, "", nil, nil))
	must(t)(w.RotateKeys(ctx, operator, gatehouse.Live, gatehouse.OAuth2))
	name := "renamed"
	must(t)(w.UpdateClient(ctx, operator, p.ID, gatehouse.ClientUpdate{Name: &name}))
	must(t)(w.SetClientState(ctx, operator, p.ID, gatehouse.Disabled))
	must(t)(w.SetClientState(ctx, operator, p.ID, gatehouse.Enabled))
	must(t)(w.SetClientState(ctx, operator, p.ID, gatehouse.Deleted))
	events, err := w.Audit(ctx, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range slices.Backward(events) {
		got = append(got, e.Action)
		if e.By.Kind != gatehouse.ByOperator && e.Action != "key.create" {
			t.Errorf("%s was done by %+v", e.Action, e.By)
		}
	}
	want := []string{"key.create", "client.create", "secret.add", "secret.compromised", "connection.create", "connection.delink", "token.issue", "key.rotate", "client.update", "client.disable", "client.enable", "client.delete"}
	if !slices.Equal(got, want) {
		t.Errorf("events %v\nwant   %v", got, want)
	}
	report, err := w.CheckAudit(ctx)
	if err != nil || len(report.Faults) > 0 || report.Events != len(want) {
		t.Errorf("the audit chain: %+v, %v", report, err)
	}
}

// A node that starts while another one makes the keys has them when it is open.
func TestKeysOfAnotherNode(t *testing.T) {
	w := newWorld(t)
	cfg := w.cfg
	cfg.Store = lateKeys{w.store}
	second, err := gatehouse.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Keys()) != len(w.Keys()) {
		t.Errorf("%d keys, want %d", len(second.Keys()), len(w.Keys()))
	}
}

// lateKeys loads as if the first keys had been saved a moment later.
type lateKeys struct{ gatehouse.Store }

func (s lateKeys) Load(ctx context.Context, now time.Time) (*gatehouse.Snapshot, error) {
	snap, err := s.Store.Load(ctx, now)
	if err == nil {
		snap.Seq, snap.Keys = 0, nil
	}
	return snap, err
}
