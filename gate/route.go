package gate

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse"
)

// A Route says what the requests to one part of an API must meet.
type Route struct {
	// Path is matched against the decoded path, letter by letter. One that ends
	// in a slash stands for everything below it too.
	Path string
	// Methods that the route is for; none is all.
	Methods []string
	// Public lets requests pass without a token, and without looking at one.
	Public bool
	Want   gatehouse.Requirement
}

// Routes are tried in their order; the first that matches decides. A request
// that none matches is refused. Routes are immutable and safe for concurrent use.
type Routes struct{ list []Route }

// NewRoutes checks the routes: an error names the one that could never match,
// or would let through what its writer didn't mean to.
func NewRoutes(list []Route) (*Routes, error) {
	for i, r := range list {
		if path, problem := readPath(r.Path); problem != "" || path != r.Path {
			return nil, fmt.Errorf("route %d: %q is no path: write it decoded and clean, such as /v1/payments/", i+1, r.Path)
		}
		if slices.ContainsFunc(r.Methods, func(m string) bool { return m == "" || m != strings.ToUpper(m) }) {
			return nil, fmt.Errorf("route %d (%s): methods are written in capitals, such as POST", i+1, r.Path)
		}
		if !r.Public && r.Want.Environment == "" {
			return nil, fmt.Errorf("route %d (%s): it asks for no environment: say sandbox or live", i+1, r.Path)
		}
		if w := r.Want; r.Public && (w.Environment != "" || w.Scopes != nil || w.Audience != "" || w.Client != "" || w.Dialect != "") {
			return nil, fmt.Errorf("route %d (%s): a public route can't ask anything of a token", i+1, r.Path)
		}
		for _, earlier := range list[:i] {
			if earlier.covers(&r) {
				return nil, fmt.Errorf("route %d (%s) is never reached: %s stands before it", i+1, r.Path, earlier.Path)
			}
		}
	}
	return &Routes{slices.Clone(list)}, nil
}

func (r *Route) covers(other *Route) bool {
	if !r.matches(other.Path) || !strings.HasSuffix(r.Path, "/") && strings.HasSuffix(other.Path, "/") {
		return false
	}
	return len(r.Methods) == 0 || len(other.Methods) > 0 &&
		!slices.ContainsFunc(other.Methods, func(m string) bool { return !slices.Contains(r.Methods, m) })
}

func (r *Route) matches(path string) bool {
	return path == r.Path || strings.HasSuffix(r.Path, "/") && strings.HasPrefix(path, r.Path)
}

// Find returns the route of a request by its method and the path of its URI,
// still encoded, as the API behind gets it. A problem is text for the owner:
// the path has two readings, or no route is for it.
func (r *Routes) Find(method, uri string) (route *Route, problem string) {
	path, problem := readPath(uri)
	if problem != "" {
		return nil, problem
	}
	for i := range r.list {
		at := &r.list[i]
		if at.matches(path) && (len(at.Methods) == 0 || slices.Contains(at.Methods, method)) {
			return at, ""
		}
	}
	return nil, "no route is for this method and path"
}

// readPath returns the decoded path of an origin-form request target (RFC 9112
// §3.2.1). It refuses each one that a router which decodes, cleans, or cuts
// otherwise could serve as another path: encoded slashes, backslashes, dots,
// percent signs and NULs, empty and dot segments, path parameters.
func readPath(uri string) (path, problem string) {
	uri, _, _ = strings.Cut(uri, "?")
	if uri == "" || uri[0] != '/' {
		return "", "the path doesn't begin with a slash"
	}
	for i := range len(uri) {
		if c := uri[i]; c <= ' ' || c == '\\' || c == '#' || c == ';' || c == 0x7f {
			return "", "the path holds a character that servers read differently"
		}
	}
	path, err := url.PathUnescape(uri)
	if err != nil || !utf8.ValidString(path) {
		return "", "the path has a broken percent-encoding"
	}
	if strings.Count(path, "/") != strings.Count(uri, "/") {
		return "", "the path hides a slash"
	}
	for i := range len(path) {
		if c := path[i]; c < ' ' || c == '\\' || c == '%' || c == ';' || c == '?' || c == '#' || c == 0x7f {
			return "", "the path hides a character that servers read differently"
		}
	}
	for rest, more := path[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if segment == "." || segment == ".." || segment == "" && more {
			return "", "the path has an empty or dot segment"
		}
	}
	return path, ""
}
