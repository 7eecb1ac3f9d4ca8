package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Advisory locks have two numbers. The first is "gate" in ASCII, so that ours
// are told from those of other programs on the database.
const (
	lockSpace  = 0x67617465
	gateLock   = 1
	schemaLock = 2
)

// require makes sure that the server keeps what a Store promises, and says how
// to mend it where it doesn't.
func require(ctx context.Context, conn *pgx.Conn, another func(context.Context) (*pgx.Conn, error)) error {
	for name, wrong := range map[string][]string{"fsync": {"off"}, "full_page_writes": {"off"}, "synchronous_commit": {"off"}} {
		var is string
		if err := conn.QueryRow(ctx, "SELECT coalesce(current_setting($1, true), '')", name).Scan(&is); err != nil {
			return err
		}
		if slices.Contains(wrong, is) {
			return fmt.Errorf("the server has %s = %s and would lose tokens that were handed out: set it on", name, is)
		}
	}
	return requireLocks(ctx, conn, another)
}

// requireLocks refuses servers that speak PostgreSQL's protocol and accept
// advisory locks without taking them.
func requireLocks(ctx context.Context, conn *pgx.Conn, another func(context.Context) (*pgx.Conn, error)) error {
	second, err := another(ctx)
	if err != nil {
		return err
	}
	defer second.Close(ctx)
	// A number of its own for each try, so that nodes that start together don't meet.
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var key int64
		if err := tx.QueryRow(ctx, "SELECT k FROM (SELECT (random() * 1e18)::bigint AS k) r WHERE pg_advisory_xact_lock(k) IS NOT NULL").Scan(&key); err != nil {
			return err
		}
		return pgx.BeginFunc(ctx, second, func(tx pgx.Tx) error {
			var taken bool
			if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", key).Scan(&taken); err != nil {
				return err
			}
			if taken {
				return errors.New("the server accepts advisory locks and does not take them, so nodes could not exclude each other: use PostgreSQL, or a server that has them")
			}
			return nil
		})
	})
}
