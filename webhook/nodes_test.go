package webhook

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// Two nodes on one PostgreSQL: whichever made a change, each message comes once
// and in order; a node that stops leaves the rest to the other, which may tell
// again what was on its way just then.
func TestManyNodes(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	node := func() *fixture {
		store, err := postgres.Open(t.Context(), url, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return fixtureOn(t, store)
	}
	one := node()
	var err error
	one.client, err = one.engine.CreateClient(t.Context(), operator, gatehouse.NewClient{Name: "app", Dialect: "bank"}, nil)
	one.ok(err)
	two := node() // which finds the client there
	two.client = one.client
	r := newReceiver(t, nil)
	first, second := one.sender(nil), two.sender(nil)
	ep, _ := one.endpoint(first, gatehouse.Live, r.URL)
	stop := one.run(first)
	two.run(second)
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprint("user-", i))
		[]*fixture{one, two}[i%2].link(gatehouse.Live, want[i])
		if i == 15 {
			stop()
		}
	}
	two.until("all is told", func() bool { return two.queued(second, ep.ID, Delivered) == len(want) })
	if got := r.users(); len(got) > len(want)+1 || !slices.Equal(slices.Compact(slices.Clone(got)), want) {
		t.Errorf("told of %v", got)
	}
}
