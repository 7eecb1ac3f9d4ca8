package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// A row is a token's record with what only the store knows of it.
type row struct {
	gatehouse.TokenRecord
	span   int16
	writer int64
	group  int64
	cutoff time.Time // of the client in the token's environment
	epoch  time.Time
}

// rowQuery reads rows; conditions follow it. The joins are outer ones so that a
// row whose other half is gone shows as damaged instead of not at all.
const rowQuery = `SELECT t.id, c.id, t.kind, t.environment, t.dialect, coalesce(t.scopes, ''), coalesce(t.audience, ''), t.name, t.subject,
	t.secret, t.family, t.parent, t.digest, t.issued, t.expires, x.before, meta.epoch, t.span, t.writer, t.grp
	FROM tokens t CROSS JOIN meta
	LEFT JOIN clients c ON c.n = t.client
	LEFT JOIN cutoffs x ON x.client = t.client AND x.environment = t.environment
	`

// scanRow reads a row of rowQuery. It returns an error of its own for one that
// this package didn't write so.
func scanRow(from pgx.CollectableRow) (*row, error) {
	r := &row{}
	var id, secret, family, parent pgtype.UUID
	var client pgtype.Text
	var scopes, audience string
	var name, user []byte
	var issued, expires, cutoff, epoch pgtype.Timestamptz
	err := from.Scan(&id, &client, &r.Kind, &r.Environment, &r.Dialect, &scopes, &audience, &name, &user,
		&secret, &family, &parent, &r.Digest, &issued, &expires, &cutoff, &epoch, &r.span, &r.writer, &r.group)
	if err != nil {
		return nil, err
	}
	r.ID, r.Client, r.Secret, r.Grant, r.Parent = idOf(id), gatehouse.ClientID(client.String), idOf(secret), idOf(family), idOf(parent)
	r.Scopes, r.Audience, r.Name, r.User = splitList(scopes), splitList(audience), string(name), string(user)
	r.IssuedAt, r.ExpiresAt, r.cutoff, r.epoch = timeOf(issued), timeOf(expires), timeOf(cutoff), timeOf(epoch)
	return r, nil
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

// cut shows a token that a cutoff or the epoch ended as revoked at that moment.
func (r *row) cut() {
	moment := later(r.cutoff, r.epoch)
	if r.RevokedAt.IsZero() && !r.IssuedAt.After(moment) && !r.expired(moment) {
		r.RevokedAt = moment
	}
}

// expired reports whether the token's own time is over at now.
func (r *row) expired(now time.Time) bool {
	return !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now)
}

// bucket is where the row is.
func (r *row) bucket() bucket { return bucketAt(r.span, r.ExpiresAt) }

// findRow returns the row with this id and its marks, or nil. Marks are read
// after the row, so that they are never older.
func findRow(ctx context.Context, q queries, id gatehouse.TokenID) (found *row, err error) {
	b := &pgx.Batch{}
	b.Queue(rowQuery+"WHERE t.id = $1", uuid(id)).Query(func(rows pgx.Rows) error {
		found, err = pgx.CollectExactlyOneRow(rows, scanRow)
		if errors.Is(err, pgx.ErrNoRows) {
			found, err = nil, nil
		}
		return err
	})
	b.Queue("SELECT token, revoked, at FROM marks WHERE token = $1", uuid(id)).Query(func(rows pgx.Rows) error {
		if found == nil {
			return nil
		}
		return readMarks(rows, map[gatehouse.TokenID]*row{id: found})
	})
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	return found, nil
}

// addMarks reads the marks of rows.
func addMarks(ctx context.Context, q queries, found []*row) error {
	if len(found) == 0 {
		return nil
	}
	at := map[gatehouse.TokenID]*row{}
	ids, spans, expires := make([]pgtype.UUID, len(found)), make([]int16, len(found)), make([]pgtype.Timestamptz, len(found))
	for i, r := range found {
		at[r.ID] = r
		ids[i], spans[i], expires[i] = uuid(r.ID), r.span, expiry(r.ExpiresAt)
	}
	rows, err := q.Query(ctx, `SELECT m.token, m.revoked, m.at FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[]) AS r (id, span, expires)
		JOIN marks m ON m.token = r.id AND m.span = r.span AND m.expires = r.expires`, ids, spans, expires)
	if err != nil {
		return err
	}
	return readMarks(rows, at)
}

func readMarks(rows pgx.Rows, to map[gatehouse.TokenID]*row) error {
	var id pgtype.UUID
	var revoked bool
	var at pgtype.Timestamptz
	_, err := pgx.ForEachRow(rows, []any{&id, &revoked, &at}, func() error {
		if revoked {
			to[idOf(id)].RevokedAt = timeOf(at)
		} else {
			to[idOf(id)].SpentAt = timeOf(at)
		}
		return nil
	})
	return err
}

// Token implements gatehouse.Store. A token that its client's cutoff or the
// epoch ended shows that moment as RevokedAt.
func (s *Store) Token(ctx context.Context, id gatehouse.TokenID) (*gatehouse.TokenRecord, error) {
	var found *row
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) (err error) {
		found, err = findRow(ctx, q, id)
		if err == nil && found == nil {
			err = fmt.Errorf("token %s: %w", id, gatehouse.ErrNotFound)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	found.cut()
	return &found.TokenRecord, nil
}
