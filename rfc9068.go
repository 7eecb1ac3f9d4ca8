package gatehouse

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// standardPolicy is what clients of standard OAuth 2.0 get: RFC 9068 access
// tokens of one hour and, where the client may, refresh tokens that rotate.
func standardPolicy() *Policy {
	return &Policy{
		Dialect:     OAuth2,
		JWT:         rfc9068{},
		Algorithm:   token.EdDSA,
		Life:        time.Hour,
		Longest:     time.Hour,
		Refresh:     RefreshRotate,
		RefreshLife: 30 * 24 * time.Hour,
		IDForm:      IDText,
	}
}

// rfc9068 is the JWT profile for OAuth 2.0 access tokens (RFC 9068 §2).
type rfc9068 struct{}

type standardClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Expires  int64    `json:"exp,omitzero"`
	IssuedAt int64    `json:"iat"`
	ID       TokenID  `json:"jti"`
	ClientID ClientID `json:"client_id"`
	Scope    string   `json:"scope,omitzero"`
}

// audience is one string or several (RFC 7519 §4.1.3).
type audience []string

func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

func (a *audience) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one string
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

func (rfc9068) Mint(key *token.Key, m *Minting) (secret.Text, error) {
	r := &m.Record
	claims := standardClaims{
		Issuer: m.Issuer, Subject: r.User, Audience: r.Audience, IssuedAt: r.IssuedAt.Unix(),
		ID: r.ID, ClientID: m.ClientID, Scope: strings.Join(r.Scopes, " "),
	}
	if claims.Subject == "" {
		claims.Subject = string(m.ClientID)
	}
	if claims.Audience == nil {
		claims.Audience = audience{m.Issuer}
	}
	if !r.ExpiresAt.IsZero() {
		claims.Expires = r.ExpiresAt.Unix()
	}
	return key.SignClaims(token.TypeAccessToken, &claims)
}

func (rfc9068) Read(v *token.Verified) (*Minting, error) {
	if !v.IsType(token.TypeAccessToken) {
		return nil, fmt.Errorf("its type is not %s", token.TypeAccessToken)
	}
	var c standardClaims
	if err := json.Unmarshal(v.Claims, &c); err != nil {
		return nil, fmt.Errorf("its claims are not those of RFC 9068")
	}
	if c.Issuer == "" || c.ID.IsZero() || c.ClientID == "" || c.Expires == 0 || len(c.Audience) == 0 {
		return nil, fmt.Errorf("a claim that RFC 9068 requires is missing")
	}
	m := &Minting{ClientID: c.ClientID, Issuer: c.Issuer, HasScope: true}
	m.Record = TokenRecord{ID: c.ID, Audience: c.Audience}
	if c.Scope != "" {
		m.Record.Scopes = strings.Split(c.Scope, " ")
	}
	if c.Subject != string(c.ClientID) {
		m.Record.User = c.Subject
	}
	return m, nil
}
