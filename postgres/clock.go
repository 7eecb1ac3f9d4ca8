package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Time implements gatehouse.Store: it is the database's.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	var now pgtype.Timestamptz
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) error {
		return q.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	})
	return timeOf(now), err
}
