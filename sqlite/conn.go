package sqlite

import (
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/gatehouse-auth/gatehouse/token"
)

// conn is a connection that keeps prepared the statements it used last. Those
// on partitions come and go with their partitions, so their number is bounded.
type conn struct {
	*sqlite.Conn
	kept map[string]*sqlite.Stmt
}

const keptStatements = 256

// open opens a connection to the database in path. Waiting for a lock is left
// to SQLite's busy handler: only a checkpoint of our own can hold one.
func openConn(path, synchronous string) (*conn, error) {
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenWAL)
	if err != nil {
		return nil, err
	}
	c.SetBusyTimeout(10 * time.Second)
	// Checkpoints are made beside the writer, not by whichever commit happens
	// to fill the log.
	for _, pragma := range []string{
		"PRAGMA synchronous = " + synchronous,
		"PRAGMA foreign_keys = ON",
		"PRAGMA trusted_schema = OFF",
		"PRAGMA wal_autocheckpoint = 0",
	} {
		if err := sqlitex.ExecuteTransient(c, pragma, nil); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return &conn{Conn: c, kept: map[string]*sqlite.Stmt{}}, nil
}

// prepare returns the statement, reset and with nothing bound.
func (c *conn) prepare(query string) (*sqlite.Stmt, error) {
	st, err := c.Prepare(query)
	if err != nil {
		return nil, err
	}
	if _, ok := c.kept[query]; ok {
		return st, nil
	}
	if len(c.kept) >= keptStatements {
		for old, oldest := range c.kept {
			if err := oldest.Finalize(); err != nil {
				return nil, err
			}
			delete(c.kept, old)
			break
		}
	}
	c.kept[query] = st
	return st, nil
}

// run executes a statement that returns no rows.
func (c *conn) run(query string, args ...any) error {
	return c.rows(query, nil, args...)
}

// rows executes a statement and calls fn for each row.
func (c *conn) rows(query string, fn func(*sqlite.Stmt) error, args ...any) error {
	st, err := c.prepare(query)
	if err != nil {
		return err
	}
	for i, arg := range args {
		bind(st, i+1, arg)
	}
	for {
		more, err := st.Step()
		if err != nil {
			return err
		}
		if !more {
			return st.Reset()
		}
		if fn == nil {
			continue
		}
		if err := fn(st); err != nil {
			_ = st.Reset()
			return err
		}
	}
}

// bind gives a parameter its value; what is zero or empty is NULL, but for
// plain numbers.
func bind(st *sqlite.Stmt, param int, arg any) {
	switch v := arg.(type) {
	case int64:
		st.BindInt64(param, v)
	case int:
		st.BindInt64(param, int64(v))
	case bool:
		st.BindBool(param, v)
	case string:
		bindText(st, param, v)
	case []byte:
		bindBlob(st, param, v)
	case token.ID:
		bindID(st, param, v)
	case time.Time:
		bindTime(st, param, v)
	case seconds:
		bindSeconds(st, param, time.Time(v))
	case nil:
		st.BindNull(param)
	default:
		panic("sqlite: a parameter of an unexpected type")
	}
}

// seconds is a time that is stored in whole seconds.
type seconds time.Time

func bindText(st *sqlite.Stmt, param int, v string) {
	if v == "" {
		st.BindNull(param)
	} else {
		st.BindText(param, v)
	}
}

func bindBlob(st *sqlite.Stmt, param int, v []byte) {
	if len(v) == 0 {
		st.BindNull(param)
	} else {
		st.BindBytes(param, v)
	}
}

func bindID(st *sqlite.Stmt, param int, v token.ID) {
	if v.IsZero() {
		st.BindNull(param)
	} else {
		st.BindBytes(param, v[:])
	}
}

func bindTime(st *sqlite.Stmt, param int, v time.Time) {
	if v.IsZero() {
		st.BindNull(param)
	} else {
		st.BindInt64(param, v.UnixMilli())
	}
}

func bindSeconds(st *sqlite.Stmt, param int, v time.Time) {
	if v.IsZero() {
		st.BindNull(param)
	} else {
		st.BindInt64(param, v.Unix())
	}
}

func columnBlob(st *sqlite.Stmt, col int) []byte {
	if st.ColumnIsNull(col) {
		return nil
	}
	b := make([]byte, st.ColumnLen(col))
	st.ColumnBytes(col, b)
	return b
}

func columnID(st *sqlite.Stmt, col int) (id token.ID) {
	if st.ColumnLen(col) == len(id) {
		st.ColumnBytes(col, id[:])
	}
	return id
}

func columnTime(st *sqlite.Stmt, col int) time.Time {
	if st.ColumnIsNull(col) {
		return time.Time{}
	}
	return time.UnixMilli(st.ColumnInt64(col)).UTC()
}

func columnSeconds(st *sqlite.Stmt, col int) time.Time {
	if st.ColumnIsNull(col) {
		return time.Time{}
	}
	return time.Unix(st.ColumnInt64(col), 0).UTC()
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
