package sqlite

import (
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// What the journal keeps of entries that Load tells too: so many, and all that
// are younger than so much before the cutoff of Expire (itself a day ago).
const (
	journalEntries = 10_000
	journalAge     = 24 * time.Hour
)

// expireStep is how many entries or replays one step removes.
const expireStep = 1_000

// Expire implements gatehouse.Store. cutoff is a day ago in normal running.
func (s *Store) Expire(ctx context.Context, cutoff time.Time) (gatehouse.Expired, error) {
	var gone gatehouse.Expired
	for {
		p, err := s.dropOne(ctx, cutoff)
		if err != nil {
			return gone, err
		}
		if p == nil {
			break
		}
		gone.Partitions++
		gone.Tokens += int(p.rows)
	}
	if err := s.pruneJournal(ctx, cutoff); err != nil {
		return gone, err
	}
	if err := s.pruneReplays(ctx, cutoff); err != nil {
		return gone, err
	}
	return gone, s.pruneDocuments(ctx, cutoff)
}

// dropOne drops a partition all of whose tokens expired before cutoff. The
// catalogue keeps where its chain ended, and so does an audit event.
func (s *Store) dropOne(ctx context.Context, cutoff time.Time) (*partition, error) {
	var dropped *partition
	err := s.write(ctx, func(w *writer) error {
		i := slices.IndexFunc(w.parts, func(p *partition) bool {
			return p.bucket != permanent && p.lastExpiry.Before(cutoff) && len(p.newRows) == 0 && len(p.newMarks) == 0
		})
		if i < 0 {
			return nil
		}
		p, at := w.parts[i], later(w.newest, cutoff)
		if err := p.drop(w.conn); err != nil {
			return err
		}
		if err := w.conn.run("UPDATE partitions SET dropped = ? WHERE id = ?", at, p.id); err != nil {
			return err
		}
		dropped, w.ddl = p, true
		w.parts = slices.Delete(w.parts, i, i+1)
		if w.open[p.bucket] == p {
			delete(w.open, p.bucket)
		}
		return w.event(gatehouse.Act{
			At: at, By: gatehouse.System("ledger"), Action: dropAction, Subject: strconv.FormatInt(p.id, 10),
			Detail: map[string]string{"rows": strconv.FormatInt(p.rows, 10), "hash": hex.EncodeToString(p.head[:])},
		})
	})
	if err != nil {
		return nil, err
	}
	return dropped, nil
}

const dropAction = "partition.drop"

// pruneJournal removes what no reader needs: revocations of tokens that had
// expired by cutoff, and old entries of the kinds that Load tells too.
func (s *Store) pruneJournal(ctx context.Context, cutoff time.Time) error {
	for {
		var old []int64
		err := s.read(ctx, func(v *view) error {
			return v.conn.rows(`SELECT seq FROM journal WHERE until <= ?
				OR at < ? AND seq <= (SELECT max(seq) FROM journal) - ? ORDER BY seq LIMIT ?`, func(st *sqlite.Stmt) error {
				old = append(old, st.ColumnInt64(0))
				return nil
			}, cutoff, cutoff.Add(-journalAge), journalEntries, expireStep)
		})
		if err != nil || len(old) == 0 {
			return err
		}
		if err := s.write(ctx, func(w *writer) error { return w.prune(old) }); err != nil {
			return err
		}
	}
}

// prune removes entries; readers that have not seen them must Load.
func (w *writer) prune(seqs []int64) error {
	w.wrote = true
	for _, seq := range seqs {
		if err := w.conn.run("DELETE FROM journal WHERE seq = ?", seq); err != nil {
			return err
		}
	}
	return w.conn.run("UPDATE meta SET journal_floor = max(journal_floor, ?)", seqs[len(seqs)-1])
}

func (s *Store) pruneReplays(ctx context.Context, cutoff time.Time) error {
	return s.pruneRows(ctx, "DELETE FROM replays WHERE (caller, key) IN (SELECT caller, key FROM replays WHERE at <= ? LIMIT ?)", cutoff)
}

func (s *Store) pruneDocuments(ctx context.Context, cutoff time.Time) error {
	return s.pruneRows(ctx, "DELETE FROM documents WHERE (kind, key) IN (SELECT kind, key FROM documents WHERE expires <= ? LIMIT ?)", cutoff)
}

// pruneRows repeats a statement that removes up to expireStep rows until there
// are no more.
func (s *Store) pruneRows(ctx context.Context, query string, cutoff time.Time) error {
	for {
		n := 0
		err := s.write(ctx, func(w *writer) error {
			err := w.conn.run(query, cutoff, expireStep)
			n = w.conn.Changes()
			w.wrote = w.wrote || n > 0
			return err
		})
		if err != nil || n < expireStep {
			return err
		}
	}
}
