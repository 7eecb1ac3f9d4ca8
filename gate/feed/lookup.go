package feed

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A record is what the look-up of an opaque token answers with.
type record struct {
	Token     string   `json:"token_id"`
	Kind      string   `json:"kind"`
	Client    string   `json:"client"`
	Dialect   string   `json:"dialect"`
	Scope     string   `json:"scope,omitempty"`
	Audience  []string `json:"audience,omitempty"`
	User      string   `json:"user,omitempty"`
	Grant     string   `json:"grant,omitempty"`
	IssuedAt  int64    `json:"issued_at"`           // ms
	ExpiresAt int64    `json:"expires_at,omitzero"` // seconds
	RevokedAt int64    `json:"revoked_at,omitzero"` // ms
}

// MarshalRecord writes a token's row, without what a verifier has no use for.
func MarshalRecord(r *gatehouse.TokenRecord) ([]byte, error) {
	out := record{
		Token: r.ID.String(), Kind: string(r.Kind), Client: string(r.Client), Dialect: r.Dialect, Scope: strings.Join(r.Scopes, " "),
		Audience: r.Audience, User: r.User, IssuedAt: millis(r.IssuedAt), ExpiresAt: seconds(r.ExpiresAt), RevokedAt: millis(r.RevokedAt),
	}
	if !r.Grant.IsZero() {
		out.Grant = r.Grant.String()
	}
	return json.Marshal(out)
}

// UnmarshalRecord reads a row of an environment's token.
func UnmarshalRecord(b []byte, env gatehouse.Environment) (*gatehouse.TokenRecord, error) {
	var in record
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("reading a token's row: %w", err)
	}
	id, err := token.ParseID(in.Token)
	if err != nil || in.Client == "" || in.IssuedAt == 0 {
		return nil, fmt.Errorf("a token's row lacks its id, client or time")
	}
	out := &gatehouse.TokenRecord{
		ID: id, Kind: gatehouse.TokenKind(in.Kind), Client: gatehouse.ClientID(in.Client), Environment: env, Dialect: in.Dialect,
		Audience: in.Audience, User: in.User,
		IssuedAt: fromMillis(in.IssuedAt), ExpiresAt: fromSeconds(in.ExpiresAt), RevokedAt: fromMillis(in.RevokedAt),
	}
	if in.Scope != "" {
		out.Scopes = strings.Split(in.Scope, " ")
	}
	if in.Grant != "" {
		if out.Grant, err = token.ParseID(in.Grant); err != nil {
			return nil, fmt.Errorf("a token's row: %w", err)
		}
	}
	return out, nil
}

// MarshalClient writes what a verifier needs of a client in an environment; ok
// is false where it isn't there.
func MarshalClient(c *gatehouse.Client, env gatehouse.Environment) (b []byte, ok bool, err error) {
	w := Writer{Environment: env}
	told, ok := w.client(c)
	if !ok {
		return nil, false, nil
	}
	b, err = json.Marshal(told)
	return b, err == nil, err
}

// UnmarshalClient reads what MarshalClient wrote.
func UnmarshalClient(b []byte, env gatehouse.Environment) (*gatehouse.Client, error) {
	var in client
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("reading a client: %w", err)
	}
	c, err := in.read(env)
	if err != nil {
		return nil, err
	}
	return &c, nil
}
