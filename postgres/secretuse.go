package postgres

import (
	"context"
	"net/netip"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// SecretUses implements gatehouse.Store.
func (s *Store) SecretUses(ctx context.Context, id gatehouse.ClientID) ([]gatehouse.SecretUse, error) {
	if storable(string(id)) != nil {
		return nil, nil
	}
	var uses []gatehouse.SecretUse
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) error {
		rows, err := q.Query(ctx, `SELECT k.id, u.count, u.at, coalesce(u.addr, '') FROM clients c JOIN secrets k ON k.client = c.n
			JOIN secret_uses u ON u.secret = k.id WHERE c.id = $1 ORDER BY k.id`, string(id))
		if err != nil {
			return err
		}
		uses, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (u gatehouse.SecretUse, err error) {
			var secret pgtype.UUID
			var at pgtype.Timestamptz
			var addr string
			err = row.Scan(&secret, &u.Count, &at, &addr)
			u.Secret, u.At = idOf(secret), timeOf(at)
			u.Addr, _ = netip.ParseAddr(addr) // none is the zero Addr
			return u, err
		})
		return err
	})
	return uses, err
}

// UseSecrets implements gatehouse.Store. Secrets that no client has are passed
// over: one of them must not lose the others' uses. Counts are statistics, so
// that this takes no gate; rows are locked in order of their ids.
func (s *Store) UseSecrets(ctx context.Context, uses []gatehouse.SecretUse) error {
	if len(uses) == 0 {
		return nil
	}
	n := len(uses)
	ids, counts, times, addrs := make([]pgtype.UUID, n), make([]int64, n), make([]pgtype.Timestamptz, n), make([]pgtype.Text, n)
	for i, u := range uses {
		ids[i], counts[i], times[i], addrs[i] = uuid(u.Secret), u.Count, moment(u.At), addrText(u.Addr)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, groupTimeout, errSlow)
	defer cancel()
	_, err := s.reads.Exec(ctx, `INSERT INTO secret_uses AS s (secret, count, at, addr)
		SELECT secret, sum(count), max(at), (array_agg(addr ORDER BY at DESC NULLS LAST))[1]
		FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[]) AS u (secret, count, at, addr)
		JOIN secrets k ON k.id = u.secret GROUP BY secret ORDER BY secret
		ON CONFLICT (secret) DO UPDATE SET count = s.count + excluded.count,
			addr = CASE WHEN s.at IS NULL OR excluded.at > s.at THEN excluded.addr ELSE s.addr END,
			at = greatest(s.at, excluded.at)`, ids, counts, times, addrs)
	return commitFailed(because(ctx, err))
}
