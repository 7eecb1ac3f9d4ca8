// Package remote is `gatehouse gate`: a verifier beside a far gateway, which
// follows the journal and answers forward-auth and ext_authz on its own.
package remote

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/gate/rules"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// Settings say how a gate runs.
type Settings struct {
	Listen         string
	EnvoyListen    string // of ext_authz over gRPC; "" is none
	EnvoyBodies    bool   // Envoy shows the bodies of calls
	ProxyListen    string // of the proxy; "" is none
	Upstream       *url.URL
	ProxyDialect   string // in whose words the proxy refuses, and whose token paths it serves; "" is none
	BodyLimit      int    // of calls whose bodies are looked into, in bytes; 0 is the default
	Authority      string
	Environment    gatehouse.Environment
	ClientID       string
	ClientSecret   secret.Text
	MaxLag         time.Duration
	OnLagOpen      bool
	Dialects       []string // names of built-in ones, and files
	TrustedProxies []netip.Prefix
	Routes         *gate.Routes // nil: each question has its requirement in its query
	Cert, Key      string       // TLS files; both or none
	LogLevel       slog.Level
}

// file is the form of gate.yaml.
type file struct {
	Listen       string `yaml:"listen"`
	Authority    string `yaml:"authority"`
	Environment  string `yaml:"environment"`
	ClientID     string `yaml:"client_id"`
	ClientSecret string `yaml:"client_secret"`
	Journal      struct {
		MaxLag string `yaml:"max_lag"`
		OnLag  string `yaml:"on_lag"`
	} `yaml:"journal"`
	Envoy struct {
		Listen          string `yaml:"listen"`
		WithRequestBody bool   `yaml:"with_request_body"`
	} `yaml:"envoy"`
	Proxy struct {
		Listen   string `yaml:"listen"`
		Upstream string `yaml:"upstream"`
		Dialect  string `yaml:"dialect"`
	} `yaml:"proxy"`
	BodyLimit      int          `yaml:"body_limit"`
	Dialects       []string     `yaml:"dialects"`
	TrustedProxies []string     `yaml:"trusted_proxies"`
	Routes         []rules.Rule `yaml:"routes"`
	TLS            struct {
		Cert string `yaml:"cert"`
		Key  string `yaml:"key"`
	} `yaml:"tls"`
	LogLevel string `yaml:"log_level"`
}

const maxSettingsFile = 256 << 10

// Load reads a settings file. ${NAME} in authority, client_id and client_secret
// is a variable of the environment; a client_secret of file:PATH stands in that
// file, less one line end. Relative paths start from the settings file. Errors
// say which setting is wrong and what it may be.
func Load(path string, lookup func(string) (string, bool)) (*Settings, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) > maxSettingsFile {
		return nil, fmt.Errorf("%s is no settings file: it is larger than %d KiB", path, maxSettingsFile>>10)
	}
	f, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s, err := f.settings(filepath.Dir(path), lookup)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// parse reads strict YAML: known keys, each once; no anchors, aliases or tags.
func parse(b []byte) (*file, error) {
	doc, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, plain(err)
	}
	if len(doc.Docs) != 1 || doc.Docs[0].Body == nil {
		return nil, errors.New("it must hold one YAML document")
	}
	var clever cleverNodes
	ast.Walk(&clever, doc.Docs[0].Body)
	if clever.at != nil {
		at := clever.at.GetToken().Position
		return nil, fmt.Errorf("[%d:%d] anchors, aliases, merges and tags are not read here: write it out", at.Line, at.Column)
	}
	f := &file{Listen: "127.0.0.1:4190", LogLevel: "info"}
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(f); err != nil {
		return nil, plain(err)
	}
	return f, nil
}

func plain(err error) error {
	var broken yaml.Error
	if errors.As(err, &broken) {
		at := broken.GetToken().Position
		return fmt.Errorf("[%d:%d] %s", at.Line, at.Column, broken.GetMessage())
	}
	return err
}

type cleverNodes struct{ at ast.Node }

func (c *cleverNodes) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		if c.at == nil {
			c.at = n
		}
	}
	return c
}

func (f *file) settings(dir string, lookup func(string) (string, bool)) (*Settings, error) {
	s := &Settings{Listen: f.Listen, EnvoyListen: f.Envoy.Listen, EnvoyBodies: f.Envoy.WithRequestBody, Cert: inDir(dir, f.TLS.Cert), Key: inDir(dir, f.TLS.Key)}
	var err error
	if s.Environment, err = gatehouse.ParseEnvironment(f.Environment); err != nil {
		return nil, fmt.Errorf("environment: %q must be sandbox or live, as the client's secret is", f.Environment)
	}
	if s.Authority, err = expand(f.Authority, lookup); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if s.ClientID, err = expand(f.ClientID, lookup); err != nil {
		return nil, fmt.Errorf("client_id: %w", err)
	}
	if s.ClientSecret, err = readSecret(dir, f.ClientSecret, lookup); err != nil {
		return nil, fmt.Errorf("client_secret: %w", err)
	}
	if f.Journal.MaxLag != "" {
		if s.MaxLag, err = time.ParseDuration(f.Journal.MaxLag); err != nil || s.MaxLag <= 0 {
			return nil, fmt.Errorf("journal.max_lag: %q is no duration: write it like 30s", f.Journal.MaxLag)
		}
	}
	switch f.Journal.OnLag {
	case "", "closed":
	case "open":
		s.OnLagOpen = true
	default:
		return nil, fmt.Errorf("journal.on_lag: %q must be closed or open", f.Journal.OnLag)
	}
	for _, d := range f.Dialects {
		if strings.ContainsAny(d, "./") {
			d = inDir(dir, d)
		}
		s.Dialects = append(s.Dialects, d)
	}
	for _, text := range f.TrustedProxies {
		p, err := parsePrefix(text)
		if err != nil {
			return nil, err
		}
		s.TrustedProxies = append(s.TrustedProxies, p)
	}
	if (s.Cert == "") != (s.Key == "") {
		return nil, errors.New("tls: cert and key go together; one of them is missing")
	}
	if err := s.LogLevel.UnmarshalText([]byte(f.LogLevel)); err != nil {
		return nil, fmt.Errorf("log_level: %q must be debug, info, warn or error", f.LogLevel)
	}
	if err := f.proxy(s); err != nil {
		return nil, err
	}
	if f.Routes == nil {
		return s, nil
	}
	if s.Routes, err = f.routes(s.Environment); err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return s, nil
}

// largestBody bounds what one call may cost the gate's memory.
const largestBody = 8 << 20

func (f *file) proxy(s *Settings) error {
	s.ProxyListen, s.ProxyDialect, s.BodyLimit = f.Proxy.Listen, f.Proxy.Dialect, f.BodyLimit
	if s.BodyLimit < 0 || s.BodyLimit > largestBody {
		return fmt.Errorf("body_limit: %d must be a number of bytes, %d at most", s.BodyLimit, largestBody)
	}
	if s.ProxyListen == "" {
		if f.Proxy.Upstream != "" || f.Proxy.Dialect != "" {
			return errors.New("proxy.listen: say where the proxy listens, such as 127.0.0.1:4192")
		}
		return nil
	}
	var err error
	s.Upstream, err = url.Parse(f.Proxy.Upstream)
	if err != nil || s.Upstream.Host == "" || s.Upstream.Scheme != "https" && s.Upstream.Scheme != "http" || s.Upstream.RawQuery != "" || s.Upstream.Fragment != "" || s.Upstream.User != nil {
		return fmt.Errorf("proxy.upstream: %q is no URL of the API, such as http://127.0.0.1:9000", f.Proxy.Upstream)
	}
	if host, err := netip.ParseAddr(s.Upstream.Hostname()); s.Upstream.Scheme == "http" && s.Upstream.Hostname() != "localhost" && (err != nil || !host.IsLoopback()) {
		return fmt.Errorf("proxy.upstream: %s is plain HTTP: secrets in bodies must not travel in the clear; use https, or put the gate beside the API", f.Proxy.Upstream)
	}
	return nil
}

// authority is Authority, which follow.New has found to be a URL.
func (s *Settings) authority() *url.URL {
	u, _ := url.Parse(s.Authority)
	return u
}

// routes ask for the gate's own environment: it knows no other.
func (f *file) routes(env gatehouse.Environment) (*gate.Routes, error) {
	for i, r := range f.Routes {
		if r.Environment != "" && r.Environment != string(env) {
			return nil, fmt.Errorf("route %d (%s): this gate is of %s: another one, with a secret of %s, must ask for that", i+1, r.Path, env, r.Environment)
		}
	}
	return rules.Routes(f.Routes, env)
}

func inDir(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func expand(s string, lookup func(string) (string, bool)) (string, error) {
	var missing string
	s = variable.ReplaceAllStringFunc(s, func(m string) string {
		v, ok := lookup(m[2 : len(m)-1])
		if !ok || v == "" {
			missing = m
		}
		return v
	})
	if missing != "" {
		return "", fmt.Errorf("%s is not set in the environment", missing)
	}
	return s, nil
}

func readSecret(dir, s string, lookup func(string) (string, bool)) (secret.Text, error) {
	path, isFile := strings.CutPrefix(s, "file:")
	if !isFile {
		v, err := expand(s, lookup)
		return secret.New(v), err
	}
	b, err := os.ReadFile(inDir(dir, path))
	if err != nil {
		return secret.Text{}, err
	}
	v := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if v == "" {
		return secret.Text{}, fmt.Errorf("%s is empty", path)
	}
	return secret.New(v), nil
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
