package gatehouse

import (
	"context"
	"encoding/base64"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// LimitState is what a client is told of its issuance limit: the RateLimit
// header fields (draft-ietf-httpapi-ratelimit-headers).
type LimitState struct {
	Limit     int
	Window    time.Duration
	Remaining int
	Reset     time.Duration // until the whole limit is there again
}

// SharedLimits counts for all nodes together. Its methods answer soon or fail,
// and after a failure a node counts for itself. Keys are digests: they tell
// nothing of clients and addresses. It is safe for concurrent use.
type SharedLimits interface {
	// Take counts one event, or says how long to wait for it.
	Take(ctx context.Context, key string, allowed Rate) (Taken, error)
	// Tries returns the wrong tries that stand against key.
	Tries(ctx context.Context, key string, b Backoff) (Tries, error)
	// Wrong counts a wrong try, and returns what stood before it: where that
	// has a wait, the try came too soon, and was not counted.
	Wrong(ctx context.Context, key string, b Backoff) (before, after Tries, err error)
	// Forgive forgets the wrong tries of key.
	Forgive(ctx context.Context, key string) error
}

// Taken is the answer to SharedLimits.Take.
type Taken struct {
	Wait      time.Duration // until the event would be allowed; 0: it was counted
	Remaining int           // events that are allowed now
	Reset     time.Duration // until nothing of the limit is used
}

// Tries are the wrong tries that stand against somebody.
type Tries struct {
	Wrong int
	Wait  time.Duration // before the next one
}

// A Backoff says how wrong tries are slowed down: from the Free-th on there is
// a wait of First, which doubles up to Longest. Kept after the last one they
// are forgotten.
type Backoff struct {
	Free                 int
	First, Longest, Kept time.Duration
}

// Wait is how long to wait after so many wrong tries.
func (b Backoff) Wait(wrong int) time.Duration {
	if wrong < b.Free {
		return 0
	}
	return min(b.Longest, b.First<<min(wrong-b.Free, 10))
}

// counting is what both kinds of limit count by.
type counting struct {
	enforced bool
	shared   SharedLimits // nil: each node for itself
	nodes    func() int   // how many nodes share what can't be counted together; at least 1
	digester *credential.Digester
}

// key names something that is counted on all nodes.
func (c *counting) key(purpose, what string) string {
	d := c.digester.Digest(purpose, secret.New(what))
	return base64.RawURLEncoding.EncodeToString(d[:18])
}

// issuanceLimits keep a token bucket for each client that has a limit. Where
// all nodes count together, the bucket follows what this one has given, so that
// it knows its share when the others can't be asked any more.
type issuanceLimits struct {
	counting
	buckets sync.Map // bucketKey → *bucket
}

type bucketKey struct {
	client ClientID
	env    Environment
	verb   Verb
}

type bucket struct {
	rate    Rate
	nodes   atomic.Int64 // that the limiter was set for
	limiter *rate.Limiter
}

func newIssuanceLimits(c counting) *issuanceLimits { return &issuanceLimits{counting: c} }

// take counts one token for a client, or refuses it.
func (l *issuanceLimits) take(ctx context.Context, c *Client, env Environment, verb Verb, policy *Policy, now time.Time) (*LimitState, error) {
	allowed := c.Limit
	if allowed.IsZero() {
		allowed = policy.Limits[verb]
	}
	if !l.enforced || allowed.IsZero() {
		return nil, nil
	}
	key := bucketKey{c.ID, env, verb}
	taken := l.count(ctx, key, allowed, now)
	state := &LimitState{Limit: allowed.Count, Window: allowed.Per, Remaining: taken.Remaining, Reset: taken.Reset}
	if taken.Wait > 0 {
		return state, &Error{
			Code: RateLimited, Reason: ReasonRate, Client: c.ID, RetryAfter: taken.Wait, Limit: state,
			Message: "too many tokens were asked for: keep the token and use it until shortly before it expires",
		}
	}
	return state, nil
}

func (l *issuanceLimits) count(ctx context.Context, key bucketKey, allowed Rate, now time.Time) Taken {
	b := l.bucket(key, allowed, now)
	if l.shared != nil {
		name := l.key("issuance limit", string(key.client)+" "+string(key.env)+" "+string(key.verb))
		if taken, err := l.shared.Take(ctx, name, allowed); err == nil {
			if taken.Wait == 0 {
				b.limiter.AllowN(now, 1)
			}
			return taken
		}
	}
	return b.take(now)
}

// bucket returns this node's bucket, set for its share of the limit.
func (l *issuanceLimits) bucket(key bucketKey, allowed Rate, now time.Time) *bucket {
	nodes := int64(l.nodes())
	if found, ok := l.buckets.Load(key); ok {
		if b := found.(*bucket); b.rate == allowed {
			b.share(nodes, now)
			return b
		}
	}
	b := &bucket{rate: allowed, limiter: rate.NewLimiter(perNode(allowed, nodes))}
	b.nodes.Store(nodes)
	l.buckets.Store(key, b)
	return b
}

// perNode is the share of a node. It holds one event at least, so that a client
// is served whichever node it comes to.
func perNode(allowed Rate, nodes int64) (rate.Limit, int) {
	each := allowed.Per / time.Duration(allowed.Count)
	return rate.Every(each * time.Duration(nodes)), max(1, allowed.Count/int(nodes))
}

func (b *bucket) share(nodes int64, now time.Time) {
	if b.nodes.Swap(nodes) == nodes {
		return
	}
	limit, burst := perNode(b.rate, nodes)
	b.limiter.SetLimitAt(now, limit)
	b.limiter.SetBurstAt(now, burst)
}

func (b *bucket) take(now time.Time) Taken {
	r := b.limiter.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	left := b.limiter.TokensAt(now)
	used := float64(b.limiter.Burst()) - left
	return Taken{Wait: wait, Remaining: max(0, int(left)), Reset: time.Duration(used / float64(b.limiter.Limit()) * float64(time.Second))}
}
