package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	lib "modernc.org/sqlite/lib"

	"github.com/gatehouse-auth/gatehouse"
)

// childDir is set in a process that the tests of this file started: it issues
// and revokes in that directory until it is killed. Where killAt is set too, it
// kills itself before that operation on its files.
const (
	childDir = "GATEHOUSE_TEST_STORE"
	killAt   = "GATEHOUSE_TEST_KILL_AT"
)

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
	if text := os.Getenv(killAt); text != "" {
		at, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		if err := watchDir(dir, killing(at)); err != nil {
			return err
		}
	}
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

// killing is a disk that ends the process before the n-th change or sync of a
// file.
func killing(n int) *disk {
	return &disk{meddle: func(op operation) int32 {
		if op.kind != opCreate {
			n--
		}
		if n == 0 {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {} // until it comes
		}
		return lib.SQLITE_OK
	}}
}

// TestKill kills a process that issues and revokes, again and again on the
// same directory, and looks for everything that it had been told was done.
func TestKill(t *testing.T) {
	directories, kills := 1, 6 // and kills of each
	if soak() {
		directories, kills = 25, 20
	}
	told := 0
	for range directories {
		dir := t.TempDir()
		recorded, revoked := map[string]bool{}, map[string]bool{}
		for kill := range kills {
			runUntilKilled(t, dir, rand.N(250*time.Millisecond), 0, recorded, revoked)
			if err := verify(t.Context(), dir, toldOf(recorded, revoked)); err != nil {
				t.Errorf("kill %d: %v", kill, err)
			}
		}
		told += len(recorded) + len(revoked)
		if len(recorded) < 100 || len(revoked) < 10 {
			t.Fatal("that is too few to show anything")
		}
	}
	t.Logf("%d kills, %d tokens and revocations, none lost", directories*kills, told)
}

// toldOf is what a killed process had said, as notes.
func toldOf(recorded, revoked map[string]bool) notes {
	told := notes{}
	for id := range recorded {
		told["+"+id] = true
	}
	for id := range revoked {
		told["-"+id] = true
	}
	return told
}

// runUntilKilled runs a process in dir until it is killed, some time after its
// first answers or before its n-th operation, and notes what it was told.
func runUntilKilled(t *testing.T, dir string, life time.Duration, n int, recorded, revoked map[string]bool) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	if n > 0 {
		cmd.Env = append(cmd.Env, killAt+"="+strconv.Itoa(n))
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(pipe)
	const enough = 40 // answers, however busy the machine is
	answers := 0
	for lines.Scan() {
		if answers++; answers == enough && n == 0 {
			time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
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

// A process is killed before each of the writes and syncs of its first start,
// and of its work. Whatever it was killed at, what it had told is there.
func TestKillAtEachOperation(t *testing.T) {
	first, later := 13, 24 // kills of first starts, and of later ones
	if soak() {
		first, later = 400, 2_000
	}
	var kills, told atomic.Int64
	kill := func(t *testing.T, dir string, n int, recorded, revoked map[string]bool) {
		runUntilKilled(t, dir, 0, n, recorded, revoked)
		if err := verify(t.Context(), dir, toldOf(recorded, revoked)); err != nil {
			t.Errorf("killed before operation %d: %v", n, err)
		}
		kills.Add(1)
	}
	var starting sync.WaitGroup
	room := make(chan struct{}, 2)
	run := func(fn func()) {
		room <- struct{}{}
		starting.Go(func() {
			defer func() { <-room }()
			fn()
		})
	}
	const operationsOfStart = 65
	for i := range first {
		n := 1 + i
		if first < operationsOfStart {
			n = 1 + i*operationsOfStart/first
		}
		dir := t.TempDir()
		run(func() { kill(t, dir, n, map[string]bool{}, map[string]bool{}) })
	}
	const lives = 8 // of one directory
	for range later / lives {
		dir := t.TempDir()
		run(func() {
			recorded, revoked := map[string]bool{}, map[string]bool{}
			for range lives {
				kill(t, dir, 1+rand.IntN(2_000), recorded, revoked)
			}
			told.Add(int64(len(recorded) + len(revoked)))
		})
	}
	starting.Wait()
	t.Logf("%d kills, each before a write or sync; %d changes acknowledged, 0 lost unless an error says so", kills.Load(), told.Load())
	if told.Load() == 0 {
		t.Error("nothing was acknowledged, so this shows nothing")
	}
}
