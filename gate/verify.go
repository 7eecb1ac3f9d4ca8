// Package gate answers the one question of an API's gateway: may this request
// pass, and whose is it.
package gate

import (
	"context"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A Validator judges tokens. *gatehouse.Engine is one.
type Validator interface {
	Validate(ctx context.Context, tok secret.Text, want gatehouse.Requirement) (*gatehouse.Claims, error)
}

// Verify answers forward-auth requests (nginx auth_request, Caddy
// forward_auth, HAProxy, Traefik), whatever their method:
//
//	/gate/verify?environment=live&scope=a+b[&audience=A][&client=C][&dialect=NAME]
//
// The answers are 200 with every identity header; 401 with a Bearer challenge
// (RFC 6750 §3) for no token or a false, expired, revoked or foreign one; 403
// for a scope that the token lacks; 503 when it can't be known. A question that
// is itself wrong (no environment, say) is 403 with a body that says why: it
// is the gateway that must change, so a challenge to its caller would mislead.
// No other status is ever answered, since gateways turn others into 500.
//
// A Verify is safe for concurrent use.
type Verify struct {
	validator Validator
	dialect   func(name string) *dialect.Dialect
	now       func() time.Time
	routes    *Routes // nil: the query asks
	queries   bool    // the query may ask although there are routes
	trusted   []netip.Prefix
	calls     *Calls // nil: bodies aren't seen, or not looked into
}

// NewVerify makes a Verify. dialect returns the dialect called name, nil where
// there is none, and is called for refusals only.
func NewVerify(v Validator, dialect func(name string) *dialect.Dialect, now func() time.Time) *Verify {
	return &Verify{validator: v, dialect: dialect, now: now}
}

func (g *Verify) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.Answer(w, r) }

// Answer is ServeHTTP for a caller that keeps a log: it returns why the
// request was refused, nil where it may pass.
func (g *Verify) Answer(w http.ResponseWriter, r *http.Request) *gatehouse.Error {
	q, problem := g.question(r)
	if problem != "" {
		return g.refuse(w, r, &q, gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonMalformed, problem))
	}
	claims, refusal := judge(r.Context(), g.validator, r.Header, &q)
	if refusal != nil {
		return g.refuse(w, r, &q, refusal)
	}
	h := w.Header()
	identify(h, claims)
	h["Cache-Control"] = noStore
	w.WriteHeader(http.StatusOK)
	return nil
}

func (g *Verify) question(r *http.Request) (question, string) {
	if g.routes != nil {
		return g.routed(r)
	}
	return queried(r.URL.RawQuery)
}

// judge returns whose request it is, if it may pass.
func judge(ctx context.Context, v Validator, h http.Header, q *question) (*gatehouse.Claims, *gatehouse.Error) {
	if q.public {
		return nobody, nil
	}
	tok, refusal := bearer(h)
	if refusal != nil {
		return nil, refusal
	}
	claims, err := v.Validate(ctx, tok, q.want)
	if err != nil {
		return nil, gatehouse.AsError(err)
	}
	return claims, nil
}

// Refuse answers a refusal that was found before the token was looked at, such
// as plain HTTP, with one of the statuses that a gateway understands.
func (g *Verify) Refuse(w http.ResponseWriter, r *http.Request, e *gatehouse.Error) {
	q, _ := readQuestion(r.URL.RawQuery)
	g.refuse(w, r, &q, e)
}

func (g *Verify) refuse(w http.ResponseWriter, r *http.Request, q *question, e *gatehouse.Error) *gatehouse.Error {
	status := statusOf(e.Code)
	h := w.Header()
	var body []byte
	switch d := g.words(q.dialect); {
	case q.ruledBy != nil:
		if d == nil {
			d = q.ruledBy
		}
		status, body = g.inWordsOf(d, h, r, e)
	case d != nil:
		_, body = g.inWordsOf(d, h, r, e)
	default:
		h["Content-Type"] = jsonType
		body = standardBody(e)
	}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	if statusOf(e.Code) == http.StatusServiceUnavailable {
		h["Retry-After"] = []string{strconv.Itoa(max(1, int(math.Ceil(e.RetryAfter.Seconds()))))}
	}
	delete(h, "Www-Authenticate")
	if c := challenge(e.Code, status, q.scope); c != "" {
		h["Www-Authenticate"] = []string{c}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that is gone needs no answer
	return e
}

var (
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
	jsonType = []string{"application/json"}
)

// statusOf maps every code to one of the three statuses that a gateway
// understands as a refusal.
func statusOf(c gatehouse.Code) int {
	switch c {
	case gatehouse.MissingToken, gatehouse.InvalidToken, gatehouse.ExpiredToken:
		return http.StatusUnauthorized
	case gatehouse.Unavailable, gatehouse.ServerError, gatehouse.RateLimited:
		return http.StatusServiceUnavailable
	default:
		return http.StatusForbidden
	}
}
