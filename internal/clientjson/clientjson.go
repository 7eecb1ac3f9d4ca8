// Package clientjson is how both stores write a client: one form, so that a
// ledger can move from one to the other.
package clientjson

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
)

// body is the part of a client that is stored as JSON: what is read and written
// as a whole and never searched.
type body struct {
	IDs       map[gatehouse.Environment]gatehouse.ClientID `json:"ids"`
	Name      string                                       `json:"name"`
	Dialect   string                                       `json:"dialect"`
	Scopes    []string                                     `json:"scopes,omitempty"`
	Domain    string                                       `json:"domain,omitempty"`
	Fields    map[string]string                            `json:"fields,omitempty"`
	MaxTTL    int64                                        `json:"max_ttl_ns,omitzero"`
	Refresh   bool                                         `json:"refresh,omitzero"`
	LimitN    int                                          `json:"limit,omitzero"`
	LimitPer  int64                                        `json:"limit_per_ns,omitzero"`
	State     gatehouse.ClientState                        `json:"state"`
	CreatedAt int64                                        `json:"created_ms"`
	Redirects map[gatehouse.Environment][]string           `json:"redirect_uris,omitempty"`
	Origins   map[gatehouse.Environment][]string           `json:"origins,omitempty"`
	Secrets   []secret                                     `json:"secrets,omitempty"`
	Imports   map[gatehouse.Environment]int64              `json:"imports_ms,omitempty"`
}

type secret struct {
	ID          gatehouse.SecretID    `json:"id"`
	Environment gatehouse.Environment `json:"environment"`
	Digest      []byte                `json:"digest,omitempty"`
	FastHash    string                `json:"fast_hash,omitempty"`
	Imported    []byte                `json:"imported,omitempty"`
	CreatedAt   int64                 `json:"created_ms"`
	RetiredAt   int64                 `json:"retired_ms,omitzero"`
	Compromised bool                  `json:"compromised,omitzero"`
}

// Marshal writes c without its id, version and cut-offs, which are columns.
func Marshal(c *gatehouse.Client) (string, error) {
	b := body{
		IDs: c.IDs, Name: c.Name, Dialect: c.Dialect, Scopes: c.Scopes, Domain: c.Domain, Fields: c.Fields,
		MaxTTL: int64(c.MaxTTL), Refresh: c.Refresh, LimitN: c.Limit.Count, LimitPer: int64(c.Limit.Per),
		State: c.State, CreatedAt: toMillis(c.CreatedAt), Redirects: c.RedirectURIs, Origins: c.Origins,
	}
	for _, s := range c.Secrets {
		b.Secrets = append(b.Secrets, secret{
			s.ID, s.Environment, s.Digest, s.FastHash, s.Imported, toMillis(s.CreatedAt), toMillis(s.RetiredAt), s.Compromised,
		})
	}
	for env, until := range c.Imports {
		if b.Imports == nil {
			b.Imports = map[gatehouse.Environment]int64{}
		}
		b.Imports[env] = toMillis(until)
	}
	text, err := json.Marshal(b, json.Deterministic(true))
	return string(text), err
}

// Unmarshal reads what Marshal wrote.
func Unmarshal(id gatehouse.ClientID, version int64, text string) (*gatehouse.Client, error) {
	var b body
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	c := &gatehouse.Client{
		ID: id, IDs: b.IDs, Name: b.Name, Dialect: b.Dialect, Scopes: b.Scopes, Domain: b.Domain, Fields: b.Fields,
		MaxTTL: time.Duration(b.MaxTTL), Refresh: b.Refresh,
		Limit: gatehouse.Rate{Count: b.LimitN, Per: time.Duration(b.LimitPer)},
		State: b.State, CreatedAt: fromMillis(b.CreatedAt), Version: version, RedirectURIs: b.Redirects, Origins: b.Origins,
	}
	for _, s := range b.Secrets {
		c.Secrets = append(c.Secrets, gatehouse.ClientSecret{
			ID: s.ID, Environment: s.Environment, Digest: s.Digest, FastHash: s.FastHash, Imported: s.Imported,
			CreatedAt: fromMillis(s.CreatedAt), RetiredAt: fromMillis(s.RetiredAt), Compromised: s.Compromised,
		})
	}
	for env, until := range b.Imports {
		if c.Imports == nil {
			c.Imports = map[gatehouse.Environment]time.Time{}
		}
		c.Imports[env] = fromMillis(until)
	}
	return c, nil
}

// toMillis and fromMillis write a time as JSON; 0 is a time that is not set.
func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
