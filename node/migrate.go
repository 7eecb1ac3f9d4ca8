package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

// A Migration moves the ledger of a directory, which no node serves, to
// PostgreSQL.
type Migration struct {
	Dir      string
	Postgres secret.Text
	Log      *slog.Logger
	Progress func(tokens, all int64) // may be nil
}

// MigrationDone says what a Migration did.
type MigrationDone struct {
	From   string                 `json:"from"`
	To     string                 `json:"to"`
	Tables []gatehouse.TableCount `json:"tables"`
	Events int                    `json:"events_checked"` // of the hash chains, in the new place
	Tokens int                    `json:"tokens_checked"`
}

// Run moves all of it or nothing: until the counts agree and the hash chains fit,
// the directory is as it was and the database empty. After that the directory's
// ledger is marked as moved, and not served any more.
func (m *Migration) Run(ctx context.Context) (*MigrationDone, error) {
	if _, err := os.Stat(filepath.Join(m.Dir, ledgerFile)); err != nil {
		return nil, fmt.Errorf("there is no ledger in %s: %w", m.Dir, err)
	}
	source, err := sqlite.Open(ctx, m.Dir, sqlite.Options{Logger: m.Log})
	if err != nil {
		return nil, fmt.Errorf("%w: stop the server that serves it, if one does", err)
	}
	to := postgres.Place(m.Postgres.Reveal())
	act := gatehouse.Act{At: time.Now(), By: gatehouse.System("migrate"), Action: "migrate", Subject: "ledger", Detail: map[string]string{"to": to}}
	moved, err := postgres.Import(ctx, m.Postgres.Reveal(), act, func(sink gatehouse.LedgerSink) error { return source.Export(ctx, sink) }, m.Progress)
	if err := errors.Join(err, source.Close()); err != nil {
		return nil, fmt.Errorf("nothing was moved, and the ledger in %s is as it was: %w", m.Dir, err)
	}
	if err := sqlite.Retire(m.Dir); err != nil {
		return nil, fmt.Errorf("the ledger is in %s now, but its old place could not be marked as moved; don't serve %s any more: %w", to, m.Dir, err)
	}
	return &MigrationDone{From: "sqlite:" + m.Dir, To: to, Tables: moved.Tables, Events: moved.Audit.Events, Tokens: moved.Audit.Tokens}, nil
}
