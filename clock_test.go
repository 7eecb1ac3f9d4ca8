package gatehouse_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// A token that was called expired stays so over a start with the clock set
// back, though nothing was written meanwhile by which the ledger knows the time.
func TestTimeIsNoted(t *testing.T) {
	for how, note := range map[string]func(*world){
		"each minute": func(w *world) {
			if err := w.Upkeep(ctx); err != nil {
				t.Fatal(err)
			}
		},
		"at the end": func(w *world) {
			ended, end := context.WithCancel(ctx)
			end()
			if err := w.Run(ended); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			old := w.issue(t, w.partner(t, gatehouse.OAuth2), gatehouse.Live)
			w.clock.advance(2 * time.Hour)
			_, err := w.Validate(ctx, old.Access, gatehouse.Requirement{})
			if codeOf(err) != gatehouse.ExpiredToken {
				t.Errorf("an expired token: %v", err)
			}
			note(w)
			w.clock.advance(-2 * time.Hour)
			w.restart(t)
			_, err = w.Validate(ctx, old.Access, gatehouse.Requirement{})
			if codeOf(err) != gatehouse.ExpiredToken {
				t.Errorf("an expired token: %v", err)
			}
		})
	}
}

// Another node, whose clock is ahead, rotates: this one signs by the key that
// the other has chosen, and publishes it.
func TestKeysOfANodeAhead(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	before := w.issue(t, p, gatehouse.Live)
	ahead := &testClock{t: w.clock.now().Add(10 * time.Minute)}
	cfg := w.cfg
	cfg.Now = ahead.now
	other, err := gatehouse.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one lets a key sign that was made ahead, too
		if _, err := other.RotateKeys(ctx, operator, gatehouse.Live, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Upkeep(ctx); err != nil { // reads the journal
		t.Fatal(err)
	}
	after := w.issue(t, p, gatehouse.Live)
	for _, issued := range []*gatehouse.Issued{before, after} {
		if _, err := w.Validate(ctx, issued.Access, gatehouse.Requirement{}); err != nil {
			t.Error(err)
		}
	}
	set, _, err := w.JWKS(gatehouse.Live)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range w.Keys() {
		if k.Realm.Format == gatehouse.OAuth2 && k.Realm.Environment == "live" && k.State == gatehouse.KeySigning && !strings.Contains(string(set), `"`+k.ID+`"`) {
			t.Errorf("the signing key %s is not in the key set %s", k.ID, set)
		}
	}
}

// A client that has had all that its limit allows gets more a minute later,
// though the clock was set back by a day in between.
func TestLimitsGoOnWhenTheClockIsSetBack(t *testing.T) {
	w := newWorld(t, func(c *gatehouse.Config) { c.Limits = true })
	p := w.partner(t, "domain") // three a minute
	ask := func() error {
		_, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: p.proof(gatehouse.Live)})
		return err
	}
	for range 3 {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.advance(-24 * time.Hour)
	if err := ask(); codeOf(err) != gatehouse.RateLimited {
		t.Errorf("one more than the limit: %v", err)
	}
	w.clock.advance(time.Minute)
	if err := ask(); err != nil {
		t.Error(err)
	}
}

// A node whose clock is ahead has issued a token. This one doesn't let it pass
// yet, and revokes it all the same.
func TestRevokedBeforeItIsValid(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	w.clock.advance(10 * time.Minute)
	early := w.issue(t, p, gatehouse.Live)
	cfg := w.cfg
	cfg.Now = func() time.Time { return w.clock.now().Add(-10 * time.Minute) }
	cfg.Store = hidingTime{w.store}
	behind, err := gatehouse.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = behind.Validate(ctx, early.Access, gatehouse.Requirement{})
	if gatehouse.AsError(err).Reason != gatehouse.ReasonNotYetValid {
		t.Fatal(err)
	}
	who := &gatehouse.Principal{Client: p.Client, Environment: gatehouse.Live}
	if err := behind.RevokeByClient(ctx, caller, who, early.Access); err != nil {
		t.Fatal(err)
	}
	if err := w.Upkeep(ctx); err != nil { // reads the journal
		t.Fatal(err)
	}
	if _, err := w.Validate(ctx, early.Access, gatehouse.Requirement{}); codeOf(err) != gatehouse.InvalidToken {
		t.Errorf("a token that was revoked: %v", err)
	}
}

// hidingTime is a ledger on which nobody has been ahead yet.
type hidingTime struct{ gatehouse.Store }

func (s hidingTime) Load(ctx context.Context, now time.Time) (*gatehouse.Snapshot, error) {
	snap, err := s.Store.Load(ctx, now)
	if err == nil {
		snap.Newest = now
	}
	return snap, err
}

// A node whose clock is days ahead of the store's drops nothing that lives by
// the store's.
func TestNodeAheadDropsNothing(t *testing.T) {
	w := newWorld(t)
	issued := w.issue(t, w.partner(t, gatehouse.OAuth2), gatehouse.Live)
	shared := w.clock.now()
	cfg := w.cfg
	cfg.Store = sharedStore{w.store, &shared}
	ahead, err := gatehouse.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.advance(72 * time.Hour)
	for _, there := range []error{nil, gatehouse.ErrNotFound} {
		if err := ahead.Upkeep(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Token(ctx, issued.Record.ID); !errors.Is(err, there) {
			t.Errorf("at %v of the store's clock: %v, want %v", shared, err, there)
		}
		shared = w.clock.now()
	}
}

// sharedStore has a clock of its own.
type sharedStore struct {
	gatehouse.Store
	now *time.Time
}

func (s sharedStore) Time(context.Context) (time.Time, error) { return *s.now, nil }
