package node

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsFromTheFile(t *testing.T) {
	path := write(t, "gatehouse.yaml", `
listen: 0.0.0.0:443
admin_listen: 127.0.0.1:9000
admin_socket: /run/gatehouse/admin.sock
issuer: https://auth.example.com/
database: sqlite:/var/lib/gatehouse/
tls: {cert: cert.pem, key: key.pem}
trusted_proxies: [10.0.0.0/8, 192.0.2.7, "2001:db8::/32"]
environments: [live]
dialects: [papaya, ./bank.yaml]
key_encryption_key: AAAA
admin_token: correct-horse-battery-staple
journal: {max_lag: 10s, on_lag: open}
log_level: debug
redis: redis://:sesame@redis.example/1
drain_delay: 3s
`)
	got, err := LoadSettings(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Listen: "0.0.0.0:443", AdminListen: "127.0.0.1:9000", AdminSocket: "/run/gatehouse/admin.sock", Issuer: "https://auth.example.com",
		Dir: "/var/lib/gatehouse", Cert: "cert.pem", Key: "key.pem",
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")},
		Environments:   []gatehouse.Environment{gatehouse.Live}, Dialects: []string{"papaya", "./bank.yaml"},
		KEK: secret.New("AAAA"), AdminToken: secret.New("correct-horse-battery-staple"),
		MaxLag: 10 * time.Second, OnLagOpen: true, Limits: true, LogLevel: slog.LevelDebug,
		DrainDelay: 3 * time.Second, Redis: secret.New("redis://:sesame@redis.example/1"),
		Sources: Sources{File: path, FileSecrets: []string{"key_encryption_key", "admin_token", "redis"}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(secret.Text.Equal), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
}

// Flags over the environment over the file over defaults.
func TestSettingsOrder(t *testing.T) {
	path := write(t, "gatehouse.yaml", "listen: file:1\njournal: {max_lag: 7s}\nadmin_listen: file:2\ndatabase: sqlite:file\n")
	keyFile := write(t, "key", "from-a-file\n")
	got, err := LoadSettings(path, map[string]any{"listen": "flag:1"}, []string{
		"GATEHOUSE_LISTEN=environment:1", "GATEHOUSE_ADMIN_LISTEN=environment:2", "GATEHOUSE_TLS_CERT=c", "GATEHOUSE_TLS_KEY=k",
		"GATEHOUSE_TRUSTED_PROXIES=10.0.0.0/8, 10.1.0.0/16", "GATEHOUSE_KEY_ENCRYPTION_KEY_FILE=" + keyFile,
		"GATEHOUSE_PORT=tcp://10.0.0.1:80", "GATEHOUSE_SERVICE_HOST=10.0.0.1", "GATEHOUSE_ISSUER=",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Listen != "flag:1" || got.AdminListen != "environment:2" || got.Dir != "file" || got.MaxLag != 7*time.Second || got.LogLevel != slog.LevelInfo {
		t.Errorf("%+v", got)
	}
	if got.Cert != "c" || len(got.TrustedProxies) != 2 || got.KEK.Reveal() != "from-a-file" || got.AdminSocket != "file/admin.sock" {
		t.Errorf("%+v", got)
	}
}

func TestSettingsOfOtherPlatforms(t *testing.T) {
	got, err := LoadSettings("", nil, []string{"PORT=3000", "DATABASE_URL=sqlite:/data", "REDIS_URL=rediss://redis.example"})
	if err != nil || got.Listen != ":3000" || got.Dir != "/data" || got.Redis.Reveal() != "rediss://redis.example" {
		t.Errorf("%+v, %v", got, err)
	}
	// Our own names are more exact.
	got, err = LoadSettings("", nil, []string{"PORT=3000", "GATEHOUSE_LISTEN=127.0.0.1:1"})
	if err != nil || got.Listen != "127.0.0.1:1" {
		t.Errorf("%+v, %v", got, err)
	}
}

// An upper layer may spell a secret as a file where the lower has its value.
func TestSecretSpellings(t *testing.T) {
	path := write(t, "gatehouse.yaml", "admin_token: from-the-settings-file\n")
	tokenFile := write(t, "token", "from-the-token-file-itself\r\n")
	got, err := LoadSettings(path, nil, []string{"GATEHOUSE_ADMIN_TOKEN_FILE=" + tokenFile})
	if err != nil || got.AdminToken.Reveal() != "from-the-token-file-itself" {
		t.Errorf("%v, %v", got.AdminToken.Reveal(), err)
	}
	if s := fmt.Sprintf("%+v %#v", got, got); strings.Contains(s, "from-the") {
		t.Errorf("settings print their secrets: %s", s)
	}
}

func TestSettingsRefused(t *testing.T) {
	for file, want := range map[string]string{
		"isuer: x":                                    `1:1: unknown setting "isuer": did you mean "issuer"`,
		"a: x":                                        "the settings are listen, admin_listen",
		"tls: {certt: x}":                             `unknown setting "tls.certt": did you mean "tls.cert"`,
		"\n\njournal: {lag: 1s}":                      "3:11: unknown setting",
		"listen: [a, b]":                              "1:9: listen must be a plain value",
		"tls: cert.pem":                               "tls must be a mapping",
		"- listen":                                    "must be a mapping",
		"listen: a\n---\nlisten: b":                   "several YAML documents",
		"listen: !!str a":                             "plain value",
		"<<: {listen: a}":                             "unknown setting",
		"issuer: auth.example.com":                    "issuer:",
		"issuer: https://auth.example.com?x=1":        "without query",
		"issuer: https://u:p@auth.example.com":        "issuer:",
		"database: data":                              "use sqlite:DIR",
		"database: 'sqlite:'":                         "use sqlite:DIR",
		"database: mysql://x":                         "speaks no mysql",
		"database: postgres:x":                        "or postgres://",
		"environments: [staging]":                     "environments: unknown environment",
		"journal: {max_lag: soon}":                    "write it like 5s",
		"journal: {max_lag: -1s}":                     "write it like 5s",
		"journal: {on_lag: ajar}":                     "closed or open",
		"drain_delay: -1s":                            "at most 5m",
		"drain_delay: 2":                              "at most 5m",
		"log_level: loud":                             "debug, info, warn or error",
		"admin_token_file: /nonexistent":              "admin_token_file:",
		"admin_token: a\nadmin_token_file: b":         "leave one out",
		"trusted_proxies: [everybody]":                "trusted_proxies:",
		"listen: a\nlisten: b":                        ":2:1:",
		"listen: \"\\xff":                             "gatehouse.yaml",
		"tls: {acme: {email: a@acme.example}}":        "tls.acme.domains",
		"tls: {acme: {domains: [auth.example.com]}}":  "tls.acme.accept_terms",
		"tls: {acme: {domains: [localhost]}}":         "no name that TLS-ALPN-01 can prove",
		"tls: {acme: {domains: [\"*.example.com\"]}}": "no name that TLS-ALPN-01 can prove",
		"tls: {cert: a, key: b, acme: {domains: [auth.example.com], accept_terms: true}}":                 "not both",
		"tls: {acme: {domains: [auth.example.com], accept_terms: true, directory: \"http://a.example\"}}": "tls.acme.directory",
		"redis: redis.example:6379":                  "redis: it must be a URL such as redis://",
		"admin_token: " + strings.Repeat("x", 19):    "too short",
		"listen: a\n" + strings.Repeat("#", 300<<10): "at most 256 KiB",
	} {
		_, err := LoadSettings(write(t, "gatehouse.yaml", file), nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q in it", file, err, want)
		}
	}
}

func FuzzReadFile(f *testing.F) {
	for _, s := range []string{"listen: a", "tls: {cert: a, key: b}", "trusted_proxies: [a]\n", "a: &a b\nc: *a", "? a\n: b", "{}", ""} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "gatehouse.yaml")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := readFile(path)
		if err != nil {
			return
		}
		for key, value := range out {
			s, ok := find(key)
			if !ok {
				t.Fatalf("%q is accepted", key)
			}
			if _, isList := value.([]string); isList != s.list {
				t.Fatalf("%s is %#v", key, value)
			}
		}
	})
}

func TestEditDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"a", ""}: 1, {"", "abc"}: 3, {"issuer", "isuer"}: 1, {"kitten", "sitting"}: 3, {"listen", "listen"}: 0,
	} {
		if got := editDistance(pair[0], pair[1]); got != want {
			t.Errorf("%q to %q is %d, want %d", pair[0], pair[1], got, want)
		}
	}
}
