package bearer

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// maxAnswer bounds what is read of a token endpoint's answer.
const maxAnswer = 256 << 10

// errDead: a token without life left must not be used (and is not kept).
var errDead = errors.New("the token endpoint gave a token that has ended already: compare the clocks")

// visit asks the token endpoint once and makes a token of its answer.
func (c *Config) visit(ctx context.Context, op *dialect.Operation, v dialect.Values) (*Token, error) {
	request, err := op.WriteRequest(c.TokenURL, v)
	if err != nil {
		return nil, err
	}
	target := request.URL()
	if d, _ := standard(); c.Dialect == d {
		target = oauth2Endpoint(c.TokenURL)
	}
	var body io.Reader
	if request.Body != nil {
		body = bytes.NewReader(request.Body)
	}
	r, err := http.NewRequestWithContext(ctx, request.Method, target, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, request.Header)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "gatehouse-bearer")
	asked := time.Now()
	response, err := c.HTTPClient.Do(r)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the token endpoint's answer: %w", err)
	}
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("the token endpoint's answer is larger than %d KiB", maxAnswer>>10)
	}
	got, err := op.ReadResponse(&dialect.Response{Status: response.StatusCode, Header: response.Header, Body: answer})
	if err != nil {
		return nil, err
	}
	return c.token(got, asked, response.Header)
}

// withoutURL drops the URL that net/http puts into its errors: a dialect may
// have credentials in it.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// oauth2Endpoint is the token endpoint that a token URL means.
func oauth2Endpoint(tokenURL string) string {
	u, err := url.Parse(tokenURL)
	if err != nil || u.Path != "" && u.Path != "/" {
		return tokenURL
	}
	return strings.TrimSuffix(tokenURL, "/") + "/oauth2/token"
}

// token makes a token of an answer to what was asked at this time.
func (c *Config) token(got dialect.Values, asked time.Time, h http.Header) (*Token, error) {
	t := &Token{
		AccessToken: got.Secret(dialect.AccessToken), ObtainedAt: asked, Scopes: got.List(dialect.Scope),
		refresh: got.Secret(dialect.RefreshToken),
	}
	life, known := c.life(got, h, t)
	if known && life <= 0 {
		return nil, errDead
	}
	t.lasts(asked, life, margin(life))
	if d := got.Duration(dialect.RefreshLife); d > 0 {
		t.refreshEnd = asked.Add(d)
	}
	for _, h := range got.Holes() {
		if name, ok := strings.CutPrefix(string(h), "extra."); ok {
			if t.Extra == nil {
				t.Extra = map[string]string{}
			}
			t.Extra[name] = got.Text(h)
		}
	}
	return t, c.fill(t)
}

// fill writes once what each call with the token carries.
func (c *Config) fill(t *Token) (err error) {
	v := c.values()
	for name, value := range t.Extra {
		v.SetText(extra(name), value)
	}
	v.SetSecret(dialect.AccessToken, t.AccessToken)
	t.use, err = c.Dialect.Operation(dialect.Use).WriteRequest("", v)
	return err
}

// life is how long the token still lives, counted from when it was asked for,
// which is never too long. known is false for one that doesn't end.
//
// An end in absolute time is measured on the server's own clock, which the
// answer's Date tells (RFC 9110 section 6.6.1), so that neither clock need be
// right.
func (c *Config) life(got dialect.Values, h http.Header, t *Token) (life time.Duration, known bool) {
	policy := &c.Dialect.Token
	end := got.Time(dialect.ExpiresAt)
	switch {
	case policy.Permanent:
		return 0, false
	case got.Has(dialect.Life):
		return got.Duration(dialect.Life), true
	case end.IsZero():
		return policy.Life, true // assumed
	}
	// The answer's time may be cut to the minute; a JWT says its own end to the
	// second.
	if exact := c.claimedEnd(t); exact.After(end) && exact.Sub(end) < time.Minute {
		end = exact
	}
	return end.Sub(serverTime(got, h)), true
}

// serverTime is the latest that the server's clock can have said: its times
// are cut to the second.
func serverTime(got dialect.Values, h http.Header) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date.Add(time.Second)
	}
	if now := got.Time(dialect.Now); !now.IsZero() {
		return now
	}
	return time.Now()
}

// claimedEnd reads the end out of a JWT, where the dialect says which claim it
// is. The token isn't verified: who sent it is who would be asked.
func (c *Config) claimedEnd(t *Token) time.Time {
	parts := strings.Split(t.AccessToken.Reveal(), ".")
	if len(parts) != 3 || c.Dialect.Token.Claims == nil {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	claims, err := c.Dialect.Token.Claims.Read(payload)
	if err != nil {
		return time.Time{}
	}
	return claims.Time(dialect.ExpiresAt)
}
