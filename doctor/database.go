package doctor

import (
	"fmt"
	"time"
)

// A Database is where the ledger is.
type Database struct {
	Place string // for messages; without credentials
	Err   string // why it can't be asked; then the rest is unknown

	Schema, KnownSchema int // what it has, and what this program knows
	TooNew              bool

	// Of a PostgreSQL.
	Postgres bool
	Far      bool              // on another machine
	SSLMode  string            // of the settings
	Params   map[string]string // settings of the server, by name
	Clock    time.Duration     // how far its clock is ahead of ours
}

func examineDatabase(d *Deployment) (out []Finding) {
	db := d.Database
	if db == nil {
		return nil
	}
	if db.Postgres && db.Far {
		out = append(out, examineTransport(db)...)
	}
	if db.Err != "" {
		return append(out, Finding{"database-unreachable", Error, fmt.Sprintf("%s can't be asked: %s", db.Place, db.Err), "without it nothing can be issued, and soon nothing validated", "see that the database runs, and that database in the settings names it"})
	}
	switch {
	case db.TooNew:
		out = append(out, Finding{"schema-newer", Error, fmt.Sprintf("%s has schema %d, and this program knows %d", db.Place, db.Schema, db.KnownSchema), "this version can't run on it", "run the later gatehouse that has changed it, or restore a backup from before"})
	case db.Schema < db.KnownSchema:
		out = append(out, Finding{"schema-older", Warning, fmt.Sprintf("%s has schema %d, and this program knows %d", db.Place, db.Schema, db.KnownSchema), "the next start of this version changes it", "make a backup first: gatehouse backup"})
	}
	if db.Postgres {
		out = append(out, examinePostgres(db)...)
	}
	return out
}

func examineTransport(db *Database) []Finding {
	const mend = "put sslmode=verify-full&sslrootcert=FILE into the URL of database"
	switch db.SSLMode {
	case "verify-full":
		return nil
	case "require", "verify-ca":
		return []Finding{{"postgres-unverified", Warning, fmt.Sprintf("the connection to %s has sslmode=%s", db.Place, db.SSLMode), "it is encrypted, but whoever answers for the database on the way is believed", mend}}
	}
	return []Finding{{"postgres-clear", Error, fmt.Sprintf("the connection to %s may be in the clear (sslmode=%s)", db.Place, db.SSLMode), "the database's password, and the whole ledger, can be read and changed on the way", mend}}
}

// durable are the server's settings without which a commit may be lost.
var durable = []struct{ name, bad, check string }{
	{"fsync", "off", "postgres-fsync-off"},
	{"full_page_writes", "off", "postgres-torn-pages"},
	{"synchronous_commit", "off", "postgres-async-commit"},
}

func examinePostgres(db *Database) (out []Finding) {
	for _, s := range durable {
		if db.Params[s.name] == s.bad {
			out = append(out, Finding{s.check, Error, fmt.Sprintf("%s has %s = %s", db.Place, s.name, s.bad), "when it stops, tokens that were handed out and revocations that were acknowledged may be lost", fmt.Sprintf("ALTER SYSTEM SET %s = on; SELECT pg_reload_conf();", s.name)})
		}
	}
	if db.Params["wal_level"] == "minimal" {
		out = append(out, Finding{"postgres-wal-minimal", Warning, db.Place + " has wal_level = minimal", "no base backup can be made and no replica kept, so that a lost disk loses all since the last dump", "ALTER SYSTEM SET wal_level = replica; and restart the server"})
	}
	if f, ok := ClockFinding("the database "+db.Place, db.Clock); ok {
		out = append(out, f)
	}
	return out
}
