package postgres

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gatehouse-auth/gatehouse"
)

// SaveKeys implements gatehouse.Store. A record replaces the one with its ID
// only where it is the same key; another key by that name is ErrExists.
func (s *Store) SaveKeys(ctx context.Context, act gatehouse.Act, keys []gatehouse.KeyRecord) error {
	for _, k := range keys {
		if err := storable(k.ID, k.Realm.Format, k.Realm.Environment, string(k.Realm.Algorithm)); err != nil {
			return err
		}
	}
	return s.act(ctx, act, func(t *actTx) (bool, error) {
		if err := t.checkKeys(keys); err != nil {
			return false, err
		}
		b := &pgx.Batch{}
		for _, k := range keys {
			queueKey(b, &k)
		}
		if err := t.tx.SendBatch(t.ctx, b).Close(); err != nil {
			return false, err
		}
		t.journal(gatehouse.Entry{At: act.At, Kind: gatehouse.EntryKeysChanged})
		return true, nil
	})
}

func queueKey(b *pgx.Batch, k *gatehouse.KeyRecord) {
	b.Queue(`INSERT INTO keys (id, format, counter, environment, algorithm, public, sealed, published, signs_from, retired, gone, compromised)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (id) DO UPDATE SET environment = excluded.environment, algorithm = excluded.algorithm, sealed = excluded.sealed,
		published = excluded.published, signs_from = excluded.signs_from, retired = excluded.retired, gone = excluded.gone,
		compromised = excluded.compromised`,
		k.ID, k.Realm.Format, k.Index, k.Realm.Environment, string(k.Realm.Algorithm), k.Public, k.Sealed,
		moment(k.PublishedAt), moment(k.SignsFrom), moment(k.RetiredAt), moment(k.GoneAt), k.Compromised)
}

// checkKeys refuses keys that stand in the way of others, of those that are
// stored and of each other.
func (t *actTx) checkKeys(keys []gatehouse.KeyRecord) error {
	there, err := readKeys(t.ctx, t.tx)
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
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) (err error) {
		keys, err = readKeys(ctx, q)
		return err
	})
	return keys, err
}

func readKeys(ctx context.Context, q queries) ([]gatehouse.KeyRecord, error) {
	rows, err := q.Query(ctx, `SELECT id, format, counter, environment, algorithm, public, sealed, published, signs_from, retired, gone, compromised
		FROM keys ORDER BY format, counter`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k gatehouse.KeyRecord, err error) {
		var published, signs, retired, gone pgtype.Timestamptz
		err = row.Scan(&k.ID, &k.Realm.Format, &k.Index, &k.Realm.Environment, &k.Realm.Algorithm, &k.Public, &k.Sealed,
			&published, &signs, &retired, &gone, &k.Compromised)
		k.PublishedAt, k.SignsFrom, k.RetiredAt, k.GoneAt = timeOf(published), timeOf(signs), timeOf(retired), timeOf(gone)
		return k, err
	})
}
