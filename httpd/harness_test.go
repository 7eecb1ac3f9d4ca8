package httpd_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect/directory"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

var _ httpd.Engine = (*gatehouse.Engine)(nil)

var operator = gatehouse.Actor{Kind: gatehouse.ByOperator, ID: "test"}

// A house is a server on a real engine and a real store, with a clock that the
// test moves.
type house struct {
	*httpd.Server
	t      testing.TB
	engine *gatehouse.Engine
	log    *lockedBuffer
	clock  *testClock
	spoken map[string]*dialect.Dialect
	users  *directory.Directory // of a house with Connect
}

type testClock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// lockedBuffer takes the log of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const issuer = "https://auth.example"

// newHouse opens one. change may alter what the engine and the server are made of.
func newHouse(t testing.TB, change ...func(*gatehouse.Config, *httpd.Config)) *house {
	t.Helper()
	h := &house{t: t, log: &lockedBuffer{}, clock: &testClock{}}
	store, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	sealer, err := credential.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	var all []*dialect.Dialect
	for _, name := range dialect.BuiltinNames() {
		d, err := dialect.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	policies, err := httpd.Policies(all)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	engineConfig := gatehouse.Config{Store: store, Sealer: sealer, DefaultIssuer: issuer, Policies: policies, Now: h.clock.now, Logger: logger,
		MaxLag: 10_000 * time.Hour, // the test moves the clock; the journal has no part in it
	}
	serverConfig := httpd.Config{Dialects: all, Logger: logger}
	for _, f := range change {
		f(&engineConfig, &serverConfig)
	}
	if h.engine, err = gatehouse.Open(t.Context(), engineConfig); err != nil {
		t.Fatal(err)
	}
	if serverConfig.Engine == nil {
		serverConfig.Engine = h.engine
	}
	h.spoken = map[string]*dialect.Dialect{}
	for _, d := range serverConfig.Dialects {
		h.spoken[d.Name] = d
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.engine.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	if h.Server, err = httpd.New(serverConfig); err != nil {
		t.Fatal(err)
	}
	return h
}

// speaking makes the house speak these dialects and no others.
func speaking(t testing.TB, all ...*dialect.Dialect) func(*gatehouse.Config, *httpd.Config) {
	t.Helper()
	policies, err := httpd.Policies(all)
	if err != nil {
		t.Fatal(err)
	}
	return func(e *gatehouse.Config, c *httpd.Config) { e.Policies, c.Dialects = policies, all }
}

// A credentials is what one client has in one environment.
type credentials struct {
	dialect string
	env     gatehouse.Environment
	client  gatehouse.ClientID // as a whole
	id      string             // on the wire, decoded
	secret  string
}

// client makes a client of a dialect, with an entry for each environment.
func (h *house) client(dialectName string, change ...func(*gatehouse.NewClient)) map[gatehouse.Environment]credentials {
	h.t.Helper()
	n := gatehouse.NewClient{Name: "test", Dialect: dialectName, Scopes: []string{"read", "write"}, Refresh: dialectName == gatehouse.OAuth2}
	if p, ok := h.engine.Policy(dialectName); ok && p.IDForm == gatehouse.IDDomain {
		n.Domain = strings.ToLower(h.t.Name()[len("Test"):][:4]) + ".example"
	}
	for _, f := range change {
		f(&n)
	}
	made, err := h.engine.CreateClient(context.Background(), operator, n, nil)
	if err != nil {
		h.t.Fatalf("creating a client of %s: %v", dialectName, err)
	}
	out := map[gatehouse.Environment]credentials{}
	for _, s := range made.Secrets {
		out[s.Environment] = credentials{dialectName, s.Environment, made.Client.ID, string(s.ClientID), s.Secret.Reveal()}
	}
	return out
}

// do answers a request that comes over loopback.
func (h *house) do(r *http.Request) *answer {
	h.t.Helper()
	if r.RemoteAddr == "192.0.2.1:1234" { // httptest's own
		r.RemoteAddr = "127.0.0.1:1234"
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return &answer{status: res.StatusCode, header: res.Header, body: string(body), t: h.t}
}

type answer struct {
	status int
	header http.Header
	body   string
	t      testing.TB
}

// member returns a string member of the JSON body, by its path.
func (a *answer) member(path ...string) string {
	s, _ := a.value(path...).(string)
	return s
}

func (a *answer) value(path ...string) any {
	a.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		a.t.Fatalf("the body %q is not JSON: %v", a.body, err)
	}
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// is fails the test unless the answer has this status and OAuth error.
func (a *answer) is(what string, status int, word string) {
	a.t.Helper()
	if a.status != status || a.member("error") != word {
		a.t.Errorf("%s: %d %s, want %d with error %q", what, a.status, a.body, status, word)
	}
}

const formType = "application/x-www-form-urlencoded"

// post makes a form request to a standard endpoint.
func post(path string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	return r
}

// form is post's url.Values, from pairs.
func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// as adds the client's credentials by Basic.
func (c credentials) as(r *http.Request) *http.Request {
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.id)+":"+url.QueryEscape(c.secret))))
	return r
}

// standardToken gets an access token, and a refresh token where the client may
// have one.
func (h *house) standardToken(c credentials, pairs ...string) (access, refresh string) {
	h.t.Helper()
	f := form(pairs...)
	f.Set("grant_type", "client_credentials")
	a := h.do(c.as(post("/oauth2/token", f)))
	if a.status != 200 {
		h.t.Fatalf("issuing: %d %s", a.status, a.body)
	}
	return a.member("access_token"), a.member("refresh_token")
}

// call sends an operation of a dialect as its clients would, and returns the
// answer with what they would read from it.
func (h *house) call(dialectName string, op dialect.OperationName, v dialect.Values) (*answer, dialect.Values, error) {
	h.t.Helper()
	o := h.spoken[dialectName].Operation(op)
	if o == nil {
		h.t.Fatalf("%s has no %s", dialectName, op)
	}
	sent, err := o.WriteRequest("http://127.0.0.1", v)
	if err != nil {
		h.t.Fatalf("%s %s: %v", dialectName, op, err)
	}
	r := httptest.NewRequest(sent.Method, sent.URL(), bytes.NewReader(sent.Body))
	r.Header = sent.Header
	a := h.do(r)
	read, err := o.ReadResponse(&dialect.Response{Status: a.status, Header: a.header, Body: []byte(a.body)})
	return a, read, err
}

// values is what a client of a dialect knows.
func (c credentials) values() dialect.Values {
	var v dialect.Values
	v.SetText(dialect.ClientID, c.id)
	v.SetSecret(dialect.ClientSecret, secret.New(c.secret))
	return v
}

// dialectToken gets an access token the way the dialect's clients do, through
// a connection where it has no issue.
func (h *house) dialectToken(c credentials) (access, refresh string) {
	h.t.Helper()
	v, op := c.values(), dialect.Issue
	if h.spoken[c.dialect].Operation(dialect.Issue) == nil {
		op = dialect.Exchange
		v = h.connect(c)
	}
	a, read, err := h.call(c.dialect, op, v)
	if err != nil {
		h.t.Fatalf("%s %s: %v: %d %s", c.dialect, op, err, a.status, a.body)
	}
	return read.Secret(dialect.AccessToken).Reveal(), read.Secret(dialect.RefreshToken).Reveal()
}

// connect makes a connection and returns what the client's app is handed, with
// the client's own secret.
func (h *house) connect(c credentials) dialect.Values {
	h.t.Helper()
	link, err := h.engine.CreateConnection(context.Background(), operator, c.client, c.env, "user-1", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	v := c.values()
	v.SetSecret(dialect.AccessCode, link.AccessCode)
	v.SetSecret(dialect.UserSecret, link.UserSecret)
	v.SetText(dialect.ConnectionID, link.Connection.ID.String())
	return v
}

// verify asks the gate.
func (h *house) verify(tok, query string) *answer {
	h.t.Helper()
	r := httptest.NewRequest("GET", "/gate/verify?"+query, nil)
	if tok != "" {
		r.Header.Set("Authorization", "Bearer "+tok)
	}
	return h.do(r)
}
