package gatehouse

import (
	"context"
	"crypto/sha256"
	"hash/maphash"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// An arrival is a token that another system made and that stands here: one
// that was imported by its digest, or a JWT of an old issuer.
type arrival struct {
	row    *TokenRecord
	until  time.Time // taken no more from here on, whatever it says; zero is as long as it says
	issuer string    // of an old issuer's JWT; it is on the ledger only once it was revoked
	seen   *sightings
}

// nobodys reports whether err says that a token is none of ours, so that it may
// be another system's. One that is ours and fails is not looked for elsewhere.
// A signature that fails counts: another system may name its keys as we do.
func nobodys(err error) bool {
	e := AsError(err)
	if e.Code != InvalidToken {
		return false
	}
	switch e.Reason {
	case ReasonMalformed, ReasonUnknownToken, ReasonUnknownKey, ReasonBadSignature, ReasonWrongType:
		return true
	}
	return false
}

// examineArrival is examine for a token that is none of ours, for the reason
// ours.
func (v *Verifier) examineArrival(ctx context.Context, tok string, ours error) (*Claims, error) {
	a, err := v.elsewhere(ctx, tok, ours)
	if err != nil {
		return nil, err
	}
	client, err := v.client(ctx, a.row.Client)
	if err != nil {
		return nil, err
	}
	c := v.claims(client, a.row)
	if a.issuer != "" {
		c.Issuer = a.issuer
	}
	if !a.until.IsZero() {
		c.until = a.until.UnixNano()
	}
	c.seen = a.seen
	if !a.row.RevokedAt.IsZero() {
		return nil, v.refuse(c, ReasonRevoked)
	}
	return c, nil
}

// maxArrivals bounds the look-ups of unknown tokens that are under way at once:
// made-up ones can't take all of the store.
const maxArrivals = 8

// A turnstile keeps made-up tokens from costing much: few are looked up at
// once, and one that was not found isn't looked up again for a while.
type turnstile struct {
	slots  chan struct{}
	misses missCache
}

func newTurnstile() *turnstile {
	return &turnstile{slots: make(chan struct{}, maxArrivals), misses: missCache{seed: maphash.MakeSeed()}}
}

// pass calls find for a token that hasn't been missed lately. What find returns
// as nobody's is remembered as a miss.
func (t *turnstile) pass(ctx context.Context, tok string, now time.Time, ours error, find func() (*arrival, error)) (*arrival, error) {
	sum := sha256.Sum256([]byte(tok))
	if t.misses.has(sum, now) {
		return nil, ours
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	default:
		wait := time.NewTimer(time.Second)
		defer wait.Stop()
		select {
		case t.slots <- struct{}{}:
			defer func() { <-t.slots }()
		case <-wait.C:
			return nil, &Error{Code: Unavailable, Reason: ReasonBusy, Message: "too many unknown tokens at once; try again", RetryAfter: time.Second}
		case <-ctx.Done():
			return nil, unavailable(ctx.Err())
		}
	}
	a, err := find()
	if err != nil && nobodys(err) {
		t.misses.add(sum, now)
	}
	return a, err
}

const (
	missSlots = 1 << 12
	// missKept is how long a token that was refused just before its import goes
	// on being refused elsewhere than on the node that imported it.
	missKept = 5 * time.Second
)

// A missCache remembers tokens that were not found, by their SHA-256. It never
// grows: a new one takes the place of whatever is in its slot.
type missCache struct {
	seed  maphash.Seed
	slots [missSlots]atomic.Pointer[miss]
}

type miss struct {
	sum   [32]byte
	until int64
}

func (c *missCache) slot(sum [32]byte) *atomic.Pointer[miss] {
	return &c.slots[maphash.Bytes(c.seed, sum[:])%missSlots]
}

func (c *missCache) has(sum [32]byte, now time.Time) bool {
	m := c.slot(sum).Load()
	return m != nil && m.sum == sum && now.UnixNano() < m.until
}

func (c *missCache) add(sum [32]byte, now time.Time) {
	c.slot(sum).Store(&miss{sum, now.Add(missKept).UnixNano()})
}

func (c *missCache) clear() {
	for i := range c.slots {
		c.slots[i].Store(nil)
	}
}

// elsewhereOf is how a Remote finds what another system made: by asking, where
// there is anything of the kind.
func (r *Remote) elsewhereOf(ctx context.Context, tok string, ours error) (*arrival, error) {
	if _, _, err := token.ParseOpaque(tok); err == nil {
		return nil, ours // it was asked for already
	}
	now := r.clock.now()
	if !r.state.importsAt(now) && !(r.oldIssuers.Load() && strings.Contains(tok, ".")) {
		return nil, ours
	}
	return r.turnstile.pass(ctx, tok, now, ours, func() (*arrival, error) {
		row, err := r.lookup(ctx, secret.New(tok))
		if err != nil {
			return nil, err
		}
		return &arrival{row: row}, nil
	})
}
