package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// childDir is set in a process that TestKill started: it issues and revokes in
// that directory until it is killed.
const childDir = "GATEHOUSE_TEST_STORE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := crashingChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// crashingChild prints a line for each answer that the store gave: "+id" for a
// token recorded, "-id" for one revoked.
func crashingChild(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, dir, Options{partitionRows: 2_000})
	if err != nil {
		return err
	}
	c := newClient("one")
	if err := s.SaveClient(ctx, createAct, c); err != nil {
		if c, err = s.Client(ctx, "one"); err != nil {
			return err
		}
	}
	var out sync.Mutex
	var running sync.WaitGroup
	for worker := range 16 {
		running.Go(func() {
			for n := 0; ; n++ {
				g := issue(c, time.Now())
				t := &g.Tokens[0]
				t.ExpiresAt = t.ExpiresAt.Add(time.Duration(worker) * time.Hour)
				if err := s.Record(ctx, g); err != nil {
					panic(err)
				}
				line := "+" + t.ID.String() + "\n"
				if n%5 == 0 {
					act := gatehouse.Act{At: time.Now(), By: actor, Action: "token.revoke", Subject: t.ID.String()}
					if _, err := s.Revoke(ctx, act, gatehouse.Selection{Token: t.ID}); err != nil {
						panic(err)
					}
					line += "-" + t.ID.String() + "\n"
				}
				out.Lock()
				_, _ = os.Stdout.WriteString(line)
				out.Unlock()
			}
		})
	}
	running.Wait()
	return nil
}

// TestKill kills a process that issues and revokes, again and again on the
// same directory, and looks for everything that it had been told was done.
func TestKill(t *testing.T) {
	const kills = 20
	dir := t.TempDir()
	recorded, revoked := map[string]bool{}, map[string]bool{}
	for kill := range kills {
		runUntilKilled(t, dir, time.Duration(50+rand.IntN(250))*time.Millisecond, recorded, revoked)
		started := time.Now()
		s, err := Open(t.Context(), dir, Options{partitionRows: 2_000})
		must(t, err)
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("kill %d: opening took %v", kill, took)
		}
		must(t, s.IntegrityCheck(t.Context()))
		lost, there := 0, everyToken(t, s)
		for id := range recorded {
			if r, ok := there[id]; !ok || revoked[id] && r.RevokedAt.IsZero() {
				lost++
			}
		}
		if lost > 0 {
			t.Fatalf("kill %d: %d of %d acknowledged changes are lost", kill, lost, len(recorded)+len(revoked))
		}
		if kill == kills-1 {
			report, err := s.CheckAudit(t.Context())
			must(t, err)
			for _, fault := range report.Faults {
				t.Error(fault)
			}
		}
		must(t, s.Close())
	}
	t.Logf("%d kills, %d tokens and %d revocations, none lost", kills, len(recorded), len(revoked))
	if len(recorded) < 1_000 || len(revoked) < 100 {
		t.Fatal("that is too few to show anything")
	}
}

// everyToken lists the ledger, by ids as text.
func everyToken(t *testing.T, s *Store) map[string]gatehouse.TokenRecord {
	t.Helper()
	all := map[string]gatehouse.TokenRecord{}
	for q := (gatehouse.TokenQuery{Limit: listLimit}); ; {
		page, err := s.Tokens(t.Context(), q)
		must(t, err)
		for _, r := range page {
			all[r.ID.String()] = r
		}
		if len(page) < listLimit {
			return all
		}
		q.Before = page[len(page)-1].ID
	}
}

func runUntilKilled(t *testing.T, dir string, life time.Duration, recorded, revoked map[string]bool) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(pipe)
	var timer *time.Timer
	for lines.Scan() {
		if timer == nil { // from its first answer on
			timer = time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
		}
		line := lines.Text()
		if len(line) != 37 {
			continue // cut short by the kill: nobody was told
		}
		if id, ok := strings.CutPrefix(line, "-"); ok {
			revoked[id] = true
		} else {
			recorded[line[1:]] = true
		}
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatalf("the child ended by itself: %v\n%s", err, stderr.String())
	}
}
