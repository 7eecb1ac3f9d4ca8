package bearer

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// Config says whose tokens a [Source] gets, and where.
type Config struct {
	// Dialect is what the token endpoint speaks; nil is standard OAuth 2.0.
	Dialect *dialect.Dialect
	// BaseURL is the API: tokens are added to requests for its origin, at and
	// below its path. It may hold {extra.NAME}, a value that came with the
	// token or stands in Fields. Empty is the dialect's own host for
	// Environment.
	BaseURL string
	// TokenURL is where the token endpoint is, if it isn't under BaseURL: the
	// base to which the dialect's paths are added. For standard OAuth 2.0 a
	// TokenURL with a path is the endpoint itself, and one without gets
	// /oauth2/token.
	TokenURL    string
	Environment string // sandbox or live; empty is live

	// ClientID is the client's id, itself or as it goes on the wire.
	ClientID     string
	ClientSecret secret.Text

	// What to ask for, where the dialect has a place for it.
	Scopes    []string
	Audience  string        // standard OAuth 2.0: the resource of RFC 8707
	Life      time.Duration // whole seconds
	TokenName string
	// Fields are the dialect's {extra.NAME}, by NAME.
	Fields map[string]string

	// What a dialect with connections needs beside the client's secret. An
	// AccessCode is good once, so keep what it gave: in a Cache, or as
	// AccessToken.
	AccessCode   secret.Text
	ConnectionID string
	UserID       string
	UserSecret   secret.Text
	// AccessToken is a token that was obtained earlier and doesn't end.
	AccessToken secret.Text

	// Cache keeps tokens beyond this process, sealed with CacheKey; nil keeps
	// them in memory only.
	Cache    Cache
	CacheKey [32]byte

	// HTTPClient speaks to the token endpoint; nil is one with the usual
	// settings. Its redirects are not followed: they would carry the secret on.
	HTTPClient *http.Client
	// Timeout bounds one visit to the token endpoint; 0 is 30 s.
	Timeout time.Duration
	// Logger hears of renewals that failed while the old token lives; nil is
	// nobody.
	Logger *slog.Logger

	ownClient bool
}

const defaultTimeout = 30 * time.Second

// prepare fills in what Config leaves out, and says what is wrong with it.
func (c *Config) prepare() (err error) {
	if c.Dialect == nil {
		if c.Dialect, err = standard(); err != nil {
			return err
		}
	}
	switch c.Environment {
	case "":
		c.Environment = "live"
	case "sandbox", "live":
	default:
		return fmt.Errorf("environment %q: it is sandbox or live", c.Environment)
	}
	if c.BaseURL == "" {
		c.BaseURL = c.Dialect.Hosts[c.Environment]
	}
	if c.BaseURL == "" && c.TokenURL == "" {
		return fmt.Errorf("no base URL is given, and dialect %s names no host for %s", c.Dialect.Name, c.Environment)
	}
	if c.TokenURL == "" {
		if strings.Contains(c.BaseURL, "{") {
			return errors.New("the token URL is missing: the base URL depends on the token, so the token can't come from there")
		}
		c.TokenURL = c.BaseURL
	}
	if _, err := parseBase("token URL", c.TokenURL); err != nil {
		return err
	}
	if !strings.Contains(c.BaseURL, "{") && c.BaseURL != "" {
		if _, err := parseBase("base URL", c.BaseURL); err != nil {
			return err
		}
	}
	if id, ok := c.Dialect.FromWire(dialect.ClientID, c.ClientID); ok {
		c.ClientID = id
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Cache != nil && c.CacheKey == [32]byte{} {
		return errors.New("a cache needs a key: see NewKey and KeyFile")
	}
	c.ownClient = c.HTTPClient == nil
	c.HTTPClient = withoutRedirects(c.HTTPClient)
	return c.checkPlaces()
}

// values are those that every request may name.
func (c *Config) values() dialect.Values {
	v := dialect.NewValues(16)
	v.SetText(dialect.ClientID, c.ClientID)
	v.SetSecret(dialect.ClientSecret, c.ClientSecret)
	v.SetText(dialect.Environment, c.Environment)
	v.SetText(dialect.Audience, c.Audience)
	v.SetText(dialect.TokenName, c.TokenName)
	v.SetList(dialect.Scope, c.Scopes)
	if c.Life > 0 {
		v.SetDuration(dialect.Life, c.Life)
	}
	v.SetSecret(dialect.AccessCode, c.AccessCode)
	v.SetText(dialect.ConnectionID, c.ConnectionID)
	v.SetText(dialect.UserID, c.UserID)
	v.SetSecret(dialect.UserSecret, c.UserSecret)
	for name, value := range c.Fields {
		v.SetText(extra(name), value)
	}
	return v
}

// checkPlaces refuses what the dialect's messages need and Config lacks, and
// what it asks for though no message carries it.
func (c *Config) checkPlaces() error {
	v := c.values()
	op := c.obtains()
	if c.AccessToken.IsZero() {
		if _, err := op.WriteRequest(c.TokenURL, v); err != nil {
			return fmt.Errorf("a token can't be asked for: %w", err)
		}
	}
	for _, asked := range []struct {
		given bool
		hole  dialect.Hole
	}{
		{len(c.Scopes) > 0, dialect.Scope},
		{c.Audience != "", dialect.Audience},
		{c.Life != 0, dialect.Life},
		{c.TokenName != "", dialect.TokenName},
	} {
		if asked.given && !op.RequestHas(asked.hole) {
			return fmt.Errorf("%s is set, but no request of dialect %s has a place for it", asked.hole, c.Dialect.Name)
		}
	}
	v.SetSecret(dialect.AccessToken, secret.New("token"))
	if _, err := c.Dialect.Operation(dialect.Use).WriteRequest("", v); err != nil {
		return fmt.Errorf("calls of the API can't be made: %w", err)
	}
	return nil
}

// obtains is the operation that gives a token for what Config holds.
func (c *Config) obtains() *dialect.Operation {
	if op := c.Dialect.Operation(dialect.Issue); op != nil {
		return op
	}
	return c.Dialect.Operation(dialect.Exchange)
}

func extra(name string) dialect.Hole { return dialect.Hole("extra." + name) }

func withoutRedirects(from *http.Client) *http.Client {
	client := &http.Client{}
	if from != nil {
		*client = *from
	} else {
		// A transport of its own, so that Close leaves no idle connection.
		client.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}
