package bearer

import (
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Transport adds a [Source]'s token to requests for its API: those for the
// origin of the base URL, at or below its path. Any other request, such as one
// that follows a redirect elsewhere, passes as it is.
//
// A 401 from the API gets one renewal and one more try. The second answer is
// the caller's, whatever it is, and so is the first one where the request's
// body can't be sent again: it has no GetBody.
type Transport struct {
	Source *Source
	// Base makes the requests; nil is [http.DefaultTransport].
	Base http.RoundTripper
}

// maxDrained bounds what is read of a 401 to keep its connection.
const maxDrained = 64 << 10

// RoundTrip is part of [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.Source.mayCover(r.URL) {
		return t.base().RoundTrip(r)
	}
	token, err := t.Source.Token(r.Context())
	if err == nil {
		var covered bool
		if covered, err = t.Source.covers(token, r.URL); err == nil && !covered {
			return t.base().RoundTrip(r)
		}
	}
	var c *call
	if err == nil {
		c, err = newCall(r, token)
	}
	if err != nil {
		closeBody(r)
		return nil, err
	}
	first, err := t.base().RoundTrip(c.with(token, c.body))
	if err != nil || first.StatusCode != http.StatusUnauthorized {
		return first, err
	}
	if !c.rewindable() {
		t.Source.reject(token)
		return first, nil
	}
	next, ok, err := t.Source.replace(r.Context(), token)
	if err != nil || !ok {
		return first, nil
	}
	if covered, err := t.Source.covers(next, r.URL); err != nil || !covered {
		return first, nil
	}
	body, err := c.rewind()
	if err != nil {
		return first, nil
	}
	_, _ = io.CopyN(io.Discard, first.Body, maxDrained) // an unread rest costs the connection only
	first.Body.Close()
	return t.base().RoundTrip(c.with(next, body))
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// mayCover is false for a URL that no token could be for.
func (s *Source) mayCover(u *url.URL) bool {
	return strings.Contains(s.config.BaseURL, "{") || s.place.covers(u)
}

// covers reports whether the token is for a URL that mayCover has let pass.
func (s *Source) covers(t *Token, u *url.URL) (bool, error) {
	if !strings.Contains(s.config.BaseURL, "{") {
		return true, nil
	}
	base, err := s.config.base(t)
	if err != nil {
		return false, err
	}
	p, err := parseBase("base URL", base)
	return err == nil && p.covers(u), err
}
