package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// cutOff ends all that a client was issued up to a moment, in one environment
// or in all. It marks no token: the client's record says it, however many
// there are. They are counted after the commit, when no more can be added.
func (s *Store) cutOff(ctx context.Context, act gatehouse.Act, sel gatehouse.Selection) (gatehouse.Revoked, error) {
	before := sel.Before
	if before.IsZero() {
		before = act.At
	}
	before = before.Truncate(time.Millisecond)
	var done gatehouse.Revoked
	var client int64
	var cuts map[gatehouse.Environment]cut
	err := s.act(ctx, act, func(t *actTx) (bool, error) {
		var err error
		if client, err = t.client(sel.Client); err != nil {
			return false, err
		}
		old, err := t.cutoffs(client)
		if err != nil {
			return false, err
		}
		cuts = map[gatehouse.Environment]cut{}
		b := &pgx.Batch{}
		for _, env := range gatehouse.Environments {
			if (sel.Environment == "" || env == sel.Environment) && before.After(old[env]) {
				cuts[env] = cut{after: later(old[env], t.epoch), upTo: before}
				queueCutoff(b, client, env, before)
			}
		}
		if len(cuts) > 0 {
			b.Queue("UPDATE clients SET version = version + 1 WHERE n = $1", client)
			if err := t.tx.SendBatch(t.ctx, b).Close(); err != nil {
				return false, err
			}
			t.journal(gatehouse.Entry{At: act.At, Kind: gatehouse.EntryClientChanged, Client: sel.Client})
		}
		done.Seq = t.journalSeq
		return len(cuts) > 0, nil
	})
	if err != nil {
		return gatehouse.Revoked{}, err
	}
	// The tokens are ended, whether or not they can be counted now.
	done.Tokens, err = s.countCut(context.WithoutCancel(ctx), client, cuts, act.At)
	if err != nil {
		s.logger.Warn("can't count what a revocation ended", "client", sel.Client, "error", err)
	}
	return done, nil
}

// cutoffs are a client's, by environment.
func (t *actTx) cutoffs(client int64) (map[gatehouse.Environment]time.Time, error) {
	rows, err := t.tx.Query(t.ctx, "SELECT environment, before FROM cutoffs WHERE client = $1", client)
	if err != nil {
		return nil, err
	}
	found := map[gatehouse.Environment]time.Time{}
	var env gatehouse.Environment
	var before pgtype.Timestamptz
	_, err = pgx.ForEachRow(rows, []any{&env, &before}, func() error {
		found[env] = timeOf(before)
		return nil
	})
	return found, err
}

// A cut ends the tokens of an environment that were issued after one moment
// and at or before another.
type cut struct{ after, upTo time.Time }

// countCut counts the live access and refresh tokens that cuts ended.
func (s *Store) countCut(ctx context.Context, client int64, cuts map[gatehouse.Environment]cut, now time.Time) (count int, err error) {
	err = s.read(ctx, longTimeout, func(ctx context.Context, q queries) error {
		count = 0
		for env, c := range cuts {
			var n int
			after := moment(c.after)
			if !after.Valid {
				after = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
			}
			err := q.QueryRow(ctx, `SELECT count(*) FROM tokens t WHERE client = $1 AND environment = $2 AND kind <> $3
				AND issued > $4 AND issued <= $5 AND expires > $6
				AND NOT EXISTS (SELECT FROM marks m WHERE m.token = t.id AND m.span = t.span AND m.expires = t.expires)`,
				client, string(env), string(gatehouse.AccessCode), after, moment(c.upTo), moment(now)).Scan(&n)
			if err != nil {
				return err
			}
			count += n
		}
		return nil
	})
	return count, err
}
