package gatehouse

import (
	"context"
	"crypto/rand"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
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
	key   atomic.Pointer[string] // of said
	card  func() []byte          // what a node tells of itself
	said  Document
	count atomic.Int64
}

// A NodeCard is what a node tells of itself, for whoever compares nodes.
type NodeCard struct {
	Name   string    `json:"name"` // its machine's, and some of its own
	Issuer string    `json:"issuer"`
	Keys   string    `json:"keys"`  // a digest of the public keys that it uses
	Clock  time.Time `json:"clock"` // its machine's, when it said so
}

// Nodes is how many nodes lately ran on the store, this one included. One that
// ended without saying so is counted for up to a quarter of a minute more.
func (e *Engine) Nodes() int {
	if e.members == nil {
		return 1
	}
	return max(1, int(e.members.count.Load()))
}

func newMembership(s Store, c *clock, card func(key string) NodeCard) *membership {
	m := &membership{store: s, clock: c, said: Document{Kind: documentNode, Key: rand.Text()}}
	key := m.said.Key
	m.key.Store(&key)
	m.card = func() []byte {
		b, _ := json.Marshal(card(m.said.Key), json.Deterministic(true)) // text and a time
		return b
	}
	return m
}

// nodeCard is this node's.
func (e *Engine) nodeCard(key string) NodeCard {
	host, _ := os.Hostname() // a name for people
	_, tag, _ := e.JWKS("")
	return NodeCard{Name: host + " " + key[:6], Issuer: e.live, Keys: tag, Clock: e.clock.wall().UTC()}
}

// NodeCards are those of the nodes that lately ran on the store, this one's
// first. A node that shares it with no other has its own.
func (e *Engine) NodeCards(ctx context.Context) ([]NodeCard, error) {
	if e.members == nil {
		return []NodeCard{e.nodeCard("a node")}, nil
	}
	own := e.members.key.Load()
	out := []NodeCard{e.nodeCard(*own)}
	docs, err := e.store.Documents(ctx, documentNode, "", "", mostNodes)
	for _, d := range docs {
		var c NodeCard
		if d.Key != *own && json.Unmarshal(d.Value, &c) == nil && c.Name != "" {
			out = append(out, c)
		}
	}
	return out, err
}

// say tells the others that this node runs, and counts them.
func (m *membership) say(ctx context.Context) error {
	m.said.ExpiresAt, m.said.Value = m.clock.now().Add(saidHolds), m.card()
	if err := m.store.Keep(ctx, nil, m.said); err != nil {
		// Whether it was kept may be unknown: the next time says so under
		// another name, and this one is forgotten.
		m.said.Key, m.said.Version = rand.Text(), 0
		key := m.said.Key
		m.key.Store(&key)
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
