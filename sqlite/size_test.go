package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// The file grows by at most 400 bytes a token, indexes included: for the
// smallest row, which a client-credentials request leaves, and for the largest
// that is usual.
func TestBytesPerToken(t *testing.T) {
	const tokens, most = 20_000, 400
	for name, fill := range map[string]func(*gatehouse.TokenRecord){
		"opaque": func(*gatehouse.TokenRecord) {},
		"named JWT of a grant": func(r *gatehouse.TokenRecord) {
			r.Digest, r.Name, r.User = nil, token.NewID(r.IssuedAt).String(), "user-12345"
			r.Grant, r.Parent = token.NewID(r.IssuedAt), token.NewID(r.IssuedAt)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, clients := benchStore(t, 100, Options{})
			empty := size(t, s)
			inParallel(t, 64, tokens, func(i int) error {
				g := issue(clients[i%len(clients)], time.Now())
				fill(&g.Tokens[0])
				return s.Record(t.Context(), g)
			})
			dir := s.dir
			must(t, s.Close()) // the log goes into the database
			info, err := os.Stat(filepath.Join(dir, "gatehouse.db"))
			must(t, err)
			per := (info.Size() - empty) / tokens
			t.Logf("%d bytes a token", per)
			if per > most {
				t.Errorf("%d bytes a token, want %d at most", per, most)
			}
		})
	}
}

// size is the size of the database with the log moved into it.
func size(t *testing.T, s *Store) int64 {
	t.Helper()
	c := <-s.idle
	defer func() { s.idle <- c }()
	must(t, c.run("PRAGMA wal_checkpoint(TRUNCATE)"))
	info, err := os.Stat(filepath.Join(s.dir, "gatehouse.db"))
	must(t, err)
	return info.Size()
}
