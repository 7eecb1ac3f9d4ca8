package gate

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// bearer reads the token of RFC 6750 §2.1, the only carriage that is read: a
// token in the query would end up in logs, one in a body is not the gateway's
// to show us.
//
// No credentials, or those of another scheme, are a missing token. A Bearer
// scheme without a token is an invalid one, and so are two headers, of which
// the API behind might believe the other. What stands after the scheme is
// taken whole: the validator knows what a token looks like, and reads each one
// once.
func bearer(h http.Header) (secret.Text, *gatehouse.Error) {
	values := h["Authorization"]
	switch len(values) {
	case 0:
		return secret.Text{}, errMissing
	case 1:
	default:
		return secret.Text{}, errMalformed
	}
	scheme, tok, found := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return secret.Text{}, errScheme
	}
	tok = strings.TrimLeft(tok, " ")
	if !found || tok == "" {
		return secret.Text{}, errMalformed
	}
	return secret.New(tok), nil
}

var (
	errMissing = gatehouse.Refuse(gatehouse.MissingToken, gatehouse.ReasonMalformed,
		"the request has no Authorization header")
	errScheme = gatehouse.Refuse(gatehouse.MissingToken, gatehouse.ReasonMalformed,
		"the Authorization header does not begin with the word Bearer")
	errMalformed = gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonMalformed,
		"the Authorization header does not hold one bearer token")
)
