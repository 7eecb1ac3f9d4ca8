package dialect

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// exampleTime is the moment of every documented example.
var exampleTime = time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC)

// exampleValues fills every hole of m with something that looks like the
// real value and can't be taken for one.
func (d *Dialect) exampleValues(m *message) Values {
	var v Values
	for _, use := range m.uses() {
		if use.name != Anything {
			v.set(use.name, d.exampleValue(use))
		}
	}
	return v
}

func (d *Dialect) exampleValue(use *holeUse) any {
	life := d.Token.Life
	switch use.name {
	case ClientID:
		return map[ClientIDForm]string{
			TextID: "client-example", UUIDID: "3f0e7c52-9b1d-4c8a-a6f4-0d2b5e8c7a19", DomainID: "client.example",
		}[d.Rules.ClientIDForm]
	case AccessToken:
		if d.Token.Format == JWT {
			return secret.New("eyJhbGciOiJub3RoaW5nIn0.e30.ZXhhbXBsZQ")
		}
		return secret.New(d.Token.Prefix["live"] + "exampleAccessToken")
	case ClientSecret:
		return secret.New("exampleClientSecret")
	case RefreshToken:
		return secret.New("exampleRefreshToken")
	case AccessCode:
		return secret.New("exampleAccessCode")
	case UserSecret:
		return secret.New("exampleUserSecret")
	case Life:
		return life
	case RefreshLife:
		return d.Token.Refresh.Life
	case RetryAfter:
		return 30 * time.Second
	case ExpiresAt:
		return exampleTime.Add(life)
	case TokenName:
		return "nightly-export"
	case TokenType:
		return "Bearer"
	case Environment:
		return "live"
	case Path:
		return "/example"
	case RequestID:
		return "req-7h2k9q"
	}
	switch use.kind {
	case kindTime:
		return exampleTime
	case kindBool:
		return false
	case kindList:
		return []string{"read", "write"}
	case kindNumber:
		return int64(1)
	}
	if f, ok := d.Rules.Fields[use.name]; ok && f.Default != "" {
		return f.Default
	}
	if use.codec.name == "uuid" {
		return "8d3b6a10-52c7-4e0f-9a41-7c5e2f9b6d83"
	}
	return "example-" + string(use.name)
}

// meaning is what documentation says about a hole.
func (d *Dialect) meaning(use *holeUse) string {
	if f, ok := d.Rules.Fields[use.name]; ok && f.About != "" {
		return f.About
	}
	return use.about
}

// Example returns values for each hole of the request and of the answer, which
// look like real ones and can't be taken for them. A side that the operation
// doesn't have is empty.
func (o *Operation) Example() (request, answer Values) {
	if o.request != nil {
		request = o.dialect.exampleValues(o.request)
	}
	if o.response != nil {
		answer = o.dialect.exampleValues(o.response)
	}
	return request, answer
}
