package gatehouse

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"
)

// Nodes on one store tell each other by a document each that they run. What
// can't be counted together is divided among as many as there are.
const (
	documentNode = "node"
	sayEvery     = 5 * time.Second
	saidHolds    = 3 * sayEvery
	mostNodes    = 1000 // that are counted
)

// A membership is this node among those on its store.
type membership struct {
	store Store
	clock *clock
	said  Document
	count atomic.Int64
}

// Nodes is how many nodes lately ran on the store, this one included. One that
// ended without saying so is counted for up to a quarter of a minute more.
func (e *Engine) Nodes() int {
	if e.members == nil {
		return 1
	}
	return max(1, int(e.members.count.Load()))
}

func newMembership(s Store, c *clock) *membership {
	return &membership{store: s, clock: c, said: Document{Kind: documentNode, Key: rand.Text(), Value: []byte("{}")}}
}

// say tells the others that this node runs, and counts them.
func (m *membership) say(ctx context.Context) error {
	m.said.ExpiresAt = m.clock.now().Add(saidHolds)
	if err := m.store.Keep(ctx, nil, m.said); err != nil {
		// Whether it was kept may be unknown: the next time says so under
		// another name, and this one is forgotten.
		m.said.Key, m.said.Version = rand.Text(), 0
		return err
	}
	m.said.Version++
	there, err := m.store.Documents(ctx, documentNode, "", "", mostNodes)
	if err == nil {
		m.count.Store(int64(len(there)))
	}
	return err
}

// run says so until ctx ends, and then that this node runs no more. Where the
// store can't answer, the last count stands.
func (m *membership) run(ctx context.Context) {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		_ = m.say(ctx) // what reads the journal complains of the store
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_, _ = m.store.Take(last, nil, documentNode, m.said.Key) // else it expires
			return
		case <-tick.C:
		}
	}
}
