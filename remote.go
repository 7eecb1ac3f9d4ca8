package gatehouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// RemoteConfig is what a Remote is made of. Lookup and Client are required.
type RemoteConfig struct {
	// Policies are those of the dialects whose tokens it shall know; the
	// standard one is there by itself.
	Policies []Policy
	// Lookup finds the row of an opaque token. Its errors are refusals.
	Lookup func(ctx context.Context, tok secret.Text) (*TokenRecord, error)
	// Client finds a client that the journal hasn't told of yet, or ErrNotFound.
	Client func(ctx context.Context, id ClientID) (*Client, error)
	// Prove asks the authority what Engine.ProveCall tells. Its errors are
	// refusals. Nil: ProveCall can't know.
	Prove     func(ctx context.Context, p CallProof) error
	MaxLag    time.Duration // how stale the journal may be; 0 is 30 seconds
	OnLagOpen bool          // go on validating beyond MaxLag
	Now       func() time.Time
}

// A Remote is a Verifier away from the store. Whoever follows the journal
// tells it what it reads: Reset first, then Apply and Heard. Until the first
// Reset it refuses everything with Unavailable. It is safe for concurrent use;
// calls of Reset and Apply follow one another.
type Remote struct {
	Verifier
	following sync.Mutex
	issuers   atomic.Pointer[map[Environment]string]
	synced    atomic.Bool
	lookup    func(context.Context, secret.Text) (*TokenRecord, error)
	turnstile *turnstile
	// oldIssuers says that the authority takes JWTs of others, too.
	oldIssuers atomic.Bool
	prove      func(context.Context, CallProof) error
	proofs     *proofCache
}

// NewRemote makes a Remote that knows nothing yet.
func NewRemote(cfg RemoteConfig) (*Remote, error) {
	r := &Remote{lookup: cfg.Lookup, turnstile: newTurnstile(), prove: cfg.Prove, proofs: newProofCache()}
	r.clock = newClock(cfg.Now)
	r.state = newState()
	r.cache = newVerdictCache()
	r.maxLag, r.lagOpen = cfg.MaxLag, cfg.OnLagOpen
	if r.maxLag == 0 {
		r.maxLag = 30 * time.Second
	}
	r.issuer = func(env Environment) string { return (*r.issuers.Load())[env] }
	r.find = func(ctx context.Context, tok string) (*TokenRecord, error) {
		if _, _, err := token.ParseOpaque(tok); err != nil {
			return nil, &Error{Code: InvalidToken, Reason: ReasonMalformed, Err: err}
		}
		return cfg.Lookup(ctx, secret.New(tok))
	}
	r.elsewhere = r.elsewhereOf
	r.unknown = cfg.Client
	set := map[string]*Policy{OAuth2: standardPolicy()}
	for i := range cfg.Policies {
		p := &cfg.Policies[i]
		if set[p.Dialect] != nil {
			return nil, fmt.Errorf("two dialects are called %s: rename one", p.Dialect)
		}
		set[p.Dialect] = p
	}
	r.policies.Store(&set)
	never := time.Time{}
	r.state.heard.Store(&never)
	return r, nil
}

// Validate is Verifier.Validate; before the first Reset it can't know anything.
func (r *Remote) Validate(ctx context.Context, tok secret.Text, want Requirement) (*Claims, error) {
	if !r.synced.Load() {
		return nil, &Error{Code: Unavailable, Reason: ReasonStale, Message: "the journal has not been read yet; try again", RetryAfter: time.Second}
	}
	return r.Verifier.Validate(ctx, tok, want)
}

// Reset replaces all that r knows, as of snap.Seq. Keys and clients become r's
// own. What had been remembered of tokens is forgotten.
func (r *Remote) Reset(issuers map[Environment]string, snap *Snapshot, keys []*token.Key) error {
	ring, err := token.NewRing(keys)
	if err != nil {
		return err
	}
	issuers = maps.Clone(issuers)
	r.following.Lock()
	defer r.following.Unlock()
	r.issuers.Store(&issuers)
	r.ring.Store(ring)
	r.state.replace(snap)
	r.cache.clear()
	r.proofs.clear()
	r.synced.Store(true)
	return nil
}

// Apply takes changes that follow Seq, in order.
func (r *Remote) Apply(changes []Change) error {
	r.following.Lock()
	defer r.following.Unlock()
	entries := make([]Entry, len(changes))
	changed := map[ClientID]*Client{}
	at := r.Seq()
	for i, c := range changes {
		if entries[i] = c.Entry; c.Seq < at {
			return fmt.Errorf("the journal went back from %d to %d: begin anew", at, c.Seq)
		}
		at = c.Seq
		switch c.Kind {
		case EntryClientChanged:
			if changed[c.Client] = c.Changed; c.Changed == nil {
				entries[i].Kind = "" // none of ours: only the position counts
			}
		case EntryKeysChanged:
			ring, err := token.NewRing(slices.Clone(c.Keys))
			if err != nil {
				return err
			}
			r.ring.Store(ring)
		}
	}
	r.state.apply(entries, changed)
	return nil
}

// Heard says that r knows all that the journal held at t, a time of this
// machine's clocks.
func (r *Remote) Heard(t time.Time) { r.state.heard.Store(&t) }

// OldIssuers tells r whether the authority takes JWTs of an issuer that is being
// replaced: those are then looked up there, like opaque tokens.
func (r *Remote) OldIssuers(there bool) { r.oldIssuers.Store(there) }

// Seq is the position in the journal up to which r knows it.
func (r *Remote) Seq() int64 { return r.state.seq.Load() }

// Synced reports whether there was a Reset.
func (r *Remote) Synced() bool { return r.synced.Load() }

// Lag is how long ago the journal held no more than r knows.
func (r *Remote) Lag() time.Duration { return r.state.lag(r.clock.wall()) }

// Stale reports whether the lag is beyond its bound.
func (r *Remote) Stale() bool { return !r.synced.Load() || r.Lag() > r.maxLag }

// Revocations is how many revoked tokens r remembers.
func (r *Remote) Revocations() int {
	r.state.mu.RLock()
	defer r.state.mu.RUnlock()
	return len(r.state.revoked)
}

// Forget drops what needs no remembering any more: revocations of tokens that
// have expired. Call it each minute or so.
func (r *Remote) Forget() { r.state.forget(r.clock.now()) }

// Now is the time by which tokens are judged.
func (r *Remote) Now() time.Time { return r.clock.now() }
