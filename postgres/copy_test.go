package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// A copy of the database is not served before it was restored, and not restored
// while nodes are on it.
func TestACopyIsNotServed(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.URL(t)
	first := open(t, url, Options{})
	c := saveClient(t, first)
	mark, err := first.Backup(t.Context(), nil)
	must(t, err)
	for range 20 {
		must(t, first.Record(t.Context(), issue(c, time.Now())))
	}
	later, err := first.Backup(t.Context(), nil)
	must(t, err)
	if _, err := Open(t.Context(), url, Options{Offline: true}); err == nil || !strings.Contains(err.Error(), "nodes are connected") {
		t.Errorf("a ledger that is served can be opened to be restored: %v", err)
	}
	must(t, first.Close())
	leaving, err := pgx.Connect(t.Context(), url+"&application_name="+nodeName)
	must(t, err)
	time.AfterFunc(300*time.Millisecond, func() { _ = leaving.Close(context.Background()) })
	alone, err := Open(t.Context(), url, Options{Offline: true})
	if err != nil {
		t.Fatalf("a node that is leaving isn't waited for: %v", err)
	}
	must(t, alone.Close())

	copied := server.CopyOf(t, url)
	if _, err := Open(t.Context(), copied, Options{}); !errors.Is(err, errCopied) {
		t.Fatalf("a copy is served: %v", err)
	}
	offline, err := Open(t.Context(), copied, Options{Offline: true})
	must(t, err)
	for _, m := range []*gatehouse.Manifest{mark, later} {
		faults, err := offline.Lacks(t.Context(), m)
		must(t, err)
		if len(faults) > 0 {
			t.Errorf("the copy lacks what it has: %v", faults)
		}
	}
	act := gatehouse.Act{At: time.Now(), By: operator, Action: "restore"}
	_, err = offline.Restart(t.Context(), act, gatehouse.Restart{Seq: 1 << 40, Epoch: time.Now()})
	must(t, err)
	must(t, offline.Close())
	open(t, copied, Options{})
	open(t, url, Options{}) // and so is the one that it was copied from
}

// What a mark has and a copy has not is named: the copy is older, or was edited.
func TestAMarkFindsWhatACopyLacks(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.URL(t)
	s := open(t, url, Options{})
	c := saveClient(t, s)
	for range 50 {
		must(t, s.Record(t.Context(), issue(c, time.Now())))
	}
	must(t, s.Close())
	old := server.CopyOf(t, url)
	edited := server.CopyOf(t, url)
	s = open(t, url, Options{})
	must(t, s.Record(t.Context(), issue(c, time.Now())))
	disabled := *c
	disabled.Version, disabled.State = 1, gatehouse.Disabled
	must(t, s.SaveClient(t.Context(), gatehouse.Act{At: time.Now(), By: operator, Action: "client.disable"}, &disabled))
	mark, err := s.Backup(t.Context(), nil)
	must(t, err)

	for name, url := range map[string]string{"an older copy": old, "an edited copy": edited} {
		o, err := Open(t.Context(), url, Options{Offline: true})
		must(t, err)
		if name == "an edited copy" {
			_, err := o.writes.Exec(context.Background(), "UPDATE links SET hash = sha256(hash)")
			must(t, err)
		}
		faults, err := o.Lacks(t.Context(), mark)
		must(t, err)
		if len(faults) < 2 {
			t.Errorf("%s: %v", name, faults)
		}
		must(t, o.Close())
	}
}
