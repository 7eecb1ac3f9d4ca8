package sqlite

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// A Diagnosis is what can be seen of a ledger without opening it for use.
type Diagnosis struct {
	Schema, KnownSchema int
}

// Diagnose looks at the ledger in dir, which another process may be serving. It
// changes nothing. Where no log is there, the file's header says all, and SQLite
// would leave a log behind.
func Diagnose(ctx context.Context, dir string) (*Diagnosis, error) {
	path := filepath.Join(dir, databaseFile)
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		return diagnoseHeader(path)
	}
	c, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
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

// diagnoseHeader reads user_version where the file format has it
// (sqlite.org/fileformat2.html, section 1.3).
func diagnoseHeader(path string) (*Diagnosis, error) {
	const magic, versionAt = "SQLite format 3\x00", 60
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	header := make([]byte, versionAt+4)
	if _, err := io.ReadFull(f, header); err != nil || string(header[:len(magic)]) != magic {
		return nil, fmt.Errorf("%s is no ledger", path)
	}
	return &Diagnosis{Schema: int(binary.BigEndian.Uint32(header[versionAt:])), KnownSchema: len(schema.Migrations)}, nil
}
