package agent

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
)

var errStatus = errors.New("the API answered with a status that HTTP doesn't have")

// forward passes on a request whose body is at hand or empty, and its answer.
// What needs more, upgrades and bodies that stream, is httputil's.
func (u *upstream) forward(w http.ResponseWriter, r *http.Request, target *url.URL) {
	early := &hints{w: w}
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: early.pass})
	out := r.WithContext(ctx) // shallow
	out.URL, out.Host, out.Header, out.Close = target, "", endToEnd(r.Header), false
	if r.ContentLength == 0 {
		out.Body = nil
	}
	resp, err := u.transport.RoundTrip(out)
	early.end()
	if err == nil && resp.StatusCode < 100 {
		resp.Body.Close()
		err = errStatus
	}
	if err != nil {
		u.failed(w, r, err)
		return
	}
	defer resp.Body.Close()
	h := w.Header()
	copyEndToEnd(h, resp.Header)
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // net/http would make a guess of its own
	}
	if len(resp.Trailer) > 0 {
		h["Trailer"] = slices.Collect(maps.Keys(resp.Trailer))
	}
	w.WriteHeader(resp.StatusCode)
	if copyBody(w, resp) != nil {
		panic(http.ErrAbortHandler) // the caller must see that something is missing
	}
	if len(resp.Trailer) > 0 {
		_ = http.NewResponseController(w).Flush() // chunked, however short
		for name, values := range resp.Trailer {
			h[http.TrailerPrefix+name] = values
		}
	}
}

// hints passes answers on that come before the answer (1xx).
type hints struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	over bool
}

func (e *hints) pass(code int, header textproto.MIMEHeader) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return nil
	}
	h := e.w.Header()
	copyEndToEnd(h, http.Header(header))
	e.w.WriteHeader(code)
	clear(h)
	return nil
}

func (e *hints) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
}

// copyBody sends what has come when it would have to wait for more. An answer
// that comes at once so leaves in one piece.
func copyBody(w http.ResponseWriter, resp *http.Response) error {
	if resp.Body == http.NoBody {
		return nil
	}
	at, _ := resp.Body.(interface{ atHand() bool })
	flush := http.NewResponseController(w).Flush
	buf := bufferPool.Get().(*[]byte)
	defer bufferPool.Put(buf)
	for left := resp.ContentLength; ; {
		if left != 0 && (at == nil || !at.atHand()) {
			if err := flush(); err != nil {
				return err
			}
		}
		n, err := resp.Body.Read(*buf)
		left -= int64(n)
		if _, failed := w.Write((*buf)[:n]); failed != nil {
			return failed
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// endToEnd returns a copy of a request's header without what belongs to one
// hop, or says by whom the request was forwarded.
func endToEnd(from http.Header) http.Header {
	h := make(http.Header, len(from)+1)
	copyEndToEnd(h, from)
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		delete(h, name)
	}
	if slices.ContainsFunc(from["Te"], takesTrailers) {
		h["Te"] = []string{"trailers"} // which the agent passes on, and so can take itself
	}
	if h["User-Agent"] == nil {
		h["User-Agent"] = []string{""} // net/http would add its own
	}
	return h
}

func takesTrailers(te string) bool {
	return slices.ContainsFunc(strings.Split(te, ","), func(s string) bool { return textproto.TrimString(s) == "trailers" })
}

// copyEndToEnd copies all but the fields of one hop (RFC 9110 section 7.6.1).
func copyEndToEnd(to, from http.Header) {
	for name, values := range from {
		switch name {
		case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		default:
			to[name] = values
		}
	}
	for _, list := range from["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			delete(to, textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)))
		}
	}
}
