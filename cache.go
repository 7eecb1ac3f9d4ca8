package gatehouse

import (
	"hash/maphash"
	"sync/atomic"
)

// A verdictCache remembers tokens whose signature or digest has been checked.
// A reader takes no lock and allocates nothing: a slot is one atomic pointer to
// an immutable entry. It compares whole tokens, so that no hash has to be
// strong; the seed only keeps callers from aiming at one slot.
type verdictCache struct {
	seed  maphash.Seed
	slots []atomic.Pointer[verdict]
}

const (
	cacheSets = 1 << 14
	cacheWays = 4
)

// A verdict is a token that was found good, and the journal's position up to
// which that is known.
type verdict struct {
	token  string
	hash   uint64
	claims Claims
	until  int64 // Unix nanoseconds: when to look the token up again; 0 is never
	asOf   atomic.Int64
}

func newVerdictCache() *verdictCache {
	return &verdictCache{seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[verdict], cacheSets*cacheWays)}
}

func (c *verdictCache) set(hash uint64) []atomic.Pointer[verdict] {
	i := hash % cacheSets * cacheWays
	return c.slots[i : i+cacheWays]
}

// get returns what is remembered of tok, and its hash for put.
func (c *verdictCache) get(tok string) (*verdict, uint64) {
	hash := maphash.String(c.seed, tok)
	set := c.set(hash)
	for i := range set {
		if v := set[i].Load(); v != nil && v.hash == hash && v.token == tok {
			return v, hash
		}
	}
	return nil, hash
}

// put remembers v in an empty slot of its set, or in place of the token that
// expires first.
func (c *verdictCache) put(v *verdict) {
	set := c.set(v.hash)
	slot := &set[0]
	for i := range set {
		old := set[i].Load()
		if old == nil || old.hash == v.hash && old.token == v.token {
			slot = &set[i]
			break
		}
		if worst := slot.Load(); worst != nil && expiresBefore(&old.claims, &worst.claims) {
			slot = &set[i]
		}
	}
	slot.Store(v)
}

func expiresBefore(a, b *Claims) bool {
	return !a.ExpiresAt.IsZero() && (b.ExpiresAt.IsZero() || a.ExpiresAt.Before(b.ExpiresAt))
}

// drop forgets one token.
func (c *verdictCache) drop(v *verdict) {
	set := c.set(v.hash)
	for i := range set {
		set[i].CompareAndSwap(v, nil)
	}
}

// clear forgets all tokens.
func (c *verdictCache) clear() {
	for i := range c.slots {
		c.slots[i].Store(nil)
	}
}
