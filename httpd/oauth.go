package httpd

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate/feed"
)

// addOAuth adds the endpoints of standard OAuth 2.0 (RFC 6749, 7662, 7009).
// Only clients that speak it may use them.
func (s *Server) addOAuth() {
	for path, endpoint := range map[string]struct {
		label  string
		answer func(*call) ([]byte, *gatehouse.Error)
	}{
		"/oauth2/token":      {"oauth2.token", s.grantToken},
		"/oauth2/introspect": {"oauth2.introspect", s.introspect},
		"/oauth2/revoke":     {"oauth2.revoke", s.revoke},
	} {
		s.own[path] = s.route(endpoint.label, func(c *call) {
			refusal := readOAuth(c)
			var body []byte
			if refusal == nil {
				body, refusal = endpoint.answer(c)
			}
			if refusal != nil {
				refuseStandard(c, refusal)
				return
			}
			c.send(http.StatusOK, jsonType, body)
		}, refuseStandard)
	}
}

// readOAuth reads a request to one of the endpoints: a POST with a form and
// no credential in its URL.
func readOAuth(c *call) *gatehouse.Error {
	switch {
	case c.r.Method != http.MethodPost:
		c.Header()["Allow"] = allowPost
		return gatehouse.Refuse(gatehouse.MethodNotAllowed, gatehouse.ReasonMalformed, "this endpoint takes POST only")
	case hasCredential(c.r.URL.RawQuery):
		return malformed("parameters belong in the body, not in the URL")
	case !isForm(c.r.Header):
		return gatehouse.Refuse(gatehouse.UnsupportedMediaType, gatehouse.ReasonMalformed,
			"the body must be application/x-www-form-urlencoded")
	}
	body, refusal := c.readBody()
	if refusal != nil {
		return refusal
	}
	return c.form.read(body)
}

// refuseStandard answers in the words of RFC 6749 §5.2, which also serve for
// whatever is on no route at all.
func refuseStandard(c *call, e *gatehouse.Error) { refuseWith(c, e, basicChallenge) }

// refuseWith is refuseStandard with the challenge of a 401.
func refuseWith(c *call, e *gatehouse.Error, challenge []string) {
	c.refusal = e
	w := standardWordsOf(e.Code)
	h := c.Header()
	switch w.status {
	case http.StatusUnauthorized:
		h["Www-Authenticate"] = challenge
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h["Retry-After"] = []string{retryAfter(e.RetryAfter)}
	}
	setLimit(h, e.Limit)
	b := make([]byte, 0, 160)
	b = append(append(b, `{"error":"`...), w.word...)
	b = append(b, `","error_description":`...)
	b = appendText(b, asDescription(messageOf(e)))
	c.send(w.status, jsonType, append(b, "}\n"...))
}

var (
	basicChallenge  = []string{`Basic realm="gatehouse", charset="UTF-8"`}
	bearerChallenge = []string{`Bearer realm="gatehouse", scope="` + feed.Scope + `"`}
)
