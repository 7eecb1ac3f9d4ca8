package nodes_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
	"github.com/gatehouse-auth/gatehouse/test/built"
)

// soak reports whether the long forms run (`make soak`).
func soak() bool { return os.Getenv("GATEHOUSE_SOAK") != "" }

var binary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nodes:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "gatehouse-nodes-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if binary, err = built.Gatehouse(dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// A cluster is some nodes on one database.
type cluster struct {
	*testing.T
	database *postgrestest.Server
	url      string // of the database
	kek      string
	clients  []demoClient // what the first node printed
	nodes    []*node
}

type demoClient struct {
	Dialect      string `json:"dialect"`
	Environment  string `json:"environment"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// A node is one running `gatehouse dev`.
type node struct {
	data            string
	server          string   // its binary; "" is the one that all have
	env             []string // beside what all have, as flags are
	flags           []string
	url, admin      string
	adminToken      string
	cmd             *exec.Cmd
	clientsItListed int
}

// start runs n nodes on a new database, all but the first at once.
func start(t *testing.T, n int) *cluster {
	built.NoteSources()
	t.Helper()
	var key [32]byte
	_, _ = rand.Read(key[:])
	c := &cluster{T: t, database: postgrestest.Start(t), kek: base64.StdEncoding.EncodeToString(key[:])}
	c.url = c.database.URL(t)
	for range n {
		c.nodes = append(c.nodes, c.join())
	}
	return c
}

// join starts one more node, in a directory of its own.
func (c *cluster) join(change ...func(*node)) *node {
	c.Helper()
	n := &node{data: c.TempDir()}
	for _, to := range change {
		to(n)
	}
	clients, err := n.start(c.url, c.kek)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(n.stop)
	if len(clients) > 0 {
		c.clients = clients
	}
	return n
}

// start starts the node. One whose database didn't answer in time, on a machine
// that is busy with other tests, is started again.
func (n *node) start(database, kek string) (clients []demoClient, err error) {
	for range 5 {
		if clients, err = n.startOnce(database, kek); !errors.Is(err, io.EOF) {
			break
		}
	}
	return clients, err
}

func (n *node) startOnce(database, kek string) ([]demoClient, error) {
	args := []string{"dev", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", n.data, "--database", database}
	n.cmd = exec.Command(cmp.Or(n.server, binary), append(args, n.flags...)...)
	n.cmd.Stderr = os.Stderr
	n.cmd.Env = append(append(os.Environ(), "GATEHOUSE_LOG_LEVEL=error+4", "GATEHOUSE_KEY_ENCRYPTION_KEY="+kek), n.env...)
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		n.stop()
		return nil, fmt.Errorf("reading what dev prints: %w", err)
	}
	var said struct {
		URL        string       `json:"url"`
		AdminURL   string       `json:"admin_url"`
		AdminToken string       `json:"admin_token"`
		Clients    []demoClient `json:"clients"`
	}
	if err := json.Unmarshal(line, &said); err != nil {
		n.stop()
		return nil, fmt.Errorf("dev --json printed %q: %w", line, err)
	}
	n.url, n.admin, n.adminToken, n.clientsItListed = said.URL, said.AdminURL, said.AdminToken, len(said.Clients)
	return said.Clients, nil
}

// stop ends the node as an operator would.
func (n *node) stop() {
	if n.cmd != nil && n.cmd.ProcessState == nil {
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
		_ = n.cmd.Wait()
	}
}

// kill ends the node as a power cut would.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// client is the demo client of a dialect.
func (c *cluster) client(dialect, environment string) demoClient {
	c.Helper()
	for _, d := range c.clients {
		if d.Dialect == dialect && d.Environment == environment {
			return d
		}
	}
	c.Fatalf("the first node listed no client of %s in %s", dialect, environment)
	return demoClient{}
}

// patient is long enough to see an answer that is too late, and say how late.
var patient = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// An answer is what an HTTP server said.
type answer struct {
	status  int
	body    []byte
	tokenID string // what the gate says
	took    time.Duration
}

func (a answer) decode(to any) error {
	if err := json.Unmarshal(a.body, to); err != nil {
		return fmt.Errorf("status %d, %q: %w", a.status, a.body, err)
	}
	return nil
}

func send(r *http.Request) (a answer, err error) {
	began := time.Now()
	res, err := patient.Do(r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	a.body, err = io.ReadAll(res.Body)
	a.status, a.tokenID, a.took = res.StatusCode, res.Header.Get("Gatehouse-Token-Id"), time.Since(began)
	return a, err
}

func postForm(as demoClient, to string, form url.Values) (answer, error) {
	r, err := http.NewRequest(http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(as.ClientID, as.ClientSecret)
	return send(r)
}

var errRefused = errors.New("refused")

// issue gets a standard token from a node.
func (n *node) issue(as demoClient) (string, error) {
	a, err := postForm(as, n.url+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", fmt.Errorf("%w: %d %s", errRefused, a.status, a.body)
	}
	var said struct {
		AccessToken string `json:"access_token"`
	}
	err = a.decode(&said)
	return said.AccessToken, err
}

// verify asks a node's gate.
func (n *node) verify(token, environment string) (answer, error) {
	r, err := http.NewRequest(http.MethodGet, n.url+"/gate/verify?environment="+environment, nil)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return send(r)
}

// revoke revokes a token by RFC 7009.
func (n *node) revoke(as demoClient, token string) error {
	a, err := postForm(as, n.url+"/oauth2/revoke", url.Values{"token": {token}})
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%w: %d %s", errRefused, a.status, a.body)
	}
	return err
}

// gatehouse runs an administrative command against a node.
func (n *node) gatehouse(stdin string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append(args, "--json", "--admin-url", n.admin)...)
	cmd.Env = append(os.Environ(), "GATEHOUSE_ADMIN_TOKEN="+n.adminToken)
	cmd.Stdin = strings.NewReader(stdin)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("gatehouse %s: %w: %s", strings.Join(args, " "), err, problem.Bytes())
	}
	return out.Bytes(), nil
}

func (c *cluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}
