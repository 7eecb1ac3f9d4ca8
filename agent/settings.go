package agent

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/strictyaml"
)

// Settings are an agent's settings file.
type Settings struct {
	// Listen is host:port, or unix: and a path. Only loopback is taken unless
	// ListenAny is set, since whoever reaches the agent has its tokens.
	Listen    string `yaml:"listen"`
	ListenAny bool   `yaml:"listen_any"`
	// Hosts are names, besides localhost, under which callers reach the agent.
	Hosts []string `yaml:"hosts"`
	// Cache is a directory for tokens, sealed with the key of
	// GATEHOUSE_KEY_ENCRYPTION_KEY or, without it, with one in a file beside
	// the directory. Empty keeps tokens in memory.
	Cache     string              `yaml:"cache"`
	Upstreams map[string]Upstream `yaml:"upstreams"`

	cache *cache
	dir   string // of the file: what relative paths start from
}

// Upstream is one API and the credentials for it. ${NAME} is a variable of the
// environment; credentials may also be file:PATH or command:LINE.
type Upstream struct {
	Dialect      string            `yaml:"dialect"`
	BaseURL      string            `yaml:"base_url"`
	TokenURL     string            `yaml:"token_url"`
	Environment  string            `yaml:"environment"`
	ClientID     string            `yaml:"client_id"`
	ClientSecret string            `yaml:"client_secret"`
	Scopes       []string          `yaml:"scopes"`
	Audience     string            `yaml:"audience"`
	Life         string            `yaml:"life"`
	TokenName    string            `yaml:"token_name"`
	Fields       map[string]string `yaml:"fields"`
	AccessCode   string            `yaml:"access_code"`
	ConnectionID string            `yaml:"connection_id"`
	UserID       string            `yaml:"user_id"`
	UserSecret   string            `yaml:"user_secret"`
	AccessToken  string            `yaml:"access_token"`
	// Authorization says what becomes of a caller's own credentials: refuse
	// (the default) or replace.
	Authorization string `yaml:"authorization"`
}

const (
	defaultListen   = "127.0.0.1:4180"
	maxSettingsFile = 256 << 10
	refuseOwn       = "refuse"
	replaceOwn      = "replace"
)

// ReadSettings reads a settings file: YAML without anchors and aliases, each
// key a known one and given once.
func ReadSettings(path string) (Settings, error) {
	f, err := os.Open(path)
	if err != nil {
		return Settings{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return Settings{}, fmt.Errorf("%s is no settings file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSettingsFile+1))
	if err != nil {
		return Settings{}, err
	}
	if len(b) > maxSettingsFile {
		return Settings{}, fmt.Errorf("%s is larger than %d KiB", path, maxSettingsFile>>10)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return Settings{}, err
	}
	s, err := parseSettings(b)
	if err != nil {
		return Settings{}, fmt.Errorf("%s: %w", path, err)
	}
	s.dir = dir
	if s.Cache != "" {
		s.cache, err = openCache((&resolver{dir: dir}).path(s.Cache))
	}
	return s, err
}

func parseSettings(b []byte) (s Settings, err error) {
	if err := strictyaml.Decode(b, &s); err != nil {
		return s, err
	}
	return s, s.check()
}

var upstreamName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func (s *Settings) check() error {
	if s.Listen == "" {
		s.Listen = defaultListen
	}
	if err := checkListen(s.Listen, s.ListenAny); err != nil {
		return err
	}
	if len(s.Upstreams) == 0 {
		return errors.New("upstreams: name at least one, such as bank: {dialect: oauth2, base_url: …, client_id: …, client_secret: …}")
	}
	for _, name := range s.names() {
		u := s.Upstreams[name]
		if !upstreamName.MatchString(name) {
			return fmt.Errorf("upstreams.%s: a name is lower-case letters, digits, - and _, since it stands in URLs", name)
		}
		if u.Dialect == "" {
			return fmt.Errorf("upstreams.%s.dialect: name a dialect, its file, or oauth2", name)
		}
		switch u.Authorization {
		case "", refuseOwn, replaceOwn:
		default:
			return fmt.Errorf("upstreams.%s.authorization: it is %s or %s", name, refuseOwn, replaceOwn)
		}
		if u.Life != "" {
			if d, err := time.ParseDuration(u.Life); err != nil || d < time.Second {
				return fmt.Errorf("upstreams.%s.life: write it like 900s, 30m or 24h", name)
			}
		}
	}
	return nil
}

func (s *Settings) names() []string { return slices.Sorted(maps.Keys(s.Upstreams)) }

func checkListen(listen string, anyHost bool) error {
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		if path == "" {
			return errors.New("listen: unix: needs a path, such as unix:/run/gatehouse/agent.sock")
		}
		return nil
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("listen: %q is no address: write host:port, or unix: and a path", listen)
	}
	if !anyHost && !isLoopback(host) {
		return fmt.Errorf("listen: %s is open to other machines, which would have your tokens: use 127.0.0.1, or say listen_any: true", listen)
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
