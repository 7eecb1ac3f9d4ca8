package gate

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// The identity headers. Each answer that lets a request pass carries every one
// of them, so that a gateway which copies them onto the request replaces
// whatever the caller sent under these names.
const (
	HeaderClientID    = "Gatehouse-Client-Id"
	HeaderEnvironment = "Gatehouse-Environment"
	HeaderTokenID     = "Gatehouse-Token-Id"
	HeaderScope       = "Gatehouse-Scope"      // separated by spaces
	HeaderSubject     = "Gatehouse-Subject"    // the end user, or the client where there is none
	HeaderExpiresAt   = "Gatehouse-Expires-At" // RFC 3339, UTC
)

// HeaderRequestID names our own id of the request. It stands on every answer
// of the public listener, which sets it before this package's handlers run.
const HeaderRequestID = "Gatehouse-Request-Id"

// IdentityHeaders lists the identity headers: what a gateway must copy from
// the answer onto the request, and drop from what the caller sent.
var IdentityHeaders = [...]string{
	HeaderClientID, HeaderEnvironment, HeaderTokenID, HeaderScope, HeaderSubject, HeaderExpiresAt,
}

// nothing is what an identity header says when there is nothing to say. A
// header left out would let the caller's own survive in the gateway.
const nothing = "-"

// identify sets every identity header. The names are canonical already and the
// values share one array. With the request's id and Cache-Control they are
// eight: the most that a map holds before it grows, at the price of all else
// that happens here.
func identify(h http.Header, c *gatehouse.Claims) {
	expires := nothing
	if !c.ExpiresAt.IsZero() {
		expires = c.ExpiresAt.UTC().Format(time.RFC3339)
	}
	id := nothing
	if !c.Token.IsZero() {
		id = c.Token.String()
	}
	v := &[len(IdentityHeaders)]string{
		said(string(c.ClientID)), said(string(c.Environment)), id, said(c.Scope), said(c.Subject), expires,
	}
	for i, name := range IdentityHeaders {
		h[name] = v[i : i+1 : i+1]
	}
}

// Identify sets every identity header, in place of whatever was there, on a
// request that goes on to the API.
func Identify(h http.Header, c *gatehouse.Claims) { identify(h, c) }

func said(s string) string {
	if s == "" {
		return nothing
	}
	return s
}
