package clients_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/secret"
)

const foreignSecret = "a secret/with+all kinds: of=characters%"

// foreignServer runs oidc-provider until the test ends.
func foreignServer(t *testing.T) string {
	t.Helper()
	return serveNode(t, "oidc-provider.mjs", "CLIENT_SECRET="+foreignSecret)
}

// serveNode runs a program that prints its URL and serves until its standard
// input ends, which is when the test does.
func serveNode(t *testing.T, program string, environment ...string) string {
	t.Helper()
	checkNode(t)
	install(t)
	cmd := exec.Command("node", program)
	cmd.Env = append(os.Environ(), environment...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "http://") {
			return lines.Text()
		}
	}
	t.Fatalf("%s did not start", program)
	return ""
}

func unmarshal(t *testing.T, b []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

// ask posts a token to one of the foreign server's endpoints.
func ask(t *testing.T, endpoint, tok string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, endpoint, strings.NewReader(url.Values{"token": {tok}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(url.QueryEscape("our+client"), url.QueryEscape(foreignSecret))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestForeignServer gets and renews tokens of somebody else's OAuth 2.0
// server, in front of an API that asks that server about each token.
func TestForeignServer(t *testing.T) {
	server := foreignServer(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp := ask(t, server+"/token/introspection", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		defer resp.Body.Close()
		var said struct {
			Active bool   `json:"active"`
			Scope  string `json:"scope"`
		}
		if err := json.UnmarshalRead(resp.Body, &said); err != nil || !said.Active || said.Scope != "read" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	refused := 0
	source, err := bearer.New(bearer.Config{
		BaseURL: api.URL, TokenURL: server + "/token", ClientID: "our+client", ClientSecret: secret.New(foreignSecret), Scopes: []string{"read"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	client := ourClient(t, source)
	call := func() {
		resp, err := client.Get(api.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			refused++
		}
	}
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		call()
	}
	if c := source.Counts(); refused > 0 || c.Issued != 2 || c.Rejected != 0 {
		t.Errorf("%d calls refused, %+v", refused, c)
	}
	tok, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask(t, server+"/token/revocation", tok.AccessToken.Reveal()).Body.Close()
	if call(); refused > 0 || source.Counts().Rejected != 1 {
		t.Errorf("after a revocation: %d refused, %+v", refused, source.Counts())
	}
}
