package clients_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// A webhookApp is an app that takes messages, and can be away and come back on
// the same address.
type webhookApp struct {
	t    *testing.T
	addr string
	mu   sync.Mutex
	got  []webhookMessage
	stop func()
}

type webhookMessage struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func newWebhookApp(t *testing.T) *webhookApp {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &webhookApp{t: t, addr: l.Addr().String(), stop: func() {}}
	l.Close() // it is away at first
	t.Cleanup(func() { a.stop() })
	return a
}

// come has the app listen until leave.
func (a *webhookApp) come() {
	a.t.Helper()
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		m := webhookMessage{Headers: map[string]string{}, Body: string(body)}
		for name := range r.Header {
			m.Headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		a.mu.Lock()
		a.got = append(a.got, m)
		a.mu.Unlock()
	})}
	go func() { _ = server.Serve(l) }()
	a.stop = func() { server.Close() }
}

func (a *webhookApp) leave() { a.stop() }

// told are the users that the app was told of, each once, in the order in which
// it was told first; ids are those of the messages.
func (a *webhookApp) told() (users, ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.got {
		var said struct {
			Data struct {
				User string `json:"user"`
			} `json:"data"`
		}
		unmarshal(a.t, []byte(m.Body), &said)
		if id := m.Headers["webhook-id"]; !slices.Contains(ids, id) {
			users, ids = append(users, said.Data.User), append(ids, id)
		}
	}
	return users, ids
}

// verified says of each message whether npm standardwebhooks believes it.
func verified(t *testing.T, secret string, messages []webhookMessage) (ok []bool) {
	t.Helper()
	checkNode(t)
	install(t)
	in, err := json.Marshal(map[string]any{"secret": secret, "messages": messages})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "webhooks.mjs")
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(in)), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	unmarshal(t, out, &ok)
	return ok
}

// TestWebhooksOutliveTheServer kills the server right after each change, with
// the app away or there: every change is told in the end, in order, each under
// one id, and signed so that a library of the specification believes it.
func TestWebhooksOutliveTheServer(t *testing.T) {
	s := &server{binary: dev(t).binary, data: t.TempDir()}
	rounds := 3
	if os.Getenv("GATEHOUSE_SOAK") != "" {
		rounds = 100
	}
	app := newWebhookApp(t)
	serve := func() (kill func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		wait, err := s.startKillable(ctx)
		if err != nil {
			cancel()
			t.Fatal(err)
		}
		kill = sync.OnceFunc(func() {
			cancel()
			wait()
		})
		t.Cleanup(kill)
		return kill
	}
	kill := serve()
	bank := demoWithConnections(t, s)
	var hook struct {
		ID     string `json:"webhook_id"`
		Secret string `json:"secret"`
	}
	s.admin(t, &hook, "webhook", "create", "--client", bank.ClientID, "--environment", "live", "--url", "http://"+app.addr+"/hook")
	var want []string
	for i := range rounds {
		if i%2 == 1 {
			app.come()
		}
		want = append(want, fmt.Sprintf("user-%d", i))
		var linked struct{}
		s.admin(t, &linked, "connection", "create", "--client", bank.ClientID, "--environment", "live", "--user", want[i])
		kill()
		app.leave()
		kill = serve()
	}
	app.come()
	var again struct{}
	s.admin(t, &again, "webhook", "replay", hook.ID) // now, and not after the wait that the failures have earned
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if users, _ := app.told(); len(users) >= len(want) {
			break
		}
		if time.Now().After(end) {
			users, _ := app.told()
			t.Fatalf("told of %v, want %v", users, want)
		}
	}
	users, ids := app.told()
	if !slices.Equal(users, want) || len(ids) != len(want) {
		t.Errorf("told of %v under %d ids, want %v", users, len(ids), want)
	}
	app.mu.Lock()
	messages := slices.Clone(app.got)
	app.mu.Unlock()
	genuine := len(messages)
	changed, another := messages[0], messages[0]
	changed.Body = strings.Replace(changed.Body, "user-0", "user-1", 1)
	another.Headers = map[string]string{}
	for k, v := range messages[0].Headers {
		another.Headers[k] = v
	}
	another.Headers["webhook-id"] = "msg_another"
	for i, ok := range verified(t, hook.Secret, append(messages, changed, another)) {
		if ok != (i < genuine) {
			t.Errorf("message %d of %d: verified %v", i, genuine, ok)
		}
	}
	t.Logf("0 lost of %d, each followed by kill -9; %d deliveries, all verified", len(want), genuine)
}

// demoWithConnections is the demo client of the dialect that has connections.
func demoWithConnections(t *testing.T, s *server) demoClient {
	t.Helper()
	return s.client(t, "dapi", "live")
}
