package sqlite

import (
	"context"
	"fmt"
	"path/filepath"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// A Diagnosis is what can be seen of a ledger without opening it for use.
type Diagnosis struct {
	Schema, KnownSchema int
}

// Diagnose looks at the ledger in dir, which another process may be serving. It
// changes nothing.
func Diagnose(ctx context.Context, dir string) (*Diagnosis, error) {
	c, err := sqlite.OpenConn(filepath.Join(dir, databaseFile), sqlite.OpenReadOnly)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger in %s: %w", dir, err)
	}
	defer c.Close()
	c.SetInterrupt(ctx.Done())
	d := &Diagnosis{KnownSchema: len(schema.Migrations)}
	err = sqlitex.ExecuteTransient(c, "PRAGMA user_version", &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
		d.Schema = st.ColumnInt(0)
		return nil
	}})
	if err != nil {
		return nil, fmt.Errorf("reading the ledger in %s: %w", dir, err)
	}
	return d, nil
}
