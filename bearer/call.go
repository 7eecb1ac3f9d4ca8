package bearer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A call is a caller's request, which may have to be made twice.
type call struct {
	request *http.Request
	body    io.ReadCloser
	again   func() (io.ReadCloser, error) // nil: the body can't be had again
	members jsontext.Value                // the caller's JSON, where the dialect adds to it
}

// maxMerged bounds a body that the dialect adds members to.
const maxMerged = 8 << 20

var errNotMergeable = errors.New("this API's calls carry credentials in a JSON body, so the request's body must be a JSON object")

func newCall(r *http.Request, t *Token) (*call, error) {
	c := &call{request: r, body: r.Body, again: r.GetBody}
	if r.Body == nil || r.Body == http.NoBody {
		c.again = func() (io.ReadCloser, error) { return r.Body, nil }
	}
	if len(t.use.Body) == 0 || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return c, nil
	}
	c.members = jsontext.Value("{}")
	if r.Body != nil && r.Body != http.NoBody {
		media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if media != "" && media != "application/json" && !strings.HasSuffix(media, "+json") {
			return nil, errNotMergeable
		}
		read, err := io.ReadAll(io.LimitReader(r.Body, maxMerged+1))
		r.Body.Close()
		switch {
		case err != nil:
			return nil, err
		case len(read) > maxMerged:
			return nil, fmt.Errorf("the request's body is larger than %d MiB, which is too large to add the API's credentials to", maxMerged>>20)
		case len(bytes.TrimSpace(read)) > 0:
			c.members = read
		}
	}
	c.body, c.again = nil, func() (io.ReadCloser, error) { return nil, nil }
	_, err := merge(c.members, t.use.Body)
	return c, err
}

func (c *call) rewindable() bool { return c.again != nil }

func (c *call) rewind() (io.ReadCloser, error) { return c.again() }

// with returns a copy of the request that carries the token. The caller's own
// request is left as it is, so nothing of it is there after a redirect.
func (c *call) with(t *Token, body io.ReadCloser) *http.Request {
	r := c.request.WithContext(c.request.Context()) // shallow: only what changes is copied
	r.Header = maps.Clone(c.request.Header)
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Body = body
	for name, values := range t.use.Header {
		if name == "Content-Type" && r.Header.Get(name) != "" {
			continue
		}
		if name == "Content-Type" && c.members == nil {
			continue
		}
		r.Header[name] = values
	}
	if t.use.RawQuery != "" {
		u := *r.URL
		r.URL = &u
		r.URL.RawQuery = joinQuery(r.URL.RawQuery, t.use.RawQuery)
	}
	if c.members != nil {
		merged, _ := merge(c.members, t.use.Body) // newCall has tried it
		r.ContentLength = int64(len(merged))
		r.TransferEncoding = nil
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(merged)), nil }
		r.Body, _ = r.GetBody()
	}
	return r
}

func joinQuery(a, b string) string {
	if a == "" {
		return b
	}
	return a + "&" + b
}

// merge puts the members of the JSON object add into object. What the dialect
// says stands before what the caller says.
func merge(object, add []byte) ([]byte, error) {
	var members, added map[string]jsontext.Value
	if err := json.Unmarshal(object, &members); err != nil || members == nil {
		return nil, errNotMergeable
	}
	if err := json.Unmarshal(add, &added); err != nil {
		return nil, err
	}
	for name, value := range added {
		members[name] = value
	}
	return json.Marshal(members, json.Deterministic(true))
}
