package gate

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
)

// An Ask is a question that comes in another form than forward-auth's.
type Ask struct {
	Method string      // of the request to the API
	URI    string      // its path as on the wire, and query
	Header http.Header // its headers
	From   netip.Addr  // its caller, where that is known
	// Require is what would be the query of /gate/verify. Where routes ask, it
	// may only name a dialect.
	Require map[string]string
	// Body is the call's, where Whole says that it is all there.
	Body  []byte
	Whole bool
	// RequestID is ours, for the answer.
	RequestID string
}

// An Answer is what forward-auth would answer.
type Answer struct {
	Status  int // 200, 401, 403 or 503; of a call that Calls refuse, its dialect's own
	Header  http.Header
	Body    []byte
	Claims  *gatehouse.Claims // nil where refused
	Refusal *gatehouse.Error  // nil where the request may pass
}

// Judge answers a question whose asker is trusted to tell the truth about the
// request.
func (g *Verify) Judge(ctx context.Context, ask Ask) *Answer {
	w := &answerWriter{Answer{Header: http.Header{HeaderRequestID: {ask.RequestID}}}}
	q, problem := g.asked(ask)
	refusal := (*gatehouse.Error)(nil)
	if problem != "" {
		refusal = gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonMalformed, problem)
	} else {
		w.Claims, refusal = judge(ctx, g.validator, ask.Header, &q)
	}
	if refusal == nil {
		q.ruledBy, refusal = g.calls.check(ctx, w.Claims, ask.call())
	}
	if refusal != nil {
		w.Claims = nil
		r := &http.Request{Method: ask.Method, URL: &url.URL{Path: "/"}, Header: ask.Header}
		w.Refusal = g.refuse(w, r, &q, refusal)
		return &w.Answer
	}
	identify(w.Header(), w.Claims)
	w.Status = http.StatusOK
	return &w.Answer
}

// HoldCalls makes Judge hold the requests that it is asked about to what their
// token's dialect says of calls. Call it before g serves.
func (g *Verify) HoldCalls(k *Calls) { g.calls = k }

func (a *Ask) call() shownCall {
	_, query, _ := strings.Cut(a.URI, "?")
	return shownCall{method: a.Method, query: query, header: a.Header, from: a.From, body: func(limit int) ([]byte, *gatehouse.Error) {
		switch {
		case !a.Whole:
			return nil, gatehouse.Refuse(gatehouse.PayloadTooLarge, gatehouse.ReasonMalformed, "the gateway has not shown the whole body")
		case len(a.Body) > limit:
			return nil, gatehouse.Refuse(gatehouse.PayloadTooLarge, gatehouse.ReasonMalformed, "the body is larger than a call with secrets in it may be")
		}
		return a.Body, nil
	}}
}

func (g *Verify) asked(ask Ask) (q question, problem string) {
	values := url.Values{}
	for name, value := range ask.Require {
		values.Set(name, value)
	}
	if g.routes == nil {
		return queried(values.Encode())
	}
	if q, problem = readQuestion(values.Encode()); problem != "" {
		return q, problem
	}
	if q.asks {
		return q, "this gate asks by its routes: leave all but dialect out of the question"
	}
	route, problem := g.routes.Find(ask.Method, ask.URI)
	if problem != "" {
		return q, problem
	}
	q.ask(route)
	return q, ""
}

// answerWriter keeps an answer in place of sending it.
type answerWriter struct{ Answer }

func (w *answerWriter) Header() http.Header    { return w.Answer.Header }
func (w *answerWriter) WriteHeader(status int) { w.Status = status }
func (w *answerWriter) Write(b []byte) (int, error) {
	w.Body = append(w.Body, bytes.Clone(b)...)
	return len(b), nil
}

// Forgeries returns the names in h that an API might read as one of the
// identity headers, and always those with underscores, which an asker may not
// have been shown. A gateway drops them; the identity headers themselves it
// replaces.
func Forgeries(h http.Header) []string {
	out := make([]string, 0, len(IdentityHeaders))
	known := map[string]bool{}
	for _, name := range IdentityHeaders {
		known[name] = true
	}
	for _, name := range underscored {
		known[name] = true
		out = append(out, name)
	}
	for name := range h {
		if looksLikeOurs(name) && !known[http.CanonicalHeaderKey(name)] && !known[name] {
			out = append(out, name)
		}
	}
	return out
}

var underscored = func() (names []string) {
	for _, name := range IdentityHeaders {
		names = append(names, string(bytes.ToLower(bytes.ReplaceAll([]byte(name), []byte("-"), []byte("_")))))
	}
	return names
}()
