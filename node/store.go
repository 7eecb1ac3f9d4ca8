package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/postgres"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

// openStore opens the ledger and returns the key-encryption key that it is
// sealed under.
func (n *Node) openStore(ctx context.Context) (kek [32]byte, err error) {
	s := &n.settings
	if _, err := makeDir(s.Dir); err != nil {
		return kek, err
	}
	if !s.Postgres.IsZero() {
		return n.openPostgres(ctx)
	}
	fresh, err := makeDir(s.Ledger)
	if err != nil {
		return kek, err
	}
	if kek, err = n.keyEncryptionKey(fresh); err != nil {
		return kek, err
	}
	store, err := sqlite.Open(ctx, s.Ledger, sqlite.Options{Logger: n.log})
	if err != nil {
		return kek, err
	}
	n.store, n.storeFailed, n.database = store, store.Failed(), "sqlite:"+s.Ledger
	return kek, nil
}

// openPostgres opens a ledger that other nodes may share. Nodes share its key
// too: only dev, whose first start may be the only one, makes one up.
func (n *Node) openPostgres(ctx context.Context) (kek [32]byte, err error) {
	s := &n.settings
	if s.KEK.IsZero() && !s.Dev {
		return kek, errors.New("key_encryption_key: every node on a PostgreSQL database needs the same one: `openssl rand -base64 32` makes one")
	}
	if kek, err = n.keyEncryptionKey(true); err != nil {
		return kek, err
	}
	store, err := postgres.Open(ctx, s.Postgres.Reveal(), postgres.Options{Logger: n.log})
	if err != nil {
		return kek, err
	}
	n.store, n.database = store, postgres.Place(s.Postgres.Reveal())
	return kek, nil
}

// keyFile holds the key-encryption key in the data directory, where no other
// is given.
const keyFile = "key-encryption-key"

func (n *Node) keyEncryptionKey(fresh bool) ([32]byte, error) {
	if !n.settings.KEK.IsZero() {
		kek, err := credential.ParseKEK(n.settings.KEK.Reveal())
		if err != nil {
			return kek, fmt.Errorf("key_encryption_key: %w", err)
		}
		return kek, nil
	}
	path := filepath.Join(n.settings.Dir, keyFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !fresh {
		return [32]byte{}, fmt.Errorf("key_encryption_key: it is not given, and %s is gone, though %s holds data sealed under it: put the file back, or set GATEHOUSE_KEY_ENCRYPTION_KEY",
			path, n.settings.Ledger)
	}
	return credential.LoadOrCreateKEK(path)
}
