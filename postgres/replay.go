package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// Replay implements gatehouse.Store.
func (s *Store) Replay(ctx context.Context, caller, key string) (*gatehouse.Replay, error) {
	if storable(caller, key) != nil {
		return nil, gatehouse.ErrNotFound
	}
	found := &gatehouse.Replay{Caller: caller, Key: key}
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) error {
		var at pgtype.Timestamptz
		var request []byte
		err := q.QueryRow(ctx, "SELECT request, answer, at FROM replays WHERE caller = $1 AND key = $2", caller, key).
			Scan(&request, &found.Answer, &at)
		if errors.Is(err, pgx.ErrNoRows) {
			return gatehouse.ErrNotFound
		}
		copy(found.Request[:], request)
		found.At = timeOf(at)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// checkReplay refuses an act whose Idempotency-Key its caller has used.
func (t *actTx) checkReplay(r *gatehouse.Replay) error {
	if r == nil {
		return nil
	}
	var used bool
	err := t.tx.QueryRow(t.ctx, "SELECT EXISTS (SELECT FROM replays WHERE caller = $1 AND key = $2)", r.Caller, r.Key).Scan(&used)
	if err == nil && used {
		err = gatehouse.ErrExists
	}
	return err
}

func (t *actTx) remember(r *gatehouse.Replay) error {
	if r == nil {
		return nil
	}
	return t.exec("INSERT INTO replays (caller, key, request, answer, at) VALUES ($1, $2, $3, $4, $5)",
		r.Caller, r.Key, r.Request[:], r.Answer, moment(r.At))
}
