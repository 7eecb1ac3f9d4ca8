package httpd

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// Policies makes the engine's policies of the dialects' token parts. Errors
// name the dialect and what its file should say instead; all are reported.
func Policies(all []*dialect.Dialect) ([]gatehouse.Policy, error) {
	out := make([]gatehouse.Policy, 0, len(all))
	var errs []error
	for _, d := range all {
		p, err := policyOf(d)
		if err != nil {
			errs = append(errs, fmt.Errorf("dialect %s: %w", d.Name, err))
			continue
		}
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

func policyOf(d *dialect.Dialect) (gatehouse.Policy, error) {
	t := &d.Token
	p := gatehouse.Policy{
		Dialect: d.Name, Life: t.Life, Longest: t.Longest, Permanent: t.Permanent, CodeLife: t.CodeLife,
		Refresh: gatehouse.RefreshMode(t.Refresh.Mode), RefreshLife: t.Refresh.Life,
		SeparateIDs: d.Rules.ClientIDs == dialect.PerEnvironmentIDs,
		IDForm:      gatehouse.IDForm(d.Rules.ClientIDForm),
		Limits:      map[gatehouse.Verb]gatehouse.Rate{},
	}
	for operation, limit := range d.Rules.Limits {
		p.Limits[gatehouse.Verb(operation)] = gatehouse.Rate{Count: limit.Count, Per: limit.Per}
	}
	if p.Refresh == "" {
		p.Refresh = gatehouse.RefreshNone
	}
	if p.IDForm == "" {
		p.IDForm = gatehouse.IDText
	}
	for env, prefix := range t.Prefix {
		e, err := gatehouse.ParseEnvironment(env)
		if err != nil {
			return p, err
		}
		if !token.ValidPrefix(prefix) {
			return p, fmt.Errorf("the token prefix %q can't be used: write letters, digits and underscores", prefix)
		}
		if p.Prefix == nil {
			p.Prefix = map[gatehouse.Environment]string{}
		}
		p.Prefix[e] = prefix
	}
	if t.Format != dialect.JWT {
		return p, nil
	}
	p.Algorithm = token.Algorithm(t.Algorithm)
	if !p.Algorithm.Valid() {
		return p, fmt.Errorf("unknown algorithm %q: use EdDSA, ES256 or RS256", t.Algorithm)
	}
	p.KeyPrefix = t.KeyIDPrefix
	form := &jwtForm{dialect: d}
	p.JWT = form
	return p, form.check()
}

// A jwtForm makes a dialect's JWT of its header and claims templates, and
// reads it back through them.
type jwtForm struct{ dialect *dialect.Dialect }

// Mint fills the templates and signs them.
func (f *jwtForm) Mint(key *token.Key, m *gatehouse.Minting) (secret.Text, error) {
	header, claims, err := f.write(m)
	if err != nil {
		return secret.Text{}, err
	}
	return key.Sign(header, claims)
}

func (f *jwtForm) write(m *gatehouse.Minting) (header, claims map[string]any, err error) {
	v := f.values(m)
	if header, err = f.dialect.Token.Header.Write(v); err != nil {
		return nil, nil, fmt.Errorf("dialect %s: header: %w", f.dialect.Name, err)
	}
	if claims, err = f.dialect.Token.Claims.Write(v); err != nil {
		return nil, nil, fmt.Errorf("dialect %s: claims: %w", f.dialect.Name, err)
	}
	return header, claims, nil
}

func (f *jwtForm) values(m *gatehouse.Minting) dialect.Values {
	r := &m.Record
	v := dialect.NewValues(16)
	setFields(&v, f.dialect, m.Fields)
	v.SetText(dialect.TokenID, r.ID.String())
	v.SetText(dialect.ClientID, string(m.ClientID))
	v.SetText(dialect.TokenName, r.Name)
	v.SetText(dialect.Environment, string(r.Environment))
	v.SetText(dialect.Issuer, m.Issuer)
	v.SetText(dialect.Subject, subjectOf(r.User, m.ClientID))
	v.SetText(dialect.UserID, r.User)
	v.SetList(dialect.Scope, r.Scopes)
	v.SetTime(dialect.IssuedAt, r.IssuedAt)
	v.SetTime(dialect.ExpiresAt, r.ExpiresAt)
	if !r.Grant.IsZero() {
		v.SetText(dialect.ConnectionID, r.Grant.String())
	}
	if len(r.Audience) > 0 {
		v.SetText(dialect.Audience, r.Audience[0])
	} else {
		v.SetText(dialect.Audience, m.Issuer)
	}
	return v
}

// Read reads a token whose signature has been verified. Every literal of the
// templates must be there as written, and an expiry where tokens expire: a
// token that says it otherwise is not of this form.
func (f *jwtForm) Read(signed *token.Verified) (*gatehouse.Minting, error) {
	t := &f.dialect.Token
	header, err := t.Header.Read(signed.Header)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	claims, err := t.Claims.Read(signed.Claims)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	text := func(h dialect.Hole) string {
		if s := claims.Text(h); s != "" {
			return s
		}
		return header.Text(h)
	}
	m := &gatehouse.Minting{ClientID: gatehouse.ClientID(text(dialect.ClientID)), Issuer: text(dialect.Issuer)}
	r := &m.Record
	if r.ID, err = token.ParseID(text(dialect.TokenID)); err != nil {
		return nil, errors.New("its token id is none of ours")
	}
	r.Name, r.User = text(dialect.TokenName), text(dialect.UserID)
	r.IssuedAt = claims.Time(dialect.IssuedAt)
	if r.ExpiresAt = claims.Time(dialect.ExpiresAt); r.ExpiresAt.IsZero() && !t.Permanent {
		return nil, errors.New("it has no expiry")
	}
	switch subject := text(dialect.Subject); {
	case m.ClientID == "":
		m.ClientID = gatehouse.ClientID(subject)
	case r.User == "" && subject != "" && subject != string(m.ClientID):
		r.User = subject
	}
	r.Environment = gatehouse.Environment(text(dialect.Environment))
	if r.Environment != "" && string(r.Environment) != signed.Key.Realm.Environment {
		return nil, errors.New("it says another environment than its key's")
	}
	if audience := text(dialect.Audience); audience != "" && audience != m.Issuer {
		r.Audience = []string{audience}
	}
	if m.HasScope = t.Claims.Has(dialect.Scope) || t.Header.Has(dialect.Scope); m.HasScope {
		if r.Scopes = claims.List(dialect.Scope); r.Scopes == nil {
			r.Scopes = header.List(dialect.Scope)
		}
	}
	return m, nil
}

// check mints a sample and reads it back. It refuses a file whose tokens could
// not be matched with their client, or whose expiry nobody but us would see:
// that must stand in the claim "exp" (RFC 7519 §4.1.4).
func (f *jwtForm) check() error {
	now := time.Unix(1_700_000_000, 0).UTC()
	sample := &gatehouse.Minting{
		ClientID: "client", Issuer: "https://issuer.example", Record: gatehouse.TokenRecord{
			ID: token.NewID(now), Environment: gatehouse.Live, Name: "name", User: "user", Scopes: []string{"scope"},
			Grant: token.NewID(now), IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		},
	}
	header, claims, err := f.write(sample)
	if err != nil {
		return err
	}
	signed := &token.Verified{Key: &token.Key{Realm: token.Realm{Environment: string(gatehouse.Live)}}}
	if signed.Header, err = json.Marshal(header); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if signed.Claims, err = json.Marshal(claims); err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	read, err := f.Read(signed)
	if err != nil {
		return fmt.Errorf("its JWT can't be read back: %w", err)
	}
	if read.ClientID != sample.ClientID {
		return errors.New(`its JWT does not name its client: add sub: "{client_id}" to its claims`)
	}
	times, err := token.ReadTimes(signed.Claims)
	if err != nil || !times.ExpiresAt.Equal(sample.Record.ExpiresAt) {
		return errors.New(`its JWT does not expire for those who verify it: add exp: "{expires_at|unix}" to its claims`)
	}
	return nil
}
