package gatehouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gatehouse-auth/gatehouse/credential"
)

// A Restore makes a store that was copied some time ago fit to be served again,
// so that nothing that was revoked since then passes. No node may use the store
// meanwhile.
//
// What happened after the copy is lost, unless there is the journal of it. So
// everything that was issued up to now is refused, by an epoch; with the journal
// what it doesn't speak of may stay: opaque access tokens. In both cases all
// signing keys go, since one of them may have been found compromised, and what
// they signed since the copy is on no ledger.
type Restore struct {
	Store  Store
	Sealer *credential.Sealer // under the key-encryption key that the store was made with
	Now    time.Time
	By     Actor
	From   *Manifest // what the copy says of itself, where there is one
	// Journal is all that the journal has had after position Since, which is
	// not beyond the copy's; nil is none.
	Journal iter.Seq2[JournalRecord, error]
	Since   int64
	// DisableClients has every client come back disabled, where it can't be
	// known which were, and which of their secrets are in wrong hands.
	DisableClients bool
}

// A JournalRecord is an entry of the journal with what it only names, as it is
// kept for a restore.
type JournalRecord struct {
	Entry
	Changed *Client     // EntryClientChanged: as it was then, or later
	Keys    []KeyRecord // EntryKeysChanged: all, as they were then, or later
}

// Restored says what a Restore did.
type Restored struct {
	Epoch       time.Time        // zero where the journal was enough
	JournalSeq  int64            // where the journal goes on
	Ended       map[ClientID]int // access and refresh tokens that were live on the copy and are refused now
	Revoked     int              // of them those that the journal says were revoked
	Changed     int              // clients that the journal has newer
	Foreign     int              // tokens that the journal revokes and another system made, after which an epoch is written all the same
	Keys        int              // signing keys that verify nothing any more
	Clients     int              // that are enabled now
	Secrets     int              // of theirs that are live now
	JournalEnds int64            // the last entry of the journal that was given
}

// Tokens is how many tokens were ended.
func (r *Restored) Tokens() (n int) {
	for _, ended := range r.Ended {
		n += ended
	}
	return n
}

// Journal returns up to limit entries after since with what they name, and the
// position and time up to which that is all there is. A since below 0 asks for the
// position only. ErrJournalGone: entries after since have been pruned.
func (e *Engine) Journal(ctx context.Context, since int64, limit int) (records []JournalRecord, seq int64, heard time.Time, err error) {
	if err := e.catchUp(ctx); err != nil {
		return nil, 0, heard, err
	}
	seq, heard = e.state.seq.Load(), e.Heard()
	if since < 0 || since == seq {
		return nil, seq, heard, nil
	}
	if since > seq {
		return nil, seq, heard, ErrJournalGone
	}
	entries, err := e.store.Journal(ctx, since, limit)
	if err != nil {
		return nil, seq, heard, err
	}
	for _, entry := range entries {
		r := JournalRecord{Entry: entry}
		switch entry.Kind {
		case EntryClientChanged:
			r.Changed, err = e.store.Client(ctx, entry.Client)
		case EntryKeysChanged:
			r.Keys, err = e.store.Keys(ctx)
		}
		if err != nil {
			return nil, seq, heard, err
		}
		records = append(records, r)
	}
	return records, seq, heard, nil
}

// Check reports why the copy can't be restored, and changes nothing: a damaged
// chain, a copy that is not what its manifest says, another key-encryption key.
func (r *Restore) Check(ctx context.Context) error {
	if err := r.checkSeals(ctx); err != nil {
		return err
	}
	report, err := r.Store.CheckAudit(ctx)
	if err != nil {
		return err
	}
	if len(report.Faults) > 0 {
		const shown = 5
		faults := slices.Sorted(slices.Values(report.Faults))
		return fmt.Errorf("%w: its hash chains do not fit, in %d places: %s", ErrBackup, len(faults), strings.Join(faults[:min(shown, len(faults))], "; "))
	}
	return nil
}

// CheckCopy reports where the store, which nobody has changed since, is not
// exactly what the manifest says.
func (r *Restore) CheckCopy(ctx context.Context) error {
	is, err := r.Store.Backup(ctx, nil)
	if err != nil {
		return err
	}
	if point := r.From.differs(is); point != "" {
		return fmt.Errorf("%w: its manifest is not of this copy: %s", ErrBackup, point)
	}
	return nil
}

// checkSeals opens what the key-encryption key seals.
func (r *Restore) checkSeals(ctx context.Context) error {
	keys, err := r.Store.Keys(ctx)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return fmt.Errorf("%w: no server has ever run on it: it has no signing keys", ErrBackup)
	}
	e := &Engine{store: r.Store, sealer: r.Sealer}
	for _, name := range []string{settingDigestKey, settingCursorKey} {
		if _, err := e.sharedKey(ctx, name); err != nil {
			return err
		}
	}
	for i := range keys {
		if keys[i].state(r.Now) == KeyGone {
			continue
		}
		if _, err := e.openKey(&keys[i]); err != nil {
			return fmt.Errorf("signing key %s: %w", keys[i].ID, err)
		}
	}
	return nil
}

// Run does it. Where it fails half-way it can be run again.
func (r *Restore) Run(ctx context.Context) (*Restored, error) {
	snap, err := r.Store.Load(ctx, r.Now)
	if err != nil {
		return nil, err
	}
	done := &Restored{Ended: map[ClientID]int{}}
	// The clocks of the lost nodes may have been ahead of this one.
	last := later(r.Now, snap.Newest).Truncate(time.Millisecond)
	known := snap.Keys
	restart := Restart{Seq: restartAt(snap.Seq, r.Now)}
	if r.Journal == nil {
		restart.Epoch = last
	} else {
		lost, err := r.readJournal(ctx, snap)
		if err != nil {
			return nil, err
		}
		known, restart.Epoch, done.JournalEnds, done.Changed = lost.keys, lost.epoch, lost.seq, len(lost.clients)
		restart.Seq = max(restart.Seq, restartAt(lost.seq, r.Now))
		if err := r.applyJournal(ctx, lost, done); err != nil {
			return nil, err
		}
		if done.Foreign > 0 {
			restart.Epoch = last
		}
	}
	if err := r.settleClients(ctx, done); err != nil {
		return nil, err
	}
	if done.Keys, err = r.retireKeys(ctx, known); err != nil {
		return nil, err
	}
	// Later than the epoch, so that a clock that is behind issues after it.
	act := r.act("restore", "ledger", last.Add(time.Millisecond), "journal_seq", strconv.FormatInt(restart.Seq, 10), "copy_seq", strconv.FormatInt(snap.Seq, 10))
	if r.From != nil {
		act.Detail["taken_at"] = r.From.TakenAt.Format(time.RFC3339)
	}
	restarted, err := r.Store.Restart(ctx, act, restart)
	if err != nil {
		return nil, err
	}
	for client, n := range restarted.Ended {
		done.Ended[client] += n
	}
	done.Epoch, done.JournalSeq = restart.Epoch, restarted.Seq
	return done, nil
}

func (r *Restore) act(action, subject string, at time.Time, detail ...string) Act {
	act := Act{At: at, By: r.By, Action: action, Subject: subject, Detail: map[string]string{}}
	for i := 0; i+1 < len(detail); i += 2 {
		act.Detail[detail[i]] = detail[i+1]
	}
	return act
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// lost is what a journal tells of the time after the copy.
type lost struct {
	revoked map[TokenID]time.Time // when
	clients map[ClientID]*Client
	keys    []KeyRecord
	epoch   time.Time
	seq     int64
}

// readJournal reads all of the journal, and makes sure that nothing is missing
// in it and that it is this ledger's: what the copy has too must be the same.
func (r *Restore) readJournal(ctx context.Context, snap *Snapshot) (*lost, error) {
	if r.Since > snap.Seq {
		return nil, fmt.Errorf("the journal begins after position %d, and the copy ends at %d: give a journal that was begun before the copy was made, or none", r.Since, snap.Seq)
	}
	own, err := r.ownEntries(ctx)
	if err != nil {
		return nil, err
	}
	l := &lost{revoked: map[TokenID]time.Time{}, clients: map[ClientID]*Client{}, keys: snap.Keys, seq: r.Since}
	for entry, err := range r.Journal {
		if err != nil {
			return nil, err
		}
		if entry.Seq != l.seq+1 {
			return nil, fmt.Errorf("the journal has entry %d after entry %d: what was between is missing; restore without it", entry.Seq, l.seq)
		}
		l.seq = entry.Seq
		if is, ok := own[entry.Seq]; ok && !is.same(&entry.Entry) {
			return nil, fmt.Errorf("entry %d of the journal is not the copy's: it is the journal of another ledger", entry.Seq)
		}
		if entry.Seq > snap.Seq {
			if err := l.take(&entry); err != nil {
				return nil, err
			}
		}
	}
	if l.seq < snap.Seq {
		return nil, fmt.Errorf("the journal ends at %d, before the copy does at %d: it is older than the copy", l.seq, snap.Seq)
	}
	return l, nil
}

func (l *lost) take(entry *JournalRecord) error {
	switch entry.Kind {
	case EntryTokenRevoked:
		l.revoked[entry.Token] = entry.At
	case EntryClientChanged:
		if entry.Changed == nil || entry.Changed.ID != entry.Client {
			return fmt.Errorf("entry %d of the journal lacks its client", entry.Seq)
		}
		l.clients[entry.Client] = entry.Changed
	case EntryKeysChanged:
		l.keys = entry.Keys
	case EntryEpoch:
		l.epoch = later(l.epoch, entry.Before)
	default:
		return fmt.Errorf("entry %d of the journal is of a kind that this version doesn't know: use a later one", entry.Seq)
	}
	return nil
}

func (e *Entry) same(o *Entry) bool {
	return e.Seq == o.Seq && e.Kind == o.Kind && e.Token == o.Token && e.Client == o.Client && e.At.Equal(o.At) && e.Before.Equal(o.Before)
}

// ownEntries are those of the copy's own journal that the given one may have too.
func (r *Restore) ownEntries(ctx context.Context) (map[int64]*Entry, error) {
	own := map[int64]*Entry{}
	const page = 1000
	for since := r.Since; ; {
		entries, err := r.Store.Journal(ctx, since, page)
		if errors.Is(err, ErrJournalGone) {
			return own, nil // pruned, and nothing to compare with
		} else if err != nil {
			return nil, err
		}
		for i := range entries {
			own[entries[i].Seq], since = &entries[i], entries[i].Seq
		}
		if len(entries) < page {
			return own, nil
		}
	}
}

// atOnce is how many changes share commits.
const atOnce = 64

// applyJournal makes the copy as it would have been: clients and revocations. What
// can't be known from the journal ends: which refresh tokens and codes were used
// since, and whatever was signed with keys that go.
func (r *Restore) applyJournal(ctx context.Context, l *lost, done *Restored) error {
	for _, id := range slices.Sorted(maps.Keys(l.clients)) {
		c := *l.clients[id]
		old, err := r.Store.Client(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			c.Version = 0
		case err != nil:
			return err
		default:
			c.Version = old.Version
		}
		if err := r.Store.SaveClient(ctx, r.act("client.restore", string(id), r.Now), &c); err != nil {
			return fmt.Errorf("client %s: %w", id, err)
		}
	}
	before, err := r.countActive(ctx)
	if err != nil {
		return err
	}
	var foreign atomic.Int64
	var group errgroup.Group
	group.SetLimit(atOnce)
	for id, at := range l.revoked {
		group.Go(func() error {
			_, err := r.Store.Revoke(ctx, r.act("token.revoke", id.String(), at), Selection{Token: id})
			if !errors.Is(err, ErrNotFound) {
				return err
			}
			// Issued after the copy, and what signed it goes; but a JWT of an old
			// issuer comes to the ledger only when it is revoked.
			if id.Derived() {
				foreign.Add(1)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := r.endUnknowable(ctx); err != nil {
		return err
	}
	after, err := r.countActive(ctx)
	for client, n := range before {
		if n -= after[client]; n > 0 {
			done.Ended[client] = n
		}
	}
	done.Revoked, done.Foreign = len(l.revoked), int(foreign.Load())
	return err
}

// active calls fn with each page of the tokens that stand.
func (r *Restore) active(ctx context.Context, fn func([]TokenRecord) error) error {
	q := TokenQuery{Status: StatusActive, Now: r.Now, Limit: 1000}
	for {
		rows, err := r.Store.Tokens(ctx, q)
		if err != nil {
			return err
		}
		if err := fn(rows); err != nil {
			return err
		}
		if len(rows) < q.Limit {
			return nil
		}
		q.Before = rows[len(rows)-1].ID
	}
}

func (r *Restore) countActive(ctx context.Context) (map[ClientID]int, error) {
	live := map[ClientID]int{}
	err := r.active(ctx, func(rows []TokenRecord) error {
		for i := range rows {
			if rows[i].Kind != AccessCode && rows[i].SpentAt.IsZero() {
				live[rows[i].Client]++
			}
		}
		return nil
	})
	return live, err
}

func (r *Restore) endUnknowable(ctx context.Context) error {
	return r.active(ctx, func(rows []TokenRecord) error {
		var group errgroup.Group
		group.SetLimit(atOnce)
		for i := range rows {
			t := &rows[i]
			if t.Kind == AccessToken && t.Digest != nil || !t.SpentAt.IsZero() {
				continue
			}
			group.Go(func() error {
				_, err := r.Store.Revoke(ctx, r.act("token.revoke", t.ID.String(), r.Now), Selection{Token: t.ID})
				return err
			})
		}
		return group.Wait()
	})
}

// settleClients counts what the clients can do now, after disabling them where
// that was asked for.
func (r *Restore) settleClients(ctx context.Context, done *Restored) error {
	snap, err := r.Store.Load(ctx, r.Now)
	if err != nil {
		return err
	}
	for i := range snap.Clients {
		c := &snap.Clients[i]
		if c.State != Enabled {
			continue
		}
		if !r.DisableClients {
			done.Clients++
			for _, env := range Environments {
				done.Secrets += len(c.LiveSecrets(env))
			}
			continue
		}
		off := *c
		off.State = Disabled
		if err := r.Store.SaveClient(ctx, r.act("client.disable", string(c.ID), r.Now), &off); err != nil {
			return fmt.Errorf("client %s: %w", c.ID, err)
		}
	}
	return nil
}

// skippedKey names the records that stand for indexes which may have been given
// out after the copy. They are no keys.
const skippedKey = "skipped"

// retireKeys ends all signing keys, of which known is the newest list, and takes
// the indexes up to one that no key can have had.
func (r *Restore) retireKeys(ctx context.Context, known []KeyRecord) (ended int, err error) {
	now := r.Now.UTC().Truncate(time.Millisecond)
	newest, chance := map[string]int{}, rand.N(indexChance)
	var saves []KeyRecord
	for _, k := range known {
		newest[k.Realm.Format] = max(newest[k.Realm.Format], k.Index)
		if k.state(now) != KeyGone {
			ended++
		}
		k.GoneAt = earlierOf(k.GoneAt, now)
		k.RetiredAt = earlierOf(k.RetiredAt, now)
		saves = append(saves, k)
	}
	for _, format := range slices.Sorted(maps.Keys(newest)) {
		i := slices.IndexFunc(known, func(k KeyRecord) bool { return k.Realm.Format == format })
		index := restartIndex(newest[format], now, chance)
		saves = append(saves, KeyRecord{
			ID: fmt.Sprintf("%s-%s-%d", skippedKey, format, index), Index: index, Realm: known[i].Realm,
			PublishedAt: now, RetiredAt: now, GoneAt: now,
		})
	}
	slices.SortStableFunc(saves, func(a, b KeyRecord) int { return cmp.Compare(a.ID, b.ID) })
	return ended, r.Store.SaveKeys(ctx, r.act("key.retire", "all", now), saves)
}

// earlierOf returns the earlier of a time that may not be set and now.
func earlierOf(t, now time.Time) time.Time {
	if t.IsZero() || t.After(now) {
		return now
	}
	return t
}
