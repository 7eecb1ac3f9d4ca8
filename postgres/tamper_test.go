package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// Each change of a row that a chain covers is found, and so is each row that
// was added or taken away.
func TestTamperingIsFound(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	s := open(t, url, Options{})
	c := saveClient(t, s)
	now := time.Now()
	for range 3 {
		r := refreshing(c, now)
		r.Tokens[0].Name, r.Tokens[0].User, r.Tokens[0].Parent, r.Tokens[0].Audience = "nightly", "user", r.Tokens[0].ID, []string{"https://api.example"}
		must(t, s.Record(t.Context(), r))
		must(t, s.Record(t.Context(), spending(c, r, now)))
		act := gatehouse.Act{At: now, By: operator, Action: "token.revoke", Subject: "x", Detail: map[string]string{"why": "test"}}
		_, err := s.Revoke(t.Context(), act, gatehouse.Selection{Token: r.Tokens[0].ID})
		must(t, err)
	}
	_, err := s.Expire(t.Context(), now.Add(48*time.Hour))
	must(t, err)
	must(t, s.Record(t.Context(), issue(c, now.Add(72*time.Hour))))
	clean(t, s)

	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	// A row that can take each edit without hitting a unique key.
	const one = "(tableoid, ctid) = (SELECT tableoid, ctid FROM %[1]s ORDER BY %[1]s::text DESC LIMIT 1)"
	edits := map[string][]string{
		"tokens": {
			"kind = kind || 'x'", "environment = environment || 'x'", "dialect = dialect || 'x'", "scopes = 'all'", "audience = 'x'", "name = 'x'",
			"subject = 'x'", "secret = gen_random_uuid()", "family = gen_random_uuid()", "parent = gen_random_uuid()", "digest = 'x'",
			"issued = issued + interval '1 ms'", "expires = expires + interval '1 s'", "id = gen_random_uuid()", "writer = writer + 1", "grp = grp + 1",
			"client = client + 1",
		},
		"marks":  {"at = at + interval '1 ms'", "revoked = NOT revoked, token = gen_random_uuid()", "token = gen_random_uuid()", "writer = writer + 1", "grp = grp + 1"},
		"links":  {"hash = sha256(hash)", "grp = grp + 100", "writer = writer + 100"},
		"chains": {"head = sha256(head)", "rows = rows + 1", "marks = marks + 1", "groups = groups + 1"},
		"events": {
			"at = at + interval '1 ms'", "kind = kind || 'x'", "actor = 'x'", "addr = '192.0.2.1'", "request = 'x'", "action = 'x'", "subject = 'y'",
			`detail = '{"why":"none"}'`, "hash = sha256(hash)", "seq = seq + 100",
		},
		"meta": {"event_seq = event_seq + 1", "event_head = sha256(event_head)", "partitions = partitions + 1"},
	}
	for table, columns := range edits {
		for _, edit := range columns {
			s.isFound(t, conn, fmt.Sprintf("UPDATE %[1]s SET %[2]s WHERE "+one, table, edit))
		}
		if table != "meta" {
			s.isFound(t, conn, fmt.Sprintf("DELETE FROM %[1]s WHERE "+one, table))
		}
	}
	const dropped = " WHERE id = (SELECT min(id) FROM partitions WHERE dropped IS NOT NULL)"
	for _, edit := range []string{
		"UPDATE partitions SET rows = rows + 1" + dropped, "UPDATE partitions SET head = sha256(head)" + dropped,
		"UPDATE partitions SET dropped = NULL" + dropped, "DELETE FROM partitions" + dropped,
		"DELETE FROM partitions WHERE id = (SELECT max(id) FROM partitions)",
	} {
		s.isFound(t, conn, edit)
	}
}

// isFound makes an edit, wants a check to find it, and takes it back.
func (s *Store) isFound(t *testing.T, conn *pgx.Conn, edit string) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	must(t, err)
	defer func() { must(t, tx.Rollback(t.Context())) }()
	_, err = tx.Exec(t.Context(), "SET LOCAL session_replication_role = replica") // no foreign keys
	must(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE meta IN EXCLUSIVE MODE") // the store's own writes would move the row that an edit picks
	must(t, err)
	tag, err := tx.Exec(t.Context(), edit)
	must(t, err)
	c := &check{ctx: t.Context(), q: tx, drops: map[string]map[string]string{}}
	must(t, c.run())
	if tag.RowsAffected() != 1 || len(c.report.Faults) == 0 {
		t.Errorf("%d rows, not found: %s", tag.RowsAffected(), edit)
	}
}
