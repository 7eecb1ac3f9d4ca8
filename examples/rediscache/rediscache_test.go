package rediscache_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/examples/rediscache"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sharedlimit/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const clientSecret = "s3cret-of-the-client"

var key = bearer.NewKey()

// endpoint is a token endpoint that counts its visits.
type endpoint struct {
	visits atomic.Int64
	slow   time.Duration
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(e.slow)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"access-token-%d","token_type":"Bearer","expires_in":3600}`, e.visits.Add(1))
}

func serve(t *testing.T, e *endpoint) (url string) {
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return server.URL
}

func connect(t *testing.T, server *redistest.Server) rediscache.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { rdb.Close() })
	return rediscache.Client{UniversalClient: rdb}
}

// newSource is one process's: a source and a connection of its own.
func newSource(t *testing.T, server *redistest.Server, url string) *bearer.Source {
	t.Helper()
	s, err := bearer.New(bearer.Config{
		BaseURL: url, ClientID: "bank", ClientSecret: secret.New(clientSecret),
		Cache: bearer.NewRedis(connect(t, server), "test:"), CacheKey: key,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func token(t *testing.T, s *bearer.Source) string {
	t.Helper()
	got, err := s.Token(t.Context())
	if err != nil {
		t.Error(err)
		return ""
	}
	return got.AccessToken.Reveal()
}

// Many processes that start at once make one visit between them, and those that
// come later none.
func TestOneVisit(t *testing.T) {
	server, e := redistest.Start(t), &endpoint{slow: 200 * time.Millisecond}
	url := serve(t, e)
	var wg sync.WaitGroup
	for range 20 {
		s := newSource(t, server, url)
		wg.Go(func() {
			if got := token(t, s); got != "access-token-1" {
				t.Errorf("got %q", got)
			}
		})
	}
	wg.Wait()
	later := newSource(t, server, url)
	if got := token(t, later); got != "access-token-1" || later.Counts().Shared != 1 || e.visits.Load() != 1 {
		t.Errorf("got %q after %d visits, %+v", got, e.visits.Load(), later.Counts())
	}
}

// What lies in Redis tells nothing, and leaves when the token ends.
func TestAtRest(t *testing.T) {
	server := redistest.Start(t)
	s := newSource(t, server, serve(t, &endpoint{}))
	token(t, s)
	rdb := connect(t, server)
	keys, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 || !strings.HasPrefix(keys[0], "test:{") {
		t.Fatalf("%v %v: want one key, and no lock left", keys, err)
	}
	value, err := rdb.Get(t.Context(), keys[0])
	if err != nil || strings.Contains(keys[0]+string(value), "access-token") || strings.Contains(keys[0]+string(value), clientSecret) || strings.Contains(string(value), "bank") {
		t.Errorf("%q: %q %v", keys[0], value, err)
	}
	if left, err := rdb.PTTL(t.Context(), keys[0]).Result(); err != nil || left < 50*time.Minute || left > time.Hour {
		t.Errorf("it stays for %v: %v", left, err)
	}
}

// An entry that can't be read is moved out of the way, and costs one visit.
func TestDamaged(t *testing.T) {
	server, e := redistest.Start(t), &endpoint{}
	url := serve(t, e)
	token(t, newSource(t, server, url))
	rdb := connect(t, server)
	keys, err := rdb.Keys(t.Context(), "*:token").Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if _, err := rdb.Set(t.Context(), keys[0], []byte("nonsense"), 0, false); err != nil {
		t.Fatal(err)
	}
	if got := token(t, newSource(t, server, url)); got != "access-token-2" {
		t.Errorf("got %q", got)
	}
	damaged := strings.TrimSuffix(keys[0], "token") + "damaged"
	if value, err := rdb.Get(t.Context(), damaged); err != nil || string(value) != "nonsense" {
		t.Errorf("%q %v", value, err)
	}
}

// A Redis that dies, or stops in its tracks, costs visits and no errors, and is
// used again when it is back.
func TestRedisGone(t *testing.T) {
	server, e := redistest.Start(t), &endpoint{}
	url := serve(t, e)
	before := newSource(t, server, url)
	server.Kill()
	if got := token(t, before); got != "access-token-1" {
		t.Errorf("got %q", got)
	}
	server.Restart(t)
	server.Stop(t)
	if got := token(t, newSource(t, server, url)); got != "access-token-2" {
		t.Errorf("got %q", got)
	}
	server.Continue(t)
	token(t, newSource(t, server, url))
	if got := token(t, newSource(t, server, url)); got != "access-token-3" || e.visits.Load() != 3 {
		t.Errorf("got %q after %d visits", got, e.visits.Load())
	}
}

// A lock is had by one at a time, and one that a process left when it died has
// an end. How long a lease is, package bearer's own tests see to.
func TestLock(t *testing.T) {
	server := redistest.Start(t)
	one, two := bearer.NewRedis(connect(t, server), "test:"), bearer.NewRedis(connect(t, server), "test:")
	unlock, err := one.Lock(t.Context(), "n")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := two.Lock(short, "n"); err == nil {
		t.Error("a lock that is held was had")
	}
	unlock()
	unlock, err = two.Lock(t.Context(), "n")
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	// A process that died left this one.
	rdb := connect(t, server)
	if set, err := rdb.Set(t.Context(), "test:{n}:lock", []byte("dead"), 200*time.Millisecond, true); err != nil || !set {
		t.Fatal(set, err)
	}
	unlock, err = one.Lock(t.Context(), "n")
	if err != nil {
		t.Fatal(err)
	}
	// A lock that went to another is the other's to give back.
	if _, err := rdb.Set(t.Context(), "test:{n}:lock", []byte("other"), time.Minute, false); err != nil {
		t.Fatal(err)
	}
	unlock()
	if holder, err := rdb.Get(t.Context(), "test:{n}:lock"); err != nil || string(holder) != "other" {
		t.Errorf("the other's lock: %q %v", holder, err)
	}
}

// A token that one process has replaced is not replaced by the next.
func TestReplacedOnce(t *testing.T) {
	server, e := redistest.Start(t), &endpoint{}
	mux := http.NewServeMux()
	mux.Handle("POST /oauth2/token", e)
	mux.HandleFunc("GET /x", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access-token-2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	api := httptest.NewServer(mux)
	defer api.Close()
	sources := []*bearer.Source{newSource(t, server, api.URL), newSource(t, server, api.URL)}
	for _, s := range sources {
		token(t, s)
	}
	for _, s := range sources {
		client := &http.Client{Transport: &bearer.Transport{Source: s, Base: api.Client().Transport}}
		resp, err := client.Get(api.URL + "/x")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	}
	if e.visits.Load() != 2 {
		t.Errorf("%d visits, want 2: the second process finds what the first got", e.visits.Load())
	}
}
