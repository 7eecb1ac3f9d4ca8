package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/commitgroup"
)

// Keep implements gatehouse.Store.
func (s *Store) Keep(ctx context.Context, act *gatehouse.Act, docs ...gatehouse.Document) error {
	for i := range docs {
		if err := docs[i].Check(); err != nil {
			return err
		}
	}
	return s.actOrChange(ctx, act, func(t *actTx) error {
		for i := range docs { // all is checked before anything is written
			if err := t.checkDocument(&docs[i], docs[:i]); err != nil {
				return err
			}
		}
		for i := range docs {
			if err := t.keep(&docs[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// actOrChange is act where there is one, and a change without an event where
// act is nil.
func (s *Store) actOrChange(ctx context.Context, act *gatehouse.Act, fn change) error {
	if act == nil {
		return s.acts.Commit(ctx, fn, commitgroup.Wait{Patience: answerWithin})
	}
	return s.act(ctx, *act, func(t *actTx) (bool, error) { return true, fn(t) })
}

// checkDocument refuses a document that can't be kept over the one that is
// stored, or that is given twice. The gate keeps every other change out, so
// what was read stays so until the group has committed.
func (t *actTx) checkDocument(d *gatehouse.Document, earlier []gatehouse.Document) error {
	for i := range earlier {
		if earlier[i].Kind == d.Kind && earlier[i].Key == d.Key {
			return fmt.Errorf("document %s %s is given twice: %w", d.Kind, d.Key, gatehouse.ErrConflict)
		}
	}
	there, err := readDocument(t.ctx, t.tx, d.Kind, d.Key)
	switch {
	case err != nil:
		return err
	case there != nil && d.Version == 0:
		return fmt.Errorf("document %s %s: %w", d.Kind, d.Key, gatehouse.ErrExists)
	case d.Version != 0 && (there == nil || there.Version != d.Version):
		return fmt.Errorf("document %s %s: %w", d.Kind, d.Key, gatehouse.ErrConflict)
	}
	return nil
}

// keep writes a document over whatever has its key: the version that was read,
// or one that has expired.
func (t *actTx) keep(d *gatehouse.Document) error {
	return t.exec(`INSERT INTO documents AS d (kind, key, owner, value, version, expires) VALUES ($1, $2, $3, $4, 1, $5)
		ON CONFLICT (kind, key) DO UPDATE SET owner = excluded.owner, value = excluded.value, version = d.version + 1, expires = excluded.expires`,
		d.Kind, d.Key, text(d.Owner), d.Value, moment(d.ExpiresAt))
}

// Document implements gatehouse.Store.
func (s *Store) Document(ctx context.Context, kind, key string) (*gatehouse.Document, error) {
	var found *gatehouse.Document
	if storable(kind, key) == nil { // no other was ever kept
		err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) (err error) {
			found, err = readDocument(ctx, q, kind, key)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if found == nil {
		return nil, fmt.Errorf("document %s %q: %w", kind, key, gatehouse.ErrNotFound)
	}
	return found, nil
}

// Documents implements gatehouse.Store.
func (s *Store) Documents(ctx context.Context, kind, owner, after string, limit int) ([]gatehouse.Document, error) {
	if storable(kind, owner, after) != nil {
		return nil, nil
	}
	w := &where{}
	w.add("kind = ?", kind)
	w.add("(expires IS NULL OR expires > ?)", moment(time.Now()))
	if after != "" {
		w.add("key > ?", after)
	}
	if owner != "" {
		w.add("owner = ?", owner)
	}
	var found []gatehouse.Document
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) error {
		rows, err := q.Query(ctx, fmt.Sprintf("%s %s ORDER BY key LIMIT %d", documentQuery, w.clause(), limit), w.args...)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, scanDocument)
		return err
	})
	return found, err
}

// Take implements gatehouse.Store.
func (s *Store) Take(ctx context.Context, act *gatehouse.Act, kind, key string) (*gatehouse.Document, error) {
	if storable(kind, key) != nil {
		return nil, fmt.Errorf("document %s %q: %w", kind, key, gatehouse.ErrNotFound)
	}
	var taken *gatehouse.Document
	err := s.actOrChange(ctx, act, func(t *actTx) error {
		found, err := readDocument(t.ctx, t.tx, kind, key)
		if err != nil {
			return err
		}
		if found == nil {
			return fmt.Errorf("document %s %s: %w", kind, key, gatehouse.ErrNotFound)
		}
		taken = found
		return t.exec("DELETE FROM documents WHERE kind = $1 AND key = $2", kind, key)
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

const documentQuery = "SELECT kind, key, owner, value, version, expires FROM documents"

// readDocument returns a document that has not expired, or nil.
func readDocument(ctx context.Context, q queries, kind, key string) (*gatehouse.Document, error) {
	rows, err := q.Query(ctx, documentQuery+" WHERE kind = $1 AND key = $2 AND (expires IS NULL OR expires > $3)", kind, key, moment(time.Now()))
	if err != nil {
		return nil, err
	}
	one, err := pgx.CollectExactlyOneRow(rows, scanDocument)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &one, nil
}

func scanDocument(row pgx.CollectableRow) (d gatehouse.Document, err error) {
	var owner pgtype.Text
	var expires pgtype.Timestamptz
	err = row.Scan(&d.Kind, &d.Key, &owner, &d.Value, &d.Version, &expires)
	d.Owner, d.ExpiresAt = owner.String, timeOf(expires)
	return d, err
}
