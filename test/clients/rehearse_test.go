package clients_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/agent"
	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A stage is `gatehouse dev --rehearse`, which grades the program that calls.
type stage struct {
	url        string
	client     demoClient
	secretFile string
	lines      *bufio.Reader
	cmd        *exec.Cmd
	data       string
}

// markup is what is read of a report.
type markup struct {
	Marks  int `json:"marks"`
	Of     int `json:"of"`
	Points []struct {
		Name   string `json:"name"`
		Detail string `json:"detail"`
		Held   bool   `json:"held"`
	} `json:"points"`
}

func rehearsalOf(t *testing.T, dialect string) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{secretFile: filepath.Join(dir, "secret"), data: filepath.Join(dir, "data")}
	plan := filepath.Join(dir, "plan.yaml")
	text := "client: demo-" + dialect + "\nenvironment: live\nlife: 4s\nsecret_file: " + s.secretFile + "\n"
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(running.binary, "dev", "--json", "--rehearse", plan, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", s.data)
	s.cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=error")
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	s.lines = bufio.NewReader(out)
	line, err := s.lines.ReadString('\n')
	var said struct {
		URL     string       `json:"url"`
		Clients []demoClient `json:"clients"`
	}
	if err == nil {
		err = json.Unmarshal([]byte(line), &said)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.url = said.URL
	for _, c := range said.Clients {
		if c.Dialect == dialect && c.Environment == "live" {
			s.client = c
		}
	}
	return s
}

// play calls the API until the rehearsal is over, two calls at a time and each
// with a path of its own, and returns the report.
func (s *stage) play(t *testing.T, call func(path string)) (report markup, full bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				call(fmt.Sprintf("/v1/things/%d-%d", i, n))
				select {
				case <-time.After(40 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	line, err := s.lines.ReadString('\n')
	cancel()
	wg.Wait()
	if err == nil {
		err = json.Unmarshal([]byte(line), &report)
	}
	if err != nil {
		t.Fatalf("no report: %v", err)
	}
	return report, s.cmd.Wait() == nil
}

// linked adds what a dialect with connections needs.
func (s *stage) linked(t *testing.T, c *bearer.Config) {
	t.Helper()
	out, err := exec.Command(running.binary, "connection", "create", "--client", s.client.ClientID, "--environment", "live", "--user", "u", "--json", "--data", s.data).Output()
	if err != nil {
		t.Fatal(err)
	}
	var linked struct {
		AccessCode   string `json:"accessCode"`
		ConnectionID string `json:"connectionID"`
		UserSecret   string `json:"userSecret"`
	}
	if err := json.Unmarshal(out, &linked); err != nil {
		t.Fatal(err)
	}
	c.AccessCode, c.ConnectionID, c.UserSecret = secret.New(linked.AccessCode), linked.ConnectionID, secret.New(linked.UserSecret)
}

func discard(resp *http.Response, err error) {
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// TestRehearsal: our own package and agent get full marks in every dialect.
// Others get what they deserve, or the marks would mean nothing.
func TestRehearsal(t *testing.T) {
	// Rehearsals are mostly waiting: they run beside each other whatever
	// -parallel says.
	var all sync.WaitGroup
	defer all.Wait()
	run := func(name string, f func(*testing.T)) { all.Go(func() { t.Run(name, f) }) }
	for _, dialect := range []string{"oauth2", "dapi", "dogpay", "papaya", "quidkey", "su"} {
		run("bearer/"+dialect, func(t *testing.T) { full(t, rehearsalOf(t, dialect), withBearer) })
		run("agent/"+dialect, func(t *testing.T) { full(t, rehearsalOf(t, dialect), withAgent) })
	}
	run("x/oauth2", func(t *testing.T) {
		s := rehearsalOf(t, "oauth2")
		source := credentialsConfig(t, demoClient{ClientID: s.client.ClientID, ClientSecret: s.client.ClientSecret}, oauth2.AuthStyleInHeader)
		source.TokenURL = s.url + "/oauth2/token"
		client := source.Client(t.Context())
		report, _ := s.play(t, func(path string) { discard(client.Get(s.url + path)) })
		deserves(t, report, []string{"keeps its token and uses it again", "heeds Retry-After while the token endpoint is down", "takes up a new secret"},
			[]string{"carries the token as the contract says", "keeps its secret out of URLs"})
	})
	run("curl loop", func(t *testing.T) {
		s := rehearsalOf(t, "dogpay")
		report, _ := s.play(t, func(path string) {
			body := `{"grant_type":"client_credential","appid":"` + s.client.ClientID + `","secret":"` + s.client.ClientSecret + `"}`
			resp, err := http.Post(s.url+"/open-api/v1/auth/access_token?debug="+s.client.ClientSecret, "application/json", strings.NewReader(body))
			if err != nil {
				return
			}
			var got struct {
				Data struct {
					AccessToken string `json:"access_token"`
				} `json:"data"`
			}
			_ = json.UnmarshalRead(resp.Body, &got)
			resp.Body.Close()
			r, err := http.NewRequest(http.MethodGet, s.url+path, nil)
			if err != nil {
				return
			}
			r.Header.Set("Authorization", got.Data.AccessToken) // without its prefix
			discard(http.DefaultClient.Do(r))
		})
		deserves(t, report, []string{
			"keeps its token and uses it again", "asks once, however many wait", "on a 401 renews and repeats the call",
			"doesn't renew more often than 401s call for", "heeds Retry-After while the token endpoint is down", "takes up a new secret",
			"doesn't hammer with refused credentials", "carries the token as the contract says", "keeps its secret out of URLs",
		}, nil)
	})
}

func full(t *testing.T, s *stage, with func(*testing.T, *stage) func(string)) {
	t.Helper()
	report, ok := s.play(t, with(t, s))
	for _, p := range report.Points {
		if !p.Held {
			t.Errorf("%s: %s", p.Name, p.Detail)
		}
	}
	if want := 12; s.client.Dialect != "dapi" && report.Of != want || report.Marks != report.Of || report.Of < 5 || !ok {
		t.Errorf("%d of %d, exit status good: %v", report.Marks, report.Of, ok)
	}
}

// deserves wants these points failed, and those held.
func deserves(t *testing.T, report markup, failed, held []string) {
	t.Helper()
	points := map[string]bool{}
	for _, p := range report.Points {
		points[p.Name] = p.Held
	}
	for _, name := range failed {
		if got, there := points[name]; got || !there {
			t.Errorf("%q held: %v, there: %v", name, got, there)
		}
	}
	for _, name := range held {
		if !points[name] {
			t.Errorf("%q did not hold", name)
		}
	}
}

// withBearer calls through the package. It reads its secret again, as a program
// does that expects a rotation.
func withBearer(t *testing.T, s *stage) func(string) {
	t.Helper()
	var mu sync.Mutex
	var source *bearer.Source
	var client *http.Client
	var used string
	base := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(base.CloseIdleConnections)
	current := func() *http.Client {
		mu.Lock()
		defer mu.Unlock()
		b, err := os.ReadFile(s.secretFile)
		if now := strings.TrimSpace(string(b)); err == nil && now != used {
			d, err := bearer.Dialect(s.client.Dialect)
			if err != nil {
				t.Error(err)
				return http.DefaultClient
			}
			c := bearer.Config{Dialect: d, BaseURL: s.url, ClientID: s.client.ClientID, ClientSecret: secret.New(now)}
			if d.Token.Permanent {
				s.linked(t, &c)
			}
			if source, err = bearer.New(c); err != nil {
				t.Error(err)
				return http.DefaultClient
			}
			t.Cleanup(source.Close)
			used, client = now, &http.Client{Transport: &bearer.Transport{Source: source, Base: base}}
		}
		return client
	}
	return func(path string) { discard(current().Post(s.url+path, "application/json", strings.NewReader("{}"))) }
}

// withAgent calls through the agent, which follows the secret by itself.
func withAgent(t *testing.T, s *stage) func(string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	more := ""
	if d, err := bearer.Dialect(s.client.Dialect); err != nil {
		t.Fatal(err)
	} else if d.Token.Permanent {
		var c bearer.Config
		s.linked(t, &c)
		more = fmt.Sprintf(", access_code: %q, connection_id: %q, user_secret: %q", c.AccessCode.Reveal(), c.ConnectionID, c.UserSecret.Reveal())
	}
	text := fmt.Sprintf("listen: 127.0.0.1:0\nupstreams:\n  it: {dialect: %s, base_url: %q, client_id: %q, client_secret: %q%s}\n",
		s.client.Dialect, s.url, s.client.ClientID, "file:"+s.secretFile, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := agent.ReadSettings(file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := settings.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		<-done
		a.Close()
	})
	return func(path string) {
		discard(http.Post("http://"+l.Addr().String()+"/it"+path, "application/json", strings.NewReader("{}")))
	}
}
