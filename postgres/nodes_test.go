package postgres

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// Two stores on one database are what two nodes are. Grants that only the
// database can order: each code is spent once, whoever tries.
func TestTwoStoresSpendOnce(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	stores := []*Store{open(t, url, Options{}), open(t, url, Options{})}
	c := saveClient(t, stores[0])
	now := time.Now()
	codes := make([]*gatehouse.Grant, 200)
	for i := range codes {
		codes[i] = refreshing(c, now)
		must(t, stores[i%2].Record(t.Context(), codes[i]))
	}
	won := make([]atomic.Int64, len(codes))
	inParallel(t, 64, 8*len(codes), func(i int) error {
		code := i / 8
		err := stores[i%2].Record(t.Context(), spending(c, codes[code], now))
		var spent *gatehouse.SpentError
		switch {
		case err == nil:
			won[code].Add(1)
		case !errors.As(err, &spent):
			return err
		}
		return nil
	})
	for i := range won {
		if n := won[i].Load(); n != 1 {
			t.Errorf("code %d was spent %d times", i, n)
		}
	}
	clean(t, stores[0])
}

// A revoked grant has no live descendant, when the revocation is another
// node's.
func TestTwoStoresRevokeAndRefresh(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	stores := []*Store{open(t, url, Options{}), open(t, url, Options{})}
	c := saveClient(t, stores[0])
	now := time.Now()
	var granted atomic.Int64
	inParallel(t, 32, 400, func(i int) error {
		r := refreshing(c, now)
		if err := stores[i%2].Record(t.Context(), r); err != nil {
			return err
		}
		var racing sync.WaitGroup
		var revoked, used error
		racing.Go(func() {
			act := gatehouse.Act{At: now.Add(time.Second), By: operator, Action: "token.revoke"}
			_, revoked = stores[i%2].Revoke(t.Context(), act, gatehouse.Selection{Token: r.Tokens[0].ID})
		})
		racing.Go(func() { used = stores[(i+1)%2].Record(t.Context(), spending(c, r, now.Add(time.Second))) })
		racing.Wait()
		if used == nil {
			granted.Add(1)
		} else if !errors.Is(used, gatehouse.ErrRevoked) {
			return used
		}
		return revoked
	})
	live, err := stores[0].Tokens(t.Context(), gatehouse.TokenQuery{Status: gatehouse.StatusActive, Now: now.Add(2 * time.Second)})
	must(t, err)
	if len(live) > 0 {
		t.Errorf("%d tokens of revoked grants live on", len(live))
	}
	t.Logf("400 races, the refresh came first in %d", granted.Load())
	clean(t, stores[1])
}

// Both make the same partition, and know what the other has made and dropped.
func TestTwoStoresShareThePartitions(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	stores := []*Store{open(t, url, Options{}), open(t, url, Options{})}
	c := saveClient(t, stores[0])
	for hour := range 5 {
		now := time.Now().Add(time.Duration(hour) * time.Hour)
		inParallel(t, 8, 40, func(i int) error { return stores[i%2].Record(t.Context(), issue(c, now)) })
	}
	gone, err := stores[0].Expire(t.Context(), time.Now().Add(24*time.Hour))
	must(t, err)
	if gone.Tokens != 5*40 {
		t.Errorf("%d tokens left the ledger, want 200", gone.Tokens)
	}
	must(t, stores[1].Record(t.Context(), issue(c, time.Now())))
	clean(t, stores[1])
}

// Where no notice comes, the journal tells the same.
func TestNoticesAreOnlyAHint(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	deaf, other := open(t, url, Options{quiet: true}), open(t, url, Options{})
	saveClient(t, other)
	select {
	case <-deaf.Wake():
		t.Fatal("a store that doesn't listen was woken")
	case <-time.After(100 * time.Millisecond):
	}
	entries, err := deaf.Journal(t.Context(), 0, 10)
	must(t, err)
	if len(entries) != 1 {
		t.Fatalf("%d entries, want 1", len(entries))
	}
}

// The notice of another store's change comes at once.
func TestAnotherStoreIsWoken(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	listening, other := open(t, url, Options{}), open(t, url, Options{})
	<-listening.Wake() // it listens
	saveClient(t, other)
	select {
	case <-listening.Wake():
	case <-time.After(5 * time.Second):
		t.Fatal("no wake")
	}
}

// clean ends the test unless the hash chains are whole.
func clean(t *testing.T, s *Store) {
	t.Helper()
	report, err := s.CheckAudit(t.Context())
	must(t, err)
	for _, fault := range report.Faults {
		t.Errorf("the audit chain has a fault: %s", fault)
	}
}
