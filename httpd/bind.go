package httpd

import (
	"strings"

	"github.com/google/uuid"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// perform binds an operation's holes to the engine's words: it calls the verb
// that the operation names and returns what the answer can be filled with.
func (a *adapter) perform(c *call, o *dialect.Operation, asked dialect.Values) (dialect.Values, *gatehouse.Error) {
	answer, err := a.verb(c, o, asked)
	if err != nil {
		return dialect.Values{}, gatehouse.AsError(err)
	}
	return answer, nil
}

func (a *adapter) verb(c *call, o *dialect.Operation, asked dialect.Values) (dialect.Values, error) {
	switch o.Name {
	case dialect.Issue:
		return a.issue(c, o, asked)
	case dialect.Refresh:
		return a.refresh(c, asked)
	case dialect.Exchange:
		return a.exchange(c, asked)
	case dialect.Validate:
		return a.validate(c, o, asked)
	case dialect.Revoke:
		return asked, a.revoke(c, asked)
	case dialect.Delink:
		return asked, a.server.engine.DelinkByToken(c.r.Context(), c.actor(), a.dialect.Name,
			asked.Secret(dialect.AccessToken), asked.Secret(dialect.ClientSecret), asked.Secret(dialect.UserSecret))
	default:
		return dialect.Values{}, gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, "")
	}
}

func (a *adapter) issue(c *call, o *dialect.Operation, asked dialect.Values) (dialect.Values, error) {
	proof := a.proof(asked)
	if asked.Has(dialect.Environment) {
		// The secret tells the environment; a request that names another one
		// must not get a token for it.
		who, err := a.server.engine.ProveClient(c.r.Context(), c.actor(), *proof)
		if err != nil {
			return dialect.Values{}, err
		}
		if string(who.Environment) != asked.Text(dialect.Environment) {
			return dialect.Values{}, &gatehouse.Error{Code: gatehouse.InvalidClient, Reason: gatehouse.ReasonWrongEnvironment, Client: who.Client.ID}
		}
	}
	name := asked.Text(dialect.TokenName)
	if name == "" && o.ResponseHas(dialect.TokenName) {
		name = uuid.NewString()
	}
	issued, err := a.server.engine.Issue(c.r.Context(), c.actor(), gatehouse.IssueRequest{
		Proof: *proof, Life: asked.Duration(dialect.Life), Name: name,
		Scopes: asked.List(dialect.Scope), Resources: resources(asked),
	})
	if err != nil {
		return dialect.Values{}, err
	}
	return a.issued(c, issued), nil
}

func (a *adapter) refresh(c *call, asked dialect.Values) (dialect.Values, error) {
	r := gatehouse.RefreshRequest{
		Dialect: a.dialect.Name, Token: asked.Secret(dialect.RefreshToken),
		Scopes: asked.List(dialect.Scope), Resources: resources(asked),
	}
	if asked.Has(dialect.ClientSecret) {
		r.Proof = a.proof(asked)
	}
	issued, err := a.server.engine.Refresh(c.r.Context(), c.actor(), r)
	if err != nil {
		return dialect.Values{}, err
	}
	return a.issued(c, issued), nil
}

func (a *adapter) exchange(c *call, asked dialect.Values) (dialect.Values, error) {
	issued, err := a.server.engine.Exchange(c.r.Context(), c.actor(), gatehouse.ExchangeRequest{
		Dialect: a.dialect.Name, Code: asked.Secret(dialect.AccessCode),
		Connection: asked.Text(dialect.ConnectionID), Secret: asked.Secret(dialect.ClientSecret),
	})
	if err != nil {
		return dialect.Values{}, err
	}
	return a.issued(c, issued), nil
}

// validate answers about a token of this dialect in either environment. To an
// operation whose answer can say so, a token that was ours and has expired is
// an answer and no error.
func (a *adapter) validate(c *call, o *dialect.Operation, asked dialect.Values) (dialect.Values, error) {
	tok := asked.Secret(dialect.AccessToken)
	claims, err := a.server.engine.Validate(c.r.Context(), tok, gatehouse.Requirement{Dialect: a.dialect.Name})
	if err != nil {
		if gatehouse.AsError(err).Code == gatehouse.ExpiredToken && o.ResponseHas(dialect.Expired) {
			asked.SetBool(dialect.Expired, true)
			return asked, nil
		}
		return dialect.Values{}, err
	}
	v := dialect.NewValues(12)
	v.SetSecret(dialect.AccessToken, tok)
	v.SetBool(dialect.Expired, false)
	v.SetText(dialect.TokenID, claims.Token.String())
	v.SetText(dialect.ClientID, string(claims.ClientID))
	v.SetText(dialect.Environment, string(claims.Environment))
	v.SetText(dialect.Subject, claims.Subject)
	v.SetText(dialect.Issuer, claims.Issuer)
	v.SetText(dialect.UserID, claims.User)
	v.SetList(dialect.Scope, claims.Scopes)
	v.SetTime(dialect.IssuedAt, claims.IssuedAt)
	if !claims.ExpiresAt.IsZero() {
		v.SetTime(dialect.ExpiresAt, claims.ExpiresAt)
		v.SetDuration(dialect.Life, claims.ExpiresAt.Sub(a.server.engine.Now()))
	}
	return v, nil
}

// revoke ends a token of the client that asks. Where the dialect's message has
// no client secret, the token speaks for itself.
func (a *adapter) revoke(c *call, asked dialect.Values) error {
	ctx := c.r.Context()
	tok := asked.Secret(dialect.AccessToken)
	if tok.IsZero() {
		tok = asked.Secret(dialect.RefreshToken)
	}
	var who *gatehouse.Principal
	if asked.Has(dialect.ClientSecret) {
		var err error
		if who, err = a.server.engine.ProveClient(ctx, c.actor(), *a.proof(asked)); err != nil {
			return err
		}
	} else {
		claims, err := a.server.engine.Validate(ctx, tok, gatehouse.Requirement{Dialect: a.dialect.Name})
		if err != nil {
			return err
		}
		client, ok := a.server.engine.Client(claims.Client)
		if !ok {
			return gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonUnknownClient, "")
		}
		who = &gatehouse.Principal{Client: client, Environment: claims.Environment}
	}
	return a.server.engine.RevokeByClient(ctx, c.actor(), who, tok)
}

func (a *adapter) proof(asked dialect.Values) *gatehouse.ClientProof {
	return &gatehouse.ClientProof{
		Dialect: a.dialect.Name, ClientID: gatehouse.ClientID(asked.Text(dialect.ClientID)), Secret: asked.Secret(dialect.ClientSecret),
	}
}

func resources(asked dialect.Values) []string {
	if audience := asked.Text(dialect.Audience); audience != "" {
		return []string{audience}
	}
	return nil
}

// issued is what an answer to issue, refresh or exchange can be filled with.
func (a *adapter) issued(c *call, i *gatehouse.Issued) dialect.Values {
	setLimit(c.Header(), i.Limit)
	r := &i.Record
	v := dialect.NewValues(20)
	v.SetSecret(dialect.AccessToken, i.Access)
	v.SetSecret(dialect.RefreshToken, i.Refresh)
	v.SetText(dialect.ClientID, string(i.ClientID))
	v.SetText(dialect.TokenID, r.ID.String())
	v.SetText(dialect.TokenName, r.Name)
	v.SetText(dialect.TokenType, "Bearer")
	v.SetList(dialect.Scope, r.Scopes)
	v.SetText(dialect.Environment, string(r.Environment))
	v.SetText(dialect.Issuer, a.server.engine.Issuer(r.Environment))
	v.SetText(dialect.Subject, subjectOf(r.User, i.ClientID))
	v.SetTime(dialect.IssuedAt, r.IssuedAt)
	if !r.ExpiresAt.IsZero() {
		v.SetTime(dialect.ExpiresAt, r.ExpiresAt)
		v.SetDuration(dialect.Life, i.Life)
	}
	if i.RefreshRecord != nil {
		v.SetDuration(dialect.RefreshLife, i.RefreshLife)
	}
	if len(r.Audience) > 0 {
		v.SetText(dialect.Audience, r.Audience[0])
	} else {
		v.SetText(dialect.Audience, a.server.engine.Issuer(r.Environment))
	}
	if k := i.Connection; k != nil {
		v.SetText(dialect.ConnectionID, k.ID.String())
		v.SetText(dialect.UserID, k.User)
	}
	setFields(&v, a.dialect, i.Client.Fields)
	return v
}

func subjectOf(user string, client gatehouse.ClientID) string {
	if user != "" {
		return user
	}
	return string(client)
}

// setFields fills the holes of the open families with what is kept with the
// client. NAME is kept for {extra.NAME}, and owner.NAME for {owner.NAME}; the
// file may have a default for either.
func setFields(v *dialect.Values, d *dialect.Dialect, fields map[string]string) {
	for hole, field := range d.Rules.Fields {
		v.SetText(hole, field.Default)
	}
	for name, value := range fields {
		if value != "" {
			v.SetText(holeOf(name), value)
		}
	}
}

// holeOf is the hole that a client's field is for.
func holeOf(field string) dialect.Hole {
	if strings.HasPrefix(field, "owner.") || strings.HasPrefix(field, "extra.") {
		return dialect.Hole(field)
	}
	return dialect.Hole("extra." + field)
}
