package intake

import (
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// A Client is a client of another system.
type Client struct {
	Line         int               `json:"-"`
	ID           string            `json:"id,omitzero"`  // of all its environments
	IDs          map[string]string `json:"ids,omitzero"` // or of each
	Name         string            `json:"name"`
	Dialect      string            `json:"dialect"`
	Environments []string          `json:"environments,omitzero"`
	Scopes       []string          `json:"scopes,omitzero"`
	Domain       string            `json:"domain,omitzero"`
	MaxTTL       Life              `json:"max_ttl,omitzero"`
	Fields       map[string]string `json:"fields,omitzero"`
	Refresh      bool              `json:"refresh,omitzero"`
	LimitRate    string            `json:"limit_rate,omitzero"`
	Disabled     bool              `json:"disabled,omitzero"`
	Secrets      []Secret          `json:"secrets,omitzero"`
}

// A Secret is the hash of a client secret in one environment.
type Secret struct {
	Environment string `json:"environment"`
	Hash        Hash   `json:"hash"`
}

// A Hash prints as redacted.
type Hash struct{ secret.Text }

// UnmarshalText takes any text.
func (h *Hash) UnmarshalText(text []byte) error {
	h.Text = secret.New(string(text))
	return nil
}

// Clients reads a file of clients.
func Clients(r io.Reader) iter.Seq2[Client, error] {
	return func(yield func(Client, error) bool) {
		for c, err := range items(r, clientColumns) {
			if err == nil {
				err = c.settle()
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

var clientColumns = &columns[Client]{
	known: []string{"id", "id_sandbox", "id_live", "name", "dialect", "environments", "scopes", "domain", "max_ttl", "refresh", "limit_rate", "disabled",
		"secret_hash_sandbox", "secret_hash_live", "second_secret_hash_sandbox", "second_secret_hash_live", "field.*"},
	needed: [][]string{{"name"}, {"dialect"}, {"id", "id_sandbox", "id_live", "domain"}, {"secret_hash_sandbox", "secret_hash_live"}},
	at:     func(c *Client, line int) { c.Line = line },
	put:    putClient,
}

func putClient(c *Client, column, cell string) (err error) {
	if cell == "" {
		return nil
	}
	if name, ok := strings.CutPrefix(column, "field."); ok {
		if c.Fields == nil {
			c.Fields = map[string]string{}
		}
		c.Fields[name] = cell
		return nil
	}
	switch column {
	case "id":
		c.ID = cell
	case "id_sandbox", "id_live":
		if c.IDs == nil {
			c.IDs = map[string]string{}
		}
		c.IDs[strings.TrimPrefix(column, "id_")] = cell
	case "name":
		c.Name = cell
	case "dialect":
		c.Dialect = cell
	case "environments":
		c.Environments = strings.Fields(cell)
	case "scopes":
		c.Scopes = strings.Fields(cell)
	case "domain":
		c.Domain = cell
	case "max_ttl":
		return c.MaxTTL.UnmarshalText([]byte(cell))
	case "refresh":
		c.Refresh, err = yes(cell)
	case "limit_rate":
		c.LimitRate = cell
	case "disabled":
		c.Disabled, err = yes(cell)
	default: // a hash
		c.Secrets = append(c.Secrets, Secret{column[strings.LastIndexByte(column, '_')+1:], Hash{secret.New(cell)}})
	}
	return err
}

func yes(cell string) (bool, error) {
	switch strings.ToLower(cell) {
	case "true", "t", "yes", "1":
		return true, nil
	case "false", "f", "no", "0":
		return false, nil
	}
	return false, advice("write true or false")
}

// settle fills in what follows from the rest.
func (c *Client) settle() error {
	wrong := func(field, message string) error { return &LineError{Line: c.Line, Field: field, Message: message} }
	switch {
	case c.Name == "":
		return wrong("name", "write what people call the client")
	case c.Dialect == "":
		return wrong("dialect", "write the dialect that the client speaks, or oauth2")
	case c.ID != "" && len(c.IDs) > 0:
		return wrong("id", "write one id for all environments, or one for each, not both")
	}
	if len(c.Environments) == 0 { // those that something is said of
		for _, env := range []string{"sandbox", "live"} {
			if c.IDs[env] != "" || slices.ContainsFunc(c.Secrets, func(s Secret) bool { return s.Environment == env }) {
				c.Environments = append(c.Environments, env)
			}
		}
	}
	if c.ID != "" {
		c.IDs = map[string]string{}
		for _, env := range c.Environments {
			c.IDs[env] = c.ID
		}
		c.ID = ""
	}
	return nil
}

// A Life is a duration in whole seconds.
type Life struct{ time.Duration }

// MarshalText writes it in seconds.
func (l Life) MarshalText() ([]byte, error) {
	return strconv.AppendInt(nil, int64(l.Duration/time.Second), 10), nil
}

// UnmarshalText reads 90s, 48h, 30d, or a number of seconds.
func (l *Life) UnmarshalText(text []byte) error {
	s := string(text)
	if n, err := strconv.ParseInt(s, 10, 33); err == nil {
		s = strconv.FormatInt(n, 10) + "s"
	}
	days, ok := strings.CutSuffix(s, "d")
	if ok {
		s = days + "h"
	}
	d, err := time.ParseDuration(s)
	if ok {
		d *= 24
	}
	if err != nil || d < 0 || d%time.Second != 0 || ok && d/24 > 366*24*time.Hour {
		return advice("not a life: write it like 3600, 90s, 48h or 30d")
	}
	l.Duration = d
	return nil
}

// UnmarshalJSON reads what UnmarshalText does, and numbers.
func (l *Life) UnmarshalJSON(b []byte) error {
	return l.UnmarshalText([]byte(strings.Trim(string(b), `"`)))
}
