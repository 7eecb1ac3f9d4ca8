package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

var operator = gatehouse.Actor{Kind: gatehouse.ByOperator, ID: "operator"}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// generous is how long a condition may take to come true on a busy machine.
const generous = time.Minute

// A fixture is an engine on a real store, and a client whose dialect has
// connections.
type fixture struct {
	*testing.T
	ctx    context.Context
	store  gatehouse.Store
	engine *gatehouse.Engine
	sealer *credential.Sealer
	client *gatehouse.CreatedClient
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	store, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	f := fixtureOn(t, store)
	f.client, err = f.engine.CreateClient(t.Context(), operator, gatehouse.NewClient{Name: "app", Dialect: "bank"}, nil)
	f.ok(err)
	return f
}

// fixtureOn is a node on a store that others may share.
func fixtureOn(t *testing.T, store gatehouse.Store) *fixture {
	t.Helper()
	sealer, err := credential.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := gatehouse.Open(t.Context(), gatehouse.Config{
		Store: store, Sealer: sealer, DefaultIssuer: "https://auth.example.com",
		Policies: []gatehouse.Policy{{Dialect: "bank", Life: time.Hour, Longest: time.Hour, CodeLife: time.Hour, Refresh: gatehouse.RefreshNone}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{T: t, ctx: t.Context(), store: store, engine: engine, sealer: sealer}
}

func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) refused(err error, code gatehouse.Code) {
	f.Helper()
	if err == nil || gatehouse.AsError(err).Code != code {
		f.Fatalf("got %v, want %s", err, code)
	}
}

// link makes a connection of a user and returns its id.
func (f *fixture) link(env gatehouse.Environment, user string) gatehouse.ConnectionID {
	f.Helper()
	l, err := f.engine.CreateConnection(f.ctx, operator, f.client.Client.ID, env, user, nil)
	f.ok(err)
	return l.Connection.ID
}

// A receiver is an app's endpoint over TLS.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	answer func(n int) int // the status of the n-th request, from 1; nil is 204
}

type received struct {
	header http.Header
	body   []byte
	Type   string            `json:"type"`
	Data   map[string]string `json:"data"`
}

func newReceiver(t *testing.T, answer func(n int) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		one := received{header: req.Header, body: body}
		if err == nil {
			err = json.Unmarshal(body, &one)
		}
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.got = append(r.got, one)
		n := len(r.got)
		r.mu.Unlock()
		status := http.StatusNoContent
		if r.answer != nil {
			status = r.answer(n)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) messages() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received{}, r.got...)
}

// users are those of the connections that it was told of, in order.
func (r *receiver) users() (users []string) {
	for _, m := range r.messages() {
		users = append(users, m.Data["user"])
	}
	return users
}

// sender makes a Sender that believes the receivers' certificates and may reach
// them. change alters its Config first.
func (f *fixture) sender(change func(*Config)) *Sender {
	f.Helper()
	pool := x509.NewCertPool()
	some := httptest.NewTLSServer(nil) // all of them have one certificate
	pool.AddCert(some.Certificate())
	some.Close()
	cfg := Config{
		Store: f.store, Clients: f.engine, Sealer: f.sealer, Networks: loopback, Logger: slog.New(slog.NewTextHandler(f.Output(), nil)),
		tls: &tls.Config{RootCAs: pool}, poll: 10 * time.Millisecond, waits: []time.Duration{20 * time.Millisecond, 40 * time.Millisecond},
	}
	if change != nil {
		change(&cfg)
	}
	return New(cfg)
}

// run runs a sender until the returned function is called, or the test ends.
func (f *fixture) run(s *Sender) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.Run(ctx)
		close(done)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	f.Cleanup(stop)
	return stop
}

func (f *fixture) endpoint(s *Sender, env gatehouse.Environment, url string, types ...string) (*Endpoint, secret.Text) {
	f.Helper()
	ep, shown, err := s.Create(f.ctx, operator, NewEndpoint{Client: f.client.Client.ID, Environment: env, URL: url, Types: types})
	f.ok(err)
	return ep, shown
}

// until waits for a condition.
func (f *fixture) until(what string, is func() bool) {
	f.Helper()
	for end := time.Now().Add(generous); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.Fatalf("it did not come to it that %s", what)
		}
	}
}

// queued is how many deliveries an endpoint has in a state.
func (f *fixture) queued(s *Sender, id string, state DeliveryState) int {
	f.Helper()
	list, err := s.Deliveries(f.ctx, id, state, "", 1000)
	f.ok(err)
	return len(list)
}
