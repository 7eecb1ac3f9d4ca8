package clients_test

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// ourSource is our own client's, for a demo client. The API is the gate.
func ourSource(t *testing.T, c demoClient, change func(*bearer.Config)) *bearer.Source {
	t.Helper()
	d, err := bearer.Dialect(c.Dialect)
	if err != nil {
		t.Fatal(err)
	}
	config := bearer.Config{
		Dialect: d, BaseURL: running.url + "/gate", TokenURL: running.url, Environment: c.Environment,
		ClientID: c.ClientID, ClientSecret: secret.New(c.ClientSecret),
	}
	if change != nil {
		change(&config)
	}
	source, err := bearer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	return source
}

func ourClient(t *testing.T, s *bearer.Source) *http.Client {
	t.Helper()
	base := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: &bearer.Transport{Source: s, Base: base}}
}

// verify calls the gate and returns the status and the token's id.
func verify(t *testing.T, client *http.Client, environment string) (status int, id string) {
	t.Helper()
	resp, err := client.Get(running.url + "/gate/verify?environment=" + environment)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Gatehouse-Token-Id")
}

// TestBearer speaks every dialect, and standard OAuth, with our own client: a
// token is obtained once, kept, and replaced when it is revoked.
func TestBearer(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, c := range running.demo {
		t.Run(c.Dialect+"/"+c.Environment, func(t *testing.T) {
			permanent := false
			source := ourSource(t, c, func(config *bearer.Config) {
				if permanent = config.Dialect.Token.Permanent; permanent {
					var linked struct {
						AccessCode   string `json:"accessCode"`
						ConnectionID string `json:"connectionID"`
						UserSecret   string `json:"userSecret"`
					}
					running.admin(t, &linked, "connection", "create", "--client", c.ClientID, "--environment", c.Environment, "--user", "our-user")
					config.AccessCode, config.ConnectionID = secret.New(linked.AccessCode), linked.ConnectionID
					config.UserSecret = secret.New(linked.UserSecret)
				}
			})
			client := ourClient(t, source)
			status, first := verify(t, client, c.Environment)
			again, second := verify(t, client, c.Environment)
			if status != 200 || again != 200 || first == "" || first != second {
				t.Fatalf("%d with token %s, then %d with %s", status, first, again, second)
			}
			var revoked map[string]any
			running.admin(t, &revoked, "token", "revoke", first)
			status, third := verify(t, client, c.Environment)
			if permanent {
				if status != 401 {
					t.Errorf("a delinked user's call: %d", status)
				}
				return
			}
			if status != 200 || third == first {
				t.Errorf("after the revocation: %d with token %s", status, third)
			}
		})
	}
}

// TestBearerShortTokens has six-second tokens, whose end the contract's own
// answer cuts to the minute.
func TestBearerShortTokens(t *testing.T) {
	client := ourClient(t, ourSource(t, running.client(t, "papaya", "live"), func(c *bearer.Config) { c.Life = 6 * time.Second }))
	seen := map[string]bool{}
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		status, id := verify(t, client, "live")
		if status != 200 {
			t.Fatalf("%d after %d tokens", status, len(seen))
		}
		seen[id] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d tokens in 7 s, want 2: a token is renewed between 3.9 and 5.3 s", len(seen))
	}
}
