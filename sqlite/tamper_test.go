package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// audited are the tables whose every column is covered by a chain or checked
// against one.
var audited = regexp.MustCompile(`^(tokens|marks|links|shapes)_\d+$|^events$`)

// ledgerOf fills a store with every kind of row that has a chain, closes it
// and returns its directory.
func ledgerOf(t *testing.T) string {
	dir := t.TempDir()
	s := open(t, dir, Options{partitionRows: 4})
	ctx, now := context.Background(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &gatehouse.Client{
		ID: "one", IDs: map[gatehouse.Environment]gatehouse.ClientID{gatehouse.Live: "one"}, Dialect: gatehouse.OAuth2,
		State: gatehouse.Enabled, CreatedAt: now,
		Secrets: []gatehouse.ClientSecret{{ID: token.NewID(now), Environment: gatehouse.Live, Digest: []byte{1}, CreatedAt: now}},
	}
	act := gatehouse.Act{At: now, By: actor, Action: "client.create", Subject: "one", Detail: map[string]string{"a": "1", "b": "2"}}
	must(t, s.SaveClient(ctx, act, c))
	other := *c
	other.ID, other.IDs, other.Secrets = "two", nil, nil
	must(t, s.SaveClient(ctx, gatehouse.Act{At: now, By: gatehouse.System("test"), Action: "client.create"}, &other))
	for i := range 10 {
		r := gatehouse.TokenRecord{
			ID: token.NewID(now), Kind: gatehouse.RefreshToken, Client: "one", Environment: gatehouse.Live, Dialect: gatehouse.OAuth2,
			Name: "nightly", Scopes: []string{"read", "write"}, Audience: []string{"https://api.example"}, User: "user", Secret: c.Secrets[0].ID,
			Parent: token.NewID(now), Digest: []byte{byte(i), 255}, IssuedAt: now, ExpiresAt: now.Add(time.Duration(i%2) * 24 * time.Hour),
		}
		r.Grant = r.ID
		a := r
		a.ID, a.Kind, a.Grant, a.ExpiresAt = token.NewID(now), gatehouse.AccessToken, r.ID, time.Time{}
		bare := gatehouse.TokenRecord{
			ID: token.NewID(now), Kind: gatehouse.AccessToken, Client: "two", Environment: gatehouse.Sandbox, Dialect: "another", IssuedAt: now,
		}
		must(t, s.Record(ctx, &gatehouse.Grant{At: now, Tokens: []gatehouse.TokenRecord{r}}))
		must(t, s.Record(ctx, &gatehouse.Grant{At: now, Tokens: []gatehouse.TokenRecord{a}, Uses: r.ID, Spend: true}))
		must(t, s.Record(ctx, &gatehouse.Grant{At: now, Tokens: []gatehouse.TokenRecord{bare}}))
		if i%2 == 0 {
			_, err := s.Revoke(ctx, gatehouse.Act{At: now.Add(-time.Hour), By: actor, Action: "token.revoke"}, gatehouse.Selection{Token: r.ID})
			must(t, err)
		}
	}
	_, err := s.Expire(ctx, now.Add(12*time.Hour))
	must(t, err)
	report, err := s.CheckAudit(ctx)
	must(t, err)
	if len(report.Faults) > 0 {
		t.Fatalf("faults before any edit: %v", report.Faults)
	}
	must(t, s.Close())
	return dir
}

// edit is how somebody with a shell would change a value.
const edit = `CASE typeof(%[1]s)
	WHEN 'text' THEN %[1]s || ' '
	WHEN 'integer' THEN %[1]s + 1
	WHEN 'blob' THEN CAST(substr(%[1]s, 1, length(%[1]s) - 1) ||
		CASE substr(%[1]s, -1) WHEN x'3f' THEN x'40' ELSE x'3f' END AS BLOB)
	ELSE %[2]s END`

// TestEveryEditIsFound changes, one at a time, each column of each row of each
// audited table, deletes each row, and expects each to be named.
func TestEveryEditIsFound(t *testing.T) {
	db, err := sqlite.OpenConn(filepath.Join(ledgerOf(t), "gatehouse.db"), sqlite.OpenReadWrite)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	c := &conn{Conn: db, kept: map[string]*sqlite.Stmt{}}
	if faults := faultsOf(t, c); len(faults) > 0 {
		t.Fatalf("faults before any edit: %v", faults)
	}
	edits := 0
	for _, table := range auditedTables(t, c) {
		columns, key := columnsOf(t, c, table)
		for row := range count(t, c, table) {
			where := fmt.Sprintf("(%[1]s) = (SELECT %[1]s FROM %[2]s ORDER BY %[1]s LIMIT 1 OFFSET %[3]d)", key, table, row)
			for _, column := range columns {
				sql := fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s", table, column.name, fmt.Sprintf(edit, column.name, column.instead()), where)
				if tampered(t, c, sql) {
					edits++
				}
			}
			if tampered(t, c, fmt.Sprintf("DELETE FROM %s WHERE %s", table, where)) {
				edits++
			}
		}
	}
	// And whole tails, whose chains are good as far as they go.
	parts, err := readCatalogue(c)
	must(t, err)
	for _, p := range parts {
		tampered(t, c, p.on("DELETE FROM tokens_%d WHERE grp = (SELECT max(grp) FROM links_%d)"),
			p.on("DELETE FROM marks_%d WHERE grp = (SELECT max(grp) FROM links_%d)"),
			p.on("DELETE FROM links_%d WHERE grp = (SELECT max(grp) FROM links_%d)"))
		tampered(t, c, p.on("DROP TABLE tokens_%d"))
		tampered(t, c, p.on("UPDATE partitions SET rows = rows + 1 WHERE id = %d"))
		tampered(t, c, p.on("UPDATE partitions SET head = zeroblob(32) WHERE id = %d"))
	}
	tampered(t, c, "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
	tampered(t, c, "DELETE FROM partitions WHERE dropped IS NOT NULL")
	tampered(t, c, "UPDATE partitions SET head = zeroblob(32) WHERE dropped IS NOT NULL")
	tampered(t, c, "UPDATE clients SET id = 'three' WHERE id = 'two'")
	if edits < 500 {
		t.Fatalf("only %d edits were tried", edits)
	}
}

// tampered makes the edits, expects a fault, and takes them back. It reports
// whether there was anything to edit.
func tampered(t *testing.T, c *conn, edits ...string) bool {
	t.Helper()
	must(t, sqlitex.ExecuteTransient(c.Conn, "SAVEPOINT edit", nil))
	changed := true
	for _, sql := range edits {
		if err := sqlitex.ExecuteTransient(c.Conn, sql, nil); err != nil {
			if sqlite.ErrCode(err).ToPrimary() != sqlite.ResultConstraint {
				t.Fatalf("%s: %v", sql, err)
			}
			changed = false // the schema refuses it
		}
	}
	if changed && len(faultsOf(t, c)) == 0 {
		t.Errorf("not found: %s", strings.Join(edits, "; "))
	}
	must(t, sqlitex.ExecuteTransient(c.Conn, "ROLLBACK TO edit", nil))
	must(t, sqlitex.ExecuteTransient(c.Conn, "RELEASE edit", nil))
	return changed
}

func faultsOf(t *testing.T, c *conn) []string {
	t.Helper()
	check := &check{conn: c, drops: map[string]map[string]string{}}
	must(t, check.run())
	return check.report.Faults
}

func auditedTables(t *testing.T, c *conn) (names []string) {
	must(t, c.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", func(st *sqlite.Stmt) error {
		if name := st.ColumnText(0); audited.MatchString(name) {
			names = append(names, name)
		}
		return nil
	}))
	return names
}

type column struct{ name, kind string }

// instead is a value for a column that has none.
func (c column) instead() string {
	return map[string]string{"TEXT": "'x'", "INTEGER": "1", "BLOB": "x'01'"}[c.kind]
}

// columnsOf lists a table's columns, and those of its primary key.
func columnsOf(t *testing.T, c *conn, table string) (columns []column, key string) {
	must(t, c.rows("SELECT name, type, pk FROM pragma_table_info(?)", func(st *sqlite.Stmt) error {
		columns = append(columns, column{st.ColumnText(0), st.ColumnText(1)})
		if st.ColumnInt(2) > 0 {
			if key != "" {
				key += ", "
			}
			key += st.ColumnText(0)
		}
		return nil
	}, table))
	return columns, key
}

func count(t *testing.T, c *conn, table string) (n int) {
	must(t, c.rows("SELECT count(*) FROM "+table, func(st *sqlite.Stmt) error { n = st.ColumnInt(0); return nil }))
	return n
}
