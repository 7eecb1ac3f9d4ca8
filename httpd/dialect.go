package httpd

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/reference"
)

// A dialectSet is the routes of all loaded dialects. It is immutable: a reload
// makes another one and swaps them.
type dialectSet struct {
	byName map[string]*dialect.Dialect
	exact  map[string]*route // by path
	folded map[string]*route // by path in lower case, of dialects whose paths have any case
	holed  []holedPath       // paths with holes, which can't be looked up
	docs   *reference.Pages
}

type holedPath struct {
	dialect *dialect.Dialect
	route   *route
}

// SetDialects replaces all dialects at once. When two of them, or one and a
// route of ours, are on one path, the old set stays and the error names both.
func (s *Server) SetDialects(all []*dialect.Dialect) error {
	s.setting.Lock()
	defer s.setting.Unlock()
	set, err := s.dialectSet(all)
	if err != nil {
		return err
	}
	s.dialects.Store(set)
	return nil
}

func (s *Server) dialectSet(all []*dialect.Dialect) (*dialectSet, error) {
	set := &dialectSet{
		byName: make(map[string]*dialect.Dialect, len(all)),
		exact:  map[string]*route{}, folded: map[string]*route{}, docs: reference.New(s.about, all),
	}
	if err := dialect.Conflict(all...); err != nil {
		return nil, err
	}
	for _, d := range all {
		if d.Name == gatehouse.OAuth2 || set.byName[d.Name] != nil {
			return nil, fmt.Errorf("the dialect name %s is taken: rename the dialect", d.Name)
		}
		set.byName[d.Name] = d
		a := &adapter{server: s, dialect: d, routes: map[dialect.OperationName]*route{}}
		whole := s.route(d.Name, a.serve, a.refuse)
		for _, o := range d.Operations {
			path := o.Path()
			if path == "" {
				continue
			}
			if isConnect(strings.ToLower(path)) || s.own[path] != nil || s.own[strings.ToLower(path)] != nil && d.PathCaseInsensitive() {
				return nil, fmt.Errorf("dialect %s: %s is on %s, which is a route of the server's own: choose another path", d.Name, o.Name, path)
			}
			a.routes[o.Name] = s.route(d.Name+"."+string(o.Name), a.serve, a.refuse)
			switch {
			case strings.Contains(path, "{"):
				set.holed = append(set.holed, holedPath{d, whole})
			case d.PathCaseInsensitive():
				set.folded[strings.ToLower(path)] = whole
			default:
				set.exact[path] = whole
			}
		}
	}
	return set, nil
}

// find returns the route of a request's path, nil where there is none.
func (set *dialectSet) find(r *http.Request) *route {
	// An escape that a literal path didn't need makes it another path: a
	// gateway in front may have judged it as such.
	if r.URL.RawPath == "" {
		if rt := set.exact[r.URL.Path]; rt != nil {
			return rt
		}
		if len(set.folded) > 0 {
			if rt := set.folded[strings.ToLower(r.URL.Path)]; rt != nil {
				return rt
			}
		}
	}
	for _, h := range set.holed {
		if h.dialect.Handles(r.URL.EscapedPath()) {
			return h.route
		}
	}
	return nil
}

// An adapter serves all routes of one dialect: it reads the message, calls the
// engine's verb and writes the answer. It knows operations and holes, and
// nothing of any API's own.
type adapter struct {
	server  *Server
	dialect *dialect.Dialect
	routes  map[dialect.OperationName]*route
}

func (a *adapter) serve(c *call) {
	body, refusal := c.readBody()
	if refusal != nil {
		a.refuse(c, refusal)
		return
	}
	o, asked, err := a.dialect.ReadRequest(&dialect.Request{
		Method: c.r.Method, Path: c.r.URL.EscapedPath(), RawQuery: c.r.URL.RawQuery, Header: c.r.Header, Body: body,
	})
	if o != nil {
		c.route = a.routes[o.Name]
	}
	if err != nil {
		a.refuse(c, unreadable(err))
		return
	}
	answer, refusal := a.perform(c, o, asked)
	if refusal != nil {
		a.refuse(c, refusal)
		return
	}
	answer.SetTime(dialect.Now, a.server.engine.Now())
	answer.SetText(dialect.RequestID, c.id)
	written, err := o.WriteResponse(answer)
	if err != nil {
		a.refuse(c, &gatehouse.Error{Code: gatehouse.ServerError, Reason: gatehouse.ReasonInternal, Err: err})
		return
	}
	a.send(c, written)
}

// unreadable is the refusal of a request that ReadRequest couldn't read.
func unreadable(err error) *gatehouse.Error {
	e := &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonMalformed, Err: err}
	if invalid, ok := errors.AsType[*dialect.Invalid](err); ok {
		e.Code = gatehouse.Code(invalid.Code)
	}
	return e
}

// refuse answers in the dialect's words.
func (a *adapter) refuse(c *call, e *gatehouse.Error) {
	c.refusal = e
	var v dialect.Values
	v.SetTime(dialect.Now, a.server.engine.Now())
	v.SetText(dialect.RequestID, c.id)
	v.SetText(dialect.Path, c.r.URL.EscapedPath())
	if m := callersMessage(e); m != "" {
		v.SetText(dialect.Message, m)
	}
	if invalid, ok := errors.AsType[*dialect.Invalid](e.Err); ok {
		v.SetFields(invalid.Fields)
	}
	wait := e.RetryAfter
	if wait <= 0 && (e.Code == gatehouse.Unavailable || e.Code == gatehouse.RateLimited) {
		wait = leastWait
	}
	if wait > 0 {
		v.SetDuration(dialect.RetryAfter, wait)
	}
	setLimit(c.Header(), e.Limit)
	a.send(c, a.dialect.WriteError(dialect.Code(e.Code), v))
}

func (a *adapter) send(c *call, answer *dialect.Response) {
	h := c.Header()
	for name, values := range answer.Header {
		h[name] = values
	}
	c.send(answer.Status, answer.Header["Content-Type"], answer.Body)
}
