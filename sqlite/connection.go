package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// Link implements gatehouse.Store. The code is recorded under the conditions
// of Record.
func (s *Store) Link(ctx context.Context, act gatehouse.Act, c *gatehouse.Connection, code *gatehouse.Grant) error {
	if err := checkGrant(code); err != nil {
		return err
	}
	return s.act(ctx, act, func(w *writer) (bool, error) {
		found, err := w.checkRecord(code)
		if err != nil {
			return false, err
		}
		other, err := readConnection(w.conn, c.ID)
		if err != nil {
			return false, err
		}
		if other != nil {
			return false, fmt.Errorf("connection %s: %w", c.ID, gatehouse.ErrExists)
		}
		owner, err := w.client(c.Client)
		if err != nil {
			return false, err
		}
		if owner == nil {
			return false, fmt.Errorf("client %s: %w", c.Client, gatehouse.ErrNotFound)
		}
		if err := w.conn.run(`INSERT INTO connections (id, client, environment, user, user_secret, token, created, delinked)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			c.ID, owner.n, string(c.Environment), c.User, c.UserSecret, c.Token, c.CreatedAt, c.DelinkedAt); err != nil {
			return false, err
		}
		return true, w.writeGrant(code, found)
	})
}

const connectionQuery = `SELECT n.id, c.id, n.environment, n.user, n.user_secret, n.token, n.created, n.delinked
	FROM connections n JOIN clients c ON c.n = n.client `

func scanConnection(st *sqlite.Stmt) gatehouse.Connection {
	return gatehouse.Connection{
		ID: columnID(st, 0), Client: gatehouse.ClientID(st.ColumnText(1)), Environment: gatehouse.Environment(st.ColumnText(2)),
		User: st.ColumnText(3), UserSecret: columnBlob(st, 4), Token: columnID(st, 5),
		CreatedAt: columnTime(st, 6), DelinkedAt: columnTime(st, 7),
	}
}

// readConnection returns a connection, or nil.
func readConnection(c *conn, id gatehouse.ConnectionID) (found *gatehouse.Connection, err error) {
	err = c.rows(connectionQuery+"WHERE n.id = ?", func(st *sqlite.Stmt) error {
		one := scanConnection(st)
		found = &one
		return nil
	}, id)
	return found, err
}

// Connection implements gatehouse.Store.
func (s *Store) Connection(ctx context.Context, id gatehouse.ConnectionID) (*gatehouse.Connection, error) {
	var found *gatehouse.Connection
	err := s.read(ctx, func(v *view) (err error) {
		found, err = readConnection(v.conn, id)
		if err == nil && found == nil {
			err = fmt.Errorf("connection %s: %w", id, gatehouse.ErrNotFound)
		}
		return err
	})
	return found, err
}

// Connections implements gatehouse.Store.
func (s *Store) Connections(ctx context.Context, q gatehouse.ConnectionQuery) ([]gatehouse.Connection, error) {
	query, args := connectionQuery+"WHERE true", []any(nil)
	if q.Client != "" {
		query, args = query+" AND n.client = (SELECT n FROM clients WHERE id = ?)", append(args, string(q.Client))
	}
	if q.Environment != "" {
		query, args = query+" AND n.environment = ?", append(args, string(q.Environment))
	}
	if q.User != "" {
		query, args = query+" AND n.user = ?", append(args, q.User)
	}
	if q.Linked {
		query += " AND n.delinked IS NULL"
	}
	if !q.Before.IsZero() {
		query, args = query+" AND n.id < ?", append(args, q.Before)
	}
	var found []gatehouse.Connection
	err := s.read(ctx, func(v *view) error {
		return v.conn.rows(query+" ORDER BY n.id DESC LIMIT ?", func(st *sqlite.Stmt) error {
			found = append(found, scanConnection(st))
			return nil
		}, append(args, q.Limit)...)
	})
	return found, err
}
