package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

const testToken = "correct-horse-battery-staple"

// through sends r through a door and returns who got in, or the status.
func through(t *testing.T, d *door, r *http.Request) (by gatehouse.Actor, status int) {
	t.Helper()
	d.log = slog.New(slog.DiscardHandler)
	d.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by = r.Context().Value(actorKey).(gatehouse.Actor)
	})
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	if w.Code != http.StatusOK && strings.Contains(w.Body.String(), testToken) {
		t.Errorf("the refusal holds the token: %s", w.Body)
	}
	return by, w.Code
}

func TestDoorOnTCP(t *testing.T) {
	open := &door{token: secret.New(testToken), trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for name, c := range map[string]struct {
		door   *door
		from   string
		header http.Header
		want   int
	}{
		"the token":                 {open, "127.0.0.1:1", http.Header{"Authorization": {"Bearer " + testToken}}, 200},
		"another case of scheme":    {open, "[::1]:1", http.Header{"Authorization": {"bearer " + testToken}}, 200},
		"none":                      {open, "127.0.0.1:1", nil, 401},
		"empty":                     {open, "127.0.0.1:1", http.Header{"Authorization": {""}}, 401},
		"Bearer alone":              {open, "127.0.0.1:1", http.Header{"Authorization": {"Bearer"}}, 401},
		"another token":             {open, "127.0.0.1:1", http.Header{"Authorization": {"Bearer " + testToken + "x"}}, 401},
		"a beginning of it":         {open, "127.0.0.1:1", http.Header{"Authorization": {"Bearer correct"}}, 401},
		"another scheme":            {open, "127.0.0.1:1", http.Header{"Authorization": {"Basic " + testToken}}, 401},
		"twice":                     {open, "127.0.0.1:1", http.Header{"Authorization": {"Bearer " + testToken, "Bearer " + testToken}}, 401},
		"no token set":              {&door{}, "127.0.0.1:1", http.Header{"Authorization": {"Bearer "}}, 401},
		"plain from outside":        {open, "203.0.113.9:1", http.Header{"Authorization": {"Bearer " + testToken}}, 403},
		"a proxy that isn't named":  {open, "203.0.113.9:1", http.Header{"Authorization": {"Bearer " + testToken}, "X-Forwarded-Proto": {"https"}}, 403},
		"a named proxy, https":      {open, "10.1.2.3:1", http.Header{"Authorization": {"Bearer " + testToken}, "X-Forwarded-Proto": {"https"}}, 200},
		"a named proxy, http":       {open, "10.1.2.3:1", http.Header{"Authorization": {"Bearer " + testToken}, "X-Forwarded-Proto": {"http"}}, 403},
		"a named proxy, says not":   {open, "10.1.2.3:1", http.Header{"Authorization": {"Bearer " + testToken}}, 403},
		"an address that isn't one": {open, "nonsense", http.Header{"Authorization": {"Bearer " + testToken}}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/admin/v1/clients", nil)
			r.RemoteAddr, r.Header = c.from, c.header
			if c.header == nil {
				r.Header = http.Header{}
			}
			by, status := through(t, c.door, r)
			if status != c.want {
				t.Fatalf("status %d, want %d", status, c.want)
			}
			if status == http.StatusOK && (by.Kind != gatehouse.ByOperator || by.ID != "admin-token" || !by.Addr.IsValid() || by.Request == "") {
				t.Errorf("got in as %+v", by)
			}
		})
	}
}

func TestDoorOnTheSocket(t *testing.T) {
	for name, c := range map[string]struct {
		peer peer
		want int
	}{
		"root":                   {peer{uid: 0}, 200},
		"the server's own user":  {peer{uid: uint32(os.Geteuid())}, 200},
		"another user":           {peer{uid: 54321}, 403},
		"nobody knows":           {peer{err: os.ErrInvalid}, 403},
		"nobody knows, but root": {peer{uid: 0, err: os.ErrInvalid}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/admin/v1/clients", nil)
			// A token does not help somebody whom the kernel knows as another.
			r.Header.Set("Authorization", "Bearer "+testToken)
			r = r.WithContext(context.WithValue(r.Context(), peerKey, c.peer))
			if _, status := through(t, &door{token: secret.New(testToken)}, r); status != c.want {
				t.Errorf("status %d, want %d", status, c.want)
			}
		})
	}
}

// The kernel's word comes through a real socket, also one whose path is longer
// than a socket address has room for.
func TestSocketPeer(t *testing.T) {
	for name, dir := range map[string]string{"short": t.TempDir(), "long": filepath.Join(t.TempDir(), strings.Repeat("long/", 30))} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, SocketName)
			l, err := ListenSocket(path)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
			}
			if _, err := ListenSocket(path); err == nil {
				t.Error("a second process could take the socket")
			}
			var seen gatehouse.Actor
			srv := &http.Server{ConnContext: ConnContext, Handler: &door{log: slog.New(slog.DiscardHandler), next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = r.Context().Value(actorKey).(gatehouse.Actor)
				_, _ = w.Write([]byte(`{"items":[],"next":""}`))
			})}}
			done := make(chan error)
			go func() { done <- srv.Serve(l) }()
			if _, err := DialSocket(path).Clients(t.Context(), Page{}); err != nil {
				t.Error(err)
			}
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			<-done
			if want := "uid:"; !strings.HasPrefix(seen.ID, want) || seen.Addr.IsValid() {
				t.Errorf("the peer is %+v", seen)
			}
			if _, err := os.Lstat(path); err == nil {
				t.Error("the socket is left behind")
			}
		})
	}
}

func TestSocketReplacesOnlyDeadSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), SocketName)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(path); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}
