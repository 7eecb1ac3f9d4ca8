package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// Keep implements gatehouse.Store.
func (s *Store) Keep(ctx context.Context, act *gatehouse.Act, docs ...gatehouse.Document) error {
	for i := range docs {
		if err := docs[i].Check(); err != nil {
			return err
		}
	}
	return s.actOrWrite(ctx, act, func(w *writer) error {
		for i := range docs { // all is checked before anything is written
			if err := w.checkDocument(&docs[i], docs[:i]); err != nil {
				return err
			}
		}
		for i := range docs {
			if err := w.keep(&docs[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// actOrWrite is act where there is one, and a write without an event where act
// is nil.
func (s *Store) actOrWrite(ctx context.Context, act *gatehouse.Act, fn func(*writer) error) error {
	if act == nil {
		return s.write(ctx, fn)
	}
	return s.act(ctx, *act, func(w *writer) (bool, error) { return true, fn(w) })
}

// checkDocument refuses a document that can't be kept over the one that is
// stored, or that is given twice.
func (w *writer) checkDocument(d *gatehouse.Document, earlier []gatehouse.Document) error {
	for i := range earlier {
		if earlier[i].Kind == d.Kind && earlier[i].Key == d.Key {
			return fmt.Errorf("document %s %s is given twice: %w", d.Kind, d.Key, gatehouse.ErrConflict)
		}
	}
	there, err := readDocument(w.conn, d.Kind, d.Key)
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
func (w *writer) keep(d *gatehouse.Document) error {
	w.wrote = true
	return w.conn.run(`INSERT INTO documents (kind, key, owner, value, version, expires) VALUES (?, ?, ?, ?, 1, ?)
		ON CONFLICT DO UPDATE SET owner = excluded.owner, value = excluded.value, version = version + 1, expires = excluded.expires`,
		d.Kind, d.Key, d.Owner, d.Value, d.ExpiresAt)
}

// Document implements gatehouse.Store.
func (s *Store) Document(ctx context.Context, kind, key string) (*gatehouse.Document, error) {
	var found *gatehouse.Document
	err := s.read(ctx, func(v *view) (err error) {
		found, err = readDocument(v.conn, kind, key)
		if err == nil && found == nil {
			err = fmt.Errorf("document %s %s: %w", kind, key, gatehouse.ErrNotFound)
		}
		return err
	})
	return found, err
}

// Documents implements gatehouse.Store.
func (s *Store) Documents(ctx context.Context, kind, owner, after string, limit int) ([]gatehouse.Document, error) {
	query, args := documentQuery, []any{kind, time.Now()}
	if after != "" {
		query, args = query+" AND key > ?", append(args, after)
	}
	if owner != "" {
		query, args = query+" AND owner = ?", append(args, owner)
	}
	var found []gatehouse.Document
	err := s.read(ctx, func(v *view) error {
		return v.conn.rows(query+" ORDER BY key LIMIT ?", func(st *sqlite.Stmt) error {
			found = append(found, scanDocument(st))
			return nil
		}, append(args, limit)...)
	})
	return found, err
}

// Take implements gatehouse.Store.
func (s *Store) Take(ctx context.Context, act *gatehouse.Act, kind, key string) (*gatehouse.Document, error) {
	var taken *gatehouse.Document
	err := s.actOrWrite(ctx, act, func(w *writer) error {
		found, err := readDocument(w.conn, kind, key)
		if err != nil {
			return err
		}
		if found == nil {
			return fmt.Errorf("document %s %s: %w", kind, key, gatehouse.ErrNotFound)
		}
		taken, w.wrote = found, true
		return w.conn.run("DELETE FROM documents WHERE kind = ? AND key = ?", kind, key)
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// documentQuery selects those of a kind that have not expired.
const documentQuery = "SELECT kind, key, owner, value, version, expires FROM documents WHERE kind = ? AND (expires IS NULL OR expires > ?) "

// readDocument returns a document that has not expired, or nil.
func readDocument(c *conn, kind, key string) (found *gatehouse.Document, err error) {
	err = c.rows(documentQuery+"AND key = ?", func(st *sqlite.Stmt) error {
		one := scanDocument(st)
		found = &one
		return nil
	}, kind, time.Now(), key)
	return found, err
}

func scanDocument(st *sqlite.Stmt) gatehouse.Document {
	return gatehouse.Document{
		Kind: st.ColumnText(0), Key: st.ColumnText(1), Owner: st.ColumnText(2), Value: columnBlob(st, 3),
		Version: st.ColumnInt64(4), ExpiresAt: columnTime(st, 5),
	}
}
