package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// Load implements gatehouse.Store.
func (s *Store) Load(ctx context.Context, now time.Time) (*gatehouse.Snapshot, error) {
	var snap *gatehouse.Snapshot
	err := s.asOf(ctx, func(ctx context.Context, q queries) error {
		found := &gatehouse.Snapshot{}
		var newest, epoch pgtype.Timestamptz
		err := q.QueryRow(ctx, `SELECT journal_seq, epoch, greatest(newest, (SELECT max(newest) FROM chains)) FROM meta`).
			Scan(&found.Seq, &epoch, &newest)
		if err != nil {
			return err
		}
		found.Epoch, found.Newest = timeOf(epoch), timeOf(newest)
		if found.Clients, err = readClients(ctx, q, ""); err != nil {
			return err
		}
		if found.Keys, err = readKeys(ctx, q); err != nil {
			return err
		}
		rows, err := q.Query(ctx, "SELECT token, expires FROM marks WHERE revoked AND expires > $1", moment(now))
		if err != nil {
			return err
		}
		found.Revoked, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r gatehouse.RevokedToken, err error) {
			var id pgtype.UUID
			var until pgtype.Timestamptz
			err = row.Scan(&id, &until)
			r.ID, r.Until = idOf(id), timeOf(until)
			return r, err
		})
		snap = found
		return err
	})
	if err != nil {
		return nil, err
	}
	return snap, nil
}
