package connect

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// shown is a refusal that the user, or the app, has been told of already.
type shown struct{ refusal *gatehouse.Error }

func (s *shown) Error() string { return s.refusal.Error() }

// fail tells the user what went wrong and what to do.
func (v *visit) fail(err error) *gatehouse.Error {
	if told, ok := errors.AsType[*shown](err); ok {
		return told.refusal
	}
	e := gatehouse.AsError(err)
	status, key := http.StatusBadRequest, "problem.request"
	switch {
	case e.Reason == reasonGone:
		status, key = http.StatusGone, "problem.gone"
	case e.Reason == reasonNoCookie:
		status, key = http.StatusForbidden, "problem.cookie"
	case e.Reason == reasonForeignPage:
		status, key = http.StatusForbidden, "problem.foreign"
	case e.Reason == gatehouse.ReasonWrongRedirect:
		key = "problem.redirect"
	case e.Code == gatehouse.InvalidClient:
		key = "problem.client"
	case e.Code == gatehouse.UnauthorizedClient || e.Code == gatehouse.Conflict:
		status, key = http.StatusForbidden, "problem.disabled"
	case e.Code == gatehouse.NotFound:
		status, key = http.StatusNotFound, "problem.nothing"
	case e.Code == gatehouse.MethodNotAllowed:
		status = http.StatusMethodNotAllowed
	case e.Code == gatehouse.PayloadTooLarge:
		status = http.StatusRequestEntityTooLarge
	case e.Code == gatehouse.AccessDenied:
		status, key = http.StatusForbidden, "problem.denied"
	case e.Code == gatehouse.RateLimited:
		status, key = http.StatusTooManyRequests, "problem.rate"
	case e.Code == gatehouse.InsecureTransport:
		status, key = http.StatusForbidden, "problem.insecure"
	case e.Code == gatehouse.Unavailable:
		status, key = http.StatusServiceUnavailable, "problem.later"
	case e.Code == gatehouse.ServerError:
		status, key = http.StatusInternalServerError, "problem.later"
	}
	wait := max(time.Second, (e.RetryAfter + time.Second - 1).Truncate(time.Second))
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
	}
	p := v.page(purpose{}, "problem.title")
	p.Problem = &problemView{Text: p.T(key, "seconds", strconv.Itoa(int(wait/time.Second))), Request: v.by.Request}
	if err := v.render(status, "problem", p); err != nil {
		v.log.Error("a page can't be shown", "error", err)
		v.w.WriteHeader(http.StatusInternalServerError)
	}
	return e
}
