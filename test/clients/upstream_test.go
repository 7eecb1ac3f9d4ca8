package clients_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
	"github.com/gatehouse-auth/gatehouse/connect/upstream"
	"github.com/gatehouse-auth/gatehouse/secret"
)

const upstreamCallback = "http://127.0.0.1:8080/connect/callback"

// visit walks the provider's own pages as its user's browser does, and returns
// where the browser is sent back to.
func visit(t *testing.T, location, login string) *url.URL {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back *url.URL
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), upstreamCallback) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page := func(resp *http.Response, err error) (string, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body), resp.Request.URL.String()
	}
	action := regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	body, at := page(browser.Get(location))
	for _, form := range []url.Values{{"prompt": {"login"}, "login": {login}, "password": {"any"}}, {"prompt": {"consent"}}} {
		if back != nil {
			break
		}
		to := action.FindStringSubmatch(body)
		if to == nil {
			t.Fatalf("%s shows no form: %s", at, body)
		}
		if login == "nobody" { // leaves at the link that says so
			page(browser.Get(strings.TrimSuffix(to[1], "/") + "/abort"))
			break
		}
		body, at = page(browser.PostForm(to[1], form))
	}
	if back == nil {
		t.Fatalf("the provider did not send the browser back: %s %s", at, body)
	}
	return back
}

func provider(t *testing.T, issuer, claim string) *upstream.Provider {
	t.Helper()
	p, err := upstream.New(upstream.Config{
		Issuer: issuer, ClientID: "gatehouse", ClientSecret: secret.New(foreignSecret), Scopes: []string{"email", "profile"}, UserClaim: claim,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestUpstream signs users in at somebody else's provider, and tries what an
// attacker at its answers would.
func TestUpstream(t *testing.T) {
	for _, method := range []string{"client_secret_basic", "client_secret_post"} {
		t.Run(method, func(t *testing.T) {
			issuer := serveNode(t, "upstream.mjs", "CLIENT_SECRET="+foreignSecret, "CALLBACK="+upstreamCallback, "AUTH_METHOD="+method)
			p := provider(t, issuer, "")
			by := gatehouse.Actor{Kind: gatehouse.ByUser}
			finish := func(begun []byte, query url.Values) (*connect.User, error) {
				return p.Finish(t.Context(), by, gatehouse.Live, upstreamCallback, begun, query)
			}
			refused := func(what string, err error) {
				t.Helper()
				if e := gatehouse.AsError(err); e.Code != gatehouse.AccessDenied || e.Reason != gatehouse.ReasonUpstream {
					t.Errorf("%s: %v", what, err)
				}
			}
			begin := func() (string, []byte) {
				t.Helper()
				location, begun, err := p.Begin(t.Context(), gatehouse.Live, upstreamCallback)
				if err != nil {
					t.Fatal(err)
				}
				return location, begun
			}
			location, begun := begin()
			if u, err := url.Parse(location); err != nil || u.Query().Get("code_challenge_method") != "S256" || u.Query().Get("nonce") == "" {
				t.Fatalf("%s, %v", location, err)
			}
			back := visit(t, location, "alice").Query()
			altered := func(name, value string) url.Values {
				q := url.Values{}
				for k, v := range back {
					q[k] = v
				}
				q.Set(name, value)
				return q
			}
			_, other := begin()
			for what, try := range map[string]struct {
				begun []byte
				query url.Values
			}{
				"another's state":          {begun, altered("state", "another")},
				"no state":                 {begun, altered("state", "")},
				"another provider's iss":   {begun, altered("iss", "https://evil.example.com")},
				"no iss, though it has it": {begun, url.Values{"code": back["code"], "state": back["state"]}},
				"another sign-in":          {other, back},
				"an error":                 {begun, altered("error", "access_denied")},
				"two codes":                {begun, url.Values{"code": {back.Get("code"), "x"}, "state": back["state"], "iss": back["iss"]}},
				"no code":                  {begun, altered("code", "")},
				"a code that is none":      {begun, altered("code", "none")},
			} {
				_, err := finish(try.begun, try.query)
				refused(what, err)
			}
			_, err := p.Finish(t.Context(), by, gatehouse.Sandbox, upstreamCallback, begun, back)
			refused("another environment", err)
			_, err = p.Finish(t.Context(), by, gatehouse.Live, upstreamCallback+"2", begun, back)
			refused("another callback", err)

			user, err := finish(begun, back)
			if err != nil || user.ID != "alice" || user.Name != "alice of Example" {
				t.Fatalf("%+v, %v", user, err)
			}
			_, err = finish(begun, back)
			refused("a code twice", err)

			// A victim's code in the attacker's own sign-in: the verifier is another.
			location, _ = begin()
			stolen := visit(t, location, "victim").Query()
			_, mine := begin()
			var state struct {
				State string `json:"state"`
			}
			unmarshal(t, mine, &state)
			stolen.Set("state", state.State)
			_, err = finish(mine, stolen)
			refused("a stolen code", err)

			location, begun = begin()
			_, err = finish(begun, visit(t, location, "nobody").Query())
			refused("a user who turned back", err)

			p = provider(t, issuer, "email")
			location, begun = begin()
			if user, err := finish(begun, visit(t, location, "alice").Query()); err != nil || user.ID != "alice@example.com" {
				t.Errorf("by email: %+v, %v", user, err)
			}
			location, begun = begin()
			_, err = finish(begun, visit(t, location, "unverified").Query())
			refused("an address that was not verified", err)

			// The issuer is the one that was named, to the letter.
			p = provider(t, issuer+"/", "")
			if _, _, err := p.Begin(t.Context(), gatehouse.Live, upstreamCallback); gatehouse.AsError(err).Code != gatehouse.Unavailable {
				t.Errorf("another spelling of the issuer: %v", err)
			}
			p = provider(t, "http://127.0.0.1:1", "")
			if _, _, err := p.Begin(t.Context(), gatehouse.Live, upstreamCallback); gatehouse.AsError(err).Code != gatehouse.Unavailable {
				t.Errorf("nobody there: %v", err)
			}
		})
	}
}
