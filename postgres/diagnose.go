package postgres

import (
	"context"
	"io/fs"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Diagnosis is what can be seen of a database without opening it for use.
type Diagnosis struct {
	Schema, KnownSchema int
	TooNew              bool              // this program can't run on it
	Params              map[string]string // settings of the server that durability and recovery depend on
	Clock               time.Duration     // how far the server's clock is ahead of ours, to within the time of the question
}

// Diagnose looks at the database behind a URL. It changes nothing.
func Diagnose(ctx context.Context, text string) (*Diagnosis, error) {
	cfg, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, err // pgx leaves the password out of it
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectWithin
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	d := &Diagnosis{KnownSchema: len(files), Params: map[string]string{}}
	before := time.Now()
	var clock time.Time
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&clock); err != nil {
		return nil, err
	}
	took := time.Since(before)
	d.Clock = clock.Sub(before.Add(took / 2))
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit", "wal_level"} {
		var is string
		if err := conn.QueryRow(ctx, "SELECT coalesce(current_setting($1, true), '')", name).Scan(&is); err != nil {
			return nil, err
		}
		d.Params[name] = is
	}
	var there bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass('gatehouse_schema') IS NOT NULL").Scan(&there); err != nil || !there {
		return d, err
	}
	var oldest int
	err = conn.QueryRow(ctx, "SELECT coalesce(max(version), 0), coalesce(max(oldest_reader), 0) FROM gatehouse_schema").Scan(&d.Schema, &oldest)
	d.TooNew = oldest > len(files)
	return d, err
}

// A Route is how a URL says that the database is reached.
type Route struct {
	Host    string // a name, an address, or the directory of a socket
	SSLMode string
}

// RouteOf reads a URL of a database. Where it names several hosts it is the first.
func RouteOf(text string) (Route, error) {
	cfg, err := pgx.ParseConfig(text)
	if err != nil {
		return Route{}, err
	}
	r := Route{Host: cfg.Host, SSLMode: "prefer"} // libpq's default
	if u, err := url.Parse(text); err == nil && u.Query().Get("sslmode") != "" {
		r.SSLMode = u.Query().Get("sslmode")
	}
	return r, nil
}
