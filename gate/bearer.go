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
// scheme without exactly one well-formed token is an invalid one, and so are
// two headers, of which the API behind might believe the other.
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
		return secret.Text{}, errMissing
	}
	tok = strings.TrimLeft(tok, " ")
	if !found || !isToken68(tok) {
		return secret.Text{}, errMalformed
	}
	return secret.New(tok), nil
}

var (
	errMissing = gatehouse.Refuse(gatehouse.MissingToken, gatehouse.ReasonMalformed,
		"no bearer token in the Authorization header")
	errMalformed = gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonMalformed,
		"the Authorization header does not hold exactly one bearer token")
)

// isToken68 reports whether s is the b64token of RFC 6750 §2.1.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" {
		return false
	}
	for i := range len(body) {
		c := body[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}
