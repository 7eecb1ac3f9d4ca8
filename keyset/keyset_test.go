package keyset

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/token"
)

func ed(t testing.TB) ed25519.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func setOf(t testing.TB, keys ...jose.JSONWebKey) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func ids(r *token.Ring) string {
	var out []string
	for _, k := range r.Keys() {
		out = append(out, k.ID+" "+string(k.Realm.Algorithm))
	}
	return strings.Join(out, ", ")
}

func TestOnlySoundKeysAreTaken(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := func(bits int) crypto.PublicKey {
		t.Setenv("GODEBUG", "rsa1024min=0")
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return k.Public()
	}
	good := ed(t)
	_, private, _ := ed25519.GenerateKey(nil)
	body := setOf(t,
		jose.JSONWebKey{Key: good, KeyID: "ed"},
		jose.JSONWebKey{Key: ec.Public(), KeyID: "ec", Algorithm: "ES256", Use: "sig"},
		jose.JSONWebKey{Key: rsaKey(2048), KeyID: "rsa"},
		jose.JSONWebKey{Key: rsaKey(1024), KeyID: "short"},
		jose.JSONWebKey{Key: p384.Public(), KeyID: "p384"},
		jose.JSONWebKey{Key: ed(t), KeyID: "encrypts", Use: "enc"},
		jose.JSONWebKey{Key: private, KeyID: "private"},
		jose.JSONWebKey{Key: []byte("a shared secret of some length"), KeyID: "shared", Algorithm: "HS256"},
		jose.JSONWebKey{Key: ed(t), KeyID: "ed"},
		jose.JSONWebKey{Key: good, KeyID: "twice"},
		jose.JSONWebKey{Key: rsaKey(2048), KeyID: "pss", Algorithm: "PS256"},
		jose.JSONWebKey{Key: ec.Public(), KeyID: "confused", Algorithm: "RS256"},
	)
	ring, err := New(Config{Environment: "live"}).parse([]byte(body))
	if err != nil || ids(ring) != "ec ES256, ed EdDSA, rsa RS256" {
		t.Fatal(ids(ring), err)
	}
	ring, err = New(Config{Environment: "live", Algorithms: []token.Algorithm{token.ES256}}).parse([]byte(body))
	if err != nil || ids(ring) != "ec ES256" {
		t.Fatal(ids(ring), err)
	}
	for name, body := range map[string]string{
		"nothing": "", "a list": "[]", "no keys": `{"keys":[]}`, "twice": `{"keys":[],"keys":[]}`, "text": `{"keys":"x"}`, "trailing": `{"keys":[]} x`,
		"many": `{"keys":[` + strings.Repeat("{},", maxKeys) + `{}]}`,
	} {
		if ring, err := New(Config{}).parse([]byte(body)); err == nil {
			t.Errorf("%s: %s", name, ids(ring))
		}
	}
}

// A source answers with what it is told, and counts.
type source struct {
	*httptest.Server
	asked  atomic.Int64
	mu     sync.Mutex
	answer http.HandlerFunc
}

func newSource(t *testing.T) *source {
	s := &source{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *source) says(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

type stopped struct{ at atomic.Int64 }

func (c *stopped) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *stopped) advance(d time.Duration) { c.at.Add(int64(d)) }

func TestReadingIsBounded(t *testing.T) {
	from := newSource(t)
	one, two := jose.JSONWebKey{Key: ed(t), KeyID: "one"}, jose.JSONWebKey{Key: ed(t), KeyID: "two"}
	from.says(text(setOf(t, one)))
	clock := &stopped{}
	clock.advance(time.Hour)
	s := New(Config{URL: from.URL, Environment: "live", Now: clock.now})
	want := func(newer bool, want string, asked int64) {
		t.Helper()
		ring, err := s.Keys(context.Background(), newer)
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(ring); got != want || from.asked.Load() != asked {
			t.Fatalf("%q after %d readings, want %q after %d", got, from.asked.Load(), want, asked)
		}
	}
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if _, err := s.Keys(context.Background(), false); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	want(false, "one EdDSA", 1)
	from.says(text(setOf(t, one, two)))
	for range 100 {
		want(true, "one EdDSA", 1) // made-up key ids make no further reading so soon
	}
	clock.advance(readNotBefore)
	want(true, "one EdDSA, two EdDSA", 2)
	// Use goes on meanwhile, and keys that are gone there go here.
	from.says(text(setOf(t, two)))
	clock.advance(readAgain)
	want(true, "two EdDSA", 3)

	// A source that fails leaves the old keys, up to a bound.
	for name, fails := range map[string]http.HandlerFunc{
		"error":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"garbage":  text("<html>"),
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"huge":     text(strings.Repeat(" ", maxSize+1)),
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
		},
	} {
		from.says(fails)
		clock.advance(readNotBefore)
		before := from.asked.Load()
		want(true, "two EdDSA", before+1)
		if name == "redirect" && from.asked.Load() != before+1 {
			t.Error("a redirect was followed")
		}
	}
	clock.advance(tooOld)
	if ring, err := s.Keys(context.Background(), false); err == nil {
		t.Fatalf("keys of a day ago are trusted: %s", ids(ring))
	}
	from.says(text(setOf(t, one)))
	clock.advance(firstNotBefore)
	if ring, err := s.Keys(context.Background(), false); err != nil || ids(ring) != "one EdDSA" {
		t.Fatal(err)
	}
}

func TestKeysOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	s := New(Config{File: path, Environment: "live"})
	if _, err := s.Keys(t.Context(), false); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(setOf(t, jose.JSONWebKey{Key: ed(t)})), 0o600); err != nil {
		t.Fatal(err)
	}
	s = New(Config{File: path, Environment: "live"})
	if ring, err := s.Keys(t.Context(), false); err != nil || ids(ring) != "unnamed-1 EdDSA" {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}]}`)
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`)
	s := New(Config{Environment: "live"})
	f.Fuzz(func(t *testing.T, body string) {
		ring, err := s.parse([]byte(body))
		if (ring == nil) == (err == nil) {
			t.Fatal("neither keys nor an error, or both")
		}
	})
}
