package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// Replay implements gatehouse.Store.
func (s *Store) Replay(ctx context.Context, caller, key string) (*gatehouse.Replay, error) {
	var found *gatehouse.Replay
	err := s.read(ctx, func(v *view) error {
		err := v.conn.rows("SELECT request, answer, at FROM replays WHERE caller = ? AND key = ?", func(st *sqlite.Stmt) error {
			found = &gatehouse.Replay{Caller: caller, Key: key, Answer: columnBlob(st, 1), At: columnTime(st, 2)}
			st.ColumnBytes(0, found.Request[:])
			return nil
		}, caller, key)
		if err == nil && found == nil {
			err = gatehouse.ErrNotFound
		}
		return err
	})
	return found, err
}

// checkReplay refuses an act whose Idempotency-Key its caller has used.
func (w *writer) checkReplay(r *gatehouse.Replay) error {
	if r == nil {
		return nil
	}
	return w.conn.rows("SELECT 1 FROM replays WHERE caller = ? AND key = ?",
		func(*sqlite.Stmt) error { return gatehouse.ErrExists }, r.Caller, r.Key)
}

func (w *writer) remember(r *gatehouse.Replay) error {
	if r == nil {
		return nil
	}
	w.wrote = true
	return w.conn.run("INSERT INTO replays (caller, key, request, answer, at) VALUES (?, ?, ?, ?, ?)",
		r.Caller, r.Key, r.Request[:], r.Answer, r.At)
}
