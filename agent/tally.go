package agent

import (
	"sync"
	"sync/atomic"

	"github.com/gatehouse-auth/gatehouse/bearer"
)

// A tally counts for one upstream, over all the sources that it has had.
type tally struct {
	requests, reused, tokenless, unreachable, abandoned atomic.Int64

	mu     sync.Mutex
	before bearer.Counts // of retired sources
}

// retire keeps the counts of a source that leaves.
func (t *tally) retire(s *bearer.Source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before = add(t.before, s.Counts())
}

func (t *tally) counts(s *bearer.Source) bearer.Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return add(t.before, s.Counts())
}

func add(a, b bearer.Counts) bearer.Counts {
	return bearer.Counts{
		Issued: a.Issued + b.Issued, Refreshed: a.Refreshed + b.Refreshed, Shared: a.Shared + b.Shared,
		Failures: a.Failures + b.Failures, Rejected: a.Rejected + b.Rejected,
	}
}

// tallies are kept by name, so that a reload doesn't set them to zero.
type tallies struct {
	mu     sync.Mutex
	byName map[string]*tally
}

func (t *tallies) of(name string) *tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName == nil {
		t.byName = map[string]*tally{}
	}
	if t.byName[name] == nil {
		t.byName[name] = &tally{}
	}
	return t.byName[name]
}
