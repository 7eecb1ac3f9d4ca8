package bearer_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A fake is one vendor's API, written by hand from the vendor's page and from
// none of the code under test: a token endpoint in the vendor's words, and
// /data/ behind it.
type fake struct {
	mu        sync.Mutex
	life      time.Duration
	skew      time.Duration // of the vendor's clock
	visits    []visit       // to the token endpoint
	answer    func(http.ResponseWriter) bool
	slow      time.Duration
	secret    string
	tokens    map[string]time.Time // their ends; zero: none
	refreshes map[string]bool
	calls     int // of /data/
	refused   int // of those
	always401 bool
	bodies    []string
	issue     func(f *fake, w http.ResponseWriter, r *http.Request)
	refresh   func(f *fake, w http.ResponseWriter, r *http.Request)
	paths     map[string]string // path → issue or refresh
}

type visit struct {
	kind string
	at   time.Time
}

const (
	fakeID     = "4f7d2c8e-6a31-4b0a-9f5e-1c2d3e4f5a6b"
	fakeSecret = "s3cret/with+odd=chars"
)

func (f *fake) now() time.Time { return time.Now().Add(f.skew) }

// mint makes a token and notes its end. The caller holds mu.
func (f *fake) mint(prefix string) string {
	tok := prefix + rand.Text()
	end := time.Time{}
	if f.life > 0 {
		end = f.now().Add(f.life)
	}
	f.tokens[tok] = end
	return tok
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	slow := f.slow
	f.mu.Unlock()
	kind, isToken := f.paths[r.Method+" "+r.URL.Path]
	if isToken && slow > 0 {
		time.Sleep(slow)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Date", f.now().UTC().Format(http.TimeFormat))
	switch {
	case isToken:
		f.visits = append(f.visits, visit{kind, time.Now()})
		if f.answer != nil && f.answer(w) {
			return
		}
		if kind == "refresh" {
			f.refresh(f, w, r)
		} else {
			f.issue(f, w, r)
		}
	case strings.HasPrefix(r.URL.Path, "/data/"):
		f.data(w, r)
	default:
		http.Error(w, "no such thing", http.StatusNotFound)
	}
}

func (f *fake) data(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.calls++
	tok, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	end, known := f.tokens[tok]
	at := f.now()
	if left, err := time.Parse(time.RFC3339Nano, r.Header.Get("X-Left")); err == nil {
		at = left.Add(f.skew)
	}
	if !ok || !known || f.always401 || !end.IsZero() && !at.Before(end) {
		f.refused++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	f.bodies = append(f.bodies, string(body))
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	_, _ = w.Write(body)
}

func (f *fake) count(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, v := range f.visits {
		if kind == "" || v.kind == kind {
			n++
		}
	}
	return n
}

func (f *fake) revokeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.tokens)
}

func (f *fake) set(change func(f *fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func send(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, format, args...)
}

func jsonBody(r *http.Request) map[string]any {
	var m map[string]any
	if r.Header.Get("Content-Type") == "application/json" {
		_ = json.NewDecoder(r.Body).Decode(&m)
	}
	return m
}

// The five contracts.
var contracts = map[string]func() *fake{
	"dogpay": func() *fake {
		return &fake{life: 2 * time.Hour, paths: map[string]string{"POST /open-api/v1/auth/access_token": "issue"},
			issue: func(f *fake, w http.ResponseWriter, r *http.Request) {
				in := jsonBody(r)
				if in["grant_type"] != "client_credential" {
					send(w, 400, `{"code":1,"message":"grant_type"}`)
				} else if in["appid"] != fakeID || in["secret"] != f.secret {
					send(w, 401, `{"code":10003,"message":"app not found","data":null}`)
				} else {
					send(w, 200, `{"code":0,"message":"success","data":{"access_token":%q,"expires_in":%d,"token_type":"bearer"}}`,
						f.mint("eyJ"), int(f.life.Seconds()))
				}
			}}
	},
	"quidkey": func() *fake {
		return &fake{life: 15 * time.Minute, paths: map[string]string{"POST /api/v1/oauth2/token": "issue", "POST /api/v1/oauth2/refresh": "refresh"},
			issue: func(f *fake, w http.ResponseWriter, r *http.Request) {
				in := jsonBody(r)
				if in["grant_type"] != "client_credentials" || in["client_id"] != fakeID || in["client_secret"] != f.secret {
					send(w, 401, `{"success":false,"error":{"code":"INVALID_TOKEN","message":"Unauthorized"}}`)
					return
				}
				refresh := rand.Text()
				f.refreshes[refresh] = true
				send(w, 200, `{"success":true,"data":{"access_token":%q,"refresh_token":%q,"token_type":"Bearer","expires_in":%d}}`,
					f.mint(""), refresh, int(f.life.Seconds()))
			},
			refresh: func(f *fake, w http.ResponseWriter, r *http.Request) {
				if tok, _ := jsonBody(r)["refresh_token"].(string); !f.refreshes[tok] {
					send(w, 401, `{"success":false,"error":{"code":"INVALID_TOKEN","message":"Unauthorized"}}`)
					return
				}
				send(w, 200, `{"success":true,"data":{"access_token":%q,"token_type":"Bearer","expires_in":%d}}`, f.mint(""), int(f.life.Seconds()))
			}}
	},
	"su": func() *fake {
		return &fake{life: time.Hour, paths: map[string]string{"GET /SUAPI/jservice/auth/generate-access-token": "issue"},
			issue: func(f *fake, w http.ResponseWriter, r *http.Request) {
				domain, err := base64.StdEncoding.DecodeString(r.Header.Get("client-id"))
				if err != nil || string(domain) != "hotel.example" || r.Header.Get("client-secret") != f.secret {
					send(w, 401, `{"Errors":[{"Code":"497","ShortText":"Authorization Required"}],"Status":"Fail"}`)
					return
				}
				send(w, 200, `{"success":true,"data":{"token_type":"Bearer","token":%q,"expire_in":%q},"message":"Access Token generated successfully"}`,
					f.mint("live_"), strconv.Itoa(int(f.life.Seconds())))
			}}
	},
	"dapi": func() *fake {
		return &fake{paths: map[string]string{"POST /v2/auth/ExchangeToken": "issue"},
			issue: func(f *fake, w http.ResponseWriter, r *http.Request) {
				in := jsonBody(r)
				if in["appSecret"] != f.secret || in["accessCode"] != "code-1" || in["connectionID"] != "conn-1" || len(f.tokens) > 0 {
					send(w, 401, `{"success":false,"status":"failed","type":"INVALID_CREDENTIALS","msg":"Invalid credentials"}`)
					return
				}
				send(w, 200, `{"success":true,"accessToken":%q}`, f.mint(""))
			}}
	},
	"papaya": func() *fake {
		return &fake{life: 24 * time.Hour, paths: map[string]string{"POST /token": "issue"},
			issue: func(f *fake, w http.ResponseWriter, r *http.Request) {
				in := jsonBody(r)
				if in["api_key"] != fakeID || in["client_secret"] != f.secret {
					send(w, 401, `{"error":"Unauthorized","description":"Invalid key","error_code":40100,"sub_code":""}`)
					return
				}
				claims := fmt.Sprintf(`{"iat":%d,"exp":%d,"sub":"access","user":{"id":%q,"email":"a@b.example","owner":{"id":"7","ownerType":"org_id"}}}`,
					f.now().Unix(), f.now().Add(f.life).Unix(), fakeID)
				tok := f.mint("eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".")
				send(w, 200, `{"valid_until":%q,"token":%q,"token_name":"7f6c"}`, f.now().Add(f.life).UTC().Format("2006-01-02T15:04Z"), tok)
			}}
	},
	"oauth2": func() *fake {
		return &fake{life: time.Hour, paths: map[string]string{"POST /oauth2/token": "issue"},
			issue: func(f *fake, w http.ResponseWriter, r *http.Request) {
				id, key, _ := r.BasicAuth() // as RFC 6749 section 2.3.1 encodes them
				if r.FormValue("grant_type") != "client_credentials" || id != fakeID || key != "s3cret%2Fwith%2Bodd%3Dchars" {
					send(w, 401, `{"error":"invalid_client"}`)
					return
				}
				send(w, 200, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, f.mint(""), int(f.life.Seconds()))
			}}
	},
}

func newFake(name string) *fake {
	f := contracts[name]()
	f.tokens, f.refreshes, f.secret = map[string]time.Time{}, map[string]bool{}, fakeSecret
	return f
}

// configFor is a client's settings for a fake at this URL.
func configFor(t testing.TB, name, url string) bearer.Config {
	t.Helper()
	d, err := bearer.Dialect(name)
	if err != nil {
		t.Fatal(err)
	}
	c := bearer.Config{Dialect: d, BaseURL: url, ClientID: fakeID, ClientSecret: secret.New(fakeSecret)}
	switch name {
	case "su":
		c.ClientID = "hotel.example"
	case "dapi":
		c.AccessCode, c.ConnectionID, c.UserSecret = secret.New("code-1"), "conn-1", secret.New("user-secret")
	}
	return c
}

func newSource(t testing.TB, c bearer.Config) *bearer.Source {
	t.Helper()
	s, err := bearer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// serve puts a fake on loopback.
func serve(t testing.TB, f http.Handler) string {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

// A wire hands requests to handlers without a network, for tests that run in
// a bubble of synthetic time.
type wire struct{ handler http.Handler }

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.handler.ServeHTTP(rec, in)
	}()
	select {
	case <-done:
		return rec.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// inBubble is configFor with the fake on a wire.
func inBubble(t testing.TB, name string, f http.Handler) (bearer.Config, *bearer.Transport) {
	t.Helper()
	c := configFor(t, name, "https://vendor.example")
	c.HTTPClient = &http.Client{Transport: wire{f}}
	return c, &bearer.Transport{Base: wire{f}}
}
