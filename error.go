package gatehouse

import (
	"errors"
	"time"
)

// A Code is what a caller is told about a refusal. The set is closed; each
// dialect maps every code to its own words, standard OAuth 2.0 to those of RFC
// 6749 §5.2 and RFC 6750 §3.1.
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
	Conflict             Code = "conflict"
	Unavailable          Code = "unavailable"
	ServerError          Code = "server_error"
)

// Codes lists the closed set.
var Codes = []Code{
	InvalidRequest, MissingParameter, UnsupportedGrantType, InvalidClient, UnauthorizedClient, InvalidGrant,
	InvalidScope, InvalidTarget, MissingToken, InvalidToken, ExpiredToken, InsufficientScope, AccessDenied,
	InsecureTransport, RateLimited, MethodNotAllowed, NotFound, PayloadTooLarge, UnsupportedMediaType, Conflict,
	Unavailable, ServerError,
}

// A Reason is the truth behind a Code, for the owner's eyes only: several
// reasons share a code, so that a caller learns nothing about which part of
// its request was wrong.
type Reason string

// The reasons.
const (
	ReasonMalformed        Reason = "malformed"
	ReasonUnknownClient    Reason = "unknown_client"
	ReasonOtherDialect     Reason = "client_of_another_dialect"
	ReasonWrongSecret      Reason = "wrong_secret"
	ReasonRetiredSecret    Reason = "retired_secret"
	ReasonClientDisabled   Reason = "client_disabled"
	ReasonClientDeleted    Reason = "client_deleted"
	ReasonNotAllowed       Reason = "not_allowed"
	ReasonUnknownToken     Reason = "unknown_token"
	ReasonWrongKind        Reason = "wrong_kind_of_token"
	ReasonWrongClient      Reason = "another_clients_token"
	ReasonWrongConnection  Reason = "wrong_connection"
	ReasonWrongRedirect    Reason = "wrong_redirect_uri"
	ReasonWrongBinding     Reason = "wrong_code_redirect_or_verifier"
	ReasonWrongEnvironment Reason = "wrong_environment"
	ReasonWrongAudience    Reason = "wrong_audience"
	ReasonWrongIssuer      Reason = "wrong_issuer"
	ReasonWrongType        Reason = "wrong_token_type"
	ReasonBadSignature     Reason = "bad_signature"
	ReasonUnknownKey       Reason = "unknown_key"
	ReasonExpired          Reason = "expired"
	ReasonNotYetValid      Reason = "not_yet_valid"
	ReasonRevoked          Reason = "revoked"
	ReasonSpent            Reason = "used_before"
	ReasonReplayed         Reason = "replayed"
	ReasonDelinked         Reason = "delinked"
	ReasonScope            Reason = "scope"
	ReasonUnknownUser      Reason = "unknown_user"
	ReasonWrongPassword    Reason = "wrong_password"
	ReasonWrongPasskey     Reason = "wrong_passkey"
	ReasonUserDisabled     Reason = "user_disabled"
	ReasonWrongPasswords   Reason = "too_many_wrong_passwords"
	ReasonUpstream         Reason = "upstream_sign_in"
	ReasonRate             Reason = "rate"
	ReasonWrongSecrets     Reason = "too_many_wrong_secrets"
	ReasonBusy             Reason = "busy"
	ReasonStore            Reason = "store"
	ReasonStale            Reason = "journal_stale"
	ReasonInternal         Reason = "internal"
	ReasonExists           Reason = "exists"
	ReasonInFlight         Reason = "in_flight"
	ReasonReusedKey        Reason = "idempotency_key_reused"
	ReasonPlainHTTP        Reason = "plain_http"
	ReasonOldIssuerOver    Reason = "old_issuer_over"
)

// An Error is a refusal. Message is fit for the caller's eyes and never holds
// a credential; Reason and Err are for the owner.
type Error struct {
	Code       Code
	Reason     Reason
	Message    string
	Field      string        // the request's part that was wrong, in our words ("life", "scope"), or ""
	RetryAfter time.Duration // with RateLimited and Unavailable; 0 where unknown
	Limit      *LimitState   // with RateLimited, where an issuance limit was met
	Token      TokenID       // the token that was refused, where one was recognised; for the owner
	Client     ClientID      // the client that was refused, where one was recognised; for the owner
	Err        error
}

func (e *Error) Error() string {
	s := string(e.Code) + " (" + string(e.Reason) + ")"
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Refuse makes an Error.
func Refuse(code Code, reason Reason, message string) *Error {
	return &Error{Code: code, Reason: reason, Message: message}
}

// AsError returns the refusal in err's chain. An error that is none becomes
// Unavailable where a retry may help (ErrStore) and ServerError otherwise;
// its text stays in Err and out of Message.
func AsError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ErrStore):
		return &Error{Code: Unavailable, Reason: ReasonStore, Message: "the service can't answer now; try again", RetryAfter: time.Second, Err: err}
	default:
		return &Error{Code: ServerError, Reason: ReasonInternal, Message: "internal error", Err: err}
	}
}
