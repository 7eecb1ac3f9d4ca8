package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// resolved is an upstream whose settings have been filled in.
type resolved struct {
	config   bearer.Config
	files    []stamp
	commands bool
}

// resolve fills in an upstream's settings from environment, files and
// commands.
func (s *Settings) resolve(name string) (resolved, error) {
	u := s.Upstreams[name]
	r := &resolver{dir: s.dir}
	prefix := "upstreams." + name + "."
	plain := func(key, value string) string { return r.plain(prefix+key, value) }
	hidden := func(key, value string) secret.Text { return secret.New(r.credential(prefix+key, value)) }
	c := bearer.Config{
		BaseURL: plain("base_url", u.BaseURL), TokenURL: plain("token_url", u.TokenURL), Environment: plain("environment", u.Environment),
		ClientID: r.credential(prefix+"client_id", u.ClientID), ClientSecret: hidden("client_secret", u.ClientSecret),
		Audience: plain("audience", u.Audience), TokenName: plain("token_name", u.TokenName),
		AccessCode: hidden("access_code", u.AccessCode), ConnectionID: plain("connection_id", u.ConnectionID), UserID: plain("user_id", u.UserID),
		UserSecret: hidden("user_secret", u.UserSecret), AccessToken: hidden("access_token", u.AccessToken),
	}
	for _, scope := range u.Scopes {
		c.Scopes = append(c.Scopes, plain("scopes", scope))
	}
	if len(u.Fields) > 0 {
		c.Fields = map[string]string{}
	}
	for key, value := range u.Fields {
		c.Fields[key] = plain("fields."+key, value)
	}
	if u.Life != "" {
		c.Life, _ = time.ParseDuration(u.Life) // check has read it
	}
	if r.err != nil {
		return resolved{}, r.err
	}
	if s.cache != nil {
		c.Cache, c.CacheKey = s.cache.dir, s.cache.key
	}
	d, err := s.dialect(plain("dialect", u.Dialect))
	if err != nil {
		return resolved{}, fmt.Errorf("%sdialect: %w", prefix, err)
	}
	c.Dialect = d
	return resolved{c, r.files, r.commands}, nil
}

func (s *Settings) dialect(name string) (*dialect.Dialect, error) {
	if name != bearer.OAuth2 && !slices.Contains(dialect.BuiltinNames(), name) && strings.ContainsAny(name, "./") {
		r := resolver{dir: s.dir}
		name = r.path(name)
	}
	return bearer.Dialect(name)
}

func errNoUpstream(name string, s Settings) error {
	return fmt.Errorf("there is no upstream %q: the settings have %s", name, strings.Join(s.names(), ", "))
}

// Source makes the token source of one upstream.
func (s *Settings) Source(name string) (*bearer.Source, error) {
	if _, ok := s.Upstreams[name]; !ok {
		return nil, errNoUpstream(name, *s)
	}
	r, err := s.resolve(name)
	if err != nil {
		return nil, err
	}
	source, err := bearer.New(r.config)
	if err != nil {
		return nil, fmt.Errorf("upstreams.%s: %w", name, err)
	}
	return source, nil
}
