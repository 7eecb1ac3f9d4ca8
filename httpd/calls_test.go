package httpd_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A linkedCall is a connection's token and what its calls carry beside it.
type linkedCall struct{ token, app, user string }

func (h *house) linkedCall(c credentials) linkedCall {
	h.t.Helper()
	v := h.connect(c)
	a, read, err := h.call("dapi", dialect.Exchange, v)
	if err != nil {
		h.t.Fatalf("%v: %s", err, a.body)
	}
	return linkedCall{read.Secret(dialect.AccessToken).Reveal(), c.secret, v.Secret(dialect.UserSecret).Reveal()}
}

func (l linkedCall) request(method, path string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(`{"appSecret":"`+l.app+`","userSecret":"`+l.user+`"}`))
	r.Header.Set("Authorization", "Bearer "+l.token)
	r.Header.Set("Content-Type", "application/json")
	return r
}

// A node's own middleware and a far gate's hold calls to the same secrets.
func TestCallsAreProved(t *testing.T) {
	h := newHouse(t)
	var asked atomic.Int64 // by the far gate
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gate/prove" {
			asked.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { h.EndStreams(); node.Close() })
	far := h.far(node.URL, h.gateClient()[gatehouse.Live])
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	both := h.client("dapi")
	c := both[gatehouse.Live]
	mine, others := h.linkedCall(c), h.linkedCall(c)
	stranger := h.linkedCall(h.client("dapi")[gatehouse.Live])
	fronts := map[string]http.Handler{}
	for what, v := range map[string]gate.CallProver{"node": h.engine, "far gate": far} {
		fronts[what] = gate.Middleware(v, gate.Options{
			Want: gatehouse.Requirement{Environment: gatehouse.Live}, Calls: gate.NewCalls(v, []*dialect.Dialect{builtin(t, "dapi")}, 0),
		})(api)
	}
	try := func(front string, l linkedCall) int {
		w := httptest.NewRecorder()
		fronts[front].ServeHTTP(w, l.request("POST", "/v2/data"))
		if passed := strings.Contains(w.Body.String(), l.user) && w.Code == 200; passed != (w.Code == 200) {
			t.Errorf("%s: %d %s", front, w.Code, w.Body)
		}
		return w.Code
	}
	for front := range fronts {
		for what, wrong := range map[string]linkedCall{
			"another connection's secret": {mine.token, mine.app, others.user},
			"another connection's token":  {others.token, mine.app, mine.user},
			"another client's secret":     {mine.token, stranger.app, mine.user},
			"another client's both":       {mine.token, stranger.app, stranger.user},
			"the sandbox's secret":        {mine.token, both[gatehouse.Sandbox].secret, mine.user},
			"the one for the other":       {mine.token, mine.user, mine.app},
			"a made-up secret":            {mine.token, "gate_live_cs_x", mine.user},
		} {
			if got := try(front, wrong); got != 401 {
				t.Errorf("%s: %s: %d", front, what, got)
			}
		}
		before := asked.Load()
		for range 3 {
			if got := try(front, mine); got != 200 {
				t.Errorf("%s: %d", front, got)
			}
		}
		if n := asked.Load() - before; n > 1 {
			t.Errorf("%s: the node was asked %d times about the same", front, n)
		}
	}
	if asked.Load() == 0 {
		t.Error("the far gate has asked nobody")
	}

	// A yes is remembered until the client changes, and no longer.
	added, err := h.engine.AddSecret(t.Context(), operator, gatehouse.ClientID(c.id), gatehouse.Live, secret.Text{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	second := mine
	second.app = added.Secret.Reveal()
	for front := range fronts {
		if got := try(front, second); got != 200 {
			t.Errorf("%s: an added secret: %d", front, got)
		}
	}
	if _, err := h.engine.RetireSecret(t.Context(), operator, added.ID, false); err != nil {
		t.Fatal(err)
	}
	if got := try("node", second); got != 401 {
		t.Errorf("a retired secret: %d", got)
	}
	for deadline := time.Now().Add(30 * time.Second); try("far gate", second) != 401; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a retired secret still passes far away")
		}
	}
	if got := try("far gate", mine); got != 200 {
		t.Errorf("the other secret: %d", got)
	}

	// Delinked, nothing passes, remembered or not.
	if _, err := h.engine.Delink(t.Context(), operator, h.grantOf(mine.token)); err != nil {
		t.Fatal(err)
	}
	if got := try("node", mine); got != 401 {
		t.Errorf("delinked: %d", got)
	}
	far.within(t, 30*time.Second, mine.token, gatehouse.Live, gatehouse.ReasonRevoked)
	if got := try("far gate", mine); got != 401 {
		t.Errorf("delinked, far away: %d", got)
	}

	// Whoever is no gate is told nothing.
	for what, authorization := range map[string]string{"nobody": "", "a client's token": "Bearer " + others.token} {
		r := post("/gate/prove", form("token", others.token, "client_secret", others.app, "user_secret", others.user))
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		if a := h.do(r); a.status != 401 && a.status != 403 {
			t.Errorf("%s is answered %d %s", what, a.status, a.body)
		}
	}
}

func (h *house) grantOf(tok string) gatehouse.GrantID {
	h.t.Helper()
	claims, err := h.engine.Validate(context.Background(), secret.New(tok), gatehouse.Requirement{})
	if err != nil {
		h.t.Fatal(err)
	}
	return claims.Grant
}

// The call that the reference pages try tokens on is of the sandbox alone, and
// of the page's own dialect.
func TestDocsCall(t *testing.T) {
	h := newHouse(t)
	ask := func(page, tok string) *answer {
		r := httptest.NewRequest("GET", "/docs/"+page+"/call", nil)
		r.Header.Set("Authorization", "Bearer "+tok)
		return h.do(r)
	}
	both := h.client("quidkey")
	sandbox, _ := h.dialectToken(both[gatehouse.Sandbox])
	live, _ := h.dialectToken(both[gatehouse.Live])
	if a := ask("quidkey", sandbox); a.status != 200 || !strings.Contains(string(a.body), `"environment":"sandbox"`) || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if a := ask("quidkey", live); a.status != 401 {
		t.Errorf("a live token: %d %s", a.status, a.body)
	}
	if a := ask("oauth2", sandbox); a.status != 401 {
		t.Errorf("on another page: %d %s", a.status, a.body)
	}
	if a := ask("nobody", sandbox); a.status != 404 {
		t.Errorf("on no page: %d %s", a.status, a.body)
	}
	l := h.linkedCall(h.client("dapi")[gatehouse.Sandbox])
	if a := h.do(l.request("POST", "/docs/dapi/call")); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	l.user = "wrong"
	if a := h.do(l.request("POST", "/docs/dapi/call")); a.status != 401 || !strings.Contains(string(a.body), "INVALID_CREDENTIALS") {
		t.Errorf("%d %s", a.status, a.body)
	}
	for path, status := range map[string]int{"/docs/": 200, "/docs/dapi": 200, "/docs/dapi/": 404, "/docs/-/page.css": 200, "/docs/%64api": 404} {
		if a := h.do(httptest.NewRequest("GET", path, nil)); a.status != status {
			t.Errorf("%s: %d, want %d", path, a.status, status)
		}
	}
}
