package httpd

import (
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/token"
)

// maxBody bounds a request's body. Token requests are a few hundred bytes.
const maxBody = 64 << 10

// A call is one request under way: who asks, and what was answered. It is the
// ResponseWriter of its own handlers, so that the log and the metrics see the
// status whoever wrote it.
type call struct {
	http.ResponseWriter
	r       *http.Request
	route   *route
	id      string // ours; the one in the log and in audit records
	peer    netip.Addr
	addr    netip.Addr // the caller's, as far as trusted proxies tell
	began   time.Time
	status  int
	refusal *gatehouse.Error // nil where the request was granted
	form    form
	body    []byte
}

var calls = sync.Pool{New: func() any { return new(call) }}

// The values of headers that never change, shared by all answers.
var (
	noStore   = []string{"no-store"}
	noCache   = []string{"no-cache"}
	noSniff   = []string{"nosniff"}
	jsonType  = []string{"application/json"}
	allowPost = []string{"POST"}
	allowGet  = []string{"GET, HEAD"}
)

func newCall(s *Server, w http.ResponseWriter, r *http.Request) *call {
	c := calls.Get().(*call)
	c.ResponseWriter, c.r, c.began = w, r, time.Now()
	c.id = token.NewID(c.began).String()
	c.peer = peerOf(r)
	c.addr = s.callerOf(c.peer, r)
	h := w.Header()
	h[gate.HeaderRequestID] = []string{c.id}
	if ids := r.Header["X-Request-Id"]; len(ids) == 1 && isEchoable(ids[0]) {
		h["X-Request-Id"] = ids
	}
	return c
}

// free returns c to its pool without what it knew. The form is left where it
// is: it is large, and was cleared of what it held.
func (c *call) free() {
	c.form.clear()
	clear(c.body)
	if c.body = c.body[:0]; cap(c.body) > 4<<10 {
		c.body = nil // the next request is small again
	}
	c.ResponseWriter, c.r, c.route, c.refusal = nil, nil, nil, nil
	c.id, c.peer, c.addr, c.status = "", netip.Addr{}, netip.Addr{}, 0
	calls.Put(c)
}

// isEchoable reports whether a caller's request id may stand in our answer.
func isEchoable(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

// WriteHeader notes the status.
func (c *call) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// Write notes the status that net/http assumes.
func (c *call) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.ResponseWriter.Write(b)
}

// actor is who asks, for the engine to fill in with the client that it proves
// to be.
func (c *call) actor() gatehouse.Actor {
	return gatehouse.Actor{Kind: gatehouse.ByClient, Addr: c.addr, Request: c.id}
}

// send writes a whole answer. No cache may keep it (RFC 6749 §5.1), unless the
// handler said otherwise before.
func (c *call) send(status int, contentType []string, body []byte) {
	h := c.Header()
	if kept := h["Cache-Control"]; kept == nil || kept[0] == noStore[0] {
		h["Cache-Control"], h["Pragma"] = noStore, noCache
	}
	h["X-Content-Type-Options"] = noSniff
	if len(body) > 0 {
		h["Content-Type"] = contentType
	}
	if len(body) > 2000 { // beyond what net/http counts by itself
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	c.WriteHeader(status)
	_, _ = c.Write(body) // a caller that is gone needs no answer
}

// readBody reads the body, which c keeps until it is freed.
func (c *call) readBody() ([]byte, *gatehouse.Error) {
	r := c.r
	switch encoding := r.Header["Content-Encoding"]; {
	case len(encoding) == 0:
	case len(encoding) == 1 && strings.EqualFold(encoding[0], "identity"):
	default:
		return nil, gatehouse.Refuse(gatehouse.UnsupportedMediaType, gatehouse.ReasonMalformed, "the body must not be compressed")
	}
	if r.ContentLength > maxBody {
		return nil, c.tooLarge()
	}
	b := c.body[:0]
	if n := int(r.ContentLength); n >= cap(b) {
		b = make([]byte, 0, n+1) // and one to meet the end without growing
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		c.body = b
		switch {
		case len(b) > maxBody:
			return nil, c.tooLarge()
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonMalformed, Message: "the body can't be read", Err: err}
		}
	}
}

// tooLarge also gives up the connection, since reading the rest would be what
// the limit is there to avoid.
func (c *call) tooLarge() *gatehouse.Error {
	c.Header().Set("Connection", "close")
	return gatehouse.Refuse(gatehouse.PayloadTooLarge, gatehouse.ReasonMalformed, "the body is larger than 64 KiB")
}
