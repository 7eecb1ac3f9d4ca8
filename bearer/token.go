package bearer

import (
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A Token is one access token and what came with it. It is immutable and safe
// for concurrent use.
type Token struct {
	AccessToken secret.Text
	// ExpiresAt is when the token ends by this machine's clock, whatever the
	// server's says; zero is never.
	ExpiresAt  time.Time
	ObtainedAt time.Time // when it was asked for
	// Scopes are those that the answer named.
	Scopes []string
	// Extra holds the answer's {extra.NAME}, by NAME.
	Extra map[string]string

	refresh    secret.Text
	refreshEnd time.Time // zero: unknown
	renewAt    time.Time // zero: never
	last       time.Time // when it may last be handed out; zero: whenever
	// Wall-clock copies of renewAt and last: a machine that slept has a
	// monotonic clock that lags, one whose clock was set has a wrong wall.
	renewWall, endWall int64
	use                *dialect.Request // what a call carries, filled once
	used               atomic.Bool
}

// longestTravel is how long before its end a token stops being handed out, so
// that it is still good when it arrives; of short lives it is a twelfth.
const longestTravel = 2 * time.Second

// never is later than any clock.
const never = 1<<63 - 1

// fresh reports whether the token can be used without a thought of renewal.
// Both clocks must agree.
func (t *Token) fresh(now time.Time) bool {
	return now.UnixNano() < t.renewWall && (t.renewAt.IsZero() || now.Before(t.renewAt))
}

// live reports whether the token won't have ended when it arrives.
func (t *Token) live(now time.Time) bool {
	return now.UnixNano() < t.endWall && (t.last.IsZero() || now.Before(t.last))
}

// touch notes that the token is in use. It writes once, so that many
// goroutines don't fight for the cache line.
func (t *Token) touch() {
	if !t.used.Load() {
		t.used.Store(true)
	}
}

// lasts sets the token's end, life after from, and that it is renewed margin
// before. No life is for ever.
func (t *Token) lasts(from time.Time, life, margin time.Duration) {
	if life == 0 {
		t.endWall, t.renewWall = never, never
		return
	}
	t.ExpiresAt = from.Add(life)
	t.renewAt = t.ExpiresAt.Add(-margin)
	t.last = t.ExpiresAt.Add(-min(life/12, longestTravel))
	t.renewWall, t.endWall = t.renewAt.UnixNano(), t.last.UnixNano()
}

func (t *Token) refreshable() bool {
	return !t.refresh.IsZero() && (t.refreshEnd.IsZero() || time.Now().Before(t.refreshEnd))
}
