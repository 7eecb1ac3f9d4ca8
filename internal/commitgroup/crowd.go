package commitgroup

import (
	"math"
	"time"
)

const (
	// crowdPatience bounds how long a group waits for callers that are likely to
	// come.
	crowdPatience = 1500 * time.Microsecond
	// crowdLasts is the pause after which nobody is expected any more.
	crowdLasts = 5 * time.Millisecond
)

// A crowd is about how many callers come back again and again.
type crowd struct {
	size int
	last int // members of the last group
}

// next takes those that wait while the last group was answered into account. A
// crowd that has left is forgotten little by little.
func (c *crowd) next(waiting int) { c.size = max(c.size-c.size/8-1, c.last+waiting) }

// TakeCrowd is Take, and waits for a part of a crowd, from 0 to 1. Callers that
// were answered together come back together: taking whoever is there would split
// them into many small groups, each with a commit of its own. Those who are not
// waited for are on their way while the group is committed, so that the cores
// have something to do. Whoever is alone waits for nobody.
func (q *Queue[T]) TakeCrowd(part float64) []*Member[T] {
	q.crowd.next(q.await(0, nil))
	idle := time.Now()
	there := q.await(1, nil)
	if time.Since(idle) > crowdLasts {
		q.crowd.size = 0
	}
	if enough := int(math.Ceil(part * float64(q.crowd.size))); there < enough {
		timer := time.NewTimer(crowdPatience)
		q.await(enough, timer.C)
		timer.Stop()
	}
	group := q.Take()
	q.crowd.last = len(group)
	return group
}
