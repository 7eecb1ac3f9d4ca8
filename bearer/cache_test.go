package bearer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/secret"
)

var cacheKey = bearer.NewKey()

// cached is configFor with the cache in dir, opened as another process would.
func cached(t testing.TB, name, url, dir string) bearer.Config {
	t.Helper()
	d, err := bearer.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	c := configFor(t, name, url)
	c.Cache, c.CacheKey = d, cacheKey
	return c
}

func token(t testing.TB, s *bearer.Source) *bearer.Token {
	t.Helper()
	tok, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// A restart costs no visit; what differs in anything does.
func TestCacheLasts(t *testing.T) {
	for name := range contracts {
		t.Run(name, func(t *testing.T) {
			f := newFake(name)
			url, dir := serve(t, f), t.TempDir()
			first := newSource(t, cached(t, name, url, dir))
			tok := token(t, first)
			first.Close()
			second := newSource(t, cached(t, name, url, dir))
			again := token(t, second)
			if !again.AccessToken.Equal(tok.AccessToken) || f.count("") != 1 || second.Counts().Shared != 1 {
				t.Errorf("%d visits, %+v", f.count(""), second.Counts())
			}
			if d := again.ExpiresAt.Sub(tok.ExpiresAt); d.Abs() > time.Millisecond {
				t.Errorf("its end moved by %v", d)
			}
			resp, err := client(t, second).Post(url+"/data/x", "application/json", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Errorf("the API answered %s", resp.Status)
			}
		})
	}
}

func TestCacheKeepsApart(t *testing.T) {
	f := newFake("dogpay")
	url, dir := serve(t, f), t.TempDir()
	tok := token(t, newSource(t, cached(t, "dogpay", url, dir)))
	f.set(func(f *fake) { f.secret = "rotated" })
	for name, change := range map[string]func(*bearer.Config){
		"secret":      func(c *bearer.Config) { c.ClientSecret = secret.New("rotated") },
		"token URL":   func(c *bearer.Config) { c.ClientSecret = secret.New("rotated"); c.TokenURL = url + "/" },
		"environment": func(c *bearer.Config) { c.ClientSecret = secret.New("rotated"); c.Environment = "sandbox" },
		"field":       func(c *bearer.Config) { c.ClientSecret = secret.New("rotated"); c.Fields = map[string]string{"a": "b"} },
		"user":        func(c *bearer.Config) { c.ClientSecret = secret.New("rotated"); c.UserID = "u" },
	} {
		c := cached(t, "dogpay", url, dir)
		change(&c)
		before := f.count("")
		if got := token(t, newSource(t, c)); got.AccessToken.Equal(tok.AccessToken) || f.count("") != before+1 {
			t.Errorf("%s: the other token was taken", name)
		}
	}
}

// Sources of many processes make one visit between them.
func TestCacheSingleFlight(t *testing.T) {
	f := newFake("dogpay")
	f.slow = 100 * time.Millisecond
	url, dir := serve(t, f), t.TempDir()
	var wg sync.WaitGroup
	for range 20 {
		s := newSource(t, cached(t, "dogpay", url, dir))
		wg.Go(func() { token(t, s) })
	}
	wg.Wait()
	if n := f.count(""); n != 1 {
		t.Errorf("%d visits, want 1", n)
	}
}

// A token that another process has renewed is not renewed again.
func TestCacheAfter401(t *testing.T) {
	f := newFake("quidkey")
	url, dir := serve(t, f), t.TempDir()
	one, two := newSource(t, cached(t, "quidkey", url, dir)), newSource(t, cached(t, "quidkey", url, dir))
	token(t, one)
	token(t, two)
	f.revokeAll()
	for _, s := range []*bearer.Source{one, two} {
		resp, err := client(t, s).Get(url + "/data/x")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	}
	if f.count("issue") != 1 || f.count("refresh") != 1 {
		t.Errorf("%d issued, %d refreshed, want 1 and 1", f.count("issue"), f.count("refresh"))
	}
}

// A damaged entry is set aside and costs one visit.
func TestCacheDamaged(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return []byte{} },
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"text":    func([]byte) []byte { return []byte("{}") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake("dogpay")
			url, dir := serve(t, f), t.TempDir()
			s := newSource(t, cached(t, "dogpay", url, dir))
			token(t, s)
			s.Close()
			path := only(t, dir, "*.token")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			token(t, newSource(t, cached(t, "dogpay", url, dir)))
			if f.count("") != 2 {
				t.Errorf("%d visits, want 2", f.count(""))
			}
			only(t, dir, "*.damaged")
			token(t, newSource(t, cached(t, "dogpay", url, dir)))
			if f.count("") != 2 {
				t.Error("the new entry is not in use")
			}
		})
	}
	t.Run("another key", func(t *testing.T) {
		f := newFake("dogpay")
		url, dir := serve(t, f), t.TempDir()
		token(t, newSource(t, cached(t, "dogpay", url, dir)))
		c := cached(t, "dogpay", url, dir)
		c.CacheKey = bearer.NewKey()
		token(t, newSource(t, c))
		if f.count("") != 2 {
			t.Errorf("%d visits, want 2", f.count(""))
		}
	})
}

func only(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}

// Neither names nor contents of the files tell anything.
func TestCacheAtRest(t *testing.T) {
	f := newFake("quidkey")
	url, dir := serve(t, f), filepath.Join(t.TempDir(), "cache")
	tok := token(t, newSource(t, cached(t, "quidkey", url, dir)))
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v %v", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", e.Name(), info.Mode(), err)
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, hidden := range append([]string{tok.AccessToken.Reveal(), fakeID, fakeSecret}, refreshTokens(f)...) {
			if bytes.Contains(b, []byte(hidden)) || strings.Contains(e.Name(), hidden) {
				t.Errorf("%s holds %s", e.Name(), hidden)
			}
		}
	}
}

func refreshTokens(f *fake) (all []string) {
	for tok := range f.refreshes {
		all = append(all, tok)
	}
	return all
}

// broken fails in every way.
type broken struct{}

var errBroken = errors.New("broken")

func (broken) Load(context.Context, string) ([]byte, error)            { return nil, errBroken }
func (broken) Store(context.Context, string, []byte, time.Time) error  { return errBroken }
func (broken) Lock(context.Context, string) (unlock func(), err error) { return nil, errBroken }
func (broken) SetAside(context.Context, string) error                  { return errBroken }

func TestBrokenCache(t *testing.T) {
	f := newFake("dogpay")
	c := configFor(t, "dogpay", serve(t, f))
	c.Cache, c.CacheKey = broken{}, cacheKey
	s := newSource(t, c)
	token(t, s)
	token(t, s)
	if f.count("") != 1 {
		t.Errorf("%d visits, want 1", f.count(""))
	}
	c.CacheKey = [32]byte{}
	if _, err := bearer.New(c); err == nil {
		t.Error("a cache without a key was taken")
	}
}

// What has ended leaves with the next start.
func TestCacheIsSwept(t *testing.T) {
	f := newFake("dogpay")
	f.life = time.Second
	url, dir := serve(t, f), t.TempDir()
	s := newSource(t, cached(t, "dogpay", url, dir))
	token(t, s)
	s.Close()
	time.Sleep(1100 * time.Millisecond)
	if _, err := bearer.OpenDir(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.token")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	keys := make([][32]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = bearer.KeyFile(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || k == [32]byte{} {
			t.Fatal("the keys differ")
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := bearer.KeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(path, 0o600)
	if _, err := bearer.KeyFile(path); err == nil {
		t.Error("a short key was taken")
	}
}
