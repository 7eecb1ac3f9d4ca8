package gate

import (
	"errors"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// challenge is the WWW-Authenticate value of RFC 6750 §3: without an error
// where the request had no credentials, "" where no challenge fits. scope is
// what was asked; its grammar has neither quotation mark nor backslash.
func challenge(code gatehouse.Code, status int, scope string) string {
	const realm = `Bearer realm="gatehouse"`
	switch {
	case code == gatehouse.MissingToken, status == http.StatusUnauthorized && told[code] == "":
		return realm // the second is of a call that lacks more than a token
	case status == http.StatusUnauthorized:
		return realm + `, error="invalid_token", error_description="` + told[code] + `"`
	case code == gatehouse.InsufficientScope:
		return realm + `, error="insufficient_scope", scope="` + scope + `"`
	default:
		return ""
	}
}

// told is what the caller hears of each code that has several reasons: those
// are for the owner.
var told = map[gatehouse.Code]string{
	gatehouse.MissingToken:      "a bearer token is required",
	gatehouse.InvalidToken:      "the access token is invalid",
	gatehouse.ExpiredToken:      "the access token has expired",
	gatehouse.InsufficientScope: "the access token lacks a scope",
	gatehouse.Unavailable:       "the token can't be judged now; try again",
	gatehouse.ServerError:       "internal error",
}

func messageOf(e *gatehouse.Error) string {
	if m, ok := told[e.Code]; ok {
		return m
	}
	return e.Message
}

// standardBody is the refusal in the words of RFC 6750 §3.1, for people who
// try the gate with curl; gateways show only the status.
func standardBody(e *gatehouse.Error) []byte {
	word := e.Code
	if word == gatehouse.ExpiredToken {
		word = gatehouse.InvalidToken
	}
	b := append(append([]byte(`{"error":"`), word...), `","error_description":`...)
	b, _ = jsontext.AppendQuote(b, messageOf(e)) // our own text, valid UTF-8
	return append(b, "}\n"...)
}

// words returns the dialect to refuse in; nil is standard OAuth 2.0, in which
// a name that isn't known (any more) is answered too.
func (g *Verify) words(name string) *dialect.Dialect {
	if name == "" || name == gatehouse.OAuth2 {
		return nil
	}
	return g.dialect(name)
}

// inWordsOf takes a dialect's headers and body, and says its status, which is
// the answer's only where a call and not its token was refused.
func (g *Verify) inWordsOf(d *dialect.Dialect, h http.Header, r *http.Request, e *gatehouse.Error) (status int, body []byte) {
	var v dialect.Values
	if _, ours := told[e.Code]; !ours && e.Code != gatehouse.InvalidClient {
		v.SetText(dialect.Message, e.Message) // else the dialect has its own sentence
	}
	if invalid, ok := errors.AsType[*dialect.Invalid](e.Err); ok {
		v.SetFields(invalid.Fields)
	}
	v.SetText(dialect.Path, r.URL.Path)
	v.SetTime(dialect.Now, g.now())
	v.SetText(dialect.RequestID, h.Get(HeaderRequestID))
	if e.RetryAfter > 0 {
		v.SetDuration(dialect.RetryAfter, e.RetryAfter)
	}
	answer := d.WriteError(dialect.Code(e.Code), v)
	for name, values := range answer.Header {
		h[name] = values
	}
	return answer.Status, answer.Body
}
