package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// identitySetting keeps which database the ledger is in. A dump carries it to
// another one, where it doesn't fit any more: so a restored ledger is not served
// before `gatehouse restore` has ended what may have been revoked meanwhile.
const identitySetting = "database identity"

// What a server says that has no such function, or doesn't let us call it.
const (
	undefinedFunction     = "42883"
	undefinedTable        = "42P01"
	insufficientPrivilege = "42501"
)

// identity is the cluster's system identifier and the database's number in it.
// It stays through restarts, fail-overs and renaming, and is new after a restore
// into another database or pg_upgrade. It is "" where the server speaks the
// protocol only and has none: there nothing can be told.
func identity(ctx context.Context, conn *pgx.Conn) (id string, err error) {
	err = conn.QueryRow(ctx, `SELECT c.system_identifier || '/' || d.oid FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()`).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) || hasCode(err, undefinedFunction, undefinedTable, insufficientPrivilege) {
		return "", nil
	}
	return id, err
}

// errCopied says that the database is a copy of the one that was served.
var errCopied = errors.New("the ledger was served from another database and copied here since, and the copy may lack revocations: " +
	"run `gatehouse restore --database URL`, which ends what can't be known; or, where nothing was lost (pg_upgrade, a move with all nodes stopped), the same with --complete")

// requireIdentity refuses a ledger that was copied here. The first start of all
// decides where it is.
func requireIdentity(ctx context.Context, conn *pgx.Conn) error {
	is, err := identity(ctx, conn)
	if err != nil || is == "" {
		return err
	}
	if _, err := conn.Exec(ctx, "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", identitySetting, []byte(is)); err != nil {
		return err
	}
	var was []byte
	err = conn.QueryRow(ctx, "SELECT value FROM settings WHERE name = $1", identitySetting).Scan(&was)
	if err == nil && string(was) != is {
		return errCopied
	}
	return err
}

// adopt makes this database the one that the ledger is served from.
func (t *actTx) adopt() error {
	t.changed = true
	return adoptIn(t.ctx, t.tx)
}

func adoptIn(ctx context.Context, tx pgx.Tx) error {
	is, err := identity(ctx, tx.Conn())
	if err != nil || is == "" {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", identitySetting, []byte(is))
	return err
}

// requireAlone refuses while nodes are connected to the database: what one of
// them remembers would not hold any more. The server takes a moment to see that
// one has left.
func requireAlone(ctx context.Context, conn *pgx.Conn) error {
	for began := time.Now(); ; {
		var nodes int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1", nodeName).Scan(&nodes)
		switch {
		case hasCode(err, undefinedTable, insufficientPrivilege):
			return nil
		case err != nil || nodes == 0:
			return err
		case time.Since(began) > leavingTime:
			return fmt.Errorf("nodes are connected to the database (%d connections): stop them first", nodes)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

const leavingTime = 3 * time.Second

// The names under which nodes, and whatever works on a ledger that no node
// serves, are connected.
const (
	nodeName    = "gatehouse"
	offlineName = "gatehouse-offline"
)

// asOffline makes a connection of whatever works on a ledger that no node serves:
// no caller waits for it.
func asOffline(cfg *pgx.ConnConfig) {
	cfg.RuntimeParams["application_name"] = offlineName
	cfg.ConnectTimeout = max(cfg.ConnectTimeout, 15*time.Second)
}
