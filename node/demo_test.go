package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// opened is a node on dir, with two dialects, that does not run.
func opened(t *testing.T, dir string) *Node {
	t.Helper()
	settings, err := LoadSettings("", map[string]any{
		"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "database": "sqlite:" + dir, "dialects": []string{"dapi", "su"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	settings.Dev = true
	n, err := Open(t.Context(), settings, admin.Version{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func demoOf(t *testing.T, n *Node) []DemoClient {
	t.Helper()
	clients, err := n.Demo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		var d *dialect.Dialect
		for _, known := range n.Dialects() {
			if known.Name == c.Dialect {
				d = known
			}
		}
		id := c.ClientID
		if d != nil {
			id, _ = d.FromWire(dialect.ClientID, id)
		}
		who, err := n.Engine().ProveClient(t.Context(), gatehouse.System("test"), gatehouse.ClientProof{
			Dialect: c.Dialect, ClientID: gatehouse.ClientID(id), Secret: c.ClientSecret.Text,
		})
		if err != nil || string(who.Environment) != c.Environment {
			t.Errorf("%s in %s: what dev prints proves nothing: %v", c.Name, c.Environment, err)
		}
	}
	return clients
}

func sameSecrets(a, b []DemoClient) bool {
	return slices.EqualFunc(a, b, func(x, y DemoClient) bool {
		return x.ClientID == y.ClientID && x.Environment == y.Environment && x.ClientSecret.Equal(y.ClientSecret.Text)
	})
}

func TestDemoIsKept(t *testing.T) {
	dir := t.TempDir()
	n := opened(t, dir)
	first := demoOf(t, n)
	if len(first) != 6 {
		t.Fatalf("%d credential pairs, want 6", len(first))
	}
	n.Close()
	n = opened(t, dir)
	if !sameSecrets(first, demoOf(t, n)) {
		t.Error("a second start prints other secrets")
	}

	// A start that died before it kept the secrets leaves clients that nobody
	// can use: they get further ones, however often that happens.
	for range 3 {
		if err := os.Remove(filepath.Join(dir, demoFile)); err != nil {
			t.Fatal(err)
		}
		if sameSecrets(first, demoOf(t, n)) {
			t.Error("the old secrets were found again")
		}
	}
	kept := demoOf(t, n)

	// What its user did away with stays away.
	gone := kept[len(kept)-1]
	for _, c := range n.Engine().Clients("", 100) {
		if c.Dialect == gone.Dialect {
			if _, err := n.Engine().SetClientState(t.Context(), gatehouse.System("test"), c.ID, gatehouse.Deleted); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := demoOf(t, n)
	if len(left) != 4 {
		t.Errorf("%d credential pairs are left, want 4", len(left))
	}
	for _, c := range left {
		if c.ClientID == gone.ClientID {
			t.Error("a deleted client is printed")
		}
	}
	n.Close()
}

func TestDemoFileIsPrivate(t *testing.T) {
	dir := t.TempDir()
	token, err := DemoAdminToken(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := DemoAdminToken(dir)
	if err != nil || !again.Equal(token) {
		t.Errorf("the admin token is another one: %v", err)
	}
	path := filepath.Join(dir, demoFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := DemoAdminToken(dir); err == nil {
		t.Error("a file that others may read was taken")
	}
}
