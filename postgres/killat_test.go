package postgres

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// PostgreSQL is killed, one process or all of it, when it is about to make its
// n-th write or sync: of its log, of its tables, of what a checkpoint notes.
// Whatever it was killed at, what callers had been told is there.
func TestDatabaseKilledAtEachWrite(t *testing.T) {
	calls := []string{"pwrite64", "fdatasync", "fsync", "pwritev", "write"}
	depth, stride := 40, 37 // six kills, of each call, ever deeper
	if soak() {
		depth, stride = 60, 1
	}
	server := postgrestest.Start(t, "--wal-segsize=1") // MB: new files of the log are soon begun
	url := server.URL(t)
	s := open(t, url, Options{})
	k := call(s, saveClient(t, s), 8)
	stop := keepCheckpointing(t, url)
	kills, at := 0, map[string]int{}
	var slowest time.Duration
	for i := 0; i < depth*len(calls); i += stride {
		k.awaitMore(t, 20)
		names, n := calls[i%len(calls)], 1+i/len(calls)
		if kills%2 == 0 {
			at[server.KillAt(t, names, n)]++
			server.Restart(t)
		} else {
			at[server.KillOneAt(t, names, n)]++
		}
		kills++
		back := k.awaitMore(t, 1)
		slowest = max(slowest, back)
		if back > within(5*time.Second) {
			t.Errorf("killed at %s %d: back after %v", names, n, back)
		}
	}
	stop()
	k.awaitMore(t, 20)
	k.stop()
	t.Logf("%d kills, back after %v at most", kills, slowest)
	for _, what := range slices.Sorted(maps.Keys(at)) {
		t.Logf("%4d before %s", at[what], what)
	}
	settled(t, url)
	k.check(t, s)
}

// keepCheckpointing has the server write its tables, and begin new files of its
// log where it would use old ones again, all the time: else it does so every few
// minutes.
func keepCheckpointing(t *testing.T, url string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if err := checkpoints(ctx, url); err != nil {
				time.Sleep(10 * time.Millisecond) // it was killed
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func checkpoints(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range []string{"ALTER SYSTEM SET wal_recycle = off", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	for {
		for _, statement := range []string{"SELECT pg_switch_wal()", "CHECKPOINT"} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
	}
}
