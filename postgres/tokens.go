package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse"
)

// listLimit is the longest list that one call returns.
const listLimit = 1_000

// Tokens implements gatehouse.Store.
func (s *Store) Tokens(ctx context.Context, q gatehouse.TokenQuery) ([]gatehouse.TokenRecord, error) {
	limit := q.Limit
	if limit <= 0 || limit > listLimit {
		limit = listLimit
	}
	if storable(string(q.Client), string(q.Environment)) != nil {
		return nil, nil // nobody is called so
	}
	w := conditions(q)
	query := rowQuery + w.clause() + fmt.Sprintf(" ORDER BY t.id DESC LIMIT $%d", len(w.args)+1)
	var found []*row
	err := s.read(ctx, longTimeout, func(ctx context.Context, q queries) error {
		rows, err := q.Query(ctx, query, append(w.args, limit)...)
		if err != nil {
			return err
		}
		if found, err = pgx.CollectRows(rows, scanRow); err != nil {
			return err
		}
		return addMarks(ctx, q, found)
	})
	if err != nil {
		return nil, err
	}
	out := make([]gatehouse.TokenRecord, len(found))
	for i, r := range found {
		r.cut()
		out[i] = r.TokenRecord
	}
	return out, nil
}

// conditions are what q asks of rowQuery's rows.
func conditions(q gatehouse.TokenQuery) *where {
	w := &where{}
	if q.Client != "" {
		w.add("t.client = (SELECT n FROM clients WHERE id = ?)", string(q.Client))
	}
	if q.Environment != "" {
		w.add("t.environment = ?", string(q.Environment))
	}
	if q.Name != "" {
		w.add("t.name = ?", []byte(q.Name))
	}
	if !q.Grant.IsZero() {
		w.add("t.family = ?", uuid(q.Grant))
	}
	if !q.Before.IsZero() {
		w.add("t.id < ?", uuid(q.Before))
	}
	if len(q.Kinds) > 0 {
		kinds := make([]string, len(q.Kinds))
		for i, k := range q.Kinds {
			kinds[i] = string(k)
		}
		w.add("t.kind = ANY (?::text[])", kinds)
	}
	// What row.cut and row.expired say, in SQL.
	const revoked = `coalesce(EXISTS (SELECT FROM marks m WHERE m.token = t.id AND m.revoked AND m.span = t.span AND m.expires = t.expires)
		OR t.issued <= greatest(x.before, meta.epoch) AND t.expires > greatest(x.before, meta.epoch), false)`
	switch q.Status {
	case gatehouse.StatusRevoked:
		w.add(revoked)
	case gatehouse.StatusExpired:
		w.add("t.expires <= ? AND NOT "+revoked, moment(q.Now))
	case gatehouse.StatusActive:
		w.add("t.expires > ? AND NOT "+revoked, moment(q.Now))
	}
	return w
}
