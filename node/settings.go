package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/v2"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/connect/upstream"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/gate/rules"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/reference"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sharedlimit"
)

// Settings say how a node runs.
type Settings struct {
	Listen         string      // host:port of the public listener
	AdminListen    string      // host:port of the admin listener
	AdminSocket    string      // path; "" is admin.sock in Dir
	Issuer         string      // the URL under which callers reach the node
	Dir            string      // socket and key file
	Ledger         string      // directory of the SQLite store; "" is Dir
	Postgres       secret.Text // URL of the PostgreSQL store; zero is SQLite
	Cert, Key      string      // TLS files; both or none
	ACME           *ACME       // where certificates are got instead; nil is nowhere
	TrustedProxies []netip.Prefix
	Environments   []gatehouse.Environment
	Dialects       []string // names of built-in ones, and files; later ones replace earlier ones of the same name
	KEK            secret.Text
	AdminToken     secret.Text // zero closes the admin API on TCP
	MaxLag         time.Duration
	OnLagOpen      bool
	Limits         bool
	Redis          secret.Text   // URL of the Redis in which all nodes count limits together; zero is none
	DrainDelay     time.Duration // how long to serve on after SIGTERM, while /readyz is down
	LogLevel       slog.Level
	Routes         *gate.Routes      // what /gate/verify asks where its query doesn't; nil: the query must
	Leaks          httpd.LeakReports // secret scanners whose reports are taken
	Upstream       *upstream.Config  // where end users sign in; nil is the built-in directory
	// WebhookNetworks may be sent webhooks though they are not public.
	WebhookNetworks []netip.Prefix
	Docs            reference.Brand // whose name stands on the reference pages
	OldIssuers      []OldIssuer     // whose JWTs are taken until a date
	Sources         Sources         // the files that all this came from
	Dev             bool            // plain HTTP on loopback, whatever stands before it
}

// setting is one key of the settings file. Its variable in the environment is
// GATEHOUSE_ and the key in capitals, with dots as underscores; a secret may
// also come from the file that KEY_file or GATEHOUSE_KEY_FILE names.
type setting struct {
	key    string
	list   bool
	nested bool
	secret bool
}

var known = []setting{
	{key: "listen"}, {key: "admin_listen"}, {key: "admin_socket"}, {key: "issuer"}, {key: "database"},
	{key: "tls.cert"}, {key: "tls.key"},
	{key: "trusted_proxies", list: true}, {key: "environments", list: true}, {key: "dialects", list: true},
	{key: "key_encryption_key", secret: true}, {key: "admin_token", secret: true},
	{key: "gate.routes"}, {key: "journal.max_lag"}, {key: "journal.on_lag"}, {key: "drain_delay"}, {key: "log_level"},
	{key: "docs.name"}, {key: "docs.logo"}, {key: "docs.hosts.sandbox"}, {key: "docs.hosts.live"},
	{key: "leaks.keys"}, {key: "leaks.client_secrets"},
	{key: "redis", secret: true}, {key: "old_issuers", nested: true},
	{key: "webhooks.networks", list: true},
	{key: "connect.identity"}, {key: "connect.identity.issuer"}, {key: "connect.identity.client_id"}, {key: "connect.identity.client_secret", secret: true},
	{key: "connect.identity.scopes", list: true}, {key: "connect.identity.user_claim"}, {key: "connect.identity.name"},
	{key: "tls.acme.domains", list: true}, {key: "tls.acme.email"}, {key: "tls.acme.directory"}, {key: "tls.acme.directory_ca"}, {key: "tls.acme.accept_terms"},
}

var defaults = values{
	"listen":          "127.0.0.1:8080",
	"admin_listen":    "127.0.0.1:8081",
	"database":        "sqlite:" + defaultDir,
	"journal.max_lag": "5s",
	"journal.on_lag":  "closed",
	"drain_delay":     "0s",
	"log_level":       "info",
}

// values is a koanf provider of settings by their dotted keys.
type values map[string]any

// Read returns the settings, nested.
func (v values) Read() (map[string]any, error) { return maps.Unflatten(v, "."), nil }

// ReadBytes is for providers that need a parser.
func (v values) ReadBytes() ([]byte, error) { return nil, errors.New("settings are no bytes") }

// LoadSettings reads the settings: flags over the environment over the file at
// path ("" is none) over defaults. Flags are by key. Errors say which setting
// is wrong and what it may be.
func LoadSettings(path string, flags map[string]any, environ []string) (Settings, error) {
	var file values
	if path != "" {
		var err error
		if file, err = readFile(path); err != nil {
			return Settings{}, err
		}
	}
	s, err := merge(defaults, file, environment(environ), values(flags))
	s.Sources = sourcesOf(path, file, environment(environ))
	return s, err
}

func merge(layers ...values) (Settings, error) {
	k := koanf.New(".")
	for _, layer := range layers {
		if layer == nil {
			continue
		}
		// A secret and its file are one setting in two spellings, so the
		// upper layer's spelling replaces the lower's.
		for key := range layer {
			k.Delete(strings.TrimSuffix(key, "_file"))
			k.Delete(strings.TrimSuffix(key, "_file") + "_file")
		}
		if err := k.Load(layer, nil); err != nil {
			return Settings{}, err
		}
	}
	return parse(k)
}

// environment picks the settings out of the process's environment. Variables
// that are none of ours are left alone, whatever their name: Kubernetes sets
// GATEHOUSE_PORT for a service called gatehouse.
func environment(environ []string) values {
	given := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if value != "" {
			given[name] = value
		}
	}
	out := values{}
	if port := given["PORT"]; port != "" {
		out["listen"] = ":" + port
	}
	if u := given["DATABASE_URL"]; u != "" {
		out["database"] = u
	}
	if u := given["REDIS_URL"]; u != "" {
		out["redis"] = u
	}
	for _, s := range known {
		if s.nested {
			continue
		}
		name := "GATEHOUSE_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
		if v, ok := given[name]; ok {
			out[s.key] = v
			if s.list {
				out[s.key] = splitList(v)
			}
		}
		if v, ok := given[name+"_FILE"]; ok && s.secret {
			out[s.key+"_file"] = v
		}
	}
	return out
}

func splitList(s string) (out []string) {
	for _, part := range strings.Split(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func parse(k *koanf.Koanf) (s Settings, err error) {
	s = Settings{
		Listen: k.String("listen"), AdminListen: k.String("admin_listen"), AdminSocket: k.String("admin_socket"),
		Cert: k.String("tls.cert"), Key: k.String("tls.key"), Dialects: k.Strings("dialects"), Limits: true,
	}
	if s.Dir, s.Postgres, err = parseDatabase(k.String("database")); err != nil {
		return s, err
	}
	if s.AdminSocket == "" {
		s.AdminSocket = filepath.Join(s.Dir, admin.SocketName)
	}
	if s.Issuer, err = parseIssuer(k.String("issuer")); err != nil {
		return s, err
	}
	if (s.Cert == "") != (s.Key == "") {
		return s, errors.New("tls: cert and key go together; one of them is missing")
	}
	if s.ACME, err = parseACME(k); err != nil {
		return s, err
	}
	if s.ACME != nil && s.Cert != "" {
		return s, errors.New("tls: certificates come from files (cert, key) or from an authority (acme), not both")
	}
	for _, text := range k.Strings("trusted_proxies") {
		p, err := parsePrefix(text)
		if err != nil {
			return s, err
		}
		s.TrustedProxies = append(s.TrustedProxies, p)
	}
	s.Environments = gatehouse.Environments
	if names := k.Strings("environments"); len(names) > 0 {
		s.Environments = nil
		for _, name := range names {
			env, err := gatehouse.ParseEnvironment(name)
			if err != nil {
				return s, fmt.Errorf("environments: %s", gatehouse.AsError(err).Message)
			}
			s.Environments = append(s.Environments, env)
		}
	}
	if s.KEK, err = readSecret(k, "key_encryption_key"); err != nil {
		return s, err
	}
	if s.AdminToken, err = readSecret(k, "admin_token"); err != nil {
		return s, err
	}
	if s.Redis, err = readSecret(k, "redis"); err != nil {
		return s, err
	}
	if !s.Redis.IsZero() {
		if err := sharedlimit.Check(s.Redis); err != nil {
			return s, err
		}
	}
	const shortest = 20
	if t := s.AdminToken; !t.IsZero() && len(t.Reveal()) < shortest {
		return s, fmt.Errorf("admin_token: it is too short to be safe; `openssl rand -hex 32` makes one")
	}
	if s.MaxLag, err = time.ParseDuration(k.String("journal.max_lag")); err != nil || s.MaxLag <= 0 {
		return s, fmt.Errorf("journal.max_lag: %q is no duration: write it like 5s", k.String("journal.max_lag"))
	}
	switch on := k.String("journal.on_lag"); on {
	case "closed":
	case "open":
		s.OnLagOpen = true
	default:
		return s, fmt.Errorf("journal.on_lag: %q must be closed or open", on)
	}
	const longestDelay = 5 * time.Minute
	if s.DrainDelay, err = time.ParseDuration(k.String("drain_delay")); err != nil || s.DrainDelay < 0 || s.DrainDelay > longestDelay {
		return s, fmt.Errorf("drain_delay: %q must be a duration of at most 5m, such as 2s", k.String("drain_delay"))
	}
	if err := s.LogLevel.UnmarshalText([]byte(k.String("log_level"))); err != nil {
		return s, fmt.Errorf("log_level: %q must be debug, info, warn or error", k.String("log_level"))
	}
	if s.Upstream, err = parseIdentity(k); err != nil {
		return s, err
	}
	if s.WebhookNetworks, err = parseNetworks(k); err != nil {
		return s, err
	}
	if s.Docs, err = parseDocs(k); err != nil {
		return s, err
	}
	if s.OldIssuers, err = parseOldIssuers(k.Get("old_issuers")); err != nil {
		return s, err
	}
	if path := k.String("gate.routes"); path != "" {
		if s.Routes, err = rules.Load(path); err != nil {
			return s, fmt.Errorf("gate.routes: %w", err)
		}
	}
	s.Leaks, err = parseLeaks(k)
	return s, err
}

// parseLeaks reads the keys of secret scanners from the file that they publish
// them in.
func parseLeaks(k *koanf.Koanf) (l httpd.LeakReports, err error) {
	switch on := k.String("leaks.client_secrets"); on {
	case "", "flag":
	case "retire":
		l.RetireSecrets = true
	default:
		return l, fmt.Errorf("leaks.client_secrets: %q must be flag or retire", on)
	}
	path := k.String("leaks.keys")
	if path == "" {
		return l, nil
	}
	b, err := os.ReadFile(path)
	if err == nil {
		l.Keys, err = httpd.ParseLeakKeys(b)
	}
	if err != nil {
		return l, fmt.Errorf("leaks.keys: %w", err)
	}
	return l, nil
}

// defaultDir is where a node keeps what is its own: with a database elsewhere,
// its socket.
const defaultDir = "./gatehouse-data"

// parseDatabase returns the data directory, and the URL of a database elsewhere.
// The URL may hold a password, so no error shows it.
func parseDatabase(text string) (dir string, elsewhere secret.Text, err error) {
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		if scheme != "postgres" && scheme != "postgresql" {
			return "", elsewhere, fmt.Errorf("database: Gatehouse speaks no %s: use sqlite:DIR or postgres://…", scheme)
		}
		return filepath.Clean(defaultDir), secret.New(text), nil
	}
	dir, ok := strings.CutPrefix(text, "sqlite:")
	if !ok || dir == "" {
		return "", elsewhere, errors.New("database: it must say where the ledger is: use sqlite:DIR or postgres://…")
	}
	return filepath.Clean(dir), elsewhere, nil
}

func parseIssuer(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("issuer: %q must be a URL without query or fragment (RFC 8414), such as https://auth.example.com", text)
	}
	return strings.TrimSuffix(text, "/"), nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("trusted_proxies: %q must be an address or a network such as 10.0.0.0/8", text)
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
}

// readSecret takes a secret from the setting, or from the file that its _file
// variant names, which loses one line end.
func readSecret(k *koanf.Koanf, key string) (secret.Text, error) {
	path := k.String(key + "_file")
	if path == "" {
		return secret.New(k.String(key)), nil
	}
	if k.String(key) != "" {
		return secret.Text{}, fmt.Errorf("%s: it is given both as a value and as a file: leave one out", key)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return secret.Text{}, fmt.Errorf("%s_file: %w", key, err)
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if s == "" {
		return secret.Text{}, fmt.Errorf("%s_file: %s is empty", key, path)
	}
	return secret.New(s), nil
}
