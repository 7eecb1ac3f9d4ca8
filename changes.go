package gatehouse

import (
	"context"
	"errors"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A Change is an entry of the journal with what the entry only names: what a
// verifier away from the store needs.
type Change struct {
	Entry
	Changed *Client      // EntryClientChanged: as it is now, or newer
	Keys    []*token.Key // EntryKeysChanged: all that verify something, or will
}

// keptChanges is how many changes a follower may be behind and still catch up
// from memory. Further back the store's journal is read.
const keptChanges = 1 << 14

// A changeLog is the newest part of the journal, for followers. What it hands
// out is shared: it only ever appends, and trims by copying.
type changeLog struct {
	mu    sync.Mutex
	list  []Change
	floor int64         // list has every change after it
	last  int64         // and up to this one
	grown chan struct{} // closed at the next change
}

func newChangeLog() *changeLog { return &changeLog{grown: make(chan struct{})} }

// restart forgets all changes: the state has been read anew, as of seq.
func (l *changeLog) restart(seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.floor, l.last = nil, seq, seq
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *changeLog) append(entries []Entry, changed map[ClientID]*Client, ring *token.Ring) {
	if len(entries) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= 2*keptChanges {
		l.list = slices.Clone(l.list[len(l.list)-keptChanges:])
		l.floor = l.list[0].Seq - 1
	}
	for _, e := range entries {
		l.list = append(l.list, fill(e, changed[e.Client], ring))
	}
	l.last = entries[len(entries)-1].Seq
	close(l.grown)
	l.grown = make(chan struct{})
}

func fill(e Entry, changed *Client, ring *token.Ring) Change {
	c := Change{Entry: e}
	switch e.Kind {
	case EntryClientChanged:
		c.Changed = changed
	case EntryKeysChanged:
		c.Keys = ring.Keys()
	}
	return c
}

// after returns the changes after seq; ok is false where it doesn't have them
// all, or where seq lies in a future that this journal hasn't had.
func (l *changeLog) after(seq int64) (list []Change, grown <-chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.floor || seq > l.last {
		return nil, l.grown, false
	}
	i := sort.Search(len(l.list), func(i int) bool { return l.list[i].Seq > seq })
	return l.list[i:len(l.list):len(l.list)], l.grown, true
}

// Changes returns what the journal has told this node after seq, in order, and
// a channel that is closed when there is more. The error is ErrJournalGone
// where changes after seq have been pruned, or seq is none of this journal's:
// begin anew with State. The changes are shared: don't change them.
func (e *Engine) Changes(ctx context.Context, seq int64) (list []Change, grown <-chan struct{}, err error) {
	list, grown, ok := e.changes.after(seq)
	if ok {
		return list, grown, nil
	}
	if seq <= 0 || seq > e.state.seq.Load() {
		return nil, nil, ErrJournalGone
	}
	const page = 1000
	entries, err := e.store.Journal(ctx, seq, page)
	if err != nil {
		return nil, nil, err
	}
	known := e.state.seq.Load()
	for _, entry := range entries {
		if entry.Seq > known {
			break
		}
		list = append(list, fill(entry, e.state.client(entry.Client), e.ring.Load()))
	}
	return list, grown, nil
}

// State returns what this node knows, as of Snapshot.Seq, for a verifier that
// begins to follow. Keys of the snapshot are left out: they are returned ready
// for use, without private halves. Clients are shared: don't change them.
func (e *Engine) State() (*Snapshot, []*token.Key) {
	e.following.Lock() // so that keys and the rest are of one position
	defer e.following.Unlock()
	now := e.clock.now().Unix()
	snap := &Snapshot{}
	for _, c := range e.state.all() {
		snap.Clients = append(snap.Clients, *c)
	}
	s := e.state
	s.mu.RLock()
	defer s.mu.RUnlock()
	snap.Seq, snap.Epoch = s.seq.Load(), s.epoch
	snap.Revoked = make([]RevokedToken, 0, len(s.revoked))
	for id, until := range s.revoked {
		switch {
		case until == 0:
			snap.Revoked = append(snap.Revoked, RevokedToken{ID: id})
		case until > now:
			snap.Revoked = append(snap.Revoked, RevokedToken{ID: id, Until: time.Unix(until, 0).UTC()})
		}
	}
	return snap, e.ring.Load().Keys()
}

// Heard is when the last successful read of the journal began: what Changes
// returns afterwards holds at least all that was in it then.
func (e *Engine) Heard() time.Time { return *e.state.heard.Load() }

// Lookup returns the row of an opaque token, or of one that another system
// made, whatever its state, without its digest. The bearer of the token alone gets it; the error is a refusal.
func (e *Engine) Lookup(ctx context.Context, tok secret.Text) (*TokenRecord, error) {
	row, err := e.findOpaque(ctx, tok.Reveal())
	if err != nil && nobodys(err) {
		var a *arrival
		if a, err = e.elsewhere(ctx, tok.Reveal(), err); err == nil {
			row = a.row
			if e.StatusOf(row) == StatusActive {
				a.seen.add(e.clock.now().UnixNano())
			}
		}
	}
	if err != nil {
		return nil, err
	}
	shown := *row
	shown.Digest = nil
	return &shown, nil
}

// LookupClient returns a client that the journal may not have told of yet, or
// an error that wraps ErrNotFound.
func (e *Engine) LookupClient(ctx context.Context, id ClientID) (*Client, error) {
	if c := e.state.client(id); c != nil {
		return c, nil
	}
	c, err := e.store.Client(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, unavailable(err)
	}
	return c, err
}
