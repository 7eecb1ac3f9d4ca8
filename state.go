package gatehouse

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A state is what the journal has taught this process: the clients, and what
// is revoked. Verdicts about tokens hold as of a position in the journal; one
// reached at the newest position needs no second look.
type state struct {
	seq   atomic.Int64              // written with mu held for writing
	heard atomic.Pointer[time.Time] // when the last successful read of the journal began, by both clocks
	// imports is the Unix second at which the last imported token expires.
	imports atomic.Int64

	mu      sync.RWMutex
	clients map[ClientID]*Client // by whole id and by each wire id
	revoked map[TokenID]int64    // until this Unix second; 0 is for ever
	epoch   time.Time
}

func newState() *state {
	return &state{clients: map[ClientID]*Client{}, revoked: map[TokenID]int64{}}
}

// replace starts anew from a snapshot.
func (s *state) replace(snap *Snapshot) {
	clients := make(map[ClientID]*Client, 2*len(snap.Clients))
	for i := range snap.Clients {
		index(clients, &snap.Clients[i])
	}
	revoked := make(map[TokenID]int64, len(snap.Revoked))
	for _, r := range snap.Revoked {
		revoked[r.ID] = unixOrZero(r.Until)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients, s.revoked, s.epoch = clients, revoked, snap.Epoch
	for i := range snap.Clients {
		s.expect(&snap.Clients[i])
	}
	s.seq.Store(snap.Seq)
}

// expect takes note of imported tokens of c. It is called with mu held.
func (s *state) expect(c *Client) {
	for _, until := range c.Imports {
		s.imports.Store(max(s.imports.Load(), until.Unix()))
	}
}

// importsAt reports whether an imported token may live at now: else none is
// looked for.
func (s *state) importsAt(now time.Time) bool {
	return now.Add(-expiredKept).Unix() < s.imports.Load()
}

func index(clients map[ClientID]*Client, c *Client) {
	clients[c.ID] = c
	for _, id := range c.IDs {
		clients[id] = c
	}
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// apply takes entries in order; changed holds the clients that they name.
func (s *state) apply(entries []Entry, changed map[ClientID]*Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		switch e.Kind {
		case EntryTokenRevoked:
			s.revoked[e.Token] = unixOrZero(e.Until)
		case EntryClientChanged:
			s.put(changed[e.Client])
		case EntryEpoch:
			if e.Before.After(s.epoch) {
				s.epoch = e.Before
			}
		}
		s.seq.Store(e.Seq)
	}
}

// put keeps the newer of two versions: a reader of the store may be ahead of
// the journal.
func (s *state) put(c *Client) {
	if old := s.clients[c.ID]; old == nil || old.Version < c.Version {
		index(s.clients, c)
		s.expect(c)
	}
}

// learn adds a client that was read outside the journal's order.
func (s *state) learn(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(c)
}

// client returns the client that has this id, whole or of one environment.
func (s *state) client(id ClientID) *Client {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.clients[id]
}

// all returns each client once, ordered by whole id, deleted ones too.
func (s *state) all() []*Client {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := slices.Sorted(maps.Keys(s.clients))
	out := make([]*Client, 0, len(ids))
	for _, id := range ids {
		if c := s.clients[id]; c.ID == id {
			out = append(out, c)
		}
	}
	return out
}

// judge says whether a token of c's client still stands, and as of which
// position. The reason is "" where it does.
func (s *state) judge(c *Claims) (Reason, int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.judgeLocked(c.Token, c.Client, c.Environment, c.IssuedAt), s.seq.Load()
}

func (s *state) judgeLocked(id TokenID, client ClientID, env Environment, issued time.Time) Reason {
	if _, ok := s.revoked[id]; ok {
		return ReasonRevoked
	}
	owner := s.clients[client]
	switch {
	case owner == nil:
		return ReasonUnknownClient
	case owner.State == Disabled:
		return ReasonClientDisabled
	case owner.State == Deleted:
		return ReasonClientDeleted
	case cutOff(owner, env, issued, s.epoch):
		return ReasonRevoked
	}
	return ""
}

// cutOff reports whether everything that c was issued at that instant has been
// revoked.
func cutOff(c *Client, env Environment, issued, epoch time.Time) bool {
	before := c.RevokedBefore[env]
	return !issued.After(before) && !before.IsZero() || !issued.After(epoch) && !epoch.IsZero()
}

// cutOffAt is the instant by which cutOff revokes a token, zero where it doesn't.
func (s *state) cutOffAt(r *TokenRecord) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := s.clients[r.Client]
	if c == nil || !cutOff(c, r.Environment, r.IssuedAt, s.epoch) {
		return time.Time{}
	}
	if before := c.RevokedBefore[r.Environment]; !r.IssuedAt.After(before) {
		return before
	}
	return s.epoch
}

// forget drops revocations of tokens that have expired by now.
func (s *state) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.revoked, func(_ TokenID, until int64) bool { return until != 0 && until <= now.Unix() })
}

// lag is how long before now the last successful read of the journal began, by
// the wall clock or the monotonic one, whichever says more.
func (s *state) lag(now time.Time) time.Duration {
	heard := s.heard.Load()
	return max(now.Sub(*heard), time.Duration(now.UnixNano()-heard.UnixNano()))
}
