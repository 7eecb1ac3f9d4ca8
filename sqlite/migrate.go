package sqlite

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"
)

//go:embed schema.sql
var schemaSQL string

//go:embed documents.sql
var documentsSQL string

//go:embed connections_user.sql
var connectionsUserSQL string

// schema is every step from an empty database to today's; steps that were
// released never change. The application id is "gate" in ASCII.
var schema = sqlitemigration.Schema{
	AppID:      0x67617465,
	Migrations: []string{schemaSQL, documentsSQL, connectionsUserSQL},
}

// migrate brings the schema up to date. A database of a later version is
// refused, since this one would not keep its promises.
func migrate(ctx context.Context, c *conn) error {
	var version int64
	if err := c.rows("PRAGMA user_version", func(st *sqlite.Stmt) error { version = st.ColumnInt64(0); return nil }); err != nil {
		return err
	}
	if version > int64(len(schema.Migrations)) {
		return fmt.Errorf("the database was made by a later gatehouse (schema %d, this one knows %d): run that one, or restore a backup", version, len(schema.Migrations))
	}
	return sqlitemigration.Migrate(ctx, c.Conn, schema)
}

// assert makes sure that the connection is as durable as it was asked to be.
func (c *conn) assert(synchronous string) error {
	level := map[string]string{"OFF": "0", "NORMAL": "1", "FULL": "2"}[synchronous]
	for pragma, want := range map[string]string{"synchronous": level, "journal_mode": "wal", "foreign_keys": "1"} {
		err := c.rows("PRAGMA "+pragma, func(st *sqlite.Stmt) error {
			if got := st.ColumnText(0); !strings.EqualFold(got, want) {
				return errors.New("SQLite has " + pragma + " = " + got + ", not " + want)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
