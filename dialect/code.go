package dialect

import "net/http"

// Code is a reason for a refusal. The set is closed; a dialect says how each
// code looks on its wire.
type Code string

// The codes.
const (
	InvalidRequest       Code = "invalid_request"
	MissingParameter     Code = "missing_parameter"
	UnsupportedGrantType Code = "unsupported_grant_type"
	InvalidClient        Code = "invalid_client"
	UnauthorizedClient   Code = "unauthorized_client"
	InvalidGrant         Code = "invalid_grant"
	InvalidScope         Code = "invalid_scope"
	InvalidTarget        Code = "invalid_target"
	MissingToken         Code = "missing_token"
	InvalidToken         Code = "invalid_token"
	ExpiredToken         Code = "expired_token"
	InsufficientScope    Code = "insufficient_scope"
	AccessDenied         Code = "access_denied"
	InsecureTransport    Code = "insecure_transport"
	RateLimited          Code = "rate_limited"
	MethodNotAllowed     Code = "method_not_allowed"
	NotFound             Code = "not_found"
	PayloadTooLarge      Code = "payload_too_large"
	UnsupportedMediaType Code = "unsupported_media_type"
	Conflicting          Code = "conflict"
	Unavailable          Code = "unavailable"
	ServerError          Code = "server_error"
)

// codeInfo says what happens to a code that a dialect has no row for: it is
// answered with the row of fallback, and with its own status where keeps is
// set, because HTTP clients and proxies act on that status.
type codeInfo struct {
	code     Code
	fallback Code // empty: the dialect must have a row or a default
	status   int
	keeps    bool
	message  string
}

var codeTable = []codeInfo{
	{InvalidRequest, "", http.StatusBadRequest, false, "The request is not valid."},
	{MissingParameter, InvalidRequest, http.StatusBadRequest, false, "A required parameter is missing."},
	{UnsupportedGrantType, InvalidRequest, http.StatusBadRequest, false, "The grant type is not supported."},
	{InvalidClient, "", http.StatusUnauthorized, false, "The client credentials are not valid."},
	{UnauthorizedClient, InvalidClient, http.StatusUnauthorized, false, "The client may not do this."},
	{InvalidGrant, InvalidClient, http.StatusUnauthorized, false, "The grant is not valid."},
	{InvalidScope, InvalidRequest, http.StatusBadRequest, false, "The scope is not valid."},
	{InvalidTarget, InvalidRequest, http.StatusBadRequest, false, "The target is not valid."},
	{MissingToken, InvalidToken, http.StatusUnauthorized, false, "An access token is required."},
	{InvalidToken, InvalidClient, http.StatusUnauthorized, false, "The access token is not valid."},
	{ExpiredToken, InvalidToken, http.StatusUnauthorized, false, "The access token is not valid."},
	{InsufficientScope, AccessDenied, http.StatusForbidden, true, "The token does not allow this."},
	{AccessDenied, InvalidClient, http.StatusForbidden, true, "This is not allowed."},
	{InsecureTransport, InvalidRequest, http.StatusForbidden, true, "HTTPS is required."},
	{RateLimited, InvalidRequest, http.StatusTooManyRequests, true, "Too many requests."},
	{MethodNotAllowed, InvalidRequest, http.StatusMethodNotAllowed, true, "The method is not allowed here."},
	{NotFound, InvalidRequest, http.StatusNotFound, true, "There is nothing here."},
	{PayloadTooLarge, InvalidRequest, http.StatusRequestEntityTooLarge, true, "The request body is too large."},
	{UnsupportedMediaType, InvalidRequest, http.StatusUnsupportedMediaType, true, "The content type is not supported."},
	{Conflicting, InvalidRequest, http.StatusConflict, true, "The request conflicts with another one."},
	{Unavailable, ServerError, http.StatusServiceUnavailable, true, "The service can't answer now."},
	{ServerError, "", http.StatusInternalServerError, false, "The server failed."},
}

var codeByName = func() map[Code]*codeInfo {
	m := make(map[Code]*codeInfo, len(codeTable))
	for i := range codeTable {
		m[codeTable[i].code] = &codeTable[i]
	}
	return m
}()

// Codes lists the closed set.
func Codes() []Code {
	codes := make([]Code, len(codeTable))
	for i, info := range codeTable {
		codes[i] = info.code
	}
	return codes
}

func codeNames() []string {
	names := make([]string, len(codeTable))
	for i, info := range codeTable {
		names[i] = string(info.code)
	}
	return names
}

// codeOfStatus is what a client makes of an answer that no row describes.
func codeOfStatus(status int) Code {
	switch status {
	case http.StatusUnauthorized:
		return InvalidClient
	case http.StatusForbidden:
		return AccessDenied
	case http.StatusNotFound:
		return NotFound
	case http.StatusMethodNotAllowed:
		return MethodNotAllowed
	case http.StatusConflict:
		return Conflicting
	case http.StatusRequestEntityTooLarge:
		return PayloadTooLarge
	case http.StatusUnsupportedMediaType:
		return UnsupportedMediaType
	case http.StatusTooManyRequests:
		return RateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Unavailable
	}
	if 400 <= status && status < 500 {
		return InvalidRequest
	}
	return ServerError
}
