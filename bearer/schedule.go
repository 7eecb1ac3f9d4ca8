package bearer

import (
	"math/rand/v2"
	"time"
)

// margin is how long before its end a token of this life is renewed: a
// sixteenth of it, so that two hours give 7½ minutes; of short lives more, up
// to a sixth, because a visit to the token endpoint takes its time whatever the
// life. A quarter more or less keeps many clients from coming at once.
func margin(life time.Duration) time.Duration {
	m := max(life/16, min(life/6, 30*time.Second))
	return jitter(m)
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.75 + rand.Float64()/2))
}

// How failures are spaced. The first tries come soon, since many faults are
// over in a moment.
const (
	firstDelay   = 250 * time.Millisecond
	longestDelay = 30 * time.Second
	// patience is how long a caller waits for the next try, rather than being
	// told of the last one's failure.
	patience = 800 * time.Millisecond
	// refusedFor is how long refused credentials are remembered.
	refusedFor = 30 * time.Second
	// longestAsked bounds what a Retry-After is heeded for.
	longestAsked = time.Hour
)

// backoff is the delay after a number of failures in a row, the last included.
func backoff(failures int) time.Duration {
	if failures > 8 {
		return jitter(longestDelay)
	}
	return jitter(min(firstDelay<<(failures-1), longestDelay))
}

// A rejectionLimit bounds how often 401s may cause renewals: an API that
// answers 401 for reasons of its own must not make a token endpoint pay.
type rejectionLimit struct{ recent [5]time.Time }

const rejectionPeriod = time.Minute

// allow reports whether one more renewal is within the limit, and counts it.
func (l *rejectionLimit) allow(now time.Time) bool {
	oldest := 0
	for i, t := range l.recent {
		if t.Before(l.recent[oldest]) {
			oldest = i
		}
	}
	if !l.recent[oldest].IsZero() && now.Sub(l.recent[oldest]) < rejectionPeriod {
		return false
	}
	l.recent[oldest] = now
	return true
}
