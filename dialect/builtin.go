package dialect

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed builtin/*.yaml
var builtinFiles embed.FS

// builtins loads each file on its first use. They are tested, so a file that
// doesn't load is a broken build.
var builtins = sync.OnceValue(func() map[string]func() (*Dialect, error) {
	entries, err := builtinFiles.ReadDir("builtin")
	if err != nil {
		panic(err)
	}
	m := map[string]func() (*Dialect, error){}
	for _, e := range entries {
		m[strings.TrimSuffix(e.Name(), ".yaml")] = sync.OnceValues(func() (*Dialect, error) {
			data, err := builtinFiles.ReadFile("builtin/" + e.Name())
			if err != nil {
				return nil, err
			}
			return Load(e.Name(), data)
		})
	}
	return m
})

// Builtin returns a dialect that ships with the program, loaded once.
func Builtin(name string) (*Dialect, error) {
	load, ok := builtins()[name]
	if !ok {
		return nil, fmt.Errorf("there is no built-in dialect %q: %s; or name a file", name, strings.Join(BuiltinNames(), ", "))
	}
	return load()
}

// BuiltinNames lists the dialects that ship with the program, sorted.
func BuiltinNames() []string {
	var names []string
	for name := range builtins() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
