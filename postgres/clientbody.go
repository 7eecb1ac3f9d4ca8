package postgres

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
)

// clientBody is the part of a client that is stored as JSON: what is read and
// written as a whole and never searched.
type clientBody struct {
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
	Secrets   []secretBody                                 `json:"secrets,omitempty"`
}

type secretBody struct {
	ID          gatehouse.SecretID    `json:"id"`
	Environment gatehouse.Environment `json:"environment"`
	Digest      []byte                `json:"digest,omitempty"`
	FastHash    string                `json:"fast_hash,omitempty"`
	Imported    []byte                `json:"imported,omitempty"`
	CreatedAt   int64                 `json:"created_ms"`
	RetiredAt   int64                 `json:"retired_ms,omitzero"`
	Compromised bool                  `json:"compromised,omitzero"`
}

func marshalClient(c *gatehouse.Client) (string, error) {
	body := clientBody{
		IDs: c.IDs, Name: c.Name, Dialect: c.Dialect, Scopes: c.Scopes, Domain: c.Domain, Fields: c.Fields,
		MaxTTL: int64(c.MaxTTL), Refresh: c.Refresh, LimitN: c.Limit.Count, LimitPer: int64(c.Limit.Per),
		State: c.State, CreatedAt: toMillis(c.CreatedAt),
	}
	for _, s := range c.Secrets {
		body.Secrets = append(body.Secrets, secretBody{
			s.ID, s.Environment, s.Digest, s.FastHash, s.Imported, toMillis(s.CreatedAt), toMillis(s.RetiredAt), s.Compromised,
		})
	}
	text, err := json.Marshal(body, json.Deterministic(true))
	return string(text), err
}

func unmarshalClient(id gatehouse.ClientID, version int64, text string) (*gatehouse.Client, error) {
	var body clientBody
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	c := &gatehouse.Client{
		ID: id, IDs: body.IDs, Name: body.Name, Dialect: body.Dialect, Scopes: body.Scopes, Domain: body.Domain, Fields: body.Fields,
		MaxTTL: time.Duration(body.MaxTTL), Refresh: body.Refresh,
		Limit: gatehouse.Rate{Count: body.LimitN, Per: time.Duration(body.LimitPer)},
		State: body.State, CreatedAt: fromMillis(body.CreatedAt), Version: version,
	}
	for _, s := range body.Secrets {
		c.Secrets = append(c.Secrets, gatehouse.ClientSecret{
			ID: s.ID, Environment: s.Environment, Digest: s.Digest, FastHash: s.FastHash, Imported: s.Imported,
			CreatedAt: fromMillis(s.CreatedAt), RetiredAt: fromMillis(s.RetiredAt), Compromised: s.Compromised,
		})
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
