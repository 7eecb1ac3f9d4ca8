package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// soak reports whether the long forms run (`make soak`).
func soak() bool { return os.Getenv("GATEHOUSE_SOAK") != "" }

// within is a promised time, and in the short form more than that: a machine
// that is busy with other tests need not keep it.
func within(promised time.Duration) time.Duration {
	if soak() {
		return promised
	}
	return 10 * promised
}

// callers issue and revoke on a store until they are stopped, and keep what
// each answer was.
type callers struct {
	store  *Store
	client *gatehouse.Client

	stopping chan struct{}
	running  sync.WaitGroup
	told     atomic.Int64 // how many changes were acknowledged
	ended    atomic.Int64 // how many of them are revocations

	mu      sync.Mutex
	done    []*gatehouse.Grant
	revoked []*gatehouse.Grant
	refused []*gatehouse.Grant // and so not done
	kept    []*gatehouse.Grant // whose revocation was refused
	unknown []*gatehouse.Grant
	slowest time.Duration
	odd     []error // no errors of a store
}

func call(s *Store, c *gatehouse.Client, n int) *callers {
	k := &callers{store: s, client: c, stopping: make(chan struct{})}
	for range n {
		k.running.Go(k.run)
	}
	return k
}

func (k *callers) run() {
	for n := 0; ; n++ {
		select {
		case <-k.stopping:
			return
		default:
		}
		g := issue(k.client, time.Now())
		err := k.timed(func(ctx context.Context) error { return k.store.Record(ctx, g) })
		k.keep(err, g, &k.done)
		if err == nil && n%5 == 0 {
			err := k.timed(func(context.Context) error { return revoke(k.store, g) })
			k.keepRevocation(err, g)
		}
		if err != nil {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func (k *callers) timed(fn func(context.Context) error) error {
	began := time.Now()
	err := fn(context.Background())
	took := time.Since(began)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.slowest = max(k.slowest, took)
	if err != nil && !errors.Is(err, gatehouse.ErrStore) {
		k.odd = append(k.odd, err)
	}
	return err
}

func (k *callers) keep(err error, g *gatehouse.Grant, done *[]*gatehouse.Grant) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		*done = append(*done, g)
		k.told.Add(1)
	case errors.Is(err, gatehouse.ErrUnknownOutcome):
		k.unknown = append(k.unknown, g)
	default:
		k.refused = append(k.refused, g)
	}
}

func (k *callers) keepRevocation(err error, g *gatehouse.Grant) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		k.revoked = append(k.revoked, g)
		k.told.Add(1)
		k.ended.Add(1)
	case !errors.Is(err, gatehouse.ErrUnknownOutcome):
		k.kept = append(k.kept, g)
	}
}

// awaitMore waits until n more changes were acknowledged, a revocation among
// them, and returns how long that took.
func (k *callers) awaitMore(t *testing.T, n int64) time.Duration {
	t.Helper()
	began := time.Now()
	goal, ended := k.told.Load()+n, k.ended.Load()
	for ; k.told.Load() < goal || k.ended.Load() == ended; time.Sleep(time.Millisecond) {
		if time.Since(began) > 3*time.Minute {
			t.Fatal("for minutes nothing was acknowledged, or no revocation")
		}
	}
	return time.Since(began)
}

func (k *callers) stop() {
	close(k.stopping)
	k.running.Wait()
}

// settled waits until the server has ended what lost connections had begun.
func settled(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		busy := 0
		must(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`).Scan(&busy))
		if busy == 0 {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%d sessions are still at work", busy)
		}
	}
}

// check compares the ledger with what callers were told, and has what failed
// tried again: nothing is recorded twice.
func (k *callers) check(t *testing.T, witness *Store) {
	t.Helper()
	there := map[gatehouse.TokenID]gatehouse.TokenRecord{}
	for q := (gatehouse.TokenQuery{Limit: 1_000}); ; {
		page, err := witness.Tokens(t.Context(), q)
		must(t, err)
		for _, r := range page {
			there[r.ID] = r
		}
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].ID
	}
	lost, half, committed := 0, 0, 0
	for _, g := range k.done {
		if _, ok := there[g.Tokens[0].ID]; !ok {
			lost++
		}
	}
	for _, g := range k.revoked {
		if there[g.Tokens[0].ID].RevokedAt.IsZero() {
			lost++
		}
	}
	for _, g := range k.refused {
		if _, ok := there[g.Tokens[0].ID]; ok {
			half++
		}
	}
	for _, g := range k.kept {
		if !there[g.Tokens[0].ID].RevokedAt.IsZero() {
			half++
		}
	}
	const triedAgain = 3_000 // of what may be very many
	for i, g := range append(k.unknown, k.refused...) {
		_, ok := there[g.Tokens[0].ID]
		if ok {
			committed++
		}
		if i >= triedAgain {
			continue
		}
		tries := 0
		err := retried(func() error {
			tries++
			return witness.Record(t.Context(), g)
		})
		is := errors.Is(err, gatehouse.ErrExists)
		if ok && !is || !ok && err != nil && !(is && tries > 1) {
			t.Errorf("tried again, where it was recorded: %v: %v", ok, err)
		}
	}
	t.Logf("%d tokens and %d revocations acknowledged: %d lost; %d refused: %d done; %d unknown: %d recorded; slowest answer %v",
		len(k.done), len(k.revoked), lost, len(k.refused)+len(k.kept), half, len(k.unknown), committed, k.slowest)
	if lost > 0 || half > 0 {
		t.Error("an answer was not true")
	}
	for _, err := range k.odd {
		t.Errorf("an error that is none of a store: %v", err)
	}
	if k.slowest > within(2*time.Second) {
		t.Errorf("an answer took %v", k.slowest)
	}
	clean(t, witness)
}

// flat expects about as many goroutines as before.
func flat(t *testing.T, before int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		now := runtime.NumGoroutine()
		if now <= before+8 {
			return
		}
		if time.Since(began) > 20*time.Second {
			t.Errorf("%d goroutines, of %d before", now, before)
			return
		}
	}
}

// PostgreSQL is killed again and again, all of it or one process, under callers
// that issue and revoke.
func TestKilledDatabaseLosesNothing(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.URL(t)
	s := open(t, url, Options{})
	c := saveClient(t, s)
	goroutines := runtime.NumGoroutine()
	kills := 4
	if soak() {
		kills = 100
	}
	k := call(s, c, 8)
	var slowest time.Duration
	for kill := range kills {
		k.awaitMore(t, 20)
		time.Sleep(rand.N(100 * time.Millisecond))
		if kill%2 == 0 {
			server.Kill(t)
			server.Restart(t)
		} else {
			server.KillOne(t, rand.IntN(1_000))
		}
		back := k.awaitMore(t, 1)
		slowest = max(slowest, back)
		if back > within(5*time.Second) {
			t.Errorf("kill %d: back after %v", kill, back)
		}
	}
	k.awaitMore(t, 20)
	k.stop()
	flat(t, goroutines)
	t.Logf("%d kills, back after %v at most", kills, slowest)
	settled(t, url)
	k.check(t, s)
}

// A line that is cut, reset, slow, half-open, and loses answers, at random.
// Every answer that a caller had is true.
func TestUnsteadyLine(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.URL(t)
	line := postgrestest.NewLine(t, server.Addr())
	s := open(t, line.Through(url), Options{})
	witness := open(t, url, Options{})
	c := saveClient(t, witness)
	goroutines := runtime.NumGoroutine()
	faults := []struct {
		name string
		fail func(begin bool)
	}{
		{"cut", func(bool) { line.Cut() }},
		{"reset", func(bool) { line.Reset() }},
		{"answers lost", line.Lose},
		{"answers after a commit lost", line.LoseCommits},
		{"half-open", line.Hang},
		{"half-open, then cut", func(begin bool) {
			if line.Hang(begin); !begin {
				line.Cut()
			}
		}},
		{"slow", func(begin bool) {
			if line.Delay(0); begin {
				line.Delay(30 * time.Millisecond)
			}
		}},
		{"gone", func(begin bool) {
			line.Down(begin)
			line.Cut()
		}},
		{"notices lost", line.Deafen},
	}
	rounds := len(faults)
	if soak() {
		rounds = 50 * len(faults)
	}
	k := call(s, c, 16)
	for round := range rounds {
		fault := faults[round%len(faults)]
		k.awaitMore(t, 5)
		fault.fail(true)
		time.Sleep(rand.N(150 * time.Millisecond))
		fault.fail(false)
		if back := k.awaitMore(t, 1); back > within(5*time.Second) {
			t.Errorf("after %q it is back after %v", fault.name, back)
		}
	}
	k.stop()
	flat(t, goroutines)
	settled(t, url)
	t.Logf("%d faults", rounds)
	k.check(t, witness)
}

// A line so slow that no answer comes in time: callers have one within 2 s, and
// it is true.
func TestLineTooSlow(t *testing.T) {
	t.Parallel() // it waits most of the time
	server := postgrestest.Start(t)
	url := server.URL(t)
	line := postgrestest.NewLine(t, server.Addr())
	s := open(t, line.Through(url), Options{})
	witness := open(t, url, Options{})
	c := saveClient(t, witness)
	k := call(s, c, 8)
	k.awaitMore(t, 20)
	line.Delay(3 * time.Second)
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		k.mu.Lock()
		failed := len(k.refused) + len(k.unknown)
		k.mu.Unlock()
		if failed >= 16 { // each caller, twice
			break
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatal("callers wait for ever")
		}
	}
	line.Delay(0)
	if back := k.awaitMore(t, 1); back > within(5*time.Second) {
		t.Errorf("it is back after %v", back)
	}
	k.stop()
	settled(t, url)
	k.check(t, witness)
}
