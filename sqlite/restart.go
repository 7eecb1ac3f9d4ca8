package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// Restart implements gatehouse.Store.
func (s *Store) Restart(ctx context.Context, act gatehouse.Act, r gatehouse.Restart) (*gatehouse.Restarted, error) {
	done := &gatehouse.Restarted{}
	var before time.Time
	err := s.act(ctx, act, func(w *writer) (bool, error) {
		if r.Seq <= w.journalSeq {
			return false, fmt.Errorf("the journal has come to %d: %w", w.journalSeq, gatehouse.ErrConflict)
		}
		before = w.epoch
		w.wrote, w.journalSeq = true, r.Seq
		if err := w.conn.run("UPDATE meta SET journal_floor = ?", r.Seq); err != nil {
			return false, err
		}
		if err := w.conn.run("DELETE FROM documents WHERE expires IS NOT NULL"); err != nil {
			return false, err
		}
		if r.Epoch.After(w.epoch) {
			w.epoch = r.Epoch.Truncate(time.Millisecond)
			if err := w.conn.run("UPDATE meta SET epoch = ?", w.epoch); err != nil {
				return false, err
			}
		}
		var err error
		done.Seq = r.Seq
		if !w.epoch.IsZero() {
			done.Seq, err = w.journal(gatehouse.Entry{At: act.At, Kind: gatehouse.EntryEpoch, Before: w.epoch})
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	// They are ended, and no more of them can be added.
	done.Ended, err = s.countEpoch(ctx, before, act.At)
	return done, err
}

// countEpoch counts the access and refresh tokens that were live at now and that
// the epoch ended, which had been before.
func (s *Store) countEpoch(ctx context.Context, before, now time.Time) (map[gatehouse.ClientID]int, error) {
	ended := map[gatehouse.ClientID]int{}
	err := s.read(ctx, func(v *view) error {
		for _, p := range v.parts {
			if p.expiredBy(now) {
				continue
			}
			err := v.conn.rows(p.on(`SELECT c.id, count(*) FROM tokens_%d t JOIN shapes_%d s ON s.n = t.shape JOIN clients c ON c.n = t.client
				LEFT JOIN cutoffs x ON x.client = t.client AND x.environment = s.environment
				WHERE s.kind <> ? AND t.issued > max(coalesce(x.before, -1), ?) AND t.issued <= ?
				AND (t.expires IS NULL OR t.expires * 1000 > ?) AND NOT EXISTS (SELECT 1 FROM marks_%d m WHERE m.token = t.id) GROUP BY c.id`),
				func(st *sqlite.Stmt) error {
					ended[gatehouse.ClientID(st.ColumnText(0))] += st.ColumnInt(1)
					return nil
				}, string(gatehouse.AccessCode), epochMillis(before), epochMillis(v.epoch), now.UnixMilli())
			if err != nil {
				return err
			}
		}
		return nil
	})
	return ended, err
}
