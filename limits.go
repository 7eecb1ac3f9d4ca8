package gatehouse

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// LimitState is what a client is told of its issuance limit: the RateLimit
// header fields (draft-ietf-httpapi-ratelimit-headers).
type LimitState struct {
	Limit     int
	Window    time.Duration
	Remaining int
	Reset     time.Duration // until the whole limit is there again
}

// issuanceLimits keep a token bucket for each client that has a limit.
type issuanceLimits struct {
	enforced bool
	buckets  sync.Map // bucketKey → *bucket
}

type bucketKey struct {
	client ClientID
	env    Environment
	verb   Verb
}

type bucket struct {
	rate    Rate
	limiter *rate.Limiter
}

func newIssuanceLimits(enforced bool) *issuanceLimits { return &issuanceLimits{enforced: enforced} }

// take counts one token for a client, or refuses it.
func (l *issuanceLimits) take(c *Client, env Environment, verb Verb, policy *Policy, now time.Time) (*LimitState, error) {
	allowed := c.Limit
	if allowed.IsZero() {
		allowed = policy.Limits[verb]
	}
	if !l.enforced || allowed.IsZero() {
		return nil, nil
	}
	b := l.bucket(bucketKey{c.ID, env, verb}, allowed)
	r := b.limiter.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	left := b.limiter.TokensAt(now)
	each := allowed.Per / time.Duration(allowed.Count)
	state := &LimitState{
		Limit: allowed.Count, Window: allowed.Per, Remaining: max(0, int(left)),
		Reset: time.Duration((float64(allowed.Count) - left) * float64(each)),
	}
	if wait > 0 {
		return state, &Error{
			Code: RateLimited, Reason: ReasonRate, Client: c.ID, RetryAfter: wait, Limit: state,
			Message: "too many tokens were asked for: keep the token and use it until shortly before it expires",
		}
	}
	return state, nil
}

func (l *issuanceLimits) bucket(key bucketKey, allowed Rate) *bucket {
	if b, ok := l.buckets.Load(key); ok && b.(*bucket).rate == allowed {
		return b.(*bucket)
	}
	every := rate.Every(allowed.Per / time.Duration(allowed.Count))
	b := &bucket{rate: allowed, limiter: rate.NewLimiter(every, allowed.Count)}
	l.buckets.Store(key, b)
	return b
}

// wrongSecrets slows down who repeats wrong secrets, for each pair of client
// and address: nobody can lock a client out from elsewhere.
type wrongSecrets struct {
	clock    *clock
	enforced bool
	seed     maphash.Seed
	pairs    *otter.Cache[pair, tries]
}

type addr = netip.Addr

// A pair holds a hash of the client id: ids of clients that don't exist are
// the caller's to choose, and would fill memory.
type pair struct {
	client uint64
	from   netip.Prefix
}

type tries struct {
	wrong int
	until time.Time // no try before then
}

const (
	freeTries  = 5
	longestTry = time.Minute // the longest wait between two tries
	triesKept  = 15 * time.Minute
	oneSecond  = time.Second
)

func newWrongSecrets(c *clock, enforced bool) *wrongSecrets {
	return &wrongSecrets{clock: c, enforced: enforced, seed: maphash.MakeSeed(), pairs: otter.Must(&otter.Options[pair, tries]{
		MaximumSize:      100_000,
		ExpiryCalculator: otter.ExpiryWriting[pair, tries](triesKept),
	})}
}

// pairOf counts an IPv6 network of one subscriber as one address.
func (w *wrongSecrets) pairOf(client ClientID, from addr) pair {
	from = from.Unmap()
	bits := 64
	if from.Is4() {
		bits = 32
	}
	prefix, _ := from.Prefix(bits)
	return pair{maphash.String(w.seed, string(client)), prefix}
}

// wait refuses a try that comes too soon.
func (w *wrongSecrets) wait(client ClientID, from addr) error {
	if !w.enforced {
		return nil
	}
	t, _ := w.pairs.GetIfPresent(w.pairOf(client, from))
	if left := t.until.Sub(w.clock.now()); left > 0 {
		return tooSoon(client, left)
	}
	return nil
}

// wrong counts a wrong secret and returns the refusal that it deserves; why is
// for the owner.
func (w *wrongSecrets) wrong(client ClientID, from addr, why Reason) error {
	refusal := &Error{Code: InvalidClient, Reason: why, Client: client}
	if !w.enforced {
		return refusal
	}
	now := w.clock.now()
	var left time.Duration
	w.pairs.Compute(w.pairOf(client, from), func(t tries, _ bool) (tries, otter.ComputeOp) {
		if left = t.until.Sub(now); left > 0 {
			return t, otter.CancelOp
		}
		if t.wrong++; t.wrong >= freeTries {
			t.until = now.Add(min(longestTry, time.Second<<min(t.wrong-freeTries, 10)))
		}
		return t, otter.WriteOp
	})
	if left > 0 {
		return tooSoon(client, left)
	}
	return refusal
}

// right forgets the wrong tries of a pair that has shown the right secret.
func (w *wrongSecrets) right(client ClientID, from addr) {
	if w.enforced {
		w.pairs.Invalidate(w.pairOf(client, from))
	}
}

func tooSoon(client ClientID, left time.Duration) error {
	return &Error{
		Code: RateLimited, Reason: ReasonWrongSecrets, Client: client, RetryAfter: left,
		Message: "too many wrong credentials from this address; wait before the next try",
	}
}
