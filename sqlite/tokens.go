package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// Token implements gatehouse.Store. A token that its client's cutoff or the
// epoch ended shows that moment as RevokedAt.
func (s *Store) Token(ctx context.Context, id gatehouse.TokenID) (*gatehouse.TokenRecord, error) {
	var found *gatehouse.TokenRecord
	err := s.read(ctx, func(v *view) error {
		r, err := findRow(v.conn, lookIn(v.parts, id), id)
		if err != nil {
			return err
		}
		if r == nil {
			return fmt.Errorf("token %s: %w", id, gatehouse.ErrNotFound)
		}
		r.cut(v.epoch)
		found = &r.TokenRecord
		return nil
	})
	return found, err
}

// listLimit is the longest list that one call returns.
const listLimit = 1_000

// Tokens implements gatehouse.Store.
func (s *Store) Tokens(ctx context.Context, q gatehouse.TokenQuery) ([]gatehouse.TokenRecord, error) {
	limit := q.Limit
	if limit <= 0 || limit > listLimit {
		limit = listLimit
	}
	var found []gatehouse.TokenRecord
	err := s.read(ctx, func(v *view) error {
		for _, p := range newestFirst(v.parts, q) {
			if len(found) == limit && bytes.Compare(p.high[:], found[limit-1].ID[:]) < 0 {
				break
			}
			rows, err := p.list(v, q, limit)
			if err != nil {
				return err
			}
			found = mergeNewest(found, rows, limit)
		}
		return nil
	})
	return found, err
}

// listed is a partition with the highest id in it when the list was begun.
type listed struct {
	*partition
	high gatehouse.TokenID
}

// newestFirst is the partitions that may have rows for q, in the order in
// which their newest rows come.
func newestFirst(parts []*partition, q gatehouse.TokenQuery) []listed {
	var found []listed
	for _, p := range parts {
		ids, families := p.ids.Load(), p.families.Load()
		switch {
		case !q.Before.IsZero() && !ids.reaches(q.Before):
		case !q.Grant.IsZero() && !families.holds(q.Grant):
		case q.Status == gatehouse.StatusActive && p.expiredBy(q.Now):
		default:
			found = append(found, listed{p, ids.newest()})
		}
	}
	slices.SortFunc(found, func(a, b listed) int { return bytes.Compare(b.high[:], a.high[:]) })
	return found
}

// mergeNewest merges two lists that are newest first, and keeps limit of them.
func mergeNewest(a, b []gatehouse.TokenRecord, limit int) []gatehouse.TokenRecord {
	out := make([]gatehouse.TokenRecord, 0, min(limit, len(a)+len(b)))
	for len(out) < cap(out) {
		if len(b) == 0 || len(a) > 0 && bytes.Compare(a[0].ID[:], b[0].ID[:]) > 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return out
}

// list returns the partition's newest rows that q selects.
func (p *partition) list(v *view, q gatehouse.TokenQuery, limit int) ([]gatehouse.TokenRecord, error) {
	where, args := conditions(v, q)
	var found []gatehouse.TokenRecord
	err := v.conn.rows(p.on(rowQuery+where+" ORDER BY t.id DESC LIMIT ?"), func(st *sqlite.Stmt) error {
		r, err := scanRow(st, p)
		if err != nil {
			return err
		}
		r.cut(v.epoch)
		found = append(found, r.TokenRecord)
		return nil
	}, append(args, limit)...)
	return found, err
}

// conditions are the WHERE clause of q on rowQuery.
func conditions(v *view, q gatehouse.TokenQuery) (string, []any) {
	where, args := []string{"true"}, []any(nil)
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if q.Client != "" {
		add("t.client = (SELECT n FROM clients WHERE id = ?)", string(q.Client))
	}
	if q.Environment != "" {
		add("s.environment = ?", string(q.Environment))
	}
	if q.Name != "" {
		add("t.name = ?", q.Name)
	}
	if !q.Grant.IsZero() {
		add("t.family = ?", q.Grant)
	}
	if !q.Before.IsZero() {
		add("t.id < ?", q.Before)
	}
	if len(q.Kinds) > 0 {
		kinds := make([]any, len(q.Kinds))
		for i, k := range q.Kinds {
			kinds[i] = string(k)
		}
		add("s.kind IN (?"+strings.Repeat(", ?", len(kinds)-1)+")", kinds...)
	}
	// What row.cut and row.expired say, in SQL.
	const (
		moment  = "max(coalesce(x.before, -1), ?)"
		revoked = "(revoked.at IS NOT NULL OR t.issued <= " + moment + " AND (t.expires IS NULL OR t.expires * 1000 > " + moment + "))"
		expired = "(t.expires IS NOT NULL AND t.expires * 1000 <= ?)"
	)
	epoch, now := epochMillis(v.epoch), q.Now.UnixMilli()
	switch q.Status {
	case gatehouse.StatusRevoked:
		add(revoked, epoch, epoch)
	case gatehouse.StatusExpired:
		add("NOT "+revoked+" AND "+expired, epoch, epoch, now)
	case gatehouse.StatusActive:
		add("NOT "+revoked+" AND NOT "+expired, epoch, epoch, now)
	}
	return "WHERE " + strings.Join(where, " AND "), args
}

// epochMillis is the epoch as SQL compares it: -1 where there is none.
func epochMillis(epoch time.Time) int64 {
	if epoch.IsZero() {
		return -1
	}
	return epoch.UnixMilli()
}
