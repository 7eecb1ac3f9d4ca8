package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrations embed.FS

// oldestReader says for each migration, in order, which schema a program must
// at least know to run beside it. A migration that only adds leaves the number
// of the one before, so that an older and a newer version run on one database
// while nodes are replaced one by one. Migrations that were released never change.
var oldestReader = []int{1, 1, 1}

// migrate brings the schema up to date, once for all nodes. The lock is the
// transaction's, as DDL is, so that it works through any pooler.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	slices.Sort(files)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, $2)", lockSpace, schemaLock); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS gatehouse_schema (
			version integer PRIMARY KEY, oldest_reader integer NOT NULL, at timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err
		}
		var version, oldest int
		err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0), coalesce(max(oldest_reader), 0) FROM gatehouse_schema").Scan(&version, &oldest)
		if err != nil {
			return err
		}
		if oldest > len(files) {
			return fmt.Errorf("the database was changed by a later gatehouse (schema %d, which needs one that knows %d; this one knows %d): run that one, or restore a backup",
				version, oldest, len(files))
		}
		for n := version; n < len(files); n++ {
			script, err := migrations.ReadFile(files[n])
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, string(script)); err != nil { // no arguments: many statements at once
				return fmt.Errorf("%s: %w", files[n], err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO gatehouse_schema (version, oldest_reader) VALUES ($1, $2)", n+1, oldestReader[n]); err != nil {
				return err
			}
		}
		return nil
	})
}
