package sqlite

import (
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite/sqlitemigration"

	"github.com/gatehouse-auth/gatehouse"
)

// A directory of the first released schema has no documents; opening it makes
// room for them and keeps what is there.
func TestOlderDirectoryGetsDocuments(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gatehouse.db")
	if err := makeFile(path); err != nil {
		t.Fatal(err)
	}
	c, err := openConn(path, "FULL")
	if err != nil {
		t.Fatal(err)
	}
	first := schema
	first.Migrations = schema.Migrations[:1]
	if err := sqlitemigration.Migrate(t.Context(), c.Conn, first); err != nil {
		t.Fatal(err)
	}
	if err := c.run("INSERT INTO settings (name, value) VALUES (?, ?)", "issuer", []byte("https://issuer.example")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, Options{})
	if err := s.Keep(t.Context(), nil, gatehouse.Document{Kind: "user", Key: "one"}); err != nil {
		t.Fatal(err)
	}
	issuer, err := s.Setting(t.Context(), "issuer", nil)
	if err != nil || string(issuer) != "https://issuer.example" {
		t.Fatalf("the issuer is %q, %v", issuer, err)
	}
}
