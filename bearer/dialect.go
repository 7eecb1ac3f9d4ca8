package bearer

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// OAuth2 is the name of standard OAuth 2.0 among the dialects' names.
const OAuth2 = "oauth2"

//go:embed oauth2.yaml
var oauth2File []byte

var standard = sync.OnceValues(func() (*dialect.Dialect, error) { return dialect.Load("oauth2.yaml", oauth2File) })

// Dialect returns the built-in dialect of this name, standard OAuth 2.0 for
// [OAuth2], or the one in the file of this path.
func Dialect(name string) (*dialect.Dialect, error) {
	switch {
	case name == OAuth2:
		return standard()
	case slices.Contains(dialect.BuiltinNames(), name):
		return dialect.Builtin(name)
	}
	if _, err := os.Stat(name); err != nil && !strings.ContainsAny(name, "./") {
		return nil, fmt.Errorf("no dialect is called %q: there are %s and %s; others are named by their file",
			name, strings.Join(dialect.BuiltinNames(), ", "), OAuth2)
	}
	return dialect.LoadFile(name)
}
