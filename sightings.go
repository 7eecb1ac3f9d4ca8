package gatehouse

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// ImportedTokens is the Source of sightings of tokens that were imported by
// their digests. Others are the names of old issuers.
const ImportedTokens = "imported tokens"

// A Sighting says how a client's tokens of one source still come, over all
// nodes. A remote gate asks about a token every five minutes, and counts then.
type Sighting struct {
	Source      string
	Client      ClientID // as a whole
	Environment Environment
	First, Last time.Time
	Total       int64
	Days        map[string]int64 // by UTC date, such as 2026-01-31; the last 35
}

// sightings counts one client's tokens of one source on this node, since they
// were last written down.
type sightings struct {
	count atomic.Int64
	last  atomic.Int64 // Unix nanoseconds
}

func (s *sightings) add(now int64) {
	s.count.Add(1)
	s.last.Store(now)
}

type sightingKey struct {
	source string
	client ClientID
	env    Environment
}

// document is the key under which the store keeps the figure.
func (k sightingKey) document() string {
	sum := sha256.Sum256([]byte(k.source + "\x00" + string(k.client) + "\x00" + string(k.env)))
	return hex.EncodeToString(sum[:16])
}

// A sightingLog has this node's sightings. Its size is bounded by the clients'
// number: each of its keys names one that is known.
type sightingLog struct {
	mu       sync.Mutex
	list     map[sightingKey]*sightings
	imported atomic.Int64 // sightings of this process that were written down, for metrics
	old      atomic.Int64
}

func newSightingLog() *sightingLog { return &sightingLog{list: map[sightingKey]*sightings{}} }

func (l *sightingLog) of(k sightingKey) *sightings {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.list[k]
	if s == nil {
		s = &sightings{}
		l.list[k] = s
	}
	return s
}

// The form in which sightings are kept.
const (
	sightingKind = "sighting"
	daysKept     = 35
)

type keptSighting struct {
	Source      string           `json:"source"`
	Client      ClientID         `json:"client"`
	Environment Environment      `json:"environment"`
	First       int64            `json:"first_ms"`
	Last        int64            `json:"last_ms"`
	Total       int64            `json:"total"`
	Days        map[string]int64 `json:"days"`
}

func (k *keptSighting) add(n int64, at time.Time) {
	if k.First == 0 {
		k.First = at.UnixMilli()
	}
	k.Last = max(k.Last, at.UnixMilli())
	k.Total += n
	if k.Days == nil {
		k.Days = map[string]int64{}
	}
	k.Days[at.UTC().Format(time.DateOnly)] += n
	oldest := at.UTC().AddDate(0, 0, -daysKept).Format(time.DateOnly)
	maps.DeleteFunc(k.Days, func(day string, _ int64) bool { return day < oldest })
}

// flushSightings writes down what this node has counted. What can't be written
// now is kept for the next time.
func (e *Engine) flushSightings(ctx context.Context) error {
	e.sightings.mu.Lock()
	list := maps.Clone(e.sightings.list)
	e.sightings.mu.Unlock()
	var failed error
	for k, s := range list {
		n := s.count.Swap(0)
		if n == 0 {
			continue
		}
		if err := e.keepSighting(ctx, k, n, time.Unix(0, s.last.Load())); err != nil {
			s.count.Add(n)
			failed = errors.Join(failed, fmt.Errorf("writing down that old tokens came: %w", err))
			continue
		}
		if k.source == ImportedTokens {
			e.sightings.imported.Add(n)
		} else {
			e.sightings.old.Add(n)
		}
	}
	return failed
}

// keepSighting adds to a figure that other nodes add to as well.
func (e *Engine) keepSighting(ctx context.Context, k sightingKey, n int64, at time.Time) error {
	const tries = 20
	for try := 1; ; try++ {
		doc, err := e.store.Document(ctx, sightingKind, k.document())
		kept := keptSighting{Source: k.source, Client: k.client, Environment: k.env}
		switch {
		case errors.Is(err, ErrNotFound):
			doc = &Document{Kind: sightingKind, Key: k.document()}
		case err != nil:
			return err
		default:
			if err := json.Unmarshal(doc.Value, &kept); err != nil {
				return err
			}
		}
		kept.add(n, at)
		if doc.Value, err = json.Marshal(kept, json.Deterministic(true)); err != nil {
			return err
		}
		err = e.store.Keep(ctx, nil, *doc)
		if err == nil || !errors.Is(err, ErrConflict) && !errors.Is(err, ErrExists) || try == tries {
			return err
		}
	}
}

// Sightings says how what other systems made still comes, the newest first.
func (e *Engine) Sightings(ctx context.Context) ([]Sighting, error) {
	if err := e.flushSightings(ctx); err != nil {
		return nil, err
	}
	const page = 500
	var out []Sighting
	after := ""
	for {
		docs, err := e.store.Documents(ctx, sightingKind, "", after, page)
		if err != nil {
			return nil, unavailable(err)
		}
		for i := range docs {
			var k keptSighting
			if err := json.Unmarshal(docs[i].Value, &k); err != nil {
				return nil, fmt.Errorf("a figure of old tokens is damaged: %w", err)
			}
			out = append(out, Sighting{
				Source: k.Source, Client: k.Client, Environment: k.Environment, Total: k.Total, Days: k.Days,
				First: time.UnixMilli(k.First).UTC(), Last: time.UnixMilli(k.Last).UTC(),
			})
			after = docs[i].Key
		}
		if len(docs) < page {
			slices.SortFunc(out, func(a, b Sighting) int {
				return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Client, b.Client))
			})
			return out, nil
		}
	}
}

// Arrived is how many validations of this process were of imported tokens, and
// how many of old issuers' JWTs.
func (e *Engine) Arrived() (imported, old int64) {
	imported, old = e.sightings.imported.Load(), e.sightings.old.Load()
	e.sightings.mu.Lock()
	defer e.sightings.mu.Unlock()
	for k, s := range e.sightings.list {
		if k.source == ImportedTokens {
			imported += s.count.Load()
		} else {
			old += s.count.Load()
		}
	}
	return imported, old
}
