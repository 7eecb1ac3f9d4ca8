package bearer

import (
	"sync/atomic"
	"time"
)

type counts struct {
	issued, refreshed, shared, failures, rejected atomic.Int64
}

// Counts are what a [Source] has done since it was made.
type Counts struct {
	Issued    int64 `json:"issued"`    // tokens obtained by the client's credentials
	Refreshed int64 `json:"refreshed"` // … by a refresh token
	Shared    int64 `json:"shared"`    // … out of the cache, where another process had put them
	Failures  int64 `json:"failures"`  // visits to the token endpoint that gave none
	Rejected  int64 `json:"rejected"`  // tokens that the API answered with a 401
}

// Counts returns what the Source has done.
func (s *Source) Counts() Counts {
	c := &s.counts
	return Counts{c.issued.Load(), c.refreshed.Load(), c.shared.Load(), c.failures.Load(), c.rejected.Load()}
}

// State returns the token at hand and why the last visit to the token endpoint
// failed. Either is nil where there is none. It asks for nothing.
func (s *Source) State() (*Token, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.Load(), s.failed
}

// Ready reports whether a token is at hand, so that Token doesn't wait.
func (s *Source) Ready() bool {
	t := s.current.Load()
	return t != nil && t.live(time.Now())
}
