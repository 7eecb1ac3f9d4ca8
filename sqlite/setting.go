package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"
)

// Setting implements gatehouse.Store.
func (s *Store) Setting(ctx context.Context, name string, initial []byte) ([]byte, error) {
	value, found, err := []byte(nil), false, error(nil)
	err = s.read(ctx, func(v *view) (err error) {
		value, found, err = readSetting(v.conn, name)
		return err
	})
	if found || err != nil {
		return value, err
	}
	err = s.write(ctx, func(w *writer) (err error) {
		value, found, err = readSetting(w.conn, name)
		if found || err != nil {
			return err
		}
		value, w.wrote = initial, true
		return w.conn.run("INSERT INTO settings (name, value) VALUES (?, ?)", name, initial)
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

func readSetting(c *conn, name string) (value []byte, found bool, err error) {
	err = c.rows("SELECT value FROM settings WHERE name = ?", func(st *sqlite.Stmt) error {
		value, found = columnBlob(st, 0), true
		return nil
	}, name)
	return value, found, err
}
