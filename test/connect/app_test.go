package connect_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
)

const verifier = "a-verifier-of-at-least-43-characters-0123456789"

// An app is a partner's: its pages, and its clients at the server.
type app struct {
	*httptest.Server
	stranger         *httptest.Server // the same pages at an origin that nobody has registered
	at               *server
	standard, linked client // of OAuth 2.0, and of a dialect with a connect message
}

type client struct{ id, secret string }

const appPage = `<!doctype html><html lang="en"><title>App</title><h1>The app</h1>
<button id="popup">Pop-up</button> <button id="frame">Frame</button>
<pre id="result"></pre><div id="container" style="height:680px;width:420px"></div>
<script type="module">
import { openPopup, openFrame } from '%[1]s/connect/connect.js';
const result = document.getElementById('result');
const server = '%[1]s', clientId = '%[2]s';
const show = (answered) => answered.then((r) => { result.textContent = 'result ' + JSON.stringify(r); }, (e) => { result.textContent = 'error ' + e.code; });
document.getElementById('popup').onclick = () => show(openPopup({ server, clientId, ...window.more }));
document.getElementById('frame').onclick = () => show(openFrame({ server, clientId, container: document.getElementById('container'), ...window.more }));
window.heard = [];
addEventListener('message', (e) => heard.push(e.origin));
document.body.dataset.ready = '1';
</script>`

func newApp(s *server) (*app, error) {
	a := &app{at: s}
	mux := http.NewServeMux()
	page := func(w http.ResponseWriter, format string, args ...any) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, format, args...)
	}
	mux.HandleFunc("/app", func(w http.ResponseWriter, _ *http.Request) { page(w, appPage, s.url, a.linked.id) })
	mux.HandleFunc("/back", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		page(w, `<!doctype html><html lang="en"><title>Back</title><h1>Back in the app</h1><p id="got">%s</p>`, html.EscapeString(r.Form.Encode()))
	})
	// What somebody else's page tries: to frame a page, and to send a form there.
	mux.HandleFunc("/frames", func(w http.ResponseWriter, r *http.Request) {
		page(w, `<!doctype html><html lang="en"><title>Frames</title><iframe src="%s"></iframe>`, html.EscapeString(r.FormValue("url")))
	})
	mux.HandleFunc("/posts", func(w http.ResponseWriter, r *http.Request) {
		page(w, `<!doctype html><html lang="en"><title>Posts</title><form method="post" action="%s"><input name="environment" value="sandbox"><input name="name" value="%s"><input name="password" value="%s"><button>Win a prize</button></form>`,
			html.EscapeString(r.FormValue("url")), html.EscapeString(s.users[1].Name), html.EscapeString(s.users[1].Password))
	})
	a.Server, a.stranger = httptest.NewServer(mux), httptest.NewServer(mux)
	var err error
	if a.standard, err = a.register("oauth2", "Budget Buddy", "--scope", "accounts:read", "--scope", "payments:write", "--refresh"); err != nil {
		return nil, err
	}
	a.linked, err = a.register("dapi", "Piggy Bank")
	return a, err
}

// Close ends both servers.
func (a *app) Close() {
	a.Server.Close()
	a.stranger.Close()
}

func (a *app) register(dialect, name string, more ...string) (client, error) {
	var made struct {
		Secrets []struct {
			ClientID     string `json:"client_id"`
			ClientSecret string `json:"client_secret"`
		} `json:"secrets"`
	}
	err := a.at.admin(&made, append([]string{"client", "create", "--name", name, "--dialect", dialect, "--environment", "sandbox",
		"--redirect-uri", "sandbox=" + a.URL + "/back", "--origin", "sandbox=" + a.URL}, more...)...)
	if err != nil {
		return client{}, err
	}
	return client{made.Secrets[0].ClientID, made.Secrets[0].ClientSecret}, nil
}

// authorize is a URL that the app sends its user to.
func (a *app) authorize(pairs ...string) string {
	sum := sha256.Sum256([]byte(verifier))
	v := url.Values{
		"response_type": {"code"}, "client_id": {a.standard.id}, "redirect_uri": {a.URL + "/back"}, "state": {"state-1"}, "scope": {"accounts:read"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return a.at.url + "/oauth2/authorize?" + v.Encode()
}

// open is the same for the dialect's client.
func (a *app) open(pairs ...string) string {
	v := url.Values{"client_id": {a.linked.id}, "response_mode": {"form_post"}, "redirect_uri": {a.URL + "/back"}, "state": {"state-1"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return a.at.url + "/connect/open?" + v.Encode()
}
