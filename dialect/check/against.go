package check

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// Credentials are what Against may use. An access code is spent by it.
type Credentials struct {
	ClientID     string // itself, or as it goes on the wire
	ClientSecret secret.Text
	AccessCode   secret.Text
	ConnectionID string
	UserSecret   secret.Text
}

// Against speaks the dialect with the server at a base URL, as its client
// would: a wrong secret first, then what gives a token, what renews it, what
// checks it, and what ends it. Tokens it obtains it revokes where the dialect
// can; one wrong secret is all that counts against the client.
func Against(ctx context.Context, d *dialect.Dialect, base string, c Credentials) []Result {
	var out []Result
	p := prober{ctx: ctx, dialect: d, base: strings.TrimSuffix(base, "/"), out: &out}
	if id, ok := d.FromWire(dialect.ClientID, c.ClientID); ok {
		c.ClientID = id
	}
	p.known.SetText(dialect.ClientID, c.ClientID)
	p.known.SetSecret(dialect.ClientSecret, c.ClientSecret)
	p.known.SetSecret(dialect.AccessCode, c.AccessCode)
	p.known.SetText(dialect.ConnectionID, c.ConnectionID)
	p.known.SetSecret(dialect.UserSecret, c.UserSecret)
	if d.Operation(dialect.Issue) != nil {
		p.wrongSecret()
		p.succeeds(dialect.Issue)
	} else {
		p.succeeds(dialect.Exchange)
	}
	for _, name := range []dialect.OperationName{dialect.Refresh, dialect.Validate, dialect.Revoke} {
		if d.Operation(name) != nil && p.known.Has(dialect.AccessToken) {
			p.succeeds(name)
		}
	}
	if d.Operation(dialect.Validate) != nil {
		p.wrongToken()
	}
	return out
}

// prober carries what one operation gave to the next.
type prober struct {
	ctx     context.Context
	dialect *dialect.Dialect
	base    string
	known   dialect.Values
	out     *[]Result
}

func (p *prober) exchange(op *dialect.Operation, v dialect.Values) (*dialect.Response, error) {
	request, err := op.WriteRequest(p.base, v)
	if err != nil {
		return nil, err
	}
	return send(p.ctx, request)
}

// succeeds wants the success message, and keeps what it says.
func (p *prober) succeeds(name dialect.OperationName) {
	op, r := p.dialect.Operation(name), results{string(name), p.out}
	got, err := p.exchange(op, p.known)
	if err != nil {
		r.add("request", err, "")
		return
	}
	v, err := op.ReadResponse(got)
	if err != nil {
		r.add("answer", err, "")
		return
	}
	for _, h := range []dialect.Hole{dialect.AccessToken, dialect.RefreshToken} {
		if v.Has(h) {
			p.known.SetSecret(h, v.Secret(h))
		}
	}
	r.add("answer", nil, "%d, %s%s", got.Status, holes(v), told(v))
	if v.Has(dialect.AccessToken) && name != dialect.Validate {
		p.storable(r, got)
	}
}

// storable: an answer with a token must say that nobody is to keep it
// (RFC 6749 section 5.1).
func (p *prober) storable(r results, got *dialect.Response) {
	var err error
	if !strings.Contains(strings.ToLower(got.Header.Get("Cache-Control")), "no-store") {
		err = errors.New("the answer lacks Cache-Control: no-store (RFC 6749 section 5.1)")
	}
	r.add("not to be stored", err, "Cache-Control: no-store")
}

// told says what an answer tells of the token's life.
func told(v dialect.Values) string {
	switch {
	case v.Has(dialect.Life):
		return fmt.Sprintf("; it lives %v", v.Duration(dialect.Life))
	case v.Has(dialect.ExpiresAt):
		return "; it ends " + v.Time(dialect.ExpiresAt).UTC().Format(time.RFC3339)
	}
	return ""
}

// wrongSecret wants a refusal that the error table describes.
func (p *prober) wrongSecret() {
	v := p.known.Clone()
	v.SetSecret(dialect.ClientSecret, secret.New("wrong-"+rand.Text()))
	p.refuses(dialect.Issue, "wrong secret", v)
}

func (p *prober) wrongToken() {
	v := p.known.Clone()
	v.SetSecret(dialect.AccessToken, secret.New("wrong-"+rand.Text()))
	p.refuses(dialect.Validate, "wrong token", v)
}

func (p *prober) refuses(name dialect.OperationName, what string, v dialect.Values) {
	op, r := p.dialect.Operation(name), results{string(name), p.out}
	got, err := p.exchange(op, v)
	if err != nil {
		r.add(what, err, "")
		return
	}
	if _, err := op.ReadResponse(got); err == nil {
		r.add(what, errors.New("it is taken for right"), "")
		return
	}
	refusal, known := p.dialect.ReadError(got)
	if !known {
		err = fmt.Errorf("the answer (HTTP %d) fits no row of the error table", got.Status)
	}
	r.add(what, err, "%d, %s", refusal.Status, refusal.Code)
}
