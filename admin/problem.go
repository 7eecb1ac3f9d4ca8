package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
)

// A Problem is a refusal of the admin API (RFC 9457). Detail says what to do.
type Problem struct {
	Type   string         `json:"type" doc:"always about:blank: code tells problems apart"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail"`
	Code   string         `json:"code" doc:"one of a closed set"`
	Reason string         `json:"reason,omitempty" doc:"what is behind the code"`
	Field  string         `json:"field,omitempty" doc:"the part of the request that was wrong"`
	Errors []FieldProblem `json:"errors,omitempty" doc:"each part that was wrong, where there are several"`

	retryAfter time.Duration
}

// FieldProblem says what is wrong with one part of a request. It never holds
// the part's value, which may be a credential.
type FieldProblem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (p *Problem) Error() string {
	s := cmp.Or(p.Detail, p.Title)
	for _, e := range p.Errors {
		s += "\n  " + e.Field + ": " + e.Message
	}
	return s
}

// GetStatus, GetHeaders and ContentType are what huma asks of an error.

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders returns the headers that go with the status.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.retryAfter+time.Second-1)/time.Second)))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="gatehouse-admin"`)
	}
	return h
}

// ContentType returns the media type of a problem.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// statuses maps the codes that an operator can meet to HTTP; the others are
// 400. Refused clients and tokens are the subject of an administrative call and
// not its credential, so they are conflicts and not 401.
var statuses = map[gatehouse.Code]int{
	gatehouse.MissingToken:         http.StatusUnauthorized,
	gatehouse.InvalidToken:         http.StatusUnauthorized,
	gatehouse.AccessDenied:         http.StatusForbidden,
	gatehouse.InsecureTransport:    http.StatusForbidden,
	gatehouse.NotFound:             http.StatusNotFound,
	gatehouse.MethodNotAllowed:     http.StatusMethodNotAllowed,
	gatehouse.InvalidClient:        http.StatusConflict,
	gatehouse.UnauthorizedClient:   http.StatusConflict,
	gatehouse.InvalidGrant:         http.StatusConflict,
	gatehouse.Conflict:             http.StatusConflict,
	gatehouse.PayloadTooLarge:      http.StatusRequestEntityTooLarge,
	gatehouse.UnsupportedMediaType: http.StatusUnsupportedMediaType,
	gatehouse.RateLimited:          http.StatusTooManyRequests,
	gatehouse.Unavailable:          http.StatusServiceUnavailable,
	gatehouse.ServerError:          http.StatusInternalServerError,
}

// problemOf turns an engine's error into a Problem.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	e := gatehouse.AsError(err)
	status := cmp.Or(statuses[e.Code], http.StatusBadRequest)
	if e.Reason == gatehouse.ReasonReusedKey {
		status = http.StatusUnprocessableEntity
	}
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Message,
		Code: string(e.Code), Reason: string(e.Reason), Field: e.Field, retryAfter: e.RetryAfter,
	}
}

// refuse makes a Problem about one field of a request.
func refuse(field, format string, args ...any) error {
	e := gatehouse.Refuse(gatehouse.InvalidRequest, gatehouse.ReasonMalformed, fmt.Sprintf(format, args...))
	e.Field = field
	return e
}

// codes says which code a status that huma chose stands for.
var codes = map[int]gatehouse.Code{
	http.StatusUnsupportedMediaType:  gatehouse.UnsupportedMediaType,
	http.StatusRequestEntityTooLarge: gatehouse.PayloadTooLarge,
	http.StatusRequestTimeout:        gatehouse.InvalidRequest,
	http.StatusInternalServerError:   gatehouse.ServerError,
}

// huma makes its own errors through this variable, which is its documented
// way of replacing their form.
func init() { huma.NewError = problemOfHuma }

func problemOfHuma(status int, message string, errs ...error) huma.StatusError {
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest // 422 is kept for a reused Idempotency-Key
	}
	p := &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: message,
		Code: string(cmp.Or(codes[status], gatehouse.InvalidRequest)),
	}
	if status == http.StatusInternalServerError {
		p.Detail = "internal error"
		return p
	}
	for _, err := range errs {
		if d, ok := err.(huma.ErrorDetailer); ok {
			detail := d.ErrorDetail()
			p.Errors = append(p.Errors, FieldProblem{Field: fieldOf(detail.Location), Message: detail.Message})
		}
	}
	if len(p.Errors) > 0 {
		p.Field = p.Errors[0].Field
		p.Detail = "the request is not what /admin/v1/openapi.json describes"
	}
	return p
}

// fieldOf drops where in the request a field was: "body.name" is "name".
func fieldOf(location string) string {
	for _, part := range []string{"body.", "query.", "path.", "header."} {
		if s, ok := strings.CutPrefix(location, part); ok {
			return s
		}
	}
	return location
}
