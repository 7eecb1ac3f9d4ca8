package dialect

import (
	"errors"
	"fmt"
	"strings"
)

// Route is where an operation listens.
type Route struct {
	Method string
	Path   string // as in the file, holes and all
	// Key is equal for operations with the same method and path, letter
	// case and the holes' names aside.
	Key string
}

// Routes lists the dialect's routes, each once.
func (d *Dialect) Routes() []Route {
	var routes []Route
	seen := map[string]bool{}
	for _, o := range d.Operations {
		if o.request == nil || o.request.path == nil {
			continue
		}
		r := Route{o.Method(), o.Path(), o.routeKey()}
		if !seen[r.Key] {
			seen[r.Key] = true
			routes = append(routes, r)
		}
	}
	return routes
}

func (o *Operation) routeKey() string {
	var b strings.Builder
	b.WriteString(o.Method() + " ")
	for _, s := range o.request.path.segments {
		if b.WriteByte('/'); s.slot >= 0 {
			b.WriteString("{}")
		} else {
			b.WriteString(strings.ToLower(s.literal))
		}
	}
	return b.String()
}

// Conflict reports dialects that can't be served together: two of one name,
// or two that could both take one request. Nil means that they can.
func Conflict(dialects ...*Dialect) error {
	var errs []error
	for i, a := range dialects {
		for _, b := range dialects[:i] {
			if a.Name == b.Name {
				errs = append(errs, fmt.Errorf("two dialects have the name %s", a.Name))
				continue
			}
			for _, x := range a.Operations {
				for _, y := range b.Operations {
					if x.overlaps(y) {
						errs = append(errs, fmt.Errorf("dialects %s and %s both take %s %s", b.Name, a.Name, y.Method(), y.Path()))
					}
				}
			}
		}
	}
	return errors.Join(errs...)
}

// overlaps reports whether some request could be for both operations.
func (o *Operation) overlaps(other *Operation) bool {
	if o.request == nil || other.request == nil || o.request.path == nil || other.request.path == nil || o.Method() != other.Method() {
		return false
	}
	a, b := o.request.path.segments, other.request.path.segments
	if len(a) != len(b) {
		return false
	}
	fold := o.dialect.foldPath || other.dialect.foldPath
	for i := range a {
		if a[i].slot < 0 && b[i].slot < 0 && a[i].literal != b[i].literal && !(fold && strings.EqualFold(a[i].literal, b[i].literal)) {
			return false
		}
	}
	return true
}
