package nodes_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// herdDialect is the smallest contract whose tokens have a format.
const herdDialect = `dialect: %[1]s
wire:
  issue:
    request:
      POST: /%[1]s/token
      body: {id: "{client_id}", secret: "{client_secret}"}
    response:
      body: {token: "{access_token}", ttl: "{life|seconds}"}
  errors:
    body: {error: "{error}"}
    invalid_request: {status: 400, error: bad_request}
    invalid_client: {status: 401, error: unauthorized}
    rate_limited: {status: 429, error: too_many}
    unavailable: {status: 503, error: unavailable}
    server_error: {status: 500, error: server_error}
token:
  %[2]s
  life: 1h
`

func jwtBy(algorithm string) string {
	return "jwt: {algorithm: " + algorithm + `, claims: {iss: "{issuer}", sub: "{client_id}", iat: "{issued_at|unix}", exp: "{expires_at|unix}", jti: "{token_id}"}}`
}

// Promise 18: the tokens of ten thousand clients have expired at the same moment.
// Each asks on a connection of its own, all at once, and all are served in time;
// those that ask for more than they may have are told when to come again. The
// short form is a tenth of them in the same time.
func TestHerd(t *testing.T) {
	clients := 1_000
	if soak() {
		clients = 10_000
	}
	formats := []struct {
		name, token string
		within      time.Duration
	}{
		{"ed25519", jwtBy("EdDSA"), 5 * time.Second},
		{"es256", jwtBy("ES256"), 5 * time.Second},
		{"opaque", "opaque: {}", 5 * time.Second},
		{"rs256", jwtBy("RS256"), 15 * time.Second},
	}
	n := &node{data: t.TempDir(), flags: []string{"--limits"}}
	for _, f := range formats {
		path := filepath.Join(t.TempDir(), f.name+".yaml")
		if err := os.WriteFile(path, fmt.Appendf(nil, herdDialect, f.name, f.token), 0o600); err != nil {
			t.Fatal(err)
		}
		n.flags = append(n.flags, "--dialect", path)
	}
	if _, err := n.start("sqlite:"+filepath.Join(n.data, "ledger"), base64.StdEncoding.EncodeToString(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stop)
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			herd := n.herd(t, f.name, clients)
			took, answers := stampede(t, n.url+"/"+f.name+"/token", herd)
			for i, a := range answers {
				if a.err != nil || a.status != http.StatusOK {
					t.Fatalf("client %d: %d, %v", i, a.status, a.err)
				}
			}
			t.Logf("%d clients, each on a connection of its own, were served in %v", clients, took)
			if took > f.within {
				t.Errorf("it took %v", took)
			}
			_, answers = stampede(t, n.url+"/"+f.name+"/token", herd[:len(herd)/10])
			for i, a := range answers {
				if wait, err := strconv.Atoi(a.retryAfter); a.status != http.StatusTooManyRequests || err != nil || wait < 1 || wait > 86_400 {
					t.Fatalf("client %d asked twice: %d, Retry-After %q, %v", i, a.status, a.retryAfter, a.err)
				}
			}
		})
	}
}

// herd makes clients of a dialect that may have one token a day, and returns
// what each sends.
func (n *node) herd(t *testing.T, dialect string, count int) [][]byte {
	t.Helper()
	bodies := make([][]byte, count)
	next := make(chan int)
	var making sync.WaitGroup
	for range 16 {
		making.Go(func() {
			for i := range next {
				body, err := n.herdClient(dialect, i)
				if err != nil {
					t.Error(err)
				}
				bodies[i] = body
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	making.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return bodies
}

func (n *node) herdClient(dialect string, i int) ([]byte, error) {
	wanted, err := json.Marshal(map[string]any{"name": fmt.Sprintf("herd %d", i), "dialect": dialect, "environments": []string{"live"}, "limit_rate": "1/d"})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, n.admin+"/admin/v1/clients", bytes.NewReader(wanted))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+n.adminToken)
	a, err := send(r)
	if err != nil {
		return nil, err
	}
	var made struct {
		Secrets []demoClient `json:"secrets"`
	}
	if err := a.decode(&made); err != nil || len(made.Secrets) != 1 {
		return nil, fmt.Errorf("creating a client: %d %s, %w", a.status, a.body, err)
	}
	return json.Marshal(map[string]string{"id": made.Secrets[0].ClientID, "secret": made.Secrets[0].ClientSecret})
}

// A herdAnswer is what one client of a stampede got.
type herdAnswer struct {
	status     int
	retryAfter string
	err        error
}

// stampede posts all bodies at once, each on a new connection, and returns how
// long it took until all had their answer.
func stampede(t *testing.T, url string, bodies [][]byte) (time.Duration, []herdAnswer) {
	t.Helper()
	client := &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	answers := make([]herdAnswer, len(bodies))
	begin := make(chan struct{})
	var asking sync.WaitGroup
	for i, body := range bodies {
		asking.Go(func() {
			<-begin
			answers[i] = ask(client, url, body)
		})
	}
	began := time.Now()
	close(begin)
	asking.Wait()
	return time.Since(began), answers
}

func ask(client *http.Client, url string, body []byte) herdAnswer {
	res, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return herdAnswer{err: err}
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return herdAnswer{res.StatusCode, res.Header.Get("Retry-After"), err}
}
