package sqlite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/clientjson"
)

// clientState is what the writer remembers of a client: what a grant is
// checked against.
type clientState struct {
	n       int64
	state   gatehouse.ClientState
	cutoffs map[gatehouse.Environment]time.Time
	secrets map[gatehouse.SecretID]secretState
}

type secretState struct {
	n           int64
	environment gatehouse.Environment
	live        bool
}

func (c *clientState) liveSecret(id gatehouse.SecretID, env gatehouse.Environment) bool {
	s, ok := c.secrets[id]
	return ok && s.live && s.environment == env
}

// keptClients bounds the writer's memory of clients, at about 1 KiB each.
const keptClients = 16_384

// client returns what the writer knows of a client, or nil where there is none.
func (w *writer) client(id gatehouse.ClientID) (*clientState, error) {
	if c, ok := w.clients[id]; ok {
		return c, nil
	}
	n, full, err := readClient(w.conn, id)
	if err != nil || full == nil {
		return nil, err
	}
	c := &clientState{n: n, state: full.State, cutoffs: full.RevokedBefore, secrets: map[gatehouse.SecretID]secretState{}}
	err = w.conn.rows("SELECT id, n FROM secrets WHERE client = ?", func(st *sqlite.Stmt) error {
		c.secrets[columnID(st, 0)] = secretState{n: st.ColumnInt64(1)} // not live, until the client says so
		return nil
	}, n)
	if err != nil {
		return nil, err
	}
	for _, s := range full.Secrets {
		c.secrets[s.ID] = secretState{c.secrets[s.ID].n, s.Environment, s.Live()}
	}
	if len(w.clients) >= keptClients {
		for old := range w.clients {
			delete(w.clients, old)
			break
		}
	}
	w.clients[id] = c
	return c, nil
}

// SaveClient implements gatehouse.Store.
func (s *Store) SaveClient(ctx context.Context, act gatehouse.Act, c *gatehouse.Client) error {
	body, err := clientjson.Marshal(c)
	if err != nil {
		return err
	}
	return s.act(ctx, act, func(w *writer) (bool, error) { return true, w.saveClient(act.At, c, body) })
}

func (w *writer) saveClient(at time.Time, c *gatehouse.Client, body string) error {
	n, old, err := readClient(w.conn, c.ID)
	switch {
	case err != nil:
		return err
	case old != nil && c.Version == 0:
		return fmt.Errorf("client %s: %w", c.ID, gatehouse.ErrExists)
	case c.Version != 0 && (old == nil || c.Version != old.Version):
		return fmt.Errorf("client %s: %w", c.ID, gatehouse.ErrConflict)
	}
	ids := slices.Sorted(maps.Values(c.IDs))
	ids = slices.Compact(append(ids, c.ID))
	if err := w.checkIDs(n, ids, c.Secrets); err != nil {
		return err
	}
	if old == nil {
		if err := w.conn.run("INSERT INTO clients (id, version, body) VALUES (?, 1, ?)", string(c.ID), body); err != nil {
			return err
		}
		n = w.conn.LastInsertRowID()
	} else if err := w.conn.run("UPDATE clients SET version = version + 1, body = ? WHERE n = ?", body, n); err != nil {
		return err
	}
	for _, id := range ids {
		if err := w.conn.run("INSERT INTO client_ids (id, client) VALUES (?, ?) ON CONFLICT DO NOTHING", string(id), n); err != nil {
			return err
		}
	}
	for _, secret := range c.Secrets {
		if err := w.conn.run("INSERT INTO secrets (id, client) VALUES (?, ?) ON CONFLICT DO NOTHING", secret.ID, n); err != nil {
			return err
		}
	}
	if err := w.saveCutoffs(n, c.RevokedBefore); err != nil {
		return err
	}
	return w.clientChanged(at, c.ID)
}

// checkIDs refuses ids and secrets that belong to another client than n.
func (w *writer) checkIDs(n int64, ids []gatehouse.ClientID, secrets []gatehouse.ClientSecret) error {
	for _, id := range ids {
		owner, err := w.owner("SELECT client FROM client_ids WHERE id = ?", string(id))
		if err != nil {
			return err
		}
		if owner != 0 && owner != n {
			return fmt.Errorf("client id %s: %w", id, gatehouse.ErrExists)
		}
	}
	for _, secret := range secrets {
		owner, err := w.owner("SELECT client FROM secrets WHERE id = ?", secret.ID)
		if err != nil {
			return err
		}
		if owner != 0 && owner != n {
			return fmt.Errorf("client secret %s: %w", secret.ID, gatehouse.ErrExists)
		}
	}
	return nil
}

// owner returns the one number that the query selects, or 0.
func (w *writer) owner(query string, arg any) (n int64, err error) {
	err = w.conn.rows(query, func(st *sqlite.Stmt) error { n = st.ColumnInt64(0); return nil }, arg)
	return n, err
}

// saveCutoffs moves cutoffs forward. They never go back: what was revoked
// stays revoked.
func (w *writer) saveCutoffs(client int64, cutoffs map[gatehouse.Environment]time.Time) error {
	for env, before := range cutoffs {
		if before.IsZero() {
			continue
		}
		if err := w.conn.run(`INSERT INTO cutoffs (client, environment, before) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET before = max(before, excluded.before)`, client, string(env), before); err != nil {
			return err
		}
	}
	return nil
}

// clientChanged tells everybody, the writer's own memory first.
func (w *writer) clientChanged(at time.Time, id gatehouse.ClientID) error {
	delete(w.clients, id)
	_, err := w.journal(gatehouse.Entry{At: at, Kind: gatehouse.EntryClientChanged, Client: id})
	return err
}

// Client implements gatehouse.Store.
func (s *Store) Client(ctx context.Context, id gatehouse.ClientID) (*gatehouse.Client, error) {
	var found *gatehouse.Client
	err := s.read(ctx, func(v *view) (err error) {
		_, found, err = readClient(v.conn, id)
		if err == nil && found == nil {
			err = fmt.Errorf("client %s: %w", id, gatehouse.ErrNotFound)
		}
		return err
	})
	return found, err
}

// readClient returns a client and its number, or nil.
func readClient(c *conn, id gatehouse.ClientID) (n int64, found *gatehouse.Client, err error) {
	err = c.rows("SELECT n, version, body FROM clients WHERE id = ?", func(st *sqlite.Stmt) (err error) {
		n = st.ColumnInt64(0)
		found, err = clientjson.Unmarshal(id, st.ColumnInt64(1), st.ColumnText(2))
		return err
	}, string(id))
	if err != nil || found == nil {
		return 0, nil, err
	}
	err = c.rows("SELECT environment, before FROM cutoffs WHERE client = ?", func(st *sqlite.Stmt) error {
		addCutoff(found, gatehouse.Environment(st.ColumnText(0)), columnTime(st, 1))
		return nil
	}, n)
	return n, found, err
}

func addCutoff(c *gatehouse.Client, env gatehouse.Environment, before time.Time) {
	if c.RevokedBefore == nil {
		c.RevokedBefore = map[gatehouse.Environment]time.Time{}
	}
	c.RevokedBefore[env] = before
}

// readClients returns all of them, in the order in which they were made.
func readClients(c *conn) ([]gatehouse.Client, error) {
	var all []gatehouse.Client
	index := map[int64]int{}
	err := c.rows("SELECT id, version, body, n FROM clients ORDER BY n", func(st *sqlite.Stmt) error {
		one, err := clientjson.Unmarshal(gatehouse.ClientID(st.ColumnText(0)), st.ColumnInt64(1), st.ColumnText(2))
		if err != nil {
			return err
		}
		index[st.ColumnInt64(3)] = len(all)
		all = append(all, *one)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.rows("SELECT client, environment, before FROM cutoffs", func(st *sqlite.Stmt) error {
		addCutoff(&all[index[st.ColumnInt64(0)]], gatehouse.Environment(st.ColumnText(1)), columnTime(st, 2))
		return nil
	})
	return all, err
}
