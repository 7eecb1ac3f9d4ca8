package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// Restart implements gatehouse.Store. The database is the ledger's from then on.
func (s *Store) Restart(ctx context.Context, act gatehouse.Act, r gatehouse.Restart) (*gatehouse.Restarted, error) {
	done := &gatehouse.Restarted{}
	var before, epoch time.Time
	err := s.actWithin(ctx, longTimeout, act, func(t *actTx) (bool, error) {
		if r.Seq <= t.journalSeq {
			return false, fmt.Errorf("the journal has come to %d: %w", t.journalSeq, gatehouse.ErrConflict)
		}
		before, t.journalSeq = t.epoch, r.Seq
		t.epoch = later(t.epoch, r.Epoch.Truncate(time.Millisecond))
		epoch = t.epoch
		if err := t.exec("UPDATE meta SET journal_floor = $1, epoch = $2", r.Seq, moment(t.epoch)); err != nil {
			return false, err
		}
		if err := t.exec("DELETE FROM documents WHERE expires IS NOT NULL"); err != nil {
			return false, err
		}
		if err := t.adopt(); err != nil {
			return false, err
		}
		done.Seq = r.Seq
		if !t.epoch.IsZero() {
			done.Seq = t.journal(gatehouse.Entry{At: act.At, Kind: gatehouse.EntryEpoch, Before: t.epoch})
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	// They are ended, and no more of them can be added.
	done.Ended, err = s.countEpoch(ctx, before, epoch, act.At)
	return done, err
}

// Adopt makes this database the one that the ledger is served from, where it was
// copied with nothing lost.
func (s *Store) Adopt(ctx context.Context, act gatehouse.Act) error {
	return s.act(ctx, act, func(t *actTx) (bool, error) { return true, t.adopt() })
}

// countTimeout bounds a count over the whole ledger.
const countTimeout = time.Hour

// countEpoch counts the access and refresh tokens that were live at now and that
// the epoch ended, which had been before.
func (s *Store) countEpoch(ctx context.Context, before, epoch, now time.Time) (map[gatehouse.ClientID]int, error) {
	var ended map[gatehouse.ClientID]int
	after := moment(before)
	if !after.Valid {
		after = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	}
	err := s.read(ctx, countTimeout, func(ctx context.Context, q queries) error {
		ended = map[gatehouse.ClientID]int{}
		if epoch.IsZero() {
			return nil
		}
		rows, err := q.Query(ctx, `SELECT c.id, count(*) FROM tokens t JOIN clients c ON c.n = t.client
			LEFT JOIN cutoffs x ON x.client = t.client AND x.environment = t.environment
			WHERE t.kind <> $1 AND t.issued > greatest(x.before, $2) AND t.issued <= $3 AND t.expires > $4
			AND NOT EXISTS (SELECT FROM marks m WHERE m.token = t.id AND m.span = t.span AND m.expires = t.expires) GROUP BY c.id`,
			string(gatehouse.AccessCode), after, moment(epoch), moment(now))
		if err != nil {
			return err
		}
		var client gatehouse.ClientID
		var n int
		_, err = pgx.ForEachRow(rows, []any{&client, &n}, func() error {
			ended[client] = n
			return nil
		})
		return err
	})
	return ended, err
}
