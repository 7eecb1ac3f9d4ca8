package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// The connection dies between a commit and its answer. The store says that it
// doesn't know, and the same grant once more is not recorded twice.
func TestLostAnswerIsAnUnknownOutcome(t *testing.T) {
	server := postgrestest.Start(t)
	line := postgrestest.NewLine(t, server.Addr())
	url := server.URL(t)
	s := open(t, line.Through(url), Options{quiet: true})
	witness := open(t, url, Options{})
	c := saveClient(t, s)
	done, unknown := 0, 0
	for range 20 {
		must(t, retried(func() error { return s.Record(t.Context(), issue(c, time.Now())) })) // a line that works
		g := issue(c, time.Now())
		line.LoseCommits(true)
		err := s.Record(t.Context(), g)
		line.LoseCommits(false)
		if !errors.Is(err, gatehouse.ErrStore) {
			t.Fatalf("got %v, want an error of the store", err)
		}
		if errors.Is(err, gatehouse.ErrUnknownOutcome) {
			unknown++
		}
		time.Sleep(20 * time.Millisecond) // what is under way ends
		_, there := witness.Token(t.Context(), g.Tokens[0].ID)
		if there == nil {
			done++
			if !errors.Is(err, gatehouse.ErrUnknownOutcome) {
				t.Errorf("it was recorded, and the store said %v", err)
			}
		}
		again := retried(func() error { return s.Record(t.Context(), g) })
		if there == nil && !errors.Is(again, gatehouse.ErrExists) || there != nil && again != nil {
			t.Errorf("tried again: %v, and it was there: %v", again, there == nil)
		}
	}
	for range 5 {
		g := issue(c, time.Now())
		must(t, retried(func() error { return s.Record(t.Context(), g) }))
		line.LoseCommits(true)
		err := revoke(s, g)
		line.LoseCommits(false)
		time.Sleep(20 * time.Millisecond)
		is, readErr := witness.Token(t.Context(), g.Tokens[0].ID)
		must(t, readErr)
		if !is.RevokedAt.IsZero() && !errors.Is(err, gatehouse.ErrUnknownOutcome) {
			t.Errorf("it was revoked, and the store said %v", err)
		}
		must(t, retried(func() error { return revoke(s, g) })) // it goes on from where the chains end
	}
	t.Logf("20 lost answers: %d unknown outcomes, %d had been recorded", unknown, done)
	if done == 0 {
		t.Error("no answer was lost after a commit")
	}
	clean(t, witness)
}

// The server crashes while it commits a new writer, whose id it has sent by
// then. The writer has none.
func TestWriterThatWasNotCommitted(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.URL(t)
	open(t, url, Options{})
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := pgx.Connect(t.Context(), url)
		must(t, err)
		defer conn.Close(t.Context())
		conns[i] = conn
	}
	conn, witness := conns[0], conns[1]
	// Commits wait for a standby that there isn't, as soon as the server has read
	// that.
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"} {
		_, err := witness.Exec(t.Context(), statement)
		must(t, err)
	}
	var w *writer
	enrolled := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			w = &writer{}
			err = w.enrol(t.Context(), conn)
		}
		enrolled <- err
	}()
	for began, waits := time.Now(), false; !waits; time.Sleep(5 * time.Millisecond) {
		must(t, witness.QueryRow(t.Context(), "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&waits))
		if time.Since(began) > time.Minute {
			t.Fatal("no commit waits")
		}
	}
	server.KillOne(t, 0) // which crashes all
	if err := <-enrolled; w.id != 0 {
		t.Errorf("%v, and its id is %d", err, w.id)
	}
}

// revoke revokes the first token of a grant.
func revoke(s *Store, g *gatehouse.Grant) error {
	id := g.Tokens[0].ID
	act := gatehouse.Act{At: time.Now(), By: operator, Action: "token.revoke", Subject: id.String()}
	_, err := s.Revoke(context.Background(), act, gatehouse.Selection{Token: id})
	return err
}

// retried calls fn until the store answers.
func retried(fn func() error) (err error) {
	for range 50 {
		if err = fn(); !errors.Is(err, gatehouse.ErrStore) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// Nothing gets through and nothing breaks: each caller has its answer within
// two seconds, and all is well when the line is back.
func TestHalfOpenLine(t *testing.T) {
	t.Parallel() // it waits most of the time
	server := postgrestest.Start(t)
	line := postgrestest.NewLine(t, server.Addr())
	s := open(t, line.Through(server.URL(t)), Options{})
	c := saveClient(t, s)
	must(t, s.Record(t.Context(), issue(c, time.Now())))
	line.Hang(true)
	act := gatehouse.Act{At: time.Now(), By: operator, Action: "token.revoke"}
	var asking sync.WaitGroup
	for name, ask := range map[string]func(ctx context.Context) error{
		"Record":  func(ctx context.Context) error { return s.Record(ctx, issue(c, time.Now())) },
		"Token":   func(ctx context.Context) error { _, err := s.Token(ctx, issue(c, time.Now()).Tokens[0].ID); return err },
		"Journal": func(ctx context.Context) error { _, err := s.Journal(ctx, 0, 10); return err },
		"Revoke": func(ctx context.Context) error {
			_, err := s.Revoke(ctx, act, gatehouse.Selection{Client: c.ID})
			return err
		},
		"Ping": s.Ping,
	} {
		asking.Go(func() {
			for range 2 {
				began := time.Now()
				err := ask(t.Context())
				if took := time.Since(began); took > within(2*time.Second) || !errors.Is(err, gatehouse.ErrStore) {
					t.Errorf("%s, after %v: %v", name, took, err)
				}
			}
		})
	}
	asking.Wait()
	line.Hang(false)
	line.Cut()
	back := time.Now()
	must(t, retried(func() error { return s.Record(t.Context(), issue(c, time.Now())) }))
	must(t, retried(func() error { return s.Ping(t.Context()) }))
	t.Logf("back after %v", time.Since(back))
}

// A node that stops in the middle of an act holds up nobody for longer than
// the server waits for it.
func TestStoppedNodeLetsGoOfTheGate(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	s := open(t, url, Options{})
	c := saveClient(t, s)
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	must(t, err)
	stopped := &actTx{ctx: t.Context(), tx: tx}
	must(t, stopped.begin())
	began := time.Now()
	must(t, retried(func() error { return s.Record(t.Context(), issue(c, time.Now())) }))
	took := time.Since(began)
	t.Logf("the gate was free after %v", took)
	if took > idleInAct+time.Second {
		t.Error("that is too late")
	}
}
