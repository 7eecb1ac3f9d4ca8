package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// A version that runs beside a later one is let in, one that can't is refused
// and told what to do; a version that runs already is not disturbed.
func TestLaterSchema(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	running := open(t, url, Options{})
	client := saveClient(t, running)
	migrated := func(oldestReader int) {
		t.Helper()
		_, err := running.reads.Exec(t.Context(), `INSERT INTO gatehouse_schema (version, oldest_reader) SELECT max(version) + 1, $1 FROM gatehouse_schema`, oldestReader)
		must(t, err)
	}
	_, err := running.reads.Exec(t.Context(), "ALTER TABLE tokens ADD COLUMN of_a_later_version text")
	must(t, err)
	migrated(oldestReader[len(oldestReader)-1])
	beside := open(t, url, Options{})
	for _, s := range []*Store{running, beside} {
		must(t, s.Record(t.Context(), issue(client, time.Now())))
	}
	clean(t, beside)

	migrated(len(oldestReader) + 1)
	if s, err := Open(context.Background(), url, Options{}); err == nil {
		must(t, s.Close())
		t.Error("a version that the schema is too new for runs on it")
	} else if !strings.Contains(err.Error(), "a later gatehouse") || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("it says %v", err)
	}
	must(t, running.Record(t.Context(), issue(client, time.Now())))
}
