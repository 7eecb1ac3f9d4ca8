package nodes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
)

// A later version's migration, which only adds.
const laterMigration = "ALTER TABLE tokens ADD COLUMN of_a_later_version text;"

// laterVersion builds a Gatehouse as a later version may be: its schema has one
// more migration.
func laterVersion(dir string) (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(filepath.Join(root, "postgres/migrate.go"))
	if err != nil {
		return "", err
	}
	readers := regexp.MustCompile(`(var oldestReader = \[\]int\{[^}]*)\}`)
	if !readers.Match(source) {
		return "", errors.New("postgres/migrate.go doesn't say which schema a program must know")
	}
	replace := map[string]string{}
	for name, content := range map[string]string{
		"postgres/migrate.go":               readers.ReplaceAllString(string(source), "$1, 1}"),
		"postgres/migrations/9999_next.sql": laterMigration,
	} {
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		return "", err
	}
	later := filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-overlay", path, "-ldflags", "-s -w", "-o", later, "./cmd/gatehouse")
	build.Dir = root
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building a later version: %w\n%s", err, said)
	}
	return later, nil
}

// migrateLater does to the database what the start of a later version does.
func (c *cluster) migrateLater() error {
	db, err := pgx.Connect(c.Context(), c.url)
	if err != nil {
		return err
	}
	defer db.Close(context.Background())
	_, err = db.Exec(c.Context(), laterMigration+
		"INSERT INTO gatehouse_schema (version, oldest_reader) SELECT max(version) + 1, max(oldest_reader) FROM gatehouse_schema")
	return err
}

// A caller is a program that gets a token and uses it, through one front.
type caller struct {
	front  string
	client *http.Client
	as     demoClient
	token  string
}

// call gets a token, or has the last one verified.
func (c *caller) call() error {
	if c.token != "" {
		r, err := http.NewRequest(http.MethodGet, c.front+"/gate/verify?environment=live", nil)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+c.token)
		c.token = ""
		return c.send(r, nil)
	}
	r, err := http.NewRequest(http.MethodPost, c.front+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(c.as.ClientID, c.as.ClientSecret)
	var said struct {
		AccessToken string `json:"access_token"`
	}
	err = c.send(r, &said)
	c.token = said.AccessToken
	return err
}

// errBusy is what a node itself says where its database is too slow.
var errBusy = errors.New("the node's database is too slow")

func (c *caller) send(r *http.Request, to any) error {
	res, err := c.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Gatehouse-Request-Id") != "" && res.Header.Get("Retry-After") != "":
		return fmt.Errorf("%w: %s", errBusy, body)
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s gets %d %s", r.URL, res.StatusCode, body)
	case to == nil:
		return nil
	}
	return json.Unmarshal(body, to)
}

// steadily calls so often in a second until stop is closed.
func (c *caller) steadily(perSecond int, stop <-chan struct{}, done func(took time.Duration, err error)) {
	next := time.NewTicker(time.Second / time.Duration(perSecond))
	defer next.Stop()
	for {
		select {
		case <-stop:
			return
		case <-next.C:
			began := time.Now()
			err := c.call()
			done(time.Since(began), err)
		}
	}
}

// Promise 20, by the files of examples/nodes: nodes behind HAProxy and behind
// nginx are restarted in turn, as this version and as a later one, while callers
// get tokens and use them. No request fails. The short form has the later one's
// schema only: building it takes as long as all the rest.
func TestRollingRestart(t *testing.T) {
	restarts, perSecond := 4, 100
	if soak() {
		restarts, perSecond = 20, 600 // some calls wait, and are missed then
	}
	c := start(t, 0)
	later := binary
	if soak() {
		var err error
		later, err = laterVersion(t.TempDir())
		c.must(err)
	}
	nodes := c.serve(2)
	f := c.certificate()
	viaHAProxy, bothTakePart := c.haproxy(nodes[0], nodes[1], f)
	fronts := []string{viaHAProxy, c.nginx(nodes[0], nodes[1], f)}

	out, err := nodes[0].gatehouse("", "client", "create", "--name", "caller", "--dialect", "oauth2", "--environment", "live", "--limit-rate", "1000000/s")
	c.must(err)
	var made struct {
		Secrets []demoClient `json:"secrets"`
	}
	c.must(json.Unmarshal(out, &made))
	callers := make([]*caller, 100)
	for i := range callers {
		callers[i] = &caller{front: fronts[i%len(fronts)], as: made.Secrets[0], client: &http.Client{
			Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: f.client, MaxIdleConnsPerHost: 4},
		}}
	}
	c.must(awaitOK(bothTakePart, 60*time.Second))
	for _, caller := range callers {
		for began := time.Now(); ; time.Sleep(50 * time.Millisecond) { // its front may be starting
			err := caller.call()
			if err == nil {
				break
			}
			if time.Since(began) > 60*time.Second {
				t.Fatal(err)
			}
		}
	}
	var asked, busy, failed, slowest atomic.Int64
	stop := make(chan struct{})
	var calling sync.WaitGroup
	began := time.Now()
	for _, caller := range callers {
		calling.Go(func() {
			caller.steadily(perSecond/len(callers), stop, func(took time.Duration, err error) {
				asked.Add(1)
				for s := slowest.Load(); int64(took) > s && !slowest.CompareAndSwap(s, int64(took)); s = slowest.Load() {
				}
				switch {
				case err == nil:
				case errors.Is(err, errBusy) && !soak():
					busy.Add(1) // the caller asks again: other tests have the machine
				case failed.Add(1) < 10:
					t.Error(err)
				}
			})
		})
	}
	// A later version beside this one, this one started again on the later
	// schema, a step back, and forward.
	versions := []string{later, binary, binary, later}
	for i := range restarts {
		n := nodes[i%2]
		if i == 1 && later == binary {
			if err := c.migrateLater(); err != nil {
				t.Error(err)
				break
			}
		}
		n.stop()
		if err := n.start(versions[i%4]); err != nil {
			t.Error(err)
			break
		}
		if err := awaitOK(bothTakePart, 60*time.Second); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	calling.Wait()
	t.Logf("%d restarts under %d requests, %.0f a second: %d failed, %d met a slow database; the slowest took %v",
		restarts, asked.Load(), float64(asked.Load())/time.Since(began).Seconds(), failed.Load(), busy.Load(), time.Duration(slowest.Load()))
	if answered := asked.Load() - busy.Load(); answered < asked.Load()/2 {
		t.Errorf("only %d of %d requests were answered", answered, asked.Load())
	}
}
