package gatehouse_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// An oldSystem signs tokens of its own, and is the source of its keys.
type oldSystem struct {
	name    string
	private ed25519.PrivateKey
	ring    *token.Ring
	err     error
	newer   int // how often another reading was asked for
}

func newOldSystem(t testing.TB, name, kid string) *oldSystem {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &oldSystem{name: name, private: private}
	o.publish(t, kid, public)
	return o
}

func (o *oldSystem) publish(t testing.TB, kid string, public crypto.PublicKey) {
	t.Helper()
	ring, err := token.NewRing([]*token.Key{{ID: kid, Public: public, Realm: token.Realm{Environment: "live", Format: "old issuer", Algorithm: token.EdDSA}}})
	if err != nil {
		t.Fatal(err)
	}
	o.ring = ring.TakingUnnamed()
}

func (o *oldSystem) Keys(_ context.Context, newer bool) (*token.Ring, error) {
	if newer {
		o.newer++
	}
	return o.ring, o.err
}

func (o *oldSystem) settings(until time.Time) gatehouse.OldIssuer {
	return gatehouse.OldIssuer{
		Name: o.name, Issuer: "https://" + o.name, Until: until, Environment: gatehouse.Live, Audience: []string{"api"},
		ClientClaim: "client_id", ScopeClaim: "scope", UserClaim: "uid", Keys: o,
	}
}

type claims = jwt.MapClaims

// sign makes a token; header members replace or add to the usual ones, nil removes.
func (o *oldSystem) sign(t testing.TB, c claims, header ...map[string]any) secret.Text {
	t.Helper()
	j := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	j.Header["kid"] = "k1"
	for _, h := range header {
		for name, value := range h {
			if j.Header[name] = value; value == nil {
				delete(j.Header, name)
			}
		}
	}
	s, err := j.SignedString(o.private)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(s)
}

func TestOldIssuersTokens(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2, func(n *gatehouse.NewClient) { n.Environments = []gatehouse.Environment{gatehouse.Live} })
	both := w.partner(t, gatehouse.OAuth2)
	separate := w.partner(t, "separate")
	o := newOldSystem(t, "old.example", "k1")
	until := w.Now().Add(48 * time.Hour)
	now := w.Now()
	usual := func(change ...claims) claims {
		c := claims{"iss": "https://old.example", "aud": "api", "client_id": string(p.ID), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": "j1", "scope": "read admin", "uid": "user-7"}
		for _, more := range change {
			maps.Copy(c, more)
			maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		}
		return c
	}
	want := gatehouse.Requirement{Environment: gatehouse.Live}
	if _, err := w.Validate(ctx, o.sign(t, usual()), want); reasonOf(err) != gatehouse.ReasonUnknownKey {
		t.Fatal("before it is named:", err)
	}
	if err := w.UseOldIssuers([]gatehouse.OldIssuer{o.settings(until)}); err != nil {
		t.Fatal(err)
	}
	got, err := w.Validate(ctx, o.sign(t, usual()), gatehouse.Requirement{Environment: gatehouse.Live, Scopes: []string{"read"}, Audience: "api", Dialect: gatehouse.OAuth2})
	if err != nil || got.Client != p.ID || got.Scope != "read" || got.Subject != "user-7" || !got.ExpiresAt.Equal(now.Add(time.Hour).Truncate(time.Second)) {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, tok := range map[string]secret.Text{
		"no scope":        o.sign(t, usual(claims{"scope": nil, "jti": nil})),
		"scopes as list":  o.sign(t, usual(claims{"scope": []string{"write", "read"}})),
		"several aud":     o.sign(t, usual(claims{"aud": []string{"other", "api"}})),
		"no exp":          o.sign(t, usual(claims{"exp": nil})),
		"no kid":          o.sign(t, usual(), map[string]any{"kid": nil}),
		"at+jwt":          o.sign(t, usual(), map[string]any{"typ": "at+jwt"}),
		"no type":         o.sign(t, usual(), map[string]any{"typ": nil}),
		"a little ahead":  o.sign(t, usual(claims{"iat": now.Add(5 * time.Second).Unix()})),
		"both, but live":  o.sign(t, usual(claims{"client_id": string(both.ID)})),
		"separate, live":  o.sign(t, usual(claims{"client_id": string(separate.IDs[gatehouse.Live])})),
		"unknown members": o.sign(t, usual(claims{"roles": map[string]any{"a": []any{1, nil}}})),
	} {
		if _, err := w.Validate(ctx, tok, want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.Validate(ctx, tok, gatehouse.Requirement{Environment: gatehouse.Sandbox}); reasonOf(err) != gatehouse.ReasonWrongEnvironment {
			t.Errorf("%s passes on sandbox: %v", name, err)
		}
	}

	good := o.sign(t, usual()).Reveal()
	part := strings.Split(good, ".")
	none := func(alg string) secret.Text {
		return secret.New(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`","kid":"k1","typ":"JWT"}`)) + "." + part[1] + ".")
	}
	der, _ := x509.MarshalPKIXPublicKey(o.private.Public())
	hmac := jwt.NewWithClaims(jwt.SigningMethodHS256, usual())
	hmac.Header["kid"] = "k1"
	confused, _ := hmac.SignedString(der)
	stranger := newOldSystem(t, "old.example", "k1")
	for name, one := range map[string]struct {
		tok    secret.Text
		reason gatehouse.Reason
	}{
		"another's key":          {stranger.sign(t, usual()), gatehouse.ReasonBadSignature},
		"alg none":               {none("none"), gatehouse.ReasonMalformed},
		"alg nOnE, a signature":  {secret.New(none("nOnE").Reveal() + part[2]), gatehouse.ReasonBadSignature},
		"hmac under public key":  {secret.New(confused), gatehouse.ReasonBadSignature},
		"kid as path":            {o.sign(t, usual(), map[string]any{"kid": "../../../dev/null"}), gatehouse.ReasonUnknownKey},
		"kid as list":            {o.sign(t, usual(), map[string]any{"kid": []string{"k1"}}), gatehouse.ReasonMalformed},
		"kid of a MiB":           {o.sign(t, usual(), map[string]any{"kid": strings.Repeat("k", 8000)}), gatehouse.ReasonUnknownKey},
		"jku":                    {o.sign(t, usual(), map[string]any{"jku": "https://evil.example/jwks"}), gatehouse.ReasonMalformed},
		"jwk":                    {o.sign(t, usual(), map[string]any{"jwk": map[string]any{"kty": "OKP"}}), gatehouse.ReasonMalformed},
		"crit":                   {o.sign(t, usual(), map[string]any{"crit": []string{"b64"}}), gatehouse.ReasonMalformed},
		"id token":               {o.sign(t, usual(), map[string]any{"typ": "logout+jwt"}), gatehouse.ReasonWrongType},
		"another iss":            {o.sign(t, usual(claims{"iss": "https://old.example/"})), gatehouse.ReasonUnknownKey},
		"no iss":                 {o.sign(t, usual(claims{"iss": nil})), gatehouse.ReasonUnknownKey},
		"iss as list":            {o.sign(t, usual(claims{"iss": []string{"https://old.example"}})), gatehouse.ReasonUnknownKey},
		"another aud":            {o.sign(t, usual(claims{"aud": "other"})), gatehouse.ReasonUnknownKey},
		"no aud":                 {o.sign(t, usual(claims{"aud": nil})), gatehouse.ReasonUnknownKey},
		"no client":              {o.sign(t, usual(claims{"client_id": nil})), gatehouse.ReasonUnknownClient},
		"client as number":       {o.sign(t, usual(claims{"client_id": 7})), gatehouse.ReasonUnknownClient},
		"unknown client":         {o.sign(t, usual(claims{"client_id": "nobody"})), gatehouse.ReasonUnknownClient},
		"the sandbox's id":       {o.sign(t, usual(claims{"client_id": string(separate.IDs[gatehouse.Sandbox])})), gatehouse.ReasonWrongEnvironment},
		"expired":                {o.sign(t, usual(claims{"exp": now.Add(-time.Second).Unix()})), gatehouse.ReasonExpired},
		"from the future":        {o.sign(t, usual(claims{"iat": now.Add(time.Minute).Unix()})), gatehouse.ReasonNotYetValid},
		"not yet valid":          {o.sign(t, usual(claims{"nbf": now.Add(time.Minute).Unix()})), gatehouse.ReasonNotYetValid},
		"exp as text":            {o.sign(t, usual(claims{"exp": "tomorrow"})), gatehouse.ReasonMalformed},
		"no iat":                 {o.sign(t, usual(claims{"iat": nil})), gatehouse.ReasonMalformed},
		"scope as number":        {o.sign(t, usual(claims{"scope": 1})), gatehouse.ReasonMalformed},
		"user with a line break": {o.sign(t, usual(claims{"uid": "a\r\nb"})), gatehouse.ReasonMalformed},
		"payload changed":        {secret.New(part[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://old.example","aud":"api"}`)) + "." + part[2]), gatehouse.ReasonBadSignature},
		"cut":                    {secret.New(good[:len(good)-2]), gatehouse.ReasonBadSignature},
	} {
		if got, err := w.Validate(ctx, one.tok, want); reasonOf(err) != one.reason {
			t.Errorf("%s: %v, %v, want %s", name, got, err, one.reason)
		}
	}
	if o.newer == 0 {
		t.Error("an unknown key made nobody look for newer keys")
	}

	// A key that the old system has taken back signs nothing more, once nobody
	// remembers its tokens.
	late := o.sign(t, usual(claims{"exp": now.Add(100 * time.Hour).Unix(), "jti": "late"}))
	if _, err := w.Validate(ctx, late, want); err != nil {
		t.Fatal(err)
	}
	o.err = errors.New("unreachable")
	w.clock.advance(10 * time.Minute)
	if _, err := w.Validate(ctx, late, want); codeOf(err) != gatehouse.Unavailable {
		t.Error("without keys:", err)
	}
	o.err = nil
	// The date is exact, and the reason too.
	w.clock.advance(until.Sub(w.Now()) - time.Second)
	if _, err := w.Validate(ctx, late, want); err != nil {
		t.Error("a second before the date:", err)
	}
	w.clock.advance(time.Second)
	_, err = w.Validate(ctx, late, want)
	if reasonOf(err) != gatehouse.ReasonOldIssuerOver || codeOf(err) != gatehouse.InvalidToken || gatehouse.AsError(err).Client != p.ID {
		t.Errorf("at the date: %v", err)
	}
	x, err := w.Explain(ctx, gatehouse.RefusalOf(gatehouse.AsError(err)))
	if err != nil || !strings.Contains(x.Sentence, "old.example") || !strings.Contains(x.Sentence, "over") || x.Advice == "" {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestOldIssuersTokensAreRevoked(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	o := newOldSystem(t, "old.example", "k1")
	until := w.Now().Add(48 * time.Hour)
	use := func() {
		if err := w.UseOldIssuers([]gatehouse.OldIssuer{o.settings(until)}); err != nil {
			t.Fatal(err)
		}
	}
	use()
	issue := func(jti any) secret.Text {
		c := claims{"iss": "https://old.example", "aud": "api", "client_id": string(p.ID), "iat": w.Now().Unix(), "exp": w.Now().Add(time.Hour).Unix()}
		if jti != nil {
			c["jti"] = jti
		}
		return o.sign(t, c)
	}
	r := w.far(t)
	r.OldIssuers(true)
	stands := func(tok secret.Text, reason gatehouse.Reason) {
		t.Helper()
		w.tell(t, r)
		for name, v := range map[string]interface {
			Validate(context.Context, secret.Text, gatehouse.Requirement) (*gatehouse.Claims, error)
		}{"node": w.Engine, "gate": r} {
			_, err := v.Validate(ctx, tok, gatehouse.Requirement{Environment: gatehouse.Live})
			if got := reasonOf(err); got != reason {
				t.Errorf("on a %s: %v, want %s", name, err, reason)
			}
		}
	}
	byID, held, silent, other, cut := issue("by-id"), issue("held"), issue(nil), issue("other"), issue("cut")
	for _, tok := range []secret.Text{byID, held, silent, other, cut} {
		stands(tok, "none")
	}
	if done, err := w.RevokeOldToken(ctx, operator, gatehouse.OldToken{Issuer: "old.example", ID: "by-id", Client: p.ID}); err != nil || done.Tokens != 1 {
		t.Fatal(done, err)
	}
	for _, tok := range []secret.Text{held, silent} {
		if done, err := w.RevokeToken(ctx, operator, tok); err != nil || done.Tokens != 1 {
			t.Fatal(done, err)
		}
		if done, err := w.RevokeToken(ctx, operator, tok); err != nil || done.Tokens != 0 {
			t.Fatal("again:", done, err)
		}
	}
	who := &gatehouse.Principal{Client: w.partner(t, gatehouse.OAuth2).Client, Environment: gatehouse.Live}
	if err := w.RevokeByClient(ctx, caller, who, other); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		stands(byID, gatehouse.ReasonRevoked)
		stands(held, gatehouse.ReasonRevoked)
		stands(silent, gatehouse.ReasonRevoked)
		stands(other, "none") // it was another client that wanted it ended
		w.restart(t)
		use()
		r = w.far(t)
		r.OldIssuers(true)
	}
	if seen, err := w.Introspect(ctx, &gatehouse.Principal{Client: p.Client, Environment: gatehouse.Live}, other); err != nil || !seen.Active || seen.Claims.Issuer != "old.example" {
		t.Errorf("%+v, %v", seen, err)
	}
	if found, err := w.Inspect(ctx, held); err != nil || found.Status != gatehouse.StatusRevoked {
		t.Errorf("%+v, %v", found, err)
	}
	if found, err := w.ReportLeak(ctx, operator, "a page", "found "+cut.Reveal()+" there", false); err != nil || len(found) != 1 || found[0].Status != gatehouse.LeakRevoked {
		t.Errorf("%+v, %v", found, err)
	}
	stands(cut, gatehouse.ReasonRevoked)
	if _, err := w.Revoke(ctx, operator, gatehouse.Selection{Client: p.ID, Environment: gatehouse.Live}); err != nil {
		t.Fatal(err)
	}
	stands(other, gatehouse.ReasonRevoked)
	if _, err := w.SetClientState(ctx, operator, p.ID, gatehouse.Disabled); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(2 * time.Second)
	stands(issue("new"), gatehouse.ReasonClientDisabled)
	seen, err := w.Sightings(ctx)
	if err != nil || len(seen) != 1 || seen[0].Source != "old.example" || seen[0].Client != p.ID || seen[0].Total < 3 {
		t.Errorf("%+v, %v", seen, err)
	}
}

func TestOldIssuersThatCantBeToldApart(t *testing.T) {
	w := newWorld(t)
	a, b := newOldSystem(t, "a.example", "k1").settings(w.Now()), newOldSystem(t, "b.example", "k1").settings(w.Now())
	same := func(change func(*gatehouse.OldIssuer)) gatehouse.OldIssuer {
		o := b
		change(&o)
		return o
	}
	for name, o := range map[string]gatehouse.OldIssuer{
		"name":     same(func(o *gatehouse.OldIssuer) { o.Name = a.Name }),
		"issuer":   same(func(o *gatehouse.OldIssuer) { o.Issuer = a.Issuer }),
		"audience": same(func(o *gatehouse.OldIssuer) { o.Issuer, o.Audience = a.Issuer, nil }),
	} {
		if err := w.UseOldIssuers([]gatehouse.OldIssuer{a, o}); err == nil {
			t.Errorf("the same %s is taken", name)
		}
	}
	for name, o := range map[string]gatehouse.OldIssuer{
		"nothing":          b,
		"not their issuer": same(func(o *gatehouse.OldIssuer) { o.Issuer, o.Audience = a.Issuer, []string{"other"} }),
	} {
		if err := w.UseOldIssuers([]gatehouse.OldIssuer{a, o}); err != nil {
			t.Error(fmt.Sprintf("%s in common:", name), err)
		}
	}
}
