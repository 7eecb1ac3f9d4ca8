package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// cutOff ends all that a client was issued up to a moment, in one environment
// or in all. It marks no token: the client's record says it, however many
// there are. They are counted after the commit, when no more can be added.
func (s *Store) cutOff(ctx context.Context, act gatehouse.Act, sel gatehouse.Selection) (gatehouse.Revoked, error) {
	before := sel.Before
	if before.IsZero() {
		before = act.At
	}
	var done gatehouse.Revoked
	cuts := map[gatehouse.Environment]cut{}
	var client int64
	err := s.act(ctx, act, func(w *writer) (bool, error) {
		c, err := w.client(sel.Client)
		if err != nil {
			return false, err
		}
		if c == nil {
			return false, fmt.Errorf("client %s: %w", sel.Client, gatehouse.ErrNotFound)
		}
		client = c.n
		moved := map[gatehouse.Environment]time.Time{}
		for _, env := range gatehouse.Environments {
			if sel.Environment != "" && env != sel.Environment {
				continue
			}
			if old := c.cutoffs[env]; before.UnixMilli() > epochMillis(old) {
				cuts[env] = cut{after: later(old, w.epoch), upTo: before}
				moved[env] = before
			}
		}
		if len(moved) > 0 {
			if err := w.saveCutoffs(c.n, moved); err != nil {
				return false, err
			}
			if err := w.conn.run("UPDATE clients SET version = version + 1 WHERE n = ?", c.n); err != nil {
				return false, err
			}
			if err := w.clientChanged(act.At, sel.Client); err != nil {
				return false, err
			}
		}
		done.Seq = w.journalSeq
		return len(moved) > 0, nil
	})
	if err != nil {
		return gatehouse.Revoked{}, err
	}
	// The tokens are ended, whether or not they can be counted now.
	done.Tokens, err = s.countCut(context.WithoutCancel(ctx), client, cuts, act.At)
	if err != nil {
		s.logger.Warn("can't count what a revocation ended", "client", sel.Client, "error", err)
	}
	return done, nil
}

// A cut ends the tokens of an environment that were issued after one moment
// and at or before another.
type cut struct{ after, upTo time.Time }

// countCut counts the live access and refresh tokens that cuts ended.
func (s *Store) countCut(ctx context.Context, client int64, cuts map[gatehouse.Environment]cut, now time.Time) (count int, err error) {
	err = s.read(ctx, func(v *view) error {
		for _, p := range v.parts {
			if p.expiredBy(now) {
				continue
			}
			for env, c := range cuts {
				err := v.conn.rows(p.on(`SELECT count(*) FROM tokens_%d t JOIN shapes_%d s ON s.n = t.shape
					WHERE t.client = ? AND s.environment = ? AND s.kind <> ? AND t.issued > ? AND t.issued <= ?
					AND (t.expires IS NULL OR t.expires * 1000 > ?) AND NOT EXISTS (SELECT 1 FROM marks_%d m WHERE m.token = t.id)`),
					func(st *sqlite.Stmt) error {
						count += st.ColumnInt(0)
						return nil
					}, client, string(env), string(gatehouse.AccessCode), epochMillis(c.after), c.upTo, now.UnixMilli())
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	return count, err
}
