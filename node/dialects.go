package node

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// LoadDialects loads built-in dialects by name and others by their file; none
// named is all that are built in. A later one replaces an earlier one of the
// same name, so that a file may be a changed copy of a built-in.
func LoadDialects(names []string) ([]*dialect.Dialect, error) {
	if len(names) == 0 {
		names = dialect.BuiltinNames()
	}
	var out []*dialect.Dialect
	for _, name := range names {
		d, err := LoadDialect(name)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(out, func(o *dialect.Dialect) bool { return o.Name == d.Name }); i >= 0 {
			out[i] = d
			continue
		}
		out = append(out, d)
	}
	if err := dialect.Conflict(out...); err != nil {
		return nil, err
	}
	return out, nil
}

// LoadDialect loads the built-in dialect of this name, or else the file.
func LoadDialect(name string) (*dialect.Dialect, error) {
	if slices.Contains(dialect.BuiltinNames(), name) {
		return dialect.Builtin(name)
	}
	if _, err := os.Stat(name); err != nil && !strings.ContainsAny(name, "./") {
		return nil, fmt.Errorf("no dialect is called %q: built in are %s; others are named by their file",
			name, strings.Join(dialect.BuiltinNames(), ", "))
	}
	return dialect.LoadFile(name)
}
