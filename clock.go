package gatehouse

import (
	"sync/atomic"
	"time"
)

// A clock never goes back: it reads the wall clock or the newest time that it
// has shown or been told of, whichever is later. So setting the machine's
// clock back revives no expired token.
type clock struct {
	wall   func() time.Time
	newest atomic.Int64 // Unix nanoseconds
}

func newClock(wall func() time.Time) *clock {
	if wall == nil {
		wall = time.Now
	}
	return &clock{wall: wall}
}

// now returns the time in UTC.
func (c *clock) now() time.Time { return time.Unix(0, c.nanos(c.wall())).UTC() }

// nanos is the Unix nanoseconds that the clock shows when the wall clock shows t.
func (c *clock) nanos(t time.Time) int64 {
	wall := t.UnixNano()
	newest := c.newest.Load()
	if wall < newest {
		return newest
	}
	// A resolution of a millisecond keeps readers on many cores from writing
	// one word at each reading.
	if wall-newest > int64(time.Millisecond) {
		c.newest.CompareAndSwap(newest, wall)
	}
	return wall
}

// atLeast tells the clock of a time that has passed.
func (c *clock) atLeast(t time.Time) {
	for {
		n := c.newest.Load()
		if t.UnixNano() <= n || c.newest.CompareAndSwap(n, t.UnixNano()) {
			return
		}
	}
}

// behind is how far the wall clock is behind what this clock shows.
func (c *clock) behind() time.Duration {
	return time.Duration(c.newest.Load() - c.wall().UnixNano())
}
