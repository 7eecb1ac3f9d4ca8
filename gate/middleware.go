package gate

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// Options say what Middleware and its gRPC sibling ask of each request.
type Options struct {
	// Want is asked of every request, unless Routes is set.
	Want gatehouse.Requirement
	// Routes ask by method and path. A gRPC call's path is its full method
	// name, and its method POST, as they are on the wire.
	Routes *Routes
	// Calls, if set, hold each call to what its token's dialect says of calls.
	Calls *Calls
	// Dialect answers refusals over HTTP in its words; nil is RFC 6750's.
	Dialect *dialect.Dialect
	// Refused, if set, is told of each refusal; its Reason and Err are for the
	// owner's log and not for the caller. It must not keep or change e.
	Refused func(ctx context.Context, e *gatehouse.Error)
}

// Middleware lets requests with a good token through to next, whose context
// then has the token's claims (FromContext), and answers the others as
// RFC 6750 §3 has it: 401 with a challenge, 403 for a scope, and 503 when it
// can't be known. A call that o.Calls refuse is answered as its dialect has it;
// a body that they look into is read first, and next gets it whole. Headers that look like Gatehouse's own identity headers are
// taken off requests, so that next can't mistake a caller's for a gateway's.
//
// It panics where o asks nothing at all: neither routes nor an environment.
func Middleware(v Validator, o Options) func(next http.Handler) http.Handler {
	o.mustAsk()
	words := &Verify{dialect: func(string) *dialect.Dialect { return o.Dialect }, now: time.Now}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, q, refusal := o.admit(r.Context(), v, r.URL.EscapedPath(), shownCall{
				method: r.Method, query: r.URL.RawQuery, header: r.Header, from: peerAddr(r), body: bodyOf(w, r),
			})
			if refusal != nil {
				if o.Dialect != nil {
					q.dialect = o.Dialect.Name
				}
				words.refuse(w, r, &q, refusal)
				return
			}
			dropIdentity(r.Header)
			next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), claims)))
		})
	}
}

func (o *Options) mustAsk() {
	if o.Routes == nil && o.Want.Environment == "" {
		panic("gate: Options ask for no environment: set Want.Environment or Routes")
	}
}

// Admit is for fronts that see no body: it judges a request by its method, its
// path as on the wire, and its headers. A call whose body Calls would have to
// look into is refused.
func (o *Options) Admit(ctx context.Context, v Validator, method, path string, h http.Header) (*gatehouse.Claims, *gatehouse.Error) {
	claims, _, refusal := o.admit(ctx, v, path, shownCall{method: method, header: h})
	return claims, refusal
}

// admit is what all of this package's fronts for Go programs run.
func (o *Options) admit(ctx context.Context, v Validator, path string, call shownCall) (claims *gatehouse.Claims, q question, refusal *gatehouse.Error) {
	if o.Routes == nil {
		q.want, q.scope = o.Want, joined(o.Want.Scopes)
	} else if route, problem := o.Routes.Find(call.method, path); problem != "" {
		refusal = gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonMalformed, problem)
	} else {
		q.ask(route)
	}
	if refusal == nil {
		claims, refusal = judge(ctx, v, call.header, &q)
	}
	if refusal == nil {
		q.ruledBy, refusal = o.Calls.check(ctx, claims, call)
	}
	if refusal != nil && o.Refused != nil {
		o.Refused(ctx, refusal)
	}
	return claims, q, refusal
}

// dropIdentity drops each header whose name could be read as one of ours.
func dropIdentity(h http.Header) {
	for name := range h {
		if looksLikeOurs(name) {
			delete(h, name)
		}
	}
}

func looksLikeOurs(name string) bool {
	const ours = "gatehouse"
	return len(name) > len(ours) && strings.EqualFold(name[:len(ours)], ours) && (name[len(ours)] == '-' || name[len(ours)] == '_')
}

type claimsKey struct{}

// NewContext returns a context that has claims.
func NewContext(ctx context.Context, claims *gatehouse.Claims) context.Context {
	return context.WithValue(ctx, claimsKey{}, claims)
}

// FromContext returns the claims of the token that let a request pass. On a
// public route they are there and say nothing: Token is zero. ok is false
// where no gate stood before the handler.
func FromContext(ctx context.Context) (claims *gatehouse.Claims, ok bool) {
	claims, ok = ctx.Value(claimsKey{}).(*gatehouse.Claims)
	return claims, ok
}
