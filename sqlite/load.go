package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// Load implements gatehouse.Store.
func (s *Store) Load(ctx context.Context, now time.Time) (*gatehouse.Snapshot, error) {
	var snap *gatehouse.Snapshot
	err := s.read(ctx, func(v *view) error {
		found := &gatehouse.Snapshot{Epoch: v.epoch, Newest: v.newest}
		err := v.conn.rows("SELECT max(?1, (SELECT coalesce(max(seq), 0) FROM journal))", func(st *sqlite.Stmt) error {
			found.Seq = st.ColumnInt64(0)
			return nil
		}, v.journalFloor)
		if err != nil {
			return err
		}
		if found.Clients, err = readClients(v.conn); err != nil {
			return err
		}
		if found.Keys, err = readKeys(v.conn); err != nil {
			return err
		}
		for _, p := range v.parts {
			if p.expiredBy(now) {
				continue
			}
			if found.Revoked, err = p.revoked(v.conn, now, found.Revoked); err != nil {
				return err
			}
		}
		snap = found
		return nil
	})
	return snap, err
}

// revoked appends the partition's revoked tokens that have not expired by
// themselves at now.
func (p *partition) revoked(c *conn, now time.Time, to []gatehouse.RevokedToken) ([]gatehouse.RevokedToken, error) {
	err := c.rows(p.on(`SELECT m.token, t.expires FROM marks_%d m CROSS JOIN tokens_%d t ON t.id = m.token
		WHERE m.revoked = 1 AND (t.expires IS NULL OR t.expires > ?)`), func(st *sqlite.Stmt) error {
		to = append(to, gatehouse.RevokedToken{ID: columnID(st, 0), Until: columnSeconds(st, 1)})
		return nil
	}, now.Unix())
	return to, err
}
