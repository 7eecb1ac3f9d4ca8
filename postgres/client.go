package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/clientjson"
)

// SaveClient implements gatehouse.Store.
func (s *Store) SaveClient(ctx context.Context, act gatehouse.Act, c *gatehouse.Client) error {
	body, err := clientjson.Marshal(c)
	if err != nil {
		return err
	}
	ids := []string{string(c.ID)}
	for id := range maps.Values(c.IDs) {
		ids = append(ids, string(id))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if err := storable(append(ids, string(c.State))...); err != nil {
		return err
	}
	return s.act(ctx, act, func(t *actTx) (bool, error) { return true, t.saveClient(act.At, c, ids, body) })
}

func (t *actTx) saveClient(at time.Time, c *gatehouse.Client, ids []string, body string) error {
	var n, version int64
	err := t.tx.QueryRow(t.ctx, "SELECT n, version FROM clients WHERE id = $1", string(c.ID)).Scan(&n, &version)
	switch {
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return err
	case n != 0 && c.Version == 0:
		return fmt.Errorf("client %s: %w", c.ID, gatehouse.ErrExists)
	case c.Version != 0 && c.Version != version:
		return fmt.Errorf("client %s: %w", c.ID, gatehouse.ErrConflict)
	}
	if err := t.checkIDs(n, ids, c.Secrets); err != nil {
		return err
	}
	t.changed = true
	if n == 0 {
		err = t.tx.QueryRow(t.ctx, "INSERT INTO clients (id, version, state, body) VALUES ($1, 1, $2, $3) RETURNING n",
			string(c.ID), string(c.State), body).Scan(&n)
	} else {
		err = t.exec("UPDATE clients SET version = version + 1, state = $2, body = $3 WHERE n = $1", n, string(c.State), body)
	}
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue("INSERT INTO client_ids (id, client) SELECT id, $1 FROM unnest($2::text[]) AS u (id) ON CONFLICT DO NOTHING", n, ids)
	secrets, environments, live := make([]pgtype.UUID, len(c.Secrets)), make([]string, len(c.Secrets)), make([]bool, len(c.Secrets))
	for i, k := range c.Secrets {
		secrets[i], environments[i], live[i] = uuid(k.ID), string(k.Environment), k.Live()
	}
	b.Queue("UPDATE secrets SET live = false WHERE client = $1 AND live AND id <> ALL ($2::uuid[])", n, secrets)
	b.Queue(`INSERT INTO secrets AS s (id, client, environment, live) SELECT id, $1, environment, live
		FROM unnest($2::uuid[], $3::text[], $4::boolean[]) AS u (id, environment, live)
		ON CONFLICT (id) DO UPDATE SET environment = excluded.environment, live = excluded.live
		WHERE (s.environment, s.live) IS DISTINCT FROM (excluded.environment, excluded.live)`, n, secrets, environments, live)
	for env, before := range c.RevokedBefore {
		queueCutoff(b, n, env, before)
	}
	if err := t.tx.SendBatch(t.ctx, b).Close(); err != nil {
		return err
	}
	t.journal(gatehouse.Entry{At: at, Kind: gatehouse.EntryClientChanged, Client: c.ID})
	return nil
}

// checkIDs refuses ids and secrets that belong to another client than n.
func (t *actTx) checkIDs(n int64, ids []string, secrets []gatehouse.ClientSecret) error {
	of := make([]pgtype.UUID, len(secrets))
	for i, s := range secrets {
		of[i] = uuid(s.ID)
	}
	var taken string
	err := t.tx.QueryRow(t.ctx, `SELECT 'client id ' || id FROM client_ids WHERE id = ANY ($2::text[]) AND client <> $1
		UNION ALL SELECT 'client secret ' || id FROM secrets WHERE id = ANY ($3::uuid[]) AND client <> $1 LIMIT 1`, n, ids, of).Scan(&taken)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%s: %w", taken, gatehouse.ErrExists)
}

// queueCutoff moves a cutoff forward. It never goes back: what was revoked
// stays revoked.
func queueCutoff(b *pgx.Batch, client int64, env gatehouse.Environment, before time.Time) {
	if before.IsZero() {
		return
	}
	b.Queue(`INSERT INTO cutoffs AS x (client, environment, before) VALUES ($1, $2, $3)
		ON CONFLICT (client, environment) DO UPDATE SET before = greatest(x.before, excluded.before)`, client, string(env), moment(before))
}

// Client implements gatehouse.Store.
func (s *Store) Client(ctx context.Context, id gatehouse.ClientID) (*gatehouse.Client, error) {
	if storable(string(id)) != nil {
		return nil, fmt.Errorf("client %q: %w", id, gatehouse.ErrNotFound)
	}
	var found []gatehouse.Client
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) (err error) {
		found, err = readClients(ctx, q, "WHERE c.id = $1", string(id))
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("client %s: %w", id, gatehouse.ErrNotFound)
	}
	return &found[0], nil
}

// readClients returns those that a condition selects, in the order in which
// they were made.
func readClients(ctx context.Context, q queries, where string, args ...any) ([]gatehouse.Client, error) {
	rows, err := q.Query(ctx, `SELECT c.id, c.version, c.body, x.environments, x.moments FROM clients c
		LEFT JOIN LATERAL (SELECT array_agg(environment) AS environments, array_agg(before) AS moments FROM cutoffs WHERE client = c.n) x ON true
		`+where+" ORDER BY c.n", args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (gatehouse.Client, error) {
		var id, body string
		var version int64
		var environments []string
		var moments []time.Time
		if err := row.Scan(&id, &version, &body, &environments, &moments); err != nil {
			return gatehouse.Client{}, err
		}
		c, err := clientjson.Unmarshal(gatehouse.ClientID(id), version, body)
		if err != nil {
			return gatehouse.Client{}, err
		}
		for i, env := range environments {
			if c.RevokedBefore == nil {
				c.RevokedBefore = map[gatehouse.Environment]time.Time{}
			}
			c.RevokedBefore[gatehouse.Environment(env)] = moments[i].UTC()
		}
		return *c, nil
	})
}
