package postgres

import (
	"context"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
	"github.com/gatehouse-auth/gatehouse/storetest"
)

func TestStore(t *testing.T) {
	server := postgrestest.Start(t)
	storetest.Run(t, func(t *testing.T) gatehouse.Store { return open(t, server.URL(t), Options{}) })
}

func TestReopen(t *testing.T) {
	server := postgrestest.Start(t)
	storetest.RunReopen(t, func(t *testing.T) (gatehouse.Store, func() gatehouse.Store) {
		url := server.URL(t)
		s := open(t, url, Options{})
		return s, func() gatehouse.Store {
			must(t, s.Close())
			return open(t, url, Options{})
		}
	})
}

// open returns a store, which is closed when the test ends.
func open(t testing.TB, url string, opt Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), url, opt)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
