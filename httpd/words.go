package httpd

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse"
)

type standardWords struct {
	status int
	word   string
}

// standardWordsOf maps every code to a status and an error of RFC 6749 §5.2,
// RFC 6750 §3.1 or RFC 8707 §2. Where those have none, it is the nearest of
// RFC 6749 §4.1.2.1.
func standardWordsOf(c gatehouse.Code) standardWords {
	switch c {
	case gatehouse.UnsupportedGrantType, gatehouse.UnauthorizedClient, gatehouse.InvalidGrant,
		gatehouse.InvalidScope, gatehouse.InvalidTarget:
		return standardWords{http.StatusBadRequest, string(c)}
	case gatehouse.InvalidClient:
		return standardWords{http.StatusUnauthorized, "invalid_client"}
	case gatehouse.MissingToken, gatehouse.InvalidToken, gatehouse.ExpiredToken:
		return standardWords{http.StatusUnauthorized, "invalid_token"}
	case gatehouse.InsufficientScope, gatehouse.AccessDenied:
		return standardWords{http.StatusForbidden, string(c)}
	case gatehouse.NotFound:
		return standardWords{http.StatusNotFound, "not_found"}
	case gatehouse.MethodNotAllowed:
		return standardWords{http.StatusMethodNotAllowed, "invalid_request"}
	case gatehouse.PayloadTooLarge:
		return standardWords{http.StatusRequestEntityTooLarge, "invalid_request"}
	case gatehouse.Conflict:
		return standardWords{http.StatusConflict, "invalid_request"}
	case gatehouse.RateLimited:
		return standardWords{http.StatusTooManyRequests, "temporarily_unavailable"}
	case gatehouse.Unavailable:
		return standardWords{http.StatusServiceUnavailable, "temporarily_unavailable"}
	case gatehouse.ServerError:
		return standardWords{http.StatusInternalServerError, "server_error"}
	default: // invalid_request, missing_parameter, insecure_transport, unsupported_media_type
		return standardWords{http.StatusBadRequest, "invalid_request"}
	}
}

// callersMessage is the engine's sentence where the caller may know it. Where
// several reasons share a code and the difference is not the caller's to know,
// the code alone must tell.
func callersMessage(e *gatehouse.Error) string {
	switch e.Code {
	case gatehouse.InvalidClient, gatehouse.InvalidGrant, gatehouse.MissingToken, gatehouse.InvalidToken,
		gatehouse.ExpiredToken, gatehouse.ServerError:
		return ""
	}
	return e.Message
}

func messageOf(e *gatehouse.Error) string {
	if m := callersMessage(e); m != "" {
		return m
	}
	switch e.Code {
	case gatehouse.InvalidClient:
		return "client authentication failed"
	case gatehouse.InvalidGrant:
		return "the grant is invalid, expired, revoked, used before or another client's"
	case gatehouse.MissingToken:
		return "a bearer token is required"
	case gatehouse.InvalidToken:
		return "the access token is invalid"
	case gatehouse.ExpiredToken:
		return "the access token has expired"
	case gatehouse.ServerError:
		return "internal error"
	case gatehouse.MissingParameter:
		return "a required parameter is missing"
	case gatehouse.UnsupportedGrantType:
		return "the grant type is not supported"
	case gatehouse.UnauthorizedClient:
		return "the client may not use this grant type"
	case gatehouse.InvalidScope:
		return "the scope is invalid, unknown or more than the client may have"
	case gatehouse.InvalidTarget:
		return "the resource is invalid or unknown"
	case gatehouse.RateLimited:
		return "too many requests; try again later"
	case gatehouse.Unavailable:
		return "the service can't answer now; try again"
	case gatehouse.NotFound:
		return "there is nothing here"
	case gatehouse.MethodNotAllowed:
		return "the method is not allowed"
	default:
		return "the request is invalid"
	}
}

// asDescription keeps to the characters of RFC 6749's error_description:
// printable ASCII without quotation mark and backslash.
func asDescription(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] < ' ' || b[i] > '~' || b[i] == '"' || b[i] == '\\' {
					b[i] = '\''
				}
			}
			return string(b)
		}
	}
	return s
}
