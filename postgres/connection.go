package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// Link implements gatehouse.Store. The code is recorded under the conditions
// of Record.
func (s *Store) Link(ctx context.Context, act gatehouse.Act, c *gatehouse.Connection, code *gatehouse.Grant) error {
	if err := checkGrant(code); err != nil {
		return err
	}
	if err := storable(string(c.Client), string(c.Environment)); err != nil {
		return err
	}
	if err := s.makeRoom(ctx, code); err != nil {
		return err
	}
	return s.act(ctx, act, func(t *actTx) (bool, error) {
		other, err := readConnection(t.ctx, t.tx, c.ID)
		if err != nil {
			return false, err
		}
		if other != nil {
			return false, fmt.Errorf("connection %s: %w", c.ID, gatehouse.ErrExists)
		}
		var owner int64
		err = t.tx.QueryRow(t.ctx, "SELECT n FROM clients WHERE id = $1", string(c.Client)).Scan(&owner)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, fmt.Errorf("client %s: %w", c.Client, gatehouse.ErrNotFound)
		}
		if err != nil {
			return false, err
		}
		if err := t.record(code); err != nil {
			return false, err
		}
		return true, t.exec(`INSERT INTO connections (id, client, environment, subject, user_secret, token, created, delinked)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			uuid(c.ID), owner, string(c.Environment), octets(c.User), c.UserSecret, uuid(c.Token), moment(c.CreatedAt), moment(c.DelinkedAt))
	})
}

const connectionQuery = `SELECT n.id, c.id, n.environment, n.subject, n.user_secret, n.token, n.created, n.delinked
	FROM connections n JOIN clients c ON c.n = n.client `

func scanConnection(row pgx.CollectableRow) (c gatehouse.Connection, err error) {
	var id, tok pgtype.UUID
	var user []byte
	var created, delinked pgtype.Timestamptz
	err = row.Scan(&id, &c.Client, &c.Environment, &user, &c.UserSecret, &tok, &created, &delinked)
	c.ID, c.User, c.Token, c.CreatedAt, c.DelinkedAt = idOf(id), string(user), idOf(tok), timeOf(created), timeOf(delinked)
	return c, err
}

// readConnection returns a connection, or nil.
func readConnection(ctx context.Context, q queries, id gatehouse.ConnectionID) (*gatehouse.Connection, error) {
	rows, err := q.Query(ctx, connectionQuery+"WHERE n.id = $1", uuid(id))
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectExactlyOneRow(rows, scanConnection)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &found, err
}

// Connection implements gatehouse.Store.
func (s *Store) Connection(ctx context.Context, id gatehouse.ConnectionID) (*gatehouse.Connection, error) {
	var found *gatehouse.Connection
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) (err error) {
		found, err = readConnection(ctx, q, id)
		if err == nil && found == nil {
			err = fmt.Errorf("connection %s: %w", id, gatehouse.ErrNotFound)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Connections implements gatehouse.Store.
func (s *Store) Connections(ctx context.Context, q gatehouse.ConnectionQuery) ([]gatehouse.Connection, error) {
	var w where
	if q.Client != "" {
		w.add("n.client = (SELECT n FROM clients WHERE id = ?)", string(q.Client))
	}
	if q.Environment != "" {
		w.add("n.environment = ?", string(q.Environment))
	}
	if q.User != "" {
		w.add("n.subject = ?", octets(q.User))
	}
	if q.Linked {
		w.add("n.delinked IS NULL")
	}
	if !q.Before.IsZero() {
		w.add("n.id < ?", uuid(q.Before))
	}
	var found []gatehouse.Connection
	err := s.read(ctx, longTimeout, func(ctx context.Context, db queries) error {
		rows, err := db.Query(ctx, connectionQuery+w.clause()+fmt.Sprintf(" ORDER BY n.id DESC LIMIT $%d", len(w.args)+1), append(w.args, q.Limit)...)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, scanConnection)
		return err
	})
	return found, err
}
