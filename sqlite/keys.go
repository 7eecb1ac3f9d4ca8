package sqlite

import (
	"bytes"
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

const keyQuery = `SELECT id, format, counter, environment, algorithm, public, sealed, published, signs_from, retired, gone, compromised FROM keys `

func scanKey(st *sqlite.Stmt) gatehouse.KeyRecord {
	return gatehouse.KeyRecord{
		ID:     st.ColumnText(0),
		Index:  st.ColumnInt(2),
		Realm:  token.Realm{Environment: st.ColumnText(3), Format: st.ColumnText(1), Algorithm: token.Algorithm(st.ColumnText(4))},
		Public: columnBlob(st, 5), Sealed: columnBlob(st, 6),
		PublishedAt: columnTime(st, 7), SignsFrom: columnTime(st, 8), RetiredAt: columnTime(st, 9), GoneAt: columnTime(st, 10),
		Compromised: st.ColumnBool(11),
	}
}

// SaveKeys implements gatehouse.Store. A record replaces the one with its ID
// only where it is the same key; another key by that name is ErrExists.
func (s *Store) SaveKeys(ctx context.Context, act gatehouse.Act, keys []gatehouse.KeyRecord) error {
	return s.act(ctx, act, func(w *writer) (bool, error) {
		if err := w.checkKeys(keys); err != nil {
			return false, err
		}
		for _, k := range keys {
			if err := w.conn.run(`INSERT OR REPLACE INTO keys
				(id, format, counter, environment, algorithm, public, sealed, published, signs_from, retired, gone, compromised)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				k.ID, k.Realm.Format, k.Index, k.Realm.Environment, string(k.Realm.Algorithm), k.Public, k.Sealed,
				k.PublishedAt, k.SignsFrom, k.RetiredAt, k.GoneAt, k.Compromised); err != nil {
				return false, err
			}
		}
		_, err := w.journal(gatehouse.Entry{At: act.At, Kind: gatehouse.EntryKeysChanged})
		return true, err
	})
}

// checkKeys refuses keys that stand in the way of others, of those that are
// stored and of each other.
func (w *writer) checkKeys(keys []gatehouse.KeyRecord) error {
	there, err := readKeys(w.conn)
	if err != nil {
		return err
	}
	for i := range keys {
		for _, other := range append(there, keys[:i]...) {
			sameID := other.ID == keys[i].ID
			sameIndex := other.Realm.Format == keys[i].Realm.Format && other.Index == keys[i].Index
			if (sameID || sameIndex) && !(sameID && sameIndex && bytes.Equal(other.Public, keys[i].Public)) {
				return fmt.Errorf("key %s: %w", keys[i].ID, gatehouse.ErrExists)
			}
		}
	}
	return nil
}

// Keys implements gatehouse.Store.
func (s *Store) Keys(ctx context.Context) ([]gatehouse.KeyRecord, error) {
	var keys []gatehouse.KeyRecord
	err := s.read(ctx, func(v *view) (err error) {
		keys, err = readKeys(v.conn)
		return err
	})
	return keys, err
}

func readKeys(c *conn) (keys []gatehouse.KeyRecord, err error) {
	err = c.rows(keyQuery+"ORDER BY format, counter", func(st *sqlite.Stmt) error {
		keys = append(keys, scanKey(st))
		return nil
	})
	return keys, err
}
